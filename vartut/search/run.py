"""What the searches share: a run with its root, ledger, tree and best picture; scoring; and the choice of the best."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn import functional as F

from ..inputs import finite, one, shown, whole, wholes
from ..ledger import Ledger
from ..names import nearest
from .tree import SearchResult, Tree, comparable


@dataclass(eq=False)
class Look:
    """What was found when a few rows were scored."""

    scores: list[float]
    states: object  # the rows, where the search may go on: as their rollout passed the next step to branch at
    finished: bool  # whether the scores are of finished pictures
    images: torch.Tensor | None = None  # (B, 3, H, W) the pictures that were scored


class Sure(Exception):
    """A finished picture scores enough: the search is over."""


class Run:
    """One search under way: its root, its ledger, its tree and the best finished picture so far.

    A beam is a list of states at the same step, their rows counted through: a state can be split, but not joined.

    A search works inside `with Run(...) as run`.  Whatever stops it, Ctrl-C or an error of the verifier, carries the
    best finished picture so far: the exception's `.result` is a `SearchResult`, or None where nothing was finished.
    A finished picture that scores `enough` ends the `with` early, and what follows it is reached all the same.
    """

    def __init__(self, name, sampler, prompt, verifier, seed, max_rows, ledger, keep_images, enough=None):
        if not isinstance(prompt, str):
            raise ValueError(f"a search takes one prompt, a str, not a {type(prompt).__name__}: search once for each")
        if not callable(verifier):
            raise ValueError(f"verifier is a callable (images, prompts), as of load_verifier; got {shown(verifier)}")
        self.name, self.sampler, self.prompt, self.verifier = name, sampler, prompt, verifier
        self.max_rows, self.keep_images = whole(least=1, max_rows=max_rows), keep_images
        self.ledger = Ledger() if ledger is None else ledger
        self.tree = Tree(sampler.num_steps)
        self.found: tuple[float, torch.Tensor] | None = None  # the best finished picture so far: score, (3, H, W)
        self.seed, self.enough = whole(seed=seed), None if enough is None else finite(enough=enough)

    @cached_property
    def root(self):
        """The state before the first step; made inside the `with`, since reading the prompt can take long, too."""
        with self.ledger.phase("prefix"):
            return self.sampler.begin([self.prompt], self.seed, ledger=self.ledger)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace) -> bool:
        if isinstance(error, Sure):
            self.tree.keep([self.tree.best])
            return True
        if error is not None:
            error.result = self.result()
            if error.result is not None:
                error.add_note("the best picture that the search had seen is this exception's .result")
        return False

    def branch(self, beam, number: int, first: int):
        """Children `first` to `first + number - 1` of every row, in order, as states of at most `max_rows` rows."""
        together = max(1, self.max_rows // number)
        for state in beam:
            for low in range(0, len(state), together):
                parents = self.sampler.select(state, range(low, min(low + together, len(state))))
                for j in range(0, number, self.max_rows):  # once, unless one row has more children than max_rows
                    with self.ledger.phase("branch"):
                        children = self.sampler.expand(parents, min(self.max_rows, number - j), first=first + j)
                    yield children

    def advance(self, beam, step: int | None, phase="prefix"):
        """The same rows at a later step, each by its child 0."""
        with self.ledger.phase(phase):
            while step is not None and beam[0].step < step:
                beam = [self.sampler.expand(state) for state in beam]
        return beam

    def finish(self, state, pause: int | None = None) -> Look:
        """Roll out and verify; go on from where the rollout passed step `pause`."""
        passed = state
        with self.ledger.phase("rollout"):
            while state.step < self.sampler.num_steps:
                state = self.sampler.expand(state)
                passed = state if state.step == pause else passed
        with self.ledger.phase("verify"):
            images = self.sampler.preview(state)
            return Look(self.verify(images), passed, True, images)

    def score(self, state, how, pause: int | None) -> Look:
        """Score by a rollout, by the preview or by a callable; what is finished, by the verifier.

        The callable gets a copy of the rows, so that one that works in place spoils no picture.
        """
        if how == "rollout" or state.step == self.sampler.num_steps:
            return self.finish(state, pause)
        if how == "preview":
            with self.ledger.phase("preview"):
                images = self.sampler.preview(state)
                return Look(self.verify(images), state, False, images)
        with self.ledger.phase("score"), self.ledger.timed("score", calls=len(state)):
            rows = self.sampler.select(state, range(len(state)))
            return Look(checked(how(self.sampler, rows), len(state), "the score callable"), state, False)

    def verify(self, images: torch.Tensor) -> list[float]:
        """The verifier's scores of pictures (B, 3, H, W); a verifier may state its `flops_per_image`.

        It gets a copy, so that one that works in place spoils no result.
        """
        with self.ledger.timed("verifier", calls=len(images)) as amounts:
            scores = self.verifier(images.clone(), [self.prompt] * len(images))
            scores = checked(scores, len(images), "the verifier")
            amounts["flops"] = len(images) * getattr(self.verifier, "flops_per_image", 0)  # may depend on what it read
        return scores

    def enter(self, state, parents: list[int], look: Look) -> list[int]:
        """Enter rows in the tree and return their nodes; the best finished picture ever seen stays."""
        nodes = []
        for row, parent in enumerate(parents):
            small = thumbnail(look.images[row]) if self.keep_images and look.images is not None else None
            nodes.append(self.tree.add(parent, state.step, state.paths[row], look.scores[row], look.finished, small))
            if self.tree.best == nodes[-1]:
                self.found = (look.scores[row], look.images[row].clone())  # a clone lets the rest of the batch go
            if look.finished and self.enough is not None and look.scores[row] >= self.enough:
                raise Sure
        return nodes

    def result(self) -> SearchResult | None:
        """The best finished picture so far; None before there is one."""
        if self.found is None:
            return None
        score, image = self.found
        return SearchResult(image, score, self.prompt, self.name, self.tree, self.ledger)


def top(scores: list[float], n: int) -> list[int]:
    """The places of the n best scores, in the order of the places; of equal scores the earlier are taken."""
    order = sorted(range(len(scores)), key=lambda row: -comparable(scores[row]))  # sorted leaves equals in their order
    return sorted(order[:n])


def choose(sampler, states: list, rows: list[int]) -> list:
    """The given rows, in ascending order, of a list of states counted through; states without one are left out."""
    chosen, low = [], 0
    for state in states:
        here = [row - low for row in rows if low <= row < low + len(state)]
        chosen += [sampler.select(state, here)] if here else []
        low += len(state)
    return chosen


def thumbnail(image: torch.Tensor, side: int = 64) -> torch.Tensor:
    """A small copy of a picture (3, H, W) in [0, 1]: (3, h, w) uint8, at most `side` pixels on each side."""
    small = image[None].float()
    if max(image.shape[1:]) > side:
        scale = side / max(image.shape[1:])
        small = F.interpolate(small, [max(1, round(n * scale)) for n in image.shape[1:]], mode="area")
    return (small[0] * 255).round().to("cpu", torch.uint8)


# ---- bad input -----------------------------------------------------------------------------------------------------


def scoring(score):
    """`score` itself, if it is a known word or a callable."""
    if callable(score) or score in ("rollout", "preview"):
        return score
    near = nearest(score, ("rollout", "preview"))
    known = "rollout, preview, or a callable (sampler, state)"
    raise ValueError(f'unknown score {score!r}: did you mean "{near}"?  Known: {known}')


def branching(sampler, branch) -> list[int]:
    """The steps to branch at, ascending; all that the sampler can branch at for None."""
    known = list(sampler.branch_steps)
    if branch is None:
        return known
    steps = [whole(branch=branch)] if one(branch) else sorted(set(wholes(branch=branch)))
    if not steps or any(step not in known for step in steps):
        raise ValueError(f"branch is one or more of this sampler's steps {known}, as a range or list; got {steps}")
    return steps


def checked(scores, rows: int, who: str) -> list[float]:
    """Scores as a list of floats; raises ValueError unless they are a tensor (rows,) without NaN."""
    if not isinstance(scores, torch.Tensor) or scores.shape != (rows,):
        got = f"shape {tuple(scores.shape)}" if isinstance(scores, torch.Tensor) else f"a {type(scores).__name__}"
        raise ValueError(f"{who} returns one score a row, a tensor of shape ({rows},); got {got}")
    values = scores.detach().cpu().double().tolist()
    if any(math.isnan(value) for value in values):
        raise ValueError(f"{who} gave NaN for {sum(map(math.isnan, values))} of {rows} rows: scores must be comparable")
    return values

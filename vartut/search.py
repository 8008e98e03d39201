"""Random search, greedy token optimisation and beam search (arXiv 2510.16751), each on its own page.

    result = beam_search(sampler, "a red circle left of a blue square", verifier, width=3, candidates=5)
    result.image, result.score, result.tree, result.ledger

All three are written against the protocol of `sampler.py` alone and never ask what a step is.

- To roll out is to finish a picture by the children numbered 0.  So the child 0 of a state that a rollout has passed is
  the rollout itself, whose picture is scored already: new children of such a state are numbered from 1.  Its next
  forward pass has run in the rollout too and is remembered, so that branching there costs no pass.
- The best finished picture ever seen is kept, and returned even where the search has moved on to prefixes whose later
  pictures are worse.  Only new children compete for a place in the beam, as in the paper.
- Of equal scores the earlier picture wins, in the order of the children's numbers.  Scores are equal that agree to five
  digits: coarse previews are often of the same tokens, and then the rounding of the last digits must not decide.
- Work goes depth-first through at most `max_rows` rows at a time.  That bounds the memory and changes no result,
  beyond what the sampler says of near-ties.
- Costs arise in the ledger's phases "prefix" (steps before the first branching or between two), "branch", "rollout",
  "preview" and "score" (of unfinished pictures), and "verify" (of finished ones).
"""

import difflib
import math
import numbers
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from .ledger import Ledger
from .tree import SearchResult, Tree, rank

MOST = 4096  # the most children of one step, width x candidates: all wait in memory for the choice


def random_search(sampler, prompt, verifier, n=16, seed=0, max_rows=32, ledger=None, keep_images=False) -> SearchResult:
    """Draw n complete pictures, keep the one that the verifier scores best.

    The paper: n complete images, n K NFE.  Here the children of the root share its pass: 1 + n (K - 1).

    `sampler` speaks the protocol of `sampler.py`; `verifier(images (B, 3, H, W) in [0, 1], prompts)` returns (B,)
    scores, higher is better.  The first n of 2n pictures are the n pictures, and those of a beam's first step.
    `keep_images` keeps a small copy of each scored picture in the tree.  Raises ValueError, in a line, for bad input.
    """
    n = whole(n=n)
    run = Run("random", sampler, prompt, verifier, seed, max_rows, ledger, keep_images)
    for children in run.branch([run.root], n, first=0):
        run.enter(children, [0] * len(children), run.finish(children))
    run.tree.keep([run.tree.best])
    return run.result()


def greedy_search(
    sampler, prompt, verifier, candidates=15, seed=0, max_rows=32, ledger=None, keep_images=False
) -> SearchResult:
    """Greedy token optimisation: commit one step after the other.

    The paper: at each scale, c complete continuations of the current prefix; commit the tokens of this scale that led
    to the best finished image.  c K (K + 1) / 2 NFE; here, with nothing run twice, 1 + c K (K - 1) / 2.

    It is the beam of width 1.  Arguments and errors as for `random_search`.
    """
    candidates, steps = whole(candidates=candidates), branching(sampler, None)
    run = Run("greedy", sampler, prompt, verifier, seed, max_rows, ledger, keep_images)
    prefix, node, first = run.advance([run.root], steps[0]), 0, 0
    for following in [*steps[1:], None]:
        scores, states, nodes = [], [], []
        for children in run.branch(prefix, candidates, first):
            look = run.finish(children, pause=following)
            nodes += run.enter(children, [node] * len(children), look)
            scores += look.scores
            states.append(look.states)
        [best] = top(scores, 1)
        prefix, node, first = choose(sampler, states, [best]), nodes[best], 1
        run.tree.keep([node])
    return run.result()


def beam_search(
    sampler, prompt, verifier, width=3, candidates=5, score="rollout", branch=None, seed=0, max_rows=32, ledger=None,
    keep_images=False,
) -> SearchResult:  # fmt: skip
    """Keep the `width` best prefixes, branch each into `candidates` children.

    The paper: w prefixes, c continuations of each, every one rolled out to a complete image and scored; keep the w
    prefixes whose finished images scored best.  K w c images and w c K (K + 1) / 2 NFE; here, with nothing run twice,
    1 + w c K (K - 1) / 2.  The first step has one prefix, the root, and so w c children of it.

    score says how children are compared: "rollout", as above; "preview", the verifier's score of the picture so far;
    or a callable (sampler, state) -> (B,), higher is better.  The latter two roll nothing out, and need 1 + w (K - 1)
    passes; what is finished is always scored by the verifier: the last step's children, or the last survivors.
    branch names the steps to branch at, among `sampler.branch_steps` (default: all).  Steps left out draw one child;
    with rollouts these are the rollout's own states, so that a survivor goes on from what was scored.
    width x candidates is at most 4096.  Other arguments and errors as for `random_search`.
    """
    width, candidates = whole(width=width), whole(candidates=candidates)
    how, steps = scoring(score), branching(sampler, branch)
    if width * candidates > MOST:
        raise ValueError(f"width x candidates is {width * candidates}, more than {MOST}: take fewer, or random_search")
    run = Run("beam", sampler, prompt, verifier, seed, max_rows, ledger, keep_images)
    beam, nodes = run.advance([run.root], steps[0]), [0]
    number, first = width * candidates, 0
    for following in [*steps[1:], None]:
        parents = [node for node in nodes for _ in range(number)]
        scores, states, nodes = [], [], []
        for children in run.branch(beam, number, first):
            look = run.score(children, how, pause=following)
            nodes += run.enter(children, parents[len(nodes) :][: len(children)], look)
            scores += look.scores
            states.append(look.states)
        kept = top(scores, width)
        beam, nodes = choose(sampler, states, kept), [nodes[row] for row in kept]
        run.tree.keep(nodes)
        beam = run.advance(beam, following)  # after rollouts nothing is left to do: they passed there
        number, first = candidates, int(how == "rollout")
    if run.image is None:  # nothing is finished yet: no rollouts, and the last steps were not branched
        for survivors in beam:
            [pictures] = run.advance([survivors], sampler.num_steps, phase="rollout")
            parents, nodes = nodes[: len(pictures)], nodes[len(pictures) :]
            run.tree.keep(run.enter(pictures, parents, run.finish(pictures)))
    return run.result()


# ---- what they share -----------------------------------------------------------------------------------------------


@dataclass
class Look:
    """What was found when a few rows were scored."""

    scores: list[float]
    states: object  # the rows, where the search may go on: as their rollout passed the next step to branch at
    finished: bool  # whether the scores are of finished pictures
    images: torch.Tensor | None = None  # (B, 3, H, W) the pictures that were scored


class Run:
    """One search under way: its root, its ledger, its tree and the best finished picture so far.

    A beam is a list of states at the same step, their rows counted through: a state can be split, but not joined.
    """

    def __init__(self, name, sampler, prompt, verifier, seed, max_rows, ledger, keep_images):
        if not isinstance(prompt, str):
            raise ValueError(f"a search takes one prompt, a str, not a {type(prompt).__name__}: search once for each")
        if not callable(verifier):
            raise ValueError(f"verifier is a callable (images, prompts), as load_verifier makes; got {verifier!r}")
        self.name, self.sampler, self.prompt, self.verifier = name, sampler, prompt, verifier
        self.max_rows, self.keep_images = whole(max_rows=max_rows), keep_images
        self.ledger = Ledger() if ledger is None else ledger
        self.tree, self.image = Tree(sampler.num_steps), None
        with self.ledger.phase("prefix"):
            self.root = sampler.begin([prompt], whole(least=None, seed=seed), ledger=self.ledger)

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
        """Score by a rollout, by the preview or by a callable; what is finished, by the verifier."""
        if how == "rollout" or state.step == self.sampler.num_steps:
            return self.finish(state, pause)
        if how == "preview":
            with self.ledger.phase("preview"):
                images = self.sampler.preview(state)
                return Look(self.verify(images), state, False, images)
        with self.ledger.phase("score"), self.ledger.timed("score", calls=len(state)):
            return Look(checked(how(self.sampler, state), len(state), "the score callable"), state, False)

    def verify(self, images: torch.Tensor) -> list[float]:
        """The verifier's scores of pictures (B, 3, H, W); a verifier may state its `flops_per_image`."""
        with self.ledger.timed("verifier", calls=len(images)) as amounts:
            scores = checked(self.verifier(images, [self.prompt] * len(images)), len(images), "the verifier")
            amounts["flops"] = len(images) * getattr(self.verifier, "flops_per_image", 0)  # may depend on what it read
        return scores

    def enter(self, state, parents: list[int], look: Look) -> list[int]:
        """Enter rows in the tree and return their nodes; the best finished picture ever seen stays."""
        nodes = []
        for row, parent in enumerate(parents):
            small = thumbnail(look.images[row]) if self.keep_images and look.images is not None else None
            nodes.append(self.tree.add(parent, state.step, state.paths[row], look.scores[row], look.finished, small))
            if self.tree.best == nodes[-1]:
                self.image = look.images[row].clone()  # a clone lets the other pictures of the batch go
        return nodes

    def result(self) -> SearchResult:
        score = self.tree[self.tree.best].score
        return SearchResult(self.image, score, self.prompt, self.name, self.tree, self.ledger)


def top(scores: list[float], n: int) -> list[int]:
    """The places of the n best scores, in the order of the places; of equal scores the earlier are taken."""
    order = sorted(range(len(scores)), key=lambda row: -rank(scores[row]))  # sorted leaves equals in their order
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


def whole(least: int | None = 1, **named) -> int:
    """The one named argument as an int; raises ValueError where it is no whole number or less than `least`."""
    [(name, value)] = named.items()
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or (least is not None and value < least):
        raise ValueError(f"{name} is a whole number{'' if least is None else f' of at least {least}'}; got {value!r}")
    return int(value)


def scoring(score):
    """`score` itself, if it is a known word or a callable."""
    if callable(score) or score in ("rollout", "preview"):
        return score
    near = difflib.get_close_matches(str(score), ("rollout", "preview"), 1, cutoff=0.0)[0]
    known = "rollout, preview, or a callable (sampler, state)"
    raise ValueError(f'unknown score {score!r}: did you mean "{near}"?  Known: {known}')


def branching(sampler, branch) -> list[int]:
    """The steps to branch at, ascending; all that the sampler can branch at for None."""
    known = list(sampler.branch_steps)
    steps = known if branch is None else sorted(set(branch)) if hasattr(branch, "__iter__") else [branch]
    if not steps or any(step not in known for step in steps):
        raise ValueError(f"branch is one or more of this sampler's steps {known}, as a range or list; got {branch!r}")
    return steps


def checked(scores, rows: int, who: str) -> list[float]:
    """Scores as a list of floats; raises ValueError unless they are a tensor (rows,) without NaN."""
    if not isinstance(scores, torch.Tensor) or scores.shape != (rows,):
        got = f"shape {tuple(scores.shape)}" if isinstance(scores, torch.Tensor) else f"a {type(scores).__name__}"
        raise ValueError(f"{who} returns one score a row, a tensor of shape ({rows},); got {got}")
    values = scores.detach().double().cpu().tolist()
    if any(math.isnan(value) for value in values):
        raise ValueError(f"{who} gave NaN for {sum(map(math.isnan, values))} of {rows} rows: scores must be comparable")
    return values

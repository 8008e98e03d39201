"""Ensembles of verifiers whose scales do not agree: by rank, as in Ma et al. (arXiv 2501.09732), or by z-score.

They rank all candidates of a round by each verifier and average the ranks.  Such a score depends on who else is in the
round, so that the same picture would score differently in another chunk or step of a search.  Here every member ranks a
picture among reference pictures of its prompt, fixed beforehand: at the reference pictures themselves this is the rank
of Ma et al., between them it is interpolated, beyond them it goes on with the mean slope, since a search is to leave
the reference behind.

    verifier = RankEnsemble([clip, aesthetic, reward], pictures, prompt)     # pictures (N, 3, H, W) of this prompt

Within the references only ranks count; far beyond them the member with the narrowest scores speaks loudest.
`ZEnsemble` counts how many standard deviations a score lies above the references' mean: how much better a picture is
counts too, and so a member that is sure of few things.  Where all candidates are there at once, `mean_ranks` and
`mean_z` rank them among themselves.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..inputs import finite, ordered, shown
from .protocol import paired


class Ensemble:
    """What both have in common: members, their weights, and what they say of the references.

    Each adds `_placed(member, scores)`: where scores (B,) of a member lie among those of the references, (B,).
    """

    kind = "ensemble"

    def __init__(self, members: Sequence[Callable], references: Tensor, prompt: str, weights: Sequence[float] = ()):
        """`references` (N, 3, H, W) in [0, 1], N at least 2, are pictures of `prompt`, the only one scored.

        `weights`, one for each member, add up to more than 0 (none: all alike).  Raises ValueError for others, for no
        members, fewer than two references, or a member to whom they all look the same.
        """
        paired(references, prompt)
        members = ordered("verifiers, as a list", members=members)
        if odd := [member for member in members if not callable(member)]:
            raise ValueError(f"members are verifiers, as of load_verifier; got {shown(odd[0])}")
        if not members or len(references) < 2:
            raise ValueError(
                f"an ensemble has a member and 2 references or more: got {len(members)} and {len(references)}"
            )
        self.members, self.prompt, self.weights = members, prompt, shares(len(members), weights)
        self.name = f"{self.kind} of " + ", ".join(map(named, members))
        scores = [said(member, references, [prompt] * len(references)) for member in members]
        for member, score in zip(members, scores):
            if not torch.isfinite(score).all():
                raise ValueError(f"{named(member)} gives a reference a score that is NaN or infinite: it cannot rank")
        self.ladders = [rungs(score) for score in scores]
        for member, ladder in zip(members, self.ladders):
            if len(ladder) < 2:
                score = f"the score {ladder[0]:.4g}: it cannot rank by them"
                raise ValueError(f"{named(member)} gives all references {score}")
        self.spread = [(float(score.mean()), float(score.std())) for score in scores]

    @property
    def flops_per_image(self) -> int:
        """Of all members together; some know theirs only after a first picture."""
        return sum(getattr(member, "flops_per_image", 0) for member in self.members)

    def __call__(self, images: Tensor, prompts) -> Tensor:
        """Scores (B,) of pictures (B, 3, H, W) in [0, 1]; the prompts must be the ensemble's own."""
        prompts = paired(images, prompts)
        if set(prompts) - {self.prompt}:
            raise ValueError(f'this ensemble has references of "{self.prompt}" alone: make another for another prompt')
        scores = [said(member, images, prompts) for member in self.members]
        return self.weights @ torch.stack([self._placed(i, score) for i, score in enumerate(scores)])


class RankEnsemble(Ensemble):
    """The mean rank of a picture among the references, over the members: 0 is as the worst of them, 1 as the best."""

    def _placed(self, member: int, scores: Tensor) -> Tensor:
        return rank(scores, self.ladders[member])


class ZEnsemble(Ensemble):
    """The mean z-score of a picture over the members: standard deviations above the mean of the references."""

    kind = "z-ensemble"

    def _placed(self, member: int, scores: Tensor) -> Tensor:
        mean, deviation = self.spread[member]
        return (scores - mean) / deviation


def named(member) -> str:
    """What a member is called."""
    return getattr(member, "name", "a verifier")


def said(member: Callable, images: Tensor, prompts: list[str]) -> Tensor:
    """A member's scores, (B,) in float32 on the CPU; raises ValueError for what are no scores of these pictures."""
    scores = member(images, prompts)
    if not isinstance(scores, Tensor) or scores.shape != (len(images),):
        got = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
        raise ValueError(f"{named(member)} returns one score a picture, a tensor of shape ({len(images)},); got {got}")
    return scores.float().cpu()


def shares(count: int, weights: Sequence[float]) -> Tensor:
    """The weights of so many members, (count,), adding up to 1; raises ValueError for others."""
    weights = ordered("numbers, one a member", weights=weights) or [1.0] * count
    weights = [finite(low=0, weights=weight) for weight in weights]
    if len(weights) != count or not 0 < sum(weights) < float("inf"):
        raise ValueError(f"an ensemble of {count} has {count} weights from 0, not all 0; got {weights}")
    whole = torch.tensor(weights, dtype=torch.float64, device="cpu")
    return (whole / whole.sum()).float()


def mean_ranks(scores: Tensor, weights: Sequence[float] = ()) -> Tensor:
    """Mean ranks (N,) of N candidates by M members' scores (M, N): 0 is worst of all, N - 1 best.

    Of equal scores each has the mean of their ranks.  No monotone rescaling of a member changes it.
    """
    scores = checked_scores(scores)
    below = (scores[:, None, :] < scores[:, :, None]).float().sum(2)  # (M, N): how many are worse
    equal = (scores[:, None, :] == scores[:, :, None]).float().sum(2)
    return shares(len(scores), weights) @ (below + (equal - 1) / 2)


def mean_z(scores: Tensor, weights: Sequence[float] = ()) -> Tensor:
    """Mean z-scores (N,) of N candidates by M members' scores (M, N); a member to whom all are alike says nothing."""
    scores = checked_scores(scores)
    if scores.isinf().any():
        raise ValueError("z-scores need finite scores, and these hold infinite ones: take mean_ranks")
    away = scores - scores.mean(1, keepdim=True)
    spread = scores.std(1, keepdim=True, correction=0)
    alike = spread <= 1e-12 * scores.abs().amax(1, keepdim=True)
    return shares(len(scores), weights) @ (away / spread.where(~alike, torch.inf)).float()


def checked_scores(scores: Tensor) -> Tensor:
    """Scores (M, N) as float64, which holds apart what they hold apart.

    Raises ValueError for another shape, no members or candidates, and NaN.
    """
    if not isinstance(scores, Tensor) or scores.ndim != 2 or not scores.numel() or scores.isnan().any():
        got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"scores are a tensor (members, candidates), one of each at least, none NaN; got {got}")
    return scores.double()


def rungs(scores: Tensor) -> Tensor:
    """The distinct ones of scores (N,), rising; scores that agree to five digits are one, as in a search."""
    rising = scores.sort().values
    apart = rising.diff() > 1e-5 * scores.abs().max()
    return rising[torch.cat([torch.ones(1, dtype=torch.bool, device="cpu"), apart])]


def rank(scores: Tensor, ladder: Tensor) -> Tensor:
    """Places (B,) of scores (B,) on a rising ladder of distinct scores (N,): 0 at its foot, 1 at its top."""
    steps = len(ladder) - 1
    low = (torch.searchsorted(ladder, scores, right=True) - 1).clamp(0, steps - 1)  # the rung below
    within = (low + (scores - ladder[low]) / (ladder[low + 1] - ladder[low])) / steps
    slope = 1 / (ladder[-1] - ladder[0])  # of the whole ladder
    below, above = (scores - ladder[0]) * slope, 1 + (scores - ladder[-1]) * slope
    return torch.where(scores < ladder[0], below, torch.where(scores > ladder[-1], above, within))

"""How well a verifier chooses among pictures of one prompt, which is all that a search asks of it.

A correlation over the pictures of many prompts says little about that: whoever knows which prompts are easy correlates,
and chooses no better than chance.  So all here is within prompts, and averaged over them.
"""

import numpy as np
from scipy.stats import bootstrap, rankdata

from ..inputs import whole
from .statistics import best_of


def right_above_wrong(scores, correct) -> float | None:
    """The chance that a right picture of a prompt scores above a wrong one, ties counting half.

    scores, correct: N numbers each, the latter 0 or 1.  None where all are right, or all wrong.  It is the area under
    the ROC curve (Mann and Whitney 1947): a coin has 0.5.
    """
    told, scores = np.asarray(correct), np.asarray(scores, dtype=np.float64)
    if told.dtype != bool and not np.isin(told, (0, 1)).all():
        raise ValueError("verdicts are right or wrong, 1 or 0, and these hold others: compare grades with a threshold")
    correct = told.astype(bool)
    if scores.shape != correct.shape or scores.ndim != 1 or np.isnan(scores).any():
        raise ValueError(f"as many scores, none NaN, as verdicts; got {scores.shape} and {correct.shape}")
    right, wrong = int(correct.sum()), int((~correct).sum())
    if not right or not wrong:
        return None
    return float((rankdata(scores)[correct].sum() - right * (right + 1) / 2) / (right * wrong))


def headroom(n: int, scores, correct, draws: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """How much of what choosing among n could bring a verifier brings: the share, and its 95 % interval (low, high).

        (success of the chosen - of a random one) / (success of the best - of a random one)

    scores, correct (P, N): of N pictures of each of P prompts.  1 is the judge's own choice, 0 a coin's, less is worse
    than a coin.  The interval is over prompts, drawn with replacement (percentiles).  Raises ValueError for fewer than
    two prompts, and where there is nothing to gain.
    """
    scores, correct = np.asarray(scores, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if scores.shape != correct.shape or scores.ndim != 2 or len(scores) < 2:
        raise ValueError(f"scores and verdicts (P, N) of two prompts or more; got {scores.shape} and {correct.shape}")
    random = correct.mean(1)
    gained = np.array([best_of(n, s, c) for s, c in zip(scores, correct)]) - random
    could = np.array([best_of(n, c, c) for c in correct]) - random
    if not could.sum() > 1e-9:  # rounding leaves some 1e-15
        raise ValueError(f"the best of {n} is no better than a random one: there is no headroom")

    def share(gained, could, axis=-1):
        return gained.sum(axis) / np.maximum(could.sum(axis), 1e-12)

    rng = np.random.default_rng(whole(least=0, seed=seed))
    found = bootstrap(
        (gained, could), share, n_resamples=whole(least=1, draws=draws), method="percentile", paired=True,
        vectorized=True, random_state=rng,
    ).confidence_interval  # fmt: skip
    return float(share(gained, could)), float(found.low), float(found.high)


def affordable_look(budget: float, paint: float, look: float, counts, cheap, dear, draws: int = 1000, seed: int = 0):
    """How much one look by a dear verifier may cost, for its choice to be as good as a cheap one's at equal budgets.

    cheap, dear (P, C): success of each one's best of `counts` (C,) pictures, rising, for P prompts.  Painting a picture
    costs `paint`, a cheap look `look`, all in the budget's unit.  Between counts success is interpolated over log n.
    Returns the cost in the same unit, and its 95 % interval (low, high), the prompts drawn with replacement.  Raises
    ValueError where the budget buys fewer pictures by the cheap one than counts[0], or more than counts[-1].
    """
    counts, rng = np.log(np.asarray(counts, dtype=np.float64)), np.random.default_rng(whole(least=0, seed=seed))
    cheap, dear = np.asarray(cheap, dtype=np.float64), np.asarray(dear, dtype=np.float64)
    n = np.log(budget / (paint + look))
    if not counts[0] <= n <= counts[-1]:
        raise ValueError(f"{budget:g} buys {np.exp(n):.1f} pictures, and success is known of {np.exp(counts).round()}")

    def cost(rows) -> float:
        wanted = np.interp(n, counts, cheap[rows].mean(0))
        rising = np.maximum.accumulate(dear[rows].mean(0))
        return budget / np.exp(np.interp(wanted, rising, counts)) - paint

    found = [cost(rng.integers(len(cheap), size=len(cheap))) for _ in range(whole(least=1, draws=draws))]
    return cost(slice(None)), *(float(end) for end in np.percentile(found, [2.5, 97.5]))

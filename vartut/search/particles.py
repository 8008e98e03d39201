"""Particle search: a swarm of pictures in which the promising ones multiply and the others die out.

Feynman-Kac steering (Singhal et al. 2025, arXiv 2501.06848), written against the protocol alone.  After each chosen
step every particle is scored; particle i survives in as many copies as chance gives it by the weight

    w_i = exp(sharpness * G_i) / sum_j exp(sharpness * G_j)

and its copies, children of different numbers, go different ways from there.  The potential G is the score itself
("value"), its rise since the last choice ("difference", whose product over the steps is the last score alone), or the
best score on the way ("max").  Where a beam keeps the best prefixes, a swarm keeps good ones in proportion: at
sharpness 0 it is plain sampling, at a large one it is greedy.
"""

import numpy as np

from ..inputs import finite, whole
from ..models.protocol import row_seed, uniform
from .beam import MOST
from .run import Run, branching, scoring
from .tree import SearchResult

POTENTIALS = ("value", "difference", "max")


def particle_search(
    sampler, prompt, verifier, particles=16, score="preview", steps=None, potential="difference", sharpness=10.0,
    resampling="systematic", seed=0, max_rows=32, ledger=None, keep_images=False, enough=None,
) -> SearchResult:  # fmt: skip
    """Paint `particles` pictures side by side, resampled by their scores on the way, and return the best finished one.

    score is "preview", "rollout" or a callable, as for `beam_search`; steps are those to resample at, among
    `sampler.branch_steps` (default: all but the first, before which there is nothing to choose).  sharpness, from 0,
    multiplies the scores: 10 tells scores apart that differ by 0.1.  resampling is "multinomial", "residual" or
    "systematic".  Passes: 1 + particles (K - 1) without rollouts, as for as many separate pictures.  Other arguments
    and errors as for `random_search`.
    """
    n, sharpness = whole(least=1, particles=particles), float(finite(low=0, sharpness=sharpness))
    how, known = scoring(score), [step for step in sampler.branch_steps if step > 0]
    at = branching(sampler, known if steps is None else steps) if known or steps is not None else []
    if potential not in POTENTIALS or resampling not in RESAMPLING:
        asked = f"potential {potential!r} and resampling {resampling!r}"
        raise ValueError(f"{asked}: known are {', '.join(POTENTIALS)} and {', '.join(RESAMPLING)}")
    if n > MOST:
        raise ValueError(f"particles is {n}, more than {MOST}: take fewer, or random_search")
    with Run("particles", sampler, prompt, verifier, seed, max_rows, ledger, keep_images, enough) as run:
        swarm, nodes, best = list(run.branch([run.root], n, first=0)), [0] * n, np.full(n, -np.inf)
        before = np.zeros(n)  # the last scores: all alike at first
        for step in [step for step in at if step > 0]:
            swarm = run.advance(swarm, step)
            looks = [run.score(state, how, pause=None) for state in swarm]
            nodes = entered(run, swarm, nodes, looks)
            scores = np.array([value for look in looks for value in look.scores])
            best = np.maximum(best, scores)
            gained = {"value": scores, "difference": scores - before, "max": best}[potential]
            draws = uniform(row_seed(seed, "resampling"), (step,), n).double().numpy()
            copies = RESAMPLING[resampling](weights(sharpness * gained), n, draws)
            run.tree.keep([node for node, count in zip(nodes, copies) if count])
            nodes, before, best = (np.repeat(of, copies) for of in (nodes, scores, best))
            swarm = list(multiplied(run, swarm, copies))
        swarm = run.advance(swarm, sampler.num_steps, phase="rollout")
        looks = [run.finish(state) for state in swarm]
        entered(run, swarm, nodes, looks)
    run.tree.keep([run.tree.best])
    return run.result()


def entered(run: Run, swarm: list, parents, looks: list) -> np.ndarray:
    """The swarm entered in the tree below its parents: its nodes."""
    nodes, parents = [], [int(parent) for parent in parents]
    for state, look in zip(swarm, looks):
        nodes += run.enter(state, parents[len(nodes) :][: len(state)], look)
    return np.array(nodes)


def multiplied(run: Run, swarm: list, copies: np.ndarray):
    """As many children of every row as `copies` says, in order, as states of at most `max_rows` rows."""
    low, most = 0, run.max_rows
    for state in swarm:
        own = copies[low : low + len(state)].tolist()
        pieces = [(row, min(most, count - j), j) for row, count in enumerate(own) for j in range(0, count, most)]
        while pieces:
            taken, total = 1, pieces[0][1]
            while taken < len(pieces) and pieces[taken][2] == pieces[0][2] and total + pieces[taken][1] <= most:
                total += pieces[taken][1]
                taken += 1
            rows, counts, firsts = zip(*pieces[:taken])
            with run.ledger.phase("branch"):
                yield run.sampler.expand(run.sampler.select(state, rows), list(counts), first=firsts[0])
            pieces = pieces[taken:]
        low += len(state)


# ---- who survives, and how often ------------------------------------------------------------------------------------


def weights(potentials: np.ndarray) -> np.ndarray:
    """exp of the potentials (N,), adding up to 1, however large they are: the largest is subtracted first."""
    grown = np.exp(potentials - potentials.max())
    return grown / grown.sum()


def multinomial(weights: np.ndarray, count: int, draws: np.ndarray) -> np.ndarray:
    """Copies (N,) of each, `count` in all: independent choices, by as many draws in (0, 1)."""
    chosen = np.searchsorted(np.cumsum(weights)[:-1], draws[:count], side="right")
    return np.bincount(chosen, minlength=len(weights))


def residual(weights: np.ndarray, count: int, draws: np.ndarray) -> np.ndarray:
    """Copies (N,) of each: the whole part of count w for sure, the rest by chance."""
    wanted = count * weights
    sure = np.floor(wanted + 1e-9).astype(int)
    left = count - int(sure.sum())
    if not left:
        return sure
    rest = np.maximum(wanted - sure, 0)
    return sure + multinomial(rest / rest.sum(), left, draws)


def systematic(weights: np.ndarray, count: int, draws: np.ndarray) -> np.ndarray:
    """Copies (N,) of each, by one draw: a comb of equal teeth; everyone has count w rounded down or up."""
    teeth = (np.arange(count) + draws[0]) / count
    chosen = np.searchsorted(np.cumsum(weights)[:-1] + 1e-12, teeth, side="right")
    return np.bincount(chosen, minlength=len(weights))


RESAMPLING = {"multinomial": multinomial, "residual": residual, "systematic": systematic}

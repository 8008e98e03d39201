"""Searches that go back: zero-order search around a noise, and search over paths (Ma et al. 2025, arXiv 2501.09732).

A diffusion model that solves an ODE draws once, at the beginning, and a tree of it has no branches.  What is left to a
search is to change the noise (`perturb`), or to add some anew on the way (`renoise`).  Both are verbs of the sampler;
one that predicts scales has the second, which cuts scales off, and so `path_search` is a search that takes back too.
"""

from ..inputs import finite, whole
from .beam import MOST
from .run import Run, choose, scoring, top
from .tree import SearchResult


def zero_order_search(
    sampler, prompt, verifier, neighbors=4, rounds=4, radius=0.3, seed=0, max_rows=32, ledger=None, keep_images=False,
    enough=None,
) -> SearchResult:  # fmt: skip
    """Walk to better noise: `rounds` times, finish `neighbors` of the pivot, and move to the best if it is better.

    radius, 0 to 1: how far a neighbor lies, sqrt(1 - radius^2) x + radius z, 1 an independent noise.  Paints 1 +
    neighbors x rounds pictures.  sampler: one with `perturb`.  Other arguments and errors as for `random_search`.
    """
    n, rounds = whole(least=1, neighbors=neighbors), whole(least=0, rounds=rounds)
    radius = finite(0, 1, radius=radius)
    if not hasattr(sampler, "perturb"):
        raise ValueError(f"a {type(sampler).__name__} begins with no noise to change: take random_search, or a flow")
    with Run("zero-order", sampler, prompt, verifier, seed, max_rows, ledger, keep_images, enough) as run:
        [pivot] = run.advance([run.root], 1)
        [node] = run.enter(pivot, [0], look := run.finish(pivot))
        best = look.scores[0]
        for first in range(0, n * rounds, n):
            scores, nodes, states = [], [], []
            for low in range(0, n, run.max_rows):
                with run.ledger.phase("branch"):
                    near = sampler.perturb(pivot, radius, min(run.max_rows, n - low), first=first + low)
                look = run.finish(near)
                nodes += run.enter(near, [node] * len(near), look)
                scores += look.scores
                states.append(near)
            [row] = top(scores, 1)
            if scores[row] > best:
                [pivot], node, best = choose(sampler, states, [row]), nodes[row], scores[row]
                run.tree.keep([node])
    run.tree.keep([run.tree.best])
    return run.result()


def path_search(
    sampler, prompt, verifier, width=2, candidates=4, start=None, back=2, forward=4, score="preview", seed=0,
    max_rows=32, ledger=None, keep_images=False, enough=None,
) -> SearchResult:  # fmt: skip
    """Two steps back, four forward: renoise each of `width` states in `candidates` ways, go on, keep the best `width`.

    start: the step at which the first choice is made, above `back` (default: a third of the sampler's).  score is
    "preview", "rollout" or a callable, as for `beam_search`; what has come to the end is scored by the verifier.
    Other arguments and errors as for `random_search`.
    """
    width, candidates, steps = whole(least=1, width=width), whole(least=1, candidates=candidates), sampler.num_steps
    back = whole(least=1, back=back)
    forward, how = whole(least=back + 1, forward=forward), scoring(score)
    start = max(back + 1, steps // 3) if start is None else start
    start = whole(least=back + 1, most=steps, start=start)
    if width * candidates > MOST:
        raise ValueError(f"width x candidates is {width * candidates}, more than {MOST}: take fewer, or random_search")
    with Run("paths", sampler, prompt, verifier, seed, max_rows, ledger, keep_images, enough) as run:
        beam, nodes, step = run.advance(list(run.branch([run.root], width, first=0)), start), [0] * width, start
        while step < steps:
            scores, states, entered = [], [], []
            parents = [node for node in nodes for _ in range(candidates)]
            step = min(step - back + forward, steps)
            for born in renoised(run, beam, back, candidates):
                [born] = run.advance([born], step, phase="branch")
                look = run.score(born, how, pause=None)
                entered += run.enter(born, parents[len(entered) :][: len(born)], look)
                scores += look.scores
                states.append(born)
            kept = top(scores, width)
            beam, nodes = choose(sampler, states, kept), [entered[row] for row in kept]
            run.tree.keep(nodes)
        if run.found is None:  # it began at the end
            for state in beam:
                run.enter(state, [0] * len(state), run.finish(state))
    run.tree.keep([run.tree.best])
    return run.result()


def renoised(run: Run, beam: list, back: int, candidates: int):
    """Every row of a beam `candidates` times, so many steps back, as states of at most `max_rows` rows."""
    together = max(1, run.max_rows // candidates)
    for state in beam:
        for low in range(0, len(state), together):
            rows = run.sampler.select(state, range(low, min(low + together, len(state))))
            for j in range(0, candidates, run.max_rows):
                with run.ledger.phase("branch"):
                    yield run.sampler.renoise(rows, state.step - back, min(run.max_rows, candidates - j), first=j)

"""TTS-VAR's recipe (Chen et al. 2025, arXiv 2507.18537): many beginnings, kept diverse; few endings, kept good.

The coarse scales of a picture say little about how good it will be, but much about what it will look like.  So there
the many beginnings are thinned out by *clusters* of what they look like, one of each kind kept, and only at the fine
scales by their scores, resampled as in `particles.py`.  Theirs is the falling number of pictures from scale to scale,
the clusters' features (DINOv2 there, the coarse picture itself here, or any features given) and which scales do what.
"""

from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional as F

from ..inputs import finite, wholes
from ..models.protocol import row_seed, uniform
from .beam import MOST
from .particles import entered, multiplied, systematic, weights
from .run import Run, branching, scoring
from .tree import SearchResult

SIDE = 8  # pixels a side of the coarse picture by which pictures are told apart


def diverse_search(
    sampler, prompt, verifier, sizes=(16, 12, 8, 6, 4, 4), cluster=(1, 2), features=None, score="preview",
    sharpness=10.0, seed=0, max_rows=32, ledger=None, keep_images=False, enough=None,
) -> SearchResult:  # fmt: skip
    """Paint sizes[k] pictures at step k, never more than before; return the best finished one by the verifier.

    sizes has a number for each of the sampler's steps, falling or equal.  Where it falls at a step of `cluster`, kept
    are the pictures nearest to the centres of as many clusters of `features(previews (B, 3, H, W)) -> (B, E)` (None:
    the preview at 8 x 8 pixels); where it falls at another step, pictures are resampled by exp(sharpness * score), the
    score "preview", "rollout" or a callable, as for `beam_search`.  Other arguments and errors as for `random_search`.
    """
    sizes, steps = wholes(least=1, sizes=sizes), sampler.num_steps
    if len(sizes) != steps or any(after > before for before, after in pairwise(sizes)) or sizes[0] > MOST:
        raise ValueError(f"sizes are {steps} numbers, one a step, from at most {MOST} on and never rising; got {sizes}")
    falling = [step for step in range(1, steps) if sizes[step] < sizes[step - 1]]
    branching(sampler, falling or None)  # ValueError where the sampler cannot branch
    how, sharpness, coarse = scoring(score), float(finite(low=0, sharpness=sharpness)), set(wholes(cluster=cluster))
    features = small if features is None else features
    with Run("diverse", sampler, prompt, verifier, seed, max_rows, ledger, keep_images, enough) as run:
        swarm, nodes = list(run.branch([run.root], sizes[0], first=0)), np.zeros(sizes[0], int)
        for step in falling:
            swarm = run.advance(swarm, step)
            if step in coarse:
                copies = kinds(looks_of(run, swarm, features), sizes[step])
            else:
                looks = [run.score(state, how, pause=None) for state in swarm]
                nodes = entered(run, swarm, nodes, looks)
                scores = np.array([value for look in looks for value in look.scores])
                draws = uniform(row_seed(seed, "resampling"), (step,), 1).double().numpy()
                copies = systematic(weights(sharpness * scores), sizes[step], draws)
                run.tree.keep([node for node, count in zip(nodes, copies) if count])
            nodes = np.repeat(nodes, copies)
            swarm = list(multiplied(run, swarm, copies))
        swarm = run.advance(swarm, steps, phase="rollout")
        entered(run, swarm, nodes, [run.finish(state) for state in swarm])
    run.tree.keep([run.tree.best])
    return run.result()


def looks_of(run: Run, swarm: list, features) -> np.ndarray:
    """The features of all previews, (N, E)."""
    with run.ledger.phase("preview"):
        found = [features(run.sampler.preview(state)).detach().cpu().double().flatten(1) for state in swarm]
    return torch.cat(found).numpy()


def small(images: torch.Tensor) -> torch.Tensor:
    """Pictures (B, 3, H, W) at 8 x 8 pixels, (B, 192)."""
    return F.adaptive_avg_pool2d(images.float(), SIDE).flatten(1)


def kinds(features: np.ndarray, count: int) -> np.ndarray:
    """0 or 1 for each of N rows of features (N, E): kept are `count`, each the nearest to the centre of its cluster.

    k-means (Lloyd), begun at rows far from each other (Gonzalez 1985): the first row, then in turn the one farthest
    from all before.  A cluster that loses its members keeps its centre, and the row nearest to that.
    """
    begun = [0]
    for _ in range(count - 1):
        begun.append(int(distances(features, features[begun]).min(1).argmax()))
    centres = features[begun].astype(np.float64)
    for _ in range(20):
        of = distances(features, centres).argmin(1)
        centres = np.stack([features[of == k].mean(0) if (of == k).any() else centres[k] for k in range(count)])
    kept = []
    for away in distances(features, centres).T:
        away[kept] = np.inf  # a row stands for one cluster only
        kept.append(int(away.argmin()))
    return np.bincount(kept, minlength=len(features))


def distances(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """From each row (N, E) to each centre (K, E), (N, K)."""
    return np.linalg.norm(rows[:, None] - centres, axis=2)

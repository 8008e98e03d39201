"""The protocol that every search sees: an image made in K stochastic steps that can be paused, looked at and forked.

    state = sampler.begin(prompts, seed)      rows of states, one per prompt
    state = sampler.expand(state, n)          one forward pass per row, then n children of every row
    state = sampler.select(state, rows)       keep, drop, reorder or repeat rows
    image = sampler.preview(state)            the picture so far; after step K, the picture

A state is a value: `expand` and `select` return a new one and leave the old one usable.  Behind a row stands a `Cell`,
the node of the search tree whose next forward pass it is: it points to its parent's cell, and remembers its pass once
that has run.  Siblings share their parent's pass, and nothing is computed twice.  A fork copies no keys and values: a
row finds those of the earlier scales by walking up its cells.

Child j of a node draws from (its row's seed, its path of child numbers, j) alone: the same seed gives the same picture
whatever the batch, the chunks or the number of children.
"""

import hashlib

import numpy as np
import torch


def row_seed(seed: int, row: int) -> int:
    """The seed of one row where one int was given for all rows."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{row}".encode(), digest_size=7).digest(), "big")


def uniform(seed: int, path: tuple[int, ...], count: int) -> torch.Tensor:
    """`count` numbers in (0, 1) from (seed, path) alone, the same on every machine.

    Philox is a counter-based generator whose raw stream NumPy guarantees; its key is a hash of seed and path.
    """
    digest = hashlib.blake2b(repr((seed, path)).encode(), digest_size=16).digest()
    raw = np.random.Philox(key=int.from_bytes(digest, "big")).random_raw((count + 1) // 2)
    return torch.from_numpy((raw.view(np.uint32)[:count] >> 9).astype(np.float32) + 0.5) * 2.0**-23  # never 0 or 1


def rows_of(prompts, seed) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """What `begin` is given as one prompt and one seed per row: `prompts` a text or several, `seed` an int or several.

    Raises ValueError for no prompts or a wrong number of seeds.
    """
    prompts = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    if not prompts:
        raise ValueError("begin needs at least one prompt")
    if isinstance(seed, int):
        return prompts, tuple(row_seed(seed, row) for row in range(len(prompts)))
    seeds = tuple(int(s) for s in seed)
    if len(seeds) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts need one seed, or {len(prompts)}; got {len(seeds)}")
    return prompts, seeds

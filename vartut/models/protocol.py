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

import copy
import hashlib
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch

from ..inputs import each, finite, one, ordered, shown, whole, wholes
from ..ledger import Ledger

# ---- states --------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Cell:
    """A node of the search tree, which a row and its aliases share: here their next pass is kept once it has run."""

    parent: "Cell | None" = None
    result: object = None  # of the pass of a whole batch, or of this row alone; None before it has run
    row: int = 0  # in that batch

    def ancestors(self) -> list["Cell"]:
        """The cells whose keys and values this one's pass attends to, the root's first: that of the prompt."""
        chain, cell = [], self.parent
        while cell is not None:
            chain.append(cell)
            cell = cell.parent
        return chain[::-1]


@dataclass(frozen=True, eq=False, kw_only=True)
class State:
    """B partial pictures, all at the same step.  A value: nothing in it changes but what its cells remember.

    A sampler adds its own fields: a tensor has a row per picture, a tuple of tensors one tensor for each step, any
    other tuple an entry per picture.
    """

    step: int  # steps done, 0 to K
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]  # the child numbers that led to each row
    cells: tuple[Cell, ...] = field(repr=False)
    ledger: Ledger = field(repr=False)

    def __len__(self):
        return len(self.prompts)


class Sampler:
    """What all samplers have in common.  Each adds begin, expand, latent, decode, preview, `num_steps` and
    `branch_steps`, and `_set`, which checks and keeps its settings."""

    def tuned(self, **settings) -> "Sampler":
        """The same sampler with other settings, the weights shared; raises ValueError for unknown or wrong ones."""
        other = copy.copy(self)
        other.__dict__.update({k: v.copy() for k, v in vars(self).items() if type(v) is list})  # settings, one a step
        other._set(**settings)
        return other

    def select(self, state: State, rows) -> State:
        """Rows of a state in the given order; a repeated row is an alias of the same picture, not a new draw.

        `rows` are whole numbers from 0, or a mask, one bool per row.  Raises ValueError for others.
        """
        return take(state, chosen(rows, len(state)))


def take(state: State, rows: list[int]) -> State:
    """The rows of a state in the given order: of every field by its kind, see `State`."""

    def part(value):
        if isinstance(value, torch.Tensor):
            return value[rows]
        if isinstance(value, tuple) and value:
            a_step_each = isinstance(value[0], torch.Tensor)
            return tuple(v[rows] for v in value) if a_step_each else tuple(value[row] for row in rows)
        return value

    return replace(state, **{f.name: part(getattr(state, f.name)) for f in fields(state)})


# ---- seeds and draws -----------------------------------------------------------------------------------------------


def row_seed(seed: int, row: int | str) -> int:
    """The seed of one row, by its number or name, where one int was given for all rows."""
    row = row if isinstance(row, str) else whole(row=row)
    return int.from_bytes(hashlib.blake2b(f"{whole(seed=seed)}/{row}".encode(), digest_size=7).digest(), "big")


def uniform(seed: int, path: tuple[int, ...], count: int) -> torch.Tensor:
    """`count` numbers in (0, 1) from (seed, path) alone, the same on every machine.

    Philox is a counter-based generator whose raw stream NumPy guarantees; its key is a hash of
    seed and path.
    """
    # plain ints: another kind would be spelled in another way
    key = (whole(seed=seed), tuple(wholes(path=path)))
    digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
    raw = np.random.Philox(key=int.from_bytes(digest, "big")).random_raw((count + 1) // 2)
    bits = raw.view(np.uint32)[:count] >> 9  # 23 of them
    return torch.from_numpy(bits.astype(np.float32) + 0.5) * 2.0**-23  # never 0 or 1


# ---- what is given from outside ------------------------------------------------------------------------------------


def rows_of(prompts, seed) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """What `begin` is given as one prompt and one seed per row: `prompts` a text or several, `seed` an int or several.

    Raises ValueError for no prompts, for other things than texts, and for wrong seeds or a wrong number of them.
    """
    prompts = (prompts,) if one(prompts) else tuple(ordered("texts, as a list", prompts=prompts))
    if not prompts:
        raise ValueError("begin needs at least one prompt")
    for prompt in prompts:
        if not isinstance(prompt, str):
            raise ValueError(f"a prompt is a text; got {shown(prompt)}")
    if one(seed):
        return prompts, tuple(row_seed(seed, row) for row in range(len(prompts)))
    seeds = wholes(seed=seed)
    if len(seeds) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts need one seed, or {len(prompts)}; got {len(seeds)}")
    return prompts, tuple(seeds)


def children(state: State, n, first, num_steps: int) -> tuple[list[int], list[int]]:
    """The children that `expand(state, n, first)` asks for: of each, its parent's row and its number.

    Raises ValueError where the pictures are finished, and unless n is a whole number from 0, or one for each row, and
    first one from 0.
    """
    if state.step >= num_steps:
        raise ValueError(f"the pictures are finished: all {num_steps} steps are done")
    return numbered(state, n, first)


def numbered(state: State, n, first) -> tuple[list[int], list[int]]:
    """n copies of every row, or n[row]: of each its row and its number, from `first` on; ValueError as `children`."""
    counts, first = each(len(state), least=0, n=n), whole(least=0, first=first)
    rows = [row for row, count in enumerate(counts) for _ in range(count)]
    return rows, [first + j for count in counts for j in range(count)]


def chosen(rows, count: int) -> list[int]:
    """What `select` is given as plain row numbers: whole numbers from 0 to count - 1, or a mask of `count` bools."""
    rows = rows.tolist() if isinstance(rows, (np.ndarray, torch.Tensor)) else rows
    if isinstance(rows, (list, tuple)) and rows and all(isinstance(row, (bool, np.bool_)) for row in rows):
        if len(rows) != count:
            raise ValueError(f"a mask has a bool for each of {count} rows; got {len(rows)}")
        return [row for row, kept in enumerate(rows) if kept]
    rows = wholes(rows=rows)
    if any(not 0 <= row < count for row in rows):
        raise ValueError(f"rows are 0 to {count - 1}; got {shown(rows)}")
    return rows


def per_step(count: int, low=0.0, high=float("inf"), **named) -> list[int | float]:
    """The one named setting, one number or one for each of `count` scales, as one for each.

    Raises ValueError for another number of them, and for what is no number from `low` to `high`.
    """
    [(name, values)] = named.items()
    values = [values] * count if one(values) else ordered("numbers, as a list, range or tensor", **named)
    if len(values) != count:
        raise ValueError(f"{name} needs one number, or one for each of {count} scales; got {shown(values)}")
    return [finite(low, high, **{name: value}) for value in values]

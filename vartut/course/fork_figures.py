"""Figures of notebook 04: a fork drawn on the cache, what it costs in four currencies, what a beam saves by sharing.

The boxes of the drawing are counted from the maps' sizes; the bars show what the notebook computed or a benchmark
measured.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from ..models.tokenizer import SCALES
from .pen import PAPER, SMALL, box, canvas, curve, head, note, write
from .plots import BLUE, DARK, ORANGE
from .schematics import PALE_BLUE
from .style import PALETTE

WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
CURRENCIES = ("NFE", "tokens", "FLOPs", "seconds")


def forked_caches(fork: int = 2, children: int = 3, words: int = 32):
    """Keys and values of a picture that is forked after `fork` maps: a box per pass, with the positions that it left.

    Grey boxes are there once, whoever attends to them: also that of the map where the children part, since they draw
    from one and the same pass.  Blue ones are each child's own.  The last map leaves none: nobody comes after it.
    """
    lengths = [words, *(side * side for side in SCALES[:-1])]
    names = ["text", *(f"{side} × {side}" for side in SCALES[:-1])]
    columns = [0.75 + 1.35 * k for k in range(len(lengths))]
    rows = [0.95 + 0.45 * (children - 1 - i) for i in range(children)]
    middle, last = (rows[0] + rows[-1]) / 2, fork + 1  # the last box that is shared
    figure, ax = canvas(columns[-1] + 1.4, rows[0] + 0.7)
    for k, (x, name, length) in enumerate(zip(columns, names, lengths)):
        head(ax, x, rows[0] + 0.45, name)
        for i, y in enumerate([middle] if k <= last else rows):
            if k:
                before = middle if k <= last + 1 else y
                curve(ax, (columns[k - 1] + 0.45, before), (x - 0.45, y), color=DARK, linewidth=1.1, zorder=1)
            box(ax, x, y, 0.9, 0.3, *((PALE_BLUE, BLUE) if k > last else (PAPER, DARK)))
            write(ax, x, y, f"{length}", SMALL)
            if k == len(lengths) - 1 and k > last:
                note(ax, x + 0.58, y, f"child {i}", ha="left", color=BLUE)
    note(ax, columns[last], middle - 0.36, f"one pass,\n{children} draws")
    shared, own = sum(lengths[: last + 1]), sum(lengths[last + 1 :])
    held = f"held: {shared} + {children} × {own} = {shared + children * own} positions"
    copied = f"if every child had a copy: {children} × {shared + own} = {children * (shared + own)}"
    head(ax, columns[0] - 0.45, 0.42, held, ha="left")
    write(ax, columns[0] - 0.45, 0.17, copied, SMALL, "left", color=ORANGE)
    return figure


def draw_prices(shares: dict[str, dict[str, float]]):
    """Bars of four currencies, in percent of separate pictures: `shares[name][currency]`, a group per currency."""
    figure, ax = plt.subplots(figsize=(6.8, 3))
    colors = sns.color_palette(PALETTE, max(1, len(shares)))
    for k, (name, of) in enumerate(shares.items()):
        at = np.arange(len(of)) + (k - (len(shares) - 1) / 2) * 0.8 / len(shares)
        bars = ax.bar(at, [100 * share for share in of.values()], 0.76 / len(shares), color=colors[k], label=name)
        ax.bar_label(bars, [f"{100 * share:.0f}" for share in of.values()], padding=2, fontsize=8, bbox=WHITE)
    ax.axhline(100, color=DARK, linewidth=0.9, linestyle="--")
    ax.set_xticks(range(len(next(iter(shares.values())))), next(iter(shares.values())))
    ax.set(ylabel="% of separate pictures", ylim=(0, 118))
    if len(shares) > 1:
        ax.legend(frameon=False, fontsize=8, ncols=len(shares), loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure


def draw_savings(saved: dict[str, tuple[float, float]]):
    """What a beam saves by not painting its prefixes anew, in NFE and in tokens (shares), a pair of bars a schedule."""
    figure, ax = plt.subplots(figsize=(7.4, 0.9 + 0.42 * len(saved)))
    places = np.arange(len(saved))[::-1]
    for offset, part, name, color in ((0.2, 0, "NFE", DARK), (-0.2, 1, "tokens", BLUE)):
        values = [100 * of[part] for of in saved.values()]
        bars = ax.barh(places + offset, values, 0.36, color=color, label=name)
        ax.bar_label(bars, [f"{value:.0f} %" for value in values], padding=3, fontsize=8)
    ax.set_yticks(places, list(saved))
    ax.set(xlabel="saved, %", xlim=(0, 60))
    ax.legend(frameon=False, fontsize=8, title="counted in")
    return figure

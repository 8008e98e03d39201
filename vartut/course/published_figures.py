"""Figure and table of notebook 11: how many candidates fit which machine."""

import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .plots import DARK
from .style import DASHES

SMALL = 9  # points
PALE = "0.85"
ALONE = "children a step (width × candidates); lines: no two share anything"
TOP, APART = 72, 2.6  # GiB: the axis's end, and from one machine's name to the next


def draw_fit(curves: dict[str, dict[str, list[float]]], machines: dict[str, float], marked: int, most: int = 30):
    """GiB of a search over its candidates a step, 1 to `most`: a colour per search, a dash per way to reckon.

    `curves` has for each search {way: GiB for 1, 2, 3, ... candidates, of which no two share anything}; the first way
    is the least and the last the most, and what lies between is shaded.  `machines` are level lines, with their names
    at the right; a pale line stands at `marked` candidates, for dots and dashes are ways to reckon.  Returns
    matplotlib's figure.
    """
    figure, ax = plt.subplots(figsize=(9, 4.6))
    n, known = range(1, most + 1), []
    for i, (search, ways) in enumerate(curves.items()):
        least, *_, largest = ways.values()
        ax.fill_between(n, least[:most], largest[:most], color=f"C{i}", alpha=0.15, linewidth=0)
        for dashes, sizes in zip(DASHES, ways.values()):
            ax.plot(n, sizes[:most], color=f"C{i}", linestyle=dashes)
        known.append(Patch(color=f"C{i}", label=search))
    known += [Line2D([], [], color=DARK, linestyle=dashes, label=way) for dashes, way in zip(DASHES, ways)]
    ax.axvline(marked, color=PALE, linewidth=2, zorder=0)
    height = -APART
    for name, gib in sorted(machines.items(), key=lambda machine: machine[1]):
        ax.axhline(gib, color=DARK, linewidth=0.8)
        height = max(gib, height + APART)  # the names of two that are nearly equal stand above each other
        ax.text(most + 0.4, height, f"{name}: {gib:g}", va="center", fontsize=SMALL)
    ax.set(xlim=(1, most), ylim=(0, TOP), xlabel=ALONE)
    ax.set_ylabel(f"GiB, up to {TOP}; level lines: what each machine leaves")
    ax.set_xticks(sorted({1, 5, 10, marked, 20, 25, most}))
    ax.legend(handles=known, fontsize=SMALL, loc="upper right", frameon=False)
    return figure


def fit_table(curves: dict[str, dict[str, list[float]]], machines: dict[str, float], marked: int) -> str:
    """The same in numbers: a row per way to reckon, with GiB for `marked` candidates and how many fit each machine."""
    heads = [f"{marked} take", *machines]
    widths = [max(len(head), 10) + 2 for head in heads]
    left = 4 + max(len(way) for ways in curves.values() for way in ways)
    lines = [" " * left + "".join(f"{head:>{width}}" for head, width in zip(heads, widths))]
    for search, ways in curves.items():
        lines.append(search)
        for way, sizes in ways.items():
            fit = (sum(gib <= top for gib in sizes) for top in machines.values())
            cells = [f"{sizes[marked - 1]:.1f} GiB", *fit]
            row = "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths))
            lines.append(f"    {way:<{left - 4}}{row}")
    return "\n".join(lines)

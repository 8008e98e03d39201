"""The figure of notebook 11: how many candidates fit which machine."""

import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .plots import DARK
from .style import DASHES

SMALL = 9  # points
TOP, APART = 72, 2.6  # GiB: the axis's end, and from one machine's name to the next


def draw_fit(curves: dict[str, dict[str, list[float]]], machines: dict[str, float], marked: int, most: int = 30):
    """GiB of a search over its candidates a step, 1 to `most`: a colour per search, a dash per way to reckon.

    `curves` has for each search {way: GiB for 1, 2, 3, ... candidates}; the first way is the least and the last the
    most, and what lies between is shaded.  `machines` are level lines, with their names at the right; a dotted line
    stands at `marked` candidates.  Returns matplotlib's figure.
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
    ax.axvline(marked, color=DARK, linewidth=0.8, linestyle=":")
    height = -APART
    for name, gib in sorted(machines.items(), key=lambda machine: machine[1]):
        ax.axhline(gib, color=DARK, linewidth=0.8)
        height = max(gib, height + APART)  # the names of two that are nearly equal stand above each other
        ax.text(most + 0.4, height, name, va="center", fontsize=SMALL)
    ax.set(xlim=(1, most), ylim=(0, TOP), xlabel="candidates a step: width × candidates", ylabel="GiB")
    ax.set_xticks(sorted({1, 5, 10, marked, 20, 25, most}))
    ax.legend(handles=known, fontsize=SMALL, loc="upper right", frameon=False)
    return figure

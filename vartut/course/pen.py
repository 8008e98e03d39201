"""What schematics are drawn with: text, boxes, arrows and grids of cells, on a canvas measured in inches.

Every length is in inches from the canvas's lower left corner, every font one that matplotlib brings along, so that a
drawing is the same on every machine, whatever style is set.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path

from .plots import DARK
from .style import DPI

PAPER = (0.965, 0.965, 0.965)
NORMAL, SMALL = 9.5, 8.5  # points
FONT = "DejaVu Sans"  # matplotlib's own; it has ✓, ✗ and ★


def canvas(width: float, height: float):
    """A figure of so many inches, and its one axis, in inches too."""
    figure = plt.figure(figsize=(width, height), dpi=DPI, layout="none")
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    return figure, ax


def write(ax, x: float, y: float, text: str, size: float = NORMAL, ha: str = "center", **style) -> None:
    """Text beside a place: centred on it, or left- or right-aligned at it (`ha`)."""
    ax.text(x, y, text, size=size, ha=ha, zorder=6, **({"va": "center", "linespacing": 1.35, "family": FONT} | style))


def note(ax, x: float, y: float, text: str, ha: str = "center", color=DARK) -> None:
    """Small text, grey if no colour is given."""
    write(ax, x, y, text, SMALL, ha, color=color)


def head(ax, x: float, y: float, text: str, size: float = NORMAL, ha: str = "center", **style) -> None:
    """Bold text."""
    write(ax, x, y, text, size, ha, weight="bold", **style)


def box(ax, x: float, y: float, width: float, height: float, face=PAPER, edge=DARK, dashes="-") -> None:
    """A box with round corners, centred at a place."""
    style = {"boxstyle": "round,pad=0,rounding_size=0.08", "linewidth": 1.2, "linestyle": dashes, "zorder": 2}
    corner = (x - width / 2, y - height / 2)
    ax.add_patch(FancyBboxPatch(corner, width, height, facecolor=face, edgecolor=edge, **style))


def frame(ax, x: float, y: float, side: float, color=DARK, width: float = 0.8) -> None:
    """The edge of a square centred at a place."""
    corner = (x - side / 2, y - side / 2)
    ax.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=color, linewidth=width, zorder=5))


def arrow(ax, *points, dashes="-") -> None:
    """An arrow along straight lines through all points."""
    if len(points) > 2:
        ax.plot(*zip(*points[:-1]), color=DARK, linewidth=1.3, linestyle=dashes, zorder=1)
    look = {"arrowstyle": "-|>", "color": DARK, "linewidth": 1.3, "linestyle": dashes, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", points[-1], points[-2], arrowprops=look | {"mutation_scale": 11}, zorder=1)


def curve(ax, start, end, **style) -> None:
    """A line from one place to another, level at both ends."""
    middle = (start[0] + end[0]) / 2
    path = Path([start, (middle, start[1]), (middle, end[1]), end], [Path.MOVETO] + [Path.CURVE4] * 3)
    ax.add_patch(PathPatch(path, fill=False, **style))


def cells(ax, colors: torch.Tensor, x: float, y: float, side: float) -> None:
    """A grid (n, n, 3) of coloured cells in a square of that side, centred at a place."""
    n = len(colors)
    across, down = ([a + side * (s * i / n - s / 2) for i in range(n + 1)] for a, s in ((x, 1), (y, -1)))
    ax.pcolormesh(across, down, colors.numpy(), edgecolors="white", linewidth=0.8, zorder=3)
    frame(ax, x, y, side)


def spread(places: list[float], gap: float) -> list[float]:
    """Ascending places moved until they stand at least so far apart: where to write their names."""
    up, down = places[:1], places[-1:]
    for place in places[1:]:
        up.append(max(place, up[-1] + gap))
    for place in places[-2::-1]:
        down.insert(0, min(place, down[0] - gap))
    return [(a + b) / 2 for a, b in zip(up, down)]

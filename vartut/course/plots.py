"""Figures of searches: the tree that a search looked at, and curves of score against cost.

`style.py` has the look of all figures; here is what belongs to searches alone.
"""

import itertools
import textwrap

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import LogLocator, NullFormatter

from ..inputs import as_pictures
from ..search.tree import Node, SearchResult, Tree
from .style import PALETTE

BLUE, ORANGE = sns.color_palette(PALETTE)[0], sns.color_palette(PALETTE)[3]
GREY, DARK = (0.6, 0.6, 0.6), (0.35, 0.35, 0.35)
TALLEST = 16  # nodes above each other; more of one step stand in several columns
ROOT, GAP, SCORE, RESULT = 0.6, 0.7, 0.5, 2.2  # inches: half a root box, room for edges, for a score, the result's side
DASHES = (0, (2, 1))


def draw_tree(result: SearchResult, size: float = 0.5, title: str | None = None):
    """The tree of a search, root at the left, a column of nodes per step, the returned picture at the right.

    Kept nodes are large with a frame and a bold score, pruned ones small and pale with a thin score; the thick line is
    the path to the picture that was returned, dashed where that picture's rollout ran on.  A search run with
    `keep_images=True` shows at each node the picture that was scored (with rollouts, the finished one); otherwise a
    filled or hollow circle stands there.  `size` is the side of a node's picture in inches.  Returns matplotlib's
    figure.
    """
    tree = result.tree
    places, columns = layout(tree, size)
    half = max(RESULT / 2 + 0.4, max(abs(y) for _, y in places.values()) + size / 2 + 0.1)  # of the height of the tree
    end = max(x for x, _ in places.values()) + size / 2 + SCORE + GAP + RESULT / 2  # the middle of the returned picture
    left, right = -ROOT - 0.2, end + RESULT / 2 + 0.2
    figure = plt.figure(figsize=(right - left, 2 * half + 1.4), layout="none")
    ax = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(-half - 0.6, half + 0.8))
    ax.set_axis_off()

    wrapped = {node.id for node in tree.nodes if places[node.id][0] > columns[node.step][0] + size}
    for node in tree.nodes[1:]:
        if node.kept or node.id in tree.best_path or node.id not in wrapped:  # a pruned one behind others needs no line
            draw_edge(ax, places, node, size, best=node.id in tree.best_path)
    for node in tree.nodes[1:]:
        draw_node(ax, node, places[node.id], size, best=node.id == tree.best)
    box = {"boxstyle": "round", "facecolor": "white", "edgecolor": ORANGE, "linewidth": 2}
    ax.text(0, 0, "\n".join(textwrap.wrap(result.prompt, 13)), ha="center", va="center", fontsize=9, zorder=4, bbox=box)
    for step, (low, high) in list(columns.items())[1:]:
        label = "finished" if step == tree.num_steps else f"after step {step} of {tree.num_steps}"
        ax.text((low + high) / 2, half + 0.05, label, ha="center", fontsize=9)

    draw_picture(ax, result.image, (end, 0), RESULT, ORANGE, 3)
    above = draw_last_edge(ax, places[tree.best], columns, size, (end, -half), tree[tree.best].step < tree.num_steps)
    at, va = (-RESULT / 2 - 0.1, "top") if above else (RESULT / 2 + 0.1, "bottom")
    ax.text(end, at, f"returned: {result.score:.3f}", ha="center", va=va, fontsize=11, weight="bold")
    if title is None:
        count = len(tree.finished_scores())
        title = f"{result.search} search: {count} finished picture{'s' * (count > 1)}, {result.ledger.nfe} NFE"
        if tree[tree.best].image is not None:
            title += "\neach node shows " + ("its finished rollout" if tree[1].finished else "the picture so far")
    ax.text((left + right) / 2, half + 0.7, title, ha="center", va="top", fontsize=10, linespacing=1.3)
    draw_legend(ax, tree[tree.best].image is not None, columns=4 if right - left > 7 else 2)
    return figure


def layout(tree: Tree, size: float) -> tuple[dict[int, tuple[float, float]], dict[int, tuple[float, float]]]:
    """Where each node stands, in inches, the root at (0, 0); and from where to where each step's columns reach."""
    places, columns = {0: (0.0, 0.0)}, {0: (-ROOT, ROOT)}
    right = ROOT
    for step in sorted({node.step for node in tree.nodes[1:]}):
        nodes = [node.id for node in tree.nodes if node.step == step]
        abreast = -(-len(nodes) // TALLEST)
        tall = -(-len(nodes) // abreast)
        left = right + GAP
        for i, node in enumerate(nodes):
            column, row = divmod(i, tall)
            places[node] = (left + size / 2 + column * (size + SCORE), ((tall - 1) / 2 - row) * 1.12 * size)
        right = left + abreast * (size + SCORE)
        columns[step] = (left, right)
    return places, columns


def draw_edge(ax, places, node: Node, size: float, best: bool) -> None:
    """From the right of the parent's score to the left of the child, level at both ends."""
    x, y = places[node.parent]
    start, end = (x + (ROOT if node.parent == 0 else size / 2 + 0.9 * SCORE), y), places[node.id]
    end = (end[0] - size / 2 * (1 if node.kept or best else 0.75), end[1])
    middle = (start[0] + end[0]) / 2
    path = Path([start, (middle, start[1]), (middle, end[1]), end], [Path.MOVETO] + [Path.CURVE4] * 3)
    style = {"color": GREY, "linewidth": 0.6, "linestyle": ":", "zorder": 0}
    if best:
        style = {"color": ORANGE, "linewidth": 3, "zorder": 2}
    elif node.kept:
        style = {"color": BLUE, "linewidth": 1.3, "zorder": 1}
    ax.add_patch(PathPatch(path, fill=False, **style))


def draw_last_edge(ax, best, columns, size: float, below, rollout: bool) -> bool:
    """From the best node to the returned picture: straight from the last column, else round below the other nodes.

    Returns whether the line reaches the picture from above.
    """
    (x, y), (end, lane), last = best, below, max(right for _, right in columns.values())
    start = x + size / 2 + 0.9 * SCORE
    if start > last - 0.2 * SCORE and abs(y) < RESULT / 2:
        points = [(start, y), (end - RESULT / 2, y)]
    elif start > last - 0.2 * SCORE:
        points = [(start, y), (end, y), (end, (-1 if y < 0 else 1) * RESULT / 2)]
    else:
        points = [(start, y), (start, lane), (end, lane), (end, -RESULT / 2)]
    ax.plot(*zip(*points), color=ORANGE, linewidth=3, linestyle=DASHES if rollout else "-", zorder=2)
    return points[-1][1] > 0


def draw_picture(ax, image: torch.Tensor, place, size: float, color=None, frame: float = 0, pale: float = 0) -> None:
    """A picture (3, H, W), uint8 or in [0, 1], centred at `place`, framed where a colour is given; `pale` 0 to 1."""
    (x, y), half = place, size / 2
    pixels = as_pictures(image, "a tree")[0]
    shown = (pixels + pale * (1 - pixels)).permute(1, 2, 0).numpy()
    limits = ax.get_xlim(), ax.get_ylim()
    ax.imshow(shown, extent=(x - half, x + half, y - half, y + half), aspect="auto", zorder=3)
    ax.set(xlim=limits[0], ylim=limits[1])  # imshow moves them
    if color is not None:
        box = Rectangle((x - half, y - half), size, size, fill=False, edgecolor=color, linewidth=frame, zorder=4)
        ax.add_patch(box)


def draw_node(ax, node: Node, place, size: float, best: bool) -> None:
    """A node's picture, or a circle, and its score."""
    color = ORANGE if best else BLUE if node.kept else None
    if node.image is not None:
        side, pale = (size, 0) if color else (0.75 * size, 0.5)
        draw_picture(ax, node.image, place, side, color, 3 if best else 1.6, pale)
    else:
        diameter = 72 * size * (0.6 if color else 0.3)  # in points
        ax.plot(*place, "o", ms=diameter, mfc=color or "white", mec=color or GREY, zorder=3)
    style = {"weight": "bold"} if color else {"color": DARK}
    score = f"{node.score:.{2 if abs(node.score) < 100 else 0}f}"
    ax.text(place[0] + size / 2 + 0.06, place[1], score, va="center", fontsize=8, zorder=4, **style)


def draw_legend(ax, pictures: bool, columns: int) -> None:
    """What frames, sizes and lines mean."""
    marker, fill = ("s", "none") if pictures else ("o", BLUE)
    kept, pruned = ("kept: large, framed", "pruned: small, pale") if pictures else ("kept: large", "pruned: small")
    lines = {
        kept: Line2D([], [], color=BLUE, marker=marker, ms=11, mfc=fill, lw=1.3),
        pruned: Line2D([], [], color=GREY, marker=marker, ms=6, mfc="white", lw=0.8, ls=":"),
        "path to the returned picture": Line2D([], [], color=ORANGE, lw=3),
        "its rollout": Line2D([], [], color=ORANGE, lw=3, ls=DASHES),
    }
    ax.legend(lines.values(), lines, loc="lower center", ncols=columns, frameon=False, fontsize=8, handlelength=3)


# ---- curves --------------------------------------------------------------------------------------------------------


def draw_curves(curves: dict, xlabel: str, ylabel: str, title: str = "", ax=None):
    """Score against cost: a line per name, with its interval as a band; returns matplotlib's figure.

    `curves` maps a name to (cost, score, low, high), four sequences of the same length, cost in ascending order and
    above 0; it is drawn on a logarithmic axis, on which the paper's law E[max] = a log n + b is a straight line.
    Lines differ in marker and dashes as well as in colour.  Raises ValueError where the sequences do not fit.
    """
    for name, sequences in curves.items():
        lengths = {len(sequence) for sequence in sequences}
        if len(sequences) != 4 or len(lengths) != 1 or lengths == {0} or min(sequences[0]) <= 0:
            raise ValueError(f'curve "{name}" needs (cost, score, low, high), of one length, each cost above 0')
    if ax is None:
        _, ax = plt.subplots(figsize=(6, 3.8))
    colors = sns.color_palette(PALETTE, max(1, len(curves)))
    looks = zip(colors, itertools.cycle("os^Dv"), itertools.cycle(["-", "--", "-.", ":"]))
    for (name, (cost, score, low, high)), (color, marker, dashes) in zip(curves.items(), looks):
        ax.plot(cost, score, color=color, marker=marker, linestyle=dashes, markersize=5, label=name)
        ax.fill_between(cost, low, high, color=color, alpha=0.15, linewidth=0)
    ax.set(xscale="log", xlabel=xlabel, ylabel=ylabel, title=title)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda cost, _: f"{cost:,g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.legend(frameon=False)
    return ax.figure

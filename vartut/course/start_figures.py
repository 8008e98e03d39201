"""Figures of notebook 00: what a search kept, the toy's bars and its lines, the paper's main figure, savings, the bet.

Each takes what the notebook computed and returns matplotlib's figure.
"""

import matplotlib.pyplot as plt
import numpy as np

from ..search.tree import SearchResult
from .markers import mark
from .pen import canvas, curve, frame, head, note, write
from .plots import BLUE, DARK, GREY, ORANGE, draw_curves, draw_picture

SIDE, DOWN = 0.86, 1.12  # inches: of a picture, and from a picture to the one below


def draw_kept(result: SearchResult, scored_by: str, right: set[int] = frozenset()):
    """What a beam search kept after every step, a column each, and below it what it liked least.

    Pictures are the finished ones that were scored, the best of a column on top, the score below each; the thick line
    leads to the picture that was returned.  The search must have run with `keep_images=True`.  `scored_by` is the
    verifier's name; `right` has the ids of the nodes whose picture the judge accepts, which get a tick.
    """
    tree, columns = result.tree, []
    for step in range(1, tree.num_steps + 1):
        nodes = sorted((node for node in tree.nodes if node.step == step), key=lambda node: -node.score)
        kept = [node for node in nodes if node.kept or node.id in tree.best_path]
        columns.append((len(nodes), kept, [node for node in nodes if node not in kept][-1:]))
    rows = max(len(kept) for _, kept, _ in columns)
    height = (rows + 1) * DOWN + 1.5
    figure, ax = canvas(1.5 * len(columns) + 0.05, height)
    places = {}  # of the nodes that are drawn
    for k, (count, kept, worst) in enumerate(columns):
        x = 0.75 + 1.5 * k
        returned = ", 1 returned" * any(node.id == tree.best for node in kept)
        went_on = f", {len(kept)} kept" if k + 1 < tree.num_steps else returned  # after the last step nothing goes on
        head(ax, x, height - 0.2, f"step {k + 1}")
        note(ax, x, height - 0.42, f"{count} drawn{went_on}")
        for row, node in [*enumerate(kept), *((rows + 0.3, node) for node in worst)]:
            places[node.id] = (x, height - 0.65 - SIDE / 2 - row * DOWN)
            more = " ✓" * (node.id in right) + ", returned" * (node.id == tree.best)
            draw_choice(ax, places, node, node in kept, node.id in tree.best_path, more)
    rollout = "a rollout, finished at random from what was drawn by then"
    note(ax, 0.1, 0.34, f"Each picture is {rollout}; below it the score by {scored_by}.", ha="left")
    last = "Orange: the way to the returned picture. Blue: kept, or next best. Lowest row: the worst of its step."
    note(ax, 0.1, 0.14, last + " ✓: right by the judge." * bool(right), ha="left")
    return figure


def draw_choice(ax, places: dict, node, kept: bool, best: bool, more: str) -> None:
    """A node's picture, its score and whatever `more` says below it, and the line that leads to it."""
    x, y = places[node.id]
    color, width = (ORANGE, 3) if best else (BLUE, 1.6) if kept else (GREY, 0.8)
    draw_picture(ax, node.image, (x, y), SIDE, pale=0 if kept else 0.5)
    frame(ax, x, y, SIDE, color, width)
    write(ax, x, y - SIDE / 2 - 0.11, f"{node.score:.2f}{more}", weight="bold" if kept else "normal", color=DARK)
    if node.parent in places:
        look = {"color": color, "linewidth": width, "linestyle": "-" if kept else ":", "zorder": 2 if best else 1}
        curve(ax, (places[node.parent][0] + SIDE / 2, places[node.parent][1]), (x - SIDE / 2, y), **look)


def draw_bars(rows: list[tuple]):
    """Bars of (name, NFE, expected sum, simulated sum): hollow where there is a simulation alone, a cross for it."""
    figure, ax = plt.subplots(figsize=(7.6, 2.7))
    for place, (_, nfe, expected, simulated) in zip(range(len(rows))[::-1], rows):
        worth, face = (simulated, "white") if expected is None else (expected, "C0")
        ax.barh(place, worth, height=0.62, facecolor=face, edgecolor="C0", linewidth=1.5)
        if simulated is not None:
            ax.plot(simulated, place, "x", color="black", ms=8)
        ax.text(worth + 0.35, place, f"{worth:.2f}   for {nfe} NFE", va="center")
    ax.set_yticks(range(len(rows))[::-1], [name for name, *_ in rows])
    ax.set(xlabel="expected sum (cross: simulated; hollow: only simulated)", xlim=(0, 13))
    return figure


def draw_lines(lines: dict[str, tuple]):
    """Expected sums over the verifier's error: a line per name, of (errors, sums)."""
    figure, ax = plt.subplots(figsize=(6.4, 3.2))
    for (name, line), dashes in zip(lines.items(), ("-", "--", "-.", ":")):
        ax.plot(*line, dashes, label=name)
    ax.set(xlabel="error of the verifier (standard deviation)", ylabel="expected sum", ylim=(0, 9))
    ax.legend(fontsize=8)
    return figure


def draw_main_figure(points, models: dict[str, tuple], luck: dict[int, float]):
    """The paper's main figure, over NFE and over whole pictures, with what best of n by luck would score as a line.

    `points` is a table with `model`, `nfe` and `imagereward`; `models` has for each (NFE of a picture, spread, the
    source of its points); `luck` maps n to the expected largest of n normal draws.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    for i, (name, (per_picture, spread, source)) in enumerate(models.items()):
        own = points[points.model == name]
        for ax, unit in zip(axes, (1, per_picture)):
            mark(ax, own.nfe / unit, own.imagereward, source, f"C{i}", f"{name}: {source}")
            x = np.array(list(luck)) * per_picture / unit
            line = own.imagereward.min() + spread * np.array(list(luck.values()))
            ax.plot(x, line, color=f"C{i}", label=f"{name}: ours, best of n by luck")
    for ax, label in zip(axes, ("NFE", "NFE, in whole pictures of the model")):
        ax.set(xscale="log", xlabel=label)
    axes[0].set_ylabel("ImageReward on DrawBench")
    axes[1].legend(loc="lower right", fontsize=8)
    return figure


def draw_savings(table: dict[str, tuple[float, float]], claim: float):
    """Per name what is saved, counted in NFE and in tokens, 0 to 1; beside the first what the paper claims."""
    figure, ax = plt.subplots(figsize=(6.4, 2.6))
    for j, unit in enumerate(("NFE", "tokens")):
        values = [100 * saved[j] for saved in table.values()]
        bars = ax.bar(np.arange(len(table)) + 0.4 * j - 0.2, values, 0.36, color=f"C{j}", label=f"ours, in {unit}")
        ax.bar_label(bars, fmt="%.1f", padding=2)
    mark(ax, -0.46, 100 * claim, "printed", "black", "the project page, in NFE")
    ax.text(-0.46, 100 * claim + 4, f"{100 * claim:.0f}", ha="center")
    ax.set_xticks(range(len(table)), table)
    ax.set(ylabel="saved, %", ylim=(0, 75), xlim=(-0.6, len(table) - 0.4))
    ax.legend(loc="upper right", ncols=3, fontsize=8)
    return figure


def draw_bet(curves: dict[str, tuple], title: str, guesses: tuple = ()):
    """How often the best of n is right, in percent: a line per verifier, of (n, mean, low, high).

    `guesses` are the reader's, each (name, n, percent, the curve whose colour it gets); where percent is None nothing
    was bet, and nothing is drawn.  The axis begins at a whole ten below all of it, and says so.
    """
    figure = draw_curves(curves, "pictures to choose from", "", title)
    (ax,), numbers = figure.axes, next(iter(curves.values()))[0]
    colors = {line.get_label(): line.get_color() for line in ax.lines}
    for line in ax.lines:
        line.set_marker("")  # a circle would say that it was read off a plot
    placed = [guess for guess in guesses if guess[2] is not None]
    for name, n, percent, like in placed:
        look = {"color": colors[like], "markeredgecolor": "black", "clip_on": False}  # whole on the axis, too
        ax.plot(n, percent, "*", ms=13, label=f"your bet, {name}", **look)
    lowest = min([*(min(low) for _, _, low, _ in curves.values()), *(percent for _, _, percent, _ in placed)])
    begin = int(10 * (lowest // 10))
    ax.set_xticks(numbers, numbers)
    ax.minorticks_off()
    ax.set(ylabel=f"right, % by the judge (the axis begins at {begin})", ylim=(begin, 101))
    ax.legend(frameon=False, loc="best" if placed else "upper left")
    return figure

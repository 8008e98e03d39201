"""Figures of notebook 05: who notices what, who chooses well, what it costs, and where a score and success part.

Each takes what the notebook computed and returns matplotlib's figure.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from matplotlib.ticker import LogLocator, NullFormatter

from .pen import spread
from .plots import DARK, draw_curves, draw_picture
from .style import DASHES, MAP, PALETTE

OURS = "s^vX>*<p"  # no circle and no diamond: those are numbers of others


def draw_heat(
    values, rows: list[str], columns: list[str], label: str, low: float, high: float, form: str = ".0f", sides=("", "")
):
    """A map of values (rows, columns), each written into its cell; empty where there is none (nan).

    `sides` say what the columns and the rows are.
    """
    values = np.asarray(values, dtype=np.float64)
    figure, ax = plt.subplots(figsize=(1.6 + 0.72 * len(columns), 0.9 + 0.32 * len(rows)))
    drawn = ax.imshow(values, cmap=MAP, vmin=low, vmax=high, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            shade = "black" if value > (low + high) / 2 else "white"
            written = f"{value:{form}}"
            written = written.removeprefix("-") if float(written) == 0 else written
            ax.text(column, row, written, ha="center", va="center", color=shade, size=8)
    ax.set(xlabel=sides[0], ylabel=sides[1])
    ax.xaxis.set_label_position("top")
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.spines[:].set_visible(False)
    figure.colorbar(drawn, label=label, pad=0.02)
    return figure


def draw_answers(images: torch.Tensor, questions: list[str], sure, titles: list[str]):
    """Pictures (B, 3, 64, 64) above a map of how sure of the right answer to each question a verifier is, (B, Q)."""
    figure, axes = plt.subplots(
        2, 1, figsize=(2.6 + 1.25 * len(images), 1.75 + 0.3 * len(questions)), layout="none",
        height_ratios=(1.25, 0.3 * len(questions)),
    )  # fmt: skip
    figure.subplots_adjust(left=2.6 / figure.get_figwidth(), right=0.99, top=0.86, bottom=0.02, hspace=0.06)
    axes[0].set(xlim=(-0.5, len(images) - 0.5), ylim=(-0.5, 0.5))
    axes[0].set_axis_off()
    for i, (image, title) in enumerate(zip(images, titles)):
        draw_picture(axes[0], image, (i, 0), 0.9)
        axes[0].text(i, 0.56, title, ha="center", size=8)
    ax, values = axes[1], 100 * np.asarray(sure).T
    ax.imshow(values, cmap=MAP, vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ax.text(
            column, row, f"{value:.0f} %", ha="center", va="center", color="black" if value > 50 else "white", size=8
        )
    ax.set_yticks(range(len(questions)), questions)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure


def draw_groups(found: dict[str, dict[str, tuple]], ylabel: str):
    """A column per group, in it a mark with its interval for each name: `found[name][group]` is (value, low, high)."""
    groups = list(dict.fromkeys(group for of in found.values() for group in of))
    figure, ax = plt.subplots(figsize=(8.4, 3.4))
    for k, (name, of) in enumerate(found.items()):
        at = [groups.index(group) + (k - (len(found) - 1) / 2) * 0.8 / len(found) for group in of]
        value, low, high = np.transpose(list(of.values()))
        look = {"fmt": OURS[k % len(OURS)], "ms": 5, "capsize": 2, "elinewidth": 1.2}
        ax.errorbar(at, value, (value - low, high - value), color=colors(len(found))[k], label=name, **look)
    ax.set_xticks(range(len(groups)), groups)
    for edge in np.arange(len(groups) - 1) + 0.5:
        ax.axvline(edge, color=DARK, linewidth=0.4)
    ax.axhline(0, color=DARK, linewidth=0.8)
    ax.set(ylabel=ylabel, xlim=(-0.5, len(groups) - 0.5))
    ax.legend(frameon=False, ncols=len(found), loc="lower center", bbox_to_anchor=(0.5, 1), fontsize=8)
    return figure


def draw_plane(points: dict[str, tuple], xlabel: str, ylabel: str, beside: tuple[str, float] | None = None):
    """Cost against worth: `points[name]` is (cost, value, low, high), the cost on a logarithmic axis.

    `beside`, a name and a cost, is drawn as a line.
    """
    figure, ax = plt.subplots(figsize=(6.8, 3.4))
    if beside:
        ax.axvline(beside[1], color=DARK, linewidth=0.9, linestyle="--")
        ax.text(beside[1], 0.98, beside[0] + " ", transform=ax.get_xaxis_transform(), ha="right", va="top", size=8)
    for k, (cost, value, low, high) in enumerate(points.values()):
        color, marker = colors(len(points))[k], OURS[k % len(OURS)]
        ax.errorbar(cost, value, [[value - low], [high - value]], fmt=marker, color=color, ms=7, capsize=3)
    rising = sorted(points, key=lambda name: points[name][1])
    span = max(point[3] for point in points.values()) - min(0, *(point[2] for point in points.values()))
    heights = spread([points[name][1] for name in rising], 0.09 * span)
    for name, height in zip(rising, heights):
        ax.annotate(name, (points[name][0], height), xytext=(11, 0), textcoords="offset points", size=9, va="center")
    ax.axhline(0, color=DARK, linewidth=0.8)
    ax.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.margins(x=0.2)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda cost, _: f"{cost:,g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    return figure


def draw_beside(left: dict[str, tuple], right: dict[str, tuple], labels: tuple, shared: bool = False):
    """Two panels of `draw_curves`: `labels` are of the left one's axes, then of the right one's."""
    figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.6), sharey=shared)
    for ax, curves, (xlabel, ylabel) in zip(axes, (left, right), (labels[:2], labels[2:])):
        draw_curves(curves, xlabel, ylabel, ax=ax)
        for line, dashes in zip(ax.lines, DASHES * 2):
            line.set(marker="", linestyle=dashes)
    axes[0].get_legend().remove()
    axes[1].legend(frameon=False, fontsize=8)
    return figure


def colors(count: int):
    """So many colours that the colour-blind can tell apart."""
    return sns.color_palette(PALETTE, max(1, count))

"""The figures of notebook 03 that take more lines than their idea: tables of pairs, masks, influence, losses, dials.

Each draws what it is given, and computes nothing that the notebook is about.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import torch

from ..models.tokenizer import SCALES
from .style import MAP, heat

SIDES = [f"{n} × {n}" for n in SCALES]
SMALL = 9  # points, of the labels at axes


def name_blocks(axis, lengths: list[int], names: list[str], rotation: float = 0) -> None:
    """Ticks in the middle of consecutive blocks of these lengths; an empty name leaves its tick out."""
    middles = np.cumsum(lengths) - np.array(lengths) / 2 - 0.5
    named = [(middle, name) for middle, name in zip(middles, names) if name]
    axis.set_ticks(*zip(*named), fontsize=SMALL, rotation=rotation)


def draw_pairs(tables: dict[str, torch.Tensor], wasted: torch.Tensor, best: tuple[float, float]) -> None:
    """Probabilities (2, 2) of two tokens, a panel per name; then the bits wasted (N, N) with a star where it is best.

    Rows of `wasted` are the left token's probability of red, columns the right one's, both from 0 to 1, ends left out.
    """
    _, axes = plt.subplots(1, len(tables) + 1, figsize=(9.4, 2.5))
    for ax, (title, table) in zip(axes, tables.items()):
        heat(ax, table, title, 0, 1)
        ax.set(xticks=[0, 1], xticklabels=["red", "blue"], xlabel="right half")
        ax.set(yticks=[0, 1], yticklabels=["red", "blue"], ylabel="left half")
        for i, j in itertools.product(range(2), range(2)):
            color = "white" if table[i, j] < 0.6 else "black"
            ax.text(j, i, f"{table[i, j]:.2f}", ha="center", va="center", color=color)
    grid = (torch.arange(len(wasted)) + 1) / (len(wasted) + 1)
    levels = axes[-1].contourf(grid, grid, wasted, levels=[1, 1.2, 1.6, 2.4, 4], cmap=MAP, extend="max")
    axes[-1].plot(*best[::-1], "w*", markersize=11)
    axes[-1].set(xlabel="P(right is red)", ylabel="P(left is red)")
    axes[-1].set_title("bits wasted by a product (star: least)", fontsize=9)
    plt.colorbar(levels, ax=axes[-1], label="bits")


def draw_masks(masks: dict[str, torch.Tensor], lengths: list[int], names: list[str]) -> None:
    """Small masks (N, N) beside each other, with lines between blocks of these lengths and names."""
    _, axes = plt.subplots(1, len(masks), figsize=(3.6 * len(masks), 3.4))
    for ax, (name, mask) in zip(axes, masks.items()):
        heat(ax, mask, name, 0, 1)
        ax.set(xlabel="may be seen (bright)", ylabel="sees", aspect="equal")
        for edge in np.cumsum(lengths)[:-1] - 0.5:
            ax.axhline(edge, color="white", linewidth=0.8)
            ax.axvline(edge, color="white", linewidth=0.8)
        name_blocks(ax.xaxis, lengths, names, rotation=90)
        name_blocks(ax.yaxis, lengths, names)


def draw_weights(weights: dict[str, torch.Tensor], lengths: list[int], names: list[str]) -> None:
    """Tables of attention weights (N, N), a panel per title, with the names of blocks of these lengths."""
    _, axes = plt.subplots(1, len(weights), figsize=(2.6 * len(weights), 2.9))
    for ax, (title, table) in zip(axes, weights.items()):
        image = heat(ax, table, title, 0, 1)
        ax.set_xlabel("is seen")
        name_blocks(ax.xaxis, lengths, names, rotation=90)
    axes[0].set_ylabel("sees")
    name_blocks(axes[0].yaxis, lengths, names)
    plt.colorbar(image, ax=axes, shrink=0.8, label="weight")


def draw_likeness(likeness: torch.Tensor, side: int, place: int) -> None:
    """How alike the code of one place of the map of this side is to those of all places, (130,): a panel per map."""
    figure, axes = plt.subplots(1, len(SCALES), figsize=(9, 2.1))
    figure.suptitle("star: the place asked about; yellow: the same code; grey: nothing in common", fontsize=SMALL)
    for ax, part, n in zip(axes, likeness.split([n * n for n in SCALES]), SCALES):
        image = heat(ax, part.view(n, n), f"{n} × {n}", -1, 1)
        ax.set_aspect("equal")
        if n == side:
            ax.plot(place % n, place // n, "r*", markersize=10)
    plt.colorbar(image, ax=axes, shrink=0.8, label="likeness")


def draw_influence(panels: dict[str, torch.Tensor], words: int) -> None:
    """How strongly (130, N) each place's logits depend on the N sources, in decades; what is exactly zero stays white.

    The last 130 sources are the maps' places; before them stand `words` places for words, or none.  The map of side 1,
    one line wide, has no room for a label.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(4.9 * len(panels), 4.2))
    columns = [words] * (words > 0) + [n * n for n in SCALES]
    strong = torch.cat([values[values > 0] for values in panels.values()]).log10().round()
    ticks = range(round(strong.quantile(0.001).item()), round(strong.quantile(0.999).item()) + 1)
    for ax, (title, values) in zip(axes, panels.items()):
        decades = torch.where(values > 0, values.log10().round(), torch.nan)
        image = heat(ax, decades, title, ticks[0] - 0.5, ticks[-1] + 0.5)
        image.set_cmap(plt.get_cmap(MAP, len(ticks)))  # a colour per decade
        ax.set_facecolor("white")
        ax.set(ylabel="logits of the map of side", xlabel="with respect to the map of side")
        for sizes, line, axis in ((columns, ax.axvline, ax.xaxis), (columns[-6:], ax.axhline, ax.yaxis)):
            name_blocks(axis, sizes, ["text"] * (len(sizes) - 6) + ["", *map(str, SCALES[1:])])
            for end in np.cumsum(sizes):
                line(end - 0.5, color="0.6", linewidth=0.6)
    figure.colorbar(image, ax=axes, shrink=0.7, ticks=ticks, label="log10 of the gradient's size, rounded")


def draw_losses(losses: dict[str, list[float]], moved: list[float], ends: list[float] | None = None) -> None:
    """Cross-entropy by map, a group of bars per map, and what the prompt changes in the predictions of each map, plus-
    minus `ends`."""
    _, axes = plt.subplots(1, 2, figsize=(9, 2.7), width_ratios=[2, 1])
    wide = 0.8 / len(losses)
    for i, (name, values) in enumerate(losses.items()):
        axes[0].bar(np.arange(6) + wide * (i - (len(losses) - 1) / 2), values, wide, label=name)
    axes[0].set(title="cross-entropy", ylabel="nats a token", ylim=(0, 8))
    axes[0].legend(fontsize=8, loc="upper center", ncols=3)
    axes[1].bar(np.arange(6), moved, color="C3", yerr=ends, capsize=3)
    axes[1].set(title="what the prompt changes", ylabel="nats a token")
    for ax in axes:
        ax.set(xticks=range(6), xticklabels=SIDES, xlabel="map")


def draw_dials(rows: list[dict]) -> None:
    """Rows of dials.csv: how often one picture is right, how often the best of four, and how much four differ."""
    _, axes = plt.subplots(1, 2, figsize=(9, 2.6), width_ratios=[2, 1], sharey=True)
    places = np.arange(len(rows))[::-1]
    for shift, marker, low, middle, high, name in (
        (0.13, "o", "low", "rate", "high", "one picture"),
        (-0.13, "s", "best_low", "best", "best_high", "the best of four"),
    ):
        values, ends = np.array([float(row[middle]) for row in rows]), [[float(r[low]), float(r[high])] for r in rows]
        errors = np.abs(np.array(ends).T - values)
        axes[0].errorbar(values, places + shift, xerr=errors, fmt=marker, label=name, capsize=2)
    axes[0].set(yticks=places, yticklabels=[row["setting"] for row in rows], xlabel="judged right", xlim=(0, 0.7))
    axes[0].legend(fontsize=8, loc="lower right")
    axes[1].barh(places, [float(row["variety"]) for row in rows], 0.5, color="0.6")
    axes[1].set(xlabel="how much four pictures differ, %")

"""Figures of notebook 01: a shape's pixels, what the judge sees, where "left of" is, who plays whom, how often it errs.

Each takes what the notebook computed and returns matplotlib's figure; what is computed stays in the notebook.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from matplotlib.ticker import MultipleLocator

from ..world import COLORS, RELATIONS, SHAPES
from .pen import SMALL, box, canvas, curve, head, write
from .plots import BLUE, DARK, ORANGE, draw_picture

DAMAGES = {
    "blurred": "sigma, pixels",
    "noisy": "sigma",
    "smeared": "pixels a side",
    "torn": "reach, pixels",
    "shuffled": "share",
}  # of data/results/judge_error.csv, with the unit of their strength
PLACES = ((7, 32), (56, 32), (32, 8), (32, 56), (9, 9))  # of the words in `draw_places`


def draw_grids(distance: torch.Tensor, cover: torch.Tensor, picture: torch.Tensor):
    """Signed distances (n, n) and coverage (n, n), a number in each cell, beside the picture (n, n, 3)."""
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.3))
    look = {"annot_kws": {"size": 7.5}, "cbar": False, "square": True, "xticklabels": False, "yticklabels": False}
    far = float(distance.abs().max())
    sns.heatmap(distance.numpy(), cmap="vlag", vmin=-far, vmax=far, annot=True, fmt=".1f", ax=axes[0], **look)
    edge = [[f"{c:.2f}" if 0 < c < 1 else "" for c in row] for row in cover.tolist()]  # where it is partial
    sns.heatmap(cover.numpy(), cmap="rocket_r", annot=edge, fmt="", ax=axes[1], **look)
    axes[2].imshow(picture.numpy())
    axes[2].set_axis_off()
    for ax, title in zip(axes, ("signed distance, pixels", "coverage (written where partial)", "picture")):
        ax.set_title(title)
    return figure


def draw_fields(fields: dict[str, torch.Tensor], span: torch.Tensor):
    """Signed distances over a square: tints in steps of 0.3, blue inside, red outside; the edge is black."""
    figure, axes = plt.subplots(2, 4, figsize=(6.4, 3.6))
    for ax, (name, field) in zip(axes.flat, fields.items()):
        there, field = span.numpy(), field.numpy()
        levels = np.arange(-0.9, 1.6, 0.3)
        ax.contourf(there, there, field, levels=levels, cmap="vlag", vmin=-1, vmax=1, extend="both")
        ax.contour(there, there, field, levels=[0], colors="black", linewidths=2)
        ax.set(aspect="equal", title=name)
        ax.invert_yaxis()  # y grows downwards, as in a picture
        ax.set_axis_off()
    return figure


def draw_pairings(counts, framed):
    """How often each shape (row) had each colour (column); pairs in `framed` have a frame."""
    figure, ax = plt.subplots(figsize=(5.4, 3.2))
    sns.heatmap(counts, cmap="crest", cbar_kws={"label": "objects"}, ax=ax)
    ax.tick_params("x", rotation=45)
    for shape, color in framed:
        corner = (list(COLORS).index(color), SHAPES.index(shape))
        ax.add_patch(plt.Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=2.5))
    return figure


def draw_steps(picture: torch.Tensor, distance: torch.Tensor, labels: np.ndarray):
    """A picture (3, H, W), how far each pixel is from the ground, what stands out, and its pieces, numbered."""
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.6))
    axes[0].imshow((20 * picture.permute(1, 2, 0)).round().numpy() / 20)  # few levels: a small file
    axes[1].imshow((12 * distance).round().numpy() / 12, cmap="mako")
    axes[2].imshow(labels > 0, cmap="Greys")
    axes[3].imshow(np.ma.masked_equal(labels, 0), cmap="Set2")
    for number in range(1, labels.max() + 1):
        rows, columns = np.nonzero(labels == number)
        axes[3].text(columns.mean(), rows.mean(), str(number), ha="center", va="center", weight="bold")
    titles = ("the picture", "distance from the ground", "what stands out", f"{labels.max()} pieces")
    for ax, title in zip(axes, titles):
        ax.set_title(title)
        ax.set_axis_off()
    return figure


def draw_places(held: np.ndarray):
    """(63, 63) numbers 0 to 5: with an object at pixel 1 to 63 no relation to the middle one holds, one, or two."""
    palette = [(1.0, 1.0, 1.0), *sns.color_palette("colorblind")[:4], (0.73, 0.73, 0.73)]
    figure, ax = plt.subplots(figsize=(4, 4.2))
    ax.imshow(np.array(palette)[held], extent=(0.5, 63.5, 63.5, 0.5))
    ax.add_patch(plt.Circle((32, 32), 8, fill=False, linewidth=2, edgecolor="black"))
    for text, place, shade in zip((*RELATIONS, "two"), PLACES, ("white", "black", "white", "black", "black")):
        ax.text(*place, text, ha="center", va="center", color=shade)  # white on the dark blue and green
    ax.text(32, 32, "?", ha="center", va="center", weight="bold")
    ax.text(32, 27.5, "none", ha="center", va="center", fontsize=8)
    ax.set_title("where the other centre must be")
    ax.set_axis_off()
    return figure


def draw_castings(picture: torch.Tensor, actors, castings):
    """Castings of the objects found in a picture (3, 64, 64), side by side: a line from each role to who plays it.

    A casting is (title, [(role, player, what holds of it by name), ...]); the player is one of `actors`.
    """
    figure, ax = canvas(4.5 * len(castings), 2.1)
    heights = [1.3 - 0.8 * i for i in range(max(len(actors), len(castings[0][1])))]
    for left, (title, cast) in zip((4.5 * i for i in range(len(castings))), castings):
        head(ax, left + 0.15, 1.9, title, ha="left")
        for actor, y in zip(actors, heights):
            top, side = (min(max(round(place) - 16, 0), 32) for place in (actor.y, actor.x))
            draw_picture(ax, picture[:, top : top + 32, side : side + 32], (left + 3.9, y), 0.7, DARK, 0.8)
        for (role, player, holds), y in zip(cast, heights):
            box(ax, left + 1.15, y, 2.0, 0.66)
            write(ax, left + 1.15, y + 0.13, role)
            for x, (name, true) in zip((0.68, 1.62), holds.items()):
                text, color = (f"{name} ✓", BLUE) if true else (f"{name} ✗", ORANGE)
                write(ax, left + x, y - 0.14, text, SMALL, color=color)
            end = (left + 3.55, heights[actors.index(player)])
            curve(ax, (left + 2.15, y), end, edgecolor=DARK, linewidth=1.3)
    return figure


def draw_coverage(rates: np.ndarray, curves: dict[str, list[float]], end: float = 0.97):
    """How often each interval contains the true rate: over all rates, and from `end` on."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
    for ax, low, title in zip(axes, (0, end), ("all rates", f"the end, from {end:g} on")):
        for name, covered in curves.items():
            ax.plot(rates, 100 * np.array(covered), label=name, linewidth=1)
        ax.axhline(95, color="black", linewidth=1, linestyle="--", label="95 %")
        ax.set(xlim=(low, 1), ylim=(0, 101), xlabel="true success rate, n = 100 prompts", title=title)
    axes[0].set_ylabel("intervals that contain it, %")
    axes[0].legend()
    return figure


def draw_errors(table):
    """False rejects and, on a scale of their own, false accepts against the strength of each damage, with intervals."""
    overall = table[table.changed_word == "all"]
    figure, axes = plt.subplots(2, 5, figsize=(9.6, 4.4), sharex="col", sharey="row")
    for (error, marker), row in zip((("false reject", "o"), ("false accept", "s")), axes):
        for ax, (damage, unit) in zip(row, DAMAGES.items()):
            rows = overall[overall.distortion.isin(["clean", damage]) & (overall.error == error)]
            bars = np.stack([rows.rate - rows.low, rows.high - rows.rate]).clip(min=0)
            color = "C0" if error == "false reject" else "C1"
            ax.errorbar(range(len(rows)), 100 * rows.rate, 100 * bars, color=color, marker=marker, capsize=3)
            ax.set_xticks(range(len(rows)), ["clean", *(f"{s:g}" for s in rows.strength[1:])], fontsize=8, rotation=45)
            ax.set(title=damage) if error == "false reject" else ax.set(xlabel=unit)
        row[0].set_ylabel(f"{error}s, %\n(95 % interval)")
    axes[0, 0].set_ylim(-3, 103)
    axes[0, 0].yaxis.set_major_locator(MultipleLocator(25))
    axes[1, 0].set_ylim(-0.15, 5.15)  # a twentieth of the scale above
    figure.align_ylabels(axes[:, 0])
    return figure

"""The figures of notebook 02 that take more lines than their idea: signals, territories, fields, facts, codebooks.

Each draws what it is given, and computes nothing that the notebook is about.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from .style import DASHES, MAP, MARKERS


def draw_totals(signal: torch.Tensor, totals: list[torch.Tensor], sides) -> None:
    """A signal (N,) as bars, a panel per map, and over it the total after that map."""
    _, axes = plt.subplots(1, len(sides), figsize=(8, 1.9), sharey=True)
    edges = [i - 0.5 for i in range(len(signal) + 1)]
    for ax, n, total in zip(axes, sides, totals):
        ax.bar(range(len(signal)), signal.tolist(), color="0.85", label="signal")
        ax.stairs(total.numpy(), edges, linewidth=2, color="C0", label="total so far")
        ax.set(title=f"after the map of {n}", xlabel="position", xticks=range(len(signal)))
        ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes[0].set_ylabel("value")
    axes[-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def draw_fields(picture: torch.Tensor, fields: dict[str, torch.Tensor], cell: tuple[int, int], side: int = 8) -> None:
    """A picture (3, 64, 64), and per name how much each of its pixels has to do with one cell (row, column)."""
    _, axes = plt.subplots(1, 1 + len(fields), figsize=(2.9 * (1 + len(fields)), 2.7))
    axes[0].imshow(picture.permute(1, 2, 0).numpy())
    axes[0].set_title("the picture, and the cell's own pixels", fontsize=9)
    for ax, (title, field) in zip(axes[1:], fields.items()):
        share = (field / field.max()).clamp(min=1e-4).numpy()
        heat = ax.imshow(share, cmap=plt.get_cmap(MAP, 8), norm=LogNorm(1e-4, 1))
        ax.set_title(title, fontsize=9)
        plt.colorbar(heat, ax=ax, shrink=0.8, label="share of the strongest")
    for ax in axes:
        corner = (side * cell[1] - 0.5, side * cell[0] - 0.5)
        ax.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="red", linewidth=1.2))
        bare(ax)


def bare(ax) -> None:
    """A panel without axes: neither ticks nor half a frame."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def draw_leftovers(picture: torch.Tensor, leftovers: list[torch.Tensor], sides) -> None:
    """A picture (3, 64, 64), and per map the size (8, 8) of what of it is left over, all on one scale."""
    titles = ["before any map", *(f"after {n} × {n}" for n in sides)]
    _, axes = plt.subplots(1, 1 + len(titles), figsize=(10.6, 1.8))
    axes[0].imshow(picture.permute(1, 2, 0).numpy())
    for ax, title, rest in zip(axes[1:], titles, leftovers):
        heat = ax.imshow(rest.numpy(), cmap=MAP, vmin=0, vmax=float(leftovers[0].max()))
        ax.set_title(title, fontsize=9)
    axes[0].set_title("the picture", fontsize=9)
    for ax in axes:
        bare(ax)
    plt.colorbar(heat, ax=axes, shrink=0.8).set_label("root mean square\nleft over", fontsize=8)


def draw_collapse(runs: dict[str, tuple]) -> None:
    """Per name (codes in use at every step, the codes (V, 2), data (N, 2), who is in use (V,)): maps, and all lines."""
    _, axes = plt.subplots(1, 5, figsize=(10.8, 2), width_ratios=[1, 1, 1, 1, 1.5])
    for i, (name, (in_use, book, z, alive)) in enumerate(runs.items()):
        axes[i].scatter(*z[:64].T, s=4, color="0.75")
        axes[i].scatter(*book[alive].T, s=12, color=f"C{i}")
        axes[i].scatter(*book[~alive].T, s=12, color="black", marker="x")
        axes[i].set_title(name, fontsize=8)
        bare(axes[i])
        axes[i].set_aspect("equal")
        axes[4].plot(in_use, color=f"C{i}", linestyle=DASHES[i], label=name)
    axes[4].set(xlabel="step", ylabel="codes in use")
    axes[4].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def draw_trainings(curves: dict[str, list[tuple]], codes: int) -> None:
    """Per name a list of (step, squared error, codes in use): use on the left, error on the right."""
    _, axes = plt.subplots(1, 2, figsize=(6.4, 2))
    for i, (name, curve) in enumerate(curves.items()):
        at, error, in_use = zip(*curve)
        axes[0].plot(at, in_use, marker=MARKERS[i], label=name)
        axes[1].plot(at, error, marker=MARKERS[i], label=name)
    axes[0].set(xlabel="step", ylabel=f"codes in use, of {codes}")
    axes[1].set(xlabel="step", ylabel="squared error", ylim=(0, None))
    axes[0].legend()


def draw_usage(bars: dict[str, list[float]], ticks: list[str], codes: int) -> None:
    """Effective codes per scale, a bar per name."""
    _, ax = plt.subplots(figsize=(5, 2))
    for i, (name, values) in enumerate(bars.items()):
        ax.bar(torch.arange(len(ticks)) + 0.4 * i - 0.2, [codes * value for value in values], 0.4, label=name)
    ax.set(xticks=range(len(ticks)), xticklabels=ticks, ylabel=f"effective codes, of {codes}", xlabel="scale")
    ax.legend(fontsize=7)

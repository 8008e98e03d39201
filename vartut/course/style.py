"""How the course's figures look: seaborn's plain style, colours that the colour-blind can tell apart, small files.

A notebook calls `style()` once, beside its imports; `show` lays pictures out in a grid; whatever else a figure needs is
a few lines of matplotlib in the cell that draws it.
"""

import io
import sys

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from matplotlib.figure import Figure
from PIL import Image

from ..inputs import as_pictures, whole
from ..world import GROUND

DPI = 144  # pictures of 110 pixels or more; a notebook with a dozen figures stays under 1 MB
PALETTE = "colorblind"  # seaborn's, after Okabe and Ito
MARKERS, DASHES = "os^Dv", ("-", "--", ":", "-.", (0, (5, 1)))  # lines are told apart without colours, too
MAP = "cividis"  # the colour map of heat maps: even in lightness, and the same to the colour-blind


def style() -> None:
    """Set seaborn's style and the course's palette and resolution for all figures that follow."""
    sns.set_theme(context="notebook", style="ticks", palette=PALETTE, font_scale=0.8)
    plt.rcParams |= {"figure.dpi": DPI, "savefig.dpi": DPI, "axes.spines.top": False, "axes.spines.right": False}
    plt.rcParams |= {"image.interpolation": "nearest", "figure.constrained_layout.use": True}
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and "ipykernel" in sys.modules:
        plt.switch_backend(plt.get_backend())  # the notebook's backend brings its own way along; ours comes after it
        shell.display_formatter.formatters["image/png"].for_type(Figure, small_png)


def small_png(figure) -> bytes:
    """A figure as a PNG of at most 256 colours, mostly in less than half the bytes: what notebooks show."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", bbox_inches="tight")
    drawn = Image.open(drawn).convert("RGBA")
    white = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    content = io.BytesIO()
    white.quantize(256, dither=Image.Dither.NONE).save(content, "png", optimize=True)
    return content.getvalue()


def show(images, titles=None, rows=None, columns: int | None = None, size: float = 0.95):
    """A grid of pictures (B, 3, H, W) in [0, 1], or in any form that `vartut.inputs.as_pictures` understands: uint8 as
    in a search's tree, NumPy's (H, W, 3), one picture or a list of them; returns matplotlib's figure.

    `titles` stand over the pictures: one each, or one per column.  `rows` are written left of the rows.  `columns` is
    the number of pictures in a row (default: what `rows` leaves, else at most eight), `size` a picture's side in
    inches.  Raises ValueError for what is no picture, and where numbers do not fit each other.
    """
    images = as_pictures(images, "show")  # (B, 3, H, W), float32
    titles, rows = ([] if texts is None else [str(text) for text in texts] for texts in (titles, rows))
    default = -(-len(images) // len(rows)) if rows else min(8, len(images))
    columns = default if columns is None else whole(least=1, columns=columns)
    count = -(-len(images) // columns)
    if len(titles) not in (0, columns, len(images)) or len(rows) not in (0, count):
        got = f"{len(titles)} titles and {len(rows)} row labels for {len(images)} pictures in {columns} columns"
        raise ValueError(f"show takes one title per picture or per column and one label per row; got {got}")
    lines = max([0, *(title.count("\n") + 1 for title in titles if title)])
    head = 0.17 * lines * (count if len(titles) == len(images) else 1)  # inches that the titles take
    figure, axes = plt.subplots(count, columns, figsize=(columns * size, count * size + head), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    # few levels, counted from the world's ground: a third of the file's size
    ground = torch.tensor(GROUND, dtype=torch.float32, device="cpu").view(3, 1, 1)
    pictures = (ground + (16 * (images - ground)).round() / 16).clamp(0, 1)
    for i, image in enumerate(pictures):
        ax = axes[i // columns, i % columns]
        ax.imshow(image.permute(1, 2, 0).numpy())
        if i < len(titles):
            ax.set_title(titles[i], fontsize=8)
        if rows and i % columns == 0:
            ax.text(-0.08, 0.5, rows[i // columns], ha="right", va="center", fontsize=8, transform=ax.transAxes)
    return figure


def heat(ax, values: torch.Tensor, title: str = "", low: float | None = None, high: float | None = None):
    """A matrix (H, W) as a heat map without ticks on `ax`; returns the image, for a colour bar."""
    picture = ax.imshow(values.detach().float().cpu().numpy(), cmap=MAP, vmin=low, vmax=high, aspect="auto")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=9)
    return picture

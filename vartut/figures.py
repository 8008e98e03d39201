"""What the notebooks draw with: one look for all figures, and rows of pictures."""

import matplotlib.pyplot as plt
import seaborn as sns
import torch


def style() -> None:
    """Set seaborn's white grid, its colour-blind-safe colours and 72 dots an inch for all figures that follow."""
    sns.set_theme(style="whitegrid", palette="colorblind", font_scale=0.9)
    plt.rcParams.update({"figure.dpi": 72, "savefig.dpi": 72, "figure.constrained_layout.use": True})


def show(images: torch.Tensor, titles=None, columns: int = 8, size: float = 1.5):
    """Draw pictures (B, 3, H, W), values in [0, 1], `columns` in a row, each `size` inches wide; returns the figure.

    `titles` is one text per picture.  Raises ValueError for pictures of a wrong shape or a wrong number of titles.
    """
    if images.ndim != 4 or images.shape[1] != 3 or len(images) == 0:
        raise ValueError(f"show draws pictures (B, 3, H, W), at least one; got {tuple(images.shape)}")
    titles = [""] * len(images) if titles is None else [str(title) for title in titles]
    if len(titles) != len(images):
        raise ValueError(f"one title per picture: got {len(titles)} titles for {len(images)} pictures")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = max(title.count("\n") + 1 if title else 0 for title in titles)
    figure, axes = plt.subplots(rows, columns, figsize=(size * columns, rows * (size + 0.17 * lines)), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles):
        axis.imshow(image.detach().float().clamp(0, 1).permute(1, 2, 0).cpu().numpy(), interpolation="nearest")
        if title:
            axis.set_title(title, fontsize=8)
    return figure

"""Where a number of a figure comes from is seen at its marker, in every notebook alike.

A diamond was printed by somebody, hollow where it comes at second hand; a circle was read off the pixels of a plot;
what we computed or measured ourselves is a line or a bar.
"""

LOOKS = {
    "printed": {"marker": "D", "ms": 8, "markeredgecolor": "black"},
    "at second hand": {"marker": "D", "ms": 8, "markeredgecolor": "black", "markerfacecolor": "white"},
    "read off a plot": {"marker": "o", "ms": 9, "markeredgewidth": 2, "markerfacecolor": "white"},
}


def mark(ax, x, y, source: str, color, label: str | None = None) -> None:
    """Numbers of somebody else on a figure, with the marker of their source: a name of LOOKS."""
    if source not in LOOKS:
        raise ValueError(f"a number of others was {', or '.join(LOOKS)}; got {source!r}")
    ax.plot(x, y, linestyle="none", color=color, label=label, **LOOKS[source])

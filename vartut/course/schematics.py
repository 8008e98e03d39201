"""Drawings that explain: an idea as a schematic, before any model runs.

- `scene_to_judge()`: from a scene to a verdict, for notebook 01
- `six_maps()`: a picture as six maps of tokens, for notebook 02
- `mask_and_sequence()`: the blocks of the sequence, and who may see whom, for notebook 03
- `what_is_held()`: what a beam remembers at its first choice, for notebook 11

That of notebook 00, a search as a tree, is long and stands in `tree_schematic.py`.  Each returns matplotlib's figure,
drawn by the means of `pen.py`.  The pictures in them are the world's renderer's, the verdicts its judge's, the mask the
transformer's; no weights are read.
"""

import itertools
import textwrap
from dataclasses import replace

import torch
from matplotlib.patches import Rectangle
from torch.nn import functional as F

from ..inputs import whole
from ..models.tokenizer import SCALES
from ..models.transformer import block_causal_mask
from ..world import GROUND, MAX_WORDS, Found, Object, Scene, judge, render, sample
from .pen import PAPER, SMALL, arrow, box, canvas, cells, curve, frame, head, note, spread, write
from .plots import BLUE, DARK, GREY, ORANGE, draw_picture

PALE_BLUE, PALE_ORANGE = (0.87, 0.93, 0.97), (0.98, 0.90, 0.84)
SEEN = (0.55, 0.76, 0.89)  # blue, light enough for text upon it
FINE = 256  # pixels a side of pictures that are only looked at


def scene_of(text: str) -> Scene:
    """The scene of "red circle 18 30, ...": large objects, each with its centre in pixels."""
    words = [part.split() for part in text.split(",")]
    return Scene(tuple(Object(shape, color, "solid", "large", int(x), int(y)) for color, shape, x, y in words), "", "")


# ---- notebook 01 -----------------------------------------------------------------------------------------------------


def scene_to_judge():
    """From a scene to a verdict: a renderer paints the scene; a model, in its place, reads only the prompt.

    Above, a scene of the test split, its picture, and what the judge says of it.  Below, where a model stands.  Its
    picture is drawn by us, with one thing wrong; the verdict on it is real.  The judge sees pictures and the prompt.
    """
    scene = sample("complex", 5, "test")[4]
    slip = replace(scene, objects=(scene.objects[0], replace(scene.objects[1], texture="solid")))
    verdicts = judge(render([scene, slip]), [scene.prompt] * 2)
    figure, ax = canvas(9, 4.3)
    above, below = 3.2, 1.5  # the heights of the two ways
    middle = (above + below) / 2

    things = [f"{Found(o.shape, o.color, o.texture, o.size, o.x, o.y, 1)}\nat ({o.x}, {o.y})" for o in scene.objects]
    said = textwrap.fill(f"“{scene.prompt}”", 24)
    for y, title, text in ((above, "scene", "\n".join(things)), (below, "prompt", said)):
        box(ax, 1.1, y, 2.0, 1.1)
        write(ax, 1.1, y, text, SMALL)
        head(ax, 0.12, y + 0.67, title, ha="left")
    renderer, model = (above, "renderer", "-", PALE_BLUE, BLUE), (below, "model", "--", PALE_ORANGE, ORANGE)
    for y, title, dashes, face, edge in (renderer, model):
        box(ax, 3.15, y, 1.1, 0.6, face, edge, dashes)
        head(ax, 3.15, y, title)
        for start, end in ((2.1, 2.6), (3.7, 4.15), (5.45, 5.9), (6.8, 7.1)):
            arrow(ax, (start, y), (end, y), dashes=dashes if start == 3.7 else "-")
    note(ax, 3.15, above - 0.5, "sees the scene")
    note(ax, 3.15, below - 0.58, "stands in its place,\nsees the prompt alone")
    shown = zip((above, below), ("picture", "picture, one slip"), render([scene, slip], FINE), verdicts)
    for y, title, picture, verdict in shown:
        draw_picture(ax, picture, (4.8, y), 1.3, DARK, 0.8)
        head(ax, 4.15, y + 0.78, title, ha="left")
        draw_verdict(ax, 7.2, y, verdict)
    note(ax, 4.8, below - 0.78, "drawn by us")
    box(ax, 6.35, middle, 0.9, above - below + 1.3, "white")
    head(ax, 6.35, middle, "judge", 12)
    arrow(ax, (1.1, above - 0.55), (1.1, below + 0.55))
    note(ax, 1.25, middle, "says part of it", ha="left")
    arrow(ax, (1.1, below - 0.55), (1.1, 0.4), (6.35, 0.4), (6.35, below - 0.65))
    note(ax, 3.75, 0.24, "the judge reads the prompt and the picture, never the scene")
    return figure


def draw_verdict(ax, x: float, y: float, verdict) -> None:
    """What the judge says: right or wrong, the grade, the reason."""
    word, color = ("✓ right", BLUE) if verdict.correct else ("✗ wrong", ORANGE)
    head(ax, x, y + 0.47, f"{word}, grade {verdict.grade:.2f}", ha="left", color=color)
    write(ax, x, y + 0.3, textwrap.fill(verdict.reason, 23), SMALL, ha="left", va="top")


# ---- notebook 02 -----------------------------------------------------------------------------------------------------

NOTHING = 0.8  # the grey of "nothing to add"


def six_maps():
    """A picture as six maps of tokens, of 1, 2, 3, 4, 6 and 8 a side: each is grown to 8 x 8, and all are added up.

    The sum is the latent, which a decoder turns into a picture; below stands the sum so far after every map.  The
    colours are a sketch, with patches of a scene's picture, starting from its ground, in the place of a tokenizer's
    codes: a map says what the ones before it left over, and grey means "nothing to add".
    """
    picture = render([scene_of("red circle 20 24, blue square 44 44")], FINE)[0]
    maps, grown, sums = residual_maps(F.adaptive_avg_pool2d(picture, SCALES[-1]))
    figure, ax = canvas(9, 5.2)
    pitch, side, cell = 1.12, 0.86, 0.1  # inches from map to map, of a grown map, of a token
    top, middle, low = 3.95, 2.35, 0.7  # heights of the maps, of what they are grown to, of the sums
    for k, n in enumerate(SCALES):
        x = 0.62 + pitch * k
        head(ax, x, 4.9, f"{n} × {n}")
        write(ax, x, 4.68, f"{n * n} token{'s' * (n > 1)}", SMALL)
        cells(ax, maps[k], x, top, n * cell)
        arrow(ax, (x, 3.42), (x, middle + side / 2 + 0.06))
        cells(ax, grown[k], x, middle, side)
        head(ax, x + pitch / 2, middle, "+" if n < SCALES[-1] else "=", 15)
        cells(ax, sums[k], x, low, side)
    note(ax, 0.7, 3.14, "grown to\n8 × 8", ha="left")
    note(ax, 0.19, low + 0.62, "the sum so far: a whole picture after every map", ha="left")
    text = " + ".join(str(n * n) for n in SCALES) + f"\n= {sum(n * n for n in SCALES)} tokens"
    write(ax, 7.3, 0.92, text, SMALL, "left")
    ax.add_patch(Rectangle((7.3, 0.3), 0.16, 0.16, facecolor=(NOTHING,) * 3, edgecolor=DARK, linewidth=0.8))
    write(ax, 7.55, 0.38, "nothing to add", SMALL, "left")

    x = 7.85
    cells(ax, sums[-1], x, middle, 1.1)
    frame(ax, x, middle, 1.1, BLUE, 2)
    head(ax, x, middle - 0.72, "latent")
    arrow(ax, (x, 2.96), (x, 3.15))
    box(ax, x, 3.33, 1.1, 0.36, PALE_BLUE, BLUE)
    head(ax, x, 3.33, "decoder")
    arrow(ax, (x, 3.51), (x, 3.69))
    draw_picture(ax, picture, (x, 4.25), 1.1, DARK, 0.8)
    head(ax, x, 4.95, "picture")
    return figure


def residual_maps(view: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
    """What each scale adds to (3, 8, 8): as a map (n, n, 3), grown to (8, 8, 3), and the sum so far, all as colours.

    The loop is the tokenizer's without codes: shrink what is left over, grow it again, add it.
    """
    total = torch.tensor(GROUND).view(3, 1, 1).expand_as(view)
    maps, grown, sums = [], [], []
    for n in SCALES:
        rest = F.adaptive_avg_pool2d(view - total, n)
        added = F.interpolate(rest[None], size=view.shape[1:], mode="bicubic")[0]
        total = total + added
        for colors, values in ((maps, NOTHING + 1.5 * rest), (grown, NOTHING + 1.5 * added), (sums, total)):
            colors.append(values.clamp(0, 1).permute(1, 2, 0))
    return maps, grown, sums


# ---- notebook 03 -----------------------------------------------------------------------------------------------------


def mask_and_sequence(words: int = MAX_WORDS):
    """The sequence of positions along the bottom, words first, then map by map, and above it the mask of who sees whom.

    A row of the mask is a position that looks, a column one that it may see (blue) or not (grey); rows stand in the
    order of the sequence, from above.  One position is chosen: what it may see is orange, in its row and in the
    sequence.  `words` is the number of places for words; all is drawn to scale.
    """
    lengths = [whole(least=1, words=words), *(n * n for n in SCALES)]
    mask = block_causal_mask(lengths)  # (N, N)
    ends = [sum(lengths[:k]) for k in range(len(lengths) + 1)]  # where the blocks begin, and the last one ends
    chosen = ends[4] + 9  # a position of the 4 x 4 map: third row, second from the left
    figure, ax = canvas(9, 6.6)
    left, low, side, strip = 1.6, 1.5, 4.8, 1.0  # the mask's left and lower edge, its side; the sequence's height
    unit, top = side / len(mask), low + side
    middles = [(begin + end) / 2 * unit for begin, end in itertools.pairwise(ends)]
    names = ["text", *(f"{n} × {n}" for n in SCALES)]
    sees = [f"{n} position{'s' * (n > 1)}, {'each ' * (n > 1)}sees {int(mask[b].sum())}" for n, b in zip(lengths, ends)]

    draw_mask(ax, mask, ends, chosen, left, top, unit)
    draw_sequence(ax, mask, ends, chosen, left, strip, unit)
    for middle, x, name in zip(middles, spread(middles, 0.42), names):
        ax.plot([left + middle, left + x], [strip - 0.15, strip - 0.27], color=GREY, linewidth=0.8)
        write(ax, left + x, strip - 0.38, name, SMALL)
    for texts, x, to, ha in ((names, left, -0.24, "right"), (sees, left + side, 0.24, "left")):
        for middle, y, text in zip(middles, spread(middles, 0.19), texts):
            ax.plot([x + to / 8, x + 0.8 * to], [top - middle, top - y], color=GREY, linewidth=0.8)
            write(ax, x + to, top - y, text, SMALL, ha)
    across, itself, at = left + middles[-1], left + (chosen + 0.5) * unit, top - (chosen + 0.5) * unit
    ax.plot([itself] * 2, [at, strip + 0.13], ":", color="black", linewidth=1, zorder=4)
    text = "one position of the 4 × 4 map (black)\nsees all that is orange"
    note(ax, left + ends[5] * unit + 0.09, at, text, "left", ORANGE)
    write(ax, across, top - middles[5], "not seen:\nfiner maps")
    write(ax, across, top - middles[6], "seen: the text,\nall coarser maps,\nthe whole own map")
    head(ax, 0.4, strip, "the sequence", SMALL, "left")
    head(ax, 0.4, top + 0.17, "who looks", SMALL, "left")
    text = f"who is seen: {len(mask)} positions, words first, then the maps from coarse to fine"
    head(ax, left + side / 2, 0.27, text, SMALL)
    return figure


def draw_mask(ax, mask: torch.Tensor, ends: list[int], chosen: int, left: float, top: float, unit: float) -> None:
    """The mask as a square of cells, with lines between the blocks; what the chosen position sees is orange."""
    colors, side = torch.tensor(PAPER).repeat(*mask.shape, 1), len(mask) * unit  # (N, N, 3)
    colors[mask] = torch.tensor(SEEN)
    colors[chosen, mask[chosen]] = torch.tensor(ORANGE)
    colors[chosen, chosen] = 0.0
    limits = ax.get_xlim(), ax.get_ylim()
    ax.imshow(colors.numpy(), extent=(left, left + side, top - side, top), zorder=1, interpolation="nearest")
    ax.set(xlim=limits[0], ylim=limits[1], aspect="auto")  # imshow moves them
    for end in (end * unit for end in ends[1:-1]):
        ax.plot([left, left + side], [top - end] * 2, color="white", linewidth=0.6, zorder=2)
        ax.plot([left + end] * 2, [top - side, top], color="white", linewidth=0.6, zorder=2)
    frame(ax, left + side / 2, top - side / 2, side)


def draw_sequence(ax, mask: torch.Tensor, ends: list[int], chosen: int, left: float, y: float, unit: float) -> None:
    """The positions in a row, orange where the chosen one sees them; it itself is black."""
    colors = torch.tensor(PAPER).repeat(1, len(mask), 1)  # (1, N, 3)
    colors[0, mask[chosen]] = torch.tensor(ORANGE)
    colors[0, chosen] = 0.0
    places = [left + i * unit for i in range(len(mask) + 1)]
    ax.pcolormesh(places, [y + 0.13, y - 0.13], colors.numpy(), edgecolors="white", linewidth=0.3, zorder=2)
    for begin, end in itertools.pairwise(ends):
        corner, width = (left + begin * unit, y - 0.13), (end - begin) * unit
        ax.add_patch(Rectangle(corner, width, 0.26, fill=False, edgecolor=DARK, linewidth=0.8, zorder=3))


# ---- notebook 11 -----------------------------------------------------------------------------------------------------


def what_is_held(passes: tuple[int, ...] = (1, 10, 100, 1000), width: int = 2, candidates: int = 3):
    """What a beam remembers at its first choice, one child rolled out at a time: a column per pass, a box per result.

    `passes` are the bytes that the pass of each scale leaves for one row.  The root's pass is there once; every child
    of the first scale, `width` x `candidates` of them, has run the next pass and keeps it (blue); the last one is just
    being rolled out, and what it ran beyond is dropped once it is scored (orange, dashed).
    """
    children, low = width * candidates, 0.85
    columns = [0.9 + 2.05 * k for k in range(len(passes))]
    rows = [low + 0.4 * i for i in range(children)]  # heights of the children, the one in work below
    figure, ax = canvas(9, rows[-1] + 1.0)
    root = (columns[0], (rows[0] + rows[-1]) / 2)
    for k, x in enumerate(columns):
        head(ax, x, rows[-1] + 0.72, f"pass of scale {k}")
    for x, text in zip(columns, ("the root's, held once", "each child's own, kept")):
        note(ax, x, rows[-1] + 0.48, text)
    note(ax, (columns[2] + columns[-1]) / 2, rows[0] + 0.42, "of the child in work alone,\ndropped once it is scored")
    draw_pass(ax, *root, passes[0])
    for y in rows:
        curve(ax, (root[0] + 0.45, root[1]), (columns[1] - 0.45, y), color=DARK, linewidth=1, zorder=1)
        draw_pass(ax, columns[1], y, passes[1], PALE_BLUE, BLUE)
    for before, x, size in zip(columns[1:], columns[2:], passes[2:]):
        arrow(ax, (before + 0.45, low), (x - 0.45, low), dashes="--")
        draw_pass(ax, x, low, size, PALE_ORANGE, ORANGE, "--")
    arrow(ax, (columns[-1] + 0.45, low), (columns[-1] + 0.85, low))
    write(ax, columns[-1] + 0.92, low, "picture,\nscore", SMALL, "left")
    waits = f"{children} children of scale 0 wait for the choice, the lowest has just been rolled out: "
    parts = [f"{passes[0]:,}", f"{children} × {passes[1]:,}", *(f"{size:,}" for size in passes[2:])]
    total = passes[0] + children * passes[1] + sum(passes[2:])
    write(ax, 0.3, 0.3, f"{waits}{' + '.join(parts)} = {total:,} bytes are held", ha="left")
    return figure


def draw_pass(ax, x: float, y: float, size: int, face=PAPER, edge=DARK, dashes="-") -> None:
    """A box for what one pass has left, with its bytes."""
    box(ax, x, y, 0.9, 0.3, face, edge, dashes)
    write(ax, x, y, f"{size:,}", SMALL)

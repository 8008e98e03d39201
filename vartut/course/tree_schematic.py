"""The schematic of notebook 00: a search as a tree, with the rollouts by which it chooses.

The pictures are the world's renderer's and the scores its judge's; no weights are read.
"""

import textwrap

import torch
from matplotlib.lines import Line2D
from torch.nn import functional as F

from ..world import GROUND, Scene, judge, render
from .pen import FONT, SMALL, box, canvas, cells, curve, frame, head, note, write
from .plots import BLUE, DARK, GREY, ORANGE, draw_picture
from .schematics import FINE, scene_of

PROMPT = "a red circle left of a blue square"
# A pair is a beginning that is kept: its rollout, and its continuations.  A text is a finished picture: in the last
# column a leaf, before it the rollout of a beginning that is dropped.
TREE = [
    "green circle 46 18, green square 18 46",
    (
        "red circle 18 26, green square 46 38",
        [
            "blue circle 18 26, red square 46 38",
            (
                "red circle 18 30, blue star 46 38",
                [
                    (
                        "red square 18 26, blue square 46 38",
                        [
                            "red circle 18 26, red square 46 38",
                            "red square 18 26, blue circle 46 38",
                            "red star 18 26, blue square 46 38",
                        ],
                    ),
                    "orange heart 18 26, blue cross 46 38",
                    (
                        "red circle 18 26, blue diamond 46 38",
                        [
                            "red circle 18 26, blue circle 46 38",
                            "red circle 18 26, blue square 46 38",
                            "red circle 18 26, cyan star 46 38",
                        ],
                    ),
                ],
            ),
            "yellow circle 18 46, black square 46 18",
        ],
    ),
    "black square 18 18, black circle 46 46",
    "yellow star 18 18, red ring 46 46",
    (
        "red circle 46 26, blue square 18 38",
        [
            "green square 18 38, red circle 46 26",
            (
                "red circle 46 30, blue square 18 38",
                [
                    "blue square 18 38, pink star 46 26",
                    "orange circle 46 26, blue star 18 38",
                    "cyan square 18 38, red cross 46 26",
                ],
            ),
            "blue heart 18 38, red ring 46 26",
        ],
    ),
    "cyan circle 18 26, orange square 46 38",
]
ENDS = (1.85, 3.55, 5.25, 7.75)  # the columns' middles: of their squares
ROLLOUT, SCORE, ONWARD = 0.5, 0.88, 1.06  # from a square's middle to its rollout's, to the score, to where lines leave
MIDDLE, HALF = 2.5, 1.86  # the height of the root, and how far the tree reaches above and below it
SIDE, SMALLER, FINISHED = 0.48, 0.34, 0.42  # of a kept square, of a dropped one, and of a finished picture
STRONGER = (3.0, 2.2, 1.6)  # the colours of coarse views, which are pale means


def search_tree():
    """The idea of a search: from a prompt a tree branches step by step, by the scores of rollouts; few are kept.

    A column per step shows what is painted by then, in 1, 2 x 2 and 3 x 3 patches, and beside each square its rollout:
    a picture finished at random, with a score (the judge's grade).  Kept squares are large and framed, dropped ones
    small and pale; the last step's pictures are finished themselves, and a thick line leads to the best.
    """
    figure, ax = canvas(9, 5.3)
    columns = columns_of(TREE)
    grades = [grades_of([rollout_of(branch) for branch, _ in column]) for column in columns]
    best = max(range(len(grades[-1])), key=grades[-1].__getitem__)
    path = [best]  # the number of the best in its column, and of those that it comes from in theirs
    for column in columns[:0:-1]:
        path.insert(0, column[path[0]][1])

    box(ax, 0.66, MIDDLE, 1.14, 0.95, "white", ORANGE)
    write(ax, 0.66, MIDDLE, textwrap.fill(PROMPT, 13))
    heights = [[MIDDLE + HALF - 2 * HALF * (i + 0.5) / len(column) for i in range(len(column))] for column in columns]
    for k, column in enumerate(columns):
        for i, (branch, parent) in enumerate(column):
            start = (1.23, MIDDLE) if k == 0 else (ENDS[k - 1] + ONWARD, heights[k - 1][parent])
            draw_branch(ax, start, (ENDS[k], heights[k][i]), branch, grades[k][i], k, best=path[k] == i)
    head(ax, ENDS[-1] + 0.66, heights[-1][best], "★ best", ha="left", color=ORANGE)
    label_columns(ax, columns)
    return figure


def columns_of(tree: list) -> list[list[tuple]]:
    """The branches of every column, from top to bottom, each with the number of its parent in the column before."""
    columns = [[(branch, 0) for branch in tree]]
    while any(isinstance(branch, tuple) for branch, _ in columns[-1]):
        kept = [(i, branch) for i, (branch, _) in enumerate(columns[-1]) if isinstance(branch, tuple)]
        columns.append([(part, i) for i, (_, parts) in kept for part in parts])
    return columns


def rollout_of(branch) -> Scene:
    """The finished picture by which a branch of TREE is scored."""
    return scene_of(branch if isinstance(branch, str) else branch[0])


def grades_of(scenes: list[Scene]) -> list[float]:
    """What the judge says of each."""
    return [verdict.grade for verdict in judge(render(scenes), [PROMPT] * len(scenes))]


def scenes_below(branch) -> list[Scene]:
    """The scenes that a branch of TREE leads to, its own rollout among them."""
    parts = [] if isinstance(branch, str) else branch[1]
    return [rollout_of(branch), *(scene for part in parts for scene in scenes_below(part))]


def coarse(scenes: list[Scene], n: int) -> torch.Tensor:
    """(n, n, 3): the mean of these scenes' pictures in n by n patches, its colours made stronger."""
    ground = torch.tensor(GROUND).view(3, 1, 1)
    away = F.adaptive_avg_pool2d(render(scenes).mean(0), n) - ground
    return (ground + STRONGER[n - 1] * away).clamp(0, 1).permute(1, 2, 0)


def draw_branch(ax, start, end, branch, grade: float, column: int, best: bool) -> None:
    """A branch with its score, its rollout where it is not finished, and the line that leads to it."""
    (x, y), last, kept = end, column == len(ENDS) - 1, isinstance(branch, tuple)
    color = ORANGE if best else BLUE if kept else DARK if last else GREY
    side = FINISHED if last else SIDE if kept else SMALLER
    width, dashes = (3, "-") if best else (1.4, "-") if kept else (1.0, "-") if last else (0.8, ":")
    look = {"edgecolor": color, "linewidth": width, "linestyle": dashes, "zorder": 2 if best else 1}
    curve(ax, start, (x - side / 2, y), **look)
    if not last:
        colors = coarse(scenes_below(branch), column + 1)
        cells(ax, colors if kept else 0.6 * colors + 0.4, x, y, side)
        if kept:  # its rollout and score stand on the line that goes on
            ax.plot((x + side / 2, x + ONWARD), (y, y), color=color, linewidth=width, zorder=look["zorder"])
    frame(ax, x, y, side, color, width)
    picture, score = (x, x + 0.46) if last else (x + ROLLOUT, x + SCORE)
    draw_picture(ax, render([rollout_of(branch)], FINE)[0], (picture, y), FINISHED, pale=0 if kept or last else 0.45)
    if not last:
        frame(ax, picture, y, FINISHED, GREY)
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    write(ax, score, y, f"{grade:.1f}", weight="bold" if best or kept else "normal", bbox=ground)


def label_columns(ax, columns) -> None:
    """What the columns are, above them, how many were drawn and kept, below, and what the lines mean."""
    for k, (x, column) in enumerate(zip(ENDS[:3], columns)):
        kept = sum(isinstance(branch, tuple) for branch, _ in column)
        write(ax, x, 4.85, f"step {k + 1}\n{(k + 1) ** 2} token{'s' * (k > 0)}")
        note(ax, x + ROLLOUT, 4.85, "rollout,\nscore", ha="left")
        note(ax, x + 0.3, 0.5, f"{len(column)} drawn, {kept} kept")
    write(ax, (ENDS[2] + ONWARD + ENDS[3]) / 2 - 0.12, 4.85, "steps 4 and 5\nlikewise", color=DARK)
    write(ax, ENDS[3], 4.85, "step 6:\nfinished")
    note(ax, ENDS[3] + 0.35, 4.85, "\nscore", ha="left")
    note(ax, ENDS[3] + 0.1, 0.5, "the last six, finished")
    lines = {
        "kept: the two best scores of its step": Line2D([], [], color=BLUE, marker="s", ms=11, mfc="none", lw=1.4),
        "dropped": Line2D([], [], color=GREY, marker="s", ms=7, mfc="none", lw=0.8, ls=":"),
        "the way to the best picture": Line2D([], [], color=ORANGE, lw=3),
    }
    look = {"loc": "lower center", "ncols": 3, "frameon": False, "handlelength": 3, "borderaxespad": 0}
    ax.legend(lines.values(), lines, prop={"size": SMALL, "family": FONT}, **look)

"""Notebook 05's drawing: what each verifier reads of a picture and a prompt, and what it therefore misses.

What is drawn follows from how they are built (`vartut/verifiers`), not from a measurement: the questions are those that
the prompt is taken apart into, the objects those that the judge finds, the tokens those of the picture.
"""

import textwrap

import torch
from torch.nn import functional as F

from ..world import judge, render
from ..world.questions import questions
from .pen import SMALL, arrow, box, canvas, cells, frame, head, note, write
from .plots import BLUE, DARK, ORANGE, draw_picture
from .schematics import FINE, scene_of

PROMPT = "a red circle left of a blue square"
SCENE = "red circle 18 32, blue square 46 32"
WIDE, SIDE = 1.5, 0.86  # inches: a column, a picture in it
MISSES = {  # by construction
    "clip": "easily, what went\nwith what: one vector\nfor the picture, one\nfor all words",
    "reward": "nothing in principle;\nin practice, what it\nnever had to look at",
    "vqa": "what no question\nasks: things too\nmany, torn edges",
    "aesthetic": "the prompt",
    "likelihood": "the finished picture:\nwhat the generator\nfinds likely may\nstill be wrong",
    "oracle": "in this world next\nto nothing; outside\nit, everything",
}


def what_each_reads():
    """Six columns: `clip` (and clip-hard), reward, vqa, aesthetic, likelihood, oracle."""
    figure, ax = canvas(WIDE * len(MISSES), 4.5)
    scene = scene_of(SCENE)
    picture = render([scene], FINE)[0]
    drawings = (two_vectors, one_sequence, asked_apart, picture_alone, tokens_alone, objects_found)
    for i, ((name, missed), draw) in enumerate(zip(MISSES.items(), drawings)):
        x = WIDE * (i + 0.5)
        head(ax, x, 4.25, "clip, clip-hard" if name == "clip" else name, 10, va="baseline")
        sees, reads = name != "likelihood", name != "aesthetic"
        if sees:
            draw_picture(ax, picture, (x, 3.66), SIDE, DARK, 0.8)
        else:
            frame(ax, x, 3.66, SIDE)
            note(ax, x, 3.66, "no picture")
        said = textwrap.fill(f"“{PROMPT}”", 17) if reads else "no prompt"
        write(ax, x, 2.95, said, SMALL, color="black" if reads else DARK)
        draw(ax, x, 2.02, picture)
        arrow(ax, (x, 1.42), (x, 1.22))
        note(ax, x, 1.12, "a number")
        head(ax, x, 0.88, "what it misses", SMALL, color=ORANGE)
        write(ax, x, 0.76, missed, SMALL, va="top")
    return figure


def two_vectors(ax, x: float, y: float, picture: torch.Tensor) -> None:
    """Picture and prompt each become one vector, and meet as a cosine."""
    for dx, shade, name in ((-0.34, 0, "picture"), (0.34, 1, "prompt")):
        rows = torch.rand(6, 1, generator=torch.Generator().manual_seed(shade)).mul(0.6).add(0.35)
        colors = torch.cat([rows, rows, torch.ones_like(rows)] if shade else [torch.ones_like(rows), rows, rows], 1)
        strip = colors.view(6, 1, 3)
        for k, color in enumerate(strip):
            cells(ax, color[None], x + dx, y + 0.42 - 0.14 * k, 0.13)
        note(ax, x + dx, y - 0.46, name)
    write(ax, x, y + 0.07, "·", 16)


def one_sequence(ax, x: float, y: float, picture: torch.Tensor) -> None:
    """Patches and words stand in one sequence, and look at each other."""
    cells(ax, F.adaptive_avg_pool2d(picture[None], 4)[0].permute(1, 2, 0), x - 0.32, y, 0.7)
    for k, word in enumerate(PROMPT.split()[:5]):
        write(ax, x + 0.43, y + 0.42 - 0.18 * k, word if k < 4 else "…", SMALL)
        ax.plot([x + 0.04, x + 0.2], [y, y + 0.42 - 0.18 * k], color=BLUE, linewidth=0.8)
    note(ax, x - 0.12, y - 0.48, "each sees all")


def asked_apart(ax, x: float, y: float, picture: torch.Tensor) -> None:
    """The prompt taken apart into questions, each with its right answer."""
    asked = questions(PROMPT)
    for k, question in enumerate((asked[0], asked[1], asked[-1])):
        text = textwrap.fill(question.text.replace(" ?", "?"), 20)
        write(ax, x, y + 0.44 - 0.34 * k, text, 8, linespacing=1.15)
    note(ax, x, y - 0.5, f"… {len(asked)} questions")


def picture_alone(ax, x: float, y: float, picture: torch.Tensor) -> None:
    """A clean picture, or a torn one?"""
    torn = torch.cat([picture[:, : FINE // 2], picture[:, FINE // 2 :].roll(FINE // 12, 2)], 1)
    for dx, image, word in ((-0.36, picture, "clean?"), (0.36, torn, "spoiled?")):
        draw_picture(ax, image, (x + dx, y + 0.08), 0.6, DARK, 0.8)
        note(ax, x + dx, y - 0.38, word)


def tokens_alone(ax, x: float, y: float, picture: torch.Tensor) -> None:
    """How likely its own tokens were, given the prompt."""
    for dx, n in ((-0.47, 1), (-0.12, 2), (0.37, 4)):
        side = 0.14 * n
        frame(ax, x + dx, y + 0.08, side)
        shades = torch.rand(n, n, 1, generator=torch.Generator().manual_seed(n)).mul(0.5).add(0.4).expand(n, n, 3)
        cells(ax, shades, x + dx, y + 0.08, side)
    note(ax, x, y - 0.42, "log p of tokens")


def objects_found(ax, x: float, y: float, picture: torch.Tensor) -> None:
    """The objects that it finds, and whether they can play the prompt's roles."""
    verdict = judge(render([scene_of(SCENE)]), [PROMPT])[0]
    for k, o in enumerate(verdict.found):
        box(ax, x, y + 0.28 - 0.36 * k, 1.36, 0.3, "white")
        write(ax, x, y + 0.28 - 0.36 * k, str(o), 8)
    note(ax, x, y - 0.42, verdict.reason)

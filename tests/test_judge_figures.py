"""Figures of notebook 01 are drawn from what it computes; a notebook's figures are small files."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.patches import PathPatch
from PIL import Image

from vartut import world
from vartut.course import judge_figures as figures
from vartut.course.style import small_png
from vartut.paths import data_folder
from vartut.world import COLORS, SHAPES


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def titles(figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes]


def test_grids_and_fields_have_their_numbers_and_names():
    distance = torch.arange(9.0).view(3, 3) - 4
    figure = figures.draw_grids(distance, (0.5 - distance).clamp(0, 1), torch.zeros(3, 3, 3))
    assert [len(ax.texts) for ax in figure.axes] == [9, 9, 0]
    assert [text.get_text() for text in figure.axes[1].texts] == [""] * 4 + ["0.50"] + [""] * 4
    span = torch.linspace(-1, 1, 5)
    field = torch.hypot(*torch.broadcast_tensors(span[:, None], span[None])) - 0.5
    assert titles(figures.draw_fields(dict.fromkeys(SHAPES, field), span)) == list(SHAPES)


def test_frames_stand_on_the_pairs_that_are_named():
    counts = pd.DataFrame(1, index=SHAPES, columns=list(COLORS))
    (heat, *_) = figures.draw_pairings(counts, {("circle", "red"), ("heart", "blue")}).axes
    assert sorted(patch.get_xy() for patch in heat.patches) == [(1, 0), (6, 7)]


def test_pieces_are_numbered_and_relations_named():
    labels = np.zeros((8, 8), dtype=int)
    labels[:2, :2], labels[5:, 5:] = 1, 2
    figure = figures.draw_steps(torch.zeros(3, 8, 8), torch.zeros(8, 8), labels)
    assert titles(figure)[-1] == "2 pieces"
    assert [text.get_text() for text in figure.axes[3].texts] == ["1", "2"]
    (ax,) = figures.draw_places(np.zeros((63, 63), dtype=int)).axes
    assert {text.get_text() for text in ax.texts} >= set(world.RELATIONS)


def test_a_casting_joins_each_role_with_its_player():
    actors = [world.Found("star", "red", "solid", "large", x, 32.0, 1.0) for x in (5.0, 60.0)]  # near the edges
    holds = {"shape": True, "colour": False}
    orders = {"one": actors, "two": actors[::-1]}
    castings = [(name, [("a red star", o, holds) for o in order]) for name, order in orders.items()]
    (ax,) = figures.draw_castings(torch.zeros(3, 64, 64), actors, castings).axes
    said = [text.get_text() for text in ax.texts]
    assert [said.count(text) for text in ("one", "two", "a red star", "shape ✓", "colour ✗")] == [1, 1, 4, 4, 4]
    lines = [patch.get_path().vertices for patch in ax.patches if isinstance(patch, PathPatch) and not patch.get_fill()]
    assert [bool(line[0, 1] == line[-1, 1]) for line in lines] == [True, True, False, False]  # level, then crossed
    assert len(ax.images) == 4
    assert all(image.get_array().shape == (32, 32, 3) for image in ax.images)


def test_curves_and_errors_are_drawn_as_given():
    rates = np.linspace(0.5, 1, 5)
    figure = figures.draw_coverage(rates, {"one": [0.9] * 5})
    assert np.allclose(figure.axes[1].lines[0].get_ydata(), 90)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["one", "95 %"]
    table = pd.read_csv(data_folder() / "results" / "judge_error.csv")
    figure = figures.draw_errors(table)
    assert titles(figure) == [*figures.DAMAGES, *[""] * 5]
    drawn = table.distortion.isin(["clean", *figures.DAMAGES]) & (table.changed_word == "all")
    accepts = table[drawn & (table.error == "false accept")]
    assert 100 * accepts.high.max() < figure.axes[5].get_ylim()[1], "every interval of false accepts is seen whole"


def test_a_small_png_is_the_same_picture_in_fewer_bytes():
    plt.rcParams |= {"figure.dpi": 144}
    figure, ax = plt.subplots(figsize=(5, 3))
    ax.plot(np.sin(np.arange(100)))
    large = io.BytesIO()
    figure.savefig(large, format="png", bbox_inches="tight")
    small = small_png(figure)
    plt.close(figure)
    assert Image.open(io.BytesIO(small)).size == Image.open(large).size
    assert Image.open(io.BytesIO(small)).mode == "P"
    assert len(small) < 0.75 * len(large.getvalue())

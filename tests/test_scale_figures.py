"""Figures of notebook 03 are drawn from what it computes: as many panels and marks as there are numbers."""

import csv

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from vartut.course import scale_figures as figures
from vartut.course.style import style
from vartut.models.tokenizer import SCALES
from vartut.models.transformer import block_causal_mask
from vartut.paths import data_folder


@pytest.fixture(autouse=True)
def closed():
    with plt.rc_context():
        style()
        yield
    plt.close("all")


def panels() -> list:
    return plt.gcf().axes


def named(axis) -> dict[float, str]:
    """Where the ticks stand, and their labels."""
    return dict(zip(axis.get_ticklocs(), (label.get_text() for label in axis.get_ticklabels())))


def test_pairs_have_their_probabilities_and_the_star():
    table = torch.tensor([[0.5, 0.0], [0.25, 0.25]])
    figures.draw_pairs({"one": table, "two": table}, torch.linspace(1, 4, 81).view(9, 9), (0.3, 0.7))
    assert [text.get_text() for text in panels()[0].texts] == ["0.50", "0.00", "0.25", "0.25"]
    star = panels()[2].lines[0]
    assert (*star.get_xdata(), *star.get_ydata()) == (0.7, 0.3)  # the right half across, the left one up


def test_masks_and_weights_are_shown_as_they_are():
    mask = block_causal_mask([2, 1, 4])
    names = ["text", "1 × 1", "2 × 2"]
    figures.draw_masks({"blocks": mask, "none": torch.ones(7, 7)}, [2, 1, 4], names)
    assert np.array_equal(panels()[0].images[0].get_array(), mask.float().numpy())
    assert panels()[0].get_aspect() == 1  # a place is a square
    for axis in (panels()[1].xaxis, panels()[1].yaxis):
        assert named(axis) == {0.5: "text", 2: "1 × 1", 4.5: "2 × 2"}  # in the middle of each block
    figures.draw_weights({"a": torch.eye(7), "b": torch.eye(7)}, [2, 1, 4], names)
    assert [ax.get_title() for ax in panels()][:2] == ["a", "b"]
    assert list(named(panels()[0].yaxis).values()) == list(named(panels()[1].xaxis).values()) == names
    assert named(panels()[1].yaxis) == {}


def test_likeness_is_split_by_map_and_its_place_marked():
    figures.draw_likeness(torch.arange(130.0), 3, 5)
    shown = [ax.images[0].get_array() for ax in panels()[:6]]
    assert [part.shape for part in shown] == [(n, n) for n in SCALES]
    assert shown[2][1, 2] == 1 + 4 + 5
    assert [len(ax.lines) for ax in panels()[:6]] == [0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize("words", [0, 32])
def test_exact_zeros_of_an_influence_stay_blank(words):
    values = torch.full((130, words + 130), 10.0)
    values[0, -1] = 0
    values[1, 0] = 1e-3
    figures.draw_influence({"a": values, "b": values}, words)
    shown = panels()[0].images[0].get_array()
    assert int(np.isnan(np.ma.filled(shown, np.nan)).sum()) == 1
    assert shown[1, 0] == -3
    names = ["text"] * (words > 0) + [str(n) for n in SCALES[1:]]  # no room for a label at the map of side 1
    assert list(named(panels()[0].xaxis).values()) == names
    assert {label.get_fontsize() for label in panels()[0].get_xticklabels()} == {figures.SMALL}


def test_influence_has_a_colour_per_decade():
    values = 10.0 ** torch.arange(-1, 4).repeat(130, 26)
    figures.draw_influence({"a": values, "b": values}, 0)
    image = panels()[0].images[0]
    assert image.get_cmap().N == 5
    assert image.get_clim() == (-1.5, 3.5)
    assert len({image.cmap(image.norm(decade)) for decade in range(-1, 4)}) == 5
    assert list(panels()[2].get_yticks()) == [-1, 0, 1, 2, 3]


def test_bars_have_an_entry_per_map():
    figures.draw_losses({"nothing": [6.2] * 6, "nano": [1.0] * 6}, [0.1] * 6)
    assert [len(ax.patches) for ax in panels()] == [12, 6]


def test_dials_are_drawn_from_the_shipped_table():
    with open(data_folder() / "results" / "dials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    figures.draw_dials(rows)
    names = [label.get_text() for label in panels()[0].get_yticklabels()]
    assert names == [row["setting"] for row in rows]
    points = [line.get_xdata() for line in panels()[0].lines if len(line.get_xdata()) == len(rows)]
    assert any(np.allclose(x, [float(row["rate"]) for row in rows]) for x in points)
    assert len(panels()[1].patches) == len(rows)


def test_the_shipped_dials_hold_together():
    with open(data_folder() / "results" / "dials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["setting"] for row in rows}) == len(rows)
    for row in rows:
        for low, middle, high in (("low", "rate", "high"), ("best_low", "best", "best_high")):
            assert 0 <= float(row[low]) <= float(row[middle]) <= float(row[high]) <= 1
        assert float(row["rate"]) <= float(row["best"])  # of four pictures, one of which is drawn at random

"""Notebook 05's figures: every number that was given is written or drawn, none of ours like a number of others."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from vartut.course import verifier_figures as figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_map_writes_every_value_and_leaves_missing_ones_empty():
    ax = figures.draw_heat([[10, np.nan], [99, 55.4]], ["a", "b"], ["x", "y"], "share", 0, 100).axes[0]
    assert [text.get_text() for text in ax.texts] == ["10", "99", "55"]
    assert [text.get_position() for text in ax.texts] == [(0, 0), (0, 1), (1, 1)]
    dark, light = ax.texts[0].get_color(), ax.texts[1].get_color()
    assert (dark, light) == ("white", "black"), "legible on both ends of the map"


def test_answers_stand_below_their_pictures():
    sure = torch.tensor([[0.9, 0.1, 0.5], [0.2, 1.0, 0.0]])
    above, below = figures.draw_answers(torch.rand(2, 3, 64, 64), ["p", "q", "r"], sure, ["one", "two"]).axes
    assert len(above.images) == 2
    assert [text.get_text() for text in above.texts] == ["one", "two"]
    written = {text.get_position(): text.get_text() for text in below.texts}
    assert written[0, 0] == "90 %"
    assert written[1, 0] == "20 %"
    assert written[0, 2] == "50 %"
    assert [label.get_text() for label in below.get_yticklabels()] == ["p", "q", "r"]


def test_marks_have_their_intervals_and_are_no_diamonds_or_circles():
    found = {"clip": {"counting": (40, 30, 45), "position": (50, 45, 60)}, "vqa": {"counting": (90, 85, 92)}}
    ax = figures.draw_groups(found, "headroom, %").axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["counting", "position"]
    bars = [container[2][0].get_segments() for container in ax.containers]
    assert [[segment[:, 1].tolist() for segment in of] for of in bars] == [[[30, 45], [45, 60]], [[85, 92]]]
    lines = [container[0] for container in ax.containers]
    assert [line.get_ydata().tolist() for line in lines] == [[40, 50], [90]]
    ax = figures.draw_plane({"clip": (0.5, 40, 30, 50), "vqa": (5, 90, 80, 95)}, "ms", "headroom").axes[0]
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.texts] == ["clip", "vqa"]
    lines += [container[0] for container in ax.containers]
    assert not {line.get_marker() for line in lines} & {"o", "D", "d"}, "those are numbers of others"


def test_two_panels_share_names_and_looks():
    left = {"clip": ([1, 2], [0, 1], [0, 1], [0, 1]), "vqa": ([1, 2], [0, 2], [0, 2], [0, 2])}
    right = {"clip": ([1, 2], [5, 6], [4, 5], [6, 7]), "vqa": ([1, 2], [5, 9], [4, 8], [6, 9])}
    one, two = figures.draw_beside(left, right, ("n", "score", "n", "right, %")).axes
    assert (one.get_ylabel(), two.get_ylabel(), one.get_legend()) == ("score", "right, %", None)
    assert [text.get_text() for text in two.get_legend().get_texts()] == ["clip", "vqa"]
    for ax in (one, two):
        assert [line.get_marker() for line in ax.lines] == ["", ""]
        assert len({line.get_linestyle() for line in ax.lines}) == 2
    assert [a.get_color() for a in one.lines] == [b.get_color() for b in two.lines]

"""Figures of notebook 02 are drawn from what it computes: every number that is given is a mark where it belongs."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from vartut.course import token_figures as figures
from vartut.course.style import style


@pytest.fixture(autouse=True)
def closed():
    with plt.rc_context():
        style()
        yield
    plt.close("all")


def panels() -> list:
    return plt.gcf().axes


def test_totals_stand_over_the_signal():
    signal, totals = torch.tensor([1.0, -2.0, 3.0]), [torch.zeros(3), torch.tensor([1.0, -2.0, 2.5])]
    figures.draw_totals(signal, totals, [1, 3])
    assert [ax.get_title() for ax in panels()] == ["after the map of 1", "after the map of 3"]
    for ax, total in zip(panels(), totals):
        bars = [patch.get_height() for patch in ax.patches if hasattr(patch, "get_height")]
        assert bars == signal.tolist()
        [line] = [patch for patch in ax.patches if not hasattr(patch, "get_height")]
        assert line.get_data().values.tolist() == total.tolist()
        assert all(tick == int(tick) for tick in ax.get_yticks())


def test_fields_mark_the_cell_and_are_shares_of_their_largest():
    field = torch.zeros(64, 64)
    field[8, 16] = 4.0
    figures.draw_fields(torch.rand(3, 64, 64), {"encoder": field}, (1, 2))
    square = panels()[1].patches[0]
    assert (square.get_xy(), square.get_width()) == ((15.5, 7.5), 8)
    heat = panels()[1].images[0].get_array()
    assert heat[8, 16] == 1
    assert heat.min() == np.float32(1e-4)
    assert panels()[2].get_ylabel() == "share of the strongest"


def test_leftovers_stand_beside_their_picture_on_one_scale():
    picture = torch.rand(3, 64, 64)
    figures.draw_leftovers(picture, [torch.full((8, 8), value) for value in (2.0, 1.0, 0.5)], [1, 2])
    first, *others, bar = panels()
    assert np.array_equal(first.images[0].get_array(), picture.permute(1, 2, 0))
    assert [ax.images[0].get_clim() for ax in others] == [(0, 2)] * 3
    assert [ax.get_title() for ax in others] == ["before any map", "after 1 × 1", "after 2 × 2"]
    assert not any(spine.get_visible() for ax in (first, *others) for spine in ax.spines.values())
    assert bar.get_ylabel() == "root mean square\nleft over"


def test_codes_that_nobody_uses_are_crosses():
    alive = torch.tensor([True, False, True])
    runs = {str(i): ([3, 2, 2], torch.arange(6.0).view(3, 2), torch.zeros(70, 2), alive) for i in range(4)}
    figures.draw_collapse(runs)
    data, used, unused = panels()[0].collections
    assert [len(dots.get_offsets()) for dots in (data, used, unused)] == [64, 2, 1]
    assert [list(line.get_ydata()) for line in panels()[4].lines] == [[3, 2, 2]] * 4
    assert [text.get_text() for text in panels()[4].get_legend().get_texts()] == list(runs)


def test_trainings_and_usage_have_an_entry_per_number():
    figures.draw_trainings({"a": [(0, 0.5, 3), (50, 0.25, 7)], "b": [(0, 1.0, 2)]}, 16)
    use, error = panels()
    assert [list(line.get_ydata()) for line in use.lines] == [[3, 7], [2]]
    assert [list(line.get_ydata()) for line in error.lines] == [[0.5, 0.25], [1.0]]
    figures.draw_usage({"a": [0.5, 0.25], "b": [1.0, 0.125]}, ["1", "2"], 16)
    assert [bar.get_height() for bar in panels()[0].patches] == [8, 4, 16, 2]

"""Notebook 11's figure and table: what was given, every machine at its own height or just above, and what fits."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import same_color

from vartut.course.published_figures import ALONE, APART, TOP, draw_fit, fit_table
from vartut.course.style import style

MACHINES = {"large": 40.0, "small": 12.0, "nearly the same": 12.5}
CURVES = {name: {way: [a * n for n in range(1, 41)] for way, a in (("once", b), ("twice", 2 * b))}
          for name, b in (("all", 3.0), ("early", 0.5))}  # fmt: skip


@pytest.fixture
def ax():
    with plt.rc_context():
        style()
        yield draw_fit(CURVES, MACHINES, marked=15, most=30).axes[0]
    plt.close("all")


def test_a_colour_is_a_search_and_a_dash_a_way_to_reckon(ax):
    curves = [line for line in ax.lines if len(line.get_xdata()) == 30]
    assert [line.get_ydata()[14] for line in curves] == [45, 90, 7.5, 15]
    assert [line.get_linestyle() for line in curves] == ["-", "--"] * 2
    assert same_color(curves[0].get_color(), curves[1].get_color())
    assert not same_color(curves[1].get_color(), curves[2].get_color())
    assert {line.get_marker() for line in curves} == {"None"}, "markers are for the numbers of others"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["all", "early", "once", "twice"]
    assert ax.get_ylim() == (0, TOP)
    assert ax.get_xlabel() == ALONE, "what the numbers hold for stands at the axis"
    assert 15 in ax.get_xticks()
    [mark] = [line for line in ax.lines if list(line.get_xdata()) == [15, 15]]
    assert mark.get_linestyle() == "-", "dots and dashes are ways to reckon"


def test_machines_are_lines_and_their_names_stand_apart(ax):
    assert sorted(line.get_ydata()[0] for line in ax.lines if line.get_linewidth() == 0.8) == [12, 12.5, 40]
    heights = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert heights == {"small: 12": 12, "nearly the same: 12.5": 12 + APART, "large: 40": 40}


def test_the_table_counts_what_fits_in_each_way_to_reckon():
    head, *lines = fit_table(CURVES, MACHINES, marked=15).splitlines()
    assert head.split() == ["15", "take", "large", "small", "nearly", "the", "same"]
    assert [line for line in lines if not line.startswith(" ")] == ["all", "early"]
    assert [line.split() for line in lines if line.startswith(" ")] == [
        ["once", "45.0", "GiB", "13", "4", "4"],
        ["twice", "90.0", "GiB", "6", "2", "2"],
        ["once", "7.5", "GiB", "40", "24", "25"],
        ["twice", "15.0", "GiB", "40", "12", "12"],
    ]
    assert len({len(line) for line in [head, *lines] if line.startswith(" ")}) == 1, "columns are aligned"

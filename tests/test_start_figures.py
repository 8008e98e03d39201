"""Notebook 00's figures: what is drawn is what was given; and one convention of markers for all numbers of others."""

import ast

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
import torch
from matplotlib.colors import same_color
from notebook_sources import ROOT, code_cells, notebooks

from vartut.course import start_figures as figures
from vartut.course.markers import LOOKS, mark
from vartut.course.plots import ORANGE
from vartut.ledger import Ledger
from vartut.search.tree import SearchResult, Tree

COURSE = sorted((ROOT / "vartut" / "course").glob("*.py"))


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def searched(steps=4, number=5, width=2, step_of_best=3):
    """A search made up: the returned picture was finished after `step_of_best` steps."""
    tree, parents = Tree(steps), [0]
    for step in range(1, steps + 1):
        scores = [0.9 if (step, i) == (step_of_best, 0) else 0.5 - 0.1 * i for i in range(number)]
        image = torch.full((3, 8, 8), 10 * step, dtype=torch.uint8)
        nodes = [tree.add(parents[i % len(parents)], step, (i,), s, True, image) for i, s in enumerate(scores)]
        parents = nodes[:width]
        tree.keep(parents)
    return SearchResult(torch.rand(3, 64, 64), 0.9, "a red circle", "beam", tree, Ledger())


@pytest.mark.parametrize("step_of_best", [1, 3, 4])
def test_what_was_kept_is_drawn_with_the_way_to_the_returned_picture_and_the_worst(step_of_best):
    ax = figures.draw_kept(searched(step_of_best=step_of_best), "clip-hard").axes[0]
    assert len(ax.images) == 4 * (2 + 1)
    frames = [patch for patch in ax.patches if type(patch).__name__ == "Rectangle"]
    assert sum(same_color(frame.get_edgecolor(), ORANGE) for frame in frames) == step_of_best
    written = [text.get_text() for text in ax.texts]
    assert written.count("5 drawn, 2 kept") == 3
    assert written.count("5 drawn, 1 returned") == (step_of_best == 4), "in the last step nothing is kept"
    assert written.count("5 drawn") == (step_of_best != 4)
    assert written.count("0.90, returned") == 1
    assert sum("rollout" in text and "clip-hard" in text for text in written) == 1
    assert written.count("0.10") == 4, "the worst of every step"
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    assert all(left <= x <= right and low <= y <= high for text in ax.texts for x, y in [text.get_position()])


def test_what_the_judge_accepts_gets_a_tick():
    result = searched(step_of_best=4)
    best, worst = result.tree.best, max(node.id for node in result.tree.nodes if node.step == 1)
    written = [text.get_text() for text in figures.draw_kept(result, "clip-hard", {best, worst}).axes[0].texts]
    assert (written.count("0.90 ✓, returned"), written.count("0.10 ✓"), written.count("0.10")) == (1, 1, 3)
    assert sum(text.endswith("✓: right by the judge.") for text in written) == 1
    without = [text.get_text() for text in figures.draw_kept(result, "clip-hard").axes[0].texts]
    assert not any("✓" in text for text in without)


def test_the_toys_lines_are_those_given():
    ax = figures.draw_lines({"a": ([0, 1, 2], [3, 2, 1]), "b": ([0, 2], [2, 2])}).axes[0]
    assert [line.get_ydata().tolist() for line in ax.lines] == [[3, 2, 1], [2, 2]]
    assert [line.get_marker() for line in ax.lines] == ["None", "None"], "lines are ours"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert ax.get_ylim()[0] == 0


def test_a_bar_without_a_formula_is_hollow():
    ax = figures.draw_bars([("one", 6, 0.0, None), ("two", 12, 5.0, 5.1), ("three", 18, None, 7.0)]).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [0.0, 5.0, 7.0]
    assert [same_color(bar.get_facecolor(), "white") for bar in ax.patches] == [False, False, True]
    assert [line.get_xdata()[0] for line in ax.lines] == [5.1, 7.0], "a cross for each simulation"


def test_numbers_of_others_carry_their_marker_and_our_lines_none():
    points = pd.DataFrame({"model": "m", "nfe": [10, 100], "imagereward": [1.0, 1.5]})
    figure = figures.draw_main_figure(points, {"m": (10, 0.2, "read off a plot")}, {1: 0.0, 10: 1.5})
    for ax, first in zip(figure.axes, (10, 1)):
        read, ours = ax.lines
        assert (read.get_marker(), read.get_linestyle(), read.get_xdata()[0]) == ("o", "None", first)
        assert ours.get_marker() == "None"
        assert ours.get_ydata().tolist() == pytest.approx([1.0, 1.3])
    ax = figures.draw_bet(
        {"a": ([1, 2, 4], [61, 70, 80], [52, 60, 70], [70, 80, 90]), "b": ([1, 2, 4], *[[61] * 3] * 3)}, "two"
    ).axes[0]
    assert [line.get_ydata().tolist() for line in ax.lines] == [[61, 70, 80], [61, 61, 61]]
    looks = [*ax.lines, *ax.get_legend().get_lines()]
    assert {line.get_marker() for line in looks} == {""}, "ours are lines, and the legend says so"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2", "4"]
    assert ax.get_ylim() == (50, 101)
    assert "begins at 50" in ax.get_ylabel(), "what does not begin at 0 says so"
    ax = figures.draw_savings({"a": (0.46, 0.12), "b": (0.4, 0.1)}, claim=0.46).axes[0]
    assert [round(bar.get_height()) for bar in ax.patches] == [46, 40, 12, 10]
    assert [line.get_marker() for line in ax.lines] == ["D"]
    assert "46" in [text.get_text() for text in ax.texts]


def test_a_bet_is_drawn_once_it_is_placed():
    curves = {"a": ([1, 2, 4], [61, 70, 80], [52, 60, 70], [70, 80, 90]), "b": ([1, 2, 4], *[[61] * 3] * 3)}
    ax = figures.draw_bet(curves, "two", (("one", 1, 35, "a"), ("four", 4, None, "b"))).axes[0]
    star = ax.lines[-1]
    assert len(ax.lines) == 3, "the open guess is not drawn"
    assert (star.get_xdata()[0], star.get_ydata()[0], star.get_marker()) == (1, 35, "*")
    assert same_color(star.get_color(), ax.lines[0].get_color())
    assert ax.get_ylim() == (30, 101), "the guess is seen"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "your bet, one"]


def test_a_marker_says_where_a_number_comes_from():
    _, ax = plt.subplots()
    for source in LOOKS:
        mark(ax, 1, 1, source, "C1")
    printed, second_hand, read_off = ax.lines
    assert [line.get_marker() for line in ax.lines] == ["D", "D", "o"]
    assert same_color(printed.get_markerfacecolor(), "C1")
    assert second_hand.get_markerfacecolor() == read_off.get_markerfacecolor() == "white"
    with pytest.raises(ValueError, match="printed"):
        mark(ax, 1, 1, "made up", "C1")


# ---- nobody else makes these markers -------------------------------------------------------------------------------


def own_diamonds(source: str) -> list[str]:
    """The calls of a source that draw diamonds of their own."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        ast.unparse(call)
        for call in calls
        for value in [*call.args, *(k.value for k in call.keywords if k.arg in ("marker", "fmt"))]
        if isinstance(value, ast.Constant) and value.value in ("D", "d")
    ]


def test_own_diamonds_are_noticed():
    assert len(own_diamonds('ax.plot(x, y, "D", ms=8)\nax.scatter(x, y, marker="D")\nmark(ax, x, y, "printed")')) == 2


@pytest.mark.parametrize("path", [path for path in COURSE if path.name != "markers.py"], ids=lambda path: path.name)
def test_no_figure_of_the_course_draws_diamonds_of_its_own(path):
    assert own_diamonds(path.read_text(encoding="utf-8")) == [], "use vartut.course.markers.mark"


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_no_notebook_draws_diamonds_of_its_own(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    assert [found for cell in cells for found in own_diamonds(cell.source)] == []

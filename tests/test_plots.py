"""Figures of searches: every node drawn, the parts told apart without colour, nothing outside the frame."""

import re

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.patches import PathPatch

from vartut.course.plots import draw_curves, draw_tree
from vartut.ledger import Ledger
from vartut.search.tree import SearchResult, Tree

PROMPT = "a large striped sky blue circle left of a small dotted pink square"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def searched(width=3, candidates=5, steps=6, images=True, step_of_best=3, search="beam"):
    """The result of a search of that size, made up: `step_of_best` says after which step the best one stands."""
    tree, parents, number = Tree(steps), [0], width * candidates
    for step in range(1, steps + 1):
        nodes = []
        for parent in parents:
            for j in range(number):
                score = 0.9 if step == step_of_best and not nodes else 0.1 * step - 0.01 * j
                image = torch.full((3, 8, 8), 10 * step, dtype=torch.uint8) if images else None
                nodes.append(tree.add(parent, step, (*tree[parent].path, j), score, True, image))
        parents, number = nodes[:width], candidates
        tree.keep(parents)
    return SearchResult(torch.rand(3, 64, 64), 0.9, PROMPT, search, tree, Ledger())


def is_score(text):
    return re.fullmatch(r"-?\d+\.\d\d", text) is not None


@pytest.mark.parametrize("images", [True, False])
@pytest.mark.parametrize(
    ("width", "candidates", "steps", "best"), [(3, 5, 6, 3), (3, 5, 6, 6), (1, 1, 1, 1), (4, 10, 2, 1)]
)
def test_every_node_is_drawn_and_nothing_is_cut_off(images, width, candidates, steps, best):
    result = searched(width, candidates, steps, images, best)
    figure = draw_tree(result)
    figure.canvas.draw()
    ax, drawn = figure.axes[0], len(result.tree) - 1
    if images:
        assert len(ax.images) == drawn + 1, "a picture per node, and the returned one"
    else:
        assert len(ax.images) == 1
        assert sum(line.get_marker() == "o" for line in ax.lines) == drawn
    written = [text.get_text() for text in ax.texts]
    assert sum(map(is_score, written)) == drawn, "a score per node"
    assert "returned: 0.900" in written
    assert any("striped" in text for text in written)
    frame = figure.bbox.padded(1)
    for artist in [*ax.texts, *ax.images, *ax.lines, ax.get_legend()]:
        box = artist.get_window_extent()
        assert frame.contains(box.x0, box.y0), artist
        assert frame.contains(box.x1, box.y1), artist


def test_scores_and_pictures_do_not_overlap():
    figure = draw_tree(searched())
    figure.canvas.draw()
    boxes = [artist.get_window_extent() for artist in (*figure.axes[0].images, *figure.axes[0].texts)]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:i]), i


def test_kept_and_pruned_differ_without_colour():
    """In size and frame of the picture, weight of the score, width and dots of the edge."""
    result = searched()
    ax = draw_tree(result).axes[0]
    kept = sum(node.kept or node.id == result.tree.best for node in result.tree.nodes[1:])
    pruned = len(result.tree) - 1 - kept
    sides = [round(image.get_extent()[1] - image.get_extent()[0], 3) for image in ax.images]
    assert sorted(sides) == [0.375] * pruned + [0.5] * kept + [2.2]
    weights = [text.get_weight() for text in ax.texts if is_score(text.get_text())]
    assert weights.count("bold") == kept
    edges = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    assert sum(edge.get_linestyle() in (":", "dotted") for edge in edges) == pruned
    assert sum(edge.get_linewidth() == 3 for edge in edges) == len(result.tree.best_path) - 1


def test_the_best_picture_of_an_early_step_is_joined_by_a_dashed_line_and_a_last_one_by_a_solid():
    for step, dashed in ((3, True), (6, False)):
        ax = draw_tree(searched(step_of_best=step)).axes[0]
        [line] = [line for line in ax.lines if line.get_linewidth() == 3]
        assert line.is_dashed() == dashed


def test_long_rows_are_wrapped():
    result = searched(width=90, candidates=1, steps=1, step_of_best=1, search="random")
    figure = draw_tree(result)
    assert figure.get_figheight() < 11
    assert len(figure.axes[0].images) == 91


def test_curves_are_told_apart_without_colour():
    names = ["random", "greedy", "beam", "preview", "critic"]
    curves = {name: ([1, 10, 100], [i, i + 1, i + 2], [i - 1] * 3, [i + 3] * 3) for i, name in enumerate(names)}
    ax = draw_curves(curves, "NFE", "score", "a title").axes[0]
    assert len({(line.get_marker(), line.get_linestyle()) for line in ax.lines}) == 5
    assert len({line.get_marker() for line in ax.lines}) == 5
    assert [text.get_text() for text in ax.get_legend().get_texts()] == names
    assert ax.get_xscale() == "log"
    assert list(ax.lines[1].get_ydata()) == [1, 2, 3]


@pytest.mark.parametrize(
    "curve", [([1, 2], [1], [1], [1]), ([0, 1], [1, 2], [1, 2], [1, 2]), ([], [], [], []), ([1], [1])]
)
def test_curves_that_do_not_fit_are_refused(curve):
    with pytest.raises(ValueError, match='curve "beam" needs'):
        draw_curves({"beam": curve}, "NFE", "score")

"""Figures: every node drawn, parts told apart without colour, nothing outside the frame, pictures of every form."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.patches import PathPatch

from vartut import world
from vartut.course.plots import draw_curves, draw_tree
from vartut.course.style import show
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


# ---- pictures in a grid --------------------------------------------------------------------------------------------


def drawn(figure) -> list[np.ndarray]:
    """The pictures of a figure, (H, W, 3) each, row by row."""
    return [np.asarray(image.get_array()) for ax in figure.axes for image in ax.images]


PICTURES = world.render(world.sample("all", 3, "test"))  # (3, 3, 64, 64)
BYTES = (255 * PICTURES).round().to(torch.uint8)


@pytest.mark.parametrize(
    "given",
    [
        BYTES,
        list(BYTES),
        [PICTURES[0], BYTES[1], PICTURES[2].permute(1, 2, 0).numpy()],
        PICTURES.numpy(),
        PICTURES.permute(0, 2, 3, 1).numpy(),
        BYTES.permute(0, 2, 3, 1).numpy(),
        PICTURES.double(),
        PICTURES.clone().requires_grad_(),
        PICTURES + 0.2 * (PICTURES == 1),  # overshoots are cut
    ],
    ids=["uint8", "list", "mixed", "CHW array", "HWC array", "uint8 HWC array", "float64", "gradient", "overshoot"],
)
def test_pictures_of_every_form_are_drawn_alike(given):
    wanted, found = drawn(show(PICTURES)), drawn(show(given))
    assert [picture.shape for picture in found] == [(64, 64, 3)] * 3
    for one, other, picture in zip(wanted, found, PICTURES):
        assert np.abs(one - other).max() <= 1 / 16 + 1e-6, "at most one level: uint8 rounds"
        assert np.abs(other - picture.permute(1, 2, 0).numpy()).mean() < 1 / 32, "the picture itself, not white"


def test_the_thumbnails_of_a_trees_nodes_are_drawn():
    result = searched()
    first, other = drawn(show([node.image for node in result.tree.nodes[1:3]]))
    assert np.abs(first - 10 / 255).max() <= 1 / 32 + 1e-6
    assert np.abs(other - 10 / 255).max() <= 1 / 32 + 1e-6


def test_one_picture_is_drawn_alone():
    assert len(drawn(show(PICTURES[0]))) == len(drawn(show(PICTURES[0].permute(1, 2, 0).numpy()))) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (255 * PICTURES, "divide by 255"),
        (BYTES.long(), "torch.int64"),
        (PICTURES[:0], "at least one"),
        (PICTURES[:, :2], "at least one; got"),
        (PICTURES * float("nan"), "NaN"),
        ("picture.png", "got a str"),
        ([], "got a list"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(given, said):
    with pytest.raises(ValueError, match=said) as caught:
        show(given)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("show ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"titles": ["a", "b"]}, "2 titles"),
        ({"rows": ["a", "b"], "columns": 3}, "2 row labels"),
        ({"columns": 0}, "columns is a whole number of at least 1; got 0"),
        ({"columns": 1.5}, "columns is a whole number"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        show(PICTURES, **arguments)


def test_titles_and_rows_may_be_arrays():
    figure = show(PICTURES, titles=np.arange(3), rows=torch.tensor([7]), columns=np.int64(3))
    assert [ax.get_title() for ax in figure.axes] == ["0", "1", "2"]


def test_figures_do_not_depend_on_torchs_default_type():
    wanted = drawn(show(PICTURES))
    torch.set_default_dtype(torch.float64)
    try:
        found = drawn(show(PICTURES))
    finally:
        torch.set_default_dtype(torch.float32)
    assert all((one == other).all() and one.dtype == other.dtype for one, other in zip(wanted, found))

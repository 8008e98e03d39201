"""Schematics: what is drawn is what the code says, every label is in the figure, and none stands on another."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
import torch
from matplotlib.collections import QuadMesh
from matplotlib.patches import FancyBboxPatch

from vartut import judge, world
from vartut.course import pen, schematics, tree_schematic, verifier_schematic
from vartut.course.plots import BLUE, ORANGE
from vartut.course.style import style
from vartut.models.tokenizer import SCALES
from vartut.models.transformer import block_causal_mask
from vartut.world.questions import questions

ALL = ("search_tree", "scene_to_judge", "six_maps", "mask_and_sequence", "what_is_held", "what_each_reads")


@pytest.fixture(autouse=True)
def closed():
    with plt.rc_context():
        yield
    plt.close("all")


def drawn(name, **options):
    """The figure of that name as it is drawn, and its one axis."""
    elsewhere = {"search_tree": tree_schematic, "what_each_reads": verifier_schematic}
    figure = getattr(elsewhere.get(name, schematics), name)(**options)
    figure.canvas.draw()
    (ax,) = figure.axes
    return figure, ax


def texts(ax) -> list:
    legend = ax.get_legend()
    return [t for t in [*ax.texts, *(legend.get_texts() if legend else [])] if t.get_text()]


def written(ax) -> str:
    """All text of a figure, its line breaks as blanks."""
    return " | ".join(" ".join(text.get_text().split()) for text in texts(ax))


def grids(ax) -> list[np.ndarray]:
    """The colours (n, n, 3) of all grids of cells, in the order they were drawn in."""
    return [mesh.get_array() for mesh in ax.collections if isinstance(mesh, QuadMesh)]


# ---- legible, on every machine ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("styled", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_all_is_in_the_figure_and_no_label_stands_on_another(name, styled):
    if styled:
        style()
    figure, ax = drawn(name)
    frame, boxes = figure.bbox, [(text.get_text(), text.get_window_extent()) for text in texts(ax)]
    others = [artist.get_window_extent() for artist in (*ax.images, *ax.collections, *ax.patches)]
    for what, box in (*boxes, *(("a drawing", box) for box in others)):
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1, what
        assert frame.y0 <= box.y0 <= box.y1 <= frame.y1, what
    for (one, box), (other, there) in itertools.combinations(boxes, 2):
        assert not box.overlaps(there), (one, other)


@pytest.mark.parametrize("name", ALL)
def test_no_label_stands_on_a_picture_or_a_grid(name):
    _, ax = drawn(name)
    pictures = ax.collections if name == "mask_and_sequence" else [*ax.images, *ax.collections]  # labels in the mask
    for text, picture in itertools.product(texts(ax), pictures):
        assert not text.get_window_extent().overlaps(picture.get_window_extent()), text.get_text()


@pytest.mark.parametrize("name", ALL)
def test_what_stands_in_a_box_fits_into_it(name):
    _, ax = drawn(name)
    boxes = [patch.get_window_extent() for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    for label, box in itertools.product([text.get_window_extent() for text in texts(ax)], boxes):
        assert not label.overlaps(box) or (
            box.x0 < label.x0 and label.x1 < box.x1 and box.y0 < label.y0 < label.y1 < box.y1
        )


@pytest.mark.parametrize("name", ALL)
def test_a_schematic_is_as_wide_as_a_notebook_and_its_letters_can_be_read(name):
    figure, ax = drawn(name)
    assert figure.get_size_inches()[0] == 9
    assert figure.dpi == 144
    assert min(text.get_fontsize() for text in texts(ax)) >= 8
    assert {text.get_fontname() for text in texts(ax)} == {"DejaVu Sans"}, "a font that comes with matplotlib"


def test_the_two_colours_are_of_the_palette_that_the_colour_blind_can_tell_apart():
    assert {BLUE, ORANGE} <= set(sns.color_palette("colorblind"))


def test_labels_are_spread_as_far_as_asked_in_their_order():
    places = [0.0, 0.1, 0.15, 0.9, 3.0]
    moved = pen.spread(places, 0.5)
    assert all(b - a >= 0.5 - 1e-9 for a, b in itertools.pairwise(moved))
    assert moved[-1] == 3.0, "nothing pushes it"
    assert pen.spread([1.0, 2.0], 0.5) == [1.0, 2.0]


# ---- what is drawn is true -------------------------------------------------------------------------------------------


def test_the_mask_drawn_is_the_transformers():
    _, ax = drawn("mask_and_sequence", words=16)
    lengths = [16, *(n * n for n in SCALES)]
    mask = block_causal_mask(lengths).numpy()
    shown = np.asarray(ax.images[0].get_array())  # (N, N, 3)
    np.testing.assert_array_equal(~np.isclose(shown, pen.PAPER).all(-1), mask)
    orange = np.isclose(shown, ORANGE).all(-1) | (shown == 0).all(-1)
    (row,) = np.flatnonzero(orange.any(1))
    assert sum(lengths[:4]) <= row < sum(lengths[:5]), "it is said to be of the 4 x 4 map"
    np.testing.assert_array_equal(orange[row], mask[row])
    assert (shown[row, row] == 0).all(), "itself is black"


def test_the_sequence_shows_what_the_chosen_row_of_the_mask_shows():
    _, ax = drawn("mask_and_sequence")
    shown = np.asarray(ax.images[0].get_array())
    (row,) = np.flatnonzero((shown == 0).all(-1).any(1))
    (strip,) = grids(ax)
    assert strip.shape == (1, len(shown), 3)
    coloured = ~np.isclose(strip[0], pen.PAPER).all(-1)
    np.testing.assert_array_equal(coloured, ~np.isclose(shown[row], pen.PAPER).all(-1))
    extent, (mesh,) = ax.images[0].get_extent(), ax.collections
    corners = mesh.get_coordinates()[..., 0]
    assert (corners.min(), corners.max()) == pytest.approx(extent[:2]), "the columns stand below the mask's"


def test_the_numbers_beside_the_mask_are_its_own():
    _, ax = drawn("mask_and_sequence", words=5)
    mask = block_causal_mask([5, *(n * n for n in SCALES)])
    for count, row in ((5, 0), (16, 5 + 1 + 4 + 9), (64, len(mask) - 1)):
        assert f"{count} positions, each sees {int(mask[row].sum())} |" in written(ax) + " |"
    assert "135 positions" in written(ax)
    assert all(written(ax).count(f"{n} × {n}") >= 2 for n in SCALES), "every block has its name twice"


def test_six_maps_have_as_many_cells_as_tokens_and_add_up():
    _, ax = drawn("six_maps")
    shown = grids(ax)
    assert [grid.shape[:2] for grid in shown[:-1]] == [side for n in SCALES for side in ((n, n), (8, 8), (8, 8))]
    np.testing.assert_array_equal(shown[-1], shown[-2])  # the latent is the last sum
    signs = [text.get_text() for text in ax.texts if text.get_text() in ("+", "=")]
    assert signs == ["+"] * 5 + ["="]
    for n in SCALES:
        assert f"{n} × {n} | {n * n} token" in written(ax)
    assert "= 130 tokens" in written(ax)


def test_the_sums_of_the_six_maps_are_what_their_maps_add_and_end_at_the_view():
    view = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.85
    maps, grown, sums = schematics.residual_maps(view)
    assert [len(m) for m in maps] == list(SCALES)
    torch.testing.assert_close(sums[-1], view.permute(1, 2, 0))
    before = torch.tensor(world.GROUND).expand(8, 8, 3)
    for added, total in zip(grown, sums):
        torch.testing.assert_close(total - before, (added - schematics.NOTHING) / 1.5, atol=1e-5, rtol=0)
        before = total


def test_the_verdicts_shown_are_the_judges():
    _, ax = drawn("scene_to_judge")
    scene = world.sample("complex", 5, "test")[4]
    assert f"“{scene.prompt}”" in written(ax)
    pictures = torch.stack([torch.from_numpy(np.asarray(image.get_array())) for image in ax.images])
    small = torch.nn.functional.avg_pool2d(pictures.permute(0, 3, 1, 2), pictures.shape[1] // 64)
    right, wrong = judge(small, [scene.prompt] * 2)  # of what is drawn, made small again
    assert right.correct
    assert not wrong.correct
    assert f"✓ right, grade {right.grade:.2f} | {right.reason} |" in written(ax)
    assert f"✗ wrong, grade {wrong.grade:.2f} | {wrong.reason} |" in written(ax)


def test_every_object_of_the_scene_is_listed_with_its_place():
    _, ax = drawn("scene_to_judge")
    for thing in world.sample("complex", 5, "test")[4].objects:
        words = f"{thing.color} {thing.shape} at ({thing.x}, {thing.y})"
        assert words in written(ax)


def tree_pictures(ax) -> list[tuple[float, float]]:
    """The grade and the height of every picture in the tree, in the order of the columns, from top to bottom."""
    pictures = torch.stack([torch.from_numpy(np.asarray(image.get_array())) for image in ax.images])
    small = torch.nn.functional.avg_pool2d(pictures.permute(0, 3, 1, 2), pictures.shape[1] // 64)
    pale = small[:, :1, :1, :1] > 0.95  # what was dropped is whitened
    small = torch.where(pale, (small - 0.45) / 0.55, small)
    grades = [verdict.grade for verdict in judge(small, [tree_schematic.PROMPT] * len(small))]
    return [(grade, sum(image.get_extent()[2:]) / 2) for grade, image in zip(grades, ax.images)]


def tree_scores(ax) -> list:
    return [text for text in ax.texts if text.get_text().replace(".", "").isdigit()]


def test_the_tree_scores_every_rollout_and_finished_picture_by_the_judge_and_marks_the_best():
    _, ax = drawn("search_tree")
    found, scores = tree_pictures(ax), tree_scores(ax)
    assert [text.get_text() for text in scores] == [f"{grade:.1f}" for grade, _ in found]
    assert [text.get_position()[1] for text in scores] == pytest.approx([height for _, height in found])
    grades = [grade for grade, _ in found]
    (star,) = [text for text in ax.texts if "★" in text.get_text()]
    assert grades.count(max(grades)) == 1, "the best that was ever finished is of the last step"
    assert star.get_position()[1] == scores[int(np.argmax(grades))].get_position()[1]


def test_the_tree_keeps_the_two_best_rollouts_of_every_step():
    columns = tree_schematic.columns_of(tree_schematic.TREE)
    for column in columns[:-1]:
        grades = tree_schematic.grades_of([tree_schematic.rollout_of(branch) for branch, _ in column])
        kept = [grade for grade, (branch, _) in zip(grades, column) if isinstance(branch, tuple)]
        dropped = [grade for grade, (branch, _) in zip(grades, column) if not isinstance(branch, tuple)]
        assert len(kept) == 2
        assert min(kept) > max(dropped)


def test_the_tree_draws_as_many_as_its_width_and_candidates_say():
    _, ax = drawn("search_tree")
    columns = tree_schematic.columns_of(tree_schematic.TREE)
    assert [len(column) for column in columns] == [2 * 3] * 4
    assert len(ax.images) == 4 * 6, "a rollout, or a finished picture, of each"
    for above, below in itertools.pairwise(columns):
        kept = [i for i, (branch, _) in enumerate(above) if isinstance(branch, tuple)]
        assert [parent for _, parent in below] == sorted(kept * 3), "only what is kept goes on, three each"
    assert written(ax).count("6 drawn, 2 kept") == 3
    assert "the last six, finished" in written(ax)
    assert all(isinstance(branch, str) for branch, _ in columns[-1])
    assert [len(grid) for grid in grids(ax)] == [1] * 6 + [2] * 6 + [3] * 6


def test_what_is_held_is_the_roots_pass_each_childs_own_and_those_of_the_one_in_work():
    _, ax = drawn("what_is_held", passes=(2, 30, 400, 5000, 60_000), width=1, candidates=4)
    boxes = [text.get_text() for text in ax.texts if text.get_text().replace(",", "").isdigit()]
    assert boxes == ["2", *["30"] * 4, "400", "5,000", "60,000"]
    assert [patch.get_linestyle() for patch in ax.patches if isinstance(patch, FancyBboxPatch)].count("--") == 3
    assert "2 + 4 × 30 + 400 + 5,000 + 60,000 = 65,522 bytes" in written(ax)


# ---- notebook 05 -----------------------------------------------------------------------------------------------------


def test_each_verifier_is_drawn_with_what_it_reads():
    _, ax = drawn("what_each_reads")
    said = written(ax)
    prompt = verifier_schematic.PROMPT
    assert said.count(f"“{prompt}”") == 5  # the aesthetic head reads none
    assert said.count("no prompt") == said.count("no picture") == 1
    asked = questions(prompt)
    assert f"… {len(asked)} questions" in said
    assert all(question.text.replace(" ?", "?") in said for question in (asked[0], asked[1], asked[-1]))
    (verdict,) = judge(world.render([schematics.scene_of(verifier_schematic.SCENE)]), [prompt])
    assert verdict.correct
    assert all(str(o) in said for o in verdict.found)

"""The world: its grammar, its scenes (pinned, true to their prompts, splits apart), and the renderer against analytic
areas and against pictures that PIL drew."""

import hashlib
import importlib.util
import math
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing import paint_all
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab

from vartut import world
from vartut.world import Description, Group, Object, Scene, describe, parse

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def true_of():
    """Whether a description holds of objects, decided from their values (benchmarks/judge_error.py)."""
    path = Path(__file__).parents[1] / "benchmarks" / "judge_error.py"
    spec = importlib.util.spec_from_file_location("judge_error", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.true_of


# ---- grammar -------------------------------------------------------------------------------------------------------


def groups(count):
    say = lambda known: st.sampled_from([None, *known])  # noqa: E731
    return st.builds(
        Group, count, st.sampled_from(world.SHAPES), say(world.COLORS), say(world.TEXTURES), say(world.SIZES)
    )


DESCRIPTIONS = st.one_of(
    st.builds(Description, st.tuples(groups(st.integers(1, 5)))),
    st.builds(Description, st.tuples(*[groups(st.integers(1, 4))] * 2), st.sampled_from([None, *world.RELATIONS])),
    st.builds(Description, st.lists(groups(st.integers(1, 2)), min_size=3, max_size=5).map(tuple)),
).filter(
    lambda d: sum(g.count for g in d.groups) <= 5 and len(describe(d).replace(",", " ,").split()) <= world.MAX_WORDS
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(DESCRIPTIONS, st.randoms(use_true_random=False))
def test_what_is_described_is_read_back(description, rng):
    prompt = describe(description)
    assert parse(prompt) == description
    assert "  " not in prompt
    for article, first in re.findall(r"\b(an?) (\w)", prompt):
        assert (article == "an") == (first in "aeiou"), prompt
    spaced = "".join(c + " " * rng.randrange(3) if c in " ," else rng.choice([c, c.upper()]) for c in prompt)
    assert parse(f" {spaced}. ") == description


@pytest.mark.parametrize(
    ("prompt", "description"),
    [
        ("an orange star", Description((Group(1, "star", "orange"),))),
        ("a small orange star", Description((Group(1, "star", "orange", None, "small"),))),
        ("three crosses", Description((Group(3, "cross"),))),
        (
            "five large striped cyan hearts",
            Description((Group(5, "heart", "cyan", "striped", "large"),)),
        ),
        (
            "a red circle left of a blue square",
            Description((Group(1, "circle", "red"), Group(1, "square", "blue")), "left of"),
        ),
        ("two rings above an orange cross", Description((Group(2, "ring"), Group(1, "cross", "orange")), "above")),
        (
            "a star, two diamonds and a solid triangle",
            Description((Group(1, "star"), Group(2, "diamond"), Group(1, "triangle", None, "solid"))),
        ),
    ],
)
def test_prompts_by_hand(prompt, description):
    assert describe(description) == prompt
    assert parse(prompt) == description


def test_a_wrong_article_is_forgiven():
    assert parse("a orange star") == parse("an orange star")


@pytest.mark.parametrize(
    ("word", "nearest"),
    [("cirlce", "circle"), ("sqare", "square"), ("orang", "orange"), ("crosss", "crosses"), ("strped", "striped")],
)
def test_an_unknown_word_is_named_with_the_nearest(word, nearest):
    with pytest.raises(ValueError, match=f'unknown word "{word}" .* nearest known word is "{nearest}"') as error:
        parse(f"a red {word} left of a blue square")
    assert "\n" not in str(error.value)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(min_size=1, max_size=12))
def test_any_text_is_read_or_refused_in_one_line(text):
    for prompt in (text, f"a {text}", f"a red circle {text} a square"):
        try:
            description = parse(prompt)
        except ValueError as error:
            complaint = str(error).replace(prompt, "")
        else:
            complaint = "" if parse(describe(description)) == description else f"read otherwise again: {description}"
        assert re.fullmatch(r"|(unknown word|cannot read|the prompt|a prompt is)[^\n]*", complaint)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "non-empty text"),
        ("   ", "non-empty text"),
        (None, "non-empty text"),
        (7, "non-empty text"),
        ("red circle", 'expected "a", "an" or a number from "two" to "five", found "red"'),
        ("a circle left of", "found the end"),
        ("a circle left a square", 'expected a relation, "," or "and", found "left"'),
        ("two circle", 'such as "circles".*found "circle"'),
        ("a circles", 'such as "circle".*found "circles"'),
        ("a red blue circle", 'found "blue"'),
        ("a striped small ring", 'found "small"'),
        ("a circle, a star", 'expected "and" before the last object, found the end'),
        ("a circle circle", 'expected a relation, "," or "and", found "circle"'),
        ("a circle above a star and a ring", "nothing after the second object of a relation"),
        ("a circle and a star above a ring", 'found "above"'),
        ("three rings and three stars", "more than five objects"),
        ("three rings left of three stars", "more than five objects"),
        ("a " * 17, "17 words; at most 16"),
    ],
)
def test_leaving_the_grammar_is_one_clear_line(prompt, message):
    with pytest.raises(ValueError, match=message) as error:
        parse(prompt)
    assert "\n" not in str(error.value)


def test_token_ids_are_the_words_in_order():
    ids = world.token_ids(["an orange star, a ring and a cross", "", "a ring"])
    assert ids.shape == (3, world.MAX_WORDS)
    assert ids.dtype == torch.long
    said = [[world.WORDS[i] for i in row if i] for row in ids.tolist()]
    assert said == [["an", "orange", "star", ",", "a", "ring", "and", "a", "cross"], [], ["a", "ring"]]
    assert ids[0, 9:].tolist() == [0] * 7  # padding


def test_vocabulary_is_what_the_shipped_weights_learnt():
    assert len(set(world.WORDS)) == len(world.WORDS) == 43
    digest = hashlib.sha256(" ".join(world.WORDS).encode()).hexdigest()
    assert digest[:16] == "47b5dd3e659c0966", "the order of the words changed: every text model must be trained anew"


# ---- scenes --------------------------------------------------------------------------------------------------------

PINNED = {  # (task, split, seed, index): prompt and objects, the same on every machine
    ("single_object", "train", 0, 0): ("a circle", ("circle", "pink", "solid", "large", 36, 24)),
    ("single_object", "test", 0, 1): ("a star", ("star", "yellow", "solid", "large", 20, 16)),
    ("two_object", "train", 0, 0): (
        "a ring and a circle",
        ("ring", "blue", "solid", "large", 20, 28),
        ("circle", "blue", "solid", "large", 48, 16),
    ),
    ("two_object", "test", 0, 1): (
        "a ring and a square",
        ("ring", "black", "solid", "large", 16, 48),
        ("square", "black", "solid", "large", 48, 40),
    ),
    ("counting", "test", 0, 1): (
        "two cyan stars",
        ("star", "cyan", "solid", "small", 48, 36),
        ("star", "cyan", "solid", "large", 20, 40),
    ),
    ("counting", "validation", 7, 5): (
        "four circles",
        ("circle", "black", "solid", "small", 28, 52),
        ("circle", "black", "solid", "small", 52, 28),
        ("circle", "black", "solid", "small", 52, 48),
        ("circle", "black", "solid", "small", 12, 24),
    ),
    ("colors", "train", 0, 0): ("a green cross", ("cross", "green", "solid", "large", 28, 44)),
    ("colors", "test", 0, 1): ("a green square", ("square", "green", "solid", "large", 28, 24)),
    ("position", "train", 0, 0): (
        "a heart above a square",
        ("heart", "cyan", "solid", "large", 44, 16),
        ("square", "pink", "solid", "large", 48, 48),
    ),
    ("position", "test", 0, 1): (
        "a diamond left of a triangle",
        ("diamond", "yellow", "solid", "small", 12, 12),
        ("triangle", "black", "solid", "large", 36, 16),
    ),
    ("color_attr", "train", 0, 0): (
        "an orange cross and a cyan circle",
        ("cross", "orange", "solid", "large", 40, 32),
        ("circle", "cyan", "solid", "small", 16, 52),
    ),
    ("color_attr", "test", 0, 1): (
        "a black star and a pink triangle",
        ("star", "black", "solid", "large", 16, 24),
        ("triangle", "pink", "solid", "small", 40, 12),
    ),
    ("texture", "test", 0, 1): (
        "a striped cyan square and a striped heart",
        ("square", "cyan", "striped", "large", 20, 28),
        ("heart", "pink", "striped", "large", 48, 44),
    ),
    ("texture", "validation", 7, 5): (
        "a striped red cross and a solid heart",
        ("cross", "red", "striped", "large", 20, 36),
        ("heart", "orange", "solid", "small", 48, 52),
    ),
    ("complex", "train", 0, 0): (
        "a yellow square, a black heart and a green triangle",
        ("square", "yellow", "solid", "small", 16, 48),
        ("heart", "black", "solid", "small", 40, 48),
        ("triangle", "green", "solid", "small", 44, 16),
    ),
    ("complex", "test", 0, 1): (
        "an orange ring, an orange diamond and a blue square",
        ("ring", "orange", "solid", "small", 16, 40),
        ("diamond", "orange", "solid", "small", 36, 48),
        ("square", "blue", "solid", "small", 12, 20),
    ),
}


@pytest.mark.parametrize("key", PINNED, ids=lambda key: "-".join(map(str, key)))
def test_pinned_scenes(key):
    task, split, seed, index = key
    (scene,) = world.sample(task, 1, split, seed, first=index)
    prompt, *objects = PINNED[key]
    assert scene == Scene(tuple(Object(*o) for o in objects), prompt, task)


def test_all_tasks_and_splits_are_pinned():
    digest = hashlib.sha256()
    for split in SPLITS:
        for s in world.sample("all", 400, split):
            objects = [(o.shape, o.color, o.texture, o.size, o.x, o.y) for o in s.objects]
            digest.update(repr((s.prompt, objects)).encode())
    expected = "9a7c50532f89a92ede21243530271efd6df92b74d0e64884f36207ae6821e33e"
    assert digest.hexdigest() == expected, "scenes changed: every shipped weight and table was made from the old ones"


def test_a_scene_depends_on_its_index_alone():
    for task in ("counting", "all"):
        twenty = world.sample(task, 20, "test", seed=4)
        assert world.sample(task, 5, "test", seed=4, first=9) == twenty[9:14]
        assert world.prompts(task, 20, "test", seed=4) == [scene.prompt for scene in twenty]
        assert world.sample(task, 0) == []
    assert [scene.task for scene in world.sample("all", 16)] == [*world.TASKS] * 2
    assert world.sample("all", 16)[9] == world.sample("two_object", 2)[1]
    different = [world.sample("complex", 8, *how) for how in (("train", 0), ("train", 1), ("validation", 0))]
    assert different[0] != different[1] != different[2] != different[0]


@pytest.mark.parametrize("task", world.TASKS)
def test_scenes_are_what_their_prompts_say(task, true_of):
    for split in SPLITS:
        for scene in world.sample(task, 60, split, seed=13):
            description = parse(scene.prompt)
            assert true_of(scene.objects, description), scene
            assert len(scene.objects) == sum(g.count for g in description.groups)
            assert describe(description) == scene.prompt
            for i, a in enumerate(scene.objects):
                reach = 1.05 * world.SIZES[a.size]  # of the longest shape, inside the picture
                assert reach < a.x < 64 - reach, scene
                assert reach < a.y < 64 - reach, scene
                assert a.x % world.LATTICE == a.y % world.LATTICE == 0
                for b in scene.objects[:i]:
                    apart = max(abs(a.x - b.x), abs(a.y - b.y))
                    assert apart >= world.SIZES[a.size] + world.SIZES[b.size] + 2, scene


def test_tasks_are_those_of_the_benchmarks():
    said = {task: [parse(p) for p in world.prompts(task, 150, "train")] for task in world.TASKS}
    one = lambda task: [d.groups[0] for d in said[task]]  # noqa: E731
    numbers = {task: {tuple(g.count for g in d.groups) for d in prompts} for task, prompts in said.items()}
    assert numbers["single_object"] == numbers["colors"] == {(1,)}
    assert numbers["two_object"] == numbers["position"] == numbers["color_attr"] == {(1, 1)}
    assert numbers["counting"] == {(2,), (3,), (4,), (5,)}
    assert numbers["texture"] == {(1,), (1, 1)}
    assert numbers["complex"] == {(1, 1), (1, 1, 1)}
    assert all(g.color is g.texture is g.size is None for g in one("single_object"))
    assert all(g.color and not g.texture for g in one("colors"))
    assert {d.relation for d in said["position"]} == set(world.RELATIONS)
    assert {d.relation for d in said["complex"]} == {None, *world.RELATIONS}
    assert all(a.color and b.color and a.shape != b.shape for a, b in (d.groups for d in said["color_attr"]))
    assert {g.texture for g in one("texture")} == {"striped", "dotted"}
    objects = [o for scene in world.sample("all", 800, "train") for o in scene.objects]
    for name, known in (("shape", world.SHAPES), ("color", world.COLORS), ("texture", world.TEXTURES)):
        assert set(Counter(getattr(o, name) for o in objects)) == set(known)
    assert {o.size for o in objects if o.texture != "solid"} == {"large"}  # small ones have no room for it


# ---- splits --------------------------------------------------------------------------------------------------------


def test_held_out_pairings_are_few_and_spread():
    assert Counter(shape for shape, _ in world.HELD_OUT_COLORS) == dict.fromkeys(world.SHAPES, 1)
    assert Counter(color for _, color in world.HELD_OUT_COLORS) == dict.fromkeys(world.COLORS, 1)
    assert Counter(texture for _, texture in world.HELD_OUT_TEXTURES) == {"striped": 2, "dotted": 2}
    assert 0.05 < len(world.HELD_OUT_PLACES) / (2 * 8 * 7) < 0.25


def pairings(scene):
    """What a scene shows or says that a rule of the splits speaks of."""
    description = parse(scene.prompt)
    found = {("color", o.shape, o.color) for o in scene.objects}
    found |= {("texture", o.shape, o.texture) for o in scene.objects if o.texture != "solid"}
    if description.relation:
        a, b = (g.shape for g in description.groups)
        a, b = (a, b) if description.relation in ("left of", "above") else (b, a)
        found |= {("across" if description.relation in ("left of", "right of") else "down", a, b)}
    return found


HELD_OUT = {
    *(("color", *pair) for pair in world.HELD_OUT_COLORS),
    *(("texture", *pair) for pair in world.HELD_OUT_TEXTURES),
    *world.HELD_OUT_PLACES,
}
CAN_BE_NOVEL = [task for task in world.TASKS if task not in ("single_object", "two_object")]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_training_never_shows_what_is_held_out(split):
    for seed in (0, 1):
        for scene in world.sample("all", 1600, split, seed):
            assert not pairings(scene) & HELD_OUT, scene


def test_every_second_test_prompt_says_something_held_out():
    seen = set()
    for task in world.TASKS:
        for i, scene in enumerate(world.sample(task, 300, "test")):
            said = {("color", g.shape, g.color) for g in parse(scene.prompt).groups}
            said |= {("texture", g.shape, g.texture) for g in parse(scene.prompt).groups}
            said |= {p for p in pairings(scene) if p[0] in ("across", "down")}
            novel = i % 2 == 1 and task in CAN_BE_NOVEL
            assert bool(said & HELD_OUT) == novel, scene
            seen |= said & HELD_OUT
            if i % 2 == 0:
                assert not pairings(scene) & HELD_OUT, scene
    assert seen == HELD_OUT, f"never tested: {HELD_OUT - seen}"


def test_rest_of_the_pairings_is_trained():
    seen = set()
    for task in ("colors", "position", "texture", "color_attr"):
        for scene in world.sample(task, 1000, "train"):
            seen |= pairings(scene)
    everything = {("color", s, c) for s in world.SHAPES for c in world.COLORS}
    everything |= {("texture", s, t) for s in world.SHAPES for t in world.TEXTURES[1:]}
    everything |= {(axis, a, b) for axis in ("across", "down") for a in world.SHAPES for b in world.SHAPES if a != b}
    assert seen == everything - HELD_OUT


# ---- rendering -----------------------------------------------------------------------------------------------------

AREA = {  # of radius 1
    "circle": math.pi * 0.92**2,
    "square": 1.64**2,
    "triangle": 1.96 * 1.73 / 2,
    "diamond": 1.6 * 2.1 / 2,
    "star": 5 * 1.05 * 0.45 * math.sin(math.pi / 5),
    "cross": 2 * 1.96 * 0.66 - 0.66**2,
    "ring": math.pi * (0.95**2 - 0.45**2),
    "heart": 1.75**2 * (1 / 2 + math.pi / 8),  # a square of half the area of its own square, and two half discs
}


def picture(shape, color="black", texture="solid", size="large", x=32, y=32, pixels=64):
    return world.render([Scene((Object(shape, color, texture, size, x, y),), "", "")], pixels)[0]


def coverage(image):
    """How much of each pixel a black object covers."""
    ground, black = torch.tensor(world.GROUND)[:, None, None], torch.tensor(world.COLORS["black"])[:, None, None]
    return ((ground - image) / (ground - black)).mean(0)


@pytest.mark.parametrize("size", world.SIZES)
@pytest.mark.parametrize("shape", world.SHAPES)
def test_areas_are_the_analytic_ones(shape, size):
    for x, y, pixels in ((32, 32, 64), (28, 36, 64), (32, 32, 256)):
        covered = coverage(picture(shape, size=size, x=x, y=y, pixels=pixels)).sum() * (64 / pixels) ** 2
        assert covered.item() == pytest.approx(AREA[shape] * world.SIZES[size] ** 2, rel=0.01)


@pytest.mark.parametrize("shape", world.SHAPES)
def test_edges_are_antialiased_and_the_rest_is_flat(shape):
    cover = coverage(picture(shape))
    assert cover.min() > -1e-5
    assert cover.max() < 1 + 1e-5
    soft = ((cover > 0.01) & (cover < 0.99)).sum().item()
    assert 20 < soft < 4 * 13 * 4, "a band of about one pixel along the outline"
    assert torch.equal(picture(shape)[:, :16], torch.tensor(world.GROUND)[:, None, None].expand(3, 16, 64))
    assert torch.allclose(cover, cover.flip(1), atol=1e-5), "left and right are mirror images"


def test_pictures_are_those_that_pil_draws():
    scenes = world.sample("all", 64, "test", seed=3)
    difference = (world.render(scenes) - paint_all(scenes)).abs()
    assert difference.mean() < 0.004
    assert (difference.amax(1) > 0.1).float().mean() < 0.002  # at corners, which a distance rounds
    assert difference.max() < 0.35


def test_colors_and_textures():
    for color, rgb in world.COLORS.items():
        centre = picture("square", color)[:, 32, 32]
        torch.testing.assert_close(centre, torch.tensor(rgb), atol=1e-6, rtol=0)
    solid, tint = torch.tensor(world.COLORS["red"]), 0.35 * torch.tensor(world.COLORS["red"]) + 0.65
    striped = picture("square", "red", "striped")[:, :, 30]  # (3, 64), downwards through the middle
    for y, wanted in ((31, tint), (32, tint), (28, solid), (36, solid), (39, tint), (24, tint), (23, tint)):
        torch.testing.assert_close(striped[:, y], wanted, atol=1e-6, rtol=0)
    dotted = picture("square", "red", "dotted")
    for x, y, wanted in ((32, 32, tint), (37, 38, tint), (35, 35, solid), (29, 29, solid), (32, 26, tint)):
        torch.testing.assert_close(dotted[:, y, x], wanted, atol=1e-6, rtol=0)


def test_pictures_do_not_depend_on_the_batch():
    scenes = world.sample("all", 40, "test", seed=2)
    images = world.render(scenes)
    assert images.shape == (40, 3, 64, 64)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.equal(torch.cat([world.render([scene]) for scene in scenes]), images)
    order = list(range(40))
    random.Random(0).shuffle(order)
    assert torch.equal(world.render([scenes[i] for i in order]), images[order])
    assert world.render([]).shape == (0, 3, 64, 64)


def test_size_only_changes_the_resolution():
    scenes = world.sample("all", 16, "test", seed=6)
    small, large = world.render(scenes), world.render(scenes, 256)
    assert large.shape == (16, 3, 256, 256)
    averaged = torch.nn.functional.avg_pool2d(large, 4)
    assert (small - averaged).abs().mean() < 0.004
    assert world.render(scenes, 16).shape == (16, 3, 16, 16)


# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE TVCG
# 2009, severity 1: matrices on linear RGB.
DEFICIENCIES = {
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize(
    ("name", "least"), [("none", 40), ("protanopia", 18), ("deuteranopia", 18), ("tritanopia", 12)]
)
def test_colors_stay_apart_for_the_colour_blind(name, least):
    rgb = np.array([*world.COLORS.values(), world.GROUND])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(DEFICIENCIES[name]).T, 0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)[None])[0]
    distance = np.linalg.norm(lab[:, None] - lab, axis=-1)  # CIE 1976; about 2.3 can just be told apart
    assert distance[np.triu_indices(9, 1)].min() > least


# ---- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: world.sample("colour", 1), 'unknown task "colour"; did you mean "colors"'),
        (lambda: world.prompts("positions", 1), 'did you mean "position"'),
        (lambda: world.sample(None, 1), 'unknown task "None"'),
        (lambda: world.sample("colors", 1, "tests"), 'unknown split "tests"; known: train, validation, test'),
        (lambda: world.sample("colors", -1), "n=-1"),
        (lambda: world.sample("colors", 1, first=-2), "first=-2"),
        (lambda: world.render([], 7), "at least 8 pixels wide; got size=7"),
        (lambda: world.render([], 0), "size=0"),
        (lambda: world.render([], 64.0), "size=64.0"),
        (lambda: world.render([], "64"), "size=64"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)

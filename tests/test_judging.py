"""The judge on pictures: drawn by PIL, rendered, spoilt; with truth decided from the scene's values."""

import itertools
import math
import random

import pytest
import torch
from drawing import paint, paint_all
from torch.nn import functional as F
from truth import false_changes, judge_error, true_of

import vartut
from vartut import world
from vartut.world.judging import Found, Verdict, find, judge, verdict


def correct(objects, *prompts) -> list[bool]:
    """What the judge says of a picture drawn by PIL, for several prompts."""
    return [v.correct for v in judge(paint(objects).expand(len(prompts), -1, -1, -1), list(prompts))]


# ---- finding objects -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "texture"), [("small", "solid"), *(("large", t) for t in world.TEXTURES)])
def test_finds_every_shape_in_every_color_off_the_lattice(size, texture):
    kinds = list(itertools.product(world.SHAPES, world.COLORS))
    random.Random(0).shuffle(kinds)
    places = ((15.3, 16.6), (15.9, 48.2), (47.5, 15.1), (48.4, 47.7))  # left to right
    wanted = [
        [(shape, color, texture, size, x, y) for (shape, color), (x, y) in zip(kinds[i : i + 4], places)]
        for i in range(0, len(kinds), 4)
    ]
    for objects, found in zip(wanted, find(torch.stack([paint(objects) for objects in wanted]))):
        assert len(found) == 4
        by_place = sorted(found, key=lambda o: (o.x > 32, o.y))
        assert [(o.shape, o.color, o.texture, o.size) for o in by_place] == [o[:4] for o in objects]
        assert all(math.dist((o.x, o.y), o_true[4:]) < 1 for o, o_true in zip(by_place, objects))
        assert all(0.8 < o.fit <= 1 + 1e-5 for o in found)


def test_judges_drawn_scenes_like_rendered_ones():
    scenes = world.sample("all", 64, "test", seed=11)
    assert all(v.correct and v.grade == 1 for v in judge(paint_all(scenes), [s.prompt for s in scenes]))
    assert all(v.reason == "all of it holds" for v in judge(paint_all(scenes[:8]), [s.prompt for s in scenes[:8]]))


def test_clean_renders_are_judged_as_their_values_say():
    scenes, rng = world.sample("all", 320, "test", seed=77) + world.sample("dense", 60, "test", 77), random.Random(77)
    assert all(true_of(s.objects, world.parse(s.prompt)) for s in scenes)
    pictures = find(world.render(scenes))
    rejected = [s for s, found in zip(scenes, pictures) if not verdict(found, s.prompt).correct]
    false = [(i, prompt) for i, s in enumerate(scenes) for prompt, _ in false_changes(s, rng)]
    accepted = [(scenes[i], prompt) for i, prompt in false if verdict(pictures[i], prompt).correct]
    assert len(false) > 800
    assert len(rejected) <= 0.005 * len(scenes), rejected
    assert len(accepted) <= 0.005 * len(false), accepted


def test_touching_objects_are_told_apart():
    objects = [("circle", "red", "solid", "large", 20, 32), ("square", "blue", "solid", "large", 41, 32)]
    assert correct(objects, "a red circle left of a blue square", "a blue circle and a red square") == [True, False]


def test_objects_do_not_depend_on_the_batch():
    scenes = world.sample("all", 40, "test", seed=5)
    images = world.render(scenes)
    together = find(images)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    shuffled = find(images[order])
    others = [find(image[None])[0] for image in images[:8]], [shuffled[i] for i in order.argsort()]
    for other in others:
        for here, there in zip(together, other):
            assert [str(o) for o in here] == [str(o) for o in there]
            assert [(o.x, o.y) for o in here] == [(o.x, o.y) for o in there]
            assert [o.fit for o in here] == pytest.approx([o.fit for o in there], abs=1e-5)
    assert find(images[:0]) == []


# ---- GenEval's rules -----------------------------------------------------------------------------------------------

STARS = [("star", "green", "solid", "small", x, y) for x, y in ((14, 14), (50, 14), (14, 50), (50, 50))]
NUMBERED = ("two stars", "three stars", "four stars", "five stars")


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_number_means_exactly_so_many(n):
    assert correct(STARS[:n], *NUMBERED) == [number == n for number in (2, 3, 4, 5)]


def test_a_number_counts_what_it_describes():
    objects = [*STARS[:2], ("star", "pink", "solid", "small", 14, 50), ("ring", "green", "solid", "small", 50, 50)]
    prompts = ("two green stars", "three stars", "two stars", "two stars and a ring", "three stars and a ring")
    assert correct(objects, *prompts) == [True, True, False, False, True]


def test_an_article_means_at_least_one():
    assert correct(STARS[:3], "a star", "a green star", "a star and a star", "a pink star", "a star and a ring") == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_one_object_fills_one_role():
    assert correct(STARS[:1], "a star", "a star and a star", "a green star and a star") == [True, False, False]


def test_attributes_must_be_of_the_same_object():
    objects = [("heart", "red", "striped", "large", 18, 32), ("cross", "blue", "solid", "small", 48, 32)]
    assert correct(
        objects,
        "a red heart and a blue cross",
        "a blue heart and a red cross",
        "a large striped heart and a small cross",
        "a striped cross and a heart",
        "a large cross and a heart",
        "a solid blue cross",
    ) == [True, False, True, False, False, True]


@pytest.mark.parametrize(
    ("place", "held"),
    [
        ((12, 32), ["left of"]),
        ((52, 32), ["right of"]),
        ((32, 12), ["above"]),
        ((32, 52), ["below"]),
        ((14, 14), ["left of", "above"]),  # as in GenEval, a diagonal is both
        ((50, 14), ["right of", "above"]),
        ((12, 26), ["left of"]),  # a little above is not above
    ],
)
def test_position_needs_offset_and_direction(place, held):
    objects = [("ring", "black", "solid", "small", *place), ("diamond", "cyan", "solid", "small", 32, 32)]
    said = correct(objects, *(f"a ring {relation} a diamond" for relation in world.RELATIONS))
    assert [relation for relation, holds in zip(world.RELATIONS, said) if holds] == held
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    said = correct(objects, *(f"a diamond {opposite[relation]} a ring" for relation in held))
    assert all(said)


# ---- spoilt pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("color", [world.GROUND, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), world.COLORS["red"]])
def test_a_blank_picture_shows_nothing(color):
    image = torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    said = judge(image.expand(2, -1, -1, -1), ["a red circle", "two rings"])
    assert [(v.correct, v.grade) for v in said] == [(False, 0), (False, 0)]


def test_noise_and_smears_are_no_objects():
    draws = torch.Generator().manual_seed(0)
    noise = torch.rand(3, 3, 64, 64, generator=draws)
    smear = F.interpolate(torch.rand(3, 3, 8, 8, generator=draws), size=64, mode="bilinear")
    pictures = find(torch.cat([noise, smear]))
    said = [verdict(found, f"a {shape}") for found in pictures for shape in world.SHAPES]
    assert not any(v.correct for v in said), [v.found for v in said if v.correct]
    assert max(v.grade for v in said) == 0, "whoever climbs the grade must not be led into noise"


@pytest.mark.parametrize(("name", "strength"), [("blurred", 1.0), ("noisy", 0.05), ("smeared", 32)])
def test_gentle_damage_changes_no_verdict(name, strength):
    scenes = world.sample("all", 48, "test", seed=21)
    draws = torch.Generator().manual_seed(0)
    images = getattr(judge_error, name)(world.render(scenes), strength, draws).clamp(0, 1)
    pictures, rng = find(images), random.Random(0)
    for scene, found in zip(scenes, pictures):
        assert verdict(found, scene.prompt).correct, scene
        for prompt, _ in false_changes(scene, rng):
            assert not verdict(found, prompt).correct, (scene, prompt)


def test_half_an_object_has_no_clear_shape():
    image = paint([("circle", "black", "solid", "large", 32, 32)])
    image[:, :, 30:] = torch.tensor(world.GROUND)[:, None, None]
    found = find(image[None])[0]
    assert not any(o.shape == "circle" for o in found)


@pytest.mark.parametrize(
    ("share", "most"),
    [(0.5, 0.15), (0.4, 0.8), (0.0, 1.0)],  # what is three fifths of a shape may be called so, what is half of it not
)
def test_what_lies_between_two_shapes_is_rarely_named(share, most):
    named = []
    for size, color, (one, other) in itertools.product(
        world.SIZES, ("red", "yellow"), itertools.combinations(world.SHAPES, 2)
    ):
        pure = [paint([(shape, color, "solid", size, 32, 32)]) for shape in (one, other)]
        (found,) = find(torch.lerp(*pure, share)[None])
        named.append(any(o.shape for o in found))
        if share == 0:
            assert [o.shape for o in found] == [one]
    assert sum(named) <= most * len(named)


def test_half_of_one_shape_and_half_of_another_is_rarely_named():
    named = []
    for size, (one, other) in itertools.product(world.SIZES, itertools.permutations(world.SHAPES, 2)):
        left, right = (paint([(shape, "blue", "solid", size, 32, 32)]) for shape in (one, other))
        (found,) = find(torch.cat([left[:, :, :32], right[:, :, 32:]], 2)[None])
        named.append(any(o.shape for o in found))
    assert sum(named) <= 0.15 * len(named)


def test_of_an_unclear_shape_no_fact_about_shape_holds():
    pure = [paint([(shape, "red", "solid", "large", 32, 32)]) for shape in ("circle", "diamond")]
    image = ((pure[0] + pure[1]) / 2)[None]
    (found,) = find(image)
    assert [o.shape for o in found] == [None]
    for shape in world.SHAPES:
        said = judge(image, [f"a {shape}"])[0]
        assert (said.correct, said.grade) == (False, 0.0)
        assert "a large red thing of no clear shape" in said.reason


# ---- whatever the user's defaults are ------------------------------------------------------------------------------


def test_pictures_and_verdicts_do_not_depend_on_torchs_defaults():
    scenes = world.sample("dense", 4, "test")
    images, prompts = world.render(scenes), [s.prompt for s in scenes]
    said = judge(images, prompts)
    try:
        for dtype, where in ((torch.float64, "cpu"), (torch.float16, "meta")):
            torch.set_default_dtype(dtype)
            torch.set_default_device(where)
            world.finding._templates.cache_clear()
            again = world.render(scenes)
            assert (again.dtype, again.device.type) == (torch.float32, "cpu")
            assert judge(again, prompts) == said
            assert world.token_ids(prompts).device.type == "cpu"
            torch.set_default_device("cpu")
            assert torch.equal(again, images)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device("cpu")
        world.finding._templates.cache_clear()


def test_prompts_may_come_from_a_generator():
    scenes = world.sample("colors", 3, "test")
    assert all(v.correct for v in judge(world.render(scenes), (s.prompt for s in scenes)))


# ---- words and bad input -------------------------------------------------------------------------------------------


def test_public_names():
    assert vartut.judge is judge
    said = judge(paint(STARS[:1])[None], ["a green star"])[0]
    assert isinstance(said, Verdict)
    assert (said.correct, said.grade, len(said.found)) == (True, 1.0, 1)
    assert isinstance(said.found[0], Found)
    assert judge(torch.zeros(0, 3, 64, 64), []) == []


ONE = torch.full((1, 3, 64, 64), 0.5)
BAD = [
    (ONE[0], ["a circle"], r"\(B, 3, 64, 64\); got \(3, 64, 64\)"),
    (ONE[:, :1], ["a circle"], r"got \(1, 1, 64, 64\)"),
    (ONE[..., :32], ["a circle"], r"got \(1, 3, 64, 32\)"),
    (ONE.numpy(), ["a circle"], "a tensor of pictures"),
    ("picture.png", ["a circle"], "got str"),
    ((255 * ONE).byte(), ["a circle"], "divide by 255"),
    (255 * ONE, ["a circle"], "from 128 to 128: clamp or rescale"),
    (ONE - 1, ["a circle"], "from -0.5 to -0.5: clamp or rescale"),
    (ONE * math.nan, ["a circle"], "NaN or infinite"),
    (ONE / 0, ["a circle"], "NaN or infinite"),
    (ONE, ["a circle"] * 2, "1 pictures and 2 prompts"),
    (ONE, [], "1 pictures and 0 prompts"),
    (ONE, None, "prompts are several texts, as a list; got None"),
    (ONE, {"a circle"}, "prompts are several texts, as a list; got {'a circle'}"),
    (ONE, {"a circle": 1}, "prompts are several texts, as a list; got {'a circle': 1}"),
    (ONE, "a circle", r'write \["a circle"\]'),
    (ONE, ["a cirlce"], 'unknown word "cirlce".*"circle"'),
    (ONE, ["circle a"], "cannot read the prompt"),
    (ONE, [""], "non-empty"),
    (ONE, [None], "non-empty"),
]


@pytest.mark.parametrize(("images", "prompts", "message"), BAD)
def test_bad_input_is_one_clear_line(images, prompts, message):
    with pytest.raises(ValueError, match=message) as error:
        judge(images, prompts)
    assert "\n" not in str(error.value)


def test_rounding_errors_of_a_decoder_are_no_bad_input():
    image = world.render(world.sample("colors", 1))
    scaled = image * 1.0005 - 0.0003  # half precision may leave [0, 1] by this much
    assert judge(scaled, world.prompts("colors", 1, "train"))[0].correct

"""The judge: on pictures that PIL drew, on known scenes, against truth decided from the scene's values, and its grade
against numbers worked out by hand and against brute force."""

import importlib.util
import itertools
import math
import random
from pathlib import Path

import pytest
import torch
from drawing import paint, paint_all
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import vartut
from vartut import world
from vartut.judging import Found, Verdict, find, judge, stands, verdict
from vartut.world import Description, Group


@pytest.fixture(scope="module")
def benchmark():
    """benchmarks/judge_error.py, whose `true_of` decides from a scene's values, without the judge's code."""
    path = Path(__file__).parents[1] / "benchmarks" / "judge_error.py"
    spec = importlib.util.spec_from_file_location("judge_error", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def correct(objects, *prompts) -> list[bool]:
    """What the judge says of a picture drawn by PIL, for several prompts."""
    return [v.correct for v in judge(paint(objects).expand(len(prompts), -1, -1, -1), list(prompts))]


def thing(shape="circle", color="red", x=32.0, y=32.0, size="small", texture="solid") -> Found:
    return Found(shape, color, texture, size, x, y, 1.0)


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


def test_judges_drawn_scenes_like_rendered_ones(benchmark):
    scenes = world.sample("all", 64, "test", seed=11)
    assert all(v.correct and v.grade == 1 for v in judge(paint_all(scenes), [s.prompt for s in scenes]))
    assert all(v.reason == "all of it holds" for v in judge(paint_all(scenes[:8]), [s.prompt for s in scenes[:8]]))


def test_clean_renders_are_judged_as_their_values_say(benchmark):
    scenes, rng = world.sample("all", 320, "test", seed=77), random.Random(77)
    assert all(benchmark.true_of(s.objects, world.parse(s.prompt)) for s in scenes)
    pictures = find(world.render(scenes))
    rejected = [s for s, found in zip(scenes, pictures) if not verdict(found, s.prompt).correct]
    false = [(i, prompt) for i, s in enumerate(scenes) for prompt, _ in benchmark.false_changes(s, rng)]
    accepted = [(scenes[i], prompt) for i, prompt in false if verdict(pictures[i], prompt).correct]
    assert len(false) > 800
    assert len(rejected) <= 0.005 * len(scenes), rejected
    assert len(accepted) <= 0.005 * len(false), accepted


def test_truth_from_values_is_right_where_worked_out_by_hand(benchmark):
    two = (thing("circle", "red", 16, 32), thing("square", "blue", 48, 32))
    for prompt, true in (
        ("a red circle left of a blue square", True),
        ("a blue square right of a circle", True),
        ("a blue circle left of a red square", False),
        ("a circle above a square", False),
        ("a circle and a circle", False),
        ("two circles", False),
    ):
        assert benchmark.true_of(two, world.parse(prompt)) is true, prompt


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


@pytest.mark.parametrize(
    ("dx", "dy", "held"),
    [  # two small objects, 16 pixels wide: a margin of .1 * (16 + 16) = 3.2 pixels
        (-3, 0, []),  # inside the margin
        (-6, 0, []),  # 2.8 beyond it, less than half of 6
        (-7, 0, ["left of"]),  # 3.8 beyond it, more than half of 7
        (-20, 18, ["left of", "below"]),  # 16.8 and 14.8 of 26.9
        (-20, 8, ["left of"]),  # 4.8 of 21.5 is too little
        (0, 0, []),
    ],
)
def test_offset_rule_by_hand(dx, dy, held):
    a, b = thing(x=32.0 + dx, y=32.0 + dy), thing()
    assert [relation for relation in world.RELATIONS if stands(a, b, relation)] == held


def test_margin_grows_with_the_objects():
    for sizes, needed in ((("small", "small"), 7), (("small", "large"), 9), (("large", "large"), 11)):  # > 6.4 8.4 10.4
        a = [thing(x=32.0 - d, size=sizes[0]) for d in (needed - 1, needed)]
        assert [stands(o, thing(size=sizes[1]), "left of") for o in a] == [False, True]


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
def test_gentle_damage_changes_no_verdict(benchmark, name, strength):
    scenes = world.sample("all", 48, "test", seed=21)
    draws = torch.Generator().manual_seed(0)
    images = getattr(benchmark, name)(world.render(scenes), strength, draws).clamp(0, 1)
    pictures, rng = find(images), random.Random(0)
    for scene, found in zip(scenes, pictures):
        assert verdict(found, scene.prompt).correct, scene
        for prompt, _ in benchmark.false_changes(scene, rng):
            assert not verdict(found, prompt).correct, (scene, prompt)


def test_half_an_object_has_no_clear_shape():
    image = paint([("circle", "black", "solid", "large", 32, 32)])
    image[:, :, 30:] = torch.tensor(world.GROUND)[:, None, None]
    found = find(image[None])[0]
    assert not any(o.shape == "circle" for o in found)


# ---- the grade -----------------------------------------------------------------------------------------------------

CIRCLE, SQUARE = thing(x=12.0), thing("square", "blue", x=48.0)
PAIR = "a red circle left of a blue square"  # five facts: two shapes, two colours, a relation
BY_HAND = [
    (PAIR, (CIRCLE, SQUARE), 1.0, True),
    (PAIR, (CIRCLE, SQUARE, thing("heart", "pink")), 0.8, True),  # all five, one object too many
    (PAIR, (thing(color="green", x=12.0), SQUARE), 0.8, False),  # four of five
    (PAIR, (thing(color="blue", x=12.0), thing("square", "red", x=48.0)), 0.6, False),  # colours swapped
    (PAIR, (thing(x=48.0), thing("square", "blue", x=12.0)), 0.8, False),  # places swapped
    (PAIR, (CIRCLE,), 0.2, False),  # two of five, one object missing
    (PAIR, (thing(None, "red", x=12.0), SQUARE), 0.8, False),
    (PAIR, (thing("heart", "pink", x=12.0), thing("star", "cyan", x=48.0)), 0.2, False),  # only the places are right
    (PAIR, (), 0.0, False),
    ("three stars", (thing("star"),) * 3, 1.0, True),  # four facts: three shapes and the number
    ("three stars", (thing("star"),) * 2, 0.3, False),  # two of four, less .2
    ("three stars", (thing("star"),) * 4, 0.55, False),  # three of four, less .2
    ("three stars", (thing("star"),) * 3 + (thing("ring"),), 0.8, True),
    ("three stars", (thing("star"),) * 2 + (thing("ring"),), 0.5, False),
    ("two red stars", (thing("star"), thing("star", "blue")), 0.8, False),  # four of five: both are stars
    ("a small dotted red ring", (thing("ring", texture="dotted"),), 1.0, True),
    ("a small dotted red ring", (thing("ring", size="large"),), 0.5, False),
    ("a large dotted red ring", (thing("cross", "blue"),), 0.0, False),
    ("two circles and a square", (CIRCLE, CIRCLE, SQUARE), 1.0, True),  # three shapes and one number
    ("two circles and a square", (CIRCLE, SQUARE, SQUARE), 0.5, False),
    ("a circle", (CIRCLE,) * 4, 0.4, True),
    ("a circle", (thing("ring"),) * 7, 0.0, False),  # never below zero
    ("a circle, a star and a red square", (thing("star"), thing("square"), CIRCLE), 1.0, True),
]


@pytest.mark.parametrize(("prompt", "found", "grade", "holds"), BY_HAND)
def test_grade_by_hand(prompt, found, grade, holds):
    assert verdict(found, prompt).grade == pytest.approx(grade, abs=1e-9)
    assert verdict(found, prompt).correct is holds


def groups(count):
    say = lambda known: st.sampled_from([None, *known])  # noqa: E731
    return st.builds(
        Group, count, st.sampled_from(world.SHAPES[:3]), say(("red", "blue")), say(world.TEXTURES[:2]), say(world.SIZES)
    )


DESCRIPTIONS = st.one_of(
    st.builds(Description, st.tuples(groups(st.integers(1, 5)))),
    st.builds(Description, st.tuples(*[groups(st.integers(1, 2))] * 2), st.sampled_from([None, *world.RELATIONS])),
    st.builds(Description, st.tuples(*[groups(st.just(1))] * 3)),
).filter(lambda d: len(world.describe(d).replace(",", " ,").split()) <= world.MAX_WORDS)
OBJECTS = st.lists(
    st.builds(
        Found,
        st.sampled_from([None, *world.SHAPES[:3]]),
        st.sampled_from(("red", "blue")),
        st.sampled_from(world.TEXTURES[:2]),
        st.sampled_from(tuple(world.SIZES)),
        st.integers(12, 52).map(float),
        st.integers(12, 52).map(float),
        st.just(1.0),
    ),
    max_size=5,
).map(tuple)


def grade_by_brute_force(description, found) -> float:
    """design: over the best assignment, the share of the facts that hold, less .2 per surplus or missing object."""
    groups = description.groups
    roles = [g for g in groups for _ in range(g.count)]
    said = [[name for name in ("shape", "color", "texture", "size") if getattr(g, name)] for g in roles]
    numbers = [g for g in groups if g.count > 1]
    facts = sum(map(len, said)) + len(numbers) + (description.relation is not None)
    wanted = lambda shape: sum(g.count for g in groups if g.shape == shape)  # noqa: E731
    counted = sum(sum(o.shape == g.shape for o in found) == wanted(g.shape) for g in numbers)
    best = 0
    for cast in itertools.permutations([*found, *[None] * len(roles)], len(roles)):
        held = sum(
            getattr(o, name) == getattr(g, name) for o, g, names in zip(cast, roles, said) if o for name in names
        )
        first, second = cast[: groups[0].count], cast[groups[0].count :]
        if description.relation and None not in cast:
            held += all(stands(a, b, description.relation) for a in first for b in second)
        best = max(best, held)
    return max(0.0, (best + counted) / facts - 0.2 * abs(len(found) - len(roles)))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(DESCRIPTIONS, OBJECTS)
def test_grade_is_the_best_assignment(description, found):
    said = verdict(found, world.describe(description))
    assert said.grade == pytest.approx(grade_by_brute_force(description, found), abs=1e-9)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(DESCRIPTIONS, OBJECTS, st.randoms(use_true_random=False))
def test_verdict_is_what_every_casting_says(benchmark, description, found, rng):
    prompt = world.describe(description)
    said = verdict(found, prompt)
    assert said.correct == benchmark.true_of(found, description)
    wanted = sum(g.count for g in description.groups)
    assert (said.grade > 1 - 1e-9) == (said.correct and len(found) == wanted), "1 means: it holds, and nothing else"
    shuffled = verdict(tuple(rng.sample(found, len(found))), prompt)
    assert (shuffled.correct, shuffled.grade) == (said.correct, pytest.approx(said.grade))


# ---- words and bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "found", "reason"),
    [
        (PAIR, (CIRCLE, SQUARE), "all of it holds"),
        (PAIR, (CIRCLE, SQUARE, thing("heart")), "all of it holds, beside 1 more than asked"),
        (PAIR, (CIRCLE,), "no blue square; found a small red circle"),
        (PAIR, (thing(x=48.0), thing("square", "blue", x=12.0)), "nothing stands left of as asked; found a small red"),
        (
            "three stars",
            (thing("star", "orange"),) * 2,
            "three stars: 2 of 3; found a small orange star, a",
        ),
        ("a circle", (), "no circle; found nothing"),
        ("a circle", (thing(None, "pink"),), "no circle; found a small pink thing of no clear shape"),
        ("a circle and a red circle", (CIRCLE,), "one object cannot fill two roles; found a small red circle"),
    ],
)
def test_reason_in_words(prompt, found, reason):
    assert verdict(found, prompt).reason.startswith(reason)


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

"""The verdict on given objects: numbers worked out by hand, and brute force over every casting."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from truth import true_of

from vartut import world
from vartut.world import Description, Group
from vartut.world.judging import Found, stands, verdict


def thing(shape="circle", color="red", x=32.0, y=32.0, size="small", texture="solid") -> Found:
    return Found(shape, color, texture, size, x, y, 1.0)


def test_truth_from_values_is_right_where_worked_out_by_hand():
    two = (thing("circle", "red", 16, 32), thing("square", "blue", 48, 32))
    for prompt, true in (
        ("a red circle left of a blue square", True),
        ("a blue square right of a circle", True),
        ("a blue circle left of a red square", False),
        ("a circle above a square", False),
        ("a circle and a circle", False),
        ("two circles", False),
    ):
        assert true_of(two, world.parse(prompt)) is true, prompt


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
    ("two stars", (thing("star"),) * 3, 2 / 3 - 0.2, False),
    ("three stars", (thing("star"),) * 4, 0.55, False),  # three of four, less .2
    ("three stars", (thing("star"),) * 3 + (thing("ring"),), 0.8, True),
    ("three stars", (thing("star"),) * 2 + (thing("ring"),), 0.5, False),
    ("two red stars", (thing("star"), thing("star", "blue")), 0.8, False),  # four of five: both are stars
    ("two stars left of a heart", (thing("star", x=9.0), thing("star", x=15.0), thing("heart")), 1.0, True),
    ("two stars left of a heart", (thing("star", x=9.0), thing("star", x=55.0), thing("heart")), 0.8, False),
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
    say = lambda known: st.sampled_from([None, None, *known])  # noqa: E731
    return st.builds(
        Group, count, st.sampled_from(world.SHAPES[:2]), say(("red", "blue")), say(world.TEXTURES[:2]), say(world.SIZES)
    )


def related(first):
    """No relation, or one of this group to the next."""
    return st.sampled_from([(), *(((first, relation, first + 1),) for relation in world.RELATIONS)])


DESCRIPTIONS = st.one_of(
    st.builds(Description, st.tuples(groups(st.integers(1, 5)))),
    st.builds(Description, st.tuples(*[groups(st.integers(1, 2))] * 2), related(0)),
    st.builds(Description, st.tuples(*[groups(st.just(1))] * 3)),
    st.builds(Description, st.tuples(*[groups(st.just(1))] * 3), related(1)),
    st.builds(Description, st.tuples(*[groups(st.just(1))] * 4), st.builds(lambda a, b: a + b, related(0), related(2))),
)
OBJECTS = st.lists(
    st.builds(
        Found,
        st.sampled_from([None, *world.SHAPES[:2]]),
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
    facts = sum(map(len, said)) + len(numbers) + len(description.relations)
    assert facts == description.facts
    wanted = lambda shape: sum(g.count for g in groups if g.shape == shape)  # noqa: E731
    counted = sum(sum(o.shape == g.shape for o in found) == wanted(g.shape) for g in numbers)
    best = 0
    for cast in itertools.permutations([*found, *[None] * len(roles)], len(roles)):
        held = sum(
            getattr(o, name) == getattr(g, name) for o, g, names in zip(cast, roles, said) if o for name in names
        )
        of = [[o for o, role in zip(cast, roles) if role is g] for g in groups]
        for i, relation, j in description.relations:
            held += None not in of[i] + of[j] and all(stands(a, b, relation) for a in of[i] for b in of[j])
        best = max(best, held)
    return max(0.0, (best + counted) / facts - 0.2 * abs(len(found) - len(roles)))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(DESCRIPTIONS, OBJECTS)
def test_grade_is_the_best_assignment(description, found):
    said = verdict(found, world.describe(description))
    assert said.grade == pytest.approx(grade_by_brute_force(description, found), abs=1e-9)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(DESCRIPTIONS, OBJECTS, st.randoms(use_true_random=False))
def test_verdict_is_what_every_casting_says(description, found, rng):
    prompt = world.describe(description)
    said = verdict(found, prompt)
    assert said.correct == true_of(found, description)
    wanted = sum(g.count for g in description.groups)
    assert (said.grade > 1 - 1e-9) == (said.correct and len(found) == wanted), "1 means: it holds, and nothing else"
    shuffled = verdict(tuple(rng.sample(found, len(found))), prompt)
    assert (shuffled.correct, shuffled.grade) == (said.correct, pytest.approx(said.grade))


@pytest.mark.parametrize(
    ("prompt", "found", "reason"),
    [
        (PAIR, (CIRCLE, SQUARE), "all of it holds"),
        (PAIR, (CIRCLE, SQUARE, thing("heart")), "all of it holds, beside 1 more than asked"),
        (PAIR, (CIRCLE,), "no blue square; found a small red circle"),
        (PAIR, (thing(x=48.0), thing("square", "blue", x=12.0)), "nothing stands left of a blue square as asked;"),
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

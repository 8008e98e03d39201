"""The grammar of prompts: what is described is read back, and what is not in it is refused in one line."""

import hashlib
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vartut import world
from vartut.world import Description, Group, describe, parse


def groups(count):
    say = lambda known: st.sampled_from([None, *known])  # noqa: E731
    return st.builds(
        Group, count, st.sampled_from(world.SHAPES), say(world.COLORS), say(world.TEXTURES), say(world.SIZES)
    )



@st.composite
def descriptions(draw):
    """Up to five objects in groups, any neighbours of which may be related, each group once."""
    told = draw(st.lists(groups(st.integers(1, 4)), min_size=1, max_size=5).map(tuple))
    relations, free = [], 0
    for i in range(len(told) - 1):
        if i >= free and (relation := draw(st.sampled_from([None, *world.RELATIONS]))):
            relations.append((i, relation, i + 1))
            free = i + 2
    return Description(told, tuple(relations))


DESCRIPTIONS = st.one_of(
    st.builds(Description, st.tuples(groups(st.integers(1, 5)))), descriptions()
).filter(lambda d: sum(g.count for g in d.groups) <= 5)


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
            Description((Group(1, "circle", "red"), Group(1, "square", "blue")), ((0, "left of", 1),)),
        ),
        (
            "two rings above an orange cross",
            Description((Group(2, "ring"), Group(1, "cross", "orange")), ((0, "above", 1),)),
        ),
        (
            "a red circle left of a blue square, a small green star above a pink heart and a striped cyan ring",
            Description(
                (
                    Group(1, "circle", "red"),
                    Group(1, "square", "blue"),
                    Group(1, "star", "green", None, "small"),
                    Group(1, "heart", "pink"),
                    Group(1, "ring", "cyan", "striped"),
                ),
                ((0, "left of", 1), (2, "above", 3)),
            ),
        ),
        (
            "a star, two rings below a cross and a diamond",
            Description(
                (Group(1, "star"), Group(2, "ring"), Group(1, "cross"), Group(1, "diamond")), ((1, "below", 2),)
            ),
        ),
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


@pytest.mark.parametrize("word", ["crimson", "fox", "7", "x" * 500])
def test_a_word_far_from_all_is_answered_with_what_there_is(word):
    known = r"circle square .*; black red .*; solid .*; small large; two .*; left of, right of, above, below"
    with pytest.raises(ValueError, match=f"this world has {known}$"):
        parse(f"a {word} circle")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(min_size=1, max_size=12))
def test_any_text_is_read_or_refused_in_one_line(text):
    for prompt in (text, f"a {text}", f"a red circle {text} a square"):
        try:
            description = parse(prompt)
        except ValueError as error:
            complaint = str(error).replace(prompt, "") if prompt.strip() else str(error)
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
        ("a circle above a star below a ring", 'expected "," or "and", found "below"'),
        ("a circle, a star above a ring", 'expected "and" before the last object, found the end'),
        ("a circle and a star above a ring and a cross", 'expected the end, found "and"'),
        ("three rings and three stars", "more than five objects"),
        ("three rings left of three stars", "more than five objects"),
        ("a " * 33, "33 words; at most 32"),
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
    assert not ids[0, 9:].any()  # padding


def test_vocabulary_is_what_the_shipped_weights_learnt():
    assert len(set(world.WORDS)) == len(world.WORDS) == 43
    digest = hashlib.sha256(" ".join(world.WORDS).encode()).hexdigest()
    assert digest[:16] == "47b5dd3e659c0966", "the order of the words changed: every text model must be trained anew"

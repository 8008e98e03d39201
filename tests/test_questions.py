"""Prompts taken apart into questions: together they ask for what the prompt claims, no more and no less."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_grammar import DESCRIPTIONS

from vartut import world
from vartut.world import Description, Group, describe, parse
from vartut.world.negatives import false_prompts, holds
from vartut.world.questions import ANSWERS, QUESTION_WORDS, Question, questions

SCENES = [
    *(scene for task in world.SHORT_TASKS for scene in world.sample(task, 6, "test")),
    *(scene for facts in world.DENSE_FACTS for scene in world.sample("dense", 4, "test", facts=facts)),
]


def said(prompt: str, objects) -> list[bool]:
    """Which questions of a prompt the objects answer as it claims."""
    return [question.answer(objects) == question.right for question in questions(prompt)]


def test_the_questions_of_a_prompt_by_hand():
    asked = questions("a large star, two red circles left of a striped blue square and a ring")
    assert [(q.kind, q.text, q.right) for q in asked] == [
        ("shape", "is there a star ?", "yes"),
        ("size", "is there a large star ?", "yes"),
        ("shape", "is there a circle ?", "yes"),
        ("color", "is there a red circle ?", "yes"),
        ("number", "how many red circles ?", "two"),
        ("shape", "is there a square ?", "yes"),
        ("color", "is there a blue square ?", "yes"),
        ("texture", "is there a striped blue square ?", "yes"),
        ("shape", "is there a ring ?", "yes"),
        ("relation", "are two red circles left of a striped blue square ?", "yes"),
    ]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(DESCRIPTIONS)
def test_every_form_of_the_grammar_is_taken_apart(description):
    asked = questions(describe(description))
    claims = [(g.shape, *(v for v in (g.color, g.texture, g.size) if v)) for g in description.groups]
    assert len(asked) == sum(map(len, claims)) + sum(g.count > 1 for g in description.groups) + len(
        description.relations
    )
    assert len(asked) == description.facts or any(g.count > 1 for g in description.groups)
    for question in asked:
        assert set(question.text.replace(",", " ,").split()) <= set(QUESTION_WORDS)
        assert question.right in ANSWERS
        assert parse(describe(question.about)) == question.about, "it asks about something that a prompt can say"


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.prompt)
def test_a_true_prompt_gets_right_answers_alone_and_a_false_one_a_wrong_one(scene):
    assert all(said(scene.prompt, scene.objects))
    for prompts in false_prompts(scene, random.Random(0)).values():
        for prompt in prompts:
            assert not all(said(prompt, scene.objects)), prompt


@settings(max_examples=300, deadline=None, derandomize=True)
@given(DESCRIPTIONS, st.sampled_from(SCENES))
def test_all_answers_are_right_exactly_if_the_prompt_holds(description, scene):
    if len({g.shape for g in description.groups}) == len(description.groups):  # else `holds` does not say
        assert all(said(describe(description), scene.objects)) == holds(description, scene.objects)


def test_what_the_judge_finds_is_answered_like_what_was_painted():
    scenes = [scene for scene in SCENES if scene.task == "dense"][::4]
    for scene, verdict in zip(scenes, world.judge(world.render(scenes), [scene.prompt for scene in scenes])):
        assert said(scene.prompt, verdict.found) == said(scene.prompt, scene.objects)


def test_more_than_five_are_more():
    circle = world.Object("circle", "red", "solid", "small", 0, 0)
    many = Question("number", Description((Group(1, "circle"),)))
    assert [many.answer([circle] * n) for n in (0, 1, 5, 6, 9)] == ["zero", "one", "five", "more", "more"]


def test_an_unclear_shape_is_no_shape():
    unclear = world.Found(None, "red", "solid", "small", 30.0, 30.0, 0.5)
    assert said("a red circle", [unclear]) == [False, False]


def test_a_prompt_outside_the_grammar_is_refused_in_a_line():
    with pytest.raises(ValueError, match='unknown word "purple"'):
        questions("a purple circle")

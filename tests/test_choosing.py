"""How well a verifier chooses: against pairs counted one by one, and choices drawn one by one."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vartut.measure.choosing import affordable_look, headroom, right_above_wrong

FEW = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(FEW)
def test_right_above_wrong_counts_pairs(pictures):
    scores, correct = zip(*pictures)
    pairs = [(a, b) for (a, x), (b, y) in itertools.product(pictures, pictures) if x and not y]
    found = right_above_wrong(scores, correct)
    if not pairs:
        assert found is None
    else:
        assert found == pytest.approx(sum(1.0 * (a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs))


def test_headroom_is_what_drawing_every_choice_gives():
    rng = np.random.default_rng(0)
    scores, correct = rng.normal(size=(5, 6)), rng.integers(0, 2, (5, 6))
    chosen = best = 0.0
    for s, c in zip(scores, correct):
        choices = [list(rows) for rows in itertools.combinations(range(6), 3)]
        chosen += np.mean([c[rows][s[rows].argmax()] for rows in choices]) - c.mean()
        best += np.mean([c[rows].max() for rows in choices]) - c.mean()
    assert headroom(3, scores, correct)[0] == pytest.approx(chosen / best)


def test_the_judge_has_all_of_it_and_a_contrarian_less_than_nothing():
    rng = np.random.default_rng(1)
    correct = rng.integers(0, 2, (40, 16))
    share, low, high = headroom(8, correct + 0.1 * rng.random(correct.shape), correct)
    assert share == low == high == pytest.approx(1)
    assert headroom(8, -correct + 0.1 * rng.random(correct.shape), correct)[2] < 0
    share, low, high = headroom(8, rng.random(correct.shape), correct)
    assert low < 0 < high, "a coin"


def test_the_interval_covers_the_truth():
    """Scores of a known kind: intervals of 40 fresh prompts hold the value of 4,000 most of the time."""
    rng = np.random.default_rng(2)

    def made(prompts):
        correct = (rng.random((prompts, 16)) < rng.beta(1, 2, (prompts, 1))).astype(float)
        return correct + rng.normal(size=correct.shape), correct

    truth = headroom(4, *made(4000), draws=2)[0]
    inside = [low <= truth <= high for _, low, high in (headroom(4, *made(40), draws=300) for _ in range(60))]
    assert sum(inside) >= 50


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="none NaN"):
        right_above_wrong([np.nan, 1], [0, 1])
    with pytest.raises(ValueError, match="two prompts or more"):
        headroom(1, [[1.0, 2.0]], [[0, 1]])
    with pytest.raises(ValueError, match="no headroom"):
        headroom(2, np.ones((3, 4)), np.zeros((3, 4)))


def test_where_all_is_right_there_is_no_headroom_whatever_the_rounding():
    with pytest.raises(ValueError, match="there is no headroom"):
        headroom(8, np.random.default_rng(0).normal(size=(5, 16)), np.ones((5, 16)), draws=20)


@pytest.mark.parametrize("told", [[0.3, 1.0], [-1, 1], [np.nan, 1.0]])
def test_grades_are_no_verdicts(told):
    with pytest.raises(ValueError, match="compare grades with a threshold"):
        right_above_wrong([1.0, 2.0], told)


def test_what_a_dear_look_may_cost_by_hand():
    """The dear one needs 4 pictures for what the cheap one has of 16: a quarter of the budget each, less painting."""
    counts, cheap = [1, 2, 4, 8, 16], np.array([[0.0, 0.1, 0.2, 0.3, 0.4]] * 5)
    dear = 2 * cheap
    cost, low, high = affordable_look(160, 8, 2, counts, cheap, dear, draws=50)
    assert cost == pytest.approx(160 / 4 - 8)
    assert low == high == pytest.approx(cost)
    assert affordable_look(160, 8, 2, counts, cheap, cheap, draws=5)[0] == pytest.approx(2), "as good: as dear"
    rng = np.random.default_rng(0)
    noisy = np.sort(rng.random((40, 5)), 1)
    cost, low, high = affordable_look(100, 8, 2, counts, noisy / 2, noisy)
    assert low < cost < high
    for budget in (9, 161):
        with pytest.raises(ValueError, match="success is known of"):
            affordable_look(budget, 8, 2, counts, cheap, dear)

"""Best of n against all choices of n, and intervals of means against known ones."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vartut.measure.statistics import best_of, mean_interval, success_interval, wilson


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1)), min_size=1, max_size=8), st.data())
def test_best_of_n_is_the_mean_over_all_choices(pictures, data):
    scores, values = zip(*pictures)
    n = data.draw(st.integers(1, len(pictures)))
    choices = itertools.combinations(range(len(scores)), n)
    won = [values[max(chosen, key=lambda i: (scores[i], -i))] for chosen in choices]
    assert best_of(n, scores, values) == pytest.approx(np.mean(won), abs=1e-9)


def test_the_ends_and_many_pictures():
    rng = np.random.default_rng(0)
    scores, values = rng.normal(size=1024), rng.random(1024) < 0.3
    assert best_of(1, scores, values) == pytest.approx(values.mean())
    assert best_of(1024, scores, values) == values[scores.argmax()]
    right = int(values.sum())
    none = np.prod([(1024 - right - i) / (1024 - i) for i in range(64)])
    assert best_of(64, values, values) == pytest.approx(1 - none)  # the judge itself chooses: one right one is enough


@pytest.mark.parametrize(("n", "scores", "values"), [(0, [1], [1]), (2, [1], [1]), (1, [1, 2], [1]), (1, [[1]], [[1]])])
def test_impossible_choices_are_refused(n, scores, values):
    with pytest.raises(ValueError, match="as many scores and values"):
        best_of(n, scores, values)


def test_the_interval_of_a_mean():
    values = np.random.default_rng(1).normal(3, 2, 400)
    low, high = mean_interval(values)
    assert (low, high) == mean_interval(values) != mean_interval(values, seed=1)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert mean_interval([1.0, 1.0]) == (1.0, 1.0)
    for few in ([], [1.0], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="two values or more"):
            mean_interval(few)


def test_rates_that_are_all_right_leave_a_doubt():
    for right, n in ((20, 20), (2, 3), (0, 8), (5, 9)):
        assert success_interval([1] * right + [0] * (n - right)) == pytest.approx(wilson(right, n))
    rates = [best_of(64, right, right) for right in np.ones((20, 256))]  # a rounding error away from 1
    assert success_interval(rates) == pytest.approx(wilson(20, 20))
    assert success_interval([0.9995] * 8)[0] < 0.7


def test_intervals_of_many_rates_are_those_of_their_mean():
    rates = np.random.default_rng(2).beta(2, 1, 2000)
    assert success_interval(rates) == pytest.approx(mean_interval(rates), abs=1e-3)


def test_few_prompts_are_covered_as_promised():
    """Eight rates of prompts that are nearly always right or nearly never: 95 cases of 100, not the bootstrap's 70."""
    rng, mean = np.random.default_rng(3), 0.8
    tries = [success_interval(rng.beta(0.4, 0.1, 8)) for _ in range(2000)]
    assert np.mean([low <= mean <= high for low, high in tries]) > 0.91


@pytest.mark.parametrize("rates", [[], [np.nan, 1], [np.inf, 1], [2, 0], [-0.1], [[0.5]]])
def test_what_is_no_rate_is_refused(rates):
    with pytest.raises(ValueError, match="rates from 0 to 1"):
        success_interval(rates)


def test_nan_is_no_score_and_no_value():
    for scores, values in (([np.nan, 1.0], [0, 1]), ([1.0, 2.0], [np.nan, 1])):
        with pytest.raises(ValueError, match="are NaN"):
            best_of(1, scores, values)
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="needs finite values"):
            mean_interval([0.0, wrong, 1.0])

"""The law of independent facts: against counting, drawing and its own limits."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vartut.measure.law import best_of_independent, failing_chance, one_by_one


@pytest.mark.parametrize(("facts", "n"), [(1, 1), (2, 1), (2, 2), (3, 2), (1, 4)])
def test_the_best_of_n_is_what_counting_every_outcome_gives(facts, n):
    """All 2^(facts n) patterns of facts that hold or fail, each with its chance."""
    q, total = 0.3, 0.0
    for pattern in product([True, False], repeat=facts * n):
        chance = np.prod([1 - q if holds else q for holds in pattern])
        pictures = [pattern[i * facts : (i + 1) * facts] for i in range(n)]
        total += chance * any(all(picture) for picture in pictures)
    assert best_of_independent(q, facts, n) == pytest.approx(total)


def test_one_by_one_is_what_drawing_gives():
    rng, q, facts, n = np.random.default_rng(0), 0.6, 4, 12
    holds = rng.random((20_000, facts, n // facts)) > q
    assert one_by_one(q, facts, n) == pytest.approx(holds.any(2).all(1).mean(), abs=0.01)


@given(st.floats(0.01, 0.6), st.integers(0, 2**32 - 1))
def test_the_fit_finds_the_chance_that_made_the_counts(q, seed):
    facts = np.arange(1, 9)
    tries = np.full(8, 20_000)
    successes = np.random.default_rng(seed).binomial(tries, best_of_independent(q, facts))
    assert failing_chance(facts, successes, tries) == pytest.approx(q, abs=0.02)


def test_nothing_tried_and_impossible_counts_are_refused():
    for successes, tries in (([0], [0]), ([3], [2]), ([-1], [2])):
        with pytest.raises(ValueError, match="the law needs tries"):
            failing_chance([3], successes, tries)


@pytest.mark.parametrize(("facts", "successes", "tries"), [(14, 2, 100_000), (12, 1, 50_000), (100, 1, 2000)])
def test_the_fit_of_rare_successes_is_the_exact_one(facts, successes, tries):
    exact = 1 - (successes / tries) ** (1 / facts)
    assert failing_chance([facts], [successes], [tries]) == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize(
    ("facts", "successes", "tries"),
    [([3], [np.nan], [2]), ([np.nan], [1], [2]), ([3], [1], [np.inf]), ([0], [1], [2]), ([3, 4], [1], [2])],
)
def test_counts_that_are_none_are_refused(facts, successes, tries):
    with pytest.raises(ValueError, match="the law needs tries"):
        failing_chance(facts, successes, tries)

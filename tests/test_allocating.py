"""The plan of a budget over steps, against brute force and simulation."""

from itertools import product
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vartut.search.allocating import allocated, expected_best


@pytest.mark.parametrize("n", [1, 2, 3, 10, 64])
def test_the_expected_best_is_that_of_a_simulation(n):
    draws = np.random.default_rng(0).normal(size=(20_000, n)).max(1)
    assert expected_best(n) == pytest.approx(draws.mean(), abs=4 * draws.std() / sqrt(len(draws)) + 1e-6)


def test_known_values():
    assert expected_best(2) == pytest.approx(1 / sqrt(np.pi), abs=1e-6)
    assert expected_best(3) == pytest.approx(1.5 / sqrt(np.pi), abs=1e-6)


def value(decided, counts) -> float:
    return sum(sqrt(share) * expected_best(n) for share, n in zip(decided, counts))


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.integers(3, 12))
@settings(max_examples=30, deadline=None)
def test_at_equal_costs_it_is_the_best_of_all_plans(decided, budget):
    found = allocated(decided, [1, 1, 1], budget)
    best = max(value(decided, plan) for plan in product(range(1, 11), repeat=3) if sum(plan) <= budget)
    assert sum(found) == budget
    assert value(decided, found) == pytest.approx(best, abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.floats(10, 200))
@settings(max_examples=30, deadline=None)
def test_it_never_spends_more(decided, budget):
    cost = [4, 3, 2, 1]
    counts = allocated(decided, cost, budget, most=9)
    assert all(1 <= n <= 9 for n in counts)
    assert sum(n * price for n, price in zip(counts, cost)) <= budget
    assert all(n == 1 for n, share in zip(counts, decided) if share == 0)


def test_more_goes_where_more_is_decided_and_less_where_it_is_dear():
    assert allocated([0.1, 0.8, 0.1], [1, 1, 1], 12)[1] > 4
    cheap, dear = allocated([0.5, 0.5], [1, 5], 40)
    assert cheap > dear


@pytest.mark.parametrize(
    ("given", "about"),
    [
        (([0.5], [1, 1], 9), "cost is a number above 0 for each of 1 steps"),
        (([0.5, 0.5], [1, 0], 9), "cost is a number above 0"),
        (([], [], 9), "cost is a number above 0"),
        (([0.5, 0.5], [3, 2], 4), "budget is at least 5"),
        (([-0.5, 0.5], [3, 2], 9), "decided"),
        (([0.5, 0.5], [3, 2], float("nan")), "budget"),
        ((0.5, [3, 2], 9), "decided"),
    ],
)
def test_what_is_no_budget_is_refused_in_a_line(given, about):
    with pytest.raises(ValueError, match=about) as refusal:
        allocated(*given)
    assert "\n" not in str(refusal.value)

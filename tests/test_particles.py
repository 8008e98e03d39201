"""Particle search: its resampling against expectation, its swarm against plain sampling and the exact distribution."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from test_search import Toy
from toy_models import toy_sampler

from vartut.search import particle_search, random_search
from vartut.search.particles import RESAMPLING, multinomial, residual, systematic, weights

few = st.lists(st.floats(-5, 5), min_size=1, max_size=9)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(few, st.sampled_from(sorted(RESAMPLING)), st.integers(0, 99))
def test_as_many_survive_as_there_were(potentials, name, seed):
    share = weights(np.array(potentials))
    copies = RESAMPLING[name](share, len(share), np.random.default_rng(seed).random(len(share)))
    assert copies.sum() == len(share)
    assert copies.min() >= 0
    wanted = len(share) * share
    if name == "systematic":
        assert (np.abs(copies - wanted) < 1 + 1e-6).all()
    if name == "residual":
        assert (copies >= np.floor(wanted - 1e-6)).all()


@pytest.mark.parametrize("name", sorted(RESAMPLING))
def test_resampling_is_unbiased(name):
    share = weights(np.log([0.05, 0.4, 0.3, 0.15, 0.1]))
    rng = np.random.default_rng(1)
    mean = np.mean([RESAMPLING[name](share, 5, rng.random(5)) for _ in range(20_000)], 0)
    np.testing.assert_allclose(mean, 5 * share, atol=0.03)


def test_resampling_by_hand():
    share = np.array([0.5, 0.3, 0.2])
    assert multinomial(share, 3, np.array([0.1, 0.6, 0.95])).tolist() == [1, 1, 1]
    assert systematic(share, 3, np.array([0.9, 0, 0])).tolist() == [1, 1, 1]  # teeth at 0.3, 0.63, 0.97
    assert systematic(share, 3, np.array([0.1, 0, 0])).tolist() == [2, 1, 0]  # teeth at 0.03, 0.37, 0.7
    assert residual(share, 3, np.array([0.1, 0.9, 0])).tolist() == [2, 0, 1]  # 1 for sure, the rest 0.5, 0.9, 0.6


def test_weights_of_any_size_are_finite():
    assert weights(np.array([1e6, 1e6 - 1000, -1e6])).tolist() == [1, 0, 0]
    np.testing.assert_allclose(weights(np.log([1, 3.0])), [0.25, 0.75])


@pytest.mark.parametrize("potential", ["value", "difference", "max"])
@pytest.mark.parametrize("name", ["residual", "systematic"])
def test_with_constant_potentials_it_is_plain_sampling(potential, name):
    toy = Toy(4, digits=3, seed=2)
    how = {"potential": potential, "resampling": name, "score": lambda sampler, state: torch.ones(len(state))}
    swarm = particle_search(toy, "x", toy.verifier, 7, seed=5, **how)
    plain = random_search(toy, "x", toy.verifier, 7, seed=5)
    paths = [[node.path for node in of.tree.nodes if node.finished] for of in (swarm, plain)]
    assert [(*path, 0, 0, 0)[:4] for path in paths[1]] == paths[0]
    assert swarm.score == plain.score


def test_the_swarm_has_the_distribution_that_its_weights_promise():
    """The rises telescope: what is left is p(x) exp(sharpness * score of the prefix at the last choice)."""
    toy, n = Toy(3, digits=2, seed=4), 4000
    result = particle_search(toy, "x", toy.verifier, n, sharpness=1.5, resampling="multinomial", seed=3)
    found = Counter(walked(toy, node.path) for node in result.tree.nodes if node.finished)
    finals = [p for p in toy.prefixes if len(p) == 3]
    exact = np.array([toy.probability(p) * math.exp(1.5 * toy.values[p[:2]]) for p in finals])
    counts = np.array([found[p] for p in finals])
    # resampled copies share their past, so that counts vary more than independent ones: a third of them count
    assert chisquare(counts / 3, n / 3 * exact / exact.sum()).pvalue > 0.01
    plain = n / 3 * np.array([toy.probability(p) for p in finals])
    assert chisquare(counts / 3, plain).pvalue < 1e-6, "plain sampling would pass as well"


def walked(toy, path):
    digits = ()
    for k in range(len(path)):
        digits += (toy.draw(3, path[: k + 1], digits),)
    return digits


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 9), st.integers(1, 6), st.sampled_from(sorted(RESAMPLING)), st.booleans())
def test_chunks_change_nothing_and_the_width_is_kept(n, max_rows, name, rollouts):
    how = {"resampling": name, "score": "rollout" if rollouts else "preview", "seed": 8, "sharpness": 3}
    toys = [Toy(4, digits=3, seed=6) for _ in range(2)]
    one, other = (
        particle_search(toy, "x", toy.verifier, n, max_rows=rows, **how) for toy, rows in zip(toys, (max_rows, 64))
    )
    assert [(node.path, node.score) for node in one.tree.nodes] == [(m.path, m.score) for m in other.tree.nodes]
    assert toys[0].widest <= max_rows
    assert len([node for node in one.tree.nodes if node.step == 4 and node.finished]) >= n
    assert one.score == max(node.score for node in one.tree.nodes if node.finished and node.id)
    if not rollouts:
        assert toys[0].passes <= 1 + 3 * n


def test_on_a_real_sampler_it_returns_the_picture_that_earned_the_score():
    sampler = toy_sampler()
    verifier = lambda images, prompts: images.mean((1, 2, 3))  # noqa: E731
    result = particle_search(sampler, "a red circle", verifier, 6, seed=1, sharpness=50)
    assert result.score == pytest.approx(float(result.image.mean()), abs=1e-6)
    assert result.search == "particles"
    assert result.ledger.nfe <= 1 + 6 * (sampler.num_steps - 1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"potential": "sum"}, "known are value, difference, max"),
        ({"resampling": "none"}, "multinomial, residual, systematic"),
        ({"sharpness": -1}, "sharpness"),
        ({"particles": 0}, "particles"),
        ({"particles": 5000}, "more than 4096"),
        ({"steps": [9]}, "steps"),
    ],
)
def test_bad_input_gets_a_line(wrong, said):
    toy = Toy()
    with pytest.raises(ValueError, match=said) as error:
        particle_search(toy, "x", toy.verifier, **wrong)
    assert "\n" not in str(error.value)

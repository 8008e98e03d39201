"""The verbs that lead back: noise added anew, scales cut off, neighbours of noise."""

import pytest
import torch
from contract import finish, same
from scipy.stats import kstest
from test_flow import DEVIATION, MEAN, PROMPTS, exact
from toy_models import toy_flow, toy_sampler

from vartut.ledger import Ledger


def under_way(sampler, steps: int, rows: int = 2):
    """So many rows of each of two prompts after so many steps."""
    state = sampler.expand(sampler.begin(PROMPTS, 7, Ledger()), rows)
    while state.step < steps:
        state = sampler.expand(state)
    return state


# ---- flows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "back"), [(41, 10), (30, 29), (20, 2), (35, 1)])
def test_noised_back_it_has_the_distribution_of_that_step(step, back):
    sampler = exact(steps=40)
    state = sampler.renoise(under_way(sampler, step, 4), back, 2)
    s = sampler.sigmas[back - 1]
    deviation = ((1 - s) ** 2 * DEVIATION**2 + s**2) ** 0.5
    assert state.step == back
    assert kstest((state.x.flatten().double() - (1 - s) * MEAN) / deviation, "norm").pvalue > 1e-3


def test_noised_back_it_paints_pictures_of_the_same_distribution():
    sampler = exact(steps=40)
    x = finish(sampler, sampler.renoise(under_way(sampler, 41, 8), 12)).x.flatten().double()
    assert kstest((x - MEAN) / DEVIATION, "norm").pvalue > 1e-3


def test_a_little_noise_leaves_a_picture_like_itself():
    sampler = exact(steps=40)
    ended = under_way(sampler, 41)
    away = [float((finish(sampler, sampler.renoise(ended, k)).x - ended.x).abs().mean()) for k in (39, 30, 10)]
    assert away[0] < away[1] < away[2]


@pytest.mark.parametrize("radius", [0.0, 0.3, 1.0])
def test_neighbours_of_noise_are_noise(radius):
    sampler = toy_flow(steps=4)
    noise = under_way(sampler, 1, 8)
    near = sampler.perturb(noise, radius, 2)
    x, rows = near.x.double(), [row for row in range(16) for _ in range(2)]
    assert near.step == 1
    assert kstest(x.flatten(), "norm").pvalue > 1e-3
    kept = (x * noise.x[rows]).mean() / (noise.x[rows] ** 2).mean()
    assert float(kept) == pytest.approx((1 - radius**2) ** 0.5, abs=0.04)


def test_only_pure_noise_has_neighbours():
    sampler = toy_flow(steps=4)
    with pytest.raises(ValueError, match="step 1, not 2"):
        sampler.perturb(under_way(sampler, 2), 0.5)
    for radius in (-0.1, 1.1, float("nan"), "1"):
        with pytest.raises(ValueError, match="radius"):
            sampler.perturb(under_way(sampler, 1), radius)


# ---- scales ---------------------------------------------------------------------------------------------------------


def test_cut_back_it_is_the_earlier_state():
    sampler = toy_sampler(temperature=0.8)
    early = under_way(sampler, 3)
    late = finish(sampler, sampler.expand(early))
    for back in range(4):
        state = sampler.renoise(late, back)
        earlier = under_way(sampler, back) if back else sampler.select(sampler.begin(PROMPTS, 7), [0, 0, 1, 1])
        assert state.step == back
        torch.testing.assert_close(state.sum, earlier.sum)
        torch.testing.assert_close(state.log_prob, earlier.log_prob, atol=1e-3, rtol=1e-4)
        assert all(torch.equal(one, other) for one, other in zip(state.tokens, earlier.tokens, strict=True))


def test_what_is_drawn_from_there_is_new_and_costs_no_pass_twice():
    sampler = toy_sampler()
    late = finish(sampler, under_way(sampler, 2))
    before = late.ledger.nfe
    anew = sampler.expand(sampler.renoise(late, 3, 3))
    assert late.ledger.nfe == before, "the pass of that step is remembered"
    drawn = [tokens.tolist() for tokens in anew.tokens[3]]
    assert len({str(tokens) for tokens in [*drawn, *late.tokens[3].tolist()]}) == 4 * 3 + 4


# ---- both -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [toy_flow(steps=5), toy_flow(steps=5, eta=0.7, until=1.0), toy_sampler()])
def test_copies_nest_and_do_not_depend_on_the_batch(sampler):
    late = finish(sampler, under_way(sampler, 1))
    four = finish(sampler, sampler.renoise(late, 2, 4))
    same(sampler, finish(sampler, sampler.renoise(late, 2, 2)), four, [0, 1, 4, 5, 8, 9, 12, 13])
    same(sampler, finish(sampler, sampler.renoise(late, 2, 2, first=2)), four, [2, 3, 6, 7, 10, 11, 14, 15])
    same(sampler, finish(sampler, sampler.renoise(sampler.select(late, [2]), 2, 4)), four, [8, 9, 10, 11])
    assert len({str(x.tolist()) for x in sampler.latent(four)}) == 16, "all of them are new"


@pytest.mark.parametrize("sampler", [toy_flow(steps=5), toy_sampler()])
def test_back_is_back(sampler):
    late = under_way(sampler, 3)
    for step in (3, 4, -1, 1.5, True, "1"):
        with pytest.raises(ValueError, match="step"):
            sampler.renoise(late, step)
    assert len(sampler.renoise(late, 1, 0)) == 0

"""The diffusion twin: its sampler where the velocity is known exactly, its network, and how it is trained."""

import copy
from itertools import pairwise

import pytest
import torch
from contract import finish
from scipy.stats import kstest
from torch.utils.flop_counter import FlopCounterMode
from toy_models import learn, toy_flow

from vartut import beam_search, particle_search, random_search, world
from vartut.ledger import Ledger
from vartut.training.flows import Average, FlowRecipe

CPU = torch.device("cpu")
PROMPTS = ["a red circle left of a blue square", "three stars"]
MEAN, DEVIATION = 0.7, 0.4  # of the Gaussian that stands for the pictures


def exact(**settings):
    """A flow to the latents N(MEAN, DEVIATION^2), each number by itself, with the true velocity E[e - x0 | x]."""
    sampler = toy_flow(guidance=1, **settings)

    class Network(type(sampler.transformer)):
        def forward(self, x, t, text):
            s = t[:, None, None, None]
            variance = (1 - s) ** 2 * DEVIATION**2 + s**2
            away = x - (1 - s) * MEAN
            return s * away / variance - (MEAN + (1 - s) * DEVIATION**2 * away / variance)

    sampler.transformer = copy.copy(sampler.transformer)
    sampler.transformer.__class__ = Network
    return sampler


def ends(sampler, rows: int) -> torch.Tensor:
    """The finished latents, normalised, of so many pictures."""
    return finish(sampler, sampler.expand(sampler.begin(PROMPTS[:1], 3), rows)).x


# ---- the sampler ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"eta": 0.7}, {"eta": 1.0, "until": 1.0}])
def test_where_the_velocity_is_known_the_pictures_have_the_right_distribution(settings):
    x = ends(exact(steps=60, **settings), 16).flatten().double()
    assert kstest((x - MEAN) / DEVIATION, "norm").pvalue > 1e-3
    assert x.mean() == pytest.approx(MEAN, abs=0.03)
    assert x.std() == pytest.approx(DEVIATION, abs=0.03)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_the_error_falls_with_the_order_of_the_solver(solver, order):
    """The exact flow takes noise z to MEAN + DEVIATION z."""
    sampler = exact(solver=solver)
    noise = sampler.expand(sampler.begin(PROMPTS[:1], 3), 2).x
    errors = [float((ends(sampler.tuned(steps=n), 2) - MEAN - DEVIATION * noise).abs().mean()) for n in (16, 32, 64)]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(2**order, rel=0.25)


def test_without_noise_an_sde_is_the_ode_bit_for_bit():
    ode, sde = toy_flow(steps=5), toy_flow(steps=5, eta=0.7, until=1.0)
    one, other = (finish(s, s.begin(PROMPTS, 4)) for s in (ode, sde.tuned(eta=0)))
    assert torch.equal(one.x, other.x)
    assert not torch.equal(one.x, finish(sde, sde.begin(PROMPTS, 4)).x)


def test_noise_comes_in_the_first_part_of_the_passes():
    assert list(toy_flow(steps=8).branch_steps) == [0]
    assert list(toy_flow(steps=8, eta=0.5, until=0.5).branch_steps) == [0, 1, 2, 3, 4]
    assert list(toy_flow(steps=8, eta=0.5, until=1.0).branch_steps) == list(range(8))  # never in the last


def test_heun_is_for_the_ode():
    with pytest.raises(ValueError, match="heun solves the ODE: take eta=0"):
        toy_flow(solver="heun", eta=0.5)
    with pytest.raises(ValueError, match="did you mean"):
        toy_flow(solver="hein")


def test_guidance_mixes_two_passes():
    plain, none, guided = (toy_flow(guidance=g, steps=3) for g in (1, 0, 4))
    start = plain.expand(plain.begin(PROMPTS, 1))
    both = [s.expand(s.select(start, [0, 1])).x - start.x for s in (plain, none)]
    fresh = guided.expand(guided.begin(PROMPTS, 1))
    torch.testing.assert_close(guided.expand(fresh).x - fresh.x, both[1] + 4 * (both[0] - both[1]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("settings", "passes"), [({"guidance": 1}, 1), ({}, 2), ({"solver": "heun"}, 4)])
def test_the_ledgers_flops_are_torchs(settings, passes):
    sampler, ledger = toy_flow(steps=4, **settings), Ledger()
    with FlopCounterMode(display=False) as counter:
        state = sampler.expand(sampler.expand(sampler.begin(PROMPTS, 0, ledger)))
        sampler.decode(sampler.latent(sampler.select(state, [])))
    assert ledger.total("passes", "transformer") == 2 * passes
    assert ledger.total("flops") == pytest.approx(counter.get_total_flops(), rel=1e-6)
    assert ledger.total("tokens") == 64 * ledger.nfe


def test_a_preview_pays_for_the_next_step():
    sampler, ledger = toy_flow(steps=4), Ledger()
    state = sampler.expand(sampler.begin(PROMPTS, 0, ledger))
    assert ledger.nfe == 0, "the noise needs no pass"
    sampler.preview(state)
    assert ledger.nfe == 2
    sampler.expand(state, 3)
    assert ledger.nfe == 2


def test_every_search_comes_through_the_protocol():
    def red(images, prompts):
        return images[:, 0].mean((1, 2)) - images[:, 1:].mean((1, 2, 3))

    ode, sde = toy_flow(steps=4), toy_flow(steps=4, eta=0.7, until=1.0)
    found = [
        random_search(ode, PROMPTS[0], red, n=6),
        beam_search(sde, PROMPTS[0], red, width=2, candidates=2),
        beam_search(sde, PROMPTS[0], red, width=2, candidates=2, score="preview"),
        particle_search(sde, PROMPTS[0], red, particles=4),
    ]
    for result in found:
        assert result.score == pytest.approx(float(red(result.image[None], [PROMPTS[0]])), abs=1e-5)
    assert found[0].ledger.nfe == 6 * 4


# ---- the network ----------------------------------------------------------------------------------------------------


def test_text_time_and_picture_matter_and_the_text_sees_neither():
    sampler = toy_flow()
    network, x = sampler.transformer, torch.randn(2, 8, 8, 8)
    ids = sampler.read(PROMPTS)
    with torch.no_grad():
        text = network.encode_text(ids)
        v = network(x, torch.tensor([0.5, 0.5]), text)
        assert (v - network(x, torch.tensor([0.4, 0.4]), text)).abs().max() > 1e-3
        assert (v - network(x, torch.tensor([0.5, 0.5]), text.flip(2))).abs().max() > 1e-3
        torch.testing.assert_close(network(x[1:], torch.tensor([0.5]), text[:, :, 1:]), v[1:], atol=1e-5, rtol=1e-5)


def test_too_many_words_are_refused_in_a_line():
    with pytest.raises(ValueError, match="shorten it"):
        toy_flow().transformer.encode_text(torch.ones(1, world.MAX_WORDS + 1, dtype=torch.long))


def test_normalising_and_restoring_undo_each_other():
    network, latent = toy_flow().transformer, torch.randn(2, 8, 8, 8)
    torch.testing.assert_close(network.restore(network.normalize(latent)), latent, atol=1e-5, rtol=1e-5)


# ---- training -------------------------------------------------------------------------------------------------------


def recipe(**settings) -> FlowRecipe:
    toy = toy_flow()
    return FlowRecipe(toy.transformer, toy.tokenizer, CPU, batch=8, **settings)


def test_latents_are_measured_once():
    toy = toy_flow()
    toy.transformer.mean.zero_()
    first = FlowRecipe(toy.transformer, toy.tokenizer, CPU, batch=8)
    x = first.model.normalize(first.latents(world.render(world.sample("all", 64, "validation"))))
    assert x.mean((0, 2, 3)).abs().max() < 0.3
    assert (x.std((0, 2, 3)) - 1).abs().max() < 0.5
    mean = toy.transformer.mean.clone()
    FlowRecipe(toy.transformer, toy.tokenizer, CPU, seed=9, batch=8)
    assert torch.equal(toy.transformer.mean, mean)


def test_it_learns():
    losses, metrics = learn(recipe(lr=0.01), [0] * 30)
    assert losses[-1] < 0.9 * losses[0]
    assert set(metrics) == {"clean", "middle", "noisy"}


def test_the_loss_of_the_true_velocity_is_that_of_what_cannot_be_known():
    """The network is replaced by one that is told the noise: no error is left."""
    run, told = recipe(), {}

    class Network(type(run.model)):
        def forward(self, x, t, text):
            return told["noise"] - told["x"]

    run.model.__class__ = Network
    images, draws = world.render(world.sample("all", 4, "train")), torch.Generator().manual_seed(1)
    told["x"] = run.model.normalize(run.latents(images)).repeat(run.draws, 1, 1, 1)
    told["noise"] = torch.randn(told["x"].shape, generator=torch.Generator().manual_seed(1))
    loss, _ = run.squared_error(images, ["a circle"] * 4, torch.rand(16), draws)
    assert loss < 1e-10


def test_the_mean_of_the_weights_is_kept_and_put():
    weight = torch.nn.Parameter(torch.zeros(1))
    average, seen = Average([weight], steps=2), []
    for value in range(1, 31):
        weight.data.fill_(value)
        average.step()
        seen.append(float(average.state[weight]["mean"]))
    assert seen[:10] == list(range(1, 11)), "at first it follows"
    mean = 10.0
    for value in range(11, 31):
        mean += (value - mean) / min(value / 10, 2)
    assert seen[-1] == pytest.approx(mean, rel=1e-5)
    average.put()
    assert weight.item() == seen[-1]


def test_evaluations_are_the_same_each_time():
    run = recipe()
    assert run.evaluate() == run.evaluate()

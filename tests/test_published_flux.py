"""FLUX.1's sampler against diffusers' own loop, and its stochastic step against distributions known exactly."""

import builtins
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from contract import finish
from scipy.stats import kstest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vartut import beam_search, random_search
from vartut.ledger import Ledger
from vartut.models.flow import gaussian, spread, step
from vartut.published import flux
from vartut.published.flux import FluxSampler, decode_flops, pass_flops
from vartut.torchvision_repair import repair

repair()
from diffusers import (  # noqa: E402  (after the repair)
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)

CPU = torch.device("cpu")
PROMPTS = ["a fox", "two cups on a table", "a fox"]
SIZE = {"height": 16, "width": 24, "steps": 4}


def encode(prompts):
    """Text features that are random but the same for the same prompt, of a length that depends on it."""
    [prompt] = prompts
    draws = torch.Generator().manual_seed(len(prompt))
    embedded = torch.randn(1, 4 + len(prompt) % 3, 32, generator=draws)
    return embedded, torch.randn(1, 16, generator=draws), torch.zeros(len(embedded), 3)


def tiny_parts():
    """diffusers' own models in a tiny configuration, with weights large enough that the text matters."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    )  # fmt: skip
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vae = AutoencoderKL(
        block_out_channels=(8, 16), layers_per_block=1, latent_channels=4, norm_num_groups=4, use_quant_conv=False,
        use_post_quant_conv=False, scaling_factor=0.3611, shift_factor=0.1159, **blocks,
    )  # fmt: skip
    return transformer.eval(), vae.eval(), FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)


@pytest.fixture(scope="module")
def parts():
    return tiny_parts()


@pytest.fixture
def sampler(parts):
    return FluxSampler(*parts, encode, **SIZE)


def redness(images, prompts):
    """A toy verifier."""
    return images[:, 0].mean((1, 2)) - images[:, 1:].mean((1, 2, 3))


# ---- against diffusers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guidance", [1.0, 3.5])
def test_eta_0_is_diffusers_pipeline(sampler, parts, guidance):
    transformer, vae, scheduler = parts
    ode = sampler.tuned(eta=0, guidance=guidance)
    start = ode.expand(ode.begin(["a fox"], 3))
    pipeline = FluxPipeline(scheduler, vae, None, None, None, None, transformer)
    pipeline.set_progress_bar_config(disable=True)
    embedded, pooled, _ = encode(["a fox"])
    wanted = pipeline(
        prompt_embeds=embedded, pooled_prompt_embeds=pooled, height=16, width=24, num_inference_steps=4,
        guidance_scale=guidance, latents=start.x, output_type="pt",
    ).images  # fmt: skip
    found = ode.preview(finish(ode, start))
    assert found.shape == wanted.shape == (1, 3, 16, 24)
    assert wanted.std() > 0.01
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_eta_0_is_diffusers_scheduler_step_by_step(sampler, parts):
    transformer, _, scheduler = parts
    ode = sampler.tuned(eta=0)
    state = ode.expand(ode.begin(["two cups on a table"], 5))
    embedded, pooled, _ = encode(["two cups on a table"])
    x = state.x
    mu = 0.5 + 0.65 * (4 * 6 - 256) / (4096 - 256)  # 24 tokens
    scheduler = type(scheduler).from_config(scheduler.config)
    scheduler.set_timesteps(sigmas=[1, 0.75, 0.5, 0.25], mu=mu)
    for t in scheduler.timesteps:
        with torch.no_grad():
            v = transformer(
                x, embedded, pooled, t[None] / 1000, ode.ids, torch.zeros(embedded.shape[1], 3), torch.tensor([3.5])
            ).sample
        wanted = flux_unpacked(x - t / 1000 * v, 4, 6)
        torch.testing.assert_close(ode.latent(state), wanted, atol=1e-5, rtol=0)  # the one-step prediction
        x = scheduler.step(v, t, x, return_dict=False)[0]
        state = ode.expand(state)
        torch.testing.assert_close(state.x, x, atol=1e-5, rtol=0)
    assert state.step == ode.num_steps == 5


def flux_unpacked(x, rows, columns):
    """Packed latents as the pipeline unpacks them; 2 pixels of the autoencoder's side for each latent."""
    return FluxPipeline._unpack_latents(x, 4 * rows, 4 * columns, 2)


def test_the_scheduler_that_was_given_stays_as_it_is(parts):
    before = parts[2].sigmas.clone()
    FluxSampler(*parts, encode, **SIZE)
    assert torch.equal(parts[2].sigmas, before)


def test_flops_are_torchs(parts):
    transformer, vae, _ = parts
    embedded, pooled, _ = encode(["a fox"])
    n, m = 24, embedded.shape[1]
    ids = (torch.zeros(n, 3), torch.zeros(m, 3))
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as counter:
            transformer(torch.randn(1, n, 16), embedded, pooled, torch.ones(1), *ids, torch.ones(1))
        assert pass_flops(transformer, n, m) == pytest.approx(counter.get_total_flops(), rel=0.01)
        with FlopCounterMode(display=False) as counter:
            vae.decode(torch.randn(1, 4, 8, 12))
        assert decode_flops(vae, 8, 12) == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_flops_of_the_published_size():
    """12 billion parameters: two FLOPs a parameter and token, but for the modulations, plus attention."""
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(guidance_embeds=True)
    parameters = sum(p.numel() for p in transformer.parameters())
    assert parameters == pytest.approx(11.9e9, rel=0.01)
    width, tokens, blocks = 3072, 4096 + 512, 19 + 38  # as docs/published.md counts, and the config of FLUX.1-dev says
    assert (transformer.config.num_layers, transformer.config.num_single_layers) == (19, 38)
    by_hand = 2 * blocks * 12 * width**2 * tokens + 4 * blocks * width * tokens**2
    assert pass_flops(transformer, 4096, 512) == pytest.approx(by_hand, rel=0.001)
    assert by_hand < 0.7 * 2 * parameters * tokens, "no token meets all parameters"


# ---- the stochastic step -------------------------------------------------------------------------------------------


def test_gaussian_is_normal_and_depends_on_seed_and_path_alone():
    z = gaussian(3, (1, 2), 20_000)
    assert torch.isfinite(z).all()
    assert kstest(z.numpy(), "norm").pvalue > 0.01
    assert torch.equal(z, gaussian(3, (1, 2), 20_000))
    assert torch.equal(z[:7], gaussian(3, (1, 2), 7))
    for other in (gaussian(4, (1, 2), 20_000), gaussian(3, (1, 3), 20_000), gaussian(3, (1,), 20_000)):
        assert abs(torch.corrcoef(torch.stack([z, other]))[0, 1]) < 0.03


@pytest.mark.parametrize("eta", [0.3, 0.5, 1.0])
def test_small_steps_are_those_of_the_sde(eta):
    """Drift and diffusion per time are those of Flow-GRPO (arXiv 2505.05470), with a = eta sqrt(2)."""
    x, v, dt = torch.tensor([0.7], dtype=torch.float64), torch.tensor([-1.3], dtype=torch.float64), 1e-6
    for s in (0.2, 0.5, 0.9):
        g = eta * math.sqrt(2) * math.sqrt(s / (1 - s))
        assert spread(s, s - dt, eta) / math.sqrt(dt) == pytest.approx(g, rel=1e-4)
        drift = (step(x, v, torch.zeros_like(x), s, s - dt, eta) - x) / -dt
        assert drift.item() == pytest.approx((v + g**2 / (2 * s) * (x + (1 - s) * v)).item(), abs=1e-3)


def test_a_step_with_the_true_ends_has_the_right_marginal_whatever_its_length():
    draws = torch.Generator().manual_seed(0)
    start = torch.randn(400_000, generator=draws) * 0.5 + 2
    end, z = torch.randn(2, 400_000, generator=draws)
    for s, s_next, eta in ((1.0, 0.6, 1.0), (0.9, 0.1, 0.7), (0.5, 0.4, 1.0), (0.3, 0.0, 1.0)):
        x = step((1 - s) * start + s * end, end - start, z, s, s_next, eta)
        assert x.mean().item() == pytest.approx((1 - s_next) * 2, abs=0.005)
        assert x.var().item() == pytest.approx((1 - s_next) ** 2 * 0.25 + s_next**2, abs=0.005)


def test_the_ancestral_step_is_the_posterior_of_the_markov_chain():
    """eta = 1: c^2 is the variance of x_s' given x_s and x0, by Bayes' rule of two Gaussians."""
    for s, s_next in ((0.9, 0.7), (0.5, 0.1), (1.0, 0.5)):
        ratio = (1 - s) / (1 - s_next)
        along = s**2 - ratio**2 * s_next**2  # variance of x_s given x_s'
        assert spread(s, s_next, 1.0) ** 2 == pytest.approx(1 / (1 / s_next**2 + ratio**2 / along))
    assert spread(1.0, 0.5, 1.0) == 0.5, "from pure noise nothing is kept"
    assert spread(0.3, 0.0, 1.0) == 0, "no noise is left in a finished picture"
    assert spread(0.9, 0.5, 0.0) == 0


class Exact:
    """The exact velocity of Gaussian data N(m, q^2), independent numbers, in place of a transformer."""

    config = SimpleNamespace(
        in_channels=64, guidance_embeds=False, num_layers=0, num_single_layers=0, num_attention_heads=1,
        attention_head_dim=1,
    )  # fmt: skip
    device, dtype = CPU, torch.float32
    m, q = 1.5, 0.6

    def eval(self):
        return self

    def named_modules(self):
        return []

    def __call__(self, hidden_states, timestep, **rest):
        s, x = timestep[:, None, None], hidden_states
        share = (x - (1 - s) * self.m) / ((1 - s) ** 2 * self.q**2 + s**2)
        start, end = self.m + (1 - s) * self.q**2 * share, s * share  # posterior means
        return (end - start,)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_marginals_are_those_of_the_ode(parts, eta):
    scheduler = FlowMatchEulerDiscreteScheduler()
    sampler = FluxSampler(Exact(), parts[1], scheduler, encode, height=32, width=32, steps=150, eta=eta)
    state = sampler.expand(sampler.begin(["a fox"], 7), 4)
    assert len(state.x.flatten()) == 4 * 64 * 64
    errors = {}
    for _ in range(150):
        state = sampler.expand(state)
        s, x = sampler.sigmas[state.step - 1], state.x.double()
        wanted = ((1 - s) * Exact.m, math.sqrt((1 - s) ** 2 * Exact.q**2 + s**2))
        errors[state.step] = (abs(x.mean() - wanted[0]).item(), abs(x.std() - wanted[1]).item())
    # 16,384 numbers: the mean is known to 1 / 128 of a standard deviation, and 150 steps are not quite infinitely many
    assert max(mean for mean, _ in errors.values()) < 4 / 128
    assert max(deviation for _, deviation in errors.values()) < 4 / 128
    last = (state.x.flatten()[::4].double().numpy() - Exact.m) / Exact.q
    assert kstest(last, "norm").pvalue > 0.001


def test_an_odes_children_are_all_the_same(sampler):
    state = sampler.expand(sampler.begin(["a fox"], 0))
    children = sampler.tuned(eta=0).expand(state, 2)
    assert torch.equal(children.x[0], children.x[1])
    assert not torch.allclose(*sampler.expand(state, 2).x, atol=1e-2)


@pytest.mark.parametrize("settings", [{"guidance": 1.0}, {"steps": 2}])
def test_a_pass_of_another_guidance_or_schedule_is_not_reused(sampler, settings):
    other = sampler.tuned(**settings)
    state, fresh = (sampler.expand(sampler.expand(sampler.begin(["a fox"], 0))) for _ in range(2))
    own = sampler.latent(state)  # its pass is remembered now
    assert (other.latent(state) - own).abs().max() > 1e-3
    torch.testing.assert_close(other.latent(state), other.latent(fresh))
    torch.testing.assert_close(other.expand(state).x, other.expand(fresh).x)
    before = state.ledger.nfe
    other.expand(state, 3)
    assert state.ledger.nfe == before, "with the same settings it is"


# ---- the protocol --------------------------------------------------------------------------------------------------


def test_steps_and_branches(sampler, parts):
    assert sampler.num_steps == 5
    assert list(sampler.branch_steps) == [0, 1, 2, 3], "the last pass draws nothing"
    assert list(sampler.tuned(eta=0).branch_steps) == [0], "an ODE branches on its first noise alone"
    assert sampler.tuned(steps=7).num_steps == 8
    for kind in (np.int64, torch.tensor):
        assert sampler.tuned(steps=kind(7)).sigmas == sampler.tuned(steps=7).sigmas
        assert FluxSampler(*parts, encode, height=kind(16), width=kind(24), steps=kind(4)).grid == sampler.grid
    assert sampler.num_steps == 5
    assert sampler.sigmas[0] == 1
    assert sampler.sigmas[-1] == 0
    assert sampler.sigmas == sorted(sampler.sigmas, reverse=True)


def test_the_first_step_needs_no_pass_and_a_preview_pays_for_the_next(sampler):
    ledger = Ledger()
    state = sampler.expand(sampler.begin(["a fox"], 0, ledger), 3)
    assert (ledger.nfe, ledger.paper_nfe) == (0, 0)
    sampler.preview(state)
    assert (ledger.nfe, ledger.total("passes", "transformer"), ledger.total("tokens")) == (3, 3, 3 * 24)
    sampler.preview(state)
    following = sampler.expand(state, 2)
    assert ledger.nfe == 3, "the preview's pass is remembered"
    assert ledger.paper_nfe == 6, "the paper charges every child"
    sampler.preview(finish(sampler, following))
    assert ledger.nfe == 3 + 3 * 6
    assert ledger.total("calls", "decoder") == 3 + 3 + 6
    text = len(encode(["a fox"])[0][0])
    assert ledger.total("flops", "transformer") == ledger.nfe * pass_flops(sampler.transformer, 24, text)
    assert ledger.total("flops", "decoder") == 12 * decode_flops(sampler.vae, 8, 12)


def test_previews_at_every_step(sampler):
    state = sampler.begin(PROMPTS[:2], 1)
    assert torch.equal(sampler.latent(state), torch.zeros(2, 4, 8, 12)), "nothing is known yet"
    for _ in range(sampler.num_steps):
        picture = sampler.preview(state)
        assert picture.shape == (2, 3, 16, 24)
        assert picture.min() >= 0
        assert picture.max() <= 1
        assert sampler.latent(state).shape == (2, 4, 8, 12)
        state = sampler.expand(state)
    torch.testing.assert_close(sampler.latent(state), flux_unpacked(state.x, 4, 6))


def test_there_is_no_log_prob(sampler):
    with pytest.raises(AttributeError, match="no log_prob") as caught:
        _ = sampler.begin(["a fox"], 0).log_prob
    assert "\n" not in str(caught.value)


# ---- searches ------------------------------------------------------------------------------------------------------


def test_random_search_is_the_best_of_its_pictures(sampler):
    found = random_search(sampler, "a fox", redness, n=6, seed=2)
    begun = sampler.begin(["a fox"], 2)
    scores = redness(sampler.preview(finish(sampler, sampler.expand(begun, 6))), None)
    assert found.score == pytest.approx(scores.max().item(), abs=1e-5)
    assert found.tree.finished_scores() == pytest.approx(scores.tolist(), abs=1e-5)
    assert found.image.shape == (3, 16, 24)
    assert found.ledger.nfe == 6 * 4, "the noise costs nothing"


@pytest.mark.parametrize("score", ["rollout", "preview"])
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_beam_search(sampler, eta, score):
    tuned = sampler.tuned(eta=eta)
    found = beam_search(tuned, "a fox", redness, width=2, candidates=2, score=score, seed=2)
    assert found.image.shape == (3, 16, 24)
    again = beam_search(tuned, "a fox", redness, width=2, candidates=2, score=score, seed=2, max_rows=1)
    assert again.score == pytest.approx(found.score, abs=1e-5)
    assert found.score == max(found.tree.finished_scores())
    assert {node.step for node in found.tree.nodes[1:]} >= {1}
    if eta == 0:
        assert max(node.step for node in found.tree.nodes if not node.finished) in (0, 1), "nothing else to branch on"
    if score == "rollout":
        first = [node.score for node in found.tree.nodes if node.step == 1]
        assert found.score >= max(first)
        assert len(first) == 4


# ---- bad input and loading -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"eta": -0.1}, "eta is a number from 0 to 1; got -0.1"),
        ({"eta": 1.5}, "eta is a number from 0 to 1; got 1.5"),
        ({"steps": 0}, "steps is a whole number of at least 1; got 0"),
        ({"steps": 2.5}, "steps is a whole number of at least 1; got 2.5"),
        ({"height": 18}, "multiples of 4 pixels; got 18 x 24"),
        ({"width": 0}, "multiples of 4 pixels"),
    ],
)
def test_settings_that_make_no_sense(parts, settings, said):
    with pytest.raises(ValueError, match=said) as caught:
        FluxSampler(*parts, encode, **(SIZE | settings))
    assert "\n" not in str(caught.value)


def test_states_that_make_no_sense(sampler):
    state = sampler.begin(["a fox"], 0)
    for call, said in (
        (lambda: sampler.begin([], 0), "at least one prompt"),
        (lambda: sampler.begin(["a fox"], [1, 2]), "need one seed, or 1; got 2"),
        (lambda: sampler.expand(state, -1), "n is a whole number of at least 0; got -1"),
        (lambda: sampler.expand(state, [1, 1]), "one for each of 1; got 2"),
        (lambda: sampler.expand(state, 1, first=-1), "first is a whole number of at least 0; got -1"),
        (lambda: sampler.select(state, [1]), "rows are 0 to 0"),
        (lambda: sampler.expand(finish(sampler, state)), "all 5 steps are done"),
    ):
        with pytest.raises(ValueError, match=said):
            call()


def test_a_pipeline_comes_back_from_its_folder(sampler, parts, tmp_path):
    transformer, vae, scheduler = parts
    for name, part in (("transformer", transformer), ("vae", vae), ("scheduler", scheduler)):
        part.save_pretrained(tmp_path / name)
    index = FluxPipeline(scheduler, vae, None, None, None, None, transformer)
    index.save_config(tmp_path)
    loaded = flux.load(tmp_path, "cpu", torch.float32, encode, **SIZE)
    wanted, found = (s.preview(finish(s, s.begin(["a fox"], 1))) for s in (sampler, loaded))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_missing_weights_say_in_a_line_what_to_fetch(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path, "nobody/nothing"):
        with pytest.raises(FileNotFoundError, match=r"no FLUX.1 at .*licence.*hf download") as caught:
            flux.load(path, "cpu", encode=encode)
        assert "\n" not in str(caught.value)


def test_without_diffusers_a_line_says_what_to_install(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("diffusers"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '\.\[flux\]'") as caught:
        flux.load(tmp_path)
    assert "\n" not in str(caught.value)

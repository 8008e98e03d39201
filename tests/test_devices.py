"""Everything that samples, searches and scores runs on a GPU: no operation mixes devices, and the numbers stay the same.

The GPU is the one of `fake_gpu.py`: it computes on the CPU, and refuses what a real one refuses.
"""

import copy

import pytest
import torch
from fake_gpu import GPU, OnGPU, fake_gpu
from parity import cases
from toy_models import toy_sampler

import vartut

PROMPT = "a red circle left of a blue square"


def numbers(tensor) -> torch.Tensor:
    """What lies behind a tensor, wherever it is."""
    return tensor.value if isinstance(tensor, OnGPU) else tensor


def moved(sampler, where):
    """A sampler with both models on a device."""
    sampler = copy.copy(sampler)
    sampler.tokenizer, sampler.transformer = sampler.tokenizer.to(where), sampler.transformer.to(where)
    return sampler


def walk(sampler, prompts):
    """Fork, drop, alias, look at half way, finish: the pictures and the log-likelihoods."""
    state = sampler.expand(sampler.begin(prompts, 0))
    state = sampler.select(sampler.expand(state, n=[2, 1]), [2, 0, 0])
    half = sampler.preview(state)
    while state.step < sampler.num_steps:
        state = sampler.expand(state)
    return half, sampler.preview(state), state.log_prob


# ---- the fake GPU itself -------------------------------------------------------------------------------------------


def test_the_fake_gpu_refuses_what_a_gpu_refuses():
    with fake_gpu():
        there = torch.ones(2, 3, device="cuda")
        assert there.device == GPU
        for wrong in (lambda: there + torch.ones(2, 3), lambda: torch.cat([there, torch.ones(2, 3)])):
            with pytest.raises(RuntimeError, match="expected all tensors on one device"):
                wrong()
        with pytest.raises(TypeError, match="convert cuda:0 device type tensor to numpy"):
            there.numpy()
        assert (there + torch.tensor(1.0)).device == GPU, "a number may come from anywhere"
        assert there[torch.tensor([0, 1])].device == GPU, "an index may come from the CPU"
        assert there.cpu().device.type == "cpu"
        assert there.cpu().numpy().sum() == 6


def test_the_fake_gpu_computes_what_the_cpu_does():
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = layer(x)
    with fake_gpu() as gpu:
        with torch.no_grad():
            found = layer.to(gpu)(x.to(gpu))
        found[0, [1, 2]] = 0.0
    wanted[0, [1, 2]] = 0.0
    torch.testing.assert_close(found.value, wanted)


# ---- samplers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bitwise", [False, True])
def test_the_next_scale_sampler_runs_on_a_gpu(bitwise):
    prompts = [PROMPT, "a red circle"]
    wanted = walk(toy_sampler(bitwise), prompts)
    with fake_gpu() as gpu:
        found = walk(moved(toy_sampler(bitwise), gpu), prompts)
    assert found[1].device == GPU
    for ours, theirs in zip(found, wanted):
        torch.testing.assert_close(numbers(ours), theirs)


@pytest.mark.parametrize("case", ["var_a", "var_b", "infinity_a"])
def test_the_published_samplers_run_on_a_gpu(case):
    sampler = cases.sampler(case)
    wanted = walk(sampler, cases.PROMPTS[case])
    sampler = copy.deepcopy(sampler)  # others use the same models
    with fake_gpu() as gpu:
        found = walk(moved(sampler, gpu), cases.PROMPTS[case])
    assert found[1].device == GPU
    for ours, theirs in zip(found, wanted):
        torch.testing.assert_close(numbers(ours), theirs, atol=1e-5, rtol=1e-5)


# ---- by name: weights, verifiers, searches, the judge ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["clip", "clip-hard", "oracle"])
def test_the_shipped_models_search_on_a_gpu_as_on_the_cpu(name):
    def search(where):
        sampler, verifier = vartut.load("tiny", where=where), vartut.load_verifier(name, where=where)
        options = {"width": 2, "candidates": 2, "branch": range(2), "seed": 0, "keep_images": True}
        return vartut.beam_search(sampler, PROMPT, verifier, **options)

    wanted = search(torch.device("cpu"))
    with fake_gpu() as gpu:
        found = search(gpu)
        verdict = vartut.judge(found.image[None], [PROMPT])[0]
    assert found.image.device == GPU
    torch.testing.assert_close(found.image.value, wanted.image, atol=1e-4, rtol=0)
    assert abs(found.score - wanted.score) < 1e-4
    assert found.tree.finished_scores() == pytest.approx(wanted.tree.finished_scores(), abs=1e-4)
    assert verdict.correct == vartut.judge(wanted.image[None], [PROMPT])[0].correct


@pytest.mark.parametrize("score", ["preview", "rollout"])
def test_previews_random_and_greedy_search_run_on_a_gpu(score):
    with fake_gpu() as gpu:
        sampler, verifier = moved(toy_sampler(), gpu), vartut.load_verifier("clip", where=gpu)
        vartut.beam_search(sampler, PROMPT, verifier, width=2, candidates=2, score=score, seed=0)
        vartut.random_search(sampler, PROMPT, verifier, n=3, seed=0)
        assert vartut.greedy_search(sampler, PROMPT, verifier, candidates=2, seed=0).image.device == GPU

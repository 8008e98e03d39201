"""All that samples, searches, scores and trains runs on a GPU: no operation mixes devices, and the numbers stay.

The GPU is the one of `fake_gpu.py`: it computes on the CPU, and refuses what a real one refuses.
"""

import contextlib
import copy
import functools
import json
import threading

import pytest
import torch
from fake_gpu import GPU, OnGPU, fake_gpu
from parity import cases
from test_published_flux import encode, parts, redness  # noqa: F401  (a fixture)
from test_published_verifiers import PROMPT as FOX
from test_published_verifiers import pictures, reward_model, tiny_clip, tiny_llava, words  # noqa: F401  (a fixture)
from toy_models import toy_sampler, toy_tokenizer, toy_transformer

import vartut
from vartut.device import plain_defaults
from vartut.measure.evaluate import judged_success
from vartut.published.aesthetic import Aesthetic
from vartut.published.flux import FluxSampler
from vartut.published.imagereward import Head, ImageReward
from vartut.published.llava import VQAScore
from vartut.training.loop import train
from vartut.training.recipes import TokenizerRecipe, TransformerRecipe
from vartut.training.verifiers import ClipRecipe
from vartut.verifiers.ensemble import RankEnsemble

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
    with fake_gpu() as gpu:
        there = torch.ones(2, 3, device="cuda")
        assert there.device == GPU
        index, here = torch.tensor([0, 1]), torch.ones(2, 3)
        for wrong in (
            lambda: there + here,
            lambda: torch.cat([there, here]),
            lambda: here[index.to(gpu)],
            lambda: there.__setitem__(index, here),
            lambda: there.index_select(0, index),
            lambda: there.gather(1, index[:, None]),
        ):
            with pytest.raises(RuntimeError, match="expected all tensors on one device"):
                wrong()
        with pytest.raises(RuntimeError, match="'cuda' device type for generator"):
            torch.randn(3, device="cuda", generator=torch.Generator())
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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", ["var_a", "infinity_a"])
def test_the_published_samplers_run_in_half_precision_on_a_gpu(case, dtype):
    load = cases.infinity if case == "infinity_a" else functools.partial(cases.var, case)
    half = copy.copy(cases.sampler(case))
    half.transformer = copy.copy(load(dtype)[1])
    half.transformer.scales = cases.sampler(case).transformer.scales
    half = copy.deepcopy(half)
    with fake_gpu() as gpu:
        found = walk(moved(half, gpu), cases.PROMPTS[case])  # rounding draws other tokens than on the CPU
    assert next(half.transformer.parameters()).dtype == dtype
    assert found[1].device == GPU
    assert all(torch.isfinite(numbers(part)).all() for part in found)


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


@pytest.mark.parametrize(("default", "own"), [("cuda:0", "cpu"), ("cpu", "cuda:0"), ("cuda:0", "cuda:0")])
def test_the_users_defaults_do_not_matter_on_a_gpu(default, own):
    def search(where):
        sampler, verifier = vartut.load("tiny", where=where), vartut.load_verifier("clip", where=where)
        oracle = vartut.load_verifier("oracle")
        found = vartut.beam_search(sampler, PROMPT, verifier, width=2, candidates=2, branch=range(2), seed=0)
        return found, oracle(found.image[None], PROMPT)

    wanted, grade = search(torch.device("cpu"))
    with fake_gpu():
        torch.set_default_device(default)
        torch.set_default_dtype(torch.float64)
        try:
            found, seen = search(torch.device(own))
        finally:
            torch.set_default_dtype(torch.float32)
            torch.set_default_device(None)
    assert found.image.device == torch.device(own)
    torch.testing.assert_close(numbers(found.image), wanted.image, atol=1e-4, rtol=0)
    assert found.tree.finished_scores() == pytest.approx(wanted.tree.finished_scores(), abs=1e-4)
    torch.testing.assert_close(numbers(seen), grade)


@pytest.mark.parametrize("score", ["preview", "rollout"])
def test_previews_random_and_greedy_search_run_on_a_gpu(score):
    with fake_gpu() as gpu:
        sampler, verifier = moved(toy_sampler(), gpu), vartut.load_verifier("clip", where=gpu)
        vartut.beam_search(sampler, PROMPT, verifier, width=2, candidates=2, score=score, seed=0)
        vartut.random_search(sampler, PROMPT, verifier, n=3, seed=0)
        assert vartut.greedy_search(sampler, PROMPT, verifier, candidates=2, seed=0).image.device == GPU


def test_the_evaluation_runs_on_a_gpu():
    outcomes = {}
    for where in (torch.device("cpu"), GPU):
        with fake_gpu() if where == GPU else contextlib.nullcontext():
            sampler = vartut.load("tiny", where=where)
            outcomes[where] = judged_success(sampler, n=1, tasks=["colors", "counting"], seed=0)
    assert outcomes[GPU] == outcomes[torch.device("cpu")]


# ---- the paper's verifiers and its opponent --------------------------------------------------------------------------


def verifiers(where, words):  # noqa: F811
    """One of each, on a device."""
    torch.manual_seed(0)
    clip, head, (model, processor) = tiny_clip(), Head(32), tiny_llava()
    clip.model, clip.where = clip.model.to(where), where
    light = [clip, Aesthetic(clip, head), ImageReward(reward_model(), words, where)]
    return {
        **{type(verifier).__name__: verifier for verifier in light},
        "RankEnsemble": RankEnsemble(light, pictures().to(where), FOX),
        "VQAScore": VQAScore("tiny", model.to(where), processor),
    }


@pytest.mark.parametrize("at", ["cpu", "gpu"])
def test_the_papers_verifiers_score_on_a_gpu_what_they_do_on_the_cpu(words, at):  # noqa: F811
    wanted = {name: verifier(pictures(), FOX) for name, verifier in verifiers(torch.device("cpu"), words).items()}
    with fake_gpu() as gpu:
        for name, verifier in verifiers(gpu, words).items():
            found = verifier(pictures().to(gpu if at == "gpu" else "cpu"), FOX)  # pictures may be anywhere
            torch.testing.assert_close(numbers(found), wanted[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_flux_runs_on_a_gpu(parts, eta):  # noqa: F811
    def search(where):
        transformer, vae, scheduler = copy.deepcopy(parts)
        sampler = FluxSampler(
            transformer.to(where), vae.to(where), scheduler, encode, height=16, width=24, steps=3, eta=eta
        )
        return vartut.beam_search(sampler, "a fox", redness, width=2, candidates=2, seed=0)

    wanted = search(torch.device("cpu"))
    with fake_gpu() as gpu:
        found = search(gpu)
    assert found.image.device == GPU
    torch.testing.assert_close(found.image.value, wanted.image, atol=1e-4, rtol=0)


# ---- training --------------------------------------------------------------------------------------------------------


def recipe(kind, where):
    torch.manual_seed(0)
    if kind == "clip-hard":
        return ClipRecipe(True, where, batch=4, negatives=2)
    if kind == "transformer":
        tokenizer = toy_tokenizer()
        return TransformerRecipe(toy_transformer(tokenizer), tokenizer, where, batch=4)
    return TokenizerRecipe(toy_tokenizer(kind == "bits").train(), where, batch=4)


@pytest.mark.parametrize("kind", ["codebook", "bits", "transformer", "clip-hard"])
def test_a_training_runs_on_a_gpu_and_resumes_on_the_cpu(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda *_: (7, 5))  # a T4
    monkeypatch.setattr("vartut.device.fast_bf16", lambda: False)
    losses = {}
    for where in (torch.device("cpu"), GPU):
        folder = tmp_path / where.type
        with fake_gpu() if where == GPU else contextlib.nullcontext():
            train(recipe(kind, where), 3, folder, save_minutes=0, log=lambda _: None)
        [log] = folder.glob("*.log.jsonl")
        losses[where.type] = [json.loads(line)["loss"] for line in log.read_text().splitlines()]
    assert losses["cuda"] == pytest.approx(losses["cpu"], abs=2e-3)
    again = train(recipe(kind, torch.device("cpu")), 3, tmp_path / "cuda", log=lambda _: None)
    assert again, "the checkpoint of a GPU is one of the CPU too"


def test_the_fake_gpu_is_one_to_pytorchs_cuda_build_too(monkeypatch):
    """Its optimizers ask the driver whether a graph is being captured, and there is no driver."""

    def driver(*_, **__):
        raise RuntimeError("Found no NVIDIA driver on your system")

    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "current_stream", driver)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", driver)
    with fake_gpu() as gpu:
        line = torch.nn.Linear(2, 2).to(gpu)
        line(torch.ones(1, 2, device=gpu)).sum().backward()
        before = line.weight.detach().cpu().clone()
        torch.optim.AdamW(line.parameters()).step()
        assert not torch.equal(line.weight.cpu(), before)


def test_threads_leave_the_default_dtype_as_it_was():
    """Two blocks that overlap in time, the first to open the last to close."""
    inside, leave = threading.Event(), threading.Event()

    def stay():
        with plain_defaults():
            inside.set()
            leave.wait(10)

    torch.set_default_dtype(torch.float64)
    try:
        thread = threading.Thread(target=stay)
        thread.start()
        inside.wait(10)
        with plain_defaults():
            leave.set()
            thread.join()
            assert torch.get_default_dtype() == torch.float32
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", ["clip", "reward", "aesthetic", "vqa"])
def test_autocast_changes_no_score(name):
    cpu, images = torch.device("cpu"), torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    wanted = vartut.load_verifier(name, where=cpu)(images, "a red circle")
    verifier = vartut.load_verifier(name, where=cpu)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        first = verifier(images, "a red circle")
    for scores in (first, verifier(images, "a red circle")):
        assert scores.dtype == torch.float32
        torch.testing.assert_close(scores, wanted, atol=1e-5, rtol=0)

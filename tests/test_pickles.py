"""Verifiers that go to another process: their pickles repair torchvision before anything imports it."""

import concurrent.futures
import copy
import io
import multiprocessing
import pickle
import pickletools
import subprocess
import sys

import pytest
import torch
from test_published_verifiers import asked, reward_model, tiny_clip, words  # noqa: F401  (asked, words: fixtures)
from toy_models import toy_sampler

import vartut
from vartut.published.aesthetic import Aesthetic
from vartut.published.imagereward import Head, ImageReward
from vartut.verifiers.ensemble import RankEnsemble

PROMPT = "a red circle"
PICTURES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
KINDS = ("clip", "clip-score", "aesthetic", "image-reward", "llava", "ensemble")


@pytest.fixture
def verifier(request, kind):
    """A verifier of each class that holds a model of open_clip or transformers."""
    if kind in ("clip", "vqa"):
        return vartut.load_verifier(kind, where=torch.device("cpu"))
    if kind == "aesthetic":
        return Aesthetic(tiny_clip(), Head(tiny_clip().model.visual.output_dim))
    if kind == "image-reward":
        return ImageReward(reward_model(), request.getfixturevalue("words"))
    if kind == "ensemble":
        return RankEnsemble([tiny_clip("a"), tiny_clip("b")], torch.rand(4, 3, 64, 64), PROMPT)
    return tiny_clip() if kind == "clip-score" else request.getfixturevalue("asked")


def imported(pickled: bytes) -> list[str]:
    """What a pickle imports, in order: "module name"."""
    texts, found = [], []
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name == "STACK_GLOBAL":
            found.append(" ".join(texts[-2:]))
        elif opcode.name == "GLOBAL":
            found.append(argument)
        if isinstance(argument, str):
            texts.append(argument)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_repairs_before_it_imports_what_needs_it(kind, verifier):
    """Read off the pickle itself, so that it holds where torchvision fits torch, too."""
    order = imported(pickle.dumps(verifier, protocol=2))
    repair = order.index("vartut.torchvision_repair repair")
    needy = [i for i, name in enumerate(order) if name.startswith(("open_clip", "transformers", "torchvision", "timm"))]
    assert needy, "it holds a model of theirs"
    assert repair < min(needy)


CHILD = """
import pickle, sys
verifier, pictures, prompt = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(verifier(pictures, prompt).tolist()))
"""


@pytest.mark.parametrize("kind", ["clip", "image-reward", "llava", "vqa"])
def test_a_fresh_process_scores_as_this_one(kind, verifier):
    sent = pickle.dumps((verifier, PICTURES, PROMPT))
    run = subprocess.run([sys.executable, "-c", CHILD], input=sent, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()[-600:]
    assert pickle.loads(run.stdout) == pytest.approx(verifier(PICTURES, PROMPT).tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", [*KINDS, "vqa"])
def test_one_that_has_scored_can_be_pickled_and_goes_on_scoring(kind, verifier):
    """transformers hangs hooks into a model at its first call, functions that no pickle can hold."""
    scores = verifier(PICTURES, PROMPT)
    other = pickle.loads(pickle.dumps(verifier))
    for scorer in (other, verifier):
        torch.testing.assert_close(scorer(PICTURES, PROMPT), scores, atol=1e-5, rtol=0)


def score(verifier):
    """What a worker does."""
    return verifier(PICTURES, PROMPT).tolist()


def test_a_spawned_worker_scores_as_this_process():
    verifier = vartut.load_verifier("clip", where=torch.device("cpu"))
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(score, verifier).result() == pytest.approx(score(verifier), abs=1e-5)


def test_copies_are_what_they_are_of():
    verifier = vartut.load_verifier("clip", where=torch.device("cpu"))
    once = pickle.loads(pickle.dumps(verifier))
    for other in (copy.copy(verifier), copy.deepcopy(verifier), once, pickle.loads(pickle.dumps(once))):
        assert type(other) is type(verifier)
        assert vars(other).keys() == vars(verifier).keys()
        assert torch.equal(other(PICTURES, PROMPT), verifier(PICTURES, PROMPT))
    file = io.BytesIO()
    torch.save(verifier, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(PICTURES, PROMPT), verifier(PICTURES, PROMPT))


def test_a_sampler_goes_to_another_process_too():
    sampler = toy_sampler()
    other = pickle.loads(pickle.dumps(sampler))
    pictures = [s.preview(s.expand(s.begin([PROMPT], 3))) for s in (sampler, other)]
    assert torch.equal(*pictures)

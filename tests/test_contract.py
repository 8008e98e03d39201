"""Every sampler and every verifier does what `contract.py` says.  Yours too: a line in one of the two lists."""

import functools

import contract
import pytest
import torch
from parity.cases import PROMPTS as PUBLISHED
from parity.cases import sampler as published
from test_published_flux import SIZE, encode, tiny_parts
from test_published_verifiers import WORDS, reward_model, tiny_clip, tiny_llava
from test_published_verifiers import pictures as smooth
from toy_models import toy_flow, toy_sampler

import vartut
from vartut import world
from vartut.hub import load_tokenizer
from vartut.published.aesthetic import Aesthetic as LaionAesthetic
from vartut.published.flux import FluxSampler
from vartut.published.imagereward import Head, ImageReward
from vartut.published.llava import VQAScore
from vartut.verifiers.ensemble import RankEnsemble

CPU = torch.device("cpu")
SETTINGS = {"guidance": 2.5, "temperature": [1, 1, 0.9, 0.8, 0.7, 0.6], "top_k": 20, "top_p": 0.95}
SHAPES = ["a red circle left of a blue square", "three stars", "a red circle left of a blue square"]
FOXES = ["a fox", "two cups on a table", "a fox"]


def again(name: str) -> list[str]:
    """A published model's two prompts, and the first once more."""
    return [*map(str, PUBLISHED[name]), str(PUBLISHED[name][0])]


def flux(**settings):
    return FluxSampler(*tiny_parts(), encode, **SIZE, **settings)


# name: how to make it, and three prompts that it reads, the first and the last the same
SAMPLERS = {
    "codebook": (lambda: toy_sampler(**SETTINGS), SHAPES),
    "bits": (lambda: toy_sampler(True, **SETTINGS), SHAPES),
    "tiny": (lambda: vartut.load("tiny", where=CPU), SHAPES),
    "var": (lambda: published("var_a", temperature=0.9, top_k=50, top_p=0.98), again("var_a")),
    "infinity": (lambda: published("infinity_a", temperature=0.9, top_p=0.98), again("infinity_a")),
    "flow": (lambda: toy_flow(steps=5, eta=0.7), SHAPES),
    "flow, an ODE": (lambda: toy_flow(steps=5), SHAPES),
    "flux": (flux, FOXES),
    "flux, an ODE": (lambda: flux(eta=0), FOXES),
}


@functools.cache
def scenes():
    """Three pictures of the world, and prompts of which the second is wrong."""
    pictures = world.render(world.sample("complex", 3, "validation"))
    prompts = [scene.prompt for scene in world.sample("complex", 3, "validation")]
    return pictures, [prompts[0], "three small stars", prompts[2]]


def foxes():
    """Three smooth pictures, and prompts of words that all toys know."""
    return smooth(), ["a red fox in the snow", "a fox", "snow, the foxes"]


def alone():
    """Three smooth pictures of one prompt."""
    return smooth(), ["a red fox in the snow"] * 3


def fresh(make):
    """An untrained model of our own, the same each time."""
    torch.manual_seed(0)
    return make()


def reward(folder):
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    return ImageReward(reward_model(), folder / "vocab.txt")


def ensemble(folder):
    references = torch.cat([smooth(), smooth().flip(3) ** 2])
    return RankEnsemble([tiny_clip(), reward(folder)], references, "a red fox in the snow")


# name: how to make it in an empty folder, and three pictures with prompts that it reads
VERIFIERS = {
    "clip": (lambda folder: vartut.load_verifier("clip", where=CPU), scenes),
    "clip-hard": (lambda folder: vartut.load_verifier("clip-hard", where=CPU), scenes),
    "oracle": (lambda folder: vartut.load_verifier("oracle"), scenes),
    "reward": (lambda folder: vartut.load_verifier("reward", where=CPU), scenes),
    "aesthetic": (lambda folder: vartut.load_verifier("aesthetic", where=CPU), scenes),
    "vqa": (lambda folder: vartut.load_verifier("vqa", where=CPU), scenes),
    "clip-score": (lambda folder: tiny_clip(), foxes),
    "image-reward": (reward, foxes),
    "laion-aesthetic": (lambda folder: LaionAesthetic(tiny_clip(), Head(32)), foxes),
    "llava-onevision": (lambda folder: VQAScore("tiny", *tiny_llava()), foxes),
    "ensemble": (ensemble, alone),
}


@pytest.fixture(scope="module", params=SAMPLERS)
def sampler(request):
    make, prompts = SAMPLERS[request.param]
    return make(), prompts


@pytest.mark.parametrize("rule", contract.SAMPLER, ids=lambda rule: rule.__name__)
def test_a_sampler(sampler, rule):
    rule(*sampler)


@pytest.fixture(scope="module", params=VERIFIERS)
def verifier(request, tmp_path_factory):
    make, given = VERIFIERS[request.param]
    return make(tmp_path_factory.mktemp("verifier")), *given()


@pytest.mark.parametrize("rule", contract.VERIFIER, ids=lambda rule: rule.__name__)
def test_a_verifier(verifier, rule):
    rule(*verifier)


@pytest.mark.parametrize("name", ["tiny", "clip", "clip-hard", "oracle"])
def test_what_is_loaded_under_the_users_defaults_is_the_same(name):
    if name == "tiny":
        wanted = vartut.load(name, where=CPU)
        with contract.user_defaults():
            found = vartut.load(name, where=CPU)
            state = contract.finish(found, found.begin(SHAPES, 0))
        contract.same(wanted, state, contract.finish(wanted, wanted.begin(SHAPES, 0)))
        return
    pictures, prompts = scenes()
    wanted = vartut.load_verifier(name, where=CPU)(pictures, prompts)
    with contract.user_defaults():
        found = vartut.load_verifier(name, where=CPU)(pictures, prompts)
    torch.testing.assert_close(found, wanted)


def test_a_tokenizer_loaded_under_the_users_defaults_is_the_same():
    pictures, wanted = scenes()[0], load_tokenizer(where=CPU)
    with contract.user_defaults():
        found = load_tokenizer(where=CPU)
        tokens = found.encode(pictures)
        seen = found.preview(tokens)
    assert all(torch.equal(a, b) for a, b in zip(tokens, wanted.encode(pictures)))
    torch.testing.assert_close(seen, wanted.preview(tokens))


def test_a_search_under_the_users_defaults_is_the_same():
    sampler, verifier = toy_sampler(), vartut.load_verifier("clip", where=CPU)
    given = {"width": 2, "candidates": 2, "keep_images": True}
    wanted = vartut.beam_search(sampler, SHAPES[0], verifier, **given)
    with contract.user_defaults():
        found = vartut.beam_search(sampler, SHAPES[0], verifier, **given)
        vartut.beam_search(sampler, SHAPES[0], verifier, 2, 2, score=lambda sampler, state: state.log_prob)
    torch.testing.assert_close(found.image, wanted.image)
    assert found.tree.finished_scores() == pytest.approx(wanted.tree.finished_scores(), abs=1e-4)

"""The verifier that asks: packing, masks, scores and FLOPs, on an untrained model; what its training asks."""

import random

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from toy_models import learn, toy_tokenizer

import vartut
from vartut import world
from vartut.training import samples as painted
from vartut.training.reasoner import KINDS, WORDS, ReasonerRecipe, changed, drawn
from vartut.verifiers import vqa
from vartut.verifiers.clip import normalize
from vartut.world.questions import ANSWERS, questions

CPU = torch.device("cpu")
SMALL = {"width": 32, "hidden": 48, "heads": 2, "seeing": 1, "reading": 2}
SCENES = world.sample("dense", 6, "validation")
PICTURES = world.render(SCENES)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return vqa.build(**SMALL).eval()


@torch.no_grad()
def test_questions_packed_together_are_answered_as_each_alone(model):
    """None sees another, whatever stands beside it, and padding is seen by none."""
    asked = [questions(scene.prompt) for scene in SCENES]
    together = vqa.answers(model, normalize(PICTURES), asked)
    alone = [
        vqa.answers(model, normalize(PICTURES[i : i + 1]), [[question]])
        for i, of in enumerate(asked)
        for question in of
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)
    assert together.std(0).max() > 1e-4, "and the answers differ, so that this says something"


def test_the_mask_by_hand(monkeypatch):
    monkeypatch.setattr(vqa, "PATCHES", 2)
    ids, mask, places, ends = vqa.packed([questions("a star and a ring"), questions("a star")])
    assert ids.shape == (2, 2 + 5 + 5)  # two patches, "is there a star ?" and as much again
    first, second, padding = slice(2, 7), slice(7, 12), slice(7, 12)
    assert mask[0, 0, :2, :2].all(), "patches see each other, before and behind"
    assert not mask[0, 0, :2, 2:].any(), "and no questions"
    assert mask[0, 0, 2:, :2].all(), "questions see the picture"
    assert torch.equal(mask[0, 0, first, first], torch.ones(5, 5).tril().bool())
    assert not mask[0, 0, first, second].any()
    assert not mask[0, 0, second, first].any()
    assert not mask[1, 0, :7, padding].any(), "nobody looks at padding but padding"
    assert places[0].tolist() == [0, 1, *range(2, 7), *range(2, 7)]
    assert ends[0].nonzero()[:, 0].tolist() == [6, 11]
    assert ends[1].nonzero()[:, 0].tolist() == [6]


def test_the_score_is_the_mean_log_probability_of_the_right_answers(model):
    verifier = vqa.VqaScore("vqa", model)
    prompts = [scene.prompt for scene in SCENES]
    scores = verifier(PICTURES, prompts)
    for picture, prompt, score in zip(PICTURES, prompts, scores):
        right = verifier.explain(picture[None], prompt)
        assert right.shape == (1, len(questions(prompt)))
        torch.testing.assert_close(right.log().mean(), score, atol=1e-4, rtol=1e-4)
    asked = questions(prompts[0])
    said = vqa.answers(model, normalize(PICTURES[:1]), [asked]).detach()
    wanted = [float(row[ANSWERS.index(question.right)]) for row, question in zip(said, asked)]
    assert float(scores[0]) == pytest.approx(sum(wanted) / len(wanted), abs=1e-4)


def test_chunks_change_no_score(model):
    prompts = [scene.prompt for scene in SCENES]
    one, many = (vqa.VqaScore("vqa", model, chunk=chunk)(PICTURES, prompts) for chunk in (2, 32))
    torch.testing.assert_close(one, many, atol=1e-4, rtol=1e-4)


def test_flops_against_torchs_counter(model):
    verifier, prompt = vqa.VqaScore("vqa", model), SCENES[0].prompt
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # the fused one is not counted
        verifier(PICTURES, prompt)
    counted = counter.get_total_flops() / len(PICTURES)
    answering = 2 * len(questions(prompt)) * model.lm_head.weight.numel()  # a few answers' words, which are left out
    assert verifier.flops_per_image == pytest.approx(counted - answering, rel=0.02)


def test_a_prompt_that_it_cannot_read_is_refused(model):
    with pytest.raises(ValueError, match='unknown word "purple"'):
        vqa.VqaScore("vqa", model)(PICTURES[:1], "a purple star")


# ---- training ------------------------------------------------------------------------------------------------------


def test_random_questions_fit_in_their_words_and_cover_every_kind_and_answer():
    rng, seen = random.Random(0), {}
    for scene in world.sample("all", 40, "validation") + world.sample("dense", 60, "validation"):
        asked = drawn(scene.objects, rng)
        assert sum(len(question.text.replace(",", " ,").split()) for question in asked) <= WORDS
        for question in asked:
            seen.setdefault(question.kind, []).append(question.answer(scene.objects))
    assert set(seen) == set(KINDS)
    for kind in set(KINDS) - {"number"}:
        assert 0.25 < seen[kind].count("no") / len(seen[kind]) < 0.75, kind
    assert {"zero", "one", "two", "three", "four", "five"} <= set(seen["number"])


def test_a_picture_without_clear_objects_is_asked_about_too():
    rng = random.Random(0)
    asked = [question for _ in range(20) for question in drawn([], rng)]
    assert {question.answer([]) for question in asked} == {"no", "zero"}


def test_a_change_changes_one_word():
    rng, group = random.Random(1), world.Group(1, "star", "red", "striped", "large")
    for _ in range(50):
        new = changed(group, rng)
        same = [getattr(new, name) == getattr(group, name) for name in ("shape", "color", "texture", "size")]
        assert same.count(False) == 1


def toy_samples():
    """Two prompts, three pictures each, as tokens of the toy tokenizer; what stands in them is that of two scenes."""
    tokenizer = toy_tokenizer()
    tokens = torch.cat(tokenizer.encode(PICTURES), 1).view(2, 3, -1).to(torch.int16)
    things = torch.stack([painted.numbers(v.found) for v in world.judge(PICTURES, [s.prompt for s in SCENES])])
    things = things.view(2, 3, *things.shape[1:])
    return tokenizer, painted.Samples(["a star", "a ring"], tokens, torch.rand(2, 3), things)


def test_the_recipe_learns(model):
    """Thirty steps on clean pictures, and one that has reconstructions and samples among them."""
    torch.manual_seed(0)
    recipe = ReasonerRecipe(vqa.build(**SMALL), CPU, batch=8)
    losses, _ = learn(recipe, range(30))
    assert losses[-1] < 0.6 * losses[0]
    tokenizer, samples = toy_samples()
    mixed = ReasonerRecipe(recipe.model, CPU, batch=8, tokenizer=tokenizer, samples=samples)
    assert torch.isfinite(mixed.loss(0)[0])
    images, objects = mixed.pictures(0, random.Random(0), torch.Generator().manual_seed(0))
    assert len(images) == len(objects) == 8


def test_samples_keep_what_the_judge_found():
    _, samples = toy_samples()
    for scene, (p, g) in zip(SCENES, [(p, g) for p in range(2) for g in range(3)]):
        kept = samples.things(p, g)
        assert len(kept) == len(scene.objects)
        for question in questions(scene.prompt):
            assert question.answer(kept) == question.answer(scene.objects)
    unclear = world.Found(None, "red", "solid", "small", 30.25, 31.5, 0.4)
    [again] = [painted.thing(row) for row in painted.numbers([unclear]).tolist() if row[1] >= 0]
    assert (again.shape, again.color, again.x, again.y) == (None, "red", 30.25, 31.5)


def test_no_pictures_have_no_answers_and_meta_pictures_are_refused():
    verifier = vartut.load_verifier("vqa", where=torch.device("cpu"))
    assert verifier.explain(torch.rand(0, 3, 64, 64), "two red circles").shape == (0, 3)
    with pytest.raises(ValueError, match="device meta has no values"):
        verifier(torch.rand(1, 3, 64, 64, device="meta"), "a red circle")

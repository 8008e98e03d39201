"""The reward model, the aesthetic head, the likelihood and the ensembles, on toys; how the first two are trained."""

import math
import random
import re
import shutil
from dataclasses import replace

import pytest
import torch
from test_vqa import PICTURES, SCENES, toy_samples
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from toy_models import learn, toy_sampler

import vartut
from vartut import weights as files
from vartut.hub import load_verifier
from vartut.paths import data_folder
from vartut.training import build
from vartut.training.rewards import AestheticRecipe, RewardRecipe, blurred, off_palette, spoiled, stands_out, torn
from vartut.verifiers import aesthetic
from vartut.verifiers.ensemble import RankEnsemble, ZEnsemble, mean_ranks, mean_z
from vartut.verifiers.likelihood import likelihood, mean_likelihood
from vartut.verifiers.reward import RewardModel, RewardScore
from vartut.weights import save_weights
from vartut.world import Object, Scene, render, words
from vartut.world.negatives import false_prompts

CPU = torch.device("cpu")
PROMPTS = [scene.prompt for scene in SCENES]


def small():
    torch.manual_seed(0)
    model = RewardModel(width=32, depth=2, heads=2)
    for p in model.parameters():  # what begins as the identity would read nothing
        if p.ndim == 2 and not p.any():
            torch.nn.init.normal_(p, std=0.2)
    return model


# ---- reward --------------------------------------------------------------------------------------------------------


def test_picture_and_prompt_both_matter():
    score = RewardScore("reward", small())
    one, other = score(PICTURES, PROMPTS[0]), score(PICTURES, PROMPTS[1])
    assert (one - other).abs().max() > 1e-4
    assert one.std() > 1e-4


def test_flops_of_a_reward_against_torchs_counter():
    score = RewardScore("reward", small())
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        score(PICTURES, PROMPTS)
    assert score.flops_per_image == pytest.approx(counter.get_total_flops() / len(PICTURES), rel=0.01)


def test_the_reward_learns_the_ranking_and_counts_no_pairs_of_equals():
    tokenizer, told = toy_samples()
    recipe = RewardRecipe(small(), tokenizer, told, CPU, batch=8)
    assert torch.isfinite(recipe.compared([0, 1], [[0, 1, 2]] * 2)[0])
    equal = type(told)(told.prompts, told.tokens, torch.ones(2, 3), told.objects)
    loss, found = RewardRecipe(small(), tokenizer, equal, CPU).compared([0], [[0, 1, 2]])
    assert loss == 0
    graded = type(told)(told.prompts, told.tokens, torch.tensor([[1.0, 0.5, 0.5]] * 2), told.objects)
    loss, found = RewardRecipe(recipe.model, tokenizer, graded, CPU).compared([0], [[0, 1]])
    images = tokenizer.preview(list(told.tokens[0, :2].long().split([n * n for n in tokenizer.scales], 1)))
    first, second = RewardScore("reward", recipe.model)(images, "a star").tolist()
    assert loss.item() == pytest.approx(math.log1p(math.exp(second - first)), rel=1e-3)
    assert found["in_order"] == float(first > second)


# ---- aesthetic -----------------------------------------------------------------------------------------------------


def test_the_aesthetic_head_learns_clean_from_spoiled_and_reads_no_prompt():
    torch.manual_seed(0)
    clip = load_verifier("clip", where=CPU)
    recipe = AestheticRecipe(aesthetic.head(), clip, CPU, batch=64, lr=5e-3)
    losses, _ = learn(recipe, range(40))
    assert sum(losses[-5:]) < 0.93 * sum(losses[:5])
    score = aesthetic.Aesthetic("aesthetic", clip, recipe.model)
    assert torch.equal(score(PICTURES, PROMPTS), score(PICTURES, PROMPTS[::-1]))


def test_each_way_of_spoiling_changes_a_picture_and_keeps_its_range():
    draws = torch.Generator().manual_seed(0)
    for way in (torn, blurred, off_palette, spoiled):
        found = way(PICTURES.clone(), draws)
        assert found.shape == PICTURES.shape
        assert found.min() >= 0
        assert found.max() <= 1
        assert ((found - PICTURES).abs().flatten(1).amax(1) > 0.1).all(), way.__name__
    torch.testing.assert_close(torn(PICTURES, draws).sum(), PICTURES.sum(), rtol=1e-4, atol=0)


def test_a_tear_goes_through_an_object():
    """A torn square is no rectangle any more, wherever it stands; a line beside it would only move it."""
    draws = torch.Generator().manual_seed(0)
    for at in range(24):
        square = Object("square", "red", "solid", "large", 16 + at, 40 - at)
        torn_apart = stands_out(torn(render([Scene((square,), "", "")]), draws))[0, 0] > 0.5
        rows, columns = torn_apart.any(1).sum(), torn_apart.any(0).sum()
        assert torn_apart.sum() < rows * columns


def test_a_head_on_other_features_is_refused(tmp_path):
    about = {"clip": "clip", "clip_sha256": "0" * 64}
    save_weights(aesthetic.head(), "aesthetic", about, {}, tmp_path)
    with pytest.raises(ValueError, match='features of another "clip"'):
        load_verifier("aesthetic", tmp_path, CPU)


@pytest.mark.parametrize("name", ["reward", "aesthetic", "vqa", "vqa-clean"])
def test_missing_weights_name_the_command_that_makes_them(name, tmp_path, monkeypatch):
    remedy = "" if name == "vqa-clean" else f"restore them with `git checkout data/weights/{name}.*`, or "
    said = f"missing: {remedy}train them: `vartut train {name} --ship`"
    with pytest.raises(FileNotFoundError, match=re.escape(f"train {name} --folder {tmp_path}`")):
        load_verifier(name, tmp_path, CPU)  # in a folder of one's own
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(files, "data_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=re.escape(said)):
        load_verifier(name, where=CPU)


@pytest.mark.parametrize("name", ["reward", "vqa"])
def test_the_more_of_a_prompt_a_picture_shows_the_higher_it_scores(name):
    """Three objects, two, one, none of them: what misses more scores lower, in 9 of 10 steps."""
    drawn = vartut.world.sample("dense", 120, "test", seed=6)
    scenes = [scene for scene in drawn if len(scene.objects) == 3 and len(words(scene.prompt)) <= 20][:16]
    assert len(scenes) > 8
    verifier, prompts = load_verifier(name, where=CPU), [scene.prompt for scene in scenes]
    less = [render([replace(scene, objects=scene.objects[:n]) for scene in scenes]) for n in (3, 2, 1, 0)]
    scores = torch.stack([verifier(pictures, prompts) for pictures in less])  # (4, scenes)
    assert (scores[:-1] > scores[1:]).float().mean() > 0.9


def test_the_shipped_head_likes_clean_pictures_better_the_less_they_are_blurred():
    pictures = render(vartut.world.sample("dense", 24, "test", seed=7))
    verifier, softer = load_verifier("aesthetic", where=CPU), [pictures]
    for _ in range(2):
        softer.append(F.avg_pool2d(F.pad(softer[-1], [2] * 4, mode="replicate"), 5, 1))
    scores = torch.stack([verifier(each, "") for each in softer])  # (3, 24)
    assert (scores[0] > scores[1:]).float().mean() > 0.9
    assert scores[0].mean() > scores[1].mean() > scores[2].mean()


def test_the_shipped_reasoner_prefers_the_prompt_of_a_picture_to_one_with_a_false_word():
    scenes = vartut.world.sample("color_attr", 24, "test", seed=5)
    false = [next(iter(false_prompts(scene, random.Random(0)).values()))[0] for scene in scenes]
    verifier, pictures = load_verifier("vqa", where=CPU), render(scenes)
    true = verifier(pictures, [scene.prompt for scene in scenes])
    assert (true > verifier(pictures, false)).float().mean() > 0.9


# ---- likelihood ----------------------------------------------------------------------------------------------------


def test_the_likelihood_is_the_samplers_own():
    sampler = toy_sampler(guidance=1.0)
    state = sampler.expand(sampler.begin("a star", 0), 3)
    logits = state.cells[0].ancestors()[-1].result.logits[0, 0].log_softmax(-1)
    for row, tokens in enumerate(state.tokens[0]):
        own = sum(float(logits[place, token]) for place, token in enumerate(tokens))
        assert float(likelihood(sampler, state)[row]) == pytest.approx(own, rel=1e-4)
    later = sampler.expand(state)
    tokens = sum(t.shape[1] for t in later.tokens)
    torch.testing.assert_close(mean_likelihood(sampler, later), likelihood(sampler, later) / tokens)


def test_a_search_can_climb_the_likelihood_and_it_costs_nothing():
    sampler, oracle = toy_sampler(guidance=1.0), load_verifier("oracle")
    found = vartut.beam_search(sampler, "a star", oracle, width=2, candidates=3, score=likelihood)
    assert found.ledger.nfe == 1 + 2 * (sampler.num_steps - 1)


def test_a_state_without_a_likelihood_says_so():
    with pytest.raises(ValueError, match="does not know how likely"):
        likelihood(object(), object())


# ---- ensembles -----------------------------------------------------------------------------------------------------

SCORES = torch.tensor([[0.1, 0.4, 0.3, 0.3], [10.0, 30.0, 20.0, -5.0]])


def test_mean_ranks_by_hand():
    assert mean_ranks(SCORES).tolist() == [0.5, 3.0, 1.75, 0.75]
    assert mean_ranks(SCORES, [1, 0]).tolist() == [0.0, 3.0, 1.5, 1.5]


def test_a_monotone_rescaling_of_a_member_changes_no_rank():
    changed = torch.stack([SCORES[0].exp() * 100, SCORES[1] ** 3])
    assert torch.equal(mean_ranks(changed), mean_ranks(SCORES))
    assert not torch.allclose(mean_z(changed), mean_z(SCORES)), "z-scores know how far apart they are"


def test_mean_z_by_hand():
    by_hand = (SCORES - SCORES.mean(1, keepdim=True)) / SCORES.std(1, keepdim=True, correction=0)
    torch.testing.assert_close(mean_z(SCORES), by_hand.mean(0))
    torch.testing.assert_close(mean_z(SCORES, [3, 1]), (3 * by_hand[0] + by_hand[1]) / 4)
    silent = torch.stack([SCORES[0], torch.ones(4)])
    torch.testing.assert_close(mean_z(silent), by_hand[0] / 2)  # to whom all are alike says nothing
    assert mean_z(torch.tensor([[1.0], [2.0]])).tolist() == [0], "one candidate is the best and the worst"


@pytest.mark.parametrize("combine", [mean_ranks, mean_z])
@pytest.mark.parametrize("wrong", [torch.rand(0, 5), torch.rand(5), torch.full((2, 3), math.nan), [[1.0, 2.0]]])
def test_what_is_no_table_of_scores_is_refused(combine, wrong):
    with pytest.raises(ValueError, match=r"scores are a tensor \(members, candidates\)"):
        combine(wrong)


@pytest.mark.parametrize("name", ["clip", "reward", "aesthetic", "vqa"])
def test_weights_under_another_name_are_refused(name, tmp_path):
    other = "vqa" if name == "clip" else "clip"
    for end in ("json", "safetensors"):
        shutil.copy(data_folder() / "weights" / f"{other}.{end}", tmp_path / f"{name}.{end}")
    with pytest.raises(ValueError, match=f'belongs to "{other}", under another name'):
        load_verifier(name, tmp_path, CPU)


def brightness(images, prompts):
    return images.mean((1, 2, 3))


def redness(images, prompts):
    return images[:, 0].mean((1, 2))


@pytest.mark.parametrize("kind", [RankEnsemble, ZEnsemble])
def test_ensembles_in_front_of_references(kind):
    greys = torch.rand(6, 1, 1, 1, generator=torch.Generator().manual_seed(0)).expand(6, 3, 8, 8)
    both = kind([brightness, redness], greys, "a star")
    assert both(greys, "a star").argmax() == greys.flatten(1).mean(1).argmax()
    alone = kind([brightness, lambda i, p: -redness(i, p)], greys, "a star", weights=[1, 0])
    torch.testing.assert_close(alone(greys, "a star"), kind([brightness], greys, "a star")(greys, "a star"))
    rescaled = kind([brightness, lambda i, p: 5 * redness(i, p) - 3], greys, "a star")
    torch.testing.assert_close(rescaled(greys, "a star"), both(greys, "a star"))
    for weights in ([1], [0, 0], [-1, 2], [math.inf, 1]):
        with pytest.raises(ValueError, match="weights"):
            kind([brightness, redness], greys, "a star", weights=weights)


def test_infinite_scores_have_ranks_and_no_z_scores():
    scores = torch.tensor([[float("-inf"), 0.0, 1.0]])
    assert mean_ranks(scores).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="take mean_ranks"):
        mean_z(scores)


def test_tiny_and_huge_weights_are_weights():
    for weights in ([1e-300, 1e-300], [1e39, 1e39]):
        torch.testing.assert_close(mean_z(SCORES[:2], weights), mean_z(SCORES[:2]))


def test_a_member_to_whom_all_are_alike_says_nothing_and_small_scores_say_what_they_say():
    for count in range(2, 15):
        assert mean_z(torch.full((1, count), 0.1)).tolist() == [0] * count
    torch.testing.assert_close(mean_z(1e-20 * SCORES.double()), mean_z(SCORES))
    assert mean_ranks(torch.tensor([[1e8, 1e8 + 1, 1e8 + 2]], dtype=torch.float64)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("members", ["clip", ["clip"], {brightness, redness}, brightness])
def test_members_are_verifiers_in_an_order(members):
    with pytest.raises(ValueError, match="members are"):
        RankEnsemble(members, torch.rand(3, 3, 8, 8), "a star")


@pytest.mark.parametrize("weights", [{0: 3, 1: 1}, {1.0, 2.0}, [True, 1], 1, "ab", ["1", "2"]])
def test_weights_are_numbers_in_an_order(weights):
    with pytest.raises(ValueError, match="weights"):
        RankEnsemble([brightness, redness], torch.rand(3, 3, 8, 8), "a star", weights)


@pytest.mark.parametrize("returned", [lambda n: torch.rand(n + 1), lambda n: [0.5] * n, lambda n: torch.rand(n, 1)])
def test_members_that_return_no_score_a_picture_are_named(returned):
    def odd(images, prompts):
        return returned(len(images))

    odd.name = "odd"
    with pytest.raises(ValueError, match="odd returns one score a picture"):
        RankEnsemble([brightness, odd], torch.rand(3, 3, 8, 8), "a star")
    with pytest.raises(ValueError, match="NaN or infinite"):
        RankEnsemble([lambda i, p: brightness(i, p) * math.nan], torch.rand(3, 3, 8, 8), "a star")


@pytest.mark.parametrize(("name", "batch"), [("reward", 7), ("reward", 12), ("aesthetic", 1), ("aesthetic", 5)])
def test_a_batch_that_cannot_be_split_is_refused_before_anything_is_painted(name, batch, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "sampled", lambda *_: pytest.fail("it began to paint"))
    with pytest.raises(ValueError, match=f"batch is {batch}"):
        build.train_by_name(name, steps=1, batch=batch, folder=tmp_path)

"""Rollouts by a smaller model: going on from given tokens is what drawing them would have been."""

import pytest
import torch
from toy_models import randomise, toy_sampler, toy_transformer

from vartut.hub import read_prompts
from vartut.models.next_scale import NextScaleSampler
from vartut.search import beam_search, rollouts_by
from vartut.search.finishing import finished

PROMPTS = ["a red circle", "a blue star above a ring"]


def bright(images, prompts):
    return images.mean((1, 2, 3))


@pytest.fixture(scope="module")
def pair():
    """Two samplers with one tokenizer, of different weights."""
    one = toy_sampler()
    torch.manual_seed(7)
    return one, NextScaleSampler(one.tokenizer, randomise(toy_transformer(one.tokenizer), 0.5), read_prompts)


def run(sampler, state, steps):
    for _ in range(steps):
        state = sampler.expand(state)
    return state


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_following_ones_own_tokens_is_drawing_them(pair, steps):
    """Same pictures, same likelihoods as if it had never stopped."""
    sampler = pair[0]
    begun = run(sampler, sampler.begin(PROMPTS, 3), steps)
    went_on = run(sampler, begun, sampler.num_steps - steps)
    again = finished(sampler, begun)
    for a, b in zip(again.tokens, went_on.tokens):
        torch.testing.assert_close(a, b)
    assert again.paths == went_on.paths
    torch.testing.assert_close(again.log_prob, went_on.log_prob, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(again.sum, went_on.sum, rtol=1e-4, atol=1e-5)


def test_the_finisher_keeps_what_the_other_began_and_draws_the_rest_by_its_own_law(pair):
    """Against the finisher's logits on the whole sequence, without caches: at temperature 0 the likeliest token."""
    painter, finisher = pair[0], pair[1].tuned(temperature=0, guidance=1)
    begun = run(painter, painter.begin(PROMPTS, 3), 2)
    ended = finished(finisher, begun)
    for mine, given in zip(ended.tokens[:2], begun.tokens):
        assert torch.equal(mine, given)
    inputs, latent = [], finisher.tokenizer.empty(2)
    for k, tokens in enumerate(ended.tokens):
        if k:
            inputs.append(finisher.tokenizer.shrink(latent, k))
        latent = finisher.tokenizer.add(latent, tokens, k)
    with torch.no_grad():
        logits = finisher.transformer(read_prompts(PROMPTS), inputs)
    lengths = [tokens.shape[1] for tokens in ended.tokens]
    likeliest = [part.argmax(-1) for part in logits.split(lengths, 1)]
    for mine, wanted in zip(ended.tokens[2:], likeliest[2:]):
        assert torch.equal(mine, wanted)


def test_several_rollouts_of_a_row_differ_and_count_alike(pair):
    painter, finisher = pair
    begun = run(painter, painter.begin(PROMPTS, 3), 1)
    ended = finished(finisher, begun, 3)
    assert len(ended) == 6
    assert len({tuple(torch.cat([t[i] for t in ended.tokens]).tolist()) for i in range(6)}) == 6
    score = rollouts_by(finisher, bright, 3)(painter, begun)
    torch.testing.assert_close(score, finisher.preview(ended).mean((1, 2, 3)).view(2, 3).mean(1))


def test_a_beam_scored_by_the_finisher_is_finished_by_the_painter(pair):
    painter, finisher = pair
    result = beam_search(painter, PROMPTS[0], bright, 2, 3, score=rollouts_by(finisher, bright), seed=1)
    assert result.score == pytest.approx(float(result.image.mean()), abs=1e-6)
    assert [node.finished for node in result.tree.nodes[1:]].count(True) == 6, "the last step's children alone"
    assert result.ledger.nfe > 1 + 2 * (painter.num_steps - 1), "the finisher's passes are paid for"


def test_passes_that_ran_are_not_run_again(pair):
    """Two rows that share their past share its passes where they were one row before."""
    painter = pair[0]
    state = painter.expand(painter.begin(PROMPTS[:1], 3), 4)
    before = state.ledger.nfe
    painter.follow(
        painter.select(state, [0, 0, 1]), torch.zeros(3, painter.tokenizer.scales[1] ** 2, dtype=int), [0, 1, 0]
    )
    assert state.ledger.nfe == before + 2


def test_other_tokens_are_refused(pair):
    painter, finisher = pair
    with pytest.raises(ValueError, match="same tokenizer"):
        rollouts_by(finisher, bright)(type("Other", (), {"tokenizer": type("T", (), {"scales": (1, 2)})}), None)
    with pytest.raises(ValueError, match="each"):
        rollouts_by(finisher, bright, 0)
    with torch.no_grad():
        begun = painter.begin(PROMPTS, 3)
    assert rollouts_by(finisher, bright)(painter, begun).shape == (2,)

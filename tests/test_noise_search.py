"""Zero-order search and search over paths, against the same loops written with the verbs alone."""

import pytest
import torch
from contract import finish
from test_flow import exact
from toy_models import toy_flow, toy_sampler

from vartut import path_search, random_search, zero_order_search
from vartut.ledger import Ledger

PROMPT = "a red circle left of a blue square"


def red(images, prompts):
    return images[:, 0].mean((1, 2)) - images[:, 1:].mean((1, 2, 3))


def score_of(sampler, state) -> list[float]:
    return red(sampler.preview(state), None).tolist()


# ---- zero order -----------------------------------------------------------------------------------------------------


def test_zero_order_is_a_walk_to_better_noise():
    sampler = toy_flow(steps=4)
    result = zero_order_search(sampler, PROMPT, red, neighbors=3, rounds=4, radius=0.5, seed=5)
    pivot = sampler.expand(sampler.begin([PROMPT], 5))
    [best] = score_of(sampler, finish(sampler, pivot))
    for first in range(0, 12, 3):
        near = sampler.perturb(pivot, 0.5, 3, first=first)
        scores = score_of(sampler, finish(sampler, near))
        if max(scores) > best:
            best, pivot = max(scores), sampler.select(near, [scores.index(max(scores))])
    assert result.score == pytest.approx(best, abs=1e-5)
    assert len(result.tree.finished_scores()) == 13
    torch.testing.assert_close(result.image, sampler.preview(finish(sampler, pivot))[0], atol=1e-4, rtol=0)


def test_it_climbs_where_neighbors_are_alike():
    """With the exact flow the picture is a smooth function of the noise: a walk beats as many independent draws."""
    sampler = exact(steps=4)

    def first_number(images, prompts):
        return red(images, prompts)

    walked, drawn = [], []
    for seed in range(6):
        common = {"seed": seed, "max_rows": 32}
        walked.append(zero_order_search(sampler, PROMPT, first_number, 4, 8, radius=0.4, **common).score)
        drawn.append(random_search(sampler, PROMPT, first_number, n=33, **common).score)
    assert sum(walked) > sum(drawn)


def test_its_ledger_is_counted_by_hand():
    ledger = Ledger()
    zero_order_search(toy_flow(steps=4), PROMPT, red, neighbors=3, rounds=2, ledger=ledger)
    assert ledger.nfe == 4 * (1 + 3 * 2)
    assert ledger.total("calls", "verifier") == 1 + 3 * 2


def test_scales_have_no_noise_to_change():
    with pytest.raises(ValueError, match="NextScaleSampler begins with no noise"):
        zero_order_search(toy_sampler(), PROMPT, red)


# ---- paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [toy_flow(steps=8), toy_flow(steps=8, eta=0.6), toy_sampler()])
def test_a_path_search_goes_back_and_forward(sampler):
    settings = {"width": 2, "candidates": 3, "start": 3, "back": 1, "forward": 3}
    result = path_search(sampler, PROMPT, red, seed=2, **settings)
    beam, step, seen = sampler.expand(sampler.begin([PROMPT], 2), 2), 3, []
    while beam.step < 3:
        beam = sampler.expand(beam)
    while step < sampler.num_steps:
        beam = sampler.renoise(beam, step - 1, 3)
        step = min(step + 2, sampler.num_steps)
        while beam.step < step:
            beam = sampler.expand(beam)
        scores = score_of(sampler, beam)
        seen = scores
        rows = sorted(sorted(range(6), key=lambda row: -round(scores[row], 5))[:2])
        beam = sampler.select(beam, rows)
    assert result.score == pytest.approx(max(seen), abs=1e-5)


@pytest.mark.parametrize("how", ["rollout", lambda sampler, state: red(sampler.preview(state), None)])
def test_any_score_will_do_and_chunks_change_nothing(how):
    sampler = toy_flow(steps=6)
    results = [path_search(sampler, PROMPT, red, score=how, max_rows=rows) for rows in (1, 2, 3, 32)]
    for result in results:
        assert result.score == pytest.approx(results[0].score, abs=1e-5)
        assert len(result.tree) == len(results[0].tree)


def test_a_start_at_the_end_is_random_search():
    sampler = toy_flow(steps=4)
    found = path_search(sampler, PROMPT, red, width=5, start=5, back=1, forward=2)
    assert found.score == pytest.approx(random_search(sampler, PROMPT, red, n=5).score, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "about"),
    [({"forward": 2}, "forward"), ({"start": 2}, "start"), ({"start": 99}, "start"), ({"back": 0}, "back"),
     ({"width": 100, "candidates": 100}, "more than 4096"), ({"score": "previews"}, "did you mean")],
)  # fmt: skip
def test_nonsense_is_refused(settings, about):
    with pytest.raises(ValueError, match=about):
        path_search(toy_flow(steps=8), PROMPT, red, **settings)

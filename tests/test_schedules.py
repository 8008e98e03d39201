"""Searches that branch differently from step to step, and that stop when the verifier is sure."""

import pytest
import torch
from toy_models import toy_flow, toy_sampler

from vartut import beam_search, diverse_search, greedy_search, particle_search, random_search
from vartut.ledger import Ledger

PROMPT = "a red circle left of a blue square"


def red(images, prompts):
    return images[:, 0].mean((1, 2)) - images[:, 1:].mean((1, 2, 3))


@pytest.fixture(scope="module")
def sampler():
    return toy_sampler()


# ---- schedules ------------------------------------------------------------------------------------------------------


def test_equal_numbers_at_every_step_are_the_plain_beam(sampler):
    plain = beam_search(sampler, PROMPT, red, width=2, candidates=3)
    listed = beam_search(sampler, PROMPT, red, width=[2] * 6, candidates=(3,) * 6)
    assert torch.equal(plain.image, listed.image)
    assert len(plain.tree) == len(listed.tree)
    assert plain.ledger.nfe == listed.ledger.nfe


def test_a_beam_narrows_as_it_is_told(sampler):
    """8 x 1 beginnings, of which 8, 4, 2 and at last 1 stay, each with 1, 2, 3, ... children."""
    result = beam_search(sampler, PROMPT, red, width=[8, 4, 2, 2, 1, 1], candidates=[1, 1, 2, 3, 3, 5])
    nodes = [sum(node.step == step for node in result.tree.nodes) for step in range(1, 7)]
    assert nodes == [8 * 1, 8 * 1, 4 * 2, 2 * 3, 2 * 3, 1 * 5]


def test_one_number_for_each_step_of_branch(sampler):
    result = beam_search(sampler, PROMPT, red, width=2, candidates=[4, 2], branch=[1, 4])
    assert sum(node.finished for node in result.tree.nodes) == 2 * 4 + 2 * 2
    for wrong in ([4], [4, 2, 1], [4, 0], [4, 2.5]):
        with pytest.raises(ValueError, match="candidates"):
            beam_search(sampler, PROMPT, red, width=2, candidates=wrong, branch=[1, 4])


def test_too_many_children_of_a_step_are_refused(sampler):
    with pytest.raises(ValueError, match=r"width x candidates is 6000, more than 4096"):
        beam_search(sampler, PROMPT, red, width=[60] + [1] * 5, candidates=[1, 100, 1, 1, 1, 1])


# ---- sure ----------------------------------------------------------------------------------------------------------

SEARCHES = {
    "random": lambda sampler, **more: random_search(sampler, PROMPT, red, n=24, **more),
    "greedy": lambda sampler, **more: greedy_search(sampler, PROMPT, red, candidates=4, **more),
    "beam": lambda sampler, **more: beam_search(sampler, PROMPT, red, width=2, candidates=3, **more),
    "particles": lambda sampler, **more: particle_search(sampler, PROMPT, red, particles=12, **more),
    "diverse": lambda sampler, **more: diverse_search(sampler, PROMPT, red, **more),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_the_first_picture_that_is_good_enough_ends_the_search(name, sampler):
    search = SEARCHES[name]
    whole = search(sampler)
    seen = [node for node in whole.tree.nodes if node.finished]
    enough = sorted(node.score for node in seen)[len(seen) // 2]
    first = next(node for node in seen if node.score >= enough)
    for rows in (1, 5, 32):
        result = search(sampler, enough=enough, max_rows=rows)
        assert result.score == pytest.approx(first.score, abs=1e-5)
        assert sum(node.finished for node in result.tree.nodes) == seen.index(first) + 1
    assert search(sampler, enough=enough, max_rows=1).ledger.nfe <= whole.ledger.nfe


@pytest.mark.parametrize("name", SEARCHES)
def test_what_is_never_reached_changes_nothing(name, sampler):
    whole, same = (SEARCHES[name](sampler, enough=enough) for enough in (None, 1e9))
    assert torch.equal(whole.image, same.image)
    assert whole.ledger.nfe == same.ledger.nfe


def test_it_saves_what_is_not_painted():
    ledger = Ledger()
    random_search(toy_flow(steps=3), PROMPT, red, n=64, max_rows=2, enough=-1e9, ledger=ledger)
    assert ledger.nfe == 2 * 3, "the first two pictures, in one batch"


@pytest.mark.parametrize("enough", [float("nan"), "1", True, [1]])
def test_enough_is_a_number(enough, sampler):
    with pytest.raises(ValueError, match="enough"):
        random_search(sampler, PROMPT, red, n=2, enough=enough)

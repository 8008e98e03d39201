"""The beam that paints every candidate anew finds what ours finds, and pays what a hand counts."""

import pytest
import torch
from beam_sharing import rerun_beam
from toy_models import toy_sampler

from vartut import beam_search
from vartut.ledger import Ledger

PROMPT = "a red circle left of a blue square"


def red(images, prompts):
    return images[:, 0].mean((1, 2)) - images[:, 1:].mean((1, 2, 3))


@pytest.mark.parametrize(("width", "candidates", "max_rows"), [(1, 3, 32), (2, 2, 32), (3, 2, 4)])
def test_both_beams_find_the_same_picture(width, candidates, max_rows):
    sampler, ours, theirs = toy_sampler(), Ledger(), Ledger()
    found = beam_search(sampler, PROMPT, red, width, candidates, seed=4, ledger=ours)
    score, image = rerun_beam(sampler, PROMPT, red, width, candidates, 4, theirs, max_rows)
    assert score == pytest.approx(found.score, abs=1e-5)
    torch.testing.assert_close(image, found.image, atol=1e-4, rtol=0)
    assert ours.nfe == 1 + width * candidates * 6 * 5 // 2
    assert theirs.nfe == width * candidates * 6 * 6

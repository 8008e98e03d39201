"""The transformer in half precision: what changes, what does not, what is refused."""

import pytest
import torch
from contract import finish
from parity import cases
from toy_models import toy_sampler

import vartut

PROMPTS = ["a red circle", "a red circle left of a blue square"]
HALF = [torch.bfloat16, torch.float16]


def cache_bytes(sampler) -> int:
    ledger = vartut.Ledger()
    finish(sampler, sampler.begin(PROMPTS, 0, ledger))
    return ledger.total("cache_bytes")


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("bitwise", [False, True])
def test_the_first_scale_is_that_of_float32_up_to_rounding(bitwise, dtype):
    """All rows stand at the same inputs there; later ones differ as soon as one token does."""
    sampler = toy_sampler(bitwise)
    states = [s.expand(s.begin(PROMPTS, 0)) for s in (sampler, sampler.tuned(dtype=dtype))]
    logits = [state.cells[0].parent.result.logits for state in states]
    assert logits[1].dtype == torch.float32
    assert not torch.equal(*logits)
    torch.testing.assert_close(logits[1], logits[0], atol=0.05, rtol=0.05)


def test_going_back_gives_the_very_pictures():
    """The trained weights are kept: rounding is not for ever."""
    sampler = toy_sampler()
    back = sampler.tuned(dtype=torch.bfloat16).tuned(dtype=torch.float32)
    assert back.transformer is sampler.transformer
    pictures = [s.preview(finish(s, s.begin(PROMPTS, 0))) for s in (sampler, back)]
    assert torch.equal(*pictures)


def test_the_other_settings_stay():
    sampler = toy_sampler(temperature=0.7)
    half = sampler.tuned(dtype=torch.bfloat16)
    assert (half.temperature, half.dtype) == (sampler.temperature, torch.bfloat16)
    warm = half.tuned(temperature=0.9)
    assert warm.dtype == torch.bfloat16
    assert warm.transformer is half.transformer


@pytest.mark.parametrize("dtype", HALF)
def test_keys_and_values_take_half_the_memory(dtype):
    sampler = toy_sampler()
    assert 2 * cache_bytes(sampler.tuned(dtype=dtype)) == cache_bytes(sampler)


@pytest.mark.parametrize("dtype", HALF)
def test_a_search_runs(dtype):
    sampler = toy_sampler().tuned(dtype=dtype)

    def redness(images, prompts):
        return images[:, 0].mean((1, 2))

    result = vartut.beam_search(sampler, PROMPTS[1], redness, width=2, candidates=2, seed=0)
    assert result.image.dtype == torch.float32
    assert torch.isfinite(result.image).all()


def test_states_of_another_precision_are_refused():
    sampler = toy_sampler()
    state = sampler.expand(sampler.begin(PROMPTS, 0))
    with pytest.raises(ValueError, match=r"made in torch.float32: begin anew with the sampler in torch.bfloat16"):
        sampler.tuned(dtype=torch.bfloat16).expand(state)


@pytest.mark.parametrize("wrong", ["bfloat16", torch.int8, 16, None])
def test_what_is_no_precision_is_answered_with_those_there_are(wrong):
    with pytest.raises(ValueError, match=r"dtype is one of torch.float32, torch.bfloat16, torch.float16; got"):
        toy_sampler().tuned(dtype=wrong)


def test_load_takes_it():
    assert vartut.load("tiny", dtype=torch.bfloat16).dtype == torch.bfloat16
    assert vartut.load("tiny").dtype == torch.float32


@pytest.mark.parametrize("case", ["var_a", "infinity_a"])
def test_the_published_models_take_it_too(case):
    sampler, prompts = cases.sampler(case), cases.PROMPTS[case]
    half = sampler.tuned(dtype=torch.bfloat16)
    assert torch.isfinite(half.preview(finish(half, half.begin(prompts, 0)))).all()
    with pytest.raises(ValueError, match="begin anew"):
        half.expand(sampler.begin(prompts, 0))


def test_states_of_another_precision_are_refused_where_their_pass_has_run():
    sampler = toy_sampler()
    state = sampler.begin(PROMPTS, 0)
    for _ in range(sampler.num_steps):
        after = sampler.expand(state)  # its pass is remembered now
        with pytest.raises(ValueError, match=r"begin anew with the sampler in torch\.bfloat16"):
            sampler.tuned(dtype=torch.bfloat16).expand(state)
        state = after

"""The ledger: FLOPs against torch's counter, and that it only grows."""

import copy
import pickle

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from toy_models import toy_sampler, toy_transformer

from vartut.hub import read_prompts
from vartut.ledger import NUMBERS, Ledger
from vartut.models.next_scale import NextScaleSampler
from vartut.models.tokenizer import SCALES, Tokenizer
from vartut.world import MAX_WORDS, token_ids


def counted(run) -> int:
    """FLOPs of `run()` by torch's counter, which takes the fused attention kernels of a CPU for zero."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@pytest.fixture(scope="module", params=["codebook", "bits"])
def sampler(request):
    """The shipped size, since what is left out of the formulas weighs more in a toy."""
    tokenizer = Tokenizer(request.param)
    return NextScaleSampler(tokenizer, toy_transformer(tokenizer, 192, 8, 4), read_prompts)


@pytest.mark.parametrize("k", range(6))
def test_flops_of_every_scale(sampler, k):
    model, rows, new = sampler.transformer, 3, SCALES[k] ** 2
    past = MAX_WORDS + sum(n * n for n in SCALES[:k])
    kv = torch.randn(model.depth, 2, rows, model.heads, past, model.width // model.heads)
    shrunk = torch.randn(rows, new, sampler.tokenizer.channels) if k else None
    truth = counted(lambda: model.step(k, shrunk, [kv]))
    assert rows * model.pass_flops(k) == pytest.approx(truth, rel=0.01)


def test_flops_of_text_and_decoder(sampler):
    model, tokenizer = sampler.transformer, sampler.tokenizer
    truth = counted(lambda: model.encode_text(token_ids(["a star", "a ring"])))
    assert 2 * model.pass_flops(None) == pytest.approx(truth, rel=0.01)
    truth = counted(lambda: tokenizer.decode(tokenizer.empty(4)))
    assert 4 * tokenizer.decode_flops() == pytest.approx(truth, rel=0.01)


def test_flops_of_whole_pictures(sampler):
    ledger = Ledger()

    def run():
        state = sampler.expand(sampler.begin(["a star", "a ring"], 0, ledger), 2)
        while state.step < sampler.num_steps:
            state = sampler.expand(state)
        sampler.preview(state)

    truth = counted(run)
    assert ledger.total("flops") == pytest.approx(truth, rel=0.01)


def test_ledger_only_grows():
    ledger = Ledger()
    ledger.add("verifier", calls=2, seconds=0.5)
    before = ledger.entries
    with pytest.raises(ValueError, match="only grows"):
        ledger.add("verifier", calls=-1)
    with pytest.raises(AttributeError):
        ledger.entries[0].calls = 5
    with pytest.raises(AttributeError):
        ledger.entries = ()
    assert ledger.entries == before
    ledger.add("decoder", flops=10)
    assert ledger.entries[:1] == before
    assert len(before) == 1


def test_what_fails_costs_nothing():
    ledger = Ledger()
    with pytest.raises(ZeroDivisionError), ledger.timed("decoder", calls=1):
        _ = 1 / 0
    assert ledger.entries == ()
    with ledger.timed("decoder", calls=1):
        sum(range(100_000))
    assert ledger.total("seconds") > 0


def test_phases_nest_and_end():
    ledger = Ledger()

    def fail():
        with ledger.phase("preview"):
            ledger.add("decoder", calls=3)
            raise ArithmeticError

    with ledger.phase("rollout"):
        ledger.add("transformer", nfe=2)
        with pytest.raises(ArithmeticError):
            fail()
        ledger.add("transformer", nfe=4)
    ledger.add("transformer", nfe=1)
    assert [e.phase for e in ledger.entries] == ["rollout", "preview", "rollout", "search"]
    assert ledger.total("nfe", phase="rollout") == 6
    assert ledger.total("calls", phase="preview") == 3
    assert ledger.total("nfe", "transformer") == ledger.nfe == 7
    with pytest.raises(ValueError, match='unknown currency "joules"'):
        ledger.total("joules")


def test_the_table_sums_to_the_total():
    sampler = toy_sampler(guidance=2.0)
    state = sampler.expand(sampler.begin(["a star", "a ring"], 0), 3)
    with state.ledger.phase("rollout"):
        while state.step < sampler.num_steps:
            state = sampler.expand(state)
    with state.ledger.phase("verify"):
        sampler.preview(state)
    ledger, table = state.ledger, state.ledger.table()
    for currency in NUMBERS:
        assert sum(row[currency] for row in table) == pytest.approx(ledger.total(currency))
    assert ledger.nfe == 2 + 6 * 5
    assert ledger.paper_nfe == 6 * 6  # every child at every step, nothing shared
    assert ledger.total("tokens", "transformer") == 2 * 1 + 6 * 129
    assert ledger.total("calls", "decoder") == 6
    text = str(ledger)
    assert "the paper's convention counts 36 NFE" in text
    assert text.count("\n") == len(table) + 3
    assert "MiB of keys, values and logits" in text


def test_whoever_triggers_a_pass_pays_once():
    sampler, first, second = toy_sampler(), Ledger(), Ledger()
    state = sampler.begin("a star", 0, first)
    sampler.expand(state, 4)
    again = sampler.begin("a star", 0, second)
    sampler.expand(again, 2)
    sampler.expand(state, 4)
    assert (first.nfe, second.nfe) == (1, 1)


def test_peak_bytes_are_the_most_held_at_one_time():
    class Thing:
        pass

    ledger, first, second = Ledger(), Thing(), Thing()
    ledger.hold(first, 10)
    ledger.hold(second, 5)
    del first
    ledger.hold(third := Thing(), 4)
    assert ledger.peak_bytes == 15
    ledger.hold(fourth := Thing(), 8)
    assert ledger.peak_bytes == 17
    del second, third, fourth
    assert ledger.peak_bytes == 17, "what is gone was there"
    assert "at most 0.0 MiB" in str(ledger)
    assert "MiB" not in str(Ledger())


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda ledger: pickle.loads(pickle.dumps(ledger))])
def test_a_copy_goes_its_own_way_and_holds_nothing(duplicate):
    class Thing:
        pass

    ledger, thing = Ledger(), Thing()
    ledger.add("transformer", nfe=3)
    ledger.hold(thing, 10)
    other = duplicate(ledger)
    other.add("transformer", nfe=1)
    assert (ledger.nfe, other.nfe) == (3, 4)
    del thing
    own = Thing()
    other.hold(own, 4)
    assert other.peak_bytes == 10, "what the original held is gone"
    ledger.hold(own, 12)
    assert (ledger.peak_bytes, other.peak_bytes) == (12, 10)

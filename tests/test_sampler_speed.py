"""The benchmark of the painter's speed: its limit is made of the very products that the ledger counts."""

import sys

import pytest
import torch
from notebook_sources import ROOT
from toy_models import toy_sampler

from vartut.ledger import Ledger


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import sampler_speed

    yield sampler_speed
    for name in ("sampler_speed", "speed"):
        sys.modules.pop(name)


def test_the_products_of_the_limit_are_those_of_painting(speed):
    sampler, ledger, batch = toy_sampler(guidance=2.0), Ledger(), 3
    state = sampler.begin(["a star"] * batch, 0, ledger)
    while state.step < sampler.num_steps:
        state = sampler.expand(state)
    model = sampler.transformer
    read_in = 2 * 2 * batch * sum(n * n for n in sampler.tokenizer.scales[1:]) * model.input.weight.numel()
    pairs = speed.products(model, 2 * batch)
    assert sum(2 * a.numel() * b.shape[-1] for a, b in pairs) + read_in == ledger.total("flops")


def test_the_shares_of_a_profile_add_up(speed):
    a = torch.randn(64, 64)
    shares = speed.account(lambda: speed.multiply([(a, a)] * 20))
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["mm"] == max(shares.values())

"""Pictures to learn from: painted once, the same again, and refused where damaged; what learnt from them is loaded."""

import pytest
import torch
from toy_models import toy_sampler

from vartut import world
from vartut.hub import load_verifier
from vartut.training import samples
from vartut.verifiers import reward, vqa
from vartut.weights import save_weights

CPU = torch.device("cpu")
ASKED = ["a star", "two red rings and a blue cross"]


@pytest.fixture
def toys(monkeypatch):
    """Toy generators in the place of nano and tiny, and two prompts."""
    monkeypatch.setattr(samples.hub, "load", lambda name: toy_sampler(guidance=1.0))
    monkeypatch.setattr(samples, "prompts", lambda: iter(ASKED))
    monkeypatch.setattr(samples, "EACH", 2)


def test_samples_are_painted_once_with_the_judges_word(toys, tmp_path, monkeypatch):
    found = samples.sampled(2, tmp_path / "samples")
    assert found.prompts == ASKED
    assert found.tokens.shape == (2, 4, 130)
    sampler = toy_sampler(guidance=1.0)
    lengths = [n * n for n in sampler.tokenizer.scales]
    for p, prompt in enumerate(ASKED):
        images = sampler.tokenizer.preview(list(found.tokens[p].long().split(lengths, 1)))
        verdicts = world.judge(images, [prompt] * 4)
        torch.testing.assert_close(found.grades[p], torch.tensor([v.grade for v in verdicts]))
        for g, verdict in enumerate(verdicts):
            assert [o.color for o in found.things(p, g)] == [o.color for o in verdict.found[: samples.MOST]]
    monkeypatch.setattr(samples, "painted", None)  # would fail: nothing is painted twice
    again = samples.sampled(2, tmp_path / "samples")
    assert torch.equal(again.tokens, found.tokens)
    [path] = (tmp_path / "samples").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="damaged: remove it"):
        samples.sampled(2, tmp_path / "samples")


def test_other_prompts_are_other_samples(toys, tmp_path, monkeypatch):
    samples.sampled(2, tmp_path)
    monkeypatch.setattr(samples, "prompts", lambda: iter(ASKED[::-1]))
    assert samples.sampled(2, tmp_path).prompts == ASKED[::-1]
    assert len(list(tmp_path.iterdir())) == 2


def test_the_prompts_that_verifiers_learn_from_are_none_of_those_tested():
    first = [prompt for prompt, _ in zip(samples.prompts(), range(60))]
    assert len(set(first)) == 60
    assert not set(first) & samples.tested()
    assert not any(world.held_out(world.parse(prompt)) for prompt in first)


@pytest.mark.parametrize("name", ["reward", "vqa", "vqa-clean"])
def test_weights_of_learned_verifiers_are_loaded_by_name(name, tmp_path):
    torch.manual_seed(0)
    sizes = reward.SIZES if name == "reward" else vqa.SIZES
    model = reward.RewardModel(**sizes) if name == "reward" else vqa.build(**sizes)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.1)
    save_weights(model, name, sizes, {}, tmp_path)
    kind = reward.RewardScore if name == "reward" else vqa.VqaScore
    pictures = world.render(world.sample("complex", 3, "validation"))
    wanted = kind(name, model.half().float())(pictures, "a red star above a blue ring")
    found = load_verifier(name, tmp_path, CPU)
    assert found.name == name
    torch.testing.assert_close(found(pictures, "a red star above a blue ring"), wanted)

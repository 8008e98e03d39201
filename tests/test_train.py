"""The training loop: exact resume after a kill, its schedule, its checkpoints."""

import itertools
import json

import pytest
import torch
from safetensors.torch import load_file
from toy_models import toy_tokenizer, toy_transformer

from vartut.training.loop import WARMUP, learning_rate, train
from vartut.training.recipes import TokenizerRecipe, TransformerRecipe

CPU = torch.device("cpu")


def recipe_of(kind, seed=0):
    """A fresh toy recipe; the same each time."""
    torch.manual_seed(seed)
    if kind == "transformer":
        tokenizer = toy_tokenizer()
        model = toy_transformer(tokenizer)
        recipe = TransformerRecipe(model, tokenizer, CPU, seed, batch=4)
    else:
        recipe = TokenizerRecipe(toy_tokenizer(kind == "bits").train(), CPU, seed, batch=4)
    recipe.evaluate = dict  # what the evaluation says is tested elsewhere
    return recipe


def killed_at(recipe, step):
    """The same recipe, interrupted before the loss of this step."""
    loss = recipe.loss

    def until(s):
        if s == step:
            raise KeyboardInterrupt
        return loss(s)

    recipe.loss = until
    return recipe


CHECKPOINT, PARTIAL = "tokenizer-bits.checkpoint.safetensors", "tokenizer-bits.checkpoint.partial"


def quietly(_):
    """No log."""


@pytest.mark.parametrize("kind", ["transformer", "codebook", "bits"])
def test_a_killed_run_resumes_exactly(kind, tmp_path):
    train(recipe_of(kind), 12, tmp_path / "whole", log=quietly)
    with pytest.raises(KeyboardInterrupt):
        train(killed_at(recipe_of(kind), 6), 12, tmp_path / "killed", save_minutes=0, log=quietly)
    train(recipe_of(kind), 12, tmp_path / "killed", log=quietly)
    whole, resumed = (load_file(next((tmp_path / name).glob("*.safetensors"))) for name in ("whole", "killed"))
    assert set(whole) == set(resumed)
    assert any("optimizer.0" in name for name in whole)
    for name in whole:
        assert torch.equal(whole[name], resumed[name]), f"{name} differs after the resume"


def test_a_kill_between_checkpoints_repeats_the_lost_steps(tmp_path):
    train(recipe_of("bits"), 8, tmp_path / "whole", log=quietly)
    with pytest.raises(KeyboardInterrupt):  # nothing was saved yet
        train(killed_at(recipe_of("bits"), 3), 8, tmp_path / "killed", save_minutes=100, log=quietly)
    assert not (tmp_path / "killed" / CHECKPOINT).exists()
    train(recipe_of("bits"), 8, tmp_path / "killed", log=quietly)
    whole, resumed = (load_file(tmp_path / name / CHECKPOINT) for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_half_written_checkpoint_leaves_the_old_one(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(killed_at(recipe_of("bits"), 4), 8, tmp_path, save_minutes=0, log=quietly)
    saved = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / PARTIAL).write_bytes(saved[: len(saved) // 2])  # killed while it wrote the next one
    seen, recipe = [], recipe_of("bits")
    loss = recipe.loss
    recipe.loss = lambda step: seen.append(step) or loss(step)
    train(recipe, 8, tmp_path, log=quietly)
    assert seen == [4, 5, 6, 7]


def test_a_finished_run_is_not_run_again(tmp_path):
    train(recipe_of("bits"), 3, tmp_path, log=quietly)
    before = (tmp_path / CHECKPOINT).read_bytes()
    train(killed_at(recipe_of("bits"), 0), 3, tmp_path, log=quietly)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    train(recipe_of("bits"), 2, tmp_path, log=quietly)
    for steps, seed, what in ((3, 0, "steps"), (2, 1, "seed")):
        with pytest.raises(ValueError, match=rf"of another run \({what}.*--folder") as caught:
            train(recipe_of("bits"), steps, tmp_path, seed, log=quietly)
        assert "\n" not in str(caught.value)


def test_runs_of_several_recipes_share_a_folder(tmp_path):
    for kind in ("codebook", "bits", "transformer"):
        train(recipe_of(kind), 2, tmp_path, log=quietly)
    names = ("tokenizer", "tokenizer-bits", "transformer")
    assert {p.name for p in tmp_path.iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("checkpoint.safetensors", "log.jsonl")
    }


def test_a_damaged_checkpoint_is_refused_in_a_line(tmp_path):
    train(recipe_of("bits"), 2, tmp_path, log=quietly)
    path = tmp_path / CHECKPOINT
    for damaged in (path.read_bytes()[:5000], b"", b"x" * 100):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged: remove it") as caught:
            train(recipe_of("bits"), 2, tmp_path, log=quietly)
        assert "\n" not in str(caught.value)


def test_no_steps_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one step"):
        train(recipe_of("bits"), 0, tmp_path, log=quietly)


def test_the_learning_rate_warms_up_stays_and_falls():
    steps = 2000
    rates = [learning_rate(step, steps) for step in range(steps)]
    assert rates[0] == 1 / WARMUP
    assert rates[WARMUP // 2 - 1] == 0.5
    assert set(rates[WARMUP:1500]) == {1.0}
    assert rates[1750] == 0.5  # the middle of the last quarter
    assert rates[-1] == 1 / 500
    assert all(b < a for a, b in itertools.pairwise(rates[1500:]))
    assert all(0 < learning_rate(step, n) <= 1 for n in (1, 2, 7, 150) for step in range(n))


def test_the_rate_reaches_the_optimizers_as_a_share_of_their_own(tmp_path):
    recipe, seen = recipe_of("transformer"), []
    peaks = [group["lr"] for optimizer in recipe.optimizers for group in optimizer.param_groups]
    loss = recipe.loss

    def spy(step):
        seen.append([group["lr"] for optimizer in recipe.optimizers for group in optimizer.param_groups])
        return loss(step)

    recipe.loss = spy
    train(recipe, 4, tmp_path, log=quietly)
    for step, rates in enumerate(seen):
        assert rates == pytest.approx([peak * learning_rate(step, 4) for peak in peaks])


def test_training_learns_and_logs(tmp_path):
    recipe, lines = recipe_of("transformer"), []
    recipe.optimizers[1].param_groups[0]["lr"] = 0.05
    train(recipe, 40, tmp_path, log=lines.append)
    rows = [json.loads(line) for line in (tmp_path / "transformer.log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 39]
    assert set(rows[0]) == {"step", "loss", *(f"scale{k}" for k in range(6))}
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.2
    assert "minutes" in json.loads(lines[0])


def test_evaluations_are_the_same_each_time():
    recipe = recipe_of("transformer")
    first = TransformerRecipe.evaluate(recipe)
    assert first == TransformerRecipe.evaluate(recipe)
    assert first["loss"] == pytest.approx(torch.tensor(32.0).log().item(), abs=0.1)  # nothing learned yet

"""The training loop: exact resume after a kill, its schedule, its checkpoints."""

import concurrent.futures
import errno
import itertools
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from toy_models import toy_flow, toy_tokenizer, toy_transformer

from vartut import world
from vartut.training import build
from vartut.training.flows import FlowRecipe
from vartut.training.loop import WARMUP, learning_rate, train
from vartut.training.recipes import TokenizerRecipe, TransformerRecipe, any_texture, generator, scenes_of

CPU = torch.device("cpu")


def recipe_of(kind, seed=0):
    """A fresh toy recipe; the same each time."""
    torch.manual_seed(seed)
    if kind == "transformer":
        tokenizer = toy_tokenizer()
        model = toy_transformer(tokenizer)
        recipe = TransformerRecipe(model, tokenizer, CPU, seed, batch=4)
    elif kind == "flow":
        toy = toy_flow()
        recipe = FlowRecipe(toy.transformer, toy.tokenizer, CPU, seed, batch=4)
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


CHECKPOINT, LOG = "tokenizer-bits.checkpoint.safetensors", "tokenizer-bits.log.jsonl"


def quietly(_):
    """No log."""


@pytest.mark.parametrize("kind", ["transformer", "codebook", "bits", "flow"])
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
    (tmp_path / ".0123.partial").write_bytes(saved[: len(saved) // 2])  # killed while it wrote the next one
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


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"batch": 5}, "batch 4, not 5"),
        ({"lr": 1e-3}, r"learning rate \[\[0\.0015\]\], not \[\[0\.001\]\]"),
        ({"batch": 5, "lr": 1e-3}, "batch 4, not 5, learning rate"),
        ({"about": {"start": "abc"}}, "start xyz, not abc"),
        ({"about": {"start": "xyz", "width": 8}}, "width unknown, not 8"),
    ],
)
def test_another_batch_rate_or_start_does_not_resume(change, what, tmp_path):
    train(recipe_of("bits"), 2, tmp_path, log=quietly, about={"start": "xyz"})
    before = (tmp_path / CHECKPOINT).read_bytes()
    about = {"start": "xyz"} | change.pop("about", {})
    recipe = TokenizerRecipe(toy_tokenizer(True).train(), CPU, **{"batch": 4} | change)
    with pytest.raises(ValueError, match=rf"of another run \({what}.*--folder") as caught:
        train(recipe, 2, tmp_path, log=quietly, about=about)
    assert "\n" not in str(caught.value)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_the_log_has_no_step_twice_after_a_kill(tmp_path, monkeypatch):
    """Killed after a step was logged and before the next checkpoint; the last line is cut short."""
    train(recipe_of("bits"), 52, tmp_path / "whole", log=quietly)
    ticks = iter([0.0] * 4 + [1000.0] + [1000.1] * 1000)  # so one checkpoint is saved after few steps, and no other
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    with pytest.raises(KeyboardInterrupt):
        train(killed_at(recipe_of("bits"), 51), 52, tmp_path / "killed", log=quietly)
    monkeypatch.undo()
    log = tmp_path / "killed" / LOG
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [0, 50], "one more than is saved"
    with safe_open(tmp_path / "killed" / CHECKPOINT, "pt") as file:
        assert 0 < int(file.metadata()["step"]) < 50
    with log.open("a") as file:
        file.write('{"step": 1')
    train(recipe_of("bits"), 52, tmp_path / "killed", log=quietly)
    assert log.read_text() == (tmp_path / "whole" / LOG).read_text()


def test_a_run_that_starts_anew_has_a_log_of_its_own(tmp_path):
    train(recipe_of("bits"), 3, tmp_path, log=quietly)
    (tmp_path / CHECKPOINT).unlink()
    train(recipe_of("bits"), 2, tmp_path, log=quietly)
    assert [json.loads(line)["step"] for line in (tmp_path / LOG).read_text().splitlines()] == [0, 1]


def test_signals_do_what_they_did_once_a_run_is_over(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train(recipe_of("bits"), 1, tmp_path, log=quietly)
    with pytest.raises(KeyboardInterrupt):
        train(killed_at(recipe_of("bits"), 0), 1, tmp_path / "killed", log=quietly)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_stop_is_an_interrupt_that_says_what_is_saved(tmp_path):
    """As the stop button of a notebook: a signal to this process itself, in the middle of a step."""
    recipe, seen = recipe_of("bits"), []
    loss = recipe.loss

    def stopped(step):
        seen.append(step)
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(step)

    recipe.loss = stopped
    with pytest.raises(KeyboardInterrupt, match="stopped after 3 of 9 steps, saved in ") as caught:
        train(recipe, 9, tmp_path, log=quietly)
    assert caught.value.signal == signal.SIGTERM
    assert seen == [0, 1, 2], "the step under way is finished"
    with safe_open(tmp_path / CHECKPOINT, "pt") as file:
        assert file.metadata()["step"] == "3"


def test_a_run_may_be_in_a_thread(tmp_path):
    """Where no signals arrive, and Python refuses to ask for them."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(train, recipe_of("bits"), 1, tmp_path, log=quietly).result()
    assert (tmp_path / CHECKPOINT).exists()


def test_two_runs_in_one_folder_need_two_recipes(tmp_path):
    recipe = recipe_of("bits")
    loss = recipe.loss

    def second(step):
        if step == 1:
            with pytest.raises(ValueError, match=r"^tokenizer-bits is being trained in .* already: wait .*--folder$"):
                train(recipe_of("bits"), 3, tmp_path, log=quietly)
            train(recipe_of("codebook"), 1, tmp_path, log=quietly)
        return loss(step)

    recipe.loss = second
    train(recipe, 3, tmp_path, log=quietly)
    train(recipe_of("bits"), 3, tmp_path, log=quietly)  # and free again


@pytest.mark.parametrize("full", ["log.jsonl", "checkpoint.safetensors"])
def test_a_full_disk_names_the_file_and_leaves_the_old_checkpoint(full, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        train(killed_at(recipe_of("bits"), 4), 8, tmp_path, save_minutes=0, log=quietly)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write = Path.write_bytes

    def no_room(path, content):
        write(path, content[:10])
        if (b'{"step"' in content[:10]) == (full == "log.jsonl"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(Path, "write_bytes", no_room)
    with pytest.raises(OSError, match=rf"the disk is full: make room, and run it again: '.*/tokenizer-bits\.{full}'"):
        train(recipe_of("bits"), 8, tmp_path, log=quietly)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after.keys() == before.keys()
    assert after[CHECKPOINT] == before[CHECKPOINT]


def test_runs_of_several_recipes_share_a_folder(tmp_path):
    for kind in ("codebook", "bits", "transformer"):
        train(recipe_of(kind), 2, tmp_path, log=quietly)
    names = ("tokenizer", "tokenizer-bits", "transformer")
    assert {p.name for p in tmp_path.iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("checkpoint.safetensors", "log.jsonl", "lock")
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


def test_weights_of_shorter_prompts_start_a_model_of_longer_ones():
    tokenizer = toy_tokenizer()
    known = toy_transformer(tokenizer, words=16)
    model = toy_transformer(tokenizer, words=32)
    fresh = model.word_place.detach().clone()
    model.load_state_dict(build.with_more_words(known.state_dict(), model))
    assert torch.equal(model.word_place[:16], known.word_place)
    assert torch.equal(model.word_place[16:], fresh[16:])
    assert torch.equal(model.head.weight, known.head.weight)
    longer = toy_transformer(tokenizer, words=32).state_dict()
    assert build.with_more_words(longer, known) is longer, "what is longer already stays, and does not fit"


def test_a_tokenizer_sees_every_texture_on_every_shape_and_nothing_else_is_changed():
    scenes = scenes_of(0, 400, seed=3, dense=200)
    again = any_texture(scenes, generator(3, 0))
    assert again == any_texture(scenes, generator(3, 0)) != any_texture(scenes, generator(3, 1))
    kind = lambda o: (o.shape, o.color, o.size, o.x, o.y, o.texture == "solid")  # noqa: E731
    assert [[kind(o) for o in s.objects] for s in again] == [[kind(o) for o in s.objects] for s in scenes]
    before, after = ({(o.shape, o.texture) for s in some for o in s.objects} for some in (scenes, again))
    assert after - before == world.HELD_OUT_TEXTURES
    assert len(after) == len(world.SHAPES) * len(world.TEXTURES)


def test_the_dense_share_of_a_batch():
    assert [s.task == "dense" for s in scenes_of(2, 8, seed=0, dense=3)] == [False] * 5 + [True] * 3
    recipe = TokenizerRecipe(toy_tokenizer().train(), CPU, batch=10, dense=build.DENSE_PICTURES)
    assert recipe.dense == 5

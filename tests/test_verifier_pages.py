"""What notebook 05 reads besides the tables: changed words, clean renders only, pictures chosen by rule."""

import json
from collections import Counter

import clean_only
import hard_negatives
import numpy as np
import pytest
import rounds
import torch
import verifier_pictures
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors
from toy_models import toy_tokenizer

import vartut
from vartut import world
from vartut.course.stored import Stored, album, painted, stored
from vartut.paths import data_folder
from vartut.world.negatives import holds


def test_a_stage_of_the_short_tasks_asks_every_prompt_once_and_none_that_reward_learned_from():
    asked = rounds.prompts_of("tasks", "nano")
    prompts = [prompt for _, prompt, _ in asked]
    assert len(set(prompts)) == len(prompts) > 300
    assert set(Counter(task for task, _, _ in asked)) == set(rounds.TASKS)
    assert set(prompts) <= vartut.training.samples.tested()


def test_false_prompts_are_false_and_short_enough_for_all():
    scenes = hard_negatives.scenes_of(40)
    against = hard_negatives.contests(scenes)
    assert {kind for _, kind, _ in against} == set(hard_negatives.KINDS)
    assert len({(i, kind) for i, kind, _ in against}) == len(against), "one of a kind for each scene"
    assert not any(holds(world.parse(text), scenes[i].objects) for i, _, text in against)
    assert max(len(world.words(scene.prompt)) for scene in scenes) <= hard_negatives.LONGEST


def test_shares_are_counted_by_kind_and_ties_count_half():
    scenes = hard_negatives.scenes_of(20)
    images, true = world.render(scenes), {scene.prompt for scene in scenes}
    knows = lambda images, prompts: torch.tensor([float(p in true) for p in prompts])  # noqa: E731
    asleep = lambda images, prompts: torch.zeros(len(images))  # noqa: E731
    rows = hard_negatives.table({"knows": knows, "asleep": asleep}, {"renders": images}, scenes)
    shares = {(row["verifier"], row["kind"]): row["share"] for row in rows}
    against = hard_negatives.contests(scenes)
    own = [float(text not in true) + 0.5 * (text in true) for _, _, text in against]
    assert shares["knows", "all"] == pytest.approx(np.mean(own), abs=1e-4)
    assert {share for (name, _), share in shares.items() if name == "asleep"} == {0.5}
    counts = Counter(kind for _, kind, _ in against)
    assert all(row["n"] == (counts[row["kind"]] if row["kind"] != "all" else len(against)) for row in rows)
    assert all(row["low"] <= row["share"] <= row["high"] for row in rows)


def test_right_answers_are_those_that_are_true_of_the_objects():
    """The shipped reasoner on clean renders is mostly right, and not about the objects of another picture."""
    verifier = vartut.load_verifier("vqa")
    scenes = world.sample("all", 64, "validation")
    things = [scene.objects for scene in scenes]
    shares = clean_only.right_answers(verifier, world.render(scenes), things)
    assert len(shares) == 64
    assert np.mean(shares) > 0.85
    moved = clean_only.right_answers(verifier, world.render(scenes), things[1:] + things[:1])
    assert np.mean(moved) < np.mean(shares) - 0.1


def test_shown_prompts_are_the_first_that_fit_the_rule_and_favourites_are_wrong():
    n, names = rounds.ROUND, verifier_pictures.LEARNED
    right = np.zeros((4, n), bool)
    right[:3, :10] = True  # the last has none that is right
    scores = {name: np.zeros((4, n)) for name in names}
    for k, name in enumerate(names):
        scores[name][1, 20 + k] = scores[name][2, 30 + k] = 1  # five different favourites, all wrong
        scores[name][0, 3] = scores[name][3, 5] = 1  # one favourite of all, right for the first prompt
    store = Stored(("a", "b", "c", "d"), right, scores, 4)
    assert verifier_pictures.shown(store, ["x", "x", "x", "y"]) == [1]
    assert verifier_pictures.fooled(store, "clip") == [(1, 20), (2, 30)]
    assert verifier_pictures.fooled(store, "vqa") == [(1, 24), (2, 34)]


def test_an_album_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setenv("VARTUT_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"benchmarks/verifier_pictures\.py"):
        album()
    tokenizer, images = toy_tokenizer(), torch.rand(3, 3, 64, 64)
    tokens = torch.cat(tokenizer.encode(images), 1).to(torch.int16)
    about = {"shown": json.dumps(["a star"]), "fooled": json.dumps([{"verifier": "clip"}])}
    path = data_folder() / "results" / "verifier_pictures.safetensors"
    path.parent.mkdir(parents=True)
    save_tensors({"shown": tokens[None, :2].contiguous(), "fooled": tokens[2:].contiguous()}, path, about)
    found = album()
    assert (found.prompts, found.favourites) == (["a star"], [{"verifier": "clip"}])
    again = painted(tokenizer, torch.cat([found.shown[0], found.fooled]))
    torch.testing.assert_close(again, tokenizer.preview(tokenizer.encode(images)))


def test_scores_of_all_verifiers_stand_beside_what_was_judged(tmp_path, monkeypatch):
    monkeypatch.setenv("VARTUT_DATA", str(tmp_path))
    results, about = data_folder() / "results", {"prompts": "a star\na ring\na star"}
    for folder, names, n in (
        ("curves", ("correct", "oracle", "clip-hard"), 4),
        ("verifier_scores", ("vqa", "clip-hard"), 2),
    ):
        (results / folder).mkdir(parents=True)
        values = {name: np.full((3, n), k, np.float32) for k, name in enumerate(names)}
        save_file(values, results / folder / "toy-hard.safetensors", about)
    assert set(stored("toy", "hard").scores) == {"oracle", "clip-hard"}
    found = stored("toy", "hard", learned=True)
    assert set(found.scores) == {"oracle", "clip-hard", "vqa"}
    assert {values.shape for values in found.scores.values()} == {found.right.shape} == {(2, 2)}
    assert float(found.scores["clip-hard"][0, 0]) == 2, "of the pictures that were judged"
    save_file(values, results / "verifier_scores" / "toy-hard.safetensors", {"prompts": "a star\na ring\na heart"})
    with pytest.raises(ValueError, match="other prompts"):
        stored("toy", "hard", learned=True)

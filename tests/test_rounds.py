"""Pictures that benchmarks paint once and score: which ones, what is kept of them, and the table of best-of-n."""

import subprocess
import sys

import curves
import numpy as np
import pytest
import rounds
import torch
import verifier_scores
from notebook_sources import ROOT
from safetensors.numpy import load_file, save_file
from toy_models import toy_tokenizer, toy_transformer

import vartut
from vartut import weights
from vartut.course.stored import stored
from vartut.hub import read_prompts
from vartut.models.next_scale import NextScaleSampler
from vartut.paths import data_folder

NAMES = curves.VERIFIERS


def test_it_paints_what_a_random_search_sees():
    sampler, verifier = vartut.load("tiny"), vartut.load_verifier("clip")
    _, prompt, seed = rounds.prompts_of("short", "tiny")[9]
    scores = verifier(sampler.preview(rounds.painted(sampler, prompt, seed, 0))[:3], prompt)
    assert scores.max().item() == pytest.approx(vartut.random_search(sampler, prompt, verifier, n=3, seed=seed).score)


def test_the_prompts_of_a_stage():
    assert len(rounds.prompts_of("short", "tiny")) == 64
    dense = rounds.prompts_of("dense", "tiny")
    assert len(dense) == 20 * 12
    assert [vartut.world.parse(prompt).facts for _, prompt, _ in dense] == [3 + i // 20 for i in range(240)]
    assert len({seed for _, _, seed in dense}) == 240


def test_only_rounds_that_all_prompts_have_are_in_the_table(tmp_path):
    rng = np.random.default_rng(0)
    for i, first in (*((i, first) for i in range(4) for first in (0, 64)), (0, 128)):
        correct = rng.random(64) < 0.2
        kept = {"correct": correct.astype(np.uint8), "oracle": correct.astype(np.float32)}
        kept |= {"clip": rng.random(64, np.float32), "seconds": np.array([60, 6], np.float32)}
        save_file(kept, rounds.place(tmp_path, i, first), {"commit": "abc"})
    kept, about = rounds.gathered(tmp_path, 4)
    assert kept["correct"].shape == kept["clip"].shape == (4, 128)
    assert about == {"minutes_painting": 8.0, "minutes_judging": 0.8, "commit": "abc"}
    rows = curves.table([("a", "", 0), ("a", "", 0), ("b", "", 0), ("b", "", 0)], kept)
    rates = {(row["verifier"], row["group"], row["n"]): row["success"] for row in rows}
    assert rates["oracle", "a", 1] == pytest.approx(kept["correct"][:2].mean(), abs=1e-4)
    assert rates["clip", "all", 1] == pytest.approx(kept["correct"].mean(), abs=1e-4)
    assert rates["oracle", "all", 128] == 1
    best = kept["clip"][2:].argmax(1)
    assert rates["clip", "b", 128] == kept["correct"][[2, 3], best].mean()
    assert all(row["low"] <= row["success"] <= row["high"] for row in rows if row["group"] == "all")
    assert rounds.gathered(tmp_path, 5)[0] == {}
    in_turn = [load_file(rounds.place(tmp_path, 1, first))["clip"] for first in (0, 64)]
    assert kept["clip"][1].tolist() == np.concatenate(in_turn).tolist()


def test_what_an_earlier_run_left_is_not_painted_again(tmp_path):
    """Of the same weights and verifiers on the same prompts alone; what is painted now comes behind it."""
    asked = [("a", "a star", 1), ("a", "a heart", 2)]
    about = {"prompts": "a star\na heart", "weights": "123", "verifiers": rounds.scorers(NAMES), "commit": "abc"}
    about |= {"minutes_painting": "1.5", "minutes_judging": "0.5"}
    early = {"correct": np.zeros((2, 64), np.uint8), "oracle": np.zeros((2, 64), np.float32)}
    save_file(early, tmp_path / "kept.safetensors", about)
    before = rounds.stored(tmp_path / "kept.safetensors", asked, "123", NAMES)
    assert before[1] == {"minutes_painting": 1.5, "minutes_judging": 0.5, "commit": "abc"}
    assert rounds.stored(tmp_path / "kept.safetensors", asked, "other weights", NAMES)[0] == {}
    assert rounds.stored(tmp_path / "kept.safetensors", asked[::-1], "123", NAMES)[0] == {}
    assert rounds.stored(tmp_path / "none.safetensors", asked, "123", NAMES)[0] == {}
    save_file(early, tmp_path / "by others.safetensors", about | {"verifiers": "clip 0 clip-hard 0"})
    assert rounds.stored(tmp_path / "by others.safetensors", asked, "123", NAMES)[0] == {}
    for i in range(2):
        kept = {"correct": np.ones(64, np.uint8), "oracle": np.ones(64, np.float32), "seconds": np.float32([60, 30])}
        save_file(kept, rounds.place(tmp_path, i, 64), {"commit": "def"})
    kept, about = rounds.joined(before, rounds.gathered(tmp_path, 2, first=64))
    assert kept["correct"].tolist() == 2 * [64 * [0] + 64 * [1]]
    assert about == {"minutes_painting": 3.5, "minutes_judging": 1.5, "commit": "abc def"}


def test_jobs_paint_what_one_process_paints(tmp_path):
    asked = rounds.prompts_of("short", "tiny")[:3]
    rounds.run_together("tiny", asked, range(64, 128, 64), tmp_path, jobs=2, names=NAMES, shard=curves.shard)
    kept, _ = rounds.gathered(tmp_path, 3, first=64)
    for (_, prompt, seed), grades in zip(asked, kept["oracle"]):
        sampler = vartut.load("tiny")
        pictures = sampler.preview(rounds.painted(sampler, prompt, seed, 64))
        assert grades.tolist() == pytest.approx([v.grade for v in vartut.judge(pictures, [prompt] * 64)])


def test_prompts_too_long_for_the_model_are_refused_before_any_work(tmp_path, monkeypatch):
    tokenizer = toy_tokenizer()
    reads_four = NextScaleSampler(tokenizer, toy_transformer(tokenizer, words=4), read_prompts)
    monkeypatch.setattr(vartut, "load", lambda name: reads_four)
    long = rounds.prompts_of("dense", "tiny")
    with pytest.raises(ValueError, match="this model reads at most 4"):
        rounds.run_together("tiny", long, range(0, 64, 64), tmp_path / "new", 1, NAMES, curves.shard)
    assert not (tmp_path / "new").exists()


def test_numbers_that_make_no_sense_are_refused_in_a_line():
    for script, words, said in (
        ("curves.py", ("--jobs", "0"), "at least one process"),
        ("verifier_scores.py", ("--n", "100"), "64 at a time"),
    ):
        command = [sys.executable, ROOT / "benchmarks" / script, *words]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode != 0
        assert said in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_the_scores_of_learned_verifiers_are_of_the_pictures_that_were_judged():
    """Its `clip-hard` says of them what the store says, and likelihood is the state's own."""
    _, prompt, seed = rounds.prompts_of("short", "nano")[12]
    sampler, verifiers = vartut.load("nano"), {"clip-hard": vartut.load_verifier("clip-hard")}
    kept = verifier_scores.shard(sampler, verifiers, prompt, seed, 0)
    judged = stored("nano", "short", distinct=False)
    assert judged.prompts[12] == prompt
    share = verifier_scores.otherwise(kept["clip-hard"][None], judged.scores["clip-hard"][12:13])
    assert share <= 0.05  # pictures painted by another processor
    assert verifier_scores.otherwise(kept["clip-hard"][None, ::-1], judged.scores["clip-hard"][12:13]) > 0.5
    assert kept["likelihood"].shape == (64,)
    assert torch.equal(torch.from_numpy(kept["likelihood"]), rounds.painted(sampler, prompt, seed, 0).log_prob)


STORES = sorted((data_folder() / "results" / "curves").glob("*.safetensors"))


@pytest.mark.parametrize("path", STORES, ids=lambda path: path.stem)
def test_what_ships_is_taken_and_not_painted_again(path):
    model, stage = path.stem.split("-")
    asked, digest = rounds.prompts_of(stage, model), weights.read_provenance(model)["sha256"][:12]
    kept, _ = rounds.stored(path, asked, digest, NAMES)
    assert kept["correct"].shape[0] == len(asked)
    assert set(kept) == {"correct", "oracle", *curves.VERIFIERS}


def test_shards_of_other_weights_verifiers_and_prompts_lie_elsewhere(tmp_path, monkeypatch):
    asked, places = [("a", "a star", 1), ("a", "a heart", 2)], set()
    for by in ("clip 0 clip-hard 0", "clip 1 clip-hard 0"):
        monkeypatch.setattr(rounds, "scorers", lambda names, by=by: by)
        places |= {
            rounds.shards(tmp_path, "nano", d, "short", some, NAMES) for d in "ab" for some in (asked, asked[::-1])
        }
    assert len(places) == 8


def test_a_folder_is_painted_by_one_process_at_a_time(tmp_path):
    place = tmp_path / "new"
    with rounds.alone(place), pytest.raises(ValueError, match="being painted already"), rounds.alone(place):
        raise AssertionError("two at a time")


@pytest.mark.parametrize("change", ["cut", "fewer prompts", "half a round"])
def test_damaged_stores_are_refused_in_a_line(tmp_path, change):
    asked, path = [("a", "a star", 1), ("a", "a heart", 2)], tmp_path / "nano-short.safetensors"
    about = {"prompts": "a star\na heart", "weights": "123", "verifiers": rounds.scorers(NAMES), "commit": "abc"}
    about |= {"minutes_painting": "1.5", "minutes_judging": "0.5"}
    shape = {"cut": (2, 64), "fewer prompts": (1, 64), "half a round": (2, 32)}[change]
    save_file({kind: np.zeros(shape, np.float32) for kind in ("correct", "oracle", "clip")}, path, about)
    if change == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"nano-short\.safetensors is damaged: restore it with `git checkout"):
        rounds.stored(path, asked, "123", NAMES)

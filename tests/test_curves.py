"""The benchmark of best-of-n: whose pictures it keeps, and its table."""

import subprocess
import sys

import numpy as np
import pytest
from notebook_sources import ROOT
from safetensors.numpy import save_file
from toy_models import toy_tokenizer, toy_transformer

import vartut
from vartut import weights
from vartut.hub import read_prompts
from vartut.models.next_scale import NextScaleSampler
from vartut.paths import data_folder


@pytest.fixture
def curves(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import curves

    yield curves
    sys.modules.pop("curves")


def test_it_paints_what_a_random_search_sees(curves):
    sampler, verifier = vartut.load("tiny"), vartut.load_verifier("clip")
    _, prompt, seed = curves.prompts_of("short", "tiny")[9]
    scores = verifier(curves.painted(sampler, prompt, seed, 0)[:3], prompt)
    assert scores.max().item() == pytest.approx(vartut.random_search(sampler, prompt, verifier, n=3, seed=seed).score)


def test_the_prompts_of_a_stage(curves):
    assert len(curves.prompts_of("short", "tiny")) == 64
    dense = curves.prompts_of("dense", "tiny")
    assert len(dense) == 20 * 12
    assert [vartut.world.parse(prompt).facts for _, prompt, _ in dense] == [3 + i // 20 for i in range(240)]
    assert len({seed for _, _, seed in dense}) == 240


def test_only_rounds_that_all_prompts_have_are_in_the_table(curves, tmp_path):
    rng = np.random.default_rng(0)
    for i, first in (*((i, first) for i in range(4) for first in (0, 64)), (0, 128)):
        correct = rng.random(64) < 0.2
        kept = {"correct": correct.astype(np.uint8), "oracle": correct.astype(np.float32)}
        kept |= {"clip": rng.random(64, np.float32), "seconds": np.array([60, 6], np.float32)}
        save_file(kept, curves.place(tmp_path, i, first), {"commit": "abc"})
    kept, about = curves.gathered(tmp_path, 4)
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
    assert curves.gathered(tmp_path, 5)[0] == {}


def test_what_an_earlier_run_left_is_not_painted_again(curves, tmp_path):
    """Of the same weights and verifiers on the same prompts alone; what is painted now comes behind it."""
    asked = [("a", "a star", 1), ("a", "a heart", 2)]
    about = {"prompts": "a star\na heart", "weights": "123", "verifiers": curves.scorers(), "commit": "abc"}
    about |= {"minutes_painting": "1.5", "minutes_judging": "0.5"}
    early = {"correct": np.zeros((2, 64), np.uint8), "oracle": np.zeros((2, 64), np.float32)}
    save_file(early, tmp_path / "kept.safetensors", about)
    before = curves.stored(tmp_path / "kept.safetensors", asked, "123")
    assert before[1] == {"minutes_painting": 1.5, "minutes_judging": 0.5, "commit": "abc"}
    assert curves.stored(tmp_path / "kept.safetensors", asked, "other weights")[0] == {}
    assert curves.stored(tmp_path / "kept.safetensors", asked[::-1], "123")[0] == {}
    assert curves.stored(tmp_path / "none.safetensors", asked, "123")[0] == {}
    save_file(early, tmp_path / "by others.safetensors", about | {"verifiers": "clip 0 clip-hard 0"})
    assert curves.stored(tmp_path / "by others.safetensors", asked, "123")[0] == {}
    for i in range(2):
        kept = {"correct": np.ones(64, np.uint8), "oracle": np.ones(64, np.float32), "seconds": np.float32([60, 30])}
        save_file(kept, curves.place(tmp_path, i, 64), {"commit": "def"})
    kept, about = curves.joined(before, curves.gathered(tmp_path, 2, first=64))
    assert kept["correct"].tolist() == 2 * [64 * [0] + 64 * [1]]
    assert about == {"minutes_painting": 3.5, "minutes_judging": 1.5, "commit": "abc def"}


def test_jobs_paint_what_one_process_paints(curves, tmp_path):
    asked = curves.prompts_of("short", "tiny")[:3]
    curves.run_together("tiny", asked, range(64, 128, 64), tmp_path, jobs=2)
    kept, _ = curves.gathered(tmp_path, 3, first=64)
    for (_, prompt, seed), grades in zip(asked, kept["oracle"]):
        pictures = curves.painted(vartut.load("tiny"), prompt, seed, 64)
        assert grades.tolist() == pytest.approx([v.grade for v in vartut.judge(pictures, [prompt] * 64)])


def test_prompts_too_long_for_the_model_are_refused_before_any_work(curves, tmp_path, monkeypatch):
    tokenizer = toy_tokenizer()
    reads_four = NextScaleSampler(tokenizer, toy_transformer(tokenizer, words=4), read_prompts)
    monkeypatch.setattr(curves.vartut, "load", lambda name: reads_four)
    with pytest.raises(ValueError, match="this model reads at most 4"):
        curves.run_together("tiny", curves.prompts_of("dense", "tiny"), range(0, 64, 64), tmp_path / "new", jobs=1)
    assert not (tmp_path / "new").exists()


def test_numbers_that_make_no_sense_are_refused_in_a_line():
    for words, said in (
        (("--jobs", "0"), "at least one process"),
        (("--n", "100"), "64 at a time"),
    ):
        command = [sys.executable, ROOT / "benchmarks" / "curves.py", *words]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode != 0
        assert said in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


STORES = sorted((data_folder() / "results" / "curves").glob("*.safetensors"))


@pytest.mark.parametrize("path", STORES, ids=lambda path: path.stem)
def test_what_ships_is_taken_and_not_painted_again(curves, path):
    model, stage = path.stem.split("-")
    asked, digest = curves.prompts_of(stage, model), weights.read_provenance(model)["sha256"][:12]
    kept, _ = curves.stored(path, asked, digest)
    assert kept["correct"].shape[0] == len(asked)
    assert set(kept) == {"correct", "oracle", *curves.VERIFIERS}


def test_shards_of_other_weights_verifiers_and_prompts_lie_elsewhere(curves, tmp_path, monkeypatch):
    asked, places = [("a", "a star", 1), ("a", "a heart", 2)], set()
    for by in ("clip 0 clip-hard 0", "clip 1 clip-hard 0"):
        monkeypatch.setattr(curves, "scorers", lambda by=by: by)
        places |= {curves.shards(tmp_path, "nano", d, "short", some) for d in "ab" for some in (asked, asked[::-1])}
    assert len(places) == 8


def test_a_folder_is_painted_by_one_process_at_a_time(curves, tmp_path):
    place = tmp_path / "new"
    with curves.alone(place), pytest.raises(ValueError, match="being painted already"), curves.alone(place):
        raise AssertionError("two at a time")


@pytest.mark.parametrize("change", ["cut", "fewer prompts", "half a round"])
def test_damaged_stores_are_refused_in_a_line(curves, tmp_path, change):
    asked, path = [("a", "a star", 1), ("a", "a heart", 2)], tmp_path / "nano-short.safetensors"
    about = {"prompts": "a star\na heart", "weights": "123", "verifiers": curves.scorers(), "commit": "abc"}
    about |= {"minutes_painting": "1.5", "minutes_judging": "0.5"}
    shape = {"cut": (2, 64), "fewer prompts": (1, 64), "half a round": (2, 32)}[change]
    save_file({kind: np.zeros(shape, np.float32) for kind in ("correct", "oracle", "clip")}, path, about)
    if change == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"nano-short\.safetensors is damaged: restore it with `git checkout"):
        curves.stored(path, asked, "123")

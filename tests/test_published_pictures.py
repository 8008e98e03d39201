"""The command that paints a benchmark's prompts: what it writes, that it resumes, what it refuses; with a toy model."""

import csv
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_models import toy_sampler

import vartut
from vartut.sampler import row_seed

PROMPTS = ["a red circle", "a blue square above a green star"]


@pytest.fixture
def script(monkeypatch):
    """benchmarks/published_pictures.py, with a toy model and a verifier that likes bright pictures."""
    path = Path(__file__).parents[1] / "benchmarks" / "published_pictures.py"
    spec = importlib.util.spec_from_file_location("published_pictures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sampler = toy_sampler()
    monkeypatch.setattr(vartut, "load", lambda name, **text: sampler)
    monkeypatch.setattr(vartut, "load_verifier", {"image-reward": bright}.__getitem__)
    monkeypatch.setattr(module, "load_clip_score", lambda name, tag: {("ViT-L-14", "openai"): bright}[name, tag])
    return module


def bright(images, prompts):
    return images.mean((1, 2, 3))


def pixels(path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


def command(tmp_path, *more) -> list[str]:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(PROMPTS) + "\n")
    return ["infinity-2b", "--prompts", str(prompts), "--out", str(tmp_path / "out"), *more]


def test_pictures_lie_as_genevals_scorer_wants_them_and_are_the_samplers(script, tmp_path):
    assert script.main(command(tmp_path, "--n", "2")) == 0
    for i, prompt in enumerate(PROMPTS):
        folder = tmp_path / "out" / f"{i:05d}"
        assert json.loads((folder / "metadata.jsonl").read_text()) == {"prompt": prompt}
        assert sorted(p.name for p in (folder / "samples").iterdir()) == ["0000.png", "0001.png"]
    sampler = toy_sampler()
    state = sampler.begin(PROMPTS[1:], [row_seed(0, 10_001)])
    while state.step < sampler.num_steps:
        state = sampler.expand(state)
    expected = (sampler.preview(state)[0] * 255).round().to(torch.uint8)
    assert torch.equal(pixels(tmp_path / "out" / "00001" / "samples" / "0001.png"), expected)


def test_finished_pictures_are_left_alone(script, tmp_path, capsys):
    script.main(command(tmp_path))
    first = tmp_path / "out" / "00000" / "samples" / "0000.png"
    before = first.stat().st_mtime_ns
    (tmp_path / "out" / "00001" / "samples" / "0000.png").unlink()
    capsys.readouterr()
    script.main(command(tmp_path))
    assert "1 pictures of 2 prompts" in capsys.readouterr().out
    assert first.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("more", "finished", "nfe"),
    [
        (["--search", "random", "--candidates", "4"], 4, 1 + 4 * 5),
        (["--search", "greedy", "--candidates", "2"], 12, 1 + 2 * 15),
        (["--search", "beam", "--width", "2", "--candidates", "2", "--branch", "2"], 8, 1 + 4 * 5 + 4 * 4),
    ],
)
def test_searches_cost_what_they_should_and_find_brighter_pictures(script, tmp_path, more, finished, nfe):
    script.main([*command(tmp_path), "--out", str(tmp_path / "plain")])
    script.main(command(tmp_path, *more))
    rows = list(csv.DictReader((tmp_path / "out" / "costs.csv").read_text().splitlines()))
    assert [(int(row["finished"]), int(row["nfe"])) for row in rows] == [(finished, nfe)] * 2
    for i, row in enumerate(rows):
        plain, found = (pixels(tmp_path / f / f"{i:05d}" / "samples" / "0000.png") for f in ("plain", "out"))
        assert found.float().mean() >= plain.float().mean()  # the plain picture is the first candidate
        assert abs(found.float().mean() / 255 - float(row["score"])) < 0.01


def test_a_verifier_is_named_or_is_open_clips_model_and_weights(script):
    assert script.load_any("image-reward") is script.load_any("ViT-L-14:openai") is bright


def test_pictures_lie_as_t2i_compbenchs_scorers_want_them(script, tmp_path, capsys):
    assert script.main(command(tmp_path, "--n", "2", "--layout", "compbench")) == 0
    names = [f"{PROMPTS[i]}_{2 * i + j:06d}.png" for i in range(2) for j in range(2)]
    assert sorted(p.name for p in (tmp_path / "out" / "samples").iterdir()) == sorted(names)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["costs.csv", "samples"]
    arguments = command(tmp_path, "--layout", "compbench")
    (tmp_path / "prompts.txt").write_text("a red/blue circle\n")
    assert script.main(arguments) == 2
    assert "where / and _ cannot be" in capsys.readouterr().err


def test_genevals_own_prompt_file_is_read_and_handed_on(script, tmp_path):
    entry = {"tag": "single_object", "include": [{"class": "bench", "count": 1}], "prompt": "a red circle"}
    (tmp_path / "evaluation_metadata.jsonl").write_text(json.dumps(entry) + "\n")
    assert script.read_prompts(tmp_path / "evaluation_metadata.jsonl") == [entry]


def test_bad_input_is_one_line(script, tmp_path, capsys):
    arguments = command(tmp_path)
    (tmp_path / "prompts.txt").write_text("\n")
    assert script.main(arguments) == 2
    error = capsys.readouterr().err
    assert "has no prompts" in error
    assert error.count("\n") == 1


# ---- scores of what was painted ------------------------------------------------------------------------------------


@pytest.fixture
def scores(script, monkeypatch):
    """benchmarks/published_scores.py, beside the script above."""
    folder = Path(__file__).parents[1] / "benchmarks"
    monkeypatch.setitem(sys.modules, "published_pictures", script)
    spec = importlib.util.spec_from_file_location("published_scores", folder / "published_scores.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_scores_are_the_mean_over_prompts_of_their_pictures_means(script, scores, tmp_path, capsys):
    script.main(command(tmp_path, "--n", "2"))
    (tmp_path / "out" / "00001" / "samples" / "0001.png").unlink()  # one prompt with two pictures, one with one
    each = [pixels(p).float().mean() / 255 for p in sorted((tmp_path / "out").glob("*/samples/*.png"))]
    wanted = ((each[0] + each[1]) / 2 + each[2]) / 2
    capsys.readouterr()
    table = tmp_path / "scores.csv"
    for _ in range(2):
        assert scores.main([str(tmp_path / "out"), "--what", "toy", "--table", str(table)]) == 0
    assert "toy: " in capsys.readouterr().out
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 2, "a second run adds a row"
    assert abs(float(rows[0]["ours"]) - wanted) < 1e-3
    assert float(rows[0]["low"]) <= float(rows[0]["ours"]) <= float(rows[0]["high"])
    assert (rows[0]["prompts"], rows[0]["pictures"], rows[0]["searched_with"]) == ("2", "3", "")


def test_what_a_search_climbed_does_not_measure_it_unless_said(script, scores, tmp_path, capsys):
    script.main(command(tmp_path, "--search", "random", "--candidates", "2"))
    arguments = [str(tmp_path / "out"), "--what", "toy", "--table", str(tmp_path / "scores.csv")]
    assert scores.main(arguments) == 2
    assert "found by climbing image-reward: take another, or say --climbed" in capsys.readouterr().err
    assert not (tmp_path / "scores.csv").exists()
    assert scores.main([*arguments, "--verifier", "ViT-L-14:openai"]) == 0
    assert scores.main([*arguments, "--climbed"]) == 0
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert [row["searched_with"] for row in rows] == ["image-reward"] * 2


def test_an_empty_folder_says_how_to_fill_it(scores, tmp_path, capsys):
    assert scores.main([str(tmp_path), "--what", "toy"]) == 2
    assert "paint them with benchmarks/published_pictures.py" in capsys.readouterr().err


def test_the_interval_covers_the_mean_as_often_as_it_says(scores):
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        low, high = scores.interval(list(generator.normal(size=60)), draws=400)
        inside += low <= 0 <= high
    assert 0.88 <= inside / 200 <= 0.99

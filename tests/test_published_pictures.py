"""The command that paints a benchmark's prompts: what it writes, that it resumes, what it refuses; with a toy model."""

import csv
import importlib.util
import json
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
    monkeypatch.setattr(module, "load_clip_score", lambda name, tag: bright)
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

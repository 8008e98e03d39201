"""The command that scores painted pictures: its numbers, the table's rows, and what it refuses to enter there."""

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
from vartut.paths import data_folder

ROOT = Path(__file__).parents[1]
PROMPTS = ["a red circle", "a blue square above a green star"]
PLAIN = "DrawBench, ImageReward at 13 NFE"
SEARCHED = "DrawBench, ImageReward at 377 NFE"


def loaded(name: str):
    """benchmarks/<name>.py as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def scores(monkeypatch):
    """benchmarks/published_scores.py; every verifier likes bright pictures."""
    painting = loaded("published_pictures")
    monkeypatch.setitem(sys.modules, "published_pictures", painting)
    monkeypatch.setattr(vartut, "load_verifier", {"image-reward": bright, "clip-score": bright}.__getitem__)
    monkeypatch.setattr(painting, "load_clip_score", lambda name, tag: bright)
    return loaded("published_scores")


def bright(images, prompts):
    return images.mean((1, 2, 3))


def painted(folder: Path, layout="geneval", search="none", verifier="", nfe=13, model="infinity-2b") -> list[float]:
    """A folder as published_pictures.py leaves it, of two pictures for each prompt; their brightness in order."""
    settings = {"model": model, "layout": layout, "n": 2, "seed": 0, "search": search, "prompts": []}
    settings["prompts"] = [{"prompt": prompt} for prompt in PROMPTS]
    columns = "prompt,picture,search,verifier,score,finished,nfe,paper_nfe,tflop,seconds"
    lines, generator, brightness = [columns], np.random.default_rng(0), []
    for i, prompt in enumerate(PROMPTS):
        for j in range(2):
            name = f"{i:05d}/samples/{j:04d}.png" if layout == "geneval" else f"samples/{prompt}_{2 * i + j:06d}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if layout == "geneval":
                (folder / name).parents[1].joinpath("metadata.jsonl").write_text(json.dumps({"prompt": prompt}) + "\n")
            picture = generator.integers(256, size=(8, 8, 3), dtype=np.uint8) // (1 + i + 2 * j)
            Image.fromarray(picture).save(folder / name)
            brightness.append(float(picture.mean() / 255))
            lines.append(f"{i},{j},{search},{verifier},{'.5' if verifier else ''},1,{nfe},{nfe},1.0,1.0")
    (folder / "costs.csv").write_text("\n".join(lines) + "\n")
    (folder / "settings.json").write_text(json.dumps(settings | ({"verifier": verifier} if verifier else {})))
    return brightness


def command(tmp_path, *more) -> list[str]:
    return [str(tmp_path / "out"), "--table", str(tmp_path / "tables" / "scores.csv"), *more]


def table(tmp_path) -> list[dict]:
    return list(csv.DictReader((tmp_path / "tables" / "scores.csv").read_text().splitlines()))


def refused(scores, tmp_path, capsys, *more) -> str:
    """The one line with which a command ends; nothing may have been written or scored."""
    capsys.readouterr()
    assert scores.main(command(tmp_path, *more)) == 2
    error = capsys.readouterr().err
    assert error.startswith("published_scores: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "tables" / "scores.csv").exists()
    return error


# ---- numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["geneval", "compbench"])
def test_scores_are_the_mean_over_prompts_of_their_pictures_means(scores, tmp_path, capsys, layout):
    a, b, c, _ = painted(tmp_path / "out", layout)
    gone = "00001/samples/0001.png" if layout == "geneval" else f"samples/{PROMPTS[1]}_000003.png"
    (tmp_path / "out" / gone).unlink()  # one prompt with two pictures, one with one
    for _ in range(2):
        assert scores.main(command(tmp_path, "--what", PLAIN)) == 0
    assert f"{PLAIN}: " in capsys.readouterr().out
    rows = table(tmp_path)
    assert len(rows) == 2, "a second run adds a row"
    assert abs(float(rows[0]["ours"]) - ((a + b) / 2 + c) / 2) < 1e-4
    assert float(rows[0]["low"]) <= float(rows[0]["ours"]) <= float(rows[0]["high"])
    assert (rows[0]["prompts"], rows[0]["pictures"], rows[0]["searched_with"]) == ("2", "3", "")


def test_each_picture_is_scored_with_its_own_prompt(scores, tmp_path, monkeypatch):
    for layout in ("geneval", "compbench"):
        painted(tmp_path / layout, layout)
        heard = []
        settings = scores.read_settings(tmp_path / layout)
        found = sorted(scores.pictures(tmp_path / layout, settings))
        assert [(i, j) for i, j, _, _ in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        scores.score(found, lambda images, prompts, heard=heard: heard.append(prompts) or torch.zeros(1))
        assert heard == [[PROMPTS[0]], [PROMPTS[0]], [PROMPTS[1]], [PROMPTS[1]]]


@pytest.mark.parametrize("layout", ["geneval", "compbench"])
def test_what_published_pictures_writes_is_read(scores, tmp_path, monkeypatch, layout):
    monkeypatch.setattr(vartut, "load", lambda name, **text: toy_sampler())
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    paint = sys.modules["published_pictures"].main
    line = ["infinity-2b", "--prompts", str(tmp_path / "prompts.txt"), "--out", str(tmp_path / "out")]
    assert paint([*line, "--layout", layout, "--search", "random", "--candidates", "2", "--n", "2"]) == 0
    what = "DrawBench, ImageReward at 12 NFE"  # two candidates of the toy's six scales, as the paper counts
    monkeypatch.setattr(scores, "claims", lambda: [(what, 0.5, "invented")])
    assert scores.main(command(tmp_path, "--what", what)) == 2
    assert scores.main(command(tmp_path, "--what", what, "--climbed")) == 0
    [row] = table(tmp_path)
    climbed = [float(r["score"]) for r in csv.DictReader((tmp_path / "out" / "costs.csv").read_text().splitlines())]
    assert abs(float(row["ours"]) - sum(climbed) / 4) < 5e-3  # PNGs are rounded to 8 bits
    assert (row["prompts"], row["pictures"], row["searched_with"]) == ("2", "4", "image-reward")


def test_the_interval_covers_the_mean_as_often_as_it_says(scores):
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        low, high = scores.interval(list(generator.normal(size=60)), draws=400)
        inside += low <= 0 <= high
    assert 0.88 <= inside / 200 <= 0.99


# ---- the rows of the table -----------------------------------------------------------------------------------------


def test_claims_are_the_rows_that_notebook_11_prints(scores):
    cells = json.loads((ROOT / "notebooks" / "11_the_published_weights.ipynb").read_text())["cells"]
    [cell] = [c for c in cells if c["cell_type"] == "code" and "# claimed, and ours" in "".join(c["source"])]
    printed = "".join("".join(output.get("text", "")) for output in cell["outputs"]).splitlines()[1:]
    assert [line[:40].strip() for line in printed if line] == [what for what, _, _ in scores.claims()]
    for line, (_, claimed, how) in zip(printed, scores.claims()):
        assert float(line[40:50]) == pytest.approx(claimed, abs=0.005)
        assert line.split()[-1] == how


def test_a_row_that_the_table_does_not_have_is_answered_with_the_nearest(scores, tmp_path, capsys):
    painted(tmp_path / "out")
    error = refused(scores, tmp_path, capsys, "--what", "Drawbench, ImageReward at 13 NFEs")
    assert f'did you mean "{PLAIN}"?' in error


@pytest.mark.parametrize(
    ("what", "how", "says"),
    [
        (PLAIN, {"model": "infinity-125m"}, "the table is of infinity-2b, these pictures are infinity-125m's"),
        (SEARCHED, {}, "wants pictures of 377 paper_nfe in costs.csv; these cost 13"),
        ("GenEval, overall, baseline", {"search": "beam"}, "wants --search none, these are of --search beam"),
        ("GenEval, overall, beam search", {}, "wants --search beam, these are of --search none"),
        ("GenEval, overall, baseline", {}, "is scored by its benchmark's own program: enter it with --value and --by"),
    ],
)
def test_pictures_of_another_kind_do_not_fill_a_row(scores, tmp_path, capsys, what, how, says):
    painted(tmp_path / "out", **how)
    assert says in refused(scores, tmp_path, capsys, "--what", what)


def test_a_score_that_no_row_asks_for_is_printed_and_enters_no_table(scores, tmp_path, capsys):
    brightness = painted(tmp_path / "out")
    assert "is scored by image-reward, not by clip-score" in refused(
        scores, tmp_path, capsys, "--what", PLAIN, "--verifier", "clip-score"
    )
    assert scores.main(command(tmp_path, "--verifier", "clip-score")) == 0
    assert f"in no table: {round(sum(brightness) / 4, 4)} by clip-score" in capsys.readouterr().out
    assert not (tmp_path / "tables").exists()


def test_scores_of_other_programs_are_entered(scores, tmp_path, capsys):
    painted(tmp_path / "out", "compbench", search="beam", verifier="image-reward", nfe=1365)
    what = "T2I-CompBench++, color, beam search"
    assert scores.main(command(tmp_path, "--what", what, "--value", "0.81", "--by", "BLIP_vqa.py")) == 0
    assert f"{what}: 0.81 by BLIP_vqa.py (2 prompts, 4 pictures)" in capsys.readouterr().out
    [row] = table(tmp_path)
    assert tuple(row) == scores.COLUMNS
    assert [row[key] for key in ("what", "ours", "low", "high")] == [what, "0.81", "", ""]
    counted = [row[key] for key in ("prompts", "pictures", "verifier", "searched_with")]
    assert counted == ["2", "4", "BLIP_vqa.py", "image-reward"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--value", "0.7"), "--value and --by go together"),
        (("--by", "summary_scores.py"), "--value and --by go together"),
        (("--value", "0.7", "--by", " "), "--value and --by go together"),
        (("--value", "0.7", "--by", "x", "--verifier", "clip-score"), "without --verifier or --climbed"),
        (("--value", "nan", "--by", "x"), "--value is a number; got nan"),
        (("--value", "68", "--by", "x"), "lies between 0 and 1; got 68"),
    ],
)
def test_options_that_contradict_each_other_are_one_line(scores, tmp_path, capsys, more, says):
    painted(tmp_path / "out")
    assert says in refused(scores, tmp_path, capsys, "--what", "GenEval, overall, baseline", *more)


def test_a_value_says_what_it_is(scores, tmp_path, capsys):
    painted(tmp_path / "out")
    assert "say --what it is" in refused(scores, tmp_path, capsys, "--value", "0.7", "--by", "x")


# ---- what a search climbed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("climbed", "by"),
    [
        ("image-reward", "image-reward"),
        ("clip-score", "ViT-L-14:openai"),
        ("ViT-L-14:openai", "clip-score"),
        ("ViT-L-14:openai", "ViT-L-14-quickgelu:openai"),
    ],
)
def test_what_a_search_climbed_does_not_measure_it_unless_said(scores, tmp_path, capsys, climbed, by):
    painted(tmp_path / "out", search="random", verifier=climbed, nfe=377)
    error = refused(scores, tmp_path, capsys, "--verifier", by)
    assert f"found by climbing {scores.canonical(by)}: take another, or say --climbed" in error
    assert scores.main(command(tmp_path, "--verifier", by, "--climbed")) == 0
    assert scores.main(command(tmp_path, "--verifier", "ViT-B-32:openai")) == 0


def test_a_search_with_another_verifier_fills_a_row(scores, tmp_path):
    painted(tmp_path / "out", search="random", verifier="clip-score", nfe=377)
    assert scores.main(command(tmp_path, "--what", SEARCHED)) == 0
    assert [row["searched_with"] for row in table(tmp_path)] == ["clip-score"]


# ---- bad folders ---------------------------------------------------------------------------------------------------


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("00001/metadata.jsonl", '"prompt"', '"text"', "00001/metadata.jsonl, line 1: wanted an object"),
        ("00001/metadata.jsonl", "{", "", "00001/metadata.jsonl, line 1: not JSON"),
        ("costs.csv", "\n1,0,", "\n7,0,", "00001/samples/0000.png has no row in"),
        ("costs.csv", "picture,", "image,", "costs.csv has the columns"),
        ("costs.csv", "1.0,1.0\n1,0", "1.0\n1,0", "costs.csv, line 3: 10 values are wanted"),
        ("settings.json", "model", "name", "settings.json is damaged"),
    ],
)
def test_damaged_files_are_named(scores, tmp_path, capsys, name, old, new, says):
    painted(tmp_path / "out")
    edit(tmp_path / "out" / name, old, new)
    assert says in refused(scores, tmp_path, capsys, "--what", PLAIN)


def test_missing_files_say_what_to_do(scores, tmp_path, capsys):
    assert "paint them with benchmarks/published_pictures.py" in refused(scores, tmp_path, capsys, "--what", PLAIN)
    painted(tmp_path / "out")
    (tmp_path / "out" / "costs.csv").rename(tmp_path / "costs.csv")
    assert "costs.csv, which says what found these pictures" in refused(scores, tmp_path, capsys, "--what", PLAIN)
    for path in (tmp_path / "out").glob("**/*.png"):
        path.unlink()
    assert "no pictures in" in refused(scores, tmp_path, capsys, "--what", PLAIN)


@pytest.mark.parametrize("layout", ["geneval", "compbench"])
def test_pictures_that_do_not_belong_there_are_named(scores, tmp_path, capsys, layout):
    painted(tmp_path / "out", layout)
    first = next((tmp_path / "out").glob("**/*.png"))
    first.rename(first.with_name("my_favourite.png"))
    assert "my_favourite.png is not named" in refused(scores, tmp_path, capsys, "--what", PLAIN)


def test_the_table_is_looked_at_before_anything_is_scored(scores, tmp_path, capsys, monkeypatch):
    painted(tmp_path / "out")
    monkeypatch.setattr(scores, "load_any", lambda name: pytest.fail("scored before the table was looked at"))
    (tmp_path / "other.csv").write_text("what,ours\n")
    assert scores.main([str(tmp_path / "out"), "--what", PLAIN, "--table", str(tmp_path / "other.csv")]) == 2
    assert "other.csv is another table" in capsys.readouterr().err
    (tmp_path / "tables").write_text("a file where the folder should be")
    assert scores.main(command(tmp_path, "--what", PLAIN)) == 2
    assert "tables" in capsys.readouterr().err


def test_the_default_table_is_where_notebook_11_reads(scores, tmp_path, monkeypatch):
    painted(tmp_path / "out")
    (tmp_path / "data" / "weights").mkdir(parents=True)
    (tmp_path / "data" / "paper").symlink_to(data_folder() / "paper")
    monkeypatch.setenv("VARTUT_DATA", str(tmp_path / "data"))
    assert scores.main([str(tmp_path / "out"), "--what", PLAIN]) == 0
    assert (tmp_path / "data" / "results" / "published_scores.csv").read_text().count("\n") == 2

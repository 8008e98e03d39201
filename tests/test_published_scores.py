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
from vartut.published.claims import claims, measured_by_others

ROOT = Path(__file__).parents[1]
PROMPTS = ["a red circle", "a blue square above a green star"]
PLAIN = "DrawBench, ImageReward at 13 NFE"
SEARCHED = "DrawBench, ImageReward at 377 NFE"
COLOR = "T2I-CompBench++, color, beam search"
OPENAI, QUICK = "ViT-L-14:openai", "ViT-L-14-quickgelu:openai"


def loaded(name: str):
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
    module = loaded("published_scores")
    small = {"prompts": len(PROMPTS), "n": 2}  # as `painted` paints
    wanted = {row: {key: small.get(key, value) for key, value in how.items()} for row, how in module.WANTED.items()}
    monkeypatch.setattr(module, "BENCHMARKS_OWN", module.WANTED, raising=False)
    monkeypatch.setattr(module, "WANTED", wanted)
    return module


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


def paint(tmp_path, monkeypatch, *more) -> int:
    """A folder that published_pictures.py itself fills, without a file of text features, by a toy model."""
    monkeypatch.setattr(vartut, "load", lambda name, **text: {"": toy_sampler()}["".join(text)])
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    line = ["infinity-2b", "--prompts", str(tmp_path / "prompts.txt"), "--out", str(tmp_path / "out"), *more]
    return sys.modules["published_pictures"].main(line)


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


def test_scores_are_the_mean_over_pictures_and_enter_the_table(scores, tmp_path, capsys):
    brightness = painted(tmp_path / "out")
    for _ in range(2):
        assert scores.main(command(tmp_path, "--what", PLAIN)) == 0
    [row] = table(tmp_path)  # a second run replaces it
    what, ours, low, high, *counts, verifier, searched_with, _, _ = row.values()
    assert abs(float(ours) - sum(brightness) / 4) < 1e-4
    assert float(low) < float(ours) < float(high)
    assert (what, counts, verifier, searched_with) == (PLAIN, ["2", "4"], "image-reward", "")
    line = f"{PLAIN}: {ours} by image-reward (95 % interval {low} to {high}, 2 prompts, 4 pictures)\n"
    assert capsys.readouterr() == (2 * line, "")


@pytest.mark.parametrize(("layout", "what"), [("geneval", [PLAIN]), ("compbench", [COLOR, "--value=.8", "--by=x"])])
def test_an_unfinished_run_is_scored_with_a_warning_and_fills_no_row(scores, tmp_path, capsys, layout, what):
    a, b, c, _ = painted(tmp_path / "out", layout, search="none" if layout == "geneval" else "beam")
    gone = "00001/samples/0001.png" if layout == "geneval" else f"samples/{PROMPTS[1]}_000003.png"
    (tmp_path / "out" / gone).unlink()  # one prompt with two pictures, one with one
    unfinished = "1 of 4 pictures are missing, the first being number 1 of prompt 1: run the command that paints it"
    assert unfinished in refused(scores, tmp_path, capsys, "--what", *what)
    assert scores.main(command(tmp_path)) == 0
    said, warned = capsys.readouterr()
    assert abs(float(said.split()[3]) - ((a + b) / 2 + c) / 2) < 1e-4, "the mean over prompts of their means"
    assert said.endswith(", 2 prompts, 3 pictures)\n")
    assert unfinished in warned
    assert warned.count("\n") == 1


def test_each_picture_is_scored_with_its_own_prompt(scores, tmp_path):
    for layout in ("geneval", "compbench"):
        painted(tmp_path / layout, layout)
        heard = []
        found = sorted(scores.pictures(tmp_path / layout, scores.read_settings(tmp_path / layout)))
        assert [(i, j) for i, j, _, _ in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        scores.score(found, lambda images, prompts, heard=heard: heard.append(prompts) or torch.zeros(1))
        assert heard == [[PROMPTS[0]], [PROMPTS[0]], [PROMPTS[1]], [PROMPTS[1]]]


@pytest.mark.parametrize("layout", ["geneval", "compbench"])
def test_what_published_pictures_writes_is_read(scores, tmp_path, monkeypatch, layout):
    assert paint(tmp_path, monkeypatch, *f"--layout {layout} --search random --candidates 2 --n 2".split()) == 0
    what = "DrawBench, ImageReward at 12 NFE"  # two candidates of the toy's six scales, as the paper counts
    monkeypatch.setattr(scores, "claims", lambda: [(what, 0.5, "invented")])
    monkeypatch.setitem(scores.WANTED, "DrawBench", {"layout": layout})
    assert scores.main(command(tmp_path, "--what", what)) == 2
    assert scores.main(command(tmp_path, "--what", what, "--climbed")) == 0
    [row] = table(tmp_path)
    climbed = [float(r["score"]) for r in csv.DictReader((tmp_path / "out" / "costs.csv").read_text().splitlines())]
    assert abs(float(row["ours"]) - sum(climbed) / 4) < 5e-3  # PNGs are rounded to 8 bits
    assert list(row.values())[4:8] == ["2", "4", "image-reward", "image-reward"]


def test_the_interval_covers_the_mean_as_often_as_it_says(scores):
    generator = np.random.default_rng(0)
    found = [scores.interval(list(generator.normal(size=60)), draws=400) for _ in range(200)]
    assert 0.88 <= sum(low <= 0 <= high for low, high in found) / 200 <= 0.99


# ---- the rows of the table -----------------------------------------------------------------------------------------


def test_claims_are_the_rows_that_notebook_11_prints(scores):
    cells = json.loads((ROOT / "notebooks" / "11_the_published_weights.ipynb").read_text())["cells"]
    [cell] = [c for c in cells if c["cell_type"] == "code" and "claims_table()" in "".join(c["source"])]
    lines = "".join("".join(output.get("text", "")) for output in cell["outputs"]).splitlines()
    printed = lines[2 : next(i for i, line in enumerate(lines) if line.startswith("The "))]  # its foot, then margins
    assert [line[:40].strip() for line in printed] == [what for what, _, _ in scores.claims()]
    for line, (_, claimed, how) in zip(printed, scores.claims()):
        assert float(line[40:50]) == pytest.approx(claimed, abs=0.005)
        assert line.endswith(f"   {how}")


def test_every_claim_says_how_it_was_read_and_what_others_measured():
    found = {what: (value, how) for what, value, how in claims()}
    assert found["DrawBench, ImageReward at 1365 NFE"] == (1.59, "read off a plot; at second hand")
    assert found["GenEval, overall, baseline"] == (0.67, "printed")
    others = [[measured_by_others(what, f"Infinity-{size}") for size in ("2B", "8B")] for what in found]
    assert others[0] == others[1] == [0.68, 0.824]
    assert others[2:6] == [[None, None]] * 4
    assert others[6:] == [[0.741, 0.827], [0.48, 0.604], [0.636, 0.753], [0.24, 0.365], [0.573, 0.612], [0.382, 0.397]]
    behind = [claimed - large for (claimed, _), (_, large) in zip(found.values(), others) if large is not None]
    assert max(behind[1:]) < 0.06, "as notebook 11 says of the model of 8 billion"
    assert min(behind[1:]) > -0.01, "level, as claims are rounded to 0.01"


@pytest.mark.parametrize(
    ("what", "how", "says"),
    [
        ("Drawbench, ImageReward at 13 NFEs", {}, f'did you mean "{PLAIN}"?'),
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


@pytest.mark.parametrize(
    ("what", "layout", "prompts", "n"),
    [
        ("GenEval, overall, baseline", "geneval", 553, 4),
        ("GenEval, overall, beam search", "geneval", 553, None),
        ("T2I-CompBench++, shape, beam search", "compbench", 300, None),
        (PLAIN, "geneval", 200, None),
    ],
)
def test_a_row_wants_its_benchmarks_layout_and_numbers(scores, tmp_path, capsys, monkeypatch, what, layout, prompts, n):
    other = "compbench" if layout == "geneval" else "geneval"
    painted(tmp_path / "out", other, "beam" if "beam" in what else "none")
    monkeypatch.setattr(scores, "WANTED", scores.BENCHMARKS_OWN)
    error = refused(
        scores, tmp_path, capsys, "--what", what, *(() if what == PLAIN else ("--value", ".6", "--by", "x"))
    )
    assert f'"{what}" wants --layout {layout}, {prompts} prompts{f", --n {n}" if n else ""}, these are of' in error
    assert f"these are of --layout {other}, 2 prompts" in error
    right = {"layout": layout, "prompts": [{"prompt": "a bench"}] * prompts, "n": n or 3}
    scores.check_kind(what, right)
    for wrong in ({"layout": other}, {"prompts": right["prompts"][1:]}, *([{"n": 1}, {"n": 5}] if n else [])):
        with pytest.raises(ValueError, match="leave --what away"):
            scores.check_kind(what, right | wrong)


def test_genevals_baseline_may_be_painted_without_a_file_of_features(scores, tmp_path, monkeypatch):
    assert paint(tmp_path, monkeypatch, "--n", "2") == 0
    assert scores.main(command(tmp_path, "--what", "GenEval, overall, baseline", "--value", "0.68", "--by", "x")) == 0
    assert [row["ours"] for row in table(tmp_path)] == ["0.68"]


def test_a_score_that_no_row_asks_for_is_printed_and_enters_no_table(scores, tmp_path, capsys):
    brightness = painted(tmp_path / "out")
    assert "image-reward, not by" in refused(scores, tmp_path, capsys, "--what", PLAIN, "--verifier", "clip-score")
    assert scores.main(command(tmp_path, "--verifier", "clip-score")) == 0
    assert f"in no table: {round(sum(brightness) / 4, 4)} by clip-score" in capsys.readouterr().out
    assert not (tmp_path / "tables").exists()


def test_scores_of_other_programs_are_entered(scores, tmp_path, capsys):
    painted(tmp_path / "out", "compbench", search="beam", verifier="image-reward", nfe=1365)
    assert scores.main(command(tmp_path, "--what", COLOR, "--value", "0.81", "--by", "BLIP_vqa.py")) == 0
    assert f"{COLOR}: 0.81 by BLIP_vqa.py (no interval, 2 prompts, 4 pictures)" in capsys.readouterr().out
    [row] = table(tmp_path)
    assert tuple(row) == scores.COLUMNS
    assert list(row.values())[:8] == [COLOR, "0.81", "", "", "2", "4", "BLIP_vqa.py", "image-reward"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--value", "0.7"), "--value and --by go together"),
        (("--by", "summary_scores.py"), "--value and --by go together"),
        (("--value", "0.7", "--by", " "), "--value and --by go together"),
        (("--value", "0.7", "--by", "x", "--verifier", "clip-score"), "without --verifier or --climbed"),
        (("--value", "nan", "--by", "x"), "--value is a number; got nan"),
        (("--value", "68", "--by", "x"), "lies between 0 and 1; got 68"),
        (("--value", ".7", "--by", "x", "--what", PLAIN), "is scored here, by image-reward: leave --value and --by"),
    ],
)
def test_options_that_contradict_each_other_are_one_line(scores, tmp_path, capsys, more, says):
    painted(tmp_path / "out")
    assert says in refused(scores, tmp_path, capsys, "--what", "GenEval, overall, baseline", *more)
    assert "say --what it is" in refused(scores, tmp_path, capsys, "--value", "0.7", "--by", "x")


# ---- what a search climbed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("climbed", "by"), [("image-reward",) * 2, ("clip-score", OPENAI), (OPENAI, QUICK)])
def test_what_a_search_climbed_does_not_measure_it_unless_said(scores, tmp_path, capsys, climbed, by):
    painted(tmp_path / "out", search="random", verifier=climbed, nfe=377)
    assert f"climbing {scores.canonical(by)}: take another" in refused(scores, tmp_path, capsys, "--verifier", by)
    assert scores.main(command(tmp_path, "--verifier", by, "--climbed")) == 0
    assert scores.main(command(tmp_path, "--verifier", "ViT-B-32:openai")) == 0


def test_a_search_with_another_verifier_fills_a_row_unless_costs_name_ours_too(scores, tmp_path, capsys):
    painted(tmp_path / "out", search="random", verifier="clip-score", nfe=377)
    edit(tmp_path / "out" / "costs.csv", "1,1,random,clip-score", "1,1,random,image-reward")
    assert "found by climbing image-reward" in refused(scores, tmp_path, capsys, "--what", SEARCHED)
    assert scores.main(command(tmp_path, "--what", SEARCHED, "--climbed")) == 0
    assert [row["searched_with"] for row in table(tmp_path)] == ["clip-score image-reward"]
    edit(tmp_path / "out" / "costs.csv", "image-reward", "clip-score")
    assert scores.main(command(tmp_path, "--what", SEARCHED)) == 0
    assert [row["searched_with"] for row in table(tmp_path)] == ["clip-score"], "the row is replaced"


def test_the_last_row_of_a_picture_counts(scores, tmp_path, capsys):
    painted(tmp_path / "out")
    costs = tmp_path / "out" / "costs.csv"
    before = costs.read_text()
    costs.write_text(before + "0,1,none,,,1,12,12,1.0,1.0\n")
    assert "these cost 12" in refused(scores, tmp_path, capsys, "--what", PLAIN)
    costs.write_text(before.replace("\n0,1,", "\n0,1,none,,,1,12,12,1.0,1.0\n0,1,"))  # interrupted, and painted again
    assert scores.main(command(tmp_path, "--what", PLAIN)) == 0


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
        ("settings.json", '"n": 2', '"n": 1', "has 4 pictures, of which 2 are wanted"),
    ],
)
def test_damaged_files_are_named(scores, tmp_path, capsys, name, old, new, says):
    painted(tmp_path / "out")
    edit(tmp_path / "out" / name, old, new)
    assert says in refused(scores, tmp_path, capsys, "--what", PLAIN)


def test_missing_files_say_what_to_do(scores, tmp_path, capsys):
    assert "paint them with benchmarks/published_pictures.py" in refused(scores, tmp_path, capsys, "--what", PLAIN)
    painted(tmp_path / "out")
    (tmp_path / "out" / "costs.csv").unlink()
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

"""The command that paints a benchmark's prompts: what it writes, that it resumes, what it refuses; with a toy model."""

import csv
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_models import toy_sampler

import vartut
from vartut.ledger import Ledger
from vartut.models.protocol import row_seed
from vartut.published.clipscore import load_clip_score
from vartut.published.text import save_features

ROOT = Path(__file__).parents[1]
PROMPTS = ["a red circle", "a blue square above a green star"]


@pytest.fixture
def script(monkeypatch):
    """benchmarks/published_pictures.py, with a toy model and a verifier that likes bright pictures."""
    spec = importlib.util.spec_from_file_location("published_pictures", ROOT / "benchmarks" / "published_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sampler = toy_sampler()
    monkeypatch.setattr(vartut, "load", lambda name, **text: sampler)
    monkeypatch.setattr(vartut, "load_verifier", {"image-reward": bright, "clip-score": bright}.__getitem__)
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


def contents(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.glob("**/*") if p.is_file()}


def refused(script, capsys, arguments) -> str:
    """The one line with which a command ends."""
    capsys.readouterr()
    assert script.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("published_pictures: ")
    assert error.count("\n") == 1
    return error


# ---- what is painted -----------------------------------------------------------------------------------------------


def test_pictures_lie_as_genevals_scorer_wants_them_and_are_the_samplers(script, tmp_path):
    assert script.main(command(tmp_path, "--n", "2")) == 0
    for i, prompt in enumerate(PROMPTS):
        folder = tmp_path / "out" / f"{i:05d}"
        assert json.loads((folder / "metadata.jsonl").read_text()) == {"prompt": prompt}
        assert sorted(p.name for p in (folder / "samples").iterdir()) == ["0000.png", "0001.png"]
    sampler = toy_sampler()
    state = sampler.begin(PROMPTS[1:], row_seed(0, 10_001))
    while state.step < sampler.num_steps:
        state = sampler.expand(state)
    expected = (sampler.preview(state)[0] * 255).round().to(torch.uint8)
    assert torch.equal(pixels(tmp_path / "out" / "00001" / "samples" / "0001.png"), expected)


@pytest.mark.parametrize(
    ("more", "finished", "nfe"),
    [
        (["--search", "random", "--candidates", "1"], 1, 6),
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
        if finished == 1:
            assert torch.equal(found, plain)
        assert abs(found.float().mean() / 255 - float(row["score"])) < 0.01


def test_costs_are_the_ledgers(script, tmp_path, monkeypatch):
    ledger = Ledger()
    ledger.add("transformer", nfe=3, flops=2.5e12, seconds=1.5, paper_nfe=4)
    ledger.add("verifier", flops=1.25e12, seconds=0.25, calls=7)
    monkeypatch.setattr(script, "paint", lambda *_: (torch.zeros(3, 4, 4), 0.123456, 7, ledger))
    script.main(command(tmp_path, "--search", "random"))
    head, *rows = (tmp_path / "out" / "costs.csv").read_text().splitlines()
    assert head == "prompt,picture,search,verifier,score,finished,nfe,paper_nfe,tflop,seconds"
    assert rows == [f"{i},0,random,image-reward,0.12346,7,3,4,3.75,1.75" for i in range(2)]


@pytest.mark.parametrize("search", ["random", "greedy", "beam"])
def test_no_more_rows_go_together_than_said(script, tmp_path, monkeypatch, search):
    seen = []
    monkeypatch.setattr(script, "load_any", lambda _: lambda images, _: seen.append(len(images)) or bright(images, _))
    for rows in (1, 3, 4):
        seen.clear()
        options = f"--search {search} --candidates 4 --branch 2 --max-rows {rows} --out {tmp_path / str(rows)}"
        assert script.main(command(tmp_path, *options.split())) == 0
        assert max(seen) == rows


def test_pictures_lie_as_t2i_compbenchs_scorers_want_them(script, tmp_path):
    assert script.main(command(tmp_path, "--n", "2", "--layout", "compbench")) == 0
    names = [f"{PROMPTS[i]}_{2 * i + j:06d}.png" for i in range(2) for j in range(2)]
    assert sorted(p.name for p in (tmp_path / "out" / "samples").iterdir()) == sorted(names)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["costs.csv", "samples", "settings.json"]


def test_a_verifier_is_named_or_is_open_clips_model_and_weights(script, tmp_path):
    assert script.load_any("image-reward") is script.load_any("ViT-L-14:openai") is bright
    defaults = inspect.signature(load_clip_score).parameters
    assert script.canonical(f"{defaults['name'].default}:{defaults['tag'].default}") == "clip-score"
    assert script.canonical("ViT-B-32:openai") == "ViT-B-32:openai"
    script.main(command(tmp_path, "--search", "random", "--candidates", "2", "--verifier", "ViT-L-14:openai"))
    assert json.loads((tmp_path / "out" / "settings.json").read_text())["verifier"] == "clip-score"


def test_without_a_file_of_features_the_encoder_is_asked_once_for_all_prompts(script, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(vartut.load("infinity-2b"), "features", asked.append, raising=False)
    script.main(command(tmp_path))
    assert asked == [PROMPTS]


# ---- resuming ------------------------------------------------------------------------------------------------------


def test_finished_pictures_are_left_alone_though_n_and_what_a_search_does_not_use_differ(script, tmp_path, capsys):
    script.main(command(tmp_path))
    first, second = (tmp_path / "out" / f"{i:05d}" / "samples" / "0000.png" for i in range(2))
    painted, before = first.stat().st_mtime_ns, contents(tmp_path / "out")
    second.unlink()
    unused = ("--width", "7", "--candidates", "9", "--verifier", "laion-aesthetic", "--max-rows", "4")
    assert script.main(command(tmp_path, *unused, "--n", "2")) == 0
    assert "3 pictures of 2 prompts" in capsys.readouterr().out
    after = contents(tmp_path / "out")
    assert len([name for name in after if name.endswith("png")]) == 4
    assert all(after[name] == data for name, data in before.items() if name.endswith("png"))
    assert first.stat().st_mtime_ns == painted
    assert json.loads(after["settings.json"])["n"] == 2


BEAM = ("--search", "beam", "--width", "2", "--candidates", "2", "--branch", "1")


@pytest.mark.parametrize(
    ("first", "then", "named"),
    [
        ((), ("--seed", "1"), "seed (0 there, 1 asked)"),
        ((), ("--layout", "compbench"), "layout (geneval there, compbench asked)"),
        ((), BEAM, "search (none there, beam asked)"),
        (BEAM, (), "search (beam there, none asked)"),
        (BEAM, (*BEAM, "--width", "3"), "width (2 there, 3 asked)"),
        (BEAM, (*BEAM, "--candidates", "3"), "candidates (2 there, 3 asked)"),
        (BEAM, (*BEAM, "--branch", "2"), "branch (1 there, 2 asked)"),
        (BEAM, (*BEAM, "--verifier", "clip-score"), "verifier (image-reward there, clip-score asked)"),
        (("--n", "2"), (), "n (2 there, 1 asked)"),
        (("--layout", "compbench"), ("--layout", "compbench", "--n", "2"), "n (1 there, 2 asked)"),
    ],
)
def test_a_folder_is_of_one_kind_of_picture(script, tmp_path, capsys, first, then, named):
    assert script.main(command(tmp_path, *first)) == 0
    before = contents(tmp_path / "out")
    error = refused(script, capsys, command(tmp_path, *then))
    assert named in error
    assert "take another --out" in error
    assert contents(tmp_path / "out") == before


def test_a_folder_is_of_one_model_and_one_list_of_prompts(script, tmp_path, capsys):
    script.main(command(tmp_path))
    before, arguments = contents(tmp_path / "out"), command(tmp_path)
    assert "model (infinity-2b there, infinity-125m" in refused(script, capsys, ["infinity-125m", *arguments[1:]])
    for asked, text in ((2, f"{PROMPTS[0]}\na yellow ring\n"), (1, f"{PROMPTS[0]}\n")):
        (tmp_path / "prompts.txt").write_text(text)
        assert f"prompts (2 there, {asked} asked, number 2 differs)" in refused(script, capsys, arguments)
    assert contents(tmp_path / "out") == before


def test_pictures_of_unknown_settings_are_not_added_to(script, tmp_path, capsys):
    script.main(command(tmp_path))
    settings = tmp_path / "out" / "settings.json"
    for damaged in ("{", "[]", '{"model": "infinity-2b"}', settings.read_text().replace('"n": 1', '"n": 0')):
        settings.write_text(damaged)
        assert "settings.json is damaged" in refused(script, capsys, command(tmp_path))
    settings.unlink()
    assert "no settings.json that says how" in refused(script, capsys, command(tmp_path))


def test_an_interrupted_picture_has_its_row_and_is_painted_again(script, tmp_path, monkeypatch):
    def interrupted(image, path, **how):
        path.write(b"half a picture")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(script.Image.Image, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            script.main(command(tmp_path))
    samples, costs = tmp_path / "out" / "00000" / "samples", tmp_path / "out" / "costs.csv"
    assert not samples.exists()
    assert [line[:4] for line in costs.read_text().splitlines()] == ["prom", "0,0,"], "its row is there before it is"
    assert script.main(command(tmp_path)) == 0
    assert [p.name for p in samples.iterdir()] == ["0000.png"]
    assert pixels(samples / "0000.png").shape[0] == 3
    monkeypatch.setattr(script, "add_cost", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
    assert script.main([*command(tmp_path), "--out", str(tmp_path / "full")]) == 2
    assert not list((tmp_path / "full").glob("**/*.png")), "a picture that has no row is not there"


# ---- bad input -----------------------------------------------------------------------------------------------------


def test_genevals_own_prompt_file_is_read_and_handed_on(script, tmp_path):
    entry = {"tag": "single_object", "include": [{"class": "bench", "count": 1}], "prompt": "a red circle"}
    for name in ("evaluation_metadata.jsonl", "EVALUATION.JSONL"):
        (tmp_path / name).write_text(json.dumps(entry) + "\n")
        assert script.read_prompt_file(tmp_path / name) == [entry]
        assert script.main([*command(tmp_path), "--prompts", str(tmp_path / name)]) == 0
        assert json.loads((tmp_path / "out" / "00000" / "metadata.jsonl").read_text()) == entry


def test_a_byte_order_mark_is_no_part_of_a_prompt(script, tmp_path):
    for name, line in (("prompts.txt", PROMPTS[0]), ("prompts.jsonl", json.dumps({"prompt": PROMPTS[0]}))):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + line.encode() + b"\r\n")
        assert script.read_prompt_file(tmp_path / name) == [{"prompt": PROMPTS[0]}]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("p.txt", b"\n", "p.txt has no prompts"),
        ("p.txt", b"a red circle\n\na \xff square\n", "p.txt, line 3: not UTF-8"),
        ("p.jsonl", b'{"prompt": "a red circle"}\n{"prompt"\n', "p.jsonl, line 2: not JSON"),
        ("p.jsonl", b'"a red circle"\n', "p.jsonl, line 1: wanted an object"),
        ("p.jsonl", b'\n{"prompt": 3}\n', "p.jsonl, line 2: wanted an object"),
        ("p.jsonl", b'{"tag": "colors"}\n', "p.jsonl, line 1: wanted an object"),
        ("p.jsonl", b'{"prompt": " "}\n', "p.jsonl, line 1: wanted an object"),
        ("P.JSONL", b"a red circle\n", "P.JSONL, line 1: not JSON"),
    ],
)
def test_a_line_that_is_no_prompt_is_named(script, tmp_path, capsys, name, data, says):
    (tmp_path / name).write_bytes(data)
    assert says in refused(script, capsys, [*command(tmp_path), "--prompts", str(tmp_path / name)])
    assert not (tmp_path / "out").exists()


def test_counts_are_at_least_one_and_a_beam_cannot_branch_deeper_than_the_model(script, tmp_path, capsys):
    for option in ("--n", "--width", "--candidates", "--branch", "--max-rows"):
        for value in (0, -1):
            error = refused(script, capsys, command(tmp_path, *BEAM, f"{option}={value}"))
            assert f"{option} is a whole number of at least 1; got {value}" in error
    assert "--branch is at most 6 for infin" in refused(script, capsys, command(tmp_path, *BEAM, "--branch", "7"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("last", ["a red/blue circle", "a red_blue circle", "a red " + "very " * 50 + "red circle"])
def test_names_that_compbench_cannot_have_are_told_before_anything_is_painted(script, tmp_path, capsys, last):
    arguments = command(tmp_path, "--layout", "compbench")
    (tmp_path / "prompts.txt").write_text(f"{PROMPTS[0]}\n{last}\n")
    error = refused(script, capsys, arguments)
    assert last in error
    assert "where / and _ cannot be" in error or "255 bytes" in error
    assert not (tmp_path / "out").exists()
    script.check_prompts(script.parser().parse_args(arguments[:-2]), [{"prompt": last}])  # GenEval's names have none


def test_prompts_without_features_are_told_before_anything_is_painted(script, tmp_path, capsys):
    features = save_features(tmp_path / "f.safetensors", {PROMPTS[0]: torch.zeros(3, 4)})
    error = refused(script, capsys, command(tmp_path, "--text", str(features)))
    assert f"1 of 2 prompts lack features: {features} has no features of" in error
    assert f"python -m vartut.published.text --out {features} '{PROMPTS[1]}'" in error
    features.write_bytes(b"no tensors")
    assert f"{features} is damaged" in refused(script, capsys, command(tmp_path, "--text", str(features)))
    assert "no text features at" in refused(script, capsys, command(tmp_path, "--text", str(tmp_path / "none")))
    assert not (tmp_path / "out").exists()
    save_features(features, {prompt: torch.zeros(3, 4) for prompt in PROMPTS})
    assert script.main(command(tmp_path, "--text", str(features))) == 0


def test_a_prompt_that_is_no_class_is_told_before_var_paints(script, tmp_path, capsys):
    arguments = ["var-d16", *command(tmp_path)[1:]]
    (tmp_path / "prompts.txt").write_text("golden retriever\ngolden retrieve\n")
    assert "'golden retrieve' is no ImageNet class" in refused(script, capsys, arguments)
    assert not (tmp_path / "out").exists()


# ---- the commands themselves: their folder is where python looks for modules first, so nothing there may hide one ----

TINY = """
import os, runpy, sys, torch
sys.path[0] = "benchmarks"  # as for a script that lies there
from vartut.published import imagereward
model = imagereward.RewardModel(32, 16, width=8, depth=1, heads=2, hidden=8, layers=1, text_heads=2, inner=16, words=6)
imagereward.RewardModel = lambda: model
torch.save(model.state_dict(), os.environ["VARTUT_PUBLISHED"] + "/ImageReward.pt")
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def process(tmp_path, *arguments) -> subprocess.CompletedProcess:
    """Another Python, in which BERT's words are on the machine, and no other published file."""
    words = tmp_path / "own" / "bert-base-uncased" / "vocab.txt"
    words.parent.mkdir(parents=True)
    words.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE_"))}
    env |= {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(tmp_path), "VARTUT_PUBLISHED": str(words.parents[1])}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["published_pictures", "published_scores"])
def test_a_verifier_that_is_not_there_is_one_line_of_the_real_command(script, tmp_path, name):
    assert script.main(command(tmp_path)) == 0
    painting = command(tmp_path, "--search", "beam", "--out", str(tmp_path / "other"))
    arguments = painting if name == "published_pictures" else [tmp_path / "out"]
    done = process(tmp_path, f"benchmarks/{name}.py", *arguments, "--verifier", "image-reward")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith(f"{name}: ImageReward.pt is not on this machine: fetch https://huggingface.co/")


def test_the_real_command_builds_image_reward_and_scores_with_it(script, tmp_path):
    assert script.main(command(tmp_path)) == 0
    done = process(tmp_path, "-c", TINY, "benchmarks/published_scores.py", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert " by image-reward (95 % interval " in done.stdout

"""The command line: every command end to end with toy models, every error one line on stderr and exit code 2."""

import errno
import functools
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from toy_models import randomise, toy_tokenizer, toy_transformer

import vartut
from vartut import cli
from vartut.course import doctor
from vartut.course.demo import save_picture
from vartut.models.protocol import row_seed
from vartut.paths import data_folder
from vartut.training import build, recipes, verifiers
from vartut.verifiers import clip
from vartut.weights import load_weights, read_provenance, save_weights

PROMPT = "a red circle left of a blue square"
TOKENIZER = {"quantizer": "codebook", "codes": 32, "channels": 8, "width": 8, "scales": [1, 2, 3, 4, 6, 8]}
SHAPE = {"width": 32, "depth": 2, "heads": 2}


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """A data folder whose weights are toys."""
    folder = tmp_path_factory.mktemp("toys") / "data"
    shutil.copytree(data_folder() / "clip", folder / "clip")
    weights, tokenizer, run = folder / "weights", toy_tokenizer(), {"minutes": 1.0, "seed": 0}
    origin = {"minutes": 1.0, "device": "a toy", "runs": [run]}
    save_weights(tokenizer, "tokenizer", TOKENIZER, origin, weights)
    digest = read_provenance("tokenizer", weights)["sha256"]
    settings = SHAPE | {"tokenizer": "tokenizer", "tokenizer_sha256": digest, "sampler": {"guidance": 2.0}}
    transformer = randomise(toy_transformer(tokenizer, **SHAPE), 0.3)
    for name in ("nano", "tiny"):
        save_weights(transformer, name, settings, origin, weights)
    for seed, name in enumerate(("clip", "clip-hard")):
        torch.manual_seed(seed)
        save_weights(clip.build(), name, clip.SETTINGS, origin, weights)
    return folder


@pytest.fixture
def data(toys, tmp_path, monkeypatch):
    """That folder, copied to be spoilt, as vartut's data; the working folder is empty."""
    folder = shutil.copytree(toys, tmp_path / "data")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("VARTUT_DATA", str(folder))
    return folder


@pytest.fixture
def vartut_says(capsys):
    """Run one command and return its exit code, standard output and error stream."""

    def run(*words):
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as end:  # argparse
            code = end.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(vartut_says):
    """Run one command that must fail; returns its one line."""

    def run(*words):
        code, out, error = vartut_says(*words)
        assert code == 2, f"exit code {code}\n{out}{error}"
        assert out == "", "nothing is said as if it had worked"
        assert error.startswith("vartut: ")
        assert error.count("\n") == 1, "one line"
        assert error.endswith("\n")
        assert "Traceback" not in error
        return error

    return run


# ---- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a red cirkle", ['unknown word "cirkle"', '"circle"']),
        ("a purpel star", ["purpel"]),
        ("", ["a prompt is a non-empty text"]),
        ("circle", ['expected "a", "an" or a number', 'found "circle"']),
        ("a red circle left of", ["the end"]),
        ("a circle a square", ["cannot read"]),
        ("five stars and two rings", ["more than five objects"]),
        ("a red circle left of a blue square left of a ring", ['expected "," or "and"', 'found "left"']),
        ("a circle, a star", ["and"]),
        ("a " * 40, ["at most"]),
    ],
)
@pytest.mark.parametrize("command", ["paint", "demo"])
def test_a_prompt_outside_the_grammar(command, prompt, said, refused, data):
    line = refused(command, prompt) if command == "paint" else refused("demo", "--prompt", prompt)
    assert all(text in line for text in said), line
    assert list(Path().iterdir()) == [], "refused before anything is written"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "--model", "tinny"], ['unknown model "tinny"', '"tiny"']),
        (["evaluate", "--search", "beam", "--verifier", "clip_hard"], ['verifier "clip_hard"', '"clip-hard"']),
        (["evaluate", "--tasks", "colors", "postion"], ['unknown task "postion"', '"position"']),
        (["evaluate", "--tasks", "colors", "--search", "bean"], ["bean", "beam"]),
        (["train", "tinny"], ['unknown recipe "tinny"', '"tiny"', "clip-hard"]),
        (["train", "tokeniser"], ['"tokenizer"']),
        (["pain", PROMPT], ["paint"]),
        ([], ["command"]),
        (["paint"], ["prompt"]),
        (["paint", PROMPT, "--seed", "x"], ["--seed", "'x'"]),
        (["paint", PROMPT, "--nn", "3"], ["--nn"]),
        (["train", "tiny", "--steps", "1.5"], ["--steps", "1.5"]),
    ],
)
def test_unknown_names_and_arguments(words, said, refused, data):
    line = refused(*words)
    assert all(text in line for text in said), line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["paint", PROMPT, "--n", "0"], "argument --n: it is a whole number of at least 1; got 0"),
        (["paint", PROMPT, "--n", "-2"], "--n: it is a whole number of at least 1; got -2"),
        (["paint", PROMPT, "--n", "2.0"], "--n: it is a whole number of at least 1; got '2.0'"),
        (["paint", PROMPT, "--n", "9" * 5000], "--n: Exceeds the limit"),
        (["paint", PROMPT, "--seed", "1e3"], "--seed: it is a whole number; got '1e3'"),
        (["paint", PROMPT, "--search", "beam", "--width", "0"], "--width: it is a whole number of at least 1; got 0"),
        (["demo", "--seed", "None"], "--seed: it is a whole number; got 'None'"),
        (["evaluate", "--n", "0"], "--n: it is a whole number of at least 1; got 0"),
        (["evaluate", "--n", "-1", "--search", "greedy"], "--n: it is a whole number of at least 1; got -1"),
        (["evaluate", "--n", "1", "--tasks", "colors", "--search", "beam", "--width", "0"], "width"),
        (["evaluate", "--n", "1", "--tasks", "colors", "--search", "beam", "--width", "-2"], "width"),
        (["evaluate", "--n", "1", "--tasks", "colors", "--search", "beam", "--candidates", "0"], "candidates"),
        (["evaluate", "--n", "1", "--tasks", "colors", "--search", "greedy", "--candidates", "-1"], "candidates"),
        (["evaluate", "--n", "1", "--tasks", "colors", "--search", "random", "--width", "0"], "at least 1"),
        (["evaluate", "--n", "1", "--tasks", "colors", "--search", "random", "--candidates", "-5"], "at least 1"),
        (["evaluate", "--search", "random", "--width", "-1", "--candidates", "-5"], "--width: it is"),
        (["evaluate", "--n", "1", "--search", "greedy", "--width", "-1"], "--width: it is a whole number"),
        (["train", "tiny", "--steps", "0"], "--steps: it is a whole number of at least 1; got 0"),
        (["train", "tiny", "--steps", "-5"], "--steps: it is a whole number of at least 1; got -5"),
        (["train", "clip", "--batch", "0"], "--batch: it is a whole number of at least 1; got 0"),
        (["train", "clip", "--seed", "-1"], "--seed: it is a whole number of at least 0; got -1"),
    ],
)
def test_numbers_that_make_no_sense(words, said, refused, data):
    assert said in refused(*words)


@pytest.mark.parametrize("command", ["paint", "demo", "train"])
def test_a_place_that_cannot_be_written(command, refused, data):
    (data / "file").write_text("in the way")  # permission bits do not hold for root, this does
    place = data / "file" / "out"
    words = {
        "paint": ["paint", PROMPT, "--n", "1", "--out", place / "x.png"],
        "demo": ["demo", "--out", place],
        "train": ["train", "tokenizer-bits", "--steps", "1", "--batch", "1", "--folder", place],
    }[command]
    line = refused(*words)
    assert str(data / "file") in line
    assert "choose another place" in line


def test_no_permission_says_to_choose_another_place(refused, data, monkeypatch):
    def denied(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", denied)
    line = refused("demo", "--out", "/somewhere/demo")
    assert "no permission for /somewhere/demo: choose another place" in line


def test_a_checkpoint_that_cannot_be_written(vartut_says, data):
    Path("here/tokenizer.log.jsonl").mkdir(parents=True)
    words = ["train", "tokenizer", "--steps", "1", "--batch", "1", "--folder", "here"]
    code, _, error = vartut_says(*words)
    wanted = "vartut: here/tokenizer.log.jsonl cannot be written: choose another place for it\n"
    assert (code, error) == (2, wanted)


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["paint", PROMPT, "--n", "1", "--out", "x/row.png"], "x/row.png"),
        (["demo", "--out", "x"], "x/ledger.txt"),
        (["train", "tokenizer", "--steps", "1", "--batch", "1", "--folder", "x"], "x/tokenizer.log.jsonl"),
    ],
)
def test_a_full_disk_is_said_in_a_line_and_leaves_no_part(words, file, vartut_says, data, quick, monkeypatch):
    write = Path.write_bytes

    def no_room(path, content):
        write(path, content[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_room)
    code, _, error = vartut_says(*words)
    assert (code, error) == (2, f"vartut: {file}: the disk is full: make room, and run it again\n")
    assert [p.name for p in Path("x").iterdir() if p.suffix != ".lock"] == []


def test_a_picture_is_not_written_over_a_folder(refused, data):
    Path("pictures").mkdir()
    line = refused("paint", PROMPT, "--n", "1", "--out", "pictures")
    assert "pictures cannot be written: choose another place" in line


@pytest.mark.parametrize("words", [["paint", PROMPT], ["evaluate", "--n", "1"], ["demo"]])
def test_damaged_and_missing_weights(words, refused, data):
    path = data / "weights" / "tiny.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    line = refused(*words)
    assert "is damaged or cut short" in line
    assert "vartut train tiny" in line
    path.unlink()
    assert f"{path} is missing" in refused(*words)


def test_no_data_at_all(refused, data, monkeypatch):
    monkeypatch.setenv("VARTUT_DATA", str(data / "nowhere"))
    for command in (["paint", PROMPT], ["doctor"]):
        assert "VARTUT_DATA" in refused(*command)


def test_a_device_that_is_not_there(refused, data, monkeypatch):
    monkeypatch.setenv("VARTUT_DEVICE", "gpu")
    for words in (["paint", PROMPT], ["doctor"], ["evaluate", "--n", "1"], ["train", "tiny"]):
        assert 'VARTUT_DEVICE is "gpu"' in refused(*words)


def test_interrupted(vartut_says, data, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("vartut.measure.evaluate.paint", interrupt)
    assert vartut_says("paint", PROMPT) == (130, "", "vartut: interrupted\n")


def test_lab_without_notebooks(refused, data, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "site-packages" / "vartut" / "cli.py"))
    assert "the notebooks come with the repository" in refused("lab")


def test_lab_opens_jupyter_on_the_notebooks(vartut_says, data, monkeypatch):
    called = []
    monkeypatch.setattr(subprocess, "call", lambda words: called.append(words) or 3)
    assert vartut_says("lab")[0] == 3, "jupyter's own exit code"
    [[python, *words]] = called
    assert python == sys.executable
    assert words[:3] == ["-m", "jupyter", "lab"]
    assert Path(words[3], "README.md").exists()


def test_an_error_of_the_program_is_not_hidden(data, monkeypatch):
    def bug(*args, **kwargs):
        raise TypeError("a bug")

    monkeypatch.setattr("vartut.measure.evaluate.paint", bug)
    with pytest.raises(TypeError, match="a bug"):
        cli.main(["paint", PROMPT])


# ---- paint, evaluate, doctor, demo ---------------------------------------------------------------------------------


def test_paint(vartut_says, data):
    code, out, error = vartut_says("paint", PROMPT, "--n", "3", "--out", "new/row.png")
    assert (code, error) == (0, "")
    path, *verdicts = out.splitlines()
    assert path == "new/row.png:"
    assert [line.split(". ")[0].strip() for line in verdicts] == ["1", "2", "3"]
    assert all(len(line.split(". ", 1)[1]) > 5 for line in verdicts)
    with Image.open("new/row.png") as row:
        assert row.size == (4 * (3 * 66 - 2), 4 * 64)
        columns = row.load()
        assert all(columns[4 * 64 + x, y] == (255, 255, 255) for x in range(8) for y in range(256)), "a white gap"


def test_a_saved_picture_is_the_same_whatever_form_it_comes_in(tmp_path):
    """As floats, as the bytes of a search's tree, as NumPy's (H, W, 3)."""
    pixels = torch.randint(256, (3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    forms = [pixels[None] / 255, pixels, pixels[None], pixels.permute(1, 2, 0).numpy()]
    for i, form in enumerate(forms):
        save_picture(form, tmp_path / f"{i}.png", zoom=1)
        with Image.open(tmp_path / f"{i}.png") as picture:
            assert np.array_equal(np.asarray(picture), pixels.permute(1, 2, 0).numpy()), f"form {i}"
    with pytest.raises(ValueError, match="save_picture takes pictures"):
        save_picture(255.0 * forms[0], tmp_path / "white.png")


def test_paint_is_a_function_of_the_seed_and_nests(vartut_says, data):
    for name, n, seed in (("a", 2, 0), ("b", 2, 0), ("c", 1, 0), ("d", 2, 1)):
        assert vartut_says("paint", PROMPT, "--n", n, "--seed", seed, "--out", f"{name}.png")[0] == 0
    a, b, c, d = (Image.open(f"{name}.png").tobytes() for name in "abcd")
    assert a == b
    assert a != d
    with Image.open("a.png") as two:
        assert two.crop((0, 0, 256, 256)).tobytes() == c, "one picture is the first of two"


def test_paint_with_a_search(vartut_says, data):
    """The picture of the search itself, its summary and the judge's word; several are searched one by one."""
    words = ["--search", "beam", "--verifier", "clip", "--width", "2", "--candidates", "3"]
    code, out, error = vartut_says("paint", PROMPT, *words, "--seed", "5", "--out", "one.png")
    assert (code, error) == (0, "")
    path, verdict, summary = out.splitlines()
    assert path == "one.png:"
    seed = row_seed(5, 0)
    found = vartut.beam_search(vartut.load(), PROMPT, vartut.load_verifier("clip"), width=2, candidates=3, seed=seed)
    assert summary == f"  1. {found}"
    assert verdict == f"  1. {vartut.judge(found.image[None], [PROMPT])[0].reason}"
    picture = np.asarray(Image.open("one.png"))[::4, ::4]
    assert np.array_equal(picture, (found.image * 255).round().byte().permute(1, 2, 0).numpy())
    assert vartut_says("paint", PROMPT, *words, "--seed", "5", "--n", "2", "--out", "two.png")[0] == 0
    with Image.open("two.png") as two, Image.open("one.png") as one:
        assert two.size == (4 * (2 * 66 - 2), 256)
        assert two.crop((0, 0, 256, 256)).tobytes() == one.tobytes()


@pytest.mark.parametrize("search", ["random", "greedy", "beam"])
def test_paint_searches_as_evaluate_does(search, vartut_says, data, monkeypatch):
    seen = []

    def spy(sampler, prompt, verifier, seed, **numbers):
        seen.append((search, verifier.name, seed, numbers))
        return types.SimpleNamespace(image=torch.full((3, 64, 64), 0.9))

    monkeypatch.setattr(f"vartut.search.{search}_search", spy)
    words = ["--search", search, "--verifier", "oracle", "--width", "2", "--candidates", "3"]
    assert vartut_says("paint", PROMPT, *words, "--seed", "4")[0] == 0
    assert vartut_says("evaluate", "--n", "1", "--tasks", "colors", *words)[0] == 0
    (painted, judged), numbers = seen, {"random": {"n": 6}, "greedy": {"candidates": 3}}
    assert painted == (search, "oracle", row_seed(4, 0), numbers.get(search, {"width": 2, "candidates": 3}))
    assert judged[:2] + judged[3:] == painted[:2] + painted[3:]


@pytest.mark.parametrize("search", [None, "random", "greedy", "beam"])
def test_evaluate(search, vartut_says, data):
    words = ["evaluate", "--n", "1", "--tasks", "colors"]
    if search:
        words += ["--search", search, "--verifier", "clip", "--width", "1", "--candidates", "2"]
    code, out, error = vartut_says(*words)
    assert (code, error) == (0, "")
    head, colors, everything = out.splitlines()
    assert head.split()[0] == "task"
    assert colors.split()[:2] == ["colors", "1"]
    assert everything.split()[:2] == ["all", "1"]


def test_evaluate_searches_with_what_it_is_told(vartut_says, data, monkeypatch):
    seen = []

    def search(sampler, prompt, verifier, seed, **numbers):
        seen.append((verifier.name, numbers))
        return type("Found", (), {"image": torch.full((3, 64, 64), 0.9)})

    for name in ("random", "greedy", "beam"):
        monkeypatch.setattr(f"vartut.search.{name}_search", search)
        words = ["--search", name, "--verifier", "oracle", "--width", "2", "--candidates", "3"]
        assert vartut_says("evaluate", "--n", "1", "--tasks", "colors", *words)[0] == 0
    assert seen == [
        ("oracle", {"n": 6}),
        ("oracle", {"candidates": 3}),
        ("oracle", {"width": 2, "candidates": 3}),
    ]


def test_doctor(vartut_says, data):
    code, out, error = vartut_says("doctor")
    assert (code, error) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["device", "versions", "weights"]
    assert f"torch {torch.__version__}" in lines[1]
    assert str(data / "weights") in lines[2]
    for name in ("nano", "tiny", "tokenizer", "clip", "clip-hard"):
        [line] = [line for line in lines if line.split()[0] == name]
        assert "whole" in line
        assert "trained 1 min on a toy" in line
    assert any(line.startswith("faster    ") for line in lines)


def test_doctor_finds_what_is_ill(vartut_says, data):
    (data / "weights" / "tiny.json").write_text("{")
    (data / "weights" / "tokenizer.safetensors").unlink()
    for path in (data / "weights").glob("clip-hard.*"):
        path.unlink()
    path = data / "weights" / "clip.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    code, out, _ = vartut_says("doctor")
    assert code == 1
    for name, said in (("tiny", "damaged"), ("tokenizer", "missing"), ("clip", "cut short"), ("clip-hard", "missing")):
        [line] = [line for line in out.splitlines() if line.split()[0] == name]
        assert said in line


def test_doctor_says_what_would_be_faster(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(doctor, "fast_bf16", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    text = "\n".join(doctor.hints(cpu))
    assert "a GPU (Colab has one" in text
    assert "set OMP_NUM_THREADS=4" in text
    assert "AVX512-BF16" in text
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert "install the CUDA build of torch" in "\n".join(doctor.hints(cpu))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("VARTUT_DEVICE", "cpu")
    assert "VARTUT_DEVICE=cpu keeps the GPU idle" in "\n".join(doctor.hints(cpu))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda where: (7, 5))
    assert "from Ampere on" in "\n".join(doctor.hints(cuda))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda where: (8, 0))
    assert doctor.hints(cuda) == []
    assert doctor.version("no-such-package") == "missing"


def test_a_path_that_the_locale_cannot_spell_stops_nothing(data, monkeypatch):
    """Where the locale is ASCII, Python cannot print an umlaut; the picture is there all the same."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert cli.main(["paint", "a star", "--n", "1", "--out", "gr\u00f6\u00dfe.png"]) == 0
    out.flush()
    assert b"gr\\xf6\\xdfe.png" in out.buffer.getvalue()
    assert Path("gr\u00f6\u00dfe.png").exists()


def test_demo_with_the_shipped_weights(tmp_path):
    """`vartut demo` as a stranger runs it, in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if key != "VARTUT_DATA"}
    code = "import sys; from vartut.cli import main; sys.exit(main())"
    command = [sys.executable, "-W", "error", "-c", code, "demo", "--out", "demo/here"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    out = tmp_path / "demo" / "here"
    assert {path.name for path in out.iterdir()} == {"plain.png", "searched.png", "tree.png", "ledger.txt"}
    for name in ("plain.png", "searched.png"):
        with Image.open(out / name) as picture:
            assert picture.size == (256, 256)
            assert len(picture.getcolors(256 * 256)) > 20, "a picture, not an empty ground"
    with Image.open(out / "tree.png") as tree:
        assert min(tree.size) > 300
    ledger = (out / "ledger.txt").read_text()
    assert "the paper's convention counts" in ledger
    total = next(line for line in ledger.splitlines() if line.startswith("total")).split()
    assert total[1] == str(1 + 15 * 6 * 5 // 2), "1 + w c K (K - 1) / 2 NFE"
    for name in ("plain.png", "searched.png", "tree.png", "ledger.txt"):
        assert f"demo/here/{name}" in run.stdout
    assert f'"{cli.DEMO}"' in run.stdout
    assert run.stdout.count("the judge: ") == 2
    assert ledger.splitlines()[0] in run.stdout


# ---- train ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Evaluations that take no time, and a checkpoint after every step."""
    for recipe in (recipes.TokenizerRecipe, recipes.TransformerRecipe, verifiers.ClipRecipe):
        monkeypatch.setattr(recipe, "evaluate", lambda self: {"loss": 1.5})
    monkeypatch.setattr(build, "train", functools.partial(build.train, save_minutes=0))


def train(name, *words, steps=3):
    """The words of a small training command."""
    return ["train", name, "--steps", str(steps), "--batch", "2", *words]


def test_train_writes_weights_log_and_provenance(vartut_says, data, quick):
    before = (data / "weights" / "tokenizer.safetensors").read_bytes()
    code, out, _ = vartut_says(*train("tokenizer"))
    assert code == 0
    assert out.splitlines()[-1] == f"weights: {Path('runs/tokenizer/tokenizer.safetensors')}"
    folder = Path("runs/tokenizer")
    names = {"tokenizer.checkpoint.safetensors", "tokenizer.log.jsonl", "tokenizer.safetensors", "tokenizer.json"}
    assert {path.name for path in folder.iterdir()} == names | {"tokenizer.lock"}
    origin = read_provenance("tokenizer", folder)
    assert (origin["steps"], origin["batch"], origin["seeds"], origin["warm_start"]) == (3, 2, [0], None)
    assert origin["metrics"] == {"loss": 1.5}
    trained = vartut.load_tokenizer("tokenizer", folder)
    checkpoint = load_file(folder / "tokenizer.checkpoint.safetensors")
    assert torch.equal(trained.encoder[1].weight, checkpoint["model.encoder.1.weight"].half().float())
    assert (data / "weights" / "tokenizer.safetensors").read_bytes() == before, "the shipped ones are left alone"


def test_train_ships_when_told(vartut_says, data, quick):
    code, out, _ = vartut_says(*train("tokenizer-bits", "--ship", "--folder", "mine"))
    assert code == 0
    assert f"weights: {data / 'weights' / 'tokenizer-bits.safetensors'}" in out.splitlines()
    one, other = Path("mine/tokenizer-bits.safetensors"), data / "weights" / "tokenizer-bits.safetensors"
    assert one.read_bytes() == other.read_bytes()
    assert vartut.load_tokenizer("tokenizer-bits").bitwise


@pytest.mark.parametrize("name", ["tokenizer", "tiny"])
def test_the_same_command_resumes_a_run_that_was_stopped(name, vartut_says, data, quick, monkeypatch):
    kind = recipes.TransformerRecipe if name == "tiny" else recipes.TokenizerRecipe
    loss, steps = kind.loss, []

    def stopped(self, step):
        if step == 2:
            raise KeyboardInterrupt
        return loss(self, step)

    def watched(self, step):
        steps.append(step)
        return loss(self, step)

    assert vartut_says(*train(name, "--folder", "whole", steps=4))[0] == 0
    monkeypatch.setattr(kind, "loss", stopped)
    assert vartut_says(*train(name, "--folder", "halves", steps=4))[0] == 130
    assert not Path(f"halves/{name}.safetensors").exists()
    monkeypatch.setattr(kind, "loss", watched)
    assert vartut_says(*train(name, "--folder", "halves", steps=4))[0] == 0
    assert steps == [2, 3], "only what was left"
    whole, halves = (load_file(f"{folder}/{name}.safetensors") for folder in ("whole", "halves"))
    assert set(whole) == set(halves)
    assert all(torch.equal(whole[key], halves[key]) for key in whole)


@pytest.mark.parametrize("own", [None, "tokenizer", "tokenizer-bits"])
def test_a_new_transformer_reads_the_tokenizer_of_its_folder_or_the_shipped_one(own, vartut_says, data, quick):
    if own:
        assert vartut_says(*train(own, "--folder", "mine", steps=1))[0] == 0
    assert vartut_says(*train("tiny", "--folder", "mine", steps=1))[0] == 0
    settings, _ = load_weights("tiny", "mine")
    folder = "mine" if own else data / "weights"
    reads = own or "tokenizer"
    assert (settings["tokenizer"], settings["tokenizer_sha256"]) == (reads, read_provenance(reads, folder)["sha256"])
    assert vartut.load("tiny", "mine").num_steps


def test_a_run_with_other_numbers_does_not_resume(refused, vartut_says, data, quick):
    assert vartut_says(*train("tokenizer"))[0] == 0
    line = refused(*train("tokenizer", steps=5))
    assert "is of another run (steps 3, not 5): remove it, or give this run a folder of its own with --folder" in line
    line = refused("train", "tokenizer", "--steps", "3", "--batch", "3")
    assert "is of another run (batch 2, not 3, dense 1, not 2): remove it" in line


def test_a_run_from_other_weights_does_not_resume(refused, vartut_says, data, quick):
    """The provenance would name the wrong weights, and those that were asked for would never be read."""
    assert vartut_says(*train("clip-hard"))[0] == 0
    assert vartut_says(*train("clip", "--folder", "again", "--ship", steps=1))[0] == 0
    line = refused(*train("clip-hard"))
    now = read_provenance("clip")["sha256"]
    assert re.search(rf"is of another run \(start [0-9a-f]{{64}}, not {now}\): remove it", line)


def test_weights_to_start_from_that_do_not_fit_are_refused(refused, data, quick):
    settings, _ = load_weights("tiny")
    settings["tokenizer_sha256"] = read_provenance("tokenizer")["sha256"]
    save_weights(torch.nn.Linear(1, 1), "tiny", settings, read_provenance("tiny"), data / "weights")
    assert 'the weights "tiny" are of another version of its model' in refused(*train("tiny", "--from-weights"))


def test_folders_under_the_home(vartut_says, data, quick, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert vartut_says(*train("tokenizer", "--folder=~/run", steps=1))[0] == 0
    assert vartut_says(*train("tokenizer", "--folder=~/more", "--from-weights=~/run", steps=1))[0] == 0
    assert len(read_provenance("tokenizer", "~/more")["runs"]) == 2
    assert vartut_says("paint", PROMPT, "--n", "1", "--out=~/x.png")[0] == 0
    assert vartut_says("demo", "--out=~/demo")[0] == 0
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"run", "more", "x.png", "demo"}
    assert list(Path().iterdir()) == []
    code, _, error = vartut_says("paint", PROMPT, "--out=~nobody-here/x.png")
    assert (code, error.count("\n")) == (2, 1)
    assert "--out: ~nobody-here/x.png: there is no such home folder, give the path in full" in error


COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal, however the tests were started
from vartut.cli import main
from vartut.training.recipes import TokenizerRecipe
TokenizerRecipe.evaluate = lambda self: {}
sys.exit(main())
"""


def trainer(*words):
    """The command `vartut train` in a process of its own, on the toy of a tokenizer."""
    command = [sys.executable, "-c", COMMAND, *train("tokenizer", "--from-weights", *words, steps=60)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path, process):
    """Wait until a process has written a file."""
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"no {path} after two minutes"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_training_after_its_step_and_nothing_is_lost(number, vartut_says, data, quick):
    """Twice, as from a terminal and `timeout`: the second must not spoil the saving."""
    process, log = trainer("--folder", "run"), Path("run/tokenizer.log.jsonl")
    wait_for(log, process)
    process.send_signal(number)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    said = re.search(
        r"^vartut: stopped after (\d+) of 60 steps, saved in run/tokenizer\.checkpoint\.safetensors: "
        r"the same command goes on from there\n$",
        error,
        re.MULTILINE,
    )
    assert said, error
    with safe_open("run/tokenizer.checkpoint.safetensors", "pt") as file:
        assert file.metadata()["step"] == said.group(1)
    assert 1 <= int(said.group(1)) < 60
    assert {path.name for path in Path("run").iterdir()} == {
        f"tokenizer.{kind}" for kind in ("checkpoint.safetensors", "log.jsonl", "lock")
    }
    for folder in ("run", "whole"):
        assert vartut_says(*train("tokenizer", "--from-weights", "--folder", folder, steps=60))[0] == 0
    one, other = (load_file(f"{folder}/tokenizer.safetensors") for folder in ("run", "whole"))
    assert all(torch.equal(one[key], other[key]) for key in other), "the same weights as without the stop"
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 50, 59], "no step twice"
    assert log.read_text() == Path("whole/tokenizer.log.jsonl").read_text()


def test_a_second_training_in_a_folder_is_refused_while_the_first_runs(refused, data):
    process = trainer("--folder", "run")
    wait_for(Path("run/tokenizer.log.jsonl"), process)
    line = refused(*train("tokenizer", "--from-weights", "--folder", "run", steps=60))
    assert "tokenizer is being trained in run already: wait for that run, or give this one a folder of its own" in line
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, "the first was not disturbed"


def test_a_warm_start_goes_on_from_weights_and_lists_every_run(vartut_says, data, quick, monkeypatch):
    shipped = read_provenance("tiny")
    began = {}
    loss = recipes.TransformerRecipe.loss

    def spy(self, step):
        began.setdefault("weights", {name: t.clone() for name, t in self.model.state_dict().items()})
        return loss(self, step)

    monkeypatch.setattr(recipes.TransformerRecipe, "loss", spy)
    assert vartut_says(*train("tiny", "--from-weights", "--folder", "second"))[0] == 0
    _, tensors = load_weights("tiny")
    assert all(torch.equal(tensor, began["weights"][name]) for name, tensor in tensors.items())
    second = read_provenance("tiny", "second")
    assert len(second["runs"]) == 2
    assert second["warm_start"] == shipped["sha256"]
    assert second["seeds"] == [0, 1], "a new run sees new pictures"
    assert second["minutes"] >= shipped["minutes"]
    settings, _ = load_weights("tiny", "second")
    assert settings == load_weights("tiny")[0], "its shape, its tokenizer and how it paints"
    began.clear()
    assert vartut_says(*train("tiny", "--from-weights", "second", "--folder", "third", "--seed", "7"))[0] == 0
    assert torch.equal(began["weights"]["start"], load_weights("tiny", "second")[1]["start"])
    third = read_provenance("tiny", "third")
    assert [run["warm_start"] for run in third["runs"][1:]] == [shipped["sha256"], second["sha256"]]
    assert third["seeds"] == [0, 1, 7]


def test_clip_hard_starts_from_clip(vartut_says, data, quick):
    assert vartut_says(*train("clip-hard", "--folder", "hard", steps=1))[0] == 0
    origin = read_provenance("clip-hard", "hard")
    assert origin["warm_start"] == read_provenance("clip")["sha256"]
    assert len(origin["runs"]) == 2
    assert (origin["recipe"], origin["seed"]) == ("clip-hard", 1)


def test_clip_starts_from_nothing(vartut_says, data, quick):
    assert vartut_says(*train("clip", "--folder", "new", steps=1))[0] == 0
    assert read_provenance("clip", "new")["warm_start"] is None
    assert vartut.load_verifier("clip", "new")(torch.rand(2, 3, 64, 64), PROMPT).shape == (2,)


def test_tiny_is_trained_on_the_tokens_of_the_tokenizer_beside_it(vartut_says, data, quick):
    assert vartut_says(*train("tokenizer", "--folder", "first", steps=1))[0] == 0
    Path("mine").mkdir()
    for path in Path("first").glob("tokenizer.*"):
        shutil.copy(path, "mine")
    assert vartut_says(*train("tiny", "--folder", "mine", steps=1))[0] == 0
    settings, _ = load_weights("tiny", "mine")
    assert settings["tokenizer_sha256"] == read_provenance("tokenizer", "mine")["sha256"]
    assert vartut.load("tiny", "mine").num_steps == 6


def test_a_warm_start_on_other_tokens_is_refused(refused, vartut_says, data, quick):
    assert vartut_says(*train("tokenizer", "--folder", "mine", steps=1))[0] == 0
    for path in Path("mine").glob("checkpoint.*"):
        path.unlink()
    line = refused(*train("tiny", "--from-weights", "--folder", "mine"))
    assert "read the tokens of another tokenizer: copy tokenizer.safetensors and .json" in line


@pytest.mark.parametrize("folder", [None, "nowhere"])
def test_a_warm_start_from_nothing_is_refused(folder, refused, data, quick):
    if folder is None:
        (data / "weights" / "tiny.json").unlink()
    line = refused(*train("tiny", "--from-weights", *([folder] if folder else [])))
    assert "tiny.json is missing" in line
    assert not Path("runs").exists()


def test_metrics_are_printed_as_json(vartut_says, data, quick):
    _, out, _ = vartut_says(*train("tokenizer", steps=1))
    assert json.loads(out.splitlines()[0])["loss"] == 1.5

"""Names to weights: what is saved comes back, what is damaged or does not fit is refused in a line with a remedy."""

import builtins
import errno
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from toy_models import randomise, toy_tokenizer, toy_transformer

import vartut
from vartut import hub, names, provenance, weights
from vartut.device import device, training_dtype
from vartut.models.tokenizer import Tokenizer
from vartut.paths import data_folder

CPU = torch.device("cpu")
SETTINGS = {"quantizer": "codebook", "codes": 32, "channels": 8, "width": 8, "scales": [1, 2, 3, 4, 6, 8]}
SHAPE = {"width": 32, "depth": 2, "heads": 2}
PAINTING = {"guidance": [1, 2, 3, 3, 2, 1], "temperature": 0.7, "top_k": 20, "top_p": 0.9}


def write_toys(folder):
    """Weights "tokenizer" and "tiny" of toy size in a folder, by `save_weights`; returns the two models."""
    tokenizer = toy_tokenizer()
    weights.save_weights(tokenizer, "tokenizer", SETTINGS, {}, folder)
    transformer = randomise(toy_transformer(tokenizer, **SHAPE), 0.3)
    digest = weights.read_provenance("tokenizer", folder)["sha256"]
    settings = SHAPE | {"tokenizer": "tokenizer", "tokenizer_sha256": digest, "sampler": PAINTING}
    weights.save_weights(transformer, "tiny", settings, {}, folder)
    return tokenizer, transformer


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder of toy weights that no test changes."""
    folder = tmp_path_factory.mktemp("toys")
    write_toys(folder)
    return folder


@pytest.fixture
def folder(written, tmp_path):
    """A folder of toy weights to spoil."""
    return shutil.copytree(written, tmp_path / "weights")


def line_of(caught) -> str:
    """The message of a caught exception, which is one line."""
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


# ---- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "wrong", "kind", "near"),
    [
        (vartut.load, "tinny", "model", "tiny"),
        (vartut.load_tokenizer, "tokenizer-bit", "tokenizer", "tokenizer-bits"),
        (vartut.load_verifier, "clip_hard", "verifier", "clip-hard"),
        (vartut.load_verifier, "orakle", "verifier", "oracle"),
        (vartut.load_verifier, "", "verifier", "clip"),
        (vartut.load, None, "model", "tiny"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_known_one(load, wrong, kind, near):
    with pytest.raises(ValueError, match=f"unknown {kind} ") as caught:
        load(wrong)
    message = line_of(caught)
    assert f'"{wrong}"' in message
    assert "did you mean" in message
    if wrong:
        assert f'did you mean "{near}"' in message
    assert near in message.split("known: ")[1].split(", ")


def test_known_names_pass():
    for name in ("a", "b"):
        names.check_name(name, ("a", "b"), "letter")


# ---- save and load -------------------------------------------------------------------------------------------------


def test_round_trip_in_half_precision(written):
    tokenizer, transformer = toy_tokenizer(), randomise(toy_transformer(toy_tokenizer(), **SHAPE), 0.3)
    sampler = vartut.load("tiny", written, CPU)
    for saved, loaded in ((tokenizer, sampler.tokenizer), (transformer, sampler.transformer)):
        wanted, found = saved.state_dict(), loaded.state_dict()
        assert set(wanted) == set(found)
        for name, tensor in wanted.items():
            assert found[name].dtype == torch.float32
            assert torch.equal(found[name], tensor.half().float()), name
    with safe_open(written / "tiny.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118
        assert json.loads(file.metadata()["settings"])["sampler"] == PAINTING
    numbers = sum(tensor.numel() for tensor in transformer.state_dict().values())
    assert 2 * numbers < (written / "tiny.safetensors").stat().st_size < 2 * numbers + 10_000


def test_the_sampler_is_tuned_as_its_file_says(written):
    sampler = vartut.load("tiny", written, CPU)
    assert sampler.guidance == [1, 2, 3, 3, 2, 1]
    assert sampler.temperature == [0.7] * 6
    assert sampler.top_k == [20] * 6
    assert sampler.top_p == [0.9] * 6
    assert not sampler.transformer.training
    assert not sampler.tokenizer.training


def test_it_paints_the_same_each_time_it_is_loaded(written):
    pictures = []
    for _ in range(2):
        sampler = vartut.load("tiny", written, CPU)
        state = sampler.begin(["a red circle"], 3)
        for _ in range(sampler.num_steps):
            state = sampler.expand(state)
        pictures.append(sampler.preview(state))
    assert torch.equal(*pictures)


def test_whole_numbers_stay_whole_numbers(tmp_path):
    model = torch.nn.BatchNorm1d(3)  # counts its batches in an integer
    model.num_batches_tracked += 70_000  # more than half precision holds
    weights.save_weights(model, "norm", {"features": 3}, {}, tmp_path)
    settings, tensors = weights.load_weights("norm", tmp_path)
    assert settings == {"features": 3}
    assert tensors["num_batches_tracked"].dtype == torch.int64
    assert tensors["num_batches_tracked"] == 70_000


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 65_520.0])
def test_weights_that_half_precision_cannot_hold_are_refused_and_the_old_ones_stay(bad, tmp_path):
    model = torch.nn.Linear(2, 1)
    path = weights.save_weights(model, "line", {}, {}, tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(before) == {"line.safetensors", "line.json"}
    with torch.no_grad():
        model.weight[0, 1] = bad
    with pytest.raises(ValueError, match=r'"weight" of "line".*half precision.*diverge') as caught:
        weights.save_weights(model, "line", {}, {}, tmp_path)
    line_of(caught)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert path.exists()


def test_the_largest_number_of_half_precision_is_kept(tmp_path):
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 65_504.0)
    weights.save_weights(model, "line", {}, {}, tmp_path)
    assert weights.load_weights("line", tmp_path)[1]["weight"] == 65_504.0


def test_the_checksum_is_that_of_the_file(written):
    origin = json.loads((written / "tiny.json").read_text())
    data = (written / "tiny.safetensors").read_bytes()
    assert origin["sha256"] == weights.sha256(written / "tiny.safetensors") == hashlib.sha256(data).hexdigest()
    assert origin["name"] == "tiny"
    assert origin["parameters"] == sum(p.numel() for p in toy_transformer(toy_tokenizer(), **SHAPE).parameters())


def test_no_unfinished_file_is_left_behind(written):
    assert {path.name for path in written.iterdir()} == {
        f"{name}.{suffix}" for name in ("tiny", "tokenizer") for suffix in ("safetensors", "json")
    }


def test_a_place_that_cannot_be_written_is_an_error_of_the_system_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        weights.save_weights(torch.nn.Linear(1, 1), "line", {}, {}, tmp_path / "file" / "weights")
    (tmp_path / "line.safetensors").mkdir()  # root may write everywhere, but not into a folder as if it were a file
    with pytest.raises(OSError, match=re.escape("line.safetensors")):
        weights.save_weights(torch.nn.Linear(1, 1), "line", {}, {}, tmp_path)


@pytest.mark.parametrize("full", [".safetensors", ".json"])
def test_a_full_disk_leaves_the_weights_that_were_there(full, folder, monkeypatch):
    """The old weights and their provenance stay together, whichever file has no room."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write, left = Path.write_bytes, [1 if full == ".json" else 0]

    def no_room(path, content):
        left[0] -= 1
        if left[0] < 0:
            write(path, content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", no_room)
    said = f"the disk is full: make room, and run it again: '{folder}/tiny{full}'"
    with pytest.raises(OSError, match=re.escape(said)):
        weights.save_weights(torch.nn.Linear(1, 1), "tiny", {}, {}, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_weights_are_written_and_read_in_a_folder_under_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_toys("~/mine")
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}
    for where in ("~/mine", Path("~/mine")):
        assert vartut.load("tiny", where, CPU).num_steps == 6
        assert vartut.load_tokenizer("tokenizer", where, CPU).scales == vartut.load("tiny", where, CPU).tokenizer.scales
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "mine" / "clip.safetensors"))):
        vartut.load_verifier("clip", "~/mine")
    with pytest.raises(ValueError, match="~nobody-here/mine: there is no such home folder, give the path in full"):
        vartut.load("tiny", "~nobody-here/mine")


# ---- damage --------------------------------------------------------------------------------------------------------


def flip(path, place):
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def spoil_weights(path, how):
    """Damage a weights file."""
    data = path.read_bytes()
    if how == "last byte":
        flip(path, -1)
    elif how == "first byte":
        flip(path, 0)
    elif how == "middle byte":
        flip(path, len(data) // 2)
    else:
        cut = {"half": data[: len(data) // 2], "short by one": data[:-1], "empty": b"", "longer": data + b"0"}
        path.write_bytes(cut[how])


HARM = ("first byte", "middle byte", "last byte", "half", "short by one", "empty", "longer")


@pytest.mark.parametrize("name", ["tiny", "tokenizer"])
@pytest.mark.parametrize("how", HARM)
def test_damaged_weights_are_refused_with_a_remedy(name, how, folder):
    spoil_weights(folder / f"{name}.safetensors", how)
    with pytest.raises(ValueError, match=re.escape(f"{name}.safetensors is damaged or cut short (SHA-256 ")) as caught:
        vartut.load("tiny", folder, CPU)
    message = line_of(caught)
    assert f"`vartut train {name} --folder {folder}`, or read the shipped ones" in message
    assert f"vartut train {name}" in message


def test_damaged_verifiers_are_refused_too(tmp_path):
    weights.save_weights(torch.nn.Linear(1, 1), "clip", {}, {}, tmp_path)
    flip(tmp_path / "clip.safetensors", -1)
    with pytest.raises(ValueError, match=r"is damaged or cut short.*vartut train clip") as caught:
        vartut.load_verifier("clip", tmp_path, CPU)
    line_of(caught)


@pytest.mark.parametrize("name", ["tiny.safetensors", "tiny.json"])
def test_a_missing_file_is_named_with_a_remedy(name, folder):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(f"{folder / name} is missing")) as caught:
        vartut.load("tiny", folder, CPU)
    message = line_of(caught)
    assert f"--folder {folder}`, or read the shipped ones" in message
    assert "vartut train tiny" in message


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe\x00", b"[]", b"3", b"null", b"{}", b'{"sha256": null}', b'{"sha256": 3}'],
    ids=["empty", "cut", "binary", "list", "number", "null", "no checksum", "null checksum", "number checksum"],
)
def test_garbled_provenance_is_refused_with_a_remedy(text, folder):
    (folder / "tiny.json").write_bytes(text)
    with pytest.raises(ValueError, match=r"tiny\.json is damaged") as caught:
        vartut.load("tiny", folder, CPU)
    message = line_of(caught)
    assert f"`vartut train tiny --folder {folder}`, or read the shipped ones" in message
    assert "vartut train tiny" in message


def test_provenance_of_other_weights_is_refused(folder):
    origin = json.loads((folder / "tiny.json").read_text())
    origin["sha256"] = json.loads((folder / "tokenizer.json").read_text())["sha256"]
    (folder / "tiny.json").write_text(json.dumps(origin))
    with pytest.raises(ValueError, match="is damaged or cut short") as caught:
        vartut.load("tiny", folder, CPU)
    line_of(caught)


def test_weights_of_another_version_of_the_model_are_refused(folder):
    torch.manual_seed(0)
    other = Tokenizer("codebook", codes=32, channels=8, width=16)
    weights.save_weights(other, "tokenizer", SETTINGS, {}, folder)  # the settings say width 8
    with pytest.raises(ValueError, match='the weights "tokenizer" are of another version') as caught:
        vartut.load_tokenizer("tokenizer", folder, CPU)
    assert "vartut train tokenizer" in line_of(caught)


def test_a_model_trained_on_another_tokenizers_tokens_is_refused(folder):
    torch.manual_seed(1)
    other = Tokenizer("codebook", codes=32, channels=8, width=8)  # of the same shape, so that nothing else could tell
    weights.save_weights(other, "tokenizer", SETTINGS, {}, folder)
    with pytest.raises(ValueError, match='"tiny" was trained on tokens of another "tokenizer"') as caught:
        vartut.load("tiny", folder, CPU)
    assert "vartut train tiny" in line_of(caught)


def test_a_folder_without_a_tokenizer_takes_the_shipped_one(folder):
    for path in folder.glob("tokenizer.*"):
        path.unlink()
    tokenizer, digest = hub.tokenizer_beside("tokenizer", folder, CPU)
    assert digest == weights.read_provenance("tokenizer")["sha256"]
    shipped = vartut.load_tokenizer("tokenizer", where=CPU)
    assert torch.equal(tokenizer.quantizer.codebook, shipped.quantizer.codebook)
    with pytest.raises(ValueError, match="tokens of another"):  # the toy was trained on the toy's tokens
        vartut.load("tiny", folder, CPU)


def test_a_folder_with_a_tokenizer_is_not_mixed_with_the_shipped_one(folder):
    tokenizer, digest = hub.tokenizer_beside("tokenizer", folder, CPU)
    assert digest == json.loads((folder / "tokenizer.json").read_text())["sha256"]
    assert tokenizer.quantizer.codes == 32


# ---- provenance ----------------------------------------------------------------------------------------------------


def record(seed, steps, minutes, before=None, **more):
    """The provenance of an imagined run."""
    recipe = SimpleNamespace(name="toy", where=CPU, batch=8, seed=seed)
    return provenance.run_record(recipe, steps, {"minutes": minutes, "loss": 1 / steps}, before, **more)


def test_a_first_run_has_no_warm_start():
    first = record(0, 100, 2.5, note="by hand")
    assert first["warm_start"] is None
    assert first["minutes"] == 2.5
    assert first["seeds"] == [0]
    assert first["metrics"] == {"loss": 0.01}
    assert first["note"] == "by hand"
    assert len(first["runs"]) == 1
    assert {"recipe", "commit", "device", "threads", "minutes", "steps", "batch", "seed"} <= set(first["runs"][0])


def test_every_run_is_listed_and_the_last_ones_facts_are_on_top():
    first = record(0, 100, 2.5) | {"sha256": "aaa"}
    second = record(1, 200, 3.25, first) | {"sha256": "bbb"}
    third = record(2, 400, 1.0, second) | {"sha256": "ccc"}
    assert [run["warm_start"] for run in third["runs"]] == [None, "aaa", "bbb"]
    assert [run["steps"] for run in third["runs"]] == [100, 200, 400]
    assert [run["minutes"] for run in third["runs"]] == [2.5, 3.25, 1.0]
    assert third["minutes"] == 6.8, "minutes of all runs, to a tenth"
    assert third["seeds"] == [0, 1, 2]
    assert (third["warm_start"], third["steps"], third["seed"]) == ("bbb", 400, 2)
    assert third["metrics"] == {"loss": 1 / 400}
    assert len(first["runs"]) == 1, "the record it started from is left as it was"


def test_the_record_is_what_lies_beside_the_weights(tmp_path):
    wanted = record(0, 10, 0.1)
    path = weights.save_weights(torch.nn.Linear(2, 2), "line", {"in": 2}, wanted, tmp_path)
    found = weights.read_provenance("line", tmp_path)
    assert found == {"name": "line", "parameters": 6} | wanted | {"sha256": weights.sha256(path)}


@pytest.mark.skipif(not (data_folder().parent / ".git").exists(), reason="no git checkout, but an unpacked sdist")
def test_commit_is_gits(monkeypatch):
    folder = data_folder().parent
    head = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"[0-9a-f]{12}\+?", provenance.commit())
    assert head.startswith(provenance.commit().rstrip("+"))
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == "unknown"


def test_shipped_weights_are_whole_say_where_they_come_from_and_are_small():
    folder = weights.weights_folder()
    names = sorted(path.stem for path in folder.glob("*.safetensors"))
    assert {"tiny", "tokenizer", "clip", "clip-hard"} <= set(names)
    for name in names:
        _, tensors = weights.load_weights(name)
        origin = weights.read_provenance(name)
        assert {"recipe", "commit", "device", "minutes", "seeds", "metrics", "runs", "sha256"} <= set(origin), name
        assert origin["minutes"] == pytest.approx(sum(run["minutes"] for run in origin["runs"]), abs=0.06), name
        assert origin["seeds"] == [run["seed"] for run in origin["runs"]], name
        assert origin["runs"][0]["warm_start"] is None, name
        assert all(run["warm_start"] for run in origin["runs"][1:]), name
        stored = load_file(folder / f"{name}.safetensors")
        assert all(t.dtype == torch.float16 for t in stored.values() if t.is_floating_point()), name
        assert all(torch.isfinite(tensor).all() for tensor in tensors.values()), name
    assert sum(path.stat().st_size for path in folder.iterdir()) < 56e6


@pytest.mark.parametrize(("name", "least", "most"), [("nano", 0.5e6, 0.8e6), ("tiny", 3e6, 5e6)])
def test_the_models_know_a_shipped_tokenizer(name, least, most):
    settings, _ = weights.load_weights(name)
    assert settings["tokenizer_sha256"] == weights.read_provenance(settings["tokenizer"])["sha256"]
    assert least <= weights.read_provenance(name)["parameters"] <= most


# ---- where things run ----------------------------------------------------------------------------------------------


def test_the_device_is_the_gpu_if_there_is_one_and_the_variable_overrides_it(monkeypatch):
    monkeypatch.delenv("VARTUT_DEVICE", raising=False)
    for there, wanted in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert device() == torch.device(wanted)
    monkeypatch.setenv("VARTUT_DEVICE", "cpu")
    assert device() == CPU
    monkeypatch.setenv("VARTUT_DEVICE", "")
    assert device() == torch.device("cuda")


@pytest.mark.parametrize("wrong", ["gpu", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_there_is_refused_in_a_line(wrong, monkeypatch):
    monkeypatch.setenv("VARTUT_DEVICE", wrong)
    with pytest.raises(ValueError, match=f'VARTUT_DEVICE is "{wrong}".*unset it') as caught:
        device()
    line_of(caught)


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ("fpu sse4 avx2 avx512f", torch.float32),
        ("avx512f avx512_bf16", torch.bfloat16),
        ("avx2 amx_bf16 amx_tile", torch.bfloat16),
        (None, torch.float32),  # a Mac has no /proc
    ],
)
def test_training_takes_bfloat16_where_the_cpu_is_good_at_it(flags, dtype, monkeypatch, tmp_path):
    real = builtins.open

    def pretend(path, *args, **kwargs):
        if path != "/proc/cpuinfo":
            return real(path, *args, **kwargs)
        if flags is None:
            raise FileNotFoundError(path)
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nmodel name\t: Toy CPU\nflags\t\t: {flags}\n")
        return real(tmp_path / "cpuinfo")

    monkeypatch.setattr(builtins, "open", pretend)
    assert training_dtype(CPU) == dtype
    assert ("Toy CPU" in provenance.device_name(CPU)) == (flags is not None)
    assert provenance.device_name(CPU).startswith("CPU, ")


def test_training_on_a_gpu_takes_bfloat16_from_ampere_on(monkeypatch):
    for capability, dtype in (((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda where, capability=capability: capability)
        assert training_dtype(torch.device("cuda")) == dtype


def test_a_nano_that_was_trained_is_loaded_and_missing_weights_are_restored_or_trained(tmp_path):
    tokenizer = toy_tokenizer()
    weights.save_weights(tokenizer, "tokenizer", SETTINGS, {}, tmp_path)
    settings = {"tokenizer": "tokenizer", "width": 32, "depth": 2, "heads": 2, "sampler": {"guidance": 2.0}}
    trained = f"`vartut train {{0}} --folder {tmp_path}`"
    for name, said in (
        ("nano", f"missing: train them: {trained}, or read the shipped ones"),
        ("tokenizer-bits", f"missing: train them: {trained}$"),  # it does not ship
    ):
        with pytest.raises(FileNotFoundError, match=said.format(name)):
            (hub.load if name == "nano" else hub.load_tokenizer)(name, tmp_path, CPU)
    assert weights.remedy("nano").startswith("restore them with `git checkout data/weights/nano.*`, or train them: ")
    assert weights.remedy("tokenizer-bits") == "train them: `vartut train tokenizer-bits --ship`"
    weights.save_weights(toy_transformer(tokenizer), "nano", settings, {}, tmp_path)
    assert hub.load("nano", tmp_path, CPU).transformer.words == 32


@pytest.mark.parametrize("load", [lambda: hub.load("nano"), hub.load_tokenizer, lambda: hub.load_verifier("vqa")])
def test_loading_draws_nothing_from_the_users_generator(load):
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    load()
    assert torch.equal(torch.rand(4), wanted)

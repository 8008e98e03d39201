"""Published files: found, verified, locked, mapped into little memory; and text features, offline throughout."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import pytest
import torch
from huggingface_hub import errors
from parity import cases
from safetensors.torch import save_file

from vartut.published import files, loading, text
from vartut.published.infinity import BitTokenizer, Infinity
from vartut.published.var import VAR
from vartut.torchvision_repair import repair

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "FoundationVision/var"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache in the hub's layout with one file of one repository; returns the places that `fetch` is to use."""
    content = b"not really weights"
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(files.REVISIONS, REPO, COMMIT)
    root = tmp_path / "hub" / "models--FoundationVision--var"
    for folder in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (root / folder).mkdir(parents=True)
    (root / "blobs" / digest).write_bytes(content)
    (root / "refs" / "main").write_text(COMMIT)
    (root / "snapshots" / COMMIT / "var_d16.pth").symlink_to(f"../../blobs/{digest}")
    places = {"cache": tmp_path / "hub", "folder": tmp_path / "own", "lock": tmp_path / "lock.json"}
    return places | {"sha256": {}}


def test_a_cached_file_is_found_verified_and_locked_with_its_commit(hub):
    path = files.fetch(REPO, "var_d16.pth", **hub)
    assert path.read_bytes() == b"not really weights"
    locked = json.loads(hub["lock"].read_text())[REPO]
    assert locked["revision"] == COMMIT
    assert locked["files"]["var_d16.pth"]["sha256"] == path.resolve().name


def test_the_pinned_commit_is_asked_for_and_a_branch_on_request(hub):
    (hub["cache"] / "models--FoundationVision--var" / "refs" / "main").write_text(40 * "f")
    assert files.fetch(REPO, "var_d16.pth", **hub).parent.name == COMMIT
    with pytest.raises(FileNotFoundError, match=r"/resolve/main/var_d16\.pth"):
        files.fetch(REPO, "var_d16.pth", revision="main", **hub)


def test_every_published_repository_has_a_pinned_commit():
    repositories = {source.repo for source in files.SOURCES.values()} | {files.TEXT_REPO}
    assert repositories <= files.REVISIONS.keys()
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for commit in files.REVISIONS.values())
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in files.CHECKSUMS.values())
    assert files.CHECKSUMS.keys() == {"var_d16.pth", "vae_ch160v4096z32.pth"}


@pytest.mark.parametrize("kind", ["RevisionNotFoundError", "EntryNotFoundError", "LocalEntryNotFoundError"])
def test_a_pin_that_the_hub_does_not_know_leads_to_main(hub, monkeypatch, kind):
    class Refused(getattr(errors, kind), OSError):
        def __init__(self):
            OSError.__init__(self, "404")

    def refuse(*_, **__):
        raise Refused

    monkeypatch.setattr(files, "hf_hub_download", refuse)
    with pytest.raises(FileNotFoundError) as error:
        files.fetch(REPO, "var_d16.pth", **hub)
    assert ("set VARTUT_REVISION=main" in str(error.value)) == (kind != "LocalEntryNotFoundError")
    assert ("run again online" in str(error.value)) == (kind == "LocalEntryNotFoundError")


def test_a_locked_commit_is_asked_for_even_when_main_has_moved(hub, monkeypatch):
    monkeypatch.delitem(files.REVISIONS, REPO)  # of a repository without a pin
    files.fetch(REPO, "var_d16.pth", **hub)
    (hub["cache"] / "models--FoundationVision--var" / "refs" / "main").write_text(40 * "f")
    assert files.fetch(REPO, "var_d16.pth", **hub).parent.name == COMMIT


@pytest.mark.parametrize("first", [True, False])
def test_a_damaged_file_is_refused_before_and_after_locking(hub, first):
    if not first:
        files.fetch(REPO, "var_d16.pth", **hub)
    blob = next((hub["cache"] / "models--FoundationVision--var" / "blobs").iterdir())
    blob.write_bytes(b"not really weights, cut")
    with pytest.raises(ValueError, match=r"is not the var_d16.pth that was expected .*fetch it again"):
        files.fetch(REPO, "var_d16.pth", **hub)


def test_a_pinned_checksum_is_demanded(hub):
    with pytest.raises(ValueError, match=r"not 000000000000\.\.\."):
        files.fetch(REPO, "var_d16.pth", **hub | {"sha256": {"var_d16.pth": "0" * 64}})
    del hub["sha256"]
    with pytest.raises(ValueError, match=r"not 4f6151aad91c\.\.\..* pass sha256={} if it is what you want"):
        files.fetch(REPO, "var_d16.pth", **hub)


def test_a_file_in_your_own_folder_comes_first_by_the_repositorys_name_or_beside(hub):
    (hub["folder"] / "var").mkdir(parents=True)
    beside, inside = hub["folder"] / "var_d16.pth", hub["folder"] / "var" / "var_d16.pth"
    for place, content in ((beside, b"mine"), (inside, b"another")):
        place.write_bytes(content)
        assert files.fetch(REPO, "var_d16.pth", **hub) == place == files.here(REPO, "var_d16.pth", hub["folder"])
    inside.write_bytes(b"replaced")  # neither pinned nor locked: yours to change
    assert files.fetch(REPO, "var_d16.pth", **hub) == inside
    assert not hub["lock"].exists()


def test_a_file_of_your_own_must_be_the_locked_or_pinned_one(hub):
    files.fetch(REPO, "var_d16.pth", **hub)  # the hub's: locked
    hub["folder"].mkdir()
    mine = hub["folder"] / "var_d16.pth"
    mine.write_bytes(b"not really weights")
    assert files.fetch(REPO, "var_d16.pth", **hub) == mine
    mine.write_bytes(b"theirs")
    with pytest.raises(ValueError, match="or delete its entry in"):
        files.fetch(REPO, "var_d16.pth", **hub)
    with pytest.raises(ValueError, match=r"pass sha256=\{\}"):
        files.fetch(REPO, "var_d16.pth", **hub | {"sha256": {"var_d16.pth": 64 * "0"}})


def test_a_name_that_many_repositories_share_is_looked_for_under_the_repositorys_alone(tmp_path):
    for repo in ("timm/one", "timm/two"):
        place = tmp_path / repo.split("/")[1] / "open_clip_model.safetensors"
        place.parent.mkdir()
        place.write_text(repo)
    (tmp_path / "open_clip_model.safetensors").write_text("whose?")
    for repo in ("timm/one", "timm/two"):
        path = files.fetch(repo, "open_clip_model.safetensors", folder=tmp_path, lock=tmp_path / "lock.json")
        assert path.read_text() == repo
    assert files.here("timm/three", "open_clip_model.safetensors", tmp_path) is None


def test_small_files_are_held_to_the_name_that_git_gives_them(hub):
    content = b"[PAD]\n[UNK]\n"
    name = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True).stdout
    root = hub["cache"] / "models--FoundationVision--var"
    blob = root / "blobs" / name.decode().strip()
    blob.write_bytes(content)
    (root / "snapshots" / COMMIT / "vocab.txt").symlink_to(f"../../blobs/{blob.name}")
    assert files.fetch(REPO, "vocab.txt", **hub).read_bytes() == content
    hub["lock"].unlink()
    blob.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=r"is not the vocab\.txt that was expected"):
        files.fetch(REPO, "vocab.txt", **hub)


def test_here_asks_for_the_commit_that_fetch_does(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub["cache"]))
    (hub["cache"] / "models--FoundationVision--var" / "refs" / "main").unlink()  # as after a download by commit
    assert files.here(REPO, "var_d16.pth", hub["folder"]).parent.name == COMMIT
    assert files.here(REPO, "var_d30.pth", hub["folder"]) is None
    assert files.here(REPO, "var_d16.pth", hub["folder"], revision="main") is None


def test_a_missing_file_offline_says_in_one_line_what_to_fetch_and_where_to_put_it(hub):
    with pytest.raises(FileNotFoundError) as error:
        files.fetch(REPO, "vae_ch160v4096z32.pth", **hub)
    message = str(error.value)
    assert f"https://huggingface.co/FoundationVision/var/resolve/{COMMIT}/vae_ch160v4096z32.pth" in message
    assert f"into {hub['folder']}" in message
    assert "licence MIT" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "damage",
    ["{", "", "[]", "null", "7", '{"a": []}', '{"a": {"files": {"b": 1}}}', '{"a": {"files": {"b": {"sha256": 7}}}}',
     "{} {}", "\xff"],
)
def test_a_damaged_lock_file_says_what_to_do(damage, hub):
    hub["lock"].write_bytes(damage.encode("latin-1"))
    with pytest.raises(ValueError, match=r"lock\.json is damaged: delete it, and the next download writes it anew"):
        files.fetch(REPO, "var_d16.pth", **hub)


FETCH = """
import os, sys
from vartut.published import files
cache, lock, commit = sys.argv[1:]
children = []
for i in range(8):
    if not (child := os.fork()):
        for name in range(i, 120, 8):
            files.fetch("FoundationVision/var", f"{name}.pth", cache=cache, lock=lock, revision=commit, sha256={})
        os._exit(0)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, to start eight processes in a moment")
def test_eight_processes_enter_all_their_files_in_one_lock_file(hub):
    snapshot = hub["cache"] / "models--FoundationVision--var" / "snapshots" / COMMIT
    for name in range(120):
        (snapshot / f"{name}.pth").symlink_to((snapshot / "var_d16.pth").readlink())
    command = [sys.executable, "-c", FETCH, hub["cache"], hub["lock"], COMMIT]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "cannot" not in run.stderr
    locked = json.loads(hub["lock"].read_text())[REPO]
    assert locked["revision"] == COMMIT
    assert locked["files"].keys() == {f"{name}.pth" for name in range(120)}
    assert {path.name for path in hub["lock"].parent.iterdir()} == {"hub", "lock.json", "lock.json.lock"}


def test_a_folder_cache_and_lock_under_the_home(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    places = hub | {"cache": "~/hub", "lock": "~/lock.json", "folder": None}
    assert files.fetch(REPO, "var_d16.pth", **places).is_relative_to(tmp_path / "hub")
    assert (tmp_path / "lock.json").exists()
    (tmp_path / "own").mkdir()
    mine = tmp_path / "own" / "mine.pth"
    mine.write_bytes(b"mine")
    assert files.fetch(REPO, "mine.pth", **hub | {"folder": "~/own"}) == mine
    monkeypatch.setenv("VARTUT_PUBLISHED", "~/own")
    assert files.fetch(REPO, "mine.pth", **places) == files.here(REPO, "mine.pth") == mine


# ---- caches of other kinds -----------------------------------------------------------------------------------------


@pytest.fixture
def without_links(hub):
    """The cache as on Windows: the file itself is in the snapshot, and no name says its checksum."""
    snapshot = hub["cache"] / "models--FoundationVision--var" / "snapshots" / COMMIT
    blob = (snapshot / "var_d16.pth").resolve()
    (snapshot / "var_d16.pth").unlink()
    blob.rename(snapshot / "var_d16.pth")
    return hub | {"digest": blob.name, "file": snapshot / "var_d16.pth"}


def fetched(places):
    """The path of the file with the places of `without_links`."""
    return files.fetch(REPO, "var_d16.pth", **{key: places[key] for key in ("cache", "folder", "lock", "sha256")})


def test_without_links_and_offline_a_file_is_not_locked(without_links, capsys):
    """It may be cut short: to lock its checksum would refuse the whole file for ever."""
    whole = without_links["file"].read_bytes()
    without_links["file"].write_bytes(whole[:-4])
    assert fetched(without_links) == without_links["file"]
    assert not without_links["lock"].exists()
    assert capsys.readouterr().err.count("cannot be verified offline, and is taken as it is") == 1
    without_links["file"].write_bytes(whole)
    assert fetched(without_links).read_bytes() == whole


@pytest.mark.parametrize("git", [False, True], ids=["large", "small"])
def test_without_links_the_hub_is_asked_and_a_file_cut_short_refused(git, without_links, monkeypatch):
    asked, whole = [], without_links["file"].read_bytes()
    etag = files.git_hash(without_links["file"]) if git else without_links["digest"]

    def answer(url):
        asked.append(url)
        return types.SimpleNamespace(etag=etag)

    monkeypatch.setattr(files, "get_hf_file_metadata", answer)
    without_links["file"].write_bytes(whole[:-4])
    with pytest.raises(ValueError, match=r"is not the var_d16\.pth that was expected .*delete it and fetch it again"):
        fetched(without_links)
    assert not without_links["lock"].exists()
    without_links["file"].write_bytes(whole)
    for _ in range(2):
        assert fetched(without_links) == without_links["file"]
    assert asked == [f"https://huggingface.co/{REPO}/resolve/{COMMIT}/var_d16.pth"] * 2, "locked, it asks no more"
    assert (
        json.loads(without_links["lock"].read_text())[REPO]["files"]["var_d16.pth"]["sha256"] == without_links["digest"]
    )


def test_a_store_that_the_cache_links_on_to_has_names_of_another_kind(hub):
    """huggingface_hub 2 files what several repositories share once more, under a hash that is no SHA-256."""
    blob = next((hub["cache"] / "models--FoundationVision--var" / "blobs").iterdir())
    store = hub["cache"] / "blobs" / "ab" / ("ab" * 32)
    store.parent.mkdir(parents=True)
    blob.rename(store)
    blob.symlink_to(store)
    assert files.fetch(REPO, "var_d16.pth", **hub).read_bytes() == store.read_bytes()
    store.write_bytes(b"cut")
    with pytest.raises(ValueError, match="that was expected"):
        files.fetch(REPO, "var_d16.pth", **hub)


# ---- a home that cannot be written ---------------------------------------------------------------------------------


def test_a_lock_file_that_cannot_be_written_is_gone_without_after_one_line(hub, tmp_path, capsys):
    (tmp_path / "file").write_text("")  # root may write everywhere, but not into a file as if it were a folder
    hub["lock"] = tmp_path / "file" / "lock.json"
    for _ in range(2):
        assert files.fetch(REPO, "var_d16.pth", **hub).read_bytes() == b"not really weights"
    error = capsys.readouterr().err
    assert error.startswith(f"vartut: {hub['lock']} cannot be written (")
    assert error.count("\n") == 1
    next((hub["cache"] / "models--FoundationVision--var" / "blobs").iterdir()).write_bytes(b"cut")
    with pytest.raises(ValueError, match="that was expected"):  # the checksum is demanded all the same
        files.fetch(REPO, "var_d16.pth", **hub)


def test_a_lock_file_that_cannot_be_read_is_gone_without_after_one_line(hub, capsys):
    hub["lock"].mkdir()
    assert files.fetch(REPO, "var_d16.pth", **hub).read_bytes() == b"not really weights"
    first, second = capsys.readouterr().err.splitlines()
    assert f"{hub['lock']} cannot be read (Is a directory)" in first
    assert f"{hub['lock']} cannot be written (Is a directory)" in second


NOBODY = """
import os, sys
from vartut.published import files
os.setgid(65534), os.setuid(65534)
print(files.fetch("FoundationVision/var", "var_d16.pth", cache=sys.argv[1], revision=sys.argv[2], sha256={}))
"""


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("home", ["closed", "read-only", "unknown"])
def test_weights_that_are_there_load_under_a_home_that_is_not_mine(home, hub):
    """As in a container: HOME is another's, closed or read-only, or nobody knows it."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own may be entered by its owner alone
        place = Path(folder)
        place.chmod(0o755)
        shutil.copytree(hub["cache"], place / "hub", symlinks=True)
        (place / "home").mkdir(mode=0o700 if home == "closed" else 0o755)
        run = as_nobody(home, place)
        assert run.stdout.strip().endswith(f"{COMMIT}/var_d16.pth"), run.stderr
        assert "published.lock.json cannot be " in run.stderr
        assert "Traceback" not in run.stderr
        assert not list(place.glob("~*"))


def as_nobody(home: str, place: Path) -> subprocess.CompletedProcess:
    """Fetch the file from the cache `place`/hub as another user."""
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "XDG_CACHE_HOME")}
    code = NOBODY
    if home == "unknown":
        code = NOBODY.replace("65534", "54321")  # of no user
    else:
        environment["HOME"] = str(place / "home")
    command = [sys.executable, "-c", code, place / "hub", COMMIT]
    return subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True)


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(ValueError, match='did you mean "infinity-2b"'):
        loading.load_published("infinity-2B")


def test_every_published_name_has_sizes():
    assert list(loading.SIZES) == list(files.SOURCES)


# ---- checkpoints into modules --------------------------------------------------------------------------------------


def tiny_infinity():
    return Infinity(2, 128, 2, 4, 2, (1, 2), text_channels=128, text_length=8)


def tiny_tokenizer():
    return BitTokenizer(4, 32, (1, 1, 1, 1, 1), (1, 2))


def as_published(name: str) -> str:
    """A tokenizer's parameter name as the authors' checkpoint has it: each convolution and norm wrapped once more."""
    *path, layer, leaf = name.split(".")
    kind = "norm" if "norm" in layer else "" if layer == "lfq" else "conv"
    return ".".join([*path, layer, *([kind] if kind else []), leaf])


def test_a_model_is_loaded_by_name_from_the_authors_files(tmp_path, monkeypatch):
    """One .pth of tensors, and one training dump that has them under "vae" beside other things."""
    torch.manual_seed(0)
    tokenizer, transformer = tiny_tokenizer(), tiny_infinity()
    wrapped = {as_published(name): tensor for name, tensor in tokenizer.state_dict().items()}
    assert wrapped.keys() != tokenizer.state_dict().keys()
    torch.save({"vae": wrapped, "steps": 500000}, tmp_path / "infinity_vae_d16.pth")
    torch.save(transformer.state_dict(), tmp_path / "infinity_125M_256x256.pth")
    monkeypatch.setitem(loading.SIZES, "infinity-125m", lambda: (tiny_tokenizer(), tiny_infinity()))
    where = {"folder": tmp_path, "lock": tmp_path / "lock.json", "dtype": torch.bfloat16}
    loaded = loading.load_published("infinity-125m", **where)
    for ours, theirs, dtype in zip(loaded, (tokenizer, transformer), (torch.float32, torch.bfloat16)):
        assert not ours.training
        for name, tensor in theirs.state_dict().items():
            expected = tensor.to(dtype) if tensor.is_floating_point() else tensor
            assert torch.equal(ours.state_dict()[name], expected), name
    grid = loaded[0].decode(loaded[0].empty(1))
    assert grid.shape == (1, 3, 32, 32)


def test_published_names_of_the_tokenizer_are_the_listed_ones():
    with torch.device("meta"):
        ours = {as_published(name) for name in BitTokenizer().state_dict()}
    assert ours == set(cases.models()["checkpoints"]["infinity_vae_d16"])


def test_safetensors_are_read_too(tmp_path):
    model = tiny_infinity()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    with torch.device("meta"):
        empty = tiny_infinity()
    loading.load_into(empty, loading.read_checkpoint(tmp_path / "model.safetensors"), torch.float32, "cpu")
    assert torch.equal(empty.head.weight, model.head.weight)


class Trap:
    """An object that runs code when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    torch.save({"weights": torch.zeros(1), "trap": Trap()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="is not a PyTorch file of tensors alone"):
        loading.read_checkpoint(tmp_path / "evil.pth")


def test_a_page_saved_instead_of_a_file_is_refused(tmp_path):
    (tmp_path / "page.pth").write_text("<html>Entry not found</html>")
    with pytest.raises(ValueError, match="download it again"):
        loading.read_checkpoint(tmp_path / "page.pth")


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*gone.pth"):
        loading.read_checkpoint(tmp_path / "gone.pth")


def test_precision_follows_the_device(monkeypatch):
    assert loading.precision("var-d16", torch.device("cpu")) == torch.float32
    assert loading.precision("infinity-2b", torch.device("cpu")) == torch.bfloat16
    for capability, dtype in (((7, 5), torch.float16), ((8, 0), torch.bfloat16)):  # T4, A100
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        assert loading.precision("infinity-125m", torch.device("cuda")) == dtype


MEASURE = """
import re, sys, threading, time, torch
from vartut.published import loading
from vartut.published.var import VAR
from vartut.torchvision_repair import repair

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

with torch.device("meta"):
    model = VAR(depth=6)
before, peak, done = anonymous(), 0.0, threading.Event()

def watch():
    global peak
    while not done.is_set():
        peak = max(peak, anonymous())
        time.sleep(0.001)

watcher = threading.Thread(target=watch)
watcher.start()
loading.load_into(model, loading.read_checkpoint(sys.argv[1]), torch.bfloat16, "cpu")
done.set()
watcher.join()
print(max(peak, anonymous()) - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_loading_needs_the_memory_of_the_converted_model_only(tmp_path):
    """The float32 file (76 MB) is mapped: anonymous memory grows by the bfloat16 half of it, and little more."""
    with torch.device("meta"):
        state = VAR(depth=6).state_dict()
    path = tmp_path / "model.pth"
    torch.save({name: torch.ones(tensor.shape) for name, tensor in state.items()}, path)
    size = path.stat().st_size / 2**20
    run = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    grown = float(run.stdout)
    assert 0.4 * size < grown < 0.6 * size, f"{grown:.0f} MB of anonymous memory for a file of {size:.0f} MB"


def test_files_of_old_and_of_new_pytorch_are_read_and_others_told(tmp_path):
    state = {"weight": torch.arange(6.0).view(2, 3)}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.save(state, tmp_path / "new.pth")
    for name in ("old.pth", "new.pth"):
        torch.testing.assert_close(loading.read_checkpoint(tmp_path / name)["weight"], state["weight"])
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds a list, not tensors by name"):
        loading.read_checkpoint(tmp_path / "list.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "new.pth").read_bytes()[:200])
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("cut.pth", "empty.pth"):
        with pytest.raises(ValueError, match="not a PyTorch file of tensors alone: download it again"):
            loading.read_checkpoint(tmp_path / name)
    save_file(state, tmp_path / "cut.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-3])
    with pytest.raises(ValueError, match="damaged or cut short: download it again"):
        loading.read_checkpoint(tmp_path / "cut.safetensors")
    with pytest.raises(ValueError, match=r"damaged or no \.safetensors file .*: make it anew"):
        text.FeatureFile(tmp_path / "cut.safetensors")


# ---- text ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A tiny T5 encoder with a word-level tokenizer that appends the end mark, in a folder."""
    repair()
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    folder = tmp_path_factory.mktemp("encoder")
    words = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", "a", "red", "blue", "fox", "cup"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(vocab_size=8, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    T5EncoderModel(config).save_pretrained(folder)
    return folder


def test_features_are_the_authors_ones(encoder):
    """The authors pad to 512 tokens, encode under a mask and strip the padding."""
    from transformers import AutoTokenizer, T5EncoderModel

    prompts = ["a red fox", "a blue cup a red cup", "fox"]
    features = text.encode_text(prompts, encoder, dtype=torch.float32)
    batch = AutoTokenizer.from_pretrained(encoder)(
        prompts, max_length=512, padding="max_length", truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        states = T5EncoderModel.from_pretrained(encoder).eval()(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask
        )[0]
    for prompt, state, mask in zip(prompts, states, batch.attention_mask):
        assert len(features[prompt]) == len(prompt.split()) + 1
        torch.testing.assert_close(features[prompt], state[: mask.sum()], atol=1e-5, rtol=0)


def test_the_encoder_is_asked_for_at_its_pinned_commit(monkeypatch):
    repair()
    from transformers import AutoTokenizer

    asked = []

    def refuse(path, revision=None):
        asked.append((path, revision))
        raise OSError("no network")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", refuse)
    for revision in (None, "abc"):
        with pytest.raises(FileNotFoundError, match="hf download google/flan-t5-xl --revision 7d6315d"):
            text.encode_text(["a fox"], revision=revision)
    assert asked == [(files.TEXT_REPO, files.REVISIONS[files.TEXT_REPO]), (files.TEXT_REPO, "abc")]


def test_the_command_writes_a_file_that_gives_the_features_back(encoder, tmp_path, capsys):
    listed, out = tmp_path / "prompts.txt", tmp_path / "new" / "features.safetensors"
    listed.write_text("a blue cup\n\na red fox\n")
    assert text.main(["a red fox", "--prompts", str(listed), "--out", str(out), "--encoder", str(encoder)]) == 0
    assert "2 prompts" in capsys.readouterr().out
    stored = text.FeatureFile(out)
    assert stored.prompts == ("a red fox", "a blue cup")
    fresh = text.encode_text(["a blue cup"], encoder)["a blue cup"]
    torch.testing.assert_close(stored["a blue cup"], fresh, atol=2e-3, rtol=2e-3)
    with pytest.raises(ValueError, match="no features of 'a red foxes'; the nearest there is 'a red fox'"):
        stored["a red foxes"]


def test_prompts_of_a_file_are_lines_of_utf8_or_objects(tmp_path):
    listed = tmp_path / "prompts.txt"
    listed.write_bytes("\ufeffun caf\u00e9\r\n\n a red\u2028fox\x0b\x0c\x85here \n".encode())
    wanted = [{"prompt": "un caf\u00e9"}, {"prompt": "a red\u2028fox\x0b\x0c\x85here"}]
    assert text.read_prompt_file(listed) == wanted
    lines = [json.dumps(entry | {"tag": "x"}, ensure_ascii=False) for entry in wanted]
    (tmp_path / "prompts.jsonl").write_bytes("\n".join(lines).encode())
    assert text.read_prompt_file(tmp_path / "prompts.jsonl") == [entry | {"tag": "x"} for entry in wanted]


@pytest.mark.parametrize("suffix", [".txt", ".jsonl"])
def test_the_command_reads_a_file_of_prompts_as_the_painters_do(suffix, encoder, tmp_path, capsys, monkeypatch):
    """GenEval's objects are not taken for prompts, and the shell has not read `--out=~/x`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    prompt = "a red\u2028fox"
    line = json.dumps({"prompt": prompt}, ensure_ascii=False) if suffix == ".jsonl" else prompt
    (tmp_path / f"prompts{suffix}").write_bytes(line.encode())
    assert text.main([f"--prompts=~/prompts{suffix}", "--out=~/x.safetensors", "--encoder", str(encoder)]) == 0
    assert text.FeatureFile("~/x.safetensors").prompts == (prompt,)
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["x.safetensors"]


def test_features_on_a_full_disk(tmp_path, monkeypatch):
    text.save_features(tmp_path / "x.safetensors", {"a fox": torch.ones(2, 4)})
    before = (tmp_path / "x.safetensors").read_bytes()

    def no_room(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.Path, "write_bytes", no_room)
    with pytest.raises(OSError, match=r"the disk is full: make room, and run it again: '.*/x\.safetensors'"):
        text.save_features(tmp_path / "x.safetensors", {"a cup": torch.ones(2, 4)})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x.safetensors": before}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no prompts"),
        (["a fox", "--encoder", "no/such-encoder"], "no/such-encoder is not on this machine: fetch it with"),
        (["--prompts", "no-such-file.txt"], "no-such-file.txt"),
    ],
)
def test_the_command_fails_in_one_line(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        text.main([*arguments, "--out", str(tmp_path / "out.safetensors"), "--where", "cpu"])
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert message in error
    assert error.count("\n") == 1


def test_a_file_without_features_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"make them with `python -m vartut.published.text"):
        text.FeatureFile(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="it names no prompts"):
        text.FeatureFile(tmp_path / "other.safetensors")


def test_features_beyond_half_precision_are_refused(tmp_path):
    with pytest.raises(ValueError, match="do not fit half precision"):
        text.save_features(tmp_path / "x.safetensors", {"a fox": torch.full((2, 4), 1e6)})

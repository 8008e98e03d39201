"""Where the published weights come from: names, the authors' repositories, licences, checksums, and what to do offline.

A file is looked for in your own folder first (`folder=`, else $VARTUT_PUBLISHED, else ~/.cache/vartut/published), there
in a folder named as the repository or, where its name is its own, beside it; then in Hugging Face's cache; and at last
it is downloaded by huggingface_hub, which shows progress and resumes where it broke off.

Each repository is asked for at a pinned commit, and two files by a pinned SHA-256.  These are taken from public code
that used the files and recorded them; nothing was downloaded where this was written, so a pin may turn out to be wrong,
and then $VARTUT_REVISION=main and `sha256={}` go without.  Every file that `fetch` has from the hub is held to the
checksum under which the hub has it, and its first use writes commit and SHA-256 to a lock file
(~/.cache/vartut/published.lock.json): from then on that SHA-256 is demanded, of your own copy too.  A file of yours
that is neither pinned nor locked is taken as it is.  flan-t5-xl, LLaVA and FLUX are fetched by transformers and
diffusers, at the pinned commit too, and not locked.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HTTPError, LocalEntryNotFoundError, RevisionNotFoundError

from ..names import check_name
from ..weights import sha256 as checksum


@dataclass(frozen=True)
class Published:
    """One published model: two files of one repository."""

    repo: str  # on huggingface.co
    transformer: str
    tokenizer: str
    licence: str
    paper: str
    pixels: int  # side of its pictures
    gigabytes: float  # of the transformer's file, float32


VAR_REPO, INFINITY_REPO, TEXT_REPO = "FoundationVision/var", "FoundationVision/Infinity", "google/flan-t5-xl"
PUBLISHED = {
    "var-d16": Published(
        VAR_REPO, "var_d16.pth", "vae_ch160v4096z32.pth", "MIT", "arXiv 2404.02905", pixels=256, gigabytes=1.2
    ),
    "infinity-125m": Published(
        INFINITY_REPO, "infinity_125M_256x256.pth", "infinity_vae_d16.pth", "MIT", "arXiv 2412.04431", 256, 0.5
    ),
    "infinity-2b": Published(
        INFINITY_REPO, "infinity_2b_reg.pth", "infinity_vae_d32reg.pth", "MIT", "arXiv 2412.04431", 1024, 8.8
    ),
}
TEXT_LICENCE = "Apache-2.0"  # of flan-t5-xl, Infinity's text encoder

REVISIONS = {  # commits as others' snapshots name them; that of Infinity was seen with the 125M model's files alone
    VAR_REPO: "6d0ee6598a42f75079aa79e58b012b57b284c91b",
    INFINITY_REPO: "d4c15777e41bd36eb8eef5a854b018d19962b6d9",
    TEXT_REPO: "7d6315df2c2fb742f0f5b556879d730926ca9001",
    "timm/vit_large_patch14_clip_224.openai": "18d0535469bb561bf468d76c1d73aa35156c922b",
    "zai-org/ImageReward": "5736be03b2652728fb87788c9797b0570450ab72",
    "google-bert/bert-base-uncased": "86b5e0934494bd15c9632b12f734a8a67f723594",
    "trl-lib/ddpo-aesthetic-predictor": "cf4bd10345610935a80a5d3be9a3133c50f121e4",
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": "0d50680527681998e456c7b78950205bedd8a068",
    "black-forest-labs/FLUX.1-dev": "3de623fc3c33e44ffbe2bad470d0f45bccf2eb21",
}
CHECKSUMS = {  # SHA-256, as the first is in three public projects and the second in one
    "vae_ch160v4096z32.pth": "7c3ec27ae28a3f87055e83211ea8cc8558bd1985d7b51742d074fb4c2fcf186c",
    "var_d16.pth": "4f6151aad91c94e03e224dd7358d8389fa05301c0c291279566998efb54b0ecb",
}
SHARED_NAMES = ("open_clip_model.safetensors", "vocab.txt")  # of files in more than one repository


def published(name: str) -> Published:
    """The published model of that name; raises ValueError with the nearest known name."""
    check_name(name, tuple(PUBLISHED), "published model")
    return PUBLISHED[name]


def commit_of(repo: str, revision: str | None = None) -> str | None:
    """The commit or branch to ask a repository for: `revision`, else $VARTUT_REVISION, else the pinned one, if any."""
    return revision or os.environ.get("VARTUT_REVISION") or REVISIONS.get(repo)


def own_folder(folder: str | Path | None = None) -> Path:
    """Where files that you downloaded yourself are looked for."""
    return Path(folder or os.environ.get("VARTUT_PUBLISHED") or vartut_cache() / "published")


def own_places(repo: str, file: str, folder: str | Path | None = None) -> list[Path]:
    """Where in your own folder a file is looked for.  Names that many repositories have need the repository's."""
    own, name = own_folder(folder), repo.rpartition("/")[2]
    return [own / name / file] if file in SHARED_NAMES else [own / name / file, own / file]


def here(repo: str, file: str, folder: str | Path | None = None, revision: str | None = None) -> Path | None:
    """The path of a file if it is on this machine, at the commit that `fetch` would ask for; else None."""
    found = [path for path in own_places(repo, file, folder) if path.is_file()]
    cached = try_to_load_from_cache(repo, file, revision=commit_of(repo, revision))
    return found[0] if found else Path(cached) if isinstance(cached, str) else None


def vartut_cache() -> Path:
    """~/.cache/vartut, or its place under $XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vartut"


def fetch(
    repo: str,
    file: str,
    licence: str = "MIT",
    folder: str | Path | None = None,
    cache: str | Path | None = None,
    lock: str | Path | None = None,
    revision: str | None = None,
    sha256: dict[str, str] = CHECKSUMS,
) -> Path:
    """The path of one file of a repository on this machine, downloaded if it must be, its checksum verified.

    `cache` is Hugging Face's cache (None: its own default), `lock` the lock file, `revision` a commit or branch (None:
    that of `commit_of`, else the one that the lock names, else "main"), `sha256` has pinned checksums by file name.
    Raises FileNotFoundError that says what to fetch and where to put it, or ValueError for a file that is not the one
    that was pinned or locked.
    """
    lock = Path(lock) if lock else vartut_cache() / "published.lock.json"
    locked = read_lock(lock).get(repo, {}).get("revision")
    places = own_places(repo, file, folder)
    asked = commit_of(repo, revision) or locked or "main"
    if found := [place for place in places if place.is_file()]:
        path, commit = found[0], None
    else:
        try:
            path = Path(hf_hub_download(repo, file, revision=asked, cache_dir=cache))
        except (OSError, HTTPError) as error:
            raise FileNotFoundError(unavailable(repo, file, licence, asked, places[0].parent, error)) from error
        commit = path.parent.name  # .../snapshots/<commit>/<file>
    verify(path, repo, file, commit, lock, sha256.get(file))
    return path


def download(repo: str) -> str:
    """The command that fetches a repository's configuration, vocabulary and safetensors weights, as pinned."""
    kinds = " ".join(f'--include "*.{kind}"' for kind in ("json", "txt", "model", "safetensors"))
    return f"hf download {repo} --revision {commit_of(repo)} {kinds}"


def unavailable(repo: str, file: str, licence: str, revision: str, folder: Path, error: Exception) -> str:
    """One line on what to fetch, where to put it, and why it could not be downloaded."""
    absent = isinstance(error, (RevisionNotFoundError, EntryNotFoundError))
    if absent and not isinstance(error, LocalEntryNotFoundError):  # the latter: offline, and not in the cache
        remedy = "the repository has no such commit or file: set VARTUT_REVISION=main for its newest"
    else:
        remedy = "or run again online, which resumes a broken download"
    url = f"https://huggingface.co/{repo}/resolve/{revision}/{file}"
    reason = " ".join(str(error).split()) or type(error).__name__
    return (
        f"{file} is not on this machine: fetch {url} (licence {licence}) into {folder}, {remedy} "
        f"(it failed: {reason[:160]})"
    )


def read_lock(lock: Path) -> dict:
    """The lock file: {repository: {"revision": commit, "files": {name: {"sha256", "bytes", "place"}}}}; {} if none."""
    if not lock.exists():
        return {}
    try:
        return json.loads(lock.read_text())
    except ValueError as error:
        raise ValueError(f"{lock} is damaged: delete it, and the next download writes it anew") from error


def verify(path: Path, repo: str, file: str, commit: str | None, lock: Path, pinned: str | None = None) -> None:
    """Raise ValueError unless the file has the pinned, the locked, or else the hub's own checksum; then lock it.

    `commit` is None for a file of your own.  A file that was verified before and has not been touched since is not read
    again.
    """
    locks = read_lock(lock)
    entry = locks.get(repo, {}).get("files", {}).get(file, {})
    place = [str(path.resolve()), path.stat().st_mtime_ns]
    wanted = pinned or entry.get("sha256")
    if wanted is None and re.fullmatch("[0-9a-f]{64}", path.resolve().name):
        wanted = path.resolve().name  # the hub files large blobs under their SHA-256
    if wanted is None and commit is None:
        return
    if entry.get("place") == place and entry.get("bytes") == path.stat().st_size and entry.get("sha256") == wanted:
        return
    sha256 = found = checksum(path)
    if wanted is None and re.fullmatch("[0-9a-f]{40}", path.resolve().name):  # and small ones under git's name for them
        found, wanted = git_hash(path), path.resolve().name
    if wanted is not None and found != wanted:
        remedy = "pass sha256={} if it is what you want" if pinned else f"delete its entry in {lock} if it was replaced"
        raise ValueError(
            f"{path} is not the {file} that was expected (checksum {found[:12]}..., not {wanted[:12]}...): "
            f"delete it and fetch it again, or {remedy}"
        )
    repository = locks.setdefault(repo, {"revision": commit, "files": {}})
    repository["revision"] = repository["revision"] or commit
    repository["files"][file] = {"sha256": sha256, "bytes": path.stat().st_size, "place": place}
    lock.parent.mkdir(parents=True, exist_ok=True)
    partial = lock.with_suffix(".partial")
    partial.write_text(json.dumps(locks, indent=1) + "\n")
    os.replace(partial, lock)


def git_hash(path: Path) -> str:
    """The name that git gives a file's content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

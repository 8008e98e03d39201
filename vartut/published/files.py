"""Where the published weights come from: names, the authors' repositories, licences, checksums, and what to do offline.

A file is looked for in your own folder first (`folder=`, else $VARTUT_PUBLISHED, else ~/.cache/vartut/published), then
in Hugging Face's cache, and at last downloaded by huggingface_hub, which shows progress and resumes where it broke off.

No revision or checksum is pinned here: none was known where this was written, and none was invented.  Instead the first
download records the commit and the SHA-256 of every file in a lock file (~/.cache/vartut/published.lock.json); from
then on that commit is asked for and that checksum is demanded.  Pass `revision=` and `sha256=` to pin them yourself.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HTTPError

from ..hub import check_name
from ..hub import sha256 as checksum


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


def published(name: str) -> Published:
    """The published model of that name; raises ValueError with the nearest known name."""
    check_name(name, tuple(PUBLISHED), "published model")
    return PUBLISHED[name]


def own_folder(folder: str | Path | None = None) -> Path:
    """Where files that you downloaded yourself are looked for."""
    return Path(folder or os.environ.get("VARTUT_PUBLISHED") or vartut_cache() / "published")


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
    sha256: str | None = None,
) -> Path:
    """The path of one file of a repository on this machine, downloaded if it must be, its checksum verified.

    `cache` is Hugging Face's cache (None: its own default), `lock` the lock file.  Raises FileNotFoundError that says
    what to fetch and where to put it, or ValueError for a file that is not the one that was locked or pinned.
    """
    lock = Path(lock) if lock else vartut_cache() / "published.lock.json"
    locked = read_lock(lock).get(repo, {})
    own = own_folder(folder) / file
    revision = revision or locked.get("revision")
    if own.is_file():
        path, commit = own, locked.get("revision")
    else:
        try:
            path = Path(hf_hub_download(repo, file, revision=revision, cache_dir=cache))
        except (OSError, HTTPError) as error:
            url = f"https://huggingface.co/{repo}/resolve/{revision or 'main'}/{file}"
            reason = " ".join(str(error).split()) or type(error).__name__
            raise FileNotFoundError(
                f"{file} is not on this machine: fetch {url} (licence {licence}) into {own.parent}, "
                f"or run again online, which resumes a broken download (it failed: {reason[:160]})"
            ) from error
        commit = path.parent.name  # .../snapshots/<commit>/<file>
    verify(path, repo, file, commit, lock, sha256)
    return path


def read_lock(lock: Path) -> dict:
    """The lock file: {repository: {"revision": commit, "files": {name: {"sha256", "bytes", "place"}}}}; {} if none."""
    if not lock.exists():
        return {}
    try:
        return json.loads(lock.read_text())
    except ValueError as error:
        raise ValueError(f"{lock} is damaged: delete it, and the next download writes it anew") from error


def verify(path: Path, repo: str, file: str, commit: str | None, lock: Path, pinned: str | None = None) -> None:
    """Raise ValueError unless the file has the pinned, the locked, or else the hub's own SHA-256; then lock it.

    A file that was verified before and has not been touched since is not read again.
    """
    locks = read_lock(lock)
    entry = locks.get(repo, {}).get("files", {}).get(file, {})
    place = [str(path.resolve()), path.stat().st_mtime_ns]
    wanted = pinned or entry.get("sha256")
    if wanted is None and re.fullmatch("[0-9a-f]{64}", path.resolve().name):
        wanted = path.resolve().name  # the hub files large blobs under their SHA-256
    if entry.get("place") == place and entry.get("bytes") == path.stat().st_size and entry.get("sha256") == wanted:
        return
    found = checksum(path)
    if wanted is not None and found != wanted:
        raise ValueError(
            f"{path} is not the {file} that was expected (SHA-256 {found[:12]}..., not {wanted[:12]}...): "
            f"delete it and fetch it again, or delete its entry in {lock} if the authors replaced it"
        )
    repository = locks.setdefault(repo, {"revision": commit, "files": {}})
    repository["revision"] = repository["revision"] or commit
    repository["files"][file] = {"sha256": found, "bytes": path.stat().st_size, "place": place}
    lock.parent.mkdir(parents=True, exist_ok=True)
    partial = lock.with_suffix(".partial")
    partial.write_text(json.dumps(locks, indent=1) + "\n")
    os.replace(partial, lock)

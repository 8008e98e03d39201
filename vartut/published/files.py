"""Where the published weights come from: names, the authors' repositories, licences, checksums, and what to do offline.

A file is looked for in your own folder first (`folder=`, else $VARTUT_PUBLISHED, else ~/.cache/vartut/published), there
in a folder named as the repository or, where its name is its own, beside it; then in Hugging Face's cache; and at last
it is downloaded by huggingface_hub, which shows progress and resumes where it broke off.

Each repository is asked for at a pinned commit, and two files by a pinned SHA-256.  These are taken from public code
that used the files and recorded them; nothing was downloaded where this was written, so a pin may turn out to be wrong,
and then $VARTUT_REVISION=main and `sha256={}` go without.  Every file that `fetch` has from the hub is held to the
checksum under which the hub has it, and its first use writes commit and SHA-256 to a lock file
(~/.cache/vartut/published.lock.json): from then on that SHA-256 is demanded, of your own copy too.  A file of yours
that is neither pinned nor locked is taken as it is, and so is one from the hub whose checksum nobody here can say; it
is not locked.  The lock file is a note: where it cannot be read or written, files are used without it, after a line on
the error stream.  flan-t5-xl, LLaVA and FLUX are fetched by transformers and diffusers, at the pinned commit too, and
not locked.
"""

import errno
import functools
import hashlib
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HTTPError, LocalEntryNotFoundError, RevisionNotFoundError

from ..names import check_name
from ..paths import expanded, write_files
from ..weights import sha256 as checksum


@dataclass(frozen=True)
class Source:
    """One published model: two files of one repository."""

    repo: str  # on huggingface.co
    transformer: str
    tokenizer: str
    licence: str
    paper: str
    pixels: int  # side of its pictures
    gigabytes: float  # of the transformer's file, float32


VAR_REPO, INFINITY_REPO, TEXT_REPO = "FoundationVision/var", "FoundationVision/Infinity", "google/flan-t5-xl"
SOURCES = {
    "var-d16": Source(
        VAR_REPO, "var_d16.pth", "vae_ch160v4096z32.pth", "MIT", "arXiv 2404.02905", pixels=256, gigabytes=1.2
    ),
    "infinity-125m": Source(
        INFINITY_REPO, "infinity_125M_256x256.pth", "infinity_vae_d16.pth", "MIT", "arXiv 2412.04431", 256, 0.5
    ),
    "infinity-2b": Source(
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


def source_of(name: str) -> Source:
    """The published model of that name; raises ValueError with the nearest known name."""
    check_name(name, tuple(SOURCES), "published model")
    return SOURCES[name]


def commit_of(repo: str, revision: str | None = None) -> str | None:
    """The commit or branch to ask a repository for: `revision`, else $VARTUT_REVISION, else the pinned one, if any."""
    return revision or os.environ.get("VARTUT_REVISION") or REVISIONS.get(repo)


def own_folder(folder: str | Path | None = None) -> Path:
    """Where files that you downloaded yourself are looked for."""
    return expanded(folder or os.environ.get("VARTUT_PUBLISHED") or vartut_cache() / "published")


def own_places(repo: str, file: str, folder: str | Path | None = None) -> list[Path]:
    """Where in your own folder a file is looked for.  Names that many repositories have need the repository's."""
    own, name = own_folder(folder), repo.rpartition("/")[2]
    return [own / name / file] if file in SHARED_NAMES else [own / name / file, own / file]


def here(repo: str, file: str, folder: str | Path | None = None, revision: str | None = None) -> Path | None:
    """The path of a file if it is on this machine, at the commit that `fetch` would ask for; else None."""
    found = [path for path in own_places(repo, file, folder) if os.path.isfile(path)]
    cached = try_to_load_from_cache(repo, file, revision=commit_of(repo, revision))
    return found[0] if found else Path(cached) if isinstance(cached, str) else None


def vartut_cache() -> Path:
    """~/.cache/vartut, or its place under $XDG_CACHE_HOME; where there is no home, a folder that cannot be."""
    home = os.path.expanduser("~")  # itself where nobody knows the home
    cache = os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home != "~" else os.devnull)
    return Path(cache) / "vartut"


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
    lock = expanded(lock) if lock else vartut_cache() / "published.lock.json"
    cache = expanded(cache) if cache else None
    locked = read_lock(lock).get(repo, {}).get("revision")
    places = own_places(repo, file, folder)
    asked = commit_of(repo, revision) or locked or "main"
    if found := [place for place in places if os.path.isfile(place)]:  # False in a folder that may not be read, too
        path, commit = found[0], None
    else:
        try:
            path = Path(hf_hub_download(repo, file, revision=asked, cache_dir=cache))
        except (OSError, HTTPError) as error:
            closed = getattr(error, "errno", None) in (errno.EACCES, errno.EPERM, errno.EROFS)  # the home, to the hub
            cached = try_to_load_from_cache(repo, file, cache, asked) if closed else None
            if not isinstance(cached, str):
                raise FileNotFoundError(unavailable(repo, file, licence, asked, places[0].parent, error)) from error
            path = Path(cached)
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
    """The lock file: {repository: {"revision": commit, "files": {name: {"sha256", "bytes", "place"}}}}; {} if none.

    Raises ValueError for one that is damaged; one that may not be read is {} after a line on the error stream.
    """
    try:
        locks = json.loads(lock.read_text(encoding="utf-8"))
        for repository in locks.values():
            for entry in repository["files"].values():
                bytes.fromhex(entry["sha256"])  # of that form, and with a checksum each
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        tell(f"{lock} cannot be read ({error.strerror}): files are not held to the checksums of their first use")
        return {}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{lock} is damaged: delete it, and the next download writes it anew") from error
    return locks


def write_lock(lock: Path, repo: str, file: str, commit: str | None, entry: dict) -> None:
    """Enter one file into the lock file, whatever other processes enter at the same time."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{lock}.lock"):
            locks = read_lock(lock)
            repository = locks.setdefault(repo, {"revision": commit, "files": {}})
            repository["revision"] = repository.get("revision") or commit
            repository["files"][file] = entry
            write_files({lock: json.dumps(locks, indent=1) + "\n"})
    except OSError as error:
        tell(f"{lock} cannot be written ({error.strerror}): {file} is used, and will be verified anew each time")


@functools.cache  # once
def tell(line: str) -> None:
    """Say something on the error stream that stops nobody."""
    print(f"vartut: {line}", file=sys.stderr)


def verify(path: Path, repo: str, file: str, commit: str | None, lock: Path, pinned: str | None = None) -> None:
    """Raise ValueError unless the file has the pinned, the locked, or else the hub's own checksum; then lock it.

    `commit` is None for a file of your own.  A file that was verified before and has not been touched since is not read
    again.
    """
    entry = read_lock(lock).get(repo, {}).get("files", {}).get(file, {})
    seen = {"bytes": path.stat().st_size, "place": [str(path.resolve()), path.stat().st_mtime_ns]}
    wanted = pinned or entry.get("sha256") or hubs_checksum(path, repo, file, commit)
    if wanted is None:
        if commit is not None:
            tell(f"{path} cannot be verified offline, and is taken as it is: if it is refused later, fetch it again")
        return
    if entry == {"sha256": wanted} | seen:
        return
    sha256 = checksum(path)
    found = sha256 if len(wanted) == 64 else git_hash(path)
    if found != wanted:
        remedy = "pass sha256={} if it is what you want" if pinned else f"delete its entry in {lock} if it was replaced"
        raise ValueError(
            f"{path} is not the {file} that was expected (checksum {found[:12]}..., not {wanted[:12]}...): "
            f"delete it and fetch it again, or {remedy}"
        )
    write_lock(lock, repo, file, commit, {"sha256": sha256} | seen)


def hubs_checksum(path: Path, repo: str, file: str, commit: str | None) -> str | None:
    """The checksum under which the hub has a file: the SHA-256 of a large one, git's name for a small one, or None.

    The hub's cache files it under its checksum and links to it; where there are no links (Windows), the hub is asked.
    """
    link = path
    while link.is_symlink():  # the first such name: the cache may link on to a store with names of another kind
        link = link.parent / os.readlink(link)
        if re.fullmatch("[0-9a-f]{64}" if commit is None else "[0-9a-f]{64}|[0-9a-f]{40}", link.name):
            return link.name
    if commit is None:
        return None
    try:
        asked = get_hf_file_metadata(hf_hub_url(repo, file, revision=commit)).etag or ""
    except (OSError, HTTPError):
        return None
    return asked if re.fullmatch("[0-9a-f]{64}|[0-9a-f]{40}", asked) else None


def git_hash(path: Path) -> str:
    """The name that git gives a file's content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

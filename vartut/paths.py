"""Files of every kind: where those that ship with the course are, and how files are named, read and written."""

import errno
import os
import secrets
from contextlib import contextmanager
from pathlib import Path


def data_folder() -> Path:
    """The folder `data/`: VARTUT_DATA if that is set, else the installed package's, else the clone's.

    Raises:
        FileNotFoundError: there is none; the message names the remedy.
    """
    package = Path(__file__).resolve().parent
    if chosen := os.environ.get("VARTUT_DATA"):
        if not expanded(chosen).is_dir():
            raise FileNotFoundError(f"VARTUT_DATA is {chosen!r}, no folder: unset it, or set it to the clone's data/")
        return expanded(chosen).resolve()
    for folder in (package / "data", package.parent / "data"):  # a wheel has it inside the package, a clone beside it
        if (folder / "weights").is_dir():
            return folder
    raise FileNotFoundError(
        f"no data/ inside or beside {package}: install the package again (`pip install -e .` in a complete clone), "
        "or set VARTUT_DATA to the clone's data/"
    )


def expanded(path: Path | str) -> Path:
    """A path of the user's with the home folder that its `~` stands for; raises ValueError where nobody knows it."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: there is no such home folder, give the path in full") from error


def read_lines(path: Path | str) -> list[str]:
    """The lines of a text file without their ends: UTF-8 with or without a byte order mark, whatever the locale.

    Lines end at newlines only, a carriage return before one included; U+2028, form feeds and their like are text.
    Raises ValueError naming the line that is not UTF-8.
    """
    lines = []
    for number, raw in enumerate(Path(path).read_bytes().split(b"\n"), 1):
        try:
            lines.append(raw.removesuffix(b"\r").decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}, line {number}: not UTF-8; save the file as UTF-8") from error
    return lines if lines[-1] else lines[:-1]


def write_files(contents: dict[Path, bytes | str]) -> None:
    """Write files whole or not at all, their folders made: all of them under other names first, then renamed.

    The other names are unique, so that several processes may write the same files: the last one's stay.  Texts are
    UTF-8.  Raises OSError naming the file that could not be written, and leaves no part of it.
    """
    partials = {}
    try:
        for path, content in contents.items():
            content = content.encode() if isinstance(content, str) else content
            with naming(path):
                target = path.resolve()  # where a link leads
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists() and not target.is_file():  # a folder, which raises, or /dev/stdout
                    target.write_bytes(content)
                    continue
                partials[path] = target.with_name(f".{secrets.token_hex(8)}.partial"), target
                partials[path][0].write_bytes(content)
        for path, (partial, target) in partials.items():
            with naming(path):
                os.replace(partial, target)
    finally:
        for partial, _ in partials.values():
            partial.unlink(missing_ok=True)


@contextmanager
def naming(path: Path):
    """Inside, an OSError says which file it is about: that of a write to a full disk does not by itself."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full: make room, and run it again" if full else error.strerror
        raise OSError(error.errno, why, str(path)) from error

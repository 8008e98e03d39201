"""Files: how they are named, read and written; on a disk without room, without a home, by several processes at once."""

import ast
import errno
import locale
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vartut.paths import data_folder, expanded, read_lines, write_files

ROOT = Path(__file__).resolve().parent.parent


def test_the_home_is_put_in_for_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/x") == expanded(Path("~/x")) == tmp_path / "x"
    assert expanded("a/~/x") == Path("a/~/x")
    with pytest.raises(ValueError, match="~nobody-here/x: there is no such home folder, give the path in full"):
        expanded("~nobody-here/x")
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("VARTUT_DATA", "~/data")
    assert data_folder() == (tmp_path / "data").resolve()


LINES = ["a red fox", "", "caf\u00e9 \u2028 one line\x0b\x0c\x1c\x85 still", " spaces "]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_end_at_newlines_only(mark, end, last, tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_bytes(mark + (end.join(LINES) + end * last).encode())
    assert read_lines(path) == LINES


def test_lines_are_utf8_whatever_the_locale(tmp_path):
    (tmp_path / "prompts.txt").write_bytes("caf\u00e9".encode())
    code = "import locale, sys; from vartut.paths import read_lines; "
    code += "print(locale.getencoding(), ascii(read_lines(sys.argv[1])))"
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", code, tmp_path / "prompts.txt"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split(" ", 1)[1].strip() == "['caf\\xe9']"
    assert run.stdout.split()[0].lower() != "utf-8", f"the test needs another locale than {locale.getencoding()}"


def test_lines_that_are_not_utf8_are_named(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"a fox\ncaf\xe9\n")
    with pytest.raises(ValueError, match=r"latin\.txt, line 2: not UTF-8; save the file as UTF-8"):
        read_lines(tmp_path / "latin.txt")
    (tmp_path / "empty.txt").write_bytes(b"")
    assert read_lines(tmp_path / "empty.txt") == []


def without_encoding(source: str) -> list[int]:
    """The lines of a source that open, read or write text and leave the encoding to the locale."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            owner = getattr(getattr(node.func, "value", None), "id", "")
            binary = any(isinstance(a, ast.Constant) and "b" in str(a.value) for a in node.args[-1:])
            named = any(keyword.arg == "encoding" for keyword in node.keywords)
            if name in ("open", "read_text", "write_text") and owner != "Image" and not binary and not named:
                found.append(node.lineno)
    return found


def test_no_text_is_read_in_the_encoding_of_the_locale():
    assert without_encoding("open('a')\nx.read_text()\nopen(p, 'rb')\nx.open(encoding='utf-8')") == [1, 2]
    for path in [*(ROOT / "vartut").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]:
        assert without_encoding(path.read_text(encoding="utf-8")) == [], f"{path} leaves the encoding to the locale"


# ---- writing -------------------------------------------------------------------------------------------------------


def test_files_are_written_with_their_folders(tmp_path):
    write_files({tmp_path / "a" / "b.txt": "caf\u00e9\n", tmp_path / "c" / "d": b"\0\r\n"})
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"caf\xc3\xa9\n"
    assert (tmp_path / "c" / "d").read_bytes() == b"\0\r\n"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b.txt", "c", "d"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_with_the_file_and_keeps_no_part(number, tmp_path, monkeypatch):
    (tmp_path / "old").write_text("old")
    write = Path.write_bytes

    def no_room(path, content):
        write(path, content[:3])
        if len(content) > 3:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", no_room)
    for name in ("new", "old"):
        said = f"the disk is full: make room, and run it again: '{tmp_path}/{name}'"
        with pytest.raises(OSError, match=re.escape(said)):
            write_files({tmp_path / "small": b"abc", tmp_path / name: b"abcdef"})
        assert [p.name for p in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_the_real_error_of_a_full_disk_is_named_too():
    with pytest.raises(OSError, match="the disk is full: make room, and run it again: '/dev/full'"):
        write_files({Path("/dev/full"): b"abc"})
    assert Path("/dev/full").is_char_device(), "not replaced by a file"


def test_an_interrupt_keeps_no_part(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_files({tmp_path / "new": b"abc"})
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed_and_a_folder_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_files({tmp_path / "link": b"abc"})
    assert (tmp_path / "target").read_bytes() == b"abc"
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="folder"):
        write_files({tmp_path / "folder": b"abc"})


def test_a_name_as_long_as_can_be(tmp_path):
    write_files({tmp_path / ("x" * 255): b"abc"})
    assert [len(p.name) for p in tmp_path.iterdir()] == [255]


WRITER = """
import sys
from pathlib import Path
from vartut.paths import write_files
for _ in range(30):
    write_files({Path(sys.argv[1]): sys.argv[2] * 100_000})
"""


def test_eight_processes_write_one_file_and_it_is_always_whole(tmp_path):
    path = tmp_path / "file"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, str(i)]) for i in range(8)]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        seen |= {path.read_text()} if path.exists() else set()
    assert [writer.returncode for writer in writers] == [0] * 8
    assert seen, "looked at least once"
    assert all(len(set(text)) == 1 and len(text) == 100_000 for text in seen)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]

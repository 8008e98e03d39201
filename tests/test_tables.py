"""Tables of data/results: rows measured anew replace theirs, all other bytes stay, and no half table is ever there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import tables
import torch

from vartut.paths import data_folder

RESULTS = sorted((data_folder() / "results").glob("*.csv"))
OLD = "arm,n,rate\nbeam,1,0.5\nsample,1,0.10\nsample,2,\nbeam,2,0.25\n"


def arm(row):
    return row["arm"]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "quality.csv"
    path.write_text(OLD, encoding="utf-8")
    return path


@pytest.mark.parametrize("shipped", RESULTS, ids=lambda path: path.stem)
def test_the_shipped_tables_come_back_to_the_byte(shipped, tmp_path):
    """Whatever row is measured again with the same result, the file is the same."""
    path = tmp_path / shipped.name
    shutil.copy(shipped, path)
    rows = tables.read_rows(path)
    assert rows
    for row in (rows[0], rows[-1]):
        tables.replace_rows(path, [row], key=lambda other: tuple(other.values()))
        assert path.read_bytes() == shipped.read_bytes()


def test_rows_take_the_place_of_those_with_their_key_and_new_keys_come_last(path):
    rows = [{"rate": 1.0, "arm": "random", "n": 3}, {"rate": None, "arm": "sample", "n": 9}]
    tables.replace_rows(path, rows, arm)
    assert path.read_text() == "arm,n,rate\nbeam,1,0.5\nsample,9,\nbeam,2,0.25\nrandom,3,1.0\n"
    tables.replace_rows(path, [{"arm": "beam", "n": n, "rate": 0} for n in (7, 8)], arm)
    assert path.read_text() == "arm,n,rate\nbeam,7,0\nbeam,8,0\nsample,9,\nrandom,3,1.0\n"


def test_a_first_table_is_made_with_its_folder(tmp_path):
    path = tmp_path / "new" / "table.csv"
    tables.replace_rows(path, [{"arm": "α, β", "n": 1}], arm)
    assert path.read_bytes() == 'arm,n\n"α, β",1\n'.encode()
    assert tables.read_rows(path) == [{"arm": "α, β", "n": "1"}]


def test_other_columns_are_refused_unless_the_whole_table_is_new(path):
    row = {"arm": "beam", "n": 1, "seconds": 2}
    with pytest.raises(ValueError, match=r"other columns \(rate, seconds\): measure them all anew"):
        tables.replace_rows(path, [row], arm)
    assert path.read_text() == OLD
    tables.replace_rows(path, [row], key=lambda row: None)
    assert path.read_text() == "arm,n,seconds\nbeam,1,2\n"


def test_no_rows_are_refused(path):
    with pytest.raises(ValueError, match="no rows to write"):
        tables.replace_rows(path, [], arm)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_interrupts_leaves_the_old_table_and_no_part_of_a_new_one(path, monkeypatch, error):
    write = Path.write_bytes

    def half(self, content):
        write(self, content[:10])
        raise error

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(type(error)) as caught:
        tables.replace_rows(path, [{"arm": "beam", "n": 1, "rate": 1}], arm)
    assert path.read_text() == OLD
    assert os.listdir(path.parent) == [path.name]
    assert "quality.csv" in str(caught.value) or not str(caught.value)


def test_the_stamp_says_commit_processor_and_threads():
    made = tables.stamp(torch.device("cpu"))
    assert list(made) == ["commit", "device", "threads"]
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert made["commit"].rstrip("+") == (git.stdout[:12] or "unknown")
    assert made["device"].startswith("CPU, ")
    assert made["threads"] == torch.get_num_threads()

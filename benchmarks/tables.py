"""The tables of data/results: where and when a row was made, and how rows that were measured anew replace the old ones.

from tables import replace_rows, stamp
rows = [{"arm": "beam", "rate": 0.9, **stamp()}]
replace_rows(data_folder() / "results" / "quality.csv", rows, key=lambda row: row["arm"])
"""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import torch

from vartut import provenance
from vartut.device import device
from vartut.paths import write_files


def stamp(where: torch.device | None = None) -> dict:
    """The commit of the code, the processor (of `where`; by default the one that vartut computes on) and its threads.

    For CPUs the threads are torch's; "unknown" is the commit outside a git checkout.
    """
    where = device() if where is None else where
    return {
        "commit": provenance.commit(),
        "device": provenance.device_name(where),
        "threads": torch.get_num_threads(),
    }


def read_rows(path: Path) -> list[dict]:
    """The rows of a table as texts by column; none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def replace_rows(path: Path, rows: list[dict], key: Callable[[dict], object]) -> None:
    """Put `rows` in the place of those rows of the table that have the same `key`, and leave the others as they are.

    A new key comes last.  `key` gets a row as it stands in the file, all values as texts.  The file is UTF-8, made if
    it is missing, and written whole or not at all.  Raises ValueError for no rows, and if rows that stay have other
    columns; OSError naming the file if it cannot be written.
    """
    if not rows:
        raise ValueError(f"{path}: no rows to write")
    old, new, table = read_rows(path), {}, []
    for row in rows:
        row = {column: "" if value is None else str(value) for column, value in row.items()}
        new.setdefault(key(row), []).append(row)
    measured = set(new)
    for row in old:
        table += new.pop(key(row), []) if key(row) in measured else [row]  # the first of a key has the place of all
    table += [row for rows in new.values() for row in rows]
    columns = list(old[0] if old and set(old[0]) == set(rows[0]) else rows[0])  # in the order of the file
    if odd := {column for row in table for column in set(row) ^ set(columns)}:
        what = ", ".join(sorted(odd))
        raise ValueError(f"{path} has rows with other columns ({what}): measure them all anew, or move the file away")
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_files({path: text.getvalue()})

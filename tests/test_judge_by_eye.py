"""The labelled pictures: all 200 are kept, the table is about them, and notebook 01 shows twelve of them."""

import sys

import numpy as np
import pytest
import torch
from notebook_sources import ROOT
from PIL import Image

import vartut
from vartut.paths import data_folder

KEPT = data_folder() / "results" / "judge_by_eye"


@pytest.fixture(scope="module")
def by_eye():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import judge_by_eye

    yield judge_by_eye
    sys.path.remove(str(ROOT / "benchmarks"))
    sys.modules.pop("judge_by_eye")


@pytest.fixture(scope="module")
def table(by_eye):
    return by_eye.read_rows(by_eye.TABLE)


def test_the_table_is_about_the_kept_pictures(by_eye, table):
    shown, made_by = by_eye.pictures()
    assert len(shown) == 200
    assert [(task, str(i), prompt) for task, i, prompt, _ in shown] == [
        (row["task"], row["index"], row["prompt"]) for row in table
    ]
    assert {row["weights"] for row in table} == {made_by}


def test_the_judge_says_of_them_what_the_table_says(by_eye, table):
    shown, _ = by_eye.pictures()
    some = range(0, 200, 7)
    said = vartut.judge(torch.stack([shown[i][-1] for i in some]), [shown[i][2] for i in some])
    assert [verdict.reason for verdict in said] == [table[i]["judge_says"] for i in some]
    assert ["right" if verdict.correct else "wrong" for verdict in said] == [table[i]["judge"] for i in some]


def test_the_twelve_of_notebook_01_are_among_them(by_eye):
    shown, _ = by_eye.pictures()
    for number in by_eye.SHOWN:
        with Image.open(KEPT / f"{number:03}.png") as image:
            alone = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 255
        assert torch.equal(alone, shown[number][-1]), number

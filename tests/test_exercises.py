"""What the test cell of an exercise prints: solved, not solved yet and why, or nothing where the reader's bug shows."""

import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from vartut.course.exercises import Check, exercise


def test_an_exercise_says_how_it_stands(capsys):
    with exercise("2.1"):
        assert 1 + 1 == 2, "count again"
    with exercise("2.2"):
        assert 1 + 1 == 3, "count\nagain"
    with exercise("2.3"):
        raise NotImplementedError
    written = capsys.readouterr().out.splitlines()
    assert written[0] == "2.1 solved"
    assert written[1].startswith("2.2 not solved yet: count")
    assert written[-1].startswith("2.3 not written yet: replace the line")


def test_an_assertion_without_a_message_and_the_readers_own_bug_stay_visible(capsys):
    with pytest.raises(AssertionError), exercise("2.1"):
        raise AssertionError
    with pytest.raises(ZeroDivisionError), exercise("2.1"):
        _ = 1 / 0
    assert capsys.readouterr().out == ""
    answer = {}
    exec(compile("def sum_of(answer):\n    return 1 + answer", "the answer's cell", "exec"), answer)
    with pytest.raises(TypeError), exercise("2.1"):
        answer["sum_of"](None)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "object of type 'NoneType' has no len()"),
        (7, "object of type 'int' has no len()"),
        ([], "'list' object has no attribute 'split'"),
    ],
)
def test_an_answer_of_another_type_gets_a_sentence(capsys, answer, said):
    with exercise("2.1"):
        assert len(answer) == 0, "an empty text"
        assert answer.split() == [], "an empty text"
    assert capsys.readouterr().out == f"2.1 not solved yet, the test cannot use an answer of this type: {said}\n"


@pytest.mark.parametrize("answer", [[None] * 3, [[1.0], [1.0, 2.0]]])
def test_a_list_that_is_no_tensor_gets_a_sentence(capsys, answer):
    with exercise("2.1"):
        torch.as_tensor(answer)
    with torch.device("cpu"), exercise("2.1"):  # a default device, as the user may have set one
        torch.as_tensor(answer)
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    assert first.startswith("2.1 not solved yet, the test cannot use an answer of this type: ")


def test_a_test_may_use_the_answer_in_a_function_of_its_own(capsys):
    with exercise("2.1"):
        number = lambda answer: answer.item()  # noqa: E731
        assert number(None) == 1, "one"
    said = "'NoneType' object has no attribute 'item'"
    assert capsys.readouterr().out == f"2.1 not solved yet, the test cannot use an answer of this type: {said}\n"


SCRIPT = """
from vartut.course.exercises import exercise
with exercise("2.1"):
    assert 1 + 1 == 3, "count again"
with exercise("2.2"):
    raise NotImplementedError
"""


@pytest.mark.parametrize(("options", "optimize"), [([], ""), (["-O"], ""), ([], "1")])
def test_nothing_is_solved_where_assertions_are_left_out(options, optimize, monkeypatch):
    monkeypatch.setenv("PYTHONOPTIMIZE", optimize)
    done = subprocess.run([sys.executable, *options, "-c", SCRIPT], capture_output=True, text=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("2.1 not checked: " if options or optimize else "2.1 not solved yet: count again")
    assert second.startswith("2.2 not written yet")
    assert done.stderr == ""


CHECKED = """
from vartut.course.exercises import exercise
with exercise("2.1") as check:
    check(1 + 1 == 3, "count again")
with exercise("2.2") as check:
    check(1 + 1 == 2, "count again")
    check([2], "a list of one")
"""


@pytest.mark.parametrize("options", [[], ["-O"]])
def test_checks_hold_with_and_without_assertions(options):
    done = subprocess.run([sys.executable, *options, "-c", CHECKED], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["2.1 not solved yet: count again", "2.2 solved"]
    assert done.stderr == ""


@pytest.mark.parametrize("answer", [3, 3.0, Fraction(6, 2), Decimal(3), np.float32(3), np.int64(3), np.array([3])])
def test_an_answer_is_a_number_in_whatever_form(answer):
    number = Check().number(answer, "a share")
    assert number == 3
    assert type(number) is float


def test_a_tensor_of_one_is_a_number():
    assert Check().number(torch.tensor(0.25), "a share") == Check().number(torch.tensor([0.25]), "a share") == 0.25


@pytest.mark.parametrize(
    "answer",
    [None, "3", True, torch.tensor(True), float("nan"), float("inf"), [3], (), 1j, len, np.zeros(2), {}, 10**400],
)
def test_what_is_no_number_gets_a_sentence(answer, capsys):
    with exercise("2.1") as check:
        check.number(answer, "a share")
    written = capsys.readouterr().out
    assert written.startswith("2.1 not solved yet: a share is a finite number, and this is ")
    assert written.count("\n") <= 2, "not a page of it"
    assert repr(answer)[:9] in written

"""A throw-away notebook with the course's form, for the tests of the checks."""

import tempfile
from pathlib import Path

from nbformat import v4
from notebook_sources import filled

NAME = "07_mini.ipynb"
TOY = 'BASE = 2  # of two\n\n\ndef twice(x):\n    """Twice."""\n    return 2 * x\n'
SQUARE, WRONG = "def square(n):\n    return n * n", "def square(n):\n    return 2 * n"
ANSWERS = {f"7.{i}": {"exercise": [SQUARE], "mistake": [WRONG]} for i in (1, 2, 3, 4)}
OPENING = """# 07 · A mini notebook

**Claim.** Squares grow faster than lines.

**Time.** 1 minute on two CPU cores; on a GPU not measured.

**Know before.** Nothing."""
IMPORTS = "# imports\nfrom vartut.course.exercises import exercise"
KEPT = "# kept in vartut/toy.py\nBASE = ...\n\ndef twice(x): ...\n"
EXERCISE = """### Exercise 7.{i} · Number {i}

*Difficulty 1 of 5 · importance 2 of 5 · 3 minutes*

Write a square.

<details><summary>Hint</summary>

Multiply.

</details>"""
STUB = "# exercise 7.{i}\ndef square(n):\n    return n  # your line"
TEST = """# test of exercise 7.{i}
with exercise("7.{i}"):
    if square(3) != 9:
        raise AssertionError("n * n, not n")"""
LANGUAGE = {"name": "python", "version": "3.11.0"}  # as a kernel writes it
REFERENCES = "## References\n\nhttps://arxiv.org/abs/2510.16751, https://arxiv.org/abs/2404.02905"


def mini_notebook():
    """The notebook with its outputs, as a run leaves it (a test runs it to see that this is so)."""
    cells = [v4.new_markdown_cell(OPENING), v4.new_code_cell("# set-up"), v4.new_code_cell(IMPORTS)]
    cells += [v4.new_markdown_cell("## Much prose\n\n" + "word " * 1000), v4.new_code_cell(KEPT)]
    printed = (("# sums", "print(1 + 2)", "3"), ("# products", "print(2 * 3)", "6"), ("# powers", "print(3**2)", "9"))
    for i in (1, 2, 3, 4):  # each right after what it is about
        cells += [printing(f"{line}\n{source}", text) for line, source, text in printed[i - 1 : i]]
        cells += [v4.new_markdown_cell(EXERCISE.format(i=i)), v4.new_code_cell(STUB.format(i=i))]
        cells.append(printing(TEST.format(i=i), f"7.{i} not solved yet: n * n, not n"))
        cells.append(v4.new_markdown_cell(f"<details><summary>Solution of 7.{i}</summary>"))
    cells.append(v4.new_markdown_cell("## Summary\n\nThey do."))
    cells.append(v4.new_markdown_cell(REFERENCES))
    for number, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), 1):
        cell.execution_count = number
    with tempfile.TemporaryDirectory() as folder:  # a package that has only toy.py
        (Path(folder) / "vartut").mkdir()
        (Path(folder) / "vartut" / "toy.py").write_text(TOY)
        made = v4.new_notebook(cells=cells, metadata={"language_info": LANGUAGE})
        return filled(made, NAME, None, ANSWERS, Path(folder))


def printing(source: str, text: str):
    return v4.new_code_cell(source, outputs=[v4.new_output("stream", name="stdout", text=f"{text}\n")])

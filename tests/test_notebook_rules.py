"""What makes a notebook readable (`RULES` of notebook_rules.py): no notebook breaks any of it."""

import nbformat
import pytest
from mini_notebook import mini_notebook
from notebook_rules import MOST_COLUMNS, MOST_LINES, MOST_SECTIONS, MOST_WORDS, RULES
from notebook_sources import first_line, notebooks

COURSE = [pytest.param(path, id=path.stem) for path in notebooks()]


@pytest.mark.parametrize("path", COURSE)
def test_a_notebook_is_readable(path):
    notebook = nbformat.read(path, as_version=4)
    assert [f"{name}: {line}" for name, rule in RULES.items() for line in rule(notebook)] == []


# ---- the rules themselves, on a throw-away notebook ------------------------------------------------------------------


def of(notebook, line):
    """The cell with this first line."""
    return next(cell for cell in notebook.cells if first_line(cell) == line)


def prose(text):
    """A change of a notebook: its prose says this, too."""
    return lambda n: of(n, "## Much prose").update(source=f"## Much prose\n\n{'word ' * 1000}\n\n{text}")


def code(text, line="# sums"):
    """A change of a notebook: this stands at the end of a cell."""
    return lambda n: of(n, line).update(source=f"{of(n, line).source}\n{text}")


def printed(text):
    """A change of a notebook: a cell prints this, too."""
    return lambda n: of(n, "# sums").outputs.append(nbformat.v4.new_output("stream", name="stdout", text=text))


def shown(text):
    """A change of a notebook: a cell's last line has this value."""
    output = nbformat.v4.new_output("execute_result", data={"text/plain": text}, execution_count=1)
    return lambda n: of(n, "# sums").outputs.append(output)


def fold(hidden=True):
    """A change of a notebook: the kept definition is long, and JupyterLab hides it."""

    def change(notebook):
        code("# and so on\n" * 30 + "#" * 110, "# kept in vartut/toy.py")(notebook)
        of(notebook, "# kept in vartut/toy.py").metadata["jupyter"] = {"source_hidden": hidden}

    return change


def move(first, last, to):
    """A change of a notebook: the exercises of these numbers stand, in their order, before the cell with that line."""

    def change(notebook):
        cells = []
        for i in range(first, last + 1):
            at = notebook.cells.index(of(notebook, f"### Exercise 7.{i} · Number {i}"))
            cells += notebook.cells[at : at + 4]
            del notebook.cells[at : at + 4]
        at = notebook.cells.index(of(notebook, to))
        notebook.cells[at:at] = cells

    return change


def sections(number):
    return lambda n: of(n, "## Much prose").update(
        source="\n\n".join(f"## Section {i}" for i in range(number)) + "\n\n" + "word " * 1000
    )


BREACHES = [
    ("long_cells", 1, code("pass\n" * MOST_LINES)),
    ("long_cells", 1, fold(False)),
    ("long_lines", 2, code(f"x = '{'y' * MOST_COLUMNS}'\n\n# {'y' * MOST_COLUMNS}")),
    ("long_lines", 1, fold(False)),
    ("many_words", 1, prose("word " * (MOST_WORDS - 1000))),
    ("many_sections", 2, sections(MOST_SECTIONS + 2)),
    ("bare_decimals", 1, prose("It falls to .8 of that.")),
    ("bare_decimals", 3, prose("From -.5 to +.5, and ($.99^2$).")),
    ("bare_decimals", 1, prose("| .5 |")),
    ("unmeasured_times", 1, prose("It takes 2 minutes on a GPU.")),
    ("unmeasured_times", 1, prose("On a GPU it takes\nhalf a second.")),
    ("unmeasured_times", 1, prose("Training needs 40 s of a T4.")),
    (
        "unmeasured_times",
        2,
        prose("On two cores it was measured. A GPU needs a second. So do two GPUs: an hour in all."),
    ),
    ("unmeasured_times", 1, prose("| GPU | 3 minutes |\n| CPU | measured |")),
    ("late_exercises", 1, move(4, 4, "## References")),
    ("late_exercises", 5, move(1, 4, "## References")),
    ("late_exercises", 1, move(1, 4, "## Summary")),
    ("optimised_away", 1, code("    assert square(3) == 9, 'no'", "# test of exercise 7.1")),
    ("optimised_away", 1, code("def check(x):\n    assert x, 'no'", "# imports")),
    ("verdict_prints", 1, printed("True\n")),
    ("verdict_prints", 1, shown("False")),
    ("verdict_prints", 2, printed("the same to 1e-4: True\n7 of 8\ncached = counted: False\n")),
]
PERMITTED = [
    ("long_cells", code("pass\n" * (MOST_LINES - 2) + "\n\n")),
    ("long_cells", fold()),
    ("long_lines", code("#" * MOST_COLUMNS)),
    ("long_lines", fold()),
    ("long_lines", prose("y" * 200)),
    ("many_words", prose("word " * 1000)),
    (
        "many_words",
        lambda n: of(n, "<details><summary>Solution of 7.1</summary>").update(
            source="<details><summary>Solution of 7.1</summary>" + "word " * MOST_WORDS
        ),
    ),
    ("many_sections", sections(MOST_SECTIONS)),
    ("many_sections", prose("```\n" + "## no section\n" * 20 + "```\n\n" + "### smaller\n\n" * 20)),
    ("bare_decimals", prose("0.8, 1.5, `x = .5`, https://arxiv.org/abs/2510.16751, and so on ...5 more; 1..2")),
    ("bare_decimals", prose("```\nx = .5\n```")),
    ("bare_decimals", code("x = .5")),
    ("unmeasured_times", prose("It takes a minute. A GPU helps.")),
    ("unmeasured_times", prose("A minute on a GPU was not measured.")),
    ("unmeasured_times", prose("Two minutes on a GPU, computed from its operations.")),
    ("unmeasured_times", prose("- a minute on two cores\n- a GPU helps")),
    ("late_exercises", move(2, 4, "## Summary")),
    ("optimised_away", code("assert 1 + 1 == 2")),
    ("optimised_away", code("assert 1 + 1 == 2", "# exercise 7.1")),
    ("verdict_prints", printed("7 of 8 are true; True to its word\n[True, False]\ncorrect True after 3\n")),
    ("verdict_prints", code("print(True)")),
]


def test_a_good_notebook_breaks_no_rule():
    assert [line for rule in RULES.values() for line in rule(mini_notebook())] == []


@pytest.mark.parametrize(("rule", "number", "change"), BREACHES)
def test_what_breaks_a_rule_is_noticed(rule, number, change):
    notebook = mini_notebook()
    change(notebook)
    assert len(RULES[rule](notebook)) == number


@pytest.mark.parametrize(("rule", "change"), PERMITTED)
def test_what_is_near_a_breach_is_none(rule, change):
    notebook = mini_notebook()
    change(notebook)
    assert RULES[rule](notebook) == []


def test_every_rule_is_seen_to_fail_and_to_pass():
    assert {rule for rule, _, _ in BREACHES} == {rule for rule, _ in PERMITTED} == set(RULES)


def test_a_notebook_that_breaks_a_rule_is_refused_by_name(tmp_path):
    path, notebook = tmp_path / "07_mini.ipynb", mini_notebook()
    nbformat.write(notebook, path)
    test_a_notebook_is_readable(path)
    prose("It falls to .8 of that.")(notebook)
    nbformat.write(notebook, path)
    with pytest.raises(AssertionError, match="bare_decimals: "):
        test_a_notebook_is_readable(path)

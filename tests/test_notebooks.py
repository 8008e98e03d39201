"""The course's notebooks have their form, teach what runs, and could fail; so could the checks."""

import ast
import contextlib
import copy
import io
import itertools
import os
import re
import shlex
import subprocess
import sys
import types

import nbformat
import notebook_sources as sources
import pytest
from mini_notebook import ANSWERS, NAME, TOY, mini_notebook
from nbclient import NotebookClient
from notebook_checks import MOST_BYTES, complaints
from notebook_sources import KEPT, ROOT, code_cells, first_line, notebooks

COURSE = [pytest.param(path, id=path.stem) for path in notebooks()]


def read(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def outcome(notebook, number: str, code: str, monkeypatch) -> str:
    """What the test cell of an exercise prints when `code` stands in the place of its stub."""
    cells = {first_line(cell): cell.source for cell in code_cells(notebook)}
    module = types.ModuleType("exercise_run")  # dataclasses look their module up
    monkeypatch.setitem(sys.modules, module.__name__, module)
    kept = [cell.source for cell in code_cells(notebook) if KEPT.fullmatch(first_line(cell))]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for source in (cells["# imports"], *kept, code, cells[f"# test of exercise {number}"]):
            exec(compile(source, f"<exercise {number}>", "exec"), module.__dict__)
    return printed.getvalue().strip().split("\n")[-1]


def exercise_numbers(notebook) -> list[str]:
    lines = (re.fullmatch(r"# exercise (\d+\.\d+)", first_line(cell)) for cell in code_cells(notebook))
    return [line.group(1) for line in lines if line]


def assert_exercises_work(notebook, answers, monkeypatch):
    """Solutions pass, stubs fail, and likely mistakes are refused with a message."""
    stubs = {first_line(cell): cell.source for cell in code_cells(notebook)}
    for number in exercise_numbers(notebook):
        for solution in answers[number]["exercise"]:
            assert outcome(notebook, number, solution, monkeypatch) == f"{number} solved", "the solution fails"
        stub = outcome(notebook, number, stubs[f"# exercise {number}"], monkeypatch)
        assert stub.startswith((f"{number} not solved yet: ", f"{number} not written yet")), "the stub passes"
        for mistake in answers[number]["mistake"]:
            line = outcome(notebook, number, mistake, monkeypatch)
            assert line.startswith(f"{number} not solved yet: "), f"{number}: the likely mistake gives {line!r}"


def answers_of(path):
    return sources.solutions(sources.solutions_file(path))


def test_course_starts_at_00_and_has_no_number_twice_and_none_that_was_not_planned():
    numbers = [int(path.name[:2]) for path in notebooks()]
    planned = [int(n) for n in re.findall(r"^\| (\d\d) \|", (ROOT / "README.md").read_text(), re.MULTILINE)]
    assert numbers[:4] == [0, 1, 2, 3]  # what the later ones stand on
    assert sorted(planned) == list(range(len(planned)))
    assert len(set(numbers)) == len(numbers)
    assert set(numbers) <= set(planned), "README's table of the course lacks a notebook"


@pytest.mark.parametrize("path", COURSE)
def test_notebook_was_run_could_fail_and_has_the_form(path):
    assert path.stat().st_size <= MOST_BYTES, "too large: fewer or smaller pictures"
    assert complaints(read(path), path.name, answers_of(path)) == []


@pytest.mark.parametrize("path", COURSE)
def test_setup_badge_and_solutions_are_as_their_sources(path):
    notebook = read(path)
    fresh = sources.filled(notebook, path.name, sources.address(), answers_of(path), kept_from=None)
    for here, there in zip(notebook.cells, fresh.cells, strict=True):
        assert here.source == there.source, "run `make notebooks`"


@pytest.mark.parametrize("path", COURSE)
def test_solutions_pass_stubs_fail_and_mistakes_are_named(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    assert_exercises_work(read(path), answers_of(path), monkeypatch)


def test_a_definition_is_taught_once():
    taught = [
        (KEPT.fullmatch(first_line(cell)).group(1), name, path.name)
        for path in notebooks()
        for cell in code_cells(read(path))
        if KEPT.fullmatch(first_line(cell))
        for name in sources.definitions(cell.source)
    ]
    for (file, name, notebook), (other_file, other, elsewhere) in itertools.combinations(taught, 2):
        assert (file, name) != (other_file, other), f"{name} is taught in {notebook} and {elsewhere}: import it later"


# The checks themselves, on a throw-away notebook.


@pytest.fixture
def mini(tmp_path):
    """A good notebook, and a package of one file that it teaches."""
    (tmp_path / "vartut").mkdir()
    (tmp_path / "vartut" / "toy.py").write_text(TOY)
    return mini_notebook(), tmp_path


def of(notebook, line):
    """The cell with this first line."""
    return next(cell for cell in notebook.cells if first_line(cell) == line)


def change(notebook, line, old, new):
    cell = of(notebook, line)
    assert old in cell.source
    cell.source = cell.source.replace(old, new)


def stream(name, text):
    return nbformat.v4.new_output("stream", name=name, text=text)


def picture(**more):
    data = {"image/png": "AAAA", "text/plain": "<Figure size 1x1 with 1 Axes>"} | more
    return nbformat.v4.new_output("display_data", data=data)


MISTAKES = {
    "never run": lambda n: of(n, "# imports").update(execution_count=None),
    "not as 2": lambda n: of(n, "# imports").update(execution_count=9),
    "stderr": lambda n: of(n, "# sums").outputs.append(stream("stderr", "UserWarning: old")),
    "ends in KeyError": lambda n: of(n, "# sums").outputs.append(
        nbformat.v4.new_output("error", ename="KeyError", evalue="1", traceback=[])
    ),
    "execution times": lambda n: of(n, "# sums").metadata.update(execution={"start": 1}),
    "widgets in the metadata": lambda n: n.metadata.update(widgets={}),
    "another kernel in the metadata": lambda n: n.metadata.update(language_info={}),
    "another kernel": lambda n: n.metadata.kernelspec.update(display_name="Python 3"),
    "ends in ';'": lambda n: change(n, "# sums", "print(1 + 2)", "print(1 + 2);  # three"),
    "not plain Python": lambda n: change(n, "# sums", "print(1 + 2)", "!ls\nprint(1 + 2)"),
    "interact": lambda n: change(n, "# sums", "print(1 + 2)", "interact(print)"),
    "nbval-skip switches": lambda n: of(n, "# sums").metadata.update(tags=["nbval-skip"]),
    "raises-exception switches": lambda n: of(n, "# sums").metadata.update(tags=["raises-exception"]),
    "nbval-raises-exception switches": lambda n: change(n, "# sums", "\n", "\n# NBVAL_RAISES_EXCEPTION\n"),
    "3 cells are not compared": lambda n: [
        of(n, line).metadata.update(tags=["nbval-ignore-output"]) for line in ("# sums", "# products", "# powers")
    ],
    "2 cells print a compared number": lambda n: of(n, "# sums").update(outputs=[]),
    "an object's address": lambda n: of(n, "# sums").outputs.append(stream("stdout", "<f at 0x7f0011223344>")),
    "a text progress bar": lambda n: of(n, "# sums").outputs.append(stream("stdout", "10%|# | 3.1it/s")),
    "a timing": lambda n: of(n, "# sums").outputs.append(stream("stdout", "took 3.12 seconds")),
    "an SVG": lambda n: of(n, "# sums").outputs.append(picture(**{"image/svg+xml": "<svg/>"})),
    "a picture alone": lambda n: of(n, "# sums").update(outputs=[picture()]),
    "the opening lacks `**Claim": lambda n: n.cells[0].update(source=n.cells[0].source.replace("Claim", "Aim")),
    "the opening lacks `**Time": lambda n: n.cells[0].update(source=n.cells[0].source.replace("CPU", "")),
    "the opening lacks `**Know": lambda n: n.cells[0].update(source=n.cells[0].source.replace("Know before", "Know")),
    "with the file's number": lambda n: n.cells[0].update(source=n.cells[0].source.replace("# 07", "# 08")),
    "the second cell is not": lambda n: n.cells.insert(1, nbformat.v4.new_markdown_cell("Hello")),
    "one cell `# imports`": lambda n: change(n, "# imports", "# imports", "# the imports"),
    "the headings": lambda n: change(n, "## Summary", "## Summary", "## In short"),
    "two references": lambda n: change(n, "## References", "https://arxiv.org/abs/2404.02905", "a paper"),
    "words of prose": lambda n: change(n, "## Much prose", "word", ""),
    "3 exercises": lambda n: n.cells.remove(of(n, "### Exercise 7.4 · Number 4")),
    "should have the number 7.2": lambda n: change(n, "### Exercise 7.2 · Number 2", "7.2", "7.3"),
    "exercise 7.1 lacks `*Difficulty": lambda n: change(n, "### Exercise 7.1 · Number 1", "*Difficulty", "*Hardness"),
    "exercise 7.1 lacks a folded hint": lambda n: change(n, "### Exercise 7.1 · Number 1", "Hint", "Help"),
    "stub, test and solution": lambda n: n.cells.remove(of(n, "# test of exercise 7.3")),
    "`raise AssertionError()` has no message": lambda n: change(n, "# test of exercise 7.1", '"n * n, not n"', ""),
    "`assert square(3) == 9` has no message": lambda n: change(
        n, "# test of exercise 7.1", "if square", "assert square(3) == 9\n    if square"
    ),
    "asserts nothing": lambda n: change(n, "# test of exercise 7.1", "raise AssertionError(", "print(1, "),
    "does not say": lambda n: change(n, "# test of exercise 7.1", 'with exercise("7.1")', "if True"),
    "teaches no definition": lambda n: n.cells.remove(of(n, "# kept in vartut/toy.py")),
    "no such file": lambda n: change(n, "# kept in vartut/toy.py", "toy.py", "toys.py"),
    "twice differs": lambda n: change(n, "# kept in vartut/toy.py", "2 * x", "3 * x"),
    "does not define thrice": lambda n: change(n, "# kept in vartut/toy.py", "twice", "thrice"),
    "something else than definitions": lambda n: change(n, "# kept in vartut/toy.py", "BASE", "print(1)\nBASE"),
}


@pytest.mark.parametrize(
    "line", ['assert square(3) == 9, "n * n"', 'check(square(3) == 9, "n * n")', 'check(square(3) == 9, f"{1}")']
)
def test_a_test_may_say_what_is_wrong_in_other_ways(mini, line):
    of(mini[0], "# test of exercise 7.1").source = f'# test of exercise 7.1\nwith exercise("7.1"):\n    {line}'
    assert complaints(mini[0], NAME, ANSWERS, mini[1]) == []


def test_a_good_notebook_is_not_refused(mini):
    notebook, root = mini
    nbformat.validate(notebook)
    assert complaints(notebook, NAME, ANSWERS, root) == []


@pytest.mark.parametrize("message", MISTAKES)
def test_a_bad_notebook_is_refused(mini, message):
    notebook, root = mini
    MISTAKES[message](notebook)
    assert any(message in line for line in complaints(notebook, NAME, ANSWERS, root)), "not noticed"


def appendix(mini):
    """The mini notebook as an appendix, with its number, one exercise and a page under docs/."""
    notebook, root = mini
    (root / "docs").mkdir()
    (root / "docs" / "long.md").write_text("Long.")
    others = re.compile(r"(### Exercise|# exercise|# test of exercise|<details><summary>Solution of) 7\.[234]")
    notebook.cells = [cell for cell in notebook.cells if not others.match(cell.source)]
    for number, cell in enumerate(sources.code_cells(notebook), 1):
        cell.execution_count = number
    for cell in notebook.cells:
        cell.source = cell.source.replace("7.1", "11.1").replace("# 07", "# 11").replace("word " * 1000, "word " * 500)
    of(notebook, "## Much prose").source += "[long](../docs/long.md)"
    return notebook, {"11.1": ANSWERS["7.1"]}, root


SPRAWL = {
    "words of prose, 400 to 1000": lambda n: change(n, "## Much prose", "word ", "word word word "),
    "0 exercises, at least 1": lambda n: n.cells.remove(of(n, "### Exercise 11.1 · Number 1")),
    "9 code cells besides": lambda n: n.cells.extend(nbformat.v4.new_code_cell(f"# {i}") for i in range(6)),
    "26 lines of up to": lambda n: of(n, "# sums").update(source="# sums\n" + "print(3)\n" * 24 + "print(3)"),
    "of up to 101 characters": lambda n: of(n, "# sums").update(source="# sums\n" + "x" * 101),
    "a painting, and the weights that are here are random": lambda n: painted(n, "show(found.image[None])"),
    "the weights that are here are random": lambda n: painted(n, "plt.imshow(sampler.preview(state)[0])"),
    "links to the page": lambda n: change(n, "## Much prose", "../docs/long.md", "../docs/longer.md"),
}


def painted(notebook, line: str) -> None:
    """A picture below a cell, which such a line would have shown."""
    of(notebook, "# sums").source += f"\n{line}"
    of(notebook, "# sums").outputs.append(picture())


@pytest.mark.parametrize("line", ["", "ax.plot(n, bytes_)\nplt.show()"])
def test_an_appendix_is_not_refused(mini, line):
    notebook, answers, root = appendix(mini)
    if line:  # a figure that is drawn shows no random weights
        painted(notebook, line)
    assert complaints(notebook, "11_mini.ipynb", answers, root) == []


@pytest.mark.parametrize("message", SPRAWL)
def test_an_appendix_that_sprawls_is_refused(mini, message):
    notebook, answers, root = appendix(mini)
    SPRAWL[message](notebook)
    assert any(message in line for line in complaints(notebook, "11_mini.ipynb", answers, root)), "not noticed"


def test_a_notebook_is_not_let_off_as_an_appendix(mini):
    notebook, answers, root = appendix(mini)
    found = complaints(notebook, "12_mini.ipynb", answers, root)
    assert any("1 exercises, at least 4" in line for line in found)
    assert any("words of prose, 1000 to 2500" in line for line in found)


@pytest.mark.parametrize("kind", ["exercise", "mistake"])
def test_missing_solution_and_mistake_are_noticed(mini, kind):
    notebook, root = mini
    answers = copy.deepcopy(ANSWERS)
    answers["7.2"][kind] = []
    assert any("exercise 7.2 has no" in line for line in complaints(notebook, NAME, answers, root))


def test_exercises_of_the_mini_notebook_work(mini, monkeypatch):
    assert_exercises_work(mini[0], ANSWERS, monkeypatch)


@pytest.mark.parametrize(
    ("which", "code"),
    [
        ("the solution fails", ("exercise", "def square(n):\n    return n")),
        ("likely mistake gives", ("mistake", "def square(n):\n    return n * n")),
    ],
)
def test_wrong_solutions_and_toothless_tests_are_noticed(mini, monkeypatch, which, code):
    answers = copy.deepcopy(ANSWERS)
    answers["7.1"][code[0]] = [code[1]]
    with pytest.raises(AssertionError, match=which):
        assert_exercises_work(mini[0], answers, monkeypatch)


def test_a_stub_that_passes_is_noticed(mini, monkeypatch):
    change(mini[0], "# exercise 7.1", "return n", "return n * n")
    with pytest.raises(AssertionError, match="the stub passes"):
        assert_exercises_work(mini[0], ANSWERS, monkeypatch)


def test_the_readers_own_exception_is_not_swallowed(mini, monkeypatch):
    with pytest.raises(ZeroDivisionError):
        outcome(mini[0], "7.1", "def square(n):\n    return n / 0", monkeypatch)


def test_filling_in_restores_definitions_and_solutions(mini):
    notebook, root = mini
    good = copy.deepcopy(notebook)
    change(notebook, "# kept in vartut/toy.py", "2 * x", "...")
    change(notebook, "<details><summary>Solution of 7.1</summary>", "n * n", "n")
    assert notebook != good
    assert sources.filled(notebook, NAME, None, ANSWERS, root) == good


def test_address_is_written_and_taken_out_again(mini):
    notebook, root = mini
    url = "https://github.com/someone/vartut"
    addressed = sources.filled(notebook, NAME, url, ANSWERS, root)
    assert f"colab.research.google.com/github/someone/vartut/blob/main/notebooks/{NAME}" in addressed.cells[0].source
    assert f"git+{url}" in addressed.cells[1].source
    assert complaints(addressed, NAME, ANSWERS, root) == []
    assert sources.filled(addressed, NAME, url, ANSWERS, root) == addressed
    assert sources.filled(addressed, NAME, None, ANSWERS, root) == notebook


def test_address_in_readme_citation_and_pyproject(tmp_path):
    names = ("pyproject.toml", "CITATION.cff", "README.md")
    for name in names:
        text = (ROOT / name).read_text()
        (tmp_path / name).write_text(text)
    url = "https://github.com/someone/vartut"
    sources.write_address(None, tmp_path)
    unset = [(tmp_path / name).read_text() for name in names]
    sources.write_address(url, tmp_path)
    assert all(url in (tmp_path / name).read_text() for name in names), "does README.md have its two address marks?"
    assert sources.address(tmp_path) == url
    sources.write_address(None, tmp_path)
    assert [(tmp_path / name).read_text() for name in names] == unset
    with pytest.raises(ValueError, match="no address like https://github"):
        sources.write_address("http://example.org/x", tmp_path)


def test_address_is_set_alike_everywhere():
    url = sources.address()
    for name, change_ in (("README.md", sources.readme_with), ("CITATION.cff", sources.citation_with)):
        text = (ROOT / name).read_text()
        assert text == change_(text, url), f"{name}: run `make address`"


# nbval itself, with the options of the Makefile.


def nbval(path) -> subprocess.CompletedProcess:
    options = re.search(r"^NBVAL = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    environment = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"} | {"PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        str(ROOT / "pyproject.toml"),
        *shlex.split(options),
        str(path),
    ]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=path.parent)


def test_nbval_passes_the_good_notebook_and_fails_a_changed_number(mini, tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = mini[0]
    written = [cell.get("outputs") for cell in notebook.cells]
    NotebookClient(notebook, timeout=60, record_timing=False).execute()
    assert [cell.get("outputs") for cell in notebook.cells] == written, "the mini notebook prints something else"
    path = tmp_path / NAME
    nbformat.write(notebook, path)
    good = nbval(path)
    assert good.returncode == 0, good.stdout + good.stderr
    of(notebook, "# sums").outputs[0].text = "4\n"
    nbformat.write(notebook, path)
    assert nbval(path).returncode == 1


def test_definitions_are_compared_by_syntax_not_by_layout():
    one, two = ("def f(x):\n    return {'a': x}", 'def f(x):\n\n    # why\n    return {"a": x}')
    assert ast.dump(sources.definitions(one)["f"]) == ast.dump(sources.definitions(two)["f"])

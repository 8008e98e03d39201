"""Reasons to refuse a notebook: it was not run, nbval could not fail on it, or it lacks the form.

An appendix, notebook 11, has a form of its own: one page, one exercise, no paintings, and what is long under docs/.

Every function answers with a list of complaints, one line each, and an empty list for a good notebook.  The form is
described in notebooks/README.md; what makes a notebook readable stands in notebook_rules.py.
"""

import ast
import re
from pathlib import Path

from notebook_sources import KEPT, KERNEL, ROOT, SOLUTION, code_cells, definitions, first_line, text_of

MOST_IGNORED = 2  # cells a notebook may exclude from comparison
LEAST_NUMBERS = 3  # cells besides the exercises whose compared text has a number
LEAST_EXERCISES = 4
WORDS = (1000, 2500)
MOST_BYTES = 1_000_000  # large enough for figures that can be seen
APPENDIX = "11"  # by its number
PAGE = {"words": (400, 1000), "exercises": 1, "code cells": 8, "lines": 25, "width": 100}  # of code: without exercises
IGNORE = {"nbval-ignore-output", "pytest-validate-ignore-output"}
BLIND = {"nbval-skip", "nbval-raises-exception", "raises-exception"}
UNSTABLE = {
    r"0x[0-9a-f]{6,}": "an object's address",
    r"\d(it|s)/(s|it)\b|\d+%\|": "a text progress bar (use tqdm.auto)",
    r"\b\d+(\.\d+)? ?(ms|µs|seconds)\b": "a timing",
}
PAINTS = r"\bsampler\b|(?<!plt\.)\bshow\(|\.images?\b"  # in a cell whose picture a model painted
FIELDS = r"\*Difficulty [1-5] of 5 · importance [1-5] of 5 · \d+ minutes?\*"


def label(cell, notebook) -> str:
    """How a complaint names a cell: its number from 1, and its first line."""
    return f"cell {notebook.cells.index(cell) + 1} ({first_line(cell)[:60]!r})"


def marks(cell) -> set[str]:
    """nbval's tags of a cell, written as tags or as comments."""
    comments = re.findall(r"^\s*#\s*((?:PYTEST_VALIDATE|NBVAL)_\w+)", cell.source, re.MULTILINE)
    return {*cell.metadata.get("tags", []), *(c.lower().replace("_", "-") for c in comments)}


def text_output(output) -> str:
    """The part of an output that nbval compares and that says something."""
    if output.output_type == "stream":
        return output.text
    text = "".join(str(v) for k, v in output.get("data", {}).items() if k in ("text/plain", "text/html", "text/latex"))
    return re.sub(r"<Figure size \S+ with \d+ Axes>", "", text)


def compared(cell) -> str:
    """All compared text of a cell: nothing if its output is ignored."""
    return "" if marks(cell) & (IGNORE | BLIND) else "\n".join(text_output(o) for o in cell.outputs).strip()


def shows_picture(cell) -> bool:
    return any(kind.startswith("image/") for o in cell.outputs for kind in o.get("data", {}))


def run_complaints(notebook) -> list[str]:
    """Was it run from top to bottom, without an error or a warning, and stripped of what changes with every run?"""
    found, cells = [], code_cells(notebook)
    if not cells:
        found.append("no code cell")
    for number, cell in enumerate(cells, 1):
        where = label(cell, notebook)
        if not cell.source.strip():
            found.append(f"{where}: empty")
        if cell.execution_count is None:
            found.append(f"{where}: never run, or its execution count was stripped")
        elif cell.execution_count != number:
            found.append(f"{where}: run as {cell.execution_count}, not as {number}: run all from top to bottom")
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"{where}: ends in {output.ename}")
            if output.get("name") == "stderr":
                found.append(f"{where}: wrote to stderr: {output.text.strip()[:80]!r}")
        if "execution" in cell.metadata:
            found.append(f"{where}: execution times in its metadata")
    if "widgets" in notebook.metadata:
        found.append("widgets in the metadata: nbstripout it")
    if notebook.metadata.get("kernelspec") != KERNEL or "version" not in notebook.metadata.get("language_info", {}):
        found.append("another kernel in the metadata than JupyterLab writes: it marks the opened notebook as changed")
    return found


def blind_complaints(notebook) -> list[str]:
    """Would nbval notice if a result changed?"""
    found, cells = [], code_cells(notebook)
    for cell in cells:
        where, text = label(cell, notebook), compared(cell)
        code = [line for line in cell.source.split("\n") if line.split("#")[0].strip()]
        if code and code[-1].split("#")[0].rstrip().endswith(";"):
            found.append(f"{where}: ends in ';', which nbval does not honour: write `_ =` or plt.show()")
        if first_line(cell) != "# set-up" and not is_python(cell.source):
            found.append(f"{where}: not plain Python (a ! or % line?): under a time-out nbval counts it as passed")
        if re.search(r"\bget_ipython\b|\binteract(ive|ive_output)?\(|\bOutput\(", cell.source):
            found.append(f"{where}: get_ipython, interact or Output: what these print is not compared")
        found += [f"{where}: {mark} switches nbval off" for mark in sorted(marks(cell) & BLIND)]
        found += [f"{where}: prints {what}" for pattern, what in UNSTABLE.items() if re.search(pattern, text)]
        if any("image/svg+xml" in output.get("data", {}) for output in cell.outputs):
            found.append(f"{where}: an SVG differs with every run")
        if shows_picture(cell) and not text:
            found.append(f"{where}: a picture alone is never compared: print a number beside it")
    ignored = sum(bool(marks(cell) & IGNORE) for cell in cells)
    if ignored > MOST_IGNORED:
        found.append(f"{ignored} cells are not compared, at most {MOST_IGNORED} may be")
    numbers = sum(bool(re.search(r"\d", compared(c))) for c in cells if not first_line(c).startswith("# test of"))
    if numbers < LEAST_NUMBERS:
        found.append(f"{numbers} cells print a compared number, at least {LEAST_NUMBERS} should")
    return found


def is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def form_complaints(notebook, name: str) -> list[str]:
    """Opening, set-up, imports, summary, exercises, references, length."""
    found, cells = [], notebook.cells
    if not re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", name):
        found.append(f"{name}: call it NN_a_few_words.ipynb")
    opening = cells[0].source if cells and cells[0].cell_type == "markdown" else ""
    for what, pattern in {
        "`# NN · Title` with the file's number": rf"\A# {name[:2]} · \S",
        "`**Claim.** ...`": r"^\*\*Claim\.\*\* \S+ \S+",
        "`**Time.** ... minutes on two CPU cores, ... on a GPU`": r"^\*\*Time\.\*\* .*(minute|second).*CPU.*GPU",
        "`**Know before.** ...`": r"^\*\*Know before\.\*\* \S+",
    }.items():
        if not re.search(pattern, opening, re.MULTILINE):
            found.append(f"the opening lacks {what}")
    if len(cells) < 2 or first_line(cells[1]) != "# set-up":
        found.append("the second cell is not `# set-up`")
    if sum(first_line(cell) == "# imports" for cell in cells) != 1:
        found.append("not exactly one cell `# imports`")
    prose = prose_of(notebook)
    headings = re.findall(r"^## (Summary|References)$", prose, re.MULTILINE)
    if headings != ["Summary", "References"]:
        found.append("the headings `## Summary` and `## References` are not there in this order")
    elif len(re.findall(r"https?://", prose.split("\n## References\n")[1])) < 2:
        found.append("fewer than two references with an address")
    words = words_of(notebook)
    least, most = PAGE["words"] if name[:2] == APPENDIX else WORDS
    if not least <= words <= most:
        found.append(f"{words} words of prose, {least} to {most} should be")
    return found


def prose_of(notebook) -> str:
    """All markdown but the solutions."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    return "\n\n".join(cell.source for cell in cells if not SOLUTION.match(first_line(cell)))


def words_of(notebook) -> int:
    return len(re.sub(r"https?://\S+|[^\w\s]", " ", prose_of(notebook)).split())


def exercise_complaints(notebook, name: str, answers: dict) -> list[str]:
    """Each exercise: text with difficulty, minutes and hint; stub; test with messages; solution; a likely mistake."""
    found, cells = [], notebook.cells
    at = [i for i, cell in enumerate(cells) if re.match(r"### Exercise \d+\.\d+ · \S", first_line(cell))]
    least = PAGE["exercises"] if name[:2] == APPENDIX else LEAST_EXERCISES
    if len(at) < least:
        found.append(f"{len(at)} exercises, at least {least} should be")
    for i, place in enumerate(at, 1):
        number = f"{int(name[:2])}.{i}"
        text, *rest = cells[place : place + 4]
        lines = [first_line(cell) for cell in rest]
        expected = [f"# exercise {number}", f"# test of exercise {number}"]
        if not first_line(text).startswith(f"### Exercise {number} · "):
            found.append(f"{first_line(text)!r} should have the number {number}")
            continue
        if not re.search(FIELDS, text.source):
            found.append(f"exercise {number} lacks `*Difficulty 2 of 5 · importance 4 of 5 · 5 minutes*`")
        if "<details><summary>Hint</summary>" not in text.source:
            found.append(f"exercise {number} lacks a folded hint")
        if lines[:2] != expected or not lines[2:] or not SOLUTION.match(lines[2]):
            found.append(f"exercise {number}: stub, test and solution should follow its text, found {lines}")
            continue
        found += test_complaints(rest[1].source, number)
        for kind, what in (("exercise", "solution"), ("mistake", "likely mistake")):
            if not answers.get(number, {}).get(kind):
                found.append(f"exercise {number} has no {what} in notebooks/solutions/{name[:2]}.py")
    return found


def appendix_complaints(notebook, name: str, root: Path = ROOT) -> list[str]:
    """Is an appendix one page, without paintings by random weights, and does it say where the long things are?"""
    if name[:2] != APPENDIX:
        return []
    found, cells = [], code_cells(notebook)
    marked = r"# (set-up|imports|kept in |exercise |test of )"
    plain = [cell for cell in cells if not re.match(marked, first_line(cell))]
    if len(plain) > PAGE["code cells"]:
        found.append(f"{len(plain)} code cells besides the exercise, an appendix has at most {PAGE['code cells']}")
    for cell in cells:
        lines = cell.source.split("\n")
        if len(lines) > PAGE["lines"] or max(map(len, lines)) > PAGE["width"]:
            long = f"{len(lines)} lines of up to {max(map(len, lines))} characters"
            found.append(f"{label(cell, notebook)}: {long}, at most {PAGE['lines']} of {PAGE['width']} should be")
        if shows_picture(cell) and re.search(PAINTS, cell.source):
            found.append(f"{label(cell, notebook)}: a painting, and the weights that are here are random")
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    pages = re.findall(r"\]\(\.\./(docs/[\w.-]+)", prose)
    if not pages or any(not (root / page).is_file() for page in pages):
        found.append("an appendix links to the page under docs/ that has what is long")
    return found


def test_complaints(source: str, number: str) -> list[str]:
    """The test cell of an exercise asserts or raises something, and always with a message."""
    begins = any(f'with exercise("{number}"){handed}:' in source for handed in ("", " as check"))
    if not is_python(source) or not begins:
        return [f'the test of exercise {number} does not say `with exercise("{number}"):`']
    claims = {node: message for node in ast.walk(ast.parse(source)) for message in messages(node)}
    if not claims:
        return [f"the test of exercise {number} asserts nothing"]
    silent = [node for node, message in claims.items() if not message]
    return [f"the test of exercise {number}: `{ast.unparse(node)}` has no message" for node in silent]


def messages(node: ast.AST) -> list[bool]:
    """[whether it has a message] of a node by which a test can fail, else []: an assertion, a raise, or a call that
    stands alone and ends in a text, like `check(bits(2) == 4, "n * n, not n")`."""
    if isinstance(node, ast.Assert):
        return [node.msg is not None]
    if isinstance(node, ast.Raise):
        return [isinstance(node.exc, ast.Call) and bool(node.exc.args)]
    call = node.value if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    if call is None or getattr(call.func, "id", "print") == "print" or len(call.args) < 2:
        return []
    last = call.args[-1]
    return [True] * (isinstance(last, ast.JoinedStr) or isinstance(getattr(last, "value", None), str))


test_complaints.__test__ = False  # a helper, not one of pytest's


def kept_complaints(notebook, name: str, root: Path = ROOT) -> list[str]:
    """Is every definition that a notebook teaches the package's own?"""
    found, cells = [], [cell for cell in code_cells(notebook) if first_line(cell).startswith("# kept in")]
    if not cells and name[:2] != "00":
        found.append("teaches no definition of the package (`# kept in vartut/...`)")
    for cell in cells:
        where, match = label(cell, notebook), KEPT.fullmatch(first_line(cell))
        if not match or not (root / match.group(1)).is_file():
            found.append(f"{where}: the package has no such file")
            continue
        source = (root / match.group(1)).read_text()
        here, there = definitions(cell.source), definitions(source)
        if len(here) != len(ast.parse(cell.source).body) or not here:
            found.append(f"{where}: something else than definitions and constants")
        for name_, statement in here.items():
            if name_ not in there:
                found.append(f"{where}: {match.group(1)} does not define {name_}")
            elif ast.dump(statement) != ast.dump(there[name_]):
                line = first_difference(text_of(statement, cell.source), text_of(there[name_], source))
                found.append(f"{where}: {name_} differs from {match.group(1)}: {line}")
    return found


def first_difference(here: str, there: str) -> str:
    """The first pair of lines that differ, for a message."""
    for a, b in zip(here.split("\n"), there.split("\n"), strict=False):
        if a != b:
            return f"{a.strip()!r} here, {b.strip()!r} there"
    return "one of the two ends earlier"


def complaints(notebook, name: str, answers: dict, root: Path = ROOT) -> list[str]:
    """Everything that is wrong with one notebook."""
    return [
        *run_complaints(notebook),
        *blind_complaints(notebook),
        *form_complaints(notebook, name),
        *exercise_complaints(notebook, name, answers),
        *kept_complaints(notebook, name, root),
        *appendix_complaints(notebook, name, root),
    ]

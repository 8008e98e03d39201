"""What makes a notebook readable, by name in `RULES`: functions that answer with a list of complaints, a line each."""

import ast
import re

from notebook_checks import is_python, label, prose_of, text_output, words_of
from notebook_sources import SOLUTION, code_cells, first_line

MOST_LINES = 25  # of a code cell
MOST_COLUMNS = 100  # of a line of code
MOST_WORDS = 2500
MOST_SECTIONS = 8  # besides summary, exercises and references
CARDS = r"\b(GPUs?|TPUs?|T4|L4|P100|V100|A100|H100|H200)\b"
TIMES = r"\b(seconds?|minutes?|hours?)\b|\d ?(ms|s|min|h)\b"


def folded(cell) -> bool:
    """A kept definition whose text JupyterLab hides until it is asked for: only a reader who wants it meets it."""
    return first_line(cell).startswith("# kept in") and cell.metadata.get("jupyter", {}).get("source_hidden") is True


def open_cells(notebook) -> list:
    return [cell for cell in code_cells(notebook) if not folded(cell)]


def long_cells(notebook) -> list[str]:
    """A code cell is read at one glance."""
    counts = [(cell, len(cell.source.rstrip().split("\n"))) for cell in open_cells(notebook)]
    return [f"{label(c, notebook)}: {n} lines, at most {MOST_LINES}" for c, n in counts if n > MOST_LINES]


def long_lines(notebook) -> list[str]:
    """A line of code is seen without scrolling."""
    lines = [(cell, line) for cell in open_cells(notebook) for line in cell.source.split("\n")]
    return [
        f"{label(cell, notebook)}: {len(line)} characters, at most {MOST_COLUMNS}: {line.strip()[:60]!r}"
        for cell, line in lines
        if len(line) > MOST_COLUMNS
    ]


def many_words(notebook) -> list[str]:
    """A notebook is read in one sitting."""
    words = words_of(notebook)
    return [f"{words} words of prose, at most {MOST_WORDS}"] if words > MOST_WORDS else []


def many_sections(notebook) -> list[str]:
    """One complaint for every section too many."""
    headings = re.findall(r"^## (.+)$", prose_without_code(notebook), re.MULTILINE)
    sections = [heading for heading in headings if heading not in ("Summary", "References")]
    return [f"section {i} of at most {MOST_SECTIONS}: {s!r}" for i, s in enumerate(sections, 1) if i > MOST_SECTIONS]


def prose_without_code(notebook) -> str:
    """The prose without code, set off or within a line, and without addresses."""
    return re.sub(r"^```.*?^```$|`[^`\n]*`|https?://\S+", "", prose_of(notebook), flags=re.MULTILINE | re.DOTALL)


def bare_decimals(notebook) -> list[str]:
    """0.8, not .8."""
    found = re.finditer(r"(?<![\w.])\.\d+", prose := prose_without_code(notebook))
    around = [(hit.group(), " ".join(prose[max(0, hit.start() - 30) : hit.end() + 10].split())) for hit in found]
    return [f"write 0{number}, not {number}, in {text!r}" for number, text in around]


def unmeasured_times(notebook) -> list[str]:
    """A sentence with a time on a GPU says that it was measured or computed, or that it was not."""
    lines = re.sub(r"\n(?![\n|#*-])", " ", prose_without_code(notebook)).split("\n")  # a paragraph, a row, an item each
    sentences = [sentence for line in lines for sentence in re.split(r"(?<=[.!?])\s+", line)]
    return [
        f"measured, computed, or not measured? {sentence.strip()[:100]!r}"
        for sentence in sentences
        if re.search(CARDS, sentence) and re.search(TIMES, sentence) and not re.search("measured|computed", sentence)
    ]


def late_exercises(notebook) -> list[str]:
    """An exercise stands right after its idea: none after the summary, not all behind two thirds of what is taught."""
    found, before, taught, summary = [], [], 0, False
    for cell in notebook.cells[1:]:  # after the opening
        line = first_line(cell)
        if re.match("### Exercise ", line):
            before.append(taught)  # cells that teach something
            found += [f"{line!r} stands after the summary"] * summary
        elif not re.match("# (set-up$|imports$|(test of )?exercise )", line) and not SOLUTION.match(line):
            summary |= cell.cell_type == "markdown" and "## Summary" in cell.source.split("\n")
            taught += not summary
    if before and min(before) > 2 / 3 * taught:
        found.append("all exercises stand behind two thirds of what is taught")
    return found


def optimised_away(notebook) -> list[str]:
    """What the test of an exercise runs raises: `python -O` leaves assertions out."""
    found = []
    for cell in code_cells(notebook):
        if re.match("# test of exercise |# imports$", first_line(cell)) and is_python(cell.source):
            asserts = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Assert)]
            found += [f"{label(cell, notebook)}: raise, do not assert: `{ast.unparse(node)[:60]}`" for node in asserts]
    return found


def verdict_prints(notebook) -> list[str]:
    """A result says something, `True` does not: neither alone on a line nor behind a colon at its end."""
    return [
        f"{label(cell, notebook)}: print the result, not the verdict {line.strip()[-60:]!r}"
        for cell in code_cells(notebook)
        for output in cell.outputs
        for line in text_output(output).split("\n")
        if re.search(r"(^|[:=])\s*(True|False)\s*$", line)
    ]


RULES = {
    rule.__name__: rule
    for rule in (
        long_cells,
        long_lines,
        many_words,
        many_sections,
        bare_decimals,
        unmeasured_times,
        late_exercises,
        optimised_away,
        verdict_prints,
    )
}

"""What in a notebook has its source elsewhere, and the command that writes it there (`make notebooks`, `make address`).

Kept definitions come from the package, folded solutions from notebooks/solutions/NN.py, and the set-up cell and the
Colab badges from the repository's address, which is `Repository` under [project.urls] in pyproject.toml, or is not
known yet.  The form is described in notebooks/README.md.
"""

import argparse
import ast
import re
import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
KEPT = re.compile(r"# kept in (vartut/[\w/]+\.py)")
SECTION = re.compile(r"^# (exercise|mistake) (\d+\.\d+)\n", re.MULTILINE)
SOLUTION = re.compile(r"<details><summary>Solution of (\d+\.\d+)</summary>")
BADGE = re.compile(r"\[!\[Open in Colab\].*\n\n?")
ADDRESS = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
README_ADDRESS = re.compile(r"(<!-- address -->\n).*?(<!-- /address -->)", re.DOTALL)


def first_line(cell) -> str:
    """The line by which a cell is recognised; "" for an empty cell."""
    return cell.source.split("\n", 1)[0].strip()


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def notebooks(root: Path = ROOT) -> list[Path]:
    """All notebooks of the course, in reading order."""
    return sorted((root / "notebooks").glob("*.ipynb"))


def definitions(source: str) -> dict[str, ast.stmt]:
    """Name -> statement of the functions, classes and constants at the top level of a source, in order."""
    found = {}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found[statement.name] = statement
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            found[statement.targets[0].id] = statement
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found[statement.target.id] = statement
    return found


def text_of(statement: ast.stmt, source: str) -> str:
    """The whole lines of a statement, with its decorators and trailing comment."""
    decorators = getattr(statement, "decorator_list", [])
    start = min([statement.lineno, *(d.lineno for d in decorators)])
    return "\n".join(source.split("\n")[start - 1 : statement.end_lineno])


def kept_cell(cell, root: Path = ROOT) -> str:
    """The source of a `# kept in FILE` cell with every definition as the package has it.

    Raises:
        ValueError: the package has no such file or definition.
    """
    path = KEPT.fullmatch(first_line(cell)).group(1)
    if not (root / path).is_file():
        raise ValueError(f"a cell is kept in {path}, and there is no such file")
    source = (root / path).read_text()
    there = definitions(source)
    parts, before = [first_line(cell)], None
    for name in definitions(cell.source):
        if name not in there:
            raise ValueError(f"{name} is kept in {path}, which does not define it")
        constant = not isinstance(there[name], ast.FunctionDef | ast.ClassDef)
        gap = "\n" if before is None or (constant and before == "constant") else "\n\n\n"
        parts.append(gap + text_of(there[name], source))
        before = "constant" if constant else "definition"
    return "".join(parts)


def solutions(path: Path) -> dict[str, dict[str, list[str]]]:
    """{"2.1": {"exercise": [the solution], "mistake": [likely mistakes]}} of notebooks/solutions/02.py.

    Raises:
        FileNotFoundError: the file is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent.name}/{path.name} is missing: see notebooks/README.md")
    source, found = path.read_text(), {}
    marks = list(SECTION.finditer(source))
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        text = source[mark.end() : following.start() if following else len(source)].strip("\n")
        found.setdefault(mark.group(2), {"exercise": [], "mistake": []})[mark.group(1)].append(text)
    return found


def solutions_file(notebook: Path) -> Path:
    """The solutions of notebooks/02_some_words.ipynb: notebooks/solutions/02.py."""
    return notebook.parent / "solutions" / f"{notebook.name[:2]}.py"


def solution_cell(number: str, code: str) -> str:
    """The folded solution below an exercise."""
    return f"<details><summary>Solution of {number}</summary>\n\n```python\n{code}\n```\n\n</details>"


def address(root: Path = ROOT) -> str | None:
    """The repository's address, or None while it is not known."""
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]["urls"].get("Repository")


def badge(url: str, name: str) -> str:
    """A Colab badge that opens one notebook."""
    there = url.replace("https://github.com/", "https://colab.research.google.com/github/")
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({there}/blob/main/notebooks/{name})"


def setup_cell(url: str | None) -> str:
    """The second cell of every notebook."""
    if url is None:
        return "# set-up\nimport vartut  # noqa: F401  installed by `make lab`, or by `pip install -e .` in a clone"
    return (
        "# set-up\nimport sys\n\n"
        'if "google.colab" in sys.modules:  # Colab opens this file alone: fetch the package and its data\n'
        f'    %pip install --quiet "vartut @ git+{url}"\n\n'
        "import vartut  # noqa: F401"
    )


def opening_cell(source: str, url: str | None, name: str) -> str:
    """The opening with the badge below its title, or without one."""
    title, rest = BADGE.sub("", source).split("\n", 1) if "\n" in source else (source, "")
    rest = rest.lstrip("\n")
    return f"{title}\n\n{badge(url, name)}\n\n{rest}" if url else f"{title}\n\n{rest}"


def filled(notebook, name: str, url: str | None, answers: dict, kept_from: Path | None = ROOT):
    """A copy of a notebook with everything that has its source elsewhere (kept_from None: but the definitions)."""
    notebook = nbformat.from_dict(notebook)
    notebook.metadata["kernelspec"] = nbformat.from_dict(KERNEL)
    for i, cell in enumerate(notebook.cells):
        solution = SOLUTION.match(first_line(cell))
        if i == 0:
            cell.source = opening_cell(cell.source, url, name)
        elif first_line(cell) == "# set-up":
            cell.source = setup_cell(url)
        elif solution and answers.get(solution.group(1), {}).get("exercise"):
            cell.source = solution_cell(solution.group(1), answers[solution.group(1)]["exercise"][0])
        elif kept_from and cell.cell_type == "code" and KEPT.fullmatch(first_line(cell)):
            cell.source = kept_cell(cell, kept_from)
    return notebook


def readme_with(text: str, url: str | None) -> str:
    """README's text with the address between its two address marks, or with nothing there."""
    body = ""
    if url:
        body = f"{badge(url, notebooks()[0].name)}\n\n```\ngit clone {url}\n```\n" if notebooks() else f"<{url}>\n"
    return README_ADDRESS.sub(lambda marks: marks.group(1) + body + marks.group(2), text)


def citation_with(text: str, url: str | None) -> str:
    """CITATION.cff with or without the line that names the repository."""
    text = re.sub(r"^repository-code:.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^(license:.*\n)", rf'\1repository-code: "{url}"\n', text, flags=re.MULTILINE) if url else text


def pyproject_with(text: str, url: str | None) -> str:
    """pyproject.toml with or without the repository's address."""
    text = re.sub(r"^Repository = .*\n", "", text, flags=re.MULTILINE)
    return text.replace("[project.urls]\n", f'[project.urls]\nRepository = "{url}"\n') if url else text


def write_address(url: str | None, root: Path = ROOT) -> None:
    """Write the repository's address (None: take it out) into all but the notebooks (`fill`)."""
    if url is not None and not ADDRESS.fullmatch(url):
        raise ValueError(f"{url!r} is no address like https://github.com/OWNER/REPOSITORY (Colab opens GitHub's only)")
    for name, change in (
        ("pyproject.toml", pyproject_with),
        ("CITATION.cff", citation_with),
        ("README.md", readme_with),
    ):
        path = root / name
        path.write_text(change(path.read_text(), url))


def fill(paths: list[Path], root: Path = ROOT) -> None:
    """Rewrite notebooks in place."""
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        nbformat.write(filled(notebook, path.name, address(root), solutions(solutions_file(path)), root), path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill in definitions, solutions and address.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="all by default")
    parser.add_argument("--address", help='https://github.com/OWNER/REPOSITORY, or "none" to take it out')
    options = parser.parse_args()
    try:
        if options.address:
            write_address(None if options.address == "none" else options.address)
        fill([path.resolve() for path in options.notebooks] or notebooks())
    except (ValueError, FileNotFoundError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()

"""The structure that CONTRIBUTING.md describes is the one that is there: its map, its floors, its limits."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "vartut"
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"diffusers", "open_clip", "tokenizers", "transformers"}  # may wait until they are needed
MOST_LINES = 350


# ---- the map -------------------------------------------------------------------------------------------------------


def mapped() -> list[str]:
    """The paths of the map of the page, folders with a slash behind them."""
    tree = re.search(r"```\n(vartut/.*?)```", PAGE, re.DOTALL)[1]
    paths, folders = [], []
    for line in tree.splitlines():
        indent, name, _ = re.fullmatch(r"( *)(\S+) +(\S.*)", line).groups()
        folders = folders[: len(indent) // 2]
        paths.append("".join(folders) + name)
        if name.endswith("/"):
            folders.append(name)
    return paths


def test_the_map_has_every_file_of_the_package_and_the_benchmarks():
    files = [path for folder in ("vartut", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    rooms = {path.parent for path in FILES} - {PACKAGE}
    wanted = {path.relative_to(ROOT).as_posix() for path in files} | {f"vartut/{room.name}/" for room in rooms}
    wanted -= {f"vartut/{room.name}/__init__.py" for room in rooms}  # a room's own map
    missing = sorted(wanted - set(mapped()))
    assert missing == [], "CONTRIBUTING.md's map lacks these: give each its line"


def test_the_map_has_what_stands_at_the_top():
    git = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    if git.returncode or not git.stdout:
        pytest.skip("outside a git checkout nobody knows what belongs to the repository")
    top = {path.split("/")[0] + "/" * ("/" in path) for path in git.stdout.splitlines()}
    assert sorted(top - set(mapped())) == [], "CONTRIBUTING.md's map lacks these: give each its line"


def test_the_map_has_nothing_twice_and_nothing_that_is_not_there():
    gone = [path for path in mapped() if not (ROOT / path).exists() or path.endswith("/") != (ROOT / path).is_dir()]
    assert gone == []
    assert len(mapped()) == len(set(mapped()))


def test_a_room_says_what_is_in_it():
    for room in sorted({path.parent for path in FILES} - {PACKAGE}):
        text = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
        missing = [path.name for path in room.glob("[a-z]*.py") if f"`{path.name}`" not in text]
        assert missing == [], f"the docstring of {room.name}/__init__.py does not name them"


# ---- the floors ----------------------------------------------------------------------------------------------------


def floors() -> dict[str, int]:
    """The floor of every file of the first level and every room, from the line of the page."""
    line = re.search(r"^`(paths .*< cli)`$", PAGE, re.MULTILINE)[1]
    return {name: number for number, floor in enumerate(line.split(" < ")) for name in floor.split()}


def module(path: Path) -> str:
    """`models.tokenizer` of vartut/models/tokenizer.py, `models` of the room's __init__, `` of the package's."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


MODULES = {module(path): path for path in FILES}


def imports(path: Path) -> dict[ast.stmt, set[str]]:
    """Every import statement of a file: the modules of vartut that it reaches; other packages as their own names."""
    package = ["vartut", *path.relative_to(PACKAGE).parts[:-1]]
    found = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package[: len(package) + 1 - node.level], *filter(None, [node.module])])
            base = base if node.level else node.module
            names = {f"{base}.{alias.name}" for alias in node.names}
        else:
            continue
        found[node] = {inside(name) if name.split(".")[0] == "vartut" else "/" + name.split(".")[0] for name in names}
    return found


def inside(name: str) -> str:
    """The module of vartut that `vartut.a.b` or `vartut.a.name` is found in."""
    parts = name.split(".")[1:]
    while ".".join(parts) not in MODULES:
        parts = parts[:-1]
    return ".".join(parts)


def own(path: Path) -> set[str]:
    """The modules of vartut that a file imports."""
    return {name for names in imports(path).values() for name in names if not name.startswith("/")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_imports_only_from_lower_floors_or_its_own_room(path):
    room = lambda name: name.split(".")[0] or "__init__"  # noqa: E731
    here, order = room(module(path)), floors()
    assert here in order, f"CONTRIBUTING.md's line of floors lacks {here}"
    for other in map(room, own(path)):
        above = f"{path.name} of {here} imports from {other}, which stands no lower"
        assert other == here or order[other] < order[here] or order[other] == order[here] == 0, above


def test_the_line_of_floors_has_every_room_and_nothing_else():
    assert set(floors()) == {name.split(".")[0] or "__init__" for name in MODULES}


def test_no_file_imports_itself_through_others():
    graph, done = {name: own(path) - {name} for name, path in MODULES.items()}, set()
    while ready := {name for name in graph if name not in done and graph[name] <= done}:
        done |= ready
    assert set(graph) - done == set(), "these import one another in a circle"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_stand_at_the_top_except_of_heavy_optional_libraries(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    lines = {node.lineno for function in functions for node in ast.walk(function) if hasattr(node, "lineno")}
    late = {name.removeprefix("/") for node, names in imports(path).items() if node.lineno in lines for name in names}
    assert late <= HEAVY, f"{path.name} imports inside a function"
    calls = [node for node in ast.walk(tree) if isinstance(node, (ast.Attribute, ast.Name))]
    hidden = {getattr(node, "attr", getattr(node, "id", None)) for node in calls} & {"__import__", "import_module"}
    assert hidden == set() or path.name == "torchvision_repair.py", f"{path.name} hides an import"


# ---- limits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_is_short_enough_to_be_one_idea(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{path.name} has {lines} lines"


def test_no_file_is_named_as_a_function_that_its_room_hands_on():
    for room in sorted({path.parent for path in FILES}):
        tree = ast.parse((room / "__init__.py").read_text(encoding="utf-8"))
        handed = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
        functions = {alias.asname or alias.name for alias in handed if room != PACKAGE or alias.name != "world"}
        files = {path.stem for path in room.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
        assert functions & files == set(), f"in {room.name}: `from . import` would find either"

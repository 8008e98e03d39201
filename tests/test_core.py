"""The core that README and CONTRIBUTING name: few lines, and nothing of the package but itself and the ground floor."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "vartut"
CORE = (
    "models/tokenizer.py", "models/transformer.py", "models/protocol.py", "models/next_scale.py", "search/beam.py",
    "verifiers/clip.py", "ledger.py",
)  # fmt: skip
BESIDE = (  # what its files share with others of their rooms
    "models/going_back.py", "search/run.py", "search/tree.py", "verifiers/protocol.py",
)  # fmt: skip
GROUND = ("inputs.py", "names.py", "paths.py", "device.py", "torchvision_repair.py")
MOST = 1300


def imported(file: str) -> set[str]:
    """The files of the package that one of its files imports, also inside functions; packages by their __init__."""
    found, here = set(), (PACKAGE / file).parent
    for node in ast.walk(ast.parse((PACKAGE / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            if node.level == 0:
                assert not (node.module or "").startswith("vartut"), f"{file} imports {node.module} by its full name"
                continue
            folder = here
            for _ in range(node.level - 1):
                folder = folder.parent
            module = folder.joinpath(*(node.module or "").split(".")) if node.module else folder
            for alias in node.names:  # `from .. import paths` names a file, `from ..paths import x` a thing in one
                inside = module / alias.name
                for path in (inside.with_suffix(".py"), inside / "__init__.py", module.with_suffix(".py")):
                    if path.is_file():
                        found.add(path.relative_to(PACKAGE).as_posix())
                        break
                else:
                    found.add((module / "__init__.py").relative_to(PACKAGE).as_posix())
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("vartut") for alias in node.names), file
    return found


def test_the_core_can_be_read_in_an_evening():
    lines = {file: len((PACKAGE / file).read_text(encoding="utf-8").splitlines()) for file in CORE}
    assert sum(lines.values()) <= MOST, lines


def test_the_core_imports_nothing_that_hangs_on_it():
    for file in (*CORE, *BESIDE, *GROUND):
        allowed = {*CORE, *BESIDE, *GROUND} if file not in GROUND else set(GROUND)
        assert imported(file) <= allowed, f"{file} imports {sorted(imported(file) - allowed)}"


def test_the_imports_that_are_known_are_found():
    """The test above is not blind: it sees each way of importing."""
    assert {"models/protocol.py", "ledger.py", "inputs.py"} <= imported("models/next_scale.py")
    assert {"torchvision_repair.py", "verifiers/protocol.py"} <= imported("verifiers/clip.py")
    assert "world/__init__.py" in imported("hub.py")

"""What a stranger installs is complete: the wheel has the data, and every list of dependencies says the same."""

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from vartut.paths import data_folder

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"pytorch": "torch"}  # conda-forge's name -> the package index's


def requirements(*extras: str) -> dict[str, Requirement]:
    """Normalised name -> requirement of the project and the named extras."""
    lines = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def python(code: str, folder: Path, path: Path | None = None, **variables: str) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter that imports vartut from `path` before anything that is installed."""
    environment = {k: v for k, v in os.environ.items() if k not in ("VARTUT_DATA", "PYTHONPATH")} | variables
    environment["PYTHONPATH"] = str(path or ROOT)
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def built(tmp_path: Path, version: str) -> list[str]:
    """Names in a wheel ("standard") or an editable wheel that hatchling builds, offline."""
    (artifact,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=[version])
    with zipfile.ZipFile(artifact) as wheel:
        wheel.extractall(tmp_path / "unpacked")
        return wheel.namelist()


def tracked(*folders: str) -> list[str]:
    """The files that belong to the project: what git tracks, or all that an sdist unpacked to."""
    if (ROOT / ".git").exists():
        return subprocess.check_output(["git", "ls-files", *folders], cwd=ROOT, text=True).split()
    found = [path.relative_to(ROOT) for folder in folders or (".",) for path in (ROOT / folder).rglob("*")]
    return [path.as_posix() for path in found if (ROOT / path).is_file() and "__pycache__" not in path.parts]


def test_sdist_has_all_that_is_tracked(tmp_path):
    """So that the tests pass in what it unpacks to, and a packager has what a clone has."""
    (artifact,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path))
    with tarfile.open(artifact) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames()}
    assert set(tracked()) - names == set()


def test_wheel_has_the_package_the_data_and_the_licence_and_finds_its_data(tmp_path):
    names = set(built(tmp_path, "standard"))
    for name in tracked("vartut", "data"):
        assert (f"vartut/{name}" if name.startswith("data/") else name) in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    strays = [name for name in names if not name.startswith(("vartut/", "vartut-0"))]
    assert strays == [], "only the package belongs into the wheel"
    code = "from vartut.paths import data_folder; print(data_folder())"
    found = python(code, tmp_path, tmp_path / "unpacked")
    assert Path(found.stdout.strip()) == (tmp_path / "unpacked" / "vartut" / "data").resolve(), found.stderr


def test_editable_install_copies_no_data(tmp_path):
    names = built(tmp_path, "editable")
    assert not any("data/" in name for name in names)
    (path_file,) = (tmp_path / "unpacked").glob("*.pth")
    assert path_file.read_text().strip() == str(ROOT)


def test_data_folder_of_a_clone_of_the_variable_and_of_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("VARTUT_DATA", raising=False)
    assert data_folder() == ROOT / "data"
    monkeypatch.setenv("VARTUT_DATA", str(tmp_path))
    assert data_folder() == tmp_path.resolve()
    monkeypatch.setenv("VARTUT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"unset it, or set it to the clone's data/"):
        data_folder()
    (tmp_path / "vartut").mkdir()
    for name in ("__init__.py", "paths.py"):
        (tmp_path / "vartut" / name).write_text((ROOT / "vartut" / "paths.py").read_text())
    lost = python("from vartut.paths import data_folder; data_folder()", tmp_path, tmp_path)
    assert "pip install -e ." in lost.stderr.strip().split("\n")[-1]


def test_environment_says_what_pyproject_says():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    lines = [line for line in environment["dependencies"] if isinstance(line, str) and line != "pip"]
    conda = {}
    for line in lines:
        name, bound = re.fullmatch(r"([\w-]+)(.*)", line).groups()
        conda[canonicalize_name(CONDA_NAMES.get(name, name))] = bound
    assert conda.pop("python") == PROJECT["requires-python"]
    assert conda == {name: str(requirement.specifier) for name, requirement in requirements("dev").items()}
    assert environment["dependencies"][-1] == {"pip": ["-e ."]}


def test_constraints_pin_every_requirement_within_its_bound():
    pinned = pins()
    for name, requirement in requirements("dev", "flux").items():
        assert name in pinned, "pin it in constraints.txt"
        assert requirement.specifier.contains(pinned[name])
    assert (pinned["torch"], pinned["torchvision"]) == ("2.13.0", "0.28.0"), "these two are released in pairs"


def test_bounds_are_loose():
    for requirement in requirements("dev", "flux").values():
        assert [s.operator for s in requirement.specifier] == [">="], "pin in constraints.txt: a pin here breaks Colab"
    assert str(requirements()["ipywidgets"].specifier) == ">=7.7"


def imports(source: str) -> set[str]:
    """Top-level names of all modules that a source imports from outside its own package."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0}
    return {name.split(".")[0] for name in names}


def test_every_import_of_the_package_is_required():
    names = {"PIL": "pillow", "skimage": "scikit-image", "open_clip": "open-clip-torch", "yaml": "pyyaml"}
    known = set(requirements("flux"))
    for path in (ROOT / "vartut").rglob("*.py"):
        for module in imports(path.read_text()) - sys.stdlib_module_names - {"vartut"}:
            name = canonicalize_name(names.get(module, module))
            assert name in known, f"{path.name} imports {module}: name it in pyproject.toml"


def test_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert "2510.16751" in citation["preferred-citation"]["url"]


def test_ci_calls_make_test_and_nothing_else():
    lines = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and not line.startswith("#")]
    assert lines == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]


REPAIR = "from vartut.torchvision_repair import repair; print(repair(), repair()); "


def test_open_clip_and_transformers_import_whatever_torchvision_is_there(tmp_path):
    code = REPAIR + "import open_clip; from transformers import ViltForQuestionAnswering; print('imported')"
    run = python(code, tmp_path)
    assert run.stdout.split()[1:] == ["False", "imported"], run.stderr


@pytest.mark.parametrize(
    ("torchvision", "printed", "error"),
    [
        ("", "False False", ""),
        ("raise RuntimeError('operator torchvision::nms does not exist')", "", "torchvision::nms does not exist"),
        ("raise RuntimeError('no such driver')", "", "no such driver"),
        ("import not_there", "", "No module named 'not_there'"),
        (
            "import torch\ntry:\n    torch.library.register_fake('torchvision::nms')(lambda dets, scores, iou: dets)\n"
            "except RuntimeError as e:\n    raise RuntimeError('operator torchvision::nms does not exist') from e",
            "True False",
            "",
        ),
    ],
    ids=["normal", "beyond repair", "other reason", "incomplete", "CUDA build beside CPU torch"],
)
def test_torchvision_is_repaired_in_one_case_only(tmp_path, torchvision, printed, error):
    (tmp_path / "torchvision.py").write_text(torchvision)
    run = subprocess.run(
        [sys.executable, "-c", REPAIR],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == printed, run.stderr
    assert error in run.stderr
    assert bool(error) == bool(run.returncode)

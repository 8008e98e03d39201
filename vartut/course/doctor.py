"""`vartut doctor`: the device, the versions, the weights, and what would be faster."""

import importlib.metadata
import os
import platform
import shutil

import torch

from .. import provenance, weights
from ..device import device, fast_bf16, training_dtype

PACKAGES = ("vartut", "torch", "open_clip_torch", "safetensors", "numpy", "jupyterlab")


def report() -> tuple[str, bool]:
    """What was found, as text, and whether all weights are there and whole."""
    where = device()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    dtype = str(training_dtype(where)).removeprefix("torch.")
    threads = f", {torch.get_num_threads()} threads" if where.type == "cpu" else ""
    lines = [f"device    {provenance.device_name(where)}{threads}; trains in {dtype}"]
    lines.append(f"versions  Python {platform.python_version()}, {versions}")
    lines.append(f"weights   {weights.weights_folder()}")
    checked = [check(name) for name in weight_names()]
    lines += [f"  {line}" for line, _ in checked]
    lines += [f"faster    {hint}" for hint in hints(where)] or ["faster    nothing: all that helps is in use"]
    return "\n".join(lines), all(good for _, good in checked)


def weight_names() -> list[str]:
    """The weights that ship, and whatever else lies beside them."""
    known = ["nano", "tiny", "tokenizer", "clip", "clip-hard"]
    return [*known, *sorted({path.stem for path in weights.weights_folder().glob("*.safetensors")} - set(known))]


def check(name: str) -> tuple[str, bool]:
    """One line on these weights, and whether they are whole."""
    try:
        weights.load_weights(name)
        origin = weights.read_provenance(name)
    except (ValueError, OSError) as error:
        return f"{name:<16}{error}", False
    size = (weights.weights_folder() / f"{name}.safetensors").stat().st_size / 1e6
    minutes = f"trained {origin['minutes']:.0f} min on {origin['device']}" if "minutes" in origin else "origin unknown"
    return f"{name:<16}whole, {size:.1f} MB, {minutes}", True


def version(package: str) -> str:
    """The installed version of a package, or "missing"; torch's own word says which build it is ("2.13.0+cu130")."""
    if package == "torch":
        return torch.__version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def hints(where: torch.device) -> list[str]:
    """What would make things faster here."""
    found = []
    if where.type == "cuda":
        if training_dtype(where) == torch.float32:
            found.append("a GPU from Ampere on trains in bfloat16, which is faster")
        return found
    if torch.cuda.is_available():
        found.append(f"VARTUT_DEVICE={os.environ.get('VARTUT_DEVICE')} keeps the GPU idle: unset it")
    elif shutil.which("nvidia-smi"):
        found.append("there is a GPU, but this build of torch cannot use it: install the CUDA build of torch")
    else:
        found.append("a GPU (Colab has one at no cost) should train faster; searching needs none")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if torch.get_num_threads() < cores:
        found.append(f"{torch.get_num_threads()} of {cores} cores are used: set OMP_NUM_THREADS={cores}")
    if where.type == "cpu" and not fast_bf16():
        found.append("a CPU with AVX512-BF16 or AMX trains in bfloat16, which is faster")
    return found

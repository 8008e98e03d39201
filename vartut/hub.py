"""Names to weights: `load("tiny")` is a sampler that paints.

Weights lie in `data/weights/<name>.safetensors`, in half precision; they are read as float32.  The file's metadata
holds the constructor settings of the model as JSON, so that a name is all that is needed to build it.  Beside it
`<name>.json` says where the weights come from: the recipe and every run that it took, the commit, the device, the
metrics, and the SHA-256 of the file, which every loading verifies.
"""

import difflib
import hashlib
import json
import os
import platform
import subprocess
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from .device import device
from .paths import data_folder
from .sampler import NextScaleSampler
from .tokenizer import Tokenizer
from .transformer import NextScaleTransformer

SAMPLERS = ("tiny",)
PUBLISHED = ("var-d16", "infinity-125m", "infinity-2b")  # the authors' weights, see published/
TOKENIZERS = ("tokenizer", "tokenizer-bits")
PAINTING = {"guidance": 2.0, "temperature": [1.0, 1.0, 0.8, 0.6, 0.4, 0.2]}  # of a newly trained "tiny"


def load(
    name: str = "tiny", folder: Path | str | None = None, where: torch.device | None = None, **published
) -> NextScaleSampler:
    """The sampler of that name, on `where` (the GPU if there is one), with the settings that it was evaluated with.

    `folder` holds weights that you trained; by default those that came with vartut are read.  For "var-d16",
    "infinity-125m" and "infinity-2b" it holds the authors' files, which are fetched if they are in neither it nor
    Hugging Face's cache; `published` are the further arguments of `vartut.published.sampler.load_sampler`, for these
    alone.  Raises ValueError for an unknown name or damaged weights, FileNotFoundError for missing ones.
    """
    check_name(name, (*SAMPLERS, *PUBLISHED), "model")
    if name in PUBLISHED:
        from .published.sampler import load_sampler  # here, since published/files.py imports this module

        return load_sampler(name, folder, where, **published)
    if published:
        raise ValueError(f'"{name}" takes no {", ".join(published)}: only published models do')
    where = device() if where is None else where
    settings, tensors = load_weights(name, folder)
    tokenizer, digest = tokenizer_beside(settings["tokenizer"], folder, where)
    if settings.get("tokenizer_sha256", digest) != digest:
        raise ValueError(f'"{name}" was trained on tokens of another "{settings["tokenizer"]}": {remedy(name)}')
    shape = {key: settings[key] for key in ("width", "depth", "heads")}
    transformer = _filled(NextScaleTransformer(tokenizer, **shape), tensors, name)
    return NextScaleSampler(tokenizer, transformer.to(where), **settings.get("sampler", {}))


def load_tokenizer(
    name: str = "tokenizer", folder: Path | str | None = None, where: torch.device | None = None
) -> Tokenizer:
    """The tokenizer of that name ("tokenizer" has a codebook, "tokenizer-bits" bits); raises like `load`."""
    check_name(name, TOKENIZERS, "tokenizer")
    settings, tensors = load_weights(name, folder)
    return _filled(Tokenizer(**settings), tensors, name).to(device() if where is None else where).eval()


def tokenizer_beside(name: str, folder: Path | str | None, where: torch.device) -> tuple[Tokenizer, str]:
    """The tokenizer in `folder`, or else the one that came with vartut; and the SHA-256 of its weights."""
    beside = folder is not None and (Path(folder) / f"{name}.safetensors").exists()
    folder = folder if beside else None
    return load_tokenizer(name, folder, where), read_provenance(name, folder)["sha256"]


def check_name(name: str, known: tuple[str, ...], kind: str) -> None:
    """Raise ValueError with the nearest known name unless `name` is one of `known`."""
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)[0]
        raise ValueError(f'unknown {kind} "{name}"; did you mean "{near}"? known: {", ".join(known)}')


def _filled(model: nn.Module, tensors: dict, name: str) -> nn.Module:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f'the weights "{name}" are of another version of its model: {remedy(name)}') from error
    return model


def weights_folder(folder: Path | str | None = None) -> Path:
    """Where weights are read: `folder`, or the one that came with vartut."""
    return data_folder() / "weights" if folder is None else Path(folder)


def remedy(name: str) -> str:
    """What to do about weights that cannot be used."""
    restore = "" if name == "tokenizer-bits" else f"restore them with `git checkout data/weights/{name}.*`, or "
    return f"{restore}train them: `vartut train {name} --ship`"  # the tokenizer of bits does not ship


def read_provenance(name: str, folder: Path | str | None = None) -> dict:
    """The provenance file of these weights as a dict; raises FileNotFoundError or ValueError like `load_weights`."""
    path = weights_folder(folder) / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: {remedy(name)}")
    try:
        origin = json.loads(path.read_text())
    except ValueError as error:  # includes text that is not UTF-8
        raise ValueError(f"{path} is damaged: {remedy(name)}") from error
    if not isinstance(origin, dict) or not isinstance(origin.get("sha256"), str):
        raise ValueError(f"{path} is damaged, it holds no checksum: {remedy(name)}")
    return origin


def load_weights(name: str, folder: Path | str | None = None) -> tuple[dict, dict[str, torch.Tensor]]:
    """The settings and the float32 tensors of `<name>.safetensors`, its SHA-256 verified.

    Raises FileNotFoundError for a missing file and ValueError for one that is not what its provenance says.
    """
    path = weights_folder(folder) / f"{name}.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: {remedy(name)}")
    wanted, found = read_provenance(name, folder)["sha256"], sha256(path)
    if wanted != found:
        raise ValueError(
            f"{path} is damaged or cut short (SHA-256 {found[:12]}..., not {wanted[:12]}...): {remedy(name)}"
        )
    with safe_open(path, "pt") as file:
        settings = json.loads(file.metadata()["settings"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
    return settings, {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_weights(
    model: nn.Module, name: str, settings: dict, provenance: dict, folder: Path | str | None = None
) -> Path:
    """Write a model in half precision with its settings, and its provenance beside; returns the weights' path.

    Raises ValueError where a weight does not fit half precision (more than 65504, or not finite).
    """
    tensors = {key: tensor.detach().cpu() for key, tensor in model.state_dict().items()}
    tensors = {key: t.half().contiguous() if t.is_floating_point() else t.contiguous() for key, t in tensors.items()}
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f'"{key}" of "{name}" does not fit half precision: did the training diverge?')
    folder = weights_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path, partial = folder / f"{name}.safetensors", folder / f"{name}.partial"
    partial.write_bytes(save(tensors, {"settings": json.dumps(settings)}))  # save_file's errors name no file
    parameters = sum(parameter.numel() for parameter in model.parameters())
    origin = {"name": name, "parameters": parameters} | provenance | {"sha256": sha256(partial)}
    os.replace(partial, path)
    path.with_suffix(".json").write_text(json.dumps(origin, indent=1) + "\n")
    return path


def run_record(recipe, steps: int, metrics: dict, before: dict | None = None, **more) -> dict:
    """The provenance of a finished run of `vartut.train`; `before` is that of the weights it started from.

    Total minutes and all runs, the warm starts included, the last one's facts on top.
    """
    run = {
        "recipe": recipe.name,
        "commit": commit(),
        "device": device_name(recipe.where),
        "threads": torch.get_num_threads(),
        "minutes": metrics["minutes"],
        "steps": steps,
        "batch": recipe.batch,
        "seed": recipe.seed,
        "warm_start": None if before is None else before["sha256"],
        "metrics": {key: value for key, value in metrics.items() if key != "minutes"},
    } | more
    runs = [*(before["runs"] if before else []), run]
    total = round(sum(r["minutes"] for r in runs), 1)
    return run | {"minutes": total, "seeds": [r["seed"] for r in runs], "runs": runs}


def commit() -> str:
    """The commit of the code that runs, "+" behind it where files differ; "unknown" outside a git checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "unknown"
    return head[:12] + ("+" if changed.stdout.strip() else "")


def device_name(where: torch.device) -> str:
    """The name of the processor that computes."""
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    try:
        with open("/proc/cpuinfo") as file:
            models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except FileNotFoundError:
        models = []
    return f"CPU, {models[0] if models else platform.processor() or platform.machine()}"

"""Weights as files: read, verified, written.

Weights lie in `data/weights/<name>.safetensors`, in half precision; they are read as float32.  The file's metadata
holds the constructor settings of the model as JSON, so that a name is all that is needed to build it.  Beside it
`<name>.json` says where the weights come from: the recipe and every run that it took, the commit, the device, the
metrics, and the SHA-256 of the file, which every loading verifies.
"""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from .paths import data_folder, expanded, write_files

NOT_SHIPPED = ("tokenizer-bits", "vqa-clean", "flow-nano", "flow-tiny")  # whoever wants these trains them


def weights_folder(folder: Path | str | None = None) -> Path:
    """Where weights are read: `folder`, or the one that came with vartut."""
    return data_folder() / "weights" if folder is None else expanded(folder)


def remedy(name: str, folder: Path | str | None = None) -> str:
    """What to do about weights that cannot be used; `folder` is the user's own, or None."""
    if folder is not None:
        train = f"train them: `vartut train {name} --folder {expanded(folder)}`"
        return train if name in NOT_SHIPPED else f"{train}, or read the shipped ones"
    train = f"train them: `vartut train {name} --ship`"
    if name in NOT_SHIPPED:
        return train
    return f"restore them with `git checkout data/weights/{name}.*`, or {train}"


def read_provenance(name: str, folder: Path | str | None = None) -> dict:
    """The provenance file of these weights as a dict; raises FileNotFoundError or ValueError like `load_weights`."""
    path = weights_folder(folder) / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: {remedy(name, folder)}")
    try:
        origin = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # includes text that is not UTF-8
        raise ValueError(f"{path} is damaged: {remedy(name, folder)}") from error
    if not isinstance(origin, dict) or not isinstance(origin.get("sha256"), str):
        raise ValueError(f"{path} is damaged, it holds no checksum: {remedy(name, folder)}")
    if origin.get("name", name) != name:
        raise ValueError(f'{path} belongs to "{origin["name"]}", under another name: {remedy(name, folder)}')
    return origin


def load_weights(name: str, folder: Path | str | None = None) -> tuple[dict, dict[str, torch.Tensor]]:
    """The settings and the float32 tensors of `<name>.safetensors`, its SHA-256 verified.

    Raises FileNotFoundError for a missing file and ValueError for one that is not what its provenance says.
    """
    path = weights_folder(folder) / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {remedy(name, folder)}")
    wanted, found = read_provenance(name, folder)["sha256"], sha256(path)
    if wanted != found:
        raise ValueError(
            f"{path} is damaged or cut short (SHA-256 {found[:12]}..., not {wanted[:12]}...): {remedy(name, folder)}"
        )
    try:
        with safe_open(path, "pt") as file:
            settings = json.loads((file.metadata() or {})["settings"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is no file of weights, or of another version: {remedy(name, folder)}") from error
    return settings, {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_weights(
    model: nn.Module, name: str, settings: dict, provenance: dict, folder: Path | str | None = None
) -> Path:
    """Write a model in half precision with its settings, and its provenance beside; returns the weights' path.

    Raises ValueError where a weight does not fit half precision (more than 65504, or not finite), OSError
    where a file cannot be written.
    """
    tensors = {key: tensor.detach().cpu() for key, tensor in model.state_dict().items()}
    tensors = {key: t.half().contiguous() if t.is_floating_point() else t.contiguous() for key, t in tensors.items()}
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f'"{key}" of "{name}" does not fit half precision: did the training diverge?')
    content = save(tensors, {"settings": json.dumps(settings)})
    parameters = sum(parameter.numel() for parameter in model.parameters())
    digest = hashlib.sha256(content).hexdigest()
    origin = {"name": name, "parameters": parameters} | provenance | {"sha256": digest}
    path = weights_folder(folder) / f"{name}.safetensors"
    write_files({path: content, path.with_name(f"{name}.json"): json.dumps(origin, indent=1) + "\n"})
    return path

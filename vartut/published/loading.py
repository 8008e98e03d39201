"""The authors' checkpoints into our modules: strictly by name, without unpickling code, and in little memory.

The file is mapped, not read: each tensor is converted on its way to the device, so that host memory holds the converted
model (on a GPU: one tensor) and never the float32 original.
"""

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn


def read_checkpoint(path: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a .safetensors or .pth file by name, mapped from disk.

    `key` names the entry that holds them where the checkpoint is a training dump (Infinity's tokenizers: "vae"); a file
    without such an entry is taken as it is.  Raises FileNotFoundError, or ValueError for a file that is neither.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is not a PyTorch file of tensors alone: download it again ({reason})") from error
    if key is not None and isinstance(state.get(key), dict):
        state = state[key]
    return state


def load_into(module: nn.Module, state: dict[str, Tensor], dtype: torch.dtype, device: str | torch.device) -> nn.Module:
    """Fills a module, best built under `torch.device("meta")`, from `state`: every name, every shape, nothing over.

    Floating tensors become `dtype` on `device`, one at a time.  Raises ValueError naming what does not fit.
    """
    rename = getattr(module, "rename", str)
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {rename(name): tensor for name, tensor in state.items()}
    missing, surplus = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    misshapen = sorted(name for name in wanted.keys() & found.keys() if tuple(found[name].shape) != wanted[name])
    for names, fault in ((missing, "lacks"), (surplus, "has besides"), (misshapen, "has in another shape")):
        if names:
            raise ValueError(
                f"the checkpoint is not one of this {type(module).__name__}: it {fault} {len(names)} tensors, "
                f"the first being {names[0]!r}"
            )
    for name in wanted:
        tensor = found.pop(name)
        owner, _, leaf = name.rpartition(".")
        place = module.get_submodule(owner)
        tensor = tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype, copy=True)
        if leaf in place._parameters:
            place._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
        else:
            place._buffers[leaf] = tensor
    return module.eval()

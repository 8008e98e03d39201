"""The authors' checkpoints into our modules: strictly by name, without unpickling code, and in little memory.

The file is mapped, not read: each tensor is converted on its way to the device, so that host memory holds the converted
model (on a GPU: one tensor) and never the float32 original.
"""

import pickle
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..device import half_dtype
from .files import fetch, source_of
from .infinity import BitTokenizer, Infinity, infinity_2b
from .var import VAR, VARTokenizer

SIZES = {  # tokenizer and transformer in their published sizes
    "var-d16": lambda: (VARTokenizer(), VAR(depth=16)),
    "infinity-125m": lambda: (BitTokenizer(), Infinity()),
    "infinity-2b": infinity_2b,
}


def load_published(name: str, where: torch.device | str = "cpu", dtype: torch.dtype | None = None, **files):
    """Tokenizer and transformer of "var-d16", "infinity-125m" or "infinity-2b", with the authors' weights.

    The transformer is in `dtype` (None: see `precision`), the tokenizer in float32, since its decoder was never checked
    in half precision.  `files` are those of `files.fetch`: folder, cache, lock, revision.  Raises ValueError for an
    unknown name or a checkpoint that does not fit, FileNotFoundError for one that is not to be had.
    """
    source = source_of(name)
    paths = [fetch(source.repo, file, source.licence, **files) for file in (source.tokenizer, source.transformer)]
    with torch.device("meta"):  # shapes only: memory comes with the weights
        tokenizer, transformer = SIZES[name]()
    load_into(tokenizer, read_checkpoint(paths[0], key="vae"), torch.float32, where)
    load_into(transformer, read_checkpoint(paths[1]), dtype or precision(name, torch.device(where)), where)
    return tokenizer, transformer


def precision(name: str, where: torch.device) -> torch.dtype:
    """The precision that suits a device: bfloat16 where a GPU has it in hardware, else float16; float32 on the CPU.

    On the CPU the 2 B model is bfloat16 too, so that it fits 12 GB.
    """
    whole = where.type != "cuda" and name != "infinity-2b"
    return torch.float32 if whole else half_dtype(where)


def read_checkpoint(path: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a .safetensors or .pth file by name, mapped from disk.

    `key` names the entry that holds them where the checkpoint is a training dump (Infinity's tokenizers: "vae"); a file
    without such an entry is taken as it is.  Raises FileNotFoundError, or ValueError for a file that is neither.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged or cut short: download it again ({error})") from error
    try:  # files from before PyTorch 1.6 are no archives, and cannot be mapped
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        if out_of_memory(error):
            raise
        reason = (str(error).splitlines() or ["cut short"])[0]
        raise ValueError(f"{path} is not a PyTorch file of tensors alone: download it again ({reason})") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, not tensors by name: it is another file")
    if key is not None and isinstance(state.get(key), dict):
        state = state[key]
    return state


def whole_model(kind, path, revision: str | None, dtype: torch.dtype):
    """A model of a class of transformers from a repository or folder, every tensor of it from the file.

    transformers itself fills what is missing with random numbers.  Raises ValueError where that would happen or a file
    is damaged, OSError where there are no weights.
    """
    options = {"revision": revision, "dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    try:
        model, told = kind.from_pretrained(path, **options)
    except (SafetensorError, RuntimeError) as error:  # the latter: in another shape
        if out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:160]
        raise ValueError(f"the weights at {path} are damaged or of another model ({reason}): fetch them") from error
    if told["missing_keys"]:
        count, first = len(told["missing_keys"]), sorted(told["missing_keys"])[0]
        raise ValueError(f"the weights at {path} lack {count} tensors of {kind.__name__}, the first being {first!r}")
    return model


def out_of_memory(error: Exception) -> bool:
    """True if an error says that memory is short, which no download mends."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error).lower()


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

"""A GPU that computes on the CPU: tensors that say "cuda" and refuse to meet others, so that devices can be tested.

Nothing here needs CUDA.  Inside `fake_gpu()`, `.to("cuda")` and `device="cuda"` give tensors whose numbers lie in an
ordinary CPU tensor.  Operations on them run there; an operation that mixes them with CPU tensors raises, as PyTorch
does (0-dimensional tensors and indices on the CPU are allowed), and so does NumPy.
"""

import contextlib
import functools
import math
import sys
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda", 0)
ACROSS, INDEXING = ("aten::copy_", "aten::_to_copy"), ("aten::index.Tensor", "aten::index_put")


class OnGPU(torch.Tensor):
    """A tensor that says it is on a GPU; its numbers are in `value`."""

    made = 0  # of them, in this process

    @staticmethod
    def __new__(cls, value):
        shape = {"strides": value.stride(), "storage_offset": value.storage_offset(), "dtype": value.dtype}
        return torch.Tensor._make_wrapper_subclass(
            cls, value.shape, device="meta", requires_grad=False, **shape
        )

    def __init__(self, value):
        self.value = value
        OnGPU.made += 1

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})

    device = property(lambda self: GPU)  # for PyTorch itself it is "meta", which needs no driver
    is_cuda = property(lambda self: True)

    def __getitem__(self, index):
        return super().__getitem__(listed(index))

    def __setitem__(self, index, value):
        super().__setitem__(listed(index), value)

    def new_tensor(self, data, dtype=None, **_):
        return OnGPU(torch.tensor(data, dtype=dtype or self.dtype))

    def tolist(self):
        return self.value.tolist()

    def numpy(self, **_):
        raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu() first")

    def __repr__(self, **_):
        return f"OnGPU({self.value!r})"


class FakeGPU(TorchDispatchMode):
    """Sends what is created on or moved to "cuda" there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


def listed(index):
    """An index with tensors in place of lists, which PyTorch would make tensors without numbers."""
    if isinstance(index, tuple):
        return tuple(listed(i) for i in index)
    return torch.tensor(index) if isinstance(index, list) else index


def run(func, args, kwargs):
    """One operation, on the numbers behind the tensors."""
    leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = [leaf for leaf in leaves if isinstance(leaf, OnGPU)]
    empty = any(leaf.device.type == "meta" and not isinstance(leaf, OnGPU) for leaf in leaves)
    assert not (empty and there), f"{func.name()} of a tensor without numbers"
    here = [leaf for leaf in leaves if not isinstance(leaf, OnGPU) and leaf.ndim and leaf.device.type == "cpu"]
    if func.name().startswith(INDEXING) and isinstance(args[0], OnGPU):  # the indices may be on the CPU
        indices = {id(leaf) for leaf in tree_leaves(args[1])}
        here = [leaf for leaf in here if id(leaf) not in indices]
    if there and here and not func.name().startswith(ACROSS):
        raise RuntimeError(f"expected all tensors on one device, found cuda:0 and cpu in {func.name()}")
    device = kwargs.get("device")
    to_gpu = bool(there) if device is None else torch.device(device).type == "cuda"
    if device is not None and torch.device(device).type == "meta":  # asked for, or PyTorch's name for ours
        asked = inside_meta() or math.prod(args[0] if isinstance(args[0], list) else []) > 1e10
        to_gpu = bool(there) or not (asked or empty)
    if func.name().startswith("aten::copy_"):
        to_gpu = isinstance(args[0], OnGPU)
    if to_gpu and getattr(kwargs.get("generator"), "device", GPU).type == "cpu":
        raise RuntimeError(f"expected a 'cuda' device type for generator but found 'cpu' in {func.name()}")
    if device is not None and to_gpu:
        kwargs = kwargs | {"device": "cpu"}
    wrappers = {id(leaf.value): leaf for leaf in there}
    out = func(*tree_map(behind, args), **tree_map(behind, kwargs))

    def wrap(tensor):
        if not isinstance(tensor, torch.Tensor) or not to_gpu or tensor.device.type == "meta":
            return tensor
        return wrappers.get(id(tensor)) if id(tensor) in wrappers else OnGPU(tensor)

    return tree_map(wrap, out)


def inside_meta() -> bool:
    """True inside `with torch.device("meta")`: its handler is among the callers."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.endswith("torch/utils/_device.py"):
            handler = frame.f_locals.get("self")
            if getattr(handler, "device", None) == torch.device("meta"):
                return True
        frame = frame.f_back
    return False


def behind(x):
    """The numbers of a tensor on the fake GPU; all else as it is."""
    return x.value if isinstance(x, OnGPU) else x


def made_here(tensor, data, device=None, **more):
    """torch.tensor and its like, which fill memory of the device without any operation, by way of the CPU."""
    if isinstance(data, torch.Tensor):
        made = tensor(data, **more)
        return made if device is None else made.to(device)
    return tensor(data, device="cpu", **more).to(torch.empty(0).device if device is None else device)


@contextlib.contextmanager
def fake_gpu():
    """Inside, there is a GPU."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with contextlib.ExitStack() as inside:
            inside.enter_context(mock.patch("torch.cuda._lazy_init"))
            # PyTorch's CUDA build has Adam ask the driver whether a graph is being captured (in 2.6 by the second).
            inside.enter_context(mock.patch("torch.accelerator.current_accelerator", return_value=None))
            inside.enter_context(mock.patch("torch.cuda.is_current_stream_capturing", return_value=False))
            for name in ("tensor", "as_tensor"):
                made = functools.partial(made_here, getattr(torch, name))
                inside.enter_context(mock.patch(f"torch.{name}", made))
            inside.enter_context(FakeGPU())
            yield GPU
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)

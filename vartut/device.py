"""Where and in what precision things run: the one place that decides."""

import contextlib
import os
import threading

import torch


def device() -> torch.device:
    """CUDA if there is a GPU, else the CPU; VARTUT_DEVICE overrides it ("cpu", "cuda", "cuda:1", "mps").

    Raises ValueError where VARTUT_DEVICE names what is not there.
    """
    wanted = os.environ.get("VARTUT_DEVICE")
    if wanted:
        try:
            torch.empty(0, device=wanted)
        except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch has a different one for each
            raise ValueError(f'VARTUT_DEVICE is "{wanted}", no device here: unset it, or set it to cpu') from error
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class _Inside:
    """How many blocks of `plain_defaults` are open in all threads, and the default dtype before the first of them."""

    lock, depth, before = threading.Lock(), 0, torch.float32


@contextlib.contextmanager
def plain_defaults():
    """Inside, torch makes float32 tensors on the CPU unless told otherwise, whatever the user has set: no autocast.

    For code of others, which relies on the defaults: our own says dtype and device wherever it makes a tensor.  Where
    the default is the CPU already nothing is entered: PyTorch's attention takes a slower path inside a device context.
    The default dtype is one for all threads: the first one in changes it, the last one out restores it.
    """
    with contextlib.ExitStack() as stack:
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        with _Inside.lock:
            if _Inside.depth == 0:
                _Inside.before = torch.get_default_dtype()
                torch.set_default_dtype(torch.float32)
            _Inside.depth += 1
        try:
            yield
        finally:
            with _Inside.lock:
                _Inside.depth -= 1
                if _Inside.depth == 0:
                    torch.set_default_dtype(_Inside.before)


def half_dtype(where: torch.device) -> torch.dtype:
    """The half precision of a device: float16 on a GPU without bfloat16 in hardware (before Ampere), else bfloat16."""
    old = where.type == "cuda" and torch.cuda.get_device_capability(where) < (8, 0)
    return torch.float16 if old else torch.bfloat16


def training_dtype(where: torch.device) -> torch.dtype:
    """bfloat16 where matrix products gain from it (CUDA from Ampere on, CPUs with AVX512-BF16 or AMX), else float32."""
    if where.type == "cuda":
        return torch.bfloat16 if half_dtype(where) == torch.bfloat16 else torch.float32
    if where.type == "cpu" and fast_bf16():
        return torch.bfloat16
    return torch.float32


def autocast(where: torch.device):
    """A context in which matrix products are in `training_dtype`; nothing where that is float32 anyway."""
    dtype = training_dtype(where)
    return contextlib.nullcontext() if dtype == torch.float32 else torch.autocast(where.type, dtype)


def fast_bf16() -> bool:
    """True if this CPU multiplies bfloat16 matrices in hardware; read from /proc/cpuinfo, False where there is none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except FileNotFoundError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags

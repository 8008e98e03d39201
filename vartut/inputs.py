"""What is given from outside becomes what the code computes with, or is refused in one line.

Numbers: `whole`, `wholes`, `each`, `finite`; several of anything: `ordered`.  Pictures: `check_pictures` refuses what a
model cannot read and names the remedy; `as_pictures` understands all that a person would call a picture, for drawing
and saving.
"""

import contextlib
import math
import operator
from collections.abc import Iterable, Mapping, Set

import numpy as np
import torch

# ---- numbers -------------------------------------------------------------------------------------------------------


def whole(least: int | None = None, most: int | None = None, **named) -> int:
    """The one named argument as a plain int: `whole(least=1, n=n)`.

    Integers of every kind are taken (Python's, NumPy's, torch's of one element); what is kept and hashed is always
    Python's, so that the kind never changes a picture.  Raises ValueError for bools, floats, texts, and for what
    is less than `least` or more than `most`.
    """
    [(name, value)] = named.items()
    kind = str(getattr(value, "dtype", type(value).__name__))
    try:
        number = None if "bool" in kind else operator.index(value)
    except (TypeError, ValueError):  # torch raises the latter for several elements
        number = None
    if number is None or (least is not None and number < least) or (most is not None and number > most):
        bound = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most}"
        raise ValueError(f"{name} is a whole number{bound}; got {shown(value)}")
    return number


def wholes(least: int | None = None, **named) -> list[int]:
    """The one named argument, several whole numbers, as plain ints: a list, a tuple, a range, an array, a tensor, ...

    Raises ValueError as `whole` does, for the element that it names, and for what has no order or is no sequence.
    """
    [name] = named
    values = ordered("whole numbers, as a list, range or tensor", **named)
    return [whole(least, **{f"{name}[{i}]": value}) for i, value in enumerate(values)]


def each(count: int, least: int | None = None, **named) -> list[int]:
    """The one named argument, one whole number for all of `count` rows or steps, or one for each, as one for each.

    Raises ValueError as `whole` and `wholes` do, and for another number of them.
    """
    [(name, value)] = named.items()
    if one(value):
        return [whole(least, **named)] * count
    values = wholes(least, **named)
    if len(values) != count:
        raise ValueError(f"{name} is one whole number, or one for each of {count}; got {len(values)}")
    return values


def ordered(what: str, **named) -> list:
    """The one named argument, several things in an order, as a list: a list, a tuple, an array, a generator, ...

    Raises ValueError, with `what` they should be, for one thing, for bytes, and for a set or dict: the order of a set
    of texts is another one in every process, and a dict gives its keys.
    """
    [(name, values)] = named.items()
    if one(values) or isinstance(values, (bytes, bytearray, Set, Mapping)):
        raise ValueError(f"{name} are several {what}; got {shown(values)}")
    return values.tolist() if isinstance(values, (np.ndarray, torch.Tensor)) else list(values)


def finite(low: float = -math.inf, high: float = math.inf, **named) -> int | float:
    """The one named argument as a plain number from `low` to `high`: integers of every kind an int, others a float.

    Raises ValueError for bools, texts, NaN, infinity, and numbers outside.
    """
    [(name, value)] = named.items()
    kind = str(getattr(value, "dtype", type(value).__name__))
    number = None
    if "bool" not in kind and not isinstance(value, (str, bytes)):
        with contextlib.suppress(TypeError, ValueError, RuntimeError):  # torch raises the last for several elements
            number = float(value)
        with contextlib.suppress(TypeError, ValueError):
            number = operator.index(value)
    if number is None or not math.isfinite(number) or not low <= number <= high:
        bound = "" if (low, high) == (-math.inf, math.inf) else f" from {low} to {high}"
        raise ValueError(f"{name} is a number{bound.replace('to inf', 'up')}; got {shown(value)}")
    return number


def one(value) -> bool:
    """Whether this is one thing and not several: a number, a text, a tensor or array without dimensions."""
    return isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0


def shown(value) -> str:
    """A value as a message shows it: in one line, and not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


# ---- pictures ------------------------------------------------------------------------------------------------------


def check_pictures(images, who: str, side: int | None = None, square: bool = False) -> None:
    """Raise ValueError, in one line with the remedy, unless these are pictures as models read them.

    That is a tensor (B, 3, H, W) of floating point numbers in [0, 1], at least 8 pixels a side, B 0 or more; with
    `side` H and W are just that, with `square` they are equal.  uint8 pictures, NumPy arrays and pictures whose colour
    stands last are refused with what turns them into it: a model that guessed would score another picture in silence.
    `who` begins the message: "the judge".
    """
    form = f"(B, 3, {side or 'H'}, {side or 'W'})"
    if not isinstance(images, torch.Tensor):
        got = type(images).__name__
        if isinstance(images, np.ndarray):
            got = f"a NumPy array of {images.dtype} {images.shape}: {remedy(images)}"
        raise ValueError(f"{who} reads a tensor of pictures {form}; got {got}")
    shape = tuple(images.shape)
    if images.ndim != 4 or shape[1] != 3:
        way = remedy(images)
        raise ValueError(f"{who} reads a tensor of pictures {form}; got {shape}{way and ': ' + way}")
    if side is not None and shape[2:] != (side, side):
        raise ValueError(f"{who} reads a tensor of pictures {form}; got {shape}: resize them")
    if square and shape[2] != shape[3]:
        raise ValueError(f"{who} reads square pictures; got {shape}: crop them")
    if images.device.type == "meta":
        raise ValueError(f"{who} reads pictures, and a tensor on the device meta has no values")
    if min(shape[2:]) < 8:
        raise ValueError(f"{who} reads pictures of at least 8 pixels a side; got {shape}")
    if not images.is_floating_point():
        way = "" if images.dtype in (torch.bool, torch.complex64, torch.complex128) else ": divide by 255"
        raise ValueError(f"{who} reads floating point pictures in [0, 1]; got {images.dtype}{way}")
    if not torch.isfinite(images).all():
        raise ValueError(f"the pictures hold NaN or infinite values; {who} reads values in [0, 1]")
    if len(images) and (images.min() < -1e-3 or images.max() > 1 + 1e-3):
        low, high = images.min().item(), images.max().item()
        raise ValueError(f"{who} reads values in [0, 1]; these go from {low:.3g} to {high:.3g}: clamp or rescale")


def remedy(images) -> str:
    """What turns an array or tensor of another form into pictures (B, 3, H, W); empty where it is no picture at all."""
    order = layout(tuple(images.shape))
    if order is None:
        return ""
    code = "torch.from_numpy(images)" if isinstance(images, np.ndarray) else "images"
    code += {"CHW": "[None]", "HWC": ".permute(2, 0, 1)[None]", "BHWC": ".permute(0, 3, 1, 2)"}.get(order, "")
    whole_numbers = not images.is_floating_point() if isinstance(images, torch.Tensor) else images.dtype.kind in "iu"
    return "give " + code + (" / 255" if whole_numbers else "")


def layout(shape: tuple[int, ...]) -> str | None:
    """What the dimensions of a picture or several are: BCHW, CHW, BHWC or HWC; None where no three are colours."""
    if len(shape) not in (3, 4) or 3 not in (shape[-3], shape[-1]):
        return None
    return "B" * (len(shape) - 3) + ("CHW" if shape[-3] == 3 else "HWC")


def as_pictures(images, who: str) -> torch.Tensor:
    """All that a person would call pictures as a float32 tensor (B, 3, H, W) on the CPU, clamped to [0, 1]: a copy.

    A tensor or NumPy array, or a list of them of one size; one picture or several; colours first or last (first where
    both could be); uint8 of 0 to 255, or floating point numbers, whose slight overshoots are cut.  Raises ValueError,
    beginning with `who`, for anything else: floating point numbers of 0 to 255, which would all be white, NaN, other
    integers, floating point numbers of -1 to 1, whose darker half would be black, no picture at all.
    """
    wanted = f"{who} takes pictures (B, 3, H, W) in [0, 1], uint8 ones, or NumPy's (H, W, 3)"
    if isinstance(images, (list, tuple)) and images:
        parts = [as_pictures(image, who) for image in images]
        if len({part.shape[2:] for part in parts}) > 1:
            raise ValueError(f"{wanted}, all of one size; got {[tuple(part.shape[2:]) for part in parts][:4]}")
        return torch.cat(parts)
    if not isinstance(images, (np.ndarray, torch.Tensor)):
        raise ValueError(f"{wanted}; got a {type(images).__name__}")
    order = layout(tuple(images.shape))
    if order is None or 0 in images.shape:
        raise ValueError(f"{wanted}, at least one; got {tuple(images.shape)}")
    if isinstance(images, np.ndarray):  # a copy: NumPy's may be read-only, or run backwards
        if images.dtype.kind not in "iuf":
            raise ValueError(f"{wanted}; got {images.dtype}")
        kind = np.float32 if images.dtype.kind == "f" else images.dtype.newbyteorder("=")  # what torch can read
        images = torch.from_numpy(images.astype(kind))
    images = images.detach().to("cpu", copy=True)
    images = images.movedim(-1, -3) if order.endswith("HWC") else images
    images = images.reshape(-1, *images.shape[-3:])
    if images.dtype == torch.uint8:
        return images.float() / 255
    if not images.is_floating_point():
        raise ValueError(f"{wanted}; got {images.dtype}: as uint8, or divided by 255")
    if not torch.isfinite(images).all():
        raise ValueError(f"{wanted}; these hold NaN or infinite values")
    if images.max() > 2:
        raise ValueError(f"{wanted}; these go to {images.max().item():.3g}: divide by 255")
    if images.min() < -0.5:
        raise ValueError(f"{wanted}; these go down to {images.min().item():.3g}: from [-1, 1] by / 2 + 0.5")
    return images.float().clamp(0, 1)

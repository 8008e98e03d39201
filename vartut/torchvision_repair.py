"""Makes a CUDA build of torchvision importable beside a CPU build of torch.

Whoever mixes package indexes meets `operator torchvision::nms does not exist` on `import torchvision`: the compiled
operators cannot be loaded, and torchvision describes them to torch all the same.  That takes open_clip, timm and every
model of transformers with it, though none of them needs a compiled operator here.  Declaring the missing operators lets
the import through; to call one still fails, with torch's own message.
"""

import copyreg
import importlib
import sys

import torch

MESSAGE = "operator torchvision::nms does not exist"
DECLARED = []  # torch drops the operators of a library that is garbage-collected


def repair() -> bool:
    """Import torchvision, declaring its operators first if they are missing; call before importing open_clip.

    Returns:
        True if a repair was needed; False where torchvision imports normally or is not installed at all (who needs it
        then says so).

    Raises:
        RuntimeError: torchvision does not import for another reason.
    """
    try:
        importlib.import_module("torchvision")
        return False
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        return False
    except RuntimeError as error:
        if MESSAGE not in str(error):
            raise

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    DECLARED.append(library)
    importlib.import_module("torchvision")
    return True


def repair_in_pickles_of(kind: type) -> None:
    """Have pickles of a class that holds a model of open_clip or transformers repair before these are imported.

    A pickle is carried out from its front, in a fresh process as anywhere: what stands first in it is done first.
    """
    copyreg.pickle(kind, lambda made: (restored, (Repair(), type(made), made.__dict__)))


class Repair:
    """In a pickle, a call of `repair`."""

    def __reduce__(self):
        return repair, ()


def restored(_: object, kind: type, attributes: dict) -> object:
    """The object of that class with these attributes."""
    made = kind.__new__(kind)
    made.__dict__.update(attributes)
    return made

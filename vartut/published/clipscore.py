"""CLIPScore (Hessel et al., arXiv 2104.08718) with published CLIP models, by the names that open_clip gives them.

    verifier = load_clip_score("ViT-L-14", "openai")
    vartut.beam_search(sampler, "a red fox in the snow", verifier)

Any callable (images, prompts) -> scores is a verifier.  This one is the class of `verifiers/clip.py` with a tokenizer
that reads every prompt, where ours knows the world of shapes alone.
"""

from functools import partial
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from ..device import device, plain_defaults
from ..names import nearest
from ..verifiers.clip import ClipScore, open_clip
from .files import fetch
from .loading import out_of_memory

WEIGHTS = "open_clip_model.safetensors"  # what open_clip's models are called in their repositories
LICENCE = "MIT, of OpenAI's models; see the repository"


def prepared(images: Tensor, size: int, mean, std) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1] as CLIP and BLIP read them: the shorter side `size`, the middle, standardised."""
    height, width = images.shape[2:]
    shape = (max(size, size * height // width), max(size, size * width // height))  # the longer side rounded down
    images = F.interpolate(images.float(), shape, mode="bicubic", antialias=True).clamp(0, 1)
    top, left = round((shape[0] - size) / 2), round((shape[1] - size) / 2)
    images = images[:, :, top : top + size, left : left + size]
    mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (mean, std))
    return (images - mean) / std


def clip_source(name: str, tag: str) -> dict:
    """Where open_clip has the weights `tag` of model `name`: repo, mean, std, quick_gelu.

    Raises ValueError with the nearest name for a model or tag that open_clip does not know, or has elsewhere.
    """
    package = open_clip()
    known = [(model, t) for model, t in package.list_pretrained() if package.get_pretrained_cfg(model, t).get("hf_hub")]
    if (name, tag) not in known:
        near = nearest(f"{name}:{tag}", [":".join(pair) for pair in known])
        raise ValueError(f'open_clip has no weights "{name}:{tag}" on Hugging Face; did you mean "{near}"?')
    config = package.get_pretrained_cfg(name, tag)
    gelu = {"force_quick_gelu": bool(config.get("quick_gelu"))}
    mean, std = config.get("mean") or package.OPENAI_DATASET_MEAN, config.get("std") or package.OPENAI_DATASET_STD
    return {"repo": config["hf_hub"].strip("/"), "mean": mean, "std": std, "model": gelu}


@plain_defaults()
def load_clip_score(
    name: str = "ViT-L-14", tag: str = "openai", folder: str | Path | None = None, where=None
) -> ClipScore:
    """CLIPScore by open_clip's model `name` with the weights `tag`, on `where` (the GPU if there is one).

    The weights are looked for and verified as those of the painters are (`files.fetch`).  Raises ValueError for
    unknown names, FileNotFoundError where there are no weights.  Nobody has run this with published weights yet.
    """
    source, package = clip_source(name, tag), open_clip()
    path = fetch(source["repo"], WEIGHTS, LICENCE, folder=folder)
    try:
        model = package.create_model_and_transforms(name, str(path), **source["model"])[0]
    except (SafetensorError, RuntimeError, AssertionError) as error:
        if out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:160]
        raise ValueError(f"{path} is damaged or not of {name}:{tag}: fetch it again ({reason})") from error
    prepare = partial(prepared, size=image_size(model), mean=source["mean"], std=source["std"])
    where = device() if where is None else where
    return ClipScore(f"{name}:{tag}", model, package.get_tokenizer(name), prepare, where)


def image_size(model) -> int:
    """Pixels a side of the pictures that an open_clip model reads."""
    size = model.visual.image_size
    return size if isinstance(size, int) else size[0]

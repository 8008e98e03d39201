"""Verifiers: what scores a picture against its prompt, and what search climbs.

    verifier = load_verifier("clip-hard")
    verifier(images, prompts)   # (B, 3, H, W) in [0, 1] and B prompts, or one for all: (B,) scores, higher is better

`clip` and `clip-hard` are CLIPScore (Hessel et al. 2021, arXiv 2104.08718) with the tiny models of `vartut.clip`.
`oracle` is the judge's own grade: it is what the others try to be, and never a fair verifier.
"""

from pathlib import Path

import torch
from torch.nn import functional as F

from . import clip, hub, world
from .device import device
from .judging import judge

VERIFIERS = ("clip", "clip-hard", "oracle")
PUBLISHED = ("clip-score", "image-reward", "aesthetic", "llava-onevision")  # the paper's, see published/


class ClipScore:
    """2.5 times the cosine of the picture's and the prompt's CLIP features.

    Hessel et al. define 2.5 max(cos, 0); we do not clip, since it would make all bad pictures equally bad, and a
    search starts from bad pictures.  `flops_per_image` counts the picture's tower alone: a prompt is encoded once.
    """

    def __init__(self, name: str, model, where: torch.device):
        self.name, self.model, self.where = name, model.to(where).eval().requires_grad_(False), where
        self.tokenizer = clip.tokenizer()
        self.size = model.visual.image_size[0]
        self.flops_per_image = image_flops(model.visual)
        self._texts: dict[str, torch.Tensor] = {}  # features of the prompts met so far

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, prompts) -> torch.Tensor:
        """Scores (B,) of pictures (B, 3, H, W) in [0, 1], resized to 64 pixels where they are larger or smaller."""
        prompts = checked(images, prompts)
        images = images.to(self.where, torch.float32)
        if images.shape[-1] != self.size:
            images = F.interpolate(images, (self.size, self.size), mode="bicubic", antialias=True).clamp(0, 1)
        seen = self.model.encode_image(clip.normalize(images), normalize=True)  # (B, E)
        return 2.5 * (seen * self.read(prompts)).sum(1)

    def read(self, prompts: list[str]) -> torch.Tensor:
        """Features of prompts, (B, E), each encoded alone and once."""
        for prompt in set(prompts) - set(self._texts):
            ids = self.tokenizer(" ".join(world.words(prompt))).to(self.where)
            self._texts[prompt] = self.model.encode_text(ids, normalize=True)[0]
        return torch.stack([self._texts[prompt] for prompt in prompts])


class Oracle:
    """The judge's grade, 0 to 1 (`vartut.judge`): an upper bound on what verifiers can bring, and its own referee."""

    name = "oracle"
    flops_per_image = 0  # it matches templates on the CPU; its seconds are in the ledger

    def __call__(self, images: torch.Tensor, prompts) -> torch.Tensor:
        """Grades (B,) of pictures (B, 3, 64, 64) in [0, 1]; every prompt must be of the world's grammar."""
        prompts = checked(images, prompts)
        return torch.tensor([verdict.grade for verdict in judge(images, prompts)], device=images.device)


def load_verifier(name: str = "clip-hard", folder: Path | str | None = None, where: torch.device | None = None):
    """The verifier of that name: "clip", "clip-hard" or "oracle", on `where` (the GPU if there is one).

    It is called with pictures (B, 3, H, W) in [0, 1] and a list of B prompts, or one prompt for all, and returns (B,)
    float32 scores on its device, higher for better; `.name` and `.flops_per_image` say what it is and costs.  `folder`
    holds weights that you trained.  "clip-score", "image-reward", "aesthetic" and "llava-onevision" are the paper's
    verifiers, which read any prompt, with the authors' weights, fetched if they are not in `folder` (for LLaVA the
    folder of the model itself, in transformers' layout); see `published/files.py` for where.  Raises ValueError
    for an unknown name or damaged weights, FileNotFoundError for missing ones.
    """
    hub.check_name(name, (*VERIFIERS, *PUBLISHED), "verifier")
    if name in PUBLISHED:
        return published(name, folder, where)
    if name == "oracle":
        return Oracle()
    hub.load_weights(name, folder)  # verifies the checksum
    model, _ = clip.read(hub.weights_folder(folder) / f"{name}.safetensors")
    return ClipScore(name, model, device() if where is None else where)


def published(name: str, folder: Path | str | None, where: torch.device | None):
    """One of the paper's verifiers."""
    if name == "clip-score":
        from .published.clipscore import load_clip_score  # here, since these files import this one

        return load_clip_score(folder=folder, where=where)
    if name == "image-reward":
        from .published.imagereward import load_image_reward

        return load_image_reward(folder, where)
    if name == "aesthetic":
        from .published.aesthetic import load_aesthetic

        return load_aesthetic(folder=folder, where=where)
    from .published.llava import REPO, load_llava

    return load_llava(REPO if folder is None else folder, where)


def checked(images, prompts) -> list[str]:
    """One prompt of the world per square picture; raises ValueError in one line for what cannot be scored."""
    prompts = paired(images, prompts)
    if images.shape[2] != images.shape[3]:
        raise ValueError(f"this verifier reads square pictures; got {tuple(images.shape)}")
    for prompt in prompts:
        world.words(prompt)
    return prompts


def paired(images, prompts) -> list[str]:
    """One prompt per picture; raises ValueError in one line for what no verifier can score."""
    if not isinstance(images, torch.Tensor) or images.ndim != 4 or images.shape[1] != 3:
        got = tuple(images.shape) if hasattr(images, "shape") else type(images).__name__
        raise ValueError(f"a verifier reads a tensor of pictures (B, 3, H, W); got {got}")
    if min(images.shape[2:]) < 8:
        raise ValueError(f"a verifier reads pictures of at least 8 pixels a side; got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise ValueError(f"a verifier reads floating point pictures in [0, 1]; got {images.dtype}: divide by 255")
    if not torch.isfinite(images).all():
        raise ValueError("the pictures hold NaN or infinite values; a verifier reads values in [0, 1]")
    if len(images) and (images.min() < -1e-3 or images.max() > 1 + 1e-3):
        low, high = images.min().item(), images.max().item()
        raise ValueError(f"a verifier reads values in [0, 1]; these go from {low:.3g} to {high:.3g}: clamp or rescale")
    prompts = [prompts] * len(images) if isinstance(prompts, str) else list(prompts)
    if not all(isinstance(prompt, str) for prompt in prompts):
        raise ValueError(f"prompts are texts; got {[type(prompt).__name__ for prompt in prompts][:3]}")
    if len(prompts) != len(images):
        raise ValueError(f"one prompt per picture, or one for all: got {len(images)} pictures, {len(prompts)} prompts")
    return prompts


def image_flops(tower) -> int:
    """Multiplications and additions of open_clip's vision transformer for one picture, matrix products only."""
    width, patches = tower.conv1.out_channels, tower.grid_size[0] * tower.grid_size[1]
    tokens = patches + 1  # the class token
    hidden = tower.transformer.resblocks[0].mlp.c_fc.out_features
    layer = tokens * (4 * width * width + 2 * width * hidden) + 2 * tokens * tokens * width
    patch = tower.conv1.weight[0].numel()
    return 2 * (patches * patch * width + tower.transformer.layers * layer + width * tower.proj.shape[1])

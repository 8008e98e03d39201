"""LAION's aesthetic predictor, version 2 (Schuhmann 2022): how people rated pictures from 1 to 10, whatever the prompt.

A perceptron without activations, five linear layers, on the unit features of OpenAI's CLIP ViT-L/14; from
https://github.com/christophschuhmann/improved-aesthetic-predictor.  A search that climbs it alone leaves the prompt.
"""

from pathlib import Path

import torch
from torch import Tensor

from ..device import plain_defaults
from ..verifiers.clip import ClipScore
from ..verifiers.protocol import paired
from .clipscore import load_clip_score
from .files import fetch
from .imagereward import Head
from .loading import load_into, read_checkpoint

REPO, WEIGHTS = "trl-lib/ddpo-aesthetic-predictor", "aesthetic-model.pth"  # a copy of sac+logos+ava1-l14-linearMSE.pth
LICENCE = "Apache-2.0, of improved-aesthetic-predictor"


class Aesthetic:
    """The verifier: CLIP's view of a picture, and the head."""

    name = "laion-aesthetic"

    def __init__(self, clip: ClipScore, head: Head):
        self.clip, self.head = clip, head.to(clip.where).eval().requires_grad_(False)
        self.flops_per_image = clip.flops_per_image + 2 * sum(p.numel() for p in head.parameters() if p.ndim == 2)

    @plain_defaults()
    @torch.no_grad()
    def __call__(self, images: Tensor, prompts="") -> Tensor:
        """Scores (B,) of pictures (B, 3, H, W) in [0, 1], about 1 to 10; the prompts are not read."""
        paired(images, prompts)
        return self.head(self.clip.see(images)) if len(images) else torch.zeros(0, device=self.clip.where)


@plain_defaults()
def load_aesthetic(clip: ClipScore | None = None, folder: str | Path | None = None, where=None) -> Aesthetic:
    """The predictor with the published weights, beside `clip` if OpenAI's ViT-L/14 is loaded already.

    Raises FileNotFoundError where there are no weights, ValueError for others or for another CLIP.  Nobody has run this
    with the published weights yet.
    """
    if clip is not None and clip.name != "ViT-L-14:openai":
        raise ValueError(f"the head was trained on the features of ViT-L-14:openai, not of {clip.name}")
    state = read_checkpoint(fetch(REPO, WEIGHTS, LICENCE, folder=folder))  # small: if it is missing, say so first
    clip = load_clip_score("ViT-L-14", "openai", folder, where) if clip is None else clip
    return Aesthetic(clip, load_into(Head(), state, torch.float32, clip.where))

"""A verifier that reads no prompt: is this a clean picture?  A small head on CLIP's features, as LAION's aesthetic
predictor is (github.com/christophschuhmann/improved-aesthetic-predictor, MIT licence).

LAION's learned from people's ratings; ours tells clean renders from torn, blurred and off-palette ones.
"""

import torch
from torch import nn

from ..device import plain_defaults
from .clip import ClipScore
from .protocol import paired

HIDDEN = 64


def head(features: int = 128) -> nn.Module:
    """From CLIP's features (B, E) of length 1 to log-odds (B, 1) that the picture is clean."""
    return nn.Sequential(nn.LayerNorm(features), nn.Linear(features, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 1))


class Aesthetic:
    """The verifier: log-odds that a picture is a clean one, whatever the prompt."""

    def __init__(self, name: str, clip: ClipScore, head: nn.Module):
        self.name, self.clip = name, clip
        self.head = head.to(clip.where).eval().requires_grad_(False)
        self.flops_per_image = clip.flops_per_image + 2 * sum(p.numel() for p in head.parameters() if p.ndim == 2)

    @plain_defaults()
    @torch.no_grad()
    def __call__(self, images: torch.Tensor, prompts) -> torch.Tensor:
        """Scores (B,) of pictures (B, 3, H, W) in [0, 1]; prompts are counted and not read."""
        if not paired(images, prompts):
            return torch.zeros(0, device=self.clip.where)
        return self.head(self.clip.see(images))[:, 0]

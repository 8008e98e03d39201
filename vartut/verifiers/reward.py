"""A reward model in ImageReward's manner (Xu et al. 2023, arXiv 2304.05977): picture and prompt look at each other.

CLIP keeps picture and prompt apart until two vectors meet.  Here the patches of the picture and the words of the prompt
are one sequence, so that "red" can look for the red place, and what comes out is one number.  It learns from groups of
pictures of one prompt which of two is the better one (Bradley and Terry 1952), as people would say; here the judge
says it, so this verifier is judge-distilled.
"""

import torch
from torch import nn

from ..device import plain_defaults
from ..models.transformer import Layer, centres
from ..world import MAX_WORDS, WORDS, parse, token_ids
from .clip import fitted
from .protocol import paired

PATCH, SIDE = 8, 8  # pixels of a patch, patches of a side
SIZES = {"width": 128, "depth": 5, "heads": 4}


class RewardModel(nn.Module):
    """Patches and words in one sequence, each sees all; the mean over the patches gives one number."""

    def __init__(self, width: int = 128, depth: int = 5, heads: int = 4):
        super().__init__()
        self.patch = nn.Conv2d(3, width, PATCH, PATCH)
        self.place = nn.Parameter(0.1 * centres([SIDE], width))  # (64, W)
        self.word = nn.Embedding(len(WORDS), width)
        self.word_place = nn.Parameter(0.02 * torch.randn(MAX_WORDS, width))
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width, bias=False), nn.Linear(width, 1)
        nn.init.normal_(self.word.weight, std=0.02)
        for layer in self.layers:  # a residual stream that starts as the identity
            nn.init.zeros_(layer.attention.out.weight)
            nn.init.zeros_(layer.down.weight)

    def forward(self, images: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Rewards (B,) of pictures (B, 3, 64, 64) less the ground, and word ids (B, T), 0 for padding."""
        words = self.word(ids) + self.word_place[: ids.shape[1]]
        patches = self.patch(images).flatten(2).transpose(1, 2) + self.place
        x = torch.cat([words, patches], 1)  # (B, T + 64, W)
        seen = torch.cat([ids > 0, ids.new_ones(len(ids), SIDE**2, dtype=torch.bool)], 1)[:, None, None]
        for layer in self.layers:
            x, _ = layer(x, seen)
        return self.head(self.norm(x[:, ids.shape[1] :]).mean(1))[:, 0]


def shortest(prompts: list[str]) -> torch.Tensor:
    """Word ids (B, T) of prompts, T the length of the longest."""
    ids = token_ids(prompts)
    return ids[:, : int((ids > 0).sum(1).max())]


class RewardScore:
    """The verifier: higher is better, no scale beyond that.  `flops_per_image` is of the longest prompt."""

    def __init__(self, name: str, model: RewardModel, where="cpu"):
        self.name, self.where = name, torch.device(where)
        self.model = model.to(self.where).eval().requires_grad_(False)
        self.flops_per_image = reward_flops(model, MAX_WORDS)

    @plain_defaults()
    @torch.no_grad()
    def __call__(self, images: torch.Tensor, prompts) -> torch.Tensor:
        """Rewards (B,) of pictures (B, 3, H, W) in [0, 1]; prompts are one for each, or one for all."""
        prompts = paired(images, prompts)
        for prompt in dict.fromkeys(prompts):
            parse(prompt)
        if not prompts:
            return torch.zeros(0, device=self.where)
        ids = token_ids(prompts).to(self.where)  # padded alike, whatever the batch
        return self.model(fitted(images.to(self.where, torch.float32)), ids)


def reward_flops(model: RewardModel, words: int) -> int:
    """Multiplications and additions for one picture and a prompt of so many words, matrix products only."""
    width, n = model.norm.normalized_shape[0], words + SIDE**2
    layer = 12 * n * width**2 + 2 * n * n * width
    return 2 * (SIDE**2 * 3 * PATCH**2 * width + len(model.layers) * layer + width)

"""The diffusion twin's network: a transformer that says in which direction a noisy latent becomes a picture.

Rectified flow (Liu et al. 2022, arXiv 2209.03003; FLUX and Stable Diffusion 3, arXiv 2403.03206): between a latent x_0
and noise e, x_t = (1 - t) x_0 + t e, and the network predicts the velocity e - x_0 from x_t, the time t and the prompt.

- The latent is the one that the decoder takes, the sum of all scales: what the next-scale model ends with.  It is
  normalised per channel, and its 8 x 8 places are the sequence.
- The text is a prefix of word tokens, as for the next-scale transformer: it sees neither picture nor time, so its keys
  and values are computed once a prompt.
- Time enters by modulated norms (DiT, Peebles and Xie 2023, arXiv 2212.09748): one modulation for all layers, to which
  each adds an offset of its own (PixArt, arXiv 2310.00426).
"""

import torch
from torch import nn
from torch.nn import functional as F

from .tokenizer import Tokenizer
from .transformer import Attention, centres

PARTS = 6  # of a modulation: shift, scale and gate of the attention, the same of the perceptron


class ModulatedLayer(nn.Module):
    """A layer of the next-scale transformer whose norms and outputs are shifted and scaled."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
        self.offset = nn.Parameter(torch.zeros(PARTS, width))

    def forward(self, x, modulation=0.0, past=()):
        """x (B, N, W), modulation (B, 6, 1, W) or 0 for text; returns x and its keys and values."""
        m = modulation + self.offset[:, None]  # (B, 6, 1, W) or (6, 1, W)
        shift, scale, gate, shift2, scale2, gate2 = m.unbind(-3)
        y, kv = self.attention(self.norm(x) * (1 + scale) + shift, past=past)
        x = x + (1 + gate) * y
        return x + (1 + gate2) * self.down(F.gelu(self.up(self.norm(x) * (1 + scale2) + shift2))), kv


class VelocityTransformer(nn.Module):
    """Text-conditioned velocities of normalised latents (B, C, 8, 8).

    `vocabulary` is the number of word ids, padding (0) included; `words` the most of them in a prompt.
    """

    def __init__(
        self, tokenizer: Tokenizer, vocabulary: int, words: int, width: int = 192, depth: int = 8, heads: int = 4
    ):
        super().__init__()
        self.channels, self.side, self.words = tokenizer.channels, tokenizer.side, words
        self.width, self.depth, self.heads = width, depth, heads
        self.register_buffer("mean", torch.zeros(self.channels, 1, 1))  # of the latents, see `normalize`
        self.register_buffer("std", torch.ones(self.channels, 1, 1))
        self.word = nn.Embedding(vocabulary, width)
        self.word_place = nn.Parameter(0.02 * torch.randn(words, width))
        self.input = nn.Linear(self.channels, width)
        self.place = nn.Parameter(0.1 * centres((self.side,), width))  # (64, W)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, PARTS * width))
        self.layers = nn.ModuleList(ModulatedLayer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.head = nn.Linear(width, self.channels)
        nn.init.normal_(self.word.weight, std=0.02)
        for layer in self.layers:  # a residual stream that starts as the identity
            nn.init.zeros_(layer.attention.out.weight)
            nn.init.zeros_(layer.down.weight)
        nn.init.zeros_(self.time[2].weight)
        nn.init.zeros_(self.time[2].bias)
        nn.init.normal_(self.head.weight, std=0.002)

    def normalize(self, latent: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, 8, 8) of mean 0 and standard deviation 1 per channel."""
        return (latent - self.mean) / self.std

    def restore(self, normal: torch.Tensor) -> torch.Tensor:
        """What the decoder takes, of normalised latents (B, C, 8, 8)."""
        return normal * self.std + self.mean

    def encode_text(self, ids: torch.Tensor) -> torch.Tensor:
        """Keys and values of the text prefix, (depth, 2, B, H, T, D), of word ids (B, any length).

        Padding is added or cut; raises ValueError where that would cut a word.
        """
        if ids.shape[1] > self.words and ids[:, self.words :].any():
            longest = int((ids > 0).sum(1).max())
            raise ValueError(f"a prompt has {longest} words; this model reads at most {self.words}: shorten it")
        ids = F.pad(ids, (0, self.words - ids.shape[1]))
        return self._run(self.word(ids) + self.word_place, 0.0, None)[1]

    def forward(self, x: torch.Tensor, t: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Velocities (B, C, 8, 8) at x (B, C, 8, 8) and times t (B,) in [0, 1], text as from `encode_text`."""
        h = self.input(x.flatten(2).transpose(1, 2)) + self.place  # (B, 64, W)
        modulation = self.time(clock(t, self.width)).unflatten(1, (PARTS, 1, self.width))  # (B, 6, 1, W)
        h, _ = self._run(h, modulation, text)
        return self.head(self.norm(h)).transpose(1, 2).unflatten(2, (self.side, self.side))

    def _run(self, h, modulation, text):
        new = []
        for i, layer in enumerate(self.layers):
            h, kv = layer(h, modulation, past=[] if text is None else [text[i]])
            new.append(kv)
        return h, torch.stack([torch.stack(kv) for kv in new]) if text is None else None

    def pass_flops(self, text: bool = False) -> int:
        """Floating-point operations of one row's pass, or of its text; counted as `NextScaleTransformer.pass_flops`."""
        new, past = (self.words, 0) if text else (self.side**2, self.words)
        linear = 2 * new * 12 * self.width**2 * self.depth
        attention = 4 * new * (past + new) * self.width * self.depth
        ends = 0 if text else 4 * new * self.width * self.channels + 2 * (1 + PARTS) * self.width**2
        return linear + attention + ends


def clock(t: torch.Tensor, channels: int) -> torch.Tensor:
    """Sines and cosines of times (B,) in [0, 1], (B, channels), from half a turn to thirty-two."""
    octaves = torch.linspace(0, 6, channels // 2, dtype=torch.float32, device=t.device)
    angles = t[:, None] * torch.pi * 2.0**octaves
    return torch.cat([angles.sin(), angles.cos()], 1)

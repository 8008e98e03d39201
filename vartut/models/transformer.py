"""The next-scale transformer: predicts all tokens of scale k at once from the text and the coarser scales.

- The text is a prefix of word tokens in the same sequence, and so in the same key-value cache.
- The input of scale k is the sum of scales 0 to k-1 shrunk to n_k x n_k; the output at each place is a distribution
  over the token of scale k at that place.  Scale 0 sees a learned start vector.
- Training runs the whole sequence in one pass under a block-causal mask: a position attends to the text, to all
  coarser scales and to its own scale (VAR, arXiv 2404.02905, figure 4).  Sampling runs one scale at a time and keeps
  keys and values, which gives the same logits.
- Queries and keys are normalised before their product, which keeps bfloat16 training calm.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .tokenizer import Tokenizer


def block_causal_mask(lengths: list[int]) -> torch.Tensor:
    """(N, N) bool, N = sum(lengths): True where the row's position may attend to the column's.

    Positions come in blocks of the given lengths; a block sees itself and every block before it.
    """
    blocks, lengths = torch.arange(len(lengths), device="cpu"), torch.tensor(lengths, device="cpu")
    block = torch.repeat_interleave(blocks, lengths)  # (N,)
    return block[:, None] >= block[None, :]


def centres(scales, channels: int) -> torch.Tensor:
    """Sines and cosines of the centre of every token in the picture, (sum n_k^2, channels).

    The same place has the same code at every scale: so a finer scale finds it in a coarser one.
    """
    rows = []
    for n in scales:
        axis = (torch.arange(n, dtype=torch.float32, device="cpu") + 0.5) / n
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        octaves = torch.linspace(0, 3, channels // 4, dtype=torch.float32, device="cpu")
        frequencies = torch.pi * 2.0**octaves
        angles = torch.stack([x, y], -1).view(-1, 2, 1) * frequencies  # (n^2, 2, channels / 4)
        rows.append(torch.cat([angles.sin(), angles.cos()], -1).flatten(1))
    return torch.cat(rows)


class Attention(nn.Module):
    """Multi-head self-attention with normalised queries and keys, softmax(gain q k^T / sqrt(D)) v, written out."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.gain = nn.Parameter(torch.ones(heads, 1, 1))  # how sharply a head may look

    def forward(self, x, mask=None, past=()):
        """x (B, N, W); `past` has (keys, values) of every block of earlier positions, each (B, H, M, D).  Returns x and
        (keys, values) of the new positions alone."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, self.size)).permute(2, 0, 3, 1, 4)  # each (B, H, N, D)
        q, k = F.layer_norm(q, (self.size,)) * self.gain.to(q.dtype), F.layer_norm(k, (self.size,)).to(v.dtype)
        keys, values = (torch.cat(parts, 2) for parts in zip(*past, (k, v)))  # old and new: (B, H, M + N, D)
        scores = (q.to(v.dtype) / self.size**0.5) @ keys.transpose(2, 3)  # (B, H, N, M + N)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        y = scores.softmax(-1).to(v.dtype) @ values
        return self.out(y.transpose(1, 2).flatten(2)), (k, v)


class Layer(nn.Module):
    """Attention, then a two-layer perceptron, each added to its normalised input's stream."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x, mask=None, past=()):
        y, kv = self.attention(self.norm1(x), mask, past)
        x = x + y
        return x + self.down(F.gelu(self.up(self.norm2(x)))), kv


class NextScaleTransformer(nn.Module):
    """Text-conditioned next-scale prediction over the tokens of a `Tokenizer`.

    `vocabulary` is the number of word ids, padding (0) included; `words` the most of them in a prompt.
    """

    def __init__(
        self, tokenizer: Tokenizer, vocabulary: int, words: int, width: int = 192, depth: int = 8, heads: int = 4
    ):
        super().__init__()
        self.scales, self.bitwise = tokenizer.scales, tokenizer.bitwise
        self.classes = 2 if self.bitwise else tokenizer.quantizer.codes
        self.bits = tokenizer.channels if self.bitwise else 1
        self.words, self.width, self.depth, self.heads = words, width, depth, heads
        self.word = nn.Embedding(vocabulary, width)
        self.word_place = nn.Parameter(0.02 * torch.randn(words, width))
        self.start = nn.Parameter(0.02 * torch.randn(width))
        self.input = nn.Linear(tokenizer.channels, width)
        self.place = nn.Parameter(0.1 * centres(self.scales, width))  # (130, W)
        self.level = nn.Parameter(0.02 * torch.randn(len(self.scales), width))
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, bias=False)
        self.head = nn.Linear(width, self.bits * self.classes)
        nn.init.normal_(self.word.weight, std=0.02)
        for layer in self.layers:  # a residual stream that starts as the identity
            nn.init.zeros_(layer.attention.out.weight)
            nn.init.zeros_(layer.down.weight)
        nn.init.normal_(self.head.weight, std=0.002)
        self.lengths = [words, *(n * n for n in self.scales)]  # of the blocks: the text, then scale by scale
        self.register_buffer("mask", block_causal_mask(self.lengths), persistent=False)

    def _logits(self, x):
        """Hidden states (B, N, W) to logits (B, N, V), or (B, N, bits, 2)."""
        logits = self.head(self.norm(x))
        return logits.unflatten(2, (self.bits, 2)) if self.bitwise else logits

    def _embed_text(self, ids):
        """Word ids (B, any length) to (B, T, W): padding is added or cut; ValueError where that would cut a word."""
        if ids.shape[1] > self.words and ids[:, self.words :].any():
            longest = int((ids > 0).sum(1).max())
            raise ValueError(f"a prompt has {longest} words; this model reads at most {self.words}: shorten it")
        return self.word(F.pad(ids, (0, self.words - ids.shape[1]))) + self.word_place

    def _embed_scale(self, k, shrunk, rows):
        """Inputs of scale k: (B, n_k^2, W); `shrunk` (B, n_k^2, C) is the sum so far, unused at scale 0."""
        before = sum(n * n for n in self.scales[:k])
        place = self.place[before : before + self.scales[k] ** 2] + self.level[k]
        x = self.start.expand(rows, 1, -1) if k == 0 else self.input(shrunk)
        return x + place

    def forward(self, ids: torch.Tensor, inputs: list[torch.Tensor]) -> torch.Tensor:
        """All logits in one block-causal pass: (B, 130, V) or (B, 130, bits, 2).

        ids (B, T) are word ids; inputs[k - 1] (B, n_k^2, C) is the sum of the scales before k, shrunk to scale k.
        """
        shrunk = [None, *inputs]
        image = [self._embed_scale(k, shrunk[k], len(ids)) for k in range(len(self.scales))]
        x = torch.cat([self._embed_text(ids), *image], 1)
        for layer in self.layers:
            x, _ = layer(x, self.mask)
        return self._logits(x[:, self.words :])

    def encode_text(self, ids: torch.Tensor) -> torch.Tensor:
        """Keys and values of the text prefix: (depth, 2, B, H, T, D)."""
        return self._run(self._embed_text(ids), [])[1]

    def step(self, k: int, shrunk: torch.Tensor | None, past: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """One pass of scale k; `past` has keys and values of the text and of every scale before.

        Each is (depth, 2, B, H, M, D).  Returns logits (B, n_k^2, V) and this scale's keys and values.
        """
        x, kv = self._run(self._embed_scale(k, shrunk, past[0].shape[2]), past)
        return self._logits(x), kv

    def _run(self, x, past):
        new = []
        for i, layer in enumerate(self.layers):
            x, kv = layer(x, past=[part[i] for part in past])
            new.append(torch.stack(kv))
        return x, torch.stack(new)

    def pass_flops(self, k: int | None) -> int:
        """Floating-point operations of one row's pass of scale k, or of the text for None.

        A multiply-add counts as two, as torch's FLOP counter has it; normalisations and sums are left out.
        """
        block = 0 if k is None else k + 1
        new, past = self.lengths[block], sum(self.lengths[:block])  # positions, and those cached before them
        linear = 2 * new * 12 * self.width**2 * self.depth
        attention = 4 * new * (past + new) * self.width * self.depth
        inputs = self.input.in_features if k else 0  # scale 0 starts from a learned vector
        ends = 0 if k is None else 2 * new * self.width * (self.head.out_features + inputs)
        return linear + attention + ends

"""What the transformers of VAR and Infinity share; notable here:

- keys and values are kept **per scale**, each with a row index, so that a search forks a prefix without copying it;
- the guidance branches (conditional, unconditional) are an axis of their own: `G` is 2 with guidance, 1 without;
- the residual stream, norms and cosine similarities stay in float32 whatever the weights' precision, since that is
  where half precision overflows or loses digits; only the matrix products run in the weights' precision.

Shapes: G guidance branches, R rows, n tokens of this scale, C channels, H heads of D channels, P distinct prompts.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Scale(NamedTuple):
    """Keys and values of one earlier scale, and which of their rows each row of this pass descends from."""

    kv: Tensor  # (layers, 2, G, P, H, n, D): keys, then values
    rows: Tensor | None = None  # (R,) integers below P; None: row i descends from row i


class Step(NamedTuple):
    """One forward pass: float32 logits before guidance and temperature, and this scale's keys and values."""

    conditional: Tensor  # (R, n, V) for VAR, (R, n, bits, 2) for Infinity
    unconditional: Tensor | None  # the same shape; None if the condition was encoded without guidance
    kv: Tensor | None  # (layers, 2, G, R, H, n, D), or None if the pass was not to keep them


def branch_rows(tensor: Tensor, rows: Tensor | None) -> Tensor:
    """Picks rows from a tensor of shape (G, P, ...): (G, R, ...)."""
    return tensor if rows is None else tensor.index_select(1, rows)


def check_past(past: list[Scale], scale: int) -> None:
    """Raises ValueError unless `past` holds one entry for each of the scales 0 .. scale-1."""
    if len(past) != scale:
        raise ValueError(f"scale {scale} attends to {scale} earlier scales, but `past` holds {len(past)}")


def modulated_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Adaptive layer norm: (1 + scale) * norm(x) + shift, all float32; scale and shift are (G, R, 1, C)."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Rotates neighbouring channel pairs of x (..., n, D) by `angles` (n, D/2): rotary position embedding."""
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((first * cos - second * sin, first * sin + second * cos), dim=-1).flatten(-2)


class CosineAttention(nn.Module):
    """Self-attention on unit-length queries and keys, with a learned temperature per head and no key bias."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.scale_mul_1H11 = nn.Parameter(torch.full((1, heads, 1, 1), math.log(4.0)))
        self.mat_qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(channels))
        self.v_bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("zero_k_bias", torch.zeros(channels))
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, past: list[Scale], layer: int, angles: Tensor | None = None):
        """x (G, R, n, C) -> the attended (G, R, n, C), and this scale's keys and values, each (G, R, H, n, D)."""
        bias = torch.cat((self.q_bias, self.zero_k_bias, self.v_bias))
        q, k, v = F.linear(x, self.mat_qkv.weight, bias).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0)
        q, k, v = (part.transpose(-3, -2) for part in (q, k, v))  # (G, R, H, n, D)
        q, k = F.normalize(q.float(), dim=-1), F.normalize(k.float(), dim=-1)
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        q = q * self.scale_mul_1H11.float().clamp(max=math.log(100.0)).exp()
        q, k = q.to(v.dtype), k.to(v.dtype)
        # The forks' rows are gathered here, one layer at a time: nothing of an earlier scale is copied to stay.
        keys = torch.cat([*(branch_rows(kv[layer, 0], rows) for kv, rows in past), k], dim=-2)
        values = torch.cat([*(branch_rows(kv[layer, 1], rows) for kv, rows in past), v], dim=-2)
        out = F.scaled_dot_product_attention(q.flatten(0, 1), keys.flatten(0, 1), values.flatten(0, 1), scale=1.0)
        out = out.transpose(1, 2).flatten(2).unflatten(0, x.shape[:2])  # (G, R, n, C)
        return self.proj(out), k, v


class FeedForward(nn.Module):
    """Two linear layers around a GELU (in its tanh form)."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class AdaptiveLinear(nn.Sequential):
    """SiLU and a linear layer that turns the condition (G, P, C) into `parts` vectors: (G, P, parts, C), float32."""

    def __init__(self, channels: int, parts: int):
        super().__init__(nn.SiLU(), nn.Linear(channels, parts * channels))
        self.parts = parts

    def forward(self, condition: Tensor) -> Tensor:
        return super().forward(condition.to(self[1].weight.dtype)).float().unflatten(-1, (self.parts, -1))


class AdaptiveHeadNorm(nn.Module):
    """The adaptive norm before the output layer."""

    def __init__(self, channels: int):
        super().__init__()
        self.ada_lin = AdaptiveLinear(channels, 2)

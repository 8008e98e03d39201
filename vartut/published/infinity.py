"""Infinity (Han et al., arXiv 2412.04431): text-conditioned next-scale prediction of bits, and its bitwise tokenizer.

Written from the paper, and read against the published checkpoints of github.com/FoundationVision/Infinity (MIT
licence).  What one would not guess:

- a token is `bits` independent binary choices; its code is the corner of a cube, (2 bit - 1) / sqrt(bits);
- encoding goes down by **area**, but generation goes down by **linear** interpolation; using area there fails silently;
- guidance has the same weight at every scale, and the temperature divides the guided logits;
- rotary positions are laid out on the grid of the 1024-pixel model, 64 x 64, whatever the picture's size.
"""

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import (
    AdaptiveHeadNorm,
    AdaptiveLinear,
    CosineAttention,
    FeedForward,
    Scale,
    Step,
    branch_rows,
    check_past,
    modulated_norm,
)
from .vqvae import Decoder, Encoder

SCALES_1M = (1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64)  # side of the token map at each scale, for 1024 pixels
SCALES_256 = SCALES_1M[:7]  # for 256 pixels


class BitTokenizer(nn.Module):
    """Images to maps of bits of growing size, and any first k of them back to an image.

    The default sizes are those of `infinity_vae_d16.pth`; `infinity_vae_d32reg.pth` has 32 bits.
    """

    def __init__(
        self,
        bits: int = 16,
        base: int = 128,  # channels of the convolutions at full resolution
        multipliers: tuple[int, ...] = (1, 2, 4, 4, 4),
        scales: tuple[int, ...] = SCALES_256,
    ):
        super().__init__()
        self.scales, self.bits = tuple(scales), bits
        self.encoder = Encoder(bits, base, multipliers, attention=False)
        self.decoder = Decoder(bits, base, multipliers, attention=False)
        # The checkpoint holds the value of each bit in an integer code, twice; no one needs it, since bits stay bits.
        self.quantizer, self.quantize = nn.Module(), nn.Module()
        for module in (self.quantizer, self.quantize):
            module.lfq = nn.Module()
            module.lfq.register_buffer("mask", 2 ** torch.arange(bits - 1, -1, -1))

    @staticmethod
    def rename(name: str) -> str:
        """The name here of a parameter of the checkpoint, which wraps each convolution and norm in one more module."""
        name = re.sub(r"\b(conv|conv1|conv2|conv_in|conv_out|nin_shortcut)\.conv\.(weight|bias)$", r"\1.\2", name)
        return re.sub(r"\b(norm1|norm2|norm_out)\.norm\.(weight|bias)$", r"\1.\2", name)

    def empty(self, rows: int) -> Tensor:
        """The latent before any scale is drawn: zeros (rows, bits, S, S), float32."""
        shape = (rows, self.bits, self.scales[-1], self.scales[-1])
        return self.decoder.conv_in.bias.new_zeros(shape, dtype=torch.float32)

    @torch.no_grad()
    def add(self, k: int, latent: Tensor, tokens: Tensor) -> Tensor:
        """The latent (R, bits, S, S) with scale k's bits (R, n*n, bits), each 0 or 1, added to it."""
        size, full = self.scales[k], self.scales[-1]
        codes = (2 * tokens.float() - 1) / self.bits**0.5
        codes = codes.transpose(1, 2).unflatten(2, (size, size))  # (R, bits, n, n)
        if size != full:
            codes = F.interpolate(codes, size=(full, full), mode="bilinear")
        return latent + codes

    @torch.no_grad()
    def decode(self, latent: Tensor, grid: int | None = None) -> Tensor:
        """The picture of a latent, finished or not: (R, 3, H, W) in [0, 1].

        With `grid` below S the latent is averaged down first and the picture has 16 * grid pixels a side: a preview at
        a fraction (grid / S)^2 of the cost, and a rougher one than shrinking the full picture.
        """
        if grid is not None:
            latent = F.interpolate(latent, size=(grid, grid), mode="area")
        images = self.decoder(latent.to(self.decoder.conv_in.weight.dtype))
        return images.float().clamp(-1, 1) * 0.5 + 0.5

    @torch.no_grad()
    def encode(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, 16S, 16S) in [0, 1] to the bits of every scale: a list of integer tensors (B, n*n, bits)."""
        return self.quantized(self.encoder((images * 2 - 1).to(self.encoder.conv_in.weight.dtype)).float())

    def quantized(self, latent: Tensor) -> list[Tensor]:
        """The bits of every scale of an encoder output (B, bits, S, S)."""
        done, tokens = torch.zeros_like(latent), []
        for k, size in enumerate(self.scales):
            rest = latent - done
            if size != self.scales[-1]:
                rest = F.interpolate(rest, size=(size, size), mode="area")
            tokens.append((rest > 0).long().flatten(2).transpose(1, 2))  # (B, n*n, bits)
            done = self.add(k, done, tokens[-1])
        return tokens


@dataclass(frozen=True)
class TextCondition:
    """What the transformer needs to know of P prompts of up to L text features; G is 2 with guidance, else 1."""

    start: Tensor  # (G, P, C) the first scale's input
    blocks: Tensor  # (layers, G, P, 6, C) gates, scales and shifts of every block, float32
    head: Tensor  # (G, P, 2, C) scale and shift before the output layer, float32
    text: Tensor  # (layers, 2, G, P, H, L, D) keys and values of the text for every block
    mask: Tensor | None  # (P, L) true where there is text; None if all prompts are equally long


class TextAttention(nn.Module):
    """Cross-attention to the text; with `pool`, one learned query instead of the image's."""

    def __init__(self, channels: int, text_channels: int, heads: int, pool: bool = False):
        super().__init__()
        self.heads = heads
        if pool:
            self.mat_q = nn.Parameter(torch.zeros(1, heads, channels // heads))
        else:
            self.mat_q = nn.Linear(channels, channels)
        self.mat_kv = nn.Linear(text_channels, 2 * channels, bias=False)
        self.v_bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("zero_k_bias", torch.zeros(channels))
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, kv: Tensor, mask: Tensor | None) -> Tensor:
        """x (G, R, n, C), kv (2, G, R, H, L, D), mask (R, L) -> (G, R, n, C)."""
        q = self.mat_q(x).unflatten(-1, (self.heads, -1)).transpose(-3, -2)  # (G, R, H, n, D)
        return self.attend(q, kv, mask)

    def keys_values(self, text: Tensor) -> Tensor:
        """Text (G, P, L, C_text) -> its keys and values, (2, G, P, H, L, D)."""
        kv = F.linear(text, self.mat_kv.weight, torch.cat((self.zero_k_bias, self.v_bias)))
        return kv.unflatten(-1, (2, self.heads, -1)).movedim(-3, 0).transpose(-3, -2)

    def attend(self, q: Tensor, kv: Tensor, mask: Tensor | None) -> Tensor:
        """Queries (G, R, H, n, D) -> (G, R, n, C)."""
        if mask is not None:
            mask = mask[:, None, None].repeat(len(q), 1, 1, 1)  # (G R, 1, 1, L)
        out = F.scaled_dot_product_attention(q.flatten(0, 1), kv[0].flatten(0, 1), kv[1].flatten(0, 1), attn_mask=mask)
        return self.proj(out.transpose(1, 2).flatten(2).unflatten(0, q.shape[:2]))


class TextPool(nn.Module):
    """One vector for a whole prompt: a learned query attends to its features."""

    def __init__(self, channels: int, text_channels: int):
        super().__init__()
        self.ca = TextAttention(channels, text_channels, text_channels // 128, pool=True)

    def forward(self, text: Tensor, mask: Tensor | None) -> Tensor:
        """Text (G, P, L, C_text), mask (P, L) -> (G, P, C)."""
        query = self.ca.mat_q[:, :, None].expand(*text.shape[:2], -1, -1, -1)  # (G, P, H, 1, D)
        return self.ca.attend(query, self.ca.keys_values(text), mask).squeeze(2)


class InfinityBlock(nn.Module):
    """Self-attention, attention to the text, feed-forward."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.ada_gss = nn.Parameter(torch.zeros(1, 1, 6, channels))
        self.sa = CosineAttention(channels, heads)
        self.ca = TextAttention(channels, channels, heads)
        self.ffn = FeedForward(channels, round(4 * channels / 256) * 256)
        self.ca_norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x, modulation, text, mask, past: list[Scale], layer: int, angles):
        """x (G, R, n, C) float32; modulation (G, R, 6, C); text (2, G, R, H, L, D) and mask (R, L) or None.

        Returns x, and the keys and values of this scale, each (G, R, H, n, D).
        """
        dtype = self.ffn.fc1.weight.dtype
        gate1, gate2, scale1, scale2, shift1, shift2 = modulation.unsqueeze(2).unbind(3)  # each (G, R, 1, C)
        out, key, value = self.sa(modulated_norm(x, scale1, shift1).to(dtype), past, layer, angles)
        x = x + gate1 * out
        normed = F.layer_norm(x, x.shape[-1:], self.ca_norm.weight.float(), self.ca_norm.bias.float(), eps=1e-6)
        x = x + self.ca(normed.to(dtype), text, mask)
        return x + gate2 * self.ffn(modulated_norm(x, scale2, shift2).to(dtype)), key, value


class Infinity(nn.Module):
    """The transformer.  The default sizes are those of `infinity_125M_256x256.pth`; see `infinity_2b`."""

    def __init__(
        self,
        depth: int = 12,
        channels: int = 768,
        heads: int = 8,
        bits: int = 16,
        chunks: int = 4,  # the checkpoint files its blocks in this many groups
        scales: tuple[int, ...] = SCALES_256,
        text_channels: int = 2048,
        text_length: int = 512,  # longest prompt, in text features
    ):
        super().__init__()
        self.scales, self.bits, self.text_channels = tuple(scales), bits, text_channels
        self.cfg_uncond = nn.Parameter(torch.zeros(text_length, text_channels))
        self.pos_start = nn.Parameter(torch.zeros(1, 1, channels))
        self.text_norm = nn.RMSNorm(text_channels, eps=1e-6)
        self.text_proj_for_sos = TextPool(channels, text_channels)
        self.text_proj_for_ca = nn.Sequential(
            nn.Linear(text_channels, channels), nn.GELU(approximate="tanh"), nn.Linear(channels, channels)
        )
        self.lvl_embed = nn.Embedding(15, channels)
        self.word_embed = nn.Linear(bits, channels)
        self.shared_ada_lin = AdaptiveLinear(channels, 6)
        self.head_nm = AdaptiveHeadNorm(channels)
        self.head = nn.Linear(channels, 2 * bits)
        self.block_chunks = nn.ModuleList()
        for _ in range(chunks):
            chunk = nn.Module()
            chunk.module = nn.ModuleList(InfinityBlock(channels, heads) for _ in range(depth // chunks))
            self.block_chunks.append(chunk)
        self.head_channels = channels // heads

    @property
    def blocks(self) -> list[InfinityBlock]:
        """All blocks in order."""
        return [block for chunk in self.block_chunks for block in chunk.module]

    @torch.no_grad()
    def encode(self, features: list[Tensor], guidance: bool = True) -> TextCondition:
        """The condition of P prompts, each given by its text features (length, C_text) from flan-t5-xl's encoder.

        With guidance the "no prompt" beside it is the checkpoint's own, cut to the prompt's length.
        """
        if not features:
            raise ValueError("encode needs the text features of at least one prompt")
        for text in features:
            if text.ndim != 2 or text.shape[1] != self.text_channels or not 0 < len(text) <= len(self.cfg_uncond):
                wanted = f"(1 to {len(self.cfg_uncond)}, {self.text_channels})"
                raise ValueError(f"text features must have the shape {wanted}, not {tuple(text.shape)}")
        weight = self.text_norm.weight
        lengths = [len(text) for text in features]
        longest, mask = max(lengths), None
        if min(lengths) < longest:  # without a mask attention is faster
            mask = torch.arange(longest, device=weight.device) < torch.tensor(lengths, device=weight.device)[:, None]
        text = nn.utils.rnn.pad_sequence([t.to(weight.device, torch.float32) for t in features], batch_first=True)
        branches = [text, self.cfg_uncond[:longest].float().expand_as(text)] if guidance else [text]
        text = F.rms_norm(torch.stack(branches), weight.shape, weight.float(), eps=1e-6)  # (G, P, L, C_text)
        text = text.to(weight.dtype)
        pooled = self.text_proj_for_sos(text, mask)  # (G, P, C)
        common = self.shared_ada_lin(pooled)
        blocks = [common + block.ada_gss[0].float() for block in self.blocks]
        text = self.text_proj_for_ca(text)
        kv = torch.stack([block.ca.keys_values(text) for block in self.blocks])
        return TextCondition(pooled, torch.stack(blocks), self.head_nm.ada_lin(pooled), kv, mask)

    @torch.no_grad()
    def step(
        self,
        k: int,
        latent: Tensor | None,
        condition: TextCondition,
        prompt: Tensor | None = None,
        past: list[Scale] | tuple = (),
        keep: bool = True,
    ) -> Step:
        """One forward pass: the logits of scale k for R rows, both branches at once.

        latent (R, bits, S, S) is the sum of the scales drawn so far (not looked at when k is 0), `prompt` (R,) says
        which of the condition's P prompts each row has (None: row i has prompt i), and `past` holds the k earlier
        scales.  The logits are (R, n*n, bits, 2).  The last scale's keys and values are needed by no one: `keep=False`.
        """
        check_past(past, k)
        x = self._inputs(k, latent, branch_rows(condition.start, prompt))  # (G, R, n*n, C)
        mask = condition.mask if prompt is None or condition.mask is None else condition.mask[prompt]
        angles = rotary_angles(self.scales[k], self.head_channels).to(x.device)
        kept = []
        for layer, block in enumerate(self.blocks):
            modulation = branch_rows(condition.blocks[layer], prompt)
            text = torch.stack([branch_rows(part, prompt) for part in condition.text[layer]])
            x, key, value = block(x, modulation, text, mask, past, layer, angles)
            if keep:
                kept.append(torch.stack((key, value)))
            del key, value  # they would live on through the next block
        scale, shift = branch_rows(condition.head, prompt).unsqueeze(2).unbind(3)
        logits = self.head(modulated_norm(x, scale, shift).to(self.head.weight.dtype)).float()
        logits = logits.unflatten(-1, (self.bits, 2))
        return Step(logits[0], logits[1] if len(logits) > 1 else None, torch.stack(kept) if keep else None)

    def _inputs(self, k: int, latent: Tensor | None, start: Tensor) -> Tensor:
        """The transformer's input at scale k, float32 (G, R, n*n, C): same in both branches except at the first."""
        level = self.lvl_embed.weight[k]
        if k == 0:
            return (start.unsqueeze(2) + self.pos_start + level).float()
        size = self.scales[k]
        seen = F.interpolate(latent, size=(size, size), mode="bilinear") if size != self.scales[-1] else latent
        tokens = self.word_embed(seen.flatten(2).transpose(1, 2).to(self.word_embed.weight.dtype))
        return (tokens + level).float().expand(len(start), -1, -1, -1)

    def guide(self, k: int, conditional: Tensor, unconditional: Tensor, guidance: float) -> Tensor:
        """Classifier-free guidance as published: g conditional + (1 - g) unconditional, the same at every scale k."""
        return guidance * conditional + (1 - guidance) * unconditional


def rotary_angles(size: int, channels: int, full: int = SCALES_1M[-1]) -> Tensor:
    """Angles (size*size, channels/2) of a size x size token map stretched over the grid of the largest map.

    The first half of the angles turns with the row, the second with the column; frequencies fall from 1 to 1/10000.
    """
    half = channels // 2
    frequency = 1.0 / 10000.0 ** (torch.arange(0, half, 2, dtype=torch.float32) / half)
    place = (torch.arange(size) * (full / size)).round()
    turn = torch.outer(place, frequency)  # (size, channels/4)
    rows = turn[:, None].expand(-1, size, -1)
    columns = turn[None].expand(size, -1, -1)
    return torch.cat((rows, columns), dim=-1).flatten(0, 1)


def infinity_2b() -> tuple[BitTokenizer, Infinity]:
    """Tokenizer and transformer in the sizes of `infinity_vae_d32reg.pth` and `infinity_2b_reg.pth`, 1024 pixels."""
    model = Infinity(depth=32, channels=2048, heads=16, bits=32, chunks=8, scales=SCALES_1M)
    return BitTokenizer(bits=32, scales=SCALES_1M), model

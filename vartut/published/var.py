"""VAR (Tian et al., arXiv 2404.02905): class-conditional next-scale prediction, and its residual tokenizer.

Written from the paper, and read against the published checkpoints of github.com/FoundationVision/VAR (MIT licence).
What one would not guess:

- the tokenizer goes down by **area** and up by **bicubic** interpolation, then blends with a convolution `phi` that
  neighbouring scales share;
- the transformer's input at scale k is the whole sum so far, seen at scale k's resolution, not the last map;
- guidance grows from nothing at the first scale to its full weight at the last.
"""

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

SCALES = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)  # side of the token map at each scale, for 256 pixels
# Which of the four phi blends scale k.  The rule is "the nearest of four evenly spaced points", but for two of the ten
# scales that is a tie which float64 rounding decides, so the published choice is written down.
PHI_OF_SCALE = (0, 0, 1, 1, 1, 2, 2, 3, 3, 3)


class Phi(nn.Conv2d):
    """phi(h) = (h + conv(h)) / 2."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        return 0.5 * h + 0.5 * super().forward(h)


class Quantizer(nn.Module):
    """The codebook, the blending convolutions, and a count of code usage that training left behind."""

    def __init__(self, codes: int, channels: int, scales: int, phis: int):
        super().__init__()
        self.register_buffer("ema_vocab_hit_SV", torch.zeros(scales, codes))
        self.quant_resi = nn.Module()
        self.quant_resi.qresi_ls = nn.ModuleList(Phi(channels) for _ in range(phis))
        self.embedding = nn.Embedding(codes, channels)


class VARTokenizer(nn.Module):
    """Images to token maps of growing size, and any first k of them back to an image.

    The default sizes are those of `vae_ch160v4096z32.pth` (109 M parameters).
    """

    def __init__(
        self,
        codes: int = 4096,  # size of the codebook
        channels: int = 32,  # of one latent vector
        base: int = 160,  # channels of the convolutions at full resolution
        scales: tuple[int, ...] = SCALES,
        phi_of_scale: tuple[int, ...] = PHI_OF_SCALE,
    ):
        super().__init__()
        if len(phi_of_scale) != len(scales):
            raise ValueError(f"phi_of_scale names a blend for {len(phi_of_scale)} scales, but there are {len(scales)}")
        self.scales, self.channels, self.phi_of_scale = tuple(scales), channels, tuple(phi_of_scale)
        self.encoder = Encoder(channels, base, (1, 1, 2, 2, 4), attention=True)
        self.decoder = Decoder(channels, base, (1, 1, 2, 2, 4), attention=True)
        self.quantize = Quantizer(codes, channels, len(scales), 1 + max(phi_of_scale))
        self.quant_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.post_quant_conv = nn.Conv2d(channels, channels, 3, padding=1)

    def empty(self, rows: int) -> Tensor:
        """The latent before any scale is drawn: zeros (rows, C, S, S), float32."""
        size = self.scales[-1]
        return self.post_quant_conv.bias.new_zeros((rows, self.channels, size, size), dtype=torch.float32)

    @torch.no_grad()
    def add(self, k: int, latent: Tensor, tokens: Tensor) -> Tensor:
        """The latent (R, C, S, S) with scale k's tokens (R, n*n), integers below the number of codes, added to it."""
        size, full = self.scales[k], self.scales[-1]
        h = self.quantize.embedding(tokens).transpose(1, 2).unflatten(2, (size, size))  # (R, C, n, n)
        if size != full:
            h = F.interpolate(h.float(), size=(full, full), mode="bicubic")
        phi = self.quantize.quant_resi.qresi_ls[self.phi_of_scale[k]]
        return latent + phi(h.to(phi.weight.dtype)).float()

    @torch.no_grad()
    def decode(self, latent: Tensor, grid: int | None = None) -> Tensor:
        """The picture of a latent, finished or not: (R, 3, H, W) in [0, 1].

        With `grid` below S the latent is averaged down first and the picture has 16 * grid pixels a side: a preview at
        a fraction (grid / S)^2 of the cost, and a rougher one than shrinking the full picture.
        """
        if grid is not None:
            latent = F.interpolate(latent, size=(grid, grid), mode="area")
        images = self.decoder(self.post_quant_conv(latent.to(self.post_quant_conv.weight.dtype)))
        return images.float().clamp(-1, 1) * 0.5 + 0.5

    @torch.no_grad()
    def encode(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, 16S, 16S) in [0, 1] to the tokens of every scale: a list of integer tensors (B, n*n)."""
        latent = self.quant_conv(self.encoder((images * 2 - 1).to(self.quant_conv.weight.dtype))).float()
        done, tokens = self.empty(len(images)), []
        codebook = self.quantize.embedding.weight.float()
        for k, size in enumerate(self.scales):
            rest = latent - done
            if size != self.scales[-1]:
                rest = F.interpolate(rest, size=(size, size), mode="area")
            rest = rest.flatten(2).transpose(1, 2)  # (B, n*n, C)
            # |rest - code|^2 without the term that all codes share
            tokens.append((codebook.square().sum(1) - 2 * rest @ codebook.T).argmin(-1))
            done = self.add(k, done, tokens[-1])
        return tokens


@dataclass(frozen=True)
class ClassCondition:
    """What the transformer needs to know of P class labels; G is 2 with guidance, else 1."""

    start: Tensor  # (G, P, C) the first scale's input
    blocks: Tensor  # (layers, G, P, 6, C) gates, scales and shifts of every block, float32
    head: Tensor  # (G, P, 2, C) scale and shift before the output layer, float32


class VARBlock(nn.Module):
    """Self-attention and feed-forward, each between an adaptive norm and a gate."""

    def __init__(self, channels: int, heads: int, shared: bool):
        super().__init__()
        self.attn = CosineAttention(channels, heads)
        self.ffn = FeedForward(channels, 4 * channels)
        if shared:  # one linear layer for all blocks, and an offset for each
            self.ada_gss = nn.Parameter(torch.zeros(1, 1, 6, channels))
        else:
            self.ada_lin = AdaptiveLinear(channels, 6)

    def forward(self, x: Tensor, modulation: Tensor, past: list[Scale], layer: int):
        """x (G, R, n, C) float32; modulation (G, R, 6, C).  Returns x, and keys and values (G, R, H, n, D)."""
        dtype = self.ffn.fc1.weight.dtype
        gate1, gate2, scale1, scale2, shift1, shift2 = modulation.unsqueeze(2).unbind(3)  # each (G, R, 1, C)
        out, key, value = self.attn(modulated_norm(x, scale1, shift1).to(dtype), past, layer)
        x = x + gate1 * out
        return x + gate2 * self.ffn(modulated_norm(x, scale2, shift2).to(dtype)), key, value


class VAR(nn.Module):
    """The transformer.  `depth` sets all sizes, as published: 64 * depth channels in `depth` heads (16: 310 M)."""

    def __init__(
        self,
        depth: int = 16,
        classes: int = 1000,
        scales: tuple[int, ...] = SCALES,
        codes: int = 4096,
        latent: int = 32,  # channels of the tokenizer's latent
        channels: int | None = None,
        heads: int | None = None,
        shared: bool = False,  # one adaptive layer for all blocks, as in the 512-pixel model
    ):
        super().__init__()
        channels, heads = channels or 64 * depth, heads or depth
        self.scales, self.classes = tuple(scales), classes
        length = sum(n * n for n in scales)
        level = torch.cat([torch.full((n * n,), k) for k, n in enumerate(scales)])  # the scale of every position
        self.pos_start = nn.Parameter(torch.zeros(1, 1, channels))
        self.pos_1LC = nn.Parameter(torch.zeros(1, length, channels))
        self.register_buffer("lvl_1L", level[None])
        # Only training needs the mask; it is here because the checkpoint has it.
        mask = torch.zeros(length, length).masked_fill(level[:, None] < level[None], -torch.inf)
        self.register_buffer("attn_bias_for_masking", mask[None, None])
        self.word_embed = nn.Linear(latent, channels)
        self.class_emb = nn.Embedding(classes + 1, channels)  # the last one is "no class"
        self.lvl_embed = nn.Embedding(len(scales), channels)
        if shared:
            self.shared_ada_lin = AdaptiveLinear(channels, 6)
        self.blocks = nn.ModuleList(VARBlock(channels, heads, shared) for _ in range(depth))
        self.head_nm = AdaptiveHeadNorm(channels)
        self.head = nn.Linear(channels, codes)

    @torch.no_grad()
    def encode(self, labels, guidance: bool = True) -> ClassCondition:
        """The condition of P class labels (integers below `classes`); with guidance, the classless one beside it."""
        labels = torch.as_tensor(labels, device=self.class_emb.weight.device)
        if labels.ndim != 1 or labels.is_floating_point() or not ((labels >= 0) & (labels < self.classes)).all():
            raise ValueError(f"labels must be a list of integers from 0 to {self.classes - 1}")
        branches = [labels, torch.full_like(labels, self.classes)] if guidance else [labels]
        classes = self.class_emb(torch.stack(branches))  # (G, P, C)
        if hasattr(self, "shared_ada_lin"):
            common = self.shared_ada_lin(classes)
            blocks = [common + block.ada_gss[0].float() for block in self.blocks]
        else:
            blocks = [block.ada_lin(classes) for block in self.blocks]
        return ClassCondition(classes, torch.stack(blocks), self.head_nm.ada_lin(classes))

    @torch.no_grad()
    def step(
        self,
        k: int,
        latent: Tensor | None,
        condition: ClassCondition,
        prompt: Tensor | None = None,
        past: list[Scale] | tuple = (),
        keep: bool = True,
    ) -> Step:
        """One forward pass: the logits of scale k for R rows, both branches at once.

        latent (R, C, S, S) is the sum of the scales drawn so far (not looked at when k is 0), `prompt` (R,) says which
        of the condition's P labels each row has (None: row i has label i), and `past` holds the k earlier scales.
        The logits are (R, n*n, codes).  The last scale's keys and values are not needed by anyone: `keep=False`.
        """
        check_past(past, k)
        x = self._inputs(k, latent, branch_rows(condition.start, prompt))  # (G, R, n*n, C)
        kept = []
        for layer, block in enumerate(self.blocks):
            x, key, value = block(x, branch_rows(condition.blocks[layer], prompt), past, layer)
            if keep:
                kept.append(torch.stack((key, value)))
            del key, value  # they would live on through the next block
        scale, shift = branch_rows(condition.head, prompt).unsqueeze(2).unbind(3)
        logits = self.head(modulated_norm(x, scale, shift).to(self.head.weight.dtype)).float()
        return Step(logits[0], logits[1] if len(logits) > 1 else None, torch.stack(kept) if keep else None)

    def _inputs(self, k: int, latent: Tensor | None, start: Tensor) -> Tensor:
        """The transformer's input at scale k, float32 (G, R, n*n, C): same in both branches except at the first."""
        size, begin = self.scales[k], sum(n * n for n in self.scales[:k])
        position = self.pos_1LC[:, begin : begin + size * size] + self.lvl_embed.weight[k]  # (1, n*n, C)
        if k == 0:
            return (start.unsqueeze(2) + self.pos_start + position).float()
        seen = F.interpolate(latent, size=(size, size), mode="area") if size != self.scales[-1] else latent
        tokens = self.word_embed(seen.flatten(2).transpose(1, 2).to(self.word_embed.weight.dtype))
        return (tokens + position).float().expand(len(start), -1, -1, -1)

    def guide(self, k: int, conditional: Tensor, unconditional: Tensor, guidance: float) -> Tensor:
        """Classifier-free guidance as published: (1 + t) conditional - t unconditional, t = guidance * k / (K - 1)."""
        t = guidance * k / (len(self.scales) - 1)
        return (1 + t) * conditional - t * unconditional

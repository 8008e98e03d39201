"""A multi-scale residual tokenizer: a picture as six small maps of tokens, coarse to fine.

The encoder makes an 8 x 8 map f of C channels.  Scale k looks at what the coarser scales have left over, shrinks it to
n_k x n_k, replaces every vector by a code, grows the codes back to 8 x 8, passes them through a small convolution phi_k
and adds the result to the sum so far (VAR, arXiv 2404.02905, algorithms 1 and 2).  So

- the sum of the first k scales is a whole picture, blurred: `preview` decodes it;
- the input of the next scale is that *sum*, shrunk to its size, and not the last map, which is only a correction.

Two quantizers stand behind one interface: `Codebook`, the nearest of V learned vectors (with an exponential moving
average, dead codes restarted from data), and `Bits`, the signs of d numbers (binary spherical quantization, arXiv
2406.07548, as in Infinity, arXiv 2412.04431).
"""

import torch
from torch import nn
from torch.nn import functional as F

from ..inputs import check_pictures

SCALES = (1, 2, 3, 4, 6, 8)  # sides of the token maps: 1 + 4 + 9 + 16 + 36 + 64 = 130 tokens


class Codebook(nn.Module):
    """V codes of C numbers; a vector becomes the nearest one by squared distance.

    The codes are no parameters: each moves to the running mean of the vectors that chose it.  All start at vectors of
    a batch.  A code that nobody chooses is restarted at a vector of the present one, or the codebook would collapse.
    """

    def __init__(self, codes: int, channels: int, decay: float = 0.99):
        super().__init__()
        self.codes, self.channels, self.decay = codes, channels, decay
        self.register_buffer("codebook", torch.zeros(codes, channels))
        self.register_buffer("count", torch.zeros(codes))  # running number of choices a batch; 0: not started yet

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Tokens (B, N) of vectors z (B, N, C)."""
        distance = self.codebook.square().sum(1) - 2 * z.float() @ self.codebook.T  # + |z|^2, the same for all codes
        return distance.argmin(-1)

    def lookup(self, tokens: torch.Tensor) -> torch.Tensor:
        """Codes (B, N, C) of tokens (B, N)."""
        return F.embedding(tokens, self.codebook)

    @torch.no_grad()
    def learn(self, vectors: torch.Tensor, tokens: torch.Tensor, generator: torch.Generator) -> None:
        """Move the codes towards the vectors (M, C) that chose them; restart the dead."""
        chosen = F.one_hot(tokens, self.codes).to(vectors.dtype)  # (M, V)
        if not self.count.any():
            self.count.fill_(1.0)
            self.codebook.copy_(self._some(vectors, self.codes, generator))
            return
        number = chosen.sum(0)
        mean = chosen.T @ vectors / number.clamp(min=1)[:, None]
        new = (1 - self.decay) * number
        share = new / (self.decay * self.count + new).clamp(min=1e-6)  # of the batch in each code's running mean
        self.codebook.lerp_(mean, share[:, None])
        self.count.mul_(self.decay).add_(number, alpha=1 - self.decay)
        dead = self.count < 0.02 * len(vectors) / self.codes  # chosen 50 times less often than the average code
        if dead.any():
            self.codebook[dead] = self._some(vectors, int(dead.sum()), generator)
            self.count[dead] = len(vectors) / self.codes

    @staticmethod
    def _some(vectors, n, generator):
        return vectors[torch.randint(len(vectors), (n,), generator=generator, device="cpu").to(vectors.device)]


class Bits(nn.Module):
    """d bits a token: the signs of a vector, scaled to the unit sphere; 2^d codes, no codebook."""

    def __init__(self, bits: int):
        super().__init__()
        self.bits = self.channels = bits

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Bits (B, N, d) in {0, 1} of vectors z (B, N, d)."""
        return (z > 0).long()

    def lookup(self, tokens: torch.Tensor) -> torch.Tensor:
        """Codes (B, N, d) of bits: (2 b - 1) / sqrt(d)."""
        return (2 * tokens.float() - 1) / self.bits**0.5


class Block(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))): the residual block of image autoencoders."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


class Encoder(nn.Sequential):
    """Pictures (B, 3, 64, 64) to latents (B, C, 8, 8)."""

    def __init__(self, channels: int, width: int):
        super().__init__(
            nn.PixelUnshuffle(4),  # (B, 48, 16, 16)
            nn.Conv2d(48, width, 3, padding=1),
            Block(width),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),  # (B, 2 width, 8, 8)
            Block(2 * width),
            Block(2 * width),
            nn.GroupNorm(8, 2 * width),
            nn.SiLU(),
            nn.Conv2d(2 * width, channels, 1),
        )


class Decoder(nn.Sequential):
    """Latents (B, C, 8, 8) to pictures (B, 3, 64, 64), not yet clamped to [0, 1]."""

    def __init__(self, channels: int, width: int):
        super().__init__(
            nn.Conv2d(channels, 2 * width, 3, padding=1),
            Block(2 * width),
            Block(2 * width),
            nn.Conv2d(2 * width, 4 * width, 1),
            nn.PixelShuffle(2),  # (B, width, 16, 16)
            nn.Conv2d(width, width, 3, padding=1),
            Block(width),
            Block(width),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, 48, 3, padding=1),
            nn.PixelShuffle(4),  # (B, 3, 64, 64)
        )


class Tokenizer(nn.Module):
    """Encoder, multi-scale residual quantizer, decoder.

    `quantizer` is "codebook" or "bits"; `codes` is the number V of codes of the first, `channels` the length of a code
    (the number of bits of the second).  Tokens are a list of K tensors: (B, n_k^2), or (B, n_k^2, d) bits.
    """

    def __init__(self, quantizer="codebook", codes=512, channels=16, width=64, scales=SCALES):
        super().__init__()
        if quantizer not in ("codebook", "bits"):
            raise ValueError(f'unknown quantizer "{quantizer}"; known: codebook, bits')
        self.scales, self.channels, self.side = tuple(scales), channels, scales[-1]
        self.bitwise = quantizer == "bits"
        self.quantizer = Bits(channels) if self.bitwise else Codebook(codes, channels)
        self.encoder, self.decoder = Encoder(channels, width), Decoder(channels, width)
        self.phi = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in scales)
        for phi in self.phi:  # start as the identity, so that the first sums are already pictures
            nn.init.dirac_(phi.weight)
            nn.init.zeros_(phi.bias)

    @property
    def num_tokens(self) -> int:
        """Tokens of a picture, all scales together."""
        return sum(n * n for n in self.scales)

    def shrink(self, latent: torch.Tensor, k: int) -> torch.Tensor:
        """Latent (B, C, 8, 8) to the size of scale k by the mean over areas, as a sequence (B, n_k^2, C)."""
        small = latent if k == len(self.scales) - 1 else F.adaptive_avg_pool2d(latent, self.scales[k])
        return small.flatten(2).transpose(1, 2)

    def grow(self, codes: torch.Tensor, k: int) -> torch.Tensor:
        """Codes (B, n_k^2, C) of scale k to what they add to the latent, (B, C, 8, 8)."""
        n = self.scales[k]
        h = codes.transpose(1, 2).unflatten(2, (n, n))
        if n != self.side:
            h = F.interpolate(h, size=(self.side, self.side), mode="bicubic")
        return self.phi[k](h)

    def add(self, latent: torch.Tensor, tokens: torch.Tensor, k: int) -> torch.Tensor:
        """The sum of scales 0 to k, given the sum of 0 to k-1 and the tokens of scale k."""
        return latent + self.grow(self.quantizer.lookup(tokens), k)

    def empty(self, rows: int) -> torch.Tensor:
        """The sum of no scale at all: zeros (rows, C, 8, 8)."""
        return self.phi[0].weight.new_zeros(rows, self.channels, self.side, self.side)

    def quantize(self, f: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
        """Residual quantization of latents f (B, C, 8, 8): per scale its tokens, the sum, the quantized vectors."""
        latent, tokens, sums, vectors = torch.zeros_like(f), [], [], []
        for k in range(len(self.scales)):
            vectors.append(self.shrink(f - latent, k))  # (B, n_k^2, C)
            tokens.append(self.quantizer(vectors[k]))
            latent = self.add(latent, tokens[k], k)
            sums.append(latent)
        return tokens, sums, vectors

    def encode(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Tokens of pictures (B, 3, 64, 64) in [0, 1]; raises ValueError for others."""
        check_pictures(images, "the tokenizer", side=8 * self.side)
        images = images.to(self.phi[0].weight)  # they may be in half precision, or on another device
        f = self.encoder(2 * images - 1) if len(images) else self.empty(0)  # PixelUnshuffle fails on an empty batch
        return self.quantize(f)[0]

    def latent(self, tokens: list[torch.Tensor]) -> torch.Tensor:
        """The sum (B, C, 8, 8) of the scales given, any prefix of them."""
        latent = self.empty(len(tokens[0]))
        for k, t in enumerate(tokens):
            latent = self.add(latent, t, k)
        return latent

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Pictures (B, 3, 64, 64) in [0, 1] of latents (B, C, 8, 8)."""
        return (self.decoder(latent) * 0.5 + 0.5).clamp(0, 1)

    def decode_flops(self) -> int:
        """Floating-point operations of decoding one latent: its convolutions, a multiply-add counted as two."""
        side, flops = self.side, 0
        for layer in self.decoder:
            if isinstance(layer, nn.PixelShuffle):
                side *= layer.upscale_factor
            flops += sum(2 * side**2 * m.weight.numel() for m in layer.modules() if isinstance(m, nn.Conv2d))
        return flops

    def preview(self, tokens: list[torch.Tensor]) -> torch.Tensor:
        """The picture so far: decode any prefix of the scales; with all of them, the reconstruction."""
        return self.decode(self.latent(tokens))

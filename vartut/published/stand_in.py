"""Small random stand-ins for the published models, where the authors' weights are not at hand.

    sampler = stand_in("infinity-125m")

Scales, bits, settings and code are the published model's, width and depth are not, and the weights are random: its
pictures are noise.  What depends on the scales alone is the published model's own: how many pictures a search finishes,
how many NFE and tokens it takes, and how memory grows with the children.
"""

import zlib

import torch
from torch import Tensor

from ..device import device, plain_defaults
from .files import source_of
from .infinity import BitTokenizer, Infinity
from .loading import SIZES
from .sampler import SETTINGS, ClassSampler, PublishedSampler, TextSampler
from .var import VAR, VARTokenizer
from .vqvae import Decoder


class AnyText:
    """Made-up text features of any prompt: of the right shape, different for each prompt, and without meaning."""

    def __init__(self, channels: int = 2048):
        self.channels = channels

    def __getitem__(self, prompt: str) -> Tensor:
        """(words + 1, channels), float32."""
        draws = torch.Generator().manual_seed(zlib.crc32(prompt.encode()))
        return torch.randn(len(prompt.split()) + 1, self.channels, generator=draws)


@plain_defaults()
def stand_in(name: str, where: torch.device | str | None = None, seed: int = 0) -> PublishedSampler:
    """A sampler with the scales of "var-d16", "infinity-125m" or "infinity-2b", 3 M parameters and random weights.

    Raises ValueError for another name.
    """
    source_of(name)
    where = device() if where is None else torch.device(where)
    with torch.device("meta"):
        _, published = SIZES[name]()
    scales = published.scales
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "var-d16":
            tokenizer = VARTokenizer(codes=64, base=32)
            tokenizer.decoder = Decoder(32, 32, (1, 1, 2), attention=True)  # pictures of 64 pixels, not 256
            transformer = VAR(depth=2, codes=64, scales=scales, channels=64, heads=4)
            return ClassSampler(tokenizer.to(where), transformer.to(where), **SETTINGS[name])
        tokenizer = BitTokenizer(bits=published.bits, base=32, multipliers=(1, 1, 2), scales=scales)
        transformer = Infinity(depth=4, channels=64, heads=4, bits=published.bits, chunks=4, scales=scales)
        return TextSampler(tokenizer.to(where), transformer.to(where), AnyText(), **SETTINGS[name])

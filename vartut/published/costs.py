"""What the published models cost, **computed** from their sizes: FLOPs of a pass, bytes of weights and caches.

Nothing here runs a model, so it answers "does it fit?" before anything is downloaded:

    need = memory("infinity-2b", torch.bfloat16)
    need.total(rows=2) / 2**30                       GiB for two pictures at a time
    need.search(15, max_rows=2, last=5) / 2**30      GiB for a beam of w c = 15 that branches at scales 0 to 5

A multiply-add counts as two floating-point operations; norms, sums and activation functions are left out.
"""

from dataclasses import dataclass

import torch
from torch import nn

from .blocks import AdaptiveLinear
from .files import source_of
from .loading import SIZES, precision
from .vqvae import ResidualBlock, SpatialAttention

# ---- floating-point operations -------------------------------------------------------------------------------------


def pass_flops(model: nn.Module, k: int, text: int = 0) -> int:
    """FLOPs of scale k for one row and one guidance branch; `text` is the number of text features (Infinity)."""
    new, past = model.scales[k] ** 2, sum(n * n for n in model.scales[:k])
    depth, channels = len(model.blocks), model.head.in_features
    hidden = model.blocks[0].ffn.fc1.out_features
    block = 8 * channels**2 + 4 * channels * hidden + 4 * channels * (past + new)  # per token
    if hasattr(model.blocks[0], "ca"):  # query and output layers of the attention to the text, and the attention
        block += 4 * channels**2 + 4 * channels * text
    ends = 2 * channels * (model.head.out_features + model.word_embed.in_features * (k > 0))
    return new * (depth * block + ends)


def encode_flops(model: nn.Module, text: int = 0) -> int:
    """FLOPs of encoding one prompt for one guidance branch; `text` is the number of text features (Infinity)."""
    flops = sum(2 * m[1].weight.numel() for m in model.modules() if isinstance(m, AdaptiveLinear))
    if hasattr(model, "text_proj_for_ca"):
        channels, features, depth = model.head.in_features, model.text_channels, len(model.blocks)
        pool = text * 4 * features * channels + 4 * text * channels + 2 * channels**2
        flops += pool + 2 * text * (features * channels + channels**2) + depth * text * 4 * channels**2
    return flops


def decode_flops(tokenizer: nn.Module, grid: int | None = None) -> int:
    """FLOPs of decoding one latent, seen on a smaller grid where `grid` is given."""
    side, decoder = grid or tokenizer.scales[-1], tokenizer.decoder

    def at(side: int, *modules: nn.Module) -> int:
        inner = [m for module in modules for m in module.modules()]
        convolutions = sum(2 * side**2 * m.weight.numel() for m in inner if isinstance(m, nn.Conv2d))
        attention = [m for m in inner if isinstance(m, SpatialAttention)]
        return convolutions + sum(4 * side**4 * m.proj_out.in_channels for m in attention)

    first = [tokenizer.post_quant_conv] if hasattr(tokenizer, "post_quant_conv") else []
    flops = at(side, *first, decoder.conv_in, decoder.mid)
    for level in reversed(decoder.up):
        flops += at(side, level.block, level.attn)
        if hasattr(level, "upsample"):
            side *= 2
            flops += at(side, level.upsample)
    return flops + at(side, decoder.conv_out)


# ---- bytes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memory:
    """Bytes, computed.  Caches and logits are per row, with both guidance branches if there is guidance."""

    transformer: int  # its weights
    tokenizer: int  # its weights, encoder and all
    condition: int  # one prompt, encoded
    kv: tuple[int, ...]  # keys and values of each scale; 0 for the last, which nobody attends to
    logits: tuple[int, ...]  # float32, remembered with each pass
    step: int  # working memory of the last scale's pass, a row
    decode: int  # the decoder's activations at their peak, a picture
    together: int  # pictures decoded at a time

    @property
    def weights(self) -> int:
        """Both models."""
        return self.transformer + self.tokenizer

    @property
    def passes(self) -> tuple[int, ...]:
        """What the pass of each scale leaves for one row: keys, values and logits."""
        return tuple(kv + logits for kv, logits in zip(self.kv, self.logits))

    def row(self, scales: int | None = None) -> int:
        """What one row that shares nothing remembers after its first `scales` passes (None: all)."""
        return sum(self.passes[:scales])

    def working(self, rows: int) -> int:
        """The larger of the last scale's pass over `rows` rows and of decoding as many of them as go together."""
        return max(rows * self.step, min(rows, self.together) * self.decode)

    def total(self, rows: int = 1) -> int:
        """The most at one time for `rows` rows painted, then decoded, together: weights, caches, working memory."""
        return self.weights + self.condition + rows * self.row() + self.working(rows)

    def search(self, children: int, max_rows: int = 32, last: int | None = None) -> int:
        """The most at one time in a search with rollouts: weights, what is `held`, working memory."""
        rest = self.condition + self.working(min(children, max_rows))
        return self.weights + self.held(children, max_rows, last) + rest

    def one_row(self, held: int, caches: float = 1, work: float = 1) -> float:
        """The same for one row in work and so many bytes held: these `caches` times, what works `work` times."""
        return self.weights + caches * held + work * (self.condition + self.working(1))

    def held(self, children: int, max_rows: int = 32, last: int | None = None) -> int:
        """Caches and logits in a search with rollouts, at most: `children` of one prompt a step (width x candidates).

        `last` is the last scale that is branched at (None: all are).  Rollouts go through `max_rows` rows at a time,
        but what all children have computed waits for the choice: the passes up to the one after the branching.
        Random search of n pictures has last=0.  No two children share a pass here: so it is where all go through in
        one batch, which stays whole, and where candidates are 1.  Else siblings share, and less is held.
        """
        rows, scales = min(children, max_rows), len(self.kv)
        waiting = scales if last is None else min(last + 2, scales)
        return self.row(1) + children * (self.row(waiting) - self.row(1)) + rows * (self.row() - self.row(waiting))

    def beam(self, width: int, candidates: int) -> int:
        """Caches and logits in a beam with rollouts of one row at a time that branches at all scales, at most.

        Here siblings share what their parent has run, and all prefixes the root's pass (notebook 11, exercise 11.1).
        """
        most = 0
        for k in range(len(self.passes)):  # the children of scale k wait, the last of them is just rolled out
            own, later = sum(self.passes[k + 1 : k + 2]), sum(self.passes[k + 2 :])
            prefixes = self.passes[0] + width * sum(self.passes[1 : k + 1])
            most = max(most, prefixes + width * candidates * own + later)
        return most

    def most_rows(self, available: int) -> int:
        """How many rows can be painted together in so many bytes; 0 if not even one."""
        rows = 0
        while self.total(rows + 1) <= available:
            rows += 1
        return rows


def memory(model, dtype: torch.dtype | None = None, guidance: bool = True, text: int = 20, where="cpu") -> Memory:
    """The memory that a published model needs: a name, or the pair (tokenizer, transformer).

    For a name, `dtype` is the transformer's (None: what `load` takes on the device `where`).  `text` is the prompt's
    number of text features.  Raises ValueError for an unknown name.
    """
    if isinstance(model, str):
        source_of(model)
        with torch.device("meta"):
            tokenizer, transformer = SIZES[model]()
        transformer.to(dtype or precision(model, torch.device(where)))
    else:
        tokenizer, transformer = model
    branches, scales = 2 if guidance else 1, transformer.scales
    last = len(scales) - 1
    classes = transformer.head.out_features
    return Memory(
        transformer=weight_bytes(transformer),
        tokenizer=weight_bytes(tokenizer),
        condition=branches * condition_bytes(transformer, text),
        kv=tuple(branches * kv_bytes(transformer, k) if k < last else 0 for k in range(last + 1)),
        logits=tuple(branches * 4 * n * n * classes for n in scales),
        step=branches * step_bytes(transformer, last),
        decode=decode_bytes(tokenizer),
        together=decode_together(tokenizer),
    )


def weight_bytes(module: nn.Module) -> int:
    """Parameters and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def kv_bytes(model: nn.Module, k: int) -> int:
    """Keys and values of scale k, one row and branch: two vectors a token and layer."""
    numbers = 2 * len(model.blocks) * model.scales[k] ** 2 * model.head.in_features
    return numbers * model.head.weight.element_size()


def condition_bytes(model: nn.Module, text: int) -> int:
    """The encoded condition of one prompt and branch: modulations in float32, keys and values of the text."""
    channels, element = model.head.in_features, model.head.weight.element_size()
    depth = len(model.blocks)
    flat = 4 * channels * (6 * depth + 2) + element * channels
    return flat + (2 * depth * text * channels * element if hasattr(model.blocks[0], "ca") else 0)


def step_bytes(model: nn.Module, k: int) -> int:
    """Working memory of scale k's pass, one row and branch: the largest of attention, feed-forward and output layer.

    The kernel's own workspace is not in it, and attention is taken to be fused: its n x n scores never exist.
    """
    new, past = model.scales[k] ** 2, sum(n * n for n in model.scales[:k])
    channels, element = model.head.in_features, model.head.weight.element_size()
    stream, vector = 4 * channels, element * channels  # a token's: the residual stream is float32
    # Input and its norm, queries, keys and values, unit queries and keys; all keys and values of this layer side by
    # side, and those of earlier scales once more where rows are picked from them.
    attention = new * (stream + 6 * vector) + (3 * past + 2 * new) * vector
    # The stream before and after attention, what attention leaves (its output, queries, keys and values, unit keys),
    # the norm, and the hidden layer before and after its GELU.
    feed = new * (2 * stream + 6 * vector + 2 * element * model.blocks[0].ffn.fc1.out_features)
    feed += new * stream * hasattr(model.blocks[0], "ca")  # the norm before the attention to the text
    head = new * (2 * stream + (4 + element * (element < 4)) * model.head.out_features)
    return max(attention, feed, head)


def decode_bytes(tokenizer: nn.Module, grid: int | None = None) -> int:
    """The decoder's activations at their peak, one picture: what is alive at once in its widest residual block.

    The convolution kernel's own workspace is not in it.
    """
    side, peak = grid or tokenizer.scales[-1], 0
    element = tokenizer.decoder.conv_in.weight.element_size()

    def within(block: ResidualBlock, held: int) -> int:
        """Numbers a pixel: the input, what the level holds, and three or four maps of the block."""
        a, b = block.conv1.in_channels, block.conv1.out_channels
        shortcut = 0 if a == b else b
        return held + max(3 * a, a + shortcut + 3 * b)

    for level in reversed(tokenizer.decoder.up):
        first = level.block[0].conv1.in_channels
        for i, block in enumerate(level.block):
            peak = max(peak, side**2 * within(block, first if i else 0))  # the level's input stays until it is done
        if hasattr(level, "upsample"):
            width = level.upsample.conv.in_channels
            peak = max(peak, side**2 * (first + width + 8 * width))  # four times the pixels, before and after
            side *= 2
    return element * peak


def decode_together(tokenizer: nn.Module, grid: int | None = None) -> int:
    """How many pictures are decoded at a time: sixteen of 256 pixels, one of 1024."""
    side = grid or tokenizer.scales[-1]
    return max(1, 16 * 16**2 // side**2)

"""The published models speak the sampler's protocol, so that every search runs on them as it does on the tiny model.

    sampler = vartut.load("infinity-125m", text="features.safetensors")
    vartut.beam_search(sampler, "a red fox in the snow", verifier, width=3, candidates=5, branch=range(4))

Seeds, children, chunks and what is remembered are those of `vartut.models.protocol`.  Different are:

- the root of a tree holds the encoded prompts, not keys and values: both models are told of the prompt in every block;
- keys and values are kept per scale as the pass left them, with a row index per child; nothing is copied by a fork,
  and where a batch descends from several passes its rows are put side by side one layer at a time;
- guidance is each model's own: VAR's grows from none at the first scale to its full weight at the last, Infinity's is
  the same at all scales unless one weight per scale is given;
- pictures are decoded a few at a time, and `preview(state, grid=8)` decodes at a lower resolution.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ..device import device, plain_defaults
from ..inputs import one, ordered, shown, whole
from ..ledger import Ledger
from ..models.next_scale import NextScaleSampler, Pass, ScaleState
from ..models.protocol import Cell
from ..names import nearest
from ..torchvision_repair import repair
from .blocks import Scale
from .costs import decode_flops, decode_together, encode_flops, pass_flops
from .files import TEXT_REPO
from .infinity import TextCondition
from .loading import load_published
from .text import FeatureFile, encode_text
from .var import ClassCondition

# As in the authors' own scripts: VAR's demo_sample.ipynb, Infinity's scripts/infer.sh and tools/run_infinity.py.
# Infinity's top_p of .97 freezes every bit whose rarer value has a probability of .03 or less: a search that wants
# more variety takes `sampler.tuned(top_p=1)`.
SETTINGS = {
    "var-d16": {"guidance": 4.0, "top_k": 900, "top_p": 0.95},
    "infinity-125m": {"guidance": 4.0, "temperature": 0.5, "top_p": 0.97},
    "infinity-2b": {"guidance": 4.0, "temperature": 0.5, "top_p": 0.97},
}


@plain_defaults()
def load_sampler(
    name: str,
    folder: str | Path | None = None,
    where: torch.device | str | None = None,
    text: "FeatureFile | dict | str | Path | None" = None,
    **options,
) -> "PublishedSampler":
    """The sampler of "var-d16", "infinity-125m" or "infinity-2b" with the authors' weights and settings.

    `text` is a file of text features or a dict of them, for Infinity alone (None: flan-t5-xl's encoder is fetched when
    a prompt needs it); `options` are those of `load_published`: dtype, cache, lock, revision.  Raises ValueError and
    FileNotFoundError in one line.
    """
    if name == "var-d16":
        if text is not None:
            raise ValueError("var-d16 paints ImageNet classes and reads no text features: leave text= away")
    elif isinstance(text, (str, Path)):
        text = FeatureFile(text)  # before gigabytes of weights are read: a missing file should say so at once
    where = device() if where is None else torch.device(where)
    tokenizer, transformer = load_published(name, where, folder=folder, **options)
    if name == "var-d16":
        return ClassSampler(tokenizer, transformer, **SETTINGS[name])
    return TextSampler(tokenizer, transformer, text, **SETTINGS[name])


@dataclass
class Encoded(Pass):
    """The root of a tree: the distinct prompts, encoded.  A root cell's row says which of them it stands for."""

    condition: ClassCondition | TextCondition | None = None

    @property
    def dtype(self) -> torch.dtype:
        """That of the encoded prompts."""
        return self.condition.start.dtype


class PublishedSampler(NextScaleSampler):
    """Paints with a published transformer and its tokenizer, one scale a step; see the two kinds below."""

    def __init__(self, tokenizer, transformer, **settings):
        super().__init__(tokenizer, transformer, read=None, **settings)

    def begin(self, prompts, seed, ledger: Ledger | None = None) -> ScaleState:
        """States at step 0, a row per prompt; prompts and seeds are one or several, as in `NextScaleSampler.begin`."""
        prompts = [prompts] if one(prompts) else ordered("prompts, as a list", prompts=prompts)
        return super().begin([self._prompt(prompt) for prompt in prompts], seed, ledger)

    @plain_defaults()
    @torch.no_grad()
    def decode(self, latent: Tensor, grid: int | None = None) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] of latents (B, C, S, S), a few at a time; `grid` is that of `preview`."""
        together = decode_together(self.tokenizer, grid)
        return torch.cat([self.tokenizer.decode(part, grid) for part in latent.split(together)])

    def preview(self, state: ScaleState, grid: int | None = None) -> Tensor:
        """The picture so far, (B, 3, H, W) in [0, 1], through the authors' decoder; charged to the ledger.

        With `grid` from 1 to S - 1 the picture has 16 * grid pixels a side and costs about (grid / S)^2; shrunk before
        it is decoded it is rougher than a full picture made small.  Raises ValueError for another grid.
        """
        full = self.tokenizer.scales[-1]
        grid = None if grid is None or whole(least=1, most=full, grid=grid) == full else whole(grid=grid)
        flops = len(state) * decode_flops(self.tokenizer, grid)
        with state.ledger.timed("decoder", calls=len(state), flops=flops):
            return self.decode(self.latent(state), grid)

    # ---- what they are made of -------------------------------------------------------------------------------------

    @plain_defaults()
    def _encode(self, prompts: list[str], ledger: Ledger) -> Encoded:
        """Every distinct prompt once, with what stands for no prompt beside it if there is guidance."""
        asked = self._asked(prompts, ledger)
        branches = 1 if all(g == self.unguided for g in self.guidance) else 2
        flops = encode_flops(self.transformer, max(self._lengths(asked)))
        with ledger.timed("text", passes=branches * len(prompts), flops=branches * len(prompts) * flops):
            return Encoded(None, condition=self.transformer.encode(asked, guidance=branches == 2))

    def _branches(self, cells: list[Cell]) -> int:
        """As many as the prompts were encoded with."""
        return len(root(cells[0]).result.condition.start)

    def _pass_flops(self, k: int, cells: list[Cell]) -> int:
        return pass_flops(self.transformer, k, text_length(root(cells[0]).result.condition))

    @plain_defaults()
    def _pass(self, k: int, sums: Tensor, cells: list[Cell], branches: int) -> Pass:
        """The forward pass of scale k for a batch of rows: `sums` (R, C, S, S) and the cells they stand at."""
        roots, *scales = zip(*(cell.ancestors() for cell in cells))  # a column per scale done, a cell per row
        condition = roots[0].result.condition
        prompt = torch.tensor([cell.row for cell in roots], dtype=torch.long, device=sums.device)
        past = [past_scale(column) for column in scales]
        step = self.transformer.step(k, sums, condition, prompt, past, keep=k < self.num_steps - 1)
        both = [step.conditional] if step.unconditional is None else [step.conditional, step.unconditional]
        return Pass(step.kv, torch.stack(both, 1))

    @plain_defaults()
    def _grown(self, k: int, sums: Tensor, tokens: Tensor) -> Tensor:
        return self.tokenizer.add(k, sums, tokens) if len(sums) else sums

    @plain_defaults()
    def _mixed(self, k: int, conditional: Tensor, unconditional: Tensor) -> Tensor:
        return self.transformer.guide(k, conditional, unconditional, self.guidance[k])


class ClassSampler(PublishedSampler):
    """VAR: a prompt is an ImageNet class, its number (207, "207") or its name ("golden retriever").

    guidance is t in (1 + t k / (K - 1)) conditional - t k / (K - 1) unconditional at scale k of K; 0 means none.
    Verifiers read prompts, so that a search is best asked by name.
    """

    unguided = 0.0

    def _prompt(self, prompt) -> str:
        try:
            return prompt if isinstance(prompt, str) else str(whole(prompt=prompt))
        except ValueError as error:
            raise ValueError(f"a prompt is an ImageNet class, by its name or number; got {shown(prompt)}") from error

    def _asked(self, prompts: list[str], ledger: Ledger) -> list[int]:
        return [label(prompt, self.transformer.classes) for prompt in prompts]

    def _lengths(self, asked: list[int]) -> list[int]:
        return [0]

    def _classes(self) -> tuple[int, ...]:
        return (self.transformer.head.out_features,)


class TextSampler(PublishedSampler):
    """Infinity: a prompt is a text, read through flan-t5-xl's encoder or from a file of its features.

    guidance is g in g conditional + (1 - g) unconditional, one weight or one per scale; 1 means none.  temperature is
    the authors' tau.  text: a `FeatureFile`, its path, a dict of features by prompt, or None for the encoder.
    """

    def __init__(self, tokenizer, transformer, text=None, encoder: str | Path = TEXT_REPO, **settings):
        super().__init__(tokenizer, transformer, **settings)
        self.text = FeatureFile(text) if isinstance(text, (str, Path)) else text
        self.encoder, self._known = encoder, {}

    def features(self, prompts: list[str], ledger: Ledger | None = None) -> list[Tensor]:
        """Features (tokens, channels) of each prompt, remembered.

        The encoder takes long to load and is loaded for the new prompts of each call: name many at once.  Raises
        ValueError for a prompt that the file lacks, FileNotFoundError for an encoder that is not to be had.
        """
        prompts = [prompts] if one(prompts) else ordered("texts, as a list", prompts=prompts)
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        if new and self.text is None:  # the encoder's FLOPs are not counted, its seconds are
            with (ledger or Ledger()).timed("text encoder", calls=len(new)):
                self._known |= encode_text(new, self.encoder, self.transformer.pos_start.device)
        elif new:
            missing = [prompt for prompt in new if isinstance(self.text, dict) and prompt not in self.text]
            if missing:
                raise ValueError(f"no features of {missing[0]!r} among the {len(self.text)} prompts given as text=")
            self._known |= {prompt: self.text[prompt] for prompt in new}
        return [self._known[prompt] for prompt in prompts]

    def _prompt(self, prompt) -> str:
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(f"a prompt is a text; got {shown(prompt)}")
        return prompt

    def _asked(self, prompts: list[str], ledger: Ledger) -> list[Tensor]:
        return self.features(prompts, ledger)

    def _lengths(self, asked: list[Tensor]) -> list[int]:
        return [len(features) for features in asked]

    def _classes(self) -> tuple[int, ...]:
        return (self.transformer.bits, 2)


# ---- prompts -------------------------------------------------------------------------------------------------------


@cache
def class_names() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes in order, as open_clip has them."""
    repair()
    from open_clip import IMAGENET_CLASSNAMES  # slow to import, and needed for names only

    return tuple(IMAGENET_CLASSNAMES)


def label(prompt: str, classes: int = 1000) -> int:
    """The number, below `classes`, of the ImageNet class of that number or name.  Raises ValueError for others."""
    asked = prompt.strip().lower()
    if asked.isdecimal() and int(asked) < classes:
        return int(asked)
    names = [name.lower() for name in class_names()[:classes]]
    found = [i for i, name in enumerate(names) if name == asked]
    if len(found) > 1:
        raise ValueError(f'"{asked}" is the name of classes {" and ".join(map(str, found))}: give the number')
    if not found:
        raise ValueError(
            f"{prompt!r} is no ImageNet class: this model paints classes, not texts; "
            f'give a number from 0 to {classes - 1}, or a name such as "{nearest(asked, names)}"'
        )
    return found[0]


# ---- keys and values -----------------------------------------------------------------------------------------------


class Scattered:
    """Keys and values of one scale whose rows come from several passes; gathered as they are asked for, by layer."""

    def __init__(self, cells):
        self.cells = cells

    def __getitem__(self, place: tuple[int, int]) -> Tensor:
        """Layer, and 0 for keys or 1 for values -> (G, R, H, n, D)."""
        layer, part = place
        return torch.stack([cell.result.kv[layer, part, :, cell.row] for cell in self.cells], 1)


def past_scale(cells) -> Scale:
    """Keys and values of one scale for a batch of rows, a cell each: an index into one pass where that is all."""
    first = cells[0].result
    if any(cell.result is not first for cell in cells):
        return Scale(Scattered(cells))
    rows = [cell.row for cell in cells]
    if rows == list(range(first.kv.shape[3])):
        return Scale(first.kv)
    return Scale(first.kv, torch.tensor(rows, dtype=torch.long, device=first.kv.device))


def root(cell: Cell) -> Cell:
    """The cell of the encoded prompt."""
    while cell.parent is not None:
        cell = cell.parent
    return cell


def text_length(condition) -> int:
    """How many text features there are to attend to, padding included; 0 for a class."""
    return condition.text.shape[-2] if isinstance(condition, TextCondition) else 0


def held_bytes(*states: ScaleState) -> int:
    """Bytes of keys, values and logits that these states remember together; what they share is counted once."""
    passes = {}
    for state in states:
        for cell in state.cells:
            while cell is not None:
                if cell.result is not None:
                    passes[id(cell.result)] = cell.result
                cell = cell.parent
    tensors = [tensor for result in passes.values() for tensor in (result.kv, result.logits) if tensor is not None]
    return sum(tensor.nbytes for tensor in tensors)

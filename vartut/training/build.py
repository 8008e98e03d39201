"""From a name to a trained model: the recipe around it, how long it runs, what it starts from, what is written."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from .. import hub, world
from ..device import device, plain_defaults
from ..inputs import whole
from ..models.tokenizer import SCALES, Tokenizer
from ..models.transformer import NextScaleTransformer
from ..models.velocity import VelocityTransformer
from ..names import check_name
from ..paths import expanded
from ..provenance import run_record
from ..verifiers import aesthetic, clip, reward, vqa
from ..weights import load_weights, read_provenance, save_weights
from .flows import FlowRecipe
from .loop import train
from .reasoner import ReasonerRecipe
from .recipes import TokenizerRecipe, TransformerRecipe
from .rewards import GROUP, AestheticRecipe, RewardRecipe
from .samples import origin, sampled
from .verifiers import ClipRecipe

SIZES = {  # of the two transformers: one recipe, one dial
    "nano": {"width": 96, "depth": 6, "heads": 3},
    "tiny": {"width": 192, "depth": 8, "heads": 4},
}
FLOWS = {"flow-nano": "nano", "flow-tiny": "tiny"}  # the diffusion twins, and whose
SIZES |= {flow: SIZES[twin] for flow, twin in FLOWS.items()}
DENSE = 0.25  # share of dense prompts in the training of a transformer or a CLIP
SAMPLED = 2048  # prompts, sixteen pictures each, that verifiers learn from
DENSE_PICTURES = 0.5  # share of dense scenes in a tokenizer's training: the more objects, the more to learn


@dataclass(frozen=True)
class Recipe:
    """How a model of the course is trained; steps and batch are about as much as the shipped weights took."""

    steps: int
    batch: int
    start: str | None  # whose shipped weights it begins with
    build: Callable  # (settings of the model or None, seed, batch, folder) -> what `loop.train` runs, and settings


def tokenizer(settings: dict | None, seed: int, batch: int, folder: Path, quantizer: str = "codebook"):
    """The tokenizer of a codebook."""
    fresh = {"quantizer": quantizer, "codes": 512, "channels": 16, "width": 64, "scales": list(SCALES)}
    settings = settings or fresh
    return TokenizerRecipe(Tokenizer(**settings), device(), seed, batch, dense=DENSE_PICTURES), settings


def tokenizer_of_bits(settings: dict | None, seed: int, batch: int, folder: Path):
    """The tokenizer of bits."""
    return tokenizer(settings, seed, batch, folder, "bits")


def transformer(name: str, settings: dict | None, seed: int, batch: int, folder: Path):
    """A transformer, on the tokens of the tokenizer in `folder`, or else of one that came with vartut.

    Weights that it starts from know which; without any that is "tokenizer".
    """
    own = [tokens for tokens in hub.TOKENIZERS if (folder / f"{tokens}.safetensors").exists()]
    painting = {} if name in FLOWS else {"sampler": hub.PAINTING}
    settings = settings or {"tokenizer": [*own, "tokenizer"][0], **SIZES[name], **painting}
    reads, digest = hub.tokenizer_beside(settings["tokenizer"], folder, device())
    if settings.get("tokenizer_sha256", digest) != digest:
        beside = f"copy {settings['tokenizer']}.safetensors and .json from beside those weights into {folder}"
        raise ValueError(f"these weights read the tokens of another tokenizer: {beside}, or start anew")
    shape = {key: settings[key] for key in ("width", "depth", "heads")}
    network, recipe = (VelocityTransformer, FlowRecipe) if name in FLOWS else (NextScaleTransformer, TransformerRecipe)
    model = network(reads, len(world.WORDS), world.MAX_WORDS, **shape)
    return recipe(model, reads, device(), seed, batch, dense=DENSE), settings | {"tokenizer_sha256": digest}


def with_more_words(tensors: dict, model) -> dict:
    """The weights of a transformer that read shorter prompts, the places of the further words as in `model`."""
    fresh, known = model.state_dict().get("word_place"), tensors.get("word_place")
    if fresh is None or known is None or len(known) >= len(fresh):
        return tensors
    return tensors | {"word_place": torch.cat([known, fresh[len(known) :].to(known)])}


def plain_clip(settings: dict | None, seed: int, batch: int, folder: Path):
    """The verifier as CLIP was trained."""
    return ClipRecipe(False, device(), seed, batch, dense=DENSE), clip.SETTINGS


def hard_clip(settings: dict | None, seed: int, batch: int, folder: Path):
    """The verifier that rejects prompts with one false word."""
    return ClipRecipe(True, device(), seed, batch, dense=DENSE), clip.SETTINGS


def reward_model(settings: dict | None, seed: int, batch: int, folder: Path):
    """The reward model, which learns from samples: those that are not beside `folder` yet are painted first."""
    settings = settings or reward.SIZES
    if batch % GROUP:
        raise ValueError(f"batch is {batch}, and pictures are compared in groups of {GROUP}: take a multiple of it")
    samples = sampled(SAMPLED, folder.parent / "samples")
    return RewardRecipe(reward.RewardModel(**settings), hub.load_tokenizer(), samples, device(), seed, batch), settings


def reasoner(settings: dict | None, seed: int, batch: int, folder: Path, clean: bool = False):
    """The verifier that asks questions; `clean` shows it renders alone."""
    settings = settings or vqa.SIZES
    met = {} if clean else {"tokenizer": hub.load_tokenizer(), "samples": sampled(SAMPLED, folder.parent / "samples")}
    return ReasonerRecipe(vqa.build(**settings), device(), seed, batch, **met), settings


def aesthetic_head(settings: dict | None, seed: int, batch: int, folder: Path):
    """The head on the features of the shipped CLIP."""
    about = {"clip": "clip", "clip_sha256": read_provenance("clip")["sha256"]}
    return AestheticRecipe(aesthetic.head(), hub.load_verifier("clip"), device(), seed, batch), about


RECIPES = {
    "tokenizer": Recipe(steps=6000, batch=64, start=None, build=tokenizer),
    "tokenizer-bits": Recipe(steps=2400, batch=64, start=None, build=tokenizer_of_bits),
    "nano": Recipe(steps=4000, batch=64, start=None, build=partial(transformer, "nano")),
    "tiny": Recipe(steps=4000, batch=64, start=None, build=partial(transformer, "tiny")),
    "flow-nano": Recipe(steps=4000, batch=64, start=None, build=partial(transformer, "flow-nano")),
    "flow-tiny": Recipe(steps=4000, batch=64, start=None, build=partial(transformer, "flow-tiny")),
    "clip": Recipe(steps=1000, batch=128, start=None, build=plain_clip),
    "clip-hard": Recipe(steps=900, batch=128, start="clip", build=hard_clip),
    "reward": Recipe(steps=1500, batch=128, start=None, build=reward_model),
    "aesthetic": Recipe(steps=600, batch=128, start=None, build=aesthetic_head),
    "vqa": Recipe(steps=3000, batch=64, start=None, build=reasoner),
    "vqa-clean": Recipe(steps=3000, batch=64, start=None, build=partial(reasoner, clean=True)),
}


@plain_defaults()
def train_by_name(
    name: str,
    steps: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    folder: Path | str | None = None,
    from_weights: Path | str | None = None,
    ship: bool = False,
) -> list[Path]:
    """Train the model of a recipe and write its weights with their provenance; returns where they were written.

    Checkpoint, log and weights go to `folder` (None: runs/<name>); with `ship` the weights of vartut are replaced too.
    `from_weights` is the folder of weights of the same name to start from, "" for those of vartut.  `seed` None is the
    number of runs that these weights have had, so that a new run sees new pictures.  Raises ValueError for unknown
    names, numbers that make no sense and weights that do not fit, FileNotFoundError for missing ones, and what
    `loop.train` raises.
    """
    check_name(name, tuple(RECIPES), "recipe")
    recipe = RECIPES[name]
    steps = whole(least=1, steps=recipe.steps if steps is None else steps)
    batch = whole(least=1, batch=recipe.batch if batch is None else batch)
    start = recipe.start if from_weights is None else name
    old = from_weights or None  # None: the folder of the shipped weights
    before = read_provenance(start, old) if start else None
    seed = whole(least=0, seed=(len(before["runs"]) if before else 0) if seed is None else seed)
    folder = Path("runs") / name if folder is None else expanded(folder)
    torch.manual_seed(seed % 2**63)
    settings, tensors = load_weights(start, old) if start else (None, None)
    run, settings = recipe.build(settings, seed, batch, folder)
    if tensors:
        hub.filled(run.model, with_more_words(tensors, run.model), start)
    met = origin() | {"samples": str(SAMPLED)} if getattr(run, "samples", None) else {}  # pictures that it learns from
    about = {"start": before["sha256"] if before else "nothing"} | settings | met
    metrics = train(run, steps, folder, seed, about=about)
    record = run_record(run, steps, metrics, before, **met)
    return [save_weights(run.model, name, settings, record, place) for place in (folder, *([None] if ship else []))]

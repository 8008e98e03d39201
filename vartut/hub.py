"""Names to things: `load("tiny")` is a sampler that paints, `load_verifier("clip-hard")` a verifier that scores."""

from pathlib import Path

import torch
from torch import nn

from . import world
from .device import device, plain_defaults
from .models.flow import FlowSampler
from .models.next_scale import NextScaleSampler
from .models.tokenizer import Tokenizer
from .models.transformer import NextScaleTransformer
from .models.velocity import VelocityTransformer
from .names import check_name
from .published.aesthetic import load_aesthetic
from .published.clipscore import load_clip_score
from .published.imagereward import load_image_reward
from .published.llava import REPO as LLAVA
from .published.llava import load_llava
from .published.sampler import load_sampler as load_published_sampler
from .verifiers import aesthetic, vqa
from .verifiers.aesthetic import Aesthetic
from .verifiers.clip import ClipScore, WordTokenizer, fitted
from .verifiers.clip import build as build_clip
from .verifiers.clip import read as read_clip
from .verifiers.protocol import Oracle
from .verifiers.reward import RewardModel, RewardScore
from .verifiers.vqa import VqaScore
from .weights import load_weights, read_provenance, remedy, weights_folder

SAMPLERS = ("nano", "tiny")
FLOWS = ("flow-nano", "flow-tiny")  # their diffusion twins; whoever wants them trains them
PUBLISHED_SAMPLERS = ("var-d16", "infinity-125m", "infinity-2b")  # the authors' weights, see published/
TOKENIZERS = ("tokenizer", "tokenizer-bits")  # a new transformer reads its folder's first
PAINTING = {"guidance": 2.0, "temperature": [1.0, 1.0, 0.8, 0.6, 0.4, 0.2]}  # of a newly trained transformer
VERIFIERS = ("clip", "clip-hard", "reward", "aesthetic", "vqa", "oracle")
NOT_SHIPPED = ("vqa-clean",)  # the reasoner that saw renders alone; whoever wants it trains it
PUBLISHED_VERIFIERS = ("clip-score", "image-reward", "laion-aesthetic", "llava-onevision")  # the paper's


@torch.random.fork_rng(devices=[])  # models are built with random weights first, by the user's generator
@plain_defaults()
def load(
    name: str = "tiny",
    folder: Path | str | None = None,
    where: torch.device | None = None,
    dtype: torch.dtype | None = None,
    **options,
) -> NextScaleSampler | FlowSampler:
    """The sampler of that name, on `where` (the GPU if there is one), with the settings that it was evaluated with.

    `folder` holds weights that you trained; by default those that came with vartut are read.  `dtype` is the
    transformer's, float32 by default (for the published models see `vartut.published.loading.precision`); in bfloat16
    keys and values take half the memory, and near-ties fall otherwise.  For "var-d16",
    "infinity-125m" and "infinity-2b" it holds the authors' files, which are fetched if they are in neither it nor
    Hugging Face's cache; `options` are the further arguments of `vartut.published.sampler.load_sampler`, for these
    alone.  Raises ValueError for an unknown name or damaged weights, FileNotFoundError for missing ones.
    """
    check_name(name, (*SAMPLERS, *FLOWS, *PUBLISHED_SAMPLERS), "model")
    if name in PUBLISHED_SAMPLERS:
        return load_published_sampler(name, folder, where, dtype=dtype, **options)
    if options:
        raise ValueError(f'"{name}" takes no {", ".join(options)}: only published models do')
    where = device() if where is None else where
    settings, tensors = load_weights(name, folder)
    tokenizer, digest = tokenizer_beside(settings["tokenizer"], folder, where)
    if settings.get("tokenizer_sha256", digest) != digest:
        raise ValueError(f'"{name}" was trained on tokens of another "{settings["tokenizer"]}": {remedy(name)}')
    shape = {key: settings[key] for key in ("width", "depth", "heads")}
    known = {key: len(tensors.get(of, [0])) for key, of in (("vocabulary", "word.weight"), ("words", "word_place"))}
    if name in FLOWS:
        if dtype not in (None, torch.float32):
            raise ValueError(f'"{name}" paints in float32 alone: leave dtype out')
        velocity = filled(VelocityTransformer(tokenizer, **known, **shape), tensors, name)
        return FlowSampler(tokenizer, velocity.to(where), read_prompts, **settings.get("sampler", {}))
    transformer = filled(NextScaleTransformer(tokenizer, **known, **shape), tensors, name)
    return NextScaleSampler(tokenizer, transformer.to(where), read_prompts, dtype=dtype, **settings.get("sampler", {}))


def read_prompts(prompts: list[str]) -> torch.Tensor:
    """The world's word ids (B, T) of prompts; raises ValueError for one outside its grammar."""
    for prompt in prompts:
        world.parse(prompt)
    return world.token_ids(prompts)


@torch.random.fork_rng(devices=[])  # models are built with random weights first, by the user's generator
@plain_defaults()
def load_tokenizer(
    name: str = "tokenizer", folder: Path | str | None = None, where: torch.device | None = None
) -> Tokenizer:
    """The tokenizer of that name; raises like `load`.

    "tokenizer" has a codebook, "tokenizer-bits" has bits.
    """
    check_name(name, TOKENIZERS, "tokenizer")
    settings, tensors = load_weights(name, folder)
    return filled(Tokenizer(**settings), tensors, name).to(device() if where is None else where).eval()


def tokenizer_beside(name: str, folder: Path | str | None, where: torch.device) -> tuple[Tokenizer, str]:
    """The tokenizer in `folder`, or else the one that came with vartut; and the SHA-256 of its weights."""
    beside = folder is not None and (weights_folder(folder) / f"{name}.safetensors").exists()
    folder = folder if beside else None
    return load_tokenizer(name, folder, where), read_provenance(name, folder)["sha256"]


@torch.random.fork_rng(devices=[])  # models are built with random weights first, by the user's generator
@plain_defaults()
def load_verifier(name: str = "clip-hard", folder: Path | str | None = None, where: torch.device | None = None):
    """The verifier of that name, one of `VERIFIERS` or those named below, on `where`.

    It is called with pictures (B, 3, H, W) in [0, 1] and a list of B prompts, or one prompt for all, and returns (B,)
    float32 scores on its device, higher for better; `.name` and `.flops_per_image` say what it is and costs.  `folder`
    holds weights that you trained.  "clip-score", "image-reward", "laion-aesthetic" and "llava-onevision" are the
    paper's verifiers, which read any prompt, with the authors' weights, fetched if they are not in `folder` (for LLaVA
    the folder of the model itself, in transformers' layout); see `published/files.py` for where.  Raises ValueError for
    an unknown name or damaged weights, FileNotFoundError for missing ones.
    """
    check_name(name, (*VERIFIERS, *NOT_SHIPPED, *PUBLISHED_VERIFIERS), "verifier")
    if name in PUBLISHED_VERIFIERS:
        return published_verifier(name, folder, where)
    where = device() if where is None else where
    if name == "oracle":
        return Oracle(world.judge)
    if name not in ("clip", "clip-hard"):
        return learned_verifier(name, folder, where)
    _, tensors = load_weights(name, folder)  # verifies the checksum
    wanted = {key: of.shape for key, of in build_clip().state_dict().items()}
    if {key: of.shape for key, of in tensors.items()} != wanted:  # open_clip would stretch some
        raise ValueError(f'the weights "{name}" are of another version of its model: {remedy(name, folder)}')
    model, _ = read_clip(weights_folder(folder) / f"{name}.safetensors")
    return ClipScore(name, model, WordTokenizer(world.words), fitted, where)


def learned_verifier(name: str, folder: Path | str | None, where: torch.device):
    """One that is more than a CLIP: the reward model, the reasoner, or the head on CLIP's features."""
    settings, tensors = load_weights(name, folder)
    if name != "aesthetic":
        build, score = (RewardModel, RewardScore) if name == "reward" else (vqa.build, VqaScore)
        try:
            model = build(**settings)
        except TypeError as error:  # sizes of other names
            raise ValueError(f'the weights "{name}" are of another version: {remedy(name, folder)}') from error
        return score(name, filled(model, tensors, name), where)
    if not {"clip", "clip_sha256"} <= set(settings):
        raise ValueError(f'the weights "{name}" are of another version of its model: {remedy(name, folder)}')
    clip = load_verifier(settings["clip"], where=where)
    if settings["clip_sha256"] != read_provenance(settings["clip"])["sha256"]:
        raise ValueError(f'"{name}" was trained on features of another "{settings["clip"]}": {remedy(name)}')
    return Aesthetic(name, clip, filled(aesthetic.head(), tensors, name))


def published_verifier(name: str, folder: Path | str | None, where: torch.device | None):
    """One of the paper's verifiers."""
    if name == "clip-score":
        return load_clip_score(folder=folder, where=where)
    if name == "image-reward":
        return load_image_reward(folder, where)
    if name == "laion-aesthetic":
        return load_aesthetic(folder=folder, where=where)
    return load_llava(LLAVA if folder is None else folder, where)


def filled(model: nn.Module, tensors: dict, name: str) -> nn.Module:
    """The model with these weights; raises ValueError where they are of another version of it."""
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f'the weights "{name}" are of another version of its model: {remedy(name)}') from error
    return model

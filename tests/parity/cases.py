"""The tiny published models of `models.json.gz`, built from our modules and filled through our loader."""

import copy
import gzip
import json
from functools import cache
from pathlib import Path

import torch
from parity import recipe
from safetensors.torch import load_file

from vartut.published.infinity import BitTokenizer, Infinity
from vartut.published.loading import load_into
from vartut.published.sampler import ClassSampler, PublishedSampler, TextSampler
from vartut.published.var import VAR, VARTokenizer

HERE = Path(__file__).parent
PROMPTS = {"var_a": ["3", "goldfish"], "var_b": ["3", "tench"], "infinity_a": ["a cup", "two foxes in the snow"]}
PHI_OF_SCALE = {4: (0, 1, 2, 3), 5: (0, 1, 2, 2, 3)}  # scale 2 of 5 is a tie, decided as the authors' float64 does


@cache
def models() -> dict:
    """Configurations and names of tensors."""
    return json.loads(gzip.decompress((HERE / "models.json.gz").read_bytes()))


def weights(case: str, prefix: str) -> dict[str, torch.Tensor]:
    """The state dict of one model of a case under the authors' names, filled by the recipe."""
    shapes = models()[case]["state_dict"]
    state = {n[len(prefix) :]: torch.zeros(shape) for n, shape in shapes.items() if n.startswith(prefix)}
    return recipe.fill(state, prefix)


@cache
def goldens(case: str) -> dict[str, torch.Tensor]:
    """What the authors' code returned."""
    return load_file(HERE / f"{case}.safetensors")


@cache
def var(case: str, dtype: torch.dtype = torch.float32) -> tuple[VARTokenizer, VAR, dict]:
    """Tokenizer, transformer and configuration of a VAR case."""
    config = models()[case]
    scales = tuple(config["patch_nums"])
    with torch.device("meta"):
        tokenizer = VARTokenizer(config["V"], config["Cvae"], config["ch"], scales, PHI_OF_SCALE[len(scales)])
        model = VAR(
            depth=config["depth"],
            classes=config["num_classes"],
            scales=scales,
            codes=config["V"],
            latent=config["Cvae"],
            channels=config["dim"],
            heads=config["heads"],
            shared=config.get("shared_aln", False),
        )
    load_into(tokenizer, weights(case, "vae."), torch.float32, "cpu")
    return tokenizer, load_into(model, weights(case, "var."), dtype, "cpu"), config


@cache
def infinity(dtype: torch.dtype = torch.float32) -> tuple[BitTokenizer, Infinity, dict]:
    """Tokenizer, transformer and configuration of the Infinity case."""
    config = models()["infinity_a"]
    scales = tuple(side for _, side, _ in config["scale_schedule"])
    with torch.device("meta"):
        tokenizer = BitTokenizer(config["codebook_dim"], 128, tuple(config["vae"]["ch_mult"]), scales)
        model = Infinity(
            depth=config["depth"],
            channels=config["embed_dim"],
            heads=config["num_heads"],
            bits=config["codebook_dim"],
            chunks=config["block_chunks"],
            scales=scales,
            text_channels=config["text_channels"],
        )
    load_into(tokenizer, weights("infinity_a", "vae."), torch.float32, "cpu")
    return tokenizer, load_into(model, weights("infinity_a", "gpt."), dtype, "cpu"), config


def text_features() -> list[torch.Tensor]:
    """The features of the two prompts, (5, 128) and (9, 128)."""
    golden = goldens("infinity_a")
    return list(golden["text.features"].split(golden["text.lengths"].tolist()))


def shapes(module: torch.nn.Module) -> dict[str, list[int]]:
    """Name and shape of everything that a module's state dict holds."""
    return {name: list(tensor.shape) for name, tensor in module.state_dict().items()}


def sampler(case: str, whole: bool = False, **settings) -> PublishedSampler:
    """A sampler of a tiny case; of Infinity the first four scales and a small random decoder, unless `whole`."""
    if case != "infinity_a":
        tokenizer, transformer, config = var(case)
        return ClassSampler(tokenizer, transformer, **{"guidance": config["cfg"]} | settings)
    tokenizer, transformer, config = infinity()
    if not whole:
        torch.manual_seed(0)
        transformer = copy.copy(transformer)
        transformer.scales = transformer.scales[:4]  # which no weight depends on
        tokenizer = BitTokenizer(16, 32, (1, 1, 1, 1, 1), transformer.scales)
    features = dict(zip(PROMPTS[case], text_features()))
    return TextSampler(tokenizer, transformer, features, **{"guidance": config["cfg"]} | settings)


def finish(sampler: PublishedSampler, state):
    """Child 0 until the picture is done."""
    while state.step < sampler.num_steps:
        state = sampler.expand(state)
    return state

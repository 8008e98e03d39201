"""From a name to a recipe around its model: how long it runs, and what it starts from."""

from pathlib import Path

from .. import hub
from ..device import device
from ..models.tokenizer import SCALES, Tokenizer
from ..models.transformer import NextScaleTransformer
from ..verifiers import clip
from .recipes import TokenizerRecipe, TransformerRecipe
from .verifiers import ClipRecipe

RECIPES = {  # name: steps and batch, about as much as the shipped weights took
    "tokenizer": (2400, 64),
    "tokenizer-bits": (2400, 64),
    "nano": (6000, 64),
    "tiny": (4000, 64),
    "clip": (1000, 128),
    "clip-hard": (900, 128),
}
STARTS = {"clip-hard": "clip"}  # recipes that begin with the weights of another


def build_recipe(name: str, settings: dict | None, seed: int, batch: int, folder: Path):
    """The recipe of that name around a fresh model, and the model's settings; `settings` None takes the course's."""
    where = device()
    if name.startswith("clip"):
        return ClipRecipe(name == "clip-hard", where, seed, batch), clip.SETTINGS
    if name.startswith("tokenizer"):
        quantizer = "bits" if name == "tokenizer-bits" else "codebook"
        fresh = {"quantizer": quantizer, "codes": 512, "channels": 16, "width": 64, "scales": list(SCALES)}
        settings = settings or fresh
        return TokenizerRecipe(Tokenizer(**settings), where, seed, batch), settings
    size = {"nano": {"width": 96, "depth": 6, "heads": 3}, "tiny": {"width": 192, "depth": 8, "heads": 4}}
    settings = settings or {"tokenizer": "tokenizer", **size[name], "sampler": hub.PAINTING}
    tokenizer, digest = hub.tokenizer_beside(settings["tokenizer"], folder, where)
    if settings.get("tokenizer_sha256", digest) != digest:
        beside = f"copy {settings['tokenizer']}.safetensors and .json from beside those weights into {folder}"
        raise ValueError(f'these weights of "{name}" read the tokens of another tokenizer: {beside}, or start anew')
    model = NextScaleTransformer(tokenizer, **{key: settings[key] for key in ("width", "depth", "heads")})
    recipe = TransformerRecipe(model, tokenizer, where, seed, batch)
    return recipe, settings | {"tokenizer_sha256": digest}

"""The pictures that benchmarks/curves.py painted, scored and judged, for notebooks that choose among them anew.

`stored("tiny", "short")` reads data/results/curves/tiny-short.safetensors; what the slower verifiers said of the same
pictures, and the generator's own likelihood, stands beside it (benchmarks/verifier_scores.py).  A few prompts were
asked twice or more, and an interval over prompts would take them for independent, so of equal prompts the first is
kept.
"""

import json
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ..paths import data_folder


@dataclass(frozen=True, eq=False)
class Stored:
    """P different prompts, N pictures of each."""

    prompts: tuple[str, ...]
    right: np.ndarray  # (P, N), what the judge says
    scores: dict[str, np.ndarray]  # (P, N) each: "oracle", the judge's grade, and those of verifiers by their names
    asked: int  # how many prompts were asked, equal ones counted


def stored(model: str, stage: str, distinct: bool = True, learned: bool = False) -> Stored:
    """What is stored of a model and a stage; FileNotFoundError where nothing is.

    Without `distinct` equal prompts stay, in the order in which they were asked.  With `learned` the scores of all
    verifiers are there, for as many pictures as all of them have scored.
    """
    asked, kept = read("curves", model, stage)
    if learned:
        prompts, more = read("verifier_scores", model, stage)
        if prompts != asked:
            raise ValueError(f"{model}-{stage}: the verifiers scored other prompts: run benchmarks/verifier_scores.py")
        kept = more | kept  # both have clip-hard's; those of the judged pictures count
        both = min(values.shape[1] for values in kept.values())
        kept = {name: values[:, :both] for name, values in kept.items()}
    first = [i for i, prompt in enumerate(asked) if not distinct or asked.index(prompt) == i]
    prompts = tuple(asked[i] for i in first)
    scores = {name: values[first] for name, values in kept.items()}
    return Stored(prompts, scores.pop("correct").astype(bool), scores, len(asked))


def read(results: str, model: str, stage: str) -> tuple[list[str], dict[str, np.ndarray]]:
    """The prompts of a file of data/results, and what is kept of their pictures, (P, N) each."""
    path = data_folder() / "results" / results / f"{model}-{stage}.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"no pictures are stored in {path}: see benchmarks/{results}.py")
    with safe_open(path, "np") as file:
        kept = {name: file.get_tensor(name) for name in sorted(file.keys())}
        return file.metadata()["prompts"].split("\n"), kept


@dataclass(frozen=True, eq=False)
class Album:
    """What benchmarks/verifier_pictures.py chose by rule for notebook 05; `painted` makes pictures of tokens."""

    prompts: list[str]  # one of each task
    shown: torch.Tensor  # (P, 64, 130) int16, the tokens of the first 64 pictures of each, scale by scale
    favourites: list[dict]  # whose favourite, of which prompt, of how many pictures, how many of which are right
    fooled: torch.Tensor  # (F, 130) int16, the tokens of those wrong favourites


def album() -> Album:
    """What is stored; FileNotFoundError where nothing is."""
    path = data_folder() / "results" / "verifier_pictures.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"no pictures are stored in {path}: see benchmarks/verifier_pictures.py")
    with safe_open(path, "pt") as file:
        about = file.metadata()
    tokens = load_file(path)
    return Album(json.loads(about["shown"]), tokens["shown"], json.loads(about["fooled"]), tokens["fooled"])


@torch.no_grad()
def painted(tokenizer, tokens: torch.Tensor) -> torch.Tensor:
    """Pictures (B, 3, 64, 64) in [0, 1] of tokens (B, 130), the scales one behind the other."""
    return tokenizer.preview(list(tokens.long().split([side * side for side in tokenizer.scales], 1)))

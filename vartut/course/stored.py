"""The pictures that benchmarks/curves.py painted, scored and judged, for notebooks that choose among them anew.

`stored("tiny", "short")` reads data/results/curves/tiny-short.safetensors.  A few prompts were asked twice or more, and
an interval over prompts would take them for independent, so of equal prompts the first is kept.
"""

from dataclasses import dataclass

import numpy as np
from safetensors import safe_open

from ..paths import data_folder


@dataclass(frozen=True, eq=False)
class Stored:
    """P different prompts, N pictures of each."""

    prompts: tuple[str, ...]
    right: np.ndarray  # (P, N), what the judge says
    scores: dict[str, np.ndarray]  # (P, N) each: "oracle", the judge's grade, and those of verifiers by their names
    asked: int  # how many prompts were asked, equal ones counted


def stored(model: str, stage: str, distinct: bool = True) -> Stored:
    """What is stored of a model and a stage; FileNotFoundError where nothing is.

    Without `distinct` equal prompts stay, in the order in which they were asked.
    """
    path = data_folder() / "results" / "curves" / f"{model}-{stage}.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"no pictures are stored in {path}: see benchmarks/curves.py")
    with safe_open(path, "np") as file:
        asked = file.metadata()["prompts"].split("\n")
        kept = {name: file.get_tensor(name) for name in sorted(file.keys())}
    first = [i for i, prompt in enumerate(asked) if not distinct or asked.index(prompt) == i]
    prompts = tuple(asked[i] for i in first)
    scores = {name: values[first] for name, values in kept.items()}
    return Stored(prompts, scores.pop("correct").astype(bool), scores, len(asked))

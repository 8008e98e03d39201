"""Codebook or bits?  Trains both for the same steps and measures them: data/results/tokenizers.csv.

    python benchmarks/quantizers.py --steps 600        about ten minutes on two cores

The recipe is that of `vartut train tokenizer`, without its dense scenes. Measured on test pictures of all tasks:
squared error, the share of pictures of which the judge says the same after reconstruction
(`benchmarks/reconstruction.py`, which also measures the shipped tokenizer), and the use of the codes per scale on
validation pictures.
"""

import argparse
import tempfile
import time

import torch
from reconstruction import measure
from tables import replace_rows, stamp

from vartut.cli import number
from vartut.device import device
from vartut.models.tokenizer import Tokenizer
from vartut.paths import data_folder
from vartut.training.loop import train
from vartut.training.recipes import TokenizerRecipe


def trained(quantizer: str, steps: int, seed: int) -> tuple[Tokenizer, dict]:
    """A tokenizer of that kind after so many steps of its recipe, and its final metrics."""
    torch.manual_seed(seed)
    recipe = TokenizerRecipe(Tokenizer(quantizer), device(), seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        metrics = train(recipe, steps, folder, seed)
    return recipe.model.eval(), metrics


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--n", type=number(1), default=100, help="test pictures a task")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    rows = []
    for quantizer in ("codebook", "bits"):
        began = time.perf_counter()
        tokenizer, metrics = trained(quantizer, chosen.steps, chosen.seed)
        minutes = round((time.perf_counter() - began) / 60, 1)
        row = {"quantizer": quantizer, "steps": chosen.steps, "seed": chosen.seed, "minutes": minutes}
        row |= {f"usage_scale_{k + 1}": share for k, share in enumerate(metrics["usage"])}
        rows += [row | measured | stamp() for measured in measure(tokenizer, chosen.n, chosen.seed)]
    replace_rows(data_folder() / "results" / "tokenizers.csv", rows, key=lambda row: row["quantizer"])
    for row in rows:
        if row["task"] == "all":
            print({key: row[key] for key in ("quantizer", "steps", "squared_error", "rate", "low", "high")})

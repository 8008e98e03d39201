"""Codebook or bits?  Trains both for the same steps, measures them and the shipped one: data/results/tokenizers.csv.

    python benchmarks/tokenizers.py --steps 600        about six minutes on two cores
    python benchmarks/tokenizers.py --shipped-only     the shipped tokenizer alone, half a minute

Measured on test pictures of all tasks: squared error, the share of pictures of which the judge says the same after
reconstruction (correct or not, against the picture's own prompt), and the use of the codes per scale.
"""

import argparse
import csv
import tempfile
import time

import torch

from vartut import evaluate, hub, world
from vartut.device import device
from vartut.judging import judge
from vartut.paths import data_folder
from vartut.recipes import TokenizerRecipe, usage
from vartut.tokenizer import Tokenizer
from vartut.train import train


@torch.no_grad()
def measure(tokenizer: Tokenizer, n: int = 100) -> dict:
    """Error, verdicts kept (with Wilson's interval) and usage on n test pictures of every task."""
    where = next(tokenizer.parameters()).device
    errors, kept, per_task, tokens = [], [], {}, []
    for task in world.TASKS:
        scenes = world.sample(task, n, "test")
        images, prompts = world.render(scenes), [scene.prompt for scene in scenes]
        tokens.append(tokenizer.encode(images.to(where)))
        again = tokenizer.preview(tokens[-1]).cpu()
        errors.append((again - images).square().mean().item())
        same = [a.correct == b.correct for a, b in zip(judge(images, prompts), judge(again, prompts))]
        kept += same
        per_task[task] = sum(same) / n
    low, high = evaluate.wilson(sum(kept), len(kept))
    together = [torch.cat(scale) for scale in zip(*tokens)]
    row = {"error": sum(errors) / len(errors), "verdict_kept": sum(kept) / len(kept), "low": low, "high": high}
    row |= {"n": len(kept), **per_task}
    row |= {f"usage_scale_{k + 1}": u for k, u in enumerate(usage(tokenizer, together))}
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()}


def trained(quantizer: str, steps: int, seed: int) -> Tokenizer:
    """A tokenizer of that kind after so many steps of its recipe."""
    torch.manual_seed(seed)
    recipe = TokenizerRecipe(Tokenizer(quantizer), device(), seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        train(recipe, steps, folder, seed)
    return recipe.model.eval()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shipped-only", action="store_true")
    chosen = parser.parse_args()
    made = {"commit": hub.commit(), "device": hub.device_name(device()), "threads": torch.get_num_threads()}
    shipped = hub.read_provenance("tokenizer")
    rows = [{"tokenizer": "codebook, shipped", "steps": shipped["steps"], "seed": 0, "minutes": shipped["minutes"]}]
    rows[0] |= measure(hub.load_tokenizer()) | made
    for quantizer in () if chosen.shipped_only else ("codebook", "bits"):
        began = time.perf_counter()
        tokenizer = trained(quantizer, chosen.steps, chosen.seed)
        minutes = round((time.perf_counter() - began) / 60, 1)
        row = {"tokenizer": quantizer, "steps": chosen.steps, "seed": chosen.seed, "minutes": minutes}
        rows.append(row | measure(tokenizer) | made)
    path = data_folder() / "results" / "tokenizers.csv"
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, fieldnames=rows[0].keys(), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    for row in rows:
        print({key: row[key] for key in ("tokenizer", "steps", "error", "verdict_kept", "low", "high")})

"""Scores of the pictures that published_pictures.py painted, by a verifier that no search behind them has seen.

    python benchmarks/published_scores.py runs/drawbench --verifier image-reward \
        --what "DrawBench, ImageReward at 13 NFE"

Prints the mean over prompts with its 95 % interval, and writes a row to data/results/published_scores.csv, from which
notebook 11 fills its table.  Pictures found with the same verifier are refused: what a search climbed does not measure
it, unless `--climbed` says that this is meant, as in the paper's figure of ImageReward against NFE.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from published_pictures import load_any

from vartut import hub
from vartut.device import device
from vartut.paths import data_folder

COLUMNS = ("what", "ours", "low", "high", "prompts", "pictures", "verifier", "searched_with", "device", "commit")


def pictures(folder: Path) -> list[tuple[str, Path]]:
    """(prompt, path) of every picture, in GenEval's layout; raises FileNotFoundError if there is none."""
    found = []
    for metadata in sorted(folder.glob("*/metadata.jsonl")):
        prompt = json.loads(metadata.read_text())["prompt"]
        found += [(prompt, path) for path in sorted((metadata.parent / "samples").glob("*.png"))]
    if not found:
        raise FileNotFoundError(f"no pictures in {folder}: paint them with benchmarks/published_pictures.py")
    return found


def searched_with(folder: Path) -> str:
    """The verifiers that found these pictures, from costs.csv; "" for pictures painted without search."""
    rows = list(csv.DictReader((folder / "costs.csv").read_text().splitlines()))
    return " ".join(sorted({row["verifier"] for row in rows} - {""}))


def score(found: list[tuple[str, Path]], verifier) -> dict[str, float]:
    """The mean score of each prompt's pictures."""
    scores = {}
    for prompt, path in found:
        pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None] / 255
        scores.setdefault(prompt, []).append(float(verifier(pixels, [prompt])[0]))
    return {prompt: sum(values) / len(values) for prompt, values in scores.items()}


def interval(means: list[float], draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over prompts."""
    values = np.array(means)
    picks = np.random.default_rng(seed).integers(len(values), size=(draws, len(values)))
    low, high = np.quantile(values[picks].mean(1), [0.025, 0.975])
    return float(low), float(high)


def run(args) -> dict:
    """Score a folder and write its row."""
    found, behind = pictures(args.folder), searched_with(args.folder)
    if args.verifier in behind.split() and not args.climbed:
        raise ValueError(f"these pictures were found by climbing {args.verifier}: take another, or say --climbed")
    means = list(score(found, load_any(args.verifier)).values())
    low, high = interval(means)
    numbers = (round(sum(means) / len(means), 4), round(low, 4), round(high, 4), len(means), len(found))
    row = (args.what, *numbers, args.verifier, behind, hub.device_name(device()), hub.commit())
    table = args.table or data_folder() / "results" / "published_scores.csv"
    new = not table.exists()
    with table.open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, row] if new else [row])
    return dict(zip(COLUMNS, row))


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    top.add_argument("folder", type=Path, help="what published_pictures.py wrote, in GenEval's layout")
    top.add_argument("--verifier", default="image-reward")
    top.add_argument("--what", required=True, help="the row of notebook 11's table that this fills")
    top.add_argument("--climbed", action="store_true", help="allow the verifier that the search climbed")
    top.add_argument("--table", type=Path, help="default: data/results/published_scores.csv")
    return top


def main(argv: list[str] | None = None) -> int:
    """Score what the command line names; returns the exit code, 2 where one line says what is wrong."""
    try:
        row = run(parser().parse_args(argv))
    except (ValueError, OSError) as error:
        print(f"published_scores: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(f"{row['what']}: {row['ours']} ({row['low']} to {row['high']}, {row['prompts']} prompts)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

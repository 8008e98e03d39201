"""Seconds and pictures a second of what the course does most: data/results/speed.csv.

    python benchmarks/speed.py                               half a minute on two cores
    OMP_WAIT_POLICY=passive python benchmarks/speed.py       as under `make`: threads sleep while they wait

Each row is the median of several repeats after one that is not counted, with the fastest and the slowest beside it.
Measure on a machine that does nothing else; the numbers of the design are for two CPU cores.  The rows of the other
wait policy are left as they are.
"""

import argparse
import os
import statistics
import time

import torch
from tables import replace_rows, stamp

import vartut
from vartut import world
from vartut.device import device
from vartut.measure import evaluate
from vartut.paths import data_folder

PROMPT = "a red circle left of a blue square"


def repeated(work, repeats: int) -> list[float]:
    """Seconds of each repeat, the warm-up left out."""
    seconds = []
    for _ in range(repeats + 1):
        if device().type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        if device().type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def cases() -> dict:
    """What is measured: name to (work, pictures, repeats); None pictures where seconds are the figure."""
    sampler, verifier = vartut.load("tiny"), vartut.load_verifier("clip-hard")
    scenes = world.sample("all", 1000, "test")
    pictures, prompts = world.render(scenes[:200]), [scene.prompt for scene in scenes[:200]]
    many = [PROMPT] * 50
    return {
        "draw 1,000 scenes": (lambda: world.sample("all", 1000, "train"), 1000, 3),
        "render 1,000 scenes": (lambda: world.render(scenes), 1000, 5),
        "judge 200 renders": (lambda: vartut.judge(pictures, prompts), 200, 3),
        "score 200 pictures by clip-hard": (lambda: verifier(pictures, prompts), 200, 3),
        "paint one picture": (lambda: evaluate.paint(sampler, [PROMPT], [0]), None, 7),
        "paint 50 pictures at once": (lambda: evaluate.paint(sampler, many, list(range(50))), 50, 3),
        "beam 3 x 5 with rollouts": (lambda: vartut.beam_search(sampler, PROMPT, verifier, 3, 5), None, 3),
        "beam 3 x 5 with previews": (
            lambda: vartut.beam_search(sampler, PROMPT, verifier, 3, 5, score="preview"),
            None,
            3,
        ),
    }


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    policy, path = os.environ.get("OMP_WAIT_POLICY", "default"), data_folder() / "results" / "speed.csv"
    made, rows = {"wait_policy": policy, **stamp()}, []
    for name, (work, pictures, repeats) in cases().items():
        seconds = repeated(work, repeats)
        middle = statistics.median(seconds)
        row = {"what": name, "seconds": middle, "fastest": min(seconds), "slowest": max(seconds)}
        row = {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
        row |= {"pictures_a_second": round(pictures / middle) if pictures else None, "repeats": repeats} | made
        print(f"{name:<34}{middle:8.3f} s  ({row['fastest']:.3f} to {row['slowest']:.3f})", flush=True)
        rows.append(row)
    replace_rows(path, rows, key=lambda row: row["wait_policy"])

"""How often the judge says the same of a tokenizer's reconstruction as of the picture: data/results/reconstruction.csv.

    python benchmarks/reconstruction.py [--tokenizer tokenizer] [--n 100] [--seed 0]      # minutes: in the table

The first n test scenes of every task are rendered, encoded and decoded again from all scales.  Both pictures are
judged against the scene's prompt; a verdict is unchanged if both hold or both fail.
"""

import argparse
import time

import torch
from tables import replace_rows, stamp

import vartut
from vartut import hub, weights, world
from vartut.cli import number
from vartut.measure.statistics import wilson
from vartut.paths import data_folder


@torch.no_grad()
def rebuilt(tokenizer, images: torch.Tensor, batch: int = 50) -> torch.Tensor:
    """Pictures (B, 3, 64, 64) in [0, 1], encoded and decoded from all scales."""
    where = next(tokenizer.parameters()).device
    return torch.cat([tokenizer.preview(tokenizer.encode(part.to(where))).cpu() for part in images.split(batch)])


def measure(tokenizer, n: int, seed: int) -> list[dict]:
    """A row per task and one for all: verdicts unchanged, with Wilson's 95 % interval, and the squared error.

    "all" are the eight tasks of short prompts, as ever; the dense ones stand apart.
    """
    rows = []
    for task in world.TASKS:
        scenes = world.sample(task, n, "test", seed)
        images, prompts = world.render(scenes), [scene.prompt for scene in scenes]
        again = rebuilt(tokenizer, images)
        before, after = vartut.judge(images, prompts), vartut.judge(again, prompts)
        row = {"task": task, "n": n, "unchanged": sum(a.correct == b.correct for a, b in zip(before, after))}
        row |= {"grade": sum(v.grade for v in after) / n, "squared_error": (images - again).square().mean().item()}
        rows.append(row)
    short = rows[: len(world.SHORT_TASKS)]
    total = {"task": "all", "n": n * len(short), "unchanged": sum(row["unchanged"] for row in short)}
    rows.append(total | {key: sum(row[key] for row in short) / len(short) for key in ("grade", "squared_error")})
    for i, row in enumerate(rows):
        low, high = wilson(row["unchanged"], row["n"])
        rates = {"rate": row["unchanged"] / row["n"], "low": low, "high": high}
        rates |= {"grade": row["grade"], "squared_error": row["squared_error"]}
        counts = {key: row[key] for key in ("task", "n", "unchanged")}
        rows[i] = counts | {key: round(value, 5) for key, value in rates.items()}
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", default="tokenizer", choices=hub.TOKENIZERS)
    parser.add_argument("--n", type=number(1), default=100, help="scenes a task")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    began = time.perf_counter()
    table = measure(vartut.load_tokenizer(chosen.tokenizer), chosen.n, chosen.seed)
    made = {"weights": weights.read_provenance(chosen.tokenizer)["sha256"][:12], "seed": chosen.seed}
    made |= stamp() | {"minutes": round((time.perf_counter() - began) / 60, 1)}
    table = [{"tokenizer": chosen.tokenizer} | row | made for row in table]
    for row in table:
        share = f"{row['unchanged']} of {row['n']} unchanged, {row['rate']:.1%} ({row['low']:.1%} to {row['high']:.1%})"
        print(f"{row['task']:<14} {share}, grade {row['grade']:.3f}, squared error {row['squared_error']:.5f}")
    path = data_folder() / "results" / "reconstruction.csv"
    replace_rows(path, table, key=lambda row: row["tokenizer"])
    print(f"wrote {path}")

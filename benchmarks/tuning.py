"""Guidance and temperature of a model, by a small grid on validation prompts: data/results/tuning.csv.

    python benchmarks/tuning.py --model nano                     the shipped weights; minutes on two cores
    python benchmarks/tuning.py --model nano --weights FOLDER    weights that you trained

Every pair of the grid paints the same prompts from the same seeds: the first n validation prompts of each of the eight
short tasks, and 2 n dense ones.  What ships was chosen so, by the short tasks alone: the pair of most successes, and of
equals the first.  The row that says `ships` is the pair that the weights name.
"""

import argparse
import sys
from itertools import product

from tables import replace_rows, stamp
from tqdm import tqdm

import vartut
from vartut import weights, world
from vartut.inputs import whole
from vartut.measure import evaluate
from vartut.measure.statistics import wilson
from vartut.models.protocol import row_seed
from vartut.paths import data_folder, expanded

GUIDANCE = (1.5, 2.0, 3.0, 4.0)
TEMPERATURE = {  # per scale: the fine ones decide little that is worth varying
    "warm": [1.0, 1.0, 0.9, 0.8, 0.7, 0.6],
    "middle": [1.0, 1.0, 0.8, 0.6, 0.4, 0.2],
    "cool": [1.0, 0.8, 0.6, 0.4, 0.2, 0.1],
    "cold": [0.8, 0.6, 0.4, 0.2, 0.1, 0.1],
}


def asked(n: int) -> dict[str, tuple[list[str], list[int]]]:
    """The prompts of both kinds, each with its seeds."""
    named = {
        "short": [(p, f"{t}/{i}") for t in world.SHORT_TASKS for i, p in enumerate(world.prompts(t, n, "validation"))],
        "dense": [(p, f"dense/{i}") for i, p in enumerate(world.prompts("dense", 2 * n, "validation"))],
    }
    return {
        kind: ([p for p, _ in pairs], evaluate.root_seeds(row_seed(0, f"validation/{name}") for _, name in pairs))
        for kind, pairs in named.items()
    }


def measure(sampler, prompts) -> dict:
    """Successes of both kinds, with their intervals."""
    row = {}
    for kind, (texts, seeds) in prompts.items():
        right = sum(verdict.correct for verdict in vartut.judge(evaluate.paint(sampler, texts, seeds), texts))
        low, high = wilson(right, len(texts))
        row |= {f"{kind}_n": len(texts), f"{kind}_successes": right, f"{kind}_low": low, f"{kind}_high": high}
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", choices=("nano", "tiny"))
    parser.add_argument("--weights", type=expanded, default=None, metavar="FOLDER", help="default: those that ship")
    parser.add_argument("--n", type=int, default=25, help="prompts of each short task, and half of the dense ones")
    chosen = parser.parse_args()
    try:
        sampler = vartut.load(chosen.model, chosen.weights)
        digest = weights.read_provenance(chosen.model, chosen.weights)["sha256"][:12]
        prompts = asked(whole(least=1, n=chosen.n))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"tuning: {error}")
    made, rows, ours = {"weights": digest, "seed": 0, **stamp()}, [], (sampler.guidance, sampler.temperature)
    for guidance, name in tqdm(list(product(GUIDANCE, TEMPERATURE))):
        tried = sampler.tuned(guidance=guidance, temperature=TEMPERATURE[name])
        row = {"model": chosen.model, "guidance": guidance, "temperature": name}
        row |= {"temperatures": " ".join(map(str, TEMPERATURE[name]))} | measure(tried, prompts)
        row |= {"ships": "yes" if (tried.guidance, tried.temperature) == ours else ""} | made
        rows.append(row)
        print({key: row[key] for key in ("guidance", "temperature", "short_successes", "dense_successes")}, flush=True)
    table = data_folder() / "results" / "tuning.csv"
    replace_rows(table, rows, key=lambda row: row["model"])
    best = max(rows, key=lambda row: row["short_successes"])
    print(f"most successes on short tasks: guidance {best['guidance']}, {best['temperature']}")

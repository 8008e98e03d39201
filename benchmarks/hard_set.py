"""Draw the hard set of a model and write it down, once: data/prompts/hard-MODEL.txt.

    python benchmarks/curves.py --model nano --stage dense --n 64      first: which numbers of facts are hard
    python benchmarks/hard_set.py --model nano

The band is the longest run of numbers of facts on each of which the judge's own choice among 64 pictures is right in 30
to 85 % of 20 prompts.  The prompts come from the same test split, as many of each number and at least 200 in all, and
begin behind those 20, so that what chose the band does not stand in the set (nano's was drawn before words that come
again were left out, and has seven of them).  No prompt that the model met in training is among them, nor one twice.
"""

import argparse
import hashlib
import sys
from itertools import count

from tables import read_rows
from tqdm import tqdm

from vartut import weights, world
from vartut.paths import data_folder, write_files
from vartut.training.build import DENSE

LEAST, MOST = 0.30, 0.85
PROMPTS = 200
CHOSE = 20  # prompts of each number of facts that chose the band


def band(rows: list[dict], model: str, digest: str) -> list[int]:
    """The longest run of numbers of facts in the band, of the table of curves; ValueError where there is none."""
    rates = {
        int(row["group"].removesuffix(" facts")): float(row["success"])
        for row in rows
        if (row["model"], row["stage"], row["verifier"], row["n"]) == (model, "dense", "oracle", "64")
        and row["weights"] == digest
        and row["group"] != "all"
    }
    runs, run = [], []
    for facts in world.DENSE_FACTS:
        run = [*run, facts] if LEAST <= rates.get(facts, 0) <= MOST else []
        runs.append(run)
    if not max(runs, key=len):
        raise ValueError(f"no number of facts of these weights of {model} lies in the band: measure the curve first")
    return max(runs, key=len)


def met_in_training(model: str) -> set[str]:
    """The dense prompts that the weights saw, in all their runs."""
    met = set()
    for run in tqdm(weights.read_provenance(model)["runs"], desc="prompts met in training"):
        dense = round(DENSE * run["batch"])
        met |= set(world.prompts("dense", run["steps"] * dense, split="train", seed=run["seed"]))
    return met


def drawn(facts: list[int], met: set[str]) -> list[str]:
    """The prompts of the set, by rising number of facts."""
    each = -(-PROMPTS // len(facts))
    chosen = []
    for number in facts:
        own, chose = [], world.prompts("dense", CHOSE, facts=number)
        for i in count(CHOSE):
            prompt = world.sample("dense", 1, "test", 0, i, number)[0].prompt
            if prompt not in met and prompt not in own and prompt not in chose:
                own.append(prompt)
            if len(own) == each:
                break
        chosen += own
    return chosen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", choices=("nano", "tiny"))
    chosen = parser.parse_args()
    path = data_folder() / "prompts" / f"hard-{chosen.model}.txt"
    if path.exists():
        sys.exit(f"hard_set: {path} is there and must not drift; for other weights move it away by hand")
    try:
        digest = weights.read_provenance(chosen.model)["sha256"][:12]
        facts = band(read_rows(data_folder() / "results" / "curves.csv"), chosen.model, digest)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"hard_set: {error}")
    prompts = drawn(facts, met_in_training(chosen.model))
    path.parent.mkdir(exist_ok=True)
    write_files({path: "\n".join(prompts) + "\n"})
    print(f"{len(prompts)} prompts of {facts[0]} to {facts[-1]} facts: {path}")
    digest = hashlib.sha256("\n".join(prompts).encode()).hexdigest()[:16]
    print(f'write it into vartut/world/hard_sets.py: "{chosen.model}": "{digest}"')

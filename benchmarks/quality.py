"""Judged success of the shipped models, with and without search: data/results/quality.csv.

    python benchmarks/quality.py                       every arm, 100 prompts a task without search, 25 with
    python benchmarks/quality.py --arms sample --n 200 one arm, more prompts

Every arm paints the first n test prompts of all eight tasks from the same seeds and is judged by the exact judge,
which no arm but "oracle" sees.  In six of the eight tasks half of the prompts say
something that no training prompt says.
"""

import argparse
import functools
import time

from tables import replace_rows, stamp

import vartut
from vartut import weights
from vartut.cli import number
from vartut.measure import evaluate
from vartut.paths import data_folder

BEAM = {"width": 3, "candidates": 5}
ARMS = {  # name: (model, verifier, search); no search: one sample a prompt; the beam finishes n = 90 pictures, too
    "sample": ("tiny", None, None),
    "nano": ("nano", None, None),
    "beam clip": ("tiny", "clip", functools.partial(vartut.beam_search, **BEAM)),
    "beam clip-hard": ("tiny", "clip-hard", functools.partial(vartut.beam_search, **BEAM)),
    "random clip-hard": ("tiny", "clip-hard", functools.partial(vartut.random_search, n=90)),
    "beam oracle": ("tiny", "oracle", functools.partial(vartut.beam_search, **BEAM)),
}


def measure(arm: str, n: int, seed: int) -> list[dict]:
    """The rows of one arm: a row per task and one for all, with where and when they were made."""
    model, verifier_name, search = ARMS[arm]
    sampler = vartut.load(model)
    if search is not None:
        verifier = vartut.load_verifier(verifier_name)
        search = functools.partial(_search, search, verifier)
    began = time.perf_counter()
    outcomes = evaluate.judged_success(sampler, n=n, seed=seed, search=search)
    minutes = (time.perf_counter() - began) / 60
    made = {"model": weights.read_provenance(model)["sha256"][:12], "seed": seed}
    made |= stamp() | {"minutes": round(minutes, 1)}
    table = evaluate.success_table(outcomes)
    print(f"\n{arm}, {minutes:.1f} minutes\n{evaluate.format_table(table)}", flush=True)
    rows = [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in table]
    return [{"arm": arm} | row | made for row in rows]


def _search(search, verifier, sampler, prompt, seed):
    return search(sampler, prompt, verifier, seed=seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS), metavar="ARM")
    parser.add_argument("--n", type=number(1), help="prompts a task (default: 100 without search, 25 with)")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    for name in chosen.arms:
        rows = measure(name, chosen.n or (100 if ARMS[name][2] is None else 25), chosen.seed)
        replace_rows(data_folder() / "results" / "quality.csv", rows, key=lambda row: row["arm"])

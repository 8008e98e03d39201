"""What it costs to fork a half-painted picture, in four currencies: data/results/forks.csv.

    python benchmarks/forks.py                          a minute on two idle cores

A picture is painted up to `step`, forked there into `children`, and all are finished and decoded; beside it as many
separate pictures of the same prompt.  All in one run, by turns; seconds are medians of the repeats.  The shares are of
the separate pictures' cost.
"""

import argparse
import sys
import time
from functools import partial

import numpy as np
from tables import replace_rows, stamp

import vartut
from vartut.ledger import Ledger
from vartut.paths import data_folder

PROMPT = "a red circle left of a blue square"
CHILDREN = (2, 4, 8, 16)
CURRENCIES = ("nfe", "tokens", "flops")


def finish(sampler, state):
    """Child 0 until the pictures are done."""
    while state.step < sampler.num_steps:
        state = sampler.expand(state)
    return state


def forked(sampler, step: int, children: int, ledger: Ledger) -> None:
    """One picture up to `step`, forked and finished."""
    state = sampler.begin([PROMPT], 1, ledger=ledger)
    while state.step < step:
        state = sampler.expand(state)
    sampler.preview(finish(sampler, sampler.expand(state, children)))


def separate(sampler, children: int, ledger: Ledger) -> None:
    """So many pictures that share nothing but the text."""
    sampler.preview(finish(sampler, sampler.begin([PROMPT] * children, 1, ledger=ledger)))


def rows_of(name: str, repeats: int) -> list[dict]:
    """The rows of one model."""
    sampler = vartut.load(name)
    ways = {(s, n): partial(forked, sampler, s, n) for s in range(sampler.num_steps) for n in CHILDREN}
    ways |= {("separate", n): partial(separate, sampler, n) for n in CHILDREN}
    seconds, spent = {way: [] for way in ways}, {}
    for _ in range(repeats):
        for way, run in ways.items():
            ledger, began = Ledger(), time.perf_counter()
            run(ledger)
            seconds[way].append(time.perf_counter() - began)
            spent[way] = {currency: ledger.total(currency) for currency in CURRENCIES}
    rows = []
    for step, n in ways:
        own = spent[step, n] | {"seconds": float(np.median(seconds[step, n]))}
        whole = spent["separate", n] | {"seconds": float(np.median(seconds["separate", n]))}
        shares = {f"share_{currency}": round(own[currency] / whole[currency], 4) for currency in own}
        own["seconds"] = round(own["seconds"], 4)
        rows.append({"model": name, "step": step, "children": n, "repeats": repeats} | own | shares | stamp())
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["nano", "tiny"])
    parser.add_argument("--repeats", type=int, default=9)
    chosen = parser.parse_args()
    for name in chosen.models:
        try:
            rows = rows_of(name, chosen.repeats)
        except (FileNotFoundError, ValueError) as error:
            sys.exit(f"forks: {error}")
        replace_rows(data_folder() / "results" / "forks.csv", rows, key=lambda row: row["model"])
        for row in rows:
            print(row)

"""What a beam saves by sharing its prefixes, in FLOPs and in seconds: data/results/beam_sharing.csv.

    python benchmarks/beam_sharing.py                       nano and tiny, some minutes on two idle cores
    python benchmarks/beam_sharing.py --models var-d16 --width 2 --candidates 2 --repeats 1     a quarter of an hour

In one run, by turns: `shared`, our beam; `rerun`, the same beam that paints every candidate from the first scale on,
its prefix given, as a search does whose sampler cannot be paused; `random`, as many separate pictures as the beam
finishes.  That both beams return the same picture is checked.  `saved` compares with `rerun`: the share of FLOPs, that
of seconds, and their ratio.  Seconds are medians of the repeats; VAR-d16 has random weights of its size.
"""

import argparse
import os
import sys
import time

import numpy as np
import torch
from published_speed import brightness, random_sampler
from tables import replace_rows, stamp

import vartut
from vartut.device import device
from vartut.ledger import Ledger
from vartut.paths import data_folder
from vartut.search.run import top

PROMPTS = {"var-d16": "207"}  # a class; the others read
PROMPT = "a red circle left of a blue square"
FIRST, LATER = 0, 1  # the number of the first child: after rollouts child 0 is the rollout itself


def rerun_beam(sampler, prompt: str, verifier, width: int, candidates: int, seed: int, ledger: Ledger, max_rows: int):
    """The beam of `vartut.beam_search` with rollouts, every candidate painted from the first scale on; its picture."""
    [root] = sampler.begin([prompt], seed).seeds
    prefixes, best = [((), ())], (-np.inf, None)  # (path, tokens of every scale so far)
    for step in range(sampler.num_steps):
        first, number = (LATER, candidates) if step else (FIRST, width * candidates)
        born = [(path, tokens, j) for path, tokens in prefixes for j in range(first, first + number)]
        scores, grown = [], []
        for low in range(0, len(born), max_rows):
            rows = born[low : low + max_rows]
            state = sampler.begin([prompt] * len(rows), [root] * len(rows), ledger=ledger)
            for k in range(step):
                given = torch.stack([tokens[k] for _, tokens, _ in rows])
                state = sampler.follow(state, given, [path[k] for path, _, _ in rows])
            most = first + number
            state = sampler.expand(state, most)  # siblings of a row cost no pass
            state = sampler.select(state, [most * i + j for i, (_, _, j) in enumerate(rows)])
            grown += [(state.paths[i], [tokens[i] for tokens in state.tokens]) for i in range(len(rows))]
            while state.step < sampler.num_steps:
                state = sampler.expand(state)
            images = sampler.preview(state)
            scores += verifier(images, [prompt] * len(rows)).tolist()
            if max(scores[low:]) > best[0]:
                best = (max(scores[low:]), images[int(np.argmax(scores[low:]))].clone())
        prefixes = [grown[row] for row in top(scores, width)]
    return best


def contest(name: str, width: int, candidates: int, repeats: int, max_rows: int) -> list[dict]:
    """The rows of one model."""
    sampler = random_sampler(name, device(), 0) if name in PROMPTS else vartut.load(name)
    prompt, seconds, totals, peaks = PROMPTS.get(name, PROMPT), {}, {}, {}
    pictures = width * candidates * sampler.num_steps
    ways = {
        "shared": lambda ledger: vartut.beam_search(
            sampler, prompt, brightness, width, candidates, seed=1, ledger=ledger, max_rows=max_rows
        ),
        "rerun": lambda ledger: rerun_beam(
            sampler, prompt, brightness, width, candidates, 1, ledger, max_rows
        ),
        "random": lambda ledger: vartut.random_search(
            sampler, prompt, brightness, pictures, seed=1, ledger=ledger, max_rows=max_rows
        ),
    }  # fmt: skip
    found = {}
    for _ in range(repeats):
        for how, way in ways.items():
            ledger, began = Ledger(), time.perf_counter()
            found[how] = way(ledger)
            seconds.setdefault(how, []).append(time.perf_counter() - began)
            totals[how] = {currency: ledger.total(currency) for currency in ("nfe", "tokens", "flops")}
            peaks[how] = ledger.peak_bytes
    if (away := float((found["shared"].image - found["rerun"][1]).abs().max())) > 0.02:
        raise ValueError(f"{name}: the two beams paint other pictures ({away:.3f} apart)")
    rows, rerun = [], (totals["rerun"]["flops"], np.median(seconds["rerun"]))
    for how, of in totals.items():
        own = float(np.median(seconds[how]))
        saved = (1 - of["flops"] / rerun[0], 1 - own / rerun[1])
        row = {"model": name, "how": how, "width": width, "candidates": candidates, "max_rows": max_rows}
        row |= {"nfe": of["nfe"], "tokens": of["tokens"], "gflop": of["flops"] / 1e9, "seconds": own}
        row |= {"fastest": min(seconds[how]), "slowest": max(seconds[how]), "repeats": repeats}
        row |= {"peak_mb": peaks[how] / 1e6, "saved_flops": saved[0], "saved_seconds": float(saved[1])}
        row |= {"of_what_flops_say": float(saved[1] / saved[0]) if how == "shared" else None}
        row = {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
        rows.append(row | {"load": round(os.getloadavg()[0], 2)} | stamp())
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["nano", "tiny"])
    parser.add_argument("--width", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--max-rows", type=int, default=32)
    chosen = parser.parse_args()
    for name in chosen.models:
        try:
            rows = contest(name, chosen.width, chosen.candidates, chosen.repeats, chosen.max_rows)
        except (FileNotFoundError, ValueError) as error:
            sys.exit(f"beam_sharing: {error}")
        for row in rows:
            print(row)
        replace_rows(data_folder() / "results" / "beam_sharing.csv", rows, key=lambda row: row["model"])

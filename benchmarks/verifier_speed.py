"""What a verifier costs beside a generator: data/results/verifier_speed.csv.

    OMP_WAIT_POLICY=passive python benchmarks/verifier_speed.py       a minute on two idle cores

For every verifier and both generators: parameters, FLOPs and milliseconds a picture, in one run, on 64 pictures of one
prompt at a time, as a search scores them, the prompts those of nano's hard set.  Each is the median of several repeats
after one that is not counted.  `flops_of_nano` and its like say what a verifier's look at a picture costs as a share of
painting one: how dear thinking is beside drawing.
"""

import argparse
import statistics

import torch
from rounds import ROUND, painted
from speed import repeated
from tables import replace_rows, stamp

import vartut
from vartut import hub, world
from vartut.models.protocol import row_seed
from vartut.paths import data_folder

PROMPTS = 4
REPEATS = 5
GENERATORS = ("nano", "tiny")


def parameters(model: torch.nn.Module) -> int:
    """How many numbers it was trained to hold."""
    return sum(part.numel() for part in model.parameters())


def row_of(what: str, kind: str, size: int, flops: float, seconds: list[float]) -> dict:
    """A row: per picture, of so many pictures a repeat."""
    middle, fastest, slowest = (
        round(1000 * s / (PROMPTS * ROUND), 4) for s in (statistics.median(seconds), min(seconds), max(seconds))
    )
    return {
        "what": what, "kind": kind, "parameters": size, "mflop": round(flops / 1e6, 2),
        "milliseconds": middle, "fastest": fastest, "slowest": slowest,
    }  # fmt: skip


def rows_of(prompts: list[str], names) -> list[dict]:
    """Every generator, and every verifier on the pictures of the first."""
    rows, pictures = [], {}
    for name in GENERATORS:
        sampler = vartut.load(name)

        def paint(sampler=sampler, kept=pictures if name == GENERATORS[0] else {}):
            for prompt in prompts:
                kept[prompt] = sampler.preview(painted(sampler, prompt, row_seed(0, prompt), 0))

        seconds = repeated(paint, REPEATS)
        whole = vartut.random_search(sampler, prompts[0], vartut.load_verifier("oracle"), n=2, seed=0).ledger
        one = vartut.random_search(sampler, prompts[0], vartut.load_verifier("oracle"), n=1, seed=0).ledger
        flops = whole.total("flops") - one.total("flops")  # of one picture more: the text is read once
        size = parameters(sampler.transformer) + parameters(sampler.tokenizer.decoder)
        rows.append(row_of(name, "generator", size, flops, seconds))
    for name in names:
        verifier = vartut.load_verifier(name)

        def score(verifier=verifier):
            for prompt in prompts:
                verifier(pictures[prompt], prompt)

        seconds = repeated(score, REPEATS)
        rows.append(row_of(name, "verifier", size_of(verifier), verifier.flops_per_image, seconds))
    return rows


def size_of(verifier) -> int:
    """The parameters that a verifier reads pictures and prompts with; the judge has none."""
    models = {id(m): m for m in vars(verifier).values() if isinstance(m, torch.nn.Module)}
    inner = getattr(verifier, "clip", None)
    return sum(parameters(m) for m in models.values()) + (size_of(inner) if inner is not None else 0)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    asked = list(dict.fromkeys(world.hard("nano")))[:PROMPTS]
    found = rows_of(asked, hub.VERIFIERS)
    beside = {row["what"]: row for row in found if row["kind"] == "generator"}
    for row in found:
        for name, generator in beside.items():
            for unit, key in (("flops", "mflop"), ("seconds", "milliseconds")):
                share = round(row[key] / generator[key], 4) if row["kind"] == "verifier" else None
                row[f"{unit}_of_{name}"] = share
        print(row)
    made = {"pictures": PROMPTS * ROUND, "repeats": REPEATS, **stamp()}
    table = data_folder() / "results" / "verifier_speed.csv"
    replace_rows(table, [row | made for row in found], key=lambda row: row["device"])

"""What a verifier costs beside a generator: data/results/verifier_speed.csv.

    OMP_WAIT_POLICY=passive python benchmarks/verifier_speed.py       a minute on two idle cores

For every verifier and both generators: parameters, FLOPs and milliseconds a picture, in one run, by turns, on 64
pictures of one prompt at a time, as a search scores them, the prompts every fiftieth of nano's hard set.  Each is the
median of several repeats, each after one that is not counted; in that one CLIP reads the prompt, once for all.
`flops_of_nano` and its like say what a verifier's look at a picture costs as a share of painting one: how dear thinking
is beside drawing.  In smaller batches all are dearer.
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

APART = 50  # of the prompts in the hard set
REPEATS = 5
GENERATORS = ("nano", "tiny")


def parameters(model: torch.nn.Module) -> int:
    """How many numbers it was trained to hold."""
    return sum(part.numel() for part in model.parameters())


def row_of(what: str, kind: str, size: int, flops: float, seconds: list[float], pictures: int) -> dict:
    """A row: per picture, of so many pictures a repeat."""
    middle, fastest, slowest = (
        round(1000 * s / pictures, 4) for s in (statistics.median(seconds), min(seconds), max(seconds))
    )
    return {
        "what": what, "kind": kind, "parameters": size, "mflop": round(flops / 1e6, 2),
        "milliseconds": middle, "fastest": fastest, "slowest": slowest,
    }  # fmt: skip


def rows_of(prompts: list[str], names) -> list[dict]:
    """Every generator, and every verifier on the pictures of the first."""
    samplers, verifiers = {n: vartut.load(n) for n in GENERATORS}, {n: vartut.load_verifier(n) for n in names}
    pictures, flops, seconds, count = {}, {}, {}, len(prompts) * ROUND

    def paint(name):
        for prompt in prompts:
            images = samplers[name].preview(painted(samplers[name], prompt, row_seed(0, prompt), 0))
            pictures.setdefault(prompt, images)

    def score(name):
        asked = []
        for prompt in prompts:
            verifiers[name](pictures[prompt], prompt)
            asked.append(verifiers[name].flops_per_image)
        flops[name] = statistics.mean(asked)

    for _ in range(REPEATS):
        for name in (*samplers, *verifiers):
            work = paint if name in samplers else score
            seconds.setdefault(name, []).extend(repeated(lambda work=work, name=name: work(name), 1))
    for name, sampler in samplers.items():
        costs = [vartut.random_search(sampler, prompts[0], vartut.load_verifier("oracle"), n=n).ledger for n in (2, 1)]
        whole, one = (ledger.total("flops") for ledger in costs)
        flops[name] = whole - one  # of one picture more: the text is read once, and so is the first scale
    rows = []
    for name, model in (samplers | verifiers).items():
        kind = "generator" if name in samplers else "verifier"
        parts = (model.transformer, model.tokenizer.decoder) if name in samplers else ()
        size = sum(map(parameters, parts)) if parts else size_of(model)
        rows.append(row_of(name, kind, size, flops[name], seconds[name], count))
    return rows


def size_of(verifier) -> int:
    """The parameters that a verifier reads pictures and prompts with; the judge has none."""
    models = {id(m): m for m in vars(verifier).values() if isinstance(m, torch.nn.Module)}
    inner = getattr(verifier, "clip", None)
    return sum(parameters(m) for m in models.values()) + (size_of(inner) if inner is not None else 0)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    asked = list(dict.fromkeys(world.hard("nano")))[::APART]
    found = rows_of(asked, hub.VERIFIERS)
    beside = {row["what"]: row for row in found if row["kind"] == "generator"}
    for row in found:
        for name, generator in beside.items():
            for unit, key in (("flops", "mflop"), ("seconds", "milliseconds")):
                share = round(row[key] / generator[key], 4) if row["kind"] == "verifier" else None
                row[f"{unit}_of_{name}"] = share
        print(row)
    made = {"pictures": len(asked) * ROUND, "repeats": REPEATS, **stamp()}
    table = data_folder() / "results" / "verifier_speed.csv"
    replace_rows(table, [row | made for row in found], key=lambda row: row["device"])

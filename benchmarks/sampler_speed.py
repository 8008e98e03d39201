"""How much of the painter's time is matrix products, and what the rest is: data/results/sampler_speed.csv.

    python benchmarks/sampler_speed.py                 half a minute on two cores
    python benchmarks/sampler_speed.py --models nano   of a size that you have trained

For batches of 1, 32 and 128 pictures, in one run: the sampler's seconds; the seconds of the same matrix products alone,
of the transformer's own shapes and in its own order, on numbers that lie ready, which is the limit; the limit's share
of the sampler's time; and torch's own account of which operations the time goes to.  Each is the fastest of several
repeats: what else the machine does can only add.  Measure on a machine that does nothing else.
"""

import argparse
import os

import torch
from speed import repeated
from tables import replace_rows, stamp
from torch.profiler import ProfilerActivity, profile

import vartut
from vartut.measure import evaluate
from vartut.paths import data_folder

PROMPT = "a red circle left of a blue square"
BATCHES = (1, 32, 128)
NAMED = ("mm", "bmm", "addmm", "cat", "native_layer_norm", "gelu", "_softmax", "index", "mkldnn_convolution", "copy_")


def products(model, rows: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The matrix products of painting with `rows` rows, guidance included: pairs of factors, in the model's order."""
    layer, pairs, past = model.layers[0], [], 0
    weights = [part.weight.T for part in (layer.attention.qkv, layer.attention.out, layer.up, layer.down)]
    for block, new in enumerate(model.lengths):
        many = rows if block else 2  # the text and its absence are read once
        flat, wide = torch.randn(many * new, model.width), torch.randn(many * new, 4 * model.width)
        query = torch.randn(many * model.heads, new, model.width // model.heads)
        keys = torch.randn(many * model.heads, past + new, model.width // model.heads)
        attention = torch.randn(many * model.heads, new, past + new)
        pairs += model.depth * [*zip((flat, flat, flat, wide), weights), (query, keys.mT), (attention, keys)]
        if block:
            pairs.append((flat, model.head.weight.T))
        past += new
    return pairs


def multiply(pairs) -> None:
    """All products, their results thrown away."""
    for a, b in pairs:
        a @ b


def account(work) -> dict:
    """The share of every named operation in the time of `work`, by torch's profiler, and of all others together."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        work()
    spent = {row.key.removeprefix("aten::"): row.self_cpu_time_total for row in found.key_averages()}
    total = sum(spent.values())
    shares = {name.strip("_"): spent.get(name, 0) / total for name in NAMED}
    return shares | {"others": 1 - sum(shares.values())}


@torch.no_grad()
def measure(name: str, batch: int, repeats: int) -> dict:
    """A row of the table: one model at one batch."""
    sampler = vartut.load(name)

    def paint():
        evaluate.paint(sampler, [PROMPT] * batch, list(range(batch)), batch)

    pairs = products(sampler.transformer, 2 * batch)
    flops = sum(2 * a.numel() * b.shape[-1] for a, b in pairs)
    limit, seconds = (min(repeated(work, repeats)) for work in (lambda: multiply(pairs), paint))
    row = {"model": name, "batch": batch, "pictures_a_second": batch / seconds, "seconds": seconds}
    row |= {"seconds_of_products": limit, "share_of_limit": limit / seconds, "limit_gflops": flops / limit / 1e9}
    row |= {"gflops": flops / seconds / 1e9} | account(paint)
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["tiny"], choices=["nano", "tiny"])
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    rows = []
    for name in chosen.models:
        for batch in BATCHES:
            row = measure(name, batch, chosen.repeats)
            print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            rows.append(row | {"wait_policy": os.environ.get("OMP_WAIT_POLICY", "default")} | stamp())
    path = data_folder() / "results" / "sampler_speed.csv"
    replace_rows(path, rows, key=lambda row: (row["model"], row["batch"], row["wait_policy"]))

"""What half precision changes, and what it saves: data/results/precision.csv.

    python benchmarks/precision.py                 some minutes on two cores
    python benchmarks/precision.py --models tiny --n 25

Of each model in float32 and in bfloat16, on the first n test prompts of every short task, from the same seeds: how many
pictures the judge accepts; how many have the very tokens that float32 gave them; how many have the same tokens alone
as in a batch of 32, since in few digits the order of sums decides more near-ties; and how many are painted in a second,
32 at a time, the two in turn.  Whether bfloat16 saves anything depends on the processor.
"""

import argparse
import statistics

import torch
from speed import repeated
from tables import replace_rows, stamp

import vartut
from vartut import weights, world
from vartut.cli import number
from vartut.measure.evaluate import root_seeds
from vartut.measure.statistics import wilson
from vartut.models.protocol import row_seed
from vartut.paths import data_folder

DTYPES = (torch.float32, torch.bfloat16)
BATCH = 32
REPEATS = 5


@torch.no_grad()
def painted(sampler, prompts: list[str], seeds: list[int], batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (B, 3, 64, 64) and all their tokens (B, 130), `batch` of them at a time."""
    pictures, tokens = [], []
    for first in range(0, len(prompts), batch):
        state = sampler.begin(prompts[first : first + batch], seeds[first : first + batch])
        for _ in range(sampler.num_steps):
            state = sampler.expand(state)
        pictures.append(sampler.preview(state).cpu())
        tokens.append(torch.cat(state.tokens, 1).cpu())
    return torch.cat(pictures), torch.cat(tokens)


def measure(name: str, n: int) -> list[dict]:
    """The rows of one model, a dtype each."""
    named = [(prompt, f"{task}/{i}") for task in world.SHORT_TASKS for i, prompt in enumerate(world.prompts(task, n))]
    prompts, seeds = [prompt for prompt, _ in named], root_seeds(row_seed(0, place) for _, place in named)
    samplers = {dtype: vartut.load(name, dtype=dtype) for dtype in DTYPES}
    seconds = {dtype: [] for dtype in DTYPES}
    for _ in range(REPEATS):  # in turn: what else the machine does is the same for both
        for dtype, sampler in samplers.items():
            work = lambda s=sampler: painted(s, prompts[:BATCH], seeds[:BATCH], BATCH)  # noqa: E731
            seconds[dtype] += repeated(work, 1)
    rows, exact = [], None
    for dtype, sampler in samplers.items():
        pictures, tokens = painted(sampler, prompts, seeds, BATCH)
        exact = tokens if exact is None else exact
        right = sum(verdict.correct for verdict in vartut.judge(pictures, prompts))
        low, high = wilson(right, len(prompts))
        alone = painted(sampler, prompts, seeds, 1)[1]
        row = {"model": name, "dtype": str(dtype).removeprefix("torch."), "n": len(prompts), "successes": right}
        row |= {"rate": right / len(prompts), "low": low, "high": high}
        row |= {"tokens_of_float32": same(tokens, exact), "alone_as_in_a_batch": same(alone, tokens)}
        row |= {"pictures_a_second": BATCH / statistics.median(seconds[dtype])}
        rows.append({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()})
    return rows


def same(tokens: torch.Tensor, others: torch.Tensor) -> float:
    """The share of pictures, rows of (B, 130), with all tokens equal."""
    return (tokens == others).all(1).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["nano", "tiny"], choices=["nano", "tiny"])
    parser.add_argument("--n", type=number(-(-BATCH // len(world.SHORT_TASKS))), default=100, help="prompts a task")
    chosen = parser.parse_args()
    for name in chosen.models:
        made = {"weights": weights.read_provenance(name)["sha256"][:12], "seed": 0, **stamp()}
        rows = [row | made for row in measure(name, chosen.n)]
        for row in rows:
            print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        replace_rows(data_folder() / "results" / "precision.csv", rows, key=lambda row: row["model"])

"""What guidance and temperature do to nano: judged success of one picture and of the best of four, and how much four
pictures of one prompt differ: data/results/dials.csv.

    python benchmarks/dials.py             all settings, 25 test prompts of each of the eight short tasks, 4 seeds

Every setting paints the same prompts from the same seeds.  `rate` is over all pictures, its interval from the 200 rates
of the prompts (a normal one: four pictures of a prompt are no independent draws); `best` is the share of prompts of
which at least one of the four is right, with Wilson's interval; `adds` what that is more than `rate`, plus-minus
`adds_half`; `variety` the root mean squared difference of two pictures of a prompt, over the pixels and colours, in
percent of full scale.
"""

import argparse
import itertools
import time

import torch
from tables import replace_rows, stamp

import vartut
from vartut import weights, world
from vartut.cli import number
from vartut.measure.evaluate import paint
from vartut.measure.statistics import wilson
from vartut.models.protocol import row_seed
from vartut.paths import data_folder

FALLING = [1.0, 1.0, 0.8, 0.6, 0.4, 0.2]  # of a newly trained transformer, hub.PAINTING
SEEDS = 4
SETTINGS = {  # name: (guidance, temperature), one number or one a scale; None: nano's own
    "as shipped": None,
    "g = 2": (2.0, FALLING),
    "g = 1": (1.0, FALLING),
    "g = 6": (6.0, FALLING),
    "g from 4 to 1": ([4.0, 4.0, 3.0, 2.0, 1.0, 1.0], FALLING),
    "T = 1": (2.0, 1.0),
    "T = 0.1": (2.0, 0.1),
    "T rising": (2.0, FALLING[::-1]),
}


def measure(name: str, n: int, seed: int) -> dict:
    """The row of one setting."""
    sampler = vartut.load("nano")
    if SETTINGS[name] is not None:
        guidance, temperature = SETTINGS[name]
        sampler = sampler.tuned(guidance=guidance, temperature=temperature)
    asked = [(task, i, prompt) for task in world.SHORT_TASKS for i, prompt in enumerate(world.prompts(task, n, "test"))]
    began = time.perf_counter()
    prompts = [prompt for _, _, prompt in asked for _ in range(SEEDS)]
    seeds = [row_seed(seed, f"{task}/{i}/{j}") for task, i, _ in asked for j in range(SEEDS)]
    pictures = paint(sampler, prompts, seeds)
    right = torch.tensor([v.correct for v in vartut.judge(pictures, prompts)]).view(-1, SEEDS).double()  # (prompts, 4)
    minutes = (time.perf_counter() - began) / 60
    rates = right.mean(1)
    half = 1.96 * rates.std().item() / len(rates) ** 0.5
    solved = int(right.any(1).sum())
    low, high = wilson(solved, len(right))
    groups = pictures.view(-1, SEEDS, *pictures.shape[1:])
    pairs = [groups[:, a] - groups[:, b] for a, b in itertools.combinations(range(SEEDS), 2)]
    variety = 100 * torch.stack(pairs).square().mean((0, 2, 3, 4)).sqrt().mean().item()
    row = {"setting": name, "prompts": len(right), "seeds": SEEDS, "rate": rates.mean().item()}
    row |= {"low": rates.mean().item() - half, "high": rates.mean().item() + half}
    row |= {"best": solved / len(right), "best_low": low, "best_high": high, "variety": variety}
    adds = right.amax(1) - rates  # what the best of four has more than one, of each prompt
    row |= {"adds": adds.mean().item(), "adds_half": 1.96 * adds.std().item() / len(adds) ** 0.5}
    row = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
    row |= {"model": weights.read_provenance("nano")["sha256"][:12], "seed": seed, **stamp()}
    return row | {"minutes": round(minutes, 1)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS), metavar="SETTING")
    parser.add_argument("--n", type=number(1), default=25, help="prompts a task")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    for name in chosen.settings:
        row = measure(name, chosen.n, chosen.seed)
        print(row, flush=True)
        replace_rows(data_folder() / "results" / "dials.csv", [row], key=lambda row: row["setting"])

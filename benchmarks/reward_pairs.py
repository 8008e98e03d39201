"""Of which pairs of samples the reward model knows the better one: data/results/reward_pairs.csv.

    python benchmarks/reward_pairs.py        two minutes

It was trained to rank sixteen pictures of a prompt, eight painted by nano and eight by tiny, and was evaluated so.  A
search chooses among pictures by one painter.  Here, on the prompts kept from training: the share of pairs of different
grades that stand in the judge's order, for all pairs, across the painters, and within each; and what the rule "tiny
above nano, else a coin" has of all pairs.  Means over prompts, with their 95 % intervals.
"""

from itertools import islice

import numpy as np
import torch
from tables import replace_rows, stamp

import vartut
from vartut.measure.statistics import mean_interval
from vartut.paths import data_folder
from vartut.training import samples
from vartut.training.build import SAMPLED

KEPT = SAMPLED // 16  # the last of the prompts, as in RewardRecipe


def shares(reward: np.ndarray, grades: np.ndarray, painter: np.ndarray) -> dict[str, float]:
    """Of one prompt's pictures: the share of pairs in order, by kind of pair; no entry where there is none."""
    better = grades[:, None] > grades + 1e-6
    ahead = (reward[:, None] > reward) + 0.5 * (reward[:, None] == reward)
    mixed = painter[:, None] != painter
    rule = np.where(mixed, painter[:, None] > painter, 0.5)
    kinds = {"all": better, "across painters": better & mixed}
    kinds |= {name: better & ~mixed & (painter == i) for i, name in enumerate(samples.GENERATORS)}
    found = {kind: float(ahead[pairs].mean()) for kind, pairs in kinds.items() if pairs.any()}
    return found | ({"all, by the painter alone": float(rule[better].mean())} if better.any() else {})


if __name__ == "__main__":
    asked = list(islice(samples.prompts(), SAMPLED))[-KEPT:]
    painters = [vartut.load(name) for name in samples.GENERATORS]
    verifier, tokenizer = vartut.load_verifier("reward"), vartut.load_tokenizer()
    painter, told = np.repeat([0, 1], samples.EACH), {}
    for prompt in asked:
        made = samples.painted(painters, [prompt])
        tokens = made["tokens"][0].long().to(verifier.where)
        with torch.no_grad():
            images = tokenizer.preview(list(tokens.split([n * n for n in tokenizer.scales], 1)))
        reward = verifier(images, prompt).cpu().numpy()
        for kind, share in shares(reward, made["grades"][0].numpy(), painter).items():
            told.setdefault(kind, []).append(share)
    rows = []
    for kind, values in told.items():
        low, high = mean_interval(values)
        row = {"pairs": kind, "prompts": len(values), "in_order": np.mean(values), "low": low, "high": high}
        rows.append({key: round(float(v), 4) if isinstance(v, float) else v for key, v in row.items()} | stamp())
        print(rows[-1])
    replace_rows(data_folder() / "results" / "reward_pairs.csv", rows, key=lambda row: row["pairs"])

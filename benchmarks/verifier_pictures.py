"""Pictures for notebook 05, as tokens: data/results/verifier_pictures.safetensors.

    python benchmarks/verifier_pictures.py       a minute, after verifier_scores.py of nano's stages "tasks" and "hard"

By rule and not by hand.  `shown`: the first 64 pictures of one prompt of each task, the first of which 5 to 50 % are
right and the verifiers choose four different ones or more.  `fooled`: for every verifier, of the first prompts of the
hard set at which that happens, the picture that it likes best though the judge finds it wrong and others right.
"""

import json
import sys

import numpy as np
import torch
from rounds import ROUND, painted, prompts_of
from safetensors.torch import save_file

import vartut
from vartut.course.stored import Stored, stored
from vartut.paths import data_folder

MODEL = "nano"
LEARNED = ("clip", "clip-hard", "reward", "aesthetic", "vqa")
FOOLED = 4  # pictures of each verifier
BETWEEN = (0.05, 0.5)  # how many pictures of a shown prompt are right
CHOICES = 4  # different ones, at least


def shown(store: Stored, tasks: list[str]) -> list[int]:
    """The numbers of the prompts to show, one a task; `tasks` are those of the prompts."""
    found = {}
    for i, task in enumerate(tasks):
        right = store.right[i, :ROUND].mean()
        chosen = {int(store.scores[name][i, :ROUND].argmax()) for name in LEARNED}
        if task not in found and BETWEEN[0] <= right <= BETWEEN[1] and len(chosen) >= CHOICES:
            found[task] = i
    return [*found.values()]


def fooled(store: Stored, name: str) -> list[tuple[int, int]]:
    """Pairs (prompt, picture): what a verifier likes best and is wrong, where something is right."""
    best = store.scores[name].argmax(1)
    wrong = ~store.right[np.arange(len(best)), best] & store.right.any(1)
    return [(int(i), int(best[i])) for i in np.flatnonzero(wrong)[:FOOLED]]


def tokens_of(sampler, prompt: str, seed: int, first: int) -> torch.Tensor:
    """Tokens (ROUND, 130) of pictures from `first` on."""
    return torch.cat(painted(sampler, prompt, seed, first).tokens, 1).cpu().to(torch.int16)


if __name__ == "__main__":
    try:
        short, hard = (stored(MODEL, stage, distinct=False, learned=True) for stage in ("tasks", "hard"))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"verifier_pictures: {error}")
    sampler = vartut.load(MODEL)
    asked, asked_hard = prompts_of("tasks", MODEL), prompts_of("hard", MODEL)
    numbers = shown(short, [task for task, _, _ in asked])
    tokens = [tokens_of(sampler, *asked[i][1:], 0) for i in numbers]
    about, kept = [], []
    for name in LEARNED:
        for prompt, picture in fooled(hard, name):
            place = divmod(picture, ROUND)
            kept.append(tokens_of(sampler, *asked_hard[prompt][1:], place[0] * ROUND)[place[1]])
            row = {"verifier": name, "prompt": asked_hard[prompt][1], "of": hard.right.shape[1]}
            about.append(row | {"right": int(hard.right[prompt].sum())})
    path = data_folder() / "results" / "verifier_pictures.safetensors"
    texts = {"shown": json.dumps([asked[i][1] for i in numbers]), "fooled": json.dumps(about)}
    save_file({"shown": torch.stack(tokens), "fooled": torch.stack(kept)}, path, texts)
    print(texts)

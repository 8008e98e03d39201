"""What it costs a verifier to be trained on clean renders only: data/results/clean_only.csv.

    vartut train vqa --steps 3000 --folder runs/vqa-both
    vartut train vqa-clean --steps 3000 --folder runs/vqa-clean
    python benchmarks/clean_only.py --both runs/vqa-both --clean runs/vqa-clean

Both ask the same questions with as many steps; one has seen renders alone, the other reconstructions and nano's and
tiny's samples, too.  The same random questions about validation scenes are asked on renders and on reconstructions,
and about nano's pictures of its hard set, where the judge's word on what stands there counts: the share of right
answers.  Last, how each chooses among the first 64 pictures of each prompt of the hard set (`vartut.measure.choosing`).
"""

import argparse
import random
import sys
from pathlib import Path

import numpy as np
import torch
from reconstruction import rebuilt
from rounds import painted, prompts_of
from tables import replace_rows, stamp

import vartut
from vartut import weights, world
from vartut.course.stored import stored
from vartut.measure.choosing import headroom, right_above_wrong
from vartut.measure.statistics import mean_interval
from vartut.paths import data_folder
from vartut.training.reasoner import drawn
from vartut.verifiers.clip import fitted
from vartut.verifiers.vqa import ANSWERS, answers

SCENES = 256  # short ones, and as many dense ones
ASKED = 8  # nano's pictures of each prompt about which questions are asked
MODEL = "nano"


@torch.no_grad()
def right_answers(verifier, images: torch.Tensor, objects: list) -> list[float]:
    """The share of random questions about each picture that are answered right; `objects` stand in the pictures."""
    rng, shares = random.Random(0), []
    for first in range(0, len(images), 64):
        part = objects[first : first + 64]
        asked = [drawn(of, rng) for of in part]
        seen = fitted(images[first : first + 64].to(verifier.where, torch.float32))
        said = answers(verifier.model, seen, asked).argmax(1).tolist()
        told = iter(ANSWERS[answer] for answer in said)
        shares += [np.mean([question.answer(of) == next(told) for question in row]) for row, of in zip(asked, part)]
    return shares


def row_of(trained: str, pictures: str, measure: str, values) -> dict:
    """A row: a mean over pictures or prompts, and its interval."""
    low, high = mean_interval(values)
    found = {"value": float(np.mean(values)), "low": low, "high": high}
    return {"trained": trained, "pictures": pictures, "measure": measure, "n": len(values)} | found


def rows_of(verifiers: dict) -> list[dict]:
    """All rows, of all verifiers."""
    scenes = world.sample("all", SCENES, "validation") + world.sample("dense", SCENES, "validation")
    clean, things = world.render(scenes), [scene.objects for scene in scenes]
    again = rebuilt(vartut.load_tokenizer(), clean)
    sampler, asked = vartut.load(MODEL), prompts_of("hard", MODEL)
    right = stored(MODEL, "hard", distinct=False).right[:, :64]
    rows, scores, answered = [], {name: [] for name in verifiers}, {name: [] for name in verifiers}
    for name, verifier in verifiers.items():
        for pictures, images in (("renders", clean), ("reconstructions", again)):
            rows.append(row_of(name, pictures, "right answers", right_answers(verifier, images, things)))
    for _, prompt, seed in asked:
        images = sampler.preview(painted(sampler, prompt, seed, 0)).cpu()
        found = world.find(images[:ASKED])
        for name, verifier in verifiers.items():
            answered[name] += right_answers(verifier, images[:ASKED], found)
            scores[name].append(verifier(images, prompt).cpu().numpy())
    for name, of in scores.items():
        rows.append(row_of(name, "samples", "right answers", answered[name]))
        pairs = [chance for s, ok in zip(of, right) if (chance := right_above_wrong(s, ok)) is not None]
        rows.append(row_of(name, "samples", "right above wrong", pairs))
        share = dict(zip(("value", "low", "high"), headroom(64, np.array(of), right)))
        rows.append({"trained": name, "pictures": "samples", "measure": "headroom of 64", "n": len(of)} | share)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--both", type=Path, required=True, help="the folder of vqa")
    parser.add_argument("--clean", type=Path, required=True, help="the folder of vqa-clean")
    chosen = parser.parse_args()
    folders = {"vqa": chosen.both, "vqa-clean": chosen.clean}
    try:
        known = {name: weights.read_provenance(name, folder) for name, folder in folders.items()}
        found = rows_of({name: vartut.load_verifier(name, folder) for name, folder in folders.items()})
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"clean_only: {error}")
    rows = []
    for row in found:
        of = known[row["trained"]]
        made = {"steps": of["steps"], "trained_by": of["commit"], "weights": of["sha256"][:12]} | stamp()
        rows.append({key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()} | made)
        print(rows[-1])
    replace_rows(data_folder() / "results" / "clean_only.csv", rows, key=lambda row: row["trained"])

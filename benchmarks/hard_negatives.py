"""How often a verifier prefers the true prompt to one with a word changed: data/results/hard_negatives.csv.

    python benchmarks/hard_negatives.py     minutes: in the table

Validation scenes of the short tasks and dense ones, every prompt beside one false prompt of each kind of change that it
has (`vartut.world.negatives`): another colour, shape, texture, size, number or relation, or two words swapped.  Once on
clean renders, once on the tokenizer's reconstructions, which is what a search shows at its best.  Ties count half, so
whoever reads no prompt has 0.5.  Prompts longer than CLIP reads are left out for all.
"""

import argparse
import random
import time

import torch
from reconstruction import rebuilt
from tables import replace_rows, stamp

import vartut
from vartut import hub, weights, world
from vartut.cli import number
from vartut.measure.statistics import wilson_of
from vartut.paths import data_folder
from vartut.world.negatives import KINDS, false_prompts

LONGEST = 32  # words that CLIP reads


def scenes_of(n: int) -> list[world.Scene]:
    """n scenes of the short tasks and as many dense ones, less those whose prompts are too long."""
    drawn = world.sample("all", n, "validation") + world.sample("dense", n, "validation")
    return [scene for scene in drawn if len(world.words(scene.prompt)) <= LONGEST]


def contests(scenes: list[world.Scene]) -> list[tuple[int, str, str]]:
    """Triples (the scene's number, kind of change, false prompt)."""
    rng = random.Random(0)
    return [(i, kind, texts[0]) for i, scene in enumerate(scenes) for kind, texts in false_prompts(scene, rng).items()]


def won(verifier, images: torch.Tensor, scenes: list[world.Scene], against: list[tuple[int, str, str]]) -> list[float]:
    """For each contest 1 if the true prompt scores higher on its picture, 0 if the false one does, half for a tie."""
    true = verifier(images, [scene.prompt for scene in scenes]).cpu()
    rows = torch.tensor([i for i, _, _ in against])
    false = verifier(images[rows], [text for _, _, text in against]).cpu()
    return ((true[rows] > false) + 0.5 * (true[rows] == false)).tolist()


def table(verifiers: dict, pictures: dict[str, torch.Tensor], scenes: list[world.Scene]) -> list[dict]:
    """A row for each verifier, each sort of pictures and each kind of change, and for all kinds together.

    The interval is Wilson's, over contests; "all" counts several of one picture as independent, and is a little narrow.
    """
    rows, against = [], contests(scenes)
    for name, verifier in verifiers.items():
        for sort, images in pictures.items():
            points = won(verifier, images, scenes, against)
            for kind in (*KINDS, "all"):
                own = [point for point, (_, of, _) in zip(points, against) if kind in (of, "all")]
                share = sum(own) / len(own)
                ends = dict(zip(("share", "low", "high"), (share, *wilson_of(share, len(own)))))
                row = {"verifier": name, "pictures": sort, "kind": kind, "n": len(own)}
                rows.append(row | {key: round(value, 4) for key, value in ends.items()})
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=number(1), default=400, help="scenes of the short tasks, and as many dense ones")
    chosen, began = parser.parse_args(), time.perf_counter()
    asked = scenes_of(chosen.n)
    clean = world.render(asked)
    sorts = {"renders": clean, "reconstructions": rebuilt(vartut.load_tokenizer(), clean)}
    found = table({name: vartut.load_verifier(name) for name in hub.VERIFIERS}, sorts, asked)
    known = {name: weights.read_provenance(name)["sha256"][:12] for name in hub.VERIFIERS if name != "oracle"}
    made = {**stamp(), "minutes": round((time.perf_counter() - began) / 60, 1)}
    for row in found:
        print(row)
    found = [row | {"weights": known.get(row["verifier"], "")} | made for row in found]
    replace_rows(data_folder() / "results" / "hard_negatives.csv", found, key=lambda row: row["verifier"])

"""Judged success against the number of facts of a prompt: data/results/facts.csv.

    python benchmarks/curves.py --model nano --stage dense --n 64     first: single pictures and the best of 64
    python benchmarks/facts.py --model nano                           then: a beam for as many NFE, and the law

On 20 dense prompts of each number of facts, 3 to 14: one picture; the best of 64 by each verifier; and a beam 3 x 7 by
the same verifier from the same seeds.  Both searches cost about 320 NFE, and their difference on the same prompts has
rows of its own.  Beside them stands the law of facts that fail independently (`vartut.measure.law`), its chance fitted
to the single pictures of all prompts of a model: for the best of 64 by the judge it is what such facts would give, and
the further the measured one lies from it, the less independent they are.  A beam that was stopped goes on: each
prompt's outcome is a file in runs/facts.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from curves import VERIFIERS
from rounds import prompts_of, scorers, stored
from tables import replace_rows, stamp
from tqdm import tqdm

import vartut
from vartut import weights
from vartut.measure.law import best_of_independent, failing_chance
from vartut.measure.statistics import best_of, success_interval
from vartut.paths import data_folder, expanded, write_files

PICTURES = 64
BEAM = {"width": 3, "candidates": 7}


def searched(sampler, verifier, asked, folder: Path) -> list[dict]:
    """A beam for every prompt, judged; what is in `folder` is not searched again."""
    found = []
    for i, (_, prompt, seed) in enumerate(tqdm(asked, desc=verifier.name, mininterval=5)):
        path = folder / f"{verifier.name}-{i:03}-{name_of(prompt, seed)}.json"
        if not path.exists():
            result = vartut.beam_search(sampler, prompt, verifier, seed=seed, **BEAM)
            verdict = vartut.judge(result.image[None], [prompt])[0]
            row = {"prompt": prompt, "correct": verdict.correct, "grade": verdict.grade, "nfe": result.ledger.nfe}
            write_files({path: json.dumps(row | {"commit": stamp()["commit"]})})
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{path} is damaged: remove it, and it is searched anew") from error
    return found


def name_of(prompt: str, seed: int) -> str:
    """The same for the same search alone: its prompt, seed and beam, and the verifiers' weights."""
    return hashlib.sha256(json.dumps([prompt, seed, BEAM, scorers(VERIFIERS)]).encode()).hexdigest()[:8]


def rows_of(arm: str, verifier: str, groups: list[str], won, grades, nfe: float, law: dict) -> list[dict]:
    """A row per number of facts and one for all: the means over prompts of both, that of `won` with its interval."""
    rows = []
    for group in (*dict.fromkeys(groups), "all"):
        own = [group in (g, "all") for g in groups]
        if " less " in arm:  # from -1 to 1: a difference of rates, as if a rate of half its size
            low, high = (2 * end - 1 for end in success_interval((won[own] + 1) / 2))
        else:
            low, high = success_interval(won[own])
        numbers = {"success": won[own].mean(), "low": low, "high": high, "grade": grades[own].mean()}
        numbers |= {"nfe": nfe, "law": law.get(group)}
        row = {"arm": arm, "verifier": verifier, "facts": group.removesuffix(" facts"), "prompts": sum(own)}
        rows.append(row | {key: None if v is None else round(float(v), 4) for key, v in numbers.items()})
    return rows


def compared(won, best) -> np.ndarray:
    """By how much the beam is ahead of the best of as many NFE, on each prompt."""
    return np.asarray(won, dtype=np.float64) - np.asarray(best, dtype=np.float64)


def independent(groups: list[str], correct: np.ndarray) -> tuple[float, dict, dict]:
    """The fitted chance that a fact fails, and by group what the law says of one picture and of the best of 64."""
    facts = np.array([int(group.removesuffix(" facts")) for group in groups])
    q = failing_chance(facts, correct.sum(1), np.full(len(facts), correct.shape[1]))
    single, best = (best_of_independent(q, facts, n) for n in (1, PICTURES))
    means = [{g: law[[g == h for h in groups]].mean() for g in groups} | {"all": law.mean()} for law in (single, best)]
    return q, *means


def main(model: str, folder: Path) -> None:
    """Everything for one model."""
    asked, digest = prompts_of("dense", model), weights.read_provenance(model)["sha256"][:12]
    kept, about = stored(data_folder() / "results" / "curves" / f"{model}-dense.safetensors", asked, digest, VERIFIERS)
    if not kept:
        command = f"python benchmarks/curves.py --model {model} --stage dense --n {PICTURES}"
        raise ValueError(f"the single pictures of these weights are not there: run `{command}` first")
    groups, sampler = [group for group, _, _ in asked], vartut.load(model)
    kept = {kind: values[:, :PICTURES] for kind, values in kept.items()}
    q, one, many = independent(groups, kept["correct"])
    steps = sampler.num_steps
    rows = rows_of("one picture", "", groups, kept["correct"].mean(1), kept["oracle"].mean(1), steps, one)
    for name in ("oracle", *VERIFIERS):
        best, grades = (
            np.array([best_of(PICTURES, s, v) for s, v in zip(kept[name], kept[kind])])
            for kind in ("correct", "oracle")
        )
        law = many if name == "oracle" else {}
        passes = 1 + PICTURES * (steps - 1)
        rows += rows_of(f"best of {PICTURES}", name, groups, best, grades, passes, law)
        place = folder / "-".join([model, digest, *scorers(VERIFIERS).split()])  # outcomes by other weights are others
        found = searched(sampler, vartut.load_verifier(name), asked, place)
        won, graded, nfe = (np.array([float(row[key]) for row in found]) for key in ("correct", "grade", "nfe"))
        beam = f"beam {BEAM['width']} x {BEAM['candidates']}"
        rows += rows_of(beam, name, groups, won, graded, nfe.mean(), {})
        less, more = f"{beam} less best of {PICTURES}", nfe.mean() - passes
        rows += rows_of(less, name, groups, compared(won, best), compared(graded, grades), more, {})
    made = {"weights": digest, "verifiers": scorers(VERIFIERS), "q": round(q, 4), "seed": 0}
    made |= stamp() | {"pictures_by": about["commit"]}
    rows = [{"model": model} | row | made for row in rows]
    replace_rows(data_folder() / "results" / "facts.csv", rows, key=lambda row: row["model"])
    for row in rows:
        if row["facts"] == "all":
            print({key: row[key] for key in ("arm", "verifier", "success", "low", "high", "nfe", "law", "q")})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", choices=("nano", "tiny"))
    parser.add_argument("--folder", type=expanded, default=Path("runs/facts"), help="where outcomes of beams are kept")
    chosen = parser.parse_args()
    try:
        main(chosen.model, chosen.folder)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"facts: {error}")

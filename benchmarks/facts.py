"""How judged success falls with the number of facts in a prompt: data/results/facts.csv.

    python benchmarks/curves.py --model nano --stage dense --n 128     first: pictures; scores and verdicts are kept
    python benchmarks/facts.py --model nano

For the 240 dense prompts of that stage, 20 of each number of facts: single pictures; the best of n as the judge and
each CLIP choose it; and a beam of 3 x 7 under each, from the same seeds.  A beam and separate pictures can cost the
same in one currency alone, so n is as many pictures as cost what the beam does in NFE, in tokens, in FLOPs, and as many
as the beam's verifier sees; each has rows of its own, and so have the differences on the same prompts.  Beside them
stands the law of facts that fail independently (`vartut.measure.law`), its chance fitted to the single pictures of all
prompts of a model: the further the measured best of n lies from it, the less independent they are.  A beam that was
stopped goes on: each prompt's outcome is a file in runs/facts.  What came of every prompt is kept in
data/results/facts.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from curves import VERIFIERS
from rounds import prompts_of, scorers, stored, texts
from safetensors.numpy import save_file
from tables import replace_rows, stamp
from tqdm import tqdm

import vartut
from vartut import weights
from vartut.measure.law import best_of_independent, failing_chance
from vartut.measure.statistics import best_of, success_interval
from vartut.paths import data_folder, expanded, write_files

BEAM = {"width": 3, "candidates": 7}
NAME = f"beam {BEAM['width']} x {BEAM['candidates']}"
PICTURES = 64  # as many NFE as the beam within 2 %, and a power of two, as in the curves
CURRENCIES = ("nfe", "tokens", "gflop", "pictures")


def spent(result) -> dict:
    """What a search cost, in every currency; FLOPs without the verifier's, pictures are those that it saw."""
    ledger = result.ledger
    flops = ledger.total("flops") - ledger.total("flops", "verifier")
    return dict(zip(CURRENCIES, (ledger.nfe, ledger.total("tokens"), flops / 1e9, ledger.total("calls", "verifier"))))


def searched(sampler, verifier, asked, folder: Path) -> list[dict]:
    """A beam for every prompt, judged; what is in `folder` is not searched again."""
    found = []
    for i, (_, prompt, seed) in enumerate(tqdm(asked, desc=verifier.name, mininterval=5)):
        path = folder / f"{verifier.name}-{i:03}-{name_of(prompt, seed)}.json"
        if not path.exists():
            result = vartut.beam_search(sampler, prompt, verifier, seed=seed, **BEAM)
            verdict = vartut.judge(result.image[None], [prompt])[0]
            row = {"prompt": prompt, "correct": verdict.correct, "grade": verdict.grade, **spent(result)}
            write_files({path: json.dumps(row | {"commit": stamp()["commit"]})})
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{path} is damaged: remove it, and it is searched anew") from error
    return found


def name_of(prompt: str, seed: int) -> str:
    """The same for the same search alone: its prompt, seed and beam, and the verifiers' weights."""
    return hashlib.sha256(json.dumps([prompt, seed, BEAM, CURRENCIES, scorers(VERIFIERS)]).encode()).hexdigest()[:8]


def as_many(sampler, prompt: str, beam: dict, verifier) -> dict[str, tuple[int, dict]]:
    """For each currency: how many separate pictures cost what the beam does, and what they cost in all.

    A search of n pictures costs a + b n in every currency; two small ones give a and b.
    """
    two, three = (spent(vartut.random_search(sampler, prompt, verifier, n=n, seed=0)) for n in (2, 3))
    each = {key: three[key] - two[key] for key in CURRENCIES}
    counts = {key: round(2 + (beam[key] - two[key]) / each[key]) for key in CURRENCIES} | {"nfe": PICTURES}
    return {key: (n, {k: two[k] + (n - 2) * each[k] for k in CURRENCIES}) for key, n in counts.items()}


def rows_of(arm: str, verifier: str, groups: list[str], won, grades, costs: dict, law: dict) -> list[dict]:
    """A row per number of facts and one for all: the means over prompts of both, that of `won` with its interval."""
    rows = []
    for group in (*dict.fromkeys(groups), "all"):
        own = [group in (g, "all") for g in groups]
        if " less " in arm:  # from -1 to 1: a difference of rates, as if a rate of half its size
            low, high = (2 * end - 1 for end in success_interval((won[own] + 1) / 2))
        else:
            low, high = success_interval(won[own])
        numbers = {"success": won[own].mean(), "low": low, "high": high, "grade": grades[own].mean()}
        numbers |= {key: costs[key] for key in CURRENCIES} | {"law": law.get(group)}
        row = {"arm": arm, "verifier": verifier, "facts": group.removesuffix(" facts"), "prompts": sum(own)}
        rows.append(row | {key: None if v is None else round(float(v), 4) for key, v in numbers.items()})
    return rows


def compared(won, best) -> np.ndarray:
    """By how much the beam is ahead of separate pictures, on each prompt."""
    return np.asarray(won, dtype=np.float64) - np.asarray(best, dtype=np.float64)


def independent(groups: list[str], correct: np.ndarray, counts=(1,)) -> tuple[float, dict[int, dict]]:
    """The fitted chance that a fact fails, and for each n what the law says of the best of n, by group."""
    facts = np.array([int(group.removesuffix(" facts")) for group in groups])
    q = failing_chance(facts, correct.sum(1), np.full(len(facts), correct.shape[1]))
    laws = {n: best_of_independent(q, facts, n) for n in counts}

    def means(law):
        return {g: law[[g == h for h in groups]].mean() for g in groups} | {"all": law.mean()}

    return q, {n: means(law) for n, law in laws.items()}


def under(name: str, groups, kept: dict, found: list[dict], equal: dict, law: dict) -> tuple[list[dict], dict]:
    """All rows of one verifier: the beam, separate pictures at equal cost, their differences; and the outcomes."""
    won, graded = (np.array([float(row[key]) for row in found]) for key in ("correct", "grade"))
    costs = {key: np.mean([row[key] for row in found]) for key in CURRENCIES}
    rows, outcomes = rows_of(NAME, name, groups, won, graded, costs, {}), {f"{name} {NAME}": won}
    for n, bill in dict(equal.values()).items():
        best, grades = (
            np.array([best_of(n, s, v) for s, v in zip(kept[name], kept[kind])]) for kind in ("correct", "oracle")
        )
        rows += rows_of(f"best of {n}", name, groups, best, grades, bill, law.get(n, {}))
        more = {key: costs[key] - bill[key] for key in CURRENCIES}
        less = f"{NAME} less best of {n}"
        rows += rows_of(less, name, groups, compared(won, best), compared(graded, grades), more, {})
        outcomes[f"{name} best of {n}"] = best
    return rows, outcomes


def main(model: str, folder: Path) -> None:
    """Everything for one model."""
    asked, digest = prompts_of("dense", model), weights.read_provenance(model)["sha256"][:12]
    kept, about = stored(data_folder() / "results" / "curves" / f"{model}-dense.safetensors", asked, digest, VERIFIERS)
    groups, sampler = [group for group, _, _ in asked], vartut.load(model)
    (_, prompt, seed), oracle = asked[0], vartut.load_verifier("oracle")
    equal = as_many(sampler, prompt, spent(vartut.beam_search(sampler, prompt, oracle, seed=seed, **BEAM)), oracle)
    most = max(n for n, _ in equal.values())
    if not kept or kept["correct"].shape[1] < most:
        command = f"python benchmarks/curves.py --model {model} --stage dense --n {-(-most // 64) * 64}"
        raise ValueError(f"{most} pictures a prompt by these weights are not there: run `{command}` first")
    q, law = independent(groups, kept["correct"], (1, *(n for n, _ in equal.values())))
    whole = vartut.random_search(sampler, prompt, oracle, n=1, seed=0)
    rows = rows_of("one picture", "", groups, kept["correct"].mean(1), kept["oracle"].mean(1), spent(whole), law[1])
    outcomes = {"one picture": kept["correct"].mean(1)}
    place = folder / "-".join([model, digest, *scorers(VERIFIERS).split()])  # outcomes by other weights are others
    for name in ("oracle", *VERIFIERS):
        found = searched(sampler, vartut.load_verifier(name), asked, place)
        more, those = under(name, groups, kept, found, equal, law if name == "oracle" else {})
        rows, outcomes = rows + more, outcomes | those
    made = {"equal": " ".join(f"{key} {n}" for key, (n, _) in equal.items()), "weights": digest}
    made |= {"verifiers": scorers(VERIFIERS), "q": round(q, 4), "seed": 0, **stamp(), "pictures_by": about["commit"]}
    rows = [{"model": model} | row | made for row in rows]
    store = data_folder() / "results" / "facts" / f"{model}.safetensors"
    store.parent.mkdir(exist_ok=True)
    save_file({k: v.astype(np.float32) for k, v in outcomes.items()}, store, {"prompts": texts(asked)})
    replace_rows(data_folder() / "results" / "facts.csv", rows, key=lambda row: row["model"])
    for row in rows:
        if row["facts"] == "all":
            print({key: row[key] for key in ("arm", "verifier", "success", "low", "high", *CURRENCIES, "law", "q")})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", choices=("nano", "tiny"))
    parser.add_argument("--folder", type=expanded, default=Path("runs/facts"), help="where outcomes of beams are kept")
    chosen = parser.parse_args()
    try:
        main(chosen.model, chosen.folder)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"facts: {error}")

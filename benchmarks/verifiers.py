"""How well every verifier chooses among pictures of one prompt: data/results/verifiers.csv and two more tables.

    python benchmarks/curves.py --model nano --stage hard --n 512             first: verdicts, and both CLIPs' scores
    python benchmarks/verifier_scores.py --model nano --stage hard --n 512    those of the learned verifiers
    python benchmarks/verifiers.py --model nano --stage hard                  paints nothing, takes a minute

- verifiers.csv: the chance that a right picture scores above a wrong one of its prompt, and the share of the headroom
  that choosing among 8, 64 and 512 recovers (`vartut.measure.choosing`), with 95 % intervals over prompts.  `pooled` is
  the same chance over all pictures of all prompts, as a warning: it rewards knowing which prompts are easy.
- verifier_curves.csv: the best of 1, 2, 4, ... as each would choose it: judged success, and its own score, in standard
  deviations above the mean of the prompt's pictures.  Where the two part, it is over-optimised.
- verifier_cross.csv: the best of 64 as one would choose it, and what all others say of it, in the same units.

Every table has these for each group of prompts and for all.  An ensemble places a picture among all that were painted
of its prompt.  `eyes shut`, random numbers, is the control.
"""

import argparse
import sys
from itertools import combinations

import numpy as np
import torch
from curves import VERIFIERS as FIRST
from rounds import STAGES, prompts_of, stored
from tables import replace_rows, stamp
from verifier_scores import VERIFIERS as LEARNED
from verifier_scores import otherwise

from vartut import weights
from vartut.measure.choosing import headroom, right_above_wrong
from vartut.measure.statistics import best_of, mean_interval, success_interval
from vartut.paths import data_folder
from vartut.verifiers.ensemble import mean_ranks, mean_z

CHOICES = (8, 64, 512)  # pictures to choose among, where the headroom is measured
CROSSED = 64  # pictures that one chooses among and others look at
MEMBERS = ("clip-hard", "reward", "vqa")  # of the ensembles
BY_LIKELIHOOD = ("clip-hard", "vqa")  # whose scores are regularised by the generator's likelihood
ODD = 0.005  # more pictures than that came out otherwise: then these are others


def kept_of(model: str, stage: str) -> tuple[list, np.ndarray, dict[str, np.ndarray], dict]:
    """The prompts, what the judge says of their pictures (P, N), all scores (P, N) by name, and how they were made."""
    asked, digest = prompts_of(stage, model), weights.read_provenance(model)["sha256"][:12]
    results, name = data_folder() / "results", f"{model}-{stage}.safetensors"
    judged, _ = stored(results / "curves" / name, asked, digest, FIRST)
    told, about = stored(results / "verifier_scores" / name, asked, digest, LEARNED)
    for kept, program in ((judged, "curves"), (told, "verifier_scores")):
        if not kept:
            command = f"python benchmarks/{program}.py --model {model} --stage {stage} --n 512"
            raise ValueError(f"no scores by these weights in data/results/{program}: run `{command}` first")
    both = min(judged["correct"].shape[1], told["clip-hard"].shape[1])
    if (share := otherwise(told["clip-hard"], judged["clip-hard"])) > ODD:
        raise ValueError(f"{share:.1%} of the pictures came out otherwise: paint and judge them by one machine")
    every = told | judged  # both have clip-hard's; those of the judged pictures count
    scores = {name: values[:, :both].astype(np.float64) for name, values in every.items()}
    made = {"weights": digest, "pictures_by": about["commit"], "otherwise": round(share, 5)}
    return asked, scores.pop("correct") > 0, scores, made


def choosers(scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those that are kept, ensembles of them, scores regularised by likelihood, and random numbers, (P, N) each."""
    shape = next(iter(scores.values())).shape

    def together(combine, names):
        stacks = zip(*(torch.from_numpy(scores[name]) for name in names))
        return np.stack([combine(torch.stack(stack)).numpy() for stack in stacks])

    made = {f"ranks of {', '.join(MEMBERS)}": together(mean_ranks, MEMBERS)}
    made |= {f"z of {', '.join(MEMBERS)}": together(mean_z, MEMBERS)}
    made |= {f"z of {name}, likelihood": together(mean_z, (name, "likelihood")) for name in BY_LIKELIHOOD}
    return scores | made | {"eyes shut": np.random.default_rng(0).normal(size=shape)}


def groups_of(asked) -> dict[str, list[int]]:
    """The numbers of the prompts of each group, and of all."""
    names = [group for group, _, _ in asked]
    return {g: [i for i, name in enumerate(names) if g in (name, "all")] for g in (*dict.fromkeys(names), "all")}


def chances(asked, right: np.ndarray, by: dict[str, np.ndarray]) -> list[dict]:
    """Rows of verifiers.csv."""
    rows = []
    for (verifier, scores), (group, own) in ((v, g) for v in by.items() for g in groups_of(asked).items()):
        row = {"verifier": verifier, "group": group, "prompts": len(own)}
        pairs = [chance for i in own if (chance := right_above_wrong(scores[i], right[i])) is not None]
        low, high = mean_interval(pairs) if len(pairs) > 1 else (None, None)
        row |= {"mixed": len(pairs), "pairs": np.mean(pairs) if pairs else None, "low": low, "high": high}
        row["pooled"] = right_above_wrong(scores[own].ravel(), right[own].ravel())
        for n in CHOICES:
            room = n <= right.shape[1] and len(pairs) > 1
            found = headroom(n, scores[own], right[own]) if room else (None, None, None)
            row |= dict(zip((f"headroom_{n}", f"low_{n}", f"high_{n}"), found))
        rows.append({key: round(float(v), 4) if isinstance(v, float | np.floating) else v for key, v in row.items()})
    return rows


def curves(asked, right: np.ndarray, by: dict[str, np.ndarray]) -> list[dict]:
    """Rows of verifier_curves.csv."""
    rows, painted = [], right.shape[1]
    for verifier, scores in by.items():
        own_scores = standardised(scores)
        for n in [2**k for k in range(painted.bit_length())]:
            won = np.array([best_of(n, s, ok) for s, ok in zip(scores, right)])
            rises = np.array([best_of(n, s, z) for s, z in zip(scores, own_scores)])
            for group, own in groups_of(asked).items():
                low, high = success_interval(won[own])
                row = {"verifier": verifier, "group": group, "prompts": len(own), "painted": painted, "n": n}
                numbers = {"success": won[own].mean(), "low": low, "high": high, "score": rises[own].mean()}
                rows.append(row | {key: round(float(value), 4) for key, value in numbers.items()})
    return rows


def standardised(scores: np.ndarray) -> np.ndarray:
    """Scores (P, N) in standard deviations above the mean of their prompt; 0 where all are alike."""
    away = scores - scores.mean(1, keepdims=True)
    return away / np.maximum(scores.std(1, keepdims=True), 1e-12)


def crossed(asked, by: dict[str, np.ndarray]) -> list[dict]:
    """Rows of verifier_cross.csv: chosen by one, looked at by each."""
    rows, units = [], {name: standardised(scores) for name, scores in by.items()}
    for (chooser, scores), (looker, seen) in ((a, b) for a in by.items() for b in units.items()):
        n = min(CROSSED, scores.shape[1])
        values = np.array([best_of(n, s, z) for s, z in zip(scores, seen)])
        for group, own in groups_of(asked).items():
            low, high = mean_interval(values[own]) if len(own) > 1 else (None, None)
            row = {"chosen_by": chooser, "seen_by": looker, "group": group, "prompts": len(own), "n": n}
            numbers = {"score": values[own].mean(), "low": low, "high": high}
            rows.append(row | {key: None if v is None else round(float(v), 4) for key, v in numbers.items()})
    return rows


def differences(right: np.ndarray, by: dict[str, np.ndarray], n: int) -> list[tuple[str, str, float, float, float]]:
    """For each two choosers: by how much the second's best of n is more often right, and the 95 % interval over the
    prompts, paired."""
    won = {name: np.array([best_of(n, s, ok) for s, ok in zip(scores, right)]) for name, scores in by.items()}
    return [(a, b, float((won[b] - won[a]).mean()), *mean_interval(won[b] - won[a])) for a, b in combinations(won, 2)]


def main(model: str, stage: str) -> None:
    """The three tables of one model and stage."""
    asked, right, scores, made = kept_of(model, stage)
    by = choosers(scores)
    tables = {
        "verifiers": chances(asked, right, by),
        "verifier_curves": curves(asked, right, by),
        "verifier_cross": crossed(asked, by),
    }
    here = {"model": model, "stage": stage}
    for name, rows in tables.items():
        rows = [here | row | made | stamp() for row in rows]
        replace_rows(data_folder() / "results" / f"{name}.csv", rows, key=lambda row: (row["model"], row["stage"]))
    for row in tables["verifiers"]:
        if row["group"] == "all":
            print(row)
    n = min(CROSSED, right.shape[1])
    for a, b, more, low, high in differences(right, {name: by[name] for name in (*FIRST, *LEARNED[1:])}, n):
        print(f"best of {n}, {b} less {a}: {100 * more:.1f} points ({100 * low:.1f} to {100 * high:.1f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", choices=("nano", "tiny"))
    parser.add_argument("--stage", default="hard", choices=STAGES)
    chosen = parser.parse_args()
    try:
        main(chosen.model, chosen.stage)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"verifiers: {error}")

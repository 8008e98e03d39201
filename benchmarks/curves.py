"""How judged success climbs with the number of pictures to choose from: data/results/curves.csv.

    python benchmarks/curves.py --model tiny --stage short --n 256     8 prompts of each task; stopped, it goes on
    python benchmarks/curves.py --model nano --stage dense --n 64      20 prompts of each number of facts
    python benchmarks/curves.py --model nano --stage hard --n 1024 --jobs 2      the hard set of that model

Paints n pictures of every prompt, those that `vartut.random_search` would see, 64 a prompt in turn, so that a run that
is stopped has some of all prompts.  Every picture is scored by the verifiers that can read its prompt and judged; a
round of one prompt is a shard in runs/curves.  From what is there for all prompts comes the table: the best of 1, 2, 4,
... as each verifier would choose it, over all choices of so many pictures (`vartut.measure.statistics.best_of`), with
intervals over prompts.  Scores and verdicts of all pictures are kept in data/results/curves, so that nobody has to
paint them again: what is there of the same weights, verifiers and prompts is taken from there.  `--jobs` shares the
rounds among so many processes, which is faster where judging takes as long as painting; their minutes are added up.
"""

import sys
import time

import numpy as np
from rounds import ROUND, completed, options, painted
from safetensors import SafetensorError
from tables import replace_rows, stamp

import vartut
from vartut.measure.statistics import best_of, success_interval
from vartut.paths import data_folder

VERIFIERS = ("clip", "clip-hard")


def shard(sampler, verifiers, prompt: str, seed: int, first: int) -> dict[str, np.ndarray]:
    """What is kept of a round: verdicts, grades and scores, (ROUND,) each, and the seconds of painting and judging."""
    began = time.perf_counter()
    images = sampler.preview(painted(sampler, prompt, seed, first)).cpu()
    between = time.perf_counter()
    verdicts = vartut.judge(images, [prompt] * ROUND)
    seconds = np.array([between - began, time.perf_counter() - between], np.float32)
    kept = {"correct": np.array([v.correct for v in verdicts], np.uint8), "seconds": seconds}
    kept["oracle"] = np.array([v.grade for v in verdicts], np.float32)
    return kept | {name: verifier(images, prompt).cpu().numpy() for name, verifier in verifiers.items()}


def table(asked, kept: dict) -> list[dict]:
    """Rows of the table: per group and for all prompts, per verifier, per n."""
    rows, painted = [], kept["correct"].shape[1]
    groups = list(dict.fromkeys(group for group, _, _ in asked))
    for verifier in ("oracle", *(name for name in VERIFIERS if name in kept)):
        for n in [2**k for k in range(painted.bit_length())]:
            won = np.array([best_of(n, s, c) for s, c in zip(kept[verifier], kept["correct"])])
            score = np.array([best_of(n, s, s) for s in kept[verifier]])
            for group in (*groups, "all"):
                own = [i for i, (g, _, _) in enumerate(asked) if group in (g, "all")]
                low, high = success_interval(won[own])
                numbers = {"success": won[own].mean(), "low": low, "high": high, "score": score[own].mean()}
                row = {"verifier": verifier, "group": group, "prompts": len(own), "painted": painted, "n": n}
                rows.append(row | {key: round(float(value), 4) for key, value in numbers.items()})
    return rows


if __name__ == "__main__":
    chosen = options(__doc__, folder="runs/curves", n=256)
    store = data_folder() / "results" / "curves" / f"{chosen.model}-{chosen.stage}.safetensors"
    wanted = (chosen.model, chosen.stage, chosen.n, chosen.jobs, chosen.folder)
    try:
        asked, kept, about = completed(store, *wanted, VERIFIERS, shard)
    except (KeyboardInterrupt, OSError, SafetensorError, ValueError) as error:  # no weights, or prompts too long
        sys.exit(f"curves: {error}")
    made = {"weights": about.pop("weights"), "verifiers": about.pop("verifiers"), "seed": 0, **stamp(), **about}
    rows = [{"model": chosen.model, "stage": chosen.stage} | row | made for row in table(asked, kept)]
    replace_rows(data_folder() / "results" / "curves.csv", rows, key=lambda row: (row["model"], row["stage"]))
    for row in rows:
        if row["group"] == "all":
            print({key: row[key] for key in ("verifier", "n", "success", "low", "high", "score")})

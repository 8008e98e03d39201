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

import argparse
import hashlib
import multiprocessing
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from tables import replace_rows, stamp
from tqdm import tqdm

import vartut
from vartut import weights, world
from vartut.measure.evaluate import root_seeds
from vartut.measure.statistics import best_of, success_interval
from vartut.models.protocol import row_seed
from vartut.paths import data_folder, expanded

ROUND = 64  # pictures of a prompt at a time
STAGES = ("short", "dense", "hard")
VERIFIERS = ("clip", "clip-hard")


def prompts_of(stage: str, model: str) -> list[tuple[str, str, int]]:
    """The prompts of a stage, each with its group in the table and the seed of its search."""
    if stage == "short":
        asked = [(task, f"{task}/{i}", p) for task in world.SHORT_TASKS for i, p in enumerate(world.prompts(task, 8))]
    elif stage == "dense":
        asked = [
            (f"{facts} facts", f"dense/{facts}/{i}", prompt)
            for facts in world.DENSE_FACTS
            for i, prompt in enumerate(world.prompts("dense", 20, facts=facts))
        ]
    else:
        asked = [(f"{world.parse(p).facts} facts", f"hard-{model}/{i}", p) for i, p in enumerate(world.hard(model))]
    return [(group, prompt, row_seed(0, name)) for group, name, prompt in asked]


@torch.no_grad()
def painted(sampler, prompt: str, seed: int, first: int) -> torch.Tensor:
    """Pictures `first` to `first + ROUND - 1` of a random search, (ROUND, 3, 64, 64)."""
    state = sampler.expand(sampler.begin(prompt, root_seeds([seed])), ROUND, first=first)
    while state.step < sampler.num_steps:
        state = sampler.expand(state)
    return sampler.preview(state).cpu()


def shard(sampler, verifiers, prompt: str, seed: int, first: int) -> dict[str, np.ndarray]:
    """What is kept of a round: verdicts, grades and scores, (ROUND,) each, and the seconds of painting and judging."""
    began = time.perf_counter()
    images = painted(sampler, prompt, seed, first)
    between = time.perf_counter()
    verdicts = vartut.judge(images, [prompt] * ROUND)
    seconds = np.array([between - began, time.perf_counter() - between], np.float32)
    kept = {"correct": np.array([v.correct for v in verdicts], np.uint8), "seconds": seconds}
    kept["oracle"] = np.array([v.grade for v in verdicts], np.float32)
    return kept | {name: verifier(images, prompt).cpu().numpy() for name, verifier in verifiers.items()}


def shards(folder: Path, model: str, digest: str, stage: str, asked) -> Path:
    """The folder of the shards of these weights, verifiers and prompts: of others they are others."""
    same = hashlib.sha256((texts(asked) + scorers()).encode()).hexdigest()[:6]
    return folder / f"{model}-{digest}-{stage}-{same}"


def place(folder: Path, prompt: int, first: int) -> Path:
    """The shard of the pictures from `first` on of a prompt, by its number."""
    return folder / f"{prompt:03}-{first:04}.safetensors"


def readers(longest: str) -> dict:
    """The verifiers that can read a prompt as long as this one, by name; says of the others why not."""
    found = {name: vartut.load_verifier(name) for name in VERIFIERS}
    for name in VERIFIERS:
        try:
            found[name].read(longest)
        except ValueError as error:
            print(f"{name} does not score this stage: {error}")
            del found[name]
    return found


def run(model: str, asked, todo: list[tuple[int, int]], folder: Path, threads: int) -> None:
    """Paint, judge and score what is not in `folder` yet of these rounds: pairs of a first picture and a prompt."""
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started the jobs ends them
    torch.set_num_threads(threads)
    sampler, made = vartut.load(model), {"commit": stamp()["commit"]}
    verifiers = readers(longest_of(asked))
    parent = multiprocessing.parent_process()
    for first, i in tqdm(todo, mininterval=5):
        if parent is not None and not parent.is_alive():  # killed: nobody would gather what is painted
            return
        path = place(folder, i, first)
        if not path.exists():
            _, prompt, seed = asked[i]
            save_file(shard(sampler, verifiers, prompt, seed, first), path.with_suffix(".part"), made)
            path.with_suffix(".part").rename(path)  # a kill leaves no half a shard


@contextmanager
def alone(folder: Path):
    """The folder for this process alone; ValueError where another one paints into it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise ValueError(f"{folder} is being painted already: wait for that run, or give another --folder") from error


def longest_of(asked) -> str:
    """The prompt with the most words."""
    return max((prompt for _, prompt, _ in asked), key=lambda prompt: len(world.words(prompt)))


def run_together(model: str, asked, rounds: range, folder: Path, jobs: int) -> None:
    """`run` in so many processes; raises ValueError for prompts too long for the model and where one of them failed."""
    vartut.load(model).begin(longest_of(asked), 0)  # refused before any work is done
    folder.mkdir(parents=True, exist_ok=True)
    todo = [(first, i) for first in rounds for i in range(len(asked))]
    threads = max(1, torch.get_num_threads() // jobs)
    if jobs == 1:
        run(model, asked, todo, folder, threads)
        return
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # the jobs end with this process
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads half-way
    started = [context.Process(target=run, args=(model, asked, todo[j::jobs], folder, threads)) for j in range(jobs)]
    try:
        for process in started:
            process.start()
        for process in started:
            process.join()
    finally:
        for process in started:
            process.terminate()
    if any(process.exitcode for process in started):
        raise ValueError("one of the jobs failed, see above: what is painted is kept, start again to go on")


def gathered(folder: Path, count: int, first: int = 0) -> tuple[dict[str, np.ndarray], dict]:
    """All rounds from picture `first` on that every one of `count` prompts has, (count, N) of each kind, N may be 0.

    And what they took, in minutes, and which code made them.
    """
    rounds, files = [], [place(folder, i, first) for i in range(count)]  # the files of each round, one a prompt
    while all(path.exists() for path in files):
        rounds.append(files)
        files = [place(folder, i, first + ROUND * len(rounds)) for i in range(count)]
    if not rounds:
        return {}, {"minutes_painting": 0.0, "minutes_judging": 0.0, "commit": ""}
    shards = [[load_file(path) for path in files] for files in zip(*rounds)]  # a row per prompt
    kept = {kind: np.stack([np.concatenate([s[kind] for s in row]) for row in shards]) for kind in shards[0][0]}
    commits = {safe_open(path, "np").metadata()["commit"] for files in rounds for path in files}
    painting, judging = kept.pop("seconds").reshape(-1, 2).sum(0) / 60
    about = {"minutes_painting": round(float(painting), 1), "minutes_judging": round(float(judging), 1)}
    return kept, about | {"commit": " ".join(sorted(commits))}


def stored(path: Path, asked, digest: str) -> tuple[dict[str, np.ndarray], dict]:
    """What an earlier run of the same weights, verifiers and prompts has left, as `gathered` has it."""
    if path.exists():
        try:
            about = safe_open(path, "np").metadata() or {}
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged: restore it with `git checkout {path}`, or remove it") from error
        if [about.get(key) for key in ("prompts", "weights", "verifiers")] == [texts(asked), digest, scorers()]:
            minutes = {key: float(about[key]) for key in ("minutes_painting", "minutes_judging")}
            kept = load_file(path)
            rounds = {values.shape[1] % ROUND for values in kept.values()}
            if {len(values) for values in kept.values()} != {len(asked)} or rounds != {0} or "oracle" not in kept:
                raise ValueError(f"{path} is damaged: restore it with `git checkout {path}`, or remove it")
            return kept, minutes | {"commit": about["commit"]}
    return {}, {"minutes_painting": 0.0, "minutes_judging": 0.0, "commit": ""}


def scorers() -> str:
    """The verifiers whose scores are kept, each with its weights: scores by others are others."""
    return " ".join(f"{name} {weights.read_provenance(name)['sha256'][:12]}" for name in VERIFIERS)


def texts(asked) -> str:
    """The prompts, a line each."""
    return "\n".join(prompt for _, prompt, _ in asked)


def joined(before, now) -> tuple[dict[str, np.ndarray], dict]:
    """The pictures of two runs, one after the other, and what both took."""
    (kept, about), (more, and_about) = before, now
    if not kept or not more:
        return before if kept else now
    commits = sorted({*about["commit"].split(), *and_about["commit"].split()})
    minutes = {key: round(about[key] + and_about[key], 1) for key in ("minutes_painting", "minutes_judging")}
    both = {kind: np.concatenate([kept[kind], more[kind]], 1) for kind in kept if kind in more}
    return both, minutes | {"commit": " ".join(commits)}


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", choices=("nano", "tiny"))
    parser.add_argument("--stage", default="short", choices=STAGES)
    parser.add_argument("--n", type=int, default=256, help=f"pictures a prompt, a multiple of {ROUND}")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the work")
    parser.add_argument("--folder", type=expanded, default=Path("runs/curves"), help="where the shards are kept")
    chosen = parser.parse_args()
    if chosen.n < ROUND or chosen.n % ROUND:
        parser.error(f"--n {chosen.n}: pictures are painted {ROUND} at a time")
    if chosen.jobs < 1:
        parser.error(f"--jobs {chosen.jobs}: at least one process paints")
    store = data_folder() / "results" / "curves" / f"{chosen.model}-{chosen.stage}.safetensors"
    try:
        asked = prompts_of(chosen.stage, chosen.model)
        digest = weights.read_provenance(chosen.model)["sha256"][:12]
        folder = shards(chosen.folder, chosen.model, digest, chosen.stage, asked)
        before = stored(store, asked, digest)
        first = before[0]["correct"].shape[1] if before[0] else 0
        with alone(folder):
            run_together(chosen.model, asked, range(first, chosen.n, ROUND), folder, chosen.jobs)
        kept, about = joined(before, gathered(folder, len(asked), first))
    except KeyboardInterrupt:
        sys.exit(f"curves: interrupted; what is painted is kept in {folder}, the same command goes on")
    except (OSError, SafetensorError, ValueError) as error:  # no weights, or prompts that they cannot read
        sys.exit(f"curves: {error}")
    store.parent.mkdir(exist_ok=True)
    made = {"weights": digest, "verifiers": scorers()}
    save_file(kept, store, {"prompts": texts(asked)} | made | {k: str(v) for k, v in about.items()})
    made |= {"seed": 0, **stamp(), **about}
    rows = [{"model": chosen.model, "stage": chosen.stage} | row | made for row in table(asked, kept)]
    replace_rows(data_folder() / "results" / "curves.csv", rows, key=lambda row: (row["model"], row["stage"]))
    for row in rows:
        if row["group"] == "all":
            print({key: row[key] for key in ("verifier", "n", "success", "low", "high", "score")})

"""Rounds of pictures that are painted once, in turn over the prompts, and scored: what curves.py and
verifier_scores.py share.

A stage is a list of prompts.  Each gets the pictures that `vartut.random_search` would see, 64 in a round; a round of
one prompt is a shard, so that a run that is stopped goes on, and has some of all prompts.  What is there of the same
weights, verifiers and prompts is not painted again.
"""

import argparse
import hashlib
import multiprocessing
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from tables import stamp
from tqdm import tqdm

import vartut
from vartut import weights, world
from vartut.measure.evaluate import root_seeds
from vartut.models.protocol import row_seed
from vartut.paths import expanded

ROUND = 64  # pictures of a prompt at a time
STAGES = ("short", "tasks", "dense", "hard")
TASKS = ("counting", "position", "color_attr", "texture", "complex")  # those of `short` that a search finds hardest
EACH = 100  # test prompts of each of them; equal ones are asked once


def prompts_of(stage: str, model: str) -> list[tuple[str, str, int]]:
    """The prompts of a stage, each with its group in the table and the seed of its search."""
    if stage == "short":
        asked = [(task, f"{task}/{i}", p) for task in world.SHORT_TASKS for i, p in enumerate(world.prompts(task, 8))]
    elif stage == "tasks":
        different = {task: dict.fromkeys(world.prompts(task, EACH)) for task in TASKS}
        asked = [(task, f"{task}/{i}", p) for task, own in different.items() for i, p in enumerate(own)]
    elif stage == "dense":
        asked = [
            (f"{facts} facts", f"dense/{facts}/{i}", prompt)
            for facts in world.DENSE_FACTS
            for i, prompt in enumerate(world.prompts("dense", 20, facts=facts))
        ]
    else:
        asked = [(f"{world.parse(p).facts} facts", f"hard-{model}/{i}", p) for i, p in enumerate(world.hard(model))]
    return [(group, prompt, row_seed(0, name)) for group, name, prompt in asked]


def texts(asked) -> str:
    """The prompts, a line each."""
    return "\n".join(prompt for _, prompt, _ in asked)


def longest_of(asked) -> str:
    """The prompt with the most words."""
    return max((prompt for _, prompt, _ in asked), key=lambda prompt: len(world.words(prompt)))


@torch.no_grad()
def painted(sampler, prompt: str, seed: int, first: int):
    """The state of pictures `first` to `first + ROUND - 1` of a random search, all steps done."""
    state = sampler.expand(sampler.begin(prompt, root_seeds([seed])), ROUND, first=first)
    while state.step < sampler.num_steps:
        state = sampler.expand(state)
    return state


def shards(folder: Path, model: str, digest: str, stage: str, asked, names) -> Path:
    """The folder of the shards of these weights, prompts and verifiers: of others they are others."""
    same = hashlib.sha256((texts(asked) + scorers(names)).encode()).hexdigest()[:6]
    return folder / f"{model}-{digest}-{stage}-{same}"


def place(folder: Path, prompt: int, first: int) -> Path:
    """The shard of the pictures from `first` on of a prompt, by its number."""
    return folder / f"{prompt:03}-{first:04}.safetensors"


def scorers(names) -> str:
    """The verifiers whose scores are kept, each with its weights: scores by others are others."""
    return " ".join(f"{name} {weights.read_provenance(name)['sha256'][:12]}" for name in names)


def readers(names, longest: str) -> dict:
    """Those of the verifiers that can read a prompt as long as this one, by name; says of the others why not."""
    found = {name: vartut.load_verifier(name) for name in names}
    for name in names:
        try:
            found[name](torch.zeros(1, 3, 64, 64), longest)
        except ValueError as error:
            print(f"{name} does not score this stage: {error}")
            del found[name]
    return found


def run(model: str, asked, todo: list[tuple[int, int]], folder: Path, threads: int, names, shard) -> None:
    """Paint and score what is not in `folder` yet of these rounds: pairs of a first picture and a prompt."""
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started the jobs ends them
    torch.set_num_threads(threads)
    sampler, made = vartut.load(model), {"commit": stamp()["commit"]}
    verifiers = readers(names, longest_of(asked))
    parent = multiprocessing.parent_process()
    for first, i in tqdm(todo, mininterval=5):
        if parent is not None and not parent.is_alive():  # killed: nobody would gather what is painted
            return
        path = place(folder, i, first)
        if not path.exists():
            _, prompt, seed = asked[i]
            save_file(shard(sampler, verifiers, prompt, seed, first), path.with_suffix(".part"), made)
            path.with_suffix(".part").rename(path)  # a kill leaves no half a shard


def run_together(model: str, asked, rounds: range, folder: Path, jobs: int, names, shard) -> None:
    """`run` in so many processes; raises ValueError for prompts too long for the model and where one of them failed."""
    vartut.load(model).begin(longest_of(asked), 0)  # refused before any work is done
    folder.mkdir(parents=True, exist_ok=True)
    todo = [(first, i) for first in rounds for i in range(len(asked))]
    threads = max(1, torch.get_num_threads() // jobs)
    if jobs == 1:
        run(model, asked, todo, folder, threads, names, shard)
        return
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # the jobs end with this process
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads half-way
    work = [(model, asked, todo[j::jobs], folder, threads, names, shard) for j in range(jobs)]
    started = [context.Process(target=run, args=args) for args in work]
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


@contextmanager
def alone(folder: Path):
    """The folder for this process alone; ValueError where another one paints into it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise ValueError(f"{folder} is being painted already: wait for that run, or give another --folder") from error


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


def stored(path: Path, asked, digest: str, names) -> tuple[dict[str, np.ndarray], dict]:
    """What an earlier run of the same weights, verifiers and prompts has left, as `gathered` has it."""
    if path.exists():
        try:
            about = safe_open(path, "np").metadata() or {}
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged: restore it with `git checkout {path}`, or remove it") from error
        if [about.get(key) for key in ("prompts", "weights", "verifiers")] == [texts(asked), digest, scorers(names)]:
            minutes = {key: float(about[key]) for key in ("minutes_painting", "minutes_judging")}
            kept = load_file(path)
            rounds = {values.shape[1] % ROUND for values in kept.values()}
            if {len(values) for values in kept.values()} != {len(asked)} or rounds != {0}:
                raise ValueError(f"{path} is damaged: restore it with `git checkout {path}`, or remove it")
            return kept, minutes | {"commit": about["commit"]}
    return {}, {"minutes_painting": 0.0, "minutes_judging": 0.0, "commit": ""}


def joined(before, now) -> tuple[dict[str, np.ndarray], dict]:
    """The pictures of two runs, one after the other, and what both took."""
    (kept, about), (more, and_about) = before, now
    if not kept or not more:
        return before if kept else now
    commits = sorted({*about["commit"].split(), *and_about["commit"].split()})
    minutes = {key: round(about[key] + and_about[key], 1) for key in ("minutes_painting", "minutes_judging")}
    both = {kind: np.concatenate([kept[kind], more[kind]], 1) for kind in kept if kind in more}
    return both, minutes | {"commit": " ".join(commits)}


def completed(store: Path, model: str, stage: str, n: int, jobs: int, folder: Path, names, shard):
    """The first n pictures of every prompt of a stage: what `store` holds of them, and the rest painted now.

    Returns the prompts as `prompts_of` has them, what is kept of every picture, and what is known about it all.
    """
    asked = prompts_of(stage, model)
    digest = weights.read_provenance(model)["sha256"][:12]
    folder = shards(folder, model, digest, stage, asked, names)
    before = stored(store, asked, digest, names)
    first = next(iter(before[0].values())).shape[1] if before[0] else 0
    try:
        with alone(folder):
            run_together(model, asked, range(first, n, ROUND), folder, jobs, names, shard)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"interrupted; what is painted is kept in {folder}, the same command goes on") from stop
    kept, about = joined(before, gathered(folder, len(asked), first))
    store.parent.mkdir(exist_ok=True)
    about = {"weights": digest, "verifiers": scorers(names), **about}
    save_file(kept, store, {"prompts": texts(asked)} | {k: str(v) for k, v in about.items()})
    return asked, kept, about


def options(about: str, folder: str, n: int) -> argparse.Namespace:
    """What the command line says: --model --stage --n --jobs --folder."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", choices=("nano", "tiny"))
    parser.add_argument("--stage", default="short", choices=STAGES)
    parser.add_argument("--n", type=int, default=n, help=f"pictures a prompt, a multiple of {ROUND}")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the work")
    parser.add_argument("--folder", type=expanded, default=Path(folder), help="where the shards are kept")
    chosen = parser.parse_args()
    if chosen.n < ROUND or chosen.n % ROUND:
        parser.error(f"--n {chosen.n}: pictures are painted {ROUND} at a time")
    if chosen.jobs < 1:
        parser.error(f"--jobs {chosen.jobs}: at least one process paints")
    return chosen

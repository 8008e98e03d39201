"""One plain training loop for every model of the course.

A recipe (see `recipes.py`) has a `model`, a list of `optimizers`, a `loss(step)` and an `evaluate()`.  Every random
draw of step s comes from (seed, s), so a run that was killed and resumes from its checkpoint takes the same steps as
one that was not.  Ctrl-C and SIGTERM end a run after the step under way, which is saved.  The learning rate warms up,
stays, and falls to zero over the last quarter: the weights are best at the end.  Checkpoints hold model, optimizer and
step as safetensors; nothing is ever unpickled.
"""

import json
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from tqdm.auto import tqdm

from ..paths import expanded, naming, write_files

WARMUP = 100  # steps
DECAY = 0.25  # share of the steps over which the learning rate falls to zero


def learning_rate(step: int, steps: int) -> float:
    """The factor on the peak learning rate at this step: a ramp, a plateau, a fall."""
    return min(1.0, (step + 1) / WARMUP, (steps - step) / max(1, round(DECAY * steps)))


class Stopped(KeyboardInterrupt):
    """A run that Ctrl-C or SIGTERM ended after a step; `signal` is which, the checkpoint has the step."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.signal = number


def train(
    recipe, steps: int, folder: Path, seed: int = 0, save_minutes: float = 3.0, log=print, about: dict | None = None
) -> dict:
    """Run `recipe` for `steps` steps, resuming from `folder` where a checkpoint lies; returns the final metrics.

    Writes `<recipe>.checkpoint.safetensors` every `save_minutes` and `<recipe>.log.jsonl` every 50 steps, so that runs
    of several recipes can share a folder.  `about` is what else makes a run the same one: what its model started from.
    Raises ValueError for a checkpoint of another run (seed, steps, batch, learning rate, `about`) and where another
    process trains the same recipe in `folder`; Stopped, a KeyboardInterrupt, after Ctrl-C or SIGTERM.
    """
    if steps < 1:
        raise ValueError(f"steps={steps}: a run takes at least one step")
    folder = expanded(folder)
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{recipe.name}.lock", timeout=0):
            return run(recipe, steps, folder, seed, save_minutes, log, about or {})
    except Timeout as error:
        raise ValueError(
            f"{recipe.name} is being trained in {folder} already: "
            "wait for that run, or give this one a folder of its own with --folder"
        ) from error


def run(recipe, steps: int, folder: Path, seed: int, save_minutes: float, log, about: dict) -> dict:
    """`train` in a folder that is this process's alone."""
    checkpoint, log_path = folder / f"{recipe.name}.checkpoint.safetensors", folder / f"{recipe.name}.log.jsonl"
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in recipe.optimizers]
    identity = {"recipe": recipe.name, "seed": seed, "steps": steps, "batch": recipe.batch, "learning rate": peaks}
    identity |= {"dense": recipe.dense} if hasattr(recipe, "dense") else {}
    identity = {key: v if isinstance(v, str) else json.dumps(v) for key, v in (identity | about).items()}
    start, minutes = load_checkpoint(checkpoint, recipe, identity) if checkpoint.exists() else (0, 0.0)
    rows = logged(log_path, start)
    began = saved = time.perf_counter()
    bar = tqdm(range(start, steps), initial=start, total=steps, desc=recipe.name, mininterval=1)
    recipe.model.train()
    with stop_signals() as stop:
        for step in bar:
            loss, metrics = update(recipe, step, peaks, learning_rate(step, steps))
            if step % 50 == 0 or step == steps - 1:
                row = {"step": step, "loss": round(loss.item(), 4)}
                rows.append(json.dumps(row | {name: round(value.item(), 4) for name, value in metrics.items()}) + "\n")
                write_files({log_path: "".join(rows)})
                bar.set_postfix(loss=row["loss"])
            now = time.perf_counter()
            if now - saved > 60 * save_minutes or step == steps - 1 or stop:
                save_checkpoint(checkpoint, recipe, identity, step + 1, minutes + (now - began) / 60)
                saved = now
            if stop:
                bar.close()
                raise Stopped(f"stopped after {step + 1} of {steps} steps, saved in {checkpoint}", stop[0])
    recipe.model.eval()
    metrics = recipe.evaluate()
    metrics["minutes"] = round(minutes + (time.perf_counter() - began) / 60, 1)
    log(json.dumps(metrics))
    return metrics


def update(recipe, step: int, peaks: list[list[float]], factor: float):
    """One step of every optimizer at `factor` times its peak rates; returns the loss and what to log of it."""
    for optimizer, rates in zip(recipe.optimizers, peaks):
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate * factor
        optimizer.zero_grad(set_to_none=True)
    loss, metrics = recipe.loss(step)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(recipe.model.parameters(), 1.0)
    for optimizer in recipe.optimizers:
        optimizer.step()
    return loss, metrics


@contextmanager
def stop_signals():
    """A list that gets the numbers of SIGINT and SIGTERM instead of what they do; outside the main thread always empty.

    Asked twice is asked once: `timeout` and terminals send a signal to a process and once more to its group.
    """
    caught, before = [], {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # `nohup` and `&` have one ignored
                before[number] = signal.signal(number, lambda number, frame: caught.append(number))
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def logged(path: Path, step: int) -> list[str]:
    """The lines of a log before the step where a resumed run goes on: what came after its checkpoint is done again."""
    kept = []
    for line in path.read_text(encoding="utf-8").split("\n") if path.exists() else []:
        try:
            earlier = json.loads(line)["step"] < step
        except (ValueError, TypeError, KeyError):  # cut short
            earlier = False
        kept += [line + "\n"] * earlier
    return kept


def save_checkpoint(path: Path, recipe, identity: dict, step: int, minutes: float) -> None:
    """Write model, optimizers and step."""
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in recipe.model.state_dict().items()}
    for i, optimizer in enumerate(recipe.optimizers):
        for j, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimizer.{i}.{j}.{name}"] = torch.as_tensor(value).clone()
    metadata = identity | {"step": str(step), "minutes": str(minutes)}
    write_files({path: save(tensors, metadata)})  # a kill leaves the old one whole; save_file's errors name no file


def load_checkpoint(path: Path, recipe, identity: dict) -> tuple[int, float]:
    """Fill the recipe from a checkpoint of the same run; returns (steps done, minutes spent)."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: remove it, and the run starts anew") from error
    if found := [key for key, value in identity.items() if metadata.get(key) != value]:
        differing = ", ".join(f"{key} {metadata.get(key, 'unknown')}, not {identity[key]}" for key in found)
        raise ValueError(
            f"{path} is of another run ({differing}): remove it, or give this run a folder of its own with --folder"
        )
    recipe.model.load_state_dict({n[6:]: t for n, t in tensors.items() if n.startswith("model.")})
    for i, optimizer in enumerate(recipe.optimizers):
        state = {}
        for name, tensor in tensors.items():
            if name.startswith(f"optimizer.{i}."):
                _, _, j, key = name.split(".", 3)
                state.setdefault(int(j), {})[key] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    return int(metadata["step"]), float(metadata["minutes"])

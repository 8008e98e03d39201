"""One plain training loop for every model of the course.

A recipe (see `recipes.py`) has a `model`, a list of `optimizers`, a `loss(step)` and an `evaluate()`.  Every random
draw of step s comes from (seed, s), so a run that was killed and resumes from its checkpoint takes the same steps as
one that was not.  The learning rate warms up, stays, and falls to zero over the last quarter: the weights are best at
the end.  Checkpoints hold model, optimizer and step as safetensors; nothing is ever unpickled.
"""

import json
import os
import time
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from tqdm.auto import tqdm

WARMUP = 100  # steps
DECAY = 0.25  # share of the steps over which the learning rate falls to zero


def learning_rate(step: int, steps: int) -> float:
    """The factor on the peak learning rate at this step: a ramp, a plateau, a fall."""
    return min(1.0, (step + 1) / WARMUP, (steps - step) / max(1, round(DECAY * steps)))


def train(recipe, steps: int, folder: Path, seed: int = 0, save_minutes: float = 3.0, log=print) -> dict:
    """Run `recipe` for `steps` steps, resuming from `folder` where a checkpoint lies; returns the final metrics.

    Writes `<recipe>.checkpoint.safetensors` every `save_minutes` and `<recipe>.log.jsonl` every 50 steps, so that runs
    of several recipes can share a folder.  Raises ValueError for a checkpoint of another seed or number of steps.
    """
    if steps < 1:
        raise ValueError(f"steps={steps}: a run takes at least one step")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f"{recipe.name}.checkpoint.safetensors"
    identity = {"recipe": recipe.name, "seed": str(seed), "steps": str(steps)}
    start, minutes = load_checkpoint(checkpoint, recipe, identity) if checkpoint.exists() else (0, 0.0)
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in recipe.optimizers]
    began = saved = time.perf_counter()
    bar = tqdm(range(start, steps), initial=start, total=steps, desc=recipe.name, mininterval=1)
    recipe.model.train()
    for step in bar:
        factor = learning_rate(step, steps)
        for optimizer, rates in zip(recipe.optimizers, peaks):
            for group, rate in zip(optimizer.param_groups, rates):
                group["lr"] = rate * factor
            optimizer.zero_grad(set_to_none=True)
        loss, metrics = recipe.loss(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(recipe.model.parameters(), 1.0)
        for optimizer in recipe.optimizers:
            optimizer.step()
        if step % 50 == 0 or step == steps - 1:
            row = {"step": step, "loss": round(loss.item(), 4)} | {k: round(v.item(), 4) for k, v in metrics.items()}
            bar.set_postfix(loss=row["loss"])
            with open(folder / f"{recipe.name}.log.jsonl", "a") as file:
                file.write(json.dumps(row) + "\n")
        now = time.perf_counter()
        if now - saved > 60 * save_minutes or step == steps - 1:
            save_checkpoint(checkpoint, recipe, identity, step + 1, minutes + (now - began) / 60, peaks)
            saved = now
    recipe.model.eval()
    metrics = recipe.evaluate()
    metrics["minutes"] = round(minutes + (time.perf_counter() - began) / 60, 1)
    log(json.dumps(metrics))
    return metrics


def save_checkpoint(path: Path, recipe, identity: dict, step: int, minutes: float, peaks) -> None:
    """Write model, optimizers and step; first to a temporary file, so that a kill leaves the old one whole."""
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in recipe.model.state_dict().items()}
    for i, optimizer in enumerate(recipe.optimizers):
        for j, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimizer.{i}.{j}.{name}"] = torch.as_tensor(value).clone()
    metadata = identity | {"step": str(step), "minutes": str(minutes), "peaks": json.dumps(peaks)}
    partial = path.with_suffix(".partial")
    partial.write_bytes(save(tensors, metadata))  # save_file's errors name no file
    os.replace(partial, path)


def load_checkpoint(path: Path, recipe, identity: dict) -> tuple[int, float]:
    """Fill the recipe from a checkpoint of the same run; returns (steps done, minutes spent)."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: remove it, and the run starts anew") from error
    for key, value in identity.items():
        if metadata.get(key) != value:
            raise ValueError(
                f"{path} is of another run ({key} {metadata.get(key)}, not {value}): "
                "remove it, or give this run a folder of its own with --folder"
            )
    recipe.model.load_state_dict({n[6:]: t for n, t in tensors.items() if n.startswith("model.")})
    for i, optimizer in enumerate(recipe.optimizers):
        state = {}
        for name, tensor in tensors.items():
            if name.startswith(f"optimizer.{i}."):
                _, _, j, key = name.split(".", 3)
                state.setdefault(int(j), {})[key] = tensor
        groups = optimizer.state_dict()["param_groups"]
        for group, rate in zip(groups, json.loads(metadata["peaks"])[i]):
            group["lr"] = rate
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    return int(metadata["step"]), float(metadata["minutes"])

"""Where a number comes from: the commit of the code, the machine, and the runs behind a model's weights."""

import platform
import subprocess
from pathlib import Path

import torch


def run_record(recipe, steps: int, metrics: dict, before: dict | None = None, **more) -> dict:
    """The provenance of a finished run of `training/loop.py`; `before` is that of the weights it started from.

    Total minutes and all runs, the warm starts included, the last one's facts on top.
    """
    run = {
        "recipe": recipe.name,
        "commit": commit(),
        "device": device_name(recipe.where),
        "threads": torch.get_num_threads(),
        "minutes": metrics["minutes"],
        "steps": steps,
        "batch": recipe.batch,
        "seed": recipe.seed,
        "warm_start": None if before is None else before["sha256"],
        "metrics": {key: value for key, value in metrics.items() if key != "minutes"},
    } | more
    runs = [*(before["runs"] if before else []), run]
    total = round(sum(r["minutes"] for r in runs), 1)
    return run | {"minutes": total, "seeds": [r["seed"] for r in runs], "runs": runs}


def commit() -> str:
    """The commit of the code that runs, "+" behind it where files differ; "unknown" outside a git checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "unknown"
    return head[:12] + ("+" if changed.stdout.strip() else "")


def device_name(where: torch.device) -> str:
    """The name of the processor that computes."""
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except FileNotFoundError:
        models = []
    return f"CPU, {models[0] if models else platform.processor() or platform.machine()}"

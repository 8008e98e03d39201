"""How often a sampler paints what the prompt says: judged success over the tasks' test prompts.

The prompts are `vartut.world.prompts(task, n)` of the test split; picture i of a task is painted from a seed that
depends on (seed, task, i) alone, so that arms of an experiment with the same seed start from the same noise: a plain
sample is the first picture that a search sees.  The odd half of the prompts of a task says something that training
never says (the tasks single_object and two_object apart).
"""

from dataclasses import dataclass

import torch

from .. import world
from ..inputs import ordered, whole, wholes
from ..models.protocol import row_seed
from ..names import check_name
from ..world import judge
from .statistics import wilson


@dataclass(frozen=True)
class Outcome:
    """One prompt, one picture, the judge's word on it."""

    task: str
    index: int  # of the prompt in its task; odd ones are the harder half
    prompt: str
    correct: bool
    grade: float


@torch.no_grad()
def paint(sampler, prompts: list[str], seeds: list[int], batch: int = 50) -> torch.Tensor:
    """One picture per prompt without search, (B, 3, 64, 64) in [0, 1] on the CPU, `batch` of them at a time.

    `seeds` has one for each prompt.  Raises ValueError for no prompts, and for numbers of another kind or count.
    """
    prompts = ordered("texts, as a list", prompts=prompts)
    seeds, batch = wholes(seeds=seeds), whole(least=1, batch=batch)
    if not prompts or len(seeds) != len(prompts):
        raise ValueError(f"paint needs prompts, each with its seed; got {len(prompts)} prompts and {len(seeds)} seeds")
    pictures = []
    for first in range(0, len(prompts), batch):
        state = sampler.begin(prompts[first : first + batch], seeds[first : first + batch])
        for _ in range(sampler.num_steps):
            state = sampler.expand(state)
        pictures.append(sampler.preview(state).cpu())
    return torch.cat(pictures)


def root_seeds(seeds) -> list[int]:
    """The row seeds at the roots of searches from these seeds: so painted, a picture is the search's first."""
    return [row_seed(seed, 0) for seed in seeds]


def judged_success(
    sampler, tasks=world.SHORT_TASKS, n: int = 100, seed: int = 0, batch: int = 50, search=None
) -> list[Outcome]:
    """Paint and judge the first `n` test prompts of every task; a task named twice counts once.

    `search(sampler, prompt, seed=...)` returns an object with an `.image`, as `vartut.beam_search` with its other
    arguments filled in; without it every prompt gets one plain sample.  `tasks` may be one name.  Raises ValueError
    for an unknown task, for an n, seed or batch that is no whole number, and for prompts too long for the model.
    """
    n, seed, batch = whole(least=1, n=n), whole(seed=seed), whole(least=1, batch=batch)
    outcomes, tasks = [], [tasks] if isinstance(tasks, str) else list(dict.fromkeys(tasks))
    for task in tasks:
        check_name(task, world.TASKS, "task")
    asked = {task: world.prompts(task, n, "test") for task in tasks}
    if sampler is not None:  # what the model cannot read is refused before any work is done
        sampler.begin([max(prompts, key=lambda prompt: len(world.words(prompt))) for prompts in asked.values()], 0)
    for task, prompts in asked.items():
        seeds = [row_seed(seed, f"{task}/{i}") for i in range(n)]
        if search is None:
            pictures = paint(sampler, prompts, root_seeds(seeds), batch)
        else:
            found = [search(sampler, prompt, seed=s).image for prompt, s in zip(prompts, seeds)]
            pictures = torch.cat([image.reshape(1, *image.shape[-3:]).cpu() for image in found])
        verdicts = judge(pictures, prompts)
        outcomes += [Outcome(task, i, p, v.correct, v.grade) for i, (p, v) in enumerate(zip(prompts, verdicts))]
    return outcomes


def success_table(outcomes: list[Outcome]) -> list[dict]:
    """A row per task and one for "all": n, successes, rate with its Wilson interval, mean grade, rate of each half.

    `seen` is the rate of the even prompts, `unseen` that of the odd ones.
    """
    rows = []
    for task in [*dict.fromkeys(o.task for o in outcomes), "all"]:
        own = [o for o in outcomes if task in (o.task, "all")]
        successes = sum(o.correct for o in own)
        low, high = wilson(successes, len(own))
        row = {"task": task, "n": len(own), "successes": successes, "rate": successes / len(own)}
        row |= {"low": low, "high": high, "grade": sum(o.grade for o in own) / len(own)}
        for name, rest in (("seen", 0), ("unseen", 1)):
            half = [o.correct for o in own if o.index % 2 == rest]
            row[name] = sum(half) / len(half) if half else None
        rows.append(row)
    return rows


def format_table(rows: list[dict]) -> str:
    """The rows of `success_table` as aligned text, rates in percent."""
    percent = lambda value: "-" if value is None else f"{100 * value:.0f}"  # noqa: E731
    lines = [f"{'task':<15}{'n':>5}{'success':>9}{'95 % interval':>15}{'grade':>8}{'seen':>6}{'unseen':>8}"]
    lines += [
        f"{r['task']:<15}{r['n']:>5}{percent(r['rate']) + ' %':>9}{percent(r['low']) + ' to ' + percent(r['high']):>15}"
        f"{r['grade']:>8.2f}{percent(r['seen']):>6}{percent(r['unseen']):>8}"
        for r in rows
    ]
    return "\n".join(lines)

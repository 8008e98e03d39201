"""The command line: `vartut demo`, `paint`, `lab`, `train`, `evaluate`, `doctor`.

Every error is one line on the error stream and exit code 2.
"""

import argparse
import functools
import subprocess
import sys
from pathlib import Path

import torch

from . import hub, provenance, search, weights, world
from .course import demo as demonstration
from .course.doctor import report
from .measure import evaluate as evaluation
from .models.protocol import row_seed
from .names import check_name
from .training.build import RECIPES, STARTS, build_recipe
from .training.loop import train as run

PROMPT = "a red circle left of a blue square"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message):
        self.exit(2, f"vartut: {message} (see `{self.prog} --help`)\n")


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = parser().parse_args(argv)
    try:
        return args.run(args) or 0
    except PermissionError as error:
        print(f"vartut: no permission for {error.filename}: choose another place for it", file=sys.stderr)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        print(f"vartut: {error.filename} cannot be written: choose another place for it", file=sys.stderr)
    except (ValueError, OSError) as error:
        print(f"vartut: {' '.join(str(error).split())}", file=sys.stderr)
    except KeyboardInterrupt:
        print("vartut: interrupted", file=sys.stderr)
        return 130
    return 2


def parser() -> Parser:
    """All commands and their arguments."""
    top = Parser(prog="vartut", description="Search at inference time in visual autoregressive models: the course.")
    commands = top.add_subparsers(required=True, metavar="command", parser_class=Parser)

    def command(run, name, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    sub = command(demo, "demo", "paint a prompt with and without search, draw the search tree")
    sub.add_argument("--prompt", default=PROMPT)
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--out", type=Path, default=Path("demo"), help="folder for pictures, tree and ledger")

    sub = command(paint, "paint", "paint a prompt without search")
    sub.add_argument("prompt", help=f'for example "{PROMPT}"')
    sub.add_argument("--n", type=int, default=4, help="pictures, side by side")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--out", type=Path, default=Path("painted.png"))

    command(lab, "lab", "open the notebooks in JupyterLab")

    sub = command(train, "train", "train a model of the course; the same command resumes a run that was stopped")
    sub.add_argument("recipe", help=", ".join(RECIPES))
    sub.add_argument("--steps", type=int)
    sub.add_argument("--batch", type=int)
    sub.add_argument("--seed", type=int, help="default: the number of runs before this one")
    sub.add_argument("--folder", type=Path, help="checkpoint, log and weights; default runs/<recipe>")
    sub.add_argument(
        "--from-weights",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="start from this recipe's weights there, without a folder from the shipped ones; clip-hard by itself "
        "starts from the shipped clip",
    )
    sub.add_argument("--ship", action="store_true", help="also replace the weights in data/weights")

    sub = command(evaluate, "evaluate", "judged success over the tasks' test prompts")
    sub.add_argument("--model", default="tiny")
    sub.add_argument("--n", type=int, default=100, help="prompts a task")
    sub.add_argument("--tasks", nargs="+", metavar="TASK", help="default: all eight")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--search", choices=("random", "greedy", "beam"), help="default: one plain sample a prompt")
    sub.add_argument("--verifier", default="clip-hard")
    sub.add_argument("--width", type=int, default=3, help="of the beam")
    sub.add_argument("--candidates", type=int, default=5, help="of beam and greedy; random draws width x candidates")

    command(doctor, "doctor", "what vartut found here, and what would be faster")
    return top


# ---- commands ------------------------------------------------------------------------------------------------------


def demo(args):
    """`vartut demo`."""
    demonstration.run(args.prompt, args.seed, args.out)


def paint(args):
    """`vartut paint`: n pictures side by side, and the judge's word on each."""
    world.parse(args.prompt)
    if args.n < 1:
        raise ValueError(f"--n {args.n}: paint at least one picture")
    prompts = [args.prompt] * args.n
    pictures = evaluation.paint(hub.load(), prompts, [row_seed(args.seed, i) for i in range(args.n)])
    print(f"{demonstration.save_picture(pictures, args.out)}:")
    for i, verdict in enumerate(world.judge(pictures, prompts)):
        print(f"  {i + 1}. {verdict.reason}")


def lab(args):
    """`vartut lab`."""
    notebooks = Path(__file__).resolve().parent.parent / "notebooks"
    if not notebooks.is_dir():
        raise FileNotFoundError(f"{notebooks} is missing: the notebooks come with the repository, clone it")
    return subprocess.call([sys.executable, "-m", "jupyter", "lab", str(notebooks)])


def train(args):
    """`vartut train`: build the model of a recipe, run it, write its weights with their provenance."""
    check_name(args.recipe, tuple(RECIPES), "recipe")
    for name in ("steps", "batch"):
        if getattr(args, name) is None:
            setattr(args, name, RECIPES[args.recipe][("steps", "batch").index(name)])
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} {getattr(args, name)}: at least 1")
    warm = args.from_weights is not None or args.recipe in STARTS
    start = args.recipe if args.from_weights is not None else STARTS.get(args.recipe)
    old = args.from_weights or None  # None: the folder of the shipped weights
    before = weights.read_provenance(start, old) if warm else None
    seed = args.seed if args.seed is not None else len(before["runs"]) if before else 0  # a new run sees new pictures
    folder = args.folder or Path("runs") / args.recipe
    torch.manual_seed(seed)
    settings, tensors = weights.load_weights(start, old) if before else (None, None)
    recipe, settings = build_recipe(args.recipe, settings, seed, args.batch, folder)
    if tensors:
        recipe.model.load_state_dict(tensors)
    metrics = run(recipe, args.steps, folder, seed)
    record = provenance.run_record(recipe, args.steps, metrics, before)
    for place in (folder, *([None] if args.ship else [])):
        print(f"weights: {weights.save_weights(recipe.model, args.recipe, settings, record, place)}")


def evaluate(args):
    """`vartut evaluate`: the table of judged success."""
    chosen = None
    for name in ("width", "candidates"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} {getattr(args, name)}: at least 1")
    if args.search:
        verifier = hub.load_verifier(args.verifier)
        number = {
            "random": {"n": args.width * args.candidates},
            "greedy": {"candidates": args.candidates},
            "beam": {"width": args.width, "candidates": args.candidates},
        }[args.search]
        chosen = functools.partial(getattr(search, f"{args.search}_search"), verifier=verifier, **number)
    outcomes = evaluation.judged_success(
        hub.load(args.model), args.tasks or world.TASKS, args.n, args.seed, search=chosen
    )
    print(evaluation.format_table(evaluation.success_table(outcomes)))


def doctor(args):
    """`vartut doctor`."""
    text, healthy = report()
    print(text)
    return 0 if healthy else 1

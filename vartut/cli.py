"""The command line: `vartut demo`, `paint`, `lab`, `train`, `evaluate`, `doctor`.

Every error is one line on the error stream and exit code 2.
"""

import argparse
import functools
import subprocess
import sys
from pathlib import Path

import torch

from . import hub, search, world
from .course import demo as demonstration
from .course.doctor import report
from .inputs import whole
from .measure import evaluate as evaluation
from .models.protocol import row_seed
from .paths import expanded
from .training.build import RECIPES, train_by_name
from .training.loop import Stopped

PROMPT = "a red circle left of a blue square"
DEMO = "a blue cross right of a dotted red square and a small green star"  # of 24 plain pictures five are right


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message):
        self.exit(2, f"vartut: {message} (see `{self.prog} --help`)\n")


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):  # a path with an umlaut must not stop a run where the locale is ASCII
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    args = parser().parse_args(argv)
    try:
        return args.run(args) or 0
    except PermissionError as error:
        print(f"vartut: no permission for {error.filename}: choose another place for it", file=sys.stderr)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        print(f"vartut: {error.filename} cannot be written: choose another place for it", file=sys.stderr)
    except (ValueError, OSError) as error:
        told = f"{error.filename}: {error.strerror}" if getattr(error, "filename", None) else str(error)
        print(f"vartut: {' '.join(told.split())}", file=sys.stderr)
    except Stopped as stop:
        print(f"vartut: {stop}: the same command goes on from there", file=sys.stderr)
        return 128 + stop.signal
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
    sub.add_argument("--prompt", default=DEMO)
    sub.add_argument("--seed", type=number(), default=0)
    sub.add_argument("--out", type=place, default=Path("demo"), help="folder for pictures, tree and ledger")

    sub = command(paint, "paint", "paint a prompt, without or with search")
    sub.add_argument("prompt", help=f'for example "{PROMPT}"')
    sub.add_argument(
        "--n", type=number(1), help="pictures, side by side, each by a search of its own; default 4, with --search 1"
    )
    sub.add_argument("--seed", type=number(), default=0)
    sub.add_argument("--out", type=place, default=Path("painted.png"))
    search_arguments(sub, "default: plain samples")

    command(lab, "lab", "open the notebooks in JupyterLab")

    sub = command(train, "train", "train a model of the course; the same command resumes a run that was stopped")
    sub.add_argument("recipe", help=", ".join(RECIPES))
    sub.add_argument("--steps", type=number(1))
    sub.add_argument("--batch", type=number(1))
    sub.add_argument("--seed", type=number(0), help="default: the number of runs before this one")
    sub.add_argument("--folder", type=place, help="checkpoint, log and weights; default runs/<recipe>")
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
    sub.add_argument("--n", type=number(1), default=100, help="prompts a task")
    sub.add_argument("--tasks", nargs="+", metavar="TASK", help="default: the eight of short prompts")
    sub.add_argument("--seed", type=number(), default=0)
    search_arguments(sub, "default: one plain sample a prompt")

    command(doctor, "doctor", "what vartut found here, and what would be faster")
    return top


def search_arguments(sub: Parser, without: str) -> None:
    """The arguments that say how to search; `chosen_search` reads them."""
    sub.add_argument("--search", choices=("random", "greedy", "beam"), help=without)
    sub.add_argument("--verifier", default="clip-hard")
    sub.add_argument("--width", type=number(1), default=3, help="of the beam")
    sub.add_argument(
        "--candidates", type=number(1), default=5, help="of beam and greedy; random draws width x candidates"
    )


def chosen_search(args):
    """The search that the arguments name, a function of (sampler, prompt, seed=...); None without --search."""
    if not args.search:
        return None
    numbers = {
        "random": {"n": args.width * args.candidates},
        "greedy": {"candidates": args.candidates},
        "beam": {"width": args.width, "candidates": args.candidates},
    }[args.search]
    verifier = hub.load_verifier(args.verifier)
    return functools.partial(getattr(search, f"{args.search}_search"), verifier=verifier, **numbers)


def number(least: int | None = None):
    """The type of an argument that is a whole number of at least `least`."""

    def read(text: str) -> int:
        try:
            return whole(least=least, it=int(text) if text.strip().lstrip("+-").isdecimal() else text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def place(text: str) -> Path:
    """The type of an argument that is a path: `--out=~/x` reaches us with its `~`, which no shell has read."""
    try:
        return expanded(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


# ---- commands ------------------------------------------------------------------------------------------------------


def demo(args):
    """`vartut demo`."""
    demonstration.run(args.prompt, args.seed, args.out)


def paint(args):
    """`vartut paint`: n pictures side by side, and the judge's word on each."""
    world.parse(args.prompt)
    chosen = chosen_search(args)
    sampler, prompts = hub.load(), [args.prompt] * (args.n or (1 if chosen else 4))
    seeds = [row_seed(args.seed, i) for i in range(len(prompts))]
    if chosen is None:
        said, pictures = [], evaluation.paint(sampler, prompts, evaluation.root_seeds(seeds))
    else:
        said = [chosen(sampler, prompt, seed=seed) for prompt, seed in zip(prompts, seeds)]
        pictures = torch.stack([found.image.cpu() for found in said])
    print(f"{demonstration.save_picture(pictures, args.out)}:")
    for i, verdict in enumerate(world.judge(pictures, prompts)):
        print(f"  {i + 1}. {verdict.reason}")
    for i, found in enumerate(said):
        print(f"  {i + 1}. {found}")


def lab(args):
    """`vartut lab`."""
    notebooks = Path(__file__).resolve().parent.parent / "notebooks"
    if not notebooks.is_dir():
        raise FileNotFoundError(f"{notebooks} is missing: the notebooks come with the repository, clone it")
    return subprocess.call([sys.executable, "-m", "jupyter", "lab", str(notebooks)])


def train(args):
    """`vartut train`: train the model of a recipe, write its weights with their provenance."""
    numbers = (args.steps, args.batch, args.seed)
    for path in train_by_name(args.recipe, *numbers, args.folder, args.from_weights, args.ship):
        print(f"weights: {path}")


def evaluate(args):
    """`vartut evaluate`: the table of judged success."""
    chosen = chosen_search(args)
    outcomes = evaluation.judged_success(
        hub.load(args.model), args.tasks or world.SHORT_TASKS, args.n, args.seed, search=chosen
    )
    print(evaluation.format_table(evaluation.success_table(outcomes)))


def doctor(args):
    """`vartut doctor`."""
    text, healthy = report()
    print(text)
    return 0 if healthy else 1

"""The command line: `vartut demo`, `paint`, `lab`, `train`, `evaluate`, `doctor`.

Every error is one line on the error stream and exit code 2.  What is heavy is imported by the command that needs it.
"""

import argparse
import subprocess
import sys
from pathlib import Path

PROMPT = "a red circle left of a blue square"
RECIPES = {  # name: steps and batch, about as much as the shipped weights took
    "tokenizer": (2400, 64),
    "tokenizer-bits": (2400, 64),
    "tiny": (4000, 64),
    "clip": (1000, 128),
    "clip-hard": (900, 128),
}
STARTS = {"clip-hard": "clip"}  # recipes that begin with the weights of another


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
    from .demo import run

    run(args.prompt, args.seed, args.out)


def paint(args):
    """`vartut paint`: n pictures side by side, and the judge's word on each."""
    from . import hub, world
    from .demo import save_picture
    from .evaluate import paint as sample
    from .judging import judge
    from .sampler import row_seed

    world.parse(args.prompt)
    if args.n < 1:
        raise ValueError(f"--n {args.n}: paint at least one picture")
    prompts = [args.prompt] * args.n
    pictures = sample(hub.load(), prompts, [row_seed(args.seed, i) for i in range(args.n)])
    print(f"{save_picture(pictures, args.out)}:")
    for i, verdict in enumerate(judge(pictures, prompts)):
        print(f"  {i + 1}. {verdict.reason}")


def lab(args):
    """`vartut lab`."""
    notebooks = Path(__file__).resolve().parent.parent / "notebooks"
    if not notebooks.is_dir():
        raise FileNotFoundError(f"{notebooks} is missing: the notebooks come with the repository, clone it")
    return subprocess.call([sys.executable, "-m", "jupyter", "lab", str(notebooks)])


def train(args):
    """`vartut train`: build the model of a recipe, run it, write its weights with their provenance."""
    import torch

    from . import hub
    from .train import train as run

    hub.check_name(args.recipe, tuple(RECIPES), "recipe")
    for name in ("steps", "batch"):
        if getattr(args, name) is None:
            setattr(args, name, RECIPES[args.recipe][("steps", "batch").index(name)])
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} {getattr(args, name)}: at least 1")
    warm = args.from_weights is not None or args.recipe in STARTS
    start = args.recipe if args.from_weights is not None else STARTS.get(args.recipe)
    old = args.from_weights or None  # None: the folder of the shipped weights
    before = hub.read_provenance(start, old) if warm else None
    seed = args.seed if args.seed is not None else len(before["runs"]) if before else 0  # a new run sees new pictures
    folder = args.folder or Path("runs") / args.recipe
    torch.manual_seed(seed)
    settings, tensors = hub.load_weights(start, old) if before else (None, None)
    recipe, settings = build_recipe(args.recipe, settings, seed, args.batch, folder)
    if tensors:
        recipe.model.load_state_dict(tensors)
    metrics = run(recipe, args.steps, folder, seed)
    record = hub.run_record(recipe, args.steps, metrics, before)
    for place in (folder, *([None] if args.ship else [])):
        print(f"weights: {hub.save_weights(recipe.model, args.recipe, settings, record, place)}")


def build_recipe(name: str, settings: dict | None, seed: int, batch: int, folder: Path):
    """The recipe of that name around a fresh model, and the model's settings; `settings` None takes the course's."""
    from . import hub, recipes
    from .device import device
    from .tokenizer import SCALES, Tokenizer
    from .transformer import NextScaleTransformer

    where = device()
    if name.startswith("clip"):
        from . import clip

        return clip.ClipRecipe(name == "clip-hard", where, seed, batch), clip.SETTINGS
    if name.startswith("tokenizer"):
        quantizer = "bits" if name == "tokenizer-bits" else "codebook"
        fresh = {"quantizer": quantizer, "codes": 512, "channels": 16, "width": 64, "scales": list(SCALES)}
        settings = settings or fresh
        return recipes.TokenizerRecipe(Tokenizer(**settings), where, seed, batch), settings
    settings = settings or {"tokenizer": "tokenizer", "width": 192, "depth": 8, "heads": 4, "sampler": hub.PAINTING}
    tokenizer, digest = hub.tokenizer_beside(settings["tokenizer"], folder, where)
    if settings.get("tokenizer_sha256", digest) != digest:
        beside = f"copy {settings['tokenizer']}.safetensors and .json from beside those weights into {folder}"
        raise ValueError(f'these weights of "{name}" read the tokens of another tokenizer: {beside}, or start anew')
    model = NextScaleTransformer(tokenizer, **{key: settings[key] for key in ("width", "depth", "heads")})
    recipe = recipes.TransformerRecipe(model, tokenizer, where, seed, batch)
    return recipe, settings | {"tokenizer_sha256": digest}


def evaluate(args):
    """`vartut evaluate`: the table of judged success."""
    import functools

    from . import evaluate as evaluation
    from . import hub, world

    chosen = None
    for name in ("width", "candidates"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} {getattr(args, name)}: at least 1")
    if args.search:
        from . import search
        from .verifiers import load_verifier

        verifier = load_verifier(args.verifier)
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
    from .doctor import report

    text, healthy = report()
    print(text)
    return 0 if healthy else 1

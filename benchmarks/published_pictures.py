"""Pictures by a published model for the prompts of a benchmark, without or with search, and what each of them cost.

    python -m vartut.published.text --prompts generation_prompts.txt --out geneval.safetensors
    python benchmarks/published_pictures.py infinity-2b --prompts evaluation_metadata.jsonl --text geneval.safetensors \
        --n 4 --out runs/geneval
    python benchmarks/published_pictures.py infinity-2b --prompts evaluation_metadata.jsonl --text geneval.safetensors \
        --search beam --width 3 --candidates 5 --verifier image-reward --out runs/geneval-beam
    python benchmarks/published_pictures.py infinity-2b --prompts drawbench.txt --text drawbench.safetensors \
        --search random --candidates 29 --verifier image-reward --out runs/drawbench-377
    python benchmarks/published_pictures.py infinity-2b --prompts color_val.txt --text color_val.safetensors --n 10 \
        --layout compbench --search beam --width 3 --candidates 5 --verifier image-reward --out runs/color_val-beam

`--prompts` is a text file with one prompt a line, or one JSON object with a "prompt" a line: GenEval's scorer needs the
objects of GenEval's prompts/evaluation_metadata.jsonl (beside it are the same prompts as text, generation_prompts.txt).
The pictures lie where that scorer looks for them, OUT/00000/samples/0000.png beside OUT/00000/metadata.jsonl, or with
`--layout compbench` where T2I-CompBench's look, OUT/samples/PROMPT_000000.png.  OUT/costs.csv has a row per picture and
OUT/settings.json says how they are painted: the same command resumes, pictures that are there are left alone, and
other settings or prompts want another --out.  Needs the authors' weights; nobody has run it with them yet.
"""

import argparse
import csv
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import vartut
from vartut.ledger import Ledger
from vartut.models.protocol import row_seed
from vartut.paths import expanded, write_files
from vartut.published.clipscore import load_clip_score
from vartut.published.sampler import label
from vartut.published.text import FeatureFile, read_prompt_file

COLUMNS = ("prompt", "picture", "search", "verifier", "score", "finished", "nfe", "paper_nfe", "tflop", "seconds")
SAME = {"ViT-L-14:openai": "clip-score", "ViT-L-14-quickgelu:openai": "clip-score"}  # open_clip's names of one model


# ---- prompts -------------------------------------------------------------------------------------------------------


def check_prompts(args, entries: list[dict]) -> None:
    """Raise ValueError for a prompt that cannot be painted, or whose picture could not be named, before any is."""
    prompts = [entry["prompt"] for entry in entries]
    for i, prompt in enumerate(prompts):
        if args.layout == "compbench" and ("/" in prompt or "_" in prompt):
            raise ValueError(f"T2I-CompBench has the prompt in the file's name, where / and _ cannot be: {prompt!r}")
        if len(os.fsencode(picture_path(args, prompt, i, args.n - 1).name)) > 255:
            raise ValueError(f"too long for a file's name of 255 bytes, as --layout compbench needs: {prompt!r}")
        if args.model == "var-d16":
            label(prompt)
    if args.text is not None and args.model != "var-d16":
        features = FeatureFile(args.text)
        missing = [prompt for prompt in prompts if prompt not in features.prompts]
        if missing:
            try:
                features[missing[0]]
            except ValueError as error:  # it names the command
                raise ValueError(f"{len(missing)} of {len(prompts)} prompts lack features: {error}") from error


def picture_path(args, prompt: str, i: int, j: int) -> Path:
    """Where picture j of prompt i lies."""
    if args.layout == "geneval":
        return args.out / f"{i:05d}" / "samples" / f"{j:04d}.png"
    return args.out / "samples" / f"{prompt}_{i * args.n + j:06d}.png"


# ---- settings ------------------------------------------------------------------------------------------------------


def canonical(verifier: str) -> str:
    """One name per verifier: open_clip's name of the model behind "clip-score" is that."""
    return SAME.get(verifier.strip(), verifier.strip())


def check_numbers(args) -> None:
    """Raise ValueError for a count that is less than one."""
    for name in ("n", "width", "candidates", "branch", "max_rows"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} is a whole number of at least 1; got {value}")


def chosen_settings(args, entries: list[dict]) -> dict:
    """What decides which pictures are painted; what a search does not use is left out."""
    used = {"none": (), "random": ("candidates",), "greedy": ("candidates", "branch")}
    names = used.get(args.search, ("width", "candidates", "branch"))
    searched = {} if args.search == "none" else {"verifier": canonical(args.verifier)}
    searched |= {name: getattr(args, name) for name in names}
    plain = {name: getattr(args, name) for name in ("model", "layout", "n", "seed", "search")}
    return plain | searched | {"prompts": entries}


def read_settings(folder: Path) -> dict:
    """How the pictures of a folder were painted.  Raises FileNotFoundError or ValueError in one line."""
    path = folder / "settings.json"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}, so no pictures: paint them with benchmarks/published_pictures.py")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # includes text that is not UTF-8
        raise ValueError(f"{path} is damaged: paint into another --out") from error
    kinds = {"model": str, "layout": str, "n": int, "search": str, "prompts": list}
    whole = isinstance(settings, dict) and all(isinstance(settings.get(key), kind) for key, kind in kinds.items())
    if not whole or settings["n"] < 1:
        raise ValueError(f"{path} is damaged, it lacks {', '.join(kinds)}: paint into another --out")
    return settings


def differences(before: dict, now: dict) -> list[str]:
    """What two settings differ in; more pictures of each prompt are no difference where names do not depend on it."""
    found = []
    for key in dict.fromkeys([*now, *before]):
        there, here = before.get(key), now.get(key)
        grown = key == "n" and now["layout"] == "geneval" and here > there
        if there == here or grown:
            continue
        if key == "prompts":
            same = next((i for i, (a, b) in enumerate(zip(there, here)) if a != b), min(len(there), len(here)))
            found.append(f"prompts ({len(there)} there, {len(here)} asked, number {same + 1} differs)")
        else:
            found.append(f"{key} ({there} there, {here} asked)")
    return found


def check_folder(out: Path, settings: dict) -> None:
    """Raise ValueError if `out` has pictures that were painted in another way than `settings`, or nobody knows how."""
    if (out / "settings.json").exists():
        if found := differences(read_settings(out), settings):
            raise ValueError(f"{out} was begun with other settings: {', '.join(found)}; take another --out")
    elif (out / "costs.csv").exists() or any(out.glob("**/*.png")):
        raise ValueError(f"{out} has pictures, but no settings.json that says how they were made: take another --out")


# ---- pictures ------------------------------------------------------------------------------------------------------


def load_any(name: str):
    """A verifier of `vartut.load_verifier`, or MODEL:WEIGHTS of open_clip for CLIPScore."""
    return load_clip_score(*name.split(":", 1)) if ":" in name else vartut.load_verifier(name)


def load_models(args, entries: list[dict]):
    """The sampler, and the verifier or None.  Raises ValueError, FileNotFoundError before anything is painted."""
    verifier = None if args.search == "none" else load_any(args.verifier)  # first: the painter's files are the larger
    sampler = vartut.load(args.model, **({} if args.text is None else {"text": args.text}))
    if args.branch is not None and args.branch > len(sampler.branch_steps):
        raise ValueError(f"--branch is at most {len(sampler.branch_steps)} for {args.model}; got {args.branch}")
    if args.text is None and hasattr(sampler, "features"):
        sampler.features([entry["prompt"] for entry in entries])  # all at once: the encoder is loaded for each call
    return sampler, verifier


def paint(sampler, prompt: str, seed: int, args, verifier):
    """One picture (3, H, W), its score or None, the number of finished pictures, and the ledger."""
    if args.search == "none":
        ledger = Ledger()
        state = sampler.begin([prompt], seed, ledger=ledger)  # as a search does: its first candidate
        while state.step < sampler.num_steps:
            state = sampler.expand(state)
        return sampler.preview(state)[0], None, 1, ledger
    common = {"seed": seed, "max_rows": args.max_rows}
    if args.search == "random":
        result = vartut.random_search(sampler, prompt, verifier, n=args.candidates, **common)
    else:
        branch = None if args.branch is None else range(args.branch)
        width = 1 if args.search == "greedy" else args.width
        result = vartut.beam_search(sampler, prompt, verifier, width, args.candidates, branch=branch, **common)
    return result.image, result.score, len(result.tree.finished_scores()), result.ledger


def save(image: torch.Tensor, path: Path) -> None:
    """A picture (3, H, W) in [0, 1] as a PNG."""
    pixels = (image.float().clamp(0, 1) * 255).round().to("cpu", torch.uint8).permute(1, 2, 0)
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.numpy())).save(content, format="PNG")
    write_files({path: content.getvalue()})


def add_cost(path: Path, row: tuple) -> None:
    """One picture's row of costs.csv; where there is no room for it, the others stay."""
    text = io.StringIO(path.read_text(encoding="utf-8") if path.exists() else "")
    new = not text.seek(0, io.SEEK_END)
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, row] if new else [row])
    write_files({path: text.getvalue()})


def run(args) -> int:
    """All prompts; returns the number of pictures painted."""
    check_numbers(args)
    entries = read_prompt_file(args.prompts)
    check_prompts(args, entries)
    settings = chosen_settings(args, entries)
    check_folder(args.out, settings)
    sampler, verifier = load_models(args, entries)
    write_files({args.out / "settings.json": json.dumps(settings, indent=1) + "\n"})
    painted, costs = 0, args.out / "costs.csv"
    for i, entry in enumerate(entries):
        for j in range(args.n):
            path = picture_path(args, entry["prompt"], i, j)
            if path.exists():
                continue
            if args.layout == "geneval":
                write_files({path.parents[1] / "metadata.jsonl": json.dumps(entry) + "\n"})
            seed = row_seed(args.seed, i * 10_000 + j)
            image, score, finished, ledger = paint(sampler, entry["prompt"], seed, args, verifier)
            found = ("", "") if score is None else (canonical(args.verifier), round(score, 5))
            tflop, seconds = round(ledger.total("flops") / 1e12, 3), round(ledger.total("seconds"), 2)
            row = (i, j, args.search, *found, finished, ledger.nfe, ledger.paper_nfe, tflop, seconds)
            add_cost(costs, row)
            save(image, path)  # last: a picture that is there has its row, whatever interrupts
            painted += 1
    print(f"{painted} pictures of {len(entries)} prompts in {args.out}, their costs in {costs}")
    return painted


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    top.add_argument("model", help="infinity-2b, infinity-125m or var-d16")
    top.add_argument("--prompts", type=expanded, required=True, help="one a line, or GenEval's .jsonl")
    top.add_argument("--text", type=expanded, help="a file of text features; else flan-t5-xl's encoder is fetched")
    top.add_argument("--out", type=expanded, required=True, help="a folder for these settings and prompts alone")
    top.add_argument("--layout", choices=("geneval", "compbench"), default="geneval", help="whose file names")
    top.add_argument("--n", type=int, default=1, help="pictures a prompt, each by its own search")
    top.add_argument("--search", choices=("none", "random", "greedy", "beam"), default="none")
    top.add_argument("--width", type=int, default=3)
    top.add_argument("--candidates", type=int, default=5, help="a row's children; for random search, all pictures")
    top.add_argument("--branch", type=int, help="branch at so many first scales only")
    top.add_argument(
        "--verifier",
        default="image-reward",
        help="image-reward, clip-score, aesthetic, llava-onevision, or open_clip's MODEL:WEIGHTS for CLIPScore",
    )
    top.add_argument("--max-rows", type=int, default=1, help="rollouts together: more is faster and takes more memory")
    top.add_argument("--seed", type=int, default=0)
    return top


def main(argv: list[str] | None = None) -> int:
    """Paint what the command line asks for; returns the exit code, 2 where one line says what is wrong."""
    args = parser().parse_args(argv)
    try:
        run(args)
    except (ValueError, OSError) as error:
        print(f"published_pictures: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Pictures by a published model for the prompts of a benchmark, without or with search, and what each of them cost.

    python benchmarks/published_pictures.py infinity-2b --prompts geneval.txt --text geneval.safetensors --n 4 \
        --out runs/geneval
    python benchmarks/published_pictures.py infinity-2b --prompts geneval.txt --text geneval.safetensors \
        --search beam --width 3 --candidates 5 --branch 5 --verifier image-reward --out runs/geneval-beam

`--prompts` is a text file with one prompt a line, or GenEval's evaluation_metadata.jsonl.  The pictures lie where
GenEval's scorer looks for them, OUT/00000/samples/0000.png beside OUT/00000/metadata.jsonl, or with
`--layout compbench` where T2I-CompBench's look, OUT/samples/PROMPT_000000.png; OUT/costs.csv has a row per picture.
Pictures that are there are left alone, so that the same command resumes.  Needs the authors' weights; nobody has run it
with them yet.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import vartut
from vartut.ledger import Ledger
from vartut.published.clipscore import load_clip_score
from vartut.sampler import row_seed

COLUMNS = ("prompt", "picture", "search", "verifier", "score", "finished", "nfe", "paper_nfe", "tflop", "seconds")


def read_prompts(path: Path) -> list[dict]:
    """One dict per line, at least with "prompt"."""
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    entries = [json.loads(line) if path.suffix == ".jsonl" else {"prompt": line.strip()} for line in lines]
    if not entries or any("prompt" not in entry for entry in entries):
        raise ValueError(f'{path} has no prompts, or a line without "prompt"')
    return entries


def picture_path(args, prompt: str, i: int, j: int) -> Path:
    """Where picture j of prompt i lies; raises ValueError for a prompt that cannot be part of a file's name."""
    if args.layout == "geneval":
        return args.out / f"{i:05d}" / "samples" / f"{j:04d}.png"
    if "/" in prompt or "_" in prompt:
        raise ValueError(f"T2I-CompBench has the prompt in the file's name, where / and _ cannot be: {prompt!r}")
    return args.out / "samples" / f"{prompt}_{i * args.n + j:06d}.png"


def load_any(name: str):
    """A verifier of `vartut.load_verifier`, or MODEL:WEIGHTS of open_clip for CLIPScore."""
    return load_clip_score(*name.split(":", 1)) if ":" in name else vartut.load_verifier(name)


def paint(sampler, prompt: str, seed: int, args, verifier):
    """One picture (3, H, W), its score or None, the number of finished pictures, and the ledger."""
    if args.search == "none":
        ledger = Ledger()
        state = sampler.begin([prompt], [seed], ledger=ledger)
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
    Image.fromarray(np.ascontiguousarray(pixels.numpy())).save(path)


def run(args) -> int:
    """All prompts; returns the number of pictures painted."""
    entries, text = read_prompts(args.prompts), {} if args.text is None else {"text": args.text}
    sampler, verifier = vartut.load(args.model, **text), None
    if args.search != "none":
        verifier = load_any(args.verifier)
    painted, costs = 0, args.out / "costs.csv"
    args.out.mkdir(parents=True, exist_ok=True)
    for i, entry in enumerate(entries):
        for j in range(args.n):
            path = picture_path(args, entry["prompt"], i, j)
            path.parent.mkdir(parents=True, exist_ok=True)
            if args.layout == "geneval":
                (path.parents[1] / "metadata.jsonl").write_text(json.dumps(entry) + "\n")
            if path.exists():
                continue
            seed = row_seed(args.seed, i * 10_000 + j)
            image, score, finished, ledger = paint(sampler, entry["prompt"], seed, args, verifier)
            row = (i, j, args.search, *(("", "") if score is None else (args.verifier, round(score, 5))), finished)
            row += (
                ledger.nfe,
                ledger.paper_nfe,
                round(ledger.total("flops") / 1e12, 3),
                round(ledger.total("seconds"), 2),
            )
            new = not costs.exists()
            with costs.open("a", newline="") as file:
                csv.writer(file).writerows([COLUMNS, row] if new else [row])
            save(image, path)  # last: what is there is complete
            painted += 1
    print(f"{painted} pictures of {len(entries)} prompts in {args.out}, their costs in {costs}")
    return painted


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    top.add_argument("model", help="infinity-2b, infinity-125m or var-d16")
    top.add_argument("--prompts", type=Path, required=True)
    top.add_argument("--text", type=Path, help="a file of text features; without it flan-t5-xl's encoder is fetched")
    top.add_argument("--out", type=Path, required=True)
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

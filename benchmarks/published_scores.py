"""Scores of the pictures that published_pictures.py painted, by a verifier that no search behind them has seen.

    python benchmarks/published_scores.py runs/drawbench-13 --verifier image-reward \
        --what "DrawBench, ImageReward at 13 NFE"
    python benchmarks/published_scores.py runs/drawbench-1365 --verifier image-reward --climbed \
        --what "DrawBench, ImageReward at 1365 NFE"
    python benchmarks/published_scores.py runs/geneval --what "GenEval, overall, baseline" --value 0.68 \
        --by "geneval evaluate_images.py"
    python benchmarks/published_scores.py runs/geneval-beam --verifier clip-score

The first two print the mean over prompts with its 95 % interval and write a row to data/results/published_scores.csv,
from which notebook 11 fills its table.  Pictures found with the same verifier are refused: what a search climbed does
not measure it, unless `--climbed` says that this is meant, as in the paper's figure of ImageReward against NFE.  The
third enters what a benchmark's own program computed.  A row wants all pictures of the settings, and its benchmark's
layout and number of prompts (`WANTED`).  Without `--what` a score is printed and enters no table.
"""

import argparse
import csv
import math
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from published_pictures import COLUMNS as COST_COLUMNS
from published_pictures import canonical, load_any, read_settings
from tables import replace_rows, stamp

from vartut import names
from vartut.paths import data_folder, expanded
from vartut.published.claims import claims
from vartut.published.text import read_prompt_file

COLUMNS = ("what", "ours", "low", "high", "prompts", "pictures", "verifier", "searched_with", "device", "commit")
WANTED = {  # how the pictures of a row are painted, by how its name begins: the benchmarks' own numbers
    "GenEval": {"layout": "geneval", "prompts": 553},
    "GenEval, overall, baseline": {"n": 4},  # how many the paper took with beam search is not known
    "DrawBench": {"layout": "geneval", "prompts": 200},
    "T2I-CompBench++": {"layout": "compbench", "prompts": 300},  # of each category
}


# ---- the rows of the table ------------------------------------------------------------------------------------------


def check_kind(what: str, settings: dict) -> None:
    """Raise ValueError unless pictures were painted as `WANTED` says for the row `what`."""

    def said(kind: dict) -> str:
        return ", ".join(f"{value} prompts" if key == "prompts" else f"--{key} {value}" for key, value in kind.items())

    wanted = {key: value for begin, kind in WANTED.items() if what.startswith(begin) for key, value in kind.items()}
    there = {key: len(settings[key]) if key == "prompts" else settings[key] for key in wanted}
    if there != wanted:
        raise ValueError(f'"{what}" wants {said(wanted)}, these are of {said(there)}: leave --what away')


def check_claim(args, settings: dict, costs: list[dict]) -> None:
    """Raise ValueError unless --what is a row of the table, and these pictures and this score are of its kind."""
    names.check_name(args.what, tuple(what for what, _, _ in claims()), "row of the table")
    if settings["model"] != "infinity-2b":
        raise ValueError(f"the table is of infinity-2b, these pictures are {settings['model']}'s: leave --what away")
    for end, search in (("baseline", "none"), ("beam search", "beam")):
        if args.what.endswith(end) and settings["search"] != search:
            raise ValueError(f'"{args.what}" wants --search {search}, these are of --search {settings["search"]}')
    check_kind(args.what, settings)
    if args.what.startswith("DrawBench"):
        wanted = args.what.split()[-2]
        if others := sorted({row["paper_nfe"] for row in costs} - {wanted}):
            raise ValueError(f'"{args.what}" wants pictures of {wanted} paper_nfe in costs.csv; these cost {others[0]}')
        if args.value is not None:
            raise ValueError(f'"{args.what}" is scored here, by image-reward: leave --value and --by away')
        if canonical(args.verifier or "image-reward") != "image-reward":
            raise ValueError(f'"{args.what}" is scored by image-reward, not by {args.verifier}: leave --what away')
    elif args.value is None:
        raise ValueError(f'"{args.what}" is scored by its benchmark\'s own program: enter it with --value and --by')
    elif not 0 <= args.value <= 1:
        raise ValueError(f'"{args.what}" lies between 0 and 1; got {args.value}')


# ---- the pictures --------------------------------------------------------------------------------------------------


def pictures(folder: Path, settings: dict) -> list[tuple[int, int, str, Path]]:
    """(number of the prompt, number of its picture, prompt, path) of every picture, in the layout of `settings`.

    Raises FileNotFoundError if there is none, ValueError for metadata without a prompt or a name of another form.
    """
    found = []
    if settings["layout"] == "compbench":
        for path in sorted((folder / "samples").glob("*.png")):
            prompt, _, number = path.stem.rpartition("_")
            if not prompt or not number.isdecimal():
                raise ValueError(f"{path} is not named PROMPT_000000.png: move it away")
            found.append((*divmod(int(number), settings["n"]), prompt, path))
    else:
        for metadata in sorted(folder.glob("*/metadata.jsonl")):
            for path in sorted((metadata.parent / "samples").glob("*.png")):
                if not (metadata.parent.name.isdecimal() and path.stem.isdecimal()):
                    raise ValueError(f"{path} is not named 00000/samples/0000.png: move it away")
                prompt = read_prompt_file(metadata)[0]["prompt"]
                found.append((int(metadata.parent.name), int(path.stem), prompt, path))
    if not found:
        raise FileNotFoundError(f"no pictures in {folder}: paint them with benchmarks/published_pictures.py")
    return found


def read_costs(folder: Path, found: list[tuple[int, int, str, Path]]) -> list[dict]:
    """The row of costs.csv of each picture; raises FileNotFoundError or ValueError where there is none."""
    path = folder / "costs.csv"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}, which says what found these pictures: paint them into another --out")
    reader = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    if tuple(reader.fieldnames or ()) != COST_COLUMNS:
        raise ValueError(f"{path} has the columns {reader.fieldnames}, not {list(COST_COLUMNS)}: it is damaged")
    rows = {}
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"{path}, line {reader.line_num}: {len(COST_COLUMNS)} values are wanted")
        rows[row["prompt"], row["picture"]] = row  # a picture that was interrupted has two, and the last counts
    for i, j, _, picture in found:
        if (str(i), str(j)) not in rows:
            raise ValueError(f"{picture} has no row in {path}: delete it, and paint it with the command of the others")
    return [rows[str(i), str(j)] for i, j, _, _ in found]


def check_whole(folder: Path, settings: dict, found: list[tuple[int, int, str, Path]]) -> None:
    """Raise ValueError unless each of the n pictures of each prompt is there once, and no other."""
    numbers = [(i, j) for i in range(len(settings["prompts"])) for j in range(settings["n"])]
    there = [(i, j) for i, j, _, _ in found]
    if missing := sorted(set(numbers) - set(there)):
        i, j = missing[0]
        raise ValueError(
            f"{folder} is unfinished, {len(missing)} of {len(numbers)} pictures are missing, the first being number "
            f"{j} of prompt {i}: run the command that paints it again"
        )
    if len(there) != len(numbers):
        raise ValueError(f"{folder} has {len(there)} pictures, of which {len(numbers)} are wanted: move others away")


def score(found: list[tuple[int, int, str, Path]], verifier) -> list[float]:
    """The mean score of each prompt's pictures."""
    scores = {}
    for i, _, prompt, path in found:
        pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None] / 255
        scores.setdefault(i, []).append(float(verifier(pixels, [prompt])[0]))
    return [sum(values) / len(values) for values in scores.values()]


def interval(means: list[float], draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over prompts."""
    values = np.array(means)
    picks = np.random.default_rng(seed).integers(len(values), size=(draws, len(values)))
    low, high = np.quantile(values[picks].mean(1), [0.025, 0.975])
    return float(low), float(high)


# ---- the command ---------------------------------------------------------------------------------------------------


def check_options(args) -> None:
    """Raise ValueError for options that contradict each other."""
    if (args.value is None) != (args.by is None) or (args.by is not None and not args.by.strip()):
        raise ValueError("--value and --by go together: a score, and the program that computed it")
    if args.value is None:
        return
    if args.what is None or args.verifier is not None or args.climbed:
        raise ValueError("--value enters a score computed elsewhere: say --what it is, without --verifier or --climbed")
    if not math.isfinite(args.value):
        raise ValueError(f"--value is a number; got {args.value}")


def check_table(path: Path) -> None:
    """Make the folder of the table; raise ValueError if the file there is another table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_text(encoding="utf-8").split("\n", 1)[0].strip() != ",".join(COLUMNS):
        raise ValueError(f"{path} is another table, its columns are not {','.join(COLUMNS)}: name another --table")


def run(args) -> dict:
    """Score a folder, or take the score that was computed elsewhere, and write its row if --what names one."""
    check_options(args)
    settings = read_settings(args.folder)
    found = pictures(args.folder, settings)
    costs = read_costs(args.folder, found)
    behind = {canonical(name) for name in (settings.get("verifier", ""), *(row["verifier"] for row in costs))} - {""}
    by = args.by or canonical(args.verifier or "image-reward")
    if args.value is None and by in behind and not args.climbed:
        raise ValueError(f"these pictures were found by climbing {by}: take another, or say --climbed")
    table = args.table or data_folder() / "results" / "published_scores.csv"
    if args.what is not None:
        check_claim(args, settings, costs)
        check_whole(args.folder, settings, found)
        check_table(table)  # before hours of scoring
    else:
        try:
            check_whole(args.folder, settings, found)
        except ValueError as error:
            print(f"published_scores: warning: {error}", file=sys.stderr)
    if args.value is None:
        means = score(found, load_any(by))
        numbers = [round(value, 4) for value in (sum(means) / len(means), *interval(means))]
    else:
        numbers = [args.value, "", ""]
    counts = (len({i for i, _, _, _ in found}), len(found))
    made = stamp()
    values = (args.what or "", *numbers, *counts, by, " ".join(sorted(behind)), made["device"], made["commit"])
    row = dict(zip(COLUMNS, values))
    if args.what is not None:
        replace_rows(table, [row], key=lambda row: row["what"])
    return row


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    top.add_argument("folder", type=expanded, help="what published_pictures.py wrote, in either layout")
    top.add_argument("--verifier", help="as published_pictures.py names them; default: image-reward")
    top.add_argument("--what", help="the row of notebook 11's table that this fills; without it nothing is written")
    top.add_argument("--climbed", action="store_true", help="allow the verifier that the search climbed")
    top.add_argument("--value", type=float, help="the score that a benchmark's own program gave")
    top.add_argument("--by", help="that program")
    top.add_argument("--table", type=expanded, help="default: data/results/published_scores.csv")
    return top


def main(argv: list[str] | None = None) -> int:
    """Score what the command line names; returns the exit code, 2 where one line says what is wrong."""
    try:
        row = run(parser().parse_args(argv))
    except (ValueError, OSError) as error:
        print(f"published_scores: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    span = "no interval" if row["low"] == "" else f"95 % interval {row['low']} to {row['high']}"
    where = row["what"] or "in no table"
    print(f"{where}: {row['ours']} by {row['verifier']} ({span}, {row['prompts']} prompts, {row['pictures']} pictures)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

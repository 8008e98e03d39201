"""What the paper claims of Infinity-2B, number by number, beside what others and we have measured: notebook 11's table.

The numbers are those of data/paper, each with how it was read; ours come from data/results/published_scores.csv, which
benchmarks/published_scores.py writes once somebody has run a row.
"""

import csv

from ..paths import data_folder

CATEGORIES = ("color", "shape", "texture", "spatial", "numeracy", "complex")  # of T2I-CompBench++ in the paper
WORDS = {  # how a number was read, in the words of the figures' markers
    "read_from_source": "printed",
    "read_off_figure": "read off a plot",
    "from_review_or_summary": "at second hand",
}
OTHERS = "Shahabadi et al. (arXiv 2512.11542)"  # one source for both models and both benchmarks, itself at second hand


def table(folder: str, name: str) -> list[dict]:
    """The rows of data/FOLDER/NAME.csv; none where there is no such file."""
    path = data_folder() / folder / f"{name}.csv"
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []


def claims() -> list[tuple[str, float, str]]:
    """The rows of the table: (what, the paper's value, how it was read)."""
    found = []
    for row in table("paper", "geneval"):
        page = row["source"].startswith("project page")
        if row["model"] == "Infinity-2B" and page and row["method"] in ("baseline", "beam search"):
            found.append((f"GenEval, overall, {row['method']}", float(row["overall"]), row["confidence"]))
    for row in table("paper", "fig1_imagereward_vs_nfe"):
        if row["model"] == "Infinity-2B":
            what = f"DrawBench, ImageReward at {row['nfe']} NFE"
            found.append((what, float(row["imagereward"]), row["confidence"]))
    for row in table("paper", "t2i_compbench_pp"):
        if row["row"] == "paper" and row["model"] == "Infinity-2B":
            for category in CATEGORIES:
                what = f"T2I-CompBench++, {category}, {row['method']}"
                found.append((what, float(row[category]), row["confidence"]))
    return [(what, value, "; ".join(WORDS[word] for word in how.split("+"))) for what, value, how in found]


def measured_by_others(what: str, model: str) -> float | None:
    """What others measured for the benchmark of a row, without search; None where they did not."""
    benchmark, column, *_ = what.split(", ")
    name = {"GenEval": "geneval", "T2I-CompBench++": "t2i_compbench_pp"}.get(benchmark, "")
    for row in table("paper", name):
        if row["model"] == model and row["source"].startswith(OTHERS):
            return float(row[column])
    return None


def claims_table() -> str:
    """The table as text: the claims, ours, and what others measured of two models without search."""
    ours = {row["what"]: row["ours"] for row in table("results", "published_scores")}
    lines = [f"{'':<47}{'others, no search':>31}", f"{'Infinity-2B':<40}{'the paper':>9}  {'ours':<9}"]
    lines[1] += f"{'2B':>7}{'8B':>7}   how the claim was read"
    for what, claimed, how in claims():
        found = [measured_by_others(what, model) for model in ("Infinity-2B", "Infinity-8B")]
        others = "".join("      -" if value is None else f"{value:>7.3f}" for value in found)
        lines.append(f"{what:<40}{claimed:>9.2f}  {ours.get(what, '______'):<9}{others}   {how}")
    searched = sum(what.endswith("beam search") for what, _, _ in claims())
    lines.append(f"The {searched} rows of beam search: NFE and verifier not stated. Others: {OTHERS}, at second hand.")
    return "\n".join(lines)

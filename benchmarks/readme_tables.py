"""Write the measured tables of README.md between their markers, from data/results and the weights' provenance.

    python benchmarks/readme_tables.py            rewrite README.md
    python benchmarks/readme_tables.py --check    exit 1 if a table is older than what it is made from
"""

import re
import sys
from pathlib import Path

from tables import read_rows

from vartut.paths import data_folder, write_files
from vartut.weights import read_provenance
from vartut.world import SHORT_TASKS as TASKS

README = Path(__file__).parent.parent / "README.md"
TITLES = {
    "sample": "one sample, no search",
    "nano": "`nano`, one sample, no search",
    "random clip-hard": "random search, 90 pictures, `clip-hard`",
    "beam clip": "beam 3 x 5, `clip`",
    "beam clip-hard": "beam 3 x 5, `clip-hard`",
    "beam oracle": "beam 3 x 5, the judge itself (oracle)",
}


def quality() -> str:
    """Judged success per arm and task, in percent, Wilson's 95 % interval of all tasks together."""
    rows = read_rows(data_folder() / "results" / "quality.csv")
    lines = ["| | all tasks | n | " + " | ".join(TASKS) + " |", "|---|---|---|" + "---|" * len(TASKS)]
    for arm in dict.fromkeys(row["arm"] for row in rows):
        by_task = {row["task"]: row for row in rows if row["arm"] == arm}
        total = by_task["all"]
        rate, low, high = (round(100 * float(total[key])) for key in ("rate", "low", "high"))
        cells = [f"{100 * float(by_task[task]['rate']):.0f}" for task in TASKS]
        lines.append(f"| {TITLES[arm]} | **{rate} %** ({low} to {high}) | {total['n']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def climb() -> str:
    """Judged success of the best of n pictures per model, stage and verifier, in percent, intervals over prompts."""
    rows = [row for row in read_rows(data_folder() / "results" / "curves.csv") if row["group"] == "all"]
    lines = ["| model | prompts | chosen by | one picture | best of 8 | best of 64 | best of all |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for model, stage, verifier in dict.fromkeys((r["model"], r["stage"], r["verifier"]) for r in rows):
        by_n = {int(r["n"]): r for r in rows if (r["model"], r["stage"], r["verifier"]) == (model, stage, verifier)}
        cells = [cell(by_n[n]) if n in by_n else "" for n in (1, 8, 64)]
        most = max(by_n)
        stand = [f"`{model}`", f"{STAGES[stage]} ({by_n[1]['prompts']})", CHOOSERS[verifier], *cells]
        lines.append(f"| {' | '.join(stand)} | {cell(by_n[most])} of {most:,} |")
    return "\n".join(lines)


STAGES = {"short": "eight tasks", "tasks": "five tasks", "dense": "3 to 14 facts", "hard": "hard set"}
CHOOSERS = {"oracle": "the judge (oracle)", "clip": "`clip`", "clip-hard": "`clip-hard`"}


def cell(row: dict) -> str:
    """A rate with its interval, in percent."""
    rate, low, high = (round(100 * float(row[key])) for key in ("success", "low", "high"))
    return f"{rate} ({low} to {high})"


CAPTIONS = {"all": "scores the true caption above a changed one in {}", "swap": "above one with swapped words in {}"}
EXPECT = {  # what of the final metrics stands in the table
    "tokenizer": {"error": "squared error {}"},
    "nano": {"loss": "cross-entropy {} nats a token"},
    "tiny": {"loss": "cross-entropy {} nats a token"},
    "clip": CAPTIONS,
    "clip-hard": CAPTIONS,
    "reward": {"in_order": "of two samples of a prompt the better one scores higher in {}"},
    "aesthetic": {"right": "clean or spoiled: {} right"},
    "vqa": {"number": "answers right on clean renders: numbers {}", "relation": "relations {}"},
}


VERIFIERS = {  # what each is, in words
    "clip": "CLIP in miniature: a vector of the picture, one of the prompt",
    "clip-hard": "the same, trained to reject a prompt with a word changed",
    "reward": "picture and prompt look at each other; learned the judge's ranking of samples",
    "aesthetic": "a clean picture? reads no prompt",
    "vqa": "asks a small vision-language model a question for each claim",
}


def verifiers() -> str:
    """What each verifier costs, and how much of the headroom its choice among 64 of nano's pictures recovers."""
    results = data_folder() / "results"
    speed = {row["what"]: row for row in read_rows(results / "verifier_speed.csv")}
    rows = [row for row in read_rows(results / "verifiers.csv") if row["model"] == "nano"]
    found = {(row["stage"], row["group"], row["verifier"]): row for row in rows}
    lines = ["| verifier | what it is | parameters | ms a picture | headroom, five tasks | headroom, hard set |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, words in VERIFIERS.items():
        row, rows = speed[name], [found[stage, "all", name] for stage in ("tasks", "hard")]
        cells = [" ".join(f"{100 * float(r[key]):.0f}" for key in ("headroom_64", "low_64", "high_64")) for r in rows]
        cells = ["{} % ({} to {})".format(*cell.split()) for cell in cells]
        size = f"{int(row['parameters']) / 1e6:.2f} M"
        lines.append(f"| `{name}` | {words} | {size} | {float(row['milliseconds']):.1f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def training() -> str:
    """What each recipe took on the machines that trained the shipped weights, and what to expect at the end."""
    lines = ["| command | parameters | steps x batch | minutes, two cores | minutes, GPU | at the end |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, wanted in EXPECT.items():
        p = read_provenance(name)
        minutes = {True: 0.0, False: 0.0}  # on a CPU?
        for run in p["runs"]:
            minutes[run["device"].startswith("CPU")] += run["minutes"]
        cells = [f"{value:.0f}" if value else "not measured" for value in minutes.values()]
        steps = ", then ".join(f"{run['steps']:,} x {run['batch']}" for run in p["runs"])
        end = "; ".join(text.format(p["metrics"][key]) for key, text in wanted.items())
        size = f"{p['parameters'] / 1e6:.2f} M"
        lines.append(f"| `vartut train {name}` | {size} | {steps} | {' | '.join(cells)} | {end} |")
    return "\n".join(lines)


def filled(text: str) -> str:
    """The README with its measured tables as they should be."""
    for name, make in (("quality", quality), ("climb", climb), ("verifiers", verifiers), ("training", training)):
        table = make()
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        if not re.search(pattern, text, re.DOTALL):
            raise ValueError(f"README.md has no place for it: put <!-- {name} --> and <!-- end of {name} --> back")
        text = re.sub(pattern, lambda m, table=table: m[1] + table + "\n" + m[2], text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    now = README.read_text(encoding="utf-8")
    wanted = filled(now)
    if "--check" in sys.argv:
        sys.exit("README.md: run `python benchmarks/readme_tables.py`" if now != wanted else 0)
    write_files({README: wanted})

"""README.md says what is measured, names what there is, and its snippets run."""

import ast
import csv
import importlib.util
import os
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from vartut import cli, weights, world
from vartut.course.stored import stored
from vartut.measure.law import best_of_independent, failing_chance
from vartut.measure.statistics import best_of
from vartut.paths import data_folder
from vartut.world import SHORT_TASKS as TASKS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
REMEDY = "run `python benchmarks/readme_tables.py`"


def readme_tables():
    """The script that fills in the README's tables."""
    path = ROOT / "benchmarks" / "readme_tables.py"
    spec = importlib.util.spec_from_file_location("readme_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def quality() -> list[dict]:
    """The rows of data/results/quality.csv."""
    path = data_folder() / "results" / "quality.csv"
    if not path.exists():
        pytest.fail("data/results/quality.csv is missing: run `python benchmarks/quality.py`", pytrace=False)
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def arms(rows) -> dict[str, dict[str, dict]]:
    """Rows by arm, then by task."""
    return {arm: {row["task"]: row for row in rows if row["arm"] == arm} for arm in {row["arm"] for row in rows}}


# ---- the tables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["quality", "climb", "training"])
def test_the_tables_are_what_the_script_writes(name):
    if name == "quality":
        quality()
    between = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", README, re.DOTALL)
    assert between, f"README.md lost the marks of its table: put <!-- {name} --> and <!-- end of {name} --> back"
    if between[1] != getattr(readme_tables(), name)() + "\n":
        pytest.fail(f"README.md's table of {name} is stale: {REMEDY}", pytrace=False)


def test_the_script_changes_nothing_but_its_tables():
    quality()
    text = "before\n<!-- quality -->\nold\n<!-- end of quality -->\n"
    text += "<!-- climb -->\n<!-- end of climb -->\n<!-- verifiers -->\n<!-- end of verifiers -->\n"
    text += "middle\n<!-- training -->\n<!-- end of training -->\n"
    tables = readme_tables()
    new = tables.filled(text)
    assert "old" not in new
    assert tables.filled(new) == new
    between = ("<!-- climb -->\n|", "<!-- verifiers -->\n|", "middle\n<!-- training -->\n|")
    names = ("quality", "climb", "verifiers")
    ends = (f"|\n<!-- end of {name} -->\n{text}" for name, text in zip(names, between))
    for kept in ("before\n<!-- quality -->\n|", *ends):
        assert kept in new
    with pytest.raises(ValueError, match=r"README\.md has no place for it"):
        tables.filled("no marks")


def test_the_quality_table_was_measured_with_the_shipped_models():
    for row in quality():
        shipped = weights.read_provenance("nano" if row["arm"] == "nano" else "tiny")
        if not (row["model"] and shipped["sha256"].startswith(row["model"])):
            stale = f"{row['arm']} was measured with other weights: run `python benchmarks/quality.py`"
            pytest.fail(stale, pytrace=False)


def test_the_quality_table_adds_up():
    for arm, by_task in arms(quality()).items():
        assert list(by_task) == [*TASKS, "all"], arm
        for row in by_task.values():
            k, n = int(row["successes"]), int(row["n"])
            interval = binomtest(k, n).proportion_ci(0.95, method="wilson")
            numbers = [float(row[key]) for key in ("rate", "low", "high")]
            assert numbers == pytest.approx([k / n, interval.low, interval.high], abs=1e-3), (arm, row["task"])
        for key in ("n", "successes"):
            assert int(by_task["all"][key]) == sum(int(by_task[task][key]) for task in TASKS), arm


def test_the_quality_table_has_100_prompts_a_task_without_search():
    assert all(int(row["n"]) >= 100 for row in arms(quality())["sample"].values())


def test_the_readme_gives_success_as_counted():
    for arm, by_task in arms(quality()).items():
        title = readme_tables().TITLES[arm]
        [line] = [line for line in README.splitlines() if line.startswith(f"| {title} |")] or pytest.fail(
            f"README.md has no row for {arm}: {REMEDY}", pytrace=False
        )
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        percent = [100 * int(by_task[task]["successes"]) / int(by_task[task]["n"]) for task in ("all", *TASKS)]
        said = [float(re.match(r"\**(\d+)", cells[column])[1]) for column in (1, *range(3, 11))]
        assert said == pytest.approx(percent, abs=0.51), arm


# ---- what it names -------------------------------------------------------------------------------------------------


def test_files_that_the_readme_links_to_exist():
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", README) if "://" not in link and not link.startswith("#")]
    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert missing == []


def test_commands_that_the_readme_gives_exist():
    known = {name for action in cli.parser()._subparsers._group_actions for name in action.choices}
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", README, re.DOTALL))
    said = set(re.findall(r"\bvartut (\w+)", code))
    assert said
    assert said <= known
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = set(re.findall(r"\bmake ([a-z-]+)", code))
    assert {"demo", "lab", "test"} <= made <= targets
    scripts = set(re.findall(r"python (\S+\.py)", code))
    assert scripts
    assert all((ROOT / script).exists() for script in scripts)
    assert set(re.findall(r"\bvartut train (\S+?)[`\s]", code)) - {"…"} <= set(cli.RECIPES)


def test_commands_that_the_readme_gives_are_read_with_their_options():
    fenced = "".join(README.split("```")[1::2])  # what stands between two fences
    given = [shlex.split(line, comments=True)[1:] for line in fenced.splitlines() if re.match(r"\S*\bvartut ", line)]
    plain = "".join(README.split("```")[::2])
    given += [shlex.split(code)[1:] for code in re.findall(r"`(vartut \S+ [^`…]+)`", plain)]
    assert any(words[0] == "paint" and "--search" in words for words in given), "what a user tries first"
    for words in given:
        assert callable(cli.parser().parse_args(words).run), words


def test_make_runs_one_file_of_tests_or_one_notebook():
    def made(*asked) -> list[str]:
        outside = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "ONLY"))}
        command = ["make", "-n", "VENV=.none", *asked]
        done = subprocess.run(command, cwd=ROOT, env=outside, capture_output=True, text=True, check=True)
        return [line.split() for line in done.stdout.splitlines() if " pytest " in line]

    [one] = made("test-unit", "ONLY=tests/test_search.py")
    assert one[-1] == "tests/test_search.py"
    assert made("test-unit")[0][-1] == "tests"
    [one] = made("test-notebooks", "ONLY=notebooks/02_images_as_tokens.ipynb")
    assert [word for word in one if word.endswith(".ipynb")] == ["notebooks/02_images_as_tokens.ipynb"]
    units, notebooks = made("test")
    assert units[-1] == "tests"
    assert [word for word in notebooks if word.endswith(".ipynb")] == sorted(
        path.relative_to(ROOT).as_posix() for path in ROOT.glob("notebooks/*.ipynb")
    )


def test_snippets_run(capsys):
    snippets = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert snippets
    for snippet in snippets:
        ast.parse(snippet)
        exec(snippet, {"__name__": "readme"})
    assert capsys.readouterr().out


def rows_of(table: str, **wanted) -> list[dict]:
    """The rows of a table of data/results that have these values."""
    with open(data_folder() / "results" / f"{table}.csv", newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if wanted.items() <= row.items()]


def percent(row: dict, key: str, digits: int = 0) -> str:
    return f"{100 * float(row[key]):.{digits}f}"


def test_the_readme_gives_the_reconstructions_as_measured():
    rows = {row["task"]: row for row in rows_of("reconstruction", tokenizer="tokenizer")}
    assert all(weights.read_provenance("tokenizer")["sha256"].startswith(row["weights"]) for row in rows.values())
    assert (rows["all"]["n"], rows["dense"]["n"]) == ("800", "100")
    numbers = [percent(rows["all"], key, 1) for key in ("rate", "low", "high")]
    said = "stays the same in {} % of 800 reconstructed test pictures ({} to {}) and in {} of 100"
    assert said.format(*numbers, rows["dense"]["unchanged"]) in " ".join(README.split())


def test_the_readme_gives_the_best_of_n_as_measured():
    rows = rows_of("curves", model="tiny", stage="short", group="all", verifier="oracle")
    found = {row["n"]: percent(row, "success") for row in rows}
    said = "right in {}, {} and {} % for n = 1, 8 and 64".format(*(found[n] for n in ("1", "8", "64")))
    assert said in " ".join(README.split())


def test_the_readme_gives_the_law_for_tiny_as_the_stored_pictures_have_it():
    kept = stored("tiny", "dense", distinct=False)
    facts = np.array([world.parse(prompt).facts for prompt in kept.prompts])
    q = failing_chance(facts, kept.right.sum(1), np.full(len(facts), kept.right.shape[1]))
    some = (3, 5, 8, 14)
    right = [f"{100 * kept.right[facts == m].mean():.0f}" for m in some]
    law = [f"{100 * best_of_independent(q, np.array([m]), 1)[0]:.0f}" for m in some]
    said = "(q = {:.2f}): {}, {}, {} and {} % at three, five, eight and fourteen facts, where the law says"
    said = said.format(q, *right) + " {}, {}, {} and {}.".format(*law)
    assert said in " ".join(README.split())


def test_the_tables_are_of_the_shipped_weights():
    for table in ("curves", "facts", "precision", "tuning"):
        for row in rows_of(table):
            assert weights.read_provenance(row["model"])["sha256"].startswith(row["weights"]), (table, row["model"])
            named = row.get("verifiers", "").split()
            for verifier, digest in zip(named[::2], named[1::2]):
                assert weights.read_provenance(verifier)["sha256"].startswith(digest), (table, verifier)
    assert all(weights.read_provenance("nano")["sha256"].startswith(row["model"]) for row in rows_of("dials"))


def test_the_readme_gives_the_law_and_the_beam_as_measured():
    rows = {(row["arm"], row["verifier"], row["facts"]): row for row in rows_of("facts", model="nano")}

    def of(arm, verifier, facts, key="success", digits=0):
        return percent(rows[arm, verifier, facts], key, digits)

    text, some = " ".join(README.split()), ("3", "4", "5", "6")
    best, beam, more = "best of 64", "beam 3 x 7", "beam 3 x 7 less best of 64"
    one = [of("one picture", "", facts, key, 1) for key in ("success", "law") for facts in some]
    many = [of(best, "oracle", facts, key) for key in ("success", "law") for facts in some]
    ends = ("success", "low", "high")
    gain = {name: [of(more, name, "all", key, 1) for key in ends] for name in ("oracle", "clip-hard")}
    said = [
        f"One q = {float(rows['one picture', '', 'all']['q']):.2f} comes near to single pictures of `nano`:",
        "{}, {}, {} and {} % at three to six facts, where the law says {}, {}, {} and {}.".format(*one),
        "of `nano` {}, {}, {} and {} %, where it says {}, {}, {} and {}.".format(*many),
        f"right in {of(beam, 'oracle', 'all')} % of the 240 prompts",
        f"the best of 64 in {of(best, 'oracle', 'all')} %, on the same prompts {gain['oracle'][0]} points more",
        "points more ({} to {}). Beside".format(*gain["oracle"][1:]),
        *(
            f"({n}) {word}"
            + "{} ({} to {})".format(*(of(f"{beam} less best of {n}", "oracle", "all", k, 1) for k in ends))
            for n, word in ((87, "the lead is "), (100, ""), (126, ""))
        ),
        f"they do not differ, {of(beam, 'clip-hard', 'all')} and {of(best, 'clip-hard', 'all')} %",
        "({} points more, {} to {}): what".format(*gain["clip-hard"]),
    ]
    assert [claim for claim in said if claim not in text] == []


def test_the_readme_gives_the_beam_of_tiny_as_measured():
    rows = {(row["arm"], row["verifier"]): row for row in rows_of("facts", model="tiny", facts="all")}
    text, beam = " ".join(README.split()), "beam 3 x 7"

    def lead(n, verifier="oracle"):
        row = rows[f"{beam} less best of {n}", verifier]
        return [percent(row, key, 1) for key in ("success", "low", "high")]

    more = "{} points ({} to {}; ".format(*lead(64))
    more += "{} % against {})".format(*(percent(rows[arm, "oracle"], "success") for arm in (beam, "best of 64")))
    said = [f"leads, by the judge's grade, the best of 64 by {more}"]
    said += [f"({n}) by {{}} ({{}} to {{}})".format(*lead(n)) for n in (87, 91, 126)]
    said.append("By `clip-hard` it is {} points at equal NFE ({} to {}).".format(*lead(64, "clip-hard")))
    assert [claim for claim in said if claim not in text] == []


def test_the_readme_says_how_far_the_judges_own_choice_is_from_an_upper_bound():
    kept = stored("tiny", "dense", distinct=False)
    n = kept.right.shape[1]
    chosen = [best_of(n, *pair) for pair in zip(kept.scores["oracle"], kept.right)]
    said = f"one right picture of all {n} is there for {100 * kept.right.any(1).mean():.0f} % of `tiny`'s 240 prompts, "
    assert said + f"and its choice is right for {100 * np.mean(chosen):.0f}." in " ".join(README.split())


def test_the_readme_gives_half_precision_as_measured():
    rows = {(row["model"], row["dtype"]): row for row in rows_of("precision")}
    text, numbers = " ".join(README.split()), []
    for model in ("nano", "tiny"):
        whole, half = rows[model, "float32"], rows[model, "bfloat16"]
        assert all(weights.read_provenance(model)["sha256"].startswith(row["weights"]) for row in (whole, half))
        rates = (*(percent(half, key) for key in ("rate", "low", "high")), percent(whole, "rate"))
        speed = float(half["pictures_a_second"]) / float(whole["pictures_a_second"])
        numbers.append((rates, percent(half, "alone_as_in_a_batch"), f"{speed:.2f}"))
    (nano, nano_alone, nano_speed), (tiny, tiny_alone, tiny_speed) = numbers
    said = [
        "{} % ({} to {}) instead of {} for `nano`".format(*nano),
        "{} ({} to {}) instead of {} for `tiny`".format(*tiny),
        f"in bfloat16 {nano_alone} and {tiny_alone} of 100",
        f"paints {nano_speed} and {tiny_speed} times as many",
    ]
    assert [claim for claim in said if claim not in text] == []

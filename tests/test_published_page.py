"""docs/published.md says what is so: its code prints what stands below it, its commands are read, every row has one.

`python tests/test_published_page.py` runs the page's code anew and writes what it prints below it.
"""

import contextlib
import csv
import importlib.util
import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "published.md"
TEXT = PAGE.read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
KINDS = {"python", "text", "py", "sh", "console"}


# ---- the code ------------------------------------------------------------------------------------------------------


def filled(text: str) -> str:
    """The page with what its `python` blocks print, one after the other, in the `text` block below each."""
    names, printed = {"__name__": "published_page"}, None
    sys.modules.setdefault("published_page", type(sys)("published_page"))

    def run(block: re.Match) -> str:
        nonlocal printed
        kind, code = block.groups()
        if kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(code, f"{PAGE.name}: {code.splitlines()[0]}", "exec"), names)
            printed = out.getvalue()
        elif kind == "text":
            return f"```text\n{printed}```"
        return block.group()

    return FENCE.sub(run, text)


def test_blocks_are_of_known_kinds_and_code_has_its_output_below():
    kinds = [kind for kind, _ in FENCE.findall(TEXT)]
    assert set(kinds) <= KINDS
    assert TEXT.count("```") == 2 * len(kinds), "a block is not closed, or indented"
    following = [after for kind, after in zip(kinds, [*kinds[1:], ""]) if kind == "python"]
    assert set(following) == {"text"}
    assert kinds.count("text") == kinds.count("python")


def test_code_prints_what_stands_below_it():
    with torch.random.fork_rng(devices=[]):
        now = filled(TEXT)
    for here, there in zip(FENCE.findall(TEXT), FENCE.findall(now)):
        assert here == there, "run `python tests/test_published_page.py`"


def test_code_that_wants_weights_runs_on_stand_ins(monkeypatch, tmp_path):
    import vartut
    from vartut.published import flux
    from vartut.published.stand_in import stand_in
    from vartut.published.text import FeatureFile

    def load(name, text=None):
        assert text is None or text.endswith(".safetensors")
        assert FeatureFile
        return stand_in(name, "cpu")

    bright = lambda images, prompts: images.mean((1, 2, 3))  # noqa: E731
    monkeypatch.setattr(vartut, "load", load)
    monkeypatch.setattr(flux, "load", lambda eta: stand_in("infinity-125m", "cpu").tuned() if 0 <= eta <= 1 else None)
    monkeypatch.setattr(vartut, "load_verifier", {"clip-score": bright}.__getitem__)
    blocks = [code for kind, code in FENCE.findall(TEXT) if kind == "py"]
    assert blocks
    for code in blocks:
        names = {}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, names)
        assert names["found"].image.shape[0] == 3


def test_code_fits_the_page():
    for kind, code in FENCE.findall(TEXT):
        longest = max(len(line) for line in code.splitlines())
        assert kind in ("sh", "console") or longest <= 120, code


@pytest.mark.parametrize("model", ["infinity-125m", "var-d16"])
def test_notebook_11_shows_a_picture_where_there_are_weights(model, monkeypatch, capsys):
    import matplotlib.pyplot as plt
    import nbformat

    import vartut
    from vartut.published.stand_in import stand_in

    def clip_score(images, prompts):
        return images.mean((1, 2, 3))

    clip_score.name = "clip-score"
    monkeypatch.setattr(vartut, "load", lambda name, text=None: stand_in(name, "cpu"))
    monkeypatch.setattr(vartut, "load_verifier", {"clip-score": clip_score}.__getitem__)
    plt.close("all")  # what earlier tests left
    monkeypatch.setattr(plt, "show", lambda: print(len(plt.get_fignums()), "figure"))
    notebook, names = nbformat.read(ROOT / "notebooks" / "11_the_published_weights.ipynb", 4), {}
    for cell in [cell.source for cell in notebook.cells if cell.cell_type == "code"]:
        if cell.startswith(("# imports", "# what to fetch", "# your choices", "# the search code")):
            chosen = cell.replace("FETCH = False", "FETCH = True")
            exec(re.sub(r'^MODEL = "infinity-125m"', f'MODEL = "{model}"', chosen, flags=re.MULTILINE), names)
    plt.close("all")
    told = capsys.readouterr().out
    assert f"{model}: " in told
    assert "1 figure" in told
    assert "R A N D O M" not in told


# ---- the stand-ins -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["var-d16", "infinity-125m", "infinity-2b"])
def test_stand_ins_have_the_published_scales_bits_and_settings_and_leave_the_generator_alone(name):
    from vartut.published.loading import SIZES
    from vartut.published.sampler import SETTINGS
    from vartut.published.stand_in import stand_in

    with torch.device("meta"):
        tokenizer, transformer = SIZES[name]()
    before = torch.random.get_rng_state()
    one, two, other = stand_in(name, "cpu"), stand_in(name, "cpu"), stand_in(name, "cpu", seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.transformer.scales == one.tokenizer.scales == transformer.scales == tokenizer.scales
    assert getattr(one.transformer, "bits", None) == getattr(transformer, "bits", None)
    assert sum(p.numel() for m in (one.tokenizer, one.transformer) for p in m.parameters()) < 4e6
    guidance = SETTINGS[name]["guidance"]
    assert [float(g) for g in one.guidance] == [guidance] * one.num_steps
    assert one.top_p == [SETTINGS[name]["top_p"]] * one.num_steps or one.top_p == SETTINGS[name]["top_p"]
    weight = [s.transformer.head.weight for s in (one, two, other)]
    assert torch.equal(weight[0], weight[1])
    assert not torch.equal(weight[0], weight[2])


def test_made_up_features_depend_on_the_prompt_alone():
    from vartut.published.stand_in import AnyText

    a, b = AnyText()["a red fox"], AnyText()["a red box"]
    assert a.shape == b.shape == (4, 2048)
    assert torch.equal(a, AnyText()["a red fox"])
    assert not torch.equal(a, b)


# ---- the commands --------------------------------------------------------------------------------------------------


def commands() -> list[list[str]]:
    """The words of every command of the page's `sh` blocks; loops are run through, $RUNS is /runs."""
    found, loop, values = [], "", [""]
    for line in "".join(code for kind, code in FENCE.findall(TEXT) if kind == "sh").splitlines():
        if begun := re.fullmatch(r"for (\w+) in (.*); do", line):
            loop, values = begun[1], begun[2].split()
        elif line == "done":
            loop, values = "", [""]
        else:
            lines = [line.replace(f"${{{loop}}}", value) if loop else line for value in values]
            found += [shlex.split(each.replace("$RUNS", "/runs")) for each in lines]
    assert not any("$" in word for words in found for word in words), "a variable that no line of the page sets"
    return found


def of(*begin: str) -> list[list[str]]:
    """The arguments of the page's commands that begin with these words."""
    return [words[len(begin) :] for words in commands() if words[: len(begin)] == list(begin)]


def benchmark(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PICTURES, SCORES = ("python", "benchmarks/published_pictures.py"), ("python", "benchmarks/published_scores.py")
SPEED, LOADING = ("python", "benchmarks/published_speed.py"), ("python", "benchmarks/published_loading.py")
FEATURES, FETCH, PIP = ("python", "-m", "vartut.published.text"), ("hf", "download"), ("pip", "install")


def test_every_command_is_one_that_a_test_reads():
    known = [PICTURES, SCORES, SPEED, LOADING, FEATURES, FETCH, PIP]
    for words in commands():
        assert any(words[: len(begin)] == list(begin) for begin in known) or words == ["RUNS=/a/folder/for/pictures"]
    assert all(of(*begin) for begin in known)


def test_files_are_fetched_as_pinned_to_where_they_are_looked_for(monkeypatch):
    from vartut.published import files

    monkeypatch.delenv("VARTUT_PUBLISHED", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    asked = []
    for repo, *words in of(*FETCH):
        assert words[0] == "--revision"
        assert words[1] == files.REVISIONS[repo]
        assert words[4] == "--local-dir"
        assert Path(words[5]).expanduser() == files.own_folder()
        asked.append((repo, *words[2:4]))
    assert asked == [(source.repo, source.transformer, source.tokenizer) for source in files.SOURCES.values()]
    for name, source in files.SOURCES.items():
        assert f"| `{name}` | {source.paper} | {source.licence} | {source.gigabytes} GB |" in TEXT
    assert f"`{files.TEXT_REPO}` | arXiv 2210.11416 | {files.TEXT_LICENCE} |" in TEXT


def test_features_commands_are_read_and_name_the_prompts(monkeypatch, tmp_path):
    from vartut.published import text

    made = {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(text, "encode_text", lambda prompts, **_: {p: torch.zeros(2, 4) for p in prompts})
    for words in of(*FEATURES):
        if "--prompts" in words:
            Path(words[words.index("--prompts") + 1]).write_text("a cup\n")
        assert text.main(words) == 0
        out = words[words.index("--out") + 1]
        made[out] = text.FeatureFile(out).prompts
    assert made["features.safetensors"] == ("a red fox in the snow", "two green cups on a wooden table", "a cup")
    parser = benchmark("published_pictures").parser()
    assert {str(parser.parse_args(words).text) for words in of(*PICTURES)} <= set(made)


def nfe(args, scales: int = 13) -> int:
    """What one picture costs as the paper counts."""
    children = {"none": 1, "random": args.candidates, "beam": args.width * args.candidates}[args.search]
    return children * scales * (scales + 1) // 2 if args.search == "beam" else children * scales


def test_every_row_that_nobody_has_run_has_its_commands(monkeypatch):
    painting = benchmark("published_pictures")
    monkeypatch.setitem(sys.modules, "published_pictures", painting)
    scoring = benchmark("published_scores")
    painted = {}
    for words in of(*PICTURES):
        args = painting.parser().parse_args(words)
        painting.check_numbers(args)
        assert str(args.out) not in painted, "two commands paint into one folder"
        painted[str(args.out)] = args
    scored = {}
    for words in of(*SCORES):
        args = scoring.parser().parse_args(words)
        scoring.check_options(args)
        assert args.what not in scored
        scored[args.what] = args
        pictures = painted[str(args.folder)]
        prompts = {"GenEval": 553, "DrawBench": 200, "T2I-CompBench++": 300}[args.what.split(",")[0]]
        settings = painting.chosen_settings(pictures, [{"prompt": "a cup"}] * prompts)
        scoring.check_claim(args, settings, [{"paper_nfe": str(nfe(pictures))}])
        climbed = args.value is None and settings.get("verifier") == (args.verifier or "image-reward")
        assert args.climbed == climbed, "--climbed where the verifier is the one that the search climbed, only there"
    assert list(scored) == [what for what, _, _ in scoring.claims()]
    assert {str(args.folder) for args in scored.values()} == set(painted), "pictures that nobody scores"


@pytest.mark.parametrize("begin", [SPEED, LOADING], ids=lambda begin: begin[1])
def test_options_of_the_other_benchmarks_exist(begin):
    told = subprocess.run([sys.executable, ROOT / begin[1], "--help"], capture_output=True, text=True, check=True)
    for words in of(*begin):
        options = {word for word in words if word.startswith("--")}
        assert options <= set(re.findall(r"--[\w-]+", told.stdout))


def test_extras_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = {extra for words in of(*PIP) for extra in re.findall(r"\[(\w+)\]", words[-1])}
    assert asked
    assert asked <= set(extras)


# ---- what it names and says ----------------------------------------------------------------------------------------


def test_links_and_files_exist():
    titles = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    for link in re.findall(r"\]\(([^)\s]+)\)", TEXT):
        assert link[1:] in headings if link[0] == "#" else "://" in link or (PAGE.parent / link).exists(), link
    named = re.findall(r"`((?:vartut|data|tests|benchmarks|docs)/[\w/.+-]+)`", TEXT)
    assert named
    may_come = {"data/results/published_scores.csv"}  # once somebody has run a row
    assert [name for name in named if not (ROOT / name).exists() and name not in may_come] == []


def test_verifiers_are_those_that_load_verifier_knows():
    from vartut import hub

    assert tuple(re.findall(r'^\| [^|]+ \| `"([\w-]+)"` \|', TEXT, re.MULTILINE)) == hub.PUBLISHED_VERIFIERS


def test_numbers_of_the_prose_are_those_of_the_package_and_the_tables():
    from vartut.published.costs import memory

    text, gib = " ".join(TEXT.split()), 2**30
    need = memory("infinity-2b", torch.bfloat16)
    at_early, everywhere = (f"{need.search(15, 1, last) / gib:.1f}" for last in (4, None))
    assert f"0 to 4 takes {at_early} GiB, where one that branches at all scales may take {everywhere}" in text
    solved, solutions = {}, (ROOT / "notebooks" / "solutions" / "11.py").read_text()
    exec(solutions.split("# exercise 11.1\n")[1].split("# mistake")[0], solved)
    beside = need.weights + need.condition + need.working(1)
    split = [(beside + solved["beam_bytes"](need.passes, w, c)) / gib for w, c in ((1, 15), (3, 5), (5, 3), (15, 1))]
    told, answer = "at most {:.1f}, {:.1f}, {:.1f} or {:.1f} GiB".format(*split), solutions.replace("\n#", "")
    assert f"{told} for 1 x 15, 3 x 5, 5 x 3 or 15 x 1" in " ".join(answer.split())
    assert told not in text, "the exercise's answer stands nowhere above it"
    assert split == pytest.approx([need.one_row(need.beam(w, c)) / gib for w, c in ((1, 15), (3, 5), (5, 3), (15, 1))])
    measured = (ROOT / "data" / "results" / "published_loading.csv").read_text()
    [most] = [row["value"] for row in csv.DictReader(measured.splitlines()) if "most anonymous" in row["what"]]
    assert f"at most {most} GiB that the system cannot drop" in text
    ratios = [float(ratio) for ratio in re.findall(r"MiB +computed.*measured +([\d.]+)$", TEXT, re.MULTILINE)]
    fifteen = [float(x) for x in re.findall(r"w c = 15.*MiB +computed.*measured +([\d.]+)$", TEXT, re.MULTILINE)]
    assert f"took {min(ratios):.1f} to {max(ratios):.1f} times as much as computed" in text
    assert f"beams of fifteen {min(fifteen):.1f} to {max(fifteen):.1f} times" in text
    notebook = prose("11_the_published_weights")
    assert f"all but the weights {min(ratios):.1f} to {max(ratios):.1f} times." in notebook
    held, working = excess()
    assert {f"{times:.2f}" for times in held} == {"1.00"}
    least, most = (f"{end(working):.1f}" for end in (min, max))
    assert f"with all the excess put on it, working memory took {least} to {most} times" in text
    assert "took 1.00 times what was computed" in text
    assert f"working memory caused the whole excess, it took up to {most} times the computed" in notebook
    assert f"working memory {most} times as computed" in " ".join(answer.split()), "with which the solution reckons"
    beside = (need.condition + need.working(1)) / gib
    more = [size + (float(most) - 1) * beside for size in split]
    twice = [2 * size - need.weights / gib for size in split]
    fitting = [[size for size in sizes if size <= 38.5] for sizes in (split, more, twice)]
    assert [len(sizes) for sizes in fitting] == [3, 3, 0]
    clip, llava = 1.7e9 / gib, 15.3e9 / gib  # the verifier comes on top
    assert f"leave 3 x 5, at {more[1] + clip:.1f} with working memory {most} times" in " ".join(answer.split())
    assert f"leave none, {split[0] + llava:.1f} at least" in " ".join(answer.split())
    assert f"CLIP's {clip:.1f} GiB leave" in " ".join(answer.split())
    said = "3 x 5, takes {:.1f} GiB as computed**, at worst and without a verifier, so it would fit; "
    said += "1 x 15 takes {:.1f}, 5 x 3 {:.1f}"
    assert said.format(split[1], split[0], split[2]) in notebook
    assert f"Then 3 x 5 takes {more[1]:.1f}, and 5 x 3, with {more[2]:.1f} of 38.5, is too close" in notebook
    assert f"fifteen take {need.search(15, 15) / gib:.1f}, even branching at five scales" in notebook
    told = f"1 x 15 and 3 x 5 do; 5 x 3 takes {max(fitting[1]):.1f} of the 38.5 that we allow"
    assert told in " ".join(answer.split()), "a margin that is smaller than what is known of the card is told as one"
    assert f"that takes {at_early}, little more than one picture's {need.total() / gib:.1f}" in notebook


def test_measured_memory_is_the_tables():
    from vartut.published.measured import measured_memory

    runs = measured_memory()
    held, working = excess()
    caches = [run for run in runs if run["what"] == "caches"]
    beside = [run for run in runs if run["what"] != "caches"]
    assert [run["measured"] / run["computed"] for run in caches] == held
    assert [1 + (run["measured"] - run["computed"]) / run["working"] for run in beside] == working
    one = next(run for run in beside if run["model"] == "infinity-125m" and run["rows"] == 1)
    assert (one["what"], one["measured"], one["computed"]) == ("painted", 375.4, 232.6)
    assert {(run["what"], run["rows"]) for run in beside} == {
        ("painted", 1), ("painted", 16), ("in a beam", 2), ("in a beam", 15)
    }  # fmt: skip


def excess() -> tuple[list[float], list[float]]:
    """In multiples of the computed: what caches and logits took, and working memory if all the excess is its own."""
    from vartut.published.costs import memory

    found, held, working = {}, [], []
    with open(ROOT / "data" / "results" / "published_speed.csv") as file:
        for row in csv.DictReader(file):
            if "caches and logits held" in row["what"] or "most memory" in row["what"]:
                both = found.setdefault((row["model"], row["batch"], row["what"]), {})
                both[row["how"]] = float(row["value"])
    for (model, rows, what), both in found.items():
        if "held" in what:
            held.append(both["measured"] / both["computed"])
        else:
            computed = memory(model).working(int(rows)) / 2**20
            working.append(1 + (both["measured"] - both["computed"]) / computed)
    return held, working


def prose(name: str) -> str:
    """The markdown of a notebook, its line breaks as blanks."""
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return " ".join(" ".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown").split())


def test_the_flops_that_notebook_00_reckons_with_are_those_of_the_page():
    source = (ROOT / "notebooks" / "00_start_here.ipynb").read_text(encoding="utf-8")
    pairs = re.findall(r'\\"FLOPs\\": (\d+) // (\d+)|\(\\"FLOPs\\", (\d+) // (\d+)\)', source)
    numbers = {int(number) for pair in pairs for number in pair if number}
    assert len(pairs) == 2  # against FLUX's pictures, and against Infinity's own
    assert [number for number in numbers if not re.search(rf"\b{number:,}\b", TEXT)] == []


def test_numbers_begin_with_a_digit():
    said = FENCE.sub(lambda block: "" if block[1] in ("python", "py") else block[0], TEXT)
    assert re.findall(r"(?<![\w.*/~])\.\d", said) == []


if __name__ == "__main__":
    PAGE.write_text(filled(TEXT), encoding="utf-8")

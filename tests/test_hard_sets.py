"""The hard sets: what they hold, that they do not drift, what is said where there is none; and how one is drawn."""

import sys

import pytest
from notebook_sources import ROOT

from vartut import world
from vartut.training.recipes import scenes_of


@pytest.mark.parametrize("size", world.HARD)
def test_a_hard_set_has_enough_prompts_of_the_world_and_none_twice(size):
    prompts = world.hard(size)
    assert len(prompts) == len(set(prompts)) >= 200
    assert all(world.parse(prompt).facts in world.DENSE_FACTS for prompt in prompts)
    assert all(len(world.words(prompt)) <= world.MAX_WORDS for prompt in prompts)


@pytest.mark.parametrize("size", world.HARD)
def test_what_chose_the_band_hardly_stands_in_the_set(size):
    """Seven of nano's 201: prompts of three facts are few, and were drawn again before `drawn` looked for that."""
    chose = {prompt for facts in world.DENSE_FACTS for prompt in world.prompts("dense", 20, facts=facts)}
    assert len(chose & set(world.hard(size))) == {"nano": 7, "tiny": 0}[size]


@pytest.mark.parametrize("size", world.HARD)
def test_training_does_not_show_it(size):
    """Not among those of the first hundred steps; `benchmarks/hard_set.py` left out what it met in all of them."""
    seen = set(world.prompts("dense", 1_600, split="train"))
    assert not seen & set(world.hard(size))


def test_other_sizes_are_answered_with_what_there_is():
    with pytest.raises(ValueError, match=r'unknown size with a hard set "nanno".*nano'):
        world.hard("nanno")


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("VARTUT_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="git checkout data/prompts"):
        world.hard("nano")


def test_a_cut_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("VARTUT_DATA", str(tmp_path))
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "hard-nano.txt").write_text("a heart right of a circle\na heart lef")
    with pytest.raises(ValueError, match=r"hard-nano\.txt is damaged: restore it with `git checkout data/prompts`"):
        world.hard("nano")


# ---- how one is drawn: the band from a table, and prompts that nobody has seen ---------------------------------------


@pytest.fixture
def hard_set(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import hard_set

    yield hard_set
    sys.modules.pop("hard_set")


def table(rates, **others):
    row = {"model": "nano", "stage": "dense", "verifier": "oracle", "n": "64", "weights": "abc"} | others
    return [row | {"group": f"{facts} facts", "success": str(rate)} for facts, rate in zip(world.DENSE_FACTS, rates)]


@pytest.mark.parametrize(
    ("rates", "band"),
    [
        ([1, 0.95, 0.86, 0.85, 0.6, 0.30, 0.29, 0.1, 0, 0, 0, 0], [6, 7, 8]),
        ([0.5, 1, 0.8, 0.7, 0.1, 0.4, 0.4, 0.4, 0, 0, 0, 0.5], [8, 9, 10]),
        ([0.5] * 12, list(world.DENSE_FACTS)),
    ],
)
def test_the_band_is_the_longest_run(hard_set, rates, band):
    everything = {"group": "all", "success": "0.5"} | {k: v for k, v in table([0])[0].items() if k not in "group"}
    others = table([0.5] * 12, n="32") + table([0.5] * 12, verifier="clip") + table([0.5] * 12, weights="old")
    assert hard_set.band([*table(rates), *others, everything], "nano", "abc") == band


def test_a_table_without_such_numbers_names_what_to_do(hard_set):
    for rows in (table([1] * 12), table([0] * 12), table([0.5] * 12, model="tiny"), []):
        with pytest.raises(ValueError, match="measure the curve first"):
            hard_set.band(rows, "nano", "abc")


def test_prompts_are_of_their_facts_and_neither_met_nor_twice_nor_of_those_that_chose(hard_set, monkeypatch):
    monkeypatch.setattr(hard_set, "PROMPTS", 21)
    plain, few = hard_set.drawn([3, 4], set()), set(world.prompts("dense", 20, facts=3))
    assert not few & set(plain)
    assert [world.parse(prompt).facts for prompt in plain] == [3] * 11 + [4] * 11
    assert len(set(plain)) == 22
    met = set(plain[:5])
    fresh = hard_set.drawn([3, 4], met)
    assert not met & set(fresh)
    assert fresh[11:] == plain[11:]
    assert [prompt for prompt in plain[:11] if prompt not in met] == fresh[:6]
    assert hard_set.CHOSE == 20  # what curves.py asks of each number of facts
    chose = world.prompts("dense", hard_set.CHOSE, facts=4)
    later = dict.fromkeys(world.prompts("dense", 60, facts=4)[len(chose) :])
    assert plain[11:] == [prompt for prompt in later if prompt not in chose][:11]


def test_what_training_showed_is_what_the_recipes_draw(hard_set, monkeypatch):
    runs = [{"batch": 8, "steps": 3, "seed": 5}]
    monkeypatch.setattr(hard_set.weights, "read_provenance", lambda name: {"runs": runs})
    shown = {scene.prompt for step in range(3) for scene in scenes_of(step, 8, 5, 2) if scene.task == "dense"}
    assert hard_set.met_in_training("nano") == shown

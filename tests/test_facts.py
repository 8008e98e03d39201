"""The benchmarks of facts, precision and tuning: what their numbers are made of."""

import csv
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from notebook_sources import ROOT
from safetensors.numpy import load_file
from toy_models import toy_sampler

from vartut import world
from vartut.ledger import Ledger
from vartut.measure.law import best_of_independent
from vartut.paths import data_folder


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import facts
    import precision
    import tuning

    yield facts, precision, tuning
    for name in ("facts", "precision", "tuning", "curves", "speed", "tables"):
        sys.modules.pop(name, None)


def test_the_law_is_fitted_to_single_pictures_and_foretells_the_best_of_many(benchmarks):
    """Pictures whose facts do fail independently with .2 lie on it."""
    facts, rng = benchmarks[0], np.random.default_rng(0)
    numbers = np.repeat([3, 6, 9], 200)
    correct = rng.random((600, 64)) < best_of_independent(0.2, numbers)[:, None]
    q, law = facts.independent([f"{number} facts" for number in numbers], correct, (1, 64))
    one, many = law[1], law[64]
    assert q == pytest.approx(0.2, abs=0.01)
    assert one["6 facts"] == pytest.approx(0.8**6, abs=0.02)
    assert many["9 facts"] == pytest.approx(correct[numbers == 9].any(1).mean(), abs=0.02)
    assert many["all"] == pytest.approx(correct.any(1).mean(), abs=0.02)


def test_a_row_for_each_number_of_facts_and_one_for_all(benchmarks):
    won, grades = np.array([1, 0, 1, 1.0]), np.array([1, 0.5, 1, 1])
    groups, costs = ["3 facts", "3 facts", "4 facts", "4 facts"], dict.fromkeys(benchmarks[0].CURRENCIES, 316)
    rows = benchmarks[0].rows_of("beam", "clip", groups, won, grades, costs, {"all": 0.4})
    found = [[row[key] for key in ("facts", "prompts", "success", "grade", "law")] for row in rows]
    assert found == [["3", 2, 0.5, 0.75, None], ["4", 2, 1.0, 1.0, None], ["all", 4, 0.75, 0.875, 0.4]]
    assert all(row["low"] <= row["success"] <= row["high"] for row in rows)
    sure = benchmarks[0].rows_of("beam", "clip", groups, np.ones(4), grades, costs, {})
    assert all(row["low"] < 1 for row in sure)  # four of four leave doubt
    alike = benchmarks[0].rows_of("beam less best of 64", "clip", groups, np.zeros(4), grades, costs, {})
    assert all(row["low"] < 0 < row["high"] for row in alike)  # and so do four differences of nothing


def test_prompts_are_paired_with_themselves(benchmarks):
    won, best = np.array([1.0, 0, 0, 0]), np.array([0.9, 0.1, 0.2, 0.3])
    assert benchmarks[0].compared(won, best).tolist() == pytest.approx([0.1, -0.1, -0.2, -0.3])


def test_as_many_pictures_cost_what_the_beam_does_in_one_currency_at_a_time(benchmarks):
    facts, sampler = benchmarks[0], toy_sampler()

    def brightness(images, prompts):
        return images.mean((1, 2, 3))

    beam = facts.spent(facts.vartut.beam_search(sampler, "a star", brightness, seed=0, **facts.BEAM))
    steps, children = sampler.num_steps, facts.BEAM["width"] * facts.BEAM["candidates"]
    assert beam["nfe"] == 1 + children * steps * (steps - 1) // 2
    assert beam["pictures"] == children * steps
    equal = facts.as_many(sampler, "a star", beam, brightness)
    assert equal["pictures"][0] == children * steps
    for currency, (n, bill) in equal.items():
        whole = facts.spent(facts.vartut.random_search(sampler, "a star", brightness, n=n, seed=0))
        assert whole == pytest.approx(bill)
        assert whole[currency] == pytest.approx(beam[currency], rel=0.05)


def test_rows_of_a_verifier_are_made_of_the_outcomes_that_are_kept(benchmarks):
    facts, rng = benchmarks[0], np.random.default_rng(0)
    correct = (rng.random((4, 9)) < 0.5).astype(float)
    kept = {"correct": correct, "oracle": correct / 2, "clip": rng.random((4, 9))}
    found = [{"correct": c, "grade": c, **dict.fromkeys(facts.CURRENCIES, 10)} for c in (1, 0, 0, 1)]
    equal = {"nfe": (3, dict.fromkeys(facts.CURRENCIES, 9)), "pictures": (5, dict.fromkeys(facts.CURRENCIES, 12))}
    rows, outcomes = facts.under("clip", ["3 facts", "3 facts", "4 facts", "4 facts"], kept, found, equal, {})
    for n, more in ((3, 1), (5, -2)):
        less = {row["facts"]: row for row in rows if row["arm"] == f"{facts.NAME} less best of {n}"}
        gain = outcomes[f"clip {facts.NAME}"] - outcomes[f"clip best of {n}"]
        means = {"3": gain[:2].mean(), "4": gain[2:].mean(), "all": gain.mean()}
        assert {key: row["success"] for key, row in less.items()} == pytest.approx(means, abs=1e-4)
        assert less["all"]["tokens"] == more


def test_pictures_alike_have_all_tokens_alike(benchmarks):
    tokens = torch.tensor([[1, 2], [3, 4], [5, 6], [7, 8]])
    others = torch.tensor([[1, 2], [3, 0], [0, 6], [7, 8]])
    assert benchmarks[1].same(tokens, others) == 0.5
    pictures, all_tokens = benchmarks[1].painted(toy_sampler(), ["a star", "a heart", "a ring"], [1, 2, 3], 2)
    assert (pictures.shape, all_tokens.shape) == ((3, 3, 64, 64), (3, 130))


def test_the_grid_paints_validation_prompts_alone(benchmarks):
    asked = benchmarks[2].asked(2)
    assert {kind: len(prompts) for kind, (prompts, _) in asked.items()} == {"short": 16, "dense": 4}
    wanted = [prompt for task in world.SHORT_TASKS for prompt in world.prompts(task, 2, "validation")]
    assert asked["short"][0] == wanted
    assert len({seed for _, seeds in asked.values() for seed in seeds}) == 20


def test_an_outcome_is_of_its_prompt_seed_verifiers_and_beam_alone(benchmarks, tmp_path, monkeypatch):
    facts, seen = benchmarks[0], []
    found = SimpleNamespace(image=torch.zeros(3, 64, 64), ledger=Ledger())
    monkeypatch.setattr(facts.vartut, "beam_search", lambda s, p, v, seed, **beam: seen.append((p, seed)) or found)
    oracle = SimpleNamespace(name="oracle")
    for asked in (("a", "a star", 1), ("a", "a star", 1), ("a", "a ring", 1), ("a", "a star", 2)):
        assert facts.searched(None, oracle, [asked], tmp_path)[0]["prompt"] == asked[1]
    for name, other in (("BEAM", {"width": 1, "candidates": 1}), ("scorers", lambda names: "clip 0 clip-hard 0")):
        monkeypatch.setattr(facts, name, other)
        facts.searched(None, oracle, [("a", "a star", 1)], tmp_path)
    assert seen == [("a star", 1), ("a ring", 1), ("a star", 2), ("a star", 1), ("a star", 1)]
    for path in tmp_path.glob("*.json"):
        path.write_text("{")
    with pytest.raises(ValueError, match="is damaged: remove it"):
        facts.searched(None, oracle, [("a", "a star", 1)], tmp_path)


def test_the_shipped_differences_are_those_of_the_outcomes_that_ship(benchmarks):
    facts, folder = benchmarks[0], data_folder() / "results"
    with (folder / "facts.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if " less " in row["arm"]]
    assert len(rows) > 13
    for row in rows:
        outcomes = load_file(folder / "facts" / f"{row['model']}.safetensors")
        beam, best = (outcomes[f"{row['verifier']} {arm}"] for arm in row["arm"].split(" less "))
        own = np.repeat(world.DENSE_FACTS, 20) == int(row["facts"]) if row["facts"] != "all" else slice(None)
        assert float(row["success"]) == pytest.approx(facts.compared(beam, best)[own].mean(), abs=1e-4)

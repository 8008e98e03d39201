"""Judged success: the interval against scipy's, the table against counting by hand, the judge against true scenes."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm
from toy_models import toy_sampler, toy_tokenizer, toy_transformer

from vartut import world
from vartut.measure.evaluate import Outcome, format_table, judged_success, paint, root_seeds, success_table
from vartut.measure.statistics import wilson
from vartut.models.next_scale import NextScaleSampler
from vartut.models.protocol import row_seed
from vartut.search import random_search

PROMPTS = ["a red circle", "two stars", "a ring left of a heart", "a red circle", "a blue square"]


# ---- Wilson's interval ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 100), (1, 100), (37, 100), (99, 100), (100, 100), (400, 800)])
def test_interval_is_scipys(k, n):
    wanted = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson(k, n, z=norm.ppf(0.975)) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    assert wilson(k, n) == pytest.approx((wanted.low, wanted.high), abs=2e-5), "1.96 is the rounded quantile"


def test_interval_by_hand():
    low, high = wilson(5, 10)  # (5 + 1.92) / 13.84 -+ 1.96 / 13.84 sqrt(2.5 + .96)
    assert (round(low, 3), round(high, 3)) == (0.237, 0.763)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0


def test_interval_covers_the_truth_19_times_in_20():
    n, p = 100, 0.3
    covered = sum(
        probability for k, probability in enumerate(binomial(n, p)) if wilson(k, n)[0] <= p <= wilson(k, n)[1]
    )
    assert 0.93 < covered < 0.97


def binomial(n, p):
    """Probabilities of 0 to n successes, by the recursion of Pascal's triangle."""
    row = [1.0]
    for _ in range(n):
        row = [a * (1 - p) + b * p for a, b in zip([*row, 0.0], [0.0, *row])]
    return row


@pytest.mark.parametrize(("k", "n"), [(0, 0), (1, 0), (-1, 10), (11, 10), (0, -1)])
def test_impossible_counts_are_refused(k, n):
    with pytest.raises(ValueError, match="0 <= successes <= n and n > 0"):
        wilson(k, n)


def test_counts_are_whole_numbers_of_any_kind():
    assert wilson(np.int64(37), torch.tensor(100)) == wilson(37, 100)
    for k, n, said in ((0.5, 10, "successes is a whole number; got 0.5"), (5, 10.0, "n is a whole number; got 10.0")):
        with pytest.raises(ValueError, match=said):
            wilson(k, n)


# ---- painting ------------------------------------------------------------------------------------------------------


def test_paint_is_one_child_a_step_whatever_the_batch():
    sampler, seeds = toy_sampler(temperature=[1, 1, 1, 1, 0.5, 0.5]), [5, 6, 7, 8, 9]
    state = sampler.begin(PROMPTS, seeds)
    for _ in range(6):
        state = sampler.expand(state)
    wanted = sampler.preview(state)
    for batch in (5, 2):
        pictures = paint(sampler, PROMPTS, seeds, batch)
        assert pictures.shape == (5, 3, 64, 64)
        same = [torch.allclose(one, other, atol=1e-4) for one, other in zip(pictures, wanted)]
        assert sum(same) >= 4, "at most one picture may differ, by a near-tie"
    assert not torch.allclose(wanted[0], wanted[3], atol=1e-2), "another seed is another picture"


@pytest.mark.parametrize(
    ("prompts", "seeds", "batch", "said"),
    [
        ([], [], 5, "each with its seed; got 0 prompts"),
        (PROMPTS, [0, 1], 5, "got 5 prompts and 2 seeds"),
        (PROMPTS, range(5), 0, "batch is a whole number of at least 1; got 0"),
        (PROMPTS, range(5), 2.5, "batch is a whole number of at least 1; got 2.5"),
        (PROMPTS, [0, 1, 2, 3, 4.0], 5, r"seeds\[4\] is a whole number; got 4.0"),
        (PROMPTS, 0, 5, "seeds are several whole numbers"),
    ],
)
def test_what_cannot_be_painted_is_refused(prompts, seeds, batch, said):
    with pytest.raises(ValueError, match=said):
        paint(toy_sampler(), prompts, seeds, batch)


def test_numbers_of_numpy_and_torch_paint_the_same():
    sampler = toy_sampler()
    wanted = paint(sampler, PROMPTS[:2], [5, 6], 2)
    for seeds, batch in ((np.array([5, 6]), np.int64(2)), (torch.tensor([5, 6]), torch.tensor(2)), (range(5, 7), 2)):
        assert torch.equal(paint(sampler, tuple(PROMPTS[:2]), seeds, batch), wanted)


# ---- judged success ------------------------------------------------------------------------------------------------


class Painter:
    """A "search" that knows the true scenes, and paints bare ground instead of those that `wrong` names."""

    def __init__(self, tasks, n, wrong=lambda index: False):
        scenes = [scene for task in tasks for scene in world.sample(task, n, "test")]
        self.pictures = world.render(scenes)
        self.prompts, self.wrong, self.n, self.seeds = [scene.prompt for scene in scenes], wrong, n, []

    def __call__(self, sampler, prompt, seed):
        place = len(self.seeds)
        self.seeds.append(seed)
        assert prompt == self.prompts[place], "the first n test prompts of each task, in order"
        ground = torch.tensor(world.GROUND).view(3, 1, 1).expand(3, 64, 64)
        return SimpleNamespace(image=ground if self.wrong(place % self.n) else self.pictures[place])


def test_true_pictures_succeed_on_every_task():
    outcomes = judged_success(None, n=6, search=Painter(world.SHORT_TASKS, 6))
    assert [(o.task, o.index) for o in outcomes] == [(task, i) for task in world.SHORT_TASKS for i in range(6)]
    assert all(o.correct and o.grade == 1 for o in outcomes)
    table = success_table(outcomes)
    assert [row["task"] for row in table] == [*world.SHORT_TASKS, "all"]
    assert [row["successes"] for row in table] == [6] * 8 + [48]
    assert all(row["rate"] == row["seen"] == row["unseen"] == row["grade"] == 1 for row in table)
    assert all(row["high"] == pytest.approx(1) for row in table)


def test_what_is_wrong_is_counted_where_it_belongs():
    tasks = ("colors", "position")
    outcomes = judged_success(None, tasks, n=4, search=Painter(tasks, 4, wrong=lambda index: index % 2 == 1))
    assert [o.correct for o in outcomes] == [True, False] * 4
    for row in success_table(outcomes):
        assert (row["rate"], row["seen"], row["unseen"]) == (0.5, 1.0, 0.0)
        assert (row["low"], row["high"]) == wilson(row["n"] // 2, row["n"])


def test_seeds_depend_on_seed_task_and_index_alone():
    few, many, other = Painter(["colors"], 2), Painter(["counting", "colors"], 4), Painter(["colors"], 2)
    judged_success(None, ["colors"], 2, seed=3, search=few)
    judged_success(None, ["counting", "colors"], 4, seed=3, search=many)
    judged_success(None, ["colors"], 2, seed=4, search=other)
    assert few.seeds == many.seeds[4:6] == [row_seed(3, "colors/0"), row_seed(3, "colors/1")]
    assert len({*many.seeds, *other.seeds}) == 10


def test_prompts_too_long_for_the_model_are_refused_before_any_work(monkeypatch):
    tokenizer = toy_tokenizer()
    transformer = toy_transformer(tokenizer, words=8)
    sampler = NextScaleSampler(tokenizer, transformer, world.token_ids)
    painted = []
    monkeypatch.setattr("vartut.measure.evaluate.paint", lambda *given: painted.append(given))
    with pytest.raises(ValueError, match="this model reads at most 8: shorten it"):
        judged_success(sampler, ["colors", "dense"], 4)
    assert not painted


def test_a_plain_sample_is_the_first_picture_of_a_search():
    sampler, prompts, seen = toy_sampler(), world.prompts("colors", 2), []

    def verifier(images, prompts):
        seen.append(images.clone())
        return images.mean((1, 2, 3))

    judged_success(sampler, "colors", 2, search=functools.partial(random_search, verifier=verifier, n=2))
    plain = paint(sampler, prompts, root_seeds([row_seed(0, f"colors/{i}") for i in range(2)]))
    for i in range(2):
        torch.testing.assert_close(seen[i][0], plain[i], atol=1e-4, rtol=0)
        assert not torch.allclose(seen[i][1], plain[i], atol=1e-2)
    for n in (1, 2):  # and what `judged_success` paints without a search is just these
        grades = [o.grade for o in judged_success(sampler, "colors", n)]
        assert grades == [v.grade for v in world.judge(plain[:n], prompts[:n])]


def test_a_model_that_paints_noise_succeeds_at_nothing_hard():
    outcomes = judged_success(toy_sampler(), ["complex", "position"], n=1)
    assert len(outcomes) == 2
    assert not any(o.correct for o in outcomes)
    assert all(0 <= o.grade < 1 for o in outcomes)


@pytest.mark.parametrize("tasks", [["colors", "colors"], "colors", iter(["colors"])])
def test_a_task_named_twice_counts_once_and_one_may_stand_alone(tasks):
    outcomes = judged_success(None, tasks, np.int64(2), seed=np.int64(3), search=Painter(["colors"], 2))
    assert [row["n"] for row in success_table(outcomes)] == [2, 2]


@pytest.mark.parametrize("tasks", [["position", "colour"], ["colors", "all"]])
def test_an_unknown_task_is_refused_before_the_work(tasks):
    with pytest.raises(ValueError, match=r'unknown task ".*"; did you mean "') as caught:
        judged_success(None, tasks, 2, search=lambda *a, **k: pytest.fail("painted before the names were read"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["n", "seed", "batch"])
@pytest.mark.parametrize("number", [0, -3, 1.5, "1", True])
def test_numbers_that_are_none_are_refused(name, number):
    if name == "seed" and number in (0, -3):
        number = 0.0
    with pytest.raises(ValueError, match=rf"{name} is a whole number.*; got {number!r}"):
        judged_success(None, ["colors"], **{name: number})


# ---- the table -----------------------------------------------------------------------------------------------------


def outcome(task, index, correct, grade):
    return Outcome(task, index, "a circle", correct, grade)


def test_table_by_hand():
    outcomes = [outcome("colors", 0, True, 1.0), outcome("colors", 1, False, 0.5), outcome("colors", 2, True, 0.9)]
    outcomes += [outcome("counting", 0, False, 0.0)]
    colors, counting, everything = success_table(outcomes)
    assert (colors["n"], colors["successes"], colors["rate"]) == (3, 2, 2 / 3)
    assert (colors["seen"], colors["unseen"]) == (1.0, 0.0)
    assert colors["grade"] == pytest.approx(0.8)
    assert (counting["n"], counting["rate"], counting["seen"], counting["unseen"]) == (1, 0.0, 0.0, None)
    assert (everything["n"], everything["successes"], everything["rate"]) == (4, 2, 0.5)
    assert everything["grade"] == pytest.approx(0.6)
    assert (everything["seen"], everything["unseen"]) == (2 / 3, 0.0)


def test_table_as_text():
    outcomes = [outcome("colors", 0, True, 1.0), outcome("color_attr", 2, False, 0.25)]
    head, colors, attributes, everything = format_table(success_table(outcomes)).splitlines()
    assert head.split() == ["task", "n", "success", "95", "%", "interval", "grade", "seen", "unseen"]
    assert colors.split() == ["colors", "1", "100", "%", "21", "to", "100", "1.00", "100", "-"]
    assert attributes.split() == ["color_attr", "1", "0", "%", "0", "to", "79", "0.25", "0", "-"]
    assert everything.split() == ["all", "2", "50", "%", "9", "to", "91", "0.62", "50", "-"]
    assert len({len(line) for line in (head, colors, attributes, everything)}) == 1, "columns are aligned"

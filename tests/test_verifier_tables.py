"""benchmarks/verifiers.py and verifier_speed.py: their tables against counting, and what is refused."""

import itertools

import numpy as np
import pytest
import rounds
import verifier_speed
import verifiers
from safetensors.numpy import save_file
from scipy.stats import rankdata

import vartut
from vartut import world

ASKED = [("3 facts", "a star", 1), ("3 facts", "a heart", 2), ("4 facts", "a ring", 3)]
NAMES = ("oracle", "clip", "clip-hard", "reward", "aesthetic", "vqa", "likelihood")


@pytest.fixture
def kept():
    """Verdicts (3, 8), and scores of which the oracle's and reward's know something."""
    rng = np.random.default_rng(3)
    right = rng.random((3, 8)) < 0.4
    right[:, :2] = [True, False]
    scores = {name: rng.normal(size=(3, 8)) for name in NAMES}
    return right, scores | {"oracle": right + 0.1 * scores["oracle"], "reward": right + scores["reward"]}


def brute(n, scores, values):
    """The mean over all choices of n of the value of the best scored, by going through them."""
    picks = list(itertools.combinations(range(len(scores)), n))
    return np.mean([values[max(pick, key=lambda i: scores[i])] for pick in picks])


def test_chances_of_pairs_and_headroom_are_counted(kept, monkeypatch):
    right, scores = kept
    monkeypatch.setattr(verifiers, "CHOICES", (2, 512))
    rows = {(row["verifier"], row["group"]): row for row in verifiers.chances(ASKED, right, scores)}
    assert set(rows) == set(itertools.product(NAMES, ("3 facts", "4 facts", "all")))

    def pairs(own, name):
        found = [[s > t for s in x[ok] for t in x[~ok]] for x, ok in zip(scores[name][own], right[own])]
        return np.mean([np.mean(of) for of in found])

    for name, (group, own) in itertools.product(NAMES, {"3 facts": [0, 1], "all": [0, 1, 2]}.items()):
        row = rows[name, group]
        assert row["pairs"] == pytest.approx(pairs(own, name), abs=1e-4)
        assert row["low"] <= row["pairs"] <= row["high"]
        rate = right[own].mean(1)
        chosen = [brute(2, scores[name][i], right[i].astype(float)) for i in own]
        could = [brute(2, right[i] + 0.0, right[i].astype(float)) for i in own]
        share = (np.array(chosen) - rate).sum() / (np.array(could) - rate).sum()
        assert row["headroom_2"] == pytest.approx(share, abs=1e-4)
        assert row["headroom_512"] is None  # only eight were painted
    assert rows["oracle", "all"]["pairs"] == 1
    one = rows["oracle", "4 facts"]
    assert (one["prompts"], one["low"], one["headroom_2"]) == (1, None, None)  # a single prompt has no interval


def test_whoever_knows_which_prompts_are_easy_shines_in_the_pooled_column_alone(kept):
    right = np.array([[1, 1, 1, 0], [0, 0, 0, 1]], dtype=bool)
    easy = np.array([[5.0, 5, 5, 5], [1, 1, 1, 1]])
    row = verifiers.chances(ASKED[:2], right, {"easy": easy})[-1]
    assert (row["pairs"], row["pooled"]) == (0.5, 0.75)


def test_curves_and_crossings_are_means_over_all_choices(kept):
    right, scores = kept
    rows = {(row["verifier"], row["group"], row["n"]): row for row in verifiers.curves(ASKED, right, scores)}
    assert len(rows) == 7 * 3 * 4
    units = {name: (s - s.mean(1, keepdims=True)) / s.std(1, keepdims=True) for name, s in scores.items()}
    for n in (1, 2, 4, 8):
        row = rows["reward", "all", n]
        assert row["success"] == pytest.approx(np.mean([brute(n, *z) for z in zip(scores["reward"], right)]), abs=1e-4)
        own = [brute(n, *z) for z in zip(scores["reward"], units["reward"])]
        assert row["score"] == pytest.approx(np.mean(own), abs=1e-4)
    table = {(r["chosen_by"], r["seen_by"], r["group"]): r["score"] for r in verifiers.crossed(ASKED, scores)}
    picked = scores["vqa"].argmax(1)  # n is 64 or all that there are
    assert table["vqa", "clip", "all"] == pytest.approx(units["clip"][[0, 1, 2], picked].mean(), abs=1e-4)
    assert table["vqa", "vqa", "all"] == pytest.approx(units["vqa"].max(1).mean(), abs=1e-4)
    assert len(table) == 7 * 7 * 3


def test_ensembles_place_a_picture_among_all_of_its_prompt(kept):
    _, scores = kept
    by = verifiers.choosers(scores)
    assert set(by) > set(NAMES)
    ranks = np.mean([rankdata(scores[name], axis=1) - 1 for name in verifiers.MEMBERS], axis=0)
    assert by["ranks of clip-hard, reward, vqa"] == pytest.approx(ranks, abs=1e-5)
    grown = scores | {"reward": np.exp(3 * scores["reward"])}  # monotone: ranks do not mind, z-scores do
    again = verifiers.choosers(grown)
    assert again["ranks of clip-hard, reward, vqa"] == pytest.approx(ranks, abs=1e-5)
    assert not np.allclose(again["z of clip-hard, reward, vqa"], by["z of clip-hard, reward, vqa"])


def test_differences_are_paired(kept):
    right, scores = kept
    (found,) = verifiers.differences(right, {name: scores[name] for name in ("clip", "oracle")}, 8)
    own = [right[range(3), scores[name].argmax(1)].astype(float) for name in ("clip", "oracle")]
    assert found[:2] == ("clip", "oracle")
    assert found[2] == pytest.approx((own[1] - own[0]).mean())
    assert found[3] <= found[2] <= found[4]


def test_scores_of_other_pictures_are_refused(kept, tmp_path, monkeypatch):
    right, scores = kept
    monkeypatch.setattr(verifiers, "data_folder", lambda: tmp_path)
    monkeypatch.setattr(verifiers, "prompts_of", lambda stage, model: ASKED)
    monkeypatch.setattr(verifiers.weights, "read_provenance", lambda name: {"sha256": "0123456789abcdef"})
    with pytest.raises(ValueError, match=r"run `python benchmarks/curves.py --model nano --stage hard --n 512` first"):
        verifiers.kept_of("nano", "hard")
    wide = {name: np.repeat(s, 8, axis=1).astype(np.float32) for name, s in scores.items()}  # rounds of 64
    parts = {"curves": ("oracle", *verifiers.FIRST), "verifier_scores": (*verifiers.LEARNED, "likelihood")}

    def save(moved=0.0):
        for folder, names in parts.items():
            about = {"prompts": rounds.texts(ASKED), "weights": "0123456789ab", "commit": "abc"}
            about |= {"minutes_painting": "1", "minutes_judging": "1"}
            about["verifiers"] = rounds.scorers(verifiers.FIRST if folder == "curves" else verifiers.LEARNED)
            tensors = {name: wide[name] for name in names}
            if folder == "curves":
                tensors["correct"] = np.repeat(right, 8, axis=1).astype(np.uint8)
            else:
                tensors["clip-hard"] = tensors["clip-hard"] + np.float32(moved)
            (tmp_path / "results" / folder).mkdir(parents=True, exist_ok=True)
            save_file(tensors, tmp_path / "results" / folder / "nano-hard.safetensors", about)

    save()
    asked, verdicts, found, made = verifiers.kept_of("nano", "hard")
    assert asked == ASKED
    assert np.array_equal(verdicts, np.repeat(right, 8, axis=1))
    assert set(found) == set(NAMES)
    assert (made["weights"], made["otherwise"]) == ("0123456789ab", 0)
    save(moved=1.0)
    with monkeypatch.context() as lenient:
        lenient.setattr(verifiers, "ODD", 1.1)
        assert np.array_equal(verifiers.kept_of("nano", "hard")[2]["clip-hard"], found["clip-hard"]), "of those judged"
    with pytest.raises(ValueError, match="came out otherwise: paint and judge them by one machine"):
        verifiers.kept_of("nano", "hard")


def test_what_a_verifier_costs_is_a_share_of_what_painting_costs(monkeypatch):
    monkeypatch.setattr(verifier_speed, "REPEATS", 1)
    monkeypatch.setattr(verifier_speed, "GENERATORS", ("nano",))
    monkeypatch.setattr(verifier_speed, "ROUND", 4)
    monkeypatch.setattr(rounds, "ROUND", 4)
    monkeypatch.setattr(verifier_speed, "repeated", lambda work, repeats: [work() or 2.0])
    asked = ["a star", "a red circle left of a blue square"]
    nano, clip, vqa, oracle = verifier_speed.rows_of(asked, ("clip", "vqa", "oracle"))
    assert (nano["kind"], clip["kind"], oracle["parameters"]) == ("generator", "verifier", 0)
    sampler = vartut.load("nano")
    weights_of = sum(p.numel() for m in (sampler.transformer, sampler.tokenizer.decoder) for p in m.parameters())
    assert nano["parameters"] == weights_of
    own = 2 * sum(sampler.transformer.pass_flops(k) for k in range(1, 6)) + sampler.tokenizer.decode_flops()
    assert nano["mflop"] == pytest.approx(own / 1e6, abs=0.01), "of one picture more, which shares the first scale"
    assert clip["parameters"] == sum(p.numel() for p in vartut.load_verifier("clip").model.parameters())
    assert clip["mflop"] == pytest.approx(vartut.load_verifier("clip").flops_per_image / 1e6, abs=0.01)
    each = []
    for prompt in asked:
        (reasoner := vartut.load_verifier("vqa"))(world.render(world.sample("all", 1, "validation")), prompt)
        each.append(reasoner.flops_per_image)
    assert each[0] < each[1]
    assert vqa["mflop"] == pytest.approx(sum(each) / 2 / 1e6, abs=0.01), "the mean over the prompts"
    for row in (nano, clip, vqa, oracle):
        assert row["fastest"] == row["milliseconds"] == row["slowest"] == 1000 * 2.0 / 8


def test_the_control_does_not_look(kept):
    _, scores = kept
    others = {name: -values for name, values in scores.items()}
    assert np.array_equal(verifiers.choosers(scores)["eyes shut"], verifiers.choosers(others)["eyes shut"])
    assert not np.array_equal(verifiers.choosers(scores)["eyes shut"], scores["oracle"])

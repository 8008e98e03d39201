"""TTS-VAR's recipe: clusters by hand, numbers of pictures, and plain sampling where nothing falls."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_search import Toy
from toy_models import toy_sampler

from vartut.search import diverse_search, random_search
from vartut.search.diversity import kinds


def test_one_of_each_kind_is_kept_the_one_in_its_middle():
    rows = np.array([[0.0], [0.1], [0.3], [5.0], [5.2], [5.1], [9.0]])
    assert kinds(rows, 3).tolist() == [0, 1, 0, 0, 0, 1, 1]
    assert kinds(rows, 7).tolist() == [1] * 7
    assert kinds(rows, 1).sum() == 1


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 9), st.data())
def test_as_many_are_kept_as_asked_none_twice_equal_ones_or_not(n, data):
    levels = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    count = data.draw(st.integers(1, n))
    copies = kinds(np.array(levels, float)[:, None], count)
    assert copies.sum() == count
    assert copies.max() == 1
    different = {levels[i] for i in np.flatnonzero(copies)}
    assert len(different) == min(count, len(set(levels))), "every kind that there is room for"


def test_the_numbers_of_pictures_fall_as_asked():
    toy = Toy(4, digits=3, seed=1)
    result = diverse_search(toy, "x", toy.verifier, (9, 5, 5, 2), cluster=(1,), seed=3)
    scored = Counter(node.step for node in result.tree.nodes[1:])
    assert scored == {3: 5, 4: 2}, "clusters score nothing"
    assert result.score == max(node.score for node in result.tree.nodes if node.finished and node.id)
    assert toy.passes <= 1 + 9 + 5 + 5


def test_where_nothing_falls_it_is_plain_sampling():
    toy = Toy(3, digits=3, seed=2)
    result = diverse_search(toy, "x", toy.verifier, (6, 6, 6), seed=4)
    plain = random_search(toy, "x", toy.verifier, 6, seed=4)
    assert [node.score for node in result.tree.nodes if node.finished] == [
        node.score for node in plain.tree.nodes if node.finished
    ]
    assert result.score == plain.score


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 5), st.integers(0, 9))
def test_chunks_change_nothing(max_rows, seed):
    toys = [Toy(4, digits=3, seed=6) for _ in range(2)]
    one, other = (
        diverse_search(toy, "x", toy.verifier, (8, 6, 4, 3), seed=seed, max_rows=rows)
        for toy, rows in zip(toys, (max_rows, 64))
    )
    assert [(node.path, node.score) for node in one.tree.nodes] == [(m.path, m.score) for m in other.tree.nodes]
    assert toys[0].widest <= max_rows


def test_on_a_real_sampler_and_with_features_of_ones_own():
    sampler, seen = toy_sampler(), []

    def redness(images):
        seen.append(len(images))
        return images[:, 0].mean((1, 2))[:, None]

    verifier = lambda images, prompts: images.mean((1, 2, 3))  # noqa: E731
    sizes = [6, 4, *[2] * (sampler.num_steps - 2)]
    result = diverse_search(sampler, "a red circle", verifier, sizes, cluster=(1,), features=redness, seed=1)
    assert sum(seen) == 6
    assert result.score == pytest.approx(float(result.image.mean()), abs=1e-6)
    assert result.search == "diverse"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sizes": (4, 2)}, "sizes are 3 numbers"),
        ({"sizes": (4, 5, 5)}, "never rising"),
        ({"sizes": (4, 0, 0)}, "sizes"),
        ({"sizes": (5000, 4, 4)}, "at most 4096"),
        ({"sizes": (4, 2, 2), "sharpness": float("nan")}, "sharpness"),
        ({"sizes": (4, 2, 2), "score": "rollouts"}, "did you mean"),
    ],
)
def test_bad_input_gets_a_line(wrong, said):
    toy = Toy(3)
    with pytest.raises(ValueError, match=said) as error:
        diverse_search(toy, "x", toy.verifier, **wrong)
    assert "\n" not in str(error.value)


def test_a_sampler_that_cannot_branch_there_says_so():
    toy = Toy(3, branch_steps=[0])
    with pytest.raises(ValueError, match="steps"):
        diverse_search(toy, "x", toy.verifier, (4, 2, 2))
    assert torch.is_tensor(diverse_search(toy, "x", toy.verifier, (4, 4, 4)).image)

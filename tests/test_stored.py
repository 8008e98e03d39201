"""What notebooks read of the stored pictures: every prompt once, each with its own pictures."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from vartut import world
from vartut.course.stored import stored
from vartut.paths import data_folder


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Four prompts, two of them equal, three pictures of each."""
    monkeypatch.setenv("VARTUT_DATA", str(tmp_path))
    path = data_folder() / "results" / "curves" / "toy-short.safetensors"
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir(parents=True)
    scores = np.arange(12, dtype=np.float32).reshape(4, 3)
    kept = {"correct": (scores % 2).astype(np.uint8), "oracle": scores / 11, "clip-hard": -scores}
    save_file(kept, path, {"prompts": "a star\na ring\na star\na heart"})
    return stored("toy", "short")


def test_of_equal_prompts_the_first_is_kept(store):
    assert store.prompts == ("a star", "a ring", "a heart")
    assert store.asked == 4
    np.testing.assert_array_equal(store.scores["clip-hard"], [[0, -1, -2], [-3, -4, -5], [-9, -10, -11]])
    np.testing.assert_array_equal(store.right, [[0, 1, 0], [1, 0, 1], [1, 0, 1]])
    assert store.right.dtype == bool
    assert set(store.scores) == {"oracle", "clip-hard"}


@pytest.mark.usefixtures("store")
def test_nothing_is_made_up():
    with pytest.raises(FileNotFoundError, match=r"benchmarks/curves\.py"):
        stored("toy", "dense")


def test_what_is_stored_of_tiny_belongs_to_the_prompts_of_the_world():
    if not (data_folder() / "results" / "curves" / "tiny-short.safetensors").exists():
        pytest.skip("tiny is being trained anew")
    found = stored("tiny", "short")
    asked = [prompt for task in world.SHORT_TASKS for prompt in world.prompts(task, 8)]
    assert found.asked == len(asked)
    assert found.prompts == tuple(dict.fromkeys(asked))
    assert found.right.shape == found.scores["oracle"].shape == found.scores["clip-hard"].shape
    grades = found.scores["oracle"]
    assert grades.min() >= 0
    assert grades.max() <= 1
    assert found.right[grades == 1].all(), "a grade of 1 is a right picture"

"""What the judge finds where an object that lies between two shapes touches another one."""

import itertools

import pytest
import torch

from vartut import world
from vartut.world import SHAPES, Object, Scene, find

SQUARE = Object("square", "blue", "solid", "large", 14, 32)


@pytest.mark.parametrize(("one", "other"), [("circle", "diamond"), ("circle", "square"), ("triangle", "star")])
def test_between_two_shapes_is_unclear_beside_a_third_object(one, other):
    (found,) = find(blend(one, other, 22)[None])
    assert (found[0].color, found[0].shape) == ("blue", "square")
    assert not any(o.shape for o in found if o.color == "red")


def blend(one: str, other: str, apart: int) -> torch.Tensor:
    """Half the one and half the other shape, red, so many pixels right of the blue square's centre: (3, 64, 64)."""
    scenes = [Scene((SQUARE, Object(shape, "red", "solid", "large", 14 + apart, 32)), "", "") for shape in (one, other)]
    return torch.lerp(*world.render(scenes), 0.5)


@pytest.mark.parametrize("apart", [22, 23, 24, 25])
def test_half_of_one_shape_and_half_of_another_is_rarely_named_there(apart):
    """Of the 28 pairs 8, 9, 5 and 4 are; alone in a picture 4."""
    pictures = torch.stack([blend(one, other, apart) for one, other in itertools.combinations(SHAPES, 2)])
    assert sum(any(o.shape for o in found if o.color == "red") for found in find(pictures)) <= 10


@pytest.mark.parametrize("apart", [20, 22, 25])
def test_whole_shapes_are_clear_there(apart):
    """Every shape beside every other one, near enough to hide some of its edge."""
    pairs = list(itertools.product(SHAPES, repeat=2))
    scenes = [
        Scene(tuple(Object(shape, color, "solid", "large", x, 32) for shape, color, x in placed), "", "")
        for one, other in pairs
        for placed in [((one, "blue", 14), (other, "red", 14 + apart))]
    ]
    for pair, found in zip(pairs, find(world.render(scenes))):
        assert [(o.color, o.shape) for o in found] == list(zip(("blue", "red"), pair)), pair

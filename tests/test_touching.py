"""What the judge finds where an object that lies between two shapes touches another one."""

import pytest
import torch

from vartut import world
from vartut.world import Object, Scene, find


@pytest.mark.parametrize(("one", "other"), [("circle", "diamond"), ("circle", "square"), ("triangle", "star")])
def test_between_two_shapes_is_unclear_beside_a_third_object(one, other):
    square = Object("square", "blue", "solid", "large", 14, 32)
    scenes = [Scene((square, Object(shape, "red", "solid", "large", 36, 32)), "", "") for shape in (one, other)]
    (found,) = find(torch.lerp(*world.render(scenes), 0.5)[None])
    assert (found[0].color, found[0].shape) == ("blue", "square")
    assert not any(o.shape for o in found if o.color == "red")


def test_a_whole_shape_is_clear_there():
    objects = (Object("square", "blue", "solid", "large", 14, 32), Object("star", "red", "solid", "large", 36, 32))
    (found,) = find(world.render([Scene(objects, "", "")]))
    assert [(o.color, o.shape) for o in found] == [("blue", "square"), ("red", "star")]

"""The renderer against analytic areas and against pictures that PIL drew; the colours under colour blindness."""

import math
import random

import numpy as np
import pytest
import torch
from drawing import paint_all
from skimage.color import rgb2lab

from vartut import world
from vartut.world import Object, Scene

AREA = {  # of radius 1
    "circle": math.pi * 0.92**2,
    "square": 1.64**2,
    "triangle": 1.96 * 1.73 / 2,
    "diamond": 1.6 * 2.1 / 2,
    "star": 5 * 1.05 * 0.45 * math.sin(math.pi / 5),
    "cross": 2 * 1.96 * 0.66 - 0.66**2,
    "ring": math.pi * (0.95**2 - 0.45**2),
    "heart": 1.75**2 * (1 / 2 + math.pi / 8),  # a square of half the area of its own square, and two half discs
}


def picture(shape, color="black", texture="solid", size="large", x=32, y=32, pixels=64):
    return world.render([Scene((Object(shape, color, texture, size, x, y),), "", "")], pixels)[0]


def coverage(image):
    """How much of each pixel a black object covers."""
    ground, black = torch.tensor(world.GROUND)[:, None, None], torch.tensor(world.COLORS["black"])[:, None, None]
    return ((ground - image) / (ground - black)).mean(0)


@pytest.mark.parametrize("size", world.SIZES)
@pytest.mark.parametrize("shape", world.SHAPES)
def test_areas_are_the_analytic_ones(shape, size):
    for x, y, pixels in ((32, 32, 64), (28, 36, 64), (32, 32, 256)):
        covered = coverage(picture(shape, size=size, x=x, y=y, pixels=pixels)).sum() * (64 / pixels) ** 2
        assert covered.item() == pytest.approx(AREA[shape] * world.SIZES[size] ** 2, rel=0.01)


@pytest.mark.parametrize("shape", world.SHAPES)
def test_edges_are_antialiased_and_the_rest_is_flat(shape):
    cover = coverage(picture(shape))
    assert cover.min() > -1e-5
    assert cover.max() < 1 + 1e-5
    soft = ((cover > 0.01) & (cover < 0.99)).sum().item()
    assert 20 < soft < 4 * 13 * 4, "a band of about one pixel along the outline"
    assert torch.equal(picture(shape)[:, :16], torch.tensor(world.GROUND)[:, None, None].expand(3, 16, 64))
    assert torch.allclose(cover, cover.flip(1), atol=1e-5), "left and right are mirror images"


def test_pictures_are_those_that_pil_draws():
    scenes = world.sample("all", 64, "test", seed=3)
    difference = (world.render(scenes) - paint_all(scenes)).abs()
    assert difference.mean() < 0.004
    assert (difference.amax(1) > 0.1).float().mean() < 0.002  # at corners, which a distance rounds
    assert difference.max() < 0.35


def test_colors_and_textures():
    for color, rgb in world.COLORS.items():
        centre = picture("square", color)[:, 32, 32]
        torch.testing.assert_close(centre, torch.tensor(rgb), atol=1e-6, rtol=0)
    solid, tint = torch.tensor(world.COLORS["red"]), 0.35 * torch.tensor(world.COLORS["red"]) + 0.65
    striped = picture("square", "red", "striped")[:, :, 30]  # (3, 64), downwards through the middle
    for y, wanted in ((31, tint), (32, tint), (28, solid), (36, solid), (39, tint), (24, tint), (23, tint)):
        torch.testing.assert_close(striped[:, y], wanted, atol=1e-6, rtol=0)
    dotted = picture("square", "red", "dotted")
    for x, y, wanted in ((32, 32, tint), (37, 38, tint), (35, 35, solid), (29, 29, solid), (32, 26, tint)):
        torch.testing.assert_close(dotted[:, y, x], wanted, atol=1e-6, rtol=0)


def test_pictures_do_not_depend_on_the_batch():
    scenes = world.sample("all", 40, "test", seed=2)
    images = world.render(scenes)
    assert images.shape == (40, 3, 64, 64)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.equal(torch.cat([world.render([scene]) for scene in scenes]), images)
    order = list(range(40))
    random.Random(0).shuffle(order)
    assert torch.equal(world.render([scenes[i] for i in order]), images[order])
    assert world.render([]).shape == (0, 3, 64, 64)


def test_size_only_changes_the_resolution():
    scenes = world.sample("all", 16, "test", seed=6)
    small, large = world.render(scenes), world.render(scenes, 256)
    assert large.shape == (16, 3, 256, 256)
    averaged = torch.nn.functional.avg_pool2d(large, 4)
    assert (small - averaged).abs().mean() < 0.004
    assert world.render(scenes, 16).shape == (16, 3, 16, 16)


# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE TVCG
# 2009, severity 1: matrices on linear RGB.
DEFICIENCIES = {
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize(
    ("name", "least"), [("none", 40), ("protanopia", 18), ("deuteranopia", 18), ("tritanopia", 12)]
)
def test_colors_stay_apart_for_the_colour_blind(name, least):
    rgb = np.array([*world.COLORS.values(), world.GROUND])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(DEFICIENCIES[name]).T, 0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)[None])[0]
    distance = np.linalg.norm(lab[:, None] - lab, axis=-1)  # CIE 1976; about 2.3 can just be told apart
    assert distance[np.triu_indices(9, 1)].min() > least

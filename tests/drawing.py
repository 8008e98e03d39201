"""Scenes drawn with PIL at eight times the size and averaged down: pictures that owe nothing to world.render.

Everything is restated here by hand, colours in 8 bits and shapes as polygons and ellipses, so that a slip in the
renderer's signed distances, or a judge that only recognises its own templates, shows.
"""

import math

import numpy as np
import torch
from PIL import Image, ImageDraw

ZOOM = 8
GROUND = (237, 235, 230)
RGB = {
    "black": (26, 26, 31),
    "red": (204, 26, 41),
    "orange": (247, 143, 15),
    "yellow": (250, 230, 64),
    "green": (0, 153, 107),
    "cyan": (97, 204, 245),
    "blue": (20, 71, 184),
    "pink": (230, 107, 179),
}
RADIUS = {"small": 8, "large": 13}


def _disc(draw, fill, x, y, r):
    draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def _silhouette(shape, x, y, r):
    """The mask of a shape with radius r at (x, y), in pixels of the large picture."""
    mask = Image.new("1", (64 * ZOOM, 64 * ZOOM))
    draw = ImageDraw.Draw(mask)

    def polygon(*corners):
        draw.polygon([(x + r * a, y + r * b) for a, b in corners], fill=1)

    if shape == "circle":
        _disc(draw, 1, x, y, 0.92 * r)
    elif shape == "square":
        polygon((-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82))
    elif shape == "triangle":
        polygon((0, -0.95), (0.98, 0.78), (-0.98, 0.78))
    elif shape == "diamond":
        polygon((0, -1.05), (0.8, 0), (0, 1.05), (-0.8, 0))
    elif shape == "star":  # the point upwards, every second corner inside
        radii = [1.05, 0.45] * 5
        polygon(*((q * math.sin(math.pi * i / 5), -q * math.cos(math.pi * i / 5)) for i, q in enumerate(radii)))
    elif shape == "cross":
        polygon((-0.98, -0.33), (0.98, -0.33), (0.98, 0.33), (-0.98, 0.33))
        polygon((-0.33, -0.98), (0.33, -0.98), (0.33, 0.98), (-0.33, 0.98))
    elif shape == "ring":
        _disc(draw, 1, x, y, 0.95 * r)
        _disc(draw, 0, x, y, 0.45 * r)
    elif shape == "heart":  # a square on its tip and a disc on each of the upper sides
        side = 0.875
        polygon((0, 0.98), (side, 0.98 - side), (0, 0.98 - 2 * side), (-side, 0.98 - side))
        for lobe in (-side / 2, side / 2):
            _disc(draw, 1, x + r * lobe, y + r * (0.98 - 1.5 * side), r * side / math.sqrt(2))
    else:
        raise ValueError(shape)
    return mask


def _texture(texture, x, y):
    """The mask of the pale parts: stripes three pixels wide every eight, dots of radius 1.8 every six."""
    mask = Image.new("1", (64 * ZOOM, 64 * ZOOM))
    draw = ImageDraw.Draw(mask)
    for i in range(-4, 5) if texture != "solid" else ():
        if texture == "striped":
            draw.rectangle((0, y + (8 * i - 1.5) * ZOOM, 64 * ZOOM, y + (8 * i + 1.5) * ZOOM), fill=1)
        for j in range(-4, 5) if texture == "dotted" else ():
            _disc(draw, 1, x + 6 * i * ZOOM, y + 6 * j * ZOOM, 1.8 * ZOOM)
    return mask


def paint(objects) -> torch.Tensor:
    """A picture (3, 64, 64) in [0, 1] of objects (shape, color, texture, size, x, y), centres in pixels."""
    picture = Image.new("RGB", (64 * ZOOM, 64 * ZOOM), GROUND)
    for shape, color, texture, size, x, y in objects:
        rgb = RGB[color]
        tint = tuple(round(0.35 * value + 0.65 * 255) for value in rgb)
        place = (x * ZOOM, y * ZOOM)
        filling = Image.new("RGB", picture.size, rgb)
        filling.paste(tint, mask=_texture(texture, *place))
        picture.paste(filling, mask=_silhouette(shape, *place, RADIUS[size] * ZOOM))
    small = picture.reduce(ZOOM)
    return torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 255


def paint_all(scenes) -> torch.Tensor:
    """Scenes of vartut.world, drawn by `paint`: (B, 3, 64, 64)."""
    values = [[(o.shape, o.color, o.texture, o.size, o.x, o.y) for o in scene.objects] for scene in scenes]
    return torch.stack([paint(objects) for objects in values])

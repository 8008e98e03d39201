"""The renderer: scenes to pictures by signed distances, antialiased, as one batch of torch operations."""

import math

import torch

from ..inputs import whole
from .grammar import COLORS, SIZES
from .scenes import Scene

GROUND = (0.93, 0.92, 0.90)
PLAIN = {"device": "cpu", "dtype": torch.float32}  # whatever defaults the user has set

# Signed distances in units of the object's radius, negative inside, y downwards (formulas after Inigo Quilez).  A union
# keeps the edge and not every distance; only the pixel at the edge counts.


def _polygon(x, y, corners):
    """Signed distance to a closed polygon given by its corners."""
    distance = torch.full_like(x, float("inf"))
    sign = torch.ones_like(x)
    for (ax, ay), (bx, by) in zip(corners, corners[-1:] + corners[:-1]):
        ex, ey, wx, wy = bx - ax, by - ay, x - ax, y - ay
        t = ((wx * ex + wy * ey) / (ex * ex + ey * ey)).clamp(0, 1)
        distance = torch.minimum(distance, (wx - ex * t) ** 2 + (wy - ey * t) ** 2)
        above, below, left = y >= ay, y < by, ex * wy > ey * wx
        sign = torch.where((above & below & left) | (~above & ~below & ~left), -sign, sign)
    return sign * distance.sqrt()


def _box(x, y, half_width, half_height):
    dx, dy = x.abs() - half_width, y.abs() - half_height
    return torch.hypot(dx.clamp(min=0), dy.clamp(min=0)) + torch.maximum(dx, dy).clamp(max=0)


def _heart(x, y):
    x, y = x.abs(), 0.56 - y / 1.75  # the tip at y = 0, the lobes above
    x = x / 1.75
    lobe = torch.hypot(x - 0.25, y - 0.75) - 0.3536
    along = 0.5 * (x + y).clamp(min=0)
    side = torch.minimum(x**2 + (y - 1) ** 2, (x - along) ** 2 + (y - along) ** 2)
    return 1.75 * torch.where(x + y > 1, lobe, side.sqrt() * torch.sign(x - y))


STAR = [(r * math.sin(a * math.pi / 5), -r * math.cos(a * math.pi / 5)) for a, r in enumerate([1.05, 0.45] * 5)]
SIGNED_DISTANCE = {
    "circle": lambda x, y: torch.hypot(x, y) - 0.92,
    "square": lambda x, y: _box(x, y, 0.82, 0.82),
    "triangle": lambda x, y: _polygon(x, y, [(0.0, -0.95), (0.98, 0.78), (-0.98, 0.78)]),
    "diamond": lambda x, y: _polygon(x, y, [(0.0, -1.05), (0.8, 0.0), (0.0, 1.05), (-0.8, 0.0)]),
    "star": lambda x, y: _polygon(x, y, STAR),
    "cross": lambda x, y: torch.minimum(_box(x, y, 0.98, 0.33), _box(x, y, 0.33, 0.98)),
    "ring": lambda x, y: (torch.hypot(x, y) - 0.70).abs() - 0.25,
    "heart": _heart,
}


def _paleness(texture: str, x, y):
    """How much of the pale tint a pixel takes, 0 to 1; x and y in pixels of a 64-pixel picture from the centre."""
    if texture == "striped":  # horizontal stripes, eight pixels apart
        return (1.5 - 4 * (y / 8 - torch.round(y / 8)).abs() * 2 + 0.5).clamp(0, 1)
    if texture == "dotted":  # round dots on a square grid of six pixels
        from_dot = torch.hypot(x - 6 * torch.round(x / 6), y - 6 * torch.round(y / 6))
        return (1.8 - from_dot + 0.5).clamp(0, 1)
    return torch.zeros_like(x)


def render(scenes: list[Scene], size: int = 64) -> torch.Tensor:
    """Paint scenes: (B, 3, size, size) in [0, 1], float32; `size` in pixels, 64 as trained on."""
    return _pictures(scenes, whole(least=8, size=size))


def _pictures(scenes: list[Scene], size: int) -> torch.Tensor:
    """Objects of a scene never overlap, so they are added in any order: all of one kind at once."""
    canvas = torch.tensor(GROUND, **PLAIN).view(1, 3, 1, 1).repeat(len(scenes), 1, size, size)
    kinds: dict[tuple[str, str], list] = {}
    for row, scene in enumerate(scenes):
        for o in scene.objects:
            entry = (row, o.x, o.y, SIZES[o.size], *COLORS[o.color])
            kinds.setdefault((o.shape, o.texture), []).append(entry)
    for (shape, texture), entries in kinds.items():
        table = torch.tensor(entries, **PLAIN)  # (N, 7): row, x, y, radius, red, green, blue
        canvas.index_add_(0, table[:, 0].long(), _painted(shape, texture, table, size))
    return canvas.clamp(0, 1)


def _painted(shape: str, texture: str, table: torch.Tensor, size: int) -> torch.Tensor:
    """What each of N objects of one shape and texture adds to the ground: (N, 3, size, size).

    `table` is (N, 7): row, x, y, radius, red, green, blue.  A pixel is covered by the signed
    distance of its centre: a one-pixel antialiased edge.
    """
    unit = 64 / size
    axis = (torch.arange(size, **PLAIN) + 0.5) * unit  # pixel centres, in units of 64 a picture
    x = axis.view(1, 1, -1) - table[:, 1].view(-1, 1, 1)  # (N, 1, size)
    y = axis.view(1, -1, 1) - table[:, 2].view(-1, 1, 1)  # (N, size, 1)
    radius = table[:, 3].view(-1, 1, 1)
    x, y = torch.broadcast_tensors(x, y)
    distance = SIGNED_DISTANCE[shape](x / radius, y / radius) * radius / unit  # in pixels
    cover = (0.5 - distance).clamp(0, 1)[:, None]
    color = table[:, 4:].view(-1, 3, 1, 1)
    pale = 0.35 * color + 0.65  # the tint of stripes and dots
    paint = torch.lerp(color, pale, _paleness(texture, x, y)[:, None])
    return cover * (paint - torch.tensor(GROUND, **PLAIN).view(1, 3, 1, 1))

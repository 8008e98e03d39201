"""Finds the objects of a picture from its pixels alone: what the judge sees.

It works by synthesis.  The ground is subtracted, what stands out is split into connected components, and each
component is compared with rendered templates of every shape, size, texture and colour, sharp and blurred, at every
shift near its centre.  The likeness is the Tanimoto coefficient of the two difference pictures R and T,

    fit = <R, T> / (|R|^2 + |T|^2 - <R, T>),

which for black-and-white masks is the intersection over the union.  A component that one template explains badly is
tried as several touching objects (greedy matching pursuit); what then still fits badly, or stands in a smear that
the objects found do not explain, is reported with shape None.

So is what lies between two shapes.  A picture half-way from a circle to a diamond fits both well, and no fit says so.
What does is its place on the line from one template T' to the other, T: with D = T - T' what tells the two apart,

    sureness = <R - T', D> / |D|^2

is 1 for T, 0 for T' and a half for their mean, whatever noise or blur does to both alike.  A shape is named only if its
fit is at least CLEAR and its sureness at least SURE against every other shape.
"""

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy import ndimage

from ..inputs import check_pictures
from .grammar import COLORS, SHAPES, SIZES, TEXTURES
from .renderer import GROUND, PLAIN, render
from .scenes import Object, Scene

SPECK = 20  # pixels: smaller components are specks and are ignored; the smallest object covers 89
LIKE = 0.60  # a component that no template fits better than this is tried as several objects
CLEAR = 0.90  # an object that no template fits better than this has no clear shape
CLEAR_OF_MANY = 0.85  # the same for one of several touching objects, whose edges are partly hidden
SURE = 0.58  # nor has one that another shape explains nearly as well: at .5 it is half the one, half the other
ELSEWHERE = 0.2  # a template of which a larger share lies under another one is no neighbour of it but a rival
SOLVED = 0.70  # nor is any of several clear if all together are less like the component than this
BLURS = (0.0, 1.0, 1.8)  # pixels: the templates are compared sharp and blurred
HALF = 16  # templates are 32 x 32 pixels
NEAR = 2  # pixels: how far from an object's place the other shapes may lie that it is held against
PAD = 24  # a margin around the picture, so that every window lies inside


@dataclass(frozen=True)
class Found:
    """One object found in a picture.  shape is None where it is unclear; x and y are the centre in pixels of the
    64-pixel picture, y growing downwards; fit, 0 to 1, is the likeness to the template of this object."""

    shape: str | None
    color: str
    texture: str
    size: str
    x: float
    y: float
    fit: float

    def __str__(self) -> str:
        texture = "" if self.texture == "solid" else self.texture + " "
        return f"{self.size} {texture}{self.color} {self.shape or 'thing of no clear shape'}"


def find(images: torch.Tensor) -> list[tuple[Found, ...]]:
    """The objects of every picture of a batch (B, 3, 64, 64) in [0, 1], left to right.

    Raises ValueError for pictures of a wrong shape or range.
    """
    check_pictures(images, "the judge", side=64)
    images = images.detach().to("cpu", torch.float32)
    return [found for chunk in images.split(32) if len(chunk) for found in _find(chunk)]


# ---- templates -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Templates:
    """All templates, factored: picture = mask x (colour - ground) + pale mask x .65 (1 - colour)."""

    kinds: tuple  # K of (shape, size, blur)
    masks: torch.Tensor  # (1024, K * 3): the silhouette, and its striped and dotted pale parts
    color: torch.Tensor  # (3, 8): colour - ground
    pale: torch.Tensor  # (3, 8): what the pale tint adds
    energy: torch.Tensor  # (K, 3, 8): |T|^2 of every kind, texture and colour
    zones: torch.Tensor  # (1024, K): the silhouette and two pixels around it

    @cache  # noqa: B019  (there are two of these objects, for good)
    def pictures(self, texture: int, color: int) -> torch.Tensor:
        """The templates of all kinds in one texture and colour, (K, 3, 32, 32)."""
        masks = self.masks.view(2 * HALF, 2 * HALF, -1, 3).permute(3, 2, 0, 1)[:, :, None]  # (mask, K, 1, 32, 32)
        shown = masks[0] * self.color[:, color, None, None]
        return shown if texture == 0 else shown + masks[texture] * self.pale[:, color, None, None]

    def match(self, fit: float, y: int, x: int, index: int) -> "Match":
        """The match with the template of this index into (K, 3, 8)."""
        return Match(fit, y, x, *(int(i) for i in np.unravel_index(index, self.energy.shape)))


@dataclass(frozen=True)
class Match:
    """A template and where it stands: its likeness, its centre, and its indices among kinds, textures and colours."""

    fit: float
    y: int
    x: int
    kind: int
    texture: int
    color: int


@cache
def _templates(blurs: tuple[float, ...] = BLURS) -> _Templates:
    """Render every silhouette once, and read the masks off the pictures of black objects."""
    ground, black = GROUND[0], COLORS["black"][0]
    kinds, masks = [], []
    for shape, size in itertools.product(SHAPES, SIZES):
        scenes = [
            Scene((Object(shape, "black", texture, size, 32, 32),), "", "") for texture in TEXTURES
        ]
        solid, *textured = render(scenes)[:, 0, 32 - HALF : 32 + HALF, 32 - HALF : 32 + HALF].numpy()
        parts = [(ground - solid) / (ground - black)] + [(p - solid) / (0.65 * (1 - black)) for p in textured]
        for blur in blurs:
            kinds.append((shape, size, blur))
            masks.append(np.stack([ndimage.gaussian_filter(part, blur) if blur else part for part in parts], -1))
    stacked = torch.from_numpy(np.stack(masks, 2)).float().reshape(4 * HALF * HALF, -1, 3)  # (1024, K, 3)
    color = torch.tensor([*COLORS.values()], **PLAIN).T  # (3, 8)
    pale = 0.65 * (1 - color)
    color = color - torch.tensor(GROUND, **PLAIN)[:, None]
    s, p = stacked[:, :, :1], stacked.clone()
    p[:, :, 0] = 0
    energy = (s * s).sum(0)[..., None] * (color**2).sum(0) + (p * p).sum(0)[..., None] * (pale**2).sum(0)
    energy = energy + 2 * (s * p).sum(0)[..., None] * (color * pale).sum(0)
    zones = [ndimage.binary_dilation(part[..., 0] > 0.1, iterations=2).ravel() for part in masks]
    zones = torch.from_numpy(np.stack(zones, -1)).float()
    return _Templates(tuple(kinds), stacked.reshape(4 * HALF * HALF, -1).contiguous(), color, pale, energy, zones)


def _overlap(bank: _Templates, rest: torch.Tensor, rows, ys, xs):
    """<R, T> for all templates centred at (ys, xs) of pictures `rows` of rest (N, 3, H, W): (M, K, 3, 8); and the
    windows of rest there (M, 3, 1024)."""
    every = rest.unfold(2, 2 * HALF, 1).unfold(3, 2 * HALF, 1)  # (N, 3, H - 31, W - 31, 32, 32), a view
    windows = every[rows, :, ys - HALF, xs - HALF].flatten(2)
    corr = windows.flatten(0, 1) @ bank.masks
    corr = corr.view(len(windows), 3, -1, 3)  # (M, channel, K, mask)
    overlap = torch.einsum("mhk,hc->mkc", corr[..., 0], bank.color)[:, :, None].repeat(1, 1, 3, 1)
    overlap[:, :, 1:] += torch.einsum("mhkt,hc->mktc", corr[..., 1:], bank.pale)
    return overlap, windows


# ---- finding objects -----------------------------------------------------------------------------------------------


def _foreground(images: torch.Tensor) -> np.ndarray:
    """Pictures less their ground, (B, 3, 64, 64); noisy ones smoothed, for which there are blurred templates."""
    ground = torch.tensor(GROUND, **PLAIN)
    shift = images.flatten(2).median(2).values - ground  # most of a picture is ground, by now perhaps a bit off
    away = (images - (ground + shift.clamp(-0.08, 0.08))[:, :, None, None]).numpy()
    curve = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 6  # of standard deviation one on white noise
    noise = np.median(np.abs(ndimage.convolve(away, curve[None, None])), axis=(1, 2, 3)) / 0.6745
    for i in np.flatnonzero(noise > 0.03):
        away[i] = ndimage.gaussian_filter(away[i], (0, 1.0, 1.0))
    return away


def _components(images: torch.Tensor):
    """Split what stands out from the ground: (N, 3, 112, 112) pictures of one component each, and their rows."""
    away = _foreground(images)
    distance = np.sqrt((away**2).sum(1))  # (B, 64, 64)
    level = np.maximum(0.09, 0.2 * ndimage.maximum_filter(distance, (1, 7, 7)))  # keeps dark neighbours apart
    beside = ndimage.generate_binary_structure(3, 1)
    beside[[0, 2]] = False  # pixels of different pictures never touch
    labels, count = ndimage.label(distance > level, beside)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    keep = [i for i in range(1, count + 1) if areas[i] >= SPECK]
    wide = np.where(labels > 0, labels, ndimage.maximum_filter(labels, (1, 5, 5)))  # two pixels more for soft edges
    boxes = ndimage.find_objects(labels)
    rows = [boxes[i - 1][0].start for i in keep]
    parts = torch.zeros(len(keep), 3, 64 + 2 * PAD, 64 + 2 * PAD, **PLAIN)
    for n, (i, row) in enumerate(zip(keep, rows)):
        parts[n, :, PAD:-PAD, PAD:-PAD] = torch.from_numpy(away[row] * (wide[row] == i))
    return parts, rows


def _shifts(ys, xs, reach: int, step: int):
    """Positions around each of the N centres: rows, ys, xs of length N * P, and P."""
    moves = torch.arange(-reach, reach + 1, step, device="cpu")
    dy, dx = (m.reshape(-1) for m in torch.meshgrid(moves, moves, indexing="ij"))
    rows = torch.arange(len(ys), device="cpu").repeat_interleave(len(dy))
    return rows, (ys[:, None] + dy).reshape(-1), (xs[:, None] + dx).reshape(-1), len(dy)


def _fit(parts: torch.Tensor) -> list[Match]:
    """The best single template of every component."""
    bank = _templates()
    weight = (parts**2).sum(1)
    energy = weight.sum((1, 2))  # (N,)
    axis = torch.arange(parts.shape[-1], **PLAIN) + 0.5
    ys = ((weight.sum(2) * axis).sum(1) / energy).round().long()
    xs = ((weight.sum(1) * axis).sum(1) / energy).round().long()
    for reach, step in ((4, 2), (1, 1)):
        rows, y, x, p = _shifts(ys, xs, reach, step)
        overlap, _ = _overlap(bank, parts, rows, y, x)
        fit = overlap / (energy[rows].view(-1, 1, 1, 1) + bank.energy - overlap)
        value, index = fit.view(len(parts), -1).max(1)
        place = torch.arange(len(parts), device="cpu") * p + index // bank.energy.numel()
        best, ys, xs = index % bank.energy.numel(), y[place], x[place]
    return [bank.match(*found) for found in zip(value.tolist(), ys.tolist(), xs.tolist(), best.tolist())]


def _sureness(bank: _Templates, part: torch.Tensor, match: Match) -> float:
    """How much nearer the picture is to this match than to any other shape of its size, texture, colour and blur.

    1: all that tells them apart is there; a half: it lies half-way between them.
    """
    own, variant = divmod(match.kind, len(bank.kinds) // len(SHAPES))  # its shape; its size and blur
    pictures = bank.pictures(match.texture, match.color).unflatten(0, (len(SHAPES), -1))[:, variant]  # (8, 3, 32, 32)
    reach = HALF + NEAR
    y, x = (min(max(v, reach), part.shape[1] - reach) for v in (match.y, match.x))
    there = part[:, y - reach : y + reach, x - reach : x + reach]
    windows = there.unfold(1, 2 * HALF, 1).unfold(2, 2 * HALF, 1).permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1)
    error = pictures.flatten(1).square().sum(1) - 2 * windows @ pictures.flatten(1).T  # |R - T|^2, but for |R|^2
    canvas = torch.zeros(len(SHAPES), *there.shape, **PLAIN)
    for shape, shift in enumerate(error.argmin(0).tolist()):
        dy, dx = divmod(shift, 2 * NEAR + 1)
        canvas[shape, :, dy : dy + 2 * HALF, dx : dx + 2 * HALF] = pictures[shape]
    apart = (canvas[own] - canvas).flatten(1)  # (8, pixels): what tells this shape from each other one
    place = ((there - canvas).flatten(1) * apart).sum(1) / apart.square().sum(1).clamp(min=1e-9)
    place[own] = 1.0
    return float(place.min())


def _paste(bank: _Templates, part: torch.Tensor, match: Match, sign: float):
    picture = bank.pictures(match.texture, match.color)[match.kind]
    part[:, match.y - HALF : match.y + HALF, match.x - HALF : match.x + HALF] += sign * picture


def _pursue(bank: _Templates, rest: torch.Tensor, ys, xs) -> Match:
    """The template at one of these places that is most like what stands there in rest (3, H, W)."""
    ys, xs = ys.clamp(HALF, rest.shape[1] - HALF), xs.clamp(HALF, rest.shape[2] - HALF)
    overlap, windows = _overlap(bank, rest[None], torch.zeros_like(ys), ys, xs)
    there = ((windows**2).sum(1) @ bank.zones)[..., None, None]  # |R|^2 on the template and two pixels around it
    fit = overlap / (there + bank.energy - overlap)
    place, kind = divmod(int(fit.argmax()), bank.energy.numel())
    return bank.match(float(fit.max()), int(ys[place]), int(xs[place]), kind)


def _again(bank: _Templates, rest: torch.Tensor, old: Match, reach: int) -> Match:
    """Match one object anew near its place, the others given, and take it off rest; `old` is on rest already."""
    _, y, x, _ = _shifts(*(torch.tensor([v], device="cpu") for v in (old.y, old.x)), reach, 1)
    new = _pursue(bank, rest, y, x)
    _paste(bank, rest, new, -1)
    return new


def _split(part: torch.Tensor):
    """Explain one component by several templates, greedily: each with how sure its shape is, and their sum."""
    rough, bank = _templates(BLURS[1:2]), _templates()
    rest, found = part.clone(), []
    for _ in range(6):
        ys, xs = torch.nonzero((rest**2).sum(0) > 0.02, as_tuple=True)
        if len(ys) < 2 * SPECK:
            break
        ends = [(int(v.min()), int(v.max())) for v in (ys, xs)]
        spans = [torch.arange(low + 5, max(high - 4, low + 6), 2, device="cpu") for low, high in ends]
        match = _pursue(rough, rest, *torch.cartesian_prod(*spans).T)
        if match.fit < 0.4:
            break
        _paste(rough, rest, match, -1)
        found.append(match)
    for i, old in enumerate(found):  # each again, given the others, with all templates
        _paste(rough, rest, old, 1)
        found[i] = _again(bank, rest, old, 2)
    for i, old in enumerate(found):
        _paste(bank, rest, old, 1)
        found[i] = _again(bank, rest, old, 1)
    alone = torch.zeros(len(found), *part.shape, **PLAIN)
    for canvas, match in zip(alone, found):
        _paste(bank, canvas, match, 1)
    covers = (alone.square().sum(1) > 0.02).flatten(1).float()  # (M, pixels)
    share = covers @ covers.T / covers.sum(1)  # (M, M): of template i, how much of template j lies under it
    # What explains the same place competes with this shape and stays; what stands elsewhere is taken off.
    sure = [_sureness(bank, part - alone[share[i] < ELSEWHERE].sum(0), match) for i, match in enumerate(found)]
    return list(zip(found, sure)), part - rest


def _likeness(part: torch.Tensor, whole: torch.Tensor) -> float:
    """How alike two difference pictures are, every pixel counting the same, dark or pale: at most 1."""
    dots, squares = (part * whole).sum(0), (part**2).sum(0) + (whole**2).sum(0)
    seen = squares > 0.02
    return float((2 * dots[seen] / squares[seen]).mean())


def _explain(part: torch.Tensor, match: Match) -> list[tuple[Match, bool]]:
    """The objects of a component, each with whether its shape is clear: its best single template, or several where
    they explain much more of its pixels."""
    bank, whole = _templates(), torch.zeros_like(part)
    _paste(bank, whole, match, 1)
    near = torch.from_numpy(ndimage.binary_dilation((whole**2).sum(0).numpy() > 0.02, iterations=2))
    outside = int((((part**2).sum(0) > 0.02) & ~near).sum())
    alone = [(match, match.fit >= CLEAR and _sureness(bank, part, match) >= SURE)]
    if match.fit >= LIKE and outside < 2 * SPECK:
        return alone
    several, together = _split(part)
    alike = _likeness(part, together)
    if len(several) < 2 or alike <= _likeness(part, whole) + 0.1:
        return alone
    return [(one, alike >= SOLVED and one.fit >= CLEAR_OF_MANY and sure >= SURE) for one, sure in several]


def _find(images: torch.Tensor) -> list[tuple[Found, ...]]:
    parts, rows = _components(images)
    pictures = [[] for _ in images]
    for part, row, single in zip(parts, rows, _fit(parts) if rows else ()):
        for match, clear in _explain(part, single):
            shape, size, _ = _templates().kinds[match.kind]
            names = (shape if clear else None, tuple(COLORS)[match.color], TEXTURES[match.texture], size)
            pictures[row].append(Found(*names, float(match.x - PAD), float(match.y - PAD), match.fit))
    return [tuple(sorted(found, key=lambda o: (o.x, o.y))) for found in pictures]

"""Scenes: what stands in a picture, the prompt that is true of it, and what training never shows.

A scene is one to five flat shapes on a calm light ground.  Everything about it is discrete (eight shapes, eight
colours, three textures, two sizes, centres on a lattice of four pixels), so a prompt about it is either true or false
and `vartut.judge` can say which from the pixels alone.

`sample(task, n, split, seed)` draws scenes; scene i depends on (task, split, seed, i) alone, on every machine.  The
tasks carry the names of the benchmarks that they imitate: GenEval (arXiv 2310.11513) and T2I-CompBench++ (arXiv
2307.06350).
"""

import random
from dataclasses import dataclass

from ..names import check_name
from .grammar import COLORS, RELATIONS, SHAPES, SIZES, TEXTURES, Description, Group, describe

TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr", "texture", "complex")
LATTICE = 4  # centres lie on multiples of this many pixels

# What training never shows.  A pairing is a fact about one object; a relation combination is about two shapes,
# written with the left or upper shape first, so that "left of" and "right of" hide the same pictures.
HELD_OUT_COLORS = {(shape, tuple(COLORS)[(3 * i + 1) % 8]) for i, shape in enumerate(SHAPES)}
HELD_OUT_TEXTURES = {("star", "striped"), ("ring", "dotted"), ("heart", "striped"), ("square", "dotted")}
HELD_OUT_PLACES = {
    (axis, a, b)
    for axis in ("across", "down")
    for i, a in enumerate(SHAPES)
    for j, b in enumerate(SHAPES)
    if i != j and (i + 2 * j + (axis == "down")) % 7 == 0
}


@dataclass(frozen=True)
class Object:
    """One painted object; x and y are the centre in pixels of a 64-pixel picture, y growing downwards."""

    shape: str
    color: str
    texture: str
    size: str
    x: int
    y: int


@dataclass(frozen=True)
class Scene:
    """Objects and the prompt that is true of them."""

    objects: tuple[Object, ...]
    prompt: str
    task: str


# ---- scenes --------------------------------------------------------------------------------------------------------


def _pick(rng, options):
    return options[int(rng.random() * len(options))]  # .random() alone is the same in every Python version


def _draw_description(task: str, rng) -> Description:
    """Draw what a prompt of this task says, before the rules of the splits are applied."""
    two = [_pick(rng, SHAPES)]
    two.append(_pick(rng, [s for s in SHAPES if s != two[0]]))
    color = lambda: _pick(rng, tuple(COLORS))  # noqa: E731
    relation = _pick(rng, RELATIONS)
    if task == "single_object":
        return Description((Group(1, two[0]),))
    if task == "two_object":
        return Description((Group(1, two[0]), Group(1, two[1])))
    if task == "counting":
        return Description((Group(2 + int(rng.random() * 4), two[0], color() if rng.random() < 0.5 else None),))
    if task == "colors":
        return Description((Group(1, two[0], color()),))
    if task == "position":
        return Description((Group(1, two[0]), Group(1, two[1])), relation)
    if task == "color_attr":
        return Description((Group(1, two[0], color()), Group(1, two[1], color())))
    if task == "texture":
        first = Group(1, two[0], color() if rng.random() < 0.5 else None, _pick(rng, TEXTURES[1:]))
        if rng.random() < 0.5:
            return Description((first,))
        return Description((first, Group(1, two[1], None, _pick(rng, TEXTURES))))
    if rng.random() < 0.4:  # complex, of three coloured objects
        third = _pick(rng, [s for s in SHAPES if s not in two])
        return Description(tuple(Group(1, shape, color()) for shape in (*two, third)))
    groups = []
    for shape in two:  # complex, of two objects with a relation and one more attribute each
        extra = rng.random()
        texture = _pick(rng, TEXTURES[1:]) if extra < 0.3 else None
        size = _pick(rng, tuple(SIZES)) if 0.3 <= extra < 0.6 else None
        groups.append(Group(1, shape, color(), texture, size))
    return Description(tuple(groups), relation)


def place_key(relation: str, first: str, second: str) -> tuple[str, str, str]:
    """The picture behind a relation: (axis, left or upper shape, right or lower shape)."""
    axis = "across" if relation in ("left of", "right of") else "down"
    return (axis, first, second) if relation in ("left of", "above") else (axis, second, first)


def held_out(description: Description) -> bool:
    """True if the prompt says something that training never shows."""
    groups = description.groups
    if any((g.shape, g.color) in HELD_OUT_COLORS or (g.shape, g.texture) in HELD_OUT_TEXTURES for g in groups):
        return True
    relation = description.relation
    return relation is not None and place_key(relation, groups[0].shape, groups[1].shape) in HELD_OUT_PLACES


def _fill_in(description: Description, rng, novel: bool) -> list[Object] | None:
    """Give every object what the prompt leaves open, and a place; None where this draw has no room for it."""
    wanted = [(i, g) for i, g in enumerate(description.groups) for _ in range(g.count)]
    colors = {}  # the objects of one group share what the prompt leaves open, as in "three circles"
    placed: list[Object] = []
    for i, g in wanted:
        free = [c for c in COLORS if novel or (g.shape, c) not in HELD_OUT_COLORS]
        color = g.color or colors.setdefault(i, _pick(rng, free))
        texture = g.texture or "solid"
        large = rng.random() < 0.7 if len(wanted) < 3 else False
        size = g.size or ("large" if texture != "solid" or large else "small")  # textures need room to be seen
        edge = 16 if size == "large" else 12
        spot = range(edge, 64 - edge + 1, LATTICE)
        for _ in range(40):
            new = Object(g.shape, color, texture, size, _pick(rng, spot), _pick(rng, spot))
            if all(max(abs(new.x - o.x), abs(new.y - o.y)) >= SIZES[o.size] + SIZES[size] + 2 for o in placed):
                placed.append(new)
                break
        else:
            return None
    if description.relation and not _stands(placed[0], placed[1], description.relation):
        return None
    return placed


def _stands(a: Object, b: Object, relation: str) -> bool:
    """A relation that nobody would dispute: clear of each other along its axis, and more along it than across."""
    dx, dy = b.x - a.x, b.y - a.y
    along, across = {"left of": (dx, dy), "right of": (-dx, dy), "above": (dy, dx), "below": (-dy, dx)}[relation]
    return along >= SIZES[a.size] + SIZES[b.size] + 2 and abs(across) <= along / 2


def _scene(task: str, split: str, seed: int, index: int) -> Scene:
    rng = random.Random(f"{task}/{split}/{seed}/{index}")
    novel = split == "test" and index % 2 == 1  # the odd half of the test split says something never trained on
    can_be_novel = task not in ("single_object", "two_object")
    for _ in range(10_000):
        description = _draw_description(task, rng)
        if held_out(description) != (novel and can_be_novel):
            continue
        for _ in range(60):
            objects = _fill_in(description, rng, novel)
            if objects is not None:
                return Scene(tuple(objects), describe(description), task)
    raise RuntimeError(f"no scene for {task}/{split}/{seed}/{index}")


def sample(task: str, n: int, split: str = "train", seed: int = 0, first: int = 0) -> list[Scene]:
    """Scenes `first` to `first + n - 1` of a task ("all" cycles through the tasks).

    Scene i is a function of (task, split, seed, i) alone.  `split` is "train", "validation" (fresh draws from what
    training shows) or "test" (every second scene has a pairing that training never shows, where its task can).
    Raises ValueError for an unknown task or split.
    """
    check_name(task, (*TASKS, "all"), "task")
    check_name(split, ("train", "validation", "test"), "split")
    if n < 0 or first < 0:
        raise ValueError(f"n and first count scenes and cannot be negative; got n={n}, first={first}")
    if task == "all":
        return [_scene(TASKS[i % 8], split, seed, i // 8) for i in range(first, first + n)]
    return [_scene(task, split, seed, i) for i in range(first, first + n)]


def prompts(task: str, n: int, split: str = "test", seed: int = 0) -> list[str]:
    """The prompts of `sample(task, n, split, seed)`."""
    return [scene.prompt for scene in sample(task, n, split, seed)]

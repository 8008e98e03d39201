"""Scenes: what stands in a picture, the prompt that is true of it, and what the train split never says.

A scene is one to five flat shapes on a calm light ground.  Everything about it is discrete (eight shapes, eight
colours, three textures, two sizes, centres on a lattice of four pixels), so a prompt about it is either true or false
and `vartut.judge` can say which from the pixels alone.

`sample(task, n, split, seed)` draws scenes; scene i depends on (task, split, seed, i) alone, on every machine.  The
tasks carry the names of the benchmarks that they imitate: GenEval (arXiv 2310.11513) and T2I-CompBench++ (arXiv
2307.06350).
"""

import random
from dataclasses import dataclass

from ..inputs import whole
from ..names import check_name
from .grammar import COLORS, RELATIONS, SHAPES, SIZES, TEXTURES, Description, Group, describe, parse

SHORT_TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr", "texture", "complex")
TASKS = (*SHORT_TASKS, "dense")
DENSE_FACTS = range(3, 15)  # how many facts a dense prompt has
LATTICE = 4  # centres lie on multiples of this many pixels

# What no prompt of the train split says.  Colours and textures of a shape are not shown there either.  Places (written
# with the left or upper shape first, one key for "left of" and "right of") are only never said: of two objects without
# a relation between them in the prompt, every order occurs.
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

    @property
    def facts(self) -> int:
        """How many things the prompt claims; see `Description.facts`."""
        return parse(self.prompt).facts


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
        return Description((Group(1, two[0]), Group(1, two[1])), ((0, relation, 1),))
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
    return Description(tuple(groups), ((0, relation, 1),))


def _draw_dense(facts: int, rng) -> Description:
    """Draw a dense description of that many facts: two to five objects in one to three clauses."""
    while True:
        counts = [1] * (2 + int(rng.random() * 4))
        if rng.random() < 0.2 and len(counts) > 2:  # one group is of two or three alike
            together = 2 + int(rng.random() * min(2, len(counts) - 2))
            counts = counts[together:]
            counts.insert(int(rng.random() * (len(counts) + 1)), together)
        left = list(SHAPES)
        shapes = [left.pop(int(rng.random() * len(left))) for _ in counts]
        alone = 2 * int(rng.random() * (len(counts) // 2 + 1)) if len(counts) % 2 else len(counts)
        places = [i for i in range(len(counts)) if i != alone]  # these may be related, two by two
        relations = [(i, _pick(rng, RELATIONS), i + 1) for i in places[::2] if rng.random() < 0.6]
        said, large = [{} for _ in counts], 2 if sum(counts) < 4 else 1  # more large ones find no room
        claimed = Description(_groups(counts, shapes, said), tuple(relations)).facts
        options = [(kind, i) for kind in ("color", "extra") for i in range(len(counts))]
        while claimed < facts and options:
            kind, i = options.pop(int(rng.random() * len(options)))
            if kind == "color":
                said[i]["color"] = _pick(rng, tuple(COLORS))
            elif large < counts[i]:
                said[i]["size"] = "small"
            else:
                large -= counts[i]  # textures need room to be seen
                kind = "texture" if rng.random() < 0.7 else "size"
                said[i][kind] = _pick(rng, TEXTURES[1:]) if kind == "texture" else "large"
            claimed += counts[i]
        if claimed == facts:
            return Description(_groups(counts, shapes, said), tuple(relations))


def _groups(counts, shapes, said) -> tuple[Group, ...]:
    return tuple(Group(n, shape, **more) for n, shape, more in zip(counts, shapes, said))


def place_key(relation: str, first: str, second: str) -> tuple[str, str, str]:
    """One key for both ways to say a place: (axis, left or upper shape, right or lower shape)."""
    axis = "across" if relation in ("left of", "right of") else "down"
    return (axis, first, second) if relation in ("left of", "above") else (axis, second, first)


def held_out(description: Description) -> bool:
    """True if the prompt says something that the train split never says."""
    groups = description.groups
    if any((g.shape, g.color) in HELD_OUT_COLORS for g in groups):
        return True
    if any((g.shape, g.texture) in HELD_OUT_TEXTURES for g in groups):
        return True
    keys = [place_key(r, groups[a].shape, groups[b].shape) for a, r, b in description.relations]
    return any(key in HELD_OUT_PLACES for key in keys)


def _fill_in(description: Description, rng, novel: bool, early: bool) -> list[Object] | None:
    """Give every object what the prompt leaves open, and a place; None where this draw has no room for it.

    `early` tries an object's relation with its place, which dense scenes need; the short tasks try theirs at the end,
    and keep doing so, since their scenes must stay what they are.
    """
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
            apart = all(max(abs(new.x - o.x), abs(new.y - o.y)) >= SIZES[o.size] + SIZES[size] + 2 for o in placed)
            if apart and (not early or _related(description, wanted, [*placed, new])):
                placed.append(new)
                break
        else:
            return None
    return placed if _related(description, wanted, placed) else None


def _related(description: Description, wanted, placed: list[Object]) -> bool:
    """Whether the objects placed so far stand as the relations say."""
    members = {}
    for (i, _), o in zip(wanted, placed):
        members.setdefault(i, []).append(o)
    return all(
        _stands(a, b, relation)
        for first, relation, second in description.relations
        for a in members.get(first, ())
        for b in members.get(second, ())
    )


def _stands(a: Object, b: Object, relation: str) -> bool:
    """A relation that nobody would dispute: clear of each other along its axis, and more along it than across."""
    dx, dy = b.x - a.x, b.y - a.y
    along, across = {"left of": (dx, dy), "right of": (-dx, dy), "above": (dy, dx), "below": (-dy, dx)}[relation]
    return along >= SIZES[a.size] + SIZES[b.size] + 2 and abs(across) <= along / 2


def _scene(task: str, split: str, seed: int, index: int, facts: int | None = None) -> Scene:
    rng = random.Random(f"{task}/{split}/{seed}/{index}" + (f"/{facts}" if facts else ""))
    novel = split == "test" and index % 2 == 1  # the odd half of the test split says something that training never says
    can_be_novel = task not in ("single_object", "two_object")
    dense = task == "dense"
    if dense and facts is None:
        facts = _pick(rng, DENSE_FACTS)
    for _ in range(10_000):
        description = _draw_dense(facts, rng) if dense else _draw_description(task, rng)
        if held_out(description) != (novel and can_be_novel):
            continue
        for _ in range(60):
            objects = _fill_in(description, rng, novel, early=dense)
            if objects is not None:
                return Scene(tuple(objects), describe(description), task)
    raise RuntimeError(f"no scene for {task}/{split}/{seed}/{index}")


def sample(
    task: str, n: int, split: str = "train", seed: int = 0, first: int = 0, facts: int | None = None
) -> list[Scene]:
    """Scenes `first` to `first + n - 1` of a task ("all" cycles through the eight of short prompts).

    `facts` asks for dense prompts of so many facts, 3 to 14 (None: as many as each draws).  Scene i is a function of
    (task, split, seed, i), and of `facts` where given, alone.  `split` is "train", "validation" (fresh draws of
    the same kind) or "test" (every second prompt says something that training never says, where its task can).
    Raises ValueError for an unknown task or split.
    """
    check_name(task, (*TASKS, "all"), "task")
    check_name(split, ("train", "validation", "test"), "split")
    n, first, seed = whole(least=0, n=n), whole(least=0, first=first), whole(seed=seed)
    if facts is not None:
        facts = whole(facts=facts)
        if task != "dense" or facts not in DENSE_FACTS:
            known = f"only dense prompts can be asked for by facts, {DENSE_FACTS[0]} to {DENSE_FACTS[-1]} of them"
            raise ValueError(f'facts={facts} of "{task}": {known}')
    if task == "all":
        return [_scene(SHORT_TASKS[i % 8], split, seed, i // 8) for i in range(first, first + n)]
    return [_scene(task, split, seed, i, facts) for i in range(first, first + n)]


def prompts(task: str, n: int, split: str = "test", seed: int = 0, facts: int | None = None) -> list[str]:
    """The prompts of `sample(task, n, split, seed, facts=facts)`."""
    return [scene.prompt for scene in sample(task, n, split, seed, facts=facts)]

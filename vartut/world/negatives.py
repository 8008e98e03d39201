"""Prompts that differ from a scene's own in one word, or in two words swapped, and are false: hard negatives."""

import random
from dataclasses import replace

from .grammar import COLORS, NUMBERS, RELATIONS, SHAPES, SIZES, TEXTURES, Description, describe, parse
from .judging import stands
from .scenes import Scene

KINDS = ("color", "shape", "texture", "size", "number", "relation", "swap")


def one_word_changes(description: Description) -> dict[str, list[Description]]:
    """Every description that differs in one word, or in two of a kind swapped between groups, by kind of change."""
    groups, relations = description.groups, description.relations
    changes = {kind: [] for kind in KINDS}

    def change(kind, new: dict):
        changed = tuple(new.get(i, group) for i, group in enumerate(groups))
        changes[kind].append(Description(changed, relations))

    shapes, total = {group.shape for group in groups}, sum(group.count for group in groups)
    for i, group in enumerate(groups):
        for kind, known in (("color", COLORS), ("texture", TEXTURES), ("size", SIZES)):
            said = getattr(group, kind)
            for word in known if said else ():
                if word != said:
                    change(kind, {i: replace(group, **{kind: word})})
        for shape in SHAPES:
            if shape not in shapes:
                change("shape", {i: replace(group, shape=shape)})
        for count in NUMBERS.values() if group.count > 1 else ():
            if count != group.count and total - group.count + count <= 5:
                change("number", {i: replace(group, count=count)})
        for j, other in enumerate(groups[:i]):
            for kind in ("color", "texture", "size", "shape"):
                mine, its = getattr(group, kind), getattr(other, kind)
                if mine != its:
                    change("swap", {i: replace(group, **{kind: its}), j: replace(other, **{kind: mine})})
    for n, (first, said, second) in enumerate(relations):
        for other in RELATIONS:
            if other != said:
                new = (*relations[:n], (first, other, second), *relations[n + 1 :])
                changes["relation"].append(Description(groups, new))
    return changes


def holds(description: Description, objects) -> bool:
    """Whether a description is true of a scene's objects, by GenEval's rules as `vartut.judge` has them.

    For descriptions whose groups are of different shapes, as all tasks draw them: no object can fill two roles then.
    """
    filled = []
    for g in description.groups:
        said = [(name, value) for name in ("color", "texture", "size") if (value := getattr(g, name))]
        fits = [o for o in objects if o.shape == g.shape and all(getattr(o, name) == value for name, value in said)]
        if len(fits) < g.count or len(fits) > g.count > 1:
            return False
        filled.append([fits] if g.count > 1 else [[o] for o in fits])  # the choices of objects for this group
    return all(
        any(all(stands(a, b, relation) for a in these for b in those) for these in filled[i] for those in filled[j])
        for i, relation, j in description.relations
    )


def false_prompts(scene: Scene, rng: random.Random) -> dict[str, list[str]]:
    """The false ones of a scene's one-word changes, in random order, by kind; kinds without any are left out."""
    found = {}
    for kind, changed in one_word_changes(parse(scene.prompt)).items():
        false = [describe(d) for d in changed if not holds(d, scene.objects)]
        rng.shuffle(false)
        if false:
            found[kind] = false
    return found


def hard_negatives(scene: Scene, n: int, rng: random.Random) -> list[str]:
    """n false one-word changes of a scene's prompt, of its kinds of change in turn; every prompt has 7."""
    left = list(false_prompts(scene, rng).values())
    rng.shuffle(left)
    chosen = []
    while len(chosen) < n:
        chosen += [false.pop() for false in left if false]
    return chosen[:n]

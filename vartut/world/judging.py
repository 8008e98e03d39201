"""The judge: says whether a prompt is true of a picture, from its pixels alone.

`finding.py` finds the objects.  Whether the prompt holds of them follows GenEval (arXiv 2310.11513,
evaluation/evaluate_images.py):

- a number word means exactly so many: one more fails;
- an article means at least one: another object that nobody asked for does not fail the prompt, as in GenEval, whose
  prompts exclude nothing but the (n+1)-th object of a counted class;
- all that is said of an object must hold of one and the same object, and one object fills one role;
- a relation needs an offset of more than .1 of the two sizes, and what exceeds that margin must be more than .5 of
  the whole offset.

GenEval looks only at the most confident detections; here any choice of objects that makes the prompt true will do.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from ..inputs import ordered
from .finding import Found, find
from .grammar import SIZES, Description, Group, describe, parse


@dataclass(frozen=True)
class Verdict:
    """What the judge says of one picture and one prompt; `judge` explains the fields."""

    correct: bool
    grade: float
    found: tuple[Found, ...]
    reason: str


def judge(images: torch.Tensor, prompts: list[str]) -> list[Verdict]:
    """Judge pictures (B, 3, 64, 64), values in [0, 1], against one prompt each.

    Every verdict has
    - correct: whether the prompt holds by GenEval's rules (see the module's text);
    - grade, 0 to 1: over the best assignment of found to described objects, the share of the prompt's facts that hold
      (each object's shape; its colour, texture and size where named; each relation; each number word), less .2 for
      every surplus or missing object.  It is 1 exactly if the prompt holds and nothing else is in the picture;
    - found: the objects, left to right;
    - reason: in words, why the prompt holds or fails.

    Raises ValueError for pictures of a wrong shape or range, for a wrong number of prompts, and for a prompt outside
    the grammar.
    """
    if isinstance(prompts, str):
        raise ValueError(f'prompts is a list with one prompt per picture; write ["{prompts}"]')
    prompts = ordered("texts, as a list", prompts=prompts)  # a generator, too, which gives its prompts once
    for prompt in prompts:  # before the work
        parse(prompt)
    pictures = find(images)
    if len(pictures) != len(prompts):
        raise ValueError(f"one prompt per picture: got {len(pictures)} pictures and {len(prompts)} prompts")
    return [verdict(found, prompt) for found, prompt in zip(pictures, prompts)]


# ---- the verdict ---------------------------------------------------------------------------------------------------


def stands(a, b, relation: str) -> bool:
    """GenEval's rule for "a relation b", from centres and sizes: an offset of more than 0.1 of the
    two sizes, of which what exceeds that margin is more than 0.5 of the whole offset."""
    margin = 0.1 * 2 * (SIZES[a.size] + SIZES[b.size])
    offset = np.array([a.x - b.x, a.y - b.y])
    if not offset.any():
        return False
    x, y = np.sign(offset) * np.maximum(np.abs(offset) - margin, 0) / np.linalg.norm(offset)
    return {"left of": x < -0.5, "right of": x > 0.5, "above": y < -0.5, "below": y > 0.5}[relation]


def _facts(group: Group, o: Found) -> list[bool]:
    """Which of the things said of an object hold of this one; its shape first."""
    wanted = (group.shape, group.color, group.texture, group.size)
    return [w == got for w, got in zip(wanted, (o.shape, o.color, o.texture, o.size)) if w]


def _fits(group: Group, o: Found) -> bool:
    return all(_facts(group, o))


def _fill(description: Description, found, taken=()) -> bool:
    """True if distinct objects fill all roles, in the right places, and none is left over that a
    number forbids."""
    groups = description.groups
    for i, relation, j in description.relations:
        if j == len(taken) - 1 and not _all_stand(found, taken[i], relation, taken[j]):
            return False
    used = set(itertools.chain(*taken))
    if len(taken) == len(groups):
        left = [o for i, o in enumerate(found) if i not in used]
        return not any(g.count > 1 and _fits(g, o) for g in groups for o in left)
    group = groups[len(taken)]
    free = [i for i, o in enumerate(found) if i not in used and _fits(group, o)]
    choices = itertools.combinations(free, group.count)
    return any(_fill(description, found, (*taken, choice)) for choice in choices)


def _all_stand(found, first, relation: str, second) -> bool:
    """Whether every object of the first places stands so to every one of the second."""
    return all(stands(found[i], found[j], relation) for i in first for j in second)


def _grade(description: Description, found) -> float:
    """The graded oracle, 0 to 1; see `judge`.

    A number counts all of its shape: a blue star beside "three red stars" costs that fact.
    """
    groups = description.groups
    exact = sum(
        sum(o.shape == g.shape for o in found) == sum(h.count for h in groups if h.shape == g.shape)
        for g in groups
        if g.count > 1
    )
    surplus = abs(len(found) - sum(g.count for g in groups))
    return max(0.0, (_cast(description, found) + exact) / description.facts - 0.2 * surplus)


def _cast(description: Description, found) -> int:
    """The most facts about objects and places that hold at once, every found object playing one role at most.

    Roles are cast one after the other; a branch ends where even all that is still open could not beat the best so far.
    """
    roles = [i for i, group in enumerate(description.groups) for _ in range(group.count)]
    holds = [[sum(_facts(description.groups[i], o)) for o in found] for i in roles]
    closed = [[r for r in description.relations if r[2] == i and i not in roles[n + 1 :]] for n, i in enumerate(roles)]
    hope = [0]  # what roles n and later can still bring
    for row, relations in zip(holds[::-1], closed[::-1]):
        hope.insert(0, hope[0] + max([0, *row]) + len(relations))
    best = 0

    def cast(n: int, players: tuple, facts: int) -> None:
        nonlocal best
        best = max(best, facts)
        if n == len(roles) or facts + hope[n] <= best:
            return
        free = [j for j in range(len(found)) if j not in players]
        for j in sorted(free, key=lambda j: -holds[n][j]):
            now = (*players, j)
            of = [[player for player, role in zip(now, roles) if role == i] for i in range(len(description.groups))]
            stand = sum(None not in of[a] + of[b] and _all_stand(found, of[a], r, of[b]) for a, r, b in closed[n])
            cast(n + 1, now, facts + holds[n][j] + stand)
        cast(n + 1, (*players, None), facts)  # nobody plays it

    cast(0, (), 0)
    return best


def _reason(description: Description, found) -> str:
    """The first thing that fails, in words."""
    seen = "found " + (", ".join(_an(str(o)) for o in found) or "nothing")
    for group in description.groups:
        phrase = describe(Description((group,)))
        n = sum(_fits(group, o) for o in found)
        if n < group.count or (n > group.count > 1):
            asked = f"{phrase}: {n} of {group.count}" if group.count > 1 else f"no {phrase.split(' ', 1)[1]}"
            return f"{asked}; {seen}"
    for first, relation, second in description.relations:
        places = [[i for i, o in enumerate(found) if _fits(description.groups[g], o)] for g in (first, second)]
        if not any(i != j and stands(found[i], found[j], relation) for i in places[0] for j in places[1]):
            return f"nothing stands {relation} {describe(Description((description.groups[second],)))} as asked; {seen}"
    return f"one object cannot fill two roles; {seen}"


def _an(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def verdict(found: tuple[Found, ...], prompt: str) -> Verdict:
    """Judge objects that `find` found against one prompt; raises ValueError for a prompt outside the grammar."""
    description = parse(prompt)
    correct = _fill(description, found)
    surplus = len(found) - sum(g.count for g in description.groups)
    if correct:
        reason = "all of it holds" + (f", beside {surplus} more than asked" if surplus else "")
    else:
        reason = _reason(description, found)
    return Verdict(correct, _grade(description, found), tuple(found), reason)

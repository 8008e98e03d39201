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
from scipy.optimize import linear_sum_assignment

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
      (each object's shape; its colour, texture and size where named; the relation; each number word), less .2 for
      every surplus or missing object.  It is 1 exactly if the prompt holds and nothing else is in the picture;
    - found: the objects, left to right;
    - reason: in words, why the prompt holds or fails.

    Raises ValueError for pictures of a wrong shape or range, for a wrong number of prompts, and for a prompt outside
    the grammar.
    """
    if isinstance(prompts, str):
        raise ValueError(f'prompts is a list with one prompt per picture; write ["{prompts}"]')
    for prompt in prompts:  # before the work
        parse(prompt)
    pictures = find(images)
    if len(pictures) != len(prompts):
        raise ValueError(f"one prompt per picture: got {len(pictures)} pictures and {len(prompts)} prompts")
    return [verdict(found, prompt) for found, prompt in zip(pictures, prompts)]


# ---- the verdict ---------------------------------------------------------------------------------------------------


def stands(a, b, relation: str) -> bool:
    """GenEval's rule for "a relation b", from centres and sizes: an offset of more than .1 of the two sizes, of which
    what exceeds that margin is more than .5 of the whole offset."""
    margin = 0.1 * 2 * (SIZES[a.size] + SIZES[b.size])
    offset = np.array([a.x - b.x, a.y - b.y])
    if not offset.any():
        return False
    x, y = np.sign(offset) * np.maximum(np.abs(offset) - margin, 0) / np.linalg.norm(offset)
    return {"left of": x < -0.5, "right of": x > 0.5, "above": y < -0.5, "below": y > 0.5}[relation]


def _facts(group: Group, o: Found) -> list[bool]:
    """Which of the things said of an object hold of this one; its shape first."""
    said = [(group.shape, o.shape), (group.color, o.color), (group.texture, o.texture), (group.size, o.size)]
    return [wanted == got for wanted, got in said if wanted]


def _fits(group: Group, o: Found) -> bool:
    return all(_facts(group, o))


def _fill(groups, found, relation, taken=()) -> bool:
    """True if distinct objects fill all roles, in the right places, and none is left over that a number forbids."""
    if len(taken) == len(groups):
        if relation and not all(stands(found[i], found[j], relation) for i in taken[0] for j in taken[1]):
            return False
        used = set(itertools.chain(*taken))
        left = [o for i, o in enumerate(found) if i not in used]
        return not any(g.count > 1 and _fits(g, o) for g in groups for o in left)
    used, group = set(itertools.chain(*taken)), groups[len(taken)]
    free = [i for i, o in enumerate(found) if i not in used and _fits(group, o)]
    return any(_fill(groups, found, relation, (*taken, c)) for c in itertools.combinations(free, group.count))


def _grade(description: Description, found) -> float:
    """The graded oracle, 0 to 1; see `judge`."""
    groups, relation = description.groups, description.relation
    roles = [g for g in groups for _ in range(g.count)]
    holds = np.array([[sum(_facts(g, o)) for o in found] for g in roles], dtype=float).reshape(len(roles), len(found))
    numbers = [g for g in groups if g.count > 1]
    facts = sum(1 + sum(bool(w) for w in (g.color, g.texture, g.size)) for g in roles) + len(numbers) + bool(relation)
    exact = sum(
        sum(o.shape == g.shape for o in found) == sum(h.count for h in groups if h.shape == g.shape) for g in numbers
    )

    def cast(holds):  # the most facts that hold, every object playing one role at most
        return holds[linear_sum_assignment(holds, maximize=True)].sum()

    best, n = cast(holds), groups[0].count
    for first in itertools.combinations(range(len(found)), n) if relation else ():
        rest = [j for j in range(len(found)) if j not in first]
        second = [j for j in rest if all(stands(found[i], found[j], relation) for i in first)]
        if len(second) >= groups[1].count:  # the relation can hold if these play the first group
            best = max(best, 1 + cast(holds[:n, first]) + cast(holds[n:, second]))
    return float(max(0.0, (best + exact) / facts - 0.2 * abs(len(found) - len(roles))))


def _reason(description: Description, found) -> str:
    """The first thing that fails, in words."""
    seen = "found " + (", ".join(_an(str(o)) for o in found) or "nothing")
    for group in description.groups:
        phrase = describe(Description((group,)))
        n = sum(_fits(group, o) for o in found)
        if n < group.count or (n > group.count > 1):
            asked = f"{phrase}: {n} of {group.count}" if group.count > 1 else f"no {phrase.split(' ', 1)[1]}"
            return f"{asked}; {seen}"
    if description.relation:
        return f"nothing stands {description.relation} as asked; {seen}"
    return f"one object cannot fill two roles; {seen}"


def _an(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def verdict(found: tuple[Found, ...], prompt: str) -> Verdict:
    """Judge objects that `find` found against one prompt; raises ValueError for a prompt outside the grammar."""
    description = parse(prompt)
    correct = _fill(description.groups, found, description.relation)
    surplus = len(found) - sum(g.count for g in description.groups)
    if correct:
        reason = "all of it holds" + (f", beside {surplus} more than asked" if surplus else "")
    else:
        reason = _reason(description, found)
    return Verdict(correct, _grade(description, found), tuple(found), reason)

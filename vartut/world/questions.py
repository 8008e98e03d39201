"""Prompts taken apart into questions, one for each thing that they claim, and what is true of a scene.

"two red circles and a blue square" asks: is there a circle?  is there a red circle?  how many red circles?  is there a
square?  is there a blue square?  So do TIFA (Hu et al. 2023, arXiv 2303.11897) and DSG (Cho et al. 2024, arXiv
2310.18235), where a language model takes the prompt apart; here the grammar does, without error.

What is said of one object must hold of one and the same, so every question carries what the one before it said: "is
there a red circle?", "is there a striped red circle?", and not "is it striped?".
"""

from dataclasses import dataclass, replace

from .grammar import NUMBERS, WORDS, Description, Group, describe, parse
from .negatives import holds

COUNTS = ("zero", "one", *NUMBERS, "more")  # the answers to "how many": 0 to 5, and 6 or more
ANSWERS = ("no", "yes", *COUNTS)
QUESTION_WORDS = (*WORDS, "is", "are", "there", "how", "many", "?", "no", "yes", "zero", "one", "more")


@dataclass(frozen=True)
class Question:
    """`kind` is "shape", "color", "texture", "size", "number" or "relation": which claim of a prompt it asks for.

    What it asks about: one group, or two in a relation.
    """

    kind: str
    about: Description

    @property
    def text(self) -> str:
        """As words of `QUESTION_WORDS`: "is there a red circle ?"."""
        groups = self.about.groups
        if self.kind == "number":
            return f"how many {_several(groups[0])} ?"
        if self.kind == "relation":
            return f"{'is' if groups[0].count == 1 else 'are'} {describe(self.about)} ?"
        return f"is there {describe(self.about)} ?"

    @property
    def right(self) -> str:
        """The answer if the prompt holds, one of `ANSWERS`."""
        return COUNTS[self.about.groups[0].count] if self.kind == "number" else "yes"

    def answer(self, objects) -> str:
        """What is true of a scene's objects, or of those that the judge has found."""
        if self.kind == "number":
            fits = sum(fits_group(self.about.groups[0], o) for o in objects)
            return COUNTS[min(fits, len(COUNTS) - 1)]
        return "yes" if holds(self.about, objects) else "no"


def fits_group(group: Group, o) -> bool:
    """Whether all that is said of a group's objects is true of this one."""
    said = ("shape", "color", "texture", "size")
    return all(getattr(group, name) in (None, getattr(o, name)) for name in said)


def _several(group: Group) -> str:
    """The plural of a group without its number: "small red circles"."""
    return describe(Description((replace(group, count=2),))).split(" ", 1)[1]


def questions(prompt: str) -> list[Question]:
    """What a prompt claims, a question each, group by group, relations last; raises like `parse`.

    Of several alike objects their attributes are asked for once, and then their number.  All
    answers are right exactly where the prompt holds if its groups are of different shapes, as all
    tasks draw them: "a red circle and a circle" asks for nothing that one red circle lacks.
    """
    description = parse(prompt)
    asked = []
    for group in description.groups:
        said = Group(1, group.shape)
        asked.append(Question("shape", Description((said,))))
        for kind in ("color", "texture", "size"):
            if value := getattr(group, kind):
                said = replace(said, **{kind: value})
                asked.append(Question(kind, Description((said,))))
        if group.count > 1:
            asked.append(Question("number", Description((group,))))
    for first, relation, second in description.relations:
        pair = (description.groups[first], description.groups[second])
        asked.append(Question("relation", Description(pair, ((0, relation, 1),))))
    return asked

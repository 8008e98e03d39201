"""The words of the world: its vocabulary, and the grammar of its prompts.

- `parse(prompt)` reads any prompt of the grammar into a `Description`; `describe` writes one.
- `words` and `token_ids` are what a model reads: every word is one token.
"""

from dataclasses import dataclass

import torch

from ..names import nearest

SHAPES = ("circle", "square", "triangle", "diamond", "star", "cross", "ring", "heart")
COLORS = {  # chosen to stay apart under protanopia and deuteranopia too: a test measures it
    "black": (0.10, 0.10, 0.12),
    "red": (0.80, 0.10, 0.16),
    "orange": (0.97, 0.56, 0.06),
    "yellow": (0.98, 0.90, 0.25),
    "green": (0.00, 0.60, 0.42),
    "cyan": (0.38, 0.80, 0.96),
    "blue": (0.08, 0.28, 0.72),
    "pink": (0.90, 0.42, 0.70),
}
TEXTURES = ("solid", "striped", "dotted")
SIZES = {"small": 8.0, "large": 13.0}  # radius in pixels of a 64-pixel picture
RELATIONS = ("left of", "right of", "above", "below")
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5}
MAX_WORDS = 32  # the longest prompt of a picture of five objects has 31

PLURALS = {shape: shape + ("es" if shape == "cross" else "s") for shape in SHAPES}
SINGULAR = {plural: shape for shape, plural in PLURALS.items()}
WORDS = (  # the whole vocabulary, in a fixed order: the index is the text model's token id, 0 is padding
    "<pad>", "a", "an", *NUMBERS, *SIZES, *TEXTURES, *COLORS, *SHAPES, *PLURALS.values(),
    "and", ",", "left", "right", "of", "above", "below",
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    """What a prompt says of one object, or of `count` alike ones; None where it says nothing."""

    count: int
    shape: str
    color: str | None = None
    texture: str | None = None
    size: str | None = None


@dataclass(frozen=True)
class Description:
    """A parsed prompt: its groups, and its relations as (i, "left of", i + 1): group i stands left of the next."""

    groups: tuple[Group, ...]
    relations: tuple[tuple[int, str, int], ...] = ()

    @property
    def facts(self) -> int:
        """How many things the prompt claims, each of which can hold or fail, as the judge's grade counts them.

        Every object's shape, and its colour, texture and size where they are named; every number word; every relation.
        """
        attributes = sum(g.count * (1 + sum(bool(said) for said in (g.color, g.texture, g.size))) for g in self.groups)
        return attributes + sum(g.count > 1 for g in self.groups) + len(self.relations)


def describe(description: Description) -> str:
    """The prompt of a description, articles and plurals right: "an orange star left of two small rings"."""
    phrases = []
    for group in description.groups:
        adjectives = [word for word in (group.size, group.texture, group.color) if word]
        noun = group.shape if group.count == 1 else PLURALS[group.shape]
        rest = " ".join([*adjectives, noun])
        number = {n: word for word, n in NUMBERS.items()}.get(group.count)
        phrases.append(f"{number or ('an' if rest[0] in 'aeiou' else 'a')} {rest}")
    for first, relation, second in reversed(description.relations):  # two phrases become one clause
        phrases[first : second + 1] = [f"{phrases[first]} {relation} {phrases[second]}"]
    if len(phrases) == 1:
        return phrases[0]
    return ", ".join(phrases[:-1]) + " and " + phrases[-1]


def words(prompt: str) -> list[str]:
    """Split a prompt into the vocabulary's words; ValueError for an unknown one names a near one, or what there is."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError('a prompt is a non-empty text such as "a red circle left of a blue square"')
    found = prompt.lower().strip().rstrip(".").replace(",", " , ").split()
    for word in found:
        if word not in WORDS:
            near = nearest(word, WORDS[1:], 0.6)
            kinds = (SHAPES, COLORS, TEXTURES, SIZES, NUMBERS, [", ".join(RELATIONS)])
            known = "; ".join(" ".join(kind) for kind in kinds)
            hint = f'the nearest known word is "{near}"' if near else f"this world has {known}"
            raise ValueError(f'unknown word "{word}" in the prompt "{prompt}"; {hint}')
    if len(found) > MAX_WORDS:
        raise ValueError(f'the prompt "{prompt}" has {len(found)} words; at most {MAX_WORDS} can be read')
    return found


def token_ids(prompts) -> torch.Tensor:
    """Word ids (B, MAX_WORDS), padded with 0; the empty text "" is all padding, the unconditional prompt."""
    ids = torch.zeros(len(prompts), MAX_WORDS, dtype=torch.long, device="cpu")
    for row, prompt in enumerate(prompts):
        found = [WORDS.index(word) for word in words(prompt)] if prompt else []
        ids[row, : len(found)] = torch.tensor(found, dtype=torch.long, device="cpu")
    return ids


def parse(prompt: str) -> Description:
    """Read any prompt of the grammar

        prompt   = clause | clause {"," clause} "and" clause
        clause   = group | group relation group
        group    = ("a" | "an" | "two" .. "five") [size] [texture] [colour] shape

    Raises ValueError with one line: an unknown word with the nearest known one, or where the grammar was left.
    """
    rest = words(prompt)

    def fail(wanted):
        got = f'"{rest[0]}"' if rest else "the end"
        raise ValueError(f'cannot read the prompt "{prompt}": expected {wanted}, found {got}')

    def group():
        if not rest or rest[0] not in ("a", "an", *NUMBERS):
            fail('"a", "an" or a number from "two" to "five"')
        count = NUMBERS.get(rest.pop(0), 1)
        said = {}
        for name, known in (("size", SIZES), ("texture", TEXTURES), ("color", COLORS)):
            if rest and rest[0] in known:
                said[name] = rest.pop(0)
        nouns = {shape: shape for shape in SHAPES} if count == 1 else SINGULAR
        if not rest or rest[0] not in nouns:
            example = "circle" if count == 1 else "circles"
            fail(f'a shape such as "{example}" (size, texture and colour before it)')
        return Group(count, nouns[rest.pop(0)], **said)

    def clause():
        groups.append(group())
        for name in RELATIONS:
            if rest[: len(name.split())] == name.split():
                del rest[: len(name.split())]
                groups.append(group())
                relations.append((len(groups) - 2, name, len(groups) - 1))
                return '"," or "and"'  # what may follow
        return 'a relation, "," or "and"'

    groups, relations, several, ended = [], [], False, False
    follows = clause()
    while rest and rest[0] == ",":
        rest.pop(0)
        follows, several = clause(), True
    if rest and rest[0] == "and":
        rest.pop(0)
        clause()
        several, ended = False, True
    if several:
        fail('"and" before the last object')
    if rest:
        fail("the end" if ended else follows)
    if sum(g.count for g in groups) > 5:
        raise ValueError(f'the prompt "{prompt}" asks for more than five objects; a picture holds five')
    return Description(tuple(groups), tuple(relations))

"""The world of shapes: everything of it that others use can be reached from here, as `vartut.world.NAME`.

- `grammar.py`: the words of the world, and the prompts made of them: `parse`, `describe`, `words`, `token_ids`
- `scenes.py`: scenes of every task, and what the train split never says: `sample`, `prompts`
- `hard_sets.py`: stored prompts on which a search has room to climb: `hard`
- `renderer.py`: scenes to pictures: `render`
- `finding.py`: the objects of a picture, from its pixels alone: `find`
- `judging.py`: whether a prompt is true of a picture: `judge`
- `negatives.py`: prompts that differ in one word and are false
- `questions.py`: prompts taken apart into questions, one for each claim
"""

from .finding import Found, find
from .grammar import (
    COLORS,
    MAX_WORDS,
    NUMBERS,
    PLURALS,
    RELATIONS,
    SHAPES,
    SINGULAR,
    SIZES,
    TEXTURES,
    WORDS,
    Description,
    Group,
    describe,
    parse,
    token_ids,
    words,
)
from .hard_sets import HARD, hard
from .judging import Verdict, judge, stands, verdict
from .renderer import GROUND, render
from .scenes import (
    DENSE_FACTS,
    HELD_OUT_COLORS,
    HELD_OUT_PLACES,
    HELD_OUT_TEXTURES,
    LATTICE,
    SHORT_TASKS,
    TASKS,
    Object,
    Scene,
    held_out,
    place_key,
    prompts,
    sample,
)

__all__ = [
    "COLORS",
    "DENSE_FACTS",
    "GROUND",
    "HARD",
    "HELD_OUT_COLORS",
    "HELD_OUT_PLACES",
    "HELD_OUT_TEXTURES",
    "LATTICE",
    "MAX_WORDS",
    "NUMBERS",
    "PLURALS",
    "RELATIONS",
    "SHAPES",
    "SHORT_TASKS",
    "SINGULAR",
    "SIZES",
    "TASKS",
    "TEXTURES",
    "WORDS",
    "Description",
    "Found",
    "Group",
    "Object",
    "Scene",
    "Verdict",
    "describe",
    "find",
    "hard",
    "held_out",
    "judge",
    "parse",
    "place_key",
    "prompts",
    "render",
    "sample",
    "stands",
    "token_ids",
    "verdict",
    "words",
]

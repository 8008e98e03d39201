"""What the generators paint, with the judge's word on it: what a verifier meets in a search, and learns from.

`sampled` paints groups of pictures, one group a prompt, by nano and tiny, and keeps them as tokens, with the judge's
grade and the objects that it found.  Whoever learns from these is judge-distilled.  The prompts are of the train
split, and none is among those that experiments ask: the first 100 test prompts of each task, and the hard sets.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from tqdm.auto import tqdm

from .. import hub, world
from ..models.protocol import row_seed
from ..paths import write_files
from ..weights import read_provenance

TASKS = ("counting", "colors", "position", "color_attr", "texture", "complex")  # the others have too few prompts
GENERATORS = ("nano", "tiny")
TESTED = 100  # so many test prompts of each task are never painted
SHARD = 32  # prompts to a file
MOST = 8  # objects kept of a picture
EACH = 8  # pictures of a prompt by each generator


@dataclass(frozen=True)
class Samples:
    """P prompts, G pictures of each."""

    prompts: list[str]
    tokens: torch.Tensor  # (P, G, 130) int16, scale by scale
    grades: torch.Tensor  # (P, G) float32, the judge's
    objects: torch.Tensor  # (P, G, MOST, 6) float32: what `things` reads

    def things(self, prompt: int, picture: int) -> list[world.Found]:
        """The objects that the judge has found in a picture."""
        rows = self.objects[prompt, picture].tolist()
        return [thing(row) for row in rows if row[1] >= 0]


def thing(row: list[float]) -> world.Found:
    """A found object from its numbers; its fit is not kept."""
    shape, color, texture, size = (int(v) for v in row[:4])
    named = (tuple(world.COLORS)[color], world.TEXTURES[texture], tuple(world.SIZES)[size])
    return world.Found(world.SHAPES[shape] if shape >= 0 else None, *named, row[4], row[5], 0.0)


def numbers(found) -> torch.Tensor:
    """Found objects as numbers, (MOST, 6): shape (-1: unclear), colour, texture, size, x, y; rows of -1 behind them."""
    rows = torch.full((MOST, 6), -1.0)
    for row, o in zip(rows, found):
        shape = -1 if o.shape is None else world.SHAPES.index(o.shape)
        kinds = (tuple(world.COLORS).index(o.color), world.TEXTURES.index(o.texture), tuple(world.SIZES).index(o.size))
        row[:] = torch.tensor([shape, *kinds, o.x, o.y])
    return rows


@cache
def tested() -> frozenset[str]:
    """The prompts that experiments ask."""
    asked = [p for task in world.TASKS for p in world.prompts(task, TESTED)]
    asked += [p for facts in world.DENSE_FACTS for p in world.prompts("dense", TESTED, facts=facts)]
    return frozenset(asked + [p for size in world.HARD for p in world.hard(size)])


def prompts():
    """Prompts without end, each once: a short one of each of `TASKS` in turn, then as many dense ones, and so on."""
    seen, index = set(tested()), 0
    while True:
        for task in (*TASKS, *["dense"] * len(TASKS)):
            [scene] = world.sample(task, 1, "train", seed=-1, first=index)
            index += 1
            if scene.prompt not in seen:
                seen.add(scene.prompt)
                yield scene.prompt


@torch.no_grad()
def painted(samplers, prompts: list[str]) -> dict[str, torch.Tensor]:
    """`EACH` pictures of every prompt by every sampler, as `Samples` has them, (prompts, ...)."""
    kept = {"tokens": [], "grades": [], "objects": []}
    for prompt in prompts:
        seed, groups = row_seed(0, prompt), []
        for sampler in samplers:
            state = sampler.begin(prompt, [seed])
            state = sampler.expand(state, EACH)
            while state.step < sampler.num_steps:
                state = sampler.expand(state)
            groups.append((torch.cat(state.tokens, 1), sampler.preview(state)))
        tokens, images = (torch.cat(parts).cpu() for parts in zip(*groups))
        verdicts = world.judge(images, [prompt] * len(images))
        kept["tokens"].append(tokens.to(torch.int16))
        kept["grades"].append(torch.tensor([v.grade for v in verdicts]))
        kept["objects"].append(torch.stack([numbers(v.found) for v in verdicts]))
    return {kind: torch.stack(of) for kind, of in kept.items()}


def origin() -> dict[str, str]:
    """Whose pictures they are: the SHA-256 of the weights that paint them, begun."""
    return {f"samples_of_{name}": read_provenance(name)["sha256"][:12] for name in (*GENERATORS, "tokenizer")}


def sampled(count: int, folder: Path) -> Samples:
    """The pictures of `count` prompts, those that are not in `folder` yet painted now; a stopped run goes on.

    Raises what `vartut.load` raises, and ValueError for a damaged file.
    """
    samplers = [hub.load(name) for name in GENERATORS]
    made = "-".join(read_provenance(name)["sha256"][:6] for name in GENERATORS)
    asked, kept = list(islice(prompts(), count)), []
    folder.mkdir(parents=True, exist_ok=True)
    for first in tqdm(range(0, count, SHARD), desc="samples", mininterval=1):
        here = asked[first : first + SHARD]
        which = hashlib.sha256("\n".join(here).encode()).hexdigest()[:6]  # other prompts are other pictures
        path = folder / f"samples-{made}-{which}.safetensors"
        if not path.exists():
            write_files({path: save(painted(samplers, here))})  # a kill leaves no half a file
        try:
            kept.append(whole(load_file(path), len(here)))
        except (SafetensorError, ValueError) as error:
            raise ValueError(f"{path} is damaged: remove it, and it is painted anew") from error
    return Samples(asked, **{kind: torch.cat([part[kind] for part in kept]) for kind in kept[0]})


def whole(part: dict[str, torch.Tensor], prompts: int) -> dict[str, torch.Tensor]:
    """A file's tensors as they are; raises ValueError where they are not those of so many prompts."""
    each = EACH * len(GENERATORS)
    wanted = {"tokens": (prompts, each, part["tokens"].shape[-1]) if "tokens" in part else None}
    wanted |= {"grades": (prompts, each), "objects": (prompts, each, MOST, 6)}
    if {kind: tuple(of.shape) for kind, of in part.items()} != wanted or part["tokens"].min() < 0:
        raise ValueError("other shapes")
    return part

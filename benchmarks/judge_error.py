"""How often the judge errs: writes data/results/judge_error.csv.

    python benchmarks/judge_error.py [--clean 1000] [--scenes 160] [--seed 0]     # minutes: in the table

Scenes of the test split of the eight short tasks are rendered, more of them for the clean pictures, whose errors are
rare, and then spoilt in a seeded way.  Every picture is judged against

- its own prompt: a false reject where the judge says no;
- the prompt with one word changed, for each kind of word one such change that the scene makes false: a false accept
  where the judge says yes.

What is true of a scene is decided here from its values, by `true_of`, which shares no code with the judge.  Of a torn
picture it is decided from the scene as it was before; a torn picture need not show it any more, so that its false
rejects are partly right.

And pictures that lie between two shapes, of which a careful eye would not say which they show: every two shapes in one
place, size and colour, mixed pixel by pixel (`blended`, by the share of the second), or half of the one beside half of
the other (`halved`).  Any shape that the judge names is a false accept there; at a share of .3 the first shape still
prevails, and to name it may be right.
"""

import argparse
import itertools
import random
import time
from pathlib import Path

import torch
from tables import replace_rows, stamp
from torch.nn import functional as F

from vartut import world
from vartut.measure.statistics import wilson
from vartut.paths import expanded
from vartut.world.judging import find, verdict

KINDS = {  # which kind a word is of; a change is of the kind of the new word
    **dict.fromkeys(("a", "an", *world.NUMBERS), "number"),
    **dict.fromkeys(world.SIZES, "size"),
    **dict.fromkeys(world.TEXTURES, "texture"),
    **dict.fromkeys(world.COLORS, "colour"),
    **dict.fromkeys((*world.SHAPES, *world.SINGULAR), "shape"),
    **dict.fromkeys(("left", "right", "above", "below", "and", ","), "relation"),
}
RADIUS = {"small": 8, "large": 13}


def one_word_changes(prompt: str) -> list[tuple[str, str]]:
    """All prompts of the grammar that differ from this one in one word and in meaning, each with the word's kind."""
    words, changed = prompt.replace(",", " ,").split(), []
    for i, word in itertools.product(range(len(words)), world.WORDS[1:]):
        other = " ".join([*words[:i], word, *words[i + 1 :]])
        try:
            description = world.parse(other)
        except ValueError:  # not in the grammar
            continue
        if description != world.parse(prompt):
            changed.append((world.describe(description), KINDS[word]))
    return changed


def true_of(objects, description) -> bool:
    """Whether a description holds of a scene's objects, decided from their values by trying every casting."""
    groups = description.groups
    roles = [group for group in groups for _ in range(group.count)]
    said = ("shape", "color", "texture", "size")
    plays = lambda o, g: all(getattr(g, name) in (None, getattr(o, name)) for name in said)  # noqa: E731
    for cast in itertools.permutations(objects, len(roles)):
        if not all(map(plays, cast, roles)):
            continue
        extras = [o for o in objects if not any(o is c for c in cast)]
        if any(plays(o, g) for o in extras for g in groups if g.count > 1):
            continue
        of = [[o for o, role in zip(cast, roles) if role is group] for group in groups]  # roles share their group
        if all(_related(a, b, relation) for i, relation, j in description.relations for a in of[i] for b in of[j]):
            return True
    return False


def _related(a, b, relation) -> bool:
    sideways = relation in ("left of", "right of")
    along, across = (b.x - a.x, b.y - a.y) if sideways else (b.y - a.y, b.x - a.x)
    along = along if relation in ("left of", "above") else -along
    return along - 0.2 * (RADIUS[a.size] + RADIUS[b.size]) > 0.5 * (along**2 + across**2) ** 0.5


# ---- distortions: (pictures (B, 3, 64, 64), strength, generator) -> pictures ----------------------------------------


def blurred(images, sigma, draws):
    """Gaussian blur of this many pixels."""
    taps = torch.exp(-0.5 * (torch.arange(-12, 13) / sigma) ** 2)
    taps = (taps / taps.sum()).repeat(3, 1)
    images = F.conv2d(F.pad(images, (12, 12, 0, 0), "replicate"), taps[:, None, None, :], groups=3)
    return F.conv2d(F.pad(images, (0, 0, 12, 12), "replicate"), taps[:, None, :, None], groups=3)


def noisy(images, sigma, draws):
    """White noise of this standard deviation, then clipped."""
    return images + sigma * torch.randn(images.shape, generator=draws)


def smeared(images, pixels, draws):
    """Reduced to this many pixels a side and enlarged again, with a little noise: a poor decoder's picture."""
    small = F.interpolate(images, size=(int(pixels),) * 2, mode="area")
    return noisy(F.interpolate(small, size=(64, 64), mode="bilinear"), 0.02, draws)


def _patches(images):
    return images.view(-1, 3, 8, 8, 8, 8).permute(0, 2, 4, 1, 3, 5).reshape(len(images), 64, 3, 8, 8)


def _joined(patches):
    return patches.view(-1, 8, 8, 3, 8, 8).permute(0, 3, 1, 4, 2, 5).reshape(-1, 3, 64, 64)


def torn(images, reach, draws):
    """Every patch of 8 x 8 pixels shows what is up to this many pixels beside it, each its own way."""
    reach = int(reach)
    wide = F.pad(images, (reach,) * 4, "replicate")
    all_ways = torch.stack(
        [_patches(wide[:, :, dy : dy + 64, dx : dx + 64]) for dy in range(2 * reach + 1) for dx in range(2 * reach + 1)]
    )
    way = torch.randint(len(all_ways), (len(images), 64), generator=draws)
    return _joined(all_ways[way, torch.arange(len(images))[:, None], torch.arange(64)])


def shuffled(images, share, draws):
    """This share of the patches of 8 x 8 pixels replaced by others of the same picture."""
    patches = _patches(images)
    other = torch.randint(64, (len(images), 64), generator=draws)
    there = torch.rand(len(images), 64, generator=draws) < share
    index = torch.where(there, other, torch.arange(64))
    return _joined(patches[torch.arange(len(images))[:, None], index])


DISTORTIONS = (
    ("clean", 0, lambda images, strength, draws: images),
    *((blurred, sigma) for sigma in (0.5, 1.0, 1.5, 2.0, 3.0)),
    *((noisy, sigma) for sigma in (0.02, 0.05, 0.1, 0.2)),
    *((smeared, pixels) for pixels in (32, 24, 16)),
    *((torn, reach) for reach in (1, 2, 3)),
    *((shuffled, share) for share in (0.02, 0.05, 0.1, 0.2)),
)


def judged(scenes, lies, distort, strength, seed):
    """Count errors on spoilt pictures of the scenes: {(error, kind): [errors, n]}."""
    counts = {}
    for first in range(0, len(scenes), 256):
        some = scenes[first : first + 256]
        draws = torch.Generator().manual_seed(seed * 1_000_003 + first)
        images = distort(world.render(some), strength, draws).clamp(0, 1)
        cases = [(i, scene.prompt, "false reject", "all") for i, scene in enumerate(some)]
        for i, changes in enumerate(lies[first : first + 256]):
            cases += [(i, prompt, "false accept", kind) for prompt, kind in changes]
        pictures = find(images)
        for i, prompt, error, kind in cases:
            wrong = verdict(pictures[i], prompt).correct == (error == "false accept")
            for key in {(error, kind), (error, "all")}:
                counts.setdefault(key, [0, 0])
                counts[key][0] += wrong
                counts[key][1] += 1
    return counts


def rows_of(name, strength, counts, more) -> list[dict]:
    """The table's rows of one kind of picture, and what is most telling of them on the screen."""
    rows = []
    for (error, kind), (wrong, n) in sorted(counts.items(), reverse=True):
        low, high = wilson(wrong, n)
        row = {"distortion": name, "strength": strength, "error": error, "changed_word": kind, "n": n}
        row |= {"errors": wrong, "rate": round(wrong / n, 5), "low": round(low, 5), "high": round(high, 5)}
        rows.append(row | more)
        if kind == "all":
            rate = f"{wrong} of {n}, {wrong / n:.2%} ({low:.2%} to {high:.2%})"
            print(f"{name:>9} {strength:<5} {error}: {rate}", flush=True)
    return rows


def false_changes(scene, rng) -> list[tuple[str, str]]:
    """For each kind of word one change of the scene's prompt that the scene makes false, drawn at random."""
    by_kind = {}
    for prompt, kind in one_word_changes(scene.prompt):
        if not true_of(scene.objects, world.parse(prompt)):
            by_kind.setdefault(kind, []).append(prompt)
    return [(prompts[int(rng.random() * len(prompts))], kind) for kind, prompts in by_kind.items()]


# ---- between two shapes --------------------------------------------------------------------------------------------


def pairs_of_shapes():
    """Pictures of every two different shapes, in every colour and both sizes: two batches (896, 3, 64, 64)."""
    cases = itertools.product(itertools.permutations(world.SHAPES, 2), world.COLORS, world.SIZES)
    scenes = [
        [world.Scene((world.Object(shape, color, "solid", size, 32, 32),), "", "") for shape in pair]
        for pair, color, size in cases
    ]
    return [world.render([pair[i] for pair in scenes]) for i in (0, 1)]


def blended(one, other, share):
    """This share of the second picture in the first, pixel by pixel."""
    return torch.lerp(one, other, share)


def halved(one, other, share):
    """The left part of the first picture beside the right part of the second, which takes this share."""
    return torch.where(torch.arange(64) < 64 * (1 - share), one, other)


BETWEEN = ((blended, 0.3), (blended, 0.4), (blended, 0.5), (halved, 0.5))


def main():
    """Measure and write the table."""
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--clean", type=int, default=1000, help="scenes of clean pictures")
    reader.add_argument("--scenes", type=int, default=160, help="scenes of every kind of damage")
    reader.add_argument("--seed", type=int, default=0)
    reader.add_argument("--out", type=expanded, default=Path(__file__).parents[1] / "data/results/judge_error.csv")
    asked = reader.parse_args()
    all_scenes = world.sample("all", max(asked.clean, asked.scenes), "test", asked.seed)
    rng = random.Random(f"judge_error/{asked.seed}")
    lies = [false_changes(scene, rng) for scene in all_scenes]
    rows, made = [], stamp(torch.device("cpu"))
    for distort, strength, *other in DISTORTIONS:
        name, distort = (distort, other[0]) if other else (distort.__name__, distort)
        scenes = all_scenes[: asked.clean if name == "clean" else asked.scenes]
        started = time.perf_counter()
        counts = judged(scenes, lies[: len(scenes)], distort, strength, asked.seed)
        more = {"scenes": len(scenes), "seed": asked.seed, **made}
        rows += rows_of(name, strength, counts, more | {"minutes": round((time.perf_counter() - started) / 60, 2)})
    one, other = pairs_of_shapes()
    for mix, share in BETWEEN:
        started = time.perf_counter()
        named = [any(o.shape for o in found) for found in find(mix(one, other, share))]
        counts, more = {("false accept", "all"): (sum(named), len(named))}, {"scenes": len(one), "seed": "", **made}
        more["minutes"] = round((time.perf_counter() - started) / 60, 2)
        rows += rows_of(mix.__name__, share, counts, more)
    replace_rows(asked.out, rows, key=lambda row: None)  # the whole table
    print(f"wrote {asked.out}")


if __name__ == "__main__":
    main()

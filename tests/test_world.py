"""The world's scenes: pinned, true to their prompts, and the splits apart."""

import hashlib
import itertools
from collections import Counter

import pytest
from truth import true_of

from vartut import world
from vartut.world import Object, Scene, describe, parse

SPLITS = ("train", "validation", "test")

# ---- scenes --------------------------------------------------------------------------------------------------------

PINNED = {  # (task, split, seed, index): prompt and objects, the same on every machine
    ("single_object", "train", 0, 0): ("a circle", ("circle", "pink", "solid", "large", 36, 24)),
    ("single_object", "test", 0, 1): ("a star", ("star", "yellow", "solid", "large", 20, 16)),
    ("two_object", "train", 0, 0): (
        "a ring and a circle",
        ("ring", "blue", "solid", "large", 20, 28),
        ("circle", "blue", "solid", "large", 48, 16),
    ),
    ("two_object", "test", 0, 1): (
        "a ring and a square",
        ("ring", "black", "solid", "large", 16, 48),
        ("square", "black", "solid", "large", 48, 40),
    ),
    ("counting", "test", 0, 1): (
        "two cyan stars",
        ("star", "cyan", "solid", "small", 48, 36),
        ("star", "cyan", "solid", "large", 20, 40),
    ),
    ("counting", "validation", 7, 5): (
        "four circles",
        ("circle", "black", "solid", "small", 28, 52),
        ("circle", "black", "solid", "small", 52, 28),
        ("circle", "black", "solid", "small", 52, 48),
        ("circle", "black", "solid", "small", 12, 24),
    ),
    ("colors", "train", 0, 0): ("a green cross", ("cross", "green", "solid", "large", 28, 44)),
    ("colors", "test", 0, 1): ("a green square", ("square", "green", "solid", "large", 28, 24)),
    ("position", "train", 0, 0): (
        "a heart above a square",
        ("heart", "cyan", "solid", "large", 44, 16),
        ("square", "pink", "solid", "large", 48, 48),
    ),
    ("position", "test", 0, 1): (
        "a diamond left of a triangle",
        ("diamond", "yellow", "solid", "small", 12, 12),
        ("triangle", "black", "solid", "large", 36, 16),
    ),
    ("color_attr", "train", 0, 0): (
        "an orange cross and a cyan circle",
        ("cross", "orange", "solid", "large", 40, 32),
        ("circle", "cyan", "solid", "small", 16, 52),
    ),
    ("color_attr", "test", 0, 1): (
        "a black star and a pink triangle",
        ("star", "black", "solid", "large", 16, 24),
        ("triangle", "pink", "solid", "small", 40, 12),
    ),
    ("texture", "test", 0, 1): (
        "a striped cyan square and a striped heart",
        ("square", "cyan", "striped", "large", 20, 28),
        ("heart", "pink", "striped", "large", 48, 44),
    ),
    ("texture", "validation", 7, 5): (
        "a striped red cross and a solid heart",
        ("cross", "red", "striped", "large", 20, 36),
        ("heart", "orange", "solid", "small", 48, 52),
    ),
    ("complex", "train", 0, 0): (
        "a yellow square, a black heart and a green triangle",
        ("square", "yellow", "solid", "small", 16, 48),
        ("heart", "black", "solid", "small", 40, 48),
        ("triangle", "green", "solid", "small", 44, 16),
    ),
    ("complex", "test", 0, 1): (
        "an orange ring, an orange diamond and a blue square",
        ("ring", "orange", "solid", "small", 16, 40),
        ("diamond", "orange", "solid", "small", 36, 48),
        ("square", "blue", "solid", "small", 12, 20),
    ),
}


@pytest.mark.parametrize("key", PINNED, ids=lambda key: "-".join(map(str, key)))
def test_pinned_scenes(key):
    task, split, seed, index = key
    (scene,) = world.sample(task, 1, split, seed, first=index)
    prompt, *objects = PINNED[key]
    assert scene == Scene(tuple(Object(*o) for o in objects), prompt, task)


def test_all_tasks_and_splits_are_pinned():
    digest = hashlib.sha256()
    for split in SPLITS:
        for s in world.sample("all", 400, split):
            objects = [(o.shape, o.color, o.texture, o.size, o.x, o.y) for o in s.objects]
            digest.update(repr((s.prompt, objects)).encode())
    expected = "9a7c50532f89a92ede21243530271efd6df92b74d0e64884f36207ae6821e33e"
    assert digest.hexdigest() == expected, "scenes changed: every shipped weight and table was made from the old ones"


def test_dense_scenes_are_pinned():
    digest = hashlib.sha256()
    for split in SPLITS:
        scenes = world.sample("dense", 200, split) + world.sample("dense", 50, split, facts=9)
        for s in scenes:
            objects = [(o.shape, o.color, o.texture, o.size, o.x, o.y) for o in s.objects]
            digest.update(repr((s.prompt, objects)).encode())
    assert digest.hexdigest()[:16] == "849d5f71f19a8445", "scenes changed: nano was trained on the old ones"


@pytest.mark.parametrize("facts", world.DENSE_FACTS)
def test_prompts_of_so_many_facts_can_be_asked_for(facts):
    for prompt in world.prompts("dense", 12, facts=facts):
        words = prompt.replace(",", " ").split()  # counted by hand: what stands for a fact, once an object
        number = {"two": 2, "three": 3}
        told = at = 1
        total = 0
        for word in words:
            if word in ("a", "an", *number):
                at = number.get(word, 1)
                total += at > 1
            elif word in ("left", "right", "above", "below"):
                total += 1
            elif word not in ("of", "and"):
                total += at * told
        assert total == facts, prompt
        assert parse(prompt).facts == facts


def test_the_facts_of_a_scene_are_those_of_its_prompt():
    assert [s.facts for s in world.sample("dense", 20, facts=7)] == [7] * 20
    assert {s.facts for s in world.sample("dense", 300)} == set(world.DENSE_FACTS)
    assert [s.facts for s in world.sample("single_object", 3)] == [1] * 3


def test_a_scene_depends_on_its_index_alone():
    for task in ("counting", "all", "dense"):
        twenty = world.sample(task, 20, "test", seed=4)
        assert world.sample(task, 5, "test", seed=4, first=9) == twenty[9:14]
        assert world.prompts(task, 20, "test", seed=4) == [scene.prompt for scene in twenty]
        assert world.sample(task, 0) == []
    assert [scene.task for scene in world.sample("all", 16)] == [*world.SHORT_TASKS] * 2
    assert world.sample("all", 16)[9] == world.sample("two_object", 2)[1]
    different = [world.sample("complex", 8, *how) for how in (("train", 0), ("train", 1), ("validation", 0))]
    assert different[0] != different[1] != different[2] != different[0]


@pytest.mark.parametrize("task", world.TASKS)
def test_scenes_are_what_their_prompts_say(task):
    for split in SPLITS:
        for scene in world.sample(task, 60, split, seed=13):
            description = parse(scene.prompt)
            assert true_of(scene.objects, description), scene
            assert len(scene.objects) == sum(g.count for g in description.groups)
            assert describe(description) == scene.prompt
            for i, a in enumerate(scene.objects):
                reach = 1.05 * world.SIZES[a.size]  # of the longest shape, inside the picture
                assert reach < a.x < 64 - reach, scene
                assert reach < a.y < 64 - reach, scene
                assert a.x % world.LATTICE == a.y % world.LATTICE == 0
                for b in scene.objects[:i]:
                    apart = max(abs(a.x - b.x), abs(a.y - b.y))
                    assert apart >= world.SIZES[a.size] + world.SIZES[b.size] + 2, scene


def test_tasks_are_those_of_the_benchmarks():
    said = {task: [parse(p) for p in world.prompts(task, 150, "train")] for task in world.TASKS}
    one = lambda task: [d.groups[0] for d in said[task]]  # noqa: E731
    numbers = {task: {tuple(g.count for g in d.groups) for d in prompts} for task, prompts in said.items()}
    assert numbers["single_object"] == numbers["colors"] == {(1,)}
    assert numbers["two_object"] == numbers["position"] == numbers["color_attr"] == {(1, 1)}
    assert numbers["counting"] == {(2,), (3,), (4,), (5,)}
    assert numbers["texture"] == {(1,), (1, 1)}
    assert numbers["complex"] == {(1, 1), (1, 1, 1)}
    assert all(g.color is g.texture is g.size is None for g in one("single_object"))
    assert all(g.color and not g.texture for g in one("colors"))
    relations = {task: {tuple(r for _, r, _ in d.relations) for d in prompts} for task, prompts in said.items()}
    assert relations["position"] == {(relation,) for relation in world.RELATIONS}
    assert relations["complex"] == {(), *relations["position"]}
    assert {len(r) for r in relations["dense"]} == {0, 1, 2}
    assert {sum(n) for n in numbers["dense"]} == {2, 3, 4, 5}
    assert {max(n) for n in numbers["dense"]} == {1, 2, 3}
    assert all(a.color and b.color and a.shape != b.shape for a, b in (d.groups for d in said["color_attr"]))
    assert {g.texture for g in one("texture")} == {"striped", "dotted"}
    objects = [o for scene in world.sample("all", 800, "train") for o in scene.objects]
    for name, known in (("shape", world.SHAPES), ("color", world.COLORS), ("texture", world.TEXTURES)):
        assert set(Counter(getattr(o, name) for o in objects)) == set(known)
    assert {o.size for o in objects if o.texture != "solid"} == {"large"}  # small ones have no room for it


# ---- splits --------------------------------------------------------------------------------------------------------


def test_held_out_pairings_are_few_and_spread():
    assert Counter(shape for shape, _ in world.HELD_OUT_COLORS) == dict.fromkeys(world.SHAPES, 1)
    assert Counter(color for _, color in world.HELD_OUT_COLORS) == dict.fromkeys(world.COLORS, 1)
    assert Counter(texture for _, texture in world.HELD_OUT_TEXTURES) == {"striped": 2, "dotted": 2}
    assert 0.05 < len(world.HELD_OUT_PLACES) / (2 * 8 * 7) < 0.25


def pairings(scene):
    """What a rule of the splits speaks of: colours and textures that a scene shows, places that its prompt says."""
    description = parse(scene.prompt)
    found = {("color", o.shape, o.color) for o in scene.objects}
    found |= {("texture", o.shape, o.texture) for o in scene.objects if o.texture != "solid"}
    for first, relation, second in description.relations:
        a, b = (description.groups[i].shape for i in (first, second))
        a, b = (a, b) if relation in ("left of", "above") else (b, a)
        found |= {("across" if relation in ("left of", "right of") else "down", a, b)}
    return found


HELD_OUT = {
    *(("color", *pair) for pair in world.HELD_OUT_COLORS),
    *(("texture", *pair) for pair in world.HELD_OUT_TEXTURES),
    *world.HELD_OUT_PLACES,
}
CAN_BE_NOVEL = [task for task in world.TASKS if task not in ("single_object", "two_object")]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_training_shows_no_pairing_and_says_no_place_that_is_held_out(split):
    for seed in (0, 1):
        for scene in world.sample("all", 1600, split, seed) + world.sample("dense", 400, split, seed):
            assert not pairings(scene) & HELD_OUT, scene


def test_held_out_places_are_never_said_but_do_occur():
    met = set()
    for scene in world.sample("all", 2000):
        for a, b in itertools.permutations(scene.objects, 2):
            wide, high = b.x - a.x, b.y - a.y
            met |= {("across", a.shape, b.shape)} if wide > 2 * abs(high) else set()
            met |= {("down", a.shape, b.shape)} if high > 2 * abs(wide) else set()
    assert met > world.HELD_OUT_PLACES, "texts say that such pictures occur"


def test_every_second_test_prompt_says_something_held_out():
    seen = set()
    for task in world.TASKS:
        for i, scene in enumerate(world.sample(task, 300, "test")):
            said = {("color", g.shape, g.color) for g in parse(scene.prompt).groups}
            said |= {("texture", g.shape, g.texture) for g in parse(scene.prompt).groups}
            said |= {p for p in pairings(scene) if p[0] in ("across", "down")}
            novel = i % 2 == 1 and task in CAN_BE_NOVEL
            assert bool(said & HELD_OUT) == novel, scene
            seen |= said & HELD_OUT
            if i % 2 == 0:
                assert not pairings(scene) & HELD_OUT, scene
    assert seen == HELD_OUT, f"never tested: {HELD_OUT - seen}"


def test_rest_of_the_pairings_is_trained():
    seen = set()
    for task in ("colors", "position", "texture", "color_attr"):
        for scene in world.sample(task, 1000, "train"):
            seen |= pairings(scene)
    everything = {("color", s, c) for s in world.SHAPES for c in world.COLORS}
    everything |= {("texture", s, t) for s in world.SHAPES for t in world.TEXTURES[1:]}
    everything |= {(axis, a, b) for axis in ("across", "down") for a in world.SHAPES for b in world.SHAPES if a != b}
    assert seen == everything - HELD_OUT


# ---- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: world.sample("colour", 1), 'unknown task "colour"; did you mean "colors"'),
        (lambda: world.prompts("positions", 1), 'did you mean "position"'),
        (lambda: world.sample(None, 1), 'unknown task "None"'),
        (lambda: world.sample("colors", 1, "tests"), 'unknown split "tests"; did you mean "test"'),
        (lambda: world.sample("colors", -1), "n is a whole number of at least 0; got -1"),
        (lambda: world.sample("colors", 1, first=-2), "first is a whole number of at least 0; got -2"),
        (lambda: world.sample("colors", 1.0), "n is a whole number"),
        (lambda: world.sample("colors", 1, seed=3.0), "seed is a whole number; got 3.0"),
        (lambda: world.sample("colors", 1, seed=True), "seed is a whole number; got True"),
        (lambda: world.sample("colors", 1, seed="0"), "seed is a whole number; got '0'"),
        (lambda: world.prompts("dense", 1, facts=2), 'facts=2 of "dense": only dense prompts .* 3 to 14'),
        (lambda: world.prompts("dense", 1, facts=15), 'facts=15 of "dense": only dense prompts .* 3 to 14'),
        (lambda: world.prompts("complex", 1, facts=7), 'facts=7 of "complex": only dense prompts'),
        (lambda: world.prompts("dense", 1, facts=7.5), "facts is a whole number; got 7.5"),
        (lambda: world.render([], 7), "size is a whole number of at least 8; got 7"),
        (lambda: world.render([], 0), "size is a whole number of at least 8; got 0"),
        (lambda: world.render([], 64.0), "size is a whole number of at least 8; got 64.0"),
        (lambda: world.render([], "64"), "size is a whole number of at least 8; got '64'"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)

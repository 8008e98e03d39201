"""How the verifier that reasons is trained: questions without end about scenes, each with its answer."""

import random
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from .. import world
from ..device import autocast
from ..verifiers import vqa
from ..verifiers.clip import normalize
from ..world.questions import ANSWERS, Question, fits_group
from .recipes import generator, muon_and_adamw, scenes_of
from .verifiers import roughen

WORDS = 96  # of the questions about a picture together: some ten questions
KINDS = ("shape", "color", "texture", "size", "number", "relation")
RELATIONS = 0.5  # the share that is asked about a relation where there is one: it is learned long after the rest


class ReasonerRecipe:
    """Cross-entropy of the answers to random questions about renders, their reconstructions, and samples.

    Half of those about an object have one word changed, often to what is true of another object, so that some half of
    the answers is "no".  `tokenizer` None and `samples` None train on renders alone.  Samples are labelled by what the
    judge finds in them.
    """

    def __init__(self, model, where, seed=0, batch=64, lr=1.5e-3, dense=0.5, tokenizer=None, samples=None):
        self.name, self.model = "vqa" if samples else "vqa-clean", model.to(where)
        self.where, self.seed, self.batch = where, seed, batch
        self.dense, self.tokenizer, self.samples = dense, tokenizer, samples
        matrices = [p for name, p in model.named_parameters() if "layers." in name and p.ndim == 2]
        self.optimizers = muon_and_adamw(matrices, model.parameters(), lr)

    def loss(self, step):
        """The loss of one step and the share of right answers."""
        rng, draws = random.Random(self.seed * 1_000_003 + step), generator(self.seed, step)
        images, objects = self.pictures(step, rng, draws)
        asked = [drawn(of, rng) for of in objects]
        right = [[question.answer(of) for question in row] for row, of in zip(asked, objects)]
        loss, hit = self.score(images, asked, right)
        return loss, {"right": hit.float().mean()}

    @torch.no_grad()  # the tokenizer is given
    def pictures(self, step, rng, draws):
        """The pictures of a step (B, 3, 64, 64), and what stands in each."""
        painted = self.batch // 3 if self.samples else 0
        rendered = self.batch - painted
        several = rendered // 6  # of "counting": else one number word in fourteen asked would be above "one"
        scenes = scenes_of(step, rendered - several, self.seed, round(self.dense * (rendered - several)))
        scenes += world.sample("counting", several, "train", self.seed, first=step * several)
        rng.shuffle(scenes)
        images, objects = world.render(scenes), [scene.objects for scene in scenes]
        if self.tokenizer:
            again = len(scenes) // 2
            images[:again] = self.tokenizer.preview(self.tokenizer.encode(images[:again].to(self.where))).cpu()
        if painted:
            p, g = self.samples.grades.shape
            chosen = [(rng.randrange(p), rng.randrange(g)) for _ in range(painted)]
            tokens = torch.stack([self.samples.tokens[at] for at in chosen]).long().to(self.where)
            lengths = [n * n for n in self.tokenizer.scales]
            images = torch.cat([images, self.tokenizer.preview(list(tokens.split(lengths, 1))).cpu()])
            objects = objects + [self.samples.things(*at) for at in chosen]
        return roughen(images, draws).to(self.where), objects

    def score(self, images, asked, right):
        """The mean cross-entropy of the right answers, and which would be given, (Q,) bool."""
        wanted = torch.tensor([ANSWERS.index(answer) for of in right for answer in of], device=self.where)
        # As for CLIP: on a CPU written-out attention trains faster at this size than the fused kernel.
        math_attention = sdpa_kernel(SDPBackend.MATH) if self.where.type == "cpu" else nullcontext()
        with math_attention, autocast(self.where):
            said = vqa.answers(self.model, normalize(images), asked)
        return F.nll_loss(said, wanted), said.argmax(1) == wanted

    @torch.no_grad()
    def evaluate(self):
        """On 256 short and 256 dense validation scenes: the share of questions answered right, by kind."""
        rng, rows = random.Random(0), {kind: [] for kind in KINDS}
        scenes = world.sample("all", 256, "validation") + world.sample("dense", 256, "validation")
        for first in range(0, len(scenes), 64):
            part = scenes[first : first + 64]
            asked = [drawn(scene.objects, rng) for scene in part]
            right = [[q.answer(scene.objects) for q in of] for of, scene in zip(asked, part)]
            _, hits = self.score(world.render(part).to(self.where), asked, right)
            for question, hit in zip([q for of in asked for q in of], hits.tolist()):
                rows[question.kind].append(hit)
        share = {kind: round(sum(hits) / len(hits), 4) for kind, hits in rows.items()}
        return share | {"all": round(sum(map(sum, rows.values())) / sum(map(len, rows.values())), 4)}


# ---- questions -----------------------------------------------------------------------------------------------------


def drawn(objects, rng) -> list[Question]:
    """Random questions about a scene, together of at most `WORDS` words."""
    asked, left = [], WORDS
    known = [o for o in objects if o.shape]
    while True:
        question = draw(known, rng)
        left -= len(question.text.replace(",", " ,").split())
        if left < 0:
            return asked
        asked.append(question)


def draw(objects, rng) -> Question:
    """One random question about objects of clear shapes, perhaps none."""
    if rng.random() < RELATIONS and len({o.shape for o in objects}) > 1:
        return relation(objects, rng)
    kind = KINDS[rng.randrange(len(KINDS) - 1)]
    if kind == "number":
        several = [o for o in objects if sum(other.shape == o.shape for other in objects) > 1]
        about = group(several or objects, rng, chance=0.15)  # what is said of few objects has rarely a high number
        about = changed(about, rng) if rng.random() < 0.3 else about
        return Question("number", world.Description((about,)))
    about = group(objects, rng, kind)
    return Question(kind, world.Description((changed(about, rng, objects) if rng.random() < 0.5 else about,)))


def group(objects, rng, kind="shape", chance=0.35) -> world.Group:
    """What could be said of one of the objects, its `kind` for sure, the rest by chance; of any shape without one."""
    if not objects:
        return world.Group(1, rng.choice(world.SHAPES))
    o = rng.choice(objects)
    said = {name: getattr(o, name) for name in ("color", "texture", "size") if name == kind or rng.random() < chance}
    return world.Group(1, o.shape, **said)


def changed(about: world.Group, rng, objects=()) -> world.Group:
    """One word of what is said changed, half of the time to what is true of another object."""
    said = [name for name in ("shape", "color", "texture", "size") if getattr(about, name)]
    name = rng.choice(said)
    words = {"shape": world.SHAPES, "color": tuple(world.COLORS), "texture": world.TEXTURES, "size": tuple(world.SIZES)}
    others = [getattr(o, name) for o in objects if getattr(o, name) != getattr(about, name)]
    if not others or rng.random() < 0.5:
        others = [word for word in words[name] if word != getattr(about, name)]
    return replace(about, **{name: rng.choice(others)})


def relation(objects, rng) -> Question:
    """Whether one group stands so to another of another shape: as it is, the other way round, or at random."""
    first, second = rng.sample(sorted({o.shape for o in objects}), 2)
    chance, pair = rng.choice((0, 0.35, 1)), []  # the barest and the fullest as well
    for shape in (first, second):
        alike = [o for o in objects if o.shape == shape]
        about = group(alike, rng, chance=chance)
        fits = sum(fits_group(about, o) for o in alike)
        pair.append(replace(about, count=fits) if 1 < fits < 6 and rng.random() < 0.7 else about)
    ways = [world.Description(tuple(pair), ((0, way, 1),)) for way in world.RELATIONS]
    true = [way for way in ways if Question("relation", way).answer(objects) == "yes"]
    return Question("relation", rng.choice(true if true and rng.random() < 0.5 else ways))

"""A CLIP small enough to train in ten minutes: open_clip's own model, with our sizes, our vocabulary and two recipes.

- `clip`, as CLIP was trained (Radford et al. 2021, arXiv 2103.00020): tell the batch's prompts apart for each picture,
  and its pictures for each prompt.  Prompts of a batch differ in many words, so knowing a few of them is enough.
- `clip-hard`: each picture also has to reject prompts that differ from its own in one word, or in two words swapped,
  and are false (NegCLIP, Yuksekgonul et al. 2023, arXiv 2210.01936): colours must belong to their shapes now.

The picture's tower is a vision transformer on 8 x 8 patches, fixed 2-D sines for positions and the mean of the patches
as its output, which learns faster than a class token (Beyer et al. 2022, arXiv 2205.01580) and does not forget counts.
"""

import gzip
import math
import random
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from . import torchvision_repair, world
from .device import autocast
from .judging import stands
from .paths import data_folder
from .recipes import generator

NAME = "vartut-clip"  # open_clip's name for the model that data/clip/vartut-clip.json describes
SETTINGS = {"open_clip": NAME}
MEAN, STD = world.GROUND, (0.35, 0.35, 0.35)  # empty ground is zero: the tower's first layer has no bias
KINDS = ("color", "shape", "texture", "size", "number", "relation", "swap")


# ---- model ---------------------------------------------------------------------------------------------------------


def open_clip():
    """The package open_clip, with our model among those that it knows."""
    torchvision_repair.repair()
    import open_clip as package

    if NAME not in package.list_models():
        package.add_model_config(data_folder() / "clip" / f"{NAME}.json")
    return package


def build():
    """The model, freshly initialised from torch's seed."""
    package = open_clip()
    return package.CLIP(**package.get_model_config(NAME))


def read(weights: Path):
    """The model with these weights, in float32, by open_clip's own loader; and its preprocessing of PIL pictures."""
    package = open_clip()
    model, _, preprocess = package.create_model_and_transforms(NAME, str(weights), image_mean=MEAN, image_std=STD)
    return model.eval(), preprocess


def tokenizer():
    """open_clip's tokenizer with our byte pair merges: every word of the world is one token."""
    return open_clip().get_tokenizer(NAME, bpe_path=str(data_folder() / "clip" / "merges.txt.gz"))


def merges(vocabulary=world.WORDS[1:]) -> list[tuple[str, str]]:
    """Byte pair merges, most frequent pair first, until every word of the vocabulary is one token."""
    spelled = [[*word[:-1], word[-1] + "</w>"] for word in vocabulary]
    learned = []
    while any(len(parts) > 1 for parts in spelled):
        pairs = Counter(pair for parts in spelled for pair in pairwise(parts))
        a, b = max(sorted(pairs), key=pairs.get)
        learned.append((a, b))
        for parts in spelled:
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == (a, b):
                    parts[i : i + 2] = [a + b]
                i += 1
    return learned


def write_merges(path: Path) -> None:
    """Write the merges in the form that open_clip's tokenizer reads; the same bytes every time."""
    text = "\n".join(["#version: vartut", *(" ".join(pair) for pair in merges())])
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def normalize(images: torch.Tensor) -> torch.Tensor:
    """Pictures (B, 3, H, W) in [0, 1] as the tower wants them."""
    mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (images - mean) / std


def text_features(model, ids: torch.Tensor) -> torch.Tensor:
    """What `model.encode_text(ids, normalize=True)` gives, (T, E), with little of the padding computed.

    The text tower is causal and read at the last token, so what follows it is never seen; rows are sorted by length
    and encoded in four groups, each as long as its longest.
    """
    ends = ids.argmax(-1)  # the end token has the largest id
    order = ends.argsort()
    features = []
    for rows in order.chunk(4):
        n = int(ends[rows].max()) + 1
        x = model.token_embedding(ids[rows, :n]) + model.positional_embedding[:n]  # (t, n, width)
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:n, :n]))
        features.append(x[torch.arange(len(rows), device=x.device), ends[rows]] @ model.text_projection)
    return F.normalize(torch.cat(features)[order.argsort()].float(), dim=-1)


# ---- hard negatives ------------------------------------------------------------------------------------------------


def one_word_changes(description: world.Description) -> dict[str, list[world.Description]]:
    """Every description that differs in one word, or in two of a kind swapped between groups, by kind of change."""
    groups, relation = description.groups, description.relation
    changes = {kind: [] for kind in KINDS}

    def change(kind, new: dict):
        changed = tuple(new.get(i, group) for i, group in enumerate(groups))
        changes[kind].append(world.Description(changed, relation))

    shapes, total = {group.shape for group in groups}, sum(group.count for group in groups)
    for i, group in enumerate(groups):
        for kind, known in (("color", world.COLORS), ("texture", world.TEXTURES), ("size", world.SIZES)):
            said = getattr(group, kind)
            for word in known if said else ():
                if word != said:
                    change(kind, {i: replace(group, **{kind: word})})
        for shape in world.SHAPES:
            if shape not in shapes:
                change("shape", {i: replace(group, shape=shape)})
        for count in world.NUMBERS.values() if group.count > 1 else ():
            if count != group.count and total - group.count + count <= 5:
                change("number", {i: replace(group, count=count)})
        for j, other in enumerate(groups[:i]):
            for kind in ("color", "texture", "size", "shape"):
                mine, its = getattr(group, kind), getattr(other, kind)
                if mine != its:
                    change("swap", {i: replace(group, **{kind: its}), j: replace(other, **{kind: mine})})
    for other in world.RELATIONS if relation else ():
        if other != relation:
            changes["relation"].append(world.Description(groups, other))
    return changes


def holds(description: world.Description, objects) -> bool:
    """Whether a description is true of a scene's objects, by GenEval's rules as `vartut.judge` has them.

    For descriptions whose groups are of different shapes, as all tasks draw them: no object can fill two roles then.
    """
    filled = []
    for g in description.groups:
        said = [(name, value) for name in ("color", "texture", "size") if (value := getattr(g, name))]
        fits = [o for o in objects if o.shape == g.shape and all(getattr(o, name) == value for name, value in said)]
        if len(fits) < g.count or len(fits) > g.count > 1:
            return False
        filled.append(fits)
    relation = description.relation
    return relation is None or any(stands(a, b, relation) for a in filled[0] for b in filled[1])


def false_prompts(scene: world.Scene, rng: random.Random) -> dict[str, list[str]]:
    """The false ones of a scene's one-word changes, in random order, by kind; kinds without any are left out."""
    found = {}
    for kind, changed in one_word_changes(world.parse(scene.prompt)).items():
        false = [world.describe(d) for d in changed if not holds(d, scene.objects)]
        rng.shuffle(false)
        if false:
            found[kind] = false
    return found


def hard_negatives(scene: world.Scene, n: int, rng: random.Random) -> list[str]:
    """n false one-word changes of a scene's prompt, of its kinds of change in turn; every prompt has 7."""
    left = list(false_prompts(scene, rng).values())
    rng.shuffle(left)
    chosen = []
    while len(chosen) < n:
        chosen += [false.pop() for false in left if false]
    return chosen[:n]


# ---- recipe --------------------------------------------------------------------------------------------------------


class ClipRecipe:
    """Symmetric cross-entropy over the pictures and prompts of a batch (InfoNCE), the temperature learned.

    A prompt that several pictures share counts once: each of these pictures is right for it.  `hard` adds `negatives`
    false one-word changes of its own prompt to what each picture chooses from.  Pictures are blurred and made noisy by
    random amounts, since those to be scored come from a model.  Matrices inside the layers are trained by Muon, the
    rest by AdamW.
    """

    def __init__(self, hard, where, seed=0, batch=128, negatives=5, lr=2e-3, model=None):
        self.name = "clip-hard" if hard else "clip"
        if not 0 < negatives <= 7:
            raise ValueError(f"negatives={negatives}: a prompt has 1 to 7 false one-word changes for sure")
        self.where, self.seed, self.batch, self.negatives = where, seed, batch, negatives if hard else 0
        self.model = (build() if model is None else model).to(where)
        words = tokenizer()
        self.ids = {word: words.encode(word)[0] for word in world.WORDS[1:]}
        self.start, self.end, self.length = words.sot_token_id, words.eot_token_id, words.context_length
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        matrices = [p for name, p in trained if "resblocks" in name and p.ndim == 2]
        inside = {id(p) for p in matrices}
        rest = [p for _, p in trained if id(p) not in inside]
        self.optimizers = [
            torch.optim.Muon(matrices, lr=lr, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.95), weight_decay=0.0),
        ]

    def token_ids(self, prompts) -> torch.Tensor:
        """What `tokenizer()(prompts)` gives, (T, 18), without its slow clean-up of stray text."""
        rows = [[self.start, *(self.ids[word] for word in world.words(prompt)), self.end] for prompt in prompts]
        return torch.tensor([row + [0] * (self.length - len(row)) for row in rows], device=self.where)

    def features(self, images, prompts):
        """Normalised features of pictures, (B, E), and of prompts, (T, E), in float32."""
        # Written-out attention is 1.5 to 2 times faster to train on a CPU at this size than the fused kernel.
        math_attention = sdpa_kernel(SDPBackend.MATH) if self.where.type == "cpu" else nullcontext()
        with math_attention, autocast(self.where):
            seen = self.model.encode_image(normalize(images)).float()
            return F.normalize(seen, dim=-1), text_features(self.model, self.token_ids(prompts))

    def loss(self, step):
        """The loss of one step, the share of pictures that find their prompt, and the inverse temperature."""
        scenes = world.sample("all", self.batch, "train", self.seed, first=step * self.batch)
        images = roughen(world.render(scenes), generator(self.seed, step)).to(self.where)
        rng = random.Random(self.seed * 1_000_003 + step)
        false = [text for scene in scenes for text in hard_negatives(scene, self.negatives, rng)]  # B * negatives
        place = {}
        for text in [scene.prompt for scene in scenes] + false:
            place.setdefault(text, len(place))  # every text is encoded once; the true ones come first
        own = torch.tensor([place[scene.prompt] for scene in scenes], device=self.where)
        true = int(own.max()) + 1
        seen, said = self.features(images, list(place))

        scale = self.model.logit_scale.clamp(max=math.log(100)).exp()
        logits = scale * seen @ said[:true].T  # (B, true)
        shared = F.one_hot(own, true).float().T  # (true, B): the pictures that a prompt is right for
        of_pictures = F.cross_entropy(logits.T, shared / shared.sum(1, keepdim=True))
        if self.negatives:
            wrong = torch.tensor([place[text] for text in false], device=self.where).view(self.batch, -1)
            wrong = said[wrong]  # (B, negatives, E)
            logits = torch.cat([logits, scale * torch.einsum("be,bne->bn", seen, wrong)], 1)
        of_prompts = F.cross_entropy(logits, own)
        found = (logits.argmax(1) == own).float().mean()
        return (of_pictures + of_prompts) / 2, {"found": found, "scale": scale.detach()}

    @torch.no_grad()
    def evaluate(self):
        """On 512 validation pictures: how often the true prompt beats one false one, per kind of change.

        `all` is the share of pictures whose prompt beats one of every kind that it has; `retrieval` the share that
        finds its own among the prompts of 128 pictures.
        """
        scenes, rng = world.sample("all", 512, "validation"), random.Random(0)
        wins, everything, found = {kind: [] for kind in KINDS}, [], []
        for first in range(0, len(scenes), 128):
            part = scenes[first : first + 128]
            prompts = list(dict.fromkeys(scene.prompt for scene in part))
            false = [[(kind, texts[0]) for kind, texts in false_prompts(scene, rng).items()] for scene in part]
            texts = [text for row in false for _, text in row]
            seen, said = self.features(world.render(part).to(self.where), prompts + texts)
            true = seen @ said[: len(prompts)].T  # (128, prompts)
            own = torch.tensor([prompts.index(scene.prompt) for scene in part], device=self.where)
            found += (true.argmax(1) == own).tolist()
            wrong = iter(said[len(prompts) :])
            for row, (changes, image) in enumerate(zip(false, seen)):
                won = {kind: bool(true[row, own[row]] > image @ next(wrong)) for kind, _ in changes}
                everything.append(all(won.values()))
                for kind, win in won.items():
                    wins[kind].append(win)
        share = {kind: round(sum(won) / len(won), 3) for kind, won in wins.items()}
        return share | {name: round(sum(v) / len(v), 3) for name, v in (("all", everything), ("retrieval", found))}


def roughen(images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    """Mix each picture with its 3 x 3 mean by a random share, and add white noise of standard deviation up to .04."""
    blur, noise = (torch.rand(len(images), 1, 1, 1, generator=draws) for _ in range(2))
    smooth = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    return torch.lerp(images, smooth, blur) + 0.04 * noise * torch.randn(images.shape, generator=draws)

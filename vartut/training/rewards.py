"""How the reward model learns from the judge's ranking of samples, and the aesthetic head from spoiled pictures."""

import random

import torch
from torch.nn import functional as F

from .. import world
from ..device import autocast
from ..verifiers.clip import normalize
from ..world import COLORS, GROUND, token_ids
from .recipes import generator, muon_and_adamw
from .samples import Samples
from .verifiers import roughen

GROUP = 8  # pictures of a prompt that are compared


class RewardRecipe:
    """Of two pictures of a prompt the one with the higher grade shall have the higher reward: -log sigmoid(r - r').

    The last sixteenth of the prompts is kept for `evaluate`.
    """

    def __init__(self, model, tokenizer, samples: Samples, where, seed=0, batch=128, lr=1.5e-3):
        self.name, self.model, self.tokenizer = "reward", model.to(where), tokenizer
        self.samples, self.where, self.seed, self.batch = samples, where, seed, batch
        self.told = len(samples.prompts) - len(samples.prompts) // 16  # prompts to learn from
        ranked = (samples.grades.amax(1) > samples.grades.amin(1)).tolist()
        self.mixed = [p for p in range(self.told) if ranked[p]]  # prompts with something to rank
        matrices = [p for p in model.layers.parameters() if p.ndim == 2]
        self.optimizers = muon_and_adamw(matrices, model.parameters(), lr)

    def loss(self, step):
        """The loss of one step, and the share of pairs in the right order."""
        rng = random.Random(self.seed * 1_000_003 + step)
        chosen = [rng.choice(self.mixed) for _ in range(self.batch // GROUP)]
        members = [rng.sample(range(self.samples.grades.shape[1]), GROUP) for _ in chosen]
        return self.compared(chosen, members, generator(self.seed, step))

    def compared(self, chosen, members, draws=None):
        """The loss over all pairs of different grades within each prompt's pictures, and the share in order."""
        rows = torch.tensor(chosen)[:, None].expand(-1, len(members[0])), torch.tensor(members)  # (P, GROUP) each
        tokens = self.samples.tokens[rows].long().flatten(0, 1).to(self.where)
        with torch.no_grad():  # the tokenizer is given
            images = self.tokenizer.preview(list(tokens.split([n * n for n in self.tokenizer.scales], 1)))
        images = images if draws is None else roughen(images.cpu(), draws).to(self.where)
        ids = token_ids([self.samples.prompts[p] for p in chosen]).repeat_interleave(len(members[0]), 0)
        with autocast(self.where):
            reward = self.model(normalize(images), ids.to(self.where)).float().view(len(chosen), -1)
        grades = self.samples.grades[rows].to(self.where)
        better = grades[:, :, None] > grades[:, None] + 1e-6  # (P, GROUP, GROUP)
        apart = (reward[:, :, None] - reward[:, None])[better]
        if not len(apart):  # nothing to rank
            return reward.sum() * 0, {"in_order": torch.ones(())}
        return F.softplus(-apart).mean(), {"in_order": (apart > 0).float().mean()}

    @torch.no_grad()
    def evaluate(self):
        """Over prompts kept apart: the share of pairs of different grades in the right order."""
        shares, every = [], list(range(self.samples.grades.shape[1]))
        for p in range(self.told, len(self.samples.prompts)):
            loss, found = self.compared([p], [every])
            if float(loss):
                shares.append(float(found["in_order"]))
        return {"in_order": round(sum(shares) / max(1, len(shares)), 4)}


class AestheticRecipe:
    """Logistic regression on CLIP's features: clean renders against pictures that are torn, blurred or off-palette."""

    def __init__(self, head, clip, where, seed=0, batch=128, lr=2e-3):
        if batch < 2 or batch % 2:
            raise ValueError(f"batch is {batch}, and half of it is clean, half spoiled: take an even number from 2")
        self.name, self.model, self.clip = "aesthetic", head.to(where), clip
        self.where, self.seed, self.batch = where, seed, batch
        self.optimizers = [torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=1e-3)]

    def loss(self, step):
        """The loss of one step and the share of right answers."""
        half = self.batch // 2
        scenes = world.sample("all", half // 2, "train", self.seed, first=step * (half // 2))
        scenes += world.sample("dense", half - half // 2, "train", self.seed, first=step * half)
        return self.told_apart(world.render(scenes), generator(self.seed, step))

    def told_apart(self, clean, draws):
        """The loss on clean pictures (B, 3, 64, 64) and as many spoiled ones, and the share of right answers."""
        images = torch.cat([clean, spoiled(clean, draws)]).to(self.where)
        said = self.model(self.clip.see(images).detach().clone())[:, 0]
        true = torch.arange(len(images), device=self.where) < len(clean)
        loss = F.binary_cross_entropy_with_logits(said, true.float())
        return loss, {"right": ((said > 0) == true).float().mean()}

    @torch.no_grad()
    def evaluate(self):
        """The share of right answers on 256 clean validation pictures and as many spoiled ones."""
        scenes = world.sample("all", 128, "validation") + world.sample("dense", 128, "validation")
        _, found = self.told_apart(world.render(scenes), generator(0, 0))
        return {"right": round(float(found["right"]), 4)}


def spoiled(images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    """Each picture (B, 3, 64, 64) torn, blurred or with colours that no palette has, a third of them each."""
    kinds = torch.randint(3, (len(images),), generator=draws).tolist()
    ways = (torn, blurred, off_palette)
    return torch.cat([ways[kind](image[None], draws) for kind, image in zip(kinds, images)])


def torn(images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    """One picture, (1, 3, 64, 64): below a line through an object the rows moved sideways by 3 to 8 pixels; or columns.

    A line between the objects would move some of them, and leave a clean picture.
    """
    way, by = (int(torch.randint(low, high, (), generator=draws)) for low, high in ((0, 2), (3, 9)))
    rows = images.transpose(2, 3) if way else images
    object_ = stands_out(rows)[0, 0] > 0.5  # (64, 64)
    crossed = (object_[1:] & object_[:-1]).sum(1)  # (63,): how wide an object is at each line
    lines = (crossed >= max(1, min(6, int(crossed.max())))).nonzero()[:, 0]
    at = 1 + int(lines[torch.randint(len(lines), (), generator=draws)]) if len(lines) else 32
    out = torch.cat([rows[:, :, :at], rows[:, :, at:].roll(by, 3)], 2)
    return out.transpose(2, 3) if way else out


def stands_out(images: torch.Tensor) -> torch.Tensor:
    """How far each pixel is from the ground, (B, 1, H, W), 1 for what is clearly no ground."""
    ground = images.new_tensor(GROUND).view(1, 3, 1, 1)
    return ((images - ground).abs().amax(1, keepdim=True) / 0.3).clamp(0, 1)


def blurred(images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    """The mean over 5 x 5 or 7 x 7 pixels."""
    side = 5 + 2 * int(torch.randint(2, (), generator=draws))
    padded = F.pad(images, [side // 2] * 4, mode="replicate")
    return F.avg_pool2d(padded, side, 1)


def off_palette(images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    """What stands out from the ground, half-way between its own colour and another of the palette's."""
    other = images.new_tensor([*COLORS.values()])[int(torch.randint(len(COLORS), (), generator=draws))]
    return torch.lerp(images, (images + other.view(1, 3, 1, 1)) / 2, stands_out(images))

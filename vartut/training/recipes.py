"""A recipe per model: its data, its loss, its optimizers and its evaluation.  `loop.py` runs them."""

from dataclasses import replace

import torch
from torch.nn import functional as F

from .. import world
from ..device import autocast


def generator(seed: int, step: int) -> torch.Generator:
    """The random stream of one training step: a function of seed and step, so that runs resume exactly."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)


def muon_and_adamw(matrices, parameters, lr: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside the layers, AdamW for the rest of the parameters."""
    inside = {id(p) for p in matrices}
    rest = [p for p in parameters if id(p) not in inside]
    return [
        torch.optim.Muon(matrices, lr=lr, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def scenes_of(step: int, batch: int, seed: int, dense: int = 0) -> list[world.Scene]:
    """The training batch of a step: fresh scenes, the last `dense` of the task "dense", the others of short tasks."""
    scenes = world.sample("all", batch - dense, "train", seed, first=step * (batch - dense))
    return scenes + world.sample("dense", dense, "train", seed, first=step * dense)


def pictures(step: int, batch: int, seed: int, where, dense: int = 0) -> tuple[torch.Tensor, list[str]]:
    """The scenes of a step as pictures, (B, 3, 64, 64) in [0, 1], and their prompts."""
    scenes = scenes_of(step, batch, seed, dense)
    return world.render(scenes).to(where), [scene.prompt for scene in scenes]


def any_texture(scenes: list[world.Scene], draws: torch.Generator) -> list[world.Scene]:
    """The scenes with the texture of every textured object drawn anew, whatever its shape.

    For a tokenizer, which reads no prompts: textures that prompts never pair with a shape in training it can spell all
    the same.  Else its failures would be taken for those of the model that composes.
    """
    textures = [texture for texture in world.TEXTURES if texture != "solid"]

    def drawn(thing):
        texture = textures[int(torch.randint(len(textures), (), generator=draws))]
        return thing if thing.texture == "solid" else replace(thing, texture=texture)

    return [replace(scene, objects=tuple(drawn(thing) for thing in scene.objects)) for scene in scenes]


OBJECTS = 5  # weight of a pixel of an object: most of a picture is ground, and an empty one would do well
SEEN = 0.05  # how far from the ground's colour, in some channel, a pixel is an object's
ABSOLUTE = 0.1  # of the absolute error beside the squared one, which alone leaves edges soft
COMMITMENT = 0.1  # pulls f to the codes: the encoder must not run away from them
GROWTH = 0.1  # trains phi to grow codes to what was left
UNDECIDED = 0.05  # keeps every bit undecided over the batch, or bits die


class TokenizerRecipe:
    """Autoencoding with a squared error that counts the objects' pixels five-fold: most of a picture is ground."""

    def __init__(self, model, where, seed=0, batch=64, lr=1.5e-3, dense=0.0):
        self.name = "tokenizer-bits" if model.bitwise else "tokenizer"
        self.model, self.where, self.seed, self.batch = model.to(where), where, seed, batch
        self.dense = round(dense * batch)  # scenes of a batch
        self.optimizers = [torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.01)]

    def loss(self, step):
        """The loss of one step and what to log of it."""
        model, draws = self.model, generator(self.seed, step)
        scenes = any_texture(scenes_of(step, self.batch, self.seed, self.dense), draws)
        images = world.render(scenes).to(self.where)
        with autocast(self.where):
            f = model.encoder(2 * images - 1)
        f = f.float()
        tokens, sums, vectors = model.quantize(f)
        if not model.bitwise:
            model.quantizer.learn(
                torch.cat([v.flatten(0, 1) for v in vectors]).detach(), torch.cat([t.flatten() for t in tokens]), draws
            )
        stack = torch.stack(sums)  # (K, B, C, 8, 8)
        output, whole = self.reconstruct(f, stack, draws)

        ground = images.new_tensor(world.GROUND).view(1, 3, 1, 1)
        weight = 1 + (OBJECTS - 1) * ((images - ground).abs().amax(1, keepdim=True) > SEEN)  # (B, 1, 64, 64)
        error = weight * ((output - images).square() + ABSOLUTE * (output - images).abs())
        commitment = (f - stack.detach()).square().mean()
        growth = (stack - f.detach()).square().mean()
        loss = error.mean() + COMMITMENT * commitment + GROWTH * growth
        if model.bitwise:
            soft = torch.cat([torch.tanh(4 * F.normalize(v, dim=-1)).flatten(0, 1) for v in vectors])  # (tokens, bits)
            loss = loss + UNDECIDED * soft.mean(0).square().mean()
        return loss, {"error": (output - images)[whole].square().mean(), "growth": growth}

    def reconstruct(self, f, stack, draws):
        """Pictures (B, 3, 64, 64) in about [0, 1] from the sums (K, B, C, 8, 8), and which are of all scales, (B,).

        The quantizer has no gradient: the decoder's goes straight through to f (straight-through estimator).  Every
        eighth picture is decoded from a prefix of the scales, so that previews are pictures too.
        """
        last = torch.full((len(f),), len(stack) - 1)
        last[::8] = torch.randint(len(stack), last[::8].shape, generator=draws)
        chosen = stack[last, torch.arange(len(f))]
        through = f + (chosen - f).detach()
        with autocast(self.where):
            output = self.model.decoder(through)
        return output.float() * 0.5 + 0.5, last == len(stack) - 1

    @torch.no_grad()
    def evaluate(self):
        """Squared error and code usage per scale on validation pictures."""
        images = world.render(world.sample("all", 512, "validation")).to(self.where)
        tokens = self.model.encode(images)
        error = (self.model.preview(tokens) - images).square().mean().item()
        return {"error": round(error, 5), "usage": [round(u, 3) for u in usage(self.model, tokens)]}


def usage(tokenizer, tokens) -> list[float]:
    """How many codes are in use per scale: the perplexity of the code counts over the number of codes, in (0, 1].

    For bits, the mean entropy of a bit over its position in the code, in bits.
    """
    shares = []
    for t in tokens:
        if tokenizer.bitwise:
            p = t.flatten(0, 1).float().mean(0).clamp(1e-6, 1 - 1e-6)  # (d,)
            shares.append(float(-(p * p.log2() + (1 - p) * (1 - p).log2()).mean()))
        else:
            p = torch.bincount(t.flatten(), minlength=tokenizer.quantizer.codes).float()
            p = p / p.sum()
            shares.append(float(torch.exp(-(p * p.clamp(min=1e-12).log()).sum()) / tokenizer.quantizer.codes))
    return shares


def self_correcting_pairs(tokenizer, f, share, draws):
    """What the transformer reads and must predict, with a share of its own past spoiled.

    At each scale, every token (or bit) is replaced with probability `share` (B,) by the one another
    picture of the batch has there; the sum goes on with the spoiled token, and the targets of later
    scales are quantized anew from what is then left: they repair the damage.  A sampler's slips are
    met in training (Infinity, arXiv 2412.04431, section 3.4, where bits are flipped).  Returns
    inputs, K - 1 tensors (B, n_k^2, C), and targets, K tensors of tokens.
    """
    latent, inputs, targets, rows = torch.zeros_like(f), [], [], len(f)
    for k in range(len(tokenizer.scales)):
        if k > 0:
            inputs.append(tokenizer.shrink(latent, k))
        target = tokenizer.quantizer(tokenizer.shrink(f - latent, k))
        other = target[torch.randperm(rows, generator=draws).to(f.device)]
        chance = share.view(-1, *[1] * (target.ndim - 1))
        spoiled = (torch.rand(target.shape, generator=draws) < chance).to(f.device)
        latent = tokenizer.add(latent, torch.where(spoiled, other, target), k)
        targets.append(target)
    return inputs, targets


class TransformerRecipe:
    """Next-scale prediction by cross-entropy, all scales in one block-causal pass.

    A tenth of the prompts is dropped, for classifier-free guidance; half of the pictures have up to 20 % of their
    tokens spoiled.  Matrices inside the layers are trained by Muon (Jordan et al. 2024), the rest by AdamW.
    """

    def __init__(self, model, tokenizer, where, seed=0, batch=64, lr=2e-3, spoil=0.2, dense=0.0):
        self.name = "transformer"
        self.model, self.tokenizer = model.to(where), tokenizer.to(where).eval().requires_grad_(False)
        self.where, self.seed, self.batch, self.spoil = where, seed, batch, spoil
        self.dense = round(dense * batch)  # scenes of a batch
        matrices = [p for p in model.layers.parameters() if p.ndim == 2]
        self.optimizers = muon_and_adamw(matrices, model.parameters(), lr)

    def loss(self, step):
        """Cross-entropy per token in nats, and the same per scale."""
        draws = generator(self.seed, step)
        images, prompts = pictures(step, self.batch, self.seed, self.where, self.dense)
        dropped = torch.rand(self.batch, generator=draws) < 0.1
        prompts = ["" if drop else prompt for prompt, drop in zip(prompts, dropped.tolist())]
        share = self.spoil * torch.rand(self.batch, generator=draws) * (torch.rand(self.batch, generator=draws) < 0.5)
        return self._cross_entropy(images, prompts, share, draws)

    def _cross_entropy(self, images, prompts, share, draws):
        with autocast(self.where):
            f = self.tokenizer.encoder(2 * images - 1).float()  # the tokenizer's weights are frozen
        with torch.no_grad():
            inputs, targets = self_correcting_pairs(self.tokenizer, f, share, draws)
        with autocast(self.where):
            logits = self.model(world.token_ids(prompts).to(self.where), inputs)
        target = torch.cat(targets, 1)  # (B, 130) or (B, 130, bits)
        loss = F.cross_entropy(logits.float().flatten(0, -2), target.flatten(), reduction="none").view(target.shape)
        sizes = [t.shape[1] for t in targets]
        per_scale = {f"scale{k}": part.mean() for k, part in enumerate(loss.detach().split(sizes, 1))}
        return loss.mean(), per_scale

    @torch.no_grad()
    def evaluate(self):
        """Cross-entropy per token on 256 validation pictures, nothing spoiled or dropped."""
        scenes = world.sample("all", 256, "validation")
        images = world.render(scenes).to(self.where)
        loss, scales = self._cross_entropy(images, [s.prompt for s in scenes], torch.zeros(256), generator(0, 0))
        return {"loss": round(loss.item(), 4)} | {k: round(v.item(), 3) for k, v in scales.items()}

"""How the diffusion twin is trained: velocities between latents and noise, on the next-scale models' own pictures."""

import torch
from torch.nn import functional as F

from .. import world
from ..device import autocast
from .recipes import generator, muon_and_adamw, pictures, scenes_of

NORMED = 1024  # training pictures whose latents say mean and deviation of each channel
DROPPED = 0.1  # share of prompts that are withheld, for guidance


class FlowRecipe:
    """Squared error of the velocity at random times, `draws` of time and noise for each picture.

    The pictures of a step are those that a next-scale model of the same seed sees in it.  Times are logit-normal
    (Esser et al. 2024, arXiv 2403.03206): most of them in the middle, where the prompt decides most.  What is kept is a
    running mean of the weights.
    """

    def __init__(self, model, tokenizer, where, seed=0, batch=64, lr=4e-3, dense=0.0, draws=4):
        self.name = "flow"
        self.model, self.tokenizer = model.to(where), tokenizer.to(where).eval().requires_grad_(False)
        self.where, self.seed, self.batch, self.draws = where, seed, batch, draws
        self.dense = round(dense * batch)  # scenes of a batch
        matrices = [p for p in model.layers.parameters() if p.ndim == 2 and min(p.shape) > 6]  # without the offsets
        self.average = Average(model.parameters())
        self.optimizers = [*muon_and_adamw(matrices, model.parameters(), lr), self.average]
        if not model.mean.any():
            self.measure()

    @torch.no_grad()
    def measure(self):
        """Mean and standard deviation of each channel of the latents."""
        scenes = scenes_of(0, NORMED, self.seed, NORMED * self.dense // self.batch)
        latents = self.latents(world.render(scenes).to(self.where))
        self.model.mean.copy_(latents.mean((0, 2, 3))[:, None, None])
        self.model.std.copy_(latents.std((0, 2, 3))[:, None, None])

    @torch.no_grad()
    def latents(self, images):
        """What the decoder takes, (B, C, 8, 8): the sum of all scales."""
        return self.tokenizer.latent(self.tokenizer.encode(images))

    def loss(self, step):
        """The mean squared error of the velocity, and the same for early, middle and late times."""
        draws = generator(self.seed, step)
        images, prompts = pictures(step, self.batch, self.seed, self.where, self.dense)
        dropped = torch.rand(self.batch, generator=draws) < DROPPED
        prompts = ["" if drop else prompt for prompt, drop in zip(prompts, dropped.tolist())]
        t = torch.randn(self.draws * self.batch, generator=draws).sigmoid()
        return self.squared_error(images, prompts, t, draws)

    def squared_error(self, images, prompts, t, draws):
        """The loss of pictures (B, 3, 64, 64) with their prompts at times t (D B,), and it by thirds of time."""
        x = self.model.normalize(self.latents(images)).repeat(self.draws, 1, 1, 1)  # (D B, C, 8, 8)
        noise = torch.randn(x.shape, generator=draws).to(x)
        at = t.to(x)[:, None, None, None]
        with autocast(self.where):
            text = self.model.encode_text(world.token_ids(prompts).to(self.where)).repeat(1, 1, self.draws, 1, 1, 1)
            velocity = self.model((1 - at) * x + at * noise, t.to(x), text)
        error = F.mse_loss(velocity.float(), noise - x, reduction="none").mean((1, 2, 3))
        thirds = {"clean": t < 1 / 3, "middle": (t >= 1 / 3) & (t < 2 / 3), "noisy": t >= 2 / 3}
        return error.mean(), {name: error.detach()[of.to(error.device)].mean() for name, of in thirds.items()}

    @torch.no_grad()
    def evaluate(self):
        """Takes over the mean weights; the loss on 256 validation pictures at evenly spread times."""
        self.average.put()
        scenes = world.sample("all", 256, "validation")
        t = (torch.arange(self.draws * 256) + 0.5) / (self.draws * 256)
        draws = generator(0, 0)
        t = t[torch.randperm(len(t), generator=draws)]
        prompts = [scene.prompt for scene in scenes]
        loss, thirds = self.squared_error(world.render(scenes).to(self.where), prompts, t, draws)
        return {"loss": round(loss.item(), 4)} | {name: round(value.item(), 4) for name, value in thirds.items()}


class Average(torch.optim.Optimizer):
    """A running mean of the weights, in the shape of an optimizer, so that checkpoints keep it with the others.

    After s steps its memory is min(s / 10, 1000) steps long, so that the random start is soon forgotten.
    """

    def __init__(self, parameters, steps: int = 1000):
        super().__init__(parameters, {"lr": 0.0})  # the loop sets rates; this has none
        self.steps = steps

    @torch.no_grad()
    def step(self):
        """Move the means towards the present weights."""
        for p in self.param_groups[0]["params"]:
            state = self.state[p]
            if not state:
                state["done"], state["mean"] = torch.zeros(()), p.detach().clone()
            state["done"] += 1
            state["mean"].lerp_(p, 1 / max(1.0, min(float(state["done"]) / 10, self.steps)))

    @torch.no_grad()
    def put(self):
        """Make the means the weights."""
        for p in self.param_groups[0]["params"]:
            if state := self.state[p]:
                p.copy_(state["mean"])

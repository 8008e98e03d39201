"""The flow sampler: the four verbs on a network that predicts velocities, from noise to a picture in steps of time.

A rectified flow (arXiv 2209.03003) mixes a picture's latent x0 with noise e, x_s = (1 - s) x0 + s e, and learns the
velocity v(x, s) = E[e - x0 | x_s = x].  So every state predicts both ends,

    x0^ = x - s v        e^ = x + (1 - s) v        score of p_s: -e^ / s

and the ODE dx = v ds leads from noise (s = 1) to a picture (s = 0).  It draws nothing but its first noise, and so has
nothing to branch on.  Adding the Langevin terms (g^2 / 2) score dt + g dW to dx = -v dt, t = 1 - s, leaves every p_s
as it is (Fokker-Planck: they cancel): the sampler becomes stochastic, its marginals stay those of the ODE (Flow-GRPO,
arXiv 2505.05470; Kim et al., arXiv 2503.19385).  A step from s to s' < s is taken here as

    x' = (1 - s') x0^ + sqrt(s'^2 - c^2) e^ + c z,    z ~ N(0, 1),    c = eta s' sqrt(1 - ((1 - s) s' / ((1 - s') s))^2)

- With the true x0 and e in place of their predictions, x' has the marginal of p_s' for any c <= s', whatever the step.
- eta = 0 is Euler's step of the ODE, x + (s' - s) v.
- eta = 1 is the ancestral sampler (DDPM; with eta between, DDIM, arXiv 2010.02502, equation 16).
- For small steps c^2 = 2 eta^2 s / (1 - s) dt and sqrt(s'^2 - c^2) = s' - c^2 / (2 s'): the SDE above with Flow-GRPO's
  g = a sqrt(s / (1 - s)), a = eta sqrt(2).  Its own choice a = .7 is eta = .5.  Unlike Euler-Maruyama's step, this one
  has no pole at s = 1 and leaves no noise in the finished picture: the last step has c = 0.

With guidance the velocity is no longer that of any p_s, and ODE and SDE may end in different pictures.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..inputs import finite, whole
from ..ledger import Ledger
from ..names import check_name
from .going_back import NEAR, gone_back
from .protocol import Cell, Sampler, State, children, numbered, rows_of, take, uniform
from .tokenizer import Tokenizer
from .velocity import VelocityTransformer

SOLVERS = ("euler", "heun")


@dataclass(frozen=True, eq=False, kw_only=True)
class FlowState(State):
    """B noised latents; step 0 is before the noise, 1 pure noise, K a finished picture.

    A cell keeps the settings of its pass and what it gave.
    """

    x: Tensor  # (B, ...) noised latents in float32; zeros at step 0
    texts: tuple[tuple[Tensor, ...], ...] = field(repr=False)  # of each row: what the network reads of its prompt

    @property
    def log_prob(self):
        """There is none."""
        raise AttributeError("a flow's states have no log_prob: sampling never computes the integral that it is")


def gaussian(seed: int, path: tuple[int, ...], count: int) -> Tensor:
    """`count` normal numbers from (seed, path) alone: the inverse distribution function of `uniform`."""
    return torch.special.ndtri(uniform(seed, path, count).double()).float()


def spread(s: float, s_next: float, eta: float) -> float:
    """c of the step from s to s_next: the standard deviation of its fresh noise, 0 to s_next."""
    kept = (1 - s) * s_next / ((1 - s_next) * s)  # of the ancestral sampler's noise, what s and s_next share
    return eta * s_next * math.sqrt(max(0.0, 1 - kept * kept))


def step(x: Tensor, velocity: Tensor, z: Tensor, s: float, s_next: float, eta: float) -> Tensor:
    """One step from s to s_next; z is fresh N(0, 1) noise of x's shape."""
    c = spread(s, s_next, eta)
    if c == 0:
        return x + (s_next - s) * velocity  # the same as below, with less rounding
    start, end = x - s * velocity, x + (1 - s) * velocity
    return (1 - s_next) * start + math.sqrt(s_next**2 - c**2) * end + c * z


class Flow(Sampler):
    """What all flow samplers have in common.  Each adds `begin`, `latent`, `decode`, `preview`, `_schedule(steps)`, and
    `_passes(state, rows)`, which fills cells with (settings, the velocity to step by, that at the state)."""

    solver, until = "euler", 1.0

    def _set(self, **settings):
        for name, value in settings.items():
            check_name(name, self.settings, "setting")
            if name in ("eta", "until"):
                setattr(self, name, finite(0, 1, **{name: value}))
            elif name == "guidance":
                self.guidance = finite(guidance=value)
            elif name == "solver":
                check_name(value, SOLVERS, "solver")
                self.solver = value
            else:
                steps = whole(least=1, steps=value)
                self.sigmas = self._schedule(steps)  # s after the noise was drawn and after every pass: 1 to 0
                self.num_steps = steps + 1
        # A step branches where it draws: the first, and those with fresh noise.
        fresh = (k for k in range(1, self.num_steps) if spread(*self.sigmas[k - 1 : k + 1], self.eta_at(k)) > 0)
        self.branch_steps = (0, *fresh)
        if self.solver == "heun" and len(self.branch_steps) > 1:
            raise ValueError("heun solves the ODE: take eta=0 with it, or solver euler")

    def eta_at(self, k: int) -> float:
        """eta of step k: fresh noise comes in the first part of the passes, up to the share `until`."""
        return self.eta if k <= self.until * (self.num_steps - 1) else 0.0

    @torch.no_grad()
    def expand(self, state: FlowState, n=1, first: int = 0) -> FlowState:
        """The next step: children `first` to `first + n - 1` of every row, in order; n is an int or one per row.

        The first step draws the noise.  The others run the pass of every row whose pass has not run yet; the children
        of a row share it and differ in their fresh noise alone.  Where there is none they are all the same.
        """
        k, (rows, numbers) = state.step, children(state, n, first, self.num_steps)
        if k > 0:
            self._run(state, rows)
        parents = take(state, rows)
        paths = tuple((*path, j) for path, j in zip(parents.paths, numbers))
        with state.ledger.timed("draw", paper_nfe=len(rows) if k > 0 else 0):
            x = self._noise(k, parents, paths)
            if k > 0 and rows:
                x = step(parents.x, self._velocities(parents), x, self.sigmas[k - 1], self.sigmas[k], self.eta_at(k))
        return replace(parents, step=k + 1, paths=paths, x=x, cells=tuple(Cell() for _ in rows))

    @torch.no_grad()
    def renoise(self, state: FlowState, step: int, n=1, first: int = 0) -> FlowState:
        """Every row n times, back at an earlier step from 1 on, with as much new noise as belongs there.

        x' = a x + sqrt(s'^2 - a^2 s^2) z, a = (1 - s') / (1 - s): where x has the distribution p_s, x' has p_s'.
        """
        rows, paths = gone_back(state, step, n, first, least=1)
        s, s_back = self.sigmas[state.step - 1], self.sigmas[step - 1]
        a = (1 - s_back) / (1 - s)
        x = a * state.x[rows] + math.sqrt(s_back**2 - (a * s) ** 2) * self._drawn(state.x[rows], state, rows, paths)
        return replace(take(state, rows), step=step, paths=tuple(paths), x=x, cells=tuple(Cell() for _ in rows))

    @torch.no_grad()
    def perturb(self, state: FlowState, radius: float, n=1, first: int = 0) -> FlowState:
        """n neighbours of every row of pure noise, which are pure noise: sqrt(1 - radius^2) x + radius z.

        radius 0 is the row itself, 1 an independent one.  Raises ValueError at another step than 1.
        """
        if state.step != 1:
            raise ValueError(f"only pure noise has neighbours that are pure noise: step 1, not {state.step}")
        radius, (rows, numbers) = finite(0, 1, radius=radius), numbered(state, n, first)
        paths = [(*state.paths[row], NEAR, j) for row, j in zip(rows, numbers)]
        z = self._drawn(state.x[rows], state, rows, paths)
        x = math.sqrt(1 - radius**2) * state.x[rows] + radius * z
        return replace(take(state, rows), paths=tuple(paths), x=x, cells=tuple(Cell() for _ in rows))

    @torch.no_grad()
    def predicted(self, state: FlowState) -> Tensor:
        """The latent that the state points at, x0^ = x - s v, in the shape of x; runs the pass that `expand` reuses.

        Before the noise is drawn it is zeros; at the end x itself.
        """
        if not 0 < state.step < self.num_steps or not len(state):
            return state.x
        self._run(state, range(len(state)))
        return state.x - self.sigmas[state.step - 1] * torch.stack([cell.result[-1] for cell in state.cells])

    def _noise(self, k: int, state: FlowState, paths) -> Tensor:
        """Each row's own N(0, 1) numbers, of x's shape; zeros at a step that uses none."""
        return self._drawn(state.x, state, range(len(state)), paths) if k in self.branch_steps else 0 * state.x

    def _drawn(self, like: Tensor, state: FlowState, rows, paths) -> Tensor:
        """N(0, 1) numbers of x's shape for children of these rows, each from its row's seed and its own path."""
        z = torch.empty_like(like)
        for i, (row, path) in enumerate(zip(rows, paths)):
            z[i] = gaussian(state.seeds[row], path, z[i].numel()).view_as(z[i])
        return z

    def _run(self, state: FlowState, rows) -> None:
        """Fill the cells of rows whose pass has not run, or with other settings, in as few passes as can be."""
        needed, settings = {}, self._settings(state.step)
        for row in rows:
            if state.cells[row].result is None or state.cells[row].result[0] != settings:
                needed[id(state.cells[row])] = row  # aliases share a cell: one pass for all
        if needed:
            self._passes(state, [*needed.values()])

    def _settings(self, k: int) -> tuple:
        """What the pass of step k depends on."""
        return self.sigmas[k - 1], self.guidance

    def _velocities(self, state: FlowState) -> Tensor:
        """The velocities, of x's shape, of rows whose passes have run."""
        return torch.stack([cell.result[1] for cell in state.cells])


class FlowSampler(Flow):
    """Paints with a `VelocityTransformer` over a `Tokenizer`'s latents; the first step draws the noise.

    read: from a list of texts to word ids (B, T), 0 for padding; raises ValueError for a text that is no prompt.
    steps: passes, after the noise is drawn; so `num_steps` is one more.  guidance: v = uncond + g (cond - uncond); 1
    means none.  eta, 0 to 1: fresh noise, 0 is the ODE; until, 0 to 1: only in this part of the passes, from the first
    on.  solver: "euler", or "heun" for the ODE, with two passes a step and an error of second order.
    """

    settings = ("steps", "guidance", "eta", "until", "solver")

    def __init__(
        self, tokenizer: Tokenizer, transformer: VelocityTransformer, read: Callable[[list[str]], Tensor],
        steps=24, guidance=4.0, eta=0.0, until=0.5, solver="euler",
    ):  # fmt: skip
        self.tokenizer, self.transformer, self.read = tokenizer.eval(), transformer.eval(), read
        self.eta, self.solver = 0.0, "euler"
        self._set(until=until, steps=steps, guidance=guidance, eta=eta, solver=solver)

    def _schedule(self, steps: int) -> list[float]:
        return [1 - k / steps for k in range(steps + 1)]

    @torch.no_grad()
    def begin(self, prompts, seed, ledger: Ledger | None = None) -> FlowState:
        """States at step 0, a row per prompt; `seed` is one int, from which each row gets its own, or one per row.

        Raises ValueError for a prompt that the model cannot read, and for wrong seeds or a wrong number of them.
        """
        prompts, seeds = rows_of(prompts, seed)
        ledger = Ledger() if ledger is None else ledger
        distinct = list(dict.fromkeys(prompts))
        ids = F.pad(self.read(distinct), (0, 0, 0, 1)).to(self.transformer.mean.device)  # the last: no prompt
        with ledger.timed("text", passes=len(ids), flops=len(ids) * self.transformer.pass_flops(text=True)):
            kv = self.transformer.encode_text(ids)  # (depth, 2, P + 1, H, T, D)
        texts = {prompt: (kv[:, :, row], kv[:, :, -1]) for row, prompt in enumerate(distinct)}
        return FlowState(
            step=0,
            prompts=prompts,
            seeds=seeds,
            paths=((),) * len(prompts),
            x=self.tokenizer.empty(len(prompts)),
            texts=tuple(texts[prompt] for prompt in prompts),
            cells=tuple(Cell() for _ in prompts),
            ledger=ledger,
        )

    def latent(self, state: FlowState) -> Tensor:
        """The latents (B, C, 8, 8) that the states point at, as the decoder takes them; zeros before the noise."""
        return self.transformer.restore(self.predicted(state)) if state.step else state.x

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Pictures (B, 3, 64, 64) in [0, 1] of latents."""
        return self.tokenizer.decode(latent)

    def preview(self, state: FlowState) -> Tensor:
        """The one-step prediction from the noised state, (B, 3, 64, 64) in [0, 1]; after the last step, the picture."""
        latent = self.latent(state)  # its pass is charged as such
        with state.ledger.timed("decoder", calls=len(state), flops=len(state) * self.tokenizer.decode_flops()):
            return self.decode(latent)

    def _settings(self, k: int) -> tuple:
        return self.sigmas[k - 1 : k + 1], self.guidance, self.solver

    def _passes(self, state: FlowState, rows: list[int]) -> None:
        """The pass of these rows at their time; for Heun a second one where the first would lead."""
        k, x = state.step, state.x[rows]
        texts = [state.texts[row] for row in rows]
        s, s_next = self.sigmas[k - 1 : k + 1]
        velocity = self._velocity(x, s, texts, state.ledger)
        led = velocity
        if self.solver == "heun" and s_next > 0:
            led = (velocity + self._velocity(x + (s_next - s) * velocity, s_next, texts, state.ledger)) / 2
        for row, v, mean in zip(rows, velocity, led):  # a clone lets the rest of the batch go
            state.cells[row].result = (self._settings(k), mean.clone(), v.clone())

    def _velocity(self, x: Tensor, s: float, texts: list[tuple], ledger: Ledger) -> Tensor:
        """Guided velocities (R, C, 8, 8) of x at time s; one NFE a row, of two passes with guidance."""
        branches = 1 if self.guidance == 1 else 2
        conditional, unconditional = (torch.stack(kv, 2) for kv in zip(*texts))
        text = conditional if branches == 1 else torch.cat([conditional, unconditional], 2)
        flops = branches * len(x) * self.transformer.pass_flops()
        cost = {"nfe": len(x), "passes": branches * len(x), "tokens": x[0, 0].numel() * len(x), "flops": flops}
        with ledger.timed("transformer", **cost):
            x = x.repeat(branches, 1, 1, 1)
            v = self.transformer(x, torch.full((len(x),), s, dtype=torch.float32, device=x.device), text)
        if branches == 1:
            return v
        conditional, unconditional = v.chunk(2)
        return unconditional + self.guidance * (conditional - unconditional)

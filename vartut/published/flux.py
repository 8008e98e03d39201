"""FLUX.1 (Black Forest Labs, 2024) through diffusers, in the protocol of `models/protocol.py`: pause, look and fork.

A rectified flow (arXiv 2209.03003) mixes a picture's latent x0 with noise e, x_s = (1 - s) x0 + s e, and learns the
velocity v(x, s) = E[e - x0 | x_s = x].  So every state predicts both ends,

    x0^ = x - s v        e^ = x + (1 - s) v        score of p_s: -e^ / s

and the ODE dx = v ds leads from noise (s = 1) to a picture (s = 0).  It draws nothing but its first noise, and so has
nothing to branch on.  Adding the Langevin terms (g^2 / 2) score dt + g dW to dx = -v dt, t = 1 - s, leaves every p_s
as it is (Fokker-Planck: they cancel): the sampler becomes stochastic, its marginals stay those of the ODE (Flow-GRPO,
arXiv 2505.05470; Kim et al., arXiv 2503.19385).  A step from s to s' < s is taken here as

    x' = (1 - s') x0^ + sqrt(s'^2 - c^2) e^ + c z,    z ~ N(0, 1),    c = eta s' sqrt(1 - ((1 - s) s' / ((1 - s') s))^2)

- With the true x0 and e in place of their predictions, x' has the marginal of p_s' for any c <= s', whatever the step.
- eta = 0 is Euler's step of the ODE, x + (s' - s) v, as diffusers takes it.
- eta = 1 is the ancestral sampler (DDPM; with eta between, DDIM, arXiv 2010.02502, equation 16).
- For small steps c^2 = 2 eta^2 s / (1 - s) dt and sqrt(s'^2 - c^2) = s' - c^2 / (2 s'): the SDE above with Flow-GRPO's
  g = a sqrt(s / (1 - s)), a = eta sqrt(2).  Its own choice a = .7 is eta = .5.  Unlike Euler-Maruyama's step, this one
  has no pole at s = 1 and leaves no noise in the finished picture: the last step has c = 0.

Guidance is distilled into FLUX.1-dev as an input of the network, so one NFE is one pass.
"""

import math
import re
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..device import plain_defaults
from ..inputs import finite, whole
from ..ledger import Ledger
from ..models.protocol import Cell, Sampler, State, children, rows_of, take, uniform
from ..names import check_name
from ..paths import expanded
from ..torchvision_repair import repair, repair_in_pickles_of
from .files import commit_of

REPOSITORY = "black-forest-labs/FLUX.1-dev"  # its licence: non-commercial; FLUX.1-schnell is Apache-2.0


@dataclass(frozen=True, eq=False, kw_only=True)
class FlowState(State):
    """B noised latents; step 0 is before the noise, 1 pure noise, K a finished picture.

    A cell keeps the noise level and the guidance of its pass, and the velocity (N, C) in float32 that it gave.
    """

    x: Tensor  # (B, N, C) packed latents, 2 x 2 patches of the autoencoder's as N tokens, float32; zeros at step 0
    texts: tuple[tuple[Tensor, Tensor], ...] = field(repr=False)  # of each row: (T, D) and (E,)

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


class FluxSampler(Sampler):
    """Paints with a `FluxTransformer2DModel` in `steps` passes; the step before them draws the noise and needs none.

    encode: a callable from a list of prompts to (embeddings (P, T, D), pooled ones (P, E), ...), as the pipeline's
    `encode_prompt`, or features computed beforehand.  height, width: pixels.  guidance: the distilled guidance that
    FLUX.1-dev reads (schnell has none).  eta: 0, the ODE, to 1, the ancestral sampler.
    """

    def __init__(
        self, transformer, vae, scheduler, encode, height=1024, width=1024, steps=28, guidance=3.5, eta=0.5
    ):
        self.transformer, self.vae, self.scheduler = transformer.eval(), vae.eval(), scheduler
        self.encode = encode
        cell = 2 ** len(vae.config.block_out_channels)  # pixels a side of one token: the autoencoder's, times 2
        height, width = whole(height=height), whole(width=width)
        if height < cell or width < cell or height % cell or width % cell:
            raise ValueError(f"height and width are multiples of {cell} pixels; got {height} x {width}")
        self.grid = (height // cell, width // cell)  # tokens
        self.channels = transformer.config.in_channels
        places = [(0, row, column) for row in range(self.grid[0]) for column in range(self.grid[1])]
        self.ids = torch.tensor(places, device=transformer.device, dtype=transformer.dtype)  # (N, 3)
        self._set(eta=eta, steps=steps, guidance=guidance)

    def _set(self, **settings):
        for name, value in settings.items():
            check_name(name, ("steps", "guidance", "eta"), "setting")
            if name == "eta":
                self.eta = finite(0, 1, eta=value)
            elif name == "guidance":
                self.guidance = finite(guidance=value)
            else:
                steps = whole(least=1, steps=value)
                self.sigmas = self._schedule(steps)  # s after the noise was drawn and after every pass: 1 to 0
                self.num_steps = steps + 1
        # A step branches where it draws: the first, and those with fresh noise.
        fresh = (k for k in range(1, self.num_steps) if spread(*self.sigmas[k - 1 : k + 1], self.eta) > 0)
        self.branch_steps = (0, *fresh)

    def _schedule(self, steps: int) -> list[float]:
        """Noise levels as the published pipeline has them: evenly spaced, moved towards noise for large pictures."""
        config = self.scheduler.config
        few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
        shift = low + (high - low) * (self.grid[0] * self.grid[1] - few) / (many - few)
        scheduler = type(self.scheduler).from_config(config)  # a copy: the one given stays as it is
        even = torch.linspace(1, 1 / steps, steps, dtype=torch.float32, device="cpu")
        with plain_defaults():
            scheduler.set_timesteps(sigmas=even.tolist(), mu=shift)
        return scheduler.sigmas.tolist()

    # ---- the four verbs ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def begin(self, prompts, seed, ledger: Ledger | None = None) -> FlowState:
        """States at step 0, a row per prompt; `seed` is one int, from which each row gets its own, or one per row.

        Every distinct prompt is encoded once, alone.  The ledger has the text encoders' seconds, not their FLOPs.
        """
        prompts, seeds = rows_of(prompts, seed)
        ledger, texts = Ledger() if ledger is None else ledger, {}
        for prompt in dict.fromkeys(prompts):
            with plain_defaults(), ledger.timed("text", passes=1):
                embedded, pooled, *_ = self.encode([prompt])
            texts[prompt] = (embedded[0], pooled[0])
        shape = (len(prompts), len(self.ids), self.channels)
        return FlowState(
            step=0,
            prompts=prompts,
            seeds=seeds,
            paths=((),) * len(prompts),
            x=torch.zeros(shape, device=self.ids.device, dtype=torch.float32),
            texts=tuple(texts[prompt] for prompt in prompts),
            cells=tuple(Cell() for _ in prompts),
            ledger=ledger,
        )

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
                x = step(parents.x, velocities(parents), x, self.sigmas[k - 1], self.sigmas[k], self.eta)
        return replace(parents, step=k + 1, paths=paths, x=x, cells=tuple(Cell() for _ in rows))

    @torch.no_grad()
    def latent(self, state: FlowState) -> Tensor:
        """The picture that the state points at, x0^ = x - s v, as the autoencoder's latents (B, C / 4, H / 8, W / 8).

        Runs the pass that the next `expand` reuses.  Before the noise is drawn it is zeros; at the end x itself.
        """
        x = state.x
        if 0 < state.step < self.num_steps and len(state):
            self._run(state, range(len(state)))
            x = x - self.sigmas[state.step - 1] * velocities(state)
        (h, w), c = self.grid, self.channels // 4
        return x.view(len(x), h, w, c, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(len(x), c, 2 * h, 2 * w)

    @plain_defaults()
    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] of latents."""
        if not len(latent):  # the autoencoder cannot do nothing
            cell = 2 ** len(self.vae.config.block_out_channels)
            return torch.zeros(0, 3, cell * self.grid[0], cell * self.grid[1], device=latent.device)
        config = self.vae.config
        latent = (latent / config.scaling_factor + (config.shift_factor or 0)).to(self.vae.dtype)
        return (self.vae.decode(latent, return_dict=False)[0].float() * 0.5 + 0.5).clamp(0, 1)

    def preview(self, state: FlowState) -> Tensor:
        """The one-step prediction from the noised state, (B, 3, H, W) in [0, 1]; after the last step, the picture."""
        latent = self.latent(state)  # its pass is charged as such
        flops = len(state) * decode_flops(self.vae, 2 * self.grid[0], 2 * self.grid[1])
        with state.ledger.timed("decoder", calls=len(state), flops=flops):
            return self.decode(latent)

    # ---- what they are made of ---------------------------------------------------------------------------------------

    def _noise(self, k: int, state: FlowState, paths) -> Tensor:
        """Each row's own N(0, 1) numbers, (B, N, C); zeros at a step that uses none."""
        z = torch.zeros_like(state.x)
        if k in self.branch_steps:
            for row, (seed, path) in enumerate(zip(state.seeds, paths)):
                z[row] = gaussian(seed, path, z[row].numel()).view_as(z[row])
        return z

    def _run(self, state: FlowState, rows) -> None:
        """Fill the cells of rows whose pass has not run, or with other settings, in one batched pass a text length."""
        needed, settings = {}, (self.sigmas[state.step - 1], self.guidance)
        for row in rows:
            if state.cells[row].result is None or state.cells[row].result[0] != settings:
                needed[id(state.cells[row])] = row  # aliases share a cell: one pass for all
        lengths = sorted({len(state.texts[row][0]) for row in needed.values()})
        for length in lengths:
            self._pass(state, [row for row in needed.values() if len(state.texts[row][0]) == length], length)

    @plain_defaults()
    def _pass(self, state: FlowState, rows: list[int], length: int) -> None:
        """One forward pass of rows whose texts have this length."""
        model, tokens = self.transformer, len(self.ids)
        like = {"device": self.ids.device, "dtype": model.dtype}
        embedded, pooled = (torch.stack([state.texts[row][i] for row in rows]).to(**like) for i in (0, 1))
        full = {"device": self.ids.device, "dtype": torch.float32}
        guidance = torch.full((len(rows),), self.guidance, **full) if model.config.guidance_embeds else None
        flops = len(rows) * pass_flops(model, tokens, length)
        with state.ledger.timed("transformer", nfe=len(rows), passes=len(rows), tokens=tokens * len(rows), flops=flops):
            velocity = model(
                hidden_states=state.x[rows].to(model.dtype),
                timestep=torch.full((len(rows),), 1000 * self.sigmas[state.step - 1], **like) / 1000,  # rounded so
                guidance=guidance,
                pooled_projections=pooled,
                encoder_hidden_states=embedded,
                txt_ids=torch.zeros(length, 3, **like),
                img_ids=self.ids,
                return_dict=False,
            )[0].float()
        for row, v in zip(rows, velocity):  # a clone lets the rest of the batch go
            state.cells[row].result = ((self.sigmas[state.step - 1], self.guidance), v.clone())


repair_in_pickles_of(FluxSampler)


def velocities(state: FlowState) -> Tensor:
    """The velocities (B, N, C) of rows whose passes have run."""
    return torch.stack([cell.result[1] for cell in state.cells])


def pass_flops(transformer: nn.Module, image: int, text: int) -> int:
    """Floating-point operations of one pass over `image` and `text` tokens; a multiply-add counts as two."""

    def places(name: str) -> int:
        """How many tokens a linear layer of this name is applied to."""
        if "norm" in name or name.startswith("time_text_embed"):
            return 1  # once a picture: modulations, and the embeddings of time, guidance and pooled text
        if "context" in name or "add_" in name:
            return text
        return image + text if name.startswith("single") else image

    linear = [(name, m) for name, m in transformer.named_modules() if isinstance(m, nn.Linear)]
    flops = sum(2 * places(name) * m.weight.numel() for name, m in linear)
    config = transformer.config
    width, depth = config.num_attention_heads * config.attention_head_dim, config.num_layers + config.num_single_layers
    return flops + 4 * depth * (image + text) ** 2 * width


def decode_flops(vae: nn.Module, height: int, width: int) -> int:
    """Floating-point operations of decoding one latent of this size: convolutions and the attention in the middle."""
    decoder, pixels = vae.decoder, height * width

    def at(pixels: int, *modules) -> int:
        inner = [m for module in modules if module is not None for m in module.modules()]
        return sum(2 * pixels * m.weight.numel() for m in inner if isinstance(m, (nn.Conv2d, nn.Linear)))

    attentions = [a for a in decoder.mid_block.attentions if a is not None]
    flops = at(pixels, getattr(vae, "post_quant_conv", None), decoder.conv_in, decoder.mid_block)
    flops += sum(4 * pixels**2 * attention.to_q.out_features for attention in attentions)
    for block in decoder.up_blocks:
        flops += at(pixels, block.resnets)
        if block.upsamplers is not None:
            pixels *= 4
            flops += at(pixels, block.upsamplers)
    return flops + at(pixels, decoder.conv_out)


# ---- loading ---------------------------------------------------------------------------------------------------------


@plain_defaults()
def load(
    path: Path | str = REPOSITORY, where="cuda", dtype=torch.bfloat16, encode=None, revision=None, **settings
) -> FluxSampler:
    """FLUX.1 from a folder in diffusers' layout, or from its Hugging Face repository (dev: 34 GB, behind a licence).

    With `encode` (a callable from prompts to features computed beforehand) no text encoder is read.  `revision` is a
    commit of the repository (None: the pinned one, see files.py).  `settings` are those of `FluxSampler`.  Nobody has
    run this with the published weights yet.  Raises ModuleNotFoundError without diffusers, FileNotFoundError where
    there are no weights, each in one line.
    """
    path = expanded(path) if str(path).startswith("~") else path
    repair()
    try:
        from diffusers import FluxPipeline
    except ImportError as error:
        raise ModuleNotFoundError("FLUX.1 runs through diffusers: pip install -e '.[flux]' in the clone") from error
    missing = FileNotFoundError(
        f"no FLUX.1 at {path}: accept its licence at https://huggingface.co/{REPOSITORY}, run `hf auth login` and "
        f"`hf download {REPOSITORY} --local-dir FOLDER`, and give that folder"
    )
    if not Path(path).is_dir() and not re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):  # nor the name of a repository
        raise missing
    absent = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2") if encode is not None else ()
    try:
        with warnings.catch_warnings():  # newer ones call it dtype, and still know the name that the older ones know
            warnings.filterwarnings("ignore", ".*torch_dtype", FutureWarning)
            pipeline = FluxPipeline.from_pretrained(
                path, revision=commit_of(str(path), revision), torch_dtype=dtype, **dict.fromkeys(absent)
            )
    except OSError as error:
        raise missing from error
    pipeline.to(where)
    text = pipeline.encode_prompt if encode is None else encode
    return FluxSampler(pipeline.transformer, pipeline.vae, pipeline.scheduler, text, **settings)

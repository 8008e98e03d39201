"""FLUX.1 (Black Forest Labs, 2024) through diffusers: `models/flow.py` on the authors' network.

Guidance is distilled into FLUX.1-dev as an input of the network, so one NFE is one pass.
"""

import re
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ..device import plain_defaults
from ..inputs import whole
from ..ledger import Ledger
from ..models.flow import Flow, FlowState
from ..models.protocol import Cell, rows_of
from ..paths import expanded
from ..torchvision_repair import repair, repair_in_pickles_of
from .files import commit_of

REPOSITORY = "black-forest-labs/FLUX.1-dev"  # its licence: non-commercial; FLUX.1-schnell is Apache-2.0


class FluxSampler(Flow):
    """Paints with a `FluxTransformer2DModel` in `steps` passes; the step before them draws the noise and needs none.

    encode: a callable from a list of prompts to (embeddings (P, T, D), pooled ones (P, E), ...), as the pipeline's
    `encode_prompt`, or features computed beforehand.  height, width: pixels.  guidance: the distilled guidance that
    FLUX.1-dev reads (schnell has none).  eta: 0, the ODE, to 1, the ancestral sampler.
    """

    settings = ("steps", "guidance", "eta")

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
        self.eta = 0.0
        self._set(steps=steps, guidance=guidance, eta=eta)

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
    def latent(self, state: FlowState) -> Tensor:
        """The picture that the state points at, x0^ = x - s v, as the autoencoder's latents (B, C / 4, H / 8, W / 8).

        Runs the pass that the next `expand` reuses.  Before the noise is drawn it is zeros; at the end x itself.
        """
        x = self.predicted(state)
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

    def _passes(self, state: FlowState, rows: list[int]) -> None:
        """One batched pass a text length."""
        for length in sorted({len(state.texts[row][0]) for row in rows}):
            self._pass(state, [row for row in rows if len(state.texts[row][0]) == length], length)

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
            state.cells[row].result = (self._settings(state.step), v.clone())


repair_in_pickles_of(FluxSampler)


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

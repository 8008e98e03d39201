"""The next-scale sampler: the four verbs on a transformer that predicts a picture scale by scale."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from ..inputs import shown, whole
from ..ledger import Ledger
from ..names import check_name
from .going_back import gone_back
from .protocol import Cell, Sampler, State, children, per_step, rows_of, take, uniform
from .tokenizer import Tokenizer
from .transformer import NextScaleTransformer

SETTINGS = ("guidance", "temperature", "top_k", "top_p", "dtype")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)  # of the transformer's weights, keys and values
UNGUIDED = "these states were made without guidance: begin anew with the sampler that guides"


@dataclass
class Pass:
    """The result of one batched forward pass; cells point into its rows."""

    kv: torch.Tensor | None  # (depth, 2, R, branches, H, n, D); None for the last scale, which nobody attends to
    logits: torch.Tensor | None = None  # (R, branches, n, ...) conditional first; None for the text prefix

    @property
    def dtype(self) -> torch.dtype:
        """That of what later passes attend to."""
        return self.kv.dtype


@dataclass(frozen=True, eq=False, kw_only=True)
class ScaleState(State):
    """A state of this sampler; its cells keep a `Pass`, and the root's that of the text."""

    sum: torch.Tensor  # (B, C, 8, 8): the scales so far, added up
    tokens: tuple[torch.Tensor, ...]  # one per scale done: (B, n_k^2) or (B, n_k^2, bits)
    log_prob: torch.Tensor  # (B,): log-likelihood of the tokens, unguided and untempered


def keep_likely(logits: torch.Tensor, top_k: int, top_p: float) -> torch.Tensor:
    """Logits (..., V), -inf but for the `top_k` best and the smallest set of probability `top_p`.

    0 and 1 switch them off.
    """
    if 0 < top_k < logits.shape[-1]:
        least = logits.topk(top_k).values[..., -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if top_p < 1:
        ordered, index = logits.softmax(-1).sort(descending=True)
        drop = ordered.cumsum(-1) - ordered >= top_p  # what comes before this class suffices
        drop[..., 0] = False  # the likeliest class stays, even at top_p = 0
        logits = logits.masked_fill(drop.scatter(-1, index, drop), float("-inf"))
    return logits


class NextScaleSampler(Sampler):
    """Paints with a `NextScaleTransformer` over a `Tokenizer`, one scale a step.

    read: from a list of texts to word ids (B, T), 0 for padding; raises ValueError for a text that is no prompt.
    guidance: weight of classifier-free guidance per scale, logits = uncond + g (cond - uncond); 1 means none.
    temperature: per scale; 0 takes the likeliest token.  top_k (0: off) and top_p (1: off): per scale.
    Each is one number or one per scale.
    dtype: of the transformer, one of `DTYPES`; None: as it is.  The tokenizer, the sums and the draw stay as they are.
    In half precision the same seed gives another picture where two classes are nearly as likely, and which one can
    depend on the batch.  In another dtype than the trained one a copy of the weights is kept beside them.
    """

    unguided = 1.0  # the guidance that changes nothing

    def __init__(
        self, tokenizer: Tokenizer, transformer: NextScaleTransformer, read: Callable[[list[str]], torch.Tensor] | None,
        guidance=2.0, temperature=1.0, top_k=0, top_p=1.0, dtype=None,
    ):  # fmt: skip
        self.tokenizer, self.trained, self.read = tokenizer.eval(), transformer.eval(), read
        self.num_steps = len(tokenizer.scales)
        self.branch_steps = range(self.num_steps)  # every step draws, so at every step there is something to branch on
        dtype = next(transformer.parameters()).dtype if dtype is None else dtype
        self._set(guidance=guidance, temperature=temperature, top_k=top_k, top_p=top_p, dtype=dtype)

    def _set(self, **settings):
        if "dtype" in settings:
            self.transformer = in_dtype(self.trained, settings.pop("dtype"))
        for name, value in settings.items():
            check_name(name, SETTINGS, "setting")
            values = per_step(self.num_steps, high=1 if name == "top_p" else float("inf"), **{name: value})
            setattr(self, name, [whole(top_k=v) for v in values] if name == "top_k" else values)

    @property
    def dtype(self) -> torch.dtype:
        """That of the transformer's weights."""
        return next(self.transformer.parameters()).dtype

    # ---- the four verbs --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def begin(self, prompts, seed, ledger: Ledger | None = None) -> ScaleState:
        """States at step 0, a row per prompt.

        `prompts` is one text or a list; `seed` one int, from which each row gets its own, or one int per row.
        Raises ValueError for a prompt that the model cannot read, and for wrong seeds or a wrong number of them.
        """
        prompts, seeds = rows_of(prompts, seed)
        ledger = Ledger() if ledger is None else ledger
        distinct = list(dict.fromkeys(prompts))
        prefix = self._encode(distinct, ledger)
        roots = {prompt: Cell(None, prefix, row) for row, prompt in enumerate(distinct)}
        return ScaleState(
            step=0,
            prompts=prompts,
            seeds=seeds,
            paths=((),) * len(prompts),
            sum=self.tokenizer.empty(len(prompts)),
            tokens=(),
            log_prob=torch.zeros(len(prompts), dtype=torch.float32, device="cpu"),
            cells=tuple(Cell(roots[prompt]) for prompt in prompts),
            ledger=ledger,
        )

    @torch.no_grad()
    def expand(self, state: ScaleState, n=1, first: int = 0) -> ScaleState:
        """Draw the next scale: children `first` to `first + n - 1` of every row, in order; n is an int or one per row.

        Runs the forward pass of every row whose pass has not run yet; the children of a row share it.
        """
        k, (rows, numbers) = state.step, children(state, n, first, self.num_steps)
        self._run(state, rows)
        parents = take(state, rows)
        paths = tuple((*path, j) for path, j in zip(parents.paths, numbers))
        with state.ledger.timed("draw", paper_nfe=len(rows)):
            tokens = self._draw(k, self._logits(parents), parents.seeds, paths)
            return self._stepped(parents, paths, tokens)

    @torch.no_grad()
    def follow(self, state: ScaleState, tokens: torch.Tensor, numbers: list[int]) -> ScaleState:
        """The same rows a step on by given tokens (B, n^2) of the next scale, as if drawn by the children `numbers`.

        So this model goes on from what another one with the same tokens has painted.
        """
        self._run(state, range(len(state)))
        return self._stepped(state, tuple((*path, j) for path, j in zip(state.paths, numbers)), tokens)

    @torch.no_grad()
    def renoise(self, state: ScaleState, step: int, n=1, first: int = 0) -> ScaleState:
        """Every row n times, cut back to an earlier step, where its pass has run; what is drawn from there is new."""
        rows, paths = gone_back(state, step, n, first, least=0)
        back = take(state, rows)
        chains = [cell.ancestors()[1:] for cell in back.cells]  # without the text's: one for each scale done
        back = replace(back, step=0, tokens=(), sum=self.tokenizer.empty(len(rows)), log_prob=0 * back.log_prob)
        for k in range(step + 1):
            back = replace(back, paths=tuple(paths), cells=tuple(chain[k] for chain in chains))
            back = self._stepped(back, paths, state.tokens[k][rows]) if k < step else back
        return back

    def latent(self, state: State) -> torch.Tensor:
        """The sum of the scales so far, (B, C, 8, 8): what `decode` turns into a picture."""
        return state.sum

    @torch.no_grad()
    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Pictures (B, 3, 64, 64) in [0, 1] of latents."""
        return self.tokenizer.decode(latent)

    def preview(self, state: State) -> torch.Tensor:
        """The picture so far, (B, 3, 64, 64) in [0, 1]; charged to the ledger as decoding."""
        with state.ledger.timed("decoder", calls=len(state), flops=len(state) * self.tokenizer.decode_flops()):
            return self.decode(self.latent(state))

    # ---- what they are made of -------------------------------------------------------------------------------------

    def _encode(self, prompts: list[str], ledger: Ledger) -> Pass:
        """Keys and values of the text: once per distinct prompt, once for the unconditional branch, all padding."""
        ids = F.pad(self.read(prompts), (0, 0, 0, 1)).to(self.transformer.start.device)
        with ledger.timed("text", passes=len(ids), flops=len(ids) * self.transformer.pass_flops(None)):
            kv = self.transformer.encode_text(ids)
        conditional, unconditional = kv.split([len(prompts), 1], 2)  # (depth, 2, R, H, T, D)
        return Pass(torch.stack([conditional, unconditional.expand_as(conditional)], 3))

    def _run(self, state: State, rows: list[int]) -> None:
        """Fill the cells of these rows that have not run yet, in one batched pass."""
        rows = sorted({id(state.cells[row]): row for row in rows}.values())  # aliases share a cell: one pass for all
        above = (cell for row in rows for cell in state.cells[row].ancestors())  # of rows that have run, too
        if made := {cell.result.dtype for cell in above} - {self.dtype}:
            raise ValueError(f"these states were made in {made.pop()}: begin anew with the sampler in {self.dtype}")
        rows = [row for row in rows if state.cells[row].result is None]
        if not rows:
            return
        k, new, cells = state.step, self.tokenizer.scales[state.step] ** 2, [state.cells[row] for row in rows]
        branches = self._branches(cells)
        cost = {"nfe": len(rows), "passes": branches * len(rows), "tokens": new * len(rows)}
        cost["flops"] = branches * len(rows) * self._pass_flops(k, cells)
        with state.ledger.timed("transformer", **cost) as amounts:
            result = self._pass(k, state.sum[rows], cells, branches)
            amounts["cache_bytes"] = 0 if result.kv is None else result.kv.nbytes
        state.ledger.hold(result, amounts["cache_bytes"] + result.logits.nbytes)
        for row, cell in enumerate(cells):
            cell.result, cell.row = result, row

    def _branches(self, cells: list[Cell]) -> int:
        """2 where guidance needs the unconditional pass too, else 1."""
        if all(g == self.unguided for g in self.guidance):
            return 1
        if any(above.result.kv.shape[3] == 1 for cell in cells for above in cell.ancestors()):
            raise ValueError(UNGUIDED)
        return 2

    def _pass_flops(self, k: int, cells: list[Cell]) -> int:
        """Floating-point operations of scale k for one row and one branch."""
        return self.transformer.pass_flops(k)

    def _pass(self, k: int, sums: torch.Tensor, cells: list[Cell], branches: int) -> Pass:
        """The forward pass of scale k for a batch of rows: `sums` (R, C, 8, 8) and the cells they stand at."""
        shrunk = None if k == 0 else self.tokenizer.shrink(sums, k).to(self.dtype).repeat_interleave(branches, 0)
        logits, kv = self.transformer.step(k, shrunk, past_of(cells, branches))
        last = k == self.num_steps - 1
        return Pass(None if last else kv.unflatten(2, (-1, branches)), logits.float().unflatten(0, (-1, branches)))

    def _grown(self, k: int, sums: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The sums with scale k's tokens added."""
        return self.tokenizer.add(sums, tokens, k)

    def _classes(self) -> tuple[int, ...]:
        """The shape of one token's logits."""
        return (self.transformer.bits, 2) if self.transformer.bitwise else (self.transformer.classes,)

    def _logits(self, state: ScaleState) -> torch.Tensor:
        """Logits (B, branches, n^2, ...) of rows whose passes have run."""
        found = [cell.result.logits[cell.row] for cell in state.cells]
        if not found:
            shape = (0, 1, self.tokenizer.scales[state.step] ** 2, *self._classes())
            return torch.empty(shape, dtype=torch.float32, device=state.sum.device)
        branches = min(len(logits) for logits in found)  # they differ where the guidance has changed meanwhile
        return torch.stack([logits[:branches] for logits in found])

    def _guided(self, k: int, logits: torch.Tensor) -> torch.Tensor:
        """Logits (B, branches, n^2, V), conditional first, to guided ones (B, n^2, V)."""
        if self.guidance[k] == self.unguided:
            return logits[:, 0]
        if logits.shape[1] == 1:
            raise ValueError(UNGUIDED)
        return self._mixed(k, logits[:, 0], logits[:, 1])

    def _mixed(self, k: int, conditional: torch.Tensor, unconditional: torch.Tensor) -> torch.Tensor:
        """Classifier-free guidance of logits (B, n^2, V)."""
        return unconditional + self.guidance[k] * (conditional - unconditional)

    def perturbed(self, k: int, logits: torch.Tensor, seeds, paths) -> torch.Tensor:
        """Guided, tempered logits plus each row's own Gumbel noise: the largest one is the draw.  (B, n^2, V)"""
        guided = self._guided(k, logits)
        if self.temperature[k] == 0:
            return guided
        scores = keep_likely(guided / self.temperature[k], self.top_k[k], self.top_p[k])
        noise = torch.stack([uniform(s, p, scores[0].numel()) for s, p in zip(seeds, paths)]).view(scores.shape)
        return scores - (-noise.log()).log().to(scores.device)

    def _draw(self, k, logits, seeds, paths):
        """Tokens (B, n^2) or (B, n^2, bits)."""
        return self.perturbed(k, logits, seeds, paths).argmax(-1) if seeds else logits[:, 0].argmax(-1)

    def _stepped(self, state: ScaleState, paths, tokens: torch.Tensor) -> ScaleState:
        """Rows whose pass has run a step on, by these tokens, their unguided log-likelihood added."""
        told = self._logits(state)[:, 0].log_softmax(-1).gather(-1, tokens[..., None])
        return replace(
            state,
            step=state.step + 1,
            paths=paths,
            sum=self._grown(state.step, state.sum, tokens),
            tokens=(*state.tokens, tokens),
            log_prob=state.log_prob + told.flatten(1).sum(1).cpu(),
            cells=tuple(Cell(cell) for cell in state.cells),
        )


def in_dtype(transformer: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """The transformer itself where its weights are of that dtype, else a copy; ValueError for none of `DTYPES`."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype is one of {', '.join(map(str, DTYPES))}; got {shown(dtype)}")
    return transformer if next(transformer.parameters()).dtype == dtype else copy.deepcopy(transformer).to(dtype)


def past_of(cells: list[Cell], branches: int) -> list[torch.Tensor]:
    """What the next pass of these cells attends to: keys and values of the text and of every scale so far.

    Each is (depth, 2, R * branches, H, n, D).
    """
    chains = zip(*(cell.ancestors() for cell in cells))  # the text's cells, then every scale's, one a row
    return [gather(chain, branches).flatten(2, 3) for chain in chains]


def gather(cells: tuple[Cell, ...], branches: int) -> torch.Tensor:
    """Keys and values of one scale for a batch of rows: copied only if they must.

    (depth, 2, R, branches, H, n, D)
    """
    first, rows = cells[0].result, [cell.row for cell in cells]
    if any(cell.result is not first for cell in cells):
        return torch.stack([cell.result.kv[:, :, cell.row, :branches] for cell in cells], 2)
    whole = rows == list(range(first.kv.shape[2]))
    return first.kv[:, :, slice(None) if whole else rows, :branches]

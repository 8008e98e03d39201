"""The next-scale sampler: the four verbs on a transformer that predicts a picture scale by scale."""
import copy
from dataclasses import dataclass, field, replace

import torch

from ..ledger import Ledger
from ..world import MAX_WORDS, parse, token_ids
from .protocol import rows_of, uniform
from .tokenizer import Tokenizer
from .transformer import NextScaleTransformer


@dataclass
class Pass:
    """The result of one batched forward pass; cells point into its rows."""

    kv: torch.Tensor | None  # (R, branches, depth, 2, H, n, D); None for the last scale, which nobody attends to
    logits: torch.Tensor | None = None  # (R, branches, n, ...) conditional first; None for the text prefix


@dataclass(eq=False)
class Cell:
    """A node of the search tree: where its next pass is kept once it has run."""

    parent: "Cell | None" = None
    result: Pass | None = None
    row: int = 0

    def ancestors(self) -> list["Cell"]:
        """The cells whose keys and values this one's pass attends to, the text prefix first."""
        chain, cell = [], self.parent
        while cell is not None:
            chain.append(cell)
            cell = cell.parent
        return chain[::-1]


@dataclass(frozen=True)
class State:
    """B partial pictures, all at the same step.  A value: nothing in it changes but what its cells remember."""

    step: int  # steps done, 0 to K
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]  # the child numbers that led to each row
    sum: torch.Tensor  # (B, C, 8, 8): the scales so far, added up
    tokens: tuple[torch.Tensor, ...]  # one per scale done: (B, n_k^2) or (B, n_k^2, bits)
    log_prob: torch.Tensor  # (B,): log-likelihood of the tokens, unguided and untempered
    cells: tuple[Cell, ...] = field(repr=False)
    ledger: Ledger = field(repr=False)

    def __len__(self):
        return len(self.prompts)


def keep_likely(logits: torch.Tensor, top_k: int, top_p: float) -> torch.Tensor:
    """Logits (..., V), -inf but for the `top_k` best and the smallest set of probability `top_p` (0 and 1: off)."""
    if 0 < top_k < logits.shape[-1]:
        least = logits.topk(top_k).values[..., -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if top_p < 1:
        ordered, index = logits.softmax(-1).sort(descending=True)
        drop = ordered.cumsum(-1) - ordered >= top_p  # the probability before this class already suffices
        drop[..., 0] = False  # the likeliest class stays, even at top_p = 0
        logits = logits.masked_fill(drop.scatter(-1, index, drop), float("-inf"))
    return logits


class NextScaleSampler:
    """Paints with a `NextScaleTransformer` over a `Tokenizer`, one scale a step.

    guidance: weight of classifier-free guidance per scale, logits = uncond + g (cond - uncond); 1 means none.
    temperature: per scale; 0 takes the likeliest token.  top_k (0: off) and top_p (1: off): per scale.
    Each is one number or one per scale.
    """

    unguided = 1.0  # the guidance that changes nothing

    def __init__(
        self, tokenizer: Tokenizer, transformer: NextScaleTransformer, guidance=2.0, temperature=1.0, top_k=0, top_p=1.0
    ):
        self.tokenizer, self.transformer = tokenizer.eval(), transformer.eval()
        self.num_steps = len(tokenizer.scales)
        self.branch_steps = range(self.num_steps)  # every step draws, so at every step there is something to branch on
        self._set(guidance=guidance, temperature=temperature, top_k=top_k, top_p=top_p)

    def _set(self, **settings):
        for name, value in settings.items():
            values = list(value) if isinstance(value, (list, tuple)) else [value] * self.num_steps
            if len(values) != self.num_steps:
                raise ValueError(f"{name} needs one number, or one for each of {self.num_steps} scales; got {value}")
            low, high = {"top_p": (0, 1)}.get(name, (0, float("inf")))
            if name not in ("guidance", "temperature", "top_k", "top_p") or not all(low <= v <= high for v in values):
                raise ValueError(f"{name}={value}: known are guidance, temperature, top_k >= 0 and top_p in [0, 1]")
            setattr(self, name, values)

    def tuned(self, **settings) -> "NextScaleSampler":
        """The same sampler with other guidance, temperature, top_k or top_p; the weights are shared."""
        other = copy.copy(self)
        other._set(**settings)
        return other

    # ---- the four verbs --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def begin(self, prompts, seed, ledger: Ledger | None = None) -> State:
        """States at step 0, a row per prompt.

        `prompts` is one text or a list; `seed` one int, from which each row gets its own, or one int per row.
        Raises ValueError for a prompt outside the grammar or a wrong number of seeds.
        """
        prompts, seeds = rows_of(prompts, seed)
        ledger = Ledger() if ledger is None else ledger
        distinct = list(dict.fromkeys(prompts))
        prefix = self._encode(distinct, ledger)
        roots = {prompt: Cell(None, prefix, row) for row, prompt in enumerate(distinct)}
        empty, zero = self.tokenizer.empty(len(prompts)), torch.zeros(len(prompts))
        cells = tuple(Cell(roots[prompt]) for prompt in prompts)
        return State(0, prompts, seeds, ((),) * len(prompts), empty, (), zero, cells, ledger)

    @torch.no_grad()
    def expand(self, state: State, n=1, first: int = 0) -> State:
        """Draw the next scale: children `first` to `first + n - 1` of every row, in order; n is an int or one per row.

        Runs the forward pass of every row whose pass has not run yet; the children of a row share it.
        """
        k = state.step
        if k >= self.num_steps:
            raise ValueError(f"the pictures are finished: all {self.num_steps} steps are done")
        counts = [n] * len(state) if isinstance(n, int) else [int(c) for c in n]
        if len(counts) != len(state) or min(counts, default=0) < 0 or first < 0:
            raise ValueError(f"expand needs n >= 0 for each of {len(state)} rows and first >= 0; got {n}, {first}")
        rows = [row for row, count in enumerate(counts) for _ in range(count)]
        numbers = [first + j for count in counts for j in range(count)]
        needed = {id(state.cells[row]): row for row in rows}  # aliases share a cell: one pass for all
        self._run(state, sorted(needed.values()))
        paths = tuple((*state.paths[row], j) for row, j in zip(rows, numbers))
        seeds = tuple(state.seeds[row] for row in rows)
        with state.ledger.timed("draw", paper_nfe=len(rows)):
            tokens, log_prob = self._draw(k, self._logits(state, rows), seeds, paths)
            grown = self._grown(k, state.sum[rows], tokens)
        return State(
            k + 1,
            tuple(state.prompts[row] for row in rows),
            seeds,
            paths,
            grown,
            (*(t[rows] for t in state.tokens), tokens),
            state.log_prob[rows] + log_prob,
            tuple(Cell(state.cells[row]) for row in rows),
            state.ledger,
        )

    def select(self, state: State, rows) -> State:
        """Rows of a state in the given order; a repeated row is an alias of the same picture, not a new draw."""
        rows = [int(row) for row in rows]
        if any(not 0 <= row < len(state) for row in rows):
            raise ValueError(f"rows are 0 to {len(state) - 1}; got {rows}")
        return replace(
            state,
            prompts=tuple(state.prompts[row] for row in rows),
            seeds=tuple(state.seeds[row] for row in rows),
            paths=tuple(state.paths[row] for row in rows),
            sum=state.sum[rows],
            tokens=tuple(t[rows] for t in state.tokens),
            log_prob=state.log_prob[rows],
            cells=tuple(state.cells[row] for row in rows),
        )

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
        """Keys and values of the text: once per distinct prompt, once for the unconditional branch."""
        for prompt in prompts:
            parse(prompt)
        rows, flops = len(prompts) + 1, self.transformer.pass_flops(MAX_WORDS, 0, head=False)
        with ledger.timed("text", passes=rows, flops=rows * flops):
            kv = self.transformer.encode_text(token_ids([*prompts, ""]).to(self.transformer.start.device))
        return Pass(torch.stack([kv[:-1], kv[-1:].expand_as(kv[:-1])], 1))

    def _run(self, state: State, rows: list[int]) -> None:
        """Fill the cells of these rows that have not run yet, in one batched pass."""
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
        return 1 if all(g == self.unguided for g in self.guidance) else 2

    def _pass_flops(self, k: int, cells: list[Cell]) -> int:
        """Floating-point operations of scale k for one row and one branch."""
        past = MAX_WORDS + sum(n * n for n in self.tokenizer.scales[:k])
        return self.transformer.pass_flops(self.tokenizer.scales[k] ** 2, past)

    def _pass(self, k: int, sums: torch.Tensor, cells: list[Cell], branches: int) -> Pass:
        """The forward pass of scale k for a batch of rows: `sums` (R, C, 8, 8) and the cells they stand at."""
        kv = torch.cat([gather(chain)[:, :branches] for chain in zip(*(cell.ancestors() for cell in cells))], 5)
        shrunk = None if k == 0 else self.tokenizer.shrink(sums, k).repeat_interleave(branches, 0)
        logits, kv = self.transformer.step(k, shrunk, kv.flatten(0, 1))
        last = k == self.num_steps - 1
        return Pass(None if last else kv.unflatten(0, (-1, branches)), logits.float().unflatten(0, (-1, branches)))

    def _grown(self, k: int, sums: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The sums with scale k's tokens added."""
        return self.tokenizer.add(sums, tokens, k)

    def _classes(self) -> tuple[int, ...]:
        """The shape of one token's logits."""
        return (self.transformer.bits, 2) if self.transformer.bitwise else (self.transformer.classes,)

    def _logits(self, state: State, rows: list[int]) -> torch.Tensor:
        """Logits (rows, branches, n^2, ...) of rows whose passes have run."""
        if not rows:
            return torch.empty(0, 1, self.tokenizer.scales[state.step] ** 2, *self._classes())
        return torch.stack([state.cells[row].result.logits[state.cells[row].row] for row in rows])

    def _guided(self, k: int, logits: torch.Tensor) -> torch.Tensor:
        """Logits (B, branches, n^2, V), conditional first, to guided ones (B, n^2, V)."""
        if self.guidance[k] == self.unguided:
            return logits[:, 0]
        return logits[:, 1] + self.guidance[k] * (logits[:, 0] - logits[:, 1])

    def perturbed(self, k: int, logits: torch.Tensor, seeds, paths) -> torch.Tensor:
        """Guided, tempered logits plus each row's own Gumbel noise: the largest one is the draw.  (B, n^2, V)"""
        guided = self._guided(k, logits)
        if self.temperature[k] == 0:
            return guided
        scores = keep_likely(guided / self.temperature[k], self.top_k[k], self.top_p[k])
        noise = torch.stack([uniform(s, p, scores[0].numel()) for s, p in zip(seeds, paths)]).view(scores.shape)
        return scores - (-noise.log()).log().to(scores.device)

    def _draw(self, k, logits, seeds, paths):
        """Tokens (B, n^2) or (B, n^2, bits), and their unguided log-likelihood (B,)."""
        if not seeds:
            return logits[:, 0].argmax(-1), logits.new_zeros(0)
        tokens = self.perturbed(k, logits, seeds, paths).argmax(-1)
        log_prob = logits[:, 0].log_softmax(-1).gather(-1, tokens[..., None])
        return tokens, log_prob.flatten(1).sum(1).cpu()


def gather(cells: list[Cell]) -> torch.Tensor:
    """Keys and values of one scale for a batch of rows: (B, branches, depth, 2, H, n, D)."""
    first = cells[0].result
    if all(cell.result is first for cell in cells):
        return first.kv[[cell.row for cell in cells]]
    return torch.stack([cell.result.kv[cell.row] for cell in cells])

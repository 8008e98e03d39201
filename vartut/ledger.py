"""What a run really cost, in four currencies: NFE, tokens, FLOPs and seconds.

A ledger belongs to a run, never to a state: whoever triggers a forward pass pays for it, once.  It is append-only.
One NFE is one guided evaluation of one row at one step (two passes where there is an unconditional branch).  Beside
what ran stands the paper's convention (arXiv 2510.16751), which charges every child one NFE at every step, as if no
forward pass were ever shared between siblings or remembered.  `peak_bytes` is what remembering took.
"""

import time
import weakref
from contextlib import contextmanager
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Entry:
    """One cost: where it arose (`phase`), what ran (`what`) and how much of each currency."""

    phase: str
    what: str  # "text", "transformer", "decoder", "verifier", "draw"
    nfe: int = 0  # guided evaluations of one row
    passes: int = 0  # network passes of one row: two an NFE with guidance
    tokens: int = 0  # image tokens through the network, one branch counted
    flops: float = 0.0
    calls: int = 0  # pictures decoded or verified
    seconds: float = 0.0
    paper_nfe: int = 0  # children drawn: the paper's count
    cache_bytes: int = 0  # keys and values that passes left behind, in all; not the most at one time


NUMBERS = tuple(f.name for f in fields(Entry) if f.name not in ("phase", "what"))


class Ledger:
    """An append-only list of costs, summed by phase and kind."""

    def __init__(self):
        self._entries: list[Entry] = []
        self._phase = "search"
        self._held = 0  # bytes
        self.peak_bytes = 0  # the most keys, values and logits that the run remembered at one time

    def __getstate__(self) -> dict:
        """What a copy or a pickle gets: its own list of the costs so far, and nothing held, since it sees none go."""
        return self.__dict__ | {"_entries": list(self._entries), "_held": 0}

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every cost so far, in the order in which it arose."""
        return tuple(self._entries)

    @contextmanager
    def phase(self, name: str):
        """Costs inside the block are of this phase ("branch", "rollout", "preview", ...)."""
        before, self._phase = self._phase, name
        try:
            yield self
        finally:
            self._phase = before

    def add(self, what: str, **amounts) -> None:
        """Append one cost; the amounts are fields of `Entry` and cannot be negative."""
        if any(amount < 0 for amount in amounts.values()):
            raise ValueError(f"a ledger only grows; got {amounts}")
        self._entries.append(Entry(self._phase, what, **amounts))

    def hold(self, thing, size: int) -> None:
        """Count `size` bytes as held from now on until `thing` is gone; `peak_bytes` is the most at one time."""
        self._held += size
        self.peak_bytes = max(self.peak_bytes, self._held)
        weakref.finalize(thing, self._let_go, size)

    def _let_go(self, size: int) -> None:
        self._held -= size

    @contextmanager
    def timed(self, what: str, **amounts):
        """Append a cost with the seconds that the block takes; nothing if it fails.

        The block gets the dict of the amounts, to add what is known only afterwards.
        """
        began = time.perf_counter()
        yield amounts
        self.add(what, seconds=time.perf_counter() - began, **amounts)

    def total(self, currency: str, what: str | None = None, phase: str | None = None):
        """The sum of one currency, of one kind or phase where named.  Raises ValueError for an unknown currency."""
        if currency not in NUMBERS:
            raise ValueError(f'unknown currency "{currency}"; known: {", ".join(NUMBERS)}')
        return sum(
            getattr(e, currency)
            for e in self._entries
            if (what is None or e.what == what) and (phase is None or e.phase == phase)
        )

    @property
    def nfe(self) -> int:
        """Guided evaluations that really ran."""
        return self.total("nfe")

    @property
    def paper_nfe(self) -> int:
        """The same search counted as the paper counts."""
        return self.total("paper_nfe")

    def table(self) -> list[dict]:
        """One row of sums per (phase, what), in order of appearance."""
        keys = list(dict.fromkeys((e.phase, e.what) for e in self._entries))
        return [
            {"phase": p, "what": w} | {n: self.total(n, w, p) for n in NUMBERS} for p, w in keys
        ]

    def __str__(self):
        head = f"{'phase':<10}{'what':<13}{'NFE':>7}{'passes':>8}{'tokens':>9}{'GFLOP':>9}"
        head += f"{'pictures':>10}{'seconds':>9}"
        rows = [*self.table(), {"phase": "total", "what": ""} | {n: self.total(n) for n in NUMBERS}]
        lines = [
            f"{r['phase']:<10}{r['what']:<13}{r['nfe']:>7}{r['passes']:>8}{r['tokens']:>9}"
            f"{r['flops'] / 1e9:>9.2f}{r['calls']:>10}{r['seconds']:>9.2f}"
            for r in rows
        ]
        lines.append(f"the paper's convention counts {self.paper_nfe} NFE for the same search")
        if self.peak_bytes:
            peak = f"{self.peak_bytes / 2**20:.1f} MiB"
            lines.append(f"at most {peak} of keys, values and logits were remembered at one time")
        return "\n".join([head, *lines])

"""Speed and memory of the published models, with random weights of their sizes: data/results/published_speed.csv.

    python benchmarks/published_speed.py                            all of it: an hour on two cores
    python benchmarks/published_speed.py --batches 1 --beams 0      the shortest run; beams are computed all the same
    python benchmarks/published_speed.py --models infinity-2b --batches 1 --beams 3 --max-rows 1 --half-scales 0
                                                                    for a GPU of 40 GB or more; nobody has run it

One row per number, with what it was measured on; a run replaces the rows of its own models and leaves the others.
`how` is "measured"; "computed" where a formula alone says it; or "computed from measured passes" for a beam: rows a
scale, counted, times the measured seconds a row and scale, and pictures times the measured seconds of decoding.  The
beams are then run as well, so that the two can be compared: a small one, and with `--beams 3` the two of w c = 15.
`load` is the machine's load average when the row was made: above the number of threads other programs took part of the
time, and the processor's seconds say more than the clock's.  Set OMP_WAIT_POLICY=passive, as for the rows there, or
threads that wait count as the processor's seconds too.

The last rows ask whether float16 is safe for Infinity-125M: random weights of variance 1 / fan-in, one output channel
in a hundred ten times as large (trained transformers have such channels), then all matrices multiplied by a factor.
Trained weights were never seen by this file, the tokenizer's half precision is not in it, nor is a GPU's arithmetic.
"""

import argparse
import contextlib
import copy
import ctypes
import os
import time
from dataclasses import replace
from pathlib import Path

import torch
from tables import replace_rows, stamp
from torch import nn

from vartut import beam_search
from vartut.device import device
from vartut.paths import data_folder, read_lines
from vartut.published.costs import memory
from vartut.published.loading import SIZES, precision
from vartut.published.sampler import SETTINGS, ClassSampler, TextSampler, held_bytes

TEXT = 20  # features of the random prompt
LENGTHS = (4, 10, 20, 40, 80)  # of the prompts for float16
BEAMS = ((2, 2), (15, 3), (15, None))  # children a step (width x candidates) and scales branched at (None: all)
PROMPTS = {"var-d16": "207", "infinity-125m": "random features", "infinity-2b": "random features"}
SMALL = ("var-d16", "infinity-125m")  # those that two cores can run


def random_sampler(name: str, where: torch.device, seed: int):
    """A sampler of published size and settings, every weight random."""
    torch.manual_seed(seed)
    tokenizer, transformer = SIZES[name]()
    transformer = trained_like(transformer).to(where, precision(name, where))
    if name == "var-d16":
        return ClassSampler(tokenizer.to(where), transformer, **SETTINGS[name])
    features = {PROMPTS[name]: torch.randn(TEXT, transformer.text_channels)}
    return TextSampler(tokenizer.to(where), transformer, features, **SETTINGS[name])


def trained_like(model: nn.Module, factor: float = 1.0) -> nn.Module:
    """Random weights of variance 1 / fan-in, times `factor`, one output channel in a hundred ten times as large."""
    for name, parameter in model.named_parameters():
        if name.endswith("scale_mul_1H11"):
            continue
        nn.init.normal_(parameter, std=0.1)
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=factor / parameter.shape[1] ** 0.5)
            parameter.data[torch.randperm(len(parameter))[: len(parameter) // 100]] *= 10
    return model


class Clock:
    """Seconds by the clock and by the processor, the GPU's queue emptied first."""

    def __enter__(self):
        self.wall, self.cpu = self.now()
        return self

    def __exit__(self, *_):
        wall, cpu = self.now()
        self.wall, self.cpu = wall - self.wall, cpu - self.cpu

    @staticmethod
    def now():
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()


@contextlib.contextmanager
def peak_memory():
    """Yields a list that gets the most bytes used beyond what was used before (Linux, or a GPU's allocator)."""
    found = []
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield found
        found.append(torch.cuda.max_memory_allocated() - before)
        return
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what earlier runs freed would be used again, and not be counted
    Path("/proc/self/clear_refs").write_bytes(b"5")  # VmHWM starts anew
    before = status("VmRSS")
    yield found
    found.append(status("VmHWM") - before)


def status(field: str) -> int:
    """Bytes of this process from /proc/self/status."""
    [line] = [line for line in read_lines("/proc/self/status") if line.startswith(field + ":")]
    return 1024 * int(line.split()[1])


def paint(sampler, prompt: str, batch: int, seed: int) -> dict:
    """Paint `batch` pictures together: a clock of every scale and of the decoder, caches and the peak of memory."""
    scales = []
    with peak_memory() as peak:
        state = sampler.begin([prompt] * batch, seed)
        while state.step < sampler.num_steps:
            with Clock() as clock:
                state = sampler.expand(state)
            scales.append(clock)
        with Clock() as decoder:
            sampler.preview(state)
    return {"scales": scales, "decoder": decoder, "held": held_bytes(state), "peak": peak[0]}


def brightness(images, prompts):
    """A verifier that costs nothing."""
    return images.mean((1, 2, 3))


def beam_rows(scales: int, children: int, branched: int) -> list[int]:
    """Rows that a beam with rollouts runs at each scale, if it branches at the first `branched` ones."""
    return [1] + [children * min(k, branched) for k in range(1, scales)]


def speed(name: str, batches: list[int], beams: int, max_rows: int, where: torch.device, seed: int, note) -> None:
    """Pictures a second, memory, and beams of one model; the first `beams` of BEAMS are run too.

    Beams go through the model `max_rows` rows at a time.  In fewer than all, siblings share what their parent has run,
    which the computed bytes do not reckon with: they are the most that it can be.
    """
    sampler, prompt = random_sampler(name, where, seed), PROMPTS[name]
    need = memory((sampler.tokenizer, sampler.transformer), text=TEXT)
    sampler.preview(sampler.expand(sampler.begin(prompt, seed)), grid=2)  # to warm up
    for batch in batches:
        run = paint(sampler, prompt, batch, seed)
        whole = sum(clock.wall for clock in (*run["scales"], run["decoder"]))
        for half, clocks in (("transformer", run["scales"]), ("decoder", [run["decoder"]])):
            note(name, f"{half}: seconds a picture", sum(c.wall for c in clocks) / batch, "s", batch=batch)
            note(name, f"{half}: processor's seconds a picture", sum(c.cpu for c in clocks) / batch, "s", batch=batch)
        note(name, "pictures a second", batch / whole, "1/s", batch=batch)
        note(name, "caches and logits held", run["held"] / 2**20, "MiB", batch=batch)
        note(name, "caches and logits held", batch * need.row() / 2**20, "MiB", "computed", batch=batch)
        note(name, "most memory beside the weights", run["peak"] / 2**20, "MiB", batch=batch)
        above = need.total(batch) - need.weights
        note(name, "most memory beside the weights", above / 2**20, "MiB", "computed", batch=batch)
    for number, (children, branched) in enumerate(BEAMS):
        branched = branched or sampler.num_steps
        rows = beam_rows(sampler.num_steps, children, branched)
        parts = [(n / batch, clock) for n, clock in zip(rows, run["scales"])]
        parts.append((children * branched / batch, run["decoder"]))
        what, how = f"beam, w c = {children}, branching at {branched} scales", "computed from measured passes"
        note(name, f"{what}: seconds", sum(n * c.wall for n, c in parts), "s", how, batch)
        note(name, f"{what}: processor's seconds", sum(n * c.cpu for n, c in parts), "s", how, batch)
        above = need.search(children, max_rows, last=branched - 1) - need.weights
        note(name, f"{what}: most memory beside the weights", above / 2**20, "MiB", "computed", batch=children)
        if number >= beams:
            continue
        width = 3 if children == 15 else 1
        with peak_memory() as peak, Clock() as clock:
            options = {"branch": range(branched), "seed": seed, "max_rows": max_rows}
            found = beam_search(sampler, prompt, brightness, width, children // width, **options)
        assert found.ledger.nfe == sum(rows), "the rows computed are not those that the search runs"
        assert found.ledger.total("calls", "decoder") == children * branched
        note(name, f"{what}: seconds", clock.wall, "s", batch=children)
        note(name, f"{what}: processor's seconds", clock.cpu, "s", batch=children)
        note(name, f"{what}: most memory beside the weights", peak[0] / 2**20, "MiB", batch=children)
        note(name, f"{what}: caches and logits held", found.ledger.peak_bytes / 2**20, "MiB", batch=children)


@torch.no_grad()
def half_precision(where: torch.device, seed: int, scales: int, note) -> None:
    """Infinity-125M in float16 beside float32, the bits forced: the largest value of any linear layer, and errors.

    The prompts are random features of several lengths.
    """
    name = "infinity-125m"
    for factor in (1, 2, 4, 8):
        torch.manual_seed(seed)
        tokenizer, whole = SIZES[name]()
        whole = trained_like(whole, factor).to(where).eval()
        half, tokenizer = copy.deepcopy(whole).half(), tokenizer.to(where).eval()
        features, largest = {str(n): torch.randn(n, whole.text_channels) for n in LENGTHS}, [0.0]
        for layer in half.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_hook(lambda _, __, y, seen=largest: seen.append(y.abs().max().item()))
        paired = [TextSampler(tokenizer, model, features, guidance=4, temperature=0.5) for model in (whole, half)]
        states, error, logits_size, finite = [s.begin(list(features), seed) for s in paired], 0.0, 0.0, True
        for _ in range(scales):
            grown = [s.expand(state) for s, state in zip(paired, states)]
            logits = [state.cells[0].parent.result.logits for state in grown]
            finite &= bool(torch.isfinite(logits[1]).all())
            error = max(error, (logits[1] - logits[0]).abs().nan_to_num(torch.inf).max().item())
            logits_size = max(logits_size, logits[0].abs().max().item())
            states = [grown[0], forced(grown[1], grown[0])]
        what = f"float16, matrices times {factor}, {scales} scales"
        many = {"batch": len(LENGTHS), "n": len(LENGTHS)}
        note(name, f"{what}: largest output of a linear layer", max(largest), "", **many)
        note(name, f"{what}: largest difference of a logit from float32", error, f"of {logits_size:.1f}", **many)
        note(name, f"{what}: all logits finite", int(finite), "1 is yes", **many)


def kind(row: dict) -> tuple[str, bool]:
    """What is replaced together: a model's rows of speed and memory, or those of the check of float16."""
    return row["model"], row["what"].startswith("float16")


def forced(state, like):
    """The state as if it had drawn the other's tokens."""
    return replace(state, sum=like.sum, tokens=like.tokens)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=SMALL, choices=list(PROMPTS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--beams", type=int, default=len(BEAMS), help="how many of the beams to run, from the smallest")
    parser.add_argument("--max-rows", type=int, default=32, help="rows of a beam that go through the model together")
    parser.add_argument("--half-scales", type=int, default=7, help="scales of the check of float16; 0: leave it out")
    parser.add_argument("--seed", type=int, default=0)
    chosen, rows, where = parser.parse_args(), [], device()
    path, made = data_folder() / "results" / "published_speed.csv", {"seed": chosen.seed, **stamp(where)}
    began = time.perf_counter()

    def note(name, what, value, unit, how="measured", batch=1, n=1):
        """One row of the table."""
        dtype = "float16" if what.startswith("float16") else str(precision(name, where)).removeprefix("torch.")
        row = {"model": name, "what": what, "value": f"{value:.4g}", "unit": unit, "how": how, "batch": batch, "n": n}
        row |= {"dtype": dtype, "load": f"{os.getloadavg()[0]:.1f}", **made}
        rows.append(row | {"minutes": f"{(time.perf_counter() - began) / 60:.1f}"})
        print(*list(rows[-1].values())[:9], sep="  ", flush=True)
        replace_rows(path, rows, key=kind)  # so far

    for name in chosen.models:
        speed(name, chosen.batches, chosen.beams, chosen.max_rows, where, chosen.seed, note)
    if chosen.half_scales:
        half_precision(where, chosen.seed, chosen.half_scales, note)

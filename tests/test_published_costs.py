"""What the published models cost, computed; held against torch's FLOP counter, its memory profiler and the tensors."""

import weakref

import pytest
import torch
from parity import cases
from parity.cases import PROMPTS, finish
from parity.cases import sampler as make
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vartut import beam_search
from vartut.ledger import Ledger
from vartut.published import costs
from vartut.published.blocks import Scale
from vartut.published.infinity import BitTokenizer, Infinity, TextCondition, infinity_2b
from vartut.published.sampler import held_bytes
from vartut.published.var import VAR, ClassCondition, VARTokenizer


@pytest.fixture(params=["var_a", "infinity_a"])
def case(request):
    return request.param


@pytest.fixture
def sampler(case):
    return make(case, temperature=0.9)


def redness(images, prompts):
    """A verifier that likes red."""
    return images[:, 0].mean((1, 2)) - images[:, 1:].mean((1, 2, 3))


# ---- floating-point operations -------------------------------------------------------------------------------------


def counted(run) -> int:
    """FLOPs of `run()` by torch's counter, which takes fused attention on a CPU for nothing."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("build", "text_tokens"),
    [
        (lambda: VAR(depth=2, channels=1024, heads=16), 0),
        (lambda: Infinity(depth=4), 23),
        (lambda: Infinity(depth=8, channels=2048, heads=16, bits=32, chunks=8, scales=infinity_2b()[0].scales), 23),
    ],
    ids=["var-d16", "infinity-125m", "infinity-2b"],
)
def test_flops_of_a_pass_are_torchs(build, text_tokens):
    """Published widths in fewer layers, on the meta device: shapes are all that counting needs."""
    with torch.device("meta"):
        model = build()
        width, depth, rows, branches = model.head.in_features, len(model.blocks), 3, 2
        heads = (model.blocks[0].sa if text_tokens else model.blocks[0].attn).heads
        shared = [torch.empty(branches, 1, width), torch.empty(depth, branches, 1, 6, width)]
        shared.append(torch.empty(branches, 1, 2, width))
        told = torch.empty(depth, 2, branches, 1, heads, text_tokens, width // heads)
        condition = TextCondition(*shared, told, None) if text_tokens else ClassCondition(*shared)
        prompt, channels = torch.zeros(rows, dtype=torch.long), model.word_embed.in_features
        for k in (0, 3, len(model.scales) - 1):
            kv = (depth, 2, branches, rows, heads)
            past = [Scale(torch.empty(*kv, n * n, width // heads)) for n in model.scales[:k]]
            latent = torch.empty(rows, channels, model.scales[-1], model.scales[-1])
            truth = counted(lambda k=k, z=latent, p=past: model.step(k, z, condition, prompt, p))
            assert branches * rows * costs.pass_flops(model, k, text_tokens) == pytest.approx(truth, rel=0.01)


@pytest.mark.parametrize("build", [VARTokenizer, BitTokenizer, lambda: infinity_2b()[0]])
def test_flops_of_decoding_are_torchs(build):
    with torch.device("meta"):
        tokenizer = build()
        for grid in (None, 4):
            truth = counted(lambda grid=grid: tokenizer.decode(tokenizer.empty(2), grid))
            assert 2 * costs.decode_flops(tokenizer, grid) == pytest.approx(truth, rel=0.01)


def test_flops_of_whole_pictures_are_torchs(case):
    ledger, sampler = Ledger(), make(case)

    def run():
        state = sampler.expand(sampler.begin(PROMPTS[case][0], 0, ledger), 2)
        sampler.preview(finish(sampler, state))

    truth = counted(run)
    assert ledger.total("flops") == pytest.approx(truth, rel=0.01)
    assert ledger.total("flops", "text") == pytest.approx(counted(lambda: sampler.begin(PROMPTS[case][0], 0)), rel=0.01)


# ---- bytes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guidance", [True, False])
def test_bytes_are_those_of_the_tensors(case, guidance):
    sampler = make(case) if guidance else make(case, guidance=0 if case == "var_a" else 1)
    state = finish(sampler, sampler.begin(PROMPTS[case][0], 0))
    root, *scales = state.cells[0].ancestors()
    length = 0 if case == "var_a" else len(cases.text_features()[0])
    need = costs.memory((sampler.tokenizer, sampler.transformer), guidance=guidance, text=length)
    assert need.kv == tuple(cell.result.kv.nbytes for cell in scales[:-1]) + (0,)
    assert need.logits == tuple(cell.result.logits.nbytes for cell in scales)
    assert need.row() == held_bytes(state)
    condition = [t for t in vars(root.result.condition).values() if t is not None]
    assert need.condition == sum(tensor.nbytes for tensor in condition)
    tensors = [*sampler.tokenizer.state_dict().values(), *sampler.transformer.state_dict().values()]
    assert need.weights == sum(tensor.nbytes for tensor in tensors)


def test_held_bytes_count_what_is_shared_once(sampler, case):
    state = finish(sampler, sampler.expand(sampler.begin(PROMPTS[case][0], 0), 3))
    need = costs.memory((sampler.tokenizer, sampler.transformer))
    assert held_bytes(state) == held_bytes(state, sampler.select(state, [1])) == 3 * need.row() - 2 * need.row(1)


@pytest.mark.parametrize(("branch", "max_rows"), [(None, 32), (None, 4), (range(2), 32), (range(2), 2), (range(1), 2)])
def test_a_beam_never_holds_more_than_the_model_says(sampler, case, monkeypatch, branch, max_rows):
    alive, most = {}, 0
    run = sampler._pass

    def watched(*arguments):
        nonlocal most
        result = run(*arguments)
        for tensor in (result.kv, result.logits):
            if tensor is not None:
                alive[id(tensor)] = tensor.nbytes
                weakref.finalize(tensor, alive.pop, id(tensor), None)
        most = max(most, sum(alive.values()))
        return result

    monkeypatch.setattr(sampler, "_pass", watched)
    beam_search(sampler, PROMPTS[case][0], redness, 2, 3, branch=branch, max_rows=max_rows, seed=0)
    need = costs.memory((sampler.tokenizer, sampler.transformer))
    rows = min(max_rows, 6)
    allowed = need.search(6, max_rows, None if branch is None else branch[-1])
    allowed -= need.weights + need.condition + need.working(rows)
    assert 0.6 * allowed < most <= allowed
    monkeypatch.undo()


def peak_bytes(run) -> int:
    """The most that torch's CPU allocator had given out at one time during `run()`, less what was there before."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.no_grad(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        kept = run()  # noqa: F841  (freed after the profile has ended)
    live = most = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            live += event.nbytes()
            most = max(most, live)
    return most


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [VAR, Infinity])
def test_working_memory_of_a_pass(kind, dtype):
    torch.manual_seed(0)
    model = kind(depth=4, channels=256, heads=4).to(dtype).eval()
    condition = model.encode([3]) if kind is VAR else model.encode([torch.randn(5, 2048)])
    prompt, last = torch.zeros(2, dtype=torch.long), len(model.scales) - 1
    past = [Scale(torch.randn(4, 2, 2, 2, 4, n * n, 64).to(dtype)) for n in model.scales[:-1]]
    latent = torch.randn(2, model.word_embed.in_features, 16, 16)
    measured = peak_bytes(lambda: model.step(last, latent, condition, prompt, past, keep=False))
    assert measured == pytest.approx(2 * 2 * costs.step_bytes(model, last), rel=0.1)


@pytest.mark.parametrize("kind", [VARTokenizer, BitTokenizer])
def test_working_memory_of_decoding_is_the_models_and_the_kernels_workspace(kind):
    torch.manual_seed(0)
    tokenizer = kind(base=32).eval()
    latent = torch.randn(1, tokenizer.empty(1).shape[1], 8, 8)
    measured = peak_bytes(lambda: tokenizer.decode(latent)) / costs.decode_bytes(tokenizer, 8)
    assert 0.9 < measured < 1.4, "the CPU's convolutions take about a quarter more, to reorder their input"


def test_what_fits_is_computed_for_the_published_sizes():
    need = costs.memory("infinity-2b", torch.bfloat16, text=20)
    gigabytes = [round(n / 1e9, 1) for n in (need.transformer, sum(need.kv), sum(need.kv[:9]))]
    assert gigabytes == [4.4, 3.4, 0.8]
    assert need.total(need.most_rows(24e9)) <= 24e9 < need.total(need.most_rows(24e9) + 1)
    assert need.most_rows(1e9) == 0
    assert need.search(15, 1, last=3) < need.search(15, 5, last=3) < need.search(15, last=3) == need.search(15)
    beside = need.weights + need.condition + need.working(1)
    assert need.search(15, 1, last=3) == need.held(15, 1, last=3) + beside == need.one_row(need.held(15, 1, last=3))
    assert need.one_row(100, caches=2, work=3) == 200 + 3 * beside - 2 * need.weights
    assert need.passes[0] == need.kv[0] + need.logits[0]
    assert sum(need.passes) == need.row() == need.held(1)
    with pytest.raises(ValueError, match="did you mean"):
        costs.memory("infinity-2")


# ---- against what a search really remembers --------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["var_a", "infinity_a"])
@pytest.mark.parametrize(("width", "candidates", "last"), [(2, 3, None), (3, 2, 0), (3, 5, 2), (1, 4, 1)])
def test_the_ledgers_peak_is_the_computed_one_where_all_rows_go_together(case, width, candidates, last):
    peak, computed = searched(case, width, candidates, last, max_rows=32)
    assert peak == computed


@pytest.mark.parametrize("max_rows", [1, 2, 4])
@pytest.mark.parametrize("last", [None, 1])
def test_in_smaller_chunks_no_more_is_held_than_computed(max_rows, last):
    peak, computed = searched("var_a", 2, 3, last, max_rows)
    assert 0.6 * computed < peak <= computed


@pytest.mark.parametrize(("width", "candidates"), [(2, 3), (1, 5), (4, 1), (3, 2)])
def test_what_a_beam_holds_where_siblings_share(width, candidates):
    """Where the first step's prefix is one alone, all survivors of later steps may descend from different children."""
    sampler, prompt = make("var_a"), PROMPTS["var_a"][0]
    need = costs.memory((sampler.tokenizer, sampler.transformer))
    most, found = need.beam(width, candidates), []
    for seed in range(3):
        options = {"width": width, "candidates": candidates, "seed": seed, "max_rows": 1}
        found.append(beam_search(sampler, prompt, lambda images, _: images.mean((1, 2, 3)), **options))
    peaks = [result.ledger.peak_bytes for result in found]
    assert max(peaks) <= most <= need.held(width * candidates, 1)
    if candidates == 1 or width == 1:  # prefixes that cannot share, or one prefix alone
        assert peaks == [most] * 3


def searched(case, width, candidates, last, max_rows):
    """The most bytes of keys, values and logits that a beam remembered, and what was computed for it."""
    sampler, prompt = make(case), PROMPTS[case][0]
    text = len(sampler.features([prompt])[0]) if case == "infinity_a" else 0
    need, children = costs.memory((sampler.tokenizer, sampler.transformer), text=text), width * candidates
    branch = None if last is None else range(last + 1)
    options = {"width": width, "candidates": candidates, "branch": branch, "seed": 0, "max_rows": max_rows}
    found = beam_search(sampler, prompt, lambda images, _: images.mean((1, 2, 3)), **options)
    beside = need.weights + need.condition + need.working(min(children, max_rows))
    return found.ledger.peak_bytes, need.search(children, max_rows, last) - beside

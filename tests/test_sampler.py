"""The sampler against one block-causal forward pass, exact distributions and pictures painted alone."""

import hashlib

import numpy as np
import pytest
import torch
from contract import finish, near_ties
from scipy.stats import chisquare, kstest
from torch.nn import functional as F
from toy_models import randomise, toy_sampler, toy_tokenizer

from vartut.models.next_scale import NextScaleSampler, keep_likely
from vartut.models.protocol import row_seed, uniform
from vartut.models.transformer import NextScaleTransformer
from vartut.world import WORDS, token_ids

PROMPTS = ["a red circle left of a blue square", "three stars", "a red circle left of a blue square", "an orange ring"]


@pytest.fixture(params=[False, True], ids=["codebook", "bits"])
def sampler(request):
    """A sampler that uses all of its settings."""
    return toy_sampler(request.param, guidance=2.5, temperature=[1, 1, 0.9, 0.8, 0.7, 0.6], top_k=20, top_p=0.95)


def teacher_forced(sampler, state, prompts):
    """Logits of all positions from one uncached pass over the state's tokens, a tensor per scale."""
    tokenizer, inputs = sampler.tokenizer, []
    for k in range(1, sampler.num_steps):
        inputs.append(tokenizer.shrink(tokenizer.latent(list(state.tokens[:k])), k))
    with torch.no_grad():
        logits = sampler.transformer(token_ids(prompts), inputs)
    return logits.split([n * n for n in tokenizer.scales], 1)


# ---- one pass per scale against one pass for all -------------------------------------------------------------------


def test_cached_logits_equal_uncached(sampler):
    state = finish(sampler, sampler.begin(PROMPTS, 3))
    for branch, prompts in enumerate((PROMPTS, [""] * len(PROMPTS))):
        whole = teacher_forced(sampler, state, prompts)
        for row in range(len(state)):
            for k, cell in enumerate(state.cells[row].ancestors()[1:]):
                cached = cell.result.logits[cell.row, branch]
                assert (cached - whole[k][row]).abs().max() <= 1e-4, f"scale {k}, branch {branch}"


def test_log_prob_is_the_teacher_forced_likelihood_unguided_and_untempered(sampler):
    state = finish(sampler, sampler.begin(PROMPTS, 4))
    logits, total = teacher_forced(sampler, state, PROMPTS), 0
    for k, tokens in enumerate(state.tokens):
        picked = torch.distributions.Categorical(logits=logits[k]).log_prob(tokens)
        total = total + picked.flatten(1).sum(1)
    torch.testing.assert_close(state.log_prob, total, atol=2e-3, rtol=0)


def test_a_scale_alone_adds_its_own_likelihood(sampler):
    first = sampler.expand(sampler.begin(PROMPTS, 4))
    alone = teacher_forced(sampler, finish(sampler, first), PROMPTS)[0].log_softmax(-1)
    want = alone.gather(-1, first.tokens[0][..., None]).flatten(1).sum(1)
    torch.testing.assert_close(first.log_prob, want, atol=1e-4, rtol=0)


def test_forking_equals_recomputing_from_the_tokens(sampler):
    state = sampler.expand(sampler.begin(PROMPTS, 5), 3)
    state = sampler.select(sampler.expand(sampler.select(state, [7, 0, 0, 11]), [2, 1, 0, 3]), [5, 1, 2])
    state = finish(sampler, sampler.expand(state, 2))
    latent = sampler.tokenizer.latent(list(state.tokens))
    torch.testing.assert_close(sampler.latent(state), latent, atol=1e-5, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(sampler.preview(state), sampler.tokenizer.preview(list(state.tokens)))
    ties = 0
    for row in range(len(state)):  # paint every row anew, alone, by its path
        alone = sampler.begin([state.prompts[row]], [state.seeds[row]])
        for child in state.paths[row]:
            alone = sampler.expand(alone, 1, first=child)
        ties += near_ties(sampler, alone, state, [row])
        if ties == 0:
            torch.testing.assert_close(alone.log_prob[0], state.log_prob[row], atol=1e-3, rtol=0)
    print(f"{ties} near-ties")
    assert ties <= 1


def test_preview_of_every_prefix_is_the_tokenizers(sampler):
    state = sampler.begin(PROMPTS[:2], 6)
    for k in range(sampler.num_steps):
        state = sampler.expand(state)
        assert state.step == k + 1
        with torch.no_grad():
            want = sampler.tokenizer.preview(list(state.tokens))
        picture = sampler.preview(state)
        assert picture.shape == (2, 3, 64, 64)
        assert picture.min() >= 0
        assert picture.max() <= 1
        torch.testing.assert_close(picture, want, atol=1e-5, rtol=0)


# ---- what a picture depends on -------------------------------------------------------------------------------------


def test_threads_do_not_matter(sampler):
    before, states = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            states.append(finish(sampler, sampler.expand(sampler.begin(PROMPTS, 9), 2)))
    finally:
        torch.set_num_threads(before)
    ties = near_ties(sampler, states[0], states[1]) + near_ties(sampler, states[0], states[2])
    print(f"{ties} near-ties")
    assert ties <= 1


def test_seeds_and_paths_decide_the_draw():
    sampler = toy_sampler()
    state = finish(sampler, sampler.begin(["a star"] * 3, [1, 2, 1]))
    assert all(torch.equal(t[0], t[2]) for t in state.tokens)
    assert any(not torch.equal(t[0], t[1]) for t in state.tokens)
    siblings = sampler.expand(sampler.begin("a star", [1]), 40)
    assert len(siblings.tokens[0].unique()) > 3
    assert sampler.begin(["a star"] * 2, 7).seeds == (row_seed(7, 0), row_seed(7, 1))


# ---- nothing twice -------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch):
    """A sampler and the list of how many rows (one branch counted) each call of its network had."""
    sampler, calls = toy_sampler(guidance=2.0), []
    step = sampler.transformer.step

    def counting(k, shrunk, past):
        calls.append(past[0].shape[2] // 2)  # conditional and unconditional
        return step(k, shrunk, past)

    monkeypatch.setattr(sampler.transformer, "step", counting)
    return sampler, calls


def test_a_state_remembers_its_pass(counted):
    sampler, calls = counted
    state = sampler.expand(sampler.begin("a star", 0), 3)
    finish(sampler, state)
    assert sum(calls) == 1 + 3 * 5
    again = sampler.expand(state, 4, first=1)  # the pass of each ran in the rollout
    assert sum(calls) == 1 + 3 * 5
    finish(sampler, sampler.select(again, [0, 1]))
    assert sum(calls) == 1 + 3 * 5 + 2 * 4
    assert state.ledger.nfe == sum(calls)
    assert state.ledger.total("passes", "transformer") == 2 * sum(calls)


def test_half_run_batches_run_the_rest_alone(counted):
    sampler, calls = counted
    state = sampler.expand(sampler.begin("a star", 0), 4)
    sampler.expand(sampler.select(state, [1, 3]))
    sampler.expand(state)
    assert calls == [1, 2, 2]


def test_a_prompt_is_encoded_once(monkeypatch):
    sampler, seen = toy_sampler(), []
    encode = sampler.transformer.encode_text
    monkeypatch.setattr(sampler.transformer, "encode_text", lambda ids: seen.append(len(ids)) or encode(ids))
    state = sampler.begin(PROMPTS, 0)  # three distinct ones, and the unconditional
    finish(sampler, state)
    assert seen == [4]
    assert state.ledger.total("passes", "text") == 4


def test_without_guidance_there_is_one_branch():
    state = finish(sampler := toy_sampler(guidance=1), sampler.begin("a star", 0))
    assert state.ledger.nfe == 6
    assert state.ledger.total("passes", "transformer") == 6


# ---- the draws -----------------------------------------------------------------------------------------------------


def expected_frequencies(sampler, state, k):
    """The exact distribution of the first token of step k of a state of one row, guided and tempered, in float64."""
    cell = state.cells[0]
    logits = cell.result.logits[cell.row].double()
    mixed = logits[1] + sampler.guidance[k] * (logits[0] - logits[1])
    return (mixed / sampler.temperature[k]).softmax(-1)[0].numpy()


@pytest.mark.parametrize("bitwise", [False, True])
@pytest.mark.parametrize("k", [0, 2])
def test_frequencies_match_the_exact_distribution(bitwise, k):
    sampler, n = toy_sampler(bitwise, guidance=1.7, temperature=1.3), 4000
    state = sampler.begin("a red star", 1)
    for _ in range(k):
        state = sampler.expand(state)
    tokens = sampler.expand(state, n).tokens[k][:, 0]  # the first place of the scale
    exact = expected_frequencies(sampler, state, k)
    if bitwise:
        for bit in range(sampler.tokenizer.channels):
            counts = np.bincount(tokens[:, bit].numpy(), minlength=2)
            assert chisquare(counts, n * exact[bit]).pvalue > 1e-4, f"bit {bit}: {counts} for {n * exact[bit]}"
        return
    counts, want = np.bincount(tokens.numpy(), minlength=32), n * exact
    rare = want < 5  # chi-square wants five expected of each
    counts = [*counts[~rare], counts[rare].sum() + 1e-9]
    want = [*want[~rare], want[rare].sum() + 1e-9]
    assert chisquare(counts, want).pvalue > 1e-4


def test_tokens_of_a_scale_are_drawn_independently():
    sampler = toy_sampler(guidance=1)
    state = sampler.expand(sampler.begin("a red star", 1))
    tokens = sampler.expand(state, 4000).tokens[1]  # (4000, 4)
    cell = state.cells[0]
    p = cell.result.logits[cell.row, 0].softmax(-1)  # (4, 32)
    a, b = p[0].argmax(), p[1].argmax()
    both = ((tokens[:, 0] == a) & (tokens[:, 1] == b)).float().mean()
    want = p[0, a] * p[1, b]
    assert abs(both - want) < 4 * (want * (1 - want) / 4000).sqrt()


def test_temperature_zero_takes_the_likeliest():
    sampler = toy_sampler(guidance=3, temperature=0)
    state = sampler.begin("a red star", 1)
    children = sampler.expand(state, 5)
    assert torch.equal(children.tokens[0], torch.full((5, 1), expected_argmax(sampler, state)))


def expected_argmax(sampler, state):
    """The likeliest first token under guidance."""
    logits = state.cells[0].result.logits[state.cells[0].row]
    return int((logits[1] + sampler.guidance[0] * (logits[0] - logits[1]))[0].argmax())


def nucleus(logits, top_k, top_p):
    """The classes that may be drawn: one by one from the likeliest until the probability suffices."""
    order = sorted(range(len(logits)), key=lambda i: -logits[i])[: top_k or None]
    p = np.exp(np.array([logits[i] for i in order], dtype=np.float64))
    p, kept, total = p / p.sum(), set(), 0.0
    for i, share in zip(order, p):
        if kept and total >= top_p:
            break
        kept.add(i)
        total += share
    return kept


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1), (5, 1), (0, 0.6), (7, 0.8), (1, 1), (0, 0), (100, 0.99)])
def test_keep_likely_keeps_the_nucleus(top_k, top_p):
    logits = torch.randn(6, 9, 32, generator=torch.Generator().manual_seed(2))
    kept = keep_likely(logits, top_k, top_p)
    for row, found in zip(logits.view(-1, 32).tolist(), kept.view(-1, 32)):
        assert {i for i in range(32) if found[i] > float("-inf")} == nucleus(row, top_k, top_p)
    assert torch.equal(kept[kept > float("-inf")], logits[kept > float("-inf")])


def test_only_kept_classes_are_drawn():
    sampler = toy_sampler(guidance=1, temperature=2.0, top_k=3, top_p=0.9)
    state = sampler.begin("a ring", 1)
    tokens = sampler.expand(state, 500).tokens[0]
    cell = state.cells[0]
    logits = cell.result.logits[cell.row, 0, 0] / 2.0
    assert set(tokens.flatten().tolist()) == nucleus(logits.tolist(), 3, 0.9)


def philox(key: int, blocks: int):
    """Philox 4x64-10 (Salmon et al. 2011), in plain integers: the first numbers that NumPy gives, as uint64."""
    word, numbers = 2**64 - 1, []
    for counter in range(1, blocks + 1):
        c, k = [counter, 0, 0, 0], [key & word, key >> 64]
        for _ in range(10):
            a, b = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
            c = [(b >> 64) ^ c[1] ^ k[0], b & word, (a >> 64) ^ c[3] ^ k[1], a & word]
            k = [(k[0] + 0x9E3779B97F4A7C15) & word, (k[1] + 0xBB67AE8584CAA73B) & word]
        numbers += c
    return numbers


def test_uniform_is_philox_of_a_hash():
    digest = hashlib.blake2b(repr((5, (0, 3))).encode(), digest_size=16).digest()
    halves = [h for raw in philox(int.from_bytes(digest, "big"), 2) for h in (raw & (2**32 - 1), raw >> 32)]
    want = [((h >> 9) + 0.5) / 2**23 for h in halves]
    assert uniform(5, (0, 3), 16).tolist() == want
    assert uniform(5, (0, 3), 7).tolist() == want[:7]


def test_only_plain_integers_are_hashed():
    for kind in (np.int64, np.uint8, torch.tensor):
        assert torch.equal(uniform(kind(5), (kind(0), kind(3)), 7), uniform(5, (0, 3), 7))
        assert row_seed(kind(5), kind(3)) == row_seed(5, 3)
    assert torch.equal(uniform(5, torch.tensor([0, 3]), 7), uniform(5, (0, 3), 7))
    assert row_seed(5, 3) == row_seed(5, "3") == int.from_bytes(hashlib.blake2b(b"5/3", digest_size=7).digest(), "big")
    for wrong in (5.0, "5", True, None):
        for call, given in ((uniform, (wrong, (0,), 1)), (uniform, (5, (wrong,), 1)), (row_seed, (wrong, 3))):
            with pytest.raises(ValueError, match="whole number"):
                call(*given)


def test_uniform_is_uniform_and_never_0_or_1(monkeypatch):
    numbers = torch.cat([uniform(0, (child,), 5000) for child in range(10)]).numpy()
    assert kstest(numbers, "uniform").pvalue > 1e-4
    assert len(np.unique(uniform(0, (0,), 5000)[:50].numpy())) == 50
    for raw in (0, 2**64 - 1):

        class Fixed:
            def __init__(self, key):
                pass

            def random_raw(self, n, raw=raw):
                return np.full(n, raw, dtype=np.uint64)

        monkeypatch.setattr(np.random, "Philox", Fixed)
        edge = uniform(0, (), 2)
        assert ((edge > 0) & (edge < 1)).all()
        assert torch.isfinite(-(-edge.log()).log()).all()


# ---- bad input -----------------------------------------------------------------------------------------------------


def test_bad_input_is_refused_in_a_line(sampler):
    state = sampler.begin(["a star", "a ring"], 0)
    cases = [
        (lambda: sampler.begin([], 0), "at least one prompt"),
        (lambda: sampler.begin("a rad circle", 0), 'the nearest known word is "red"'),
        (lambda: sampler.begin(["a star"], [1, 2]), "seed"),
        (lambda: sampler.expand(state, -1), "n is a whole number of at least 0; got -1"),
        (lambda: sampler.expand(state, [1]), "one for each of 2"),
        (lambda: sampler.expand(state, 1, first=-1), "first is a whole number of at least 0; got -1"),
        (lambda: sampler.expand(finish(sampler, state)), "finished"),
        (lambda: sampler.select(state, [2]), "rows are 0 to 1"),
        (lambda: sampler.select(state, [-1]), "rows are 0 to 1"),
        (lambda: sampler.tuned(temperature=-1), "temperature"),
        (lambda: sampler.tuned(top_p=1.5), "top_p"),
        (lambda: sampler.tuned(guidance=[1, 2]), "6 scales"),
        (lambda: sampler.tuned(cfg=3), 'unknown setting "cfg"; did you mean'),
        (lambda: sampler.tuned(top_k=1.5), "top_k is a whole number; got 1.5"),
    ]
    for call, text in cases:
        with pytest.raises(ValueError, match=text) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_model_of_fewer_words_reads_short_prompts_and_refuses_long_ones():
    """The number of words is the model's own, whatever the reader's padding."""
    tokenizer = toy_tokenizer()
    transformer = randomise(NextScaleTransformer(tokenizer, len(WORDS), 4, width=32, depth=2, heads=2), 0.3)
    pictures = []
    for columns in (3, 4, 9):
        read = lambda prompts, columns=columns: F.pad(token_ids(prompts)[:, :3], (0, columns - 3))  # noqa: E731
        sampler = NextScaleSampler(tokenizer, transformer, read)
        pictures.append(sampler.preview(finish(sampler, sampler.begin("a red star", 0))))
    assert torch.equal(pictures[0], pictures[1])
    assert torch.equal(pictures[0], pictures[2])
    with pytest.raises(ValueError, match="a prompt has 8 words; this model reads at most 4") as caught:
        NextScaleSampler(tokenizer, transformer, token_ids).begin(["a star", PROMPTS[0]], 0)
    assert "\n" not in str(caught.value)


def test_tuned_shares_the_weights_and_leaves_the_original(sampler):
    cold = sampler.tuned(temperature=0)
    assert cold.transformer is sampler.transformer
    assert cold.temperature == [0] * 6
    assert sampler.temperature[0] == 1
    handed, given = sampler.tuned(), [3.0, 2.0, 1.0, 1.0, 1.0, 1.0]
    handed.guidance.reverse()
    handed.temperature[0] = 7
    assert sampler.temperature[0] == 1
    other = sampler.tuned(guidance=given)
    other.guidance.reverse()
    assert given[0] == 3


def test_settings_per_scale_are_of_any_kind(sampler):
    wanted = [1.0, 1.4, 1.8, 2.2, 2.6, 3.0]
    for values in (np.linspace(1, 3, 6), torch.linspace(1, 3, 6), tuple(wanted), (v for v in wanted)):
        found = sampler.tuned(guidance=values, temperature=1).guidance
        assert found == pytest.approx(wanted)
        assert all(type(value) is float for value in found)
    for kind in (np.int64, torch.tensor):
        assert sampler.tuned(top_k=kind(5)).top_k == [5] * 6
        assert sampler.tuned(top_k=[kind(5)] * 6).top_k == [5] * 6
    assert sampler.tuned(top_k=np.arange(6)).top_k == [0, 1, 2, 3, 4, 5]
    for name, value in (
        ("top_k", [1, 2, 3, 4, 5, 6.5]), ("top_k", True), ("top_k", -1), ("guidance", "234567"),
        ("guidance", [1, 2, 3, 4, 5, None]), ("temperature", np.full(6, np.nan)), ("top_p", np.ones((2, 3))),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=name) as caught:
            sampler.tuned(**{name: value})
        assert "\n" not in str(caught.value)

"""The transformer: its mask by gradients, its steps against one pass, its attention against torch's own."""

import pytest
import torch
from torch.nn import functional as F
from toy_models import randomise, toy_tokenizer, toy_transformer

from vartut.models.transformer import Attention, block_causal_mask, centres
from vartut.world import MAX_WORDS, token_ids

SIDES = (1, 2, 3, 4, 6, 8)
PROMPTS = ["two red stars", "a ring above an orange heart"]


@pytest.fixture(params=[False, True], ids=["codebook", "bits"])
def transformer(request):
    """A toy transformer; its inputs are random numbers here, not sums of codes."""
    torch.manual_seed(0)
    return randomise(toy_transformer(toy_tokenizer(request.param)), 0.3)


def inputs_of(transformer, rows=2):
    """Random inputs for scales 1 to 5, each (B, n_k^2, C), that want gradients."""
    draws = torch.Generator().manual_seed(3)
    channels = transformer.input.in_features
    return [torch.randn(rows, n * n, channels, generator=draws, requires_grad=True) for n in SIDES[1:]]


def test_mask_by_its_definition():
    lengths = [3, 1, 4, 2]
    block = [b for b, length in enumerate(lengths) for _ in range(length)]
    mask = block_causal_mask(lengths)
    assert mask.shape == (10, 10)
    assert all(bool(mask[i, j]) == (block[j] <= block[i]) for i in range(10) for j in range(10))


def test_gradients_prove_the_mask(transformer):
    """A scale's logits depend on all of its own inputs and on all coarser ones, and on no finer one."""
    inputs = inputs_of(transformer)
    logits = transformer(token_ids(PROMPTS), inputs).split([n * n for n in SIDES], 1)
    for k in range(6):
        for place in (0, SIDES[k] ** 2 - 1):  # its first and its last token
            wanted = logits[k][0, place].square().sum()
            found = torch.autograd.grad(wanted, inputs, retain_graph=True, allow_unused=True)
            for j, gradient in enumerate(found, start=1):
                moved = 0 if gradient is None else int((gradient[0].abs().sum(-1) > 0).sum())
                assert moved == (SIDES[j] ** 2 if j <= k else 0), f"scale {k} sees {moved} inputs of scale {j}"
                assert gradient is None or not gradient[1].any(), "a row sees another row"


def test_every_scale_reads_the_text(transformer):
    inputs = [x.detach() for x in inputs_of(transformer)]
    transformer.word.weight.requires_grad_(True)
    logits = transformer(token_ids(PROMPTS), inputs).split([n * n for n in SIDES], 1)
    red = token_ids(["red"])[0, 0]
    for k in range(6):
        [gradient] = torch.autograd.grad(logits[k][0].square().sum(), [transformer.word.weight], retain_graph=True)
        assert gradient[red].any(), f"scale {k} does not see the word"
        assert not gradient[token_ids(["blue"])[0, 0]].any()


def test_steps_with_cached_keys_equal_one_pass(transformer):
    ids, inputs = token_ids(PROMPTS), [x.detach() for x in inputs_of(transformer)]
    with torch.no_grad():
        whole = transformer(ids, inputs).split([n * n for n in SIDES], 1)
        past = [transformer.encode_text(ids)]
        for k in range(6):
            logits, kv = transformer.step(k, inputs[k - 1] if k else None, past)
            assert (logits - whole[k]).abs().max() <= 1e-4, f"scale {k}"
            past.append(kv)
    assert torch.cat(past, 4).shape == (2, 2, 2, 2, MAX_WORDS + 130, 16)  # (depth, 2, B, H, positions, D)


def test_attention_is_scaled_dot_product_attention():
    torch.manual_seed(0)
    attention, x = Attention(32, 4), torch.randn(2, 10, 32)
    torch.nn.init.normal_(attention.gain)
    mask = block_causal_mask([4, 1, 5])
    q, k, v = attention.qkv(x).view(2, 10, 3, 4, 8).permute(2, 0, 3, 1, 4)
    normal = lambda t: (t - t.mean(-1, keepdim=True)) / (t.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()  # noqa: E731
    y = F.scaled_dot_product_attention(normal(q) * attention.gain, normal(k), v, attn_mask=mask)
    want = attention.out(y.transpose(1, 2).reshape(2, 10, 32))
    torch.testing.assert_close(attention(x, mask)[0], want, atol=1e-5, rtol=1e-4)


def test_attention_does_not_care_how_long_queries_and_keys_are():
    torch.manual_seed(0)
    attention, x = Attention(32, 4), torch.randn(2, 10, 32)
    before, _ = attention(x)
    with torch.no_grad():
        attention.qkv.weight[:64] *= 30  # queries and keys, not values
    torch.testing.assert_close(attention(x)[0], before, atol=1e-3, rtol=1e-3)


def test_the_same_place_has_the_same_code_at_every_scale():
    codes = centres((1, 2, 3, 6), 32).split([1, 4, 9, 36])
    torch.testing.assert_close(codes[0][0], codes[2][4])  # the middle of 1 x 1 and of 3 x 3
    assert codes[3].unique(dim=0).shape[0] == 36
    distance = torch.cdist(codes[1], codes[3])  # a place of the 2 x 2 map is nearest to what it covers
    assert [i.item() for i in distance.argmin(1)] == [7, 10, 25, 28]


def test_a_fresh_transformer_knows_nothing():
    transformer = toy_transformer(toy_tokenizer())
    with torch.no_grad():
        logits = transformer(token_ids(PROMPTS), [x.detach() for x in inputs_of(transformer)])
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(entropy, torch.full_like(entropy, 32.0).log(), atol=0.02, rtol=0)

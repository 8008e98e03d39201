"""Infinity against the authors' own code: names, logits, greedy bits, pictures, tokenizer (data: parity/)."""

import pytest
import torch
from parity import cases

from vartut.published.blocks import Scale
from vartut.published.infinity import SCALES_1M, BitTokenizer, Infinity, infinity_2b, rotary_angles


def walk(bits_of_scale, dtype=torch.float32):
    """All scales in order: yields (k, guided logits over tau, latent after the scale), bits chosen by the caller."""
    tokenizer, model, config = cases.infinity(dtype)
    condition, latent, past = model.encode(cases.text_features()), tokenizer.empty(2), []
    for k in range(len(model.scales)):
        step = model.step(k, latent, condition, None, past)
        past.append(Scale(step.kv))
        logits = model.guide(k, step.conditional, step.unconditional, config["cfg"]) / config["tau"]
        latent = tokenizer.add(k, latent, bits_of_scale(k, logits))
        yield k, logits, latent


def shapes_of_checkpoint(name):
    return {BitTokenizer.rename(n): shape for n, shape in cases.models()["checkpoints"][name].items()}


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("infinity_125M", Infinity),
        ("infinity_2b_reg", lambda: infinity_2b()[1]),
        ("infinity_vae_d16", BitTokenizer),
        ("infinity_vae_d32reg", lambda: infinity_2b()[0]),
    ],
)
def test_the_full_size_checkpoint_fits_by_name_and_shape(name, build):
    with torch.device("meta"):
        module = build()
    checkpoint = cases.models()["checkpoints"][name]
    renamed = shapes_of_checkpoint(name)
    assert len(renamed) == len(checkpoint), "two names became one"
    assert cases.shapes(module) == renamed


def test_parameter_counts_and_lengths_are_the_published_ones():
    with torch.device("meta"):
        small, large = Infinity(), infinity_2b()[1]
    assert round(sum(t.numel() for t in small.state_dict().values()) * 4 / 1e6) == 501  # MB of the published file
    assert round(sum(p.numel() for p in large.parameters()) / 1e9, 2) == 2.20
    assert [sum(n * n for n in model.scales) for model in (small, large)] == [521, 10521]


@pytest.mark.parametrize("mode", ["greedy", "sampled"])
def test_logits_agree_under_forced_bits(mode):
    golden = cases.goldens("infinity_a")
    for k, logits, _ in walk(lambda k, _: golden[f"{mode}.bits.{k}"]):
        torch.testing.assert_close(logits, golden[f"{mode}.logits.{k}"], atol=1e-4, rtol=0)


def test_greedy_bits_and_picture_agree():
    golden, drawn = cases.goldens("infinity_a"), {}

    def likeliest(k, logits):
        drawn[k] = logits.argmax(-1)
        return drawn[k]

    *_, (_, _, latent) = walk(likeliest)
    for k, bits in drawn.items():
        assert torch.equal(bits, golden[f"greedy.bits.{k}"].long()), f"scale {k}"
    picture = cases.infinity()[0].decode(latent[:1])
    as_published = (picture * 255).to(torch.uint8).permute(0, 2, 3, 1).flip(-1).int()  # blue first
    difference = (as_published - golden["greedy.image_uint8_bgr"].int()).abs()
    assert difference.max() <= 1, "rounding down may differ by one level"
    assert (difference > 0).float().mean() < 1e-3


def test_tokenizer_encoder_bits_and_sum_agree():
    tokenizer, golden = cases.infinity()[0], cases.goldens("infinity_a")
    images = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    head = torch.tensor([-0.0075, 0.5364, -0.8230])
    torch.testing.assert_close(2 * images.flatten()[:3] - 1, head, atol=1e-4, rtol=0, msg="torch.rand has changed")
    encoded = tokenizer.encoder(2 * images - 1)
    torch.testing.assert_close(encoded, golden["tokenizer.encoder_output"], atol=1e-4, rtol=0)
    latent = tokenizer.empty(1)
    for k, bits in enumerate(tokenizer.encode(images)):
        assert torch.equal(bits, golden[f"tokenizer.bits.{k}"].flatten(1, 3).long()), f"scale {k}"
        latent = tokenizer.add(k, latent, bits)
    torch.testing.assert_close(latent, golden["tokenizer.code_sum"], atol=1e-5, rtol=0)


def test_a_preview_on_a_smaller_grid_is_a_smaller_picture():
    tokenizer = cases.infinity()[0]
    latent = tokenizer.add(0, tokenizer.empty(1), torch.ones(1, 1, 16))
    assert tokenizer.decode(latent, grid=4).shape == (1, 3, 64, 64)


def test_a_prompt_does_not_see_its_neighbours_in_the_batch():
    _, model, _ = cases.infinity()
    short, long = cases.text_features()
    together = model.step(0, None, model.encode([short, long]))
    for row, text in enumerate((short, long)):
        alone = model.step(0, None, model.encode([text]))
        torch.testing.assert_close(alone.conditional[0], together.conditional[row], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.unconditional[0], together.unconditional[row], atol=1e-5, rtol=0)


def test_forks_of_one_prefix_equal_separate_runs():
    tokenizer, model, _ = cases.infinity()
    text, golden, rows = cases.text_features(), cases.goldens("infinity_a"), torch.tensor([1, 0, 1])

    def prefix(texts, order):
        condition, latent, past = model.encode(texts), tokenizer.empty(len(texts)), []
        for k in range(2):
            step = model.step(k, latent, condition, None, past)
            past.append(Scale(step.kv))
            latent = tokenizer.add(k, latent, golden[f"sampled.bits.{k}"][order])
        return condition, latent, past

    condition, latent, past = prefix(text, [0, 1])
    forked = model.step(2, latent[rows], condition, rows, [Scale(kv, rows) for kv, _ in past])
    condition, latent, past = prefix([text[1], text[0], text[1]], [1, 0, 1])
    separate = model.step(2, latent, condition, None, past)
    torch.testing.assert_close(forked.conditional, separate.conditional, atol=1e-5, rtol=0)
    torch.testing.assert_close(forked.unconditional, separate.unconditional, atol=1e-5, rtol=0)
    assert not torch.allclose(separate.conditional[0], separate.conditional[1], atol=1e-2), "the rows must differ"


def test_rotary_positions_agree_between_scales_where_their_tokens_do():
    """Token i of a map of side n stands where token i * 64 / n of the largest map stands."""
    large = rotary_angles(64, 96).view(64, 64, 48)
    for size in (1, 2, 4, 8, 16, 32):
        stride = 64 // size
        assert torch.equal(rotary_angles(size, 96).view(size, size, 48), large[::stride, ::stride])
    assert rotary_angles(48, 96).view(48, 48, 48)[1, 0, 0] == 1  # 64 / 48 rounds to the next place
    assert SCALES_1M[-1] == 64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close_to_float32(dtype):
    golden = cases.goldens("infinity_a")
    for k, logits, _ in walk(lambda k, _: golden[f"greedy.bits.{k}"], dtype):
        error = (logits - golden[f"greedy.logits.{k}"]).abs().max()
        assert 0 < error < (0.3 if dtype == torch.bfloat16 else 0.04), f"scale {k}: {error}"


def test_names_of_wrapped_and_plain_checkpoints_agree():
    assert BitTokenizer.rename("encoder.conv_in.conv.weight") == "encoder.conv_in.weight"
    assert BitTokenizer.rename("encoder.down.0.downsample.conv.conv.bias") == "encoder.down.0.downsample.conv.bias"
    assert BitTokenizer.rename("encoder.down.0.block.1.norm2.norm.bias") == "encoder.down.0.block.1.norm2.bias"
    for name in cases.models()["checkpoints"]["infinity_vae_d16"]:
        assert BitTokenizer.rename(BitTokenizer.rename(name)) == BitTokenizer.rename(name)


@pytest.mark.parametrize("features", [torch.zeros(5, 64), torch.zeros(0, 128), torch.zeros(513, 128), torch.zeros(128)])
def test_wrong_features_are_refused(features):
    with pytest.raises(ValueError, match=r"must have the shape \(1 to 512, 128\)"):
        cases.infinity()[1].encode([features])


def test_no_prompt_is_refused():
    with pytest.raises(ValueError, match="at least one prompt"):
        cases.infinity()[1].encode([])

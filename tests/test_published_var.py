"""VAR against the authors' own code: names, logits, greedy tokens, pictures, tokenizer (data and sources: parity/)."""

import pytest
import torch
from parity import cases

from vartut.published.blocks import Scale
from vartut.published.loading import load_into
from vartut.published.var import VAR, VARTokenizer

CASES = ("var_a", "var_b")


def walk(case, tokens_of_scale, dtype=torch.float32):
    """All scales in order: yields (k, guided logits, latent after the scale), tokens chosen by the caller."""
    tokenizer, model, config = cases.var(case, dtype)
    condition, latent, past = model.encode(config["labels"]), tokenizer.empty(len(config["labels"])), []
    for k in range(len(model.scales)):
        step = model.step(k, latent, condition, None, past)
        past.append(Scale(step.kv))
        logits = model.guide(k, step.conditional, step.unconditional, config["cfg"])
        latent = tokenizer.add(k, latent, tokens_of_scale(k, logits))
        yield k, logits, latent


@pytest.mark.parametrize(("name", "build"), [("var_d16", VAR), ("vae_ch160v4096z32", VARTokenizer)])
def test_the_full_size_checkpoint_fits_by_name_and_shape(name, build):
    with torch.device("meta"):
        module = build()
    assert cases.shapes(module) == cases.models()["checkpoints"][name]


def test_parameter_counts_are_the_published_ones():
    with torch.device("meta"):
        counts = [sum(p.numel() for p in build().parameters()) for build in (VAR, VARTokenizer)]
    assert [round(n / 1e6) for n in counts] == [310, 109]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", ["greedy", "sampled"])
def test_logits_agree_under_forced_tokens(case, mode):
    golden = cases.goldens(case)
    for k, logits, _ in walk(case, lambda k, _: golden[f"{mode}.tokens.{k}"].long()):
        torch.testing.assert_close(logits, golden[f"{mode}.logits.{k}"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_greedy_tokens_and_picture_agree(case):
    golden, drawn = cases.goldens(case), {}

    def likeliest(k, logits):
        drawn[k] = logits.argmax(-1)
        return drawn[k]

    *_, (_, _, latent) = walk(case, likeliest)
    for k, tokens in drawn.items():
        assert torch.equal(tokens, golden[f"greedy.tokens.{k}"].long()), f"scale {k}"
    picture = cases.var(case)[0].decode(latent)
    torch.testing.assert_close(picture, golden["greedy.image"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_tokenizer_indices_and_previews_agree(case):
    tokenizer, golden = cases.var(case)[0], cases.goldens(case)
    tokens, latent = tokenizer.encode(golden["tokenizer.input"] / 2 + 0.5), tokenizer.empty(1)
    for k in range(len(tokenizer.scales)):
        assert torch.equal(tokens[k], golden[f"tokenizer.indices.{k}"].long()), f"scale {k}"
        latent = tokenizer.add(k, latent, tokens[k])
        if f"tokenizer.preview.{k}" in golden:
            preview = tokenizer.decode(latent)
            torch.testing.assert_close(preview, golden[f"tokenizer.preview.{k}"] / 2 + 0.5, atol=1e-4, rtol=0)


def test_a_preview_on_a_smaller_grid_is_a_smaller_picture():
    tokenizer, golden = cases.var("var_a")[0], cases.goldens("var_a")
    tokens, latent = tokenizer.encode(golden["tokenizer.input"] / 2 + 0.5), tokenizer.empty(1)
    for k, drawn in enumerate(tokens):
        latent = tokenizer.add(k, latent, drawn)
    assert tokenizer.decode(latent, grid=2).shape == (1, 3, 32, 32)
    assert torch.equal(tokenizer.decode(latent, grid=4), tokenizer.decode(latent))


def test_forks_of_one_prefix_equal_separate_runs():
    """Rows 0, 1 are forked to 1, 0, 1 by index alone; the same rows, run from the start, give the same logits."""
    tokenizer, model, config = cases.var("var_b")
    golden = cases.goldens("var_b")
    labels, rows = [3, 5], torch.tensor([1, 0, 1])
    first = [golden[f"sampled.tokens.{k}"].long() for k in range(3)]

    def run(labels, fork):
        condition, latent, past = model.encode(labels), tokenizer.empty(len(labels)), []
        for k in range(2):
            step = model.step(k, latent, condition, None, past)
            past.append(Scale(step.kv))
            offset = torch.tensor([[0], [7]]) if fork else torch.tensor([[7], [0], [7]])
            latent = tokenizer.add(k, latent, (first[k] + offset) % config["V"])
        if fork:
            past, latent, prompt = [Scale(kv, rows) for kv, _ in past], latent[rows], rows
        else:
            prompt = None
        return model.step(2, latent, condition, prompt, past)

    forked, separate = run(labels, True), run([5, 3, 5], False)
    torch.testing.assert_close(forked.conditional, separate.conditional, atol=1e-5, rtol=0)
    torch.testing.assert_close(forked.unconditional, separate.unconditional, atol=1e-5, rtol=0)
    assert not torch.allclose(separate.conditional[0], separate.conditional[1], atol=1e-2), "the rows must differ"


def test_without_guidance_there_is_one_branch_and_the_last_scale_is_not_kept():
    _, model, config = cases.var("var_a")
    both = model.step(0, None, model.encode(config["labels"]))
    alone = model.step(0, None, model.encode(config["labels"], guidance=False), keep=False)
    torch.testing.assert_close(alone.conditional, both.conditional, atol=1e-5, rtol=0)
    assert alone.unconditional is None
    assert alone.kv is None
    assert both.kv.shape == (2, 2, 2, 2, 2, 1, 32)  # layers, keys and values, branches, rows, heads, tokens, channels


def test_bfloat16_stays_close_to_float32():
    golden = cases.goldens("var_a")
    for k, logits, _ in walk("var_a", lambda k, _: golden[f"greedy.tokens.{k}"].long(), torch.bfloat16):
        error = (logits - golden[f"greedy.logits.{k}"]).abs().max()
        assert 0 < error < 0.15, f"scale {k}: {error}"


@pytest.mark.parametrize("labels", [[10], [-1], [0.5], 3])
def test_wrong_labels_are_refused(labels):
    with pytest.raises(ValueError, match="integers from 0 to 9"):
        cases.var("var_a")[1].encode(labels)


def test_a_missing_scale_in_the_past_is_refused():
    tokenizer, model, config = cases.var("var_a")
    with pytest.raises(ValueError, match="attends to 2 earlier scales"):
        model.step(2, tokenizer.empty(2), model.encode(config["labels"]), None, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("head.bias"), "lacks 1 tensors, the first being 'head.bias'"),
        (lambda state: state.update(extra=torch.zeros(1)), "has besides 1 tensors, the first being 'extra'"),
        (lambda state: state.update({"head.bias": torch.zeros(3)}), "in another shape 1 tensors"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(change, message):
    config = cases.models()["var_a"]
    state = cases.weights("var_a", "var.")
    change(state)
    with torch.device("meta"):
        model = VAR(2, config["num_classes"], tuple(config["patch_nums"]), config["V"], config["Cvae"], 64, 2)
    with pytest.raises(ValueError, match=message):
        load_into(model, state, torch.float32, "cpu")

"""The published models through the sampler's protocol: the authors' greedy tokens, forks, searches, loading by name.

Tiny configurations filled by parity/recipe.py, held against the authors' outputs and against the same model driven
without any fork.
"""

import numpy as np
import pytest
import torch
from contract import near_ties
from parity import cases
from parity.cases import PROMPTS, finish
from parity.cases import sampler as make

from vartut import beam_search, greedy_search, hub, random_search
from vartut.ledger import Ledger
from vartut.published import costs, files, loading, text
from vartut.published.blocks import Scale
from vartut.published.infinity import BitTokenizer, Infinity, infinity_2b
from vartut.published.sampler import TextSampler, class_names, label
from vartut.published.var import VAR, VARTokenizer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(params=["var_a", "infinity_a"])
def case(request):
    return request.param


@pytest.fixture
def sampler(case):
    """A sampler that uses all of its settings."""
    return make(case, temperature=0.9, top_k=50, top_p=0.98)


# ---- against the authors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["var_a", "var_b", "infinity_a"])
def test_greedy_tokens_and_pictures_are_the_authors(name):
    golden, sampler = cases.goldens(name), make(name, whole=True, temperature=0)
    if name == "infinity_a":
        state = finish(sampler, sampler.begin(PROMPTS[name], 0))
    else:
        state = finish(sampler, sampler.begin(cases.models()[name]["labels"], 0))
    kind = "bits" if name == "infinity_a" else "tokens"
    for k, drawn in enumerate(state.tokens):
        assert torch.equal(drawn, golden[f"greedy.{kind}.{k}"].long()), f"scale {k}"
    if name == "infinity_a":
        picture = (sampler.preview(sampler.select(state, [0])) * 255).to(torch.uint8)
        blue_first = picture.permute(0, 2, 3, 1).flip(-1).int()
        assert (blue_first - golden["greedy.image_uint8_bgr"].int()).abs().max() <= 1
    else:
        torch.testing.assert_close(sampler.preview(state), golden["greedy.image"], atol=1e-4, rtol=0)


# ---- forks ---------------------------------------------------------------------------------------------------------


def unforked(sampler, state, row):
    """The logits of every scale of one row's tokens, from the bare model, alone and without any row index."""
    model, tokenizer = sampler.transformer, sampler.tokenizer
    prompt = state.prompts[row]
    known = [sampler.text[prompt]] if isinstance(sampler, TextSampler) else [label(prompt, model.classes)]
    condition, latent, past = model.encode(known), tokenizer.empty(1), []
    for k, tokens in enumerate(state.tokens):
        step = model.step(k, latent, condition, None, past)
        past.append(Scale(step.kv))
        latent = tokenizer.add(k, latent, tokens[row : row + 1])
        yield torch.cat([step.conditional, step.unconditional]), latent[0]


def forked(sampler, case):
    """Finished pictures whose rows were expanded, dropped, repeated and reordered on the way."""
    state = sampler.expand(sampler.begin(PROMPTS[case], 5), 3)
    state = sampler.expand(sampler.select(state, [5, 0, 0, 2]), [2, 1, 0, 3])
    state = sampler.expand(sampler.select(state, [5, 1, 2, 0]), 2)
    return finish(sampler, sampler.select(state, [7, 0, 3, 4]))


def test_forks_compute_what_the_bare_model_computes(sampler, case):
    state = forked(sampler, case)
    for row in range(len(state)):
        chain, total, steps = state.cells[row].ancestors()[1:], 0, list(unforked(sampler, state, row))
        for k, (logits, _) in enumerate(steps):
            torch.testing.assert_close(chain[k].result.logits[chain[k].row], logits, atol=1e-4, rtol=0)
            picked = torch.distributions.Categorical(logits=logits[0]).log_prob(state.tokens[k][row])
            total += picked.sum()
        torch.testing.assert_close(state.sum[row], steps[-1][1], atol=1e-5, rtol=0)
        torch.testing.assert_close(state.log_prob[row], total, atol=2e-3, rtol=0)


def test_rows_from_several_passes_go_on_together(sampler, case):
    """After a pass for some rows and another for the rest, their keys and values lie in two places."""
    start = sampler.expand(sampler.begin(PROMPTS[case], 8), 2)
    sampler.expand(sampler.select(start, [2, 0]))
    mixed = sampler.expand(start)
    assert len({id(cell.parent.result) for cell in mixed.cells}) == 2
    together = sampler.expand(sampler.expand(sampler.begin(PROMPTS[case], 8), 2))
    assert near_ties(sampler, finish(sampler, mixed), finish(sampler, together)) == 0


def test_siblings_share_a_pass_and_the_last_scale_is_not_kept(sampler, case):
    state = finish(sampler, sampler.expand(sampler.begin(PROMPTS[case][0], 0), 5))
    steps = sampler.num_steps
    assert state.ledger.nfe == 1 + 5 * (steps - 1)
    assert state.ledger.total("passes", "transformer") == 2 * state.ledger.nfe
    chain = state.cells[0].ancestors()
    assert chain[-1].result.kv is None
    # (layers, keys and values, branches, rows, heads, tokens, channels): one row at the scale that siblings share
    assert [cell.result.kv.shape[3] for cell in chain[1:-1]] == [1] + (steps - 2) * [5]
    kept = sum(cell.result.kv.nbytes for cell in chain[1:-1])
    assert state.ledger.total("cache_bytes") == kept
    sampler.expand(sampler.expand(sampler.begin(PROMPTS[case][0], 0, ledger := Ledger())), 3, first=1)
    assert ledger.nfe == 2


# ---- guidance ------------------------------------------------------------------------------------------------------


def test_guidance_is_each_models_own():
    conditional, unconditional = torch.randn(2, 1, 4, 7, generator=torch.Generator().manual_seed(0)).unbind(0)
    logits = torch.stack([conditional, unconditional], 1)
    sampler = make("var_a", guidance=3.0)
    for k in range(4):  # the weight grows to 3 at the last of the scales
        t = 3 * k / (sampler.num_steps - 1)
        torch.testing.assert_close(sampler._guided(k, logits), (1 + t) * conditional - t * unconditional)
    sampler = make("infinity_a", guidance=[1, 2, 3, 4])
    for k in range(4):
        wanted = unconditional + (k + 1) * (conditional - unconditional)
        torch.testing.assert_close(sampler._guided(k, logits), wanted, atol=1e-5, rtol=0)


def test_without_guidance_there_is_one_branch(case):
    plain = make(case).tuned(guidance=0 if case == "var_a" else 1)
    state = finish(plain, plain.begin(PROMPTS[case][0], 0))
    assert state.ledger.total("passes", "transformer") == state.ledger.nfe == plain.num_steps
    assert state.ledger.total("passes", "text") == 1
    guided = make(case)
    with pytest.raises(ValueError, match="begin anew with the sampler that guides"):
        guided.expand(guided.expand(plain.begin(PROMPTS[case][0], 0)))
    both = finish(plain, guided.begin(PROMPTS[case][0], 0))  # encoded with guidance, drawn without
    assert near_ties(plain, state, both) == 0


# ---- previews ------------------------------------------------------------------------------------------------------


def test_previews_at_every_scale_and_at_lower_resolutions(sampler, case):
    state, full = sampler.begin(PROMPTS[case], 6), sampler.tokenizer.scales[-1]
    for _ in range(sampler.num_steps):
        state = sampler.expand(state)
        latent = sampler.tokenizer.empty(2)
        for k, tokens in enumerate(state.tokens):
            latent = sampler.tokenizer.add(k, latent, tokens)
        picture = sampler.preview(state)
        assert picture.shape == (2, 3, 16 * full, 16 * full)
        assert 0 <= picture.min() < picture.max() <= 1
        torch.testing.assert_close(picture, sampler.tokenizer.decode(latent), atol=1e-5, rtol=0)
        small = sampler.preview(state, grid=2)
        assert small.shape == (2, 3, 32, 32)
        torch.testing.assert_close(small, sampler.tokenizer.decode(latent, 2), atol=1e-5, rtol=0)
        for two in (np.int64(2), torch.tensor(2)):
            torch.testing.assert_close(sampler.preview(state, grid=two), small, atol=1e-5, rtol=0)
    costs_ = [entry.flops for entry in state.ledger.entries if entry.what == "decoder"]
    assert costs_[1] == pytest.approx(costs_[0] * (2 / full) ** 2, rel=0.05)
    assert torch.equal(sampler.preview(state, grid=full), picture)
    costs_ = len(state.ledger.entries)
    for grid in (0, full + 1, 2.5, True, "2"):
        with pytest.raises(ValueError, match=f"from 1 to {full}"):
            sampler.preview(state, grid=grid)
    assert len(state.ledger.entries) == costs_, "what is refused costs nothing"


def test_pictures_are_decoded_a_few_at_a_time(monkeypatch):
    sampler, seen = make("var_a"), []
    state = finish(sampler, sampler.expand(sampler.begin("3", 0), 5))
    whole = sampler.preview(state)
    decode = sampler.tokenizer.decode
    monkeypatch.setattr(sampler.tokenizer, "decode", lambda z, grid: seen.append(len(z)) or decode(z, grid))
    monkeypatch.setattr("vartut.published.sampler.decode_together", lambda tokenizer, grid: 2)
    torch.testing.assert_close(sampler.preview(state), whole, atol=1e-5, rtol=0)
    assert seen == [2, 2, 1]
    with torch.device("meta"):
        assert costs.decode_together(BitTokenizer()) == 16
        assert costs.decode_together(infinity_2b()[0]) == 1


# ---- searches ------------------------------------------------------------------------------------------------------


def redness(images, prompts):
    """A verifier that likes red."""
    return images[:, 0].mean((1, 2)) - images[:, 1:].mean((1, 2, 3))


def test_every_search_runs_and_counts_what_it_should(sampler, case):
    prompt, steps = PROMPTS[case][1], sampler.num_steps
    width, candidates = 2, 2
    beam = beam_search(sampler, prompt, redness, width, candidates, seed=1, max_rows=3)
    assert beam.ledger.nfe == 1 + width * candidates * steps * (steps - 1) // 2
    assert beam.ledger.total("passes", "transformer") == 2 * beam.ledger.nfe
    assert beam.ledger.paper_nfe == width * candidates * steps * (steps + 1) // 2
    assert beam.score == pytest.approx(float(redness(beam.image[None], [prompt])), abs=1e-5)
    early = beam_search(sampler, prompt, redness, width, candidates, branch=range(2), seed=1)
    assert early.ledger.nfe < beam.ledger.nfe
    drawn = random_search(sampler, prompt, redness, n=4, seed=1)
    assert drawn.ledger.nfe == 1 + 4 * (steps - 1)
    assert beam.score >= drawn.score - 1e-4, "the beam's first step draws the same four pictures"
    greedy = greedy_search(sampler, prompt, redness, candidates=2, seed=1)
    assert greedy.ledger.nfe == 1 + 2 * steps * (steps - 1) // 2
    preview = beam_search(sampler, prompt, redness, width, candidates, score="preview", seed=1)
    assert preview.ledger.nfe == 1 + width * (steps - 1)


# ---- prompts -------------------------------------------------------------------------------------------------------


def test_classes_by_number_and_name():
    names = class_names()
    assert len(names) == 1000
    assert label("Golden retriever") == label("207") == label(" 207 ") == 207
    assert names[0] == "tench"
    sampler = make("var_a")
    assert sampler.begin(3, 0).prompts == sampler.begin([3], 0).prompts == sampler.begin("3", 0).prompts == ("3",)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a golden retriever on a sofa", 'paints classes, not texts; .* a name such as "'),
        ("1000", "give a number from 0 to 9"),
        ("golden retriever", "is no ImageNet class"),  # the tiny model has ten classes
        (True, "by its name or number; got True"),
        (None, "by its name or number; got None"),
        ("two\nlines", "is no ImageNet class"),
    ],
)
def test_a_prompt_that_is_no_class_is_refused_in_a_line(prompt, message):
    with pytest.raises(ValueError, match=message) as caught:
        make("var_a").begin([prompt], 0)
    assert "\n" not in str(caught.value)


def test_a_name_of_two_classes_asks_for_the_number():
    with pytest.raises(ValueError, match="classes 657 and 744: give the number"):
        label("missile")


def test_text_comes_from_a_file_and_a_prompt_that_it_lacks_names_the_command(tmp_path):
    path = text.save_features(tmp_path / "f.safetensors", dict(zip(PROMPTS["infinity_a"], cases.text_features())))
    tokenizer, transformer, _ = cases.infinity()
    sampler = TextSampler(tokenizer, transformer, path, guidance=3)
    state = sampler.expand(sampler.begin(PROMPTS["infinity_a"], 0))
    want = make("infinity_a", guidance=3)
    logits = want.expand(want.begin(PROMPTS["infinity_a"], 0)).cells[0].parent.result.logits
    torch.testing.assert_close(state.cells[0].parent.result.logits, logits, atol=0.02, rtol=0)  # half precision
    command = r"`python -m vartut.published.text --out .*f.safetensors 'a fox'`"
    with pytest.raises(ValueError, match=f"add them with {command}"):
        sampler.begin("a fox", 0)
    with pytest.raises(ValueError, match="no features of 'a fox' among the 2 prompts"):
        make("infinity_a").begin("a fox", 0)
    for prompt in (7, " "):
        with pytest.raises(ValueError, match="a prompt is a text"):
            sampler.begin([prompt], 0)


def test_the_encoder_is_asked_once_for_each_new_prompt(monkeypatch):
    features, asked = dict(zip(PROMPTS["infinity_a"], cases.text_features())), []

    def encode(prompts, encoder, where):
        asked.append(list(prompts))
        return {prompt: features[prompt] for prompt in prompts}

    monkeypatch.setattr("vartut.published.sampler.encode_text", encode)
    sampler = TextSampler(*cases.infinity()[:2])
    first, second = PROMPTS["infinity_a"]
    ledger = sampler.begin([first, first], 0).ledger
    sampler.tuned(temperature=0.5).begin([first, second], 0)
    sampler.begin(second, 0)
    assert asked == [[first], [second]]
    assert ledger.total("calls", "text encoder") == 1


def test_a_file_grows_by_the_command(monkeypatch, tmp_path, capsys):
    encode = lambda prompts, **_: {prompt: torch.full((2, 4), float(len(prompt))) for prompt in prompts}  # noqa: E731
    monkeypatch.setattr(text, "encode_text", encode)
    out = tmp_path / "f.safetensors"
    for prompts in (["a", "bb"], ["bb", "ccc"]):
        assert text.main([*prompts, "--out", str(out)]) == 0
    assert text.FeatureFile(out).prompts == ("a", "bb", "ccc")
    assert text.FeatureFile(out)["a"][0, 0] == 1
    assert "3 prompts" in capsys.readouterr().out
    with pytest.raises(ValueError, match="has features of the encoder google/flan-t5-xl, not of other"):
        text.make_feature_file(["d"], out, encoder="other")


# ---- loading by name -----------------------------------------------------------------------------------------------


def tiny_var():
    return VARTokenizer(8, 4, 32, (1, 2), (0, 0)), VAR(1, scales=(1, 2), codes=8, latent=4, channels=32, heads=2)


def tiny_infinity():
    return BitTokenizer(4, 32, (1, 1, 1, 1, 1), (1, 2)), Infinity(2, 128, 2, 4, 2, (1, 2), 128, 8)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Tiny random checkpoints in Hugging Face's cache layout; returns the places where `load` is to look."""
    torch.manual_seed(0)
    monkeypatch.setattr(files, "REVISIONS", {})
    for file in list(files.CHECKSUMS):
        monkeypatch.delitem(files.CHECKSUMS, file)
    for name, build in (("var-d16", tiny_var), ("infinity-125m", tiny_infinity)):
        source, (tokenizer, transformer) = files.SOURCES[name], build()
        monkeypatch.setitem(loading.SIZES, name, build)
        root = tmp_path / "hub" / f"models--{source.repo.replace('/', '--')}"
        (root / "snapshots" / COMMIT).mkdir(parents=True)
        (root / "refs").mkdir()
        (root / "refs" / "main").write_text(COMMIT)
        for file, module in ((source.tokenizer, tokenizer), (source.transformer, transformer)):
            torch.save(module.state_dict(), root / "snapshots" / COMMIT / file)
    return {"cache": tmp_path / "hub", "folder": tmp_path / "own", "lock": tmp_path / "lock.json", "where": "cpu"}


def test_load_by_name_reads_the_authors_files_and_paints(published):
    sampler = hub.load("var-d16", **published)
    assert (sampler.guidance, sampler.top_k, sampler.top_p) == ([4.0] * 2, [900] * 2, [0.95] * 2)
    assert random_search(sampler, "golden retriever", redness, n=3).image.shape == (3, 32, 32)
    assert not published["lock"].exists(), "offline nothing could be verified, so nothing is locked"
    features = text.save_features(published["folder"] / "f.safetensors", {"a fox": torch.randn(3, 128)})
    sampler = hub.load("infinity-125m", text=features, dtype=torch.bfloat16, **published)
    assert (sampler.guidance, sampler.temperature, sampler.top_p) == ([4.0] * 2, [0.5] * 2, [0.97] * 2)
    assert sampler.transformer.head.weight.dtype == torch.bfloat16
    assert greedy_search(sampler, "a fox", redness, candidates=2).image.shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("infinity-2b", {}, FileNotFoundError, r"infinity_vae_d32reg.pth is not on this machine: fetch https.*MIT"),
        ("infinity-125m", {"text": "no.safetensors"}, FileNotFoundError, r"no text features at no.safetensors: make"),
        ("var-d16", {"text": "f.safetensors"}, ValueError, "reads no text features"),
        ("var-16d", {}, ValueError, 'did you mean "var-d16"'),
        ("tiny", {}, ValueError, '"tiny" takes no cache, lock: only published models do'),
    ],
)
def test_what_cannot_be_loaded_says_so_in_one_line(published, name, options, error, message):
    with pytest.raises(error, match=message) as caught:
        hub.load(name, **published | options)
    assert "\n" not in str(caught.value)


def test_names_agree():
    assert hub.PUBLISHED_SAMPLERS == tuple(files.SOURCES) == tuple(loading.SIZES)

"""The paper's verifiers: ImageReward against the authors' code, and the others against their parts."""

import copy
import gzip
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from parity import recipe
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from toy_models import toy_sampler

import vartut
from vartut.published import aesthetic, clipscore, files, imagereward, llava
from vartut.published.aesthetic import Aesthetic, load_aesthetic
from vartut.published.clipscore import prepared
from vartut.published.imagereward import PIXELS, Head, ImageReward, RewardModel, load_image_reward
from vartut.published.llava import VQAScore, load_llava
from vartut.published.loading import load_into
from vartut.torchvision_repair import repair
from vartut.verifiers.clip import ClipScore, open_clip
from vartut.verifiers.ensemble import RankEnsemble, rank

PARITY = Path(__file__).parent / "parity"
NAMES = json.loads(gzip.decompress((PARITY / "imagereward.json.gz").read_bytes()))
OURS = {"inter": "inner", "vocab": "words"}  # settings that we call otherwise
SIZES = {OURS.get(key, key): value for key, value in NAMES["config"].items()}
PROMPT = "a red fox in the snow"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "fox", "in", "the", "snow", "blue", "##es", ","]


def pictures(height=48, width=48):
    """Three smooth pictures (3, 3, H, W)."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    kinds = [torch.stack([x, y, x * y]), torch.stack([1 - x, (6 * y).sin() ** 2, y]), torch.stack([y, y, 1 - y])]
    return torch.stack(kinds)


# ---- ImageReward ---------------------------------------------------------------------------------------------------


def authors_state(kind="tiny"):
    """A state dict under the authors' names, the surplus that their file has included."""
    state = recipe.fill({n: torch.zeros(s, dtype=getattr(torch, t[6:])) for n, (s, t) in NAMES[kind].items()})
    for name, tensor in state.items():
        if name.endswith("LayerNorm.weight"):
            tensor += 1
        if name.startswith("mlp") and tensor.ndim == 2:
            tensor *= 2
    return state


def reward_model():
    used = {n: t for n, t in authors_state().items() if not n.startswith(imagereward.UNUSED)}
    return load_into(RewardModel(**SIZES), used, torch.float32, "cpu")


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A vocabulary in the layout of BERT's."""
    path = tmp_path_factory.mktemp("words") / "vocab.txt"
    path.write_text("\n".join(WORDS))
    return path


def test_the_reward_is_that_of_the_authors_code():
    golden, model = load_file(PARITY / "imagereward.safetensors"), reward_model()
    with torch.no_grad():
        seen = model.vision(golden["image"]).last_hidden_state
        rewards = model(golden["image"], golden["ids"], golden["mask"])
        swapped = model(golden["image"].flip(0), golden["ids"], golden["mask"])
    torch.testing.assert_close(seen, golden["seen"], atol=1e-5, rtol=0)
    torch.testing.assert_close(rewards, golden["rewards"], atol=1e-5, rtol=0)
    assert (swapped - rewards).abs().min() > 1e-3, "the picture does not matter to these weights: a blind test"


def test_every_name_of_the_full_size_file_has_its_place():
    with torch.device("meta"):
        ours = {name: list(tensor.shape) for name, tensor in RewardModel().state_dict().items()}
    theirs = {n: s for n, (s, _) in NAMES["full"].items() if not n.startswith(imagereward.UNUSED)}
    assert ours == {RewardModel.rename(name): shape for name, shape in theirs.items()}
    assert len(theirs) == 620


def test_the_authors_file_and_berts_words_make_the_verifier(tmp_path, monkeypatch, words):
    torch.save(authors_state(), tmp_path / imagereward.WEIGHTS)
    (tmp_path / "bert-base-uncased").mkdir()
    (tmp_path / "bert-base-uncased" / imagereward.WORDS).write_text(words.read_text())
    monkeypatch.setattr(imagereward, "RewardModel", lambda: RewardModel(**SIZES))
    verifier = load_image_reward(tmp_path, "cpu", lock=tmp_path / "lock.json")
    scores = verifier(pictures(), PROMPT)
    assert scores.shape == (3,)
    assert scores.std() > 1e-3
    torch.testing.assert_close(scores, ImageReward(reward_model(), words)(pictures(), [PROMPT] * 3))


def test_a_reward_depends_on_its_own_picture_and_prompt_alone(words):
    verifier, prompts = ImageReward(reward_model(), words), [PROMPT, "a blue fox", "snow, the foxes"]
    together = verifier(pictures(), prompts)
    alone = torch.cat([verifier(pictures()[i : i + 1], prompts[i]) for i in range(3)])
    torch.testing.assert_close(together, alone)
    assert (together - verifier(pictures(), prompts[::-1]))[[0, 2]].abs().min() > 1e-4, "the prompt is not read"


def test_prompts_become_berts_word_pieces_cut_and_padded_to_35(words):
    verifier = ImageReward(reward_model(), words)
    read = verifier.tokenizer.encode("A red Foxes, zebra")
    assert [WORDS[i] for i in read.ids[:8]] == ["[CLS]", "a", "red", "fox", "##es", ",", "[UNK]", "[SEP]"]
    assert len(read.ids) == 35
    assert sum(read.attention_mask) == 8
    long = verifier.tokenizer.encode(" ".join(["fox"] * 60))
    assert len(long.ids) == 35
    assert WORDS[long.ids[-1]] == "[SEP]"


def test_rewards_flops_are_those_that_torch_counts(words):
    verifier = ImageReward(reward_model(), words)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        verifier(pictures()[:1], PROMPT)
    assert abs(verifier.flops_per_image / counter.get_total_flops() - 1) < 0.02


# ---- pictures as CLIP and BLIP read them ---------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(48, 48), (64, 40), (20, 32), (11, 17), (33, 32)])
def test_pictures_are_prepared_as_by_open_clip(height, width):
    preprocess = open_clip().image_transform(32, is_train=False)
    pixels = (pictures(height, width) * 255).round().to(torch.uint8)
    wanted = torch.stack([preprocess(Image.fromarray(p.permute(1, 2, 0).numpy())) for p in pixels])
    ours = prepared(pixels / 255, 32, **PIXELS)
    assert ours.shape == wanted.shape
    assert (ours - wanted).abs().max() < 0.04, "PIL rounds to 1/255, which is .015 after standardising; more is a shift"


# ---- aesthetic -----------------------------------------------------------------------------------------------------


def tiny_clip(name="ViT-L-14:openai"):
    package = open_clip()
    torch.manual_seed(0)
    vision = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 2}
    prepare = partial(prepared, size=32, **PIXELS)
    return ClipScore(name, package.CLIP(32, vision, text), package.get_tokenizer("ViT-L-14"), prepare)


def test_the_aesthetic_score_is_one_linear_map_of_unit_features():
    clip, head = tiny_clip(), Head(32)
    scores = Aesthetic(clip, head)(pictures(), PROMPT)
    weight, bias = torch.eye(32), torch.zeros(32)
    for layer in head.layers:  # nothing but linear layers: their product is one
        if isinstance(layer, torch.nn.Linear):
            weight, bias = layer.weight @ weight, layer.weight @ bias + layer.bias
    features = clip.see(pictures())
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(scores, (features @ weight.T + bias)[:, 0], atol=1e-5, rtol=1e-4)
    assert torch.equal(scores, Aesthetic(clip, head)(pictures(), "another prompt")), "it reads no prompt"


def test_the_head_is_loaded_by_the_published_names_and_beside_its_own_clip_only(tmp_path, monkeypatch):
    shapes = {"0": (1024, 768), "2": (128, 1024), "4": (64, 128), "6": (16, 64), "7": (1, 16)}
    state = {f"layers.{i}.weight": torch.randn(s) / s[1] ** 0.5 for i, s in shapes.items()}
    state |= {f"layers.{i}.bias": torch.randn(s[0]) for i, s in shapes.items()}
    torch.save(state, tmp_path / aesthetic.WEIGHTS)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    loaded = load_aesthetic(tiny_clip(), tmp_path)
    torch.testing.assert_close(loaded.head.layers[4].weight, state["layers.4.weight"])
    with pytest.raises(ValueError, match="features of ViT-L-14:openai, not of ViT-B-32"):
        load_aesthetic(tiny_clip("ViT-B-32:laion2b"), tmp_path)


# ---- the language model --------------------------------------------------------------------------------------------

VOCABULARY = ["<pad>", "<unk>", "<image>", "<video>", "<|im_start|>", "<|im_end|>", "user", "assistant", "Yes", "No"]
VOCABULARY += ["Does", "this", "figure", "show", "?", '"', "Please", "answer", "yes", "or", "no", ".", *WORDS[5:11]]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }} {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)


def tiny_llava():
    """transformers' LLaVA-OneVision in a tiny configuration with random weights, and its processor."""
    repair()
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
        PreTrainedTokenizerFast,
        Qwen2Config,
        SiglipVisionConfig,
    )

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", eos_token="<|im_end|>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
        additional_special_tokens=["<image>", "<video>", "<|im_start|>"],
    )  # fmt: skip
    points = [[16, 16], [16, 32], [32, 16]]
    images = LlavaOnevisionImageProcessor(size={"height": 16, "width": 16}, image_grid_pinpoints=points)
    video = LlavaOnevisionVideoProcessor(size={"height": 16, "width": 16})
    processor = LlavaOnevisionProcessor(
        images, tokenizer, video, num_image_tokens=4, vision_feature_select_strategy="full", chat_template=CHAT
    )
    vision = SiglipVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8
    )
    text = Qwen2Config(
        vocab_size=len(VOCABULARY), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=0, bos_token_id=4, eos_token_id=5,
    )  # fmt: skip
    config = LlavaOnevisionConfig(
        vision_config=vision, text_config=text, image_token_index=2, video_token_index=3, image_grid_pinpoints=points,
        vision_feature_select_strategy="full",
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlavaOnevisionForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8 if parameter.ndim > 1 else 1)
    return model, processor


@pytest.fixture(scope="module")
def asked():
    return VQAScore("tiny", *tiny_llava())


def test_vqascore_is_the_probability_with_which_generate_says_yes(asked):
    scores = asked(pictures(), PROMPT)
    for picture, score in zip(pictures(), scores):
        text = f"<|im_start|>user <image> {llava.QUESTION.format(prompt=PROMPT)}<|im_end|><|im_start|> assistant "
        image = Image.fromarray((picture * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
        inputs = asked.processor(images=[image], text=[text], return_tensors="pt")
        out = asked.model.generate(
            **inputs, max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        p = out.logits[0][0].softmax(-1)[VOCABULARY.index("Yes")]
        torch.testing.assert_close(torch.sigmoid(score), p, atol=1e-5, rtol=1e-3)
    assert scores.std() > 1e-3, "the pictures do not matter to these weights: a blind test"


def test_the_question_names_the_prompt_and_pictures_are_asked_alone(asked):
    prompts = [PROMPT, "snow", "a fox"]
    together = asked(pictures(), prompts)
    alone = torch.cat([asked(pictures()[i : i + 1], prompts[i]) for i in range(3)])
    assert torch.equal(together, alone)
    assert (together - asked(pictures(), "the snow"))[1:].abs().min() > 1e-5


def test_the_score_rises_with_the_logit_of_yes(asked):
    eager = copy.deepcopy(asked.model)
    with torch.no_grad():
        eager.lm_head.weight[VOCABULARY.index("Yes")] *= 0
        base = VQAScore("eager", eager, asked.processor)(pictures()[:1], PROMPT)
    others = eager.lm_head.weight.clone()
    handle = eager.lm_head.register_forward_hook(
        lambda _, __, out: out + 2.0 * torch.nn.functional.one_hot(torch.tensor(8), len(VOCABULARY))
    )
    raised = VQAScore("eager", eager, asked.processor)(pictures()[:1], PROMPT)
    handle.remove()
    assert torch.equal(others, eager.lm_head.weight)
    torch.testing.assert_close(raised - base, torch.tensor([2.0]), atol=1e-4, rtol=0)


def test_pictures_of_other_shapes_are_read_too(asked):
    assert torch.isfinite(asked(pictures(24, 48), PROMPT)).all()
    assert asked(pictures()[:0], []).shape == (0,)


def test_an_answer_of_several_tokens_or_a_question_without_a_place_is_refused(asked):
    with pytest.raises(ValueError, match='one token of the model\'s; "Yes or no" is 3'):
        VQAScore("x", asked.model, asked.processor, answer="Yes or no")
    with pytest.raises(ValueError, match="needs a place for the prompt"):
        VQAScore("x", asked.model, asked.processor, question="Is it good?")


def test_the_answers_flops_are_those_that_torch_counts(asked):
    for size in ((16, 16), (16, 32)):  # one tile beside the whole picture, and two
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            asked(pictures(*size)[:1], PROMPT)
        assert abs(asked.flops_per_image / counter.get_total_flops() - 1) < 0.02


def test_a_prompt_with_braces_is_asked_and_one_with_the_models_marks_refused(asked):
    assert torch.isfinite(asked(pictures(), "a {red} fox {0}")).all()
    with pytest.raises(ValueError, match='"<image>" in a prompt is a mark of the model'):
        asked(pictures(), "a fox <image>")


def test_the_pinned_commit_is_asked_for_and_another_on_request(monkeypatch):
    repair()
    from transformers import LlavaOnevisionProcessor

    asked_for = []

    def refuse(path, revision=None):
        asked_for.append((path, revision))
        raise OSError("no network")

    monkeypatch.setattr(LlavaOnevisionProcessor, "from_pretrained", refuse)
    for revision, environment in ((None, None), ("abc", None), (None, "main")):
        if environment:
            monkeypatch.setenv("VARTUT_REVISION", environment)
        with pytest.raises(FileNotFoundError):
            load_llava(where="cpu", revision=revision)
    assert asked_for == [(llava.REPO, commit) for commit in (files.REVISIONS[llava.REPO], "abc", "main")]


def test_short_memory_is_not_called_damage(asked, tmp_path, monkeypatch):
    asked.processor.save_pretrained(tmp_path)

    def refuse(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 16 bytes")

    monkeypatch.setattr(type(asked.model), "from_pretrained", refuse)
    with pytest.raises(RuntimeError, match="allocate memory"):
        load_llava(tmp_path, "cpu")


def test_a_model_with_a_tensor_missing_is_not_filled_with_random_numbers(asked, tmp_path):
    asked.model.save_pretrained(tmp_path)
    asked.processor.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    gone = next(name for name in sorted(state) if name.endswith("q_proj.weight"))
    save_file({name: tensor for name, tensor in state.items() if name != gone}, path, {"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 1 tensors of LlavaOnevision.*q_proj\.weight"):
        load_llava(tmp_path, "cpu", torch.float32)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="are damaged or of another model"):
        load_llava(tmp_path, "cpu", torch.float32)


def test_it_is_saved_and_loaded_from_a_folder_and_its_absence_is_told(asked, tmp_path):
    asked.model.save_pretrained(tmp_path)
    asked.processor.save_pretrained(tmp_path)
    loaded = load_llava(tmp_path, "cpu", torch.float32)
    torch.testing.assert_close(loaded(pictures(), PROMPT), asked(pictures(), PROMPT), atol=1e-4, rtol=1e-4)
    with pytest.raises(FileNotFoundError, match=r"hf download llava-hf/llava-[-\w]+ --revision 0d5068.*16 GB"):
        load_llava(tmp_path / "nowhere", "cpu")


# ---- the ensemble --------------------------------------------------------------------------------------------------


def brightness(images, prompts):
    return images.mean((1, 2, 3))


def redness(images, prompts):
    return 100 * images[:, 0].mean((1, 2)) ** 3  # another scale: ranks must not see it


def greys(levels):
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)


def test_at_its_references_the_ensemble_is_the_mean_rank():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(7, 3, 1, 1, generator=generator).expand(7, 3, 8, 8)
    ensemble = RankEnsemble([brightness, redness], images, PROMPT)
    ranks = [scores(images, None).argsort().argsort() / 6 for scores in (brightness, redness)]
    torch.testing.assert_close(ensemble(images, PROMPT), (ranks[0] + ranks[1]) / 2)


def test_the_ensembles_cost_is_that_of_its_members_even_where_they_learn_it_late(asked):
    late = VQAScore("late", asked.model, asked.processor)
    ensemble = RankEnsemble([late, brightness], pictures(), PROMPT)
    assert ensemble.flops_per_image == late.flops_per_image > 0


def test_between_references_it_interpolates_and_beyond_it_goes_on():
    ladder = torch.tensor([1.0, 2.0, 4.0])
    scores = torch.tensor([-2.0, 1.0, 1.5, 2.0, 3.0, 4.0, 7.0])
    torch.testing.assert_close(rank(scores, ladder), torch.tensor([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0]))


def test_a_picture_ranks_the_same_in_any_company():
    ensemble = RankEnsemble([brightness, redness], greys([0.1, 0.3, 0.4, 0.9]), PROMPT)
    images = greys([0.2, 0.95, 0.35])
    together = ensemble(images, PROMPT)
    torch.testing.assert_close(together, torch.cat([ensemble(images[i : i + 1], PROMPT) for i in range(3)]))
    assert together[1] > 1, "better than the best reference"


def test_what_the_ensemble_cannot_rank_is_told():
    with pytest.raises(ValueError, match="a member and 2 references or more: got 1 and 1"):
        RankEnsemble([brightness], greys([0.5]), PROMPT)
    with pytest.raises(ValueError, match=r"gives all references the score 0\.5"):
        RankEnsemble([brightness], greys([0.5, 0.5, 0.5]), PROMPT)
    with pytest.raises(ValueError, match="gives all references the score"):
        RankEnsemble([brightness], greys([0.5, 0.500001, 0.500002]), PROMPT)  # the noise of floating point has no vote
    with pytest.raises(ValueError, match="a score that is NaN or infinite"):
        RankEnsemble([lambda images, prompts: images.mean((1, 2, 3)) / 0 * 0], greys([0.1, 0.9]), PROMPT)
    ensemble = RankEnsemble((m for m in [brightness]), greys([0.1, 0.9]), PROMPT)
    with pytest.raises(ValueError, match=f'references of "{PROMPT}" alone'):
        ensemble(greys([0.2]), "another")


# ---- by name -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file"),
    [("clip-score", clipscore.WEIGHTS), ("image-reward", "vocab.txt"), ("laion-aesthetic", aesthetic.WEIGHTS)],
)
def test_the_papers_verifiers_are_known_by_name_and_say_what_to_fetch(name, file, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(files, "hf_hub_download", offline)
    with pytest.raises(FileNotFoundError, match=f"{file} is not on this machine: fetch https://huggingface.co/"):
        vartut.load_verifier(name, tmp_path)


def offline(*_, **__):
    raise OSError("no network")


def test_the_language_models_absence_is_told_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="no LLaVA-OneVision at"):
        vartut.load_verifier("llava-onevision", tmp_path)


def test_every_repository_of_a_verifier_is_pinned():
    repositories = {imagereward.REPO, imagereward.WORDS_REPO, aesthetic.REPO, llava.REPO}
    assert repositories | {clipscore.clip_source("ViT-L-14", "openai")["repo"]} <= files.REVISIONS.keys()


def test_prompts_that_are_no_texts_are_refused_by_all(words, asked):
    for verifier in (ImageReward(reward_model(), words), Aesthetic(tiny_clip(), Head(32)), tiny_clip(), asked):
        with pytest.raises(ValueError, match="prompts are texts; got \\['int', 'NoneType'\\]"):
            verifier(pictures()[:2], [3, None])


@pytest.mark.parametrize("images", [torch.zeros(2, 3, 9, 9, dtype=torch.uint8), torch.full((2, 3, 9, 9), 255.0)])
def test_wrong_pictures_are_refused_by_all(images, words, asked):
    for verifier in (ImageReward(reward_model(), words), Aesthetic(tiny_clip(), Head(32)), tiny_clip(), asked):
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            verifier(images, PROMPT)


def test_a_search_climbs_a_published_verifier_and_its_ledger_counts_it(words):
    verifier, sampler = ImageReward(reward_model(), words), toy_sampler()
    prompt = "a red circle"
    found = vartut.beam_search(sampler, prompt, verifier, width=2, candidates=2, seed=0)
    torch.testing.assert_close(verifier(found.image[None], prompt), torch.tensor([found.score]), atol=1e-4, rtol=1e-4)
    assert found.score == max(found.tree.finished_scores())
    calls = found.ledger.total("calls", "verifier")
    assert found.ledger.total("flops", "verifier") == calls * verifier.flops_per_image

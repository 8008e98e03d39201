"""CLIPScore with open_clip's models against open_clip's own preprocessing, and its errors."""

from functools import partial

import pytest
import torch
from PIL import Image

from vartut.published import clipscore
from vartut.published.clipscore import clip_source, load_clip_score, prepared
from vartut.verifiers.clip import ClipScore, open_clip

PROMPTS = ["a red fox in the snow", "two green cups on a wooden table"]
VISION = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 2}


@pytest.fixture(scope="module")
def verifier():
    package = open_clip()
    torch.manual_seed(0)
    tokenize = package.get_tokenizer("ViT-L-14")
    model = package.CLIP(32, VISION, TEXT)
    pixels = {"size": 32, "mean": package.OPENAI_DATASET_MEAN, "std": package.OPENAI_DATASET_STD}
    return ClipScore("tiny", model, tokenize, partial(prepared, **pixels))


def pictures():
    """Two smooth pictures (2, 3, 64, 64)."""
    y, x = torch.meshgrid(*[torch.linspace(0, 1, 64)] * 2, indexing="ij")
    return torch.stack([torch.stack([x, y, x * y]), torch.stack([1 - x, (6 * y).sin() ** 2, y])])


def test_scores_are_those_of_open_clips_own_pipeline(verifier):
    package = open_clip()
    preprocess = package.image_transform(32, is_train=False)
    pixels = (pictures() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    batch = torch.stack([preprocess(Image.fromarray(picture)) for picture in pixels])
    with torch.no_grad():
        seen = verifier.model.encode_image(batch)
        read = verifier.model.encode_text(verifier.tokenize(PROMPTS))
    expected = 2.5 * torch.nn.functional.cosine_similarity(seen, read)
    torch.testing.assert_close(verifier(pictures(), PROMPTS), expected, atol=5e-3, rtol=0)


def test_a_score_depends_on_its_own_picture_and_prompt_alone(verifier):
    both = verifier(pictures(), PROMPTS)
    alone = torch.cat([verifier(pictures()[i : i + 1], PROMPTS[i]) for i in range(2)])
    torch.testing.assert_close(both, alone)
    assert (both - verifier(pictures(), PROMPTS[::-1])).abs().min() > 1e-4, "the prompt is not read"
    assert both.abs().max() <= 2.5


def test_wrong_pictures_or_numbers_of_prompts_are_refused(verifier):
    with pytest.raises(ValueError, match="got 2 pictures, 1 prompts"):
        verifier(pictures(), PROMPTS[:1])
    with pytest.raises(ValueError, match=r"pictures \(B, 3, H, W\)"):
        verifier(pictures()[0], PROMPTS)


def test_published_names_lead_to_repositories():
    source = clip_source("ViT-L-14", "openai")
    assert source["repo"] == "timm/vit_large_patch14_clip_224.openai"
    assert source["model"] == {"force_quick_gelu": True}, "OpenAI trained with another GELU than open_clip's default"
    assert clip_source("ViT-B-32", "laion2b_s34b_b79k")["model"] == {"force_quick_gelu": False}


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match='did you mean "ViT-L-14:openai"'):
        clip_source("ViT-L-14", "open-ai")


def test_weights_are_fetched_verified_and_loaded_into_the_named_model(tmp_path, monkeypatch, verifier):
    from safetensors.torch import save_file

    package = open_clip()
    config = {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT}
    path = tmp_path / clipscore.WEIGHTS
    save_file({key: tensor.contiguous() for key, tensor in verifier.model.state_dict().items()}, path)
    asked = []
    monkeypatch.setattr(clipscore, "fetch", lambda repo, file, licence, folder: asked.append((repo, file)) or path)
    original = package.get_model_config
    monkeypatch.setattr("open_clip.factory.get_model_config", lambda n: config if n == "ViT-B-32" else original(n))
    loaded = load_clip_score("ViT-B-32", "laion2b_s34b_b79k", where="cpu")
    assert asked == [("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", clipscore.WEIGHTS)]
    torch.testing.assert_close(loaded(pictures(), PROMPTS), verifier(pictures(), PROMPTS))


def test_openais_models_get_the_gelu_that_they_were_trained_with(tmp_path, monkeypatch, verifier):
    made = []

    def create(name, path, **options):
        made.append((name, path, options))
        return (verifier.model,)

    monkeypatch.setattr(clipscore, "fetch", lambda *_, **__: tmp_path / "weights")
    monkeypatch.setattr(open_clip(), "create_model_and_transforms", create)
    for name, tag, quick in (("ViT-L-14", "openai", True), ("ViT-B-32", "laion2b_s34b_b79k", False)):
        load_clip_score(name, tag, where="cpu")
        assert made.pop() == (name, str(tmp_path / "weights"), {"force_quick_gelu": quick})


def test_damaged_weights_and_short_memory_are_told_apart(tmp_path, monkeypatch):
    path = tmp_path / clipscore.WEIGHTS
    path.write_bytes(b"\x00" * 100)
    monkeypatch.setattr(clipscore, "fetch", lambda *_, **__: path)
    with pytest.raises(ValueError, match="is damaged or not of ViT-B-32:openai: fetch it again") as error:
        load_clip_score("ViT-B-32", "openai", where="cpu")
    assert "\n" not in str(error.value)

    def refuse(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(open_clip(), "create_model_and_transforms", refuse)
    with pytest.raises(RuntimeError, match="allocate memory"):
        load_clip_score("ViT-B-32", "openai", where="cpu")


def test_missing_weights_are_named_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("vartut.published.files.hf_hub_download", lambda *a, **k: (_ for _ in ()).throw(OSError("no")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"fetch https://huggingface.co/timm/vit_large") as error:
        load_clip_score(folder=tmp_path)
    assert "\n" not in str(error.value)

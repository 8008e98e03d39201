"""ImageReward (Xu et al. 2023, arXiv 2304.05977): what people preferred, learned from 137,000 comparisons.

BLIP (arXiv 2201.12086) reads picture and prompt together: a vision transformer sees the picture, a BERT whose layers
also attend to what was seen reads the prompt, and a perceptron without activations maps its first output to a score of
mean 0 and variance 1 over the authors' data.  Both towers are transformers' own BLIP, filled by the authors' names.

    verifier = load_image_reward()
    verifier(images, "a red fox in the snow")     # (B,), about -2 to 2

The authors' package does not import beside transformers 5; a test holds this module to what its code computes.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from ..device import device, plain_defaults
from ..torchvision_repair import repair, repair_in_pickles_of
from ..verifiers.protocol import paired
from .clipscore import prepared
from .files import fetch
from .loading import load_into, read_checkpoint

REPO, WEIGHTS, LICENCE = "zai-org/ImageReward", "ImageReward.pt", "Apache-2.0"
WORDS_REPO, WORDS = "google-bert/bert-base-uncased", "vocab.txt"
MEAN, STD = 0.16717362830052426, 1.0333394966054072  # of the raw score, over the authors' data
PIXELS = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}  # CLIP's
LENGTH = 35  # tokens; what is longer is cut, as in the authors' code
UNUSED = ("blip.vision_proj.", "blip.text_proj.", "blip.text_encoder.embeddings.position_ids")  # in the file


class Head(nn.Module):
    """Five linear layers and nothing between them but dropout, which places the names in the authors' files."""

    def __init__(self, width: int = 768):
        super().__init__()
        drop = nn.Dropout
        sizes = [nn.Linear(width, 1024), drop(0.2), nn.Linear(1024, 128), drop(0.2), nn.Linear(128, 64), drop(0.1)]
        self.layers = nn.Sequential(*sizes, nn.Linear(64, 16), nn.Linear(16, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, width) -> (B,)"""
        return self.layers(features)[:, 0]


class RewardModel(nn.Module):
    """BLIP with a head; the defaults are the published sizes, 446 M parameters."""

    def __init__(
        self, image=224, patch=16, width=1024, depth=24, heads=16,
        hidden=768, layers=12, text_heads=12, inner=3072, words=30524, positions=512,
    ):  # fmt: skip
        super().__init__()
        repair()
        from transformers import BlipTextConfig, BlipVisionConfig, BlipVisionModel  # slow to import
        from transformers.models.blip.modeling_blip_text import BlipTextModel

        vision = {"image_size": image, "patch_size": patch, "hidden_size": width, "intermediate_size": 4 * width}
        vision |= {"num_hidden_layers": depth, "num_attention_heads": heads, "layer_norm_eps": 1e-6}
        text = {"vocab_size": words, "max_position_embeddings": positions, "hidden_size": hidden}
        text |= {"intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": text_heads}
        text |= {"encoder_hidden_size": width, "layer_norm_eps": 1e-12, "bos_token_id": None, "sep_token_id": None}
        self.vision = BlipVisionModel(BlipVisionConfig(**vision))
        self.text = BlipTextModel(BlipTextConfig(**text), add_pooling_layer=False)
        self.mlp = Head(hidden)

    @staticmethod
    def rename(name: str) -> str:
        """Our name for a tensor of the authors' file."""
        for theirs, ours in (
            ("blip.text_encoder.", "text."),
            ("blip.visual_encoder.blocks.", "vision.encoder.layers."),
            ("blip.visual_encoder.norm.", "vision.post_layernorm."),
            ("blip.visual_encoder.patch_embed.proj.", "vision.embeddings.patch_embedding."),
            ("blip.visual_encoder.cls_token", "vision.embeddings.class_embedding"),
            ("blip.visual_encoder.pos_embed", "vision.embeddings.position_embedding"),
            (".attn.qkv.", ".self_attn.qkv."),
            (".attn.proj.", ".self_attn.projection."),
            (".norm1.", ".layer_norm1."),
            (".norm2.", ".layer_norm2."),
        ):
            name = name.replace(theirs, ours)
        return name

    def forward(self, images: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Standardised pictures (B, 3, S, S), token ids (B, T) and their mask -> scores (B,)."""
        seen = self.vision(images).last_hidden_state  # (B, 1 + patches, width)
        read = self.text(ids, attention_mask=mask, encoder_hidden_states=seen).last_hidden_state  # (B, T, hidden)
        return (self.mlp(read[:, 0].float()) - MEAN) / STD


class ImageReward:
    """The verifier: a model, BERT's word pieces, and the authors' preparation of pictures."""

    name = "image-reward"

    def __init__(self, model: RewardModel, words: str | Path, where="cpu"):
        from tokenizers import BertWordPieceTokenizer

        self.model, self.where = model.to(where).eval().requires_grad_(False), torch.device(where)
        self.tokenizer = BertWordPieceTokenizer(str(words), lowercase=True)
        self.tokenizer.enable_truncation(LENGTH)
        self.tokenizer.enable_padding(length=LENGTH)
        self.size = model.vision.config.image_size
        self.flops_per_image = reward_flops(model)

    @plain_defaults()
    @torch.no_grad()
    def __call__(self, images: Tensor, prompts) -> Tensor:
        """Scores (B,) of pictures (B, 3, H, W) in [0, 1]; prompts are one for each, or one for all."""
        prompts = paired(images, prompts)
        if not prompts:
            return torch.zeros(0, device=self.where)
        read = [self.tokenizer.encode(prompt) for prompt in prompts]
        ids = torch.tensor([one.ids for one in read], dtype=torch.long, device=self.where)
        mask = torch.tensor([one.attention_mask for one in read], dtype=torch.long, device=self.where)
        return self.model(prepared(images.to(self.where), self.size, **PIXELS), ids, mask)


repair_in_pickles_of(ImageReward)


def reward_flops(model: RewardModel) -> int:
    """Multiplications and additions for one picture and its prompt of LENGTH tokens, matrix products only."""
    vision, text = model.vision.config, model.text.config
    patches = (vision.image_size // vision.patch_size) ** 2
    seen, c, h = patches + 1, vision.hidden_size, text.hidden_size
    layer = seen * (4 * c * c + 2 * c * vision.intermediate_size) + 2 * seen * seen * c
    see = patches * 3 * vision.patch_size**2 * c + vision.num_hidden_layers * layer
    own = LENGTH * 4 * h * h + 2 * LENGTH * LENGTH * h
    across = LENGTH * 2 * h * h + seen * 2 * c * h + 2 * LENGTH * seen * h
    read = text.num_hidden_layers * (own + across + LENGTH * 2 * h * text.intermediate_size)
    return 2 * (see + read + sum(m.weight.numel() for m in model.mlp.layers if isinstance(m, nn.Linear)))


@plain_defaults()
def load_image_reward(folder: str | Path | None = None, where=None, **files) -> ImageReward:
    """ImageReward with the authors' weights (1.8 GB), on `where` (the GPU if there is one).

    The weights and BERT's vocabulary are looked for and verified as those of the painters are (`files.fetch`, whose
    further arguments are `files`).  Raises FileNotFoundError where there are none, ValueError for others.  Nobody has
    run this with the published weights yet.
    """
    where = device() if where is None else torch.device(where)
    words = fetch(WORDS_REPO, WORDS, LICENCE, folder=folder, **files)
    state = read_checkpoint(fetch(REPO, WEIGHTS, LICENCE, folder=folder, **files))
    state = {name: tensor for name, tensor in state.items() if not name.startswith(UNUSED)}
    return ImageReward(load_into(RewardModel(), state, torch.float32, where), words, where)

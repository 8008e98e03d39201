"""A CLIP small enough to train in ten minutes: open_clip's own model, with our sizes, our vocabulary and two recipes.

- `clip`, as CLIP was trained (Radford et al. 2021, arXiv 2103.00020): tell the batch's prompts apart for each picture,
  and its pictures for each prompt.  Prompts of a batch differ in many words, so knowing a few of them is enough.
- `clip-hard`: each picture also has to reject prompts that differ from its own in one word, or in two words swapped,
  and are false (NegCLIP, Yuksekgonul et al. 2023, arXiv 2210.01936): colours must belong to their shapes now.

The picture's tower is a vision transformer on 8 x 8 patches, fixed 2-D sines for positions and the mean of the patches
as its output, which learns faster than a class token (Beyer et al. 2022, arXiv 2205.01580) and does not forget counts.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from .. import torchvision_repair
from ..device import plain_defaults
from ..inputs import check_pictures
from ..paths import data_folder
from .protocol import paired

NAME = "vartut-clip"  # open_clip's name for the model that data/clip/vartut-clip.json describes
SETTINGS = {"open_clip": NAME}
MEAN = (0.93, 0.92, 0.90)  # the world's ground: empty ground is zero, since the tower's first layer has no bias
STD = (0.35, 0.35, 0.35)


# ---- model ---------------------------------------------------------------------------------------------------------


def open_clip():
    """The package open_clip, with our model among those that it knows."""
    torchvision_repair.repair()
    import open_clip as package

    if NAME not in package.list_models():
        package.add_model_config(there(f"{NAME}.json"))
    return package


def there(name: str) -> Path:
    """A file of data/clip; raises FileNotFoundError, with the remedy, where it is missing."""
    path = data_folder() / "clip" / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: restore it with `git checkout data/clip`")
    return path


def build():
    """The model, freshly initialised from torch's seed."""
    package = open_clip()
    return package.CLIP(**package.get_model_config(NAME))


def read(weights: Path):
    """The model with these weights, in float32, by open_clip's own loader; and its preprocessing of PIL pictures."""
    package = open_clip()
    model, _, preprocess = package.create_model_and_transforms(NAME, str(weights), image_mean=MEAN, image_std=STD)
    return model.eval(), preprocess


def tokenizer():
    """open_clip's tokenizer with our byte pair merges: every word of the world is one token."""
    path = there("merges.txt.gz")
    try:
        return open_clip().get_tokenizer(NAME, bpe_path=str(path))
    except (EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: restore it with `git checkout data/clip`") from error


class WordTokenizer:
    """Our tokenizer for prompts that `words` splits into the words of a vocabulary; what does not fit is refused."""

    def __init__(self, words: Callable[[str], list[str]]):
        self.words, self.tokenizer = words, tokenizer()

    def __call__(self, prompts: list[str]) -> torch.Tensor:
        """Token ids (B, T); raises ValueError for an unknown word, by way of `words`, and for a prompt too long."""
        found, most = [self.words(prompt) for prompt in prompts], self.tokenizer.context_length - 2  # start, end
        for prompt, parts in zip(prompts, found):
            if len(parts) > most:
                count = f"{len(parts)} words; this verifier reads at most {most}: shorten it"
                raise ValueError(f'the prompt "{prompt}" has {count}')
        ids = self.tokenizer([" ".join(parts) for parts in found])
        if ids.argmax(1).tolist() != [len(parts) + 1 for parts in found]:  # the end token has the largest id
            raise ValueError("data/clip/merges.txt.gz is of other words: restore it with `git checkout data/clip`")
        return ids


def normalize(images: torch.Tensor) -> torch.Tensor:
    """Pictures (B, 3, H, W) in [0, 1] as the tower wants them."""
    mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (images - mean) / std


def fitted(images: torch.Tensor, size: int = 64) -> torch.Tensor:
    """Square pictures (B, 3, S, S) in [0, 1] as the tower wants them, resized where they are larger or smaller."""
    if images.shape[2] != images.shape[3]:
        raise ValueError(f"this verifier reads square pictures; got {tuple(images.shape)}: crop them")
    if images.shape[3] != size:
        images = F.interpolate(images, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
    return normalize(images)


def text_features(model, ids: torch.Tensor) -> torch.Tensor:
    """What `model.encode_text(ids, normalize=True)` gives, (T, E), with little of the padding computed.

    The text tower is causal and read at the last token, so what follows it is never seen; rows are sorted by length
    and encoded in four groups, each as long as its longest.
    """
    ends = ids.argmax(-1)  # the end token has the largest id
    order = ends.argsort()
    features = []
    for rows in order.chunk(4):
        n = int(ends[rows].max()) + 1
        x = model.token_embedding(ids[rows, :n]) + model.positional_embedding[:n]  # (t, n, width)
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:n, :n]))
        features.append(x[torch.arange(len(rows), device=x.device), ends[rows]] @ model.text_projection)
    return F.normalize(torch.cat(features)[order.argsort()].float(), dim=-1)


# ---- verifier ------------------------------------------------------------------------------------------------------


class ClipScore:
    """2.5 times the cosine of the picture's and the prompt's CLIP features.

    Hessel et al. define 2.5 max(cos, 0); we do not clip, since it would make all bad pictures equally bad, and a
    search starts from bad pictures.  `flops_per_image` counts the picture's tower alone: a prompt is encoded once.

    model: open_clip's.  tokenize: from a list of prompts to its token ids (B, T); raises ValueError for what it cannot
    read.  prepare: from pictures (B, 3, H, W) in [0, 1] to those that its tower reads.
    """

    def __init__(self, name: str, model, tokenize, prepare, where="cpu"):
        self.name, self.tokenize, self.prepare, self.where = name, tokenize, prepare, torch.device(where)
        self.model = model.to(self.where).eval().requires_grad_(False)
        self.flops_per_image = image_flops(model.visual)
        self._texts: dict[str, torch.Tensor] = {}  # features of the prompts met so far

    @plain_defaults()
    @torch.no_grad()
    def __call__(self, images: torch.Tensor, prompts) -> torch.Tensor:
        """Scores (B,) of pictures (B, 3, H, W) in [0, 1]; prompts are one for each, or one for all."""
        prompts = paired(images, prompts)
        said = [self.read(prompt) for prompt in prompts]
        return 2.5 * (self.see(images) * torch.stack(said)).sum(1) if said else torch.zeros(0, device=self.where)

    def read(self, prompt: str) -> torch.Tensor:
        """Features (E,) of a prompt, of length 1; each is encoded alone and once."""
        if prompt not in self._texts:
            self._texts[prompt] = self.model.encode_text(self.tokenize([prompt]).to(self.where), normalize=True)[0]
        return self._texts[prompt]

    @plain_defaults()
    @torch.no_grad()
    def see(self, images: torch.Tensor) -> torch.Tensor:
        """Features (B, E) of pictures (B, 3, H, W) in [0, 1], of length 1; raises ValueError for others."""
        check_pictures(images, "a verifier")
        return self.model.encode_image(self.prepare(images.to(self.where, torch.float32)), normalize=True)


torchvision_repair.repair_in_pickles_of(ClipScore)


def image_flops(tower) -> int:
    """Multiplications and additions of open_clip's vision transformer for one picture, matrix products only."""
    width, patches = tower.conv1.out_channels, tower.grid_size[0] * tower.grid_size[1]
    tokens = patches + 1  # the class token
    hidden = tower.transformer.resblocks[0].mlp.c_fc.out_features
    layer = tokens * (4 * width * width + 2 * width * hidden) + 2 * tokens * tokens * width
    patch = tower.conv1.weight[0].numel()
    return 2 * (patches * patch * width + tower.transformer.layers * layer + width * tower.proj.shape[1])

"""How the verifiers of the world are trained."""

import math
import random
from contextlib import nullcontext

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from .. import world
from ..device import autocast
from ..verifiers.clip import build, normalize, text_features, tokenizer
from ..world.negatives import KINDS, false_prompts, hard_negatives
from .recipes import generator, muon_and_adamw, scenes_of


class ClipRecipe:
    """Symmetric cross-entropy over the pictures and prompts of a batch (InfoNCE), the temperature learned.

    A prompt that several pictures share counts once: each of these pictures is right for it.  `hard` adds `negatives`
    false one-word changes of its own prompt to what each picture chooses from.  Pictures are blurred and made noisy by
    random amounts, since those to be scored come from a model.  Matrices inside the layers are trained by Muon, the
    rest by AdamW.
    """

    def __init__(self, hard, where, seed=0, batch=128, negatives=5, lr=2e-3, model=None, dense=0.0):
        self.name = "clip-hard" if hard else "clip"
        if not 0 < negatives <= 7:
            raise ValueError(f"negatives={negatives}: a prompt has 1 to 7 false one-word changes for sure")
        self.where, self.seed, self.batch, self.negatives = where, seed, batch, negatives if hard else 0
        self.dense = round(dense * batch)  # scenes of a batch
        self.model = (build() if model is None else model).to(where)
        words = tokenizer()
        self.ids = {word: words.encode(word)[0] for word in world.WORDS[1:]}
        self.start, self.end, self.length = words.sot_token_id, words.eot_token_id, words.context_length
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        matrices = [p for name, p in trained if "resblocks" in name and p.ndim == 2]
        self.optimizers = muon_and_adamw(matrices, [p for _, p in trained], lr)

    def token_ids(self, prompts) -> torch.Tensor:
        """What `tokenizer()(prompts)` gives, (T, 34), without its slow clean-up of stray text."""
        rows = [[self.start, *(self.ids[word] for word in world.words(prompt)), self.end] for prompt in prompts]
        return torch.tensor([row + [0] * (self.length - len(row)) for row in rows], device=self.where)

    def features(self, images, prompts):
        """Normalised features of pictures, (B, E), and of prompts, (T, E), in float32."""
        # Written-out attention is 1.5 to 2 times faster to train on a CPU at this size than the fused kernel.
        math_attention = sdpa_kernel(SDPBackend.MATH) if self.where.type == "cpu" else nullcontext()
        with math_attention, autocast(self.where):
            seen = self.model.encode_image(normalize(images)).float()
            return F.normalize(seen, dim=-1), text_features(self.model, self.token_ids(prompts))

    def loss(self, step):
        """The loss of one step, the share of pictures that find their prompt, and the inverse temperature."""
        scenes = scenes_of(step, self.batch, self.seed, self.dense)
        images = roughen(world.render(scenes), generator(self.seed, step)).to(self.where)
        rng = random.Random(self.seed * 1_000_003 + step)
        false = [text for scene in scenes for text in hard_negatives(scene, self.negatives, rng)]  # B * negatives
        place = {}
        for text in [scene.prompt for scene in scenes] + false:
            place.setdefault(text, len(place))  # every text is encoded once; the true ones come first
        own = torch.tensor([place[scene.prompt] for scene in scenes], device=self.where)
        true = int(own.max()) + 1
        seen, said = self.features(images, list(place))

        scale = self.model.logit_scale.clamp(max=math.log(100)).exp()
        logits = scale * seen @ said[:true].T  # (B, true)
        shared = F.one_hot(own, true).float().T  # (true, B): the pictures that a prompt is right for
        of_pictures = F.cross_entropy(logits.T, shared / shared.sum(1, keepdim=True))
        if self.negatives:
            wrong = torch.tensor([place[text] for text in false], device=self.where).view(self.batch, -1)
            wrong = said[wrong]  # (B, negatives, E)
            logits = torch.cat([logits, scale * torch.einsum("be,bne->bn", seen, wrong)], 1)
        of_prompts = F.cross_entropy(logits, own)
        found = (logits.argmax(1) == own).float().mean()
        return (of_pictures + of_prompts) / 2, {"found": found, "scale": scale.detach()}

    @torch.no_grad()
    def evaluate(self):
        """On 512 validation pictures: how often the true prompt beats one false one, per kind of change.

        `all` is the share of pictures whose prompt beats one of every kind that it has; `retrieval` the share that
        finds its own among the prompts of 128 pictures.  `dense_` stands before the same of 512 dense prompts.
        """
        dense = self.accuracies(world.sample("dense", 512, "validation"))
        return self.accuracies(world.sample("all", 512, "validation")) | {f"dense_{k}": v for k, v in dense.items()}

    @torch.no_grad()
    def accuracies(self, scenes) -> dict[str, float]:
        """The shares that `evaluate` reports, on these scenes."""
        rng = random.Random(0)
        wins, everything, found = {kind: [] for kind in KINDS}, [], []
        for first in range(0, len(scenes), 128):
            part = scenes[first : first + 128]
            prompts = list(dict.fromkeys(scene.prompt for scene in part))
            false = [[(kind, texts[0]) for kind, texts in false_prompts(scene, rng).items()] for scene in part]
            texts = [text for row in false for _, text in row]
            seen, said = self.features(world.render(part).to(self.where), prompts + texts)
            true = seen @ said[: len(prompts)].T  # (128, prompts)
            own = torch.tensor([prompts.index(scene.prompt) for scene in part], device=self.where)
            found += (true.argmax(1) == own).tolist()
            wrong = iter(said[len(prompts) :])
            for row, (changes, image) in enumerate(zip(false, seen)):
                won = {kind: bool(true[row, own[row]] > image @ next(wrong)) for kind, _ in changes}
                everything.append(all(won.values()))
                for kind, win in won.items():
                    wins[kind].append(win)
        share = {kind: round(sum(won) / len(won), 3) for kind, won in wins.items() if won}
        return share | {name: round(sum(v) / len(v), 3) for name, v in (("all", everything), ("retrieval", found))}


def roughen(images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    """Mix each picture with its 3 x 3 mean by a random share, and add white noise of standard deviation up to .04."""
    blur, noise = (torch.rand(len(images), 1, 1, 1, generator=draws) for _ in range(2))
    smooth = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    return torch.lerp(images, smooth, blur) + 0.04 * noise * torch.randn(images.shape, generator=draws)

"""A verifier that reasons: asks a small vision-language model one question for each claim of the prompt.

Its score is the mean log-probability of the right answers, so one claim that fails costs as much as it is sure to fail.
Lin et al.'s VQAScore (arXiv 2404.01291) asks one question for the whole prompt; taken apart (TIFA, DSG; see
`world/questions.py`) a long prompt is as easy as a short one, and says which claim it is that fails.

The model is transformers' LLaVA in a tiny configuration, as LLaVA-OneVision is built (arXiv 2408.03326): SigLIP's tower
sees 8 x 8 patches, a projector makes words of what it sees, Qwen2's language model reads them and then the question.
All questions about a picture go in one sequence: each sees the picture and itself, none sees another.
"""

import copyreg
from functools import cache

import torch
from torch import nn

from .. import torchvision_repair
from ..device import plain_defaults
from ..inputs import check_pictures
from ..world.questions import ANSWERS, QUESTION_WORDS, Question, questions
from .clip import fitted
from .protocol import paired

PATCHES = 64  # 8 x 8 of them
PICTURE = len(QUESTION_WORDS)  # the id that stands for a patch, until what the tower saw takes its place
SIZES = {"width": 128, "hidden": 384, "heads": 4, "seeing": 4, "reading": 4}  # layers of the two towers


def build(width: int, hidden: int, heads: int, seeing: int, reading: int):
    """The model, freshly initialised from torch's seed."""
    torchvision_repair.repair()
    from transformers import LlavaConfig, LlavaForConditionalGeneration, Qwen2Config, SiglipVisionConfig

    same = {"hidden_size": width, "intermediate_size": hidden, "num_attention_heads": heads}
    sees = SiglipVisionConfig(**same, num_hidden_layers=seeing, image_size=64, patch_size=8, vision_use_head=False)
    reads = Qwen2Config(
        **same, num_hidden_layers=reading, num_key_value_heads=heads, vocab_size=PICTURE + 1, use_cache=False,
        max_position_embeddings=128, tie_word_embeddings=False,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=sees, text_config=reads, image_token_index=PICTURE, image_seq_length=PATCHES,
        vision_feature_select_strategy="full", vision_feature_layer=-1,
    )  # fmt: skip
    return LlavaForConditionalGeneration(config)


@cache
def _ids(text: str) -> tuple[int, ...]:
    """A question as token ids."""
    return tuple(QUESTION_WORDS.index(word) for word in text.replace(",", " ,").split())


def packed(asked: list[list[Question]]):
    """Questions about B pictures, each a list, as one sequence a picture.

    Returns ids (B, N), padded with 0; the mask (B, 1, N, N), True where a row may look at a column; places (B, N); and
    which positions end a question, (B, N) bool: there the model answers.
    """
    rows = [[_ids(question.text) for question in of] for of in asked]
    longest = PATCHES + max(sum(map(len, row)) for row in rows)
    ids, places, block = (torch.zeros(len(rows), longest, dtype=torch.long) for _ in range(3))
    ends = torch.zeros(len(rows), longest, dtype=torch.bool)
    ids[:, :PATCHES], places[:, :PATCHES] = PICTURE, torch.arange(PATCHES)
    block[:, PATCHES:] = -1  # padding: nobody but itself looks at it
    for i, row in enumerate(rows):
        at = PATCHES
        for n, question in enumerate(row, 1):
            here = slice(at, at + len(question))
            ids[i, here], block[i, here] = torch.tensor(question), n
            places[i, here] = PATCHES + torch.arange(len(question))
            at += len(question)
            ends[i, at - 1] = True
    before = torch.ones(longest, longest, dtype=torch.bool).tril()
    own = (block[:, :, None] == block[:, None, :]) & before  # (B, N, N)
    seen = (block == 0)[:, None, :] & (block >= 0)[:, :, None]  # the picture sees itself whole
    return ids, (own | seen)[:, None], places, ends


def answers(model, images: torch.Tensor, asked: list[list[Question]]) -> torch.Tensor:
    """Log-probabilities of `ANSWERS`, (Q, 9), for all questions in order; images (B, 3, 64, 64) as the tower wants."""
    where = images.device
    ids, mask, places, ends = (part.to(where) for part in packed(asked))
    hidden = model.model(
        input_ids=ids, pixel_values=images, attention_mask=mask, position_ids=places
    ).last_hidden_state  # (B, N, W)
    logits = model.lm_head(hidden[ends]).float()  # (Q, words)
    return logits.log_softmax(-1)[:, answer_ids().to(where)]


@cache
def answer_ids() -> torch.Tensor:
    """The token ids of `ANSWERS`."""
    return torch.tensor([QUESTION_WORDS.index(answer) for answer in ANSWERS])


class VqaScore:
    """The mean log-probability of the right answers to the questions that a prompt asks.

    `flops_per_image` is of the last prompt scored: each asks as many questions as it has claims.
    """

    def __init__(self, name: str, model, where="cpu", chunk: int = 32):
        self.name, self.where, self.chunk = name, torch.device(where), chunk
        self.model = model.to(self.where).eval().requires_grad_(False)
        self.flops_per_image = 0

    @plain_defaults()
    @torch.no_grad()
    def __call__(self, images: torch.Tensor, prompts) -> torch.Tensor:
        """Scores (B,), at most 0, of pictures (B, 3, H, W) in [0, 1]; prompts are one for each, or one for all."""
        prompts = paired(images, prompts)
        asked = [questions(prompt) for prompt in prompts]
        right = []
        for first in range(0, len(asked), self.chunk):
            right += self._right(images[first : first + self.chunk], asked[first : first + self.chunk])
        return torch.stack([of.mean() for of in right]) if right else torch.zeros(0, device=self.where)

    def _right(self, images, asked: list[list[Question]]) -> list[torch.Tensor]:
        """The log-probability of every right answer, (questions,) for each picture."""
        said = answers(self.model, fitted(images.to(self.where, torch.float32)), asked)
        self.flops_per_image = vqa_flops(self.model, max(sum(len(_ids(q.text)) for q in of) for of in asked))
        wanted = [ANSWERS.index(question.right) for of in asked for question in of]
        right = said[torch.arange(len(wanted)), torch.tensor(wanted)]
        return list(right.split([len(of) for of in asked]))

    @plain_defaults()
    @torch.no_grad()
    def explain(self, images: torch.Tensor, prompt: str) -> torch.Tensor:
        """The probability of the right answer to each of `questions(prompt)`, (B, Q)."""
        check_pictures(images, "a verifier")
        asked = questions(prompt)
        right = self._right(images, [asked] * len(images)) if len(images) else []
        return torch.stack(right).exp() if right else torch.zeros(0, len(asked), device=self.where)


def rebuilt(name: str, settings: dict, tensors: dict, where, attributes: dict) -> VqaScore:
    """What a pickle of a `VqaScore` calls: transformers must have built a model in the process that runs it."""
    model = build(**settings)
    model.load_state_dict(tensors)
    made = VqaScore(name, model, where)
    made.__dict__ |= attributes
    return made


def reduced(made: VqaScore):
    """What is pickled: sizes, weights, and what else it knows."""
    sees, reads = made.model.config.vision_config, made.model.config.text_config
    settings = {"width": reads.hidden_size, "hidden": reads.intermediate_size, "heads": reads.num_attention_heads}
    settings |= {"seeing": sees.num_hidden_layers, "reading": reads.num_hidden_layers}
    others = {name: value for name, value in vars(made).items() if name != "model"}
    return rebuilt, (made.name, settings, made.model.state_dict(), made.where, others)


copyreg.pickle(VqaScore, reduced)


def vqa_flops(model, words: int) -> int:
    """Multiplications and additions for one picture and questions of so many words together, matrix products only."""

    def products(module, rows: int) -> int:
        return rows * sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))

    sees, reads, n = model.config.vision_config, model.config.text_config, PATCHES + words
    seen = products(model.model.vision_tower, PATCHES) + PATCHES * 3 * sees.patch_size**2 * sees.hidden_size
    seen += sees.num_hidden_layers * 2 * PATCHES**2 * sees.hidden_size
    read = products(model.model.language_model, n) + reads.num_hidden_layers * 2 * n**2 * reads.hidden_size
    return 2 * (seen + products(model.model.multi_modal_projector, PATCHES) + read)

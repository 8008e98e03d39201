"""A language model that looks: LLaVA-OneVision (Li et al. 2024, arXiv 2408.03326) asked whether the picture shows it.

VQAScore (Lin et al. 2024, arXiv 2404.01291) is the probability of the answer "Yes" to

    Does this figure show "{prompt}"? Please answer yes or no.

Here it is given as log-odds, log p / (1 - p): the same order, but two pictures at p = .99999 still differ, which a
search needs.  `torch.sigmoid` gives p back.  How the paper (arXiv 2510.16751) asked could not be found; a summary
says 500 ms a picture and 15.3 GB.  The model is transformers' own; it reads a picture whole and in tiles.

    verifier = load_llava()
    verifier(images, "three red foxes in the snow")
"""

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from ..device import device, half_dtype, plain_defaults
from ..paths import expanded
from ..torchvision_repair import Repair, repair
from ..verifiers.protocol import paired
from .files import commit_of, download
from .loading import whole_model

REPO, LICENCE = "llava-hf/llava-onevision-qwen2-7b-ov-hf", "Apache-2.0"
QUESTION = 'Does this figure show "{prompt}"? Please answer yes or no.'
ANSWER = "Yes"


class VQAScore:
    """The verifier: a `LlavaOnevisionForConditionalGeneration` and its processor; one picture at a time."""

    def __init__(self, name: str, model, processor, question: str = QUESTION, answer: str = ANSWER):
        ids = processor.tokenizer(answer, add_special_tokens=False).input_ids
        if len(ids) != 1:
            raise ValueError(f'the answer must be one token of the model\'s; "{answer}" is {len(ids)}')
        if "{prompt}" not in question:
            raise ValueError(f"the question needs a place for the prompt, {{prompt}}; got {question!r}")
        self.name, self.question, self.answer = name, question, ids[0]
        self.model, self.processor = model.eval().requires_grad_(False), processor
        self.where = model.device
        self.flops_per_image = 0  # of the last question: it depends on the picture's shape and the prompt's length

    def __reduce__(self):
        """Pickled as settings and weights: a model of transformers that is only unpickled, or copied, does not run."""
        attributes = {name: value for name, value in vars(self).items() if name != "model"}
        return rebuilt, (Repair(), type(self.model), self.model.config, self.model.state_dict(), attributes)

    @plain_defaults()
    @torch.no_grad()
    def __call__(self, images: Tensor, prompts) -> Tensor:
        """Log-odds (B,) of the answer for pictures (B, 3, H, W) in [0, 1]; prompts are one for each, or one for all."""
        prompts = paired(images, prompts)
        for mark in self.processor.tokenizer.all_special_tokens:
            if any(mark in prompt for prompt in prompts):
                raise ValueError(f'"{mark}" in a prompt is a mark of the model\'s own and no text: leave it away')
        questions = [self.question.replace("{prompt}", prompt) for prompt in prompts]
        scores = [self.ask(image, question) for image, question in zip(images, questions)]
        return torch.stack(scores) if scores else torch.zeros(0, device=self.where)

    def ask(self, image: Tensor, question: str) -> Tensor:
        """Log-odds of the answer to one question about one picture (3, H, W), a scalar."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        pixels = (image.float().clamp(0, 1) * 255).round().to("cpu", torch.uint8)
        inputs = self.processor(images=[pixels], text=[text], return_tensors="pt").to(self.where, self.model.dtype)
        self.flops_per_image = answer_flops(self.model, inputs["pixel_values"].shape[1], inputs["input_ids"].shape[1])
        logits = self.model(**inputs, logits_to_keep=1).logits[0, -1].float()  # (V,)
        others = logits.clone()
        others[self.answer] = -torch.inf
        return logits[self.answer] - others.logsumexp(0)


def rebuilt(_: Repair, kind: type, config, weights: dict, attributes: dict) -> VQAScore:
    """The verifier from its pickle: a new model with the old one's weights."""
    verifier = VQAScore.__new__(VQAScore)
    model = kind(config)
    model.load_state_dict(weights, assign=True)
    verifier.__dict__.update(attributes, model=model.to(attributes["where"]).eval().requires_grad_(False))
    return verifier


def answer_flops(model, tiles: int, tokens: int) -> int:
    """Multiplications and additions of one answer: `tiles` seen, `tokens` read, one written; matrix products only."""
    inner, vision = model.model, model.config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2

    def products(module, rows: int) -> int:
        return rows * sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))

    seen = products(inner.vision_tower, patches) + patches * 3 * vision.patch_size**2 * vision.hidden_size
    seen += vision.num_hidden_layers * 2 * patches**2 * vision.hidden_size
    seen += products(inner.multi_modal_projector, patches)
    text = model.config.text_config
    width = text.num_attention_heads * getattr(text, "head_dim", text.hidden_size // text.num_attention_heads)
    read = products(inner.language_model, tokens) + text.num_hidden_layers * 2 * tokens**2 * width
    return 2 * (tiles * seen + read + model.lm_head.weight.numel())


@plain_defaults()
def load_llava(
    path: str | Path = REPO, where=None, dtype: torch.dtype | None = None, revision: str | None = None
) -> VQAScore:
    """LLaVA-OneVision from its repository (16 GB) or a folder in the same layout, on `where`.

    `dtype` None is bfloat16, or float16 on a GPU that has none.  `revision` is a commit (None: the pinned one).  Raises
    FileNotFoundError where there are no weights, ValueError for damaged or incomplete ones.  Nobody has run this with
    the published weights yet.
    """
    repair()
    from transformers import LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor  # slow to import

    path = expanded(path) if str(path).startswith("~") else path
    where = device() if where is None else torch.device(where)
    revision = commit_of(str(path), revision)
    missing = FileNotFoundError(
        f"no LLaVA-OneVision at {path}: fetch it with `{download(REPO)}` (16 GB, licence {LICENCE}), "
        "or name a folder that holds it"
    )
    if not Path(path).is_dir() and not re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):  # nor the name of a repository
        raise missing
    try:
        processor = LlavaOnevisionProcessor.from_pretrained(path, revision=revision)
        model = whole_model(LlavaOnevisionForConditionalGeneration, path, revision, dtype or half_dtype(where))
    except OSError as error:
        raise missing from error
    return VQAScore("llava-onevision", model.to(where), processor)

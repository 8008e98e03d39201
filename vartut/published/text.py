"""Infinity's text: the states of flan-t5-xl's encoder, computed once or read from a file.

The encoder is an 11 GB download (float32 shards; 2.4 GB of memory in half precision), its output for a prompt about
80 KB: a file of features lets a tutorial's prompts do without the encoder.  To make one:

    python -m vartut.published.text --out features.safetensors "a red fox in the snow" "two cups on a table"

Run again with other prompts it adds them to the file.
"""

import argparse
import json
import shlex
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..names import nearest
from ..paths import expanded, read_lines, write_files
from ..torchvision_repair import repair
from .files import TEXT_LICENCE, TEXT_REPO, commit_of, download
from .loading import whole_model

MAX_TOKENS = 512  # longer prompts are cut, as in the authors' code


def encode_text(
    prompts: list[str],
    encoder: str | Path = TEXT_REPO,
    where: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    revision: str | None = None,
) -> dict[str, Tensor]:
    """The features of each distinct prompt: float32 tensors (tokens, channels) on the CPU, the end mark included.

    `encoder` is a repository of Hugging Face or a folder with tokenizer, configuration and safetensors weights,
    `revision` a commit of the repository (None: the pinned one of flan-t5-xl, else "main").  It is loaded, used and
    freed again: it need not be in memory beside Infinity.  `dtype` None means float16 on a GPU, as in the authors'
    code, and bfloat16 on the CPU.  Raises FileNotFoundError if the encoder is not to be had, ValueError for weights
    that are damaged or not all there.
    """
    repair()
    from transformers import AutoTokenizer, T5EncoderModel  # slow to import, and needed here only

    encoder = expanded(encoder) if str(encoder).startswith("~") else encoder
    where = torch.device(where)
    dtype = dtype or (torch.bfloat16 if where.type == "cpu" else torch.float16)
    revision = commit_of(str(encoder), revision)
    try:
        tokenizer = AutoTokenizer.from_pretrained(encoder, revision=revision)
        model = whole_model(T5EncoderModel, encoder, revision, dtype)
    except OSError as error:
        raise FileNotFoundError(
            f"the text encoder {encoder} is not on this machine: fetch it with `{download(TEXT_REPO)}` "
            f"(11 GB, licence {TEXT_LICENCE}), name a folder that holds it, or use a file of precomputed features"
        ) from error
    model = model.to(where).eval()
    features = {}
    with torch.no_grad():
        for prompt in dict.fromkeys(prompts):  # one at a time: without padding there is nothing to strip
            ids = tokenizer(prompt, truncation=True, max_length=MAX_TOKENS, return_tensors="pt").input_ids
            features[prompt] = model(input_ids=ids.to(where)).last_hidden_state[0].float().cpu()
    return features


def read_prompt_file(path: Path) -> list[dict]:
    """A dict for each line that is not empty, at least with "prompt", a text.

    The lines of a .jsonl are objects, as in GenEval's evaluation_metadata.jsonl, those of any other file prompts; how
    they are read see `paths.read_lines`.  Raises ValueError naming the file and the line that is no prompt.
    """
    entries = []
    for number, line in enumerate(read_lines(path), 1):
        line = line.strip()
        if not line:
            continue
        try:
            entry = json.loads(line) if path.suffix.lower() == ".jsonl" else {"prompt": line}
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: not JSON, {error}; one object a line is wanted") from error
        prompt = entry.get("prompt") if isinstance(entry, dict) else None
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(f'{path}, line {number}: wanted an object with a text, such as {{"prompt": "a red fox"}}')
        entries.append(entry)
    if not entries:
        raise ValueError(f"{path} has no prompts: write one a line")
    return entries


def save_features(path: str | Path, features: dict[str, Tensor], encoder: str | Path = TEXT_REPO) -> Path:
    """Write features by prompt to a .safetensors file, in half precision.  Raises ValueError if they do not fit it."""
    path, prompts = expanded(path), list(features)
    tensors = {str(i): features[prompt].half().contiguous() for i, prompt in enumerate(prompts)}
    for prompt, tensor in zip(prompts, tensors.values()):
        if not torch.isfinite(tensor).all():
            raise ValueError(f'the features of "{prompt}" do not fit half precision')
    write_files({path: save(tensors, {"prompts": json.dumps(prompts), "encoder": str(encoder)})})
    return path


class FeatureFile:
    """Features by prompt from a file that `save_features` wrote; a tensor is read when it is asked for.

        features = FeatureFile("features.safetensors")
        condition = model.encode([features[prompt] for prompt in prompts])
    """

    def __init__(self, path: str | Path):
        self.path = expanded(path)
        if not self.path.is_file():
            raise FileNotFoundError(
                f"no text features at {path}: make them with `python -m vartut.published.text --out {path} PROMPT ...`"
            )
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata() or {}
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged or no .safetensors file ({error}): make it anew") from error
        if "prompts" not in metadata:
            raise ValueError(f"{path} holds tensors, but not text features: it names no prompts")
        self.prompts, self.encoder = tuple(json.loads(metadata["prompts"])), metadata["encoder"]

    def __getitem__(self, prompt: str) -> Tensor:
        """The features (tokens, channels) of one prompt, float32.  Raises ValueError naming the nearest prompt."""
        if prompt not in self.prompts:
            near = nearest(prompt, self.prompts)
            hint = f"; the nearest there is {near!r}" if near else ""
            command = f"python -m vartut.published.text --out {self.path} {shlex.quote(prompt)}"
            raise ValueError(f"{self.path} has no features of {prompt!r}{hint}; add them with `{command}`")
        with safe_open(self.path, "pt") as file:
            return file.get_tensor(str(self.prompts.index(prompt))).float()

    def __len__(self) -> int:
        return len(self.prompts)


def make_feature_file(prompts: list[str], out: str | Path, **encoding) -> Path:
    """Encode prompts and write their features, beside those that the file has already.

    `encoding` are the arguments of `encode_text`.  Raises ValueError if the file was made with another encoder.
    """
    encoder, before = str(encoding.get("encoder", TEXT_REPO)), {}
    if expanded(out).is_file():
        file = FeatureFile(out)
        if file.encoder != encoder:
            raise ValueError(f"{out} has features of the encoder {file.encoder}, not of {encoder}: name another file")
        before = {prompt: file[prompt] for prompt in file.prompts}
    new = [prompt for prompt in prompts if prompt not in before]
    return save_features(out, before | (encode_text(new, **encoding) if new else {}), encoder)


def main(argv: list[str] | None = None) -> int:
    """The command: prompts from the line or, with --prompts, one per line of a file."""
    parser = argparse.ArgumentParser(prog="python -m vartut.published.text", description="Precompute text features.")
    parser.add_argument("prompt", nargs="*")
    parser.add_argument("--prompts", type=expanded, help="a text file with one prompt per line, or a .jsonl")
    parser.add_argument("--out", type=expanded, required=True, help="the .safetensors file to write or add to")
    parser.add_argument("--encoder", default=TEXT_REPO, help="repository or folder of the T5 encoder")
    parser.add_argument("--where", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(argv)
    try:
        entries = read_prompt_file(args.prompts) if args.prompts else []
        prompts = [*args.prompt, *(entry["prompt"] for entry in entries)]
        if not prompts:
            raise ValueError("no prompts: give them on the line, or a file of them with --prompts")
        path = make_feature_file(prompts, args.out, encoder=args.encoder, where=args.where)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {' '.join(str(error).split())}\n")
    print(f"{len(FeatureFile(path))} prompts, {path.stat().st_size / 1e6:.2f} MB: {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

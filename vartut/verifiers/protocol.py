"""What every verifier does: score pictures against prompts.  And the oracle, which others try to be.

    verifier(images, prompts)   # (B, 3, H, W) in [0, 1] and B prompts, or one for all: (B,) scores, higher is better

It leaves the pictures as they are, gives a picture the same score in any batch, and refuses in a line what it cannot
read: `paired` does that for all of them.  No pictures have no scores: (0,).
"""

import torch

from ..device import plain_defaults
from ..inputs import check_pictures, one, ordered


class Oracle:
    """The judge's grade, 0 to 1: an upper bound on what verifiers can bring, and its own referee.

    judge: from pictures (B, 3, H, W) and B prompts to verdicts with a `.grade`, as `vartut.judge`.
    """

    name = "oracle"
    flops_per_image = 0  # it matches templates on the CPU; its seconds are in the ledger

    def __init__(self, judge):
        self.judge = judge

    @plain_defaults()
    def __call__(self, images: torch.Tensor, prompts) -> torch.Tensor:
        """Grades (B,) of pictures that the judge reads; raises ValueError in a line for what it does not."""
        grades = [verdict.grade for verdict in self.judge(images, paired(images, prompts))]
        return torch.tensor(grades, dtype=torch.float32, device=images.device)


def paired(images, prompts) -> list[str]:
    """One prompt per picture; raises ValueError in one line for what no verifier can score."""
    check_pictures(images, "a verifier")
    prompts = [prompts] * len(images) if one(prompts) else ordered("texts, as a list", prompts=prompts)
    if not all(isinstance(prompt, str) for prompt in prompts):
        raise ValueError(f"prompts are texts; got {[type(prompt).__name__ for prompt in prompts][:3]}")
    if len(prompts) != len(images):
        raise ValueError(f"one prompt per picture, or one for all: got {len(images)} pictures, {len(prompts)} prompts")
    return prompts

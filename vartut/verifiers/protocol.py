"""What every verifier does: score pictures against prompts.  And the oracle, which others try to be.

    verifier(images, prompts)   # (B, 3, H, W) in [0, 1] and B prompts, or one for all: (B,) scores, higher is better
"""

import torch

from .. import world


class Oracle:
    """The judge's grade, 0 to 1 (`vartut.judge`): an upper bound on what verifiers can bring, and its own referee."""

    name = "oracle"
    flops_per_image = 0  # it matches templates on the CPU; its seconds are in the ledger

    def __call__(self, images: torch.Tensor, prompts) -> torch.Tensor:
        """Grades (B,) of pictures (B, 3, 64, 64) in [0, 1]; every prompt must be of the world's grammar."""
        prompts = checked(images, prompts)
        return torch.tensor([verdict.grade for verdict in world.judge(images, prompts)], device=images.device)


def checked(images, prompts) -> list[str]:
    """One prompt of the world per square picture; raises ValueError in one line for what cannot be scored."""
    prompts = paired(images, prompts)
    if images.shape[2] != images.shape[3]:
        raise ValueError(f"this verifier reads square pictures; got {tuple(images.shape)}")
    for prompt in prompts:
        world.words(prompt)
    return prompts


def paired(images, prompts) -> list[str]:
    """One prompt per picture; raises ValueError in one line for what no verifier can score."""
    if not isinstance(images, torch.Tensor) or images.ndim != 4 or images.shape[1] != 3:
        got = tuple(images.shape) if hasattr(images, "shape") else type(images).__name__
        raise ValueError(f"a verifier reads a tensor of pictures (B, 3, H, W); got {got}")
    if min(images.shape[2:]) < 8:
        raise ValueError(f"a verifier reads pictures of at least 8 pixels a side; got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise ValueError(f"a verifier reads floating point pictures in [0, 1]; got {images.dtype}: divide by 255")
    if not torch.isfinite(images).all():
        raise ValueError("the pictures hold NaN or infinite values; a verifier reads values in [0, 1]")
    if len(images) and (images.min() < -1e-3 or images.max() > 1 + 1e-3):
        low, high = images.min().item(), images.max().item()
        raise ValueError(f"a verifier reads values in [0, 1]; these go from {low:.3g} to {high:.3g}: clamp or rescale")
    prompts = [prompts] * len(images) if isinstance(prompts, str) else list(prompts)
    if not all(isinstance(prompt, str) for prompt in prompts):
        raise ValueError(f"prompts are texts; got {[type(prompt).__name__ for prompt in prompts][:3]}")
    if len(prompts) != len(images):
        raise ValueError(f"one prompt per picture, or one for all: got {len(images)} pictures, {len(prompts)} prompts")
    return prompts

"""The generator's own word: how likely it finds what it has painted.  It costs nothing, since sampling computes it.

    beam_search(sampler, prompt, verifier, score=likelihood)

It is a score of states and not of pictures, so a search can use it to compare unfinished ones; a picture alone does not
say how it came about.
"""

import torch


def likelihood(sampler, state) -> torch.Tensor:
    """log p(tokens so far | prompt), unguided and untempered, (B,); raises ValueError for a sampler that has none."""
    log_prob = getattr(state, "log_prob", None)
    if log_prob is None:
        raise ValueError(f"a {type(sampler).__name__} does not know how likely its pictures are: take another score")
    return log_prob


def mean_likelihood(sampler, state) -> torch.Tensor:
    """The same a token, (B,): comparable between steps, whose pictures have different numbers of tokens."""
    told = likelihood(sampler, state)  # first, since it refuses states without tokens in a line
    return told / max(1, sum(t[0].numel() for t in state.tokens) if len(state) else 1)

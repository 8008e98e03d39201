"""Rollouts by a smaller model: a cheap painter finishes what a dear one has begun, only to see how it might end.

Models that share a tokenizer speak the same tokens, so one can go on from the other's (collaborative decoding, Chen et
al. 2024, arXiv 2411.17787, where the small one finishes for good).  Most FLOPs of a rollout lie in the last scales:

    beam_search(tiny, prompt, verifier, score=rollouts_by(nano, verifier))

scores prefixes of tiny by pictures that nano finished; what survives, tiny finishes itself.
"""

import torch

from ..inputs import whole


def rollouts_by(finisher, verifier, each: int = 1):
    """A score for `beam_search` and its kin: the mean score of `each` pictures that `finisher` makes of a row's tokens.

    finisher: a sampler with the same tokenizer (its `follow` reads the tokens); its passes are charged to the search's
    ledger.  Finished rows are scored as they are.  Raises ValueError where the two tokenizers' scales differ.
    """
    each = whole(least=1, each=each)

    def score(sampler, state) -> torch.Tensor:
        if sampler.tokenizer.scales != finisher.tokenizer.scales:
            scales = f"{sampler.tokenizer.scales} and {finisher.tokenizer.scales}"
            raise ValueError(f"the finisher reads other tokens, of scales {scales}: take one with the same tokenizer")
        ended = finished(finisher, state, each)
        prompts = [prompt for prompt in state.prompts for _ in range(len(ended) // max(1, len(state)))]
        return verifier(finisher.preview(ended), prompts).view(len(state), -1).mean(1)

    return score


def finished(finisher, state, each: int = 1):
    """The rows of a state of another model, `each` times, as this one finishes them: a finished state of its own."""
    own = finisher.begin(list(state.prompts), list(state.seeds), ledger=state.ledger)
    for step, tokens in enumerate(state.tokens):
        own = finisher.follow(own, tokens, [path[step] for path in state.paths])
    while own.step < finisher.num_steps:
        own = finisher.expand(own, each if own.step == state.step else 1)
    return own

"""vartut: inference-time search in visual generation, taught and measured in a world of shapes.

    sampler = vartut.load("tiny")
    verifier = vartut.load_verifier("clip-hard")
    result = vartut.beam_search(sampler, "a red circle left of a blue square", verifier, width=3, candidates=5, seed=0)
    vartut.judge(result.image[None], [result.prompt])
"""

from . import world
from .hub import load, load_tokenizer, load_verifier
from .ledger import Ledger
from .search import (
    beam_search,
    diverse_search,
    greedy_search,
    particle_search,
    path_search,
    random_search,
    zero_order_search,
)
from .world import judge

__version__ = "0.1.0"
__all__ = [
    "Ledger",
    "beam_search",
    "diverse_search",
    "greedy_search",
    "judge",
    "load",
    "load_tokenizer",
    "load_verifier",
    "particle_search",
    "path_search",
    "random_search",
    "world",
    "zero_order_search",
]

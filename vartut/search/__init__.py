"""Searches, a page each, written against the protocol of `models/protocol.py` alone.

- `beam.py`: random search, greedy token optimisation and beam search (arXiv 2510.16751)
- `particles.py`: a swarm whose promising members multiply (Feynman-Kac steering)
- `diversity.py`: many beginnings kept diverse, few endings kept good (TTS-VAR's recipe)
- `noise.py`: zero-order search around a noise, search over paths (Ma et al.)
- `finishing.py`: rollouts by a smaller model
- `allocating.py`: how many children at which step, for a budget
- `run.py`: what they share: rolling out, scoring, choosing, and the best picture so far
- `tree.py`: what a search leaves behind
"""

from .allocating import allocated
from .beam import beam_search, greedy_search, random_search
from .diversity import diverse_search
from .finishing import rollouts_by
from .noise import path_search, zero_order_search
from .particles import particle_search
from .tree import SearchResult, Tree

__all__ = [
    "SearchResult",
    "Tree",
    "allocated",
    "beam_search",
    "diverse_search",
    "greedy_search",
    "particle_search",
    "path_search",
    "random_search",
    "rollouts_by",
    "zero_order_search",
]

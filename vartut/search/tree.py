"""What a search leaves behind: the tree of all it looked at, and its result."""

from dataclasses import dataclass, field

import torch

from ..ledger import Ledger


@dataclass
class Node:
    """One state that a search looked at.  Its parent is the node that was branched, one or more steps before."""

    id: int  # its place in `Tree.nodes`, in the order in which the search looked
    parent: int | None  # None for the root
    step: int  # steps done, 0 for the root, K for a finished picture
    path: tuple[int, ...]  # the sampler's child numbers that lead here
    score: float | None = None  # of its finished picture, of its preview, or by a callable; None for the root
    finished: bool = False  # whether the score is the verifier's, of a finished picture
    kept: bool = False  # whether the search went on from here, or, at the end, kept it among the best
    image: torch.Tensor | None = field(default=None, repr=False, compare=False)  # (3, h, w) uint8: what was scored


class Tree:
    """The nodes of a search in the order in which it looked at them; node 0 is the root, which is always kept.

    With rollouts a node stands for all that its rollout ran: its score is that of the finished picture.
    """

    def __init__(self, num_steps: int):
        self.num_steps = num_steps
        self.nodes = [Node(0, None, 0, (), kept=True)]
        self.best: int | None = None  # the node of the best finished picture

    def __len__(self):
        return len(self.nodes)

    def __getitem__(self, node: int) -> Node:
        return self.nodes[node]

    def add(self, parent: int, step: int, path: tuple[int, ...], score: float, finished: bool, image=None) -> int:
        """Append a node and return its id; where its finished picture beats all before it, it becomes the best."""
        node = Node(len(self.nodes), parent, step, path, score, finished, False, image)
        self.nodes.append(node)
        best = None if self.best is None else comparable(self.nodes[self.best].score)
        if finished and (best is None or comparable(score) > best):  # of equals, the first
            self.best = node.id
        return node.id

    def keep(self, nodes: list[int]) -> None:
        """Mark these nodes as kept."""
        for node in nodes:
            self.nodes[node].kept = True

    def children(self, node: int) -> list[int]:
        """The nodes whose parent this is, in order."""
        return [other.id for other in self.nodes if other.parent == node]

    def path_to(self, node: int) -> list[int]:
        """The nodes from the root to this one, both included."""
        path = [node]
        while self.nodes[path[-1]].parent is not None:
            path.append(self.nodes[path[-1]].parent)
        return path[::-1]

    @property
    def best_path(self) -> list[int]:
        """The nodes from the root to the one whose finished picture is the best; empty before there is one."""
        return [] if self.best is None else self.path_to(self.best)

    def finished_scores(self) -> list[float]:
        """The verifier's scores of all finished pictures, in the order in which they were seen."""
        return [node.score for node in self.nodes if node.finished]


def comparable(score: float) -> float:
    """A score as searches compare it: to five digits.

    The same picture computed in another batch differs in the seventh digit, and that must not decide.
    """
    return float(f"{score:.5g}")


@dataclass(eq=False)
class SearchResult:
    """The best finished picture that a search has seen, and how it was found.  Results are equal if they are the same.

    A search that is interrupted hands it over by the exception: `except KeyboardInterrupt as stop: stop.result`.
    """

    image: torch.Tensor = field(repr=False)  # (3, H, W) in [0, 1]
    score: float  # the verifier's
    prompt: str
    search: str  # "random", "greedy" or "beam"
    tree: Tree = field(repr=False)
    ledger: Ledger = field(repr=False)

    def __str__(self):
        pictures = len(self.tree.finished_scores())
        return (
            f'{self.search} search for "{self.prompt}": best score {self.score:.3f} of {pictures} finished pictures, '
            f"{self.ledger.nfe} NFE"
        )

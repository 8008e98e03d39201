"""What the verbs of searches that go back share: whose rows, and paths that no child has."""

from ..inputs import whole
from .protocol import State, numbered

BACK, NEAR = -1, -2  # in a path: noised back to a step, or moved to a neighbour; children are numbered from 0


def gone_back(state: State, step, n, first, least: int) -> tuple[list[int], list[tuple[int, ...]]]:
    """The rows that `renoise(state, step, n, first)` takes back, and the paths of what becomes of them: no child has
    such a path, so what is drawn from there on is new.  Raises ValueError unless step is from `least` to one before."""
    step, (rows, numbers) = whole(least=least, most=state.step - 1, step=step), numbered(state, n, first)
    return rows, [(*state.paths[row], BACK, step, j) for row, j in zip(rows, numbers)]

"""A law to test: what success would be if the facts of a prompt held or failed independently of each other.

With a chance q that a fact fails, a picture has all of m facts with (1 - q)^m.  The best of n, chosen by somebody who
sees everything, is right with 1 - (1 - (1 - q)^m)^n: as m grows, n has to grow exponentially.  A search that could fix
one fact after the other, with n / m draws for each, would be right with (1 - q^(n / m))^m: there n grows little faster
than m.
"""

import numpy as np
from scipy.optimize import minimize_scalar


def best_of_independent(q: float, facts, n: int = 1) -> np.ndarray:
    """The chance that one of n pictures has all its facts, for each number of facts."""
    return 1 - (1 - (1 - q) ** np.asarray(facts, dtype=np.float64)) ** n


def one_by_one(q: float, facts, n: int) -> np.ndarray:
    """The chance that all facts hold if each is fixed in its turn, the best of n / facts draws, for each number."""
    facts = np.asarray(facts, dtype=np.float64)
    return (1 - q ** (n / facts)) ** facts


def failing_chance(facts, successes, tries) -> float:
    """The q under which these counts of single pictures are likeliest: successes out of tries for each number of facts.

    Raises ValueError where nothing was tried, or the counts are impossible.
    """
    facts, successes, tries = (np.asarray(part, dtype=np.float64) for part in (facts, successes, tries))
    if not tries.sum() or (successes > tries).any() or (successes < 0).any():
        raise ValueError("the law needs tries, and successes among them, for each number of facts")

    def unlikely(q):
        p = np.clip((1 - q) ** facts, 1e-12, 1 - 1e-12)
        return -(successes * np.log(p) + (tries - successes) * np.log1p(-p)).sum()

    return float(minimize_scalar(unlikely, bounds=(0, 1), method="bounded").x)

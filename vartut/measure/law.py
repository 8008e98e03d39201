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
    possible = facts.shape == successes.shape == tries.shape and (facts > 0).all() and np.isfinite(facts).all()
    if not (possible and 0 < tries.sum() < np.inf and (successes >= 0).all() and (successes <= tries).all()):
        raise ValueError("the law needs tries, and successes among them, for each number of facts")

    def unlikely(q):
        log_p = facts * np.log1p(-q)  # never clipped: a prompt of many facts is right once in 100,000
        return -(successes * log_p + (tries - successes) * np.log1p(-np.exp(log_p))).sum()

    return float(minimize_scalar(unlikely, bounds=(0, 1), method="bounded").x)

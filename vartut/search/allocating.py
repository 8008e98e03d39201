"""Where to branch, and how often: a budget spent where the final score's variance is decided.

    candidates = allocated(decided=(0.1, 0.4, 0.2, 0.1, 0.1, 0.1), cost=(6, 5, 4, 3, 2, 1), budget=60)
    greedy_search(tiny, prompt, verifier, candidates=candidates)

If step k decides a share s_k of the variance, the best of c children at that step lies sqrt(s_k) m(c) standard
deviations of the score above the middle, m(c) the expected largest of c normal numbers.  m grows ever more slowly, so
the children that are worth most for their cost are found one after the other.  It is a plan for a greedy search whose
comparisons do not err, such as by several rollouts; where a score is noisy at coarse steps, its share should be
discounted by what the score can see.
"""

from functools import cache
from math import sqrt

import numpy as np
from scipy.stats import norm

from ..inputs import finite, ordered


def allocated(decided, cost, budget: float, most: int = 64) -> list[int]:
    """How many children at each step, 1 to `most`: greedily by what one more brings for what it costs.

    decided: shares of variance, one a step, from 0.  cost: of one child at each step, above 0, a rollout included, in
    any currency.  budget: in the same, of all children together; at least one child a step.  Raises ValueError where
    it does not pay for that, and for other numbers.
    """
    decided = [finite(low=0, decided=share) for share in ordered("numbers, one a step", decided=decided)]
    cost = [finite(low=0, cost=price) for price in ordered("numbers, one a step", cost=cost)]
    if len(decided) != len(cost) or not cost or min(cost) == 0:
        raise ValueError(f"cost is a number above 0 for each of {len(decided)} steps; got {cost}")
    left, counts = finite(budget=budget) - sum(cost), [1] * len(cost)
    if left < 0:
        raise ValueError(f"budget is at least {sum(cost):g}, one child at each step; got {budget}")
    while True:
        worth = [
            sqrt(share) * (expected_best(n + 1) - expected_best(n)) / price if price <= left and n < most else 0.0
            for share, n, price in zip(decided, counts, cost)
        ]
        step = int(np.argmax(worth))
        if worth[step] == 0:
            return counts
        counts[step] += 1
        left -= cost[step]


@cache
def expected_best(n: int) -> float:
    """The expected largest of n normal numbers: the integral of x times its density n phi(x) Phi(x)^(n - 1)."""
    x = np.linspace(-9, 9, 4001)
    return float(np.trapezoid(x * n * norm.pdf(x) * norm.cdf(x) ** (n - 1), x))

"""Intervals."""

from ..inputs import whole


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval (low, high) of a success rate, successes out of n > 0 (E. B. Wilson, 1927).

    `z` is the normal distribution's quantile.  Raises ValueError for impossible counts.
    """
    successes, n = whole(successes=successes), whole(n=n)
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"an interval needs 0 <= successes <= n and n > 0; got {successes} of {n}")
    p = successes / n
    middle = p + z * z / (2 * n)
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return (max(0.0, middle - half) / (1 + z * z / n), min(1 + z * z / n, middle + half) / (1 + z * z / n))

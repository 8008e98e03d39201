"""Intervals, and what the best of n pictures is worth when many more were painted."""

import numpy as np
from scipy.special import gammaln
from scipy.stats import bootstrap

from ..inputs import shown, whole


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval (low, high) of a success rate, successes out of n > 0 (1927).

    `z` is the normal distribution's quantile.  Raises ValueError for impossible counts.
    """
    successes, n = whole(successes=successes), whole(n=n)
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"an interval needs 0 <= successes <= n and n > 0; got {successes} of {n}")
    return wilson_of(successes / n, n, z)


def wilson_of(p: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval (low, high) where a share p of n > 0 succeeded: the rates r with
    (p - r)^2 <= z^2 r (1 - r) / n."""
    middle = p + z * z / (2 * n)
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    whole_range = 1 + z * z / n
    return max(0.0, middle - half) / whole_range, min(whole_range, middle + half) / whole_range


def best_of(n: int, scores, values) -> float:
    """The mean value of the best scored of n pictures, over all choices of n out of the N that were painted.

    scores, values: N numbers each; of equal scores the earlier picture wins, as in a search.  Picture i is the best of
    a choice if it is in it and no better one is: C(w, n - 1) of C(N, n) choices, where w pictures are worse than i.
    With 0 and 1 as values this is the success rate of best-of-n, without bias and without drawing (the estimator of
    pass@k, Chen et al. 2021, arXiv 2107.03374, where the scores are the values).  Raises ValueError unless
    1 <= n <= N.
    """
    scores, values = np.asarray(scores, dtype=np.float64), np.asarray(values, dtype=np.float64)
    n, painted = whole(n=n), len(scores)
    if values.shape != scores.shape or scores.ndim != 1 or not 1 <= n <= painted:
        raise ValueError(f"best of {n} needs as many scores and values; got {scores.shape} and {values.shape}")
    if np.isnan(scores).any() or np.isnan(values).any():
        raise ValueError(f"best of {n}: {np.isnan(scores).sum()} scores and {np.isnan(values).sum()} values are NaN")
    order = np.lexsort((-np.arange(painted), scores))  # worst first; of equals the later one is the worse
    worse = np.arange(n - 1, painted)  # how many are worse than a picture that can be the best of n
    share = np.exp(log_choices(worse, n - 1) - log_choices(painted, n))
    return float(share @ values[order[n - 1 :]])


def log_choices(of, n):
    """The logarithm of the number of choices of n out of so many."""
    return gammaln(np.add(of, 1)) - gammaln(n + 1) - gammaln(np.subtract(of, n) + 1)


def mean_interval(values, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """The 95 % interval (low, high) of the mean of two or more independent values, by drawing them with replacement.

    For means over prompts: the prompts are what another experiment would draw anew.  Percentiles of `draws` means
    (Efron's bootstrap).  Raises ValueError for fewer values.
    """
    values, rng = np.asarray(values, dtype=np.float64), np.random.default_rng(whole(least=0, seed=seed))
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"an interval of a mean needs two values or more, in a row; got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"an interval of a mean needs finite values; got {shown(values[~np.isfinite(values)])}")
    draws = whole(least=1, draws=draws)
    found = bootstrap((values,), np.mean, n_resamples=draws, method="percentile", random_state=rng)
    return tuple(float(end) for end in found.confidence_interval)


def success_interval(rates, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval (low, high) of the mean of success rates, one a prompt, each from 0 to 1.

    Wilson's formula with the variance of the rates in the place of p (1 - p), so Wilson's itself where each is 0 or 1.
    Drawn with replacement, as in `mean_interval`, ten successes of ten would leave no doubt at all, and eight rates
    would cover the truth in 54 to 81 cases of 100.  Raises ValueError for other numbers, or none.
    """
    rates = np.asarray(rates, dtype=np.float64)
    if rates.ndim != 1 or not len(rates) or not ((rates >= -1e-9) & (rates <= 1 + 1e-9)).all():
        raise ValueError(f"an interval of success needs rates from 0 to 1, in a row; got {shown(rates)}")
    n, square = len(rates), z * z
    middle, half = rates.sum() + square / 2, z * (n * rates.var() + square / 4) ** 0.5
    return max(0.0, float(middle - half)) / (n + square), min(n + square, float(middle + half)) / (n + square)

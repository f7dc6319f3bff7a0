"""Task metrics and their standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ranks(values: NDArray[np.floating]) -> Floats:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)


def spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Rank correlation; 0 if either does not vary."""
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    power = float((x**2).sum() * (y**2).sum())
    return float((x * y).sum()) / power**0.5 if power else 0.0


@dataclass(frozen=True)
class Area:
    """Area under an ROC curve, with its standard error."""

    value: float
    stderr: float


def roc_area(scores: NDArray[np.floating], positive: NDArray[np.bool_], cluster: NDArray[np.integer]) -> Area:
    """How often a positive sample scores over a negative one, ties counting half.

    Samples of one cluster depend on each other; clusters do not: the standard error is that of Obuchowski,
    "Nonparametric analysis of clustered ROC curve data", Biometrics 1997. With a cluster for each sample it is that of
    DeLong et al., Biometrics 1988.
    """
    both = ranks(scores)
    above = np.empty(len(scores))
    m, n = int(positive.sum()), int((~positive).sum())
    # How many of the other kind lie below a sample: its rank among all, less that among its own.
    above[positive] = (both[positive] - ranks(scores[positive])) / n
    above[~positive] = 1 - (both[~positive] - ranks(scores[~positive])) / m
    area = float(above[positive].mean())
    off = above - area
    clusters = int(cluster.max()) + 1
    of_positive = np.asarray(np.bincount(cluster[positive], off[positive], clusters), np.float64)
    of_negative = np.asarray(np.bincount(cluster[~positive], off[~positive], clusters), np.float64)

    def spread(part: Floats, kind: NDArray[np.bool_]) -> float:
        used = len(np.unique(cluster[kind]))
        return float((part**2).sum()) * used / (used - 1)

    together = float((of_positive * of_negative).sum()) * clusters / (clusters - 1)
    variance = spread(of_positive, positive) / m**2 + spread(of_negative, ~positive) / n**2 + 2 * together / (m * n)
    return Area(area, max(variance, 0.0) ** 0.5)


def edit_distance(a: Sequence[object], b: Sequence[object]) -> int:
    """Least number of insertions, deletions and substitutions that make b of a (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


@dataclass(frozen=True)
class Rate:
    """Errors over symbols, with its standard error."""

    value: float
    stderr: float


def error_rate(errors: Sequence[int], symbols: Sequence[int]) -> Rate:
    """All errors over all symbols of samples, with the standard error of a ratio of means (delta method)."""
    e, s = np.asarray(errors, np.float64), np.asarray(symbols, np.float64)
    rate = float(e.sum() / s.sum())
    n = len(e)
    return Rate(rate, float(((e - rate * s) ** 2).sum() * n / (n - 1)) ** 0.5 / float(s.sum()))


def jackknife(values: Sequence[float]) -> float:
    """Standard error of a statistic from its values with one sample left out each (Efron, Stein 1981)."""
    v = np.asarray(values, np.float64)
    return float(np.sqrt(((v - v.mean()) ** 2).sum() * (len(v) - 1) / len(v)))

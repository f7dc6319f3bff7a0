"""A histogram of weights in units of their standard deviation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST_BINS = 121
WIDEST = 8.0
"""Weights further from the mean, in standard deviations, are counted but not drawn."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts in bins of equal width.

    Attributes:
        first: lower edge of the first bin, in units of the weights.
        width: width of a bin.
        counts: weights in each bin.
        below: weights below the first bin.
        above: weights above the last.
    """

    first: float
    width: float
    counts: tuple[int, ...]
    below: int
    above: int


def histogram(weights: Floats) -> Histogram:
    """The histogram of finite weights, not all equal, of any shape; a bin lies around their mean."""
    mean, std = float(weights.mean()), float(weights.std())
    reach = min(WIDEST * std, float(np.abs(weights - mean).max()))
    first, last = mean - reach, mean + reach
    bins = min(MOST_BINS, 2 * round(math.sqrt(weights.size)) + 1)
    counted, _ = np.histogram(weights, bins, (first, last))
    return Histogram(
        first,
        (last - first) / bins,
        tuple(map(int, counted)),
        below=int(np.count_nonzero(weights < first)),
        above=int(np.count_nonzero(weights > last)),
    )

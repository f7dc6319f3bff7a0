"""Logarithms that are the same on every machine: numpy's own differ in the last bit between CPUs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FRACTION = 16
"""Bits after the binary point."""


def log2(x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Logarithms to base 2 of integers, in units of 2^-16; 0 for 0."""
    mantissa, exponent = np.frexp(np.maximum(x, 1).astype(np.float64))
    s = (mantissa - 1) / (mantissa + 1)  # ln m = 2 artanh s, and |s| <= 1/3
    square = s * s
    series = s * (1 + square * (1 / 3 + square * (1 / 5 + square * (1 / 7 + square * (1 / 9 + square / 11)))))
    whole: npt.NDArray[np.int64] = exponent.astype(np.int64) << FRACTION
    whole += np.rint(series * (2.8853900817779268 * 2**FRACTION)).astype(np.int64)
    return whole

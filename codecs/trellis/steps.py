"""How much finer than at high rates a tensor's step is best where its levels take few bits, at the same λ.

λ, what a bit is worth in squared error, is one for the whole model, and steps follow from it. At high rates the best
step is in a fixed ratio to √λ. At low ones it is finer (Sullivan 1996): most levels are 0 whatever the step, as λ keeps
them there, and the few others are nearer to their weights.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from neuralcodec.codecs.trellis.classes import WINDOW, quarters
from neuralcodec.logarithm import FRACTION, log2

TRELLIS = (0.3, 0.7, 1.7, 2.7), (0.65, 0.75, 1.0, 1.06)
"""Roughly estimated rates, in bits a weight, and the steps that are best there over those at high rates."""

SCALAR = (0.5, 0.75, 1.1, 1.45), (1.0, 0.8, 0.8, 0.9)
"""The same of one quantizer."""


def fineness(piece: npt.NDArray[np.float32], two: bool) -> float:
    """The best step over the one that is given, which is the best at high rates.

    Args:
        piece: some weights over the distance between levels, shape [rows, cols].
        two: whether there are two quantizers, each of twice that distance.
    """
    scaled = piece if two else 2 * piece
    # Whichever way the tensor will be scanned.
    rate = min(_rate(scaled), _rate(scaled.T))
    return float(np.interp(rate, *(TRELLIS if two else SCALAR)))


def _rate(weights: npt.NDArray[np.float32]) -> float:
    """Bits a weight of Gaussian runs of weights, whose variances a decoder knows: mean of ½·log2(1 + 4·variance)."""
    squares = np.square(quarters(weights).astype(np.int64))  # of quarters
    length = min(WINDOW, len(squares))
    count = len(squares) // length
    sums = squares[: count * length].reshape(count, length).sum(1)
    one = 4 * length
    return float(log2(one + sums).sum() - count * log2(np.array(one))) / (2 * count << FRACTION)

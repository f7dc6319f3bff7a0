"""What codecs that quantize ask of weights first."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from neuralcodec import _native
from neuralcodec.dtypes import DType
from neuralcodec.errors import SourceError
from neuralcodec.tensor import Tensor

TINIEST, COARSEST = 2.0**-126, 2.0**120
"""Steps: the least is the smallest normal float32, and some hundred times the largest is a float32, too."""


def finite_weights(tensor: Tensor, refusal: str = "levels cannot express") -> npt.NDArray[np.float32]:
    """The weights as float32, C order, in the matrix of rows by columns.

    Args:
        tensor: of floats.
        refusal: what the error says of numbers that are not finite.

    Raises:
        SourceError: some are NaN, infinite, or beyond the range of float32.
    """
    weights = np.ascontiguousarray(tensor.float32())
    _, _, bad = _native.scan(weights)
    if bad:
        raise SourceError(
            f"{bad} of {tensor.spec.size} weights are not finite float32 numbers, which {refusal}",
            tensor=tensor.spec.name,
        )
    return weights


def within_float32(step: float) -> float:
    """The step nearest to a given one that float32 holds well."""
    return min(max(step, TINIEST), COARSEST)


def largest_weight(dtype: DType) -> float:
    """The largest weight that a dtype holds and float32 as well."""
    return float(min(torch.finfo(dtype.torch).max, torch.finfo(torch.float32).max))


def counted(tensor: Tensor) -> npt.NDArray[np.float32] | None:
    """The importance with a mean of 1, so that λ keeps its meaning, however small mean squared gradients are."""
    if tensor.importance is None:
        return None
    mean, exponent = math.frexp(float(tensor.importance.mean(dtype=np.float64)))
    # Exact, and first: a mean below the normal range of float32 has few digits there.
    scaled: npt.NDArray[np.float32] = np.ldexp(tensor.importance, -exponent) / np.float32(mean)
    return scaled


MOST_GAIN, GAIN_GRID = 1.25, 1 << 12
"""Beyond that a tensor has lost more than a third of its energy, and more gain makes errors louder than weights; and
parts of one in which the gain is expressed."""


def energy_of(
    values: npt.NDArray[np.float32] | npt.NDArray[np.int16], importance: npt.NDArray[np.float32] | None
) -> float:
    """Sum of squares, shape [rows, cols], each times its importance."""
    if importance is None:
        return float(np.einsum("ij,ij->", values, values, dtype=np.float64))
    return float(np.einsum("ij,ij,ij->", values, values, importance, dtype=np.float64))


def norm_gain(was: float, now: float) -> float:
    """What decoded weights are multiplied by to have the norm they had (Banner, Nahshan and Soudry, NeurIPS 2019).

    Args:
        was: energy of the weights.
        now: energy of the decoded weights.
    """
    if not (0 < now < math.inf and was < math.inf):
        return 1.0
    gain = min(max(math.sqrt(was / now), 1 / MOST_GAIN), MOST_GAIN)
    # A coarse grid, on which machines that add up in another order agree.
    return round(gain * GAIN_GRID) / GAIN_GRID


def norm_step(  # noqa: PLR0917
    step: float,
    weights: npt.NDArray[np.float32],
    levels: npt.NDArray[np.int16],
    importance: npt.NDArray[np.float32] | None,
    dtype: DType,
    least: float = 1.0,
) -> float:
    """The step at which levels have the norm of the weights that they stand for; see :func:`norm_gain`.

    Args:
        step: at which they were found.
        weights: over this step, shape [rows, cols].
        levels: in the same order; not all are 0.
        importance: in the same order, or None.
        dtype: of the tensor, whose range is not left.
        least: a level that has to stay within it too.
    """
    gain = norm_gain(energy_of(weights, importance), energy_of(levels, importance))
    largest = max(int(levels.max()), -int(levels.min()), least)
    return float(np.float32(min(step * gain, max(step, largest_weight(dtype) / largest * (1 - 2.0**-20)))))

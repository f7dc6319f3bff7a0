"""Counts, range and moments of all weights of a tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec.tensor import Tensor, TensorSpec

CHUNK = 1 << 15
"""Weights that are looked at together: few enough for the caches, and for torch to convert them without threads."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """A tensor in a few figures; the moments are those of its finite elements.

    Float tensors are seen as float32, as codecs see them.

    Attributes:
        count: number of elements.
        nan: how many are NaN.
        infinite: how many are infinite, or beyond the range of float32.
        zeros: how many are exactly 0.
        least: smallest; None if there is none, or for complex numbers, as all of the following.
        most: largest.
        mean: mean.
        std: standard deviation, of the elements themselves (divided by their number).
        kurtosis: fourth central moment over the squared variance; 3 for a Gaussian. None if all are equal.
    """

    count: int
    nan: int
    infinite: int
    zeros: int
    least: float | None = None
    most: float | None = None
    mean: float | None = None
    std: float | None = None
    kurtosis: float | None = None

    @property
    def nonfinite(self) -> int:
        """How many are NaN or infinite."""
        return self.nan + self.infinite


def moments(tensor: Tensor) -> Moments:
    """Looks at every element of a tensor, a chunk at a time."""
    spec = tensor.spec
    total, nan, infinite, zeros = 0, 0, 0, 0
    least, most = math.inf, -math.inf
    sums: Floats = np.zeros(4)
    centre = None
    size = spec.dtype.itemsize
    for start in range(0, spec.size, CHUNK):
        values = _numbers(spec, tensor.data[start * size : (start + CHUNK) * size])
        zeros += values.size - int(np.count_nonzero(values))
        if spec.dtype.torch.is_complex:
            nan += int(np.count_nonzero(np.isnan(values)))
            infinite += int(np.count_nonzero(np.isinf(values)))
            continue
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):  # a NaN makes both of them NaN
            nan += int(np.count_nonzero(np.isnan(values)))
            infinite += int(np.count_nonzero(np.isinf(values)))
            values = values[np.isfinite(values)]
            if not values.size:
                continue
            low, high = float(values.min()), float(values.max())
        least, most = min(least, low), max(most, high)
        total += values.size
        if centre is None:
            centre = float(values.mean(dtype=np.float64))
        # Powers about the mean of the first chunk, which is near enough to that of all that no digits cancel.
        off = values.astype(np.float64)
        off -= centre
        square = off * off
        # Not "@": BLAS may wake its threads for every chunk, which takes longer than the sums where cores are busy.
        sums += off.sum(), square.sum(), np.einsum("i,i", square, off), np.einsum("i,i", square, square)
    if centre is None:
        return Moments(spec.size, nan, infinite, zeros)
    shift, second, third, fourth = (float(s) / total for s in sums)
    variance = max(second - shift**2, 0.0) if most > least else 0.0
    central = fourth - 4 * shift * third + 6 * shift**2 * second - 3 * shift**4
    kurtosis = central / variance**2 if variance**2 > 0 else None
    return Moments(spec.size, nan, infinite, zeros, least, most, centre + shift, math.sqrt(variance), kurtosis)


def _numbers(spec: TensorSpec, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.generic]:
    """Elements as numbers of their own type, floats as float32; shape [elements]."""
    if spec.dtype.torch.is_floating_point:
        piece = TensorSpec(spec.name, spec.dtype, (data.size // spec.dtype.itemsize,))
        return Tensor(piece, data).float32().reshape(-1)
    return data.view(spec.dtype.storage)

"""Short floats for tensors whose rows levels cannot span: elements rounded to a few mantissa bits, coded as bytes.

A level has one step for a whole row. Where a few weights are hundreds of times larger than the others of their row, an
8-bit step that reaches them erases the others. A float has relative precision and keeps both; the bytes that
rounding has made constant cost nothing in the lossless mode of the stream.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from neuralcodec.tensor import Tensor

MANTISSA = {"f32": 23, "f16": 10, "bf16": 7, "f64": 52}
"""Stored bits of the mantissa."""

OUTLIER_MANTISSA = 5
"""Relative error of 1 % and less: an SNR of 42 dB, which is what 8-bit levels give a row without outliers."""

ERASED = 0.3
"""Rows with fewer of their weights rounded to level 0 are not looked at closer. 8-bit levels erase 1 to 3 % of a
Gaussian row and 40 % of one with very heavy tails."""

BULK = 0.95
"""Share of a row's weights, the smallest ones, that its outliers are compared with."""

LONG_ENOUGH = 64
"""Weights that a row must have: of fewer, 5 % are not a sample."""


def shorten(tensor: Tensor, mantissa: int) -> Tensor:
    """The tensor with each element rounded to ``mantissa`` bits after the leading one, to nearest, ties to even.

    What would round to infinity is rounded towards zero. Subnormal numbers keep the bits above the same place.
    """
    dtype = tensor.spec.dtype
    drop = MANTISSA[dtype.name] - mantissa
    if drop <= 0:
        return tensor
    unsigned = np.dtype(f"<u{dtype.itemsize}")
    bits = tensor.data.view(unsigned)
    one = unsigned.type(1)
    mask = ~((one << unsigned.type(drop)) - one)
    odd = (bits >> unsigned.type(drop)) & one
    # A carry out of the mantissa raises the exponent, as it must.
    rounded = (bits + ((one << unsigned.type(drop - 1)) - one + odd)) & mask
    infinite = _exponent(rounded, dtype.name, unsigned) & ~_exponent(bits, dtype.name, unsigned)
    rounded[infinite] = bits[infinite] & mask
    return Tensor(tensor.spec, rounded.view(np.uint8))


def _exponent(
    bits: npt.NDArray[np.unsignedinteger], name: str, unsigned: np.dtype[np.unsignedinteger]
) -> npt.NDArray[np.bool_]:
    """Where all bits of the exponent are set: infinities and NaN."""
    width = MANTISSA[name]
    top = unsigned.type((1 << (8 * unsigned.itemsize - 1)) - (1 << width))
    found: npt.NDArray[np.bool_] = (bits & top) == top
    return found


def has_outliers(
    weights: npt.NDArray[np.float32], levels: npt.NDArray[np.int8], scales: npt.NDArray[np.float64]
) -> bool:
    """Whether in some row the step is larger than the bulk of its weights, so that outliers have erased them.

    Args:
        weights: float32, shape [rows, cols].
        levels: int8, the same shape.
        scales: of the rows, shape [rows].
    """
    if weights.shape[1] < LONG_ENOUGH:
        return False
    zeros = weights.shape[1] - np.count_nonzero(levels, axis=1)
    for row in np.flatnonzero(zeros > ERASED * weights.shape[1]):
        # Pruned weights are no bulk: their zeros are exact at any step.
        magnitudes = np.abs(weights[row])
        magnitudes = magnitudes[magnitudes > 0].astype(np.float64)
        if len(magnitudes) < LONG_ENOUGH:
            continue
        kept = int(BULK * len(magnitudes))
        bulk = np.partition(magnitudes, kept)[:kept]
        if float(scales[row]) ** 2 > float(np.mean(bulk**2)):
            return True
    return False

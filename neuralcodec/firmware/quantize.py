"""int8 arithmetic by TensorFlow Lite's quantization specification: scales, zero points, multipliers and shifts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec.firmware.graph import Clamp

LEAST, MOST = -128, 127
ADD_LEFT_SHIFT = 20
"""Bits by which ADD moves its inputs up before it brings them to a common scale."""

CELL_FRACTION = 12
"""Fractional bits of the sums that go into a cell's sigmoids and tanhs; their parts may have fewer."""

SOFTMAX_FRACTION = 24
LOG_FRACTION = 8
"""Fractional bits by which a logarithm of 16 of them is multiplied, to the 24 of what it is added to."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """real = (int8 - zero) * scale."""

    scale: float
    zero: int

    def quantize(self, values: npt.ArrayLike) -> npt.NDArray[np.int8]:
        """The nearest int8, ties away from zero as C's lroundf, saturated."""
        scaled = np.asarray(values, np.float32) / np.float32(self.scale)
        rounded = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)) + self.zero
        out: npt.NDArray[np.int8] = np.clip(rounded, LEAST, MOST).astype(np.int8)
        return out

    def dequantize(self, values: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
        """What int8 values stand for."""
        out: npt.NDArray[np.float32] = (values.astype(np.float32) - np.float32(self.zero)) * np.float32(self.scale)
        return out

    def limits(self, clamp: Clamp | None) -> tuple[int, int]:
        """int8 values at which a clamp of the real values ends."""
        if clamp is None:
            return LEAST, MOST

        def at(bound: float) -> int:
            return min(max(self.zero + _round(min(max(bound / self.scale, -1e6), 1e6)), LEAST), MOST)

        return at(clamp.low), at(clamp.high)


SOFTMAX = Quantization(1 / 256, -128)
HIDDEN = Quantization(1 / 128, 0)
"""Of the softmax's output, and of hidden states."""


def from_range(low: float, high: float) -> Quantization:
    """Scale and zero point of activations between two values; 0 is always among them, and exact."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / (MOST - LEAST)))
    if not scale > 0 or not math.isfinite(scale):
        return Quantization(1.0, 0)
    return Quantization(scale, min(max(_round(LEAST - low / scale), LEAST), MOST))


@dataclass(frozen=True, slots=True)
class Multiplier:
    """A real factor: multiplier * 2^(shift - 31), with 2^30 <= |multiplier| < 2^31; or 0."""

    multiplier: int
    shift: int


def multiplier_of(factor: float) -> Multiplier:
    """As TensorFlow Lite's QuantizeMultiplier, and for factors below 0 as for those above.

    Raises:
        ValueError: the factor is not finite.
    """
    if not math.isfinite(factor):
        raise ValueError(f"a finite factor expected, not {factor!r}")
    mantissa, exponent = math.frexp(factor)
    multiplier = _round(mantissa * (1 << 31))
    if abs(multiplier) == 1 << 31:
        multiplier, exponent = multiplier // 2, exponent + 1
    if exponent < -31:
        return Multiplier(0, 0)
    if exponent > 30:
        return Multiplier(int(math.copysign((1 << 31) - 1, factor)), 30)
    return Multiplier(multiplier, exponent)


def softmax_table(scale: float) -> tuple[int, ...]:
    """round(2^24 * exp(-d * scale)) for d = 0 .. 255."""
    return tuple(_round(math.exp(-d * scale) * (1 << SOFTMAX_FRACTION)) for d in range(256))


def log_softmax_factors(before: float, after: float) -> tuple[int, int]:
    """What a difference of the input, and a logarithm to base 2, are multiplied by to be in steps of the output.

    Args:
        before: scale of the input.
        after: scale of the output.
    """
    most = (1 << 32) - 1  # one step of the input is all steps of the output then
    step = min(before / after * (1 << SOFTMAX_FRACTION), most)
    return _round(step), _round(min(math.log(2) / after * (1 << LOG_FRACTION), most))


def _round(value: float) -> int:
    """Half away from zero, as C's round."""
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)

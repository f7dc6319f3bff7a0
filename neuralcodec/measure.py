"""What a lossy codec lost: signal and error energy, largest error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from neuralcodec import _native
from neuralcodec.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Errors:
    """Distortion of one tensor or of many.

    Attributes:
        energy: Σ w².
        squared: Σ (w − ŵ)².
        largest: max |w − ŵ|.
        lossless: nothing was lost, and the other figures were not taken.
    """

    energy: float = 0.0
    squared: float = 0.0
    largest: float = 0.0
    lossless: bool = False

    @property
    def snr_db(self) -> float:
        """Signal-to-noise ratio in dB, 10·log10(Σw² / Σ(w − ŵ)²); infinite where nothing was lost."""
        if self.squared == 0:
            return math.inf
        ratio = self.energy / self.squared
        return 10 * math.log10(ratio) if ratio > 0 else -math.inf

    @property
    def relative(self) -> float:
        """Relative error, √(Σ(w − ŵ)² / Σw²)."""
        if self.squared == 0:
            return 0.0
        return math.sqrt(self.squared / self.energy) if self.energy else math.inf

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.energy + other.energy,
            self.squared + other.squared,
            max(self.largest, other.largest),
            self.lossless and other.lossless,
        )


def measure_errors(original: Tensor, decoded: Tensor) -> Errors:
    """Compares two tensors of one shape and dtype, as float32 or float64, with double accumulators."""
    if original.spec.dtype.torch == torch.float64:
        was, now = original.torch().double(), decoded.torch().double()
        off = (was - now).abs()
        return Errors(float(was.square().sum()), float(off.square().sum()), float(off.max()) if off.numel() else 0.0)
    energy, squared, largest = _native.error_stats(original.float32().reshape(-1), decoded.float32().reshape(-1))
    return Errors(energy, squared, largest)

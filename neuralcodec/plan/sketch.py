"""About what a step costs and gives, told in milliseconds: a sample of the weights, rounded, and the entropy of that.

A codec does better than that, or worse, but as a rule it does at one step what rounding does at another one not far
away. So the sketch is a yardstick: measured by it, the way from a fine step to a coarse one is nearly straight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

SAMPLE, SAMPLES = 1 << 14, 1 << 19
"""Most weights of a tensor, and of all tensors as long as each has some, that are rounded."""

LEAST_SAMPLE = 256

GRID = 4
"""Steps an octave that are looked at; between them the sketch is straight."""

ROUNDED_UP = 0.36
"""What is added before it is cut off, for bytes: less than a half, as codecs that weigh the rate favour small levels.
Their errors still come near to those of a half, as their steps are so chosen."""

COARSER, FINER = 2, 18
"""Octaves from the largest weight to the coarsest step, at which all are 0, and to the finest."""

NO_ERROR_DB = 400.0


@dataclass(frozen=True, slots=True)
class Point:
    """What rounding gives: bytes of all levels at the entropy of each tensor's, and the SNR in dB."""

    nbytes: float
    snr_db: float


@dataclass(slots=True)
class Sketch:
    """Rate and distortion of rounding as functions of log2(step), the common step of all tensors.

    Attributes:
        samples: magnitudes of each tensor's sample over its own step (float64), how many weights each of them stands
            for, and that step.
    """

    samples: list[tuple[npt.NDArray[np.float64], float, float]]
    _known: dict[int, Point] = field(default_factory=dict)

    @property
    def coarsest(self) -> int:
        """log2 of a step at which all weights are 0, times GRID."""
        largest = max((float(each.max(initial=0)) for each, _, _ in self.samples), default=0.0)
        middle = math.log2(largest) if 0 < largest < math.inf else 0.0
        return math.ceil((middle + COARSER) * GRID)

    @property
    def finest(self) -> int:
        """log2 of the finest step that is looked at, times GRID."""
        return self.coarsest - (COARSER + FINER) * GRID

    def step_of(self, value: float, *, snr: bool) -> float:
        """log2 of the step at which rounding comes to a value, or the nearest that is looked at.

        Args:
            value: bytes, or dB.
            snr: whether it is dB.
        """
        fine, coarse = self.finest, self.coarsest
        while coarse - fine > 1:
            middle = (fine + coarse) // 2
            if self._at(middle, snr) > value:
                fine = middle
            else:
                coarse = middle
        above, below = self._at(fine, snr), self._at(coarse, snr)
        share = (above - value) / (above - below) if above > below else 0.0
        return (fine + min(max(share, 0.0), 1.0)) / GRID

    def _at(self, place: int, snr: bool) -> float:
        if place not in self._known:
            self._known[place] = self._rounded(2.0 ** (place / GRID))
        point = self._known[place]
        return point.snr_db if snr else point.nbytes

    def _rounded(self, step: float) -> Point:
        bits = squared = energy = 0.0
        for magnitudes, each, own in self.samples:
            scaled = magnitudes / step
            levels = np.floor(scaled + ROUNDED_UP)
            squared += each * (own * step) ** 2 * float(np.square(scaled - np.rint(scaled)).sum())
            energy += each * own * own * float(np.square(magnitudes).sum())
            counts = np.bincount(np.minimum(levels, 1 << FINER).astype(np.int64))
            counts = counts[counts > 0]
            n = magnitudes.size
            # Signs take a bit each; those of 0 none.
            bits += each * (n * math.log2(n) - float((counts * np.log2(counts)).sum()) + np.count_nonzero(levels))
        snr_db = 10 * math.log10(energy / squared) if squared and energy else NO_ERROR_DB if energy else 0.0
        return Point(bits / 8, snr_db)


def sketch(weights: Iterable[tuple[npt.NDArray[np.float32], float]], count: int) -> Sketch:
    """A sketch of tensors, of which a sample is kept.

    Args:
        weights: of each tensor, of any shape, and its step over the common one that the sketch is asked about. Weights
            that are not finite are left out.
        count: number of the tensors.
    """
    most = min(SAMPLE, max(SAMPLES // max(count, 1), LEAST_SAMPLE))
    samples = []
    for each, own in weights:
        flat = each.reshape(-1)
        # Runs would miss rows; an odd distance meets all columns.
        with np.errstate(invalid="ignore"):  # of NaN
            sample = np.abs(flat[:: max(flat.size // most, 1) | 1].astype(np.float64))
        sample = sample[np.isfinite(sample)]
        if sample.size:
            samples.append((sample / own, flat.size / sample.size, own))
    return Sketch(samples)

"""Scales: what weights are divided by before they are clustered (docs/format.md, sections 6.1 and 10.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.huffman.levels import Codes, row_scales

MOST_CODE = 255


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """What the values of a tensor are multiplied by.

    Attributes:
        step: scale at code 0, a number that float32 holds exactly.
        codes: scale codes of the rows, uint8; None where all rows have ``step``.
    """

    step: float
    codes: Codes | None

    def rows(self, count: int) -> npt.NDArray[np.float32]:
        """The scale of each row, shape [count], as decoders compute it."""
        return row_scales(self.step, self.codes, count).astype(np.float32)


def of_tensor(weights: npt.NDArray[np.float32]) -> Scales:
    """One scale: the root mean square of all weights, or the normal float32 that is nearest."""
    return Scales(_usable(float(np.sqrt(np.mean(np.square(weights, dtype=np.float64))))), None)


def of_rows(weights: npt.NDArray[np.float32]) -> Scales:
    """The root mean square of each row, to the nearest of the scales that a stream can express."""
    size = np.sqrt(np.mean(np.square(weights, dtype=np.float64), axis=1))
    step = _usable(float(size.max()))
    steps = np.array([_native.row_scale(step, code) for code in range(MOST_CODE + 1)])
    # Halfway between two neighbours; from the finest to the coarsest, as searchsorted wants them.
    borders = np.sqrt(steps[1:] * steps[:-1])[::-1]
    codes = (MOST_CODE - np.searchsorted(borders, size)).astype(np.uint8)
    codes[size == 0] = 0  # a row of zeros is at home everywhere
    return Scales(step, codes if codes.any() else None)


def _usable(scale: float) -> float:
    limits = np.finfo(np.float32)
    return float(np.float32(min(max(scale, float(limits.tiny)), float(limits.max))))

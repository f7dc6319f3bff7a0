"""How much the rows, or the columns, of a matrix differ in scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

POINTS = 129

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scales:
    """Root mean squares of rows or columns, in octaves (log2) over that of the whole matrix.

    Attributes:
        count: rows or columns that were looked at.
        zero: how many of them are all zero; the rest is about the others.
        octaves: standard deviation of their log2 RMS.
        chance: what this would be if all weights were independent Gaussian ones of one scale: about
            1 / (ln 2 · √(2n)) with n weights each.
        least: smallest log2 RMS.
        most: largest log2 RMS.
        curve: log2 RMS at evenly spaced ranks, ascending; at most 129.
    """

    count: int
    zero: int
    octaves: float
    chance: float
    least: float
    most: float
    curve: tuple[float, ...]


def scales(weights: Floats, axis: int) -> Scales | None:
    """Scales of the rows (``axis`` 1, along which is averaged) or the columns (0) of a matrix.

    Args:
        weights: shape [rows, columns], finite.
        axis: 1 or 0.

    Returns:
        None if there are fewer than two, or if all weights are zero.
    """
    count, each = weights.shape[1 - axis], weights.shape[axis]
    if count < 2 or not each:
        return None
    power = np.square(weights).mean(axis=axis)
    mean = float(power.mean())
    alive = power[power > 0]
    if not alive.size:
        return None
    logs = np.sort(0.5 * np.log2(alive / mean))
    return Scales(
        count=count,
        zero=count - alive.size,
        octaves=float(logs.std()),
        chance=1 / (math.log(2) * math.sqrt(2 * each)),
        least=float(logs[0]),
        most=float(logs[-1]),
        curve=at_ranks(logs, POINTS),
    )


def at_ranks(values: Floats, most: int) -> tuple[float, ...]:
    """Values at ``most`` evenly spaced ranks, the first and the last among them; all if they are no more."""
    if values.size > most:
        values = values[np.round(np.linspace(0, values.size - 1, most)).astype(np.int64)]
    return tuple(float(v) for v in values)

"""What one row tells of another, or its scale of its weights: what a coder with contexts could save."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.profiling.levels import counts, entropy
from neuralcodec.profiling.sample import draw, submatrix
from neuralcodec.tensor import Tensor

PAIRS = 256
WIDTH = 1024
KEY_BYTES = 64
FEW = 8
"""Columns for each row that may be stored."""

FACTOR_BITS = 8
MOST_ROWS = 1 << 20
"""Among more rows equal ones are not looked for."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Redundancy:
    """What rows have in common.

    Attributes:
        classes: rows sorted by the octave of their root mean square: how many octaves there are.
        class_bits: bits a weight that knowing the octave of its row saves at 30 dB: entropy of the levels less that
            within each class, both corrected for their number of weights (Miller, "Note on the bias of information
            estimates", 1955), less what it takes to send the octaves.
        correlation: mean absolute correlation of a row with the next; None if there are none to correlate.
        chance_correlation: the same of independent rows, about √(2 / (π·n)) with n columns.
        prediction_bits: bits a weight that predicting each row from the one before it, by the best factor, could save
            at 30 dB: ½·log2 of what is left of the rows' energy, the noise of the levels added to both.
        stored_share: share of the rows that codec regression would store, the others being sums of these;
            1 where that takes no less.
        sum_bits: bits a weight that this saves at 30 dB, factors counted, or 0.
        duplicates: rows that are equal to an earlier one, bit for bit; None if there are too many rows to look.
    """

    classes: int
    class_bits: float
    correlation: float | None
    chance_correlation: float | None
    prediction_bits: float | None
    stored_share: float
    sum_bits: float
    duplicates: int | None


def redundancy(tensor: Tensor, weights: Floats, step: float) -> Redundancy:
    """Looks for what rows have in common.

    Args:
        tensor: all of it, of two rows or more, finite.
        weights: a sample of it, shape [rows, columns].
        step: of the levels for ``class_bits``, in units of the weights.
    """
    classes, saved = _by_scale(weights, step, tensor.spec.cols)
    sums = _sums(weights, tensor.spec.cols, step**2 / 12)
    return Redundancy(classes, saved, *_neighbours(tensor, step**2 / 12), *sums, _duplicates(tensor))


def _by_scale(weights: Floats, step: float, cols: int) -> tuple[int, float]:
    """Number of classes, and bits a weight saved."""
    power = np.square(weights).mean(axis=1)
    octave = np.full(power.shape, -(1 << 10), np.int64)  # of rows that are all zero
    octave[power > 0] = np.round(0.5 * np.log2(power[power > 0] / power.mean())).astype(np.int64)
    levels = np.rint(weights / step)
    present, often = np.unique(octave, return_counts=True)
    within = entropy(often) / cols
    for each in present:
        of_class = levels[octave == each]
        within += of_class.size / levels.size * _corrected(counts(of_class))
    return len(present), max(0.0, _corrected(counts(levels)) - within)


def _corrected(occurring: npt.NDArray[np.int64]) -> float:
    return entropy(occurring) + (occurring.size - 1) / (2 * math.log(2) * int(occurring.sum()))


def _neighbours(tensor: Tensor, noise: float) -> tuple[float | None, float | None, float | None]:
    """Mean |correlation| of rows and their successors, that of chance, and the bits that it could save.

    Args:
        tensor: all of it.
        noise: mean squared error of the levels.
    """
    first = draw(tensor.spec.rows - 1, PAIRS)
    columns = draw(tensor.spec.cols, WIDTH)
    both = submatrix(tensor, np.concatenate([first, first + 1]), columns).float32().astype(np.float64)
    both -= both.mean(axis=1, keepdims=True)
    length = np.sqrt(np.square(both).sum(axis=1))
    above, below = both[: len(first)], both[len(first) :]
    lengths = length[: len(first)] * length[len(first) :]
    alive = lengths > 0
    if len(columns) < 3 or not alive.any():
        return None, None, None
    correlations = np.zeros(len(first))
    correlations[alive] = np.abs((above * below).sum(axis=1)[alive] / lengths[alive])
    energy = np.square(below).mean(axis=1)
    left = energy * np.maximum(1 - correlations**2, 0)
    saved = 0.5 * math.log2((float(energy.mean()) + noise) / (float(left.mean()) + noise))
    return float(correlations[alive].mean()), math.sqrt(2 / (math.pi * len(columns))), saved


def _sums(weights: Floats, cols: int, noise: float) -> tuple[float, float]:
    """Share of rows to store, and bits a weight that sums of them save; 1 and 0 where they save none.

    Args:
        weights: a sample, shape [rows, columns].
        cols: columns of the tensor.
        noise: mean squared error of the levels.
    """
    rows, sampled = weights.shape
    # With more stored rows than this, chance alone makes any row nearly a sum of them.
    most = min(rows // 2, sampled // FEW)
    energy = float(np.square(weights).mean())
    if most < 1 or energy == 0:
        return 1.0, 0.0
    largest = float(np.abs(weights).max())
    scaled = np.ascontiguousarray((weights / largest).astype(np.float32))
    _, rest = _native.pivot_rows(scaled, most, None, noise / largest**2)
    # Without sums contexts know how large weights are here and there: by the row, or by the column.
    power = np.square(weights)
    plain = min(float(0.5 * np.log2(1 + power.mean(axis=axis) / noise).mean()) for axis in (0, 1))
    stored = np.arange(1, len(rest))
    taken = (stored * plain + (rows - stored) * stored * FACTOR_BITS / cols + rest[1:] / sampled) / rows
    best = int(np.argmin(taken))
    saved = plain - float(taken[best])
    return (float(stored[best]) / rows, saved) if saved > 0 else (1.0, 0.0)


def _duplicates(tensor: Tensor) -> int | None:
    """Rows that equal an earlier one. Whole rows are compared only where their first bytes are equal."""
    rows, row_bytes = tensor.spec.rows, tensor.spec.cols * tensor.spec.dtype.itemsize
    if rows > MOST_ROWS:
        return None
    data = tensor.data.reshape(rows, row_bytes)
    by_key: dict[bytes, set[bytes]] = {}
    firsts: dict[bytes, int] = {}
    found = 0
    keys = np.ascontiguousarray(data[:, :KEY_BYTES])
    for i in range(rows):
        key = keys[i].tobytes()
        earlier = firsts.setdefault(key, i)
        if earlier == i:
            continue
        known = by_key.setdefault(key, {data[earlier].tobytes()})
        row = data[i].tobytes()
        found += row in known
        known.add(row)
    return found

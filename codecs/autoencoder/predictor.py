"""The transform: a level is predicted from some before it, and the residual is coded (docs/format.md, section 14).

Prediction within the loop is a triangular linear transform whose inverse needs no more than the levels that are there
already. Coefficients are those of least squares for the tensor at hand (Jayant and Noll, "Digital Coding of Waveforms",
1984, chapter 6), with the quantizer's noise counted, so that they shrink where steps are coarse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.huffman.tiles import tile_length

Weights = npt.NDArray[np.float32]

MOST_TAPS, MOST_LAG, MOST_PERIOD = 8, 65_535, 256
UNIT = 64
"""Coefficients and the bias are in 64ths."""

TAP_BITS = 24
"""What a tap takes in the payload."""

TILE = 2048
"""Most weights in a tile unless told otherwise: with levels of 16 bits, and what is remembered, below 8 KB of RAM."""

SAMPLE = 1 << 20
"""Most weights that covariances are estimated from."""

MIN_GAIN = 0.03
"""Going down the columns must save this share of the residual's variance: files are then decoded in another order."""


@dataclass(frozen=True, slots=True)
class Scan:
    """The order that a tensor's weights are coded in.

    Attributes:
        columns: whether down the columns.
        tile: tile length T.
        period: columns of one input channel, where weights a period apart have the same place in a kernel; else 1.
    """

    columns: bool
    tile: int
    period: int

    def ordered(self, weights: Weights) -> Weights:
        """The matrix in that order."""
        return np.ascontiguousarray(weights.T) if self.columns else weights


@dataclass(frozen=True, slots=True)
class Predictor:
    """Taps and bias.

    Attributes:
        lags: how many places before a level those are that it is predicted from.
        coefficients: of these, in 64ths, −128 to 127.
        bias: constant part, in weights.
        variance: mean square of the residuals of weights that are not quantized.
    """

    lags: tuple[int, ...]
    coefficients: tuple[int, ...]
    bias: float
    variance: float

    @property
    def predicts(self) -> bool:
        """Whether it gives anything but 0."""
        return bool(self.lags) or self.bias != 0

    def native(self, scan: Scan, fraction_bits: int, unit: float) -> _native.AutoencoderPredictor:
        """For the native kernels, at levels of ``unit``."""
        return _native.AutoencoderPredictor(
            scan.tile, scan.period, fraction_bits, self.bias_units(unit), list(self.lags), list(self.coefficients)
        )

    def bias_units(self, unit: float) -> int:
        """The bias in 64ths of a level of ``unit``."""
        return round(min(max(UNIT * self.bias / unit, -0xFFFFFF), 0xFFFFFF))


NONE = Predictor((), (), 0.0, 0.0)


def period_of(shape: Sequence[int]) -> int:
    """Columns of one input channel of a convolution, if a decoder can remember so many; else 1."""
    period = math.prod(shape[2:])
    return period if period <= MOST_PERIOD else 1


def best(weights: Weights, shape: Sequence[int], step: float, most: int, tile: int | None) -> tuple[Scan, Predictor]:
    """The order and the predictor with the least residuals.

    Args:
        weights: shape [rows, columns].
        shape: of the tensor.
        step: distance between residuals, in weights.
        most: most taps.
        tile: most weights in a tile; None for 2,048.
    """
    rows, columns = weights.shape
    tile = TILE if tile is None else tile
    along = Scan(False, tile_length(rows, columns, tile), period_of(shape))
    found = fit(weights, _lags(shape, columns, along.period), along.tile, step, most)
    if min(rows, columns) > 1:
        down = Scan(True, tile_length(columns, rows, tile), 1)
        other = fit(_part(weights, transposed=True), _lags((columns, rows), rows, 1), down.tile, step, most)
        noise = step * step / 12
        if other.variance + noise < (1 - MIN_GAIN) * (found.variance + noise):
            return down, other
    return along, found


def fit(weights: Weights, lags: Sequence[int], tile: int, step: float, most: int) -> Predictor:
    """Takes one lag after the other, always the best, as long as the bits that it saves are more than those it takes.

    Args:
        weights: in the order they are coded, shape [rows, columns].
        lags: that may be taken.
        tile: tile length.
        step: distance between residuals.
        most: most taps.
    """
    count = weights.size
    flat = _part(weights, transposed=False).reshape(-1)
    columns = weights.shape[1]
    length = min(tile // columns * columns if columns <= tile else tile, count)
    noise = step * step / 12
    mean = float(np.mean(flat, dtype=np.float64))
    power = float(_native.autoencoder_covariance(flat, [0])[0])
    if not _pays(count, power + noise, power - mean * mean + noise, 32):
        mean = 0.0
    lags = [lag for lag in lags if lag < min(length, flat.size)]
    differences = sorted({0, *lags, *(abs(a - b) for a in lags for b in lags)})
    sums = _native.autoencoder_covariance(flat - np.float32(mean) if mean else flat, differences)
    covariance = dict(zip(differences, sums.tolist(), strict=True))
    variance = covariance[0]
    taken: list[int] = []
    solved: list[float] = []
    while len(taken) < min(most, MOST_TAPS):
        options = []
        for lag in lags:
            if lag in taken:
                continue
            chosen = [*taken, lag]
            coefficients = _solve(
                [[covariance[abs(a - b)] + (noise if a == b else 0.0) for b in chosen] for a in chosen],
                [covariance[a] for a in chosen],
            )
            if coefficients is None or max(map(abs, coefficients)) * UNIT > 127:
                continue
            left = covariance[0] - sum(c * covariance[a] for c, a in zip(coefficients, chosen, strict=True))
            # At the start of a tile there is nothing to predict from.
            left = variance - (variance - max(left, 0.0)) * (1 - lag / length)
            options.append((left, lag, coefficients))
        if not options:
            break
        left, lag, coefficients = min(options)
        if not _pays(count, variance + noise, left + noise, TAP_BITS):
            break
        taken.append(lag)
        solved, variance = coefficients, left
    rounded = [(lag, round(UNIT * c)) for lag, c in sorted(zip(taken, solved, strict=True))]
    kept = [(lag, c) for lag, c in rounded if c]
    bias = mean * (1 - sum(c for _, c in kept) / UNIT)
    return Predictor(tuple(lag for lag, _ in kept), tuple(c for _, c in kept), bias, variance)


def _pays(count: int, before: float, after: float, bits: float) -> bool:
    """Whether a smaller variance of so many residuals saves more than ``bits``."""
    return after > 0 and before > after and 0.5 * count * float(np.log2(before / after)) > bits


def _lags(shape: Sequence[int], columns: int, period: int) -> list[int]:
    """Places before a weight that may tell of it: beside it, above it in its kernel, in channel and row before."""
    line = shape[-1] if len(shape) == 4 else 1
    near = (1, 2, 3, line - 1, line, line + 1, 2 * line, period - 1, period, period + 1, 2 * period)
    lags = {*near, columns - 1, columns, columns + 1, 2 * columns}
    return sorted(lag for lag in lags if 1 <= lag <= MOST_LAG)


def _part(weights: Weights, *, transposed: bool) -> Weights:
    """Lines from the middle of a large matrix, in the order they are coded."""
    if transposed:
        kept = max(min(weights.shape[1], SAMPLE // weights.shape[0]), 1)
        first = (weights.shape[1] - kept) // 2
        return np.ascontiguousarray(weights[:, first : first + kept].T)
    kept = max(min(weights.shape[0], SAMPLE // weights.shape[1]), 1)
    first = (weights.shape[0] - kept) // 2
    return np.ascontiguousarray(weights[first : first + kept])


def _solve(matrix: list[list[float]], right: list[float]) -> list[float] | None:
    """Gaussian elimination, written out as LAPACK's last digits differ between machines; None if singular."""
    size = len(right)
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for i in range(size):
        pivot = rows[i][i]
        if pivot <= 1e-9 * matrix[i][i]:
            return None
        for j in range(i + 1, size):
            factor = rows[j][i] / pivot
            for k in range(i, size + 1):
                rows[j][k] -= factor * rows[i][k]
    found = [0.0] * size
    for i in reversed(range(size)):
        found[i] = (rows[i][size] - sum(rows[i][k] * found[k] for k in range(i + 1, size))) / rows[i][i]
    return found

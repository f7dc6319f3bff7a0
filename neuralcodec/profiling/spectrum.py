"""Singular values of a matrix: does its energy lie in few directions?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec.profiling.scales import at_ranks

POINTS = 129

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Singular values, beside those of a matrix of independent weights of the same shape.

    Attributes:
        rows: rows of the matrix that was looked at.
        cols: its columns.
        effective_rank: exp of the entropy of the singular values, taken as shares of their sum (Roy and Vetterli, "The
            effective rank", EUSIPCO 2007), over the smaller side: 1 if all are equal.
        chance_rank: the same of a matrix of independent weights.
        top_tenth: share of the energy (sum of squares) in the largest tenth of the singular values.
        chance_top_tenth: the same of a matrix of independent weights.
        curve: singular values over the root mean square of all, at evenly spaced ranks, descending; at most 129.
        chance_curve: the same of a matrix of independent weights.
    """

    rows: int
    cols: int
    effective_rank: float
    chance_rank: float
    top_tenth: float
    chance_top_tenth: float
    curve: tuple[float, ...]
    chance_curve: tuple[float, ...]


def spectrum(weights: Floats) -> Spectrum | None:
    """The spectrum of a matrix.

    Args:
        weights: shape [rows, columns], finite.

    Returns:
        None if there is but one row or column, or all weights are zero.
    """
    rows, cols = weights.shape
    if min(rows, cols) < 2 or not weights.any():
        return None
    weights = weights / np.abs(weights).max()
    # Squares of the singular values. A singular value of 1e-8 of the largest is lost so, which no figure here notices.
    gram = weights @ weights.T if rows <= cols else weights.T @ weights
    power = np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0)
    chance = _independent(rows, cols)
    return Spectrum(
        rows,
        cols,
        effective_rank=_effective_rank(power),
        chance_rank=_effective_rank(chance),
        top_tenth=_top_tenth(power),
        chance_top_tenth=_top_tenth(chance),
        curve=_curve(power),
        chance_curve=_curve(chance),
    )


def _effective_rank(power: Floats) -> float:
    share = np.sqrt(power)
    share = share[share > 0] / share.sum()
    return math.exp(-float(share @ np.log(share))) / power.size


def _top_tenth(power: Floats) -> float:
    return float(power[: math.ceil(power.size / 10)].sum() / power.sum())


def _curve(power: Floats) -> tuple[float, ...]:
    return at_ranks(np.sqrt(power / power.mean()), POINTS)


def _independent(rows: int, cols: int) -> Floats:
    """Squared singular values of independent weights of variance 1 over the larger side, descending; shape [smaller].

    Quantiles of the law of Marchenko and Pastur ("Distribution of eigenvalues for some sets of random matrices",
    Mathematics of the USSR-Sbornik, 1967), to which the squares converge as the matrix grows.
    """
    ratio = min(rows, cols) / max(rows, cols)
    low, high = (1 - math.sqrt(ratio)) ** 2, (1 + math.sqrt(ratio)) ** 2
    # Points are dense at both ends, where the density has vertical tangents, or a pole at 0 in a square matrix.
    angle = np.linspace(0, math.pi, 4097)
    at = (low + high) / 2 - (high - low) / 2 * np.cos(angle)
    middle = (at[1:] + at[:-1]) / 2
    mass = np.sqrt((high - middle) * (middle - low)) / middle * np.diff(at)
    below = np.cumsum(mass) / mass.sum()
    rank = (np.arange(min(rows, cols)) + 0.5) / min(rows, cols)
    ascending: Floats = np.interp(rank, below, at[1:])
    return ascending[::-1]

"""From weights to indices and codebooks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.kmeans import book, cluster
from neuralcodec.codecs.kmeans.book import Centroids, Values
from neuralcodec.codecs.kmeans.scales import Scales
from neuralcodec.codecs.shaping import TOGETHER
from neuralcodec.tensor import Tensor
from neuralcodec.weights import counted

SAMPLE = 4096
"""Values that stand for a tensor where several tensors are clustered together."""

START_BINS = 2048
"""Where entropy-constrained clustering starts need not be exact: with 16,384 bins it ends in the same place, and takes
five times as long."""

ROUNDED = np.float32(2**-8)
"""Relative errors that rounding a centroid may leave, whatever its floating-point type."""

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rule:
    """How values are clustered.

    Attributes:
        clusters: most centroids in a codebook.
        zero: whether one is 0.
        kind: their type.
    """

    clusters: int
    zero: bool
    kind: Centroids


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """A codebook.

    Attributes:
        values: the centroids as a stream holds them, ascending: integers that count ``unit`` for int8.
        unit: what int8 centroids are multiplied by, else 1.
        bits: what each costs, in bits an index; None where rate does not count.
    """

    values: Values
    unit: float
    bits: Values | None


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Values that stand for a tensor, each with the weight of those it stands for."""

    values: Weights
    weights: Weights


def divide(weights: Weights, scales: Scales | None) -> Weights:
    """Weights over the scale of their row."""
    if scales is None:
        return weights
    with np.errstate(over="ignore", under="ignore"):
        divided = weights / scales.rows(len(weights))[:, None]
    limit = np.finfo(np.float32).max
    clipped: Weights = np.clip(divided, -limit, limit)
    return clipped


def counted_scaled(tensor: Tensor, scales: Scales | None) -> Weights | None:
    """What the squared error of each value counts, shape [rows, cols]; None where all count the same."""
    importance = counted(tensor)
    if scales is None or scales.codes is None:
        return importance
    rows = np.square(scales.rows(tensor.spec.rows) / np.float32(scales.step))[:, None]
    weighted: Weights = np.broadcast_to(rows, (tensor.spec.rows, tensor.spec.cols)) * (
        np.float32(1) if importance is None else importance
    )
    return weighted


def fit(parts: Sequence[tuple[Weights, Weights | None]], rule: Rule, penalty: float) -> list[Book]:
    """The codebooks of some groups of values, all of one unit.

    Args:
        parts: of each group the values, and what the squared error of each counts (None where all count the same).
        rule: how many centroids a codebook may have, and of which type.
        penalty: λ of D + λR, D in squared units of the values; 0 leaves the rate out.
    """
    found: list[tuple[Values, Values | None]] = []
    for values, importance in parts:
        flat = np.ascontiguousarray(values).reshape(-1)
        counts = None if importance is None else np.ascontiguousarray(importance, np.float32).reshape(-1)
        if penalty > 0:
            constrained = cluster.entropy_constrained(flat, rule.clusters, penalty, counts, rule.zero, START_BINS)
            found.append((constrained.centroids, constrained.bits))
        else:
            found.append((cluster.optimal(flat, rule.clusters, counts, rule.zero).centroids, None))
    unit = 1.0
    if rule.kind == "int8":
        largest = max(float(np.abs(centroids).max()) for centroids, _ in found)
        # A float32 that is not 0, as large as the outermost centroid needs.
        unit = max(float(np.float32(largest / book.MOST_LEVEL)), float(np.finfo(np.float32).tiny)) if largest else 1.0
    return [_rounded(centroids, bits, rule.kind, unit) for centroids, bits in found]


def _rounded(centroids: Values, bits: Values | None, kind: Centroids, unit: float) -> Book:
    kept, first = np.unique(book.round_to(centroids, kind, unit), return_index=True)
    if bits is not None:
        with np.errstate(divide="ignore"):  # nothing may be assigned to a centroid that is pinned at 0
            bits = -np.log2(np.add.reduceat(np.exp2(-bits), first))
    return Book(kept, unit, bits)


def assign(values: Weights, importance: Weights | None, of: Book, penalty: float) -> npt.NDArray[np.uint8]:
    """The index of each value: that of the nearest centroid, or with a penalty that of the least D + λR."""
    return cluster.assign(values, of.values * of.unit, _penalties(of, penalty), importance).reshape(values.shape)


def cancelled(  # noqa: PLR0917
    values: Weights, importance: Weights | None, indices: npt.NDArray[np.uint8], of: Book, penalty: float, gain: float
) -> npt.NDArray[np.uint8]:
    """Indices with errors that cancel in each row; those that are there where values are no more than rounded.

    Args:
        values: shape [rows, cols].
        importance: what the squared error of each counts, alike in a row; None where all count the same.
        indices: that :func:`assign` has found.
        of: the codebook.
        penalty: as for :func:`fit`.
        gain: what centroids are multiplied by before they are decoded.
    """
    centroids = of.values * of.unit
    made = centroids[indices].astype(np.float32)
    # Centroids of int8 are multiples of the unit.
    rounded = ROUNDED * np.abs(values) + np.float32(0 if of.unit == 1 else of.unit / 2)
    if (np.abs(made - values) <= rounded).all():
        return indices
    factors = None if importance is None else np.ascontiguousarray(importance[:, 0], np.float32)
    return _native.cancelled(values, indices, centroids, _penalties(of, penalty), TOGETHER, gain, factors)


def _penalties(of: Book, penalty: float) -> Values | None:
    return None if penalty == 0 or of.bits is None else of.bits * penalty


def sample(values: Weights, importance: float) -> Sample:
    """A few values that stand for all: the means of runs of the sorted ones, each with their number."""
    ordered = np.sort(values.reshape(-1).astype(np.float64))
    pieces = np.array_split(ordered, min(SAMPLE, len(ordered)))
    return Sample(
        np.array([piece.mean() for piece in pieces], np.float32),
        np.array([len(piece) * importance for piece in pieces], np.float32),
    )


def penalty_of(step: float | None, entropy: float, weights: Weights) -> float:
    """λ in squared units of the weights.

    A uniform quantizer with a fine step has D = step²/12, which a bit more divides by four: dD/dR = -2 ln 2 · D.
    """
    if step is not None:
        return 2 * math.log(2) * step * step / 12
    return entropy * float(np.var(weights, dtype=np.float64))

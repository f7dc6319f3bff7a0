"""Clusters of weights: which centroids stand for them best.

k-means of numbers has an optimal solution that can be found (Wang and Song 2011, "Ckmeans.1d.dp"; Grønlund et al. 2017,
"Fast exact k-means, k-medians and Bregman divergence clustering in 1D"). Results are the same on every machine.

All functions take values of any shape, as float32 or what converts to it, and raise ValueError for values or importance
that are NaN, infinite, empty, or of different sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec import _native

DEFAULT_BINS = 1 << 14
"""More distinct values than this are clustered in bins of neighbouring ones."""

_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Clustering:
    """Centroids without regard to rates.

    Attributes:
        centroids: ascending, shape [k].
        distortion: Σ importance · (value − centroid)². That of :func:`assign` is at most this.
        bound: how far ``distortion`` may lie above the least possible; 0 if it is the least, to rounding.
    """

    centroids: npt.NDArray[np.float64]
    distortion: float
    bound: float


@dataclass(frozen=True, slots=True, eq=False)
class EntropyConstrained:
    """Centroids for indices that are entropy-coded.

    Attributes:
        centroids: ascending, shape [k].
        probabilities: of the indices, shape [k]; 0 only for a centroid at zero that nothing is assigned to.
        distortion: Σ importance · (value − centroid)².
        rate: entropy of the indices, in bits a value.
        history: distortion + λ · bits, at k-means and after each round; never rises, but for rounding.
    """

    centroids: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64]
    distortion: float
    rate: float
    history: npt.NDArray[np.float64]

    @property
    def bits(self) -> npt.NDArray[np.float64]:
        """What each index costs, shape [k]; times λ they are the penalties of :func:`assign`."""
        with np.errstate(divide="ignore"):
            bits: npt.NDArray[np.float64] = -np.log2(self.probabilities)
        return bits


def optimal(
    values: npt.ArrayLike,
    clusters: int,
    importance: npt.ArrayLike | None = None,
    zero: bool = False,
    bins: int | None = None,
) -> Clustering:
    """The centroids of least distortion.

    Args:
        values: n numbers.
        clusters: how many centroids, 1 to 65,536; with fewer distinct values as many as there are.
        importance: n numbers, 0 or more, that squared errors are multiplied with. Values of importance 0 have no say;
            if all are 0, all values count alike.
        zero: one of the centroids is 0, and the others are the best beside it.
        bins: up to so many distinct values the result is exact; more are grouped into at most so many bins of
            neighbours, and only where clusters meet can that cost anything. ``bound`` falls with the square of the
            bins. 4 · bins · clusters + 24 · bins · log2(bins) bytes are needed, and 4 to 16 a value. Default 16,384.
    """
    return _cluster(values, clusters, importance, zero, bins, every=False)[-1]


def optimal_all(
    values: npt.ArrayLike,
    most: int,
    importance: npt.ArrayLike | None = None,
    zero: bool = False,
    bins: int | None = None,
) -> list[Clustering]:
    """The centroids of least distortion for 1, 2, … ``most`` clusters, in the time that ``most`` alone take.

    The list is shorter if there are fewer distinct values. Arguments are those of :func:`optimal`.
    """
    return _cluster(values, most, importance, zero, bins, every=True)


def assign(
    values: npt.ArrayLike,
    centroids: npt.ArrayLike,
    penalties: npt.ArrayLike | None = None,
    importance: npt.ArrayLike | None = None,
) -> npt.NDArray[np.uint8]:
    """The index of the best centroid for each value, shape [n]; of equally good ones the lowest.

    Best is the nearest, or with penalties that of least importance · (value − centroid)² + penalty.

    Args:
        values: n numbers.
        centroids: 1 to 256, ascending.
        penalties: one for each centroid, in units of distortion: λ · :attr:`EntropyConstrained.bits`. A centroid with
            an infinite one is not used.
        importance: n numbers, 0 or more; they matter with penalties only.

    Raises:
        ValueError: also for centroids that descend, and no finite penalty.
    """
    return _native.assign(
        _floats(values),
        np.ascontiguousarray(centroids, np.float64),
        None if penalties is None else np.ascontiguousarray(penalties, np.float64),
        None if importance is None else _floats(importance),
    )


def zeros_kept(
    values: npt.ArrayLike, indices: npt.NDArray[np.uint8], centroids: npt.ArrayLike
) -> npt.NDArray[np.uint8]:
    """Indices with that of the centroid 0 where values are 0: where zeros are few, the rate speaks for another one.

    Args:
        values: numbers.
        indices: of their centroids, of the same shape.
        centroids: if none is 0, indices stay as they are.
    """
    at = np.flatnonzero(np.asarray(centroids) == 0)
    return np.where(np.asarray(values) == 0, np.uint8(at[0]), indices) if len(at) else indices


def entropy_constrained(  # noqa: PLR0917 (as optimal)
    values: npt.ArrayLike,
    clusters: int,
    lagrangian: float,
    importance: npt.ArrayLike | None = None,
    zero: bool = False,
    bins: int | None = None,
) -> EntropyConstrained:
    """Centroids of little distortion + λ · bits, where an index costs the logarithm of its probability.

    Entropy-constrained clustering (Chou, Lookabaugh and Gray 1989): values go where distortion + λ · bits is least,
    centroids and rates follow, until nothing changes. It starts from the optimal centroids, or from the best cut of a
    coarse histogram under the same cost (Muresan and Effros 2008) where that is better. The result is a local optimum.
    The assignment that goes with it is :func:`assign` with ``penalties``.

    Args:
        values: n numbers.
        clusters: at most so many centroids, 1 to 65,536; those that nothing is assigned to are dropped.
        lagrangian: λ, squared error that a bit is worth, 0 or more. At high rates the mean squared error comes to
            λ / (2 ln 2).
        importance: as for :func:`optimal`. Rounds then take time in proportion to the values.
        zero: one of the centroids is 0, and stays.
        bins: as for :func:`optimal`; it matters to the start only.

    Raises:
        ValueError: also for a λ that is negative, infinite or NaN.
    """
    return EntropyConstrained(
        *_native.entropy_constrained(
            _floats(values),
            _count(clusters),
            lagrangian,
            None if importance is None else _floats(importance),
            zero,
            _bins(bins, clusters),
        )
    )


def _cluster(
    values: npt.ArrayLike, clusters: int, importance: npt.ArrayLike | None, zero: bool, bins: int | None, *, every: bool
) -> list[Clustering]:
    found = _native.kmeans(
        _floats(values),
        _count(clusters),
        None if importance is None else _floats(importance),
        zero,
        _bins(bins, clusters),
        every,
    )
    return [Clustering(*each) for each in found]


def _count(clusters: int) -> int:
    if isinstance(clusters, bool) or not isinstance(clusters, (int, np.integer)) or clusters < 1:
        raise ValueError(f"clusters: 1 to 65536 expected, not {clusters!r}")
    return int(clusters)


def _bins(bins: int | None, clusters: int) -> int:
    return max(DEFAULT_BINS, 8 * clusters) if bins is None else bins


def _floats(values: npt.ArrayLike) -> _Floats:
    with np.errstate(over="ignore"):  # the kernel finds the infinities
        return np.ascontiguousarray(values, np.float32)

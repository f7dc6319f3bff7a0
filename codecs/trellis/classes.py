"""How classes are laid out for weights at hand: range of the values, thresholds, raw bits, and the scan of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from neuralcodec.codecs.trellis.model import Classes
from neuralcodec.logarithm import FRACTION, log2

Weights = npt.NDArray[np.float32]

QUARTER = 4
"""Magnitudes are counted in quarters of a step: sums of integers are alike on every machine."""

WINDOW = 8
"""Weights that a running magnitude mostly looks at."""

MOST_NARROW, MOST_VALUE = 127, 255
ROOM = 3
"""The level of a class that is nearest to a weight may lie so far outwards."""

BULK = 0.999
"""Values express this share of the weights, and some more; where others lie far beyond, the ends are open."""

BINS = 64

SMALL, LARGE, SCALED = (0.25, 0.4, 0.7), (1.0, 1.6, 2.2, 3.0), (0.7, 1.4)
"""What thresholds are tried: magnitudes of levels over their mean, and factors of those of the running magnitude."""


def layout(  # noqa: PLR0917
    weights: Sequence[Weights],
    largest: float,
    states_log2: int,
    magnitudes: int,
    signs: int,
    widest: int,
    bulk: float = BULK,
) -> tuple[Classes, float]:
    """Classes for weights, and the mean magnitude of these.

    Args:
        weights: over the step, in the order they are coded.
        largest: magnitude over the step of the largest weight there is.
        states_log2: see :class:`Classes`.
        magnitudes: most magnitude classes, 1 to 8.
        signs: sign thresholds, 0 to 2.
        widest: largest magnitude that a value may have.
        bulk: share of the weights that values express, if not all.
    """
    counted = [quarters(each) for each in weights]
    lo_hi, raw_bits, is_open = _range(counted, largest, widest, bulk)
    unit = 1 << raw_bits
    mean = sum(int(each.sum(dtype=np.int64)) for each in counted) / sum(map(len, counted)) / QUARTER / unit
    runs = [windows(each) for each in counted if len(each) >= WINDOW] or [np.concatenate(counted)]
    run = np.concatenate(runs)
    places = [int(p * (len(run) - 1)) for p in (0.05, 0.98)]
    low, high = (float(found) / QUARTER / WINDOW / unit for found in np.partition(run, places)[places])
    cap = min(max(int(np.ceil(1.5 * high)), 1), MOST_NARROW)
    shift = 0
    while (128 * cap + 7) >> shift >= BINS:
        shift += 1
    thresholds = sorted({min(max(int(128 * t) >> shift, 1), BINS - 1) for t in _spread(low, high, magnitudes - 1)})
    first = min(max(1, round(0.4 * mean)), MOST_VALUE - 1)
    by_sign = (first, min(max(first + 1, round(1.3 * mean)), MOST_VALUE))[:signs]
    start = min(int(128 * mean) >> shift, BINS - 1)
    found = Classes(
        states_log2,
        lo_hi,
        lo_hi,
        raw_bits,
        is_open,
        cap,
        start,
        tuple(thresholds),
        by_sign,
    )
    return found, mean


def small_levels(classes: Classes, mean: float) -> Iterator[Classes]:
    """The same with other magnitudes from which on the level before counts as positive or negative.

    Args:
        classes: see there.
        mean: of the magnitudes of levels.
    """
    if not classes.signs:
        return
    for first in sorted({min(max(1, round(share * mean)), MOST_VALUE - 1) for share in SMALL}):
        others = tuple(max(t, first + 1) for t in classes.signs[1:])
        if (first, *others) != classes.signs:
            yield replace(classes, signs=(first, *others))


def large_levels(classes: Classes, mean: float) -> Iterator[Classes]:
    """The same with other magnitudes from which on the level before counts as large; as for :func:`small_levels`."""
    if len(classes.signs) < 2:
        return
    first = classes.signs[0]
    for second in sorted({first + 1, first + 2, *(max(first + 1, round(share * mean)) for share in LARGE)}):
        if second not in classes.signs and second <= MOST_VALUE:
            yield replace(classes, signs=(first, second))


def magnitudes_scaled(classes: Classes, mean: float) -> Iterator[Classes]:
    """The same with other classes of the running magnitude; as for :func:`small_levels`."""
    for share in SCALED:
        thresholds = tuple(sorted({min(max(round(t * share), 1), BINS - 1) for t in classes.magnitudes}))
        if thresholds != classes.magnitudes:
            yield replace(classes, magnitudes=thresholds)


def widest(two: bool) -> int:
    """Largest magnitude that a value may have.

    A quantizer has at most 256 values: one alone must do with magnitudes up to 127, two share those up to 255.
    """
    return MOST_VALUE if two else MOST_NARROW


def span(weights: Weights, largest: float, two: bool) -> int:
    """0 for weights whose levels have 8 bits, 1 for more, and above that 1 and the bits of a level that are not coded.

    Args:
        weights: over the step.
        largest: see :func:`layout`.
        two: whether there are two quantizers.
    """
    most, raw_bits, _ = _range([quarters(weights)], largest, widest(two))
    return 1 + raw_bits if raw_bits else int(most > MOST_NARROW)


def quarters(weights: Weights) -> npt.NDArray[np.int32]:
    """Magnitudes, in quarters of a step."""
    found: npt.NDArray[np.int32] = np.rint(np.minimum(np.abs(weights.reshape(-1)), 1 << 16) * QUARTER).astype(np.int32)
    return found


def _range(
    counted: Sequence[npt.NDArray[np.int32]], largest: float, widest: int, share: float = BULK
) -> tuple[int, int, bool]:
    """Range of the values either side, raw bits, and whether the ends are open."""
    every = np.concatenate(counted)
    at = min(int(share * len(every)), len(every) - 1)
    bulk = float(np.partition(every, at)[at]) / QUARTER
    for most in (min(widest, MOST_NARROW), widest):
        if largest <= most - ROOM:
            return max(int(np.ceil(largest)) + ROOM, 4), 0, False
        if bulk <= 0.8 * most:
            return most, 0, True
    runs = [windows(each) if len(each) >= WINDOW else each.astype(np.int64) * WINDOW for each in counted]
    run, times = np.unique(np.concatenate(runs), return_counts=True)
    costs = [_cost(every, run, times, widest, raw_bits) for raw_bits in range(8)]
    raw_bits = costs.index(min(costs))
    most = 4 * int(np.ceil((largest + ROOM) / (4 << raw_bits))) + 3
    return min(most, widest), raw_bits, most > widest


def _cost(
    every: npt.NDArray[np.int32],
    run: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64],
    widest: int,
    raw_bits: int,
) -> int:
    """About what weights take with so many raw bits, in 2^-FRACTION bits.

    A level of mean magnitude m around it takes log2(1 + 2em) bits, as of a Laplacian; with r raw bits r + log2(1 +
    2em/2^r). One beyond all values takes a code of twice the logarithm besides.

    Args:
        every: magnitudes of the weights, in quarters.
        run: the sums of ``WINDOW`` of them that there are, in quarters.
        times: how often.
        widest: largest magnitude that a value may have.
        raw_bits: see :class:`Classes`.
    """
    # 2e is 5437/1000.
    total = int((times * log2((1000 * QUARTER * WINDOW << raw_bits) + 5437 * run)).sum())
    beyond = (every[every > widest * QUARTER << raw_bits].astype(np.int64) // QUARTER >> raw_bits) - widest
    return total + int((5 * (1 << FRACTION) + 2 * log2(1 + beyond // 4)).sum())


def _spread(low: float, high: float, n: int) -> list[float]:
    """Thresholds at equal ratios."""
    low, high = max(low, 0.06), max(high, 0.3)
    return [low * (high / low) ** (i / max(n - 1, 1)) for i in range(n)]


def windows(magnitudes: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Sums over each run of ``WINDOW``."""
    sums = np.cumsum(magnitudes, dtype=np.int64)
    sums[WINDOW:] -= sums[:-WINDOW].copy()
    found: npt.NDArray[np.int64] = sums[WINDOW - 1 :]
    return found

"""Rate-distortion curves: hulls, and the average rate difference of two curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

LEAST_POINTS = 2


@dataclass(frozen=True)
class Point:
    """A point of a curve.

    Attributes:
        rate: bits a weight.
        quality: SNR in dB, or a task metric, more being better.
    """

    rate: float
    quality: float


NEAR, SPAN = 1.01, 2.0


def hull(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in rate and quality at once and that lie on the upper hull, by rate.

    A point is off the hull if it needs more than 1 % more than a chord between two others, of which the second has at
    most twice the rate of the first: longer chords cut off what curves do between, and nothing reaches them.
    """
    candidates = rising(points)
    return [
        point
        for i, point in enumerate(candidates)
        if not any(
            point.rate > NEAR * _chord(a, b, point.quality)
            for a in candidates[:i]
            for b in candidates[i + 1 :]
            if b.rate <= SPAN * a.rate
        )
    ]


def rising(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in rate and quality at once, by rate."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.rate, -p.quality)):
        if not kept or point.quality > kept[-1].quality:
            kept.append(point)
    return kept


def rate_difference(anchor: Sequence[Point], other: Sequence[Point], least: float = -math.inf) -> float | None:
    """Average rate of ``other`` over that of ``anchor`` at equal quality, minus one: −0.1 is 10 % fewer bits.

    The mean of log(rate) over the qualities that both reach, as Bjøntegaard proposed (ITU-T SG16 VCEG-M33, 2001), with
    piecewise cubic interpolation instead of one cubic polynomial, which oscillates (as in JCTVC-L1100).

    Args:
        anchor: the curve that is compared with.
        other: the curve.
        least: quality below which nothing counts.

    Returns:
        The difference; None where the curves have too few points or no quality in common.
    """
    curves = [rising(anchor), rising(other)]
    if min(map(len, curves)) < LEAST_POINTS:
        return None
    low = max(least, *(curve[0].quality for curve in curves))
    high = min(curve[-1].quality for curve in curves)
    if not low < high:
        return None
    means = []
    for curve in curves:
        log_rate = PchipInterpolator([p.quality for p in curve], np.log([p.rate for p in curve]))
        means.append(float(log_rate.integrate(low, high)) / (high - low))
    return math.exp(means[1] - means[0]) - 1


def rate_ratios(anchor: Sequence[Point], other: Sequence[Point], low: float, high: float) -> list[float]:
    """Rate of each point of ``other`` from ``low`` to ``high`` over that of ``anchor`` at the same quality.

    The anchor's rate is interpolated linearly between its points. Points of a quality that it does not reach, or starts
    above of, are left out.
    """
    curve = rising(anchor)
    if len(curve) < LEAST_POINTS:
        return []
    quality, rate = [p.quality for p in curve], [p.rate for p in curve]
    inside = (p for p in rising(other) if low <= p.rate <= high and quality[0] <= p.quality <= quality[-1])
    return [p.rate / float(np.interp(p.quality, quality, rate)) for p in inside]


def _chord(a: Point, b: Point, quality: float) -> float:
    """Rate at a quality on the straight line between two points."""
    return a.rate + (b.rate - a.rate) * (quality - a.quality) / (b.quality - a.quality)

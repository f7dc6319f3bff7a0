"""Records in order: by network, by method, by kind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.curves import Point, hull, rising
from bench.records import Record, Skip


@dataclass(frozen=True)
class NetworkFacts:
    """What the report says of a network."""

    name: str
    title: str
    metric: str
    unit: str
    higher_is_better: bool
    origin: str


@dataclass(frozen=True)
class MethodFacts:
    """What the report says of a method."""

    name: str
    title: str
    kind: str
    advice: str
    hull: bool
    least_error: bool = False


LEAST_ERROR = "_least"
"""End of the name of a method made for the least squared error, which stands for another where SNR is compared."""


USABLE_ERRORS = 16.0
"""A metric that is worse than the original's by more standard errors is that of a network that has broken down."""


@dataclass(frozen=True)
class Results:
    """All that was measured in a run, and what was not."""

    networks: Sequence[NetworkFacts]
    methods: Sequence[MethodFacts]
    records: Sequence[Record]
    skips: Sequence[Skip]

    def baseline(self, network: str) -> Record | None:
        """The original weights' record."""
        return next((r for r in self.records if r.kind == "baseline" and r.network == network), None)

    def coded(self, network: str, method: str) -> list[Record]:
        """Good records of all settings, by bytes."""
        found = [r for r in self.records if (r.kind, r.network, r.method) == ("coded", network, method) and not r.error]
        return sorted(found, key=lambda r: (r.values["bytes"], str(r.setting)))

    def of_kind(self, kind: str, network: str, method: str) -> Record | None:
        """The good record of a kind, if there is one."""
        return next(
            (r for r in self.records if (r.kind, r.network, r.method) == (kind, network, method) and not r.error), None
        )

    def failures(self) -> list[Record]:
        """Records that hold a reason instead of a measurement."""
        return [r for r in self.records if r.error]


def snr_curve(results: Results, network: str, method: MethodFacts) -> list[Point]:
    """Bits a weight and SNR of each lossy setting; where settings have several axes, their hull.

    Of a method that another stands for where SNR is compared, those of the other.
    """
    records = results.coded(network, method.name + LEAST_ERROR) or results.coded(network, method.name)
    points = [Point(r.values["bits_per_weight"], r.values["snr_db"]) for r in records if r.values["snr_db"] is not None]
    return hull(points) if method.hull else points


def metric_curve(results: Results, network: NetworkFacts, method: MethodFacts) -> list[Point]:
    """Bits a weight and metric, negated where less is better, by rate.

    Where settings have several axes: those that no other beats in rate and measurable metric at once, and above them,
    where the metric tells nothing more, those on the hull of the SNR.
    """
    sign = 1 if network.higher_is_better else -1
    records = [
        r
        for r in results.coded(network.name, method.name)
        if r.values.get("score") is not None and r.values["snr_db"] is not None
    ]
    points = [Point(r.values["bits_per_weight"], sign * r.values["score"]) for r in records]
    if not method.hull:
        return points
    capped = measurable(results, network, points)
    front = set(rising(capped))
    on_hull = {point.rate for point in snr_curve(results, network.name, method)}
    return [
        point
        for point, seen in zip(points, capped, strict=True)
        if seen in front or (seen != point and point.rate in on_hull)
    ]


def stands_for_another(results: Results, method: MethodFacts) -> bool:
    """Whether a method's SNR is shown as that of another one."""
    return any(method.name == other.name + LEAST_ERROR for other in results.methods)


def measurable(results: Results, network: NetworkFacts, curve: list[Point]) -> list[Point]:
    """A metric curve up to one standard error below the original: what lies above is noise, not quality."""
    base = results.baseline(network.name)
    if base is None or base.values.get("score") is None:
        return curve
    top = (1 if network.higher_is_better else -1) * base.values["score"] - base.values["stderr"]
    return [Point(point.rate, min(point.quality, top)) for point in curve]


def least_usable(results: Results, network: NetworkFacts) -> float:
    """The metric, negated where less is better, below which a network has broken down."""
    base = results.baseline(network.name)
    if base is None or base.values.get("score") is None:
        return -math.inf
    sign = 1 if network.higher_is_better else -1
    return float(sign * base.values["score"] - USABLE_ERRORS * base.values["stderr"])


def as_good(results: Results, network: NetworkFacts, record: Record) -> bool | None:
    """Whether a score is not worse than the original's by more than the standard error of one score.

    The two scores are taken on the same samples, so the standard error of their difference is smaller: a record that
    passes may still be a little worse.
    """
    base = results.baseline(network.name)
    if base is None or base.values.get("score") is None or record.values.get("score") is None:
        return None
    loss = base.values["score"] - record.values["score"]
    if not network.higher_is_better:
        loss = -loss
    return bool(loss <= base.values["stderr"])


def smallest_as_good(results: Results, network: NetworkFacts, method: MethodFacts) -> Record | None:
    """The smallest file of a method that is as good, provided that no larger one on its curve is worse: no lucky shots.

    Where settings have several axes, its curve is that of :func:`metric_curve`.
    """
    drawn = {point.rate for point in metric_curve(results, network, method)}
    best = None
    for record in reversed(results.coded(network.name, method.name)):
        if record.values["bits_per_weight"] not in drawn:
            continue
        if not as_good(results, network, record):
            break
        best = record
    return best


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, least and greatest."""
    if not values:
        return math.nan, math.nan, math.nan
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return median, ordered[0], ordered[-1]


def text_of(setting: Mapping[str, object]) -> str:
    """A setting as a reader sees it."""
    return ", ".join(f"{k}={v}" for k, v in setting.items()) or "default"

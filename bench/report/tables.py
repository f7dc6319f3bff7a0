"""The tables of the report, as plain cells; markdown.py and page.py write them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.curves import rate_difference, rate_ratios
from bench.report.results import (
    LEAST_ERROR,
    USABLE_ERRORS,
    MethodFacts,
    NetworkFacts,
    Results,
    least_usable,
    measurable,
    metric_curve,
    smallest_as_good,
    snr_curve,
    spread,
    stands_for_another,
    text_of,
)

ANCHOR = "nncodec"
"""Rate differences are against this method."""

CLOSEST = ("trellis", "generative", "autoencoder")
"""Beginnings of the names of methods that are set beside it point by point."""

RATES = (1, 5)
"""Bits a weight between which bytes are set beside the anchor's at each point."""


@dataclass(frozen=True)
class Table:
    """Rows of text under headings, with what a reader must know to read them."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str

    def is_number(self, column: int) -> bool:
        """Whether all cells of a column are numbers, or say that there is none."""
        cells = [row[column].strip("*") for row in self.rows]
        return all(re.match(r"$|[+\-−–]? ?[\d/]|–$|exact$", cell) for cell in cells) and any(cells)


def all_tables(results: Results) -> list[Table]:
    """Those tables that have rows."""
    made = [
        no_loss(results),
        rate_differences(results),
        beside_anchor(results),
        reconstruction(results),
        lossless(results),
        speed(results),
        microcontrollers(results),
        *(points(results, network) for network in results.networks),
        not_measured(results),
    ]
    return [table for table in made if table.rows]


def no_loss(results: Results) -> Table:
    """Smallest file without measurable loss, by network and method."""
    compared = [m for m in lossy(results) if not m.least_error and _was_measured(results, m)]
    rows = []
    for network in results.networks:
        base = results.baseline(network.name)
        if base is None or base.values.get("score") is None:
            continue
        cells = [network.title, f"{base.values['score']:.2f} ± {base.values['stderr']:.2f} {network.unit}"]
        found = [smallest_as_good(results, network, m) for m in compared]
        least = min((r.values["bytes"] for r in found if r is not None), default=None)
        for method, record in zip(compared, found, strict=True):
            if record is None:
                cells.append("–" if results.coded(network.name, method.name) else "")
                continue
            text = f"{record.values['ratio']:.1f}× ({record.values['bits_per_weight']:.2f})"
            cells.append(f"**{text}**" if record.values["bytes"] == least else text)
        rows.append(cells)
    return Table(
        "Smallest file without measurable loss",
        ["network", "original", *(m.title for m in compared)],
        rows,
        "Compression ratio against float32 and, in brackets, bits a weight, whole files; bold: the smallest. The "
        "metric is at most one standard error worse than the original's, here and at every larger setting of the "
        "method's curve; where settings have two axes, that leaves out those that another beats in size and metric at "
        "once. –: no setting is so good; empty: not measured.",
    )


def rate_differences(results: Results) -> Table:
    """Average rate difference to the anchor."""
    anchor = next((m for m in results.methods if m.name == ANCHOR), None)
    others = [m for m in lossy(results) if m.name != ANCHOR and not stands_for_another(results, m)]
    rows = []
    for network in results.networks if anchor is not None else ():
        assert anchor is not None
        cells = [network.title]
        for method in others:
            snr = rate_difference(snr_curve(results, network.name, anchor), snr_curve(results, network.name, method))
            curves = [measurable(results, network, metric_curve(results, network, m)) for m in (anchor, method)]
            metric = rate_difference(curves[0], curves[1], least_usable(results, network))
            if method.least_error:
                metric = None
            measured = results.coded(network.name, method.name)
            cells.append(f"{_percent(snr)} / {_percent(metric)}" if measured else "")
        if any(c not in {"– / –", ""} for c in cells[1:]):
            rows.append(cells)
    return Table(
        f"Average rate difference to {anchor.title if anchor else ANCHOR}, at equal SNR / at equal metric",
        ["network", *(m.title for m in others)],
        rows,
        "Negative is smaller. Mean of the logarithm of the rate over the qualities that both reach (Bjøntegaard, "
        "VCEG-M33, with piecewise cubic interpolation). –: no common range; empty: not measured. Metrics count from "
        f"{USABLE_ERRORS:g} standard errors below the original's, where a network breaks down, up to one; differences "
        f"at equal metric are as noisy as the metric.{_stand_ins(results)}",
    )


def beside_anchor(results: Results) -> Table:
    """Bytes over the anchor's at equal SNR: the mean over a curve, and its best and worst point."""
    anchor = next((m for m in results.methods if m.name == ANCHOR), None)
    ours = [
        m
        for m in results.methods
        if m.name.startswith(CLOSEST) and _was_measured(results, m) and not stands_for_another(results, m)
    ]
    rows, means = [], [list[float]() for _ in ours]
    worst = [0.0] * len(ours)
    for network in results.networks if anchor is not None else ():
        assert anchor is not None
        theirs = snr_curve(results, network.name, anchor)
        cells = [network.title]
        for i, method in enumerate(ours):
            found = rate_ratios(theirs, snr_curve(results, network.name, method), *RATES)
            if not found:
                cells.append("–" if results.coded(network.name, method.name) else "")
                continue
            mean = sum(found) / len(found)
            means[i].append(mean)
            worst[i] = max(worst[i], *found)
            cells.append(f"{mean:.3f} ({min(found):.3f} – {max(found):.3f}, {len(found)})")
        if any(c not in {"–", ""} for c in cells[1:]):
            rows.append(cells)
    if rows:
        every = [
            f"**{sum(m) / len(m):.3f}** (– {w:.3f}, {len(m)})" if m else "–" for m, w in zip(means, worst, strict=True)
        ]
        rows.append(["mean of networks", *every])
    return Table(
        f"Bytes over those of {anchor.title if anchor else ANCHOR} at equal SNR, {RATES[0]} to {RATES[1]} bits/weight",
        ["network", *(m.title for m in ours)],
        rows,
        "Whole files. Mean over the points of a curve; in brackets the least and the largest, and how many points "
        "there are, or networks in the last row. –: no point between these rates; empty: not measured. "
        "The other codec's best settings: the hull over its steps and its rate-distortion optimizations."
        f"{_stand_ins(results)}",
    )


def _stand_ins(results: Results) -> str:
    """How methods whose default is for accuracy are compared at equal SNR, so far as they are."""
    names, some_lack = [], False
    for method in lossy(results):
        places = [n.name for n in results.networks if results.coded(n.name, method.name)]
        found = [bool(results.coded(name, method.name + LEAST_ERROR)) for name in places]
        if any(found):
            names.append(method.name)
            some_lack |= not all(found)
    if not names:
        return ""
    where = ", where these were measured" if some_lack else ""
    return f" SNR of {', '.join(names)} is of their files for the least squared error{where}."


def reconstruction(results: Results) -> Table:
    """The metric at the same bits, for the least squared error and by default."""
    pairs = [(m, n) for m in results.methods for n in results.methods if n.name == m.name + LEAST_ERROR]
    by_place: dict[tuple[str, str], dict[str, str]] = {}
    for network in results.networks:
        for normed, least in pairs:
            found = {str(r.setting): r for r in results.coded(network.name, normed.name)}
            for record in results.coded(network.name, least.name):
                other = found.get(str(record.setting))
                if other is None or record.values.get("score") is None or other.values.get("score") is None:
                    continue
                lost = record.values["snr_db"] - other.values["snr_db"]
                text = f"{record.values['score']:.2f} → {other.values['score']:.2f} ({lost:.2f} dB)"
                rate = f"{record.setting['bits_per_weight']:g}" if "bits_per_weight" in record.setting else "default"
                by_place.setdefault((network.title, normed.title), {})[rate] = text
    rates = sorted({rate for cells in by_place.values() for rate in cells})
    rows = [[*place, *(cells.get(rate, "–") for rate in rates)] for place, cells in by_place.items()]
    return Table(
        "Metric at equal size, for the least squared error → by default",
        ["network", "method", *(f"{rate} bits" for rate in rates)],
        rows,
        "By default bits are allocated to layers, and decoded tensors keep the norm that they had; in brackets the SNR "
        "that this costs. Error rates improve downwards.",
    )


def lossless(results: Results) -> Table:
    """Lossless ratios."""
    methods = [m for m in results.methods if m.kind == "lossless" and _was_measured(results, m)]
    rows = []
    for network in results.networks:
        records = [results.coded(network.name, m.name) for m in methods]
        if not any(records):
            continue
        best = max(r[0].values["ratio"] for r in records if r)
        cells = [network.title]
        for found in records:
            text = f"{found[0].values['ratio']:.4f}×" if found else ""
            cells.append(f"**{text}**" if all(records) and found[0].values["ratio"] == best else text)
        rows.append(cells)
    return Table(
        "Lossless, float32",
        ["network", *(m.title for m in methods)],
        rows,
        "Whole files against the bytes of the tensors; bold: the smallest, where all were measured; empty: not "
        "measured. All decoded files are the original, bit for bit.",
    )


def speed(results: Results) -> Table:
    """Speed and memory on the host."""
    rows = []
    for network in results.networks:
        for method in results.methods:
            record = results.of_kind("timing", network.name, method.name)
            if record is None:
                continue
            weights = record.values["weights"]
            cells = [network.title, method.title, f"{record.values['bits_per_weight']:.2f}"]
            for name in ("encode_s", "decode_s"):
                median, least, most = spread(record.values[name])
                cells.append(f"{median:.3f}")
                cells.append(f"{_rate(weights, median)} ({_rate(weights, most)} – {_rate(weights, least)})")
            coded = next((r for r in results.coded(network.name, method.name) if r.setting == record.setting), None)
            peak = coded.values.get("peak_bytes") if coded is not None else None
            cells.append(f"{peak / 1e6:.0f}" if peak is not None else "–")
            rows.append(cells)
    return Table(
        "Speed and memory on the host, one thread",
        [
            *("network", "method", "bits/weight", "encode, s", "encode, M weights/s", "decode, s"),
            *("decode, M weights/s", "peak memory, MB"),
        ],
        rows,
        f"Medians of {_rounds(results)} repetitions (fewer of methods that had taken a minute), in which the methods "
        "took turns, with slowest and fastest in brackets; times under some hundredths of a second are coarse. Peak "
        "memory is of the process while it encodes and decodes, above what it held with the network read and all "
        "packages imported.",
    )


def _rounds(results: Results) -> str:
    rounds = sorted({len(r.values["encode_s"]) for r in results.records if r.kind == "timing" and not r.error})
    return " or ".join(map(str, rounds))


def microcontrollers(results: Results) -> Table:
    """Cost on emulated cores."""
    rows = []
    for network in results.networks:
        for method in results.methods:
            record = results.of_kind("firmware", network.name, method.name)
            for core, found in (record.values if record is not None else {}).items():
                rows.append(
                    [
                        network.title,
                        method.title,
                        core,
                        f"{found['instructions_per_weight']:.2f}",
                        f"{found['prepare_instructions']:,.0f}",
                        f"{found['code_bytes']:,}",
                        f"{found['stack_bytes']:,}",
                        f"{found['table_bytes']:,}",
                        f"{found['struct_bytes']:,}",
                        f"{found['stack_bytes'] + found['table_bytes'] + found['struct_bytes']:,}",
                    ]
                )
    return Table(
        "On emulated microcontrollers",
        [
            *("network", "method", "core", "instructions/weight", "to prepare a tensor", "code B"),
            *("stack B", "tables B", "structs B", "RAM B"),
        ],
        rows,
        "At the setting nearest to 4 bits a weight, all bounds checks counted; instructions retired in QEMU, gcc -O2, "
        "not cycles. The Cortex-M0 stands for the M0+, which runs the same instructions. Code is of the whole decoder "
        "at -O2 with all its codecs, lossless mode and floats. RAM is the sum of the three before it; the caller adds "
        "room for one tile of levels.",
    )


def points(results: Results, network: NetworkFacts) -> Table:
    """The original and every measured setting of a network."""
    base = results.baseline(network.name)
    coded = [
        (method.title, record) for method in results.methods for record in results.coded(network.name, method.name)
    ]
    scored = [record.values for record in (base, *(record for _, record in coded)) if record is not None]
    further = list(dict.fromkeys(name for values in scored for name in values.get("further", {})))
    rows = []
    if base is not None and coded:
        v = base.values
        size = [f"{v['bytes']:,}", f"{8 * v['bytes'] / v['weights']:.3f}", "1.00×", "100.0", "exact", "0", "0"]
        rows.append(["original, float32", "", *size, *_scores(v, further)])
    for title, record in coded:
        v = record.values
        rows.append(
            [
                title,
                text_of(record.setting),
                f"{v['bytes']:,}",
                f"{v['bits_per_weight']:.3f}",
                f"{v['ratio']:.2f}×",
                f"{v['relative_size']:.1f}",
                f"{v['snr_db']:.2f}" if v["snr_db"] is not None else "exact",
                f"{v['relative_error']:.2e}" if v["relative_error"] else "0",
                f"{v['max_error']:.2e}" if v["max_error"] else "0",
                *_scores(v, further),
            ]
        )
    metric = [", ".join(filter(None, (network.metric, network.unit))), *further] if network.metric else []
    return Table(
        network.title,
        [
            *("method", "setting", "bytes", "bits/weight", "ratio", "size %", "SNR dB", "relative error", "max error"),
            *metric,
        ],
        rows,
        f"{network.origin[0].upper()}{network.origin[1:]}. Whole files; scores with their standard errors. "
        f"To measure it again: python -m bench run --network {network.name}; python -m bench report",
    )


def _scores(values: Mapping[str, Any], further: Sequence[str]) -> list[str]:
    if values.get("score") is None:
        return []
    named = values.get("further", {})
    return [
        f"{values['score']:.2f} ± {values['stderr']:.2f}",
        *(f"{named[name]:.4g}" if name in named else "" for name in further),
    ]


def not_measured(results: Results) -> Table:
    """Skips and failures, each with its reason."""
    rows = [[s.network or "all", s.method or "all", s.reason] for s in results.skips]
    rows += [[r.network, f"{r.method} {text_of(r.setting)}", r.error] for r in results.failures()]
    return Table("Not measured", ["network", "method", "reason"], rows, f"{len(rows)} in all.")


def _was_measured(results: Results, method: MethodFacts) -> bool:
    return any(results.coded(network.name, method.name) for network in results.networks)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f} %"


def _rate(weights: int, seconds: float) -> str:
    if not seconds or not math.isfinite(seconds):
        return "–"
    rate = weights / seconds / 1e6
    return f"{rate:.1f}" if rate >= 1 else f"{rate:.3f}"


def lossy(results: Results) -> list[MethodFacts]:
    """The lossy methods."""
    return [m for m in results.methods if m.kind == "lossy"]

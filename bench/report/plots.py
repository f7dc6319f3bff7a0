"""Rate-distortion and rate-accuracy plots: PNG and SVG files, and SVG text for the page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from bench.curves import rising
from bench.records import Record
from bench.report.results import (
    USABLE_ERRORS,
    MethodFacts,
    NetworkFacts,
    Results,
    metric_curve,
    snr_curve,
    stands_for_another,
)
from bench.report.tables import lossy

mpl.rcParams["svg.hashsalt"] = "neuralcodec"  # else every run gives other ids
mpl.rcParams["svg.fonttype"] = "none"  # text stays text

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
"""Okabe and Ito's, which most colour-blind readers can tell apart."""

MARKERS = "osD^vP*X"
LINES = ("-", "--", "-.")
"""Of the first methods as many as there are colours, of the next, and so on."""
MOST_BITS = 9.0


def figures(results: Results) -> dict[str, Figure]:
    """A figure for each network that has a curve, by network name."""
    made = {}
    for network in results.networks:
        if any(snr_curve(results, network.name, m) for m in _drawn(results)):
            made[network.name] = figure(results, network)
    return made


def figure(results: Results, network: NetworkFacts) -> Figure:
    """SNR over rate, and beside it the metric over rate where there is one."""
    with_metric = bool(network.metric)
    drawn = Figure(figsize=(11 if with_metric else 5.8, 4.2), layout="constrained")
    axes = drawn.subplots(1, 2 if with_metric else 1, squeeze=False)[0]
    _snr(axes[0], results, network)
    if with_metric:
        _metric(axes[1], results, network)
    drawn.suptitle(network.title)
    handles, labels = axes[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=4 if with_metric else 2, frameon=False, fontsize=9)
    return drawn


def svg(drawn: Figure) -> str:
    """The figure as an <svg> element."""
    text = io.StringIO()
    drawn.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def save(drawn: Figure, path: Path) -> list[Path]:
    """Writes PNG and SVG."""
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    drawn.savefig(paths[0], dpi=150)
    paths[1].write_text('<?xml version="1.0" encoding="utf-8"?>\n' + svg(drawn), encoding="utf-8")
    return paths


def _drawn(results: Results) -> list[MethodFacts]:
    return [m for m in lossy(results) if not stands_for_another(results, m)]


def _snr(axes: Axes, results: Results, network: NetworkFacts) -> None:
    top = 0.0
    for i, method in enumerate(_drawn(results)):
        shown = [p for p in rising(snr_curve(results, network.name, method)) if p.rate <= MOST_BITS]
        if not shown:
            continue
        axes.plot(
            [p.rate for p in shown],
            [p.quality for p in shown],
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            linestyle=LINES[i // len(COLOURS) % len(LINES)],
            markersize=4,
            linewidth=1.3,
            label=method.title,
        )
        top = max([top, *(p.quality for p in shown)])
    base = results.baseline(network.name)
    if base is not None and base.values.get("bound"):
        bound = [(rate, snr) for snr, rate in base.values["bound"] if snr <= top + 2]
        axes.plot(
            *zip(*bound, strict=True),
            color="#555555",
            linestyle=":",
            linewidth=1.3,
            label="Gaussian bound (matrices)",
        )
    axes.set_xlim(0, MOST_BITS)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("bits a weight, whole file")
    axes.set_ylabel("SNR of the weights, dB")
    axes.grid(alpha=0.3)


def _metric(axes: Axes, results: Results, network: NetworkFacts) -> None:
    sign = 1 if network.higher_is_better else -1
    base = results.baseline(network.name)
    if base is not None and base.values.get("score") is not None:
        value, error = base.values["score"], base.values["stderr"]
        axes.axhspan(value - error, value + error, color="#bbbbbb", alpha=0.5, linewidth=0)
        axes.axhline(value, color="#777777", linewidth=1)
    for i, method in enumerate(_drawn(results)):
        if method.least_error:
            continue
        points = sorted(metric_curve(results, network, method), key=lambda p: p.rate)
        shown = [p for p in points if p.rate <= MOST_BITS]
        axes.plot(
            [p.rate for p in shown],
            [sign * p.quality for p in shown],
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            linestyle=LINES[i // len(COLOURS) % len(LINES)],
            markersize=4,
            linewidth=1.3,
        )
    if base is not None and base.values.get("score") is not None:
        axes.set_ylim(*_near(base, sign, [line.get_ydata() for line in axes.get_lines()[1:]]))
    axes.set_xlim(0, MOST_BITS)
    axes.set_xlabel("bits a weight, whole file")
    axes.set_ylabel(f"{network.metric}, {network.unit}" + ("" if network.higher_is_better else " (less is better)"))
    axes.grid(alpha=0.3)
    if base is not None and base.values.get("score") is not None:
        axes.annotate(
            "original ± standard error",
            (0, base.values["score"] + base.values["stderr"]),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=8,
            color="#555555",
        )


def _near(base: Record, sign: int, lines: Sequence[ArrayLike]) -> tuple[float, float]:
    """Limits of the metric's axis: the original's surroundings, as far as there are points."""
    score, error = base.values["score"], base.values["stderr"]
    seen = [sign * (float(y) - score) / error for line in lines for y in np.asarray(line)]
    worst = max(min(seen, default=-4), -USABLE_ERRORS) - 1
    best = min(max(seen, default=0), USABLE_ERRORS / 2) + 2
    ends = (score + sign * worst * error, score + sign * max(best, 3) * error)
    return min(ends), max(ends)

"""Plots of one tensor as SVG text: distribution, scales, spectrum, rate."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from neuralcodec.profiling.levels import STEPS
from neuralcodec.profiling.profile import TensorProfile
from neuralcodec.profiling.scales import Scales
from neuralcodec.profiling.suggest import Trial
from neuralcodec.profiling.table import SHORT

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "neuralcodec",  # else every run gives other ids
    "font.size": 9,
    "axes.titlesize": 10,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Of Okabe and Ito's palette, which most colour-blind readers can tell apart."""

GREY = "#777777"
MOST_BITS = 9.0


def plots(tensor: TensorProfile, number: int) -> str | None:
    """An <svg> element.

    Args:
        tensor: what to draw.
        number: of the figure in its page; makes its ids unique there.

    Returns:
        None for a tensor of which nothing can be drawn.
    """
    drawers: list[Callable[[Axes, TensorProfile], None]] = []
    if tensor.histogram is not None:
        drawers.append(_distribution)
    if tensor.ladder:
        drawers.append(_rate)
    if tensor.rows is not None or tensor.columns is not None:
        drawers.append(_scales)
    if tensor.spectrum is not None:
        drawers.append(_spectrum)
    if not drawers:
        return None
    lines = (len(drawers) + 1) // 2
    with mpl.rc_context(STYLE):
        height = 3.6 * lines
        figure = Figure(figsize=(11, height))
        # Margins in inches. Matplotlib would find its own, but draws everything several times for that.
        figure.subplots_adjust(0.07, 0.5 / height, 0.99, 1 - 0.35 / height, wspace=0.16, hspace=0.34)
        axes = figure.subplots(lines, 2, squeeze=False).reshape(-1)
        for i, ax in enumerate(axes):
            if i < len(drawers):
                drawers[i](ax, tensor)
            else:
                ax.set_axis_off()
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return _own_ids(text.getvalue(), number)


def _distribution(ax: Axes, tensor: TensorProfile) -> None:
    shown = tensor.histogram
    assert shown is not None
    count = sum(shown.counts) + shown.below + shown.above
    edges = shown.first + shown.width * np.arange(len(shown.counts) + 1)
    density = np.array(shown.counts) / (count * shown.width)
    ax.stairs(density, edges, fill=True, color="#c8c8c8", label="weights")
    x = np.linspace(edges[0], edges[-1], 601)
    alive = 1 - tensor.moments.zeros / tensor.moments.count
    for fit, colour in zip(tensor.fits, COLOURS, strict=False):
        shape = "" if fit.shape is None else f"{fit.shape:.3g}"
        label = f"{SHORT[fit.family] if shape else fit.family.capitalize()}{shape}: {fit.bits:.2f} bits"
        best = fit.family == tensor.best_fit
        ax.plot(x, alive * fit.density(x), color=colour, linewidth=1.8 if best else 1.0, label=label)
    ax.set_yscale("log")
    ax.set_ylim(0.5 / (count * shown.width), 4 * float(density.max()))
    _plain_decades(ax)
    ax.set_xlabel("weight")
    ax.set_ylabel("density")
    outside = shown.below + shown.above
    ax.set_title("distribution" + (f" ({outside:,} of {count:,} weights beyond)" if outside else ""))
    # The bell takes the middle: the corners are free.
    ax.legend(loc="upper left", handlelength=1.2, borderaxespad=0.2)
    ax.set_xlim(edges[0] - 0.45 * (edges[-1] - edges[0]), edges[-1])


def _rate(ax: Axes, tensor: TensorProfile) -> None:
    known = [r for r in tensor.ladder if r.snr_db is not None and r.bound is not None]
    offset = next((r.snr_db - 6.0206 * r.bound for r in known if r.snr_db is not None and r.bound), 0.0)
    ax.axline((0, offset), slope=6.0206, color=GREY, linestyle=":", label="Shannon bound of a Gaussian")
    ax.plot(
        [r.bits for r in known],
        [r.snr_db or 0.0 for r in known],
        color=COLOURS[0],
        marker="o",
        markersize=3.5,
        label="entropy of levels, by step",
    )
    for rate, step in zip(tensor.ladder, STEPS, strict=True):
        if rate.snr_db is not None and 0 < rate.bits < MOST_BITS - 0.6:
            name = f"{step:g}σ" if step >= 1 else f"σ/{1 / step:g}"
            at = (rate.bits, rate.snr_db)
            ax.annotate(name, at, (-5, 3), textcoords="offset points", ha="right", fontsize=7, color=COLOURS[0])
    tried = tensor.suggestion.tried if tensor.suggestion else ()
    for scale, colour, marker in (("row", COLOURS[1], "s"), ("tensor", COLOURS[2], "^")):
        points = [t for t in tried if t.options.get("scale") == scale and t.snr_db is not None]
        if points:
            label = f"huffman, 2 to 8 bits, scale={scale}"
            ax.plot(*_points(points), color=colour, marker=marker, markersize=3.5, linewidth=0.8, label=label)
    stepped = {t.codec: t for t in tried if "step" in t.options and t.snr_db is not None}
    for (name, trial), marker in zip(stepped.items(), "vDP", strict=False):
        ax.plot(*_points([trial]), marker, color="0.35", markersize=4.5, label=f"{name}, one step")
    if tensor.suggestion and tensor.suggestion.trial.snr_db is not None:
        ax.plot(*_points([tensor.suggestion.trial]), "*", color="black", markersize=10, label="suggested")
    highest = max([r.snr_db or 0.0 for r in known] + [t.snr_db or 0.0 for t in tried] + [10.0])
    ax.set_xlim(0, MOST_BITS)
    ax.set_ylim(0, min(highest, 55.0) + 3)
    ax.set_xlabel("bits a weight")
    ax.set_ylabel("SNR, dB")
    ax.set_title("rate")
    ax.legend(loc="lower right", handlelength=1.6, borderaxespad=0.2)


def _points(trials: list[Trial]) -> tuple[list[float], list[float]]:
    return [t.bits_per_weight for t in trials], [t.snr_db or 0.0 for t in trials]


def _scales(ax: Axes, tensor: TensorProfile) -> None:
    least = most = 0.0
    for what, scales, colour in (("rows", tensor.rows, COLOURS[0]), ("columns", tensor.columns, COLOURS[1])):
        if scales is None:
            continue
        ax.plot(_ranks(scales), scales.curve, color=colour, label=_scale_label(what, scales))
        least, most = min(least, scales.least), max(most, scales.most)
    ax.set_ylim(min(least, -1.0) - 0.2, max(most, 1.0) * 1.1 + 0.8 + 0.15 * (most - least))
    ax.set_xlim(0, 100)
    ax.set_xlabel("rank, %")
    ax.set_ylabel("log2 RMS over that of all, octaves")
    ax.set_title("scales of rows and columns, ascending")
    ax.legend(loc="upper left", borderaxespad=0.2)


def _ranks(scales: Scales) -> list[float]:
    return list(np.linspace(0, 100, len(scales.curve)))


def _scale_label(what: str, scales: Scales) -> str:
    zero = f", {scales.zero} zero" if scales.zero else ""
    return f"{scales.count:,} {what}: spread {scales.octaves:.2f} octaves (by chance {scales.chance:.2f}){zero}"


def _spectrum(ax: Axes, tensor: TensorProfile) -> None:
    seen = tensor.spectrum
    assert seen is not None
    x = np.linspace(0, 100, len(seen.curve))
    label = f"effective rank {seen.effective_rank:.2f}; {seen.top_tenth:.0%} of energy in the first tenth"
    ax.plot(x, seen.curve, color=COLOURS[0], label=label)
    label = f"independent weights: {seen.chance_rank:.2f}; {seen.chance_top_tenth:.0%}"
    ax.plot(x, seen.chance_curve, color=GREY, linestyle=":", label=label)
    ax.set_yscale("log")
    ax.set_ylim(max(min(seen.curve[-1], seen.chance_curve[-1], 0.15), 1e-3) * 0.6, max(seen.curve[0], 3.0) * 4)
    _plain_decades(ax)
    ax.set_xlim(0, 100)
    ax.set_xlabel("rank, %")
    ax.set_ylabel("singular value over RMS")
    ax.set_title(f"singular values of {seen.rows:,}×{seen.cols:,} weights")
    ax.legend(loc="upper right", borderaxespad=0.2)


def _plain_decades(ax: Axes) -> None:
    """A logarithmic y axis with labels at powers of ten alone, written out."""
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _own_ids(svg: str, number: int) -> str:
    """The <svg> element without metadata, with ids that are unique in the page."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="f{number}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#f{number}-\1)", svg)
    return re.sub(r'href="#([^"]+)"', rf'href="#f{number}-\1"', svg)

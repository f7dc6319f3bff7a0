"""The profile as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from neuralcodec.printable import printable

if TYPE_CHECKING:
    from neuralcodec.profiling.fits import Fit
    from neuralcodec.profiling.profile import TensorProfile

LEGEND = (
    "fit: the likeliest of Gaussian, Laplacian, generalized Gaussian (GG) and Student's t · rows, cols: spread of "
    "their scales in octaves · rank: effective rank over full rank · bits: entropy of levels at 20, 30 and 40 dB · "
    "gap: at 30 dB, above (+) or below (−) the Shannon bound of a Gaussian · class: bits that knowing the octave of "
    "a row's scale saves at 30 dB · prev: bits that predicting a row from the one before it could save · "
    "* from a sample"
)

SHORT = {"gaussian": "Gaussian", "laplacian": "Laplacian", "generalized gaussian": "GG β=", "student-t": "t ν="}


def make_table(tensors: Iterable[TensorProfile]) -> Table:
    """A row for each tensor, and what the columns mean."""
    table = Table(
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption=LEGEND,
        caption_justify="left",
    )
    table.add_column("tensor", overflow="fold")
    table.add_column("shape", justify="right", overflow="fold")
    for heading in ("std", "kurt.", "zero %"):
        table.add_column(heading, justify="right")
    table.add_column("fit")
    for heading in ("rows", "cols", "rank", "20 dB", "30 dB", "40 dB", "gap", "class", "prev"):
        table.add_column(heading, justify="right")
    table.add_column("suggested", overflow="fold")
    table.add_column("bits/w", justify="right")
    for tensor in tensors:
        table.add_row(*_row(tensor))
    return table


def _row(tensor: TensorProfile) -> list[Text | str]:
    m = tensor.moments
    at = [figure(rate.bits, 2) for rate in tensor.targets] or ["–"] * 3
    gap = tensor.targets[1].gap if tensor.targets else None
    name = Text(printable(tensor.name) + ("*" if tensor.sampled else ""))
    if tensor.note:
        name.append(f" ({tensor.note})", style="dim")
    suggestion = tensor.suggestion
    return [
        name,
        f"{tensor.dtype} {'×'.join(map(str, tensor.shape)) or 'scalar'}",
        "–" if m.std is None else f"{m.std:.2g}",
        figure(m.kurtosis, 0 if (m.kurtosis or 0) >= 100 else 1),
        figure(100 * m.zeros / m.count, 1) if m.count else "–",
        fit_name(tensor.fits, tensor.best_fit),
        figure(tensor.rows.octaves if tensor.rows else None, 2),
        figure(tensor.columns.octaves if tensor.columns else None, 2),
        figure(tensor.spectrum.effective_rank if tensor.spectrum else None, 2),
        *at,
        "–" if gap is None else f"{gap:+.2f}".replace("-", "−"),
        figure(tensor.redundancy.class_bits if tensor.redundancy else None, 2),
        figure(tensor.redundancy.prediction_bits if tensor.redundancy else None, 2),
        suggestion.trial.setting() if suggestion else "–",
        figure(suggestion.trial.bits_per_weight if suggestion else None, 2),
    ]


def fit_name(fits: Iterable[Fit], family: str | None) -> str:
    """A family and its shape in a few characters; a dash for none."""
    for fit in fits:
        if fit.family == family:
            return SHORT[fit.family] + ("" if fit.shape is None else f"{fit.shape:.3g}")
    return "–"


def figure(value: float | None, digits: int) -> str:
    """A number, or a dash."""
    return "–" if value is None else f"{value:,.{digits}f}"

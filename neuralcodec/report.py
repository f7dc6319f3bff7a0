"""What became of each tensor: a table for people, a dict for scripts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from neuralcodec.measure import Errors
from neuralcodec.printable import printable
from neuralcodec.stream.writer import Entry

if TYPE_CHECKING:
    from neuralcodec.model import CompressedModel


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor.

    Attributes:
        name: the tensor.
        codec: its codec; "tied" if it is stored under another name.
        reason: why it has this codec, or the name it is tied to; empty if not known (after loading).
        dtype: element type.
        shape: shape.
        weights: number of elements.
        original_bytes: bytes of the elements; 0 for a tied one.
        encoded_bytes: bytes of the payload; 0 for a tied one.
        bits_per_weight: encoded bits over weights.
        ratio: original over encoded bytes.
        snr_db: signal-to-noise ratio; inf if exact, None if not known.
        relative_error: √(Σ(w − ŵ)² / Σw²); None if not known.
        max_error: max |w − ŵ|; None if not known.
    """

    name: str
    codec: str
    reason: str
    dtype: str
    shape: tuple[int, ...]
    weights: int
    original_bytes: int
    encoded_bytes: int
    bits_per_weight: float | None
    ratio: float | None
    snr_db: float | None
    relative_error: float | None
    max_error: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """A compressed model in figures.

    Attributes:
        rows: the tensors.
        weights: elements of all tensors, tied ones counted once.
        original_bytes: bytes of all elements, tied ones counted once.
        encoded_bytes: bytes of the whole file, all headers and tables counted.
        shared_bytes: bytes of tables that several tensors share.
        snr_db: over all lossily coded tensors but the small ones, whose few large values would hide what the weights
            lost; None if not known or all are exact.
    """

    rows: tuple[Row, ...]
    weights: int
    original_bytes: int
    encoded_bytes: int
    shared_bytes: int
    snr_db: float | None

    @property
    def bits_per_weight(self) -> float:
        """Bits of the whole file over the number of weights."""
        return self.encoded_bytes * 8 / self.weights if self.weights else math.nan

    @property
    def ratio(self) -> float:
        """Original over compressed bytes, the whole file counted."""
        return self.original_bytes / self.encoded_bytes

    def to_dict(self) -> dict[str, object]:
        """The same as plain types for JSON; an infinite SNR (exact) is the string "inf"."""

        def plain(value: object) -> object:
            if isinstance(value, float) and not math.isfinite(value):
                return str(value)
            return list(value) if isinstance(value, tuple) else value

        return {
            "tensors": [{k: plain(v) for k, v in asdict(row).items()} for row in self.rows],
            "weights": self.weights,
            "original_bytes": self.original_bytes,
            "encoded_bytes": self.encoded_bytes,
            "shared_bytes": self.shared_bytes,
            "bits_per_weight": plain(self.bits_per_weight),
            "ratio": plain(self.ratio),
            "snr_db": plain(self.snr_db),
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(title=None, header_style="bold", show_footer=True)
        table.add_column("tensor", "whole file", overflow="fold")
        table.add_column("codec", "", overflow="fold")
        table.add_column("shape", f"{self.weights:,}", justify="right", overflow="fold")
        table.add_column("bytes", f"{self.original_bytes:,}", justify="right")
        table.add_column("encoded", f"{self.encoded_bytes:,}", justify="right")
        table.add_column("bits/w", _figure(self.bits_per_weight, 2), justify="right")
        table.add_column("ratio", _figure(self.ratio, 2) + "×", justify="right")
        table.add_column("SNR dB", _snr(self.snr_db), justify="right")
        table.add_column("rel. err", "", justify="right")
        table.add_column("max err", "", justify="right")
        for row in self.rows:
            codec = Text(printable(row.codec))
            if row.reason and row.reason != "chosen":
                codec.append(f" ({printable(row.reason)})", style="dim")
            table.add_row(
                Text(printable(row.name)),
                codec,
                f"{row.dtype} {'×'.join(map(str, row.shape)) or 'scalar'}",
                f"{row.original_bytes:,}",
                f"{row.encoded_bytes:,}",
                _figure(row.bits_per_weight, 2),
                _figure(row.ratio, 2) + "×" if row.ratio is not None else "–",
                _snr(row.snr_db),
                _scientific(row.relative_error),
                _scientific(row.max_error),
            )
        yield table

    def __str__(self) -> str:
        console = Console(width=140, color_system=None, force_terminal=False)
        with console.capture() as captured:
            console.print(self)
        return captured.get()


def make_report(cm: CompressedModel) -> Report:
    """The report of a compressed model."""
    rows = tuple(_row(entry) for entry in cm.entries)
    stored = [entry for entry in cm.entries if entry.tied_to is None]
    quantized = [e.errors for e in stored if e.errors is not None and not e.spec.is_small]
    lossy = [errors for errors in quantized if not errors.lossless]
    return Report(
        rows,
        weights=sum(e.spec.size for e in stored),
        original_bytes=sum(e.spec.nbytes for e in stored),
        encoded_bytes=cm.nbytes,
        shared_bytes=cm.shared_bytes,
        snr_db=sum(lossy, Errors()).snr_db if lossy else None,
    )


def _row(entry: Entry) -> Row:
    spec, errors = entry.spec, entry.errors
    tied = entry.tied_to is not None
    encoded = 0 if tied else entry.place.size
    return Row(
        name=spec.name,
        codec="tied" if tied else entry.codec,
        reason=f"to {entry.tied_to}" if tied else entry.reason,
        dtype=spec.dtype.name,
        shape=spec.shape,
        weights=spec.size,
        original_bytes=0 if tied else spec.nbytes,
        encoded_bytes=encoded,
        bits_per_weight=encoded * 8 / spec.size if spec.size and not tied else None,
        ratio=spec.nbytes / encoded if encoded else None,
        snr_db=None if errors is None else errors.snr_db,
        relative_error=None if errors is None else errors.relative,
        max_error=None if errors is None else errors.largest,
    )


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def _snr(value: float | None) -> str:
    return "–" if value is None else "exact" if value == math.inf else f"{value:.1f}"


def _scientific(value: float | None) -> str:
    return "–" if value is None else "0" if value == 0 else f"{value:.1e}"

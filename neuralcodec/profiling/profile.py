"""What a profile holds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from neuralcodec.profiling.histogram import Histogram
from neuralcodec.profiling.levels import Rate
from neuralcodec.profiling.moments import Moments
from neuralcodec.profiling.redundancy import Redundancy
from neuralcodec.profiling.scales import Scales
from neuralcodec.profiling.spectrum import Spectrum
from neuralcodec.profiling.suggest import Suggestion
from neuralcodec.profiling.table import make_table

if TYPE_CHECKING:
    from neuralcodec.profiling.fits import Fit


@dataclasses.dataclass(frozen=True, slots=True)
class TensorProfile:
    """One tensor. What was not looked at is None or empty, and ``note`` says why.

    Attributes:
        name: the tensor.
        tied: its other names.
        dtype: element type.
        shape: shape.
        note: what was left out, and why; empty if nothing was.
        moments: counts, range and moments, of all weights.
        sampled: the rows and columns that the following is about, if not all.
        near_zero: share of weights nearer to 0 than 1 % of the standard deviation, those of exactly 0 among them.
        histogram: in units of the weights.
        fits: the four families, fitted to the weights that are not exactly 0.
        best_fit: the likeliest.
        rows: scales of the rows.
        columns: scales of the columns.
        spectrum: singular values, of a larger sample if any.
        ladder: entropy at steps from 2 to 1/32 standard deviations; empty below 256 weights, as the two that follow.
        targets: entropy at 20, 30 and 40 dB.
        redundancy: what rows have in common.
        suggestion: codec and options; None for an empty tensor.
    """

    name: str
    tied: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]
    note: str
    moments: Moments
    sampled: tuple[int, int] | None = None
    near_zero: float | None = None
    histogram: Histogram | None = None
    fits: tuple[Fit, ...] = ()
    best_fit: str | None = None
    rows: Scales | None = None
    columns: Scales | None = None
    spectrum: Spectrum | None = None
    ladder: tuple[Rate, ...] = ()
    targets: tuple[Rate, ...] = ()
    redundancy: Redundancy | None = None
    suggestion: Suggestion | None = None

    @property
    def weights(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """The tensors of a model. Made by :func:`neuralcodec.profile`.

    Attributes:
        tensors: in the order of their names.
        snr_db: what the suggestions reach, in dB.
    """

    tensors: tuple[TensorProfile, ...]
    snr_db: float

    @property
    def weights(self) -> int:
        """Elements of all tensors, tied ones counted once."""
        return sum(tensor.weights for tensor in self.tensors)

    @property
    def suggested_bytes(self) -> int:
        """Bytes of all tensors coded as suggested, estimated; names and headers of the file are not counted."""
        each = ((t.suggestion.trial.bits_per_weight if t.suggestion else 0.0) * t.weights / 8 for t in self.tensors)
        return math.ceil(sum(each))

    @property
    def bits_per_weight(self) -> float | None:
        """The same in bits a weight; None without weights."""
        return 8 * self.suggested_bytes / self.weights if self.weights else None

    def to_dict(self) -> dict[str, object]:
        """The same as plain types for JSON; what is not known is None."""
        return {
            "snr_db": self.snr_db,
            "weights": self.weights,
            "suggested_bytes": self.suggested_bytes,
            "bits_per_weight": self.bits_per_weight,
            "tensors": [_plain(tensor) for tensor in self.tensors],
        }

    def table(self) -> Table:
        """A table for a terminal, a row for each tensor."""
        return make_table(self.tensors)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.table()

    def __str__(self) -> str:
        console = Console(width=160, color_system=None, force_terminal=False)
        with console.capture() as captured:
            console.print(self)
        return captured.get()


def _plain(value: object) -> object:
    if isinstance(value, Rate):
        return {**{f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, "gap": value.gap}
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value

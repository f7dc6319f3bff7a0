"""The front of size and loss, and how it was found."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuralcodec.codec import Codec
from neuralcodec.errors import PlanError
from neuralcodec.exploration.candidates import Choice

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Point:
    """One way to code a model.

    Attributes:
        settings: for each tensor that is coded lossily the options that differ, such as ``{"clusters": 16}``.
        nbytes: bytes of the whole file, to within some bytes of what :func:`neuralcodec.encode` gives;
            with codec trellis, whose tensors share tables that here each has alone, to within 1 or 2 %, and with
            codec autoencoder's ``tune``, which is left out here, by 1 to 3 % more.
        loss: what the evaluation function said; without one, distortion over energy, Σ(w − ŵ)² / Σw².
        snr_db: 10·log10(Σw² / Σ(w − ŵ)²), both sums weighted by importance if it was given.
    """

    settings: Mapping[str, Mapping[str, object]]
    nbytes: int
    loss: float
    snr_db: float

    def overrides(self) -> dict[str, dict[str, object]]:
        """What ``encode(model, front.codec, overrides=…)`` takes."""
        return {name: dict(options) for name, options in self.settings.items()}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A call of the evaluation function.

    Attributes:
        choice: for each tensor the index of its setting, coarsest first; −1: as it is.
        nbytes: as in :class:`Point`, tensors that stay as they are counted as nothing.
        loss: what came of it; infinite if it failed.
    """

    choice: Choice
    nbytes: int
    loss: float


@dataclass(frozen=True, slots=True)
class Front:
    """Ways to code a model of which none is both smaller and better than another.

    Attributes:
        points: by bytes, ascending.
        codec: the codec, to be given to :func:`neuralcodec.encode` with the overrides of a point.
        original_bytes: bytes of all elements of the model.
        baseline: loss of the model as it is; 0 without an evaluation function, None if it was not evaluated.
        evaluations: calls of the evaluation function, in order.
        grid: how many calls it would take to try all combinations.
        fingerprint: of weights and settings; evaluations are good for no others.
    """

    points: tuple[Point, ...]
    codec: Codec
    original_bytes: int
    baseline: float | None
    evaluations: tuple[Evaluation, ...]
    grid: int
    fingerprint: int

    def smallest(self, max_loss: float = math.inf, min_snr_db: float = -math.inf) -> Point:
        """The smallest point that is good enough.

        Raises:
            PlanError: there is none; ``nearest`` is the best there is.
        """
        for point in self.points:
            if point.loss <= max_loss and point.snr_db >= min_snr_db:
                return point
        if not self.points:
            raise PlanError("the front has no points")
        if min_snr_db > -math.inf:
            best = max(point.snr_db for point in self.points)
            raise PlanError(f"no point has an SNR of {min_snr_db:g} dB; the highest is {best:.2f} dB", nearest=best)
        best = min(point.loss for point in self.points)
        raise PlanError(f"no point has a loss of {max_loss:g}; the least is {best:.6g}", nearest=best)

    def best(self, max_bytes: float) -> Point:
        """The point of least loss in a file of at most so many bytes.

        Raises:
            PlanError: even the smallest is larger; ``nearest`` is its size.
        """
        fitting = [point for point in self.points if point.nbytes <= max_bytes]
        if fitting:
            return min(fitting, key=lambda point: point.loss)
        if not self.points:
            raise PlanError("the front has no points")
        least = self.points[0].nbytes
        raise PlanError(f"no point has {max_bytes:g} bytes or less; the smallest has {least}", nearest=least)

    def table(self, rows: int = 30) -> Table:
        """The points for a terminal: ``rich.print(front.table())``.

        Args:
            rows: most rows; of longer fronts points at even distances are shown.
        """
        from neuralcodec.exploration.table import make_table  # noqa: PLC0415 (rich is not needed to explore)

        return make_table(self, rows)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws size and loss. Needs matplotlib (``pip install "neuralcodec[profile]"``).

        Args:
            path: the file to write; its ending says in which format (.png, .svg, .pdf).

        Raises:
            NeuralCodecError: matplotlib is not installed.
            OSError: the file cannot be written.
        """
        from neuralcodec.exploration.plots import draw  # noqa: PLC0415 (matplotlib is optional)

        draw(self, path)

    def to_dict(self) -> dict[str, object]:
        """The same as plain types for JSON; infinite numbers are the strings "inf" and "-inf"."""

        def plain(value: float | None) -> object:
            return value if value is None or math.isfinite(value) else str(value)

        return {
            "codec": self.codec.name,
            "original_bytes": self.original_bytes,
            "baseline": plain(self.baseline),
            "grid": self.grid,
            "fingerprint": self.fingerprint,
            "points": [
                {"nbytes": p.nbytes, "loss": plain(p.loss), "snr_db": plain(p.snr_db), "settings": p.overrides()}
                for p in self.points
            ],
            "evaluations": [
                {"choice": list(e.choice), "nbytes": e.nbytes, "loss": plain(e.loss)} for e in self.evaluations
            ],
        }

"""What the user wants of the whole file."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Literal, get_args

from neuralcodec.options import check_choice

TOLERANCE = 0.02
"""A target is met within this fraction, or PlanError says what can be reached."""

MOST_DB = 400.0
"""An SNR from here on stands for an infinite one."""

Allocation = Literal["layers", "error"]


@dataclass(frozen=True, slots=True)
class Target:
    """One of three wishes for the whole model; a lossy codec meets it within 2 %.

    Where levels jump over an SNR, as those of weights of one magnitude do, or a finer step takes no more bytes, the
    file has a higher one. It has fewer bits than are wanted if these suffice to lose nothing.

    Attributes:
        bits_per_weight: size of the whole file in bits, over the number of weights, biases and all counted.
        snr_db: signal-to-noise ratio in dB, 10·log10(Σw² / Σ(w − ŵ)²), over all lossily coded tensors but small ones
            (which have fewer than two dimensions or 256 weights) and those with a codec or step of their own.
        max_bytes: bytes that the whole file must not exceed.
        allocation: how bits are allocated to tensors. "layers" gives those of few weights a finer step, as an error in
            any layer reaches the output (:mod:`neuralcodec.plan.allocation`): at the same size networks keep more of
            their accuracy. "error" gives all the same step, for the least squared error. None for "error" where an SNR
            is wanted, which is a squared error, and else "layers".

    Raises:
        ValueError: not exactly one is given, or it is not a positive number; or another allocation.
    """

    bits_per_weight: float | None = None
    snr_db: float | None = None
    max_bytes: int | None = None
    allocation: Allocation | None = None

    def __post_init__(self) -> None:
        given = {k: v for k in ("bits_per_weight", "snr_db", "max_bytes") if (v := getattr(self, k)) is not None}
        if len(given) != 1:
            raise ValueError("a Target takes exactly one of bits_per_weight, snr_db and max_bytes")
        ((name, value),) = given.items()
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value) or value <= 0:
            raise ValueError(f"Target({name}={value!r}): must be a positive number")
        # Numbers of numpy become Python's.
        object.__setattr__(self, name, int(value) if isinstance(value, numbers.Integral) else float(value))
        if self.allocation is not None:
            check_choice("allocation", self.allocation, get_args(Allocation))

    @property
    def wants_snr(self) -> bool:
        """Whether quality is given and size follows; else the other way round."""
        return self.snr_db is not None

    @property
    def for_layers(self) -> bool:
        """Whether steps differ by tensor, as :attr:`allocation` says, or its default."""
        return self.allocation == "layers" or (self.allocation is None and not self.wants_snr)

    def goal(self, weights: int) -> float:
        """The wish as a number: dB, or bytes of a file with ``weights`` weights."""
        if self.snr_db is not None:
            return self.snr_db
        if self.max_bytes is not None:
            return float(self.max_bytes)
        assert self.bits_per_weight is not None
        return self.bits_per_weight * weights / 8

    def describe(self, value: float, weights: int) -> str:
        """A goal or a result in the words of the wish."""
        if self.wants_snr:
            return f"{value:.2f} dB"
        if self.max_bytes is not None:
            return f"{value:.0f} bytes"
        return f"{value * 8 / max(weights, 1):.3f} bits/weight"

    def in_unit(self, value: float, weights: int) -> float:
        """A goal or a result (dB or bytes) in the unit of the wish."""
        return value * 8 / max(weights, 1) if self.bits_per_weight is not None else value

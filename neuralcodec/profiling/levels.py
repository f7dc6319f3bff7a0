"""Entropy of uniformly quantized weights, and what it would be at least if they were Gaussian."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

STEPS = (2.0, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
"""Steps in units of the standard deviation."""

TARGETS_DB = (20.0, 30.0, 40.0)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rate:
    """Weights rounded to multiples of a step, the same for all of them, without an end to the levels.

    Attributes:
        step: distance between levels, in units of the weights.
        relative_step: the same in units of the standard deviation.
        snr_db: signal-to-noise ratio, 10·log10(Σw² / Σ(w − ŵ)²) in dB; None if nothing is lost.
        bits: entropy of the levels in bits a weight: what an ideal coder takes that knows only how often each occurs.
        bound: bits a weight that Gaussian weights of the same variance take at least with so much noise,
            ½·log2(variance / noise) (Shannon; Cover and Thomas, Elements of Information Theory, theorem 10.3.2). None
            if nothing is lost.
    """

    step: float
    relative_step: float
    snr_db: float | None
    bits: float
    bound: float | None

    @property
    def gap(self) -> float | None:
        """Bits above the bound; a Gaussian has 0.25 at fine steps. Less than 0: the weights are not Gaussian."""
        return None if self.bound is None else self.bits - self.bound


def rate(weights: Floats, step: float) -> Rate:
    """The rate at a step.

    Args:
        weights: any shape, finite, not all equal.
        step: in units of the weights.
    """
    levels = np.rint(weights / step)
    noise = float(np.square(weights - levels * step).mean())
    power, variance = float(np.square(weights).mean()), float(weights.var())
    return Rate(
        step,
        relative_step=step / math.sqrt(variance),
        snr_db=10 * math.log10(power / noise) if noise else None,
        bits=entropy(counts(levels)),
        bound=max(0.0, 0.5 * math.log2(variance / noise)) if noise else None,
    )


def ladder(weights: Floats) -> tuple[Rate, ...]:
    """The rate at each of :data:`STEPS`."""
    std = float(weights.std())
    return tuple(rate(weights, step * std) for step in STEPS)


def at_snr(weights: Floats, snr_db: float) -> Rate:
    """The rate at the step that gives this SNR."""
    power = float(np.square(weights).mean())
    noise = power * 10 ** (-snr_db / 10)
    # No error is above half a step: the finer end is fine enough. Twice the largest weight leaves nothing but zeros.
    fine, coarse = math.log2(2 * math.sqrt(noise)), math.log2(4 * float(np.abs(weights).max()))
    while coarse - fine > 1e-3:
        middle = (fine + coarse) / 2
        step = 2.0**middle
        if float(np.square(weights - np.rint(weights / step) * step).mean()) <= noise:
            fine = middle
        else:
            coarse = middle
    return rate(weights, 2.0**fine)


def counts(levels: Floats) -> npt.NDArray[np.int64]:
    """How often each level occurs, those that do not occur left out; shape [distinct levels]."""
    found = np.bincount((levels - levels.min()).astype(np.int64).reshape(-1))
    return found[found > 0]


def entropy(occurring: npt.NDArray[np.int64]) -> float:
    """Entropy in bits of symbols that occur so often."""
    share = occurring / occurring.sum()
    return max(0.0, -float(share @ np.log2(share)))

"""Which codec and options suit a tensor: each is tried, and what it gives is measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from neuralcodec.codec import Codec
from neuralcodec.plan.rules import Assignment
from neuralcodec.plan.run import Encoded, encode_tensor
from neuralcodec.profiling.levels import Rate
from neuralcodec.profiling.moments import Moments
from neuralcodec.profiling.scales import Scales
from neuralcodec.registry import make_codec
from neuralcodec.tensor import Tensor

BITS = range(2, 9)


@dataclass(frozen=True, slots=True)
class Trial:
    """What a codec gave.

    Attributes:
        codec: its name.
        options: its options, as ``neuralcodec.encode`` takes them.
        bits_per_weight: bits of the payload over weights.
        snr_db: signal-to-noise ratio in dB; None if exact.
    """

    codec: str
    options: Mapping[str, object]
    bits_per_weight: float
    snr_db: float | None

    def setting(self) -> str:
        """Codec and options as one would write them."""
        return " ".join([self.codec, *(f"{k}={str(v).lower()}" for k, v in self.options.items())])


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What suits a tensor.

    Attributes:
        trial: the codec, its options and what they gave.
        why: in a sentence.
        tried: all that was tried, the suggestion among them.
    """

    trial: Trial
    why: str
    tried: tuple[Trial, ...]


def suggest_exact(tensor: Tensor, reason: str) -> Suggestion:
    """The smallest lossless coding, of a tensor of at least one element.

    Args:
        tensor: a sample of it, or all.
        reason: why it is to be kept exactly.
    """
    tried = _exact(tensor)
    chosen = min(tried, key=lambda t: t.bits_per_weight)
    shrinks = "" if chosen.codec != "raw" else "; it does not shrink losslessly"
    return Suggestion(chosen, f"kept exactly: {reason}{shrinks}", tried)


def suggest_levels(tensor: Tensor, snr_db: float, facts: Facts) -> Suggestion:
    """The setting with the fewest bits that reaches an SNR; lossless if none does, or if that is no larger.

    Args:
        tensor: a sample of it, or all; finite floats, not all zero.
        snr_db: what should be reached, in dB.
        facts: what is known of it, for the reason.
    """
    scales = ("row", "tensor") if tensor.spec.rows >= 2 else ("tensor",)
    lossy = [_try(tensor, "huffman", {"bits": bits, "scale": scale}) for bits in BITS for scale in scales]
    exact = _exact(tensor)
    least = min(exact, key=lambda t: t.bits_per_weight)
    good = [t for t in lossy if t.snr_db is None or t.snr_db >= snr_db]
    tried = (*lossy, *exact)
    if not good:
        reached = max(t.snr_db for t in lossy if t.snr_db is not None)
        why = f"levels of 8 bits reach {reached:.1f} dB only, below {snr_db:g}: {facts.tails()}"
        return Suggestion(least, why, tried)
    chosen = min(good, key=lambda t: (t.bits_per_weight, t.options["bits"]))
    if least.bits_per_weight <= chosen.bits_per_weight:
        return Suggestion(least, f"smaller than levels that reach {snr_db:g} dB", tried)
    return Suggestion(chosen, _why(chosen, good, facts, snr_db), tried)


@dataclass(frozen=True, slots=True)
class Facts:
    """What reasons are made of."""

    moments: Moments
    rows: Scales | None
    at_target: Rate

    def tails(self) -> str:
        """How heavy the tails are."""
        kurtosis = self.moments.kurtosis
        largest = max(abs(self.moments.least or 0.0), abs(self.moments.most or 0.0))
        if not kurtosis or not self.moments.std:
            return "all weights are equal"
        return f"kurtosis {kurtosis:.1f}, the largest weight is {largest / self.moments.std:.0f} standard deviations"


def _why(chosen: Trial, good: list[Trial], facts: Facts, snr_db: float) -> str:
    reached = "exact" if chosen.snr_db is None else f"{chosen.snr_db:.1f} dB"
    parts = [f"fewest bits that reach {snr_db:g} dB ({reached})"]
    others = [t for t in good if t.options["scale"] != chosen.options["scale"]]
    by_row = chosen.options["scale"] == "row"
    if others:
        least = min(others, key=lambda t: t.bits_per_weight)
        more = least.bits_per_weight - chosen.bits_per_weight
        other = "one scale for all" if by_row else "a scale a row"
        spread = f", as row scales spread over {facts.rows.octaves:.2f} octaves" if facts.rows and by_row else ""
        bits = f" with bits={least.options['bits']}" if least.options["bits"] != chosen.options["bits"] else ""
        parts.append(f"{other}{bits} takes {more:.2f} more{spread}")
    elif by_row:
        parts.append("one scale for all does not reach it")
    gap = facts.at_target.gap
    if gap is not None:
        side = f"{gap:.2f} above" if gap >= 0 else f"{-gap:.2f} below"
        parts.append(f"the entropy of plain levels at {snr_db:g} dB is {side} the Gaussian bound")
    return "; ".join(parts)


def _exact(tensor: Tensor) -> tuple[Trial, ...]:
    return _try(tensor, "huffman", {"lossless": True}), _try(tensor, "raw", {})


def _try(tensor: Tensor, name: str, options: dict[str, object]) -> Trial:
    codec: Codec = make_codec(name, options)
    encoded: Encoded = encode_tensor(tensor, Assignment(codec, "chosen"), None, (), "error")
    snr = encoded.errors.snr_db
    return Trial(
        name,
        options,
        bits_per_weight=8 * len(encoded.payload) / tensor.spec.size,
        snr_db=snr if math.isfinite(snr) else None,
    )

"""Which codec and options suit a tensor: each is tried, and what it gives is measured."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neuralcodec.codec import Codec, Stepped
from neuralcodec.plan.rules import Assignment
from neuralcodec.plan.run import Encoded, encode_tensor
from neuralcodec.profiling.levels import Rate
from neuralcodec.profiling.moments import Moments
from neuralcodec.registry import make_codec
from neuralcodec.tensor import Tensor
from neuralcodec.weights import within_float32

BITS = range(2, 9)
STEPPED = ("huffman", "kmeans", "trellis")
"""Codecs that are tried at a step of their own."""

STEPS = 8
NEAR_DB = 0.1
NEAR_ENOUGH_DB = 0.25
"""For codecs that take longer: a second trial nearer than that is the last."""

CODED_SAMPLE = 1 << 16
"""Weights that such codecs are tried with: what a model of its own takes is then hundredths of a bit a weight."""


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

    def reaches(self, snr_db: float) -> bool:
        """Whether the SNR is no lower than this."""
        return self.snr_db is None or self.snr_db >= snr_db

    def setting(self) -> str:
        """Codec and options in a few characters."""
        return " ".join([self.codec, *(_typed(k, v) for k, v in self.options.items())])


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


@dataclass(frozen=True, slots=True)
class Facts:
    """What reasons are made of."""

    moments: Moments
    at_target: Rate | None

    def louder(self, part: Tensor) -> float:
        """By how many dB the mean square of the whole tensor is above that of a part."""
        whole = math.hypot(self.moments.mean or 0.0, self.moments.std or 0.0)
        weights = part.float32().astype(np.float64)
        largest = float(np.abs(weights).max())
        here = largest * math.sqrt(np.square(weights / largest).mean()) if largest else 0.0
        return 20 * math.log10(whole / here) if whole and here else 0.0

    def tails(self) -> str:
        """How heavy the tails are."""
        kurtosis = self.moments.kurtosis
        largest = max(abs(self.moments.least or 0.0), abs(self.moments.most or 0.0))
        if not kurtosis or not self.moments.std:
            return "all weights are equal"
        return f"kurtosis {kurtosis:.1f}, the largest weight is {largest / self.moments.std:.0f} standard deviations"


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


def suggest_levels(looked_at: Tensor, strip: Tensor, snr_db: float, facts: Facts) -> Suggestion:
    """The setting with the fewest bits that reaches an SNR; lossless if none does, or if that is no larger.

    Args:
        looked_at: a sample of the tensor, or all; finite floats.
        strip: the same of weights that lie together, for codecs that look at neighbours; about CODED_SAMPLE.
        snr_db: what should be reached, in dB.
        facts: what is known of it.
    """
    scales = ("row", "tensor") if looked_at.spec.rows >= 2 else ("tensor",)
    lossy = [_try(looked_at, "huffman", {"bits": bits, "scale": scale}) for scale in scales for bits in BITS]
    if facts.at_target is not None:
        # Where a sample has more than its share of a few loud rows, the whole has less to say against the errors.
        lossy = [_louder(trial, min(facts.louder(looked_at), 0.0)) for trial in lossy]
        of_sample, of_strip = ((some, facts.louder(some)) for some in (looked_at, strip))
        for name in STEPPED:
            some, louder = of_sample if name == "huffman" else of_strip
            lossy += _with_step(name, some, snr_db, facts.at_target.step, louder)
    exact = _exact(looked_at)
    tried = (*lossy, *exact)
    smallest = min(exact, key=lambda t: t.bits_per_weight)
    good = [t for t in lossy if t.reaches(snr_db)]
    if not good:
        reached = max(t.snr_db for t in lossy if t.snr_db is not None)
        return Suggestion(smallest, f"levels reach {reached:.1f} dB only, below {snr_db:g}: {facts.tails()}", tried)
    chosen = min(good, key=lambda t: t.bits_per_weight)
    if smallest.bits_per_weight <= chosen.bits_per_weight:
        return Suggestion(smallest, f"smaller than levels that reach {snr_db:g} dB", tried)
    return Suggestion(chosen, _why(lossy, facts, snr_db), tried)


def _louder(trial: Trial, louder: float) -> Trial:
    return trial if trial.snr_db is None else dataclasses.replace(trial, snr_db=trial.snr_db + louder)


def _with_step(name: str, tensor: Tensor, snr_db: float, step: float, louder: float) -> list[Trial]:
    """A trial with one step for the whole tensor that just reaches an SNR, or, if none does, the last that was made.

    A step gives errors, whatever the weights: the SNR is that of the whole tensor with the errors of a part.

    Args:
        name: of a codec with an option ``step``.
        tensor: what it is tried with.
        snr_db: what should be reached.
        step: of a uniform quantizer that reaches it about.
        louder: see :meth:`Facts.louder`.
    """
    trials: list[Trial] = []
    for _ in range(STEPS):
        codec = make_codec(name, {})
        assert isinstance(codec, Stepped)
        own: float = dataclasses.asdict(codec.with_step(step))["step"]  # type: ignore[call-overload]
        own = within_float32(float(f"{own:.2e}"))  # as one would type it
        trial = _louder(_try(tensor, name, {"step": own}), louder)
        trials.append(trial)
        near = NEAR_DB if name == "huffman" or len(trials) == 1 else NEAR_ENOUGH_DB
        if trial.snr_db is None or 0 <= trial.snr_db - snr_db < near:
            break
        if len(trials) > 1 and trial.snr_db == trials[-2].snr_db:
            break  # it is at its limit
        step *= 10 ** ((trial.snr_db - snr_db - NEAR_DB / 2) / 20)
    good = [t for t in trials if t.reaches(snr_db)]
    return [min(good, key=lambda t: t.bits_per_weight)] if good else trials[-1:]


def _why(lossy: list[Trial], facts: Facts, snr_db: float) -> str:
    parts = [f"of all that reach {snr_db:g} dB the fewest bits"]
    kinds = (
        *((f"codec {name}", [t for t in lossy if t.codec == name]) for name in STEPPED if name != "huffman"),
        ("huffman with one step for all", [t for t in lossy if t.codec == "huffman" and "step" in t.options]),
        ("a scale a row", [t for t in lossy if t.options.get("scale") == "row"]),
        ("one scale for all", [t for t in lossy if t.options.get("scale") == "tensor"]),
    )
    for kind, trials in kinds:
        good = [t for t in trials if t.reaches(snr_db)]
        if good:
            least = min(good, key=lambda t: t.bits_per_weight)
            bits = f" with bits={least.options['bits']}" if "bits" in least.options else ""
            reached = "exact" if least.snr_db is None else f"{least.snr_db:.1f} dB"
            parts.append(f"{kind}{bits} takes {least.bits_per_weight:.2f} ({reached})")
        elif trials:
            limit = ", as levels end at ±127" if trials[0].codec == "huffman" else ""
            parts.append(f"{kind} reaches only {max(t.snr_db or 0 for t in trials):.1f} dB{limit}")
    gap = facts.at_target.gap if facts.at_target else None
    if gap is not None:
        side = f"{gap:.2f} above" if gap >= 0 else f"{-gap:.2f} below"
        parts.append(f"the entropy of levels without an end is {side} the bound of a Gaussian")
    return "; ".join(parts)


def _exact(tensor: Tensor) -> tuple[Trial, ...]:
    return _try(tensor, "raw", {}), _try(tensor, "huffman", {"lossless": True})


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


def _typed(name: str, value: object) -> str:
    return name if value is True else f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"

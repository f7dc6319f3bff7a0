"""The profile of one tensor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from neuralcodec.profiling.fits import best, fit_all
from neuralcodec.profiling.histogram import histogram
from neuralcodec.profiling.levels import TARGETS_DB, at_snr, ladder
from neuralcodec.profiling.moments import Moments, moments
from neuralcodec.profiling.profile import TensorProfile
from neuralcodec.profiling.redundancy import redundancy
from neuralcodec.profiling.sample import sample, strip
from neuralcodec.profiling.scales import scales
from neuralcodec.profiling.spectrum import spectrum
from neuralcodec.profiling.suggest import CODED_SAMPLE, Facts, Suggestion, suggest_exact, suggest_levels
from neuralcodec.tensor import MIN_WEIGHTS, Tensor

SAMPLE = 1 << 18
"""Weights of a tensor that are looked at closely; counts and moments are of all."""

SPECTRUM_SAMPLE = 1 << 20

FEWEST_TO_FIT = 64
"""Fewer different values have no shape worth telling.

Entropies are left out below MIN_WEIGHTS: of n weights they are at most log2(n), whatever the weights.
"""

WORTH_SAYING = 0.1
"""Bits a weight that sums of rows must save to be noted."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a suggestion is for: an SNR in dB, and why the tensor is to be kept exactly, if it is."""

    snr_db: float
    exact: str


def profile_tensor(tensor: Tensor, tied: tuple[str, ...], wish: Wish) -> TensorProfile:
    """Looks at a tensor of any kind."""
    spec = tensor.spec
    all_of_it = moments(tensor)
    plain = TensorProfile(spec.name, tied, spec.dtype.name, spec.shape, note="", moments=all_of_it)
    if not spec.size:
        return replace(plain, note="empty")
    looked_at = sample(tensor, SAMPLE)
    rows, cols = looked_at.spec.rows, looked_at.spec.cols
    plain = replace(plain, sampled=None if looked_at is tensor else (rows, cols))
    if not spec.dtype.is_float:
        return replace(plain, note="not quantized", suggestion=suggest_exact(looked_at, wish.exact))
    if all_of_it.nonfinite:
        reason = wish.exact or 'encode() refuses NaN and Inf unless on_nonfinite="raw"'
        return replace(plain, note=_nonfinite(all_of_it, spec.dtype.name), suggestion=suggest_exact(looked_at, reason))
    weights = looked_at.float32().astype(np.float64)
    if not float(weights.max()) > float(weights.min()):
        note = "one weight" if spec.size == 1 else "all equal" if all_of_it.std == 0 else "all equal in the sample"
        return replace(plain, note=note, suggestion=_suggest(tensor, looked_at, wish, Facts(all_of_it, None)))
    return _closely(tensor, looked_at, weights, plain, wish)


def _closely(tensor: Tensor, looked_at: Tensor, weights: Floats, plain: TensorProfile, wish: Wish) -> TensorProfile:
    """A tensor of finite weights that are not all equal."""
    alive = weights[weights != 0]
    fits = fit_all(alive) if np.unique(alive).size >= FEWEST_TO_FIT else ()
    full = replace(
        plain,
        near_zero=float((np.abs(weights) < 0.01 * weights.std()).mean()),
        histogram=histogram(weights),
        fits=fits,
        best_fit=best(fits, alive.size).family if fits else None,
        rows=scales(weights, 1),
        columns=scales(weights, 0) if tensor.spec.rows >= 2 else None,
        spectrum=spectrum(sample(tensor, SPECTRUM_SAMPLE).float32().astype(np.float64)),
    )
    facts = Facts(full.moments, at_snr(weights, wish.snr_db))
    if weights.size >= MIN_WEIGHTS:
        targets = tuple(at_snr(weights, snr) for snr in TARGETS_DB)
        found = redundancy(tensor, weights, targets[1].step) if tensor.spec.rows >= 2 else None
        full = replace(full, ladder=ladder(weights), targets=targets, redundancy=found)
    return replace(full, note=_note(full), suggestion=_suggest(tensor, looked_at, wish, facts))


def _note(known: TensorProfile) -> str:
    if known.redundancy and known.redundancy.duplicates:
        count = known.redundancy.duplicates
        return f"{count:,} rows equal others" if count > 1 else "1 row equals another"
    if known.redundancy and known.redundancy.sum_bits > WORTH_SAYING:
        saved = known.redundancy.sum_bits
        return f"rows are sums of others: codec regression may save {saved:.1f} bits/w"
    return "" if known.fits else "too few values to fit"


def _suggest(tensor: Tensor, looked_at: Tensor, wish: Wish, facts: Facts) -> Suggestion:
    if wish.exact:
        return suggest_exact(looked_at, wish.exact)
    # Twice as many are taken whole: what a part of them gives would be a little off for little time saved.
    some = tensor if tensor.spec.size <= 2 * CODED_SAMPLE else strip(tensor, CODED_SAMPLE)
    return suggest_levels(looked_at, some, wish.snr_db, facts)


def _nonfinite(m: Moments, dtype: str) -> str:
    beyond = "Inf or beyond float32" if dtype == "f64" else "Inf"
    return ", ".join(f"{count:,} {what}" for count, what in ((m.nan, "NaN"), (m.infinite, beyond)) if count)

"""Tunes the prior to the levels of a model (docs/format.md, section 15.5), where that makes the file smaller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neuralcodec import _native
from neuralcodec.codec import SharedObject, Shares
from neuralcodec.codecs.generative.coding import KIND, Choice, Tuned


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """How a tensor is coded best, and its payload with the prior as it is."""

    choice: Choice
    payload: bytes


def share(surveys: Mapping[str, Survey], first: int, steps: int) -> Shares:
    """Payloads of all tensors, as hints; and a shared object, if with it they take less than without.

    Args:
        surveys: by name of a tensor; the same ones, in any order, give the same bytes.
        first: index of the object.
        steps: passes over the levels.
    """
    payloads: dict[str, bytes] = {name: surveys[name].payload for name in sorted(surveys)}
    tuner = _native.GenerativeTuner()
    for name in payloads:
        choice = surveys[name].choice
        matrix = choice.matrix
        if matrix.levels.any():
            tuner.add(matrix.levels, matrix.tile, matrix.states_log2, matrix.kernel, choice.rates.byte, matrix.start)
    data = tuner.tune(steps)
    if not data:
        return Shares((), payloads)
    tuned = Tuned(first, data)
    others = {name: min(plain, surveys[name].choice.payload(tuned), key=len) for name, plain in payloads.items()}
    saved = sum(len(plain) - len(others[name]) for name, plain in payloads.items())
    if saved <= tuned.nbytes:
        return Shares((), payloads)
    return Shares((SharedObject(KIND, data),), others)

"""Fine-tunes the universal model on the tensors at hand: classes of it get tables of their own, where those pay.

In each round tables are fitted to residuals, and weights are coded with them: where a tensor then takes fewer bits, at
no more distortion than these are worth, it keeps them, and the next round fits to what has become of its residuals. All
that decides is in integers, so that the same tensors give the same model on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.kmeans.frequencies import fit
from neuralcodec.logarithm import FRACTION, log2
from neuralcodec.models import autoencoder_model as model
from neuralcodec.models.autoencoder_model import Class, OwnTables

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float32]

BYTE = 8 << FRACTION
"""Prices are in units of 2^-16 bits."""

SMOOTHING = 20
"""A table's residuals count beside so many that are distributed as in the universal model."""

OBJECT_BYTES, CLASS_BYTES = 13, 5
"""What a tuned model takes in the file without its tables: entry of the directory and head; and each class."""

BEYOND = (12, 10, 8, 6)
"""Bits of the share of residuals that are left to a table's last token: shorter tables take fewer bytes."""

GRAIN = 256
"""Errors are counted in so many parts of the distance between residuals."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Weights of a tensor that the model is tuned on.

    Attributes:
        predictor: of the tensor.
        weights: whole tiles, in the order and the unit that they are coded in.
        importance: of each, or None.
        most: largest level.
        spacing: levels between residuals.
        times: what all of it counts, as others are not in the sample.
    """

    predictor: _native.AutoencoderPredictor
    weights: Weights
    importance: Weights | None
    most: int
    spacing: int
    times: int


@dataclass(frozen=True, slots=True)
class Tuned:
    """A model for the file.

    Attributes:
        model: its bytes.
        classes: by name of those tensors that use it, the class.
    """

    model: bytes
    classes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a sample takes.

    Attributes:
        bits: of its tiles.
        error: sum of squared errors, in squared ``1 / GRAIN`` of the distance between residuals.
    """

    bits: int
    error: int

    def saves(self, before: Cost, lagrangian: float) -> int:
        """Bits fewer than before, after those that more error is worth."""
        fewer = before.bits - self.bits
        if not lagrangian:
            return fewer  # the nearest levels, whatever the model
        return fewer + min(round((before.error - self.error) / (GRAIN * GRAIN * lagrangian)), 0)


def tuned(
    samples: Mapping[str, Sample], universal: bytes, version: int, rounds: int, lagrangian: float
) -> Tuned | None:
    """A tuned model, and who uses it; None if none pays.

    Args:
        samples: by name.
        universal: model.
        version: of that.
        rounds: at least 1.
        lagrangian: λ that residuals are chosen with, in squared distances between them a bit.
    """
    classes = model.parse(universal)
    whole = np.frombuffer(universal, np.uint8)
    before: dict[str, Cost] = {}
    base: dict[str, int] = {}
    counts: dict[str, Integers] = {}
    for name, sample in sorted(samples.items()):
        costs = [_cost(sample, whole, j, lagrangian) for j in range(len(classes))]
        base[name] = j = min(range(len(classes)), key=lambda i: costs[i].bits)
        before[name] = costs[j]
        counts[name] = _counts(sample, whole, j, classes[j], lagrangian)
    best: Tuned | None = None
    most = 8 * OBJECT_BYTES
    for _ in range(rounds):
        users = sorted({base[name] for name in counts})
        tables = [_tables(classes[j], np.sum([counts[n] for n in counts if base[n] == j], axis=0)) for j in users]
        data = np.frombuffer(model.serialize_tuned(version, list(zip(users, tables, strict=True))), np.uint8)
        saved = {}
        for name in counts:
            after = _cost(samples[name], data, users.index(base[name]), lagrangian)
            saved[name] = samples[name].times * after.saves(before[name], lagrangian)
        kept, total = [], 0
        for j, own in zip(users, tables, strict=True):
            gain = sum(max(saved[n], 0) for n in counts if base[n] == j) - 8 * (CLASS_BYTES + _size(own))
            if own and gain > 0:
                kept.append((j, own))
                total += gain
        at = {j: i for i, (j, _) in enumerate(kept)}
        chosen = {name: at[base[name]] for name in counts if base[name] in at and saved[name] > 0}
        if total > most:
            most, best = total, Tuned(model.serialize_tuned(version, kept), chosen)
        counts = {
            name: _counts(samples[name], data, users.index(base[name]), classes[base[name]], lagrangian)
            for name in chosen
        }
        if not counts:
            break
    return best


def _cost(of: Sample, data: Bytes, index: int, lagrangian: float) -> Cost:
    levels, _, sizes, _ = _native.autoencoder_encode(
        of.predictor, data, index, of.weights, lagrangian, of.most, of.importance
    )
    off = np.rint((of.weights - levels) * np.float32(GRAIN / of.spacing)).astype(np.int64)
    squares = off * off
    if of.importance is not None:
        squares = np.rint(squares * of.importance).astype(np.int64)
    return Cost(8 * int(sizes.sum(dtype=np.int64)), int(squares.sum()))


def _counts(of: Sample, data: Bytes, index: int, base: Class, lagrangian: float) -> Integers:
    """How often each value comes up at each table, shape [28, 32]."""
    residuals, features = _native.autoencoder_trace(of.predictor, of.weights, data, index, lagrangian, of.importance)
    spreads = model.spreads_of(features, base)
    found = model.token_counts(spreads, np.abs(residuals.astype(np.int64)), np.ones(len(residuals)))
    return np.rint(found).astype(np.int64) * of.times


def price(table: Sequence[int]) -> Integers:
    """What each value costs at a table of frequencies; values from 31 on as 31."""
    last = len(table) - 1
    values = np.arange(model.TOKENS)
    tokens = np.minimum(values, last)
    escaped = 4 + (log2(np.maximum(values - last + 1, 1)) >> FRACTION)
    found: Integers = (model.SLOTS_LOG2 << FRACTION) - log2(np.array(table, np.int64)[tokens])
    found += np.where(tokens == last, escaped << FRACTION, 0)
    return found


def _size(tables: OwnTables) -> int:
    return sum(1 + 2 * len(table) for table in tables.values())


def _tables(base: Class, counts: Integers) -> OwnTables:
    """Tables for what has been counted, shape [28, 32], where they take less than they save."""
    found: OwnTables = {}
    for t in np.flatnonzero(counts.any(1)).tolist():
        least = int(counts[t] @ price(base.tables[t]))
        for table in _candidates(base.tables[t], counts[t]):
            cost = int(counts[t] @ price(table)) + BYTE * (1 + 2 * len(table))
            if cost < least:
                least, found[t] = cost, table
    return found


def _candidates(base: Sequence[int], counts: Integers) -> list[tuple[int, ...]]:
    """Tables of several lengths."""
    shares = counts << model.SLOTS_LOG2
    shares[: len(base)] += SMOOTHING * np.array(base)
    left = shares[::-1].cumsum()[::-1]
    lengths = {max(int(np.count_nonzero(left << bits > left[0])), 2) for bits in BEYOND}
    tables = []
    for tokens in sorted(lengths):
        whole = np.append(shares[: tokens - 1], left[tokens - 1])
        tables.append(fit(np.maximum(whole, 1), model.SLOTS_LOG2).values)
    return tables

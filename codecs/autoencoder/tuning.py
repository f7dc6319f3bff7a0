"""Fine-tunes the universal model on the tensors at hand: classes of it get tables of their own, where those pay.

Rounds of expectation and maximization with hard assignments: tables are fitted to the residuals of the tensors that are
coded shortest with them, and tensors go to the class that codes them shortest. All costs are integers, so that the same
tensors give the same model on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec.codecs.kmeans.frequencies import fit
from neuralcodec.logarithm import FRACTION, log2
from neuralcodec.models import autoencoder_model as model
from neuralcodec.models.autoencoder_model import Class, OwnTables

Integers = npt.NDArray[np.int64]

BYTE = 8 << FRACTION
"""Costs are in units of 2^-16 bits."""

SMOOTHING = 20
"""A table's residuals count beside so many that are distributed as in the universal model."""

OBJECT_BYTES, CLASS_BYTES = 13, 5
"""What a tuned model takes in the file without its tables: entry of the directory and head; and each class."""

SURE = 1.2
"""A tuned class must save this much more than it takes, as what it saves is found at levels that it has not chosen."""

BEYOND = (12, 10, 8, 6)
"""Bits of the share of residuals that are left to a table's last token: shorter tables take fewer bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What a tensor's residuals would cost.

    Attributes:
        counts: how often each value comes up at each table, by class; shape [classes, 28, 32].
        raw: bits that are not coded with tables, by class.
    """

    counts: Integers
    raw: Integers


@dataclass(frozen=True, slots=True)
class Tuned:
    """A model for the file.

    Attributes:
        model: its bytes.
        names: tensors that use it.
    """

    model: bytes
    names: tuple[str, ...]


def sample(
    features: npt.NDArray[np.int16], residuals: npt.NDArray[np.int32], classes: Sequence[Class], times: int
) -> Sample:
    """The sample of a tensor, of whose residuals the given ones are one in ``times``.

    Args:
        features: of each residual, shape [count, 6].
        residuals: shape [count].
        classes: of the universal model.
        times: what each residual counts.
    """
    magnitudes = np.abs(residuals.astype(np.int64))
    ones = np.ones(len(magnitudes))
    counts, raw = [], []
    for each in classes:
        spreads = model.spreads_of(features, each)
        counts.append(np.rint(model.token_counts(spreads, magnitudes, ones)).astype(np.int64) * times)
        raw.append(int(model.raw_bits(spreads).sum()) * times)
    return Sample(np.stack(counts), np.array(raw) << FRACTION)


def tuned(samples: Mapping[str, Sample], classes: Sequence[Class], version: int, rounds: int) -> Tuned | None:
    """A tuned model, and who uses it; None if none pays.

    Args:
        samples: by name.
        classes: of the universal model.
        version: of that.
        rounds: of expectation and maximization, at least 1.
    """
    names = sorted(samples)
    if not names:
        return None
    prices = np.stack([[price(t) for t in each.tables] for each in classes])
    plain = np.stack([_costs(samples[n], prices) for n in names])
    least, members = plain.min(1), plain.argmin(1)
    made: dict[int, OwnTables] = {}
    own = np.empty((0, 0), np.int64)
    for _ in range(rounds):
        used = np.unique(members).tolist()
        made = {j: _tables(classes[j], sum(samples[n].counts[j] for n in _of(names, members == j))) for j in used}
        own = np.stack([[_cost(samples[n], j, _prices(prices[j], made[j])) for j in made] for n in names])
        members = np.array(list(made))[own.argmin(1)]
    while made:
        nearest = own.argmin(1)
        saved = np.maximum(least - own.min(1), 0)
        spent = [BYTE * (CLASS_BYTES + _size(tables)) for tables in made.values()]
        gains = [int(saved[nearest == k].sum()) - round(SURE * spent[k]) for k in range(len(made))]
        worst = int(np.argmin(gains))
        if gains[worst] > 0:
            if sum(gains) <= round(SURE * BYTE * OBJECT_BYTES):
                return None
            return Tuned(model.serialize_tuned(version, list(made.items())), tuple(_of(names, saved > 0)))
        del made[list(made)[worst]]
        own = np.delete(own, worst, 1)
    return None


def price(table: Sequence[int]) -> Integers:
    """What each value costs at a table of frequencies; values from 31 on as 31."""
    last = len(table) - 1
    values = np.arange(model.TOKENS)
    tokens = np.minimum(values, last)
    escaped = 4 + (log2(np.maximum(values - last + 1, 1)) >> FRACTION)
    found: Integers = (model.SLOTS_LOG2 << FRACTION) - log2(np.array(table, np.int64)[tokens])
    found += np.where(tokens == last, escaped << FRACTION, 0)
    return found


def _of(names: Sequence[str], chosen: npt.NDArray[np.bool_]) -> list[str]:
    return [name for name, yes in zip(names, chosen.tolist(), strict=True) if yes]


def _costs(of: Sample, prices: Integers) -> Integers:
    """With each class of the universal model."""
    found: Integers = (of.counts * prices).sum((1, 2)) + of.raw
    return found


def _cost(of: Sample, base: int, prices: Integers) -> int:
    return int((of.counts[base] * prices).sum() + of.raw[base])


def _prices(universal: Integers, tables: OwnTables) -> Integers:
    found = universal.copy()
    for t, table in tables.items():
        found[t] = price(table)
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

"""What rounded weights tell in advance: the better scan of a tensor, and which tensors share a model.

Tensors share one that take fewer bits with it than with their own, tables counted.

How large a level will be the tensor that it is in tells better than a window over a few levels before it. So tensors of
many weights are best off with a model of their own, and small ones with a model of others that are like them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.trellis.classes import QUARTER, WINDOW, Weights, quarters, windows
from neuralcodec.logarithm import FRACTION, log2

Counts = npt.NDArray[np.int64]

MAGNITUDES = 10
"""Classes of the magnitude of the weights before, an octave each."""

MOST = 63
"""Magnitude of levels from which on they are taken for one."""

DEAD = 0.4
"""What rounding adds before it cuts off: as the search does, it favours small levels."""

HEAD_BITS, TABLE_BITS, VALUE_BITS = 300.0, 32.0, 12.0
"""About what a model takes, each of its tables and each of their values, for two quantizers."""

NEAR = 2
"""So far away, in the order of their magnitudes, tensors or groups are taken together."""


def profile(weights: Weights, size: int, two: bool) -> Counts:
    """Counts of rounded levels by the magnitude of those before and the sign of the last one, shape [cells, levels].

    Levels are those from the largest magnitude below 0 to the one above.

    Args:
        weights: over the step, in the order they are coded; all, or a sample.
        size: how many they stand for.
        two: whether there are two quantizers, each of twice the step.
    """
    unit = 2 if two else 1
    magnitudes = quarters(weights)
    levels = np.minimum((magnitudes + int(DEAD * QUARTER * unit)) // (QUARTER * unit), MOST)
    levels = np.where(weights.reshape(-1) < 0, -levels, levels)
    runs = np.zeros(levels.size, np.int64)
    if levels.size > WINDOW:
        runs[WINDOW:] = windows(magnitudes)[:-1]
        runs[:WINDOW] = runs[WINDOW]
    # From a quarter of a level on average up.
    edges = [(WINDOW * QUARTER * unit << k) // 4 for k in range(MAGNITUDES - 1)]
    cells = 3 * np.searchsorted(edges, runs, side="right")
    cells[1:] += np.sign(levels[:-1]) + 1
    cells[0] += 1
    most = int(np.abs(levels).max())
    kinds = 2 * most + 1
    counts = np.bincount(cells * kinds + levels + most, minlength=3 * MAGNITUDES * kinds)
    return counts.reshape(3 * MAGNITUDES, kinds) * max(round(size / levels.size), 1)


def prefers_columns(weights: Weights, two: bool) -> bool:
    """Whether levels tell more of the next one down the columns than along the rows.

    Args:
        weights: over the step, shape [rows, cols].
        two: see :func:`profile`.
    """
    if weights.shape[0] < WINDOW or weights.shape[1] < WINDOW:
        return bool(weights.shape[0] > weights.shape[1])
    down, along = (_coded(profile(np.ascontiguousarray(w), w.size, two)) for w in (weights.T, weights))
    return down < along * (1 - 1e-3)


def grouped(profiles: Mapping[str, Counts], tables: int, contexts: bool) -> list[list[str]]:
    """Names that share a model, greedily: the two groups whose union saves most become one, while any saves.

    Args:
        profiles: of the tensors.
        tables: most tables of a quantizer.
        contexts: whether they are picked by what came before.
    """
    mean = {name: int(1024 * _magnitudes(each) // each.sum()) for name, each in profiles.items()}
    names = sorted(profiles, key=lambda name: (mean[name], name))
    groups: list[_Group] = []
    numbers = count(len(names))
    for i, name in enumerate(names):
        counts = profiles[name] if contexts else profiles[name].sum(0, keepdims=True)
        groups.append(_Group(i, [i], counts, _bits(counts, tables)))
    # What a group saves with the next one, and with the one after that: a union changes but those near it.
    saved = np.full((len(groups), NEAR), -np.inf)
    known: dict[tuple[int, int], float] = {}

    def look(first: int, last: int) -> None:
        for i in range(max(first, 0), last):
            for k in range(NEAR):
                saved[i, k] = -np.inf
                if i + 1 + k < len(groups):
                    one, other = groups[i], groups[i + 1 + k]
                    if (key := (one.number, other.number)) not in known:
                        known[key] = _bits(_sum(one.counts, other.counts), tables)
                    saved[i, k] = one.bits + other.bits - known[key]

    look(0, len(groups))
    while groups:
        # Of those that save the same, the last.
        i, k = divmod(saved.size - 1 - int(np.argmax(saved[::-1, ::-1])), NEAR)
        if saved[i, k] <= 0:
            break
        j = i + 1 + k
        one, other = groups[i], groups.pop(j)
        bits = known[one.number, other.number]
        groups[i] = _Group(next(numbers), one.members + other.members, _sum(one.counts, other.counts), bits)
        saved = np.delete(saved, j, 0)
        look(i - NEAR, j)
    return [[names[i] for i in sorted(group.members)] for group in groups]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Tensors that share a model.

    Attributes:
        number: no other group has it, nor had it.
        members: their places.
        counts: of all of them.
        bits: that they take with it, tables counted.
    """

    number: int
    members: list[int]
    counts: Counts
    bits: float


def _magnitudes(counts: Counts) -> int:
    most = counts.shape[1] // 2
    return int((counts.sum(0) * np.abs(np.arange(-most, most + 1))).sum())


def _sum(one: Counts, other: Counts) -> Counts:
    """Counts of both, of as many levels as the one that has more."""
    wide, narrow = (one, other) if one.shape[1] >= other.shape[1] else (other, one)
    out: Counts = wide.copy()
    aside = (wide.shape[1] - narrow.shape[1]) // 2
    out[:, aside : wide.shape[1] - aside] += narrow
    return out


def _bits(counts: Counts, tables: int) -> float:
    places = _native.trellis_cluster(counts, tables, TABLE_BITS, VALUE_BITS)
    merged = np.zeros((int(places.max()) + 1, counts.shape[1]), np.int64)
    np.add.at(merged, places, counts)
    return HEAD_BITS + _coded(merged) + TABLE_BITS * len(merged) + VALUE_BITS * np.count_nonzero(merged)


def _coded(counts: Counts) -> float:
    """Bits of the levels, each at its frequency in its cell."""
    totals = counts.sum(1)
    return int((totals * log2(totals)).sum() - (counts * log2(counts)).sum()) / (1 << FRACTION)

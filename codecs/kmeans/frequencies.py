"""Frequency tables for rANS: how counts become frequencies, and what a table costs (docs/format.md, section 11)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.logarithm import FRACTION, log2

Counts = npt.NDArray[np.int64]

FEWEST, MOST = 8, 12
"""Bounds of m: a decoder has a table of 2^m slots, of four bytes each."""

WORTH = 0.003
"""A table of twice the slots must save this share of the bits: it takes twice the memory of a microcontroller."""


@dataclass(frozen=True, slots=True)
class Frequencies:
    """A frequency table.

    Attributes:
        m: the frequencies add up to 2^m.
        values: frequency of each symbol, from 0 on.
    """

    m: int
    values: tuple[int, ...]

    @property
    def constant(self) -> bool:
        """Whether one symbol has all slots, so that there are no data."""
        return max(self.values) == 1 << self.m

    def serialize(self) -> bytes:
        """The table as it stands in a stream."""
        fields: list[tuple[int, int]] = []
        for value in self.values:
            length = value.bit_length()
            fields += [(length, 4), (value - (1 << length >> 1), max(length - 1, 0))]
        bits = place = 0
        for field, width in fields:
            bits |= field << place
            place += width
        return bytes((self.m, len(self.values) - 1)) + bits.to_bytes((place + 7) // 8, "little")

    def bits(self, counts: Counts) -> int:
        """Bits of symbols that occur ``counts`` times, without the ends of tiles. All of them must have slots."""
        used = np.flatnonzero(counts)
        lengths = (self.m << FRACTION) - log2(np.array(self.values)[used])
        return int(counts[used] @ lengths) >> FRACTION

    def pack(self, symbols: npt.NDArray[np.uint8], tile: int) -> tuple[bytes, npt.NDArray[np.uint32]]:
        """All tiles of a matrix of symbols, and the bytes of each."""
        return _native.pack_rans(symbols, tile, np.array(self.values, np.uint32), self.m)


def fit(counts: Counts, m: int) -> Frequencies:
    """The frequencies of sum 2^m, at least 1 for each symbol that occurs, at which the symbols take fewest bits.

    Starts from rounded shares; then the symbol that gains most takes a slot, or the one that loses least gives one,
    until the sum is right. The cost is convex in each frequency, so the first steps decide nothing wrongly.
    """
    total, slots = int(counts.sum()), 1 << m
    used = np.flatnonzero(counts)
    if len(used) > slots:
        raise ValueError(f"{len(used)} symbols need more than 2^{m} slots")
    share = counts[used]
    values = np.maximum((2 * share * slots + total) // (2 * total), 1)
    while (missing := slots - int(values.sum())) != 0:
        if missing > 0:
            values[int(np.argmax(share * (log2(values + 1) - log2(values))))] += 1
        else:
            loss = share * (log2(values) - log2(np.maximum(values - 1, 1)))
            loss[values == 1] = np.iinfo(np.int64).max
            values[int(np.argmin(loss))] -= 1
    out = np.zeros(int(used[-1]) + 1, np.int64)
    out[used] = values
    return Frequencies(m, tuple(out.tolist()))


def best(counts: Counts, most: int = MOST) -> Frequencies:
    """Of the tables of up to 2^most slots the one with which a tensor is shortest, with no more slots than pay."""
    tables = [fit(counts, m) for m in range(FEWEST, most + 1) if np.count_nonzero(counts) <= 1 << m]
    costs = [8 * len(table.serialize()) + table.bits(counts) for table in tables]
    chosen = 0
    for i in range(1, len(tables)):
        if costs[i] < costs[chosen] * (1 - WORTH * (i - chosen)):
            chosen = i
    return tables[chosen]

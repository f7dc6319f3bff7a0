"""Code tables: which symbols have codes, how long these are, and what the table costs (docs/format.md, section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from neuralcodec import _native

Counts: TypeAlias = npt.NDArray[np.int64]
"""How often each byte occurs, shape [256]."""

LONGEST = 15
"""Longest code in bits."""

FEW_SYMBOLS = 1 << 15
"""Below so many symbols a byte in the table may matter more than the lengths of rare codes."""

ABSENT = 255
"""Stands for the length of a code that is not there."""

ZIGZAG: npt.NDArray[np.uint8] = np.array(
    [(r // 2 if r % 2 == 0 else -(r + 1) // 2) & 255 for r in range(256)], dtype=np.uint8
)
"""Byte of each rank of a table that lists no symbols: 0, -1, 1, -2, 2 … -128 in two's complement."""


@dataclass(frozen=True, slots=True)
class Table:
    """A canonical prefix code.

    Attributes:
        symbols: the bytes that have codes, in order of rank.
        lengths: lengths of their codes in bits, ascending; a single symbol has a code of 0 bits.
        listed: whether the table must list its symbols; else they are the first of :data:`ZIGZAG`.
        pairs: a symbol stands for two levels.
        zeros: the byte −128 stands for two levels 0.
        ranks: the symbols are 0, 1, 2, … in order of rank; for indices.
    """

    symbols: bytes
    lengths: bytes
    listed: bool
    pairs: bool = False
    zeros: bool = False
    ranks: bool = False

    @property
    def constant(self) -> bool:
        """Whether there is but one symbol, whose code has no bits."""
        return len(self.symbols) == 1

    def arrays(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Symbols and lengths as arrays, uint8."""
        return np.frombuffer(self.symbols, np.uint8), np.frombuffer(self.lengths, np.uint8)

    def by_symbol(self) -> npt.NDArray[np.int64]:
        """Length of the code of each byte, shape [256], int64; :data:`ABSENT` where there is none."""
        out = np.full(256, ABSENT, np.int64)
        symbols, lengths = self.arrays()
        out[symbols] = lengths
        return out

    def bits(self, counts: Counts) -> int:
        """Bits of all codes of symbols that occur ``counts`` times; all that do must have a code."""
        return int(counts @ self.by_symbol())

    def serialize(self) -> bytes:
        """The table as it stands in a stream."""
        flags = self.listed | self.pairs << 1 | self.zeros << 2 | self.ranks << 3
        least, most = self.lengths[0], self.lengths[-1]
        counts = bytes(_byte(self.lengths.count(length)) for length in range(least, most + 1))
        return bytes((least | most << 4, flags)) + counts + (self.symbols if self.listed else b"")

    def size(self) -> int:
        """Bytes of :meth:`serialize`."""
        least, most = self.lengths[0], self.lengths[-1]
        return 2 + most - least + 1 + (len(self.symbols) if self.listed else 0)


def _byte(count: int) -> int:
    # Of 256 codes of one length, 8 bits, the count has no byte: build() never makes that table.
    assert count < 256
    return count


def listed(counts: Counts, limit: int = LONGEST, *, pairs: bool = False, zeros: bool = False) -> Table:
    """The best table that lists its symbols, for ``counts`` of which at least one is not 0."""
    lengths = _native.code_lengths(counts, limit)
    used = np.flatnonzero(counts)
    order = np.lexsort((used, lengths[used]))
    symbols = used[order].astype(np.uint8)
    return Table(symbols.tobytes(), lengths[symbols].tobytes(), listed=True, pairs=pairs, zeros=zeros)


def zigzag(counts: Counts, limit: int = LONGEST) -> Table:
    """The best table without a list: symbols 0, -1, 1, -2 … up to the last that occurs, codes never shorter."""
    ranked = counts[ZIGZAG]
    ranks = int(np.flatnonzero(ranked)[-1]) + 1
    lengths = _native.monotone_code_lengths(np.ascontiguousarray(ranked[:ranks]), limit)
    return Table(ZIGZAG[:ranks].tobytes(), lengths.tobytes(), listed=False)


def candidates(counts: Counts, *, pairs: bool = False, zeros: bool = False) -> list[tuple[int, Table]]:
    """Tables worth a try for symbols that occur ``counts`` times, each with the bits of table and codes; best first."""
    tables = [listed(counts, pairs=pairs, zeros=zeros)]
    if not pairs and not zeros:
        tables.append(zigzag(counts))
    if int(counts.sum()) < FEW_SYMBOLS:
        # Each length that the code does without saves the table a byte.
        for table in list(tables):
            fewest = max((len(table.symbols) - 1).bit_length(), 1)
            for limit in range(fewest, table.lengths[-1]):
                tables.append(
                    zigzag(counts, limit) if not table.listed else listed(counts, limit, pairs=pairs, zeros=zeros)
                )
    costs = [(8 * table.size() + table.bits(counts), i) for i, table in enumerate(tables) if _fits(table)]
    return [(cost, tables[i]) for cost, i in sorted(costs)]


def _fits(table: Table) -> bool:
    return len(set(table.lengths)) > 1 or len(table.lengths) < 256


def best(counts: Counts, *, pairs: bool = False, zeros: bool = False) -> tuple[int, Table] | None:
    """The first of :func:`candidates`; None in the one case where there is none, 256 codes of equal length."""
    found = candidates(counts, pairs=pairs, zeros=zeros)
    return found[0] if found else None

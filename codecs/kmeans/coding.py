"""Indices to bytes: at fixed width, with a prefix code, or with rANS; whichever is shorter where that is left open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.huffman.tables import FEW_SYMBOLS, LONGEST, Table
from neuralcodec.codecs.kmeans import frequencies

Coding = Literal["auto", "fixed", "huffman", "rans"]

FIXED, PREFIX, RANS = 0, 1, 2
"""Numbers in the stream."""

Indices = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """Coded indices.

    Attributes:
        coding: its number in the stream.
        data: what follows codebook and scales: table, tile index, data.
        order: centroids in the order in which the indices count them, as places in the codebook that was given. With
            fixed width there may be more of them, to make their number a power of two.
    """

    coding: int
    data: bytes
    order: npt.NDArray[np.int64]


def encode(
    indices: Indices, centroids: int, tile: int, coding: Coding, table_bits: int = 10, *, in_order: bool = False
) -> Coded:
    """Codes indices.

    Args:
        indices: shape [rows, cols], below ``centroids``.
        centroids: size of the codebook.
        tile: tile length T.
        coding: how; "auto" takes the shortest.
        table_bits: log2 of the most slots of a frequency table.
        in_order: the codebook stays as it is, because others have it, too.

    Raises:
        ValueError: indices of fixed width into a codebook that must stay and has no power of two centroids.
    """
    counts = _native.histogram(indices.reshape(-1))[:centroids]
    found: list[Coded | None] = []
    if coding in {"auto", "fixed"}:
        found.append(_fixed(indices, counts))
    if coding in {"auto", "huffman"}:
        found.append(_prefix_in_order(indices, counts, tile) if in_order else _prefix(indices, counts, tile))
    if coding in {"auto", "rans"}:
        found.append(_rans(indices, counts, tile, table_bits))
    # 256 indices that all occur equally often have no prefix code that a table can say; they need none.
    possible = [each for each in found if each is not None] or [_fixed(indices, counts)]
    if in_order and any(len(each.order) != centroids for each in possible):
        raise ValueError("a shared codebook for indices of fixed width has 2, 4, 8, ... centroids")
    return min(possible, key=lambda each: len(each.data))


def _fixed(indices: Indices, counts: frequencies.Counts) -> Coded:
    width = (len(counts) - 1).bit_length()
    order = np.minimum(np.arange(1 << width), len(counts) - 1)
    if width == 0:
        return Coded(FIXED, b"", order)
    data = indices.tobytes() if width == 8 else _native.pack_bits(indices.reshape(-1).astype(np.uint32), width)
    return Coded(FIXED, data, order)


def _prefix(indices: Indices, counts: frequencies.Counts, tile: int) -> Coded | None:
    """The most frequent index gets rank 0. None where all 256 codes would have 8 bits, which a table cannot say."""
    order = np.argsort(-counts, kind="stable")
    place = np.zeros(256, np.uint8)
    place[order] = np.arange(len(order))
    used = int(np.count_nonzero(counts))
    ranked = np.zeros(256, np.int64)
    ranked[:used] = counts[order[:used]]
    data = _codes(
        place[indices], tile, [_native.code_lengths(ranked, limit)[:used] for limit in _limits(indices, used)]
    )
    return None if data is None else Coded(PREFIX, data, order)


def _prefix_in_order(indices: Indices, counts: frequencies.Counts, tile: int) -> Coded | None:
    """The same with rank 0 for index 0 and so on, which costs where indices do not descend in frequency."""
    used = int(np.flatnonzero(counts)[-1]) + 1
    ranked = np.ascontiguousarray(counts[:used])
    data = _codes(indices, tile, [_native.monotone_code_lengths(ranked, limit) for limit in _limits(indices, used)])
    return None if data is None else Coded(PREFIX, data, np.arange(len(counts)))


def _limits(indices: Indices, used: int) -> range:
    """Lengths of the longest code that are worth a try: each that a small tensor does without saves a byte."""
    fewest = max((used - 1).bit_length(), 1)
    return range(fewest if indices.size < FEW_SYMBOLS else LONGEST, LONGEST + 1)


def _codes(ranks: Indices, tile: int, lengths: Sequence[npt.NDArray[np.uint8]]) -> bytes | None:
    """Table, tile index and data with the best of some code lengths by rank."""
    counts = _native.histogram(ranks.reshape(-1))
    tables = {of.tobytes(): Table(bytes(range(len(of))), of.tobytes(), listed=False, ranks=True) for of in lengths}
    possible = [t for t in tables.values() if len(t.symbols) < 256 or t.lengths[0] != t.lengths[-1]]
    if not possible:
        return None
    table = min(possible, key=lambda t: (8 * t.size() + t.bits(counts), t.lengths))
    if table.constant:
        return table.serialize()
    packed, sizes = _native.pack_levels(ranks.view(np.int8), tile, *table.arrays())
    return table.serialize() + _native.tile_index(sizes) + packed


def _rans(indices: Indices, counts: frequencies.Counts, tile: int, table_bits: int) -> Coded:
    table = frequencies.best(counts, table_bits)
    data = table.serialize()
    if not table.constant:
        packed, sizes = table.pack(indices, tile)
        data += _native.tile_index(sizes) + packed
    return Coded(RANS, data, np.arange(len(counts)))

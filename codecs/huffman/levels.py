"""Lossy mode: levels, the scales of their rows, and the payload that holds both (docs/format.md, section 6.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.huffman.tables import Counts, Table, candidates
from neuralcodec.codecs.huffman.tiles import tile_count
from neuralcodec.varint import varint

MOST = 127
"""Largest level either side: -128 is left out, so that levels are symmetric and fit int8 kernels."""

PAIR_RANGE = (-8, 7)
"""Levels that a table of pairs can express."""

FEW_ZEROS = 0.2
"""With a smaller share of zeros, two in a row are too rare to deserve a code."""

Codes = npt.NDArray[np.uint8]
"""Scale code of each row, shape [rows]."""


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """A quantized tensor.

    Attributes:
        levels: int8, shape [rows, cols].
        step: scale at code 0, a number that float32 holds exactly.
        codes: scale codes of the rows; None if all rows have ``step``.
        tile: tile length T.
        may_pair: whether a code may stand for two levels.
    """

    levels: npt.NDArray[np.int8]
    step: float
    codes: Codes | None
    tile: int
    may_pair: bool = True

    def counts(self) -> Counts:
        """How often each level occurs, by its byte."""
        return _native.histogram(self.levels.view(np.uint8))

    def pair_counts(self) -> Counts | None:
        """How often each pair occurs; None if pairs are not wanted or a level is outside of :data:`PAIR_RANGE`."""
        if not self.may_pair or self.levels.min() < PAIR_RANGE[0] or self.levels.max() > PAIR_RANGE[1]:
            return None
        return _native.pair_histogram(self.levels, self.tile)

    def zeros_counts(self) -> Counts | None:
        """How often each symbol occurs where two levels 0 are one; None where there are too few to gain by it."""
        counts = self.counts()
        if counts[0] < FEW_ZEROS * self.levels.size:
            return None
        return _native.zeros_histogram(self.levels, self.tile)

    def scales(self) -> npt.NDArray[np.float64]:
        """Scale of each row, shape [rows]."""
        return row_scales(self.step, self.codes, len(self.levels))

    def tiles(self) -> int:
        """Number of tiles."""
        rows, cols = self.levels.shape
        return tile_count(rows, cols, self.tile)

    def payload(self, table: Table, shared: int | None = None) -> bytes:
        """The payload with this table, or with the shared object of index ``shared``, which holds this table."""
        mode = (shared is not None) << 2 | (self.codes is not None) << 3
        parts = [bytes([mode]), varint(self.tile), struct.pack("<f", self.step)]
        if self.codes is not None:
            parts.append(pack_codes(self.codes))
        parts.append(table.serialize() if shared is None else varint(shared))
        if not table.constant:
            data, sizes = _native.pack_levels(self.levels, self.tile, *table.arrays(), table.pairs, table.zeros)
            parts += [_native.tile_index(sizes), data]
        return b"".join(parts)

    def encode(self) -> bytes:
        """The shortest payload with a table of its own."""
        found = candidates(self.counts())
        pairs = self.pair_counts()
        if pairs is not None:
            found += candidates(pairs, pairs=True)
        zeros = self.zeros_counts()
        if zeros is not None:
            found += candidates(zeros, zeros=True)
        # A cost leaves out the index and what fills up the last byte of a tile, 0 to 7 bits each. Where that can
        # decide, the bytes are counted.
        margin = 8 * self.tiles() + 64
        least = min(cost for cost, _ in found)
        close: list[Table] = []
        for kind in ((False, False), (True, False), (False, True)):
            of_kind = [(c, table) for c, table in found if (table.pairs, table.zeros) == kind and c <= least + margin]
            close += [table for _, table in sorted(of_kind, key=lambda item: item[0])[:2]]
        return min((self.payload(table) for table in close), key=len)


def row_scales(step: float, codes: Codes | None, rows: int) -> npt.NDArray[np.float64]:
    """The scale of each row, shape [rows], exactly as decoders compute it in float32."""
    if codes is None:
        return np.full(rows, step)
    table = np.array([_native.row_scale(step, code) for code in range(int(codes.max()) + 1)])
    scales: npt.NDArray[np.float64] = table[codes]
    return scales


def pack_codes(codes: Codes) -> bytes:
    """Scale codes as they stand in a stream: their width, then the bit string."""
    width = max(int(codes.max()).bit_length(), 1)
    return bytes([width]) + _native.pack_bits(codes.astype(np.uint32), width)


def fit(weights: npt.NDArray[np.float32], most: int, per_row: bool) -> tuple[float, Codes | None]:
    """The step, and scale codes of the rows, at which levels up to ``most`` lose least in squared error.

    Args:
        weights: float32, shape [rows, cols], finite.
        most: largest level.
        per_row: each row gets a scale of its own; else one is for all.
    """
    if not per_row:
        return _native.fit_step(weights, most), None
    largest, _, _ = _native.scan(weights)
    step = float(np.float32(largest) / np.float32(most))
    if not step > 0:  # zeros, or so small that the quotient underflows
        return _native.fit_step(weights, most), None
    codes = _native.fit_rows(weights, most, step)
    finest = int(codes.min())
    return _narrowed(_native.row_scale(step, finest), codes - np.uint8(finest))


def fit_above(weights: npt.NDArray[np.float32], step: float, per_row: bool) -> tuple[float, Codes | None]:
    """As :func:`fit`, for a step that is given: coarser only where levels up to :data:`MOST` would not reach.

    Without row scales the whole tensor becomes coarser when that loses less than clipping; with them only the
    rows that need it.
    """
    if not per_row:
        return _native.fit_step(weights, MOST, step), None
    largest, _, _ = _native.scan(weights)
    octaves, base = 0, step
    while base * MOST < largest:  # exact: float64 holds 7 + 24 bits
        octaves, base = octaves + 1, base * 2
    if not octaves:
        return step, None
    # Code 8·octaves is the step itself, exactly: a power of two takes off what a power of two put on. Rows that would
    # need more than 32 octaves below the coarsest get a step that is fine enough all the same.
    codes = _native.fit_rows(weights, MOST, base, min(8 * octaves, 255))
    unused = int(codes.min()) // 8
    return _narrowed(_native.row_scale(base, 8 * unused), codes - np.uint8(8 * unused))


def _narrowed(step: float, codes: Codes) -> tuple[float, Codes | None]:
    return (step, codes) if codes.any() else (step, None)

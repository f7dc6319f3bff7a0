"""Section 10: indices into codebooks."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuralcodec.reference.floats import f32_from_bits, round_f32, weight_bytes
from neuralcodec.reference.frequencies import Frequencies, decode_rans, read_frequencies
from neuralcodec.reference.huffman import read_scale_codes, read_step, scale_of
from neuralcodec.reference.primitives import Reader, bit, ceil_div
from neuralcodec.reference.registries import CODE_TABLE, CODEBOOK, FREQUENCY_TABLE, ElementType
from neuralcodec.reference.tables import Table, read_symbols, read_table
from neuralcodec.reference.tiles import Tiling, read_index_and_data, tiling

if TYPE_CHECKING:
    from neuralcodec.reference.stream import Tensor

FIXED, PREFIX, RANS = 0, 1, 2
"""Codings of the indices."""
SHARED_TABLE, ROW_SCALES, SHARED_BOOK, GROUPS, STEP = 4, 8, 16, 32, 64
"""Bits of the mode."""
I8 = 3
"""Type of centroids that are levels."""
CENTROID_BYTES = {0: 4, 1: 2, 2: 2, I8: 1}


@dataclass
class Indices:
    """An opened tensor of indices.

    Attributes:
        dtype: of the weights.
        tiles: how the matrix is cut.
        rows_of_a_group: rows that share a codebook.
        type: of the centroids.
        books: the centroids of each group, as floats; levels for i8.
        step: None where there is none.
        scale_codes: k of each row, if there are row scales.
        table: the code; None with fixed width.
        data: of each tile; with fixed width the whole; None with a constant table.
    """

    dtype: ElementType
    tiles: Tiling
    rows_of_a_group: int
    type: int
    books: list[list[float]]
    step: float | None
    scale_codes: list[int] | None
    table: Table | Frequencies | None
    data: list[Reader] | None

    @property
    def number_of_tiles(self) -> int:
        """N."""
        return self.tiles.count

    @property
    def has_levels(self) -> bool:
        """Whether centroids are levels."""
        return self.type == I8

    def row_scale(self, row: int) -> float:
        """What multiplies the centroids of a row."""
        if not 0 <= row < self.tiles.rows:
            raise IndexError(f"row {row} of {self.tiles.rows}")
        if self.step is None:
            return 1.0
        if self.scale_codes is None:
            return self.step
        return scale_of(self.step, self.scale_codes[row])

    def tile_indices(self, i: int) -> list[int]:
        """Indices of tile ``i``."""
        tile = self.tiles[i]
        if self.table is None:
            width = (len(self.books[0]) - 1).bit_length()
            string = b"" if self.data is None else self.data[0].data
            first = tile.start * width
            return [sum(bit(string, first + e * width + j) << j for j in range(width)) for e in range(tile.size)]
        if isinstance(self.table, Frequencies):
            if self.data is None:
                return [self.table.frequencies.index(2**self.table.m)] * tile.size
            return decode_rans(self.data[i], self.table, tile.size)
        if self.data is None:
            return [self.table.symbols[0, 0]] * tile.size
        data = Reader(self.data[i].data, self.data[i].origin, self.data[i].tensor)
        symbols = read_symbols(data, self.table, tile.size)
        if data.left:
            raise data.corrupt(f"{data.left} bytes follow the last code of a tile")
        return symbols

    def _centroids(self, i: int) -> list[tuple[float, int]]:
        """Centroid and row of each element of tile ``i``."""
        tile = self.tiles[i]
        rows = [tile.row + j // tile.columns for j in range(tile.size)]
        return [
            (self.books[row // self.rows_of_a_group][index], row)
            for index, row in zip(self.tile_indices(i), rows, strict=True)
        ]

    def tile_levels(self, i: int) -> list[int]:
        """Levels of tile ``i``, where centroids are levels."""
        return [int(centroid) for centroid, _ in self._centroids(i)]

    def tile_bytes(self, i: int) -> bytes:
        """Weights of tile ``i``, in the tensor's dtype."""
        tile = self.tiles[i]
        scales = {row: self.row_scale(row) for row in range(tile.row, tile.row + tile.rows)}
        weights = [
            centroid if self.step is None else round_f32(centroid * scales[row]) for centroid, row in self._centroids(i)
        ]
        return b"".join(weight_bytes(weight, self.dtype.name) for weight in weights)


def open_kmeans(tensor: Tensor, payload: Reader) -> Indices:
    """Reads the header of a payload, its tile index, and cuts its data in tiles."""
    mode = payload.u8("mode")
    coding = mode & 3
    if mode >> 7 or coding > RANS:
        raise payload.unsupported(f"mode {mode:#04x}")
    if mode & SHARED_TABLE and coding == FIXED:
        raise payload.unsupported("a shared table for indices of fixed width")
    if mode & SHARED_BOOK and mode & GROUPS:
        raise payload.unsupported("a shared codebook for groups of rows")
    if mode & ROW_SCALES and not mode & STEP:
        raise payload.unsupported("row scales without a step")
    if not tensor.dtype.rotated:
        raise payload.corrupt(f"centroids for dtype {tensor.dtype}")
    tiles = tiling(payload, tensor.rows, tensor.columns, payload.varint("T"))
    rows_of_a_group = tensor.rows
    if mode & GROUPS:
        rows_of_a_group = payload.varint("G")
        if not 1 <= rows_of_a_group < tensor.rows:
            raise payload.corrupt(f"{rows_of_a_group} of {tensor.rows} rows in a group")
    if mode & SHARED_BOOK:
        shared = tensor.shared_object(payload, CODEBOOK)
        kind, books = _read_books(shared, 1)
        if shared.left:
            raise shared.corrupt(f"{shared.left} bytes follow the shared codebook")
    else:
        kind, books = _read_books(payload, ceil_div(tensor.rows, rows_of_a_group))
    if kind == I8 and not mode & STEP:
        raise payload.unsupported("levels without a step")
    step = read_step(payload) if mode & STEP else None
    scale_codes = read_scale_codes(payload, tensor.rows) if mode & ROW_SCALES else None
    opened = Indices(tensor.dtype, tiles, rows_of_a_group, kind, books, step, scale_codes, None, None)
    if coding == FIXED:
        _open_fixed(tensor, payload, opened)
    else:
        _open_coded(tensor, payload, opened, mode)
    return opened


def _read_books(reader: Reader, count: int) -> tuple[int, list[list[float]]]:
    kind = reader.u8("type of centroids")
    size = reader.u8("number of centroids") + 1
    if kind not in CENTROID_BYTES:
        raise reader.unsupported(f"centroids of type {kind}")
    data = reader.take(count * size * CENTROID_BYTES[kind], "codebook")
    if kind == 2:  # the upper half of an f32
        values = [f32_from_bits(bits << 16) for bits in struct.unpack(f"<{count * size}H", data)]
    else:
        values = [float(v) for v in struct.unpack(f"<{count * size}{'fe?b'[kind]}", data)]
    return kind, [values[i * size : (i + 1) * size] for i in range(count)]


def _open_fixed(tensor: Tensor, payload: Reader, opened: Indices) -> None:
    size = len(opened.books[0])
    width = (size - 1).bit_length()
    if size != 2**width:
        raise payload.corrupt(f"{size} centroids for indices of fixed width")
    bits = tensor.elements * width
    if payload.left != ceil_div(bits, 8):
        raise payload.corrupt(f"{payload.left} bytes for {tensor.elements} indices of {width} bits")
    opened.data = [payload.rest()]
    string = opened.data[0].data
    if any(bit(string, i) for i in range(bits, 8 * len(string))):
        raise payload.corrupt("unused bits after the last index are not zero")


def _open_coded(tensor: Tensor, payload: Reader, opened: Indices, mode: int) -> None:
    prefix = mode & 3 == PREFIX
    source = payload
    if mode & SHARED_TABLE:
        source = tensor.shared_object(payload, CODE_TABLE if prefix else FREQUENCY_TABLE)
    table: Table | Frequencies
    if prefix:
        table = read_table(source)
        if not table.ranks:
            raise source.unsupported("a code table without ranks")
        symbols = len(table.symbols)
    else:
        table = read_frequencies(source)
        symbols = len(table.frequencies)
    if symbols > len(opened.books[0]):
        raise source.corrupt(f"{symbols} symbols for {len(opened.books[0])} centroids")
    if source is not payload and source.left:
        raise source.corrupt(f"{source.left} bytes follow the shared table")
    opened.table = table
    if table.constant:
        if payload.left:
            raise payload.corrupt(f"{payload.left} bytes follow a constant table")
        return
    opened.data = read_index_and_data(payload, opened.tiles.count)
    if isinstance(table, Table) and 8 * sum(tile.left for tile in opened.data) < tensor.elements * table.shortest:
        raise payload.corrupt(f"the data are too small for {tensor.elements} codes")

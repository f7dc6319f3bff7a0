"""Section 4: a tensor as a matrix, the matrix cut in tiles, and the tile index."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from neuralcodec.reference.primitives import Reader, ceil_div

CHECKPOINT = 16
"""The index gives the offset of each tile whose number is a multiple of this."""

MOST_BASE = 1 << 20
"""Of the sizes of tiles, in bytes."""


def rows_and_columns(shape: Sequence[int]) -> tuple[int, int]:
    """The matrix that a tensor is looked at as."""
    if len(shape) == 0:
        return 1, 1
    if len(shape) == 1:
        return 1, shape[0]
    return shape[0], math.prod(shape[1:])


@dataclass(frozen=True)
class Tile:
    """A part of the matrix: ``rows`` × ``columns`` elements from (``row``, ``column``) on.

    Its elements are contiguous: ``size`` of them, from element ``start`` of the tensor on.
    """

    row: int
    column: int
    rows: int
    columns: int
    start: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.rows * self.columns


@dataclass(frozen=True)
class Tiling:
    """How a matrix of at least one element is cut; ``length`` is T."""

    rows: int
    columns: int
    length: int

    @property
    def rows_of_a_tile(self) -> int:
        """R, where tiles are runs of whole rows; else 0."""
        return self.length // self.columns

    @property
    def tiles_of_a_row(self) -> int:
        """B, where tiles are runs of columns; else 1."""
        return ceil_div(self.columns, self.length)

    @property
    def count(self) -> int:
        """Number of tiles, N."""
        if self.columns <= self.length:
            return ceil_div(self.rows, self.rows_of_a_tile)
        return self.rows * self.tiles_of_a_row

    def __getitem__(self, i: int) -> Tile:
        """Tile ``i``."""
        if not 0 <= i < self.count:
            raise IndexError(f"tile {i} of {self.count}")
        if self.columns <= self.length:
            row, column = i * self.rows_of_a_tile, 0
            rows, columns = min(self.rows_of_a_tile, self.rows - row), self.columns
        else:
            row, column = i // self.tiles_of_a_row, i % self.tiles_of_a_row * self.length
            rows, columns = 1, min(self.length, self.columns - column)
        return Tile(row, column, rows, columns, row * self.columns + column)


def tiling(reader: Reader, rows: int, columns: int, length: int) -> Tiling:
    """The tiling for a tile length that was just read."""
    if not 1 <= length <= 65_535:
        raise reader.corrupt(f"a tile length of {length}")
    tiles = Tiling(rows, columns, length)
    if tiles.count >= 2**32:
        raise reader.corrupt(f"{tiles.count} tiles")
    return tiles


def read_index_and_data(reader: Reader, count: int) -> list[Reader]:
    """Section 4.1: reads the index, if there is one, and the data up to the end; the data of each tile."""
    if count == 1:
        return [reader.rest()]
    least = reader.varint("least size of a tile")
    width = reader.u8("W")
    if width >> 5:
        raise reader.unsupported("reserved bits of W")
    if least > MOST_BASE:
        raise reader.corrupt(f"a base size of {least} bytes")
    if width > 24:
        raise reader.corrupt(f"W is {width}")
    checkpoints = []
    if count > CHECKPOINT:
        bytes_of_one = 8 if reader.left >= 2**32 else 4
        number = ceil_div(count, CHECKPOINT) - 1
        table = reader.take(number * bytes_of_one, "offsets of tiles")
        checkpoints = [
            int.from_bytes(table[k * bytes_of_one : (k + 1) * bytes_of_one], "little") for k in range(number)
        ]
    sizes = [least + field for field in reader.fields(count, width, "sizes of tiles")]
    if sum(sizes) != reader.left:
        raise reader.corrupt(f"the tiles have {sum(sizes)} bytes, the data {reader.left}")
    data = reader.rest()
    tiles = []
    for i, size in enumerate(sizes):
        if i and i % CHECKPOINT == 0 and checkpoints[i // CHECKPOINT - 1] != data.position:
            raise data.corrupt(f"tile {i} is at {data.position} in the data, not where the index says")
        start = data.origin + data.position
        tiles.append(Reader(data.take(size, "tile"), start, reader.tensor))
    return tiles

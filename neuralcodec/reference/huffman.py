"""Section 6: levels (6.1) and lossless planes (6.2)."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuralcodec.reference.floats import f32_from_bits, round_f32, weight_bytes
from neuralcodec.reference.primitives import Reader, ceil_div
from neuralcodec.reference.registries import CODE_TABLE, ElementType
from neuralcodec.reference.tables import Table, read_symbols, read_table, signed
from neuralcodec.reference.tiles import Tiling, read_index_and_data, tiling

if TYPE_CHECKING:
    from neuralcodec.reference.stream import Tensor

LEVELS, LOSSLESS = 0, 1
SHARED_TABLE, ROW_SCALES = 4, 8
"""Bits of the mode of levels."""
STORED, CODED, CODED_SHARED = 0, 1, 2
"""Kinds of planes."""

EIGHTHS = (0x3F800000, 0x3F6AC0C7, 0x3F5744FD, 0x3F45672A, 0x3F3504F3, 0x3F25FED7, 0x3F1837F0, 0x3F0B95C2)
"""P[j], the f32 nearest to 2^(−j/8)."""


def open_huffman(tensor: Tensor, payload: Reader) -> Levels | Lossless:
    """Reads the header of a payload, its tile index, and cuts its data in tiles."""
    mode = payload.u8("mode")
    if mode & 3 == LEVELS:
        return _open_levels(tensor, payload, mode)
    if mode & 3 == LOSSLESS:
        return _open_lossless(tensor, payload, mode)
    raise payload.unsupported(f"mode {mode & 3}")


def _read_shared_table(tensor: Tensor, payload: Reader) -> Table:
    reader = tensor.shared_object(payload, CODE_TABLE)
    table = _without_ranks(reader)
    if reader.left:
        raise reader.corrupt(f"{reader.left} bytes follow the shared table")
    return table


def _without_ranks(reader: Reader) -> Table:
    table = read_table(reader)
    if table.ranks:
        raise reader.unsupported("a table with ranks, which is for indices")
    return table


# 6.1 Levels


@dataclass
class Levels:
    """An opened tensor of levels.

    Attributes:
        dtype: of the weights.
        tiles: how the matrix is cut.
        step: scale of all rows, or factor of their scales.
        scale_codes: k of each row, if there are row scales.
        table: the code.
        data: of each tile; None with a constant code.
    """

    dtype: ElementType
    tiles: Tiling
    step: float
    scale_codes: list[int] | None
    table: Table
    data: list[Reader] | None

    @property
    def number_of_tiles(self) -> int:
        """N."""
        return self.tiles.count

    def row_scale(self, row: int) -> float:
        """s, which multiplies the levels of a row."""
        if not 0 <= row < self.tiles.rows:
            raise IndexError(f"row {row} of {self.tiles.rows}")
        if self.scale_codes is None:
            return self.step
        return scale_of(self.step, self.scale_codes[row])

    def tile_levels(self, i: int) -> list[int]:
        """Levels of tile ``i``."""
        size = self.tiles[i].size
        data = None if self.data is None else self.data[i]
        [symbols] = _tile_symbols(data, [self.table], ceil_div(size, 2 if self.table.pairs else 1))
        if not self.table.pairs:
            return [signed(symbol) for symbol in symbols]
        return [signed(half, 4) for symbol in symbols for half in (symbol & 15, symbol >> 4)][:size]

    def tile_bytes(self, i: int) -> bytes:
        """Weights of tile ``i``, in the tensor's dtype."""
        tile = self.tiles[i]
        scales = [self.row_scale(tile.row + r) for r in range(tile.rows)]
        return b"".join(
            weight_bytes(round_f32(level * scales[j // tile.columns]), self.dtype.name)
            for j, level in enumerate(self.tile_levels(i))
        )


def _open_levels(tensor: Tensor, payload: Reader, mode: int) -> Levels:
    if mode >> 4:
        raise payload.unsupported("reserved bits of the mode")
    if not tensor.dtype.rotated:
        raise payload.corrupt(f"levels of dtype {tensor.dtype}")
    tiles = tiling(payload, tensor.rows, tensor.columns, payload.varint("T"))
    step = read_step(payload)
    scale_codes = read_scale_codes(payload, tensor.rows) if mode & ROW_SCALES else None
    table = _read_shared_table(tensor, payload) if mode & SHARED_TABLE else _without_ranks(payload)
    if table.constant:
        if payload.left:
            raise payload.corrupt(f"{payload.left} bytes follow the table of a constant code")
        return Levels(tensor.dtype, tiles, step, scale_codes, table, None)
    data = read_index_and_data(payload, tiles.count)
    symbols = ceil_div(tensor.elements, 2 if table.pairs or table.zeros else 1)
    if 8 * sum(tile.left for tile in data) < symbols * table.shortest:
        raise payload.corrupt(f"the data are too small for {symbols} codes")
    return Levels(tensor.dtype, tiles, step, scale_codes, table, data)


def read_step(payload: Reader) -> float:
    """The step, a positive number."""
    step: float = struct.unpack("<f", payload.take(4, "step"))[0]
    if not (math.isfinite(step) and step > 0):
        raise payload.corrupt(f"a step of {step}")
    return step


def scale_of(step: float, k: int) -> float:
    """The scale that a code stands for."""
    return round_f32(round_f32(step * f32_from_bits(EIGHTHS[k % 8])) * 2.0 ** -(k // 8))


def read_scale_codes(payload: Reader, rows: int) -> list[int]:
    """The scale code of each row."""
    width = payload.u8("width of scale codes")
    if width >> 4:
        raise payload.unsupported("reserved bits of the width of scale codes")
    if not 1 <= width <= 8:
        raise payload.corrupt(f"scale codes of {width} bits")
    return payload.fields(rows, width, "scale codes")


# 6.2 Lossless


@dataclass
class Lossless:
    """An opened tensor of coded element bytes.

    Attributes:
        dtype: of the elements.
        tiles: how the matrix is cut.
        planes: the code of each plane; None for one that is stored.
        data: of each tile; None if all planes are constant.
    """

    dtype: ElementType
    tiles: Tiling
    planes: list[Table | None]
    data: list[Reader] | None

    @property
    def number_of_tiles(self) -> int:
        """N."""
        return self.tiles.count

    def tile_bytes(self, i: int) -> bytes:
        """Element bytes of tile ``i``."""
        size = self.tiles[i].size
        planes = _tile_symbols(None if self.data is None else self.data[i], self.planes, size)
        elements = [int.from_bytes(column, "big") for column in zip(*planes, strict=True)]
        if self.dtype.rotated:
            bits = 8 * self.dtype.size
            elements = [element >> 1 | (element & 1) << (bits - 1) for element in elements]
        return b"".join(element.to_bytes(self.dtype.size, "little") for element in elements)


def _open_lossless(tensor: Tensor, payload: Reader, mode: int) -> Lossless:
    if mode >> 2:
        raise payload.unsupported("reserved bits of the mode")
    tiles = tiling(payload, tensor.rows, tensor.columns, payload.varint("T"))
    planes = [_read_plane(tensor, payload) for _ in range(tensor.dtype.size)]
    if all(plane is not None and plane.constant for plane in planes):
        if payload.left:
            raise payload.corrupt(f"{payload.left} bytes follow planes that are all constant")
        return Lossless(tensor.dtype, tiles, planes, None)
    data = read_index_and_data(payload, tiles.count)
    bits_of_an_element = sum(8 if plane is None else plane.shortest for plane in planes)
    if 8 * sum(tile.left for tile in data) < tensor.elements * bits_of_an_element:
        raise payload.corrupt(f"the data are too small for {tensor.elements} elements")
    return Lossless(tensor.dtype, tiles, planes, data)


def _read_plane(tensor: Tensor, payload: Reader) -> Table | None:
    kind = payload.u8("kind of a plane")
    if kind == STORED:
        return None
    if kind not in (CODED, CODED_SHARED):
        raise payload.unsupported(f"a plane of kind {kind}")
    table = _without_ranks(payload) if kind == CODED else _read_shared_table(tensor, payload)
    if table.pairs or table.zeros:
        raise payload.corrupt("a plane with a table of pairs or with zeros")
    return table


# Both


def _tile_symbols(data: Reader | None, tables: Sequence[Table | None], count: int) -> list[list[int]]:
    """Decodes a tile: ``count`` symbols of each table, or bytes where it is None; those that are stored come first."""
    tile = Reader(b"") if data is None else Reader(data.data, data.origin, data.tensor)
    stored = {p: list(tile.take(count, "stored plane")) for p, table in enumerate(tables) if table is None}
    coded = {p: read_symbols(tile, table, count) for p, table in enumerate(tables) if table is not None}
    if tile.left:
        raise tile.corrupt(f"{tile.left} bytes follow the last code of a tile")
    return [stored[p] if p in stored else coded[p] for p in range(len(tables))]

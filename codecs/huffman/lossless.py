"""Lossless mode: the bytes of the elements in planes, each stored or coded (docs/format.md, section 6.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.huffman.tables import Counts, Table, best
from neuralcodec.codecs.huffman.tiles import BYTES_TILE, MOST, tile_count, tile_length
from neuralcodec.tensor import Tensor
from neuralcodec.varint import varint

STORED, CODED, SHARED = 0, 1, 2


def split(tensor: Tensor) -> npt.NDArray[np.uint8]:
    """Planes of a tensor, the most significant first; shape [itemsize, size], uint8."""
    dtype = tensor.spec.dtype
    return _native.split_planes(tensor.data, dtype.itemsize, dtype.rotated)


def count(planes: npt.NDArray[np.uint8]) -> list[Counts]:
    """How often each byte occurs in each plane."""
    return [_native.histogram(plane) for plane in planes]


def encode(tensor: Tensor, at_most: int | None, shared: Sequence[tuple[int, Table] | None] = ()) -> bytes:
    """The payload of a tensor.

    Args:
        tensor: at least one element.
        at_most: elements in a tile, or None.
        shared: for each plane the index of a shared table and the table itself, or None; empty for none at all.
    """
    rows, cols = tensor.spec.rows, tensor.spec.cols
    planes = split(tensor)
    tile = tile_length(rows, cols, at_most, BYTES_TILE)
    tiles = tile_count(rows, cols, tile)
    tables: list[Table | None] = []
    heads: list[bytes] = []
    for p, counts in enumerate(count(planes)):
        hint = shared[p] if shared else None
        if hint is not None:
            index, table = hint
            tables.append(table)
            heads.append(bytes([SHARED]) + varint(index))
            continue
        chosen = own_table(counts, tiles)
        tables.append(chosen)
        heads.append(bytes([STORED]) if chosen is None else bytes([CODED]) + chosen.serialize())
    if all(table is None for table in tables):
        # Nothing to gain: with few tiles the index is short, and the payload hardly longer than the elements.
        tile = tile_length(rows, cols, MOST)
    parts = [b"\x01", varint(tile), *heads]
    if any(table is None or not table.constant for table in tables):
        codes = [None if table is None else table.arrays() for table in tables]
        data, sizes = _native.pack_planes(planes, rows, cols, tile, codes)
        parts += [_native.tile_index(sizes), data]
    return b"".join(parts)


def own_table(counts: Counts, tiles: int) -> Table | None:
    """The table of a plane's own, or None where storing the plane is shorter."""
    found = best(counts)
    if found is None:
        return None
    bits, table = found
    # Half a byte a tile is lost on average where codes end; the fields of the index grow by some bits too.
    padding = 0 if table.constant else 12 * tiles
    return table if bits + padding < 8 * int(counts.sum()) else None

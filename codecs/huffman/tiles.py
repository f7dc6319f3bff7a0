"""How a tensor is cut, and what the cut costs (docs/format.md, section 4)."""

from __future__ import annotations

LEVELS_TILE = 2048
BYTES_TILE = 1024
LARGE_TILE = 4096
MANY_WEIGHTS = 1_000_000
MOST = 65_535


def tile_length(rows: int, cols: int, at_most: int | None, small: int = LEVELS_TILE) -> int:
    """The tile length T of a tensor: no more than ``at_most``, and such that tiles differ little in size.

    Tiles of equal size make a short index: 1,025 columns become 513 and 512, not 1,024 and 1.

    Args:
        rows: rows of the matrix, at least 1.
        cols: columns of the matrix, at least 1.
        at_most: weights in a tile; None for ``small`` in tensors of up to a million weights and 4,096 in larger ones.
        small: see there.
    """
    if at_most is None:
        at_most = small if rows * cols <= MANY_WEIGHTS else LARGE_TILE
    if cols > at_most:
        return _evenly(cols, at_most)
    return _evenly(rows, at_most // cols) * cols


def tile_count(rows: int, cols: int, tile: int) -> int:
    """Number of tiles of a matrix."""
    if cols > tile:
        return rows * -(-cols // tile)
    return -(-rows // (tile // cols))


def _evenly(n: int, at_most: int) -> int:
    pieces = -(-n // at_most)
    return -(-n // pieces)

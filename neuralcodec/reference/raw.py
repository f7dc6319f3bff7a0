"""Section 5: element bytes as they are, and tensors without elements, which all codecs leave alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuralcodec.reference.primitives import Reader
from neuralcodec.reference.tiles import Tiling, tiling

if TYPE_CHECKING:
    from neuralcodec.reference.stream import Tensor

TILE_LENGTH = 1024


@dataclass
class Empty:
    """An opened tensor without elements."""

    number_of_tiles = 0

    def tile_bytes(self, i: int) -> bytes:
        """There are no tiles: IndexError."""
        raise IndexError(f"tile {i} of 0")


@dataclass
class Raw:
    """An opened raw tensor."""

    tiles: Tiling
    element_size: int
    payload: bytes

    @classmethod
    def open(cls, tensor: Tensor, payload: Reader) -> Raw:
        """Checks the payload's size."""
        tiles = tiling(payload, tensor.rows, tensor.columns, TILE_LENGTH)
        if payload.left != tensor.elements * tensor.dtype.size:
            raise payload.corrupt(f"{payload.left} bytes for {tensor.elements} elements of {tensor.dtype}")
        return cls(tiles, tensor.dtype.size, payload.data)

    @property
    def number_of_tiles(self) -> int:
        """N."""
        return self.tiles.count

    def tile_bytes(self, i: int) -> bytes:
        """Element bytes of tile ``i``."""
        tile = self.tiles[i]
        return self.payload[tile.start * self.element_size : (tile.start + tile.size) * self.element_size]

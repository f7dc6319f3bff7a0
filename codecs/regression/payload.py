"""Payloads of codec 7, and the tensors they nest (docs/format.md, sections 13 and 13.1)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codec import Codec
from neuralcodec.codecs.huffman import Huffman
from neuralcodec.codecs.trellis import Trellis
from neuralcodec.dtypes import BY_NUMBER
from neuralcodec.tensor import Tensor, TensorSpec, from_float32
from neuralcodec.varint import varint

NUMBER = 7
ROWS, EXPRESSION, BASIS = 0, 1, 2
WIDE, RESIDUAL, REPLACE = 4, 8, 16
"""Bits of the mode."""

FINEST = 32_000
"""Most levels of the largest weight."""

F32 = BY_NUMBER[1]

Floats = npt.NDArray[np.float32]
Levels = npt.NDArray[np.int16]

Base = Literal["trellis", "huffman", "scalar"]
"""Codec of a nested tensor; "scalar" is codec trellis with one state and the nearest levels: 0 stays 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Nested:
    """A nested tensor.

    Attributes:
        number: its codec's.
        payload: its payload.
        levels: int16, shape [rows, cols].
        step: distance between levels.
        wide: whether levels have 16 bits.
    """

    number: int
    payload: bytes
    levels: Levels
    step: float
    wide: bool

    def serialize(self) -> bytes:
        """As it stands in a payload."""
        return bytes([self.number]) + varint(len(self.payload)) + self.payload


def base_codec(base: Base, step: float, tile: int | None) -> Codec:
    """What codes stored rows and residuals, with one scale and along the rows."""
    if base == "huffman":
        return Huffman(step=step, scale="tensor", tile=tile, shaping=False)
    if base == "scalar":
        return Trellis(states=1, rdo=0.0, reconstruction="error", step=step, scan="rows", tile=tile)
    return Trellis(step=step, finer=False, reconstruction="error", scan="rows", tile=tile)


def nest(weights: Floats, importance: Floats | None, step: float, base: Base, tile: int | None = None) -> Nested:
    """Codes weights as a nested tensor.

    Args:
        weights: shape [rows, cols], finite.
        importance: of the same shape, or None.
        step: distance between levels; the codec may have to take a larger one, as :attr:`Nested.step` says.
        base: the codec.
        tile: tile length T; None for the codec's own.
    """
    spec = TensorSpec("", F32, weights.shape)
    plain = from_float32(spec, weights)
    codec = base_codec(base, step, tile)
    payload = codec.encode(Tensor(spec, plain.data, importance))
    opened = _native.open_payload(payload, codec.number, F32.number, weights.shape, [])
    levels = opened.wide_levels().reshape(weights.shape)
    return Nested(codec.number, payload, levels, float(opened.scales()[0]), opened.wide)


def head(regressor: int, flags: int, tile: int, step: float, fraction: int = 0) -> bytes:
    """The fields before the regressor's parameters."""
    return bytes([regressor | flags]) + varint(tile) + struct.pack("<f", step) + bytes([fraction])


def decoded(payload: bytes, shape: tuple[int, int]) -> Floats:
    """What the C decoder makes of a payload, float32, shape [rows, cols]."""
    opened = _native.open_payload(payload, NUMBER, F32.number, shape, [])
    return opened.elements().view(np.float32).reshape(shape)


def pack_records(columns: Sequence[npt.NDArray[np.int64]], widths: Sequence[int]) -> bytes:
    """A bit string of records.

    Args:
        columns: a field of all records, each of the same length; negative ones in two's complement.
        widths: bits of each field.
    """
    bits = [(column[:, None] >> np.arange(width)) & 1 for column, width in zip(columns, widths, strict=True) if width]
    if not bits:
        return b""
    return np.packbits(np.concatenate(bits, axis=1).astype(np.uint8).reshape(-1), bitorder="little").tobytes()


def squared_error(weights: Floats, made: Floats, importance: Floats | None) -> float:
    """Σ importance · (weight − made)²."""
    if importance is None:
        return _native.error_stats(weights, np.ascontiguousarray(made))[1]
    root = np.sqrt(importance)
    return _native.error_stats(weights * root, made * root)[1]

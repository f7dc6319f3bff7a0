"""Levels and exact elements to payloads (docs/format.md, section 15)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.varint import varint

WIDE, COLUMNS, EXACT, ZEROS = 1, 2, 4, 32
"""Bits of the mode."""

TUNED = 64
"""Bit of the rates: a shared object changes the prior."""

KIND = 7
"""Of that object."""

MOST_MAGNITUDE = 2047
"""Largest magnitude that running magnitudes count."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast the model adapts.

    Attributes:
        mix: 0 to 3; each step halves what the weights of the mix learn from a bit.
        step: 0 to 3; each step doubles what the prediction of values learns from a level.
    """

    mix: int = 1
    step: int = 1

    @property
    def byte(self) -> int:
        """As the stream has it."""
        return self.mix | self.step << 2


def every_rates() -> Iterator[Rates]:
    """All of them, the usual ones first."""
    usual = Rates()
    yield usual
    for mix in range(4):
        for step in range(4):
            if (other := Rates(mix, step)) != usual:
                yield other


@dataclass(frozen=True, slots=True)
class Tuned:
    """A shared object that changes the prior (docs/format.md, section 15.5), and its index."""

    index: int
    data: bytes

    @property
    def nbytes(self) -> int:
        """What it takes in the file: its record and itself."""
        return 1 + len(varint(len(self.data))) + 4 + len(self.data)


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Levels on their way to a payload.

    Attributes:
        levels: int16, shape [rows, cols], in the order in which they are coded.
        tile: tile length T.
        states_log2: log2 of the trellis' states; 0 where any level may follow any other.
        kernel: columns after which places in the kernel repeat.
    """

    levels: npt.NDArray[np.int16]
    tile: int
    states_log2: int
    kernel: int

    def head(self, rates: Rates, tuned: Tuned | None = None) -> bytes:
        """The part of the header that says how levels are coded."""
        flags = 0 if tuned is None else TUNED
        fixed = [_native.generative_version, self.states_log2, rates.byte | flags, self.start]
        index = b"" if tuned is None else varint(tuned.index)
        return bytes(fixed) + varint(self.kernel) + index

    @property
    def start(self) -> int:
        """The byte of the header for the mean magnitude: four steps an octave of 32nds of a level."""
        unit = 1 if self.states_log2 else 2
        magnitudes = np.minimum(np.abs(self.levels.astype(np.int64)) * unit, MOST_MAGNITUDE)
        mean = max(int(magnitudes.sum()) * 32 // magnitudes.size, 1)
        bits = mean.bit_length()
        place: int = 2 * mean if bits < 3 else 4 * (bits - 1) + (mean >> (bits - 3) & 3)
        return place

    def data(self, rates: Rates, stored: npt.NDArray[np.uint8] | None = None, tuned: Tuned | None = None) -> bytes:
        """Tile index and tiles."""
        data, sizes = _native.generative_pack(
            self.levels,
            self.tile,
            self.states_log2,
            self.kernel,
            rates.byte,
            self.start,
            stored,
            None if tuned is None else tuned.data,
        )
        return _native.tile_index(sizes) + data


@dataclass(frozen=True, slots=True)
class Head:
    """What a payload of levels says: states of the trellis, tile length T, step, and whether the prior is tuned."""

    states: int
    tile: int
    step: float
    is_tuned: bool


def read_head(payload: bytes) -> Head:
    """The head of a payload of levels that the C decoder has accepted, without scales of rows and columns."""
    at, tile, shift = 1, 0, 0
    while True:
        byte = payload[at]
        tile |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            break
    (step,) = struct.unpack_from("<f", payload, at)
    if payload[0] & ZEROS:
        return Head(1, tile, step, False)
    return Head(1 << payload[at + 5], tile, step, bool(payload[at + 6] & TUNED))


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """A way to code a tensor's levels.

    Attributes:
        matrix: the levels.
        rates: how fast the model adapts.
        step: distance between levels.
        columns: whether the matrix is the transposed one.
    """

    matrix: Matrix
    rates: Rates
    step: float
    columns: bool

    def payload(self, tuned: Tuned | None = None) -> bytes:
        """The payload, with the prior as it is or a changed one."""
        return coded(self.matrix, self.rates, self.step, self.columns, tuned)


def coded(matrix: Matrix, rates: Rates, step: float, columns: bool, tuned: Tuned | None = None) -> bytes:
    """The payload of levels; ``columns``: those of the transposed matrix."""
    mode = COLUMNS if columns else 0
    if not matrix.levels.any():
        return bytes([ZEROS]) + varint(matrix.tile) + struct.pack("<f", step)
    if matrix.levels.min() < -128 or matrix.levels.max() > 127:
        mode |= WIDE
    head = bytes([mode]) + varint(matrix.tile) + struct.pack("<f", step) + matrix.head(rates, tuned)
    return head + matrix.data(rates, tuned=tuned)


def coded_exactly(planes: npt.NDArray[np.uint8], matrix: Matrix, center: int, rates: Rates) -> bytes:
    """The payload of elements: the first plane coded, around a byte that is its middle; the others stored.

    Args:
        planes: of the elements, shape [itemsize, size].
        matrix: the first plane, less ``center``.
        center: byte of the first plane that is level 0.
        rates: how fast the model adapts.
    """
    stored = np.ascontiguousarray(planes[1:]) if len(planes) > 1 else None
    return bytes([EXACT]) + varint(matrix.tile) + bytes([center]) + matrix.head(rates) + matrix.data(rates, stored)

"""The model that tensors share: trellis, classes, maps and tables (docs/format.md, section 12.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.trellis.automaton import Automaton, rules_of, states_of
from neuralcodec.logarithm import FRACTION, log2

NEVER = 1e9
"""Bits of a value that a table lacks."""

MODEL = 4
"""Kind of a shared object."""

AUTOMATON, OFFSET = 32, 128
"""Bit of the byte that tells the number of classes, and what a stream adds to an automaton's thresholds."""


@dataclass(frozen=True, slots=True)
class Classes:
    """What the class of a level is read from: everything that a decoder needs besides maps and tables.

    Attributes:
        states_log2: log2 of the number of trellis states; 0 for a scalar quantizer.
        lo: symbols stand for values from −lo on.
        hi: up to this one.
        raw_bits: bits of a level that are not coded.
        open: whether the outermost values stand for what lies beyond, too.
        cap: largest magnitude that counts for the running magnitude.
        start: bin of the running magnitude at the start of a tile.
        magnitudes: thresholds of the magnitude classes, in bins.
        signs: thresholds of the sign classes, in magnitudes of values.
        automaton: what picks tables in place of classes, from the state ``start`` on; None for classes.
    """

    states_log2: int
    lo: int
    hi: int
    raw_bits: int
    open: bool
    cap: int
    start: int
    magnitudes: tuple[int, ...]
    signs: tuple[int, ...]
    automaton: Automaton | None = None

    @property
    def quantizers(self) -> int:
        """Two in a trellis."""
        return 2 if self.states_log2 else 1

    @property
    def cells(self) -> int:
        """Magnitude classes times sign classes, or states of the automaton."""
        if self.automaton is not None:
            return states_of(self.automaton)
        return (len(self.magnitudes) + 1) * (2 * len(self.signs) + 1)

    @property
    def values(self) -> int:
        """Values from −lo to hi."""
        return self.lo + self.hi + 1

    def of_quantizer(self, u: int) -> npt.NDArray[np.int64]:
        """Places, from −lo on, of the values of a quantizer."""
        if not self.states_log2:
            return np.arange(self.values)
        return np.arange((self.lo + u) % 2, self.values, 2)

    def context(self, maps: list[list[int]]) -> _native.TrellisContext:
        """The same for the native kernels."""
        return _native.TrellisContext(
            self.states_log2,
            self.lo,
            self.hi,
            self.raw_bits,
            self.open,
            self.cap,
            self.start,
            self.magnitudes,
            self.signs,
            maps,
            () if self.automaton is None else rules_of(self.automaton),
        )

    def one_table(self) -> list[list[int]]:
        """Maps that give all cells of a quantizer the same table."""
        return [[0] * self.cells for _ in range(self.quantizers)]

    def every_table(self) -> list[list[int]]:
        """Maps that give each cell a table of its own, as an automaton has it."""
        return [list(range(self.cells)) for _ in range(self.quantizers)]

    def picks(self) -> bytes:
        """What a stream says of how tables are picked, besides the head."""
        if self.automaton is None:
            return bytes((*self.magnitudes, *self.signs))
        rules = b"".join(
            bytes((len(thresholds), *(t + OFFSET for t in thresholds), *following))
            for thresholds, following in self.automaton
        )
        return bytes([len(self.automaton) - 1]) + rules


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model that a stream can hold.

    Attributes:
        classes: see there.
        m: frequencies of a table add up to 2^m.
        maps: for each quantizer the table of each cell.
        frequencies: of each value, shape [quantizers, tables, values]; tables that a quantizer does not have are 0.
        prefix: whether values take prefix codes; frequencies are then 2^(m − length of the code), and m is 8.
    """

    classes: Classes
    m: int
    maps: list[list[int]]
    frequencies: npt.NDArray[np.uint32]
    prefix: bool = False

    def context(self) -> _native.TrellisContext:
        """For the native kernels."""
        return self.classes.context(self.maps)

    def lengths(self) -> npt.NDArray[np.uint8]:
        """Bits of the prefix codes, shape [quantizers, values]; 0 for values without one."""
        frequencies = self.frequencies[:, 0].astype(np.int64)
        bits = self.m - (log2(np.maximum(frequencies, 1)) >> FRACTION)
        return np.where(frequencies > 0, bits, 0).astype(np.uint8)

    def pack(
        self,
        context: _native.TrellisContext,
        levels: npt.NDArray[np.int16],
        tile: int,
        coded: npt.NDArray[np.bool_] | None = None,
    ) -> tuple[bytes, npt.NDArray[np.uint32]]:
        """All tiles, and the bytes of each; ``coded``: of all rows which are here."""
        if self.prefix:
            return _native.trellis_pack_codes(context, levels, tile, self.lengths(), coded)
        return _native.trellis_pack(context, levels, tile, self.frequencies, self.m, coded)

    def rates(self) -> npt.NDArray[np.float32]:
        """Bits of each value, shape of the frequencies."""
        bits = ((self.m << FRACTION) - log2(self.frequencies.astype(np.int64))) / (1 << FRACTION)
        return np.where(self.frequencies > 0, bits, NEVER).astype(np.float32)

    def serialize(self) -> bytes:
        """The model as it stands in a stream."""
        c = self.classes
        out = bytearray(
            [
                c.states_log2 | c.open << 4,
                (0 if self.prefix else self.m) | c.raw_bits << 4,
                c.lo,
                c.hi,
                c.cap,
                len(c.magnitudes) | len(c.signs) << 3 if c.automaton is None else c.cells - 1 | AUTOMATON,
                c.start,
            ]
        )
        out += c.picks()
        for of in self.maps if c.automaton is None else ():
            width = max(of).bit_length()
            out.append(max(of))
            if width:
                out += _native.pack_bits(np.array(of, np.uint32), width)
        for u, of in enumerate(self.maps):
            places = c.of_quantizer(u)
            if self.prefix:
                out += _serialized_lengths(self.lengths()[u, places])
                continue
            for table in self.frequencies[u, : max(of) + 1]:
                out += _serialized(table[places])
        return bytes(out)


def fits(
    classes: Classes,
    maps: Sequence[Sequence[int]],
    tables: npt.NDArray[np.generic],
    room: int | None,
) -> bool:
    """Whether firmware's tables take no more than the room, where levels before pick them.

    Args:
        classes: of the model.
        maps: for each quantizer the table of each cell.
        tables: counts or frequencies, shape [quantizers, tables, values].
        room: bytes; None: any.
    """
    if room is None:
        return True
    count = values = 0
    for u, of in enumerate(maps):
        used = tables[u, : max(of) + 1][:, classes.of_quantizer(u)] != 0
        first, last = used.argmax(1), used.shape[1] - 1 - used[:, ::-1].argmax(1)
        count += len(used)
        values += int(np.where(used.any(1), last - first + 1, 1).sum())
    # As ncd_tensor_workspace() has it, or a few more.
    if classes.automaton is not None:
        return 24 + 512 * classes.cells + 8 * values <= room
    size = 88 + 4 * classes.values + 4 * classes.cells + 20 * count + 2 * values
    return (size + 3) & ~3 <= room


def _serialized_lengths(lengths: npt.NDArray[np.uint8]) -> bytes:
    used = np.flatnonzero(lengths)
    first, last = int(used[0]), int(used[-1])
    return bytes((first, last - first)) + _native.pack_bits(lengths[first : last + 1].astype(np.uint32), 4)


def _serialized(frequencies: npt.NDArray[np.uint32]) -> bytes:
    used = np.flatnonzero(frequencies)
    first, last = int(used[0]), int(used[-1])
    bits = place = 0
    for value in frequencies[first : last + 1].tolist():
        length = value.bit_length()
        bits |= length << place
        place += 4
        if length > 1:
            bits |= (value - (1 << (length - 1))) << place
            place += length - 1
    return bytes((first, last - first)) + bits.to_bytes((place + 7) // 8, "little")

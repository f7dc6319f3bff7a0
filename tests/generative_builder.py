"""Builds payloads of codec 6, from docs/format.md section 15: for golden vectors and tests of decoders.

The model is that of the second decoder (neuralcodec/reference/generative.py); the bits of a level and the coder are
written here anew, the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from stream_builder import (
    FLOATS,
    Index,
    Number,
    Payload,
    TileEdit,
    f32_bits,
    index_and_data,
    matrix,
    pack_fields,
    plane_bytes,
    scale_bits,
    tile_bounds,
    varint,
)
from trellis_builder import GENERATORS, Draw, weight

from neuralcodec.reference.generative import INPUTS, Chance, Head, Reader, Walk, tuned_weights


@dataclass
class Writer:
    """The coder of an encoder. It writes the bits that are waiting."""

    waiting: list[int] = field(default_factory=list)
    out: bytearray = field(default_factory=bytearray)
    low: int = 0
    high: int = 2**32 - 1

    def bit(self, p: int) -> int:
        """The next bit, with the probability that it is 1 in 65536ths."""
        bit = self.waiting.pop(0)
        width = self.high - self.low
        middle = self.low + (width >> 16) * p + ((width & 65535) * p >> 16)
        self.low, self.high = (self.low, middle) if bit else (middle + 1, self.high)
        while self.low >> 24 == self.high >> 24:
            self.out.append(self.low >> 24)
            self.low = self.low << 8 & 2**32 - 1
            self.high = (self.high << 8 & 2**32 - 1) + 255
        return bit

    def finish(self) -> bytes:
        """The fewest bytes that say it all."""
        for size in range(5):
            unit = 2 ** (32 - 8 * size)
            code = -(-self.low // unit) * unit
            if code <= self.high:
                return bytes(self.out + code.to_bytes(5, "big")[1 : 1 + size]).rstrip(b"\0")
        raise AssertionError


WEIGHTS = 9600
"""Of a prior."""


def tuned_prior(changes: Mapping[int, int], shift: int = 3, tail: bytes = b"") -> bytes:
    """A shared object that changes weights of the prior, by their place, by so many times 2^shift; ``tail`` follows."""
    writer = Writer()

    def put(chance: Chance, bit: bool) -> None:
        writer.waiting.append(int(bit))
        chance.take(writer)  # type: ignore[arg-type]

    is_changed, is_weight, is_larger = Chance(2048), Chance(), [Chance() for _ in range(8)]
    for first in range(0, WEIGHTS, INPUTS):
        some = [changes.get(first + i, 0) for i in range(INPUTS)]
        put(is_changed, any(some))
        for change in some if any(some) else []:
            put(is_weight, change != 0)
            if change:
                writer.waiting.append(int(change < 0))
                writer.bit(32768)
            for size in range(1, min(abs(change) + 1, 31)):
                put(is_larger[min(size, 8) - 1], abs(change) > size)
    return bytes([shift]) + writer.finish() + tail


class Encoding(Walk):
    """A walk that is told the values."""

    value: int = 0

    def write(self, writer: Writer, value: int, quantizer: int) -> None:
        """Codes a value."""
        self.value = value
        self.level(writer, quantizer)  # type: ignore[arg-type]
        assert not writer.waiting

    def _value(  # type: ignore[override]
        self, coder: Writer, bit: Callable[[int], int], quantizer: int, flip: bool
    ) -> int:
        def put(node: int, what: int) -> None:
            coder.waiting.append(what)
            bit(node)

        if quantizer == 0:
            put(0, int(self.value != 0))
        if self.value:
            put(1, int((self.value < 0) is not flip))
            place = f"{(abs(self.value) + quantizer) // 2:b}"
            length = len(place) - 1
            for e in range(length):
                put(2 + min(e, 7), 1)
            if length < 15:
                put(2 + min(length, 7), 0)
            for at, digit in enumerate(place[1:]):
                if at == 0:
                    put(9 + min(length, 7), int(digit))
                elif at == 1:
                    put(17 + 2 * (min(length, 5) - 2) + int(place[1]), int(digit))
                else:
                    coder.waiting.append(int(digit))
                    coder.bit(32768)
        return self.value


def encode_tile(levels: Sequence[int], columns: int, first: int, head: Head) -> bytes:
    """The code string of a tile of rows of so many columns, the first of which is column ``first`` of the matrix."""
    writer, walk = Writer(), Encoding(head, columns, first)
    for level, quantizer in zip(levels, quantizers(levels, head.states), strict=True):
        walk.write(writer, level * (2 if head.states == 1 else 1), quantizer)
    return writer.finish()


def quantizers(levels: Sequence[int], states: int) -> list[int]:
    """The quantizer of each level."""
    found, state = [], 0
    for level in levels:
        u = state % 2
        found.append(u)
        if states > 1:
            h0, h1 = GENERATORS[states]
            state = state // 2 ^ (h0 // 2 if u else 0) ^ (h1 // 2 if (level + u) // 2 % 2 else 0)
    return found


def draw_levels(count: int, states: int, draw: Draw, most: int) -> list[int]:
    """A path through the trellis; small levels are the commonest."""
    levels: list[int] = []
    state = 0
    for _ in range(count):
        u = state % 2
        level = draw(1 + draw(most + 1)) - draw(1 + draw(most + 1))
        if states > 1:
            level += (level - u) % 2
            h0, h1 = GENERATORS[states]
            state = state // 2 ^ (h0 // 2 if u else 0) ^ (h1 // 2 if (level + u) // 2 % 2 else 0)
        levels.append(level)
    return levels


def generative(
    shape: Sequence[int],
    draw: Draw,
    *,
    states: int = 8,
    most: int = 6,
    start: int = 20,
    rates: int = 5,
    kernel: Number = 1,
    tile: Number = 1024,
    dtype: str = "f32",
    step: float = 0.25,
    step_bits: int | None = None,
    rows: Sequence[int] | None = None,
    columns: Sequence[int] | None = None,
    scale_width_byte: int | None = None,
    wide: bool = False,
    down: bool = False,
    zeros: bool = False,
    exact: bytes | None = None,
    center: int = 0,
    mode: int | None = None,
    change: dict[int, int] | None = None,
    tuned: bytes | None = None,
    shared: Number = 0,
    levels: Sequence[int] | None = None,
    index: Index | None = None,
    edit: TileEdit | None = None,
    tail: bytes = b"",
) -> Payload:
    """A payload of codec 6.

    Args:
        shape: of the tensor.
        draw: numbers for the levels.
        states: N.
        most: bound of the magnitude of levels, but for parity.
        start, rates, kernel, center: fields of the header.
        tile: T.
        dtype: of the elements.
        step, step_bits: the step, or its bits.
        rows, columns: scale codes.
        scale_width_byte: the byte that says w, of the first scale codes.
        wide: levels of 16 bits.
        down: down the columns.
        zeros: all levels are 0.
        exact: elements that are kept exactly.
        mode: to write instead.
        change: bytes to write instead of version, states, rates and start, by their place among these.
        tuned: a shared object that changes the prior.
        shared: its index.
        levels: in place of drawn ones, in the order of tiles.
        index, edit, tail: as of :func:`stream_builder.levels`.
    """
    bits = f32_bits(step) if step_bits is None else step_bits
    n_rows, n_columns = matrix(shape)
    is_exact = exact is not None
    if mode is None:
        mode = wide | 2 * down | 4 * is_exact | 8 * (rows is not None) | 16 * (columns is not None) | 32 * zeros
    out = bytes([mode]) + varint(tile)
    planes = plane_bytes(exact, dtype) if exact is not None else []
    if is_exact:
        out += bytes([center])
    else:
        out += bits.to_bytes(4, "little")
        for codes in (rows, columns):
            if codes is not None:
                width = max(1, max(codes).bit_length())
                out += bytes([width if scale_width_byte is None else scale_width_byte]) + pack_fields(codes, width)
                scale_width_byte = None
    cut = (n_columns, n_rows) if down else (n_rows, n_columns)
    length = tile if isinstance(tile, int) and tile > 0 else 1024
    bounds = tile_bounds(cut, length)
    found: list[int] = [0] * (n_rows * n_columns)
    if not zeros:
        weights = None if tuned is None else tuned_weights(Reader(tuned))
        head = Head(states, rates & 3, rates >> 2, start, max(int(kernel), 1), weights)
        fields = [1, states.bit_length() - 1, rates | (0 if tuned is None else 64), start]
        for at, byte in (change or {}).items():
            fields[at] = byte
        out += bytes(fields) + varint(kernel) + (b"" if tuned is None else varint(shared))
        found, tiles = [], []
        for first, last in bounds:
            if exact is not None:
                some = [(byte - center + 128) % 256 - 128 for byte in planes[0][first:last]]
            elif levels is not None:
                some = list(levels[first:last])
            else:
                some = draw_levels(last - first, states, draw, most)
            whole = cut[1] <= length
            code = encode_tile(some, cut[1] if whole else last - first, 0 if whole else first % cut[1], head)
            tiles.append(b"".join(plane[first:last] for plane in planes[1:]) + code)
            found += some
        out += index_and_data(tiles, index, edit)
    if exact is not None:
        return Payload(out + tail, exact)
    elements = b""
    if dtype in FLOATS and 0 < bits < 0x7F800000:
        for row in range(n_rows):
            for column in range(n_columns):
                level = found[column * n_rows + row if down else row * n_columns + column]
                scale = scale_bits(bits, rows[row] if rows else None)
                other = scale_bits(f32_bits(1.0), columns[column]) if columns else None
                elements += weight(level, scale, other, dtype)
    return Payload(out + tail, elements, found, level_size=2 if wide else 1)

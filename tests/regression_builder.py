"""Builds payloads of codec 7, from docs/format.md section 13 alone: for golden vectors and tests of decoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stream_builder import (
    FLOATS,
    Number,
    Payload,
    f32_bits,
    matrix,
    pack_bits,
    tile_bounds,
    varint,
    weight_bytes,
)

TAPS = ["C", "14", "30", "60", "B8", "110", "240", "500", "E08", "1C80", "3802", "6000", "B400"]
"""Of registers of 4 to 16 bits."""


@dataclass
class Nested:
    """A nested tensor.

    Attributes:
        payload: its payload and levels.
        codec: its number.
        size: to write instead of its size.
    """

    payload: Payload
    codec: int = 2
    size: Number | None = None

    def data(self) -> bytes:
        size = len(self.payload.data) if self.size is None else self.size
        return bytes([self.codec]) + varint(size) + self.payload.data

    def level(self, i: int) -> int:
        return self.payload.levels[i] if self.payload.levels is not None else 0


@dataclass
class Rows:
    """Section 13.2.

    Attributes:
        stored: the rows that are stored.
        levels: their levels, a nested tensor.
        sums: of each other row the terms: index of a stored row, and factor.
        shift: h.
        width: w.
        count, flags, terms, width_byte, shift_byte: to write instead of what is right.
    """

    stored: Sequence[int]
    levels: Nested
    sums: Sequence[Sequence[tuple[int, int]]] = ()
    shift: int = 6
    width: int = 8
    count: Number | None = None
    flags: bytes | None = None
    terms: int | None = None
    width_byte: int | None = None
    shift_byte: int | None = None
    number: int = field(default=0, init=False)

    def data(self, rows: int) -> bytes:
        flags = pack_bits("".join(str(int(r in self.stored)) for r in range(rows)))
        of_each = len(self.sums[0]) if self.sums else 1
        index_width = 0 if of_each == len(self.stored) else (len(self.stored) - 1).bit_length()
        string = ""
        for terms in self.sums:
            for index, factor in terms:
                string += f"{index:0{index_width}b}"[::-1] if index_width else ""
                string += f"{factor % 2**self.width:0{self.width}b}"[::-1]
        return (
            varint(len(self.stored) if self.count is None else self.count)
            + (flags if self.flags is None else self.flags)
            + bytes([of_each if self.terms is None else self.terms])
            + bytes([self.width - 1 if self.width_byte is None else self.width_byte])
            + bytes([self.shift if self.shift_byte is None else self.shift_byte])
            + pack_bits(string)
            + self.levels.data()
        )

    def predict(self, row: int, columns: int, column: int, fraction: int) -> int:
        if row in self.stored:
            return self.levels.level(sorted(self.stored).index(row) * columns + column) << fraction
        terms = self.sums[row - sum(s < row for s in self.stored)]
        return over(sum(q * self.levels.level(j * columns + column) for j, q in terms), self.shift)


@dataclass
class Expression:
    """Section 13.3.

    Attributes:
        plane, line: A and B.
        constants: numbers.
        nodes: operation, a and b.
        output: the value that is P; None for the last node.
        count, node_count: to write instead of the numbers of constants and nodes.
    """

    plane: Number = 1
    line: Number = 1
    constants: Sequence[int] = ()
    nodes: Sequence[tuple[int, int, int]] = ()
    output: int | None = None
    count: int | None = None
    node_count: int | None = None
    number: int = field(default=1, init=False)

    def data(self) -> bytes:
        out = varint(self.plane) + varint(self.line)
        out += bytes([len(self.constants) if self.count is None else self.count])
        out += b"".join((c % 65536).to_bytes(2, "little") for c in self.constants)
        out += bytes([len(self.nodes) if self.node_count is None else self.node_count])
        out += b"".join(bytes(node) for node in self.nodes)
        output = 10 + len(self.constants) + len(self.nodes) if self.output is None else self.output
        return out + bytes([output])

    def value(self, inputs: Sequence[int]) -> int:
        known = [wrapped(v, 16) for v in inputs] + list(self.constants)
        for operation, i, j in self.nodes:
            known.append(wrapped(operate(operation, known[i], known[j]), 16))
        return known[10 + len(self.constants) + len(self.nodes) if self.output is None else self.output]


@dataclass
class Basis:
    """Section 13.4.

    Attributes:
        block, vectors, seed_width, width, exponent_width, shift: C, N, k, w, E and D.
        records: seed, e and the factors of each block, in the order of tiles.
        head: the six bytes to write instead.
        cut: bytes left out at the end of the records.
    """

    block: int
    vectors: int
    seed_width: int
    width: int
    exponent_width: int
    shift: int
    records: Sequence[tuple[int, int, Sequence[int]]]
    head: bytes | None = None
    cut: int = 0
    number: int = field(default=2, init=False)

    def data(self) -> bytes:
        head = bytes([self.block, self.vectors, self.seed_width, self.width, self.exponent_width, self.shift])
        string = ""
        for seed, e, factors in self.records:
            string += f"{seed:0{self.seed_width}b}"[::-1]
            string += f"{e:0{self.exponent_width}b}"[::-1] if self.exponent_width else ""
            string += "".join(f"{q % 2**self.width:0{self.width}b}"[::-1] for q in factors)
        packed = pack_bits(string)
        return (head if self.head is None else self.head) + packed[: len(packed) - self.cut]

    def block_of(self, record: int) -> list[int]:
        s, e, factors = self.records[record]
        if s == 0:
            return [0] * self.block
        predicted = []
        for _ in range(self.block):
            total = 0
            for q in factors:
                s = s // 2 ^ s % 2 * int(TAPS[self.seed_width - 4], 16)
                total += q * (s - 2 ** (self.seed_width - 1))
            predicted.append(over(total, self.shift + e))
        return predicted


def wrapped(value: int, bits: int) -> int:
    value %= 2**bits
    return value - 2**bits if value >= 2 ** (bits - 1) else value


def over(value: int, h: int) -> int:
    return wrapped(value + 2 ** (h - 1), 32) // 2**h if h else wrapped(value, 32)


def operate(operation: int, a: int, b: int) -> int:
    if operation == 4:
        return 0 if b == 0 else (256 * abs(a) // abs(b)) * (-1 if (a < 0) != (b < 0) else 1)
    if operation == 12:
        x = a % 512
        size = 16384 * x * (512 - x) // (1310720 - 4 * x * (512 - x))
        return size * (-1 if a % 1024 >= 512 else 1)
    return {
        0: a + b,
        1: a - b,
        2: a * b,
        3: a * b // 256,
        5: min(a, b),
        6: max(a, b),
        7: abs(a),
        8: 256 * (a < b),
        9: a ^ b,
        10: a & b,
        11: a // 2 ** (b % 16),
        13: (a + b) // 2,
        14: -a if b < 0 else a,
    }[operation]


def regression(
    shape: Sequence[int],
    regressor: Rows | Expression | Basis,
    residual: Nested | None = None,
    *,
    replace: bool = False,
    tile: Number = 1024,
    dtype: str = "f32",
    step: float = 0.25,
    step_bits: int | None = None,
    fraction: int = 0,
    wide: bool = False,
    mode: int | None = None,
    tail: bytes = b"",
) -> Payload:
    """A payload of codec 7.

    Args:
        shape: of the tensor.
        regressor: what infers.
        residual: the nested residual.
        replace: bit 4 of the mode.
        tile: T.
        dtype: of the weights.
        step, step_bits: the step, or its bits.
        fraction: F.
        wide: bit 2 of the mode.
        mode: to write instead.
        tail: bytes after the payload.
    """
    rows, _ = matrix(shape)
    bits = f32_bits(step) if step_bits is None else step_bits
    if mode is None:
        mode = regressor.number | 4 * wide | 8 * (residual is not None) | 16 * replace
    out = bytes([mode]) + varint(tile) + bits.to_bytes(4, "little") + bytes([fraction])
    out += regressor.data(rows) if isinstance(regressor, Rows) else regressor.data()
    out += residual.data() if residual is not None else b""
    most = 32767 if wide else 127
    if not isinstance(tile, int) or not 1 <= tile < 65536:
        return Payload(out + tail)
    levels: list[int] = []
    try:
        for first, last in tile_bounds(shape, tile):
            rest = [(residual.level(i) if residual is not None else 0) << fraction for i in range(first, last)]
            found = _tile(shape, regressor, rest, first, last, replace, fraction, most, tile)
            levels += found
    except (IndexError, KeyError, ZeroDivisionError):  # a description that is wrong
        return Payload(out + tail)
    elements = b""
    if dtype in FLOATS and 0 < bits < 0x7F800000:
        elements = b"".join(weight_bytes(level, bits, dtype) for level in levels)
    return Payload(out + tail, elements, levels, level_size=2 if wide else 1)


def _tile(  # noqa: PLR0917
    shape: Sequence[int],
    regressor: Rows | Expression | Basis,
    rest: list[int],
    first: int,
    last: int,
    replace: bool,
    fraction: int,
    most: int,
    tile: int,
) -> list[int]:
    _, columns = matrix(shape)

    def nearest(value: int) -> int:
        return max(-most - 1, min(most, wrapped(value, 32)))

    if isinstance(regressor, Rows):
        return [
            nearest(regressor.predict(e // columns, columns, e % columns, fraction) + rest[e - first])
            for e in range(first, last)
        ]
    if isinstance(regressor, Basis):
        bounds = tile_bounds(shape, tile)
        of_a_tile = -(-(bounds[0][1] - bounds[0][0]) // regressor.block)
        record = bounds.index((first, last)) * of_a_tile
        predicted: list[int] = []
        while len(predicted) < last - first:
            predicted += regressor.block_of(record)
            record += 1
        return [nearest(p + r) for p, r in zip(predicted, rest, strict=False)]
    assert isinstance(regressor.plane, int)
    assert isinstance(regressor.line, int)
    out: list[int] = []
    width = min(columns, last - first)
    for e in range(first, last):
        r, c = e // columns, e % columns
        at = (e - first) % width
        line = rest[e - first - at : e - first - at + width]
        so_far = out[e - first - at :]
        in_plane = c % regressor.plane
        inputs = [r, c, c // regressor.plane, in_plane // regressor.line, in_plane % regressor.line] + [0] * 6
        if replace:
            if line[at]:
                out.append(nearest(line[at]))
                continue
            for j in range(at - 1, -1, -1):
                if line[j]:
                    inputs[5], inputs[7] = so_far[j], at - j
                    break
            for j in range(at + 1, width):
                if line[j]:
                    inputs[6], inputs[8] = nearest(line[j]), j - at
                    break
            inputs[9] = so_far[at - regressor.line] if at >= regressor.line else 0
            inputs[10] = so_far[at - 1] if at else 0
        out.append(nearest(regressor.value(inputs) + line[at]))
    return out

"""Section 13: some weights are stored, the others inferred from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from neuralcodec.reference.floats import round_f32, weight_bytes
from neuralcodec.reference.huffman import Levels, open_huffman, read_step
from neuralcodec.reference.kmeans import Indices, open_kmeans
from neuralcodec.reference.primitives import Reader, bit, ceil_div
from neuralcodec.reference.registries import ELEMENT_TYPES, HUFFMAN, KMEANS, TRELLIS, ElementType
from neuralcodec.reference.tiles import Tile, Tiling, tiling
from neuralcodec.reference.trellis import TrellisLevels, open_trellis

if TYPE_CHECKING:
    from neuralcodec.reference.stream import Tensor

ROWS, EXPRESSION, BASIS = 0, 1, 2
"""Regressors."""
WIDE, RESIDUAL, REPLACE = 4, 8, 16
"""Bits of the mode."""

MOST_FRACTION = 8
MOST_SHIFT = 24
MOST_STORED = 2**24
MOST_TERMS = 32
MOST_CONSTANTS, MOST_NODES = 32, 64
INPUTS = 11

TAPS = {
    **{4: 0x000C, 5: 0x0014, 6: 0x0030, 7: 0x0060, 8: 0x00B8, 9: 0x0110, 10: 0x0240},
    **{11: 0x0500, 12: 0x0E08, 13: 0x1C80, 14: 0x3802, 15: 0x6000, 16: 0xB400},
}
"""Of the shift register, by its width."""

Nested = Levels | Indices | TrellisLevels


class Regressor(Protocol):
    """What infers a tile."""

    def infer(self, i: int, tile: Tile, residual: list[int], last: Callable[[int], int]) -> list[int]:
        """Levels of tile ``i``, from the residual's; ``last`` makes a level of a sum."""
        ...


@dataclass
class Inferred:
    """An opened tensor of codec regression.

    Attributes:
        dtype: of the weights.
        tiles: how the matrix is cut.
        wide: whether levels have 16 bits.
        step: as of levels.
        fraction: F.
        regressor: what infers weights.
        residual: None where there is none.
    """

    dtype: ElementType
    tiles: Tiling
    wide: bool
    step: float
    fraction: int
    regressor: Regressor
    residual: Nested | None

    @property
    def number_of_tiles(self) -> int:
        """N."""
        return self.tiles.count

    def row_scale(self, row: int) -> float:
        """The step: there are no row scales."""
        if not 0 <= row < self.tiles.rows:
            raise IndexError(f"row {row} of {self.tiles.rows}")
        return self.step

    def tile_levels(self, i: int) -> list[int]:
        """Levels of tile ``i``."""
        tile = self.tiles[i]
        residual = [0] * tile.size if self.residual is None else self.residual.tile_levels(i)
        scaled = [level * 2**self.fraction for level in residual]
        most = 32_767 if self.wide else 127

        def last(total: int) -> int:
            return min(max(modulo(total, 32), -most - 1), most)

        return self.regressor.infer(i, tile, scaled, last)

    def tile_bytes(self, i: int) -> bytes:
        """Weights of tile ``i``, in the tensor's dtype."""
        return b"".join(weight_bytes(round_f32(level * self.step), self.dtype.name) for level in self.tile_levels(i))


def modulo(value: int, bits: int) -> int:
    """The number of so many bits in two's complement that differs by a multiple of 2^bits."""
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def rounded(value: int, shift: int) -> int:
    """``value`` over 2^shift, rounded to nearest, the larger one of two; the sum is that of 32 bits."""
    return modulo(value + (1 << shift >> 1), 32) >> shift


def open_regression(tensor: Tensor, payload: Reader) -> Inferred:
    """Reads the header of a payload and opens what it nests."""
    mode = payload.u8("mode")
    number = mode & 3
    if mode >> 5 or number > BASIS or (mode & REPLACE and (number != EXPRESSION or not mode & RESIDUAL)):
        raise payload.unsupported(f"mode {mode:#04x}")
    if not tensor.dtype.rotated:
        raise payload.corrupt(f"levels of dtype {tensor.dtype}")
    tiles = tiling(payload, tensor.rows, tensor.columns, payload.varint("T"))
    wide = bool(mode & WIDE)
    step = read_step(payload)
    fraction = payload.u8("F")
    if fraction > MOST_FRACTION:
        raise payload.corrupt(f"{fraction} bits of a fraction")
    regressor: Regressor
    if number == ROWS:
        regressor = _read_rows(tensor, payload, wide, fraction)
    elif number == EXPRESSION:
        regressor = _read_expression(payload, bool(mode & REPLACE))
    else:
        regressor = _read_basis(payload, tiles)
    residual = None
    if mode & RESIDUAL:
        residual = _read_nested(tensor, payload, tensor.rows, wide)
        same = (residual.tiles.count, residual.tiles[0].size) == (tiles.count, tiles[0].size)
        if not same:
            raise payload.corrupt("the residual is cut in other tiles")
    if payload.left:
        raise payload.corrupt(f"{payload.left} bytes follow the last part")
    return Inferred(tensor.dtype, tiles, wide, step, fraction, regressor, residual)


# 13.1 Nested tensors


def _read_nested(tensor: Tensor, payload: Reader, rows: int, wide: bool) -> Nested:
    from neuralcodec.reference.stream import Tensor  # noqa: PLC0415 (it imports what imports this)

    codec = payload.u8("codec of a nested tensor")
    size = payload.varint("size of a nested payload")
    start = payload.origin + payload.position
    data = payload.take(size, "nested payload")
    if codec not in (HUFFMAN, KMEANS, TRELLIS):
        raise payload.unsupported(f"a nested tensor of codec {codec}")
    nested = Tensor(0, tensor.name, codec, dtype=ELEMENT_TYPES[1], shape=(rows, tensor.columns), payload=data)
    reader = Reader(data, start, tensor.name)
    opened = {HUFFMAN: open_huffman, KMEANS: open_kmeans, TRELLIS: open_trellis}[codec](nested, reader)
    if isinstance(opened, TrellisLevels):
        good = not opened.transposed and opened.row_codes is None and opened.column_codes is None
        good = good and (wide or not opened.wide)
    elif isinstance(opened, (Levels, Indices)):
        good = opened.scale_codes is None and (isinstance(opened, Levels) or opened.has_levels)
    else:
        good = False
    if not good:
        raise payload.corrupt("a nested tensor other than levels of one scale, along the rows")
    assert isinstance(opened, (Levels, Indices, TrellisLevels))
    return opened


# 13.2 Rows


@dataclass
class Rows:
    """Rows as sums of stored rows.

    Attributes:
        is_stored: of each row.
        terms: of each other row, in order: pairs of a stored row and a factor.
        shift: h.
        fraction: F.
        stored: the stored rows.
    """

    is_stored: list[bool]
    terms: list[list[tuple[int, int]]]
    shift: int
    fraction: int
    stored: Nested
    _rows: list[list[int]] = field(default_factory=list)

    def _stored_rows(self) -> list[list[int]]:
        if not self._rows:
            tiles = self.stored.tiles
            levels = [level for i in range(tiles.count) for level in self.stored.tile_levels(i)]
            self._rows = [levels[r * tiles.columns : (r + 1) * tiles.columns] for r in range(tiles.rows)]
        return self._rows

    def infer(self, i: int, tile: Tile, residual: list[int], last: Callable[[int], int]) -> list[int]:
        """Levels of a tile."""
        stored = self._stored_rows()
        levels: list[int] = []
        for row in range(tile.row, tile.row + tile.rows):
            place = sum(self.is_stored[:row])
            terms, shift = [(place, 1 << self.fraction)], 0
            if not self.is_stored[row]:
                terms, shift = self.terms[row - place], self.shift
            if any(index >= len(stored) for index, _ in terms):
                raise self._corrupt(row)
            for column in range(tile.column, tile.column + tile.columns):
                total = sum(factor * stored[index][column] for index, factor in terms)
                levels.append(last(rounded(total, shift) + residual[len(levels)]))
        return levels

    def _corrupt(self, row: int) -> Exception:
        return Reader(b"").corrupt(f"row {row} is made of a row that is not stored")


def _read_rows(tensor: Tensor, payload: Reader, wide: bool, fraction: int) -> Rows:
    count = payload.varint("S")
    if not 1 <= count <= tensor.rows:
        raise payload.corrupt(f"{count} stored rows of {tensor.rows}")
    flags = payload.take(ceil_div(tensor.rows, 8), "flags of stored rows")
    terms = payload.u8("K")
    width = payload.u8("width of a factor")
    if not 1 <= terms <= min(MOST_TERMS, count):
        raise payload.corrupt(f"sums of {terms} rows of {count}")
    if width >> 4:
        raise payload.unsupported("reserved bits of the width of a factor")
    width += 1
    shift = payload.u8("h")
    if shift > MOST_SHIFT:
        raise payload.corrupt(f"h is {shift}")
    is_stored = [bool(bit(flags, row)) for row in range(tensor.rows)]
    if sum(is_stored) != count or any(bit(flags, i) for i in range(tensor.rows, 8 * len(flags))):
        raise payload.corrupt("the flags of stored rows are not as many as the stored rows")
    index_width = 0 if terms == count else (count - 1).bit_length()
    string = payload.take(ceil_div((tensor.rows - count) * terms * (index_width + width), 8), "factors")
    position = 0

    def take(bits: int) -> int:
        nonlocal position
        position += bits
        return sum(bit(string, position - bits + j) << j for j in range(bits))

    sums = []
    for _ in range(tensor.rows - count):
        sums.append([(take(index_width) if index_width else k, modulo(take(width), width)) for k in range(terms)])
    if count * tensor.columns > MOST_STORED:
        raise payload.corrupt(f"{count * tensor.columns} stored weights")
    return Rows(is_stored, sums, shift, fraction, _read_nested(tensor, payload, count, wide))


# 13.3 Expressions


@dataclass
class Expression:
    """An expression of a weight's place and of stored weights near it.

    Attributes:
        plane, line: A and B.
        constants: numbers of 16 bits.
        nodes: operation and operands.
        output: the value that is the prediction.
        replaces: whether the residual's levels other than 0 are stored weights.
    """

    plane: int
    line: int
    constants: list[int]
    nodes: list[tuple[int, int, int]]
    output: int
    replaces: bool

    def infer(self, i: int, tile: Tile, residual: list[int], last: Callable[[int], int]) -> list[int]:
        """Levels of a tile."""
        levels: list[int] = []
        for r in range(tile.rows):
            given = residual[r * tile.columns : (r + 1) * tile.columns]
            levels += self._row(tile.row + r, tile.column, given, last)
        return levels

    def _row(self, row: int, first: int, residual: list[int], last: Callable[[int], int]) -> list[int]:
        stored = [j for j, level in enumerate(residual) if level] if self.replaces else []
        levels: list[int] = []
        for j, rest in enumerate(residual):
            if j in stored:
                levels.append(last(rest))
                continue
            column = first + j
            inside = column % self.plane
            values = [row, column, column // self.plane, inside // self.line, inside % self.line, 0, 0, 0, 0, 0, 0]
            if self.replaces:
                before = max((k for k in stored if k < j), default=None)
                after = min((k for k in stored if k > j), default=None)
                if before is not None:
                    values[5], values[7] = levels[before], j - before
                if after is not None:
                    values[6], values[8] = last(residual[after]), after - j
                if j >= self.line:
                    values[9] = levels[j - self.line]
                if j:
                    values[10] = levels[j - 1]
            levels.append(last(self._value(values) + rest))
        return levels

    def _value(self, inputs: Sequence[int]) -> int:
        values = [modulo(value, 16) for value in (*inputs, *self.constants)]
        for operation, a, b in self.nodes:
            values.append(modulo(OPERATIONS[operation](values[a], values[b]), 16))
        return values[self.output]


def _divide(a: int, b: int) -> int:
    if b == 0:
        return 0
    quotient = abs(256 * a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _sine(a: int, _b: int) -> int:
    x = a % 512
    z = x * (512 - x)
    size = 16_384 * z // (1_310_720 - 4 * z)
    return size if a % 1024 < 512 else -size


OPERATIONS: tuple[Callable[[int, int], int], ...] = (
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a * b // 256,
    _divide,
    min,
    max,
    lambda a, b: abs(a),
    lambda a, b: 256 if a < b else 0,
    lambda a, b: a ^ b,
    lambda a, b: a & b,
    lambda a, b: a >> (b % 16),
    _sine,
    lambda a, b: (a + b) // 2,
    lambda a, b: -a if b < 0 else a,
)


def _read_expression(payload: Reader, replaces: bool) -> Expression:
    plane, line = payload.varint("A"), payload.varint("B")
    count = payload.u8("number of constants")
    if not 1 <= plane < 2**32 or not 1 <= line < 2**32 or count > MOST_CONSTANTS:
        raise payload.corrupt(f"A = {plane}, B = {line}, {count} constants")
    string = payload.take(2 * count, "constants")
    constants = [int.from_bytes(string[2 * k : 2 * k + 2], "little", signed=True) for k in range(count)]
    count = payload.u8("number of nodes")
    if count > MOST_NODES:
        raise payload.corrupt(f"{count} nodes")
    nodes = payload.take(3 * count + 1, "nodes")
    there = INPUTS + len(constants)
    found = []
    for k in range(count):
        operation, a, b = nodes[3 * k : 3 * k + 3]
        if operation >= len(OPERATIONS):
            raise payload.unsupported(f"operation {operation}")
        if max(a, b) >= there + k:
            raise payload.corrupt(f"node {k} wants values {a} and {b}")
        found.append((operation, a, b))
    if nodes[-1] >= there + count:
        raise payload.corrupt(f"the output is value {nodes[-1]}")
    return Expression(plane, line, constants, found, nodes[-1], replaces)


# 13.4 Pseudo-random basis


@dataclass
class Basis:
    """Blocks as sums of pseudo-random vectors.

    Attributes:
        block: C.
        vectors: P.
        seed_width: K.
        width: w.
        exponent_width: E.
        shift: D.
        records_of_a_tile: of a full one.
        string: the records.
    """

    block: int
    vectors: int
    seed_width: int
    width: int
    exponent_width: int
    shift: int
    records_of_a_tile: int
    string: bytes

    def infer(self, i: int, tile: Tile, residual: list[int], last: Callable[[int], int]) -> list[int]:
        """Levels of a tile."""
        size = self.seed_width + self.exponent_width + self.vectors * self.width
        position = i * self.records_of_a_tile * size

        def take(bits: int) -> int:
            nonlocal position
            position += bits
            return sum(bit(self.string, position - bits + j) << j for j in range(bits))

        levels: list[int] = []
        while len(levels) < tile.size:
            state = take(self.seed_width)
            shift = self.shift + take(self.exponent_width)
            factors = [modulo(take(self.width), self.width) for _ in range(self.vectors)]
            zero = state == 0
            for _ in range(min(self.block, tile.size - len(levels))):
                total = 0
                for factor in factors:
                    state = state >> 1 ^ (TAPS[self.seed_width] if state & 1 else 0)
                    total += factor * (state - 2 ** (self.seed_width - 1))
                prediction = 0 if zero else rounded(total, shift)
                levels.append(last(prediction + residual[len(levels)]))
        return levels


def _read_basis(payload: Reader, tiles: Tiling) -> Basis:
    block, vectors, seed_width, width, exponent_width, shift = payload.take(6, "parameters of the basis")
    if not (1 <= block <= 64 and 1 <= vectors <= 8 and 4 <= seed_width <= 16 and 2 <= width <= 8):
        raise payload.corrupt("parameters of the basis")
    if exponent_width > 4 or shift + 2**exponent_width - 1 > MOST_SHIFT:
        raise payload.corrupt("exponents of the basis")
    of_a_tile = ceil_div(tiles[0].size, block)
    records = (tiles.count - 1) * of_a_tile + ceil_div(tiles[tiles.count - 1].size, block)
    bits = records * (seed_width + exponent_width + vectors * width)
    string = payload.take(ceil_div(bits, 8), "records")
    return Basis(block, vectors, seed_width, width, exponent_width, shift, of_a_tile, string)

"""Section 12: levels of a trellis quantizer."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuralcodec.reference.floats import round_f32, weight_bytes
from neuralcodec.reference.frequencies import Frequencies, State, read_fields
from neuralcodec.reference.huffman import read_scale_codes, read_step, scale_of
from neuralcodec.reference.primitives import Reader, bit
from neuralcodec.reference.registries import TRELLIS_MODEL, ElementType
from neuralcodec.reference.tiles import Tiling, read_index_and_data, tiling

if TYPE_CHECKING:
    from neuralcodec.reference.stream import Tensor

WIDE, COLUMNS, SHARED, ROW_SCALES, COLUMN_SCALES, ZEROS, SKIP = 1, 2, 4, 8, 16, 32, 64
"""Bits of the mode."""

POLYNOMIALS = {
    4: (0o5, 0o2),
    8: (0o13, 0o4),
    16: (0o23, 0o4),
    32: (0o45, 0o10),
    64: (0o103, 0o24),
    128: (0o235, 0o126),
    256: (0o515, 0o362),
}
"""h0 and h1, by the number of states."""

MOST_TABLES = 64
MOST_RULE_THRESHOLDS = 15
LONGEST_CODE = 8
MOST_ROWS_LOG2 = 15


@dataclass
class Model:
    """What the next level is read with.

    Attributes:
        states: N.
        open_ends: whether the outermost symbols stand for more.
        m: 2^m slots; 0 for prefix codes.
        raw_bits: B.
        lo, hi: symbols stand for −lo to hi.
        cap: C.
        start: bin of the running magnitude, or state of the automaton, at the start of a tile.
        magnitudes: magnitude thresholds.
        signs: sign thresholds.
        automaton: its rules, one for each state or one for all: thresholds and next states; None where classes pick the
            tables.
        maps: of each quantizer, by magnitude class and sign class: its table; of none where there is an automaton.
        tables: of each quantizer: frequencies of its symbols, or lengths of their codes.
    """

    states: int
    open_ends: bool
    m: int
    raw_bits: int
    lo: int
    hi: int
    cap: int
    start: int
    magnitudes: list[int]
    signs: list[int]
    automaton: list[tuple[list[int], list[int]]] | None
    maps: list[list[int]]
    tables: list[list[list[int]]]

    def values(self, quantizer: int) -> list[int]:
        """Values of a quantizer, by symbol."""
        every = range(-self.lo, self.hi + 1)
        return [v for v in every if self.states == 1 or v % 2 == quantizer]

    @property
    def shift(self) -> int:
        """The r that makes six bits of a running magnitude."""
        return next(r for r in range(32) if (128 * self.cap + 7) >> r <= 63)

    def next_state(self, state: int, value: int) -> int:
        """The state after a value."""
        if self.states == 1:
            return 0
        h0, h1 = POLYNOMIALS[self.states]
        quantizer = state % 2
        subset = (value + quantizer) // 2 % 2
        return state // 2 ^ (h0 // 2 if quantizer else 0) ^ (h1 // 2 if subset else 0)

    def magnitude_class(self, running: int) -> int:
        """Class of a running magnitude."""
        return sum(threshold <= running >> self.shift for threshold in self.magnitudes)

    def sign_class(self, value: int) -> int:
        """Class of the value before."""
        above = sum(threshold <= abs(value) for threshold in self.signs)
        return len(self.signs) + (above if value > 0 else -above)

    def table(self, quantizer: int, running: int, before: int, automaton: int) -> int:
        """Number of the table that the next value has, after the running magnitude, value and state given."""
        if self.automaton is not None:
            return automaton
        return self.maps[quantizer][self.magnitude_class(running) * (2 * len(self.signs) + 1) + self.sign_class(before)]

    def next_automaton(self, automaton: int, value: int) -> int:
        """The state of the automaton after a value; 0 without one."""
        if self.automaton is None:
            return 0
        thresholds, states = self.automaton[automaton if len(self.automaton) > 1 else 0]
        return states[sum(threshold <= value + 128 for threshold in thresholds)]

    def is_open(self, value: int) -> bool:
        """Whether a value stands for more."""
        reach = 3 if self.states > 1 else 0
        return self.open_ends and (value >= self.hi - reach or value <= reach - self.lo)


@dataclass
class TrellisLevels:
    """An opened tensor of trellis coded levels.

    Attributes:
        dtype: of the weights.
        tiles: how the matrix, or the transposed one, is cut.
        transposed: whether it is the transposed one.
        wide: whether levels have 16 bits.
        step: as of levels.
        row_codes, column_codes: scale codes of the tensor's own rows and columns.
        model: None where all levels are 0.
        data: of each tile; None likewise.
        coded_rows: of the matrix that is cut, those that tiles have data of; None for all.
    """

    dtype: ElementType
    tiles: Tiling
    transposed: bool
    wide: bool
    step: float
    row_codes: list[int] | None
    column_codes: list[int] | None
    model: Model | None = None
    data: list[Reader] | None = None
    coded_rows: list[bool] | None = None

    @property
    def number_of_tiles(self) -> int:
        """N."""
        return self.tiles.count

    @property
    def rows(self) -> int:
        """Of the tensor."""
        return self.tiles.columns if self.transposed else self.tiles.rows

    def row_scale(self, row: int) -> float:
        """Scale of a row of the tensor."""
        if not 0 <= row < self.rows:
            raise IndexError(f"row {row} of {self.rows}")
        return self.step if self.row_codes is None else scale_of(self.step, self.row_codes[row])

    def column_scale(self, column: int) -> float:
        """What multiplies the weights of a column besides."""
        return 1.0 if self.column_codes is None else scale_of(1.0, self.column_codes[column])

    def tile_levels(self, i: int) -> list[int]:
        """Levels of tile ``i``, in the order of the matrix that is cut."""
        size = self.tiles[i].size
        if self.model is None or self.data is None:
            return [0] * size
        data, tile = self.data[i], self.tiles[i]
        coded = [self.coded_rows is None or self.coded_rows[tile.row + j // tile.columns] for j in range(size)]
        levels = _coded(self.model, data, sum(coded)) if self.model.m == 0 else _with_rans(self.model, data, sum(coded))
        bits = 16 if self.wide else 8
        if any(not -(2 ** (bits - 1)) <= level < 2 ** (bits - 1) for level in levels):
            raise data.corrupt(f"a level of more than {bits} bits")
        following = iter(levels)
        return [next(following) if each else 0 for each in coded]

    def _in_order(self, of: list[int]) -> list[int]:
        """What belongs to the elements of the matrix that is cut, in the order of the tensor."""
        if not self.transposed:
            return of
        return [of[i] for first in range(self.tiles.columns) for i in range(first, len(of), self.tiles.columns)]

    def levels(self) -> list[int]:
        """All levels in the order of the tensor."""
        return self._in_order([level for i in range(self.number_of_tiles) for level in self.tile_levels(i)])

    def tile_bytes(self, i: int) -> bytes:
        """Weights of tile ``i``, in the order of the matrix that is cut."""
        tile, weights = self.tiles[i], []
        for j, level in enumerate(self.tile_levels(i)):
            row, column = tile.row + j // tile.columns, tile.column + j % tile.columns
            if self.transposed:
                row, column = column, row
            weight = round_f32(level * self.row_scale(row))
            if self.column_codes is not None:
                weight = round_f32(weight * self.column_scale(column))
            weights.append(weight_bytes(weight, self.dtype.name))
        return b"".join(weights)

    def element_bytes(self) -> bytes:
        """All weights in the order of the tensor."""
        size = self.dtype.size
        out = b"".join(self.tile_bytes(i) for i in range(self.number_of_tiles))
        places = self._in_order(list(range(len(out) // size)))
        return b"".join(out[size * i : size * i + size] for i in places)


def open_trellis(tensor: Tensor, payload: Reader) -> TrellisLevels:
    """Reads the header of a payload, its tile index, and cuts its data in tiles."""
    mode = payload.u8("mode")
    if mode >> 7:
        raise payload.unsupported("the reserved bit of the mode")
    if mode & SHARED and mode & ZEROS:
        raise payload.unsupported("a shared model where all levels are 0")
    if mode & SKIP and mode & ZEROS:
        raise payload.unsupported("rows that are left out where all levels are 0")
    if not tensor.dtype.rotated:
        raise payload.corrupt(f"levels for dtype {tensor.dtype}")
    rows, columns = tensor.rows, tensor.columns
    if mode & COLUMNS:
        tiles = tiling(payload, columns, rows, payload.varint("T"))
    else:
        tiles = tiling(payload, rows, columns, payload.varint("T"))
    step = read_step(payload)
    row_codes = read_scale_codes(payload, rows) if mode & ROW_SCALES else None
    column_codes = read_scale_codes(payload, columns) if mode & COLUMN_SCALES else None
    opened = TrellisLevels(tensor.dtype, tiles, bool(mode & COLUMNS), bool(mode & WIDE), step, row_codes, column_codes)
    if mode & SKIP:
        log2 = payload.u8("log2 of rows")
        if log2 > MOST_ROWS_LOG2:
            raise payload.corrupt(f"groups of 2^{log2} rows")
        groups = payload.fields(-(-tiles.rows // 2**log2), 1, "coded rows")
        opened.coded_rows = [bool(groups[row // 2**log2]) for row in range(tiles.rows)]
    if mode & ZEROS:
        if payload.left:
            raise payload.corrupt(f"{payload.left} bytes follow levels that are all 0")
        return opened
    if mode & SHARED:
        shared = tensor.shared_object(payload, TRELLIS_MODEL)
        opened.model = _read_model(shared)
        if shared.left:
            raise shared.corrupt(f"{shared.left} bytes follow the shared model")
    else:
        opened.model = _read_model(payload)
    model = opened.model
    if not opened.wide and (model.lo > 128 or model.hi > 127 or model.raw_bits):
        raise payload.corrupt("a model for levels of more than 8 bits")
    if opened.wide and model.m == 0:
        raise payload.corrupt("prefix codes for levels of 16 bits")
    opened.data = read_index_and_data(payload, tiles.count)
    return opened


def _read_model(reader: Reader) -> Model:
    byte = reader.u8("states")
    if byte >> 5:
        raise reader.unsupported(f"quantizer {byte >> 5}")
    states = 2 ** (byte & 15)
    if states not in (1, *POLYNOMIALS):
        raise reader.corrupt(f"{states} states")
    open_ends = bool(byte & 16)
    byte = reader.u8("m")
    m, raw_bits = byte & 15, byte >> 4
    if m != 0 and not 8 <= m <= 12:
        raise reader.corrupt(f"m is {m}")
    if raw_bits > 12:
        raise reader.corrupt(f"{raw_bits} raw bits")
    lo, hi = reader.u8("lo"), reader.u8("hi")
    if open_ends and lo + hi < (7 if states > 1 else 1):
        raise reader.corrupt(f"open ends of values from {-lo} to {hi}")
    cap = reader.u8("cap")
    if not 1 <= cap <= 127:
        raise reader.corrupt(f"magnitudes up to {cap}")
    byte = reader.u8("classes")
    if byte >> 6:
        raise reader.unsupported("reserved bits of the classes")
    classes, sign_thresholds, with_automaton = (byte & 7) + 1, byte >> 3 & 3, bool(byte & 32)
    if sign_thresholds > 2:
        raise reader.corrupt("3 sign thresholds")
    if with_automaton and sign_thresholds:
        raise reader.corrupt("an automaton with sign thresholds")
    if with_automaton and (m != 8 or raw_bits or lo > 128 or hi > 127):
        raise reader.corrupt(f"an automaton where m is {m}, with {raw_bits} raw bits, of values from {-lo} to {hi}")
    if with_automaton and cap != 1:
        raise reader.corrupt(f"an automaton with magnitudes up to {cap}")
    start = reader.u8("start")
    if with_automaton and start >= classes:
        raise reader.corrupt(f"an automaton of {classes} states that starts in state {start}")
    if start > 63:
        raise reader.corrupt(f"a running magnitude that starts in bin {start}")
    automaton: list[tuple[list[int], list[int]]] | None = None
    magnitudes: list[int] = []
    signs: list[int] = []
    if with_automaton:
        rules = reader.u8("number of rules") + 1
        if rules not in (1, classes):
            raise reader.corrupt(f"{rules} rules of an automaton of {classes} states")
        automaton = [_rule(reader, classes) for _ in range(rules)]
    else:
        magnitudes = _thresholds(reader, classes - 1, 63)
        signs = _thresholds(reader, sign_thresholds, 255)
    if m == 0 and (open_ends or magnitudes or signs or raw_bits):
        raise reader.corrupt("prefix codes with open ends, classes or raw bits")
    model = Model(states, open_ends, m, raw_bits, lo, hi, cap, start, magnitudes, signs, automaton, [], [])
    counts = []
    for _ in range(1 if states == 1 else 2):
        if with_automaton:
            counts.append(classes)
            continue
        count = reader.u8("number of tables") + 1
        if count > (1 if m == 0 else MOST_TABLES):
            raise reader.corrupt(f"{count} tables")
        cells = (len(magnitudes) + 1) * (2 * len(signs) + 1)
        model.maps.append(reader.fields(cells, (count - 1).bit_length(), "map"))
        if any(table >= count for table in model.maps[-1]):
            raise reader.corrupt(f"a map to more than {count} tables")
        counts.append(count)
    for quantizer, count in enumerate(counts):
        values = len(model.values(quantizer))
        model.tables.append([_read_table(reader, m, values) for _ in range(count)])
    return model


def _thresholds(reader: Reader, count: int, most: int) -> list[int]:
    found = list(reader.take(count, "thresholds"))
    if any(not 1 <= each <= most for each in found) or any(a >= b for a, b in itertools.pairwise(found)):
        raise reader.corrupt(f"thresholds {found}")
    return found


def _rule(reader: Reader, automaton_states: int) -> tuple[list[int], list[int]]:
    """Thresholds and next states of a rule of an automaton."""
    count = reader.u8("number of thresholds")
    if count > MOST_RULE_THRESHOLDS:
        raise reader.corrupt(f"{count} thresholds of a rule")
    thresholds = list(reader.take(count, "thresholds of a rule"))
    if any(a >= b for a, b in itertools.pairwise(thresholds)):
        raise reader.corrupt(f"thresholds {thresholds} of a rule")
    following = list(reader.take(count + 1, "next states"))
    if any(state >= automaton_states for state in following):
        raise reader.corrupt(f"next states {following} of an automaton of {automaton_states} states")
    return thresholds, following


def _read_table(reader: Reader, m: int, values: int) -> list[int]:
    """By symbol: frequencies, or lengths of codes."""
    first = reader.u8("first symbol")
    count = reader.u8("number of symbols") + 1
    if first + count > values:
        raise reader.corrupt(f"symbols {first} to {first + count - 1} of {values}")
    if m:
        fields = read_fields(reader, count, m)
    else:
        fields = reader.fields(count, 4, "lengths of codes")
        if any(length > LONGEST_CODE for length in fields):
            raise reader.corrupt(f"a code of more than {LONGEST_CODE} bits")
        if sum(2 ** (LONGEST_CODE - length) for length in fields if length) != 2**LONGEST_CODE:
            raise reader.corrupt("an incomplete code")
    return [0] * first + fields + [0] * (values - first - count)


def _with_rans(model: Model, data: Reader, size: int) -> list[int]:
    state = State(data)
    tables = [[Frequencies(model.m, table) for table in of] for of in model.tables]
    slots = [[table.slots for table in of] for of in tables]
    values = [model.values(quantizer) for quantizer in range(len(tables))]
    period = 4 if model.states > 1 else 1
    at, running, before, automaton = 0, model.start * 2**model.shift, 0, model.start
    found, levels = [], []
    for _ in range(size):
        quantizer = at % 2
        table = model.table(quantizer, running, before, automaton)
        value = values[quantizer][state.symbol(tables[quantizer][table], slots[quantizer][table])]
        level = value
        if model.raw_bits:
            raw = state.bits(model.raw_bits)
            level = (value // period * 2**model.raw_bits + raw) * period + value % period
        found.append(value)
        levels.append(level)
        at = model.next_state(at, value)
        running += 16 * min(abs(value), model.cap) - running // 8
        before = value
        automaton = model.next_automaton(automaton, value)
    if model.open_ends and not state.at_end:
        for i, value in enumerate(found):
            if not model.is_open(value):
                continue
            length = state.bits(4)
            extra = state.bits(length) if length else 0
            by = (2**length - 1 + extra) * 2**model.raw_bits * period
            reach = 3 if model.states > 1 else 0
            levels[i] += by if value >= model.hi - reach else -by
    if not state.at_end:
        raise data.corrupt(f"rANS ends in the state {state.x} with {len(state.words)} words left")
    return levels


def _coded(model: Model, data: Reader, size: int) -> list[int]:
    codes = [_codes(of[0]) for of in model.tables]
    values = [model.values(quantizer) for quantizer in range(len(codes))]
    string, position, at, levels = data.data, 0, 0, []
    for _ in range(size):
        code = ""
        while code not in codes[at % 2]:
            if position == 8 * len(string):
                raise data.corrupt("codes run past the end of a tile")
            code += str(bit(string, position))
            position += 1
        levels.append(values[at % 2][codes[at % 2][code]])
        at = model.next_state(at, levels[-1])
    if 8 * len(string) - position >= 8:
        raise data.corrupt("bytes follow the last code of a tile")
    if any(bit(string, i) for i in range(position, 8 * len(string))):
        raise data.corrupt("bits after the last code are not zero")
    return levels


def _codes(lengths: list[int]) -> dict[str, int]:
    """Symbols by their codes, as strings of bits."""
    codes, code, last = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        code <<= length - last
        codes[f"{code:0{length}b}"] = symbol
        code, last = code + 1, length
    return codes

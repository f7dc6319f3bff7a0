"""Builds payloads of codec 4, from docs/format.md section 12 alone: for golden vectors and tests of decoders.

Levels are drawn: a path through the trellis that a generator of numbers picks, each value as often as its table says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from stream_builder import (
    FLOATS,
    SIZES,
    Index,
    Number,
    Payload,
    TileEdit,
    convert,
    f32_bits,
    index_and_data,
    infinity,
    matrix,
    pack_bits,
    pack_fields,
    round_to,
    scale_bits,
    tile_bounds,
    value_of,
    varint,
)

GENERATORS = {4: (5, 2), 8: (11, 4), 16: (19, 4), 32: (37, 8), 64: (67, 20), 128: (157, 86), 256: (333, 242)}
"""h0 and h1 in decimal."""

Draw = Callable[[int], int]
"""A number from 0 on, below the argument."""

Rule = tuple[Sequence[int], Sequence[int]]
"""Of an automaton: thresholds, and one more next states."""


@dataclass
class TrellisModel:
    """A model; see section 12.1.

    Attributes:
        states: N.
        lo, hi: bounds of the values.
        tables: of each quantizer its tables, each of which maps values to frequencies, or to lengths of codes where
            m = 0.
        m: log2 of the sum of frequencies, or 0.
        maps: of each quantizer the table of each cell; None: table (cell mod number of tables).
        raw_bits, open_ends, cap, start, magnitudes, signs: see there.
        automaton: rules, of each its thresholds and next states; the tables of a quantizer are then those of the
            states, there are neither maps nor classes, and the cap is 1.
        change: bytes of the head to write instead of what is right, by their offset.
        map_padding, table_padding: what the unused bits of these strings are or'ed with.
        first_symbols: to write instead of the first symbol of the first tables.
        string: bit string to write instead of the frequencies or lengths of the first table.
    """

    states: int
    lo: int
    hi: int
    tables: list[list[dict[int, int]]]
    m: int = 10
    maps: list[list[int]] | None = None
    raw_bits: int = 0
    open_ends: bool = False
    cap: int = 4
    start: int = 0
    magnitudes: Sequence[int] = ()
    signs: Sequence[int] = ()
    automaton: Sequence[Rule] | None = None
    change: dict[int, int] = field(default_factory=dict)
    map_padding: int = 0
    table_padding: int = 0
    first_symbols: list[int] = field(default_factory=list)
    string: str | None = None

    @property
    def period(self) -> int:
        return 1 if self.states == 1 else 4

    def cells(self) -> int:
        return (len(self.magnitudes) + 1) * (2 * len(self.signs) + 1)

    def map_of(self, quantizer: int) -> list[int]:
        if self.maps is not None:
            return self.maps[quantizer]
        return [cell % len(self.tables[quantizer]) for cell in range(self.cells())]

    def symbols(self, quantizer: int) -> list[int]:
        return [v for v in range(-self.lo, self.hi + 1) if self.states == 1 or (v - quantizer) % 2 == 0]

    def data(self) -> bytes:
        """The bytes of the model."""
        log2 = self.states.bit_length() - 1
        head = [
            log2 | 16 * self.open_ends,
            self.m | self.raw_bits << 4,
            self.lo,
            self.hi,
            self.cap,
            len(self.magnitudes) | len(self.signs) << 3,
            self.start,
        ]
        if self.automaton is not None:
            head[4:6] = [1, len(self.tables[0]) - 1 | 1 << 5]
        for at, byte in self.change.items():
            head[at] = byte
        out = bytearray(bytes(head) + bytes(self.magnitudes) + bytes(self.signs))
        if self.automaton is not None:
            out.append(len(self.automaton) - 1)
            for thresholds, following in self.automaton:
                out += bytes([len(thresholds), *thresholds, *following])
        for quantizer, tables in enumerate(self.tables if self.automaton is None else ()):
            out.append(len(tables) - 1)
            packed = bytearray(pack_fields(self.map_of(quantizer), (len(tables) - 1).bit_length()))
            if packed:
                packed[-1] |= self.map_padding
            out += packed
        firsts = list(self.first_symbols)
        string = self.string
        for quantizer, tables in enumerate(self.tables):
            symbols = self.symbols(quantizer)
            for table in tables:
                used = [i for i, value in enumerate(symbols) if table.get(value)]
                first, last = used[0], used[-1]
                if string is None:
                    string = "".join(self._field(table.get(value, 0)) for value in symbols[first : last + 1])
                packed = bytearray(pack_bits(string))
                packed[-1] |= self.table_padding
                out += bytes([firsts.pop(0) if firsts else first, last - first]) + packed
                string = None
        return bytes(out)

    def _field(self, value: int) -> str:
        if self.m == 0:
            return f"{value:04b}"[::-1]
        length = value.bit_length()
        return f"{length:04b}"[::-1] + (f"{value - 2 ** (length - 1):0{length - 1}b}"[::-1] if length > 1 else "")


@dataclass
class Symbol:
    """A value on the path, the table it is coded with, and what is coded besides."""

    value: int
    table: dict[int, int]
    quantizer: int
    raw: int
    more: int = 0

    def level(self, model: TrellisModel) -> int:
        period, unit = model.period, 1 << model.raw_bits
        low = self.value % period
        level = (self.value - low) * unit + self.raw * period + low
        reach = 3 if model.states > 1 else 0
        outwards = 1 if self.value >= model.hi - reach else -1
        return level + outwards * self.more * unit * period


def draw_tile(model: TrellisModel, count: int, draw: Draw, more: Callable[[], int] = lambda: 0) -> list[Symbol]:
    """A path through the trellis. more: what open ends add."""
    state, before, node = 0, 0, model.start
    shift = 0
    while (128 * model.cap + 7) // 2**shift > 63:
        shift += 1
    running = model.start * 2**shift
    path = []
    for _ in range(count):
        quantizer = state % 2
        magnitude = len([t for t in model.magnitudes if t <= running // 2**shift])
        above = len([t for t in model.signs if t <= abs(before)])
        sign = len(model.signs) + (above if before > 0 else -above)
        cell = magnitude * (2 * len(model.signs) + 1) + sign
        number = model.map_of(quantizer)[cell] if model.automaton is None else node
        table = model.tables[quantizer][number]
        values = [value for value in model.symbols(quantizer) if table.get(value)]
        if model.m:
            slots = [value for value in values for _ in range(table[value])]
        else:
            slots = [value for value in values for _ in range(2 ** (8 - table[value]))]
        value = slots[draw(len(slots))]
        symbol = Symbol(value, table, quantizer, draw(1 << model.raw_bits))
        reach = 3 if model.states > 1 else 0
        if model.open_ends and (value >= model.hi - reach or value <= -model.lo + reach):
            symbol.more = more()
        path.append(symbol)
        running = running - running // 8 + 16 * min(abs(value), model.cap)
        before = value
        if model.automaton is not None:
            thresholds, following = model.automaton[node % len(model.automaton)]
            node = following[len([t for t in thresholds if value >= t - 128])]
        if model.states > 1:
            h0, h1 = GENERATORS[model.states]
            subset = (value + quantizer) // 2 % 2
            state = state // 2 ^ (h0 // 2 if quantizer else 0) ^ (h1 // 2 if subset else 0)
    return path


def encode_tile(model: TrellisModel, path: Sequence[Symbol], end: int = 0) -> bytes:
    """The bytes of a tile. end: the state that a decoder ends with."""
    if model.m == 0:
        return pack_bits("".join(_codes(model, symbol)[symbol.value] for symbol in path))
    steps: list[tuple[int, int, int]] = []  # frequency, slots before, log2 of all slots; in the order of decoding
    for symbol in path:
        values = model.symbols(symbol.quantizer)
        before = sum(symbol.table.get(value, 0) for value in values[: values.index(symbol.value)])
        steps.append((symbol.table[symbol.value], before, model.m))
        if model.raw_bits:
            steps.append((1, symbol.raw, model.raw_bits))
    if any(symbol.more for symbol in path):
        reach = 3 if model.states > 1 else 0
        for symbol in path:
            if model.hi - reach > symbol.value > -model.lo + reach:
                continue
            length = (symbol.more + 1).bit_length() - 1
            steps.append((1, length, 4))
            if length:
                steps.append((1, symbol.more + 1 - 2**length, length))
    words: list[int] = []
    x = end
    for frequency, before, bits in reversed(steps):
        if x >= frequency * 2 ** (32 - bits):
            words.append(x % 2**16)
            x //= 2**16
        x = x // frequency * 2**bits + x % frequency + before
    while x:
        words.append(x % 2**16)
        x //= 2**16
    return b"".join(word.to_bytes(2, "little") for word in reversed(words))


def _codes(model: TrellisModel, symbol: Symbol) -> dict[int, str]:
    codes, next_code = {}, Fraction(0)
    for length in range(1, 9):
        for value in model.symbols(symbol.quantizer):
            if symbol.table.get(value) == length:
                codes[value] = f"{int(next_code * 2**length):0{length}b}"
                next_code += Fraction(1, 2**length)
    return codes


def weight(level: int, scale: int, column: int | None, dtype: str) -> bytes:
    """Level × scale of the row, × scale of the column."""
    bits = round_to(abs(level) * value_of(scale, "f32"), "f32")
    if column is not None and bits < infinity("f32"):
        bits = round_to(value_of(bits, "f32") * value_of(column, "f32"), "f32")
    return convert(bits | (level < 0) << 31, "f32", dtype).to_bytes(SIZES[dtype], "little")


def trellis(
    shape: Sequence[int],
    model: TrellisModel | None,
    draw: Draw,
    *,
    more: Callable[[], int] = lambda: 0,
    tile: Number = 1024,
    dtype: str = "f32",
    step: float = 0.25,
    step_bits: int | None = None,
    rows: Sequence[int] | None = None,
    columns: Sequence[int] | None = None,
    scale_width_byte: int | None = None,
    wide: bool = False,
    down: bool = False,
    coded: Sequence[int] | None = None,
    group_log2: int = 0,
    shared: Number | None = None,
    mode: int | None = None,
    end: int = 0,
    index: Index | None = None,
    edit: TileEdit | None = None,
    tail: bytes = b"",
) -> Payload:
    """A payload of codec 4, with levels that are drawn.

    Args:
        shape: of the tensor.
        model: None: all levels are 0.
        draw: numbers for the path.
        more: what open ends add.
        tile: T.
        dtype: of the weights.
        step, step_bits: the step, or its bits.
        rows, columns: scale codes.
        scale_width_byte: the byte that says w, of the first scale codes.
        wide: levels of 16 bits.
        down: down the columns.
        coded: a bit for each group of rows, or of columns that are gone down: whether tiles have them.
        group_log2: log2 of the rows of a group.
        shared: index of the shared object that the model is.
        mode: to write instead.
        end: state at the end of each tile.
        index, edit, tail: as of :func:`stream_builder.levels`.
    """
    bits = f32_bits(step) if step_bits is None else step_bits
    n_rows, n_columns = matrix(shape)
    if mode is None:
        mode = wide | 2 * down | 4 * (shared is not None) | 8 * (rows is not None) | 16 * (columns is not None)
        mode |= 32 * (model is None) | 64 * (coded is not None)
    out = bytes([mode]) + varint(tile) + bits.to_bytes(4, "little")
    for codes in (rows, columns):
        if codes is not None:
            width = max(1, max(codes).bit_length())
            out += bytes([width if scale_width_byte is None else scale_width_byte]) + pack_fields(codes, width)
            scale_width_byte = None
    if coded is not None:
        out += bytes([group_log2]) + pack_fields(coded, 1)
    cut = (n_columns, n_rows) if down else (n_rows, n_columns)
    bounds = tile_bounds(cut, tile if isinstance(tile, int) and tile > 0 else 1024)
    if model is None:
        levels = [0] * (n_rows * n_columns)
    else:
        out += model.data() if shared is None else varint(shared)
        here = [coded is None or bool(coded[i // cut[1] >> group_log2]) for i in range(n_rows * n_columns)]
        paths = [draw_tile(model, sum(here[first:last]), draw, more) for first, last in bounds]
        out += index_and_data([encode_tile(model, path, end) for path in paths], index, edit)
        drawn = iter([symbol.level(model) for path in paths for symbol in path])
        levels = [next(drawn) if each else 0 for each in here]
    elements = b""
    if dtype in FLOATS and 0 < bits < 0x7F800000:
        for row in range(n_rows):
            for column in range(n_columns):
                level = levels[column * n_rows + row if down else row * n_columns + column]
                scale = scale_bits(bits, rows[row] if rows else None)
                other = scale_bits(f32_bits(1.0), columns[column]) if columns else None
                elements += weight(level, scale, other, dtype)
    return Payload(out + tail, elements, levels, level_size=2 if wide else 1)

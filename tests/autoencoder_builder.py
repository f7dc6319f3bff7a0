"""Builds payloads of codec autoencoder field by field, right or wrong, for golden vectors (docs/format.md, section 14).

It shares no code with the encoder or the decoders. Levels are drawn: residuals that a generator of numbers picks, each
as often as its table says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stream_builder import FLOATS, Index, Payload, f32_bits, index_and_data, matrix, tile_bounds, varint
from trellis_builder import weight

Draw = Callable[[int], int]


@dataclass
class Prior:
    """A class: six weights, a bias, and for each of 28 tables the frequencies of its tokens."""

    weights: Sequence[int]
    bias: int
    tables: Sequence[Sequence[int]]


@dataclass
class PriorModel:
    """A model. What is wrong in it, if anything: offsets by number, bytes by place, bytes that follow."""

    classes: Sequence[Prior]
    layout: int = 1
    offsets: dict[int, int] = field(default_factory=dict)
    change: dict[int, int] = field(default_factory=dict)
    tail: bytes = b""

    def data(self) -> bytes:
        """Its bytes."""
        out = bytearray([self.layout, len(self.classes) - 1])
        for each in self.classes:
            for w in each.weights:
                out += (w % 2**16).to_bytes(2, "little")
            out += (each.bias % 2**32).to_bytes(4, "little")
        tables = bytearray()
        at = len(out) + 56 * len(self.classes)
        number = 0
        for each in self.classes:
            for table in each.tables:
                out += self.offsets.get(number, at + len(tables)).to_bytes(2, "little")
                number += 1
                tables.append(len(table))
                for i in range(len(table)):
                    tables += (sum(table[: i + 1]) % 2**16).to_bytes(2, "little")
        out += tables
        for place, byte in self.change.items():
            out[place] = byte
        return bytes(out) + self.tail


@dataclass
class TunedModel:
    """A model that replaces tables of a universal one. What is wrong in it: as in :class:`PriorModel`.

    Attributes:
        universal: the model it begins from, which has the version.
        classes: for each the class that it begins from, and tables by number.
    """

    universal: PriorModel
    own: Sequence[tuple[int, dict[int, Sequence[int]]]]
    version: int = 1
    reserved: int = 0
    change: dict[int, int] = field(default_factory=dict)
    tail: bytes = b""

    @property
    def classes(self) -> list[Prior]:
        """With all their tables."""
        found = []
        for index, tables in self.own:
            base = self.universal.classes[index]
            found.append(Prior(base.weights, base.bias, [tables.get(t, base.tables[t]) for t in range(28)]))
        return found

    def data(self) -> bytes:
        """Its bytes."""
        out = bytearray([3, len(self.own) - 1]) + self.version.to_bytes(4, "little")
        for index, tables in self.own:
            out.append(index)
            out += (sum(1 << t for t in tables) | self.reserved).to_bytes(4, "little")
            for _, table in sorted(tables.items()):
                out.append(len(table))
                for i in range(len(table)):
                    out += (sum(table[: i + 1]) % 2**16).to_bytes(2, "little")
        for place, byte in self.change.items():
            out[place] = byte
        return bytes(out) + self.tail


def log(f: int) -> int:
    """L of the document."""
    v, e = 2 * f + 1, 0
    while v >= 2 ** (e + 1):
        e += 1
    return 16 * e + 16 * v // 2**e - 16


def draw_tile(  # noqa: PLR0917
    prior: Prior,
    count: int,
    columns: int,
    several: bool,
    z: int,
    draw: Draw,
    *,
    kernel: int = 1,
    fraction: int = 0,
    bias: int = 0,
    taps: Sequence[tuple[int, int]] = (),
    limit: int = 2**15,
    escape: Callable[[], int] = lambda: 0,
) -> tuple[list[int], list[tuple[int, int, int]]]:
    """Levels, and what is coded: frequency, slots before, log2 of all slots."""
    start = (2 + z % 2) * 2 ** (z // 2) // 2
    fast, slow, last = start, 32 * start, start
    column, places = dict.fromkeys(range(columns), 0), dict.fromkeys(range(kernel), start)
    levels: list[int] = []
    steps = [(1, z, 5)]
    for i in range(count):
        c = i % columns
        x = [log(fast), log(slow // 32), log(last), 0, 0, log(start)]
        x[3] = log(column[c]) if i >= columns else x[1]
        x[4] = log(places[c % kernel]) if kernel > 1 else x[0]
        spread = max(0, min(63, (prior.bias + sum(a * b for a, b in zip(prior.weights, x, strict=True))) // 1024))
        raw = max(0, (spread - 24) // 4)
        table = prior.tables[spread - 4 * raw]
        predicted = (bias + 32 + sum(a * levels[i - lag] for lag, a in taps if 1 <= lag <= i)) // 64
        slots = [token for token, frequency in enumerate(table) for _ in range(frequency)]
        for _ in range(20):  # one that stays within the levels, if there is one
            token, low, negative = slots[draw(len(slots))], draw(2**raw), draw(2)
            more = escape() if token == len(table) - 1 else 0
            if abs(predicted) + ((token + more) * 2**raw + low) * 2**fraction < limit:
                break
        else:
            token, low = 0, 0
        mine = [(table[token], sum(table[:token]), 12)]
        value = token
        if token == len(table) - 1:
            length = (more + 1).bit_length() - 1
            mine.append((1, length, 4))
            if length:
                mine.append((1, more + 1 - 2**length, length))
            value += more
        if raw:
            mine.append((1, low, raw))
        magnitude = value * 2**raw + low
        if magnitude and not -limit <= predicted + (-1) ** negative * magnitude * 2**fraction < limit:
            negative = 1 - negative
        if magnitude:
            mine.append((1, negative, 1))
        levels.append(predicted + (-1) ** negative * magnitude * 2**fraction)
        steps += mine
        m = 16 * min(magnitude, 4095)
        fast, slow, last = fast - fast // 4 + m // 4, slow - slow // 32 + m, m
        if several:
            column[c] = (slow // 32 + m) // 2 if i < columns else column[c] - column[c] // 4 + m // 4
        places[c % kernel] += m // 4 - places[c % kernel] // 4
    return levels, steps


def encode_tile(steps: Sequence[tuple[int, int, int]], end: int = 0) -> bytes:
    """The bytes of a tile. end: the state that a decoder ends with."""
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


def autoencoder(
    shape: Sequence[int],
    model: PriorModel | TunedModel | None,
    draw: Draw,
    *,
    chosen: int = 0,
    class_byte: int | None = None,
    tile: int = 1024,
    dtype: str = "f32",
    step: float = 0.25,
    step_bits: int | None = None,
    wide: bool = False,
    down: bool = False,
    shared: int | None = None,
    version: int | None = 1,
    z: int = 8,
    kernel: int = 1,
    fraction: int = 0,
    bias: int = 0,
    taps: Sequence[tuple[int, int]] = (),
    head: int | None = None,
    mode: int | None = None,
    end: int = 0,
    escape: Callable[[], int] = lambda: 0,
    index: Index | None = None,
    tail: bytes = b"",
    cut: int | None = None,
) -> Payload:
    """A payload of codec 5, with levels that are drawn.

    Args:
        shape: of the tensor.
        model: that tiles are drawn with; None: all levels are 0.
        draw: numbers for the residuals.
        chosen: class; class_byte: to write instead.
        tile: T.
        dtype: of the weights.
        step, step_bits: the step, or its bits.
        wide: levels of 16 bits.
        down: down the columns.
        shared: index of the shared object that the model is; version: of the universal model, where it is none.
        z: start of each tile.
        kernel, fraction, bias, taps: K, F, and the predictor; head: the byte of taps and F instead.
        mode: to write instead.
        end: state at the end of each tile.
        escape: what is added where a token opens.
        index: of the tiles; tail: bytes that follow; cut: bytes of the header that are left of all.
    """
    bits = f32_bits(step) if step_bits is None else step_bits
    rows, columns = matrix(shape)
    if mode is None:
        mode = wide | 2 * down | 4 * (shared is not None) | 8 * (model is None)
    out = bytes([mode]) + varint(tile) + bits.to_bytes(4, "little")
    cutting = (columns, rows) if down else (rows, columns)
    found: list[int] = []
    if model is None:
        found = [0] * (rows * columns)
    else:
        out += varint(version if shared is None else shared)
        out += bytes([chosen if class_byte is None else class_byte, kernel - 1])
        out += bytes([len(taps) | fraction << 4 if head is None else head]) + (bias % 2**32).to_bytes(4, "little")
        for lag, coefficient in taps:
            out += lag.to_bytes(2, "little") + bytes([coefficient % 256])
        width = rows if down else columns
        parts = []
        for first, last in tile_bounds(cutting, tile if tile > 0 else 1024):
            levels, steps = draw_tile(
                model.classes[chosen],
                last - first,
                min(width, tile) or width,
                width * 2 <= (tile or 1024),
                z,
                draw,
                kernel=kernel,
                fraction=fraction,
                bias=bias,
                taps=taps,
                limit=2**15 if wide else 2**7,
                escape=escape,
            )
            found += levels
            parts.append(encode_tile(steps, end))
        out += index_and_data(parts, index, None)
    if cut is not None:
        out = out[:cut]
    out += tail
    if down:
        ordered = [found[c * rows + r] for r in range(rows) for c in range(columns)]
    else:
        ordered = found
    elements = b""
    if dtype in FLOATS and 0 < bits < 0x7F800000:
        elements = b"".join(weight(level, bits, None, dtype) for level in ordered)
    return Payload(out, elements, found, level_size=2 if wide else 1)

"""Builds model streams from descriptions, valid ones and broken ones, for tests and for the golden vectors.

Independent of the production encoder and of both decoders: it follows docs/format.md the other way round, in plain
Python, and imports nothing of neuralcodec. Whatever a description does not say is filled in as the format wants it;
whatever it says goes into the stream, right or wrong.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

Number = int | bytes
"""Where a varint is wanted: its value, or its bytes, to write one that is wrong."""

DTYPES = {
    "f32": 1, "f16": 2, "bf16": 3, "f64": 4, "i8": 5, "u8": 6, "i16": 7, "i32": 8,
    "i64": 9, "bool": 10, "f8_e4m3fn": 11, "f8_e5m2": 12, "u16": 13, "u32": 14, "u64": 15, "complex64": 16,
}  # fmt: skip
SIZES = {
    "f32": 4, "f16": 2, "bf16": 2, "f64": 8, "i8": 1, "u8": 1, "i16": 2, "i32": 4,
    "i64": 8, "bool": 1, "f8_e4m3fn": 1, "f8_e5m2": 1, "u16": 2, "u32": 4, "u64": 8, "complex64": 8,
}  # fmt: skip
FLOATS = ("f32", "f16", "bf16", "f64")
CHECKPOINT = 16


# Section 1: bits and bytes


def varint(value: Number) -> bytes:
    """Unsigned LEB128, shortest form; bytes are passed on."""
    if isinstance(value, bytes):
        return value
    out = bytearray()
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    return bytes(out)


def pack_bits(bits: str) -> bytes:
    """The bytes of a bit string that is written as '0' and '1', first bit first; unused bits are zero."""
    return bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))


def pack_fields(values: Sequence[int], width: int) -> bytes:
    """The bytes of a bit string of fields, each with its least significant bit first."""
    return pack_bits("".join(f"{value:0{width}b}"[::-1] for value in values) if width else "")


def crc32(data: bytes) -> int:
    return zlib.crc32(data)


def ceil_div(a: int, b: int) -> int:
    return (a + b - 1) // b


# Floats: exact arithmetic, rounded once

FORMATS = {"f32": (8, 23), "f16": (5, 10), "bf16": (8, 7), "f64": (11, 52)}
"""Bits of exponent and mantissa."""


def infinity(dtype: str) -> int:
    """The bits of positive infinity."""
    exponent_bits, mantissa_bits = FORMATS[dtype]
    return ((1 << exponent_bits) - 1) << mantissa_bits


def round_to(value: Fraction, dtype: str) -> int:
    """The bits of the number of a format that is nearest to an exact value, ties to even. Zero is positive."""
    if value == 0:
        return 0
    exponent_bits, mantissa_bits = FORMATS[dtype]
    sign = 1 << (exponent_bits + mantissa_bits) if value < 0 else 0
    bias = (1 << (exponent_bits - 1)) - 1
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()  # this, or one too many
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1
    exponent = max(exponent, 1 - bias)  # that of subnormal numbers is the least
    units = round(magnitude / Fraction(2) ** (exponent - mantissa_bits))  # Fraction rounds ties to even
    bits = units + ((exponent + bias - 1) << mantissa_bits)  # a carry goes to the exponent
    return sign | min(bits, infinity(dtype))


def value_of(bits: int, dtype: str) -> Fraction:
    """The exact value of a finite number."""
    exponent_bits, mantissa_bits = FORMATS[dtype]
    bias = (1 << (exponent_bits - 1)) - 1
    mantissa = bits & ((1 << mantissa_bits) - 1)
    exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1)
    if exponent:
        mantissa += 1 << mantissa_bits
    else:
        exponent = 1
    value = Fraction(mantissa) * Fraction(2) ** (exponent - bias - mantissa_bits)
    return -value if bits >> (exponent_bits + mantissa_bits) else value


def f32_bits(value: float) -> int:
    return round_to(Fraction(value), "f32")


SCALE_FACTORS = (0x3F800000, 0x3F6AC0C7, 0x3F5744FD, 0x3F45672A, 0x3F3504F3, 0x3F25FED7, 0x3F1837F0, 0x3F0B95C2)


def scale_bits(step: int, k: int | None) -> int:
    """The bits of the f32 scale of a row, from those of the step and the row's scale code."""
    if k is None:
        return step
    product = round_to(value_of(step, "f32") * value_of(SCALE_FACTORS[k % 8], "f32"), "f32")
    return round_to(value_of(product, "f32") / 2 ** (k // 8), "f32")


def weight_bytes(level: int, scale: int, dtype: str) -> bytes:
    """Level × scale, rounded to f32, then to the dtype; the sign is the level's even where that gives −0."""
    product = round_to(abs(level) * value_of(scale, "f32"), "f32")
    bits = infinity(dtype) if product == infinity("f32") else round_to(value_of(product, "f32"), dtype)
    size = SIZES[dtype]
    return (bits | (level < 0) << (8 * size - 1)).to_bytes(size, "little")


# Section 7: code tables


@dataclass
class Table:
    """A code table.

    Attributes:
        counts: number of codes of each length, from the shortest on; one code of no bits for a constant code.
        symbols: bytes in the order of the codes; None: not listed.
        shortest: Lmin.
        pairs: symbols are pairs of levels.
        zeros: −128 is two levels 0.
        ranks: symbols are ranks, for indices.
        lengths_byte, flags_byte: to write wrong ones.
    """

    counts: list[int]
    symbols: list[int] | None = None
    shortest: int = 0
    pairs: bool = False
    zeros: bool = False
    ranks: bool = False
    lengths_byte: int | None = None
    flags_byte: int | None = None

    @classmethod
    def of(cls, lengths: dict[int, int], pairs: bool = False) -> Table:
        """A listed table from the code length of each byte; symbols of a length are in the order of the dict."""
        order = sorted(lengths, key=lambda symbol: lengths[symbol])
        low, high = min(lengths.values()), max(lengths.values())
        counts = [sum(length == n for length in lengths.values()) for n in range(low, high + 1)]
        return cls(counts, order, low, pairs)

    @classmethod
    def constant(cls, symbol: int | None = None, pairs: bool = False) -> Table:
        """A constant code; None: rank 0, not listed."""
        return cls([1], None if symbol is None else [symbol & 255], 0, pairs)

    @property
    def is_constant(self) -> bool:
        return self.shortest == 0 and self.counts == [1]

    def ranked(self) -> list[int]:
        """Bytes in the order of the codes."""
        if self.symbols is not None:
            return self.symbols
        if self.ranks:
            return list(range(sum(self.counts)))
        return [((r + 1) // 2 * (-1 if r % 2 else 1)) & 255 for r in range(sum(self.counts))]

    def codes(self) -> dict[int, str]:
        """The code of each byte, first bit first."""
        codes, code, rank = {}, 0, 0
        if self.is_constant:
            return {self.ranked()[0]: ""}
        for length, count in enumerate(self.counts, self.shortest):
            code <<= 1
            for symbol in self.ranked()[rank : rank + count]:
                codes[symbol] = f"{code:0{length}b}"
                code += 1
            rank += count
        return codes

    def data(self) -> bytes:
        """The bytes of the table."""
        longest = self.shortest + max(len(self.counts), 1) - 1
        lengths = self.shortest | longest << 4 if self.lengths_byte is None else self.lengths_byte
        flags = (
            (self.symbols is not None) | self.pairs << 1 | self.zeros << 2 | self.ranks << 3
            if self.flags_byte is None
            else self.flags_byte
        )
        return bytes([lengths, flags, *self.counts, *(self.symbols or [])])

    def encode(self, symbols: Sequence[int]) -> bytes:
        """The codes of symbols, back to back, up to a whole byte."""
        codes = self.codes()
        return pack_bits("".join(codes[symbol] for symbol in symbols))

    def encode_levels(self, levels: Sequence[int]) -> bytes:
        """The codes of levels, one by one or in pairs."""
        if self.zeros:
            return self.encode(two_zeros(levels))
        if not self.pairs:
            return self.encode([level & 255 for level in levels])
        padded = [*levels, 0]
        return self.encode([padded[i] & 15 | (padded[i + 1] & 15) << 4 for i in range(0, len(levels), 2)])


def two_zeros(levels: Sequence[int]) -> list[int]:
    """The symbols of levels, of which two 0 in a row become −128."""
    out: list[int] = []
    left = list(levels)
    while left:
        if left[:2] == [0, 0]:
            out.append(0x80)
            left = left[2:]
        else:
            out.append(left.pop(0) & 255)
    return out


# Section 11: frequency tables


@dataclass
class Frequencies:
    """A frequency table.

    Attributes:
        m: log2 of the sum.
        values: frequency of each symbol.
        m_byte, count_byte: to write wrong ones.
        fields: bit string to write instead of the frequencies.
        padding: what the unused bits of the last byte are or'ed with.
    """

    m: int
    values: list[int]
    m_byte: int | None = None
    count_byte: int | None = None
    fields: str | None = None
    padding: int = 0

    @property
    def is_constant(self) -> bool:
        return 2**self.m in self.values

    def data(self) -> bytes:
        """The bytes of the table."""
        string = self.fields
        if string is None:
            string = ""
            for value in self.values:
                length = value.bit_length()
                string += f"{length:04b}"[::-1]
                if length > 1:
                    string += f"{value - 2 ** (length - 1):0{length - 1}b}"[::-1]
        packed = bytearray(pack_bits(string))
        packed[-1] |= self.padding
        count = len(self.values) - 1 if self.count_byte is None else self.count_byte
        return bytes([self.m if self.m_byte is None else self.m_byte, count, *packed])

    def encode(self, symbols: Sequence[int], start: int = 0) -> bytes:
        """The tile of symbols; ``start`` is the state that decoding ends with."""
        x = start
        words: list[int] = []
        for symbol in reversed(symbols):
            f, c = self.values[symbol], sum(self.values[:symbol])
            if x >= f << (32 - self.m):
                words.append(x % 2**16)
                x //= 2**16
            x = (x // f) * 2**self.m + x % f + c
        if x:
            words.append(x % 2**16)
        if x >= 2**16:
            words.append(x // 2**16)
        return b"".join(word.to_bytes(2, "little") for word in reversed(words))


def split_lengths(choices: Sequence[int], longest: int = 15) -> list[int]:
    """Lengths of a complete code of ``len(choices) + 1`` symbols: each choice says which leaf is split in two."""
    leaves = [0]
    for choice in choices:
        able = [i for i, length in enumerate(leaves) if length < longest]
        i = able[choice % len(able)]
        leaves[i : i + 1] = [leaves[i] + 1] * 2
    return leaves


# Section 4: tiles


def matrix(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns."""
    rows = shape[0] if len(shape) > 1 else 1
    columns = 1
    for d in shape if len(shape) < 2 else shape[1:]:
        columns *= d
    return rows, columns


def tile_bounds(shape: Sequence[int], length: int) -> list[tuple[int, int]]:
    """First element of each tile, and the one after its last."""
    rows, columns = matrix(shape)
    if rows * columns == 0:
        return []
    if columns <= length:
        step = length // columns
        return [(row * columns, min(row + step, rows) * columns) for row in range(0, rows, step)]
    return [
        (row * columns + column, row * columns + min(column + length, columns))
        for row in range(rows)
        for column in range(0, columns, length)
    ]


@dataclass
class Index:
    """What to write in a tile index instead of what is right.

    Attributes:
        least: least size, a varint.
        width: W, the width that fields are written in; ``width_byte`` is the byte that says so.
        fields: the fields.
        checkpoints: offsets of the tiles 16, 32, …
        padding: what the unused bits of the fields' last byte are or'ed with.
    """

    least: Number | None = None
    width: int | None = None
    width_byte: int | None = None
    fields: list[int] | None = None
    checkpoints: list[int] | None = None
    padding: int = 0


def tile_index(sizes: Sequence[int], index: Index | None = None) -> bytes:
    """The tile index of tiles of these sizes."""
    index = index or Index()
    if len(sizes) <= 1:
        return b""
    least = min(sizes) if index.least is None else index.least
    fields = index.fields
    if fields is None:
        fields = [size - (least if isinstance(least, int) else 0) for size in sizes]
    width = max(fields).bit_length() if index.width is None else index.width
    out = varint(least) + bytes([width if index.width_byte is None else index.width_byte])
    if len(sizes) > CHECKPOINT:
        points = index.checkpoints
        if points is None:
            points = [sum(sizes[:i]) for i in range(CHECKPOINT, len(sizes), CHECKPOINT)]
        out += b"".join(point.to_bytes(4, "little") for point in points)
    packed = bytearray(pack_fields(fields, width))
    if packed:
        packed[-1] |= index.padding
    return out + bytes(packed)


# Sections 5 and 6: payloads


@dataclass
class Payload:
    """A payload and what it stands for.

    Attributes:
        data: its bytes.
        elements: element bytes that a decoder gives for it.
        levels: levels, if it has them, in the order of the tiles.
        indices: indices into a codebook, if it has them.
        level_size: bytes of a level.
    """

    data: bytes
    elements: bytes = b""
    levels: list[int] | None = None
    indices: list[int] | None = None
    level_size: int = 1

    @property
    def output(self) -> bytes:
        """Levels, little-endian; or indices where there are none; or element bytes where those are missing, too."""
        if self.levels is not None:
            return b"".join(level.to_bytes(self.level_size, "little", signed=True) for level in self.levels)
        return self.elements if self.indices is None else bytes(self.indices)


TileEdit = Callable[[list[bytes]], list[bytes]]
"""Changes the data of the tiles before they are put together."""


def raw(elements: bytes) -> Payload:
    """Codec 1."""
    return Payload(elements, elements)


def levels(
    shape: Sequence[int],
    values: Sequence[int],
    table: Table,
    *,
    tile: Number = 1024,
    dtype: str = "f32",
    step: float = 0.5,
    step_bits: int | None = None,
    scales: Sequence[int] | None = None,
    scale_width: int | None = None,
    scale_width_byte: int | None = None,
    scale_padding: int = 0,
    shared: Number | None = None,
    mode: int | None = None,
    index: Index | None = None,
    edit: TileEdit | None = None,
    tail: bytes = b"",
) -> Payload:
    """Codec 2, levels.

    Args:
        shape: of the tensor.
        values: its levels.
        table: the code, also where it is shared.
        tile: T.
        dtype: what the levels are decoded to.
        step: the scale.
        step_bits: its bits instead.
        scales: scale code of each row.
        scale_width: w; ``scale_width_byte`` is the byte that says so.
        scale_padding: what the unused bits of the scale codes' last byte are or'ed with.
        shared: index of the shared object that the table is.
        mode: the mode byte.
        index: overrides of the tile index.
        edit: changes tiles, and so the index.
        tail: bytes after the payload.
    """
    bits = f32_bits(step) if step_bits is None else step_bits
    if mode is None:
        mode = 4 * (shared is not None) | 8 * (scales is not None)
    out = bytes([mode]) + varint(tile) + bits.to_bytes(4, "little")
    if scales is not None:
        width = scale_width or max(1, max(scales).bit_length())
        packed = bytearray(pack_fields(scales, width))
        packed[-1] |= scale_padding
        out += bytes([width if scale_width_byte is None else scale_width_byte]) + bytes(packed)
    out += table.data() if shared is None else varint(shared)
    if not table.is_constant:
        bounds = tile_bounds(shape, tile if isinstance(tile, int) and tile > 0 else 1024)
        tiles = [table.encode_levels(values[first:last]) for first, last in bounds]
        out += index_and_data(tiles, index, edit)
    columns = matrix(shape)[1]
    elements = b"".join(
        weight_bytes(value, scale_bits(bits, scales[i // columns] if scales else None), dtype)
        for i, value in enumerate(values)
        if dtype in FLOATS and 0 < bits < 0x7F800000
    )
    return Payload(out + tail, elements, list(values))


@dataclass
class Plane:
    """A plane of the lossless mode: stored without a table, coded with one.

    Attributes:
        table: its code.
        shared: index of the shared object that the table is.
        kind: the kind byte, to write a wrong one.
    """

    table: Table | None = None
    shared: Number | None = None
    kind: int | None = None

    def header(self) -> bytes:
        kind = 0 if self.table is None else 1 if self.shared is None else 2
        after = b"" if self.table is None else self.table.data() if self.shared is None else varint(self.shared)
        return bytes([kind if self.kind is None else self.kind]) + after


STORED = Plane()


def plane_bytes(elements: bytes, dtype: str) -> list[bytes]:
    """The planes of element bytes, most significant first."""
    size = SIZES[dtype]
    words = [int.from_bytes(elements[i : i + size], "little") for i in range(0, len(elements), size)]
    if dtype in FLOATS:
        bits = 8 * size
        words = [word << 1 & (2**bits - 1) | word >> (bits - 1) for word in words]
    return [bytes(word >> 8 * (size - 1 - p) & 255 for word in words) for p in range(size)]


def lossless(
    shape: Sequence[int],
    dtype: str,
    elements: bytes,
    planes: Sequence[Plane],
    *,
    tile: Number = 1024,
    mode: int = 1,
    index: Index | None = None,
    edit: TileEdit | None = None,
    tail: bytes = b"",
) -> Payload:
    """Codec 2, lossless; arguments as of :func:`levels`."""
    out = bytes([mode]) + varint(tile) + b"".join(plane.header() for plane in planes)
    strings = plane_bytes(elements, dtype)
    tables = [plane.table for plane in planes]
    if any(table is None or not table.is_constant for table in tables):
        tiles = []
        for first, last in tile_bounds(shape, tile if isinstance(tile, int) and tile > 0 else 1024):
            cut = [string[first:last] for string in strings]
            stored = [part for part, table in zip(cut, tables, strict=True) if table is None]
            coded = [table.encode(part) for part, table in zip(cut, tables, strict=True) if table is not None]
            tiles.append(b"".join(stored + coded))
        out += index_and_data(tiles, index, edit)
    return Payload(out + tail, elements)


# Section 10: indices

CENTROIDS = {"f32": 0, "f16": 1, "bf16": 2, "i8": 3}


def centroid_bytes(book: Sequence[int], kind: str) -> bytes:
    """Centroids, which are given as the bits of floats, or as levels."""
    size = 1 if kind == "i8" else SIZES[kind]
    return b"".join((c & 256**size - 1).to_bytes(size, "little") for c in book)


def convert(bits: int, old: str, new: str) -> int:
    """The bits of a float in another format; infinities and the usual NaN stay what they are."""
    exponent_bits, mantissa_bits = FORMATS[old]
    width = exponent_bits + mantissa_bits
    magnitude = bits & (1 << width) - 1
    sign = bits >> width << (FORMATS[new][0] + FORMATS[new][1])
    if magnitude == infinity(old):
        return sign | infinity(new)
    if magnitude > infinity(old):
        return sign | infinity(new) | 1 << (FORMATS[new][1] - 1)
    return sign | round_to(value_of(magnitude, old), new)


def centroid_weight(centroid: int, kind: str, scale: int | None, dtype: str) -> bytes:
    """The element that a centroid and the f32 scale of its row (None: no step) stand for."""
    if kind == "i8":
        assert scale is not None
        return weight_bytes(centroid, scale, dtype)
    wide = convert(centroid, kind, "f32")
    if scale == 0 and wide & 0x7FFFFFFF == infinity("f32"):
        wide = infinity("f32") | 1 << 22  # infinity times 0 is NaN
    elif scale is not None and wide & 0x7FFFFFFF < infinity("f32"):
        product = round_to(value_of(wide & 0x7FFFFFFF, "f32") * value_of(scale, "f32"), "f32")
        wide = wide & 1 << 31 | product
    return convert(wide, "f32", dtype).to_bytes(SIZES[dtype], "little")


def kmeans(
    shape: Sequence[int],
    indices: Sequence[int],
    books: Sequence[Sequence[int]],
    table: Table | Frequencies | None = None,
    *,
    kind: str = "f16",
    tile: Number = 1024,
    dtype: str = "f32",
    group: Number | None = None,
    step: float | None = None,
    step_bits: int | None = None,
    scales: Sequence[int] | None = None,
    scale_width_byte: int | None = None,
    shared_book: Number | None = None,
    shared_table: Number | None = None,
    mode: int | None = None,
    kind_byte: int | None = None,
    size_byte: int | None = None,
    index: Index | None = None,
    edit: TileEdit | None = None,
    data: bytes | None = None,
    tail: bytes = b"",
) -> Payload:
    """Codec 3.

    Args:
        shape: of the tensor.
        indices: of its elements.
        books: the codebook, or one for each group of rows; centroids as bits of their type, or levels.
        table: the code of the indices; None: fixed width.
        kind: type of the centroids.
        tile: T.
        dtype: of the weights.
        group: G.
        step, step_bits: the scale, or its bits.
        scales: scale code of each row.
        scale_width_byte: the byte that says w.
        shared_book, shared_table: indices of shared objects.
        mode, kind_byte, size_byte: bytes to write instead of the right ones.
        index, edit: as of :func:`levels`.
        data: instead of the indices of fixed width.
        tail: bytes after the payload.
    """
    bits = step_bits if step_bits is not None else None if step is None else f32_bits(step)
    if mode is None:
        mode = 0 if table is None else 1 if isinstance(table, Table) else 2
        mode |= 4 * (shared_table is not None) | 8 * (scales is not None) | 16 * (shared_book is not None)
        mode |= 32 * (group is not None) | 64 * (bits is not None)
    out = bytes([mode]) + varint(tile)
    if group is not None:
        out += varint(group)
    if shared_book is None:
        out += bytes([CENTROIDS[kind] if kind_byte is None else kind_byte])
        out += bytes([len(books[0]) - 1 if size_byte is None else size_byte])
        out += b"".join(centroid_bytes(book, kind) for book in books)
    else:
        out += varint(shared_book)
    if bits is not None:
        out += bits.to_bytes(4, "little")
    if scales is not None:
        width = max(1, max(scales).bit_length())
        out += bytes([width if scale_width_byte is None else scale_width_byte]) + pack_fields(scales, width)
    if table is None:
        width = (len(books[0]) - 1).bit_length()
        out += pack_fields(indices, width) if data is None else data
    else:
        out += table.data() if shared_table is None else varint(shared_table)
        if not table.is_constant:
            bounds = tile_bounds(shape, tile if isinstance(tile, int) and tile > 0 else 1024)
            out += index_and_data([table.encode(indices[first:last]) for first, last in bounds], index, edit)
    columns = matrix(shape)[1]
    rows = group if isinstance(group, int) and group > 0 else matrix(shape)[0]

    def book_of(i: int) -> Sequence[int]:
        return books[min(i // columns // rows, len(books) - 1)]

    centroids = [book_of(i)[min(j, len(books[0]) - 1)] for i, j in enumerate(indices)]
    elements = b""
    if dtype in FLOATS and (bits is None or 0 < bits < 0x7F800000) and (kind != "i8" or bits is not None):
        for i, centroid in enumerate(centroids):
            scale = None if bits is None else scale_bits(bits, scales[i // columns] if scales else None)
            elements += centroid_weight(centroid, kind, scale, dtype)
    return Payload(out + tail, elements, list(centroids) if kind == "i8" else None, list(indices))


def index_and_data(tiles: list[bytes], index: Index | None, edit: TileEdit | None) -> bytes:
    if edit is not None:
        tiles = edit(tiles)
    return tile_index([len(tile) for tile in tiles], index) + b"".join(tiles)


# Section 3: the stream


@dataclass
class Shared:
    """A shared object; kind, size and crc to write wrong ones."""

    data: bytes
    kind: int = 1
    size: Number | None = None
    crc: int | None = None

    def record(self) -> bytes:
        size = len(self.data) if self.size is None else self.size
        crc = crc32(self.data) if self.crc is None else self.crc
        return bytes([self.kind]) + varint(size) + crc.to_bytes(4, "little")


@dataclass
class Tensor:
    """A tensor; what is None follows from the rest.

    Attributes:
        name: its name.
        shape: its dimensions.
        payload: its payload.
        dtype: name or number.
        codec: its number.
        tied_to: index of the tensor that it is tied to.
        codec_name: of codec 255.
        prefix, suffix_size: P and Q.
        dimensions: the byte that says how many there are.
        size, crc: of the payload, as the directory has them.
        codec_name_size: the byte before the codec's name.
    """

    name: str | bytes = ""
    shape: Sequence[Number] = ()
    payload: Payload = field(default_factory=lambda: Payload(b""))
    dtype: str | int = "f32"
    codec: int = 2
    tied_to: Number | None = None
    codec_name: bytes = b""
    prefix: Number | None = None
    suffix_size: Number | None = None
    dimensions: int | None = None
    size: Number | None = None
    crc: int | None = None
    codec_name_size: int | None = None

    @property
    def name_bytes(self) -> bytes:
        return self.name if isinstance(self.name, bytes) else self.name.encode()

    def record(self, named: bool, before: bytes) -> bytes:
        out = self._name(before) if named else b""
        if self.tied_to is not None:
            return out + b"\0" + varint(self.tied_to)
        number = self.dtype if isinstance(self.dtype, int) else DTYPES[self.dtype]
        out += bytes([self.codec, number, len(self.shape) if self.dimensions is None else self.dimensions])
        out += b"".join(varint(d) for d in self.shape)
        if self.codec == 255:
            size = len(self.codec_name) if self.codec_name_size is None else self.codec_name_size
            out += bytes([size]) + self.codec_name
        out += varint(len(self.payload.data) if self.size is None else self.size)
        return out + (crc32(self.payload.data) if self.crc is None else self.crc).to_bytes(4, "little")

    def _name(self, before: bytes) -> bytes:
        name = self.name_bytes
        common = 0
        while common < min(len(name), len(before)) and name[common] == before[common]:
            common += 1
        prefix = common if self.prefix is None else self.prefix
        suffix = name[prefix:] if isinstance(prefix, int) else name
        return varint(prefix) + varint(len(suffix) if self.suffix_size is None else self.suffix_size) + suffix


@dataclass
class Model:
    """A stream.

    Attributes:
        tensors: its tensors, in the order of the directory.
        shared: its shared objects.
        named: whether tensors have names.
        magic, version, flags, reserved: of the fixed part.
        header_size: H.
        header_crc: the header's checksum.
        n_shared, n_tensors: what the directory says.
        directory_tail: bytes after the directory, inside the header.
        cut_directory: bytes missing at the directory's end.
        tail: bytes after the last payload.
        cut: bytes missing at the stream's end.
    """

    tensors: Sequence[Tensor] = ()
    shared: Sequence[Shared] = ()
    named: bool = True
    magic: bytes = b"NCDM"
    version: int = 1
    flags: int | None = None
    reserved: int = 0
    header_size: int | None = None
    header_crc: int | None = None
    n_shared: Number | None = None
    n_tensors: Number | None = None
    directory_tail: bytes = b""
    cut_directory: int = 0
    tail: bytes = b""
    cut: int = 0

    def data(self) -> bytes:
        """The bytes of the stream."""
        directory = varint(len(self.shared) if self.n_shared is None else self.n_shared)
        directory += b"".join(shared.record() for shared in self.shared)
        directory += varint(len(self.tensors) if self.n_tensors is None else self.n_tensors)
        before = b""
        for tensor in self.tensors:
            directory += tensor.record(self.named, before)
            before = tensor.name_bytes
        directory = directory[: len(directory) - self.cut_directory] + self.directory_tail
        flags = (0 if self.named else 1) if self.flags is None else self.flags
        size = 16 + len(directory) if self.header_size is None else self.header_size
        fixed = self.magic + struct.pack("<BBHI", self.version, flags, self.reserved, size)
        bodies = b"".join(shared.data for shared in self.shared)
        bodies += b"".join(tensor.payload.data for tensor in self.tensors if tensor.tied_to is None)
        covered = fixed + (directory + bodies)[: max(0, size - 16)]
        crc = crc32(covered) if self.header_crc is None else self.header_crc
        out = fixed + crc.to_bytes(4, "little") + directory + bodies + self.tail
        return out[: len(out) - self.cut]


# Section 2: the file


def metadata_value(foreign: dict[str, str], version: int = 1) -> str:
    """The value of our key in a file's metadata."""
    text = json.dumps(foreign, sort_keys=True, separators=(",", ":"))
    return f"{version} {crc32(text.encode()):08x}"


def safetensors(
    stream: bytes,
    foreign: dict[str, str] | None = None,
    *,
    value: str | None = None,
    header: object = None,
    header_bytes: bytes | None = None,
    tail: bytes = b"",
) -> bytes:
    """A file with a stream; value, header or its bytes to write wrong ones."""
    foreign = foreign or {}
    if header is None:
        header = {
            "__metadata__": {"neuralcodec": metadata_value(foreign) if value is None else value, **foreign},
            "neuralcodec": {"dtype": "U8", "shape": [len(stream)], "data_offsets": [0, len(stream)]},
        }
    text = json.dumps(header, separators=(",", ":")).encode() if header_bytes is None else header_bytes
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + stream + tail

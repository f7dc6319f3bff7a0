"""The reference decoder: its primitives against cases worked out by hand, and whole streams against the builder."""

import contextlib
import hashlib
import json
import math
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_builder import (
    FLOATS,
    SIZES,
    STORED,
    Index,
    Model,
    Payload,
    Plane,
    Shared,
    Table,
    Tensor,
    crc32,
    levels,
    lossless,
    metadata_value,
    pack_fields,
    plane_bytes,
    raw,
    round_to,
    safetensors,
    split_lengths,
    tile_bounds,
    varint,
)

from neuralcodec import reference
from neuralcodec.errors import BitstreamError, CorruptError, TruncatedError, UnsupportedError
from neuralcodec.reference import floats, frequencies, huffman, primitives, tables, tiles

VECTORS = Path(__file__).resolve().parent / "vectors"
SMALL = Table([1, 1, 2], shortest=1)


def read_one(payload, shape, dtype="f32", shared=(), **more):
    """The one tensor of a stream that the builder makes."""
    tensor = Tensor("w", shape, payload, dtype, **more)
    return reference.read_stream(Model([tensor], shared).data()).tensors[0]


# Section 1


@pytest.mark.parametrize(
    ("data", "value"),
    [("00", 0), ("7f", 127), ("8001", 128), ("ac02", 300), ("ffff03", 65_535), ("ff" * 7 + "7f", 2**56 - 1)],
)
def test_varint(data, value):
    reader = primitives.Reader(bytes.fromhex(data))
    assert reader.varint("x") == value
    assert reader.left == 0
    assert varint(value).hex() == data


@pytest.mark.parametrize("data", ["", "80", "8000", "ff00", "808000", "ff" * 8, "ff" * 8 + "01", "80" * 7 + "00"])
def test_varint_refused(data):
    with pytest.raises(CorruptError):
        primitives.Reader(bytes.fromhex(data)).varint("x")


def test_crc32_check_value():
    assert primitives.crc32(b"123456789") == 0xCBF43926


def test_fields():
    # 5, 3, 6 in 3 bits: 101 110 011 with the least significant bit first, so bits 0 to 8 are 1 0 1 1 1 0 0 1 1.
    assert primitives.Reader(bytes([0b10011101, 0b1])).fields(3, 3, "x") == [5, 3, 6]
    assert primitives.Reader(b"\x34\x12").fields(1, 16, "x") == [0x1234]
    assert primitives.Reader(b"").fields(5, 0, "x") == [0] * 5


@pytest.mark.parametrize("unused", range(1, 8))
def test_fields_unused_bits(unused):
    with pytest.raises(CorruptError, match="unused"):
        primitives.Reader(bytes([0xFF, 1 | 1 << unused])).fields(3, 3, "x")


@given(st.lists(st.integers(0, 2**64 - 1)), st.integers(0, 24))
def test_fields_round_trip(values, width):
    values = [value % (1 << width) for value in values]
    assert primitives.Reader(pack_fields(values, width)).fields(len(values), width, "x") == values


def test_errors_tell_the_place():
    reader = primitives.Reader(b"\0\0", origin=40, tensor="w", position=1)
    error = reader.corrupt("wrong")
    assert (error.offset, error.tensor) == (41, "w")
    with pytest.raises(CorruptError) as caught:
        reader.take(2, "x")
    assert caught.value.offset == 41


# Section 4


@pytest.mark.parametrize(
    ("shape", "matrix"),
    [((), (1, 1)), ((7,), (1, 7)), ((0,), (1, 0)), ((3, 4), (3, 4)), ((5, 2, 3, 3), (5, 18)), ((0, 3), (0, 3)),
     ((2, 2**33, 0), (2, 0)), ((2, 0, 2**33), (2, 0))],
)  # fmt: skip
def test_matrix(shape, matrix):
    assert tiles.rows_and_columns(shape) == matrix


@pytest.mark.parametrize(
    ("rows", "columns", "length", "expected"),
    [
        # Two rows of 3 fit in 7; the last tile has one.
        (5, 3, 7, [(0, 0, 2, 3), (2, 0, 2, 3), (4, 0, 1, 3)]),
        # Five columns in pieces of 2, of each row.
        (2, 5, 2, [(0, 0, 1, 2), (0, 2, 1, 2), (0, 4, 1, 1), (1, 0, 1, 2), (1, 2, 1, 2), (1, 4, 1, 1)]),
        (1, 3, 3, [(0, 0, 1, 3)]),
        (3, 1, 65_535, [(0, 0, 3, 1)]),
        (1, 2, 1, [(0, 0, 1, 1), (0, 1, 1, 1)]),
    ],
)
def test_tiling(rows, columns, length, expected):
    tiling = tiles.Tiling(rows, columns, length)
    found = [tiling[i] for i in range(tiling.count)]
    assert [(t.row, t.column, t.rows, t.columns) for t in found] == expected
    assert [t.start for t in found] == [row * columns + column for row, column, _, _ in expected]
    for i in (-1, tiling.count):
        with pytest.raises(IndexError):
            tiling[i]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 100))
def test_tiles_cover_the_tensor(rows, columns, length):
    tiling = tiles.Tiling(rows, columns, length)
    position = 0
    for i in range(tiling.count):
        assert tiling[i].start == position
        assert 0 < tiling[i].size <= max(length, 1)
        position += tiling[i].size
    assert position == rows * columns
    starts = [first for first, _ in tile_bounds((rows, columns), length)]
    assert starts == [tiling[i].start for i in range(tiling.count)]


def test_index_by_hand():
    # Three tiles of 2, 3 and 2 bytes: least 2, W = 1, fields 0 1 0, then seven bytes of data.
    reader = primitives.Reader(b"\2\1\x02" + b"abcdefg", origin=100)
    data = tiles.read_index_and_data(reader, 3)
    assert [tile.data for tile in data] == [b"ab", b"cde", b"fg"]
    assert [tile.origin for tile in data] == [103, 105, 108]


def test_index_with_an_offset_by_hand():
    # 17 tiles of one byte, W = 0, tile 16 at offset 16.
    data = tiles.read_index_and_data(primitives.Reader(bytes([1, 0, 16, 0, 0, 0]) + bytes(range(17))), 17)
    assert [tile.data[0] for tile in data] == list(range(17))


# Section 5


@given(st.data())
def test_raw(data):
    dtype = data.draw(st.sampled_from(sorted(SIZES)))
    shape = tuple(data.draw(st.lists(st.integers(0, 5), max_size=4)))
    elements = data.draw(st.binary(min_size=math.prod(shape) * SIZES[dtype], max_size=math.prod(shape) * SIZES[dtype]))
    tensor = read_one(raw(elements), shape, dtype, codec=1)
    assert (str(tensor.dtype), tensor.shape) == (dtype, shape)
    assert reference.decode_bytes(tensor) == elements
    assert not reference.has_levels(tensor)


def test_raw_tiles_have_1024_elements():
    tensor = read_one(raw(bytes(range(250)) * 12), (1500,), "i16", codec=1)
    assert reference.number_of_tiles(tensor) == 2
    assert len(reference.decode_tile_bytes(tensor, 0)) == 2048
    assert reference.decode_tile_bytes(tensor, 0) + reference.decode_tile_bytes(tensor, 1) == bytes(range(250)) * 12


# Section 6.1


def test_levels_by_hand():
    """A whole stream, each byte from the document."""
    payload = bytes.fromhex(
        "00"  # levels, own table, no row scales
        "06"  # T = 6: one tile
        "0000003f"  # step 0.5
        "31 00 01 01 02"  # 1 to 3 bits, symbols by rank: 0 is 0, -1 is 10, 1 is 110, -2 is 111
    )
    # 0 10 110 111 0 0; from the least significant bit up, the first byte is 01011011 and the second 100.
    payload += bytes([0b11011010, 0b001])
    directory = b"\0\1" + b"\0\1w" + b"\2\1\2\2\3" + bytes([len(payload)]) + struct.pack("<I", zlib.crc32(payload))
    fixed = b"NCDM\1\0\0\0" + struct.pack("<I", 16 + len(directory))
    stream = fixed + struct.pack("<I", zlib.crc32(fixed + directory)) + directory + payload
    [tensor] = reference.read_stream(stream).tensors
    assert (tensor.name, str(tensor.dtype), tensor.shape, tensor.codec) == ("w", "f32", (2, 3), 2)
    assert reference.decode_levels(tensor) == [0, -1, 1, -2, 0, 0]
    assert reference.decode_bytes(tensor) == struct.pack("<6f", 0, -0.5, 0.5, -1, 0, 0)
    assert reference.row_scale(tensor, 1) == 0.5
    assert Model([Tensor("w", (2, 3), Payload(payload))]).data() == stream


@pytest.mark.parametrize(
    ("k", "scale"),
    [(0, 0x3F800000), (8, 0x3F000000), (1, 0x3F6AC0C7), (12, 0x3EB504F3), (255, 0x2F8B95C2)],
)
def test_row_scale(k, scale):
    tensor = read_one(levels((2, 1), [0, 0], SMALL, step=1, scales=[k, 0]), (2, 1))
    assert struct.pack("<f", reference.row_scale(tensor, 0)) == struct.pack("<I", scale)
    assert reference.row_scale(tensor, 1) == 1
    with pytest.raises(IndexError):
        reference.row_scale(tensor, 2)


def test_scale_factors_are_the_nearest():
    for j, bits in enumerate(huffman.EIGHTHS):
        # 2^(-j/8) is between two candidates iff its eighth power, 2^-j, is between theirs: no rounding in the test.
        def power(twice, bits=bits):
            low, high = (Fraction(floats.f32_from_bits(b)) for b in (bits + twice, bits))
            return ((low + high) / 2) ** 8

        assert power(-1) < Fraction(1, 2**j) < power(1)


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("f16", 65_519.99609375, "ff7b"),  # rounds down to the largest number
        ("f16", 65_520.0, "007c"),  # half way: infinity
        ("f16", -1e30, "00fc"),
        ("f16", 2.0**-25, "0000"),  # half of the least subnormal number, to even
        ("f16", 1.5 * 2.0**-24, "0200"),
        ("f16", 1 + 2.0**-11, "003c"),
        ("f16", 1 + 3 * 2.0**-11, "023c"),
        ("bf16", 1 + 2.0**-8, "803f"),  # half way, to even
        ("bf16", 1 + 3 * 2.0**-8, "823f"),
        ("bf16", 1 + 2.0**-8 + 2.0**-23, "813f"),
        ("bf16", 3.4028234663852886e38, "807f"),  # the largest f32 carries to infinity
        ("bf16", math.inf, "807f"),
        ("f32", 1 + 2.0**-24, "0000803f"),
        ("f32", 1e300, "0000807f"),
        ("f64", 0.1, "9a9999999999b93f"),
    ],
)
def test_rounding(dtype, value, expected):
    assert floats.weight_bytes(value, dtype).hex() == expected


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from(FLOATS))
def test_rounding_is_exact(value, dtype):
    size = SIZES[dtype]
    sign = (math.copysign(1, value) < 0) << (8 * size - 1)
    expected = round_to(abs(Fraction(value)), dtype) | sign
    assert floats.weight_bytes(value, dtype) == expected.to_bytes(size, "little")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_round_f32_is_exact(value):
    assert struct.pack("<f", floats.round_f32(abs(value))) == struct.pack("<I", round_to(abs(Fraction(value)), "f32"))


def test_a_level_times_a_scale_that_underflowed():
    tensor = read_one(levels((1, 2), [-1, 0], SMALL, step_bits=1, scales=[255]), (1, 2))
    assert reference.decode_bytes(tensor) == struct.pack("<2f", -0.0, 0.0)


# Section 7


def test_codes_by_hand():
    # Lengths 2 2 2 3 3: 00 01 10 110 111.
    table = tables.read_table(primitives.Reader(bytes([0x32, 1, 3, 2, 10, 20, 30, 40, 50])))
    assert table.symbols == {(2, 0): 10, (2, 1): 20, (2, 2): 30, (3, 6): 40, (3, 7): 50}
    # 110 00 111: bit 0 first.
    assert tables.read_symbols(primitives.Reader(bytes([0b11100011])), table, 3) == [40, 10, 50]


def test_symbols_by_rank():
    assert [tables.signed(tables.by_rank(r)) for r in range(7)] == [0, -1, 1, -2, 2, -3, 3]
    assert tables.by_rank(255) == 0x80
    assert sorted(tables.by_rank(r) for r in range(256)) == list(range(256))


def test_signed():
    assert [tables.signed(b) for b in (0, 127, 128, 255)] == [0, 127, -128, -1]
    assert [tables.signed(b, 4) for b in (0, 7, 8, 15)] == [0, 7, -8, -1]


def test_pairs_low_half_first():
    # One pair of one bit: 0x1F is -1, then 1; 0x80 is 0, then -8.
    table = Table([2], [0x1F, 0x80], 1, pairs=True)
    payload = levels((4,), [-1, 1, 0, -8], table)
    assert payload.data[-1] == 0b10
    assert reference.decode_levels(read_one(payload, (4,))) == [-1, 1, 0, -8]


# Whole streams


@st.composite
def code_tables(draw, pairs=False, longest=15):
    """Any complete code: unlisted over levels of small magnitude, or listed over any bytes."""
    lengths = split_lengths(draw(st.lists(st.integers(0, 1000), max_size=40)), longest)
    if len(lengths) == 1:
        listed = pairs or draw(st.booleans())
        return Table.constant(draw(st.integers(0, 255)) if listed else None, pairs)
    if pairs or draw(st.booleans()):
        bytes_ = draw(st.lists(st.integers(0, 255), min_size=len(lengths), max_size=len(lengths), unique=True))
        return Table.of(dict(zip(bytes_, lengths, strict=True)), pairs)
    table = Table.of(dict(enumerate(sorted(lengths))))
    return Table(table.counts, None, table.shortest)


def halves(symbols):
    return [half - (half & 8) * 2 for symbol in symbols for half in (symbol & 15, symbol >> 4)]


@st.composite
def level_tensors(draw):
    """Shape, levels and payload of a tensor of levels, with a shared table perhaps."""
    shape = tuple(draw(st.lists(st.integers(1, 9), max_size=3)))
    tile = draw(st.sampled_from([1, 2, 3, 7, 16, 64, 200, 65_535]))
    table = draw(code_tables(pairs=draw(st.booleans())))
    values = []
    for first, last in tile_bounds(shape, tile):
        count = (last - first + 1) // 2 if table.pairs else last - first
        symbols = draw(st.lists(st.sampled_from(table.ranked()), min_size=count, max_size=count))
        values += halves(symbols)[: last - first] if table.pairs else [s - (s & 128) * 2 for s in symbols]
        if table.pairs and (last - first) % 2 and values[-1] & 15 not in table.codes():
            # The level that is dropped is written as 0, and not each table has that pair.
            table = Table.constant(0x00, pairs=True)
            values = [0] * math.prod(shape)
            break
    rows = shape[0] if len(shape) > 1 else 1
    width = draw(st.integers(1, 8))
    scales = draw(st.none() | st.lists(st.integers(0, 2**width - 1), min_size=rows, max_size=rows))
    index = draw(st.sampled_from([None, Index(width=24)]))
    dtype = draw(st.sampled_from(FLOATS))
    shared = draw(st.sampled_from([None, 0]))
    step = draw(st.integers(1, 0x7F7FFFFF))
    payload = levels(
        shape, values, table, tile=tile, dtype=dtype, step_bits=step, scales=scales, index=index,
        scale_width=width if scales else None, shared=shared,
    )  # fmt: skip
    return shape, dtype, values, payload, [Shared(table.data())] if shared == 0 else []


@given(level_tensors())
def test_levels_round_trip(made):
    shape, dtype, values, payload, shared = made
    tensor = read_one(payload, shape, dtype, shared)
    assert reference.has_levels(tensor)
    assert reference.decode_levels(tensor) == values
    assert reference.decode_bytes(tensor) == payload.elements
    parts = range(reference.number_of_tiles(tensor))
    assert [level for i in parts for level in reference.decode_tile_levels(tensor, i)] == values
    assert b"".join(reference.decode_tile_bytes(tensor, i) for i in parts) == payload.elements


@st.composite
def lossless_tensors(draw):
    dtype = draw(st.sampled_from(sorted(SIZES)))
    shape = tuple(draw(st.lists(st.integers(1, 7), max_size=3)))
    size = math.prod(shape) * SIZES[dtype]
    elements = draw(st.binary(min_size=size, max_size=size) | st.integers(0, 255).map(lambda b: bytes([b]) * size))
    planes, shared = [], []
    for string in plane_bytes(elements, dtype):
        symbols = sorted(set(string))
        kind = draw(st.sampled_from(["stored", "coded", "shared"]))
        if kind == "stored" or len(symbols) > 40:
            planes.append(STORED)
            continue
        lengths = split_lengths(
            draw(st.lists(st.integers(0, 99), min_size=len(symbols) - 1, max_size=len(symbols) - 1))
        )
        table = Table.of(dict(zip(symbols, lengths, strict=True)))
        planes.append(Plane(table, len(shared) if kind == "shared" else None))
        if kind == "shared":
            shared.append(Shared(table.data()))
    tile = draw(st.sampled_from([1, 2, 5, 30, 1000]))
    return shape, dtype, elements, lossless(shape, dtype, elements, planes, tile=tile), shared


@given(lossless_tensors())
def test_lossless_round_trip(made):
    shape, dtype, elements, payload, shared = made
    tensor = read_one(payload, shape, dtype, shared)
    assert not reference.has_levels(tensor)
    assert reference.decode_bytes(tensor) == elements
    parts = range(reference.number_of_tiles(tensor))
    assert b"".join(reference.decode_tile_bytes(tensor, i) for i in parts) == elements
    with pytest.raises(ValueError, match="no levels"):
        reference.decode_levels(tensor)


@given(st.sets(st.text(max_size=12), max_size=20), st.data())
def test_names(names, data):
    names = sorted(names, key=str.encode) if all(_encodes(n) for n in names) else []
    tensors = [Tensor(name, (), raw(bytes([i])), "u8", codec=1) for i, name in enumerate(names)]
    if tensors and data.draw(st.booleans()):
        tensors.append(Tensor(names[-1] + "x", tied_to=data.draw(st.integers(0, len(tensors) - 1))))
    stream = reference.read_stream(Model(tensors).data())
    assert [t.name for t in stream.tensors] == [t.name for t in tensors]
    for tensor, made in zip(stream.tensors, tensors, strict=True):
        of = made if made.tied_to is None else tensors[made.tied_to]
        assert reference.decode_bytes(tensor) == of.payload.elements
        assert tensor.tied_to == made.tied_to


def _encodes(name):
    return not any(0xD800 <= ord(c) < 0xE000 for c in name)


def test_long_names():
    longest = "n" * 65_535
    tensors = [Tensor(longest, (), raw(b"\1"), "u8", codec=1)]
    assert reference.read_stream(Model(tensors).data()).tensors[0].name == longest
    for longer in ([Tensor(longest + "n", (), raw(b"\1"), "u8", codec=1)],
                   [*tensors, Tensor(longest + "n", (), raw(b"\1"), "u8", codec=1)]):  # fmt: skip
        with pytest.raises(CorruptError):
            reference.read_stream(Model(longer).data())


def test_an_unknown_codec_matters_when_its_tensor_is_opened():
    other = Tensor("b", (2,), Payload(b"abc"), codec=255, codec_name=b"acme.zip")
    stream = reference.read_stream(Model([Tensor("a", (2,), raw(b"\1\2"), "u8", codec=1), other]).data())
    assert reference.decode_bytes(stream.tensors[0]) == b"\1\2"
    assert stream.tensors[1].codec_name == "acme.zip"
    with pytest.raises(UnsupportedError, match=r"acme\.zip") as caught:
        reference.decode_bytes(stream.tensors[1])
    assert caught.value.tensor == "b"


def test_tensor_beyond_memory():
    """2^49 bytes of a constant: any tile of it can be had, for the price of that tile."""
    tensor = read_one(levels((1,), [3], Table.constant(3), tile=65_535), (2**17, 2**30))
    assert reference.decode_tile_levels(tensor, 2**31 + 2**17 - 1) == [3] * 2**14
    assert reference.row_scale(tensor, 2**17 - 1) == 0.5


# Section 2


@given(st.dictionaries(st.text().filter(lambda s: s != "neuralcodec" and _encodes(s)), st.text().filter(_encodes)))
def test_file(tmp_path_factory, foreign):
    path = tmp_path_factory.mktemp("file") / "m.safetensors"
    path.write_bytes(safetensors(Model([Tensor("w", (2,), raw(b"\1\2"), "u8", codec=1)]).data(), foreign))
    stream = reference.read_file(path)
    assert stream.metadata == foreign
    assert reference.decode_bytes(stream.tensors[0]) == b"\1\2"


def test_foreign_metadata_by_hand():
    text = r'{"a":"\u00e9\ud83d\ude00","b":"\"\\\n\u007f"}'
    foreign = {"b": '"\\\n\x7f', "a": "é😀"}
    assert json.dumps(foreign, sort_keys=True, separators=(",", ":")) == text
    assert metadata_value(foreign) == f"1 {crc32(text.encode()):08x}"
    assert metadata_value({}) == f"1 {crc32(b'{}'):08x}"


@pytest.mark.parametrize(
    "header",
    [b"", b"{", b"[]", b"{}", b"{\xff}", b"{" + b'"a":[' * 100_000, b'{"a":1,"a":2}', b'{"__metadata__":3}',
     b'{"__metadata__":null}'],
)  # fmt: skip
def test_files_of_others(tmp_path, header):
    path = tmp_path / "x"
    path.write_bytes(safetensors(b"", header_bytes=header))
    with pytest.raises((CorruptError, TruncatedError)):
        reference.read_file(path)


def test_file_errors_count_from_the_start_of_the_file(tmp_path):
    path = tmp_path / "x"
    stream = Model([Tensor("w", (2,), raw(b"abc"), "u8", codec=1)]).data()
    data = safetensors(stream)
    path.write_bytes(data)
    with pytest.raises(CorruptError) as caught:
        reference.decode_bytes(reference.read_file(path).tensors[0])
    assert caught.value.offset == data.index(b"abc")


# Hostile input


def streams():
    return sorted((VECTORS / "valid").glob("*.ncd"))


@pytest.mark.parametrize("path", streams(), ids=lambda p: p.stem)
def test_any_cut_is_truncated(path):
    """Of a valid stream each shorter part is TRUNCATED: no other cause may be seen first."""
    data = path.read_bytes()
    for size in range(len(data)):
        with pytest.raises(TruncatedError):
            reference.read_stream(data[:size])


def decode_all(data):
    out = []
    for tensor in reference.read_stream(data).tensors:
        opened = reference.open_tensor(tensor)
        if tensor.elements <= 10_000:
            out += [opened.tile_bytes(i) for i in range(opened.number_of_tiles)]
    return hashlib.sha256(b"".join(out)).hexdigest()


def mend(data):
    """Gives a stream the checksums that its bytes want, as far as its directory can be read."""
    data = bytearray(data)
    size = int.from_bytes(data[8:12], "little")
    if 16 <= size <= len(data):
        data[12:16] = zlib.crc32(data[:12] + data[16:size]).to_bytes(4, "little")
    return bytes(data)


@given(st.sampled_from(streams()), st.data())
def test_changed_header_is_refused_or_read(path, data):
    stream = bytearray(path.read_bytes())
    header = int.from_bytes(stream[8:12], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        stream[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BitstreamError):
        decode_all(mend(stream))


CHANGED = ("levels_zigzag", "scales_5", "pairs_odd_tiles", "tiles_33", "lossless_f32", "lossless_tiles_rows",
           "lossless_stored", "constant_pairs")  # fmt: skip


@given(st.sampled_from(CHANGED), st.data())
def test_changed_payload_is_refused_or_decoded(name, data):
    stream = (VECTORS / "valid" / f"{name}.ncd").read_bytes()
    [tensor] = reference.read_stream(stream).tensors
    payload = bytearray(tensor.payload)
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    changed = Model([Tensor("w", tensor.shape, Payload(bytes(payload)), str(tensor.dtype))]).data()
    caught = None
    try:
        decode_all(changed)
    except BitstreamError as error:
        caught = error
    assert caught is None or (caught.tensor == "w" and caught.offset is not None)


def test_reference_needs_the_standard_library_only():
    """Its modules import nothing but each other, the errors and the standard library."""
    allowed = {*sys.stdlib_module_names, "neuralcodec"}
    folder = Path(reference.__file__).parent
    for path in folder.glob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                assert words[1].split(".")[0] in allowed, line
                if words[1].startswith("neuralcodec"):
                    assert words[1].startswith(("neuralcodec.reference", "neuralcodec.errors")), line


def test_builder_needs_the_standard_library_only():
    folder = Path(__file__).resolve().parent
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {str(folder)!r}); import stream_builder",
    ]
    subprocess.run(command, check=True)


# Section 10 and 11, worked out by hand


def test_a_rans_tile_by_hand():
    """m = 8, frequencies 192 and 64: slots 0-191 are symbol 0, 192-255 symbol 1.

    An encoder takes 1, 0, 1 from the last: x = 0; 1: 0/64·256 + 0 + 192 = 192; 0: 192/192·256 + 0 + 0 = 256;
    1: 256/64·256 + 0 + 192 = 1216. One word, 1216 = 0x04C0.
    """
    table = frequencies.read_frequencies(primitives.Reader(bytes([8, 1]) + _bits("0001 0000001 1110 000000")))
    assert (table.m, table.frequencies) == (8, [192, 64])
    assert frequencies.decode_rans(primitives.Reader(bytes([0xC0, 0x04])), table, 3) == [1, 0, 1]
    with pytest.raises(CorruptError, match="state"):
        frequencies.decode_rans(primitives.Reader(bytes([0xC1, 0x04])), table, 3)
    with pytest.raises(CorruptError, match="3 bytes"):
        frequencies.decode_rans(primitives.Reader(bytes(3)), table, 3)


def _bits(text):
    digits = text.replace(" ", "")
    return bytes(int(digits[i : i + 8][::-1], 2) for i in range(0, len(digits), 8))


def test_a_codebook_by_hand():
    """f16 centroids 0.5, -1 and 2^-24, step 3, scale codes 0 and 8: the second row is half."""
    centroids = bytes([0x00, 0x38, 0x00, 0xBC, 0x01, 0x00, 0x00, 0x7C])  # the last: infinity
    payload = (
        bytes([0b1001000, 4, 1, 3]) + centroids + bytes([0x00, 0x00, 0x40, 0x40]) + bytes([4, 0x80, 0b10_01_00_11])
    )
    data = model_of(payload + bytes([0b00_01_10_11]), (2, 4))
    [tensor] = reference.read_stream(data).tensors
    assert reference.decode_indices(tensor) == [3, 0, 1, 2, 3, 2, 1, 0]
    weights = struct.unpack("<8f", reference.decode_bytes(tensor))
    inf = math.inf
    assert weights == (inf, 1.5, -3.0, 3 * 2.0**-24, inf, 1.5 * 2.0**-24, -1.5, 0.75)
    assert (reference.row_scale(tensor, 0), reference.row_scale(tensor, 1)) == (3.0, 1.5)
    assert not reference.has_levels(tensor)


def test_infinity_times_nothing():
    """A step of 2^-149 with the code 255 is 0."""
    payload = bytes([0b1001000, 1, 1, 0, 0x00, 0x7C, 1, 0, 0, 0, 8, 255, 255])
    [tensor] = reference.read_stream(model_of(payload, (2, 1))).tensors
    assert reference.row_scale(tensor, 0) == 0
    assert all(math.isnan(w) for w in struct.unpack("<2f", reference.decode_bytes(tensor)))


def model_of(payload, shape):
    """A stream with one tensor of codec kmeans."""
    return Model([Tensor("w", shape, Payload(payload), "f32", 3)]).data()


# Section 12, worked out by hand


def test_an_automaton_by_hand():
    """N = 1, values -1, 0, 1. State 0: 0 and 1 with 192 and 64 slots; state 1: all three with 64, 128, 64.

    Rules: state 0 goes to 1 after 1; state 1 stays after 0, and goes to 0 after -1 and 1. So 1, -1, 0, 1, 0, -1 are
    read in the states 0, 1, 0, 0, 1, 1. An encoder, from the last: -1: 0; 0: 64; 1: 64/64·256 + 192 = 448;
    0: 2·256 + 64 = 576; -1: 576/64·256 = 2304; 1: 36·256 + 192 = 9408 = 0x24C0. With the rule of state 0 for both
    states the last is read in state 0, and is 0.
    """
    head = [0, 8, 1, 1, 1, 0x21, 0]
    rules = [[1, 129], [0, 1], [2, 128, 129], [0, 1, 0]]
    rest = bytes([1, 1]) + _bits("0001 0000001 1110 000000")
    rest += bytes([0, 2]) + _bits("1110 000000 0001 0000000 1110 000000") + bytes([0xC0, 0x24])

    def levels(rules=rules, count=1, **change):
        changed = bytes(change.get(f"_{i}", byte) for i, byte in enumerate(head))
        model = changed + bytes([count]) + b"".join(map(bytes, rules)) + rest
        payload = Payload(bytes([0, 6, 0, 0, 0x80, 0x3F]) + model)
        [tensor] = reference.read_stream(Model([Tensor("w", (6,), payload, "f32", 4)]).data()).tensors
        return reference.decode_levels(tensor)

    assert levels() == [1, -1, 0, 1, 0, -1]
    assert levels(rules[:2], 0) == [1, -1, 0, 1, 0, 0]
    assert levels([[3, 0, 129, 255], [1, 0, 1, 0], *rules[2:]]) == [1, -1, 0, 1, 0, -1]
    with pytest.raises(CorruptError, match="2 states that starts in state 2"):
        levels(_6=2)
    with pytest.raises(CorruptError, match="up to 2"):
        levels(_4=2)
    for reserved in (0x40, 0x80):
        with pytest.raises(UnsupportedError, match="reserved"):
            levels(_5=0x21 | 0x18 | reserved)
    with pytest.raises(CorruptError, match="3 rules"):
        levels([*rules, [0, 0]], 2)
    for last, message in (
        ([[16, *range(16)], [0] * 17], "16 thresholds"),
        ([[2, 129, 129], [0, 1, 0]], "thresholds .129, 129."),
        ([[2, 129, 128], [0, 1, 2]], "thresholds .129, 128."),
        ([[2, 128, 129], [0, 1, 2]], "next states .0, 1, 2. of an automaton of 2 states"),
    ):
        with pytest.raises(CorruptError, match=message):
            levels([*rules[:2], *last])
        with pytest.raises(CorruptError, match=message):
            levels(last, 0)

"""Writes the golden vectors: tests/vectors/{valid,invalid}/ and manifest.json.

    python tests/vectors/make_vectors.py [--check] [--replace NAME ...]

Nothing else writes them. A vector that exists with other bytes is left alone, and the script fails, unless
``--replace`` names it (as in the manifest, ``valid/empty.ncd``): version 1 of the format is settled, so a change of a
vector is a change of the format. ``--check`` writes nothing and fails where something would be written.

What the manifest expects comes from the descriptions here and from docs/format.md, not from a decoder. Valid vectors:

``tensors``     number of tensors
``crc32``       of all decoded output in tensor then tile order: levels as int8 (int16 where they have 16 bits) for
                tensors that have them, else indices, else element bytes; tied tensors skipped
``elements``    sha256 of the element bytes (weights in the tensor's dtype) of each tensor; null where it is tied

Invalid ones:

``error``       what decoding gives (docs/format.md, section 8): read the header, then for each tensor that is not tied,
                in order, open it and decode its tiles in order; the first error
``may_accept``  present where the document lets a decoder skip the check: "any"; "firmware"; or "lean", firmware that
                leaves the rules of the directory to its checksum, and may give another error

Both: ``wide`` is true where the stream holds an integer of 2^32 or more, and would give something else than CORRUPT: a
decoder whose sizes have 32 bits may give CORRUPT.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

from autoencoder_vectors import invalid_autoencoder, valid_autoencoder  # noqa: E402
from generative_vectors import invalid_generative, valid_generative  # noqa: E402
from kmeans_vectors import invalid_kmeans, valid_kmeans  # noqa: E402
from regression_vectors import invalid_regression, valid_regression  # noqa: E402
from stream_builder import (  # noqa: E402
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
    matrix,
    metadata_value,
    plane_bytes,
    raw,
    safetensors,
)
from trellis_vectors import invalid_trellis, valid_trellis  # noqa: E402

TRUNCATED, CORRUPT, UNSUPPORTED, CHECKSUM = "TRUNCATED", "CORRUPT", "UNSUPPORTED", "CHECKSUM"


@dataclass
class Vector:
    """A file and its line of the manifest."""

    file: str
    data: bytes
    entry: dict[str, object]


# Material


class Dice:
    """Numbers that are the same on every machine and every version of Python."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def __call__(self, below: int) -> int:
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % below

    def bytes(self, size: int) -> bytes:
        return bytes(self(256) for _ in range(size))

    def symbols(self, table: Table, count: int) -> list[int]:
        """Bytes drawn as often as a code is meant for."""
        codes = {code: symbol for symbol, code in table.codes().items()}
        drawn = []
        for _ in range(count):
            code = ""
            while code not in codes:
                code += str(self(2))
            drawn.append(codes[code])
        return drawn

    def levels(self, table: Table, count: int) -> list[int]:
        """The same as levels."""
        return [symbol - 2 * (symbol & 128) for symbol in self.symbols(table, count)]


SMALL = Table([1, 1, 2], shortest=1)
"""0, −1, 1, −2 with codes of 1, 2, 3, 3 bits, not listed."""
FLAT = Table([4], [0, 1, 255, 2], 2)
"""Four levels with codes of 2 bits, listed."""
LONG = Table([1] * 14 + [2], shortest=1)
"""Codes of every length from 1 to 15."""
ALL_BYTES = Table([1, 253, 2], shortest=7)
"""All 256 symbols, not listed."""
GAP = Table([1, 0, 4], [7, 250, 0, 128, 127], 1)
"""No code of length 2."""
PAIRS = Table([1, 0, 0, 8], [0x00, 0x01, 0x0F, 0x10, 0x11, 0x1F, 0xF0, 0xF1, 0xFF], 1, pairs=True)
"""All pairs of −1, 0, 1."""
ALL_PAIRS = Table([1, 253, 2], list(range(256)), 7, pairs=True)


def one(payload: Payload, shape: Sequence[int], dtype: str | int = "f32", **more: object) -> Tensor:
    """The one tensor of most vectors."""
    tensor = Tensor("w", shape, payload, dtype)
    return replace(tensor, **more)  # type: ignore[arg-type]


def lossless_tensor(
    name: str, dtype: str, shape: Sequence[int], elements: bytes, kinds: str, *, tile: int = 1024
) -> Tensor:
    """A lossless tensor; ``kinds`` says of each plane: s stored, c coded, k constant, u all bytes, not listed."""
    planes = []
    for kind, string in zip(kinds, plane_bytes(elements, dtype), strict=True):
        table = None
        if kind == "k":
            table = Table.constant(string[0])
        elif kind == "c":
            table = code_of(string)
        elif kind == "u":
            table = ALL_BYTES
        planes.append(Plane(table))
    return Tensor(name, shape, lossless(shape, dtype, elements, planes, tile=tile), dtype)


def code_of(string: bytes) -> Table:
    """A code for the bytes that occur: of 1, 2, 3, … bits, the more frequent first; above eight symbols about equal."""
    symbols = sorted(set(string), key=lambda s: (-string.count(s), s))
    if len(symbols) == 1:
        symbols.append(symbols[0] ^ 1)
    if len(symbols) <= 8:
        return Table.of({s: min(i + 1, len(symbols) - 1) for i, s in enumerate(symbols)})
    bits = (len(symbols) - 1).bit_length()
    short = 2**bits - len(symbols)
    return Table.of({s: bits - (i < short) for i, s in enumerate(symbols)})


def two_zeros_table() -> Table:
    """Levels of which two 0 have a code of one bit."""
    return Table([1, 0, 3, 2], [0x80, 0, 1, 0xFF, 5, 0xFB], 1, zeros=True)


def words(dtype: str, *values: int) -> bytes:
    return b"".join(value.to_bytes(SIZES[dtype], "little") for value in values)


# Valid vectors


def valid(
    name: str,
    description: str,
    model: Model,
    foreign: dict[str, str] | None = None,
    *,
    file: bool = False,
    wide: bool = False,
) -> Vector:
    """A valid vector: a stream, or a file that holds one."""
    data = safetensors(model.data(), foreign) if file else model.data()
    outputs = [tensor.payload.output for tensor in model.tensors if tensor.tied_to is None]
    hashes = [
        hashlib.sha256(tensor.payload.elements).hexdigest() if tensor.tied_to is None else None
        for tensor in model.tensors
    ]
    entry: dict[str, object] = {
        "description": description,
        "tensors": len(model.tensors),
        "crc32": f"{crc32(b''.join(outputs)):08x}",
        "elements": hashes,
        **({"wide": True} if wide else {}),
    }
    return Vector(f"valid/{name}.{'safetensors' if file else 'ncd'}", data, entry)


def valid_vectors() -> Iterator[Vector]:
    yield from valid_streams()
    yield from valid_levels()
    yield from valid_indices()
    yield from valid_lossless()
    yield from valid_kmeans(valid)  # type: ignore[misc]
    yield from valid_trellis(valid)  # type: ignore[misc]
    yield from valid_regression(valid)  # type: ignore[misc]
    yield from valid_generative(valid)  # type: ignore[misc]
    yield from valid_autoencoder(valid)  # type: ignore[misc]
    yield from valid_files()


def valid_streams() -> Iterator[Vector]:
    dice = Dice(1)
    yield valid("no_tensors", "no tensors, names present", Model())
    yield valid("no_tensors_no_names", "no tensors, no names", Model(named=False))

    tensors = [
        Tensor(
            f"raw.{dtype}",
            (3, 2),
            raw(bytes(dice(2) for _ in range(6)) if dtype == "bool" else dice.bytes(6 * size)),
            dtype,
            codec=1,
        )
        for dtype, size in SIZES.items()
    ]
    tensors.sort(key=lambda t: t.name_bytes)
    yield valid("raw_all_dtypes", "raw tensors of all sixteen dtypes", Model(tensors))
    yield valid(
        "raw_rows",
        "raw, two tiles of rows: 3 x 400 u8, T = 1024",
        Model([Tensor("w", (3, 400), raw(dice.bytes(1200)), "u8", codec=1)]),
    )
    yield valid(
        "raw_columns",
        "raw, four tiles of columns: 2 x 1030 i8, T = 1024",
        Model([Tensor("w", (2, 1030), raw(dice.bytes(2060)), "i8", codec=1)]),
    )
    shapes = [(), (1,), (5,), (1, 1), (2, 3), (2, 1, 3), (2, 3, 1, 2), (1,) * 64]
    some = []
    for i, shape in enumerate(shapes):
        rows, columns = matrix(shape)
        some.append(Tensor(f"raw{i}", shape, raw(dice.bytes(2 * rows * columns)), "i16", codec=1))
        values = dice.levels(SMALL, rows * columns)
        some.append(Tensor(f"lev{i}", shape, levels(shape, values, SMALL), "f32"))
        elements = dice.bytes(2 * rows * columns)
        some.append(lossless_tensor(f"xls{i}", "u16", shape, elements, "sc"))
    some.sort(key=lambda t: t.name_bytes)
    yield valid("shapes", "0 to 64 dimensions; raw, levels, lossless", Model(some))
    empties = [
        Tensor(f"e{i}{codec}", shape, Payload(b""), dtype, codec=codec)
        for i, (shape, dtype) in enumerate(
            [((0,), "f32"), ((0, 3), "i64"), ((3, 0), "bool"), ((2, 2**16, 2**17, 0), "f16")]
        )
        for codec in (1, 2)
    ]
    yield valid("empty", "tensors without elements; the columns of one are 2^33 times 0", Model(empties))
    huge = Tensor("w", (2, 2**33, 0), Payload(b""), "f16", codec=1)
    yield valid("empty_huge", "a dimension of 2^33 beside that of 0", Model([huge]), wide=True)

    names = ["", "a", "aa", "ab", "b.weight", "b.weight.2", "c", "schicht.größe", "schicht.grüße", "層.1", "層.2", "😀"]
    tensors = [Tensor(name, (), raw(bytes([i])), "u8", codec=1) for i, name in enumerate(names)]
    yield valid(
        "names",
        "front-coded names: empty, one the start of the next, a common part that ends inside a character",
        Model(tensors),
    )
    yield valid(
        "names_long",
        "names of 200 bytes, lengths of two bytes",
        Model(
            [Tensor("x" * 200, (), raw(b"\1"), "u8", codec=1), Tensor("x" * 199 + "y", (), raw(b"\2"), "u8", codec=1)]
        ),
    )
    yield valid(
        "no_names",
        "three tensors without names",
        Model([Tensor(shape=(2,), payload=raw(bytes([i, 9])), dtype="u8", codec=1) for i in range(3)], named=False),
    )
    tied = [
        Tensor("a", tied_to=2),
        Tensor("b", (2, 3), levels((2, 3), [0, -1, 1, -2, 0, 0], SMALL)),
        Tensor("c", (4,), raw(b"tied"), "u8", codec=1),
        Tensor("d", tied_to=1),
        Tensor("e", tied_to=2),
    ]
    yield valid("ties", "ties forward and backward, two to the same tensor", Model(tied))
    yield valid("ties_no_names", "the same without names", Model(tied, named=False))

    shared = [Shared(SMALL.data()), Shared(ALL_BYTES.data()), Shared(Table.constant(5).data()), Shared(PAIRS.data())]
    elements = dice.bytes(24)
    tensors = [
        Tensor("a", (4, 5), levels((4, 5), dice.levels(SMALL, 20), SMALL, shared=0)),
        Tensor("b", (7,), levels((7,), dice.levels(SMALL, 7), SMALL, shared=0), "f32"),
        Tensor(
            "c",
            (6,),
            lossless((6,), "i32", elements, [STORED, Plane(ALL_BYTES, 1), STORED, Plane(ALL_BYTES, 1)]),
            "i32",
        ),
        Tensor("d", (9,), levels((9,), [5] * 9, Table.constant(5), shared=2)),
        Tensor("e", (5,), levels((5,), [-1, 1, 0, 0, -1], PAIRS, shared=3)),
        Tensor("f", (3,), levels((3,), [0, 1, -2], SMALL)),
    ]
    yield valid(
        "shared_tables",
        "four shared tables: levels, bytes, constant, pairs; one tensor with its own",
        Model(tensors, shared),
    )
    some_zeros, no_zeros = two_zeros_table(), Table([1], [0x80], zeros=True)
    turn, half = Table.constant(0xF1, pairs=True), Table.of({0x7F: 1, 0x80: 1})
    shared = [Shared(table.data()) for table in (some_zeros, no_zeros, turn, Table.constant(), half)]
    sparse = [0, 0, 0, 5, 0, 0, -1, 1, 0]
    ones = words("f32", 0x3F800000, 0x40000000, 0x3F800000)
    tensors = [
        Tensor("a", (9,), levels((9,), sparse, some_zeros, shared=0)),
        Tensor("b", (2, 9), levels((2, 9), [*sparse, *sparse[::-1]], some_zeros, shared=0, tile=5, scales=[0, 9])),
        Tensor("c", (5,), levels((5,), [0] * 5, no_zeros, shared=1)),
        Tensor("d", (2, 3), levels((2, 3), [1, -1, 1] * 2, turn, shared=2, tile=3)),
        Tensor("e", (7,), levels((7,), [0] * 7, Table.constant(), shared=3)),
        Tensor(
            "f",
            (3,),
            lossless(
                (3,), "f32", ones, [Plane(half, 4), STORED, Plane(Table.constant(), 3), Plane(Table.constant(), 3)]
            ),
        ),
        Tensor("g", (4,), lossless((4,), "u8", bytes(4), [Plane(Table.constant(), 3)]), "u8"),
    ]
    yield valid(
        "shared_more", "shared tables: with zeros, constant ones of three kinds, of planes", Model(tensors, shared)
    )
    yield valid(
        "shared_unused",
        "a shared object that no tensor uses and that is no table",
        Model([one(raw(b"\1"), (), "u8", codec=1)], [Shared(b"\xff\xff\xff")]),
    )
    yield valid(
        "shared_empty_unused",
        "a shared object of no bytes that no tensor uses",
        Model([one(raw(b"\1"), (), "u8", codec=1)], [Shared(b"")]),
    )
    yield valid(
        "shared_many",
        "130 shared objects: an index of two bytes",
        Model(
            [one(levels((3,), [0, 1, -1], FLAT, shared=129), (3,))],
            [Shared(bytes([i])) for i in range(129)] + [Shared(FLAT.data())],
        ),
    )


def valid_levels() -> Iterator[Vector]:
    dice = Dice(2)

    def simple(name: str, description: str, table: Table, shape: Sequence[int], **more: object) -> Vector:
        count = matrix(shape)[0] * matrix(shape)[1]
        payload = levels(shape, dice.levels(table, count), table, **more)  # type: ignore[arg-type]
        return valid(name, description, Model([one(payload, shape, str(more.get("dtype", "f32")))]))

    yield simple("levels_zigzag", "levels, symbols not listed", SMALL, (4, 8))
    yield simple("levels_listed", "levels, symbols listed, all codes of 2 bits", FLAT, (4, 8))
    yield simple("levels_4d", "levels of a convolution, 3 x 2 x 3 x 3", SMALL, (3, 2, 3, 3))
    yield simple("levels_one_bit", "a code of two symbols", Table([2], [127, 128], 1), (19,))
    yield simple("levels_gap", "a code without codes of length 2; levels −128 and 127", GAP, (40,))
    values = [0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6, 6, -7, 7, -8] * 3
    yield valid("levels_long_codes", "code lengths 1 to 15", Model([one(levels((48,), values, LONG), (48,))]))
    deep = Table([1] * 11 + [0, 0, 0, 16], shortest=1)
    yield valid(
        "levels_longer_than_11",
        "1 to 11 bits, then 15: sixteen of the longest",
        Model([one(levels((27,), [z // 2 if z % 2 == 0 else -(z + 1) // 2 for z in range(27)], deep), (27,))]),
    )
    values = list(range(-128, 128))
    yield valid(
        "levels_all",
        "all 256 levels, codes of 7 to 9 bits",
        Model([one(levels((16, 16), values, ALL_BYTES), (16, 16))]),
    )
    yield valid(
        "levels_all_listed",
        "all 256 levels, listed in descending order",
        Model([one(levels((256,), values, Table([1, 253, 2], list(range(255, -1, -1)), 7)), (256,))]),
    )
    every = Table([1] * 6 + [0] * 6 + [7, 241, 2], shortest=1)
    some = [*range(-128, 128, 9), 0, 0, -1, 1, 127]
    yield valid(
        "levels_256_long", "256 levels, codes of up to 15 bits", Model([one(levels((34,), some, every), (34,))])
    )
    twelve = Table([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 2**2], shortest=1)
    yield valid(
        "levels_13_bits",
        "codes of 1 to 11 and of 13 bits, listed backwards",
        Model([one(levels((15,), list(range(15)), replace(twelve, symbols=list(range(14, -1, -1)))), (15,))]),
    )
    yield simple("levels_scalar", "a tensor of no dimensions", SMALL, ())
    yield simple("levels_T_65535", "the longest tiles", SMALL, (3, 7), tile=65_535)
    yield simple("levels_T_is_columns", "T equal to the columns: one row a tile", SMALL, (3, 7), tile=7)

    for size, what in ((8, "even"), (7, "odd")):
        yield valid(
            f"pairs_{what}",
            f"a table of pairs, an {what} number of levels",
            Model([one(levels((size,), [dice(3) - 1 for _ in range(size)], PAIRS), (size,))]),
        )
    every = [half for low in range(-8, 8) for half in (low, -1 - low)]
    yield valid(
        "pairs_all", "a table of all 256 pairs, levels −8 to 7", Model([one(levels((32,), every, ALL_PAIRS), (32,))])
    )
    odd = [1, 1, 0, -1, 0, 0, -1, 1, 0, 0, 0, 0, -1, 1, 0]
    yield valid(
        "pairs_odd_tiles",
        "pairs in five tiles of three levels: in each, half of a pair is dropped",
        Model([one(levels((5, 3), odd, PAIRS, tile=3), (5, 3))]),
    )
    payload = levels((3,), [-1, 1, 1], PAIRS)
    payload.data = payload.data[:-1] + PAIRS.encode([0x1F, 0x11])
    yield valid(
        "pairs_dropped_nonzero",
        "the level dropped at the end is not 0: only encoders care",
        Model([one(payload, (3,))]),
    )

    yield valid(
        "constant",
        "a constant code, not listed: all levels 0",
        Model([one(levels((3, 5), [0] * 15, Table.constant()), (3, 5))]),
    )
    yield valid(
        "constant_listed",
        "a constant code, listed; three tiles, no index",
        Model([one(levels((3, 5), [-7] * 15, Table.constant(-7), tile=5), (3, 5))]),
    )
    yield valid(
        "constant_pairs",
        "a constant pair: 1, −1 in each tile",
        Model([one(levels((2, 3), [1, -1, 1] * 2, Table.constant(0xF1, pairs=True), tile=3), (2, 3))]),
    )

    for width in range(1, 9):
        scales = [0, 2**width - 1, *(dice(2**width) for _ in range(3))]
        yield simple(f"scales_{width}", f"row scales of {width} bits", SMALL, (5, 4), scales=scales, scale_width=width)
    zeros = two_zeros_table()
    sparse = [0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 5, 0, 0, 0, -5, 0, 0, 1, 0, 0, 0]
    yield valid("zeros", "zeros: two levels 0 as one code", Model([one(levels((3, 7), sparse, zeros, tile=7), (3, 7))]))
    payload = levels((5,), [0] * 5, zeros)
    payload.data = payload.data[:-1] + zeros.encode([0x80, 0x80, 0x80])
    yield valid("zeros_odd", "zeros where one level is left: the second is dropped", Model([one(payload, (5,))]))
    yield valid(
        "zeros_constant",
        "a constant code of two levels 0",
        Model([one(levels((9,), [0] * 9, Table([1], [0x80], zeros=True)), (9,))]),
    )
    long_zeros = Table([1] * 9 + [2], [0x80, 0, 1, 0xFF, 2, 0xFE, 3, 0xFD, 4, 0xFC, 7], 1, zeros=True)
    many = [7 if i % 29 == 0 else 0 if i % 3 else (i * 5) % 9 - 4 for i in range(500)]
    yield valid("zeros_long", "zeros, codes of up to ten bits", Model([one(levels((500,), many, long_zeros), (500,))]))
    yield simple("scales_constant_rows", "row scales, tiles by columns", SMALL, (3, 9), tile=4, scales=[1, 9, 30])
    yield valid(
        "scales_one_row",
        "row scales of a vector: one row",
        Model([one(levels((4,), [1, -2, 0, -1], SMALL, scales=[13]), (4,))]),
    )
    for dtype in ("f16", "bf16", "f64"):
        yield simple(f"levels_{dtype}", f"levels of {dtype} without row scales", FLAT, (3, 4), dtype=dtype, step=0.3)
    yield valid(
        "zeros_columns",
        "zeros in tiles of columns",
        Model([one(levels((2, 13), [*sparse, 0, 0, 0, 0, 0], zeros, tile=5), (2, 13))]),
    )
    yield valid(
        "pairs_columns",
        "pairs in tiles of columns, an odd number in each",
        Model([one(levels((2, 8), [(i * i) % 3 - 1 for i in range(16)], PAIRS, tile=3), (2, 8))]),
    )
    turn = [-1, 1, -1, -1, 1]
    yield valid(
        "constant_pairs_columns",
        "a constant pair in tiles of columns, which begins anew in each",
        Model([one(levels((2, 5), turn * 2, Table.constant(0x1F, pairs=True), tile=3), (2, 5))]),
    )
    for dtype in ("f32", "f16", "bf16", "f64"):
        values = [*range(-8, 9), 127, -128, 85]
        table = Table([12, 8], [v & 255 for v in values], 4)
        assert sum(table.counts) == len(values)
        for what, bits in (
            ("", 0x3DCCCCCD),
            ("_small", 0x33000001),
            ("_large", 0x7F000003),
            ("_least", 1),
            ("_tie", 0x3F808000),
        ):
            yield valid(
                f"weights_{dtype}{what}",
                f"weights of {dtype}, step {bits:08x}",
                Model(
                    [
                        one(
                            levels((4, 5), values, table, dtype=dtype, step_bits=bits, scales=[0, 3, 8, 61]),
                            (4, 5),
                            dtype,
                        )
                    ]
                ),
            )
    every = list(range(-128, 128))
    yield valid(
        "weights_f16_rounding",
        "256 weights of f16 about its largest and its subnormal numbers",
        Model(
            [
                Tensor("a", (256,), levels((256,), every, ALL_BYTES, dtype="f16", step_bits=0x44010000), "f16"),
                Tensor("b", (256,), levels((256,), every, ALL_BYTES, dtype="f16", step_bits=0x32C00001), "f16"),
            ]
        ),
    )


def valid_indices() -> Iterator[Vector]:
    dice = Dice(3)

    def tiled(
        name: str, description: str, shape: Sequence[int], tile: int, table: Table = SMALL, **more: object
    ) -> Vector:
        count = matrix(shape)[0] * matrix(shape)[1]
        payload = levels(shape, dice.levels(table, count), table, tile=tile, **more)  # type: ignore[arg-type]
        return valid(name, description, Model([one(payload, shape)]))

    yield tiled("tiles_rows", "four tiles of two rows, the last of one", (7, 3), 7)
    yield tiled("tiles_columns", "tiles of 4 columns, the last of a row of 2", (3, 10), 4)
    yield tiled("tiles_of_one", "T = 1", (2, 5), 1)
    yield tiled("tiles_2", "two tiles", (2, 30), 30)
    yield tiled("tiles_padded", "eight tiles of rows", (32, 4), 19)
    yield tiled("tiles_16", "16 tiles: no offset", (16,), 1)
    yield tiled("tiles_17", "17 tiles: one offset", (17,), 1)
    yield tiled("tiles_32", "32 tiles: one offset", (32, 3), 3)
    yield tiled("tiles_33", "33 tiles: two offsets", (33, 3), 3)
    yield tiled("tiles_100", "100 tiles of columns, six offsets", (10, 100), 10, LONG)
    yield tiled("tiles_equal", "W = 0: all tiles have one byte", (9, 4), 4, FLAT)
    yield tiled("tiles_equal_40", "W = 0 and 40 tiles", (40, 4), 4, FLAT)
    long = [-8] * 300 + [0] * 2
    yield valid(
        "tiles_wide",
        "W = 10: tiles of 563 bytes and of one",
        Model([one(levels((302,), long, LONG, tile=300), (302,))]),
    )
    yield valid(
        "tiles_least_150", "a least size of two bytes", Model([one(levels((160,), [-8] * 160, LONG, tile=80), (160,))])
    )
    yield tiled("index_wide_fields", "wider fields than needed: W = 24", (3, 6), 6, index=Index(width=24))
    yield tiled(
        "index_least_0",
        "a least size of 0 where no tile is empty: only its sum with the field counts",
        (5, 6),
        6,
        index=Index(least=0),
    )
    for width in (5, 6, 9, 11, 17):
        yield tiled(f"index_width_{width}", f"W = {width}", (19, 3), 3, index=Index(width=width))


def valid_lossless() -> Iterator[Vector]:
    dice = Dice(4)

    def vector(name: str, description: str, *tensors: Tensor) -> Vector:
        return valid(f"lossless_{name}", description, Model(tensors))

    def near_one(dtype: str, count: int) -> bytes:
        """Floats with few exponents, as weights are."""
        top = {"f32": 0x3D, "f16": 0x2C, "bf16": 0x3D, "f64": 0x3F}[dtype]
        size = SIZES[dtype]
        return b"".join(dice.bytes(size - 1) + bytes([top - dice(2) + 128 * dice(2)]) for _ in range(count))

    for dtype, kinds in (("f32", "ccss"), ("f16", "cs"), ("bf16", "cc"), ("f64", "ccssssss")):
        yield vector(
            dtype,
            f"{dtype}: {kinds} (c coded, s stored)",
            lossless_tensor("w", dtype, (3, 5), near_one(dtype, 15), kinds),
        )
    specials = {
        "f32": (0x7FC00000, 0xFFC00001, 0x7F800001, 0x7F800000, 0xFF800000, 0x80000000, 0, 1, 0x807FFFFF, 0x7F7FFFFF),
        "f16": (0x7E00, 0xFE01, 0x7C01, 0x7C00, 0xFC00, 0x8000, 0, 1, 0x83FF, 0x7BFF),
        "bf16": (0x7FC0, 0xFFC1, 0x7F81, 0x7F80, 0xFF80, 0x8000, 0, 1, 0x807F, 0x7F7F),
        "f64": (0x7FF8 << 48, 0xFFF8 << 48 | 1, 0x7FF0 << 48 | 1, 0x7FF0 << 48, 0xFFF0 << 48, 1 << 63, 0, 1),
    }
    for dtype, values in specials.items():
        kinds = "c" * (SIZES[dtype] - 1) + "s"
        yield vector(
            f"{dtype}_specials",
            f"{dtype}: NaNs with payloads, infinities, −0, subnormal numbers",
            lossless_tensor("w", dtype, (len(values),), words(dtype, *values), kinds),
        )
    yield vector(
        "i8",
        "i8: one plane, coded",
        lossless_tensor("w", "i8", (20,), bytes(dice(5) - 2 & 255 for _ in range(20)), "c"),
    )
    yield vector(
        "i8_not_listed",
        "i8: a table whose symbols are not listed",
        Tensor("w", (12,), lossless((12,), "i8", bytes(v & 255 for v in dice.levels(SMALL, 12)), [Plane(SMALL)]), "i8"),
    )
    yield vector(
        "i32",
        "i32: constant, constant, coded, stored",
        lossless_tensor("w", "i32", (9,), words("i32", *(dice(1000) for _ in range(9))), "kkcs"),
    )
    yield vector(
        "i64",
        "i64: six planes constant, one of them 255",
        lossless_tensor("w", "i64", (6,), words("i64", *(0xFF << 56 | dice(5000) for _ in range(6))), "kkkkkkcs"),
    )
    yield vector("bool", "bool", lossless_tensor("w", "bool", (5, 7), bytes(dice(2) for _ in range(35)), "c"))
    others = [
        lossless_tensor(f"w.{dtype}", dtype, (4, 3), dice.bytes(12 * SIZES[dtype]), ("sc" * 4)[: SIZES[dtype]])
        for dtype in ("u8", "i16", "f8_e4m3fn", "f8_e5m2", "u16", "u32", "u64", "complex64")
    ]
    others.sort(key=lambda t: t.name_bytes)
    yield vector("others", "the other dtypes, stored and coded planes in turn", *others)
    for dtype in ("f32", "u8"):
        value = words(dtype, 1 if dtype == "u8" else 0xBF800000)
        yield vector(
            f"constant_{dtype}",
            f"{dtype}: all planes constant, no index, no data; three tiles",
            lossless_tensor("w", dtype, (3, 4), value * 12, "k" * SIZES[dtype], tile=4),
        )
    yield vector(
        "stored",
        "all planes stored; an index all the same",
        lossless_tensor("w", "f32", (5, 3), dice.bytes(60), "ssss", tile=4),
    )
    yield vector(
        "stored_and_constant",
        "stored and constant planes: W = 0",
        lossless_tensor("w", "u16", (4, 3), words("u16", *(0x4200 | dice(256) for _ in range(12))), "ks", tile=3),
    )
    yield vector("all_bytes", "a table of all 256 bytes", lossless_tensor("w", "u8", (64,), dice.bytes(64), "u"))
    yield vector(
        "tiles_rows",
        "tiles of two rows, the last of one",
        lossless_tensor("w", "f32", (5, 4), near_one("f32", 20), "ccss", tile=8),
    )
    yield vector(
        "tiles_columns", "tiles by columns", lossless_tensor("w", "bf16", (2, 11), near_one("bf16", 22), "cs", tile=4)
    )
    yield vector("tiles_70", "70 tiles", lossless_tensor("w", "f16", (70, 2), near_one("f16", 140), "cs", tile=2))
    elements = words("f32", *([0x3F800000] * 7))
    coded = [Plane(LONG), Plane(SMALL), STORED, Plane(Table.constant(0))]
    halves = plane_bytes(elements, "f32")
    assert halves[0] == b"\x7f" * 7
    coded[0] = Plane(Table.of({0x7F: 1, 0x80: 1}))
    yield vector("scalar", "a scalar", lossless_tensor("w", "f64", (), words("f64", 0x400921FB54442D18), "ccccssss"))
    yield vector(
        "rotation",
        "f32: the sign ends as the lowest bit",
        Tensor("w", (7,), lossless((7,), "f32", elements, coded), "f32"),
    )


def valid_files() -> Iterator[Vector]:
    model = Model([one(levels((2, 3), [0, -1, 1, -2, 0, 0], SMALL), (2, 3))])
    yield valid("file", "a file without foreign metadata", model, file=True)
    foreign = {"format": "pt", "Zoë": 'a "quoted" \\ text\n\t\x01\x7f', "😀": "é\u2028", "": ""}
    yield valid(
        "file_foreign",
        "a file with foreign metadata, among them characters that JSON escapes",
        model,
        foreign,
        file=True,
    )
    yield valid("file_no_tensors", "a file with a stream of no tensors", Model(), file=True)


# Invalid vectors


LEAN = {
    *("shared_count", "codec_name_empty", "codec_name_ascii"),
    *("name_twice", "name_order", "name_order_prefix", "name_order_bytes", "name_empty_twice"),
    *("name_P_first", "name_P_long", "name_P_short"),
    *("tie_out_of_range", "tie_self", "tie_to_tie", "tie_to_tie_forward", "tie_circle"),
}
"""Rules of the directory that firmware need not check, as no access hangs on them."""

WIDE = {"size_huge", "size_2_32", "shared_size_2_32", "size_wrap"}
"""TRUNCATED by an integer of 2^32 or more."""


def invalid(name: str, description: str, error: str, data: bytes | Model, may_accept: str = "") -> Vector:
    """An invalid vector."""
    entry: dict[str, object] = {"description": description, "error": error}
    if name in LEAN:
        may_accept = "lean"
    if may_accept:
        entry["may_accept"] = may_accept
    if name in WIDE:
        entry["wide"] = True
    suffix = "safetensors" if name.startswith("file_") else "ncd"
    return Vector(f"invalid/{name}.{suffix}", data if isinstance(data, bytes) else data.data(), entry)


def invalid_vectors() -> Iterator[Vector]:
    yield from invalid_fixed_part()
    yield from invalid_directory()
    yield from invalid_sizes()
    yield from invalid_payloads()
    yield from invalid_tables()
    yield from invalid_indices()
    yield from invalid_lossless()
    yield from invalid_tiles()
    yield from invalid_kmeans(invalid)  # type: ignore[misc]
    yield from invalid_trellis(invalid)  # type: ignore[misc]
    yield from invalid_regression(invalid)  # type: ignore[misc]
    yield from invalid_generative(invalid)  # type: ignore[misc]
    yield from invalid_autoencoder(invalid)  # type: ignore[misc]
    yield from invalid_files()


SIX = [0, -1, 1, -2, 0, 0]
GOOD = levels((2, 3), SIX, SMALL)
BASE = Model([one(GOOD, (2, 3))])


def invalid_fixed_part() -> Iterator[Vector]:
    good = BASE.data()
    yield invalid("size_0", "no bytes", TRUNCATED, b"")
    yield invalid("size_2", "half of the magic", TRUNCATED, good[:2])
    yield invalid("size_4", "the magic alone", TRUNCATED, good[:4])
    yield invalid("size_15", "the fixed part without its last byte", TRUNCATED, good[:15])
    yield invalid(
        "size_15_version",
        "fifteen bytes of another version: the size is checked first",
        TRUNCATED,
        b"NCDM\2" + bytes(10),
    )
    yield invalid("size_16", "the fixed part alone, H greater", TRUNCATED, good[:16])
    yield invalid("size_3_magic", "three bytes that are not the magic's: the size is checked first", TRUNCATED, b"NCX")
    yield invalid("size_15_magic", "fifteen bytes without the magic", TRUNCATED, b"X" + good[1:15])
    yield invalid("magic", "a wrong magic", CORRUPT, replace(BASE, magic=b"NCDN"))
    for version in (0, 2, 255):
        yield invalid(f"version_{version}", f"version {version}", UNSUPPORTED, replace(BASE, version=version))
    yield invalid(
        "version_2_crc",
        "version 2 and a wrong checksum: the version is checked first",
        UNSUPPORTED,
        replace(BASE, version=2, header_crc=0),
    )
    for b in range(1, 8):
        yield invalid(f"flags_bit_{b}", f"reserved bit {b} of the flags", UNSUPPORTED, replace(BASE, flags=1 << b))
    for b in (0, 7, 8, 15):
        yield invalid(
            f"reserved_bit_{b}", f"bit {b} of the reserved field", UNSUPPORTED, replace(BASE, reserved=1 << b)
        )
    yield invalid("H_0", "H = 0", CORRUPT, replace(BASE, header_size=0))
    yield invalid("H_15", "H = 15", CORRUPT, replace(BASE, header_size=15))
    yield invalid("H_after_end", "H one more than the size", TRUNCATED, replace(BASE, header_size=len(good) + 1))
    yield invalid("H_4GiB", "H = 2^32 − 1", TRUNCATED, replace(BASE, header_size=2**32 - 1))
    yield invalid("header_crc", "a wrong checksum of the header", CHECKSUM, replace(BASE, header_crc=0x12345678))
    flipped = bytearray(good)
    flipped[20] ^= 4
    yield invalid("header_flipped", "a bit of the directory flipped", CHECKSUM, bytes(flipped))
    yield invalid(
        "header_crc_dtype",
        "a wrong checksum and an unknown dtype: the checksum is checked first",
        CHECKSUM,
        replace(BASE, header_crc=1, tensors=[one(GOOD, (2, 3), dtype=99)]),
    )
    yield invalid("header_cut", "the stream ends inside the directory", TRUNCATED, good[:25])


def invalid_directory() -> Iterator[Vector]:
    byte = raw(b"\1")

    def directory(
        name: str, description: str, error: str, *tensors: Tensor, may_accept: str = "", **more: object
    ) -> Vector:
        return invalid(name, description, error, replace(Model(tensors), **more), may_accept)  # type: ignore[arg-type]

    def u8(name: str | bytes, **more: object) -> Tensor:
        return replace(Tensor(name, (), byte, "u8", codec=1), **more)  # type: ignore[arg-type]

    def shaped(*shape: int | bytes, dtype: str = "f32") -> Tensor:
        return Tensor("w", shape, levels((1,), [0], Table.constant()), dtype)

    yield directory("H_16", "an empty directory", CORRUPT, header_size=16, cut_directory=2)
    yield directory("no_tensor_count", "the directory ends before the number of tensors", CORRUPT, cut_directory=1)
    yield directory("shared_count", "65,536 shared objects", CORRUPT, n_shared=65_536)
    yield directory("tensor_count", "2^24 tensors", CORRUPT, n_tensors=2**24)
    yield directory("tensor_count_2_of_1", "two tensors, and a record for one", CORRUPT, u8("a"), n_tensors=2)
    yield directory(
        "tensor_count_many", "2^24 − 1 tensors, and a record for one", CORRUPT, u8("a"), n_tensors=2**24 - 1
    )
    yield directory("tensor_count_1_of_2", "one tensor, and records for two", CORRUPT, u8("a"), u8("b"), n_tensors=1)
    yield directory("directory_tail", "a byte between the directory and H", CORRUPT, u8("a"), directory_tail=b"\0")
    for cut, where in (
        (1, "the checksum of a payload"),
        (5, "the size of a payload"),
        (6, "the dimensions"),
        (8, "the dtype"),
        (9, "the codec"),
        (10, "a name"),
        (11, "the length of a name"),
    ):
        yield directory(
            f"directory_cut_{cut}",
            f"the directory ends inside or before {where}",
            CORRUPT,
            Tensor("w", (1,), byte, "u8", codec=1),
            cut_directory=cut,
        )
    yield directory(
        "shared_cut",
        "the directory ends inside the record of a shared object",
        CORRUPT,
        shared=[Shared(SMALL.data())],
        cut_directory=3,
    )

    yield directory(
        "varint_shared_count", "number of shared objects not in the shortest form", CORRUPT, n_shared=b"\x80\0"
    )
    yield directory(
        "varint_tensor_count", "number of tensors not in the shortest form", CORRUPT, u8("a"), n_tensors=b"\x81\0"
    )
    yield directory("varint_P", "P not in the shortest form", CORRUPT, u8("a", prefix=b"\x80\0"))
    yield directory("varint_Q", "Q not in the shortest form", CORRUPT, u8("a", suffix_size=b"\x81\0"))
    yield directory(
        "varint_dimension", "a dimension not in the shortest form", CORRUPT, u8("a", shape=(b"\x81\x80\0",))
    )
    yield directory("varint_size", "size of a payload not in the shortest form", CORRUPT, u8("a", size=b"\x81\0"))
    yield directory(
        "varint_tie", "index of a tie not in the shortest form", CORRUPT, u8("a"), Tensor("b", tied_to=b"\x80\0")
    )
    yield directory(
        "varint_shared_size",
        "size of a shared object not in the shortest form",
        CORRUPT,
        shared=[Shared(b"\0\0", size=b"\x82\0")],
    )
    yield directory("varint_9_bytes", "a varint of nine bytes", CORRUPT, u8("a", size=b"\x81" + b"\x80" * 7 + b"\1"))
    yield directory("varint_endless", "a varint of eighteen bytes", CORRUPT, u8("a", size=b"\xff" * 17 + b"\1"))
    yield directory("varint_unfinished", "the directory ends inside a varint", CORRUPT, n_tensors=b"\x80")

    for kind in (0, 5, 255):
        yield directory(
            f"shared_kind_{kind}", f"a shared object of kind {kind}", UNSUPPORTED, shared=[Shared(b"", kind)]
        )
    for dtype in (0, 17, 255):
        yield directory(f"dtype_{dtype}", f"dtype {dtype}", UNSUPPORTED, u8("a", dtype=dtype))

    yield directory("name_twice", "a name twice", CORRUPT, u8("a"), u8("a"))
    yield directory("name_order", "names in descending order", CORRUPT, u8("b"), u8("a"))
    yield directory("name_order_prefix", "a name after one that it is the start of", CORRUPT, u8("ab"), u8("a"))
    yield directory(
        "name_order_bytes", "names in the order of UTF-16, not of bytes", CORRUPT, u8("\U00010000"), u8("\uffee")
    )
    yield directory("name_empty_twice", "the empty name twice", CORRUPT, u8(""), u8(""))
    yield directory("name_P_first", "P of the first name is not 0", CORRUPT, u8("a", prefix=1))
    yield directory("name_P_long", "P greater than the length of the name before", CORRUPT, u8("a"), u8("ab", prefix=2))
    yield directory("name_Q_long", "Q greater than what is left", CORRUPT, u8("a", suffix_size=200))
    yield directory("name_Q_huge", "Q = 2^56 − 1", CORRUPT, u8("a", suffix_size=2**56 - 1))
    yield directory(
        "name_65536",
        "a name of 65,536 bytes: 2 from the name before, 65,534 that are not there",
        CORRUPT,
        u8("aa"),
        u8("aab", suffix_size=65_534),
    )
    yield directory("name_P_short", "P not the longest it can be", CORRUPT, u8("aa"), u8("ab", prefix=0))
    yield directory("name_not_utf8", "a name that is not UTF-8", CORRUPT, u8(b"a\xff"), may_accept="firmware")

    yield directory("tie_out_of_range", "a tie to a tensor that is not there", CORRUPT, u8("a"), Tensor("b", tied_to=2))
    yield directory("tie_huge", "a tie to tensor 2^32", CORRUPT, u8("a"), Tensor("b", tied_to=2**32))
    yield directory("tie_self", "a tensor tied to itself", CORRUPT, u8("a"), Tensor("b", tied_to=1))
    yield directory(
        "tie_to_tie",
        "a tie to a tied tensor before it",
        CORRUPT,
        u8("a"),
        Tensor("b", tied_to=0),
        Tensor("c", tied_to=1),
    )
    yield directory(
        "tie_to_tie_forward",
        "a tie to a tied tensor after it",
        CORRUPT,
        Tensor("a", tied_to=1),
        Tensor("b", tied_to=2),
        u8("c"),
    )
    yield directory(
        "tie_circle", "two tensors tied to each other", CORRUPT, Tensor("a", tied_to=1), Tensor("b", tied_to=0)
    )

    yield directory("dimensions_65", "65 dimensions", CORRUPT, u8("a", shape=(1,) * 65))
    yield directory("columns_2_32", "2^32 columns of one dimension", CORRUPT, shaped(2**32))
    yield directory("columns_2_32_product", "2^16 x 2^16 columns", CORRUPT, shaped(1, 2**16, 2**16))
    yield directory("columns_wrap", "columns whose product is 2^64", CORRUPT, shaped(2, 2**32, 2**32))
    yield directory("rows_2_32", "2^32 rows", CORRUPT, shaped(2**32, 1))
    yield directory("rows_2_32_empty", "2^32 rows of no columns", CORRUPT, Tensor("w", (2**32, 0)))
    yield directory("columns_2_32_empty", "no rows of 2^32 columns", CORRUPT, Tensor("w", (0, 2**32)))
    yield directory("elements_2_56", "2^56 bytes of elements", CORRUPT, shaped(2**28, 2**26))
    yield directory(
        "elements_2_56_f64", "2^56 bytes of elements, 2^53 elements", CORRUPT, shaped(2**27, 2**26, dtype="f64")
    )
    yield directory("elements_wrap", "2^64 − 2^33 + 1 elements", CORRUPT, shaped(2**32 - 1, 2**32 - 1))
    yield directory("empty_payload", "a tensor without elements that has a payload", CORRUPT, u8("a", shape=(0,)))
    yield directory("codec_name_empty", "codec 255 with an empty name", CORRUPT, u8("a", codec=255))
    yield directory(
        "codec_name_cut",
        "codec 255, the directory ends inside its name",
        CORRUPT,
        u8("a", codec=255, codec_name=b"x", codec_name_size=40),
    )
    yield directory(
        "codec_name_ascii",
        "codec 255 with a name that is not ASCII",
        CORRUPT,
        u8("a", codec=255, codec_name="ä".encode()),
    )
    yield directory(
        "dtype_before_size",
        "an unknown dtype in a stream that is cut: the directory is checked first",
        UNSUPPORTED,
        u8("a", dtype=77),
        cut=1,
    )


def invalid_sizes() -> Iterator[Vector]:
    two = Model([replace(BASE.tensors[0], name="a"), Tensor("b", (2,), raw(b"\1\2"), "u8", codec=1)])
    shared = Model([one(levels((3,), [0, 1, -1], SMALL, shared=0), (3,))], [Shared(SMALL.data())])
    yield invalid("payload_cut", "the last byte is missing", TRUNCATED, replace(two, cut=1))
    yield invalid("payload_missing", "the last payload is missing", TRUNCATED, replace(two, cut=2))
    yield invalid("payloads_missing", "all payloads are missing", TRUNCATED, replace(two, cut=2 + len(GOOD.data)))
    yield invalid(
        "shared_object_cut",
        "the stream ends inside a shared object",
        TRUNCATED,
        replace(shared, cut=len(shared.tensors[0].payload.data) + 1),
    )
    yield invalid("tail", "a byte after the last payload", CORRUPT, replace(two, tail=b"\0"))
    yield invalid("tail_no_tensors", "a byte after a header of no tensors", CORRUPT, Model(tail=b"\0"))
    yield invalid(
        "size_huge", "a payload of 2^56 − 1 bytes", TRUNCATED, Model([replace(BASE.tensors[0], size=2**56 - 1)])
    )
    yield invalid(
        "size_2_32",
        "a payload 2^32 bytes longer than it is",
        TRUNCATED,
        Model([replace(BASE.tensors[0], size=2**32 + len(GOOD.data))]),
    )
    yield invalid(
        "shared_size_2_32",
        "a shared object 2^32 bytes longer than it is",
        TRUNCATED,
        replace(shared, shared=[Shared(SMALL.data(), size=2**32 + len(SMALL.data()))]),
    )
    many = [Tensor(payload=Payload(b""), dtype="u8", codec=1, size=2**56 - 1) for _ in range(256)]
    yield invalid(
        "size_wrap",
        "payloads of 2^64 bytes in all",
        TRUNCATED,
        Model([*many, Tensor(payload=Payload(b""), dtype="u8", codec=1, size=256)], named=False),
    )


def invalid_payloads() -> Iterator[Vector]:
    def payload(
        name: str,
        description: str,
        error: str,
        data: Payload | bytes,
        shape: Sequence[int] = (2, 3),
        *,
        dtype: str = "f32",
        may_accept: str = "",
        **more: object,
    ) -> Vector:
        content = Payload(data) if isinstance(data, bytes) else data
        return invalid(name, description, error, Model([one(content, shape, dtype, **more)]), may_accept)

    yield payload(
        "codec_5", "codec 5, which was not known once: the payload ends in the step", CORRUPT, b"\1\2\3", codec=5
    )
    for codec in (8, 200):
        yield payload(f"codec_{codec}", f"codec {codec}, which is not known", UNSUPPORTED, b"\1\2\3", codec=codec)
    yield payload(
        "codec_7", "codec 7, which was not known once: the payload ends in the step", CORRUPT, b"\1\2\3", codec=7
    )
    yield payload(
        "codec_255", "a codec with a name that is not known", UNSUPPORTED, b"\1\2\3", codec=255, codec_name=b"acme.zip"
    )
    yield payload(
        "codec_255_crc",
        "a codec with a name that is not known, and a wrong checksum: the checksum is checked first",
        CHECKSUM,
        b"\1\2\3",
        codec=255,
        codec_name=b"acme.zip",
        crc=0,
    )
    yield payload(
        "codec_8_empty",
        "codec 8, a tensor without elements: opening it is an error all the same",
        UNSUPPORTED,
        b"",
        (0,),
        codec=8,
    )
    yield payload("payload_crc", "a wrong checksum of levels", CHECKSUM, GOOD, crc=0)
    yield payload(
        "payload_crc_raw", "a wrong checksum of raw bytes", CHECKSUM, raw(b"abcd"), (4,), dtype="u8", codec=1, crc=0
    )
    yield payload(
        "payload_crc_empty", "a checksum other than 0 of no payload", CHECKSUM, b"", (0,), crc=5, may_accept="firmware"
    )
    yield payload(
        "payload_crc_mode",
        "a wrong checksum and a reserved mode: the checksum is checked first",
        CHECKSUM,
        bytes([0x80]) + GOOD.data[1:],
        crc=crc32(GOOD.data),
    )
    yield payload("raw_short", "raw, a byte too few", CORRUPT, raw(b"abc"), (4,), dtype="u8", codec=1)
    yield payload("raw_long", "raw, a byte too many", CORRUPT, raw(b"abcde"), (4,), dtype="u8", codec=1)
    yield payload("raw_one_element_short", "raw, an element of f32 too few", CORRUPT, raw(bytes(12)), (2, 2), codec=1)
    yield payload("raw_no_payload", "raw, four elements and no payload", CORRUPT, raw(b""), (4,), dtype="u8", codec=1)

    yield payload("huffman_no_payload", "six levels and no payload", CORRUPT, b"")
    for cut, where in ((1, "before T"), (3, "before the step"), (5, "inside the step"), (7, "before the table")):
        yield payload(f"levels_cut_{cut}", f"the payload ends {where}", CORRUPT, GOOD.data[:cut])
    for mode in (2, 3):
        yield payload(f"mode_{mode}", f"mode {mode}", UNSUPPORTED, levels((2, 3), SIX, SMALL, mode=mode))
    for b in range(4, 8):
        yield payload(
            f"levels_mode_bit_{b}",
            f"reserved bit {b} of the mode of levels",
            UNSUPPORTED,
            levels((2, 3), SIX, SMALL, mode=1 << b),
        )
    yield payload("levels_T_0", "T = 0", CORRUPT, levels((2, 3), SIX, SMALL, tile=0))
    yield payload("levels_T_65536", "T = 65,536", CORRUPT, levels((2, 3), SIX, SMALL, tile=65_536))
    yield payload("levels_T_varint", "T not in the shortest form", CORRUPT, levels((2, 3), SIX, SMALL, tile=b"\x86\0"))
    yield payload(
        "levels_T_varint_long",
        "T of nine bytes",
        CORRUPT,
        levels((2, 3), SIX, SMALL, tile=b"\x86" + b"\x80" * 7 + b"\1"),
    )
    for dtype in ("i8", "u8", "i32", "bool", "f8_e4m3fn", "complex64"):
        yield payload(f"levels_{dtype}", f"levels of dtype {dtype}", CORRUPT, GOOD, (2, 3), dtype=dtype)
    for what, bits in (
        ("0", 0),
        ("minus_0", 1 << 31),
        ("negative", 0xBF000000),
        ("inf", 0x7F800000),
        ("nan", 0x7FC00000),
    ):
        yield payload(f"step_{what}", f"a step of bits {bits:08x}", CORRUPT, levels((2, 3), SIX, SMALL, step_bits=bits))
    for width in (0, 9, 15):
        yield payload(
            f"scale_width_{width}",
            f"scale codes of {width} bits",
            CORRUPT,
            levels((2, 3), SIX, SMALL, scales=[1, 2], scale_width_byte=width),
        )
    for b in range(4, 8):
        yield payload(
            f"scale_width_bit_{b}",
            f"reserved bit {b} of the width of scale codes",
            UNSUPPORTED,
            levels((2, 3), SIX, SMALL, scales=[1, 2], scale_width_byte=2 | 1 << b),
        )
    yield payload(
        "scale_padding",
        "an unused bit of the scale codes is set",
        CORRUPT,
        levels((2, 3), SIX, SMALL, scales=[1, 2], scale_padding=0x80),
        may_accept="any",
    )
    yield payload("scale_cut", "the payload ends inside the scale codes", CORRUPT, b"\x08" + GOOD.data[1:7] + b"\x08\1")
    yield payload(
        "scale_cut_2_32",
        "row scales of 2^32 − 1 rows in a byte",
        CORRUPT,
        levels((1, 1), [0], Table.constant(), scales=[1]),
        (2**32 - 1, 1),
    )
    yield payload(
        "tiles_2_32", "2^33 tiles of a constant code", CORRUPT, levels((1,), [0], Table.constant(), tile=1), (2**31, 4)
    )
    yield payload(
        "tiles_2_32_wrap",
        "2^32 + 2 tiles: three of each of many rows",
        CORRUPT,
        levels((1,), [0], Table.constant(), tile=1),
        (0x55555556, 3),
    )


def invalid_tables() -> Iterator[Vector]:
    def table(name: str, description: str, error: str, bad: Table | bytes, tail: bytes = bytes(8)) -> Vector:
        data = bad if isinstance(bad, bytes) else bad.data()
        head = levels((6,), [0] * 6, Table.constant()).data[:-3]
        return invalid(f"table_{name}", description, error, Model([one(Payload(head + data + tail), (6,))]))

    for b in range(3, 8):
        what = "ranks, which are for indices" if b == 3 else f"reserved bit {b} of a table's flags"
        yield table(f"flag_{b}", what, UNSUPPORTED, replace(SMALL, flags_byte=1 << b))
    yield table("pairs_not_listed", "pairs that are not listed", UNSUPPORTED, replace(SMALL, flags_byte=2))
    yield table("pairs_not_listed_constant", "a constant pair that is not listed", UNSUPPORTED, b"\0\2\1", b"")
    yield table("zeros_not_listed", "zeros that are not listed", UNSUPPORTED, replace(SMALL, flags_byte=4))
    both = replace(SMALL, symbols=[0, 1, 2, 3], flags_byte=7)
    yield table("pairs_and_zeros", "pairs and zeros", UNSUPPORTED, both)
    yield table("Lmin_0", "Lmin = 0 and Lmax = 3", CORRUPT, b"\x30\0\1\1\1\2")
    yield table("Lmax_0", "Lmin = 3 and Lmax = 0", CORRUPT, b"\x03\0")
    yield table("Lmin_greater", "Lmin = 3 and Lmax = 2", CORRUPT, b"\x23\0\2\2")
    yield table("first_count_0", "no code of length Lmin", CORRUPT, Table([0, 4], shortest=1))
    yield table("last_count_0", "no code of length Lmax", CORRUPT, Table([2, 0], shortest=1))
    yield table("incomplete", "an incomplete code", CORRUPT, Table([1, 1], shortest=1))
    yield table("incomplete_one", "one code of one bit", CORRUPT, Table([1], shortest=1))
    yield table("incomplete_15", "a code that lacks one word of 15 bits", CORRUPT, Table([1] * 15, shortest=1))
    yield table("overcomplete", "an over-complete code", CORRUPT, Table([1, 3], shortest=1))
    yield table(
        "overcomplete_15", "a code with one word of 15 bits too many", CORRUPT, Table([1] * 14 + [3], shortest=1)
    )
    yield table(
        "overcomplete_wrap", "six codes of one bit: complete in 16-bit arithmetic", CORRUPT, Table([6], shortest=1)
    )
    yield table("257_symbols", "a complete code of 257 symbols", CORRUPT, Table([255, 2], shortest=8))
    yield table("symbol_twice", "a symbol listed twice", CORRUPT, replace(SMALL, symbols=[1, 2, 3, 1]))
    yield table("pair_twice", "a pair listed twice", CORRUPT, replace(PAIRS, symbols=[0, 1, 0x10, 0x10]))
    yield table("cut_lengths", "the payload ends before a table's flags", CORRUPT, b"\x31", b"")
    yield table("cut_counts", "the payload ends inside a table's counts", CORRUPT, b"\x31\0\1", b"")
    yield table("cut_symbols", "the payload ends inside a table's symbols", CORRUPT, b"\x31\1\1\1\2\0\1", b"")
    yield table("cut_constant", "the payload ends before the symbol of a constant code", CORRUPT, b"\0\1\1", b"")
    yield table("constant_tail", "a byte after the table of a constant code", CORRUPT, b"\0\0\1", b"\0")
    for n in (0, 2, 255):
        yield table(f"constant_count_{n}", f"{n} codes of no bits", CORRUPT, bytes([0, 0, n]), b"")
    yield table("constant_listed_tail", "a byte after the table of a listed constant code", CORRUPT, b"\0\1\1\5", b"\0")

    def shared(name: str, description: str, error: str, item: Shared, index: int | bytes = 0) -> Vector:
        payload = levels((4,), [0, 1, -1, 0], SMALL, shared=index)
        return invalid(f"shared_{name}", description, error, Model([one(payload, (4,))], [item]))

    data = SMALL.data()
    yield shared("crc", "a wrong checksum of a shared table", CHECKSUM, Shared(data, crc=0))
    yield shared("index", "shared object 1 of 1", CORRUPT, Shared(data), 1)
    yield shared("index_huge", "shared object 2^32", CORRUPT, Shared(data), 2**32)
    yield shared("index_varint", "index of a shared object not in the shortest form", CORRUPT, Shared(data), b"\x80\0")
    yield shared("tail", "a byte after a shared table", CORRUPT, Shared(data + b"\0"))
    yield shared("short", "a shared table without its last byte", CORRUPT, Shared(data[:-1]))
    yield shared("empty", "a shared table of no bytes", CORRUPT, Shared(b""))
    yield shared("flag", "a reserved flag of a shared table", UNSUPPORTED, Shared(data[:1] + b"\x40" + data[2:]))
    yield shared("incomplete", "an incomplete shared table", CORRUPT, Shared(Table([1, 1], shortest=1).data()))
    none = levels((4,), [0, 1, -1, 0], SMALL, shared=0)
    yield invalid("shared_none", "a shared table where there are no shared objects", CORRUPT, Model([one(none, (4,))]))
    constant = levels((4,), [0] * 4, Table.constant(), shared=0, tail=b"\0")
    yield invalid(
        "shared_constant_tail",
        "a byte after the index of a constant shared table",
        CORRUPT,
        Model([one(constant, (4,))], [Shared(Table.constant().data())]),
    )


def invalid_indices() -> Iterator[Vector]:
    values = Dice(5).levels(SMALL, 200)

    def index(
        name: str,
        description: str,
        error: str,
        change: Index,
        rows: int = 3,
        *,
        table: Table = SMALL,
        may_accept: str = "",
        **more: object,
    ) -> Vector:
        shape = (rows, 5)
        payload = levels(shape, values[: 5 * rows], table, tile=5, index=change, **more)  # type: ignore[arg-type]
        return invalid(f"index_{name}", description, error, Model([one(payload, shape)]), may_accept)

    for width in (25, 31):
        yield index(f"W_{width}", f"W = {width}", CORRUPT, Index(width_byte=width))
    for b in (5, 6, 7):
        yield index(f"W_bit_{b}", f"reserved bit {b} of W", UNSUPPORTED, Index(width_byte=1 | 1 << b))
    yield index("varint", "least size not in the shortest form", CORRUPT, Index(least=b"\x81\0", fields=[0, 0, 0]))
    padded = Index(width=2, padding=0x80)
    yield index("padding", "an unused bit of the sizes is set", CORRUPT, padded, may_accept="any")
    sizes = [len(SMALL.encode_levels(values[i : i + 5])) for i in range(0, 15, 5)]
    yield index(
        "sum_small",
        "sizes that add up to less than the data: a byte is left over",
        CORRUPT,
        Index(),
        may_accept="firmware",
        tail=b"\0",
    )
    yield index(
        "sum_large",
        "sizes that add up to more than the data",
        CORRUPT,
        Index(least=0, fields=[*sizes[:2], sizes[2] + 1]),
    )
    yield index(
        "sum_large_first", "the first tile runs past the data", CORRUPT, Index(least=0, fields=[99, *sizes[1:]])
    )
    yield index("least_large", "a least size that is too large", CORRUPT, Index(least=9, width=0, fields=[0, 0, 0]))
    yield index("least_huge", "a least size of 2^56 − 1", CORRUPT, Index(least=2**56 - 1, width=0, fields=[0, 0, 0]))
    yield index(
        "checkpoint",
        "an offset one too great",
        CORRUPT,
        Index(checkpoints=[1 + sum(len(SMALL.encode_levels(values[5 * i : 5 * i + 5])) for i in range(16))]),
        20,
        may_accept="firmware",
    )
    yield index("checkpoint_huge", "an offset of 2^32 − 1", CORRUPT, Index(checkpoints=[2**32 - 1]), 20)
    same = levels((70, 4), [0, 1, -1, 0] * 70, FLAT, tile=4, index=Index(checkpoints=[15, 32, 48, 64]))
    yield invalid(
        "index_checkpoint_same",
        "an offset one too small where all tiles have the same data",
        CORRUPT,
        Model([one(same, (70, 4))]),
        may_accept="firmware",
    )
    good = levels((3, 5), values[:15], SMALL, tile=5).data
    start = len(levels((3, 5), values[:15], SMALL, tile=5, edit=lambda _: []).data)
    for cut in (0, 1, 2):
        yield invalid(
            f"index_cut_{cut}",
            f"the payload ends after {cut} bytes of the index",
            CORRUPT,
            Model([one(Payload(good[: start + cut]), (3, 5))]),
        )
    long = levels((40, 5), values, SMALL, tile=5).data
    yield invalid(
        "index_cut_offsets",
        "the payload ends inside the offsets",
        CORRUPT,
        Model([one(Payload(long[: start + 3]), (40, 5))]),
    )
    head = levels((1,), [0], FLAT, tile=1, edit=lambda _: []).data
    yield invalid(
        "index_2_32",
        "2^32 − 1 tiles, and six bytes for their index",
        CORRUPT,
        Model([one(Payload(head + bytes([0, 0, 1, 0, 0, 0])), (2**32 - 1,))]),
    )
    yield invalid(
        "index_2_24_fields",
        "32 tiles of 2^24 − 1 bytes that are not there",
        CORRUPT,
        Model([one(Payload(head + bytes([0, 24]) + b"\xff" * 96), (32,))]),
    )
    wrap = levels((256, 4), [0] * 1024, FLAT, tile=4, index=Index(least=2**56 - 1, width=2, fields=[2] * 256))
    yield invalid("index_wrap", "sizes that add up to 2^64 more than the data", CORRUPT, Model([one(wrap, (256, 4))]))
    half = levels((2, 4), [0, 1, -1, 0] * 2, FLAT, tile=4, index=Index(least=2**32 - 1, width=2, fields=[2, 2]))
    yield invalid(
        "index_wrap_32", "sizes of 2^32 + 1: the data in 32-bit arithmetic", CORRUPT, Model([one(half, (2, 4))])
    )


def invalid_lossless() -> Iterator[Vector]:
    elements = words("u16", 0x0102, 0x0103, 0x0102, 0x0101)
    planes = [Plane(Table.of({1: 1, 0: 1})), STORED]

    def bad(
        name: str,
        description: str,
        error: str,
        payload: Payload | bytes,
        shape: Sequence[int] = (4,),
        *,
        dtype: str = "u16",
        shared: Sequence[Shared] = (),
    ) -> Vector:
        content = Payload(payload) if isinstance(payload, bytes) else payload
        return invalid(f"lossless_{name}", description, error, Model([one(content, shape, dtype)], shared))

    good = lossless((4,), "u16", elements, planes)
    for b in range(2, 8):
        yield bad(
            f"mode_bit_{b}",
            f"reserved bit {b} of the mode",
            UNSUPPORTED,
            lossless((4,), "u16", elements, planes, mode=1 | 1 << b),
        )
    yield bad(
        "plane_kind_3", "a plane of kind 3", UNSUPPORTED, lossless((4,), "u16", elements, [planes[0], Plane(kind=3)])
    )
    for b in range(2, 8):
        yield bad(
            f"plane_bit_{b}",
            f"reserved bit {b} of a plane's kind",
            UNSUPPORTED,
            lossless((4,), "u16", elements, [planes[0], Plane(kind=1 << b)]),
        )
    pair_table = Table.of({1: 1, 0: 1}, pairs=True)
    zeros_table = Table([2], [0, 0x80], 1, zeros=True)
    with_zeros = lossless((4,), "u16", b"\1\0" * 4, [Plane(zeros_table), STORED])
    yield bad("zeros", "a plane with a table with zeros", CORRUPT, with_zeros)
    yield bad(
        "pairs", "a plane with a table of pairs", CORRUPT, lossless((4,), "u16", elements, [Plane(pair_table), STORED])
    )
    yield bad(
        "pairs_shared",
        "a plane with a shared table of pairs",
        CORRUPT,
        lossless((4,), "u16", elements, [Plane(pair_table, 0), STORED]),
        shared=[Shared(pair_table.data())],
    )
    yield bad(
        "shared_index",
        "shared object 3 of 1",
        CORRUPT,
        lossless((4,), "u16", elements, [Plane(planes[0].table, 3), STORED]),
        shared=[Shared(b"\0\0")],
    )
    yield bad(
        "shared_crc",
        "a wrong checksum of a plane's shared table",
        CHECKSUM,
        lossless((4,), "u16", elements, [Plane(Table.of({1: 1, 0: 1}), 0), STORED]),
        shared=[Shared(Table.of({1: 1, 0: 1}).data(), crc=9)],
    )
    yield bad("planes_cut", "the payload ends before the last plane", CORRUPT, good.data[:9])
    yield bad(
        "table_incomplete",
        "a plane with an incomplete code",
        CORRUPT,
        lossless((4,), "u16", elements, [Plane(Table([1, 1], [1, 0], 1)), STORED]),
    )
    yield bad("T_0", "T = 0", CORRUPT, lossless((4,), "u16", elements, planes, tile=0))
    yield bad("T_65536", "T = 65,536", CORRUPT, lossless((4,), "u16", elements, planes, tile=65_536))
    constant = [Plane(Table.constant(7))]
    yield bad(
        "constant_tail",
        "a byte after planes that are all constant",
        CORRUPT,
        lossless((4,), "u8", b"\7" * 4, constant, tail=b"\0"),
        (4,),
        dtype="u8",
    )
    yield bad("no_data", "no data", CORRUPT, good.data[:-5])
    yield bad("data_small", "data too small for the stored plane and the shortest codes", CORRUPT, good.data[:-1])
    yield bad(
        "stored_cut",
        "a tile that ends inside its stored plane",
        CORRUPT,
        lossless((2, 2), "u16", elements, planes, tile=2, edit=lambda t: [t[0][:1], t[1] + bytes(2)]),
        (2, 2),
    )
    yield bad(
        "coded_cut",
        "a tile that ends inside a coded plane",
        CORRUPT,
        lossless((2, 9), "u16", elements[:2] * 18, planes, tile=9, edit=lambda t: [t[0][:-1], t[1] + b"\0"]),
        (2, 9),
    )
    yield bad("tile_long", "a tile with a byte too many", CORRUPT, lossless((4,), "u16", elements, planes, tail=b"\0"))
    flipped = bytearray(good.data)
    flipped[-1] |= 0x80
    yield bad("padding", "a bit after the last code is set", CORRUPT, bytes(flipped))
    both = lossless((4,), "u16", elements, [planes[0], Plane(code_of(bytes([1, 2, 3])))])
    flipped = bytearray(both.data)
    flipped[-2] |= 0x40
    yield bad("padding_between", "a bit between two coded planes is set", CORRUPT, bytes(flipped))


def invalid_tiles() -> Iterator[Vector]:
    values = [0, 1, 1, -2, 0, 1, 0, 0, 0, -1]  # 19 bits; in two tiles, 11 and 8

    def tile(name: str, description: str, payload: Payload, shape: Sequence[int]) -> Vector:
        return invalid(f"tile_{name}", description, CORRUPT, Model([one(payload, shape)]))

    one_tile = levels((10,), values, SMALL)
    yield tile("short", "the codes of the only tile run past its end", Payload(one_tile.data[:-1]), (10,))
    yield tile("empty", "the only tile has no data", Payload(one_tile.data[:-3]), (10,))
    yield tile("long", "the only tile has a byte too many", Payload(one_tile.data + b"\0"), (10,))
    for b in (5, 7):
        flipped = bytearray(levels((3,), [0, -1, 0], SMALL).data)
        flipped[-1] |= 1 << b
        yield tile(
            f"padding_{b}", f"bit {b} of the last byte is set, and the codes end at 4", Payload(bytes(flipped)), (3,)
        )
    yield tile(
        "short_first",
        "the first tile a byte too short, the second a byte too long",
        levels((2, 5), values, SMALL, tile=5, edit=lambda t: [t[0][:-1], t[1] + b"\0"]),
        (2, 5),
    )
    yield tile(
        "long_first",
        "the first tile a byte too long",
        levels((2, 5), values, SMALL, tile=5, edit=lambda t: [t[0] + b"\0", t[1]]),
        (2, 5),
    )
    yield tile(
        "long_last",
        "the last tile a byte too long",
        levels((2, 5), values, SMALL, tile=5, edit=lambda t: [t[0], t[1] + b"\0"]),
        (2, 5),
    )
    yield tile(
        "none_first",
        "the first tile has no data and the second has both",
        levels((2, 5), values, SMALL, tile=5, edit=lambda t: [b"", t[0] + t[1]]),
        (2, 5),
    )
    yield tile(
        "data_small", "200 levels in one byte", levels((200,), [0] * 200, SMALL, edit=lambda t: [t[0][:1]]), (200,)
    )
    yield tile(
        "data_small_pairs",
        "200 levels in pairs in one byte",
        levels((200,), [0] * 200, PAIRS, edit=lambda t: [t[0][:1]]),
        (200,),
    )
    yield tile("pairs_long", "pairs: a byte too many", levels((3,), [0, 0, 0], PAIRS, tail=b"\0"), (3,))
    ends = bytearray(levels((8,), [0] * 8, SMALL).data)
    ends[-1] = 0xC0
    yield tile("inside_code", "the data end inside a code", Payload(bytes(ends)), (8,))
    yield tile(
        "long_code_cut", "the data end inside a code of 15 bits", Payload(levels((1,), [-8], LONG).data[:-1]), (1,)
    )
    second = Model([Tensor("a", (2,), raw(b"ok"), "u8", codec=1), Tensor("b", (10,), Payload(one_tile.data[:-1]))])
    yield invalid("second_tensor", "the first tensor is right, the second has a short tile", CORRUPT, second)


def invalid_files() -> Iterator[Vector]:
    stream = BASE.data()
    size = len(stream)
    good = safetensors(stream, {"format": "pt"})
    entry = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    ours = {"neuralcodec": metadata_value({})}

    def file(name: str, description: str, error: str, data: bytes) -> Vector:
        return invalid(f"file_{name}", description, error, data)

    def sized(header: int) -> bytes:
        return header.to_bytes(8, "little")

    yield file("short", "seven bytes", TRUNCATED, good[:7])
    yield file("cut_header", "the file ends inside its header", TRUNCATED, good[:60])
    yield file("cut_data", "the file ends inside the stream", TRUNCATED, good[:-1])
    yield file("tail", "a byte after the stream", CORRUPT, good + b"\0")
    yield file("stream", "a stream that is not in a file", CORRUPT, stream)
    yield file("not_safetensors", "a text", CORRUPT, b"This is not a safetensors file.\n")
    yield file("not_json", "a header that is not JSON", CORRUPT, safetensors(stream, header_bytes=b'{"__metadata__":'))
    yield file(
        "foreign",
        "other metadata than the checksum says",
        CHECKSUM,
        safetensors(stream, {"format": "tf"}, value=metadata_value({"format": "pt"})),
    )
    yield file("no_metadata", "no metadata", CORRUPT, safetensors(stream, header={"neuralcodec": entry}))
    yield file(
        "no_key",
        "metadata without our key: a file of somebody else's",
        CORRUPT,
        safetensors(stream, header={"__metadata__": {"format": "pt"}, "neuralcodec": entry}),
    )
    yield file("version", "version 2 in the metadata", UNSUPPORTED, safetensors(stream, value=metadata_value({}, 2)))
    yield file("value", "a value without a checksum", CHECKSUM, safetensors(stream, value="1"))
    yield file("value_text", "a value that does not begin with a version", CORRUPT, safetensors(stream, value="one"))
    yield file("version_0", "version 0 in the metadata", UNSUPPORTED, safetensors(stream, value=metadata_value({}, 0)))
    yield file(
        "value_case",
        "a checksum in upper-case digits",
        CHECKSUM,
        safetensors(stream, {"format": "pt"}, value=metadata_value({"format": "pt"}).upper()),
    )
    yield file(
        "dtype",
        "a tensor of dtype I8",
        CORRUPT,
        safetensors(stream, header={"__metadata__": ours, "neuralcodec": {**entry, "dtype": "I8"}}),
    )
    yield file(
        "shape",
        "a tensor of two dimensions",
        CORRUPT,
        safetensors(stream, header={"__metadata__": ours, "neuralcodec": {**entry, "shape": [1, size]}}),
    )
    yield file(
        "name", "a tensor of another name", CORRUPT, safetensors(stream, header={"__metadata__": ours, "w": entry})
    )
    more = {"dtype": "U8", "shape": [1], "data_offsets": [size, size + 1]}
    yield file(
        "two_tensors",
        "a second tensor",
        CORRUPT,
        safetensors(stream, header={"__metadata__": ours, "neuralcodec": entry, "w": more}, tail=b"\0"),
    )
    yield file(
        "header_crc",
        "a right file with a stream whose header is damaged",
        CHECKSUM,
        safetensors(replace(BASE, header_crc=1).data()),
    )
    yield file("stream_cut", "a right file with a stream that is cut", TRUNCATED, safetensors(stream[:-1]))
    yield file("stream_empty", "a right file with a stream of no bytes", TRUNCATED, safetensors(b""))
    yield file(
        "no_names", "a right file with a stream without names", CORRUPT, safetensors(replace(BASE, named=False).data())
    )
    yield file("header_0", "eight bytes: a header of none", CORRUPT, bytes(8))
    yield file("header_5", "eight bytes: a header of five", TRUNCATED, b"\5" + bytes(7))
    yield file("header_most", "a header of 100,000,000 bytes that is cut", TRUNCATED, sized(100_000_000) + good[8:])
    yield file("header_more", "a header of 100,000,001 bytes", CORRUPT, sized(100_000_001) + good[8:])
    yield file("header_2_63", "a header of 2^63 bytes, of which there is none", CORRUPT, sized(2**63))
    yield file("header_list", "a header that is a list", CORRUPT, safetensors(stream, header_bytes=b"[]"))
    yield file("header_space", "white space before the header", CORRUPT, good[:8] + b" " + good[8:])
    yield file("header_deep", "lists in lists", CORRUPT, safetensors(stream, header_bytes=b'{"a":' + b"[" * 5000))

    def header(metadata: str, more: str = "", of_tensor: dict[str, object] = entry) -> bytes:
        text = f'{{"__metadata__":{metadata},"neuralcodec":{json.dumps(of_tensor)}{more}}}'
        return safetensors(stream, header_bytes=text.encode())

    def mark(foreign: dict[str, str]) -> str:
        return f'"neuralcodec":"{metadata_value(foreign)}"'

    own = mark({})
    yield file("utf_8", "a header that is not UTF-8", CORRUPT, good.replace(b"format", b"f\xffrmat"))
    yield file(
        "surrogate", "half of a surrogate pair", CORRUPT, header(f'{{{mark({"a": chr(0xD800)})},"a":"\\ud800"}}')
    )
    yield file("NaN", "NaN, which is not JSON, and version 2", CORRUPT, header('{"neuralcodec":"2"}', ',"a":NaN'))
    yield file("key_twice", "our key twice", CORRUPT, header(f"{{{own},{own}}}"))
    yield file("foreign_twice", "a foreign key twice", CORRUPT, header(f'{{{mark({"a": "b"})},"a":"c","a":"b"}}'))
    yield file("tensor_twice", "the tensor twice", CORRUPT, header(f"{{{own}}}", f',"neuralcodec":{json.dumps(entry)}'))
    yield file("metadata_list", "metadata that are a list", CORRUPT, header("[]"))
    yield file("value_number", "a value that is a number", CORRUPT, header('{"neuralcodec":1}'))
    yield file("foreign_number", "a foreign value that is a number", CORRUPT, header(f'{{{own},"a":1}}'))

    def value(name: str, description: str, error: str, text: str) -> Vector:
        return file(f"value_{name}", description, error, safetensors(stream, value=text))

    right = metadata_value({})
    yield value("empty", "an empty value", CORRUPT, "")
    yield value("space", "a value that begins with a space", CORRUPT, f" {right}")
    yield value("sign", "a sign before the version", CORRUPT, f"+{right}")
    yield value("letter", "a letter after the version", CORRUPT, "1x")
    yield value("line", "a new line after the version", CORRUPT, "1\n")
    yield value("arabic", "a version in Arabic digits", CORRUPT, f"\u0661{right[1:]}")
    yield value("01", "a zero before the version", UNSUPPORTED, f"0{right}")
    yield value("digits", "a version of 5,000 digits", UNSUPPORTED, "9" * 5000)
    yield value("two_spaces", "two spaces before the checksum", CHECKSUM, right.replace(" ", "  "))
    yield value("end", "a new line after the checksum", CHECKSUM, f"{right}\n")

    def of(name: str, description: str, more: dict[str, object]) -> Vector:
        return file(f"entry_{name}", description, CORRUPT, header(f"{{{own}}}", of_tensor={**entry, **more}))

    yield of("field", "a further field of the tensor", {"x": 1})
    yield of("shape", "a shape of one byte less than there are", {"shape": [size - 1]})
    yield of("fraction", "a shape that is not a whole number to JSON", {"shape": [float(size)]})
    yield of("false", "an offset that is no number", {"data_offsets": [False, size]})
    yield of("offset", "an offset that is not 0", {"shape": [size - 1], "data_offsets": [1, size]})
    yield of("negative", "a negative size", {"shape": [-1], "data_offsets": [0, -1]})
    # Two rules at once: the one that comes first.
    yield file("no_key_cut", "metadata without our key, and a cut stream", CORRUPT, header("{}")[:-1])
    yield file(
        "version_tail", "version 2, and a byte after the stream", UNSUPPORTED, header('{"neuralcodec":"2"}') + b"x"
    )
    wrong = '{"neuralcodec":"1 00000000"}'
    yield file("foreign_tail", "a wrong checksum, and a byte after the stream", CHECKSUM, header(wrong) + b"x")
    yield file(
        "foreign_dtype", "a wrong checksum, and dtype I8", CHECKSUM, header(wrong, of_tensor={**entry, "dtype": "I8"})
    )
    yield file(
        "dtype_cut",
        "dtype I8, and a cut stream",
        CORRUPT,
        header(f"{{{own}}}", of_tensor={**entry, "dtype": "I8"})[:-1],
    )


# Writing


def build() -> list[Vector]:
    """All vectors."""
    vectors = [*valid_vectors(), *invalid_vectors()]
    files = [vector.file for vector in vectors]
    twice = {file for file in files if files.count(file) > 1}
    if twice:
        raise ValueError(f"described twice: {sorted(twice)}")
    return vectors


def manifest(vectors: Sequence[Vector]) -> str:
    """The text of manifest.json: a vector a line."""
    lines: dict[str, list[str]] = {"valid": [], "invalid": []}
    for vector in vectors:
        entry = {"file": vector.file, "sha256": hashlib.sha256(vector.data).hexdigest(), **vector.entry}
        lines[vector.file.split("/")[0]].append("  " + json.dumps(entry, ensure_ascii=False))
    parts = [f' "{kind}": [\n' + ",\n".join(entries) + "\n ]" for kind, entries in lines.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def write(vectors: Sequence[Vector], folder: Path, may_change: Sequence[str] = (), check: bool = False) -> int:
    """Writes what is missing, and what may be replaced; with ``check`` nothing. The exit code."""
    known = {vector.file for vector in vectors}
    on_disk = {p.relative_to(folder).as_posix() for kind in ("valid", "invalid") for p in (folder / kind).glob("*")}
    changed = [v for v in vectors if v.file in on_disk and (folder / v.file).read_bytes() != v.data]
    refused = [v.file for v in changed if v.file not in may_change] + sorted(on_disk - known)
    missing = [v for v in vectors if v.file not in on_disk]
    for name in refused:
        print(f"{name}: {'differs' if name in known else 'is described no more'}", file=sys.stderr)
    path = folder / "manifest.json"
    text = manifest(vectors)
    stale = not path.exists() or path.read_text(encoding="utf-8") != text
    if refused or (check and (changed or missing or stale)):
        print("nothing written", file=sys.stderr)
        return 1
    if check:
        return 0
    for vector in missing + changed:
        (folder / vector.file).parent.mkdir(exist_ok=True)
        (folder / vector.file).write_bytes(vector.data)
    path.write_text(text, encoding="utf-8")
    print(f"{len(vectors)} vectors, {len(missing)} new, {len(changed)} replaced")
    return 0


def main() -> int:
    """Builds all vectors and writes what is missing."""
    parser = argparse.ArgumentParser(description="Writes the golden vectors.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where something would be written")
    parser.add_argument("--replace", nargs="+", default=[], metavar="NAME", help="vectors that may change")
    arguments = parser.parse_args()
    return write(build(), FOLDER, arguments.replace, arguments.check)


if __name__ == "__main__":
    sys.exit(main())

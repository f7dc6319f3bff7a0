"""Golden vectors of codec kmeans (docs/format.md, sections 10 and 11), for make_vectors.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from stream_builder import (
    Frequencies,
    Index,
    Model,
    Payload,
    Shared,
    Table,
    Tensor,
    centroid_bytes,
    kmeans,
    levels,
    matrix,
    round_to,
)

CODEC = 3
CORRUPT, UNSUPPORTED, CHECKSUM = "CORRUPT", "UNSUPPORTED", "CHECKSUM"

RANKS = Table([1, 1, 2], shortest=1, ranks=True)
"""Indices 0 to 3 with codes of 1, 2, 3, 3 bits."""
EVEN = Frequencies(8, [128, 64, 33, 31])
STEEP = Frequencies(12, [4093, 1, 1, 1])
FULL = Frequencies(8, [1] * 256)
TWO = Frequencies(10, [1, 1023])

Make = Callable[..., object]


def halves(*values: float, kind: str = "f16") -> list[int]:
    """The bits of numbers that a format holds."""
    return [round_to(Fraction(abs(v)), kind) | (v < 0) << (31 if kind == "f32" else 15) for v in values]


BOOK = halves(0.0, -0.25, 0.5, 1.5)


def drawn(count: int, below: int, seed: int) -> list[int]:
    """Indices, the lower ones more often."""
    state, out = seed, []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append((state >> 33) % ((state >> 50) % below + 1))
    return out


def tensor(payload: Payload | bytes, shape: Sequence[int], dtype: str = "f32", name: str = "w") -> Tensor:
    content = Payload(payload) if isinstance(payload, bytes) else payload
    return Tensor(name, shape, content, dtype, CODEC)


def valid_kmeans(valid: Make) -> Iterator[object]:
    """Everything that the sections allow, once."""

    def one(name: str, description: str, shape: Sequence[int], below: int, *more: object, **options: object) -> object:
        rows, columns = matrix(shape)
        payload = kmeans(shape, drawn(rows * columns, below, len(name)), *more, **options)  # type: ignore[arg-type]
        dtype = str(options.get("dtype", "f32"))
        return valid(f"kmeans_{name}", description, Model([tensor(payload, shape, dtype)]))

    for bits in range(9):
        book = [i - 128 for i in range(2**bits)]
        yield one(
            f"fixed_{bits}",
            f"indices of {bits} bits, tiles that begin within a byte",
            (9, 13),
            2**bits,
            [book],
            kind="i8",
            step=0.5,
            tile=40,
        )
    yield one("fixed_columns", "tiles of 7 columns, indices of 3 bits", (3, 20), 8, [BOOK + BOOK], tile=7)
    yield one("fixed_long", "400 indices of 5 bits", (400,), 32, [BOOK * 8], tile=300)
    for kind in ("f32", "f16", "bf16"):
        for dtype in ("f32", "f16", "bf16", "f64"):
            yield one(
                f"{kind}_as_{dtype}",
                f"centroids of type {kind} for weights of dtype {dtype}",
                (3, 5),
                4,
                [halves(0.0, -0.25, 1.5, 2.0**-20, kind=kind)],
                kind=kind,
                dtype=dtype,
            )
    for dtype in ("f32", "f16", "bf16", "f64"):
        yield one(
            f"i8_as_{dtype}",
            f"levels for weights of dtype {dtype}, with row scales",
            (3, 5),
            4,
            [[0, -128, 127, 3]],
            RANKS,
            kind="i8",
            dtype=dtype,
            step=0.3,
            scales=[0, 9, 200],
        )
        yield one(
            f"scaled_as_{dtype}",
            f"centroids of type f16 times the scale of their row, for dtype {dtype}",
            (3, 5),
            4,
            [halves(0.0, -0.25, 65504.0, 2.0**-24)],
            dtype=dtype,
            step=0.3,
            scales=[0, 9, 200],
        )
    special = {
        "f32": [0x7F800000, 0xFF800000, 0x7FC00000, 0x00000001],
        "f16": [0x7C00, 0xFC00, 0x7E00, 0x0001],
        "bf16": [0x7F80, 0xFF80, 0x7FC0, 0x8000],
    }
    for kind, book in special.items():
        for dtype in ("f32", "f16", "bf16", "f64"):
            yield one(
                f"special_{kind}_as_{dtype}",
                f"infinities and NaN as centroids of type {kind}, for dtype {dtype}",
                (2, 8),
                4,
                [book],
                kind=kind,
                dtype=dtype,
            )
    yield one("step", "a step for all rows", (2, 8), 4, [BOOK], EVEN, step=3.0)
    yield one(
        "rans_columns",
        "rANS in tiles of columns, with row scales",
        (3, 10),
        4,
        [BOOK],
        EVEN,
        tile=4,
        step=0.5,
        scales=[0, 9, 3],
    )
    yield one("groups", "groups of two rows, the last of one", (5, 6), 4, [BOOK, BOOK[::-1], BOOK], RANKS, group=2)
    yield one(
        "groups_i8",
        "levels from a codebook for each row, tiles across groups",
        (5, 6),
        4,
        [[i, -i, 2 * i, 100 + i] for i in range(5)],
        EVEN,
        kind="i8",
        group=1,
        step=1.0,
        tile=14,
    )
    yield one("prefix", "prefix codes", (4, 9), 4, [BOOK], RANKS)
    yield one(
        "prefix_long", "codes of up to 15 bits", (40, 9), 16, [BOOK * 4], Table([1] * 14 + [2], shortest=1, ranks=True)
    )
    yield one("prefix_fewer", "fewer codes than centroids", (4, 9), 4, [BOOK * 3], RANKS)
    yield one("prefix_tiles", "prefix codes in tiles of columns", (3, 10), 4, [BOOK], RANKS, tile=4)
    yield one("prefix_constant", "a constant code", (3, 10), 1, [BOOK], Table([1], ranks=True), kind="f16")
    yield one("rans", "rANS, m = 8", (4, 9), 4, [BOOK], EVEN)
    yield one("rans_12", "rANS, m = 12, symbols of frequency 1", (30, 9), 4, [BOOK], STEEP)
    yield one("rans_two", "rANS, m = 10, frequencies 1 and 1023", (30, 9), 2, [BOOK], TWO)
    yield one("rans_256", "rANS of 256 symbols", (30, 9), 256, [list(range(256))], FULL)
    yield one("rans_tiles", "rANS in 40 tiles", (40, 9), 4, [BOOK], EVEN, tile=9)
    yield one("rans_absent", "symbols of frequency 0", (4, 9), 1, [BOOK], Frequencies(8, [255, 0, 0, 1]))
    yield one("rans_one_weight", "one weight", (), 4, [BOOK], EVEN)
    nothing = kmeans((2, 3), [0] * 6, [BOOK], EVEN)
    yield valid(
        "kmeans_rans_no_bytes", "a tile of no bytes: the first symbol all over", Model([tensor(nothing, (2, 3))])
    )
    second = kmeans((2, 3), [2] * 6, [BOOK], Frequencies(8, [0, 0, 256]))
    yield valid("kmeans_rans_constant", "one symbol has all slots", Model([tensor(second, (2, 3))]))
    yield valid("kmeans_empty", "no elements", Model([tensor(b"", (0, 4))]))
    books = [BOOK, BOOK[::-1], BOOK]
    yield one("groups_fixed", "groups of two rows, fixed width", (5, 6), 4, books, group=2, tile=13)
    yield one("groups_columns", "groups of two rows, tiles of 4 columns", (5, 6), 4, books, RANKS, group=2, tile=4)
    yield one(
        "groups_scales",
        "groups of one row, with a step and row scales",
        (3, 7),
        4,
        books,
        EVEN,
        group=1,
        tile=3,
        step=0.3,
        scales=[9, 0, 3],
    )
    for bits in (1, 256):
        table = Table([1], ranks=True) if bits == 1 else Table([1, 253, 2], shortest=7, ranks=True)
        yield one(f"prefix_K_{bits}", f"prefix codes, K = {bits}", (4, 9), bits, [list(range(bits))], table, tile=18)
    for name, table in (("prefix", Table([1], ranks=True)), ("rans", Frequencies(9, [512]))):
        yield one(f"{name}_constant_tiles", "a constant table, five tiles", (5, 4), 1, [BOOK], table, tile=4)
    book = Shared(bytes([1, 3]) + centroid_bytes(BOOK, "f16"), 3)
    levels_book = Shared(bytes([3, 3]) + centroid_bytes([0, -128, 127, 3], "i8"), 3)
    yield valid(
        "kmeans_shared_apart",
        "a codebook or a table that is shared, the other not",
        Model(
            [
                tensor(kmeans((3, 4), drawn(12, 4, 1), [BOOK], RANKS, shared_book=0), (3, 4), name="a"),
                tensor(kmeans((3, 4), drawn(12, 4, 2), [BOOK], EVEN, shared_book=0), (3, 4), name="b"),
                tensor(
                    kmeans((5, 4), drawn(20, 4, 3), books, RANKS, group=2, tile=8, shared_table=1), (5, 4), name="c"
                ),
                tensor(kmeans((5, 4), drawn(20, 4, 4), books, EVEN, group=2, tile=8, shared_table=2), (5, 4), name="d"),
                tensor(
                    kmeans(
                        (3, 4),
                        drawn(12, 4, 5),
                        [[0, -128, 127, 3]],
                        kind="i8",
                        step=0.3,
                        scales=[1, 0, 9],
                        shared_book=3,
                    ),
                    (3, 4),
                    name="e",
                ),
            ],
            [book, Shared(RANKS.data()), Shared(EVEN.data(), 2), levels_book],
        ),
    )
    shared = [book, Shared(RANKS.data()), Shared(EVEN.data(), 2)]
    yield valid(
        "kmeans_shared",
        "codebook, code table and frequency table are shared",
        Model(
            [
                tensor(kmeans((9, 4), drawn(36, 4, 1), [BOOK], shared_book=0), (9, 4), name="a"),
                tensor(kmeans((9, 4), drawn(36, 4, 2), [BOOK], RANKS, shared_book=0, shared_table=1), (9, 4), name="b"),
                tensor(kmeans((9, 4), drawn(36, 4, 3), [BOOK], EVEN, shared_book=0, shared_table=2), (9, 4), name="c"),
                tensor(kmeans((9, 4), drawn(36, 4, 4), [BOOK], EVEN, shared_table=2), (9, 4), name="d"),
            ],
            shared,
        ),
    )


def invalid_kmeans(invalid: Make) -> Iterator[object]:
    """Each rule, broken."""
    six = [0, 1, 2, 3, 1, 0]

    def bad(name: str, description: str, error: str, data: Payload | bytes, *more: object, **options: object) -> object:
        shape = options.get("shape", (2, 3))
        model = Model([tensor(data, shape, str(options.get("dtype", "f32")))], options.get("shared", ()))  # type: ignore[arg-type]
        return invalid(f"kmeans_{name}", description, error, model, *more)

    good = kmeans((2, 3), six, [BOOK], RANKS)
    rans = kmeans((2, 3), six, [BOOK], EVEN)
    yield bad("no_mode", "no payload", CORRUPT, b"")
    yield bad("mode_bit_7", "bit 7 of the mode", UNSUPPORTED, b"\x81" + good.data[1:])
    yield bad("coding_3", "coding 3", UNSUPPORTED, b"\x03" + good.data[1:])
    yield bad("fixed_shared", "a shared table for fixed width", UNSUPPORTED, kmeans((2, 3), six, [BOOK], mode=4))
    yield bad("book_and_groups", "a shared codebook and groups", UNSUPPORTED, kmeans((2, 3), six, [BOOK], mode=48))
    yield bad("scales_no_step", "row scales without a step", UNSUPPORTED, kmeans((2, 3), six, [BOOK], mode=8))
    yield bad("i8_no_step", "levels without a step", UNSUPPORTED, kmeans((2, 3), six, [[0, 1, 2, 3]], kind="i8"))
    yield bad("dtype", "centroids for u8", CORRUPT, kmeans((2, 3), six, [BOOK], dtype="u8"), dtype="u8")
    yield bad("mode_before_dtype", "bit 7 of the mode, and u8", UNSUPPORTED, b"\x80", dtype="u8")
    yield bad("tile_0", "T = 0", CORRUPT, kmeans((2, 3), six, [BOOK], tile=0))
    for g in (0, 2, 3, 2**32):
        payload = kmeans((2, 3), six, [BOOK, BOOK], group=g)
        yield bad(f"group_{g}", f"{g} of two rows in a group", CORRUPT, payload)
    yield bad("book_type", "centroids of type 4", UNSUPPORTED, kmeans((2, 3), six, [BOOK], kind_byte=4))
    yield bad("book_cut", "the payload ends in the codebook", CORRUPT, good.data[:8])
    yield bad("book_no_size", "the payload ends before K", CORRUPT, good.data[:4])
    yield bad("groups_cut", "one codebook for two groups", CORRUPT, kmeans((2, 3), six, [BOOK], group=1, data=b""))
    for bits, what in ((0, "0"), (0x80000000, "-0"), (0xBF800000, "-1"), (0x7F800000, "infinity"), (0x7FC00000, "NaN")):
        payload = kmeans((2, 3), six, [BOOK], step_bits=bits)
        yield bad(f"step_{bits:08x}", f"a step of {what}", CORRUPT, payload)
    yield bad("step_cut", "the payload ends in the step", CORRUPT, bytes([66, 6, 1, 0, 0, 0, 0, 0]))
    for byte, error in ((0, CORRUPT), (9, CORRUPT), (17, UNSUPPORTED)):
        payload = kmeans((2, 3), six, [BOOK], step=1.0, scales=[0, 1], scale_width_byte=byte)
        yield bad(f"scale_width_{byte}", f"scale codes of w = {byte}", error, payload)
    three = BOOK[:3]
    yield bad("fixed_3", "three centroids, fixed width", CORRUPT, kmeans((2, 3), [0, 1, 2, 2, 1, 0], [three]))
    yield bad("fixed_short", "a byte missing", CORRUPT, kmeans((2, 3), six, [BOOK], data=b"\0"))
    yield bad("fixed_long", "a byte too many", CORRUPT, kmeans((2, 3), six, [BOOK], data=bytes(3)))
    yield bad("fixed_1_data", "data where K = 1", CORRUPT, kmeans((2, 3), [0] * 6, [BOOK[:1]], data=b"\0"))
    yield bad(
        "fixed_padding",
        "a bit after the last index",
        CORRUPT,
        kmeans((2, 3), six, [BOOK], data=b"\xe4\x11"),
        "any",
    )
    yield bad("table_listed", "a listed table", UNSUPPORTED, kmeans((2, 3), six, [BOOK], Table([4], [0, 1, 2, 3], 2)))
    yield bad(
        "table_zigzag", "a table without ranks", UNSUPPORTED, kmeans((2, 3), [0] * 6, [BOOK], Table([1, 1, 2], None, 1))
    )
    yield bad(
        "table_ranks_listed",
        "ranks that are listed",
        UNSUPPORTED,
        kmeans((2, 3), six, [BOOK], Table([4], [0, 1, 2, 3], 2, flags_byte=9)),
    )
    yield bad(
        "table_5",
        "five codes for four centroids",
        CORRUPT,
        kmeans((2, 3), six, [BOOK], Table([3, 2], None, 2, ranks=True)),
    )
    yield bad("table_incomplete", "an incomplete code", CORRUPT, good.data[:12] + bytes([0x31, 8, 1, 1, 1]) + bytes(9))
    yield bad("prefix_short", "fewer bytes than the shortest codes take", CORRUPT, good.data[:-2], "firmware")
    yield bad("prefix_end", "codes run past the end", CORRUPT, good.data[:-1])
    yield bad("prefix_left", "a byte left", CORRUPT, good.data + b"\0")
    yield bad(
        "constant_data",
        "data after a constant code",
        CORRUPT,
        kmeans((2, 3), [0] * 6, [BOOK], Table([1], ranks=True), tail=b"\0"),
    )
    for m, error in ((7, CORRUPT), (13, CORRUPT), (24, UNSUPPORTED)):
        payload = kmeans((2, 3), six, [BOOK], Frequencies(8, [128, 64, 33, 31], m_byte=m))
        yield bad(f"m_{m}", f"m = {m}", error, payload)
    yield bad(
        "frequencies_5",
        "five symbols for four centroids",
        CORRUPT,
        kmeans((2, 3), six, [BOOK], Frequencies(8, [128, 64, 32, 30, 2])),
    )
    yield bad(
        "frequencies_less", "a sum of 2^m - 1", CORRUPT, kmeans((2, 3), six, [BOOK], Frequencies(8, [128, 64, 32, 31]))
    )
    yield bad(
        "frequencies_more", "a sum of 2^m + 1", CORRUPT, kmeans((2, 3), six, [BOOK], Frequencies(8, [128, 64, 34, 31]))
    )
    yield bad("frequencies_cut", "the payload ends in the frequencies", CORRUPT, rans.data[:14])
    yield bad(
        "frequencies_L",
        "L = m + 2",
        CORRUPT,
        kmeans((2, 3), six, [BOOK], Frequencies(8, [128, 64, 33, 31], fields="0101" + "0" * 40)),
    )
    yield bad(
        "frequencies_padding",
        "unused bits that are not zero",
        CORRUPT,
        kmeans((2, 3), six, [BOOK], Frequencies(8, [128, 64, 33, 31], padding=0x80)),
        "any",
    )
    yield bad(
        "frequencies_constant_data",
        "data after a constant table",
        CORRUPT,
        kmeans((2, 3), [0] * 6, [BOOK], Frequencies(8, [256]), tail=b"\0\0"),
    )
    yield bad("rans_odd", "an odd number of bytes", CORRUPT, rans.data + b"\0")
    yield bad("rans_left", "a word left", CORRUPT, rans.data + b"\0\0")
    yield bad("rans_short", "a word missing", CORRUPT, rans.data[:-2])
    end = kmeans((2, 3), six, [BOOK], EVEN, edit=lambda _: [EVEN.encode(six, 1)])
    yield bad("rans_end", "a state of 1 at the end", CORRUPT, end)
    index = kmeans((4, 3), six * 2, [BOOK], EVEN, tile=3, index=Index(fields=[0, 0, 0, 0], width=0, least=4))
    yield bad("rans_index", "sizes of tiles that are more than the data", CORRUPT, index, shape=(4, 3))

    book = bytes([1, 3]) + centroid_bytes(BOOK, "f16")
    shared = kmeans((2, 3), six, [BOOK], shared_book=0)
    yield bad(
        "shared_book_kind", "a code table where a codebook is wanted", CORRUPT, shared, shared=[Shared(RANKS.data())]
    )
    yield bad("shared_book_none", "a shared codebook that is not there", CORRUPT, shared)
    yield bad("shared_book_tail", "a byte after a shared codebook", CORRUPT, shared, shared=[Shared(book + b"\0", 3)])
    yield bad("shared_book_crc", "a damaged shared codebook", CHECKSUM, shared, shared=[Shared(book, 3, crc=1)])
    table = kmeans((2, 3), six, [BOOK], RANKS, shared_table=0)
    yield bad(
        "shared_table_kind",
        "a frequency table where a code table is wanted",
        CORRUPT,
        table,
        shared=[Shared(EVEN.data(), 2)],
    )
    yield bad(
        "shared_table_listed",
        "a shared table without ranks",
        UNSUPPORTED,
        table,
        shared=[Shared(Table([4], [0, 1, 2, 3], 2).data())],
    )
    yield bad(
        "shared_table_tail",
        "a byte after a shared code table",
        CORRUPT,
        table,
        shared=[Shared(RANKS.data() + b"\0")],
    )
    frequencies = kmeans((2, 3), six, [BOOK], EVEN, shared_table=0)
    yield bad(
        "shared_frequencies_kind",
        "a code table where a frequency table is wanted",
        CORRUPT,
        frequencies,
        shared=[Shared(RANKS.data())],
    )
    yield bad(
        "shared_frequencies_tail",
        "a byte after a shared frequency table",
        CORRUPT,
        frequencies,
        shared=[Shared(EVEN.data() + b"\0", 2)],
    )
    yield bad(
        "shared_frequencies_crc",
        "a damaged shared frequency table",
        CHECKSUM,
        frequencies,
        shared=[Shared(EVEN.data(), 2, crc=1)],
    )
    one = levels((2, 3), [0] * 6, RANKS, shared=0)
    yield invalid(
        "huffman_shared_ranks",
        "levels with a shared table of ranks",
        UNSUPPORTED,
        Model([Tensor("w", (2, 3), one)], [Shared(RANKS.data())]),
    )
    kinds = levels((2, 3), [0] * 6, RANKS, shared=0)
    yield invalid(
        "huffman_shared_kind",
        "levels with a codebook for a table",
        CORRUPT,
        Model([Tensor("w", (2, 3), kinds)], [Shared(book, 3)]),
    )

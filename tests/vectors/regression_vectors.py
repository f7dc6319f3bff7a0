"""Golden vectors of codec regression (docs/format.md, section 13), for make_vectors.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from kmeans_vectors import EVEN, drawn
from regression_builder import Basis, Expression, Nested, Rows, regression
from stream_builder import Model, Payload, Shared, Table, Tensor, kmeans, levels
from trellis_builder import trellis
from trellis_vectors import CODES, EIGHT, FAR, THREE, dice, model_of

CODEC = 7
CORRUPT, UNSUPPORTED = "CORRUPT", "UNSUPPORTED"

SMALL = Table([1, 1, 2], shortest=1)
"""0, −1, 1, −2."""
WIDER = Table([1, 0, 4], [7, 250, 0, 128, 127], 1)
"""7, −6, 0, −128, 127."""

Make = Callable[..., object]


def tensor(payload: Payload | bytes, shape: Sequence[int], dtype: str = "f32", name: str = "w") -> Tensor:
    content = Payload(payload) if isinstance(payload, bytes) else payload
    return Tensor(name, shape, content, dtype, CODEC)


def coded(rows: int, columns: int, seed: int, *, tile: int = 1024, table: Table = SMALL, **more: object) -> Nested:
    """Levels of codec huffman."""
    roll = dice(seed)
    choices = [s - 2 * (s & 128) for s in table.ranked()]
    values = [choices[min(roll(len(choices)), roll(len(choices)))] for _ in range(rows * columns)]
    return Nested(levels((rows, columns), values, table, tile=tile, **more))  # type: ignore[arg-type]


def sums(rows: int, stored: int, terms: int, seed: int, width: int = 8) -> list[list[tuple[int, int]]]:
    roll = dice(seed)
    return [
        [(k if terms == stored else roll(stored), roll(2**width) - 2 ** (width - 1)) for k in range(terms)]
        for _ in range(rows)
    ]


def records(count: int, basis: tuple[int, int, int, int], seed: int) -> list[tuple[int, int, list[int]]]:
    """Of so many blocks; basis: vectors, bits of a seed, of a factor and of an exponent."""
    roll = dice(seed)
    vectors, seed_width, width, exponent_width = basis
    return [
        (
            roll(2**seed_width) if b % 5 else 0,
            roll(2**exponent_width),
            [roll(2**width) - 2 ** (width - 1) for _ in range(vectors)],
        )
        for b in range(count)
    ]


EVERY = Expression(
    plane=6,
    line=3,
    constants=[300, -300, 0, 7, -32768, 32767, 12_345],
    nodes=[
        (0, 0, 11), (2, 18, 16), (1, 12, 1), (3, 19, 17), (4, 20, 4), (4, 21, 13), (4, 15, 12), (5, 22, 20), (6, 25, 3),
        (7, 15, 0), (7, 26, 0), (8, 1, 3), (9, 29, 17), (10, 30, 16), (11, 31, 2), (12, 21, 0), (13, 32, 33),
        (14, 34, 12), (2, 17, 0), (12, 36, 0), (2, 4, 2), (0, 35, 37), (0, 39, 38), (0, 40, 24), (11, 41, 14),
        (0, 42, 28),
    ],
)  # fmt: skip
"""Every operation, with sums that overflow and a division by 0."""

ENDS = Expression(
    constants=[-32768, -1, 1, 32767, -300],
    nodes=[
        (4, 11, 13), (4, 11, 12), (7, 11, 11), (14, 11, 12), (11, 14, 12), (11, 11, 12), (12, 15, 15), (13, 11, 12),
        (3, 11, 11), (3, 14, 14), (2, 11, 12), (1, 11, 13), (0, 14, 13), (8, 11, 14), (9, 11, 14), (10, 12, 15),
        (0, 16, 17), (9, 32, 18), (0, 33, 19), (9, 34, 20), (0, 35, 21), (0, 36, 22), (9, 37, 23), (0, 38, 24),
        (9, 39, 25), (0, 40, 26), (9, 41, 27), (0, 42, 28), (0, 43, 29), (9, 44, 30), (0, 45, 31), (2, 46, 1),
    ],
)  # fmt: skip
"""Operations whose values are the largest, or too large."""


def signs() -> Expression:
    """Every operation, on operands that are below 0, 0 and above it by column, and larger by row."""
    operands = [(1, 4, 11), (2, 0, 12), (0, 16, 13), (2, 15, 17), (1, 3, 11), (2, 19, 14)]
    operations = [(operation, 18, 20) for operation in range(15)]
    last, together = 21, []
    for k in range(22, 36):
        together += [(2, last, 13), (0, 36 + len(together), k)]
        last = 35 + len(together)
    return Expression(9, 3, [1, 77, 5, 300], [*operands, *operations, *together])


NEAR = Expression(
    plane=6, line=3, constants=[2], nodes=[(13, 5, 6), (1, 7, 8), (13, 9, 10), (0, 12, 13), (0, 14, 15), (13, 15, 10)]
)
"""All inputs of what is near."""


def valid_regression(valid: Make) -> Iterator[object]:
    """Everything that the section allows, once."""

    def one(name: str, description: str, shape: Sequence[int], *more: object, **options: object) -> object:
        payload = regression(shape, *more, **options)  # type: ignore[arg-type]
        return valid(
            f"regression_{name}", description, Model([tensor(payload, shape, str(options.get("dtype", "f32")))])
        )

    yield one("rows", "two of seven rows stored, sums of one", (7, 19), Rows([1, 4], coded(2, 19, 1), sums(5, 2, 1, 1)))
    yield one(
        "rows_dense",
        "sums of all stored rows, without indices",
        (7, 19),
        Rows([0, 3], coded(2, 19, 2), sums(5, 2, 2, 2)),
    )
    yield one(
        "rows_columns",
        "tiles of 8 columns; stored rows in tiles of 5",
        (5, 21),
        Rows([2], coded(1, 21, 3, tile=5), sums(4, 1, 1, 3)),
        tile=8,
    )
    yield one(
        "rows_many",
        "20 of 45 rows stored, sums of nine, factors of 13 bits, tiles of two rows",
        (45, 11),
        Rows(range(3, 43, 2), coded(20, 11, 4, table=WIDER), sums(25, 20, 9, 4, 13), shift=14, width=13),
        tile=25,
    )
    yield one("rows_all", "all rows stored", (3, 9), Rows([0, 1, 2], coded(3, 9, 5)))
    yield one("rows_1d", "a vector", (30,), Rows([0], coded(1, 30, 5)), tile=7)
    yield one(
        "rows_ends",
        "sums beyond the ends of levels, h = 0, factors of 16 bits",
        (4, 9),
        Rows([1], coded(1, 9, 6, table=WIDER), sums(3, 1, 1, 6, 16), shift=0, width=16),
    )
    for dtype in ("f32", "f16", "bf16", "f64"):
        yield one(
            f"rows_as_{dtype}",
            f"for dtype {dtype}",
            (4, 9),
            Rows([1], coded(1, 9, 6, table=WIDER), sums(3, 1, 1, 6), shift=7),
            step=0.3,
            dtype=dtype,
        )
    yield one(
        "rows_residual",
        "with a residual, in tiles of two rows",
        (7, 19),
        Rows([1, 4], coded(2, 19, 1), sums(5, 2, 2, 1)),
        coded(7, 19, 7, tile=40),
        tile=40,
    )
    yield one(
        "rows_wide",
        "16 bits: wide stored rows, F = 3",
        (6, 20),
        Rows(
            [0, 2],
            Nested(trellis((2, 20), replace(FAR, raw_bits=5), dice(3), wide=True), 4),
            sums(4, 2, 2, 8),
        ),
        wide=True,
        fraction=3,
    )
    yield one(
        "rows_wide_mixed",
        "16 bits: stored rows of 8, a wide residual, F = 8",
        (6, 20),
        Rows([0, 2], coded(2, 20, 8, table=WIDER), sums(4, 2, 1, 8), shift=2),
        Nested(trellis((6, 20), replace(FAR, raw_bits=1), dice(4), wide=True), 4),
        wide=True,
        fraction=8,
    )
    yield one(
        "rows_wide_narrow",
        "16 bits: wide stored rows, a residual of 8",
        (6, 20),
        Rows([0, 2], Nested(trellis((2, 20), replace(FAR, raw_bits=5), dice(3), wide=True), 4), sums(4, 2, 2, 8)),
        coded(6, 20, 9, tile=30),
        wide=True,
        fraction=5,
        tile=30,
    )
    yield one(
        "rows_overflow",
        "sums beyond 32 bits, h = 24",
        (8, 5),
        Rows(
            [0, 7],
            Nested(trellis((2, 5), replace(FAR, raw_bits=5), dice(6), wide=True), 4),
            [[(0, 32767), (1, -32768)], [(0, 32767), (1, 32767)]] * 3,
            width=16,
            shift=24,
        ),
        wide=True,
    )
    yield one(
        "rows_trellis",
        "stored rows and residual by trellises, with rANS and prefix codes",
        (6, 20),
        Rows([0, 2], Nested(trellis((2, 20), EIGHT, dice(3)), 4), sums(4, 2, 2, 8)),
        Nested(trellis((6, 20), model_of(64, tables=2), dice(4), tile=20), 4),
        tile=20,
    )
    book = kmeans((2, 20), drawn(40, 4, 9), [[0, -3, 4, 100]], EVEN, kind="i8", step=1.0)
    yield one("rows_kmeans", "stored rows by codec kmeans", (6, 20), Rows([3, 5], Nested(book, 3), sums(4, 2, 1, 9)))
    yield one(
        "rows_zeros",
        "stored rows that are 0",
        (3, 4),
        Rows([1], Nested(trellis((1, 4), None, dice(1)), 4), sums(2, 1, 1, 1)),
    )
    # With stored rows that are much larger than a tile: decoders may take them from tiles of theirs.
    yield one(
        "rows_pieces",
        "60 stored rows in tiles of three, sums of four, tiles of five rows",
        (90, 40),
        Rows([*range(0, 50), *range(80, 90)], coded(60, 40, 21, tile=130), sums(30, 60, 4, 21)),
        tile=200,
    )
    yield one(
        "rows_pieces_columns",
        "40 stored rows in tiles of 23 columns, tiles of 31 columns, with a residual",
        (48, 70),
        Rows(range(2, 42), coded(40, 70, 22, tile=23), sums(8, 40, 9, 22)),
        coded(48, 70, 23, tile=31, table=WIDER),
        tile=31,
        fraction=2,
    )
    yield one(
        "rows_pieces_wide",
        "16 bits: 25 wide stored rows in tiles of five, tiles of 27 columns, a residual by a trellis",
        (50, 50),
        Rows(
            range(0, 50, 2)[:25],
            Nested(trellis((25, 50), replace(FAR, raw_bits=5), dice(24), wide=True, tile=250), 4),
            sums(25, 25, 3, 24),
        ),
        Nested(trellis((50, 50), EIGHT, dice(25), tile=27), 4),
        wide=True,
        fraction=3,
        tile=27,
    )
    yield one("expression", "every operation", (9, 24), EVERY)
    yield one("expression_wide", "every operation, 16 bits", (9, 24), EVERY, wide=True)
    yield one("expression_columns", "every operation, tiles of 7 columns", (4, 24), EVERY, wide=True, tile=7)
    yield one("expression_constant", "a constant", (3, 5), Expression(constants=[-3], output=11))
    yield one("expression_input", "an input, no nodes", (3, 50), Expression(9, 2, output=3))
    yield one(
        "expression_large",
        "A, B and columns beyond 16 bits",
        (1, 70_000),
        Expression(66_000, 65_537, output=4),
        tile=4000,
    )
    yield one("expression_residual", "with a residual, F = 2", (6, 24), EVERY, coded(6, 24, 3), wide=True, fraction=2)
    yield one("expression_replace", "stored weights among others", (6, 24), NEAR, coded(6, 24, 4), replace=True)
    yield one(
        "expression_replace_wide",
        "the same in tiles of columns, 16 bits, F = 8",
        (3, 24),
        NEAR,
        coded(3, 24, 5, tile=9, table=WIDER),
        replace=True,
        wide=True,
        tile=9,
        fraction=8,
    )
    yield one(
        "expression_replace_row",
        "rows without stored weights",
        (4, 6),
        NEAR,
        Nested(levels((4, 6), [0] * 9 + [1] + [0] * 14, SMALL)),
        replace=True,
    )
    for k in range(4, 17):
        yield one(
            f"basis_{k}",
            f"seeds of {k} bits",
            (5, 13),
            Basis(8, 3, k, 4, 2, max(k - 4, 0), records(9, (3, k, 4, 2), k)),
        )
    for vectors, width in ((1, 8), (2, 5), (4, 2), (8, 7)):
        yield one(
            f"basis_vectors_{vectors}",
            f"{vectors} vectors, factors of {width} bits, 16 bits",
            (5, 13),
            Basis(64, vectors, 11, width, 0, 3, records(2, (vectors, 11, width, 0), width)),
            wide=True,
        )
    yield one(
        "basis_tiles",
        "blocks of 5 in tiles of three rows",
        (8, 7),
        Basis(5, 4, 9, 4, 4, 2, records(13, (4, 9, 4, 4), 5)),
        tile=22,
    )
    yield one(
        "basis_columns",
        "blocks of 4 in tiles of 6 columns",
        (2, 15),
        Basis(4, 2, 9, 4, 1, 5, records(11, (2, 9, 4, 1), 6)),
        tile=6,
    )
    yield one("basis_one", "blocks of 1, D = 0", (2, 6), Basis(1, 1, 4, 3, 0, 0, records(12, (1, 4, 3, 0), 6)))
    yield one(
        "basis_far", "D + e = 24", (2, 6), Basis(6, 8, 16, 8, 4, 9, [(40_000, 15, [127] * 8), (1, 15, [-128] * 8)])
    )
    yield one(
        "basis_residual",
        "with a residual",
        (5, 13),
        Basis(8, 3, 10, 4, 2, 6, records(9, (3, 10, 4, 2), 3)),
        coded(5, 13, 12),
        fraction=1,
    )
    yield from valid_nested(one)
    yield one(
        "basis_left_over",
        "blocks of 2 in tiles of 6 columns, of which the last of a row has one: two records are left over",
        (3, 13),
        Basis(2, 2, 9, 4, 1, 3, records(25, (2, 9, 4, 1), 7)),
        tile=6,
    )
    yield one(
        "basis_ends",
        "sums beyond the ends of levels, with a residual",
        (3, 8),
        Basis(8, 2, 12, 8, 0, 4, [(b + 77, 0, [127 - 255 * (b % 2), 100]) for b in range(3)]),
        coded(3, 8, 5, table=WIDER),
        fraction=8,
    )
    yield one("expression_signs", "every operation, operands of all signs", (6, 18), signs(), wide=True)
    far = Nested(trellis((2, 20), replace(FAR, raw_bits=5), dice(3), wide=True), 4)
    yield one(
        "rows_wide_parts",
        "16 bits, tiles of 7 columns",
        (4, 20),
        Rows([0, 3], far, sums(2, 2, 2, 8)),
        wide=True,
        tile=7,
    )
    yield one("expression_tiles", "tiles of two rows", (5, 9), EVERY, tile=20)
    other = coded(5, 9, 4, tile=20)
    yield one(
        "expression_replace_tiles", "tiles of two rows, 16 bits", (5, 9), NEAR, other, replace=True, wide=True, tile=20
    )
    for name, tile, count in (("parts", 5, 19), ("tiles", 20, 13)):
        basis = Basis(4, 2, 9, 4, 1, 5, records(count, (2, 9, 4, 1), tile))
        yield one(
            f"basis_residual_{name}",
            f"with a residual, T = {tile}",
            (5, 9),
            basis,
            coded(5, 9, 3, tile=tile),
            tile=tile,
        )
        yield one(f"basis_wide_{name}", f"16 bits, T = {tile}", (5, 9), replace(basis, shift=1), wide=True, tile=tile)
    yield one("expression_ends", "operations on the ends of 16 bits", (2, 6), ENDS, wide=True)
    yield one(
        "expression_clamped", "the same, levels of 8 bits, with a residual", (2, 6), ENDS, coded(2, 6, 9), fraction=8
    )
    yield valid("regression_empty", "no elements", Model([tensor(b"", (0, 4))]))


def valid_nested(one: Make) -> Iterator[object]:
    """Nested tensors of every codec and mode, and the ends of what sums may have."""
    book = [[0, -3, 4, 100]]
    step: dict[str, object] = {"kind": "i8", "step": 1.0}
    ranks = Table([1, 1, 2], shortest=1, ranks=True)
    for name, payload, codec in (
        ("fixed", kmeans((2, 9), drawn(18, 4, 9), book, tile=7, **step), 3),  # type: ignore[arg-type]
        ("prefix", kmeans((2, 9), drawn(18, 4, 8), book, ranks, tile=4, **step), 3),  # type: ignore[arg-type]
        ("groups", kmeans((2, 9), drawn(18, 4, 7), [*book, [5, 6, 7, 8]], EVEN, group=1, **step), 3),  # type: ignore[arg-type]
        ("skip", trellis((2, 9), EIGHT, dice(3), coded=[0, 1], tile=9), 4),
        ("automaton", trellis((2, 9), THREE, dice(4), tile=5), 4),
        ("codes", trellis((2, 9), CODES, dice(5)), 4),
        ("open", trellis((2, 9), model_of(4, lo=8, hi=8, open_ends=True), dice(6), more=lambda: 3), 4),
    ):
        yield one(
            f"nested_{name}", f"stored rows: {name}", (4, 9), Rows([0, 2], Nested(payload, codec), sums(2, 2, 2, 8))
        )
    residuals = {
        "fixed": Nested(kmeans((3, 10), drawn(30, 4, 9), book, tile=10, **step), 3),  # type: ignore[arg-type]
        "prefix": Nested(kmeans((3, 10), drawn(30, 4, 8), book, ranks, tile=10, **step), 3),  # type: ignore[arg-type]
        "skip": Nested(trellis((3, 10), EIGHT, dice(3), coded=[1, 0, 1], tile=10), 4),
        "automaton": Nested(trellis((3, 10), THREE, dice(4), tile=10), 4),
        "codes": Nested(trellis((3, 10), CODES, dice(5), tile=10), 4),
    }
    for name, residual in residuals.items():
        yield one(f"residual_{name}", f"a residual: {name}", (3, 10), NEAR, residual, replace=True, tile=10)
    other = coded(3, 10, 4, tile=64)
    yield one("residual_tile", "T = 30, that of the residual is 64: one tile", (3, 10), NEAR, other, tile=30)
    other = coded(3, 10, 5, tile=29)
    yield one("residual_tile_rows", "T = 20, that of the residual is 29: two rows", (3, 10), NEAR, other, tile=20)
    yield one(
        "rows_w_1", "factors of one bit", (6, 7), Rows([1, 4], coded(2, 7, 1), sums(4, 2, 2, 1, 1), width=1, shift=0)
    )
    yield one(
        "rows_K_32", "sums of 32 rows, all there are", (34, 3), Rows(range(32), coded(32, 3, 1), sums(2, 32, 32, 1))
    )
    yield one("rows_K_32_of_33", "sums of 32 rows of 33", (35, 3), Rows(range(33), coded(33, 3, 2), sums(2, 33, 32, 2)))


def invalid_regression(invalid: Make) -> Iterator[object]:
    """Each rule, broken."""

    def bad(name: str, description: str, error: str, data: Payload | bytes, *more: object, **options: object) -> object:
        shape = options.get("shape", (4, 6))
        model = Model([tensor(data, shape, str(options.get("dtype", "f32")))], options.get("shared", ()))  # type: ignore[arg-type]
        return invalid(f"regression_{name}", description, error, model, *more)

    def made(regressor: object, *more: object, **options: object) -> Payload:
        return regression((4, 6), regressor, *more, **options)  # type: ignore[arg-type]

    rows = Rows([0, 2], coded(2, 6, 1), sums(2, 2, 1, 1))
    plain = Expression(constants=[1], output=11)
    basis = Basis(8, 3, 9, 4, 2, 5, records(3, (3, 9, 4, 2), 3))
    rest = coded(4, 6, 2)
    good = made(rows)
    yield bad("no_mode", "no payload", CORRUPT, b"")
    for mode, what in (
        (3, "regressor 3"),
        (32, "bit 5 of the mode"),
        (64, "bit 6 of the mode"),
        (128, "bit 7 of the mode"),
        (16, "rows that replace"),
        (24, "rows with a residual that replaces"),
        (26, "a basis with a residual that replaces"),
        (17, "an expression that replaces without a residual"),
    ):
        yield bad(f"mode_{mode}", what, UNSUPPORTED, made(rows, mode=mode))
    yield bad("dtype", "levels for i16", CORRUPT, made(rows, dtype="i16"), dtype="i16")
    yield bad("mode_before_dtype", "bit 7 of the mode, and u8", UNSUPPORTED, b"\x80", dtype="u8")
    yield bad("tile_0", "T = 0", CORRUPT, made(rows, tile=0))
    yield bad("tile_65536", "T = 65,536", CORRUPT, made(rows, tile=65536))
    for bits, what in ((0, "0"), (0x80000000, "-0"), (0xBF800000, "-1"), (0x7F800000, "infinity"), (0x7FC00000, "NaN")):
        yield bad(f"step_{bits:08x}", f"a step of {what}", CORRUPT, made(rows, step_bits=bits))
    yield bad("fraction_9", "F = 9", CORRUPT, made(rows, fraction=9))
    for size in (1, 5, 7, 8, 9, 10, 11, 12, 14, 15, 16, len(good.data) - 1):
        yield bad(f"cut_{size}", f"the payload ends after {size} bytes", CORRUPT, good.data[:size])
    yield bad("tail", "a byte after the last part", CORRUPT, made(rows, tail=b"\0"))
    yield bad("basis_tail", "a byte after the records", CORRUPT, made(basis, tail=b"\0"))
    yield bad("rows_0", "no stored rows", CORRUPT, made(replace(rows, count=0)))
    yield bad("rows_5", "five stored rows of four", CORRUPT, made(replace(rows, count=5)))
    yield bad("rows_flags", "flags of three rows, where two are stored", CORRUPT, made(replace(rows, flags=b"\7")))
    yield bad("rows_flags_few", "a flag of one row, where two are stored", CORRUPT, made(replace(rows, flags=b"\1")))
    yield bad("rows_padding", "unused bits of the flags", CORRUPT, made(replace(rows, flags=b"\x15")), "any")
    for terms in (0, 3, 33):
        yield bad(f"rows_terms_{terms}", f"sums of {terms} rows of two", CORRUPT, made(replace(rows, terms=terms)))
    yield bad("rows_width", "reserved bits of the width of a factor", UNSUPPORTED, made(replace(rows, width_byte=23)))
    yield bad("rows_shift", "h = 25", CORRUPT, made(replace(rows, shift_byte=25)))
    three = Rows([0, 1, 2], coded(3, 6, 1), [[(3, 5)]])
    yield bad("rows_index", "stored row 3 of three", CORRUPT, made(three))
    far = Rows(range(60), coded(60, 40, 21, tile=130), [*sums(3, 60, 4, 21), [(3, 5), (60, 1), (2, 1), (0, 0)]])
    yield bad(
        "rows_pieces_index",
        "stored row 60 of 60, in the last tile",
        CORRUPT,
        regression((64, 40), far, tile=200),
        shape=(64, 40),
    )
    many = Nested(Payload(b"\x20\xff\xff\3\0\0\x80\x3f"), 4)
    large = regression((257, 65_536), Rows([], many, count=257, flags=b"\xff" * 32 + b"\1"), tile=b"\xff\xff\3")
    yield bad("rows_large", "more than 2^24 stored weights", CORRUPT, large, shape=(257, 65_536))
    for codec in (0, 1, 5, 7, 255):
        nested = Nested(coded(2, 6, 1).payload, codec)
        yield bad(
            f"nested_codec_{codec}", f"stored rows of codec {codec}", UNSUPPORTED, made(replace(rows, levels=nested))
        )
    long = Nested(coded(2, 6, 1).payload, 200, size=1000)
    yield bad(
        "nested_size", "a nested payload that is not all there, of codec 200", CORRUPT, made(replace(rows, levels=long))
    )
    scaled = coded(2, 6, 1, scales=[0, 3])
    yield bad("nested_scales", "stored rows with scales", CORRUPT, made(replace(rows, levels=scaled)))
    for name, what, options in (
        ("columns", "down the columns", {"down": True}),
        ("row_scales", "with scales of rows", {"rows": [0, 1]}),
        ("column_scales", "with scales of columns", {"columns": [0, 1, 1, 2, 2, 3]}),
        ("wide", "of 16 bits", {"wide": True}),
    ):
        nested = Nested(trellis((2, 6), EIGHT, dice(3), **options), 4)  # type: ignore[arg-type]
        yield bad(f"nested_{name}", f"stored rows {what}", CORRUPT, made(replace(rows, levels=nested)))
    floats = Nested(kmeans((2, 6), drawn(12, 4, 9), [[0, 15360, 16384, 16896]], EVEN), 3)
    yield bad("nested_floats", "stored rows as floats", CORRUPT, made(replace(rows, levels=floats)))
    lossless = Nested(Payload(b"\1\x40\0\0\0\0" + bytes(48)), 2)
    yield bad("nested_lossless", "stored rows that are kept exactly", CORRUPT, made(replace(rows, levels=lossless)))
    shared = Nested(levels((2, 6), [0] * 12, SMALL, shared=0), 2)
    yield bad(
        "nested_shared",
        "stored rows with a shared table",
        CORRUPT,
        made(replace(rows, levels=shared)),
        shared=[Shared(SMALL.data())],
    )
    broken = Payload(coded(2, 6, 1).payload.data + b"\0")
    yield bad(
        "nested_tile", "a byte after the codes of the stored rows", CORRUPT, made(replace(rows, levels=Nested(broken)))
    )
    tiles = coded(4, 6, 2, tile=6)
    yield bad("residual_tiles", "a residual in other tiles", CORRUPT, made(rows, tiles))
    columns = Nested(levels((4, 4), [0] * 16, SMALL))
    yield bad("residual_columns", "codes of a residual with too few columns", CORRUPT, made(rows, columns))
    yield bad(
        "residual_wide",
        "a residual of 16 bits",
        CORRUPT,
        made(rows, Nested(trellis((4, 6), EIGHT, dice(3), wide=True), 4)),
    )
    yield bad("residual_codec", "a residual of codec 1", UNSUPPORTED, made(rows, Nested(rest.payload, 1)))
    for name, options in (("plane", {"plane": 0}), ("line", {"line": 0})):
        yield bad(
            f"expression_{name}_0", f"{'A' if name == 'plane' else 'B'} = 0", CORRUPT, made(replace(plain, **options))
        )  # type: ignore[arg-type]
    yield bad("expression_constants", "33 constants", CORRUPT, made(Expression(constants=[1] * 33, output=11)))
    yield bad("expression_nodes", "65 nodes", CORRUPT, made(Expression(nodes=[(0, 0, 0)] * 65, output=11)))
    yield bad("expression_cut", "more nodes than there are", CORRUPT, made(replace(plain, node_count=1)))
    yield bad("expression_operation", "operation 15", UNSUPPORTED, made(Expression(nodes=[(15, 0, 0)])))
    for a, b in ((11, 0), (0, 11)):
        yield bad(
            f"expression_operand_{a}_{b}", "a node that takes itself", CORRUPT, made(Expression(nodes=[(0, a, b)]))
        )
    yield bad("expression_output", "an output that is not there", CORRUPT, made(Expression(output=11)))
    for at, byte, what in (
        (0, 0, "blocks of 0"),
        (0, 65, "blocks of 65"),
        (1, 0, "no vectors"),
        (1, 9, "nine vectors"),
        (2, 3, "seeds of 3 bits"),
        (2, 17, "seeds of 17 bits"),
        (3, 1, "factors of 1 bit"),
        (3, 9, "factors of 9 bits"),
        (4, 5, "exponents of 5 bits"),
        (5, 22, "D + 2^E - 1 = 25"),
        (5, 255, "D = 255"),
    ):
        head = bytearray([8, 3, 9, 4, 2, 5])
        head[at] = byte
        yield bad(f"basis_{at}_{byte}", what, CORRUPT, made(replace(basis, head=bytes(head))))
    yield bad("basis_cut", "records that are not all there", CORRUPT, made(replace(basis, cut=1)))
    yield bad("basis_parameters", "parameters that are not all there", CORRUPT, made(basis).data[:11])

"""Golden vectors of codec generative (docs/format.md, section 15), for make_vectors.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from generative_builder import WEIGHTS, generative, tuned_prior
from stream_builder import SIZES, Index, Model, Payload, Shared, Tensor
from trellis_vectors import dice

from neuralcodec.reference.generative import prior

CODEC, KIND = 6, 7
CHECKSUM, CORRUPT, UNSUPPORTED = "CHECKSUM", "CORRUPT", "UNSUPPORTED"

Make = Callable[..., object]


def tensor(payload: Payload | bytes, shape: Sequence[int], dtype: str = "f32", name: str = "w") -> Tensor:
    content = Payload(payload) if isinstance(payload, bytes) else payload
    return Tensor(name, shape, content, dtype, CODEC)


def walked(count: int, seed: int) -> list[int]:
    """Values of a smooth curve, which tell of each other; for one quantizer."""
    draw, value, slope, out = dice(seed), 0, 0, []
    for _ in range(count):
        slope += draw(3) - 1 - slope // 8
        value = max(-120, min(value + slope, 120))
        out.append(value)
    return out


def valid_generative(valid: Make) -> Iterator[object]:
    """Everything that the section allows, once."""

    def one(name: str, description: str, shape: Sequence[int], **more: object) -> object:
        payload = generative(shape, dice(len(name) + 7 * len(description)), **more)  # type: ignore[arg-type]
        dtype = str(more.get("dtype", "f32"))
        return valid(f"generative_{name}", description, Model([tensor(payload, shape, dtype)]))

    for states in (1, 4, 8, 16, 32, 64, 128, 256):
        yield one(f"states_{states}", f"{states} states", (8, 20), states=states)
    for rates in (0, 3, 12, 15):
        yield one(f"rates_{rates}", f"rates {rates}", (8, 20), rates=rates)
    for start in (0, 7, 8, 63):
        yield one(f"start_{start}", f"a start of {start}", (5, 20), start=start)
    for kernel in (2, 9, 10, 25, 2**32 - 1):
        yield one(f"kernel_{kernel}", f"places in a kernel of {kernel}", (4, 50), kernel=kernel)
    yield one("kernel_tiles", "a kernel of 7 in tiles of part of a row", (3, 40), kernel=7, tile=13)
    for columns, tile in ((7, 7), (20, 7), (5, 13), (3, 2)):
        yield one(f"tile_{columns}_{tile}", f"tiles of {tile}, rows of {columns}", (11, columns), tile=tile)
    yield one("one", "one weight", ())
    yield one("one_scalar", "one weight, N = 1", (1,), states=1)
    yield one("zeros", "all levels are 0", (5, 6), zeros=True)
    yield one(
        "zeros_wide", "all levels are 0, of 16 bits, with scales", (5, 6), zeros=True, wide=True, rows=[1, 2, 3, 4, 5]
    )
    yield one("nothing", "zeros that are coded: a tile of few bytes", (8, 30), levels=[0] * 240, start=1)
    yield one("empty", "a tile of one byte", (1, 1), states=1, levels=[1], start=63)
    yield valid("generative_no_elements", "no elements", Model([tensor(b"", (0, 4))]))
    for dtype in ("f32", "f16", "bf16", "f64"):
        yield one(f"dtype_{dtype}", f"dtype {dtype}", (4, 12), dtype=dtype, step=0.3)
    scales = {"rows": [0, 9, 200], "columns": [3, 0, 255, 17, 8]}
    yield one("scales", "scales of rows and columns", (3, 5), step=0.7, **scales)
    yield one("rows", "scales of rows", (3, 5), dtype="bf16", rows=[0, 9, 200])
    yield one("columns", "scales of columns", (3, 5), dtype="f64", columns=[3, 0, 255, 17, 8])
    for name, tile in (("tiles", 10), ("parts", 3)):
        for down in (False, True):
            what = f"scales of rows and columns, T = {tile}" + (", down the columns" if down else "")
            yield one(f"scales_{name}{'_down' * down}", what, (3, 5), step=0.7, tile=tile, down=down, **scales)
    yield one("down_tiles_rows", "down the columns, tiles of two columns", (4, 5), down=True, tile=9, rows=[7, 0, 3, 1])
    for states in (1, 16, 128):
        few = drawn(states + 1, 9, 3, 3)
        payload = generative((3, 12), dice(states), tuned=few, wide=True, states=states, most=900)
        made = Model([tensor(payload, (3, 12))], [Shared(few, KIND)])
        yield valid(f"generative_tuned_wide_{states}", f"a tuned prior, 16 bits, {states} states", made)
    yield one("scales_down", "the same down the columns", (3, 5), step=0.7, down=True, **scales)
    yield one("down", "down the columns", (7, 5), down=True)
    yield one("down_tiles", "down the columns, tiles of part of a column", (9, 5), down=True, tile=4)
    yield one("wide", "levels of 16 bits", (6, 20), wide=True, most=3000)
    ends = [32767, -32768, 32766, 0, -1, 2047, -2048, 4095, 127, -128] * 4
    yield one("wide_ends", "the largest levels of 16 bits", (4, 10), wide=True, states=1, levels=ends)
    yield one("narrow_ends", "the largest levels of 8 bits", (4, 9), states=1, levels=[127, -128, 0] * 12)
    yield one("large", "levels of all sizes, N = 256", (6, 30), wide=True, most=20000, states=256, start=40)
    yield one("smooth", "values that tell of each other", (4, 60), states=1, levels=walked(240, 3))
    yield one("smooth_rows", "rows that repeat", (6, 30), states=1, levels=walked(30, 5) * 6)
    sure = [0] * 995 + [3, 0, 0, -1, 2]
    yield one("sure", "zeros until probabilities and counts are at their ends", (25, 40), states=1, levels=sure)
    far = [1] * 17 + [32767] + [1] * 5 + [-32768] + [0] * 6 + [1] * 20 + [-20000] + [3] * 9
    yield one("far", "weights and predictions at their ends", (3, 20), states=1, wide=True, rates=15, levels=far)
    yield one("many_tiles", "more than 16 tiles", (40, 3), tile=3)
    for dtype in ("i8", "u8", "bool", "f16", "bf16", "f32", "f64", "i16", "i32", "u64", "f8_e4m3fn", "complex64"):
        draw = dice(len(dtype))
        elements = bytes(draw(1 + draw(256)) for _ in range(5 * 9 * SIZES[dtype]))
        shape = (5, 9)
        yield one(
            f"exact_{dtype}", f"elements of {dtype}", shape, dtype=dtype, exact=elements, states=1, center=draw(256)
        )
    smooth = bytes(value & 255 for value in walked(90, 9))
    for dtype in ("u16", "u32", "i64"):
        elements = bytes((37 * i * i) % 251 for i in range(3 * 4 * SIZES[dtype]))
        yield one(
            f"exact_{dtype}", f"elements of {dtype}, in tiles", (3, 4), dtype=dtype, exact=elements, states=1, tile=3
        )
    yield one("exact_tiles", "bytes in tiles", (3, 30), dtype="i8", exact=smooth, states=1, tile=30)
    several = [
        tensor(generative((4, 9), dice(1)), (4, 9), name="a"),
        tensor(generative((9,), dice(2), states=1), (9,), name="b"),
        tensor(generative((2, 30), dice(3), wide=True), (2, 30), name="c"),
    ]
    yield valid("generative_several", "tensors one after the other", Model(several))
    yield from valid_tuned(valid)


def drawn(seed: int, sets: int, most: int, shift: int) -> bytes:
    """An object with changes of about so many sets of weights, as far as weights can be changed."""
    draw, weights, changes = dice(seed), prior()[-WEIGHTS:], {}
    for _ in range(4 * sets):
        at, change = draw(WEIGHTS // 6) * 6 + draw(6), draw(2 * most + 1) - most
        if 0 <= weights[at] + change * 2**shift <= 255:
            changes[at] = change
    return tuned_prior(changes, shift)


def valid_tuned(valid: Make) -> Iterator[object]:
    """Priors that a shared object changes."""

    def one(name: str, description: str, data: bytes, shape: Sequence[int] = (6, 40), **more: object) -> object:
        payload = generative(shape, dice(len(name) + 7 * len(description)), tuned=data, **more)  # type: ignore[arg-type]
        made = Model([tensor(payload, shape, str(more.get("dtype", "f32")))], [Shared(data, KIND)])
        return valid(f"generative_tuned_{name}", description, made)

    some = drawn(1, 60, 3, 3)
    yield one("some", "a prior with some changes", some)
    yield one("tiles", "the same in tiles", some, (9, 30), tile=60)
    yield one("wide", "the same, levels of 16 bits", some, wide=True, most=3000)
    yield one("nothing", "an object that changes nothing", tuned_prior({}, 5))
    for states in (1, 4, 256):
        few = drawn(states, 9, 3, 3)
        yield one(
            f"states_{states}", f"a prior with few changes, {states} states", few, (3, 20), states=states, tile=30
        )
    change = {at: (1 + at % 5) * (-1 if byte > 127 else 1) for at, byte in enumerate(prior()[-WEIGHTS:])}
    yield one("all", "all weights changed", tuned_prior(change, 2))
    yield one("shift_0", "steps of 1, up to the largest change", drawn(2, 90, 31, 0))
    large = [at for at, byte in enumerate(prior()[-WEIGHTS:]) if byte >= 128]
    yield one("shift_7", "steps of 128", tuned_prior(dict.fromkeys(large[::50], -1), 7))
    yield one("ends", "the first weight and the last one", tuned_prior({0: 2, WEIGHTS - 1: -2}, 3))
    elements = bytes(dice(4)(256) for _ in range(90))
    exact = {"exact": elements, "dtype": "i8", "states": 1}
    yield one("exact", "elements that are kept exactly", some, (9, 10), **exact)
    other = drawn(3, 20, 6, 4)
    several = [
        tensor(generative((4, 9), dice(1), tuned=some, shared=1), (4, 9), name="a"),
        tensor(generative((9,), dice(2), states=1), (9,), name="b"),
        tensor(generative((2, 30), dice(3), tuned=some, shared=1), (2, 30), name="c"),
        tensor(generative((2, 30), dice(5), tuned=other), (2, 30), name="d"),
    ]
    objects = [Shared(other, KIND), Shared(some, KIND)]
    yield valid("generative_tuned_several", "tensors with one object, another, and none", Model(several, objects))


def invalid_generative(invalid: Make) -> Iterator[object]:
    """Each rule, broken."""

    def bad(name: str, description: str, error: str, data: Payload | bytes, *more: object, **options: object) -> object:
        shape = options.get("shape", (2, 3))
        model = Model([tensor(data, shape, str(options.get("dtype", "f32")))])  # type: ignore[arg-type]
        return invalid(f"generative_{name}", description, error, model, *more)

    def made(shape: Sequence[int] = (2, 3), **more: object) -> Payload:
        return generative(shape, dice(3), **more)  # type: ignore[arg-type]

    good = made()
    six = bytes([1, 2, 3, 250, 0, 0])
    exact = made(exact=six, dtype="i8", states=1)
    yield bad("no_mode", "no payload", CORRUPT, b"")
    for b in (6, 7):
        yield bad(f"mode_bit_{b}", f"bit {b} of the mode", UNSUPPORTED, made(mode=1 << b))
    for b in (0, 1, 3, 4, 5):
        wrong = made(exact=six, dtype="i8", states=1, mode=4 | 1 << b)
        yield bad(f"exact_bit_{b}", f"exact with bit {b}", UNSUPPORTED, wrong, dtype="i8")
    yield bad("dtype", "levels for i16", CORRUPT, made(dtype="i16"), dtype="i16")
    yield bad("mode_before_dtype", "bit 7 of the mode, and u8", UNSUPPORTED, b"\x80", dtype="u8")
    yield bad("tile_0", "T = 0", CORRUPT, made(tile=0))
    yield bad("tile_65536", "T = 65,536", CORRUPT, made(tile=65536))
    for bits, what in ((0, "0"), (0x80000000, "-0"), (0x7F800000, "infinity"), (0x7FC00000, "NaN")):
        yield bad(f"step_{bits:08x}", f"a step of {what}", CORRUPT, made(step_bits=bits))
    for byte, error in ((0, CORRUPT), (9, CORRUPT), (17, UNSUPPORTED)):
        payload = made(rows=[0, 1], scale_width_byte=byte)
        yield bad(f"rows_width_{byte}", f"scale codes of rows of w = {byte}", error, payload)
    yield bad("zeros_tail", "a byte after zeros", CORRUPT, made(zeros=True, tail=b"\0"))
    for size, where in ((1, "T"), (3, "the step"), (7, "the version"), (10, "the start"), (11, "the kernel")):
        yield bad(f"cut_{size}", f"the payload ends in or before {where}", CORRUPT, good.data[:size])
    for version in (0, 2, 255):
        yield bad(f"version_{version}", f"version {version} of the prior", UNSUPPORTED, made(change={0: version}))
    for log2, error in ((1, CORRUPT), (9, CORRUPT), (15, CORRUPT), (3 | 16, UNSUPPORTED), (3 | 128, UNSUPPORTED)):
        yield bad(f"states_{log2}", f"a byte of states {log2}", error, made(change={1: log2}))
    for rates in (16, 128):
        yield bad(f"rates_{rates}", f"a byte of rates {rates}", UNSUPPORTED, made(change={2: rates}))
    for start in (64, 255):
        yield bad(f"start_{start}", f"a start of {start}", CORRUPT, made(change={3: start}))
    yield bad("kernel_0", "K = 0", CORRUPT, made(kernel=0))
    yield bad("kernel_large", "K = 2^32", CORRUPT, made(kernel=2**32))
    large = made(kernel=2**32, change={0: 2})
    yield bad("kernel_version", "K = 2^32 and version 2 of the prior: it is refused where it is read", CORRUPT, large)
    states = made(exact=six, dtype="i8", states=1, change={1: 3})
    yield bad("exact_states", "exact elements with 8 states", CORRUPT, states, dtype="i8")
    yield bad("exact_cut", "the payload ends before the center", CORRUPT, exact.data[:3], dtype="i8")
    yield bad("last_0", "a tile that ends with a byte 0", CORRUPT, good.data + b"\0")
    yield bad("no_bytes", "a tile of no bytes, N = 1", CORRUPT, made(states=1, edit=lambda _: [b""]))
    yield bad("no_bytes_8", "a tile of no bytes, N = 8", CORRUPT, made(wide=True, edit=lambda _: [b""]))
    nothing = made(exact=six, dtype="i8", states=1, edit=lambda _: [b""])
    yield bad("no_bytes_exact", "an exact tile of no bytes", CORRUPT, nothing, dtype="i8")
    yield bad("longer", "bytes behind the last level", CORRUPT, good.data + b"\1\1\1\1\1")
    yield bad("level_8", "a level of 200 in 8 bits", CORRUPT, made(states=1, levels=[200, 0, 0, 0, 0, 0]))
    wide = made(states=1, wide=True, levels=[40000, 0, 0, 0, 0, 0])
    yield bad("level_16", "a level of 40,000 in 16 bits", CORRUPT, wide)
    planes = made((4,), exact=bytes(range(16)), dtype="f32", states=1, edit=lambda tiles: [tiles[0][:11]])
    yield bad("planes", "a tile that ends in its planes", CORRUPT, planes, shape=(4,))
    cut = made((6, 3), tile=3, index=Index(width=25))
    yield bad("index", "a tile index of W = 25", CORRUPT, cut, shape=(6, 3))
    yield from invalid_tuned(invalid)


def invalid_tuned(invalid: Make) -> Iterator[object]:
    """Each rule of objects that change the prior, broken."""
    shape = (2, 3)
    nothing = tuned_prior({}, 5)

    def bad(name: str, description: str, error: str, data: bytes, object_: Shared | None = None) -> object:
        objects = [] if object_ is None else [object_]
        made = Model([tensor(data, shape)], objects)
        return invalid(f"generative_tuned_{name}", description, error, made)

    good = generative(shape, dice(3), tuned=nothing).data

    def broken(name: str, description: str, error: str, data: bytes) -> object:
        return bad(name, description, error, good, Shared(data, KIND))

    yield bad("missing", "an object that is not there", CORRUPT, good)
    yield bad("kind", "an object of another kind", CORRUPT, good, Shared(b"\0", 6))
    yield bad("crc", "a damaged object", CHECKSUM, good, Shared(nothing, KIND, crc=1))
    yield bad("cut", "a payload that ends before the index", CORRUPT, good[:12], Shared(nothing, KIND))
    after = generative(shape, dice(3), tuned=nothing, change={3: 64}, shared=9).data
    yield bad("after_start", "a start of 64, before the object", CORRUPT, after)
    yield broken("empty", "an object without bytes", CORRUPT, b"")
    for shift in (8, 128):
        yield broken(f"shift_{shift}", f"a first byte of {shift}", UNSUPPORTED, bytes([shift]) + nothing[1:])
    some = tuned_prior({0: 1, 77: -3}, 3)
    yield broken("last_0", "an object that ends with a byte 0", CORRUPT, some + b"\0")
    yield broken("longer", "bytes behind the last change", CORRUPT, some + b"\1\1\1\1\1")
    yield broken("above", "a weight above 255", CORRUPT, tuned_prior({5: 31}, 4))
    yield broken("below", "a weight below 0", CORRUPT, tuned_prior({WEIGHTS - 1: -31}, 4))

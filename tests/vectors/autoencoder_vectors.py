"""Golden vectors of codec autoencoder (docs/format.md, section 14), for make_vectors.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import resources

from autoencoder_builder import Prior, PriorModel, TunedModel, autoencoder
from stream_builder import Index, Model, Payload, Shared, Tensor
from trellis_vectors import dice

CODEC, KIND = 5, 6
CORRUPT, UNSUPPORTED, CHECKSUM = "CORRUPT", "UNSUPPORTED", "CHECKSUM"

Make = Callable[..., object]


def peaked(tokens: int, first: int) -> list[int]:
    """Frequencies that fall off, 4,096 in all."""
    table = [max(1, first >> (2 * i)) for i in range(tokens)]
    table[0] += 4096 - sum(table)
    return table


TABLES = [peaked(2 + i % 5, 3000 - 90 * i) for i in range(28)]
FLAT = [[4096 // 2**k] * 2**k for k in (1, 2, 3, 4) for _ in range(7)]
ONE = Prior((0, 256, 0, 0, 0, 0), -7 * 1024, TABLES)
ALL = Prior((40, 90, 20, 50, 30, 26), -9 * 1024, FLAT)
SMALL = PriorModel([ONE])
TWO = PriorModel([ONE, ALL])


def universal() -> PriorModel:
    """The model of version 1, taken apart."""
    data = resources.files("neuralcodec.models").joinpath("autoencoder_1.bin").read_bytes()
    count = data[1] + 1
    classes = []
    for i in range(count):
        at = 2 + 16 * i
        numbers = [int.from_bytes(data[at + 2 * k : at + 2 * k + 2], "little", signed=True) for k in range(6)]
        bias = int.from_bytes(data[at + 12 : at + 16], "little", signed=True)
        tables = []
        for t in range(28):
            place = 2 + 16 * count + 2 * (28 * i + t)
            start = int.from_bytes(data[place : place + 2], "little")
            sums = [int.from_bytes(data[start + 1 + 2 * k : start + 3 + 2 * k], "little") for k in range(data[start])]
            tables.append([b - a for a, b in zip([0, *sums], sums, strict=False)])
        classes.append(Prior(numbers, bias, tables))
    model = PriorModel(classes)
    if model.data() != data:
        raise ValueError("the model of version 1 is not what the document says")
    return model


UNIVERSAL = universal()
EVERY = dict(enumerate(peaked(2 + i % 5, 2900 - 80 * i) for i in range(28)))
LONGEST = [4096 - 31, *[1] * 31]
TUNED = TunedModel(UNIVERSAL, [(2, {8: LONGEST, 11: peaked(4, 2000), 27: peaked(3, 900)}), (0, EVERY), (5, {})])


def tensor(payload: Payload, shape: Sequence[int], dtype: str = "f32", name: str = "w") -> Tensor:
    return Tensor(name, shape, payload, dtype, CODEC)


def valid_autoencoder(valid: Make) -> Iterator[object]:
    """Everything that the section allows, once."""

    def one(name: str, description: str, shape: Sequence[int], **more: object) -> object:
        own = more.pop("model", UNIVERSAL)
        shared = own is not UNIVERSAL and own is not None
        if shared:
            more["shared"] = 0
        draw = dice(len(name) + 7 * len(description))
        payload = autoencoder(shape, own, draw, **more)  # type: ignore[arg-type]
        objects = [Shared(own.data(), KIND)] if shared else []  # type: ignore[attr-defined]
        made = Model([tensor(payload, shape, str(more.get("dtype", "f32")))], objects)
        return valid(f"autoencoder_{name}", description, made)

    for i in range(len(UNIVERSAL.classes)):
        yield one(f"universal_{i}", f"class {i} of the universal model", (6, 40), chosen=i, z=6)
    yield one("shared", "a model of the file's own", (6, 40), model=SMALL)
    yield one("shared_second", "the second class of a model of the file's own", (6, 40), model=TWO, chosen=1)
    for z in (0, 1, 2, 5, 12):
        yield one(f"start_{z}", f"tiles that start with z = {z}", (3, 50), z=z)
    yield one("start_31", "the largest start, raw bits", (2, 9), z=31, wide=True)
    yield one("raw_bits", "magnitudes with raw bits", (4, 30), z=20, wide=True)
    yield one("taps_1", "one tap", (5, 30), taps=((1, 40),), fraction=3, wide=True)
    eight = ((1, 20), (2, -7), (3, 5), (30, 9), (31, -9), (60, 3), (170, -128), (175, 127))
    yield one("taps_8", "eight taps, within and across rows", (6, 30), taps=eight, fraction=2, wide=True, z=4)
    yield one("taps_beyond", "a tap beyond the tile", (6, 30), taps=((65535, 64), (1, 32)), z=4)
    yield one("narrow_taps", "a tap at levels of 8 bits", (6, 30), taps=((30, 50),), z=5)
    for fraction in (1, 4):
        yield one(f"fraction_{fraction}", f"F = {fraction}", (4, 30), fraction=fraction, wide=True)
    yield one("bias", "a bias", (4, 30), bias=333, fraction=1, wide=True)
    yield one("bias_below", "a bias below 0", (4, 30), bias=-1500, fraction=1, wide=True)
    for kernel in (9, 25, 256):
        yield one(f"kernel_{kernel}", f"kernels of {kernel}", (4, 2, kernel), kernel=kernel, z=5)
    yield one("kernel_columns", "a kernel that is longer than a row", (5, 20), kernel=64, z=5)
    yield one("down", "down the columns", (12, 9), down=True, z=5)
    yield one("down_wide", "down the columns, levels of 16 bits", (12, 9), down=True, wide=True, taps=((12, 60),), z=7)
    yield one("zeros", "all levels 0", (5, 9), model=None)
    yield one("zeros_wide", "all levels 0, of 16 bits, down the columns", (5, 9), model=None, wide=True, down=True)
    for rows, columns, tile in ((9, 7, 14), (9, 7, 20), (5, 13, 6), (5, 13, 13), (40, 3, 6)):
        shape = (rows, columns)
        yield one(f"tile_{rows}_{columns}_{tile}", f"{rows} rows of {columns}, T = {tile}", shape, tile=tile, z=4)
    yield one("down_tiles", "tiles of parts of columns", (23, 4), tile=7, down=True, z=4)
    for dtype in ("f16", "bf16", "f64"):
        yield one(f"dtype_{dtype}", f"weights in {dtype}", (4, 20), dtype=dtype, step=0.1, z=5)
    turns = iter([0, 1, 2, 30, 31, 32, 1000, 4094, 9000, 0, 7] * 1000)
    yield one("beyond", "tokens that open", (5, 40), model=TWO, chosen=1, wide=True, escape=lambda: next(turns), z=2)
    parts = {"shape": (3, 20), "tile": 7, "z": 4}
    yield one("parts_kernel", "a kernel of 3 in tiles of parts of rows", kernel=3, **parts)
    yield one("parts_wide", "levels of 16 bits in tiles of parts of rows", wide=True, **parts)
    taps = ((1, 30), (6, -9), (7, 100))
    yield one("parts_taps", "taps in tiles of parts of rows, one beyond the tile", taps=taps, wide=True, **parts)
    yield one("parts_down", "a kernel of 2 in tiles of parts of columns", (20, 3), tile=7, z=4, kernel=2, down=True)
    yield one("rows_kernel", "a kernel of 9 in tiles of two rows", (5, 9), tile=20, z=4, kernel=9)
    for name, bias in (("least", -(2**24) + 1), ("most", 2**24 - 1)):
        model = PriorModel([Prior((0, 0, 0, 0, 0, 0), bias, FLAT)])
        yield one(f"spread_{name}", f"the {name} spread throughout", (3, 7), model=model, wide=True, fraction=1)
    signs = PriorModel([Prior((8191, -8191, 8191, -8191, 5, -5), 9, FLAT)])
    yield one("spread_weights", "the largest weights of a model", (4, 9), model=signs, wide=True, z=9, kernel=3)
    far = iter([14, 15, 16, 3, 200, 0] * 100)
    yield one(
        "beyond_parts", "tokens that open, in tiles of parts", model=TWO, wide=True, escape=lambda: next(far), **parts
    )
    yield one("parts_shared", "a model of the file's own in tiles of parts of rows", model=TWO, chosen=1, **parts)
    yield one(
        "down_wide_parts", "levels of 16 bits in tiles of parts of columns", (20, 3), tile=7, z=9, down=True, wide=True
    )
    yield one("wide_rows", "levels of 16 bits in tiles of three rows", (8, 6), tile=20, z=9, wide=True)
    yield valid("autoencoder_empty", "no elements", Model([tensor(Payload(b""), (0, 4))]))
    yield one("one_weight", "one weight", (1, 1), z=3)
    yield one("vector", "a tensor of one dimension", (50,), z=5)
    scalar = autoencoder((), UNIVERSAL, dice(3), z=4)
    yield valid("autoencoder_scalar", "a tensor without dimensions", Model([tensor(scalar, ())]))
    yield one("infinite", "weights beyond f16", (3, 20), dtype="f16", step=30_000.0, z=5)
    for i, what in enumerate(("three tables of its own", "all tables of its own", "no table of its own")):
        yield one(f"tuned_{i}", f"a tuned model: a class with {what}", (6, 40), model=TUNED, chosen=i, z=7)
    yield one("tuned_wide", "a tuned model, raw bits", (4, 30), model=TUNED, chosen=1, z=20, wide=True)
    most = TunedModel(UNIVERSAL, [(i % 6, {i: LONGEST, 10: peaked(5, 1500)}) for i in range(16)])
    yield one("tuned_16", "a tuned model of 16 classes", (6, 40), model=most, chosen=15, z=7)
    two = [
        tensor(autoencoder((4, 9), TWO, dice(1), shared=0), (4, 9), name="a"),
        tensor(autoencoder((5, 9), TWO, dice(2), shared=0, chosen=1), (5, 9), name="b"),
        tensor(autoencoder((5, 9), UNIVERSAL, dice(2), chosen=1), (5, 9), name="c"),
    ]
    yield valid("autoencoder_shared_by_two", "two tensors that share a model", Model(two, [Shared(TWO.data(), KIND)]))


def invalid_autoencoder(invalid: Make) -> Iterator[object]:
    """Every rule of the section, broken once."""

    def one(name: str, description: str, error: str, shape: Sequence[int] = (4, 9), **more: object) -> object:
        own = more.pop("model", UNIVERSAL)
        objects = more.pop("objects", [])
        draw = dice(len(name) + 7 * len(description))
        payload = autoencoder(shape, own, draw, **more)  # type: ignore[arg-type]
        made = Model([tensor(payload, shape, str(more.get("dtype", "f32")))], objects)
        return invalid(f"autoencoder_{name}", description, error, made)

    for bit in (16, 32, 64, 128):
        yield one(f"mode_{bit}", "a reserved bit of the mode", UNSUPPORTED, mode=bit)
    yield one("mode_12", "a shared model where all levels are 0", UNSUPPORTED, mode=12)
    yield one("dtype_i8", "levels for i8", CORRUPT, dtype="i8")
    yield one("tile_0", "T = 0", CORRUPT, tile=0)
    yield one("step_0", "a step of 0", CORRUPT, step_bits=0)
    yield one("step_below", "a step below 0", CORRUPT, step_bits=0xBF800000)
    yield one("step_infinite", "an infinite step", CORRUPT, step_bits=0x7F800000)
    yield one("version_0", "version 0 of the universal model", UNSUPPORTED, version=0)
    yield one("version_2", "a version of the universal model that is not there", UNSUPPORTED, version=2)
    yield one("version_large", "a version of 32 bits", UNSUPPORTED, version=2**32 - 1)
    yield one("class", "a class that the universal model lacks", CORRUPT, class_byte=len(UNIVERSAL.classes))
    yield one("head_reserved", "a reserved bit beside the taps", UNSUPPORTED, head=128)
    yield one("taps_9", "nine taps", CORRUPT, taps=((1, 1),) * 9)
    yield one("fraction_5", "F = 5", CORRUPT, head=5 << 4)
    yield one("bias_large", "a bias of 2^24", CORRUPT, bias=2**24)
    yield one("bias_least", "a bias of -2^24", CORRUPT, bias=-(2**24))
    yield one("lag_0", "a lag of 0", CORRUPT, taps=((0, 1),))
    for cut in (1, 5, 7, 8, 9, 10, 12):
        yield one(f"cut_{cut}", f"a payload of {cut} bytes", CORRUPT, cut=cut)
    yield one("cut_tap", "a payload that ends within a tap", CORRUPT, cut=18, taps=((1, 40), (2, 40)))
    yield one("zeros_tail", "bytes after levels that are all 0", CORRUPT, model=None, tail=b"\0")
    yield one("end", "a state that is not 0 at the end", CORRUPT, end=1)
    yield one("tail", "a word after the last", CORRUPT, tail=b"\1\0")
    yield one("odd", "a tile of half a word", CORRUPT, tail=b"\1")
    yield one("index", "W = 25 in the tile index", CORRUPT, (9, 9), tile=9, index=Index(width_byte=25))
    yield one("level", "a level of more than 8 bits", CORRUPT, bias=64 * 1000)
    yield one("level_wide", "a level of more than 16 bits", CORRUPT, bias=64 * 40_000, wide=True)
    yield one("predicted", "a prediction of more than 8 bits", CORRUPT, (4, 40), z=11, taps=((1, 127), (2, 127)))
    good = Shared(SMALL.data(), KIND)
    yield one("shared_missing", "a shared model that is not there", CORRUPT, model=SMALL, shared=1, objects=[good])
    yield one(
        "shared_kind", "a shared object of another kind", CORRUPT, model=SMALL, shared=0, objects=[Shared(b"\0", 2)]
    )
    yield one("shared_crc", "a damaged shared model", CHECKSUM, model=SMALL, shared=0, objects=[replace(good, crc=1)])
    yield one(
        "shared_class",
        "a class that a shared model lacks",
        CORRUPT,
        model=SMALL,
        shared=0,
        class_byte=1,
        objects=[good],
    )

    def broken(
        name: str, description: str, error: str, model: PriorModel | TunedModel, cut: int | None = None
    ) -> object:
        data = model.data()[:cut]
        return one(name, description, error, model=SMALL, shared=0, objects=[Shared(data, KIND)])

    at = 2 + 16 + 56
    yield broken("model_empty", "a model without bytes", CORRUPT, SMALL, 0)
    yield broken("model_head", "a model of one byte", CORRUPT, SMALL, 1)
    yield broken("model_layout", "layout 2", UNSUPPORTED, replace(SMALL, layout=2))
    yield broken("model_classes", "17 classes", UNSUPPORTED, replace(SMALL, change={1: 16}))
    yield broken("model_cut", "a model that ends before its tables", CORRUPT, SMALL, at)
    yield broken("model_cut_offsets", "a model that ends within its offsets", CORRUPT, SMALL, at - 1)
    yield broken("model_cut_table", "a model that ends within a table", CORRUPT, SMALL, len(SMALL.data()) - 1)
    yield broken("model_tail", "bytes after a model", CORRUPT, replace(SMALL, tail=b"\0"))
    yield broken(
        "model_weight", "a weight of 8,192", CORRUPT, PriorModel([replace(ONE, weights=(0, 0, 8192, 0, 0, 0))])
    )
    yield broken(
        "model_weight_below", "a weight of -8,192", CORRUPT, PriorModel([replace(ONE, weights=(-8192, 0, 0, 0, 0, 0))])
    )
    yield broken("model_bias", "a bias of 2^24", CORRUPT, PriorModel([replace(ONE, bias=2**24)]))
    yield broken("model_bias_least", "a bias near -2^31", CORRUPT, PriorModel([replace(ONE, bias=-(2**31) + 58_368)]))
    yield broken("model_offset", "an offset that is wrong", CORRUPT, replace(SMALL, offsets={3: 9}))
    yield broken("model_tokens_1", "a table of one token", CORRUPT, replace(SMALL, change={at: 1}))
    yield broken("model_tokens_33", "a table of 33 tokens", CORRUPT, replace(SMALL, change={at: 33}))
    zero = [[0, 4096], *TABLES[1:]]
    yield broken("model_frequency", "a frequency of 0", CORRUPT, PriorModel([replace(ONE, tables=zero)]))
    few = [[1000, 3095], *TABLES[1:]]
    yield broken("model_sum", "frequencies that add up to 4,095", CORRUPT, PriorModel([replace(ONE, tables=few)]))
    many = [[1000, 3097], *TABLES[1:]]
    yield broken("model_sum_more", "frequencies that add up to 4,097", CORRUPT, PriorModel([replace(ONE, tables=many)]))

    short = TunedModel(UNIVERSAL, [(2, {5: peaked(3, 900)})])
    size = len(short.data())
    for cut in (2, 5, 6, 7, 10, 11, size - 1):
        yield broken(f"tuned_cut_{cut}", f"a tuned model of {cut} bytes", CORRUPT, short, cut)
    yield broken("tuned_tail", "bytes after a tuned model", CORRUPT, replace(short, tail=b"\0"))
    yield broken(
        "tuned_version", "a tuned model of a version that is not there", UNSUPPORTED, replace(short, version=2)
    )
    large = replace(short, version=2**32 - 255)
    yield broken("tuned_version_large", "a tuned model of a version of 32 bits", UNSUPPORTED, large)
    yield broken("tuned_classes", "a tuned model of 17 classes", UNSUPPORTED, replace(short, change={1: 16}))
    yield broken("tuned_class", "a tuned class of none", CORRUPT, replace(short, change={6: 6}))
    for bit in (28, 31):
        yield broken(f"tuned_mask_{bit}", "a reserved bit of a mask", UNSUPPORTED, replace(short, reserved=1 << bit))
    for tokens in (1, 33):
        yield broken(
            f"tuned_tokens_{tokens}", f"a table of {tokens} tokens", CORRUPT, replace(short, change={11: tokens})
        )
    zero = TunedModel(UNIVERSAL, [(2, {5: [0, 4096]})])
    yield broken("tuned_frequency", "a frequency of 0 in a tuned model", CORRUPT, zero)
    few = TunedModel(UNIVERSAL, [(2, {5: [1000, 3095]})])
    yield broken("tuned_sum", "frequencies that add up to 4,095 in a tuned model", CORRUPT, few)
    yield one(
        "tuned_names_class",
        "a class that a tuned model lacks",
        CORRUPT,
        model=SMALL,
        shared=0,
        class_byte=1,
        objects=[Shared(short.data(), KIND)],
    )

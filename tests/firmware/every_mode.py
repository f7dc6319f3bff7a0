"""A model stream that takes every way through the decoder, and what decoding it must give."""

from __future__ import annotations

import random
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from stream_builder import (
    STORED,
    Model,
    Payload,
    Plane,
    Shared,
    Table,
    Tensor,
    levels,
    lossless,
    plane_bytes,
    raw,
    tile_bounds,
)


@dataclass(frozen=True)
class Expected:
    """A stream and what an image that decodes it must print."""

    stream: bytes
    tensors: int
    tied: int
    tiles: int
    crc32: int
    weights: dict[str, int]


def huffman_table(symbols: Sequence[int], pairs: bool = False) -> Table:
    """The Huffman code of these bytes."""
    counts = Counter(symbol & 255 for symbol in symbols)
    groups = [(n, symbol, {symbol: 0}) for symbol, n in counts.items()]
    while len(groups) > 1:
        (n, tie, a), (m, _, b), *groups = sorted(groups, key=lambda group: group[:2])
        groups.append((n + m, tie, {symbol: length + 1 for symbol, length in (a | b).items()}))
    return Table.of(groups[0][2], pairs)


def gaussian(n: int, spread: float, limit: int, seed: int) -> list[int]:
    source = random.Random(seed)
    return [max(-limit, min(limit, round(source.gauss(0.0, spread)))) for _ in range(n)]


def paired(values: Sequence[int], length: int) -> list[int]:
    """The symbols of pairs in tiles of a length."""
    tiles = [[*values[i : i + length], 0] for i in range(0, len(values), length)]
    return [tile[i] & 15 | (tile[i + 1] & 15) << 4 for tile in tiles for i in range(0, len(tile) - 1, 2)]


def floats(n: int, seed: int) -> bytes:
    source = random.Random(seed)
    return struct.pack(f"<{n}f", *(source.gauss(0.0, 0.05) for _ in range(n)))


def _cases() -> tuple[list[tuple[Tensor, int]], list[Shared]]:
    """Tensors, each with its tile length T, and the shared tables."""
    four_bits = gaussian(64 * 150, 3.9, 127, 1)  # some 4 bits of entropy
    four_bits_table = huffman_table(four_bits)
    small = gaussian(5 * 333, 1.0, 7, 2)
    signed = [0, *(sign * m for m in range(1, 9) for sign in (-1, 1))][:16]  # by rank
    # One code of each length and two of the longest, 15 bits: past any look-up table.
    steep = Table([1] * 14 + [2], None, 1)
    steep_levels = signed + random.Random(3).choices(signed, [2.0**-i for i in range(16)], k=900 - 16)
    flat = Table([16], None, 4)  # tiles of one size: no fields in the index
    flat_levels = random.Random(4).choices([*signed[:15], -8], k=40 * 9)
    weights, bias = floats(30 * 41, 5), floats(70, 6)
    planes = plane_bytes(weights, "f32")
    top, second = huffman_table(planes[0]), huffman_table(planes[1])
    steps = struct.pack("<500h", *(i // 7 for i in range(500)))
    zero = Plane(Table.constant(0))

    def tensor(name: str, shape: tuple[int, ...], payload: Payload, dtype: str = "f32", codec: int = 2) -> Tensor:
        return Tensor(name, shape, payload, dtype, codec)

    cases = [
        (tensor("a.bias", (70,), raw(bias), codec=1), 1024),
        (tensor("a.bytes", (3, 1100), raw(bytes(i * 7 & 255 for i in range(3300))), "i8", codec=1), 1024),
        (tensor("b.constant", (10, 300), levels((10, 300), [-3] * 3000, Table.constant(-3), tile=512)), 512),
        (tensor("b.empty", (0, 4), Payload(b"")), 1),
        (tensor("b.flat", (40, 9), levels((40, 9), flat_levels, flat, tile=20)), 20),
        (tensor("b.four_bits", (64, 150), levels((64, 150), four_bits, four_bits_table)), 1024),
        (tensor("b.long_rows", (3, 300), levels((3, 300), steep_levels, steep, tile=77, scales=[0, 9, 3])), 77),
        (tensor("b.many_tiles", (300, 3), levels((300, 3), steep_levels, steep, tile=7)), 7),
        # Tiles of one row, an odd number of levels: each ends with half a pair.
        (tensor("b.pairs", (5, 333), levels((5, 333), small, huffman_table(paired(small, 333), True), tile=400)), 400),
        (tensor("b.scalar", (), levels((), [5], huffman_table([5, -5]))), 1024),
        (tensor("b.shared", (64, 150), levels((64, 150), four_bits, four_bits_table, tile=2048, shared=0)), 2048),
        (
            tensor(
                "c.f32",
                (30, 41),
                lossless((30, 41), "f32", weights, [Plane(top, 1), Plane(second), STORED, STORED], tile=200),
            ),
            200,
        ),
        (
            tensor("c.i16", (500,), lossless((500,), "i16", steps, [zero, Plane(huffman_table(steps[::2]))]), "i16"),
            1024,
        ),
        (tensor("c.zeros", (9,), lossless((9,), "i32", bytes(36), [zero] * 4), "i32"), 1024),
        (Tensor("d.tied", tied_to=5), 0),
    ]
    return cases, [Shared(four_bits_table.data()), Shared(top.data())]


def every_mode() -> Expected:
    """The stream."""
    cases, shared = _cases()
    own = [(tensor, tile) for tensor, tile in cases if tensor.tied_to is None]
    weights: Counter[str] = Counter()
    tiles = 0
    for tensor, tile in own:
        bounds = tile_bounds([d for d in tensor.shape if isinstance(d, int)], tile)
        tiles += len(bounds)
        kind = "raw" if tensor.codec == 1 else "huffman.lossless" if tensor.payload.levels is None else "huffman.levels"
        weights[kind] += bounds[-1][1] if bounds else 0
    return Expected(
        stream=Model([tensor for tensor, _ in cases], shared).data(),
        tensors=len(own),
        tied=len(cases) - len(own),
        tiles=tiles,
        crc32=zlib.crc32(b"".join(tensor.payload.output for tensor, _ in own)),
        weights=dict(weights),
    )


def fully_connected(rows: int, columns: int, tile: int) -> tuple[bytes, list[int]]:
    """A stream with one layer, ``fc.weight``, and its levels."""
    values = gaussian(rows * columns, 3.0, 127, 7)
    shape = (rows, columns)
    payload = levels(shape, values, huffman_table(values), tile=tile, step=0.01, scales=[i % 8 for i in range(rows)])
    bias = Tensor("fc.bias", (rows,), raw(floats(rows, 8)), codec=1)
    return Model([bias, Tensor("fc.weight", shape, payload)]).data(), values

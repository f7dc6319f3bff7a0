"""Section 15: levels that an adaptive model predicts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from neuralcodec.reference.huffman import read_scale_codes, read_step
from neuralcodec.reference.primitives import Reader
from neuralcodec.reference.registries import TUNED_PRIOR, ElementType
from neuralcodec.reference.tiles import Tile, Tiling, read_index_and_data, tiling
from neuralcodec.reference.trellis import COLUMN_SCALES, COLUMNS, POLYNOMIALS, ROW_SCALES, WIDE, ZEROS, TrellisLevels

if TYPE_CHECKING:
    from neuralcodec.reference.stream import Tensor

EXACT = 4
"""Bit 2 of the mode, which has another sense here."""

PRIORS = Path(__file__).resolve().parent.parent / "models" / "weights"
"""Where the priors lie, one file for each version; in a checkout that is not installed, beside the package."""

VERSION = 1
NODES, CELLS, INPUTS, FIRST, SECOND = 25, 1325, 6, 12, 20
"""Of one quantizer; of a node; contexts; sets of weights."""

TUNED = 64
"""Bit of the rates."""

MOST_MAGNITUDE, LOGIT, WEIGHT = 2047, 2047, 2**20
SQUASH = [32768, 40793, 47911, 53584, 57724, 60547, 62428, 63615, 64357, 64815]
SQUASH += [65097, 65269, 65374, 65438, 65476, 65500, 65514]
COLUMN_RATES = (128, 85, 64, 51, 43)
LAST_COLUMN_RATE = 37


@dataclass
class Head:
    """How levels are coded."""

    states: int
    mix_rate: int
    step_rate: int
    start: int
    kernel: int
    weights: list[int] | None = None
    """Bytes of a prior's weights, after a shared object has changed them."""


@dataclass
class ExactElements:
    """An opened tensor of elements that are kept exactly."""

    dtype: ElementType
    tiles: Tiling
    center: int
    head: Head
    data: list[Reader]

    @property
    def number_of_tiles(self) -> int:
        """N."""
        return self.tiles.count

    def tile_bytes(self, i: int) -> bytes:
        """Elements of tile ``i``."""
        tile, data, size = self.tiles[i], self.data[i], self.dtype.size
        at = tile.size * (size - 1)
        if at > len(data.data):
            raise data.corrupt("planes run past the end of a tile")
        stored = [data.data[k * tile.size : (k + 1) * tile.size] for k in range(size - 1)]
        levels = decode_tile(self.head, data, tile, at)
        planes = [bytes((level + self.center) % 256 for level in levels), *stored]
        out = bytearray()
        for each in zip(*planes, strict=True):
            number, bits = int.from_bytes(bytes(each), "big"), 8 * size
            if self.dtype.rotated:
                number = number >> 1 | (number & 1) << (bits - 1)
            out += number.to_bytes(size, "little")
        return bytes(out)


@dataclass
class GenerativeLevels(TrellisLevels):
    """An opened tensor of levels."""

    head: Head | None = None

    def tile_levels(self, i: int) -> list[int]:
        """Levels of tile ``i``, in the order of the matrix that is cut."""
        tile = self.tiles[i]
        if self.head is None or self.data is None:
            return [0] * tile.size
        bits = 16 if self.wide else 8
        return decode_tile(self.head, self.data[i], tile, bits=bits)


def open_generative(tensor: Tensor, payload: Reader) -> GenerativeLevels | ExactElements:
    """Reads the header of a payload, its tile index, and cuts its data in tiles."""
    mode = payload.u8("mode")
    if mode >> 6 or (mode & EXACT and mode != EXACT):
        raise payload.unsupported(f"mode {mode}")
    exact = bool(mode & EXACT)
    if not exact and not tensor.dtype.rotated:
        raise payload.corrupt(f"levels for dtype {tensor.dtype}")
    rows, columns = tensor.rows, tensor.columns
    if mode & COLUMNS:
        tiles = tiling(payload, columns, rows, payload.varint("T"))
    else:
        tiles = tiling(payload, rows, columns, payload.varint("T"))
    if exact:
        center = payload.u8("center")
        head = _read_head(payload, tensor, exact=True)
        return ExactElements(tensor.dtype, tiles, center, head, read_index_and_data(payload, tiles.count))
    step = read_step(payload)
    row_codes = read_scale_codes(payload, rows) if mode & ROW_SCALES else None
    column_codes = read_scale_codes(payload, columns) if mode & COLUMN_SCALES else None
    opened = GenerativeLevels(
        tensor.dtype, tiles, bool(mode & COLUMNS), bool(mode & WIDE), step, row_codes, column_codes
    )
    if mode & ZEROS:
        if payload.left:
            raise payload.corrupt(f"{payload.left} bytes follow levels that are all 0")
        return opened
    opened.head = _read_head(payload, tensor)
    opened.data = read_index_and_data(payload, tiles.count)
    return opened


def _read_head(payload: Reader, tensor: Tensor, *, exact: bool = False) -> Head:
    version, states, rates, start = (payload.u8(name) for name in ("version", "states", "rates", "start"))
    kernel = payload.varint("kernel")
    if kernel >= 2**32:
        raise payload.corrupt(f"a kernel of {kernel} columns")
    if version != VERSION:
        raise payload.unsupported(f"version {version} of the prior; this decoder has version {VERSION}")
    if states >> 4 or (rates & ~TUNED) >> 4:
        raise payload.unsupported("reserved bits")
    if states == 1 or states > 8 or start > 63 or kernel == 0:
        raise payload.corrupt(f"2^{states} states, start {start}, kernel {kernel}")
    if exact and states:
        raise payload.corrupt(f"exact elements with 2^{states} states")
    weights = tuned_weights(tensor.shared_object(payload, TUNED_PRIOR)) if rates & TUNED else None
    return Head(2**states, rates & 3, rates >> 2 & 3, start, kernel, weights)


# Arithmetic


def toward_zero(a: int, b: int) -> int:
    """a/b for b > 0, rounded toward zero."""
    return a // b if a >= 0 else -(-a // b)


def limited(x: int, most: int) -> int:
    """The nearest to x of −most … most."""
    return max(-most, min(x, most))


def squash(y: int) -> int:
    """Probability of a logit."""
    k, w = divmod(abs(y), 128)
    a, b = SQUASH[k], SQUASH[k + 1]
    if y < 0:
        a, b = 65536 - a, 65536 - b
    return (a * (128 - w) + b * w) // 128


def bin_of(x: int) -> int:
    """Bin of a magnitude."""
    length = x.bit_length()
    return 0 if length < 3 else min(2 * (length - 1) + (x >> (length - 2) & 1) - 3, 23)


@functools.cache
def stretch() -> list[int]:
    """Logits of probabilities in 4096ths."""
    table, y = [], -LOGIT
    for i in range(4096):
        while y < LOGIT and squash(y) < 16 * i + 8:
            y += 1
        table.append(y)
    return table


# Coder


@dataclass
class Coder:
    """The binary arithmetic coder."""

    data: bytes
    at: int = 0
    low: int = 0
    high: int = 2**32 - 1
    code: int = 0

    def __post_init__(self) -> None:
        for _ in range(4):
            self.code = self.code * 256 + self._next()

    def _next(self) -> int:
        byte = self.data[self.at] if self.at < len(self.data) else 0
        self.at += 1
        return byte

    def bit(self, p: int) -> int:
        """A bit that is 1 with probability p/65536."""
        width = self.high - self.low
        middle = self.low + width // 65536 * p + width % 65536 * p // 65536
        bit = int(self.code <= middle)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while self.low >> 24 == self.high >> 24:
            self.low = self.low * 256 % 2**32
            self.high = (self.high * 256 + 255) % 2**32
            self.code = (self.code * 256 + self._next()) % 2**32
        return bit


# Section 15.5


@dataclass
class Chance:
    """The probability of a bit, which adapts."""

    p: int = 32768

    def take(self, coder: Coder) -> int:
        """The next bit."""
        bit = coder.bit(self.p)
        self.p += (65535 - self.p) // 32 if bit else -(self.p // 32)
        return bit


def tuned_weights(shared: Reader) -> list[int]:
    """Bytes of a prior's weights, as a shared object changes them."""
    unit = shared.u8("shift of a tuned prior")
    if unit >> 3:
        raise shared.unsupported("reserved bits")
    string = shared.take(shared.left, "changes")
    if string and string[-1] == 0:
        raise shared.corrupt("the last byte of a tuned prior is 0")
    coder = Coder(string)
    is_changed, is_weight, is_larger = Chance(2048), Chance(), [Chance() for _ in range(8)]
    weights = list(prior()[2 * NODES * CELLS :])
    for first in range(0, len(weights), INPUTS):
        if not is_changed.take(coder):
            continue
        for i in range(first, first + INPUTS):
            if not is_weight.take(coder):
                continue
            negative, size = coder.bit(32768), 1
            while size < 31 and is_larger[min(size, 8) - 1].take(coder):
                size += 1
            weights[i] += (-size if negative else size) * 2**unit
            if not 0 <= weights[i] <= 255:
                raise shared.corrupt(f"weight {i} of a tuned prior is {weights[i]}")
    if coder.at < len(string):
        raise shared.corrupt(f"{len(string) - coder.at} bytes follow a tuned prior")
    return weights


# Model


@functools.cache
def prior() -> bytes:
    """Section 15.4."""
    for folder in (PRIORS, PRIORS.parent.parent.parent / "models" / "weights"):
        path = folder / f"generative_{VERSION}.bin"
        if path.exists():
            return path.read_bytes()
    raise FileNotFoundError(PRIORS / f"generative_{VERSION}.bin")


@dataclass
class Cells:
    """What adapts from bit to bit: probabilities and counts of cells, and weights of the mix."""

    p: list[int]
    n: list[int]
    first: list[list[int]]
    second: list[list[int]]

    @classmethod
    def of_prior(cls, changed: list[int] | None = None) -> Cells:
        """As a tile begins, with the prior's weights or with changed ones."""
        count = 2 * NODES * CELLS
        cells = prior()[:count]
        known = {v: squash(16 * (v - 128)) for v in range(1, 256)} | {0: 32768}
        weights = [512 * (v - 128) for v in (prior()[count:] if changed is None else changed)]
        sets = [weights[i : i + INPUTS] for i in range(0, len(weights), INPUTS)]
        return cls(
            [known[v] for v in cells],
            [6 if v else 0 for v in cells],
            sets[: 2 * NODES * FIRST],
            sets[2 * NODES * FIRST :],
        )


@dataclass
class Walk:
    """What the next level depends on."""

    head: Head
    columns: int
    first_column: int
    values: list[int] = field(default_factory=list)
    cells: Cells = field(init=False)
    e4: int = 0
    e16: int = 0
    e64: int = 0
    down: list[int] = field(default_factory=list)
    weights: list[int] = field(default_factory=lambda: [0] * 18)
    error: int = 0
    power: int = 0

    def __post_init__(self) -> None:
        self.cells = Cells.of_prior(self.head.weights)
        start = self.head.start
        mean = start // 2 if start < 8 else (4 + start % 4) * 2 ** (start // 4 - 2)
        self.e4, self.e16, self.e64 = 4 * mean, 16 * mean, 64 * mean
        self.down = [mean] * self.columns

    def level(self, coder: Coder, quantizer: int) -> int:
        """The next value, of a level."""
        row, column = divmod(len(self.values), self.columns)
        e4, e16, e64, d = self.e4 // 4, self.e16 // 16, self.e64 // 64, self.down[column]
        near, large = (6 * e16 + 6 * e64 + 4 * d) // 16, 13 * e16 // 10 + 32
        x = [self._before(k) for k in range(1, 17)] + [self._before(k * self.columns) for k in (1, 2)]
        total = sum(f * each for f, each in zip(self.weights, x, strict=True))
        flip, q = total < 0, min(abs(total) // 4096, 2**19)
        v, p = self.error, self.power
        gain = 4 if 10 * v < p else 3 if 10 * v < 3 * p else 2 if 10 * v < 6 * p else 1 if 20 * v < 17 * p else 0
        h = near // 2 + 4
        part = 4 * gain + (0 if 4 * q < h else 1 if 10 * q < 7 * h else 2 if 2 * q < 3 * h else 3)

        def sign_class(value: int) -> int:
            size = 0 if value == 0 else 2 if 32 * abs(value) > large else 1
            return 2 - size if (value < 0) != flip else 2 + size

        kernel = self.head.kernel
        k = (self.first_column + column) % kernel
        cells = [
            5 * bin_of(e4) + sign_class(x[0]),
            120 + 25 * sign_class(x[0]) + 5 * sign_class(x[1]) + sign_class(x[16]),
            245 + 9 * bin_of(near) + (9 * k // kernel if kernel > 9 else k),
            461 + 8 * bin_of(near) + min(abs(x[0]).bit_length(), 7),
            653 + 8 * bin_of(d) + min(abs(x[16]).bit_length(), 7),
            845 + 24 * part + bin_of(2 * q),
        ]

        def bit(node: int) -> int:
            return self._bit(coder, 25 * quantizer + node, cells, bin_of(near) // 2, part)

        value = self._value(coder, bit, quantizer, flip)
        self._learn(value, x, row, column, -q if flip else q)
        self.values.append(value)
        return value

    def _before(self, k: int) -> int:
        return self.values[-k] if 0 < k <= len(self.values) else 0

    @staticmethod
    def _value(coder: Coder, bit: Callable[[int], int], quantizer: int, flip: bool) -> int:
        if quantizer == 0 and not bit(0):
            return 0
        negative = bool(bit(1)) != flip
        e = 0
        while e < 15 and bit(2 + min(e, 7)):
            e += 1
        o = 1
        for place in range(e - 1, -1, -1):
            if place == e - 1:
                o = 2 * o + bit(9 + min(e, 7))
            elif place == e - 2:
                o = 2 * o + bit(17 + 2 * (min(e, 5) - 2) + o % 2)
            else:
                o = 2 * o + coder.bit(32768)
        return -(2 * o - quantizer) if negative else 2 * o - quantizer

    def _bit(self, coder: Coder, node: int, contexts: list[int], first: int, second: int) -> int:
        of, table = self.cells, stretch()
        places = [node * CELLS + cell for cell in contexts]
        inputs = [toward_zero(table[of.p[i] // 16] * (512 * of.n[i] // (2 * of.n[i] + 3)), 256) for i in places]
        sets = (of.first[node * FIRST + first], of.second[node * SECOND + second])
        logits = [limited(sum(w * each for w, each in zip(s, inputs, strict=True)) // 65536, LOGIT) for s in sets]
        bit = coder.bit(max(32, min(squash(sum(logits) // 2), 65504)))
        shift = 14 + self.head.mix_rate
        for weights, logit in zip(sets, logits, strict=True):
            error = 65536 * bit - squash(logit)
            for i, each in enumerate(inputs):
                weights[i] = limited(weights[i] + (error * each + 2 ** (shift - 1)) // 2**shift, WEIGHT)
        for i in places:
            rate = 655360 // (10 * of.n[i] + 16)
            of.p[i] += (65535 - of.p[i]) * rate // 65536 if bit else -(of.p[i] * rate // 65536)
            of.n[i] = min(of.n[i] + 1, 255)
        return bit

    def _learn(self, value: int, x: list[int], row: int, column: int, predicted: int) -> None:
        magnitude = 32 * min(abs(value), MOST_MAGNITUDE)
        self.e4 += magnitude - self.e4 // 4
        self.e16 += magnitude - self.e16 // 16
        self.e64 += magnitude - self.e64 // 64
        t = COLUMN_RATES[row] if row < len(COLUMN_RATES) else LAST_COLUMN_RATE
        self.down[column] = (self.down[column] * (256 - t) + magnitude * t) // 256
        error = 16 * value - predicted
        z = toward_zero(error * 208 * 2**self.head.step_rate, 4 + sum(each * each for each in x))
        self.weights = [limited(f + z * each, 2**20) for f, each in zip(self.weights, x, strict=True)]
        self.error += error * error - self.error // 64
        self.power += 256 * value * value - self.power // 64


def decode_tile(head: Head, data: Reader, tile: Tile, at: int = 0, bits: int = 8) -> list[int]:
    """Levels of a tile, from its data beginning ``at``."""
    string = data.data[at:]
    if string and string[-1] == 0:
        raise data.corrupt("the last byte of a tile is 0")
    coder, walk = Coder(string), Walk(head, tile.columns, tile.column)
    state, levels = 0, []
    for _ in range(tile.size):
        value = walk.level(coder, state % 2)
        if head.states > 1:
            h0, h1 = POLYNOMIALS[head.states]
            subset = (value + state % 2) // 2 % 2
            state = state // 2 ^ (h0 // 2 if state % 2 else 0) ^ (h1 // 2 if subset else 0)
            levels.append(value)
        else:
            levels.append(value // 2)
        if not -(2 ** (bits - 1)) <= levels[-1] < 2 ** (bits - 1):
            raise data.corrupt(f"a level of more than {bits} bits")
    if coder.at < len(string):
        raise data.corrupt(f"{len(string) - coder.at} bytes follow the last level of a tile")
    return levels

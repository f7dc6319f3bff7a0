"""Section 14: predicted levels, and residuals whose spread is predicted."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from neuralcodec.reference.frequencies import Frequencies, State
from neuralcodec.reference.huffman import read_step
from neuralcodec.reference.primitives import Reader
from neuralcodec.reference.registries import AUTOENCODER_MODEL
from neuralcodec.reference.tiles import read_index_and_data, tiling
from neuralcodec.reference.trellis import TrellisLevels

if TYPE_CHECKING:
    from neuralcodec.reference.stream import Tensor

WIDE, COLUMNS, SHARED, ZEROS = 1, 2, 4, 8
"""Bits of the mode."""

TABLES, SPREADS, M = 28, 64, 12

WHOLE, TUNED = 1, 3
"""Layouts of a model."""

UNIVERSAL = {1: ("autoencoder_1.bin", "6d3ec24af6f8b1da95a60af90b004855849d1ffaa3120c4472e0e326d42403ac")}
"""Section 14.2: by version, the file and its sha256."""


@dataclass(frozen=True)
class Class:
    """A class of a model."""

    weights: list[int]
    bias: int
    tables: list[Frequencies]


@dataclass(frozen=True)
class Tap:
    """A level that others are predicted from."""

    lag: int
    coefficient: int


@dataclass
class AutoencoderLevels(TrellisLevels):
    """An opened tensor of predicted levels, which has no scales of rows and columns.

    Attributes:
        prior: the class of the model; None where all levels are 0.
        kernel, fraction_bits, bias, taps: K, F and the predictor.
    """

    prior: Class | None = None
    kernel: int = 1
    fraction_bits: int = 0
    bias: int = 0
    taps: list[Tap] | None = None

    def tile_levels(self, i: int) -> list[int]:
        """The levels of a tile, in the order of the matrix that is cut."""
        tile = self.tiles[i]
        if self.prior is None or self.data is None:
            return [0] * tile.size
        several = self.tiles.columns <= self.tiles.length and min(self.tiles.rows_of_a_tile, self.tiles.rows) > 1
        return _decoded(self, self.prior, self.data[i], tile.columns, tile.size, several)


def open_autoencoder(tensor: Tensor, payload: Reader) -> AutoencoderLevels:
    """Reads the header of a payload, its tile index, and cuts its data in tiles."""
    mode = payload.u8("mode")
    if mode >> 4:
        raise payload.unsupported("reserved bits of the mode")
    if mode & SHARED and mode & ZEROS:
        raise payload.unsupported("a shared model where all levels are 0")
    if not tensor.dtype.rotated:
        raise payload.corrupt(f"levels for dtype {tensor.dtype}")
    rows, columns = tensor.rows, tensor.columns
    if mode & COLUMNS:
        tiles = tiling(payload, columns, rows, payload.varint("T"))
    else:
        tiles = tiling(payload, rows, columns, payload.varint("T"))
    opened = AutoencoderLevels(
        tensor.dtype, tiles, bool(mode & COLUMNS), bool(mode & WIDE), read_step(payload), None, None
    )
    if mode & ZEROS:
        if payload.left:
            raise payload.corrupt(f"{payload.left} bytes follow levels that are all 0")
        return opened
    if mode & SHARED:
        model = tensor.shared_object(payload, AUTOENCODER_MODEL)
        index = payload.u8("class")
        classes = read_model(model)
        if index >= len(classes):
            raise payload.corrupt(f"class {index} of {len(classes)}")
        if model.left:
            raise model.corrupt(f"{model.left} bytes follow the shared model")
    else:
        version = payload.varint("version of a universal model")
        if version >= 2**32:
            raise payload.corrupt(f"version {version} of the universal model")
        index = payload.u8("class")
        if version not in UNIVERSAL:
            raise payload.unsupported(f"version {version} of the universal model is not known here")
        classes = read_model(Reader(universal(version)))
        if index >= len(classes):
            raise payload.corrupt(f"class {index} of {len(classes)}")
    opened.prior = classes[index]
    opened.kernel = payload.u8("K") + 1
    byte = payload.u8("taps")
    if byte >> 7:
        raise payload.unsupported("a reserved bit beside the taps")
    count, opened.fraction_bits = byte & 15, byte >> 4
    if count > 8 or opened.fraction_bits > 4:
        raise payload.corrupt(f"{count} taps, F is {opened.fraction_bits}")
    opened.bias = _signed(payload.take(4, "bias"))
    if abs(opened.bias) >= 2**24:
        raise payload.corrupt(f"a bias of {opened.bias}")
    opened.taps = []
    for _ in range(count):
        tap = Tap(int.from_bytes(payload.take(2, "lag"), "little"), _signed(payload.take(1, "coefficient")))
        if tap.lag == 0:
            raise payload.corrupt("a lag of 0")
        opened.taps.append(tap)
    opened.data = read_index_and_data(payload, tiles.count)
    return opened


def universal(version: int) -> bytes:
    """Section 14.2: the model of a version."""
    name, sha256 = UNIVERSAL[version]
    data = resources.files("neuralcodec.models").joinpath(name).read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{name} is not the universal model of version {version}")
    return data


def read_model(reader: Reader) -> list[Class]:
    """Section 14.1."""
    layout, count = reader.u8("layout"), reader.u8("classes") + 1
    if layout not in {WHOLE, TUNED} or count > 16:
        raise reader.unsupported(f"layout {layout} of a model, {count} classes")
    return _whole_classes(reader, count) if layout == WHOLE else _tuned_classes(reader, count)


def _whole_classes(reader: Reader, count: int) -> list[Class]:
    heads = []
    numbers = reader.take(16 * count, "weights")
    offsets = reader.take(2 * TABLES * count, "offsets of tables")
    for i in range(count):
        one = numbers[16 * i : 16 * i + 16]
        weights, bias = [_signed(one[j : j + 2]) for j in range(0, 12, 2)], _signed(one[12:])
        if max(map(abs, weights)) > 8191 or abs(bias) >= 2**24:
            raise reader.corrupt(f"weights {weights} or bias {bias} of a class")
        heads.append((weights, bias))
    tables = []
    for i in range(TABLES * count):
        if int.from_bytes(offsets[2 * i : 2 * i + 2], "little") != reader.position:
            raise reader.corrupt(f"table {i} is not where its offset says")
        tables.append(_read_table(reader))
    return [Class(*heads[i], tables[TABLES * i : TABLES * (i + 1)]) for i in range(count)]


def _tuned_classes(reader: Reader, count: int) -> list[Class]:
    version = int.from_bytes(reader.take(4, "version of a universal model"), "little")
    if version not in UNIVERSAL:
        raise reader.unsupported(f"version {version} of the universal model is not known here")
    universals = read_model(Reader(universal(version)))
    classes = []
    for _ in range(count):
        index = reader.u8("class")
        if index >= len(universals):
            raise reader.corrupt(f"class {index} of {len(universals)}")
        base = universals[index]
        mask = int.from_bytes(reader.take(4, "mask"), "little")
        if mask >> TABLES:
            raise reader.unsupported("reserved bits of a mask")
        tables = [_read_table(reader) if mask >> t & 1 else base.tables[t] for t in range(TABLES)]
        classes.append(Class(base.weights, base.bias, tables))
    return classes


def _read_table(reader: Reader) -> Frequencies:
    tokens = reader.u8("tokens")
    if not 2 <= tokens <= 32:
        raise reader.corrupt(f"{tokens} tokens")
    data = reader.take(2 * tokens, "sums")
    sums = [0, *(int.from_bytes(data[j : j + 2], "little") for j in range(0, len(data), 2))]
    frequencies = [after - before for before, after in itertools.pairwise(sums)]
    if min(frequencies) < 1 or sums[-1] != 2**M:
        raise reader.corrupt("sums of frequencies do not ascend to 4096")
    return Frequencies(M, frequencies)


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _logarithm(f: int) -> int:
    """L."""
    v = 2 * f + 1
    e = v.bit_length() - 1
    return 16 * e + 16 * v // (1 << e) - 16


def _decoded(  # noqa: PLR0917
    opened: AutoencoderLevels, prior: Class, data: Reader, columns: int, size: int, several: bool
) -> list[int]:
    state = State(data)
    z = state.bits(5)
    start = (2 + z % 2) * 2 ** (z // 2) // 2
    fast, slow, last = start, 32 * start, start
    kernel, column = [start] * opened.kernel, [0] * columns
    slots = [table.slots for table in prior.tables]
    levels: list[int] = []
    most = 2**15 if opened.wide else 2**7
    for i in range(size):
        r, c = divmod(i, columns)
        x1, x2 = _logarithm(fast), _logarithm(slow // 32)
        x4 = _logarithm(column[c]) if r > 0 else x2
        x5 = _logarithm(kernel[c % opened.kernel]) if opened.kernel > 1 else x1
        features = [x1, x2, _logarithm(last), x4, x5, _logarithm(start)]
        total = prior.bias + sum(w * x for w, x in zip(prior.weights, features, strict=True))
        spread = min(max(total // 1024, 0), SPREADS - 1)
        raw = 0 if spread < TABLES else (spread - TABLES) // 4 + 1
        table = spread - 4 * raw
        token = state.symbol(prior.tables[table], slots[table])
        if token == len(prior.tables[table].frequencies) - 1:
            length = state.bits(4)
            token += 2**length - 1 + (state.bits(length) if length else 0)
        magnitude = 2**raw * token + (state.bits(raw) if raw else 0)
        residual = -magnitude if magnitude and state.bits(1) else magnitude
        predicted = opened.bias + 32
        for tap in opened.taps or ():
            if tap.lag <= i:
                predicted += tap.coefficient * levels[i - tap.lag]
        level = predicted // 64 + residual * 2**opened.fraction_bits
        if not -most <= level < most:
            raise data.corrupt(f"a level of {level}")
        levels.append(level)
        m = 16 * min(magnitude, 4095)
        fast += m // 4 - fast // 4
        slow += m - slow // 32
        last = m
        if several:
            column[c] = (slow // 32 + m) // 2 if r == 0 else column[c] - column[c] // 4 + m // 4
        j = c % opened.kernel
        kernel[j] += m // 4 - kernel[j] // 4
    if not state.at_end:
        raise data.corrupt(f"rANS ends in the state {state.x} with {len(state.words)} words left")
    return levels

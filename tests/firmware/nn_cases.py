"""Cases for the inference kernels: what probes/nn reads, and what numpy says that a layer must give.

The reference has integers of 64 bits and no tricks: windows are cut from a padded input, sums are exact, and
requantization is spelled out as TensorFlow Lite's specification has it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from plan_reference import log2_bits

import neuralcodec
from neuralcodec.firmware.pointwise import FUNCTIONS

_INT8 = """conv depthwise linear add max_pool average_pool rescale concat flatten softmax lstm gru
mul lookup log_softmax"""
_F32 = """conv linear add max_pool average_pool clamp concat flatten softmax lstm gru
mul function log_softmax"""
KINDS = {name: i for i, name in enumerate(_INT8.split(), 1)} | {
    f"{name}_f32": i for i, name in enumerate(_F32.split(), 21)
}
_NAMES = """stream checks plain bias multiplier shift in in2
checks2 plain2 bias2 multiplier2 shift2 cell floats table"""
BLOBS = _NAMES.split()
OK, ARG, CORRUPT, UNSUPPORTED, WORKSPACE, CHECKSUM = 0, -1, -3, -4, -6, -7


@dataclass
class Case:
    """A layer with its input.

    Attributes:
        kind: of KINDS.
        fields: by their place; case.c says what they are.
        blobs: arrays by name.
        expected: the output, or the status of an error.
    """

    kind: str
    fields: dict[int, int] = field(default_factory=dict)
    blobs: dict[str, Any] = field(default_factory=dict)
    expected: Any = None

    def data(self) -> bytes:
        """As case.c reads it."""
        fields = [self.fields.get(i, 0) for i in range(29)]
        out = [struct.pack("<3I29i", KINDS[self.kind], len(fields), len(BLOBS), *fields)]
        assert set(self.blobs) <= set(BLOBS)
        for name in BLOBS:
            blob = self.blobs.get(name, b"")
            raw = blob if isinstance(blob, bytes) else np.ascontiguousarray(blob).tobytes()
            out.append(struct.pack("<I", len(raw)) + raw + bytes(-len(raw) % 4))
        return b"".join(out)

    def board_data(self, *, count: bool = False) -> bytes:
        """With its size before it and what it must give behind; with count its instructions instead."""
        data = self.data()
        status, raw = (self.expected, b"") if isinstance(self.expected, int) else (OK, self.expected.tobytes())
        tail = struct.pack("<iI", 0, 0xFFFFFFFF) if count else struct.pack("<iI", status, len(raw)) + raw
        return struct.pack("<I", len(data)) + data + tail + bytes(-len(tail) % 4)


def host_outputs(output: bytes) -> list[int | bytes]:
    """What the program on the host wrote: a status below 0, or the bytes, of each case."""
    found: list[int | bytes] = []
    while output:
        status, size = struct.unpack_from("<iI", output)
        found.append(output[8 : 8 + size] if status == OK else status)
        output = output[8 + size :]
    return found


# ---- Weights ----


@dataclass
class Weights:
    """Weights of one tensor.

    Attributes:
        levels: int8 or float32, [rows, cols], as PyTorch orders them.
        stream: of a model whose only tensor they are; empty: plain.
        tile: weights in a full tile.
        cut: whether tiles are pieces of rows.
        columns: whether they are coded down the columns.
        tables: bytes of the decoder's tables.
        checks: the checksum of each tile.
    """

    levels: np.ndarray
    stream: bytes = b""
    tile: int = 0
    cut: bool = False
    columns: bool = False
    tables: int = 0
    checks: np.ndarray | None = None


CODINGS: Mapping[str, dict[str, object]] = {
    "huffman": {"codec": "huffman", "bits": 4},
    "huffman8": {"codec": "huffman", "bits": 8},
    "kmeans.fixed": {"codec": "kmeans", "clusters": 16, "centroids": "int8", "coding": "fixed"},
    "kmeans.huffman": {"codec": "kmeans", "clusters": 11, "centroids": "int8", "coding": "huffman"},
    "kmeans.rans": {"codec": "kmeans", "clusters": 11, "centroids": "int8", "coding": "rans"},
    "trellis.contexts": {"codec": "trellis", "coding": "contexts", "scan": "rows", "relative_step": 0.2},
    "trellis.rans": {"codec": "trellis", "coding": "rans", "scan": "rows", "relative_step": 0.3},
    "trellis.prefix": {"codec": "trellis", "coding": "prefix", "scan": "rows", "relative_step": 0.3},
    "columns": {"codec": "trellis", "coding": "rans", "scan": "columns", "relative_step": 0.3},
    "raw": {"codec": "raw"},
    "lossless": {"codec": "huffman", "lossless": True},
}
MIN_WEIGHTS = 256
"""Smaller tensors are not quantized, so lossy codings want more."""


def checksum(levels: np.ndarray) -> int:
    """Of a tile."""
    raw = levels.astype(np.int8).tobytes()
    a = b = 0
    for (word,) in struct.iter_unpack("<I", raw + bytes(-len(raw) % 4)):
        a = (a + word) & 0xFFFFFFFF
        b = (b + a) & 0xFFFFFFFF
    r = (a * 0x9E3779B1 ^ (b << 13 | b >> 19)) & 0xFFFFFFFF
    return ((r ^ r >> 15) * 0x85EBCA77 & 0xFFFFFFFF) >> 16


def make_weights(shape: Sequence[int], coding: str, tile: int, rng: np.random.Generator) -> Weights:
    """Weights of a shape; coding "plain" is none."""
    return make_tensors([shape], coding, tile, rng)[0]


def make_tensors(shapes: Sequence[Sequence[int]], coding: str, tile: int, rng: np.random.Generator) -> list[Weights]:
    """Weights of one stream, in its order."""
    sources = [torch.from_numpy(rng.standard_normal(shape).astype(np.float32)) for shape in shapes]
    exact = coding in ("raw", "lossless", "plain")
    if exact:
        sources = [(source * 40).clamp(-128, 127).to(torch.int8) for source in sources]
    matrices = [source.numpy().reshape(len(source), -1) for source in sources]
    if coding == "plain":
        return [Weights(m) for m in matrices]
    options = dict(CODINGS[coding]) | ({} if coding == "raw" else {"tile": tile})
    cm = neuralcodec.encode({f"w{i}": source for i, source in enumerate(sources)}, **options)  # type: ignore[arg-type]
    demand = cm.demand()
    tables = max(demand.slots, 1028 * demand.tables)
    if not exact:
        matrices = [cm.levels(f"w{i}")[0].numpy().reshape(m.shape) for i, m in enumerate(matrices)]
    return [_weights_of(cm, f"w{i}", matrix, tables) for i, matrix in enumerate(matrices)]


def _weights_of(cm: neuralcodec.CompressedModel, name: str, matrix: np.ndarray, tables: int) -> Weights:
    assert matrix.dtype == np.int8
    columns = cm.is_down_columns(name)
    coded = matrix.T if columns else matrix
    size = cm.decode_tile(name, 0).numel()
    lines = coded.reshape(1, -1) if coded.shape[1] <= size else coded
    tiles = [line[i : i + size] for line in lines for i in range(0, line.size, size)]
    checks = np.array([checksum(t) for t in tiles], np.uint16)
    return Weights(matrix, cm.to_bytes(), size, coded.shape[1] > size, columns, tables, checks)


def align(size: int) -> int:
    return (size + 3) & ~3


def rows_scratch(w: Weights, taps: int, size: int = 1) -> int:
    cols = w.levels.shape[1]
    if not w.stream:
        return 0
    if taps > 1 and cols > taps:
        return align(w.tile * size) + align(cols * size)
    return align(max(w.tile, cols) * size)


def conv_scratch(w: Weights, taps: int) -> int:
    return rows_scratch(w, taps) + (4 * taps if taps > 1 and w.levels.shape[1] > taps else 0)


def depthwise_scratch(w: Weights, taps: int) -> int:
    return rows_scratch(w, taps) + 8 * taps


def linear_scratch(w: Weights, batch: int, size: int = 1) -> int:
    sums = batch * w.levels.shape[0] if w.columns else batch if w.cut else 0
    return (align(w.tile * size) + 4 * sums) if w.stream else 0


def put_weights(case: Case, w: Weights, plain: np.ndarray, checks: bool, second: bool = False) -> None:
    """Adds weights to a case; plain: in the order of kernels."""
    suffix = "2" if second else ""
    if w.stream:
        case.blobs["stream"] = w.stream
        if checks:
            case.blobs["checks" + suffix] = w.checks
    else:
        case.blobs["plain" + suffix] = plain
    case.fields[4], case.fields[6 if second else 5] = w.levels.shape
    case.fields[1] = w.tables


# ---- Arithmetic ----


def high_mul(a: np.ndarray, b: Any) -> np.ndarray:
    """SaturatingRoundingDoublingHighMul."""
    product = a.astype(np.int64) * np.asarray(b, np.int64)
    nudge = np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    total = product + nudge
    return np.where(total >= 0, total >> 31, -(-total >> 31))  # / 2^31, towards zero


def divide_pot(x: np.ndarray, exponent: Any) -> np.ndarray:
    """RoundingDivideByPOT."""
    exponent = np.asarray(exponent, np.int64)
    mask = (np.int64(1) << exponent) - 1
    remainder = x & mask
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + (remainder > threshold)


def wrap(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, np.int64).astype(np.int32).astype(np.int64)


def rescale(x: np.ndarray, multiplier: Any, shift: Any) -> np.ndarray:
    """MultiplyByQuantizedMultiplier, whose shift to the left saturates."""
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    return divide_pot(high_mul(saturate(np.asarray(x, np.int64) << left, 32), multiplier), right)


@dataclass
class Requant:
    """As ncd_nn_requant."""

    bias: np.ndarray | None
    multiplier: np.ndarray
    shift: np.ndarray
    in_zero: int
    out_zero: int
    min: int
    max: int

    def put(self, case: Case) -> None:
        if self.bias is not None:
            case.blobs["bias"] = self.bias.astype(np.int32)
        case.blobs["multiplier"] = self.multiplier.astype(np.int32)
        case.blobs["shift"] = self.shift.astype(np.int8)
        case.fields.update({23: int(len(self.multiplier) > 1), 24: self.in_zero})
        case.fields.update({25: self.out_zero, 26: self.min, 27: self.max})

    def apply(self, sums: np.ndarray) -> np.ndarray:
        """sums: [..., rows]."""
        total = wrap(sums + (0 if self.bias is None else self.bias))
        y = rescale(total, self.multiplier, self.shift) + self.out_zero
        return np.clip(y, self.min, self.max).astype(np.int8)


def make_multipliers(count: int, sums: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers and shifts that bring sums of this size to the range of int8, more or less."""
    scale = 60.0 / max(sums, 1.0) * 2.0 ** rng.uniform(-2, 2, count)
    mantissa, exponent = np.frexp(scale)
    multiplier = np.minimum(np.round(mantissa * 2**31), 2**31 - 1).astype(np.int64)
    return multiplier, np.clip(exponent, -31, 30).astype(np.int64)


def make_requant(rows: int, sums: float, rng: np.random.Generator) -> Requant:
    multiplier, shift = make_multipliers(rows if rng.integers(2) else 1, sums, rng)
    multiplier *= rng.choice([1, -1], len(multiplier))  # factors of norms have either sign
    low, high = sorted(int(v) for v in rng.integers(-128, 128, 2))
    if rng.integers(2):
        low, high = -128, 127
    zero = [-128, 0, int(rng.integers(-128, 128))][rng.integers(3)]
    bias = rng.integers(-int(sums) - 1, int(sums) + 2, rows) if rng.integers(4) else None
    return Requant(bias, multiplier, shift, zero, int(rng.integers(-128, 128)), low, high)


@dataclass
class Window:
    """As ncd_nn_window."""

    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int
    kernel_w: int
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    pad_top: int = 0
    pad_left: int = 0
    groups: int = 1

    def put(self, case: Case) -> None:
        case.fields.update(dict(enumerate(vars(self).values(), 8)))

    @property
    def taps(self) -> int:
        return self.kernel_h * self.kernel_w

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column that each output's taps read, [out, kernel]."""
        y = np.arange(self.out_h)[:, None] * self.stride_h - self.pad_top + np.arange(self.kernel_h) * self.dilation_h
        x = np.arange(self.out_w)[:, None] * self.stride_w - self.pad_left + np.arange(self.kernel_w) * self.dilation_w
        return y, x

    def patches(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs of each output, [out_h, out_w, kernel_h, kernel_w, in_c], 0 outside; and which are inside."""
        rows, cols = self.places()
        inside_y, inside_x = (rows >= 0) & (rows < self.in_h), (cols >= 0) & (cols < self.in_w)
        picked = x[np.clip(rows, 0, self.in_h - 1)][:, :, np.clip(cols, 0, self.in_w - 1)]  # oh, kh, ow, kw, c
        inside = inside_y[:, :, None, None] & inside_x[None, None]
        picked = np.where(inside[..., None], picked, 0)
        return picked.transpose(0, 2, 1, 3, 4), inside.transpose(0, 2, 1, 3)


def conv_sums(window: Window, levels: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Sums of a convolution whose zero point is 0, [out_h, out_w, out_c]."""
    channels = window.in_c // window.groups
    weights = levels.reshape(window.groups, -1, channels, window.kernel_h, window.kernel_w)
    patches, _ = window.patches(x)
    patches = patches.reshape(*patches.shape[:4], window.groups, channels)
    kind = np.float64 if x.dtype.kind == "f" else np.int64
    sums = np.einsum("abyxgc,gocyx->abgo", patches.astype(kind), weights.astype(kind), optimize=True)
    return sums.reshape(window.out_h, window.out_w, window.out_c)


def order(window: Window, levels: np.ndarray) -> np.ndarray:
    """As plain weights lie, [out][kernel_h][kernel_w][in / groups]."""
    shape = (window.out_c, window.in_c // window.groups, window.kernel_h, window.kernel_w)
    return np.ascontiguousarray(levels.reshape(shape).transpose(0, 2, 3, 1))


def conv_case(
    kind: str, window: Window, w: Weights, requant: Requant, x: np.ndarray, *, checks: bool = True, spare: int = 0
) -> Case:
    """A convolution, or a depthwise one; spare: scratch more than needed."""
    case = Case(kind)
    window.put(case)
    put_weights(case, w, order(window, w.levels), checks)
    requant.put(case)
    case.blobs["in"] = x
    case.fields[0] = (conv_scratch if kind == "conv" else depthwise_scratch)(w, window.taps) + spare
    case.fields[2] = window.out_h * window.out_w * window.out_c
    case.expected = requant.apply(conv_sums(window, w.levels, x.astype(np.int64) - requant.in_zero))
    return case


def linear_case(w: Weights, requant: Requant, x: np.ndarray, *, checks: bool = True, spare: int = 0) -> Case:
    """A fully connected layer; x: [batch, cols]."""
    case = Case("linear")
    put_weights(case, w, w.levels, checks)
    requant.put(case)
    case.blobs["in"] = x
    case.fields[8] = x.shape[0]
    case.fields[0] = linear_scratch(w, x.shape[0]) + spare
    case.fields[2] = x.shape[0] * w.levels.shape[0]
    case.expected = requant.apply((x.astype(np.int64) - requant.in_zero) @ w.levels.astype(np.int64).T)
    return case


def pool_case(kind: str, window: Window, x: np.ndarray, rng: np.random.Generator, shift_by: int = 0) -> Case:
    """A pool of int8; ``shift_by`` as of :func:`add_case`."""
    case = Case(kind)
    window.put(case)
    low, high = sorted(int(v) for v in rng.integers(-128, 128, 2))
    in_zero, out_zero, outside = int(rng.integers(-128, 128)), int(rng.integers(-128, 128)), int(rng.integers(2))
    case.fields.update({23: outside, 24: in_zero, 25: out_zero, 26: low, 27: high})
    case.fields[2] = window.out_h * window.out_w * window.in_c
    case.blobs["in"] = x
    patches, inside = window.patches(x.astype(np.int64) if kind == "max_pool" else x.astype(np.int64) - in_zero)
    count = inside.sum((2, 3))[..., None]
    if kind == "max_pool":
        y = np.where(inside[..., None], patches, -(1 << 40)).max((2, 3))
    else:
        pairs = [make_multipliers(1, 60.0 * n, rng) for n in range(1, window.taps + 1)]
        multiplier, shift = (np.concatenate(part) for part in zip(*pairs, strict=True))
        shift = np.minimum(shift + shift_by, 30)
        n = np.full_like(count, window.taps) if outside else np.maximum(count, 1)
        least, most = int(n.min()), int(n.max())
        case.fields[28] = least
        case.blobs["multiplier"] = multiplier[least - 1 : most].astype(np.int32)
        case.blobs["shift"] = shift[least - 1 : most].astype(np.int8)
        y = rescale(patches.sum((2, 3)), multiplier[n - 1], shift[n - 1]) + out_zero
    case.expected = ARG if (count == 0).any() else np.clip(y, low, high).astype(np.int8)
    return case


# ---- Layers without weights ----


def add_case(rng: np.random.Generator, size: int, shift_by: int = 0) -> Case:
    """Elementwise sum; ``shift_by``: how much further to the left than what gives int8."""
    a, b = (rng.integers(-128, 128, size).astype(np.int8) for _ in range(2))
    zeros = [int(v) for v in rng.integers(-128, 128, 3)]
    low, high = sorted(int(v) for v in rng.integers(-128, 128, 2))
    multipliers, shifts = (p.tolist() for p in make_multipliers(3, 60.0, rng))
    shifts = [min(shifts[0], 0), min(shifts[1], 0), min(shifts[2] - 20 + shift_by, 30)]
    case = Case("add", dict(enumerate([size, *zeros, low, high, *multipliers, *shifts], 8)), {"in": a, "in2": b})
    case.fields[2] = size
    x, y = (
        rescale((v.astype(np.int64) - zero) << 20, m, s)
        for v, zero, m, s in zip((a, b), zeros[:2], multipliers, shifts, strict=False)
    )
    total = rescale(wrap(x + y), multipliers[2], shifts[2]) + zeros[2]
    case.expected = np.clip(total, low, high).astype(np.int8)
    return case


def mul_case(rng: np.random.Generator, outer: int, size: int, inner: int, shift_by: int = 0) -> Case:
    """Elementwise product; ``shift_by`` as of :func:`add_case`."""
    a = rng.integers(-128, 128, (outer, size, inner)).astype(np.int8)
    b = rng.integers(-128, 128, size).astype(np.int8)
    zeros = [int(v) for v in rng.integers(-128, 128, 3)]
    low, high = sorted(int(v) for v in rng.integers(-128, 128, 2))
    (multiplier,), (shift,) = (p.tolist() for p in make_multipliers(1, 60.0 * 60, rng))
    shift = min(shift + shift_by, 30)
    fields = dict(enumerate([outer, size, inner, multiplier, shift, *zeros, low, high], 8))
    x = (a.astype(np.int64) - zeros[0]) * (b.astype(np.int64) - zeros[1])[:, None]
    y = np.clip(rescale(x, multiplier, shift) + zeros[2], low, high).astype(np.int8)
    return Case("mul", {2: a.size, **fields}, {"in": a, "in2": b}, y)


def lookup_case(rng: np.random.Generator, size: int) -> Case:
    """A function by a table."""
    table = rng.integers(-128, 128, 256).astype(np.int8)
    x = rng.integers(-128, 128, size).astype(np.int8)
    x[:2] = [-128, 127][: len(x)]
    return Case("lookup", {2: size, 8: size}, {"in": x, "table": table}, table[x.astype(np.int64) + 128])


def rescale_case(rng: np.random.Generator, size: int, shift_by: int = 0) -> Case:
    """To another scale; ``shift_by`` as of :func:`add_case`."""
    x = rng.integers(-128, 128, size).astype(np.int8)
    (multiplier,), (shift,) = (p.tolist() for p in make_multipliers(1, 60.0, rng))
    shift = min(shift + shift_by, 30)
    low, high = sorted(int(v) for v in rng.integers(-128, 128, 2))
    in_zero, out_zero = (int(v) for v in rng.integers(-128, 128, 2))
    fields = {2: size, 8: size, 9: multiplier, 10: shift, 24: in_zero, 25: out_zero, 26: low, 27: high}
    y = rescale(x.astype(np.int64) - in_zero, multiplier, shift) + out_zero
    return Case("rescale", fields, {"in": x}, np.clip(y, low, high).astype(np.int8))


def concat_case(rng: np.random.Generator, positions: int, size: int, floats: bool = False, shift_by: int = 0) -> Case:
    """One input of a concat; what others write stays 0. ``shift_by`` as of :func:`add_case`."""
    offset = int(rng.integers(5))
    stride = offset + size + int(rng.integers(5))
    (multiplier,), (shift,) = (p.tolist() for p in make_multipliers(1, 60.0, rng))
    shift = min(shift + shift_by, 30)
    in_zero, out_zero = (int(v) for v in rng.integers(-128, 128, 2))
    fields = dict(enumerate([positions, size, stride, offset, multiplier, shift, in_zero, out_zero], 8))
    kind = np.float32 if floats else np.int8
    fields[2] = positions * stride * kind().itemsize
    x = rng.integers(-128, 128, (positions, size)).astype(kind)
    y = rescale(x.astype(np.int64) - in_zero, multiplier, shift) + out_zero
    expected = np.zeros((positions, stride), kind)
    expected[:, offset : offset + size] = x if floats else np.clip(y, -128, 127).astype(np.int8)
    return Case("concat_f32" if floats else "concat", fields, {"in": x}, expected)


def flatten_case(rng: np.random.Generator, positions: int, channels: int, floats: bool = False) -> Case:
    """Channels first."""
    kind = np.float32 if floats else np.int8
    x = rng.integers(-128, 128, (positions, channels)).astype(kind)
    fields = {2: x.nbytes, 8: positions, 9: channels}
    return Case("flatten_f32" if floats else "flatten", fields, {"in": x}, np.ascontiguousarray(x.T))


def softmax_case(rng: np.random.Generator, count: int, size: int) -> Case:
    """Softmax of int8."""
    x = rng.integers(-128, 128, (count, size)).astype(np.int8)
    table = np.round(2.0**24 * np.exp(-np.arange(256) * rng.uniform(0.001, 0.3))).astype(np.uint32)
    e = table[x.max(1, keepdims=True).astype(np.int64) - x].astype(np.int64)
    total = e.sum(1, keepdims=True)
    expected = (np.minimum(255, (e * 256 + total // 2) // total) - 128).astype(np.int8)
    return Case("softmax", {2: x.size, 8: count, 9: size}, {"in": x, "table": table}, expected)


def log_softmax_case(rng: np.random.Generator, count: int, size: int) -> Case:
    """Logarithm of the softmax of int8."""
    x = rng.integers(-128, 128, (count, size)).astype(np.int8)
    scale = rng.uniform(0.001, 0.3)
    table = np.round(2.0**24 * np.exp(-np.arange(256) * scale)).astype(np.uint32)
    below = x.max(1, keepdims=True).astype(np.int64) - x
    step, log = (int(rng.integers(0, 2 ** rng.integers(1, 33))) for _ in range(2))
    zero = int(rng.integers(-128, 128))
    expected = np.empty((count, size), np.int8)
    for row in range(count):
        found = log2_bits(int(table[below[row]].astype(np.int64).sum()))
        less = [(int(d) * step + found * log + 2**23) >> 24 for d in below[row]]
        expected[row] = [max(zero - each, -128) for each in less]
    # Words of 32 bits without a sign, as they are stored.
    fields = {2: x.size, 8: count, 9: size, 10: step - (step >> 31 << 32), 11: log - (log >> 31 << 32), 12: zero}
    return Case("log_softmax", fields, {"in": x, "table": table}, expected)


# ---- Cells ----


def round_shift(x: np.ndarray, bits: int) -> np.ndarray:
    return np.floor_divide(x + (1 << bits >> 1), 1 << bits)


def interpolate(function: Any, x: np.ndarray) -> np.ndarray:
    """At x / 4096 not below 0, from a table of 257."""
    table = np.minimum(32767, np.floor(32768 * function(np.arange(257) / 32) + 0.5)).astype(np.int64)
    k, rest = x >> 7, x & 127
    return table[k] + ((table[k + 1] - table[k]) * rest + 64 >> 7)


def sigmoid_q15(x: np.ndarray) -> np.ndarray:
    y = interpolate(lambda v: 1 / (1 + np.exp(-v)), np.minimum(np.abs(x), 32767))
    return np.where(x < 0, 32768 - y, y)


def tanh_q15(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * interpolate(np.tanh, np.minimum(np.abs(x), 32767))


def saturate(x: np.ndarray, bits: int) -> np.ndarray:
    return np.clip(x, -(1 << bits - 1), (1 << bits - 1) - 1)


def cell_case(  # noqa: PLR0917 (what a cell is made of)
    kind: str,
    weights: Sequence[Weights],
    steps: int,
    fraction: int,
    rng: np.random.Generator,
    headroom: int = 0,
    shift_by: int | None = None,
) -> Case:
    """Steps of an int8 cell; weights: of the input and of the hidden state, whose stream has both.

    ``shift_by``: how much further to the left than multipliers that give int8 those of the gates go; None for about
    as much as gates want.
    """
    gates = 4 if kind == "lstm" else 3
    hidden, inputs = weights[1].levels.shape[1], weights[0].levels.shape[1]
    rows = gates * hidden
    case = Case(kind, {8: inputs, 9: hidden, 10: fraction, 11: steps, 14: headroom})
    parts = []
    for second, w in enumerate(weights):
        put_weights(case, w, w.levels, True, bool(second))
        per_row = int(rng.integers(2))
        multiplier, shift = make_multipliers(rows if per_row else 1, 64.0 * 64 * w.levels.shape[1] ** 0.5, rng)
        shift = np.minimum(shift + (int(rng.integers(4, 10)) if shift_by is None else shift_by), 30)
        bias = rng.integers(-5000, 5000, rows)
        suffix = "2" if second else ""
        case.blobs |= {"multiplier" + suffix: multiplier.astype(np.int32), "shift" + suffix: shift.astype(np.int8)}
        case.blobs["bias" + suffix] = bias.astype(np.int32)
        case.fields[12 + second] = per_row
        parts.append((w.levels.astype(np.int64), bias, multiplier, shift))
    case.fields[1] = max(w.tables for w in weights)
    case.fields[7] = 1
    case.fields[0] = max(linear_scratch(w, 1) for w in weights) + 8 * hidden
    xs = rng.integers(-128, 128, (steps, inputs)).astype(np.int8)
    state = rng.integers(-128, 128, hidden).astype(np.int8)
    cell = rng.integers(-32768, 32768, hidden).astype(np.int16)
    case.blobs |= {"in": xs, "in2": state}
    h, c = state.astype(np.int64), cell.astype(np.int64)
    for x in xs:
        a, b = (
            saturate(rescale(levels @ v + bias, multiplier, shift), 16).reshape(gates, hidden)
            for (levels, bias, multiplier, shift), v in zip(parts, (x.astype(np.int64), h), strict=True)
        )
        both = saturate(saturate(a + b, 16) << headroom, 16)
        if kind == "lstm":
            i, f, o = (sigmoid_q15(both[k]) for k in (0, 1, 3))
            added = round_shift(i * tanh_q15(both[2]), 30 - fraction)
            c = saturate(round_shift(f * c, 15) + added, 16)
            wide = saturate(c << (12 - fraction), 16) if fraction < 12 else round_shift(c, fraction - 12)
            h = saturate(round_shift(o * tanh_q15(wide), 23), 8)
        else:
            r, z = sigmoid_q15(both[0]), sigmoid_q15(both[1])
            n = tanh_q15(saturate(saturate(a[2] + round_shift(r * b[2], 15), 16) << headroom, 16))
            h = saturate(round_shift((32768 - z) * n + z * 256 * h, 23), 8)
    raw = h.astype(np.int8).tobytes()
    if kind == "lstm":
        case.blobs["cell"] = cell
        raw += c.astype(np.int16).tobytes()
    case.fields[2] = len(raw)
    case.expected = np.frombuffer(raw, np.int8)
    return case


# ---- Floats ----

FLOAT_CODINGS: Mapping[str, dict[str, object]] = {
    "huffman": {"codec": "huffman", "bits": 4},
    "kmeans.fixed": {"codec": "kmeans", "clusters": 16, "coding": "fixed"},
    "kmeans.int8": CODINGS["kmeans.huffman"],
    "trellis.contexts": {"codec": "trellis", "coding": "contexts", "scan": "rows", "relative_step": 0.001},
    "columns": CODINGS["columns"],
    "raw": {"codec": "raw"},
    "lossless": {"codec": "huffman", "lossless": True},
}


def make_floats(shapes: Sequence[Sequence[int]], coding: str, tile: int, rng: np.random.Generator) -> list[Weights]:
    """Float weights of one stream, in its order."""
    sources = {f"w{i}": torch.from_numpy(rng.standard_normal(s).astype(np.float32)) for i, s in enumerate(shapes)}
    if coding == "plain":
        return [Weights(source.numpy().reshape(len(source), -1)) for source in sources.values()]
    options = dict(FLOAT_CODINGS[coding]) | ({} if coding == "raw" else {"tile": tile})
    cm = neuralcodec.encode(sources, **options)  # type: ignore[arg-type]
    demand = cm.demand()
    found = []
    for name, source in sources.items():
        matrix = cm.decode(name).numpy().reshape(len(source), -1)
        columns = cm.is_down_columns(name)
        size, width = cm.decode_tile(name, 0).numel(), matrix.shape[0 if columns else 1]
        tables = max(demand.slots, 4 * 1028 * demand.tables)
        found.append(Weights(matrix, cm.to_bytes(), size, width > size, columns, tables))
    return found


def affine(case: Case, rows: int, rng: np.random.Generator, sums: np.ndarray) -> None:
    """Bias, scale and clamp, of which some are left out."""
    low, high = (-3.0, 5.0) if rng.integers(2) else (-3e38, 3e38)
    case.blobs["floats"] = np.array([low, high], np.float32)
    y = sums
    if rng.integers(2):
        case.blobs["multiplier"] = scale = rng.uniform(0.5, 2, rows).astype(np.float32)
        y = y * scale
    if rng.integers(2):
        case.blobs["bias"] = bias = rng.standard_normal(rows).astype(np.float32)
        y = y + bias
    case.expected = np.clip(y, low, high).astype(np.float32)
    case.fields[2] = case.expected.nbytes


def conv_f32_case(window: Window, w: Weights, rng: np.random.Generator) -> Case:
    """A convolution of floats."""
    case = Case("conv_f32")
    window.put(case)
    put_weights(case, w, order(window, w.levels), False)
    case.blobs["in"] = x = rng.standard_normal((window.in_h, window.in_w, window.in_c)).astype(np.float32)
    case.fields[0] = rows_scratch(w, window.taps, 4)
    affine(case, window.out_c, rng, conv_sums(window, w.levels, x))
    return case


def linear_f32_case(w: Weights, batch: int, rng: np.random.Generator) -> Case:
    """A fully connected layer of floats."""
    case = Case("linear_f32")
    put_weights(case, w, w.levels, False)
    case.blobs["in"] = x = rng.standard_normal((batch, w.levels.shape[1])).astype(np.float32)
    case.fields[8] = batch
    case.fields[0] = linear_scratch(w, batch, 4)
    affine(case, w.levels.shape[0], rng, x.astype(np.float64) @ w.levels.T.astype(np.float64))
    return case


def pool_f32_case(kind: str, window: Window, rng: np.random.Generator) -> Case:
    """A pool of floats."""
    case = Case(kind + "_f32")
    window.put(case)
    case.fields[23] = outside = int(rng.integers(2))
    case.blobs["in"] = x = rng.standard_normal((window.in_h, window.in_w, window.in_c)).astype(np.float32)
    patches, inside = window.patches(x)
    count = inside.sum((2, 3))[..., None]
    if kind == "max_pool":
        y = np.where(inside[..., None], patches, -np.inf).max((2, 3))
    else:
        y = patches.sum((2, 3), dtype=np.float64) / (window.taps if outside else np.maximum(count, 1))
    case.fields[2] = 4 * y.size
    case.expected = ARG if (count == 0).any() else y.astype(np.float32)
    return case


def elementwise_f32_cases(rng: np.random.Generator, count: int, size: int) -> list[Case]:
    """Sum, product, clamp, softmax, and all functions."""
    a, b = (rng.standard_normal((count, size)).astype(np.float32) for _ in range(2))
    floats = np.array([-0.5, 0.75], np.float32)
    factors = rng.standard_normal(size).astype(np.float32)
    e = np.exp(a.astype(np.float64) - a.max(1, keepdims=True))
    return [
        Case("add_f32", {2: a.nbytes, 8: a.size}, {"in": a, "in2": b, "floats": floats}, np.clip(a + b, *floats)),
        Case("clamp_f32", {2: a.nbytes, 8: a.size}, {"in": a, "floats": floats}, np.clip(a, *floats)),
        Case("softmax_f32", {2: a.nbytes, 8: count, 9: size}, {"in": a}, (e / e.sum(1, keepdims=True)).astype(a.dtype)),
        Case(
            "log_softmax_f32",
            {2: a.nbytes, 8: count, 9: size},
            {"in": a},
            torch.from_numpy(a).double().log_softmax(1).float().numpy(),
        ),
        Case(
            "mul_f32",
            {2: a.nbytes, 8: count, 9: size, 10: 1},
            {"in": a, "in2": factors, "floats": floats},
            np.clip(a * factors, *floats),
        ),
        *(function_f32_case(place, kind, rng, size) for place, kind in enumerate(C_FUNCTIONS)),
    ]


C_FUNCTIONS = [kind for kind in FUNCTIONS if kind != "clamp"]
NUMBERS = {"affine": (0.3, -1.0), "elu": (1.25, 1.1, 0.9), "leaky_relu": (0.1,), "softplus": (1.5, 20.0)}


def function_f32_case(place: int, kind: str, rng: np.random.Generator, size: int) -> Case:
    """A function of floats, small ones and those at which exponentials overflow."""
    x = (rng.standard_normal(size) * rng.choice([0.1, 3, 30, 1000], size)).astype(np.float32)
    numbers = np.array(NUMBERS.get(kind, ()), np.float32)
    y = FUNCTIONS[kind](torch.from_numpy(x).double(), *numbers.tolist()).float().numpy()
    return Case("function_f32", {2: x.nbytes, 8: size, 9: place}, {"in": x, "floats": numbers}, y)


def cell_f32_case(kind: str, weights: Sequence[Weights], steps: int, rng: np.random.Generator) -> Case:
    """Steps of a cell of floats, against PyTorch's."""
    hidden, inputs = weights[1].levels.shape[1], weights[0].levels.shape[1]
    gates = 4 if kind == "lstm" else 3
    case = Case(kind + "_f32", {7: 1, 8: inputs, 9: hidden, 11: steps})
    cell = (torch.nn.LSTMCell if kind == "lstm" else torch.nn.GRUCell)(inputs, hidden).double()
    for second, w in enumerate(weights):
        put_weights(case, w, w.levels, False, bool(second))
        bias = rng.standard_normal(gates * hidden).astype(np.float32) * int(rng.integers(2))
        case.blobs["bias2" if second else "bias"] = bias
        suffix = "hh" if second else "ih"
        getattr(cell, f"weight_{suffix}").data.copy_(torch.from_numpy(w.levels.copy()))
        getattr(cell, f"bias_{suffix}").data.copy_(torch.from_numpy(bias))
    case.fields[0] = max(linear_scratch(w, 1, 4) for w in weights) + 16 * hidden
    xs, state, c = (rng.standard_normal(s).astype(np.float32) for s in ((steps, inputs), hidden, hidden))
    case.blobs |= {"in": xs, "in2": state}
    h, kept = torch.from_numpy(state)[None].double(), torch.from_numpy(c)[None].double()
    with torch.no_grad():
        for x in xs:
            v = torch.from_numpy(x)[None].double()
            if kind == "lstm":
                h, kept = cell(v, (h, kept))
            else:
                h = cell(v, h)
    if kind == "lstm":
        case.blobs["cell"] = c
        h = torch.cat([h, kept])
    case.expected = h.float().numpy()
    case.fields[2] = case.expected.nbytes
    return case

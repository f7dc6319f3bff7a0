"""Fixed-width look-up tables, as TensorFlow Lite Micro decodes them.

A matrix is quantized to 8-bit levels with one scale, or one a row. Then 2^bits of the levels are chosen, by k-means,
for the whole matrix or for each row, and a weight is stored as the index of its level in ``bits`` bits.

The file: a JSON list of names, shapes, types, bits and tables with its length before it, then the bytes of one tensor
after the other: scales (float32), tables (int8), indices (big-endian bit order); or values as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np

Arrays = dict[str, np.ndarray]

TITLE = "look-up tables (int8, k-means)"
KIND = "lossy"
REQUIREMENTS = ()
QUICK = tuple({"bits": bits, "tables": tables} for bits in (2, 4, 6) for tables in ("tensor", "row"))
FULL = tuple({"bits": bits, "tables": tables} for bits in range(2, 8) for tables in ("tensor", "row"))
ADVICE = (
    "TensorFlow Lite Micro, docs/compression.md: tables of 1 to 7 bits, one a tensor, or one a row where the scales "
    "are one a row; weights are to be binned before, here by k-means. Its tables are of int8, as the kernels' weights. "
    "Of its file format only what a decoder needs is counted. Matrices of under 256 weights, biases and norms stay "
    "float32."
)
hull = True

FEW_WEIGHTS = 256
ITERATIONS = 60
TOP = 127
LEVELS = 2 * TOP + 1


def version() -> str:
    """Of what does the work."""
    return f"numpy {np.__version__}"


def encode(arrays: Arrays, setting: Mapping[str, object]) -> bytes:
    """The file."""
    bits, by_row = int(str(setting["bits"])), setting["tables"] == "row"
    listed, parts = [], []
    for name, array in arrays.items():
        coded = array.dtype == np.float32 and array.ndim >= 2 and array.size >= FEW_WEIGHTS
        listed.append([name, array.shape, array.dtype.str, (bits if coded else 0), int(by_row)])
        parts.append(_encode_matrix(array, bits, by_row) if coded else array.tobytes())
    header = json.dumps(listed, separators=(",", ":")).encode()
    return b"".join([len(header).to_bytes(4, "little"), header, *parts])


def decode(data: bytes) -> Arrays:
    """The arrays of the file."""
    at = 4 + int.from_bytes(data[:4], "little")
    decoded: Arrays = {}
    for name, shape, dtype, bits, by_row in json.loads(data[4:at]):
        if bits:
            decoded[name], at = _decode_matrix(data, at, tuple(shape), bits, bool(by_row))
        else:
            count = math.prod(shape)
            decoded[name] = np.frombuffer(data, dtype, count, at).reshape(shape)
            at += decoded[name].nbytes
    return decoded


def _encode_matrix(array: np.ndarray, bits: int, by_row: bool) -> bytes:
    matrix = array.reshape(len(array) if by_row else 1, -1)
    scales = (np.abs(matrix).max(1) / TOP).astype(np.float32)
    levels = np.rint(matrix / np.where(scales > 0, scales, 1)[:, None]).astype(np.int16) + TOP
    rows = len(matrix)
    cells = levels + LEVELS * np.arange(rows)[:, None]
    counts = np.bincount(cells.ravel(), minlength=rows * LEVELS).reshape(rows, LEVELS)
    tables = choose(counts, 1 << bits)
    # The nearest entry of its table for each level: one more for every midpoint between entries that is below it.
    middles = np.floor((tables[:, 1:] + tables[:, :-1]) / 2).astype(np.int64) + 1
    steps = np.bincount((middles + (LEVELS + 1) * np.arange(rows)[:, None]).ravel(), minlength=rows * (LEVELS + 1))
    nearest = steps.reshape(rows, LEVELS + 1)[:, :LEVELS].cumsum(1).astype(np.uint8)
    indices = nearest.ravel()[cells.ravel()]
    return b"".join([scales.tobytes(), (tables - TOP).astype(np.int8).tobytes(), _pack(indices, bits)])


def _decode_matrix(data: bytes, at: int, shape: tuple[int, ...], bits: int, by_row: bool) -> tuple[np.ndarray, int]:
    rows, count = (shape[0] if by_row else 1), math.prod(shape)
    scales = np.frombuffer(data, np.float32, rows, at)
    at += scales.nbytes
    tables = np.frombuffer(data, np.int8, rows << bits, at).reshape(rows, -1)
    at += tables.nbytes
    packed = np.frombuffer(data, np.uint8, (count * bits + 7) // 8, at)
    indices = _unpack(packed, bits, count).reshape(rows, -1)
    values = np.take_along_axis(tables * scales[:, None], indices, 1)
    return values.reshape(shape), at + packed.nbytes


def choose(counts: np.ndarray, size: int) -> np.ndarray:
    """Levels for tables of ``size`` entries, by Lloyd's algorithm, for each row of a histogram of levels from 0."""
    rows, levels = counts.shape
    row = np.arange(rows)[:, None]
    mass = np.zeros((rows, levels + 1))
    mass[:, 1:] = counts.cumsum(1)
    moment = np.zeros((rows, levels + 1))
    moment[:, 1:] = (counts * np.arange(levels)).cumsum(1)
    # Begins with the density that is best for many entries: that of the weights to the power of 1/3 (Panter and Dite).
    density = np.cbrt(counts).cumsum(1)
    wanted = (np.arange(size) + 0.5) / size * density[:, -1:]
    centres = np.stack([np.searchsorted(d, w) for d, w in zip(density, wanted, strict=True)]).astype(float)
    for _ in range(ITERATIONS):
        cuts = np.zeros((rows, size + 1), np.int64)
        cuts[:, 1:-1] = np.floor((centres[:, 1:] + centres[:, :-1]) / 2) + 1
        cuts[:, -1] = levels
        inside = np.diff(mass[row, cuts], axis=1)
        means = np.diff(moment[row, cuts], axis=1) / np.maximum(inside, 1)
        moved = np.where(inside > 0, means, centres)
        if np.array_equal(moved, centres):
            break
        centres = np.maximum.accumulate(moved, axis=1)
    chosen: np.ndarray = np.rint(centres).astype(np.int64)
    return chosen


def _pack(indices: np.ndarray, bits: int) -> bytes:
    planes = np.unpackbits(indices[:, None], axis=1)[:, 8 - bits :]
    return np.packbits(planes.ravel()).tobytes()


def _unpack(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    planes = np.unpackbits(packed, count=count * bits).reshape(count, bits)
    indices: np.ndarray = np.packbits(planes, axis=1).ravel() >> (8 - bits)
    return indices

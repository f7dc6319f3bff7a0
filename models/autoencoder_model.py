"""The prior of codec autoencoder: classes of weights and tables, and their bytes (docs/format.md, section 14.1)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.kmeans.frequencies import fit

FEATURES, TABLES, SPREADS, TOKENS, SLOTS_LOG2 = 6, 28, 64, 32, 12
LAYOUT, TUNED = 1, 3
"""First byte of a model, and of one that replaces tables of a universal one."""

LEAST = -4.0
"""log2 of the spread of table 0; each further one is a quarter of an octave wider."""

WEIGHT, FRACTION = 256, 1024
"""Units of weights and bias, as integers."""

MOST_WEIGHT, MOST_BIAS = 8191, 0xFFFFFF

Counts = npt.NDArray[np.int64]

OwnTables = dict[int, tuple[int, ...]]
"""By number, tables of a class that stand in the place of those of a universal model."""


@dataclass(frozen=True, slots=True)
class Class:
    """One of the priors that a tensor may choose.

    Attributes:
        weights: of the logarithms of the features, in units of 1/256.
        bias: in units of 1/1,024 of a quarter of an octave.
        tables: for each spread the frequencies of its tokens, which add up to 4,096.
    """

    weights: tuple[int, ...]
    bias: int
    tables: tuple[tuple[int, ...], ...]


def serialize(classes: Sequence[Class]) -> bytes:
    """A model as it stands in a stream."""
    head = bytearray((LAYOUT, len(classes) - 1))
    for each in classes:
        head += struct.pack("<6hi", *each.weights, each.bias)
    at = len(head) + 2 * TABLES * len(classes)
    body = bytearray()
    for each in classes:
        for table in each.tables:
            head += struct.pack("<H", at + len(body))
            body.append(len(table))
            body += np.cumsum(table).astype("<u2").tobytes()
    return bytes(head + body)


def serialize_tuned(version: int, classes: Sequence[tuple[int, OwnTables]]) -> bytes:
    """A tuned model as it stands in a stream.

    Args:
        version: of the universal model.
        classes: for each the class of that model, and tables in ascending order.
    """
    out = bytearray(struct.pack("<BBI", TUNED, len(classes) - 1, version))
    for index, tables in classes:
        out += struct.pack("<BI", index, sum(1 << t for t in tables))
        for table in tables.values():
            out.append(len(table))
            out += np.cumsum(table).astype("<u2").tobytes()
    return bytes(out)


def is_model(data: bytes) -> bool:
    """Whether these are the bytes of a model, of either layout, as the decoder sees it."""
    predictor = _native.AutoencoderPredictor(1, 1, 0, 0, [], [])
    nothing = np.zeros((1, 1), np.float32)
    try:
        _native.autoencoder_encode(predictor, np.frombuffer(data, np.uint8), 0, nothing, 0.0, 127)
    except ValueError:
        return False
    return True


def parse(data: bytes) -> list[Class]:
    """The classes of a model that is known to be one, and no tuned one."""
    classes = []
    count = data[1] + 1
    tables_at = 2 + 16 * count
    for i in range(count):
        *weights, bias = struct.unpack_from("<6hi", data, 2 + 16 * i)
        tables = []
        for t in range(TABLES):
            (at,) = struct.unpack_from("<H", data, tables_at + 2 * (TABLES * i + t))
            sums = np.frombuffer(data, "<u2", data[at], at + 1).astype(np.int64)
            tables.append(tuple(np.diff(sums, prepend=0).tolist()))
        classes.append(Class(tuple(weights), bias, tuple(tables)))
    return classes


def spreads_of(features: npt.NDArray[np.int16], of: Class) -> npt.NDArray[np.int64]:
    """The spread that a class predicts for each row of features, 0 to 63."""
    sums = features.astype(np.int64) @ np.array(of.weights, np.int64) + of.bias
    found: npt.NDArray[np.int64] = np.clip(sums >> 10, 0, SPREADS - 1)
    return found


def raw_bits(spreads: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Low bits of a magnitude that are not coded, for each spread."""
    return np.where(spreads < TABLES, 0, (spreads - TABLES) // 4 + 1)


def token_counts(
    spreads: npt.NDArray[np.int64], magnitudes: npt.NDArray[np.int64], counts: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """How often each value comes up at each table, shape [tables, 32]; values from 31 on count as 31.

    Args:
        spreads: of residuals, 0 to 63.
        magnitudes: of these.
        counts: what each of them counts.
    """
    raw = raw_bits(spreads)
    values = np.minimum(magnitudes >> raw, TOKENS - 1)
    places = (spreads - 4 * raw) * TOKENS + values
    found: npt.NDArray[np.float64] = np.bincount(places, counts, TABLES * TOKENS).astype(np.float64)
    return found.reshape(TABLES, TOKENS)


def tables_of(counts: npt.NDArray[np.float64], prior: float) -> tuple[tuple[int, ...], ...]:
    """Frequencies for counts of values, shape [tables, 32].

    Args:
        counts: see :func:`token_counts`.
        prior: a Laplacian of the table's spread counts so much besides.
    """
    tables = []
    for t in range(TABLES):
        shares = counts[t] + prior * laplacian(2.0 ** (LEAST + t / 4))
        shares = shares / shares.sum()
        # The last token is for all that lies beyond: it comes where about one slot in 4,096 is left.
        left = shares[::-1].cumsum()[::-1]
        tokens = int(np.clip(np.count_nonzero(left > 2.0**-SLOTS_LOG2), 2, TOKENS))
        whole = np.append(shares[: tokens - 1], left[tokens - 1])
        tables.append(fit(np.maximum(np.rint(whole * (1 << 24)), 1).astype(np.int64), SLOTS_LOG2).values)
    return tuple(tables)


def laplacian(spread: float) -> npt.NDArray[np.float64]:
    """Share of each magnitude of a rounded Laplacian of this standard deviation; the last stands for all beyond."""
    scale = spread / np.sqrt(2)
    beyond = np.exp(-(np.arange(TOKENS) - 0.5) / scale)
    beyond[0] = 1.0
    shares: npt.NDArray[np.float64] = beyond - np.append(beyond[1:], 0.0)
    return shares


def table_bits(classes: Class) -> npt.NDArray[np.float64]:
    """Bits of a residual of each magnitude below 2^13 at each spread, shape [spreads, 8192], the sign counted."""
    magnitudes = np.arange(1 << 13)
    bits = np.zeros((SPREADS, len(magnitudes)))
    for spread in range(SPREADS):
        raw = int(raw_bits(np.array(spread)))
        table = np.array(classes.tables[spread - 4 * raw], np.float64)
        values = magnitudes >> raw
        last = len(table) - 1
        tokens = np.minimum(values, last)
        beyond = np.where(tokens == last, 4 + np.floor(np.log2(np.maximum(values - last + 1, 1))), 0)
        bits[spread] = SLOTS_LOG2 - np.log2(table[tokens]) + beyond + raw + (magnitudes > 0)
    return bits

"""Rows as sums of stored rows: interpolative decomposition (docs/format.md, section 13.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.huffman.tiles import tile_length
from neuralcodec.codecs.regression.payload import (
    RESIDUAL,
    ROWS,
    WIDE,
    Base,
    Floats,
    Nested,
    head,
    nest,
    pack_records,
)
from neuralcodec.varint import varint

WIDTHS = (4, 6, 8, 10, 12, 16)
"""Bits of a factor that are tried."""

SAMPLE = 128
"""Columns that decide about the width of factors."""

MOST_TERMS = 32
MOST_SHIFT = 24
MOST_STORED = 1 << 24

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Rows as sums of stored ones, in integers.

    Attributes:
        index: the stored row of each term, int32, shape [others, terms].
        factor: of each term, int32 of ``width`` bits, shape [others, terms].
        width: bits of a factor.
        shift: h.
        index_width: bits of an index; 0 where all stored rows are terms, in order.
    """

    index: Integers
    factor: Integers
    width: int
    shift: int
    index_width: int

    @property
    def bits(self) -> int:
        """What the records take."""
        return self.factor.size * (self.index_width + self.width)

    def levels(self, stored: Integers) -> Integers:
        """The predictions, as decoders compute them, int32, shape [others, cols]."""
        return _native.sum_rows(self.index, self.factor, stored, self.shift)


def fit_sums(
    targets: Floats,
    stored: Integers,
    matched: tuple[npt.NDArray[np.uint32], Doubles],
    bit: float,
) -> Sums:
    """The sums that come nearest to rows, with rounded factors.

    Args:
        targets: rows in units of the stored levels, shape [others, cols].
        stored: levels of the stored rows, shape [count, cols].
        matched: indices and factors of the terms, shape [others, terms].
        bit: squared error, in the same units, that a bit of the records is worth.
    """
    count = len(stored)
    index, factor = matched[0].astype(np.int32), matched[1]
    dense = factor.shape[1] == count
    if dense:
        in_place = np.zeros(factor.shape)
        np.put_along_axis(in_place, index.astype(np.int64)[:, ::-1], factor[:, ::-1], axis=1)
        # A term that is not used points to row 0, which may be used: it has been written first then.
        factor, index = in_place, np.tile(np.arange(count, dtype=np.int32), (len(index), 1))
    largest = float(np.abs(factor).max(initial=0.0))
    index_width = 0 if dense else (count - 1).bit_length()
    every = max(1, stored.shape[1] // SAMPLE)
    some, wanted = np.ascontiguousarray(stored[:, ::every]), np.ascontiguousarray(targets[:, ::every])
    best: tuple[float, Sums] | None = None
    for width in WIDTHS:
        most = (1 << (width - 1)) - 1
        shift = MOST_SHIFT if largest == 0 else min(MOST_SHIFT, int(np.floor(np.log2((most + 0.5) / largest))))
        # The sums of 32 bits must hold.
        while shift > 0 and float((np.abs(factor) * 2.0**shift).sum(1).max(initial=0)) * np.abs(stored).max() > 2.0**30:
            shift -= 1
        if shift < 0:
            continue
        rounded = np.clip(np.rint(factor * 2.0**shift), -most - 1, most).astype(np.int32)
        sums = Sums(index, rounded, width, shift, index_width)
        missed = float(np.square(sums.levels(some) - wanted, dtype=np.float64).sum()) * stored.shape[1] / some.shape[1]
        cost = missed + bit * sums.bits
        if best is None or cost < best[0]:
            best = cost, sums
    if best is None:  # factors beyond 16 bits: none
        return Sums(index, np.zeros_like(index), WIDTHS[0], 0, index_width)
    return best[1]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A decomposition before its residual.

    Attributes:
        is_stored: of each row.
        stored: the stored rows, coded.
        sums: of the others.
        levels: all levels without a residual, shape [rows, cols].
        terms: most of a sum.
    """

    is_stored: npt.NDArray[np.bool_]
    stored: Nested
    sums: Sums
    levels: Integers
    terms: int

    @property
    def bits(self) -> int:
        """About what sums and flags take."""
        return self.sums.bits + len(self.is_stored)

    def made(self) -> Floats:
        """Weights without a residual."""
        made: Floats = self.levels.astype(np.float32) * np.float32(self.stored.step)
        return made


def rounded(weights: Floats, step: float) -> Nested:
    """Rows that are stored, about as codec trellis will have them: for plans."""
    levels = 2 * np.clip(np.rint(weights / np.float32(2 * step)), -16_383, 16_383).astype(np.int16)
    return Nested(0, b"", levels, step, True)


def decompose(
    weights: Floats, stored: Nested, kept: npt.NDArray[np.uint32], terms: Iterable[int], bit: float
) -> list[Plan]:
    """Makes sums of the stored rows for the others.

    Args:
        weights: shape [rows, cols].
        stored: the rows that are kept, coded.
        kept: these rows, ascending.
        terms: most terms of a sum; a plan for each number, but for those that come to the same.
        bit: squared error of a weight that a bit is worth.
    """
    is_stored = np.zeros(len(weights), bool)
    is_stored[kept] = True
    base = stored.levels.astype(np.int32)
    targets = np.ascontiguousarray(weights[~is_stored] / np.float32(stored.step))
    numbers = sorted({min(each, MOST_TERMS, len(base)) for each in terms})
    plans = []
    for number, matched in zip(numbers, _native.match_rows(targets, base.astype(np.float32), numbers), strict=True):
        sums = fit_sums(targets, base, matched, bit / stored.step**2)
        levels = np.zeros(weights.shape, np.int32)
        levels[is_stored] = base
        levels[~is_stored] = np.clip(sums.levels(base), -32768, 32767)
        plans.append(Plan(is_stored, stored, sums, levels, number))
    return plans


def serialize(plan: Plan, weights: Floats, importance: Floats | None, residual: Base | None, tile: int | None) -> bytes:
    """The payload, with a residual by a codec or without."""
    rows, cols = weights.shape
    length = tile_length(rows, cols, tile)
    step = plan.stored.step
    levels, nested, wide = plan.levels, b"", plan.stored.wide
    if residual is not None:
        rest = weights - plan.made()
        coded = nest(rest, importance, step, residual, length)
        if coded.step != step:
            raise ArithmeticError("the residual is too large for the step")
        levels, nested, wide = levels + coded.levels, coded.serialize(), wide or coded.wide
    wide = wide or int(levels.max(initial=0)) > 127 or int(levels.min(initial=0)) < -128
    flags = (WIDE if wide else 0) | (RESIDUAL if nested else 0)
    sums = plan.sums
    terms = sums.factor.shape[1]
    records = pack_records(
        [sums.index.reshape(-1).astype(np.int64), sums.factor.reshape(-1).astype(np.int64)],
        [sums.index_width, sums.width],
    )
    return b"".join(
        (
            head(ROWS, flags, length, step),
            varint(int(plan.is_stored.sum())),
            np.packbits(plan.is_stored, bitorder="little").tobytes(),
            bytes([terms, sums.width - 1, sums.shift]),
            records,
            plan.stored.serialize(),
            nested,
        )
    )

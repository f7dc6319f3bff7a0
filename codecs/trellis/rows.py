"""Rows of a tensor, or its columns where tiles go down these, that have nothing but zeros are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.trellis.parts import Part

DEAD_LEVEL = 0.5
"""A row whose weights are all smaller than this, over the distance between levels, may be left out."""

ZERO_BITS, MOST_GROUP_LOG2 = 1 / 32, 15
"""About what a zero takes that is not left out, and most rows, their log2, that are left out or coded together."""


def alive(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The weights of rows and columns that may not be left out; all where there are none."""
    large = np.abs(weights) >= DEAD_LEVEL
    found = weights[np.ix_(large.any(1), large.any(0))]
    return found if found.size else weights


def coded_rows(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_] | None:
    """Which rows are to be coded, in groups of 2^g from the first on; None for all, where leaving out does not pay."""
    rows, length = weights.shape
    large: npt.NDArray[np.bool_] = np.abs(weights).max(1) >= DEAD_LEVEL
    best, found = 0.0, None
    for group in (1 << g for g in range(min((rows - 1).bit_length(), MOST_GROUP_LOG2) + 1)):
        bits = np.logical_or.reduceat(large, np.arange(0, rows, group))
        coded = np.repeat(bits, group)[:rows]
        saved = ZERO_BITS * length * (rows - np.count_nonzero(coded)) - len(bits)
        if saved > best and coded.any():
            best, found = saved, coded
    return found


def grouped_bits(coded: npt.NDArray[np.bool_]) -> bytes:
    """What a stream says of which rows are coded: log2 of the largest groups that are alike, and a bit for each."""
    for g in range(MOST_GROUP_LOG2, -1, -1):
        starts = np.arange(0, len(coded), 1 << g)
        bits = coded[starts]
        if (np.repeat(bits, 1 << g)[: len(coded)] == coded).all():
            break
    return bytes([g]) + _native.pack_bits(bits.astype(np.uint32), 1)


def of_rows(part: Part, coded: npt.NDArray[np.bool_] | None) -> Part:
    """The part with the rows that are coded."""
    if coded is None:
        return part
    importance = None if part.importance is None else part.importance[coded]
    return replace(part, weights=part.weights[coded], importance=importance, coded=coded)

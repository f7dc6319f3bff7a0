"""Weights in the order in which they are coded, and their levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.trellis.classes import Weights
from neuralcodec.codecs.trellis.model import Classes
from neuralcodec.dtypes import DType
from neuralcodec.tensor import Tensor
from neuralcodec.weights import counted, energy_of, largest_weight, norm_gain

SPOILT = 0.1
"""Levels are searched for again where so much of their squared error is for a gain that was not the real one."""

LARGEST = 32767
"""Of levels of 16 bits."""


class Step(NamedTuple):
    """A tensor's step, and what a bit is worth there.

    Attributes:
        distance: between levels.
        lagrangian: λ of the search, in squares of that a bit.
    """

    distance: float
    lagrangian: float


class Shaping(NamedTuple):
    """Which errors count together; see ``trellis_quantize``.

    Attributes:
        together: what the squared sum of a row's errors counts.
        gain: what is decoded, over levels.
        columns: whether the matrix is coded down its columns.
    """

    together: float
    gain: float
    columns: bool


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Weights of a tensor.

    Attributes:
        weights: over the step, in the order they are coded, shape [rows, cols] of that order.
        tile: tile length T.
        lagrangian: λ of the search, in squared steps a bit.
        most: largest magnitude that a level may have; see :func:`most_level`.
        importance: see :class:`~neuralcodec.tensor.Tensor`; None where all count the same.
        coded: of all rows of the matrix that is cut in tiles, which of them are here; None: all, or a sample.
        shaping: which errors count together; None: none.
    """

    weights: Weights
    tile: int
    lagrangian: float
    most: int = LARGEST
    importance: Weights | None = None
    coded: npt.NDArray[np.bool_] | None = None
    shaping: Shaping | None = None


def most_level(step: float, dtype: DType) -> int:
    """The largest magnitude that a level may have for its weight to be within the range of a dtype."""
    return min(math.floor(largest_weight(dtype) / step), LARGEST)


def ordered_part(tensor: Tensor, weights: npt.NDArray[np.float32], step: Step, columns: bool, tile: int) -> Part:
    """All weights of a tensor in the order in which they are coded.

    Args:
        tensor: of the weights.
        weights: over the step, shape [rows, cols].
        step: of the tensor.
        columns: whether they are coded down the columns.
        tile: tile length T.
    """

    def ordered(of: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.ascontiguousarray(of.T if columns else of)

    importance = counted(tensor)
    most = most_level(step.distance, tensor.spec.dtype)
    return Part(ordered(weights), tile, step.lagrangian, most, None if importance is None else ordered(importance))


def shaped(part: Part, together: float, columns: bool, gain: float = 1.0) -> Part:
    """The part with errors that count together, unless an importance says what they count; see :class:`Shaping`."""
    if not together or part.importance is not None:
        return part
    return replace(part, shaping=Shaping(together, gain, columns))


def with_gain(part: Part, levels: npt.NDArray[np.int16]) -> Part:
    """The part with errors, if they count together, of weights that decode to the norm they had.

    Args:
        part: the weights.
        levels: that are about those that they will have.
    """
    if part.shaping is None:
        return part
    gain = norm_gain(energy_of(part.weights, None), energy_of(levels, None))
    return replace(part, shaping=part.shaping._replace(gain=gain))


def mean_square(weights: Weights) -> float:
    """Of weights of any number."""
    return energy_of(weights, None) / max(weights.size, 1)


def regained(part: Part, levels: npt.NDArray[np.int16], sampled: float) -> Part | None:
    """The part with a better gain, where that of a sample has spoiled its levels; else None.

    A sample that lacks the loudest rows tells of a larger gain than all weights will have. The errors of these rows
    then cancel out at that gain alone: each row's sum is off by as much as the gain is. What the levels themselves
    have for a gain says nothing then, as they are led by what was thought of.

    Args:
        part: all weights that are coded, with the gain of the sample.
        levels: that were found with it.
        sampled: mean square of the weights of the sample.
    """
    if part.shaping is None or not levels.any():
        return None
    thought, axis, every = part.shaping.gain, 0 if part.shaping.columns else 1, mean_square(part.weights)
    # Levels take about as much energy from each weight, be it loud or not.
    gain = norm_gain(every, every - sampled * (1 - 1 / thought**2))
    sums = part.weights.sum(axis=axis, dtype=np.float64)
    spoilt = (thought / gain - 1) ** 2 * float(np.square(sums).sum()) / part.weights.shape[axis]
    real = norm_gain(energy_of(part.weights, None), energy_of(levels, None))
    noise = float(np.square(part.weights - np.float32(real) * levels).sum(dtype=np.float64))
    return replace(part, shaping=part.shaping._replace(gain=gain)) if spoilt > SPOILT * noise else None


def search_all(
    context: _native.TrellisContext, part: Part, rates: npt.NDArray[np.float32], sampled: float | None
) -> tuple[Part, npt.NDArray[np.int16]]:
    """Levels of all weights where the gain is that of a sample, and the part with the gain that they are for.

    Args:
        context: as for :func:`search`.
        part: see :func:`regained`.
        rates: as for :func:`search`.
        sampled: see :func:`regained`; None where the norm is not kept, so that there is no gain.
    """
    levels = search(context, part, rates)
    again = None if sampled is None else regained(part, levels, sampled)
    return (part, levels) if again is None else (again, search(context, again, rates))


def search(context: _native.TrellisContext, part: Part, rates: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Levels of weights that cost least at these rates; see ``trellis_quantize``."""
    return _native.trellis_quantize(
        context, part.weights, part.tile, rates, part.lagrangian, part.importance, part.most, part.coded, part.shaping
    )


def error_bits(part: Part, levels: npt.NDArray[np.int16]) -> float:
    """Squared error of levels, in bits at the search's λ; 0 where that does not weigh bits."""
    if not part.lagrangian:
        return 0.0
    squares = np.square(part.weights - levels)
    if part.importance is not None:
        squares *= part.importance
    return float(squares.sum(dtype=np.float64)) / part.lagrangian


def counts_of(
    classes: Classes, maps: list[list[int]], parts: Sequence[Part], every: Sequence[npt.NDArray[np.int16]]
) -> npt.NDArray[np.int64]:
    """How often each cell has each value, shape [quantizers, cells, values]."""
    context = classes.context(maps)
    counts = np.zeros((classes.quantizers, classes.cells, classes.values), np.int64)
    for part, levels in zip(parts, every, strict=True):
        counts += _native.trellis_count(context, levels, part.tile, part.coded)
    return counts


def some_tiles(
    parts: Sequence[Part], every: Sequence[npt.NDArray[np.int16]], most: int, classes: Classes
) -> tuple[list[Part], list[npt.NDArray[np.int16]], int, float]:
    """Tiles from all over, of about so many levels at most.

    Returns:
        Parts with them, their levels, how many these are, and the mean of their magnitudes.
    """
    apart = -(-sum(of.size for of in every) // most)
    some, levels = [], []
    for part, of in zip(parts, every, strict=True):
        coded = np.ones(len(of), np.bool_) if part.coded is None else part.coded
        together = max(part.tile // of.shape[1], 1)  # lines of a tile, if it has several
        tiles = np.arange(0, max(len(coded) // together, 1), apart)
        lines = (tiles[:, None] * together + np.arange(together)).reshape(-1)
        lines = lines[lines < len(coded)]
        if not coded[lines].any():
            lines = np.arange(len(coded))
        here = coded[lines]
        places = np.cumsum(coded)[lines[here]] - 1
        levels.append(np.ascontiguousarray(of[places]))
        some.append(replace(part, weights=part.weights[places], importance=None, coded=here))
    number = sum(of.size for of in levels)
    mean = sum(int(np.minimum(np.abs(of), classes.hi).sum(dtype=np.int64)) for of in levels) / number
    return some, levels, number, mean

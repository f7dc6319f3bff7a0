"""Weights to levels: the search of codec trellis, by rates that a sample of the weights gives.

Codec trellis trains tables that have to be as good as can be, since its decoder uses them. The model that codes levels
here learns by itself, and rates only tell the search what a level costs about: one round over a sample is enough.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.huffman.tiles import tile_length
from neuralcodec.codecs.trellis import Trellis
from neuralcodec.codecs.trellis.classes import MOST_NARROW, layout
from neuralcodec.codecs.trellis.codec import SMALL_LEVELS, Quantized
from neuralcodec.codecs.trellis.model import Classes
from neuralcodec.codecs.trellis.parts import Part, mean_square, ordered_part, search, search_all, shaped
from neuralcodec.codecs.trellis.tables import by_table, maps_of, smoothed
from neuralcodec.tensor import Tensor
from neuralcodec.weights import energy_of, finite_weights, norm_gain, norm_step

SAMPLE, RUN = 1 << 15, 256
"""Weights that rates are taken from, at most, and how many of them stand in a row."""

TABLES, MAGNITUDES, SIGNS = 16, 7, 2
"""Most tables of a quantizer, and what picks them: as codec trellis has it by default."""

INWARD = 0.5
"""How far inwards, in levels, rounding for the first rates moves weights, as the search favours small levels."""

COARSE, COARSE_LAGRANGIAN = 1.3, 1.2
"""Where weights are less than so many levels on average, λ is that much larger: the search knows less than the model of
what zeros are worth that stand together."""

SHARE = 16
"""What the distribution in all tables together counts in each of them, in weights."""

Rates = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]


def quantize(tensor: Tensor, options: Trellis) -> Quantized:
    """Levels of a tensor of at least one element.

    Args:
        tensor: of floats.
        options: of the search; those of tables do not count.

    Raises:
        SourceError: weights that are NaN, infinite, or beyond the range of float32.
    """
    weights = finite_weights(tensor)
    spec = tensor.spec
    sample = options.survey(tensor)
    step = 1.0
    if sample is not None:
        part, step = sample.part, sample.step.distance
        if part.weights.size < weights.size:
            part = ordered_part(tensor, weights / np.float32(step), sample.step, sample.columns, part.tile)
            part = shaped(part, options.together, sample.columns)
        levels = _levels(part, sample.largest, options)
        if levels.any():
            if options.reconstruction == "norm":
                step = norm_step(step, part.weights, levels, part.importance, spec.dtype, SMALL_LEVELS)
            return Quantized(levels, step, sample.columns, part.tile)
    tile = tile_length(spec.rows, spec.cols, options.tile)
    return Quantized(np.zeros((spec.rows, spec.cols), np.int16), step, False, tile)


def _levels(part: Part, largest: float, options: Trellis) -> npt.NDArray[np.int16]:
    """The levels, by rates from a sample.

    Args:
        part: the weights.
        largest: magnitude over the step of the largest of them.
        options: see :func:`quantize`.
    """
    states_log2 = options.state_count.bit_length() - 1
    sample = _sampled(part)
    classes, mean = layout([sample.weights], largest, states_log2, MAGNITUDES, SIGNS, MOST_NARROW)
    lagrangian = part.lagrangian
    if mean * (1 << classes.raw_bits) < COARSE * (1 if states_log2 else 0.5):
        lagrangian *= COARSE_LAGRANGIAN
    context, rates, gain = _rates(sample, classes, lagrangian)
    part = replace(part, lagrangian=lagrangian)
    if part.shaping is not None and options.reconstruction == "norm":
        part = replace(part, shaping=part.shaping._replace(gain=gain))
    return search_all(context, part, rates, mean_square(sample.weights) if options.reconstruction == "norm" else None)[
        1
    ]


def _sampled(part: Part) -> Part:
    """Runs of weights from all over, as lines of a matrix of their own."""
    size = part.weights.size
    if size <= SAMPLE:
        return part
    places = np.linspace(0, size - RUN, SAMPLE // RUN).astype(np.int64)[:, None] + np.arange(RUN)
    importance = None if part.importance is None else part.importance.reshape(-1)[places]
    return Part(part.weights.reshape(-1)[places], RUN, part.lagrangian, part.most, importance)


def _rates(part: Part, classes: Classes, lagrangian: float) -> tuple[_native.TrellisContext, Rates, float]:
    """What picks tables, and what values cost there: by how often the search takes them at rates of rounded weights.

    And the gain that gives the levels which it takes then the norm of the weights.
    """
    context = classes.context(classes.one_table())
    first = smoothed(classes, _rounded(part, classes), SHARE)
    levels = search(context, replace(part, lagrangian=lagrangian, shaping=None), first)
    counts = _native.trellis_count(context, levels, part.tile)
    maps = maps_of(counts, TABLES)
    gain = norm_gain(energy_of(part.weights, None), energy_of(levels, None))
    return classes.context(maps), smoothed(classes, by_table(classes, counts, maps), SHARE), gain


def _rounded(part: Part, classes: Classes) -> Counts:
    """Counts of rounded weights in one table for each quantizer, either sign alike."""
    unit = classes.quantizers
    inward = np.maximum(np.abs(part.weights.reshape(-1)) * np.float32(0.5**classes.raw_bits) - np.float32(INWARD), 0)
    tables = np.zeros((unit, 1, classes.values), np.int64)
    for u in range(unit):
        outermost = classes.hi - (classes.hi - u) % unit
        values = np.minimum(unit * np.rint((inward - u) / unit) + u, outermost)
        counts = np.bincount(np.abs(values).astype(np.int64), minlength=classes.hi + 1)
        tables[u, 0, classes.lo :] += counts
        tables[u, 0, : classes.lo + 1] += counts[::-1]
    return tables

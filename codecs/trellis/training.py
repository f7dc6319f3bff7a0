"""The model of a set of weights: quantize, count, cluster contexts, make tables, again.

Which range of values is best is asked of levels that are there already: with other classes they cost a little more than
levels that were searched for with these would, so that most other ranges are seen to be worse, or better, without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.trellis.automaton import ONE_STATE
from neuralcodec.codecs.trellis.classes import BULK, MOST_NARROW, layout, widest
from neuralcodec.codecs.trellis.model import Classes, Model, fits
from neuralcodec.codecs.trellis.parts import Part, counts_of, error_bits, search, with_gain
from neuralcodec.codecs.trellis.picking import adapted, with_automaton, with_thresholds
from neuralcodec.codecs.trellis.revision import is_too_large, lacking, recounted
from neuralcodec.codecs.trellis.settings import Settings
from neuralcodec.codecs.trellis.tables import (
    bits_of,
    by_table,
    first_rates,
    maps_of,
    model_of,
    rounding,
    smoothed,
    tables_of,
    value_bits_of,
)

FEW_STATES_LOG2 = 3
"""log2 of the states of all rounds but the last: a path through few finds about the same tables in less time."""

LEAST_WIDE = 31
"""Magnitude of values that a model is not made narrower than, for more tables."""

LIGHT_BULK, NARROWED_BULK = 0.9, 0.6
"""With 256 slots: the share of weights that must lie within the values, and within those of narrower models.

Fewer take coarse levels, of raw bits, which automata do without."""

WIDTHS = (84, 50, 36, 24, 18, 12, 7)
"""Magnitudes that values may end at then. With 50 three states of an automaton fit into 4 KB, with 18 five."""

PATIENCE = 5
"""So many widths in turn that are no better end the search for a better one."""

CLOSE = 1.015
"""By this factor more, at most, cost levels that were found with other classes: a search takes that off."""

OPEN_WORTH = 0.005
"""The fraction of the bits and errors that open ends must save: decoders look through a tile for them."""

WORTH = 1.005
"""More by this factor is what other classes are tried for."""

SPARE = 64
"""Bytes that a model keeps free once values that had to be added did not fit."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What training comes to.

    Attributes:
        model: that a stream can hold.
        gains: of each part, what is decoded over levels.
        levels: of each part, by that model, where the parts are all weights; they need not be searched for again then.
    """

    model: Model
    gains: Sequence[float]
    levels: Sequence[npt.NDArray[np.int16]] | None


def train(parts: Sequence[Part], largest: float, size: int, beyond: Sequence[int], settings: Settings) -> Trained:
    """A model for weights of which parts are all, or a sample.

    Args:
        parts: at least one weight in all.
        largest: magnitude over the step of the largest weight there is.
        size: how many weights the model is for. Tables for a sample have some values more, for what may come.
        beyond: weights over the step, rounded, that are larger than those of the sample they belong to.
        settings: see there.
    """
    wanted = _Wanted(largest, size, beyond, settings)
    light = settings.coding == "light"
    begun = _begun(parts, wanted)
    found = _ranged(begun, wanted)
    if light and found.classes.raw_bits:  # which automata do without
        return train(parts, largest, size, beyond, replace(settings, coding="contexts"))
    if found is not begun:
        found = _improved(found, wanted)
    found = _searched(found, wanted)
    if light:
        found = _climbed(found, wanted)
    classes, maps, tables, parts = found.classes, found.maps, found.tables, found.parts
    gains = [part.shaping.gain if part.shaping else 1.0 for part in parts]
    model = model_of(classes, maps, tables, settings.coding)
    while wanted.is_whole(parts):
        more = np.zeros_like(tables)
        every = [search(model.context(), part, model.rates()) for part in parts]
        for part, levels in zip(parts, every, strict=True):
            more = np.maximum(more, lacking(model, part, levels))
        if not more.any():
            return Trained(recounted(model, parts, every, settings), gains, every)
        tables += more
        if settings.room is not None and is_too_large(classes, maps, tables, settings.room):
            return train(parts, largest, size, beyond, replace(settings, room=settings.room - SPARE))
        model = model_of(classes, maps, tables, settings.coding)
    return Trained(model, gains, None)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a model is wanted for; see :func:`train`."""

    largest: float
    size: int
    beyond: Sequence[int]
    settings: Settings

    def is_whole(self, parts: Sequence[Part]) -> bool:
        """Whether parts are all weights."""
        return sum(part.weights.size for part in parts) == self.size


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """Classes, maps and counts for weights.

    Attributes:
        classes: see there.
        maps: of each quantizer, the table of each cell.
        counts: shape [quantizers, cells, values].
        tables: counts of those that a stream would have, shape [quantizers, tables, values].
        cost: about the bits that weights and tables take, and what the squared error is worth in bits.
        crowded: whether more tables would pay by more than a little, but for the room.
        parts: with gains.
        every: levels of each part.
    """

    classes: Classes
    maps: list[list[int]]
    counts: npt.NDArray[np.int64]
    tables: npt.NDArray[np.int64]
    cost: float
    crowded: bool
    parts: Sequence[Part]
    every: Sequence[npt.NDArray[np.int16]]


def _begun(parts: Sequence[Part], wanted: _Wanted) -> _Fitted:
    """Classes of the widest range of values, after all rounds but the last."""
    settings = wanted.settings
    if settings.coding == "light":
        # 256 slots have none to spare for values that are rarer than one in 256: open ends stand for these.
        classes, mean = _laid_out(parts, wanted, MOST_NARROW, LIGHT_BULK)
    else:
        classes, mean = _laid_out(parts, wanted, widest(settings.states_log2 > 0), BULK)
    found = _first(classes, mean, parts, wanted)
    for _ in range(settings.rounds - 2):
        found = _improved(found, wanted)
    return found


def _first(classes: Classes, mean: float, parts: Sequence[Part], wanted: _Wanted) -> _Fitted:
    """What to begin with: levels by rates of a Laplacian of this mean magnitude."""
    every = _levels(classes, classes.one_table(), first_rates(classes, mean), parts)
    return _picked(classes, parts, every, wanted)


def _improved(found: _Fitted, wanted: _Wanted) -> _Fitted:
    """Levels by the rates of those before, and what picks tables best for them."""
    every = _levels(found.classes, found.maps, _rates(found), found.parts)
    return _picked(found.classes, found.parts, every, wanted)


def _ranged(begun: _Fitted, wanted: _Wanted) -> _Fitted:
    """Classes of the range of values that is best."""
    if wanted.settings.coding == "light":
        return _narrowed(begun, wanted)
    found = _halved(begun, wanted, BULK)
    if found.classes.raw_bits:
        # Zeros have them, too: where many weights are small, open ends for the others may be shorter.
        most = widest(wanted.settings.states_log2 > 0)
        found = _cheaper(found, _halved(_recast(begun, wanted, most, NARROWED_BULK), wanted, NARROWED_BULK), wanted)
    return found


def _recast(found: _Fitted, wanted: _Wanted, most: int, bulk: float) -> _Fitted:
    """The same levels with classes of values up to the most, within which this share of the weights must lie."""
    classes, _ = _laid_out(found.parts, wanted, most, bulk)
    return _picked(classes, found.parts, found.every, wanted)


def _searched(found: _Fitted, wanted: _Wanted) -> _Fitted:
    """The same classes with levels, of paths through all states, that were searched for with them."""
    classes = replace(found.classes, states_log2=wanted.settings.states_log2)
    every = _levels(classes, found.maps, _rates(found), found.parts)
    return _fitted(classes, found.parts, every, wanted)


def _cheaper(found: _Fitted, other: _Fitted, wanted: _Wanted, worth: float = 1.0) -> _Fitted:
    """The other, of levels that were found with other classes, if it costs less than this times the first."""
    if worth * found.cost <= other.cost < CLOSE * worth * found.cost:
        other = _improved(other, wanted)
    return other if other.cost < worth * found.cost else found


def _halved(found: _Fitted, wanted: _Wanted, bulk: float) -> _Fitted:
    """The best with ever fewer values, of more levels each or with ends that are open, until one is no better.

    They make small tables and leave room for more.
    """
    while found.classes.hi > (LEAST_WIDE if found.crowded else MOST_NARROW):
        other = _recast(found, wanted, found.classes.hi // 2, bulk)
        # Nor are tables worth it that take 16 bits for levels of 8: kernels of firmware want these.
        if found.classes.hi <= MOST_NARROW and other.classes.raw_bits:
            break
        other = _cheaper(found, other, wanted)
        if other is found:
            break
        found = other
    return found


def _narrowed(found: _Fitted, wanted: _Wanted) -> _Fitted:
    """The best with ever fewer values, until some in turn are no better; none of them with raw bits."""
    if not (wanted.settings.open_ends or found.classes.open or found.classes.raw_bits):
        return found
    worse = 0
    for narrower in WIDTHS:
        if narrower >= found.classes.hi:
            continue
        if worse == PATIENCE:
            break
        other = _recast(found, wanted, narrower, NARROWED_BULK)
        if other.classes.raw_bits:
            break
        if not found.classes.raw_bits:
            other = _cheaper(found, other, wanted, 1.0 if found.classes.open else 1 - OPEN_WORTH)
        found, worse = other, worse + 1 if other is found else 0
    return found


def _climbed(found: _Fitted, wanted: _Wanted) -> _Fitted:
    """The same with an automaton that is adapted to the weights."""
    classes = adapted(found.classes, found.parts, found.every, wanted.size, wanted.settings)
    counts = counts_of(classes, found.maps, found.parts, found.every) * _times(found.every, wanted)
    tables = tables_of(classes, counts, found.maps, _rest(found.parts, wanted), wanted.settings.coding)
    if not fits(classes, found.maps, tables, wanted.settings.room):
        return found
    return replace(found, classes=classes, counts=counts, tables=tables)


def _laid_out(parts: Sequence[Part], wanted: _Wanted, most: int, bulk: float) -> tuple[Classes, float]:
    """Classes, of few states, before levels are known, and the mean magnitude of weights; as for :func:`_recast`."""
    settings = wanted.settings
    weights = [part.weights for part in parts]
    states_log2 = min(settings.states_log2, FEW_STATES_LOG2)
    classes, mean = layout(weights, wanted.largest, states_log2, settings.magnitudes, settings.signs, most, bulk)
    if settings.coding == "light" and not classes.raw_bits:
        classes = replace(classes, cap=1, start=0, magnitudes=(), signs=(), automaton=ONE_STATE)
    return classes, mean


def _picked(
    classes: Classes, parts: Sequence[Part], every: Sequence[npt.NDArray[np.int16]], wanted: _Wanted
) -> _Fitted:
    """Levels with what picks tables best for them."""
    if wanted.settings.norm:
        parts = [with_gain(part, levels) for part, levels in zip(parts, every, strict=True)]
    if classes.automaton is not None:
        classes = with_automaton(classes, parts, every, wanted.size, wanted.settings)
    elif classes.cells > 1:
        classes = with_thresholds(classes, parts, every, wanted.size, wanted.settings)
    return _fitted(classes, parts, every, wanted)


def _fitted(
    classes: Classes, parts: Sequence[Part], every: Sequence[npt.NDArray[np.int16]], wanted: _Wanted
) -> _Fitted:
    """Maps and tables for levels, as many as there is room for, and what they come to."""
    settings, times, rest = wanted.settings, _times(every, wanted), _rest(parts, wanted)
    value_bits = value_bits_of(wanted.size, sum(of.size for of in every))
    automatic = classes.automaton is not None
    maps = classes.every_table() if automatic else classes.one_table()
    counts = counts_of(classes, maps, parts, every) * times
    if not automatic:
        maps = maps_of(counts, settings.tables, value_bits)
    tables = tables_of(classes, counts, maps, rest, settings.coding)
    enough = bits_of(tables, value_bits) * WORTH
    number = classes.cells if automatic else settings.tables
    while number > 1 and not fits(classes, maps, tables, settings.room):
        number -= 1
        if automatic:
            classes = with_automaton(classes, parts, every, wanted.size, replace(settings, tables=number))
            maps, number = classes.every_table(), classes.cells
            counts = counts_of(classes, maps, parts, every) * times
        else:
            maps = maps_of(counts, number, value_bits)
        tables = tables_of(classes, counts, maps, rest, settings.coding)
    coded = bits_of(tables, value_bits)
    if settings.coding == "light":
        coded += rounding(tables)
    bits = coded + int(counts.sum()) * classes.raw_bits
    context = classes.context(maps)
    for part, of in zip(parts, every, strict=True):
        bits += times * (_native.trellis_open_bits(context, of, part.tile, part.coded) + error_bits(part, of))
    return _Fitted(classes, maps, counts, tables, bits, coded > enough, parts, every)


def _levels(
    classes: Classes, maps: list[list[int]], rates: npt.NDArray[np.float32], parts: Sequence[Part]
) -> list[npt.NDArray[np.int16]]:
    """Levels of each part that a search finds."""
    context = classes.context(maps)
    return [search(context, part, rates) for part in parts]


def _rates(found: _Fitted) -> npt.NDArray[np.float32]:
    """What a search is to pay for values."""
    return smoothed(found.classes, by_table(found.classes, found.counts, found.maps))


def _times(every: Sequence[npt.NDArray[np.int16]], wanted: _Wanted) -> int:
    """How often the levels go into those that the model is for."""
    return max(round(wanted.size / sum(of.size for of in every)), 1)


def _rest(parts: Sequence[Part], wanted: _Wanted) -> npt.NDArray[np.int64] | None:
    """What lies beyond the parts; None if they are all weights."""
    return None if wanted.is_whole(parts) else np.array(wanted.beyond, np.int64)

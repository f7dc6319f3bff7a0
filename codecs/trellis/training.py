"""The model of a set of weights: quantize, count, cluster contexts, make tables, again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.trellis.automaton import ONE_STATE
from neuralcodec.codecs.trellis.classes import BULK, MOST_NARROW, layout, widest
from neuralcodec.codecs.trellis.model import Classes, Model, fits
from neuralcodec.codecs.trellis.parts import Part, counts_of, error_bits, search, with_gain
from neuralcodec.codecs.trellis.picking import adapted, with_automaton, with_thresholds
from neuralcodec.codecs.trellis.revision import is_too_large, lacking
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

    def fitted(most: int, bulk: float) -> _Fitted:
        return _fitted(parts, largest, size, beyond, settings, most, bulk)

    if settings.coding == "light":
        # 256 slots have none to spare for values that are rarer than one in 256: open ends stand for these.
        found = _narrowed(fitted(MOST_NARROW, LIGHT_BULK), lambda to: fitted(to, NARROWED_BULK))
        if found.classes.raw_bits:  # which automata do without
            return train(parts, largest, size, beyond, replace(settings, coding="contexts"))
        found = _climbed(found, parts, size, beyond, settings)
    else:
        most = widest(settings.states_log2 > 0)
        found = _halved(fitted(most, BULK), lambda to: fitted(to, BULK))
        if found.classes.raw_bits:
            # Zeros have them, too: where many weights are small, open ends for the others may be shorter.
            other = _halved(fitted(most, NARROWED_BULK), lambda to: fitted(to, NARROWED_BULK))
            found = min(found, other, key=lambda each: each.cost)
    classes, maps, tables, parts = found.classes, found.maps, found.tables, found.parts
    gains = [part.shaping.gain if part.shaping else 1.0 for part in parts]
    model = model_of(classes, maps, tables, settings.coding)
    while sum(part.weights.size for part in parts) == size:
        more = np.zeros_like(tables)
        every = [search(model.context(), part, model.rates()) for part in parts]
        for part, levels in zip(parts, every, strict=True):
            more = np.maximum(more, lacking(model, part, levels))
        if not more.any():
            return Trained(model, gains, every)
        tables += more
        if settings.room is not None and is_too_large(classes, maps, tables, settings.room):
            return train(parts, largest, size, beyond, replace(settings, room=settings.room - SPARE))
        model = model_of(classes, maps, tables, settings.coding)
    return Trained(model, gains, None)


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """Classes, maps and counts for weights.

    Attributes:
        classes: see there.
        maps: of each quantizer, the table of each cell.
        tables: counts, shape [quantizers, tables, values].
        cost: about the bits that weights and tables take, and what the squared error is worth in bits.
        crowded: whether more tables would pay by more than a little, but for the room.
        parts: with gains.
        every: levels of each part.
    """

    classes: Classes
    maps: list[list[int]]
    tables: npt.NDArray[np.int64]
    cost: float
    crowded: bool
    parts: Sequence[Part]
    every: Sequence[npt.NDArray[np.int16]]


def _fitted(  # noqa: PLR0917
    parts: Sequence[Part], largest: float, size: int, beyond: Sequence[int], settings: Settings, most: int, bulk: float
) -> _Fitted:
    """Classes of values up to the most, within which this share of the weights must lie, and what they come to.

    The rest as for :func:`train`.
    """
    light = settings.coding == "light"
    classes, mean = layout(
        [p.weights for p in parts],
        largest,
        settings.states_log2,
        settings.magnitudes,
        settings.signs,
        most,
        bulk,
    )
    automatic = light and not classes.raw_bits
    if automatic:
        classes = replace(classes, cap=1, start=0, magnitudes=(), signs=(), automaton=ONE_STATE)
    sampled = sum(part.weights.size for part in parts)
    whole, times = sampled == size, max(round(size / sampled), 1)
    value_bits = value_bits_of(size, sampled)
    maps = classes.one_table()
    rates = first_rates(classes, mean)
    counts = np.zeros(0, np.int64)
    every: list[npt.NDArray[np.int16]] = []
    for k in range(settings.rounds):
        last = k == settings.rounds - 1
        states_log2 = settings.states_log2 if last else min(settings.states_log2, FEW_STATES_LOG2)
        classes = replace(classes, states_log2=states_log2)
        context = classes.context(maps)
        every = [search(context, part, rates) for part in parts]
        if settings.norm and not last:
            parts = [with_gain(part, levels) for part, levels in zip(parts, every, strict=True)]
        if automatic and not last:
            classes = with_automaton(classes, parts, every, size, settings)
            maps = classes.every_table()
        elif classes.cells > 1 and not last:
            classes = with_thresholds(classes, parts, every, size, settings)
            maps = classes.one_table()
        counts = counts_of(classes, maps, parts, every) * times
        if not automatic:
            maps = maps_of(counts, settings.tables, value_bits)
        rates = smoothed(classes, by_table(classes, counts, maps))
    rest = None if whole else np.array(beyond, np.int64)
    tables = tables_of(classes, counts, maps, rest, settings.coding)
    enough = bits_of(tables, value_bits) * WORTH
    number = classes.cells if automatic else settings.tables
    while number > 1 and not fits(classes, maps, tables, settings.room):
        number -= 1
        if automatic:
            classes = with_automaton(classes, parts, every, size, replace(settings, tables=number))
            maps, number = classes.every_table(), classes.cells
            counts = counts_of(classes, maps, parts, every) * times
        else:
            maps = maps_of(counts, number, value_bits)
        tables = tables_of(classes, counts, maps, rest, settings.coding)
    coded = bits_of(tables, value_bits)
    if light:
        coded += rounding(tables)
    bits = coded + int(counts.sum()) * classes.raw_bits
    context = classes.context(maps)
    for part, of in zip(parts, every, strict=True):
        bits += times * (_native.trellis_open_bits(context, of, part.tile, part.coded) + error_bits(part, of))
    return _Fitted(classes, maps, tables, bits, coded > enough, parts, every)


def _climbed(found: _Fitted, parts: Sequence[Part], size: int, beyond: Sequence[int], settings: Settings) -> _Fitted:
    """The same with an automaton that is adapted to the weights; the rest as for :func:`train`."""
    classes = adapted(found.classes, parts, found.every, size, settings)
    sampled = sum(of.size for of in found.every)
    rest = None if sampled == size else np.array(beyond, np.int64)
    counts = counts_of(classes, found.maps, parts, found.every) * max(round(size / sampled), 1)
    tables = tables_of(classes, counts, found.maps, rest, settings.coding)
    return replace(found, classes=classes, tables=tables) if fits(classes, found.maps, tables, settings.room) else found


def _halved(found: _Fitted, fitted: Callable[[int], _Fitted]) -> _Fitted:
    """The best with ever fewer values, of more levels each or with ends that are open, until one is no better.

    They make small tables and leave room for more.
    """
    while found.classes.hi > (LEAST_WIDE if found.crowded else MOST_NARROW):
        other = fitted(found.classes.hi // 2)
        # Nor are tables worth it that take 16 bits for levels of 8: kernels of firmware want these.
        if other.cost >= found.cost or (found.classes.hi <= MOST_NARROW and other.classes.raw_bits):
            break
        found = other
    return found


def _narrowed(found: _Fitted, fitted: Callable[[int], _Fitted]) -> _Fitted:
    """The best with ever fewer values, until some in turn are no better; none of them with raw bits."""
    worse = 0
    for narrower in WIDTHS:
        if narrower >= found.classes.hi:
            continue
        if worse == PATIENCE:
            break
        other = fitted(narrower)
        if other.classes.raw_bits:
            break
        worth = 1.0 if found.classes.open else 1 - OPEN_WORTH
        better = other.cost < worth * found.cost or found.classes.raw_bits > 0
        found, worse = (other, 0) if better else (found, worse + 1)
    return found

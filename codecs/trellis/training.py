"""The model of a set of weights: quantize, count, cluster contexts, make tables, again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.kmeans.frequencies import fit
from neuralcodec.codecs.trellis.automaton import ONE_STATE, Automaton, best_automaton, climbed
from neuralcodec.codecs.trellis.classes import (
    BULK,
    MOST_NARROW,
    Weights,
    large_levels,
    layout,
    magnitudes_scaled,
    small_levels,
    widest,
)
from neuralcodec.codecs.trellis.model import NEVER, Classes, Model, fits
from neuralcodec.logarithm import FRACTION, log2

Coding = Literal["contexts", "light", "rans", "prefix"]

TABLE_BITS, VALUE_BITS = 16.0, 6.0
"""About what a table takes, and each of its values."""

GUESSED_BITS = 1.44
"""What each value of a table made from a sample takes besides, for each time that the sample goes into the weights.

A table looks better on the sample by half a nat a value than it is, and does worse on other weights by as much: each
value is a parameter that is estimated (Akaike 1974)."""

BITS_OF_SLOTS = {"contexts": range(9, 13), "light": range(8, 9), "rans": range(8, 9), "prefix": range(8, 9)}
"""What m may be: firmware looks up 2^8 slots, unless it searches."""

FEW_STATES_LOG2 = 3
"""log2 of the states of all rounds but the last: a path through few finds about the same tables in less time."""

LEAST_WIDE = 31
"""Magnitude of values that a model is not made narrower than, for more tables."""

LIGHT_BULK, NARROWED_BULK = 0.9, 0.6
"""With 256 slots: the share of weights that must lie within the values, and within those of narrower models.

Fewer take coarse levels, of raw bits, which automata do without."""

WIDTHS = (84, 50, 36, 24, 18, 12, 7)
"""Magnitudes that values may end at then. With 50 three states of an automaton fit into 4 KB, with 18 five."""

TRIED, TRIED_THRESHOLDS = 1 << 15, 1 << 16
"""So many levels tell which automaton, and which thresholds, are best."""

CLIMB = 400
"""Most automata that are tried to adapt the best of the usual ones."""

PATIENCE = 5
"""So many widths in turn that are no better end the search for a better one."""

OPEN_WORTH = 0.005
"""The fraction of the bits and errors that open ends must save: decoders look through a tile for them."""

WORTH = 1.005
"""More by this factor is what other classes are tried for."""

MARGIN = 1.5
"""How much further out values of a table reach than those of the sample it was made from."""

LARGEST = 32767
"""Of levels of 16 bits."""

SPARE = 64
"""Bytes that a model keeps free once values that had to be added did not fit."""

LOST = 20.0
"""A squared error, in squared steps, that only a value which its table lacks explains."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is made.

    Attributes:
        states_log2: log2 of the trellis states.
        tables: most tables a quantizer.
        magnitudes: most magnitude classes.
        signs: sign thresholds.
        coding: "contexts", "light", "rans" or "prefix"; the last two with one table a quantizer.
        room: bytes that a decoder's tables may take, if fewer or smaller tables can do it; None: any.
        rounds: how often levels and tables are improved in turn.
    """

    states_log2: int
    tables: int
    magnitudes: int
    signs: int
    coding: Coding
    room: int | None
    rounds: int


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Weights of a tensor.

    Attributes:
        weights: over the step, in the order they are coded, shape [rows, cols] of that order.
        tile: tile length T.
        lagrangian: λ of the search, in squared steps a bit.
        importance: see :class:`~neuralcodec.tensor.Tensor`; None where all count the same.
        coded: of all rows of the matrix that is cut in tiles, which of them are here; None: all, or a sample.
    """

    weights: Weights
    tile: int
    lagrangian: float
    importance: Weights | None = None
    coded: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What training comes to.

    Attributes:
        model: that a stream can hold.
        levels: of each part, by that model, where the parts are all weights; they need not be searched for again then.
    """

    model: Model
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
    classes, maps, tables = found.classes, found.maps, found.tables
    model = _with_tables(classes, maps, tables, settings.coding)
    while sum(part.weights.size for part in parts) == size:
        more = np.zeros_like(tables)
        every = [search(model.context(), part, model.rates()) for part in parts]
        for part, levels in zip(parts, every, strict=True):
            more = np.maximum(more, _lacking(model, part, levels))
        if not more.any():
            return Trained(model, every)
        tables += more
        if settings.room is not None and is_too_large(classes, maps, tables, settings.room):
            return train(parts, largest, size, beyond, replace(settings, room=settings.room - SPARE))
        model = _with_tables(classes, maps, tables, settings.coding)
    return Trained(model, None)


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """Classes, maps and counts for weights.

    Attributes:
        classes: see there.
        maps: of each quantizer, the table of each cell.
        tables: counts, shape [quantizers, tables, values].
        cost: about the bits that weights and tables take, and what the squared error is worth in bits.
        crowded: whether more tables would pay by more than a little, but for the room.
        every: levels of each part.
    """

    classes: Classes
    maps: list[list[int]]
    tables: npt.NDArray[np.int64]
    cost: float
    crowded: bool
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
    value_bits = VALUE_BITS + (0 if whole else GUESSED_BITS * times)
    maps = classes.one_table()
    rates = _first_rates(classes, mean)
    counts = np.zeros(0, np.int64)
    every: list[npt.NDArray[np.int16]] = []
    for k in range(settings.rounds):
        last = k == settings.rounds - 1
        states_log2 = settings.states_log2 if last else min(settings.states_log2, FEW_STATES_LOG2)
        classes = replace(classes, states_log2=states_log2)
        context = classes.context(maps)
        every = [search(context, part, rates) for part in parts]
        if automatic and not last:
            classes = _with_automaton(classes, parts, every, size, settings)
            maps = classes.every_table()
        elif classes.cells > 1 and not last:
            classes = _with_thresholds(classes, parts, every, size, settings)
            maps = classes.one_table()
        counts = _counted(classes, maps, parts, every) * times
        if not automatic:
            maps = maps_of(counts, settings.tables, value_bits)
        rates = smoothed(classes, by_table(classes, counts, maps))
    rest = None if whole else np.array(beyond, np.int64)
    tables = _tables(classes, counts, maps, rest, settings.coding)
    enough = _bits(tables, value_bits) * WORTH
    number = classes.cells if automatic else settings.tables
    while number > 1 and not fits(classes, maps, tables, settings.room):
        number -= 1
        if automatic:
            classes = _with_automaton(classes, parts, every, size, replace(settings, tables=number))
            maps, number = classes.every_table(), classes.cells
            counts = _counted(classes, maps, parts, every) * times
        else:
            maps = maps_of(counts, number, value_bits)
        tables = _tables(classes, counts, maps, rest, settings.coding)
    coded = _bits(tables, value_bits)
    if light:
        coded += _rounding(tables)
    bits = coded + int(counts.sum()) * classes.raw_bits
    context = classes.context(maps)
    for part, of in zip(parts, every, strict=True):
        bits += times * (_native.trellis_open_bits(context, of, part.tile, part.coded) + _error(part, of))
    return _Fitted(classes, maps, tables, bits, coded > enough, every)


def _error(part: Part, levels: npt.NDArray[np.int16]) -> float:
    """Squared error of levels, in bits at the search's λ; 0 where that does not weigh bits."""
    if not part.lagrangian:
        return 0.0
    squares = np.square(part.weights - levels)
    if part.importance is not None:
        squares *= part.importance
    return float(squares.sum(dtype=np.float64)) / part.lagrangian


def _counted(
    classes: Classes, maps: list[list[int]], parts: Sequence[Part], every: Sequence[npt.NDArray[np.int16]]
) -> npt.NDArray[np.int64]:
    """How often each cell has each value, shape [quantizers, cells, values]."""
    context = classes.context(maps)
    counts = np.zeros((classes.quantizers, classes.cells, classes.values), np.int64)
    for part, levels in zip(parts, every, strict=True):
        counts += _native.trellis_count(context, levels, part.tile, part.coded)
    return counts


def _with_automaton(
    classes: Classes, parts: Sequence[Part], every: Sequence[npt.NDArray[np.int16]], size: int, settings: Settings
) -> Classes:
    """The classes with the automaton by which levels come out shortest.

    Args:
        classes: of the levels.
        parts: the weights.
        every: their levels.
        size: how many weights the model is for.
        settings: of the model.
    """
    some, levels, number, mean = _some(parts, every, TRIED, classes)

    def cost(automaton: Automaton, start: int) -> float:
        return _cost_of(replace(classes, automaton=automaton, start=start), some, levels, size / number, settings)

    automaton, start = best_automaton(mean, settings.tables, cost)
    return replace(classes, automaton=automaton, start=start)


def _cost_of(
    classes: Classes,
    parts: Sequence[Part],
    every: Sequence[npt.NDArray[np.int16]],
    times: float,
    settings: Settings,
) -> float:
    """Bits of levels by the automaton of classes, so many times those that are here; infinite where it does not fit."""
    maps = classes.every_table()
    tables = _counted(classes, maps, parts, every) * max(round(times), 1)
    if classes.cells > 1 and not fits(classes, maps, tables, settings.room):
        return np.inf
    return _bits_of_slots(tables) + 8 * len(classes.picks())


def _climbed(found: _Fitted, parts: Sequence[Part], size: int, beyond: Sequence[int], settings: Settings) -> _Fitted:
    """The same with an automaton that is adapted to the weights; the rest as for :func:`train`."""
    classes = found.classes
    assert classes.automaton is not None
    some, levels, number, _ = _some(parts, found.every, TRIED, classes)

    def cost(automaton: Automaton) -> float:
        return _cost_of(replace(classes, automaton=automaton), some, levels, size / number, settings)

    adapted = replace(classes, automaton=climbed(classes.automaton, CLIMB, cost))
    sampled = sum(of.size for of in found.every)
    rest = None if sampled == size else np.array(beyond, np.int64)
    counts = _counted(adapted, found.maps, parts, found.every) * max(round(size / sampled), 1)
    tables = _tables(adapted, counts, found.maps, rest, settings.coding)
    return replace(found, classes=adapted, tables=tables) if fits(adapted, found.maps, tables, settings.room) else found


def _with_thresholds(
    classes: Classes, parts: Sequence[Part], every: Sequence[npt.NDArray[np.int16]], size: int, settings: Settings
) -> Classes:
    """The classes with the thresholds, of some that are tried, by which levels come out shortest; as with automata."""
    some, levels, number, mean = _some(parts, every, TRIED_THRESHOLDS, classes)
    times = max(round(size / number), 1)
    value_bits = VALUE_BITS + (0 if number == size else GUESSED_BITS * times)

    def cost(tried: Classes) -> float:
        counts = _counted(tried, tried.one_table(), some, levels) * times
        tables = by_table(tried, counts, maps_of(counts, settings.tables, value_bits))
        return _bits(tables, value_bits)

    least = cost(classes)
    for candidates in (small_levels, large_levels, magnitudes_scaled):
        for tried in candidates(classes, mean):
            if (bits := cost(tried)) < least:
                classes, least = tried, bits
    return classes


def _some(
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


def maps_of(counts: npt.NDArray[np.int64], most: int, value_bits: float = VALUE_BITS) -> list[list[int]]:
    """Of each quantizer, the table of each cell."""
    return [_native.trellis_cluster(np.asarray(of), most, TABLE_BITS, value_bits).tolist() for of in counts]


def _tables(
    classes: Classes,
    counts: npt.NDArray[np.int64],
    maps: Sequence[Sequence[int]],
    rest: npt.NDArray[np.int64] | None,
    coding: Coding,
) -> npt.NDArray[np.int64]:
    """Counts of each table, of all values that it must have; ``rest`` is None if all weights have been counted."""
    tables = by_table(classes, counts, maps)
    if rest is not None:
        tables += _for_the_rest(classes, tables, maps, rest, coding)
    if classes.open:
        tables += _ends(classes, tables)
    return tables


def _bits(tables: npt.NDArray[np.int64], value_bits: float = VALUE_BITS) -> float:
    """About what values and tables take together."""
    totals = tables.sum(2)
    values = int((totals * log2(totals)).sum() - (tables * log2(tables)).sum()) / (1 << FRACTION)
    return values + TABLE_BITS * np.count_nonzero(totals) + value_bits * np.count_nonzero(tables)


def _bits_of_slots(tables: npt.NDArray[np.int64]) -> float:
    """About what values and tables of 256 slots take together: no value has less than a slot."""
    totals = np.maximum(tables.sum(2, keepdims=True), 1)
    slots = np.where(tables > 0, np.maximum((tables << 16) // totals, 1 << 8), 0)
    values = int((tables * (log2(slots.sum(2, keepdims=True)) - log2(slots))).sum()) / (1 << FRACTION)
    return values + TABLE_BITS * np.count_nonzero(tables.any(2)) + VALUE_BITS * np.count_nonzero(tables)


def _rounding(tables: npt.NDArray[np.int64]) -> float:
    """Bits that 256 slots take more than an ideal table."""
    lost = 0.0
    for counts in tables.reshape(-1, tables.shape[2]):
        used = counts[counts > 0]
        if len(used) > 1:
            total = int(counts.sum())
            ideal = int(total * log2(np.array(total)) - (used * log2(used)).sum()) / (1 << FRACTION)
            lost += fit(used, 8).bits(used) - ideal if len(used) <= 1 << 8 else np.inf
    return lost


def _for_the_rest(
    classes: Classes,
    tables: npt.NDArray[np.int64],
    maps: Sequence[Sequence[int]],
    beyond: npt.NDArray[np.int64],
    coding: Coding,
) -> npt.NDArray[np.int64]:
    """What tables for a sample have more, for weights that are not in it."""
    more = _missing(classes, tables, maps, beyond)
    if coding == "contexts":  # tables of 256 slots cannot spare any
        more += _margins(classes, tables + more, maps)
    if classes.raw_bits:  # there are thousands of levels, of which a sample cannot have all that come
        more += _every(classes, tables + more, maps)
    return more


def widened(model: Model, part: Part, levels: npt.NDArray[np.int16], coding: Coding) -> Model | None:
    """The model with the values that weights call for and its tables lack; None if they lack none.

    Args:
        model: that the levels were found with.
        part: the weights.
        levels: of the shape of the weights.
        coding: of the model.
    """
    more = _lacking(model, part, levels)
    if not more.any():
        return None
    # So many counts that a value which is added is as rare as can be.
    return _with_tables(model.classes, model.maps, 64 * model.frequencies.astype(np.int64) + more, coding)


def is_too_large(classes: Classes, maps: Sequence[Sequence[int]], tables: npt.NDArray[np.generic], room: int) -> bool:
    """Whether tables that an automaton picks do not fit, and fewer would."""
    return classes.automaton is not None and classes.cells > 1 and not fits(classes, maps, tables, room)


def recounted(model: Model, part: Part, levels: npt.NDArray[np.int16], settings: Settings) -> Model:
    """The model with maps and tables by all levels, where it was made from a sample; itself if that does not fit.

    Args:
        model: that the levels were found with.
        part: the weights.
        levels: of the shape of the weights.
        settings: that the model was made with.
    """
    classes, maps = model.classes, model.maps
    automatic = classes.automaton is not None
    coding = "contexts" if settings.coding == "light" and not automatic else settings.coding
    counts = _counted(classes, maps, [part], [levels])
    for most in range(1 if automatic else settings.tables, 0, -1):
        if not automatic:
            maps = maps_of(counts, most)
        tables = _tables(classes, counts, maps, None, coding)
        if coding in {"rans", "prefix"} or fits(classes, maps, tables, settings.room):
            return _with_tables(classes, maps, tables, coding)
    return model


def search(
    context: _native.TrellisContext, part: Part, rates: npt.NDArray[np.float32], largest: int = LARGEST
) -> npt.NDArray[np.int16]:
    """Levels of weights that cost least at these rates, none larger than this; see ``trellis_quantize``."""
    return _native.trellis_quantize(
        context, part.weights, part.tile, rates, part.lagrangian, part.importance, largest, part.coded
    )


def _first_rates(classes: Classes, mean: float) -> npt.NDArray[np.float32]:
    """Of a Laplacian of this mean magnitude."""
    size = np.abs(np.arange(-classes.lo, classes.hi + 1)).astype(np.float64)
    slope = 1.4426950408889634 / max(mean, 0.2)
    rates = np.full((classes.quantizers, 1, classes.values), NEVER, np.float32)
    for u in range(classes.quantizers):
        places = classes.of_quantizer(u)
        bits = np.minimum(size[places] * slope, 24)
        least = float(np.log2(np.exp2(-bits).sum()))
        rates[u, 0, places] = (bits + round(least * 1024) / 1024).astype(np.float32)
    return rates


def by_table(classes: Classes, counts: npt.NDArray[np.int64], maps: Sequence[Sequence[int]]) -> npt.NDArray[np.int64]:
    """Counts of the cells of each table, shape [quantizers, tables, values]."""
    tables = np.zeros((classes.quantizers, max(map(max, maps)) + 1, classes.values), np.int64)
    for u, of in enumerate(maps):
        for cell, table in enumerate(of):
            tables[u, table] += counts[u, cell]
    return tables


def smoothed(classes: Classes, tables: npt.NDArray[np.int64], weight: int = 2) -> npt.NDArray[np.float32]:
    """Rates that leave every value of a quantizer possible, so that the next round may find a use for it.

    Args:
        classes: of the model.
        tables: counts, shape [quantizers, tables, values].
        weight: what the distribution in all tables together counts in each of them, in weights.
    """
    rates = np.full(tables.shape, NEVER, np.float32)
    for u in range(classes.quantizers):
        places = classes.of_quantizer(u)
        # In units of 1/64: a value counts 1/64 more, and as often as in all tables together at this weight.
        all_of = tables[u][:, places].sum(0)
        share = 64 * weight * all_of // max(int(all_of.sum()), 1)
        counts = 64 * tables[u][:, places] + share + 1
        bits = (log2(counts.sum(1, keepdims=True)) - log2(counts)) / (1 << FRACTION)
        rates[u][:, places] = np.minimum(bits, 18)
    return rates


def _outermost(classes: Classes, u: int) -> npt.NDArray[np.int64]:
    """Places of the values of a quantizer that stand for what lies beyond, too."""
    places, reach = classes.of_quantizer(u), 2 if classes.states_log2 else 1
    return np.concatenate((places[:reach], places[-reach:]))


def _ends(classes: Classes, tables: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """One for the outermost values of either end that a table lacks."""
    more = np.zeros_like(tables)
    for u in range(classes.quantizers):
        outermost = _outermost(classes, u)
        more[u][:, outermost] = tables[u][:, outermost] == 0
    return more


def _margins(classes: Classes, tables: npt.NDArray[np.int64], maps: Sequence[Sequence[int]]) -> npt.NDArray[np.int64]:
    """One for the values that a table lacks between those it has, and half as far out again."""
    more = np.zeros_like(tables)
    for u, of in enumerate(maps):
        places = classes.of_quantizer(u)
        for t in range(max(of) + 1):
            counts = tables[u, t, places]
            used = places[counts > 0] - classes.lo
            if not len(used):
                continue
            low, high = (MARGIN * min(int(used[0]), 0)) - 4, (MARGIN * max(int(used[-1]), 0)) + 4
            inside = (places - classes.lo >= low) & (places - classes.lo <= high)
            more[u, t, places] = inside & (counts == 0)
    return more


def _every(classes: Classes, tables: npt.NDArray[np.int64], maps: Sequence[Sequence[int]]) -> npt.NDArray[np.int64]:
    """One for each value that a table lacks."""
    more = np.zeros_like(tables)
    for u, of in enumerate(maps):
        places = classes.of_quantizer(u)
        more[u, : max(of) + 1, places] = tables[u, : max(of) + 1, places] == 0
    return more


def _with_tables(classes: Classes, maps: list[list[int]], tables: npt.NDArray[np.int64], coding: Coding) -> Model:
    """Tables with as many slots as make the stream shortest."""
    best: tuple[float, Model] | None = None
    for m in BITS_OF_SLOTS[coding]:
        frequencies = np.zeros(tables.shape, np.uint32)
        bits = 0.0
        for u, of in enumerate(maps):
            places = classes.of_quantizer(u)
            for t in range(max(of) + 1):
                counts = tables[u, t, places]
                smallest = int(np.argmin(np.abs(places - classes.lo)))
                if coding != "contexts":
                    counts = _of_two(counts, smallest)
                if coding == "prefix":
                    frequencies[u, t, places] = _of_codes(counts)
                    continue
                if not counts.any():  # nothing comes here; still a table must be
                    frequencies[u, t, places[smallest]] = 1 << m
                    continue
                if np.count_nonzero(counts) > 1 << m:
                    bits = np.inf
                    continue
                found = fit(counts, m)
                frequencies[u, t, places[: len(found.values)]] = found.values
                bits += found.bits(counts)
        model = Model(classes, m, maps, frequencies, coding == "prefix")
        bits += 8 * len(model.serialize()) if bits < np.inf else 0
        if best is None or bits < best[0]:
            best = bits, model
    assert best is not None
    return best[1]


def _of_two(counts: npt.NDArray[np.int64], smallest: int) -> npt.NDArray[np.int64]:
    """Counts of two values at least: a code takes a bit, and entries of firmware cannot tell 2^8 slots of one value.

    Args:
        counts: of the values of a quantizer.
        smallest: place of its smallest value, which counts in any case then. So does one beside it.
    """
    counts = counts.copy()
    for place in (smallest, smallest + 1 if smallest + 1 < len(counts) else smallest - 1):
        if np.count_nonzero(counts) < 2:
            counts[place] += counts[place] == 0
    return counts


def _of_codes(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """Slots, of 2^8, that prefix codes of at most 8 bits stand for."""
    lengths = _native.code_lengths(counts, 8).astype(np.uint32)
    return np.where(counts > 0, np.uint32(1) << (8 - lengths), 0).astype(np.uint32)


def _missing(
    classes: Classes, tables: npt.NDArray[np.int64], maps: Sequence[Sequence[int]], wanted: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """One for each value, and its neighbours, that wanted levels call for and a table lacks."""
    more = np.zeros_like(tables)
    first = wanted >> classes.raw_bits
    beside: tuple[int, ...] = (-1, 0, 1)
    if classes.raw_bits:  # all that share the bits of a level that are coded
        first, beside = first & -4, (0, 1, 2, 3)
    # Which table it is that will need them is not asked: such weights are few.
    for place in np.unique(np.concatenate([first + k for k in beside])) + classes.lo:
        if 0 <= place < classes.values:
            u = int(place - classes.lo) & 1 if classes.states_log2 else 0
            more[u, :, place] = tables[u, :, place] == 0
    # Tables that a quantizer does not have stay empty.
    for u, of in enumerate(maps):
        more[u, max(of) + 1 :] = 0
    return more


def _lacking(model: Model, part: Part, levels: npt.NDArray[np.int16]) -> npt.NDArray[np.int64]:
    """Values that a table lacks although a weight calls for them: one each."""
    off = np.square(part.weights - levels)
    if part.importance is not None:
        off *= part.importance
    far = off > LOST * 4.0**model.classes.raw_bits
    wanted = np.rint(part.weights[far]).astype(np.int64)
    return _missing(model.classes, model.frequencies.astype(np.int64), model.maps, wanted)

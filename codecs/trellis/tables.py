"""Tables: how often their values occur, what they cost, and the frequencies that a stream has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.kmeans.frequencies import fit
from neuralcodec.codecs.trellis.model import NEVER, Classes, Model
from neuralcodec.codecs.trellis.settings import Coding
from neuralcodec.logarithm import FRACTION, log2

TABLE_BITS, VALUE_BITS = 16.0, 6.0
"""About what a table takes, and each of its values."""

GUESSED_BITS = 1.44
"""What each value of a table made from a sample takes besides, for each time that the sample goes into the weights.

A table looks better on the sample by half a nat a value than it is, and does worse on other weights by as much: each
value is a parameter that is estimated (Akaike 1974)."""

BITS_OF_SLOTS = {"contexts": range(9, 13), "light": range(8, 9), "rans": range(8, 9), "prefix": range(8, 9)}
"""What m may be: firmware looks up 2^8 slots, unless it searches."""

MARGIN = 1.5
"""How much further out values of a table reach than those of the sample it was made from."""


def value_bits_of(size: int, number: int) -> float:
    """About what a value of a table takes that is made from so many of the weights that it is for."""
    return VALUE_BITS + (0 if number == size else GUESSED_BITS * max(round(size / number), 1))


def first_rates(classes: Classes, mean: float) -> npt.NDArray[np.float32]:
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


def maps_of(counts: npt.NDArray[np.int64], most: int, value_bits: float = VALUE_BITS) -> list[list[int]]:
    """Of each quantizer, the table of each cell."""
    return [_native.trellis_cluster(np.asarray(of), most, TABLE_BITS, value_bits).tolist() for of in counts]


def tables_of(
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


def _for_the_rest(
    classes: Classes,
    tables: npt.NDArray[np.int64],
    maps: Sequence[Sequence[int]],
    beyond: npt.NDArray[np.int64],
    coding: Coding,
) -> npt.NDArray[np.int64]:
    """What tables for a sample have more, for weights that are not in it."""
    more = missing(classes, tables, maps, beyond)
    if coding == "contexts":  # tables of 256 slots cannot spare any
        more += _margins(classes, tables + more, maps)
    if classes.raw_bits:  # there are thousands of levels, of which a sample cannot have all that come
        more += _every(classes, tables + more, maps)
    return more


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


def missing(
    classes: Classes,
    tables: npt.NDArray[np.int64],
    maps: Sequence[Sequence[int]],
    wanted: npt.NDArray[np.int64],
    of: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.int64]:
    """One for each value, and its neighbours, that wanted levels call for and a table lacks.

    Args:
        classes: of the tables.
        tables: counts, shape [quantizers, tables, values].
        maps: of each quantizer, the table of each cell.
        wanted: levels.
        of: the number of the table that each of them is for; None for all, where such weights are few.
    """
    more = np.zeros_like(tables)
    first = wanted >> classes.raw_bits
    beside: tuple[int, ...] = (-1, 0, 1)
    if classes.raw_bits:  # all that share the bits of a level that are coded
        first, beside = first & -4, (0, 1, 2, 3)
    for table in (None,) if of is None else np.unique(of).tolist():
        some = first if table is None else first[of == table]
        which = slice(None) if table is None else table
        for place in np.unique(np.concatenate([some + k for k in beside])) + classes.lo:
            if 0 <= place < classes.values:
                u = int(place - classes.lo) & 1 if classes.states_log2 else 0
                more[u, which, place] = tables[u, which, place] == 0
    # Tables that a quantizer does not have stay empty.
    for u, each in enumerate(maps):
        more[u, max(each) + 1 :] = 0
    return more


def bits_of(tables: npt.NDArray[np.int64], value_bits: float = VALUE_BITS) -> float:
    """About what values and tables take together."""
    totals = tables.sum(2)
    values = int((totals * log2(totals)).sum() - (tables * log2(tables)).sum()) / (1 << FRACTION)
    return values + TABLE_BITS * np.count_nonzero(totals) + value_bits * np.count_nonzero(tables)


def bits_of_slots(tables: npt.NDArray[np.int64]) -> float:
    """About what values and tables of 256 slots take together: no value has less than a slot."""
    totals = np.maximum(tables.sum(2, keepdims=True), 1)
    slots = np.where(tables > 0, np.maximum((tables << 16) // totals, 1 << 8), 0)
    values = int((tables * (log2(slots.sum(2, keepdims=True)) - log2(slots))).sum()) / (1 << FRACTION)
    return values + TABLE_BITS * np.count_nonzero(tables.any(2)) + VALUE_BITS * np.count_nonzero(tables)


def rounding(tables: npt.NDArray[np.int64]) -> float:
    """Bits that 256 slots take more than an ideal table."""
    lost = 0.0
    for counts in tables.reshape(-1, tables.shape[2]):
        used = counts[counts > 0]
        if len(used) > 1:
            total = int(counts.sum())
            ideal = int(total * log2(np.array(total)) - (used * log2(used)).sum()) / (1 << FRACTION)
            lost += fit(used, 8).bits(used) - ideal if len(used) <= 1 << 8 else np.inf
    return lost


def model_of(classes: Classes, maps: list[list[int]], tables: npt.NDArray[np.int64], coding: Coding) -> Model:
    """Tables with as many slots as make the stream shortest."""
    return sized_model_of(classes, maps, tables, coding)[1]


def sized_model_of(
    classes: Classes, maps: list[list[int]], tables: npt.NDArray[np.int64], coding: Coding
) -> tuple[float, Model]:
    """The same, with the bits that it and the counted values take; those of prefix codes leave the values out."""
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
    return best


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

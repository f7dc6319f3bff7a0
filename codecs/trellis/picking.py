"""What picks tables: the thresholds, or the automaton, by which levels come out shortest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from neuralcodec.codecs.trellis.automaton import Automaton, best_automaton, climbed
from neuralcodec.codecs.trellis.classes import large_levels, magnitudes_scaled, small_levels
from neuralcodec.codecs.trellis.model import Classes, fits
from neuralcodec.codecs.trellis.parts import Part, counts_of, some_tiles
from neuralcodec.codecs.trellis.settings import Settings
from neuralcodec.codecs.trellis.tables import bits_of, bits_of_slots, by_table, maps_of, value_bits_of

TRIED, TRIED_THRESHOLDS = 1 << 15, 1 << 16
"""So many levels tell which automaton, and which thresholds, are best."""

CLIMB = 400
"""Most automata that are tried to adapt the best of the usual ones."""


def with_automaton(
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
    some, levels, number, mean = some_tiles(parts, every, TRIED, classes)

    def cost(automaton: Automaton, start: int) -> float:
        return _cost_of(replace(classes, automaton=automaton, start=start), some, levels, size / number, settings)

    automaton, start = best_automaton(mean, settings.tables, cost)
    return replace(classes, automaton=automaton, start=start)


def adapted(
    classes: Classes, parts: Sequence[Part], every: Sequence[npt.NDArray[np.int16]], size: int, settings: Settings
) -> Classes:
    """The classes with an automaton that is made from theirs, one rule at a time; as :func:`with_automaton`."""
    assert classes.automaton is not None
    some, levels, number, _ = some_tiles(parts, every, TRIED, classes)

    def cost(automaton: Automaton) -> float:
        return _cost_of(replace(classes, automaton=automaton), some, levels, size / number, settings)

    return replace(classes, automaton=climbed(classes.automaton, CLIMB, cost))


def _cost_of(
    classes: Classes,
    parts: Sequence[Part],
    every: Sequence[npt.NDArray[np.int16]],
    times: float,
    settings: Settings,
) -> float:
    """Bits of levels by the automaton of classes, so many times those that are here; infinite where it does not fit."""
    maps = classes.every_table()
    tables = counts_of(classes, maps, parts, every) * max(round(times), 1)
    if classes.cells > 1 and not fits(classes, maps, tables, settings.room):
        return np.inf
    return bits_of_slots(tables) + 8 * len(classes.picks())


def with_thresholds(
    classes: Classes, parts: Sequence[Part], every: Sequence[npt.NDArray[np.int16]], size: int, settings: Settings
) -> Classes:
    """The classes with the thresholds, of some that are tried, by which levels come out shortest; as with automata."""
    some, levels, number, mean = some_tiles(parts, every, TRIED_THRESHOLDS, classes)
    times, value_bits = max(round(size / number), 1), value_bits_of(size, number)

    def cost(tried: Classes) -> float:
        counts = counts_of(tried, tried.one_table(), some, levels) * times
        tables = by_table(tried, counts, maps_of(counts, settings.tables, value_bits))
        return bits_of(tables, value_bits)

    least = cost(classes)
    for candidates in (small_levels, large_levels, magnitudes_scaled):
        for tried in candidates(classes, mean):
            if (bits := cost(tried)) < least:
                classes, least = tried, bits
    return classes

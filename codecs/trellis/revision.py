"""A model of levels that are known: with values that it lacks, or with tables made from all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.trellis.model import Classes, Model, fits
from neuralcodec.codecs.trellis.parts import Part, counts_of
from neuralcodec.codecs.trellis.settings import Coding, Settings
from neuralcodec.codecs.trellis.tables import maps_of, missing, model_of, sized_model_of, tables_of

FEW = 1 << 14
"""Of so few levels the tables are a large part: fewer of them are tried by what they take, not by an estimate of it."""

FEWER = 0.995
"""Where they must take less by this factor: what is within it, whole bytes of tiles decide."""

LOST = 20.0
"""A squared error, in squared steps, that only a value which its table lacks explains."""


def lacking(model: Model, part: Part, levels: npt.NDArray[np.int16]) -> npt.NDArray[np.int64]:
    """Values that a table lacks although a weight calls for them: one each.

    Where an automaton picks tables it is the one at the weight, else all, as room is short there: firmware has 8 bytes
    for each value of each table.
    """
    off = np.square(part.weights - levels)
    if part.importance is not None:
        off *= part.importance
    far = off > LOST * 4.0**model.classes.raw_bits
    wanted = np.rint(part.weights[far]).astype(np.int64)
    tables = None
    if model.classes.automaton is not None and far.any():
        tables = _native.trellis_tables(model.context(), levels, part.tile, part.coded)[far]
    return missing(model.classes, model.frequencies.astype(np.int64), model.maps, wanted, tables)


def widened(model: Model, part: Part, levels: npt.NDArray[np.int16], coding: Coding) -> Model | None:
    """The model with the values that weights call for and its tables lack; None if they lack none.

    Args:
        model: that the levels were found with.
        part: the weights.
        levels: of the shape of the weights.
        coding: of the model.
    """
    more = lacking(model, part, levels)
    if not more.any():
        return None
    # So many counts that a value which is added is as rare as can be.
    return model_of(model.classes, model.maps, 64 * model.frequencies.astype(np.int64) + more, _coding(model, coding))


def _coding(model: Model, wanted: Coding) -> Coding:
    """Of a model: "light" takes contexts where levels have raw bits."""
    return "contexts" if wanted == "light" and model.classes.automaton is None else wanted


def recounted(model: Model, parts: Sequence[Part], every: Sequence[npt.NDArray[np.int16]], settings: Settings) -> Model:
    """The model with maps and tables by all levels, whatever it was made from; itself if that does not fit.

    Args:
        model: that the levels were found with.
        parts: all weights.
        every: levels of each part.
        settings: that the model was made with.
    """
    classes, maps = model.classes, model.maps
    automatic, coding = classes.automaton is not None, _coding(model, settings.coding)
    counts = counts_of(classes, maps, parts, every)
    best: tuple[float, Model] | None = None
    for most in range(1 if automatic else settings.tables, 0, -1):
        if not automatic:
            before, maps = maps, maps_of(counts, most)
            if best is not None and maps == before:  # more tables than these do not pay
                continue
        tables = tables_of(classes, counts, maps, None, coding)
        if coding not in {"rans", "prefix"} and not fits(classes, maps, tables, settings.room):
            continue
        found = sized_model_of(classes, maps, tables, coding)
        if best is None or found[0] < FEWER * best[0]:
            best = found
        if counts.sum() > FEW:
            break
    return model if best is None else best[1]


def is_too_large(classes: Classes, maps: Sequence[Sequence[int]], tables: npt.NDArray[np.generic], room: int) -> bool:
    """Whether tables that an automaton picks do not fit, and fewer would."""
    return classes.automaton is not None and classes.cells > 1 and not fits(classes, maps, tables, room)

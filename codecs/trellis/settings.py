"""What training is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Coding = Literal["contexts", "light", "rans", "prefix"]


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
        norm: whether weights decode to the norm they had.
        open_ends: whether values may stand for all that lie beyond them, with "light".
    """

    states_log2: int
    tables: int
    magnitudes: int
    signs: int
    coding: Coding
    room: int | None
    rounds: int
    norm: bool
    open_ends: bool = True

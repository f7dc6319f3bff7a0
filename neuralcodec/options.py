"""Checks that options of codecs have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence


def check_integer(name: str, value: object, least: int, most: int) -> None:
    """Refuses what is neither None nor an integer in a range.

    Raises:
        ValueError: it names the option and the range.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most):
        raise ValueError(f"{name}: an integer from {least} to {most} or None expected, not {value!r}")


def check_number(name: str, value: object, least: float) -> None:
    """Refuses what is not a finite number from ``least`` on.

    Raises:
        ValueError: it names the option and the bound.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < math.inf:
        raise ValueError(f"{name}: a number from {least:g} on expected, not {value!r}")


def check_choice(name: str, value: object, known: Sequence[str]) -> None:
    """Refuses what is not one of some words.

    Raises:
        ValueError: it names the option and the words.
    """
    if value not in known:
        raise ValueError(f"{name}: {', '.join(map(repr, known[:-1]))} or {known[-1]!r} expected, not {value!r}")

"""Checks that options of codecs have in common."""

from __future__ import annotations


def check_integer(name: str, value: object, least: int, most: int) -> None:
    """Refuses what is neither None nor an integer in a range.

    Raises:
        ValueError: it names the option and the range.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most):
        raise ValueError(f"{name}: an integer from {least} to {most} or None expected, not {value!r}")

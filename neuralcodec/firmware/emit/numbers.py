"""Numbers and arrays in C."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

WIDTH = 118


def real(value: float) -> str:
    """A float constant that reads back as the very same float32."""
    text = repr(float(np.float32(value)))
    short = str(np.float32(value))
    if np.float32(short) == np.float32(value):
        text = short
    return f"{text}f" if any(c in text for c in ".en") else f"{text}.0f"


def integer(value: int) -> str:
    """An integer constant; the least one of 32 bits is none in C."""
    return "-2147483647 - 1" if value == -(1 << 31) else str(value)


def array(kind: str, name: str, values: Iterable[str]) -> list[str]:
    """Lines of a constant array."""
    given = list(values)
    lines = [f"static const {kind} {name}[{len(given)}] = {{"]
    return [*lines, *rows(given), "};"]


def rows(values: Iterable[str]) -> list[str]:
    """Values between commas, in lines of a decent width."""
    lines: list[str] = []
    line = "   "
    for value in values:
        if len(line) + len(value) + 2 > WIDTH:
            lines.append(line)
            line = "   "
        line += f" {value},"
    if line.strip():
        lines.append(line)
    if lines:
        lines[-1] = lines[-1].removesuffix(",")
    return lines

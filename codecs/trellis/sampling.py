"""Some of many weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from neuralcodec.codecs.trellis.parts import Part

SAMPLE, SAMPLES = 1 << 17, 1 << 20
"""Most weights of a tensor, and of all tensors, that a model is made from."""

STRIP = 64
"""Rows, or columns, of a sample that lie together."""

GOLDEN = 40_503
"""2^16 over the golden ratio: multiples of it, modulo 2^16, lie evenly, and nearly repeat as late as can be."""


def piece(of: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Strips of rows and of columns, of about ``SAMPLE`` weights at most, from all over."""
    rows, cols = of.shape
    wanted = min(cols, max(SAMPLE // min(rows, 512), 1))
    down = min(rows, max(SAMPLE // wanted, 1))
    return np.ascontiguousarray(of[np.ix_(_strips(rows, down), _strips(cols, wanted))])


def thinned(part: Part, share: float) -> Part:
    """Some lines, from the first to the last; of very long ones the middle."""
    count, length = part.weights.shape
    lines = _spaced(count, max(round(share * count), 1))
    kept = min(length, max(round(share * count * length / len(lines)), 1))
    along = slice((length - kept) // 2, (length + kept) // 2)

    def some(of: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.ascontiguousarray(of[lines, along])

    importance = None if part.importance is None else some(part.importance)
    return replace(part, weights=some(part.weights), importance=importance, coded=None)


def _strips(n: int, wanted: int) -> npt.NDArray[np.int64]:
    """About so many of n indices, in runs over which levels tell of each other."""
    count = max(wanted // STRIP, 1)
    if wanted == n or count == 1:
        return np.arange(wanted) + (n - wanted) // 2
    starts = np.linspace(0, n - STRIP, count).astype(np.int64)
    return (starts[:, None] + np.arange(STRIP)).reshape(-1)


def _spaced(n: int, wanted: int) -> npt.NDArray[np.int64]:
    """So many of n indices, one of each run of them, at places that follow no period, as the lines of a kernel do."""
    starts = np.arange(min(wanted, n) + 1) * n // min(wanted, n)
    return starts[:-1] + (np.arange(len(starts) - 1) * GOLDEN % (1 << 16) * np.diff(starts) >> 16)

"""Samples of large tensors: some rows and columns of the matrix, chosen at random but always the same."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from neuralcodec.tensor import Tensor, TensorSpec

SEED = 0
RUN = 16
"""Rows that lie together in a strip."""

FEWEST_ROWS = 64
"""A sample keeps as many rows, and as many columns, where there are so many: their scales are looked at too."""


def sample(tensor: Tensor, most: int) -> Tensor:
    """The tensor itself, or a matrix of about ``most`` of its weights, with sides in the proportion of the tensor's.

    Both are drawn at random, because weights a fixed stride apart may all be of one place of a convolution kernel.
    """
    rows, cols = tensor.spec.rows, tensor.spec.cols
    if tensor.spec.size <= most:
        return tensor
    shrink = math.sqrt(most / tensor.spec.size)
    kept_rows = min(rows, max(FEWEST_ROWS, round(rows * shrink)))
    kept_cols = min(cols, max(FEWEST_ROWS, most // kept_rows))
    kept_rows = min(rows, max(1, most // kept_cols))
    return submatrix(tensor, draw(rows, kept_rows), draw(cols, kept_cols))


def strip(tensor: Tensor, most: int) -> Tensor:
    """The tensor itself, or about ``most`` of its weights that lie together, for codecs that look at neighbours.

    Runs of whole rows from all over the matrix, as tiles are; of rows that are too long for that, one run of columns.
    """
    rows, cols = tensor.spec.rows, tensor.spec.cols
    if tensor.spec.size <= most:
        return tensor
    kept_cols = min(cols, max(most // min(rows, FEWEST_ROWS), 1))
    kept_rows = min(rows, max(most // kept_cols, 1))
    first = (cols - kept_cols) // 2
    return submatrix(tensor, _runs(rows, kept_rows), np.arange(first, first + kept_cols))


def _runs(count: int, kept: int) -> npt.NDArray[np.int64]:
    """About ``kept`` of the numbers 0 … count − 1, in runs of ``RUN``; shape [kept]."""
    runs = kept // RUN
    if kept >= count or runs < 2:
        return np.arange(min(kept, count)) + (count - min(kept, count)) // 2
    starts = np.linspace(0, count - RUN, runs).astype(np.int64)
    found: npt.NDArray[np.int64] = np.unique(starts[:, None] + np.arange(RUN))
    return found


def submatrix(tensor: Tensor, rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64]) -> Tensor:
    """The weights where some rows and columns of the matrix cross, as a tensor of two dimensions (one, if it had one).

    Args:
        tensor: any.
        rows: indices, shape [kept rows].
        cols: indices, shape [kept columns].
    """
    spec = tensor.spec
    elements = tensor.elements()
    # Element by element of a large matrix each access misses the caches: whole rows first, if they are few.
    kept = elements[rows][:, cols] if len(rows) * spec.cols < 1 << 22 else elements[rows[:, None], cols]
    shape = (len(rows), len(cols)) if len(spec.shape) >= 2 else (len(cols),)
    data = np.ascontiguousarray(kept).reshape(-1).view(np.uint8)
    return Tensor(TensorSpec(spec.name, spec.dtype, shape), data)


def draw(count: int, kept: int) -> npt.NDArray[np.int64]:
    """``kept`` of the numbers 0 … count − 1, ascending; shape [kept]. The same ones for the same arguments."""
    if kept >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(SEED).choice(count, kept, replace=False, shuffle=False))

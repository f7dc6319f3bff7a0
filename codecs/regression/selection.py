"""Which part of a tensor is stored."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from neuralcodec import _native

Selection = Literal["greedy", "importance", "grid", "random"]
SELECTIONS: tuple[Selection, ...] = ("greedy", "importance", "grid", "random")

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.uint32]

WORK = 1_500_000_000
"""Products that looking for rows may take, which bounds how many are looked at in large tensors."""


def order_rows(
    weights: Floats, importance: Floats | None, how: Selection, seed: int, noise: float
) -> tuple[Indices, npt.NDArray[np.float64]]:
    """Rows in the order in which they would be stored, half of all at most.

    Args:
        weights: shape [rows, cols].
        importance: of the same shape, or None.
        how: "greedy": the row that those before leave most of comes next (column-pivoted QR of the transpose).
            "importance": the longest come first, lengths weighted. "grid": evenly spaced. "random".
        seed: of "random".
        noise: mean squared error of what codes the rest.

    Returns:
        The rows, shape [most], and for each number of them from 0 on about how many bits the rest of all others takes
        that no sum of them gives, shape [most + 1].
    """
    rows = len(weights)
    most = max(1, min(rows // 2, WORK // max(weights.size, 1)))
    if how == "greedy":
        return _native.pivot_rows(weights, most, None, noise)
    if how == "importance":
        energy = np.square(weights, dtype=np.float64)
        if importance is not None:
            energy *= importance
        order = np.argsort(-energy.sum(axis=1), kind="stable")
    elif how == "grid":
        order = _spread(rows)
    else:
        order = np.random.Generator(np.random.PCG64(seed)).permutation(rows)
    return _native.pivot_rows(weights, most, order[:most].astype(np.uint32), noise)


def places(
    weights: Floats, importance: Floats | None, how: Selection, share: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Weights that are stored before anything is known of what infers the others, shape [rows, cols].

    "greedy" chooses none: those that the regressor misses most are stored.
    """
    count = round(share * weights.size)
    chosen = np.zeros(weights.size, bool)
    if how == "importance":
        energy = np.square(weights, dtype=np.float64)
        if importance is not None:
            energy *= importance
        chosen[np.argsort(-energy.reshape(-1), kind="stable")[:count]] = True
    elif how == "grid" and count:
        chosen[np.arange(count) * weights.size // count] = True
    elif how == "random":
        chosen[np.random.Generator(np.random.PCG64(seed)).permutation(weights.size)[:count]] = True
    return chosen.reshape(weights.shape)


def _spread(n: int) -> npt.NDArray[np.int64]:
    """The numbers below n, so that any first part of them is spread evenly: halves, quarters, and so on."""
    wide = 1 << (n - 1).bit_length()
    order = np.zeros(1, np.int64)
    while len(order) < wide:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order[order < n]

"""Codebooks: the types of centroids, and how they stand in a stream (docs/format.md, section 10.1)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

Centroids = Literal["fp32", "fp16", "bf16", "int8"]

TYPES: dict[Centroids, int] = {"fp32": 0, "fp16": 1, "bf16": 2, "int8": 3}
"""Numbers in the stream."""

MOST_LEVEL = 127

Values = npt.NDArray[np.float64]


def round_to(centroids: Values, kind: Centroids, step: float) -> Values:
    """Centroids as a type holds them: for int8 integers that count steps, else floats. Equal ones stay apart."""
    if kind == "int8":
        levels: Values = np.clip(np.rint(centroids / step), -MOST_LEVEL, MOST_LEVEL)
        return levels + 0.0  # no -0
    if kind == "bf16":
        return torch.from_numpy(centroids).to(torch.bfloat16).double().numpy()
    most = float(np.finfo(np.float16 if kind == "fp16" else np.float32).max)
    inside = np.clip(centroids, -most, most)
    return inside.astype(np.float16 if kind == "fp16" else np.float32).astype(np.float64)


def serialize(books: npt.NDArray[np.float64], kind: Centroids) -> bytes:
    """Codebooks of one type and size, shape [groups, K], rounded by :func:`round_to`."""
    if kind == "bf16":
        data = torch.from_numpy(books).to(torch.bfloat16).view(torch.int16).numpy().astype("<i2").tobytes()
    else:
        data = books.astype({"fp32": "<f4", "fp16": "<f2", "int8": "i1"}[kind]).tobytes()
    return bytes((TYPES[kind], books.shape[1] - 1)) + data

"""What codecs that quantize ask of weights first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from neuralcodec import _native
from neuralcodec.dtypes import DType
from neuralcodec.errors import SourceError
from neuralcodec.tensor import Tensor


def finite_weights(tensor: Tensor) -> npt.NDArray[np.float32]:
    """The weights as float32, C order, in the matrix of rows by columns.

    Raises:
        SourceError: some are NaN, infinite, or beyond the range of float32.
    """
    weights = np.ascontiguousarray(tensor.float32())
    _, _, bad = _native.scan(weights)
    if bad:
        raise SourceError(
            f"{bad} of {tensor.spec.size} weights are not finite float32 numbers, which levels cannot express",
            tensor=tensor.spec.name,
        )
    return weights


def largest_weight(dtype: DType) -> float:
    """The largest weight that a dtype holds and float32 as well."""
    return float(min(torch.finfo(dtype.torch).max, torch.finfo(torch.float32).max))


def counted(tensor: Tensor) -> npt.NDArray[np.float32] | None:
    """The importance with a mean of 1, so that λ keeps its meaning."""
    if tensor.importance is None:
        return None
    mean = float(tensor.importance.mean(dtype=np.float64))
    scaled: npt.NDArray[np.float32] = (tensor.importance / np.float32(mean)).astype(np.float32)
    return scaled

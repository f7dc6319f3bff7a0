"""A tensor on its way to a codec and back: name, element type, shape and element bytes.

A weight tensor is looked at as a matrix of rows (output channels) by columns (fan-in); docs/format.md, section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from neuralcodec.dtypes import DType

MIN_WEIGHTS = 256
"""Smaller tensors are kept exact: quantizing them saves next to nothing and may cost accuracy."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a decoder must know of a tensor besides its payload."""

    name: str
    dtype: DType
    shape: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Rows of the matrix view."""
        return self.shape[0] if len(self.shape) >= 2 else 1

    @property
    def cols(self) -> int:
        """Columns of the matrix view."""
        return math.prod(self.shape[1:]) if len(self.shape) >= 2 else math.prod(self.shape)

    @property
    def is_small(self) -> bool:
        """Whether it has fewer than two dimensions or ``MIN_WEIGHTS`` weights: no step and no codebook pays then."""
        return len(self.shape) < 2 or self.size < MIN_WEIGHTS

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, uncompressed."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor with its elements.

    Attributes:
        spec: name, element type and shape.
        data: the elements in C order, little-endian; shape ``[spec.nbytes]``, uint8, contiguous.
        importance: what the squared error of each element counts, float32, not negative, shape ``[rows, cols]``; None
            where all count the same.
    """

    spec: TensorSpec
    data: npt.NDArray[np.uint8]
    importance: npt.NDArray[np.float32] | None = None

    def elements(self) -> npt.NDArray[np.generic]:
        """The elements, shape ``[rows, cols]``, in the storage type of the dtype (a view)."""
        return self.data.view(self.spec.dtype.storage).reshape(self.spec.rows, self.spec.cols)

    def torch(self) -> torch.Tensor:
        """The elements as a torch tensor of the original shape and dtype (a view)."""
        if not self.spec.size:
            return torch.empty(self.spec.shape, dtype=self.spec.dtype.torch)
        # frombuffer: torch.jit.trace cannot record a view of another dtype.
        return torch.frombuffer(self.data, dtype=self.spec.dtype.torch).reshape(self.spec.shape)

    def float32(self) -> npt.NDArray[np.float32]:
        """The elements rounded to float32, shape ``[rows, cols]``; a view if they are float32 already."""
        flat = self.torch().reshape(self.spec.rows, self.spec.cols).to(torch.float32)
        array: npt.NDArray[np.float32] = flat.numpy()
        return array


def from_float32(spec: TensorSpec, weights: npt.NDArray[np.float32]) -> Tensor:
    """A tensor of ``spec`` from float32 weights of as many elements, rounded to nearest even.

    Args:
        spec: the tensor to make; its dtype must be a float.
        weights: float32, ``spec.size`` elements in C order.
    """
    rounded = torch.from_numpy(np.ascontiguousarray(weights).reshape(-1)).to(spec.dtype.torch)
    data: npt.NDArray[np.uint8] = rounded.view(torch.uint8).numpy()
    return Tensor(spec, data)

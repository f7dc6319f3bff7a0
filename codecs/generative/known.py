"""A payload that still knows the levels in it.

The planner decodes what it has encoded, to measure what was lost. For a model that adapts this takes as long as coding,
and tells nothing new: the encoder walks through the decoder's own source, with the levels as what it finds there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from neuralcodec.tensor import Tensor, TensorSpec, from_float32


class KnownPayload(bytes):
    """Bytes as any others. Sent to another process, or read from a file, they are plain ones.

    Attributes:
        levels: shape [rows, cols]; of the transposed matrix where ``columns``.
        step: distance between levels.
        columns: whether the matrix is the transposed one.
    """

    levels: npt.NDArray[np.int16]
    step: float
    columns: bool

    def __new__(cls, payload: bytes, levels: npt.NDArray[np.int16], step: float, columns: bool) -> KnownPayload:
        """The payload of these levels."""
        self = super().__new__(cls, payload)
        self.levels, self.step, self.columns = levels, step, columns
        return self

    def __reduce__(self) -> tuple[type[bytes], tuple[bytes]]:
        return bytes, (bytes(self),)

    def tensor(self, spec: TensorSpec) -> Tensor:
        """What a decoder makes of it, for the tensor that it was made from."""
        weights = self.levels.astype(np.float32) * np.float32(self.step)
        return from_float32(spec, weights.T if self.columns else weights)

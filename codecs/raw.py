"""Codec 1: the element bytes as they are (docs/format.md, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neuralcodec.codec import SharedObject
from neuralcodec.errors import CorruptError
from neuralcodec.tensor import Tensor, TensorSpec


@dataclass(frozen=True)
class Raw:
    """Stores element bytes. For what is too small or too random to code."""

    name: ClassVar[str] = "raw"
    number: ClassVar[int] = 1

    @property
    def lossy(self) -> bool:
        """False."""
        return False

    def encode(self, tensor: Tensor) -> bytes:
        """The element bytes, little-endian, C order."""
        return tensor.data.tobytes()

    def decode(self, payload: bytes, spec: TensorSpec, shared: Sequence[SharedObject]) -> Tensor:
        """The tensor of a payload.

        Raises:
            CorruptError: the payload has not exactly ``spec.nbytes`` bytes.
        """
        if len(payload) != spec.nbytes:
            raise CorruptError(f"{spec.nbytes} bytes expected, not {len(payload)}", tensor=spec.name)
        return Tensor(spec, np.frombuffer(payload, dtype=np.uint8).copy())

"""A codec of your own: signs and one magnitude a row, one bit a weight.

Binary weights as in Rastegari et al., "XNOR-Net", ECCV 2016: the best magnitude for a row is its mean |w|. Register
the class, or name it in your package's entry points, and `neuralcodec.encode(model, codec="signs")` works:

    [project.entry-points."neuralcodec.codecs"]
    signs = "your_package:Signs"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neuralcodec.codec import NAMED, SharedObject
from neuralcodec.errors import CorruptError
from neuralcodec.registry import register
from neuralcodec.tensor import Tensor, TensorSpec, from_float32


@register
@dataclass(frozen=True)
class Signs:
    """One bit a weight: its sign; one float32 a row: the mean magnitude."""

    name: ClassVar[str] = "signs"
    number: ClassVar[int] = NAMED  # the stream carries the name
    lossy: ClassVar[bool] = True

    def encode(self, tensor: Tensor) -> bytes:
        """Magnitudes of the rows, then the sign bits."""
        weights = tensor.float32()
        magnitudes = np.abs(weights).mean(axis=1, dtype=np.float64).astype("<f4")
        return magnitudes.tobytes() + np.packbits(weights < 0).tobytes()

    def decode(self, payload: bytes, spec: TensorSpec, shared: Sequence[SharedObject]) -> Tensor:
        """Undoes :meth:`encode`; the payload may come from anyone, so its size is checked first."""
        split = 4 * spec.rows
        if len(payload) != split + -(-spec.size // 8):
            raise CorruptError(f"{len(payload)} bytes do not fit a {spec.rows} × {spec.cols} matrix", tensor=spec.name)
        magnitudes = np.frombuffer(payload[:split], "<f4")[:, None]
        negative = np.unpackbits(np.frombuffer(payload[split:], np.uint8), count=spec.size).reshape(
            spec.rows, spec.cols
        )
        return from_float32(spec, np.where(negative, -magnitudes, magnitudes).astype(np.float32))

"""Payloads, opened by the C decoder."""

from __future__ import annotations

from collections.abc import Sequence

from neuralcodec import _native
from neuralcodec.codec import SharedObject
from neuralcodec.tensor import Tensor, TensorSpec


def open_payload(payload: bytes, number: int, spec: TensorSpec, shared: Sequence[SharedObject]) -> _native.Reader:
    """A payload of the codec of this number, opened: its levels, indices and scales, whole or tile by tile.

    Args:
        payload: whose checksum is the caller's to compare.
        number: of the codec.
        spec: of the tensor.
        shared: objects of its stream that the payload may refer to.

    Raises:
        CorruptError, UnsupportedError: the payload breaks a rule of the format, or the decoder does not know it.
    """
    objects = [(each.kind, each.data) for each in shared]
    return _native.open_payload(payload, number, spec.dtype.number, spec.shape, objects, spec.name)


def decode_payload(payload: bytes, number: int, spec: TensorSpec, shared: Sequence[SharedObject]) -> Tensor:
    """The tensor of a payload; arguments and errors as of :func:`open_payload`."""
    return Tensor(spec, open_payload(payload, number, spec, shared).elements())

"""Which part of the decoder a payload of codec trellis needs (docs/format.md, section 12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from neuralcodec.codec import SharedObject
from neuralcodec.tensor import TensorSpec

TrellisCoding = Literal["contexts", "rans", "prefix"]

COLUMNS, SHARED, ROW_SCALES, COLUMN_SCALES, ZEROS = 2, 4, 8, 16, 32
"""Bits of the mode."""

SLOTS_LOG2 = 8
"""log2 of the slots of a table that is looked up by its slots."""


def trellis_coding(
    payload: bytes, spec: TensorSpec, shared: Sequence[SharedObject], workspace: int
) -> TrellisCoding | None:
    """The coding of a payload that the C decoder has opened; None where all levels are 0.

    Args:
        payload: of codec trellis.
        spec: its tensor.
        shared: the objects that it may refer to.
        workspace: bytes of the decoder's tables.
    """
    mode = payload[0]
    if mode & ZEROS:
        return None
    at = _behind_varint(payload, 1) + 4
    for bit, count in ((ROW_SCALES, spec.rows), (COLUMN_SCALES, spec.cols)):
        if mode & bit:
            at += 1 + -(-count * payload[at] // 8)
    model = payload[at:]
    if mode & SHARED:
        index = 0
        for i, byte in enumerate(payload[at : _behind_varint(payload, at)]):
            index |= (byte & 127) << 7 * i
        model = shared[index].data
    two_quantizers, is_open = bool(model[0] & 15), bool(model[0] & 16)
    slots_log2, raw_bits, classes = model[1] & 15, model[1] >> 4, model[5]
    if slots_log2 == 0:
        return "prefix"
    # A table with a symbol of all slots is searched even so; it takes less memory than one that is looked up.
    looked_up = workspace >= (2 if two_quantizers else 1) << (SLOTS_LOG2 + 2)
    plain = not (is_open or raw_bits or classes) and slots_log2 == SLOTS_LOG2
    return "rans" if plain and looked_up else "contexts"


def _behind_varint(data: bytes, at: int) -> int:
    while data[at] & 128:
        at += 1
    return at + 1

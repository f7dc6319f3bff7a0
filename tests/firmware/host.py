"""What the host decodes, as images of decode_all and of prepared tensors tell it: its CRC-32."""

from __future__ import annotations

import zlib

import torch

import neuralcodec
from neuralcodec.errors import NeuralCodecError


def crc_by_extension(cm: neuralcodec.CompressedModel, *, tied: bool = False) -> int:
    """Of all tensors in their order, of ``tied`` ones only if asked for."""
    crc = 0
    for entry in cm.entries:
        if entry.tied_to is None or tied:
            crc = zlib.crc32(output_of(cm, entry.tied_to or entry.spec.name), crc)
    return crc


def output_of(cm: neuralcodec.CompressedModel, name: str) -> bytes:
    """Elements, levels or indices of a tensor, in the order that its tiles have them."""
    if cm.is_lossless(name):
        return cm.decode_elements(name).data.tobytes()
    try:
        output = cm.levels(name)[0]
    except NeuralCodecError:
        output = cm.indices(name)[0]
    return in_order(cm, name, output)


def in_order(cm: neuralcodec.CompressedModel, name: str, output: torch.Tensor) -> bytes:
    """What belongs to the elements of a tensor, in the order of its tiles."""
    spec = cm.entry(name).spec
    matrix = output.reshape(spec.rows, spec.cols)
    return (matrix.T if cm.is_down_columns(name) else matrix).contiguous().numpy().tobytes()

"""neuralcodec's trellis quantizer with prefix codes: a microcontroller takes half of the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.methods import huffman

TITLE = "neuralcodec trellis, prefix codes, least error"
KIND = "lossy"
LEAST_ERROR = True
REQUIREMENTS = ()
CODECS = ("trellis",)
QUICK = tuple({"bits_per_weight": b} for b in (2, 3, 4, 5))
FULL = tuple({"bits_per_weight": b} for b in (1.25, 1.5, 2, 3, 4, 5))
ADVICE = (
    'docs/trellis.md: `encode(model, coding="prefix", reconstruction="error", '
    'target=Target(bits_per_weight=..., allocation="error"))`.'
)


def options(setting: Mapping[str, object]) -> dict[str, Any]:
    """A setting as keyword arguments of neuralcodec.encode()."""
    return huffman.for_least_error(setting, "trellis", coding="prefix")


version = huffman.version
decode = huffman.decode


def encode(arrays: huffman.Arrays, setting: Mapping[str, object]) -> bytes:
    """The file that neuralcodec.save() writes."""
    return huffman.saved(arrays, options(setting))

"""neuralcodec's flagship: a trellis quantizer, searched for rate and distortion, with an entropy coder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.methods import huffman

TITLE = "neuralcodec trellis"
KIND = "lossy"
REQUIREMENTS = ()
CODECS = ("trellis",)
DEFAULT: dict[str, float] = {}
QUICK = (*({"bits_per_weight": b} for b in (1, 1.5, 2, 3, 4, 5)), DEFAULT)
FULL = (*({"bits_per_weight": b} for b in (0.6, 0.8, 1, 1.25, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6)), DEFAULT)
ADVICE = 'README: `encode(model, target=Target(bits_per_weight=...))`; "default" is `encode(model)` and nothing else.'


def options(setting: Mapping[str, object]) -> dict[str, Any]:
    """A setting as keyword arguments of neuralcodec.encode()."""
    return {**huffman.options(setting), "codec": "trellis"}


version = huffman.version
decode = huffman.decode


def encode(arrays: huffman.Arrays, setting: Mapping[str, object]) -> bytes:
    """The file that neuralcodec.save() writes."""
    return huffman.saved(arrays, options(setting))

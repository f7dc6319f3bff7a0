"""neuralcodec's regression: rows as sums of others, expressions and seeds where they pay, trellis where they do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.methods import huffman

TITLE = "neuralcodec regression"
KIND = "lossy"
REQUIREMENTS = ()
CODECS = ("regression",)
QUICK = tuple({"bits_per_weight": b} for b in (1.5, 2, 3, 4, 5))
FULL = tuple({"bits_per_weight": b} for b in (1.25, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6))
ADVICE = 'docs/regression.md: `encode(model, codec="regression", target=Target(bits_per_weight=...))`.'


def options(setting: Mapping[str, object]) -> dict[str, Any]:
    """A setting as keyword arguments of neuralcodec.encode()."""
    return {**huffman.options(setting), "codec": "regression"}


version = huffman.version
decode = huffman.decode


def encode(arrays: huffman.Arrays, setting: Mapping[str, object]) -> bytes:
    """The file that neuralcodec.save() writes."""
    return huffman.saved(arrays, options(setting))

"""neuralcodec's weight sharing, entropy-constrained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.methods import huffman

TITLE = "neuralcodec kmeans"
KIND = "lossy"
REQUIREMENTS = ()
CODECS = ("kmeans",)
QUICK = tuple({"bits_per_weight": b} for b in (2, 3, 4, 5))
FULL = tuple({"bits_per_weight": b} for b in (1, 1.5, 2, 2.5, 3, 4, 5, 6))
ADVICE = (
    'README: `encode(model, codec="kmeans", target=Target(bits_per_weight=...))`: clusters and rate in one optimum.'
)


def options(setting: Mapping[str, object]) -> dict[str, Any]:
    """A setting as keyword arguments of neuralcodec.encode()."""
    return {**huffman.options(setting), "codec": "kmeans"}


version = huffman.version
decode = huffman.decode


def encode(arrays: huffman.Arrays, setting: Mapping[str, object]) -> bytes:
    """The file that neuralcodec.save() writes."""
    return huffman.saved(arrays, options(setting))

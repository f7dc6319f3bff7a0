"""neuralcodec's weight sharing with indices of fixed width: the fastest decoder; elsewhere called look-up tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.methods import huffman

TITLE = "neuralcodec kmeans, fixed width"
KIND = "lossy"
REQUIREMENTS = ()
CODECS = ("kmeans",)
QUICK = tuple({"clusters": 2**bits, "scale": scale} for bits in (2, 4, 6) for scale in ("tensor", "row"))
FULL = tuple({"clusters": 2**bits, "scale": scale} for bits in range(2, 8) for scale in ("tensor", "row"))
ADVICE = 'README: `encode(model, codec="kmeans", clusters=16, centroids="int8", coding="fixed")`.'
hull = True


def options(setting: Mapping[str, object]) -> dict[str, Any]:
    """A setting as keyword arguments of neuralcodec.encode()."""
    return {"codec": "kmeans", "coding": "fixed", "centroids": "int8", **setting}


version = huffman.version
decode = huffman.decode


def encode(arrays: huffman.Arrays, setting: Mapping[str, object]) -> bytes:
    """The file that neuralcodec.save() writes."""
    return huffman.saved(arrays, options(setting))

"""neuralcodec's Huffman codec, every bit kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# ruff: noqa: PLC0415 (describing a method must not import what does its work)

Arrays = dict[str, np.ndarray]

TITLE = "neuralcodec huffman, lossless"
KIND = "lossless"
REQUIREMENTS = ()
CODECS = ("huffman",)
QUICK: tuple[dict[str, object], ...] = ({},)
FULL = QUICK
ADVICE = "README: `encode(model, lossless=True)`."


def version() -> str:
    """Of neuralcodec."""
    from bench.methods import huffman

    return huffman.version()


def encode(arrays: Arrays, setting: Mapping[str, object]) -> bytes:
    """The file that neuralcodec.save() writes."""
    from bench.methods import huffman

    return huffman.encode(arrays, {"lossless": True, **setting})


def decode(data: bytes) -> Arrays:
    """What neuralcodec.decode() gives for it."""
    from bench.methods import huffman

    return huffman.decode(data)

"""Brotli over the bytes of a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# ruff: noqa: PLC0415 (describing a method must not import what does its work)

Arrays = dict[str, np.ndarray]

TITLE = "Brotli"
KIND = "lossless"
REQUIREMENTS = ("brotli==1.2.1", "numpy", "safetensors")
QUICK = ({"quality": 9},)
FULL = ({"quality": 9}, {"quality": 11})
ADVICE = (
    "Documentation of brotli.compress: quality 11 is the default and the densest, lgwin 24 the largest window of the "
    "standard; 11 takes more than a second for each MB, so the quick run takes 9. Over the bytes of a safetensors file "
    "of float32."
)


def version() -> str:
    """Of the library."""
    import brotli

    return f"brotli {brotli.__version__}"


def encode(arrays: Arrays, setting: Mapping[str, int]) -> bytes:
    """One stream."""
    import brotli
    from safetensors.numpy import save

    return bytes(brotli.compress(save(arrays), quality=setting["quality"], lgwin=24))


def decode(data: bytes) -> Arrays:
    """The arrays of the file."""
    import brotli
    from safetensors.numpy import load

    return load(brotli.decompress(data))

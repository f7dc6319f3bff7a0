"""Zstandard over the bytes of a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# ruff: noqa: PLC0415 (describing a method must not import what does its work)

Arrays = dict[str, np.ndarray]

TITLE = "zstd"
KIND = "lossless"
REQUIREMENTS = ("zstandard==0.25.0", "numpy", "safetensors")
QUICK = ({"level": 19},)
FULL = QUICK
ADVICE = (
    "zstd(1): 19 is the highest level without --ultra, and --long with its window of 128 MiB is for large files. "
    "Over the bytes of a safetensors file of float32."
)

LONG_WINDOW_LOG = 27
"""Of --long where it is given no number; decoders take windows up to this without being told."""


def version() -> str:
    """Of the library and its binding."""
    import zstandard

    return f"zstd {'.'.join(map(str, zstandard.ZSTD_VERSION))}, zstandard {zstandard.__version__}"


def encode(arrays: Arrays, setting: Mapping[str, int]) -> bytes:
    """One frame."""
    import zstandard
    from safetensors.numpy import save

    parameters = zstandard.ZstdCompressionParameters.from_level(
        setting["level"], window_log=LONG_WINDOW_LOG, enable_ldm=True
    )
    return bytes(zstandard.ZstdCompressor(compression_params=parameters).compress(save(arrays)))


def decode(data: bytes) -> Arrays:
    """The arrays of the file."""
    import zstandard
    from safetensors.numpy import load

    return load(zstandard.ZstdDecompressor().decompress(data))

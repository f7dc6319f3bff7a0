"""ZipNN over the bytes of a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# ruff: noqa: PLC0415 (describing a method must not import what does its work)

Arrays = dict[str, np.ndarray]

TITLE = "ZipNN"
KIND = "lossless"
REQUIREMENTS = ()
QUICK: tuple[dict[str, object], ...] = ({},)
FULL = QUICK
ADVICE = (
    "Its README: `ZipNN(input_format='byte', bytearray_dtype='float32')`, told the type of the weights, else as it "
    "comes; one thread. Over the bytes of a safetensors file of float32."
)


def version() -> str:
    """Of the package."""
    from importlib.metadata import version

    import zipnn  # noqa: F401 (imported before it is timed)

    return f"zipnn {version('zipnn')}"


def encode(arrays: Arrays, setting: Mapping[str, object]) -> bytes:
    """One buffer."""
    import zipnn
    from safetensors.numpy import save

    packer = zipnn.ZipNN(input_format="byte", bytearray_dtype="float32", threads=1)
    return bytes(packer.compress(bytearray(save(arrays))))  # a copy: it reorders the bytes it is given in place


def decode(data: bytes) -> Arrays:
    """The arrays of the file."""
    import zipnn
    from safetensors.numpy import load

    packer = zipnn.ZipNN(input_format="byte", bytearray_dtype="float32", threads=1)
    return load(bytes(packer.decompress(bytearray(data))))

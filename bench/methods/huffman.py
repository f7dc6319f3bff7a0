"""neuralcodec's Huffman codec."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# ruff: noqa: PLC0415 (describing a method must not import what does its work)

Arrays = dict[str, np.ndarray]

TITLE = "neuralcodec huffman"
KIND = "lossy"
REQUIREMENTS = ()
CODECS = ("huffman",)
DEFAULT: dict[str, float] = {}
QUICK = (*({"bits_per_weight": b} for b in (2, 3, 4, 5)), DEFAULT)
FULL = (*({"bits_per_weight": b} for b in (1.5, 2, 2.5, 3, 4, 5, 6)), DEFAULT)
ADVICE = (
    'README: `encode(model, codec="huffman", target=Target(bits_per_weight=...))`; "default" is without a target: '
    "8-bit levels, a scale a row."
)


def options(setting: Mapping[str, object]) -> dict[str, Any]:
    """A setting as keyword arguments of neuralcodec.encode()."""
    from neuralcodec import Target

    further: dict[str, Any] = dict(setting)
    bits = further.pop("bits_per_weight", None)
    return {"codec": "huffman", "target": None if bits is None else Target(bits_per_weight=bits), **further}


def for_least_error(setting: Mapping[str, object], codec: str, **further: object) -> dict[str, Any]:
    """Keyword arguments of neuralcodec.encode() for the least squared error at a setting's rate, and further ones."""
    from neuralcodec import Target

    options: dict[str, Any] = {"codec": codec, "reconstruction": "error", **setting, **further}
    bits = options.pop("bits_per_weight", None)
    return {**options, "target": None if bits is None else Target(bits_per_weight=bits, allocation="error")}


def version() -> str:
    """Of neuralcodec."""
    import neuralcodec

    return f"neuralcodec {neuralcodec.__version__}"


def encode(arrays: Arrays, setting: Mapping[str, object]) -> bytes:
    """The file that neuralcodec.save() writes."""
    return saved(arrays, options(setting))


def saved(arrays: Arrays, options: Mapping[str, Any]) -> bytes:
    """The file of a network that is encoded with these options."""
    import neuralcodec

    with tempfile.TemporaryDirectory(dir=_in_memory()) as folder:
        path = Path(folder) / "model.safetensors"
        neuralcodec.save(neuralcodec.encode(arrays, **options), path)
        return path.read_bytes()


def decode(data: bytes) -> Arrays:
    """What neuralcodec.decode() gives for it."""
    import neuralcodec

    with tempfile.TemporaryDirectory(dir=_in_memory()) as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(data)
        return {name: tensor.numpy() for name, tensor in neuralcodec.decode(path).items()}


def _in_memory() -> str | None:
    """A folder in memory where there is one: save() waits for the disk, whose speed is not what is measured."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

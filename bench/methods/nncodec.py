"""NNCodec, Fraunhofer HHI's encoder and decoder of the standard ISO/IEC 15938-17 (NNC)."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from types import ModuleType
from unittest.mock import MagicMock

import numpy as np

# ruff: noqa: PLC0415 (describing a method must not import what does its work)

Arrays = dict[str, np.ndarray]

TITLE = "NNCodec (ISO/IEC 15938-17)"
KIND = "lossy"
REQUIREMENTS = (
    "nncodec==2.1.3",
    "numpy==1.26.4",  # it needs numpy < 2
    "pybind11==3.1.0",  # to build it
    "setuptools==84.2.1",
    "torch",
    "safetensors",
)
QUICK = tuple({"qp": qp, "lambda_scale": scale} for qp in (-10, -18, -26, -36) for scale in (0, 0.5, 1))
FULL = tuple(
    {"qp": qp, "lambda_scale": scale} for qp in (-6, -10, -14, -18, -22, -26, -30, -36, -42) for scale in (0, 0.5, 1)
)
ADVICE = (
    "Its README: dependent quantization, `use_dq=True`; `qp` sets the rate. Beside `lambda_scale=0`, which it does "
    "unasked, its rate-distortion optimization at 0.5 and 1, an argument of `nnc.compress`. Its steps for biases and "
    "norms, `nonweight_qp=-75`, take some 20 bits a value; `qp_per_tensor` gives each one steps of 1/128 of its small "
    "values instead, about as exact as codec trellis. No calibration data and no training, as for all methods here. "
    "Integers and empty tensors, which it does not take, are stored before its bitstream and counted."
)
hull = True

FINEST_QP = -75
"""Its default for biases and norms."""
SMALL, EXACTNESS = 10, 128
"""Percentile of the magnitudes of a bias or norm, and steps to it. In proportion to larger ones, steps are too coarse
for variances, which spread over decades."""

NOT_NEEDED = ("cv2", "h5py", "pandas", "sklearn", "sklearn.metrics", "torchvision", "tqdm")
"""What its training and data sets import as soon as it is imported. The codec uses none of it; it would take half a
gigabyte, and torchvision as PyPI has it does not load beside a CPU build of torch."""


def version() -> str:
    """Of the package."""
    from importlib.metadata import version

    _nnc()  # imported before it is timed
    return f"nncodec {version('nncodec')}"


def encode(arrays: Arrays, setting: Mapping[str, float]) -> bytes:
    """Its bitstream, after what it cannot hold."""
    coded = {n: np.ascontiguousarray(a).reshape(a.shape or 1) for n, a in arrays.items() if _is_coded(a)}
    others = {n: a for n, a in arrays.items() if not _is_coded(a)}
    listed = [[n, a.shape, a.dtype.str] for n, a in others.items()]
    scalars = [n for n, a in arrays.items() if _is_coded(a) and not a.ndim]
    header = json.dumps([listed, scalars], separators=(",", ":")).encode()
    parts = [len(header).to_bytes(4, "little"), header, *(a.tobytes() for a in others.values())]
    if coded:
        parts.append(
            bytes(
                _nnc().compress(
                    coded,
                    bitstream_path=None,
                    qp=int(setting["qp"]),
                    qp_per_tensor=_nonweight_qps(coded),
                    use_dq=True,
                    lambda_scale=setting["lambda_scale"],
                    return_bitstream=True,
                    verbose=False,
                )
            )
        )
    return b"".join(parts)


def decode(data: bytes) -> Arrays:
    """The arrays."""
    at = 4 + int.from_bytes(data[:4], "little")
    listed, scalars = json.loads(data[4:at])
    decoded: Arrays = {}
    for name, shape, kind in listed:
        count = int(np.prod(shape, dtype=np.int64))
        decoded[name] = np.frombuffer(data, kind, count, at).reshape(shape)
        at += decoded[name].nbytes
    if at < len(data):
        decoded.update(_nnc().decompress(bytearray(data[at:])))
    for name in scalars:
        decoded[name] = decoded[name].reshape(())
    return decoded


def _nnc() -> ModuleType:
    stubs = [name for name in NOT_NEEDED if name not in sys.modules]
    sys.modules.update({name: MagicMock() for name in stubs})
    try:
        return importlib.import_module("nncodec.nnc")
    except ImportError:
        for name in stubs:  # who asked goes on without it, and must not find them
            del sys.modules[name]
        raise


def _nonweight_qps(arrays: Arrays) -> dict[str, np.int32]:
    """What sets the steps of each bias and norm."""
    found = {}
    for name, array in arrays.items():
        magnitudes = np.abs(array[array != 0])
        if array.ndim < 2 and magnitudes.size:
            wanted = np.percentile(magnitudes, SMALL) / EXACTNESS
            found[name] = np.int32(max((qp for qp in range(FINEST_QP, 1) if _step(qp) <= wanted), default=FINEST_QP))
    return found


def _step(qp: int) -> float:
    """The step that it has for a quantization parameter, at its default density of 4 an octave."""
    return float((4 + qp % 4) * 2.0 ** (qp // 4 - 2))


def _is_coded(array: np.ndarray) -> bool:
    return array.dtype == np.float32 and array.size > 0

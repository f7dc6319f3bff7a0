"""GGUF files with the block formats of llama.cpp."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# ruff: noqa: PLC0415 (describing a method must not import what does its work)

Arrays = dict[str, np.ndarray]

TITLE = "GGUF"
KIND = "lossy"
REQUIREMENTS = ("gguf==0.19.0", "pyyaml==6.0.3", "numpy", "safetensors")
QUICK = tuple({"type": name} for name in ("Q4_0", "Q5_0", "Q8_0"))
FULL = tuple({"type": name} for name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"))
ADVICE = (
    "As llama.cpp's convert_hf_to_gguf.py does with --outtype: one-dimensional tensors stay F32, matrices whose rows "
    "are no multiple of a block's 32 weights are stored as F16. Kernels of convolutions are matrices of one row an "
    "output channel. Quantized and dequantized by the package gguf, in numpy; llama.cpp itself is faster. K-quants and "
    "I-quants, which that package only reads, are not here."
)

SHAPES = "benchmark.shapes"
PLAIN = ("int8", "int16", "int32", "int64")


def version() -> str:
    """Of the package."""
    from importlib.metadata import version

    import gguf  # noqa: F401 (imported before it is timed)

    return f"gguf {version('gguf')}"


def encode(arrays: Arrays, setting: Mapping[str, str]) -> bytes:
    """The file that a GGUFWriter writes."""
    import gguf

    kind = gguf.GGMLQuantizationType[setting["type"]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        writer = gguf.GGUFWriter(path, arch="benchmark")
        shapes = {}
        for name, array in arrays.items():
            stored = _as_stored(array)
            if stored.shape != array.shape or stored.dtype != array.dtype or not array.size:
                shapes[name] = [array.shape, array.dtype.str]
            if not array.size:
                continue  # a shape is all there is of it
            if array.dtype == np.float32 and array.ndim >= 2:
                try:
                    writer.add_tensor(name, gguf.quants.quantize(stored, kind), raw_dtype=kind)
                except gguf.QuantError:
                    writer.add_tensor(name, stored.astype(np.float16))
            else:
                writer.add_tensor(name, stored)
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        if shapes:
            writer.add_string(SHAPES, json.dumps(shapes, separators=(",", ":")))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def decode(data: bytes) -> Arrays:
    """What a GGUFReader reads, dequantized."""
    import gguf

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        path.write_bytes(data)
        reader = gguf.GGUFReader(path)
        field = reader.get_field(SHAPES)
        shapes = json.loads(field.contents()) if field is not None else {}
        decoded: Arrays = {name: np.zeros(shape, kind) for name, (shape, kind) in shapes.items() if 0 in shape}
        for tensor in reader.tensors:
            if tensor.tensor_type.name.lower().startswith("i"):
                values = np.array(tensor.data)
            else:
                values = np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type), np.float32)
            shape, kind = shapes.get(tensor.name, (values.shape, values.dtype.str))
            decoded[tensor.name] = values.view(kind).reshape(shape)
        return decoded


def _as_stored(array: np.ndarray) -> np.ndarray:
    """In a shape of one or two dimensions and a type that the format has."""
    if array.dtype != np.float32 and array.dtype.name not in PLAIN:
        return np.frombuffer(array.tobytes(), np.int8)
    if array.ndim in (1, 2):
        return array
    return array.reshape(array.shape[0], math.prod(array.shape[1:])) if array.ndim else array.reshape(1)

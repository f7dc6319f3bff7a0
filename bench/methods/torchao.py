"""torchao's weight-only quantization, as PyTorch saves it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

# ruff: noqa: PLC0415 (describing a method must not import what does its work)

Arrays = dict[str, np.ndarray]

TITLE = "torchao, weight only"
KIND = "lossy"
REQUIREMENTS = ("torchao==0.18.0", "torch", "numpy", "safetensors")
QUICK = ({"bits": 4, "group_size": 128}, {"bits": 4, "group_size": 32}, {"bits": 8})
FULL = (*({"bits": 4, "group_size": size} for size in (128, 64, 32)), {"bits": 8})
ADVICE = (
    "Its documentation: quantize_() of a model of nn.Linear with Int8WeightOnlyConfig() or a configuration for int4, "
    "of which PrototypeInt4WeightOnlyConfig is the one that runs on a CPU with float32; then torch.save() of the state "
    "dict. Kernels of convolutions, which it would leave alone, are made matrices of one row an output channel. "
    "Matrices whose rows are no multiple of the group, or that the int4 kernel refuses, are int8; biases and norms "
    "stay float32. Nothing unpacks its int4 but the kernel that computes with it, so decoding multiplies by unit "
    "vectors, which is slow."
)

AT_ONCE = 1024
"""Columns that are unpacked together."""


def version() -> str:
    """Of the packages."""
    import torch
    import torchao

    return f"torchao {torchao.__version__}, torch {torch.__version__}"


def encode(arrays: Arrays, setting: Mapping[str, int]) -> bytes:
    """What torch.save() writes."""
    import torch

    torch.set_num_threads(1)
    weights, shapes = {}, {}
    for name, array in arrays.items():
        weights[name] = torch.from_numpy(array)
        if array.dtype == np.float32 and array.ndim >= 2 and array.size:
            weights[name], shapes[name] = _quantized(weights[name].reshape(len(array), -1), setting), array.shape
    file = io.BytesIO()
    torch.save({"weights": weights, "shapes": shapes}, file)
    return file.getvalue()


def decode(data: bytes) -> Arrays:
    """The weights that a model computes with."""
    import torch
    import torchao  # noqa: F401 (makes its tensors known to torch.load)
    from torchao.prototype.quantization import int4  # noqa: F401 (as well)

    torch.set_num_threads(1)
    loaded = torch.load(io.BytesIO(data), weights_only=True)
    shapes = loaded["shapes"]
    return {
        name: (_dequantized(tensor).reshape(shapes[name]) if name in shapes else tensor).numpy()
        for name, tensor in loaded["weights"].items()
    }


def _quantized(matrix: torch.Tensor, setting: Mapping[str, int]) -> torch.Tensor:
    """A tensor of torchao's."""
    import torch
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    rows, columns = matrix.shape
    linear = torch.nn.Linear(columns, rows, bias=False, device="meta")
    linear.weight = torch.nn.Parameter(matrix, requires_grad=False)
    if setting["bits"] == 4 and columns % setting["group_size"] == 0:
        config = PrototypeInt4WeightOnlyConfig(group_size=setting["group_size"], set_inductor_config=False)
        with contextlib.suppress(RuntimeError):  # of its kernel: the number of rows is not what it takes
            quantize_(linear, config)
            return linear.weight.detach()
    quantize_(linear, Int8WeightOnlyConfig(set_inductor_config=False))
    return linear.weight.detach()


def _dequantized(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    if hasattr(tensor, "scale"):
        return tensor.dequantize()
    columns = tensor.shape[1]
    unpacked = torch.empty(tensor.shape)
    for start in range(0, columns, AT_ONCE):
        some = torch.eye(min(AT_ONCE, columns - start), columns - start)
        vectors = torch.nn.functional.pad(some, (start, 0))
        unpacked[:, start : start + AT_ONCE] = torch.nn.functional.linear(vectors, tensor).T
    return unpacked

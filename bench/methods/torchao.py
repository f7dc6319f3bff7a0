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
    "stay float32. Only its kernels unpack int4, so here the packing is found by packing the numbers of the places."
)


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
    from torchao.prototype.quantization.int4 import Int4OpaqueTensor

    if not isinstance(tensor, Int4OpaqueTensor):
        return tensor.dequantize()
    rows, columns = tensor.shape
    scales, zeros = tensor.scale_and_zero.permute(2, 1, 0)[..., None]
    levels = torch.empty(rows * columns)
    levels[_places(rows, columns)] = _nibbles(tensor.qdata).float()
    weights: torch.Tensor = (levels.reshape(*scales.shape[:2], -1) - 8) * scales + zeros
    return weights.reshape(rows, columns)


def _places(rows: int, columns: int) -> torch.Tensor:
    """The place in a matrix of every level that torch packs, which depends on the processor: four bits at a time."""
    import torch

    numbers, places = torch.arange(rows * columns), torch.zeros(rows * columns, dtype=torch.int64)
    for shift in range(0, (rows * columns).bit_length(), 4):
        digits = (numbers >> shift & 15).int().reshape(rows, columns)
        places |= _nibbles(torch.ops.aten._convert_weight_to_int4pack_for_cpu(digits, 1)) << shift
    return places


def _nibbles(packed: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.stack([packed & 15, packed >> 4], -1).ravel().long()

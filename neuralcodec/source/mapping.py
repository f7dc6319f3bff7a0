"""A mapping of names to torch tensors or numpy arrays, such as a state dict."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from neuralcodec.dtypes import BY_TORCH
from neuralcodec.errors import SourceError
from neuralcodec.source.base import Source, by_bytes, check_name, check_spec
from neuralcodec.state import storage_address
from neuralcodec.tensor import Tensor, TensorSpec


def open_mapping(mapping: Mapping[str, object]) -> Source:
    """A source over the tensors of a mapping. Tensors of one memory, shape and strides are taken as tied.

    Raises:
        SourceError: a value is not a dense tensor or array with data, or its dtype has no place in the format.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, value in mapping.items():
        check_name(name)
        tensors[name] = _as_torch(name, value)
    specs: dict[str, TensorSpec] = {}
    ties: dict[str, str] = {}
    first_at: dict[tuple[object, ...], str] = {}
    for name in sorted(tensors, key=by_bytes):
        tensor = tensors[name]
        if tensor.numel():
            first = first_at.setdefault(_place(tensor), name)
            if first != name:
                ties[name] = first
                continue
        spec = TensorSpec(name, BY_TORCH[tensor.dtype], tuple(tensor.shape))
        check_spec(spec)
        specs[name] = spec

    def read(name: str) -> Tensor:
        return Tensor(specs[name], element_bytes(tensors[name]))

    return Source(specs, ties, read)


def element_bytes(tensor: torch.Tensor) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """The elements of a tensor of any layout and device in C order, as bytes (a view where possible)."""
    flat = tensor.resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    if not flat.numel():
        return np.empty(0, np.uint8)
    if flat.stride(0) != 1:  # one element may have any stride and still counts as contiguous
        flat = torch.empty_like(flat, memory_format=torch.contiguous_format).copy_(flat).as_strided(flat.shape, (1,))
    view: np.ndarray[tuple[int], np.dtype[np.uint8]] = flat.view(torch.uint8).numpy()
    return view


def _place(tensor: torch.Tensor) -> tuple[object, ...]:
    # Two tensors with the same place show the same weights: tied. Views that overlap in part are encoded apart.
    view = (tuple(tensor.shape), tensor.stride(), tensor.is_conj(), tensor.is_neg())
    return (str(tensor.device), tensor.data_ptr(), tensor.dtype, *view)


def _as_torch(name: str, value: object) -> torch.Tensor:
    if isinstance(value, np.ma.MaskedArray):
        raise SourceError("a masked array has no place in the format: fill it first", tensor=name)
    if isinstance(value, (np.ndarray, np.generic)):
        value = _from_numpy(name, np.asarray(value))
    if not isinstance(value, torch.Tensor):
        raise SourceError(f"expected a torch tensor or a numpy array, got {type(value).__name__}", tensor=name)
    if torch.nn.parameter.is_lazy(value):
        raise SourceError("the parameter has no shape yet: run the module once, so that it gets one", tensor=name)
    if value.is_nested:
        raise SourceError("only dense tensors can be encoded, this one is nested", tensor=name)
    if value.is_meta:
        raise SourceError("the tensor is on the meta device and has no data", tensor=name)
    if value.layout != torch.strided or value.is_quantized:
        kind = "quantized" if value.is_quantized else str(value.layout).removeprefix("torch.")
        raise SourceError(f"only dense tensors can be encoded, this one is {kind}", tensor=name)
    if storage_address(value) is None:
        said = f"a {type(value).__name__} has no memory of its own; give a plain tensor, such as its full_tensor()"
        raise SourceError(said, tensor=name)
    if value.dtype not in BY_TORCH:
        raise SourceError(
            f"dtype {value.dtype} has no place in the format; its bytes have one: view(torch.uint8)", tensor=name
        )
    return value.detach()


def _from_numpy(name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> torch.Tensor:
    # bfloat16 and float8 arrays come from the ml_dtypes package; torch takes their bytes, not their dtype.
    borrowed = {"bfloat16": torch.bfloat16, "float8_e4m3fn": torch.float8_e4m3fn, "float8_e5m2": torch.float8_e5m2}
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.writeable or any(stride < 0 or stride % array.itemsize for stride in array.strides):
        array = array.copy()
    try:
        if array.dtype.name in borrowed:
            as_bytes = np.ascontiguousarray(array).view(np.uint8 if array.dtype.itemsize == 1 else np.uint16)
            return torch.from_numpy(as_bytes.reshape(array.shape)).view(borrowed[array.dtype.name])
        return torch.from_numpy(array)
    except TypeError:
        raise SourceError(f"numpy dtype {array.dtype} has no place in the format", tensor=name) from None

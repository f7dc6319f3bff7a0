"""Reads the weights of an ONNX file, without the package onnx: the few fields of its protobuf messages that hold them.

Field numbers are those of onnx.proto3: ModelProto.graph 7; GraphProto.node 1, initializer 5; NodeProto.input 1,
op_type 4, attribute 5; AttributeProto.name 1, t 5; TensorProto.dims 1, data_type 2, float_data 4, name 8, raw_data 9.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

FLOAT, FLOAT16 = 1, 10

Weights = npt.NDArray[np.float32]


def weights(path: Path) -> dict[str, Weights]:
    """Float initializers and constants of two and more dimensions by name, factors of MatMul as [out, in].

    Raises:
        ValueError: the file is not ONNX, or holds its weights elsewhere.
    """
    found: dict[str, Weights] = {}
    transposed: set[str] = set()
    for number, graph in _fields(memoryview(path.read_bytes())):
        if number != 7 or isinstance(graph, int):
            continue
        for field, part in _fields(graph):
            if isinstance(part, int):
                continue
            if field == 5:
                _add(found, part)
            elif field == 1:
                _node(part, found, transposed)
    if not found:
        raise ValueError(f"{path}: no weights found")
    return {
        name: np.ascontiguousarray(of.T) if name in transposed and of.ndim == 2 else of
        for name, of in found.items()
        if of.ndim >= 2
    }


def _node(message: memoryview, found: dict[str, Weights], transposed: set[str]) -> None:
    fields = [(number, value) for number, value in _fields(message) if not isinstance(value, int)]
    inputs = [bytes(value).decode() for number, value in fields if number == 1]
    outputs = [bytes(value).decode() for number, value in fields if number == 2]
    kind = next((bytes(value).decode() for number, value in fields if number == 4), "")
    if kind == "MatMul" and len(inputs) == 2:
        transposed.add(inputs[1])
    if kind == "Constant":
        for number, attribute in fields:
            if number == 5:
                for inner, tensor in _fields(attribute):
                    if inner == 5 and not isinstance(tensor, int):
                        _add(found, tensor, outputs[0])


def _add(found: dict[str, Weights], message: memoryview, name: str = "") -> None:
    dims: list[int] = []
    kind = 0
    raw: memoryview | None = None
    for number, value in _fields(message):
        if number == 1:
            dims += [value] if isinstance(value, int) else list(_varints(value))
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number in (4, 9) and not isinstance(value, int):
            raw = value
        elif number == 8 and not isinstance(value, int):
            name = name or bytes(value).decode()
    if raw is None or kind not in (FLOAT, FLOAT16):
        return
    array = np.frombuffer(raw, "<f4" if kind == FLOAT else "<f2")
    if array.size == int(np.prod(dims, dtype=np.int64)):
        found[name] = array.reshape(dims).astype(np.float32)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if key & 7 == 2:
            size, at = _varint(message, at)
        elif key & 7 in (1, 5):
            size = 8 if key & 7 == 1 else 4
        else:
            raise ValueError("not an ONNX file: a field of an unknown type")
        if at + size > len(message):
            raise ValueError("not an ONNX file: it ends inside a field")
        yield key >> 3, message[at : at + size]
        at += size


def _varints(message: memoryview) -> Iterator[int]:
    at = 0
    while at < len(message):
        value, at = _varint(message, at)
        yield value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("not an ONNX file: it ends inside a number")

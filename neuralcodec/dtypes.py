"""Element types: one table for the stream, numpy, torch and safetensors (docs/format.md, section 9)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class DType:
    """An element type.

    Attributes:
        name: lower-case name, as docs/format.md spells it.
        number: its number in a stream.
        itemsize: bytes of an element.
        safetensors: its name in a safetensors header.
        torch: the torch dtype.
        storage: a numpy dtype of the same size that holds the element bytes; for bf16 and float8, which
            numpy lacks, an unsigned integer.
        is_float: real floating point, so levels times a scale can stand for it.
        rotated: the lossless mode moves the sign bit to the low end (float formats with a sign, exponent, mantissa
            layout).
    """

    name: str
    number: int
    itemsize: int
    safetensors: str
    torch: torch.dtype
    storage: np.dtype[np.generic]
    is_float: bool = False
    rotated: bool = False


def _dtype(
    name: str,
    number: int,
    safetensors: str,
    of: torch.dtype,
    storage: str,
    *,
    is_float: bool = False,
    rotated: bool = False,
) -> DType:
    kept = np.dtype(storage)
    return DType(name, number, kept.itemsize, safetensors, of, kept, is_float, rotated)


DTYPES: tuple[DType, ...] = (
    _dtype("f32", 1, "F32", torch.float32, "<f4", is_float=True, rotated=True),
    _dtype("f16", 2, "F16", torch.float16, "<f2", is_float=True, rotated=True),
    _dtype("bf16", 3, "BF16", torch.bfloat16, "<u2", is_float=True, rotated=True),
    _dtype("f64", 4, "F64", torch.float64, "<f8", is_float=True, rotated=True),
    _dtype("i8", 5, "I8", torch.int8, "i1"),
    _dtype("u8", 6, "U8", torch.uint8, "u1"),
    _dtype("i16", 7, "I16", torch.int16, "<i2"),
    _dtype("i32", 8, "I32", torch.int32, "<i4"),
    _dtype("i64", 9, "I64", torch.int64, "<i8"),
    _dtype("bool", 10, "BOOL", torch.bool, "?"),
    _dtype("f8_e4m3fn", 11, "F8_E4M3", torch.float8_e4m3fn, "u1"),
    _dtype("f8_e5m2", 12, "F8_E5M2", torch.float8_e5m2, "u1"),
    _dtype("u16", 13, "U16", torch.uint16, "<u2"),
    _dtype("u32", 14, "U32", torch.uint32, "<u4"),
    _dtype("u64", 15, "U64", torch.uint64, "<u8"),
    _dtype("complex64", 16, "C64", torch.complex64, "<c8"),
)

BY_NAME = {d.name: d for d in DTYPES}
BY_NUMBER = {d.number: d for d in DTYPES}
BY_TORCH = {d.torch: d for d in DTYPES}
BY_SAFETENSORS = {d.safetensors: d for d in DTYPES}

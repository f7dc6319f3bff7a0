"""Rounding of weights and scales, to nearest and ties to even (sections 6.1 and 1)."""

from __future__ import annotations

import math
import struct

F32 = "<f"
F16 = "<e"


def f32_from_bits(bits: int) -> float:
    """The f32 of 32 bits."""
    value: float = struct.unpack(F32, struct.pack("<I", bits))[0]
    return value


def round_f32(value: float) -> float:
    """The nearest f32, as a Python float."""
    rounded: float = struct.unpack(F32, _pack(F32, value))[0]
    return rounded


def weight_bytes(value: float, dtype: str) -> bytes:
    """The element bytes of an f32 in a float dtype."""
    if dtype == "f32":
        return _pack(F32, value)
    if dtype == "f16":
        return _pack(F16, value)
    if dtype == "bf16":
        return _bf16(value)
    if dtype == "f64":
        return struct.pack("<d", value)
    raise ValueError(f"{dtype} is no dtype of levels")


def _pack(form: str, value: float) -> bytes:
    """As struct.pack, with infinity for what is too large to round to a finite number."""
    try:
        return struct.pack(form, value)
    except OverflowError:
        return struct.pack(form, math.copysign(math.inf, value))


def _bf16(value: float) -> bytes:
    """The upper half of an f32, rounded by its lower half."""
    if math.isnan(value):
        return b"\xc0\x7f"
    bits = int.from_bytes(struct.pack(F32, value), "little")
    kept, dropped = bits >> 16, bits & 0xFFFF
    if dropped > 0x8000 or (dropped == 0x8000 and kept & 1):
        kept += 1  # a carry goes to the exponent, and from the largest number to infinity
    return struct.pack("<H", kept)

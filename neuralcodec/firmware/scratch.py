"""Scratch that a kernel takes: the formulas of ncd_nn.h. Generated code compares the macros with what was planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuralcodec.firmware.weights import Coded
from neuralcodec.firmware.window import Window


@dataclass(frozen=True, slots=True)
class Scratch:
    """Bytes, and the macro that says the same in C; empty where there is none."""

    nbytes: int
    macro: str = ""


NONE = Scratch(0)


def scratch_of_conv(window: Window, tensor: Coded, depthwise: bool, itemsize: int, plain: bool) -> Scratch:
    """Of a convolution; depthwise ones have a kernel of their own for int8."""
    taps, cols, tile = window.kernel_h * window.kernel_w, tensor.shape[1], tensor.tile_size
    ordered = taps > 1 and cols > taps
    if itemsize == 4:
        if plain:
            return NONE
        return Scratch(_rows(tile, cols, ordered, 4), f"NCD_NN_CONV_SCRATCH_F32({tile}u, {cols}u, {taps}u)")
    if depthwise:
        if plain:
            return Scratch(8 * taps, f"8u * {taps}u")
        return Scratch(_aligned(max(tile, taps)) + 8 * taps, f"NCD_NN_DEPTHWISE_SCRATCH({tile}u, {taps}u)")
    if plain:
        return Scratch(4 * taps, f"4u * {taps}u")
    sums = 4 * taps if ordered else 0
    return Scratch(_rows(tile, cols, ordered, 1) + sums, f"NCD_NN_CONV_SCRATCH({tile}u, {cols}u, {taps}u)")


def scratch_of_linear(batch: int, tensor: Coded, itemsize: int, plain: bool) -> Scratch:
    """Of a fully connected layer."""
    if plain:
        return NONE
    sums, tile = _sums(batch, tensor), tensor.tile_size
    if itemsize == 4:
        return Scratch(4 * tile + 4 * sums, f"NCD_NN_LINEAR_SCRATCH_F32({tile}u, {sums}u)")
    return Scratch(_aligned(tile) + 4 * sums, f"NCD_NN_LINEAR_SCRATCH({tile}u, {sums}u)")


def scratch_of_cell(hidden: int, tensors: Sequence[Coded], itemsize: int, plain: bool) -> Scratch:
    """Of a recurrent cell with two matrices."""
    if plain:
        each = 16 if itemsize == 4 else 8
        return Scratch(each * hidden, f"{each}u * {hidden}u")
    tile = max(tensor.tile_size for tensor in tensors)
    sums = max(_sums(1, tensor) for tensor in tensors)
    if itemsize == 4:
        return Scratch(4 * tile + 4 * sums + 16 * hidden, f"NCD_NN_CELL_SCRATCH_F32({tile}u, {sums}u, {hidden}u)")
    return Scratch(_aligned(tile) + 4 * sums + 8 * hidden, f"NCD_NN_CELL_SCRATCH({tile}u, {sums}u, {hidden}u)")


def _rows(tile: int, cols: int, ordered: bool, itemsize: int) -> int:
    if ordered:
        return _aligned(tile * itemsize) + _aligned(cols * itemsize)
    return _aligned(max(tile, cols) * itemsize)


def _sums(batch: int, tensor: Coded) -> int:
    if tensor.down_columns:
        return batch * tensor.shape[0]
    return batch if tensor.tile_size < tensor.shape[1] else 0


def _aligned(size: int) -> int:
    return -(-size // 4) * 4

"""Functions of one number, which activations go through one by one: their tables, and where they are flat.

Each is defined once, in PyTorch: calibration and tables are made of the same function, tables in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F

from neuralcodec.firmware.graph import Function
from neuralcodec.firmware.quantize import LEAST, MOST, Quantization

POINTS = 4097
"""Of a range, at which a function is looked at."""

UNSEEN = 1 / 8
"""Of a step of the output: what it may change by where a range is made narrower."""


def _elu(x: torch.Tensor, below: float, above: float, inner: float) -> torch.Tensor:
    return torch.where(x > 0, x * above, torch.expm1(x.clamp(max=0.0) * inner) * below)


def _softplus(x: torch.Tensor, beta: float, threshold: float) -> torch.Tensor:
    return F.softplus(x, beta, threshold)


FUNCTIONS: Mapping[str, Callable[..., torch.Tensor]] = {
    "abs": torch.abs,
    "affine": lambda x, factor, offset: x * factor + offset,
    "clamp": lambda x, low, high: x.clamp(low, high),
    "elu": _elu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "hard_sigmoid": F.hardsigmoid,
    "hard_swish": F.hardswish,
    "leaky_relu": lambda x, slope: torch.where(x < 0, x * slope, x),
    "log_sigmoid": F.logsigmoid,
    "mish": F.mish,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "softplus": _softplus,
    "tanh": torch.tanh,
}
"""By kind: of a tensor and the constants."""


def resolved(functions: Sequence[Function], parameters: Mapping[str, torch.Tensor]) -> tuple[Function, ...]:
    """The same with constants that tensors of the module hold as numbers."""
    return tuple(
        each
        if each.parameter is None
        else replace(each, numbers=tuple(parameters[each.parameter].double().reshape(-1).tolist()), parameter=None)
        for each in functions
    )


def applied(functions: Sequence[Function], x: torch.Tensor) -> torch.Tensor:
    """One function after the other, elementwise; they are resolved."""
    for function in functions:
        x = FUNCTIONS[function.kind](x, *function.numbers)
    return x


def table_of(functions: Sequence[Function], before: Quantization, after: Quantization) -> tuple[int, ...]:
    """The int8 value that each int8 value becomes, from that of -128 to that of 127.

    Args:
        functions: resolved, one after the other.
        before: scale and zero point of what goes in.
        after: of what comes out; rounded to the nearest, saturated.

    Raises:
        ValueError: a function is not a number somewhere.
    """
    reals = (torch.arange(LEAST, MOST + 1, dtype=torch.float64) - before.zero) * before.scale
    scaled = applied(functions, reals) / after.scale
    if scaled.isnan().any():
        raise ValueError(f"{functions[0].kind} is not a number at {float(reals[scaled.isnan()][0]):.4g}")
    rounded = torch.copysign((scaled.abs() + 0.5).floor(), scaled) + after.zero
    return tuple(int(value) for value in rounded.clamp(LEAST, MOST))


def telling(functions: Sequence[Function], low: float, high: float, step: float) -> tuple[float, float]:
    """The part of a range in which a function tells values apart: beyond it, all give next to the same.

    A hardswish, for one, gives 0 for all that is below -3: with a range that ends there, values have a finer scale.

    Args:
        functions: resolved, one after the other.
        low: where the range begins.
        high: where it ends.
        step: of the output's scale.
    """
    points = torch.linspace(low, high, POINTS, dtype=torch.float64)
    values = applied(functions, points)
    first, last = _flat_until(values, step * UNSEEN), POINTS - 1 - _flat_until(values.flip(0), step * UNSEEN)
    if not values.isfinite().all() or first >= last:
        return low, high
    start, end = float(points[first]), float(points[last])
    # By one step more, so that the ends are flat for certain once zero points are rounded.
    more = (end - start) / (MOST - LEAST - 2)
    return max(start - more, low), min(end + more, high)


def _flat_until(values: torch.Tensor, most: float) -> int:
    """The last place that differs from none before it by more."""
    highest, lowest = values.cummax(0).values, values.cummin(0).values
    flat = torch.maximum(highest - values, values - lowest) <= most
    return int(flat.nonzero().max())

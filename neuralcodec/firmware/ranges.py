"""Scale and zero point of each activation, from the ranges that calibration found."""

from __future__ import annotations

from neuralcodec.firmware.calibrate import Ranges
from neuralcodec.firmware.evaluate import Tensors
from neuralcodec.firmware.graph import (
    Add,
    Cell,
    Concat,
    Conv,
    Graph,
    Linear,
    Mean,
    Mul,
    Pad,
    Permute,
    Pointwise,
    Pool,
    Reshape,
    Softmax,
    Upsample,
)
from neuralcodec.firmware.pointwise import resolved, telling
from neuralcodec.firmware.quantize import HIDDEN, SOFTMAX, Quantization, from_range
from neuralcodec.firmware.simplify import join_pool_clamps

OWN_SCALE = (Conv, Linear, Add, Mul, Mean, Pointwise)
"""What makes an activation with a scale of its own, and saturates."""


def with_pool_clamps(graph: Graph, ranges: Ranges, parameters: Tensors) -> Graph:
    """The network with clamps in max pools, where calibration shows that they lose next to nothing there."""
    scales = quantizations(graph, ranges, parameters)
    return join_pool_clamps(graph, lambda one, other: scales[one].scale / scales[other].scale)


def quantizations(graph: Graph, ranges: Ranges, parameters: Tensors) -> dict[str, Quantization]:
    """By activation: from its range, or that of the activation it only moves around.

    What only a function reads ends where the function becomes flat, as what a ReLU reads ends at 0.
    """
    found = {name: from_range(ranges.low[name], ranges.high[name]) for name in graph.shapes if name in ranges.low}
    made = {node.outputs[0]: node.operation for node in graph.nodes}
    for node in graph.nodes:
        if not isinstance(node.operation, Pointwise) or not isinstance(made.get(node.inputs[0]), OWN_SCALE):
            continue
        name, output = node.inputs[0], node.outputs[0]
        if name in found and len(graph.users(name)) == 1 and name not in graph.outputs:
            functions = resolved(node.operation.functions, parameters)
            found[name] = from_range(*telling(functions, ranges.low[name], ranges.high[name], found[output].scale))
    for node in graph.nodes:
        operation = node.operation
        output = node.outputs[0]
        moved = isinstance(operation, (Reshape, Permute, Pad, Upsample))
        if moved or (isinstance(operation, Pool) and operation.kind == "max"):
            found[output] = found[node.inputs[0]]
        elif isinstance(operation, Softmax) and not operation.log:
            found[output] = SOFTMAX
        elif isinstance(operation, Cell):
            found[output] = HIDDEN
        elif isinstance(operation, Concat) and len({found[name] for name in node.inputs}) == 1:
            found[output] = found[node.inputs[0]]
    return found

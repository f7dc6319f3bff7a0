"""Scale and zero point of each activation, from the ranges that calibration found."""

from __future__ import annotations

from neuralcodec.firmware.calibrate import Ranges
from neuralcodec.firmware.graph import Cell, Concat, Graph, Pad, Permute, Pool, Reshape, Softmax
from neuralcodec.firmware.quantize import HIDDEN, SOFTMAX, Quantization, from_range
from neuralcodec.firmware.simplify import join_pool_clamps


def with_pool_clamps(graph: Graph, ranges: Ranges) -> Graph:
    """The network with clamps in max pools, where calibration shows that they lose next to nothing there."""
    scales = quantizations(graph, ranges)
    return join_pool_clamps(graph, lambda one, other: scales[one].scale / scales[other].scale)


def quantizations(graph: Graph, ranges: Ranges) -> dict[str, Quantization]:
    """By activation: from its range, or that of the activation it only moves around."""
    found = {name: from_range(ranges.low[name], ranges.high[name]) for name in graph.shapes if name in ranges.low}
    for node in graph.nodes:
        operation = node.operation
        output = node.outputs[0]
        if isinstance(operation, (Reshape, Permute, Pad)) or (isinstance(operation, Pool) and operation.kind == "max"):
            found[output] = found[node.inputs[0]]
        elif isinstance(operation, Softmax):
            found[output] = SOFTMAX
        elif isinstance(operation, Cell):
            found[output] = HIDDEN
        elif isinstance(operation, Concat) and len({found[name] for name in node.inputs}) == 1:
            found[output] = found[node.inputs[0]]
    return found

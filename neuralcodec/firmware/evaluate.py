"""Runs a :class:`~neuralcodec.firmware.graph.Graph` in PyTorch, in float32: for calibration and for checking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F

from neuralcodec.firmware.graph import (
    Add,
    Cell,
    Clamp,
    Concat,
    Conv,
    Graph,
    Linear,
    Mean,
    Mul,
    Node,
    Norm,
    Pad,
    Permute,
    Pointwise,
    Pool,
    Reshape,
    Softmax,
    Upsample,
    Zeros,
)
from neuralcodec.firmware.pointwise import applied, resolved

Tensors = Mapping[str, torch.Tensor]

Through = Callable[[str, torch.Tensor], torch.Tensor]
"""Gives what stands in the place of an activation, by its name."""


def unchanged(name: str, value: torch.Tensor) -> torch.Tensor:
    """The activation itself."""
    return value


def evaluate(
    graph: Graph,
    parameters: Tensors,
    inputs: Sequence[torch.Tensor],
    through: Through = unchanged,
) -> dict[str, torch.Tensor]:
    """All activations of a network.

    Args:
        graph: the network.
        parameters: its tensors by name, float32.
        inputs: one for each of ``graph.inputs``, any batch.
        through: gives what stands in the place of an activation, by its name.

    Returns:
        Each activation by name, its first side the batch.
    """
    values = {name: through(name, value) for name, value in zip(graph.inputs, inputs, strict=True)}
    batch = len(inputs[0])
    with torch.no_grad():
        for node in graph.nodes:
            results = _run(node, [values[name] for name in node.inputs], parameters, graph, batch)
            values.update((name, through(name, value)) for name, value in zip(node.outputs, results, strict=True))
    return values


def evaluate_runs(
    graph: Graph,
    parameters: Tensors,
    batches: Iterable[Tensors],
    states: Sequence[tuple[str, str]],
    through: Through = unchanged,
) -> Iterator[dict[str, torch.Tensor]]:
    """What :func:`evaluate` gives of one batch after the other.

    Args:
        graph: the network.
        parameters: its tensors by name, float32.
        batches: for each run the inputs by name, without states; one sample each where there are states.
        states: inputs that are fed with an output of the run before, and start from 0.
        through: as for :func:`evaluate`.
    """
    memory = {state: torch.zeros(graph.shapes[state]) for state, _ in states}
    for batch in batches:
        fed = {**batch, **memory}
        values = evaluate(graph, parameters, [fed[name] for name in graph.inputs], through)
        memory = {state: values[after] for state, after in states}
        yield values


def _run(
    node: Node, inputs: list[torch.Tensor], parameters: Tensors, graph: Graph, batch: int
) -> tuple[torch.Tensor, ...]:
    operation = node.operation
    shape = graph.shapes[node.outputs[0]]
    x = inputs[0] if inputs else torch.empty(0)
    match operation:
        case Conv():
            y = _conv(operation, x, parameters)
        case Linear():
            y = F.linear(x, parameters[operation.weight], _optional(parameters, operation.bias))
            if operation.norm is not None:
                y = _norm(operation.norm, y, parameters)
        case Norm():
            y = _norm(operation, x, parameters)
        case Clamp():
            y = _clamped(x, operation)
        case Add():
            y = x + inputs[1]
        case Mul():
            y = x * inputs[1]
        case Pointwise():
            y = applied(resolved(operation.functions, parameters), x)
        case Pool():
            y = _pool(operation, x)
        case Mean():
            y = x.mean(operation.dims)
        case Reshape():
            y = x
        case Permute():
            y = x.permute(operation.dims)
        case Concat():
            y = torch.cat(inputs, operation.dim)
        case Softmax():
            y = (torch.log_softmax if operation.log else torch.softmax)(x, operation.dim)
        case Upsample():
            down, right = operation.factors
            y = x.repeat_interleave(right, -1)
            y = y.repeat_interleave(down, 2) if down > 1 else y
        case Pad():
            above, left, below, right = operation.padding
            y = F.pad(x, (left, right, above, below) if x.dim() == 4 else (left, right))
        case Cell():
            return _cell(operation, inputs, parameters)
        case Zeros():
            y = torch.zeros(batch, *shape[1:])
    if isinstance(operation, (Conv, Linear, Add, Mul, Pool, Mean)) and operation.clamp is not None:
        y = _clamped(y, operation.clamp)
    return (y.reshape(batch, *shape[1:]),)


def _conv(operation: Conv, x: torch.Tensor, parameters: Tensors) -> torch.Tensor:
    weight = parameters[operation.weight]
    if weight.dim() == 3:
        weight = weight.unsqueeze(2)
    x = x.reshape(*x.shape[:2], *[1] * (4 - x.dim()), *x.shape[2:])
    above, left, below, right = operation.padding
    y = F.conv2d(
        F.pad(x, (left, right, above, below)),
        weight,
        _optional(parameters, operation.bias),
        operation.stride,
        0,
        operation.dilation,
        operation.groups,
    )
    return y if operation.norm is None else _norm(operation.norm, y, parameters)


def _norm(norm: Norm, x: torch.Tensor, parameters: Tensors) -> torch.Tensor:
    return F.batch_norm(
        x,
        parameters[norm.mean],
        parameters[norm.var],
        _optional(parameters, norm.weight),
        _optional(parameters, norm.bias),
        eps=norm.eps,
    )


def _clamped(x: torch.Tensor, clamp: Clamp) -> torch.Tensor:
    return x.clamp(clamp.low, clamp.high)


def _pool(operation: Pool, x: torch.Tensor) -> torch.Tensor:
    if x.dim() == 3:
        x = x.unsqueeze(2)
    above, left, below, right = operation.padding
    sides = (left, right, above, below)
    if operation.kind == "max":
        return F.max_pool2d(F.pad(x, sides, value=-torch.inf), operation.kernel, operation.stride)
    sums: torch.Tensor = F.avg_pool2d(F.pad(x, sides), operation.kernel, operation.stride)
    if operation.count_outside:
        return sums
    inside = F.pad(torch.ones_like(x[:1, :1]), sides)
    return sums / F.avg_pool2d(inside, operation.kernel, operation.stride)


def _cell(operation: Cell, inputs: list[torch.Tensor], parameters: Tensors) -> tuple[torch.Tensor, ...]:
    weights = [parameters[operation.weight_input], parameters[operation.weight_hidden]]
    biases = [_optional(parameters, operation.bias_input), _optional(parameters, operation.bias_hidden)]
    if operation.kind == "lstm":
        x, hidden, cell = inputs
        after: tuple[torch.Tensor, ...] = torch.lstm_cell(x, (hidden, cell), *weights, *biases)
        return after
    return (torch.gru_cell(*inputs, *weights, *biases),)


def _optional(parameters: Tensors, name: str | None) -> torch.Tensor | None:
    return None if name is None else parameters[name]

"""Joins operations that one kernel runs: a convolution with the padding before it, the norm and the ReLU behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from neuralcodec.firmware.graph import (
    Add,
    Clamp,
    Conv,
    Function,
    Graph,
    Linear,
    Mean,
    Mul,
    Node,
    Norm,
    Pad,
    Pointwise,
    Pool,
    Shape,
    Sides,
)

MOST_COARSER = 2.0
"""How much coarser than its own the scale of what a clamp gives may be, for one layer less."""


def simplify(graph: Graph) -> Graph:
    """The same network with fewer operations; what nobody reads is left out."""
    return _without_unused(_join_clamps(_join_norms(_join_pads(_without_unused(graph)))))


def _without_unused(graph: Graph) -> Graph:
    wanted = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return replace(graph, nodes=tuple(reversed(kept)))


def _join_pads(graph: Graph) -> Graph:
    """Padding becomes that of the convolution, or of the average pool that counts it."""
    before = {node.outputs[0]: node for node in graph.nodes if isinstance(node.operation, Pad)}
    nodes = []
    for each in graph.nodes:
        node = each
        pad = before.get(node.inputs[0]) if len(node.inputs) == 1 else None
        if pad is not None and isinstance(pad.operation, Pad):
            more = pad.operation.padding
            operation = node.operation
            if isinstance(operation, Conv):
                joined = replace(operation, padding=_sum(operation.padding, more))
                node = replace(node, operation=joined, inputs=pad.inputs)
            elif (
                isinstance(operation, Pool)
                and operation.kind == "average"
                and (operation.count_outside or not any(operation.padding))
            ):
                padding = _sum(operation.padding, more)
                # No window may lie outside of the input with all that it has.
                if all(side < kernel for side, kernel in zip(padding, operation.kernel * 2, strict=True)):
                    wider = replace(operation, padding=padding, count_outside=True)
                    node = replace(node, operation=wider, inputs=pad.inputs)
        nodes.append(node)
    return _without_unused(replace(graph, nodes=tuple(nodes)))


def _sum(a: Sides, b: Sides) -> Sides:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def _join_norms(graph: Graph) -> Graph:
    """A norm that is the only reader of a convolution's output becomes part of it."""

    def with_norm(first: Node, second: Node) -> Node | None:
        operation = first.operation
        if not isinstance(operation, (Conv, Linear)) or not isinstance(second.operation, Norm):
            return None
        if operation.norm is not None or operation.clamp is not None:
            return None
        # A norm's channels are the second dimension; the rows of a linear layer are the last one.
        if isinstance(operation, Linear) and len(graph.shapes[first.outputs[0]]) != 2:
            return None
        return replace(first, operation=replace(operation, norm=second.operation), outputs=second.outputs)

    return _join_behind(graph, with_norm)


def _join_clamps(graph: Graph) -> Graph:
    return _join_behind(_clamps_before_pools(_join_behind(graph, _with_clamp)), _with_clamp)


def _clamps_before_pools(graph: Graph) -> Graph:
    """A clamp behind max pools, which is the same before them, where a layer before takes it.

    Max pools have the scale of their input, which would be too coarse for what a clamp leaves.
    """
    nodes = list(graph.nodes)
    for node in graph.nodes:
        pools: list[Node] = []
        first = _only_maker(graph, node.inputs) if isinstance(node.operation, Clamp) else None
        while first is not None and isinstance(first.operation, Pool) and first.operation.kind == "max":
            pools.append(first)
            first = _only_maker(graph, first.inputs)
        joined = None if first is None or not pools else _with_clamp(first, node)
        if first is None or joined is None:
            continue
        nodes[nodes.index(first)] = replace(joined, outputs=first.outputs)
        nodes[nodes.index(pools[0])] = replace(pools[0], outputs=node.outputs)
        nodes.remove(node)
        graph = replace(graph, nodes=tuple(nodes))
    return graph


def _only_maker(graph: Graph, inputs: tuple[str, ...]) -> Node | None:
    """What makes an activation that nothing else reads."""
    if len(inputs) != 1 or inputs[0] in graph.outputs or len(graph.users(inputs[0])) != 1:
        return None
    return next((node for node in graph.nodes if node.outputs == inputs), None)


def join_pool_clamps(graph: Graph, coarser: Callable[[str, str], float]) -> Graph:
    """Clamps that are left behind max pools become part of them, where the pool's scale is about as fine as theirs.

    Args:
        graph: the network.
        coarser: how much coarser the scale of one activation is than that of another.
    """

    def with_clamp(first: Node, second: Node) -> Node | None:
        operation = first.operation
        if not isinstance(operation, Pool) or operation.kind != "max" or not isinstance(second.operation, Clamp):
            return None
        if coarser(first.inputs[0], second.outputs[0]) > MOST_COARSER:
            return None
        return _clamped(first, operation, second, second.operation)

    return _join_behind(graph, with_clamp)


def _with_clamp(first: Node, second: Node) -> Node | None:
    if not isinstance(second.operation, Clamp):
        return None
    operation = first.operation
    if isinstance(operation, Clamp):
        return replace(first, operation=operation.then(second.operation), outputs=second.outputs)
    if isinstance(operation, Pool) and operation.kind == "max":
        return None
    if isinstance(operation, (Conv, Linear, Add, Mul, Pool, Mean)):
        return _clamped(first, operation, second, second.operation)
    return None


def _clamped(first: Node, operation: Conv | Linear | Add | Mul | Pool | Mean, second: Node, clamp: Clamp) -> Node:
    """The first node, whose operation is given, with the clamp that the second one is."""
    both = clamp if operation.clamp is None else operation.clamp.then(clamp)
    return replace(first, operation=replace(operation, clamp=both), outputs=second.outputs)


def _join_functions(graph: Graph) -> Graph:
    """Functions that follow each other become one layer: in int8 a table, which does not round in between.

    Clamps that no layer has taken, as in relu6(x + 3) / 6, are functions, too.
    """

    def with_functions(first: Node, second: Node) -> Node | None:
        before, behind = _functions(first), _functions(second)
        if not before or not behind:
            return None
        if isinstance(first.operation, Clamp) and isinstance(second.operation, Clamp):
            return None
        return replace(first, operation=Pointwise(before + behind), outputs=second.outputs)

    return _join_behind(graph, with_functions)


def _functions(node: Node) -> tuple[Function, ...]:
    if isinstance(node.operation, Pointwise):
        return node.operation.functions
    if isinstance(node.operation, Clamp):
        return (Function("clamp", (node.operation.low, node.operation.high)),)
    return ()


def _join_behind(graph: Graph, join: Callable[[Node, Node], Node | None]) -> Graph:
    nodes = list(graph.nodes)
    i = 0
    while i < len(nodes):
        node = nodes[i]
        users = [other for other in nodes if node.outputs[0] in other.inputs]
        if len(users) == 1 and len(node.outputs) == 1 and node.outputs[0] not in graph.outputs:
            joined = join(node, users[0])
            if joined is not None:
                # Where the second was, in case the first comes long before.
                nodes[nodes.index(users[0])] = joined
                del nodes[i]
                continue
        i += 1
    return replace(graph, nodes=tuple(nodes))


def norms_as_convolutions(graph: Graph) -> Graph:
    """Norms that are left become depthwise convolutions with weights that are 1, into which they fold.

    What then follows each other as functions of single elements becomes one layer.
    """
    nodes = []
    made: dict[str, Shape] = {}
    for node in graph.nodes:
        operation = node.operation
        if not isinstance(operation, Norm):
            nodes.append(node)
            continue
        channels = graph.shapes[node.inputs[0]][1]
        weight = f"{operation.mean.rpartition('.')[0]}.ones"
        if weight in made:  # the buffers of one module may be those of several
            weight = f"{operation.mean}.ones"
        made[weight] = (channels, 1, 1, 1)
        conv = Conv(weight, None, (1, 1), (0, 0, 0, 0), (1, 1), channels, operation)
        nodes.append(replace(node, operation=conv))
    parameters = {**graph.parameters, **made}
    joined = _join_clamps(replace(graph, nodes=tuple(nodes), parameters=parameters, ones=frozenset(made)))
    return _join_functions(joined)

"""Inputs that are but a cell's state, whose new value is an output: firmware keeps these itself from run to run."""

from __future__ import annotations

from neuralcodec.firmware.graph import Cell, Graph, Node, Reshape


def find_states(graph: Graph) -> list[tuple[str, str]]:
    """Pairs of an input and the output that is its value in the next run."""
    outputs = list(graph.outputs)
    found = []
    for name in graph.inputs:
        after = _after(graph, name)
        if after is not None and after in outputs:
            # The last one: a module returns its output before its states, and they may be the same.
            del outputs[len(outputs) - 1 - outputs[::-1].index(after)]
            found.append((name, after))
    return found


def _after(graph: Graph, name: str) -> str | None:
    """The activation that takes an input's place, if all that reads the input is the state of a cell."""
    node = _reader(graph, name)
    while node is not None and isinstance(node.operation, Reshape):
        name = node.outputs[0]
        node = _reader(graph, name)
    if node is None or not isinstance(node.operation, Cell) or name not in node.inputs[1:]:
        return None
    value = node.outputs[node.inputs.index(name, 1) - 1]
    while value not in graph.outputs:
        reshaped = [n for n in graph.users(value) if isinstance(n.operation, Reshape)]
        if not reshaped:
            return None
        value = reshaped[0].outputs[0]
    return value


def _reader(graph: Graph, name: str) -> Node | None:
    readers = graph.users(name)
    return readers[0] if len(readers) == 1 else None

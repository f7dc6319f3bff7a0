"""Inputs that are but a cell's state, whose new value is an output: firmware keeps these itself from run to run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from neuralcodec.errors import ExportError
from neuralcodec.firmware.graph import Cell, Graph, Node, Reshape


def find_states(graph: Graph) -> list[tuple[str, str]]:
    """Pairs of an input and the output that is its value in the next run.

    Raises:
        ExportError: states are returned in another order than they are taken, so that who calls the module with what it
            returned last would mean others.
    """
    left = dict(enumerate(graph.outputs))
    found, places = [], []
    for name in graph.inputs:
        after = _after(graph, name)
        # The last one: a module returns its output before its states, and they may be the same.
        place = max((i for i, output in left.items() if output == after), default=None)
        if after is not None and place is not None:
            del left[place]
            found.append((name, after))
            places.append(place)
    if places != sorted(places):
        taken = ", ".join(name for name, _ in found)
        given = ", ".join(name for _, (name, _) in sorted(zip(places, found, strict=True)))
        raise ExportError(
            f"the module takes states in the order {taken}, but returns what they become in that of {given}"
        )
    return found


def besides(outputs: Sequence[str], states: Iterable[str]) -> list[str]:
    """Outputs that are not states; of equal ones the last is the state, as modules return states behind outputs."""
    left = list(outputs)
    for state in states:
        del left[len(left) - 1 - left[::-1].index(state)]
    return left


def _after(graph: Graph, name: str) -> str | None:
    """The activation that takes an input's place, if all that reads the input is one state of a cell."""
    node = _reader(graph, name)
    while node is not None and isinstance(node.operation, Reshape):
        name = node.outputs[0]
        node = _reader(graph, name)
    if (
        node is None
        or not isinstance(node.operation, Cell)
        or name not in node.inputs[1:]
        or node.inputs.count(name) > 1
    ):
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
    return readers[0] if len(readers) == 1 and name not in graph.outputs else None

"""When each buffer is needed, which of them can be one, and so where they lie in the arena."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from neuralcodec.firmware.arena import Arena, Buffer, plan_arena
from neuralcodec.firmware.lower import Lowered
from neuralcodec.firmware.plan import (
    OUTPUT,
    AddLayer,
    FunctionLayer,
    MulLayer,
    RescaleLayer,
    TableLayer,
    scratch_of,
    state_of,
    tables_of,
)

IN_PLACE = (AddLayer, MulLayer, TableLayer, FunctionLayer, RescaleLayer)
"""Layers that read each element before they write what has its place."""


def schedule(lowered: Lowered) -> Arena:
    """Plans the arena of a network.

    Step i of the plan is step i here; the input is there from -1 on, states and the output at all times. Tables and
    scratch of a layer are there while it runs.
    """
    first: dict[str, int] = {lowered.input: -1}
    last: dict[str, int] = {lowered.input: -1}
    end = len(lowered.steps)
    for i, step in enumerate(lowered.steps):
        for name in (step.output, *([step.cell_state] if step.cell_state else [])):
            first.setdefault(name, i)
            last[name] = i
        for name in step.inputs:
            last[name] = i
    last[lowered.output] = end
    for state in lowered.states:
        last[state.activation] = end
    one = _in_place(lowered, first, last)
    sizes = {name: lowered.activations[name].nbytes for name in first}
    groups: dict[str, Buffer] = {}
    for name, start in first.items():
        root = _root(one, name)
        before = groups.get(root, Buffer(root, 0, start, last[name]))
        groups[root] = Buffer(
            root, max(before.size, sizes[name]), min(before.first, start), max(before.last, last[name])
        )
    buffers = list(groups.values())
    buffers.append(Buffer(OUTPUT, lowered.activations[lowered.output].nbytes, -1, end))
    buffers += [Buffer(state_of(s), lowered.activations[s.activation].nbytes, -1, end) for s in lowered.states]
    for i, step in enumerate(lowered.steps):
        buffers += [Buffer(tables_of(i), step.tables, i, i)] if step.tables else []
        buffers += [Buffer(scratch_of(i), step.scratch.nbytes, i, i)] if step.scratch.nbytes else []
    arena = plan_arena(buffers)
    offsets = dict(arena.offsets) | {name: arena.offsets[_root(one, name)] for name in first}
    live = tuple(_live(buffers, i) for i in range(end))
    kept = [b for b in buffers if b.name in groups or b.name == OUTPUT]
    return Arena(offsets, arena.size, arena.bound, live, max(_live(kept, i) for i in range(-1, end + 1)))


def _live(buffers: Iterable[Buffer], step: int) -> int:
    return sum(b.size for b in buffers if b.first <= step <= b.last)


def _in_place(lowered: Lowered, first: Mapping[str, int], last: Mapping[str, int]) -> dict[str, str]:
    """Activations that are written over one that is read for the last time; name to the name of the other."""
    one: dict[str, str] = {}
    for i, step in enumerate(lowered.steps):
        if not isinstance(step.layer, IN_PLACE):
            continue
        out = lowered.activations[step.output]
        for name in step.inputs:
            same = lowered.activations[name].nbytes == out.nbytes
            if same and last[name] == i and first[step.output] == i:
                one[step.output] = name
                break
    return one


def _root(one: Mapping[str, str], name: str) -> str:
    while name in one:
        name = one[name]
    return name

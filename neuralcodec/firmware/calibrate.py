"""Ranges of activations, from data that the network is run on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from neuralcodec.errors import ExportError
from neuralcodec.firmware.evaluate import Tensors, evaluate_runs
from neuralcodec.firmware.graph import Cell, Graph, Node

Sample = torch.Tensor | Sequence[torch.Tensor]
Calibration = torch.Tensor | Iterable[Sample]
"""One tensor of samples, or an iterable (a ``DataLoader``) of batches, which may be tuples with labels behind."""

BATCH = 64

GATE = 8.0
"""Where the tables of sigmoid and tanh end."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """What calibration found.

    Attributes:
        low, high: the least and the largest value of each activation.
        gates: how large parts of a cell's gates have to be told, by the cell's first output.
        samples: how many inputs were run.
        first: the first of them, at most as many as are run at a time, by input that is no state.
    """

    low: dict[str, float]
    high: dict[str, float]
    samples: int
    gates: Mapping[str, float] = field(default_factory=dict)
    first: Mapping[str, torch.Tensor] = field(default_factory=dict)


def calibrate(
    graph: Graph, parameters: Tensors, calibration: Calibration, states: Sequence[tuple[str, str]] = ()
) -> Ranges:
    """Runs the network on calibration data.

    Args:
        graph: the network.
        parameters: its tensors.
        calibration: the data.
        states: inputs that are fed with an output of the run before, and start from 0; samples follow each other in
            time then.

    Raises:
        ExportError: there is no data, its shape is not the network's, or an activation is not finite.
    """
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    parts: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    count = 0
    kept: list[tuple[torch.Tensor, ...]] = []
    given = [name for name in graph.inputs if name not in {state for state, _ in states}]
    batches = (
        dict(zip(given, batch, strict=True)) for batch in _batches(graph, given, calibration, 1 if states else BATCH)
    )
    for values in evaluate_runs(graph, parameters, batches, states):
        batch = tuple(values[name] for name in given)
        for node in graph.nodes:
            if isinstance(node.operation, Cell):
                found, name = _parts(node, node.operation, values, parameters), node.outputs[0]
                before = parts.get(name, found)
                parts[name] = torch.maximum(before[0], found[0]), torch.maximum(before[1], found[1])
        if count < BATCH:
            kept.append(tuple(part[: BATCH - count].clone() for part in batch))
        count += len(batch[0])
        for name, value in values.items():
            least, most = float(value.min()), float(value.max())
            if not (abs(least) < torch.inf and abs(most) < torch.inf):
                bad = (~value.isfinite()).reshape(len(value), -1).any(1).int().argmax()
                place = count - len(batch[0]) + int(bad)
                raise ExportError(f"activation {name!r} is not finite on calibration sample {place}")
            low[name] = min(low.get(name, least), least)
            high[name] = max(high.get(name, most), most)
    if not count:
        raise ExportError("calibration: no samples")
    first = {name: torch.cat(part) for name, part in zip(given, zip(*kept, strict=True), strict=True)}
    return Ranges(low, high, count, {name: _gates(*found) for name, found in parts.items()}, first)


def _parts(node: Node, cell: Cell, values: Tensors, parameters: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest magnitudes of both parts of each gate, that of the input and that of the hidden state."""
    pairs = (
        (node.inputs[0], cell.weight_input, cell.bias_input),
        (node.inputs[1], cell.weight_hidden, cell.bias_hidden),
    )
    found = []
    for value, weight, bias in pairs:
        sums = F.linear(values[value].flatten(1), parameters[weight], None if bias is None else parameters[bias])
        found.append(sums.abs().amax(0))
    return found[0], found[1]


def _gates(a: torch.Tensor, b: torch.Tensor) -> float:
    """A part beyond what the other one can take back to where sigmoid and tanh end may as well end there."""
    wanted = torch.maximum(torch.minimum(a, b + GATE), torch.minimum(b, a + GATE))
    return float(wanted.max())


def _batches(
    graph: Graph, given: Sequence[str], calibration: Calibration, most: int
) -> Iterator[tuple[torch.Tensor, ...]]:
    if not isinstance(calibration, Iterable):
        raise ExportError(f"calibration: a tensor or batches expected, not {type(calibration).__name__}")
    samples: Iterable[Sample] = [calibration] if isinstance(calibration, torch.Tensor) else calibration
    for sample in samples:
        if not isinstance(sample, (torch.Tensor, Iterable)):
            raise ExportError(f"calibration: tensors expected, not {type(sample).__name__}")
        parts = (sample,) if isinstance(sample, torch.Tensor) else tuple(itertools.islice(sample, len(given)))
        if len(parts) != len(given):
            raise ExportError(f"calibration: {len(parts)} tensors where the network has {len(given)} inputs")
        shaped = [_shaped(graph.shapes[name], part) for name, part in zip(given, parts, strict=True)]
        if len({len(part) for part in shaped}) != 1:
            raise ExportError("calibration: inputs of different batch sizes")
        for start in range(0, len(shaped[0]), most):
            yield tuple(part[start : start + most] for part in shaped)


def real_floats(value: torch.Tensor, what: str) -> torch.Tensor:
    """A tensor as float32 on the host.

    Raises:
        ExportError: it has values of another kind, or none.
    """
    if value.is_complex():
        raise ExportError(f"{what}: real numbers expected, not {value.dtype}")
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        kind = "quantized" if value.is_quantized else "meta" if value.is_meta else str(value.layout)
        raise ExportError(f"{what}: dense tensors of numbers expected, not {kind} ones")
    return value.detach().to(device="cpu", dtype=torch.float32)


def _shaped(shape: tuple[int, ...], sample: object) -> torch.Tensor:
    if not isinstance(sample, torch.Tensor):
        raise ExportError(f"calibration: tensors expected, not {type(sample).__name__}")
    value = real_floats(sample, "calibration")
    if value.shape[1:] == shape[1:]:
        return value
    if value.shape == shape[1:]:
        return value.unsqueeze(0)
    raise ExportError(f"calibration: samples of shape {list(value.shape)}; the network takes {list(shape)}")

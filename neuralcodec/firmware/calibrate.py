"""Ranges of activations, from data that the network is run on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from neuralcodec.errors import ExportError
from neuralcodec.firmware.evaluate import Tensors, evaluate
from neuralcodec.firmware.graph import Graph

Sample = torch.Tensor | Sequence[torch.Tensor]
Calibration = torch.Tensor | Iterable[Sample]
"""One tensor of samples, or an iterable (a ``DataLoader``) of batches, which may be tuples with labels behind."""

BATCH = 64


@dataclass(frozen=True, slots=True)
class Ranges:
    """What calibration found.

    Attributes:
        low, high: the least and the largest value of each activation.
        samples: how many inputs were run.
    """

    low: dict[str, float]
    high: dict[str, float]
    samples: int


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
    count = 0
    given = [name for name in graph.inputs if name not in {state for state, _ in states}]
    memory = {state: torch.zeros(graph.shapes[state]) for state, _ in states}
    for batch in _batches(graph, given, calibration, 1 if states else BATCH):
        fed = dict(zip(given, batch, strict=True)) | memory
        values = evaluate(graph, parameters, [fed[name] for name in graph.inputs])
        memory = {state: values[after] for state, after in states}
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
    return Ranges(low, high, count)


def _batches(
    graph: Graph, given: Sequence[str], calibration: Calibration, most: int
) -> Iterator[tuple[torch.Tensor, ...]]:
    if not isinstance(calibration, Iterable):
        raise ExportError(f"calibration: a tensor or batches expected, not {type(calibration).__name__}")
    samples: Iterable[Sample] = [calibration] if isinstance(calibration, torch.Tensor) else calibration
    for sample in samples:
        parts = (sample,) if isinstance(sample, torch.Tensor) else tuple(itertools.islice(sample, len(given)))
        if len(parts) != len(given):
            raise ExportError(f"calibration: {len(parts)} tensors where the network has {len(given)} inputs")
        shaped = [_shaped(graph.shapes[name], part) for name, part in zip(given, parts, strict=True)]
        if len({len(part) for part in shaped}) != 1:
            raise ExportError("calibration: inputs of different batch sizes")
        for start in range(0, len(shaped[0]), most):
            yield tuple(part[start : start + most] for part in shaped)


def _shaped(shape: tuple[int, ...], sample: object) -> torch.Tensor:
    if not isinstance(sample, torch.Tensor):
        raise ExportError(f"calibration: tensors expected, not {type(sample).__name__}")
    value = sample.detach().to(device="cpu", dtype=torch.float32)
    if value.shape[1:] == shape[1:]:
        return value
    if value.shape == shape[1:]:
        return value.unsqueeze(0)
    raise ExportError(f"calibration: samples of shape {list(value.shape)}; the network takes {list(shape)}")

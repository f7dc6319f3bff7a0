"""What int8 activations do to the outputs, on calibration data: shows scales that are too coarse before firmware runs.

Weights are as they were decoded here; what they lose is seen without an export.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import torch

from neuralcodec.firmware.calibrate import BATCH, Ranges
from neuralcodec.firmware.evaluate import Tensors, Through, evaluate_runs, unchanged
from neuralcodec.firmware.graph import Cell, Graph, Reshape, Zeros
from neuralcodec.firmware.quantize import Quantization
from neuralcodec.firmware.states import besides

LEAST_SNR = 20.0
"""Networks whose activations have scales that fit are at 30 dB and more."""


def coarse_activations(
    graph: Graph,
    parameters: Tensors,
    ranges: Ranges,
    scales: Mapping[str, Quantization],
    states: Sequence[tuple[str, str]],
) -> list[str]:
    """A note where outputs change by more than they should, and on the activation that does most of it.

    Args:
        graph: the network.
        parameters: its tensors.
        ranges: what calibration found.
        scales: of activations.
        states: inputs that are fed with an output of the run before.
    """
    (output,) = besides(graph.outputs, (after for _, after in states))
    kept = {state for state, _ in states}
    for node in graph.nodes:
        # States of cells have scales that no data change; what is but reshaped has been rounded before.
        kept |= {*node.outputs} if isinstance(node.operation, (Cell, Reshape, Zeros)) else set()
    rounded = [name for name in scales if name not in kept]

    def outputs(through: Through) -> torch.Tensor:
        """Of all samples, float64, shape [samples, values]; one after the other where there are states."""
        step = 1 if states else BATCH
        parts = zip(*(torch.split(value, step) for value in ranges.first.values()), strict=True)
        batches = (dict(zip(ranges.first, part, strict=True)) for part in parts)
        runs = evaluate_runs(graph, parameters, batches, states, through)
        return torch.cat([values[output].double().flatten(1) for values in runs])

    wanted = outputs(unchanged)

    def snr(names: Collection[str]) -> float:
        """Of the sample in the middle: outliers do not count, but what they do to the scales does."""
        error = outputs(lambda name, value: _rounded(scales[name], value) if name in names else value) - wanted
        share = float((error.square().sum(1) / wanted.square().sum(1).clamp(min=1e-30)).median())
        return -10 * math.log10(max(share, 1e-30))

    whole = snr(rounded)
    if whole >= LEAST_SNR:
        return []
    alone = {name: snr([name]) for name in rounded}
    worst = min(alone, key=lambda name: alone[name])
    return [
        f"int8 activations alone bring the outputs to an SNR of {whole:.1f} dB on calibration data, {worst!r} alone to "
        f"{alone[worst]:.1f} dB: all its values share a scale, so bring features to like ranges before they get there, "
        "and leave outliers out of calibration data"
    ]


def _rounded(scale: Quantization, value: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(scale.dequantize(scale.quantize(value.numpy())))

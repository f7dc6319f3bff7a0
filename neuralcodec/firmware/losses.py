"""What int8 activations do to the outputs, on calibration data: shows scales that are too coarse before firmware runs.

Weights are as they were decoded here; what they lose is seen without an export.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from neuralcodec.firmware.calibrate import Ranges
from neuralcodec.firmware.evaluate import Tensors, evaluate
from neuralcodec.firmware.graph import Cell, Graph, Reshape, Zeros
from neuralcodec.firmware.quantize import Quantization

LEAST_SNR = 20.0
"""Networks whose activations have scales that fit are at 30 dB and more."""

Through = Callable[[str, torch.Tensor], torch.Tensor]


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
    becomes = [after for _, after in states]
    output = next(name for name in graph.outputs if graph.outputs.count(name) > becomes.count(name))
    kept = {state for state, _ in states}
    for node in graph.nodes:
        # States of cells have scales that no data change; what is but reshaped has been rounded before.
        kept |= {*node.outputs} if isinstance(node.operation, (Cell, Reshape, Zeros)) else set()
    rounded = [name for name in scales if name not in kept]
    wanted = _outputs(graph, parameters, ranges.first, states, output, lambda name, value: value)

    def snr(names: Sequence[str]) -> float:
        """Of the sample in the middle: outliers do not count, but what they do to the scales does."""

        def through(name: str, value: torch.Tensor) -> torch.Tensor:
            return _rounded(scales[name], value) if name in names else value

        error = (_outputs(graph, parameters, ranges.first, states, output, through) - wanted).square().sum(1)
        energy = wanted.square().sum(1)
        share = float((error / energy.clamp(min=1e-30)).median())
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


def _outputs(  # noqa: PLR0917
    graph: Graph,
    parameters: Tensors,
    inputs: Mapping[str, torch.Tensor],
    states: Sequence[tuple[str, str]],
    output: str,
    through: Through,
) -> torch.Tensor:
    """Outputs of all samples, float64, shape [samples, values]; one after the other where there are states."""
    count = len(next(iter(inputs.values())))
    step = 1 if states else count
    memory = {state: torch.zeros(graph.shapes[state]) for state, _ in states}
    found = []
    for at in range(0, count, step):
        fed = {name: value[at : at + step] for name, value in inputs.items()} | memory
        values = evaluate(graph, parameters, [fed[name] for name in graph.inputs], through)
        memory = {state: values[after] for state, after in states}
        found.append(values[output].double().flatten(1))
    return torch.cat(found)


def _rounded(scale: Quantization, value: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(scale.dequantize(scale.quantize(value.numpy())))

"""How a target's bits are allocated to tensors: the ratio of their steps.

One step for all tensors is best for the squared error summed over the model. A network's output is another matter: each
of its layers turns the relative error of its weights into a relative error of what it computes, and these add up on the
way to the output, whether a layer has a thousand weights or a million. With tensors of nᵢ weights, root mean squares σᵢ
and steps Δᵢ, that sum is Σ Δᵢ²/σᵢ², and under a limit on the bits it is least where Δᵢ² is in proportion to nᵢ·σᵢ², the
tensor's energy (bits go to where few of them help, as in Zhou, Moosavi-Dezfooli, Cheung and Frossard, "Adaptive
quantization for deep neural networks", AAAI 2018, which measures how robust each layer is instead of assuming that all
are alike). Layers are not alike, though, and what lies between the two does better on trained networks than either
(docs/trellis.md has the figures).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from neuralcodec import _native
from neuralcodec.source import Source

EXPONENT = 0.375
"""Of a tensor's energy: a half is for relative errors alone, 0 for the squared error alone."""


def relative_steps(source: Source, names: Iterable[str]) -> dict[str, float]:
    """Each tensor's step over a common one, so that layers count by what they do to the output.

    Args:
        source: the tensors.
        names: those that have a step.

    Returns:
        By name, that power of its energy over the mean of all (of logarithms, each weight counted once), and 1 for
        tensors that are all 0. Weights that are not finite do not count.
    """
    logs: dict[str, float] = {}
    counts: dict[str, int] = {}
    for name in names:
        weights = source.read(name).float32()
        _, energy, nonfinite = _native.scan(weights)
        if nonfinite:
            _, energy, _ = _native.scan(weights[np.isfinite(weights)])
        if energy > 0:
            logs[name], counts[name] = EXPONENT * math.log2(energy), weights.size
    total = sum(counts.values())
    middle = sum(logs[name] * counts[name] for name in logs) / total if total else 0.0
    return {name: 2.0 ** (logs[name] - middle) if name in logs else 1.0 for name in names}

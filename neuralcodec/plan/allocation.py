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
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from neuralcodec import _native
from neuralcodec.codec import UsuallyStepped
from neuralcodec.plan.rules import Assignment
from neuralcodec.source import Source

EXPONENT = 0.375
"""Of a tensor's energy: a half is for relative errors alone, 0 for the squared error alone."""


def relative_steps(source: Source, names: Collection[str]) -> dict[str, float]:
    """Each tensor's step over a common one, so that layers count by what they do to the output.

    Args:
        source: the tensors.
        names: those that have a step.

    Returns:
        By name, that power of its energy over the mean of all (of logarithms, each weight counted once), and 1 for
        tensors that are all 0. Weights that are not finite do not count.
    """
    logs = _log_energies(source, names)
    found = _over_mean(source, {name: EXPONENT * each for name, each in logs.items()})
    return {name: found.get(name, 1.0) for name in names}


def with_usual_steps(source: Source, plan: Mapping[str, Assignment]) -> dict[str, Assignment]:
    """A plan in which codecs whose options leave the step open have steps in these ratios.

    In the mean of the model (of logarithms, each weight counted once) they are the usual ones.

    Args:
        source: the tensors.
        plan: the codec of each.
    """
    open_steps = {name: a.codec for name, a in plan.items() if isinstance(a.codec, UsuallyStepped) and not a.stays}
    if all(codec.with_usual_step(1.0) is codec for codec in open_steps.values()):
        return dict(plan)  # no option is open, so no tensor need be read
    logs = _log_energies(source, open_steps)
    # Usual steps are relative to root mean squares, so these are in the factors' denominators.
    factors = _over_mean(
        source,
        {name: EXPONENT * each - 0.5 * (each - math.log2(source.specs[name].size)) for name, each in logs.items()},
    )
    chosen = {name: codec.with_usual_step(factors.get(name, 1.0)) for name, codec in open_steps.items()}
    return {name: replace(a, codec=chosen[name]) if name in chosen else a for name, a in plan.items()}


def _log_energies(source: Source, names: Collection[str]) -> dict[str, float]:
    """log2 of the sum of squares of finite weights, by name; of tensors where these are not all 0."""
    logs = {}
    for name in names:
        weights = source.read(name).float32()
        _, energy, nonfinite = _native.scan(weights)
        if nonfinite:
            _, energy, _ = _native.scan(weights[np.isfinite(weights)])
        if energy > 0:
            logs[name] = math.log2(energy)
    return logs


def _over_mean(source: Source, logs: Mapping[str, float]) -> dict[str, float]:
    total = sum(source.specs[name].size for name in logs)
    middle = sum(each * source.specs[name].size for name, each in logs.items()) / total if total else 0.0
    return {name: 2.0 ** (each - middle) for name, each in logs.items()}

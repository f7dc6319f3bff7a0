"""How far decoded weights are from the original ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from bench.network import State

FEW_WEIGHTS = 256


@dataclass(frozen=True)
class Fidelity:
    """Error of decoded weights.

    Attributes:
        snr_db: 10·log10(Σw² / Σ(w−ŵ)²) over all tensors that :func:`counts`; infinite where all are exact.
        relative_error: √(Σ(w−ŵ)² / Σw²) over the same.
        max_error: largest |w−ŵ| of any float tensor.
    """

    snr_db: float
    relative_error: float
    max_error: float


def counts(tensor: torch.Tensor) -> bool:
    """Whether a tensor counts for the SNR: it has at least two dimensions and 256 weights, which every method codes."""
    return tensor.is_floating_point() and tensor.dim() >= 2 and tensor.numel() >= FEW_WEIGHTS


def compare(original: State, decoded: State) -> Fidelity:
    """The error of ``decoded``, which has the names and shapes of ``original``."""
    power = error = largest = 0.0
    for name, tensor in original.items():
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        was = tensor.double()
        difference = decoded[name].double() - was
        largest = max(largest, float(difference.abs().max()))
        if counts(tensor):
            power += float(was.square().sum())
            error += float(difference.square().sum())
    if error == 0:
        return Fidelity(math.inf, 0.0, largest)
    return Fidelity(10 * math.log10(power / error), math.sqrt(error / power), largest)


def weights(state: State) -> int:
    """Number of float weights."""
    return sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point())


def original_bytes(state: State) -> int:
    """Bytes of all tensors, floats at 32 bits."""
    return sum(t.numel() * (4 if t.is_floating_point() else t.element_size()) for t in state.values())

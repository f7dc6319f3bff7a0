"""The Shannon lower bound of Gaussian weights: what no coder of independent Gaussian weights can beat.

Each tensor is taken for independent Gaussian weights of its own mean square. At a mean squared error θ in every tensor
(the water level; tensors below it are not sent) the rate of a weight is ½·log2(σ²/θ) bits (Cover and Thomas, "Elements
of Information Theory", 2nd ed., theorem 10.3.3). Real weights are not Gaussian, so a coder may come out below.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.fidelity import counts
from bench.network import State


def gaussian_bound(state: State, snr_db: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Least bits a weight at each SNR, over the tensors that count for it.

    Args:
        state: the weights.
        snr_db: SNRs in dB, shape [points].

    Returns:
        Bits a weight, shape [points].
    """
    tensors = [tensor.double() for tensor in state.values() if counts(tensor)]
    n = np.array([tensor.numel() for tensor in tensors], np.float64)
    power = np.array([float(tensor.square().mean()) for tensor in tensors])
    share = n / n.sum()
    out = []
    for snr in np.atleast_1d(np.asarray(snr_db, np.float64)):
        level = _water_level(share, power, 10 ** (-snr / 10) * float(share @ power))
        with np.errstate(divide="ignore"):
            out.append(float(share @ np.maximum(0.0, 0.5 * np.log2(power / level))))
    return np.array(out)


def _water_level(share: npt.NDArray[np.float64], power: npt.NDArray[np.float64], error: float) -> float:
    """θ at which Σ share·min(power, θ) is ``error``, by bisection: the sum rises with θ."""
    low, high = 0.0, float(power.max())
    for _ in range(200):
        middle = (low + high) / 2
        if float(share @ np.minimum(power, middle)) < error:
            low = middle
        else:
            high = middle
    return high

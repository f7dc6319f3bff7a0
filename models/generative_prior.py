"""Learns what codec generative knows of weights before it sees any of a tensor (docs/format.md, section 15.4).

The prior is the model's own state after the levels of many networks at many rates: probabilities of cells, and weights
that mix them. What a cell has not met stays open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from neuralcodec import _native
from neuralcodec.codecs.generative.coding import Matrix as Levels
from neuralcodec.codecs.generative.coding import Rates
from neuralcodec.codecs.huffman.tiles import MOST
from neuralcodec.codecs.trellis.codec import Trellis
from neuralcodec.dtypes import BY_NAME
from neuralcodec.models.corpus import Matrix
from neuralcodec.tensor import Tensor, TensorSpec

F32 = BY_NAME["f32"]


@dataclass(frozen=True)
class Training:
    """How a prior is learned.

    Attributes:
        steps: distances between levels over the deviation of a network's weights, each of which every network is
            quantized with; from 45 dB to levels that are nearly all 0.
        most: weights of a tensor that are learned from, a run of rows from its middle.
        states: of the trellis.
        mix: as in :class:`Rates`; slower than in use, as there is more to learn from.
        seed: of the order of tensors.
    """

    steps: tuple[float, ...] = (0.02, 0.05, 0.12, 0.3, 0.7, 1.2)
    most: int = MOST
    states: tuple[int, ...] = (1, 8)
    mix: int = 3
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Trained:
    """A prior, and what learning it came to.

    Attributes:
        prior: as section 15.4 has it.
        weights: how many were learned from, each at several rates.
        bits: a weight, over all tensors and rates, while it learned.
    """

    prior: bytes
    weights: int
    bits: float


def train(matrices: Iterable[Matrix], how: Training, progress: Callable[[float], None] = lambda _: None) -> Trained:
    """Learns a prior from weight matrices.

    Args:
        matrices: of the corpus; the same ones, in any order, give the same prior.
        how: rates and order.
        progress: told the share that is done.

    Raises:
        ValueError: no matrices.
    """
    found = sorted(matrices, key=lambda each: (each.network, each.tensor))
    if not found:
        raise ValueError("matrices: at least one expected")
    deviations = _deviations(found)
    tasks = [(each, step, states) for each in found for step in how.steps for states in how.states]
    order = np.random.default_rng(how.seed).permutation(len(tasks))
    trainer, weights, size = _native.GenerativeTrainer(), 0, 0
    for done, place in enumerate(order):
        matrix, relative, states = tasks[place]
        # One quantizer has its levels twice as far apart as the two of a trellis.
        step = relative * deviations[matrix.network] * (2 if states == 1 else 1)
        for levels in quantized(matrix, step, states, how.most):
            size += trainer.add(
                levels.levels, levels.tile, levels.states_log2, levels.kernel, Rates(how.mix).byte, levels.start
            )
            weights += levels.levels.size
        progress((done + 1) / len(order))
    return Trained(trainer.prior(), weights, 8 * size / max(weights, 1))


def quantized(matrix: Matrix, step: float, states: int, most: int) -> Iterator[Levels]:
    """Levels of a matrix, or of some of its rows, as the codec would have them; nothing where all are 0."""
    rows, cols = matrix.weights.shape
    kept = min(rows, max(most // cols, 1))
    some = matrix.weights[(rows - kept) // 2 : (rows + kept) // 2, : min(cols, most)]
    weights = np.ascontiguousarray(some)
    spec = TensorSpec(matrix.tensor, F32, (weights.shape[0], weights.shape[1]))
    found = Trellis(states=states, step=step, finer=False, shaping=False, room=None, tile=MOST).quantize(
        Tensor(spec, weights.reshape(-1).view(np.uint8))
    )
    if found.model is not None:
        states_log2 = states.bit_length() - 1
        yield Levels(found.levels, found.tile, states_log2, 1 if found.columns else matrix.kernel)


def _deviations(matrices: Iterable[Matrix]) -> dict[str, float]:
    """Root mean square of each network's weights."""
    sums: dict[str, tuple[float, int]] = {}
    for each in matrices:
        energy, count = sums.get(each.network, (0.0, 0))
        sums[each.network] = (
            energy + float(np.square(each.weights, dtype=np.float64).sum()),
            count + each.weights.size,
        )
    return {name: math.sqrt(energy / count) for name, (energy, count) in sums.items()}

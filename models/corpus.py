"""Weights to train learned codecs on: matrices out of files of networks, with what is known of each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open

from neuralcodec.errors import SourceError
from neuralcodec.source import open_source
from neuralcodec.source import with_importance as weighted
from neuralcodec.tensor import MIN_WEIGHTS
from neuralcodec.weights import counted

Kind = Literal["linear", "conv", "pointwise", "depthwise", "recurrent", "embedding"]

TEST_NETWORKS = (
    "resnet-fashion",
    "mobilenet-fashion",
    "g2p-en",
    "lenet300",
    "lenet5",
    "minilm",
    "mlperf-dscnn",
    "mlperf-resnet8",
    "rapidocr",
    "silero-vad",
    "crepe-tiny",
    "crepe-full",
)
"""Networks of the benchmark: shipped weights are never trained on them, nor on others with the same weights."""


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """A weight tensor as a matrix (docs/format.md, section 4).

    Attributes:
        network: the network's name.
        tensor: the tensor's name.
        kind: what layer it belongs to, as far as shape and name tell.
        weights: float32, finite, shape [rows, columns].
        kernel: columns of one input channel: the product of the dimensions after the second; 1 for a linear layer.
        shape: of the tensor.
        importance: what the squared error of each weight counts, 1 on average, shape of the weights; None where all
            count the same.
    """

    network: str
    tensor: str
    kind: Kind
    weights: npt.NDArray[np.float32]
    kernel: int
    shape: tuple[int, ...]
    importance: npt.NDArray[np.float32] | None = None


def matrices(files: Iterable[Path]) -> Iterator[Matrix]:
    """All weight matrices of networks in safetensors files, in order of files and names.

    A network has the name of its file; of files of one name in several folders each is a network of its own, whose
    name is its path. Tensors that are no floats, or too small for a codec, or not finite, are left out, and so are
    files that bear the name of a test network.

    Raises:
        SourceError: a file cannot be read.
    """
    paths = sorted(files)
    often = Counter(path.stem for path in paths)
    for path in paths:
        if is_left_out(path):
            continue
        network = path.stem if often[path.stem] == 1 else str(path)
        try:
            with safe_open(path, framework="pt") as file:
                for name in sorted(file.keys()):
                    tensor = file.get_tensor(name)
                    if tensor.is_floating_point() and tensor.dim() >= 2 and tensor.numel() >= MIN_WEIGHTS:
                        found = matrix_of(network, name, tensor)
                        if np.isfinite(found.weights).all() and found.weights.any():
                            yield found
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error}") from error
        except Exception as error:  # safetensors has one error for all that can be wrong with a file
            if type(error).__name__ != "SafetensorError":
                raise
            raise SourceError(f"{path} is not a safetensors file: {error}") from error


def is_left_out(path: Path) -> bool:
    """Whether a file bears the name of a test network."""
    return path.stem in TEST_NETWORKS


def matrix_of(network: str, name: str, tensor: torch.Tensor) -> Matrix:
    """A tensor of at least two dimensions as a matrix."""
    shape = tuple(tensor.shape)
    weights: npt.NDArray[np.float32] = tensor.to(torch.float32).reshape(shape[0], -1).contiguous().numpy()
    return Matrix(network, name, kind_of(name, shape), weights, math.prod(shape[2:]), shape)


def with_importance(found: Iterable[Matrix], importance: Mapping[str, Mapping[str, object]]) -> Iterator[Matrix]:
    """Matrices with importance for some of them.

    Args:
        found: the matrices.
        importance: by network and tensor, as :func:`neuralcodec.encode` takes it.

    Raises:
        SourceError: an importance does not fit its tensor, or (at the end) there is no such matrix.
    """
    left = {(network, name) for network, of in importance.items() for name in of}
    for matrix in found:
        of = importance.get(matrix.network, {})
        if matrix.tensor not in of:
            yield matrix
            continue
        left.discard((matrix.network, matrix.tensor))
        weights = torch.from_numpy(matrix.weights).reshape(matrix.shape)
        source = weighted(open_source({matrix.tensor: weights}), {matrix.tensor: of[matrix.tensor]})
        yield replace(matrix, importance=counted(source.read(matrix.tensor)))
    if left:
        network, name = min(left)
        raise SourceError(f"importance is given for what is no weight matrix of network {network}", tensor=name)


def kind_of(name: str, shape: tuple[int, ...]) -> Kind:
    """What layer a tensor belongs to, as far as its shape and its name tell."""
    lower = name.lower()
    if len(shape) > 2:
        if shape[1] == 1 and shape[0] > 1 and math.prod(shape[2:]) > 1:
            return "depthwise"
        return "pointwise" if math.prod(shape[2:]) == 1 else "conv"
    if any(word in lower for word in ("lstm", "gru", "rnn", "w_ih", "w_hh", "weight_ih", "weight_hh")):
        return "recurrent"
    if any(word in lower for word in ("embed", "wte", "wpe", "_emb")):
        return "embedding"
    return "linear"

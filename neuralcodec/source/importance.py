"""Importance: how much the squared error of each weight counts, given beside a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from neuralcodec.errors import SourceError
from neuralcodec.source.base import Source
from neuralcodec.tensor import Tensor


def with_importance(source: Source, importance: Mapping[str, object]) -> Source:
    """The source with importance for some of its tensors.

    Args:
        source: the model.
        importance: by name, torch tensors or numpy arrays of numbers that are not negative; of the tensor's shape or of
            one that broadcasts to it, such as ``[columns]`` of a matrix.

    Raises:
        SourceError: there is no such tensor, two names of a tied one have unlike importances, or (when it is read) its
            importance has another shape, or is negative, NaN or infinite.
    """
    for name in importance:
        if name not in source.specs and name not in source.ties:
            raise SourceError("importance is given for a tensor that the model does not have", tensor=name)
    by_first: dict[str, object] = {}
    for name, value in importance.items():
        first = source.ties.get(name, name)
        if first in by_first and not _same(by_first[first], value):
            said = "it has several names, and importances of two that differ: give one, such as their sum"
            raise SourceError(said, tensor=name)
        by_first[first] = value

    def read(name: str) -> Tensor:
        tensor = source.read(name)
        if name not in by_first:
            return tensor
        return replace(tensor, importance=_matrix(tensor, by_first[name]))

    return replace(source, read=read)


def _same(a: object, b: object) -> bool:
    try:
        return a is b or torch.equal(torch.as_tensor(a, device="cpu"), torch.as_tensor(b, device="cpu"))
    except (TypeError, ValueError, RuntimeError):
        return False


def _matrix(tensor: Tensor, value: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    spec = tensor.spec
    try:
        given = torch.as_tensor(value, device="cpu").detach().to(torch.float32)
        whole = given.broadcast_to(spec.shape).reshape(spec.rows, spec.cols)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SourceError(
            f"importance does not broadcast to shape {list(spec.shape)}: {error}", tensor=spec.name
        ) from None
    array = np.ascontiguousarray(whole.numpy())
    if not np.isfinite(array).all() or (array < 0).any():
        raise SourceError("importance must be finite and not negative", tensor=spec.name)
    if array.size and not array.any():
        raise SourceError("importance is 0 for every weight", tensor=spec.name)
    return array

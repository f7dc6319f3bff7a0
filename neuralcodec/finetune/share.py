"""Weights that share a few values, and the training of those values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from neuralcodec.codecs.kmeans import cluster
from neuralcodec.errors import FinetuneError
from neuralcodec.finetune.prune import weight_names


@dataclass(frozen=True, eq=False)
class Codebook:
    """The weights of a tensor as indices into a few values.

    Attributes:
        centroids: float32, shape [k].
        indices: int64, of the shape of the tensor.
        zero: index of the centroid that stays exactly 0; None for none.
    """

    centroids: torch.Tensor
    indices: torch.Tensor
    zero: int | None

    def expand(self) -> torch.Tensor:
        """The weights, float32, of the shape of the tensor."""
        return self.centroids[self.indices]


def share(
    model: nn.Module, clusters: int | Mapping[str, int], *, zero: bool = True, entropy: float = 0.0
) -> dict[str, Codebook]:
    """Replaces weights by the nearest of a few values, found by optimal k-means.

    Args:
        model: changed in place.
        clusters: 2 to 256 values a tensor, zero included, for all with two or more dimensions; or by name.
        zero: one of the values is 0, so that pruned weights stay pruned.
        entropy: rate enters the choice, as the option of this name of the kmeans codec has it: λ = ``entropy`` times
            the variance of the tensor. For indices that will be entropy-coded.

    Returns:
        The codebooks, by name.

    Raises:
        ValueError: ``entropy`` is negative.
        FinetuneError: the model has no such tensor; weights that are NaN or infinite, or no real floats; a count out of
            range.
    """
    if not entropy >= 0:
        raise ValueError(f"entropy: 0 or more expected, not {entropy!r}")
    counts = clusters if isinstance(clusters, Mapping) else dict.fromkeys(weight_names(model), clusters)
    parameters = dict(model.named_parameters())
    books = {}
    for name, count in counts.items():
        if name not in parameters:
            raise FinetuneError("the model has no parameter of this name to share weights in", tensor=name)
        if not 2 <= count <= 256:
            raise FinetuneError(f"2 to 256 clusters expected, not {count!r}", tensor=name)
        books[name] = _book(name, parameters[name].detach(), count, zero, entropy)
    write(model, books)
    return books


def _book(name: str, weights: torch.Tensor, clusters: int, zero: bool, entropy: float) -> Codebook:
    if not weights.numel():
        raise FinetuneError("an empty tensor has no weights to share", tensor=name)
    if not weights.is_floating_point():
        raise FinetuneError(f"only real floats can share values, not {weights.dtype}", tensor=name)
    values = weights.float().cpu().numpy()
    if not np.isfinite(values).all():
        raise FinetuneError("weights that are NaN or infinite, in float32, cannot be shared", tensor=name)
    penalties = None
    if entropy > 0 and values.var() > 0:
        lagrangian = entropy * float(values.var(dtype="float64"))
        constrained = cluster.entropy_constrained(values, clusters, lagrangian, zero=zero)
        centroids, penalties = constrained.centroids, lagrangian * constrained.bits
    else:
        centroids = cluster.optimal(values, clusters, zero=zero).centroids
    indices = cluster.assign(values, centroids, penalties)
    if zero:
        indices = cluster.zeros_kept(values.reshape(-1), indices, centroids)
    at = [i for i, value in enumerate(centroids) if value == 0]
    return Codebook(
        torch.from_numpy(centroids).float().to(weights.device),
        torch.from_numpy(indices).long().view(weights.shape).to(weights.device),
        at[0] if zero and at else None,
    )


@torch.no_grad()
def write(model: nn.Module, books: Mapping[str, Codebook]) -> None:
    """Sets the weights of a model to those of codebooks."""
    parameters = dict(model.named_parameters())
    for name, book in books.items():
        parameters[name].copy_(book.expand())


def centroid_gradient(book: Codebook, gradient: torch.Tensor) -> torch.Tensor:
    """Gradient of the centroids: for each the sum over the weights that share it (Han et al. 2016, section 3.3).

    Args:
        book: k centroids.
        gradient: of the weights, of their shape.

    Returns:
        Float32, shape [k]; 0 for the pinned centroid.
    """
    flat = gradient.flatten().double()
    sums = torch.bincount(book.indices.flatten(), weights=flat, minlength=len(book.centroids)).float()
    if book.zero is not None:
        sums[book.zero] = 0
    return sums


def reassigned(book: Codebook, weights: torch.Tensor) -> Codebook:
    """The same centroids, with each weight at the nearest; those at the pinned zero stay there.

    Args:
        book: k centroids.
        weights: of the shape of the tensor.
    """
    # Training may have moved centroids past each other, and k is small: no order is relied upon.
    ascending, order = book.centroids.sort()
    middles = (ascending[1:] + ascending[:-1]) / 2
    indices = order[torch.bucketize(weights.contiguous(), middles)]
    if book.zero is not None:
        indices = torch.where(book.indices == book.zero, book.zero, indices)
    return replace(book, indices=indices)


def overrides(books: Mapping[str, Codebook]) -> dict[str, dict[str, object]]:
    """What ``neuralcodec.encode(model, "kmeans", overrides=...)`` needs to keep each weight at its centroid."""
    return {
        name: {"clusters": max(2, len(book.centroids)), "zero": book.zero is not None} for name, book in books.items()
    }


class Sharing:
    """A constraint that moves centroids, not weights. Parameters without a codebook are trained as ever.

    With ``refresh`` each weight also keeps a value of its own, which the optimizer moves by the gradient of its
    centroid's weight, and after so many steps it goes to the centroid that is then nearest. Weights at the pinned zero
    stay there.

    Args:
        model: the model.
        books: its codebooks, by name.
        refresh: steps from one assignment to the next; None to keep the first one, as Han et al. do.

    Raises:
        FinetuneError: a codebook that is none of the model's, or has another shape.
    """

    def __init__(self, model: nn.Module, books: Mapping[str, Codebook], refresh: int | None = None) -> None:
        if refresh is not None and refresh < 1:
            raise ValueError(f"refresh: 1 or more steps expected, or None, not {refresh!r}")
        parameters = dict(model.named_parameters())
        for name, book in books.items():
            if name not in parameters or parameters[name].shape != book.indices.shape:
                shape = tuple(book.indices.shape)
                raise FinetuneError(f"the model has no parameter of this name and shape {shape}", tensor=name)
        self._books = dict(books)
        self._centroids = {name: book.centroids.clone().requires_grad_() for name, book in books.items()}
        self._refresh = refresh
        self._own = {name: book.expand().requires_grad_() for name, book in books.items()} if refresh else {}

    @property
    def label(self) -> str:
        """What it does."""
        anew = f", assigned anew every {self._refresh} steps" if self._refresh else ""
        return f"tuning shared weights{anew}"

    @property
    def books(self) -> dict[str, Codebook]:
        """The codebooks as they are now."""
        return {name: replace(book, centroids=self._centroids[name].detach()) for name, book in self._books.items()}

    def variables(self, model: nn.Module) -> list[torch.Tensor]:
        """Centroids, values of weights' own, and parameters that have neither."""
        write(model, self.books)
        free = [p for name, p in model.named_parameters() if p.requires_grad and name not in self._books]
        return [*self._centroids.values(), *self._own.values(), *free]

    def before(self, model: nn.Module, step: int) -> None:
        """Assigns weights anew, where it is time."""
        if not self._refresh or not step or step % self._refresh:
            return
        for name, own in self._own.items():
            self._books[name] = reassigned(self.books[name], own.detach())
        write(model, self.books)

    def gradients(self, model: nn.Module) -> None:
        """Sums gradients by centroid."""
        parameters = dict(model.named_parameters())
        for name, book in self._books.items():
            gradient = parameters[name].grad
            self._centroids[name].grad = None if gradient is None else centroid_gradient(book, gradient)
            if name in self._own:
                self._own[name].grad = None if gradient is None else gradient.to(self._own[name].dtype)
            parameters[name].grad = None

    def after(self, model: nn.Module) -> None:
        """Writes the centroids to the weights."""
        write(model, self.books)

    def state(self) -> dict[str, Any]:
        """Centroids, indices, and values of weights' own."""
        return {
            "centroids": {name: centroids.detach() for name, centroids in self._centroids.items()},
            "indices": {name: book.indices for name, book in self._books.items()},
            "own": {name: own.detach() for name, own in self._own.items()},
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Takes back :meth:`state`."""
        for name, book in self._books.items():
            self._books[name] = replace(book, indices=state["indices"][name])
            with torch.no_grad():
                self._centroids[name].copy_(state["centroids"][name])
        with torch.no_grad():
            for name, own in self._own.items():
                own.copy_(state["own"][name])

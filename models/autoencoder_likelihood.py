"""Likelihoods that the prior of codec autoencoder is trained with, on compressai's entropy models.

Training only: encoders and decoders do not import this. compressai is in the extra ``neuralcodec[learned]``.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch

from neuralcodec.errors import TrainingError

_kept: list[Any] = []
"""Libraries of operators live as long as what holds them."""


def entropy_models() -> Any:  # noqa: ANN401  # it has no types
    """The module compressai.entropy_models.

    Raises:
        TrainingError: compressai is not installed, or cannot be imported.
    """
    _declare_operators()
    try:
        return importlib.import_module("compressai.entropy_models")
    except ImportError as error:
        raise TrainingError(
            f'training needs compressai ({error}): pip install "neuralcodec[learned]"; '
            "encoding and decoding do without it"
        ) from error


def laplacian_conditional() -> torch.nn.Module:
    """Compressai's GaussianConditional with a Laplacian in the Gaussian's place: weights have its tails.

    Called with residuals, spreads and ``training=False``-like rounding left to the caller: use ``likelihood``.
    """
    base: Any = entropy_models().GaussianConditional

    class LaplacianConditional(base):  # type: ignore[misc]
        """P(residual) for a Laplacian of a standard deviation, integrated over the residual's cell."""

        def _standardized_cumulative(self, inputs: torch.Tensor) -> torch.Tensor:
            tail = 0.5 * torch.exp(-(2**0.5) * inputs.abs())
            return torch.where(inputs < 0, tail, 1 - tail)

    made: torch.nn.Module = LaplacianConditional(None, scale_bound=2.0**-6)
    return made


def bits_of(conditional: torch.nn.Module, residuals: torch.Tensor, spreads: torch.Tensor) -> torch.Tensor:
    """Bits of each residual, by compressai's likelihood at the given standard deviations."""
    likelihood: Any = conditional
    return -torch.log2(likelihood._likelihood(residuals, spreads).clamp_min(1e-9))


def _declare_operators() -> None:
    """Schemas of two operators of torchvision, which compressai imports and does not use.

    A torchvision that was built for another torch than the one that is there does not load its library, and its import
    then fails where it looks for these.
    """
    if _kept:
        return
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name, schema in (
        ("nms", "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
        ("qnms", "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
    ):
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    _kept.append(library)

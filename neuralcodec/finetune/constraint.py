"""What training must not undo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import nn


class Constraint(Protocol):
    """Holds some property of a model's weights at each step of :func:`~neuralcodec.finetune.train.train`."""

    @property
    def label(self) -> str:
        """A few words for progress; a checkpoint is resumed only where it is the same."""

    def variables(self, model: nn.Module) -> list[torch.Tensor]:
        """What the optimizer moves; called once, before the first step."""

    def before(self, model: nn.Module, step: int) -> None:
        """Called before the forward pass of each step, the first being 0."""

    def gradients(self, model: nn.Module) -> None:
        """Called when gradients are there, before the optimizer uses them."""

    def after(self, model: nn.Module) -> None:
        """Called when the optimizer has moved the variables."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, besides the model: tensors, numbers, strings, and mappings of them."""

    def resume(self, state: Mapping[str, Any]) -> None:
        """Takes back what :meth:`state` gave."""


class Free:
    """No constraint."""

    label = "training"

    def variables(self, model: nn.Module) -> list[torch.Tensor]:
        """All parameters that are trained."""
        return [parameter for parameter in model.parameters() if parameter.requires_grad]

    def before(self, model: nn.Module, step: int) -> None:
        """Nothing."""

    def gradients(self, model: nn.Module) -> None:
        """Nothing."""

    def after(self, model: nn.Module) -> None:
        """Nothing."""

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Nothing."""

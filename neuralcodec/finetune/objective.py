"""What training makes small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from neuralcodec.errors import FinetuneError
from neuralcodec.finetune.distill import Distillation, captured, feature_loss, logit_loss
from neuralcodec.finetune.sparsity import Sparsity

Loss = Callable[[Any, Any], torch.Tensor]
"""From a model's output and the batch to a tensor of no dimensions."""


def first(model: nn.Module, batch: Any) -> Any:  # noqa: ANN401 (a batch is what the loader gives)
    """The model's output for the first item of the batch, its inputs."""
    if isinstance(batch, Mapping):
        raise FinetuneError("a mapping has no first item: Objective(loss, forward=...) says what to run on a batch")
    if isinstance(batch, torch.Tensor):
        raise FinetuneError(
            "the first item of a tensor is one sample: Objective(loss, forward=...) says what to run on a batch"
        )
    return model(batch[0])


@dataclass(frozen=True)
class Objective:
    """A loss and its optional terms.

    Attributes:
        loss: of the model's output and the batch.
        forward: runs a model on a batch; default on the batch's first item. Distillation of logits needs an output
            that is a tensor of logits.
        distillation: from another model.
        sparsity: of the weights.
    """

    loss: Loss
    forward: Callable[[nn.Module, Any], Any] = first
    distillation: Distillation | None = None
    sparsity: Sparsity | None = None

    def terms(self, model: nn.Module, batch: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401
        """The terms by name, each with its factor; their sum is what training makes small.

        Raises:
            FinetuneError: a module or parameter that a term needs is not there.
        """
        taught = self.distillation
        with captured(model, {} if taught is None else taught.features) as features:
            output = self.forward(model, batch)
        terms = {"loss": self.loss(output, batch)}
        if taught is not None:
            terms["loss"] = taught.task * terms["loss"]
            terms |= self._taught(taught, batch, output, features)
        if self.sparsity is not None:
            terms["sparsity"] = self.sparsity.term(model)
        return terms

    def _taught(
        self,
        taught: Distillation,
        batch: Any,  # noqa: ANN401
        output: Any,  # noqa: ANN401
        features: dict[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        was = {name: module.training for name, module in taught.teacher.named_modules()}
        try:
            taught.teacher.eval()
            with torch.no_grad(), captured(taught.teacher, taught.features) as goals:
                goal = self.forward(taught.teacher, batch)
        finally:
            for name, module in taught.teacher.named_modules():
                module.training = was.get(name, was[""])
        terms = {}
        if taught.weight:
            if not isinstance(output, torch.Tensor):
                raise FinetuneError(f"logits to distil are no tensor, but {type(output).__name__}")
            terms["distillation"] = taught.weight * logit_loss(output, goal, taught.temperature)
        for name, factor in taught.features.items():
            if name not in features or name not in goals:
                raise FinetuneError(f"module {name!r} took no part in the forward pass")
            terms[f"features of {name}"] = factor * feature_loss(features[name], goals[name])
        return terms

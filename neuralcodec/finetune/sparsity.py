"""A loss term that draws weights to zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from neuralcodec.errors import FinetuneError
from neuralcodec.finetune.prune import weight_names


@dataclass(frozen=True)
class Sparsity:
    """The ratio of norms l1/l2 of each tensor, summed over tensors.

    It does not change when a tensor is scaled, so unlike l1 alone it does not shrink large weights to pay for small
    ones (Hoyer, JMLR 2004; Yang, Wen and Li, "DeepHoyer", ICLR 2020). It lies between 1, one weight that is not zero,
    and the square root of the number of weights.

    Attributes:
        weight: the term's factor in the loss.
        squared: (l1/l2)², which counts the weights that are not zero.
        names: the tensors; None for those with two or more dimensions.
    """

    weight: float
    squared: bool = False
    names: Sequence[str] | None = None

    def term(self, model: nn.Module) -> torch.Tensor:
        """The term, differentiable, of no dimensions.

        Raises:
            FinetuneError: the model lacks a parameter of ``names``, or there is none to make sparse.
        """
        parameters = dict(model.named_parameters())
        terms = []
        for name in weight_names(model) if self.names is None else self.names:
            if name not in parameters:
                raise FinetuneError("the model has no parameter of this name to make sparse", tensor=name)
            terms.append(hoyer(parameters[name], squared=self.squared))
        if not terms:
            raise FinetuneError("the model has no parameter to make sparse")
        return self.weight * torch.stack(terms).sum()


def hoyer(weights: torch.Tensor, *, squared: bool = False) -> torch.Tensor:
    """l1/l2 of a tensor, or its square; 0 for one of zeros only. Of types narrower than float32 in float32."""
    if torch.finfo(weights.dtype).bits < 32:
        weights = weights.float()  # sums of squares are beyond the range of float16
    square = weights.square().sum()
    # The root's slope is infinite at 0: a tensor of zeros has no direction to go.
    ratio = weights.abs().sum() / square.clamp_min(torch.finfo(weights.dtype).tiny).sqrt()
    return ratio.square() if squared else ratio

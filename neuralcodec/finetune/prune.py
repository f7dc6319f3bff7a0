"""Which weights go, and when."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from neuralcodec.errors import FinetuneError

Masks = dict[str, torch.Tensor]
"""By the weight's name: bool, of its shape, False where it is pruned."""

Scores = Mapping[str, torch.Tensor]
"""By the weight's name: how much it matters, of its shape."""


@dataclass(frozen=True)
class Pruning:
    """How weights are pruned while a model is trained.

    Attributes:
        sparsity: share of weights that are zero at the end, 0 to 1; or for each tensor by name.
        scope: with one number: "tensor" prunes each tensor to it; "global" prunes what matters least in all of them
            together, which for "taylor" is a fair comparison and for "magnitude" one of layers with unlike spreads.
        criterion: "magnitude" |w|, or "taylor" |w · ∂L/∂w|, the first-order change of the loss (Molchanov et al.,
            "Importance Estimation for Neural Network Pruning", CVPR 2019), as a running mean over steps.
        begin, end: pruning goes on from the first to the second of these shares of the steps, by the cubic schedule.
        every: steps from one pruning to the next.
        memory: of the running mean: the share of its value that a step keeps.
        names: with one number: the tensors to prune; None for those with two or more dimensions.
    """

    sparsity: float | Mapping[str, float]
    scope: Literal["tensor", "global"] = "tensor"
    criterion: Literal["magnitude", "taylor"] = "magnitude"
    begin: float = 0.0
    end: float = 0.8
    every: int = 50
    memory: float = 0.95
    names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        shares = self.sparsity.values() if isinstance(self.sparsity, Mapping) else [self.sparsity]
        for share in shares:
            _share("sparsity", share)
        _share("memory", self.memory)
        if not 0 <= self.begin <= self.end <= 1:
            raise ValueError(f"begin, end: 0 ≤ begin ≤ end ≤ 1 expected, not {self.begin!r}, {self.end!r}")
        if self.every < 1:
            raise ValueError(f"every: 1 or more steps expected, not {self.every!r}")
        if self.scope not in {"tensor", "global"}:
            raise ValueError(f'scope: "tensor" or "global" expected, not {self.scope!r}')
        if isinstance(self.sparsity, Mapping) and (self.names is not None or self.scope == "global"):
            raise ValueError("names, scope: with a sparsity for each tensor there is nothing left for them to say")
        if self.criterion not in {"magnitude", "taylor"}:
            raise ValueError(f'criterion: "magnitude" or "taylor" expected, not {self.criterion!r}')


def weight_names(model: nn.Module) -> list[str]:
    """Names of the parameters with two or more dimensions: weights, not biases or norms.

    Raises:
        FinetuneError: a parameter has no shape yet.
    """
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        if is_lazy(parameter):
            raise FinetuneError("the parameter has no shape yet: run the module once, so that it gets one", tensor=name)
    return [name for name, parameter in parameters.items() if parameter.ndim >= 2]


def cubic(step: float, begin: float, end: float, final: float, initial: float = 0.0) -> float:
    """Sparsity at a step: rises steeply at first, when there is much to spare, and gently towards the end.

    Zhu and Gupta, "To prune, or not to prune", 2017: final + (initial − final) · (1 − (step − begin)/(end − begin))³.
    """
    if step >= end:
        return final
    if step <= begin:
        return initial
    return final + (initial - final) * (1 - (step - begin) / (end - begin)) ** 3


def magnitude(weights: Scores) -> dict[str, torch.Tensor]:
    """Scores |w|."""
    return {name: weight.detach().abs() for name, weight in weights.items()}


def taylor(weights: Scores, gradients: Scores) -> dict[str, torch.Tensor]:
    """Scores |w · ∂L/∂w| (Molchanov et al. 2019)."""
    return {name: (weight.detach() * gradients[name]).abs() for name, weight in weights.items()}


def lowest(
    scores: Scores, sparsity: float | Mapping[str, float], scope: Literal["tensor", "global"] = "tensor"
) -> Masks:
    """Masks that prune the lowest scores; of equal ones those that come first.

    Args:
        scores: by name.
        sparsity: share to prune, rounded to a count of weights; or by name. Tensors it does not name are left whole.
        scope: whether one number holds for each tensor or for all together.

    Returns:
        A mask for each tensor.
    """
    if isinstance(sparsity, Mapping) or scope == "tensor":
        shares = sparsity if isinstance(sparsity, Mapping) else dict.fromkeys(scores, sparsity)
        return {name: _keep(score.flatten(), shares.get(name, 0.0)).view(score.shape) for name, score in scores.items()}
    kept = _keep(torch.cat([score.flatten() for score in scores.values()]), sparsity)
    parts = torch.split(kept, [score.numel() for score in scores.values()])
    return {name: part.view(score.shape) for (name, score), part in zip(scores.items(), parts, strict=True)}


class Pruner:
    """A constraint that prunes by a schedule, and holds what is pruned at zero.

    Weights that are zero at the start count as pruned.

    Args:
        model: the model.
        pruning: how; None to hold ``masks`` as they are.
        steps: of the training, which ``pruning`` divides.
        masks: held from the start.

    Raises:
        FinetuneError: ``pruning`` or ``masks`` name no parameter of the model, a mask has another shape, or the
            criterion takes gradients and there is no step after one that gives them, or a tensor that requires none.
    """

    def __init__(self, model: nn.Module, pruning: Pruning | None, steps: int, masks: Masks | None = None) -> None:
        if pruning is not None and pruning.criterion == "taylor" and steps == 1:
            raise FinetuneError('criterion "taylor" takes gradients of a step before: 2 steps at least')
        parameters = dict(model.named_parameters())
        named = pruning.names if pruning is not None and pruning.names is not None else weight_names(model)
        if pruning is not None and isinstance(pruning.sparsity, Mapping):
            named = list(pruning.sparsity)
        if masks is not None and pruning is None:
            named = list(masks)
        for name in [*named, *(masks or {})]:
            if name not in parameters:
                raise FinetuneError("the model has no parameter of this name to prune", tensor=name)
        if pruning is not None and pruning.criterion == "taylor":
            for name in named:
                if not parameters[name].requires_grad:
                    said = 'criterion "taylor" takes gradients, and this one requires none: name others to prune'
                    raise FinetuneError(said, tensor=name)
        for name, mask in (masks or {}).items():
            if mask.shape != parameters[name].shape:
                shape, wanted = tuple(mask.shape), tuple(parameters[name].shape)
                raise FinetuneError(f"a mask of shape {shape} for a weight of shape {wanted}", tensor=name)
        self._pruning = pruning
        self._steps = steps
        self._names = list(named)
        weights = {name: parameters[name].detach() for name in named}
        self.masks: Masks = {name: w.ne(0) for name, w in weights.items()}
        for name, mask in (masks or {}).items():
            self.masks[name] = mask.to(parameters[name].device, torch.bool).clone()
        self._initial = {name: 1 - float(self.masks[name].float().mean()) for name in named}
        pruned = sum(int((~self.masks[name]).sum()) for name in named)
        self._initial_global = pruned / max(1, sum(w.numel() for w in weights.values()))
        self._scores: dict[str, torch.Tensor] = {}
        self._seen = 0

    @property
    def label(self) -> str:
        """What it does."""
        return "retraining" if self._pruning is None else "pruning"

    def variables(self, model: nn.Module) -> list[torch.Tensor]:
        """All parameters that are trained."""
        self.after(model)
        return [parameter for parameter in model.parameters() if parameter.requires_grad]

    def before(self, model: nn.Module, step: int) -> None:
        """Prunes, where the schedule says so."""
        p = self._pruning
        if p is None:
            return
        # The last pruning falls on the step where the schedule ends: one after a gradient, if it takes gradients.
        last = min(max(int(p.end * self._steps), p.criterion == "taylor"), self._steps - 1)
        if step > last or (step % p.every and step != last) or step < min(int(p.begin * self._steps), last):
            return
        if p.criterion == "taylor" and not self._seen:
            return  # there is no gradient yet
        scores = magnitude(self._weights(model)) if p.criterion == "magnitude" else self._scores
        # What is pruned stays so. (What a weight was worth before fades only slowly from the running mean.)
        scores = {name: score.masked_fill(~self.masks[name], -1) for name, score in scores.items()}
        kept = lowest(scores, self._due(p, math.inf if step == last else step), p.scope)
        self.masks.update({name: mask & self.masks[name] for name, mask in kept.items()})
        self.after(model)

    def gradients(self, model: nn.Module) -> None:
        """Notes what weights matter, and takes the gradients of pruned ones away."""
        p = self._pruning
        gradients = {name: w.grad for name, w in model.named_parameters() if w.grad is not None}
        if p is not None and p.criterion == "taylor" and self._seen <= p.end * self._steps:
            weights = self._weights(model)
            zero = {name: torch.zeros_like(weight) for name, weight in weights.items() if name not in gradients}
            now = taylor(weights, {**gradients, **zero})
            keep = p.memory if self._seen else 0.0
            self._scores = {n: keep * self._scores[n] + (1 - keep) * s if keep else s for n, s in now.items()}
        self._seen += 1
        for name, mask in self.masks.items():
            if name in gradients:
                gradients[name].mul_(mask)

    @torch.no_grad()
    def after(self, model: nn.Module) -> None:
        """Sets pruned weights to zero: momentum and weight decay may have moved them."""
        parameters = dict(model.named_parameters())
        for name, mask in self.masks.items():
            parameters[name].masked_fill_(~mask, 0)

    def state(self) -> dict[str, Any]:
        """Masks, running means, and where the schedule began."""
        return {
            "masks": self.masks,
            "scores": self._scores,
            "seen": self._seen,
            "initial": self._initial,
            "initial_global": self._initial_global,
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Takes back :meth:`state`.

        Raises:
            ValueError: it is of other tensors, or of another criterion.
        """
        if state["masks"].keys() != self.masks.keys():
            raise ValueError(f"it holds masks of {', '.join(state['masks'])}")
        taylors = self._pruning is not None and self._pruning.criterion == "taylor"
        if state["seen"] and bool(state["scores"]) != taylors:
            raise ValueError("it has been pruned by another criterion")
        self.masks = dict(state["masks"])
        self._scores = dict(state["scores"])
        self._seen = state["seen"]
        self._initial = dict(state["initial"])
        self._initial_global = state["initial_global"]

    def _weights(self, model: nn.Module) -> dict[str, torch.Tensor]:
        parameters = dict(model.named_parameters())
        return {name: parameters[name].detach() for name in self._names}

    def _due(self, p: Pruning, step: float) -> float | dict[str, float]:
        begin, end = p.begin * self._steps, p.end * self._steps
        if not isinstance(p.sparsity, Mapping) and p.scope == "global":
            return cubic(step, begin, end, max(p.sparsity, self._initial_global), self._initial_global)
        goals = p.sparsity if isinstance(p.sparsity, Mapping) else dict.fromkeys(self._names, p.sparsity)
        was = self._initial
        return {name: cubic(step, begin, end, max(goals[name], was[name]), was[name]) for name in self._names}


def _keep(scores: torch.Tensor, sparsity: float) -> torch.Tensor:
    keep = torch.ones_like(scores, dtype=torch.bool)
    keep[torch.argsort(scores, stable=True)[: round(sparsity * len(scores))]] = False
    return keep


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: a number from 0 to 1 expected, not {value!r}")

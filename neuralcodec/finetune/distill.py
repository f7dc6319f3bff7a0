"""Learning from the original model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F

from neuralcodec.errors import FinetuneError


@dataclass(frozen=True)
class Distillation:
    """Terms that hold a model to what another one, usually the uncompressed original, makes of the same batch.

    Attributes:
        teacher: that model; run in eval mode and without gradients.
        weight: factor of the logits' term; their classes are in the last dimension.
        temperature: of that term; higher ones teach more of what is unlikely.
        features: factors of the intermediate terms, by the name of a module that both models have.
        task: factor of the ordinary loss beside them.
    """

    teacher: nn.Module
    weight: float = 1.0
    temperature: float = 4.0
    features: Mapping[str, float] = field(default_factory=dict)
    task: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature: more than 0 expected, not {self.temperature!r}")


def logit_loss(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T² · KL(softmax(teacher/T) ‖ softmax(student/T)), the mean over samples (Hinton, Vinyals and Dean 2015).

    Args:
        student: logits, shape [..., classes].
        teacher: logits of the same shape.
        temperature: T. The factor T² keeps the size of gradients about the same whatever T is.

    Raises:
        FinetuneError: the shapes differ.
    """
    if student.shape != teacher.shape:
        raise FinetuneError(f"logits of shape {list(student.shape)} cannot learn from {list(teacher.shape)}")
    wide = torch.promote_types(student.dtype, torch.float32)  # the terms nearly cancel
    goal = F.log_softmax(teacher.to(wide) / temperature, -1).flatten(0, -2)
    got = F.log_softmax(student.to(wide) / temperature, -1).flatten(0, -2)
    return temperature**2 * F.kl_div(got, goal, reduction="batchmean", log_target=True)


def feature_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared difference, as hints have it (Romero et al., "FitNets", ICLR 2015).

    Raises:
        FinetuneError: the shapes differ.
    """
    if student.shape != teacher.shape:
        raise FinetuneError(f"features of shape {list(student.shape)} cannot learn from {list(teacher.shape)}")
    return F.mse_loss(student, teacher)


@contextlib.contextmanager
def captured(model: nn.Module, names: Mapping[str, float]) -> Iterator[dict[str, torch.Tensor]]:
    """The outputs of modules, by name, of the forward passes within; the last pass counts.

    Raises:
        FinetuneError: the model has no module of a name.
    """
    modules = dict(model.named_modules())
    outputs: dict[str, torch.Tensor] = {}
    hooks = []
    try:
        for name in names:
            if name not in modules:
                raise FinetuneError(f"no module is named {name!r} whose features could be compared")

            def keep(_module: nn.Module, _inputs: object, output: object, name: str = name) -> None:
                if not isinstance(output, torch.Tensor):
                    raise FinetuneError(f"module {name!r} gives no tensor, but {type(output).__name__}")
                outputs[name] = output.clone()  # what follows may work in place

            hooks.append(modules[name].register_forward_hook(keep))
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()

"""Takes units without weights out of small feed-forward networks. What they compute does not change."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping

import torch
from torch import nn

Layer = nn.Linear | nn.Conv2d
PASSED = nn.ReLU | nn.MaxPool2d | nn.Flatten | nn.Dropout
"""What may lie between layers: a unit whose output is the same everywhere stays so."""


def without(model: nn.Module) -> nn.Sequential:
    """A copy without the outputs of layers that nothing goes into or that go nowhere.

    A unit without weights gives the same number whatever the input: the next layer's bias takes it over.

    Args:
        model: Linear and Conv2d layers with biases, one after the other, with ReLU, MaxPool2d, Flatten or Dropout
            between them.

    Raises:
        TypeError: it is anything else.
    """
    if not isinstance(model, nn.Sequential) or not all(isinstance(m, Layer | PASSED) for m in model):
        raise TypeError("a sequence of Linear, Conv2d, ReLU, MaxPool2d, Flatten and Dropout expected")
    small = copy.deepcopy(model)
    at = [i for i, module in enumerate(small) if isinstance(module, Layer)]
    while any(_narrow(small, i, j) for i, j in itertools.pairwise(at)):
        pass  # a unit that goes may leave another without weights
    return small


def shaped(model: nn.Module, state: Mapping[str, torch.Tensor]) -> nn.Module:
    """The model, changed in place, with parameters of the shapes of ``state``, to load it into."""
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.new_empty(state[name].shape)
    return model


@torch.no_grad()
def _narrow(model: nn.Sequential, i: int, j: int) -> bool:
    """Takes dead outputs of layer ``i`` away, and what layer ``j``, the next, makes of them; whether there were any."""
    layer, following = model[i], model[j]
    if not isinstance(layer, Layer) or not isinstance(following, Layer):
        raise TypeError("not a layer")
    if layer.bias is None or following.bias is None:
        raise TypeError("layers with biases expected")
    if isinstance(following, nn.Conv2d) and any(following.padding):
        raise TypeError("a padded convolution sees zeros at the border, not the unit's constant")
    units = layer.weight.shape[0]
    # [outputs, units, positions]: after Flatten a channel has a column for each of its pixels.
    weights = following.weight.reshape(following.weight.shape[0], units, -1)
    fed = layer.weight.flatten(1).ne(0).any(1)
    used = weights.ne(0).any(2).any(0)
    keep = fed & used
    if not keep.any():
        keep[0] = True  # a layer of no outputs is none
    if keep.all():
        return False
    rectified = any(isinstance(module, nn.ReLU) for module in list(model)[i + 1 : j])
    constant = layer.bias.relu() if rectified else layer.bias
    following.bias += weights.sum(2)[:, ~keep & ~fed] @ constant[~keep & ~fed]
    layer.weight = nn.Parameter(layer.weight[keep])
    layer.bias = nn.Parameter(layer.bias[keep])
    kept = weights[:, keep]
    following.weight = nn.Parameter(
        kept.flatten(1)
        if isinstance(following, nn.Linear)
        else kept.reshape(*kept.shape[:2], *following.weight.shape[2:])
    )
    return True

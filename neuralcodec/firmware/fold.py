"""Folds batch norm into the layer before it (Jacob et al. 2018, section 3.2): in a module, before it is encoded."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence

import torch

from neuralcodec.firmware.graph import Conv, Linear, Node, Norm
from neuralcodec.firmware.simplify import simplify
from neuralcodec.firmware.trace import check_module, trace

LAYERS = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Linear)
"""Modules that add their attribute ``bias``; a subclass may compute something else."""


def fold_batch_norm(model: torch.nn.Module, example_input: torch.Tensor | Sequence[torch.Tensor]) -> torch.nn.Module:
    """A copy of a module with its batch norms folded into the convolutions and linear layers before them.

    The layers get weights times gamma / sigma and a bias; the norms become ``torch.nn.Identity``. A norm stays where
    its layer's output is read elsewhere, too, where layer or norm is used more than once, and where one of them is not
    a module that is called (``torch.nn.functional.conv2d`` with a parameter), or has a class of its own.

    Args:
        model: the module, in any mode; the copy is in evaluation mode.
        example_input: what it takes, a batch of one.

    Raises:
        ExportError: the module cannot be traced, or has an operator that firmware cannot run.
    """
    check_module(model)
    folded = copy.deepcopy(model).eval()
    traced = trace(folded, example_input)
    norms = {node.operation.mean: node for node in traced.nodes if isinstance(node.operation, Norm)}
    graph = simplify(traced)
    state = dict(folded.state_dict(keep_vars=True))
    uses: Counter[str] = Counter()
    for node in graph.nodes:
        if isinstance(node.operation, (Conv, Linear)):
            uses[node.operation.weight] += 1
            uses.update([] if node.operation.norm is None else node.operation.norm.names())
        elif isinstance(node.operation, Norm):
            uses.update(node.operation.names())
    with torch.no_grad():
        for node in graph.nodes:
            operation = node.operation
            if not isinstance(operation, (Conv, Linear)) or operation.norm is None:
                continue
            if uses[operation.weight] > 1 or any(uses[name] > 1 for name in operation.norm.names()):
                continue
            layer_path, norm_path = (name.rpartition(".")[0] for name in (operation.weight, operation.norm.mean))
            layer, norm = folded.get_submodule(layer_path), folded.get_submodule(norm_path)
            if not isinstance(norm, torch.nn.modules.batchnorm._BatchNorm) or type(layer) not in LAYERS:
                continue
            if not _calls(node, layer_path) or not _calls(norms[operation.norm.mean], norm_path):
                continue
            factor, offset = norm_factors(operation.norm, state)
            weight = state[operation.weight]
            scaled = weight.double() * factor.reshape(-1, *[1] * (weight.dim() - 1))
            weight.copy_(scaled.to(weight.dtype))
            before = 0.0 if operation.bias is None else state[operation.bias].double()
            bias = (before * factor + offset).to(weight.dtype)
            layer.bias = torch.nn.Parameter(bias, requires_grad=weight.requires_grad)
            parent, _, name = norm_path.rpartition(".")
            setattr(folded.get_submodule(parent), name, torch.nn.Identity())
    return folded


def _calls(node: Node, path: str) -> bool:
    """Whether it is the module at a path itself that called an operator, not somebody with tensors of that module."""
    return node.place.module.rpartition(" (")[0] == path


def norm_factors(norm: Norm, parameters: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """What a norm multiplies each channel by, and what it adds then; float64, shape [channels]."""
    mean, var = parameters[norm.mean].detach().double(), parameters[norm.var].detach().double()
    factor = 1.0 / torch.sqrt(var + norm.eps)
    if norm.weight is not None:
        factor = factor * parameters[norm.weight].detach().double()
    offset = -mean * factor
    if norm.bias is not None:
        offset = offset + parameters[norm.bias].detach().double()
    return factor, offset

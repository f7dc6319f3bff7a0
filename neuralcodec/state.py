"""What state dicts of modules hold besides parameters and buffers, and where their tensors lie."""

from __future__ import annotations

import torch


def is_extra_state(name: str) -> bool:
    """Whether an entry of a state dict is what ``get_extra_state`` of a module gave, and no parameter or buffer."""
    return name.rpartition(".")[2] == "_extra_state"


def set_extra_state(model: torch.nn.Module, name: str, value: torch.Tensor) -> None:
    """Gives extra state back to the module that it belongs to."""
    model.get_submodule(name.rpartition(".")[0]).set_extra_state(value)


def storage_address(tensor: torch.Tensor) -> int | None:
    """Where a tensor's storage lies; None for subclasses that have none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return None

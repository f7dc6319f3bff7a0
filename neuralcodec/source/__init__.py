"""Where weights come from: a module, a mapping of names to tensors, or safetensors files.

A source lists what there is without reading it, and reads one tensor at a time, so that encoding a checkpoint needs
memory for its largest tensor only.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch

from neuralcodec.errors import SourceError
from neuralcodec.source.base import Source
from neuralcodec.source.file import open_file
from neuralcodec.source.importance import with_importance
from neuralcodec.source.mapping import open_mapping
from neuralcodec.source.sharded import INDEX, is_index, open_index, shard_paths
from neuralcodec.state import is_extra_state
from neuralcodec.tiled import is_tiled

__all__ = ["INDEX", "Source", "files_of", "open_source", "with_importance"]


def open_source(model: torch.nn.Module | Mapping[str, object] | str | os.PathLike[str]) -> Source:
    """Looks at a model without reading its weights.

    Args:
        model: a module (its ``state_dict()`` is what counts, without extra state that is no tensor), a mapping of names
            to torch tensors or numpy arrays, or the path of a ``.safetensors`` file, or of the ``.index.json`` of a
            model in several of them.

    Raises:
        SourceError: it is none of these, or holds something that is not a dense tensor of a known dtype.
    """
    if isinstance(model, torch.nn.Module):
        return open_mapping(_tensors_of(model))
    if isinstance(model, Mapping):
        return open_mapping(model)
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        return open_index(path) if is_index(path) else open_file(path)
    raise SourceError(
        f"cannot encode a {type(model).__name__}: give a torch.nn.Module, a mapping of names to tensors, "
        "or the path of a .safetensors file"
    )


def files_of(path: Path) -> list[Path]:
    """The files that :func:`open_source` reads for a path.

    Raises:
        SourceError: it is an index of files by its name, and not by what it holds.
    """
    return [path, *shard_paths(path)] if is_index(path) else [path]


def _tensors_of(module: torch.nn.Module) -> dict[str, object]:
    """The state dict without what ``get_extra_state`` of modules gives, where that is no tensor."""
    if is_tiled(module):
        raise SourceError("the module's weights are compressed already, and not in its state_dict(): see tiled()")
    state: dict[str, object] = module.state_dict()
    extra = [name for name, value in state.items() if is_extra_state(name) and not isinstance(value, torch.Tensor)]
    if extra:
        warnings.warn(f"extra state of modules is not encoded: {', '.join(extra)}", stacklevel=4)
    return {name: value for name, value in state.items() if name not in extra}

"""The module and the inputs that a command needs, from what the command line says."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import torch
import typer

from neuralcodec.cli.options import read_tensors
from neuralcodec.cli.paths import check_input
from neuralcodec.errors import ExportError


def make_module(text: str) -> torch.nn.Module:
    """The torch module of ``package.module:name``: what ``name`` is, or what it gives when it is called.

    Raises:
        ExportError: it cannot be imported or called, or gives something else.
    """
    path, colon, name = text.partition(":")
    if not colon or not path or not name:
        raise typer.BadParameter(f"expected MODULE:NAME, got {text!r}", param_hint="--model")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as python -m has it
    try:
        found: object = importlib.import_module(path)
        for part in name.split("."):
            found = getattr(found, part)
        if not isinstance(found, torch.nn.Module):
            if not callable(found):
                raise ExportError(f"{text} is neither a torch module nor a function that makes one")
            found = found()
    except ExportError:
        raise
    except (Exception, SystemExit) as error:  # the user's own code may fail in any way, or end the program
        raise ExportError(f"{text} cannot be made: {type(error).__name__}: {error}") from error
    if not isinstance(found, torch.nn.Module):
        raise ExportError(f"{text} gives a {type(found).__name__}, not a torch module")
    return found


def parse_shape(text: str) -> tuple[int, ...]:
    """A shape from numbers between commas."""
    try:
        shape = tuple(int(side) for side in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise typer.BadParameter(
            f"expected numbers from 1 on between commas, got {text!r}", param_hint="--example-shape"
        )
    return shape


def read_inputs(path: Path) -> torch.Tensor:
    """Inputs of a .npy file, or of a .safetensors file with one tensor.

    Raises:
        ExportError: the .npy file holds something else, the other one not one tensor.
        SourceError: it is not a safetensors file.
        OSError: it cannot be read.
    """
    check_input(path)
    if path.suffix != ".safetensors":
        try:
            return torch.from_numpy(np.ascontiguousarray(np.load(path, allow_pickle=False)))
        except (ValueError, TypeError, EOFError) as error:
            raise ExportError(f"{path} is not a .npy file of numbers: {error}") from error
    tensors = read_tensors(path)
    if len(tensors) != 1:
        raise ExportError(f"{path} holds {len(tensors)} tensors; one expected")
    return next(iter(tensors.values()))

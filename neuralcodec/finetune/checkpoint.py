"""A run's state on the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from neuralcodec.errors import FinetuneError

VERSION = 1


def write(path: Path, state: dict[str, Any], *, check: bool = False) -> None:
    """Writes a checkpoint, whole or not at all.

    Args:
        path: the file.
        state: what it holds.
        check: reads it again before it takes its name.

    Raises:
        OSError: it cannot be written; an older one is untouched.
        FinetuneError: it cannot be read again; an older one is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        torch.save({"version": VERSION, **state}, part)
        if check:
            _check_readable(part, path)
        part.replace(path)
    except RuntimeError as error:  # torch's for a disk that is full
        raise OSError(f"checkpoint {path} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def _check_readable(part: Path, path: Path) -> None:
    try:
        torch.load(part, weights_only=True)
    except Exception as error:  # torch names no common base
        raise FinetuneError(
            f"checkpoint {path} could not be read again: the state of the model or of the optimizer holds more than "
            f"tensors, numbers, strings, and lists and dicts of them"
        ) from error


def read(path: Path, run: str) -> dict[str, Any] | None:
    """The checkpoint, or None if there is none.

    Args:
        path: the file.
        run: describes the run; the checkpoint must be of the same.

    Raises:
        FinetuneError: it is damaged, or of another run.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:  # torch names no common base for what a damaged file raises
        raise FinetuneError(f"checkpoint {path} cannot be read: {error}") from error
    if not isinstance(state, dict) or state.get("version") != VERSION or "run" not in state:
        raise FinetuneError(f"{path} is no checkpoint of this version")
    if state["run"] != run:
        raise FinetuneError(f"checkpoint {path} is of another run: {state['run']}; this one: {run}")
    return state

"""A safetensors file, read tensor by tensor with the safetensors library."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from neuralcodec.container import METADATA_KEY
from neuralcodec.dtypes import BY_SAFETENSORS
from neuralcodec.errors import SourceError
from neuralcodec.source.base import Source, by_bytes, check_spec
from neuralcodec.source.mapping import element_bytes
from neuralcodec.tensor import Tensor, TensorSpec

# The library maps the file; what was read stays in our resident memory until the map is dropped.
MAPPED_BYTES = 64 << 20


def open_file(path: Path, mapped: int = MAPPED_BYTES) -> Source:
    """A source over the tensors of a safetensors file.

    Args:
        path: of the file.
        mapped: bytes of it that may stay in memory besides a tensor that is read.

    Raises:
        SourceError: there is no such file, it is not a safetensors file, it is damaged, it was encoded
            already, or a dtype has no place in the format.
    """
    reader = _Reader(path, mapped)
    metadata: dict[str, str] = dict(reader.handle.metadata() or {})
    if METADATA_KEY in metadata:
        raise SourceError(f"{path} was encoded by neuralcodec already; decode it first")
    specs: dict[str, TensorSpec] = {}
    for name in sorted(reader.handle.keys(), key=by_bytes):
        piece = reader.handle.get_slice(name)
        dtype = BY_SAFETENSORS.get(piece.get_dtype())
        if dtype is None:
            raise SourceError(
                f"dtype {piece.get_dtype()} has no place in the format; its bytes have one, as U8", tensor=name
            )
        spec = TensorSpec(name, dtype, tuple(piece.get_shape()))
        check_spec(spec)
        specs[name] = spec
    return Source(specs, {}, lambda name: reader.read(specs[name]), metadata)


class _Reader:
    def __init__(self, path: Path, budget: int) -> None:
        self.path = path
        self.was = _state(path)
        self.handle: Any = _open(path)
        self._check_same()
        self.budget = self.unread = budget
        self.lock = threading.Lock()

    def read(self, spec: TensorSpec) -> Tensor:
        with self.lock:
            if self.handle is None:
                self.handle = _open(self.path)
            # Before and after: tensors of another file, or none, may be where this one's were.
            self._check_same(spec.name)
            try:
                data = element_bytes(self.handle.get_tensor(spec.name))
            except (SafetensorError, OSError, RuntimeError) as error:
                self._check_same(spec.name)
                raise SourceError(f"{self.path}: cannot be read: {error}", tensor=spec.name) from error
            self._check_same(spec.name)
            self.unread -= spec.nbytes
            if self.unread <= 0:  # at once: of many files some may not be read from again for long
                self.handle, self.unread = None, self.budget
        return Tensor(spec, data)

    def _check_same(self, tensor: str | None = None) -> None:
        if _state(self.path) != self.was:
            raise SourceError(f"{self.path} was changed or replaced while it was read", tensor=tensor)


def _state(path: Path) -> tuple[int, ...] | None:
    """What tells a file from others, and from itself after a change; None if it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _looks_like(path: Path) -> str | None:
    """What a file is that is often taken for a safetensors file, and what to do with it."""
    if str(path).encode(errors="replace") != os.fsencode(path):
        return "the library safetensors opens no path that is not UTF-8: give it another name"
    with path.open("rb") as file:
        start = file.read(10)
    if start.startswith(b"PK\x03\x04") or start.startswith(b"\x80\x02"):
        return "it looks like what torch.save writes: torch.load it, and save its state dict with safetensors"
    if start.startswith(b"{"):
        return "it is text; the index of a model in several files has a name that ends with .index.json"
    return None


def _open(path: Path) -> Any:  # noqa: ANN401 (the library's handle has no public type)
    try:
        return safe_open(path, framework="pt", device="cpu")
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file") from None
    except SafetensorError as error:
        raise SourceError(f"{path} is not a safetensors file, or is damaged: {_looks_like(path) or error}") from error
    except OSError as error:
        cause = "it is a folder; give a file there, or the .index.json of several" if path.is_dir() else error
        raise SourceError(f"{path}: cannot be read: {cause}") from error

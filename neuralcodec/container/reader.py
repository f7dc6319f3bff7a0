"""Opens files and reads pieces of the stream in them."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import struct
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neuralcodec.container.writer import METADATA_KEY, TENSOR_NAME, metadata_mark, stream_entry
from neuralcodec.descriptor import read_at
from neuralcodec.errors import ChecksumError, CorruptError, TruncatedError, UnsupportedError

MOST_HEADER = 100_000_000
"""Bytes of a header: the limit that safetensors sets itself."""


@dataclass(frozen=True)
class FileBytes:
    """The stream inside an open file.

    Attributes:
        path: the file.
        metadata: the keys of ``__metadata__`` that came from the file that was encoded.
        start: offset of the stream in the file.
        size: bytes of the stream.
        descriptor: the open file; it stays the same file even if its name is given to another.
    """

    path: Path
    metadata: Mapping[str, str]
    start: int
    size: int
    descriptor: int

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the stream; thread-safe.

        Raises:
            TruncatedError: the file has become shorter since it was opened.
        """
        found = read_at(self.descriptor, self.start + offset, size)
        if len(found) < size:
            raise TruncatedError(f"{self.path} ends early", offset=self.start + offset + len(found))
        return found


def open_file(path: Path) -> FileBytes:
    """Opens a neuralcodec file; reads its safetensors header only.

    Raises:
        FileNotFoundError, OSError: it cannot be opened.
        TruncatedError: it is shorter than its header says.
        CorruptError: it is not a safetensors file, or not one of neuralcodec.
        UnsupportedError: its metadata name a newer version.
        ChecksumError: its metadata were damaged.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        held = _read_open_file(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    weakref.finalize(held, os.close, descriptor)
    return held


def _read_open_file(path: Path, descriptor: int) -> FileBytes:
    """What is in the file, checked in the order of docs/format.md, section 2."""
    opened = os.fstat(descriptor)
    check_regular(path, opened.st_mode)
    header, start = _read_header(path, descriptor, opened.st_size)
    metadata = _check_metadata(path, header.pop("__metadata__", None))
    size = _check_entry(path, header, opened.st_size - start, opened.st_size)
    return FileBytes(path, metadata, start, size, descriptor)


def check_regular(path: Path, mode: int) -> None:
    """Looks whether what is to be read is a file, by its mode.

    Raises:
        OSError: it is none; the error names it.
    """
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.ESPIPE, "not a regular file, and it has to be read from several places", str(path))


def _read_header(path: Path, descriptor: int, size: int) -> tuple[dict[str, object], int]:
    """The JSON object at the start of a safetensors file, and where the data after it begin.

    The safetensors library does not say which rule a file breaks, and takes keys that occur twice.
    """
    head = read_at(descriptor, 0, 9)
    if len(head) < 8:
        raise TruncatedError(f"{path} has {size} bytes: too short for a safetensors file", offset=0)
    (length,) = struct.unpack("<Q", head[:8])
    if length > MOST_HEADER or (len(head) > 8 and head[8:] != b"{"):
        raise CorruptError(f"{path} is not a safetensors file", offset=0)
    text = read_at(descriptor, 8, length)
    if len(text) < length:
        raise TruncatedError(f"{path} ends inside its safetensors header, or its length is damaged", offset=size)
    try:
        header: dict[str, object] = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
        # Python reads NaN, Infinity and halves of surrogate pairs, which are neither JSON nor text.
        json.dumps(header, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{path} is not a safetensors file: its header is not JSON ({error})", offset=8) from None
    return header, 8 + length


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object none of whose keys occurs twice."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _check_metadata(path: Path, metadata: object) -> dict[str, str]:
    """The foreign metadata, which the value of our key is right about."""
    if not isinstance(metadata, dict) or METADATA_KEY not in metadata:
        raise CorruptError(f"{path} is a safetensors file, but not one that neuralcodec wrote", offset=8)
    if not all(isinstance(value, str) for value in metadata.values()):
        raise CorruptError(f"{path}: metadata that are not text", offset=8)
    mark = metadata.pop(METADATA_KEY)
    match = re.match(r"[0-9]+(?= |\Z)", mark)
    if match is None:
        raise CorruptError(f"{path}: metadata key {METADATA_KEY!r} says {mark!r}, not a version", offset=8)
    version = match[0]
    if version != "1":
        wanted = f"{path} was written in version {version} of the format; this release reads version 1"
        raise UnsupportedError(wanted + (": upgrade neuralcodec" if version.lstrip("0") > "1" else ""), offset=8)
    if mark != metadata_mark(1, metadata):
        raise ChecksumError(f"{path}: the metadata were changed after they were written", offset=8)
    return metadata


def _check_entry(path: Path, header: dict[str, object], left: int, file_size: int) -> int:
    """The size of the stream, which is the one tensor and all that follows the header."""
    entry = header.get(TENSOR_NAME)
    if len(header) != 1 or not isinstance(entry, dict):
        raise CorruptError(f"{path}: expected the one tensor {TENSOR_NAME!r}, found {list(header)[:3]}", offset=8)
    shape = entry.get("shape")
    size = shape[0] if isinstance(shape, list) and len(shape) == 1 else None
    # Compared as text, since 0, 0.0 and false are equal to Python.
    said, expected = (json.dumps(e, sort_keys=True) for e in (entry, stream_entry(size)))
    if type(size) is not int or size < 0 or said != expected:
        raise CorruptError(f"{path}: the stream must be a U8 tensor of one dimension, not {said}", offset=8)
    if left < size:
        raise TruncatedError(f"{path} ends before the end of its tensors", offset=file_size)
    if left > size:
        raise CorruptError(f"{path}: {left - size} bytes follow the stream", offset=file_size - left + size)
    return size

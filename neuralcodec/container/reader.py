"""Opens files and reads pieces of the stream in them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import struct
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from neuralcodec.container.writer import METADATA_KEY, TENSOR_NAME, metadata_mark
from neuralcodec.descriptor import read_at
from neuralcodec.errors import BitstreamError, ChecksumError, CorruptError, TruncatedError, UnsupportedError

MOST_REPLACED = 100
"""Times that another file may take the name of one that is being opened."""


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
        FileNotFoundError, OSError: it cannot be opened, or has been replaced too often meanwhile.
        TruncatedError: it is shorter than its header says.
        CorruptError: it is not a safetensors file, or not one of neuralcodec.
        UnsupportedError: its metadata name a newer version.
        ChecksumError: its metadata were damaged.
    """
    for _ in range(MOST_REPLACED):
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            held = _read_open_file(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if held is not None:
            weakref.finalize(held, os.close, descriptor)
            return held
        os.close(descriptor)
    raise OSError(errno.EBUSY, "it is being replaced again and again", str(path))


def _read_open_file(path: Path, descriptor: int) -> FileBytes | None:
    """What is in the file; None if another one has taken its name, which the library opens once more."""
    opened = os.fstat(descriptor)
    check_regular(path, opened.st_mode)
    start = _header_size(path, descriptor)
    try:
        metadata, size = _read_header(path)
    except (BitstreamError, OSError):
        if _is_replaced(path, opened):
            return None
        raise
    if _is_replaced(path, opened):
        return None
    return FileBytes(path, _check_metadata(path, metadata), start, size, descriptor)


def _is_replaced(path: Path, opened: os.stat_result) -> bool:
    try:
        return not os.path.samestat(os.stat(path), opened)
    except FileNotFoundError:
        return True


def check_regular(path: Path, mode: int) -> None:
    """Looks whether what is to be read is a file, by its mode.

    Raises:
        OSError: it is none; the error names it.
    """
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.ESPIPE, "not a regular file, and it has to be read from several places", str(path))


def _header_size(path: Path, descriptor: int) -> int:
    size = os.fstat(descriptor).st_size
    head = os.pread(descriptor, 9, 0)
    if len(head) < 9:
        raise TruncatedError(f"{path} has {size} bytes: too short for a safetensors file", offset=0)
    (length,) = struct.unpack("<Q", head[:8])
    if head[8:9] != b"{":
        raise CorruptError(f"{path} is not a safetensors file", offset=8)
    if 8 + length > size:
        raise TruncatedError(f"{path} ends inside its safetensors header, or its length is damaged", offset=size)
    return int(8 + length)


def _read_header(path: Path) -> tuple[dict[str, str], int]:
    try:
        with safe_open(path, framework="np") as file:
            metadata = dict(file.metadata() or {})
            names = list(file.keys())
            if METADATA_KEY not in metadata:
                raise CorruptError(f"{path} is a safetensors file, but not one that neuralcodec wrote", offset=8)
            if names != [TENSOR_NAME]:
                raise CorruptError(f"{path}: expected the one tensor {TENSOR_NAME!r}, found {names[:3]}", offset=8)
            piece = file.get_slice(TENSOR_NAME)
            if piece.get_dtype() != "U8" or len(piece.get_shape()) != 1:
                raise CorruptError(f"{path}: the stream must be a U8 tensor of one dimension", offset=8)
            return metadata, int(piece.get_shape()[0])
    except SafetensorError as error:
        # The library has one message for a file that lost its end and for one that has too much.
        if _end_of_tensors(path) > path.stat().st_size:
            raise TruncatedError(f"{path} ends before the end of its tensors", offset=path.stat().st_size) from error
        raise CorruptError(f"{path} is not a valid safetensors file: {error}", offset=8) from error


def _end_of_tensors(path: Path) -> int:
    """Where the tensors of a safetensors file end according to its header; 0 if that cannot be read."""
    with path.open("rb") as file, contextlib.suppress(ValueError, TypeError, LookupError, AttributeError):
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        return int(8 + length + max(v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"))
    return 0


def _check_metadata(path: Path, metadata: dict[str, str]) -> dict[str, str]:
    mark = metadata.pop(METADATA_KEY)
    version = mark.split(" ")[0]
    if not version.isdecimal():
        raise CorruptError(f"{path}: metadata key {METADATA_KEY!r} says {mark!r}, not a version", offset=8)
    if int(version) != 1:
        wanted = f"{path} was written in version {version} of the format; this release reads version 1"
        raise UnsupportedError(wanted + (": upgrade neuralcodec" if int(version) > 1 else ""), offset=8)
    if mark != metadata_mark(int(version), metadata):
        raise ChecksumError(f"{path}: the metadata were changed after they were written", offset=8)
    return metadata

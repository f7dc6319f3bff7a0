"""Writes files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from neuralcodec.errors import SourceError
from neuralcodec.tensor import Tensor, TensorSpec

METADATA_KEY = "neuralcodec"
TENSOR_NAME = "neuralcodec"


def metadata_mark(version: int, metadata: Mapping[str, str]) -> str:
    """What the key ``neuralcodec`` of the metadata says: stream version and checksum of the other keys."""
    text = json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"))
    return f"{version} {zlib.crc32(text.encode('ascii')):08x}"


def safetensors_header(stream_size: int, version: int, metadata: Mapping[str, str]) -> bytes:
    """Length and JSON text at the start of the file, padded so that the stream starts at a multiple of 8.

    The safetensors library writes a file from tensors in memory; a stream of many gigabytes is never in memory whole,
    so these few bytes are written here.
    """
    head = {
        "__metadata__": {METADATA_KEY: metadata_mark(version, metadata), **dict(sorted(metadata.items()))},
        TENSOR_NAME: {"dtype": "U8", "shape": [stream_size], "data_offsets": [0, stream_size]},
    }
    return _with_length(head)


def file_size(stream_size: int, version: int, metadata: Mapping[str, str]) -> int:
    """Bytes of the file with a stream of ``stream_size`` bytes."""
    return len(safetensors_header(stream_size, version, metadata)) + stream_size


def save_stream(
    path: Path, pieces: Iterable[bytes], stream_size: int, version: int, metadata: Mapping[str, str]
) -> None:
    """Writes a stream as a safetensors file.

    Raises:
        OSError: the file cannot be written; a file of that name from before is then untouched.
    """
    with replace_file(path) as file:
        file.write(safetensors_header(stream_size, version, metadata))
        for piece in pieces:
            file.write(piece)


def save_tensors(
    path: Path, specs: Mapping[str, TensorSpec], read: Callable[[str], Tensor], metadata: Mapping[str, str]
) -> None:
    """Writes plain tensors as a safetensors file, one at a time.

    Args:
        path: the file.
        specs: the tensors by name.
        read: gives a tensor by name; called once for each.
        metadata: text for ``__metadata__``.

    Raises:
        OSError: the file cannot be written; a file of that name from before is then untouched.
        SourceError: a tensor has the one name that safetensors keeps for itself.
    """
    if "__metadata__" in specs:
        raise SourceError("safetensors files cannot hold a tensor of this name", tensor="__metadata__")
    # Wide elements first keeps every tensor aligned to its element, as the safetensors library does.
    order = sorted(specs, key=lambda name: (-specs[name].dtype.itemsize, name.encode()))
    head: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name in order:
        spec = specs[name]
        ends = [offset, offset + spec.nbytes]
        head[name] = {"dtype": spec.dtype.safetensors, "shape": list(spec.shape), "data_offsets": ends}
        offset += spec.nbytes
    with replace_file(path) as file:
        file.write(_with_length(head))
        for name in order:
            file.write(read(name).data.data)


def _with_length(head: Mapping[str, object]) -> bytes:
    text = json.dumps(head, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def check_writable(path: Path) -> None:
    """Looks whether a file can be written, before the work for it is done.

    Raises:
        OSError: it is a directory, or its folder is not there or must not be written to; the error names it.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a directory", str(path))
    if _is_special(path):
        return
    folder = Path(os.path.realpath(path)).parent
    if not folder.exists():
        raise FileNotFoundError(errno.ENOENT, "cannot be written: its folder does not exist", str(path))
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"cannot be written: {folder} is not a folder", str(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "cannot be written: no permission for its folder", str(path))


def replace_file(path: Path) -> contextlib.AbstractContextManager[IO[bytes]]:
    """A file to write that takes the place of ``path`` only when all of it is on the disk; as :func:`replace_files`."""
    return _first(replace_files([path]))


@contextlib.contextmanager
def replace_files(paths: Sequence[Path]) -> Iterator[list[IO[bytes]]]:
    """Files to write that take the places of ``paths`` only when all of all of them is on the disk.

    They are written beside their final places under temporary names, synced, then renamed. After an exception or a kill
    the old files are whole; temporary ones are removed if the process still can. Devices and pipes are written to.

    Raises:
        OSError: a file cannot be written; the error names it.
    """
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(_temporary(path)) for path in paths]
        yield [file for file, _ in waiting]
        for path, (file, temporary) in zip(paths, waiting, strict=True):
            with _named(path, temporary):
                file.flush()
                if temporary is not None:
                    os.fsync(file.fileno())
        for path, (_, temporary) in zip(paths, waiting, strict=True):
            if temporary is not None:
                with _named(path, temporary):
                    _put(temporary, Path(os.path.realpath(path)))


@contextlib.contextmanager
def _first(files: contextlib.AbstractContextManager[list[IO[bytes]]]) -> Iterator[IO[bytes]]:
    with files as (file,):
        yield file


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[tuple[IO[bytes], str | None]]:
    """A file that is written in place of another, and its name; of a device or pipe itself, without one."""
    check_writable(path)
    if _is_special(path):
        with _named(path, None), path.open("wb") as file:
            yield file, None
        return
    final = Path(os.path.realpath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=f".{final.name[:20]}.", suffix=".tmp", dir=final.parent)
    try:
        with _named(path, temporary), os.fdopen(descriptor, "wb") as file:
            yield file, temporary
    finally:
        with contextlib.suppress(OSError):  # it has been renamed if all went well
            os.unlink(temporary)


def _put(temporary: str, final: Path) -> None:
    # mkstemp makes private files; give it the mode that open() would have, or that the old file has.
    os.chmod(temporary, final.stat().st_mode & 0o777 if final.exists() else 0o666 & ~_umask())
    os.replace(temporary, final)
    with contextlib.suppress(OSError):  # some file systems cannot sync a directory
        directory = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _is_special(path: Path) -> bool:
    """Whether it is there and neither a file nor a directory: a device or pipe, which must not be replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextlib.contextmanager
def _named(path: Path, temporary: str | None) -> Iterator[None]:
    """Errors name the file that was asked for: those of writing name none, others the temporary one."""
    try:
        yield
    except OSError as error:
        if error.filename in {None, temporary} and error.errno is not None:
            error.filename = str(path)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Files that are written whole or not at all, and outputs that are no files."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

TEMPORARY = ".neuralcodec."
"""Start of the names of temporary files: the whole name of the output would make long ones too long."""


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of ``path`` only when all of it is on the disk.

    It is written beside its final place under a temporary name, synced, then renamed. After an exception or a kill the
    old file is whole; the temporary one is removed if the process still can. What exists and is neither file nor
    folder (a device, a pipe) is written to as it is.

    Raises:
        OSError: it cannot be written; the error names ``path``.
    """
    with replace_files(path) as (file,):
        yield file


@contextlib.contextmanager
def replace_files(*paths: Path) -> Iterator[tuple[IO[bytes], ...]]:
    """As :func:`replace_file`, for files that belong together: none is replaced before all are on the disk.

    Raises:
        OSError: one cannot be written; the error names it.
    """
    outputs: list[_Output] = []
    try:
        for path in paths:
            outputs.append(_open(path))
        yield tuple(output.file for output in outputs)
        for output in outputs:
            _finish(output)
        for output in outputs:
            if output.temporary is not None:
                with _naming(output.path):
                    os.replace(output.temporary, output.place)
    except BaseException:
        for output in outputs:
            _discard(output)
        raise
    for folder in {output.place.parent for output in outputs if output.temporary is not None}:
        _sync(folder)


def check_output(path: Path) -> None:
    """Looks whether a file can be written there, before the work whose result it is to hold.

    Raises:
        OSError: it cannot be; the error names ``path`` and the cause.
    """
    place = _place(path)
    if place is None:
        if not os.access(path, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return
    # Access rights alone do not tell: root has them on file systems that take no files.
    descriptor, temporary = _temporary(path, place)
    os.close(descriptor)
    with contextlib.suppress(OSError):
        os.unlink(temporary)


@dataclass(frozen=True, slots=True)
class _Output:
    """A file being written: what it is called, where that is with links followed, and its name until it is whole."""

    path: Path
    place: Path
    temporary: str | None
    file: IO[bytes]


class _Named(io.FileIO):
    """A file whose errors name the path it is written for."""

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(descriptor, "wb")
        self._path = path

    def write(self, data: object, /) -> int:
        with _naming(self._path):
            return super().write(data)  # type: ignore[arg-type]


def _open(path: Path) -> _Output:
    place = _place(path)
    if place is None:
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))
        return _Output(path, path, None, io.BufferedWriter(_Named(descriptor, path)))
    descriptor, temporary = _temporary(path, place)
    return _Output(path, place, temporary, io.BufferedWriter(_Named(descriptor, path)))


def _place(path: Path) -> Path | None:
    """Where the file will be, with links followed; None for what is to be written as it is.

    Raises:
        OSError: it is a folder, or lies in none.
    """
    try:
        mode: int | None = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    except NotADirectoryError:
        raise OSError(errno.ENOTDIR, "it would lie in what is not a folder", str(path)) from None
    if mode is not None and stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    place = Path(os.path.realpath(path))
    # Links such as /dev/stdout may lead to a file that has no name any more.
    if mode is not None and not (stat.S_ISREG(mode) and place.exists() and place.samefile(path)):
        return None
    if not place.parent.exists():
        raise OSError(errno.ENOENT, "the folder does not exist", str(path))
    return place


def _temporary(path: Path, place: Path) -> tuple[int, str]:
    with _naming(path):
        return tempfile.mkstemp(prefix=TEMPORARY, suffix=".tmp", dir=place.parent)


def _finish(output: _Output) -> None:
    with _naming(output.path):
        output.file.flush()
        try:
            os.fsync(output.file.fileno())
        except OSError as error:
            # Pipes and many devices have nothing to sync.
            if output.temporary is not None or error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EROFS}:
                raise
        output.file.close()
        if output.temporary is not None:
            # mkstemp makes private files; give it the mode that open() would have, or that the old file has.
            mode = output.place.stat().st_mode & 0o777 if output.place.exists() else 0o666 & ~_umask()
            os.chmod(output.temporary, mode)


def _discard(output: _Output) -> None:
    with contextlib.suppress(OSError):
        output.file.close()
    if output.temporary is not None:
        with contextlib.suppress(OSError):
            os.unlink(output.temporary)


def _sync(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot sync a directory
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Makes errors of the system name the output, not the temporary file nor nothing."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename == str(path):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Payloads wait here between encoding and saving."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import weakref
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from neuralcodec.descriptor import read_at

IN_MEMORY = 32 << 20
"""Beyond this many bytes the payloads go to an unnamed temporary file (in TMPDIR)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a payload lies in its store."""

    offset: int
    size: int
    crc: int


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors of the temporary file say where that is."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or f"{tempfile.gettempdir()}, which keeps what is encoded (see TMPDIR)"
        raise


class PayloadStore:
    """Append-only bytes, in memory while they are few and on disk when they are many."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._in_memory = in_memory
        self._memory = bytearray()
        self._file: IO[bytes] | None = None  # lives as long as the store
        self._lock = threading.Lock()
        self._size = 0

    def add(self, payload: bytes) -> Place:
        """Keeps a payload; thread-safe."""
        with self._lock:
            if self._file is None and self._size + len(payload) > self._in_memory:
                with _told():
                    self._file = tempfile.TemporaryFile()  # noqa: SIM115
                    weakref.finalize(self, self._file.close)
                    self._file.write(self._memory)
                self._memory = bytearray()
            if self._file is None:
                self._memory += payload
            else:
                with _told():
                    self._file.write(payload)
                    self._file.flush()
            place = Place(self._size, len(payload), zlib.crc32(payload))
            self._size += len(payload)
        return place

    def read(self, place: Place) -> bytes:
        """Gives a payload back; thread-safe."""
        return self.read_at(place.offset, place.size)

    def read_at(self, offset: int, size: int) -> bytes:
        """Gives so many bytes from an offset back; thread-safe, and in a process that was forked as well."""
        with self._lock:
            if self._file is None:
                return bytes(memoryview(self._memory)[offset : offset + size])
            descriptor = self._file.fileno()
        return read_at(descriptor, offset, size)

"""Payloads wait here between encoding and saving."""

from __future__ import annotations

import tempfile
import threading
import zlib
from dataclasses import dataclass

IN_MEMORY = 32 << 20
"""Beyond this many bytes the payloads go to an unnamed temporary file (in TMPDIR)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a payload lies in its store."""

    offset: int
    size: int
    crc: int


class PayloadStore:
    """Append-only bytes, in memory while they are few and on disk when they are many."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115 (lives as long as the store)
        self._lock = threading.Lock()
        self._size = 0

    def add(self, payload: bytes) -> Place:
        """Keeps a payload; thread-safe."""
        with self._lock:
            self._file.seek(self._size)
            self._file.write(payload)
            place = Place(self._size, len(payload), zlib.crc32(payload))
            self._size += len(payload)
        return place

    def read(self, place: Place) -> bytes:
        """Gives a payload back; thread-safe."""
        return self.read_at(place.offset, place.size)

    def read_at(self, offset: int, size: int) -> bytes:
        """Gives so many bytes from an offset back; thread-safe."""
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size)

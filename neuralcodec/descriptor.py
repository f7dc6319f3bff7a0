"""Bytes of an open file, by its descriptor."""

from __future__ import annotations

import os

MOST = 1 << 30
"""Bytes that are asked for at a time: the system gives 2 GB at most."""


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """So many bytes from an offset, fewer where the file ends; not by its position, which processes share."""
    pieces = []
    while size > 0 and (piece := os.pread(descriptor, min(size, MOST), offset)):
        pieces.append(piece)
        offset += len(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)

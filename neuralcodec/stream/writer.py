"""Writes header and directory of a model stream (docs/format.md, section 3)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from neuralcodec.codec import NAMED, SharedObject
from neuralcodec.measure import Errors
from neuralcodec.stream.store import PayloadStore, Place
from neuralcodec.tensor import TensorSpec
from neuralcodec.varint import varint

MAGIC = b"NCDM"
VERSION = 1
FLAG_NO_NAMES = 1
FIXED = struct.Struct("<4sBBHII")
TIED = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor of the stream, as its encoder knows it.

    Attributes:
        spec: name, element type and shape.
        number: codec number in the stream.
        codec: codec name.
        place: where the payload is kept; for a tied tensor that of the other one.
        tied_to: name of the tensor that this one shares its memory with.
        reason: why it has this codec, for the report.
        errors: what was lost; None if not known.
    """

    spec: TensorSpec
    number: int
    codec: str
    place: Place
    tied_to: str | None = None
    reason: str = ""
    errors: Errors | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """An encoded model before it is laid out as bytes."""

    entries: Mapping[str, Entry]
    shared: tuple[SharedObject, ...] = ()
    store: PayloadStore = field(default_factory=PayloadStore)

    def in_order(self) -> list[Entry]:
        """The tensors in the order of the directory: ascending by the bytes of their names."""
        return sorted(self.entries.values(), key=lambda entry: entry.spec.name.encode())

    def size(self) -> int:
        """Bytes of the whole stream."""
        return (
            len(header(self))
            + sum(len(s.data) for s in self.shared)
            + sum(e.place.size for e in self.entries.values() if e.tied_to is None)
        )


def header(stream: Stream, names: bool = True) -> bytes:
    """Fixed part and directory.

    Args:
        stream: the tensors.
        names: False leaves the names out; tensors are then known by their index.
    """
    entries = stream.in_order()
    index = {entry.spec.name: i for i, entry in enumerate(entries)}
    out = bytearray(varint(len(stream.shared)))
    for shared in stream.shared:
        out += bytes([shared.kind]) + varint(len(shared.data)) + struct.pack("<I", zlib.crc32(shared.data))
    out += varint(len(entries))
    before = b""
    for entry in entries:
        if names:
            name = entry.spec.name.encode()
            common = _common(before, name)
            out += varint(common) + varint(len(name) - common) + name[common:]
            before = name
        if entry.tied_to is not None:
            out += bytes([TIED]) + varint(index[entry.tied_to])
            continue
        spec = entry.spec
        out += bytes([entry.number, spec.dtype.number, len(spec.shape)])
        for side in spec.shape:
            out += varint(side)
        if entry.number == NAMED:
            codec = entry.codec.encode("ascii")
            out += bytes([len(codec)]) + codec
        out += varint(entry.place.size) + struct.pack("<I", entry.place.crc)
    fixed = FIXED.pack(MAGIC, VERSION, 0 if names else FLAG_NO_NAMES, 0, FIXED.size + len(out), 0)
    crc = zlib.crc32(out, zlib.crc32(fixed[:12]))
    return fixed[:12] + struct.pack("<I", crc) + bytes(out)


def chunks(stream: Stream, names: bool = True) -> Iterator[bytes]:
    """The bytes of the stream, piece by piece, so that a large one is never in memory whole."""
    yield header(stream, names)
    for shared in stream.shared:
        yield shared.data
    for entry in stream.in_order():
        if entry.tied_to is None:
            yield stream.store.read(entry.place)


def _common(a: bytes, b: bytes) -> int:
    n = min(len(a), len(b))
    return next((i for i in range(n) if a[i] != b[i]), n)

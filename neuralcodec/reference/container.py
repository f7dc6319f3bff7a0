"""Section 2: the safetensors file around a stream."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from neuralcodec.errors import ChecksumError, CorruptError, TruncatedError, UnsupportedError
from neuralcodec.reference.primitives import crc32
from neuralcodec.reference.stream import VERSION, Stream, read_stream

KEY = "neuralcodec"
"""Of the one tensor and of our entry in the metadata."""

MAX_HEADER = 100_000_000
"""The limit that safetensors sets itself."""


def read_file(path: str | os.PathLike[str]) -> Stream:
    """Reads a file. Offsets in errors count from its start."""
    data = Path(path).read_bytes()
    header, start = _read_header(data)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or KEY not in metadata:
        raise CorruptError(f"not a neuralcodec file: its metadata have no key {KEY!r}", offset=0)
    if not all(isinstance(value, str) for value in metadata.values()):
        raise CorruptError("metadata that are not text", offset=8)
    foreign = {key: value for key, value in metadata.items() if key != KEY}
    _check_foreign(metadata[KEY], foreign)
    _check_entry(header, len(data) - start, len(data))
    stream = read_stream(data[start:], origin=start)
    if not stream.has_names:
        raise CorruptError("the stream in the file has no names", offset=start)
    stream.metadata = foreign
    return stream


def _read_header(data: bytes) -> tuple[dict[str, object], int]:
    """The JSON object at the start of a safetensors file, and the offset of the data after it."""
    size = int.from_bytes(data[:8], "little")
    if (len(data) >= 8 and size > MAX_HEADER) or (len(data) > 8 and data[8:9] != b"{"):
        raise CorruptError("not a safetensors file", offset=0)
    if len(data) < 8 + size or len(data) < 8:
        raise TruncatedError("the file ends inside its safetensors header", offset=len(data))
    try:
        header = json.loads(data[8 : 8 + size].decode("utf-8"), object_pairs_hook=_unique)
        # Python takes NaN, Infinity and halves of surrogate pairs for JSON.
        json.dumps(header, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"not a safetensors file: its header is not JSON ({error})", offset=8) from None
    if not isinstance(header, dict):
        raise CorruptError("not a safetensors file: its header is no object", offset=8)
    return header, 8 + size


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object none of whose keys occurs twice."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _check_foreign(ours: str, foreign: dict[str, str]) -> None:
    """Checks our entry of the metadata: the version, a space, the crc32 of the other entries."""
    version = re.match(r"[0-9]+(?= |\Z)", ours)
    if version is None:
        raise CorruptError(f"the value of {KEY!r} in the metadata is {ours!r}, which is no version", offset=8)
    if version[0] != str(VERSION):
        raise UnsupportedError(f"version {version[0]}", offset=8)
    text = json.dumps(foreign, sort_keys=True, separators=(",", ":"))
    if ours != f"{VERSION} {crc32(text.encode('ascii')):08x}":
        raise ChecksumError("foreign metadata: crc32 does not match", offset=8)


def _check_entry(header: dict[str, object], left: int, file_size: int) -> None:
    """Checks that the header lists our tensor alone, and that its bytes are those that follow the header."""
    entry = header.get(KEY)
    if len(header) != 1 or not isinstance(entry, dict):
        raise CorruptError(f"the file does not hold one tensor {KEY!r}", offset=8)
    shape = entry.get("shape")
    size = shape[0] if isinstance(shape, list) and len(shape) == 1 else None
    # As text: to Python 0, 0.0 and false are equal.
    said, expected = (
        json.dumps(e, sort_keys=True) for e in (entry, {"dtype": "U8", "shape": [size], "data_offsets": [0, size]})
    )
    if type(size) is not int or size < 0 or said != expected:
        raise CorruptError(f"tensor {KEY!r} is not a string of bytes: {entry}", offset=8)
    if left < size:
        raise TruncatedError(f"{left} bytes of {size}", offset=file_size)
    if left > size:
        raise CorruptError(f"{left - size} bytes follow the stream", offset=file_size - left + size)

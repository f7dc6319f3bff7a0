"""Writes safetensors files."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from neuralcodec.container.output import replace_file
from neuralcodec.errors import SourceError
from neuralcodec.tensor import Tensor, TensorSpec

METADATA_KEY = "neuralcodec"
TENSOR_NAME = "neuralcodec"


def metadata_mark(version: int, metadata: Mapping[str, str]) -> str:
    """What the key ``neuralcodec`` of the metadata says: stream version and checksum of the other keys.

    Raises:
        SourceError: the others are no text, or hold half of a surrogate pair, or one of them is that key.
    """
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise SourceError(f"metadata are text by names that are text, not {key!r}: {value!r}")
        if any("\ud800" <= c <= "\udfff" for c in key + value):
            raise SourceError(f"metadata with half of a surrogate pair: {key!r}: {value!r}")
        if key == METADATA_KEY:
            raise SourceError(f"the key {METADATA_KEY!r} of metadata is that of the format")
    text = json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"))
    return f"{version} {zlib.crc32(text.encode('ascii')):08x}"


def safetensors_header(stream_size: int, version: int, metadata: Mapping[str, str]) -> bytes:
    """Length and JSON text at the start of the file, padded so that the stream starts at a multiple of 8.

    The safetensors library writes a file from tensors in memory; a stream of many gigabytes is never in memory whole,
    so these few bytes are written here.
    """
    head = {
        "__metadata__": {METADATA_KEY: metadata_mark(version, metadata), **dict(sorted(metadata.items()))},
        TENSOR_NAME: stream_entry(stream_size),
    }
    return _with_length(head)


def stream_entry(size: object) -> dict[str, object]:
    """What the header says of the tensor that is the stream."""
    return {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}


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

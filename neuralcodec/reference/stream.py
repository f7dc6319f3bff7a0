"""Section 3: the fixed part, the directory, and where shared objects and payloads lie."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from neuralcodec.errors import ChecksumError, CorruptError, TruncatedError, UnsupportedError
from neuralcodec.reference.primitives import Reader, crc32
from neuralcodec.reference.registries import (
    AUTOENCODER_MODEL,
    CODE_TABLE,
    CODEBOOK,
    ELEMENT_TYPES,
    FREQUENCY_TABLE,
    NAMED,
    TIED,
    TRELLIS_MODEL,
    TUNED_PRIOR,
    ElementType,
)
from neuralcodec.reference.tiles import rows_and_columns

MAGIC = b"NCDM"
VERSION = 1
FIXED_PART = 16
MAX_SHARED = 65_535
MAX_TENSORS = 2**24 - 1
MAX_NAME = 65_535
MAX_DIMENSIONS = 64
KINDS = (CODE_TABLE, FREQUENCY_TABLE, CODEBOOK, TRELLIS_MODEL, AUTOENCODER_MODEL, TUNED_PRIOR)


@dataclass
class SharedObject:
    """Bytes that several payloads refer to; ``offset`` is where they begin in the stream or file."""

    kind: int
    size: int
    crc: int
    data: bytes = b""
    offset: int = 0


@dataclass
class Tensor:
    """A record of the directory and its payload.

    Attributes:
        index: place in the directory.
        name: None in a stream without names.
        codec: its number.
        codec_name: of codec 255 only.
        dtype, shape: of a tied tensor those of its target.
        tied_to: index of the tensor it is tied to.
        target: that tensor.
        payload_size, payload_crc, payload, payload_offset: as the directory and the stream have them.
        shared: the shared objects of the stream, which the payload may refer to.
    """

    index: int
    name: str | None
    codec: int
    codec_name: str | None = None
    dtype: ElementType = ELEMENT_TYPES[1]
    shape: tuple[int, ...] = ()
    tied_to: int | None = None
    target: Tensor | None = field(default=None, repr=False)
    payload_size: int = 0
    payload_crc: int = 0
    payload: bytes = field(default=b"", repr=False)
    payload_offset: int = 0
    shared: list[SharedObject] = field(default_factory=list, repr=False)

    @property
    def rows(self) -> int:
        """Rows of the matrix."""
        return rows_and_columns(self.shape)[0]

    @property
    def columns(self) -> int:
        """Columns of the matrix."""
        return rows_and_columns(self.shape)[1]

    @property
    def elements(self) -> int:
        """Number of elements, n."""
        return math.prod(self.shape)

    def shared_object(self, payload: Reader, kind: int) -> Reader:
        """Reads the index of a shared object of this kind, and gives a reader of the object, whose crc32 is right."""
        index = payload.varint("index of a shared object")
        if index >= len(self.shared):
            raise payload.corrupt(f"shared object {index} of {len(self.shared)}")
        shared = self.shared[index]
        if shared.kind != kind:
            raise payload.corrupt(f"shared object {index} is of kind {shared.kind}, not {kind}")
        reader = Reader(shared.data, shared.offset, self.name)
        reader.check_crc(shared.crc, f"shared object {index}")
        return reader


@dataclass
class Stream:
    """A model stream whose header has been read. Payloads are read when a tensor is opened.

    Attributes:
        has_names: whether its tensors have names.
        header_size: H.
        shared: shared objects, by index.
        tensors: tensors, by index.
        metadata: the foreign metadata of the file, if it came from one.
    """

    has_names: bool
    header_size: int
    shared: list[SharedObject]
    tensors: list[Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def read_stream(data: bytes, *, origin: int = 0) -> Stream:
    """Reads the fixed part and the directory: steps 1 to 3 of section 8.

    Args:
        data: the whole stream.
        origin: where it begins in its file, for messages.
    """
    flags, header_size = _read_fixed_part(data, origin)
    has_names = not flags & 1
    directory = Reader(data[FIXED_PART:header_size], origin + FIXED_PART)
    shared = _read_shared_records(directory)
    tensors = _read_tensor_records(directory, has_names, shared)
    if directory.left:
        raise directory.corrupt(f"{directory.left} bytes of the header follow its directory")
    _place(data, header_size, shared, tensors, origin)
    return Stream(has_names, header_size, shared, tensors)


def _read_fixed_part(data: bytes, origin: int) -> tuple[int, int]:
    """The flags and H, after the checks of step 1."""
    if len(data) < FIXED_PART:
        raise TruncatedError(f"{len(data)} bytes are less than the fixed part", offset=origin + len(data))
    if data[:4] != MAGIC:
        raise CorruptError("not a model stream: the magic is wrong", offset=origin)
    version, flags, reserved = data[4], data[5], int.from_bytes(data[6:8], "little")
    if version != VERSION:
        raise UnsupportedError(f"version {version}", offset=origin + 4)
    if flags & ~1:
        raise UnsupportedError(f"reserved flags {flags:#04x}", offset=origin + 5)
    if reserved:
        raise UnsupportedError("reserved field of the fixed part is not zero", offset=origin + 6)
    header_size = int.from_bytes(data[8:12], "little")
    if header_size < FIXED_PART:
        raise CorruptError(f"a header of {header_size} bytes", offset=origin + 8)
    if header_size > len(data):
        raise TruncatedError(f"a header of {header_size} bytes in a stream of {len(data)}", offset=origin + len(data))
    if crc32(data[:12] + data[FIXED_PART:header_size]) != int.from_bytes(data[12:16], "little"):
        raise ChecksumError("header: crc32 does not match", offset=origin + 12)
    return flags, header_size


def _read_shared_records(directory: Reader) -> list[SharedObject]:
    count = directory.varint("number of shared objects")
    if count > MAX_SHARED:
        raise directory.corrupt(f"{count} shared objects")
    shared = []
    for _ in range(count):
        kind = directory.u8("kind of a shared object")
        if kind not in KINDS:
            raise directory.unsupported(f"shared object of kind {kind}")
        size = directory.varint("size of a shared object")
        shared.append(SharedObject(kind, size, directory.u32("crc32 of a shared object")))
    return shared


def _read_tensor_records(directory: Reader, has_names: bool, shared: list[SharedObject]) -> list[Tensor]:
    count = directory.varint("number of tensors")
    if count > MAX_TENSORS:
        raise directory.corrupt(f"{count} tensors")
    tensors: list[Tensor] = []
    name: bytes | None = None  # of the tensor before
    for index in range(count):
        if has_names:
            name = _read_name(directory, name)
        directory.tensor = None if name is None else _text(directory, name)
        tensor = Tensor(index, directory.tensor, directory.u8("codec"), shared=shared)
        if tensor.codec == TIED:
            tensor.tied_to = directory.varint("index of the tensor it is tied to")
            if tensor.tied_to >= count:
                raise directory.corrupt(f"tied to tensor {tensor.tied_to} of {count}")
        else:
            _read_untied(directory, tensor)
        tensors.append(tensor)
        directory.tensor = None
    _resolve_ties(directory, tensors)
    return tensors


def _read_name(directory: Reader, before: bytes | None) -> bytes:
    common = directory.varint("P of a name")
    if common > len(before or b""):
        raise directory.corrupt(f"P is {common}, and the name before has {len(before or b'')} bytes")
    following = directory.varint("Q of a name")
    if common + following > MAX_NAME:
        raise directory.corrupt(f"a name of {common + following} bytes")
    suffix = directory.take(following, "name")
    if before is None:
        return suffix
    name = before[:common] + suffix
    if name <= before:
        raise directory.corrupt("names are not strictly ascending")
    if before[common : common + 1] == suffix[:1]:
        raise directory.corrupt("P is not the longest it can be")
    return name


def _text(directory: Reader, name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise directory.corrupt("a name is not UTF-8") from None


def _read_untied(directory: Reader, tensor: Tensor) -> None:
    """The part of a record that tied tensors do not have."""
    number = directory.u8("dtype")
    if number not in ELEMENT_TYPES:
        raise directory.unsupported(f"dtype {number}")
    tensor.dtype = ELEMENT_TYPES[number]
    dimensions = directory.u8("number of dimensions")
    if dimensions > MAX_DIMENSIONS:
        raise directory.corrupt(f"{dimensions} dimensions")
    tensor.shape = tuple(directory.varint("dimension") for _ in range(dimensions))
    if max(tensor.rows, tensor.columns) >= 2**32 or tensor.elements * tensor.dtype.size >= 2**56:
        raise directory.corrupt("too many elements")
    if tensor.codec == NAMED:
        length = directory.u8("length of the codec's name")
        if length == 0:
            raise directory.corrupt("the codec's name is empty")
        name = directory.take(length, "codec's name")
        if not name.isascii():
            raise directory.corrupt("the codec's name is not ASCII")
        tensor.codec_name = name.decode("ascii")
    tensor.payload_size = directory.varint("size of a payload")
    tensor.payload_crc = directory.u32("crc32 of a payload")


def _resolve_ties(directory: Reader, tensors: list[Tensor]) -> None:
    for tensor in tensors:
        if tensor.tied_to is not None:
            target = tensors[tensor.tied_to]
            if target.codec == TIED:
                directory.tensor = tensor.name
                raise directory.corrupt(f"tied to tensor {target.index}, which is tied itself")
            tensor.target, tensor.dtype, tensor.shape = target, target.dtype, target.shape


def _place(data: bytes, header_size: int, shared: list[SharedObject], tensors: list[Tensor], origin: int) -> None:
    """Gives shared objects and payloads their bytes, back to back from H on (step 3)."""
    expected = header_size + sum(s.size for s in shared) + sum(t.payload_size for t in tensors)
    if len(data) < expected:
        raise TruncatedError(f"{len(data)} bytes of {expected}", offset=origin + len(data))
    if len(data) > expected:
        raise CorruptError(f"{len(data) - expected} bytes follow the last payload", offset=origin + expected)
    rest = Reader(data, origin, position=header_size)
    for item in shared:
        item.offset = origin + rest.position
        item.data = rest.take(item.size, "shared object")
    for tensor in tensors:
        tensor.payload_offset = origin + rest.position
        tensor.payload = rest.take(tensor.payload_size, "payload")

"""Opens a model stream: the directory and every payload go through the C decoder that firmware runs."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from neuralcodec import _native
from neuralcodec.codec import NAMED, Codec, SharedObject
from neuralcodec.dtypes import BY_NUMBER
from neuralcodec.errors import (
    BitstreamError,
    ChecksumError,
    CorruptError,
    NeuralCodecError,
    PlanError,
    RegistryError,
    UnsupportedError,
)
from neuralcodec.registry import codec_by_number, make_codec
from neuralcodec.stream.store import Place
from neuralcodec.stream.writer import Entry, Stream, header
from neuralcodec.tensor import Tensor, TensorSpec

DAMAGED = "crc32 of the payload is wrong: it was damaged after it was written"

COPY_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Demand:
    """Memory that the C decoder needs.

    Attributes:
        weights: in the largest tile of levels.
        bytes: in the largest tile of element bytes.
        tables: look-up tables at a time.
        slots: bytes that the frequency tables of a tensor, or its network, take at most, instead of look-up tables.
        wide: whether levels of some tensor have 16 bits.
    """

    weights: int
    bytes: int
    tables: int
    slots: int
    wide: bool


class TilePlace(NamedTuple):
    """Where a tile lies in the matrix of its tensor."""

    row: int
    col: int
    rows: int
    cols: int


class StreamReader:
    """A model stream whose payloads are read when they are asked for.

    Attributes:
        size: bytes of the stream.
        has_names: whether the tensors have names; without them they are known by their index, as text.
        entries: the tensors in the order of the directory; places count from the start of the stream.
        shared: the objects that several payloads refer to.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int, at: int = 0) -> None:
        """Reads and checks header, directory and shared objects.

        Args:
            read: gives so many bytes from an offset of the stream; thread-safe.
            size: bytes of the stream.
            at: offset of the stream in its file, for messages.

        Raises:
            TruncatedError, CorruptError, ChecksumError, UnsupportedError: what is wrong with the stream.
        """
        self._read = read
        self._at = at
        self.size = size
        with _Placed(at):
            head = read(0, min(size, 16))
            # The fixed part says how long the directory is, the directory how much follows it before the payloads.
            while (wanted := min(size, _native.extent(_array(head)))) > len(head):
                head = read(0, wanted)
            self._model = _native.Model(_array(head), size)
        self.has_names = self._model.has_names
        self.shared = tuple(SharedObject(kind, data) for kind, data, _ in self._model.shared)
        self._head = head[: self._model.payloads]
        self._records = self._model.records
        self.entries = self._make_entries()
        self._index = {entry.spec.name: i for i, entry in enumerate(self.entries)}

    @classmethod
    def of(cls, stream: Stream) -> StreamReader:
        """A reader of a stream that was just encoded and is not in a file yet."""
        head = header(stream) + b"".join(shared.data for shared in stream.shared)

        def read(offset: int, size: int) -> bytes:
            # Payloads were stored in the order of the directory.
            if offset >= len(head):
                return stream.store.read_at(offset - len(head), size)
            front = head[offset : offset + size]
            return front + stream.store.read_at(0, size - len(front))

        return cls(read, stream.size())

    def decode(self, entry: Entry) -> Tensor:
        """Decodes a whole tensor."""
        with _Placed(self._at, entry):
            return (
                self._decode_named(entry) if entry.number == NAMED else Tensor(entry.spec, self._open(entry).elements())
            )

    def tiles(self, entry: Entry) -> int:
        """Number of tiles; a third party's payload counts as one."""
        if entry.number == NAMED:
            return 1 if entry.spec.size else 0
        with _Placed(self._at, entry):
            return self._open(entry).tiles

    def demand(self, entry: Entry) -> Demand:
        """What a microcontroller must have ready to decode the tensor; nothing for a third party's codec."""
        if entry.number == NAMED:
            return Demand(0, 0, 0, 0, False)
        with _Placed(self._at, entry):
            opened = self._open(entry)
            if opened.has_levels or opened.has_indices:
                return Demand(opened.tile_size, 0, opened.tables, opened.slots, opened.has_levels and opened.wide)
            return Demand(0, opened.tile_size * entry.spec.dtype.itemsize, opened.tables, opened.slots, False)

    def decode_tile(self, entry: Entry, i: int) -> torch.Tensor:
        """Decodes one tile to a matrix."""
        spec = entry.spec
        if entry.number == NAMED:
            return self.decode(entry).torch().reshape(spec.rows, spec.cols)
        with _Placed(self._at, entry):
            opened = self._open(entry)
            _, _, rows, cols = opened.place(i)
            return Tensor(TensorSpec(spec.name, spec.dtype, (rows, cols)), opened.elements(i, i + 1)).torch()

    def decode_tiles(
        self, entry: Entry, wanted: Callable[[TilePlace], bool] | None = None
    ) -> Iterator[tuple[TilePlace, torch.Tensor]]:
        """Decodes tile by tile, those that are wanted; a third party's payload is one."""
        spec = entry.spec
        if entry.number == NAMED:
            place = TilePlace(0, 0, spec.rows, spec.cols)
            if spec.size and (wanted is None or wanted(place)):
                yield place, self.decode_tile(entry, 0)
            return
        with _Placed(self._at, entry):
            opened = self._open(entry)
        for i in range(opened.tiles):
            place = TilePlace(*opened.place(i))
            if wanted is None or wanted(place):
                with _Placed(self._at, entry):
                    elements = opened.elements(i, i + 1)
                yield place, Tensor(TensorSpec(spec.name, spec.dtype, (place.rows, place.cols)), elements).torch()

    def levels(self, entry: Entry) -> tuple[torch.Tensor, torch.Tensor]:
        """Levels and the scale of each row."""
        with _Placed(self._at, entry):
            opened = None if entry.number == NAMED else self._open(entry)
            if opened is None or not opened.has_levels:
                raise NeuralCodecError("the tensor is not stored as levels", tensor=entry.spec.name)
            levels = torch.from_numpy(opened.wide_levels() if opened.wide else opened.levels())
            return levels.reshape(entry.spec.shape), torch.from_numpy(opened.scales())

    def indices(self, entry: Entry) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Indices, codebooks, and the scale of each row."""
        with _Placed(self._at, entry):
            opened = None if entry.number == NAMED else self._open(entry)
            if opened is None or not opened.has_indices:
                raise NeuralCodecError("the tensor is not stored as indices", tensor=entry.spec.name)
            indices = torch.from_numpy(opened.indices()).reshape(entry.spec.shape)
            return indices, torch.from_numpy(opened.codebooks()), torch.from_numpy(opened.scales())

    def is_down_columns(self, entry: Entry) -> bool:
        """Whether tiles run down the columns of the matrix."""
        with _Placed(self._at, entry):
            return entry.number != NAMED and self._open(entry).down_columns

    def is_lossless(self, entry: Entry) -> bool:
        """Whether the payload holds elements as they are, not levels or indices."""
        with _Placed(self._at, entry):
            if entry.number == NAMED:
                return not self._codec(entry).lossy
            opened = self._open(entry)
            return not (opened.has_levels or opened.has_indices)

    def chunks(self, names: bool = True) -> Iterator[bytes]:
        """The bytes of the stream, piece by piece.

        Raises:
            ChecksumError: those of a payload have been damaged, so that a copy would be.
        """
        if names:
            yield self._head
        else:
            yield header(Stream({e.spec.name: e for e in self.entries}, self.shared), names=False)
            yield from (shared.data for shared in self.shared)
        for entry in self.entries:  # whose payloads lie in their order, without gaps
            if entry.tied_to is not None:
                continue
            end, crc = entry.place.offset + entry.place.size, 0
            for offset in range(entry.place.offset, end, COPY_BYTES):
                piece = self._read(offset, min(COPY_BYTES, end - offset))
                crc = zlib.crc32(piece, crc)
                yield piece
            if crc != entry.place.crc:
                with _Placed(self._at, entry):
                    raise ChecksumError(DAMAGED)

    def payload(self, entry: Entry) -> bytes:
        """The bytes of a payload of the C decoder's codecs, whose checksum and header are right."""
        with _Placed(self._at, entry):
            self._open(entry)
        return self._read(entry.place.offset, entry.place.size)

    def _open(self, entry: Entry) -> _native.Reader:
        """Checks the payload's crc32 and opens it."""
        return self._model.open(self._index[entry.spec.name], self._checked(entry))

    def _checked(self, entry: Entry) -> bytes:
        """The bytes of a payload, whose crc32 is right."""
        payload = self._read(entry.place.offset, entry.place.size)
        if zlib.crc32(payload) != entry.place.crc:
            raise ChecksumError(DAMAGED)
        return payload

    def _decode_named(self, entry: Entry) -> Tensor:
        payload, codec = self._checked(entry), self._codec(entry)
        try:
            return codec.decode(payload, entry.spec, self.shared)
        except NeuralCodecError:
            raise
        except Exception as error:
            # A third party's decoder may stumble over a hostile payload in any way.
            raise CorruptError(f"codec {entry.codec!r} failed: {type(error).__name__}: {error}") from error

    def _codec(self, entry: Entry) -> Codec:
        try:
            return make_codec(entry.codec, {})
        except PlanError as error:
            raise UnsupportedError(f"its codec cannot decode without options: {error.message}") from error
        except RegistryError as error:
            raise UnsupportedError(
                f"it was encoded with {entry.codec!r}, and that codec is not here: {error.message}"
            ) from error

    def _make_entries(self) -> tuple[Entry, ...]:
        names = [r.name if r.name is not None else str(r.index) for r in self._records]
        entries = []
        for record, name in zip(self._records, names, strict=True):
            source = record if record.tied_to is None else self._records[record.tied_to]
            entries.append(
                Entry(
                    TensorSpec(name, BY_NUMBER[source.dtype], source.shape),
                    number=source.codec,
                    codec=_codec_name(source),
                    place=Place(source.payload_offset, source.payload_size, source.payload_crc),
                    tied_to=None if record.tied_to is None else names[record.tied_to],
                )
            )
        return tuple(entries)


@dataclass(slots=True)
class _Placed:
    """Adds to errors what the decoder could not know: the tensor's name and the place in the file. Not to be nested.

    A class, as a generator would take a while that small tensors notice.
    """

    at: int
    entry: Entry | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, BitstreamError):
            return
        if self.entry is not None:
            error.tensor = self.entry.spec.name if error.tensor is None else error.tensor
            error.offset = self.entry.place.offset if error.offset is None else error.offset
        if error.offset is not None:
            error.offset += self.at


def _codec_name(record: _native.Record) -> str:
    if record.codec == NAMED:
        return (record.codec_name or b"").decode("ascii")
    known = codec_by_number(record.codec)
    return known.name if known is not None else f"codec {record.codec}"


def _array(data: bytes) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(data, np.uint8)

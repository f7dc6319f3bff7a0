"""A compressed model: payloads in memory, in a temporary file or in a file on disk, decoded when asked for."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from neuralcodec.container import file_size
from neuralcodec.errors import NeuralCodecError
from neuralcodec.state import is_extra_state, set_extra_state, storage_address
from neuralcodec.stream.reader import Demand, StreamReader, TilePlace
from neuralcodec.stream.writer import VERSION, Entry
from neuralcodec.tensor import Tensor

if TYPE_CHECKING:
    from neuralcodec.report import Report


class LoadedKeys(NamedTuple):
    """What :meth:`CompressedModel.load_into` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class CompressedModel:
    """An encoded model. Made by :func:`neuralcodec.encode` and :func:`neuralcodec.load`.

    It is read-only and safe to use from several threads. Payloads are checked (crc32) whenever they are read.
    """

    def __init__(self, reader: StreamReader, entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> None:
        """Not for users.

        Args:
            reader: the opened stream.
            entries: its tensors by name; with measured errors if it was encoded in this process.
            metadata: text kept from the safetensors file that was encoded.
        """
        self._reader = reader
        self._entries = dict(entries)
        self.metadata = dict(metadata)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __repr__(self) -> str:
        weights = sum(e.spec.size for e in self._entries.values() if e.tied_to is None)
        return f"<CompressedModel: {len(self)} tensors, {weights:,} weights, {self.nbytes:,} bytes>"

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The tensors in the order of the stream: spec, codec, payload size, ties."""
        return tuple(self._entries.values())

    def entry(self, name: str) -> Entry:
        """What is known of one tensor.

        Raises:
            KeyError: no tensor of this name.
        """
        if name not in self._entries:
            raise KeyError(f"no tensor named {name!r}; there are {_some(list(self._entries))}")
        return self._entries[name]

    def with_entries(self, entries: Mapping[str, Entry]) -> CompressedModel:
        """The same stream with other notes on its tensors (measured errors)."""
        return CompressedModel(self._reader, entries, self.metadata)

    def with_metadata(self, metadata: Mapping[str, str]) -> CompressedModel:
        """The same stream with other metadata."""
        return CompressedModel(self._reader, self._entries, metadata)

    @property
    def shared_bytes(self) -> int:
        """Bytes of tables that several tensors share."""
        return sum(len(shared.data) for shared in self._reader.shared)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole file that :func:`neuralcodec.save` writes, its header counted."""
        return file_size(self._reader.size, VERSION, self.metadata)

    def decode(self, name: str) -> torch.Tensor:
        """Decodes one tensor.

        Returns:
            A new tensor of the original shape and dtype.

        Raises:
            KeyError: no tensor of this name.
            BitstreamError: the payload is damaged or cannot be decoded here.
        """
        return self.decode_elements(name).torch()

    def decode_elements(self, name: str) -> Tensor:
        """As :meth:`decode`, but as spec and element bytes."""
        return self._reader.decode(self._stored(name))

    def is_lossless(self, name: str) -> bool:
        """Whether the tensor's payload holds elements as they are, not levels or indices.

        They are those of the original unless they were rounded before, as a target has it of small tensors, or codec
        huffman with ``mantissa=``; a payload does not tell, the report of the process that encoded it does.
        """
        return self._reader.is_lossless(self._stored(name))

    def payload(self, name: str) -> bytes:
        """The bytes that a tensor is stored in, as docs/format.md has them; checked.

        Raises:
            KeyError: no tensor of this name.
            BitstreamError: the payload is damaged or cannot be decoded here.
        """
        return self._reader.payload(self._stored(name))

    def is_down_columns(self, name: str) -> bool:
        """Whether the tensor's tiles run down the columns of its matrix, so that firmware gets it column by column."""
        return self._reader.is_down_columns(self._stored(name))

    def tiles(self, name: str) -> int:
        """Number of tiles of a tensor."""
        return self._reader.tiles(self._stored(name))

    def demand(self) -> Demand:
        """What a microcontroller must have ready to decode any one tensor."""
        each = [self._reader.demand(entry) for entry in self.entries if entry.tied_to is None]
        return Demand(
            weights=max((d.weights for d in each), default=0),
            bytes=max((d.bytes for d in each), default=0),
            tables=max((d.tables for d in each), default=0),
            slots=max((d.slots for d in each), default=0),
            wide=any(d.wide for d in each),
        )

    def decode_tile(self, name: str, i: int) -> torch.Tensor:
        """Decodes one tile.

        Args:
            name: the tensor.
            i: the tile, from 0 to ``tiles(name) - 1``; negative ones count from the end.

        Returns:
            The tile's weights, shape ``[tile rows, tile columns]`` of the matrix ``[rows, columns]`` (output
            channels by fan-in),
            in the tensor's dtype. Tiles follow each other in the order of the tensor's elements, or down its columns.

        Raises:
            KeyError: no tensor of this name.
            IndexError: no such tile.
            TypeError: ``i`` is no integer.
            BitstreamError: the payload is damaged or cannot be decoded here.
        """
        entry, i = self._stored(name), operator.index(i)
        count = self._reader.tiles(entry)
        if not -count <= i < count:
            raise IndexError(f"tensor {name!r} has {count} tiles; there is no tile {i}")
        return self._reader.decode_tile(entry, i % count)

    def decode_tiles(
        self, name: str, wanted: Callable[[TilePlace], bool] | None = None
    ) -> Iterator[tuple[TilePlace, torch.Tensor]]:
        """Decodes tile by tile; the payload is read and checked once, not once a tile.

        Args:
            name: the tensor.
            wanted: tells by its place whether a tile is to be decoded; default all.

        Yields:
            Where the tile lies, and what :meth:`decode_tile` gives.

        Raises:
            KeyError: no tensor of this name.
            BitstreamError: the payload is damaged or cannot be decoded here.
        """
        return self._reader.decode_tiles(self._stored(name), wanted)

    def levels(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The quantized levels of a lossily coded tensor, as firmware gets them.

        Returns:
            Levels, int8 (int16 where they need it), of the tensor's shape; scale of each row, float32, shape
            ``[rows]``. Weights are levels times scale.

        Raises:
            NeuralCodecError: the tensor is not stored as levels.
        """
        return self._reader.levels(self._stored(name))

    def indices(self, name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The indices and codebooks of a tensor of codec kmeans, for kernels that look up products.

        Returns:
            Indices, uint8, of the tensor's shape; codebooks, float32, shape ``[groups, centroids]``, where groups are
            equal runs of rows, the last one perhaps shorter; scale of each row, float32, shape ``[rows]``. A weight is
            the centroid of its index in the codebook of its row's group, times the scale of the row.

        Raises:
            NeuralCodecError: the tensor is not stored as indices.
        """
        return self._reader.indices(self._stored(name))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Decodes everything: name to tensor, original shapes and dtypes. Tied names share one tensor."""
        decoded: dict[str, torch.Tensor] = {}
        for name, entry in self._entries.items():
            first = entry.tied_to or name
            if first not in decoded:
                decoded[first] = self.decode(first)
            decoded[name] = decoded[first]
        return {name: decoded[name] for name in self._entries}

    def load_into(self, model: torch.nn.Module, strict: bool = True) -> LoadedKeys:
        """Copies the decoded weights into a module, tensor by tensor; its ties, devices and dtypes stay.

        Extra state that is a tensor goes to ``set_extra_state`` of the module it belongs to.

        Args:
            model: the module.
            strict: names must match exactly. Otherwise those that both have are copied; their shapes must match.

        Returns:
            Names that the module has and we do not, and the other way round.

        Raises:
            NeuralCodecError: names differ and ``strict`` is set, shapes differ, or a tensor of the module has no memory
                of its own to copy to (on the meta device, without a shape yet, expanded, or a copy that its
                ``state_dict()`` makes). Nothing was changed then.
        """
        if strict:
            self.check_matches(model)
        into = _tensors_of(model)
        missing, unexpected, unlike = self._differences(into)
        if unlike:
            raise NeuralCodecError(f"the module does not match; other shape: {_some(unlike)}")
        held = _storages(model)
        for name in self._entries:
            if name in into and not is_extra_state(name):
                _check_writable(name, into[name], held)
        done: set[object] = set()
        with torch.no_grad():
            for name, entry in self._entries.items():
                if name not in into:
                    continue
                if is_extra_state(name):
                    set_extra_state(model, name, self.decode(name))
                    continue
                place = (into[name].device, into[name].data_ptr(), entry.tied_to or name)
                if place not in done:  # a tied tensor is decoded once
                    into[name].copy_(self.decode(name))
                    done.add(place)
        return LoadedKeys(missing, unexpected)

    def check_matches(self, model: torch.nn.Module) -> None:
        """Compares names and shapes with those of a module's state dict.

        Raises:
            NeuralCodecError: they differ; the message says which.
        """
        missing, unexpected, unlike = self._differences(_tensors_of(model))
        if missing or unexpected or unlike:
            said = [f"{what}: {_some(names)}" for what, names in (
                ("missing from the compressed model", missing),
                ("not in the module", unexpected),
                ("other shape", unlike),
            ) if names]  # fmt: skip
            raise NeuralCodecError(f"the module does not match; {'; '.join(said)}")

    def verify(self) -> None:
        """Reads and decodes everything.

        Raises:
            BitstreamError: the first tensor that is damaged.
        """
        for name, entry in self._entries.items():
            if entry.tied_to is None:
                self.decode(name)

    def report(self) -> Report:
        """What each tensor became; errors are known in the process that encoded it."""
        from neuralcodec.report import make_report  # noqa: PLC0415 (rich is not needed to decode)

        return make_report(self)

    def to_bytes(self, names: bool = True) -> bytes:
        """The model stream, as firmware takes it.

        Args:
            names: False leaves out the tensors' names, for flash; tensors are then known by their place in
                :attr:`entries`.
        """
        return b"".join(self.chunks(names))

    def chunks(self, names: bool = True) -> Iterator[bytes]:
        """The bytes of :meth:`to_bytes`, piece by piece."""
        return self._reader.chunks(names)

    @property
    def stream_size(self) -> int:
        """Bytes of :meth:`to_bytes`."""
        return self._reader.size

    def __deepcopy__(self, memo: dict[int, object]) -> CompressedModel:
        return self  # nothing in it changes

    def __reduce__(self) -> tuple[object, ...]:
        # As bytes, so that what is unpickled elsewhere needs no file.
        return _from_bytes, (self.to_bytes(), self._entries, self.metadata)

    def _differences(self, into: Mapping[str, torch.Tensor]) -> tuple[list[str], list[str], list[str]]:
        """Names that only the module has, that only we have, and whose shapes differ."""
        missing = [name for name in into if name not in self._entries]
        unexpected = [name for name in self._entries if name not in into]
        both = (name for name in self._entries if name in into and not is_extra_state(name))
        unlike = [name for name in both if tuple(into[name].shape) != self._entries[name].spec.shape]
        return missing, unexpected, unlike

    def _stored(self, name: str) -> Entry:
        entry = self.entry(name)
        return self._entries[entry.tied_to] if entry.tied_to else entry


def check_compressed(cm: object) -> None:
    """Refuses what is no compressed model.

    Raises:
        NeuralCodecError: it says so.
    """
    if not isinstance(cm, CompressedModel):
        raise NeuralCodecError(
            f"a CompressedModel expected, not {type(cm).__name__}: neuralcodec.encode() and neuralcodec.load() give one"
        )


def _from_bytes(stream: bytes, entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> CompressedModel:
    reader = StreamReader(lambda offset, size: stream[offset : offset + size], len(stream))
    notes = {e.spec.name: replace(e, reason=entries[e.spec.name].reason, errors=entries[e.spec.name].errors)
             for e in reader.entries}  # fmt: skip
    return CompressedModel(reader, notes, metadata)


def _tensors_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state dict but for extra state, which is no tensor."""
    if not isinstance(model, torch.nn.Module):
        raise NeuralCodecError(f"a torch.nn.Module expected, not {type(model).__name__}; state_dict() gives tensors")
    found = {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    for name, value in found.items():
        if torch.nn.parameter.is_lazy(value):
            said = "the module's parameter has no shape yet: run the module once, so that it gets one"
            raise NeuralCodecError(said, tensor=name)
    return found


def _storages(model: torch.nn.Module) -> set[int]:
    """Where the parameters and buffers of a module lie."""
    held = (*model.parameters(), *model.buffers())
    return {address for tensor in held if (address := storage_address(tensor)) is not None}


def _check_writable(name: str, tensor: torch.Tensor, held: set[int]) -> None:
    if tensor.is_meta:
        raise NeuralCodecError("on the meta device nothing can be copied to it: see Module.to_empty()", tensor=name)
    if any(stride == 0 and side > 1 for side, stride in zip(tensor.shape, tensor.stride(), strict=True)):
        raise NeuralCodecError("it is expanded: its elements share memory, so they cannot be copied to", tensor=name)
    if tensor.numel() and (address := storage_address(tensor)) is not None and address not in held:
        said = "state_dict() of the module gives a copy of it: use load_state_dict() with state_dict() of this model"
        raise NeuralCodecError(said, tensor=name)


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

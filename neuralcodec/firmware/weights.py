"""The blob: a model stream with just the weights that layers read, as kernels can read them.

A payload of the compressed model is copied where its levels are what int8 kernels take. The others are coded again: the
very same levels where only tiles change, else int8 levels of the decoded weights with a scale a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from neuralcodec import _native
from neuralcodec.codec import NAMED, SharedObject
from neuralcodec.codecs.huffman import Huffman, sharing
from neuralcodec.codecs.huffman.levels import Levels
from neuralcodec.codecs.huffman.tiles import tile_length
from neuralcodec.codecs.raw import Raw
from neuralcodec.dtypes import BY_NUMBER
from neuralcodec.errors import ExportError, NeuralCodecError, SourceError
from neuralcodec.export_prepared import CODECS, Prepared, cannot_be, prepare_stream
from neuralcodec.model import CompressedModel
from neuralcodec.payload import open_payload
from neuralcodec.stream.store import PayloadStore
from neuralcodec.stream.writer import Entry, Stream, chunks, header
from neuralcodec.tensor import TensorSpec, from_float32

LOOKUP_BYTES = 1028
"""NCD_HUFFMAN_WORKSPACE as microcontrollers have it."""

RAW_TILE = 1024
"""Most weights in a tile of codec raw."""

MOST_LEVEL = 127
ONE = 64
"""Level of weights that are 1: the bias of such a row is at a finer scale than its inputs."""

SHARED = 2.0
"""How much coarser a row may become for one of the layers that read it."""

LEARNS = "decoding codec generative takes 250 KB of RAM"
"""Why its payloads are coded again, whatever the mode."""

F32 = BY_NUMBER[1]
I8 = next(dtype for dtype in BY_NUMBER.values() if dtype.name == "i8")

Matrix = npt.NDArray[np.int8]
Row = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """What layers ask of a tensor's levels.

    Attributes:
        name: the tensor.
        columns: whether tiles may run down the columns.
        dead: for each row whether a folded norm multiplies it by 0; None for none.
        least_scale: for each row the least scale at which its bias fits 32 bits.
        shared: whether several layers read it.
    """

    name: str
    columns: bool
    dead: npt.NDArray[np.bool_] | None = None
    least_scale: Row | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A tensor as the compressed model holds it.

    Attributes:
        levels: int8, shape [rows, cols], where the decoder gives such; None else.
        scales: of the rows, float64; with ``levels`` only.
    """

    spec: TensorSpec
    number: int
    codec: str
    payload: bytes
    levels: Matrix | None
    scales: Row | None
    down_columns: bool
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A tensor of the blob.

    Attributes:
        name: its name in the compressed model.
        index: its place in the blob.
        shape: rows and columns of its matrix.
        codec: how it is coded.
        nbytes: of its payload.
        levels: int8, shape [rows, cols]; None in float mode.
        scales: of the rows: weight = level * scale; None in float mode.
        recoded: why it was coded again; empty where the payload is the compressed model's.
        tile_size: weights of a full tile.
        tiles: how many.
        tables: bytes of the decoder's tables on a microcontroller.
        checks: checksum of each tile's levels; empty in float mode.
        down_columns: whether tiles run down the columns.
        trellis: the coding, of codec trellis.
        skips: whether rows of zeros are left out of its trellis.
        wide_codes: whether its trellis has prefix codes of more than 16 states.
        nested: numbers of the codecs of tensors that its payload nests.
        prefix_indices: whether its indices, of codec kmeans, have prefix codes.
    """

    name: str
    index: int
    shape: tuple[int, int]
    codec: str
    nbytes: int
    levels: Matrix | None
    scales: Row | None
    recoded: str
    tile_size: int
    tiles: int
    tables: int
    checks: tuple[int, ...]
    down_columns: bool
    trellis: Literal["contexts", "light", "rans", "prefix"] | None = None
    skips: bool = False
    wide_codes: bool = False
    nested: tuple[int, ...] = ()
    prefix_indices: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """The stream of an export, and what is in it.

    Attributes:
        data: the stream, without names.
        tensors: by name.
        overhead: bytes of header, directory and shared tables; of opened tensors and tables, where they are prepared.
        prepared: the tensors, opened, and their tables, if these lie in flash.
    """

    data: bytes
    tensors: Mapping[str, Coded]
    overhead: int
    prepared: Prepared | None = None


class Weights:
    """Reads the tensors of a compressed model."""

    def __init__(self, cm: CompressedModel, ones: Mapping[str, tuple[int, ...]] | None = None) -> None:
        """Not for users.

        Args:
            cm: the compressed model.
            ones: names and shapes of tensors that it does not have, whose weights are 1.
        """
        self._cm = cm
        self._ones = ones or {}
        self._stream = cm.to_bytes()
        model = _native.Model(np.frombuffer(self._stream, np.uint8))
        self._records = {record.name: record for record in model.records}
        self.shared = tuple(SharedObject(kind, data) for kind, data, _ in model.shared)

    def floats(self, name: str) -> torch.Tensor:
        """A tensor, decoded to float32."""
        if name in self._ones:
            return torch.ones(self._ones[name])
        return self._cm.decode(name).to(torch.float32)

    def stored(self, name: str) -> Stored:
        """A tensor as it is stored."""
        if name in self._ones:
            spec = TensorSpec(name, F32, self._ones[name])
            levels = np.full((spec.rows, spec.cols), ONE, np.int8)
            reason = "a batch norm on its own: weights that are 1"
            return Stored(spec, NAMED, "", b"", levels, np.full(spec.rows, 1 / ONE), False, reason)
        entry = self._cm.entry(name)
        entry = self._cm.entry(entry.tied_to) if entry.tied_to else entry
        record = self._records[entry.spec.name]
        payload = self._stream[record.payload_offset : record.payload_offset + record.payload_size]
        if entry.number == NAMED:
            return Stored(entry.spec, entry.number, entry.codec, payload, None, None, False, f"codec {entry.codec}")
        opened = open_payload(payload, entry.number, entry.spec, self.shared)
        rows, cols = entry.spec.rows, entry.spec.cols
        integers = entry.spec.dtype.name == "i8"
        if not (opened.has_levels or integers):
            reason = "kept exact" if not opened.has_indices else "centroids are floats"
            return Stored(entry.spec, entry.number, entry.codec, payload, None, None, False, reason)
        if opened.has_levels and opened.wide:
            wide = "levels have 16 bits"
            return Stored(entry.spec, entry.number, entry.codec, payload, None, None, opened.down_columns, wide)
        if opened.has_levels and not np.all(_column_scales(opened, cols) == 1):
            return Stored(entry.spec, entry.number, entry.codec, payload, None, None, False, "columns have scales")
        levels = np.array(opened.levels()).reshape(rows, cols)
        if integers and entry.codec != "raw":
            # Losslessly coded integers would need that part of the decoder, too.
            lossless = "integers, coded losslessly: the same as levels"
            return Stored(entry.spec, entry.number, entry.codec, payload, levels, np.ones(rows), False, lossless)
        scales = np.array(opened.scales(), np.float64) if opened.has_levels else np.ones(rows)
        if entry.codec == "generative":
            same = f"{LEARNS}: the same levels with prefix codes"
            return Stored(entry.spec, entry.number, entry.codec, payload, levels, scales, opened.down_columns, same)
        return Stored(entry.spec, entry.number, entry.codec, payload, levels, scales, opened.down_columns, "")


def _column_scales(opened: _native.Reader, cols: int) -> npt.NDArray[np.float32]:
    try:
        return opened.column_scales()
    except ValueError:
        return np.ones(cols, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """A payload to copy, or levels to code."""

    spec: TensorSpec
    number: int
    codec: str
    payload: bytes | None
    coding: Levels | None
    levels: Matrix
    scales: Row
    reason: str


def make_int8_blob(weights: Weights, wishes: Sequence[Wish], tile: int | None) -> Blob:
    """The blob of int8 levels.

    Args:
        weights: the compressed model's tensors.
        wishes: the tensors that layers read, each once.
        tile: codes tensors again, without loss, that have larger tiles than this; trellis tensors stay.
    """
    choices = {wish.name: _choose(weights, wish, tile) for wish in wishes}
    shared = _kept_shared(weights.shared, [c for c in choices.values() if c.payload is not None])
    surveys = {
        name: sharing.Survey(
            (sharing.Slot(c.coding.counts(), c.coding.pair_counts(), c.coding.zeros_counts()),), fixed=0
        )
        for name, c in choices.items()
        if c.coding is not None and c.coding.levels.any()
    }
    shares = sharing.share(surveys, len(shared))
    shared += shares.objects
    payloads: dict[str, tuple[TensorSpec, int, str, bytes]] = {}
    for name, choice in choices.items():
        payload = choice.payload
        if choice.coding is not None:
            hint = shares.hints.get(name)
            slot = hint.slots[0] if isinstance(hint, sharing.Hint) else None
            payload = choice.coding.encode() if slot is None else choice.coding.payload(slot[1], slot[0])
            if slot is None and len(payload) >= choice.spec.size and _fits_raw(choice.spec, tile):
                spec = TensorSpec(name, I8, choice.spec.shape)
                payloads[name] = spec, Raw.number, Raw.name, choice.levels.tobytes()
                continue
        assert payload is not None
        payloads[name] = choice.spec, choice.number, choice.codec, payload
    return _blob(payloads, shared, choices)


def _fits_raw(spec: TensorSpec, tile: int | None) -> bool:
    """Whether levels may be put down as they are, in tiles of codec raw, which they are where codes take no less."""
    return tile is None or tile >= min(spec.size, RAW_TILE)


def make_float_blob(weights: Weights, wishes: Sequence[tuple[str, bool]]) -> Blob:
    """The blob of a float export: payloads as they are, or exact f32 of decoded weights that kernels cannot read.

    Args:
        weights: the compressed model's tensors.
        wishes: the tensors that layers read, and whether their tiles may run down the columns.
    """
    payloads = {}
    reasons = {}
    for name, columns in wishes:
        stored = weights.stored(name)
        spec, number, codec, payload = stored.spec, stored.number, stored.codec, stored.payload
        exact = stored.levels is None and stored.reason == "kept exact"
        turned = stored.down_columns and not columns
        learns = codec == "generative"
        if number == NAMED or turned or learns or (exact and spec.dtype.name != "f32") or spec.dtype.name == "i8":
            floats = weights.floats(name).numpy()
            spec = TensorSpec(name, F32, spec.shape)
            number, codec, payload = 2, "huffman", Huffman(lossless=True).encode(from_float32(spec, floats))
            why = LEARNS if learns else "coded down the columns" if turned else stored.reason or "integers"
            reasons[name] = f"{why}: the decoded weights as exact floats"
        payloads[name] = spec, number, codec, payload
    shared = _kept_payloads(weights.shared, list(payloads.values()))
    return _blob(payloads, shared, None, reasons)


def _choose(weights: Weights, wish: Wish, tile: int | None) -> _Choice:
    stored = weights.stored(wish.name)
    spec = stored.spec
    reasons: list[str] = []
    levels: npt.NDArray[np.int8] | npt.NDArray[np.int16]
    if stored.levels is None or stored.scales is None:
        levels, scales = _requantized(weights.floats(wish.name), spec)
        reasons.append(f"{stored.reason}: int8 levels with a scale a row")
    else:
        levels, scales = stored.levels, stored.scales
        reasons += [stored.reason] if stored.reason else []
        if stored.down_columns and not wish.columns:
            reasons.append("coded down the columns: the same levels along the rows")
    if wish.dead is not None and wish.dead.any():
        levels = np.where(wish.dead[:, None], np.zeros_like(levels), levels)
        reasons.append("a norm's factors are 0: rows of zeros")
    if wish.least_scale is not None and (scales < wish.least_scale).any():
        row = int(np.argmax(wish.least_scale / scales))
        if wish.shared and wish.least_scale[row] > SHARED * scales[row]:
            raise ExportError(
                f"serves several layers, one of whose norms multiplies row {row} by next to nothing: its bias would "
                "take a scale at which the others lose the row",
                tensor=wish.name,
            )
        levels, scales = _coarser(levels, scales, np.maximum(scales, wish.least_scale))
        reasons.append("a bias is beyond 32 bits at the scale of its row: a coarser one")
    if tile is not None and not reasons and spec.size and stored.codec != "trellis":
        opened = open_payload(stored.payload, stored.number, spec, weights.shared)
        if opened.tile_size > tile_length(spec.rows, spec.cols, tile):
            reasons.append(f"tiles of at most {tile} weights: the same levels")
    if not reasons:
        kept = levels.astype(np.int8)
        return _Choice(spec, stored.number, stored.codec, stored.payload, None, kept, scales, "")
    if np.abs(levels.astype(np.int16)).max(initial=0) > MOST_LEVEL:  # codec huffman has no level -128 of its own
        levels, scales = _coarser(levels, scales, scales * ((MOST_LEVEL + 1) / MOST_LEVEL))
        reasons.append("levels to -127 .. 127")
    coded = np.ascontiguousarray(levels.astype(np.int8))
    # Scales are left out of the stream: the plan's multipliers hold them.
    coding = Levels(coded, 1.0, None, tile_length(spec.rows, spec.cols, tile))
    target = TensorSpec(spec.name, F32, spec.shape)
    return _Choice(target, 2, "huffman", None, coding, coded, scales, "; ".join(reasons))


def _requantized(floats: torch.Tensor, spec: TensorSpec) -> tuple[Matrix, Row]:
    target = TensorSpec(spec.name, F32, spec.shape)
    try:
        found = Huffman(bits=8, scale="row").quantize(from_float32(target, floats.numpy()))
    except SourceError as error:
        raise ExportError(error.message, tensor=spec.name) from error
    return found.levels.reshape(spec.rows, spec.cols), found.scales()


def _coarser(levels: npt.NDArray[np.int16] | Matrix, scales: Row, wanted: Row) -> tuple[Matrix, Row]:
    """Levels at larger scales."""
    moved = np.rint(levels * (scales / wanted)[:, None])
    return np.clip(moved, -MOST_LEVEL, MOST_LEVEL).astype(np.int8), wanted


def _kept_shared(shared: Sequence[SharedObject], choices: Sequence[_Choice]) -> tuple[SharedObject, ...]:
    return _kept_payloads(shared, [(c.spec, c.number, c.codec, c.payload or b"") for c in choices])


def _kept_payloads(
    shared: Sequence[SharedObject], payloads: Sequence[tuple[TensorSpec, int, str, bytes]]
) -> tuple[SharedObject, ...]:
    """The shared objects that payloads refer to; others become empty, as references count them."""
    kept = [
        each if any(_refers(payload, number, spec, shared, i) for spec, number, _, payload in payloads) else None
        for i, each in enumerate(shared)
    ]
    while kept and kept[-1] is None:
        kept.pop()
    return tuple(each or SharedObject(shared[i].kind, b"") for i, each in enumerate(kept))


def _refers(payload: bytes, number: int, spec: TensorSpec, shared: Sequence[SharedObject], index: int) -> bool:
    """Whether a payload cannot be opened without a shared object."""
    without = [SharedObject(s.kind, b"") if i == index else s for i, s in enumerate(shared)]
    try:
        open_payload(payload, number, spec, without)
    except NeuralCodecError:
        return True
    return False


def _blob(
    payloads: Mapping[str, tuple[TensorSpec, int, str, bytes]],
    shared: Sequence[SharedObject],
    choices: Mapping[str, _Choice] | None,
    reasons: Mapping[str, str] | None = None,
) -> Blob:
    store = PayloadStore()
    entries = {}
    for name, (spec, number, codec, payload) in sorted(payloads.items(), key=lambda item: item[0].encode()):
        entries[name] = Entry(replace(spec, name=name), number=number, codec=codec, place=store.add(payload))
    stream = Stream(entries, tuple(shared), store)
    tensors = {}
    for index, entry in enumerate(stream.in_order()):
        name = entry.spec.name
        payload = payloads[name][3]
        opened = open_payload(payload, entry.number, entry.spec, shared)
        choice = choices[name] if choices is not None else None
        tensors[name] = Coded(
            name,
            index,
            (entry.spec.rows, entry.spec.cols),
            entry.codec,
            len(payload),
            None if choice is None else choice.levels,
            None if choice is None else choice.scales,
            choice.reason if choice is not None else (reasons or {}).get(name, ""),
            opened.tile_size,
            opened.tiles,
            max(opened.tables * LOOKUP_BYTES, opened.slots),
            () if choice is None else tile_checks(opened),
            opened.down_columns,
            opened.coding,
            opened.skips,
            opened.wide_codes,
            opened.nested,
            opened.prefix_indices,
        )
    data = b"".join(chunks(stream, names=False))
    overhead = len(header(stream, names=False)) + sum(len(each.data) for each in shared)
    return Blob(data, tensors, overhead)


def with_tables_in_flash(blob: Blob) -> Blob:
    """The same tensors, opened, with tables of codec trellis that take no RAM.

    Raises:
        ExportError: a tensor's codec opens tensors or writes tables while it decodes.
    """
    for tensor in blob.tensors.values():
        if tensor.codec not in CODECS.values():
            raise ExportError(f"{cannot_be(tensor.codec)}; tables='ram' takes it", tensor=tensor.name)
    prepared = prepare_stream(blob.data, len(blob.tensors))
    tensors = {name: replace(tensor, tables=0) if tensor.trellis else tensor for name, tensor in blob.tensors.items()}
    overhead = prepared.flash_bytes - sum(tensor.nbytes for tensor in tensors.values())
    return Blob(blob.data, tensors, overhead, prepared)


def tile_checks(opened: _native.Reader) -> tuple[int, ...]:
    """ncd_nn_checksum of the levels of each tile, in the order in which they are decoded."""
    found = []
    for i in range(opened.tiles):
        levels = opened.levels(i, i + 1)
        if opened.down_columns:
            _, _, rows, cols = opened.place(i)
            levels = levels.reshape(rows, cols).T
        found.append(checksum(np.ascontiguousarray(levels).tobytes()))
    return tuple(found)


def checksum(levels: bytes) -> int:
    """Fletcher's sums over little-endian words of 32 bits, mixed and folded to 16; see ncd_nn.h."""
    words = np.frombuffer(levels + bytes(-len(levels) % 4), "<u4").astype(np.uint64)
    mask = (1 << 32) - 1
    sums = np.cumsum(words)
    a = int(sums[-1]) & mask if len(sums) else 0
    b = int((sums & np.uint64(mask)).sum()) & mask
    mixed = (a * 0x9E3779B1 & mask) ^ (b << 13 & mask) ^ b >> 19
    return ((mixed ^ mixed >> 15) * 0x85EBCA77 & mask) >> 16

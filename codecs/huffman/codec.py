"""The codec's options, and what it does with a tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch

from neuralcodec import _native
from neuralcodec.codec import SharedObject, Shares
from neuralcodec.codecs.huffman import lossless as exact
from neuralcodec.codecs.huffman import sharing
from neuralcodec.codecs.huffman.levels import Levels, fit, fit_above
from neuralcodec.codecs.huffman.tiles import BYTES_TILE, MOST, tile_count, tile_length
from neuralcodec.errors import SourceError
from neuralcodec.tensor import Tensor, TensorSpec

SURVEY_WEIGHTS = 1 << 18
"""Larger tensors are not surveyed: to them a table of their own is a fraction of a per mille."""

LONG_ROW = 64
"""A scale code has 4 to 6 bits: with rows of so many weights that is less than 0.1 bit a weight."""

LONG_CHANNEL = 9
"""Rows of a depthwise convolution get scales from this length on: its channels differ most, and it is a small part."""


@dataclass(frozen=True)
class Huffman:
    """Levels, or the bytes of the elements, with a canonical prefix code; tiles decode alone.

    Attributes:
        lossless: code the bytes of the elements, by planes; the other options but ``tile`` then do nothing.
        bits: 2 to 8: levels from -q to q with q = 2^(bits-1) - 1. The steps are chosen for least squared error. The
            size in the stream is smaller than ``bits``, because levels are entropy-coded.
        step: the distance between levels in units of the weights, the same for all tensors; ``bits`` then does nothing.
            Levels end at ±127. Where weights lie beyond, the step gets coarser if that loses less than clipping: of
            the rows that need it, or with ``scale="tensor"`` of the whole tensor.
        scale: "row" for a scale of its own for each row (output channel), "tensor" for one for all. None chooses:
            with ``bits`` a scale a row if there are at least two rows of at least 64 weights (then a scale costs less
            than 0.1 bit a weight), or of at least 9 in depthwise convolutions; with ``step`` it is as "row", which
            is one for all as long as no weight lies beyond 127 steps.
        tile: most weights in a tile, 1 to 65,535; None for 2,048 in tensors of up to a million weights (1,024 in
            lossless ones) and 4,096 in larger ones. A decoder on a microcontroller needs room for one tile.
        pairs: let a code stand for two levels where that is smaller: by about 2 % at 3 bits a weight, more below. Such
            codes are longer; at 3 bits and more a microcontroller may take twice as many instructions for them.

    Raises:
        ValueError: an option out of its range.
    """

    name: ClassVar[str] = "huffman"
    number: ClassVar[int] = 2

    lossless: bool = False
    bits: int = 8
    step: float | None = None
    scale: Literal["row", "tensor"] | None = None
    tile: int | None = None
    pairs: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or not 2 <= self.bits <= 8:
            raise ValueError(f"bits: an integer from 2 to 8 expected, not {self.bits!r}")
        if self.tile is not None and (
            isinstance(self.tile, bool) or not isinstance(self.tile, int) or not 1 <= self.tile <= MOST
        ):
            raise ValueError(f"tile: an integer from 1 to {MOST} or None expected, not {self.tile!r}")
        if self.scale not in (None, "row", "tensor"):
            raise ValueError(f"scale: 'row', 'tensor' or None expected, not {self.scale!r}")
        if self.step is not None:
            _float32_step(self.step)

    @property
    def lossy(self) -> bool:
        """Whether float tensors become levels."""
        return not self.lossless

    def with_step(self, step: float) -> Huffman:
        """The same codec with a uniform quantizer of this step, or of the nearest that float32 holds well."""
        return replace(self, lossless=False, step=min(max(step, 2.0**-126), 2.0**120))

    def encode(self, tensor: Tensor) -> bytes:
        """The payload of a tensor.

        Raises:
            SourceError: levels are wanted for weights that are NaN, infinite, or beyond the range of float32.
        """
        if not tensor.spec.size:
            return b""
        return self.quantize(tensor).encode() if self._has_levels(tensor) else exact.encode(tensor, self.tile)

    def quantize(self, tensor: Tensor) -> Levels:
        """The levels that :meth:`encode` codes.

        Raises:
            SourceError: as there.
        """
        spec = tensor.spec
        weights = np.ascontiguousarray(tensor.float32())
        _, _, bad = _native.scan(weights)
        if bad:
            raise SourceError(
                f"{bad} of {spec.size} weights are not finite float32 numbers, which levels cannot express",
                tensor=spec.name,
            )
        if self.step is not None:
            most = 127
            step, codes = fit_above(weights, _float32_step(self.step), self.scale != "tensor")
        else:
            most = 2 ** (self.bits - 1) - 1
            step, codes = fit(weights, most, self._scale_a_row(spec))
        largest = min(torch.finfo(spec.dtype.torch).max, torch.finfo(torch.float32).max)
        levels = _native.quantize(weights, most, step, codes, largest)
        return Levels(levels, step, codes, tile_length(spec.rows, spec.cols, self.tile), self.pairs)

    def decode(self, payload: bytes, spec: TensorSpec, shared: Sequence[SharedObject]) -> Tensor:
        """The tensor of a payload, by the C decoder.

        Raises:
            CorruptError, UnsupportedError, ChecksumError: the payload breaks a rule of the format.
        """
        reader = _native.open_payload(
            payload,
            self.number,
            spec.dtype.number,
            spec.shape,
            [(each.kind, each.data) for each in shared],
            spec.name,
        )
        return Tensor(spec, reader.elements())

    def survey(self, tensor: Tensor) -> sharing.Survey | None:
        """Histograms of a tensor of less than 2^18 weights; None for one that cannot be encoded."""
        spec = tensor.spec
        if not 0 < spec.size < SURVEY_WEIGHTS:
            return None
        if self._has_levels(tensor):
            try:
                levels = self.quantize(tensor)
            except SourceError:
                return None
            if not levels.levels.any():
                return None
            return sharing.Survey(
                (sharing.Slot(levels.counts(), levels.pair_counts(), levels.zeros_counts()),), fixed=0
            )
        tiles = tile_count(spec.rows, spec.cols, tile_length(spec.rows, spec.cols, self.tile, BYTES_TILE))
        stored = 8 * spec.size - 12 * tiles  # codes end in unfinished bytes, once a tile; see own_table
        slots = tuple(sharing.Slot(counts, stored=stored) for counts in exact.count(exact.split(tensor)))
        # Mode, T, the kinds of the planes, and about a byte a tile for the index.
        return sharing.Survey(slots, fixed=8 * (3 + len(slots) + (tiles if tiles > 1 else 0)), raw=8 * spec.nbytes)

    def share(self, surveys: Mapping[str, object], first: int) -> Shares:
        """Groups tensors that are better off with a common table."""
        return sharing.share({n: s for n, s in surveys.items() if isinstance(s, sharing.Survey)}, first)

    def encode_shared(self, tensor: Tensor, hint: object) -> bytes:
        """As :meth:`encode`, with the tables of a hint."""
        if not isinstance(hint, sharing.Hint):
            raise TypeError(f"hint: one that share() made expected, not {type(hint).__name__}")
        if not self._has_levels(tensor):
            return exact.encode(tensor, self.tile, hint.slots)
        (slot,) = hint.slots
        if slot is None:
            return self.encode(tensor)
        index, table = slot
        return self.quantize(tensor).payload(table, index)

    def _has_levels(self, tensor: Tensor) -> bool:
        return not self.lossless and tensor.spec.dtype.is_float

    def _scale_a_row(self, spec: TensorSpec) -> bool:
        if self.scale is not None:
            return self.scale == "row"
        depthwise = len(spec.shape) >= 3 and spec.shape[1] == 1
        return spec.rows >= 2 and spec.cols >= (LONG_CHANNEL if depthwise else LONG_ROW)


def _float32_step(step: float) -> float:
    """The step as the stream can express it.

    Raises:
        ValueError: it is not a positive finite float32.
    """
    if isinstance(step, bool) or not isinstance(step, (int, float)):
        raise ValueError(f"step: a number expected, not {step!r}")
    with np.errstate(over="ignore", under="ignore"):
        rounded = float(np.float32(step))
    if not (rounded > 0 and math.isfinite(rounded)):
        raise ValueError(f"step: a positive number within the range of float32 expected, not {step!r}")
    return rounded

"""The codec's options, and what it does with a tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from neuralcodec import _native
from neuralcodec.codec import SharedObject, Shares
from neuralcodec.codecs.huffman import floats, sharing
from neuralcodec.codecs.huffman import lossless as exact
from neuralcodec.codecs.huffman.levels import Levels, fit, fit_above
from neuralcodec.codecs.huffman.tiles import BYTES_TILE, MOST, tile_count, tile_length
from neuralcodec.codecs.shaping import TOGETHER
from neuralcodec.errors import SourceError
from neuralcodec.options import check_flag, check_integer
from neuralcodec.payload import decode_payload
from neuralcodec.tensor import Tensor, TensorSpec
from neuralcodec.weights import finite_weights, largest_weight, within_float32

DEFAULT_BITS = 8

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
            size in the stream is smaller than ``bits``, because levels are entropy-coded. None for 8, except in
            tensors with a row whose bulk (the smaller 95 % of its weights) lies below its step, because of outliers:
            these are coded as floats with ``mantissa=5``, in some 9 bits a weight.
        mantissa: 1 to 23: code floats rounded to so many bits after the leading one, instead of levels.
        step: the distance between levels in units of the weights, the same for all tensors; ``bits`` then does nothing.
            Levels end at ±127. Where weights lie beyond, the step gets coarser if that loses less than clipping: of
            the rows that need it, or with ``scale="tensor"`` of the whole tensor.
        scale: "row" for a scale of its own for each row (output channel), "tensor" for one for all. None chooses:
            with ``bits`` a scale a row if there are at least two rows of at least 64 weights (then a scale costs less
            than 0.1 bit a weight), or of at least 9 in depthwise convolutions; with ``step`` it is as "row", which
            is one for all as long as no weight lies beyond 127 steps.
        tile: most weights in a tile, 1 to 65,535; None for 2,048 in tensors of up to a million weights (1,024 in
            lossless ones) and 4,096 in larger ones. A decoder on a microcontroller needs room for one tile.
        shaping: whether the errors of a row, all of which meet in one output, are made to cancel: where inputs have a
            mean, as behind ReLU, they add up there (Guo et al. 2022). It costs some hundredths of a dB. False
            for the least squared error.
        pairs: let a code stand for two levels where that is smaller: by about 2 % at 3 bits a weight, more below. Such
            codes are longer; at 3 bits and more a microcontroller may take twice as many instructions for them.

    Raises:
        ValueError: an option out of its range.
    """

    name: ClassVar[str] = "huffman"
    number: ClassVar[int] = 2
    options_if_lossless: ClassVar[tuple[str, ...]] = ("lossless", "tile")

    lossless: bool = False
    bits: int | None = None
    mantissa: int | None = None
    step: float | None = None
    scale: Literal["row", "tensor"] | None = None
    tile: int | None = None
    shaping: bool = True
    pairs: bool = True

    def __post_init__(self) -> None:
        check_integer("bits", self.bits, 2, 8)
        check_integer("mantissa", self.mantissa, 1, 23)
        check_integer("tile", self.tile, 1, MOST)
        if self.scale not in (None, "row", "tensor"):
            raise ValueError(f"scale: 'row', 'tensor' or None expected, not {self.scale!r}")
        check_flag("shaping", self.shaping)
        if self.step is not None:
            _float32_step(self.step)

    @property
    def lossy(self) -> bool:
        """Whether float tensors become levels."""
        return not self.lossless

    def with_step(self, step: float) -> Huffman:
        """The same codec with a uniform quantizer of this step, or of the nearest that float32 holds well."""
        return replace(self, lossless=False, bits=None, mantissa=None, step=within_float32(step))

    def encode(self, tensor: Tensor) -> bytes:
        """The payload of a tensor.

        Raises:
            SourceError: levels are wanted for weights that are NaN, infinite, or beyond the range of float32.
        """
        if not tensor.spec.size:
            return b""
        coded = self._as_coded(tensor)
        return coded.encode() if isinstance(coded, Levels) else exact.encode(coded, self.tile)

    def explain(self, payload: bytes) -> str:
        """What the report says of a payload besides the codec's name."""
        if self.lossless or payload[:1] != b"\x01":
            return ""
        return f"floats of {self.mantissa} mantissa bits" if self.mantissa else "as short floats: outliers in a row"

    def quantize(self, tensor: Tensor) -> Levels:
        """The levels that :meth:`encode` codes, where it codes levels.

        Raises:
            SourceError: as there.
        """
        spec = tensor.spec
        weights = finite_weights(tensor)
        if self.step is not None:
            most = 127
            step, codes = fit_above(weights, _float32_step(self.step), self.scale != "tensor")
        else:
            most = 2 ** ((self.bits or DEFAULT_BITS) - 1) - 1
            step, codes = fit(weights, most, self._scale_a_row(spec))
        together = TOGETHER if self.shaping else 0.0
        levels = _native.quantize(weights, most, step, codes, largest_weight(spec.dtype), together)
        return Levels(levels, step, codes, tile_length(spec.rows, spec.cols, self.tile), self.pairs)

    def decode(self, payload: bytes, spec: TensorSpec, shared: Sequence[SharedObject]) -> Tensor:
        """The tensor of a payload, by the C decoder.

        Raises:
            CorruptError, UnsupportedError, ChecksumError: the payload breaks a rule of the format.
        """
        return decode_payload(payload, self.number, spec, shared)

    def survey(self, tensor: Tensor) -> sharing.Survey | None:
        """Histograms of a tensor of less than 2^18 weights; None for one that cannot be encoded."""
        spec = tensor.spec
        if not 0 < spec.size < SURVEY_WEIGHTS:
            return None
        try:
            coded = self._as_coded(tensor)
        except SourceError:
            return None
        if isinstance(coded, Levels):
            if not coded.levels.any():
                return None
            return sharing.Survey((sharing.Slot(coded.counts(), coded.pair_counts(), coded.zeros_counts()),), fixed=0)
        tiles = tile_count(spec.rows, spec.cols, tile_length(spec.rows, spec.cols, self.tile, BYTES_TILE))
        stored = 8 * spec.size - 12 * tiles  # codes end in unfinished bytes, once a tile; see own_table
        slots = tuple(sharing.Slot(counts, stored=stored) for counts in exact.count(exact.split(coded)))
        # Mode, T, the kinds of the planes, and about a byte a tile for the index.
        return sharing.Survey(slots, fixed=8 * (3 + len(slots) + (tiles if tiles > 1 else 0)), raw=8 * spec.nbytes)

    def share(self, surveys: Mapping[str, object], first: int) -> Shares:
        """Groups tensors that are better off with a common table."""
        return sharing.share({n: s for n, s in surveys.items() if isinstance(s, sharing.Survey)}, first)

    def encode_shared(self, tensor: Tensor, hint: object) -> bytes:
        """As :meth:`encode`, with the tables of a hint."""
        if not isinstance(hint, sharing.Hint):
            raise TypeError(f"hint: one that share() made expected, not {type(hint).__name__}")
        coded = self._as_coded(tensor)
        if not isinstance(coded, Levels):
            return exact.encode(coded, self.tile, hint.slots)
        (slot,) = hint.slots
        if slot is None:
            return coded.encode()
        index, table = slot
        return coded.payload(table, index)

    def _as_coded(self, tensor: Tensor) -> Levels | Tensor:
        """The levels of a tensor, or the elements whose bytes are coded."""
        if self.lossless or not tensor.spec.dtype.is_float:
            return tensor
        if self.mantissa is not None:
            return floats.shorten(tensor, self.mantissa)
        levels = self.quantize(tensor)
        chooses = self.bits is None and self.step is None and self.scale is None
        if chooses and floats.has_outliers(tensor.float32(), levels.levels, levels.scales()):
            return floats.shorten(tensor, floats.OUTLIER_MANTISSA)
        return levels

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

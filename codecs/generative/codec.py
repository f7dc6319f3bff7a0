"""The codec's options, and what it does with a tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from neuralcodec import _native
from neuralcodec.codec import Codec, SharedObject, Shares
from neuralcodec.codecs.generative.coding import (
    EXACT,
    Choice,
    Matrix,
    Rates,
    coded_exactly,
    every_rates,
    read_head,
)
from neuralcodec.codecs.generative.known import KnownPayload
from neuralcodec.codecs.generative.quantizing import quantize
from neuralcodec.codecs.generative.tuning import Survey, share
from neuralcodec.codecs.huffman import Huffman
from neuralcodec.codecs.huffman.tiles import MOST, tile_length
from neuralcodec.codecs.trellis.codec import RELATIVE_STEP, Trellis
from neuralcodec.errors import SourceError
from neuralcodec.options import check_flag, check_integer
from neuralcodec.payload import decode_payload
from neuralcodec.tensor import Tensor, TensorSpec

STEPS = 4
"""Passes over the levels in which the prior is tuned."""

MOST_STEPS = 64


@dataclass(frozen=True)
class Generative:
    """Levels of a trellis, coded by a model of networks' weights that goes on learning: for the smallest files.

    The model predicts each bit of a level from the levels before it: running magnitudes along the row and down the
    column, the place in the kernel, neighbours, and a linear prediction of the value that adapts (normalized least mean
    squares: Widrow and Hoff 1960; Nagumo and Noda 1967). What the contexts have seen is mixed in the logistic domain
    (Mahoney 2005), by weights that adapt too. It begins with what it has learned from many networks, which is part of
    every decoder. Integers only: the same bytes give the same levels everywhere. The decoder takes some 250 KB of RAM:
    it is for hosts, for large microcontrollers, and for updates that are expanded once.

    Attributes:
        states: as in codec trellis.
        step: as in codec trellis; what a target sets.
        relative_step: as in codec trellis.
        rdo: as in codec trellis.
        reconstruction: as in codec trellis.
        shaping: as in codec trellis.
        scan: as in codec trellis.
        small: as in codec trellis.
        tune: fine-tune to the model at hand. All rates at which the model may adapt are tried, and either direction;
            then weights that tiles begin with are learned from the levels of all tensors, in so many passes, 1 to 64,
            or four with True. They go into the file only if that makes it smaller. Some thirty times the time of coding
            levels, and memory for the levels of all tensors, for half a percent; for two in tiles of 2,048. With
            ``lossless`` it is the rates only.
        lossless: keep every element. Integers of 8 bits, and the exponents of floats, are coded as levels are; all else
            is stored. Tensors of which codec huffman, which also codes lower bytes, makes less are left to it.
        tile: most weights in a tile, 1 to 65,535. The model begins afresh with each, so that few and long ones make
            the file smallest.

    Raises:
        ValueError: an option out of its range.
    """

    name: ClassVar[str] = "generative"
    number: ClassVar[int] = 6
    weighted: ClassVar[bool] = True
    options_if_lossless: ClassVar[tuple[str, ...]] = ("lossless", "tile", "tune")

    states: int = 8
    step: float | None = None
    relative_step: float | None = None
    rdo: float = 1.0
    reconstruction: Literal["norm", "error"] = "norm"
    shaping: bool | None = None
    scan: Literal["auto", "rows", "columns"] = "auto"
    small: int | Literal["auto"] | None = "auto"
    tune: bool | int = False
    lossless: bool = False
    tile: int = MOST

    def __post_init__(self) -> None:
        check_integer("tile", self.tile, 1, MOST)
        check_flag("lossless", self.lossless)
        if not isinstance(self.tune, bool):
            check_integer("tune", self.tune, 0, MOST_STEPS)
        _ = self._quantizer  # which checks the rest

    @property
    def lossy(self) -> bool:
        """Whether decoded weights may differ: not with ``lossless``."""
        return not self.lossless

    def for_small(self, target: bool) -> Codec | None:
        """What takes the tensors that are too small, if the model is to meet a target or not; None: exact."""
        return self._quantizer.for_small(target)

    def with_step(self, step: float) -> Generative:
        """The same codec at about the distortion of a uniform quantizer with this step."""
        return replace(self, step=self._quantizer.with_step(step).step, relative_step=None)

    def with_usual_step(self, factor: float) -> Generative:
        """The same codec at its usual step times a factor; itself if an option says what the step is."""
        if self.step is not None or self.relative_step is not None:
            return self
        return replace(self, relative_step=RELATIVE_STEP * factor)

    def choose(self, tensor: Tensor) -> Codec:
        """This codec; where it is lossless, and codec huffman takes less, that one: it codes the lower bytes, too."""
        if not self.lossless or not tensor.spec.size:
            return self
        other = Huffman(lossless=True)
        return other if len(other.encode(tensor)) <= len(self._exactly(tensor)) else self

    def encode(self, tensor: Tensor) -> bytes:
        """The payload of a tensor.

        Raises:
            SourceError: weights that are NaN, infinite, or beyond the range of float32; none of it if lossless.
        """
        if not tensor.spec.size:
            return b""
        if self.lossless:
            return self._exactly(tensor)
        choice, payload = self._best(tensor)
        return KnownPayload(payload, choice.matrix.levels, choice.step, choice.columns)

    def survey(self, tensor: Tensor) -> object | None:
        """The levels of a tensor, where the prior is to be tuned to them; None for one that cannot be encoded."""
        if not self.tune or self.lossless or not tensor.spec.size:
            return None
        try:
            return Survey(*self._best(tensor))
        except SourceError:
            return None

    def share(self, surveys: Mapping[str, object], first: int) -> Shares:
        """Tunes the prior, if that pays."""
        steps = STEPS if self.tune is True else int(self.tune)
        return share({name: each for name, each in surveys.items() if isinstance(each, Survey)}, first, steps)

    def encode_shared(self, tensor: Tensor, hint: object) -> bytes:
        """The payload that :meth:`share` has made.

        Raises:
            TypeError: the hint is not of that method.
        """
        if not isinstance(hint, bytes):
            raise TypeError(f"hint: one that share() made expected, not {type(hint).__name__}")
        return hint

    def decode(self, payload: bytes, spec: TensorSpec, shared: Sequence[SharedObject]) -> Tensor:
        """The tensor of a payload, by the C decoder; of one that :meth:`encode` has just made, from the levels it has.

        Raises:
            CorruptError, UnsupportedError, ChecksumError: the payload breaks a rule of the format, or names a version
                of the prior that this decoder does not have.
        """
        if isinstance(payload, KnownPayload):
            return payload.tensor(spec)
        return decode_payload(payload, self.number, spec, shared)

    def explain(self, payload: bytes) -> str:
        """What the report says of a payload besides the codec's name."""
        if payload[0] & EXACT:
            return "lossless"
        return "tuned" if read_head(payload).is_tuned else ""

    @property
    def _quantizer(self) -> Trellis:
        return Trellis(
            states=self.states,
            step=self.step,
            relative_step=self.relative_step,
            rdo=self.rdo,
            skip=False,  # the model makes zeros next to free
            finer=False,  # no gain here: the model makes zeros so cheap that more of them pay at the usual step
            reconstruction=self.reconstruction,
            shaping=self.shaping,
            scan=self.scan,
            room=None,
            small=self.small,
            tile=self.tile,
        )

    def _best(self, tensor: Tensor) -> tuple[Choice, bytes]:
        """The smallest of what there is to choose from, and its payload."""
        return min(((each, each.payload()) for each in self._choices(tensor)), key=lambda found: len(found[1]))

    def _choices(self, tensor: Tensor) -> Iterator[Choice]:
        quantizer = self._quantizer
        scans: tuple[Literal["auto", "rows", "columns"], ...] = (self.scan,)
        if self.tune and self.scan == "auto":
            scans = ("rows", "columns")
        for scan in scans:
            found = quantize(tensor, replace(quantizer, scan=scan))
            kernel = 1 if found.columns else kernel_of(tensor.spec)
            states_log2 = self.states.bit_length() - 1
            matrix = Matrix(found.levels, found.tile, states_log2, kernel)
            for rates in every_rates() if self.tune else (Rates(),):
                yield Choice(matrix, rates, found.step, found.columns)

    def _exactly(self, tensor: Tensor) -> bytes:
        spec = tensor.spec
        planes = _native.split_planes(tensor.data, spec.dtype.itemsize, spec.dtype.rotated)
        center = middle(planes[0]) if spec.dtype.itemsize > 1 or spec.dtype.name != "i8" else 0
        tile = tile_length(spec.rows, spec.cols, self.tile)
        levels = (planes[0] - np.uint8(center)).view(np.int8).astype(np.int16).reshape(spec.rows, spec.cols)
        matrix = Matrix(levels, tile, 0, kernel_of(spec))
        tries = every_rates() if self.tune else (Rates(),)
        return min(
            (coded_exactly(planes, matrix, center, rates) for rates in tries),
            key=len,
        )


def kernel_of(spec: TensorSpec) -> int:
    """Columns after which places in the kernel repeat: the product of the dimensions after the second."""
    return max(math.prod(spec.shape[2:]), 1)


def middle(plane: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> int:
    """The commonest byte of a plane, the least of several."""
    return int(np.bincount(plane, minlength=256).argmax())

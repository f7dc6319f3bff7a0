"""The codec's options, and what it does with a tensor."""

from __future__ import annotations

import functools
import math
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codec import Codec, SharedObject, Shares
from neuralcodec.codecs.autoencoder.predictor import MOST_TAPS, NONE, Predictor, Scan, Weights, best
from neuralcodec.codecs.autoencoder.tuning import Sample, tuned
from neuralcodec.codecs.huffman.tiles import MOST
from neuralcodec.codecs.small import Small, check_small, for_small
from neuralcodec.dtypes import DType
from neuralcodec.errors import PlanError, SourceError
from neuralcodec.models.autoencoder_model import is_model
from neuralcodec.options import check_choice, check_integer, check_number
from neuralcodec.payload import decode_payload
from neuralcodec.tensor import Tensor, TensorSpec
from neuralcodec.varint import varint
from neuralcodec.weights import TINIEST, counted, finite_weights, largest_weight, norm_step, within_float32

WIDE, COLUMNS, SHARED, ZEROS = 1, 2, 4, 8
"""Bits of the mode."""

MODEL = 6
"""Kind of a shared object."""

UNIVERSAL = 1
"""Version of the universal model that streams name."""

LAGRANGIAN = 0.1
"""λ in squared steps a bit: about half the slope of D(R), 2 ln 2 · step²/12, at high rates."""

RELATIVE_STEP = 0.06
"""Step over the root mean square of a tensor, unless an option says what it is: for the SNR of codec trellis."""

FRACTION_BITS = 3
"""Levels between residuals, as a power of two, where levels are predicted: predictions have to be finer than steps."""

SAMPLE = 1 << 16
"""Most weights of a tensor that classes are compared on, and that the model is fine-tuned on."""

MOST_ROUNDS = 100
MOST_LEVEL = 32_000

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Autoencoder:
    """A linear transform fitted to each tensor, and a prior learned from many networks; decodes with integers alone.

    A weight is predicted from those before it by a few coefficients; what is left is quantized by rate and distortion
    and coded with tables that are picked by a predicted spread. Those tables, and what predicts the spread, were
    learned from other networks (docs/models.md), so that the file needs none.

    Attributes:
        step: distance between residuals in units of the weights, the same for all tensors; what a target sets.
        relative_step: without a step: that distance over the root mean square of the tensor, the same for all tensors.
            None for 0.06 in the mean of a model's weights, and finer steps in tensors of few of them.
        rdo: weight of the rate, over the usual one; 0 takes the nearest levels.
        reconstruction: "norm", which keeps accuracy, or "error", for the least squared error; as in codec trellis.
        taps: most weights that one is predicted from, 0 to 8; 0 for no transform.
        levels: "int8" keeps levels on the grid of the step, so that int8 kernels can take them at all but high rates,
            for somewhat larger files; "auto" takes finer levels where weights are predicted.
        tune: rounds of fine-tuning the universal model on the tensors at hand: tables of their own then travel in the
            file, where they save more than they take. 0 for none.
        prior: path of a model that ``neuralcodec train-codec`` made, which then travels in the file; None for the
            universal one, which decoders have.
        small: bits of the mantissa that tensors keep which are too small for the codec, such as biases and norms; None
            keeps them exact. "auto" is 7, for a relative error of 2^-8 at most, with a target or a step, and else
            None.
        tile: most weights in a tile, 1 to 65,535; None for 2,048. Larger ones make files smaller, and decoders take
            more memory.

    Raises:
        ValueError: an option out of its range.
    """

    name: ClassVar[str] = "autoencoder"
    number: ClassVar[int] = 5
    weighted: ClassVar[bool] = True

    step: float | None = None
    relative_step: float | None = None
    rdo: float = 1.0
    reconstruction: Literal["norm", "error"] = "norm"
    taps: int = 6
    levels: Literal["auto", "int8"] = "auto"
    tune: int = 0
    prior: str | None = None
    small: Small = "auto"
    tile: int | None = None

    def __post_init__(self) -> None:
        check_integer("taps", self.taps, 0, MOST_TAPS)
        check_integer("tile", self.tile, 1, MOST)
        check_choice("reconstruction", self.reconstruction, ("norm", "error"))
        check_choice("levels", self.levels, ("auto", "int8"))
        check_integer("tune", self.tune, 0, MOST_ROUNDS)
        if self.tune and self.prior is not None:
            raise ValueError("tune: fine-tunes the universal model: not with prior")
        prior: object = self.prior
        if isinstance(prior, os.PathLike):
            object.__setattr__(self, "prior", os.fspath(prior))
        elif prior is not None and not isinstance(prior, str):
            raise ValueError(f"prior: a path or None expected, not {prior!r}")
        check_small(self.small)
        check_number("rdo", self.rdo, 0, 1e6)
        if self.relative_step is not None:
            check_number("relative_step", self.relative_step, TINIEST)
        if self.step is not None:
            check_number("step", self.step, TINIEST)

    @property
    def lossy(self) -> bool:
        """Whether decoded weights may differ: always."""
        return True

    def for_small(self, target: bool) -> Codec | None:
        """What takes the tensors that are too small, if the model is to meet a target or not; None: exact."""
        return for_small(self.small, target or self.step is not None)

    def with_step(self, step: float) -> Autoencoder:
        """The same codec at about the distortion of a uniform quantizer with this step."""
        return replace(self, step=within_float32(step), relative_step=None)

    def with_usual_step(self, factor: float) -> Autoencoder:
        """The same codec at its usual step times a factor; itself if an option says what the step is."""
        if self.step is not None or self.relative_step is not None:
            return self
        return replace(self, relative_step=RELATIVE_STEP * factor)

    def encode(self, tensor: Tensor) -> bytes:
        """The payload of a tensor.

        Raises:
            SourceError: weights that are NaN, infinite, or beyond the range of float32.
            PlanError: the file of ``prior`` is not one.
        """
        if self.prior is not None:
            raise PlanError("a model of one's own is shared by all tensors: use neuralcodec.encode()")
        return self._payload(tensor, None)

    def decode(self, payload: bytes, spec: TensorSpec, shared: Sequence[SharedObject]) -> Tensor:
        """The tensor of a payload, by the C decoder.

        Raises:
            CorruptError, UnsupportedError, ChecksumError: the payload breaks a rule of the format.
        """
        return decode_payload(payload, self.number, spec, shared)

    def survey(self, tensor: Tensor) -> Sample | Literal[True] | None:
        """What fine-tuning wants to know of a tensor, or that it uses the model of ``prior``; else None."""
        if not tensor.spec.size or (self.prior is None and not self.tune):
            return None
        if self.prior is not None:
            return True
        try:
            weights = finite_weights(tensor)
        except SourceError:
            return None
        return self._sample(tensor, weights) if weights.any() else None

    def share(self, surveys: Mapping[str, object], first: int) -> Shares:
        """The model of the option ``prior`` for all tensors, or a tuned one for those that it pays for.

        Raises:
            PlanError: the file of ``prior`` is not one.
        """
        if self.prior is not None and surveys:
            data = _read(self.prior)
            return Shares((SharedObject(MODEL, data),), {name: Hint(first, data) for name in surveys})
        samples = {name: each for name, each in surveys.items() if isinstance(each, Sample)}
        if not samples:
            return Shares((), {})
        found = tuned(samples, _universal(), UNIVERSAL, self.tune, LAGRANGIAN * self.rdo)
        if found is None:
            return Shares((), {})
        hints = {name: Hint(first, found.model, index) for name, index in found.classes.items()}
        return Shares((SharedObject(MODEL, found.model),), hints)

    def encode_shared(self, tensor: Tensor, hint: object) -> bytes:
        """As :meth:`encode`, with the model of a hint."""
        if not isinstance(hint, Hint):
            raise TypeError(f"hint: one that share() made expected, not {type(hint).__name__}")
        return self._payload(tensor, hint)

    def explain(self, payload: bytes) -> str:
        """What the report says of a payload besides the codec's name."""
        if payload[0] & ZEROS:
            return ""
        said = ["down the columns"] if payload[0] & COLUMNS else []
        return ", ".join([*said, "prior in the file"] if payload[0] & SHARED else said)

    def _step(self, weights: Weights, dtype: DType) -> float:
        largest, energy, _ = _native.scan(weights)
        step = self.step
        if step is None:
            relative = RELATIVE_STEP if self.relative_step is None else self.relative_step
            step = relative * math.sqrt(energy / weights.size)
        return min(max(step, largest / MOST_LEVEL, TINIEST), largest_weight(dtype) / 4.001)

    def _payload(self, tensor: Tensor, hint: Hint | None) -> bytes:
        spec = tensor.spec
        if not spec.size:
            return b""
        weights = finite_weights(tensor)
        if not weights.any():
            return (
                bytes([ZEROS]) + varint(best(weights, spec.shape, 1.0, 0, self.tile)[0].tile) + struct.pack("<f", 1.0)
            )
        made = self._prepared(tensor, weights)
        data = np.frombuffer(_universal() if hint is None else hint.model, np.uint8)
        importance = counted(tensor)
        counts = None if importance is None else made.scan.ordered(importance)
        coded = self._coded(made, counts, data, None if hint is None else hint.chosen)
        scan, predictor = made.scan, made.predictor
        if not coded.levels.any():
            return bytes([ZEROS]) + varint(scan.tile) + struct.pack("<f", made.unit)
        unit = made.unit
        if self.reconstruction == "norm":
            unit = norm_step(unit, made.ordered, coded.levels, counts, spec.dtype)
        mode = COLUMNS if scan.columns else 0
        mode |= WIDE if coded.levels.min() < -128 or coded.levels.max() > 127 else 0
        mode |= SHARED if hint is not None else 0
        return b"".join(
            (
                bytes([mode]),
                varint(scan.tile),
                struct.pack("<f", unit),
                varint(UNIVERSAL if hint is None else hint.index),
                bytes([coded.index, scan.period - 1, len(predictor.lags) | made.fraction_bits << 4]),
                struct.pack("<i", predictor.bias_units(made.unit)),
                *(struct.pack("<Hb", *tap) for tap in zip(predictor.lags, predictor.coefficients, strict=True)),
                _native.tile_index(coded.sizes),
                coded.data,
            )
        )

    def _prepared(self, tensor: Tensor, weights: Weights) -> Prepared:
        """The transform, and weights in the order and the unit that they are coded in."""
        step = self._step(weights, tensor.spec.dtype)
        scan, predictor = best(weights, tensor.spec.shape, step, self.taps, self.tile)
        if not self.taps:
            predictor = replace(NONE, variance=predictor.variance)
        fraction = FRACTION_BITS if predictor.predicts and self.levels == "auto" else 0
        largest, _, _ = _native.scan(weights)
        limit = largest_weight(tensor.spec.dtype)
        while fraction and (largest * (1 << fraction) / step > MOST_LEVEL or limit * (1 << fraction) / step < 1024):
            fraction -= 1
        unit = float(np.float32(max(step / (1 << fraction), TINIEST)))
        most = max(min(math.floor(limit / unit), 32767), 1)
        return Prepared(scan, predictor, fraction, unit, most, scan.ordered(weights) / np.float32(unit))

    def _coded(self, made: Prepared, counts: Weights | None, model: Bytes, index: int | None) -> Coded:
        """With a class of the model; None: that which takes fewest bits. ``counts``: importance, in the order coded."""
        native, lagrangian = made.native, LAGRANGIAN * self.rdo
        if index is None:
            index = _shortest(made, counts, model, lagrangian)
        levels, data, sizes, _ = _native.autoencoder_encode(
            native, model, index, made.ordered, lagrangian, made.most, counts
        )
        return Coded(levels, data, sizes, index)

    def _sample(self, tensor: Tensor, weights: Weights) -> Sample:
        made, importance = self._prepared(tensor, weights), counted(tensor)
        rows = _lines(made.ordered, made.scan.tile)
        part = made.ordered[rows]
        return Sample(
            made.native,
            part,
            None if importance is None else made.scan.ordered(importance)[rows],
            made.most,
            1 << made.fraction_bits,
            max(round(made.ordered.size / part.size), 1),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Hint:
    """A model that travels in the file.

    Attributes:
        index: among the shared objects.
        model: its bytes.
        chosen: class; None for the one that takes fewest bits.
    """

    index: int
    model: bytes
    chosen: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What is coded, and how.

    Attributes:
        scan, predictor: the transform.
        fraction_bits: log2 of the levels between residuals.
        unit: distance between levels.
        most: largest level.
        ordered: weights over ``unit``, in the order they are coded.
    """

    scan: Scan
    predictor: Predictor
    fraction_bits: int
    unit: float
    most: int
    ordered: Weights

    @property
    def native(self) -> _native.AutoencoderPredictor:
        """For the native kernels."""
        return self.predictor.native(self.scan, self.fraction_bits, self.unit)


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """Levels and their code.

    Attributes:
        levels: in the order they are coded.
        data: all tiles.
        sizes: bytes of each.
        index: class of the model.
    """

    levels: npt.NDArray[np.int16]
    data: bytes
    sizes: npt.NDArray[np.uint32]
    index: int


@functools.cache
def _universal() -> bytes:
    found = _native.autoencoder_universal(UNIVERSAL)
    assert found is not None
    return found


def _shortest(made: Prepared, counts: Weights | None, model: Bytes, lagrangian: float) -> int:
    """The class that codes a part of the weights in fewest bits."""
    rows = _lines(made.ordered, made.scan.tile)
    part, counted_part = made.ordered[rows], None if counts is None else counts[rows]
    native = made.native
    bits = [
        _native.autoencoder_encode(native, model, i, part, lagrangian, made.most, counted_part)[3]
        for i in range(int(model[1]) + 1)
    ]
    return bits.index(min(bits))


def _read(path: str) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise PlanError(f"prior: {path} cannot be read: {error}") from error
    if not is_model(data):
        raise PlanError(f"prior: {path} is not a model of codec autoencoder")
    return data


def _lines(weights: Weights, tile: int) -> npt.NDArray[np.int64]:
    """Rows of whole tiles from all over a large matrix, about ``SAMPLE`` weights of them."""
    rows, columns = weights.shape
    height = max(tile // columns, 1)
    tiles = -(-rows // height)
    wanted = min(max(SAMPLE // (height * columns), 1), tiles)
    drawn = np.arange(wanted) * tiles // wanted
    lines: npt.NDArray[np.int64] = (drawn[:, None] * height + np.arange(height)).reshape(-1)
    found: npt.NDArray[np.int64] = lines[lines < rows]
    return found

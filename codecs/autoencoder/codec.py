"""The codec's options, and what it does with a tensor."""

from __future__ import annotations

import functools
import math
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
from neuralcodec.codecs.huffman import Huffman
from neuralcodec.codecs.huffman.tiles import MOST
from neuralcodec.dtypes import DType
from neuralcodec.errors import PlanError
from neuralcodec.options import check_integer, check_number
from neuralcodec.tensor import Tensor, TensorSpec
from neuralcodec.varint import varint
from neuralcodec.weights import counted, finite_weights, largest_weight

WIDE, COLUMNS, SHARED, ZEROS = 1, 2, 4, 8
"""Bits of the mode."""

MODEL = 6
"""Kind of a shared object."""

UNIVERSAL = 1
"""Version of the universal model that streams name."""

LAGRANGIAN = 0.1
"""λ in squared steps a bit: about half the slope of D(R), 2 ln 2 · step²/12, at high rates."""

RELATIVE_STEP = 0.04
"""Step over the root mean square of a tensor, unless a step is given: an SNR of about 40 dB, as of codec trellis."""

FRACTION_BITS = 3
"""Levels between residuals, as a power of two, where levels are predicted: predictions have to be finer than steps."""

SMALL = 10
"""Bits of the mantissa of small tensors, where bytes count."""

SAMPLE = 1 << 16
"""Most weights that classes are compared on."""

TINIEST = 2.0**-126
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
        relative_step: without a step: that distance over the root mean square of the tensor.
        rdo: weight of the rate, over the usual one; 0 takes the nearest levels.
        taps: most weights that one is predicted from, 0 to 8; 0 for no transform.
        levels: "int8" keeps levels on the grid of the step, so that int8 kernels can take them at all but high rates,
            for somewhat larger files; "auto" takes finer levels where weights are predicted.
        prior: path of a model that ``neuralcodec train-codec`` made, which then travels in the file; None for the
            universal one, which decoders have.
        small: bits of the mantissa that tensors keep which are too small for the codec, such as biases and norms; None
            keeps them exact. "auto" is 10, for a relative error of 2^-11, with a target or a step, and else None.
        tile: most weights in a tile, 1 to 65,535; None for 2,048. Larger ones make files smaller, and decoders take
            more memory.

    Raises:
        ValueError: an option out of its range.
    """

    name: ClassVar[str] = "autoencoder"
    number: ClassVar[int] = 5
    weighted: ClassVar[bool] = True

    step: float | None = None
    relative_step: float = RELATIVE_STEP
    rdo: float = 1.0
    taps: int = 6
    levels: Literal["auto", "int8"] = "auto"
    prior: str | None = None
    small: int | Literal["auto"] | None = "auto"
    tile: int | None = None

    def __post_init__(self) -> None:
        check_integer("taps", self.taps, 0, MOST_TAPS)
        check_integer("tile", self.tile, 1, MOST)
        if self.levels not in {"auto", "int8"}:
            raise ValueError(f"levels: 'auto' or 'int8' expected, not {self.levels!r}")
        if self.prior is not None and not isinstance(self.prior, str):
            raise ValueError(f"prior: a path or None expected, not {self.prior!r}")
        if self.small != "auto":
            check_integer("small", self.small, 1, 23)
        check_number("rdo", self.rdo, 0)
        check_number("relative_step", self.relative_step, 1e-6)
        if self.step is not None:
            check_number("step", self.step, TINIEST)

    @property
    def lossy(self) -> bool:
        """Whether decoded weights may differ: always."""
        return True

    def for_small(self, target: bool) -> Codec | None:
        """What takes the tensors that are too small, if the model is to meet a target or not; None: exact."""
        small = (SMALL if target or self.step is not None else None) if self.small == "auto" else self.small
        return None if small is None else Huffman(mantissa=small)

    def with_step(self, step: float) -> Autoencoder:
        """The same codec at about the distortion of a uniform quantizer with this step."""
        return replace(self, step=min(max(step, TINIEST), 2.0**120))

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
        objects = [(each.kind, each.data) for each in shared]
        reader = _native.open_payload(payload, self.number, spec.dtype.number, spec.shape, objects, spec.name)
        return Tensor(spec, reader.elements())

    def survey(self, tensor: Tensor) -> object | None:
        """Whether the tensor will use a model that travels in the file."""
        return True if self.prior is not None and tensor.spec.size else None

    def share(self, surveys: Mapping[str, object], first: int) -> Shares:
        """The model of the option ``prior``, for all tensors.

        Raises:
            PlanError: its file is not one.
        """
        if self.prior is None or not surveys:
            return Shares((), {})
        data = _read(self.prior)
        return Shares((SharedObject(MODEL, data),), {name: Hint(first, data) for name in surveys})

    def encode_shared(self, tensor: Tensor, hint: object) -> bytes:
        """As :meth:`encode`, with the model of a hint."""
        if not isinstance(hint, Hint):
            raise TypeError(f"hint: one that share() made expected, not {type(hint).__name__}")
        return self._payload(tensor, hint)

    def explain(self, payload: bytes) -> str:
        """What the report says of a payload besides the codec's name."""
        return "down the columns" if payload[0] & COLUMNS and not payload[0] & ZEROS else ""

    def _step(self, weights: Weights, dtype: DType) -> float:
        largest, energy, _ = _native.scan(weights)
        step = self.step
        if step is None:
            step = self.relative_step * math.sqrt(energy / weights.size)
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
        step = self._step(weights, spec.dtype)
        scan, predictor = best(weights, spec.shape, step, self.taps, self.tile)
        if not self.taps:
            predictor = replace(NONE, variance=predictor.variance)
        data = np.frombuffer(_universal() if hint is None else hint.model, np.uint8)
        coded = self._coded(tensor, weights, step, scan, predictor, data)
        if not coded.levels.any():
            return bytes([ZEROS]) + varint(scan.tile) + struct.pack("<f", coded.unit)
        mode = COLUMNS if scan.columns else 0
        mode |= WIDE if coded.levels.min() < -128 or coded.levels.max() > 127 else 0
        mode |= SHARED if hint is not None else 0
        return b"".join(
            (
                bytes([mode]),
                varint(scan.tile),
                struct.pack("<f", coded.unit),
                varint(UNIVERSAL if hint is None else hint.index),
                bytes([coded.index, scan.period - 1, len(predictor.lags) | coded.fraction_bits << 4]),
                struct.pack("<i", predictor.bias_units(coded.unit)),
                *(struct.pack("<Hb", *tap) for tap in zip(predictor.lags, predictor.coefficients, strict=True)),
                _native.tile_index(coded.sizes),
                coded.data,
            )
        )

    def _coded(  # noqa: PLR0917
        self, tensor: Tensor, weights: Weights, step: float, scan: Scan, predictor: Predictor, model: Bytes
    ) -> Coded:
        """With the class of the model that takes fewest bits."""
        fraction = FRACTION_BITS if predictor.predicts and self.levels == "auto" else 0
        largest, _, _ = _native.scan(weights)
        limit = largest_weight(tensor.spec.dtype)
        while fraction and (largest * (1 << fraction) / step > MOST_LEVEL or limit * (1 << fraction) / step < 1024):
            fraction -= 1
        unit = float(np.float32(max(step / (1 << fraction), TINIEST)))
        most = max(min(math.floor(limit / unit), 32767), 1)
        ordered = scan.ordered(weights) / np.float32(unit)
        importance = counted(tensor)
        counts = None if importance is None else scan.ordered(importance)
        native = predictor.native(scan, fraction, unit)
        lagrangian = LAGRANGIAN * self.rdo
        rows = _lines(ordered, scan.tile)
        sample = ordered[rows], None if counts is None else counts[rows]
        bits = [
            _native.autoencoder_encode(native, model, i, sample[0], lagrangian, most, sample[1])[3]
            for i in range(int(model[1]) + 1)
        ]
        index = bits.index(min(bits))
        levels, data, sizes, _ = _native.autoencoder_encode(native, model, index, ordered, lagrangian, most, counts)
        return Coded(levels, data, sizes, index, fraction, unit)


@dataclass(frozen=True, slots=True, eq=False)
class Hint:
    """A model that travels in the file, and its index among the shared objects."""

    index: int
    model: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """Levels and their code.

    Attributes:
        levels: in the order they are coded.
        data: all tiles.
        sizes: bytes of each.
        index: class of the model.
        fraction_bits: log2 of the levels between residuals.
        unit: distance between levels.
    """

    levels: npt.NDArray[np.int16]
    data: bytes
    sizes: npt.NDArray[np.uint32]
    index: int
    fraction_bits: int
    unit: float


@functools.cache
def _universal() -> bytes:
    found = _native.autoencoder_universal(UNIVERSAL)
    assert found is not None
    return found


def _read(path: str) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise PlanError(f"prior: {path} cannot be read: {error}") from error
    try:
        _native.autoencoder_encode(
            _native.AutoencoderPredictor(1, 1, 0, 0, [], []),
            np.frombuffer(data, np.uint8),
            0,
            np.zeros((1, 1), np.float32),
            0.0,
            127,
        )
    except ValueError as error:
        raise PlanError(f"prior: {path} is not a model of codec autoencoder") from error
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

"""The codec's options, and what it does with a tensor."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codec import Codec, SharedObject, Shares
from neuralcodec.codecs.huffman.tiles import MOST, tile_length
from neuralcodec.codecs.shaping import together
from neuralcodec.codecs.small import Small, check_small, for_small
from neuralcodec.codecs.trellis.classes import MOST_NARROW, ROOM, span
from neuralcodec.codecs.trellis.groups import Counts, grouped, prefers_columns, profile
from neuralcodec.codecs.trellis.model import MODEL, Model
from neuralcodec.codecs.trellis.parts import Part, Step, mean_square, ordered_part, search, search_all, shaped
from neuralcodec.codecs.trellis.revision import is_too_large, recounted, widened
from neuralcodec.codecs.trellis.rows import alive, coded_rows, grouped_bits, of_rows
from neuralcodec.codecs.trellis.sampling import SAMPLE, SAMPLES, piece, thinned
from neuralcodec.codecs.trellis.settings import Coding, Settings
from neuralcodec.codecs.trellis.steps import fineness
from neuralcodec.codecs.trellis.training import SPARE, Trained, train
from neuralcodec.dtypes import DType
from neuralcodec.errors import SourceError
from neuralcodec.options import check_choice, check_flag, check_integer, check_number
from neuralcodec.payload import decode_payload
from neuralcodec.tensor import Tensor, TensorSpec
from neuralcodec.varint import varint
from neuralcodec.weights import TINIEST, finite_weights, largest_weight, norm_step, within_float32

WIDE, COLUMNS, SHARED, ZEROS, SKIP = 1, 2, 4, 32, 64
"""Bits of the mode."""

LAGRANGIAN = 0.4
"""λ in squared distances between levels a bit, at two quantizers of twice that distance."""

RELATIVE_STEP = 0.03
"""Distance between levels over the root mean square of a tensor, unless an option says what it is: some 36 dB.

In a model it is the mean over all weights, and tensors of few weights have finer steps. For the accuracy of the
benchmark's networks that is as good as two thirds of it in every tensor, and takes half a bit a weight less."""

STEP_RATIO = 0.5
"""Distance between levels over the step of a uniform quantizer of about the same distortion."""

LIGHT_TABLES = 5
"""So many tables a quantizer find room where they have 256 slots."""

STATES = (1, 4, 8, 16, 32, 64, 128, 256)

STATES_OF_OTHERS, STATES_OF_PREFIX = 64, 16
"""Unless an option says so. With so many, tables of prefix codes take half the RAM, for half a per cent of a file."""

MOST_LEVEL = 32_600
"""Largest magnitude of a weight over the step; what is coded may be a few levels away."""

MOST_BYTE = MOST_NARROW - ROOM
"""The same where levels have 8 bits."""

SMALL_LEVELS = 4.001
"""Levels up to 4 have to give finite weights, as there must be one for each step through the trellis."""


@dataclass(frozen=True)
class Trellis:
    """Rate-distortion-optimal trellis coded quantization, coded with rANS; the smallest files at a given distortion.

    Levels come from two quantizers, the even and the odd multiples of a step, between which a trellis switches
    (Marcellin and Fischer 1990; Fischer and Wang 1992; Joshi, Crump and Fischer 1995). The Viterbi algorithm finds the
    levels that minimize distortion + λ·rate; rates are those of static tables, picked by the levels before.

    Attributes:
        states: 1, 4, 8, 16, 32, 64, 128 or 256 states of the trellis. More make the file smaller and encoding slower; a
            decoder takes the same time. 1 is a scalar quantizer with rate-distortion optimization. None for 64, or 16
            with coding "prefix", whose tables take 1 KB in a decoder then, and 2 KB with more.
        step: distance between levels in units of the weights, the same for all tensors; what a target sets.
        relative_step: without a step: distance between levels over the root mean square of the tensor, the same for
            all tensors. None for 0.03 in the mean of a model's weights, and finer steps in tensors of few of them.
        rdo: weight of the rate, over the usual one; 0 takes the nearest levels.
        finer: whether tensors of few bits a weight have a finer step than that, at the same λ, which makes the file
            smaller at the same distortion. False for the very step that is given.
        reconstruction: "norm" gives decoded tensors the norm that they had (Banner, Nahshan and Soudry 2019). Levels
            that cost few bits are small ones, so that weights shrink by some per cent at 3 bits and less, and layer
            after layer that costs accuracy. "error" leaves them so, for the least squared error.
        shaping: whether the errors of a row, all of which meet in one output, are made to cancel. Where inputs have a
            mean, as behind ReLU, they add up there (Guo et al. 2022), and the squared error grows little. None for
            where ``reconstruction`` is "norm". Not with an importance, which says what errors count.
        scan: "rows", "columns", or "auto" for the direction in which a level says more of the next one.
        skip: whether tiles leave out rows, or columns where they go down these, of nothing but zeros, such as those of
            pruned or dead units. Files are smaller, and decoders take little time for them, for some 270 bytes of code
            in firmware (``NCD_TRELLIS_SKIP``).
        levels: "int8" gives tensors steps that are large enough for levels of 8 bits, which firmware multiplies in half
            the RAM; "auto" lets a fine step have levels of 16 bits.
        coding: "contexts" picks a table by the levels before, which makes the smallest files. "light" has a small
            automaton that picks one of a few tables, mostly by the level just before: microcontrollers take a third of
            the time. "rans" has one table a quantizer, for less RAM, and "prefix" prefix codes in place of rANS, for
            less time. Files grow in this order.
        open_ends: with "light", whether tables may leave rare levels, far from 0, to codes behind the others. False
            decodes in the same few instructions a weight at any rate: a decoder that finds such codes looks through the
            levels for their places. It takes 0 to 2 % more bytes, in tensors with outliers up to a quarter, and these
            get larger steps, as with ``levels="int8"``, so that high rates may be out of reach.
        tables: most tables a quantizer, 1 to 64, with "contexts" and "light".
        room: bytes of RAM that tables may take in firmware; they are fewer, and smaller, where they would take more
            (if levels of 8 bits can stay so). None for as many as make the file smallest.
        magnitudes: most classes of the running magnitude, 1 to 8, with "contexts".
        signs: thresholds that sort the level before, 0 to 2, with "contexts".
        small: bits of the mantissa that tensors keep which are too small for a trellis, such as biases and norms; None
            keeps them exact. "auto" is 7, for a relative error of 2^-8 at most, with a target or a step, and else None.
        tile: most weights in a tile, 1 to 65,535; None for 2,048 in tensors of up to a million weights and 4,096 in
            larger ones.

    Raises:
        ValueError: an option out of its range.
    """

    name: ClassVar[str] = "trellis"
    number: ClassVar[int] = 4
    weighted: ClassVar[bool] = True

    states: int | None = None
    step: float | None = None
    relative_step: float | None = None
    rdo: float = 1.0
    finer: bool = True
    reconstruction: Literal["norm", "error"] = "norm"
    shaping: bool | None = None
    scan: Literal["auto", "rows", "columns"] = "auto"
    skip: bool = True
    levels: Literal["auto", "int8"] = "auto"
    coding: Coding = "contexts"
    open_ends: bool = True
    tables: int = 16
    room: int | None = 4096
    magnitudes: int = 7
    signs: int = 2
    small: Small = "auto"
    tile: int | None = None

    def __post_init__(self) -> None:
        if self.states is not None and (self.states not in STATES or isinstance(self.states, bool)):
            raise ValueError(f"states: one of {', '.join(map(str, STATES))} expected, not {self.states!r}")
        check_choice("reconstruction", self.reconstruction, ("norm", "error"))
        check_choice("scan", self.scan, ("auto", "rows", "columns"))
        check_choice("levels", self.levels, ("auto", "int8"))
        check_choice("coding", self.coding, ("contexts", "light", "rans", "prefix"))
        for option in ("finer", "skip", "open_ends"):
            check_flag(option, getattr(self, option))
        if not self.open_ends and self.coding != "light":
            raise ValueError(f"open_ends=False is for coding 'light', not {self.coding!r}")
        check_flag("shaping", self.shaping, may_be_open=True)
        check_integer("tables", self.tables, 1, 64)
        check_integer("room", self.room, 1, 1 << 20)
        check_integer("magnitudes", self.magnitudes, 1, 8)
        check_integer("signs", self.signs, 0, 2)
        check_small(self.small)
        check_integer("tile", self.tile, 1, MOST)
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

    def with_step(self, step: float) -> Trellis:
        """The same codec at about the distortion of a uniform quantizer with this step."""
        ratio = STEP_RATIO if self.state_count > 1 else 1.0
        return replace(self, step=within_float32(step * ratio), relative_step=None)

    def with_usual_step(self, factor: float) -> Trellis:
        """The same codec at its usual step times a factor; itself if an option says what the step is."""
        if self.step is not None or self.relative_step is not None:
            return self
        return replace(self, relative_step=RELATIVE_STEP * factor)

    def encode(self, tensor: Tensor) -> bytes:
        """The payload of a tensor.

        Raises:
            SourceError: weights that are NaN, infinite, or beyond the range of float32.
        """
        if not tensor.spec.size:
            return b""
        sample = self._sample(tensor)
        if sample is None:
            return self._payload(tensor, None)
        if self._has_outliers(sample):
            return replace(self, coding="contexts").encode(tensor)
        return self._payload(tensor, self._hint(sample))

    def decode(self, payload: bytes, spec: TensorSpec, shared: Sequence[SharedObject]) -> Tensor:
        """The tensor of a payload, by the C decoder.

        Raises:
            CorruptError, UnsupportedError, ChecksumError: the payload breaks a rule of the format.
        """
        return decode_payload(payload, self.number, spec, shared)

    def survey(self, tensor: Tensor) -> Sample | None:
        """Weights for the model; None for a tensor that needs none."""
        if not tensor.spec.size:
            return None
        try:
            sample = self._sample(tensor)
        except SourceError:
            return None
        return None if sample is None or self._has_outliers(sample) else sample

    def share(self, surveys: Mapping[str, object], first: int) -> Shares:
        """Models for tensors that are coded shorter together; all others have their own."""
        spans: dict[int, dict[str, Counts]] = {}
        sizes: dict[str, int] = {}
        for name, each in surveys.items():
            if isinstance(each, Sample):
                two = self.state_count > 1
                alike = spans.setdefault(span(each.part.weights, each.largest, two), {})
                alike[name] = profile(each.part.weights, each.size, two)
                sizes[name] = each.part.weights.size
        tables = min(self.tables, LIGHT_TABLES) if self.coding == "light" else self.tables
        objects: list[SharedObject] = []
        hints: dict[str, object] = {}
        for _, profiles in sorted(spans.items()):
            for names in grouped(profiles, tables, self._picks):
                if len(names) == 1:  # encode() gives it a model of its own
                    continue
                share = SAMPLES / sum(sizes[name] for name in names)
                samples = [_some(surveys[name], share) for name in names]
                trained = self._train(samples)
                index = first + len(objects)
                for k, (name, sample) in enumerate(zip(names, samples, strict=True)):
                    levels = None if trained.levels is None else trained.levels[k]
                    hints[name] = _hint_of(sample, index, trained.model, trained.gains[k], levels)
                objects.append(SharedObject(MODEL, trained.model.serialize()))
        return Shares(tuple(objects), hints)

    def encode_shared(self, tensor: Tensor, hint: object) -> bytes:
        """As :meth:`encode`, with the model of a hint."""
        if not isinstance(hint, Hint):
            raise TypeError(f"hint: one that share() made expected, not {type(hint).__name__}")
        return self._payload(tensor, hint)

    def explain(self, payload: bytes) -> str:
        """What the report says of a payload besides the codec's name."""
        columns = payload[0] & COLUMNS and not payload[0] & ZEROS
        said = ["down the columns"] if columns else []
        if payload[0] & SKIP:
            said.append(f"some {'columns' if columns else 'rows'} left out")
        return ", ".join(said)

    @property
    def state_count(self) -> int:
        """Of the trellis: as the option says, or its default."""
        return self.states or (STATES_OF_PREFIX if self.coding == "prefix" else STATES_OF_OTHERS)

    @property
    def together(self) -> float:
        """What the squared sum of a row's errors counts beside the sum of their squares."""
        return together(self.shaping, self.reconstruction)

    @property
    def _picks(self) -> bool:
        """Whether tables are picked by the levels before."""
        return self.coding in {"contexts", "light"}

    @property
    def _settings(self) -> Settings:
        return Settings(
            self.state_count.bit_length() - 1,
            self.tables if self._picks else 1,
            self.magnitudes if self._picks else 1,
            self.signs if self._picks else 0,
            self.coding,
            self.room,
            rounds=3,
            norm=self.reconstruction == "norm",
            open_ends=self.open_ends,
        )

    def _hint(self, sample: Sample) -> Hint:
        """A model of its own."""
        trained = self._train([sample])
        levels = None if trained.levels is None else trained.levels[0]
        return _hint_of(sample, None, trained.model, trained.gains[0], levels)

    def _train(self, samples: Sequence[Sample]) -> Trained:
        largest = max(each.largest for each in samples)
        beyond = sorted({value for each in samples for value in each.beyond})
        size = sum(each.size for each in samples)
        return train([each.part for each in samples], largest, size, beyond, self._settings)

    def _sample(self, tensor: Tensor) -> Sample | None:
        """The tensor's weights, or some of many; None if all are 0."""
        weights = finite_weights(tensor)
        largest, _, _ = _native.scan(weights)
        if largest == 0:
            return None
        two = self.state_count > 1
        step = self.step_of(weights, tensor.spec.dtype)
        scaled = weights / np.float32(step.distance)
        columns = self.scan == "columns" or (self.scan == "auto" and prefers_columns(piece(scaled), two))
        tile = self._tile(tensor.spec, columns)
        part = shaped(ordered_part(tensor, scaled, step, columns, tile), self.together, columns)
        coded = coded_rows(part.weights) if self.skip else None
        part = of_rows(part, coded)
        size = part.weights.size
        beyond: list[int] = []
        if size > SAMPLE:
            part = thinned(part, SAMPLE / size)
            inside = float(np.abs(part.weights).max())
            beyond = np.unique(np.rint(scaled[np.abs(scaled) > inside])).tolist()
        return Sample(part, columns, step, float(np.abs(scaled).max()), size, beyond, coded)

    def _has_outliers(self, sample: Sample) -> bool:
        """Whether weights lie beyond what prefix codes express: 8 bits, without open ends."""
        return self.coding == "prefix" and sample.largest > MOST_NARROW - ROOM

    def _tile(self, spec: TensorSpec, columns: bool) -> int:
        return tile_length(*((spec.cols, spec.rows) if columns else (spec.rows, spec.cols)), self.tile)

    def step_of(self, weights: npt.NDArray[np.float32], dtype: DType) -> Step:
        """As the stream can express it: levels have 16 or 8 bits, and a few times the step must be finite."""
        two = self.state_count > 1
        largest, energy, _ = _native.scan(weights)
        step = self.step
        if step is None:
            relative = RELATIVE_STEP if self.relative_step is None else self.relative_step
            step = relative * math.sqrt(energy / weights.size) * (1 if two else 2)
        step = float(np.float32(max(step, TINIEST)))
        factor = 1.0
        if self.finer and self.rdo:
            some = piece(weights) / np.float32(step)
            factor = fineness(alive(some) if self.skip else some, two)
        most = MOST_LEVEL if self.levels == "auto" and self.open_ends else MOST_BYTE
        step = min(max(factor * step, largest / most, TINIEST), largest_weight(dtype) / SMALL_LEVELS)
        lagrangian = (LAGRANGIAN if two else LAGRANGIAN / 4) * self.rdo / factor**2
        distance = np.float32(step)
        if np.float32(largest) / distance > most:  # it has been rounded down
            distance = np.nextafter(distance, np.float32(np.inf))
        return Step(float(distance), lagrangian)

    def _payload(self, tensor: Tensor, hint: Hint | None) -> bytes:
        found = self._search(tensor, hint)
        coded = found.coded
        if found.model is None:
            return bytes([ZEROS]) + varint(found.tile) + struct.pack("<f", found.step)
        model, levels = found.model, found.levels
        wide = model.classes.hi > 127 or model.classes.raw_bits or levels.min() < -128 or levels.max() > 127
        mode = (WIDE if wide else 0) | (COLUMNS if found.columns else 0)
        mode |= (SHARED if found.index is not None else 0) | (SKIP if coded is not None else 0)
        data, sizes = model.pack(model.context(), levels if coded is None else levels[coded], found.tile, coded)
        return b"".join(
            (
                bytes([mode]),
                varint(found.tile),
                struct.pack("<f", found.step),
                b"" if coded is None else grouped_bits(coded),
                model.serialize() if found.index is None else varint(found.index),
                _native.tile_index(sizes),
                data,
            )
        )

    def quantize(self, tensor: Tensor) -> Quantized:
        """Levels of a tensor of at least one element, for whoever codes them in another way: of all rows.

        Raises:
            SourceError: weights that are NaN, infinite, or beyond the range of float32.
        """
        return replace(self, skip=False)._alone(tensor)

    def _alone(self, tensor: Tensor) -> Quantized:
        """Levels by a model of the tensor's own."""
        sample = self._sample(tensor)
        return self._search(tensor, None if sample is None else self._hint(sample))

    def _search(self, tensor: Tensor, hint: Hint | None) -> Quantized:
        """Levels by the model of a hint, widened where that is needed; all 0 without one."""
        weights = finite_weights(tensor)
        spec = tensor.spec
        step = 1.0
        if hint is not None:
            step = hint.step.distance
            tile = self._tile(spec, hint.columns)
            whole = ordered_part(tensor, weights / np.float32(step), hint.step, hint.columns, tile)
            part = of_rows(shaped(whole, self.together, hint.columns, hint.gain), hint.coded)
            model, index, known = hint.model, hint.index, hint.levels
            if known is None:
                sampled = hint.sampled if self.reconstruction == "norm" else None
                part, levels = search_all(model.context(), part, model.rates(), sampled)
            else:
                levels = known
            while (more := widened(model, part, levels, self.coding)) is not None:
                model, index = more, None
                levels = search(model.context(), part, model.rates())
            if self.room is not None and is_too_large(model.classes, model.maps, model.frequencies, self.room):
                # Values that came later have left no room for as many tables.
                return replace(self, room=self.room - SPARE)._alone(tensor)
            if levels.any():
                if index is None and known is None:
                    model = recounted(model, [part], [levels], self._settings)
                if part.coded is not None:
                    every = np.zeros(whole.weights.shape, np.int16)
                    every[part.coded] = levels
                    levels = every
                if self.reconstruction == "norm":
                    step = norm_step(step, whole.weights, levels, whole.importance, spec.dtype, SMALL_LEVELS)
                return Quantized(levels, step, hint.columns, part.tile, model, index, part.coded)
        return Quantized(np.zeros((spec.rows, spec.cols), np.int16), step, False, self._tile(spec, False))


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """What the search found.

    Attributes:
        levels: shape [rows, cols]; of the transposed matrix where ``columns``.
        step: distance between levels, for decoders.
        columns: whether the matrix is taken down its columns.
        tile: tile length T, at which the trellis starts anew.
        model: what they are coded with; None where all levels are 0, or where whoever codes them has another.
        index: of the model among the shared objects, if it is one.
        coded: rows of the levels that tiles have; None for all.
    """

    levels: npt.NDArray[np.int16]
    step: float
    columns: bool
    tile: int
    model: Model | None = None
    index: int | None = None
    coded: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Weights of a tensor, or some of them.

    Attributes:
        part: the weights.
        columns: whether they are coded down the columns.
        step: of the tensor.
        largest: magnitude over the step of the tensor's largest weight.
        size: weights of the tensor, of rows that are coded.
        beyond: weights over the step, rounded, that are larger than those that are here.
        coded: see :class:`Quantized`.
    """

    part: Part
    columns: bool
    step: Step
    largest: float
    size: int
    beyond: Sequence[int]
    coded: npt.NDArray[np.bool_] | None

    @property
    def nbytes(self) -> int:
        """Bytes of the weights, and of what they count."""
        importance = self.part.importance
        return self.part.weights.nbytes + (0 if importance is None else importance.nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class Hint:
    """How a tensor is to be coded.

    Attributes:
        index: of the model among the shared objects, if it is one.
        model: see there.
        columns: whether the tensor is coded down its columns.
        step: of the tensor.
        gain: what is decoded, over levels.
        sampled: mean square of the weights that this was found for.
        levels: where they are known already, of the rows that are coded.
        coded: see :class:`Quantized`.
    """

    index: int | None
    model: Model
    columns: bool
    step: Step
    gain: float
    sampled: float
    levels: npt.NDArray[np.int16] | None = None
    coded: npt.NDArray[np.bool_] | None = None


def _some(sample: object, share: float) -> Sample:
    """A share of a sample's weights, if that is less than all."""
    assert isinstance(sample, Sample)
    return sample if share >= 1 else replace(sample, part=thinned(sample.part, share))


def _hint_of(
    sample: Sample, index: int | None, model: Model, gain: float, levels: npt.NDArray[np.int16] | None = None
) -> Hint:
    sampled = mean_square(sample.part.weights)
    return Hint(index, model, sample.columns, sample.step, gain, sampled, levels, sample.coded)

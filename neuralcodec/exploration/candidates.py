"""Every tensor at every setting: the bytes it takes, and what it loses."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import torch

from neuralcodec.codec import Codec
from neuralcodec.container import file_size
from neuralcodec.errors import PlanError
from neuralcodec.plan.allocation import with_usual_steps
from neuralcodec.plan.rules import Assignment, Pattern, assign
from neuralcodec.plan.run import Encoded, Progress, decided, encode_source, encode_tensor
from neuralcodec.plan.window import in_order
from neuralcodec.registry import with_options
from neuralcodec.source import Source
from neuralcodec.source.mapping import element_bytes
from neuralcodec.stream.writer import VERSION
from neuralcodec.tensor import Tensor

Options = Mapping[str, object]
"""Options of a codec that make up a setting, such as ``{"clusters": 16}``."""

CLUSTERS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256)

SETTINGS: Mapping[str, tuple[Options, ...]] = {
    "kmeans": tuple({"clusters": k} for k in CLUSTERS),
    "huffman": tuple({"bits": b} for b in range(2, 9)),
}
"""What is tried by default, by codec."""

ORIGINAL = -1
"""In place of the index of a setting: the tensor as it is."""

Measured = tuple[float, list[tuple[Encoded, float]]]
"""Of a tensor, see :func:`measure_tensor`."""

Choice = tuple[int, ...]
"""For each tensor, in order, the index of a setting or ``ORIGINAL``."""


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """A tensor at one setting.

    Attributes:
        options: the setting.
        codec: what has coded it: the codec with these options, or another one where that does not take it.
        payload: the tensor, encoded.
        distortion: Σ importance · (w − ŵ)².
    """

    options: Options
    codec: Codec
    payload: bytes
    distortion: float


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What can be chosen.

    Attributes:
        source: the model.
        settings: for each tensor that is coded lossily its settings, coarsest first. More bytes always mean less
            distortion: others are left out.
        energy: Σ importance · w² of these tensors.
        fixed: bytes of the file besides the payloads of these tensors.
        checksum: of all tensors of the model, also those that no setting is for.
    """

    source: Source
    settings: Mapping[str, tuple[Setting, ...]]
    energy: float
    fixed: int
    checksum: int

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors in the order of a choice."""
        return tuple(self.settings)

    def chosen(self, choice: Choice) -> Iterator[tuple[str, Setting]]:
        """Tensors and their settings, those that stay as they are left out."""
        for (name, settings), index in zip(self.settings.items(), choice, strict=True):
            if index != ORIGINAL:
                yield name, settings[index]

    def nbytes(self, choice: Choice) -> int:
        """Bytes of the file. The real one may differ by some bytes: directory, tables that tensors share."""
        return self.fixed + sum(len(setting.payload) for _, setting in self.chosen(choice))

    def distortion(self, choice: Choice) -> float:
        """Distortion over energy."""
        lost = sum(setting.distortion for _, setting in self.chosen(choice))
        return lost / self.energy if self.energy else 0.0

    def fingerprint(self) -> int:
        """Differs, most likely, for other weights or settings."""
        crc = self.checksum
        for name, settings in self.settings.items():
            crc = zlib.crc32(name.encode(), crc)
            for setting in settings:
                crc = zlib.crc32(setting.payload, crc)
        return crc


class States:
    """State dicts of choices. Tensors are decoded when their setting changes.

    Those of the model as it is may lie in its own memory, so that whoever gets a state can change the model.
    """

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates
        source = candidates.source
        self._original = {name: source.read(name).torch() for name in source.specs}
        self._decoded: dict[str, tuple[int, torch.Tensor]] = {}
        self._sums = {name: _checksum(tensor) for name, tensor in self._original.items()}
        self._decoded_sums: dict[str, int] = {}

    def state(self, choice: Choice) -> dict[str, torch.Tensor]:
        """The model at a choice, tied tensors under each of their names."""
        source = self._candidates.source
        state = dict(self._original)
        indices = dict(zip(self._candidates.names, choice, strict=True))
        for name, setting in self._candidates.chosen(choice):
            held = self._decoded.get(name)
            if held is None or held[0] != indices[name]:
                tensor = setting.codec.decode(setting.payload, source.specs[name], ()).torch()
                held = self._decoded[name] = (indices[name], tensor)
                self._decoded_sums[name] = _checksum(tensor)
            state[name] = held[1]
        return state | {name: state[first] for name, first in source.ties.items()}

    def changed(self) -> str | None:
        """The name of a tensor that is not what it was when it was given; None if there is none."""
        for name, tensor in self._original.items():
            if _checksum(tensor) != self._sums[name]:
                return name
        for name, (_, tensor) in self._decoded.items():
            if _checksum(tensor) != self._decoded_sums[name]:
                return name
        return None


def make_candidates(
    source: Source,
    codec: Codec,
    settings: Sequence[Options] | None = None,
    *,
    include: Pattern = None,
    exclude: Pattern = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Candidates:
    """Encodes each tensor at each setting.

    Raises:
        PlanError: no settings, wrong ones, or no tensor to give them to.
        SourceError: a tensor cannot be encoded.
    """
    if settings is None:
        if codec.name not in SETTINGS:
            raise PlanError(f"settings: say which settings of codec {codec.name!r} to try")
        settings = SETTINGS[codec.name]
    if isinstance(settings, (str, Mapping)) or not all(isinstance(each, Mapping) for each in settings):
        raise PlanError(f'settings: a list of options such as [{{"clusters": 4}}] expected, not {settings!r}')
    if not settings:
        raise PlanError("settings: at least one expected")
    plan = assign(source, codec, include, exclude)
    names = [name for name, assigned in plan.items() if assigned.codec.lossy and source.specs[name].size]
    if not names:
        raise PlanError("no tensor is coded lossily (all are small, excluded or not floats), so there is no choice")
    # As encode() does: where a setting leaves the step open, that depends on all tensors.
    plans = [
        with_usual_steps(source, {name: Assignment(made, "chosen") for name in names})
        for made in (with_options(codec, options) for options in settings)
    ]
    codecs = {name: [of[name].codec for of in plans] for name in names}
    found: dict[str, tuple[Setting, ...]] = {}
    energy = 0.0
    total, done = sum(source.specs[name].size for name in names), 0
    for name, (own_energy, measured) in _measured(source, codecs, executor):
        each = [
            Setting(options, encoded.codec, encoded.payload, distortion)
            for options, (encoded, distortion) in zip(settings, measured, strict=True)
        ]
        found[name] = tuple(_undominated(each))
        energy += own_energy
        done += source.specs[name].size
        if progress is not None:
            progress(f"encoding {name}", done, total)
    # The rest of the file is what is left of a whole one. Coarse settings are quick to encode.
    coarsest = {name: Assignment(settings[0].codec, "chosen") for name, settings in found.items()}
    stream = encode_source(source, {**plan, **coarsest})
    whole = file_size(stream.size(), VERSION, source.metadata)
    fixed = whole - sum(len(each[0].payload) for each in found.values())
    return Candidates(source, found, energy, fixed, _checksum_of(source))


def measure_tensor(tensor: Tensor, codecs: Sequence[Codec]) -> Measured:
    """Energy of a tensor, and with each codec what it becomes and its distortion; weighted by importance if it has any.

    Raises:
        SourceError: NaN or Inf.
    """
    weights = tensor.float32().astype(np.float64)
    importance = 1.0 if tensor.importance is None else tensor.importance.astype(np.float64)

    def lost(encoded: Encoded) -> float:
        if tensor.importance is None:
            return encoded.errors.squared
        decoded = encoded.codec.decode(encoded.payload, tensor.spec, ()).float32()
        return float((importance * (weights - decoded) ** 2).sum())

    plan = (Assignment(codec, "chosen") for codec in codecs)
    each = [encode_tensor(tensor, decided(tensor, assignment), None, (), "error") for assignment in plan]
    return float((importance * weights**2).sum()), [(encoded, lost(encoded)) for encoded in each]


def _measured(
    source: Source, codecs: Mapping[str, Sequence[Codec]], executor: Executor | None
) -> Iterator[tuple[str, Measured]]:
    if executor is None:
        for name, each in codecs.items():
            yield name, measure_tensor(source.read(name), each)
        return
    yield from in_order(
        list(codecs), executor, lambda name: executor.submit(measure_tensor, source.read(name), codecs[name])
    )


def _checksum_of(source: Source) -> int:
    """Of names and elements: what a model loses hangs on all of its tensors, such as biases and running means."""
    crc = 0
    for name in sorted(source.specs):
        crc = zlib.crc32(source.read(name).data.data, zlib.crc32(name.encode(), crc))
    return crc


def _checksum(tensor: torch.Tensor) -> int:
    return zlib.crc32(element_bytes(tensor).data)


def _undominated(settings: Sequence[Setting]) -> list[Setting]:
    kept: list[Setting] = []
    for setting in sorted(settings, key=lambda s: (len(s.payload), s.distortion)):
        if not kept or setting.distortion < kept[-1].distortion:
            kept.append(setting)
    return kept

"""Exceptions. One class for each cause, so that a caller can tell them apart.

::

    NeuralCodecError
    ├── BitstreamError          a stream or file that cannot be decoded
    │   ├── TruncatedError      it ends before what its header says
    │   ├── CorruptError        it breaks a rule of the format
    │   ├── ChecksumError       a crc32 does not match: damaged in storage or transfer
    │   └── UnsupportedError    written by a newer version, or by a codec that is not here
    ├── SourceError             an input that cannot be encoded (not a model, NaN where levels are wanted)
    ├── PlanError               a target or option that cannot be met; ``nearest`` says what can
    ├── EvaluationError         a function of the caller's failed; ``front`` holds what was found until then
    ├── RegistryError           unknown or duplicate codec
    ├── ExportError             a network that cannot be exported for firmware, or cannot be run here
    ├── FinetuneError           training cannot go on: no batches, NaN, a checkpoint of another run
    └── TrainingError           a codec's model cannot be trained: no weights, diverged, a package is missing

Each carries what is known of the place: ``tensor`` (name) and ``offset`` (bytes from the start of the file or stream).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuralcodec.exploration.front import Front


class NeuralCodecError(Exception):
    """Base of all errors that neuralcodec raises on purpose."""

    def __init__(self, message: str, *, tensor: str | None = None, offset: int | None = None) -> None:
        self.message = message
        self.tensor = tensor
        self.offset = offset
        super().__init__(message, tensor, offset)

    def __str__(self) -> str:
        place = []
        if self.tensor is not None:
            place.append(f"tensor {self.tensor!r}")
        if self.offset is not None:
            place.append(f"offset {self.offset}")
        return f"{', '.join(place)}: {self.message}" if place else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments need help to survive a trip to or from another process.
        return _rebuild, (type(self), self.message, self.tensor, self.offset, self.__dict__)


def _rebuild(
    cls: type[NeuralCodecError], message: str, tensor: str | None, offset: int | None, state: dict[str, object]
) -> NeuralCodecError:
    error = cls(message, tensor=tensor, offset=offset)
    error.__dict__.update(state)
    return error


class BitstreamError(NeuralCodecError):
    """A stream or file that cannot be decoded."""


class TruncatedError(BitstreamError):
    """The stream ends before what its header says."""


class CorruptError(BitstreamError):
    """The stream breaks a rule of the format."""


class ChecksumError(BitstreamError):
    """A crc32 does not match: the bytes were damaged after they were written."""


class UnsupportedError(BitstreamError):
    """A newer format version, a reserved bit, or a codec that is not here."""


class SourceError(NeuralCodecError):
    """An input that cannot be encoded."""


class PlanError(NeuralCodecError):
    """A target or an option that cannot be met."""

    def __init__(
        self,
        message: str,
        *,
        nearest: float | None = None,
        tensor: str | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message, tensor=tensor, offset=offset)
        self.nearest = nearest


class EvaluationError(NeuralCodecError):
    """The evaluation function given to :func:`neuralcodec.explore` raised, gave no finite number, or changed the model.

    Attributes:
        front: a :class:`~neuralcodec.Front` of what was found until then, for ``explore(…, resume=error.front)``.
    """

    def __init__(
        self,
        message: str,
        *,
        front: Front | None = None,
        tensor: str | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message, tensor=tensor, offset=offset)
        self.front = front


class RegistryError(NeuralCodecError):
    """Unknown or duplicate codec."""


class ExportError(NeuralCodecError):
    """A network that cannot be exported for firmware, or an export that cannot be built or run here.

    Attributes:
        node: name of the node of the traced graph; None where it is not one node's fault.
        target: its operator.
        module: path and class of the module that called it.
        line: file, line and text of the source.
    """

    def __init__(
        self,
        message: str,
        *,
        node: str | None = None,
        target: str | None = None,
        module: str | None = None,
        line: str | None = None,
        tensor: str | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message, tensor=tensor, offset=offset)
        self.node = node
        self.target = target
        self.module = module
        self.line = line

    def __str__(self) -> str:
        text = super().__str__()
        if self.node is None:
            return text
        within = f" in {self.module}" if self.module else ""
        at = f"\n  at {self.line}" if self.line else ""
        return f"node {self.node!r} ({self.target}){within}: {text}{at}"


class FinetuneError(NeuralCodecError):
    """Training that cannot go on."""


class TrainingError(NeuralCodecError):
    """A codec's model cannot be trained: there is nothing to train on, it diverged, or a package is missing.

    Attributes:
        checkpoint: path of the last model that was good, or None.
    """

    def __init__(self, message: str, *, checkpoint: str | None = None) -> None:
        self.checkpoint = checkpoint
        super().__init__(message)

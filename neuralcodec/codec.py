"""What a codec is. The planner, the container and the command line know codecs by this page only.

A codec is a frozen dataclass: its fields are its options, so it can be compared, copied with
:func:`dataclasses.replace`, and sent to another process. It turns one tensor into one payload and back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from neuralcodec.tensor import Tensor, TensorSpec

NAMED = 255
"""Number of every codec that has none of its own: the stream then carries its name."""


@dataclass(frozen=True, slots=True)
class SharedObject:
    """Bytes that several payloads refer to (docs/format.md, section 3)."""

    kind: int
    data: bytes


@runtime_checkable
class Codec(Protocol):
    """A codec with its options."""

    name: ClassVar[str]
    number: ClassVar[int]

    @property
    def lossy(self) -> bool:
        """Whether decoded weights may differ from the original."""
        ...

    def encode(self, tensor: Tensor) -> bytes:
        """The payload of a tensor of at least one element. The same tensor must always give the same bytes."""
        ...

    def decode(self, payload: bytes, spec: TensorSpec, shared: Sequence[SharedObject]) -> Tensor:
        """The tensor of a payload.

        Options are those by default, whatever they were for :meth:`encode`: what decoding needs is in the payload.
        The payload's checksum is right when this is called, but it may still come from a hostile hand:
        raise :class:`~neuralcodec.errors.CorruptError` rather than trust it.
        """
        ...


@runtime_checkable
class Stepped(Protocol):
    """A lossy codec that can meet a :class:`~neuralcodec.Target`: it has a knob from fine to coarse."""

    def with_step(self, step: float) -> Codec:
        """The same codec at ``step``, the distance between levels in units of the weights.

        A codec without levels takes it as a distortion: a mean squared error of ``step**2 / 12``.
        """
        ...


@runtime_checkable
class MaybeLossless(Protocol):
    """A codec that loses nothing if its option ``lossless`` is set, and then has no use for most of the others.

    Attributes:
        options_if_lossless: those that it does have a use for.
    """

    options_if_lossless: ClassVar[tuple[str, ...]]

    @property
    def lossless(self) -> bool:
        """Whether the option is set."""
        ...


@runtime_checkable
class UsuallyStepped(Protocol):
    """A codec that has a step if nobody says what it should be: relative to how large a tensor's weights are."""

    def with_usual_step(self, factor: float) -> Codec:
        """The same codec at that step times ``factor``, by which the planner favours tensors of few weights.

        Or itself, if an option says what the step is.
        """
        ...


@runtime_checkable
class Explaining(Protocol):
    """A codec that decides by the tensor how to code it, and tells in the report what it did."""

    def explain(self, payload: bytes) -> str:
        """In a few words, how the payload was made; empty if in the usual way."""
        ...


@runtime_checkable
class Choosing(Protocol):
    """A codec that looks at a tensor and then leaves it to another one, or to itself with other options.

    The planner asks before it lets codecs share, so that a codec which gets such tensors can share among them, too.
    """

    def choose(self, tensor: Tensor) -> Codec:
        """The codec for a tensor; the same one always for the same tensor."""
        ...


@runtime_checkable
class ForSmall(Protocol):
    """A lossy codec that names another one for float tensors that are too small for it."""

    def for_small(self, target: bool) -> Codec | None:
        """That codec, if the model is to meet a target or not; None to keep them exactly."""
        ...


@dataclass(frozen=True, slots=True)
class Shares:
    """What tensors of a model share, and what that means for each of them.

    Attributes:
        objects: the shared objects, in the order of their indices.
        hints: for a tensor's name, what :meth:`Sharing.encode_shared` wants to know. Tensors that are not named
            share nothing.
    """

    objects: tuple[SharedObject, ...]
    hints: Mapping[str, object]


@runtime_checkable
class Sharing(Protocol):
    """A codec whose payloads can refer to objects that several tensors share.

    The planner calls :meth:`survey` on each tensor, :meth:`share` once with all of the surveys, then
    :meth:`encode_shared` for tensors with a hint and ``encode`` for the others.
    """

    def survey(self, tensor: Tensor) -> object | None:
        """A small summary of the tensor (a histogram, say); None if it will share nothing.

        A large one should say its size in memory as ``nbytes``: where a model has many of these, they are made again
        whenever :meth:`share` looks at them.
        """
        ...

    def share(self, surveys: Mapping[str, object], first: int) -> Shares:
        """Decides what is shared. ``first`` is the index that the first shared object will have.

        Codecs that differ in their step alone share: surveys are then of each tensor's own step, and this is called at
        a step of 1.
        """
        ...

    def encode_shared(self, tensor: Tensor, hint: object) -> bytes:
        """As ``encode``, with a hint from :class:`Shares`."""
        ...

"""What a source offers to the planner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from neuralcodec.errors import SourceError
from neuralcodec.tensor import Tensor, TensorSpec

MAX_NAME_BYTES = 65_535
MAX_SIDE = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Source:
    """Named tensors that can be read one by one, any number of times.

    Attributes:
        specs: the tensors by name, ascending by the UTF-8 bytes of the name; tied ones only under the first of their
            names.
        ties: for each further name of a tensor, the name it is stored under.
        read: reads a tensor of ``specs``.
        metadata: text that came with the tensors and is kept with them.
    """

    specs: Mapping[str, TensorSpec]
    ties: Mapping[str, str]
    read: Callable[[str], Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)


def check_spec(spec: TensorSpec) -> None:
    """Refuses what the format cannot hold (docs/format.md, sections 3 and 4).

    Raises:
        SourceError: the name or the shape is outside the format's limits.
    """
    check_name(spec.name)
    if len(spec.shape) > 64:
        raise SourceError(f"{len(spec.shape)} dimensions; at most 64 can be stored", tensor=spec.name)
    if spec.rows > MAX_SIDE or spec.cols > MAX_SIDE:
        raise SourceError(f"shape {list(spec.shape)}: a side of 2^32 or more cannot be stored", tensor=spec.name)


def check_name(name: object) -> None:
    """Refuses a tensor name that is not text of reasonable length.

    Raises:
        SourceError: the name is not a string, not valid Unicode, or too long.
    """
    if not isinstance(name, str):
        raise SourceError(f"tensor names must be strings, not {type(name).__name__}: {name!r}")
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SourceError(f"the name is not valid Unicode ({error.reason})", tensor=name) from None
    if len(encoded) > MAX_NAME_BYTES:
        raise SourceError(
            f"the name has {len(encoded)} bytes; at most {MAX_NAME_BYTES} can be stored", tensor=name[:60] + "…"
        )


def by_bytes(name: str) -> bytes:
    """Sort key of the stream's directory."""
    return name.encode("utf-8")

"""Surveys of tensors as codecs ask for them, of which large ones are not all in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

KEPT = 256 << 20
"""Bytes of large surveys that are kept; beyond, each is made again when it is looked at."""


@runtime_checkable
class Large(Protocol):
    """A survey that says how many bytes it takes."""

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        ...


class Surveys(Mapping[str, object]):
    """What a codec wants to know of its tensors, by name; without those that it wants to know nothing of."""

    def __init__(self, names: Sequence[str], make: Callable[[str], object | None], room: int = KEPT) -> None:
        self._names = names
        self._make = make
        self._room = room
        self._kept: dict[str, object | None] = {}
        self._last: tuple[str, object] | None = None

    def __getitem__(self, name: str) -> object:
        """The survey of a tensor.

        Raises:
            KeyError: the codec wants to know nothing of it.
        """
        found = self._found(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names if self._found(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _found(self, name: str) -> object | None:
        if name in self._kept:
            return self._kept[name]
        if self._last is not None and self._last[0] == name:
            return self._last[1]
        self._last = None  # not two at a time
        found = self._make(name)
        size = found.nbytes if isinstance(found, Large) else 0
        if size <= self._room:
            self._room -= size
            self._kept[name] = found
        else:
            self._last = name, found
        return found

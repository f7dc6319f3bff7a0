"""Work on tensors that an executor does, a few of them at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")


def in_order(names: Iterable[str], executor: Executor, submit: Callable[[str], Future[T]]) -> Iterator[tuple[str, T]]:
    """Names with their results, in the order of the names.

    A window keeps the workers busy without reading the whole model ahead of them.

    Args:
        names: of tensors.
        executor: what works.
        submit: reads a tensor and hands it to the executor.
    """
    window = 2 * int(getattr(executor, "_max_workers", 4))
    waiting: deque[tuple[str, Future[T]]] = deque()
    try:
        for name in names:
            waiting.append((name, submit(name)))
            if len(waiting) >= window:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        for _, future in waiting:
            future.cancel()

"""Where the benchmark keeps what it fetches, trains, installs and measures."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def cache(*parts: str) -> Path:
    """A folder of the cache, made if it is not there: in $NEURALCODEC_BENCH, else ``.cache/bench`` of the checkout."""
    folder = Path(os.environ.get("NEURALCODEC_BENCH") or ROOT / ".cache" / "bench").joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Waits until no other process holds the lock of this name, and holds it."""
    with (cache("locks") / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def data() -> Path | None:
    """The folder of further networks, $NEURALCODEC_DATA, or None."""
    name = os.environ.get("NEURALCODEC_DATA")
    return Path(name) if name else None

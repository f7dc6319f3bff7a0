"""Where the benchmark keeps what it fetches, trains, installs and measures."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def cache(*parts: str) -> Path:
    """A folder of the cache, made if it is not there: in $NEURALCODEC_BENCH, else ``.cache/bench`` of the checkout."""
    folder = Path(os.environ.get("NEURALCODEC_BENCH") or ROOT / ".cache" / "bench").joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def data() -> Path | None:
    """The folder of further networks, $NEURALCODEC_DATA, or None."""
    name = os.environ.get("NEURALCODEC_DATA")
    return Path(name) if name else None

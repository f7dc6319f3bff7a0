"""Evaluations that outlive a search: those of a front, or of a file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from neuralcodec.container import replace_file
from neuralcodec.errors import PlanError
from neuralcodec.exploration.candidates import Choice
from neuralcodec.exploration.front import Front

VERSION = 1


def of_front(front: Front, fingerprint: int) -> dict[Choice, float]:
    """Losses by choice.

    Raises:
        PlanError: the front is one of other weights or settings.
    """
    if front.fingerprint != fingerprint:
        raise PlanError("resume: this front was found for other weights, settings or options")
    return {evaluation.choice: evaluation.loss for evaluation in front.evaluations}


def read(path: Path, fingerprint: int) -> dict[Choice, float]:
    """Losses by choice; none if there is no file.

    Raises:
        PlanError: the file is none of ours, or one of other weights or settings.
        OSError: it cannot be read.
    """
    if not path.exists():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        if held["version"] != VERSION:
            raise PlanError(f"resume: {path} has version {held['version']}, {VERSION} is expected")
        known = {tuple(map(int, choice)): math.inf if loss is None else float(loss) for choice, loss in held["losses"]}
        same = held["fingerprint"] == fingerprint
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(f"resume: {path} does not hold evaluations: {error!r}") from error
    if not same:
        raise PlanError(f"resume: {path} holds evaluations of other weights, settings or options")
    return known


def write(path: Path, fingerprint: int, known: Mapping[Choice, float]) -> None:
    """Writes the file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    losses = [[list(choice), loss if math.isfinite(loss) else None] for choice, loss in known.items()]
    text = json.dumps({"version": VERSION, "fingerprint": fingerprint, "losses": losses})
    with replace_file(path) as file:
        file.write(text.encode())

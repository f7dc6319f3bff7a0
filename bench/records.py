"""What was measured: one JSON file a record, keyed by everything that it depends on.

A run that was cut off goes on where it stopped, and a change of a network, a method, or of neuralcodec itself makes new
records instead of mixing with old ones.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from bench.folders import ROOT
from bench.folders import cache as cache_folder
from bench.method import Method, Setting
from bench.network import Network, State

FORMAT = 1
"""Changes with the meaning of a record's fields."""

OURS = ("neuralcodec", "codecs", "firmware_decoder/src", "firmware_decoder/include")


@dataclass(frozen=True)
class Record:
    """One measurement.

    Attributes:
        kind: "baseline", "coded", "timing" or "firmware".
        network: name.
        method: name; empty for a baseline.
        setting: of the method.
        values: what was measured, by name; see bench/run.py.
        error: why it could not be, else empty.
        made: versions and machine.
    """

    kind: str
    network: str
    method: str
    setting: Mapping[str, object]
    values: Mapping[str, Any]
    error: str
    made: Mapping[str, str]


@dataclass(frozen=True)
class Skip:
    """Something that was not measured, and why.

    Attributes:
        network: name; empty for all.
        method: name; empty for all.
        reason: why.
    """

    network: str
    method: str
    reason: str


def key(kind: str, network: Network, state_hash: str, method: Method | None, setting: Setting, *more: object) -> str:
    """Identifies a measurement."""
    parts: list[object] = [FORMAT, kind, network.name, network.version, state_hash, dict(setting), *more]
    if method is not None:
        text = method.path.read_text(encoding="utf-8")
        parts += [method.name, hashlib.sha256(text.encode()).hexdigest(), list(method.requirements)]
        if "neuralcodec" in text:
            parts.append(source_hash())
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def content_hash(state: State) -> str:
    """Hash of names, types, shapes and values."""
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return total.hexdigest()


@cache
def source_hash() -> str:
    """Hash of neuralcodec's sources: its records are of this very code."""
    total = hashlib.sha256()
    for folder in OURS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".c", ".h", ".cpp", ".hpp"):
                total.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def read(name: str) -> Record | None:
    """The record of a key, or None."""
    path = _path(name)
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):  # not whole: measured again
        path.unlink()
        return None


def write(name: str, record: Record) -> None:
    """Keeps a record."""
    path = _path(name)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(asdict(record), indent=1, sort_keys=True), encoding="utf-8")
    part.replace(path)


def save(records: Iterable[Record], path: Path) -> None:
    """Writes records to one file for the report, and for others to read."""
    text = json.dumps({"format": FORMAT, "records": [asdict(r) for r in records]}, indent=1, sort_keys=True)
    part = path.with_suffix(".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


def load(path: Path) -> list[Record]:
    """Reads what :func:`save` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    if data.get("format") != FORMAT:
        raise ValueError(f"{path} holds records of format {data.get('format')}, not {FORMAT}")
    return [Record(**record) for record in data["records"]]


def _path(name: str) -> Path:
    return cache_folder("records") / f"{name}.json"

"""What was measured: one JSON file a record, keyed by everything that it depends on.

A run that was cut off goes on where it stopped, and a change of a network, a method, or of neuralcodec itself makes new
records instead of mixing with old ones.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bench import sources
from bench.folders import ROOT
from bench.folders import cache as cache_folder
from bench.method import Method, Setting
from bench.network import Network, State

FORMAT = 1
"""Changes with the meaning of a record's fields."""

DESCRIPTION = {"TITLE", "KIND", "REQUIREMENTS", "QUICK", "FULL", "ADVICE", "hull", "CODECS"}
"""What a method's file says of it, and what it is measured with: see bench/methods/__init__.py."""


@dataclass(frozen=True)
class Record:
    """One measurement.

    Attributes:
        kind: "baseline", "score", "coded", "timing" or "firmware".
        network: name.
        method: name; empty for a baseline or a score.
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
    """Identifies a measurement.

    It depends on the network, on the method's code and requirements, and on what it imports: other files of bench/, and
    of neuralcodec the sources that encode with its codecs; a timing also on those that decode. It does not depend on
    which settings a sweep has, nor on what is said of the method.
    """
    parts: list[object] = [FORMAT, kind, network.name, network.version, state_hash, dict(setting), *more]
    if method is not None:
        used = _used(method.path)
        parts += [method.name, list(method.requirements), sorted(_code_hash(path) for path in used)]
        if any(name.split(".")[0] == "neuralcodec" for path in used for name in imported(path)):
            parts.append(sources.encoder_hash(method.codecs))
            if kind == "timing":
                parts.append(sources.decoder_hash())
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def content_hash(state: State) -> str:
    """Hash of names, types, shapes and values."""
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return total.hexdigest()


def _code_hash(path: Path) -> str:
    """Of what a file does: of its syntax tree, without comments, docstrings, and what describes a method."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not (isinstance(node, ast.Assign) and _names(node) & DESCRIPTION)]
    return hashlib.sha256(sources.code(tree).encode()).hexdigest()


def _names(node: ast.Assign) -> set[str]:
    return {target.id for target in node.targets if isinstance(target, ast.Name)}


def _used(path: Path) -> set[Path]:
    """A file, and the files of bench/ that it imports, and those that they import."""
    found: set[Path] = set()
    new = {path}
    while new:
        found |= new
        names = {name for each in new for name in imported(each) if name.startswith("bench.")}
        new = {file for name in names if (file := (ROOT / name.replace(".", "/")).with_suffix(".py")).is_file()} - found
    return found


def imported(path: Path) -> set[str]:
    """Names that a file imports, wherever in it."""
    return set(sources.imported(ast.parse(path.read_text(encoding="utf-8"))))


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


def _path(name: str) -> Path:
    return cache_folder("records") / f"{name}.json"

"""A model in several safetensors files, with an index that tells in which of them each tensor lies.

Large checkpoints are published so: beside the files lies ``model.safetensors.index.json``, a JSON object whose
``weight_map`` has the name of a file for the name of each tensor (Hugging Face, "Serialized shard index").
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from neuralcodec.errors import SourceError
from neuralcodec.source.base import Source, by_bytes
from neuralcodec.source.file import MAPPED_BYTES, open_file

INDEX = ".index.json"
"""Ending of the names of such indices."""


def is_index(path: Path) -> bool:
    """Whether a path is by its name that of an index."""
    return path.name.endswith(INDEX)


def open_index(path: Path) -> Source:
    """A source over the tensors of all files that an index names. Of their metadata it has what no two contradict.

    Raises:
        SourceError: the index is not one, it does not fit the files beside it, or one of these cannot be read.
    """
    weight_map = _weight_map(path)
    files = sorted(set(weight_map.values()))
    shards = {file: open_file(path.parent / file, MAPPED_BYTES // len(files)) for file in files}
    for name, file in weight_map.items():
        if name not in shards[file].specs:
            raise SourceError(f"{path} says that it is in {file}, which does not have it", tensor=name)
    for file, shard in shards.items():
        if unnamed := [name for name in shard.specs if weight_map.get(name) != file]:
            raise SourceError(f"it is in {file}, but {path} does not say so", tensor=unnamed[0])
    specs = {name: shards[weight_map[name]].specs[name] for name in sorted(weight_map, key=by_bytes)}
    return Source(specs, {}, lambda name: shards[weight_map[name]].read(name), _agreed(shards.values()))


def shard_paths(path: Path) -> list[Path]:
    """The files that an index names, whether or not they are there.

    Raises:
        SourceError: the file is not such an index.
    """
    return [path.parent / file for file in sorted(set(_weight_map(path).values()))]


def _weight_map(path: Path) -> dict[str, str]:
    """File by tensor."""
    try:
        index = json.loads(path.read_bytes(), object_pairs_hook=_without_doubles)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not an index of safetensors files: {error}") from error
    found = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(found, dict) or not found:
        raise SourceError(f"{path} is not an index of safetensors files: it has no weight_map")
    for name, file in found.items():
        # Of other people's files none but those beside the index are opened.
        if not isinstance(file, str) or not _is_name(file):
            raise SourceError(f"{path} says that it is in {file!r}, which is no name of a file beside it", tensor=name)
    return found


def _is_name(file: str) -> bool:
    return file not in {"", ".", ".."} and file.isprintable() and not set(file) & {"/", "\\"}


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{name!r} is there more than once")
    return found


def _agreed(shards: Iterable[Source]) -> Mapping[str, str]:
    metadata: dict[str, set[str]] = {}
    for shard in shards:
        for key, value in shard.metadata.items():
            metadata.setdefault(key, set()).add(value)
    return {key: next(iter(values)) for key, values in metadata.items() if len(values) == 1}

"""Looks at the tensors of a model, one after the other."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from neuralcodec.api import load
from neuralcodec.container import METADATA_KEY
from neuralcodec.errors import NeuralCodecError, PlanError
from neuralcodec.model import CompressedModel
from neuralcodec.plan.rules import Pattern, assign
from neuralcodec.plan.run import Progress
from neuralcodec.profiling.profile import Profile
from neuralcodec.registry import make_codec
from neuralcodec.source import Source, open_source

Model = torch.nn.Module | Mapping[str, object] | CompressedModel | str | os.PathLike[str]

SNR_DB = 30.0


def profile(
    model: Model, tensors: Pattern = None, *, snr_db: float = SNR_DB, progress: Progress | None = None
) -> Profile:
    """Looks at the weights of a model: distributions, scales, spectrum, entropy, and what codec suits them.

    Counts, range and moments are those of all weights; the rest is taken from a sample of tensors of more than 2^18
    weights, always the same one. Needs scipy (``pip install "neuralcodec[profile]"``).

    Args:
        model: a module, a mapping of names to tensors, the path of a ``.safetensors`` file, or a compressed model or
            its file, which is decoded.
        tensors: names to look at, as a shell pattern (``"encoder.*"``), several of them, or a function; default all.
        snr_db: the signal-to-noise ratio in dB that suggested settings reach, each tensor by itself.
        progress: called with a tensor's name, the weights done, and those of all tensors that are looked at.

    Raises:
        SourceError: the model cannot be read; the message names the tensor.
        BitstreamError: a compressed model is damaged.
        PlanError: a pattern matches no tensor, or the SNR is not a number from 1 to 100.
        NeuralCodecError: scipy is not installed.
    """
    require("scipy")
    from neuralcodec.profiling.tensor import Wish, profile_tensor  # noqa: PLC0415 (needs scipy, which is optional)

    if not 1 <= snr_db <= 100:
        raise PlanError(f"snr_db: a number from 1 to 100 expected, not {snr_db!r}")
    source = _open(model)
    # What encode() would quantize, and why it would keep the rest. Lossless codecs take all that is chosen.
    lossy = assign(source, make_codec("huffman", {}), None, None)
    try:
        chosen = assign(source, make_codec("raw", {}), tensors, None)
    except PlanError as error:
        raise PlanError(f"tensors: {error.message.removeprefix('include: ')}") from None
    names = [name for name in source.specs if chosen[name].reason == "chosen"]
    tied: dict[str, tuple[str, ...]] = {}
    for name, first in source.ties.items():
        tied[first] = (*tied.get(first, ()), name)
    total, done = sum(source.specs[name].size for name in names), 0
    found = []
    for name in names:
        reason = lossy[name].reason.removeprefix("exact: ") if not lossy[name].codec.lossy else ""
        found.append(profile_tensor(source.read(name), tied.get(name, ()), Wish(snr_db, reason)))
        done += source.specs[name].size
        if progress is not None:
            progress(name, done, total)
    return Profile(tuple(found), snr_db)


def require(*modules: str) -> None:
    """Checks for optional dependencies without importing them.

    Raises:
        NeuralCodecError: one is not installed.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise NeuralCodecError(
            f'profile needs {" and ".join(missing)}, not installed here: pip install "neuralcodec[profile]"'
        )


def _open(model: Model) -> Source:
    if isinstance(model, (str, os.PathLike)) and _is_compressed(Path(model)):
        model = load(model)
    if not isinstance(model, CompressedModel):
        return open_source(model)
    entries = model.entries
    specs = {entry.spec.name: entry.spec for entry in entries if entry.tied_to is None}
    ties = {entry.spec.name: entry.tied_to for entry in entries if entry.tied_to is not None}
    return Source(specs, ties, model.decode_elements)


def _is_compressed(path: Path) -> bool:
    try:
        with safe_open(path, framework="np") as file:
            return METADATA_KEY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False  # what is wrong with it is for open_source() to say

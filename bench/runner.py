"""Measures one method with one setting, in a process of its own."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from bench import environment
from bench.method import Method, Setting
from bench.network import State

TIMEOUT = 1800.0
"""Seconds that all repetitions may take together."""


class MeasureError(Exception):
    """A method could not encode or decode a network; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """What a method made of a network.

    Attributes:
        bytes: of the whole file.
        decoded: tensors by name.
        encode_s: seconds of each repetition.
        decode_s: the same.
        peak_bytes: the most memory while encoding and decoding, above what the process had before, the network and
            all packages included.
        version: of what did the work.
    """

    bytes: int
    decoded: dict[str, torch.Tensor]
    encode_s: tuple[float, ...]
    decode_s: tuple[float, ...]
    peak_bytes: int
    version: str


def measure(method: Method, setting: Setting, state: State, repeats: int = 1, timeout: float = TIMEOUT) -> Outcome:
    """Encodes and decodes ``state``, its floats as float32.

    Raises:
        MeasureError: it failed, took too long, or what was decoded has other names or shapes.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, to = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
        save_file({name: _plain(tensor) for name, tensor in state.items()}, source)
        arguments = [json.dumps(dict(setting)), str(source), str(to), "--repeats", str(repeats)]
        try:
            found = environment.work(method, arguments, timeout)
        except environment.MethodError as error:
            raise MeasureError(str(error)) from error
        decoded = load_file(to)
    _compare(state, decoded)
    return Outcome(
        bytes=found["bytes"],
        decoded=decoded,
        encode_s=tuple(found["encode_s"]),
        decode_s=tuple(found["decode_s"]),
        peak_bytes=found["peak_bytes"],
        version=found["version"],
    )


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of its own, as the file format takes no two tensors that share memory."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).clone(memory_format=torch.contiguous_format)


def _compare(state: State, decoded: State) -> None:
    if decoded.keys() != state.keys():
        lost, new = sorted(state.keys() - decoded.keys()), sorted(decoded.keys() - state.keys())
        raise MeasureError(f"decoding lost the tensors {lost[:5]} and made up {new[:5]}")
    for name, tensor in state.items():
        if decoded[name].shape != tensor.shape:
            raise MeasureError(f"{name} was decoded as {tuple(decoded[name].shape)}, not {tuple(tensor.shape)}")
        if not tensor.is_floating_point() and not torch.equal(decoded[name].to(tensor.dtype), tensor):
            raise MeasureError(f"{name} is of integers and was decoded as others")

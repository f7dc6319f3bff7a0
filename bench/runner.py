"""Measures one method with one setting, in a process of its own; and times several in turns."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from bench import environment
from bench.method import Method, Setting
from bench.network import State

TIMEOUT = 900.0
"""Seconds that encoding and decoding once may take."""

ENOUGH = 60.0
"""Seconds after which a method is not timed once more."""


class MeasureError(Exception):
    """A method could not encode or decode a network; the message says why."""


class TooLongError(MeasureError):
    """It took too long, and will with other settings."""


@dataclass(frozen=True)
class Outcome:
    """What a method made of a network.

    Attributes:
        bytes: of the whole file.
        decoded: tensors by name.
        peak_bytes: the most memory while encoding and decoding, above what the process had before, the network and
            all packages included.
        version: of what did the work.
    """

    bytes: int
    decoded: dict[str, torch.Tensor]
    peak_bytes: int
    version: str


@dataclass(frozen=True)
class Seconds:
    """Times of each repetition."""

    encode: tuple[float, ...]
    decode: tuple[float, ...]


def measure(method: Method, setting: Setting, state: State, timeout: float = TIMEOUT) -> Outcome:
    """Encodes and decodes ``state``, its floats as float32.

    Raises:
        TooLongError: it took longer than ``timeout`` seconds.
        MeasureError: it failed, or what was decoded has other names or shapes.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, to = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
        save_file({name: _plain(tensor) for name, tensor in state.items()}, source)
        try:
            found = environment.measured(method, setting, source, to, timeout)
        except environment.TooLongError as error:
            raise TooLongError(str(error)) from error
        except environment.MethodError as error:
            raise MeasureError(str(error)) from error
        decoded = load_file(to)
    _compare(state, decoded)
    return Outcome(
        bytes=found["bytes"],
        decoded=decoded,
        peak_bytes=found["peak_bytes"],
        version=found["version"],
    )


def times(
    choices: Sequence[tuple[Method, Setting]], state: State, rounds: int, tell: Callable[[str], None]
) -> list[Seconds | MeasureError]:
    """Times methods in turns, so that a slow moment of the machine hits all alike.

    Each has a process of its own, which has read the weights and waits while it is not its turn. One that has taken a
    minute is not asked again.

    Args:
        choices: the methods, each with a setting.
        state: what they encode and decode.
        rounds: repetitions of each.
        tell: told the name of the method before each repetition.

    Returns:
        For each choice its times, or why there are none.
    """
    found: list[Seconds | MeasureError] = [Seconds((), ())] * len(choices)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        source = Path(folder) / "in.safetensors"
        save_file({name: _plain(tensor) for name, tensor in state.items()}, source)
        processes: dict[int, environment.Process] = {}
        for i, (method, setting) in enumerate(choices):
            arguments = [json.dumps(dict(setting)), str(source), "--wait"]
            try:
                processes[i] = running.enter_context(environment.started(method, arguments))
                processes[i].answer(TIMEOUT)
            except environment.MethodError as error:
                found[i] = MeasureError(str(error))
        for _ in range(rounds):
            for i, (method, _) in enumerate(choices):
                so_far = found[i]
                if isinstance(so_far, MeasureError) or sum(so_far.encode + so_far.decode) > ENOUGH:
                    continue
                tell(method.name)
                processes[i].ask()
                try:
                    took = processes[i].answer(TIMEOUT)
                except environment.MethodError as error:
                    found[i] = MeasureError(str(error))
                    continue
                found[i] = Seconds((*so_far.encode, took["encode_s"]), (*so_far.decode, took["decode_s"]))
    return found


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

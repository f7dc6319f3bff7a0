"""Measures networks with methods. Every measurement is a cached record.

Values of records, by kind:

baseline  ``weights``, ``bytes`` (floats at 32 bits), ``score``, ``stderr``, ``samples``, ``further``; and ``bound``:
          pairs of SNR in dB and the Gaussian lower bound in bits a weight
score     ``score``, ``stderr``, ``samples``, ``further`` of decoded weights, whatever they were decoded from
coded     ``bytes`` of the whole file, ``bits_per_weight`` (all bytes over all float weights), ``ratio`` (×),
          ``relative_size`` (%), ``snr_db`` (null where exact), ``relative_error``, ``max_error``, ``peak_bytes``, and
          ``score``, ``stderr``, ``samples``, ``further``
timing    ``encode_s``, ``decode_s``: seconds of each repetition, one thread; ``weights``, ``bits_per_weight``;
          ``load`` of the machine before (processes that ran, over the last minute)
firmware  by core: instructions a weight and to prepare a tensor; bytes of code, stack, tables and structs
"""

from __future__ import annotations

import math
import os
import platform
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bench import bound, environment, fidelity, firmware, records, runner, sources
from bench.method import Method, Setting
from bench.network import Network, State
from bench.records import Record

BOUND_DB = tuple(range(4, 62, 2))
TIMED_BITS = 4.0
"""A lossy method is timed at its setting that comes nearest to this many bits a weight."""


class BaselineError(Exception):
    """Original weights do not score what they should: nothing measured with them could be trusted."""


@dataclass(frozen=True)
class Loaded:
    """A network with its weights."""

    network: Network
    state: State
    hash: str


Progress = Callable[[str], None]
"""Told what is being done."""

_scoring = threading.Lock()
"""One score at a time: each takes all the threads that it can use."""


def load(network: Network) -> Loaded:
    """The network's weights, floats as float32, as every method gets them."""
    state = {name: t.float() if t.is_floating_point() else t for name, t in network.load().items()}
    return Loaded(network, state, records.content_hash(state))


def baseline(loaded: Loaded) -> Record:
    """Scores the original weights.

    Raises:
        BaselineError: the score is off by more than the network's margin.
    """
    network, state = loaded.network, loaded.state
    name = records.key("baseline", network, loaded.hash, None, {}, list(BOUND_DB))
    record = records.read(name)
    if record is None:
        values: dict[str, object] = {
            "weights": fidelity.weights(state),
            "bytes": fidelity.original_bytes(state),
            "bound": list(map(list, zip(BOUND_DB, bound.gaussian_bound(state, BOUND_DB).tolist(), strict=True))),
            **score(network, state),
        }
        record = Record("baseline", network.name, "", {}, values, "", _made("original weights"))
        records.write(name, record)
    found = record.values.get("score")
    if found is not None and not abs(found - network.expected) <= network.margin:
        raise BaselineError(
            f"{network.name}: the original weights score {found:.2f} {network.unit}, expected "
            f"{network.expected:.2f} ± {network.margin:.2f}. Nothing is measured with a network in this state."
        )
    return record


def coded(loaded: Loaded, method: Method, setting: Setting) -> Record:
    """Encodes, decodes and scores with one setting. A method that fails gives a record with an error.

    Raises:
        TooLongError: it took too long.
    """
    network, state = loaded.network, loaded.state
    try:
        name = records.key("coded", network, loaded.hash, method, setting, environment.version(method))
        record = records.read(name)
        if record is not None:
            return record
        outcome = runner.measure(method, setting, state)
    except runner.TooLongError:
        raise
    except (environment.MethodError, runner.MeasureError) as error:
        return failed(network, method, setting, str(error))
    decoded = {n: outcome.decoded[n].to(t.dtype).reshape(t.shape) for n, t in state.items()}
    if method.kind == "lossless" and records.content_hash(decoded) != loaded.hash:
        return failed(network, method, setting, "what was decoded is not what was encoded, bit for bit")
    loss = fidelity.compare(state, decoded)
    original = fidelity.original_bytes(state)
    values = {
        "bytes": outcome.bytes,
        "bits_per_weight": 8 * outcome.bytes / fidelity.weights(state),
        "ratio": original / outcome.bytes,
        "relative_size": 100 * outcome.bytes / original,
        "snr_db": loss.snr_db if math.isfinite(loss.snr_db) else None,
        "relative_error": loss.relative_error,
        "max_error": loss.max_error,
        "peak_bytes": outcome.peak_bytes,
        **score(network, decoded),
    }
    record = Record("coded", network.name, method.name, setting, values, "", _made(outcome.version))
    records.write(name, record)
    return record


def kept(loaded: Loaded, method: Method, setting: Setting) -> Record | None:
    """The record that :func:`coded` would find, if it is there."""
    try:
        name = records.key("coded", loaded.network, loaded.hash, method, setting, environment.version(method))
    except environment.MethodError:
        return None
    return records.read(name)


def failed(network: Network, method: Method, setting: Setting, reason: str) -> Record:
    """A record of a setting that could not be measured. It is not kept: the next run tries again."""
    return Record("coded", network.name, method.name, setting, {}, reason, _made(""))


def timings(
    loaded: Loaded,
    choices: Sequence[tuple[Method, Record]],
    rounds: int,
    progress: Progress,
    *,
    again: bool = False,
    kept: bool = False,
) -> list[Record]:
    """Times methods, each at the setting of a record, in turns.

    Times that were not taken in turns with each other are not compared: if one of them is missing, all are taken.

    Args:
        loaded: the network.
        choices: methods, each with the record of what it is to encode with.
        rounds: repetitions of each.
        progress: told what is being done.
        again: takes them anew even if they are all there.
        kept: takes none.
    """
    each = [
        records.key("timing", loaded.network, loaded.hash, m, r.setting, environment.version(m)) for m, r in choices
    ]
    names = [
        records.key("timing", loaded.network, loaded.hash, None, {}, rounds, machine(), name, each) for name in each
    ]
    known = [records.read(name) for name in names]
    if kept or (not again and None not in known):
        return [record for record in known if record is not None]
    busy = os.getloadavg()[0]
    found = runner.times(
        [(m, r.setting) for m, r in choices],
        loaded.state,
        rounds,
        lambda name: progress(f"{loaded.network.name}: timing {name}"),
    )
    made = []
    for name, (method, record), took in zip(names, choices, found, strict=True):
        if isinstance(took, runner.MeasureError):
            values, reason = {}, str(took)
        else:
            values, reason = (
                {
                    "encode_s": list(took.encode),
                    "decode_s": list(took.decode),
                    "weights": fidelity.weights(loaded.state),
                    "bits_per_weight": record.values["bits_per_weight"],
                    "load": busy,
                },
                "",
            )
        here = _made(record.made["version"])
        made.append(Record("timing", loaded.network.name, method.name, record.setting, values, reason, here))
        if not reason:
            records.write(name, made[-1])
    return made


def on_firmware(loaded: Loaded, method: Method, setting: Setting, *, kept: bool = False) -> Record | None:
    """What the C decoder takes on emulated cores; None where it cannot be: see :func:`firmware.missing`.

    Args:
        loaded: the network.
        method: what encodes it.
        setting: of the method.
        kept: only if there is a record of it.
    """
    if not firmware.can_decode(method):
        return None
    name = records.key("firmware", loaded.network, loaded.hash, method, setting, sources.firmware_hash())
    record = records.read(name)
    if record is None and not kept:
        try:
            values, error = firmware.measure(loaded.state, method, setting), ""
        except firmware.FirmwareError as reason:
            values, error = {}, str(reason)
        record = Record("firmware", loaded.network.name, method.name, setting, values, error, _made(firmware.version()))
        if not error:
            records.write(name, record)
    return record


def to_time(method: Method, of: Sequence[Record]) -> Record | None:
    """The record at whose setting a method is timed."""
    good = [r for r in of if r.method == method.name and not r.error]
    if method.kind == "lossless":
        return good[0] if good else None
    return min(good, key=lambda r: abs(r.values["bits_per_weight"] - TIMED_BITS), default=None)


def score(network: Network, state: State) -> dict[str, Any]:
    """The task metric of weights; the same weights are scored once, whichever method they were decoded by."""
    if network.evaluate is None:
        return {}
    name = records.key("score", network, records.content_hash(state), None, {})
    with _scoring:
        record = records.read(name)
        if record is None:
            torch.set_num_threads(2)
            found = network.evaluate(state)
            values = {
                "score": found.value,
                "stderr": found.stderr,
                "samples": found.samples,
                "further": dict(found.further),
            }
            record = Record("score", network.name, "", {}, values, "", _made("decoded weights"))
            records.write(name, record)
    return dict(record.values)


def _made(version: str) -> Mapping[str, str]:
    return {"version": version, "python": platform.python_version(), "machine": machine()}


def machine() -> str:
    """The processor, as the system names it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

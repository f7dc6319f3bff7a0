"""What the C decoder takes on emulated microcontrollers for a network that neuralcodec encoded."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bench.folders import ROOT
from bench.method import Method, Setting
from bench.network import State

sys.path.append(str(ROOT / "firmware_decoder" / "ports"))

import emulator

CORES = {"m4": "Cortex-M4", "m0": "Cortex-M0"}
"""QEMU has no M0+; the M0 runs the same instructions."""

HUFFMAN_BYTES = 4 * 1028
"""Of four code tables, which losslessly coded floats take."""

FLASH_BYTES = 1 << 20
"""Of a stream: larger ones are left out, as no such microcontroller holds them."""


class FirmwareError(Exception):
    """An image could not be built or run, or the network does not fit."""


def missing() -> str | None:
    """Why nothing can be measured here, or None."""
    for board in CORES:
        reason: str | None = emulator.available(board)
        if reason is not None:
            return reason
    return None


def can_decode(method: Method) -> bool:
    """Whether the method's streams are the C decoder's, as it is built for these cores."""
    return method.for_decoder


def fits(values: Mapping[str, Any]) -> bool:
    """Whether a microcontroller's flash holds the stream of a record."""
    return int(values["bytes"]) <= FLASH_BYTES


@cache
def version() -> str:
    """Of the compiler."""
    done = subprocess.run(["arm-none-eabi-gcc", "-dumpversion"], capture_output=True, text=True, check=False)
    return f"gcc {done.stdout.strip()} -O2, QEMU"


def measure(state: State, method: Method, setting: Setting) -> dict[str, Any]:
    """Instructions a weight (retired, not cycles), RAM and code, by core.

    Raises:
        FirmwareError: it cannot be.
    """
    import neuralcodec  # noqa: PLC0415 (slow to import)

    reason = missing()
    if reason is not None:
        raise FirmwareError(reason)
    options = importlib.import_module(f"bench.methods.{method.name}").options(setting)
    cm = neuralcodec.encode(dict(state), **options)
    blob, room = cm.to_bytes(names=False), (f"-DWORKSPACE_BYTES={max(cm.demand().slots, HUFFMAN_BYTES)}u",)
    if len(blob) > FLASH_BYTES:
        raise FirmwareError(f"the stream of {len(blob):,} bytes does not fit a microcontroller's flash")
    found: dict[str, Any] = {}
    reasons: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        (path := Path(name) / "model.bin").write_bytes(blob)
        for board, core in CORES.items():
            try:
                image = emulator.build(board, path, Path(name) / board, defines=room)
                result = emulator.run(board, image, timeout=300)
            except emulator.EmulatorError as error:
                too_big = "will not fit in region" in str(error)
                reasons.append(f"{core}: " + ("the board's flash is too small" if too_big else str(error)[-300:]))
                continue
            if result.exit_code:
                raise FirmwareError(f"{core}: {result.output[-300:]}")
            found[core] = {
                "instructions_per_weight": _sum(result, ".instructions") / _sum(result, ".weights"),
                "prepare_instructions": result.number("prepare.per_tensor_x100") / 100,
                "stack_bytes": result.number("stack_bytes"),
                "table_bytes": result.number("table_bytes"),
                "struct_bytes": result.number("model_struct_bytes") + result.number("tensor_struct_bytes"),
                "code_bytes": result.number("decoder_code_bytes"),
            }
    if not found:
        raise FirmwareError("; ".join(reasons))
    return found


def _sum(result: emulator.Result, what: str) -> int:
    """Over all tensors that are coded; those that are stored as they are would make it look better."""
    kinds = [key.removesuffix(".weights") for key in result.values if key.endswith(".weights")]
    return sum(result.number(kind + what) for kind in kinds if kind != "raw")

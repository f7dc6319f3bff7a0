"""Models decoded on emulated microcontrollers, which tell what that takes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import neuralcodec
from bench.folders import ROOT

sys.path.append(str(ROOT / "firmware_decoder" / "ports"))

import emulator


def decoded(
    model: neuralcodec.CompressedModel,
    board: str,
    opt: str = "-O2",
    defines: Sequence[str] = (),
    shift: int | None = None,
) -> emulator.Result:
    """All tensors, tile by tile, by the example decode_all.

    Args:
        model: compressed.
        board: on which.
        opt: the compiler's optimization level.
        defines: further ``-D`` options.
        shift: see :func:`emulator.run`.

    Raises:
        SystemExit: the board reports an error.
    """
    with tempfile.TemporaryDirectory() as folder:
        (blob := Path(folder) / "model.bin").write_bytes(model.to_bytes(names=False))
        image = emulator.build(board, blob, Path(folder) / "out", opt=opt, defines=defines)
        result = emulator.run(board, image, timeout=600, shift=shift)
    if result.exit_code:
        sys.exit(f"{board}: {result.output}")
    return result

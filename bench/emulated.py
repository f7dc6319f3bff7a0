"""Models decoded on emulated microcontrollers, which tell what that takes."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import neuralcodec
from bench.folders import ROOT
from neuralcodec.export_prepared import prepare, smallest

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


def decoded_prepared(model: neuralcodec.CompressedModel, board: str, opt: str = "-Os") -> emulator.Result:
    """All tensors, tile by tile, from opened tensors and tables in flash: tests/prepared.c with the smallest decoder.

    Args:
        model: compressed.
        board: on which.
        opt: the compiler's optimization level.

    Raises:
        SystemExit: the board reports an error.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (example := folder / "examples" / "prepared").mkdir(parents=True)
        neuralcodec.export_c(model, example / "model.c", prepared=True)
        shutil.copy(ROOT / "firmware_decoder" / "tests" / "prepared.c", example / "main.c")
        (blob := folder / "none").write_bytes(b"-")  # images hold a stream, and this has no use for one
        options = smallest(prepare(model)).split()
        image = emulator.build(
            board, blob, folder / "out", example="prepared", opt=opt, defines=options, examples=example.parent
        )
        result = emulator.run(board, image, timeout=600)
    if result.exit_code:
        sys.exit(f"{board}: {result.output}")
    return result

#!/usr/bin/env python3
"""Builds images for emulated boards and runs them in QEMU. Standard library only; boards come from boards.mk.

    python emulator.py m4 model.ncd

builds the example decode_all with that model stream in flash, runs it and prints what it prints.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PORTS = Path(__file__).resolve().parent
FAULT = 99
"""Exit code of an image that ran into a processor fault, PORT_FAULT of port.h."""

_PACKAGES = {
    "make": "make",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "libc_nano.a": "libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf",
    "picolibc.specs": "picolibc-riscv64-unknown-elf",
    "qemu-system-riscv32": "qemu-system-misc",
}
"""The Debian or Ubuntu package of each program and file."""


class EmulatorError(RuntimeError):
    """An image could not be built or run. Base of the others."""


class BuildError(EmulatorError):
    """The compiler or the linker refused; the message has their output."""


class EmulatorTimeoutError(EmulatorError):
    """The image did not end in time; the message has what it printed until then."""


@dataclass(frozen=True)
class Board:
    """A board of boards.mk.

    Attributes:
        name: what BOARD= takes.
        core: the processor core.
        machine: QEMU's name of the board.
        flash_bytes: room for code and the model stream.
        ram_bytes: room for data and the stack.
        cross: prefix of the cross compiler's programs.
        libc: a file that tells whether its C library is there.
        emulator: QEMU's program.
        options: its options, without machine and image; the last is the shift of -icount.
        shift: that shift, with which counts are right.
    """

    name: str
    core: str
    machine: str
    flash_bytes: int
    ram_bytes: int
    cross: str
    libc: str
    emulator: str
    options: tuple[str, ...]
    shift: int


@dataclass(frozen=True)
class Result:
    """What a run gave.

    Attributes:
        board: the board's name.
        exit_code: 0 if all went well, 1 if the example reports an error, :data:`FAULT` after a fault.
        values: the printed lines of the form ``key=value``.
        output: everything printed.
    """

    board: str
    exit_code: int
    values: Mapping[str, str]
    output: str

    def number(self, key: str) -> int:
        """A printed number; the error for a missing one shows what was printed instead."""
        if key not in self.values:
            raise EmulatorError(f"{self.board} printed no {key}; exit code {self.exit_code}, output:\n{self.output}")
        return int(self.values[key])


def _bytes(text: str) -> int:
    units = {"K": 1 << 10, "M": 1 << 20}
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text, 0)


def _read_boards(path: Path) -> dict[str, Board]:
    facts: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            facts[name.strip()] = value.strip()
    boards = {}
    for name in facts["boards"].split():
        port = facts[f"{name}.port"]
        boards[name] = Board(
            name=name,
            core=facts[f"{name}.core"],
            machine=facts[f"{name}.machine"],
            flash_bytes=_bytes(facts[f"{name}.flash_size"]),
            ram_bytes=_bytes(facts[f"{name}.ram_size"]),
            cross=facts[f"{port}.cross"],
            libc=facts[f"{port}.libc"],
            emulator=facts[f"{port}.emulator"],
            options=(*facts[f"{port}.options"].split(), "-icount", f"shift={facts[f'{name}.shift']}"),
            shift=int(facts[f"{name}.shift"]),
        )
    return boards


BOARDS: Mapping[str, Board] = _read_boards(PORTS / "boards.mk")
"""Boards by name, in the order of boards.mk."""


def available(board: str | None = None) -> str | None:
    """Why images cannot be built or run here, or None if they can.

    Args:
        board: asks for the tools of one board; None asks for those of all.
    """
    missing: list[str] = []
    for entry in BOARDS.values() if board is None else [_board(board)]:
        compiler = f"{entry.cross}gcc"
        missing += [program for program in ("make", compiler, entry.emulator) if shutil.which(program) is None]
        if compiler not in missing and not _has_file(compiler, entry.libc):
            missing.append(entry.libc)
    if not missing:
        return None
    missing = list(dict.fromkeys(missing))
    packages = " ".join(_PACKAGES[name] for name in missing)
    return f"missing {', '.join(missing)}; on Debian or Ubuntu: sudo apt-get install {packages}"


def build(
    board: str,
    blob: Path,
    out: Path,
    example: str = "decode_all",
    opt: str = "-O2",
    *,
    defines: Sequence[str] = (),
    examples: Path = PORTS.parent / "examples",
    nn: bool = False,
) -> Path:
    """Builds an example with a model stream in flash.

    Args:
        board: the board's name.
        blob: the file of the model stream, as ``CompressedModel.to_bytes`` gives it.
        out: folder for what is built.
        example: name of the example.
        opt: the compiler's optimization level.
        defines: further ``-D`` options.
        examples: the folder that has the example's folder.
        nn: whether the inference kernels go into the image.

    Returns:
        The image, an ELF file.

    Raises:
        BuildError: it does not compile, or code and model do not fit the board's memory.
    """
    _board(board)
    out = out.resolve()
    command = ["make", "-s", "--no-print-directory", "-C", str(PORTS), f"BOARD={board}", f"BLOB={blob.resolve()}"]
    command += [f"EXAMPLE={example}", f"OUT={out}", f"OPT={opt}", f"DEFINES={' '.join(defines)}"]
    command += [f"EXAMPLES={examples.resolve()}", f"NN={int(nn)}", "image"]
    # Options of a make around this one, as its job server or -n, are not meant for it.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    except OSError as e:
        raise BuildError(f"cannot start make: {e}") from e
    if done.returncode != 0:
        raise BuildError(f"{example} for {board} does not build:\n{done.stdout}{done.stderr}")
    return out / f"{example}.{board}.elf"


def run(board: str, elf: Path, timeout: float = 60.0, shift: int | None = None) -> Result:
    """Runs an image to its end.

    Args:
        board: the board it was built for.
        elf: the image.
        timeout: seconds after which it is stopped.
        shift: of -icount; default the board's. One that is less by n makes counts 2^n times too small, and as much
            longer spans fit into the counter.

    Raises:
        EmulatorTimeoutError: it did not end in time.
        EmulatorError: QEMU did not start.
    """
    entry = _board(board)
    options = entry.options if shift is None else (*entry.options[:-1], f"shift={shift}")
    command = [entry.emulator, "-M", entry.machine, *options, "-kernel", str(elf)]
    try:
        # Semihosting writes to QEMU's stderr; keep it in order with what QEMU itself says.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
    except OSError as e:
        raise EmulatorError(f"cannot start {entry.emulator}: {e}") from e
    except subprocess.TimeoutExpired as e:
        printed = (e.stdout or b"").decode(errors="replace")
        raise EmulatorTimeoutError(f"{elf.name} on {board} did not end in {timeout:g} s; it printed:\n{printed}") from e
    output = done.stdout.decode(errors="replace").replace("\r\n", "\n")
    values = {}
    for line in output.splitlines():
        key, equals, value = line.partition("=")
        if equals and " " not in key:
            values[key] = value
    return Result(board, done.returncode, values, output)


def _board(name: str) -> Board:
    if name not in BOARDS:
        raise ValueError(f"no board {name!r}; there are {', '.join(BOARDS)}")
    return BOARDS[name]


def _has_file(compiler: str, name: str) -> bool:
    """Whether a compiler finds a file; it answers with the bare name if it does not."""
    done = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=False)
    return os.sep in done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Builds an image with a model stream in flash and runs it in QEMU.")
    parser.add_argument("board", choices=[*BOARDS, "all"])
    parser.add_argument("blob", type=Path, help="file of the model stream")
    parser.add_argument("--example", default="decode_all")
    parser.add_argument("--opt", default="-O2", help="optimization level (default -O2)")
    options = parser.parse_args(arguments)
    worst = 0
    try:
        for board in BOARDS if options.board == "all" else [options.board]:
            reason = available(board)
            if reason is not None:
                raise EmulatorError(reason)
            with tempfile.TemporaryDirectory() as folder:
                elf = build(board, options.blob, Path(folder), options.example, options.opt)
                result = run(board, elf)
            print(result.output, end="")
            worst = max(worst, result.exit_code)
    except EmulatorError as e:
        print(e, file=sys.stderr)
        return 2
    return worst


if __name__ == "__main__":
    sys.exit(main())

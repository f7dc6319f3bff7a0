"""Files that commands read and write, looked at before the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from neuralcodec.container import check_output, check_regular
from neuralcodec.source import files_of


def check_input(path: Path) -> None:
    """Looks whether a file can be read from any place of it.

    Raises:
        OSError: it cannot be; the error names it and the cause.
    """
    check_regular(path, os.stat(path).st_mode)  # a pipe must not be opened: that takes what is in it
    path.open("rb").close()


def output_beside(source: Path, output: Path | None, ending: str, *removed: str, others: Sequence[Path] = ()) -> Path:
    """The output that was given, or the source's name with another ending; one that can be written.

    Args:
        source: the input, which must be there.
        output: what the user said.
        ending: of the default.
        removed: endings that the default does not keep, the last one first.
        others: further inputs.

    Raises:
        OSError: the input cannot be read, or the output not written.
        SourceError: the input is an index by its name, and not by what it holds.
        ValueError: the output is an input.
    """
    check_input(source)
    inputs = files_of(source)
    for each in inputs[1:]:
        check_input(each)
    if output is None:
        name = source.name
        for old in removed:
            name = name.removesuffix(old)
        output = source.with_name(name + ending)
    check_outputs([*inputs, *others], output)
    return output


def check_outputs(inputs: Sequence[Path], *outputs: Path) -> None:
    """Looks whether outputs can be written, and leave the inputs alone.

    Raises:
        OSError: one cannot be written.
        ValueError: one is an input, or "-".
    """
    for output in outputs:
        if output == Path("-"):
            raise ValueError("for standard output give /dev/stdout, not -")
        check_output(output)
        if output.exists() and any(each.exists() and output.samefile(each) for each in inputs):
            raise ValueError(f"the output {output} is the input; give another name")


def is_stdout(output: Path) -> bool:
    """Whether an output such as /dev/stdout is where messages would go."""
    if sys.stdout is None:  # it was closed before the program began
        return False
    try:
        return os.path.samestat(os.stat(output), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):
        return False


def told_beside(output: Path, out: Console, err: Console) -> Console:
    """Where to say what was written, so that it is not between the written bytes."""
    return err if is_stdout(output) else out

"""Arguments and options that several commands have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors import SafetensorError
from safetensors.torch import load_file

from neuralcodec.container import check_regular, check_writable
from neuralcodec.errors import SourceError

Source = Annotated[Path, typer.Argument(metavar="IN", help="The .safetensors file to encode.")]
Compressed = Annotated[Path, typer.Argument(metavar="IN", help="A file that `neuralcodec encode` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


def check_readable(path: Path) -> None:
    """Looks whether there is a file.

    Raises:
        OSError: there is none, or no permission for it; the error names it.
    """
    check_regular(path, path.stat().st_mode)


def output(source: Path, output: Path | None, ending: str) -> Path:
    """The file to write, looked at before the work is done.

    Args:
        source: the file to read.
        output: what the user calls it; by default as the file to read, with another ending.
        ending: that.

    Raises:
        OSError: one of the two cannot be read or written.
    """
    check_readable(source)
    stem = source.name.removesuffix(".safetensors")
    if output is None:  # what was encoded already, and is to be again, has its own error later
        output = source.with_name((stem if ending.startswith(".nc") else stem.removesuffix(".nc")) + ending)
    if output.exists() and output.samefile(source):
        raise typer.BadParameter("it is the input; give another name", param_hint="--output")
    check_writable(output)
    return output


def parse(pairs: list[str]) -> dict[str, object]:
    """Codec options from ``NAME=VALUE`` texts; values are numbers, true, false, none or words."""
    options: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"expected NAME=VALUE, got {pair!r}", param_hint="--option")
        options[name.replace("-", "_")] = _value(text)
    return options


def parse_overrides(texts: list[str]) -> dict[str, dict[str, object]]:
    """Options by pattern, from ``PATTERN:NAME=VALUE`` texts. A pattern may hold colons."""
    overrides: dict[str, dict[str, object]] = {}
    for text in texts:
        pattern, colon, pair = text.rpartition(":")
        if not colon or not pattern or "=" not in pair:
            raise typer.BadParameter(f"expected PATTERN:NAME=VALUE, got {text!r}", param_hint="--override")
        overrides.setdefault(pattern, {}).update(parse([pair]))
    return overrides


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name, from a .safetensors file.

    Raises:
        OSError: the file cannot be read.
        SourceError: it is of another kind.
    """
    path.stat()  # whose error names the file
    try:
        return load_file(path)
    except SafetensorError as error:
        raise SourceError(f"{path} is not a safetensors file: {error}") from error


def _value(text: str) -> object:
    words = {"true": True, "yes": True, "false": False, "no": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


@contextlib.contextmanager
def executor(jobs: int) -> Iterator[Executor | None]:
    """A thread pool for more than one job."""
    if jobs == 1:
        yield None
        return
    with ThreadPoolExecutor(jobs) as pool:
        yield pool

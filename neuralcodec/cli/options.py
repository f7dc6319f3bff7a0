"""Arguments and options that several commands have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors import SafetensorError
from safetensors.torch import load_file

from neuralcodec.cli.paths import check_input
from neuralcodec.codec import Codec
from neuralcodec.errors import SourceError
from neuralcodec.registry import make_codec, with_options

Source = Annotated[
    Path,
    typer.Argument(metavar="IN", help="The .safetensors file to encode, or the .index.json of several."),
]
Compressed = Annotated[Path, typer.Argument(metavar="IN", help="A file that `neuralcodec encode` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


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


def check_overrides(codec: Codec, overrides: Mapping[str, Mapping[str, object]]) -> None:
    """Looks at overrides without the tensors that they are for.

    Raises:
        PlanError: an option is unknown, or outside its range.
        RegistryError: unknown codec.
    """
    for options in overrides.values():
        own = {name: value for name, value in options.items() if name != "codec"}
        if "codec" in options:
            make_codec(str(options["codec"]), own)
        else:
            with_options(codec, own)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name, from a .safetensors file.

    Raises:
        OSError: the file cannot be read.
        SourceError: it is of another kind.
    """
    check_input(path)
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

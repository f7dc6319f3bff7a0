"""The decoder's sources beside a generated program, set to what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from neuralcodec.errors import ExportError

FOLDERS = ("include", "src", "nn/include", "nn/src")


def decoder_folder() -> Path:
    """Where the decoder's sources are: in the source tree, or installed with the package.

    Raises:
        ExportError: they are not there.
    """
    package = Path(__file__).resolve().parents[2]
    for folder in (package.parent / "firmware_decoder", package / "firmware_sources"):
        if (folder / "nn" / "include" / "ncd_nn.h").is_file():
            return folder
    raise ExportError("the decoder's C sources are not where neuralcodec is installed")


def decoder_sources(settings: Mapping[str, int]) -> dict[str, bytes]:
    """Paths and contents of the decoder's sources and headers.

    Args:
        settings: macros of ncd_config.h to set, where a build does not set them itself.
    """
    root = decoder_folder()
    found = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).glob("*.[ch]")):
            if folder != "src" or not path.name.startswith("ncd"):  # those only lead to the headers in include/
                found[f"{folder}/{path.name}"] = path.read_bytes()
    lines = ["/* What this network needs of the decoder. Set by neuralcodec when it was exported. */"]
    for macro, value in sorted(settings.items()):
        lines += [f"#ifndef {macro}", f"#define {macro} {value}", "#endif"]
    found["include/ncd_config.h"] = "\n".join([*lines, ""]).encode() + b"\n" + found["include/ncd_config.h"]
    return found

"""Code and RAM that the C decoder takes on a Cortex-M4, by what is compiled in: `python bench/sizes.py`.

It runs `make size`, which compiles and links each configuration and bounds the stack by the call graph.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from bench.report.console import show  # noqa: E402 (needs the line above)
from bench.report.markdown import markdown, put  # noqa: E402
from bench.report.tables import Table  # noqa: E402

DECODER = ROOT / "firmware_decoder"
SIZES = ROOT / "build" / "firmware" / "size"
CROSS = "arm-none-eabi-"

MARKS = ("<!-- sizes: bench/sizes.py writes between these lines -->", "<!-- /sizes -->")

CONFIGURATIONS = {
    "levels": "huffman levels and raw",
    "lossless": "with lossless",
    "kmeans": "with kmeans instead",
    "trellis": "with trellis instead",
    "all": "all, with floats",
}
"""Of the Makefile of the decoder, with their titles."""

CODINGS = {
    "contexts": "contexts",
    "light": "light",
    "light_skip": "light, `NCD_TRELLIS_SKIP`",
    "rans": "rans",
    "prefix": "prefix",
}
"""Configurations of codec trellis alone, with one of its codings."""

PREPARED = ("contexts", "light", "rans", "prefix")
"""Codings of configurations of prepared tensors."""


def linked(name: str) -> int:
    """Bytes of code and constants of a configuration, as the linker leaves them."""
    return int((SIZES / f"{name}.total").read_text(encoding="utf-8"))


def ram(name: str) -> int:
    """Bytes of the decoder's structures and of the deepest stack of a configuration."""
    lines = (SIZES / f"{name}.ram").read_text(encoding="utf-8").splitlines()
    (total,) = (int(line.split()[-1]) for line in lines if line.startswith("  RAM"))
    return total


def modules(name: str, pattern: str) -> int:
    """Bytes of code and constants of the modules of a configuration whose names match."""
    return text_bytes(CROSS, sorted((SIZES / name).glob(pattern)))


def text_bytes(cross: str, files: Sequence[Path]) -> int:
    """Bytes of code and constants of objects or images together; ``cross``: prefix of the compiler's programs."""
    done = subprocess.run([f"{cross}size", *files], capture_output=True, text=True, check=True)
    return sum(int(line.split()[0]) for line in done.stdout.splitlines()[1:])


def measured() -> list[Table]:
    """Compiles, links, and reads.

    Raises:
        RuntimeError: `make size` fails; with what it printed.
    """
    done = subprocess.run(["make", "-s", "-C", DECODER, "size"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"make size failed:\n{done.stdout[-2000:]}{done.stderr}")
    return [
        Table(
            "Code and RAM in bytes",
            ("", *CONFIGURATIONS.values()),
            [
                ["code and constants", *(f"{linked(name):,}" for name in CONFIGURATIONS)],
                ["RAM beside tile and table", *(f"{ram(name):,}" for name in CONFIGURATIONS)],
            ],
            '"All" is with codecs regression and autoencoder, whose models take 4.7 KB, and without generative.',
        ),
        Table(
            "Of trellis without huffman, with one coding",
            ("", *CODINGS.values()),
            [
                ["code and constants", *(f"{linked(name):,}" for name in CODINGS)],
                ["of which the codec's own modules", *(f"{modules(name, 'trellis*.o'):,}" for name in CODINGS)],
                ["RAM beside tile and table", *(f"{ram(name):,}" for name in CODINGS)],
            ],
            "Without `NCD_TRELLIS_SKIP` where it does not say so; prefix without `NCD_TRELLIS_WIDE_CODES`.",
        ),
        Table(
            "Of prepared tensors of trellis, with one coding",
            ("", *PREPARED),
            [
                ["code and constants", *(f"{linked(f'prepared_{name}'):,}" for name in PREPARED)],
                ["RAM beside the tile", *(f"{ram(f'prepared_{name}'):,}" for name in PREPARED)],
            ],
            "All that decodes tiles of such tensors and of raw ones, with `NCD_TRELLIS_SKIP` and without "
            "`NCD_TRELLIS_WIDE`; RAM is the stack, with what a call puts on it.",
        ),
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="write the tables into firmware_decoder/README.md")
    options = parser.parse_args()
    if shutil.which(f"{CROSS}gcc") is None:
        sys.exit(f"this needs {CROSS}gcc: install gcc-arm-none-eabi")
    tables = measured()
    console = Console(width=None if sys.stdout.isatty() else 120)
    for table in tables:
        show(table, console)
    text = "\n".join(markdown(table, heading="###") for table in tables)
    if options.page and not put(text, DECODER / "README.md", MARKS):
        sys.exit("firmware_decoder/README.md lacks the lines between which the tables go")


if __name__ == "__main__":
    main()

"""What prepared tensors take of a Cortex-M4, beside the same tensors of a stream: `python -m bench.prepared`.

Whole networks, decoded tile by tile on the emulated core, each with the decoder that the header of the export names.
With --page the table of firmware_decoder/README.md is written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from rich.console import Console

import neuralcodec
from bench.emulated import decoded, decoded_prepared
from bench.firmware import HUFFMAN_BYTES, missing, version
from bench.folders import ROOT
from bench.network import networks
from bench.report.console import show
from bench.report.markdown import markdown, put
from bench.report.tables import Table
from neuralcodec import Target
from neuralcodec.export_prepared import prepare, smallest

PAGE = ROOT / "firmware_decoder" / "README.md"
MARKS = ("<!-- prepared: `python -m bench.prepared --page` writes between these lines -->", "<!-- /prepared -->")

NETWORKS = ("silero-vad", "lenet5", "crepe-tiny", "g2p-en")
CODINGS = ("contexts", "light", "prefix")
BITS = 3
"""A weight."""

BOARD = "m4"


def of_stream(model: neuralcodec.CompressedModel) -> tuple[int, int, int]:
    """Bytes of flash and of RAM beside the tile, and instructions of all tensors, opened and prepared."""
    options = [option for option in smallest(prepare(model)).split() if "PREPARED" not in option]
    room = f"-DWORKSPACE_BYTES={max(model.demand().slots, HUFFMAN_BYTES)}u"
    result = decoded(model, BOARD, "-Os", (*options, room))
    structures = result.number("model_struct_bytes") + result.number("tensor_struct_bytes")
    ram = structures + result.number("stack_bytes") + model.demand().slots
    opening = result.number("open.instructions") + result.number("prepare.instructions")
    return result.number("stream_bytes") + result.number("decoder_code_bytes"), ram, opening


def of_prepared(model: neuralcodec.CompressedModel) -> tuple[int, int]:
    """Bytes of flash and of RAM beside the tile."""
    result = decoded_prepared(model, BOARD)
    return prepare(model).flash_bytes + result.number("decoder_code_bytes"), result.number("stack_bytes")


def measured() -> Table:
    """Of each network that is here, with each coding."""
    rows = []
    for name in NETWORKS:
        network = networks()[name]
        if network.missing() is not None:
            continue
        state = dict(network.load())
        for coding in CODINGS:
            target = Target(bits_per_weight=BITS)
            model = neuralcodec.encode(state, "trellis", coding=coding, levels="int8", target=target)
            flash, ram, opening = of_stream(model)
            ready, stack = of_prepared(model)
            numbers = (flash, ready, f"{100 * (ready / flash - 1):+.1f} %", ram, stack, opening)
            rows.append([name, coding, *(n if isinstance(n, str) else f"{n:,}" for n in numbers)])
    headings = (
        "network",
        "coding",
        "flash B",
        "prepared",
        "",
        "RAM B beside the tile",
        "prepared",
        "to open and prepare all",
    )
    note = (
        f"{BITS} bits a weight, codec trellis, biases as they are by default. Flash is weights and decoder; RAM is "
        "structures, stack and workspace of codec trellis, in an image. The last column: instructions. "
        f"{version().replace('-O2', '-Os')}."
    )
    return Table("Networks on a Cortex-M4, as streams and prepared", headings, rows, note)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    if (reason := missing()) is not None:
        sys.exit(reason)
    torch.set_num_threads(1)
    table = measured()
    show(table, Console(width=150))
    if arguments.page and not put(markdown(table, heading="###"), Path(PAGE), MARKS):
        sys.exit(f"{PAGE} lacks the lines between which the table goes")


if __name__ == "__main__":
    main()

"""What decoding codec generative takes of a microcontroller: `python -m bench.generative_costs [--page]`.

Networks of the benchmark are decoded tile by tile on an emulated Cortex-M7, by the whole decoder with all its checks.
What a tile takes to begin is measured apart, by the image of bench/generative_ablation.py, and taken off. Flash is what
an image takes more than one without the codec. With --page the tables of docs/generative.md are written.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import neuralcodec
from bench import firmware, page, run
from bench.emulated import decoded
from bench.folders import ROOT
from bench.generative_ablation import (
    BOARD,
    NETWORKS,
    PRIOR,
    WHOLE,
    Variant,
    first_tile,
    instructions,
    levels_of,
)
from bench.network import State, networks
from bench.sizes import text_bytes
from neuralcodec import Target
from neuralcodec.codecs.generative.coding import read_head

sys.path.append(str(ROOT / "firmware_decoder" / "ports"))

import emulator

BITS = (2.0, 3.0, 4.0)
TILE = 2048

WITH = "-DNCD_ENABLE_GENERATIVE=1"
WITHOUT = "-DNCD_ENABLE_GENERATIVE=0"
ROOM = "-DWORKSPACE_BYTES=300000"

COARSE = 3
"""The -icount shift: a tile fits into the counter's 24 bits, and counts are multiples of 32."""


@dataclass(frozen=True)
class Cost:
    """What decoding takes on the core.

    Attributes:
        weight: instructions a weight, without those that begin tiles.
        workspace: bytes of it, but for two a column.
        stack: bytes, at most.
    """

    weight: float
    workspace: int
    stack: int


def encoded(state: State, bits: float) -> neuralcodec.CompressedModel:
    """In tiles for a microcontroller."""
    target = Target(bits_per_weight=bits, allocation="error")
    return neuralcodec.encode(dict(state), "generative", target=target, tile=TILE)


def shapes(cm: neuralcodec.CompressedModel) -> list[tuple[int, int]]:
    """Tiles, and columns of a tile, of each tensor that the codec has."""
    found = []
    for entry in cm.entries:
        if entry.codec == "generative" and entry.tied_to is None:
            name, spec = entry.spec.name, entry.spec
            columns = spec.rows if cm.is_down_columns(name) else spec.cols
            found.append((cm.tiles(name), min(columns, read_head(cm.payload(name)).tile)))
    return found


def cost(cm: neuralcodec.CompressedModel, begin: int) -> Cost:
    """Of a model; ``begin``: instructions to begin a tile."""
    result = decoded(cm, BOARD, defines=(WITH, ROOM), shift=COARSE)
    scale = 1 << emulator.BOARDS[BOARD].shift - COARSE
    of = shapes(cm)
    taken = result.number("generative.instructions") * scale - begin * sum(tiles for tiles, _ in of)
    return Cost(
        taken / result.number("generative.weights"),
        (result.number("table_bytes") - 2 * max(columns for _, columns in of)) // 4 * 4,  # whole words
        result.number("stack_bytes"),
    )


def to_begin(cm: neuralcodec.CompressedModel) -> int:
    """Instructions that a tile takes before its first level."""
    with tempfile.TemporaryDirectory() as folder:
        (levels := Path(folder) / "levels").write_bytes(first_tile(b"".join(levels_of(cm))))
        return instructions(Variant(WHOLE), levels, Path(folder))[1]


def flash(cm: neuralcodec.CompressedModel) -> int:
    """Bytes that an image takes more with the codec than without."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        (blob := Path(folder) / "m.bin").write_bytes(cm.to_bytes(names=False))
        for define in (WITH, WITHOUT):
            elf = emulator.build(BOARD, blob, Path(folder) / define, defines=(define, ROOM))
            found.append(text_bytes(emulator.BOARDS[BOARD].cross, [elf]))
    return found[0] - found[1]


def tables(weights: Sequence[Sequence[str]], begin: int, costs: Sequence[Cost], whole: int) -> str:
    """Both, in Markdown.

    Args:
        weights: lines of the first.
        begin: instructions to begin a tile.
        costs: of all networks at all rates.
        whole: bytes of flash.
    """
    core, prior = emulator.BOARDS[BOARD].core, PRIOR.stat().st_size
    second = [
        ["to begin a tile, besides", f"{begin:,} instructions"],
        ["workspace", f"{max(each.workspace for each in costs):,} bytes, and two a column of a tile"],
        ["stack", f"{max(each.stack for each in costs):,} bytes"],
        ["flash", f"{prior:,} bytes of prior, {whole - prior:,} of code"],
    ]
    first = page.table((f"{core}, instructions a weight", *(f"{bits:g} bits" for bits in BITS)), weights)
    note = f"Whole calls with all checks, tiles of {TILE:,}; {firmware.version()}."
    return f"{first}\n{page.table(('', ''), second)}\n{note}\n"


def main() -> None:
    """Measures, prints, and writes the page."""
    parser = argparse.ArgumentParser(description="What decoding codec generative takes of a microcontroller.")
    parser.add_argument("--page", action="store_true", help="write the tables of docs/generative.md")
    write = parser.parse_args().page
    if (reason := emulator.available(BOARD)) is not None:
        sys.exit(f"this needs the emulator: {reason}")
    first = encoded(run.load(networks()[NETWORKS[0]]).state, BITS[0])
    begin, whole = to_begin(first), flash(first)
    lines, costs = [], []
    for name in NETWORKS:
        state = run.load(networks()[name]).state
        found = [cost(encoded(state, bits), begin) for bits in BITS]
        costs += found
        lines.append([name, *(f"{each.weight:,.0f}" for each in found)])
        print(*lines[-1], flush=True)
    means = [sum(each.weight for each in costs[i :: len(BITS)]) / len(NETWORKS) for i in range(len(BITS))]
    lines.append(["mean", *(f"{mean:,.0f}" for mean in means)])
    text = tables(lines, begin, costs, whole)
    print(text)
    if write:
        page.put("generative.md", "costs", text)


if __name__ == "__main__":
    main()

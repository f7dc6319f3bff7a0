"""Instructions, stack and memory that the C decoder takes on emulated cores: `python bench/instructions.py`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import rates
import torch
from rich.console import Console
from rich.table import Table

import neuralcodec
from neuralcodec import Target

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "firmware_decoder" / "ports"))

import emulator  # noqa: E402 (needs the line above)

TILE = 1024


def streams() -> dict[str, neuralcodec.CompressedModel]:
    """What is decoded: levels of 4.0 bits of entropy, a real network, and Gaussian weights with each coding."""
    weights = torch.randn(256, 1024, generator=torch.Generator().manual_seed(0))
    gaussian = neuralcodec.encode({"w": weights}, "huffman", bits=8, scale="tensor", step=1 / 3.87, tile=TILE)
    entropy = rates.order0_bits(gaussian.levels("w")[0].numpy())
    silero = neuralcodec.encode(dict(rates.trained())["silero-vad 16k"], "huffman", target=Target(bits_per_weight=4))
    whole = f"silero-vad 16k, {silero.report().bits_per_weight:.2f} bits/weight in all"
    shared = {
        f"Gaussian, kmeans: {coding}": neuralcodec.encode(
            {"w": weights}, codec="kmeans", centroids="int8", clusters=clusters, coding=coding, tile=TILE
        )
        for coding, clusters in (("fixed", 16), ("huffman", 23), ("rans", 23))
    }
    trellis = {}
    for coding in ("contexts", "light", "rans", "prefix"):
        cm = neuralcodec.encode({"w": weights}, codec="trellis", coding=coding, relative_step=0.25, tile=TILE)
        trellis[f"Gaussian, trellis: {coding}, {cm.report().bits_per_weight:.2f} bits/weight"] = cm
    return {f"Gaussian, {entropy:.2f} bits of entropy": gaussian, whole: silero, **shared, **trellis}


def main() -> None:
    """Prints one table for each stream."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("boards", nargs="*", help=f"of {', '.join(emulator.BOARDS)} (default: all)")
    parser.add_argument("--opt", default="-O2,-Os", help="optimization levels (default: -O2,-Os)")
    arguments = parser.parse_args()
    if (reason := emulator.available()) is not None:
        sys.exit(f"this needs the emulators: {reason}")
    console = Console(width=120)
    for title, cm in streams().items():
        table = Table(*HEADINGS, title=title)
        for name in arguments.boards or emulator.BOARDS:
            for opt in arguments.opt.split(","):
                table.add_row(emulator.BOARDS[name].core, opt, *measure(cm, name, opt))
        console.print(table)


HEADINGS = ("core", "", "instructions/weight", "to prepare", "to open", "crc32/byte", "stack B", "tensor B")


def measure(cm: neuralcodec.CompressedModel, board: str, opt: str) -> list[str]:
    """One image, built, run, and read."""
    with tempfile.TemporaryDirectory() as folder:
        (blob := Path(folder) / "m.bin").write_bytes(cm.to_bytes(names=False))
        result = emulator.run(board, emulator.build(board, blob, Path(folder) / "out", opt=opt), timeout=300)
    if result.exit_code:
        sys.exit(f"{board}: {result.output}")
    return [
        f"{_main_cost(result.values) / 100:.2f}",
        f"{int(result.values.get('prepare.per_tensor_x100', 0)) / 100:,.0f}",
        f"{result.number('open.instructions') / result.number('tensors'):,.0f}",
        f"{result.number('check.per_byte_x100') / 100:.1f}",
        str(result.number("stack_bytes")),
        str(result.number("tensor_struct_bytes")),
    ]


def _main_cost(values: dict[str, str]) -> int:
    """Hundredths of instructions a weight of what most weights are coded with."""
    kinds = [key.removesuffix(".weights") for key in values if key.endswith(".weights")]
    most = max(kinds, key=lambda kind: int(values[f"{kind}.weights"]))
    return int(values[f"{most}.per_weight_x100"])


if __name__ == "__main__":
    main()

"""Instructions that the inference kernels take on emulated cores: `python bench/firmware_kernels.py`.

Layers are those of the keyword-spotting DS-CNN and of ResNet-8 of MLPerf Tiny, with random weights; large ones with
fewer output channels, as the counter holds two million instructions. All counts are of the whole call: opening the
tensor, its tables, decoding, sums and requantization.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "firmware_decoder" / "ports"), str(ROOT / "tests"), str(ROOT / "tests" / "firmware")]

import emulator  # noqa: E402 (needs the line above)
import nn_cases as nc  # noqa: E402

PROBES = ROOT / "tests" / "firmware" / "probes"
WEIGHTS = {"plain": "plain", "huffman": "huffman", "kmeans fixed": "kmeans.fixed", "trellis prefix": "trellis.prefix"}
TILE = 512
SPARE = 256
"""Bytes of scratch for patches, which other layers of a network have anyway."""


@dataclass(frozen=True)
class Layer:
    """A layer that is measured.

    Attributes:
        title: what it is.
        kind: conv, depthwise or linear.
        window: of a convolution; for a linear layer in_c and out_c count.
    """

    title: str
    kind: str
    window: nc.Window

    @property
    def macs(self) -> int:
        """Of one inference."""
        w = self.window
        macs: int = w.out_h * w.out_w * w.out_c * w.taps * w.in_c // w.groups
        return macs


def _same(size: int, channels: int, out: int, kernel: int = 3, stride: int = 1) -> nc.Window:
    pad = 0 if kernel == 1 or stride == 2 else (kernel - 1) // 2
    n = size // stride
    return nc.Window(size, size, channels, n, n, out, kernel, kernel, stride, stride, 1, 1, pad, pad)


LAYERS = (
    Layer("DS-CNN conv 10x4", "conv", nc.Window(49, 10, 1, 25, 5, 64, 10, 4, 2, 2, 1, 1, 4, 1)),
    Layer("DS-CNN depthwise 3x3", "depthwise", nc.Window(25, 5, 64, 25, 5, 64, 3, 3, 1, 1, 1, 1, 1, 1, 64)),
    Layer("DS-CNN pointwise 64", "conv", nc.Window(25, 5, 64, 25, 5, 64, 1, 1)),
    Layer("fc 64 -> 12", "linear", nc.Window(1, 1, 64, 1, 1, 12, 1, 1)),
    Layer("fc 256 -> 64", "linear", nc.Window(1, 1, 256, 1, 1, 64, 1, 1)),
    Layer("ResNet-8 conv 3, 32x32", "conv", _same(32, 3, 16)),
    Layer("ResNet-8 conv 16, 32x32", "conv", _same(32, 16, 4)),
    Layer("ResNet-8 conv 16 / 2", "conv", _same(32, 16, 16, stride=2)),
    Layer("ResNet-8 conv 32, 16x16", "conv", _same(16, 32, 8)),
    Layer("ResNet-8 conv 32 / 2", "conv", _same(16, 32, 32, stride=2)),
    Layer("ResNet-8 conv 64, 8x8", "conv", _same(8, 64, 16)),
    Layer("ResNet-8 1x1 / 2", "conv", _same(16, 32, 64, kernel=1, stride=2)),
)


def case_of(layer: Layer, coding: str) -> nc.Case:
    """The layer with random weights and input."""
    rng = np.random.default_rng(0)
    window = layer.window
    shape = (window.out_c, window.in_c // window.groups, window.kernel_h, window.kernel_w)
    w = nc.make_weights(shape, coding, TILE, rng)
    sums = 64.0 * 64 * w.levels.shape[1] ** 0.5
    multiplier, shift = nc.make_multipliers(window.out_c, sums, rng)
    bias = rng.integers(-1000, 1000, window.out_c)
    padded = layer.kind != "linear" and window.taps > 1
    requant = nc.Requant(bias, multiplier, shift, -128 if padded else 0, -128, -128, 127)
    x = rng.integers(-128, 128, (window.in_h, window.in_w, window.in_c)).astype(np.int8)
    if layer.kind == "linear":
        return nc.linear_case(w, requant, x.reshape(1, -1), checks=False)
    return nc.conv_case(layer.kind, window, w, requant, x, checks=False, spare=SPARE)


def measure(board: str, coding: str, opt: str, defines: tuple[str, ...]) -> list[int]:
    """Instructions of each layer; -1 where the board has no room.

    Raises:
        SystemExit: an image fails.
    """
    cases = [case_of(layer, coding) for layer in LAYERS]
    room = ("-DARENA_BYTES=120000",) if board != "m0" else ()
    with tempfile.TemporaryDirectory() as folder:
        (blob := Path(folder) / "cases.bin").write_bytes(b"".join(case.board_data(count=True) for case in cases))
        image = emulator.build(
            board, blob, Path(folder), "nn", opt, defines=(*room, *defines), examples=PROBES, nn=True
        )
        result = emulator.run(board, image, timeout=600)
    if result.exit_code:
        sys.exit(f"{board}: {result.output}")
    if coding == "huffman":
        deepest = max(range(len(cases)), key=lambda i: result.number(f"{i}.stack"))
        print(f"{board}, {coding}: {result.number(f'{deepest}.stack')} bytes of stack, {LAYERS[deepest].title}")
    return [result.number(f"{i}.instructions") if result.values.get(str(i)) == "0" else -1 for i in range(len(cases))]


def main() -> None:
    """Prints one table a board."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("boards", nargs="*", default=["m4", "m55", "m3", "rv32"], help="default: m4 m55 m3 rv32")
    parser.add_argument("--opt", default="-O2", help="optimization level (default: -O2)")
    parser.add_argument("--kernels", help="NCD_NN_KERNELS: 0 plain C, 1 DSP extension, 2 MVE (default: the best)")
    arguments = parser.parse_args()
    defines = () if arguments.kernels is None else (f"-DNCD_NN_KERNELS={arguments.kernels}",)
    console = Console(width=140)
    for board in arguments.boards:
        if (reason := emulator.available(board)) is not None:
            sys.exit(f"this needs the emulators: {reason}")
        title = f"{emulator.BOARDS[board].core}, {arguments.opt} {' '.join(defines)}: instructions/MAC"
        table = Table("layer", "MACs", *WEIGHTS, "huffman / plain", title=title)
        columns = [measure(board, coding, arguments.opt, defines) for coding in WEIGHTS.values()]
        for layer, counts in zip(LAYERS, zip(*columns, strict=True), strict=True):
            cells = [f"{n / layer.macs:.2f}" if n >= 0 else "no room" for n in counts]
            ratio = f"{counts[1] / counts[0]:.3f}" if min(counts) > 0 else ""
            table.add_row(layer.title, f"{layer.macs:,}", *cells, ratio)
        console.print(table)


if __name__ == "__main__":
    main()

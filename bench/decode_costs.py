"""What decoding weights takes of a core: `python bench/decode_costs.py`.

Networks are exported with their weights coded one way after the other, and run on emulated cores. What a layer then
takes beyond plain weights is fitted by least squares: so much for a tensor, so much for each weight, and so much more
for each weight of a kernel that is put in another order. These are the figures of neuralcodec/firmware/costs.py. Needs
NEURALCODEC_DATA.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rich.table
import torch
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.deployed import deployed  # noqa: E402 (needs the line above)
from bench.firmware_networks import PLAIN, Choice, Outcome, Run, emulated, exported, quantized  # noqa: E402

TILE = 1024
INPUTS = 2
NETWORKS = ("mobilenet-fashion", "mlperf-resnet8")

_KMEANS: Mapping[str, object] = {"codec": "kmeans", "centroids": "int8", "scale": "row", "tile": TILE}
_TRELLIS: Mapping[str, object] = {"codec": "trellis", "scan": "rows", "relative_step": 0.18, "tile": TILE}
WAYS: Mapping[str, Mapping[str, object]] = {
    "fixed, 8 clusters": {**_KMEANS, "coding": "fixed", "clusters": 8},
    "fixed, 16 clusters": {**_KMEANS, "coding": "fixed", "clusters": 16},
    "fixed, 32 clusters": {**_KMEANS, "coding": "fixed", "clusters": 32},
    "huffman": {"codec": "huffman", "bits": 4, "pairs": False, "tile": TILE},
    "kmeans huffman": {**_KMEANS, "coding": "huffman", "clusters": 32, "entropy": 0.012},
    **{coding: {**_TRELLIS, "coding": coding} for coding in ("prefix", "light", "contexts")},
}


def excess(name: str, board: str, ways: list[str]) -> dict[str, list[tuple[int, bool, int]]]:
    """By way, of each layer: how many weights, whether they are reordered, and instructions beyond plain weights."""
    network = deployed()[name]()
    inputs = network.inputs[:INPUTS]
    with torch.no_grad():
        wanted = network.module(inputs)
    few = type(network)(network.name, network.title, network.module, network.calibration, inputs, None, network.origin)
    runs: dict[str, tuple[Outcome, Run]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in ("plain", *ways):
            out = Path(folder) / way.replace(" ", "-").replace(",", "")
            options = PLAIN if way == "plain" else WAYS[way]
            outcome = exported(few, few.module, wanted, Choice(way, options), out, plain=way == "plain")
            taken = quantized(few, outcome.report, INPUTS)
            run = emulated(board, out, outcome.report, taken, outcome.levels, Path(folder) / "objects")
            if isinstance(run, str):
                raise SystemExit(f"{name} on {board}: {run}")
            runs[way] = outcome, run
    plain = runs["plain"][1].layers
    found: dict[str, list[tuple[int, bool, int]]] = {}
    for way in ways:
        outcome, run = runs[way]
        for layer, more, less in zip(outcome.report.layers, run.layers, plain, strict=True):
            if layer.weights and layer.codec != "raw":
                kernel = layer.kind.startswith("conv") and not layer.kind.endswith("1×1")
                found.setdefault(way, []).append((layer.weights, kernel, more - less))
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--board", action="append", help="m4 and m55 by default; may be repeated")
    parser.add_argument("--way", action="append", choices=list(WAYS), help="only this one; may be repeated")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ways = options.way or list(WAYS)
    table = rich.table.Table("core", "way", "tensor", "weight", "reordered", "layers", "largest error")
    for board in options.board or ["m4", "m55"]:
        measured: dict[str, list[tuple[int, bool, int]]] = {}
        for name in NETWORKS:
            for way, layers in excess(name, board, ways).items():
                measured.setdefault(way, []).extend(layers)
        for way, layers in measured.items():
            terms = np.array([(1.0, weights, weights * kernel) for weights, kernel, _ in layers])
            counts = np.array([count for *_, count in layers], float)
            scale = 1 / np.sqrt(np.maximum(counts, 1))
            fitted = np.linalg.lstsq(terms * scale[:, None], counts * scale, rcond=None)[0]
            off = np.abs(terms @ fitted / counts - 1).max()
            figures = f"{fitted[0]:,.0f}", f"{fitted[1]:.2f}", f"{fitted[2]:.2f}"
            table.add_row(board, way, *figures, str(len(layers)), f"{100 * off:.0f} %")
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()

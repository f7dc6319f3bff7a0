"""How far codec trellis is from the rate-distortion bound of a Gaussian source: `python bench/gaussian_bound.py`.

The source is 10^6 independent Gaussian weights. Rates are whole files, distortion is what decoding measures, and the
bound is ½·log2(σ²/D) bits a weight (Shannon 1959). With an ideal entropy coder a uniform quantizer ends ½·log2(2πe/12),
0.255 bits, above it at high rates (Gish and Pierce 1968).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table

import neuralcodec

ROOT = Path(__file__).resolve().parent.parent
STATES = (1, 4, 8, 16, 32, 64, 128, 256)
STEPS = (1.3, 0.9, 0.65, 0.45, 0.33, 0.235, 0.16, 0.115, 0.08, 0.055)
"""Steps of two quantizers over the deviation of the source, for rates of about half a bit to five."""

WANTED_BITS = 3.0


def weights() -> torch.Tensor:
    """The source."""
    return torch.randn(1000, 1000, generator=torch.Generator().manual_seed(0))


def point(of: tuple[str, int, float]) -> tuple[float, float]:
    """Bits a weight and how many of them are above the bound, with a coding, states and a step."""
    torch.set_num_threads(1)
    coding, states, step = of
    source = weights()
    cm = neuralcodec.encode({"w": source}, codec="trellis", coding=coding, states=states, relative_step=step)
    with tempfile.TemporaryDirectory() as folder:
        neuralcodec.save(cm, path := Path(folder) / "w.safetensors")
        bits = 8 * path.stat().st_size / source.numel()
        decoded = neuralcodec.decode(path)["w"]
    noise = float((decoded - source).double().square().mean())
    return bits, bits - 0.5 * math.log2(float(source.double().square().mean()) / noise)


def curves(codings: list[str]) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """Points of each coding and number of states, by rate."""
    todo = [(coding, states, step) for coding in codings for states in STATES for step in STEPS]
    with ProcessPoolExecutor(2) as pool:
        bar = track(pool.map(point, todo), "measuring", len(todo), console=Console(stderr=True))
        found = list(bar)
    out: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for (coding, states, _), result in zip(todo, found, strict=True):
        out.setdefault((coding, states), []).append(result)
    return {key: sorted(points) for key, points in out.items()}


def at(points: list[tuple[float, float]], bits: float) -> float:
    """The gap at a rate, between the points next to it."""
    for (a, below), (b, above) in pairwise(points):
        if a <= bits <= b:
            return below + (above - below) * (bits - a) / (b - a)
    return math.nan


def plot(found: dict[tuple[str, int], list[tuple[float, float]]], path: Path) -> None:
    """Gap over rate, a line for each number of states."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for (coding, states), points in found.items():
        if coding == "contexts":
            label = "scalar" if states == 1 else f"{states} states"
            axes.plot(*zip(*points, strict=True), marker=".", label=label)
    axes.axhline(0.5 * math.log2(2 * math.pi * math.e / 12), color="grey", linestyle=":", linewidth=1)
    axes.set_xlabel("bits/weight, whole file")
    axes.set_ylabel("bits/weight above the rate-distortion bound")
    axes.set_title("Codec trellis on 10⁶ Gaussian weights; dotted: ideal uniform quantizer", fontsize=10)
    axes.set_ylim(0, 0.3)
    axes.legend(fontsize=8, ncols=2)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Prints a table and saves a plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--coding", default="contexts,rans,prefix", help="of contexts, rans and prefix (default: all)")
    parser.add_argument("--plot", type=Path, default=ROOT / "build" / "gaussian_bound.png", help="where the plot goes")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    found = curves(arguments.coding.split(","))
    arguments.plot.parent.mkdir(parents=True, exist_ok=True)
    plot(found, arguments.plot)
    if arguments.json:
        rows = [{"coding": c, "states": n, "points": points} for (c, n), points in found.items()]
        json.dump(rows, sys.stdout, indent=1)
        return
    rates = (1.0, 1.5, 2.0, WANTED_BITS, 4.0, 5.0)
    table = Table("coding", "states", *(f"{r:g} bits" for r in rates), title="bits/weight above the bound")
    for (coding, states), points in found.items():
        table.add_row(coding, str(states), *("–" if math.isnan(g := at(points, r)) else f"{g:.3f}" for r in rates))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()

"""How far codec trellis is from the rate-distortion bound of a Gaussian source: `python -m bench.gaussian_bound`.

The source is 10^6 independent Gaussian weights. Rates are whole files, distortion is what decoding measures, and the
bound is ½·log2(σ²/D) bits a weight (Shannon 1959). With an ideal entropy coder a uniform quantizer ends ½·log2(2πe/12),
0.255 bits, above it at high rates (Gish and Pierce 1968). With --page the table of docs/trellis.md and its picture are
written.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track

import neuralcodec
from bench import page
from bench.folders import ROOT
from bench.report.console import show
from bench.report.markdown import markdown
from bench.report.tables import Table

PAGE, MARK, PICTURE = "trellis.md", "gaussian", ROOT / "docs" / "benchmark" / "gaussian_bound.png"

STATES = {
    "contexts": (1, 4, 8, 16, 32, 64, 128, 256),
    "light": (8, 64),
    "rans": (8, 64),
    "prefix": (8, 64),
}
"""By coding."""

STEPS = (1.3, 0.9, 0.65, 0.45, 0.33, 0.235, 0.16, 0.115, 0.08, 0.055)
"""Steps of two quantizers over the deviation of the source, for rates of about half a bit to five."""

LARGER_TILE = 4096
"""That larger tensors have."""

RATES = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
"""Bits a weight of the table."""

Points = list[tuple[float, float]]
"""Bits a weight of whole files, and how many of them are above the bound."""


def weights() -> torch.Tensor:
    """The source."""
    return torch.randn(1000, 1000, generator=torch.Generator().manual_seed(0))


def point(of: tuple[str, int, float, int | None]) -> tuple[float, float]:
    """Bits a weight and how many of them are above the bound, with a coding, states, a step and a tile length."""
    torch.set_num_threads(1)
    coding, states, step, tile = of
    source = weights()
    cm = neuralcodec.encode(
        {"w": source},
        codec="trellis",
        coding=coding,
        states=states,
        relative_step=step,
        tile=tile,
        reconstruction="error",
    )
    with tempfile.TemporaryDirectory() as folder:
        neuralcodec.save(cm, path := Path(folder) / "w.safetensors")
        bits = 8 * path.stat().st_size / source.numel()
        decoded = neuralcodec.decode(path)["w"]
    noise = float((decoded - source).double().square().mean())
    return bits, bits - 0.5 * math.log2(float(source.double().square().mean()) / noise)


def curves(codings: list[str], jobs: int) -> dict[tuple[str, int], Points]:
    """Points of each coding and number of states, by rate."""
    todo = [(coding, states, step, None) for coding in codings for states in STATES[coding] for step in STEPS]
    with ProcessPoolExecutor(jobs) as pool:
        bar = track(pool.map(point, todo), "measuring", len(todo), console=Console(stderr=True))
        found = list(bar)
    out: dict[tuple[str, int], Points] = {}
    for (coding, states, *_), result in zip(todo, found, strict=True):
        out.setdefault((coding, states), []).append(result)
    return {key: sorted(points) for key, points in out.items()}


def at(points: Points, bits: float) -> float:
    """The gap at a rate, between the points next to it."""
    for (a, below), (b, above) in pairwise(points):
        if a <= bits <= b:
            return below + (above - below) * (bits - a) / (b - a)
    return math.nan


def plot(found: Mapping[tuple[str, int], Points], path: Path) -> None:
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


def saved_by_larger_tiles() -> float:
    """Bits a weight, by a tile length that larger tensors have, with contexts and 64 states at some 3 bits."""
    (_, default), (_, larger) = (point(("contexts", 64, 0.235, tile)) for tile in (None, LARGER_TILE))
    return default - larger


def gaps(found: Mapping[tuple[str, int], Points], saved: float) -> Table:
    """Bits above the bound at each rate; those between two points by a straight line."""
    rows = []
    for (coding, states), points in found.items():
        cells = ("–" if math.isnan(gap := at(points, rate)) else f"{gap:.3f}" for rate in RATES)
        rows.append([coding, f"{states} (scalar)" if states == 1 else str(states), *cells])
    note = (
        "Reconstructed for the least squared error, other options by default. Tiles are of 2,048 weights then; of "
        f"{LARGER_TILE:,}, which larger tensors have, files take {saved:.3f} bits less (contexts, 64 states, 3 bits)."
    )
    return Table(
        "Bits a weight above the bound", ("coding", "states", *(f"{r:g} bit{'s' * (r > 1)}" for r in RATES)), rows, note
    )


def main() -> None:
    """Prints a table and saves a plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--coding", default=",".join(STATES), help=f"of {', '.join(STATES)} (default: all)")
    parser.add_argument("--plot", type=Path, default=ROOT / "build" / "gaussian_bound.png", help="where the plot goes")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--page", action="store_true", help="write the table into docs/trellis.md, and its picture")
    arguments = parser.parse_args()
    if arguments.json and arguments.page:
        parser.error("--json or --page, not both")
    codings = arguments.coding.split(",")
    if unknown := set(codings) - set(STATES):
        parser.error(f"--coding: one of {', '.join(STATES)} expected, not {', '.join(sorted(unknown))}")
    if arguments.page and codings != list(STATES):
        parser.error("--page: the table is of all codings")
    found = curves(codings, arguments.jobs)
    path = PICTURE if arguments.page else arguments.plot
    path.parent.mkdir(parents=True, exist_ok=True)
    plot(found, path)
    if arguments.json:
        rows = [{"coding": c, "states": n, "points": points} for (c, n), points in found.items()]
        json.dump(rows, sys.stdout, indent=1)
        return
    table = gaps(found, saved_by_larger_tiles())
    show(table, Console(width=110))
    if arguments.page:
        page.put(PAGE, MARK, markdown(table, heading=""))


if __name__ == "__main__":
    main()

"""How fast codec trellis encodes and decodes on the host, beside NNCodec: `python bench/trellis_speed.py`.

Every method codes the same trained weights to about the same SNR, whole files from and to memory, in turns, one thread.
Besides, the C decoder alone: levels of all tiles, without making floats of them.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import neuralcodec

sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench import environment, runner
from bench.method import Method, Setting, methods
from bench.network import State, networks

STEP = 0.25
"""Of levels, over the root mean square of a network's weights: some 18 dB, about three bits a weight."""

LONG_ENOUGH = 0.2
"""Seconds of the C decoder at a time: small networks take less than a thousandth."""


def choices(state: State) -> tuple[tuple[str, str, Setting], ...]:
    """Methods with a title and a setting, all of about the same distortion."""
    energy, count = energy_of(state.values()), sum(tensor.numel() for tensor in state.values())
    step = STEP * math.sqrt(energy / count)
    qp = round(4 * math.log2(step)) + 2  # NNCodec's steps are 2^(qp/4), to within 6 %; what comes to about the same SNR
    return (
        ("trellis, 8 states", "trellis", {"states": 8, "step": step}),
        ("trellis, 64 states (default)", "trellis", {"states": 64, "step": step}),
        ("trellis, 256 states", "trellis", {"states": 256, "step": step}),
        ('trellis, 8 states, "light"', "trellis_light", {"states": 8, "step": step}),
        ('trellis, 8 states, "rans"', "trellis_rans", {"states": 8, "step": step}),
        ('trellis, 8 states, "prefix"', "trellis_prefix", {"states": 8, "step": step}),
        ("huffman, 4 bits", "huffman", {"bits": 4}),
        ("NNCodec", "nncodec", {"qp": qp, "lambda_scale": 0}),
        ("NNCodec, with its rate-distortion optimization", "nncodec", {"qp": qp, "lambda_scale": 1}),
    )


def energy_of(tensors: Iterable[torch.Tensor]) -> float:
    """Sum of squares."""
    return sum(float(t.double().square().sum()) for t in tensors)


def quality(of: Method, state: State, setting: Setting) -> tuple[float, float]:
    """Bits a weight, and SNR in dB."""
    outcome = runner.measure(of, setting, state)
    count = sum(tensor.numel() for tensor in state.values())
    noise = energy_of(outcome.decoded[n].float() - t for n, t in state.items())
    return 8 * outcome.bytes / count, 10 * math.log10(energy_of(state.values()) / noise)


def levels_a_second(state: State, setting: Setting, repeats: int) -> float:
    """Of the C decoder alone."""
    torch.set_num_threads(1)
    cm = neuralcodec.encode(dict(state), codec="trellis", **setting)  # type: ignore[arg-type]
    names = [entry.spec.name for entry in cm.entries if entry.codec == "trellis"]
    took = []
    for _ in range(repeats):
        passes, start = 0, time.perf_counter()
        while (seconds := time.perf_counter() - start) < LONG_ENOUGH:
            passes += 1
            for name in names:
                cm.levels(name)
        took.append(seconds / passes)
    return sum(state[name].numel() for name in names) / statistics.median(took)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", default="crepe-full", help="whose weights (default: crepe-full, 22 million)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    network, every = networks()[arguments.network], methods()
    state = {n: t.float() for n, t in network.load().items() if t.dim() >= 2}
    count = sum(tensor.numel() for tensor in state.values())
    usable = []
    for title, name, setting in choices(state):
        if (reason := environment.missing(every[name])) is not None:
            print(f"skipped: {title}: {reason}", file=sys.stderr)
        else:
            usable.append((title, every[name], setting))
    times = runner.times(
        [(m, s) for _, m, s in usable], state, arguments.rounds, lambda name: print(f"timing {name}", file=sys.stderr)
    )
    rows: list[dict[str, object]] = []
    for (title, method, setting), took in zip(usable, times, strict=True):
        if isinstance(took, runner.MeasureError):
            print(f"failed: {title}: {took}", file=sys.stderr)
            continue
        bits, snr = quality(method, state, setting)
        row: dict[str, object] = {"method": title, "bits_per_weight": bits, "snr_db": snr}
        row["encode_Mw_s"] = count / statistics.median(took.encode) / 1e6
        row["decode_Mw_s"] = count / statistics.median(took.decode) / 1e6
        if method.name.startswith("trellis"):
            coding = method.name.partition("_")[2] or "contexts"
            row["levels_Mw_s"] = levels_a_second(state, {**setting, "coding": coding}, arguments.rounds) / 1e6
        rows.append(row)
    if arguments.json:
        json.dump(rows, sys.stdout, indent=1)
        return
    table = Table(
        *("", "bits/weight", "SNR dB", "encode M weights/s", "decode M weights/s", "levels only M weights/s"),
        title=f"{network.title}, {count:,} weights, one thread",
    )
    for row in rows:
        figures = (row[k] for k in ("bits_per_weight", "snr_db", "encode_Mw_s", "decode_Mw_s"))
        levels = row.get("levels_Mw_s")
        table.add_row(
            str(row["method"]), *(f"{v:.2f}" for v in figures), f"{levels:.0f}" if isinstance(levels, float) else ""
        )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()

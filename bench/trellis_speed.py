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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console

import neuralcodec

sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench import environment, page, runner
from bench.method import Method, Setting, methods
from bench.network import Network, State, networks
from bench.report.console import show
from bench.report.markdown import markdown
from bench.report.tables import Table
from bench.run import machine

NETWORKS = ("crepe-full", "g2p-en", "resnet-fashion")
"""Of 22 million weights, 0.8 million and 78 thousand."""

STEP = 0.25
"""Of levels, over the root mean square of a network's weights: some 18 dB, about three bits a weight."""

DECIBELS_A_BIT, DIGITS = 6.02, 4
"""NNCodec's steps are about 2^(qp/4)."""

LONG_ENOUGH = 0.2
"""Seconds of the C decoder at a time: small networks take less than a thousandth."""


def choices(state: State) -> tuple[tuple[str, str, Setting], ...]:
    """Methods with a title and a setting; NNCodec's is where :func:`matched` begins."""
    energy, count = energy_of(state.values()), sum(tensor.numel() for tensor in state.values())
    step = STEP * math.sqrt(energy / count)
    qp = round(DIGITS * math.log2(step))
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


def matched(method: Method, state: State, setting: Setting, snr: float) -> Setting:
    """NNCodec's setting with the step that comes to about this SNR."""
    _, found = quality(method, state, setting)
    qp = setting["qp"]
    assert isinstance(qp, int)
    return {**setting, "qp": qp + round((found - snr) / DECIBELS_A_BIT * DIGITS)}


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


def measured(network: Network, rounds: int) -> list[dict[str, object]]:
    """What each method that is there makes of a network's matrices, and how fast."""
    every = methods()
    state = {n: t.float() for n, t in network.load().items() if t.dim() >= 2}
    count = sum(tensor.numel() for tensor in state.values())
    usable: list[tuple[str, Method, Setting]] = []
    qualities: list[tuple[float, float]] = []
    for title, name, setting in choices(state):
        if (reason := environment.missing(every[name])) is not None:
            print(f"skipped: {title}: {reason}", file=sys.stderr)
            continue
        try:
            if name == "nncodec":
                setting = matched(every[name], state, setting, qualities[0][1])  # noqa: PLW2901
            qualities.append(quality(every[name], state, setting))
        except runner.MeasureError as error:
            print(f"failed: {title}: {error}", file=sys.stderr)
            continue
        usable.append((title, every[name], setting))
    times = runner.times(
        [(m, s) for _, m, s in usable], state, rounds, lambda name: print(f"timing {name}", file=sys.stderr)
    )
    rows: list[dict[str, object]] = []
    for (title, method, setting), (bits, snr), took in zip(usable, qualities, times, strict=True):
        if isinstance(took, runner.MeasureError):
            print(f"failed: {title}: {took}", file=sys.stderr)
            continue
        row: dict[str, object] = {"network": network.name, "weights": count, "method": title}
        row |= {"bits_per_weight": bits, "snr_db": snr}
        row["encode_Mw_s"] = count / statistics.median(took.encode) / 1e6
        row["decode_Mw_s"] = count / statistics.median(took.decode) / 1e6
        if method.name.startswith("trellis"):
            coding = method.name.partition("_")[2] or "contexts"
            row["levels_Mw_s"] = levels_a_second(state, {**setting, "coding": coding}, rounds) / 1e6
        rows.append(row)
    return rows


def table_of(rows: Sequence[Mapping[str, object]]) -> Table:
    """Of all networks; a network is named once."""
    lines, last = [], None
    for row in rows:
        name = "" if row["network"] == last else f"{row['network']}, {row['weights']:,} weights"
        last = row["network"]
        figures = [f"{row[k]:.2f}" for k in ("bits_per_weight", "snr_db")]
        figures += [f"{v:.3g}" if (v := row.get(k)) else "" for k in ("encode_Mw_s", "decode_Mw_s", "levels_Mw_s")]
        lines.append([name, str(row["method"]), *figures])
    headings = ("network", "method", "bits/weight", "SNR dB", "encode", "decode", "levels only")
    note = (
        f"Million weights a second, one thread, {machine()}: whole files from and to memory; and the C decoder alone, "
        "without making floats of levels. Compare figures of one run only."
    )
    return Table("Speed of codec trellis", headings, lines, note)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", help=f"whose weights (default: {' '.join(NETWORKS)})")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--page", action="store_true", help="write the table into docs/trellis.md")
    arguments = parser.parse_args()
    known = networks()
    rows = [row for name in arguments.networks or NETWORKS for row in measured(known[name], arguments.rounds)]
    table = table_of(rows)
    if arguments.json:
        json.dump(rows, sys.stdout, indent=1)
    else:
        show(table, Console(width=140))
    if arguments.page:
        page.put("trellis.md", "speed", markdown(table, heading=""))


if __name__ == "__main__":
    main()

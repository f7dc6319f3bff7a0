"""What finer steps at low rates save in codec trellis: `python -m bench.trellis_steps`.

λ is the same for all tensors of a network and with or without them; whole files, at equal SNR. With --page the table of
docs/trellis.md is written.
"""

from __future__ import annotations

import argparse
import math
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from rich.console import Console
from rich.progress import track

import neuralcodec
from bench import page
from bench.network import networks
from bench.report.console import show
from bench.report.markdown import markdown
from bench.report.tables import Table

PAGE, MARK = "trellis.md", "steps"
NETWORKS = ("silero-vad", "crepe-tiny", "g2p-en", "lenet300", "lenet5", "resnet-fashion", "mobilenet-fashion")

STEPS = tuple(2.0 ** (-k / 3) for k in range(-4, 11))
"""Distance between levels over the root mean square of all weights of tensors of two dimensions and more."""

RATES = (0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Bits a weight of the table, of files without finer steps."""

Points = list[tuple[float, float]]
"""SNR in dB, and log2 of bits a weight of the whole file."""


def point(of: tuple[str, bool, float]) -> tuple[float, float]:
    """SNR in dB and log2 of bits a weight, of a network, with finer steps or without, and a step."""
    name, finer, step = of
    state = {n: t.float() for n, t in networks()[name].load().items()}
    matrices = [t.double() for t in state.values() if t.dim() > 1]
    scale = math.sqrt(sum(float(t.square().sum()) for t in matrices) / sum(t.numel() for t in matrices))
    cm = neuralcodec.encode(state, step=step * scale, finer=finer, reconstruction="error")
    snr = cm.report().snr_db
    assert snr is not None
    return snr, math.log2(8 * len(cm.to_bytes()) / sum(t.numel() for t in state.values()))


def saved(with_finer: Points, without: Points, bits: float) -> float:
    """What finer steps change of the bytes, at the SNR of files without that take so many bits; NaN if not measured."""
    snrs, rates = (np.array(each) for each in zip(*sorted(without), strict=True))
    if not rates.min() <= math.log2(bits) <= rates.max():
        return math.nan
    snr = float(np.interp(math.log2(bits), rates, snrs))
    finer_snrs, finer_rates = (np.array(each) for each in zip(*sorted(with_finer), strict=True))
    return math.pow(2.0, float(np.interp(snr, finer_snrs, finer_rates)) - math.log2(bits)) - 1


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", help=f"names (default: {' '.join(NETWORKS)})")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--page", action="store_true", help="write the table into docs/trellis.md")
    options = parser.parse_args()
    names = options.networks or NETWORKS
    if unknown := set(names) - set(networks()):
        sys.exit(f"no network {', '.join(sorted(unknown))}; there are {', '.join(networks())}")
    todo = [(name, finer, step) for name in names for finer in (True, False) for step in STEPS]
    with ProcessPoolExecutor(options.jobs) as pool:
        found = list(track(pool.map(point, todo), "measuring", len(todo), console=Console(stderr=True)))
    points: dict[tuple[str, bool], Points] = {}
    for (name, finer, _), result in zip(todo, found, strict=True):
        points.setdefault((name, finer), []).append(result)
    rows = []
    for name in names:
        cells = (saved(points[name, True], points[name, False], rate) for rate in RATES)
        rows.append([name, *("–" if math.isnan(cell) else f"{100 * cell:+.1f} %" for cell in cells)])
    note = "Whole files at equal SNR and by the bits of those with finer=False; small tensors by default."
    headings = ("network", *(f"{rate:g} bit{'s' * (rate > 1)}" for rate in RATES))
    table = Table("Bytes with finer steps, over those without", headings, rows, note)
    show(table, Console(width=100))
    if options.page:
        page.put(PAGE, MARK, markdown(table, heading=""))


if __name__ == "__main__":
    main()

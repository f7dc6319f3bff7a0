"""What options of codec trellis save: finer steps at low rates, leaving out rows and columns of zeros, open ends.

    python -m bench.trellis_options [--page] [NETWORK ...]

λ is the same for all tensors of a network and with or without an option; whole files, at equal SNR. With --page the
tables of docs/trellis.md are written.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

import neuralcodec
from bench import page
from bench.network import networks
from bench.report.console import show
from bench.report.markdown import markdown
from bench.report.tables import Table

PAGE = "trellis.md"
NETWORKS = ("silero-vad", "crepe-tiny", "g2p-en", "lenet300", "lenet5", "resnet-fashion", "mobilenet-fashion")


@dataclass(frozen=True, slots=True)
class Compared:
    """An option that a table is of.

    Attributes:
        option: True or False.
        title: of the table.
        codings: with which it is measured.
        networks: that it changes; the others are measured where they are named.
        rates: bits a weight of its columns, of files without the option.
    """

    option: str
    title: str
    codings: tuple[str, ...]
    networks: tuple[str, ...]
    rates: tuple[float, ...] = (0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


COMPARED = (
    Compared("finer", "Bytes with finer steps, over those without", ("contexts",), NETWORKS),
    Compared("skip", "Bytes without rows and columns of zeros", ("contexts", "light"), ("silero-vad", "crepe-tiny")),
    Compared(
        "open_ends",
        "Bytes with open ends",
        ("light",),
        ("silero-vad", "crepe-tiny", "g2p-en", "lenet5"),
        (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0),
    ),
)

STEPS = tuple(2.0 ** (-k / 3) for k in range(-4, 11))
"""Distance between levels over the root mean square of all weights of tensors of two dimensions and more."""

Points = list[tuple[float, float]]
"""SNR in dB, and log2 of bits a weight of the whole file."""


def point(of: tuple[str, str, str, bool, float]) -> tuple[float, float]:
    """SNR in dB and log2 of bits a weight, of a network, a coding, an option that is on or off, and a step."""
    name, coding, option, on, step = of
    state = {n: t.float() for n, t in networks()[name].load().items()}
    matrices = [t.double() for t in state.values() if t.dim() > 1]
    scale = math.sqrt(sum(float(t.square().sum()) for t in matrices) / sum(t.numel() for t in matrices))
    options: dict[str, Any] = {option: on, "step": step * scale, "coding": coding, "reconstruction": "error"}
    cm = neuralcodec.encode(state, **options)
    snr = cm.report().snr_db
    assert snr is not None
    return snr, math.log2(8 * len(cm.to_bytes()) / sum(t.numel() for t in state.values()))


def saved(on: Points, off: Points, bits: float) -> float:
    """What an option changes of the bytes, at the SNR of files without that take so many bits; NaN if not measured."""
    snrs, rates = (np.array(each) for each in zip(*sorted(off), strict=True))
    if not rates.min() <= math.log2(bits) <= rates.max():
        return math.nan
    snr = float(np.interp(math.log2(bits), rates, snrs))
    on_snrs, on_rates = (np.array(each) for each in zip(*sorted(on), strict=True))
    return math.pow(2.0, float(np.interp(snr, on_snrs, on_rates)) - math.log2(bits)) - 1


def table_of(compared: Compared, names: Sequence[str], points: Mapping[tuple[str, str, bool], Points]) -> Table:
    """A row for each network and coding."""
    rows = []
    for name in names:
        for coding in compared.codings:
            cells = (saved(points[name, coding, True], points[name, coding, False], rate) for rate in compared.rates)
            title = name if len(compared.codings) == 1 else f"{name}, {coding}"
            rows.append([title, *("–" if math.isnan(cell) else f"{100 * cell:+.1f} %" for cell in cells)])
    note = f"Whole files at equal SNR and by the bits of those with {compared.option}=False; small tensors by default."
    headings = ("network", *(f"{rate:g} bit{'s' * (rate > 1)}" for rate in compared.rates))
    return Table(compared.title, headings, rows, note)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", help=f"names (default: {' '.join(NETWORKS)})")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--option", choices=[each.option for each in COMPARED], help="this one only (default: all)")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/trellis.md")
    options = parser.parse_args()
    if unknown := set(options.networks) - set(networks()):
        sys.exit(f"no network {', '.join(sorted(unknown))}; there are {', '.join(networks())}")
    for compared in COMPARED:
        if options.option not in {None, compared.option}:
            continue
        names = options.networks or compared.networks
        todo = [
            (name, coding, compared.option, on, step)
            for name in names
            for coding in compared.codings
            for on in (True, False)
            for step in STEPS
        ]
        with ProcessPoolExecutor(options.jobs) as pool:
            found = list(track(pool.map(point, todo), compared.option, len(todo), console=Console(stderr=True)))
        points: dict[tuple[str, str, bool], Points] = {}
        for (name, coding, _, on, _), result in zip(todo, found, strict=True):
            points.setdefault((name, coding, on), []).append(result)
        table = table_of(compared, names, points)
        show(table, Console(width=100))
        if options.page:
            page.put(PAGE, compared.option, markdown(table, heading=""))


if __name__ == "__main__":
    main()

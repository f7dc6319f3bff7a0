"""What it does to accuracy that the errors of a row cancel: `python bench/shaping.py`.

The metric of trained networks in files of the same size, with errors shaped, which is the default, and not. What a
network loses at low rates is to a good part chance: a little more or less of a bit leads to other errors. So each cell
is the mean over files of a few sizes around the one that it names.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from rich.console import Console

import neuralcodec
from neuralcodec import Target

sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench import page
from bench.network import Network, State
from bench.report.console import show
from bench.report.markdown import markdown
from bench.report.tables import Table
from bench.scored import scored

RATES = {
    "lenet300": (0.5, 0.6, 0.8),
    "lenet5": (0.6, 0.8, 1.0),
    "resnet-fashion": (1.25, 1.5, 2.0),
    "mobilenet-fashion": (2.0, 2.5, 3.0),
    "g2p-en": (1.5, 2.0, 2.5),
    "silero-vad": (2.0, 2.5, 3.0, 4.0),
    "crepe-tiny": (0.6, 0.8, 1.0, 1.5),
    "rapidocr": (3.0, 4.0, 5.0),
    "minilm": (2.0,),
}
"""Bits a weight at which networks begin to lose."""

AROUND = (0.97, 0.985, 1.0, 1.015, 1.03)
"""Sizes over the one that a cell names."""


def cell(network: Network, state: State, codec: str, bits: float, shaping: bool) -> str:
    """Mean of the metric, its standard error by chance, and mean SNR."""
    assert network.evaluate is not None
    scores, snrs = [], []
    for factor in AROUND:
        cm = neuralcodec.encode(dict(state), codec, Target(bits_per_weight=factor * bits), shaping=shaping)
        scores.append(network.evaluate(cm.state_dict()).value)
        snr = cm.report().snr_db
        assert snr is not None
        snrs.append(snr)
    error = statistics.stdev(scores) / len(scores) ** 0.5
    return f"{statistics.mean(scores):.2f} ± {error:.2f} ({statistics.mean(snrs):.1f} dB)"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", help=f"names (default: {' '.join(RATES)})")
    parser.add_argument("--codec", default="trellis", help="or generative, huffman, kmeans")
    parser.add_argument("--bits", type=float, nargs="*", help="bits a weight (default: some for each network)")
    parser.add_argument("--page", action="store_true", help="write the table into docs/trellis.md")
    options = parser.parse_args()
    if options.page and (options.networks or options.bits or options.codec != "trellis"):
        parser.error("--page is for all networks and rates, with codec trellis")
    rows = []
    console = Console(width=120)
    for name, network, state, original in scored(options.networks or RATES, console):
        for bits in options.bits or RATES[name]:
            cells = (cell(network, state, options.codec, bits, shaping) for shaping in (False, True))
            rows.append([*original, f"{bits:g}", *cells])
            console.print(*rows[-1], sep=" | ")
    table = Table(
        "Metric with errors of a row that cancel, at equal size",
        ("network", "original", "bits/weight", "not shaped", "shaped"),
        rows,
        f"Default options of codec {options.codec}, whole files; means over {len(AROUND)} files of {AROUND[0]:g} to "
        f"{AROUND[-1]:g} times the size, ±: standard error of that mean (of the original: of its data); in brackets "
        "the SNR. Error rates improve downwards.",
    )
    show(table, console)
    if options.page:
        page.put("trellis.md", "shaping", markdown(table, heading=""))


if __name__ == "__main__":
    main()

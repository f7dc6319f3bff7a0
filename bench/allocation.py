"""What the allocation of a target's bits to tensors does to accuracy: `python bench/allocation.py`.

The metric of trained networks in files of the same size. Steps of tensors are in proportion to a power of the tensor's
energy: with exponent 0 they are equal, which is for the least squared error; with a half, errors of all layers count
alike, each relative to its layer. The package uses the power in between (neuralcodec/plan/allocation.py).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from unittest.mock import patch

from rich.console import Console

import neuralcodec
from neuralcodec import Target
from neuralcodec.plan import allocation

sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench import page
from bench.network import Network, State
from bench.report.console import show
from bench.report.markdown import markdown
from bench.report.tables import Table
from bench.scored import scored

EXPONENTS = (0.0, 0.25, allocation.EXPONENT, 0.5)
RATES = {
    "lenet300": (0.8, 1.0),
    "lenet5": (0.6, 0.8, 1.0),
    "resnet-fashion": (1.25, 1.5, 2.0),
    "mobilenet-fashion": (2.0, 2.5, 3.0),
    "g2p-en": (1.5, 2.0, 2.5),
    "silero-vad": (2.5, 3.0, 4.0),
    "crepe-tiny": (0.8, 1.0, 1.5),
    "rapidocr": (4.0, 5.0),
    "minilm": (1.5, 2.0, 2.5),
}
"""Bits a weight at which networks begin to lose."""


def score(network: Network, state: State, bits: float, exponent: float) -> str:
    """The metric at a rate, and the SNR."""
    with patch.object(allocation, "EXPONENT", exponent):
        cm = neuralcodec.encode(dict(state), target=Target(bits_per_weight=bits))
    assert network.evaluate is not None
    return f"{network.evaluate(cm.state_dict()).value:.2f} ({cm.report().snr_db:.1f} dB)"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", help=f"names (default: {' '.join(RATES)})")
    parser.add_argument("--page", action="store_true", help="write the table into docs/trellis.md")
    options = parser.parse_args()
    rows = []
    console = Console(width=120)
    for name, network, state, original in scored(options.networks or RATES, console):
        for bits in RATES[name]:
            scores = (score(network, state, bits, exponent) for exponent in EXPONENTS)
            rows.append([*original, f"{bits:g}", *scores])
    headings = ("network", "original", "bits/weight", *(f"exponent {each:g}" for each in EXPONENTS))
    table = Table(
        "Metric by allocation, at equal size",
        headings,
        rows,
        "Default options of codec trellis, whole files; in brackets the SNR. Error rates improve downwards.",
    )
    show(table, console)
    if options.page:
        page.put("trellis.md", "allocation", markdown(table, heading=""))


if __name__ == "__main__":
    main()

"""What each coding of codec trellis costs in bits, on trained networks: `python bench/trellis_codings.py`.

Whole files, with all tensors at the same relative step. Bits a weight of other codings than the first are at its SNR:
a bit for each 6.02 dB.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

import neuralcodec

sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench import page
from bench.network import State, networks
from bench.report.console import show
from bench.report.markdown import markdown
from bench.report.tables import Table

CODINGS = ("contexts", "light", "rans", "prefix")
NETWORKS = ("silero-vad", "crepe-tiny", "g2p-en", "resnet-fashion", "mobilenet-fashion")
STEPS = (0.5, 0.25, 0.12)
DECIBELS_A_BIT = 6.02


def bits_and_snr(state: State, coding: str, step: float) -> tuple[float, float]:
    """Bits a weight, and SNR in dB."""
    cm = neuralcodec.encode(dict(state), coding=coding, relative_step=step, small=10)
    snr = cm.report().snr_db
    assert snr is not None
    return 8 * len(cm.to_bytes()) / sum(tensor.numel() for tensor in state.values()), snr


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", help=f"names (default: {' '.join(NETWORKS)})")
    parser.add_argument("--page", action="store_true", help="write the table into docs/trellis.md")
    options = parser.parse_args()
    rows = []
    for name in options.networks or NETWORKS:
        state = {n: t.float() for n, t in networks()[name].load().items()}
        for step in STEPS:
            bits, snr = bits_and_snr(state, CODINGS[0], step)
            more = []
            for coding in CODINGS[1:]:
                found, at = bits_and_snr(state, coding, step)
                more.append(f"{100 * ((found - (at - snr) / DECIBELS_A_BIT) / bits - 1):+.1f} %")
            rows.append([name, f"{snr:.1f}", f"{bits:.2f}", *more])
    headings = ("network", "SNR dB", "contexts, bits/weight", *CODINGS[1:])
    table = Table("Bits by coding, over contexts", headings, rows, "Whole files, default states of each coding.")
    show(table, Console(width=100))
    if options.page:
        page.put("trellis.md", "codings", markdown(table, heading=""))


if __name__ == "__main__":
    main()

"""What each coding of codec trellis costs in bits, on trained networks: `python bench/trellis_codings.py`.

Whole files, with all tensors at the same relative step. Bits a weight of other codings than the first are at its SNR:
a bit for each 6.02 dB.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

import neuralcodec

sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench.network import State, networks

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
    table = Table("network", "SNR dB", "bits/weight", *CODINGS[1:], title="trellis: bits by coding, over contexts")
    for name in parser.parse_args().networks or NETWORKS:
        state = {n: t.float() for n, t in networks()[name].load().items()}
        for step in STEPS:
            bits, snr = bits_and_snr(state, CODINGS[0], step)
            more = []
            for coding in CODINGS[1:]:
                found, at = bits_and_snr(state, coding, step)
                more.append(f"{100 * ((found - (at - snr) / DECIBELS_A_BIT) / bits - 1):+.1f} %")
            table.add_row(name, f"{snr:.1f}", f"{bits:.3f}", *more)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()

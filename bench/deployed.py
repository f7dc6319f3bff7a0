"""Networks that are run on microcontrollers, as modules, with inputs to calibrate and to test with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.image import imread
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from bench import datasets
from bench.network import networks
from bench.networks import silero
from bench.networks.fashion import mobilenet
from bench.networks.lenet import lenet5

CALIBRATION = 500
"""Inputs that ranges of activations are taken from; of the training data where there are any."""

INPUTS = 1000
"""Inputs to test with, where there are no labelled ones."""

EPSILON = 1e-3
"""Of the batch norms of MLPerf Tiny's reference models."""

FEATURE_FRAMES, FEATURES, MEL_BANDS, WINDOW, HOP, RATE = 49, 10, 40, 640, 320, 16_000
"""Of a keyword spotter's input: 10 mel-frequency cepstral coefficients of windows of 40 ms, every 20 ms of a second."""

SILENT_DB = -120.0
"""Of the noise beside speech in these: none to speak of."""


@dataclass(frozen=True)
class Deployed:
    """A network with what it is run on.

    Attributes:
        name: of the network in bench/networks.
        title: for a reader.
        module: with its trained weights, in evaluation mode.
        calibration: inputs, shape [inputs, channels, height, width], float32.
        inputs: the same, others, to test with.
        labels: their classes, or None.
        origin: of the inputs.
    """

    name: str
    title: str
    module: nn.Module
    calibration: torch.Tensor
    inputs: torch.Tensor
    labels: torch.Tensor | None
    origin: str


class SamePad(nn.Module):
    """Zeros around the input, so that a convolution of stride s gives ceil(size / s), the odd one below and right."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pads height and width, which are even numbers or the stride is 1."""
        total = max(self.kernel - self.stride, 0)
        return F.pad(x, (total // 2, total - total // 2, total // 2, total - total // 2))


class DepthwiseBlock(nn.Module):
    """A depthwise and a pointwise convolution, each with batch norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)
        self.bn1 = nn.BatchNorm2d(channels, EPSILON)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.bn2 = nn.BatchNorm2d(channels, EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One block."""
        return F.relu(self.bn2(self.pointwise(F.relu(self.bn1(self.depthwise(x))))))


class DsCnn(nn.Module):
    """MLPerf Tiny's keyword spotter (Zhang et al., arXiv:1711.07128); input [1, 49, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 64, (10, 4), 2)
        self.bn = nn.BatchNorm2d(64, EPSILON)
        self.blocks = nn.ModuleList(DepthwiseBlock(64) for _ in range(4))
        self.fc = nn.Linear(64, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of 12 classes."""
        x = F.relu(self.bn(self.conv(F.pad(x, (1, 1, 4, 5)))))
        for block in self.blocks:
            x = block(x)
        scores: torch.Tensor = self.fc(x.mean((2, 3)))
        return scores


class Stack(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al., CVPR 2016), with padding as TensorFlow has it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.pad = SamePad(3, stride)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(outputs, EPSILON)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(outputs, EPSILON)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One stack."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(self.pad(x))))))
        return F.relu(y + self.shortcut(x))


class ResNet8(nn.Module):
    """MLPerf Tiny's image classifier; input [3, 32, 32], values 0 to 255."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 1, 1)
        self.bn = nn.BatchNorm2d(16, EPSILON)
        self.stacks = nn.Sequential(Stack(16, 16, 1), Stack(16, 32, 2), Stack(32, 64, 2))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of 10 classes."""
        scores: torch.Tensor = self.fc(self.stacks(F.relu(self.bn(self.conv(x)))).mean((2, 3)))
        return scores


def deployed() -> dict[str, Callable[[], Deployed]]:
    """What gives each of the networks, by name."""
    return {"lenet5": _lenet5, "mobilenet-fashion": _mobilenet, "mlperf-dscnn": _dscnn, "mlperf-resnet8": _resnet8}


def _lenet5() -> Deployed:
    return _classifier("lenet5", lenet5(), datasets.mnist(), "MNIST")


def _mobilenet() -> Deployed:
    return _classifier("mobilenet-fashion", mobilenet(), datasets.fashion(), "Fashion-MNIST")


def _classifier(name: str, module: nn.Module, images: datasets.Images, origin: str) -> Deployed:
    def scaled(pixels: torch.Tensor) -> torch.Tensor:
        return (pixels.float() / 255 - 0.5).unsqueeze(1)

    chosen = torch.randperm(len(images.train), generator=torch.Generator().manual_seed(0))[:CALIBRATION]
    return _deployed(name, module, scaled(images.train[chosen]), scaled(images.test), images.test_classes, origin)


def _dscnn() -> Deployed:
    inputs = cepstra(CALIBRATION + INPUTS)
    origin = f"seconds of spoken prompts, Debian {silero.PROMPTS[0]}, without labels"
    return _deployed("mlperf-dscnn", DsCnn(), inputs[:CALIBRATION], inputs[CALIBRATION:], None, origin)


def _resnet8() -> Deployed:
    inputs = crops(CALIBRATION + INPUTS)
    origin = "squares of a photograph that matplotlib ships, without labels"
    return _deployed("mlperf-resnet8", ResNet8(), inputs[:CALIBRATION], inputs[CALIBRATION:], None, origin)


def _deployed(  # noqa: PLR0917
    name: str,
    module: nn.Module,
    calibration: torch.Tensor,
    inputs: torch.Tensor,
    labels: torch.Tensor | None,
    origin: str,
) -> Deployed:
    network = networks()[name]
    module.load_state_dict(dict(network.load()))
    return Deployed(name, network.title, module.eval(), calibration, inputs, labels, origin)


def cepstra(count: int) -> torch.Tensor:
    """Cepstral coefficients of random seconds of speech and silence, shape [count, 1, 49, 10].

    The natural logarithm of 40 mel bands of the magnitude of the spectrum, and the cosine transform of that, so scaled
    that silence and loud speech have the range of the reference model's input.
    """
    rng = np.random.default_rng(0)
    sound = silero.make(dict.fromkeys(("white", "pink"), SILENT_DB)).sound
    streams, starts = rng.integers(0, len(sound), count), rng.integers(0, sound.shape[1] - RATE, count)
    clips = np.stack([sound[s, at : at + RATE] for s, at in zip(streams, starts, strict=True)])
    frames = np.lib.stride_tricks.sliding_window_view(clips, WINDOW, axis=1)[:, ::HOP][:, :FEATURE_FRAMES]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), 1024, axis=-1))
    bands = np.log(spectrum @ mel_bands(spectrum.shape[-1]).T + 1e-6)
    place = np.pi / MEL_BANDS * (np.arange(MEL_BANDS) + 0.5)
    cosine = np.cos(np.outer(np.arange(FEATURES), place)) * np.sqrt(2 / MEL_BANDS)
    return torch.from_numpy((bands @ cosine.T).astype(np.float32)).unsqueeze(1)


def mel_bands(bins: int) -> NDArray[np.float64]:
    """Triangles over the bins of a spectrum, 20 to 4,000 Hz, equally wide on the mel scale; shape [40, bins]."""
    low_mel, high_mel = (1127 * np.log1p(hertz / 700) for hertz in (20.0, 4000.0))
    mel = np.linspace(low_mel, high_mel, MEL_BANDS + 2)
    edges = 700 * np.expm1(mel / 1127)
    hertz = np.arange(bins) * RATE / (2 * (bins - 1))
    low, middle, high = (edges[i : MEL_BANDS + i, None] for i in range(3))
    return np.asarray(np.clip(np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)), 0, None))


def crops(count: int) -> torch.Tensor:
    """Random squares of a photograph, scaled to 32×32, shape [count, 3, 32, 32], values 0 to 255."""
    rng = np.random.default_rng(0)
    photograph = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    pixels = torch.from_numpy(np.array(imread(photograph))).permute(2, 0, 1).float()
    found = []
    for _ in range(count):
        side = int(rng.integers(32, 257))
        top, left = (int(rng.integers(0, length - side + 1)) for length in pixels.shape[1:])
        square = pixels[None, :, top : top + side, left : left + side]
        square = square.flip(3) if rng.random() < 0.5 else square
        found.append(F.interpolate(square, (32, 32), mode="bilinear", antialias=True, align_corners=False))
    return torch.cat(found).round().clamp(0, 255)

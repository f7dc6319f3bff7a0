"""Deep, linear and identity transforms of weight blocks with a hyperprior: `python -m bench.transforms`.

Blocks of 16 weights of a row, divided by the root mean square of the row, go through an analysis and a synthesis
transform, with compressai's entropy bottleneck and Gaussian conditional between them (Ballé et al., ICLR 2018), trained
for rate and distortion on the corpus and measured on the benchmark's networks, in floating point: what such a codec
could reach before it is made exact. Needs the extra `learned`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.corpus import corpus
from bench.network import networks
from neuralcodec.models.autoencoder_likelihood import entropy_models
from neuralcodec.models.corpus import TEST_NETWORKS, Matrix, matrix_of

BLOCK, HYPER, HIDDEN, STEPS, BATCH = 16, 2, 64, 400, 2048
LAMBDAS = (16.0,)
QUICK = ("resnet-fashion", "mobilenet-fashion", "g2p-en", "lenet300", "lenet5", "silero-vad", "crepe-tiny")


class Blocks(nn.Module):
    """A transform with a scale hyperprior, or with one prior for each place in the block."""

    def __init__(self, kind: str, *, hyperprior: bool) -> None:
        super().__init__()
        models = entropy_models()
        self.analysis, self.synthesis = _transform(kind), _transform(kind)
        self.gain = nn.Parameter(torch.tensor(4.0))
        self.bottleneck: Any = models.EntropyBottleneck(HYPER if hyperprior else BLOCK)
        self.conditional: Any = models.GaussianConditional(None) if hyperprior else None
        self.down = nn.Sequential(nn.Linear(BLOCK, 32), nn.ReLU(), nn.Linear(32, HYPER))
        self.up = nn.Sequential(nn.Linear(HYPER, 32), nn.ReLU(), nn.Linear(32, BLOCK), nn.Softplus())

    def forward(self, blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Bits of all blocks, and what they become."""
        latents = self.analysis(blocks) * self.gain
        if self.conditional is None:
            coded, likelihoods = self.bottleneck(latents[:, :, None])
            coded, bits = coded[:, :, 0], -torch.log2(likelihoods).sum()
        else:
            side, side_likelihoods = self.bottleneck(self.down(latents.abs())[:, :, None])
            coded, likelihoods = self.conditional(latents, self.up(side[:, :, 0]) + 0.05)
            bits = -torch.log2(likelihoods).sum() - torch.log2(side_likelihoods).sum()
        return bits, self.synthesis(coded / self.gain)


def _transform(kind: str) -> nn.Module:
    if kind == "identity":
        return nn.Identity()
    if kind == "linear":
        layer = nn.Linear(BLOCK, BLOCK, bias=False)
        nn.init.eye_(layer.weight)
        return layer
    return Deep()


class Deep(nn.Module):
    """Two hidden layers beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.straight = nn.Linear(BLOCK, BLOCK)
        nn.init.eye_(self.straight.weight)
        last = nn.Linear(HIDDEN, BLOCK)
        nn.init.zeros_(last.weight)
        self.bent = nn.Sequential(nn.Linear(BLOCK, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU(), last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The transform."""
        transformed: torch.Tensor = self.straight(x) + self.bent(x)
        return transformed


def blocks_of(matrix: Matrix, most: int = 4096) -> torch.Tensor:
    """Whole blocks of a matrix, rows divided by their root mean square."""
    weights = matrix.weights / np.sqrt(np.square(matrix.weights).mean(1, keepdims=True) + 1e-20)
    cut = weights[:, : weights.shape[1] // BLOCK * BLOCK].reshape(-1, BLOCK)
    return torch.from_numpy(cut[:: max(len(cut) // most, 1)].astype(np.float32))


def trained(kind: str, data: torch.Tensor, lagrangian: float, *, hyperprior: bool) -> Blocks:
    """Minimizes rate + λ·distortion."""
    torch.manual_seed(0)
    model = Blocks(kind, hyperprior=hyperprior)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=STEPS)
    for _ in range(STEPS):
        batch = data[torch.randint(0, len(data), (BATCH,))]
        bits, rebuilt = model(batch)
        loss = bits / batch.numel() + lagrangian * (batch - rebuilt).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def main() -> None:
    """Prints a row for each transform."""
    data = torch.cat([blocks_of(m) for m in corpus() if m.weights.shape[1] >= BLOCK])
    tests = []
    for name in QUICK:
        assert name in TEST_NETWORKS
        state = networks()[name].load()
        found = [matrix_of(name, n, t) for n, t in sorted(state.items()) if t.is_floating_point() and t.dim() >= 2]
        tests.append(torch.cat([blocks_of(m) for m in found if m.weights.shape[1] >= BLOCK]))
    print("transform, prior: bits/weight and SNR of normalized weights at each λ, mean of networks")
    for kind, hyperprior in (("identity", False), ("identity", True), ("linear", True), ("deep", True)):
        row = []
        for lagrangian in LAMBDAS:
            model = trained(kind, data, lagrangian, hyperprior=hyperprior)
            with torch.no_grad():
                rates, snrs = [], []
                for blocks in tests:
                    bits, rebuilt = model(blocks)
                    rates.append(float(bits) / blocks.numel())
                    snrs.append(float(10 * torch.log10(blocks.square().sum() / (blocks - rebuilt).square().sum())))
            # A bit is worth 6.02 dB: what the rate would be at 0 dB, so that rows compare.
            rate, snr = float(np.mean(rates)), float(np.mean(snrs))
            row.append(f"{rate:.3f} {snr:.2f} dB ({rate - snr / 6.0206:+.3f})")
        print(f"{kind:9s} {'hyperprior' if hyperprior else 'a prior a place':16s} " + " | ".join(row))
        sys.stdout.flush()


if __name__ == "__main__":
    main()

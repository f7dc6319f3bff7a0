"""Deep, linear and identity transforms of weight blocks, each with two priors: `python -m bench.transforms [--page]`.

Blocks of 16 weights of a row, divided by the root mean square of the row, go through an analysis and a synthesis
transform. Latents are coded with compressai's entropy bottleneck, one prior a place of the block, or with its Gaussian
conditional whose spreads a hyperprior sends (Ballé et al., "Variational image compression with a scale hyperprior",
ICLR 2018). All are trained for rate and distortion on the same blocks of the corpus, in as many steps, and measured on
networks of the benchmark in floating point: what such a codec could reach before it is made exact. Beside them stands
what codec autoencoder does with the same normalized weights, its payloads counted whole. With --page the table of
docs/models.md is written. What was trained is kept in the cache. Needs the extra `learned`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from bench import page
from bench.corpus import VERSION, corpus
from bench.folders import cache
from bench.network import networks
from neuralcodec.codecs.autoencoder import Autoencoder
from neuralcodec.dtypes import BY_NAME
from neuralcodec.models.autoencoder_likelihood import entropy_models
from neuralcodec.models.corpus import TEST_NETWORKS, Matrix, matrix_of
from neuralcodec.tensor import MIN_WEIGHTS, TensorSpec, from_float32

Kind = Literal["identity", "linear", "deep"]

BLOCK, HYPER, HIDDEN = 16, 2, 64
AT = (17.0, 20.0, 23.0)
"""SNR in dB that rates are compared at."""

NETWORKS = ("resnet-fashion", "mobilenet-fashion", "g2p-en", "lenet300", "lenet5", "silero-vad", "crepe-tiny")
SHIPPED_STEPS = (0.7, 0.48, 0.34, 0.24, 0.17)
"""Of codec autoencoder, over the root mean square of normalized weights, which is 1."""


@dataclass(frozen=True)
class Setting:
    """What is trained, and how.

    Attributes:
        kind: of transform.
        hyperprior: whether spreads are sent; else each place of the block has a prior.
        lagrangian: λ, bits a weight per squared deviation of normalized weights.
        steps: of Adam.
        batch: blocks of a step.
        rate: largest learning rate of one cycle.
        seed: of weights, batches and noise.
    """

    kind: Kind
    hyperprior: bool
    lagrangian: float
    steps: int = 2500
    batch: int = 2048
    rate: float = 4e-3
    seed: int = 0


@dataclass(frozen=True)
class Point:
    """Bits a weight and SNR in dB."""

    bits: float
    snr: float


VARIANTS: tuple[tuple[Kind, bool], ...] = (
    ("identity", False),
    ("identity", True),
    ("linear", False),
    ("linear", True),
    ("deep", False),
    ("deep", True),
)
LAGRANGIANS = (32.0, 64.0, 128.0)


class Blocks(nn.Module):
    """A transform with a scale hyperprior, or with one prior for each place in the block."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        models = entropy_models()
        hyperprior = setting.hyperprior
        self.analysis, self.synthesis = _transform(setting.kind), _transform(setting.kind)
        # At high rates dR/dD is -1 / (2 ln 2 · D), and D is step² / 12.
        gain = math.sqrt(setting.lagrangian * 2 * math.log(2) / 12)
        self.log_gain = nn.Parameter(torch.tensor(math.log(gain)))
        self.bottleneck: Any = models.EntropyBottleneck(HYPER if hyperprior else BLOCK, init_scale=4)
        self.conditional: Any = models.GaussianConditional(None) if hyperprior else None
        self.down = nn.Sequential(nn.Linear(BLOCK, 32), nn.ReLU(), nn.Linear(32, HYPER))
        self.up = nn.Sequential(nn.Linear(HYPER, 32), nn.ReLU(), nn.Linear(32, BLOCK), nn.Softplus())

    def forward(self, blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Bits of all blocks, and what they become."""
        gain = self.log_gain.exp()
        latents = self.analysis(blocks) * gain
        if self.conditional is None:
            coded, likelihoods = self.bottleneck(latents[:, :, None])
            coded, bits = coded[:, :, 0], -torch.log2(likelihoods).sum()
        else:
            side, side_likelihoods = self.bottleneck(self.down(latents.abs())[:, :, None])
            coded, likelihoods = self.conditional(latents, self.up(side[:, :, 0]) + 0.05)
            bits = -torch.log2(likelihoods).sum() - torch.log2(side_likelihoods).sum()
        return bits, self.synthesis(coded / gain)


def _transform(kind: Kind) -> nn.Module:
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


def normalized(matrix: Matrix) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The weights, rows divided by their root mean square."""
    whole = matrix.weights / np.sqrt(np.square(matrix.weights).mean(1, keepdims=True) + 1e-20)
    return np.ascontiguousarray(whole, np.float32)


def blocks_of(matrix: Matrix, most: int = 4096) -> torch.Tensor:
    """Whole blocks of a matrix's normalized rows, shape [blocks, 16]."""
    cut = normalized(matrix)[:, : matrix.weights.shape[1] // BLOCK * BLOCK].reshape(-1, BLOCK)
    return torch.from_numpy(cut[:: max(len(cut) // most, 1)].copy())


def trained(setting: Setting, data: torch.Tensor) -> Blocks:
    """Minimizes rate + λ·distortion."""
    torch.manual_seed(setting.seed)
    model = Blocks(setting)
    optimizer = torch.optim.Adam(model.parameters(), lr=setting.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, setting.rate, total_steps=setting.steps)
    for _ in range(setting.steps):
        batch = data[torch.randint(0, len(data), (setting.batch,))]
        bits, rebuilt = model(batch)
        loss = bits / batch.numel() + setting.lagrangian * (batch - rebuilt).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def measured(model: Blocks, blocks: torch.Tensor) -> Point:
    """With rounded latents."""
    with torch.no_grad():
        bits, rebuilt = model(blocks)
    error = (blocks - rebuilt).square().sum()
    return Point(float(bits) / blocks.numel(), float(10 * torch.log10(blocks.square().sum() / error)))


def shipped(matrices: list[Matrix], step: float, rdo: float) -> Point:
    """Codec autoencoder on normalized weights."""
    codec = Autoencoder(step=step, rdo=rdo, reconstruction="error")
    size = energy = error = count = 0.0
    for each in matrices:
        weights = normalized(each)
        tensor = from_float32(TensorSpec(each.tensor, BY_NAME["f32"], each.shape), weights)
        payload = codec.encode(tensor)
        decoded = codec.decode(payload, tensor.spec, ()).float32().reshape(weights.shape)
        size += len(payload)
        count += weights.size
        energy += float(np.square(weights, dtype=np.float64).sum())
        error += float(np.square(weights.astype(np.float64) - decoded).sum())
    return Point(8 * size / count, 10 * math.log10(energy / error))


def curves(setting: Setting, data: torch.Tensor, tests: dict[str, torch.Tensor]) -> dict[str, Point]:
    """By network what a setting comes to; trained once, and kept."""
    parts = [VERSION, BLOCK, HYPER, HIDDEN, asdict(setting), sorted((n, len(b)) for n, b in tests.items())]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    path = cache("transforms") / f"{key}.json"
    if path.exists():
        return {name: Point(**point) for name, point in json.loads(path.read_text()).items()}
    model = trained(setting, data)
    found = {name: measured(model, blocks) for name, blocks in tests.items()}
    part = path.with_suffix(".part")
    part.write_text(json.dumps({name: asdict(point) for name, point in found.items()}))
    part.replace(path)
    return found


def bits_at(points: list[Point], snr: float) -> float:
    """Bits a weight at an SNR: between points along a line, beyond them with 6.02 dB a bit."""
    points = sorted(points, key=lambda p: p.snr)
    if snr <= points[0].snr:
        return points[0].bits - (points[0].snr - snr) / 6.0206
    if snr >= points[-1].snr:
        return points[-1].bits + (snr - points[-1].snr) / 6.0206
    return float(np.interp(snr, [p.snr for p in points], [p.bits for p in points]))


def rows() -> Iterator[tuple[str, str, list[float]]]:
    """Transform, prior, and bits a weight at each SNR, mean of networks."""
    data = torch.cat([blocks_of(m) for m in corpus() if m.weights.shape[1] >= BLOCK])
    of: dict[str, list[Matrix]] = {}
    for name in NETWORKS:
        assert name in TEST_NETWORKS
        state = networks()[name].load()
        found = [matrix_of(name, n, t) for n, t in sorted(state.items()) if t.is_floating_point() and t.dim() >= 2]
        of[name] = [m for m in found if m.weights.shape[1] >= BLOCK and m.weights.size >= MIN_WEIGHTS]
    tests = {name: torch.cat([blocks_of(m) for m in found]) for name, found in of.items()}
    for kind, hyperprior in VARIANTS:
        each = [curves(Setting(kind, hyperprior, lagrangian), data, tests) for lagrangian in LAGRANGIANS]
        means = [float(np.mean([bits_at([c[n] for c in each], snr) for n in NETWORKS])) for snr in AT]
        yield kind, "spreads sent (hyperprior)" if hyperprior else "one a place", means
    for rdo, how in ((0.0, "nearest residuals"), (1.0, "residuals by rate and distortion: what ships")):
        ours = {name: [shipped(found, step, rdo) for step in SHIPPED_STEPS] for name, found in of.items()}
        means = [float(np.mean([bits_at(ours[n], snr) for n in NETWORKS])) for snr in AT]
        yield "prediction within the loop", f"learned; {how}", means


def main() -> None:
    """Prints a row for each transform and prior, and writes the page."""
    parser = argparse.ArgumentParser(description="Transforms of weight blocks and priors, compared.")
    parser.add_argument("--page", action="store_true", help="write the table of docs/models.md")
    write = parser.parse_args().page
    lines = []
    for transform, prior, bits in rows():
        lines.append([transform, prior, *(f"{b:.3f}" for b in bits)])
        print(" | ".join(lines[-1]), flush=True)
    if write:
        page.put("models.md", "transforms", page.table(("transform", "prior", *(f"{s:.0f} dB" for s in AT)), lines))


if __name__ == "__main__":
    main()

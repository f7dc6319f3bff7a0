"""Trains small image classifiers, once, and scores them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from bench.datasets import Images
from bench.folders import cache, lock
from bench.network import Score, State


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained: AdamW with a one-cycle schedule (Smith, arXiv:1708.07120).

    Attributes:
        epochs: passes over the training images.
        rate: largest learning rate.
        decay: weight decay.
        shift: images are shifted by up to so many pixels either way.
        flip: images are mirrored half of the time.
        batch: images a step.
        seed: of weights, order, shifts and flips.
        version: changes with anything else here.
    """

    epochs: int
    rate: float
    decay: float = 0.01
    shift: int = 2
    flip: bool = False
    batch: int = 128
    seed: int = 0
    version: int = 1


def _silent(name: str, text: str) -> None:
    pass


listener: Callable[[str, str], None] = _silent
"""Told the network's name and how far its training is, at each percent."""


def trained(name: str, build: Callable[[], nn.Module], images: Callable[[], Images], recipe: Recipe) -> State:
    """The trained weights, from the cache if they are there."""
    key = "-".join(str(value) for value in vars(recipe).values())
    kept = cache("trained") / f"{name}-{key}.safetensors"
    with lock(kept.stem):
        if not kept.exists():
            state = train(name, build, images(), recipe)
            part = kept.with_suffix(".part")
            save_file({n: t.contiguous() for n, t in state.items()}, part)
            part.replace(kept)
    return load_file(kept)


def train(name: str, build: Callable[[], nn.Module], images: Images, recipe: Recipe) -> State:
    """Trains from scratch, with one thread: sums in another order would give other weights."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    network = build().train()
    generator = torch.Generator().manual_seed(recipe.seed)
    pixels, classes = _scaled(images.train), images.train_classes.long()
    steps = math.ceil(len(pixels) / recipe.batch) * recipe.epochs
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=steps)
    done = 0
    for _ in range(recipe.epochs):
        for chosen in torch.split(torch.randperm(len(pixels), generator=generator), recipe.batch):
            loss = F.cross_entropy(network(_varied(pixels[chosen], recipe, generator)), classes[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            done += 1
            if 100 * done // steps > 100 * (done - 1) // steps:
                listener(name, f"training {name} {100 * done // steps} %")
    torch.set_num_threads(threads)
    return {n: t.detach().clone() for n, t in network.state_dict().items()}


@torch.no_grad()
def accuracy(build: Callable[[], nn.Module], state: State, images: Images) -> Score:
    """Share of the test images that are classified rightly, in percent, with its binomial standard error."""
    network = build().eval()
    network.load_state_dict(dict(state))
    right = 0
    parts = zip(torch.split(_scaled(images.test), 1000), torch.split(images.test_classes, 1000), strict=True)
    for pixels, classes in parts:
        right += int((network(pixels).argmax(1) == classes).sum())
    return share(right, len(images.test))


def share(right: int, samples: int) -> Score:
    """``right`` of ``samples`` in percent."""
    p = right / samples
    return Score(100 * p, 100 * math.sqrt(p * (1 - p) / samples), samples)


def _scaled(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels.float() / 255 - 0.5).unsqueeze(1)


def _varied(pixels: torch.Tensor, recipe: Recipe, generator: torch.Generator) -> torch.Tensor:
    n, _, height, width = pixels.shape
    if recipe.flip:
        mirrored = torch.rand(n, generator=generator) < 0.5
        pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
    if not recipe.shift:
        return pixels
    s = recipe.shift
    padded = F.pad(pixels, (s, s, s, s), value=-0.5)
    down, right = torch.randint(0, 2 * s + 1, (2, n), generator=generator)
    rows = down[:, None] + torch.arange(height)
    columns = right[:, None] + torch.arange(width)
    return padded[torch.arange(n)[:, None, None], 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)

"""Which tensors of the benchmark have an expression: `python -m bench.expression_screen`.

Codec regression looks for an expression of a tensor's weights only where a short search explains some of their energy.
This makes that search for all tensors of two or more dimensions of the networks that are here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from bench.network import networks
from neuralcodec.codecs.regression import expression
from neuralcodec.codecs.regression.codec import EXPLAINED

LEAST = 256
STEP = 0.11
"""Of levels, over the deviation of a tensor: some 25 dB."""


@dataclass(frozen=True, slots=True)
class Screened:
    """A tensor, and the share of its energy that a short search explains."""

    name: str
    shape: tuple[int, ...]
    share: float


def screen(network: str, settings: expression.Settings) -> list[Screened]:
    """All tensors of a network, constant ones aside."""
    found = []
    for name, tensor in networks()[network].load().items():
        if tensor.dim() < 2 or tensor.numel() < LEAST or not tensor.is_floating_point():
            continue
        weights = np.ascontiguousarray(tensor.float().reshape(len(tensor), -1).numpy())
        if bool((weights == weights.flat[0]).all()):
            continue
        step = STEP * math.sqrt(float(np.square(weights, dtype=np.float64).mean()))
        share = expression.explained(weights, tuple(tensor.shape), step, settings)
        found.append(Screened(f"{network}: {name}", tuple(tensor.shape), share))
    return found


def main(
    network: Annotated[list[str] | None, typer.Option(help="Of these only; may be repeated.")] = None,
    show: Annotated[int, typer.Option(help="Tensors to show, those first of which most is explained.")] = 12,
) -> None:
    """Screens and prints."""
    console = Console(width=120)
    screened: list[Screened] = []
    for name, each in networks().items():
        if network and name not in network:
            continue
        if (reason := each.missing()) is not None:
            console.print(f"not here: {name}: {reason}", highlight=False)
            continue
        screened += screen(name, expression.Settings())
        console.print(f"{name}: {len(screened)} tensors so far", highlight=False)
    table = Table("tensor", "shape", "explained")
    for one in sorted(screened, key=lambda s: -s.share)[:show]:
        table.add_row(one.name, "×".join(map(str, one.shape)), f"{one.share:.1%}")
    console.print(table)
    passing = sum(one.share > EXPLAINED for one in screened)
    console.print(f"{passing} of {len(screened)} tensors pass {EXPLAINED:.0%}", highlight=False)


if __name__ == "__main__":
    typer.run(main)

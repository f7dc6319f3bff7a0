"""What a network is to the benchmark. A file in bench/networks/ that defines ``NETWORKS`` adds some."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

State = Mapping[str, torch.Tensor]
"""Trained weights by name."""


@dataclass(frozen=True)
class Score:
    """What a task metric came to.

    Attributes:
        value: the metric.
        stderr: its standard error, in the same unit, from the spread over samples.
        samples: how many there were.
        further: other metrics by name, for the report.
    """

    value: float
    stderr: float
    samples: int
    further: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """A trained network and the task it is scored on.

    Attributes:
        name: short, lower case, in file names and on the command line.
        title: for a reader: network and data.
        metric: name of the metric; empty if there is none, and the network serves ratio and fidelity only.
        unit: of the metric, such as "%".
        higher_is_better: which way the metric improves.
        expected: what the original weights score.
        margin: the baseline may be so far from ``expected``; beyond that the run stops.
        origin: where weights and data come from, with versions.
        load: gives the trained weights; may fetch or train, once.
        evaluate: scores weights of the same names and shapes; deterministic.
        missing: why it cannot be had here, or None.
        version: changes when weights, data or metric do; cached records of other versions do not count.
        quick: part of `make bench`.
        slow: coding or scoring it takes so long that `make bench-full` takes the quick sweeps for it.
    """

    name: str
    title: str
    metric: str
    unit: str
    higher_is_better: bool
    expected: float
    margin: float
    origin: str
    load: Callable[[], State]
    evaluate: Callable[[State], Score] | None
    missing: Callable[[], str | None] = lambda: None
    version: str = "1"
    quick: bool = True
    slow: bool = False


def networks() -> dict[str, Network]:
    """All networks by name, from the files in bench/networks/."""
    package = importlib.import_module("bench.networks")
    found: dict[str, Network] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        for network in getattr(importlib.import_module(f"bench.networks.{module.name}"), "NETWORKS", ()):
            if network.name in found:
                raise ValueError(f"two networks are named {network.name!r}")
            found[network.name] = network
    return found

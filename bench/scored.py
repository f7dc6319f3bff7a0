"""Networks that a script scores at some rates, and what their rows in its table begin with."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from rich.console import Console
from rich.progress import track

from bench.network import Network, State, networks


class Scored(NamedTuple):
    """A network whose task is here.

    Attributes:
        name: of the network.
        network: itself.
        state: its trained weights.
        cells: its name with the metric, and what the original scores.
    """

    name: str
    network: Network
    state: State
    cells: tuple[str, str]


def scored(names: Collection[str], console: Console) -> Iterator[Scored]:
    """The networks of these names, one after the other; the console is told of those that are not here."""
    known = networks()
    for name in track(names, console=Console(stderr=True)):
        network = known[name]
        reason = network.missing()
        if reason is not None:
            console.print(f"{name} is left out: {reason}")
            continue
        state = network.load()
        assert network.evaluate is not None
        base = network.evaluate(state)
        title = f"{name}: {network.metric}, {network.unit}"
        yield Scored(name, network, state, (title, f"{base.value:.2f} ± {base.stderr:.2f}"))

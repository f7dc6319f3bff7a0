"""Cluster counts of each layer, explored without retraining: `python bench/exploration.py`.

neuralcodec.explore() on two trained networks, with an evaluation function that sees one half of the task's data. The
point it picks is then encoded and scored on the other half, beside one cluster count for all layers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import neuralcodec

sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench import datasets, training
from bench.metrics import roc_area
from bench.network import networks
from bench.networks import fashion, silero

State = Mapping[str, torch.Tensor]
COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64)


@dataclass(frozen=True)
class Task:
    """A network, and its error in percent on either half of its data."""

    state: State
    seen: Callable[[State], float]
    unseen: Callable[[State], float]
    allowed: float


def resnet() -> Task:
    """ResNet-8 on Fashion-MNIST: classification error; test images 1 to 5,000 and 5,001 to 10,000."""
    whole = datasets.fashion()
    halves = [
        datasets.Images(whole.train[:0], whole.train_classes[:0], whole.test[part], whole.test_classes[part])
        for part in (slice(0, 5000), slice(5000, None))
    ]

    def error(images: datasets.Images) -> Callable[[State], float]:
        return lambda state: 100 - training.accuracy(fashion.resnet, state, images).value

    return Task(networks()["resnet-fashion"].load(), error(halves[0]), error(halves[1]), 0.5)


def vad() -> Task:
    """Silero VAD: 100 % minus the area under the ROC curve; even and odd pairs of streams."""
    data = silero.speech()
    pair = torch.arange(silero.STREAMS) // 2 % 2  # of two neighbours one is under white noise, one under pink

    def error(half: int) -> Callable[[State], float]:
        chosen = (pair == half).numpy()
        sound, labels = torch.from_numpy(data.sound[chosen]), data.labels[chosen]

        def score(state: State) -> float:
            with torch.inference_mode():
                found = silero.probabilities(state, sound).nan_to_num().numpy()
            counts = labels >= 0
            stream = np.broadcast_to(np.arange(len(labels))[:, None], labels.shape)
            return 100 - 100 * roc_area(found[counts], labels[counts] == 1, stream[counts]).value

        return score

    return Task(silero.load(), error(0), error(1), 0.5)


TASKS = {"resnet-fashion": resnet, "silero-vad": vad}


def main() -> None:
    """Explores and prints a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(TASKS)} (default: all)")
    parser.add_argument("--plot", metavar="FOLDER", type=Path, help="draw the fronts into this folder")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.networks if name not in TASKS]
    if unknown:
        parser.error(f"no network {unknown[0]!r}; there are {', '.join(TASKS)}")
    torch.set_num_threads(1)
    console = Console(width=120)
    for name in arguments.networks or TASKS:
        front = show(name, TASKS[name](), console)
        if arguments.plot:
            arguments.plot.mkdir(parents=True, exist_ok=True)
            front.plot(arguments.plot / f"{name}.png")


def show(name: str, task: Task, console: Console) -> neuralcodec.Front:
    """Explores one network, and prints what came of it."""
    state = dict(task.state)
    limit = task.seen(state) + task.allowed
    start = time.perf_counter()
    front = neuralcodec.explore(state, "kmeans", task.seen, max_loss=limit)
    seconds = time.perf_counter() - start
    table = Table("setting", "bytes", "ratio", "error, explored half", "error, other half", title=name)

    def row(text: str, decoded: State, nbytes: int) -> None:
        figures = (f"{nbytes:,}", f"{front.original_bytes / nbytes:.2f}×")
        table.add_row(text, *figures, f"{task.seen(decoded):.2f} %", f"{task.unseen(decoded):.2f} %")

    row("original", state, front.original_bytes)
    point = front.smallest(max_loss=limit)
    cm = neuralcodec.encode(state, front.codec, overrides=point.overrides())
    row(f"explored: at most {task.allowed:g} points lost", cm.state_dict(), cm.nbytes)
    for count in COUNTS:
        cm = neuralcodec.encode(state, "kmeans", clusters=count)
        row(f"{count} clusters in all layers", cm.state_dict(), cm.nbytes)
    console.print(table)
    counts = ", ".join(f"{tensor} {options['clusters']}" for tensor, options in point.overrides().items())
    console.print(f"{len(front.evaluations)} evaluations in {seconds:.0f} s; the grid has {front.grid:.2g}")
    console.print(f"clusters: {counts}")
    return front


if __name__ == "__main__":
    main()

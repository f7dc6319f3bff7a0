"""Deep Compression's MNIST rows, and how much further it goes: ``python -m bench.deep_compression [--curve]``.

Han, Mao and Dally (ICLR 2016) report LeNet-300-100 at 40× with 1.58 % error and LeNet-5 at 39× with 0.74 %. Here the
benchmark's trained networks are pruned while they are trained; units that have no weights left are taken out, which
changes nothing; the weights that are left share a few values, which are trained; and the file is written, read,
decoded, and scored.

The curve is that of networks trained without the last 10,000 training images, each stage of pruning going on from the
one before; which of its points counts as the furthest is chosen with those images alone. The rows are its mildest
setting, with all training images; it was fixed before it was run, but after runs of other settings whose test errors
were seen, and which spoke for fewer zeros in LeNet-5.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

import neuralcodec
from bench import datasets, dead_units, fetch, training
from bench.datasets import Images
from bench.folders import ROOT, cache
from bench.network import Score, State, networks
from bench.networks.lenet import lenet5, lenet300
from bench.training import Recipe
from neuralcodec import finetune as ft

HELD_OUT = 10_000
BATCH = 128
TILE = 16_384
"""Weights: a tile costs some bytes, and most weights here cost next to none."""

VERSION = 2
"""Changes with anything here that changes results."""

PAGE = ROOT / "docs" / "deep_compression.md"
RESULTS = ROOT / "build" / "deep_compression.json"
FILES = ROOT / "build" / "deep_compression"


@dataclass(frozen=True)
class Stage:
    """Prunes further, then shares weights.

    Attributes:
        sparsity: share of all weights that are zero after it.
        epochs: of pruning and retraining; the first half of them prunes.
        clusters: values a tensor may have, zero included; one point for each.
        tuning: epochs of training the shared values.
    """

    sparsity: float
    epochs: int
    clusters: tuple[int, ...]
    tuning: int


@dataclass(frozen=True)
class Mark:
    """What others report.

    Attributes:
        title: whose it is.
        ratio, error: ×, and % of the test images.
    """

    title: str
    ratio: float
    error: float


@dataclass(frozen=True)
class Task:
    """A network, what it is compared with, and how it is compressed.

    Attributes:
        name, title: of the network.
        build: makes it.
        recipe: of its training before compression, the bench's own.
        marks: what it is compared with, Deep Compression first.
        row: the stage of the row.
        curve: those of the curve.
        rate: of pruning; half of it when values are tuned.
    """

    name: str
    title: str
    build: Callable[[], nn.Module]
    recipe: Recipe
    marks: tuple[Mark, ...]
    row: Stage
    curve: tuple[Stage, ...]
    rate: float = 2e-3


def _curve(epochs: int, tuning: int, clusters: tuple[int, ...], *sparsities: float) -> tuple[Stage, ...]:
    return tuple(Stage(sparsity, epochs, clusters, tuning) for sparsity in sparsities)


TASKS = (
    Task(
        *("lenet300", "LeNet-300-100", lenet300, Recipe(epochs=15, rate=3e-3, shift=1)),
        marks=(Mark("Deep Compression", 40.0, 1.58),),
        row=Stage(0.95, 10, (16,), 4),
        curve=_curve(10, 4, (8, 16), 0.95, 0.97, 0.98, 0.985, 0.99),
    ),
    Task(
        *("lenet5", "LeNet-5 (Caffe)", lenet5, Recipe(epochs=6, rate=2e-3, shift=2)),
        marks=(Mark("Deep Compression", 39.0, 0.74), Mark("Deep Microcompression", 55.8, 1.23)),
        row=Stage(0.94, 5, (16,), 2),
        curve=_curve(5, 2, (8, 16), 0.94, 0.97, 0.985, 0.99, 0.994),
    ),
)


@dataclass(frozen=True)
class Point:
    """One file.

    Attributes:
        network: name.
        whole: whether it was trained with all training images.
        seed: of its pruning and tuning.
        target: share of weights that were to be pruned.
        sparsity: share of the original's weights that are zero, or gone with their unit.
        clusters: values a tensor may have.
        bytes: of the file, all counted.
        ratio: bytes of the original's parameters as float32 / ``bytes``.
        validation: error of the decoded file in % of the held-out images; None if it was trained with them.
        test: the same of the test images.
        seconds: that it took, from the point before on.
    """

    network: str
    whole: bool
    seed: int
    target: float
    sparsity: float
    clusters: int
    bytes: int
    ratio: float
    validation: float | None
    test: float
    seconds: float


@dataclass(frozen=True)
class Start:
    """A network before compression; fields as those of :class:`Point`."""

    network: str
    whole: bool
    parameters: int
    validation: float | None
    test: float


@dataclass(frozen=True)
class Found:
    """What was measured of a network: its row, then its curve.

    Attributes:
        task: the network.
        starts: the original, trained with all images, and without those held out.
        row, curve: points, of one or more seeds.
    """

    task: Task
    starts: tuple[Start, Start]
    row: list[Point]
    curve: list[Point]


def everything() -> Images:
    """MNIST."""
    return datasets.mnist()


def learnable() -> Images:
    """MNIST without the images that are held out."""
    mnist = datasets.mnist()
    return Images(mnist.train[:-HELD_OUT], mnist.train_classes[:-HELD_OUT], mnist.test, mnist.test_classes)


def held_out() -> Images:
    """MNIST with the images that are held out in the place of the test images."""
    mnist = datasets.mnist()
    nothing = mnist.train[:0], mnist.train_classes[:0]
    return Images(*nothing, mnist.train[-HELD_OUT:], mnist.train_classes[-HELD_OUT:])


def original(task: Task, *, whole: bool) -> State:
    """The trained network: the bench's, or one trained by its recipe without the held-out images."""
    if whole:
        return networks()[task.name].load()
    return training.trained(f"{task.name}-50000", task.build, learnable, task.recipe)


def batches(images: Images, shift: int) -> Callable[[int], Iterator[tuple[torch.Tensor, torch.Tensor]]]:
    """A loader of images in random order, each shifted by up to ``shift`` pixels either way."""
    pixels = F.pad(images.train.float() / 255 - 0.5, (shift,) * 4, value=-0.5)
    windows = pixels.unfold(1, datasets.PIXELS, 1).unfold(2, datasets.PIXELS, 1)
    classes = images.train_classes.long()

    def epoch(_number: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for chosen in torch.split(torch.randperm(len(classes)), BATCH):
            down, right = torch.randint(0, 2 * shift + 1, (2, len(chosen)))
            yield windows[chosen, down, right].unsqueeze(1), classes[chosen]

    return epoch


def loss(output: torch.Tensor, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Cross entropy."""
    return F.cross_entropy(output, batch[1])


def write(model: nn.Module, books: dict[str, ft.Codebook], path: Path) -> State:
    """Encodes to a file, with biases as fp16; the weights it decodes to."""
    state = {name: tensor if name in books else tensor.half() for name, tensor in model.state_dict().items()}
    cm = neuralcodec.encode(state, codec="kmeans", include=list(books), overrides=ft.overrides(books), tile=TILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    neuralcodec.save(cm, path)
    return {name: tensor.float() for name, tensor in neuralcodec.decode(path).items()}


def points(
    task: Task, stages: Sequence[Stage], seed: int, *, whole: bool, finished: bool, quiet: bool
) -> Iterator[Point]:
    """Points in order; what was done before comes from the cache, with ``finished`` nothing else."""
    folder = cache("deep_compression")
    images = everything() if whole else learnable()
    steps = math.ceil(len(images.train) / BATCH)
    loader = batches(images, task.recipe.shift)
    model = task.build()
    model.load_state_dict(dict(original(task, whole=whole)))
    for i, stage in enumerate(stages):
        begun = time.monotonic()
        # Tunings do not change what the next stage starts from.
        before = [whole, seed, *((each.sparsity, each.epochs) for each in stages[: i + 1])]
        if not finished:
            recipe = ft.Recipe(stage.epochs * steps, task.rate, seed=100 * seed + i)
            pruning = ft.Pruning(stage.sparsity, scope="global", criterion="taylor", end=0.5)
            path = folder / f"{_key(task, before)}.pt"
            ft.prune(model, loader, loss, recipe, pruning, checkpoint=path, quiet=quiet)
        for clusters in stage.clusters:
            kept = folder / f"{_key(task, [*before, (clusters, stage.tuning)])}.json"
            if not kept.exists():
                if finished:
                    continue
                tuned = dead_units.without(model)
                books = ft.share(tuned, clusters)
                recipe = ft.Recipe(stage.tuning * steps, task.rate / 2, seed=100 * seed + i)
                path = kept.with_suffix(".pt")
                books = ft.tune(tuned, loader, loss, recipe, books, checkpoint=path, quiet=quiet)
                name = f"{task.name}-{'all' if whole else 'held-out'}-{stage.sparsity:g}-{clusters}-{seed}"
                state = write(tuned, books, FILES / f"{name}.safetensors")
                size = (FILES / f"{name}.safetensors").stat().st_size
                parameters = sum(tensor.numel() for tensor in model.state_dict().values())
                weights = sum(p.numel() for n, p in model.named_parameters() if n in books)
                zeros = 1 - sum(int(state[n].count_nonzero()) for n in books) / weights
                validation, test = errors(task, state, whole=whole)
                fields = (stage.sparsity, zeros, clusters, size, 4 * parameters / size, validation, test)
                point = Point(task.name, whole, seed, *fields, time.monotonic() - begun)
                _replace(kept, json.dumps(asdict(point)))
            begun = time.monotonic()
            yield Point(**json.loads(kept.read_text(encoding="utf-8")))


def errors(task: Task, state: State, *, whole: bool) -> tuple[float | None, float]:
    """Errors in % of the held-out images, None if it was trained with them, and of the test images."""

    def build() -> nn.Module:
        return dead_units.shaped(task.build(), state)

    validation = None if whole else _error(training.accuracy(build, state, held_out()))
    return validation, _error(training.accuracy(build, state, datasets.mnist()))


def start(task: Task, *, whole: bool) -> Start:
    """Scores the original network."""
    state = original(task, whole=whole)
    return Start(task.name, whole, sum(t.numel() for t in state.values()), *errors(task, state, whole=whole))


def _error(score: Score) -> float:
    return round(100 - score.value, 4)


def _key(task: Task, settings: object) -> str:
    text = repr((VERSION, task.name, task.recipe, task.rate, TILE, settings))
    return f"{task.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


ROW_HEADINGS = (
    *("network", "original bytes", "original's error", "zeros", "clusters", "file bytes", "ratio", "test error"),
    *("worst", "seeds", "Deep Compression", "reached"),
)
CURVE_HEADINGS = (
    *("zeros", "clusters", "file bytes", "ratio", "bits/weight", "held-out error", "test error", "seeds", "seconds"),
)


FURTHEST_HEADINGS = (
    *("network", "error allowed on held-out images", "zeros", "clusters", "file bytes", "ratio", "held-out error"),
    "test error",
)


def mean(values: Sequence[float], unit: str = " %", digits: int = 2) -> str:
    """The mean, and its standard error where there are two values or more."""
    text = f"{statistics.fmean(values):,.{digits}f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values) / math.sqrt(len(values)):,.{digits}f}"
    return text + unit


def row(found: Found) -> list[str]:
    """The line of a network."""
    task, at, of = found.task, found.starts[0], found.row
    mark = task.marks[0]
    line = [task.title, f"{4 * at.parameters:,}", f"{at.test:.2f} %"]
    claim = f"{mark.ratio:g}× at {mark.error:.2f} %"
    if not of:
        return [*line, *[""] * 6, "0", claim, "not measured"]
    # Each seed's file must reach it, not their mean.
    reached = all(p.ratio >= mark.ratio and p.test <= mark.error for p in of)
    return [
        *line,
        f"{100 * of[0].sparsity:.1f} %",
        str(of[0].clusters),
        mean([p.bytes for p in of], "", 0),
        mean([p.ratio for p in of], "×", 1),
        mean([p.test for p in of]),
        f"{max(p.test for p in of):.2f} %",
        str(len(of)),
        claim,
        "yes" if reached else "no",
    ]


def settings(found: Found) -> list[list[Point]]:
    """The points of the curve, those of each setting together."""
    keys = dict.fromkeys((p.target, p.clusters) for p in found.curve)
    return [[p for p in found.curve if (p.target, p.clusters) == key] for key in keys]


def held_out_errors(of: Sequence[Point]) -> list[float]:
    """Errors on the held-out images."""
    return [p.validation for p in of if p.validation is not None]


def furthest_rows(found: Found) -> list[list[str]]:
    """For each mark the setting of least bytes whose mean held-out error is not above the mark's error."""
    lines = []
    for mark in found.task.marks:
        line = [found.task.title, f"{mark.title}: {mark.ratio:g}× at {mark.error:.2f} %"]
        good = [of for of in settings(found) if statistics.fmean(held_out_errors(of)) <= mark.error]
        if not good:
            lines.append([*line, "none", *[""] * 5])
            continue
        best = min(good, key=lambda of: statistics.fmean(p.bytes for p in of))
        lines.append(
            [
                *line,
                f"{100 * statistics.fmean(p.sparsity for p in best):.2f} %",
                str(best[0].clusters),
                mean([p.bytes for p in best], "", 0),
                mean([p.ratio for p in best], "×", 1),
                mean(held_out_errors(best)),
                mean([p.test for p in best]),
            ]
        )
    return lines


def curve_rows(found: Found) -> list[list[str]]:
    """All settings of a network's curve, the original first."""
    at = found.starts[1]
    lines = [["", "", f"{4 * at.parameters:,}", "1.0×", "32.000", f"{at.validation:.2f} %", f"{at.test:.2f} %", "", ""]]
    for of in settings(found):
        bits = statistics.fmean(8 * p.bytes / at.parameters for p in of)
        lines.append(
            [
                f"{100 * statistics.fmean(p.sparsity for p in of):.2f} %",
                str(of[0].clusters),
                mean([p.bytes for p in of], "", 0),
                mean([p.ratio for p in of], "×", 1),
                f"{bits:.3f}",
                mean(held_out_errors(of)),
                mean([p.test for p in of]),
                str(len(of)),
                f"{statistics.fmean(p.seconds for p in of):.0f}",
            ]
        )
    return lines


def page(found: Sequence[Found]) -> str:
    """The Markdown page."""
    parts = [
        "# Deep Compression on MNIST",
        "",
        "Written by `python -m bench.deep_compression --curve`; without `--curve` it measures the first table only.",
        "",
        "Networks are pruned while they are trained (in all tensors together, by the first-order change of the loss),",
        "units without weights are taken out, the weights that are left share a few values (optimal k-means, one of",
        "them zero), and those values are trained by the summed gradients of their weights.",
        "`neuralcodec.encode(..., codec='kmeans')` writes the file. See [finetune.md](finetune.md).",
        "",
        "- Every byte of the file counts: safetensors header, names, codebooks, tables, checksums, and the biases,",
        "  which are stored as fp16. The ratio is that of all parameters of the original, at four bytes each, to the",
        "  file. A file holds smaller tensors than the original where units were taken out.",
        "- Errors are those of the file read again and decoded by the C decoder. ± is the standard error of the mean",
        "  over seeds of pruning and tuning, which all start from the same trained network. Beside it, 10,000 images",
        "  give each error a binomial standard error of about 0.08 (at 0.7 %) to 0.13 (at 1.6 %).",
        f"- The curves are of networks trained without the last {HELD_OUT:,} training images, each stage of pruning",
        "  going on from the one before. Points of it are chosen with held-out images alone; where there is one seed,",
        "  a choice at its limit may be luck. The rows of the first table are the mildest setting of a curve, with all",
        "  60,000 images and from the benchmark's network. It was fixed before it was run, but after runs of other",
        "  settings whose test errors were seen, and which spoke for fewer zeros in LeNet-5.",
        "- Deep Microcompression is quoted with the firmware it reports; what is compared here is file and error.",
        "- Seconds are those of one point on one thread, beside other work on the machine.",
        "- Deep Compression (Han, Mao and Dally, ICLR 2016) is quoted, not measured here; its networks had 1.64 % and",
        "  0.80 % error before.",
        "",
        *_markdown(ROW_HEADINGS, [row(each) for each in found]),
        "## How far it goes",
        "",
        "The smallest file of each curve below whose mean error on the held-out images is not above the error of a",
        "mark. Marks are quoted as reported, for the test images.",
        "",
        *_markdown(FURTHEST_HEADINGS, [line for each in found for line in furthest_rows(each)]),
    ]
    for each in found:
        parts += [f"## {each.task.title}", "", *_markdown(CURVE_HEADINGS, curve_rows(each))]
    return "\n".join(parts).rstrip("\n") + "\n"


def _markdown(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---", *["--:"] * (len(headings) - 1)]
    return [*(f"| {' | '.join(line)} |" for line in [headings, rule, *lines]), ""]


def _show(console: Console, title: str, headings: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    table = Table(title=title)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left")
    for line in lines:
        table.add_row(*line)
    console.print(table)


def main(
    *,
    network: Annotated[list[str] | None, typer.Option(help="lenet300 or lenet5; default both.")] = None,
    curve: Annotated[bool, typer.Option("--curve", help="The curve as well, and the page in docs/.")] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each row, with seeds 0, 1, …")] = 3,
    curve_seeds: Annotated[int, typer.Option(min=1, help="Runs of each curve.")] = 2,
    finished: Annotated[bool, typer.Option("--finished", help="Trains nothing: shows what is in the cache.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Compresses LeNet-300-100 and LeNet-5 as Deep Compression does. Cut off, it goes on where it was."""
    for name in network or []:
        if name not in {task.name for task in TASKS}:
            raise typer.BadParameter(f"no network is named {name!r}; there are {', '.join(t.name for t in TASKS)}")
    torch.set_num_threads(1)  # sums in another order would give other weights
    console = Console(width=None if Console().is_terminal else 200)
    found = []
    for task in TASKS:
        if network and task.name not in network:
            continue
        each = Found(task, (start(task, whole=True), start(task, whole=False)), [], [])
        plan: list[tuple[list[Point], tuple[Stage, ...], int, bool]]
        plan = [(each.row, (task.row,), seed, True) for seed in range(seeds)]
        plan += [(each.curve, task.curve, seed, False) for seed in range(curve_seeds if curve else 0)]
        for to, stages, seed, whole in plan:
            for point in points(task, stages, seed, whole=whole, finished=finished, quiet=quiet):
                to.append(point)
                if not quiet:
                    at = f"{100 * point.target:g} % pruned, {point.clusters} clusters, seed {seed}"
                    console.print(f"{task.title}: {at}: {point.ratio:.1f}×, test error {point.test:.2f} %")
        if curve:
            _show(console, task.title, CURVE_HEADINGS, curve_rows(each))
        found.append(each)
    if curve:
        lines = [line for each in found for line in furthest_rows(each)]
        _show(console, "How far it goes", FURTHEST_HEADINGS, lines)
    _show(console, "Deep Compression's rows", ROW_HEADINGS, [row(each) for each in found])
    results = [
        {"starts": [asdict(s) for s in f.starts], "points": [asdict(p) for p in [*f.row, *f.curve]]} for f in found
    ]
    _replace(RESULTS, json.dumps(results, indent=1))
    if curve and not network:
        _replace(PAGE, page(found))


def command() -> None:
    """Runs the command line; foreseeable errors are one line."""
    try:
        typer.run(main)
    except (fetch.FetchError, ft.FinetuneError) as error:
        Console(stderr=True).print(f"error: {error}", style="red", highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    command()

"""GPAM's case on MNIST: ``python -m bench.gpam``.

Jůza and Sekanina (EuroGP 2023) keep a tenth of a convolution layer's weights in an associative memory, evolve an
expression for the others, and report an accuracy drop below 1 point on MNIST. Here that is done to the convolution
layers of the benchmark's LeNet-5: by codec regression, bit for bit as decoders give it, beside plain quantization at
the same rate. What is chosen is chosen on training images; test images are only scored.

Stored weights are either the network's own, or, "refit", those that make up best for what the expression misses: least
squares over the inputs of the layer, row by row, as in optimal brain surgery (Hassibi and Stork 1993).
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table
from torch.nn import functional as F

from bench import datasets, page, training
from bench.folders import ROOT, cache
from bench.network import State, networks
from bench.networks.lenet import lenet5
from neuralcodec.codec import Codec, Stepped
from neuralcodec.codecs.huffman import Huffman
from neuralcodec.codecs.huffman.tiles import tile_length
from neuralcodec.codecs.regression import Regression, expression
from neuralcodec.codecs.regression.payload import decoded
from neuralcodec.codecs.regression.selection import Selection
from neuralcodec.codecs.trellis import Trellis
from neuralcodec.dtypes import BY_NUMBER
from neuralcodec.tensor import TensorSpec, from_float32

VERSION = 1
"""Changes with anything here that changes results."""

FIRST, SECOND = "0.weight", "2.weight"
"""The convolution layers: 20×1×5×5 and 50×20×5×5."""

IMAGES = 1000
"""Training images whose inputs of a layer count."""

REFITS = 3
RIDGE = 1e-4
PAGE = "regression.md"
RESULTS = ROOT / "build" / "gpam.json"

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """What is stored.

    Attributes:
        title: for a reader.
        shares: of each layer that is replaced, by name.
        selection: which.
        refit: whether stored weights are refit.
    """

    title: str
    shares: tuple[tuple[str, float], ...]
    selection: Selection = "greedy"
    refit: bool = False


BOTH = ((FIRST, 0.1), (SECOND, 0.1))
SHARED_OUT = ((FIRST, 1.0), (SECOND, 2050 / 25_000))
"""A tenth of the 25,500 weights of both layers: all of the first, which is 2 % of them, and 8.2 % of the second."""

CASES = (
    Case("conv2, a tenth", ((SECOND, 0.1),)),
    Case("conv2, a tenth, importance", ((SECOND, 0.1),), "importance"),
    Case("conv2, a tenth, grid", ((SECOND, 0.1),), "grid"),
    Case("conv2, a tenth, random", ((SECOND, 0.1),), "random"),
    Case("conv2, a tenth, refit", ((SECOND, 0.1),), refit=True),
    Case("conv1, a tenth", ((FIRST, 0.1),)),
    Case("conv1, a tenth, refit", ((FIRST, 0.1),), refit=True),
    Case("both, a tenth of each, refit", BOTH, refit=True),
    Case("both, a tenth of all", SHARED_OUT),
    Case("both, a tenth of all, refit", SHARED_OUT, refit=True),
)


@dataclass(frozen=True)
class Result:
    """A case and a seed.

    Attributes:
        title: of the case.
        seed: of the search.
        original, accuracy: of the test images, in %.
        bits: a weight of the layers, payloads as they are.
        trellis, huffman: accuracy of the same layers at no more bits, by codec trellis and by plain uniform
            quantization with a Huffman code.
        nodes: of the expressions.
        seconds: of the searches.
    """

    title: str
    seed: int
    original: float
    accuracy: float
    bits: float
    trellis: float
    huffman: float
    nodes: int
    seconds: float


def accuracy(state: State) -> float:
    """Of the test images, in %."""
    return training.accuracy(lenet5, state, datasets.mnist()).value


def moments(state: State, name: str) -> Doubles:
    """Second moments of the inputs of a layer over training images, shape [cols, cols]."""
    images = datasets.mnist().train[:IMAGES].float().unsqueeze(1) / 255 - 0.5
    model = lenet5()
    model.load_state_dict(dict(state))
    layers = list(model.children())[: int(name.split(".", maxsplit=1)[0])]
    with torch.no_grad():
        for layer in layers:
            images = layer(images)
        patches = F.unfold(images, 5).transpose(1, 2).reshape(-1, images.shape[1] * 25).double()
        return (patches.T @ patches / len(patches)).numpy()


def refitted(weights: Floats, made: Floats, stored: npt.NDArray[np.bool_], inputs: Doubles) -> Floats:
    """Values of stored weights that make up for what the others miss, by least squares over the inputs.

    Args:
        weights: of the network, shape [rows, cols].
        made: what decoders give, of the same shape.
        stored: which are stored.
        inputs: second moments of the inputs.
    """
    out = weights.astype(np.float64)
    ridge = RIDGE * np.trace(inputs) / len(inputs)
    for row in range(len(weights)):
        kept = np.flatnonzero(stored[row])
        others = np.flatnonzero(~stored[row])
        missed = weights[row, others].astype(np.float64) - made[row, others]
        system = inputs[np.ix_(kept, kept)] + ridge * np.eye(len(kept))
        out[row, kept] += np.linalg.solve(system, inputs[np.ix_(kept, others)] @ missed)
    return out.astype(np.float32)


def encoded(  # noqa: PLR0917
    state: State, name: str, case: Case, settings: expression.Settings, path: Path, progress: Progress, task: TaskID
) -> tuple[bytes, expression.Found]:
    """The payload of a layer, and what the search found."""
    shape = tuple(state[name].shape)
    weights = np.ascontiguousarray(state[name].numpy().reshape(shape[0], -1))
    inputs = moments(state, name)
    importance = np.ascontiguousarray(np.broadcast_to(np.diag(inputs).astype(np.float32), weights.shape))
    step = float(np.abs(weights).max()) / 127
    length = tile_length(shape[0], weights.shape[1], None)

    def show(done: int, error: float) -> None:
        progress.update(task, completed=done, description=f"{case.title}, {name}: {error:,.0f}")

    found = expression.search(
        weights / np.float32(step), importance, shape, length, settings, show, path.with_suffix(f".{name}.state")
    )
    payload = expression.serialize_memory(weights, found.expression, found.stored, step, None)
    if not case.refit:
        return payload, found
    # Neighbours move with what is stored, so that refitting need not converge; one value for all cannot go astray.
    alone = constant(weights / np.float32(step), importance, settings.stored)
    tried = [payload]
    for some, stored in ((found.expression, found.stored), alone):
        made = decoded(expression.serialize_memory(weights, some, stored, step, None), weights.shape)
        for _ in range(REFITS):
            kept = refitted(weights, made, stored, inputs)
            coarser = max(step, float(np.abs(kept[stored]).max()) / 127)
            # The expression is in levels: those of a coarser step would be others.
            tried.append(expression.serialize_memory(np.clip(kept, -127 * step, 127 * step), some, stored, step, None))
            if coarser > step:
                tried.append(expression.serialize_memory(kept, scaled(some, step / coarser), stored, coarser, None))
            made = decoded(tried[-1], weights.shape)
    return min(tried, key=lambda each: missed_outputs(weights, decoded(each, weights.shape), inputs)), found


def constant(levels: Floats, importance: Floats, share: float) -> tuple[expression.Expression, npt.NDArray[np.bool_]]:
    """The median for all weights, and those that are stored beside it."""
    middle = round(float(np.median(levels)))
    missed = importance * np.square(levels - middle)
    stored = np.zeros(levels.size, bool)
    stored[np.argsort(-missed.reshape(-1), kind="stable")[: round(share * levels.size)]] = True
    return expression.Expression(1, 1, (middle,), (), 11), stored.reshape(levels.shape)


def scaled(of: expression.Expression, by: float) -> expression.Expression:
    """An expression that is a constant, times a factor; others are left as they are."""
    if of.nodes:
        return of
    return expression.Expression(of.plane, of.line, tuple(round(c * by) for c in of.constants), (), of.output)


def missed_outputs(weights: Floats, made: Floats, inputs: Doubles) -> float:
    """Mean squared error of a layer's outputs, summed over its channels."""
    missed = (made - weights).astype(np.float64)
    return float(((missed @ inputs) * missed).sum())


def at_rate(codec: Codec, state: State, names: Sequence[str], bits: float) -> float:
    """Accuracy with layers coded by a codec at one step, in no more bits a weight than these."""
    assert isinstance(codec, Stepped)
    tensors = [
        from_float32(TensorSpec(name, BY_NUMBER[1], tuple(state[name].shape)), state[name].numpy()) for name in names
    ]
    total = sum(tensor.spec.size for tensor in tensors)
    low, high = 1e-4, 2.0
    for _ in range(24):
        middle = (low * high) ** 0.5
        stepped = codec.with_step(middle)
        taken = sum(8 * len(stepped.encode(tensor)) for tensor in tensors) / total
        low, high = (low, middle) if taken <= bits else (middle, high)
    stepped = codec.with_step(high)
    coarse = dict(state)
    for tensor in tensors:
        coarse[tensor.spec.name] = stepped.decode(stepped.encode(tensor), tensor.spec, ()).torch()
    return accuracy(coarse)


def measured(case: Case, settings: expression.Settings, progress: Progress) -> Result:
    """A case, from the cache if it was measured before; a search that was cut off goes on."""
    text = repr((VERSION + case.refit, case, settings))
    path = cache("gpam") / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    if path.exists():
        return Result(**json.loads(path.read_text(encoding="utf-8")))
    state: State = dict(networks()["lenet5"].load())
    replaced, names = dict(state), [name for name, _ in case.shares]
    size, nodes, seconds = 0, 0, 0.0
    for name, share in case.shares:
        own = expression.Settings(
            share,
            case.selection,
            settings.generations if share < 1 else 0,
            settings.seconds,
            settings.nodes,
            settings.seed,
        )
        task = progress.add_task(case.title, total=own.generations)
        payload, found = encoded(replaced, name, case, own, path, progress, task)
        progress.remove_task(task)
        shape = tuple(state[name].shape)
        made = Regression().decode(payload, TensorSpec(name, BY_NUMBER[1], shape), ())
        replaced[name] = made.torch().clone()
        size += 8 * len(payload)
        nodes += len(found.expression.nodes)
        seconds += found.seconds
    bits = size / sum(state[name].numel() for name in names)
    result = Result(
        case.title,
        settings.seed,
        accuracy(state),
        accuracy(replaced),
        bits,
        at_rate(Trellis(), state, names, bits),
        at_rate(Huffman(), state, names, bits),
        nodes,
        seconds,
    )
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(result)), encoding="utf-8")
    part.replace(path)
    for left in path.parent.glob(f"{path.stem}.*.state"):
        left.unlink()
    return result


HEADINGS = (
    "stored",
    "bits/weight",
    "accuracy",
    "drop",
    "trellis, same rate",
    "uniform and Huffman, same rate",
    "nodes",
)


def rows(results: Mapping[str, Sequence[Result]]) -> list[list[str]]:
    """A line a case: means over seeds, and the range of the drop."""

    def mean(values: Sequence[float]) -> float:
        return statistics.fmean(values)

    lines = []
    for title, of in results.items():
        drops = [r.original - r.accuracy for r in of]
        spread = f" ({min(drops):.2f} – {max(drops):.2f})" if len(drops) > 1 else ""
        lines.append(
            [
                title,
                f"{mean([r.bits for r in of]):.2f}",
                f"{mean([r.accuracy for r in of]):.2f} %",
                f"{mean(drops):.2f}{spread}",
                f"{mean([r.trellis for r in of]):.2f} %",
                f"{mean([r.huffman for r in of]):.2f} %",
                f"{mean([r.nodes for r in of]):.0f}",
            ]
        )
    return lines


def main(
    seeds: Annotated[int, typer.Option(help="Searches of each case.")] = 3,
    generations: Annotated[int, typer.Option(help="Of each search.")] = 3000,
    seconds: Annotated[float | None, typer.Option(help="Most of each search; it then depends on the machine.")] = None,
    case: Annotated[list[str] | None, typer.Option(help="Its title; of these only, may be repeated.")] = None,
    write: Annotated[bool, typer.Option(help="Put the table into docs/regression.md.")] = False,
) -> None:
    """Measures all cases; what has been measured is not measured again."""
    chosen = [each for each in CASES if not case or each.title in case]
    if write and len(chosen) < len(CASES):
        raise typer.BadParameter("--write: the table is of all cases")
    results: dict[str, list[Result]] = {}
    with Progress(transient=True) as progress:
        for each in chosen:
            for seed in range(seeds):
                settings = expression.Settings(generations=generations, seconds=seconds, seed=seed)
                results.setdefault(each.title, []).append(measured(each, settings, progress))
    table = Table(*HEADINGS)
    for line in rows(results):
        table.add_row(*line)
    Console().print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({k: [asdict(r) for r in v] for k, v in results.items()}, indent=1), encoding="utf-8")
    if write:
        page.put(PAGE, "gpam", page.table(HEADINGS, rows(results)))


if __name__ == "__main__":
    typer.run(main)

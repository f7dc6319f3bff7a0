"""Trains the prior of codec autoencoder: which spreads and tables code the residuals of many networks in fewest bits.

Each class of the model predicts the spread of a residual from magnitudes that are decoded already, by weights on their
logarithms, and has a table of frequencies for each spread. Weights are learned by gradient descent on the rate (Ballé
et al., "Variational image compression with a scale hyperprior", ICLR 2018, with the hyperprior's place taken by what is
decoded already), in floating point and then rounded; tables are counts. Classes are found by expectation and
maximization with hard assignments: a tensor belongs to the class that codes it shortest, as an encoder will choose. The
last rounds code with the model so far, so that the model knows the residuals that rate and distortion lead to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from neuralcodec import _native
from neuralcodec.codecs.autoencoder.predictor import MOST_TAPS, best
from neuralcodec.errors import TrainingError
from neuralcodec.models import autoencoder_model as model
from neuralcodec.models.autoencoder_likelihood import bits_of, laplacian_conditional
from neuralcodec.models.autoencoder_model import Class
from neuralcodec.models.corpus import Matrix

RATES = (0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
"""Root mean squares of a network's weights over the step, which one model is to serve: about 1 to 6 bits a weight."""

LAGRANGIAN = 0.1
"""λ of the encoder, in squared steps a bit."""

DIVERGED = 1.2
"""Training stops where the rate is worse than the best by this factor."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is trained.

    Attributes:
        classes: priors that a tensor may choose from, 1 to 16.
        taps: most taps of a predictor.
        sample: weights of a tensor at each rate; whole tiles, one at least.
        rounds: rounds of expectation and maximization, before and after residuals are coded by rate and distortion.
        steps: gradient steps of a class in each round.
        batch: residuals of a step.
        rate: learning rate.
        seed: of samples, steps and batches.
    """

    classes: int = 6
    taps: int = 6
    sample: int = 2048
    rounds: int = 6
    steps: int = 80
    batch: int = 8192
    rate: float = 0.03
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.classes <= 16:
            raise ValueError(f"classes: 1 to 16 expected, not {self.classes}")
        for name in ("sample", "rounds", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: at least 1 expected, not {getattr(self, name)}")
        if not 0 <= self.taps <= MOST_TAPS:
            raise ValueError(f"taps: 0 to {MOST_TAPS} expected, not {self.taps}")
        if not 0 < self.rate < math.inf:
            raise ValueError(f"rate: a number above 0 expected, not {self.rate}")
        if self.seed < 0:
            raise ValueError(f"seed: at least 0 expected, not {self.seed}")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands.

    Attributes:
        done: share of the rounds that are behind.
        bits: mean bits a residual at the last round; NaN before the first.
        checkpoint: where the model so far lies, or None.
    """

    done: float
    bits: float
    checkpoint: Path | None


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Tiles of a tensor at a rate."""

    weights: npt.NDArray[np.float32]
    importance: npt.NDArray[np.float32] | None
    predictor: _native.AutoencoderPredictor
    network: int


@dataclass(slots=True, eq=False)
class _Traces:
    """Residuals of all pieces one after the other.

    Attributes:
        features: int16, shape [count, 6].
        residuals: int32, shape [count].
        pieces: the number of the piece that each belongs to.
        counts: what each counts.
    """

    features: npt.NDArray[np.int16]
    residuals: npt.NDArray[np.int32]
    pieces: npt.NDArray[np.int64]
    counts: npt.NDArray[np.float64]


@torch.random.fork_rng(devices=())  # the caller's random numbers go on as if nothing had been
def train(
    matrices: Iterable[Matrix],
    settings: Settings | None = None,
    *,
    start: bytes | None = None,
    checkpoints: Path | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> bytes:
    """A model for the weights, as a stream can hold it.

    Args:
        matrices: the weights to train on. Those that have an importance are coded with that while the model learns
            from what rate and distortion choose.
        settings: see there; None for the defaults.
        start: a model to start from, whose number of classes it keeps; None to start from nothing.
        checkpoints: a folder that the model of each round is written to.
        progress: told after each round.

    Raises:
        TrainingError: there are no weights, ``start`` is no model or a tuned one, compressai is missing, or the rate
            diverges.
    """
    settings = settings or Settings()
    if start is not None and not model.is_model(start):
        raise TrainingError("start: this is not a model of codec autoencoder")
    if start is not None and start[0] != model.LAYOUT:
        raise TrainingError("start: a tuned model, of a file, is no model to train; it is made by the option tune")
    generator = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    conditional = laplacian_conditional()
    pieces = list(_pieces(matrices, settings, generator))
    if not pieces:
        raise TrainingError(
            "there are no weights to train on: float tensors of two dimensions and 256 weights expected"
        )
    classes = model.parse(start) if start is not None else None
    kept: Path | None = None
    least = math.inf
    total = 2 * settings.rounds
    chosen = np.zeros(len(pieces), np.int64)
    traces = _traced(pieces, None, chosen)
    for turn in range(total):
        if classes is None:
            classes = _first(traces, settings, conditional)
            classes = classes * settings.classes
            chosen = _ranked(traces, classes[0], settings.classes)
        else:
            if turn >= settings.rounds:
                traces = _traced(pieces, model.serialize(classes), chosen)
            chosen, bits = _assigned(traces, classes, len(pieces))
            _check_rate(bits, least, f"round {turn} of {total}", kept)
            # Residuals are others once rate and distortion choose them.
            least = bits if turn == settings.rounds else min(least, bits)
            kept = _write(checkpoints, turn, classes) or kept
            progress(Progress(turn / total, bits, kept))
        classes = [_fitted(traces, chosen, i, each, settings, conditional, generator) for i, each in enumerate(classes)]
    assert classes is not None
    chosen, bits = _assigned(traces, classes, len(pieces))
    _check_rate(bits, least, f"the last of {total} rounds", kept)
    kept = _write(checkpoints, total, classes) or kept
    progress(Progress(1.0, bits, kept))
    return model.serialize(classes)


def _check_rate(bits: float, least: float, where: str, kept: Path | None) -> None:
    if math.isfinite(bits) and bits <= DIVERGED * least:
        return
    raise TrainingError(
        f"training diverged: {bits:.3f} bits a residual in {where}, {least:.3f} before"
        + (f"; the last good model is {kept}" if kept else ""),
        checkpoint=str(kept) if kept else None,
    )


def _write(folder: Path | None, turn: int, classes: Sequence[Class]) -> Path | None:
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"autoencoder-{turn:02d}.bin"
    part = path.with_suffix(".part")
    part.write_bytes(model.serialize(classes))
    part.replace(path)
    return path


def _pieces(matrices: Iterable[Matrix], settings: Settings, generator: np.random.Generator) -> Iterable[_Piece]:
    """Some tiles of each tensor, at each rate, in units of the step."""
    networks: dict[str, list[Matrix]] = {}
    for matrix in matrices:
        networks.setdefault(matrix.network, []).append(matrix)
    for number, (_, of) in enumerate(sorted(networks.items())):
        power = sum(float(np.square(m.weights, dtype=np.float64).sum()) for m in of)
        size = math.sqrt(power / sum(m.weights.size for m in of))
        for rate in RATES:
            step = size / rate * 2 ** float(generator.uniform(-0.5, 0.5))
            for matrix in of:
                scan, predictor = best(matrix.weights, matrix.shape, step, settings.taps, None)
                fraction = FRACTION_BITS if predictor.predicts else 0
                unit = step / (1 << fraction)
                weights = scan.ordered(matrix.weights)
                rows = _lines(weights, scan.tile, settings.sample, generator)
                yield _Piece(
                    np.ascontiguousarray(weights[rows] / np.float32(unit)),
                    None if matrix.importance is None else np.ascontiguousarray(scan.ordered(matrix.importance)[rows]),
                    predictor.native(scan, fraction, unit),
                    number,
                )


FRACTION_BITS = 3
"""Levels between residuals, as a power of two, where they are predicted: as the encoder has it."""


def _lines(
    weights: npt.NDArray[np.float32], tile: int, sample: int, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Rows of whole tiles, about ``sample`` weights of them, drawn from all."""
    rows, columns = weights.shape
    height = max(tile // columns, 1)
    tiles = -(-rows // height)
    wanted = min(max(round(sample / (height * columns)), 1), tiles)
    drawn = np.sort(generator.choice(tiles, wanted, replace=False))
    return np.concatenate([np.arange(i * height, min((i + 1) * height, rows)) for i in drawn])


def _traced(pieces: Sequence[_Piece], prior: bytes | None, chosen: npt.NDArray[np.int64]) -> _Traces:
    found = []
    data = None if prior is None else np.frombuffer(prior, np.uint8)
    for piece, index in zip(pieces, chosen.tolist(), strict=True):
        if data is None:
            found.append(_native.autoencoder_trace(piece.predictor, piece.weights))
        else:
            found.append(
                _native.autoencoder_trace(piece.predictor, piece.weights, data, index, LAGRANGIAN, piece.importance)
            )
    sizes = np.array([len(residuals) for residuals, _ in found])
    networks = np.array([piece.network for piece in pieces])
    # A network counts by the square root of its size: large ones are not all, small ones are not noise.
    totals = np.bincount(networks, sizes)
    return _Traces(
        np.concatenate([features for _, features in found]),
        np.concatenate([residuals for residuals, _ in found]),
        np.repeat(np.arange(len(pieces)), sizes),
        np.repeat(1 / np.sqrt(totals[networks] / totals.mean()), sizes),
    )


def _first(traces: _Traces, settings: Settings, conditional: torch.nn.Module) -> list[Class]:
    """One class for all."""
    plain = Class((0, 256, 0, 0, 0, 0), 16 * 1024, ((1 << 12,),) * model.TABLES)
    nothing = np.zeros(int(traces.pieces[-1]) + 1, np.int64)
    return [_fitted(traces, nothing, 0, plain, settings, conditional, np.random.default_rng(settings.seed))]


def _ranked(traces: _Traces, of: Class, classes: int) -> npt.NDArray[np.int64]:
    """Pieces in as many groups, by how much oftener residuals are 0 than those of a Laplacian of the spread."""
    spreads = model.spreads_of(traces.features, of)
    expected = np.array([model.laplacian(2.0 ** (model.LEAST + s / 4))[0] for s in range(model.SPREADS)])
    more = (traces.residuals == 0) - expected[spreads]
    mean = np.bincount(traces.pieces, more) / np.bincount(traces.pieces)
    order = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
    found: npt.NDArray[np.int64] = order * classes // len(order)
    return found


def _assigned(traces: _Traces, classes: Sequence[Class], pieces: int) -> tuple[npt.NDArray[np.int64], float]:
    """The class that codes each piece shortest, and mean bits of all residuals."""
    magnitudes = np.minimum(np.abs(traces.residuals), 8191)
    costs = np.zeros((len(classes), pieces))
    for i, each in enumerate(classes):
        bits = model.table_bits(each)[model.spreads_of(traces.features, each), magnitudes]
        costs[i] = np.bincount(traces.pieces, bits * traces.counts, pieces)
    return costs.argmin(0), float(costs.min(0).sum() / traces.counts.sum())


def _fitted(  # noqa: PLR0917
    traces: _Traces,
    chosen: npt.NDArray[np.int64],
    index: int,
    of: Class,
    settings: Settings,
    conditional: torch.nn.Module,
    generator: np.random.Generator,
) -> Class:
    """A class for the pieces that have chosen it: weights by gradient descent, tables by counts."""
    places = np.flatnonzero(chosen[traces.pieces] == index)
    if len(places) < 2 * model.TOKENS:
        return of
    weights = torch.tensor([w / model.WEIGHT for w in of.weights], dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(of.bias / model.FRACTION / 4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weights, bias], lr=settings.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=settings.steps)
    for _ in range(settings.steps):
        batch = places[generator.integers(0, len(places), settings.batch)]
        features = torch.from_numpy(traces.features[batch].astype(np.float64) / 16)
        residuals = torch.from_numpy(traces.residuals[batch].astype(np.float64))
        counts = torch.from_numpy(traces.counts[batch])
        logarithm = (features @ weights + bias + model.LEAST).clamp(-5, 12)
        loss = (bits_of(conditional, residuals, torch.exp2(logarithm)) * counts).sum() / counts.sum()
        if not torch.isfinite(loss):
            return of  # the round's rate tells
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    whole = [round(min(max(w, -31.0), 31.0) * model.WEIGHT) for w in weights.tolist()]
    made = Class(tuple(whole), round((bias.item() * 4 + 0.5) * model.FRACTION), of.tables)
    spreads = model.spreads_of(traces.features[places], made)
    magnitudes = np.abs(traces.residuals[places]).astype(np.int64)
    counted = model.token_counts(spreads, magnitudes, traces.counts[places])
    return Class(made.weights, made.bias, model.tables_of(counted, 30.0))

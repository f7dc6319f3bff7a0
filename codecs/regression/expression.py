"""Weights by an evolved expression, beside stored weights: GPAM (docs/format.md, section 13.3)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neuralcodec import _native
from neuralcodec.codecs.huffman.tiles import MOST, tile_length
from neuralcodec.codecs.regression.payload import (
    EXPRESSION,
    FINEST,
    REPLACE,
    RESIDUAL,
    WIDE,
    Base,
    Floats,
    decoded,
    head,
    nest,
)
from neuralcodec.codecs.regression.selection import Selection, places
from neuralcodec.varint import varint

CONSTANTS = 8
ROUND = 100
"""Generations between two looks at the clock."""

SCREEN, SCREEN_GENERATIONS = 4096, 150
"""Weights and generations of a short search."""

Progress = Callable[[int, float], None]
"""Called with the generations done and the squared error of what is not stored."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Of a search.

    Attributes:
        stored: share of the weights that are stored.
        selection: which.
        generations: most of the search.
        seconds: after which it stops; None for no limit. With a limit the result depends on the machine.
        nodes: most of the expression.
        seed: of the search.
    """

    stored: float = 0.1
    selection: Selection = "greedy"
    generations: int = 2000
    seconds: float | None = None
    nodes: int = 40
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Expression:
    """What a search found.

    Attributes:
        plane, line: A and B of the format: weights of an input channel, and of a row of its kernel.
        constants: integers of 16 bits.
        nodes: operation and operands.
        output: the value that is the prediction.
    """

    plane: int
    line: int
    constants: tuple[int, ...]
    nodes: tuple[tuple[int, int, int], ...]
    output: int

    def serialize(self) -> bytes:
        """The parameters as they stand in a payload."""
        out = varint(self.plane) + varint(self.line) + bytes([len(self.constants)])
        out += b"".join((c & 0xFFFF).to_bytes(2, "little") for c in self.constants) + bytes([len(self.nodes)])
        return out + b"".join(bytes(node) for node in self.nodes) + bytes([self.output])


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The end of a search.

    Attributes:
        expression: the best.
        stored: weights to store, shape [rows, cols].
        error: Σ squared error of the others, in squared levels.
        generations: of the search.
        seconds: that it took here.
    """

    expression: Expression
    stored: npt.NDArray[np.bool_]
    error: float
    generations: int
    seconds: float


def kernel(shape: tuple[int, ...], cols: int) -> tuple[int, int]:
    """A and B for a tensor: weights of a plane of its kernels, and of a line of these."""
    if len(shape) < 3:
        return cols, cols
    plane = int(np.prod(shape[2:]))
    return max(plane, 1), max(int(shape[-1]), 1)


def search(  # noqa: PLR0917
    levels: Floats,
    importance: Floats | None,
    shape: tuple[int, ...],
    tile: int,
    settings: Settings,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> Found:
    """Evolves an expression for weights, those that are stored left out.

    With "greedy" selection the first half of the generations leaves out whatever the expression misses most; then these
    weights are stored for good, and the expression may use them as neighbours. The other selections are fixed from the
    start.

    Args:
        levels: weights in units of the step, shape [rows, cols].
        importance: of their squared errors, of the same shape, or None.
        shape: of the tensor, which says what its columns mean.
        tile: tile length T; neighbours are those in the tile.
        settings: of the search.
        progress: called every hundred generations.
        checkpoint: a file to go on from, written every hundred generations.
    """
    begun = time.monotonic()
    rows, cols = levels.shape
    plane, line = kernel(shape, cols)
    count = round(settings.stored * levels.size)
    mask = places(levels, importance, settings.selection, settings.stored, settings.seed)
    greedy = settings.selection == "greedy" and count > 0
    first = settings.generations // 2 if greedy else settings.generations

    def searcher(left_out: int) -> _native.ExpressionSearch:
        return _native.ExpressionSearch(
            levels.reshape(-1),
            None if importance is None else importance.reshape(-1),
            mask.reshape(-1).astype(np.uint8),
            left_out,
            inputs(levels, mask, (plane, line), tile),
            CONSTANTS,
            settings.nodes,
            True,
            settings.seed,
        )

    running = searcher(count if greedy else 0)
    done, stage = 0, 0
    if checkpoint is not None and checkpoint.exists():
        done, stage, mask, state = _read(checkpoint, mask)
        running = searcher(count if greedy and stage == 0 else 0)
        running.resume(state)

    def advance(last: int) -> None:
        nonlocal done
        while done < last and (settings.seconds is None or time.monotonic() - begun < settings.seconds):
            error = running.run(min(ROUND, last - done))
            done += min(ROUND, last - done)
            if progress is not None:
                progress(done, error)
            if checkpoint is not None:
                _write(checkpoint, done, stage, mask, running.state())

    if stage == 0:
        advance(first)
        if greedy:
            found = _expression(running, plane, line)
            missed = np.square(predict(found, levels, tile) - levels)
            if importance is not None:
                missed *= importance
            mask = np.zeros(levels.size, bool)
            mask[np.argsort(-missed.reshape(-1), kind="stable")[:count]] = True
            mask = mask.reshape(rows, cols)
            state, stage = running.state(), 1
            running = searcher(0)
            running.resume(state)
    advance(settings.generations)
    return Found(_expression(running, plane, line), mask, running.error, done, time.monotonic() - begun)


def explained(weights: Floats, shape: tuple[int, ...], step: float, settings: Settings) -> float:
    """Share of the energy of the first weights that a short search for an expression explains, with none stored.

    Args:
        weights: shape [rows, cols].
        shape: of the tensor.
        step: distance between the levels that the weights would have.
        settings: nodes and seed of the search.
    """
    some = max(1, min(len(weights), SCREEN // weights.shape[1]))
    sample = np.ascontiguousarray(weights[:some, :SCREEN])
    energy = float(np.square(sample, dtype=np.float64).sum())
    if energy == 0:
        return 0.0
    unit = max(step, float(np.abs(sample).max()) / FINEST) / 4
    short = replace(settings, stored=0.0, generations=SCREEN_GENERATIONS)
    found = search(sample / np.float32(unit), None, shape, MOST, short)
    return 1 - found.error * unit**2 / energy


def inputs(
    levels: Floats, stored: npt.NDArray[np.bool_], kernel_sizes: tuple[int, int], tile: int
) -> npt.NDArray[np.int16]:
    """The inputs 0 to 8 of all weights, int16, shape [9, rows * cols].

    Args:
        levels: weights in units of the step, shape [rows, cols].
        stored: which of them are stored, of the same shape.
        kernel_sizes: A and B.
        tile: tile length T.
    """
    rows, cols = levels.shape
    plane, line = kernel_sizes
    row, col = np.mgrid[:rows, :cols]
    inside = col % plane
    rounded = np.clip(np.rint(levels), -32768, 32767).astype(np.int64)
    near = np.zeros((4, rows, cols), np.int64)
    length = cols if cols <= tile else tile
    for begin in range(0, cols, length):
        part = slice(begin, min(begin + length, cols))
        width = part.stop - part.start
        of, at = stored[:, part], np.arange(width)
        before = np.maximum.accumulate(np.where(of, at, -1), axis=1)
        before = np.concatenate([np.full((rows, 1), -1), before[:, :-1]], axis=1)
        after = np.minimum.accumulate(np.where(of, at, width)[:, ::-1], axis=1)[:, ::-1]
        after = np.concatenate([after[:, 1:], np.full((rows, 1), width)], axis=1)
        values = rounded[:, part]
        near[0][:, part] = np.where(before >= 0, np.take_along_axis(values, np.maximum(before, 0), 1), 0)
        near[1][:, part] = np.where(after < width, np.take_along_axis(values, np.minimum(after, width - 1), 1), 0)
        near[2][:, part] = np.where(before >= 0, at - before, 0)
        near[3][:, part] = np.where(after < width, after - at, 0)
    every = np.stack([row, col, col // plane, inside // line, inside % line, *near])
    return np.ascontiguousarray(every.reshape(len(every), -1).astype(np.uint64).astype(np.uint16).view(np.int16))


def predict(expression: Expression, levels: Floats, tile: int) -> Floats:
    """What an expression gives for all weights, by the C decoder, without neighbours; shape [rows, cols]."""
    payload = head(EXPRESSION, WIDE, tile, 1.0) + expression.serialize()
    return decoded(payload, (levels.shape[0], levels.shape[1]))


def serialize_memory(  # noqa: PLR0917
    weights: Floats,
    expression: Expression,
    stored: npt.NDArray[np.bool_],
    step: float,
    tile: int | None,
    base: Base = "trellis",
) -> bytes:
    """The payload of an expression beside stored weights.

    Args:
        weights: shape [rows, cols]; of those that are stored, what is to be stored.
        expression: for the others.
        stored: of the same shape.
        step: distance between levels.
        tile: most weights of a tile.
        base: codec of the stored weights.
    """
    rows, cols = weights.shape
    length = tile_length(rows, cols, tile)
    if not stored.any():
        return head(EXPRESSION, WIDE, length, step) + expression.serialize()
    kept = np.where(stored, weights, np.float32(0))
    # Level 0 stands for a weight that is not stored.
    small = stored & (np.abs(kept) < step)
    kept[small] = np.where(weights[small] < 0, -step, step).astype(np.float32)
    coded = nest(kept, None, step, "scalar" if base == "trellis" else base, length)
    flags = RESIDUAL | REPLACE | (WIDE if coded.wide else 0)
    return head(EXPRESSION, flags, length, coded.step) + expression.serialize() + coded.serialize()


def serialize_residual(  # noqa: PLR0917
    weights: Floats,
    importance: Floats | None,
    expression: Expression,
    step: float,
    fraction: int,
    residual: Base | None,
    tile: int | None,
) -> bytes:
    """The payload of an expression for all weights, with a residual or without.

    Args:
        weights: shape [rows, cols].
        importance: for the residual.
        expression: in units of ``step`` / 2^fraction.
        step: distance between levels of the residual.
        fraction: F.
        residual: its codec; None for none.
        tile: most weights of a tile.
    """
    rows, cols = weights.shape
    length = tile_length(rows, cols, tile)
    fine = step / (1 << fraction)
    plain = head(EXPRESSION, WIDE, length, fine, fraction) + expression.serialize()
    if residual is None:
        return plain
    coded = nest(weights - decoded(plain, (rows, cols)), importance, step, residual, length)
    if coded.step != step:
        raise ArithmeticError("the residual is too large for the step")
    return head(EXPRESSION, WIDE | RESIDUAL, length, fine, fraction) + expression.serialize() + coded.serialize()


def _expression(found: _native.ExpressionSearch, plane: int, line: int) -> Expression:
    constants, nodes, output = found.best()
    return Expression(plane, line, tuple(constants), tuple((o, a, b) for o, a, b in nodes), output)


def _write(path: Path, done: int, stage: int, mask: npt.NDArray[np.bool_], state: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(done.to_bytes(8, "little") + bytes([stage]) + np.packbits(mask).tobytes() + state)
    part.replace(path)


def _read(path: Path, mask: npt.NDArray[np.bool_]) -> tuple[int, int, npt.NDArray[np.bool_], bytes]:
    data = path.read_bytes()
    size = -(-mask.size // 8)
    bits = np.unpackbits(np.frombuffer(data[9 : 9 + size], np.uint8), count=mask.size).astype(bool)
    return int.from_bytes(data[:8], "little"), data[8], bits.reshape(mask.shape), data[9 + size :]

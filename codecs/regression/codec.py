"""The codec's options, and what it does with a tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch

from neuralcodec import _native
from neuralcodec.codec import Codec, SharedObject
from neuralcodec.codecs.huffman import Huffman
from neuralcodec.codecs.huffman.tiles import MOST, tile_length
from neuralcodec.codecs.regression import basis, expression, rows
from neuralcodec.codecs.regression.payload import (
    BASIS,
    EXPRESSION,
    FINEST,
    NUMBER,
    RESIDUAL,
    ROWS,
    Floats,
    decoded,
    head,
    nest,
    squared_error,
)
from neuralcodec.codecs.regression.selection import SELECTIONS, Selection, order_rows
from neuralcodec.codecs.small import for_small
from neuralcodec.codecs.trellis import Trellis
from neuralcodec.codecs.trellis.codec import LAGRANGIAN, RELATIVE_STEP, STEP_RATIO
from neuralcodec.options import check_integer
from neuralcodec.payload import decode_payload
from neuralcodec.tensor import Tensor, TensorSpec
from neuralcodec.weights import TINIEST, counted, finite_weights, within_float32

LEAST_LARGEST, MOST_LARGEST = 2.0**-100, 2.0**100
"""Where the largest weight is not within, no regressor is looked for: squares would leave the range of float32."""

NOISE = 0.27
"""Mean squared error of codec trellis, in squared distances between levels."""

PROMISING = 0.98
"""Share of the plain bits at which an estimate of rows is worth an encoding."""

EXPLAINED = 0.2
"""Share of the energy that a short search for an expression must explain before a long one is made. It is worth 0.16
bits a weight."""

FEW = 8
"""Terms of a sum that a microcontroller makes quickly."""

WORTH_A_TRY = 1.1
"""A residual is tried where the estimate with one is not above that without by more."""

REGRESSORS = ("auto", "rows", "expression", "basis")
BASES = ("trellis", "huffman")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to code a tensor.

    Attributes:
        payload: of this codec.
        cost: squared error in squared steps, and the bits in the same units.
    """

    payload: bytes
    cost: float


@dataclass(frozen=True)
class Regression:
    """Stores some rows or weights and infers the others; for tensors whose rows repeat each other.

    Three regressors: rows as sums of stored rows; an evolved expression of a weight's place and of stored weights near
    it (GPAM: Jůza and Sekanina 2023); blocks as sums of pseudo-random vectors (SeedLM: Shafipour et al. 2024). A
    residual corrects what they infer where that takes fewer bits. Tensors of which nothing can be inferred are coded
    by codec trellis, which is most there are: ``neuralcodec profile`` tells beforehand.

    Attributes:
        regressor: "rows", "expression", "basis", or "auto" for the one that takes the fewest bits at a distortion,
            codec trellis among them.
        stored: share of the rows, or of the weights beside an expression, that is stored. With rows the share that
            takes the fewest bits is tried as well.
        selection: which: "greedy" what those before leave most of, or what the expression misses most; "importance" the
            largest; "grid"; "random".
        terms: most stored rows in a sum, 1 to 32; sums of one and of eight are tried as well. A decoder's time is in
            proportion.
        residual: whether a residual is coded; "auto" where that takes fewer bits at a distortion. Without one an
            expression has stored weights beside it, and no step.
        step: distance between levels in units of the weights, the same for all tensors; what a target sets.
        relative_step: without a step: distance between levels over the root mean square of the tensor; None as for
            codec trellis.
        base: codec of stored rows and of the residual: "trellis" or "huffman".
        block: weights of a block of the pseudo-random basis, 1 to 64.
        vectors: of a block, 1 to 8.
        seed_bits: 4 to 16: all seeds are tried for each block.
        factor_bits: 2 to 8.
        generations: of the search for an expression, each of four evaluations.
        seconds: after which that search stops; what it finds then depends on the machine.
        nodes: most nodes of an expression, 1 to 64.
        seed: of the search and of random selections.
        tile: most weights in a tile, 1 to 65,535; None as for codec trellis.

    Raises:
        ValueError: an option out of its range.
    """

    name: ClassVar[str] = "regression"
    number: ClassVar[int] = NUMBER

    regressor: Literal["auto", "rows", "expression", "basis"] = "auto"
    stored: float = 0.1
    selection: Selection = "greedy"
    terms: int = 32
    residual: bool | Literal["auto"] = "auto"
    step: float | None = None
    relative_step: float | None = None
    base: Literal["trellis", "huffman"] = "trellis"
    block: int = 8
    vectors: int = 3
    seed_bits: int = 10
    factor_bits: int = 4
    generations: int = 2000
    seconds: float | None = None
    nodes: int = 40
    seed: int = 0
    tile: int | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("regressor", self.regressor, REGRESSORS),
            ("selection", self.selection, SELECTIONS),
            ("base", self.base, BASES),
            ("residual", self.residual, (True, False, "auto")),
        ):
            if value not in known:
                raise ValueError(f"{name}: one of {', '.join(map(repr, known))} expected, not {value!r}")
        if isinstance(self.stored, bool) or not isinstance(self.stored, (int, float)) or not 0 <= self.stored <= 1:
            raise ValueError(f"stored: a share from 0 to 1 expected, not {self.stored!r}")
        check_integer("terms", self.terms, 1, rows.MOST_TERMS)
        check_integer("block", self.block, 1, 64)
        check_integer("vectors", self.vectors, 1, 8)
        check_integer("seed_bits", self.seed_bits, 4, 16)
        check_integer("factor_bits", self.factor_bits, 2, 8)
        check_integer("generations", self.generations, 0, 1 << 30)
        check_integer("nodes", self.nodes, 1, 64)
        check_integer("seed", self.seed, 0, (1 << 63) - 1)
        check_integer("tile", self.tile, 1, MOST)
        if self.vectors > self.block:
            raise ValueError(f"vectors: at most as many as the block has weights expected, not {self.vectors}")
        for name, number in (("step", self.step), ("relative_step", self.relative_step), ("seconds", self.seconds)):
            good = isinstance(number, (int, float)) and not isinstance(number, bool) and 0 < number < math.inf
            if number is not None and not good:
                raise ValueError(f"{name}: a positive number expected, not {number!r}")

    @property
    def weighted(self) -> bool:
        """Whether an importance changes levels: codec huffman takes none."""
        return self.base != "huffman"

    @property
    def lossy(self) -> bool:
        """Whether decoded weights may differ: always."""
        return True

    def for_small(self, target: bool) -> Codec | None:
        """What takes the tensors that are too small, as codec trellis has it."""
        return for_small("auto", target or self.step is not None)

    def with_step(self, step: float) -> Regression:
        """The same codec at about the distortion of a uniform quantizer with this step."""
        return replace(self, step=within_float32(step * STEP_RATIO), relative_step=None)

    def with_usual_step(self, factor: float) -> Regression:
        """The same codec at its usual step times a factor; itself if an option says what the step is."""
        if self.step is not None or self.relative_step is not None:
            return self
        return replace(self, relative_step=RELATIVE_STEP * factor)

    def choose(self, tensor: Tensor) -> Codec:
        """This codec with the regressor that suits a tensor, or codec trellis where none takes fewer bits.

        Raises:
            SourceError: weights that are NaN, infinite, or beyond the range of float32.
        """
        if self.regressor != "auto" or not tensor.spec.size:
            return self
        weights, tensor = finite_weights(tensor), replace(tensor, importance=counted(tensor))
        if _is_constant(weights):
            return self
        step = self._step(weights, tensor.spec)
        if not LEAST_LARGEST <= float(np.abs(weights).max()) <= MOST_LARGEST:
            return self._plain(step, "norm")
        plain = self._plain(step, "error")
        payload = plain.encode(tensor)
        made = plain.decode(payload, tensor.spec, ()).float32()
        cost = squared_error(weights, made, tensor.importance) / step**2 + LAGRANGIAN * 8 * len(payload)
        best: tuple[float, Codec] = (cost, self._plain(step, "norm"))
        trials: tuple[tuple[Literal["rows", "basis", "expression"], bool], ...] = (
            ("rows", self._rows_promise(weights, tensor.importance, step, 8 * len(payload))),
            ("basis", self._basis_promises(weights, tensor, step, cost)),
            ("expression", self._expression_promises(weights, tensor, step)),
        )
        for regressor, promising in trials:
            if not promising:
                continue
            mine = replace(self, regressor=regressor)
            found = min(mine._candidates(tensor, weights, step), key=lambda c: c.cost)
            if found.cost < best[0]:
                best = found.cost, mine
        return best[1]

    def encode(self, tensor: Tensor) -> bytes:
        """The payload of a tensor, of this codec also where codec trellis would take fewer bits.

        Raises:
            SourceError: weights that are NaN, infinite, or beyond the range of float32.
        """
        if not tensor.spec.size:
            return b""
        weights, tensor = finite_weights(tensor), replace(tensor, importance=counted(tensor))
        if _is_constant(weights):
            return self._constant(float(weights.flat[0]), tensor.spec)
        step = self._step(weights, tensor.spec)
        return min(self._candidates(tensor, weights, step), key=lambda c: c.cost).payload

    def decode(self, payload: bytes, spec: TensorSpec, shared: Sequence[SharedObject]) -> Tensor:
        """The tensor of a payload, by the C decoder.

        Raises:
            CorruptError, UnsupportedError: the payload breaks a rule of the format.
        """
        return decode_payload(payload, self.number, spec, shared)

    def explain(self, payload: bytes) -> str:
        """What the report says of a payload besides the codec's name."""
        what = {ROWS: "rows", EXPRESSION: "expression", BASIS: "pseudo-random basis"}[payload[0] & 3]
        rest = "stored weights" if payload[0] & 16 else "residual" if payload[0] & RESIDUAL else ""
        return f"{what} and {rest}" if rest else what

    def _constant(self, weight: float, spec: TensorSpec) -> bytes:
        """A level of 1 or -1 times a step that is the weight; 0."""
        level = (weight > 0) - (weight < 0)
        step = abs(weight) if level else 1.0
        found = expression.Expression(1, 1, (level,), (), 11)
        return head(EXPRESSION, 0, tile_length(spec.rows, spec.cols, self.tile), step) + found.serialize()

    def _plain(self, step: float, reconstruction: Literal["norm", "error"]) -> Codec:
        if self.base == "huffman":
            return Huffman(step=step, tile=self.tile, shaping=reconstruction == "norm")
        return Trellis(step=step, reconstruction=reconstruction, tile=self.tile)

    def _step(self, weights: Floats, spec: TensorSpec) -> float:
        """As the stream can express it, with room in 16 bits for the largest weight."""
        largest, energy, _ = _native.scan(weights)
        step = self.step
        if step is None:
            step = (RELATIVE_STEP if self.relative_step is None else self.relative_step) * math.sqrt(
                energy / weights.size
            )
        most = min(torch.finfo(spec.dtype.torch).max, torch.finfo(torch.float32).max)
        return float(np.float32(min(max(step, largest / FINEST, TINIEST), most / 4.001)))

    def _candidates(self, tensor: Tensor, weights: Floats, step: float) -> list[Candidate]:
        """All that this codec's regressor can do; at least one."""
        regressor = "rows" if self.regressor == "auto" else self.regressor
        makers = {"rows": self._with_rows, "expression": self._with_expression, "basis": self._with_basis}
        found = []
        for payload in makers[regressor](tensor, weights, step):
            error = squared_error(weights, decoded(payload, (weights.shape[0], weights.shape[1])), tensor.importance)
            found.append(Candidate(payload, error / step**2 + LAGRANGIAN * 8 * len(payload)))
        return found

    # Rows

    def _rows_promise(self, weights: Floats, importance: Floats | None, step: float, bits: int) -> bool:
        """Whether an estimate of what rows take is below what is taken without."""
        _, taken = self._row_counts(weights, importance, step, bits / weights.size)
        if _different(weights) < PROMISING * len(weights):
            return True
        return len(taken) > 1 and float(taken[1:].min()) < PROMISING * bits

    def _row_counts(
        self, weights: Floats, importance: Floats | None, step: float, rate: float
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64]]:
        """Rows in order, and about what the tensor takes with so many of them stored, in bits."""
        count, cols = weights.shape
        order, rest = order_rows(weights, importance, self.selection, self.seed, NOISE * step**2)
        kept = np.arange(len(rest))
        terms = np.minimum(kept, self.terms)
        index = np.where(terms < kept, np.ceil(np.log2(np.maximum(kept, 1))), 0)
        return order, kept * cols * rate + (count - kept) * terms * (8 + index) + count + rest

    def _with_rows(self, tensor: Tensor, weights: Floats, step: float) -> list[bytes]:
        count, cols = weights.shape
        energy = float(np.square(weights, dtype=np.float64).mean())
        rate = max(0.5, 0.5 * math.log2(1 + energy / (NOISE * step**2)))
        order, taken = self._row_counts(weights, tensor.importance, step, rate)
        wanted = {min(max(round(self.stored * count), 1), count)}
        if len(taken) > 1:
            wanted.add(1 + int(np.argmin(taken[1:])))
        if _different(weights) <= min(len(order), count - 1):
            wanted.add(_different(weights))
        most = rows.MOST_STORED // cols
        if most < 1:  # rows too long for a decoder's memory
            return [self._all_residual(tensor, weights, step)]
        bit = LAGRANGIAN * step**2
        plans: list[tuple[float, float, rows.Plan]] = []
        for number in sorted({min(each, most) for each in wanted}):
            kept = np.sort(order[:number]) if number <= len(order) else np.arange(number, dtype=np.uint32)
            for finer in (0,) if self.residual is True else (0, 1):
                stored = rows.rounded(np.ascontiguousarray(weights[kept]), step / (1 << finer))
                terms = {min(each, self.terms) for each in (1, FEW, self.terms)}
                for plan in rows.decompose(weights, stored, kept, terms, bit):
                    taken_by_all = plan.bits + number * cols * (rate + finer)
                    plans.append((*self._costs(plan, weights, tensor.importance, step, taken_by_all), plan))

        def made_of(plan: rows.Plan, residual: Literal["trellis", "huffman"] | None) -> bytes:
            kept = np.flatnonzero(plan.is_stored).astype(np.uint32)
            inner = None if tensor.importance is None else np.ascontiguousarray(tensor.importance[kept])
            stored = nest(np.ascontiguousarray(weights[kept]), inner, plan.stored.step, self.base)
            (final,) = rows.decompose(weights, stored, kept, [plan.terms], bit)
            return rows.serialize(final, weights, tensor.importance, residual, self.tile)

        made: list[bytes] = []
        alone, _, without = min(plans, key=lambda each: each[0])
        if self.residual is not True:
            made.append(made_of(without, None))
        if self.residual is not False:
            _, corrected, with_residual = min((p for p in plans if p[2].stored.step == step), key=lambda each: each[1])
            if self.residual is True or corrected < WORTH_A_TRY * alone:
                _attempt(made, lambda: made_of(with_residual, self.base))
        return made or [self._all_residual(tensor, weights, step)]

    @staticmethod
    def _costs(
        plan: rows.Plan, weights: Floats, importance: Floats | None, step: float, bits: float
    ) -> tuple[float, float]:
        """About what a plan costs without a residual, and with one, in squared steps."""
        made = plan.made()
        missed = np.square(weights - made, dtype=np.float64).mean(axis=1) / (NOISE * step**2)
        rest = weights.shape[1] * float(0.5 * np.log2(1 + missed).sum())
        alone = squared_error(weights, made, importance) / step**2 + LAGRANGIAN * bits
        return alone, NOISE * weights.size + LAGRANGIAN * (bits + rest)

    def _all_residual(self, tensor: Tensor, weights: Floats, step: float) -> bytes:
        """A constant expression of 0 and a residual, which is to store all."""
        nothing = expression.Expression(1, 1, (0,), (), 11)
        base: Literal["trellis", "huffman"] = self.base
        coded = nest(weights, tensor.importance, step, base, tile_length(tensor.spec.rows, tensor.spec.cols, self.tile))
        if coded.step != step:
            step, base = coded.step, "trellis"
        return expression.serialize_residual(weights, tensor.importance, nothing, step, 0, base, self.tile)

    # Basis

    @property
    def _shape(self) -> basis.Shape:
        return basis.Shape(self.block, self.vectors, self.seed_bits, self.factor_bits)

    def _basis_promises(self, weights: Floats, tensor: Tensor, step: float, plain: float) -> bool:
        """Whether a sample takes less than its share of what is taken without."""
        if self.residual is True:
            return False
        sample = np.ascontiguousarray(weights.reshape(-1)[: 1 << 12].reshape(1, -1))
        if not sample.any():
            return False
        payload = basis.serialize(sample, None, self._shape, None, None, None)
        made = decoded(payload, (1, sample.size))
        cost = squared_error(sample, made, None) / step**2 + LAGRANGIAN * 8 * len(payload)
        return tensor.importance is None and cost < PROMISING * plain * sample.size / weights.size

    def _with_basis(self, tensor: Tensor, weights: Floats, step: float) -> list[bytes]:
        made = []
        if self.residual is not True:
            made.append(basis.serialize(weights, None, self._shape, None, None, self.tile))
        if self.residual is not False:
            _attempt(
                made,
                lambda: basis.serialize(weights, tensor.importance, self._shape, step, self.base, self.tile),
            )
        return made or [self._all_residual(tensor, weights, step)]

    # Expressions

    @property
    def _settings(self) -> expression.Settings:
        return expression.Settings(self.stored, self.selection, self.generations, self.seconds, self.nodes, self.seed)

    def _expression_promises(self, weights: Floats, tensor: Tensor, step: float) -> bool:
        """Whether a short search finds an expression that explains some of the weights."""
        if self.generations == 0 or self.residual is False:
            return False
        return expression.explained(weights, tensor.spec.shape, step, self._settings) > EXPLAINED

    def _with_expression(self, tensor: Tensor, weights: Floats, step: float) -> list[bytes]:
        length = tile_length(tensor.spec.rows, tensor.spec.cols, self.tile)
        made = []
        if self.residual is not True and self.stored > 0:
            # Without a residual the step is that of the stored weights: these should be exact, more or less.
            memory = float(np.abs(weights).max()) / 127
            found = expression.search(
                weights / np.float32(memory), tensor.importance, tensor.spec.shape, length, self._settings
            )
            made.append(expression.serialize_memory(weights, found.expression, found.stored, memory, self.tile))
        if self.residual is not False or not made:
            fraction = 0
            while fraction < 3 and float(np.abs(weights).max()) / step * 2 ** (fraction + 1) < FINEST:
                fraction += 1
            unit = np.float32(step / (1 << fraction))
            alone = replace(self._settings, stored=0.0, selection="greedy")
            found = expression.search(weights / unit, tensor.importance, tensor.spec.shape, length, alone)
            residual = None if self.residual is False else self.base
            _attempt(
                made,
                lambda: expression.serialize_residual(
                    weights, tensor.importance, found.expression, step, fraction, residual, self.tile
                ),
            )
        return made or [self._all_residual(tensor, weights, step)]


def _attempt(made: list[bytes], make: Callable[[], bytes]) -> None:
    """Adds a payload, unless its residual does not fit the levels there are."""
    try:
        made.append(make())
    except ArithmeticError:
        return


def _different(weights: Floats) -> int:
    """How many rows there are, equal ones counted once."""
    return len({row.tobytes() for row in weights})


def _is_constant(weights: Floats) -> bool:
    return bool((weights == weights.flat[0]).all())

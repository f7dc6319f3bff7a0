"""From a graph to the layers of a plan: memory layouts, integer arithmetic, and the order of all numbers.

In memory an activation lies either as PyTorch has it, or with its channels last, as convolutions and pools want it. For
vectors, single channels and single positions both are the same. Where a layer wants the other one, a layer that turns
it around comes before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from neuralcodec.errors import ExportError
from neuralcodec.firmware.calibrate import GATE, Ranges
from neuralcodec.firmware.fold import norm_factors
from neuralcodec.firmware.graph import (
    Add,
    Cell,
    Clamp,
    Concat,
    Conv,
    Graph,
    Linear,
    Mean,
    Mul,
    Node,
    Norm,
    Pad,
    Permute,
    Pointwise,
    Pool,
    Reshape,
    Softmax,
    Upsample,
    Zeros,
    spatial,
)
from neuralcodec.firmware.plan import (
    Activation,
    AddLayer,
    Affine,
    CellLayer,
    ConcatLayer,
    ConcatPart,
    ConvLayer,
    FlattenLayer,
    FunctionLayer,
    GateSums,
    Layer,
    LayerWeights,
    LinearLayer,
    LoadLayer,
    LogSoftmaxLayer,
    Mode,
    MulLayer,
    PoolLayer,
    Requant,
    RescaleLayer,
    SoftmaxLayer,
    State,
    Step,
    TableLayer,
    UpsampleLayer,
)
from neuralcodec.firmware.pointwise import resolved, table_of
from neuralcodec.firmware.quantize import (
    ADD_LEFT_SHIFT,
    CELL_FRACTION,
    HIDDEN,
    LEAST,
    MOST,
    Multiplier,
    Quantization,
    log_softmax_factors,
    multiplier_of,
    softmax_table,
)
from neuralcodec.firmware.scratch import NONE, Scratch, scratch_of_cell, scratch_of_conv, scratch_of_linear
from neuralcodec.firmware.states import besides
from neuralcodec.firmware.weights import Coded
from neuralcodec.firmware.window import Window

LARGEST = 3.4028234663852886e38
"""Where no clamp is, in float mode."""

CONSTANTS = {"", "bias", "checks", "exp", "input", "multiplier", "numbers", "recurrent", "scale", "shift", "table",
             "weights"}  # fmt: skip
"""What constants of a step are called behind its name."""

MOST_STATE = 1.05
"""Largest magnitude of a computed state of a cell: levels of states end at 1, and a little over is clipped."""

GATE_MARGIN = 1.25
"""How much larger parts of a cell's gates may be than calibration found them."""

MOST_SIDE, MOST_KERNEL = 65_535, 255
SUM_LIMIT = 2**31
BIAS_LIMIT = 2**30

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Held:
    """Where a value of the graph lies: which activation, and whether its channels are last."""

    activation: str
    last: bool


@dataclass(slots=True)
class Lowered:
    """What lowering gives; the arena is still to be planned."""

    steps: list[Step] = field(default_factory=list)
    activations: dict[str, Activation] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    input: str = ""
    output: str = ""
    input_last: bool = False
    output_last: bool = False


def row_terms(
    operation: Conv | Linear, parameters: Mapping[str, torch.Tensor], rows: int
) -> tuple[Floats, Floats | None]:
    """What a folded norm multiplies each row by, and the bias a row in all; None for no bias."""
    factor = np.ones(rows)
    bias = None if operation.bias is None else parameters[operation.bias].double().numpy()
    if operation.norm is not None:
        by, plus = (each.numpy() for each in norm_factors(operation.norm, parameters))
        factor, bias = by, (plus if bias is None else bias * by + plus)
    return factor, bias


def lower(  # noqa: PLR0917 (what a plan is made of)
    graph: Graph,
    mode: Mode,
    parameters: Mapping[str, torch.Tensor],
    tensors: Mapping[str, Coded],
    scales: Mapping[str, Quantization],
    ranges: Ranges,
    states: Sequence[tuple[str, str]],
    plain: bool = False,
) -> Lowered:
    """The layers of a network.

    Args:
        graph: simplified.
        mode: int8 or float.
        parameters: its tensors, float32.
        tensors: weights as the blob has them.
        scales: of activations, in int8 mode.
        ranges: what calibration found, for the range of cell states.
        states: inputs with the output that is their next value.
        plain: weights lie in flash as they are, not in the blob.

    Raises:
        ExportError: an operation's options are beyond what the kernels can do.
    """
    return _Lowering(graph, mode, parameters, tensors, scales, ranges, states, plain).run()


class _Lowering:
    def __init__(  # noqa: PLR0917
        self,
        graph: Graph,
        mode: Mode,
        parameters: Mapping[str, torch.Tensor],
        tensors: Mapping[str, Coded],
        scales: Mapping[str, Quantization],
        ranges: Ranges,
        states: Sequence[tuple[str, str]],
        plain: bool,
    ) -> None:
        self._graph = graph
        self._mode = mode
        self._parameters = parameters
        self._tensors = tensors
        self._scales = scales
        self._ranges = ranges
        self._states = dict(states)
        self._plain_weights = plain
        self._itemsize = 1 if mode == "int8" else 4
        self._held: dict[str, _Held] = {}
        self._turned: dict[tuple[str, bool, tuple[int, int]], str] = {}
        self._zeros: set[str] = set()
        self._cell_states: dict[str, str] = {}
        self._out = Lowered()
        self._names: set[str] = set()

    def run(self) -> Lowered:
        for name in self._graph.inputs:
            if name in self._states:
                self._held[name] = _Held(f"state {name}", False)
                continue
            last = self._wants_last(name)
            self._held[name] = _Held(self._new(name, last).name, last)
            self._out.input = self._held[name].activation
            self._out.input_last = last
        for node in self._graph.nodes:
            self._lower(node)
        if not self._out.steps:
            raise ExportError("the module does nothing that firmware would have to run")
        (output,) = besides(self._graph.outputs, self._states.values())
        if output in self._cell_states:
            raise self._maker(output).place.error("the cell state of an LSTM cannot be the output")
        # Where channels are last depends on the rank alone, so that callers know it.
        self._out.output_last = len(self._graph.shapes[output]) == 4
        self._out.output = self._as(output, self._out.output_last)
        # It may be that of a value of another shape.
        kept = self._out.activations[self._out.output]
        shape = self._shape(output, self._out.output_last)
        self._out.activations[kept.name] = replace(kept, shape=shape)
        return self._out

    # ---- Activations ----

    def _maker(self, value: str) -> Node:
        return next(node for node in self._graph.nodes if value in node.outputs)

    def _quantization(self, value: str) -> Quantization | None:
        return self._scales[value] if self._mode == "int8" else None

    def _new(self, value: str, last: bool, name: str | None = None) -> Activation:
        """A buffer for a value of the graph."""
        shape = self._shape(value, last)
        made = Activation(self._unique(name or value), shape, self._itemsize, self._quantization(value))
        self._out.activations[made.name] = made
        return made

    def _shape(self, value: str, last: bool) -> tuple[int, ...]:
        """As it lies in memory."""
        _, *sides = self._graph.shapes[value]
        return (*sides[1:], sides[0]) if last else tuple(sides)

    def _unique(self, name: str) -> str:
        found, i = name, 1
        while found in self._out.activations:
            i += 1
            found = f"{name} {i}"
        return found

    def _positions(self, value: str) -> tuple[int, int]:
        """Channels and positions."""
        _, *sides = self._graph.shapes[value]
        return sides[0], math.prod(sides[1:])

    def _same(self, value: str) -> bool:
        """Whether both layouts are one."""
        channels, positions = self._positions(value)
        return channels == 1 or positions == 1

    def _wants_last(self, value: str) -> bool:
        """Whether the first reader of an input wants its channels last."""
        rank = len(self._graph.shapes[value])
        if rank == 2:
            return False
        for node in self._graph.users(value):
            operation = node.operation
            if isinstance(operation, (Conv, Pool, Pad, Upsample)):
                return True
            if isinstance(operation, (Reshape, Permute, Linear)):
                return False
        return rank == 4

    def _as(self, value: str, last: bool) -> str:
        """The value's activation in a layout; turned around before, where it has the other."""
        held = self._held[value]
        if held.last == last or self._same(value):
            return held.activation
        # Values of other shapes may share the activation: what turning does to it depends on the shape.
        key = held.activation, last, self._positions(value)
        if key not in self._turned:
            channels, positions = self._positions(value)
            made = self._new(value, last, f"{value} turned")
            layer = FlattenLayer(positions, channels) if held.last else FlattenLayer(channels, positions)
            self._step(f"{value}_turned", value, layer, [held.activation], made.name)
            self._turned[key] = made.name
        return self._turned[key]

    def _last(self, value: str) -> str:
        return self._as(value, last=True)

    def _plain(self, value: str) -> str:
        return self._as(value, last=False)

    # ---- Steps ----

    def _step(  # noqa: PLR0917
        self,
        label: str,
        node: str,
        layer: Layer,
        inputs: Sequence[str],
        output: str,
        cell_state: str | None = None,
        tables: int = 0,
        scratch: Scratch = NONE,
        macs: int = 0,
    ) -> None:
        name = f"layer_{identifier(label)}"
        while any(_collide(name, other) for other in self._names):
            name = f"{name}_{len(self._out.steps)}"
        self._names.add(name)
        self._out.steps.append(Step(name, node, layer, tuple(inputs), output, cell_state, tables, scratch, macs))

    def _lower(self, node: Node) -> None:
        for value in node.inputs:
            if value in self._cell_states and not isinstance(node.operation, (Cell, Reshape)):
                raise node.place.error("the cell state of an LSTM can only be the state of a cell")
            if value in self._zeros and not isinstance(node.operation, (Cell, Reshape)):
                raise node.place.error("zeros can only be the state of a cell")
        match node.operation:
            case Conv():
                self._conv(node, node.operation)
            case Linear():
                self._linear(node, node.operation)
            case Norm():
                raise AssertionError("norms are convolutions by now")
            case Clamp():
                self._clamp(node, node.operation)
            case Add():
                self._add(node, node.operation)
            case Mul():
                self._mul(node, node.operation)
            case Pointwise():
                self._pointwise(node, node.operation)
            case Pool():
                self._pool(node, node.operation)
            case Mean():
                self._mean(node, node.operation)
            case Reshape():
                self._reshape(node)
            case Permute():
                self._permute(node, node.operation)
            case Concat():
                self._concat(node, node.operation)
            case Softmax():
                self._softmax(node, node.operation)
            case Upsample():
                self._upsample(node, node.operation)
            case Pad():
                self._pad(node, node.operation)
            case Cell():
                self._cell(node, node.operation)
            case Zeros():
                self._zeros.add(node.outputs[0])
                self._held[node.outputs[0]] = _Held("zeros", False)

    def _conv(self, node: Node, operation: Conv) -> None:
        x, y = node.inputs[0], node.outputs[0]
        shape = self._graph.parameters[operation.weight]
        kernel = (shape[2], shape[3]) if len(shape) == 4 else (1, shape[2])
        window = self._window(
            node, kernel, operation.stride, operation.padding[:2], operation.dilation, operation.groups
        )
        fan_in = window.in_c // operation.groups
        weights = self._weights(operation.weight, (*kernel, fan_in))
        depthwise = operation.groups > 1 and fan_in == 1
        layer = ConvLayer(window, weights, self._arithmetic(node, operation, weights, window.pads), depthwise)
        made = self._new(y, last=True)
        inside = self._last(x)
        macs = window.out_h * window.out_w * window.out_c * kernel[0] * kernel[1] * fan_in
        scratch = scratch_of_conv(window, weights.tensor, depthwise, self._itemsize, self._plain_weights)
        self._step(_layer(operation.weight), node.place.node, layer, [inside], made.name,
                   tables=self._tables(weights), scratch=scratch, macs=macs)  # fmt: skip
        self._held[y] = _Held(made.name, True)

    def _linear(self, node: Node, operation: Linear) -> None:
        x, y = node.inputs[0], node.outputs[0]
        rows, cols = self._graph.parameters[operation.weight]
        sides = self._graph.shapes[x][1:]
        if sides[-1] != cols:
            raise node.place.error(f"an input of {sides[-1]} columns for weights of {cols}")
        batch = math.prod(sides[:-1])
        weights = self._weights(operation.weight, (1, 1, cols))
        layer = LinearLayer(batch, weights, self._arithmetic(node, operation, weights, pads=False))
        made = self._new(y, last=False)
        scratch = scratch_of_linear(batch, weights.tensor, self._itemsize, self._plain_weights)
        self._step(_layer(operation.weight), node.place.node, layer, [self._plain(x)], made.name,
                   tables=self._tables(weights), scratch=scratch, macs=batch * rows * cols)  # fmt: skip
        self._held[y] = _Held(made.name, False)

    def _clamp(self, node: Node, operation: Clamp) -> None:
        x, y = node.inputs[0], node.outputs[0]
        held = self._held[x]
        made = self._new(y, held.last)
        self._step(node.place.node, node.place.node, self._rescale(x, y, operation), [held.activation], made.name)
        self._held[y] = _Held(made.name, held.last)

    def _rescale(self, x: str, y: str, clamp: Clamp | None) -> RescaleLayer:
        size = math.prod(self._graph.shapes[x])
        if self._mode == "float":
            return RescaleLayer(size, None, 0, 0, *_float_limits(clamp))
        before, after = self._scales[x], self._scales[y]
        return RescaleLayer(
            size, multiplier_of(before.scale / after.scale), before.zero, after.zero, *after.limits(clamp)
        )

    def _add(self, node: Node, operation: Add) -> None:
        a, b, y = *node.inputs, node.outputs[0]
        last = self._held[a].last
        inputs = [self._held[a].activation, self._as(b, last)]
        size = math.prod(self._graph.shapes[y])
        made = self._new(y, last)
        if self._mode == "float":
            layer = AddLayer(size, None, None, *_float_limits(operation.clamp))
        else:
            before, other, after = self._scales[a], self._scales[b], self._scales[y]
            common = 2 * max(before.scale, other.scale)
            multipliers = (
                multiplier_of(before.scale / common),
                multiplier_of(other.scale / common),
                multiplier_of(common / ((1 << ADD_LEFT_SHIFT) * after.scale)),
            )
            zeros = before.zero, other.zero, after.zero
            layer = AddLayer(size, zeros, multipliers, *after.limits(operation.clamp))
        self._step(node.place.node, node.place.node, layer, inputs, made.name)
        self._held[y] = _Held(made.name, last)

    def _mul(self, node: Node, operation: Mul) -> None:
        a, b, y = *node.inputs, node.outputs[0]
        first = self._held[a].last
        for last in (first, not first):
            sides = self._product(a, b, last)
            if sides is None:
                continue
            inputs = [self._as(a, last), self._as(b, last)]
            made = self._new(y, last)
            if self._mode == "float":
                layer = MulLayer(*sides, None, None, *_float_limits(operation.clamp))
            else:
                before, other, after = self._scales[a], self._scales[b], self._scales[y]
                factor = multiplier_of(before.scale * other.scale / after.scale)
                zeros = before.zero, other.zero, after.zero
                layer = MulLayer(*sides, zeros, factor, *after.limits(operation.clamp))
            self._step(node.place.node, node.place.node, layer, inputs, made.name)
            self._held[y] = _Held(made.name, last)
            return
        raise node.place.error(
            f"a product of shapes {list(self._graph.shapes[a])} and {list(self._graph.shapes[b])} is not supported"
        )

    def _product(self, a: str, b: str, last: bool) -> tuple[int, int, int] | None:
        """How a factor b is laid over a in a layout: a as [outer][size][inner], b as [size]; None if it is not so."""
        whole, part = self._shape(a, last), self._shape(b, last)
        own = [d for d, side in enumerate(whole) if side > 1 and part[d] > 1]
        start, end = (own[0], own[-1] + 1) if own else (len(whole), len(whole))
        if whole[start:end] != part[start:end]:  # a side of 1 between two of more
            return None
        return math.prod(whole[:start]), math.prod(whole[start:end]), math.prod(whole[end:])

    def _pointwise(self, node: Node, operation: Pointwise) -> None:
        x, y = node.inputs[0], node.outputs[0]
        held = self._held[x]
        size = math.prod(self._graph.shapes[x])
        functions = resolved(operation.functions, self._parameters)
        before = held.activation
        if self._mode == "int8":
            kind = ", ".join(each.kind for each in functions)
            try:
                table = table_of(functions, self._scales[x], self._scales[y])
            except ValueError as error:
                raise node.place.error(str(error)) from error
            layers: list[Layer] = [TableLayer(kind, size, table)]
        else:
            layers = [
                RescaleLayer(size, None, 0, 0, *_float_limits(Clamp(*each.numbers)))
                if each.kind == "clamp"
                else FunctionLayer(each.kind, size, each.numbers)
                for each in functions
            ]
        for layer in layers:
            made = self._new(y, held.last)
            self._step(node.place.node, node.place.node, layer, [before], made.name)
            before = made.name
        self._held[y] = _Held(before, held.last)

    def _pool(self, node: Node, operation: Pool) -> None:
        x, y = node.inputs[0], node.outputs[0]
        window = self._window(node, operation.kernel, operation.stride, operation.padding[:2], (1, 1), 1)
        made = self._new(y, last=True)
        layer = self._pool_layer(node, window, operation.kind, operation.count_outside, operation.clamp)
        self._step(node.place.node, node.place.node, layer, [self._last(x)], made.name)
        self._held[y] = _Held(self._clamped(node, made.name, True, operation.clamp), True)

    def _clamped(self, node: Node, activation: str, last: bool, clamp: Clamp | None) -> str:
        """Float pools have no clamp of their own: one behind them, in place."""
        if self._mode == "int8" or clamp is None:
            return activation
        y = node.outputs[0]
        made = self._new(y, last)
        layer = RescaleLayer(made.elements, None, 0, 0, *_float_limits(clamp))
        self._step(f"{node.place.node}_clamp", node.place.node, layer, [activation], made.name)
        return made.name

    def _pool_layer(self, node: Node, window: Window, kind: str, count_outside: bool, clamp: Clamp | None) -> PoolLayer:
        x, y = node.inputs[0], node.outputs[0]
        if self._mode == "float":
            return PoolLayer(
                "max" if kind == "max" else "average", window, count_outside, 0, (), 0, 0, *_float_limits(None)
            )
        before, after = self._scales[x], self._scales[y]
        limits = after.limits(clamp)
        if kind == "max":
            return PoolLayer("max", window, False, 0, (), before.zero, after.zero, *limits)
        most = window.kernel_h * window.kernel_w
        least = most if count_outside else window.least_inside
        multipliers = tuple(multiplier_of(before.scale / (after.scale * n)) for n in range(least, most + 1))
        return PoolLayer("average", window, count_outside, least, multipliers, before.zero, after.zero, *limits)

    def _mean(self, node: Node, operation: Mean) -> None:
        """An average pool, in the layout in which the dimensions to average lie side by side."""
        x, y = node.inputs[0], node.outputs[0]
        sides = self._graph.shapes[x][1:]
        dims = [d - 1 for d in operation.dims]
        for last in (self._held[x].last, not self._held[x].last):
            order = [*range(1, len(sides)), 0] if last else list(range(len(sides)))
            averaged = [d in dims for d in order]
            count = sum(averaged)
            at = averaged.index(True)
            if averaged[at : at + count] != [True] * count:
                continue  # not side by side
            outer = math.prod(sides[d] for d in order[:at])
            mean = math.prod(sides[d] for d in order[at : at + count])
            inner = math.prod(sides[d] for d in order[at + count :])
            height, width = (outer, mean) if outer > 1 else self._split(sides, order[at : at + count])
            kernel = (1, mean) if outer > 1 else (height, width)
            window = Window(height, width, inner, outer if outer > 1 else 1, 1, inner, *kernel, *kernel)
            self._check_window(node, window)
            # What is left has the order of the dimensions of this layout.
            rest = [d for d in order if d not in dims]
            turned = rest != sorted(rest)
            made = self._new(y, turned)
            layer = self._pool_layer(node, window, "average", False, operation.clamp)
            self._step(node.place.node, node.place.node, layer, [self._as(x, last)], made.name)
            self._held[y] = _Held(self._clamped(node, made.name, turned, operation.clamp), turned)
            return
        raise node.place.error("a mean over these dimensions is not supported")

    @staticmethod
    def _split(sides: Sequence[int], dims: Sequence[int]) -> tuple[int, int]:
        return math.prod(sides[d] for d in dims[:-1]), sides[dims[-1]]

    def _reshape(self, node: Node) -> None:
        x, y = node.inputs[0], node.outputs[0]
        if x in self._zeros:
            self._zeros.add(y)
        if x in self._cell_states:
            self._cell_states[y] = self._cell_states[x]
        if self._held[x].activation.startswith("state ") or x in self._zeros or x in self._cell_states:
            self._held[y] = self._held[x]
            return
        # Channels that stay in front, with as many positions behind: nothing moves.
        if self._held[x].last and not self._same(x) and self._positions(x) == self._positions(y):
            self._held[y] = self._held[x]
            return
        self._held[y] = _Held(self._plain(x), False)

    def _permute(self, node: Node, operation: Permute) -> None:
        x, y = node.inputs[0], node.outputs[0]
        sides = self._graph.shapes[x][1:]
        dims = [d - 1 for d in operation.dims[1:]]
        # In memory, of the dimensions of x: what the result is in either layout.
        wanted = {False: dims, True: [*dims[1:], dims[0]]}
        lies = {False: list(range(len(sides))), True: [*range(1, len(sides)), 0]}

        def moves(order: list[int]) -> list[int]:
            return [d for d in order if sides[d] > 1]

        first = self._held[x].last
        for last_x in (first, not first):
            for last_y in (True, False):
                if moves(lies[last_x]) == moves(wanted[last_y]):
                    self._held[y] = _Held(self._as(x, last_x), last_y)
                    return
        raise node.place.error(f"dimensions in the order {list(operation.dims)} are not supported")

    def _concat(self, node: Node, operation: Concat) -> None:
        y = node.outputs[0]
        last = self._held[node.inputs[0]].last
        rank = len(self._graph.shapes[y]) - 1
        order = [*range(1, rank), 0] if last else list(range(rank))
        at = order.index(operation.dim - 1)

        def runs(value: str) -> tuple[int, int]:
            sides = self._graph.shapes[value][1:]
            lies = [sides[d] for d in order]
            return math.prod(lies[:at]), math.prod(lies[at:])

        inputs = [self._as(value, last) for value in node.inputs]
        _, stride = runs(y)
        parts = []
        offset = 0
        for value in node.inputs:
            positions, size = runs(value)
            parts.append(self._part(value, y, positions, size, stride, offset))
            offset += size
        made = self._new(y, last)
        layer = ConcatLayer(math.prod(self._graph.shapes[y]), tuple(parts))
        self._step(node.place.node, node.place.node, layer, inputs, made.name)
        self._held[y] = _Held(made.name, last)

    def _part(self, x: str, y: str, positions: int, size: int, stride: int, offset: int) -> ConcatPart:  # noqa: PLR0917
        if self._mode == "float":
            return ConcatPart(positions, size, stride, offset, None, 0, 0)
        before, after = self._scales[x], self._scales[y]
        multiplier = multiplier_of(before.scale / after.scale)
        return ConcatPart(positions, size, stride, offset, multiplier, before.zero, after.zero)

    def _pad(self, node: Node, operation: Pad) -> None:
        x, y = node.inputs[0], node.outputs[0]
        channels, height, width = spatial(self._graph.shapes[x])
        above, left, _, right = operation.padding
        stride = (left + width + right) * channels
        part = self._part(x, y, height, width * channels, stride, above * stride + left * channels)
        made = self._new(y, last=True)
        fill = 0 if self._mode == "float" else self._scales[y].zero
        layer = ConcatLayer(math.prod(self._graph.shapes[y]), (part,), fill)
        self._step(node.place.node, node.place.node, layer, [self._last(x)], made.name)
        self._held[y] = _Held(made.name, True)

    def _upsample(self, node: Node, operation: Upsample) -> None:
        x, y = node.inputs[0], node.outputs[0]
        channels, height, width = spatial(self._graph.shapes[x])
        made = self._new(y, last=True)
        layer = UpsampleLayer(height, width, channels * self._itemsize, operation.factors)
        self._step(node.place.node, node.place.node, layer, [self._last(x)], made.name)
        self._held[y] = _Held(made.name, True)

    def _softmax(self, node: Node, operation: Softmax) -> None:
        x, y = node.inputs[0], node.outputs[0]
        sides = self._graph.shapes[x][1:]
        if operation.dim == len(sides):
            last = False
        elif operation.dim == 1:
            last = True
        else:
            raise node.place.error("a softmax over this dimension is not supported")
        size = sides[operation.dim - 1]
        if size >= 1 << 16:
            raise node.place.error(f"a softmax over {size} values is not supported")
        table = () if self._mode == "float" else softmax_table(self._scales[x].scale)
        made = self._new(y, last)
        layer: Layer = SoftmaxLayer(math.prod(sides) // size, size, table)
        if operation.log:
            factors, zero = (0, 0), 0
            if self._mode == "int8":
                factors = log_softmax_factors(self._scales[x].scale, self._scales[y].scale)
                zero = self._scales[y].zero
            layer = LogSoftmaxLayer(math.prod(sides) // size, size, table, *factors, zero)
        self._step(node.place.node, node.place.node, layer, [self._as(x, last)], made.name)
        self._held[y] = _Held(made.name, last)

    def _cell(self, node: Node, operation: Cell) -> None:
        x, *before = node.inputs
        rows, inputs = self._graph.parameters[operation.weight_input]
        hidden = self._graph.parameters[operation.weight_hidden][1]
        gates = 4 if operation.kind == "lstm" else 3
        if rows != gates * hidden or math.prod(self._graph.shapes[x]) != inputs:
            raise node.place.error("a cell's weights do not fit its input")
        made: list[str] = []
        for value, after in zip(before, node.outputs, strict=True):
            is_cell = bool(made)
            kept = Activation(
                self._unique(after),
                (hidden,),
                4 if self._mode == "float" else 2 if is_cell else 1,
                None if self._mode == "float" or is_cell else HIDDEN,
            )
            self._out.activations[kept.name] = kept
            self._load(node, value, kept, is_cell)
            if is_cell:
                self._cell_states[after] = kept.name
            self._held[after] = _Held(kept.name, False)
            made.append(kept.name)
        fraction = 0
        if operation.kind == "lstm":
            name = node.outputs[1]
            largest = max(abs(self._ranges.low[name]), abs(self._ranges.high[name]), 2.0**-15)
            fraction = min(max(15 - math.ceil(math.log2(largest * (1 + 2**-10))), 0), 15)
        headroom = _headroom(self._ranges.gates.get(node.outputs[0], 0.0))
        layer = CellLayer(
            operation.kind,
            inputs,
            hidden,
            self._gates(node, operation.weight_input, operation.bias_input, x, CELL_FRACTION - headroom),
            self._gates(node, operation.weight_hidden, operation.bias_hidden, None, CELL_FRACTION - headroom),
            fraction,
            headroom,
        )
        tensors = [layer.input.weights.tensor, layer.recurrent.weights.tensor]
        scratch = scratch_of_cell(hidden, tensors, self._itemsize, self._plain_weights)
        tables = max(self._tables(sums.weights) for sums in (layer.input, layer.recurrent))
        self._step(
            _layer(operation.weight_input),
            node.place.node,
            layer,
            [self._plain(x)],
            made[0],
            cell_state=made[1] if len(made) > 1 else None,
            tables=tables,
            scratch=scratch,
            macs=rows * (inputs + hidden),
        )

    def _load(self, node: Node, value: str, into: Activation, is_cell: bool) -> None:
        """Brings a cell's state to where the cell writes the new one."""
        held = self._held[value].activation
        label = f"{node.place.node}_{'cell' if is_cell else 'hidden'}"
        if held.startswith("state "):
            name = held.removeprefix("state ")
            self._out.states.append(State(name, into.name))
            self._step(label, node.place.node, LoadLayer(name, into.nbytes), [], into.name)
        elif value in self._zeros:
            self._step(label, node.place.node, LoadLayer(None, into.nbytes), [], into.name)
        elif is_cell:
            raise node.place.error("a cell state that is neither zeros nor an input of the network is not supported")
        else:
            layer = RescaleLayer(into.elements, None, 0, 0, -LARGEST, LARGEST)
            if self._mode == "int8":
                largest = max(abs(self._ranges.low[value]), abs(self._ranges.high[value]))
                if largest > MOST_STATE:
                    raise node.place.error(f"a first state of up to {largest:.3g} for a cell, whose states end at ±1")
                scale = self._scales[value]
                layer = RescaleLayer(
                    into.elements, multiplier_of(scale.scale / HIDDEN.scale), scale.zero, HIDDEN.zero, LEAST, MOST
                )
            self._step(label, node.place.node, layer, [self._plain(value)], into.name)

    def _gates(self, node: Node, weight: str, bias: str | None, x: str | None, fraction: int) -> GateSums:
        rows, cols = self._graph.parameters[weight]
        weights = self._weights(weight, (1, 1, cols))
        terms = np.zeros(rows) if bias is None else self._parameters[bias].double().numpy()
        if self._mode == "float":
            return GateSums(weights, None if bias is None else terms.astype(np.float32), ())
        levels, scales = _levels(weights.tensor)
        before = HIDDEN if x is None else self._scales[x]
        factor = before.scale * scales
        sums = levels.astype(np.int64).sum(axis=1)
        whole = np.rint(terms / factor) - before.zero * sums
        self._check_sums(node, levels, whole, 0)
        multipliers = [multiplier_of(float(f) * (1 << fraction)) for f in factor]
        return GateSums(weights, whole.astype(np.int32), _one_if_same(multipliers))

    # ---- Numbers ----

    def _tables(self, weights: LayerWeights) -> int:
        return 0 if self._plain_weights else weights.tensor.tables

    def _weights(self, name: str, kernel: tuple[int, int, int]) -> LayerWeights:
        tensor = self._tensors[name]
        floats = None
        if self._mode == "float":
            floats = self._parameters[name].reshape(tensor.shape).numpy()
        return LayerWeights(tensor, kernel, floats)

    def _arithmetic(self, node: Node, operation: Conv | Linear, weights: LayerWeights, pads: bool) -> Requant | Affine:
        rows = weights.tensor.shape[0]
        factor, bias = row_terms(operation, self._parameters, rows)
        if self._mode == "float":
            scale = None if operation.norm is None else factor.astype(np.float32)
            return Affine(None if bias is None else bias.astype(np.float32), scale, *_float_limits(operation.clamp))
        levels, scales = _levels(weights.tensor)
        before, after = self._scales[node.inputs[0]], self._scales[node.outputs[0]]
        # A row that is multiplied by 0 has no levels, and any scale will do.
        of_sums = before.scale * scales * factor
        terms = np.zeros(rows) if bias is None else bias
        lost = (of_sums == 0) | ~np.isfinite(of_sums)
        of_sums = np.where(lost, np.maximum(np.abs(terms) / BIAS_LIMIT, after.scale * 2.0**-20), of_sums)
        whole = np.rint(terms / of_sums)
        zero = before.zero
        if not pads:  # where no position is outside, the bias takes the zero point: kernels are faster without
            whole -= zero * levels.sum(axis=1, dtype=np.int64)
            zero = 0
        self._check_sums(node, levels, whole, zero)
        multipliers = [multiplier_of(float(f) / after.scale) for f in of_sums]
        low, high = after.limits(operation.clamp)
        integers = whole.astype(np.int32) if whole.any() else None
        return Requant(integers, _one_if_same(multipliers), zero, after.zero, low, high)

    def _check_sums(self, node: Node, levels: npt.NDArray[np.int8], bias: Floats, zero: int) -> None:
        largest = np.abs(levels.astype(np.int64)).sum(axis=1) * max(MOST - zero, zero - LEAST) + np.abs(bias)
        if (largest >= SUM_LIMIT).any():
            raise node.place.error(f"sums of {levels.shape[1]} products and the bias can be beyond 32 bits")

    def _window(  # noqa: PLR0917
        self,
        node: Node,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, ...],
        dilation: tuple[int, int],
        groups: int,
    ) -> Window:
        in_c, in_h, in_w = spatial(self._graph.shapes[node.inputs[0]])
        out_c, out_h, out_w = spatial(self._graph.shapes[node.outputs[0]])
        window = Window(
            in_h, in_w, in_c, out_h, out_w, out_c, *kernel, *stride, *dilation, padding[0], padding[1], groups
        )
        self._check_window(node, window)
        return window

    @staticmethod
    def _check_window(node: Node, window: Window) -> None:
        sides = window.in_h, window.in_w, window.in_c, window.out_h, window.out_w, window.out_c, window.groups
        small = (window.kernel_h, window.kernel_w, window.stride_h, window.stride_w, window.dilation_h,
                 window.dilation_w, window.pad_top, window.pad_left)  # fmt: skip
        if max(sides) > MOST_SIDE or max(small) > MOST_KERNEL:
            raise node.place.error(
                f"sides up to {MOST_SIDE:,}, and kernels, strides and paddings up to {MOST_KERNEL} are supported"
            )


def _collide(name: str, other: str) -> bool:
    """Whether two steps have one name, or constants of one step that of the other or of its constants."""
    short, long = sorted((name, other), key=len)
    return long.startswith(short) and set(long[len(short) :].split("_")) <= CONSTANTS


def _levels(tensor: Coded) -> tuple[npt.NDArray[np.int8], Floats]:
    assert tensor.levels is not None
    assert tensor.scales is not None
    return tensor.levels, tensor.scales


def _headroom(largest: float) -> int:
    """Fractional bits that parts of gates have to do without, for parts up to this and some more."""
    most = largest * GATE_MARGIN
    return next((bits for bits in range(CELL_FRACTION) if most <= GATE * 2.0**bits), CELL_FRACTION)


def _one_if_same(multipliers: Sequence[Multiplier]) -> tuple[Multiplier, ...]:
    return tuple(multipliers) if len(set(multipliers)) > 1 else (multipliers[0],)


def _float_limits(clamp: Clamp | None) -> tuple[float, float]:
    if clamp is None:
        return -LARGEST, LARGEST
    return max(clamp.low, -LARGEST), min(clamp.high, LARGEST)


def _layer(weight: str) -> str:
    """What a layer is called: the path of its module, from the name of its weights."""
    path, _, own = weight.rpartition(".")
    return path if path and own in {"weight", "weight_ih"} else weight


def identifier(text: str) -> str:
    """What a C identifier may end with."""
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in text).strip("_")
    return plain or "it"

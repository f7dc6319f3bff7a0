"""A network as its exporter sees it: operations on activations, with the semantics and the shapes of PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from neuralcodec.errors import ExportError

Shape = tuple[int, ...]
Pair = tuple[int, int]
Sides = tuple[int, int, int, int]
"""Rows above, columns left, rows below, columns right."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node comes from.

    Attributes:
        node: name of the node in the traced graph.
        target: the operator, such as ``aten.conv2d.default``.
        module: path and class of the module that called it; empty for the outermost one's own code.
        line: file, line and text of the source.
    """

    node: str
    target: str
    module: str = ""
    line: str = ""

    def error(self, message: str) -> ExportError:
        """An error that names this place."""
        return ExportError(message, node=self.node, target=self.target, module=self.module, line=self.line)


@dataclass(frozen=True, slots=True)
class Clamp:
    """min(max(x, low), high)."""

    low: float
    high: float

    def then(self, other: Clamp) -> Clamp:
        """This clamp, followed by another one."""
        return Clamp(
            min(max(self.low, other.low), other.high),
            min(max(self.high, other.low), other.high),
        )


@dataclass(frozen=True, slots=True)
class Norm:
    """Batch norm with stored statistics, (x - mean) / sqrt(var + eps) * weight + bias a channel: its tensors."""

    mean: str
    var: str
    weight: str | None
    bias: str | None
    eps: float

    def names(self) -> list[str]:
        """Its tensors."""
        return [name for name in (self.mean, self.var, self.weight, self.bias) if name is not None]


@dataclass(frozen=True, slots=True)
class Conv:
    """Convolution over the last two dimensions; over the last one where the input has three, as of height 1."""

    weight: str
    bias: str | None
    stride: Pair
    padding: Sides
    dilation: Pair
    groups: int
    norm: Norm | None = None
    clamp: Clamp | None = None


@dataclass(frozen=True, slots=True)
class Linear:
    """Fully connected layer over the last dimension."""

    weight: str
    bias: str | None
    norm: Norm | None = None
    clamp: Clamp | None = None


@dataclass(frozen=True, slots=True)
class Add:
    """Elementwise sum of two activations of one shape."""

    clamp: Clamp | None = None


@dataclass(frozen=True, slots=True)
class Mul:
    """Elementwise product. The first activation has the output's shape; the second one that, or sides of 1 instead."""

    clamp: Clamp | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """A function of one number.

    Attributes:
        kind: of :data:`neuralcodec.firmware.pointwise.FUNCTIONS`.
        numbers: its constants.
        parameter: the tensor of the module that holds them instead.
    """

    kind: str
    numbers: tuple[float, ...] = ()
    parameter: str | None = None


@dataclass(frozen=True, slots=True)
class Pointwise:
    """Functions of each element, one after the other."""

    functions: tuple[Function, ...]


@dataclass(frozen=True, slots=True)
class Pool:
    """Maximum or average over windows; as :class:`Conv` for an input of three dimensions.

    Attributes:
        count_outside: the average divides by the size of the window, also where part of it lies outside of the input.
    """

    kind: Literal["max", "average"]
    kernel: Pair
    stride: Pair
    padding: Sides
    count_outside: bool = False
    clamp: Clamp | None = None


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean over some dimensions, which stay as dimensions of 1 or not."""

    dims: tuple[int, ...]
    clamp: Clamp | None = None


@dataclass(frozen=True, slots=True)
class Reshape:
    """Another shape of the same elements in the same order."""


@dataclass(frozen=True, slots=True)
class Permute:
    """Dimensions in another order."""

    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Concat:
    """One activation behind the other along a dimension."""

    dim: int


@dataclass(frozen=True, slots=True)
class Softmax:
    """Softmax along a dimension, or its logarithm."""

    dim: int
    log: bool = False


@dataclass(frozen=True, slots=True)
class Upsample:
    """Each value several times along each of the last two dimensions (the last one where there are three)."""

    factors: Pair


@dataclass(frozen=True, slots=True)
class Pad:
    """Zeros around the last two dimensions (the last one where there are three)."""

    padding: Sides


@dataclass(frozen=True, slots=True)
class Cell:
    """One step of an LSTM cell (x, h, c → h, c) or of a GRU cell (x, h → h), in PyTorch's order of gates."""

    kind: Literal["lstm", "gru"]
    weight_input: str
    weight_hidden: str
    bias_input: str | None
    bias_hidden: str | None


@dataclass(frozen=True, slots=True)
class Zeros:
    """The state that a cell starts from."""


Operation = (
    Conv
    | Linear
    | Norm
    | Clamp
    | Add
    | Mul
    | Pointwise
    | Pool
    | Mean
    | Reshape
    | Permute
    | Concat
    | Softmax
    | Upsample
    | Pad
    | Cell
    | Zeros
)


@dataclass(frozen=True, slots=True)
class Node:
    """An operation, the activations it reads and those it makes."""

    operation: Operation
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Graph:
    """A traced network.

    Attributes:
        nodes: in an order in which they can run.
        shapes: of each activation; the first side is the batch, 1.
        inputs: activations that the caller gives.
        outputs: activations that the caller gets.
        parameters: shapes of the tensors that operations name.
        ones: those of them that no module has: weights that are 1.
    """

    nodes: tuple[Node, ...]
    shapes: dict[str, Shape]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: dict[str, Shape] = field(default_factory=dict)
    ones: frozenset[str] = frozenset()

    def users(self, value: str) -> list[Node]:
        """The nodes that read an activation."""
        return [node for node in self.nodes if value in node.inputs]


def spatial(shape: Shape) -> tuple[int, int, int]:
    """Channels, height and width of an activation: (1, C, H, W), (1, C, W) or (1, C)."""
    _, channels, *rest = shape
    height, width = [1] * (2 - len(rest)) + rest
    return channels, height, width

"""What a generated program holds: layers with all their numbers, and where each of their buffers lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from neuralcodec.firmware.arena import Arena
from neuralcodec.firmware.quantize import Multiplier, Quantization
from neuralcodec.firmware.scratch import Scratch
from neuralcodec.firmware.weights import Coded
from neuralcodec.firmware.window import Window

Mode = Literal["int8", "float"]


@dataclass(frozen=True, slots=True, eq=False)
class LayerWeights:
    """ncd_nn_weights: a matrix of a layer.

    Attributes:
        tensor: the tensor of the blob, with its levels.
        kernel: height, width and fan-in of a window: plain weights come in this order. (1, 1, columns) if it is none.
        floats: weights in float mode, shape [rows, cols].
    """

    tensor: Coded
    kernel: tuple[int, int, int]
    floats: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Requant:
    """ncd_nn_requant; multipliers are one a row, or one."""

    bias: npt.NDArray[np.int32] | None
    multipliers: tuple[Multiplier, ...]
    in_zero: int
    out_zero: int
    low: int
    high: int


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """ncd_nn_affine."""

    bias: npt.NDArray[np.float32] | None
    scale: npt.NDArray[np.float32] | None
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class ConvLayer:
    """A convolution; ``depthwise`` if every group has one input channel."""

    window: Window
    weights: LayerWeights
    arithmetic: Requant | Affine
    depthwise: bool


@dataclass(frozen=True, slots=True, eq=False)
class LinearLayer:
    """A fully connected layer on ``batch`` vectors."""

    batch: int
    weights: LayerWeights
    arithmetic: Requant | Affine


@dataclass(frozen=True, slots=True)
class AddLayer:
    """Elementwise sum; multipliers of both inputs and the output, int8 mode only."""

    size: int
    zeros: tuple[int, int, int] | None
    multipliers: tuple[Multiplier, Multiplier, Multiplier] | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class MulLayer:
    """Elementwise product of [outer][size][inner] and [size]; zero points and multiplier int8 mode only."""

    outer: int
    size: int
    inner: int
    zeros: tuple[int, int, int] | None
    multiplier: Multiplier | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TableLayer:
    """What each int8 value becomes, from that of -128 to that of 127. ``kind``: the functions it stands for."""

    kind: str
    size: int
    table: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FunctionLayer:
    """A function of each float; ``kind`` and ``numbers`` as those of :class:`~neuralcodec.firmware.graph.Function`."""

    kind: str
    size: int
    numbers: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PoolLayer:
    """A pool. ``multipliers``: for ``least``, ``least`` + 1, … positions that count; of averages in int8 mode."""

    kind: Literal["max", "average"]
    window: Window
    count_outside: bool
    least: int
    multipliers: tuple[Multiplier, ...]
    in_zero: int
    out_zero: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RescaleLayer:
    """To another scale, with a clamp; in float mode the clamp alone."""

    size: int
    multiplier: Multiplier | None
    in_zero: int
    out_zero: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ConcatLayer:
    """Inputs into their places of an output. ``fill``: what lies between, for padding; None if nothing does."""

    size: int
    parts: tuple[ConcatPart, ...]
    fill: int | None = None


@dataclass(frozen=True, slots=True)
class ConcatPart:
    """ncd_nn_concat_s8."""

    positions: int
    size: int
    stride: int
    offset: int
    multiplier: Multiplier | None
    in_zero: int
    out_zero: int


@dataclass(frozen=True, slots=True)
class FlattenLayer:
    """[positions][channels] to [channels][positions]."""

    positions: int
    channels: int


@dataclass(frozen=True, slots=True)
class UpsampleLayer:
    """[height][width][size] to factors times the height and the width; ``nbytes``: of the values of a position."""

    height: int
    width: int
    nbytes: int
    factors: tuple[int, int]


@dataclass(frozen=True, slots=True)
class SoftmaxLayer:
    """Softmax over ``size`` values, ``count`` times."""

    count: int
    size: int
    table: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LogSoftmaxLayer:
    """Logarithm of the softmax over ``size`` values, ``count`` times; numbers as in ncd_nn_log_softmax_s8."""

    count: int
    size: int
    table: tuple[int, ...]
    step: int
    log: int
    out_zero: int


@dataclass(frozen=True, slots=True)
class LoadLayer:
    """What a cell starts from: the state of the run before, or zeros."""

    state: str | None
    nbytes: int


@dataclass(frozen=True, slots=True, eq=False)
class GateSums:
    """ncd_nn_cell_gates_s8, or a matrix and bias in float mode."""

    weights: LayerWeights
    bias: npt.NDArray[np.int32] | npt.NDArray[np.float32] | None
    multipliers: tuple[Multiplier, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CellLayer:
    """One step of a recurrent cell; its state is read and written in place. ``headroom``: as in ncd_nn_cell_s8."""

    kind: Literal["lstm", "gru"]
    inputs: int
    hidden: int
    input: GateSums
    recurrent: GateSums
    cell_fraction: int
    headroom: int


Layer = (
    ConvLayer
    | LinearLayer
    | AddLayer
    | MulLayer
    | TableLayer
    | FunctionLayer
    | PoolLayer
    | RescaleLayer
    | ConcatLayer
    | FlattenLayer
    | UpsampleLayer
    | SoftmaxLayer
    | LogSoftmaxLayer
    | LoadLayer
    | CellLayer
)


@dataclass(frozen=True, slots=True)
class Activation:
    """A buffer of activations.

    Attributes:
        name: unique.
        shape: as it lies in memory, the last side fastest.
        itemsize: 1 for int8, 2 for the cell state of an LSTM, 4 for floats.
        quantization: of int8.
    """

    name: str
    shape: tuple[int, ...]
    itemsize: int
    quantization: Quantization | None

    @property
    def elements(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return self.elements * self.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A layer at work.

    Attributes:
        name: a C identifier, unique in the plan.
        node: node of the traced graph it comes from.
        layer: its numbers.
        inputs: names of the activations it reads.
        output: name of the activation that it writes; of a cell the hidden state, which it also reads.
        cell_state: of an LSTM.
        tables: bytes for the decoder's tables.
        scratch: for the kernel.
        macs: multiplications of weights and activations.
    """

    name: str
    node: str
    layer: Layer
    inputs: tuple[str, ...]
    output: str
    cell_state: str | None
    tables: int
    scratch: Scratch
    macs: int


@dataclass(frozen=True, slots=True)
class State:
    """What stays from run to run: a persistent copy of an activation, written when a run went well."""

    name: str
    activation: str


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A whole network.

    Attributes:
        mode: arithmetic of the activations.
        steps: in the order in which they run.
        activations: by name.
        input, output: names of activations. The output is copied to ``OUTPUT`` of the arena when all went well.
        input_last, output_last: whether their channels lie last in memory, where the module has them first.
        states: of recurrent networks.
        arena: offsets by name: activations, ``state_of(state)``, ``OUTPUT``, and for step i ``tables_of(i)`` and
            ``scratch_of(i)``.
    """

    mode: Mode
    steps: tuple[Step, ...]
    activations: Mapping[str, Activation]
    input: str
    output: str
    input_last: bool
    output_last: bool
    states: tuple[State, ...]
    arena: Arena


OUTPUT = "output buffer"


def state_of(state: State) -> str:
    """Name of the memory in the arena where a state stays."""
    return f"state {state.name}"


def tables_of(step: int) -> str:
    """Name of the tables' memory in the arena."""
    return f"tables {step}"


def scratch_of(step: int) -> str:
    """Name of the scratch memory in the arena."""
    return f"scratch {step}"

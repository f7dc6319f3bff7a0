"""From a PyTorch module to a :class:`~neuralcodec.firmware.graph.Graph`, by ``torch.export``."""

from __future__ import annotations

import copy
import math
import operator
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx.node import Node as FxNode
from torch.multiprocessing.reductions import StorageWeakRef

from neuralcodec.errors import ExportError
from neuralcodec.firmware.graph import (
    Add,
    Cell,
    Clamp,
    Concat,
    Conv,
    Function,
    Graph,
    Linear,
    Mean,
    Mul,
    Node,
    Norm,
    Operation,
    Pad,
    Pair,
    Permute,
    Place,
    Pointwise,
    Pool,
    Reshape,
    Shape,
    Sides,
    Softmax,
    Upsample,
    Zeros,
    spatial,
)

INFINITY = math.inf
LARGEST = torch.finfo(torch.float32).max
EXACT = (torch.float32, torch.float64)
"""What activations may be cast to without a change."""
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
NO_PADDING: Sides = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A tensor of the state dict, perhaps transposed (``aten.t``)."""

    name: str
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class _Activation:
    name: str


_Operand = _Parameter | _Activation | tuple[Any, ...]


def trace(model: torch.nn.Module, example_input: torch.Tensor | Sequence[torch.Tensor]) -> Graph:
    """Traces a module in evaluation mode with a batch of one.

    Args:
        model: the module; it is not changed.
        example_input: what it takes, or several of these; float32, first side 1.

    Raises:
        ExportError: the module cannot be traced, or has an operator outside of the supported ones.
    """
    check_module(model)
    if not isinstance(example_input, (torch.Tensor, Sequence)):
        raise ExportError(f"example input: a tensor, or several, expected, not {type(example_input).__name__}")
    inputs = (example_input,) if isinstance(example_input, torch.Tensor) else tuple(example_input)
    for i, given in enumerate(inputs):
        if (
            not isinstance(given, torch.Tensor)
            or given.dim() < 2
            or given.shape[0] != 1
            or not given.is_floating_point()
        ):
            raise ExportError(
                f"example input {i}: a float tensor of shape [1, ...] expected (a batch of one), "
                f"not {_described(given)}"
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch about itself
            # Each its own: the same tensor given twice, as states of zeros may be, would become one input.
            apart = tuple(given.clone() for given in inputs)
            exported = torch.export.export(copy.deepcopy(model).eval(), apart)
    except Exception as error:
        raise ExportError(f"torch.export cannot trace the module: {_first_line(error)}") from error
    return _Tracer(exported).run()


def check_module(model: object) -> None:
    """Whether it is a module.

    Raises:
        ExportError: it is not.
    """
    if not isinstance(model, torch.nn.Module):
        raise ExportError(f"a torch.nn.Module expected, not {type(model).__name__}")


class _Tracer:
    """Walks the nodes of an exported program once."""

    def __init__(self, exported: torch.export.ExportedProgram) -> None:
        self._graph = exported.graph
        signature = exported.graph_signature
        self._parameters: dict[str, str] = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        self._mutated = dict(signature.buffers_to_mutate)
        self._env: dict[FxNode, _Operand] = {}
        self._nodes: list[Node] = []
        self._shapes: dict[str, Shape] = {}
        self._used: dict[str, Shape] = {}
        self._same_memory: dict[StorageWeakRef, StorageWeakRef] = {}
        self._parameter_shapes: dict[str, Shape] = {}
        self._parameter_dtypes: dict[str, torch.dtype] = {}

    def run(self) -> Graph:
        inputs: list[str] = []
        outputs: tuple[str, ...] = ()
        for node in self._graph.nodes:
            if node.op == "placeholder":
                if node.name in self._parameters:
                    name = self._parameters[node.name]
                    self._env[node] = _Parameter(name)
                    self._parameter_shapes[name] = tuple(node.meta["val"].shape)
                    self._parameter_dtypes[name] = node.meta["val"].dtype
                else:
                    inputs.append(node.name)
                    self._env[node] = self._activation(node.name, _shape(node))
            elif node.op == "output":
                outputs = self._outputs(node)
            elif node.op == "call_function":
                self._call(node)
            else:
                raise _place(node).error(f"a {node.op} node is not supported")
        if not self._nodes:
            raise ExportError("the module does nothing that could be exported")
        return Graph(tuple(self._nodes), self._shapes, tuple(inputs), outputs, self._used)

    def _outputs(self, node: FxNode) -> tuple[str, ...]:
        if self._mutated:
            raise ExportError(f"the module writes to its buffers: {', '.join(self._mutated.values())}")
        found = []
        for result in node.args[0]:  # type: ignore[union-attr]
            if not isinstance(result, FxNode):
                raise ExportError(f"the module returns {result!r}, which is not a tensor it computes")
            operand = self._env[result]
            if not isinstance(operand, _Activation):
                raise _place(result).error("the module returns one of its own tensors")
            found.append(operand.name)
        return tuple(found)

    def _call(self, node: FxNode) -> None:
        if node.target is operator.getitem:
            whole, index = self._env[node.args[0]], node.args[1]  # type: ignore[index]
            assert isinstance(whole, tuple)
            assert isinstance(index, int)
            self._env[node] = whole[index]
            return
        if str(node.target).startswith("aten._assert_tensor_metadata"):  # torch checks itself where it casts
            return
        handler = _HANDLERS.get(str(node.target).removesuffix(".default"))
        if handler is None:
            raise _place(node).error("this operator is not one that firmware can run")
        arguments = _Arguments(self, node)
        handler(arguments)
        if node not in self._env:
            raise _place(node).error("no result of this operator was found")
        if _writes(node):
            self._overwrite(node)

    def _overwrite(self, node: FxNode) -> None:
        """Lets other names of what an operator has overwritten stand for what is there now.

        Raises:
            ExportError: one of them is of another shape or order, and is read later.
        """
        was, now = self._env[node.args[0]], self._env[node]  # type: ignore[index]
        memory, seen = self._memory(node), False
        for other in self._graph.nodes:
            seen = seen or other is node
            its = self._memory(other)
            # Not "its != memory": references to memory cannot be compared with None.
            if seen or its is None or its != memory:
                continue
            if self._env[other] == was:
                self._env[other] = now
            elif any(user > node for user in other.users):
                raise _place(node).error(f"it overwrites {other.name!r}, another view of its input that is read later")

    def _memory(self, node: FxNode) -> StorageWeakRef | None:
        """Where a traced tensor lies: the same for all its views."""
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            return None
        found = StorageWeakRef(value.untyped_storage())  # type: ignore[no-untyped-call]
        return self._same_memory.get(found, found)

    def _activation(self, name: str, shape: Shape) -> _Activation:
        # What has lost its batch is a vector of a batch of one: x.squeeze(), x.flatten().
        self._shapes[name] = shape if len(shape) >= 2 and shape[0] == 1 else (1, *shape) if shape else (1, 1)
        return _Activation(name)


class _Arguments:
    """The arguments of one node by their names in the operator's schema, and what a handler may do with it."""

    def __init__(self, tracer: _Tracer, node: FxNode) -> None:
        self._tracer = tracer
        self.node = node
        self.place = _place(node)
        schema = node.target._schema.arguments  # type: ignore[union-attr]
        self._values: dict[str, Any] = {}
        for i, argument in enumerate(schema):
            if i < len(node.args):
                self._values[argument.name] = node.args[i]
            elif argument.name in node.kwargs:
                self._values[argument.name] = node.kwargs[argument.name]
            elif argument.has_default_value():
                self._values[argument.name] = argument.default_value

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 (what a schema allows)
        return self._values[name]

    def get(self, name: str) -> Any:  # noqa: ANN401
        """An argument, or None where the schema has none of this name."""
        return self._values.get(name)

    def has(self, name: str) -> bool:
        return name in self._values

    def operand(self, name: str) -> _Operand | None:
        value = self._values[name]
        if value is None:
            return None
        if not isinstance(value, FxNode):
            raise self.place.error(f"{name} is {value!r}, not an activation; that is not supported")
        return self._tracer._env[value]

    def activation(self, name: str) -> str:
        operand = self.operand(name)
        if not isinstance(operand, _Activation):
            raise self.place.error(f"{name} is not an activation; that is not supported")
        return operand.name

    def activations(self, name: str) -> tuple[str, ...]:
        found = []
        for each in self._values[name]:
            operand = self._tracer._env[each] if isinstance(each, FxNode) else None
            if not isinstance(operand, _Activation):
                raise self.place.error(f"{name} holds something that is not an activation; that is not supported")
            found.append(operand.name)
        return tuple(found)

    def parameter(self, name: str, transposed: bool = False) -> str:
        operand = self.operand(name)
        if not isinstance(operand, _Parameter) or operand.transposed != transposed:
            raise self.place.error(f"{name} is not a tensor of the module; that is not supported")
        return self._use(operand.name)

    def parameter_or_none(self, name: str) -> str | None:
        return None if self._values.get(name) is None else self.parameter(name)

    def parameters(self, name: str) -> list[str]:
        found = []
        for each in self._values[name]:
            operand = self._tracer._env.get(each)
            if not isinstance(operand, _Parameter):
                raise self.place.error(f"{name} holds something that is not a tensor of the module")
            found.append(self._use(operand.name))
        return found

    def _use(self, name: str) -> str:
        self._tracer._used[name] = self._tracer._parameter_shapes[name]
        return name

    def parameter_shape(self, name: str) -> Shape:
        return self._tracer._parameter_shapes[name]

    def parameter_dtype(self, name: str) -> torch.dtype:
        return self._tracer._parameter_dtypes[name]

    def shape(self, activation: str) -> Shape:
        return self._tracer._shapes[activation]

    def emit(self, operation: Operation, *inputs: str) -> None:
        """Adds a node with one output."""
        result = self._tracer._activation(self.node.name, _shape(self.node))
        self._tracer._nodes.append(Node(operation, inputs, (result.name,), self.place))
        self._tracer._env[self.node] = result

    def emit_several(self, operation: Operation, inputs: Sequence[str], shapes: Sequence[Shape]) -> list[_Activation]:
        """Adds a node whose outputs are taken apart by ``getitem``."""
        results = [self._tracer._activation(f"{self.node.name}.{i}", shape) for i, shape in enumerate(shapes)]
        names = tuple(each.name for each in results)
        self._tracer._nodes.append(Node(operation, tuple(inputs), names, self.place))
        return results

    def intermediate(self, suffix: str, shape: Shape, operation: Operation, *inputs: str) -> str:
        """Adds a node of our own before the one that is traced."""
        result = self._tracer._activation(f"{self.node.name}.{suffix}", shape)
        self._tracer._nodes.append(Node(operation, inputs, (result.name,), self.place))
        return result.name

    def become(self, operand: _Operand) -> None:
        """The node is another name of what exists."""
        self._tracer._env[self.node] = operand

    def share_memory(self, name: str) -> None:
        """The node is an argument itself, though traced as if it were new."""
        before, now = (self._tracer._memory(each) for each in (self._values[name], self.node))
        if before is not None and now is not None:
            self._tracer._same_memory[now] = before


def _writes(node: FxNode) -> bool:
    """Whether an operator overwrites its first argument."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    return bool(schema) and schema[0].alias_info is not None and bool(schema[0].alias_info.is_write)


def _identity(a: _Arguments) -> None:
    operand = a.operand("self" if a.has("self") else "input")
    assert operand is not None
    value = a.node.meta.get("val")
    if isinstance(value, torch.Tensor) and value.dtype not in EXACT:
        if isinstance(operand, _Activation):
            raise a.place.error(f"activations of {value.dtype} are not supported")
        if isinstance(operand, _Parameter):
            stored = a.parameter_dtype(operand.name)
            if torch.promote_types(stored, value.dtype) != value.dtype:
                raise a.place.error(f"{operand.name} is cast to {value.dtype}, which is not supported: encode it so")
    a.become(operand)


def _dropout(a: _Arguments) -> None:
    if a["train"]:
        raise a.place.error("dropout is active; call the module's eval()")
    _identity(a)
    a.share_memory("input" if a.has("input") else "self")


def _native_dropout(a: _Arguments) -> None:
    if a["train"]:
        raise a.place.error("dropout is active; call the module's eval()")
    a.become((a.operand("input"), None))


def _conv(a: _Arguments) -> None:
    if a.get("transposed"):
        raise a.place.error("transposed convolutions are not supported")
    x, weight = a.activation("input"), a.parameter("weight")
    sides = len(a.parameter_shape(weight)) - 2
    if sides not in (1, 2):
        raise a.place.error(f"convolutions over {sides} dimensions are not supported")
    if len(a.shape(x)) != sides + 2 or _fewer(a, x):
        raise a.place.error(f"input of shape {list(a.shape(x))}: a batch of one expected")
    dilation = _pair(a["dilation"], 1, sides)
    kernel = _pair(a.parameter_shape(weight)[2:], 1, sides)
    if a["padding"] == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        padding = (total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2)
    elif a["padding"] == "valid":
        padding = NO_PADDING
    else:
        above, left = _pair(a["padding"], 0, sides)
        padding = (above, left, above, left)
    bias = a.parameter_or_none("bias")
    a.emit(Conv(weight, bias, _pair(a["stride"], 1, sides), padding, dilation, a["groups"]), x)


def _linear(a: _Arguments) -> None:
    weight = a.parameter("weight")
    if len(a.parameter_shape(weight)) != 2:
        raise a.place.error(f"weights of shape {list(a.parameter_shape(weight))} are not supported: a matrix expected")
    a.emit(Linear(weight, _bias(a, "bias", weight)), a.activation("input"))


def _bias(a: _Arguments, name: str, weight: str) -> str | None:
    """The bias of a linear layer: a number for each row of its weights."""
    bias = a.parameter_or_none(name)
    if bias is not None and a.parameter_shape(bias) != a.parameter_shape(weight)[:1]:
        raise a.place.error(f"a bias of shape {list(a.parameter_shape(bias))} is not supported: one a row expected")
    return bias


def _addmm(a: _Arguments) -> None:
    if a["beta"] != 1 or a["alpha"] != 1:
        raise a.place.error("beta and alpha other than 1 are not supported")
    weight = a.parameter("mat2", transposed=True)
    a.emit(Linear(weight, _bias(a, "self", weight)), a.activation("mat1"))


def _mm(a: _Arguments) -> None:
    other = "mat2" if a.has("mat2") else "other"
    a.emit(Linear(a.parameter(other, transposed=True), None), a.activation("self"))


def _transpose(a: _Arguments) -> None:
    operand = a.operand("self")
    rank = len(_shape(a.node))
    if a.has("dims"):
        dims = [d % rank for d in a["dims"]]
    else:
        first, second = (0, 1) if not a.has("dim0") else (a["dim0"] % rank, a["dim1"] % rank)
        dims = list(range(rank))
        dims[first], dims[second] = dims[second], dims[first]
    if isinstance(operand, _Parameter) and rank == 2:
        a.become(_Parameter(operand.name, operand.transposed != (dims == [1, 0])))
        return
    x = a.activation("self")
    if dims[0] != 0 or rank != len(a.shape(x)):
        raise a.place.error("the batch, of one, must stay the first dimension")
    a.emit(Permute(tuple(dims)), x)


def _norm(a: _Arguments) -> Norm:
    x = a.activation("input")
    if _fewer(a, x):
        raise a.place.error("a batch norm over what has no batch of one is not supported: it would norm rows")
    if len(a.shape(x)) > 4:
        raise a.place.error(f"a batch norm over an input of shape {list(a.shape(x))} is not supported")
    if a.operand("running_mean") is None or a.operand("running_var") is None:
        raise a.place.error("a batch norm without stored statistics cannot be folded")
    return Norm(
        a.parameter("running_mean"),
        a.parameter("running_var"),
        a.parameter_or_none("weight"),
        a.parameter_or_none("bias"),
        float(a["eps"]),
    )


def _batch_norm(a: _Arguments) -> None:
    if a["training"]:
        raise a.place.error("batch norm in training mode; call the module's eval()")
    a.emit(_norm(a), a.activation("input"))


def _native_batch_norm(a: _Arguments) -> None:
    x = a.activation("input")
    a.become((*a.emit_several(_norm(a), [x], [a.shape(x)]), None, None))


def _clamp(low: float, high: float) -> Callable[[_Arguments], None]:
    return lambda a: a.emit(Clamp(low, high), a.activation("self"))


def _bounded(low: str, high: str) -> Callable[[_Arguments], None]:
    def handle(a: _Arguments) -> None:
        bounds = [a.get(name) for name in (low, high)]
        if any(isinstance(each, FxNode) for each in bounds):
            raise a.place.error("bounds that are tensors are not supported")
        below = -INFINITY if bounds[0] is None else float(bounds[0])
        above = INFINITY if bounds[1] is None else float(bounds[1])
        if math.isnan(below) or math.isnan(above):
            raise a.place.error("a bound is NaN")
        if below > LARGEST or above < -LARGEST:
            raise a.place.error("bounds beyond all numbers of float32 are not supported")
        a.emit(Clamp(min(below, above), above), a.activation("self"))

    return handle


def _pointwise(kind: str, *names: str | float) -> Callable[[_Arguments], None]:
    """A function whose constants are arguments, by name, or numbers."""

    def handle(a: _Arguments) -> None:
        numbers = [_number(a, name) if isinstance(name, str) else name for name in names]
        _function(a, kind, *numbers)

    return handle


def _function(a: _Arguments, kind: str, *numbers: float) -> None:
    """Of an activation, with constants; firmware has them as float32."""
    if not all(abs(number) <= LARGEST for number in numbers):  # nor NaN
        given = ", ".join(f"{number:g}" for number in numbers)
        raise a.place.error(f"constants of {given}: numbers beyond those of float32 are not supported")
    a.emit(Pointwise((Function(kind, numbers),)), a.activation("self"))


def _number(a: _Arguments, name: str) -> float:
    value = a[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise a.place.error(f"{name} is {value!r}: a finite number expected")
    return float(value)


def _elu(a: _Arguments) -> None:
    alpha, scale, inner = (_number(a, name) for name in ("alpha", "scale", "input_scale"))
    _function(a, "elu", alpha * scale, scale, inner)


def _celu(a: _Arguments) -> None:
    alpha = _number(a, "alpha")
    if alpha == 0:
        raise a.place.error("alpha is 0")
    _function(a, "elu", alpha, 1.0, 1.0 / alpha)


def _softplus(a: _Arguments) -> None:
    beta, threshold = _number(a, "beta"), _number(a, "threshold")
    if beta <= 0:
        raise a.place.error(f"beta is {beta:g}: a number above 0 expected")
    _function(a, "softplus", beta, threshold)


def _gelu(a: _Arguments) -> None:
    kinds = {"none": "gelu", "tanh": "gelu_tanh"}
    if a["approximate"] not in kinds:
        raise a.place.error(f"a GELU approximated by {a['approximate']!r} is not supported")
    _function(a, kinds[a["approximate"]])


def _prelu(a: _Arguments) -> None:
    x, weight = a.activation("self"), a.parameter("weight")
    slopes = math.prod(a.parameter_shape(weight))
    if slopes != 1:
        raise a.place.error(f"a PReLU of {slopes} slopes, one a channel, is not supported: one slope for all is")
    a.emit(Pointwise((Function("leaky_relu", parameter=weight),)), x)


def _affine(a: _Arguments, factor: float, offset: float) -> None:
    """Of an activation and a number."""
    _function(a, "affine", factor, offset)


def _given_number(a: _Arguments) -> float | None:
    """The second argument, if it is a number."""
    return None if isinstance(a["other"], FxNode) else _number(a, "other")


def _sub(a: _Arguments) -> None:
    number = _given_number(a)
    if number is None:
        raise a.place.error("the difference of two tensors is not supported")
    _affine(a, 1.0, -number * _number(a, "alpha"))


def _rsub(a: _Arguments) -> None:
    _affine(a, -_number(a, "alpha"), _number(a, "other"))


def _div(a: _Arguments) -> None:
    number = _given_number(a)
    if number is None:
        raise a.place.error("division by a tensor is not supported")
    if number == 0:
        raise a.place.error("division by 0")
    _affine(a, 1.0 / number, 0.0)


def _mul(a: _Arguments) -> None:
    number = _given_number(a)
    if number is not None:
        _affine(a, number, 0.0)
        return
    x, y = a.activation("self"), a.activation("other")
    if a.shape(x) != a.shape(y):
        # Shapes with a batch count from the left here, those of torch from the right: the same for equal ranks.
        ranks = {len(_shape(each)) for each in (*a.node.args[:2], a.node) if isinstance(each, FxNode)}
        shape = tuple(max(sides) for sides in zip(a.shape(x), a.shape(y), strict=False))
        if len(ranks) > 1 or len(a.shape(x)) != len(a.shape(y)) or shape not in (a.shape(x), a.shape(y)):
            raise a.place.error(
                f"a product of shapes {list(a.shape(x))} and {list(a.shape(y))} is not supported: one of them must "
                "have all sides of the result, the other as many, of which some may be 1"
            )
        x, y = (x, y) if shape == a.shape(x) else (y, x)
    a.emit(Mul(), x, y)


def _add(a: _Arguments) -> None:
    number = _given_number(a)
    if number is not None:
        _affine(a, 1.0, number * _number(a, "alpha"))
        return
    if a["alpha"] != 1:
        raise a.place.error("alpha other than 1 is not supported")
    x, y = a.activation("self"), a.activation("other")
    if a.shape(x) != a.shape(y):
        raise a.place.error(f"shapes {list(a.shape(x))} and {list(a.shape(y))} differ; broadcasting is not supported")
    a.emit(Add(), x, y)


def _sides_of_pool(a: _Arguments, x: str) -> int:
    """Dimensions that a pool goes over. For torch a tensor of one dimension less has channels, but no batch."""
    sides = 1 if "pool1d" in str(a.node.target) else 2
    if len(a.shape(x)) != sides + 2:
        raise a.place.error(f"input of shape {list(a.shape(x))}: a batch of one expected")
    return sides


def _pool(kind: str) -> Callable[[_Arguments], None]:
    def handle(a: _Arguments) -> None:
        x = a.activation("self")
        sides = _sides_of_pool(a, x)
        kernel = _pair(a["kernel_size"], 1, sides)
        stride = _pair(a["stride"], 1, sides) if a["stride"] else kernel
        above, left = _pair(a["padding"], 0, sides)
        if a.has("dilation") and _pair(a["dilation"], 1, sides) != (1, 1):
            raise a.place.error("pools with dilation are not supported")
        if a.get("divisor_override") is not None:
            raise a.place.error("divisor_override is not supported")
        value = a.node.meta["val"]
        shape = tuple(value[0].shape if isinstance(value, (list, tuple)) else value.shape)
        _, height, width = spatial(a.shape(x))
        _, out_height, out_width = spatial(shape)
        # With ceil_mode the last window may reach further than the padding.
        below = max((out_height - 1) * stride[0] + kernel[0] - height - above, 0)
        right = max((out_width - 1) * stride[1] + kernel[1] - width - left, 0)
        outside = kind == "average" and bool(a["count_include_pad"]) and (above or left) != 0
        if outside and (below > above or right > left):
            raise a.place.error("ceil_mode with padding that counts in the average is not supported")
        operation = Pool("max" if kind == "max" else "average", kernel, stride, (above, left, below, right), outside)
        if isinstance(value, (list, tuple)):
            a.become((*a.emit_several(operation, [x], [shape]), None))
        else:
            a.emit(operation, x)

    return handle


def _adaptive(kind: str) -> Callable[[_Arguments], None]:
    def handle(a: _Arguments) -> None:
        x = a.activation("self")
        _sides_of_pool(a, x)
        value = a.node.meta["val"]
        shape = tuple(value[0].shape if isinstance(value, (list, tuple)) else value.shape)
        _, height, width = spatial(a.shape(x))
        _, out_height, out_width = spatial(shape)
        if height % out_height or width % out_width:
            raise a.place.error(
                f"an adaptive pool from {height}×{width} to {out_height}×{out_width} has windows of different sizes; "
                "that is not supported"
            )
        kernel = height // out_height, width // out_width
        operation = Pool("max" if kind == "max" else "average", kernel, kernel, NO_PADDING)
        if isinstance(value, (list, tuple)):
            a.become((*a.emit_several(operation, [x], [shape]), None))
        else:
            a.emit(operation, x)

    return handle


def _mean(a: _Arguments) -> None:
    x = a.activation("self")
    rank = len(a.shape(x))
    dims = tuple(sorted(d % rank for d in (a.get("dim") or range(1, rank))))
    if 0 in dims or _fewer(a, x):
        raise a.place.error("a mean over the batch is not supported")
    a.emit(Mean(dims), x)


def _fewer(a: _Arguments, x: str) -> bool:
    """Whether the traced activation has lost its batch dimension, so that dimensions count differently."""
    source = a.node.args[0]
    return isinstance(source, FxNode) and len(_shape(source)) != len(a.shape(x))


def _reshape(a: _Arguments) -> None:
    operand = a.operand("self" if a.has("self") else "input")
    if isinstance(operand, _Parameter):
        raise a.place.error("a reshaped tensor of the module is not supported")
    a.emit(Reshape(), a.activation("self" if a.has("self") else "input"))


def _cat(a: _Arguments) -> None:
    parts = a.activations("tensors")
    rank = len(_shape(a.node))
    dim = a["dim"] % rank
    if dim == 0 or any(len(a.shape(part)) != rank for part in parts):
        raise a.place.error("concatenation along the batch is not supported")
    a.emit(Concat(dim), *parts)


def _softmax(log: bool) -> Callable[[_Arguments], None]:
    def handle(a: _Arguments) -> None:
        x = a.activation("self")
        rank = len(_shape(a.node))
        dim = a["dim"] % rank + len(a.shape(x)) - rank
        if dim == 0:
            raise a.place.error("a softmax over the batch is not supported")
        a.emit(Softmax(dim, log), x)

    return handle


def _upsample(a: _Arguments) -> None:
    x = a.activation("input")
    if _fewer(a, x):
        raise a.place.error(f"input of shape {list(a.shape(x))}: a batch of one expected")
    before, after = a.shape(x)[2:], _shape(a.node)[2:]
    factors = [there // here for here, there in zip(before, after, strict=True)]
    # A factor of 2.1 may give the size of one of 2, but not its values.
    given = a["scale_factors"] or factors
    sides = zip(before, after, factors, given, strict=True)
    if any(factor < 1 or here * factor != there or factor != wanted for here, there, factor, wanted in sides):
        raise a.place.error(f"{list(before)} to {list(after)} is not by whole factors, which is not supported")
    a.emit(Upsample((1, factors[0]) if len(factors) == 1 else (factors[0], factors[1])), x)


def _pad(a: _Arguments) -> None:
    if a.get("mode") not in (None, "constant"):
        raise a.place.error(f"padding of mode {a['mode']!r} is not supported")
    if a["value"] not in (None, 0, 0.0):
        raise a.place.error(f"padding with {a['value']!r} is not supported, only with 0")
    pad = list(a["pad"]) + [0] * (4 - len(a["pad"]))
    x = a.activation("self")
    sides = len(a.shape(x)) - 2
    if sides > 2 or any(pad[2 * sides :]) or min(pad) < 0 or _fewer(a, x):
        raise a.place.error("only zeros around the last dimensions, of positive width, are supported")
    if not any(pad):
        a.become(_Activation(x))
        return
    left, right, above, below = pad[:4]
    a.emit(Pad((above, left, below, right)), x)


def _zeros(a: _Arguments) -> None:
    a.emit(Zeros())


def _lstm_cell(a: _Arguments) -> None:
    hidden, cell = a.activations("hx")
    operation = Cell(
        "lstm", a.parameter("w_ih"), a.parameter("w_hh"), a.parameter_or_none("b_ih"), a.parameter_or_none("b_hh")
    )
    x = a.activation("input")
    a.become(tuple(a.emit_several(operation, [x, hidden, cell], [a.shape(hidden), a.shape(cell)])))


def _gru_cell(a: _Arguments) -> None:
    operation = Cell(
        "gru", a.parameter("w_ih"), a.parameter("w_hh"), a.parameter_or_none("b_ih"), a.parameter_or_none("b_hh")
    )
    a.emit(operation, a.activation("input"), a.activation("hx"))


def _recurrent(kind: str) -> Callable[[_Arguments], None]:
    """One step of ``torch.nn.LSTM`` or ``torch.nn.GRU``: as many cells as there are layers."""

    def handle(a: _Arguments) -> None:
        x = a.activation("input")
        steps = a.shape(x)[1 if a["batch_first"] else 0]
        if len(a.shape(x)) != 3 or a.shape(x)[0] != 1 or a.shape(x)[1] != 1:
            raise a.place.error(
                f"{steps} steps at a time: only one step of a batch of one is supported; call the module step by step"
            )
        if a["bidirectional"] or a["num_layers"] != 1:
            raise a.place.error("several layers or directions in one module are not supported; use one for each")
        weights = a.parameters("params")
        biases: tuple[str | None, str | None] = (weights[2], weights[3]) if a["has_biases"] else (None, None)
        if len(weights) != (4 if a["has_biases"] else 2):
            raise a.place.error("projections are not supported")
        states = a.activations("hx") if kind == "lstm" else (a.activation("hx"),)
        hidden = a.parameter_shape(weights[1])[1]
        flat = a.intermediate("x", (1, a.shape(x)[2]), Reshape(), x)
        before = [a.intermediate(f"s{i}", (1, hidden), Reshape(), s) for i, s in enumerate(states)]
        operation = Cell("lstm" if kind == "lstm" else "gru", weights[0], weights[1], *biases)
        after = a.emit_several(operation, [flat, *before], [(1, hidden)] * len(states))
        shaped = [_Activation(a.intermediate(f"r{i}", (1, 1, hidden), Reshape(), s.name)) for i, s in enumerate(after)]
        a.become((shaped[0], *shaped))

    return handle


_HANDLERS: dict[str, Callable[[_Arguments], None]] = {
    **dict.fromkeys(
        [
            "aten.alias",
            "aten.clone",
            "aten.contiguous",
            "aten.detach",
            "aten.detach_",
            "aten.lift_fresh_copy",
            "aten.positive",
            "aten.to.dtype",
            "aten.to.dtype_layout",
            "aten._to_copy",
        ],
        _identity,
    ),
    **dict.fromkeys(["aten.dropout", "aten.dropout_", "aten.feature_dropout", "aten.alpha_dropout"], _dropout),
    "aten.native_dropout": _native_dropout,
    **dict.fromkeys(
        [
            "aten.conv2d",
            "aten.conv2d.padding",
            "aten.conv1d",
            "aten.conv1d.padding",
            "aten.convolution",
        ],
        _conv,
    ),
    "aten.linear": _linear,
    "aten.addmm": _addmm,
    **dict.fromkeys(["aten.mm", "aten.matmul"], _mm),
    **dict.fromkeys(["aten.t", "aten.permute", "aten.transpose.int", "aten.numpy_T"], _transpose),
    "aten.batch_norm": _batch_norm,
    "aten._native_batch_norm_legit_no_training": _native_batch_norm,
    **dict.fromkeys(["aten.relu", "aten.relu_"], _clamp(0.0, INFINITY)),
    **dict.fromkeys(["aten.relu6", "aten.relu6_"], _clamp(0.0, 6.0)),
    **dict.fromkeys(["aten.hardtanh", "aten.hardtanh_"], _bounded("min_val", "max_val")),
    **dict.fromkeys(["aten.clamp", "aten.clamp_", "aten.clamp_min", "aten.clamp_max"], _bounded("min", "max")),
    **dict.fromkeys(["aten.add.Tensor", "aten.add_.Tensor"], _add),
    **dict.fromkeys(["aten.sub.Tensor", "aten.sub_.Tensor"], _sub),
    "aten.rsub.Scalar": _rsub,
    **dict.fromkeys(["aten.neg", "aten.neg_"], _pointwise("affine", -1.0, 0.0)),
    **dict.fromkeys(["aten.mul.Tensor", "aten.mul_.Tensor"], _mul),
    **dict.fromkeys(["aten.div.Tensor", "aten.div_.Tensor"], _div),
    **dict.fromkeys(["aten.abs", "aten.abs_"], _pointwise("abs")),
    **dict.fromkeys(["aten.sigmoid", "aten.sigmoid_", "aten.special_expit"], _pointwise("sigmoid")),
    **dict.fromkeys(["aten.tanh", "aten.tanh_"], _pointwise("tanh")),
    **dict.fromkeys(["aten.hardsigmoid", "aten.hardsigmoid_"], _pointwise("hard_sigmoid")),
    **dict.fromkeys(["aten.hardswish", "aten.hardswish_"], _pointwise("hard_swish")),
    **dict.fromkeys(["aten.silu", "aten.silu_"], _pointwise("silu")),
    **dict.fromkeys(["aten.mish", "aten.mish_"], _pointwise("mish")),
    **dict.fromkeys(["aten.leaky_relu", "aten.leaky_relu_"], _pointwise("leaky_relu", "negative_slope")),
    **dict.fromkeys(["aten.gelu", "aten.gelu_"], _gelu),
    **dict.fromkeys(["aten.elu", "aten.elu_"], _elu),
    **dict.fromkeys(["aten.selu", "aten.selu_"], _pointwise("elu", SELU_SCALE * SELU_ALPHA, SELU_SCALE, 1.0)),
    **dict.fromkeys(["aten.celu", "aten.celu_"], _celu),
    "aten.softplus": _softplus,
    "aten.log_sigmoid": _pointwise("log_sigmoid"),
    "aten.prelu": _prelu,
    **dict.fromkeys(
        ["aten.max_pool1d", "aten.max_pool2d", "aten.max_pool2d_with_indices", "aten.max_pool1d_with_indices"],
        _pool("max"),
    ),
    **dict.fromkeys(["aten.avg_pool1d", "aten.avg_pool2d"], _pool("average")),
    **dict.fromkeys(
        ["aten.adaptive_avg_pool1d", "aten.adaptive_avg_pool2d", "aten._adaptive_avg_pool2d"], _adaptive("average")
    ),
    **dict.fromkeys(["aten.adaptive_max_pool1d", "aten.adaptive_max_pool2d"], _adaptive("max")),
    **dict.fromkeys(["aten.mean.dim", "aten.mean"], _mean),
    **dict.fromkeys(
        [
            "aten.flatten.using_ints",
            "aten.unflatten.int",
            "aten.view",
            "aten._unsafe_view",
            "aten.reshape",
            "aten.squeeze",
            "aten.squeeze.dim",
            "aten.squeeze.dims",
            "aten.unsqueeze",
        ],
        _reshape,
    ),
    "aten.cat": _cat,
    **dict.fromkeys(["aten.softmax.int", "aten._softmax"], _softmax(log=False)),
    **dict.fromkeys(["aten.log_softmax.int", "aten._log_softmax"], _softmax(log=True)),
    **dict.fromkeys(
        [
            "aten.upsample_nearest1d.vec",
            "aten.upsample_nearest2d.vec",
            "aten._upsample_nearest_exact1d.vec",
            "aten._upsample_nearest_exact2d.vec",
        ],
        _upsample,
    ),
    **dict.fromkeys(["aten.pad", "aten.constant_pad_nd"], _pad),
    **dict.fromkeys(["aten.zeros", "aten.new_zeros", "aten.zeros_like"], _zeros),
    "aten.lstm_cell": _lstm_cell,
    "aten.gru_cell": _gru_cell,
    "aten.lstm.input": _recurrent("lstm"),
    "aten.gru.input": _recurrent("gru"),
}
"""What becomes of each operator."""


def _pair(value: Any, default: int, sides: int) -> Pair:  # noqa: ANN401 (what a schema allows)
    """Height and width of an option, one number or a list of one or two; height is ``default`` with one side."""
    values = [int(value)] if isinstance(value, int) else [int(each) for each in value]
    if sides == 1:
        return default, values[0]
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def _shape(node: FxNode) -> Shape:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        raise _place(node).error("a value that is not a tensor is not supported")
    sides = tuple(value.shape)
    if not all(isinstance(side, int) for side in sides):
        raise _place(node).error("shapes that depend on data are not supported")
    return sides


def _place(node: FxNode) -> Place:
    stack = node.meta.get("nn_module_stack") or {}
    module = ""
    for path, kind in stack.values():
        name = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
        module = f"{path} ({name.rpartition('.')[2]})" if path else ""
    frames = re.findall(r'File "([^"]+)", line (\d+), in \S+\n\s*(.*)', node.meta.get("stack_trace") or "")
    own = [frame for frame in frames if "/torch/nn/" not in frame[0].replace("\\", "/")] or frames
    line = f"{own[-1][0]}:{own[-1][1]}: {own[-1][2]}" if own else ""
    return Place(node.name, str(node.target), module, line)


def _described(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {list(value.shape)}"
    return type(value).__name__


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]

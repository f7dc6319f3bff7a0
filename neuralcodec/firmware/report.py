"""What an export takes: flash and RAM by part and by layer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from neuralcodec.firmware.energy import STM32L412, EnergyModel
from neuralcodec.firmware.plan import (
    AddLayer,
    CellLayer,
    ConcatLayer,
    ConvLayer,
    FlattenLayer,
    FunctionLayer,
    GateSums,
    Layer,
    LayerWeights,
    LinearLayer,
    LoadLayer,
    LogSoftmaxLayer,
    MulLayer,
    Plan,
    PoolLayer,
    Requant,
    RescaleLayer,
    SoftmaxLayer,
    Step,
    TableLayer,
    UpsampleLayer,
)
from neuralcodec.firmware.weights import Blob
from neuralcodec.printable import printable

LARGE_TILE = 1024
"""Weights of a tile beyond which a report tells of smaller ones."""

CONTEXT_BYTES = 52
"""ncd_nn and the pointer to the arena, on a machine of 32 bits."""

_STRUCT_BYTES: Mapping[tuple[type, str], int] = {
    (ConvLayer, "int8"): 64, (ConvLayer, "float"): 60, (LinearLayer, "int8"): 44, (LinearLayer, "float"): 40,
    (AddLayer, "int8"): 28, (PoolLayer, "int8"): 40, (PoolLayer, "float"): 22, (RescaleLayer, "int8"): 16,
    (FlattenLayer, "int8"): 8, (FlattenLayer, "float"): 8, (SoftmaxLayer, "int8"): 12, (CellLayer, "int8"): 84,
    (CellLayer, "float"): 56, (MulLayer, "int8"): 24, (TableLayer, "int8"): 8,
    (LogSoftmaxLayer, "int8"): 24, (UpsampleLayer, "int8"): 20, (UpsampleLayer, "float"): 20,
}  # fmt: skip
"""Sizes of a layer's struct on a machine of 32 bits; layers that are not here have none."""


@dataclass(frozen=True, slots=True)
class LayerReport:
    """A layer.

    Attributes:
        name: of its constants in the source, without ``layer_``.
        kind: what it does.
        inputs: shapes that it reads, as they lie in memory.
        output: shape that it writes.
        macs: multiplications of a weight and an activation.
        weights: number of weights.
        codec: how they are coded; empty without weights, "plain" without compression.
        weight_bytes: bytes of their payloads; a tensor that several layers read counts with each of them.
        constant_bytes: bias, multipliers, checksums and tables, and the struct.
        tables, scratch: bytes of RAM while it runs.
        ram: bytes of the arena that are in use while it runs, tables and scratch among them.
        recoded: why its weights were coded again; empty if they were not.
        instructions: of one run, where they were measured.
        decode_instructions: those of them that decode weights.
    """

    name: str
    kind: str
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    macs: int
    weights: int
    codec: str
    weight_bytes: int
    constant_bytes: int
    tables: int
    scratch: int
    ram: int
    recoded: str
    instructions: int | None = None
    decode_instructions: int | None = None


@dataclass(frozen=True, slots=True)
class ExportReport:
    """An export in figures.

    Attributes:
        model: its name.
        mode: "int8" or "float".
        weights: "compressed" or "plain".
        input, output: shape in memory, whether that has the channels last where the module has them first, scale and
            zero point; the latter two None in float mode.
        layers: in the order in which they run.
        weight_bytes: flash of the weights, compressed or plain.
        overhead_bytes: of the blob besides: header, directory, shared tables; or opened tensors and tables.
        constant_bytes: flash of all other constants.
        plain_weight_bytes: what the weights take as they are, int8 (float in float mode).
        arena_bytes: RAM of activations, tables and scratch.
        activation_bytes: the most of it that activations take at a time.
        least_arena_bytes: no plan with these layers takes less.
        persistent_bytes: of the arena: output and states, which are there at all times.
        context_bytes: RAM besides the arena, on a machine of 32 bits.
        samples: calibration inputs.
        warnings: what the user should know.
        decoder: macros of ncd_config.h that leave out what the network does not need of the decoder.
        code_bytes: flash of the code, where it was measured.
        energy_model: where the figures of the estimated energy come from.
        tables: where those of codec trellis lie, "ram" or "flash".
        bundled: whether the decoder's sources are in the folder.
    """

    model: str
    mode: str
    weights: str
    input: Mapping[str, object]
    output: Mapping[str, object]
    layers: tuple[LayerReport, ...]
    weight_bytes: int
    overhead_bytes: int
    constant_bytes: int
    plain_weight_bytes: int
    arena_bytes: int
    activation_bytes: int
    least_arena_bytes: int
    persistent_bytes: int
    context_bytes: int
    samples: int
    warnings: tuple[str, ...]
    decoder: Mapping[str, int]
    code_bytes: int | None = None
    energy_model: EnergyModel = STM32L412
    tables: str = "ram"
    bundled: bool = True

    @property
    def overhead(self) -> str:
        """What ``overhead_bytes`` are."""
        return "opened tensors and tables" if self.tables == "flash" else "header, directory and tables of the blob"

    @property
    def flash_bytes(self) -> int:
        """Flash of weights and constants; of the code, too, where it was measured."""
        return self.weight_bytes + self.overhead_bytes + self.constant_bytes + (self.code_bytes or 0)

    @property
    def ram_bytes(self) -> int:
        """RAM besides the stack."""
        return self.arena_bytes + self.context_bytes

    @property
    def instructions(self) -> int | None:
        """Of a whole inference, where those of all layers were measured."""
        each = [layer.instructions for layer in self.layers]
        return None if any(i is None for i in each) else sum(i for i in each if i is not None)

    @property
    def decode_share(self) -> float | None:
        """What part of the instructions decodes weights."""
        total = self.instructions
        if not total or any(layer.decode_instructions is None for layer in self.layers):
            return None
        return sum(layer.decode_instructions or 0 for layer in self.layers) / total

    @property
    def joules(self) -> float | None:
        """Estimated energy of an inference; see :mod:`neuralcodec.firmware.energy`."""
        total = self.instructions
        return None if total is None else self.energy_model.joules(total, self.weight_bytes)

    @property
    def limits(self) -> Mapping[str, str]:
        """The layers that take the most weights, flash, RAM and multiplications, and which part of it."""
        found = {}
        for what, key in (
            ("flash", "weight_bytes"),
            ("ram", "ram"),
            ("macs", "macs"),
            ("instructions", "instructions"),
        ):
            sizes = {layer.name: getattr(layer, key) or 0 for layer in self.layers}
            name = max(sizes, key=lambda each: sizes[each])
            total = self.arena_bytes if what == "ram" else sum(sizes.values())
            if sizes[name] and total:
                found[what] = f"{name}: {sizes[name]:,} of {total:,}"
        return found

    def with_instructions(
        self, instructions: Mapping[str, int], decode: Mapping[str, int] | None = None, code_bytes: int | None = None
    ) -> ExportReport:
        """The same report with what was measured.

        Args:
            instructions: of each layer, by name.
            decode: those of them that decode weights.
            code_bytes: flash of the code.
        """
        layers = tuple(
            replace(
                layer,
                instructions=instructions[layer.name],
                decode_instructions=None if decode is None else decode.get(layer.name, 0),
            )
            for layer in self.layers
        )
        return replace(self, layers=layers, code_bytes=self.code_bytes if code_bytes is None else code_bytes)

    def to_dict(self) -> dict[str, object]:
        """Everything, for JSON."""
        return {
            **asdict(self),
            "flash_bytes": self.flash_bytes,
            "ram_bytes": self.ram_bytes,
            "instructions": self.instructions,
            "decode_share": self.decode_share,
            "estimated_joules": self.joules,
            "limits": dict(self.limits),
        }

    def to_json(self) -> str:
        """:meth:`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=True) + "\n"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        measured = self.instructions is not None
        table = Table("layer", "kind", "output", header_style="bold")
        for title in ("MACs", "weights", "bytes", "constants", "RAM", *(["instructions"] if measured else [])):
            table.add_column(title, justify="right")
        table.add_column("coded")
        for layer in self.layers:
            row = [layer.name, layer.kind, "×".join(map(str, layer.output))]
            row += [
                _number(n) for n in (layer.macs, layer.weights, layer.weight_bytes, layer.constant_bytes, layer.ram)
            ]
            row += [_number(layer.instructions or 0)] if measured else []
            coded = f"{layer.codec}; {layer.recoded}" if layer.recoded else layer.codec
            table.add_row(*[Text(printable(each)) for each in (*row, coded)])
        yield table
        yield Text(self.summary())

    def __str__(self) -> str:
        console = Console(width=160, color_system=None, force_terminal=False)
        with console.capture() as capture:
            console.print(self)
        return capture.get()

    def summary(self) -> str:
        """Flash, RAM and what limits, in a few lines."""
        plain = (
            f", {self.weight_bytes / self.plain_weight_bytes:.0%} of plain ones" if self.weights == "compressed" else ""
        )
        code = "code not counted" if self.code_bytes is None else f"code {self.code_bytes:,}"
        lines = [
            f"flash: {self.flash_bytes:,} bytes: weights {self.weight_bytes:,}{plain}, {self.overhead} "
            f"{self.overhead_bytes:,}, constants {self.constant_bytes:,}, {code}",
            f"RAM: {self.ram_bytes:,} bytes: arena {self.arena_bytes:,} (no plan below {self.least_arena_bytes:,}; "
            f"activations {self.activation_bytes:,}), context {self.context_bytes:,}; stack not counted",
        ]
        if self.limits:
            lines.append("most: " + "; ".join(f"{what}: {which}" for what, which in self.limits.items()))
        if self.joules is not None:
            lines.append(f"estimated energy: {self.joules * 1e6:.3g} µJ an inference ({self.energy_model.name})")
        return "\n".join([*lines, *(f"note: {warning}" for warning in self.warnings)])


def make_report(
    plan: Plan,
    blob: Blob,
    model: str,
    *,
    plain: bool,
    checks: bool,
    samples: int,
    warnings: Sequence[str],
    decoder: Mapping[str, int],
    bundled: bool,
    tile: int | None = None,
) -> ExportReport:
    """The report of a plan."""
    layers = tuple(_layer(plan, i, step, plain=plain, checks=checks) for i, step in enumerate(plan.steps))
    itemsize = 1 if plan.mode == "int8" else 4
    # As the source has them: once for each order in which layers read a tensor.
    orders = {(w.tensor.name, w.kernel): math.prod(w.tensor.shape) for step in plan.steps for w in matrices(step.layer)}
    weights = sum(orders.values() if plain else (math.prod(tensor.shape) for tensor in blob.tensors.values()))
    compressed = sum(tensor.nbytes for tensor in blob.tensors.values())
    given, result = plan.activations[plan.input], plan.activations[plan.output]
    states = sum(plan.activations[state.activation].nbytes for state in plan.states)
    notes = list(warnings)
    notes += [] if plain else _large_tiles(plan.mode, blob, tile)
    return ExportReport(
        model=model,
        mode=plan.mode,
        weights="plain" if plain else "compressed",
        input={"shape": given.shape, "channels_last": plan.input_last, **_scale(plan, plan.input)},
        output={"shape": result.shape, "channels_last": plan.output_last, **_scale(plan, plan.output)},
        layers=layers,
        weight_bytes=weights * itemsize if plain else compressed,
        overhead_bytes=0 if plain else blob.overhead,
        constant_bytes=sum(layer.constant_bytes for layer in layers),
        plain_weight_bytes=weights * itemsize,
        arena_bytes=plan.arena.size,
        activation_bytes=plan.arena.activations,
        least_arena_bytes=plan.arena.bound,
        persistent_bytes=result.nbytes + states,
        context_bytes=CONTEXT_BYTES,
        samples=samples,
        warnings=tuple(notes),
        decoder=decoder,
        tables="ram" if blob.prepared is None else "flash",
        bundled=bundled,
    )


def _large_tiles(mode: str, blob: Blob, tile: int | None) -> list[str]:
    """What makes tiles smaller, where some are larger than they should be, or than was asked for."""
    large = [t for t in blob.tensors.values() if t.tile_size > (tile or LARGE_TILE)]
    if not large:
        return []
    lie = f"tiles of up to {max(t.tile_size for t in large):,} weights lie in RAM while a layer runs"
    if mode == "float":
        return [f"{lie}; encode with a smaller tile where the codec has that option"]
    cuts = f"tile={tile or 512}"
    kept = ", ".join(t.name for t in large if t.trellis)
    if kept:
        return [f"{lie}; {cuts} cuts none of codec trellis: encode these with it ({kept})"]
    return [f"{lie}; {cuts} cuts them without loss"]


def _scale(plan: Plan, name: str) -> dict[str, object]:
    q = plan.activations[name].quantization
    return {"scale": None, "zero_point": None} if q is None else {"scale": q.scale, "zero_point": q.zero}


def matrices(layer: Layer) -> list[LayerWeights]:
    """The weights of a layer."""
    if isinstance(layer, (ConvLayer, LinearLayer)):
        return [layer.weights]
    if isinstance(layer, CellLayer):
        return [layer.input.weights, layer.recurrent.weights]
    return []


def _layer(plan: Plan, i: int, step: Step, *, plain: bool, checks: bool) -> LayerReport:
    found = matrices(step.layer)
    itemsize = 1 if plan.mode == "int8" else 4
    count = sum(math.prod(w.tensor.shape) for w in found)
    constants = _STRUCT_BYTES.get((type(step.layer), plan.mode), 0) + _arrays(step.layer)
    if checks and not plain:
        constants += sum(2 * len(w.tensor.checks) for w in found)
    return LayerReport(
        name=step.name.removeprefix("layer_"),
        kind=_kind(step.layer),
        inputs=tuple(plan.activations[name].shape for name in step.inputs),
        output=plan.activations[step.output].shape,
        macs=step.macs,
        weights=count,
        codec=("plain" if plain else ", ".join(dict.fromkeys(w.tensor.codec for w in found))) if found else "",
        weight_bytes=count * itemsize if plain else sum(w.tensor.nbytes for w in found),
        constant_bytes=constants,
        tables=step.tables,
        scratch=step.scratch.nbytes,
        ram=plan.arena.live[i],
        recoded="; ".join(dict.fromkeys(w.tensor.recoded for w in found if w.tensor.recoded)) if not plain else "",
    )


def _arrays(layer: Layer) -> int:
    if isinstance(layer, (ConvLayer, LinearLayer)):
        a = layer.arithmetic
        if isinstance(a, Requant):
            return (0 if a.bias is None else 4 * len(a.bias)) + 5 * len(a.multipliers)
        return sum(4 * len(each) for each in (a.bias, a.scale) if each is not None)
    if isinstance(layer, PoolLayer):
        return 5 * len(layer.multipliers)
    if isinstance(layer, ConcatLayer):
        return 24 * len(layer.parts)
    if isinstance(layer, TableLayer):
        return len(layer.table)
    if isinstance(layer, FunctionLayer):
        return 4 * len(layer.numbers)
    if isinstance(layer, (SoftmaxLayer, LogSoftmaxLayer)):
        return 4 * len(layer.table)
    if isinstance(layer, CellLayer):
        return sum(_sums(each) for each in (layer.input, layer.recurrent))
    return 0


def _sums(sums: GateSums) -> int:
    return (0 if sums.bias is None else 4 * len(sums.bias)) + 5 * len(sums.multipliers)


def _kind(layer: Layer) -> str:
    match layer:
        case ConvLayer():
            w = layer.window
            return f"{'depthwise' if layer.depthwise else 'conv'} {w.kernel_h}×{w.kernel_w}"
        case LinearLayer():
            return "linear"
        case AddLayer():
            return "add"
        case MulLayer():
            return "multiply"
        case TableLayer() | FunctionLayer():
            return layer.kind.replace("_", " ")
        case PoolLayer():
            return f"{layer.kind} pool {layer.window.kernel_h}×{layer.window.kernel_w}"
        case RescaleLayer():
            return "rescale"
        case ConcatLayer():
            return "pad" if layer.fill is not None else "concat"
        case FlattenLayer():
            return "turn around"
        case UpsampleLayer():
            return f"upsample {layer.factors[0]}×{layer.factors[1]}"
        case SoftmaxLayer():
            return "softmax"
        case LogSoftmaxLayer():
            return "log softmax"
        case LoadLayer():
            return "load state"
        case CellLayer():
            return f"{layer.kind} cell"


def _number(n: int) -> str:
    return f"{n:,}" if n else ""

"""Exports a network whose weights stay compressed as C sources that compile as they are."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from neuralcodec.container import replace_file
from neuralcodec.errors import ExportError
from neuralcodec.firmware.calibrate import Calibration, Ranges, calibrate
from neuralcodec.firmware.emit.blob import blob as blob_text
from neuralcodec.firmware.emit.bundle import decoder_sources
from neuralcodec.firmware.emit.cmake import GENERATED, cmake
from neuralcodec.firmware.emit.header import header
from neuralcodec.firmware.emit.readme import readme
from neuralcodec.firmware.emit.source import source
from neuralcodec.firmware.fold import fold_batch_norm
from neuralcodec.firmware.graph import Cell, Conv, Graph, Linear, Node, Norm, Zeros
from neuralcodec.firmware.losses import coarse_activations
from neuralcodec.firmware.lower import BIAS_LIMIT, lower, row_terms
from neuralcodec.firmware.names import Names, model_name
from neuralcodec.firmware.plan import Mode, Plan
from neuralcodec.firmware.quantize import HIDDEN, Quantization
from neuralcodec.firmware.ranges import quantizations, with_pool_clamps
from neuralcodec.firmware.report import ExportReport, make_report
from neuralcodec.firmware.schedule import schedule
from neuralcodec.firmware.settings import settings
from neuralcodec.firmware.simplify import norms_as_convolutions, simplify
from neuralcodec.firmware.states import find_states
from neuralcodec.firmware.trace import trace
from neuralcodec.firmware.weights import Blob, Weights, Wish, make_float_blob, make_int8_blob, with_tables_in_flash
from neuralcodec.model import CompressedModel, check_compressed

LONGEST_TILE = 65_535

FEW_SAMPLES = 16
"""Fewer calibration inputs tell little of ranges."""


def export_firmware(
    cm: CompressedModel,
    model: torch.nn.Module,
    example_input: torch.Tensor | Sequence[torch.Tensor],
    calibration: Calibration | None = None,
    out_dir: str | os.PathLike[str] = "firmware",
    *,
    name: str | None = None,
    mode: Mode = "int8",
    weights: Literal["compressed", "plain"] = "compressed",
    tile: int | None = None,
    checks: bool = False,
    bundle: bool = True,
    tables: Literal["ram", "flash"] = "ram",
) -> ExportReport:
    """Writes a network as C sources: a model blob, a plan, one header, a CMakeLists and a README with sizes.

    The module tells the network's structure, the compressed model its weights. They stay compressed: the layers decode
    them tile by tile. Batch norms are folded, whether the compressed model was made of the folded module
    (:func:`neuralcodec.fold_batch_norm`) or not. Activations are int8, a scale and a zero point a tensor, as in
    TensorFlow Lite's quantization specification, from the ranges that calibration data give; weights are the codec's
    levels.

    Args:
        cm: the compressed weights of ``model``, or of it with its batch norms folded.
        model: the module.
        example_input: what it takes, a batch of one. Several inputs are possible where all but one are states of LSTM
            or GRU cells whose next value the module returns: firmware keeps these from run to run.
        calibration: inputs like those that the firmware will see: a tensor, or an iterable of batches, of which tuples
            may hold labels behind the inputs. Without any the example input is all that ranges come from.
        out_dir: folder to write, made where it is not there.
        name: of the model in C; default from the module's class.
        mode: "int8", or "float" for parts with an FPU and for checking: float activations, decoded weights.
        weights: "plain" puts int8 (or float) weights into flash as they are, for comparison.
        tile: most weights in a tile, int8 mode only. Tensors with larger ones are coded again, without loss, but those
            of codec trellis. A layer's scratch holds a tile.
        checks: firmware compares a checksum of each tile when it is decoded. Int8 mode only.
        bundle: put the decoder's sources into the folder, so that it builds with nothing else.
        tables: "flash" writes opened tensors, and tables of codec trellis, as constants: layers then decode without RAM
            for these, nor time to build them at each inference. Flash grows by up to 4 KB for each model that tensors
            share, less the code that builds tables. Weights cannot be updated apart from the program then. For codecs
            raw, huffman, kmeans and trellis.

    Returns:
        A report: flash and RAM by part and layer.

    Raises:
        NeuralCodecError: ``cm`` is something else.
        ExportError: the module cannot be traced, an operator is not supported (the message names its place), the
            compressed model lacks a tensor or has another shape, or calibration data do not fit; or the folder holds
            a CMakeLists.txt, README.md or report.json that is not of an export.
        BitstreamError: the compressed model is damaged.
        OSError: a file cannot be written.
    """
    check_compressed(cm)
    if weights not in ("compressed", "plain"):
        raise ExportError(f'weights is "compressed" or "plain", not {weights!r}')
    if tables not in ("ram", "flash"):
        raise ExportError(f'tables is "ram" or "flash", not {tables!r}')
    if tables == "flash" and weights == "plain":
        raise ExportError("tables='flash' is for compressed weights: plain ones have no tables")
    for option, value in (("checks", checks), ("bundle", bundle)):
        if not isinstance(value, bool):
            raise ExportError(f"{option} is True or False, not {value!r}")
    if not isinstance(out_dir, (str, os.PathLike)):
        raise ExportError(f"out_dir: a path expected, not {type(out_dir).__name__}")
    if checks and mode != "int8":
        raise ExportError("checks are of int8 levels: they need mode='int8'")
    _check_folder(Path(out_dir))
    names = Names(model_name(type(model).__name__) if name is None else name)
    plain, in_flash = weights == "plain", tables == "flash"
    made = make_plan(cm, model, example_input, calibration, mode=mode, tile=tile, plain=plain, in_flash=in_flash)
    needs = settings(made.blob.tensors.values(), mode, plain=plain, in_flash=in_flash)
    report = make_report(
        made.plan,
        made.blob,
        names.model,
        plain=plain,
        checks=checks,
        samples=made.samples,
        warnings=made.warnings,
        decoder=needs,
        bundled=bundle,
        tile=tile,
    )
    _write(Path(out_dir), made.plan, made.blob, names, report, plain=plain, checks=checks, bundle=bundle, needs=needs)
    return report


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A plan with its weights, before anything is written.

    Attributes:
        plan: the layers.
        blob: their weights.
        samples: calibration inputs that were run.
        warnings: what the user should know.
    """

    plan: Plan
    blob: Blob
    samples: int
    warnings: tuple[str, ...]


def make_plan(
    cm: CompressedModel,
    model: torch.nn.Module,
    example_input: torch.Tensor | Sequence[torch.Tensor],
    calibration: Calibration | None = None,
    *,
    mode: Mode = "int8",
    tile: int | None = None,
    plain: bool = False,
    in_flash: bool = False,
) -> Planned:
    """What :func:`export_firmware` writes; arguments and errors as there."""
    if mode not in ("int8", "float"):
        raise ExportError(f'mode is "int8" or "float", not {mode!r}')
    if tile is not None and (isinstance(tile, bool) or not isinstance(tile, int) or not 1 <= tile <= LONGEST_TILE):
        raise ExportError(f"tile: an integer from 1 to {LONGEST_TILE:,} or None expected, not {tile!r}")
    if tile is not None and mode == "float":
        raise ExportError("tile is for mode='int8': float weights keep the tiles that they were encoded with")
    graph = _traced(cm, model, example_input)
    states = find_states(graph)
    _check_ends(graph, states)
    coded = Weights(cm, {each: graph.parameters[each] for each in graph.ones})
    parameters = {each: coded.floats(each) for each in graph.parameters}
    for each, value in parameters.items():
        if not value.isfinite().all():
            raise ExportError("not all values are finite, and firmware computes with none that is not", tensor=each)
    warnings: list[str] = []
    scales: Mapping[str, Quantization] = {}
    if mode == "int8":
        alone = calibration is None
        data = _example(example_input, graph, states) if calibration is None else calibration
        ranges = calibrate(graph, parameters, data, states)
        if alone or ranges.samples < FEW_SAMPLES:
            inputs = "the example input" if alone else f"{ranges.samples} input{'s' * (ranges.samples > 1)}"
            warnings.append(f"calibrated with {inputs} alone: give calibration data for ranges that hold")
        warnings += _constant(graph, ranges, states)
        graph = with_pool_clamps(graph, ranges, parameters)
        scales = quantizations(graph, ranges, parameters)
        warnings += coarse_activations(graph, parameters, ranges, scales, states)
        blob = make_int8_blob(coded, _wishes(graph, parameters, scales), tile)
    else:
        zeros = dict.fromkeys(graph.shapes, 0.0)
        ranges = Ranges(zeros, zeros, 0)
        blob = make_float_blob(coded, _float_wishes(graph))
    if in_flash:
        blob = with_tables_in_flash(blob)
    lowered = lower(graph, mode, parameters, blob.tensors, scales, ranges, states, plain)
    plan = Plan(
        mode,
        tuple(lowered.steps),
        lowered.activations,
        lowered.input,
        lowered.output,
        lowered.input_last,
        lowered.output_last,
        tuple(lowered.states),
        schedule(lowered),
    )
    return Planned(plan, blob, ranges.samples, tuple(warnings))


def _write(
    folder: Path,
    plan: Plan,
    blob: Blob,
    names: Names,
    report: ExportReport,
    *,
    plain: bool,
    checks: bool,
    bundle: bool,
    needs: Mapping[str, int],
) -> None:
    (crc,) = struct.unpack_from("<I", blob.data, 12)
    in_flash = blob.prepared is not None
    files = {
        f"{names.model}.h": header(plan, names, plain=plain, blob=blob).encode(),
        f"{names.model}.c": source(plan, names, plain=plain, checks=checks, blob_crc=crc, prepared=in_flash).encode(),
        "CMakeLists.txt": cmake(names, plain=plain, bundled=bundle, settings=needs).encode(),
        "README.md": readme(report, names, plan, plain=plain, bundled=bundle).encode(),
        "report.json": report.to_json().encode(),
    }
    if not plain:
        files[f"{names.model}_blob.c"] = blob_text(blob, names).encode()
    if bundle:
        files |= {f"ncd/{path}": data for path, data in decoder_sources(needs).items()}
    _remove_stale(folder, files)
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(target) as file:
            file.write(data)


def _check_folder(folder: Path) -> None:
    """Refuses a folder of somebody's own, where an export would replace files that every project has.

    Raises:
        ExportError: such a file is there, and not of an export.
    """
    lists = folder / "CMakeLists.txt"  # written before the others, and says whose it is
    if lists.is_file() and lists.read_bytes().startswith(GENERATED.encode()):
        return
    for own in (lists, folder / "README.md", folder / "report.json"):
        if own.exists():
            raise ExportError(f"{own} is there, and no export has written it: give a folder for the export alone")


def _remove_stale(folder: Path, files: Mapping[str, bytes]) -> None:
    """Removes what an export before this one wrote and this one does not, so that all sources there belong together."""
    try:
        facts = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        before, bundled = Names(str(facts["model"])).model, facts["bundled"]
    except (OSError, ValueError, KeyError, TypeError, ExportError):
        return
    there = [f"{before}.h", f"{before}.c", f"{before}_blob.c"]
    if bundled is True:
        there += [path.relative_to(folder).as_posix() for path in (folder / "ncd").rglob("*.[ch]")]
    for stale in there:
        if stale not in files:
            (folder / stale).unlink(missing_ok=True)


def _traced(cm: CompressedModel, model: torch.nn.Module, example_input: torch.Tensor | Sequence[torch.Tensor]) -> Graph:
    """The network; of the folded module, where the compressed model lacks the norms' tensors."""
    graph = simplify(trace(model, example_input))
    norms = [name for node in graph.nodes for name in _norm_names(node)]
    if any(name not in cm for name in norms):
        graph = simplify(trace(fold_batch_norm(model, example_input), example_input))
    graph = norms_as_convolutions(graph)
    for name, shape in graph.parameters.items():
        if name in graph.ones:
            continue
        if name not in cm:
            raise ExportError("the compressed model lacks this tensor of the module", tensor=name)
        found = cm.entry(name).spec.shape
        if found != shape:
            raise ExportError(f"shape {list(found)} in the compressed model, {list(shape)} in the module", tensor=name)
    return graph


def _norm_names(node: Node) -> list[str]:
    operation = node.operation
    norm = operation if isinstance(operation, Norm) else getattr(operation, "norm", None)
    return norm.names() if isinstance(norm, Norm) else []


def _constant(graph: Graph, ranges: Ranges, states: Sequence[tuple[str, str]]) -> list[str]:
    """What calibration tells no scale of."""
    names = [name for name in graph.shapes if ranges.low.get(name, 1.0) == 0 == ranges.high.get(name, 1.0)]
    made = {output for node in graph.nodes if isinstance(node.operation, (Zeros, Cell)) for output in node.outputs}
    scaled = made | {name for name, _ in states}
    return [
        f"activation {name!r} is always 0 on the calibration data: its scale is 1 for want of a range"
        for name in names
        if name not in scaled
    ]


def _check_ends(graph: Graph, states: Sequence[tuple[str, str]]) -> None:
    inputs, outputs = len(graph.inputs) - len(states), len(graph.outputs) - len(states)
    if inputs != 1 or outputs != 1:
        raise ExportError(
            f"{inputs} inputs and {outputs} outputs besides {len(states)} states of cells; one of each is supported "
            "(a state is an input that only one cell reads, and what that makes of it an output)"
        )


def _example(
    example: torch.Tensor | Sequence[torch.Tensor], graph: Graph, states: Sequence[tuple[str, str]]
) -> list[tuple[torch.Tensor, ...]]:
    given = (example,) if isinstance(example, torch.Tensor) else tuple(example)
    kept = {name for name, _ in states}
    return [tuple(value for name, value in zip(graph.inputs, given, strict=True) if name not in kept)]


def _matrices(node: Node) -> list[str]:
    """The weight tensors that a node's kernel decodes."""
    operation = node.operation
    if isinstance(operation, (Conv, Linear)):
        return [operation.weight]
    if isinstance(operation, Cell):
        return [operation.weight_input, operation.weight_hidden]
    return []


def _wishes(graph: Graph, parameters: Mapping[str, torch.Tensor], scales: Mapping[str, Quantization]) -> list[Wish]:
    """What layers ask of each tensor's levels."""
    found: dict[str, Wish] = {}
    for node in graph.nodes:
        for name in _matrices(node):
            wish = _wish(node, name, graph, parameters, scales)
            before = found.get(name)
            if before is not None:
                wish = _both(node, before, wish)
            found[name] = wish
    return list(found.values())


def _wish(
    node: Node, name: str, graph: Graph, parameters: Mapping[str, torch.Tensor], scales: Mapping[str, Quantization]
) -> Wish:
    operation = node.operation
    if isinstance(operation, Cell):
        bias = operation.bias_input if name == operation.weight_input else operation.bias_hidden
        before = scales[node.inputs[0]] if name == operation.weight_input else HIDDEN
        terms = None if bias is None else parameters[bias].double().numpy()
        least = None if terms is None else np.abs(terms) / (BIAS_LIMIT * before.scale)
        return Wish(name, True, None, least)
    assert isinstance(operation, (Conv, Linear))
    factor, terms = row_terms(operation, parameters, graph.parameters[name][0])
    scale = scales[node.inputs[0]].scale * np.where(factor == 0, np.inf, np.abs(factor))
    least = None if terms is None else np.abs(terms) / (BIAS_LIMIT * scale)
    return Wish(name, isinstance(operation, Linear), factor == 0, least)


def _both(node: Node, a: Wish, b: Wish) -> Wish:
    """Of a tensor that two layers read."""
    first, second = (np.zeros(1, np.bool_) if w.dead is None else w.dead for w in (a, b))
    if not np.all(first == second):
        raise node.place.error(f"tensor {a.name!r} serves several layers, not all of whose norms multiply a row by 0")
    if a.least_scale is None or b.least_scale is None:
        least = b.least_scale if a.least_scale is None else a.least_scale
    else:
        least = np.maximum(a.least_scale, b.least_scale)
    return replace(a, columns=a.columns and b.columns, least_scale=least, shared=True)


def _float_wishes(graph: Graph) -> list[tuple[str, bool]]:
    """Each weight tensor, and whether its tiles may run down the columns."""
    found: dict[str, bool] = {}
    for node in graph.nodes:
        for name in _matrices(node):
            found[name] = found.get(name, True) and not isinstance(node.operation, Conv)
    return list(found.items())

"""Single layers in TensorFlow Lite Micro, compressed by its own tool, beside exports of ours: `python -m bench.tflm`.

Writes docs/tflm.md. No figure in it is typed by hand. Both sides have the same weights: int8 levels of which 2^bits are
used, chosen by codec kmeans, so that TFLM's look-up table and our streams hold the same numbers, and outputs can be
compared bit for bit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import neuralcodec
from bench.environment import python_of
from bench.folders import ROOT
from bench.method import Method
from bench.network import networks
from neuralcodec.container import replace_file
from neuralcodec.firmware import ExportReport

WORKER = ROOT / "bench" / "tflm_worker.py"
DOCUMENT = ROOT / "docs" / "tflm.md"
TFLM = "0.dev20261023182759"
PACKAGE = Method(
    name="tflm",
    path=WORKER,
    title="TensorFlow Lite Micro",
    kind="lossy",
    requirements=(f"tflite-micro=={TFLM}", "flatbuffers==25.12.19", "PyYAML==6.0.4", "numpy"),
    quick=(),
    full=(),
    advice="",
    hull=False,
    for_decoder=False,
)
"""Its environment; it is no method of the benchmark."""

INTRODUCTION = """\
# TensorFlow Lite Micro beside it

Written by `python -m bench.tflm`; edit that.

TFLM compresses weights by look-up tables (`tflite_micro.compression`), and decodes the whole tensor of a layer into the
arena before the layer runs. The exports of `neuralcodec export-firmware` decode a tile at a time. Here are single
layers on both sides, with the same int8 weights: 16 or 8 values, which codec kmeans chose.

- File: TFLM's `.tflite`, against our weights, directory, biases, multipliers and the layer's description. Code is on
  neither side.
- RAM that grows with the layer: input and output, decoded weights, and what decoding takes. Of TFLM's arena the head.
- RAM in all: of TFLM the whole arena as its recording allocator tells it, on a host of 64 bits; the structs in its tail
  hold pointers, which are half as wide on a microcontroller. Of ours the arena and the context, on 32 bits. The stack
  is on neither side.
- Of all rows with these weights {samples} outputs were compared: those of TFLM's interpreter, with table and without,
  and of our exports, with each coding and without, were the same, bit for bit.
- SNR: of the weights against the float ones. Codec trellis has other weights, at that SNR.
- Our tiles have up to {tile} weights.

TFLM {tflm} from PyPI, which compresses and interprets; its Huffman coder is announced, but not there yet.
neuralcodec {neuralcodec}.
"""

BITS = (4, 3)
TILE = 512
"""Most weights in a tile of ours."""

SAMPLES = 20
"""Inputs of which outputs are compared."""


@dataclass(frozen=True)
class Layer:
    """A layer to compare.

    Attributes:
        title: for a reader.
        module: a linear layer or convolution of stride 1 with its weights.
        input: shape of an input, without a batch.
    """

    title: str
    module: nn.Linear | nn.Conv2d
    input: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        what: who holds the weights, and how.
        snr: of the weights, in dB; None where they are only rounded to int8.
        file: bytes: weights, bias, scales and what else a layer is described by.
        ram: bytes that grow with the layer: activations, and what decoding takes.
        total: bytes of RAM in all.
    """

    what: str
    snr: float
    file: int
    ram: int
    total: int


def layers() -> list[Layer]:
    """A Gaussian one of a round size, and trained ones, fetched or trained once as the benchmark does."""
    generator = torch.Generator().manual_seed(0)
    square = nn.Linear(128, 128)
    with torch.no_grad():
        square.weight.copy_(torch.randn(128, 128, generator=generator) * 0.05)
        square.bias.zero_()
    known = networks()
    lenet300, lenet5, resnet = (known[name].load() for name in ("lenet300", "lenet5", "resnet-fashion"))
    return [
        Layer("fully connected 128 → 128, Gaussian weights", square, (128,)),
        Layer("LeNet-300-100, fully connected 784 → 300", _linear(lenet300, "1"), (784,)),
        Layer("LeNet-5, convolution 5×5, 20 → 50 channels, 12×12", _conv(lenet5, "2"), (20, 12, 12)),
        Layer("ResNet-8, convolution 3×3, 64 → 64 channels, 7×7", _conv(resnet, "5.conv2", padding=1), (64, 7, 7)),
    ]


def measure(chosen: Iterable[Layer], bits: Iterable[int] = BITS) -> dict[str, list[Row]]:
    """Measures all layers.

    Raises:
        MethodError: TFLM cannot be installed here.
        RuntimeError: outputs of the two sides differ.
    """
    cases = [(layer, each) for layer in chosen for each in bits]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = [_ours(layer, each, folder / str(i)) for i, (layer, each) in enumerate(cases)]
        theirs, outputs = _theirs([case.given for case in ours], folder)
    rows: dict[str, list[Row]] = {}
    for i, ((layer, each), case) in enumerate(zip(cases, ours, strict=True)):
        for side in ("plain", "lut"):
            if not np.array_equal(outputs[f"{i}.{side}"].reshape(SAMPLES, -1), case.outputs):
                raise RuntimeError(f"{layer.title}, {each} bits: outputs of TFLM ({side}) and ours differ")
        found, title = theirs[i], f"{layer.title}, {1 << each} values"
        rows[title] = [
            Row("TFLM, int8", case.snr, found["plain"]["bytes"], found["plain"]["head"], found["plain"]["total"]),
            Row(
                f"TFLM, look-up table of {each} bits", case.snr, *(found["lut"][n] for n in ("bytes", "head", "total"))
            ),
            *case.rows,
        ]
    return rows


@dataclass(frozen=True)
class _Case:
    """Our side of a layer, and what TFLM is given of it."""

    given: dict[str, Any]
    snr: float
    outputs: np.ndarray
    rows: tuple[Row, ...]


def _ours(layer: Layer, bits: int, folder: Path) -> _Case:
    calibration = torch.randn(200, *layer.input, generator=torch.Generator().manual_seed(1))
    shared: dict[str, Any] = {"codec": "kmeans", "clusters": 1 << bits, "centroids": "int8", "tile": TILE}
    cm = neuralcodec.encode(layer.module, coding="fixed", **shared)
    snr = _snr(layer, cm)
    ways: dict[str, Callable[[], neuralcodec.CompressedModel]] = {
        "ours, int8": lambda: cm,
        f"ours, kmeans, {bits} bits each": lambda: cm,
        "ours, kmeans, prefix codes": lambda: neuralcodec.encode(layer.module, coding="huffman", **shared),
        "ours, kmeans, rANS": lambda: neuralcodec.encode(layer.module, coding="rans", **shared),
        "ours, trellis, rANS, at the same SNR": lambda: neuralcodec.encode(
            layer.module, coding="rans", tile=TILE, target=neuralcodec.Target(snr_db=snr)
        ),
    }
    rows: list[Row] = []
    outputs: np.ndarray | None = None
    for what, encode in ways.items():
        coded = encode()
        plain = what == "ours, int8"
        out = folder / str(len(rows))
        report = neuralcodec.export_firmware(
            coded,
            layer.module,
            calibration[:1],
            calibration,
            out,
            name="layer",
            weights="plain" if plain else "compressed",
        )
        file = report.weight_bytes + (0 if plain else report.overhead_bytes) + report.constant_bytes
        rows.append(Row(what, _snr(layer, coded), file, report.arena_bytes, report.arena_bytes + report.context_bytes))
        if "trellis" not in what:  # the others have the same weights
            found = neuralcodec.simulate(out, calibration[:SAMPLES]).levels
            assert found is not None
            if outputs is not None and not np.array_equal(found, outputs):
                raise RuntimeError(f"{layer.title}: outputs of {what} and with plain weights differ")
            outputs, described = found, report
    assert outputs is not None
    return _Case(_given(layer, cm, bits, calibration[:SAMPLES], described), snr, outputs, tuple(rows))


def _given(
    layer: Layer, cm: neuralcodec.CompressedModel, bits: int, inputs: torch.Tensor, report: ExportReport
) -> dict[str, Any]:
    """The layer as bench/tflm_worker.py takes it."""
    index, books, scales = cm.indices("weight")
    levels = books[0].to(torch.int8)[index.long()]
    scale = float(scales[0])
    x, y = ((s["shape"], float(str(s["scale"])), int(str(s["zero_point"]))) for s in (report.input, report.output))
    bias = layer.module.bias.detach() if layer.module.bias is not None else torch.zeros(len(levels))
    whole = np.rint(bias.double().numpy() / (np.float64(x[1]) * scale)).astype(np.int32)
    quantized = np.clip(np.rint(inputs.double().numpy() / x[1]) + x[2], -128, 127).astype(np.int8)
    if levels.ndim == 4:
        levels, quantized = levels.permute(0, 2, 3, 1).contiguous(), quantized.transpose(0, 2, 3, 1)
    padding = "SAME" if isinstance(layer.module, nn.Conv2d) and layer.module.padding != (0, 0) else "VALID"
    kind = "conv" if levels.ndim == 4 else "linear"
    said = {"kind": kind, "padding": padding, "input": x, "output": y, "scale": scale, "bits": bits}
    return {"said": said, "levels": levels.numpy(), "bias": whole, "inputs": np.ascontiguousarray(quantized)}


def _theirs(given: list[dict[str, Any]], folder: Path) -> tuple[list[dict[str, Any]], Mapping[str, np.ndarray]]:
    arrays = {f"{i}.{n}": each[n] for i, each in enumerate(given) for n in ("levels", "bias", "inputs")}
    before, after = folder / "layers.npz", folder / "results.npz"
    np.savez(before, layers=json.dumps([each["said"] for each in given]), **arrays)
    done = subprocess.run(
        [str(python_of(PACKAGE)), str(WORKER), str(before), str(after)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"bench/tflm_worker.py failed:\n{done.stderr[-2000:]}")
    with np.load(after) as found:
        return json.loads(str(found["measured"])), {name: found[name] for name in found.files if name != "measured"}


def _snr(layer: Layer, cm: neuralcodec.CompressedModel) -> float:
    """Of the weights, in dB."""
    weight = layer.module.weight.detach().double()
    return float(10 * torch.log10((weight**2).sum() / ((weight - cm.decode("weight").double()) ** 2).sum()))


def _linear(state: Mapping[str, torch.Tensor], name: str) -> nn.Linear:
    weight = state[f"{name}.weight"]
    module = nn.Linear(weight.shape[1], weight.shape[0])
    _fill(module, state, name)
    return module


def _conv(state: Mapping[str, torch.Tensor], name: str, padding: int = 0) -> nn.Conv2d:
    outputs, inputs, *kernel = state[f"{name}.weight"].shape
    module = nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]), padding=padding)
    _fill(module, state, name)
    return module


def _fill(module: nn.Linear | nn.Conv2d, state: Mapping[str, torch.Tensor], name: str) -> None:
    assert module.bias is not None
    with torch.no_grad():
        module.weight.copy_(state[f"{name}.weight"])
        bias = state.get(f"{name}.bias")
        module.bias.copy_(bias if bias is not None else torch.zeros_like(module.bias))


def document(measured: Mapping[str, list[Row]]) -> str:
    """docs/tflm.md."""
    lines = INTRODUCTION.format(samples=SAMPLES, tile=TILE, tflm=TFLM, neuralcodec=version("neuralcodec")).splitlines()
    for title, rows in measured.items():
        lines += [
            "",
            f"## {title[0].upper()}{title[1:]}",
            "",
            "| | SNR, dB | file, bytes | RAM that grows, bytes | RAM in all, bytes |",
            "| --- | --: | --: | --: | --: |",
            *(f"| {r.what} | {r.snr:.1f} | {r.file:,} | {r.ram:,} | {r.total:,} |" for r in rows),
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures all, and writes the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=DOCUMENT)
    path = parser.parse_args().output
    text = document(measure(layers()))
    with replace_file(path) as file:
        file.write(text.encode())
    print(path)


if __name__ == "__main__":
    main()

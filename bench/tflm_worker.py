"""Layers in TensorFlow Lite Micro's interpreter. Runs in an environment of its own, which bench/tflm.py makes.

python tflm_worker.py layers.npz results.npz: of each layer, a model with its weights as they are and one with them in a
look-up table are written as .tflite, loaded, and run on the same inputs. Nothing of TensorFlow is needed: the package
brings the schema and what compresses.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tflite_micro import compression, runtime
from tflite_micro.tensorflow.lite.micro.compression import model_editor, spec
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

ROOM = 64 << 20
"""Bytes of arena to measure with."""


def tflite(layer: dict[str, Any]) -> bytes:
    """A model of one layer.

    Args:
        layer: "kind" (linear or conv), "padding" (SAME or VALID), "input" and "output" (shape, scale and zero point),
            "levels" (int8, output channels first and input channels last), "scale" of the weights, "bias" (int32).
    """
    (in_shape, in_scale, in_zero), (out_shape, out_scale, out_zero) = layer["input"], layer["output"]
    int8, scale = schema.TensorType.INT8, layer["scale"]
    tensor, quantization = model_editor.Tensor, model_editor.Quantization
    x = tensor([1, *in_shape], int8, quantization=quantization(in_scale, in_zero), name="x")
    y = tensor([1, *out_shape], int8, quantization=quantization(out_scale, out_zero), name="y")
    levels, bias = layer["levels"], layer["bias"]
    w = tensor(levels.shape, int8, data=levels, quantization=quantization(scale), name="w")
    b = tensor(
        bias.shape, schema.TensorType.INT32, data=bias, quantization=quantization(_product(in_scale, scale)), name="b"
    )
    operator = schema.OperatorT()
    if layer["kind"] == "linear":
        code = schema.BuiltinOperator.FULLY_CONNECTED
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = schema.FullyConnectedOptionsT()
    else:
        code = schema.BuiltinOperator.CONV_2D
        operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
        operator.builtinOptions = schema.Conv2DOptionsT(getattr(schema.Padding, layer["padding"]), 1, 1)
    run = model_editor.Operator(code, [x, w, b], [y], _fb=operator)
    model = model_editor.Model([model_editor.Subgraph([x, w, b, y], [run], [x], [y])])
    model._fb.version = 3  # of the schema
    return bytes(model.build())


def compressed(model: bytes, bits: int) -> bytes:
    """The same with the weights in one look-up table."""
    wanted = compression.SpecBuilder().add_tensor(0, 1).with_lut(bits, spec.PerTensor()).build()
    return bytes(compression.compress(model, wanted))


def run(model: bytes, inputs: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """Outputs, int8, shape [n, ...]; and the arena's bytes: total, head (activations, decoded weights), tail."""
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=ROOM)
    outputs = []
    for x in inputs:
        interpreter.set_input(x[None], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0)[0])
    return np.stack(outputs), _arena(interpreter)


def _arena(interpreter: runtime.Interpreter) -> dict[str, int]:
    """What the interpreter's recording allocator says; it prints to the process's standard error."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            interpreter.print_allocations()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        said = file.read().decode()
    found = dict(re.findall(r"Arena allocation (total|head|tail) (\d+) bytes", said))
    return {name: int(found[name]) for name in ("total", "head", "tail")}


def _product(a: float, b: float) -> float:
    return float(np.float32(a) * np.float32(b))


def main() -> None:
    """Reads layers, writes what was measured."""
    given = np.load(sys.argv[1])
    results: dict[str, np.ndarray] = {}
    measured = []
    for i, layer in enumerate(json.loads(str(given["layers"]))):
        layer |= {name: given[f"{i}.{name}"] for name in ("levels", "bias")}
        plain = tflite(layer)
        found: dict[str, Any] = {}
        for name, model in (("plain", plain), ("lut", compressed(plain, layer["bits"]))):
            results[f"{i}.{name}"], arena = run(model, given[f"{i}.inputs"])
            found[name] = {"bytes": len(model), **arena}
        measured.append(found)
    with Path(sys.argv[2]).open("wb") as file:
        np.savez(file, **(results | {"measured": np.array(json.dumps(measured))}))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()

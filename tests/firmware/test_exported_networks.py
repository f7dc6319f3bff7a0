"""Exported networks on emulated boards give what the host's simulation gives, bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import emulator
import numpy as np
import pytest
import torch
from small_networks import Cells, Gated, Pools, Residual, Spotter, inputs_of, made

import neuralcodec

pytestmark = pytest.mark.firmware

INPUTS = 12

MAIN = """
#include "port.h"
#include "{model}.h"
#include "inputs.h"

int main(void)
{{
    uint32_t i, j;
    ncd_status status = ncd_{model}_init(NULL, 0);
    if (status == NCD_OK)
        status = ncd_{model}_check();
    for (i = 0; status == NCD_OK && i < {count}; ++i) {{
        status = ncd_{model}_run(inputs[i], NCD_{macro}_INPUT_SIZE);
        for (j = 0; status == NCD_OK && j < NCD_{macro}_OUTPUT_SIZE; ++j) {{
            port_text("out=");
            port_number(ncd_{model}_output()[j]);
            port_text("\\n");
        }}
    }}
    port_print("status", status);
    return status == NCD_OK ? PORT_OK : PORT_FAILED;
}}
"""


def run_on(board: str, export: Path, folder: Path, inputs: np.ndarray, defines: Sequence[str] = ()) -> emulator.Result:
    """Builds an export into an image and runs it on inputs as they lie in memory."""
    model = next(path.stem for path in export.glob("*.h"))
    example = folder / "examples" / model
    shutil.rmtree(example, ignore_errors=True)
    example.mkdir(parents=True)
    for path in export.glob("*.[ch]"):
        shutil.copy(path, example)
    rows = ",\n".join("{" + ", ".join(map(str, row)) + "}" for row in inputs.tolist())
    table = f"static const int8_t inputs[{len(inputs)}][{inputs.shape[1]}] = {{\n{rows}\n}};\n"
    (example / "inputs.h").write_text("#include <stdint.h>\n" + table)
    (example / "main.c").write_text(MAIN.format(model=model, macro=model.upper(), count=len(inputs)))
    blob = folder / "none"
    blob.write_bytes(b"-")  # the image's own stream: the export brings its weights
    elf = emulator.build(board, blob, folder, model, defines=defines, examples=folder / "examples", nn=True)
    return emulator.run(board, elf, timeout=300)


@pytest.mark.parametrize(
    ("kind", "codec", "options"),
    [
        (Spotter, "huffman", {"bits": 5}),
        (Residual, "trellis", {"relative_step": 0.15, "scan": "rows", "coding": "rans"}),
        (Pools, "kmeans", {"clusters": 16, "centroids": "int8"}),
        (Cells, "huffman", {"bits": 6}),
        (Gated, "huffman", {"bits": 6}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_board_gives_what_the_simulation_gives(kind, codec, options, board, out, tmp_path):  # noqa: PLR0917
    network = made(kind)
    cm = neuralcodec.encode(network, codec=codec, **options)
    inputs = inputs_of(kind, INPUTS)
    example = (inputs[:1], *Cells.states()) if kind is Cells else inputs[:1]
    neuralcodec.export_firmware(cm, network, example, inputs, tmp_path, checks=True, tile=256)
    size = int(np.prod(kind.shape))
    values = np.random.default_rng(5).integers(-128, 128, (INPUTS, size)).astype(np.int8)
    result = run_on(board, tmp_path, out, values)
    assert result.exit_code == 0, result.output
    got = [int(line.removeprefix("out=")) for line in result.output.splitlines() if line.startswith("out=")]
    # The simulation takes channels first.
    shaped = values.reshape(INPUTS, *kind.shape)
    if len(kind.shape) == 3:
        channels, height, width = kind.shape
        shaped = values.reshape(INPUTS, height, width, channels).transpose(0, 3, 1, 2)
    wanted = neuralcodec.simulate(tmp_path, torch.from_numpy(np.ascontiguousarray(shaped))).levels
    assert got == wanted.reshape(-1).tolist()


OTHERS = [pytest.param(each, marks=pytest.mark.slow) for each in ("m55", "rv32")]


@pytest.mark.parametrize("board", ["m0", "m4", *OTHERS], indirect=True)
@pytest.mark.parametrize(("kind", "coding"), [(Spotter, "light"), (Cells, "contexts")])
def test_tables_in_flash_change_no_output(kind, coding, board, out, tmp_path):
    network = made(kind)
    cm = neuralcodec.encode(network, coding=coding, relative_step=0.15, levels="int8", scan="rows")
    inputs = inputs_of(kind, INPUTS)
    example = (inputs[:1], *Cells.states()) if kind is Cells else inputs[:1]
    reports = []
    for tables in ("ram", "flash"):
        folder = tmp_path / tables
        reports.append(
            neuralcodec.export_firmware(cm, network, example, inputs, folder, checks=True, tile=256, tables=tables)
        )
    assert not any(layer.tables for layer in reports[1].layers if layer.codec == "trellis")
    size = int(np.prod(kind.shape))
    values = np.random.default_rng(5).integers(-128, 128, (INPUTS, size)).astype(np.int8)
    results = [
        run_on(board, tmp_path / tables, out, values, defines)
        for tables, defines in (("ram", ()), ("flash", ("-DNCD_TRELLIS_PREPARED=1",)))
    ]
    assert [result.exit_code for result in results] == [0, 0], results[1].output
    assert results[0].output == results[1].output
    assert results[0].output.count("out=") >= INPUTS

"""Prepared tensors on every board: the levels that the host decodes, in the RAM, code and time that docs state."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from host import crc_by_extension
from samples import weights

import neuralcodec
from neuralcodec import Target
from neuralcodec.export_prepared import prepare

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))

from bench.emulated import decoded_prepared  # noqa: E402 (needs the line above)

pytestmark = pytest.mark.firmware

FRAMES = 16
"""Bytes of stack that firmware_decoder/tests/prepared.c itself takes at most, on a Cortex-M4, around a call."""


@pytest.fixture(scope="module")
def mixed() -> neuralcodec.CompressedModel:
    """Each coding, down columns and along rows, levels of both widths, rows that are left out; and other codecs."""
    state, overrides = {}, {}
    for i, coding in enumerate(("contexts", "rans", "prefix", "light")):
        for states, step, scan in ((8, 0.5, "rows"), (64, 0.1, "columns"), (8, 0.002, "rows")):
            name = f"{coding}.{states}.{step}"
            state[name] = weights(31, 67, seed=10 * i + states)
            overrides[name] = {"coding": coding, "states": states, "relative_step": step, "scan": scan}
    state["rows"] = weights(64, 40)
    state["rows"][torch.arange(64) % 4 != 1] = 0
    overrides["rows"] = {"coding": "light", "relative_step": 0.4, "scan": "rows"}
    state["bias"] = state["again"] = weights(33)
    state["few"], overrides["few"] = weights(20, 30), {"codec": "kmeans", "coding": "rans", "centroids": "int8"}
    return neuralcodec.encode(state, "trellis", tile=500, overrides=overrides)


@pytest.mark.parametrize("opt", ["-O2", "-Os"])
def test_every_coding(board: str, mixed: neuralcodec.CompressedModel, opt: str) -> None:
    result = decoded_prepared(mixed, board, opt)
    assert result.number("crc32") == crc_by_extension(mixed, tied=True)
    assert result.number("tensors") == len(mixed.entries)
    assert result.number("tensor_struct_bytes") == prepare(mixed).bytes_of_tensor


def open_ends() -> torch.Tensor:
    """Weights some of which lie so far out that tables leave them to open ends."""
    generator = torch.Generator().manual_seed(0)
    bell = torch.randn(128, 512, generator=generator)
    return torch.where(torch.rand(bell.shape, generator=generator) < 0.004, 5 * bell, bell)


@pytest.mark.parametrize("board", ["m4"], indirect=True)
@pytest.mark.parametrize(
    ("coding", "ram", "code", "instructions"),
    [("contexts", 96, 2048, 54.0), ("light", 64, 2048, 16.0), ("rans", 56, 2048, 14.5), ("prefix", 64, 2048, 12.0)],
)
def test_what_the_smallest_decoder_takes(board: str, coding: str, ram: int, code: int, instructions: float) -> None:
    """In one image: stack below a call, code, and instructions a weight."""
    options = {"coding": coding, "levels": "int8"}
    cm = neuralcodec.encode({"w": open_ends()}, "trellis", target=Target(bits_per_weight=3), **options)
    assert cm.levels("w")[0].dtype == torch.int8
    result = decoded_prepared(cm, board, "-Os")
    assert result.number("crc32") == crc_by_extension(cm, tied=True)
    assert result.number("tensor_struct_bytes") == prepare(cm).bytes_of_tensor
    assert result.number("stack_bytes") <= ram + FRAMES
    assert result.number("decoder_code_bytes") <= code
    assert result.number("trellis.per_weight_x100") <= 100 * instructions

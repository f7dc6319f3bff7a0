"""Codec generative on a large microcontroller: levels of 8 and 16 bits and exact bytes, as the host decodes them."""

from __future__ import annotations

from pathlib import Path

import emulator
import pytest
import torch
from host import crc_by_extension

import neuralcodec

pytestmark = pytest.mark.firmware

DEFINES = ["-DNCD_ENABLE_GENERATIVE=1", "-DWORKSPACE_BYTES=400000", "-DTILE_BYTES=16384"]


@pytest.mark.parametrize("board", ["m7"], indirect=True)
def test_same_as_on_the_host(board: str, out: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    smooth = torch.cumsum(torch.randn(40, 90, generator=generator), 1)
    at = torch.arange(96.0)
    curves = 10 * torch.stack([torch.sin(at / (3 + k % 7)) * (1 + k % 3) for k in range(60)])
    state = {"curves": curves + torch.randn(60, 96, generator=generator), "smooth": smooth, "wide": 300 * smooth}
    cm = neuralcodec.encode(state, "generative", step=0.5, tile=300, small=None, tune=True)
    assert cm.shared_bytes > 0  # a tuned prior
    blob = out / "model.ncd"
    blob.write_bytes(cm.to_bytes(names=False))
    result = emulator.run(board, emulator.build(board, blob, out, defines=DEFINES))
    assert result.exit_code == 0, result.output
    assert result.number("crc32") == crc_by_extension(cm)
    assert result.number("generative.weights") == sum(t.numel() for t in state.values())
    assert 0 < result.number("generative.per_weight_x100") < 100 * 10_000
    assert 0 < result.number("stack_bytes") <= 1536

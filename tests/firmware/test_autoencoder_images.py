"""Codec autoencoder on every board: the levels that both decoders of the host give, and what they cost."""

from __future__ import annotations

import zlib
from pathlib import Path

import emulator
import pytest
import torch

import neuralcodec
from neuralcodec import Target, reference

pytestmark = pytest.mark.firmware

ROOM = 8192
"""All state on a Cortex-M4: a tile of 16-bit levels, what is remembered, and the stack."""


@pytest.fixture(scope="module")
def smooth() -> torch.Tensor:
    """Weights that each tell of the next one."""
    w = torch.randn(128 * 96, generator=torch.Generator().manual_seed(0))
    for i in range(1, len(w)):
        w[i] = 0.9 * w[i - 1] + 0.436 * w[i]
    return w.reshape(128, 96)


@pytest.fixture(scope="module")
def mixed(smooth: torch.Tensor) -> neuralcodec.CompressedModel:
    """Levels of 8 and 16 bits, predicted and not, along rows and down columns, and with a tuned prior."""
    noise = torch.randn(40, 12, 3, 3, generator=torch.Generator().manual_seed(1))
    state = {
        "conv": noise,
        "down": smooth.T.contiguous()[:, :60],
        "plain": noise.reshape(30, -1),
        "smooth": smooth[:40],
    }
    state["tuned"] = torch.randn(90, 100, generator=torch.Generator().manual_seed(2)) ** 5
    overrides = {
        "down": {"tile": 60},
        "plain": {"taps": 0, "relative_step": 0.5},
        "conv": {"levels": "int8"},
        "tuned": {"tune": 1, "relative_step": 0.2},
    }
    return neuralcodec.encode(state, codec="autoencoder", relative_step=0.2, overrides=overrides)


@pytest.fixture(scope="module")
def crc32(mixed: neuralcodec.CompressedModel) -> int:
    """Of its levels, as the plain Python decoder gives them, tile by tile."""
    crc = 0
    for tensor in reference.read_stream(mixed.to_bytes()).tensors:
        size = reference.size_of_level(tensor)
        for i in range(reference.number_of_tiles(tensor)):
            levels = reference.decode_tile_levels(tensor, i)
            crc = zlib.crc32(b"".join(v.to_bytes(size, "little", signed=True) for v in levels), crc)
    return crc


def decode_on(board: str, cm: neuralcodec.CompressedModel, out: Path) -> emulator.Result:
    blob = out / "model.ncd"
    blob.write_bytes(cm.to_bytes(names=False))
    result = emulator.run(board, emulator.build(board, blob, out))
    assert result.exit_code == 0, result.output
    return result


OTHERS = [pytest.param(each, marks=pytest.mark.slow) for each in ("m3", "m7", "m33", "m55")]


@pytest.mark.parametrize("board", ["m0", "m4", "rv32", *OTHERS], indirect=True)
def test_levels_are_those_of_the_host(board: str, out: Path, mixed: neuralcodec.CompressedModel, crc32: int) -> None:
    assert mixed.report().rows[-1].reason.endswith("prior in the file")
    result = decode_on(board, mixed, out)
    assert result.number("crc32") == crc32
    assert result.number("autoencoder.weights") == sum(entry.spec.size for entry in mixed.entries)


@pytest.mark.parametrize("board", ["m4"], indirect=True)
def test_state_fits_in_8_kb(board: str, out: Path, smooth: torch.Tensor) -> None:
    wide = torch.cat([smooth, smooth.flip(0)], 0).reshape(24, 1024)
    cm = neuralcodec.encode({"w": wide}, codec="autoencoder", target=Target(bits_per_weight=3))
    result = decode_on(board, cm, out)
    tile = 2048 * (2 if cm.levels("w")[0].dtype == torch.int16 else 1)
    assert result.number("table_bytes") == 4 + 2 * 1024
    assert tile + result.number("table_bytes") + result.number("stack_bytes") <= ROOM
    # What docs/models.md says of the time.
    assert result.number("autoencoder.per_weight_x100") <= 100 * 260

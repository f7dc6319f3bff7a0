"""Codec regression on every board: each regressor, as both decoders of the host decode it, and what it takes."""

from __future__ import annotations

import zlib
from pathlib import Path

import emulator
import pytest
import torch
from host import crc_by_extension

import neuralcodec
from neuralcodec import reference

pytestmark = pytest.mark.firmware


@pytest.fixture(scope="session")
def every() -> neuralcodec.CompressedModel:
    """Rows, expressions and bases, with and without a residual, of 8 and of 16 bits."""
    made = torch.Generator().manual_seed(0)
    low = torch.randn(40, 3, generator=made) @ torch.randn(3, 60, generator=made)
    states = {f"{r}.{i}": low + 0.1 * i for r in ("rows", "expression", "basis") for i in range(3)}
    overrides: dict[str, dict[str, object]] = {
        f"{r}.*": {"regressor": r, "generations": 100} for r in ("rows", "expression", "basis")
    }
    overrides = {
        name: {
            **overrides[name.split(".")[0] + ".*"],
            "residual": name.endswith("1"),
            "relative_step": 0.002 if name.endswith("2") else 0.2,
        }
        for name in states
    }
    return neuralcodec.encode(states, "regression", tile=700, overrides=overrides)


def test_every_regressor(board: str, out: Path, every: neuralcodec.CompressedModel) -> None:
    crc = 0
    for tensor in reference.read_stream(every.to_bytes()).tensors:
        levels = reference.decode_levels(tensor)
        wide = every.levels(tensor.name)[0]
        assert wide.reshape(-1).tolist() == levels
        crc = zlib.crc32(wide.contiguous().numpy().tobytes(), crc)
    (blob := out / "model.ncd").write_bytes(every.to_bytes(names=False))
    result = emulator.run(board, emulator.build(board, blob, out))
    assert result.exit_code == 0, result.output
    assert result.number("crc32") == crc
    assert 0 < result.number("stack_bytes") <= 1024
    assert all(result.number(f"regression.{r}.weights") == 3 * 40 * 60 for r in ("rows", "expression", "basis"))


@pytest.mark.parametrize("board", ["m4"], indirect=True)
def test_instructions_a_weight(board: str, out: Path) -> None:
    """Sums of eight stored rows, and blocks of eight weights with three vectors."""
    made = torch.Generator().manual_seed(0)
    low = torch.randn(64, 8, generator=made) @ torch.randn(8, 256, generator=made)
    plain = torch.randn(64, 256, generator=made)
    settings = {"a": {"regressor": "rows", "relative_step": 0.15}, "b": {"regressor": "basis"}}
    cm = neuralcodec.encode({"a": low, "b": plain}, "regression", residual=False, tile=1024, overrides=settings)
    assert cm.levels("a")[0].dtype == torch.int8
    (blob := out / "model.ncd").write_bytes(cm.to_bytes(names=False))
    result = emulator.run(board, emulator.build(board, blob, out))
    assert result.exit_code == 0, result.output
    for kind in ("rows", "basis"):
        assert result.number(f"regression.{kind}.per_weight_x100") <= 3000


@pytest.fixture(scope="module")
def sums() -> neuralcodec.CompressedModel:
    """Sums of eight of some sixty rows, with a residual and without."""
    made = torch.Generator().manual_seed(0)
    low = torch.randn(256, 50, generator=made) @ torch.randn(50, 256, generator=made)
    settings = {"plain": {"residual": False}, "residual": {"residual": True}}
    options = {"regressor": "rows", "terms": 8, "relative_step": 0.15, "tile": 1024}
    return neuralcodec.encode({"plain": low, "residual": -low}, "regression", overrides=settings, **options)


@pytest.mark.parametrize(("board", "share"), [("m0", 0), ("m4", 0), ("m4", 50)], indirect=["board"])
def test_a_smaller_workspace(board: str, out: Path, sums: neuralcodec.CompressedModel, share: int) -> None:
    """The same levels from less memory: with one tile of the stored rows at a time, and with half of them kept."""
    (blob := out / "sums.ncd").write_bytes(sums.to_bytes(names=False))
    most = 8192 if share == 0 else 12_288  # all stored rows take 16 KB
    defines = [f"-DWORKSPACE_SHARE={share}u", f"-DWORKSPACE_BYTES={most}u", "-DTILE_BYTES=2048"]
    result = emulator.run(board, emulator.build(board, blob, out, defines=defines))
    assert result.exit_code == 0, result.output
    assert result.number("crc32") == crc_by_extension(sums)
    assert result.number("table_bytes") <= most
    assert result.number("regression.rows.per_weight_x100") > 10_000  # each tile decodes stored rows anew

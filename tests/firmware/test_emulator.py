"""The runner's own manners: what it says when something is missing or hangs."""

from __future__ import annotations

from pathlib import Path

import emulator
import pytest
from every_mode import every_mode


def test_missing_tools_are_named_with_the_way_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = emulator.available("m4")
    assert reason is not None
    assert "arm-none-eabi-gcc" in reason
    assert "apt-get install make gcc-arm-none-eabi qemu-system-arm" in reason
    everything = emulator.available()
    assert everything is not None
    assert "qemu-system-misc" in everything
    with pytest.raises(emulator.BuildError, match="make"):
        emulator.build("m4", tmp_path / "model.ncd", tmp_path)


def test_board_table_is_complete() -> None:
    assert list(emulator.BOARDS) == ["m0", "m3", "m4", "m7", "m33", "m55", "rv32"]
    assert emulator.BOARDS["m0"].ram_bytes == 16 * 1024
    assert emulator.BOARDS["m4"].options[-2:] == ("-icount", "shift=8")


def test_unknown_board_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no board 'z80'"):
        emulator.build("z80", tmp_path / "model.ncd", tmp_path)


@pytest.mark.firmware
def test_missing_or_too_large_models_are_build_errors(board: str, out: Path) -> None:
    with pytest.raises(emulator.BuildError, match="no such file"):
        emulator.build(board, out / "not_there.ncd", out)
    blob = out / "large.ncd"
    blob.write_bytes(bytes(emulator.BOARDS[board].flash_bytes))
    with pytest.raises(emulator.BuildError, match="overflowed"):
        emulator.build(board, blob, out)


@pytest.mark.firmware
@pytest.mark.parametrize("board", ["m4"], indirect=True)
def test_a_run_that_does_not_end_is_stopped(board: str, out: Path) -> None:
    blob = out / "model.ncd"
    blob.write_bytes(every_mode().stream)
    elf = emulator.build(board, blob, out)
    with pytest.raises(emulator.EmulatorTimeoutError, match="did not end"):
        emulator.run(board, elf, timeout=0.001)

"""Images for emulated boards decode what the host decodes."""

from __future__ import annotations

from pathlib import Path

import emulator
import pytest
from every_mode import every_mode, fully_connected

pytestmark = pytest.mark.firmware

on_one_board = pytest.mark.parametrize("board", ["m4"], indirect=True)
"""For what no board does differently."""

STACK_BOUND = 512
"""Bytes of stack that open, prepare and decode together may take on any board at -O2."""


PROBES = Path(__file__).parent / "probes"


def image(board: str, stream: bytes, folder: Path, example: str = "decode_all", *defines: str) -> Path:
    blob = folder / "model.ncd"
    blob.write_bytes(stream)
    return emulator.build(board, blob, folder, example, defines=defines)


def test_port_counts_instructions_and_stack_exactly(board: str, out: Path) -> None:
    blob = out / "none"
    blob.write_bytes(b"-")
    result = emulator.run(board, emulator.build(board, blob, out, "measure", examples=PROBES))
    assert result.exit_code == 0, result.output
    assert result.number("nothing") <= 1  # keeping the first reading may take one
    call = result.number("turns.1")
    for turns in (2, 10, 1000, 100_000):
        assert result.number(f"turns.{turns}") - call == 2 * (turns - 1)
    assert 400 <= result.number("stack") <= 640  # ten frames with an array of 40 bytes
    assert result.number("stack.untouched") <= 16


def test_fault_ends_the_run(board: str, out: Path) -> None:
    blob = out / "none"
    blob.write_bytes(b"-")
    result = emulator.run(board, emulator.build(board, blob, out, "fault", examples=PROBES))
    assert result.exit_code == emulator.FAULT
    assert result.values == {"before": "1", "error": "fault"}


def test_every_mode_decodes_as_built(board: str, out: Path) -> None:
    expected = every_mode()
    elf = image(board, expected.stream, out)
    result = emulator.run(board, elf)
    assert result.exit_code == 0, result.output
    assert result.values["board"] == board
    assert result.number("stream_bytes") == len(expected.stream)
    assert result.number("tensors") == expected.tensors
    assert result.number("tied") == expected.tied
    assert result.number("tiles") == expected.tiles
    assert result.number("weights") == sum(expected.weights.values())
    for kind, weights in expected.weights.items():
        assert result.number(f"{kind}.weights") == weights
        assert result.number(f"{kind}.per_weight_x100") > 0
    assert result.number("crc32") == expected.crc32
    assert 0 < result.number("stack_bytes") <= STACK_BOUND
    assert emulator.run(board, elf).output == result.output, "counts differ from run to run"


@pytest.mark.parametrize("tile", [512, 128, 32], ids=["one_tile", "whole_rows", "parts_of_rows"])
def test_minimal_example_is_a_dot_product(board: str, out: Path, tile: int) -> None:
    stream, weights = fully_connected(12, 40, tile)
    x = [i * 7 % 31 - 15 for i in range(40)]
    result = emulator.run(board, image(board, stream, out, "minimal"))
    assert result.exit_code == 0, result.output
    y = [sum(w * v for w, v in zip(weights[r * 40 : r * 40 + 40], x, strict=True)) for r in range(12)]
    assert [int(v) for v in result.values["y"].split()] == y


def test_stream_of_the_minimal_example_is_reproducible() -> None:
    committed = emulator.PORTS.parent / "examples" / "minimal" / "fc.ncd"
    assert committed.read_bytes() == fully_connected(12, 40, 128)[0]


@on_one_board
def test_damage_is_reported(board: str, out: Path) -> None:
    stream = bytearray(every_mode().stream)
    stream[-1] ^= 1  # in the payload of the last tensor that has one
    result = emulator.run(board, image(board, bytes(stream), out))
    assert result.exit_code == 1
    assert result.values["error"] == "check"
    assert result.values["error.tensor"] == "13"
    assert result.number("error.status") == -7


@on_one_board
def test_a_tile_that_does_not_fit_is_reported(board: str, out: Path) -> None:
    result = emulator.run(board, image(board, every_mode().stream, out, "decode_all", "-DTILE_BYTES=512"))
    assert result.exit_code == 1
    assert result.values["error"] == "decode"
    assert result.values["error.tensor"] == "1"  # 1,024 bytes a tile; the one before has 280
    assert result.values["error.tile"] == "0"
    assert result.number("error.status") == -5

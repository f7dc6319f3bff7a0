"""Boards as fixtures: a test that wants `board` runs on each, or is skipped with the reason why it cannot."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "firmware_decoder" / "ports"), str(ROOT / "tests")]

import emulator  # noqa: E402


@pytest.fixture(params=list(emulator.BOARDS), scope="session")
def board(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    reason = emulator.available(name)
    if reason is not None:
        pytest.skip(f"board {name}: {reason}")
    return name


@pytest.fixture(scope="session")
def out(board: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a board's images. One for all tests, so that the decoder is compiled once."""
    return tmp_path_factory.mktemp(board)

"""A real network decodes on every board to what both decoders of the host give."""

from __future__ import annotations

import zlib
from pathlib import Path

import emulator
import pytest
from host import crc_by_extension

import neuralcodec
from neuralcodec import reference

pytestmark = pytest.mark.firmware

STACK_BOUND = 512


@pytest.fixture(scope="session")
def four_bits(silero_path: Path) -> neuralcodec.CompressedModel:
    return neuralcodec.encode(silero_path, codec="huffman", bits=4)


@pytest.fixture(scope="session")
def crc_by_reference(four_bits: neuralcodec.CompressedModel) -> int:
    """Of the plain Python decoder; takes seconds, once."""
    crc = 0
    for tensor in reference.read_stream(four_bits.to_bytes()).tensors:
        if tensor.target is not None:
            continue
        if reference.has_levels(tensor):
            crc = zlib.crc32(bytes(level & 255 for level in reference.decode_levels(tensor)), crc)
        else:
            crc = zlib.crc32(reference.decode_bytes(tensor), crc)
    return crc


def decode_on(board: str, cm: neuralcodec.CompressedModel, out: Path, names: bool = True) -> emulator.Result:
    blob = out / "model.ncd"
    blob.write_bytes(cm.to_bytes(names))
    result = emulator.run(board, emulator.build(board, blob, out))
    assert result.exit_code == 0, result.output
    own = [entry.spec for entry in cm.entries if entry.tied_to is None]
    assert result.number("tensors") == len(own)
    assert result.number("tied") == len(cm.entries) - len(own)
    assert result.number("tiles") == sum(cm.tiles(spec.name) for spec in own)
    assert result.number("weights") == sum(spec.size for spec in own)
    assert result.number("crc32") == crc_by_extension(cm)
    assert 0 < result.number("stack_bytes") <= STACK_BOUND
    return result


def test_four_bits_on_every_board(
    board: str, out: Path, four_bits: neuralcodec.CompressedModel, crc_by_reference: int
) -> None:
    result = decode_on(board, four_bits, out)
    assert result.number("crc32") == crc_by_reference
    assert result.number("huffman.levels.weights") > 300_000
    again = emulator.run(board, out / f"decode_all.{board}.elf")
    assert again.output == result.output, "counts differ from run to run"


@pytest.mark.parametrize("board", ["m4"], indirect=True)
def test_without_names(board: str, out: Path, four_bits: neuralcodec.CompressedModel) -> None:
    decode_on(board, four_bits, out, names=False)


@pytest.mark.parametrize("board", ["m4", "rv32"], indirect=True)  # a megabyte: more than the flash of some others
def test_lossless(board: str, out: Path, silero_path: Path) -> None:
    result = decode_on(board, neuralcodec.encode(silero_path, codec="huffman", lossless=True), out)
    assert result.number("huffman.lossless.weights") > 300_000

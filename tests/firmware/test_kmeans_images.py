"""Codec kmeans on every board: indices of each coding, centroids of each kind, as the host decodes them."""

from __future__ import annotations

from pathlib import Path

import emulator
import pytest
import torch
from host import crc_by_extension

import neuralcodec

pytestmark = pytest.mark.firmware

WAYS = ("fixed", "prefix", "rans")


@pytest.fixture(scope="session")
def model() -> neuralcodec.CompressedModel:
    """Tensors of bell-shaped weights, one for each way through the decoder."""
    states, overrides = {}, {}
    for i, coding in enumerate(("fixed", "huffman", "rans")):
        for centroids in ("int8", "fp16"):
            for clusters in (2, 7, 16, 40, 129):
                name = f"{coding}.{centroids}.{clusters}"
                generator = torch.Generator().manual_seed(1000 * i + clusters)
                states[name] = torch.randn(31, 67, generator=generator)
                overrides[name] = {"coding": coding, "centroids": centroids, "clusters": clusters}
        name = f"{coding}.groups"
        states[name] = torch.randn(31, 67, generator=torch.Generator().manual_seed(i))
        overrides[name] = {"coding": coding, "centroids": "int8", "group": 5, "scale": "row", "clusters": 9}
    return neuralcodec.encode(states, codec="kmeans", tile=300, overrides=overrides)


def test_every_way(board: str, out: Path, model: neuralcodec.CompressedModel) -> None:
    blob = out / "model.ncd"
    blob.write_bytes(model.to_bytes(names=False))
    result = emulator.run(board, emulator.build(board, blob, out))
    assert result.exit_code == 0, result.output
    assert result.number("crc32") == crc_by_extension(model)
    for way in WAYS:
        assert result.number(f"kmeans.{way}.weights") == 11 * 31 * 67
    assert 0 < result.number("stack_bytes") <= 512


@pytest.mark.parametrize("board", ["m4"], indirect=True)
@pytest.mark.parametrize(
    ("options", "limit"),
    [
        *(({"coding": "fixed", "clusters": 2**bits}, 8) for bits in range(1, 9)),
        ({"coding": "huffman", "clusters": 16}, 9.1),
        ({"coding": "rans", "clusters": 16}, 13),
    ],
    ids=str,
)
def test_instructions_a_weight(board: str, out: Path, options: dict[str, object], limit: float) -> None:
    """As fast as docs say, on the Cortex-M4 with int8 centroids."""
    weights = torch.randn(128, 512, generator=torch.Generator().manual_seed(0))
    cm = neuralcodec.encode({"w": weights}, codec="kmeans", centroids="int8", **options)
    blob = out / "model.ncd"
    blob.write_bytes(cm.to_bytes(names=False))
    result = emulator.run(board, emulator.build(board, blob, out))
    way = {"fixed": "fixed", "huffman": "prefix", "rans": "rans"}[str(options["coding"])]
    assert result.number(f"kmeans.{way}.per_weight_x100") <= 100 * limit


@pytest.mark.parametrize("board", ["m0", "m4", "rv32"], indirect=True)
@pytest.mark.parametrize("coding", ["fixed", "huffman", "rans"])
def test_a_layer_by_sums_over_indices(board: str, out: Path, coding: str) -> None:
    weights = torch.randn(20, 300, generator=torch.Generator().manual_seed(0))
    cm = neuralcodec.encode({"w": weights}, codec="kmeans", centroids="int8", clusters=13, coding=coding)
    blob = out / "model.ncd"
    blob.write_bytes(cm.to_bytes(names=False))
    result = emulator.run(board, emulator.build(board, blob, out, "lookup"))
    assert result.exit_code == 0, result.output
    x = torch.arange(300) * 7 % 255 - 127
    expected = cm.levels("w")[0].long() @ x
    assert [int(v) for v in result.values["y"].split()] == expected.tolist()

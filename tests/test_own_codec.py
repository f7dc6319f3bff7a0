"""The codec of docs/own_codec.py, as a third party would add it."""

import dataclasses
import importlib.util
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from samples import weights

import neuralcodec
from neuralcodec import registry

PAGE = Path(__file__).parent.parent / "docs" / "own_codec.py"


@pytest.fixture
def signs(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    spec = importlib.util.spec_from_file_location("own_codec", PAGE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "own_codec", module)
    spec.loader.exec_module(module)
    return module.Signs


def test_it_works_end_to_end(signs, tmp_path):
    tensor = weights(64, 100)
    cm = neuralcodec.encode({"w": tensor, "b": weights(64)}, codec="signs")
    neuralcodec.save(cm, tmp_path / "m")
    decoded = neuralcodec.decode(tmp_path / "m")
    assert torch.equal(decoded["b"], weights(64))
    magnitudes = tensor.double().abs().mean(1, keepdim=True).float()
    assert torch.equal(decoded["w"], torch.where(tensor < 0, -magnitudes, magnitudes))
    row = {r.name: r for r in cm.report().rows}["w"]
    assert row.codec == "signs"
    assert row.bits_per_weight == pytest.approx(1 + 32 / 100, abs=0.01)
    assert np.array_equal(neuralcodec.load(tmp_path / "m").decode_tile("w", 0), decoded["w"])
    assert "signs" in neuralcodec.codec_names()


def test_without_the_codec_the_file_says_what_is_missing(signs, tmp_path, monkeypatch):
    neuralcodec.save(neuralcodec.encode({"w": weights(64, 100), "b": weights(9)}, codec="signs"), tmp_path / "m")
    monkeypatch.setattr(registry, "_registered", {})
    cm = neuralcodec.load(tmp_path / "m")
    assert torch.equal(cm.decode("b"), weights(9))
    with pytest.raises(neuralcodec.UnsupportedError, match=r"tensor 'w'.*signs"):
        cm.decode("w")


def test_a_hostile_payload_is_named(signs):
    spec = neuralcodec.encode({"w": weights(64, 100)}, codec="signs").entries[0].spec
    with pytest.raises(neuralcodec.CorruptError, match="tensor 'w'"):
        signs().decode(b"short", spec, ())


def test_entry_points_of_others(signs, monkeypatch):
    """One that is broken does not hide the others, and a name that one has is taken."""
    own = [EntryPoint("ghost", "nomodule:Ghost", registry.ENTRY_POINT_GROUP), EntryPoint("signs", "a:B", "")]
    usual = registry.entry_points

    def entry_points(group, name=None):
        return [*(usual(group=group, name=name) if name else usual(group=group)),
                *(each for each in own if name in (None, each.name))]  # fmt: skip

    monkeypatch.setattr(registry, "entry_points", entry_points)
    described = {each.name: each for each in neuralcodec.describe_codecs()}
    assert "not here: codec 'ghost' cannot be loaded from nomodule:Ghost" in described["ghost"].summary
    assert described["trellis"].options
    monkeypatch.setattr(registry, "_registered", {})
    with pytest.raises(neuralcodec.RegistryError, match="'signs' exists already: a:B"):
        registry.register(signs)


def test_the_header_of_a_stream_says_what_firmware_refuses(signs, tmp_path):
    cm = neuralcodec.encode({"w": weights(64, 100), "b": weights(9)}, codec="signs")
    header = neuralcodec.export_c(cm, tmp_path / "x.c")[1].read_text(encoding="utf-8")
    (refused,) = (line for line in header.splitlines() if "refuses" in line)
    assert "X_W 1u" in refused
    assert "of codec signs, which ncd_tensor_open() refuses" in refused


def test_nothing_is_silently_replaced(signs):
    registry.register(signs)  # the same class again is no harm

    @dataclasses.dataclass(frozen=True)
    class Other(signs):
        lossy: ClassVar[bool] = True

    with pytest.raises(neuralcodec.RegistryError, match="'signs' exists already"):
        registry.register(Other)
    Other.name = "huffman"
    with pytest.raises(neuralcodec.RegistryError, match="'huffman' exists already"):
        registry.register(Other)
    Other.name, Other.number = "mine", 2
    with pytest.raises(neuralcodec.RegistryError, match="number 2"):
        registry.register(Other)
    with pytest.raises(neuralcodec.RegistryError, match="not a codec"):
        registry.register(int)

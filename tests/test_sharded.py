"""Models in several safetensors files with an index."""

import json

import command
import pytest
import torch
from safetensors.torch import load_file, save_file
from samples import weights

import neuralcodec
from neuralcodec.errors import SourceError

INDEX = "model.safetensors.index.json"


@pytest.fixture
def state():
    return {f"layer.{i}.{kind}": weights(*shape, seed=i) for i in range(5) for kind, shape in SHAPES.items()}


SHAPES = {"weight": (64, 128), "bias": (64,)}


def sharded(state, folder, count=3, metadata=None):
    """The path of the index of a model in as many files; tensors are dealt out like cards."""
    names = list(state)
    weight_map = {}
    for shard in range(count):
        file = f"model-{shard + 1:05}-of-{count:05}.safetensors"
        save_file({name: state[name] for name in names[shard::count]}, folder / file, metadata or {"format": "pt"})
        weight_map |= dict.fromkeys(names[shard::count], file)
    path = folder / INDEX
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return path


def test_files_are_one_model(state, tmp_path):
    save_file(state, tmp_path / "whole.safetensors", {"format": "pt"})
    index = sharded(state, tmp_path)
    of_index = neuralcodec.encode(index, target=neuralcodec.Target(bits_per_weight=4))
    of_file = neuralcodec.encode(tmp_path / "whole.safetensors", target=neuralcodec.Target(bits_per_weight=4))
    assert of_index.to_bytes() == of_file.to_bytes()
    assert of_index.metadata == {"format": "pt"}
    assert not neuralcodec.verify(of_index, index).problems
    other = dict(state) | {"layer.3.bias": state["layer.3.bias"] + 1}
    assert neuralcodec.verify(of_index, sharded(other, tmp_path)).problems


def test_metadata_are_what_no_two_files_contradict(state, tmp_path):
    index = sharded(state, tmp_path, 2, {"format": "pt", "part": "1"})
    second = tmp_path / "model-00002-of-00002.safetensors"
    save_file(load_file(second), second, {"format": "pt", "part": "2", "of": "it"})
    assert neuralcodec.encode(index, lossless=True).metadata == {"format": "pt", "of": "it"}


def test_on_the_command_line(state, tmp_path):
    index = sharded(state, tmp_path)
    assert command.neuralcodec("encode", index).returncode == 0
    small = tmp_path / "model.nc.safetensors"
    assert command.neuralcodec("verify", small, index).returncode == 0
    assert command.neuralcodec("decode", small, "-o", tmp_path / "back.safetensors").returncode == 0
    assert load_file(tmp_path / "back.safetensors").keys() == state.keys()
    shard = tmp_path / "model-00002-of-00003.safetensors"
    before = shard.read_bytes()
    done = command.neuralcodec("encode", index, "-o", shard)
    assert done.returncode == 2
    assert "is the input" in done.stderr
    assert shard.read_bytes() == before
    shard.unlink()
    done = command.neuralcodec("encode", index, "-o", small)
    assert done.returncode == 4
    assert shard.name in done.stderr


def broken(change):
    def changed(index):
        found = json.loads(index.read_text())
        index.write_text(json.dumps(change(found) or found))

    return changed


BROKEN = {
    "no weight_map": broken(lambda found: {"metadata": {}}),
    "no weight_map ": broken(lambda found: [1]),
    "no weight_map  ": broken(lambda found: {"weight_map": {}}),
    "not an index": lambda index: index.write_bytes(b"\xff{"),
    "not an index ": lambda index: index.write_bytes(b"[" * 100_000),
    "more than once": lambda index: index.write_text('{"weight_map": {"a": "b", "a": "c"}}'),
    "does not have it": broken(lambda found: found["weight_map"].update(nothing="model-00001-of-00003.safetensors")),
    "does not say so": broken(lambda found: found["weight_map"].pop("layer.1.bias") and None),
    "no such file": broken(lambda found: found["weight_map"].update({"layer.1.bias": "other.safetensors"})),
    "no name of a file": broken(lambda found: found["weight_map"].update({"layer.1.bias": "../x.safetensors"})),
    "no name of a file ": broken(lambda found: found["weight_map"].update({"layer.1.bias": "/etc/passwd"})),
    "no name of a file  ": broken(lambda found: found["weight_map"].update({"layer.1.bias": 3})),
    "no name of a file   ": broken(lambda found: found["weight_map"].update({"layer.1.bias": "\ud800"})),
    "no name of a file    ": broken(lambda found: found["weight_map"].update({"layer.1.bias": ".."})),
    "does not have it ": broken(
        lambda found: found["weight_map"].update({"\ud800": "model-00001-of-00003.safetensors"})
    ),
    "not a safetensors file": lambda index: (index.parent / "model-00002-of-00003.safetensors").write_bytes(b"nothing"),
}


@pytest.mark.parametrize("said", BROKEN)
def test_an_index_that_does_not_fit(state, tmp_path, said):
    index = sharded(state, tmp_path)
    BROKEN[said](index)
    with pytest.raises(SourceError, match=said.strip()):
        neuralcodec.encode(index)
    done = command.neuralcodec("encode", index)
    assert done.returncode in {1, 4}
    assert "Traceback" not in done.stderr


def test_a_folder_is_no_model(state, tmp_path):
    sharded(state, tmp_path)
    with pytest.raises(SourceError, match="it is a folder"):
        neuralcodec.encode(tmp_path)


def test_an_index_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        neuralcodec.encode(tmp_path / INDEX)
    assert command.neuralcodec("encode", tmp_path / INDEX).returncode == 4


def test_a_tensor_in_two_files(state, tmp_path):
    index = sharded(state, tmp_path)
    second = tmp_path / "model-00002-of-00003.safetensors"
    save_file(load_file(second) | {"layer.0.weight": torch.zeros(2)}, second)
    with pytest.raises(SourceError, match="does not say so"):
        neuralcodec.encode(index)

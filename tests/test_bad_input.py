"""What is not what was asked for, and weights at the ends of their range: clear errors, and nothing lost silently."""

import contextlib
import math
import multiprocessing
import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing._internal.two_tensor import TwoTensor

import neuralcodec
from neuralcodec import NeuralCodecError, PlanError, SourceError, Target, registry
from neuralcodec.codec import NAMED
from neuralcodec.stream.store import PayloadStore
from neuralcodec.tensor import from_float32

LOSSY = ("trellis", "huffman", "kmeans", "autoencoder", "generative", "regression")


def bell(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"target": 4}, "target: a Target expected"),
        ({"include": re.compile("w")}, "include: a shell pattern"),
        ({"exclude": [5]}, "exclude: a shell pattern"),
        ({"include": b"w"}, "include: a shell pattern"),
        ({"overrides": [1]}, "overrides: a mapping"),
        ({"overrides": {"w": None}}, "overrides for 'w': options of a tensor"),
        ({"importance": 5}, "importance: a mapping"),
        ({"executor": 5}, "executor: one of concurrent.futures"),
        ({"codec": "huffman", "lossless": "no"}, "lossless: True or False expected, not 'no'"),
        ({"codec": "kmeans", "zero": []}, "zero: True or False expected"),
        ({"codec": "kmeans", "table_bits": None}, "table_bits: an integer expected"),
        ({"codec": "kmeans", "step": 1e300}, "step: a number from"),
        ({"codec": "trellis", "states": 4.0}, "states: an integer or None expected, not 4.0"),
        ({"codec": "trellis", "rdo": 1e30}, "rdo: a number from 0 to"),
        ({"codec": "trellis", "coding": "lite"}, "coding: 'contexts', 'light', 'rans' or 'prefix' expected"),
        ({"codec": "generative", "tune": None}, "tune: True, False or an integer expected"),
    ],
)
def test_arguments_of_a_wrong_type_are_named(given, said):
    with pytest.raises(PlanError, match=re.escape(said)):
        neuralcodec.encode({"w": bell(20, 30)}, **given)


def test_a_codec_that_is_set_up_is_looked_at_too():
    with pytest.raises(PlanError, match="states: an integer or None expected"):
        neuralcodec.encode({"w": bell(20, 30)}, registry.codec_class("trellis")(states=4.0))


def test_numbers_of_numpy_are_numbers():
    state = {"w": bell(60, 60)}
    plain = neuralcodec.encode(state, "trellis", Target(bits_per_weight=4), states=8).to_bytes()
    typed = Target(bits_per_weight=np.float32(4))
    assert neuralcodec.encode(state, "trellis", typed, states=np.int64(8)).to_bytes() == plain
    assert type(typed.bits_per_weight) is float
    assert type(Target(max_bytes=np.int64(1000)).max_bytes) is int
    for bad in (True, "3", -1, math.nan):
        with pytest.raises(ValueError, match="must be a positive number"):
            Target(bits_per_weight=bad)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (nn.LazyLinear(3), "'weight': the parameter has no shape yet"),
        ({"w": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)}, "'w': only dense"),
        ({"w": np.ma.masked_array(np.zeros((3, 3)), np.eye(3))}, "'w': a masked array"),
    ],
)
def test_sources_without_weights_of_their_own_are_named(model, said):
    with pytest.raises(SourceError, match=said):
        neuralcodec.encode(model)


def test_a_field_of_packed_records_is_an_array():
    records = np.zeros(1000, [("flag", "u1"), ("weight", "<f4")])
    records["weight"] = bell(1000).numpy()
    cm = neuralcodec.encode({"w": records["weight"]}, lossless=True)
    assert cm.decode("w").equal(torch.from_numpy(records["weight"].copy()))


def test_views_of_one_memory_that_show_other_numbers_are_not_tied():
    z = torch.complex(bell(20, 30), bell(20, 30, seed=1))
    cm = neuralcodec.encode({"a": z, "b": z.conj(), "c": z}, lossless=True)
    assert cm.decode("b").equal(z.conj().resolve_conj())
    assert [entry.tied_to for entry in cm.entries] == [None, None, "a"]
    cm = neuralcodec.encode({"a": z.imag, "b": z.conj().imag}, lossless=True)
    assert cm.decode("b").equal(-z.imag)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("codec", LOSSY)
def test_a_causal_mask_stays_finite(codec, dtype):
    mask = torch.triu(torch.full((40, 40), torch.finfo(dtype).min, dtype=dtype), 1)
    for options in ({}, *([{"scale": "row"}, {"centroids": "int8", "scale": "row"}] if codec == "kmeans" else [])):
        cm = neuralcodec.encode({"mask": mask}, codec, **options)
        assert cm.decode("mask").isfinite().all()
        (row,) = cm.report().rows
        assert row.snr_db is None or row.snr_db > 30


@pytest.mark.parametrize("codec", LOSSY)
def test_weights_of_any_magnitude_are_as_good(codec):
    least = neuralcodec.encode({"w": bell(40, 60)}, codec).report().snr_db - 1
    for scale in (1e-30, 1e-8, 1e5, 1e30):
        assert neuralcodec.encode({"w": bell(40, 60) * scale}, codec).report().snr_db > least


@pytest.mark.parametrize("codec", LOSSY)
def test_weights_too_small_for_float32_steps_are_kept(codec):
    for weights in (bell(40, 60).double() * 1e-50, bell(40, 60) * 1e-41, bell(40, 60) * 1e-35):
        cm = neuralcodec.encode({"w": weights}, codec)
        assert cm.decode("w").equal(weights)
        assert cm.report().rows[0].reason.startswith("exact: too small for steps of float32")


SIGNS = torch.where(bell(64, 64) > 0, 1.0, -1.0)


@pytest.mark.parametrize("codec", LOSSY)
@pytest.mark.parametrize(
    "weights",
    [
        SIGNS * 3.4e38,
        (SIGNS * 65504).half(),
        SIGNS.half() * (bell(64, 64, seed=1).abs() * 30 + 65300).clamp(max=65504).half(),
        (SIGNS * 3.3e38).bfloat16(),
        bell(64, 64) * 8e37,
    ],
    ids=["signs", "signs-fp16", "near-fp16", "signs-bf16", "bell"],
)
def test_targets_of_weights_at_the_end_of_their_range(codec, weights):
    """They are met, or what is nearest is told."""
    for target in (Target(bits_per_weight=2), Target(bits_per_weight=6), Target(snr_db=20), Target(snr_db=50)):
        with contextlib.suppress(PlanError):
            assert neuralcodec.encode({"w": weights}, codec, target).decode("w").isfinite().all()


def test_errors_of_doubles_are_those_of_doubles():
    weights = bell(40, 60).double() + 1e-10
    cm = neuralcodec.encode({"w": weights}, "trellis", step=0.1)
    off = cm.decode("w") - weights
    assert cm.report().snr_db == pytest.approx(float(10 * torch.log10(weights.square().sum() / off.square().sum())))


def test_what_cannot_be_loaded_into_is_named():
    cm = neuralcodec.encode(nn.Linear(40, 30))
    with pytest.raises(NeuralCodecError, match=r"'bias'.*meta device"):
        cm.load_into(nn.Linear(40, 30, device="meta"))
    with pytest.raises(NeuralCodecError, match="other shape: 'weight'"):
        cm.load_into(nn.Linear(41, 30), strict=False)
    with pytest.raises(NeuralCodecError, match=r"'weight'.*no shape yet"):
        cm.load_into(nn.LazyLinear(30))
    expanded = nn.Linear(40, 30)
    expanded.weight = nn.Parameter(torch.zeros(1, 40).expand(30, 40))
    with pytest.raises(NeuralCodecError, match=r"'weight'.*expanded"):
        cm.load_into(expanded)


class WithState(nn.Linear):
    def get_extra_state(self):
        return {"version": 1}

    def set_extra_state(self, state):
        raise AssertionError(state)


def test_extra_state_is_left_alone():
    linear, into = nn.Linear(40, 30), WithState(40, 30)
    cm = neuralcodec.encode(linear)
    assert cm.load_into(into) == neuralcodec.encode(linear).load_into(nn.Linear(40, 30))
    assert into.bias.equal(linear.bias)
    with pytest.warns(UserWarning, match=r"extra state of modules is not encoded: 0\._extra_state$"):
        assert list(neuralcodec.encode(nn.Sequential(into))) == ["0.bias", "0.weight"]


class Counting(nn.Module):
    """Its extra state is a tensor."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(32, 32)
        self.counter = 0

    def get_extra_state(self):
        return torch.tensor([self.counter] * max(self.counter, 1))

    def set_extra_state(self, state):
        self.counter = int(state[0])


def test_extra_state_that_is_a_tensor_is_given_back():
    model, into = nn.Sequential(Counting()), nn.Sequential(Counting())
    model[0].counter = 7
    cm = neuralcodec.encode(model)
    cm.load_into(into)
    assert into[0].counter == 7
    assert neuralcodec.tiled(nn.Sequential(Counting()), cm)[0].counter == 7


def test_state_dicts_of_copies_cannot_be_loaded_into():
    model = nn.Linear(32, 32)
    cm = neuralcodec.encode(model)

    def copies(module, state, prefix, metadata):
        state.update({name: value.clone() for name, value in state.items()})

    into = nn.Linear(32, 32)
    into.register_state_dict_post_hook(copies)
    with pytest.raises(NeuralCodecError, match=r"'bias'.*gives a copy"):
        cm.load_into(into)


def test_tensors_without_memory_are_named():
    with pytest.raises(SourceError, match=r"'w'.*TwoTensor has no memory of its own"):
        neuralcodec.encode({"w": TwoTensor(bell(20, 20), bell(20, 20))})


def test_modules_that_are_compressed_already_are_refused():
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU())
    with pytest.raises(SourceError, match="weights are compressed already"):
        neuralcodec.encode(neuralcodec.tiled(model, neuralcodec.encode(model)))


def test_a_pattern_that_is_a_name_stands_for_that_name():
    state = {"w*": bell(20, 20), "wx": bell(20, 20, seed=1)}
    cm = neuralcodec.encode(state, "kmeans", overrides={"w*": {"clusters": 2}, "wx": {"clusters": 16}})
    assert [cm.indices(name)[1].shape[1] for name in state] == [2, 16]
    cm = neuralcodec.encode(state, "kmeans", include=["w*"])
    assert [cm.is_lossless(name) for name in state] == [False, True]


@dataclass(frozen=True)
class Scaled:
    """Its decoder depends on an option, which no file holds."""

    factor: float = 1.0
    fails: str = ""
    name: ClassVar[str] = "scaled"
    number: ClassVar[int] = NAMED
    lossy: ClassVar[bool] = True

    def encode(self, tensor):
        if self.fails == "encode":
            raise ZeroDivisionError("by nothing")
        if self.fails == "type":
            return "text"
        return (tensor.float32() * np.float32(self.factor)).astype("<f4").tobytes()

    def decode(self, payload, spec, shared):
        return from_float32(spec, np.frombuffer(payload, "<f4") / np.float32(self.factor))


def test_a_codec_of_ones_own_is_measured_as_files_are_read(monkeypatch):
    monkeypatch.setitem(registry._registered, "scaled", Scaled)
    weights = bell(20, 30)
    right = neuralcodec.encode({"w": weights}, "scaled")
    assert right.report().snr_db == math.inf
    wrong = neuralcodec.encode({"w": weights}, "scaled", factor=4.0)
    assert wrong.decode("w").equal(4 * weights)
    assert wrong.report().snr_db == pytest.approx(-20 * math.log10(3))
    for fails, said in (("encode", "'w': codec 'scaled' could not encode it: ZeroDivisionError"), ("type", "gave str")):
        with pytest.raises(NeuralCodecError, match=said):
            neuralcodec.encode({"w": weights}, "scaled", fails=fails)


def read_again_and_again(store, places, wanted):
    for _ in range(50):
        for place, payload in zip(places, wanted, strict=True):
            assert store.read(place) == payload


def test_payloads_on_disk_are_read_by_forked_processes():
    store = PayloadStore(in_memory=1000)
    wanted = [bytes([i]) * 5000 for i in range(40)]
    places = [store.add(payload) for payload in wanted]
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=read_again_and_again, args=(store, places, wanted)) for _ in range(3)]
    for child in children:
        child.start()
    read_again_and_again(store, places, wanted)
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]


def test_a_target_that_cannot_be_met_says_what_stands_in_its_way():
    state = {"w": bell(20, 20), "b": bell(300)}
    with pytest.raises(PlanError, match=r"bytes are the file's header and tensors that a target leaves as they are"):
        neuralcodec.encode(state, target=Target(bits_per_weight=0.5))

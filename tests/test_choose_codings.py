"""Codings that are chosen for firmware, tensor by tensor, within limits of flash and of instructions."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from small_networks import Spotter, inputs_of, made
from torch import nn

import neuralcodec
from neuralcodec.errors import PlanError, RegistryError
from neuralcodec.firmware import codings as chooser
from neuralcodec.firmware.costs import decode_cost
from neuralcodec.registry import make_codec

TENSORS = {"conv.weight": 640, "pointwise.weight": 384, "fc.weight": 288}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """Norms have positive factors, as those that turn a row over have its levels coded again."""
    found = made(Spotter)
    with torch.no_grad():
        for norm in (found.bn, found.bn1, found.bn2):
            norm.weight.abs_().clamp_(min=0.1)
    return found


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return inputs_of(Spotter, 32)


@pytest.fixture(scope="module")
def chosen(network: nn.Module, inputs: torch.Tensor) -> neuralcodec.Codings:
    return neuralcodec.choose_codings(network, inputs, weight_bytes=800, decode_instructions=40_000, tile=256)


def outputs_db(network: nn.Module, cm: neuralcodec.CompressedModel, inputs: torch.Tensor) -> float:
    with torch.no_grad():
        wanted = network(inputs).double()
        found = torch.func.functional_call(network, cm.state_dict(), (inputs,)).double()
    return 10 * math.log10(float(wanted.square().sum() / (wanted - found).square().sum()))


def test_limits_hold_and_the_model_is_what_was_promised(network, inputs, chosen):
    assert {each.name: each.weights for each in chosen.tensors} == TENSORS
    assert chosen.nbytes <= 800
    assert 40_000 >= chosen.instructions > sum(each.instructions for each in chosen.tensors)  # and the depthwise layer
    cm = neuralcodec.encode(network, "huffman", overrides=chosen.overrides)
    for each in chosen.tensors:
        assert cm.entry(each.name).codec == each.options["codec"]
        codec = make_codec(each.options["codec"], {k: v for k, v in each.options.items() if k != "codec"})
        assert each.instructions == decode_cost(codec, cm.entry(each.name).spec, "m4")
    assert sum(len(cm.payload(each.name)) for each in chosen.tensors) <= chosen.nbytes  # some share a table
    assert outputs_db(network, cm, inputs) == pytest.approx(chosen.snr_db, abs=0.01)


def test_firmware_takes_the_payloads_as_they_are(network, inputs, chosen, tmp_path):
    cm = neuralcodec.encode(network, "huffman", overrides=chosen.overrides)
    report = neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, tile=256)
    coded = {layer.weights: layer for layer in report.layers if layer.weights in TENSORS.values()}
    assert len(coded) == 3
    assert {layer.recoded for layer in coded.values()} == {""}
    small = [layer for layer in report.layers if layer.weights == 144]
    assert [(layer.codec, layer.weight_bytes) for layer in small] == [("raw", 144)]  # codes take no less


def test_more_room_never_loses_more(network, inputs, chosen):
    larger = neuralcodec.choose_codings(network, inputs, weight_bytes=1200, decode_instructions=40_000, tile=256)
    assert sum(10 ** (-each.snr_db / 10) for each in larger.tensors) <= sum(
        10 ** (-each.snr_db / 10) for each in chosen.tensors
    )
    assert larger.snr_db > chosen.snr_db


def test_few_instructions_make_indices_of_fixed_width(network, inputs):
    fastest = neuralcodec.choose_codings(network, inputs, decode_instructions=25_000, tile=256)
    assert {each.options.get("coding") for each in fastest.tensors} == {"fixed"}
    console = [str(part) for part in fastest.__rich_console__(None, None)]  # type: ignore[arg-type]
    assert f"{fastest.nbytes:,} bytes" in console[-1]


def test_trellis_may_be_among_them(network, inputs):
    found = neuralcodec.choose_codings(network, inputs, weight_bytes=500, codecs=["trellis"], tile=256)
    cm = neuralcodec.encode(network, "huffman", overrides=found.overrides)
    assert {cm.entry(name).codec for name in TENSORS} == {"trellis"}
    assert not any(cm.is_down_columns(name) for name in TENSORS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codecs": ["raw"]}, "codecs: some of"),
        ({"codecs": []}, "codecs: some of"),
        ({"core": "m1"}, "core: one of"),
        ({"weight_bytes": 100}, "found no choice of codings within 100 bytes"),
        ({"decode_instructions": 1000}, "the fastest 1"),
        ({"tile": 0}, "tile"),
    ],
)
def test_wrong_limits_are_refused(network, inputs, options, message):
    with pytest.raises(PlanError, match=message):
        neuralcodec.choose_codings(network, inputs, **options)


def test_modules_without_large_tensors_or_a_single_output_are_refused():
    with pytest.raises(PlanError, match="no tensor of the module is large enough"):
        neuralcodec.choose_codings(nn.Linear(4, 4), torch.zeros(1, 4))

    class Two(nn.Linear):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
            return x, x

    with pytest.raises(PlanError, match="one tensor expected"):
        neuralcodec.choose_codings(Two(32, 32), torch.zeros(1, 32))


def test_choice_is_near_the_best_of_all():
    rng = np.random.default_rng(0)
    found = []
    for tensor in range(4):
        nbytes = np.sort(rng.uniform(100, 1000, 5))
        error = 1e-3 * rng.uniform(0.5, 2) * 2.0 ** (-nbytes / 150)
        options = tuple({"codec": "huffman"} for _ in nbytes)
        found.append(chooser._Candidates(f"{tensor}", 1000, options, nbytes, rng.uniform(3000, 9000, 5), error))
    for most in itertools.product((1400, 1700, 2000, 3000), (22_000, 24_000, math.inf)):
        every = [
            (sum(c.error[i] for c, i in zip(found, choice, strict=True)), choice)
            for choice in itertools.product(range(5), repeat=4)
            if sum(c.nbytes[i] for c, i in zip(found, choice, strict=True)) <= most[0]
            and sum(c.instructions[i] for c, i in zip(found, choice, strict=True)) <= most[1]
        ]
        chosen = chooser._choose(found, *most, 0)
        assert tuple(chosen) in {choice for _, choice in every}
        assert sum(c.error[i] for c, i in zip(found, chosen, strict=True)) <= 1.1 * min(every)[0]


# ---- Overrides that name a codec ----


def test_overrides_may_name_a_codec():
    state = {name: torch.randn(32, 32) for name in ("a", "b", "c")}
    others = {"a": {"codec": "kmeans", "clusters": 4}, "b": {"bits": 3}}
    cm = neuralcodec.encode(state, "huffman", overrides=others)
    assert [cm.entry(name).codec for name in state] == ["kmeans", "huffman", "huffman"]
    assert len(cm.decode("a").unique()) == 4
    assert "with overrides for 'a'" in cm.entry("a").reason


def test_target_leaves_a_codec_of_its_own_as_it_is():
    state = {name: torch.randn(64, 64) for name in ("a", "b")}
    others = {"a": {"codec": "kmeans", "clusters": 4}}
    cm = neuralcodec.encode(state, "huffman", neuralcodec.Target(bits_per_weight=4), overrides=others)
    assert len(cm.decode("a").unique()) == 4
    assert len(cm.decode("b").unique()) > 16


def test_overrides_with_a_wrong_codec_are_refused():
    state = {"a": torch.randn(32, 32)}
    with pytest.raises(RegistryError, match="unknown codec 'kmean'; did you mean 'kmeans'"):
        neuralcodec.encode(state, "huffman", overrides={"a": {"codec": "kmean"}})
    with pytest.raises(PlanError, match="name of a codec expected"):
        neuralcodec.encode(state, "huffman", overrides={"a": {"codec": 3}})
    with pytest.raises(PlanError, match="'kmeans' has no option 'bits'"):
        neuralcodec.encode(state, "huffman", overrides={"a": {"codec": "kmeans", "bits": 3}})


@pytest.mark.parametrize(
    ("inputs", "said"), [(torch.zeros(0, 40), "at least one"), (torch.full((5, 40), torch.nan), "not finite")]
)
def test_inputs_that_tell_nothing_are_refused(inputs, said):
    network = torch.nn.Sequential(torch.nn.Linear(40, 60), torch.nn.ReLU(), torch.nn.Linear(60, 10)).eval()
    with pytest.raises(PlanError, match=said):
        neuralcodec.choose_codings(network, inputs, weight_bytes=2000)


def test_layers_that_are_called_again_decode_again():
    class Twice(nn.Module):
        def __init__(self, calls):
            super().__init__()
            self.first, self.again, self.calls = nn.Linear(20, 32), nn.Linear(32, 32), calls

        def forward(self, x):
            x = self.first(x)
            for _ in range(self.calls):
                x = self.again(x).relu()
            return x

    torch.manual_seed(0)
    network = Twice(1).eval()
    inputs = torch.randn(8, 20)
    found = []
    for network.calls in (1, 3):
        codings = neuralcodec.choose_codings(network, inputs, codecs=("huffman",))
        found.append({each.name: each for each in codings.tensors})
    once, thrice = found
    for name, calls in (("first.weight", 1), ("again.weight", 3)):
        assert once[name].options == thrice[name].options
        assert thrice[name].instructions == pytest.approx(calls * once[name].instructions, abs=2)


def test_a_module_in_training_mode_is_left_as_it_is(network, inputs, chosen):
    training = copy.deepcopy(network).train()
    found = neuralcodec.choose_codings(training, inputs, weight_bytes=800, decode_instructions=40_000, tile=256)
    assert found.tensors == chosen.tensors
    assert all(torch.equal(each, network.state_dict()[name]) for name, each in training.state_dict().items())
    assert training.training
    with pytest.raises(PlanError, match=r"a torch\.nn\.Module expected, not dict"):
        neuralcodec.choose_codings(dict(training.state_dict()), inputs)

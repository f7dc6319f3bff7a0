"""Exports for firmware: traced as the module computes, planned without overlaps, and the C runs what the plan says."""

from __future__ import annotations

import ctypes
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plan_reference import Runner
from small_networks import NETWORKS, Cells, Gated, Pools, Residual, Spotter, inputs_of, made
from torch import nn
from torch.nn import functional as F

import neuralcodec
from neuralcodec.cli.app import app
from neuralcodec.errors import ExportError
from neuralcodec.firmware.arena import Buffer, plan_arena
from neuralcodec.firmware.evaluate import evaluate
from neuralcodec.firmware.export import make_plan
from neuralcodec.firmware.quantize import from_range, multiplier_of
from neuralcodec.firmware.simplify import simplify
from neuralcodec.firmware.trace import trace
from neuralcodec.firmware.weights import checksum

DECODER = Path(__file__).resolve().parents[1] / "firmware_decoder"

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

every_network = pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)


def snr(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()))


def encoded(kind: type[nn.Module], codec: str = "huffman", **options: object) -> tuple:
    """A module with the weights that its compressed model decodes to, and that."""
    network = made(kind)
    cm = neuralcodec.encode(network, codec=codec, **options)
    cm.load_into(network)
    return network, cm


def memory(plan, values: torch.Tensor) -> np.ndarray:
    """Inputs as int8, in the order of memory."""
    activation = plan.activations[plan.input]
    moved = np.moveaxis(values.numpy(), 1, -1) if plan.input_last else values.numpy()
    return activation.quantization.quantize(moved)


# ---- Tracing and folding ----


@every_network
def test_traced_network_computes_what_the_module_does(kind):
    network, inputs = made(kind), inputs_of(kind, 5)
    wanted = network(inputs).detach()
    for graph in (trace(network, inputs[:1]), simplify(trace(network, inputs[:1]))):
        got = evaluate(graph, network.state_dict(), [inputs])[graph.outputs[0]]
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


class Overwritten(nn.Module):
    """An activation has other names, and is overwritten under one of them."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.drop = nn.Dropout(0.1)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Linear(6 * 25, 4)

    def forward(self, x):
        y = self.conv(x)
        return getattr(self, self.how)(y)

    def itself(self, y):
        return self.second(self.relu(y)) + y

    def dropout(self, y):
        return self.second(self.relu(self.drop(y))) + y

    def several(self, y):
        dropped = self.drop(y)
        again = self.drop(dropped)
        self.relu(again)
        y += dropped
        return self.second(dropped) + y + again

    def detached(self, y):
        y.detach().relu_()
        return self.second(y)

    def contiguous(self, y):
        z = y.contiguous()
        z.relu_()
        return self.second(y) + z

    def cloned(self, y):
        z = y.clone()
        z.relu_()
        return self.second(y) + z

    def flat(self, y):
        return self.last(self.relu(y.flatten(1)))

    def view(self, y):
        y.view(1, -1).relu_()
        return self.second(y)

    def viewed(self, y):
        z = y.view(1, -1)
        y.relu_()
        return self.last(z)

    def permuted(self, y):
        y.permute(0, 2, 3, 1).relu_()
        return self.second(y)


@pytest.mark.parametrize("how", ["itself", "dropout", "several", "detached", "contiguous", "cloned", "flat"])
def test_what_is_overwritten_is_seen_under_its_other_names(how):
    torch.manual_seed(0)
    network, x = Overwritten(how).eval(), torch.randn(1, 3, 5, 5)
    graph = trace(network, x)
    got = evaluate(graph, network.state_dict(), [x.clone()])[graph.outputs[0]]
    torch.testing.assert_close(got, network(x.clone()).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", ["view", "viewed", "permuted"])
def test_views_that_are_overwritten_are_refused(how):
    with pytest.raises(ExportError, match=r"relu_.*it overwrites '(conv2d|view)', another view of its input"):
        trace(Overwritten(how), torch.randn(1, 3, 5, 5))


def test_simplified_graph_has_a_node_a_kernel():
    kinds = [type(node.operation).__name__ for node in simplify(trace(made(Spotter), inputs_of(Spotter, 1))).nodes]
    assert kinds == ["Conv", "Conv", "Conv", "Mean", "Linear"]


@every_network
def test_folded_module_computes_the_same(kind):
    network, inputs = made(kind), inputs_of(kind, 5)
    folded = neuralcodec.fold_batch_norm(network, inputs[:1])
    torch.testing.assert_close(folded(inputs), network(inputs), rtol=1e-4, atol=1e-5)
    left = [module for module in folded.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert len(left) == (kind is Gated)  # behind a function
    assert any(name.endswith("running_mean") for name in network.state_dict()) == (kind is not Pools)


def test_norm_stays_where_its_input_is_read_elsewhere():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x):
            x = self.conv(x)
            return self.bn(x) + x

    network = made(Both)
    inputs = torch.randn(3, 1, 6, 6)
    folded = neuralcodec.fold_batch_norm(network, inputs[:1])
    assert isinstance(folded.bn, nn.BatchNorm2d)
    torch.testing.assert_close(folded(inputs), network(inputs))


class Given(nn.Module):
    """Computes what a function of itself and its inputs says, with tensors and modules of its own."""

    def __init__(self, function, **own):
        super().__init__()
        self.function = function
        for name, each in own.items():
            setattr(self, name, nn.Parameter(each) if isinstance(each, torch.Tensor) else each)

    def forward(self, *inputs):
        return self.function(self, *inputs)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.bn(F.conv2d(x, m.weight)),
        lambda m, x: m.bn(F.conv2d(x, m.weight, m.bias)),
        lambda m, x: m.bn(F.conv2d(x, m.conv.weight)),
        lambda m, x: F.batch_norm(m.conv(x), m.bn.running_mean, m.bn.running_var),
        lambda m, x: m.flat(F.linear(x.flatten(1), m.matrix)),
    ],
)
def test_norm_stays_where_tensors_are_used_without_their_module(function):
    """What the fold would set is read by nobody there."""
    torch.manual_seed(0)
    own = {"conv": nn.Conv2d(3, 4, 3, bias=False), "bn": nn.BatchNorm2d(4), "flat": nn.BatchNorm1d(4)}
    network = Given(function, weight=torch.randn(4, 3, 3, 3), bias=torch.randn(4), matrix=torch.randn(4, 192), **own)
    for norm in (network.bn, network.flat):
        norm.running_mean.normal_()
        nn.init.normal_(norm.bias)
    network.eval()
    inputs = torch.randn(5, 3, 8, 8)
    torch.testing.assert_close(neuralcodec.fold_batch_norm(network, inputs[:1])(inputs), network(inputs))


def test_fold_takes_a_module():
    with pytest.raises(ExportError, match=r"a torch\.nn\.Module expected, not str"):
        neuralcodec.fold_batch_norm("network", torch.zeros(1, 4))


class PreActivation(nn.Module):
    """Norms before what they could be folded into, one of them on a vector."""

    shape = (3, 8, 6)

    def __init__(self) -> None:
        super().__init__()
        self.bn, self.conv, self.last, self.fc = (
            nn.BatchNorm2d(3),
            nn.Conv2d(3, 5, 3),
            nn.BatchNorm1d(5),
            nn.Linear(5, 4),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.last(F.relu(self.conv(F.relu(self.bn(x)))).mean((2, 3))))


def test_norms_on_their_own(tmp_path):
    network, cm = encoded(PreActivation, "raw")
    inputs = inputs_of(PreActivation, 20)
    wanted = network(inputs).detach().numpy()
    neuralcodec.export_firmware(cm, network, inputs[:1], out_dir=tmp_path, mode="float")
    np.testing.assert_allclose(neuralcodec.simulate(tmp_path, inputs).outputs, wanted, rtol=1e-4, atol=1e-5)
    report = neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    got = neuralcodec.simulate(tmp_path, inputs)
    assert snr(wanted, got.outputs) > 35
    plan = make_plan(cm, network, inputs[:1], inputs).plan
    runner = Runner(plan)
    assert np.array_equal(got.levels, np.stack([runner.run(each) for each in memory(plan, inputs)]))
    assert max(layer.weight_bytes for layer in report.layers if "norm on its own" in layer.recoded) < 30


def test_transform_is_applied_before_encoding():
    network, inputs = made(Spotter), inputs_of(Spotter, 4)
    cm = neuralcodec.encode(
        network, codec="huffman", transform=lambda module: neuralcodec.fold_batch_norm(module, inputs[:1])
    )
    assert "bn.running_mean" not in cm
    assert "conv.bias" in cm
    with pytest.raises(neuralcodec.PlanError, match="takes a module"):
        neuralcodec.encode(network.state_dict(), transform=lambda module: module)


def test_export_takes_weights_of_the_folded_module(tmp_path):
    network, inputs = made(Spotter), inputs_of(Spotter, 32)
    folded = neuralcodec.fold_batch_norm(network, inputs[:1])
    cm = neuralcodec.encode(folded, codec="huffman")
    outputs = []
    for module in (network, folded):
        neuralcodec.export_firmware(cm, module, inputs[:1], inputs, tmp_path, name="net")
        outputs.append(neuralcodec.simulate(tmp_path, inputs).levels)
    assert np.array_equal(*outputs)
    assert snr(network(inputs).detach().numpy(), neuralcodec.simulate(tmp_path, inputs).outputs) > 35


# ---- Arithmetic ----


@every_network
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("huffman", {"bits": 6}),
        ("huffman", {"lossless": True}),
        ("kmeans", {"clusters": 32, "centroids": "int8"}),
        ("kmeans", {"clusters": 16}),
        ("trellis", {"relative_step": 0.1, "scan": "rows"}),
        ("trellis", {"relative_step": 0.1, "scan": "columns", "coding": "prefix"}),
        ("regression", {"regressor": "rows", "relative_step": 0.1, "residual": True}),
        ("raw", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_int8_firmware_is_the_plan_bit_for_bit(kind, codec, options, tmp_path):
    network, cm = encoded(kind, codec, **options)
    inputs = inputs_of(kind, 6)
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    got = neuralcodec.simulate(tmp_path, inputs)
    plan = make_plan(cm, network, inputs[:1], inputs).plan
    runner = Runner(plan)
    assert np.array_equal(got.levels, np.stack([runner.run(each) for each in memory(plan, inputs)]))
    assert snr(network(inputs).detach().numpy(), got.outputs) > 30


@every_network
@pytest.mark.parametrize("codec", ["huffman", "kmeans", "trellis", "raw"])
def test_float_firmware_is_the_module(kind, codec, tmp_path):
    network, cm = encoded(kind, codec)
    inputs = inputs_of(kind, 6)
    neuralcodec.export_firmware(cm, network, inputs[:1], out_dir=tmp_path, mode="float")
    got = neuralcodec.simulate(tmp_path, inputs)
    assert got.levels is None
    np.testing.assert_allclose(got.outputs, network(inputs).detach().numpy(), rtol=1e-4, atol=2e-6)


@every_network
@pytest.mark.parametrize("mode", ["int8", "float"])
def test_tiles_checks_and_plain_weights_give_the_same_outputs(kind, mode, tmp_path):
    network, cm = encoded(kind)
    inputs = inputs_of(kind, 6)

    def run(**options):
        neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, mode=mode, **options)
        return neuralcodec.simulate(tmp_path, inputs).outputs

    first = run()
    assert np.array_equal(run(weights="plain"), first)
    if mode == "int8":
        assert np.array_equal(run(tile=50), first)
        assert np.array_equal(run(checks=True), first)
        assert np.array_equal(run(bundle=False), first)
    else:
        with pytest.raises(ExportError, match="checks are of int8 levels"):
            run(checks=True)


class Turned(nn.Module):
    """Takes images with their channels last, and gives an activation with a height and a width."""

    shape = (6, 5, 3)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv(x.permute(0, 3, 1, 2)))


class Signal(nn.Module):
    """Takes steps of several channels, and gives steps."""

    shape = (3, 20)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 5, 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool1d(self.conv(x), 3, 1, 1)


@pytest.mark.parametrize("kind", [Turned, Signal])
def test_inputs_and_outputs_in_other_orders(kind, tmp_path):
    network, cm = encoded(kind, "raw")
    inputs = inputs_of(kind, 4)
    wanted = network(inputs).detach().numpy()
    neuralcodec.export_firmware(cm, network, inputs[:1], out_dir=tmp_path, mode="float")
    got = neuralcodec.simulate(tmp_path, inputs).outputs
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    assert snr(wanted, neuralcodec.simulate(tmp_path, inputs).outputs) > 30
    plan = make_plan(cm, network, inputs[:1], inputs).plan
    assert [type(step.layer).__name__ for step in plan.steps].count("FlattenLayer") == (kind is Signal)


def run_cells(network: nn.Module, inputs: torch.Tensor) -> np.ndarray:
    states, outputs = Cells.states(), []
    with torch.no_grad():
        for each in inputs:
            output, *states = network(each[None], *states)
            outputs.append(output[0])
    return torch.stack(outputs).numpy()


def test_cells_keep_their_states(tmp_path):
    network, cm = encoded(Cells, bits=7)
    inputs = inputs_of(Cells, 40)
    example = (inputs[:1], *Cells.states())
    wanted = run_cells(network, inputs)

    neuralcodec.export_firmware(cm, network, example, inputs, tmp_path, mode="float")
    np.testing.assert_allclose(neuralcodec.simulate(tmp_path, inputs).outputs, wanted, rtol=1e-3, atol=1e-3)

    neuralcodec.export_firmware(cm, network, example, inputs, tmp_path, checks=True)
    got = neuralcodec.simulate(tmp_path, inputs)
    plan = make_plan(cm, network, example, inputs).plan
    runner = Runner(plan)
    assert np.array_equal(got.levels, np.stack([runner.run(each) for each in memory(plan, inputs)]))
    assert snr(wanted, got.outputs) > 25
    assert np.array_equal(neuralcodec.simulate(tmp_path, inputs).levels, got.levels), "a run starts from zeros"
    assert "ncd_cells_reset(void);" in (tmp_path / "cells.h").read_text()


def test_modules_of_one_step(tmp_path):
    class Step(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.fc = nn.GRU(6, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x, h):
            x, h = self.gru(x, h)
            return self.fc(x), h

    network = made(Step)
    inputs, state = torch.randn(9, 1, 6), torch.zeros(1, 1, 5)
    neuralcodec.export_firmware(
        neuralcodec.encode(network, codec="raw"), network, (inputs[:1], state), out_dir=tmp_path, mode="float"
    )
    wanted = []
    with torch.no_grad():
        for each in inputs:
            output, state = network(each[None], state)
            wanted.append(output[0].numpy())
    np.testing.assert_allclose(neuralcodec.simulate(tmp_path, inputs).outputs, np.stack(wanted), rtol=1e-4, atol=1e-5)
    with pytest.raises(ExportError, match="3 steps at a time"):
        trace(network, (torch.zeros(1, 3, 6), state))


@given(st.floats(2.0**-30, 2.0**20), st.sampled_from([1, -1]))
def test_multipliers_are_within_half_a_unit(size, sign):
    factor = sign * size
    found = multiplier_of(factor)
    assert 1 << 30 <= sign * found.multiplier < 1 << 31
    assert abs(found.multiplier * 2.0 ** (found.shift - 31) / factor - 1) <= 2.0**-31


@given(st.floats(-1e6, 1e6, width=32), st.floats(-1e6, 1e6, width=32))
def test_zero_is_exact_and_the_range_is_covered(a, b):
    found = from_range(min(a, b), max(a, b))
    assert -128 <= found.zero <= 127
    assert found.dequantize(np.array([found.zero], np.int8))[0] == 0
    ends = np.array([min(a, b, 0), max(a, b, 0)], np.float32)
    error = np.abs(found.dequantize(found.quantize(ends)) - ends)
    assert (error <= found.scale * 1.001).all() or found.scale == 1.0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.mean(3),
        lambda x: F.relu(x).mean((2, 3), keepdim=True),
        lambda x: F.relu(x).mean(2, keepdim=True),
        lambda x: x.mean(1),
        lambda x: x.flatten(2).mean(1),
        lambda x: x.flatten(2).mean(2),
        lambda x: F.relu6(F.max_pool2d(x, 2)).mean((1, 2, 3)),
        lambda x: torch.softmax(F.max_pool2d(x, 2), 1),
        lambda x: torch.softmax(x.flatten(2), 2),
        lambda x: torch.cat([x, F.relu(x)], 2),
        lambda x: torch.cat([F.max_pool2d(x, 2), F.avg_pool2d(x, 2)], 3),
        lambda x: torch.cat([x.flatten(1), F.relu(x).flatten(1)], 1),
        lambda x: F.max_pool2d(x, 2).flatten(1),
        lambda x: F.max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1),
        lambda x: F.relu(x.flatten(1)).view(1, 4, 6, 8) if len(x) == 1 else F.relu(x.flatten(1)).view(-1, 4, 6, 8),
        lambda x: F.max_pool2d(x, 2).flatten(2).transpose(1, 2),
        lambda x: F.max_pool1d(F.pad(x.flatten(2), (2, 1)), 3),
        lambda x: F.adaptive_max_pool2d(x, (2, 4)),
        lambda x: F.max_pool2d(x, 2).clamp(-0.5, 0.5) + F.avg_pool2d(x, 2).clamp(min=0.1),
        lambda x: F.relu(x) + x,
        lambda x: F.dropout(F.relu(x), 0.5, training=False).squeeze(),
    ],
)
def test_moving_values_around(function, tmp_path):
    class One(nn.Module):
        def forward(self, x):
            return function(x)

    cm = neuralcodec.encode({"unused": torch.zeros(3)}, codec="raw")
    inputs = torch.randn(5, 4, 6, 8, generator=torch.Generator().manual_seed(2))
    wanted = np.stack([One()(each[None]).numpy() for each in inputs]).reshape(5, -1)
    neuralcodec.export_firmware(cm, One(), inputs[:1], out_dir=tmp_path, mode="float")
    got = neuralcodec.simulate(tmp_path, inputs).outputs
    np.testing.assert_allclose(got.reshape(5, -1), wanted, rtol=1e-5, atol=1e-6)
    neuralcodec.export_firmware(cm, One(), inputs[:1], inputs, tmp_path)
    simulated = neuralcodec.simulate(tmp_path, inputs)
    plan = make_plan(cm, One(), inputs[:1], inputs).plan
    runner = Runner(plan)
    assert np.array_equal(simulated.levels, np.stack([runner.run(each) for each in memory(plan, inputs)]))
    assert snr(wanted, simulated.outputs.reshape(5, -1)) > 28


# ---- Weights ----


def test_report_says_what_was_coded_again_and_why(tmp_path):
    network, cm = encoded(Spotter, "kmeans", clusters=16)
    inputs = inputs_of(Spotter, 2)
    report = neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    reasons = {layer.name: layer.recoded for layer in report.layers}
    assert "centroids are floats" in reasons["fc"]
    assert "kept exact" in reasons["depthwise"]  # fewer than 256 weights
    assert "centroids are floats" in reasons["conv"]
    facts = json.loads((tmp_path / "report.json").read_text())
    assert facts["model"] == "spotter"
    assert facts["flash_bytes"] == report.flash_bytes
    assert "fc" in str(report)


def test_payloads_are_kept_where_kernels_can_read_them(tmp_path):
    network = made(Residual)
    cm = neuralcodec.encode(network, codec="huffman", bits=5)
    inputs = inputs_of(Residual, 2)
    planned = make_plan(cm, network, inputs[:1], inputs)
    assert planned.blob.tensors["second.weight"].recoded == ""
    assert planned.blob.tensors["second.weight"].nbytes == cm.entry("second.weight").place.size
    levels, _ = cm.levels("second.weight")
    assert np.array_equal(planned.blob.tensors["second.weight"].levels, levels.reshape(8, -1).numpy())


@pytest.mark.parametrize("coding", ["contexts", "light"])
def test_norms_that_turn_rows_over_leave_their_weights_as_they_are(coding, tmp_path):
    network = made(Spotter)
    with torch.no_grad():
        for norm in (network.bn, network.bn1, network.bn2):
            norm.weight[2] = -0.7
    inputs = inputs_of(Spotter, 6)
    cm = neuralcodec.encode(network, codec="trellis", coding=coding, scan="rows", levels="int8", relative_step=0.05)
    planned = make_plan(cm, network, inputs[:1], inputs)
    for name in ("conv.weight", "pointwise.weight"):
        coded = planned.blob.tensors[name]
        assert (coded.codec, coded.recoded) == ("trellis", "")
        assert coded.nbytes == cm.entry(name).place.size
    runner = Runner(planned.plan)
    wanted = np.stack([runner.run(each) for each in memory(planned.plan, inputs)])
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    simulated = neuralcodec.simulate(tmp_path, inputs)
    assert np.array_equal(simulated.levels, wanted)
    decoded = made(Spotter)
    cm.load_into(decoded)
    with torch.no_grad():
        assert snr(decoded(inputs).numpy(), simulated.outputs.reshape(6, -1)) > 25


def test_a_norm_that_multiplies_by_zero(tmp_path):
    network = made(Spotter)
    assert (network.bn.weight == 0).any()
    assert (network.bn.weight < 0).any()
    inputs = inputs_of(Spotter, 6)
    cm = neuralcodec.encode(network, codec="huffman", bits=8)
    report = neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    reasons = {layer.name: layer.recoded for layer in report.layers}
    assert reasons["conv"] == "a norm's factors are 0: rows of zeros"
    decoded = made(Spotter)
    cm.load_into(decoded)
    with torch.no_grad():
        wanted = decoded(inputs).numpy()
    assert snr(wanted, neuralcodec.simulate(tmp_path, inputs).outputs.reshape(6, -1)) > 25


@pytest.mark.parametrize("scan", ["rows", "columns"])
def test_floats_of_a_codec_that_firmware_has_no_room_for(scan, tmp_path):
    network = made(Spotter)
    cm = neuralcodec.encode(network, codec="generative", relative_step=0.02, scan=scan, small=None)
    inputs = inputs_of(Spotter, 3)
    report = neuralcodec.export_firmware(cm, network, inputs[:1], out_dir=tmp_path, mode="float")
    assert not report.decoder.get("NCD_ENABLE_GENERATIVE")
    assert any(layer.recoded.startswith("decoding codec generative takes 250 KB of RAM") for layer in report.layers)
    decoded = made(Spotter)
    cm.load_into(decoded)
    with torch.no_grad():
        wanted = decoded(inputs).numpy()
    found = neuralcodec.simulate(tmp_path, inputs).outputs.reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("coding", "huffman"), [("fixed", 0), ("rans", 0), ("huffman", 1)])
def test_prefix_codes_of_indices_need_those_of_huffman(coding, huffman, tmp_path):
    network = made(Spotter)
    cm = neuralcodec.encode(network, codec="kmeans", coding=coding, centroids="int8", clusters=4)
    inputs = inputs_of(Spotter, 2)
    report = neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    codecs = {layer.codec for layer in report.layers}
    assert report.decoder["NCD_ENABLE_HUFFMAN"] == (huffman or "huffman" in codecs)
    neuralcodec.simulate(tmp_path, inputs)


def test_levels_are_the_same_in_smaller_tiles():
    network = made(Residual)
    cm = neuralcodec.encode(network, codec="huffman", bits=4)  # with a table in either case
    inputs = inputs_of(Residual, 2)
    large, small = (make_plan(cm, network, inputs[:1], inputs, tile=tile) for tile in (None, 100))
    assert large.blob.tensors["second.weight"].tile_size == 576
    assert small.blob.tensors["second.weight"].tile_size == 72
    assert np.array_equal(*(each.blob.tensors["second.weight"].levels for each in (large, small)))
    assert small.plan.arena.size < large.plan.arena.size


@pytest.mark.parametrize("coding", ["contexts", "light", "rans", "prefix"])
@pytest.mark.parametrize("scan", ["rows", "columns"])
def test_decoder_has_the_codings_of_the_blob_and_no_other(coding, scan, tmp_path):
    network = made(Pools)
    cm = neuralcodec.encode(network, codec="trellis", relative_step=0.15, coding=coding, scan=scan)
    inputs = inputs_of(Pools, 3)
    report = neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, checks=True)
    assert report.layers[-1].codec == "trellis"  # down the columns, too: it is a linear layer
    wanted = {f"NCD_TRELLIS_{name.upper()}": int(name == coding) for name in ("contexts", "light", "rans", "prefix")}
    assert {name: value for name, value in report.decoder.items() if name in wanted} == wanted
    plan = make_plan(cm, network, inputs[:1], inputs).plan
    runner = Runner(plan)
    got = neuralcodec.simulate(tmp_path, inputs).levels
    assert np.array_equal(got, np.stack([runner.run(each) for each in memory(plan, inputs)]))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("coding", ["contexts", "light", "prefix"])
def test_decoder_leaves_rows_out_where_the_blob_does(skip, coding, tmp_path):
    network = made(Pools)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter[: len(parameter) * 3 // 4] = 0
    cm = neuralcodec.encode(network, codec="trellis", relative_step=0.15, coding=coding, skip=skip, scan="rows")
    inputs = inputs_of(Pools, 3)
    report = neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    assert report.decoder["NCD_TRELLIS_SKIP"] == int(skip)
    plan = make_plan(cm, network, inputs[:1], inputs).plan
    runner = Runner(plan)
    got = neuralcodec.simulate(tmp_path, inputs).levels
    assert np.array_equal(got, np.stack([runner.run(each) for each in memory(plan, inputs)]))


@pytest.mark.parametrize("states", [8, 16, 32])
def test_decoder_has_wide_codes_where_the_blob_has_them(states, tmp_path):
    network = made(Pools)
    cm = neuralcodec.encode(network, codec="trellis", relative_step=0.15, coding="prefix", states=states, scan="rows")
    inputs = inputs_of(Pools, 3)
    report = neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    assert report.decoder["NCD_TRELLIS_WIDE_CODES"] == int(states > 16)
    plan = make_plan(cm, network, inputs[:1], inputs).plan
    runner = Runner(plan)
    got = neuralcodec.simulate(tmp_path, inputs).levels
    assert np.array_equal(got, np.stack([runner.run(each) for each in memory(plan, inputs)]))


def test_unused_shared_objects_are_left_out():
    network = made(Spotter)
    cm = neuralcodec.encode(network, target=neuralcodec.Target(snr_db=25))
    inputs = inputs_of(Spotter, 2)
    planned = make_plan(cm, network, inputs[:1], inputs)
    assert planned.blob.overhead < 16 + cm.shared_bytes + 20 * len(planned.blob.tensors)


# ---- Errors ----


def test_unknown_operator_is_named_with_its_place():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(4, 4), Shrink())

        def forward(self, x):
            return self.inner(x)

    class Shrink(nn.Module):
        def forward(self, x):
            return F.hardshrink(x)

    with pytest.raises(ExportError) as caught:
        trace(Outer(), torch.zeros(1, 4))
    error = caught.value
    assert error.target == "aten.hardshrink.default"
    assert error.module == "inner.1 (Shrink)"
    assert "test_export_firmware.py" in error.line
    assert "return F.hardshrink(x)" in str(error)
    assert isinstance(error, neuralcodec.NeuralCodecError)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x + True, "other is True: a finite number expected"),
        (lambda x: x * math.inf, "other is inf: a finite number expected"),
        (lambda x: x / 0, "division by 0"),
        (lambda x: x / x.mean((2, 3), keepdim=True), "division by a tensor"),
        (lambda x: x - x.mean((2, 3), keepdim=True), "difference of two tensors"),
        (lambda x: x.mean((2, 3), keepdim=True) * x.mean(1, keepdim=True), "a product of shapes"),
        (lambda x: x * x.mean((1, 2)), "a product of shapes"),
        (lambda x: F.softplus(x, -1.0), "beta is -1"),
        (lambda x: x**3, "not one that firmware can run"),
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "reflect|not one that"),
        (lambda x: x.mean(0), "mean over the batch"),
        (lambda x: torch.cat([x, x], 0), "along the batch"),
        (lambda x: F.adaptive_avg_pool2d(x, 4), "windows of different sizes"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=3), "divisor_override"),
        (lambda x: x + x[:, :1], "not one that|differ"),
    ],
)
def test_options_that_kernels_lack_are_refused(function, message):
    class One(nn.Module):
        def forward(self, x):
            return function(x)

    with pytest.raises(ExportError, match=message):
        trace(One(), torch.zeros(1, 3, 6, 6))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda m, x: F.linear(x, m.square.int().float()), r"square is cast to torch\.int32"),
        (lambda m, x: F.linear(x, m.square, m.bias.half().float()), r"bias is cast to torch\.float16"),
        (lambda m, x: x @ m.square.permute(0, 1), "other is not a tensor of the module"),
        (lambda m, x: x @ m.square.transpose(0, 0), "other is not a tensor of the module"),
        (lambda m, x: F.linear(x, m.square.t().permute(0, 1)), "weight is not a tensor of the module"),
        (lambda m, x: torch.addmm(m.one, x, m.square.t()), r"a bias of shape \[1\]"),
        (lambda m, x: torch.addmm(m.square[:1], x, m.square.t()), "not one that firmware can run"),
        (lambda m, x: F.linear(x, m.bias), r"weights of shape \[6\] are not supported"),
        (lambda m, x: F.pad(x.view(-1, 1, 1, 2, 3), (1, 0)), "zeros around the last dimensions"),
        (lambda m, x: m.norm(x.view(-1, 1, 1, 2, 3)), r"an input of shape \[1, 1, 1, 2, 3\]"),
        (lambda m, x: m.conv(x.view(1, 2, 3)), "a batch of one expected"),
    ],
)
def test_tensors_used_in_ways_that_kernels_lack_are_refused(function, message):
    own = {"norm": nn.BatchNorm3d(1), "conv": nn.Conv2d(1, 1, 2)}
    network = Given(function, square=torch.randn(6, 6), bias=torch.randn(6), one=torch.randn(1), **own)
    with pytest.raises(ExportError, match=message):
        trace(network, torch.zeros(1, 6))


def test_weights_in_another_order(tmp_path):
    network = Given(lambda m, x: x @ m.weight.permute(0, 1).permute(1, 0).permute(0, 1), weight=torch.randn(6, 6))
    inputs = torch.randn(5, 6)
    cm = neuralcodec.encode(network, "raw")
    neuralcodec.export_firmware(cm, network, inputs[:1], out_dir=tmp_path, mode="float")
    assert snr(network(inputs).detach().numpy(), neuralcodec.simulate(tmp_path, inputs).outputs) > 100


def test_wrong_compressed_model_is_refused():
    network, inputs = made(Residual), inputs_of(Residual, 2)
    state = dict(network.state_dict())
    other = neuralcodec.encode({**state, "fc.weight": torch.zeros(5, 15)}, codec="raw")
    with pytest.raises(ExportError, match=r"\[5, 15\] in the compressed model, \[5, 14\] in the module") as caught:
        make_plan(other, network, inputs[:1], inputs)
    assert caught.value.tensor == "fc.weight"
    del state["side.weight"]
    with pytest.raises(ExportError, match="lacks this tensor") as caught:
        make_plan(neuralcodec.encode(state, codec="raw"), network, inputs[:1], inputs)
    assert caught.value.tensor == "side.weight"


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ([], "no samples"),
        (torch.zeros(3, 1, 5, 5), "samples of shape"),
        ([torch.full((1, 1, 21, 10), torch.nan)], "not finite"),
        (["text"], "tensors expected|2 tensors|4 tensors"),
    ],
)
def test_wrong_calibration_is_refused(calibration, message):
    network, cm = encoded(Spotter)
    with pytest.raises(ExportError, match=message):
        make_plan(cm, network, inputs_of(Spotter, 1), calibration)


def test_calibration_may_come_in_many_ways():
    network, cm = encoded(Spotter)
    inputs = inputs_of(Spotter, 7)
    dataset = torch.utils.data.TensorDataset(inputs, torch.arange(7))
    given_ways = [inputs, list(inputs), [inputs[:3], inputs[3:]], torch.utils.data.DataLoader(dataset, batch_size=2)]
    plans = [make_plan(cm, network, inputs[:1], each) for each in given_ways]
    assert {each.samples for each in plans} == {7}
    assert len({each.plan.activations["relu"].quantization for each in plans}) == 1
    alone = make_plan(cm, network, inputs[:1])
    assert "example input alone" in alone.warnings[0]


def test_wrong_options_are_refused(tmp_path):
    network, cm = encoded(Spotter)
    example = inputs_of(Spotter, 1)
    for options, message in (
        ({"mode": "int4"}, "mode is"),
        ({"weights": "none"}, "weights is"),
        ({"tile": 0}, "tile: an integer"),
        ({"name": "Bad Name"}, "lower-case letters"),
        ({"name": "stdint"}, r"the name of stdint\.h"),
        ({"name": "ncd_nn"}, r"the name of ncd_nn\.h"),
        ({"name": "tensor"}, "what functions of the decoder are called"),
        ({"tables": "flash", "weights": "plain"}, "plain ones have no tables"),
    ):
        with pytest.raises(ExportError, match=message):
            neuralcodec.export_firmware(cm, network, example, example, tmp_path, **options)
    with pytest.raises(ExportError, match="batch of one"):
        neuralcodec.export_firmware(cm, network, inputs_of(Spotter, 2), example, tmp_path)
    assert not list(tmp_path.iterdir())


# ---- The arena ----

lifetimes = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 12), st.integers(0, 6)), min_size=1, max_size=14)


@given(lifetimes)
def test_buffers_that_live_together_never_overlap(given_buffers):
    buffers = [Buffer(f"b{i}", size, first, first + more) for i, (size, first, more) in enumerate(given_buffers)]
    arena = plan_arena(buffers)
    for i, a in enumerate(buffers):
        start, end = arena.offsets[a.name], arena.offsets[a.name] + a.size
        assert start % 8 == 0
        assert end <= arena.size
        for b in buffers[:i]:
            if a.meets(b):
                other = arena.offsets[b.name]
                assert end <= other or other + b.size <= start
    assert arena.bound <= arena.size <= sum(-(-b.size // 8) * 8 for b in buffers)
    assert plan_arena(buffers) == arena


@every_network
def test_buffers_of_a_network_are_apart(kind):
    network, cm = encoded(kind)
    inputs = inputs_of(kind, 2)
    plan = make_plan(cm, network, inputs[:1], inputs).plan
    for i, step in enumerate(plan.steps):
        places = [(name, plan.activations[name].nbytes) for name in {*step.inputs, step.output}]
        places += [(f"tables {i}", step.tables)] if step.tables else []
        places += [(f"scratch {i}", step.scratch.nbytes)] if step.scratch.nbytes else []
        spans = sorted((plan.arena.offsets[name], plan.arena.offsets[name] + size) for name, size in places)
        in_place = type(step.layer).__name__ in {"AddLayer", "MulLayer", "TableLayer", "RescaleLayer"}
        assert all(a[1] <= b[0] or (in_place and a == b) for a, b in itertools.pairwise(spans))


# ---- What is written ----

WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-O2"]


def compile_library(folder: Path, out: Path) -> None:
    """The export as a shared library."""
    sources = [*folder.glob("*.c"), *folder.glob("ncd/src/*.c"), *folder.glob("ncd/nn/src/*.c")]
    folders = [f"-I{folder / each}" for each in (".", "ncd/include", "ncd/nn/include")]
    command = ["cc", *WARNINGS, "-fPIC", "-shared", "-ffp-contract=off", *folders, *map(str, sources), "-lm"]
    subprocess.run([*command, "-o", str(out)], check=True)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network, its export with checks, and that as a library."""
    network, cm = encoded(Spotter)
    inputs = inputs_of(Spotter, 20)
    folder = tmp_path_factory.mktemp("export")
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, folder, checks=True, tile=128)
    compile_library(folder, folder / "spotter.so")
    return folder, inputs


class Device:
    """A library's functions, as a caller in C has them."""

    def __init__(self, folder: Path, built: Path) -> None:
        header = (folder / "spotter.h").read_text()
        self.macros = {
            name: int(value) for name, value in re.findall(r"#define NCD_SPOTTER_(\w+) \(?(-?\d+)u?\)?", header)
        }
        self.c = ctypes.CDLL(str(built))
        self.c.ncd_spotter_output.restype = ctypes.POINTER(ctypes.c_int8)
        self.c.ncd_spotter_input.restype = ctypes.c_void_p
        source = (folder / "spotter_blob.c").read_text()
        self.blob = bytes(map(int, re.findall(r"\d+", source[source.index("{") :])))

    def init_at(self, blob: bytes, size: int | None = None, arena: int | None = None, offset: int = 0) -> int:
        """Keeps blob and arena, the blob at an odd address if wanted."""
        size = self.macros["ARENA_SIZE"] if size is None else size
        self.held = ctypes.create_string_buffer(bytes(offset) + blob, len(blob) + offset)
        self.memory = (ctypes.c_uint64 * (self.macros["ARENA_SIZE"] // 8 + 2))()
        place = ctypes.addressof(self.memory) if arena is None else arena
        return self.c.ncd_spotter_init_at(
            ctypes.c_void_p(ctypes.addressof(self.held) + offset),
            ctypes.c_size_t(len(blob)),
            ctypes.c_void_p(place),
            ctypes.c_size_t(size),
        )

    def run(self, values: np.ndarray, size: int | None = None) -> int:
        values = np.ascontiguousarray(values, np.int8)
        return self.c.ncd_spotter_run(ctypes.c_void_p(values.ctypes.data), ctypes.c_size_t(size or values.size))

    def output(self) -> list[int]:
        return self.c.ncd_spotter_output()[: self.macros["OUTPUT_SIZE"]]


OK, ARG, WORKSPACE, CHECKSUM = 0, -1, -6, -7


@pytest.fixture
def device(exported, tmp_path):
    # A copy is loaded anew, with nothing initialized.
    return Device(exported[0], Path(shutil.copy(exported[0] / "spotter.so", tmp_path / "spotter.so")))


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(3).integers(-128, 128, 210).astype(np.int8)


def test_run_gives_what_the_simulation_gives(exported, device, values):
    wanted = neuralcodec.simulate(exported[0], values.reshape(1, 1, 21, 10)).levels[0]
    assert device.c.ncd_spotter_init(None, ctypes.c_size_t(0)) == OK
    assert device.run(values) == OK
    assert device.output() == wanted.tolist()
    ctypes.memmove(device.c.ncd_spotter_input(), values.tobytes(), values.size)
    place = ctypes.c_void_p(device.c.ncd_spotter_input())
    assert device.c.ncd_spotter_run(place, ctypes.c_size_t(values.size)) == OK
    assert device.output() == wanted.tolist()
    assert device.c.ncd_spotter_check() == OK


def test_run_needs_init_and_an_input_of_its_size(device, values):
    assert device.run(values) == ARG
    assert not device.c.ncd_spotter_output()
    assert device.c.ncd_spotter_init(None, ctypes.c_size_t(0)) == OK
    assert device.run(values) == OK
    before = device.output()
    for size in (1, values.size - 1, values.size + 1):
        assert device.run(values, size) == ARG
    assert device.c.ncd_spotter_run(None, ctypes.c_size_t(values.size)) == ARG
    assert device.output() == before


def test_arena_that_is_too_small_or_not_aligned(device, values):
    size = device.macros["ARENA_SIZE"]
    for wrong in (0, 8, size - 1):
        assert device.init_at(device.blob, wrong) == WORKSPACE
        assert device.run(values) == ARG, "a network that failed to open does not run"
    memory = (ctypes.c_uint64 * (size // 8 + 2))()
    assert device.init_at(device.blob, size, arena=ctypes.addressof(memory) + 4) == WORKSPACE
    assert device.init_at(device.blob, size) == OK


def test_flash_may_be_unaligned(exported, device, values):
    wanted = neuralcodec.simulate(exported[0], values.reshape(1, 1, 21, 10)).levels[0]
    for offset in (1, 2, 3):
        assert device.init_at(device.blob, offset=offset) == OK
        assert device.run(values) == OK
        assert device.output() == wanted.tolist()


def test_blob_of_another_export_is_refused(device, values, tmp_path):
    network, cm = encoded(Spotter, bits=4)
    inputs = inputs_of(Spotter, 4)
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path / "other")
    compile_library(tmp_path / "other", tmp_path / "other.so")
    other = Device(tmp_path / "other", tmp_path / "other.so")
    assert device.init_at(other.blob) == CHECKSUM
    assert device.run(values) == ARG
    assert device.init_at(device.blob[:-1]) == -2
    assert device.init_at(bytes(20)) < 0


def test_corrupted_tile_is_noticed_and_the_output_stays(device, values):
    assert device.init_at(device.blob) == OK
    assert device.run(values) == OK
    before = device.output()
    noticed = 0
    size = len(device.blob)
    for place in range(size - 1500, size, 29):
        damaged = bytearray(device.blob)
        damaged[place] ^= 0x10
        assert device.init_at(bytes(damaged)) == OK, "the header does not cover payloads"
        ctypes.memset(device.memory, 0x55, 8)
        held = ctypes.addressof(device.c.ncd_spotter_output().contents)
        ctypes.memmove(held, np.array(before, np.int8).tobytes(), len(before))
        status = device.run(values[::-1].copy())
        if status != OK:
            noticed += 1
            assert device.output() == before
        assert device.c.ncd_spotter_check() < OK
    assert noticed >= 45  # of 52; some bytes are scales and tables, which change no level


@pytest.mark.parametrize("mode", ["int8", "float"])
@pytest.mark.parametrize("weights", ["compressed", "plain"])
def test_sources_compile_without_a_warning(mode, weights, tmp_path):
    compilers = [["cc", *WARNINGS]]
    if shutil.which("g++"):
        compilers.append(["g++", *[w for w in WARNINGS if w != "-std=c99"], "-x", "c++", "-std=c++11"])
    if shutil.which("arm-none-eabi-gcc"):
        compilers.append(["arm-none-eabi-gcc", *WARNINGS, "-mcpu=cortex-m4", "-mthumb", "-ffreestanding"])
    for kind in (*NETWORKS, Cells):
        network, cm = encoded(kind)
        inputs = inputs_of(kind, 2)
        example = (inputs[:1], *Cells.states()) if kind is Cells else inputs[:1]
        folder = tmp_path / kind.__name__
        options = {"checks": mode == "int8"}
        neuralcodec.export_firmware(cm, network, example, inputs, folder, mode=mode, weights=weights, **options)
        folders = [f"-I{folder / each}" for each in (".", "ncd/include", "ncd/nn/include")]
        for compiler in compilers:
            for source in folder.glob("*.c"):
                command = [*compiler, *folders, "-c", str(source), "-o", str(tmp_path / "out.o")]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not here")
def test_sources_of_an_export_before_do_not_stay(tmp_path):
    network, cm = encoded(Spotter)
    inputs = inputs_of(Spotter, 3)
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    first = neuralcodec.simulate(tmp_path, inputs).levels
    (old := tmp_path / "ncd" / "src" / "renamed.c").write_text("#error\n")
    (mine := tmp_path / "ncd" / "notes.txt").write_text("")
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    assert not old.exists()
    assert (tmp_path / "ncd" / "src" / "tensor.c").exists()
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, bundle=False)
    assert list((tmp_path / "ncd").rglob("*.*")) == [mine]
    assert np.array_equal(neuralcodec.simulate(tmp_path, inputs).levels, first)
    # A decoder that another put there is not ours to remove.
    old.parent.mkdir(parents=True, exist_ok=True)
    old.write_text("")
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, bundle=False)
    assert old.exists()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no users here")
def test_a_folder_that_others_can_write_to_is_not_used(tmp_path, monkeypatch):
    network, cm = encoded(Spotter)
    inputs = inputs_of(Spotter, 1)
    neuralcodec.export_firmware(cm, network, inputs, inputs, tmp_path / "export")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (cache := tmp_path / f"neuralcodec-simulate-{os.getuid()}").mkdir()
    cache.chmod(0o777)
    with pytest.raises(ExportError, match="only you can write to"):
        neuralcodec.simulate(tmp_path / "export", inputs)
    cache.chmod(0o700)
    neuralcodec.simulate(tmp_path / "export", inputs)


@pytest.mark.parametrize("tables", ["ram", "flash"])
def test_options_of_the_readme_are_enough(tables, tmp_path):
    network = made(Spotter)
    cm = neuralcodec.encode(network, coding="light", relative_step=0.2, levels="int8", scan="rows")
    inputs = inputs_of(Spotter, 2)
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, name="net", bundle=False, tables=tables)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    options = re.findall(r"-DNCD_\w+=[01]", text)
    assert ("-DNCD_TRELLIS_PREPARED=1" in options) == (tables == "flash")
    sources = [*DECODER.glob("src/*.c"), *DECODER.glob("nn/src/*.c"), *tmp_path.glob("net*.c")]
    includes = [f"-I{each}" for each in (tmp_path, DECODER / "include", DECODER / "nn" / "include")]
    command = ["cc", "-std=c99", "-shared", "-fPIC", "-Wl,-z,defs", *options, *includes, *sources]
    subprocess.run([*command, "-o", tmp_path / "net.so", "-lm"], check=True)


@pytest.mark.parametrize("bundle", [True, False])
def test_folder_builds_with_cmake(bundle, tmp_path):
    network, cm = encoded(Residual)
    inputs = inputs_of(Residual, 2)
    folder = tmp_path / "residual"
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, folder, bundle=bundle)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(app LANGUAGES C)\nadd_subdirectory(residual)\n"
        "add_executable(app main.c)\ntarget_link_libraries(app ncd_residual)\n"
    )
    (tmp_path / "main.c").write_text(
        '#include "residual.h"\nint main(void) { return ncd_residual_init(NULL, 0) || '
        "ncd_residual_run(ncd_residual_input(), NCD_RESIDUAL_INPUT_SIZE); }\n"
    )
    option = [] if bundle else [f"-DNCD_DIR={DECODER}"]
    for command in (
        ["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "b"), *option],
        ["cmake", "--build", str(tmp_path / "b")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert subprocess.run([str(tmp_path / "b" / "app")], check=False).returncode == 0


def in_one_program(folder, exports):
    """Builds networks that were exported as a and b, with their outputs of an input of zeros; the processes."""
    inputs = inputs_of(Spotter, 2)
    for name, (options, tables) in zip("ab", exports, strict=True):
        cm = neuralcodec.encode(made(Spotter), **options)
        network = made(Spotter)
        neuralcodec.export_firmware(
            cm, network, inputs[:1], inputs, folder / name, name=name, bundle=False, tables=tables, tile=200
        )
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(app LANGUAGES C)\nadd_subdirectory(a)\nadd_subdirectory(b)\n"
        "add_executable(app main.c)\ntarget_link_libraries(app ncd_a ncd_b m)\n"
    )
    (folder / "main.c").write_text(
        '#include <stdio.h>\n#include "a.h"\n#include "b.h"\nstatic int8_t input[NCD_A_INPUT_SIZE];\n'
        "int main(void)\n{\n"
        + "".join(
            f"    if (ncd_{name}_init(NULL, 0) || ncd_{name}_run(input, sizeof input))\n        return 1;\n"
            f"    for (int i = 0; i < NCD_{name.upper()}_OUTPUT_SIZE; ++i)\n"
            f'        printf("%d\\n", ncd_{name}_output()[i]);\n'
            for name in "ab"
        )
        + "    return 0;\n}\n"
    )
    for command in (
        ["cmake", "-S", folder, "-B", folder / "built", f"-DNCD_DIR={DECODER}"],
        ["cmake", "--build", folder / "built"],
        [folder / "built" / "app"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            break
    return done


LIGHT = {"coding": "light", "relative_step": 0.08, "levels": "int8", "scan": "rows"}
SHARED = {"codec": "kmeans", "coding": "rans", "clusters": 16, "centroids": "int8"}


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
@pytest.mark.parametrize("tables", ["ram", "flash"])
def test_networks_of_one_program_share_a_decoder(tables, tmp_path):
    done = in_one_program(tmp_path, [(LIGHT, tables), (SHARED, "ram")])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "redefined" not in done.stderr
    zeros = np.zeros((1, *Spotter.shape), np.int8)
    wanted = [neuralcodec.simulate(tmp_path / name, zeros).levels.reshape(-1).tolist() for name in "ab"]
    assert [int(line) for line in done.stdout.split()] == wanted[0] + wanted[1]


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
def test_networks_that_cannot_share_a_decoder_are_named(tmp_path):
    done = in_one_program(tmp_path, [(LIGHT, "flash"), (LIGHT, "ram")])
    assert done.returncode
    assert "ncd_b has its tables in ram, and another network has them in flash" in " ".join(done.stderr.split())


class Views(nn.Module):
    """A value that two layers see as activations of other shapes."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(10, 48)
        self.two = nn.Conv2d(3, 4, 3)
        self.one = nn.Conv1d(12, 4, 3)

    def forward(self, x):
        x = self.linear(x)
        return torch.cat([self.two(x.view(1, 3, 4, 4)).flatten(1), self.one(x.view(1, 12, 4)).flatten(1)], 1)


class Shaped(nn.Module):
    """Its output is a view of another shape than the layer before gives."""

    def __init__(self, *shape):
        super().__init__()
        self.linear, self.shape = nn.Linear(8, 64), shape

    def forward(self, x):
        return self.linear(x.flatten(1)).view(-1, *self.shape)


class Named(nn.Module):
    """Modules whose names are those of constants of others."""

    def __init__(self):
        super().__init__()
        self.gate_input, self.gate = nn.Linear(8, 5), nn.GRUCell(5, 8)
        self.gate_input_bias, self.gate_multiplier, self.gate_weights = (nn.Linear(8, 8) for _ in range(3))

    def forward(self, x):
        x = self.gate(self.gate_input(x), torch.zeros(1, 8))
        return self.gate_weights(self.gate_multiplier(self.gate_input_bias(x)))


class Functional(nn.Module):
    """Norms over buffers of one module, a mean over all, and casts that do nothing."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 5, 3)
        for name, channels in (("a", 2), ("b", 3)):
            self.register_buffer(f"mean_{name}", torch.randn(channels))
            self.register_buffer(f"var_{name}", torch.rand(channels) + 0.5)

    def forward(self, x):
        x = F.relu(self.first(F.batch_norm(x.float(), self.mean_a, self.var_a)))
        x = self.second(F.batch_norm(x, self.mean_b, self.var_b)).to(torch.float32)
        return torch.cat([x.flatten(1), x.mean().view(1, 1)], 1)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (Views, (10,)),
        (lambda: Shaped(1, 8, 8), (8,)),
        (lambda: Shaped(64, 1, 1), (8,)),
        (lambda: Shaped(4, 16), (1, 8)),
        (lambda: Shaped(4, 4, 4), (1, 1, 8)),
        (Named, (8,)),
        (Functional, (2, 8, 8)),
    ],
)
@pytest.mark.parametrize(("mode", "weights"), [("float", "compressed"), ("int8", "compressed"), ("int8", "plain")])
def test_shapes_and_names_of_all_kinds(kind, shape, mode, weights, tmp_path):
    torch.manual_seed(0)
    network, inputs = kind().eval(), torch.randn(16, *shape)
    cm = neuralcodec.encode(network, "huffman", lossless=True)
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, name="net", mode=mode, weights=weights)
    wanted = torch.cat([network(each[None]) for each in inputs]).detach().numpy()
    got = neuralcodec.simulate(tmp_path, inputs).outputs
    assert got.shape == wanted.shape
    assert snr(wanted, got) > (100 if mode == "float" else 30)


@pytest.mark.parametrize(
    ("layer", "shape", "said"),
    [
        (nn.MaxPool2d(2), (8, 8), "a batch of one expected"),
        (nn.AvgPool2d(3, 1, 1), (8, 8), "a batch of one expected"),
        (nn.AdaptiveAvgPool2d(2), (8, 8), "a batch of one expected"),
        (nn.MaxPool1d(2), (16,), "a batch of one expected"),
        (nn.AdaptiveMaxPool1d(4), (16,), "a batch of one expected"),
        (nn.Sequential(nn.Flatten(0, 1), nn.BatchNorm1d(16)), (8, 16), "it would norm rows"),
    ],
)
def test_what_torch_takes_for_unbatched_is_refused(layer, shape, said):
    with pytest.raises(ExportError, match=said):
        trace(layer.eval(), torch.randn(1, *shape))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": {}}, r"a torch\.nn\.Module expected, not dict"),
        ({"example_input": None}, "example input: a tensor, or several, expected, not NoneType"),
        ({"calibration": 3}, "calibration: a tensor or batches expected, not int"),
        ({"name": 3}, "name=3: lower-case letters"),
        ({"calibration": [None]}, "calibration: tensors expected, not NoneType"),
        ({"calibration": torch.randn(8, 4).to_sparse()}, "calibration: dense tensors of numbers expected"),
        ({"calibration": torch.zeros(8, 4, device="meta")}, "dense tensors of numbers expected, not meta ones"),
        ({"calibration": torch.zeros(8, 4, dtype=torch.complex64)}, r"real numbers expected, not torch\.complex64"),
        ({"out_dir": None}, "out_dir: a path expected, not NoneType"),
        ({"out_dir": 3}, "out_dir: a path expected, not int"),
        ({"checks": "yes"}, "checks is True or False, not 'yes'"),
        ({"bundle": "no"}, "bundle is True or False, not 'no'"),
        ({"mode": "float", "tile": 100}, "tile is for mode='int8'"),
    ],
)
def test_arguments_of_a_wrong_type(changed, said, tmp_path):
    network = nn.Linear(4, 4)
    arguments = {"model": network, "example_input": torch.zeros(1, 4), "calibration": torch.randn(8, 4)}
    with pytest.raises(ExportError, match=said):
        neuralcodec.export_firmware(neuralcodec.encode(network), **{"out_dir": tmp_path, **arguments, **changed})


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions")
def test_calibration_with_quantized_tensors_is_refused(tmp_path):
    network = nn.Linear(4, 4)
    calibration = torch.quantize_per_tensor(torch.zeros(8, 4), 0.1, 0, torch.qint8)
    with pytest.raises(ExportError, match="not quantized ones"):
        neuralcodec.export_firmware(neuralcodec.encode(network), network, torch.zeros(1, 4), calibration, tmp_path)


def test_inputs_that_cannot_be_simulated(tmp_path):
    network = nn.Linear(4, 4)
    neuralcodec.export_firmware(neuralcodec.encode(network), network, torch.zeros(1, 4), None, tmp_path, mode="float")
    for inputs in ([], "x", 3, [np.zeros(4)]):
        with pytest.raises(ExportError, match="inputs: a tensor, an array, or some tensors expected"):
            neuralcodec.simulate(tmp_path, inputs)
    for inputs, said in (
        (torch.zeros(2, 4).to_sparse(), "inputs: dense tensors of numbers expected"),
        (torch.zeros(2, 4, dtype=torch.complex64), "inputs: real numbers expected"),
        (np.array([["a"] * 4]), "inputs: real numbers expected"),
        (np.array([[None] * 4]), "inputs: real numbers expected"),
        (np.zeros((2, 4), np.complex64), "inputs: real numbers expected"),
        ([torch.zeros(2, 4), torch.zeros(2, 3)], "differ in their first side alone"),
    ):
        with pytest.raises(ExportError, match=said):
            neuralcodec.simulate(tmp_path, inputs)
    assert neuralcodec.simulate(tmp_path, torch.ones(2, 4, dtype=torch.bfloat16)).outputs.shape == (2, 4)
    with pytest.raises(ExportError, match="export_dir: a path expected, not NoneType"):
        neuralcodec.simulate(None, torch.zeros(2, 4))


@pytest.mark.parametrize("mode", ["int8", "float"])
def test_tensors_that_are_not_finite_are_refused(mode, tmp_path):
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU6())
    with torch.no_grad():
        network[0].bias[1] = math.inf
    cm = neuralcodec.encode(network, codec="raw")
    with pytest.raises(ExportError, match="not all values are finite") as caught:
        neuralcodec.export_firmware(cm, network, torch.zeros(1, 4), torch.randn(8, 4), tmp_path, mode=mode)
    assert caught.value.tensor == "0.bias"


def test_what_calibration_has_only_zeros_of_is_named(tmp_path):
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].bias.fill_(-100)
    report = neuralcodec.export_firmware(
        neuralcodec.encode(network, codec="raw"), network, torch.zeros(1, 4), torch.randn(8, 4), tmp_path
    )
    assert [each for each in report.warnings if "always 0" in each] == [
        "activation 'relu' is always 0 on the calibration data: its scale is 1 for want of a range"
    ]


def test_report_counts_parts_of_a_concat(tmp_path):
    class Joined(nn.Module):
        def forward(self, x):
            return torch.cat([x, x, x], 1)

    report = neuralcodec.export_firmware(
        neuralcodec.encode({"w": torch.zeros(1)}), Joined(), torch.zeros(1, 4), torch.randn(8, 4), tmp_path
    )
    assert [layer.constant_bytes for layer in report.layers] == [72]  # sizeof(ncd_nn_concat_s8) is 24


@pytest.mark.parametrize("mode", ["int8", "float"])
def test_plain_weights_of_several_layers_are_there_once(mode, tmp_path):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(20, 20)

        def forward(self, x):
            return self.fc(F.relu(self.fc(x)))

    network, inputs = Twice().eval(), torch.randn(8, 20)
    cm = neuralcodec.encode(network, codec="raw")
    report, outputs = [], []
    for weights in ("compressed", "plain"):
        report.append(
            neuralcodec.export_firmware(
                cm, network, inputs[:1], inputs, tmp_path, name="net", mode=mode, weights=weights
            )
        )
        outputs.append(neuralcodec.simulate(tmp_path, inputs).outputs)
    np.testing.assert_array_equal(*outputs)
    assert report[1].weight_bytes == 400 * (1 if mode == "int8" else 4)
    assert (tmp_path / "net.c").read_text().count("_weights[400] = {") == 1


def test_the_note_on_large_tiles_says_what_helps(tmp_path):
    network = nn.Linear(64, 64)
    cm = neuralcodec.encode(network, codec="huffman", bits=4, tile=4096)
    for mode, said in (("int8", "tile=512 cuts them"), ("float", "encode with a smaller tile")):
        report = neuralcodec.export_firmware(cm, network, torch.zeros(1, 64), torch.randn(8, 64), tmp_path, mode=mode)
        assert any(said in each for each in report.warnings)


@pytest.mark.parametrize(("tile", "said"), [(None, "tile=512 cuts none"), (256, "tile=256 cuts none")])
def test_tiles_of_trellis_that_an_export_does_not_cut_are_told(tile, said, tmp_path):
    network, inputs = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8)), torch.randn(32, 64)
    notes = []
    for size in (4096, 256):
        cm = neuralcodec.encode(network, codec="trellis", levels="int8", scan="rows", tile=size)
        report = neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, tile=tile)
        notes.append([each for each in report.warnings if "lie in RAM" in each])
    assert len(notes[0]) == 1
    assert said in notes[0][0]
    assert "0.weight" in notes[0][0]
    assert not notes[1]


def test_what_cannot_be_exported_is_said(tmp_path):
    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.before, self.cell = nn.Linear(10, 12), nn.GRUCell(10, 12)

        def forward(self, x):
            return self.cell(x, self.before(x))

    def export(network, inputs, **options):
        cm = neuralcodec.encode(network)
        neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, name="net", **options)

    first = First().eval()
    with torch.no_grad():
        first.before.weight *= 9
    with pytest.raises(ExportError, match="a cell, whose states end at"):
        export(first, torch.randn(8, 10))
    inputs = torch.randn(200, 4)
    inputs[150, 2] = math.nan
    with pytest.raises(ExportError, match=r"not finite on calibration sample 150$"):
        export(nn.Linear(4, 4), inputs)
    with pytest.raises(ExportError, match="the module does nothing"):
        export(nn.Flatten(), torch.randn(8, 2, 5))
    with pytest.raises(ExportError, match="a bound is NaN"):
        export(nn.Sequential(nn.Linear(4, 4), Clamped()), torch.randn(8, 4))
    for name in ("main", "port"):
        with pytest.raises(ExportError, match=f"the name of {name}.c"):
            neuralcodec.export_firmware(
                neuralcodec.encode(nn.Linear(4, 4)), nn.Linear(4, 4), torch.zeros(1, 4), torch.randn(8, 4), tmp_path,
                name=name,
            )  # fmt: skip


class Clamped(nn.Module):
    """A bound that is no number."""

    def forward(self, x):
        return x.clamp(min=math.nan)


@pytest.mark.parametrize("size", [4, 5, 64, 512])
def test_checksums_tell_every_flipped_bit(size):
    data = bytearray(np.random.default_rng(0).bytes(size))
    right, missed = checksum(bytes(data)), 0
    for i in range(8 * size):
        data[i // 8] ^= 1 << i % 8
        missed += checksum(bytes(data)) == right
        data[i // 8] ^= 1 << i % 8
    assert missed == 0


def test_states_in_another_order_are_refused(tmp_path):
    """Who calls the module with the states that it returned last would mean others."""

    class Swapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.LSTMCell(10, 16)

        def forward(self, x, h, c):
            h, c = self.cell(x, (h, c))
            return h, c, h

    network, state = Swapped(), torch.zeros(1, 16)
    with pytest.raises(ExportError, match="states in the order h, c, but returns what they become in that of c, h"):
        neuralcodec.export_firmware(
            neuralcodec.encode(network), network, (torch.zeros(1, 10), state, state), torch.zeros(4, 10), tmp_path
        )


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda m, x, h: (m.lstm(x, (h, h))[0],) * 2, 2),
        (lambda m, h: (m.square(h, h),) * 2, 1),
        (lambda m, x, h: (h, m.gru(x, h)), 2),
        (lambda m, x, h: (h.view(1, 6), m.gru(x, h)), 2),
    ],
)
@pytest.mark.parametrize("mode", ["int8", "float"])
def test_states_that_are_read_otherwise_are_inputs(function, inputs, mode, tmp_path):
    network = Given(function, lstm=nn.LSTMCell(5, 6), gru=nn.GRUCell(5, 6), square=nn.GRUCell(6, 6)).eval()
    example = (torch.zeros(1, 5), torch.zeros(1, 6))[2 - inputs :]
    with pytest.raises(ExportError, match=f"{inputs} inputs and 2 outputs besides 0 states"):
        neuralcodec.export_firmware(
            neuralcodec.encode(network, "raw"), network, example, torch.randn(4, 5), tmp_path, mode=mode
        )


@pytest.mark.parametrize("mode", ["int8", "float"])
def test_names_of_headers_of_the_decoder(mode, tmp_path):
    """An include guard that is the same as one of the decoder's would hide that header."""
    sources = [path for path in DECODER.rglob("*.h") if "tests" not in path.parts]
    guards = {guard for path in sources for guard in re.findall(r"#ifndef NCD_(\w+)_H\b", path.read_text())}
    assert {"CONFIG", "TRELLIS", "NN_AXIS"} <= guards
    network, inputs = nn.Linear(6, 5), torch.randn(4, 6)
    cm = neuralcodec.encode(network, "raw")
    for name in sorted(guard.lower() for guard in guards):
        if name in {"generative", "nn"}:
            with pytest.raises(ExportError, match="what functions of the decoder are called"):
                neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, name=name)
            continue
        neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, name=name, mode=mode)
        header = (tmp_path / f"{name}.h").read_text()
        (guard,) = re.findall(r"#ifndef NCD_(\w+)_H\b", header)
        assert guard not in guards
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, name="config", mode=mode)
    assert snr(network(inputs).detach().numpy(), neuralcodec.simulate(tmp_path, inputs).outputs) > 30


def test_states_may_be_the_same_zeros(tmp_path):
    class Lstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.out = nn.LSTMCell(6, 20), nn.Linear(20, 3)

        def forward(self, x, h, c):
            h, c = self.cell(x, (h, c))
            return self.out(h), h, c

    torch.manual_seed(0)
    network, zeros = Lstm().eval(), torch.zeros(1, 20)
    cm = neuralcodec.encode(network, "huffman", bits=8)
    inputs = torch.randn(5, 6)
    report = neuralcodec.export_firmware(cm, network, (inputs[:1], zeros, zeros), inputs, tmp_path)
    assert report.persistent_bytes > 3
    assert neuralcodec.simulate(tmp_path, inputs).outputs.shape == (5, 3)


def test_a_row_of_one_layer_is_not_lost_to_another(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.one, self.two = nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.BatchNorm2d(8)

        def forward(self, x):
            return torch.cat([self.one(self.conv(x)), self.two(self.conv(x))], 1)

    torch.manual_seed(0)
    network, inputs = Two().eval(), torch.randn(4, 1, 12, 12)
    with torch.no_grad():
        network.one.bias[1] = 0.7
        network.one.weight[1] = 1e-9
    cm = neuralcodec.encode(network, "huffman", bits=8)
    with pytest.raises(ExportError, match=r"'conv.weight'.*row 1 by next to nothing"):
        neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    with torch.no_grad():
        network.one.weight[1] = -0.01
    cm = neuralcodec.encode(network, "huffman", bits=8)
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)


def test_inputs_that_are_not_finite_are_refused(tmp_path):
    network, cm = encoded(Spotter)
    inputs = inputs_of(Spotter, 2)
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    inputs[1, 0, 3, 3] = torch.nan
    with pytest.raises(ExportError, match="not all finite"):
        neuralcodec.simulate(tmp_path, inputs)


def test_same_model_gives_the_same_files(tmp_path):
    for folder in ("a", "b"):
        network, cm = encoded(Residual)
        inputs = inputs_of(Residual, 3)
        neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path / folder)
    names = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert {"residual.c", "residual.h", "residual_blob.c", "README.md", "CMakeLists.txt"} <= {str(n) for n in names}
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)


def test_another_export_into_a_folder_leaves_none_of_the_first(tmp_path):
    network, cm = encoded(Spotter)
    example = inputs_of(Spotter, 1)
    neuralcodec.export_firmware(cm, network, example, example, tmp_path, name="first")
    neuralcodec.export_firmware(cm, network, example, example, tmp_path, name="second", weights="plain")
    assert sorted(path.name for path in tmp_path.glob("*.[ch]")) == ["second.c", "second.h"]


def test_report_takes_measured_instructions(tmp_path):
    network, cm = encoded(Spotter)
    inputs = inputs_of(Spotter, 2)
    report = neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
    assert report.instructions is None
    assert report.joules is None
    each = {layer.name: 1000 for layer in report.layers}
    measured = report.with_instructions(each, {"conv": 250}, code_bytes=5000)
    assert measured.instructions == 5000
    assert measured.decode_share == pytest.approx(0.05)
    assert measured.flash_bytes == report.flash_bytes + 5000
    assert measured.joules > 0
    assert "estimated energy" in str(measured)
    assert report.plain_weight_bytes == sum(layer.weights for layer in report.layers)
    assert report.weight_bytes == sum(layer.weight_bytes for layer in report.layers)


# ---- The simulation ----


def test_simulation_refuses_what_is_no_export(tmp_path, monkeypatch):
    with pytest.raises(ExportError, match="no export of neuralcodec"):
        neuralcodec.simulate(tmp_path, torch.zeros(1, 1, 21, 10))
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(ExportError, match="is not what export_firmware wrote"):
        neuralcodec.simulate(tmp_path, torch.zeros(1, 1, 21, 10))


def test_simulation_takes_inputs_of_the_networks_shape(exported, monkeypatch):
    folder, inputs = exported
    with pytest.raises(ExportError, match="inputs of shape"):
        neuralcodec.simulate(folder, torch.zeros(2, 1, 21, 11))
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(ExportError, match="no C compiler: no-such-compiler"):
        neuralcodec.simulate(folder, inputs)


def test_simulation_takes_floats_and_int8(exported):
    folder, inputs = exported
    facts = json.loads((folder / "report.json").read_text())["input"]
    as_int8 = np.clip(np.rint(inputs.numpy() / np.float32(facts["scale"])) + facts["zero_point"], -128, 127)
    a = neuralcodec.simulate(folder, inputs)
    b = neuralcodec.simulate(folder, as_int8.astype(np.int8))
    assert np.array_equal(a.levels, b.levels)


def test_files_of_a_project_are_not_replaced(tmp_path):
    network, cm = encoded(Spotter)
    inputs = inputs_of(Spotter, 3)
    for name in ("CMakeLists.txt", "README.md", "report.json"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(ExportError, match=f"{name} is there, and no export has written it"):
            neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path)
        assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
        (tmp_path / name).unlink()


# ---- The command line ----


def test_command_line_exports(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    network, cm = encoded(Spotter)
    inputs = inputs_of(Spotter, 3)
    neuralcodec.save(cm, tmp_path / "small.nc.safetensors")
    np.save(tmp_path / "inputs.npy", inputs.numpy())
    arguments = ["export-firmware", str(tmp_path / "small.nc.safetensors"), "--model", "small_networks:Spotter"]
    arguments += ["--example-shape", "1,1,21,10", "-o", str(tmp_path / "out"), "--json"]
    calibration = ["--calibration", str(tmp_path / "inputs.npy")]
    done = CliRunner().invoke(app, arguments + calibration)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["model"] == "spotter"
    wanted = neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path / "api")
    assert (tmp_path / "out" / "spotter.c").read_bytes() == (tmp_path / "api" / "spotter.c").read_bytes()
    assert json.loads(done.output)["flash_bytes"] == wanted.flash_bytes
    assert CliRunner().invoke(app, arguments).exit_code == 2
    for module in ("small_networks:NoSuch", "sys:exit"):  # the latter as a script that is no module does
        arguments[3] = module
        assert isinstance(CliRunner().invoke(app, arguments + calibration).exception, ExportError)


@pytest.mark.parametrize("bundle", [True, False])
@pytest.mark.parametrize("coding", ["contexts", "light", "rans", "prefix"])
def test_tables_in_flash_take_no_ram(coding, bundle, tmp_path):
    options = {"coding": coding, "relative_step": 0.15, "levels": "int8", "scan": "rows"}
    network, cm = encoded(Residual, "trellis", **options)
    inputs = inputs_of(Residual, 4)
    outputs, reports = [], []
    for tables in ("ram", "flash"):
        folder = tmp_path / tables
        reports.append(
            neuralcodec.export_firmware(cm, network, inputs[:1], inputs, folder, bundle=bundle, tables=tables)
        )
        outputs.append(neuralcodec.simulate(folder, inputs).levels)
    assert np.array_equal(*outputs)
    ram, flash = reports
    assert (ram.tables, flash.tables) == ("ram", "flash")
    assert any(layer.tables for layer in ram.layers)
    assert not any(layer.tables for layer in flash.layers)
    assert flash.arena_bytes < ram.arena_bytes
    assert flash.weight_bytes == ram.weight_bytes
    assert flash.overhead_bytes > ram.overhead_bytes
    assert flash.decoder["NCD_TRELLIS_PREPARED"] == 1
    assert "NCD_TRELLIS_PREPARED" not in ram.decoder


def test_tables_in_flash_count_what_the_compiler_makes_of_them(tmp_path):
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("needs gcc-arm-none-eabi")
    network, cm = encoded(Residual, "trellis", coding="light", relative_step=0.15, levels="int8", scan="rows")
    inputs = inputs_of(Residual, 4)
    report = neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, name="net", tables="flash")
    compiler = ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-std=c99", "-ffreestanding", "-c"]
    include = ["-I", tmp_path / "ncd" / "include"]
    subprocess.run([*compiler, *include, tmp_path / "net_blob.c", "-o", tmp_path / "blob.o"], check=True)
    size = subprocess.run(["arm-none-eabi-size", tmp_path / "blob.o"], capture_output=True, text=True, check=True)
    taken = int(size.stdout.splitlines()[1].split()[0])
    assert abs(taken - report.weight_bytes - report.overhead_bytes) < 16  # alignment


def test_what_cannot_have_its_tables_in_flash_is_named(tmp_path):
    network, cm = encoded(Spotter, "autoencoder", relative_step=0.1)
    inputs = inputs_of(Spotter, 4)
    with pytest.raises(ExportError, match="of codec autoencoder, whose tensors cannot be prepared"):
        neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, tables="flash")
    with pytest.raises(ExportError, match=r"\"ram\" or \"flash\", not 'rom'"):
        neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, tables="rom")
    assert not list(tmp_path.iterdir())

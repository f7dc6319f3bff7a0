"""Exports whose ranges are far apart: clamps much narrower than what comes in, and gates beyond ±8."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from plan_reference import Runner
from torch import nn

import neuralcodec
from neuralcodec.firmware.export import make_plan

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


class Narrow(nn.Module):
    """A layer, and a clamp behind it."""

    def __init__(self, layer=None, how="layer"):
        super().__init__()
        self.layer = layer
        self.how = how

    def forward(self, x):
        y = x if self.layer is None else self.layer(x)
        y = y + x if self.how == "add" else torch.cat([x, y], 1) if self.how == "cat" else y
        return y.clamp(-1, 1)


class Cell(nn.Module):
    def __init__(self, kind, factor):
        super().__init__()
        self.cell = kind(5, 6)
        with torch.no_grad():
            for each in self.cell.parameters():
                each.mul_(factor)

    def forward(self, x, *states):
        after = self.cell(x, states if len(states) > 1 else states[0])
        after = after if isinstance(after, tuple) else (after,)
        return (after[0], *after)


def exported(network, calibration, example, tmp_path):
    """The plan, and what the simulation gives, which is the plan bit for bit."""
    cm = neuralcodec.encode(network.eval(), codec="raw")
    plan = make_plan(cm, network, example, calibration).plan
    neuralcodec.export_firmware(cm, network, example, calibration, tmp_path)
    got = neuralcodec.simulate(tmp_path, calibration)
    given = plan.activations[plan.input]
    moved = np.moveaxis(calibration.numpy(), 1, -1) if plan.input_last else calibration.numpy()
    runner = Runner(plan)
    wanted = [runner.run(x) for x in given.quantization.quantize(moved)]
    np.testing.assert_array_equal(got.levels, np.stack(wanted))
    return plan, got.outputs


@pytest.mark.parametrize(
    "network",
    [
        Narrow(),
        Narrow(nn.Linear(3, 3)),
        Narrow(nn.Linear(3, 3), "add"),
        Narrow(nn.Linear(3, 3), "cat"),
        Narrow(nn.Conv2d(3, 4, 3, padding=1)),
        Narrow(nn.AvgPool2d(2)),
        Narrow(nn.BatchNorm2d(3)),
    ],
    ids=["clamp", "linear", "add", "cat", "conv", "pool", "norm"],
)
@pytest.mark.parametrize("size", [1e7, 1e9])
def test_clamps_much_narrower_than_what_comes_in(network, size, tmp_path):
    """Values saturate; none comes out at the other end."""
    torch.manual_seed(0)
    flat = network.layer is None or isinstance(network.layer, nn.Linear)
    x = torch.randn(40, 3).sign() if flat else torch.randn(40, 3, 4, 4).sign()
    x = x * size * (torch.rand(x.shape) + 0.1)
    _, outputs = exported(network, x, x[:1], tmp_path)
    wanted = network(x).detach().numpy()
    # Of large sums whose terms cancel out int8 knows no sign.
    assert (np.abs(outputs - wanted) < 0.1).mean() > (0.98 if network.layer is None else 0.9)


@pytest.mark.parametrize("between", [False, True])
def test_a_clamp_behind_a_max_pool_has_its_own_scale(between, tmp_path):
    """Before it where a layer takes it, else behind it in a layer of its own."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), nn.MaxPool2d(2, 1), nn.ReLU6()] if between else []
    network = nn.Sequential(*layers) if between else nn.Sequential(nn.MaxPool2d(2), nn.Hardtanh())
    x = torch.randn(40, 2, 8, 8) * 100
    plan, outputs = exported(network, x, x[:1], tmp_path)
    wanted = network(x).detach().numpy()
    assert len(plan.steps) == (3 if between else 2)
    error = np.abs(outputs - wanted)
    assert error.mean() < 0.15 if between else error.mean() < 0.05


def test_a_clamp_stays_in_a_max_pool_of_about_its_range(tmp_path):
    x = torch.randn(40, 2, 8, 8)
    plan, _ = exported(nn.Sequential(nn.MaxPool2d(2), nn.ReLU()), x, x[:1], tmp_path)
    assert len(plan.steps) == 1


@pytest.mark.parametrize(("factor", "headroom"), [(1, 0), (12, 2)])
@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell])
def test_gates_whose_parts_cancel_out(kind, factor, headroom, tmp_path):
    """Parts beyond ±8 are told apart as far as the other part may take them back."""
    torch.manual_seed(1)
    network = Cell(kind, factor)
    states = (torch.zeros(1, 6),) * (2 if kind is nn.LSTMCell else 1)
    x = torch.randn(60, 5)
    plan, outputs = exported(network, x, (x[:1], *states), tmp_path)
    layer = next(step.layer for step in plan.steps if hasattr(step.layer, "headroom"))
    assert headroom - 1 <= layer.headroom <= headroom + 1
    scale = plan.activations[plan.input].quantization
    wanted = []
    for each in torch.from_numpy(scale.dequantize(scale.quantize(x))):
        out, *states = network(each[None], *states)
        wanted.append(out.detach().numpy()[0])
    error = ((np.array(wanted) - outputs) ** 2).sum()
    assert 10 * np.log10((np.array(wanted) ** 2).sum() / error) > 25


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell])
def test_gates_of_huge_inputs_saturate(kind, tmp_path):
    torch.manual_seed(0)
    states = (torch.zeros(1, 6),) * (2 if kind is nn.LSTMCell else 1)
    x = torch.randn(60, 5).sign() * 1e6
    network = Cell(kind, 1)
    plan, outputs = exported(network, x, (x[:1], *states), tmp_path)
    wanted = []
    for each in x:
        out, *states = network(each[None], *states)
        wanted.append(out.detach().numpy()[0])
    assert (np.abs(outputs - np.array(wanted)) < 0.05).mean() > 0.95
    layer = next(step.layer for step in plan.steps if hasattr(step.layer, "headroom"))
    assert layer.headroom < 3  # the part of the hidden state is small


def notes_of(network, calibration, tmp_path, example=None):
    example = calibration[:1] if example is None else example
    cm = neuralcodec.encode(network.eval(), codec="raw")
    return neuralcodec.export_firmware(cm, network, example, calibration, tmp_path).warnings


def test_features_of_different_sizes_are_told(tmp_path):
    torch.manual_seed(0)
    sizes = torch.tensor([1000.0, 1, 1, 0.1])
    network = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    network[0].running_var.copy_(sizes.square())
    calibration = torch.randn(64, 4) * sizes
    (note,) = notes_of(network, calibration, tmp_path)
    assert "bring features to like ranges" in note
    network[0].running_var.fill_(1)
    assert not notes_of(network, calibration / sizes, tmp_path)


def test_outliers_of_calibration_data_are_told(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    calibration = torch.rand(64, 1, 6, 6)
    assert not notes_of(network, calibration, tmp_path)
    calibration[9, 0, 2, 2] = 1000
    (note,) = notes_of(network, [calibration[:5], calibration[5:]], tmp_path, calibration[:1])
    assert "leave outliers out" in note


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell])
def test_inputs_of_cells_that_are_too_coarse_are_told(kind, tmp_path):
    torch.manual_seed(0)
    network = Cell(kind, 1.0)
    example = torch.zeros(1, 5), *[torch.zeros(1, 6)] * (2 if kind is nn.LSTMCell else 1)
    calibration = torch.randn(40, 5)
    assert not notes_of(network, calibration, tmp_path, example)
    calibration[7, 0] = 2000
    (note,) = notes_of(network, calibration, tmp_path, example)
    assert "'x' alone" in note


@pytest.mark.parametrize(("count", "said"), [(1, "with 1 input alone"), (15, "with 15 inputs alone"), (16, None)])
def test_calibration_data_of_a_few_inputs_are_told(count, said, tmp_path):
    notes = notes_of(nn.Linear(4, 4), torch.randn(count, 4), tmp_path)
    assert [each for each in notes if "alone: give calibration data" in each and said and said in each] == list(notes)
    assert bool(notes) == (said is not None)


def test_inputs_beyond_calibration_are_counted(tmp_path):
    torch.manual_seed(0)
    calibration = torch.rand(32, 4) * 2 - 1
    calibration[0, :2] = torch.tensor([-1.0, 1.0])
    notes_of(nn.Linear(4, 4), calibration, tmp_path)
    assert neuralcodec.simulate(tmp_path, calibration).clipped == 0
    beyond = torch.tensor([[0.0, 1.5, -1.5, 0.5], [0.9, -0.9, 0.0, 30.0]])
    assert neuralcodec.simulate(tmp_path, beyond).clipped == 3 / 8
    assert neuralcodec.simulate(tmp_path, torch.full((2, 4), 127, dtype=torch.int8)).clipped == 0
    assert neuralcodec.simulate(tmp_path, np.array([[0, 1, 2, 3]])).clipped == 1 / 2

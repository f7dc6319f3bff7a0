"""Exports with functions of single elements and products: as PyTorch has them, in a table, in C and on their own."""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest
import torch
from plan_reference import Runner
from torch import nn
from torch.nn import functional as F

import neuralcodec
from neuralcodec.errors import ExportError
from neuralcodec.firmware import plan as p
from neuralcodec.firmware.export import make_plan
from neuralcodec.firmware.graph import Function
from neuralcodec.firmware.pointwise import FUNCTIONS, table_of, telling
from neuralcodec.firmware.quantize import Quantization, from_range
from neuralcodec.firmware.trace import trace

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

MODULES = {
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "leaky_relu": nn.LeakyReLU(0.2),
    "leaky_relu_": nn.LeakyReLU(0.2, inplace=True),
    "prelu": nn.PReLU(),
    "hardswish": nn.Hardswish(),
    "hardswish_": nn.Hardswish(inplace=True),
    "hardsigmoid": nn.Hardsigmoid(),
    "hardsigmoid_": nn.Hardsigmoid(inplace=True),
    "silu": nn.SiLU(),
    "silu_": nn.SiLU(inplace=True),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU("tanh"),
    "elu": nn.ELU(0.7),
    "elu_": nn.ELU(1.3, inplace=True),
    "celu": nn.CELU(0.6),
    "celu_": nn.CELU(2.0, inplace=True),
    "selu": nn.SELU(),
    "selu_": nn.SELU(inplace=True),
    "softplus": nn.Softplus(2.0, 5.0),
    "mish": nn.Mish(),
    "mish_": nn.Mish(inplace=True),
    "log_sigmoid": nn.LogSigmoid(),
}

WAYS = {
    "F.sigmoid": F.sigmoid,
    "torch.sigmoid": torch.sigmoid,
    "x.sigmoid": lambda x: x.sigmoid(),
    "x.sigmoid_": lambda x: x.sigmoid_(),
    "expit": torch.special.expit,
    "torch.tanh": torch.tanh,
    "x.tanh_": lambda x: x.tanh_(),
    "F.leaky_relu": lambda x: F.leaky_relu(x, -0.3),
    "F.leaky_relu_": lambda x: F.leaky_relu_(x, 1.5),
    "F.hardswish": F.hardswish,
    "F.hardsigmoid": F.hardsigmoid,
    "F.silu": F.silu,
    "F.gelu": F.gelu,
    "F.elu": lambda x: F.elu(x, 0.4, inplace=True),
    "F.selu": F.selu,
    "torch.celu": lambda x: torch.celu(x, 0.5),
    "F.softplus": F.softplus,
    "F.mish": F.mish,
    "F.logsigmoid": F.logsigmoid,
    "abs": abs,
    "scaled": lambda x: 2 - (3 * x.add(0.5, alpha=2) - 1) / 4,
    "scaled_": lambda x: x.mul_(2).add_(1).div_(-3).sub_(0.25),
    "neg": lambda x: -x,
    "by hand": lambda x: F.relu6(x + 3) / 6,
    "swish by hand": lambda x: x * F.relu6(x + 3, inplace=True) / 6,
    "silu by hand": lambda x: x * torch.sigmoid(x),
    "twice": lambda x: torch.tanh(F.silu(x)) + torch.sigmoid(F.silu(x)),
    "used twice": lambda x: F.silu(x).mul(F.silu(x)),
    "square": lambda x: x * x,
    "clamped": lambda x: F.gelu(x).clamp(-0.1, 0.5),
    "clamped product": lambda x: F.relu(x * torch.tanh(x)),
}


class Between(nn.Module):
    """A function between layers, before a batch norm, behind a pool, and at the output."""

    shape = (2, 8, 6)

    def __init__(self, function, module=None):
        super().__init__()
        self.function, self.module = function, module
        self.first, self.second = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 5, 3, groups=1)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(5, 4)

    def forward(self, x):
        x = self.norm(self.function(self.first(x) * 1))
        x = self.function(F.max_pool2d(self.second(x), 2))
        return self.function(self.fc(x.mean((2, 3))))


def made(network: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv1d, nn.Linear)):
            module.reset_parameters()
            module.weight.data *= 3
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def snr(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()))


def check(network: nn.Module, inputs: torch.Tensor, folder, least: float = 25.0) -> p.Plan:
    """That C is the plan bit for bit, for inputs far beyond calibration, too, and near the module; so are floats."""
    cm = neuralcodec.encode(network, "huffman", lossless=True)
    with torch.no_grad():
        wanted = torch.cat([network(each[None].clone()) for each in inputs]).numpy()
    neuralcodec.export_firmware(cm, network, inputs[:1], out_dir=folder, mode="float", name="net")
    got = neuralcodec.simulate(folder, inputs)
    np.testing.assert_allclose(got.outputs, wanted, rtol=1e-4, atol=3e-5)
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, folder, name="net")
    plan = make_plan(cm, network, inputs[:1], inputs).plan
    runner = Runner(plan)
    given = plan.activations[plan.input]
    for values in (inputs, inputs * 40):
        got = neuralcodec.simulate(folder, values)
        moved = np.moveaxis(values.numpy(), 1, -1) if plan.input_last else values.numpy()
        assert np.array_equal(got.levels, np.stack([runner.run(x) for x in given.quantization.quantize(moved)]))
    assert snr(wanted, neuralcodec.simulate(folder, inputs).outputs) > least
    return plan


@pytest.mark.parametrize("name", [*MODULES, *WAYS])
def test_functions_between_layers(name):
    """In the plan alone; C has all functions at once below."""
    module = MODULES.get(name)
    network = made(Between(module or WAYS[name], module))
    inputs = torch.randn(4, *Between.shape)
    with torch.no_grad():
        wanted = torch.cat([network(each[None].clone()) for each in inputs]).numpy()
    plan = make_plan(neuralcodec.encode(network, "raw"), network, inputs[:1], inputs).plan
    assert not module or sum(isinstance(step.layer, p.TableLayer) for step in plan.steps) == 3
    runner, given, found = Runner(plan), plan.activations[plan.input].quantization, plan.activations[plan.output]
    moved = np.moveaxis(inputs.numpy(), 1, -1)
    got = np.stack([runner.run(x).reshape(-1) for x in given.quantize(moved)])
    assert snr(wanted, found.quantization.dequantize(got)) > (25 if module else 20)


class Together(nn.Module):
    """Many functions of one layer's output, side by side."""

    shape = (2, 5, 4)

    def __init__(self, functions):
        super().__init__()
        self.conv, self.functions = nn.Conv2d(2, 6, 3), list(functions)
        self.modules_ = nn.ModuleList(f for f in functions if isinstance(f, nn.Module))

    def forward(self, x):
        x = self.conv(x)
        return torch.cat([function(x * 1) for function in self.functions], 1)


@pytest.mark.parametrize("functions", [MODULES, WAYS], ids=["modules", "functions"])
def test_functions_in_c(functions, tmp_path):
    check(made(Together(functions.values())), torch.randn(4, *Together.shape), tmp_path, 20)


class Alone(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("function", [F.hardswish, torch.sigmoid, lambda x: x / 3, lambda x: x * x])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
def test_networks_that_are_a_function(function, shape, tmp_path):
    network, inputs = Alone(function), torch.randn(8, *shape) * 4
    cm = neuralcodec.encode({"unused": torch.zeros(3)}, "raw")
    neuralcodec.export_firmware(cm, network, inputs[:1], inputs, tmp_path, name="net")
    assert snr(network(inputs).numpy(), neuralcodec.simulate(tmp_path, inputs).outputs) > 30


# ---- Products ----


class Excite(nn.Module):
    """Squeeze and excite, as in MobileNetV3."""

    shape = (3, 9, 8)

    def __init__(self, pool, gate):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 1)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.pool, self.gate = pool, gate

    def forward(self, x):
        x = F.hardswish(self.first(x))
        x = x * self.gate(self.excite(F.relu(self.squeeze(self.pool(x)))))
        return self.last(x).mean((2, 3))


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d(1), lambda x: x.mean((2, 3), keepdim=True)])
@pytest.mark.parametrize("gate", [torch.sigmoid, F.hardsigmoid])
def test_squeeze_and_excite(pool, gate, tmp_path):
    network = made(Excite(pool, gate))
    plan = check(network, torch.randn(6, *Excite.shape), tmp_path)
    (product,) = (step.layer for step in plan.steps if isinstance(step.layer, p.MulLayer))
    assert (product.outer, product.size, product.inner) == (42, 8, 1)


class Product(nn.Module):
    """Factors of all shapes, in both layouts, on either side."""

    shape = (3, 6, 5)

    def __init__(self, factor):
        super().__init__()
        self.conv, self.fc, self.factor = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(120, 120), factor

    def forward(self, x):
        y = self.conv(x)
        z = self.fc(y.flatten(1)).view(1, 4, 6, 5)  # channels first in memory
        return self.factor(y, z)


@pytest.mark.parametrize(
    "factor",
    [
        lambda y, z: y * z,
        lambda y, z: z * y,
        lambda y, z: y * z.mean((2, 3), keepdim=True),
        lambda y, z: z.mean((2, 3), keepdim=True) * z,
        lambda y, z: z * y.mean(1, keepdim=True),
        lambda y, z: y.mean(1, keepdim=True) * y,
        lambda y, z: z * y.mean((1, 2, 3), keepdim=True),
        lambda y, z: y * z.mean(3, keepdim=True),
        lambda y, z: z * z.mean((1, 2), keepdim=True),
        lambda y, z: y.flatten(1) * z.flatten(1),
        lambda y, z: (y.mean((2, 3)) * z.mean((2, 3))).relu(),
        lambda y, z: y.mul_(z) + y,
        lambda y, z: F.relu6(y * z) * y,
        lambda y, z: y.flatten(2) * z.flatten(2).mean(2, keepdim=True),
        lambda y, z: (y.view(4, 30) * z.mean((2, 3)).view(4, 1)).unsqueeze(0),
        lambda y, z: y * z.mean(2, keepdim=True) * z.mean(3, keepdim=True),
        lambda y, z: z.view(1, 2, 2, 6, 5) * z.mean((2, 3)).view(1, 2, 2, 1, 1),
    ],
)
def test_products(factor, tmp_path):
    check(made(Product(factor)), torch.randn(5, *Product.shape), tmp_path)


def test_products_whose_sides_lie_apart_are_refused():
    network = Product(lambda y, z: y.view(1, 2, 5, 2, 6) * z.mean((2, 3)).view(1, 2, 1, 2, 1))
    cm = neuralcodec.encode(network, "raw")
    with pytest.raises(ExportError, match="a product of shapes") as caught:
        make_plan(cm, network.eval(), torch.zeros(1, *Product.shape))
    assert "return self.factor(y, z)" in str(caught.value)


# ---- Upsampling ----


class Upsampled(nn.Module):
    """Between convolutions, at the input and at the output."""

    shape = (3, 4, 6)

    def __init__(self, upsample):
        super().__init__()
        self.first, self.second, self.upsample = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 2, 3), upsample

    def forward(self, x):
        x = self.upsample(x)
        y = self.upsample(F.relu(self.first(x)))
        return self.upsample(F.silu(self.second(y))) * self.second(y).mean((2, 3), keepdim=True)


@pytest.mark.parametrize(
    "upsample",
    [
        nn.Upsample(scale_factor=2),
        nn.UpsamplingNearest2d(scale_factor=(1, 3)),
        nn.Upsample(scale_factor=(3, 1), mode="nearest-exact"),
        lambda x: F.interpolate(x, size=(x.shape[2] * 2, x.shape[3] * 3)),
        lambda x: F.interpolate(x.flatten(1, 2), scale_factor=2).unflatten(1, (x.shape[1], x.shape[2])),
    ],
)
def test_upsampling(upsample, tmp_path):
    check(made(Upsampled(upsample)), torch.randn(5, *Upsampled.shape), tmp_path)


@pytest.mark.parametrize(
    "upsample",
    [
        lambda x: F.interpolate(x, scale_factor=2.1),
        lambda x: F.interpolate(x, scale_factor=0.5),
        lambda x: F.interpolate(x, size=(6, 6)),
        lambda x: F.interpolate(x, size=(2, 12)),
        lambda x: F.interpolate(x, size=(8, 9)),
    ],
)
def test_upsampling_by_other_factors_is_refused(upsample):
    with pytest.raises(ExportError, match="not by whole factors"):
        trace(Alone(upsample), torch.zeros(1, 3, 4, 6))


# ---- Logarithms of softmax ----


class Scores(nn.Module):
    shape = (3, 4, 6)

    def __init__(self, log_softmax, factor):
        super().__init__()
        self.conv, self.log_softmax, self.factor = nn.Conv2d(3, 7, 3), log_softmax, factor

    def forward(self, x):
        return self.log_softmax(self.conv(x) * self.factor)


@pytest.mark.parametrize("factor", [0.01, 1.0, 20.0])
@pytest.mark.parametrize(
    "log_softmax",
    [
        nn.LogSoftmax(1),
        lambda x: F.log_softmax(x.flatten(1), dim=-1),
        lambda x: torch.log_softmax(x.mean((2, 3)), 1),
        lambda x: x.log_softmax(3),
        lambda x: x.flatten(1).log_softmax(1) * -0.5,
        lambda x: x.flatten(1).unsqueeze(2).log_softmax(2),
    ],
)
def test_logarithms_of_softmax(log_softmax, factor, tmp_path):
    network = made(Scores(log_softmax, factor))
    inputs = torch.randn(8, *Scores.shape)
    wanted = torch.cat([network(each[None]) for each in inputs])
    if wanted.any():
        check(network, inputs, tmp_path)
    else:
        plan = make_plan(neuralcodec.encode(network, "raw"), network, inputs[:1], inputs).plan
        runner = Runner(plan)
        assert not runner.run(np.zeros(plan.activations[plan.input].shape, np.int8)).any()


# ---- Numbers ----

EXTREME = [(1e-6, -128), (1e-3, 127), (0.02, 0), (0.1, -17), (1.0, 100), (3e4, 3), (1e36, -1)]


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize(("scale", "zero"), EXTREME)
def test_tables_are_rounded_once_and_saturate(kind, scale, zero):
    numbers = {"affine": (0.3, -1.0), "clamp": (-0.5, 2.0), "elu": (1.2, 1.1, 0.9), "leaky_relu": (0.1,),
               "softplus": (1.5, 20.0)}.get(kind, ())  # fmt: skip
    before = Quantization(scale, zero)
    x = torch.from_numpy((np.arange(-128, 128) - zero) * scale)
    wanted = FUNCTIONS[kind](x, *numbers).numpy()
    for after in (from_range(wanted.min(), wanted.max()), Quantization(0.01, 5), Quantization(1e-9, -100)):
        table = np.array(table_of([Function(kind, numbers)], before, after))
        assert table.shape == (256,)
        exact = np.clip(wanted / after.scale + after.zero, -128, 127)
        assert np.abs(table - exact).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("kind", "least", "most"), [("hard_swish", -3.3, 30), ("hard_sigmoid", -3.1, 3.1)])
def test_ranges_end_where_functions_become_flat(kind, least, most):
    low, high = telling([Function(kind)], -30.0, 30.0, 0.1 if kind == "hard_swish" else 1 / 255)
    assert least < low <= (-3 if kind == "hard_sigmoid" else -2.5)
    assert most - 0.7 < high <= most


@pytest.mark.parametrize("kind", ["sigmoid", "tanh", "silu", "gelu", "mish", "softplus", "log_sigmoid", "elu"])
@pytest.mark.parametrize(("low", "high"), [*itertools.product([-1e4, -30.0, -2.0, 0.0], [0.0, 1.0, 30.0, 1e4])])
def test_narrower_ranges_change_nothing_that_can_be_seen(kind, low, high):
    numbers = {"softplus": (1.0, 20.0), "elu": (1.0, 1.0, 1.0)}.get(kind, ())
    functions = [Function(kind, numbers)]
    x = torch.linspace(low, high, 1001, dtype=torch.float64)
    y = FUNCTIONS[kind](x, *numbers)
    step = from_range(float(y.min()), float(y.max())).scale
    start, end = telling(functions, low, high, step)
    assert low <= start <= end <= high
    assert (FUNCTIONS[kind](x.clamp(start, end), *numbers) - y).abs().max() <= 0.25 * step


def test_ranges_are_left_where_something_else_reads_them(tmp_path):
    class Wide(nn.Module):
        def __init__(self, both):
            super().__init__()
            self.fc, self.both = nn.Linear(4, 4), both

        def forward(self, x):
            x = self.fc(x) * 30
            return torch.cat([torch.sigmoid(x), x], 1) if self.both else torch.sigmoid(x)

    inputs = torch.randn(40, 4)
    scales = []
    for both in (False, True):
        plan = check(made(Wide(both)), inputs, tmp_path)
        (step,) = (step for step in plan.steps if isinstance(step.layer, p.TableLayer) and "sigmoid" in step.layer.kind)
        scales.append(plan.activations[step.inputs[0]].quantization.scale)
    assert scales[1] > 3 * scales[0]


def test_saturated_gates_are_exactly_0_and_1():
    network = made(nn.Sequential(nn.Linear(4, 4), nn.Hardsigmoid()))
    inputs = torch.randn(50, 4) * 10
    plan = make_plan(neuralcodec.encode(network, "raw"), network, inputs[:1], inputs).plan
    step = plan.steps[-1]
    after = plan.activations[step.output].quantization
    assert isinstance(step.layer, p.TableLayer)
    assert step.layer.table[0] == after.zero
    assert step.layer.table[-1] == after.quantize(1.0)


def test_slopes_come_from_the_compressed_model(tmp_path):
    network = made(nn.Sequential(nn.Linear(4, 5), nn.PReLU(init=0.6)))
    inputs = torch.randn(20, 4)
    cm = neuralcodec.encode(network, "raw")
    other = made(nn.Sequential(nn.Linear(4, 5), nn.PReLU(init=-3.0)))
    neuralcodec.export_firmware(cm, other, inputs[:1], inputs, tmp_path, name="net")
    assert snr(network(inputs).detach().numpy(), neuralcodec.simulate(tmp_path, inputs).outputs) > 35


def test_functions_in_a_row_are_one_table(tmp_path):
    network = made(Between(lambda x: x * F.relu6(x + 3) / 6))
    plan = make_plan(neuralcodec.encode(network, "raw"), network, torch.randn(1, *Between.shape)).plan
    kinds = [step.layer.kind for step in plan.steps if isinstance(step.layer, p.TableLayer)]
    assert kinds.count("affine, clamp") == 3


def test_several_slopes_are_refused():
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.PReLU(3))
    with pytest.raises(ExportError, match="3 slopes, one a channel"):
        trace(network, torch.zeros(1, 2, 5, 5))


@pytest.mark.parametrize("function", [lambda x: x * 1e39, lambda x: x / 1e-40, lambda x: x + 1e300, lambda x: 4e38 - x])
def test_constants_that_no_float32_holds_are_refused(function):
    with pytest.raises(ExportError, match="numbers beyond those of float32"):
        trace(Alone(function), torch.zeros(1, 3))


@pytest.mark.parametrize("bounds", [{"min": torch.inf}, {"max": -torch.inf}])
def test_bounds_beyond_all_numbers_are_refused(bounds):
    with pytest.raises(ExportError, match="bounds beyond all numbers"):
        trace(Alone(lambda x: x.clamp(**bounds)), torch.zeros(1, 3))


# ---- In place ----


@pytest.mark.parametrize(
    "function", [lambda y: y.float().sigmoid_() + y, lambda y: y.to(torch.float32, copy=True).sigmoid_() + y]
)
def test_casts_that_are_overwritten(function, tmp_path):
    """A cast that changes nothing is the tensor itself, but a copy is not."""
    check(made(nn.Sequential(nn.Linear(4, 5), Alone(function))), torch.randn(20, 4), tmp_path)


def test_overwriting_behind_operators_of_several_results():
    class Pooled(nn.Module):
        def forward(self, x):
            x, _ = F.max_pool2d(x, 2, return_indices=True)
            return x.tanh_()

    names = [type(node.operation).__name__ for node in trace(Pooled(), torch.zeros(1, 2, 4, 4)).nodes]
    assert names == ["Pool", "Pointwise"]

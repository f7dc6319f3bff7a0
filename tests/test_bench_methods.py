"""The methods that the benchmark compares, on a small state: each that can run here without installing anything."""

import importlib
import importlib.util
import json
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("scipy", reason="the benchmark needs scipy")

from bench import environment, runner
from bench.method import Method, methods
from bench.methods import lookup

METHODS = methods()


def state():
    """All shapes and types that trained networks have."""
    generator = torch.Generator().manual_seed(0)

    def weights(*shape):
        return torch.randn(shape, generator=generator) * 0.1

    return {
        "fc.weight": weights(64, 96),
        "conv.weight": weights(32, 8, 3, 3),
        "conv1d.weight": weights(16, 64, 1),
        "odd.weight": weights(7, 45),
        "small.weight": weights(3, 4),
        "fc.bias": weights(64),
        "temperature": torch.tensor(0.75),
        "empty": torch.zeros(0, 5),
        "norm.num_batches_tracked": torch.tensor(123456789012, dtype=torch.int64),
        "indices": torch.arange(-3, 9, dtype=torch.int32).reshape(3, 4),
        "mask": torch.tensor([True, False, True]),
        "bytes": torch.arange(200, 210, dtype=torch.uint8),
    }


def middle(method):
    return method.quick[len(method.quick) // 2]


def run(method, setting):
    """Through the worker where the method has an environment of its own and that is there, else right here if its
    package can be imported. One of ours goes through the worker, too.
    """
    if (method.requirements or method.name == "trellis") and environment.is_made(method):
        reason = environment.missing(method)
        if reason is not None:
            pytest.skip(reason)
        return runner.measure(method, setting, state()).decoded
    module = importlib.import_module(f"bench.methods.{method.name}")
    try:
        module.version()
    except ImportError as error:
        pytest.skip(f"its environment is not made yet, and {error}")
    data = module.encode({name: tensor.numpy() for name, tensor in state().items()}, setting)
    return {name: torch.from_numpy(np.array(array)) for name, array in module.decode(data).items()}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_method_describes_itself(method):
    assert method.title
    assert method.advice.endswith(".")
    assert method.kind in ("lossy", "lossless")
    assert method.quick
    assert method.full
    for setting in (*method.quick, *method.full):
        assert json.loads(json.dumps(setting)) == setting
    # Two environments must not differ by chance: every package has its version, or is the benchmark's.
    if method.requirements:
        assert "==" in method.requirements[0]
        names = [requirement.partition("==")[0] for requirement in method.requirements]
        assert len(set(names)) == len(names)
        assert {"numpy", "safetensors"} <= set(names)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_round_trip(method):
    original, decoded = state(), run(method, middle(method))
    assert decoded.keys() == original.keys()
    for name, tensor in original.items():
        assert decoded[name].shape == tensor.shape, name
        if method.kind == "lossless" or not tensor.is_floating_point():
            assert decoded[name].dtype == tensor.dtype, name
            assert torch.equal(decoded[name], tensor), name
        elif tensor.numel():
            error = (decoded[name].float() - tensor).norm() / tensor.norm()
            assert error < 0.5, name
            if tensor.dim() < 2:
                assert error < 2**-8, name  # which short floats of codec trellis keep


def test_a_finer_setting_is_larger_and_better():
    coarse, fine = ({"bits": bits, "tables": "row"} for bits in (2, 5))
    arrays = {"w": state()["fc.weight"].numpy()}
    sizes, errors = [], []
    for setting in (coarse, fine):
        data = lookup.encode(arrays, setting)
        sizes.append(len(data))
        errors.append(float(np.square(lookup.decode(data)["w"] - arrays["w"]).sum()))
    assert sizes[0] < sizes[1]
    assert errors[1] < errors[0] / 20


def test_tables_hold_what_they_should():
    """Two bits for the four values that there are: none is changed, and the file is as large as it says."""
    matrix = np.random.default_rng(0).choice(np.array([-127, -20, 3, 90], np.float32), (16, 40))
    matrix[:, :2] = -127
    data = lookup.encode({"w": matrix}, {"bits": 2, "tables": "tensor"})
    assert np.array_equal(lookup.decode(data)["w"], matrix)
    assert len(data) == 4 + int.from_bytes(data[:4], "little") + 4 + 4 + matrix.size * 2 // 8


def test_chosen_levels_are_near_the_best():
    """A Gaussian's best four-level quantizer has a mean squared error of 0.1175 (Max, 1960)."""
    weights = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    decoded = lookup.decode(lookup.encode({"w": weights}, {"bits": 2, "tables": "tensor"}))["w"]
    assert float(np.square(decoded - weights).mean()) == pytest.approx(0.1175, rel=0.02)


# The worker


def test_worker_measures():
    setting = {"bits": 4, "tables": "tensor"}
    outcome = runner.measure(METHODS["lookup"], setting, state())
    module = importlib.import_module("bench.methods.lookup")
    expected = module.encode({n: t.numpy() for n, t in state().items()}, setting)
    assert outcome.bytes == len(expected)
    assert 0 <= outcome.peak_bytes < 2**30
    assert outcome.version == environment.version(METHODS["lookup"]) == f"numpy {np.__version__}"


def test_methods_are_timed_in_turns(tmp_path, monkeypatch):
    """And one that fails in its second turn does not stop the others."""
    works = "return {'w': np.ones((2, 3), np.float32)}"
    slow = method_of(tmp_path, MADE_UP.format(encode="import time; time.sleep(0.1)", decode=works))
    (tmp_path / "other").mkdir()
    counting = "global turn; turn = globals().get('turn', 0) + 1; assert turn < 3"  # the first warms up
    breaks = method_of(tmp_path / "other", MADE_UP.format(encode=counting, decode=works))
    turns = []
    first, second = runner.times([(slow, {}), (breaks, {})], SMALL, 3, turns.append)
    monkeypatch.setattr(runner, "ENOUGH", 0.15)
    (early,) = runner.times([(slow, {})], SMALL, 5, lambda _: None)
    assert len(early.encode) == 2
    assert len(turns) == 5
    assert len(first.encode) == len(first.decode) == 3
    assert all(0.1 < seconds < 1 for seconds in first.encode)
    assert all(0 < seconds < 0.1 for seconds in first.decode)
    assert "AssertionError" in str(second)


def method_of(tmp_path, text, **changes):
    path = tmp_path / "made_up.py"
    path.write_text("import os, sys\nimport numpy as np\n" + text)
    known = {"title": "", "kind": "lossless", "requirements": (), "quick": ({},), "full": ({},), "advice": ""}
    return Method(name="made_up", path=path, hull=False, for_decoder=False, **(known | changes))


MADE_UP = """
def version():
    return "1"
def encode(arrays, setting):
    {encode}
    return b"12345"
def decode(data):
    {decode}
"""
SMALL = {"w": torch.ones(2, 3)}


@pytest.mark.parametrize(
    ("encode", "decode", "reason"),
    [
        ("raise ValueError('too large')", "return {}", "ValueError: too large"),
        ("sys.exit('no such thing')", "return {}", "SystemExit: no such thing"),
        ("os._exit(7)", "return {}", "made_up ended with exit code 7"),
        ("os.kill(os.getpid(), 9)", "return {}", "made_up ended with signal 9"),
        ("import nothing_of_this_name", "return {}", "No module named 'nothing_of_this_name'"),
        ("pass", "return {}", r"lost the tensors \['w'\]"),
        ("pass", "return {'w': np.ones(6, np.float32)}", r"w was decoded as \(6,\), not \(2, 3\)"),
        ("import time; time.sleep(60)", "return {}", "longer than 3 s"),
    ],
)
def test_failures_are_told(tmp_path, encode, decode, reason):
    method = method_of(tmp_path, MADE_UP.format(encode=encode, decode=decode))
    with pytest.raises(runner.MeasureError, match=reason):
        runner.measure(method, {}, SMALL, timeout=3 if "sleep" in encode else 60)


def test_what_a_method_prints_is_not_taken_for_the_result(tmp_path):
    noise = "print('hello'); sys.stdout.flush(); os.system('echo hello')"
    text = MADE_UP.format(encode=noise, decode="return {'w': np.ones((2, 3), np.float32)}")
    outcome = runner.measure(method_of(tmp_path, text), {}, SMALL)
    assert outcome.bytes == 5
    assert torch.equal(outcome.decoded["w"], SMALL["w"])


def test_peak_memory_is_that_of_the_method(tmp_path):
    used = "np.ones((100 if 'w' in arrays else 1) << 20, np.uint8)"  # much only for the network that is measured
    text = MADE_UP.format(encode=used, decode="return {'w': np.ones((2, 3), np.float32)}")
    wasteful = "x = np.ones(300 << 20, np.uint8)\ndel x\n" + text  # before, as an import may
    outcome = runner.measure(method_of(tmp_path, wasteful), {}, SMALL)
    assert outcome.peak_bytes / 2**20 == pytest.approx(100, abs=5)


def test_one_thread(tmp_path):
    text = MADE_UP.format(encode="assert os.environ['OMP_NUM_THREADS'] == '1'", decode="return {}")
    with pytest.raises(runner.MeasureError, match="lost the tensors"):
        runner.measure(method_of(tmp_path, text), {}, SMALL)


def test_a_reason_not_to_run_is_told(tmp_path):
    text = "def missing():\n    return 'this machine has no such thing'\n"
    assert environment.missing(method_of(tmp_path, text)) == "this machine has no such thing"


def test_an_environment_that_cannot_be_made(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURALCODEC_BENCH", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(environment, "_failed", {})
    method = method_of(tmp_path, "", requirements=("no-such-package==1.0", "numpy", "safetensors"))
    assert not environment.is_made(method)
    reason = environment.missing(method)
    assert reason is not None
    assert "no-such-package==1.0" in reason
    assert environment.missing(method) == reason
    assert list((tmp_path / "cache" / "environments").iterdir()) == []


def test_an_environment_with_the_packages_of_the_benchmark(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURALCODEC_BENCH", str(tmp_path / "cache"))
    body = "assert sys.prefix.startswith(os.environ['NEURALCODEC_BENCH'])"
    text = MADE_UP.format(encode=body, decode="return {'w': np.ones((2, 3), np.float32)}")
    method = method_of(tmp_path, text, requirements=("numpy", "safetensors"))
    assert runner.measure(method, {}, SMALL).bytes == 5
    assert environment.is_made(method)


def test_packages_do_not_see_the_benchmark_as_theirs(tmp_path):
    """bench/ has modules named run, records, ...; a package's imports must not find them."""
    text = MADE_UP.format(encode="import records", decode="return {}")
    with pytest.raises(runner.MeasureError, match="No module named 'records'"):
        runner.measure(method_of(tmp_path, text), {}, SMALL)


def test_integers_must_be_exact(tmp_path):
    text = MADE_UP.format(encode="pass", decode="return {'n': np.array([2])}")
    with pytest.raises(runner.MeasureError, match="n is of integers"):
        runner.measure(method_of(tmp_path, text), {}, {"n": torch.tensor([1])})


def test_floats_are_given_as_float32(tmp_path):
    body = "assert {a.dtype.name for a in arrays.values()} == {'float32'}"
    text = MADE_UP.format(encode=body, decode="return {'w': np.ones((2, 3), np.float32)}")
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        assert runner.measure(method_of(tmp_path, text), {}, {"w": SMALL["w"].to(kind)}).bytes == 5


def test_a_peer_that_is_not_there_leaves_no_stubs_behind():
    nncodec = importlib.import_module("bench.methods.nncodec")
    if importlib.util.find_spec("nncodec") is not None:
        pytest.skip("it is there")
    before = set(sys.modules)
    with pytest.raises(ImportError):
        nncodec.encode({"w": np.zeros((4, 4), np.float32)}, {"qp": -20, "lambda_scale": 0})
    assert not {name for name in set(sys.modules) - before if name in nncodec.NOT_NEEDED}


def test_nncodec_spends_no_more_bits_on_biases_and_norms_than_they_need(monkeypatch):
    nncodec = importlib.import_module("bench.methods.nncodec")
    given = {}
    monkeypatch.setattr(nncodec, "_nnc", lambda: type("Codec", (), {"compress": lambda _, **k: given.update(k) or b""}))
    rng = np.random.default_rng(0)
    arrays = {
        "fc.weight": rng.standard_normal((64, 96)).astype(np.float32),
        "fc.bias": rng.standard_normal(64).astype(np.float32),
        "norm.running_var": (10 ** rng.uniform(-4, 2, 64)).astype(np.float32),
        "norm.running_mean": np.zeros(64, np.float32),
        "tiny": np.full(8, 1e-9, np.float32),
    }
    nncodec.encode(arrays, {"qp": -20, "lambda_scale": 0})
    found = given["qp_per_tensor"]
    assert found.keys() == {"fc.bias", "norm.running_var", "tiny"}  # matrices have the step of the setting
    assert found["tiny"] == nncodec.FINEST_QP
    for name in ("fc.bias", "norm.running_var"):
        finest = np.percentile(np.abs(arrays[name]), 10)
        step = (4 + found[name] % 4) * 2.0 ** (found[name] // 4 - 2)
        assert finest / 128 / 1.26 < step <= finest / 128

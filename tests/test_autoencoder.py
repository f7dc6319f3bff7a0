"""Codec autoencoder: what it keeps, how small it is, that decoders agree on it, and that its model can be trained."""

from __future__ import annotations

import builtins
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from samples import bell, tensor
from typer.testing import CliRunner

import neuralcodec
from neuralcodec import Target, _native, reference
from neuralcodec.cli.app import app
from neuralcodec.codecs.autoencoder import Autoencoder
from neuralcodec.codecs.autoencoder.predictor import best, fit
from neuralcodec.errors import CorruptError, PlanError, SourceError, TrainingError, UnsupportedError
from neuralcodec.models import autoencoder_model, autoencoder_training
from neuralcodec.models.autoencoder_likelihood import entropy_models
from neuralcodec.models.corpus import TEST_NETWORKS, kind_of, matrices, matrix_of, with_importance

FLOATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
UNIVERSAL = Path(autoencoder_model.__file__).with_name("autoencoder_1.bin").read_bytes()


def smooth(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """Weights that each tell of the next one."""
    w = bell(rows * columns, seed=seed)
    for i in range(1, len(w)):
        w[i] = 0.9 * w[i - 1] + 0.436 * w[i]
    return w.reshape(rows, columns)


def snr(w: torch.Tensor, decoded: torch.Tensor) -> float:
    w, decoded = w.double(), decoded.double()
    return float(10 * torch.log10((w**2).sum() / ((w - decoded) ** 2).sum()))


def through_reference(cm: neuralcodec.CompressedModel, name: str) -> bytes:
    found = next(t for t in reference.read_stream(cm.to_bytes()).tensors if t.name == name)
    return reference.decode_bytes(found)


SHAPES = [
    (40, 30),
    (16, 8, 3, 3),
    (32, 1, 3, 3),
    (20, 16, 1, 1),
    (6, 3, 11, 11),
    (4, 8, 64),
    (3, 5000),
    (5000, 3),
    (1, 700),
    (700, 1),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_round_trip_of_shapes(shape: tuple[int, ...]) -> None:
    w = bell(*shape)
    cm = neuralcodec.encode({"w": w}, codec="autoencoder", step=0.1)
    decoded = cm.decode("w")
    assert float((w - decoded).abs().max()) <= 0.12  # rate moves some by more than half a step
    assert through_reference(cm, "w") == decoded.numpy().tobytes()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_dtypes(dtype: torch.dtype) -> None:
    w = bell(30, 40).to(dtype)
    cm = neuralcodec.encode({"w": w}, codec="autoencoder", relative_step=0.04)
    assert cm.decode("w").dtype == dtype
    assert snr(w, cm.decode("w")) > 37
    assert through_reference(cm, "w") == cm.decode("w").view(torch.uint8).numpy().tobytes()


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([1e-30, 1e-3, 1.0, 1e20]),
    step=st.sampled_from([0.003, 0.1, 1.0, 3.0]),
    tile=st.sampled_from([None, 1, 7, 64]),
    taps=st.integers(0, 8),
    levels=st.sampled_from(["auto", "int8"]),
    correlated=st.booleans(),
)
def test_any_matrix(rows, columns, seed, size, step, tile, taps, levels, correlated) -> None:  # noqa: PLR0917
    w = bell(rows, columns, seed=seed).double()
    if correlated:
        w = w.reshape(-1).cumsum(0).reshape(rows, columns)
    t = tensor((w * size).float())
    codec = Autoencoder(step=step * size, tile=tile, taps=taps, levels=levels)
    payload = codec.encode(t)
    decoded = codec.decode(payload, t.spec, ())
    assert codec.encode(t) == payload
    off = np.abs(t.float32().astype(np.float64) - decoded.float32())
    assert off.max() <= 1.7 * max(step * size, np.abs(t.float32()).max() / 32_000)
    opened = reference.open_tensor(
        next(iter(reference.read_stream(neuralcodec.encode({"w": t.torch()}, codec=codec).to_bytes()).tensors))
    )
    if t.spec.size >= 256:
        assert opened.element_bytes() == decoded.data.tobytes()


@pytest.mark.parametrize(
    "w",
    [torch.zeros(20, 30), torch.full((20, 30), 0.7), (bell(20, 30) > 0).float() * 2 - 1, torch.eye(40) * 1e-40],
    ids=["zeros", "constant", "binary", "subnormal"],
)
def test_odd_weights(w: torch.Tensor) -> None:
    cm = neuralcodec.encode({"w": w}, codec="autoencoder", step=0.01)
    assert float((cm.decode("w") - w).abs().max()) <= 0.012
    assert through_reference(cm, "w") == cm.decode("w").numpy().tobytes()


def test_outliers() -> None:
    w = bell(60, 60)
    w[3, 4], w[50, 1] = 1e4, -3e3
    cm = neuralcodec.encode({"w": w}, codec="autoencoder", step=0.5)
    assert float((cm.decode("w") - w).abs().max()) <= 0.6
    assert cm.nbytes < 60 * 60 * 4 / 8


def test_large_embedding() -> None:
    w = bell(50_000, 16) * torch.rand(50_000, 1, generator=torch.Generator().manual_seed(3))
    report = neuralcodec.encode({"w": w}, codec="autoencoder", target=Target(bits_per_weight=3)).report()
    assert report.bits_per_weight <= 3
    assert report.snr_db > 15.5  # without contexts it is 13.3


def test_weights_that_are_not_numbers() -> None:
    w = bell(20, 20)
    w[3, 3] = torch.nan
    with pytest.raises(SourceError, match=r"layer\.w.*1 of 400"):
        Autoencoder().encode(tensor(w, "layer.w"))
    cm = neuralcodec.encode({"w": w, "v": bell(30, 30)}, codec="autoencoder", on_nonfinite="raw")
    assert torch.equal(cm.decode("w").isnan(), w.isnan())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"taps": 9}, "taps"),
        ({"step": 0}, "step"),
        ({"levels": "int4"}, "levels"),
        ({"tile": 0}, "tile"),
        ({"prior": 3}, "prior"),
        ({"tune": -1}, "tune"),
        ({"tune": 1, "prior": "model.bin"}, "not with prior"),
        ({"prior": "/nowhere/model.bin"}, "cannot be read"),
    ],
)
def test_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        neuralcodec.encode({"w": bell(20, 20)}, codec="autoencoder", **options)


def test_transform_pays_where_weights_tell_of_each_other() -> None:
    w = smooth(100, 200)
    target = Target(snr_db=25)
    plain = neuralcodec.encode({"w": w}, codec="autoencoder", target=target, taps=0)
    predicted = neuralcodec.encode({"w": w}, codec="autoencoder", target=target)
    # A correlation of 0.9 is worth -log2(sqrt(1 - 0.9^2)) = 1.2 bits a weight at high rates.
    assert plain.nbytes - predicted.nbytes > 0.9 * w.numel() / 8
    assert predicted.nbytes < neuralcodec.encode({"w": w}, codec="trellis", target=target).nbytes


def test_predictor_finds_the_lag() -> None:
    w = bell(64, 96)
    for r in range(1, 64):
        w[r] = 0.8 * w[r - 1] + 0.6 * w[r]
    found = fit(w.numpy(), [1, 2, 96], 6144, 0.01, 6)
    assert abs(dict(zip(found.lags, found.coefficients, strict=True))[96] / 64 - 0.8) < 0.05
    assert fit(bell(64, 96).numpy(), [1, 2, 96], 6144, 0.01, 6).lags == ()
    assert best(w.numpy(), (64, 96), 0.01, 6, 64)[0].columns  # whose tiles are too short for that lag along the rows


def test_down_the_columns() -> None:
    w = smooth(60, 300).T.contiguous()
    cm = neuralcodec.encode({"w": w}, codec="autoencoder", step=0.05, tile=60)
    assert cm.is_down_columns("w")
    assert through_reference(cm, "w") == cm.decode("w").numpy().tobytes()


def test_int8_levels() -> None:
    w = smooth(40, 50)
    cm = neuralcodec.encode({"w": w}, codec="autoencoder", step=0.2, levels="int8")
    assert cm.levels("w")[0].dtype == torch.int8
    assert neuralcodec.encode({"w": w}, codec="autoencoder", step=0.2).levels("w")[0].dtype == torch.int16


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_targets(bits: float) -> None:
    state = {"a": bell(60, 80), "b": bell(40, 60, seed=1) * 0.1, "bias": bell(30)}
    report = neuralcodec.encode(state, codec="autoencoder", target=Target(bits_per_weight=bits)).report()
    assert 0.97 * bits < report.bits_per_weight <= bits


def test_importance() -> None:
    w = bell(40, 100)
    importance = torch.ones(40, 100)
    importance[:, :50] = 100.0
    cm = neuralcodec.encode({"w": w}, codec="autoencoder", step=1.0, importance={"w": importance})
    off = (cm.decode("w") - w).square()
    assert off[:, :50].mean() < 0.9 * off[:, 50:].mean()


def test_threads_and_order_change_nothing() -> None:
    state = {f"layer{i}": smooth(50, 60, seed=i) for i in range(4)}
    here = neuralcodec.encode(state, codec="autoencoder")
    with ThreadPoolExecutor(3) as pool:
        there = neuralcodec.encode(dict(reversed(state.items())), codec="autoencoder", executor=pool)
    assert here.to_bytes() == there.to_bytes()
    tiled = neuralcodec.encode({"w": bell(300, 200)}, codec="autoencoder", tile=400)
    with ThreadPoolExecutor(4) as pool:
        tiles = list(pool.map(lambda i: tiled.decode_tile("w", i), range(150)))
    assert torch.equal(torch.cat(tiles), tiled.decode("w"))


def test_model_of_ones_own_travels_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(UNIVERSAL)
    state = {"a": bell(40, 50), "b": bell(30, 40, seed=1)}
    own = neuralcodec.encode(state, codec="autoencoder", prior=str(path))
    universal = neuralcodec.encode(state, codec="autoencoder")
    assert len(UNIVERSAL) <= own.nbytes - universal.nbytes < len(UNIVERSAL) + 40
    assert all(torch.equal(own.decode(n), universal.decode(n)) for n in state)
    assert neuralcodec.encode(state, codec="autoencoder", prior=path).nbytes == own.nbytes
    path.write_bytes(UNIVERSAL[:-1])
    with pytest.raises(PlanError, match="not a model"):
        neuralcodec.encode(state, codec="autoencoder", prior=str(path))
    with pytest.raises(PlanError, match="shared by all tensors"):
        Autoencoder(prior=str(path)).encode(tensor(bell(3, 4)))


def heavy(*shape: int, seed: int = 0) -> torch.Tensor:
    """Weights whose tails are heavier than those of any network."""
    return bell(*shape, seed=seed) ** 5 / 10


def test_fine_tuning_pays_where_weights_are_unlike_the_corpus() -> None:
    state = {f"w{i}": heavy(100, 90, seed=i) for i in range(3)} | {"bell": bell(60, 60)}
    plain = neuralcodec.encode(state, codec="autoencoder", step=0.3)
    for rounds in (1, 3):
        cm = neuralcodec.encode(state, codec="autoencoder", step=0.3, tune=rounds)
        assert cm.nbytes < 0.97 * plain.nbytes
        assert neuralcodec.encode(state, codec="autoencoder", step=0.3, tune=rounds).to_bytes() == cm.to_bytes()
        reasons = {row.name: row.reason for row in cm.report().rows}
        assert "prior in the file" in reasons["w0"]
        assert "prior in the file" not in reasons["bell"]
        for name, w in state.items():
            assert through_reference(cm, name) == cm.decode(name).numpy().tobytes()
            assert abs(snr(w, cm.decode(name)) - snr(w, plain.decode(name))) < 0.6


@settings(max_examples=15, deadline=None)
@given(
    rows=st.integers(1, 60),
    columns=st.integers(1, 60),
    seed=st.integers(0, 2**32 - 1),
    power=st.sampled_from([1, 3, 7]),
    step=st.sampled_from([0.01, 0.3, 2.0]),
    rounds=st.integers(1, 4),
)
def test_fine_tuning_never_costs_more_than_it_must(rows, columns, seed, power, step, rounds) -> None:  # noqa: PLR0917
    w = bell(rows, columns, seed=seed) ** power
    plain = neuralcodec.encode({"w": w}, codec="autoencoder", step=step)
    cm = neuralcodec.encode({"w": w}, codec="autoencoder", step=step, tune=rounds)
    assert cm.nbytes <= plain.nbytes
    if w.numel() >= 256:
        assert through_reference(cm, "w") == cm.decode("w").numpy().tobytes()


def test_fine_tuning_leaves_out_what_does_not_pay() -> None:
    state = {"small": heavy(16, 17), "zeros": torch.zeros(40, 40), "bell": bell(50, 60)}
    plain = neuralcodec.encode(state, codec="autoencoder", step=0.5)
    assert neuralcodec.encode(state, codec="autoencoder", step=0.5, tune=2).to_bytes() == plain.to_bytes()


def test_version_that_a_tuned_model_wants_is_named() -> None:
    w = heavy(100, 90)
    cm = neuralcodec.encode({"w": w}, codec="autoencoder", step=0.3, tune=1)
    assert cm.decode("w").shape == w.shape
    t = tensor(w)
    codec = Autoencoder(step=0.3, tune=1)
    shares = codec.share({t.spec.name: codec.survey(t)}, 0)
    payload = codec.encode_shared(t, shares.hints[t.spec.name])
    (model,) = shares.objects
    assert codec.decode(payload, t.spec, shares.objects).spec == t.spec
    other = replace(model, data=model.data[:2] + (77).to_bytes(4, "little") + model.data[6:])
    with pytest.raises(UnsupportedError, match="version 77 of the universal model"):
        codec.decode(payload, t.spec, (other,))


def test_version_that_is_not_here_is_named() -> None:
    t = tensor(bell(20, 20))
    payload = bytearray(Autoencoder().encode(t))
    at = 1 + 2 + 4  # mode, T = 400, step
    assert payload[at] == 1
    payload[at] = 77
    with pytest.raises(UnsupportedError, match="version 77 of the universal model"):
        Autoencoder().decode(bytes(payload), t.spec, ())


def test_damage_never_crashes() -> None:
    t = tensor(smooth(20, 30))
    payload = Autoencoder(step=0.1, tile=300).encode(t)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(payload)
        damaged[int(rng.integers(len(payload)))] ^= int(rng.integers(1, 256))
        try:
            assert Autoencoder().decode(bytes(damaged), t.spec, ()).spec == t.spec
        except (CorruptError, UnsupportedError):
            refused += 1
    assert refused > 250


def test_universal_model_is_the_same_everywhere() -> None:
    assert _native.autoencoder_universal(1) == UNIVERSAL == reference.autoencoder.universal(1)
    assert _native.autoencoder_universal(2) is None
    assert autoencoder_model.serialize(autoencoder_model.parse(UNIVERSAL)) == UNIVERSAL


def test_kinds_and_test_networks(tmp_path: Path) -> None:
    assert kind_of("w", (8, 4, 3, 3)) == "conv"
    assert kind_of("w", (8, 1, 3, 3)) == "depthwise"
    assert kind_of("w", (8, 4, 1, 1)) == "pointwise"
    assert kind_of("lstm.weight_ih_l0", (8, 4)) == "recurrent"
    assert kind_of("tok_embeddings", (8, 4)) == "embedding"
    state = {"w": bell(20, 30), "small": bell(3, 3), "ids": torch.arange(600).reshape(20, 30), "nan": bell(20, 30) / 0}
    for name in ("mine", TEST_NETWORKS[0]):
        save_file(state, tmp_path / f"{name}.safetensors")
    found = list(matrices(tmp_path.glob("*.safetensors")))
    assert [(m.network, m.tensor, m.kernel) for m in found] == [("mine", "w", 1)]
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        save_file(state, tmp_path / folder / "model.safetensors")
    assert len({m.network for m in matrices(tmp_path.glob("*/model.safetensors"))}) == 2, "each of its own scale"
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(SourceError, match="bad"):
        list(matrices([tmp_path / "bad.safetensors"]))


# Training, which needs compressai; with a stand-in of the one method that is used, it runs everywhere.


class Stub:
    """compressai's GaussianConditional, as far as training calls it."""

    class GaussianConditional(torch.nn.Module):
        def __init__(self, _: object, scale_bound: float) -> None:
            super().__init__()
            self.least = scale_bound

        def _likelihood(self, values: torch.Tensor, spreads: torch.Tensor) -> torch.Tensor:
            spreads = spreads.clamp_min(self.least)
            upper = self._standardized_cumulative((0.5 - values.abs()) / spreads)
            return upper - self._standardized_cumulative((-0.5 - values.abs()) / spreads)


@pytest.fixture
def compressai(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        entropy_models()  # as training imports it, whatever torchvision is beside it
    except TrainingError:
        monkeypatch.setattr("neuralcodec.models.autoencoder_likelihood.entropy_models", lambda: Stub)


SHORT = autoencoder_training.Settings(classes=2, rounds=2, steps=30, batch=1024)


def own_networks() -> list:
    return [matrix_of("net", f"w{i}", smooth(40, 60, seed=i) * (i + 1)) for i in range(3)]


@pytest.mark.usefixtures("compressai")
def test_training_learns(tmp_path: Path) -> None:
    steps: list[autoencoder_training.Progress] = []
    made = autoencoder_training.train(own_networks(), SHORT, checkpoints=tmp_path, progress=steps.append)
    assert len(autoencoder_model.parse(made)) == 2
    assert steps[-1].done == 1
    assert steps[-1].bits < 1.1 * steps[-2].bits
    assert steps[-1].checkpoint is not None
    assert steps[-1].checkpoint.read_bytes() == made
    before = torch.get_rng_state()
    assert autoencoder_training.train(own_networks(), SHORT) == made
    assert torch.equal(torch.get_rng_state(), before)  # the caller's own
    path = tmp_path / "model.bin"
    path.write_bytes(made)
    w = smooth(50, 80, seed=9)
    own = neuralcodec.encode({"w": w}, codec="autoencoder", prior=str(path), step=0.1)
    assert snr(w, own.decode("w")) > 25
    assert own.nbytes - len(made) < 1.1 * neuralcodec.encode({"w": w}, codec="autoencoder", step=0.1).nbytes


@pytest.mark.parametrize("wrong", [{"rate": math.nan}, {"rate": 0.0}, {"taps": 9}, {"seed": -1}, {"classes": 17}])
def test_settings_of_training_are_in_their_ranges(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        autoencoder_training.Settings(**wrong)


@pytest.mark.usefixtures("compressai")
@pytest.mark.parametrize("good", [5, 10], ids=["on the way", "in the last round"])
def test_training_that_diverges_names_the_last_good_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    settings = autoencoder_training.Settings(classes=2, rounds=3, steps=5, batch=512)
    real, calls = autoencoder_training._fitted, []

    def worse(*args: object) -> autoencoder_model.Class:
        calls.append(1)
        found = real(*args)
        if len(calls) > good:
            return autoencoder_model.Class(found.weights, -(2**20), found.tables)
        return found

    monkeypatch.setattr(autoencoder_training, "_fitted", worse)
    with pytest.raises(TrainingError, match="diverged") as caught:
        autoencoder_training.train(own_networks(), settings, checkpoints=tmp_path)
    assert caught.value.checkpoint is not None
    assert autoencoder_model.parse(Path(caught.value.checkpoint).read_bytes())


@pytest.mark.usefixtures("compressai")
def test_command(tmp_path: Path) -> None:
    save_file({"a": smooth(40, 60), "b": bell(30, 40)}, tmp_path / "net.safetensors")
    (tmp_path / "start.bin").write_bytes(UNIVERSAL)
    common = ["train-codec", str(tmp_path), "-o", str(tmp_path / "m.bin"), "--rounds", "1", "--steps", "5"]
    assert CliRunner().invoke(app, [*common, "--start", str(tmp_path / "start.bin")]).exit_code == 0
    assert len(autoencoder_model.parse((tmp_path / "m.bin").read_bytes())) == len(autoencoder_model.parse(UNIVERSAL))


@pytest.mark.usefixtures("compressai")
def test_command_says_what_it_leaves_out(tmp_path: Path) -> None:
    ours, mine = (str(tmp_path / f"{name}.safetensors") for name in (TEST_NETWORKS[0], "mine"))
    for path in (ours, mine):
        save_file({"a": smooth(40, 60)}, path)
    common = ["train-codec", "-o", str(tmp_path / "m.bin"), "--rounds", "1", "--steps", "5"]
    result = CliRunner().invoke(app, [*common, mine, ours, mine])
    assert result.exit_code == 0
    assert f"{ours}: not trained on" in result.output
    made = (tmp_path / "m.bin").read_bytes()
    assert CliRunner().invoke(app, [*common, mine]).output.count("not trained on") == 0
    assert (tmp_path / "m.bin").read_bytes() == made, "a file that is named twice counts once"
    result = CliRunner().invoke(app, [*common, ours])
    assert isinstance(result.exception, SourceError)
    assert "name" in str(result.exception)


def test_without_compressai_training_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: object) -> object:
        if name.startswith("compressai"):
            raise ImportError("No module named 'compressai'")
        return real(name, *args)

    def refuse_module(name: str, package: str | None = None) -> object:
        return refuse(name, package)

    monkeypatch.setattr("neuralcodec.models.autoencoder_likelihood.importlib.import_module", refuse_module)
    with pytest.raises(TrainingError, match=r"neuralcodec\[learned\]"):
        autoencoder_training.train(own_networks(), SHORT)
    assert neuralcodec.encode({"w": bell(20, 20)}, codec="autoencoder").decode("w").shape == (20, 20)


@pytest.mark.usefixtures("compressai")
def test_training_starts_from_models_only(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not a model"):
        autoencoder_training.train(own_networks(), SHORT, start=UNIVERSAL[:-1])
    with pytest.raises(TrainingError, match="a tuned model"):
        autoencoder_training.train(own_networks(), SHORT, start=autoencoder_model.serialize_tuned(1, [(0, {})]))
    save_file({"a": smooth(40, 60)}, tmp_path / "net.safetensors")
    command = ["train-codec", str(tmp_path), "-o", str(tmp_path / "m.bin"), "--start"]
    result = CliRunner().invoke(app, [*command, str(tmp_path / "none.bin")])
    assert isinstance(result.exception, FileNotFoundError)
    assert not (tmp_path / "m.bin").exists()


def test_a_trace_chooses_as_an_encoder_does() -> None:
    random = np.random.default_rng(5)
    weights = random.normal(size=(40, 60)).astype(np.float32)
    importance = np.where(random.random((40, 60)) < 0.5, 0.1, 2).astype(np.float32)
    predictor = _native.AutoencoderPredictor(2048, 1, 0, 0, [], [])
    data = np.frombuffer(UNIVERSAL, np.uint8)
    residuals, _ = _native.autoencoder_trace(predictor, weights, data, 0, 0.5, importance)
    levels, _, _, _ = _native.autoencoder_encode(predictor, data, 0, weights, 0.5, 127, importance)
    assert np.array_equal(residuals, levels.reshape(-1))
    plain, _ = _native.autoencoder_trace(predictor, weights, data, 0, 0.5)
    assert not np.array_equal(residuals, plain)
    with pytest.raises(ValueError, match="importance"):
        _native.autoencoder_trace(predictor, weights, data, 0, 0.5, importance[:-1])


@pytest.mark.usefixtures("compressai")
def test_training_counts_errors_by_importance() -> None:
    """Where a few weights count a lot, all others are chosen for rate: the model learns from smaller residuals."""
    networks = own_networks()
    uneven = np.full(60, 1.0, np.float32)
    uneven[:6] = 300
    plain, even, weighted = (
        autoencoder_training.train(with_importance(networks, {"net": {m.tensor: value for m in networks}}), SHORT)
        if value is not None
        else autoencoder_training.train(networks, SHORT)
        for value in (None, np.full(60, 7, np.float32), uneven)
    )
    assert even == plain, "only what weights count beside each other matters"

    def zeros(data: bytes) -> float:
        tables = [table for each in autoencoder_model.parse(data) for table in each.tables]
        return sum(table[0] for table in tables) / len(tables)

    assert zeros(weighted) > zeros(plain)


def test_importance_has_to_fit() -> None:
    given = {"net": {"w1": np.arange(60, dtype=np.float32)}}
    first, second, _ = with_importance(own_networks(), given)
    assert first.importance is None
    assert second.importance is not None
    assert second.importance.shape == (40, 60)
    assert second.importance.mean() == pytest.approx(1, abs=1e-3)
    for wrong in ({"net": {"none": np.ones(60)}}, {"other": {"w1": np.ones(60)}}, {"net": {"w1": np.ones(59)}}):
        with pytest.raises(SourceError, match="importance"):
            list(with_importance(own_networks(), wrong))


@pytest.mark.usefixtures("compressai")
def test_command_with_importance(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 2)):
        save_file({"a": smooth(40, 60, seed=seed)}, tmp_path / f"{name}.safetensors")
    (weights := tmp_path / "importance").mkdir()
    uneven = torch.ones(60)
    uneven[:6] = 300
    save_file({"a": uneven}, weights / "one.safetensors")
    made = tmp_path / "m.bin"

    def run(*arguments: str) -> object:
        common = ["train-codec", "-o", str(made), "--rounds", "2", "--steps", "5", "--classes", "1"]
        return CliRunner().invoke(app, [*common, *arguments])

    assert run(str(tmp_path)).exit_code == 0
    plain = made.read_bytes()
    assert run(str(tmp_path), "--importance", str(weights)).exit_code == 0
    assert made.read_bytes() != plain
    one = str(weights / "one.safetensors")
    assert run(str(tmp_path / "one.safetensors"), "--importance", one).exit_code == 0
    for wrong in (one, str(tmp_path / "none")):
        assert isinstance(run(str(tmp_path), "--importance", wrong).exception, SourceError)
    both = [str(tmp_path / "one.safetensors"), one]
    assert "same" in str(run(*both, "--importance", str(weights)).exception)


@pytest.mark.usefixtures("compressai")
def test_training_wants_weights() -> None:
    with pytest.raises(TrainingError, match="no weights"):
        autoencoder_training.train([], SHORT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_norm_is_kept(dtype):
    w = torch.randn(60, 80, generator=torch.Generator().manual_seed(1)).to(dtype)
    importance = np.ones((60, 80), np.float32)
    importance[:, :8] = 300
    settings = {"codec": "autoencoder", "relative_step": 1.3}
    norm, least = (
        neuralcodec.encode({"w": w}, reconstruction=kind, **settings).decode("w").double().norm() / w.double().norm()
        for kind in ("norm", "error")
    )
    assert norm == pytest.approx(1, abs=5e-3 if dtype.itemsize == 2 else 1e-3)
    assert least < 0.97
    found = neuralcodec.encode({"w": w}, importance={"w": importance}, **settings).decode("w")
    weighted = torch.from_numpy(importance)
    assert (weighted * found.float() ** 2).sum() == pytest.approx(float((weighted * w.float() ** 2).sum()), rel=1e-2)
    with pytest.raises(PlanError, match="reconstruction: 'norm' or 'error' expected"):
        neuralcodec.encode({"w": w}, codec="autoencoder", reconstruction="median")

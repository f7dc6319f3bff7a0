"""Codec generative: round trips, both decoders, targets, what it learns, and what it refuses."""

import hashlib
import json
import math
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from generative_builder import WEIGHTS, tuned_prior
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import neuralcodec
from neuralcodec import _native, reference
from neuralcodec.codec import SharedObject
from neuralcodec.codecs.generative import Generative
from neuralcodec.codecs.generative.coding import KIND, Choice, Matrix, Rates, Tuned, every_rates, read_head
from neuralcodec.codecs.generative.quantizing import quantize
from neuralcodec.codecs.trellis import Trellis
from neuralcodec.codecs.trellis.codec import LAGRANGIAN
from neuralcodec.dtypes import BY_NAME
from neuralcodec.errors import CorruptError, PlanError, SourceError, UnsupportedError
from neuralcodec.models.corpus import matrix_of
from neuralcodec.models.generative_prior import Training, train
from neuralcodec.reference.generative import tuned_weights
from neuralcodec.reference.primitives import Reader
from neuralcodec.tensor import Tensor, TensorSpec

ROOT = Path(__file__).resolve().parent.parent
PRIOR = ROOT / "models" / "weights" / "generative_1.bin"


def snr(original: torch.Tensor, decoded: torch.Tensor) -> float:
    error = (original.double() - decoded.double()).square().sum()
    return float(10 * torch.log10(original.double().square().sum() / error))


def by_both(tensor: torch.Tensor, folder: Path, **options) -> tuple[neuralcodec.CompressedModel, torch.Tensor]:
    """Encodes, saves, and decodes with the C decoder and with the second one, which must agree."""
    cm = neuralcodec.encode({"w": tensor}, "generative", **options)
    path = folder / "model.safetensors"
    neuralcodec.save(cm, path)
    decoded = neuralcodec.load(path).decode("w")
    (other,) = reference.read_file(path).tensors
    assert reference.decode_bytes(other) == decoded.reshape(-1).view(torch.uint8).numpy().tobytes()
    assert (decoded.dtype, decoded.shape) == (tensor.dtype, tensor.shape)
    return cm, decoded


@settings(max_examples=12, deadline=None)
@given(
    shape=st.sampled_from([(16, 16), (1, 300), (300, 1), (5, 7, 3, 3), (8, 1, 11, 11), (6, 50)]),
    states=st.sampled_from([1, 4, 8, 256]),
    step=st.sampled_from([1e-3, 0.1, 0.7, 4.0]),
    tile=st.sampled_from([7, 100, 65535]),
    scan=st.sampled_from(["auto", "rows", "columns"]),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    seed=st.integers(0, 2**31),
)
def test_two_decoders_agree(tmp_path_factory, shape, states, step, tile, scan, dtype, seed):  # noqa: PLR0917
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    _, decoded = by_both(weights, tmp_path_factory.mktemp("both"), states=states, step=step, tile=tile, scan=scan)
    assert float((decoded.float() - weights.float()).abs().max()) < 5 * step + 0.02


@pytest.mark.parametrize("rates", [Rates(0, 3), Rates(), Rates(3, 0)])
def test_the_encoder_learns_as_decoders_do_up_to_every_limit(rates):
    """Its vectors against the C decoder's numbers: counts, weights and probabilities that go as far as they can."""
    random = np.random.default_rng(17)
    size = (16, 4000)
    matrices = [
        np.ones(size),  # what is foretold ever more surely
        np.tile([1, -1, 1, 1], (16, 1000)),
        np.where(np.arange(4000) < 3000, 0, random.choice([-32767, 32767], size)),  # and then refuted
        np.where(random.random(size) < 0.001, random.integers(-32768, 32768, size), 3),
        np.repeat(random.integers(-200, 201, (16, 40)), 100, axis=1),
    ]
    for levels in matrices:
        matrix = Matrix(levels.astype(np.int16), 65535, 0, 9)
        payload = Choice(matrix, rates, 1.0, False).payload()
        decoded = Generative().decode(payload, TensorSpec("w", BY_NAME["f32"], size), ())
        np.testing.assert_array_equal(decoded.float32(), levels)


@settings(max_examples=12, deadline=None)
@given(
    dtype=st.sampled_from(
        [torch.int8, torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int16, torch.bool]
    ),
    tile=st.sampled_from([11, 65535]),
    seed=st.integers(0, 2**31),
)
def test_lossless_keeps_every_bit(tmp_path_factory, dtype, tile, seed):
    random = np.random.default_rng(seed)
    size = torch.empty(0, dtype=dtype).element_size()
    data = random.integers(0, 2 if dtype == torch.bool else 256, (9, 13 * size), dtype=np.uint8)
    tensor = torch.from_numpy(data).view(dtype)  # NaN, infinities and subnormal numbers among them
    _, decoded = by_both(tensor, tmp_path_factory.mktemp("exact"), lossless=True, tile=tile)
    assert torch.equal(decoded.view(torch.uint8), tensor.view(torch.uint8))


def test_lossless_is_no_larger_than_huffman():
    """Lower bytes that codec huffman makes smaller, exponents that it cannot predict, and bytes that nobody can."""
    generator = torch.Generator().manual_seed(13)
    noise = torch.randint(-128, 128, (60, 60), dtype=torch.int8, generator=generator)
    rows = torch.exp2(torch.arange(80.0) % 23 - 11)[:, None] * (1 + torch.rand(80, 90, generator=generator))
    cases = {
        "huffman": torch.randn(60, 60, generator=generator).half().float(),
        "generative": rows,
        "raw": noise,
    }
    for codec, tensor in cases.items():
        cm = neuralcodec.encode({"w": tensor}, "generative", lossless=True)
        assert cm.entries[0].codec == codec
        assert torch.equal(cm.decode("w"), tensor)
        assert cm.nbytes <= neuralcodec.encode({"w": tensor}, "huffman", lossless=True).nbytes


def test_fewer_bytes_than_trellis():
    """Rows of a smooth curve tell of each other, which this codec alone uses."""
    at = torch.arange(64.0)
    weights = torch.stack([torch.sin(at / (3 + k)) for k in range(64)])
    own = neuralcodec.encode({"w": weights}, "generative", step=0.05)
    other = neuralcodec.encode({"w": weights}, "trellis", step=0.05, states=8, room=None, tile=65535, small=None)
    assert snr(weights, own.decode("w")) > snr(weights, other.decode("w")) - 0.1
    assert own.nbytes < 0.81 * other.nbytes


@pytest.mark.parametrize("states", [1, 8])
@pytest.mark.parametrize(("step", "most"), [(0.02, 1.004), (0.3, 1.003), (1.5, 1.01)])  # at the last λ is larger
def test_rates_of_a_sample_are_as_good_as_trained_ones(states, step, most):
    """What the search minimizes, distortion + λ·bits, beside that of levels by the tables of codec trellis."""
    generator = torch.Generator().manual_seed(23)
    rows = torch.exp2(torch.arange(128.0) % 7 - 3)[:, None]
    weights = torch.cat((torch.randn(128, 600, generator=generator) * rows, torch.randn(128, 600, generator=generator)))
    w = tensor_of(weights)
    codec = Trellis(states=states, step=step, finer=False, room=None, tile=65535, reconstruction="error")
    found, trained = quantize(w, codec), codec.quantize(w)
    assert found.tile == trained.tile
    assert found.step == trained.step == pytest.approx(step)

    def cost(levels, columns):
        size = 8 * len(Choice(Matrix(levels, found.tile, states.bit_length() - 1, 1), Rates(), step, columns).payload())
        off = weights.numpy() / step - (levels.T if columns else levels)
        return float(np.square(off).sum()) + (LAGRANGIAN if states > 1 else LAGRANGIAN / 4) * size

    assert cost(found.levels, found.columns) < most * cost(trained.levels, trained.columns)


@pytest.mark.parametrize("states", [1, 8])
@pytest.mark.parametrize("scan", ["rows", "columns"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_what_an_encoder_knows_is_what_a_decoder_finds(states, scan, dtype):
    weights = torch.randn(40, 9, 3, 3, generator=torch.Generator().manual_seed(24)).to(dtype)
    w = tensor_of(weights)
    for options in ({"relative_step": 0.005}, {"relative_step": 0.3}, {"step": 1e6}):
        codec = Generative(states=states, scan=scan, **options)
        payload = codec.encode(w)
        known, plain = codec.decode(payload, w.spec, ()), codec.decode(bytes(payload), w.spec, ())
        assert np.array_equal(known.data, plain.data)
        assert type(pickle.loads(pickle.dumps(payload))) is bytes, "another process would be sent the levels, too"


def test_the_report_tells_what_a_decoder_loses():
    weights = torch.randn(64, 64, generator=torch.Generator().manual_seed(25))
    cm = neuralcodec.encode({"w": weights}, "generative", relative_step=0.2)
    assert cm.report().rows[0].snr_db == pytest.approx(snr(weights, cm.decode("w")), abs=1e-3)


@pytest.mark.parametrize("bits", [1.0, 3.0])
def test_meets_a_target(bits):
    generator = torch.Generator().manual_seed(1)
    state = {"a": torch.randn(128, 300, generator=generator), "b": torch.randn(64, 200, generator=generator) / 4}
    cm = neuralcodec.encode(state, "generative", target=neuralcodec.Target(bits_per_weight=bits))
    weights = sum(t.numel() for t in state.values())
    assert 8 * cm.nbytes / weights == pytest.approx(bits, rel=0.02)


def test_gaussian_weights_lose_little():
    """Independent weights have nothing to learn from: then the model must not cost much either."""
    weights = torch.randn(512, 512, generator=torch.Generator().manual_seed(2))
    cm = neuralcodec.encode({"w": weights}, "generative", target=neuralcodec.Target(bits_per_weight=3))
    bound = snr(weights, cm.decode("w")) / (20 * math.log10(2))
    assert 8 * cm.nbytes / weights.numel() - bound < 0.12


def test_tune_is_no_larger():
    weights = torch.cumsum(torch.randn(40, 60, generator=torch.Generator().manual_seed(3)), 1)
    plain = neuralcodec.encode({"w": weights}, "generative", step=0.3)
    tuned = neuralcodec.encode({"w": weights}, "generative", step=0.3, tune=True)
    assert tuned.nbytes < plain.nbytes


def curves(seed: int = 3) -> torch.Tensor:
    """Rows that are smooth, with some noise: in short tiles there is much to gain from knowing so beforehand."""
    at = torch.arange(96.0)
    rows = torch.stack([torch.sin(at / (3 + k % 7)) * (1 + k % 3) for k in range(96)])
    return rows + 0.1 * torch.randn(96, 96, generator=torch.Generator().manual_seed(seed))


def test_tuned_prior_travels_where_it_pays(tmp_path):
    state = {"b": curves(), "a": curves(4)[:40], "zeros": torch.zeros(20, 20), "kept": torch.randn(20, 20)}
    options = {"codec": "generative", "step": 0.05, "tile": 300, "exclude": "kept"}
    rates_only = Generative(step=0.05, tile=300, tune=True)
    cm = neuralcodec.encode(state, tune=True, **options)
    assert 0 < cm.shared_bytes < 300
    assert "tuned" in {e.spec.name: e.reason for e in cm.entries}["b"]
    alone = sum(len(rates_only.encode(tensor_of(state[name]))) for name in ("a", "b"))
    assert sum(len(cm.payload(name)) for name in ("a", "b")) + cm.shared_bytes < 0.99 * alone
    path = tmp_path / "tuned.safetensors"
    neuralcodec.save(cm, path)
    plain = neuralcodec.encode(state, scan="rows", **options)
    for tensor in reference.read_file(path).tensors:
        decoded = neuralcodec.load(path).decode(tensor.name)
        assert reference.decode_bytes(tensor) == decoded.reshape(-1).view(torch.uint8).numpy().tobytes()
        assert snr(state[tensor.name] + 1e-9, decoded) > snr(state[tensor.name] + 1e-9, plain.decode(tensor.name)) - 0.5
    back = neuralcodec.transcode(cm, coding="rans")
    assert torch.equal(back.decode("b"), cm.decode("b"))
    assert back.report().snr_db == cm.report().snr_db  # to the original, not to what was decoded
    assert neuralcodec.transcode(neuralcodec.load(path)).report().snr_db is None
    with ThreadPoolExecutor(2) as pool:
        other = neuralcodec.encode(dict(reversed(state.items())), tune=True, executor=pool, **options)
    assert other.to_bytes() == cm.to_bytes()


def test_tuned_prior_stays_out_where_it_does_not_pay():
    weights = torch.randn(30, 40, generator=torch.Generator().manual_seed(12))
    cm = neuralcodec.encode({"w": weights}, "generative", step=0.3, tune=2)
    assert cm.shared_bytes == 0
    assert neuralcodec.encode({"w": weights}, "generative", step=0.3, tune=0).nbytes >= cm.nbytes
    exact = neuralcodec.encode({"w": curves().to(torch.bfloat16)}, "generative", lossless=True, tune=True)
    assert exact.shared_bytes == 0


def test_tuned_meets_a_target():
    target = neuralcodec.Target(bits_per_weight=3)
    cm = neuralcodec.encode({"w": curves()}, "generative", tune=1, tile=512, target=target)
    assert 8 * cm.nbytes / 96**2 == pytest.approx(3, rel=0.02)


def test_hints_are_those_of_share():
    with pytest.raises(TypeError, match="hint"):
        Generative(tune=True).encode_shared(tensor_of(curves()), "a hint")


@settings(max_examples=10, deadline=None)
@given(
    changes=st.dictionaries(st.integers(0, WEIGHTS - 1), st.integers(-5, 5), max_size=200),
    shift=st.integers(0, 4),
    seed=st.integers(0, 2**31),
)
def test_any_tuned_prior(changes, shift, seed):
    """The encoder and the C decoder with objects of the tests' own, which the second decoder reads alike."""
    prior = _native.generative_prior()[-WEIGHTS:]
    kept = {at: by for at, by in changes.items() if 0 <= prior[at] + by * 2**shift <= 255}
    tuned = Tuned(1, tuned_prior(kept, shift))
    levels = np.random.default_rng(seed).integers(-9, 10, (6, 50)).astype(np.int16)
    payload = Choice(Matrix(levels, 120, 0, 1), Rates(), 0.5, False).payload(tuned)
    assert read_head(payload).is_tuned
    spec = TensorSpec("w", BY_NAME["f32"], (6, 50))
    objects = [SharedObject(KIND, tuned_prior({}, 0)), SharedObject(KIND, tuned.data)]
    decoded = Generative().decode(payload, spec, objects)
    assert decoded.data.tobytes() == (levels * np.float32(0.5)).tobytes()
    weights = tuned_weights(Reader(tuned.data))
    assert weights == [byte + kept.get(at, 0) * 2**shift for at, byte in enumerate(prior)]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_to_a_tuned_prior_is_an_error_or_another_prior(data):
    levels = np.arange(-50, 50, dtype=np.int16).reshape(5, 20)
    prior = _native.generative_prior()[-WEIGHTS:]
    object_ = tuned_prior({at: 1 + at % 3 for at in range(0, WEIGHTS, 40) if prior[at] < 200}, 3)
    payload = Choice(Matrix(levels, 100, 0, 1), Rates(), 0.5, False).payload(Tuned(0, object_))
    changed = bytearray(object_)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    cut = object_[: data.draw(st.integers(0, len(object_)))]
    spec = TensorSpec("w", BY_NAME["f32"], (5, 20))
    for hostile in (bytes(changed), cut):
        try:
            decoded = Generative().decode(payload, spec, [SharedObject(KIND, hostile)])
        except (CorruptError, UnsupportedError):
            continue
        assert decoded.spec == spec


@pytest.mark.parametrize(
    ("options", "match"),
    [({"tuned": b""}, "tuned"), ({"tuned": b"\x08"}, "tuned"), ({"tuned": b"\3\0"}, "tuned"), ({"rates": 69}, "rates")],
)
def test_packer_refuses(options, match):
    fields = {"tile": 9, "states_log2": 0, "kernel": 1, "rates": 5, "start": 9, **options}
    with pytest.raises(ValueError, match=match):
        _native.generative_pack(np.zeros((3, 3), np.int16), **fields)


def test_every_rate_once():
    rates = list(every_rates())
    assert rates[0] == Rates()
    assert len({each.byte for each in rates}) == len(rates) == 16


@pytest.mark.parametrize("levels", [np.zeros((1, 1)), np.full((3, 5), 1), np.full((4, 4), 32767)])
def test_start_is_in_range(levels):
    for states_log2 in (0, 3):
        assert 0 <= Matrix(levels.astype(np.int16), 16, states_log2, 1).start <= 63


def test_levels_for_firmware_without_the_original():
    """Levels come out as int8 with one scale, so that they can be coded anew for a smaller decoder."""
    weights = torch.randn(32, 32, generator=torch.Generator().manual_seed(4))
    cm = neuralcodec.encode({"w": weights}, "generative", step=0.25)
    levels, scales = cm.levels("w")
    assert levels.dtype == torch.int8
    assert torch.equal(levels.float() * scales[:, None], cm.decode("w"))


@pytest.mark.parametrize(
    ("tensor", "match"),
    [(torch.full((20, 20), float("nan")), "NaN"), (torch.full((20, 20), float("inf")), "NaN, Inf")],
)
def test_refuses_what_has_no_levels(tensor, match):
    with pytest.raises(SourceError, match=match):
        neuralcodec.encode({"w": tensor}, "generative")


@pytest.mark.parametrize(
    "options",
    [{"tile": 0}, {"tile": 65536}, {"states": 3}, {"tune": 65}, {"tune": -1}, {"tune": "yes"}, {"lossless": "yes"}],
)
def test_refuses_options(options):
    with pytest.raises(PlanError):
        neuralcodec.encode({"w": torch.randn(20, 20)}, "generative", **options)


def tensor_of(weights: torch.Tensor) -> Tensor:
    (dtype,) = (each for each in BY_NAME.values() if each.torch == weights.dtype)
    spec = TensorSpec("w", dtype, tuple(weights.shape))
    return Tensor(spec, weights.contiguous().reshape(-1).view(torch.uint8).numpy())


def payload_of(weights: torch.Tensor) -> tuple[bytes, TensorSpec]:
    tensor = tensor_of(weights)
    return Generative(step=0.25).encode(tensor), tensor.spec


def test_zeros_are_the_first_that_a_thread_decodes():
    """They want no workspace, and a new thread has none yet."""
    cm = neuralcodec.encode({"w": torch.zeros(20, 20)}, "generative", step=0.5)
    with ThreadPoolExecutor(1) as pool:
        assert torch.equal(pool.submit(cm.decode, "w").result(), torch.zeros(20, 20))


def test_names_the_version_that_is_missing():
    payload, spec = payload_of(torch.randn(20, 20, generator=torch.Generator().manual_seed(5)))
    at = 1 + 2 + 4  # mode, T, step
    assert payload[at] == _native.generative_version
    changed = payload[:at] + b"\x09" + payload[at + 1 :]
    with pytest.raises(UnsupportedError, match="version 9"):
        Generative().decode(changed, spec, [])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_is_an_error_or_other_levels(data):
    payload, spec = payload_of(torch.randn(20, 20, generator=torch.Generator().manual_seed(6)))
    at = data.draw(st.integers(0, len(payload) - 1))
    changed = bytearray(payload)
    changed[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(payload)))
    for hostile in (bytes(changed), payload[:cut]):
        try:
            decoded = Generative().decode(hostile, spec, [])
        except (CorruptError, UnsupportedError):
            continue
        assert decoded.spec == spec


def test_prior_is_the_one_that_is_described():
    data = PRIOR.read_bytes()
    assert data == _native.generative_prior()
    assert hashlib.sha256(data).hexdigest() in (ROOT / "docs" / "format.md").read_text(encoding="utf-8")


def test_training_is_deterministic_and_learns():
    generator = torch.Generator().manual_seed(7)
    matrices = [
        matrix_of("one", f"layer{k}.weight", torch.randn(40, 30, generator=generator) / (k + 1)) for k in range(3)
    ]
    how = Training(steps=(0.1, 0.6), states=(8,))
    shares: list[float] = []
    first = train(matrices, how, shares.append)
    again = train(list(reversed(matrices)), how)
    assert first == again
    assert len(first.prior) == len(PRIOR.read_bytes())
    assert shares[-1] == 1
    assert first.weights == 2 * sum(each.weights.size for each in matrices)
    assert first.bits < 6
    with pytest.raises(ValueError, match="at least one"):
        train([], how)


@pytest.mark.parametrize("states", [1, 8])
@pytest.mark.parametrize("coding", ["contexts", "rans"])
def test_transcodes_without_the_original(states, coding):
    generator = torch.Generator().manual_seed(8)
    state = {
        "w": torch.randn(40, 60, generator=generator),
        "smooth": torch.cumsum(torch.randn(30, 50, generator=generator), 1),
        "kept": torch.randn(20, 20, generator=generator),
        "bias": torch.randn(40, generator=generator),
        "zeros": torch.zeros(20, 20),
    }
    cm = neuralcodec.encode(state, "generative", step=0.25, states=states, tile=512, exclude="kept")
    other = neuralcodec.transcode(cm, coding=coding)
    assert {e.spec.name: e.codec for e in other.entries if e.codec == "trellis"}.keys() == {"w", "smooth", "zeros"}
    for name in state:
        assert torch.equal(cm.decode(name), other.decode(name))
    assert torch.equal(cm.levels("w")[0], other.levels("w")[0])
    assert other.demand().weights <= 512


@pytest.mark.parametrize("states", [8, 16, 64])
@pytest.mark.parametrize("shape", [(8, 4608), (2, 3000), (1, 700)])
def test_transcode_keeps_weights_whatever_gain_they_have(states, shape):
    w = 0.05 * torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 0.02
    for weights in (w, torch.full(shape, 0.123)):
        for step in (0.1, 1.0):
            cm = neuralcodec.encode({"w": weights}, "generative", states=states, relative_step=step)
            assert torch.equal(neuralcodec.transcode(cm).decode("w"), cm.decode("w"))


def test_transcode_keeps_metadata_and_odd_names(tmp_path):
    generator = torch.Generator().manual_seed(0)
    state = {"w*": torch.randn(64, 64, generator=generator), "wx": 0.01 * torch.randn(64, 64, generator=generator)}
    save_file(state, tmp_path / "x", {"made": "here"})
    cm = neuralcodec.encode(tmp_path / "x", "generative")
    other = neuralcodec.transcode(cm)
    assert other.metadata == {"made": "here"}
    assert all(torch.equal(cm.decode(name), other.decode(name)) for name in state)


def test_transcode_says_what_it_does_not_do():
    with pytest.raises(PlanError, match="no tensor"):
        neuralcodec.transcode(neuralcodec.encode({"w": torch.randn(20, 20)}))
    cm = neuralcodec.encode({"w": torch.randn(20, 20)}, "generative")
    with pytest.raises(PlanError, match="states"):
        neuralcodec.transcode(cm, states=4)


def test_a_transcoded_file_agrees_with_the_original_where_small_tensors_are_rounded():
    generator = torch.Generator().manual_seed(3)
    model = {"w": torch.randn(60, 80, generator=generator)}
    model |= {name: torch.randn(size, generator=generator) for name, size in (("one", 1), ("bias", 60))}
    cm = neuralcodec.encode(model, "generative", target=neuralcodec.Target(bits_per_weight=4))
    assert not torch.equal(cm.decode("one"), model["one"]), "rounded"
    small = neuralcodec.transcode(cm)
    assert all(torch.equal(small.decode(name), cm.decode(name)) for name in model)
    assert not neuralcodec.verify(cm, model).problems
    assert not neuralcodec.verify(small, model).problems
    with pytest.raises(neuralcodec.PlanError, match="small"):
        neuralcodec.transcode(cm, small=3)


def test_transcode_on_the_command_line(tmp_path):
    source, packed, small = (tmp_path / f"{name}.safetensors" for name in ("model", "model.nc", "model.mcu"))
    save_file({"w": torch.randn(30, 40, generator=torch.Generator().manual_seed(9))}, source)
    run = [sys.executable, "-m", "neuralcodec"]
    encode = ["encode", str(source), "-c", "generative", "-O", "step=0.2", "-O", "tile=256", "-q"]
    subprocess.run([*run, *encode], check=True, capture_output=True)
    done = subprocess.run(
        [*run, "transcode", str(packed), "-O", "coding=rans", "--json"], check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["output"] == str(small)
    assert torch.equal(neuralcodec.load(packed).decode("w"), neuralcodec.load(small).decode("w"))


def test_exports_its_levels_with_a_decoder_that_fits(tmp_path):
    generator = torch.Generator().manual_seed(10)
    module = torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.ReLU(), torch.nn.Linear(30, 20))
    cm = neuralcodec.encode(module, "generative", step=0.02)
    inputs = torch.randn(20, 40, generator=generator)
    report = neuralcodec.export_firmware(cm, module, inputs[:1], inputs, tmp_path / "network")
    assert all("generative" in layer.recoded for layer in report.layers)
    assert report.ram_bytes < 10_000


def test_reconstruction_is_that_of_the_trellis():
    w = {"w": torch.randn(60, 70, generator=torch.Generator().manual_seed(3))}
    settings = {"relative_step": 0.6, "states": 8, "tile": 65_535}
    norms = {}
    for kind in ("norm", "error"):
        found = neuralcodec.encode(w, codec="generative", reconstruction=kind, **settings).decode("w")
        plain = neuralcodec.encode(w, codec="trellis", reconstruction=kind, room=None, **settings).decode("w")
        assert float(found.norm() / plain.norm()) == pytest.approx(1, abs=0.01)
        norms[kind] = float(found.norm() / w["w"].norm())
    assert norms["norm"] == pytest.approx(1, abs=1e-3)
    assert norms["error"] < 0.97
    with pytest.raises(PlanError, match="reconstruction: 'norm' or 'error' expected"):
        neuralcodec.encode(w, codec="generative", reconstruction="mean")

"""encode, decode, save, load and what a compressed model can do."""

import math
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from samples import Net, weights
from torch import nn

import neuralcodec
from neuralcodec import NeuralCodecError, PlanError, RegistryError, SourceError, Target

DTYPES = [
    torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.int16, torch.int32,
    torch.int64, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64,
    torch.complex64,
]  # fmt: skip


NOT_IN_NUMPY = (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


def same_bits(a, b):
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    return (
        a.contiguous().numpy(force=True).tobytes() == b.contiguous().numpy(force=True).tobytes()
        if (a.dtype not in NOT_IN_NUMPY)
        else torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))
    )


def snr(original, decoded):
    a, b = original.double(), decoded.double()
    return 10 * math.log10(float((a**2).sum() / ((a - b) ** 2).sum()))


def test_default_keeps_small_tensors_exact_and_the_rest_close(net, tmp_path):
    cm = neuralcodec.encode(net)
    neuralcodec.save(cm, tmp_path / "m.safetensors")
    decoded = neuralcodec.decode(tmp_path / "m.safetensors")
    original = net.state_dict()
    assert decoded.keys() == original.keys()
    for name, tensor in original.items():
        if tensor.dim() >= 2 and tensor.numel() >= 256:
            assert snr(tensor, decoded[name]) > 28, name
            assert decoded[name].dtype == tensor.dtype
        else:
            assert same_bits(tensor, decoded[name]), name
    assert cm.nbytes == (tmp_path / "m.safetensors").stat().st_size


def test_ties_are_stored_once_and_come_back_tied(net, tmp_path):
    cm = neuralcodec.encode(net)
    neuralcodec.save(cm, tmp_path / "m.safetensors")
    loaded = neuralcodec.load(tmp_path / "m.safetensors")
    for model in (cm, loaded):
        state = model.state_dict()
        assert state["head.weight"] is state["embed.weight"]
        rows = {row.name: row for row in model.report().rows}
        assert rows["head.weight"].codec == "tied"
        assert rows["head.weight"].encoded_bytes == 0
    other = type(net)()
    loaded.load_into(other)
    assert other.head.weight is other.embed.weight
    assert torch.equal(other.head.weight, cm.decode("head.weight"))


def test_load_into_is_strict(net):
    cm = neuralcodec.encode(net)
    other = type(net)()
    other.extra = torch.nn.Linear(2, 2)
    before = other.conv.weight.clone()
    with pytest.raises(neuralcodec.NeuralCodecError, match=r"extra\.weight"):
        cm.load_into(other)
    assert torch.equal(before, other.conv.weight)
    keys = cm.load_into(other, strict=False)
    assert keys.missing_keys == ["extra.weight", "extra.bias"]
    assert keys.unexpected_keys == []
    assert torch.equal(other.conv.weight, cm.decode("conv.weight"))
    other.conv = torch.nn.Conv2d(3, 8, 3)
    with pytest.raises(neuralcodec.NeuralCodecError, match="other shape"):
        cm.load_into(other, strict=False) and cm.load_into(other)


@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(0, 40), max_size=4).filter(lambda s: math.prod(s) < 20_000),
    seed=st.integers(0, 99),
    kind=st.sampled_from(["bytes", "weights", "constant"]),
)
def test_lossless_is_bit_exact_for_any_bytes(dtype, shape, seed, kind):
    n = math.prod(shape) * torch.empty(0, dtype=dtype).element_size()
    rng = np.random.default_rng(seed)
    if kind == "weights" and dtype.is_floating_point:
        tensor = weights(*shape, seed=seed).to(dtype)
    elif dtype == torch.bool:
        tensor = torch.from_numpy(rng.integers(0, 2, n).astype(bool)).reshape(shape)
    else:
        raw = np.full(n, seed, np.uint8) if kind == "constant" else rng.integers(0, 256, n).astype(np.uint8)
        tensor = torch.frombuffer(bytearray(raw), dtype=dtype) if n else torch.empty(0, dtype=dtype)
        tensor = tensor.reshape(shape)  # NaN payloads, infinities and denormals among them
    cm = neuralcodec.encode({"w": tensor}, lossless=True)
    assert same_bits(cm.decode("w"), tensor)
    payload = cm.entries[0].place.size
    assert payload <= tensor.numel() * tensor.element_size()


@given(
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64]),
    shape=st.lists(st.integers(1, 50), min_size=2, max_size=3).filter(lambda s: 256 <= math.prod(s) < 20_000),
    bits=st.integers(2, 8),
    scale=st.sampled_from(["row", "tensor"]),
    tile=st.sampled_from([None, 1, 7, 64, 4000]),
)
def test_tiles_put_together_are_the_tensor(dtype, shape, bits, scale, tile):
    tensor = weights(*shape, dtype=dtype)
    cm = neuralcodec.encode({"w": tensor}, "huffman", bits=bits, scale=scale, tile=tile)
    whole = cm.decode("w")
    assert whole.dtype == dtype
    assert whole.shape == tensor.shape
    tiles = [cm.decode_tile("w", i) for i in range(cm.tiles("w"))]
    assert same_bits(torch.cat([t.reshape(-1) for t in tiles]), whole.reshape(-1))
    levels, scales = cm.levels("w")
    assert levels.dtype == torch.int8
    assert int(levels.abs().max()) <= 2 ** (bits - 1) - 1
    again = (levels.reshape(len(scales), -1).float() * scales[:, None]).to(dtype).reshape(shape)
    assert same_bits(again, whole)


def test_awkward_tensors():
    base = weights(64, 64)
    model = {
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 5),
        "one": torch.ones(1, 1),
        "strided": base.t(),
        "sliced": base[::2, 1::3],
        "stride_0": torch.ones(1).expand(1, 1).as_strided((1,), (0,)),
        "expanded": torch.ones(1, 512).expand(16, 512),
        "equal": torch.full((100, 100), 0.25),
        "zeros": torch.zeros(100, 100),
        "steps": torch.arange(5),
        "numpy": np.float32(2.0),
        "numpy_backwards": np.arange(300, dtype=np.float32).reshape(3, 100)[:, ::-1],
        "big_endian": np.arange(300, dtype=">f4").reshape(3, 100),
    }
    cm = neuralcodec.encode(model)
    decoded = cm.state_dict()
    for name, value in model.items():
        original = value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value, dtype=np.float32))
        assert decoded[name].shape == original.shape, name
        if original.dim() >= 2 and original.numel() >= 256 and float(original.abs().max()):
            assert snr(original, decoded[name]) > 28, name
        else:
            assert torch.equal(decoded[name], original), name
    rows = {row.name: row for row in cm.report().rows}
    assert rows["equal"].bits_per_weight < 0.5  # few levels, which lie around the weight in turn
    assert rows["zeros"].encoded_bytes < 40


def test_same_bytes_whatever_the_order_and_the_executor():
    model = {f"layer{i}.weight": weights(40 + i, 64, seed=i) for i in range(12)}
    wanted = neuralcodec.encode(model).to_bytes()
    backwards = dict(reversed(list(model.items())))
    assert neuralcodec.encode(backwards).to_bytes() == wanted
    with ThreadPoolExecutor(4) as pool:
        assert neuralcodec.encode(model, executor=pool).to_bytes() == wanted
    with ProcessPoolExecutor(1) as pool:
        assert neuralcodec.encode(model, executor=pool).to_bytes() == wanted


def test_a_model_without_tensors(tmp_path):
    neuralcodec.save(neuralcodec.encode({}), tmp_path / "none.safetensors")
    assert neuralcodec.decode(tmp_path / "none.safetensors") == {}


def test_files_go_in_and_metadata_come_along(tmp_path):
    state = {"a.weight": weights(64, 64), "a.bias": weights(64)}
    save_file(state, tmp_path / "in.safetensors", {"format": "pt", "note": "grün"})
    from_file = neuralcodec.encode(tmp_path / "in.safetensors")
    assert from_file.to_bytes() == neuralcodec.encode(state).to_bytes()
    neuralcodec.save(from_file, tmp_path / "out.safetensors")
    assert neuralcodec.load(tmp_path / "out.safetensors").metadata == {"format": "pt", "note": "grün"}
    assert list(load_file(tmp_path / "out.safetensors")) == ["neuralcodec"]  # any reader can read it
    with pytest.raises(SourceError, match="already"):
        neuralcodec.encode(tmp_path / "out.safetensors")


def test_include_and_exclude():
    model = {"enc.weight": weights(32, 32), "dec.weight": weights(32, 32, seed=1)}
    for options in (
        {"include": "enc.*"},
        {"exclude": ["dec.*"]},
        {"include": lambda name: name < "e", "exclude": "dec*"},
    ):
        cm = neuralcodec.encode(model, **options)
        assert torch.equal(cm.decode("dec.weight"), model["dec.weight"]), options
        assert torch.equal(cm.decode("enc.weight"), model["enc.weight"]) == callable(options.get("include"))
    assert "not chosen" in {row.name: row.reason for row in cm.report().rows}["dec.weight"]
    with pytest.raises(PlanError, match=r"no tensor matches 'encoder"):
        neuralcodec.encode(model, include="encoder.*")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nonfinite_weights(bad):
    tensor = weights(32, 32)
    tensor[3, 4] = bad
    with pytest.raises(SourceError, match=r"tensor 'w': 1 of 1024 weights"):
        neuralcodec.encode({"w": tensor})
    kept = neuralcodec.encode({"w": tensor}, on_nonfinite="raw")
    assert same_bits(kept.decode("w"), tensor)
    assert same_bits(neuralcodec.encode({"w": tensor}, lossless=True).decode("w"), tensor)
    huge = tensor.double()
    huge[3, 4] = 1e300
    with pytest.raises(SourceError, match="float32"):
        neuralcodec.encode({"w": huge})


def test_steps_beside_a_target():
    state = {"a": weights(64, 64), "b": weights(64, 64, seed=1)}
    for codec, options in (
        ("trellis", {"step": 0.01}),
        ("trellis", {"relative_step": 0.1}),
        ("huffman", {"bits": 4}),
        ("kmeans", {"step": 0.01}),
    ):
        (name,) = options
        with pytest.raises(PlanError, match=f"^{name}: a target finds the step"):
            neuralcodec.encode(state, codec, Target(bits_per_weight=4), **options)
        fixed = neuralcodec.encode(state, codec, overrides={"a": options})
        cm = neuralcodec.encode(state, codec, Target(bits_per_weight=5), overrides={"a": options})
        assert torch.equal(cm.decode("a"), fixed.decode("a"))
        assert cm.report().bits_per_weight == pytest.approx(5, rel=0.02)


def test_what_is_no_compressed_model(tmp_path):
    net = nn.Linear(20, 20)
    cm = neuralcodec.encode(net)
    for call in (
        lambda: neuralcodec.save(net.state_dict(), tmp_path / "x"),
        lambda: neuralcodec.decode(5),
        lambda: neuralcodec.tiled(net, "x.safetensors"),
        lambda: neuralcodec.transcode({}),
        lambda: neuralcodec.export_c(net, tmp_path / "x.c"),
        lambda: neuralcodec.export_firmware(net, net, torch.zeros(1, 20), None, tmp_path),
    ):
        with pytest.raises(NeuralCodecError, match=r"^a CompressedModel expected, not (dict|OrderedD|int|str|Lin)"):
            call()
    for call in (cm.load_into, lambda model: neuralcodec.tiled(model, cm)):
        with pytest.raises(NeuralCodecError, match=r"a torch\.nn\.Module expected, not dict"):
            call({})
    with pytest.raises(TypeError):
        cm.decode_tile("weight", "0")
    assert torch.equal(cm.decode_tile("weight", -1), cm.decode_tile("weight", cm.tiles("weight") - 1))
    with pytest.raises(PlanError, match="min_snr: without the original"):
        neuralcodec.verify(cm, min_snr=10)


def test_errors_name_what_is_wrong(tmp_path):
    w = {"w": weights(32, 32)}
    with pytest.raises(RegistryError, match="did you mean 'huffman'"):
        neuralcodec.encode(w, codec="hufman")
    with pytest.raises(PlanError, match="did you mean 'states'"):
        neuralcodec.encode(w, state=4)
    with pytest.raises(PlanError, match=r"codec 'trellis' has no option 'bits' \('huffman' has it\)"):
        neuralcodec.encode(w, bits=4)
    with pytest.raises(PlanError, match=r"\('huffman' and 'generative' have 'lossless'\)$"):
        neuralcodec.encode(w, lossles=True)
    with pytest.raises(PlanError, match=r"it is a target, target=neuralcodec.Target\(bits_per_weight=...\)"):
        neuralcodec.encode(w, target_bits=4)
    with pytest.raises(RegistryError, match="did you mean 'trellis'"):
        neuralcodec.encode(w, codec="TRELLIS")
    with pytest.raises(PlanError, match="overrides for 'w': codec 'trellis': states"):
        neuralcodec.encode(w, overrides={"w": {"states": 5}})
    with pytest.raises(PlanError, match=r"no tensor matches 'layer1.weigth'; did you mean 'layer1.weight'\?"):
        neuralcodec.encode({"a": w["w"], "layer1.weight": w["w"]}, include="layer1.weigth")
    with pytest.raises(PlanError, match="progress: a function"):
        neuralcodec.encode(w, progress=True)
    with pytest.raises(PlanError, match="bits"):
        neuralcodec.encode(w, "huffman", bits=11)
    with pytest.raises(PlanError, match="lossless"):
        neuralcodec.encode(w, lossless=True, target=Target(bits_per_weight=4))
    with pytest.raises(PlanError, match="on_nonfinite"):
        neuralcodec.encode(w, on_nonfinite="ignore")
    with pytest.raises(SourceError, match="cannot encode a int"):
        neuralcodec.encode(5)
    with pytest.raises(SourceError, match=r"tensor 'x'.*NoneType"):
        neuralcodec.encode({"x": None})
    with pytest.raises(SourceError, match="strings"):
        neuralcodec.encode({5: weights(2)})
    with pytest.raises(SourceError, match="Unicode"):
        neuralcodec.encode({"\ud800": weights(2)})
    with pytest.raises(SourceError, match="meta"):
        neuralcodec.encode({"x": torch.empty(2, device="meta")})
    with pytest.raises(SourceError, match="sparse"):
        neuralcodec.encode({"x": torch.eye(3).to_sparse()})
    with pytest.raises(SourceError, match="no such file"):
        neuralcodec.encode(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("hello, this is no model")
    with pytest.raises(SourceError, match="not a safetensors file"):
        neuralcodec.encode(tmp_path / "text")
    cm = neuralcodec.encode(w)
    with pytest.raises(KeyError, match="no tensor named 'v'"):
        cm.decode("v")
    with pytest.raises(IndexError, match="tiles"):
        cm.decode_tile("w", 99)
    with pytest.raises(ValueError, match="exactly one"):
        Target(bits_per_weight=3, snr_db=20)
    with pytest.raises(ValueError, match="positive"):
        Target(max_bytes=-1)


def test_hostile_names_survive(tmp_path):
    names = [
        "",
        "../../etc/passwd",
        "a\x00b",
        "__metadata__",
        "neuralcodec",
        "[red]",
        "ключ",
        "*/ int x; /*",
        "w" * 3000,
    ]
    model = {name: weights(4, seed=i) for i, name in enumerate(names)}
    neuralcodec.save(neuralcodec.encode(model), tmp_path / "m.safetensors")
    decoded = neuralcodec.decode(tmp_path / "m.safetensors")
    assert decoded.keys() == model.keys()
    assert all(torch.equal(decoded[n], model[n]) for n in names)
    str(neuralcodec.load(tmp_path / "m.safetensors").report())


@pytest.mark.parametrize("bits", [1.5, 3, 6])
def test_target_bits(silero_path, bits):
    cm = neuralcodec.encode(silero_path, target=Target(bits_per_weight=bits), states=64 if bits == 3 else 8)
    assert cm.report().bits_per_weight == pytest.approx(bits, rel=0.02)
    assert cm.report().bits_per_weight <= bits


@pytest.mark.parametrize("snr_db", [8, 20, 35])
def test_target_snr(silero_path, snr_db):
    cm = neuralcodec.encode(silero_path, target=Target(snr_db=snr_db), states=8)
    assert cm.report().snr_db == pytest.approx(snr_db, rel=0.02)
    original, decoded = load_file(silero_path), cm.state_dict()
    big = [n for n, t in original.items() if t.dim() >= 2 and t.numel() >= 256]
    everything = [torch.cat([d[n].reshape(-1) for n in big]) for d in (original, decoded)]
    assert snr(*everything) == pytest.approx(cm.report().snr_db, abs=1e-3)


def test_target_bytes(silero_path, tmp_path):
    cm = neuralcodec.encode(silero_path, target=Target(max_bytes=100_000), states=8)
    neuralcodec.save(cm, tmp_path / "m.safetensors")
    assert 98_000 <= (tmp_path / "m.safetensors").stat().st_size <= 100_000
    roomy = neuralcodec.encode(silero_path, target=Target(max_bytes=10**9), states=8)
    assert roomy.report().snr_db > 35  # the finest there is


def test_targets_that_cannot_be_met_say_what_can(silero_path):
    for target in (Target(max_bytes=1000), Target(bits_per_weight=30), Target(snr_db=140)):
        with pytest.raises(PlanError, match="the nearest is") as caught:
            neuralcodec.encode(silero_path, target=target, states=8)
        assert caught.value.nearest is not None
        assert caught.value.nearest > 0
    with pytest.raises(PlanError, match="no tensor is coded lossily"):
        neuralcodec.encode({"b": weights(10)}, target=Target(bits_per_weight=3))


def test_report(net, tmp_path):
    cm = neuralcodec.encode(net)
    report = cm.report()
    as_dict = report.to_dict()
    assert as_dict["encoded_bytes"] == cm.nbytes
    assert as_dict["ratio"] == pytest.approx(as_dict["original_bytes"] / cm.nbytes)
    rows = {row["name"]: row for row in as_dict["tensors"]}
    assert rows["conv.bias"]["snr_db"] == "inf"
    assert "fewer than 2 dimensions" in rows["conv.bias"]["reason"]
    decoded = cm.decode("depthwise.weight")
    original = net.depthwise.weight.detach()
    assert rows["depthwise.weight"]["snr_db"] == pytest.approx(snr(original, decoded), abs=1e-3)
    assert rows["depthwise.weight"]["max_error"] == pytest.approx(float((original - decoded).abs().max()))
    text = str(report)
    assert "depthwise.weight" in text
    neuralcodec.save(cm, tmp_path / "m.safetensors")
    assert neuralcodec.load(tmp_path / "m.safetensors").report().snr_db is None  # not known without the original


def test_verify_takes_no_other_model_for_a_rounded_one():
    state = {"bn.weight": torch.ones(64), "bn.bias": torch.zeros(64), "w": weights(20, 30)}
    other = {**state, "bn.weight": torch.full((64,), 1.3), "bn.bias": torch.full((64,), 0.7)}
    exact = neuralcodec.encode(state, lossless=True)
    assert not neuralcodec.verify(exact, state).problems
    assert len(neuralcodec.verify(exact, other).problems) == 2
    near = {**state, "bn.weight": torch.full((64,), 1.001)}  # which 7 bits do not tell from 1, but nothing was rounded
    assert len(neuralcodec.verify(exact, near).problems) == 1
    assert len(neuralcodec.verify(neuralcodec.encode(state, "raw"), near).problems) == 1
    short = neuralcodec.encode(near, target=neuralcodec.Target(bits_per_weight=6))
    assert torch.equal(short.decode("bn.weight"), state["bn.weight"])
    assert not neuralcodec.verify(short, near).problems
    assert len(neuralcodec.verify(short, other).problems) == 2
    # In large tensors rounding shows by many different elements.
    w = weights(20, 30)
    cm = neuralcodec.encode({"w": w}, "huffman", mantissa=3)
    assert not neuralcodec.verify(cm, {"w": w}).problems
    assert neuralcodec.verify(cm, {"w": w * 1.01}).problems
    cm = neuralcodec.encode({"w": torch.full((20, 30), 1.5)}, lossless=True)
    assert neuralcodec.verify(cm, {"w": torch.full((20, 30), 1.45)}).problems
    outliers = weights(20, 100)
    outliers[:, 0] = 1000
    cm = neuralcodec.encode({"w": outliers}, "huffman")
    assert cm.is_lossless("w")
    assert not neuralcodec.verify(cm, {"w": outliers}).problems
    assert neuralcodec.verify(cm, {"w": outliers * 1.01}).problems


@pytest.mark.parametrize("bits", [0.3, 1, 4])
@pytest.mark.parametrize("codec", ["trellis", "kmeans", "regression", "autoencoder", "generative", "huffman"])
def test_verify_tells_networks_apart_by_their_weights_alone(codec, bits):
    state = {"w": weights(300, 400), "short": weights(20, 30)}
    try:
        cm = neuralcodec.encode(state, codec, target=Target(bits_per_weight=bits))
    except PlanError:
        assert bits < 1  # beyond what the codec reaches
        return
    assert not neuralcodec.verify(cm, state).problems
    for other in (weights(300, 400, seed=1), torch.full((300, 400), torch.nan), torch.zeros(300, 400)):
        (problem,) = neuralcodec.verify(cm, {**state, "w": other}).problems
        assert "'w' has nothing to do with the original" in problem


def test_verify_takes_what_importance_leaves():
    state = {"w": weights(300, 400)}
    state["w"][:, 0] *= 0.1
    importance = torch.full((300, 400), 1e-9)
    importance[:, 0] = 1
    cm = neuralcodec.encode(state, target=Target(bits_per_weight=0.05), importance={"w": importance})
    assert not neuralcodec.verify(cm, state).problems


def test_verify_takes_tied_weights_and_compressed_models(tmp_path):
    net = Net()
    cm = neuralcodec.encode(net)
    neuralcodec.save(cm, tmp_path / "net")
    for each in (cm, tmp_path / "net", str(tmp_path / "net")):
        found = neuralcodec.verify(each, net)
        assert not found.problems
        assert found.tensors == len(net.state_dict())
    state = net.state_dict()
    del state["head.weight"]
    assert "'head.weight' is not in the original" in neuralcodec.verify(cm, state).problems[0]
    apart = neuralcodec.encode({k: v.clone() for k, v in net.state_dict().items() if k != "head.weight"})
    assert "'head.weight' of the original is missing" in neuralcodec.verify(apart, net).problems[0]


def test_options_that_do_nothing_if_lossless_are_refused():
    state = {"w": weights(20, 30)}
    for codec, options in (
        (None, {"bits": 4}),
        ("huffman", {"step": 0.1, "scale": "row"}),
        ("generative", {"states": 64}),
    ):
        with pytest.raises(PlanError, match=f"{' and '.join(options)} would do nothing"):
            neuralcodec.encode(state, codec, lossless=True, **options)
        usual = dict.fromkeys(options) if codec != "generative" else {"states": 8}
        neuralcodec.encode(state, codec, lossless=True, tile=64, **usual)
    with pytest.raises(PlanError, match="bits would do nothing"):
        neuralcodec.encode(state, lossless=True, overrides={"w": {"bits": 4}})
    cm = neuralcodec.encode(state, "huffman", bits=3, overrides={"w": {"lossless": True}})
    assert torch.equal(cm.decode("w"), state["w"])
    assert not torch.equal(
        neuralcodec.encode(state, lossless=True, overrides={"w": {"lossless": False, "bits": 4}}).decode("w"),
        state["w"],
    )


def test_small_tensors_stay_exact_beside_a_lossless_codec():
    """Whatever pattern of overrides they match: the codec that they would have decides."""
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 16, 3))
    options = {"codec": "huffman", "bits": 4, "lossless": False}
    for base in ({"lossless": True}, {"codec": "raw"}, {}):
        cm = neuralcodec.encode(model, overrides={"*": options}, **base)
        lossy = {row.name for row in cm.report().rows if row.snr_db != math.inf}
        assert lossy == {"0.weight", "2.weight"}
    whole = {"i": torch.randint(0, 9, (40, 40))}
    cm = neuralcodec.encode(whole, "raw", overrides={"i": {"codec": "trellis"}})
    assert torch.equal(cm.decode("i"), whole["i"])


def test_importance_is_read_whatever_torchs_default_device_is():
    model, given = {"w": weights(40, 60)}, weights(40, 60).abs()
    wanted = neuralcodec.encode(model, "trellis", importance={"w": given}).to_bytes()
    with torch.device("meta"):
        assert neuralcodec.encode(model, "trellis", importance={"w": given}).to_bytes() == wanted


def test_a_tied_tensor_has_one_importance():
    w, given = weights(40, 60), weights(40, 60).abs()
    model = {"a": w, "b": w}
    wanted = neuralcodec.encode(model, "trellis", importance={"b": given}).to_bytes()
    both = {"a": given, "b": given.numpy().copy()}
    assert neuralcodec.encode(model, "trellis", importance=both).to_bytes() == wanted
    with pytest.raises(SourceError, match=r"'b'.*two that differ"):
        neuralcodec.encode(model, "trellis", importance={"a": given, "b": 2 * given})


def test_importance_that_would_do_nothing_is_refused():
    model = {"v": weights(64, 64), "b": weights(64)}
    ones = {name: torch.ones_like(each) for name, each in model.items()}
    neuralcodec.encode(model, "trellis", importance=ones)  # of a small tensor as well, as gradients are
    with pytest.raises(PlanError, match="'huffman', which 'v' has, does not weight"):
        neuralcodec.encode(model, "trellis", importance=ones, overrides={"v": {"codec": "huffman", "bits": 4}})
    with pytest.raises(PlanError, match="'regression' does not weight"):
        neuralcodec.encode(model, "regression", base="huffman", importance=ones)


def test_damage_is_not_copied(tmp_path):
    path = tmp_path / "model"
    neuralcodec.save(neuralcodec.encode({"u": weights(64, 64), "v": weights(300, 300)}), path)
    cm = neuralcodec.load(path)
    whole = cm.to_bytes()
    with path.open("r+b") as file:
        file.seek(-2000, 2)
        file.write(b"\0" * 64)
    (tmp_path / "copy").write_bytes(b"old")
    for copy in (lambda: neuralcodec.save(cm, tmp_path / "copy"), cm.to_bytes, lambda: pickle.dumps(cm)):
        with pytest.raises(neuralcodec.ChecksumError, match="tensor 'v'"):
            copy()
    assert (tmp_path / "copy").read_bytes() == b"old"
    assert len(whole) < path.stat().st_size

"""Codec kmeans: what it keeps, how small it is, and that both decoders agree on it."""

import hashlib
import math

import constriction
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import bell, stream_of, tensor

import neuralcodec
from neuralcodec import Target, _native, reference
from neuralcodec.codecs.kmeans import KMeans, coding, frequencies
from neuralcodec.codecs.kmeans.scales import of_rows
from neuralcodec.errors import BitstreamError, PlanError, SourceError

FLOATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
PRECISION = {"fp32": 2.0**-24, "fp16": 2.0**-11, "bf16": 2.0**-8}


def entropy_bytes(symbols):
    counts = np.bincount(np.asarray(symbols).reshape(-1))
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / counts.sum())).sum() / 8)


options = st.fixed_dictionaries(
    {
        "clusters": st.sampled_from([None, 1, 2, 3, 16, 100, 256]),
        "centroids": st.sampled_from(["fp32", "fp16", "bf16", "int8"]),
        "coding": st.sampled_from(["auto", "fixed", "huffman", "rans"]),
        "scale": st.sampled_from(["tensor", "row"]),
        "group": st.sampled_from([None, 1, 3, 1000]),
        "entropy": st.sampled_from([0.0, 0.0, 0.05]),
        "tile": st.sampled_from([None, 1, 7, 64, 1000]),
    }
)


@given(
    options=options,
    dtype=st.sampled_from(FLOATS),
    shape=st.lists(st.integers(1, 30), min_size=0, max_size=3).filter(lambda s: math.prod(s) <= 3000),
    seed=st.integers(0, 50),
)
def test_every_decoder_gives_centroids(options, dtype, shape, seed):
    codec = KMeans(**options)
    t = tensor(bell(*shape, seed=seed).to(dtype))
    payload = codec.encode(t)
    assert codec.encode(t) == payload
    decoded = codec.decode(payload, t.spec, [])

    reader = _native.open_payload(payload, 3, t.spec.dtype.number, t.spec.shape, [])
    assert reader.has_indices
    assert reader.has_levels == (codec.centroids == "int8")
    books, scales = reader.codebooks(), reader.scales()
    indices = reader.indices().reshape(t.spec.rows, t.spec.cols)
    rows = codec.group if len(books) > 1 else t.spec.rows
    parts = [reader.elements(i, i + 1) for i in range(reader.tiles)]
    assert np.array_equal(np.concatenate(parts), decoded.data)

    ref = reference.read_stream(stream_of({"w": (t.spec, payload)}, codec)).tensors[0]
    assert reference.decode_bytes(ref) == decoded.data.tobytes()
    assert reference.decode_indices(ref) == indices.reshape(-1).tolist()
    if codec.centroids == "int8":
        assert reference.decode_levels(ref) == reader.levels().tolist()
    centroid = books[np.arange(t.spec.rows)[:, None] // rows, indices]
    expected = torch.from_numpy(centroid * scales[:, None]).to(dtype)
    assert torch.equal(decoded.torch().reshape(expected.shape), expected)


@given(
    seed=st.integers(0, 99),
    values=st.integers(1, 40),
    centroids=st.sampled_from(["fp32", "fp16", "bf16"]),
    coding=st.sampled_from(["auto", "fixed", "huffman", "rans"]),
)
def test_few_values_are_kept(seed, values, centroids, coding):
    rng = np.random.default_rng(seed)
    book = np.concatenate([[0.0], rng.standard_normal(values - 1)]).astype(np.float32)
    w = torch.from_numpy(book[rng.integers(0, values, (17, 23))])
    codec = KMeans(clusters=max(values, 2), zero=True, centroids=centroids, coding=coding)
    decoded = codec.decode(codec.encode(tensor(w)), tensor(w).spec, []).torch()
    assert ((decoded - w).abs() <= w.abs() * PRECISION[centroids]).all()
    assert torch.equal(decoded == 0, w == 0)


def test_zero_stays_zero():
    w = bell(64, 100) + 0.3
    w[bell(64, 100, seed=1) > 0] = 0
    for codec in (KMeans(zero=True), KMeans(zero=True, centroids="int8"), KMeans(zero=True, entropy=0.1)):
        decoded = codec.decode(codec.encode(tensor(w)), tensor(w).spec, []).torch()
        assert (decoded[w == 0] == 0).all()


def test_few_zeros_stay_zeros_whatever_the_rate():
    w = bell(128, 64)
    w[torch.from_numpy(np.random.default_rng(2).random((128, 64)) < 0.005)] = 0
    for codec in (KMeans(zero=True, group=8, entropy=0.3), KMeans(zero=True, group=16, step=0.5)):
        decoded = codec.decode(codec.encode(tensor(w)), tensor(w).spec, []).torch()
        assert (decoded[w == 0] == 0).all()


@pytest.mark.parametrize(
    "w",
    [
        torch.full((20, 30), 0.25),
        torch.zeros(20, 30),
        torch.tensor(3.5),
        torch.zeros(0, 5),
        torch.full((5, 100), 2.0**-149),
        torch.arange(600.0).reshape(20, 30) * 2.0**-149,
        10.0 ** torch.linspace(-38, 38, 600).reshape(20, 30),
        torch.tensor([[3e38, -3e38, 1e-45, 0.0] * 100]),
        torch.cat([torch.zeros(10, 50), torch.ones(1, 50)]),
    ],
    ids=["constant", "zeros", "scalar", "empty", "denormal", "denormals", "range", "extremes", "ties"],
)
@pytest.mark.parametrize("options", [{}, {"clusters": 256}, {"scale": "row"}, {"centroids": "int8"}, {"entropy": 0.1}])
def test_odd_tensors(w, options):
    codec = KMeans(**options)
    t = tensor(w)
    decoded = codec.decode(codec.encode(t), t.spec, []).torch()
    assert decoded.shape == w.shape
    assert torch.isfinite(decoded).all()
    if len(torch.unique(w)) == 1 and "centroids" not in options and w.abs().max() > 1e-5:
        assert torch.allclose(decoded, w, rtol=2.0**-11)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_not_finite(bad):
    w = bell(8, 40)
    w[3, 7] = bad
    with pytest.raises(SourceError, match="1 of 320 weights") as caught:
        KMeans().encode(tensor(w, "layer.w"))
    assert caught.value.tensor == "layer.w"
    assert KMeans(shared=True).survey(tensor(w)) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clusters": 0}, "clusters: an integer from 1 to 256"),
        ({"clusters": 257}, "clusters: "),
        ({"clusters": 1, "zero": True}, "clusters: at least 2"),
        ({"centroids": "fp8"}, "centroids: 'fp32', 'fp16', 'bf16' or 'int8' expected"),
        ({"coding": "arithmetic"}, "coding: "),
        ({"scale": "column"}, "scale: "),
        ({"group": 0}, "group: "),
        ({"entropy": -1.0}, "entropy: a number from 0 on"),
        ({"step": 0.0}, "step: "),
        ({"tile": 70000}, "tile: "),
        ({"shared": True, "group": 4}, "group: a codebook for groups of rows cannot be shared"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(PlanError, match=message):
        neuralcodec.encode({"w": bell(20, 20)}, codec="kmeans", **options)


@pytest.mark.parametrize("target", [Target(bits_per_weight=2), Target(bits_per_weight=4), Target(snr_db=20)])
def test_targets(target):
    state = {f"{i}.w": bell(128, 256, seed=i) * (1 + i) for i in range(3)}
    cm = neuralcodec.encode(state, codec="kmeans", target=target)
    report = cm.report()
    if target.snr_db is not None:
        assert report.snr_db == pytest.approx(target.snr_db, rel=0.02)
    else:
        assert report.bits_per_weight == pytest.approx(target.bits_per_weight, rel=0.02)
    # Entropy-constrained: as good as a uniform quantizer with an entropy coder, within what tables cost.
    uniform = neuralcodec.encode(state, "huffman", target=target).report()
    assert report.snr_db - 6.02 * report.bits_per_weight > uniform.snr_db - 6.02 * uniform.bits_per_weight - 0.3


def test_entropy_takes_bits_for_little_distortion():
    w = bell(256, 256)
    plain, constrained = (
        neuralcodec.encode({"w": w}, codec="kmeans", clusters=32, entropy=e).report() for e in (0.0, 0.02)
    )
    saved = plain.bits_per_weight - constrained.bits_per_weight
    assert saved > 0.3
    assert plain.snr_db - constrained.snr_db < 6.02 * saved


def test_groups_and_rows_lower_the_distortion():
    w = bell(32, 400) * torch.logspace(-2, 1, 32)[:, None]
    one, groups, rows = (
        neuralcodec.encode({"w": w / w.abs().mean(1, keepdim=True) ** 0.5}, codec="kmeans", clusters=8, **o).report()
        for o in ({}, {"group": 4}, {"scale": "row"})
    )
    assert groups.snr_db > one.snr_db + 2
    assert rows.snr_db > one.snr_db + 2


def test_a_shared_codebook():
    state = {f"{i:02}.w": bell(16, 20, seed=i) * 2.0**i for i in range(12)}
    together = neuralcodec.encode(state, codec="kmeans", clusters=64, shared=True)
    alone = neuralcodec.encode(state, codec="kmeans", clusters=64)
    assert together.shared_bytes == 2 + 64 * 2
    assert together.nbytes < alone.nbytes
    assert together.report().snr_db > 20
    reread = reference.read_stream(together.to_bytes())
    for each in reread.tensors:
        assert reference.decode_bytes(each) == together.decode_elements(each.name).data.tobytes()
    for way in ("fixed", "huffman", "rans"):
        again = neuralcodec.encode(state, codec="kmeans", clusters=50, shared=True, coding=way)
        assert again.report().snr_db > 19
    with pytest.raises(TypeError, match="hint"):
        KMeans(shared=True).encode_shared(tensor(bell(3, 4)), object())
    assert KMeans(shared=True).share({}, 0).objects == ()


@pytest.mark.parametrize("options", [{}, {"entropy": 0.05}, {"scale": "row"}, {"step": 0.3}])
def test_a_shared_codebook_is_as_good_at_any_scale(options):
    def snr_db(scale):
        state = {"v": bell(64, 400) * scale, "w": bell(64, 400, seed=1) * 3 * scale}
        step = {"step": options["step"] * scale} if "step" in options else {}
        cm = neuralcodec.encode(state, codec="kmeans", clusters=16, shared=True, **options | step)
        assert cm.shared_bytes
        return cm.report().snr_db

    assert snr_db(1) > 19
    for scale in (0.01, 100):
        assert snr_db(scale) == pytest.approx(snr_db(1), abs=0.3)


def test_importance_moves_centroids():
    w = bell(64, 64)
    importance = np.ones((64, 64), np.float32)
    importance[:, :8] = 100
    plain = neuralcodec.encode({"w": w}, codec="kmeans", clusters=8).decode("w")
    for each in ({"w": importance}, {"w": torch.from_numpy(importance[0])}):
        weighted = neuralcodec.encode({"w": w}, codec="kmeans", clusters=8, importance=each).decode("w")
        assert ((weighted - w)[:, :8] ** 2).mean() < 0.95 * ((plain - w)[:, :8] ** 2).mean()
    for more in ({"entropy": 0.05}, {"scale": "row"}, {"entropy": 0.05, "scale": "row"}):
        shares = []
        for each in (None, {"w": importance}):
            found = neuralcodec.encode({"w": w}, codec="kmeans", clusters=8, importance=each, **more).decode("w")
            shares.append(((found - w)[:, :8] ** 2).sum() / ((found - w) ** 2).sum())
        assert shares[1] < 0.95 * shares[0]


@pytest.mark.parametrize(
    ("importance", "error", "message"),
    [
        ({"v": np.ones(3)}, SourceError, "'v'.*does not have"),
        ({"w": np.ones(3)}, SourceError, "'w'.*does not broadcast to shape"),
        ({"w": -np.ones(20)}, SourceError, "'w'.*not negative"),
        ({"w": np.full(20, np.nan)}, SourceError, "'w'.*finite"),
        ({"w": np.zeros(20)}, SourceError, "'w'.*0 for every weight"),
        ({"w": "much"}, SourceError, "'w'"),
    ],
)
def test_wrong_importance(importance, error, message):
    with pytest.raises(error, match=message):
        neuralcodec.encode({"w": bell(20, 20)}, codec="kmeans", importance=importance)


def test_importance_for_a_codec_that_ignores_it():
    with pytest.raises(PlanError, match="'huffman' does not weight distortion"):
        neuralcodec.encode({"w": bell(20, 20)}, "huffman", importance={"w": np.ones(20)})


def test_overrides():
    state = {"a.w": bell(20, 20), "b.w": bell(20, 20, seed=1), "c[0].w": bell(20, 20, seed=2)}
    overrides = {"c[0].w": {"clusters": 2}, "?.w": {"clusters": 4}, "*": {"clusters": 99}}
    cm = neuralcodec.encode(state, codec="kmeans", coding="rans", overrides=overrides)
    assert [cm.indices(name)[1].shape[1] for name in state] == [4, 4, 2]
    assert "overrides for '?.w'" in cm.report().rows[0].reason
    with pytest.raises(PlanError, match="overrides: no tensor matches 'd'"):
        neuralcodec.encode(state, codec="kmeans", overrides={"d": {}})
    with pytest.raises(PlanError, match="no option 'cluster'; did you mean 'clusters'"):
        neuralcodec.encode(state, codec="kmeans", overrides={"a.w": {"cluster": 3}})
    with pytest.raises(PlanError, match="clusters: an integer"):
        neuralcodec.encode(state, codec="kmeans", overrides={"a.w": {"clusters": 1000}})


@pytest.mark.parametrize("symbols", [2, 5, 16, 256])
def test_rans_is_as_short_as_an_independent_coder(symbols):
    rng = np.random.default_rng(symbols)
    p = rng.dirichlet(np.full(symbols, 0.7))
    values = rng.choice(symbols, 60_000, p=p).astype(np.uint8)
    table = frequencies.best(np.bincount(values, minlength=symbols))
    data, _ = table.pack(values[None], 65535)
    model = constriction.stream.model.Categorical(np.array(table.values, np.float64) / 2**table.m, perfect=True)
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(values.astype(np.int32), model)
    theirs = coder.num_bits() / 8
    assert abs(len(data) - theirs) < 0.001 * theirs + 6
    assert len(data) < 1.004 * entropy_bytes(values) + 8


@given(counts=st.lists(st.integers(0, 10**7), min_size=1, max_size=256).filter(any), m=st.integers(8, 12))
def test_frequencies_add_up(counts, m):
    counts = np.array(counts, np.int64)
    table = frequencies.fit(counts, m)
    assert sum(table.values) == 1 << m
    values = np.pad(table.values, (0, len(counts) - len(table.values)))
    assert ((values > 0) == (counts > 0)).all()
    # No symbol gains by a slot of another one.
    if np.count_nonzero(counts) > 1:
        used = counts > 0
        n, f = counts[used] / counts.sum(), values[used].astype(float)
        gain = n * np.log2((f + 1) / f)
        loss = np.where(f > 1, n * np.log2(f / np.maximum(f - 1, 1)), np.inf)
        assert gain.max() <= loss.min() + 1e-4 or np.argmax(gain) == np.argmin(loss)


def test_auto_is_the_shortest():
    rng = np.random.default_rng(0)
    for p in ([0.25] * 4, [0.97, 0.01, 0.01, 0.01], [0.5, 0.25, 0.125, 0.125]):
        indices = rng.choice(4, (50, 100), p=p).astype(np.uint8)
        sizes = {way: len(coding.encode(indices, 4, 1000, way).data) for way in ("fixed", "huffman", "rans", "auto")}
        assert sizes["auto"] == min(sizes.values())


def test_sparse_indices_cost_what_their_entropy_says():
    w = bell(300, 784) * (bell(300, 784, seed=1) > 1.6)
    cm = neuralcodec.encode({"w": w}, codec="kmeans", clusters=16, zero=True)
    indices, books, _ = cm.indices("w")
    assert (books == 0).sum() == 1
    assert cm.nbytes < 1.03 * entropy_bytes(indices) + 300
    assert 8 * cm.nbytes / w.numel() < 0.6


def test_row_scales_are_the_nearest():
    w = bell(40, 100).numpy() * np.logspace(-6, 6, 40, dtype=np.float32)[:, None]
    scales = of_rows(w)
    size = np.sqrt((w.astype(np.float64) ** 2).mean(1))
    found = scales.rows(40)
    assert scales.codes is not None
    fine = size > size.max() * 2.0**-31
    assert (np.abs(np.log2(found[fine] / size[fine])) <= 1 / 16 + 1e-6).all()


@given(seed=st.integers(0, 2**32 - 1), way=st.sampled_from(["fixed", "huffman", "rans"]))
def test_damaged_payloads_are_refused_or_decoded(seed, way):
    rng = np.random.default_rng(seed)
    t = tensor(bell(30, 50))
    codec = KMeans(coding=way, centroids=str(rng.choice(["fp16", "int8"])), scale=str(rng.choice(["row", "tensor"])))
    payload = bytearray(codec.encode(t))
    for _ in range(int(rng.integers(1, 4))):
        payload[int(rng.integers(0, min(len(payload), int(rng.choice([60, 10_000])))))] = int(rng.integers(0, 256))
    if rng.integers(0, 3) == 0:
        payload = payload[: int(rng.integers(0, len(payload)))]
    try:
        decoded = codec.decode(bytes(payload), t.spec, [])
    except BitstreamError as error:
        assert error.tensor == "w"  # noqa: PT017
    else:
        assert decoded.data.nbytes == t.spec.nbytes


def test_zeros_beside_a_shared_codebook_stay_zeros():
    """Its centroids, none of which is 0, times the smallest step were numbers that some processors take for 0."""
    state = {"v": bell(30, 40) + 3, "w": bell(30, 40, seed=1) + 3, "zeros": torch.zeros(20, 30)}
    cm = neuralcodec.encode(state, "kmeans", shared=True, clusters=4)
    assert torch.equal(cm.decode("zeros"), state["zeros"])
    assert cm.shared_bytes


def test_a_damaged_shared_codebook_is_named():
    state = {f"{i}.w": bell(16, 20, seed=i) for i in range(3)}
    data = bytearray(neuralcodec.encode(state, codec="kmeans", shared=True).to_bytes())
    at = int.from_bytes(data[8:12], "little")
    data[at + 5] ^= 1
    from neuralcodec.stream.reader import StreamReader

    reader = StreamReader(lambda offset, size: bytes(data[offset : offset + size]), len(data))
    with pytest.raises(neuralcodec.ChecksumError, match=r"0\.w"):
        reader.decode(reader.entries[0])


GOLDEN = {
    "default": "b07188771c9125d4",
    "fixed int8": "55778e9882575efe",
    "rows, huffman": "5b4cf7a6024f9039",
    "groups, rans": "d399f5ef701d40b3",
    "entropy": "f4ad560465e49730",
    "norm": "a05d80c87ed63e4b",
    "norm of fp16": "37bf9e389748f591",
    "shaped": "c399d9c02dd6283e",
    "shaped step": "ba9977e65b59c5d0",
}


def golden_payloads():
    # From integers: the same weights on every machine.
    x = np.arange(96 * 150, dtype=np.uint64)
    x = (x * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)) ^ (x >> np.uint64(29))
    w = torch.from_numpy((((x >> np.uint64(40)) & np.uint64(4095)).astype(np.float32) - 2048).reshape(96, 150) / 1024)
    w = w**3 / 4
    least = {"reconstruction": "error"}
    yield "default", KMeans(**least).encode(tensor(w))
    yield (
        "fixed int8",
        KMeans(coding="fixed", centroids="int8", clusters=11, **least).encode(tensor(w.to(torch.bfloat16))),
    )
    yield "rows, huffman", KMeans(coding="huffman", scale="row", clusters=20, **least).encode(tensor(w))
    yield "groups, rans", KMeans(coding="rans", group=40, clusters=9, centroids="bf16", **least).encode(tensor(w))
    yield "entropy", KMeans(entropy=0.02, clusters=40, zero=True, **least).encode(tensor(w))
    yield "norm", KMeans(scale="row", clusters=5, centroids="int8", shaping=False).encode(tensor(w))
    yield "norm of fp16", KMeans(clusters=5, shaping=False).encode(tensor(w))
    yield "shaped", KMeans(scale="row", clusters=5, centroids="int8").encode(tensor(w))
    yield "shaped step", KMeans(step=0.3).encode(tensor(w))


def test_golden_payloads():
    assert {name: hashlib.sha256(payload).hexdigest()[:16] for name, payload in golden_payloads()} == GOLDEN


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "options",
    [{}, {"centroids": "int8"}, {"scale": "row"}, {"group": 20}, {"entropy": 0.2, "clusters": 32}, {"shared": True}],
    ids=str,
)
def test_norm_is_kept(options, dtype):
    w = (bell(60, 80) * torch.logspace(-1, 0, 60)[:, None]).to(dtype)
    settings = {"codec": "kmeans", "clusters": 4, **options}
    norm, least = (
        neuralcodec.encode({"w": w}, reconstruction=kind, **settings).decode("w").double().norm() / w.double().norm()
        for kind in ("norm", "error")
    )
    assert norm == pytest.approx(1, abs=5e-3 if dtype.itemsize == 2 else 1e-3)
    assert least < 0.98


def test_norm_leaves_exact_what_is_exact():
    w = bell(5)[torch.randint(5, (40, 50), generator=torch.Generator().manual_seed(1))]
    assert torch.equal(neuralcodec.encode({"w": w}, codec="kmeans", centroids="fp32").decode("w"), w)


def test_norm_does_not_leave_the_range():
    w = torch.full((20, 20), 100.0)
    w[::3, ::2] = 65504.0
    w[1] = torch.linspace(-65504, 65504, 20)
    found = neuralcodec.encode({"w": w.half()}, codec="kmeans", clusters=2).decode("w")
    assert torch.isfinite(found).all()

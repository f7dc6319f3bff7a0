"""Codec trellis: what it keeps, how small it is, that its search is optimal, and that decoders agree on it."""

import hashlib
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import constriction
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from samples import bell, stream_of, tensor

import neuralcodec
from neuralcodec import Target, _native, reference
from neuralcodec.codecs.trellis import Trellis, groups
from neuralcodec.codecs.trellis.groups import prefers_columns
from neuralcodec.codecs.trellis.model import Classes, Model
from neuralcodec.codecs.trellis.parts import Part
from neuralcodec.codecs.trellis.revision import lacking
from neuralcodec.codecs.trellis.settings import Settings
from neuralcodec.codecs.trellis.training import train
from neuralcodec.errors import BitstreamError, PlanError, SourceError
from neuralcodec.export_prepared import prepare
from neuralcodec.tensor import Tensor, TensorSpec

FLOATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
CODINGS = ["contexts", "light", "rans", "prefix"]


def decoded(codec, w, importance=None):
    t = tensor(w, importance=importance)
    return codec.decode(codec.encode(t), t.spec, []).torch().reshape(w.shape)


def levels_of(t, payload):
    reader = _native.open_payload(payload, 4, t.spec.dtype.number, t.spec.shape, [])
    return reader.wide_levels().astype(np.int64).reshape(t.spec.rows, t.spec.cols), reader


options = st.fixed_dictionaries(
    {
        "states": st.sampled_from([1, 4, 8, 16, 32, 64, 128, 256]),
        "relative_step": st.sampled_from([0.001, 0.02, 0.1, 0.3, 1.0, 3.0]),
        "rdo": st.sampled_from([0.0, 1.0, 1.0, 3.0]),
        "reconstruction": st.sampled_from(["norm", "error"]),
        "scan": st.sampled_from(["auto", "rows", "columns"]),
        "coding": st.sampled_from([*CODINGS, "contexts"]),
        "tables": st.sampled_from([1, 2, 16, 64]),
        "room": st.sampled_from([None, 2048, 4096]),
        "magnitudes": st.sampled_from([1, 4, 7, 8]),
        "signs": st.sampled_from([0, 1, 2]),
        "tile": st.sampled_from([None, 1, 7, 64, 1000]),
        "skip": st.booleans(),
    }
)


@given(
    options=options,
    dtype=st.sampled_from(FLOATS),
    shape=st.lists(st.integers(1, 30), min_size=0, max_size=3).filter(lambda s: math.prod(s) <= 2000),
    seed=st.integers(0, 50),
    tail=st.sampled_from([1, 3]),
    dead=st.sampled_from([None, 0, -1]),
)
def test_every_decoder_gives_levels_times_step(*, options, dtype, shape, seed, tail, dead):
    codec = Trellis(**options)
    w = (bell(*shape, seed=seed) ** tail).to(dtype)
    if dead is not None and shape:
        w.movedim(dead, 0)[torch.arange(shape[dead]) * 7 % 16 < 9] = 0
    t = tensor(w)
    payload = codec.encode(t)
    assert codec.encode(t) == payload
    whole = codec.decode(payload, t.spec, [])

    levels, reader = levels_of(t, payload)
    step = float(reader.scales()[0])
    expected = torch.from_numpy(levels.astype(np.float32) * np.float32(step)).to(dtype)
    assert torch.equal(whole.torch().reshape(expected.shape), expected)
    for i in range(reader.tiles):
        row, column, rows, columns = reader.place(i)
        part = Tensor(TensorSpec("w", t.spec.dtype, (rows, columns)), reader.elements(i, i + 1))
        assert torch.equal(part.torch(), expected[row : row + rows, column : column + columns])

    ref = reference.read_stream(stream_of({"w": (t.spec, payload)}, codec)).tensors[0]
    assert reference.decode_bytes(ref) == whole.data.tobytes()
    assert reference.decode_levels(ref) == levels.reshape(-1).tolist()

    if levels.any() and not options["rdo"]:
        # Two quantizers of twice the step: no level is further away than that of the worse one.
        worst = np.abs(t.float32() / np.float32(step) - levels).max()
        assert worst <= (1 if options["states"] > 1 else 0.5) * 2 + 1e-3 * max(1, np.abs(levels).max())


def test_odd_shapes_come_back():
    for w in (torch.zeros(0, 5), torch.zeros(()), torch.tensor(3.5), bell(3), bell(1, 1, 1, 1), bell(40, 60).t()):
        for coding in CODINGS:
            found = decoded(Trellis(coding=coding), w)
            assert found.shape == w.shape
            assert ((found - w).abs() <= 0.15 * w.abs().max() if w.numel() else found == w).all()


@pytest.mark.parametrize(
    "w",
    [
        torch.full((20, 30), 0.25),
        torch.zeros(20, 30),
        torch.full((5, 100), 2.0**-149),
        torch.arange(600.0).reshape(20, 30) * 2.0**-149,
        10.0 ** torch.linspace(-38, 38, 600).reshape(20, 30),
        torch.tensor([[3e38, -3e38, 1e-45, 0.0] * 100]),
        torch.cat([torch.zeros(10, 50), torch.ones(1, 50)]),
        torch.tensor([[1.0, -1.0] * 300]),
    ],
    ids=["constant", "zeros", "denormal", "denormals", "range", "extremes", "one row", "two values"],
)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("more", [{}, {"states": 1}, {"relative_step": 0.001}, {"relative_step": 1.0}])
def test_odd_tensors(w, coding, more):
    codec = Trellis(coding=coding, **more)
    t = tensor(w)
    payload = codec.encode(t)
    found = codec.decode(payload, t.spec, []).torch()
    assert torch.isfinite(found).all()
    assert found.shape == w.shape
    if not w.any():
        assert not found.any()
        assert len(payload) < 10
    elif 1e-30 < w.abs().max() < 1e38:
        # An error of one step, and what the rate saves by another.
        root = float(w.double().square().mean().sqrt())
        step = more.get("relative_step", 0.06) * root * (2 if "states" in more else 1)
        assert (found.double() - w.double()).abs().max() <= 3 * step + float(w.abs().max()) * 2.0**-22


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [300, 3e4, 1e6, 1e9])
def test_outliers_are_kept(coding, size):
    w = bell(200, 300)
    w[17, 40] = size
    w[150, 2] = -size / 7
    cm = neuralcodec.encode({"w": w}, codec="trellis", step=0.5, coding=coding, reconstruction="error")
    found = cm.decode("w")
    # Levels have 16 bits, so weights far out make the step larger.
    step = max(0.5, size / 32_600)
    assert (found - w).abs().max() <= 3 * step
    assert 8 * cm.nbytes / w.numel() < 4


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_not_finite(bad):
    w = bell(8, 40)
    w[3, 7] = bad
    with pytest.raises(SourceError, match="1 of 320 weights") as caught:
        Trellis().encode(tensor(w, "layer.w"))
    assert caught.value.tensor == "layer.w"
    assert Trellis().survey(tensor(w)) is None
    cm = neuralcodec.encode({"w": w, "v": bell(30, 30)}, codec="trellis", on_nonfinite="raw")
    assert torch.equal(cm.decode("w").view(torch.int32), w.view(torch.int32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"states": 2}, "states: one of 1, 4, 8"),
        ({"states": True}, "states: "),
        ({"step": 0.0}, "step: a number from"),
        ({"step": math.inf}, "step: "),
        ({"relative_step": -1}, "relative_step: "),
        ({"rdo": -0.1}, r"rdo: a number from 0 to 1e\+06"),
        ({"scan": "diagonal"}, "scan: 'auto', 'rows' or 'columns' expected"),
        ({"coding": "huffman"}, "coding: 'contexts', 'light', 'rans' or 'prefix' expected"),
        ({"tables": 65}, "tables: an integer from 1 to 64"),
        ({"room": 0}, "room: "),
        ({"magnitudes": 9}, "magnitudes: "),
        ({"signs": 3}, "signs: "),
        ({"small": 0}, "small: "),
        ({"tile": 70000}, "tile: "),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(PlanError, match=message):
        neuralcodec.encode({"w": bell(20, 20)}, codec="trellis", **options)


def file_bytes(cm, folder):
    neuralcodec.save(cm, folder / "w.safetensors")
    return (folder / "w.safetensors").stat().st_size


@pytest.mark.parametrize("bits", [0.05, 0.3, 1, 2.5, 5, 8, 12])
@pytest.mark.parametrize("coding", CODINGS)
def test_targets_of_bits(bits, coding, tmp_path):
    state = {f"{i}.w": bell(200, 300, seed=i) * (1 + i) for i in range(2)}
    if coding == "prefix" and bits <= 1:
        # A code takes a bit.
        target = Target(bits_per_weight=bits)
        with pytest.raises(PlanError, match="bits/weight"):
            neuralcodec.encode(state, codec="trellis", target=target, coding=coding, states=8, shaping=False)
        return
    cm = neuralcodec.encode(state, codec="trellis", target=Target(bits_per_weight=bits), coding=coding, states=8)
    assert 8 * file_bytes(cm, tmp_path) / 120_000 == pytest.approx(bits, rel=0.02)
    if coding == "contexts" and bits >= 1:
        # A uniform quantizer with an ideal entropy coder is a quarter of a bit off the bound.
        assert cm.report().snr_db > 6.02 * (bits - 0.25)


@pytest.mark.parametrize("snr", [3, 20, 60, 75])
def test_targets_of_snr(snr):
    state = {f"{i}.w": bell(100, 150, seed=i) * (1 + i) for i in range(2)}
    report = neuralcodec.encode(state, codec="trellis", target=Target(snr_db=snr), states=8).report()
    assert report.snr_db == pytest.approx(snr, rel=0.02)


def test_a_target_out_of_reach():
    with pytest.raises(PlanError, match="bits/weight"):
        neuralcodec.encode({"w": bell(50, 50)}, codec="trellis", target=Target(bits_per_weight=0.001))


@pytest.mark.parametrize("room", [None, 3500, 3000, 2500])
def test_tables_keep_to_the_room(room):
    w = bell(256, 256) * torch.logspace(-1.2, 0.5, 256)[:, None]
    w[100, 100] = 20
    cm = neuralcodec.encode({"w": w}, step=0.09, room=room, states=8)
    assert cm.demand().slots <= (room or 1 << 20)
    assert cm.demand().slots > (3500 if room is None else 0.6 * room)


@pytest.mark.parametrize("bits", [3.5, 4.5])
@pytest.mark.parametrize("room", [2048, 4096])
def test_values_that_come_later_find_room(bits, room):
    weights = {"w": bell(200, 300) * torch.logspace(-1, 0.5, 200)[:, None], "large": bell(500, 400, seed=1) ** 3}
    cm = neuralcodec.encode(weights, coding="light", target=Target(bits_per_weight=bits), room=room)
    assert cm.demand().slots <= room


@pytest.mark.parametrize("step", [0.05, 0.02, 0.005])
def test_any_room(step):
    w = bell(200, 300) * torch.logspace(-1, 0.5, 200)[:, None]
    for coding in ("contexts", "light"):
        cms = [neuralcodec.encode({"w": w}, coding=coding, step=step, room=room, finer=False) for room in (None, 4096)]
        assert cms[0].nbytes <= 1.02 * cms[1].nbytes  # at another error
        assert (cms[0].decode("w") - w).abs().max() <= 4.5 * step


def test_one_step_for_all_tensors():
    # Equal slopes: the same step everywhere spends more bits where weights are large.
    state = {"large.w": bell(200, 200) * 8, "small.w": bell(200, 200, seed=1)}
    cm = neuralcodec.encode(state, codec="trellis", target=Target(bits_per_weight=3, allocation="error"))
    large, small = (row.bits_per_weight for row in cm.report().rows)
    assert large - small == pytest.approx(3, abs=0.25)


@pytest.mark.parametrize("coding", CODINGS)
def test_importance_moves_distortion(coding):
    w = bell(96, 96)
    importance = np.ones((96, 96), np.float32)
    importance[:, :8] = 30
    settings = {"codec": "trellis", "step": 0.8, "coding": coding, "states": 8}
    plain = neuralcodec.encode({"w": w}, **settings).decode("w")
    for each in ({"w": importance}, {"w": torch.from_numpy(importance[0])}):
        weighted = neuralcodec.encode({"w": w}, importance=each, **settings).decode("w")
        assert ((weighted - w)[:, :8] ** 2).mean() < 0.9 * ((plain - w)[:, :8] ** 2).mean()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("coding", CODINGS)
def test_norm_is_kept(coding, dtype):
    w = bell(90, 70).to(dtype)
    settings = {"relative_step": 0.7, "coding": coding, "states": 8, "shaping": False}
    payloads = {kind: Trellis(reconstruction=kind, **settings).encode(tensor(w)) for kind in ("norm", "error")}
    assert len(payloads["norm"]) == len(payloads["error"])
    assert np.array_equal(*(levels_of(tensor(w), payload)[0] for payload in payloads.values()))
    norm, least = (
        Trellis().decode(payload, tensor(w).spec, []).torch().double().norm() / w.double().norm()
        for payload in payloads.values()
    )
    assert norm == pytest.approx(1, abs=1e-3 if dtype.itemsize > 2 else 5e-3)
    assert least < 0.97


def test_few_weights_take_few_tables():
    """What tables take is counted, not estimated, where they are a large part."""
    w = 0.05 * bell(64, 1, 3, 3)
    w[::3] = 0
    sizes = [len(Trellis(step=0.0016, tables=tables).encode(tensor(w))) for tables in (1, 8)]
    assert sizes[1] < 1.02 * sizes[0]


@pytest.mark.parametrize("states", [1, 8])
@pytest.mark.parametrize(("codec", "most"), [("generative", 0.15), ("trellis", 0.5)])
def test_weights_that_count_nothing_cost_little_where_levels_have_raw_bits(codec, most, states):
    """Dead inputs have gradients of 0."""
    w = bell(128, 256)
    importance = torch.zeros(128, 256)
    importance[:, :8] = 1
    settings = {"codec": codec, "states": states, "step": 0.001}
    whole = neuralcodec.encode({"w": w}, **settings)
    weighted = neuralcodec.encode({"w": w}, importance={"w": importance}, **settings)
    assert weighted.nbytes < most * whole.nbytes
    # The step is finer for weights of which few are coded, or coarser, by a factor that is near 1.
    error = [float((cm.decode("w") - w)[:, :8].square().mean().sqrt()) for cm in (whole, weighted)]
    assert error[1] == pytest.approx(error[0], rel=0.2)


def test_norm_with_importance_is_that_of_what_counts():
    w = bell(96, 96)
    importance = np.ones((96, 96), np.float32)
    importance[:, :8] = 300
    found = decoded(Trellis(relative_step=0.8), w, importance)
    weighted = torch.from_numpy(importance)
    assert (weighted * found**2).sum() == pytest.approx(float((weighted * w**2).sum()), rel=2e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_norm_does_not_leave_the_range(dtype):
    w = torch.full((20, 20), 0.01, dtype=torch.float64)
    w[::3, ::2] = 1.0
    w = (w * torch.finfo(dtype).max).to(dtype)
    for step in (0.3, 0.5, 0.9):
        found = decoded(Trellis(relative_step=step, states=8), w)
        assert torch.isfinite(found).all()


def pruned(rows, columns, group=1):
    """Weights with every third group of so many rows, and no other."""
    w = bell(rows, columns)
    w[torch.arange(rows) // group % 3 != 1] = 0
    return w


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("tile", [None, 150, 5000])
@pytest.mark.parametrize("step", [0.0005, 0.02, 0.2])
def test_rows_and_columns_of_zeros_are_left_out(coding, tile, step):
    w = pruned(120, 200)

    def encoded(of, **more):
        # Turned, errors that cancel are others.
        more |= {"step": step, "finer": False, "shaping": False}
        cm = neuralcodec.encode({"w": of}, "trellis", coding=coding, tile=tile, **more)
        return cm.nbytes, cm.decode("w"), cm.report().to_dict()["tensors"][0]["reason"]

    size, found, reason = encoded(w)
    whole, _, reason_of_whole = encoded(w, skip=False)
    assert "some rows left out" in reason
    assert "left out" not in reason_of_whole
    assert size < whole
    assert not found[w == 0].any()
    alive, of_alive, _ = encoded(w[w.any(1)])
    assert size <= 1.02 * alive + 200
    assert (found - w).square().sum() <= 1.02 * (of_alive - w[w.any(1)]).square().sum()
    size, turned, reason = encoded(w.T.contiguous())
    assert "some columns left out" in reason
    assert torch.equal(turned.T, found)


def test_groups_of_rows_take_a_bit():
    apart, together, none = (
        Trellis(step=0.3, finer=False, scan="rows").encode(tensor(each))
        for each in (pruned(3072, 60), pruned(3072, 60, 16), 0 * bell(8, 9))
    )
    assert apart[0] & 64
    assert together[0] & 64
    assert apart[7] == 0
    assert np.unpackbits(np.frombuffer(apart[8 : 8 + 384], np.uint8), bitorder="little").tolist() == [0, 1, 0] * 1024
    assert together[7] == 4
    assert np.unpackbits(np.frombuffer(together[8 : 8 + 24], np.uint8), bitorder="little").tolist() == [0, 1, 0] * 64
    assert none[0] == 32  # all zeros have a way of their own


def test_rows_are_not_left_out_where_that_costs_more():
    w = bell(500, 20)
    w[::100] = 0
    assert not Trellis(step=0.1).encode(tensor(w))[0] & 64


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_that_are_left_out_count_for_the_norm(weighted):
    w = pruned(120, 200)
    w[w == 0] = 0.18  # two per cent of the energy
    importance = bell(120, 200, seed=2).abs() + 0.5 if weighted else torch.ones(120, 200)
    found = decoded(Trellis(step=0.4, finer=False), w, importance.numpy() if weighted else None)
    assert not found[0].any()
    assert (importance * found**2).sum() == pytest.approx(float((importance * w**2).sum()), rel=2e-3)


def test_scan_finds_the_direction():
    scales = torch.logspace(-1.5, 0.5, 64)
    w = bell(64, 64) * scales  # columns differ: their levels tell of each other
    assert prefers_columns(w.numpy() / 0.1, two=True)
    assert not prefers_columns(w.t().contiguous().numpy() / 0.1, two=True)
    sizes = {}
    for scan in ("rows", "columns", "auto"):
        t = tensor(w)
        payload = Trellis(scan=scan, step=0.1).encode(t)
        sizes[scan] = len(payload)
        assert levels_of(t, payload)[1].down_columns == (scan != "rows")
    assert sizes["auto"] == sizes["columns"] < sizes["rows"]


@pytest.mark.parametrize("coding", ["contexts", "light"])
@pytest.mark.parametrize("states", [1, 8, 256])
@pytest.mark.parametrize("step", [0.3, 0.03, 0.004, 0.0005])
def test_tiles_together_are_those_one_by_one(coding, states, step):
    """Hosts decode several tiles at a time, of as many lengths as there may be."""
    codec = Trellis(coding=coding, states=states, step=step, tile=500, scan="rows")
    shapes = ((2, 500), (3, 250), (5, 250), (7, 250), (5, 480), (9, 500), (17, 499), (37, 400), (20, 503), (6, 1200))
    for shape in shapes:
        t = tensor(bell(*shape, seed=shape[0]) * torch.logspace(-1, 0.5, shape[1]))
        levels, reader = levels_of(t, codec.encode(t))
        alone = [reader.wide_levels(i, i + 1) for i in range(reader.tiles)]
        assert np.array_equal(np.concatenate(alone), levels.reshape(-1))
        assert np.array_equal(np.concatenate(alone[1:]), reader.wide_levels(1))


def test_a_tile_that_breaks_a_rule_is_found_among_others():
    w = bell(40, 500)
    for step in (0.3, 0.0005):
        t = tensor(w)
        codec = Trellis(coding="contexts", states=8, step=step, tile=500, scan="rows", shaping=False)
        payload = bytearray(codec.encode(t))
        payload[-210] ^= 0xFF  # some others make other levels that break no rule
        payload[-209] ^= 0xFF
        reader = _native.open_payload(bytes(payload), 4, t.spec.dtype.number, t.spec.shape, [])
        with pytest.raises(BitstreamError, match=f"tile {reader.tiles - 1}|tile {reader.tiles - 2}"):
            reader.wide_levels()


def test_wide_levels():
    w = bell(100, 120)
    cm = neuralcodec.encode({"w": w}, codec="trellis", step=1e-3)
    levels, _ = cm.levels("w")
    assert levels.dtype == torch.int16
    assert levels.abs().max() > 2000
    assert (cm.decode("w") - w).abs().max() < 3e-3
    assert neuralcodec.encode({"w": w}, codec="trellis", step=0.1).levels("w")[0].dtype == torch.int8


@pytest.mark.parametrize("coding", ["contexts", "light", "rans", "prefix"])
@pytest.mark.parametrize("states", [1, 8, 256])
def test_levels_of_8_bits_where_they_are_asked_for(coding, states):
    """Also where the target, or the option, wants finer steps than they allow; other tensors make up for it."""
    generator = torch.Generator().manual_seed(5)
    spread = torch.randn(64, 64, generator=generator)
    spread[3, 5] = 90
    weights = {"spread": spread, "even": torch.randn(96, 96, generator=generator)}
    options = {"coding": coding, "states": states}
    assert neuralcodec.encode(weights, "trellis", step=0.05, **options).levels("spread")[0].abs().max() > 127
    fine = neuralcodec.encode(weights, "trellis", step=0.05, levels="int8", **options)
    aimed = neuralcodec.encode(weights, "trellis", target=Target(bits_per_weight=4), levels="int8", **options)
    for cm in (fine, aimed):
        assert all(cm.levels(name)[0].dtype == torch.int8 for name in weights)
        assert 110 < int(cm.levels("spread")[0].to(torch.int16).abs().max()) < 128  # no coarser than they must be
    assert aimed.nbytes * 8 / (64 * 64 + 96 * 96) == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("step", [0.0005, 0.002, 0.02, 0.5])
def test_a_model_of_a_sample_serves_the_whole(coding, step):
    # What is not in the sample is like nothing that is.
    w = bell(600, 500) * torch.logspace(-1, 1, 600)[:, None]
    w[300:303] *= 30
    found = decoded(Trellis(coding=coding, step=step, states=8, finer=False), w)
    step = max(step, float(w.abs().max()) / 32_600)
    assert (found - w).abs().max() <= 4.5 * step
    assert (found - w).square().mean().sqrt() <= 0.75 * step


def test_small_tensors_are_floats():
    state = {"w": bell(100, 100), "bias": bell(100)}
    cm = neuralcodec.encode(state, codec="trellis", target=Target(bits_per_weight=5))
    relative = ((cm.decode("bias") - state["bias"]) / state["bias"]).abs().max()
    assert 0 < relative <= 2.0**-8
    fewer = neuralcodec.encode(state, codec="trellis", small=6).decode("bias")
    assert relative < ((fewer - state["bias"]) / state["bias"]).abs().max() <= 2.0**-7
    exact = neuralcodec.encode(state, codec="trellis")
    assert torch.equal(exact.decode("bias"), state["bias"])
    assert not torch.equal(exact.decode("w"), state["w"])


def test_short_floats_pass_verification(tmp_path):
    state = {"w": bell(100, 100), "bias": bell(100), "half": bell(50).half(), "scalar": torch.tensor(0.3)}
    packed, original = tmp_path / "packed.safetensors", tmp_path / "original.safetensors"
    neuralcodec.save(neuralcodec.encode(state, target=Target(bits_per_weight=4)), packed)
    save_file(state, original)
    assert not neuralcodec.verify(packed, original).problems
    for changed in (state["bias"] * 1.002, -state["bias"], state["bias"].nextafter(torch.tensor(2.0)) * 1.01):
        save_file(state | {"bias": changed}, original)
        (problem,) = neuralcodec.verify(packed, original).problems
        assert "'bias' is coded losslessly, but differs" in problem


def test_tensors_share_a_model_and_weights():
    w = bell(40, 50)
    state = {"a.w": w, "b.w": w, "c.w": bell(40, 50, seed=1)}
    cm = neuralcodec.encode(state, codec="trellis", relative_step=0.2)
    assert cm.shared_bytes > 20
    alone = sum(neuralcodec.encode({k: v}, codec="trellis", relative_step=0.2).nbytes for k, v in state.items())
    assert cm.nbytes < 0.8 * alone
    reread = reference.read_stream(cm.to_bytes())
    for each in reread.tensors:
        assert reference.decode_bytes(each) == cm.decode_elements(each.name).data.tobytes()
    assert torch.equal(cm.decode("a.w"), cm.decode("b.w"))
    with pytest.raises(TypeError, match="hint"):
        Trellis().encode_shared(tensor(bell(3, 4)), object())
    assert Trellis().share({}, 0).objects == ()


@pytest.mark.parametrize("coding", CODINGS)
def test_tensors_that_share_a_model_are_decoded_in_any_order(coding):
    """Tables are built for the first of them only; those of 16-bit levels, and of many tiles, are others."""
    shapes = [(16, 30), (40, 50), (90, 60), (150, 100), (8, 50), (300, 64)]
    state = {f"{i}.w": bell(*shape, seed=i) for i, shape in enumerate(shapes)}
    state["5.w"][0, :4] = torch.tensor([300.0, -200, 90, -250])
    cm = neuralcodec.encode(state, codec="trellis", coding=coding, relative_step=0.2, states=8, tile=2000)
    alone = {name: pickle.loads(pickle.dumps(cm)).levels(name)[0] for name in state}
    names = [name for k in range(len(shapes)) for name in sorted(state, key=lambda n: (int(n[0]) * (2 * k + 1)) % 7)]
    with ThreadPoolExecutor(4) as pool:
        for name, (levels, _) in zip(names, pool.map(cm.levels, names), strict=True):
            assert torch.equal(levels, alone[name])


def test_little_room_leaves_levels_of_8_bits():
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(500, 800, generator=generator) * torch.exp(0.6 * torch.randn(500, 1, generator=generator))
    w = w.clamp(-10, 10)
    for room in (1024, None):
        cm = neuralcodec.encode({"w": w}, step=0.14, room=room, states=8)
        levels, _ = cm.levels("w")
        assert levels.abs().max() > 64
        assert levels.dtype == torch.int8, f"room={room}"


@pytest.mark.parametrize(("coding", "states"), [("contexts", 64), ("light", 64), ("rans", 64), ("prefix", 16)])
def test_states_unless_an_option_says_so(coding, states):
    w = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    usual, given = (Trellis(coding=coding, relative_step=0.3, states=n).encode(tensor(w)) for n in (None, states))
    assert usual == given
    assert usual != Trellis(coding=coding, relative_step=0.3, states=2 * states).encode(tensor(w))


@pytest.mark.parametrize("coding", ["contexts", "rans", "prefix"])
def test_models_are_shared_where_that_is_shorter(coding):
    """Large tensors of unlike weights have models of their own, small ones of like weights share."""
    state = {"large": bell(200, 300), "small.a": bell(40, 30, seed=1) / 8, "small.b": bell(30, 40, seed=2) / 8}
    state |= {"other": bell(200, 300, seed=3) / 40}
    options = {"codec": "trellis", "coding": coding, "step": 0.02, "shaping": False}
    cm = neuralcodec.encode(state, **options)
    with_model = {t.name for t in reference.read_stream(cm.to_bytes()).tensors if t.payload[0] & 4}
    assert {"small.a", "small.b"} <= with_model
    assert "large" not in with_model

    def all_in_one(profiles, tables, contexts):
        return [sorted(profiles)]

    def each_alone(profiles, tables, contexts):
        return [[name] for name in profiles]

    for other in (all_in_one, each_alone):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("neuralcodec.codecs.trellis.codec.grouped", other)
            assert neuralcodec.encode(state, **options).nbytes >= cm.nbytes
    # In whatever order tensors come, the groups are the same.
    profiles = {name: groups.profile(w.numpy() / np.float32(0.02), w.numel(), True) for name, w in state.items()}
    backwards = dict(reversed(profiles.items()))
    found = groups.grouped(profiles, 16, coding == "contexts")
    assert found == groups.grouped(backwards, 16, coding == "contexts")


def test_executors_give_the_same_bytes():
    from concurrent.futures import ThreadPoolExecutor

    state = {f"{i}.w": bell(60, 80, seed=i) for i in range(4)}
    here = neuralcodec.encode(state, codec="trellis").to_bytes()
    with ThreadPoolExecutor(2) as pool:
        assert neuralcodec.encode(state, codec="trellis", executor=pool).to_bytes() == here


# The search

POLYNOMIALS = {2: (5, 2), 3: (11, 4), 4: (19, 4)}
"""h0 and h1 by log2 of the number of states."""


def a_model(states_log2, reach, decay):
    """One table a quantizer; rarer the larger a value is."""
    classes = Classes(states_log2, reach, reach, 0, False, 4, 0, (), ())
    frequencies = np.zeros((classes.quantizers, 1, classes.values), np.uint32)
    for u in range(classes.quantizers):
        places = classes.of_quantizer(u)
        size = np.abs(places - classes.lo)
        share = np.maximum(1, 256 * decay**size / (decay**size).sum()).astype(np.int64)
        share[int(np.argmin(size))] += 256 - share.sum()
        frequencies[u, 0, places] = share
    return Model(classes, 8, [[0]] * classes.quantizers, frequencies)


def after(states_log2, s, u, level):
    h0, h1 = POLYNOMIALS[states_log2]
    return (s ^ (h0 if s & 1 else 0)) >> 1 ^ (h1 >> 1 if (level + u) >> 1 & 1 else 0)


def cheapest(model, weights, importance, lagrangian, s=0):
    """Least cost of all paths from a state on, each of which is walked."""
    if not weights:
        return 0.0
    classes, u = model.classes, s & 1
    best = math.inf
    for level in range(-classes.lo + (classes.lo + u) % 2, classes.hi + 1, 2):
        cost = importance[0] * (weights[0] - level) ** 2
        cost += lagrangian * float(model.rates()[u, 0, level + classes.lo])
        rest = cheapest(model, weights[1:], importance[1:], lagrangian, after(classes.states_log2, s, u, level))
        best = min(best, cost + rest)
    return best


@settings(max_examples=60)
@given(
    states_log2=st.sampled_from([2, 3, 4]),
    seed=st.integers(0, 10_000),
    n=st.integers(1, 6),
    lagrangian=st.sampled_from([0.0, 0.3, 2.0]),
    decay=st.sampled_from([0.3, 0.6, 0.9]),
)
def test_no_path_is_better_than_what_viterbi_finds(states_log2, seed, n, lagrangian, decay):
    model = a_model(states_log2, 3, decay)
    rng = np.random.default_rng(seed)
    weights = (rng.standard_normal(n) * 2).astype(np.float32)
    importance = rng.uniform(0.2, 5, n).astype(np.float32)
    found = _native.trellis_quantize(
        model.context(), weights[None], 100, model.rates(), lagrangian, importance[None]
    ).reshape(-1)
    cost, s = 0.0, 0
    for x, weight, level in zip(weights.tolist(), importance.tolist(), found.tolist(), strict=True):
        assert (level & 1) == (s & 1)
        cost += weight * (x - level) ** 2 + lagrangian * float(model.rates()[s & 1, 0, level + 3])
        s = after(states_log2, s, s & 1, level)
    least = cheapest(model, weights.tolist(), importance.tolist(), lagrangian)
    assert cost == pytest.approx(least, rel=1e-4, abs=1e-4)


def snr_at(bits, w, **more):
    settings = {"codec": "trellis", "reconstruction": "error", **more}
    report = neuralcodec.encode({"w": w}, target=Target(bits_per_weight=bits), **settings).report()
    assert report.bits_per_weight == pytest.approx(bits, rel=0.02)
    return report.snr_db + 6.02 * (bits - report.bits_per_weight)


def test_states_pay():
    w = bell(256, 256)
    scalar, eight, most = (snr_at(2, w, states=states) for states in (1, 8, 128))
    assert eight > scalar + 0.5
    assert most > eight + 0.1


def test_contexts_pay_where_magnitudes_vary():
    # As in trained layers: scales of rows and columns differ.
    w = bell(256, 256) * torch.logspace(-1.5, 0, 256)[:, None] * torch.logspace(-1, 0, 256)
    contexts, rans, prefix = (snr_at(2.5, w, coding=coding, states=8) for coding in ("contexts", "rans", "prefix"))
    assert contexts > rans + 2
    assert rans > prefix


def test_dependent_rates_beat_nearest_levels():
    w = bell(200, 200)
    assert snr_at(1, w, states=8) > snr_at(1, w, states=8, rdo=0) + 0.3


# The coder


def probabilities_of(model, levels, tile):
    """Of each weight's symbol: the table that the decoder has in hand, as one of ``cells``."""
    classes = model.classes
    tables = []
    for start in range(0, len(levels), tile):
        s, a, before = 0, classes.start << 3, 0
        shift = next(r for r in range(32) if (128 * classes.cap + 7) >> r <= 63)
        a = classes.start << shift
        for level in levels[start : start + tile]:
            u = s & 1
            kind = sum((a >> shift) >= t for t in classes.magnitudes)
            size = sum(abs(before) >= t for t in classes.signs)
            sign = len(classes.signs) + (size if before >= 0 else -size)
            tables.append((u, model.maps[u][kind * (2 * len(classes.signs) + 1) + sign]))
            a = a - (a >> 3) + 16 * min(abs(level), classes.cap)
            before = level
            s = after(classes.states_log2, s, u, level)
    return tables


def test_a_value_that_is_lacking_comes_into_the_table_that_needs_it():
    w = (bell(64, 96) * torch.logspace(-1, 0, 64)[:, None] / 0.4).numpy()
    part = Part(w, 1000, 0.4)
    wanted = Settings(3, 16, 7, 2, "light", 4096, 2, False, open_ends=False)
    model = train([part], 40.0, w.size, [], wanted).model
    classes = model.classes
    assert classes.cells > 1
    levels = _native.trellis_quantize(model.context(), w, 1000, model.rates(), 0.4)
    tables, states = _native.trellis_tables(model.context(), levels, 1000), []
    for i, level in enumerate(levels.reshape(-1).tolist()):
        state = states[i] if i % 960 else classes.start  # ten rows a tile
        thresholds, following = classes.automaton[state if len(classes.automaton) > 1 else 0]
        states[i:] = [state, following[sum(t <= level for t in thresholds)]]
    assert tables.shape == levels.shape
    assert tables.reshape(-1).tolist() == states[:-1]
    assert not lacking(model, part, levels).any()
    used = np.count_nonzero(model.frequencies, axis=(0, 1))
    far = next(v for v in range(12, classes.hi) if not used[classes.lo + v - 1 : classes.lo + v + 2].any())
    others = w.copy()
    others[20, 30] = far
    more = lacking(model, replace(part, weights=others), levels)
    assert {(table, value - classes.lo) for _, table, value in np.argwhere(more)} == {
        (tables[20, 30], value) for value in (far - 1, far, far + 1)
    }


@pytest.mark.parametrize("coding", ["contexts", "rans"])
def test_as_short_as_an_independent_coder(coding):
    w = (bell(256, 256) * torch.logspace(-1, 0, 256)[:, None] / 0.2).numpy()
    model = train(
        [Part(w, 65535, 0.4)], float(np.abs(w).max()), w.size, [], Settings(3, 16, 7, 2, coding, None, 2, False)
    ).model
    context = model.context()
    levels = _native.trellis_quantize(context, w, 65535, model.rates(), 0.4)
    ours, _ = model.pack(context, levels, 65535)
    flat = levels.reshape(-1).astype(np.int64)

    tables = np.array(probabilities_of(model, flat.tolist(), 256 * 255))
    used = model.frequencies[tables[:, 0], tables[:, 1]]
    theirs = 0
    for start in range(0, len(flat), 256 * 255):  # rows that fill a tile of 65,535
        part = slice(start, start + 256 * 255)
        coder = constriction.stream.stack.AnsCoder()
        family = constriction.stream.model.Categorical(perfect=True)
        symbols = (flat[part] + model.classes.lo).astype(np.int32)
        coder.encode_reverse(symbols, family, used[part].astype(np.float64) / 2**model.m + 1e-9)
        theirs += coder.num_bits() / 8
    assert abs(len(ours) - theirs) < 0.001 * theirs + 12


# Hostile input


@given(seed=st.integers(0, 2**32 - 1), coding=st.sampled_from(CODINGS))
def test_damaged_payloads_are_refused_or_decoded(seed, coding):
    rng = np.random.default_rng(seed)
    t = tensor(bell(30, 50))
    codec = Trellis(coding=coding, states=8, relative_step=float(rng.choice([0.5, 0.002])))
    payload = bytearray(codec.encode(t))
    for _ in range(int(rng.integers(1, 4))):
        payload[int(rng.integers(0, min(len(payload), int(rng.choice([60, 10_000])))))] = int(rng.integers(0, 256))
    if rng.integers(0, 3) == 0:
        payload = payload[: int(rng.integers(0, len(payload)))]
    try:
        found = codec.decode(bytes(payload), t.spec, [])
    except BitstreamError as error:
        assert error.tensor == "w"  # noqa: PT017
    else:
        assert found.data.nbytes == t.spec.nbytes


def test_damage_to_a_shared_model_is_named():
    state = {f"{i}.w": bell(16, 20, seed=i) for i in range(3)}
    data = bytearray(neuralcodec.encode(state, codec="trellis").to_bytes())
    at = int.from_bytes(data[8:12], "little")
    data[at + 5] ^= 1
    from neuralcodec.stream.reader import StreamReader

    reader = StreamReader(lambda offset, size: bytes(data[offset : offset + size]), len(data))
    with pytest.raises(neuralcodec.ChecksumError, match=r"0\.w"):
        reader.decode(reader.entries[0])


@pytest.mark.slow
def test_a_hundred_million_weights():
    w = torch.randn(10_000, 10_000, generator=torch.Generator().manual_seed(0))
    cm = neuralcodec.encode({"w": w}, codec="trellis", states=8, relative_step=0.25)
    found = cm.decode("w")
    noise = float((found - w).double().square().mean())
    # R(D) of a Gaussian source, and 8 states.
    assert cm.report().bits_per_weight < 0.5 * math.log2(1 / noise) + 0.12


GOLDEN = {
    "default": "8ff6f59566ed537d",
    "scalar": "6eded1d530e50c6e",
    "light": "df5603f1084a4175",
    "rans": "f521ac0aaaccd6ff",
    "prefix": "f7c1a7229d99bbca",
    "columns": "d3f442f7d90d69df",
    "norm": "9b6c6a2633a7d44d",
    "wide": "4c98e67d267c0817",
    "shaped rows": "c60f480f0b03df4d",
    "shaped columns": "9bd00a0aa068e90d",
    "shaped scalar": "07c4f916e5d53d9c",
}


def golden_payloads():
    # From integers: the same weights on every machine.
    x = np.arange(96 * 150, dtype=np.uint64)
    x = (x * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)) ^ (x >> np.uint64(29))
    w = torch.from_numpy((((x >> np.uint64(40)) & np.uint64(4095)).astype(np.float32) - 2048).reshape(96, 150) / 1024)
    w = w**3 / 4
    yield "default", Trellis(relative_step=0.02, shaping=False).encode(tensor(w))
    scalar = Trellis(reconstruction="error", states=1, tables=2, relative_step=0.02)
    yield "scalar", scalar.encode(tensor(w.to(torch.bfloat16)))
    yield "light", Trellis(reconstruction="error", coding="light", relative_step=0.1).encode(tensor(w))
    yield (
        "rans",
        Trellis(reconstruction="error", coding="rans", states=8, relative_step=0.2, tile=1000).encode(tensor(w)),
    )
    yield "prefix", Trellis(reconstruction="error", coding="prefix", states=256, relative_step=0.3).encode(tensor(w))
    yield (
        "columns",
        Trellis(reconstruction="error", scan="columns", relative_step=0.5, magnitudes=3, signs=1).encode(tensor(w)),
    )
    yield "norm", Trellis(relative_step=0.5, shaping=False).encode(tensor(w))
    yield "wide", Trellis(relative_step=0.002, rdo=0.5, shaping=False).encode(tensor(w.double()))
    for scan in ("rows", "columns"):
        yield f"shaped {scan}", Trellis(relative_step=0.5, scan=scan, tile=100).encode(tensor(w))
    yield "shaped scalar", Trellis(relative_step=0.5, states=1).encode(tensor(w))


def test_golden_payloads():
    assert {name: hashlib.sha256(payload).hexdigest()[:16] for name, payload in golden_payloads()} == GOLDEN


@pytest.mark.parametrize("step", [0.5, 0.2, 0.1, 0.03])
def test_light_without_open_ends(step):
    """Neither tables nor data have any, however far out weights lie; levels have 8 bits then."""
    source = bell(64, 96)
    source[3, 5], source[40, 7] = 40.0, -30.0
    without = neuralcodec.encode({"w": source}, coding="light", relative_step=step, open_ends=False)
    (words, _), *others = prepare(without).tables
    low, high = np.frombuffer(words, "<i2")[6:8]
    assert not others
    assert (low, high) == (-32768, 32767)
    assert without.levels("w")[0].dtype == torch.int8
    assert torch.equal(without.decode("w"), neuralcodec.decode(without)["w"])


def test_open_ends_are_an_option_of_light_alone():
    with pytest.raises(PlanError, match="open_ends=False is for coding 'light', not 'rans'"):
        neuralcodec.encode({"w": bell(20, 30)}, coding="rans", open_ends=False)


def test_weights_of_all_magnitudes():
    """Also where the mean of the levels lies beyond what values express, thresholds ascend."""
    for seed in range(4):
        w = bell(257, 3, seed=seed) * torch.logspace(-4, 2, 257)[:, None]
        for states in (1, 16):
            options = {"states": states, "magnitudes": 8, "tables": 1, "relative_step": 1e-6, "small": None}
            cm = neuralcodec.encode({"w": w.bfloat16()}, reconstruction="error", **options)
            assert cm.report().snr_db > 20


@pytest.mark.parametrize("coding", ["contexts", "light", "rans", "prefix"])
def test_levels_of_8_bits_wherever_the_step_ends(coding):
    """The finest step there is takes the largest weight to the last level, whatever it is rounded to."""
    for seed in range(40):
        w = bell(5, 60, seed=seed) * 10.0 ** (seed % 7 - 3)
        cm = neuralcodec.encode({"w": w}, coding=coding, levels="int8", relative_step=1e-4, states=4, small=None)
        assert cm.levels("w")[0].dtype == torch.int8

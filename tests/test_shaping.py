"""Errors of a row that are made to cancel: the search of codec trellis, and what codecs make of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import bell

import neuralcodec
from neuralcodec import PlanError, _native
from neuralcodec.codecs.shaping import TOGETHER
from neuralcodec.codecs.trellis import Trellis
from neuralcodec.dtypes import BY_TORCH
from neuralcodec.tensor import Tensor, TensorSpec

NONE = 1e9


def searched(x, states_log2, lagrangian, tile=64, shaping=None, coded=None):  # noqa: PLR0917
    """Levels, at rates that grow with their magnitudes."""
    quantizers = 2 if states_log2 else 1
    context = _native.TrellisContext(states_log2, 60, 60, 0, False, 1, 0, [], [], [[0]] * quantizers, [])
    values = np.arange(-60, 61)
    rates = np.tile((1 + 0.5 * np.abs(values)).astype(np.float32), (quantizers, 1, 1))
    if quantizers == 2:
        rates[values[None, None] % 2 != np.arange(2)[:, None, None]] = NONE
    return _native.trellis_quantize(context, x, tile, rates, lagrangian, None, 32767, coded, shaping)


def count_of(error, together):
    """What is minimized, rows of weights being rows."""
    return float((error**2).sum() + together * (error.sum(1) ** 2).sum())


@settings(deadline=None)
@given(
    rows=st.integers(1, 9),
    cols=st.integers(1, 40),
    tile=st.integers(1, 100),
    columns=st.booleans(),
    together=st.sampled_from([0.0, 0.1, 0.5, 3.0]),
    gain=st.sampled_from([1.0, 1.1]),
    seed=st.integers(0, 100),
)
def test_one_state_rounds_to_what_is_best_after_the_errors_before(  # noqa: PLR0917
    rows, cols, tile, columns, together, gain, seed
):
    w = np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32) * 3
    x = np.ascontiguousarray(w.T if columns else w)
    found = searched(x, 0, 0.0, tile, (together, gain, columns))
    found = found.T if columns else found
    sums = np.zeros(rows, np.float32)
    for i in range(cols):
        c = together / (1 + together * (cols - 1 - i))
        aim = w[:, i] - np.float32(c / (1 + c)) * sums
        # The last digits of a sum may differ.
        assert (np.abs(found[:, i] - aim) <= 0.5 + 1e-4).all()
        sums += np.float32(gain) * found[:, i] - w[:, i]


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("states_log2", [0, 2, 3, 6, 8])
@pytest.mark.parametrize("tile", [40, 100, 4096])
def test_sums_are_small_and_errors_little_larger(states_log2, columns, tile):
    w = np.random.default_rng(1).standard_normal((48, 150)).astype(np.float32) * 2
    x = np.ascontiguousarray(w.T if columns else w)

    def error(shaping):
        levels = searched(x, states_log2, 0.3, tile, shaping)
        return (levels.T if columns else levels).astype(np.float64) - w

    plain, shaped = error(None), error((TOGETHER, 1.0, columns))
    assert count_of(shaped, TOGETHER) < 0.8 * count_of(plain, TOGETHER)
    assert np.square(shaped.sum(1)).mean() < (0.2 if columns else 0.1) * np.square(plain.sum(1)).mean()
    assert np.square(shaped).sum() < 1.06 * np.square(plain).sum()
    # Where nothing counts together, nothing changes.
    none = error((0.0, 1.0, columns))
    assert np.array_equal(none, plain)


def test_lines_that_are_left_out_keep_the_places_of_the_others():
    """Down the columns: that some are not there does not bring the last one nearer."""
    w = np.random.default_rng(2).standard_normal((20, 60)).astype(np.float32) * 2
    coded = np.arange(60) < 30
    half = searched(np.ascontiguousarray(w[:, coded].T), 3, 0.3, 64, (TOGETHER, 1.0, True), coded)
    alone = searched(np.ascontiguousarray(w[:, coded].T), 3, 0.3, 64, (TOGETHER, 1.0, True))
    sums = [np.square((levels.T - w[:, coded]).sum(1)).mean() for levels in (half, alone)]
    assert sums[1] < sums[0]


@pytest.mark.parametrize(
    "shaping", [(-1.0, 1.0, False), (0.5, 0.0, False), (math.nan, 1.0, True), (0.5, math.inf, False)]
)
def test_numbers_out_of_their_range(shaping):
    with pytest.raises(ValueError, match="shaping"):
        searched(np.ones((4, 4), np.float32), 3, 0.1, 16, shaping)


@pytest.mark.parametrize("codec", ["trellis", "generative"])
@pytest.mark.parametrize("scan", ["rows", "columns"])
@pytest.mark.parametrize("step", [0.5, 1.5])
def test_decoded_rows_keep_their_sums(codec, scan, step):
    w = bell(64, 300) + 0.2

    def encoded(**options):
        return neuralcodec.encode({"w": w}, codec, relative_step=step, scan=scan, **options)

    def rows(cm):
        return float((cm.decode("w") - w).double().sum(1).square().mean())

    shaped, plain = encoded(), encoded(shaping=False)
    assert rows(shaped) < 0.1 * rows(plain)
    assert shaped.report().snr_db > plain.report().snr_db - 0.35
    if step < 1:
        assert shaped.nbytes < 1.02 * plain.nbytes
    assert encoded(shaping=True).to_bytes() == shaped.to_bytes()
    least = encoded(reconstruction="error")
    assert least.to_bytes() == encoded(reconstruction="error", shaping=False).to_bytes()
    assert rows(encoded(reconstruction="error", shaping=True)) < 0.1 * rows(least)


@pytest.mark.parametrize("codec", ["trellis", "generative"])
def test_an_importance_says_what_errors_count(codec):
    w, importance = bell(40, 50), {"w": torch.rand(40, 50) + 0.5}
    bytes_of = [
        neuralcodec.encode({"w": w}, codec, relative_step=0.5, importance=importance, shaping=shaping).to_bytes()
        for shaping in (None, True, False)
    ]
    assert len(set(bytes_of)) == 1


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("trellis", {}),
        ("kmeans", {"clusters": 16, "entropy": 0.05}),
        ("kmeans", {"clusters": 16, "entropy": 0.05, "scale": "row"}),
        ("autoencoder", {}),
        ("generative", {}),
        ("regression", {}),
        ("regression", {"regressor": "rows"}),
    ],
)
def test_only_ratios_of_importance_count(codec, options):
    """Mean squared gradients are often tiny."""
    w = bell(40, 6) @ bell(6, 50, seed=1)  # rows repeat each other: regression chooses
    importance = torch.rand(40, 50) + 0.5
    bytes_of = [
        neuralcodec.encode({"w": w}, codec, importance={"w": importance * scale}, **options).to_bytes()
        for scale in (1, 2.0**-30, 2.0**30, 2.0**-120)
    ]
    assert len(set(bytes_of)) == 1


@pytest.mark.parametrize("shape", [(1, 500), (500, 1), (1, 1), (3, 2), (7, 3, 5, 5), (12,)])
@pytest.mark.parametrize("coding", ["contexts", "light", "rans", "prefix"])
def test_any_shape(shape, coding):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(4))
    for scan in ("rows", "columns"):
        for tile in (1, 7, None):
            codec = Trellis(coding=coding, relative_step=0.3, scan=scan, tile=tile)
            t = Tensor(TensorSpec("w", BY_TORCH[w.dtype], shape), w.reshape(-1).view(torch.uint8).numpy().copy())
            found = codec.decode(codec.encode(t), t.spec, []).torch()
            assert float((found - w).square().mean()) < 0.1 * float(w.square().mean()) + 1e-6


def test_rows_of_outliers_and_constants():
    """Sums that cannot be kept near 0 lead to nothing worse than without."""
    w = bell(30, 200)
    w[3, 7] = 1e6
    w[5] = 0.01
    w[6] = 1e-30
    for step in (0.02, 0.5, 50.0):
        shaped, plain = (neuralcodec.encode({"w": w}, "trellis", step=step, shaping=each) for each in (True, False))
        assert torch.isfinite(shaped.decode("w")).all()
        assert shaped.report().snr_db > plain.report().snr_db - 1


@pytest.mark.parametrize("options", [{"scale": "row"}, {"scale": "row", "group": 8}, {"group": 8}])
def test_errors_of_kmeans_cancel_out_at_the_gain_that_decoders_have(options):
    """It is that of all rows and their scales, not of rows that are scaled to one range, nor of a group of rows."""
    w = 0.01 * torch.randn(256, 256, generator=torch.Generator().manual_seed(1))
    w[3] = 6
    plain, shaped = (
        neuralcodec.encode({"w": w}, "kmeans", clusters=16, shaping=on, **options).decode("w") for on in (False, True)
    )
    assert count_of((shaped - w).double(), TOGETHER) <= count_of((plain - w).double(), TOGETHER)
    assert torch.equal(shaped[3], plain[3])


@pytest.mark.parametrize("codec", ["trellis", "generative"])
@pytest.mark.parametrize("share", [False, True])
def test_a_loud_row_that_no_sample_has_keeps_its_weights(codec, share):
    """The gain of a sample is not that of all weights: errors that cancel out with it spoil what is loud."""
    generator = torch.Generator().manual_seed(1)
    model = {"w": 0.01 * torch.randn(2048, 256, generator=generator)}
    model["w"][3] = 6
    if share:
        model["other"] = 0.01 * torch.randn(1024, 256, generator=generator)
    plain, shaped = (neuralcodec.encode(model, codec, step=0.008, shaping=on) for on in (False, True))
    assert shaped.report().snr_db > plain.report().snr_db - 0.3
    assert shaped.decode("w")[3].double().mean() == pytest.approx(6, rel=1e-3)


@pytest.mark.parametrize("states", [8, 64, 256])
@pytest.mark.parametrize("step", [1e-3, 5e-4, 3e-4])
def test_a_survivor_in_distress_does_not_lead_the_others(states, step):
    """Where tables lack values, and levels have raw bits, a survivor may have to make an error of many steps."""
    w = bell(100, 120)
    cm = neuralcodec.encode({"w": w}, "trellis", step=step, states=states, scan="rows", finer=False)
    error = (cm.decode("w") - w) / step
    assert error.abs().max() < 3
    assert error.sum(1).square().mean() < 0.1 * 120 * error.square().mean()


def test_the_option_is_checked():
    with pytest.raises(PlanError, match="shaping"):
        neuralcodec.encode({"w": bell(20, 20)}, shaping="yes")
    with pytest.raises(ValueError, match="shaping"):
        Trellis(shaping=1)


# Rounding


def best_row(x, q, together):
    """Steps further in one direction, the cheapest first, while that pays."""
    levels = np.clip(np.rint(x), -q, q)
    errors = levels - x
    by = -1 if errors.sum() > 0 else 1
    for i in np.argsort(1 + 2 * by * errors, kind="stable"):
        if abs(levels[i] + by) > q:
            continue
        changed = errors.copy()
        changed[i] += by
        if count_of(changed[None], together) >= count_of(errors[None], together) - 1e-4:
            break
        levels[i] += by
        errors = changed
    return levels, errors


@settings(deadline=None)
@given(
    cols=st.integers(1, 60),
    q=st.sampled_from([1, 3, 127]),
    spread=st.sampled_from([0.1, 1.0, 30.0]),
    offset=st.sampled_from([0.0, 0.3]),
    together=st.sampled_from([0.1, TOGETHER, 5.0]),
    seed=st.integers(0, 100),
)
def test_rounded_weights_are_taken_a_step_further(cols, q, spread, offset, together, seed):  # noqa: PLR0917
    x = (np.random.default_rng(seed).standard_normal((3, cols)) * spread + offset).astype(np.float32)
    found = _native.quantize(x, q, 1.0, None, 3e38, together)
    assert np.abs(found).max() <= q
    for row, of in zip(x, found, strict=True):
        _, errors = best_row(row.astype(np.float64), q, together)
        least = count_of(errors[None], together)
        assert count_of((of - row.astype(np.float64))[None], together) == pytest.approx(least, rel=1e-3, abs=1e-3)
    assert np.array_equal(_native.quantize(x, q, 1.0, None, 3e38, 0.0), np.clip(np.rint(x), -q, q))


def test_few_steps_are_the_best_there_are():
    """Against all ways to round up or down, or a step beyond."""
    x = np.random.default_rng(7).standard_normal((20, 6)).astype(np.float32) * 2
    found = _native.quantize(x, 127, 1.0, None, 3e38, TOGETHER)
    ways = np.stack(np.meshgrid(*[[-1, 0, 1]] * 6), -1).reshape(-1, 6)
    for row, of in zip(x.astype(np.float64), found, strict=True):
        errors = np.rint(row) + ways - row
        least = ((errors**2).sum(1) + TOGETHER * errors.sum(1) ** 2).min()
        assert count_of((of - row)[None], TOGETHER) == pytest.approx(least, abs=1e-5)


@pytest.mark.parametrize(
    "options", [{"bits": 4}, {"bits": 3, "scale": "row"}, {"step": 0.5}, {"bits": 2, "scale": "tensor"}]
)
def test_huffman_keeps_the_sums_of_rows(options):
    w = bell(40, 200) * torch.arange(1, 41)[:, None] / 20 + 0.05
    shaped, plain = (neuralcodec.encode({"w": w}, "huffman", shaping=each, **options) for each in (True, False))
    assert shaped.to_bytes() == neuralcodec.encode({"w": w}, "huffman", **options).to_bytes()
    sums = [(cm.decode("w") - w).double().sum(1).square().mean() for cm in (shaped, plain)]
    assert sums[0] < 0.1 * sums[1]
    assert shaped.report().snr_db > plain.report().snr_db - 0.2
    assert shaped.nbytes < 1.02 * plain.nbytes


def test_rounding_with_a_number_out_of_its_range():
    for together in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="together"):
            _native.quantize(np.ones((2, 2), np.float32), 3, 1.0, None, 3e38, together)


# Centroids


def cost_of(x, index, centroids, penalties, together, gain, factor):  # noqa: PLR0917
    errors = gain * centroids[index] - x
    return factor * (np.square(centroids[index] - x).sum() + together * errors.sum() ** 2) + penalties[index].sum()


@settings(deadline=None)
@given(
    cols=st.integers(1, 40),
    clusters=st.integers(1, 9),
    rate=st.sampled_from([0.0, 0.05]),
    gain=st.sampled_from([1.0, 1.05]),
    factor=st.sampled_from([1.0, 0.3]),
    seed=st.integers(0, 100),
)
def test_values_are_taken_to_the_next_centroid(cols, clusters, rate, gain, factor, seed):  # noqa: PLR0917
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, cols)).astype(np.float32)
    centroids = np.sort(rng.standard_normal(clusters))
    penalties = rate * rng.random(clusters)
    if clusters > 2:
        penalties[1] = np.inf
    factors = np.full(4, factor, np.float32)
    first = _native.assign(x, centroids, penalties, np.full(x.shape, factor, np.float32)).reshape(x.shape)
    found = _native.cancelled(x, first, centroids, penalties, TOGETHER, gain, factors)
    used = np.flatnonzero(np.isfinite(penalties))
    for row, a, b in zip(x.astype(np.float64), first, found, strict=True):
        assert np.isin(b, used).all()
        # No further than to the next one in use, all in one direction.
        moved = np.searchsorted(used, b) - np.searchsorted(used, a)
        assert set(moved) <= {0, 1} or set(moved) <= {0, -1}
        before, after = (cost_of(row, i, centroids, penalties, TOGETHER, gain, np.float32(factor)) for i in (a, b))
        assert after <= before + 1e-9
        # And nothing is left to gain by one more.
        by = -1 if (gain * centroids[a] - row).sum() > 0 else 1
        for i in np.flatnonzero(moved == 0):
            place = np.searchsorted(used, b[i]) + by
            if 0 <= place < len(used) and centroids[used[place]] != centroids[b[i]]:
                other = b.copy()
                other[i] = used[place]
                assert cost_of(row, other, centroids, penalties, TOGETHER, gain, np.float32(factor)) >= after - 1e-9


@pytest.mark.parametrize(
    "options",
    [
        {"clusters": 8},
        {"step": 0.5},
        {"scale": "row", "step": 0.5},
        {"group": 10, "clusters": 6},
        {"centroids": "int8"},
    ],
)
def test_kmeans_keeps_the_sums_of_rows(options):
    w = bell(40, 200) * torch.arange(1, 41)[:, None] / 20 + 0.05
    shaped, plain = (neuralcodec.encode({"w": w}, "kmeans", shaping=each, **options) for each in (None, False))
    sums = [(cm.decode("w") - w).double().sum(1).square().mean() for cm in (shaped, plain)]
    assert sums[0] < 0.2 * sums[1]
    assert shaped.report().snr_db > plain.report().snr_db - 0.35
    assert shaped.nbytes < 1.03 * plain.nbytes
    least = neuralcodec.encode({"w": w}, "kmeans", reconstruction="error", **options)
    same = neuralcodec.encode({"w": w}, "kmeans", reconstruction="error", shaping=False, **options)
    assert least.to_bytes() == same.to_bytes()


@pytest.mark.parametrize("centroids", ["fp32", "fp16", "bf16", "int8"])
def test_few_values_stay_what_they_are(centroids):
    values = torch.tensor([-1.0, -0.01, -0.003, 0.0, 0.004, 0.5, 0.507])
    w = values[torch.randint(0, 7, (30, 90), generator=torch.Generator().manual_seed(1))]
    found = [neuralcodec.encode({"w": w}, "kmeans", centroids=centroids, shaping=each) for each in (True, False)]
    assert found[0].to_bytes() == found[1].to_bytes()


def test_bad_arguments_of_cancelled():
    x, index, centroids = np.ones((2, 3), np.float32), np.zeros((2, 3), np.uint8), np.array([0.0, 1.0])
    for values, indices, of, together, gain in (
        (x, index[:1], centroids, 0.5, 1.0),
        (x, index + np.uint8(2), centroids, 0.5, 1.0),
        (x, index, centroids[:0], 0.5, 1.0),
        (x, index, centroids, -1.0, 1.0),
        (x, index, centroids, 0.5, math.nan),
    ):
        with pytest.raises(ValueError, match=r"expected|range|indices"):
            _native.cancelled(values, indices, of, None, together, gain)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("kmeans", {"zero": True, "clusters": 256}),
        ("kmeans", {"zero": True, "clusters": 256, "shared": True}),
        ("kmeans", {"zero": True, "scale": "row", "target": neuralcodec.Target(bits_per_weight=3)}),
        ("huffman", {"bits": 5, "scale": "tensor"}),
        ("huffman", {"step": 0.05}),
    ],
)
@pytest.mark.parametrize("shape", [(128, 128), (256, 1, 3, 3)])
def test_pruned_weights_stay_zero(codec, options, shape):
    """Errors that cancel are not worth a weight that comes back."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.logspace(-2, 1, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    w = torch.randn(shape, generator=generator) * scales * (torch.rand(shape, generator=generator) < 0.3)
    decoded = neuralcodec.encode({"w": w}, codec, **options).decode("w")
    assert not decoded[w == 0].any()
    assert decoded[w != 0].any()

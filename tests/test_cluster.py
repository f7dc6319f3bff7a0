"""Clusters are optimal: against brute force, against a library, and within the bound that is stated."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neuralcodec.codecs.kmeans.cluster import assign, entropy_constrained, optimal, optimal_all

finite = st.floats(-(2.0**127), 2.0**127, width=32)
tied = st.integers(-4, 4).map(lambda i: i / 4)
weights = st.sampled_from([1.0, 0.0, 0.25, 3.0, 2.0**-100, 2.0**100]) | st.floats(0, 1e6, width=32)


@st.composite
def cases(draw, longest=9):
    n = draw(st.integers(1, longest))
    values = draw(hnp.arrays(np.float32, n, elements=draw(st.sampled_from([finite, tied, st.floats(-3, 3, width=32)]))))
    importance = draw(st.none() | hnp.arrays(np.float32, n, elements=weights))
    return values, importance


def distortion_of(values, importance, centroids):
    errors = (np.asarray(values, np.float64)[:, None] - np.asarray(centroids)[None, :]) ** 2
    return float((errors.min(axis=1) * (1.0 if importance is None else np.asarray(importance, np.float64))).sum())


def spread(values, weights, centre=None):
    """Weighted squares about the mean, as Σ of pairs: nothing is subtracted but values."""
    if centre is not None:
        return float((weights * (values - centre) ** 2).sum())
    apart = (values[:, None] - values[None, :]) ** 2
    return float((weights[:, None] * (weights / weights.sum())[None, :] * apart).sum() / 2)


def brute_force(values, importance, clusters, zero):
    """Least distortion over all ways to cut the sorted values into runs, one of which may go to 0."""
    if importance is None or not importance.any():
        importance = np.ones(len(values))
    used = np.asarray(importance) > 0
    order = np.argsort(values[used], kind="stable")
    x, w = values[used][order].astype(np.float64), np.asarray(importance, np.float64)[used][order]
    best = np.inf
    for cuts in itertools.chain.from_iterable(
        itertools.combinations(range(1, len(x)), k - 1) for k in range(1, min(clusters, len(x)) + 1)
    ):
        edges = [0, *cuts, len(x)]
        runs = [slice(a, b) for a, b in itertools.pairwise(edges)]
        costs = [spread(x[r], w[r]) for r in runs]
        if not zero:
            best = min(best, sum(costs))
            continue
        if len(runs) < clusters:  # no run goes to 0
            best = min(best, sum(costs))
        for i, r in enumerate(runs):
            best = min(best, sum(costs[:i]) + sum(costs[i + 1 :]) + spread(x[r], w[r], 0.0))
    return best


@given(cases(), st.integers(1, 10), st.booleans())
@example((np.array([0.0, 1.0], np.float32), np.array([1e-30, 1e30], np.float32)), 2, False)
@example((np.array([1e-45, -1e-45, 3e-45], np.float32), None), 2, True)
def test_optimal_is_as_good_as_brute_force(case, clusters, zero):
    values, importance = case
    found = optimal(values, clusters, importance, zero)
    least = brute_force(values, importance, clusters, zero)
    assert found.distortion == pytest.approx(least, rel=1e-9, abs=0)
    assert found.bound == 0
    assert found.centroids.dtype == np.float64
    assert (np.diff(found.centroids) > 0).all()
    if importance is None or importance.any():  # else all count alike
        assert distortion_of(values, importance, found.centroids) <= max(least, 0) * (1 + 1e-6) + 1e-30 * _scale(case)
    used = values if importance is None or not importance.any() else values[importance > 0]
    distinct = len({*used.tolist(), *([0.0] if zero else [])})
    assert len(found.centroids) == min(clusters, distinct)
    assert not zero or 0 in found.centroids


def _scale(case):
    values, importance = case
    x = float(np.abs(values.astype(np.float64)).max())
    return x * x * (1.0 if importance is None else float(importance.astype(np.float64).sum()))


@given(cases(), st.integers(1, 12), st.booleans())
def test_all_is_each(case, most, zero):
    values, importance = case
    everything = optimal_all(values, most, importance, zero)
    assert len(everything) <= most
    for k, found in enumerate(everything, 1):
        alone = optimal(values, k, importance, zero)
        assert found.centroids.tolist() == alone.centroids.tolist()
        assert (found.distortion, found.bound) == (alone.distortion, alone.bound)
    distortions = [found.distortion for found in everything]
    assert distortions == sorted(distortions, reverse=True)
    if len(everything) < most:
        assert distortions[-1] == 0


@pytest.mark.parametrize(("n", "clusters"), [(5000, 16), (20_000, 7), (20_000, 100)])
def test_optimal_is_as_good_as_a_library(n, clusters):
    kmeans1d = pytest.importorskip("kmeans1d")
    values = np.random.default_rng(n + clusters).standard_t(4, n).astype(np.float32)
    reference = kmeans1d.cluster(values.tolist(), clusters)
    found = optimal(values, clusters, bins=1 << 16)
    assert found.bound == 0
    assert found.distortion == pytest.approx(distortion_of(values, None, reference.centroids), rel=1e-10)
    assert found.centroids == pytest.approx(np.array(reference.centroids), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("clusters", [2, 16, 200])
@pytest.mark.parametrize("name", ["gaussian", "outliers", "ties", "one side", "importance", "range"])
def test_the_bound_of_bins_holds(name, clusters, zero):
    rng = np.random.default_rng(3)
    n, importance = 30_000, None
    x = rng.standard_normal(n)
    if name == "outliers":
        x[:20] *= 100
    elif name == "ties":
        x[n // 2 :] = rng.choice([0.0, 0.5, -1.25], n - n // 2)
    elif name == "one side":
        x = 1 + np.abs(x)
    elif name == "importance":
        importance = rng.exponential(size=n).astype(np.float32) ** 4
    elif name == "range":
        x = np.sign(x) * 10.0 ** rng.uniform(-38, 38, n)
    x = x.astype(np.float32)
    exact = optimal(x, clusters, importance, zero, bins=1 << 16)
    assert exact.bound == 0
    for bins in (512, 4096):
        found = optimal(x, clusters, importance, zero, bins=bins)
        assert 0 < found.bound <= found.distortion
        # The sums behind either have rounding errors of their own.
        assert exact.distortion * (1 - 1e-12) <= found.distortion <= exact.distortion * (1 + 1e-12) + found.bound
        assert len(found.centroids) == clusters
        assert distortion_of(x, importance, found.centroids) <= found.distortion * (1 + 1e-9)
    if name == "gaussian":
        assert found.bound < 0.02 * found.distortion
        assert found.distortion < 1.002 * exact.distortion


def test_more_bins_lower_the_bound():
    x = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    few, many = optimal(x, 64, bins=2000), optimal(x, 64, bins=8000)
    assert many.bound == pytest.approx(few.bound / 16, rel=0.3)
    assert many.distortion <= few.distortion


def test_awkward_values():
    one = optimal(np.float32([2.5]), 8)
    assert one.centroids.tolist() == [2.5]
    assert one.distortion == 0
    same = optimal(np.full(1000, -3, np.float32), 4)
    assert same.centroids.tolist() == [-3]
    assert optimal(np.full(1000, -3, np.float32), 4, zero=True).centroids.tolist() == [-3, 0]
    assert optimal(np.full(1000, -3, np.float32), 1, zero=True).distortion == 9000
    assert optimal(np.float32([0.0, -0.0]), 2).centroids.tolist() == [0]
    tiny = np.float32([1e-45, 1e-45, 3e-45, -4e-45])
    assert optimal(tiny, 3).centroids.tolist() == [float(t) for t in (tiny[3], tiny[0], tiny[2])]
    wide = np.float32([1e-38, 2e-38, -1e38, 1e38, 3.4e38, 5])
    assert optimal(wide, 6).centroids.tolist() == sorted(wide.astype(np.float64).tolist())
    assert np.isfinite(optimal(wide, 2).distortion)
    assert optimal(np.zeros((4, 5), np.float32), 2).centroids.tolist() == [0]
    assert optimal(torch.tensor([1.0, 2.0]), 1).centroids.tolist() == [1.5]
    unimportant = optimal(np.float32([1, 2, 9]), 1, importance=[0, 0, 5])
    assert unimportant.centroids.tolist() == [9]
    assert optimal(np.float32([1, 2, 9]), 1, importance=[0, 0, 0]).centroids.tolist() == [4]


@pytest.mark.parametrize("call", [optimal, optimal_all, lambda v, k, i=None: entropy_constrained(v, k, 0.1, i)])
def test_bad_input_is_named(call):
    with pytest.raises(ValueError, match="values: finite numbers expected, 2 of 3 are not"):
        call(np.float32([1, np.nan, np.inf]), 2)
    with pytest.raises(ValueError, match="values: finite numbers expected, 1 of 1 are not"):
        call(np.array([1e300]), 2)
    with pytest.raises(ValueError, match="values: at least one expected"):
        call(np.float32([]), 2)
    with pytest.raises(ValueError, match="clusters: 1 to 65536 expected"):
        call(np.float32([1]), 0)
    with pytest.raises(ValueError, match="clusters: 1 to 65536 expected"):
        call(np.float32([1]), 65537)
    with pytest.raises(ValueError, match="clusters: 1 to 65536 expected"):
        call(np.float32([1]), 2.5)
    with pytest.raises(ValueError, match="importance: one number for each"):
        call(np.float32([1, 2]), 1, [1])
    with pytest.raises(ValueError, match="importance: finite numbers not below 0 expected, 1 of 2 are not"):
        call(np.float32([1, 2]), 1, [1, -1])


def test_bad_options_are_named():
    x = np.float32([1, 2, 3])
    with pytest.raises(ValueError, match="bins: at least 2"):
        optimal(x, 8, bins=8)
    with pytest.raises(ValueError, match="lagrangian"):
        entropy_constrained(x, 2, -1.0)
    with pytest.raises(ValueError, match="lagrangian"):
        entropy_constrained(x, 2, float("nan"))
    with pytest.raises(ValueError, match="ascending"):
        assign(x, [2.0, 1.0])
    with pytest.raises(ValueError, match="1 to 256"):
        assign(x, np.arange(257.0))
    with pytest.raises(ValueError, match="one for each centroid"):
        assign(x, [1.0, 2.0], penalties=[1.0])
    with pytest.raises(ValueError, match="penalties: numbers"):
        assign(x, [1.0, 2.0], penalties=[np.inf, np.inf])
    with pytest.raises(ValueError, match="penalties: numbers"):
        assign(x, [1.0, 2.0], penalties=[0.0, np.nan])
    with pytest.raises(ValueError, match="1 of 1"):
        assign(np.float32([np.nan]), [1.0])


@given(
    hnp.arrays(np.float32, st.integers(0, 70), elements=finite | tied),
    st.lists(finite | tied | st.integers(-8, 8).map(lambda i: i / 8), min_size=1, max_size=40),
)
def test_assign_finds_the_nearest(values, centroids):
    from fractions import Fraction  # exact, whatever the range

    centroids = sorted(centroids)
    found = assign(values, centroids)
    assert found.dtype == np.uint8
    for x, index in zip(values.tolist(), found.tolist(), strict=True):
        distances = [abs(Fraction(x) - Fraction(c)) for c in centroids]
        assert index == distances.index(min(distances))


@given(
    hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-4, 4, width=32)),
    st.lists(st.tuples(st.floats(-4, 4, width=32), st.floats(0, 4) | st.just(float("inf"))), min_size=1, max_size=20),
    st.booleans(),
)
def test_assign_with_penalties_costs_least(values, choices, weighted):
    centroids, penalties = (np.array(each) for each in zip(*sorted(choices), strict=True))
    if np.isinf(penalties).all():
        penalties[0] = 1
    importance = np.random.default_rng(len(values)).choice([0.0, 0.5, 1, 7], len(values)) if weighted else None
    found = assign(values, centroids, penalties, importance)
    costs = (values[:, None].astype(np.float64) - centroids) ** 2
    costs = costs * (1.0 if importance is None else importance[:, None]) + penalties
    taken = costs[np.arange(len(values)), found]
    # Ends of cells are rounded to float32, but distances near them hardly differ.
    assert (taken <= costs.min(axis=1) + 1e-5).all()


def test_assign_breaks_ties_downwards():
    assert assign([0.5, 1.5, 0.5000001], [0.0, 1.0, 1.0, 2.0]).tolist() == [0, 1, 1]
    assert assign([0.0] * 33, [-1.0, 1.0]).tolist() == [0] * 33
    assert assign([9.0], np.arange(256.0)).tolist() == [9]


def run_ecsq(values, found, lagrangian, importance=None):
    """Distortion and rate of the assignment that goes with a codebook."""
    indices = assign(values, found.centroids, lagrangian * found.bits, importance)
    errors = (values.astype(np.float64) - found.centroids[indices]) ** 2
    p = np.bincount(indices, minlength=len(found.centroids)) / len(indices)
    rate = float(-(p[p > 0] * np.log2(p[p > 0])).sum())
    return float((errors * (1 if importance is None else importance)).sum()), rate


@given(cases(longest=60), st.integers(1, 12), st.sampled_from([0.0, 1e-3, 0.1, 10.0]), st.booleans())
def test_the_lagrangian_never_rises(case, clusters, scaled, zero):
    values, importance = case
    start = optimal(values, clusters, importance, zero)
    variance = optimal(values, 1, importance).distortion / len(values)
    lagrangian = scaled * variance
    found = entropy_constrained(values, clusters, lagrangian, importance, zero)
    history = found.history
    assert (history[1:] <= history[:-1] * (1 + 1e-12)).all()
    assert 1 <= len(found.centroids) <= clusters
    assert (np.diff(found.centroids) >= 0).all()
    assert found.probabilities.sum() == pytest.approx(1)
    assert not zero or 0 in found.centroids
    assert ((found.probabilities > 0) | (found.centroids == 0)).all()
    final = found.distortion + lagrangian * found.rate * len(values)
    assert final == pytest.approx(history.min(), rel=1e-9, abs=1e-12 * _scale(case))
    if scaled == 0:
        assert found.distortion <= start.distortion * (1 + 1e-9) + 1e-12 * _scale(case)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("source", ["gaussian", "laplacian"])
def test_entropy_constrained_beats_nearest_centroids(source, weighted, zero):
    rng = np.random.default_rng(5)
    x = (rng.standard_normal(60_000) if source == "gaussian" else rng.laplace(size=60_000)).astype(np.float32)
    importance = rng.exponential(size=len(x)).astype(np.float32) if weighted else None
    curve = []
    for found in optimal_all(x, 130, importance, zero, bins=4096):
        p = np.bincount(assign(x, found.centroids)) / len(x)
        curve.append((float(-(p[p > 0] * np.log2(p[p > 0])).sum()), found.distortion))
    rates, distortions = np.array(sorted(curve)).T
    for lagrangian in (0.3, 0.03, 0.003):
        found = entropy_constrained(x, 128, lagrangian, importance, zero)
        distortion, rate = run_ecsq(x, found, lagrangian, importance)
        # One more round, so no worse than what was reported.
        assert distortion + lagrangian * rate * len(x) <= found.history[-1] * (1 + 1e-6)
        assert rate == pytest.approx(found.rate, abs=0.01)
        nearest = np.exp(np.interp(rate, rates, np.log(distortions)))
        assert distortion < 0.93 * nearest
        assert ((found.probabilities > 0) | (zero & (found.centroids == 0))).all()


def test_entropy_constrained_comes_near_a_uniform_quantizer_at_high_rates():
    # Which is the best at high rates (Gish and Pierce 1968); k-means as a start alone ends 0.14 bits above it.
    x = np.random.default_rng(1).standard_normal(200_000).astype(np.float32)
    found = entropy_constrained(x, 256, 1e-3)
    step = (12 * found.distortion / len(x)) ** 0.5
    p = np.bincount(np.round((x - x.min()) / step).astype(int)) / len(x)
    uniform = float(-(p[p > 0] * np.log2(p[p > 0])).sum())
    assert found.rate < uniform + 0.005
    assert found.distortion / len(x) == pytest.approx(1e-3 / (2 * np.log(2)), rel=0.03)


def test_clusters_that_go_empty_are_dropped():
    x = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    assert len(entropy_constrained(x, 64, 1e6).centroids) == 1
    pinned = entropy_constrained(x + 100, 64, 1e6, zero=True)
    assert pinned.probabilities[pinned.centroids == 0].tolist() == [0] or len(pinned.centroids) == 1
    assert np.isinf(pinned.bits[pinned.probabilities == 0]).all()


def test_results_do_not_depend_on_the_order_of_values():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(50_000).astype(np.float32)
    for a, b in (
        (optimal(x, 32), optimal(rng.permutation(x), 32)),
        (entropy_constrained(x, 32, 0.01), entropy_constrained(rng.permutation(x), 32, 0.01)),
    ):
        assert a.centroids.tobytes() == b.centroids.tobytes()
        assert a.distortion == b.distortion

"""Codec regression: what it makes of tensors, and that all decoders agree on it."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuralcodec
from neuralcodec import Target, reference
from neuralcodec.codecs.regression import Regression, basis, expression, rows, selection
from neuralcodec.codecs.regression.payload import decoded
from neuralcodec.codecs.trellis import Trellis
from neuralcodec.dtypes import BY_NUMBER
from neuralcodec.errors import PlanError, SourceError
from neuralcodec.measure import measure_errors
from neuralcodec.tensor import Tensor, TensorSpec, from_float32

F32 = BY_NUMBER[1]
QUICK = {"generations": 60}


def tensor_of(weights: np.ndarray, shape: tuple[int, ...] | None = None) -> Tensor:
    return from_float32(TensorSpec("w", F32, shape or weights.shape), weights.astype(np.float32))


def random(rows_: int, cols: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows_, cols))


def low_rank(rows_: int, cols: int, rank: int) -> np.ndarray:
    return random(rows_, rank, 1) @ random(rank, cols, 2)


def repeated(rows_: int, cols: int, different: int) -> np.ndarray:
    return random(different, cols)[np.random.default_rng(1).integers(0, different, rows_)]


def snr(codec, tensor: Tensor) -> tuple[float, int]:
    payload = codec.encode(tensor)
    return measure_errors(tensor, codec.decode(payload, tensor.spec, ())).snr_db, len(payload)


def check_decoders(cm: neuralcodec.CompressedModel) -> None:
    """The reference decoder makes the same of a model, tile by tile."""
    for tensor in reference.read_stream(cm.to_bytes()).tensors:
        name = tensor.name
        assert reference.decode_bytes(tensor) == cm.decode(name).contiguous().view(torch.uint8).numpy().tobytes()
        levels = cm.levels(name)[0].reshape(-1).tolist() if reference.has_levels(tensor) else None
        if levels is not None and cm.entry(name).codec == "regression":
            assert reference.decode_levels(tensor) == levels


@pytest.mark.parametrize("regressor", ["rows", "basis", "expression"])
@pytest.mark.parametrize("residual", [True, False, "auto"])
def test_decoders_agree(regressor, residual):
    for dtype in (torch.float32, torch.bfloat16):
        weights = torch.from_numpy(low_rank(24, 40, 3) + 0.05 * random(24, 40)).to(dtype)
        cm = neuralcodec.encode(
            {"w": weights}, codec="regression", regressor=regressor, residual=residual, tile=90, **QUICK
        )
        assert cm.entry("w").codec == "regression"
        check_decoders(cm)


@pytest.mark.parametrize(
    "weights",
    [repeated(64, 200, 6), low_rank(100, 300, 12), repeated(96, 40, 24)],
    ids=["repeated", "low_rank", "short"],
)
def test_planted_redundancy_takes_a_third_at_equal_snr(weights):
    """Whole files, at the same SNR."""
    state = {"w": torch.from_numpy(weights).float()}
    target = Target(snr_db=30)
    plain = neuralcodec.encode(state, codec="trellis", target=target)
    mine = neuralcodec.encode(state, codec="regression", target=target, **QUICK)
    assert mine.report().snr_db >= 30
    assert 3 * len(mine.to_bytes()) <= len(plain.to_bytes())


@pytest.mark.parametrize("regressor", ["rows", "basis", "expression"])
@pytest.mark.parametrize("target", [Target(snr_db=25), Target(bits_per_weight=4.5)], ids=["snr", "bits"])
def test_every_regressor_meets_targets(regressor, target):
    state = {"w": torch.from_numpy(random(40, 60)).float()}
    cm = neuralcodec.encode(state, codec="regression", regressor=regressor, target=target, generations=20)
    report = cm.report()
    assert cm.entry("w").codec == "regression"
    if target.snr_db:
        assert report.snr_db == pytest.approx(25, rel=0.02)
    else:
        assert report.bits_per_weight == pytest.approx(4.5, rel=0.02)


def test_weights_of_which_nothing_can_be_inferred_are_coded_plainly():
    state = {"w": torch.from_numpy(random(64, 100)).float(), "v": torch.from_numpy(repeated(64, 100, 5)).float()}
    cm = neuralcodec.encode(state, codec="regression", **QUICK)
    assert (cm.entry("w").codec, cm.entry("v").codec) == ("trellis", "regression")
    assert "regression takes no less" in cm.entry("w").reason
    plain = neuralcodec.encode(state, codec="trellis")  # the same steps: they depend on all tensors
    assert torch.equal(cm.decode("w"), plain.decode("w"))


def test_an_executor_changes_nothing():
    from concurrent.futures import ThreadPoolExecutor

    state = {f"w{i}": torch.from_numpy(repeated(20, 30 + i, 5)).float() for i in range(4)}
    alone = neuralcodec.encode(state, codec="regression", **QUICK).to_bytes()
    with ThreadPoolExecutor(2) as executor:
        assert neuralcodec.encode(state, codec="regression", executor=executor, **QUICK).to_bytes() == alone


@pytest.mark.parametrize(
    "weights",
    [
        np.zeros((4, 90)),
        np.full((20, 20), -3.25),
        np.ones((1, 300)),
        np.outer(np.arange(20), np.ones(30)),
        np.eye(20),
        np.concatenate([np.zeros((19, 20)), random(1, 20)]),
        1e30 * random(17, 17),
        1e-30 * random(17, 17),
        np.concatenate([1e6 * random(1, 40), random(9, 40)]),
    ],
    ids=["zeros", "constant", "one_row", "rank_1", "identity", "one_row_alive", "huge", "tiny", "outliers"],
)
@pytest.mark.parametrize("regressor", ["auto", "rows", "basis", "expression"])
def test_odd_tensors(weights, regressor):
    cm = neuralcodec.encode({"w": torch.from_numpy(weights).float()}, codec="regression", regressor=regressor, **QUICK)
    got = cm.decode("w").double().numpy()
    constant = (weights == weights.flat[0]).all()
    assert np.isfinite(got).all()
    if constant:
        assert np.array_equal(got, weights)
    elif regressor != "basis":
        assert np.square(got - weights).sum() < 0.01 * np.square(weights).sum()
    check_decoders(cm)


@pytest.mark.parametrize("shape", [(300,), (1, 300), (300, 1), (3, 100), (64, 4, 1, 1), (2, 3, 5, 11), (1, 70_000)])
@pytest.mark.parametrize("regressor", ["rows", "basis", "expression"])
def test_shapes(shape, regressor):
    """1×1 convolutions, fewer rows than the subset asks for, rows longer than a tile."""
    codec = Regression(regressor=regressor, generations=5)
    weights = np.random.default_rng(3).standard_normal(shape)
    tensor = tensor_of(weights, shape)
    payload = codec.encode(tensor)
    back = codec.decode(payload, tensor.spec, ())
    assert back.spec == tensor.spec
    assert measure_errors(tensor, back).snr_db > (5 if regressor == "basis" else 30)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 40)),
    seed=st.integers(0, 1000),
    rank=st.integers(1, 4),
    regressor=st.sampled_from(["rows", "basis", "expression"]),
    residual=st.sampled_from([True, False, "auto"]),
    how=st.sampled_from(selection.SELECTIONS),
    stored=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    base=st.sampled_from(["trellis", "huffman"]),
    tile=st.sampled_from([None, 1, 7, 64]),
)
def test_round_trips(  # noqa: PLR0917
    shape, seed, rank, regressor, residual, how, stored, base, tile
):
    weights = random(shape[0], rank, seed) @ random(rank, shape[1], seed + 1)
    codec = Regression(
        regressor=regressor, residual=residual, selection=how, stored=stored, base=base, tile=tile, generations=5,
        block=5, vectors=2, seed_bits=6, relative_step=0.1,
    )  # fmt: skip
    tensor = tensor_of(weights)
    payload = codec.encode(tensor)
    assert payload == codec.encode(tensor)
    made = codec.decode(payload, tensor.spec, ()).float32()
    read = reference.stream.Tensor(
        0, "w", 7, dtype=reference.ElementType(1, "f32", 4, True), shape=shape, payload=payload
    )
    read.payload_crc = reference.primitives.crc32(payload)
    assert reference.decode_bytes(read) == made.tobytes()
    if residual is True:
        assert measure_errors(tensor, from_float32(tensor.spec, made)).snr_db > 15


def test_nan_is_refused_by_name():
    weights = torch.from_numpy(random(20, 20)).float()
    weights[3, 4] = float("nan")
    with pytest.raises(SourceError, match="w"):
        neuralcodec.encode({"w": weights}, codec="regression")
    kept = neuralcodec.encode({"w": weights}, codec="regression", on_nonfinite="raw")
    assert kept.entry("w").codec == "raw"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regressor": "none"}, "regressor"),
        ({"stored": 1.5}, "stored"),
        ({"terms": 0}, "terms"),
        ({"vectors": 9}, "vectors"),
        ({"block": 2, "vectors": 3}, "vectors"),
        ({"seed_bits": 17}, "seed_bits"),
        ({"step": 0.0}, "step"),
        ({"seconds": -1.0}, "seconds"),
        ({"nodes": 65}, "nodes"),
        ({"selection": "best"}, "selection"),
        ({"residual": "maybe"}, "residual"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(PlanError, match=message):
        neuralcodec.encode({"w": torch.ones(20, 20)}, codec="regression", **options)


def test_a_sum_is_what_decoders_make_of_it():
    weights = low_rank(30, 50, 4).astype(np.float32)
    kept = np.array([2, 5, 9, 17], np.uint32)
    stored = rows.rounded(np.ascontiguousarray(weights[kept]), 0.01)
    (plan,) = rows.decompose(weights, stored, kept, [4], 0.0)
    assert plan.sums.index_width == 0
    error = np.square(plan.made() - weights).sum() / np.square(weights).sum()
    assert error < 1e-3


def test_greedy_rows_span_more_than_others():
    weights = (repeated(60, 80, 6) + 0.01 * random(60, 80)).astype(np.float32)
    left = {how: selection.order_rows(weights, None, how, 0, 1e-3)[1][6] for how in selection.SELECTIONS}
    assert left["greedy"] == min(left.values())
    for how in selection.SELECTIONS:
        order, rest = selection.order_rows(weights, None, how, 0, 1e-3)
        assert len(set(order.tolist())) == len(order) == 30
        assert (np.diff(rest) <= 1e-9).all()


def test_basis_beats_other_seeds():
    """A seed that is searched for gives less error than one that is not."""
    weights = random(8, 64).astype(np.float32)
    errors = []
    for bits in (4, 7, 10):
        payload = basis.serialize(weights, None, basis.Shape(8, 3, bits, 4), None, None, None)
        errors.append(float(np.square(decoded(payload, weights.shape) - weights).sum()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.1 * float(np.square(weights).sum())


def test_an_expression_is_found():
    """Of a plane, by its rows and columns."""
    row, col = np.mgrid[:16, :20]
    levels = (3 * row - 5 * col + 7).astype(np.float32)
    found = expression.search(levels, None, levels.shape, 64, expression.Settings(stored=0.0, generations=20_000))
    assert found.error < 0.05 * float(np.square(levels).sum())
    made = expression.predict(found.expression, levels, 64)
    assert float(np.square(made - levels).sum()) == pytest.approx(found.error, rel=1e-6)


def test_a_search_goes_on_where_it_stopped(tmp_path):
    levels = (20 * random(10, 30)).astype(np.float32)
    whole = expression.search(levels, None, levels.shape, 64, expression.Settings(generations=600))
    seen = []

    def stop(done: int, _error: float) -> None:
        seen.append(done)
        if done == 400 and len(seen) == 4:
            raise KeyboardInterrupt

    path = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        expression.search(levels, None, levels.shape, 64, expression.Settings(generations=600), stop, path)
    again = expression.search(levels, None, levels.shape, 64, expression.Settings(generations=600), stop, path)
    assert again.expression == whole.expression
    assert np.array_equal(again.stored, whole.stored)
    assert again.error == whole.error
    assert seen == [100, 200, 300, 400, 400, 500, 600]


def test_a_search_ends_in_time():
    levels = (20 * random(100, 100)).astype(np.float32)
    found = expression.search(levels, None, levels.shape, 64, expression.Settings(generations=10**9, seconds=0.2))
    assert found.seconds < 5
    assert 0 < found.generations < 10**9


def test_stored_weights_are_kept():
    """Beside an expression a tenth is stored, to within half of 1/127 of the largest."""
    weights = random(20, 50).astype(np.float32)
    codec = Regression(regressor="expression", residual=False, generations=100)
    found = expression.search(weights / np.float32(np.abs(weights).max() / 127), None, (20, 50), 1000, codec._settings)
    assert found.stored.sum() == 100
    payload = codec.encode(tensor_of(weights))
    assert payload[0] & 31 == 1 | 8 | 16 | (payload[0] & 4)
    made = codec.decode(payload, TensorSpec("w", F32, (20, 50)), ()).float32()
    missed = np.abs(made - weights)[found.stored]
    assert missed.max() <= 0.51 * np.abs(weights).max() / 127


@pytest.mark.parametrize("seed", range(4))
def test_a_search_computes_as_decoders_do(seed):
    """Sums that overflow and divisions by 0 among them: the search's error is that of what decoders make."""
    levels = np.random.default_rng(seed).integers(-32768, 32768, (12, 30)).astype(np.float32)
    levels[:, ::3] = 7
    settings_ = expression.Settings(stored=0.0, generations=400, seed=seed)
    found = expression.search(levels, None, (12, 5, 2, 3), 64, settings_)
    made = expression.predict(found.expression, levels, 64)
    assert len(found.expression.nodes) > 1
    assert float(np.square(made.astype(np.float64) - levels).sum()) == pytest.approx(found.error, rel=1e-6)


def test_an_expression_that_is_of_no_use_leaves_all_to_what_is_stored():
    weights = random(20, 50).astype(np.float32)
    payload = Regression(regressor="expression", residual=False, stored=1.0, generations=0).encode(tensor_of(weights))
    made = Regression().decode(payload, TensorSpec("w", F32, (20, 50)), ()).float32()
    assert np.abs(made - weights).max() <= 1.01 * np.abs(weights).max() / 127
    # Not a bit less than that: a residual brings any step.
    codec = Regression(regressor="expression", residual=True, generations=0, relative_step=0.05)
    plain, plain_size = snr(Trellis(relative_step=0.05, reconstruction="error"), tensor_of(weights))
    mine, mine_size = snr(codec, tensor_of(weights))
    assert mine == pytest.approx(plain, abs=1)
    assert mine_size < 1.1 * plain_size


@pytest.mark.parametrize("stored", [0.5, 1.0])
def test_fewer_rows_than_are_asked_for(stored):
    """One row is stored as it is; the second and the third of three equal ones are no more than its repetition."""
    sizes = []
    for count in (1, 2, 3):
        weights = repeated(count, 40, 1)
        codec = Regression(regressor="rows", stored=stored, terms=32, residual=False, relative_step=0.03)
        decibels, size = snr(codec, tensor_of(weights))
        assert decibels > 30
        sizes.append(size)
    assert sizes[2] < sizes[1] + 8


def test_a_basis_without_a_residual_has_levels_of_8_bits():
    """Whatever its step is rounded to."""
    for seed in range(20):
        payload = basis.serialize(random(4, 32, seed).astype(np.float32), None, basis.Shape(), None, None, None)
        assert not payload[0] & 4


@pytest.mark.parametrize(("shape", "tile"), [((3, 300), 100), ((1, 300), 100), ((2, 5000), None), ((4, 75), 64)])
@pytest.mark.parametrize("residual", [False, True])
def test_rows_of_several_tiles_have_records_of_whole_ones(shape, tile, residual):
    """The last tile of a row has fewer blocks than the others."""
    w = random(*shape).astype(np.float32)
    options = {"regressor": "basis", "tile": tile, "residual": residual, "relative_step": 0.2}
    cm = neuralcodec.encode({"w": torch.from_numpy(w)}, "regression", **options)
    (tensor,) = reference.read_stream(cm.to_bytes()).tensors
    assert reference.decode_bytes(tensor) == cm.decode("w").numpy().tobytes()
    assert cm.report().snr_db > (10 if residual else 3)

"""The front of size and loss: exact without data, near the best with few evaluations, and never lost."""

import io
import itertools
import json
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from samples import Net, weights

import neuralcodec
from neuralcodec.exploration.search import predict
from neuralcodec.exploration.sums import combine, convex_hull, hull_choices

KS = [{"clusters": k} for k in (2, 4, 8, 16, 64)]


@pytest.fixture
def model():
    return {
        "a.weight": weights(32, 40, seed=1),
        "b.weight": weights(48, 64, seed=2, scale=0.5),
        "c.weight": weights(20, 30, seed=3, scale=0.2),
        "a.bias": weights(32, seed=4),
    }


def make_evaluate(model, sensitivity, calls=None):
    """A loss that is not quite a sum: distortions times sensitivities, squashed."""

    def evaluate(state):
        assert set(state) == set(model)
        assert all(state[n].shape == w.shape and state[n].dtype == w.dtype for n, w in model.items())
        lost = sum(s * float(((state[n] - model[n]) ** 2).sum()) for n, s in sensitivity.items())
        if calls is not None:
            calls.append(lost)
        return 0.05 + lost / (1 + lost)

    return evaluate


SENSITIVITY = {"a.weight": 3.0, "b.weight": 0.01, "c.weight": 0.5}


def test_without_data_no_other_choice_is_better(model):
    front = neuralcodec.explore(model, settings=KS)
    assert front.baseline == 0
    assert front.evaluations == ()
    assert front.grid == 125
    sizes = [p.nbytes for p in front.points]
    losses = [p.loss for p in front.points]
    assert sizes == sorted(sizes)
    assert losses == sorted(losses, reverse=True)
    energy = sum(float((model[n].double() ** 2).sum()) for n in SENSITIVITY)
    everything = []
    for options in itertools.product(KS, repeat=3):
        cm = neuralcodec.encode(model, "kmeans", overrides=dict(zip(SENSITIVITY, options, strict=True)))
        lost = sum(float(((cm.decode(n).double() - model[n].double()) ** 2).sum()) for n in SENSITIVITY)
        everything.append((cm.nbytes, lost / energy))
    for point in front.points:
        cm = neuralcodec.encode(model, front.codec, overrides=point.overrides())
        assert cm.nbytes == pytest.approx(point.nbytes, abs=32)
        assert cm.report().snr_db == pytest.approx(point.snr_db, abs=1e-6)
        assert all(not (size < cm.nbytes - 32 and loss < point.loss) for size, loss in everything)
    # All of the lower convex hull is there, so nothing lies below the line between two neighbours.
    for a, b in itertools.pairwise(front.points):
        for size, loss in everything:
            if a.nbytes < size < b.nbytes:
                line = a.loss + (b.loss - a.loss) * (size - a.nbytes) / (b.nbytes - a.nbytes)
                assert loss >= line * (1 - 1e-9) - 32 * (a.loss - b.loss) / (b.nbytes - a.nbytes)


def test_the_budget_without_data(model):
    front = neuralcodec.explore(model, settings=KS, min_snr_db=15)
    assert all(p.snr_db >= 15 for p in front.points)
    whole = neuralcodec.explore(model, settings=KS)
    assert front.points[0] == whole.smallest(min_snr_db=15)
    assert whole.best(front.points[0].nbytes) == front.points[0]
    with pytest.raises(neuralcodec.PlanError, match="no point has an SNR of 80 dB; the highest") as caught:
        neuralcodec.explore(model, settings=KS, min_snr_db=80)
    assert caught.value.nearest == pytest.approx(whole.points[-1].snr_db)
    with pytest.raises(neuralcodec.PlanError, match="no point has 10 bytes or less"):
        whole.best(10)
    with pytest.raises(neuralcodec.PlanError, match="no point has a loss of 0; the least"):
        whole.smallest(max_loss=0)


def test_importance_says_which_tensor_matters(model):
    plain = neuralcodec.explore(model, settings=KS)
    weighted = neuralcodec.explore(model, settings=KS, importance={"a.weight": np.float32(1000)})
    size = plain.points[len(plain.points) // 2].nbytes
    chosen = [front.best(size).settings["a.weight"]["clusters"] for front in (plain, weighted)]
    assert chosen[1] > chosen[0]


def test_few_evaluations_come_near_the_best_of_the_grid(model):
    calls = []
    evaluate = make_evaluate(model, SENSITIVITY, calls)
    settings = [{"clusters": k} for k in (2, 3, 4, 6, 8, 12, 16, 24, 32, 64)]
    reports = []
    front = neuralcodec.explore(
        model, "kmeans", evaluate, settings=settings, points=12, progress=lambda *a: reports.append(a)
    )
    assert len(calls) == len(front.evaluations) <= 1 + 5 * 3 + 2 * 12
    assert front.grid == 1000
    assert front.baseline == pytest.approx(0.05)
    assert reports[0][0] == "encoding a.weight"
    assert reports[-1][0] == "evaluating"
    assert all(0 < done <= total for _, done, total in reports)
    losses = {}
    each = {n: {k["clusters"]: neuralcodec.encode({n: model[n]}, "kmeans", **k) for k in settings} for n in SENSITIVITY}
    decoded = {n: {k: (cm.decode(n), cm.entry(n)) for k, cm in own.items()} for n, own in each.items()}
    fixed = front.points[0].nbytes - sum(
        decoded[n][o["clusters"]][1].place.size for n, o in front.points[0].settings.items()
    )
    for ks in itertools.product(*(decoded[n] for n in SENSITIVITY)):
        state = model | {n: decoded[n][k][0] for n, k in zip(SENSITIVITY, ks, strict=True)}
        losses[ks] = (
            fixed + sum(decoded[n][k][1].place.size for n, k in zip(SENSITIVITY, ks, strict=True)),
            evaluate(state),
        )
    for point in front.points:
        ks = tuple(point.settings[n]["clusters"] for n in SENSITIVITY)
        assert losses[ks] == (point.nbytes, pytest.approx(point.loss))
    # Where the front has a point, the grid has none that is much smaller at that loss. Only where the model is still of
    # use: near a loss of 1 the losses of tensors do not add up at all, and nothing is promised.
    useful = [point for point in front.points if point.loss < 0.5]
    assert len(useful) >= 5
    for point in useful:
        least = min(size for size, loss in losses.values() if loss <= point.loss)
        assert point.nbytes <= 1.02 * least
    # What a loses counts three times as much as what b loses.
    ratios = [p.settings["a.weight"]["clusters"] / p.settings["b.weight"]["clusters"] for p in front.points]
    assert np.mean(np.log(ratios)) > 0


def test_the_budget_with_evaluations(model):
    evaluate = make_evaluate(model, SENSITIVITY)
    front = neuralcodec.explore(model, "kmeans", evaluate, settings=KS, max_loss=0.2)
    assert all(p.loss <= 0.2 for p in front.points)
    cm = neuralcodec.encode(model, front.codec, overrides=front.smallest(max_loss=0.2).overrides())
    assert evaluate(cm.state_dict()) == pytest.approx(front.points[0].loss)
    # No tensor can be made a step coarser.
    smallest = front.points[0].overrides()
    for name in SENSITIVITY:
        coarser = [k for k in KS if k["clusters"] < smallest[name]["clusters"]]
        if coarser:
            cm = neuralcodec.encode(model, front.codec, overrides=smallest | {name: coarser[-1]})
            assert evaluate(cm.state_dict()) > 0.2
    with pytest.raises(neuralcodec.PlanError, match="max_loss: no combination that was evaluated") as caught:
        neuralcodec.explore(model, "kmeans", evaluate, settings=KS, max_loss=0.05)
    assert caught.value.nearest > 0.05


@pytest.mark.parametrize("most", [5, 6, 10, 17, 30])
def test_evaluations_stay_within_their_number(model, most):
    calls = []
    front = neuralcodec.explore(
        model, "kmeans", make_evaluate(model, SENSITIVITY, calls), settings=KS, max_evaluations=most
    )
    assert len(calls) <= most
    assert len(front.evaluations) == len(calls)
    assert front.points


def test_a_loss_that_does_not_move_is_left_to_distortion(model):
    front = neuralcodec.explore(model, "kmeans", lambda state: 0.25, settings=KS, points=6)
    assert len(front.points) == 1  # nothing is better than the smallest
    assert {o["clusters"] for o in front.points[0].settings.values()} == {2}


@pytest.mark.parametrize("how", ["raises", "nan", "inf", "text"])
def test_a_failure_is_named_and_nothing_is_lost(model, how, tmp_path):
    count = itertools.count()
    good = make_evaluate(model, SENSITIVITY)

    def failing(state):
        if next(count) == 9:
            if how == "raises":
                raise RuntimeError("out of memory")
            return {"nan": math.nan, "inf": math.inf, "text": "much"}[how]
        return good(state)

    said = {
        "raises": "raised RuntimeError: out of memory",
        "nan": "returned nan",
        "inf": "returned inf",
        "text": "raised ValueError: could not convert",
    }[how]
    with pytest.raises(neuralcodec.EvaluationError, match=rf"evaluate\(\) {said}.* with 'c.weight' at") as caught:
        neuralcodec.explore(model, "kmeans", failing, settings=KS)
    error = caught.value
    assert "9 evaluations are kept" in str(error)
    assert len(error.front.evaluations) == 9
    assert (error.__cause__ is None) == (how in ("nan", "inf"))
    assert str(pickle.loads(pickle.dumps(neuralcodec.EvaluationError("x")))) == "x"

    calls = []
    resumed = neuralcodec.explore(
        model, "kmeans", make_evaluate(model, SENSITIVITY, calls), settings=KS, resume=error.front
    )
    whole = neuralcodec.explore(model, "kmeans", good, settings=KS)
    assert resumed == whole
    assert len(calls) == len(whole.evaluations) - 9

    path = tmp_path / "evaluations.json"
    count = itertools.count()
    with pytest.raises(neuralcodec.EvaluationError):
        neuralcodec.explore(model, "kmeans", failing, settings=KS, resume=path)
    calls.clear()
    again = make_evaluate(model, SENSITIVITY, calls)
    assert neuralcodec.explore(model, "kmeans", again, settings=KS, resume=path) == whole
    assert len(calls) == len(whole.evaluations) - 9
    calls.clear()
    assert neuralcodec.explore(model, "kmeans", again, settings=KS, resume=path) == whole
    assert calls == []
    assert list(tmp_path.iterdir()) == [path]


def test_failures_can_be_skipped(model):
    good = make_evaluate(model, SENSITIVITY)

    def evaluate(state):  # fails where a is coarse, as networks do that overflow
        if float(((state["a.weight"] - model["a.weight"]) ** 2).sum()) > 0.1:
            return math.nan
        return good(state)

    with pytest.raises(neuralcodec.EvaluationError):
        neuralcodec.explore(model, "kmeans", evaluate, settings=KS)
    front = neuralcodec.explore(model, "kmeans", evaluate, settings=KS, on_failure="skip")
    assert any(math.isinf(e.loss) for e in front.evaluations)
    assert front.points
    assert all(math.isfinite(p.loss) for p in front.points)
    with pytest.raises(neuralcodec.PlanError, match="failed on the model as it is"):
        neuralcodec.explore(model, "kmeans", lambda state: math.nan, settings=KS, on_failure="skip")
    with pytest.raises(neuralcodec.EvaluationError) as caught:
        neuralcodec.explore(model, "kmeans", lambda state: math.nan, settings=KS)
    assert "no evaluation was made" in str(caught.value.front.table().caption)

    def only_as_it_is(state):
        return 0.0 if all(torch.equal(state[name], model[name]) for name in model) else math.nan

    with pytest.raises(neuralcodec.PlanError, match=r"failed with each of \d+ combinations"):
        neuralcodec.explore(model, "kmeans", only_as_it_is, settings=KS, on_failure="skip")


@pytest.mark.parametrize("on_failure", ["error", "skip"])
def test_a_model_that_evaluate_changes_is_noticed(on_failure):
    torch.manual_seed(0)
    net, calls = Net(), []

    def evaluate(state):
        calls.append(state)
        net.load_state_dict(state)
        return float(net.conv.weight.detach().square().sum())

    with pytest.raises(neuralcodec.EvaluationError, match="into a copy"):
        neuralcodec.explore(net, "kmeans", evaluate, settings=KS, on_failure=on_failure)
    assert len(calls) == 2  # the first is of the model as it is

    def overwrite(state):
        state["conv.weight"].zero_()
        return 0.0

    with pytest.raises(neuralcodec.EvaluationError, match=r"'conv.weight'.*changed a tensor"):
        neuralcodec.explore(Net(), "kmeans", overwrite, settings=KS, on_failure=on_failure)


def test_evaluations_of_another_model_are_refused(model, tmp_path):
    path = tmp_path / "evaluations.json"
    evaluate = make_evaluate(model, SENSITIVITY)
    front = neuralcodec.explore(model, "kmeans", evaluate, settings=KS, points=4, resume=path)
    with pytest.raises(neuralcodec.PlanError, match="other weights, settings or options"):
        neuralcodec.explore(model, "kmeans", evaluate, settings=KS[:3], resume=path)
    with pytest.raises(neuralcodec.PlanError, match="other weights, settings or options"):
        neuralcodec.explore(model, "kmeans", evaluate, settings=KS, resume=front, zero=True)
    # Losses hang on tensors that have no setting as well.
    other = {**model, "a.bias": model["a.bias"] + 1}
    for resume in (front, path):
        with pytest.raises(neuralcodec.PlanError, match="other weights, settings or options"):
            neuralcodec.explore(other, "kmeans", evaluate, settings=KS, resume=resume)
    path.write_text("{}")
    with pytest.raises(neuralcodec.PlanError, match="does not hold evaluations"):
        neuralcodec.explore(model, "kmeans", evaluate, settings=KS, resume=path)


def test_other_codecs_modules_ties_and_threads():
    torch.manual_seed(0)
    net = Net()

    def evaluate(state):
        Net().load_state_dict(state)
        assert state["head.weight"] is state["embed.weight"]
        return float(((state["embed.weight"] - net.embed.weight.detach()) ** 2).sum())

    with ThreadPoolExecutor(2) as executor:
        front = neuralcodec.explore(net, "huffman", evaluate, points=5, executor=executor)
    assert front == neuralcodec.explore(net, "huffman", evaluate, points=5)
    assert {tuple(o) for o in front.points[0].settings.values()} == {("bits",)}
    cm = neuralcodec.encode(net, front.codec, overrides=front.points[0].overrides())
    assert cm.nbytes == pytest.approx(front.points[0].nbytes, rel=0.02)  # tables that tensors share
    cm.load_into(Net())


def test_the_same_from_a_file(model, tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    save_file(model, path)
    assert neuralcodec.explore(path, settings=KS) == neuralcodec.explore(model, settings=KS)


def test_options_reach_the_codec(model):
    front = neuralcodec.explore(model, settings=KS, zero=True, centroids="fp32")
    assert (front.codec.zero, front.codec.centroids) == (True, "fp32")
    cm = neuralcodec.encode(model, front.codec, overrides=front.points[-1].overrides())
    assert cm.nbytes == pytest.approx(front.points[-1].nbytes, abs=32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_loss": 0.1}, "use min_snr_db"),
        ({"evaluate": float, "min_snr_db": 3.0}, "the budget is max_loss"),
        ({"min_snr_db": math.nan}, "not NaN"),
        ({"points": 1}, "points: an integer of at least 2"),
        ({"on_failure": "stop"}, 'on_failure is "error" or "skip"'),
        ({"settings": []}, "settings: at least one"),
        ({"settings": {"clusters": 4}}, "settings: a list of options"),
        ({"settings": ["clusters"]}, "settings: a list of options"),
        ({"max_evaluations": 9}, "without evaluate= there are no evaluations"),
        ({"resume": "evaluations.json"}, "without evaluate= there are no evaluations"),
        ({"settings": [{"cluster": 3}]}, "did you mean 'clusters'"),
        ({"settings": [{"clusters": 0}]}, "clusters: an integer from 1 to 256"),
        ({"codec": "huffman", "lossless": True}, "lossless"),
        ({"shared": True}, "a setting of its own"),
        ({"include": "*.bias"}, "no tensor is coded lossily"),
        ({"include": "d.*"}, "no tensor matches"),
        ({"evaluate": float, "max_evaluations": 4}, "max_evaluations: at least 5 expected"),
        ({"evaluate": float, "max_evaluations": 9.5}, "max_evaluations: an integer"),
    ],
)
def test_bad_options_are_named(model, arguments, message):
    with pytest.raises(neuralcodec.PlanError, match=message):
        neuralcodec.explore(model, **{"codec": "kmeans", **arguments})


def test_bad_tensors_are_named(model):
    with pytest.raises(neuralcodec.SourceError, match=r"tensor 'b\.weight'.*NaN"):
        neuralcodec.explore(model | {"b.weight": model["b.weight"] * math.nan}, settings=KS)
    zeros = neuralcodec.explore({"w": torch.zeros(40, 40)}, settings=KS)
    assert zeros.points[0].loss == 0
    assert math.isinf(zeros.points[0].snr_db)
    assert '"snr_db": "inf"' in json.dumps(zeros.to_dict())


def test_the_front_can_be_seen(model, tmp_path):
    front = neuralcodec.explore(model, "kmeans", make_evaluate(model, SENSITIVITY), settings=KS, points=6)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(front.table())
    text = console.export_text()
    assert f"{front.points[0].nbytes:,}" in text
    assert f"{len(front.evaluations)} evaluations, where all combinations would take 125" in text
    console.print(front.table(rows=2))
    assert f"2 of {len(front.points)} points" in console.export_text()
    held = json.loads(json.dumps(front.to_dict()))
    assert held["points"][0]["settings"] == front.points[0].overrides()
    assert len(held["evaluations"]) == len(front.evaluations)
    pytest.importorskip("matplotlib")
    for name in ("front.svg", "front.png"):
        front.plot(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 5000
    neuralcodec.explore(model, settings=KS).plot(tmp_path / "no_data.svg")
    assert "SNR" in (tmp_path / "no_data.svg").read_text()
    with pytest.raises(neuralcodec.NeuralCodecError, match=r"ends in \.png"):
        front.plot(tmp_path / "front.docx")


curves = st.lists(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=5, unique_by=lambda p: p[0]).map(
        sorted
    ),
    min_size=1,
    max_size=3,
)


@given(curves)
def test_combine_finds_all_that_nothing_beats(curves):
    curves = [[(b, float(loss)) for b, loss in curve] for curve in curves]
    choices = combine(curves)

    def total(choice):
        return tuple(sum(c[i][part] for c, i in zip(curves, choice, strict=True)) for part in (0, 1))

    everything = [total(choice) for choice in itertools.product(*(range(len(c)) for c in curves))]
    found = [total(choice) for choice in choices]
    assert not {t for t in everything if not any(a <= t[0] and b <= t[1] for a, b in found)}
    for tradeoff in (0.01, 0.1, 0.37, 1.0, 2.5, 30.0):
        least = min(loss + tradeoff * b for b, loss in everything)
        assert min(loss + tradeoff * b for b, loss in found) == pytest.approx(least)
    assert [b for b, _ in found] == sorted((b for b, _ in found), reverse=True)
    assert [loss for _, loss in found] == sorted(loss for _, loss in found)


def test_combine_keeps_the_hull_of_many_tensors():
    rng = np.random.default_rng(0)
    curves = [
        list(zip(np.sort(rng.choice(5000, 12, False)).tolist(), np.sort(rng.exponential(size=12))[::-1], strict=True))
        for _ in range(40)
    ]
    choices = combine(curves)
    assert 500 < len(choices) < 6000

    def totals(choices):
        return np.array([[sum(c[i][part] for c, i in zip(curves, choice, strict=True)) for part in (0, 1)]
                         for choice in choices])  # fmt: skip

    found, hull = totals(choices), totals(hull_choices(curves))
    for tradeoff in 10.0 ** np.linspace(-6, 0, 30):
        assert (found @ [tradeoff, 1]).min() == pytest.approx((hull @ [tradeoff, 1]).min())
    assert (np.diff(found[:, 0]) < 0).all()
    assert (np.diff(found[:, 1]) > 0).all()


def test_combine_leaves_out_what_failed():
    curve = [(1, math.inf), (2, 5.0), (3, 1.0), (4, 2.0)]
    assert convex_hull(curve) == [1, 2]
    assert combine([curve, [(1, math.inf), (2, math.inf)]]) == [(2, 1), (1, 1)]


def test_predicted_losses_follow_distortion():
    distortions = [8.0, 4.0, 2.0, 1.0, 0.0]
    assert predict(distortions, {0: 0.8, 2: 0.1}) == pytest.approx([0.8, 0.1 + 0.7 / 3, 0.1, 0.05, 0])
    assert predict(distortions, {0: 0.1, 2: 0.3}) == pytest.approx([0.2, 0.2, 0.2, 0.1, 0])
    assert predict(distortions, {2: -0.5}) == [0, 0, 0, 0, 0]
    assert predict(distortions, {0: math.inf, 1: math.inf, 3: 0.1}) == pytest.approx([math.inf, math.inf, 0.2, 0.1, 0])


@pytest.mark.parametrize(
    ("codec", "settings"),
    [
        ("trellis", [{"rdo": 1.0}, {"rdo": 4.0}]),
        ("generative", [{"rdo": 1.0}, {"rdo": 4.0}]),
        ("autoencoder", [{"taps": 1}, {"taps": 3}]),
        ("regression", [{"step": s} for s in (0.01, 0.03, 0.1)]),
    ],
)
def test_points_are_what_encode_gives(codec, settings):
    """Where settings leave the step open, and where a codec leaves tensors to another one; but for shared tables."""
    model = {"a": weights(64, 96, scale=0.05), "c": weights(16, 300, seed=1)}
    front = neuralcodec.explore(model, codec, settings=settings)
    for point in front.points:
        cm = neuralcodec.encode(model, front.codec, overrides=point.overrides())
        assert cm.nbytes == pytest.approx(point.nbytes, rel=0.05)
        assert cm.report().snr_db == pytest.approx(point.snr_db, abs=0.5)


def test_tensors_that_another_codec_takes_are_decoded_by_that():
    model = {"a": weights(32, 32) * 1e-36, "b": weights(32, 32, seed=1)}
    front = neuralcodec.explore(model, evaluate=lambda s: float((s["b"] - model["b"]).square().sum()), points=4)
    assert len(front.points) >= 4

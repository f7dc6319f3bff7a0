"""The search for a step: few trials, and it says what can be reached."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from samples import bell as gauss

import neuralcodec
from neuralcodec import PlanError, Target
from neuralcodec.plan import meet
from neuralcodec.plan.search import MAX_TRIALS, Trial, find_step
from neuralcodec.plan.sketch import sketch

WEIGHTS = 20_000
FIXED = 500.0


@pytest.fixture(scope="module")
def bell():
    return sketch([(np.random.default_rng(0).standard_normal((200, 100)).astype(np.float32), 1.0)], 1)


def off_by(yardstick, octaves, slope=1.0):
    """A codec that does at a step what rounding does so many octaves further, and the steps that were tried."""
    tried = []

    def try_step(step):
        tried.append(step)
        x = slope * math.log2(step) + octaves
        nbytes = np.interp(x, *curve(yardstick, False))
        return Trial(step, FIXED + float(nbytes), float(np.interp(x, *curve(yardstick, True))))

    return try_step, tried


def curve(yardstick, snr):
    at = np.arange(yardstick.finest, yardstick.coarsest + 1)
    return at / 4, [yardstick._at(int(i), snr) for i in at]


def test_a_sketch_is_the_entropy_and_the_error_of_rounding(bell):
    # At high rate: h - log2(step) with h = log2(2πe)/2 bits of a Gaussian, and an error of step²/12.
    at = bell.step_of(5 * WEIGHTS / 8, snr=False)
    assert 0.5 * math.log2(2 * math.pi * math.e) - at == pytest.approx(5, abs=0.05)
    assert 2 ** (2 * bell.step_of(35.0, snr=True)) / 12 == pytest.approx(10**-3.5, rel=0.03)
    for snr, values in ((False, np.linspace(10, WEIGHTS, 50)), (True, np.linspace(0.5, 80, 50))):
        steps = [bell.step_of(float(value), snr=snr) for value in values]
        assert steps == sorted(steps, reverse=True)


def test_a_sketch_of_nothing_and_of_zeros_has_steps_too():
    for weights in ([], [np.zeros((4, 4), np.float32)], [np.full((2, 2), np.nan, np.float32)]):
        assert math.isfinite(sketch([(each, 1.0) for each in weights], len(weights)).step_of(100.0, snr=False))


@pytest.mark.parametrize("octaves", [-1.5, -0.2, 0.0, 0.7])
@pytest.mark.parametrize(
    "target",
    [
        Target(bits_per_weight=1.5),
        Target(bits_per_weight=5),
        Target(snr_db=12),
        Target(snr_db=40),
        Target(max_bytes=7000),
    ],
)
def test_three_trials_are_enough_for_what_is_like_rounding(bell, target, octaves):
    try_step, tried = off_by(bell, octaves, slope=1.1)
    step = find_step(target, WEIGHTS, FIXED, bell, try_step)
    trial = try_step(step)
    goal = target.goal(WEIGHTS)
    excess = ((trial.snr_db if target.wants_snr else trial.nbytes) - goal) / goal
    assert abs(excess) <= 0.01
    assert target.max_bytes is None or excess <= 0
    assert len(tried) - 1 <= 3


def test_a_coarse_knob_is_found_too(bell):
    """A codec with whole bits only: the target is met where one of them does, else the nearest are told."""

    def try_step(step):
        bits = min(max(round(-math.log2(step)) + 2, 1), 8)
        return Trial(step, FIXED + bits * WEIGHTS / 8, 6.0 * bits)

    met = find_step(Target(bits_per_weight=6.2), WEIGHTS, FIXED, bell, try_step)
    assert try_step(met).nbytes == FIXED + 6 * WEIGHTS / 8
    assert try_step(find_step(Target(max_bytes=14_000), WEIGHTS, FIXED, bell, try_step)).nbytes == FIXED + 12_500
    with pytest.raises(PlanError, match=r"the nearest is 8\.200 bits/weight") as caught:
        find_step(Target(bits_per_weight=12), WEIGHTS, FIXED, bell, try_step)
    assert caught.value.nearest == pytest.approx(8.2)


def test_a_goal_that_a_jump_hides_is_found_beside_it(bell):
    """In a narrow band of steps files are larger, as where tensors cannot share a table; the goal is beyond."""

    def try_step(step):
        at = math.log2(step)
        bits = 2.05 - at + (0.8 if -4.31 < at < -4 else 0)
        return Trial(step, FIXED + bits * WEIGHTS / 8, 6.0 * bits)

    goal = 6.35 + 8 * FIXED / WEIGHTS
    met = find_step(Target(bits_per_weight=goal), WEIGHTS, FIXED, bell, try_step)
    assert 8 * try_step(met).nbytes / WEIGHTS == pytest.approx(goal, rel=0.02)


def test_a_target_within_a_jump_is_met_by_the_other_tensors():
    """Most weights of a tensor have one magnitude, and become 0 at once: one tensor stays, the others go on."""
    torch.manual_seed(0)
    taps = 0.05 * (2.0 * torch.randint(0, 2, (100, 100)) - 1)
    taps[:30] = torch.randn(30, 100)
    model = {"few": 0.3 * torch.randn(60, 100), "taps": taps}
    options = {"codec": "huffman", "shaping": False}
    cm = neuralcodec.encode(model, target=Target(bits_per_weight=3, allocation="error"), **options)
    reasons = {row.name: row.reason for row in cm.report().rows}
    assert cm.report().bits_per_weight == pytest.approx(3, rel=0.02)
    assert reasons == {"few": "chosen", "taps": "chosen; its bits jump"}
    with pytest.raises(PlanError, match="the nearest is") as caught:  # no other tensor is there to make up for it
        neuralcodec.encode({"taps": taps}, target=Target(bits_per_weight=2.8), **options)
    assert type(caught.value) is PlanError


def test_an_snr_within_a_jump_gives_way_to_a_higher_one():
    signs = gauss(64, 64).sign()
    # Centroids of -1 and 1 lose nothing, one of 0 loses all.
    cm = neuralcodec.encode({"w": signs}, "kmeans", Target(snr_db=20))
    assert torch.equal(cm.decode("w"), signs)
    assert cm.nbytes < 1000
    # Of several tensors it is the others that make up for it.
    model = {"few": gauss(50, 60, seed=1), "signs": 0.2 * signs}
    for codec in ("kmeans", "trellis"):
        cm = neuralcodec.encode(model, codec, Target(snr_db=16))
        assert 0.98 * 16 <= cm.report().snr_db < 1.05 * 16  # more where a finer step takes less
        assert (cm.decode("signs") * signs).mean() > 0.1


def test_a_trial_that_is_smaller_and_better_is_taken(bell):
    """Where levels meet clusters of weights, a finer step takes less."""

    def try_step(step):
        at = math.log2(step)
        return Trial(step, FIXED + WEIGHTS * (0.1 if at < -3 else 1.0), 60.0 if at < -3 else -6.0 * at)

    trials = []

    def counted(step):
        trials.append(try_step(step))
        return trials[-1]

    best = try_step(find_step(Target(snr_db=17.9), WEIGHTS, FIXED, bell, counted))
    assert not any(t.nbytes < best.nbytes and t.snr_db >= best.snr_db for t in trials)


def test_bits_that_are_not_needed():
    for weights in (gauss(64, 64).sign(), torch.zeros(64, 64), torch.eye(64)):
        cm = neuralcodec.encode({"w": weights}, "kmeans", Target(bits_per_weight=6))
        assert torch.equal(cm.decode("w"), weights)
        assert cm.report().bits_per_weight < 2


def test_models_of_few_weights_meet_a_target_where_a_shared_table_breaks_up():
    torch.manual_seed(17)
    model = {"w": torch.randn(40, 30), "v": torch.randn(30, 30), "b": torch.randn(40), "n": torch.arange(9)}
    cm = neuralcodec.encode(model, "trellis", Target(bits_per_weight=8), states=8)
    assert cm.report().bits_per_weight == pytest.approx(8, rel=0.02)


def test_what_no_step_reaches_takes_no_more_trials_than_allowed(bell):
    for target in (Target(max_bytes=100), Target(snr_db=300)):
        try_step, tried = off_by(bell, 0.0)
        with pytest.raises(PlanError, match="the nearest is"):
            find_step(target, WEIGHTS, FIXED, bell, try_step)
        assert len(tried) <= MAX_TRIALS


@pytest.mark.parametrize(
    ("codec", "allocation"),
    [
        *(("trellis", "layers"), ("trellis", "error"), ("huffman", "layers"), ("huffman", "error")),
        ("kmeans", "error"),  # tensors of their own steps: each may jump to another coding
    ],
)
def test_a_target_takes_few_encodings(monkeypatch, codec, allocation):
    torch.manual_seed(0)
    model = {f"w{i}": 0.1 * 2.0**-i * torch.randn(60, 50 + i) for i in range(3)} | {"b": torch.randn(60)}
    calls = []

    def counted(source, plan, *rest, **more):
        calls.append(len(plan))
        return encode_source(source, plan, *rest, **more)

    encode_source = meet.encode_source
    monkeypatch.setattr(meet, "encode_source", counted)
    options = {"states": 8} if codec == "trellis" else {}
    cm = neuralcodec.encode(model, codec, Target(bits_per_weight=4, allocation=allocation), **options)
    assert 8 * cm.nbytes / sum(t.numel() for t in model.values()) == pytest.approx(4, rel=0.02)
    assert calls[0] == 1, "what is kept exactly, by itself"
    assert len(calls) - 1 <= 3


def test_the_file_of_a_target_does_not_depend_on_who_encodes():
    torch.manual_seed(0)
    model = {
        "w": torch.randn(80, 70),
        "head": torch.randn(40, 40),
        "large": torch.randn(300, 1000),
        "b": torch.randn(80),
    }
    options = {"target": Target(snr_db=25), "exclude": ["head", "large"]}
    alone = neuralcodec.encode(model, "huffman", **options)
    with ThreadPoolExecutor(2) as executor:
        together = neuralcodec.encode(model, "huffman", executor=executor, **options)
    assert alone.to_bytes() == together.to_bytes()
    assert torch.equal(alone.decode("head"), model["head"])
    assert torch.equal(alone.decode("large"), model["large"])
    assert alone.report().snr_db == pytest.approx(25, rel=0.02)


@pytest.mark.parametrize("target", [Target(max_bytes=1000), Target(bits_per_weight=1.4), Target(snr_db=20)])
def test_weights_of_one_magnitude(target):
    """A sketch says the same of all steps below it."""
    w = torch.sign(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)))
    cm = neuralcodec.encode({"w": w}, target=target)
    assert cm.nbytes <= 1000

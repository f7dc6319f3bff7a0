"""How a target's bits are allocated to tensors."""

import math

import numpy as np
import pytest
import torch

import neuralcodec
from neuralcodec import PlanError, Target
from neuralcodec.plan.allocation import relative_steps
from neuralcodec.source import open_source

CODECS = ("trellis", "huffman", "kmeans", "autoencoder", "generative", "regression")


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def snr_of(cm):
    return {row.name: row.snr_db for row in cm.report().rows}


def test_steps_are_a_power_of_energies_with_a_mean_of_one():
    state = {"small": torch.ones(4, 100), "large": torch.full((400, 100), 4.0), "zeros": torch.zeros(20, 20)}
    found = relative_steps(open_source(state), list(state))
    assert found["large"] / found["small"] == pytest.approx((16 * 100) ** 0.375)
    assert 400 * math.log(found["small"]) + 40_000 * math.log(found["large"]) == pytest.approx(0, abs=1e-6)
    assert found["zeros"] == 1
    assert relative_steps(open_source(state), ["zeros"]) == {"zeros": 1}


def test_weights_that_are_not_finite_do_not_count():
    state = {"w": torch.ones(20, 20), "v": torch.ones(20, 20)}
    state["v"][3, 4:6] = torch.tensor([math.nan, math.inf])
    found = relative_steps(open_source(state), list(state))
    assert found["v"] / found["w"] == pytest.approx((398 / 400) ** 0.375)


@pytest.mark.parametrize("codec", CODECS)
def test_tensors_of_few_weights_get_finer_steps(codec):
    state = {"few": normal(16, 32), "many": normal(256, 512, seed=1)}  # 256 times as many: a step 8 times as large
    options = {"states": 8} if codec == "trellis" else {}
    equal = snr_of(neuralcodec.encode(state, codec, Target(bits_per_weight=3, allocation="error"), **options))
    finer = snr_of(neuralcodec.encode(state, codec, Target(bits_per_weight=3), **options))
    assert equal["few"] - equal["many"] == pytest.approx(0, abs=1)
    assert finer["few"] - finer["many"] == pytest.approx(20 * math.log10(8), abs=1)
    assert finer["many"] == pytest.approx(equal["many"], abs=0.5)


def test_an_snr_is_a_squared_error_so_steps_are_equal_unless_asked():
    state = {"few": normal(16, 32), "many": normal(256, 128, seed=1)}
    as_it_is = neuralcodec.encode(state, target=Target(snr_db=20), states=8)
    asked = neuralcodec.encode(state, target=Target(snr_db=20, allocation="error"), states=8)
    layers = neuralcodec.encode(state, target=Target(snr_db=20, allocation="layers"), states=8)
    assert b"".join(as_it_is.chunks()) == b"".join(asked.chunks())
    assert layers.report().snr_db == pytest.approx(20, rel=0.02)
    assert layers.nbytes > asked.nbytes
    assert snr_of(layers)["few"] > snr_of(asked)["few"] + 5


@pytest.mark.parametrize("codec", ["trellis", "huffman"])
def test_tensors_of_different_steps_share_tables(codec):
    # Alike over their steps: weights as large as the step that sizes give them.
    sizes = {f"w{i}": (16, 16 << i) for i in range(4)}
    state = {name: normal(*shape, seed=i) * shape[1] ** 1.5 for i, (name, shape) in enumerate(sizes.items())}
    options = {"states": 8} if codec == "trellis" else {}
    cm = neuralcodec.encode(state, codec, Target(bits_per_weight=4), **options)
    assert len(cm._reader.shared) == 1
    for name, tensor in cm.state_dict().items():
        assert 10 * math.log10(state[name].square().sum() / (state[name] - tensor).square().sum()) > 15


def test_a_shared_codebook_serves_tensors_of_different_steps():
    state = {"few": normal(16, 32), "many": normal(256, 128, seed=1)}
    cm = neuralcodec.encode(state, "kmeans", Target(bits_per_weight=3), shared=True)
    assert len(cm._reader.shared) == 1
    assert min(snr_of(cm).values()) > 8


@pytest.mark.parametrize("codec", ["trellis", "autoencoder", "generative", "regression"])
def test_without_a_target_steps_are_allocated_around_the_usual_one(codec):
    state = {"few": normal(4, 128), "many": normal(256, 512, seed=1)}
    options = {"states": 8} if codec == "trellis" else {}
    found = snr_of(neuralcodec.encode(state, codec, **options))
    alone = snr_of(neuralcodec.encode({"many": state["many"]}, codec, **options))
    assert found["few"] - found["many"] == pytest.approx(20 * math.log10(8), abs=1)
    assert found["many"] == pytest.approx(alone["many"], abs=0.2)  # nearly all weights are its own
    relative = 0.06 if codec == "autoencoder" else 0.03
    equal = snr_of(neuralcodec.encode(state, codec, relative_step=relative, **options))
    assert equal["few"] == pytest.approx(equal["many"], abs=1)
    assert equal["many"] == pytest.approx(alone["many"], abs=0.1)


def test_a_step_of_ones_own_is_not_allocated():
    state = {"few": normal(16, 32), "many": normal(256, 512, seed=1), "zeros": torch.zeros(16, 32)}
    given = neuralcodec.encode(state, states=8, step=0.1)
    assert snr_of(given)["few"] == pytest.approx(snr_of(given)["many"], abs=1)
    other = neuralcodec.encode(state, states=8, overrides={"few": {"relative_step": 0.2}})
    assert snr_of(other)["few"] == pytest.approx(snr_of(given)["few"] - 6, abs=1)
    assert snr_of(other)["many"] == pytest.approx(36.5, abs=1)


def test_usual_steps_of_tensors_that_are_empty_zero_or_not_finite():
    state = {"w": normal(32, 32), "empty": torch.zeros(0, 4), "zeros": torch.zeros(32, 32), "holes": normal(32, 32)}
    state["holes"][0, 0] = math.nan
    cm = neuralcodec.encode(state, states=8, on_nonfinite="raw")
    decoded = cm.state_dict()
    assert torch.equal(decoded["zeros"], state["zeros"])
    assert torch.equal(decoded["holes"][1:], state["holes"][1:])
    assert snr_of(cm)["w"] > 30


def test_nothing_else_than_an_allocation():
    with pytest.raises(ValueError, match="allocation"):
        Target(bits_per_weight=3, allocation="rows")


def test_the_extremes_of_energy_are_no_trouble():
    state = {"tiny": normal(32, 32) * 1e-30, "huge": normal(32, 32, seed=1) * 1e30, "zeros": torch.zeros(32, 32)}
    cm = neuralcodec.encode(state, target=Target(max_bytes=3000), states=8)
    assert cm.nbytes <= 3000
    assert all(torch.isfinite(t).all() for t in cm.state_dict().values())
    with pytest.raises(PlanError, match="cannot be met"):
        neuralcodec.encode(state, target=Target(max_bytes=10), states=8)

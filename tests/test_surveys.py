"""What codecs ask of tensors before they share: not all in memory, and not more often than need be."""

import functools

import pytest
import torch
from samples import bell

import neuralcodec
from neuralcodec import _native
from neuralcodec.plan import run
from neuralcodec.plan.surveys import Surveys


class Sized:
    def __init__(self, name: str) -> None:
        self.name = name
        self.nbytes = 100


def test_large_ones_are_made_again_where_they_do_not_fit():
    made = []

    def make(name):
        made.append(name)
        return None if name == "none" else Sized(name)

    surveys = Surveys(["a", "none", "b", "c"], make, room=250)
    assert [(name, each.name) for name, each in surveys.items()] == [("a", "a"), ("b", "b"), ("c", "c")]
    assert made == ["a", "none", "b", "c"]  # the last one was looked at twice in a row
    assert surveys["b"] is surveys["b"]
    assert surveys["c"].name == "c"
    assert made == ["a", "none", "b", "c"]
    assert len(surveys) == 3
    with pytest.raises(KeyError):
        surveys["none"]


def test_one_at_a_time_where_nothing_fits():
    made = []
    surveys = Surveys(["a", "b"], lambda name: made.append(name) or Sized(name), room=0)
    assert surveys["a"].name == "a"
    assert surveys["b"].name == "b"
    assert surveys["a"].name == "a"
    assert made == ["a", "b", "a"]


@pytest.mark.parametrize("target", [None, neuralcodec.Target(bits_per_weight=3)])
def test_bytes_do_not_depend_on_what_is_kept(target, monkeypatch, tmp_path):
    model = {f"l{i}": bell(60 + i, 50, seed=i) * (1 + i % 3) for i in range(8)} | {"large": bell(400, 400, seed=9)}
    kept = neuralcodec.encode(model, codec="trellis", target=target)
    monkeypatch.setattr(run, "Surveys", functools.partial(Surveys, room=0))
    again = neuralcodec.encode(model, codec="trellis", target=target)
    for cm, name in ((kept, "kept"), (again, "again")):
        neuralcodec.save(cm, tmp_path / name)
    assert (tmp_path / "kept").read_bytes() == (tmp_path / "again").read_bytes()


def test_tensors_are_grouped_in_linear_time(monkeypatch):
    """Checkpoints of mixtures of experts have tens of thousands of tensors."""
    calls = 0
    cluster = _native.trellis_cluster

    def counted(*arguments):
        nonlocal calls
        calls += 1
        return cluster(*arguments)

    torch.manual_seed(0)
    model = {f"expert{i}": torch.randn(16, 16) * (1 + i % 5) for i in range(200)}
    monkeypatch.setattr(_native, "trellis_cluster", counted)
    neuralcodec.encode(model, codec="trellis", relative_step=0.3)
    assert 200 < calls < 200 * 10

"""Data sets, small classifiers and their scores, without network access or training to speak of."""

import numpy as np
import pytest
import torch

pytest.importorskip("scipy", reason="the benchmark needs scipy")

from bench import datasets, training
from bench.datasets import Images
from bench.network import networks
from bench.networks import fashion, lenet
from bench.training import Recipe


def test_idx_by_hand():
    data = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(range(6))
    assert datasets.idx(data).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match=r"shape \(2, 3\) with 5 bytes"):
        datasets.idx(data[:-1])
    with pytest.raises(ValueError, match="not an IDX file"):
        datasets.idx(b"\x7fELF")


def test_doubles_go_and_the_split_depends_on_content_only():
    rng = np.random.default_rng(0)
    classes = [rng.integers(0, 256, (n, 4, 4)).astype(np.uint8) for n in (5, 4)]
    doubled = [np.concatenate([classes[0], classes[0][:2]]), classes[1][::-1]]
    found, same = (datasets.split(each, test_images=3) for each in (classes, doubled))
    assert len(found.test) == 3
    assert len(found.train) == 6
    assert torch.equal(found.test, same.test)
    assert torch.equal(found.train_classes, same.train_classes)
    assert sorted(torch.cat([found.train_classes, found.test_classes]).tolist()) == [0] * 5 + [1] * 4


@pytest.mark.parametrize(
    ("build", "parameters"),
    [(lenet.lenet300, 266_610), (lenet.lenet5, 431_080), (fashion.resnet, 77_818), (fashion.mobilenet, 65_674)],
)
def test_sizes(build, parameters):
    network = build().eval()
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_standard_error_by_hand():
    score = training.share(90, 100)
    assert (score.value, score.samples) == (90, 100)
    assert score.stderr == pytest.approx(3)  # sqrt(0.9 * 0.1 / 100)


def test_training_learns_and_repeats_itself():
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(0, 10, (400,), generator=generator).to(torch.uint8)
    pixels = torch.zeros(400, 28, 28, dtype=torch.uint8)
    for i, c in enumerate(classes.tolist()):
        pixels[i, 2 * c + 3 : 2 * c + 6, 4:24] = 200  # a bar at a height for each class
    images = Images(pixels[:300], classes[:300], pixels[300:], classes[300:])
    recipe = Recipe(epochs=8, rate=3e-3, shift=0, batch=50)
    states = [training.train("bars", lenet.lenet300, images, recipe) for _ in range(2)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert training.accuracy(lenet.lenet300, states[0], images).value == 100


def test_shifts_keep_the_image():
    pixels = torch.full((20, 1, 28, 28), -0.5)
    pixels[:, 0, 10, 10] = 1
    moved = training._varied(pixels, Recipe(1, 1, shift=2), torch.Generator().manual_seed(0))
    places = (moved == 1).nonzero()[:, 2:]
    assert len(places) == 20
    assert places.min() >= 8
    assert places.max() <= 12
    assert len(torch.unique(places, dim=0)) > 5


def test_every_network_describes_itself(monkeypatch):
    monkeypatch.delenv("NEURALCODEC_DATA", raising=False)
    found = networks()
    assert {"lenet300", "lenet5", "resnet-fashion", "mobilenet-fashion", "silero-vad", "crepe-tiny"} <= set(found)
    for network in found.values():
        assert network.title
        assert network.origin
        assert bool(network.metric) == (network.evaluate is not None)
        if network.evaluate is not None:
            assert network.margin > 0
    assert "NEURALCODEC_DATA" in (found["mlperf-dscnn"].missing() or "")

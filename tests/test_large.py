"""Tensors of 10^8 weights: `make test-slow`."""

import pytest
import torch

import neuralcodec

pytestmark = pytest.mark.slow

ROWS, COLS = 10_000, 10_000


@pytest.fixture(scope="module")
def weights():
    return torch.randn(ROWS, COLS, generator=torch.Generator().manual_seed(0)).mul_(0.02)


@pytest.mark.parametrize(
    "options", [{}, {"codec": "huffman", "bits": 4, "scale": "tensor"}, {"lossless": True}], ids=str
)
def test_hundred_million_weights(weights, options, tmp_path):
    path = tmp_path / "large.safetensors"
    neuralcodec.save(neuralcodec.encode({"w": weights}, **options), path)
    cm = neuralcodec.load(path)
    assert cm.nbytes == path.stat().st_size < weights.nbytes
    decoded = cm.decode("w")
    last = cm.tiles("w") - 1
    length = cm.decode_tile("w", 0).shape[1]
    in_a_row = -(-COLS // length)
    for i in (0, 1, last // 2, last):
        row, start = i // in_a_row, i % in_a_row * length
        assert torch.equal(cm.decode_tile("w", i)[0], decoded[row, start : start + length])
    if options.get("lossless"):
        assert torch.equal(decoded, weights)
    else:
        error = ((decoded - weights).double().square().sum() / weights.double().square().sum()).item()
        assert error < (1e-3 if not options else 3e-2)


def test_a_hundred_million_rows():
    """A tensor as long as it gets, without columns to speak of."""
    bits = torch.arange(ROWS * COLS, dtype=torch.int32).remainder_(3).to(torch.int8)
    cm = neuralcodec.encode({"w": bits.reshape(-1, 1)}, lossless=True)
    assert cm.nbytes < bits.nbytes / 4
    assert torch.equal(cm.decode("w").reshape(-1), bits)

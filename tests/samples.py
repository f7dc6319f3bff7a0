"""Models and tensors that several tests use."""

import numpy as np
import torch

from neuralcodec.dtypes import BY_TORCH
from neuralcodec.stream.store import PayloadStore
from neuralcodec.stream.writer import Entry, Stream, chunks
from neuralcodec.tensor import Tensor, TensorSpec


def weights(*shape, seed=0, dtype=torch.float32, scale=0.05):
    """Gaussian weights whose rows differ in scale, as trained layers' do."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(shape).astype(np.float32) * scale
    if len(shape) >= 2:
        w *= 2.0 ** rng.uniform(-1, 1, (shape[0],) + (1,) * (len(shape) - 1)).astype(np.float32)
    return torch.from_numpy(np.asarray(w, dtype=np.float32)).to(dtype)


def bell(*shape, seed=0):
    """Gaussian weights."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tensor(t, name="w", importance=None):
    """A torch tensor as the planner hands it to codecs."""
    spec = TensorSpec(name, BY_TORCH[t.dtype], tuple(t.shape))
    data = t.contiguous().reshape(-1).view(torch.uint8).numpy().copy() if t.numel() else np.zeros(0, np.uint8)
    return Tensor(spec, data, importance)


def stream_of(tensors, codec, shared=()):
    """A model stream with these payloads: name to (spec, payload)."""
    store = PayloadStore()
    entries = {
        name: Entry(spec, codec.number, codec.name, store.add(payload)) for name, (spec, payload) in tensors.items()
    }
    return b"".join(chunks(Stream(entries, tuple(shared), store)))


class Net(torch.nn.Module):
    """A little of everything: convolution, norm, a depthwise layer, tied embedding and head."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 16, 3)
        self.norm = torch.nn.BatchNorm2d(16)
        self.depthwise = torch.nn.Conv2d(64, 64, 3, groups=64)
        self.embed = torch.nn.Embedding(100, 32)
        self.head = torch.nn.Linear(32, 100, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("mask", torch.tensor([True, False, True]))

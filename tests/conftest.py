"""Fixtures that several tests use."""

import importlib.util
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from samples import Net

settings.register_profile("ci", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def same_numbers():
    """Tests draw the same numbers in whatever order they run."""
    torch.manual_seed(0)


@pytest.fixture
def net():
    return Net()


@pytest.fixture(scope="session")
def silero_path():
    """The weights of silero-vad 16k, a trained LSTM network that its PyPI package carries."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package silero-vad is not installed")
    return Path(spec.submodule_search_locations[0]) / "data" / "silero_vad_16k.safetensors"

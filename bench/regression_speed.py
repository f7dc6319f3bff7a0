"""How fast codec regression encodes, by regressor and residual: `python -m bench.regression_speed`.

Weights a second of one core's time (that of the process, one thread): medians of several encodings of each tensor,
beside codec trellis. Tensors: 512×2048 independent ones, as many of rank 16 with noise, and the largest of the networks
that are here.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Annotated

import torch
import typer
from rich.console import Console

from neuralcodec.codec import Codec
from neuralcodec.codecs.regression import Regression
from neuralcodec.codecs.trellis import Trellis
from neuralcodec.dtypes import BY_NUMBER
from neuralcodec.tensor import Tensor, TensorSpec, from_float32

from . import page
from .network import networks
from .report.console import show
from .report.markdown import markdown
from .report.tables import Table

NETWORKS = ("lenet5", "mobilenet-fashion", "silero-vad", "crepe-tiny", "g2p-en")
MOST = 1 << 21
"""Weights of the largest tensor that is timed."""

STEP = 0.11
"""Of levels, over the deviation of a tensor: some 25 dB."""

WAYS: dict[str, Codec] = {
    "trellis": Trellis(relative_step=STEP),
    "rows": Regression(regressor="rows", residual=False, relative_step=STEP),
    "rows, residual": Regression(regressor="rows", residual=True, relative_step=STEP),
    "rows, residual by huffman": Regression(regressor="rows", residual=True, base="huffman", relative_step=STEP),
    "basis": Regression(regressor="basis", residual=False, relative_step=STEP),
    "basis, residual": Regression(regressor="basis", residual=True, relative_step=STEP),
    "auto": Regression(relative_step=STEP),
}


def tensors() -> Iterator[tuple[str, Tensor]]:
    """What is timed, by name."""
    made = torch.Generator().manual_seed(0)
    yield "independent", wrapped(torch.randn(512, 2048, generator=made))
    low = torch.randn(512, 16, generator=made) @ torch.randn(16, 2048, generator=made)
    yield "rank 16 and noise", wrapped(low + 0.1 * torch.randn(512, 2048, generator=made))
    every = networks()
    for network in NETWORKS:
        if every[network].missing() is None:
            state = {n: t for n, t in every[network].load().items() if t.dim() >= 2 and t.numel() <= MOST}
            name = max(state, key=lambda n: state[n].numel())
            yield f"{network}: {name}", wrapped(state[name].float())


def wrapped(weights: torch.Tensor) -> Tensor:
    """As codecs take it."""
    return from_float32(TensorSpec("w", BY_NUMBER[1], tuple(weights.shape)), weights.contiguous().numpy())


def rate(codec: Codec, tensor: Tensor, repeats: int) -> float:
    """Weights a second, the median; with "auto" the choice of a codec counts."""
    took = []
    for _ in range(repeats):
        start = time.process_time()
        chosen = codec.choose(tensor) if isinstance(codec, Regression) else codec
        chosen.encode(tensor)
        took.append(time.process_time() - start)
    return tensor.spec.size / statistics.median(took)


def main(
    repeats: Annotated[int, typer.Option(help="Encodings of each tensor.")] = 5,
    write: Annotated[bool, typer.Option("--page", help="Write the table into docs/regression.md.")] = False,
) -> None:
    """Measures and prints millions of weights a second."""
    torch.set_num_threads(1)
    rows = []
    for name, tensor in tensors():
        shape = "×".join(map(str, tensor.spec.shape))
        rows.append([name, shape, *(f"{rate(codec, tensor, repeats) / 1e6:.2f}" for codec in WAYS.values())])
    note = f"Millions of weights a second of one core's time, medians of {repeats}, at a step of {STEP} deviations."
    table = Table("Encoding", ("tensor", "shape", *WAYS), rows, note)
    show(table, Console(width=150))
    if write:
        page.put("regression.md", "speed", markdown(table, heading=""))


if __name__ == "__main__":
    typer.run(main)

"""Which layers of trained networks have rows that others make up: ``python -m bench.redundancy``.

For each tensor what `neuralcodec profile` predicts of codec regression, and what comes of it beside codec trellis at
the same distortion; and how much of the rows each way of choosing the stored ones leaves.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import typer
from rich.console import Console
from rich.table import Table

from bench import page
from bench.folders import cache
from bench.network import State, networks
from neuralcodec.codecs.regression import Regression, rows, selection
from neuralcodec.codecs.trellis import Trellis
from neuralcodec.dtypes import BY_NUMBER
from neuralcodec.measure import measure_errors
from neuralcodec.profiling.redundancy import redundancy
from neuralcodec.profiling.spectrum import spectrum
from neuralcodec.tensor import TensorSpec, from_float32

VERSION = 3
"""Changes with anything here that changes results."""

PAGE = "regression.md"
NETWORKS = ("lenet300", "lenet5", "resnet-fashion", "mobilenet-fashion", "silero-vad", "crepe-tiny", "g2p-en")
RELATIVE_STEP = 0.06
LEAST, MOST = 1 << 12, 1 << 20
"""Weights of the tensors that are looked at."""

SHARE, TERMS = 0.1, 8


@dataclass(frozen=True)
class Finding:
    """A tensor.

    Attributes:
        network, name, shape: which.
        effective_rank, chance_rank: of its spectrum, over the smaller side; the second of independent weights.
        duplicates: rows equal to an earlier one.
        predicted: bits a weight that `neuralcodec profile` says sums of rows save at 30 dB.
        trellis, regression: bits a weight, at the same cost of distortion.
        chosen: the codec, and its regressor.
        snr_trellis, snr_regression: in dB.
        left: share of the energy of the rows that are not stored which sums of eight stored rows leave, with a tenth
            stored, by selection.
    """

    network: str
    name: str
    shape: tuple[int, ...]
    effective_rank: float
    chance_rank: float
    duplicates: int
    predicted: float
    trellis: float
    regression: float
    chosen: str
    snr_trellis: float
    snr_regression: float
    left: dict[str, float]


def planted() -> State:
    """Rows that repeat others, and rows of low rank, beside plain ones; 128×576 each."""
    made = torch.Generator().manual_seed(0)
    base = torch.randn(16, 576, generator=made)
    low = torch.randn(128, 8, generator=made) @ torch.randn(8, 576, generator=made)
    noisy = low + 0.03 * low.std() * torch.randn(128, 576, generator=made)
    return {
        "repeated": base[torch.randint(0, 16, (128,), generator=made)],
        "rank 8": low,
        "rank 8 and noise": noisy,
        "independent": torch.randn(128, 576, generator=made),
    }


def looked_at(network: str, name: str, weights: torch.Tensor) -> Finding:
    """What is to be said of a tensor; from the cache if it was measured before."""
    array = np.ascontiguousarray(weights.float().numpy())
    key = hashlib.sha256(repr((VERSION, network, name)).encode() + array.tobytes()).hexdigest()[:16]
    path = cache("redundancy") / f"{key}.json"
    if path.exists():
        return Finding(**json.loads(path.read_text(encoding="utf-8")))
    shape = tuple(array.shape)
    tensor = from_float32(TensorSpec(name, BY_NUMBER[1], shape), array)
    matrix = tensor.float32().astype(np.float64)
    step = math.sqrt(12 * float(np.square(matrix).mean()) / 1000)
    found, of = redundancy(tensor, matrix, step), spectrum(matrix)
    assert of is not None
    plain, mine = Trellis(relative_step=RELATIVE_STEP), Regression(relative_step=RELATIVE_STEP)
    payload = plain.encode(tensor)
    before = measure_errors(tensor, plain.decode(payload, tensor.spec, ()))
    chosen = mine.choose(tensor)
    other = chosen.encode(tensor)
    after = measure_errors(tensor, chosen.decode(other, tensor.spec, ()))
    what = f"regression: {mine.explain(other)}" if chosen.name == "regression" else "trellis"
    finding = Finding(
        *(network, name, shape, of.effective_rank, of.chance_rank, found.duplicates or 0, found.sum_bits),
        8 * len(payload) / array.size,
        8 * len(other) / array.size,
        what,
        before.snr_db,
        after.snr_db,
        {how: left(matrix.astype(np.float32), how) for how in selection.SELECTIONS},
    )
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(finding)), encoding="utf-8")
    part.replace(path)
    return finding


def left(weights: npt.NDArray[np.float32], how: selection.Selection) -> float:
    """Share of the energy of the other rows that sums leave, with a tenth stored."""
    count = max(1, round(SHARE * len(weights)))
    order, _ = selection.order_rows(weights, None, how, 0, 1e-3 * float(np.square(weights).mean()))
    kept = np.sort(order[:count])
    step = float(np.abs(weights).max()) / 4000
    stored = rows.rounded(np.ascontiguousarray(weights[kept]), step)
    (plan,) = rows.decompose(weights, stored, kept, [TERMS], 0.0)
    others = ~plan.is_stored
    return float(np.square(plan.made()[others] - weights[others]).sum() / np.square(weights[others]).sum())


def tensors(chosen: tuple[str, ...]) -> Iterator[tuple[str, str, torch.Tensor]]:
    """Of the networks that are here, by name; the planted ones first."""
    every = networks()
    sources: list[tuple[str, Callable[[], State]]] = [("planted", planted)]
    sources += [(name, every[name].load) for name in chosen if every[name].missing() is None]
    for network, load in sources:
        for name, weights in load().items():
            if weights.dim() >= 2 and LEAST <= weights.numel() <= MOST and weights.shape[0] > 1:
                yield network, name, weights


def saved_at_equal_snr(finding: Finding) -> float:
    """Bits a weight saved, those counted that the difference of SNR is worth (6.02 dB a bit)."""
    return finding.trellis - finding.regression + (finding.snr_regression - finding.snr_trellis) / 6.02


def times_smaller(finding: Finding) -> float:
    """How many times the bits of codec regression codec trellis takes at its SNR."""
    return 1 + saved_at_equal_snr(finding) / finding.regression


HEADINGS = (
    *("tensor", "shape", "effective rank (chance)", "equal rows", "predicted saving", "trellis", "regression"),
    *("saving at equal SNR", "chosen"),
)


def line_of(finding: Finding) -> list[str]:
    """A line of the table."""
    return [
        f"{finding.network}: {finding.name}",
        "×".join(map(str, finding.shape)),
        f"{finding.effective_rank:.2f} ({finding.chance_rank:.2f})",
        str(finding.duplicates),
        f"{finding.predicted:.2f}",
        f"{finding.trellis:.2f} ({finding.snr_trellis:.1f} dB)",
        f"{finding.regression:.2f} ({finding.snr_regression:.1f} dB)",
        f"{saved_at_equal_snr(finding):.2f}",
        finding.chosen,
    ]


def selections(findings: list[Finding]) -> list[list[str]]:
    """Mean share of energy left, by network."""
    lines = []
    for network in dict.fromkeys(f.network for f in findings):
        of = [f for f in findings if f.network == network]
        for each in of if network == "planted" else [None]:
            some = [each] if each is not None else of
            title = f"planted: {each.name}" if each is not None else f"{network}, {len(of)} tensors"
            lines.append(
                [title, *(f"{100 * float(np.mean([f.left[how] for f in some])):.1f} %" for how in selection.SELECTIONS)]
            )
    return lines


def main(
    network: Annotated[list[str] | None, typer.Option(help="Of the bench; default a few of them.")] = None,
    write: Annotated[bool, typer.Option(help="Put the tables into docs/regression.md.")] = False,
) -> None:
    """Prints a line for each tensor; what has been measured is not measured again."""
    console = Console(width=200)
    findings = []
    for where, name, weights in tensors(tuple(network) if network else NETWORKS):
        findings.append(looked_at(where, name, weights))
        console.print(" | ".join(line_of(findings[-1])), highlight=False)
    table = Table("", *selection.SELECTIONS)
    for line in selections(findings):
        table.add_row(*line)
    console.print(table)
    if write:
        shown = [f for f in findings if f.chosen != "trellis" or f.predicted > 0 or f.network == "planted"]
        layers = page.table(HEADINGS, [line_of(f) for f in shown])
        page.put(PAGE, "layers", f"{layers}\n{said_of_layers(findings, len(findings) - len(shown))}")
        page.put(PAGE, "selections", page.table(("", *selection.SELECTIONS), selections(findings)))


def said_of_layers(findings: list[Finding], others: int) -> str:
    """What stands below the table of layers."""
    less = [f"{times_smaller(f):.1f} ({f.name})" for f in findings if f.network == "planted" and f.chosen != "trellis"]
    said = f"Times that the planted ones are smaller than by codec trellis at equal SNR: {', '.join(less)}."
    return f"{said} {others} more tensors have no saving, predicted or measured: codec trellis takes them."


if __name__ == "__main__":
    typer.run(main)

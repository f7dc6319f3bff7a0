"""What decoding codec regression takes of microcontrollers: `python -m bench.regression_costs`.

Instructions a weight on emulated cores, by regressor, and what a smaller workspace saves and costs where stored rows
are decoded on demand. Weights are made up, as the tables say: Gaussian ones, independent or of some rank. With --page
the tables of docs/regression.md are written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace

import torch
from rich.console import Console

import neuralcodec
from bench import page
from bench.emulated import decoded
from bench.firmware import CORES, missing, version
from bench.report.console import show
from bench.report.markdown import markdown
from bench.report.tables import Table
from neuralcodec import reference
from neuralcodec.codecs.regression import Regression
from neuralcodec.reference.regression import Basis, Expression, Inferred, Rows

PAGE = "regression.md"
TILE = 1024
WORKSPACE_CORE = "m4"
SUMS = Regression(regressor="rows", terms=8, residual=False, relative_step=0.15, tile=TILE)
"""With this step levels have 8 bits."""

SHARES = {"as wanted": 100, "half-way": 50, "least": 0}
"""Workspaces, in per cent of the way from the least one to the one that is wanted."""

ROOM = 32 << 10
"""Bytes that are there for a workspace."""


def gaussian(rows: int, rank: int | None, seed: int) -> torch.Tensor:
    """Weights of 256 columns, independent or of a rank."""
    made = torch.Generator().manual_seed(seed)
    if rank is None:
        return torch.randn(rows, 256, generator=made)
    return torch.randn(rows, rank, generator=made) @ torch.randn(rank, 256, generator=made)


def encoded(weights: torch.Tensor, codec: Regression) -> neuralcodec.CompressedModel:
    """A tensor."""
    return neuralcodec.encode({"w": weights}, codec)


def models() -> list[neuralcodec.CompressedModel]:
    """What is decoded, by regressor."""
    low, plain = gaussian(64, 8, 0), gaussian(64, None, 1)
    return [
        encoded(low, SUMS),
        encoded(low, replace(SUMS, residual=True)),
        encoded(plain, Regression(regressor="basis", residual=False, tile=TILE)),
        encoded(plain, Regression(regressor="basis", block=12, vectors=4, residual=False, tile=TILE)),
        encoded(plain, Regression(regressor="expression", nodes=4, residual=False, tile=TILE)),
        encoded(plain, Regression(regressor="expression", residual=False, tile=TILE)),
    ]


def opened(model: neuralcodec.CompressedModel) -> Inferred:
    """The tensor, as the second decoder reads it."""
    (tensor,) = reference.read_stream(model.to_bytes()).tensors
    inferred = reference.open_tensor(tensor)
    assert isinstance(inferred, Inferred)
    return inferred


def title(inferred: Inferred) -> str:
    """What infers the weights."""
    match inferred.regressor:
        case Rows() as rows:
            what = f"rows, sums of {len(rows.terms[0])} of {sum(rows.is_stored)}"
        case Expression() as expression:
            what = f"expression of {len(expression.nodes)} nodes, stored weights by codec trellis"
        case Basis() as basis:
            what = f"basis, {basis.block} weights from {basis.vectors} vectors"
        case _:
            raise AssertionError(inferred.regressor)
    residual = inferred.residual is not None and not isinstance(inferred.regressor, Expression)
    return what + ", residual by codec trellis" * residual + ", levels of 16 bits" * inferred.wide


def a_weight(values: Mapping[str, str]) -> float:
    """Instructions a weight of what is coded with codec regression, of what a board printed."""
    (key,) = (each for each in values if each.startswith("regression.") and each.endswith(".per_weight_x100"))
    return int(values[key]) / 100


def regressors() -> Table:
    """Instructions a weight, by regressor and core."""
    rows = []
    for model in models():
        taken = (f"{a_weight(decoded(model, core).values):.1f}" for core in CORES)
        rows.append([title(opened(model)), *taken])
    note = (
        f"Instructions a weight, {version()}, tiles of {TILE:,}, all checks counted; without what prepares a tensor. "
        "Levels of 8 bits, if nothing else is said, of 64×256 Gaussian weights: of rank 8 for rows, else independent."
    )
    return Table("Decoding by regressor", ("", *CORES.values()), rows, note)


def workspaces() -> Table:
    """Bytes, instructions a weight and those to prepare a tensor, by the size of its workspace."""
    model = encoded(gaussian(256, 50, 0), SUMS)
    inferred = opened(model)
    assert isinstance(inferred.regressor, Rows)
    rows = []
    for name, share in SHARES.items():
        defines = (f"-DWORKSPACE_SHARE={share}u", f"-DWORKSPACE_BYTES={ROOM}u")
        result = decoded(model, WORKSPACE_CORE, defines=defines)
        prepare = result.number("prepare.per_tensor_x100") / 100
        rows.append([name, f"{result.number('table_bytes'):,}", f"{a_weight(result.values):.0f}", f"{prepare:,.0f}"])
    stored = inferred.regressor.stored.tiles
    note = (
        f"{CORES[WORKSPACE_CORE]}, 256×256 Gaussian weights of rank 50 in tiles of {TILE:,} "
        f"({inferred.tiles.rows_of_a_tile} rows): sums of {len(inferred.regressor.terms[0])} of {stored.rows} stored "
        f"rows, these by codec trellis in tiles of {stored.rows_of_a_tile} rows."
    )
    return Table("By workspace", ("workspace", "bytes", "instructions a weight", "to prepare"), rows, note)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", action="store_true", help=f"write the tables into docs/{PAGE}")
    arguments = parser.parse_args()
    if (reason := missing()) is not None:
        sys.exit(f"this needs the emulators: {reason}")
    torch.set_num_threads(1)
    for name, table in (("costs", regressors()), ("workspaces", workspaces())):
        show(table, Console(width=120))
        if arguments.page:
            page.put(PAGE, name, markdown(table, heading=""))


if __name__ == "__main__":
    main()

"""What each coding of codec trellis takes of microcontrollers: `python -m bench.coding_costs`.

Instructions a weight on emulated cores and RAM of tables, of independent Gaussian weights and of a layer of a trained
network, at some 2, 3 and 4 bits; of as many states as each coding has by default. What has levels of 16 bits stands
apart. With --page the table of docs/trellis.md is written.
"""

from __future__ import annotations

import argparse
import itertools
import sys

import torch
from rich.console import Console

import neuralcodec
from bench import page
from bench.emulated import decoded, decoded_prepared
from bench.firmware import CORES, missing, version
from bench.network import networks
from bench.report.console import show
from bench.report.markdown import markdown
from bench.report.tables import Table
from neuralcodec import PlanError, Target
from neuralcodec.codecs.trellis import Trellis

PAGE, MARK = "trellis.md", "coding-costs"

CODINGS: dict[tuple[str, bool], str] = {
    ("contexts", True): "up to 16 a quantizer",
    ("light", True): "picked by an automaton of up to 7 states, 256 slots",
    ("light", False): "the same with `open_ends=False`",
    ("rans", True): "one a quantizer, 256 slots",
    ("prefix", True): "prefix codes of up to 8 bits",
}
"""With open ends or not, and what tables they have."""

NETWORK, LAYER = "crepe-tiny", "conv2.weight"
BITS = (2.0, 3.0, 4.0)
"""A weight."""


def between(values: list[float], form: str) -> str:
    """The least and the largest, or the one that there is."""
    ends = dict.fromkeys(format(value, form) for value in (min(values), max(values))) if values else ("–",)
    return " to ".join(ends)


def sources() -> list[torch.Tensor]:
    """What is decoded: two tensors of as many weights."""
    trained = networks()[NETWORK].load()[LAYER].float()
    return [torch.randn(128, trained.numel() // 128, generator=torch.Generator().manual_seed(0)), trained]


def costs(tensors: list[torch.Tensor]) -> Table:
    """Of all codings, over all tensors and rates."""
    kinds = list(itertools.product((torch.int8, torch.int16), CORES))
    rows = []
    for (coding, open_ends), tables in CODINGS.items():
        taken: dict[tuple[torch.dtype, str], list[float]] = {kind: [] for kind in kinds}
        prepared: dict[str, list[float]] = {core: [] for core in CORES}
        room: list[float] = []
        for weights, bits in itertools.product(tensors, BITS):
            target = Target(bits_per_weight=bits)
            try:
                model = neuralcodec.encode({"w": weights}, "trellis", target=target, coding=coding, open_ends=open_ends)
            except PlanError:  # without open ends outliers limit the rate
                continue
            for core in CORES:
                result, kind = decoded(model, core), model.levels("w")[0].dtype
                taken[kind, core].append(result.number("trellis.per_weight_x100") / 100)
                room.append(result.number("table_bytes"))
                if kind == torch.int8:
                    ready = decoded_prepared(model, core)
                    prepared[core].append(ready.number("trellis.per_weight_x100") / 100)
        figures = *(between(each, ".1f") for each in (*taken.values(), *prepared.values())), between(room, ",.0f")
        named = f'`"{coding}"`' + " (default)" * (coding == Trellis.coding)
        rows.append([named, tables, *figures])
    cores = (
        *(f"{CORES[core]}{', levels of 16 bits' if kind == torch.int16 else ''}" for kind, core in kinds),
        *(f"{CORES[core]}, prepared" for core in CORES),
    )
    note = (
        f"Instructions a weight, {version()}, whole calls with all checks, default states. From the least to the most "
        f"of {LAYER} of {NETWORK} and of as many Gaussian weights, {tensors[0].numel():,}, "
        f"at {', '.join(f'{bits:g}' for bits in BITS)} bits a weight, where these can be met. Prepared tensors: "
        "-Os, levels of 8 bits, the decoder that the header of the export names."
    )
    return Table("Decoding by coding", ("`coding=`", "tables", *cores, "bytes of tables"), rows, note)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", action="store_true", help=f"write the table into docs/{PAGE}")
    arguments = parser.parse_args()
    if (reason := missing() or networks()[NETWORK].missing()) is not None:
        sys.exit(reason)
    torch.set_num_threads(1)
    table = costs(sources())
    show(table, Console(width=150))
    if arguments.page:
        page.put(PAGE, MARK, markdown(table, heading=""))


if __name__ == "__main__":
    main()

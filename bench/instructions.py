"""Instructions, stack and memory that the C decoder takes on emulated cores: `python bench/instructions.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

import neuralcodec
from neuralcodec import Target

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT), str(ROOT / "firmware_decoder" / "ports")]

import emulator  # noqa: E402 (needs the line above)

from bench import rates  # noqa: E402
from bench.emulated import decoded, decoded_prepared  # noqa: E402
from bench.report.console import show  # noqa: E402
from bench.report.markdown import markdown, put  # noqa: E402
from bench.report.tables import Table  # noqa: E402

TILE = 1024

OF_PAGE = ("m4", "m0", "rv32")
"""Boards whose figures go into the page."""

MARKS = ("<!-- instructions: bench/instructions.py writes between these lines -->", "<!-- /instructions -->")

HUFFMAN, KMEANS, TRELLIS = "huffman, Gaussian weights", "kmeans, Gaussian weights", "trellis, Gaussian weights"
"""Families."""

HEADINGS = ("core", "", "instructions/weight", "to prepare", "to open", "crc32/byte", "stack B", "tensor B")


@dataclass(frozen=True)
class Cost:
    """What decoding a stream takes on a core.

    Attributes:
        weight: instructions a weight of what most weights are coded with.
        prepare: instructions to prepare a tensor.
        open: to open one.
        checked: to check a byte.
        stack: bytes, at most.
        tensor: bytes of ncd_tensor.
    """

    weight: float
    prepare: float
    open: float
    checked: float
    stack: int
    tensor: int


@dataclass(frozen=True, eq=False)
class Stream:
    """What is decoded.

    Attributes:
        family: of which table of the page it is a column; empty for none.
        title: of the column.
        model: compressed.
    """

    family: str
    title: str
    model: neuralcodec.CompressedModel

    @property
    def whole_title(self) -> str:
        """With the family."""
        return f"{self.family}: {self.title}" if self.family else self.title


def streams() -> list[Stream]:
    """Levels of 4.0 bits of entropy, a real network, and Gaussian weights with each coding."""
    weights = torch.randn(256, 1024, generator=torch.Generator().manual_seed(0))
    gaussian = neuralcodec.encode({"w": weights}, "huffman", bits=8, scale="tensor", step=1 / 3.87, tile=TILE)
    entropy = rates.order0_bits(gaussian.levels("w")[0].numpy())
    found = [Stream(HUFFMAN, f"{entropy:.2f} bits of entropy", gaussian)]
    silero = neuralcodec.encode(
        dict(rates.trained())["silero-vad 16k"], "huffman", target=Target(bits_per_weight=4, allocation="error")
    )
    found.append(Stream("", f"silero-vad 16k, {silero.report().bits_per_weight:.2f} bits/weight in all", silero))
    for title, coding, clusters in (("fixed width", "fixed", 16), ("prefix code", "huffman", 23), ("rANS", "rans", 23)):
        cm = neuralcodec.encode(
            {"w": weights}, codec="kmeans", centroids="int8", clusters=clusters, coding=coding, tile=TILE
        )
        found.append(Stream(KMEANS, f"{title}, {clusters} centroids, {cm.report().bits_per_weight:.2f} bits", cm))
    for coding in ("contexts", "light", "rans", "prefix"):
        cm = neuralcodec.encode({"w": weights}, codec="trellis", coding=coding, relative_step=0.25, tile=TILE)
        found.append(Stream(TRELLIS, f"{coding}, {cm.report().bits_per_weight:.2f} bits", cm))
    return found


def measure(cm: neuralcodec.CompressedModel, board: str, opt: str) -> Cost:
    """One image, built, run, and read."""
    result = decoded(cm, board, opt)
    return Cost(
        _main_cost(result.values) / 100,
        int(result.values.get("prepare.per_tensor_x100", 0)) / 100,
        result.number("open.instructions") / result.number("tensors"),
        result.number("check.per_byte_x100") / 100,
        result.number("stack_bytes"),
        result.number("tensor_struct_bytes"),
    )


def _main_cost(values: Mapping[str, str]) -> int:
    """Hundredths of instructions a weight of what most weights are coded with."""
    kinds = [key.removesuffix(".weights") for key in values if key.endswith(".weights")]
    most = max(kinds, key=lambda kind: int(values[f"{kind}.weights"]))
    return int(values[f"{most}.per_weight_x100"])


def full_table(stream: Stream, costs: Mapping[tuple[str, str], Cost]) -> Table:
    """All that was measured of a stream; costs are by board and optimization."""
    rows = [
        [
            emulator.BOARDS[board].core,
            opt,
            f"{cost.weight:.2f}",
            f"{cost.prepare:,.0f}",
            f"{cost.open:,.0f}",
            f"{cost.checked:.1f}",
            str(cost.stack),
            str(cost.tensor),
        ]
        for (board, opt), cost in costs.items()
    ]
    return Table(stream.whole_title, HEADINGS, rows, "Instructions retired in QEMU, whole calls with all checks.")


def prepared_table(found: Sequence[Stream]) -> Table:
    """Streams of codec trellis as prepared tensors, each with the smallest decoder."""
    streams_ = [stream for stream in found if stream.family == TRELLIS]
    rows = [
        [
            emulator.BOARDS[board].core,
            *(
                f"{decoded_prepared(stream.model, board).number('trellis.per_weight_x100') / 100:.2f}"
                for stream in streams_
            ),
        ]
        for board in OF_PAGE
    ]
    note = "Instructions a weight, -Os, otherwise as above; each with the options that the header of the export names."
    return Table("Of prepared tensors of trellis, the same weights", ["core", *(s.title for s in streams_)], rows, note)


def page_tables(found: Mapping[Stream, Mapping[tuple[str, str], Cost]]) -> list[Table]:
    """One for each family: its streams beside each other, on few cores."""
    tables = []
    for family in (HUFFMAN, KMEANS, TRELLIS):
        (first, *others) = [(stream, costs) for stream, costs in found.items() if stream.family == family]
        headings, rows = ["core"], [[emulator.BOARDS[board].core] for board in OF_PAGE]
        if not others:
            headings += [f"{opt}, {first[0].title}" for opt in ("-O2", "-Os")] + [
                "to prepare a tensor",
                "crc32, a byte",
            ]
            for row, board in zip(rows, OF_PAGE, strict=True):
                small, cost = first[1][board, "-Os"], first[1][board, "-O2"]
                row += [f"{cost.weight:.2f}", f"{small.weight:.2f}", f"{cost.prepare:,.0f}", f"{cost.checked:.0f}"]
        for stream, costs in (first, *others) if others else ():
            headings.append(stream.title)
            for row, board in zip(rows, OF_PAGE, strict=True):
                row.append(f"{costs[board, '-O2'].weight:.2f}")
        note = f"Instructions a weight (not cycles), retired in QEMU, {'' if not others else '-O2, '}tiles of {TILE:,}"
        tables.append(Table(f"Of {family}", headings, rows, note + ", whole calls with all checks."))
    return tables


def main() -> None:
    """Prints one table for each stream."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("boards", nargs="*", help=f"of {', '.join(emulator.BOARDS)} (default: all)")
    parser.add_argument("--opt", default="-O2,-Os", help="optimization levels (default: -O2,-Os)")
    parser.add_argument(
        "--page", action="store_true", help=f"write the tables of {', '.join(OF_PAGE)} into firmware_decoder/README.md"
    )
    arguments = parser.parse_args()
    if (reason := emulator.available()) is not None:
        sys.exit(f"this needs the emulators: {reason}")
    boards, opts = arguments.boards or list(emulator.BOARDS), arguments.opt.split(",")
    if arguments.page and not ({*OF_PAGE} <= {*boards} and {"-O2", "-Os"} <= {*opts}):
        sys.exit(f"--page needs the boards {', '.join(OF_PAGE)}, and -O2 and -Os")
    console = Console(width=120)
    found = {}
    for stream in streams():
        found[stream] = {(board, opt): measure(stream.model, board, opt) for board in boards for opt in opts}
        show(full_table(stream, found[stream]), console)
    tables = [*page_tables(found), prepared_table(list(found))] if arguments.page else []
    text = "\n".join(markdown(table, heading="###") for table in tables)
    if text and not put(text, ROOT / "firmware_decoder" / "README.md", MARKS):
        sys.exit("firmware_decoder/README.md lacks the lines between which the tables go")


if __name__ == "__main__":
    main()

"""Whole networks with compressed weights in firmware: `python bench/firmware_networks.py`.

Each network is exported with several codings of its weights. The C sources run on the host over all test inputs, which
gives accuracy (or, without labels, agreement with the float network) of the exact firmware arithmetic; and in QEMU on
the first inputs, whose outputs must be those of the host, bit for bit. Flash and RAM are beside those of the same
network with plain int8 weights and a scale a row. Needs NEURALCODEC_DATA for the networks of MLPerf Tiny.
"""

from __future__ import annotations

import argparse
import math
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from rich.console import Console

import neuralcodec
from neuralcodec import Target
from neuralcodec.firmware.quantize import Quantization

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT), str(ROOT / "firmware_decoder" / "ports")]

import emulator  # noqa: E402 (needs the line above)

from bench.deployed import Deployed, deployed  # noqa: E402
from bench.network import networks  # noqa: E402
from bench.report.console import show  # noqa: E402
from bench.report.markdown import markdown, put  # noqa: E402
from bench.report.tables import Table  # noqa: E402

MARKS = ("<!-- firmware: bench/firmware_networks.py writes between these lines -->", "<!-- /firmware -->")

TILE = 512
ROOM = 1024
"""Bytes of the tables of codec trellis with contexts: with a tile and its sums they stay below 2 KB."""

CHOSEN_TILES, MOST_BESIDE = (1024, 512), 2048
"""Where each tensor has its own coding, tiles are the first of these with which RAM beside activations is no more."""

COARSE = 4
"""The -icount shift on Cortex-M: a whole network fits into the counter's 24 bits, and counts are multiples of 16."""

NOT_CODE = ("layer_", "ncd_net_blob", "ncd_net_tensors", "port_", "main", "network_probe", "reset", "_start")
"""Beginnings of symbols in the text of an image that are not the code of its network."""

FULLY = ("m4", "m55")
"""Boards that run all codings of which any is emulated."""

LIKE_M4 = ("m4", "m7", "m33")
"""Boards that run what is chosen for the Cortex-M4."""

FLASH, WORK = 0.49, 0.096
"""What is chosen is to take so much of the flash with plain weights, and so much of the instructions to decode."""

MORE_CONSTANTS = 1.08
"""Where rows have scales of their own, the constants take so much of what they take with plain weights."""

PLAIN: Mapping[str, object] = {"codec": "huffman", "bits": 8}
"""Levels of plain weights: int8, a scale a row."""


@dataclass(frozen=True)
class Choice:
    """A coding of the weights.

    Attributes:
        title: for a reader.
        options: of neuralcodec.encode().
        folded: whether batch norms are folded into the weights before they are encoded.
        boards: that it is run on.
        tables: where tables of codec trellis lie.
        core, codecs: where each tensor has a coding of its own: the core whose instructions count, and what is chosen
            from. The options are then those of the other tensors.
    """

    title: str
    options: Mapping[str, object]
    folded: bool = False
    boards: tuple[str, ...] = ()
    tables: Literal["ram", "flash"] = "ram"
    core: Literal["m4", "m55"] | None = None
    codecs: tuple[str, ...] = ()


def _trellis(
    coding: str, *, boards: tuple[str, ...] = (), tables: Literal["ram", "flash"] = "ram", **options: object
) -> Choice:
    """Levels along the rows, of the module with its batch norms."""
    ((what, value),) = options.items()
    title = f"trellis, {coding}, {value:g} {'bits' if what == 'target' else 'of the deviation'}"
    title += ", tables in flash" * (tables == "flash")
    chosen = {"codec": "trellis", "scan": "rows", "coding": coding, "tile": TILE, "room": ROOM, what: value}
    if what == "target":  # which may give small layers steps so fine that levels would have 16 bits
        chosen |= {what: Target(bits_per_weight=float(value)), "levels": "int8"}  # type: ignore[arg-type]
    return Choice(title, chosen, boards=boards, tables=tables)


CHOICES = (
    *(_trellis("contexts", target=bits) for bits in (3, 4)),
    *(_trellis("contexts", relative_step=step, boards=FULLY if step == 0.18 else ()) for step in (0.25, 0.18, 0.125)),
    _trellis("light", target=4),
    _trellis("light", relative_step=0.18, boards=FULLY),
    _trellis("light", relative_step=0.18, boards=FULLY, tables="flash"),
    _trellis("prefix", relative_step=0.18, boards=FULLY),
    Choice("huffman, 4 bits", {"codec": "huffman", "bits": 4, "tile": TILE}, True, FULLY),
    Choice("huffman, 5 bits", {"codec": "huffman", "bits": 5, "tile": TILE}, True),
    Choice(
        "kmeans, 16 of int8",
        {"codec": "kmeans", "clusters": 16, "centroids": "int8", "coding": "fixed", "scale": "row", "tile": TILE},
        True,
        tuple(emulator.BOARDS),
    ),
    Choice("chosen for the Cortex-M4, huffman", PLAIN, boards=LIKE_M4, core="m4", codecs=("huffman",)),
    Choice(
        "chosen for the Cortex-M55, huffman and kmeans",
        PLAIN,
        boards=("m55",),
        core="m55",
        codecs=("huffman", "kmeans"),
    ),
)
"""Codings. Of those by a target the whole file counts, batch norms and all, of which firmware needs less."""


@dataclass(frozen=True)
class Outcome:
    """What an export came to on the host.

    Attributes:
        right: share of the inputs whose class is the label, or, without labels, the float network's, in percent.
        snr_db: of the outputs, against the float network's.
        report: of the export.
        levels: int8 outputs, shape [inputs, outputs].
    """

    right: float
    snr_db: float
    report: neuralcodec.ExportReport
    levels: np.ndarray


def exported(
    network: Deployed,
    folded: torch.nn.Module,
    wanted: torch.Tensor,
    choice: Choice,
    out: Path,
    *,
    plain: bool = False,
) -> Outcome:
    """Encodes, exports to a folder, and runs the export over all inputs.

    Args:
        network: with its batch norms.
        folded: without them.
        wanted: outputs of the float network.
        choice: of the coding.
        out: the folder.
        plain: put the levels into flash as they are.
    """
    print(f"{network.name}: {choice.title}", file=sys.stderr)
    module = folded if choice.folded else network.module
    cm = neuralcodec.encode(module, **choice.options)  # type: ignore[arg-type]
    report = neuralcodec.export_firmware(
        cm,
        module,
        network.calibration[:1],
        network.calibration,
        out,
        name="net",
        weights="plain" if plain else "compressed",
        tables=choice.tables,
    )
    simulation = neuralcodec.simulate(out, network.inputs)
    found = torch.as_tensor(simulation.outputs).reshape(wanted.shape)
    classes = wanted.argmax(1) if network.labels is None else network.labels.long()
    snr = 10 * math.log10(float(wanted.square().sum()) / max(float((wanted - found).square().sum()), 1e-30))
    right = 100 * float((found.argmax(1) == classes).float().mean())
    levels = np.asarray(simulation.levels).reshape(len(found), -1)
    return Outcome(right, snr, report, levels)


@dataclass(frozen=True)
class Run:
    """What a run on an emulated core gave.

    Attributes:
        code_bytes: flash of decoder, kernels and the network's calls, and constants of these.
        layers: instructions of each layer of the first inference.
        instructions: of all of them; a counter of 24 bits may be too short for the inference in one piece.
        stack: bytes, at most.
        same: inputs whose outputs are those of the host.
        inputs: how many there were.
    """

    code_bytes: int
    layers: tuple[int, ...]
    instructions: int
    stack: int
    same: int
    inputs: int


def emulated(  # noqa: PLR0917
    board: str,
    export: Path,
    report: neuralcodec.ExportReport,
    inputs: np.ndarray,
    outputs: np.ndarray,
    objects: Path,
) -> Run | str:
    """Runs an export on a board; why it cannot be, if it does not fit.

    Args:
        board: of boards.mk.
        report: of the export.
        objects: folder for what is compiled, kept for other exports.
        export: the folder of an export named net.
        inputs: int8, shape [inputs, values], in the order of the firmware.
        outputs: int8, shape [inputs, values], of the host.
    """
    facts = emulator.BOARDS[board]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Always in the same place, which what is compiled knows its sources by.
        example = objects / "examples" / "network"
        shutil.rmtree(example, ignore_errors=True)
        shutil.copytree(ROOT / "bench" / "images" / "network", example)
        for file in export.glob("net*"):
            shutil.copy(file, example)
        plan = example / "net.c"
        plan.write_text('#include "probe.h"\n' + plan.read_text(encoding="utf-8"), encoding="utf-8")
        blob = folder / "inputs.bin"
        blob.write_bytes(struct.pack("<I", len(inputs)) + inputs.tobytes() + outputs.tobytes())
        try:
            options = [f"-D{macro}={value}" for macro, value in report.decoder.items()]
            elf = emulator.build(board, blob, objects, "network", examples=example.parent, nn=True, defines=options)
        except emulator.BuildError as error:
            for region in ("FLASH", "RAM"):
                if f"region `{region}'" in str(error):
                    return f"{region} too small"
            raise
        coarse = COARSE if facts.emulator == "qemu-system-arm" else facts.shift
        done = emulator.run(board, elf, timeout=900, shift=coarse)
        code = code_bytes(facts.cross, elf)
    counts = (line.removeprefix("layer=") for line in done.output.splitlines() if line.startswith("layer="))
    layers = tuple(int(count) << (facts.shift - coarse) for count in counts)
    return Run(code, layers, sum(layers), done.number("stack"), done.number("same"), done.number("inputs"))


def code_bytes(cross: str, elf: Path) -> int:
    """Code of an image, but for what is there to measure with. Constants of the layers are not code."""
    done = subprocess.run([f"{cross}nm", "-S", "-t", "d", elf], capture_output=True, text=True, check=True)
    symbols = [line.split() for line in done.stdout.splitlines()]
    return sum(
        int(symbol[1])
        for symbol in symbols
        if len(symbol) == 4 and symbol[2] in "tT" and not symbol[3].startswith(NOT_CODE)
    )


def with_codings(network: Deployed, choice: Choice, plain: neuralcodec.ExportReport, run: Run, tile: int) -> Choice:
    """A choice with a coding for each tensor.

    Args:
        network: with its batch norms.
        choice: with a core.
        plain: the report with plain weights.
        run: with plain weights on this core.
        tile: most weights in one.

    Raises:
        PlanError: there is none within the limits.
    """
    codings = neuralcodec.choose_codings(
        network.module,
        network.calibration,
        weight_bytes=int(FLASH * plain.flash_bytes - MORE_CONSTANTS * plain.constant_bytes),
        decode_instructions=int(WORK * run.instructions),
        codecs=choice.codecs,
        core=choice.core or "m4",
        tile=tile,
    )
    return replace(choice, options={**choice.options, "overrides": codings.overrides})


def quantized(network: Deployed, report: neuralcodec.ExportReport, count: int) -> np.ndarray:
    """The first inputs as firmware takes them: int8, [height][width][channels], shape [count, values]."""
    values = network.inputs[:count].permute(0, 2, 3, 1).reshape(count, -1).numpy()
    taken = Quantization(float(str(report.input["scale"])), int(str(report.input["zero_point"])))
    return taken.quantize(values)


def measure(
    name: str, boards: list[str], choices: Sequence[Choice], inputs: int, console: Console
) -> tuple[list[Table], bool]:
    """Prints and returns the tables of a network; and whether all outputs were those of the host."""
    network = deployed()[name]()
    folded = neuralcodec.fold_batch_norm(network.module, network.calibration[:1])
    with torch.no_grad():
        scores = network.module(network.inputs)
    with tempfile.TemporaryDirectory() as folder:
        plain = exported(network, folded, scores, Choice("plain int8", PLAIN, True), Path(folder) / "plain", plain=True)
        of = {"plain int8": (plain, Path(folder) / "plain")}
        runs: dict[tuple[str, str], Run | str] = {}

        def run_on(board: str, each: str) -> None:
            outcome, export = of[each]
            taken = quantized(network, outcome.report, inputs)
            wanted = outcome.levels[:inputs]
            runs[board, each] = emulated(board, export, outcome.report, taken, wanted, Path(folder) / "objects")

        for board in boards:
            run_on(board, "plain int8")
        for i, choice in enumerate(choices):
            out = Path(folder) / f"{i}"
            try:
                if choice.core is None:
                    of[choice.title] = exported(network, folded, scores, choice, out), out
                    continue
                run = runs.get((choice.core, "plain int8"))
                if not isinstance(run, Run):
                    continue
                for tile in CHOSEN_TILES:
                    complete = with_codings(network, choice, plain.report, run, tile)
                    outcome = exported(network, folded, scores, complete, out)
                    of[choice.title] = outcome, out
                    if outcome.report.ram_bytes - outcome.report.activation_bytes <= MOST_BESIDE:
                        break
            except neuralcodec.PlanError as error:
                console.print(f"{name}, {choice.title}: {error}", highlight=False)
        tables = [on_host(network, scores, {each: outcome for each, (outcome, _) in of.items()})]
        show(tables[0], console)
        if not boards:
            return tables, True
        for board in boards:
            for choice in choices:
                if board in choice.boards and choice.title in of:
                    run_on(board, choice.title)
        runs = dict(sorted(runs.items(), key=lambda item: boards.index(item[0][0])))  # the order of a board's stays
    reports = {each: outcome.report for each, (outcome, _) in of.items()}
    tables.append(on_cores(network, reports, runs))
    show(tables[1], console)
    measured = {each: run for (board, each), run in runs.items() if board == "m4" and not isinstance(run, str)}
    if measured:
        whole = {each: with_instructions(reports[each], run, measured["plain int8"]) for each, run in measured.items()}
        for each, report in whole.items():
            console.print(f"{name}, {each}, Cortex-M4; decoding is what a layer takes beyond plain weights:")
            console.print(report)
        tables.append(in_all(network, whole))
        show(tables[2], console)
    return tables, all(isinstance(run, str) or run.same == run.inputs for run in runs.values())


def on_host(network: Deployed, scores: torch.Tensor, of: Mapping[str, Outcome]) -> Table:
    """Flash and RAM of each coding, and what the firmware's arithmetic comes to over all inputs."""
    note = f"{len(network.inputs):,} inputs: {network.origin}. Flash without code; all RAM but the stack."
    if network.labels is not None:
        right = float((scores.argmax(1) == network.labels).float().mean())
        note += f" The float network: {100 * right:.2f} %."
    whole = of["plain int8"].report.flash_bytes
    rows = [
        [
            each,
            f"{outcome.report.flash_bytes:,}",
            f"{100 * outcome.report.flash_bytes / whole:.1f} %",
            f"{outcome.report.ram_bytes:,}",
            f"{outcome.report.ram_bytes - outcome.report.activation_bytes:,}",
            f"{outcome.right:.2f} %",
            f"{outcome.snr_db:.1f}",
        ]
        for each, outcome in of.items()
    ]
    what = "top-1" if network.labels is not None else "float network's class"
    headings = ("weights", "flash B", "of plain", "RAM B", "beside activations", what, "SNR dB of outputs")
    return Table(network.title, headings, rows, note)


def on_cores(
    network: Deployed, reports: Mapping[str, neuralcodec.ExportReport], runs: Mapping[tuple[str, str], Run | str]
) -> Table:
    """Instructions of an inference on each core."""
    rows = []
    for (board, each), run in runs.items():
        core = emulator.BOARDS[board].core
        if isinstance(run, str):
            rows.append([core, each, run, "–", "–", "–", "–"])
            continue
        first = runs[board, "plain int8"]
        share = f"{run.instructions / first.instructions:.3f}" if isinstance(first, Run) else "–"
        macs = sum(layer.macs for layer in reports[each].layers)
        count = f"{run.instructions / macs:.2f}"
        row = [f"{run.instructions:,}", share, count, f"{run.stack:,}", f"{run.same} of {run.inputs}"]
        rows.append([core, each, *row])
    headings = ("core", "weights", "instructions", "of plain", "a MAC", "stack B", "outputs as on the host")
    note = "Instructions retired in QEMU, gcc -O2, of a whole inference; they are not cycles."
    return Table(f"{network.title}: an inference", headings, rows, note)


def in_all(network: Deployed, reports: Mapping[str, neuralcodec.ExportReport]) -> Table:
    """Flash with the code, what part of the work decodes, and an estimate of the energy."""
    rows = [
        [
            each,
            f"{report.code_bytes or 0:,}",
            f"{report.flash_bytes:,}",
            f"{100 * (report.decode_share or 0):.1f} %",
            f"{1e6 * (report.joules or 0):,.0f}",
        ]
        for each, report in reports.items()
    ]
    note = (
        "Code at -O2, of kernels and decoder. Decoding is what layers take beyond plain weights. The energy is no "
        f"measurement: {next(iter(reports.values())).energy_model.name}."
    )
    headings = ("weights", "code B", "flash with code B", "decoding", "energy µJ, estimated")
    return Table(f"{network.title}: in all, Cortex-M4", headings, rows, note)


def with_instructions(report: neuralcodec.ExportReport, run: Run, plain: Run) -> neuralcodec.ExportReport:
    """The report with what a run took."""
    names = [layer.name for layer in report.layers]
    decode = {name: max(a - b, 0) for name, a, b in zip(names, run.layers, plain.layers, strict=True)}
    return report.with_instructions(dict(zip(names, run.layers, strict=True)), decode, run.code_bytes)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="append", choices=list(deployed()), help="only this one; may be repeated")
    parser.add_argument("--board", action="append", choices=list(emulator.BOARDS), help="as --network")
    parser.add_argument("--coding", action="append", help="title of a coding, beside plain weights; as --network")
    parser.add_argument("--inputs", type=int, default=100, help="inputs on emulated cores (default 100); 0: none")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/firmware.md")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 150)
    boards = [b for b in options.board or emulator.BOARDS if emulator.available(b) is None] if options.inputs else []
    torch.set_num_threads(1)
    good = True
    for name in options.network or deployed():
        reason = networks()[name].missing()
        if reason is not None:
            console.print(f"skipped: {name}: {reason}", highlight=False)
            continue
        choices = [choice for choice in CHOICES if not options.coding or choice.title in options.coding]
        found, same = measure(name, boards, choices, options.inputs, console)
        good &= same
        if options.page and not write(found):
            console.print("docs/firmware.md lacks the lines between which the tables go")
            good = False
    sys.exit(0 if good else 1)


def write(tables: Sequence[Table]) -> bool:
    """Puts tables into docs/firmware.md, their rows in place of those there; False if there is no place for them."""
    page = ROOT / "docs" / "firmware.md"
    _, _, there = page.read_text(encoding="utf-8").partition(MARKS[0])
    sections = {}
    for section in there.partition(MARKS[1])[0].split("\n### ")[1:]:
        sections[section.partition("\n")[0].strip()] = f"### {section.strip()}\n"
    for table in tables:
        sections[table.title] = markdown(_merged(table, sections.get(table.title, "")), heading="###")
    return put("\n".join(sections.values()), page, MARKS)


def _merged(table: Table, section: str) -> Table:
    """A table with the rows of a section of the page that it does not have itself; those of a core stay together."""
    keys = 2 if table.headings[0] == "core" else 1
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]
    places = {tuple(row[:keys]): i for i, row in enumerate(rows)}
    for row in table.rows:
        key = tuple(row[:keys])
        if key in places:
            rows[places[key]] = list(row)
            continue
        core = [i for i, other in enumerate(rows) if keys == 2 and other[0] == row[0]]
        rows.insert(core[-1] + 1 if core else len(rows), list(row))
        places = {tuple(other[:keys]): i for i, other in enumerate(rows)}
    return replace(table, rows=rows)


if __name__ == "__main__":
    main()

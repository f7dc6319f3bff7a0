"""What each part of codec generative's model buys and costs: `python bench/generative_ablation.py [--page]`.

Encodes networks of the benchmark, and counts the bits of their levels with the model as it is and with a part of it
left out: the decoder's own source, with some words changed, is compiled anew for each. The prior is not trained anew,
so a part that others can stand in for may buy a little less than it seems. The same variants walk through levels of 3
bits on an emulated Cortex-M7, where instructions are counted. With --page the table of docs/generative.md is written.
"""

from __future__ import annotations

import argparse
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent))

import neuralcodec
from bench import page, run
from bench.network import networks
from neuralcodec import Target
from neuralcodec.codecs.generative.codec import kernel_of
from neuralcodec.codecs.generative.coding import Matrix, Rates, read_head

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "firmware_decoder" / "ports"))

import emulator  # noqa: E402 (needs the line above)

SOURCES = ROOT / "firmware_decoder" / "src"
PROGRAM = ROOT / "bench" / "native" / "generative_cost.c"
PRIOR = ROOT / "models" / "weights" / "generative_1.bin"
NETWORKS = ("lenet5", "resnet-fashion", "mobilenet-fashion", "g2p-en", "crepe-tiny", "silero-vad")
BITS = (1.5, 3.0, 4.5)
COUNTED_BITS = 3.0
WHOLE = "whole"

IMAGE = ROOT / "bench" / "images" / "generative_cost"
BOARD, COUNTED, COUNTED_WEIGHTS = "m7", "crepe-tiny", 4096
"""Where instructions are counted, of whose levels, and of how many of them at most."""

INPUT = "        const uint32_t cell = base + t->cells[i];\n"
UPDATE = "        const uint32_t cell = base + t->cells[i], n = m->n[cell]"
LOOPS = ("    uint32_t i, p;\n    for (i", "ncd_squash(x2);\n    for (i")
UNROLLED = tuple((each, each.replace("    for (i", '    _Pragma("GCC unroll 6") for (i')) for each in LOOPS)
"""Loops over contexts, unrolled in all variants so that what is left out of them leaves nothing behind."""

LEARNED = (
    "w1[i] = ncd_limit(",
    "w2[i] = ncd_limit(",
    "m->p[cell] = (uint16_t)(bit ?",
    "m->n[cell] = (uint8_t)(n +",
)
"""Words of generative_model.h that variants change."""


@dataclass(frozen=True)
class Variant:
    """A model with something left out: changes to generative_model.h, and whether it has a prior."""

    name: str
    changes: tuple[tuple[str, str], ...] = ()
    prior: bool = True


def muted(name: str, *contexts: int) -> Variant:
    """Without some contexts."""
    test = f"        if ({sum(1 << each for each in contexts)}u >> i & 1u)"
    left_out = [(f"    t->cells[{each}] =", f"    if (0) t->cells[{each}] =") for each in contexts]
    skipped = ((INPUT, f"{test} {{ input[i] = 0; continue; }}\n{INPUT}"), (UPDATE, f"{test} continue;\n{UPDATE}"))
    return Variant(name, (*skipped, *left_out))


SELECTED = ("t->first = bin / 2;", "t->second = part;")
FILTER = (
    "for (k = 0; k < NCD_GENERATIVE_LEFT; ++k)\n        sum += ",
    "for (k = 0; k < 2; ++k) {\n        sum += ",
    "for (k = 0; k < NCD_GENERATIVE_LEFT; ++k)\n        w[k] = ",
    "for (k = 0; k < 2; ++k)\n        w[NCD_GENERATIVE_LEFT + k] = ",
)
VARIANTS = (
    muted("context 0: magnitude of the last four levels, sign of the last", 0),
    muted("context 1: signs of neighbours", 1),
    muted("context 2: magnitude nearby, place in the kernel", 2),
    muted("context 3: magnitude nearby, size of the last level", 3),
    muted("context 4: magnitude down the column, size of the level above", 4),
    muted("context 5: the predicted value", 5),
    muted("contexts of signs and values (1, 5)", 1, 5),
    muted("contexts of magnitudes (0, 2, 3, 4)", 0, 2, 3, 4),
    Variant("the prediction of values, wherever it counts", tuple((each, f"if (0) {each}") for each in FILTER)),
    Variant("sets of weights picked by magnitude", ((SELECTED[0], "t->first = 0;"),)),
    Variant("sets of weights picked by what is predicted", ((SELECTED[1], "t->second = 0;"),)),
    Variant("learning of weights", tuple((each, f"if (0) {each}") for each in LEARNED[:2])),
    Variant("learning of cells", tuple((each, f"if (0) {each}") for each in LEARNED[2:])),
    Variant("all learning in use", tuple((each, f"if (0) {each}") for each in LEARNED)),
    Variant("the prior", prior=False),
)


def changed(text: str, changes: tuple[tuple[str, str], ...]) -> str:
    """The header with words changed, each of which must be there once.

    Raises:
        ValueError: one is not: the header has moved on from this page.
    """
    for old, new in changes:
        if text.count(old) != 1:
            raise ValueError(f"generative_model.h has {old!r} {text.count(old)} times")
        text = text.replace(old, new)
    return text


def write_header(variant: Variant, place: Path) -> None:
    """Puts a variant of the header into a folder."""
    header = (SOURCES / "generative_model.h").read_text(encoding="utf-8")
    (place / "generative_model.h").write_text(changed(header, UNROLLED + variant.changes), encoding="utf-8")


def instructions(variant: Variant, levels: Path, folder: Path) -> tuple[float, int]:
    """Instructions a weight, and those at the start of a tile, of a variant on the emulated core.

    Raises:
        SystemExit: the image fails.
    """
    place = folder / f"image{abs(hash(variant))}" / "generative_cost"
    place.mkdir(parents=True)
    for source in (*SOURCES.glob("*.h"), IMAGE / "main.c"):
        shutil.copy(source, place)
    write_header(variant, place)
    defines = ("-DNCD_ENABLE_GENERATIVE=1",)
    elf = emulator.build(BOARD, levels, folder / "built", "generative_cost", defines=defines, examples=place.parent)
    result = emulator.run(BOARD, elf, timeout=300)
    if result.exit_code:
        sys.exit(f"{variant.name}: {result.output}")
    return result.number("per_weight_x100") / 100, result.number("begin")


def first_tile(levels: bytes) -> bytes:
    """As many rows of the first tensor of a file of levels as are counted."""
    fields = list(struct.unpack_from("=7i", levels))
    columns = fields[1]
    fields[0] = min(fields[0], max(COUNTED_WEIGHTS // columns, 1), max(fields[2] // columns, 1))
    return struct.pack("=7i", *fields) + levels[28 : 28 + 2 * fields[0] * columns]


def build(variant: Variant, folder: Path) -> Path:
    """Compiles the program with a variant of the header."""
    place = folder / str(abs(hash(variant)))
    place.mkdir()
    write_header(variant, place)
    compiler = shutil.which("cc") or "cc"
    include = ROOT / "firmware_decoder" / "include"
    sources = [PROGRAM, *(SOURCES / f"{name}.c" for name in ("generative", "generative_prior", "tiles", "bytes"))]
    # What the program does not reach may want other files of the decoder.
    options = [
        "-std=c99",
        "-O2",
        "-ffunction-sections",
        "-Wl,--gc-sections",
        f"-I{place}",
        f"-I{SOURCES}",
        f"-I{include}",
    ]
    subprocess.run([compiler, *options, *map(str, sources), "-o", str(place / "cost"), "-lm"], check=True)
    return place / "cost"


def levels_of(cm: neuralcodec.CompressedModel) -> Iterator[bytes]:
    """Levels of a model as the program reads them."""
    for entry in cm.entries:
        if entry.codec != "generative" or entry.tied_to is not None:
            continue
        name = entry.spec.name
        levels = cm.levels(name)[0].numpy().reshape(entry.spec.rows, entry.spec.cols).astype(np.int16)
        if not levels.any():
            continue
        head, down = read_head(cm.payload(name)), cm.is_down_columns(name)
        matrix = Matrix(
            np.ascontiguousarray(levels.T if down else levels),
            head.tile,
            head.states.bit_length() - 1,
            1 if down else kernel_of(entry.spec),
        )
        fields = (*matrix.levels.shape, matrix.tile, matrix.states_log2, matrix.kernel, matrix.start, Rates().byte)
        yield struct.pack("=7i", *fields) + matrix.levels.tobytes()


def measure(folder: Path) -> dict[str, list[float]]:
    """By variant: for each network the bits of all rates over those of the whole model, in percent more; last the
    instructions a weight that the whole model takes more. The whole one has its own, alone.
    """
    files: dict[str, list[Path]] = {}
    for name in NETWORKS:
        loaded = run.load(networks()[name])
        for bits in BITS:
            cm = neuralcodec.encode(
                dict(loaded.state), "generative", target=Target(bits_per_weight=bits, allocation="error")
            )
            path = folder / f"{name}-{bits}.levels"
            path.write_bytes(b"".join(levels_of(cm)))
            files.setdefault(name, []).append(path)
    found: dict[str, list[float]] = {}
    whole: dict[Path, float] = {}
    counted = folder / "counted.levels"
    counted.write_bytes(first_tile((folder / f"{COUNTED}-{COUNTED_BITS}.levels").read_bytes()))
    for variant in (Variant(WHOLE), *VARIANTS):
        program = build(variant, folder)
        taken, begin = instructions(variant, counted, folder)
        prior = str(PRIOR) if variant.prior else "-"
        for name in NETWORKS:
            over = 0.0
            for path in files[name]:
                done = subprocess.run([program, prior, path], check=True, capture_output=True, text=True)
                bits_taken = float(done.stdout)
                if variant.name == WHOLE:
                    whole[path] = bits_taken
                over += bits_taken / whole[path] - 1
            if variant.name != WHOLE:
                found.setdefault(variant.name, []).append(100 * over / len(files[name]))
        if variant.name == WHOLE:
            found[WHOLE] = [taken, begin]
        else:
            found[variant.name].append(found[WHOLE][0] - taken)
    return found


def table(found: dict[str, list[float]]) -> str:
    """As Markdown."""
    heads = (*NETWORKS, "mean", "instructions")
    lines = ["| without | " + " | ".join(heads) + " |", "| --- |" + " --: |" * len(heads)]
    for name, (*values, fewer) in found.items():
        if name != WHOLE:
            cells = [f"{value:+.2f}" for value in (*values, sum(values) / len(values))]
            lines.append(f"| {name} | " + " | ".join(cells) + f" | {-fewer:+,.0f} |")
    taken, begin = found[WHOLE]
    core = emulator.BOARDS[BOARD].core
    lines += [
        "",
        f"Instructions: a weight, on a {core}, more than with the whole model. That takes {taken:,.0f} for a tile",
    ]
    lines += [
        f"of {COUNTED} at {COUNTED_BITS:g} bits a weight, and {begin:,.0f} to begin the tile, which is what the prior"
    ]
    lines += ["costs (gcc -O2, loops over contexts unrolled; retired in QEMU)."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, prints, and writes the page."""
    parser = argparse.ArgumentParser(description="What each part of codec generative's model buys.")
    parser.add_argument("--page", action="store_true", help="write the table of docs/generative.md")
    write = parser.parse_args().page
    if (reason := emulator.available(BOARD)) is not None:
        sys.exit(f"this needs the emulator: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        text = table(measure(Path(folder)))
    print(text)
    if write:
        page.put("generative.md", "ablation", text)


if __name__ == "__main__":
    main()

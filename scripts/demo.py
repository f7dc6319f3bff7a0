"""The whole path on a real network: encode, save, reload, decode, check; then the tiles on emulated microcontrollers.

The weights are those of silero-vad, a trained voice activity detector (convolutions and an LSTM, 309,633 weights in
float32) that
its PyPI package carries. Run it with `make demo`.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import tempfile
import time
import zlib
from pathlib import Path
from types import ModuleType

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

import neuralcodec
from neuralcodec import reference

ROOT = Path(__file__).resolve().parent.parent
console = Console(width=min(Console().width, 150) if Console().is_terminal else 150)


class Checks:
    """Counts what was checked, so that nothing is left out silently."""

    def __init__(self) -> None:
        self.passed = self.failed = self.skipped = 0

    def check(self, good: bool, what: str) -> None:
        """Notes and prints one outcome."""
        self.passed += good
        self.failed += not good
        console.print(f"  {'[green]✓[/]' if good else '[bold red]✗[/]'} {what}", highlight=False)

    def skip(self, what: str, why: str) -> None:
        """Notes and prints something that cannot be checked here."""
        self.skipped += 1
        console.print(f"  [yellow]–[/] skipped: {what}: {why}", highlight=False)


def model_path() -> Path:
    """The weights, without importing the package, which would want torchaudio."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the package silero-vad is not installed; `make demo` does that")
    return Path(spec.submodule_search_locations[0]) / "data" / "silero_vad_16k.safetensors"


def checksum(cm: neuralcodec.CompressedModel) -> int:
    """crc32 of everything that is decoded, as the firmware image computes it: levels, or the bytes of exact tensors."""
    crc = 0
    for entry in cm.entries:
        if entry.tied_to is None:
            name = entry.spec.name
            exact = cm.is_lossless(name)
            crc = zlib.crc32(cm.decode_elements(name).data if exact else as_decoded(cm, name, cm.levels(name)[0]), crc)
    return crc


def as_decoded(cm: neuralcodec.CompressedModel, name: str, levels: torch.Tensor) -> bytes:
    """Levels in the order that tiles have them."""
    spec = cm.entry(name).spec
    matrix = levels.reshape(spec.rows, spec.cols)
    return (matrix.T if cm.is_down_columns(name) else matrix).contiguous().numpy().tobytes()


def round_trip(
    checks: Checks, source: Path, folder: Path, title: str, **options: object
) -> neuralcodec.CompressedModel:
    """Encodes a file, saves, reloads and decodes it, and checks each step."""
    console.rule(f"[bold]{title}", align="left")
    start = time.perf_counter()
    cm = neuralcodec.encode(source, **options)  # type: ignore[arg-type]
    encoded = time.perf_counter()
    path = folder / "model.nc.safetensors"
    neuralcodec.save(cm, path)
    loaded = neuralcodec.load(path)
    before_decode = time.perf_counter()
    decoded = loaded.state_dict()
    end = time.perf_counter()
    report = cm.report()
    console.print(report)
    original = load_file(source)
    size = source.stat().st_size
    console.print(
        f"  {size:,} → {path.stat().st_size:,} bytes, [bold]{size / path.stat().st_size:.2f}×[/] smaller, "
        f"{report.bits_per_weight:.2f} bits/weight; "
        f"encoded and checked in {encoded - start:.2f} s, decoded in {end - before_decode:.3f} s",
        highlight=False,
    )
    checks.check(path.stat().st_size == cm.nbytes, "the size in the report is the size of the file")
    checks.check(list(load_file(path)) == ["neuralcodec"], "the safetensors library reads the file")
    kept = {row.name for row in report.rows if row.snr_db == math.inf}
    checks.check(
        decoded.keys() == original.keys() and all(torch.equal(decoded[n], original[n]) for n in kept),
        f"{len(kept)} of {len(original)} tensors came back bit for bit"
        + (" (all)" if len(kept) == len(original) else ", the small ones"),
    )
    lossy = sorted(n for n in original.keys() - kept if not cm.entry(n).spec.is_small)  # as the report counts
    if lossy:
        energy = sum(float(original[n].double().square().sum()) for n in lossy)
        error = sum(float((original[n].double() - decoded[n].double()).square().sum()) for n in lossy)
        snr = 10 * math.log10(energy / error)
        checks.check(
            report.snr_db is not None and abs(snr - report.snr_db) < 1e-3,
            f"SNR of the others, computed anew from the decoded file: {snr:.2f} dB",
        )
    return loaded


def three_decoders(checks: Checks, cm: neuralcodec.CompressedModel) -> int:
    """Compares the C decoder on the host with the plain Python one that was written from the format's text."""
    host = checksum(cm)
    crc = 0
    for tensor in reference.read_stream(cm.to_bytes()).tensors:
        if tensor.tied_to is None:
            name = str(tensor.name)
            if cm.is_lossless(name):
                out = reference.decode_bytes(tensor)
            else:
                kind = cm.levels(name)[0].dtype
                out = as_decoded(cm, name, torch.tensor(reference.decode_levels(tensor)).to(kind))
            crc = zlib.crc32(out, crc)
    checks.check(crc == host, f"the plain Python decoder agrees with the C decoder: crc32 {host:08x}")
    return host


def firmware(checks: Checks, cm: neuralcodec.CompressedModel, host: int, folder: Path) -> None:
    """Puts the stream in the flash of emulated boards and compares what their decoder gets."""
    console.rule("[bold]On emulated microcontrollers, decoded tile by tile from flash", align="left")
    emulator = load_emulator()
    blob = folder / "model.bin"
    neuralcodec.export_c(cm, blob)
    table = Table(
        "board", "core", "crc32", "instructions/weight", "stack", "tables", "decoder code", header_style="bold"
    )
    for name, board in emulator.BOARDS.items():
        reason = emulator.available(name)
        if reason is not None:
            checks.skip(f"{board.core}", reason)
            continue
        result = emulator.run(name, emulator.build(name, blob, folder / name), timeout=120)
        same = result.exit_code == 0 and result.number("crc32") & 0xFFFFFFFF == host
        checks.check(same, f"{board.core}: every tile bit-exact" if same else f"{board.core}: {result.output}")
        if same:
            table.add_row(
                name,
                board.core,
                f"{host:08x}",
                f"{result.number('trellis.per_weight_x100') / 100:.2f}",
                f"{result.number('stack_bytes')} B",
                f"{result.number('table_bytes')} B",
                f"{result.number('decoder_code_bytes')} B",
            )
    if table.row_count:
        console.print(table)
        console.print("  instructions retired in QEMU, gcc -O2, of the quantized tensors; not cycles", highlight=False)


def load_emulator() -> ModuleType:
    """The runner of firmware_decoder/ports, which is no package."""
    spec = importlib.util.spec_from_file_location("emulator", ROOT / "firmware_decoder" / "ports" / "emulator.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["emulator"] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Runs everything; the exit code is 1 if a check failed."""
    start = time.perf_counter()
    checks = Checks()
    source = model_path()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        round_trip(checks, source, folder, "Lossless", lossless=True)
        round_trip(checks, source, folder, "Default: encode(model) and nothing else")
        cm = round_trip(
            checks,
            source,
            folder,
            "4 bits/weight, the whole file counted",
            target=neuralcodec.Target(bits_per_weight=4),
        )
        host = three_decoders(checks, cm)
        firmware(checks, cm, host, folder)
    console.rule()
    console.print(
        f"{checks.passed} passed, {checks.failed} failed, {checks.skipped} skipped, "
        f"in {time.perf_counter() - start:.0f} s",
        highlight=False,
    )
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())

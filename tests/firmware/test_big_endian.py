"""The golden vectors on a big-endian core, which QEMU's boards are not: a Cortex-A15 that has been switched."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from test_golden_vectors import differences, entries_of_streams, write_bundle

pytestmark = [
    pytest.mark.firmware,
    pytest.mark.skipif(
        shutil.which("arm-none-eabi-gcc") is None or shutil.which("qemu-system-arm") is None,
        reason="needs arm-none-eabi-gcc and qemu-system-arm",
    ),
]

DECODER = Path(__file__).resolve().parents[2] / "firmware_decoder"
PROBES = Path(__file__).parent / "probes"


def test_all_vectors(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    flags = ["-mcpu=cortex-a15", "-mbig-endian", "-mfloat-abi=soft", "-ffreestanding", "-nostdlib", "-O2"]
    own = [PROBES / "big_endian" / name for name in ("start.S", "port.c")]
    sources = [*own, PROBES / "vectors" / "main.c", DECODER / "ports" / "model.S", *sorted(DECODER.glob("src/*.c"))]
    defines = [f'-DMODEL_FILE="{bundle}"', "-DNCD_ENABLE_FLOAT=0", "-DWORKSPACE_BYTES=32768"]
    link = ["-T", PROBES / "big_endian" / "image.ld", "-Wl,--be8", "-o", tmp_path / "image.elf"]
    paths = [f"-I{DECODER / folder}" for folder in ("include", "ports")]
    subprocess.run(["arm-none-eabi-gcc", *flags, *defines, *paths, *sources, *link], check=True)
    machine = ["-machine", "virt", "-nic", "none", "-cpu", "cortex-a15", "-display", "none", "-monitor", "none"]
    command = ["qemu-system-arm", *machine, "-serial", "stdio", "-kernel", tmp_path / "image.elf"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, stdin=subprocess.DEVNULL)
    values = dict(line.split("=") for line in done.stdout.splitlines())
    assert values["exit"] == "0"
    found = [int(values[str(i)]) for i in range(len(entries_of_streams()))]
    assert not differences(found, large=False)


def test_tables_are_not_laid_out_for_byte_loads() -> None:
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0", f"-I{DECODER / 'include'}", "-fsyntax-only"]
    source = DECODER / "src" / "trellis_model.c"
    subprocess.run([*command, "-mbig-endian", source], check=True)
    done = subprocess.run(
        [*command, "-mbig-endian", "-DNCD_TRELLIS_BYTE_LOADS=1", source], capture_output=True, text=True, check=False
    )
    assert "NCD_TRELLIS_BYTE_LOADS is for little-endian machines" in done.stderr

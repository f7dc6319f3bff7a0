"""The golden vectors, valid and invalid, on every board: same output, same errors, and never a fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import emulator
import pytest

pytestmark = pytest.mark.firmware

FOLDER = Path(__file__).resolve().parents[1] / "vectors"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
SIXTEEN_KILOBYTES = {"valid/kmeans_rans_12.ncd"}
"""2^12 slots are more than the image has room for, and than the smallest board has: it says so."""
WORKSPACE = -6
LARGE = {"m7", "rv32"}
"""Boards that stand for those with room for codec 6, which is compiled in there only."""
STATUS = {"TRUNCATED": -2, "CORRUPT": -3, "UNSUPPORTED": -4, "CHECKSUM": -7}


def entries_of_streams() -> list[dict[str, Any]]:
    return [e for e in MANIFEST["valid"] + MANIFEST["invalid"] if e["file"].endswith(".ncd")]


def write_bundle(folder: Path) -> Path:
    """All streams, each after its size, as the probe "vectors" reads them."""
    streams = [(FOLDER / entry["file"]).read_bytes() for entry in entries_of_streams()]
    bundle = folder / "vectors.bin"
    bundle.write_bytes(b"".join(len(stream).to_bytes(4, "little") + stream for stream in streams))
    return bundle


def differences(found: list[int], large: bool) -> list[str]:
    """Of what the probe has printed; large: it has codec 6."""
    lines = []
    for entry, got in zip(entries_of_streams(), found, strict=True):
        if "crc32" in entry:
            expected = int(entry["crc32"], 16)
        else:
            expected = STATUS[entry["error"]]
            if entry.get("may_accept") and (got >= 0 or entry["may_accept"] == "lean"):
                continue
        if "generative" in entry["file"] and not large:
            expected = STATUS["UNSUPPORTED"]
        if entry.get("wide") and got == STATUS["CORRUPT"]:
            continue
        if entry["file"] in SIXTEEN_KILOBYTES and got == WORKSPACE:
            continue
        if got != expected:
            lines.append(f"{entry['file']}: {got}, not {expected}")
    return lines


def test_all_vectors(board: str, out: Path) -> None:
    large = board in LARGE
    defines = ["-DNCD_ENABLE_GENERATIVE=1", "-DWORKSPACE_BYTES=300000"] if large else []
    bundle = write_bundle(out)
    elf = emulator.build(board, bundle, out, "vectors", examples=Path(__file__).parent / "probes", defines=defines)
    result = emulator.run(board, elf)
    assert result.exit_code == 0, result.output
    found = [result.number(str(i)) for i in range(len(entries_of_streams()))]
    assert not differences(found, large), "\n".join(differences(found, large))

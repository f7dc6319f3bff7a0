"""The golden vectors, valid and invalid, on every board: same output, same errors, and never a fault."""

from __future__ import annotations

import json
from pathlib import Path

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


def test_all_vectors(board: str, out: Path) -> None:
    entries = [e for e in MANIFEST["valid"] + MANIFEST["invalid"] if e["file"].endswith(".ncd")]
    streams = [(FOLDER / entry["file"]).read_bytes() for entry in entries]
    bundle = out / "vectors.bin"
    bundle.write_bytes(b"".join(len(stream).to_bytes(4, "little") + stream for stream in streams))
    large = board in LARGE
    defines = ["-DNCD_ENABLE_GENERATIVE=1", "-DWORKSPACE_BYTES=300000"] if large else []
    elf = emulator.build(board, bundle, out, "vectors", examples=Path(__file__).parent / "probes", defines=defines)
    result = emulator.run(board, elf)
    assert result.exit_code == 0, result.output
    differences = []
    for i, entry in enumerate(entries):
        got = result.number(str(i))
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
            differences.append(f"{entry['file']}: {got}, not {expected}")
    assert not differences, "\n".join(differences)

"""Writes the universal models of codec autoencoder, models/autoencoder_*.bin, into the C decoder.

    python scripts/universal_models.py

Run it after `neuralcodec train-codec` has made a new one. A version that has been published must not change.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "firmware_decoder" / "src" / "autoencoder_universal.c"
PER_LINE = 20


def source() -> str:
    """The C file."""
    models = {int(path.stem.split("_")[1]): path.read_bytes() for path in (ROOT / "models").glob("autoencoder_*.bin")}
    lines = [
        "/* Universal models of codec 5 (docs/format.md section 14.2). Written by scripts/universal_models.py. */",
        '#include "autoencoder.h"',
        "",
        "#if NCD_ENABLE_AUTOENCODER",
        "",
    ]
    for version, data in sorted(models.items()):
        lines.append(f"/* sha256 {hashlib.sha256(data).hexdigest()} */")
        lines.append(f"static const uint8_t version_{version}[{len(data)}] = {{")
        for at in range(0, len(data), PER_LINE):
            lines.append("    " + ", ".join(map(str, data[at : at + PER_LINE])) + ",")
        lines += ["};", ""]
    lines += ["const uint8_t *ncd_ae_universal(uint32_t version, size_t *size)", "{"]
    for version in sorted(models):
        lines += [
            f"    if (version == {version}) {{",
            f"        *size = sizeof version_{version};",
            f"        return version_{version};",
            "    }",
        ]
    lines += ["    *size = 0;", "    return NULL;", "}", "", "#endif"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    part = TARGET.with_suffix(".part")
    part.write_text(source())
    part.replace(TARGET)

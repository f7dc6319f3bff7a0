"""docs/firmware.md does what it says: its blocks, run in order in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import emulator
import pytest

pytestmark = pytest.mark.firmware

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "firmware.md"


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    reason = emulator.available("m4")
    if reason is not None:
        pytest.skip(reason)
    text = PAGE.read_text(encoding="utf-8")
    named = {**os.environ, "NCD": str(ROOT), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    file = ""
    printed = []
    for name, language, block in re.findall(r"^(?:`([^`\n]+)`[;.:]|```(\w+)\n(.*?)```$)", text, re.M | re.S):
        if name:
            file = name
        elif language == "sh":
            done = subprocess.run(
                block, shell=True, cwd=tmp_path, env=named, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
            printed.append(done.stdout + done.stderr)
        else:
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_text(block, encoding="utf-8")
    exported, _, emulated = printed
    match = re.search(r"same class as the float network: ([\d.]+) %", exported)
    assert match is not None, exported
    assert float(match[1]) > 50
    assert re.search(r"^class=\d$", emulated, re.M), emulated
